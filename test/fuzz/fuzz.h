/* SPDX-License-Identifier: Apache-2.0
 *
 * What the fuzz targets share: a runtime with a ceiling, a folder in memory for what is opened by path, and running a graph under a
 * clock. A target is one function: bytes in, and nothing may crash, leak, or take more memory or time than these say.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include "cpu/cpu.h"
#include "onnx/onnx.h"
#include "pass/pass.h"
#include "run/run.h"
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_MEMORY ((size_t)256 << 20)
#define FUZZ_WORK ((int64_t)1 << 24) /* of folding */

static inline nib_runtime *fuzz_runtime(void) {
    static nib_runtime *runtime;
    if (runtime) return runtime;
    nib_runtime_options o;
    nib_error err;
    const nib_limits limits = {.size = sizeof limits, .fold_bytes = 1 << 20};
    nib_runtime_defaults(&o, sizeof o);
    o.threads = 1;
    o.memory_limit = FUZZ_MEMORY;
    o.limits = &limits;
    if (base_runtime_create(&o, &runtime, &err) != NIB_OK) abort();
    return runtime;
}

/* Every target ends with what it began with. */
static inline void fuzz_no_leak(size_t before) {
    if (atomic_load(&fuzz_runtime()->heap.current) != before) abort();
}

static char fuzz_path[160];
static int fuzz_remove(const char *path, const struct stat *st, int type, struct FTW *at) {
    (void)st, (void)type, (void)at;
    return remove(path);
}
static void fuzz_leave(void) { nftw(fuzz_path, fuzz_remove, 8, FTW_DEPTH | FTW_PHYS); }

/* A folder of this process, gone with all in it when it ends; in NIB_FUZZ_FOLDER, which tools/fuzz removes whatever happens. */
static inline const char *fuzz_folder(void) {
    const char *parent = getenv("NIB_FUZZ_FOLDER");
    if (fuzz_path[0]) return fuzz_path;
    snprintf(fuzz_path, sizeof fuzz_path, "%.100s/nib-fuzz-XXXXXX", parent ? parent : "/dev/shm");
    if (!mkdtemp(fuzz_path) || atexit(fuzz_leave) != 0) abort();
    return fuzz_path;
}

static inline const char *fuzz_file(const char *name, const uint8_t *data, size_t size) {
    static char path[200];
    snprintf(path, sizeof path, "%s/%s", fuzz_folder(), name);
    FILE *f = fopen(path, "wb");
    if (!f || (size && fwrite(data, 1, size, f) != size) || fclose(f) != 0) abort();
    return path;
}

/* ---- running */

static run_session *fuzz_running;
static inline void fuzz_time_is_up(int number) {
    (void)number;
    if (fuzz_running) run_cancel(fuzz_running);
}

/* Half a second for a run: a Loop may be as long as it says, but it must be possible to end it. */
static inline void fuzz_clock(run_session *s) {
    signal(SIGALRM, fuzz_time_is_up);
    fuzz_running = s;
    setitimer(ITIMER_REAL, &(struct itimerval){.it_value = {.tv_usec = s ? 500000 : 0}, .it_interval = {.tv_usec = s ? 100000 : 0}}, NULL);
}

/* A tensor for the input: its fixed dims, 3 for others; small values. False for what it cannot make. */
static inline bool fuzz_input(base_arena *arena, const graph_value *v, nib_tensor *t) {
    static nib_string words[3] = {{"a", 1}, {"", 0}, {"nib", 3}};
    const graph_type *type = &v->type;
    memset(t, 0, sizeof *t);
    if (type->kind != GRAPH_KIND_TENSOR || type->dtype == NIB_DTYPE_UNDEFINED) return false;
    t->dtype = type->dtype;
    t->rank = type->rank < 0 ? 1 : type->rank;
    for (int k = 0; k < t->rank; k++)
        if (type->rank < 0 || !type->dims[k] || !graph_dim_is_const(type->dims[k], &t->dims[k])) t->dims[k] = 3;
    int64_t n = graph_tensor_elements(t);
    if (n < 0 || n > 1 << 16) return false;
    t->bytes = graph_type_bytes(t->dtype, (size_t)n);
    t->data = base_arena_calloc(arena, t->bytes + 16, 1);
    if (!t->data) return false;
    if (t->dtype == NIB_DTYPE_STRING)
        for (int64_t i = 0; i < n; i++) ((nib_string *)t->data)[i] = words[i % 3];
    else if (nib_dtype_bits(t->dtype) == 64 && t->dtype != NIB_DTYPE_F64)
        for (int64_t i = 0; i < n; i++) ((int64_t *)t->data)[i] = i % 3;
    else if (t->dtype == NIB_DTYPE_F32)
        for (int64_t i = 0; i < n; i++) ((float *)t->data)[i] = (float)(i % 5) - 2;
    else
        for (size_t i = 0; i < t->bytes; i++) ((uint8_t *)t->data)[i] = (uint8_t)(i % 2);
    return true;
}

static inline void fuzz_run(const graph *g, struct device *cpu) {
    nib_runtime *rt = fuzz_runtime();
    nib_error err;
    plan *p = NULL;
    run_session *s = NULL;
    base_arena arena;
    base_arena_init(&arena, &rt->heap);
    nib_tensor *in = base_arena_calloc(&arena, (size_t)g->n_inputs + 1, sizeof *in), out;
    const nib_tensor **given = base_arena_calloc(&arena, (size_t)g->n_inputs + 1, sizeof *given);
    bool ok = in && given;
    for (int i = 0; ok && i < g->n_inputs; i++) ok = (given[i] = &in[i], fuzz_input(&arena, g->inputs[i], &in[i]));
    if (ok && plan_build(rt, g, &cpu, 1, NULL, &p, &err) == NIB_OK && run_session_create(p, &s, &err) == NIB_OK) {
        fuzz_clock(s);
        if (run_tensors(s, given, &err) == NIB_OK)
            for (int i = 0; i < g->n_outputs; i++) run_output(s, i, &out, &err);
        fuzz_clock(NULL);
    }
    run_session_free(s);
    plan_free(p);
    base_arena_free(&arena);
}

/* Resolves, infers, optimizes a clone at `level`, and runs it, or, in a mode for files, writes it in their operators. */
static inline void fuzz_graph(graph *source, int level, pass_mode mode) {
    nib_runtime *rt = fuzz_runtime();
    nib_error err;
    graph *g = NULL;
    struct device *cpu = NULL;
    op_resolve(source);
    if (op_infer_graph(source, &err) == NIB_OK && graph_clone(source, &g, &err) == NIB_OK && cpu_open(rt, &cpu, &err) == NIB_OK) {
        pass_context ctx = {.g = g,
                            .runtime = rt,
                            .kernels = &((cpu_device *)cpu)->kernels,
                            .level = level,
                            .mode = mode,
                            .work_limit = FUZZ_WORK,
                            .err = &err};
        const bool runs = pass_mode_of(&ctx)->runs;
        nib_status status = pass_run_all(&ctx);
        if (status == NIB_OK && !runs) status = pass_expand(&ctx);
        if (status == NIB_OK && graph_verify(g, &err) != NIB_OK) abort(); /* a pass broke the graph */
        if (status == NIB_OK && runs) fuzz_run(g, cpu);
    }
    graph_free(g);
    if (cpu) cpu->table->close(cpu);
}

#endif
