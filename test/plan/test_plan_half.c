/* SPDX-License-Identifier: Apache-2.0
 *
 * Weights in f16 and bf16, which nib.Linear and nib.Embed read as the file has them: the same packed bytes for every kernel, and the same
 * bits out of a whole plan, as of their f32 forms.
 */
#include "../pass/pass_test.h"
#include "base/base_half.h"
#include "cpu/cpu.h"
#include "plan/plan.h"
#include "run/run.h"

/* Ways of the file to a table, a weight and a turned weight of f32, of which the halves are 64 KB and more. */
#define GRAPH(to)                                                                                                                          \
    HEAD "g (int64[b,s] ids) => (float[b,s,240] y) <float[300,256] t0 = {@}, float[256,140] w0 = {@}, float[240,140] v0 = {@}> {"          \
         " t1 = Cast <to = " to "> (t0) w1 = Cast <to = " to "> (w0) v1 = Cast <to = " to "> (v0)"                                         \
         " t = Cast <to = 1> (t1) w = Cast <to = 1> (w1) v2 = Cast <to = 1> (v1)"                                                          \
         " x = Gather (t, ids) h = MatMul (x, w) v = Transpose <perm = [1, 0]> (v2) y = MatMul (h, v) }"

typedef struct made {
    graph *source, *g;
    struct device *cpu;
    plan *p;
    run_session *s;
} made;

/* The graph after all passes and, if `task`, with its weights as they are; run on ids. */
static made run_graph_of(const char *text, bool task, nib_tensor *ids, nib_tensor *out) {
    nib_error err = {0};
    made m = {.source = parse_graph(text)};
    pass_context halve = {.g = m.source,
                          .runtime = test_runtime,
                          .kernels = &test_kernels,
                          .level = 1,
                          .mode = PASS_MODE_FILE,
                          .err = &err};
    halve.fold_limit = halve.fold_left = 1u << 24;
    assert_int_equal(pass_fold(&halve), NIB_OK); /* constants become halves; back to f32 they would be larger */
    assert_int_equal(pass_clean(&halve), NIB_OK);
    m.g = clone_graph(m.source);
    pass_context ctx = {.g = m.g,
                        .runtime = test_runtime,
                        .kernels = &test_kernels,
                        .level = 2,
                        .mode = task ? PASS_MODE_TASK_PADDED : PASS_MODE_EXACT,
                        .err = &err};
    assert_int_equal(pass_run_all(&ctx), NIB_OK);
    assert_int_equal(cpu_open(test_runtime, &m.cpu, &err), NIB_OK);
    if (plan_build(test_runtime, m.g, &m.cpu, 1, NULL, &m.p, &err) != NIB_OK) fail_msg("%s", err.message);
    assert_int_equal(run_session_create(m.p, &m.s, &err), NIB_OK);
    if (run_tensors(m.s, (const nib_tensor *const[]){ids}, &err) != NIB_OK) fail_msg("%s (%s)", err.message, err.node);
    assert_int_equal(run_output(m.s, 0, out, &err), NIB_OK);
    return m;
}

static void end(made *m) {
    run_session_free(m->s);
    plan_free(m->p);
    m->cpu->table->close(m->cpu);
    graph_free(m->g);
    graph_free(m->source);
}

static void a_plan_of_halves(void **state) {
    static const struct {
        const char *text;
        nib_dtype type;
    } rows[] = {{GRAPH("10"), NIB_DTYPE_F16}, {GRAPH("16"), NIB_DTYPE_BF16}};
    int64_t numbers[2][5] = {{0, 299, 7, -1, 120}, {3, 3, 250, 64, 1}};
    nib_tensor ids = {.dtype = NIB_DTYPE_I64, .rank = 2, .dims = {2, 5}, .data = numbers, .bytes = sizeof numbers}, got, want;
    for (size_t i = 0; i < BASE_COUNT(rows); i++) {
        made half = run_graph_of(rows[i].text, true, &ids, &got), wide = run_graph_of(rows[i].text, false, &ids, &want);
        assert_string_equal(ops(half.g), "nib.Embed nib.Linear nib.Linear");
        assert_string_equal(ops(wide.g), "nib.Embed nib.Linear nib.Linear");
        for (const graph_node *n = half.g->first; n; n = n->next) assert_int_equal(n->inputs[1].value->constant->dtype, rows[i].type);
        for (const graph_node *n = wide.g->first; n; n = n->next) assert_int_equal(n->inputs[1].value->constant->dtype, NIB_DTYPE_F32);
        for (int k = 0; k < half.p->n_steps; k++) assert_string_not_equal(half.p->steps[k].kernel, "eval");
        assert_int_equal(got.bytes, 2 * 5 * 240 * sizeof(float));
        assert_int_equal(got.bytes, want.bytes);
        assert_memory_equal(got.data, want.data, want.bytes);
        end(&half);
        end(&wide);
    }
}

#define MOST_K 52
#define MOST_N 77

/* One weight of columns [1, N), halves and f32, packed by one kernel. */
static void pack_both(cpu_device *d, const kernel_linear *kernel, nib_dtype type, bool trans, const float *factor) {
    static uint16_t half[MOST_K * MOST_N + 1];
    static float wide[MOST_K * MOST_N];
    const int64_t K = MOST_K, N = MOST_N, first = trans ? 1 : 0; /* a part of a weight begins at any column */
    const void *a, *b;
    nib_error err = {0};
    uint32_t seed = 11;
    for (int i = 0; i < MOST_K * MOST_N; i++) {
        float x = i % 97 == 0 ? 3e-6f : random_float(&seed);
        half[i + 1] = type == NIB_DTYPE_F16 ? base_f32_to_f16(x) : base_f32_to_bf16(x);
        wide[i] = type == NIB_DTYPE_F16 ? base_f16_to_f32(half[i + 1]) : base_bf16_to_f32(half[i + 1]);
    }
    graph g = {0};
    graph_tensor h = {.dtype = type,
                      .rank = 2,
                      .dims = {trans ? N : K, trans ? K : N},
                      .data = half + 1,
                      .bytes = sizeof half - sizeof half[0]};
    graph_tensor w = {
        .dtype = NIB_DTYPE_F32, .rank = 2, .dims = {trans ? N : K, trans ? K : N}, .data = wide, .bytes = sizeof wide};
    plan *p = base_calloc(&test_runtime->heap, 1, sizeof *p); /* enough of one to own what is packed */
    *p = (plan){.runtime = base_runtime_retain(test_runtime), .g = &g};
    base_arena_init(&p->arena, &test_runtime->heap);
    assert_int_equal(cpu_weight_get(d, p, &h, trans, first, N - first, factor, kernel, &a, &err), NIB_OK);
    assert_int_equal(cpu_weight_get(d, p, &w, trans, first, N - first, factor, kernel, &b, &err), NIB_OK);
    assert_ptr_not_equal(a, b);
    assert_memory_equal(a, b, kernel->packed_bytes(N - first, K));
    plan_free(p);
}

static void every_kernel_packs_halves_alike(void **state) {
    static float factor[MOST_K];
    nib_error err;
    int packed = 0;
    for (int k = 0; k < MOST_K; k++) factor[k] = k % 3 ? 1 : 4;
    for (int way = 0; way < 8; way++) {
        struct device *cpu;
        assert_int_equal(cpu_open(test_runtime, &cpu, &err), NIB_OK);
        cpu_device *d = (cpu_device *)cpu;
        for (const kernel_linear *const *k = d->kernels.linear; *k; k++, packed++)
            pack_both(d, *k, way & 1 ? NIB_DTYPE_F16 : NIB_DTYPE_BF16, (way & 2) != 0, way & 4 ? factor : NULL);
        cpu->table->close(cpu);
    }
    assert_true(packed >= 24);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_plan_of_halves), cmocka_unit_test(every_kernel_packs_halves_alike)};
    return cmocka_run_group_tests_name("plan_half", tests, pass_setup, pass_teardown);
}
