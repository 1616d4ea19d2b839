/* SPDX-License-Identifier: Apache-2.0
 *
 * Optimizing a model whose weights, turned, merged or halved, are more than memory may hold: they lie in a file without a name beside the
 * result, which is the same bytes as without a ceiling. In: a model made here, 12 weights of 2 MB behind Transposes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <dirent.h>
#include <unistd.h>

#include "rewrite/rewrite.h"

#define LAYERS 12
#define NARROW 512
#define WIDE 1024
#define CEILING ((size_t)16 << 20) /* the weights are 25 MB */

static char folder[] = "/tmp/nib-large-XXXXXX", model[64];

static nib_runtime *runtime_with(size_t ceiling) {
    nib_runtime_options o = {.size = sizeof o, .threads = 2, .memory_limit = ceiling};
    nib_runtime *runtime;
    nib_error err;
    assert_int_equal(base_runtime_create(&o, &runtime, &err), NIB_OK);
    return runtime;
}

static graph_value *turned_weight(graph *g, int layer) {
    graph_tensor t = {.dtype = NIB_DTYPE_F32, .rank = 2, .dims = {layer % 2 ? NARROW : WIDE, layer % 2 ? WIDE : NARROW}};
    t.bytes = sizeof(float) * NARROW * WIDE;
    float *data = t.data = base_arena_alloc(g->arena, t.bytes);
    uint32_t x = (uint32_t)layer + 1;
    for (size_t i = 0; i < (size_t)NARROW * WIDE; i++) data[i] = 1e-6f * (float)((int)((x = x * 1664525u + 1013904223u) >> 16) - 32768);
    graph_value *v = graph_emit(g, NULL, "", "Transpose", (graph_value *[]){graph_add_constant(g, "weight", &t, false)}, 1, "turned");
    assert_int_equal(graph_set_ints(v->producer, "perm", (int64_t[]){1, 0}, 2), NIB_OK);
    return v;
}

static int setup(void **state) {
    nib_runtime *runtime = runtime_with(0);
    graph *g;
    nib_error err;
    (void)state;
    if (!mkdtemp(folder)) return -1;
    snprintf(model, sizeof model, "%s/model.onnx", folder);
    assert_int_equal(graph_create(&runtime->heap, &g, &err), NIB_OK);
    graph_set_opset(g, "", 17, &err);
    graph_value *v = graph_add_value(g, "x");
    v->type = (graph_type){
        .dtype = NIB_DTYPE_F32, .rank = 2, .dims = {graph_dim_symbol(g->symbols, "batch"), graph_dim_const(g->symbols, NARROW)}};
    graph_add_input(g, v);
    for (int i = 0; i < LAYERS; i++) {
        v = graph_emit(g, NULL, "", "MatMul", (graph_value *[]){v, turned_weight(g, i)}, 2, "product");
        v = graph_emit(g, NULL, "", "Tanh", &v, 1, "y");
    }
    graph_add_output(g, v);
    op_resolve(g);
    assert_int_equal(op_infer_graph(g, &err), NIB_OK);
    nib_status status = onnx_save(runtime, g, model, NULL, &err);
    graph_free(g);
    base_runtime_release(runtime);
    return status == NIB_OK ? 0 : -1;
}

static int files_in_folder(bool remove_them) {
    int n = 0;
    DIR *dir = opendir(folder);
    for (struct dirent *e; (e = readdir(dir));) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
        if (remove_them) unlinkat(dirfd(dir), e->d_name, 0);
        n++;
    }
    closedir(dir);
    return n;
}

static int teardown(void **state) {
    (void)state;
    files_in_folder(true);
    return rmdir(folder);
}

static void optimize(const char *out, int level, size_t ceiling) {
    nib_runtime *runtime = runtime_with(ceiling);
    nib_error err = {0};
    nib_memory memory;
    nib_report *report = NULL;
    nib_optimize_options o;
    nib_optimize_defaults(&o, sizeof o);
    o.runtime = runtime;
    o.level = level;
    if (nib_optimize_file(model, out, &o, &report, &err) != NIB_OK) fail_msg("level %d: %s", level, err.message);
    if (!strstr(nib_report_text(report), "differs by at most")) fail_msg("%s", nib_report_text(report)); /* both ran below it, too */
    nib_runtime_memory(runtime, &memory, sizeof memory);
    if (ceiling) assert_true(memory.peak <= ceiling);
    else assert_true(memory.peak > CEILING);
    nib_report_free(report);
    base_runtime_release(runtime);
}

static void weights_beyond_memory_are_written_the_same(void **state) {
    char a[64], b[64];
    nib_runtime *runtime = runtime_with(0);
    (void)state;
    snprintf(a, sizeof a, "%s/a.onnx", folder);
    snprintf(b, sizeof b, "%s/b.onnx", folder);
    for (int level = 1; level <= 4; level += 3) {
        base_file x, y;
        nib_error err;
        optimize(a, level, 0);
        optimize(b, level, CEILING);
        assert_int_equal(files_in_folder(false), 3);
        assert_int_equal(base_file_open(&runtime->heap, a, false, &x, &err), NIB_OK);
        assert_int_equal(base_file_open(&runtime->heap, b, false, &y, &err), NIB_OK);
        assert_true(x.size > (size_t)(level == 4 ? 12 : 25) * 1000 * 1000 && x.size == y.size && memcmp(x.data, y.data, x.size) == 0);
        base_file_close(&x);
        base_file_close(&y);
    }
    base_runtime_release(runtime);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(weights_beyond_memory_are_written_the_same)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
