/* SPDX-License-Identifier: Apache-2.0
 *
 * Attention in a plan against the operator's own eval, where a query has no key: zeros, or NaN if the operator says so.
 * In: graphs. Out: the same numbers and the same NaNs from the kernel's step.
 */
#include "../pass/pass_test.h"
#include "cpu/cpu.h"
#include "plan/plan.h"
#include "run/run.h"

/* Keys are hidden by a mask, in rows of a text's own or in one for all queries. */
static const char *const biases[] = {
    "mk = Unsqueeze (mb, v12) bias = Where (mk, zero, ninf)",
    "mk = Unsqueeze (mb, v12) mq = Unsqueeze (mb, v13) both = And (mk, mq) bias = Where (both, zero, ninf)",
};
static const char *const attributes[] = {"", ", causal = 1", ", window_left = 1",
                                         ", window_left = 2, window_right = 1"};

static int nans(const nib_tensor *t) {
    int count = 0;
    for (size_t i = 0; i < t->bytes / sizeof(float); i++) count += isnan(((const float *)t->data)[i]) != 0;
    return count;
}

/* How many NaN there are. kernel: of the step. */
static int check(const char *text, const char *kernel, double tolerance) {
    enum { B = 3, S = 6, C = 8 };
    nib_error err = {0};
    struct device *cpu;
    plan *p;
    run_session *s;
    nib_tensor got, inputs[2];
    const nib_tensor *list[] = {&inputs[0], &inputs[1]};
    graph *g = parse_graph(text);
    base_arena arena;
    base_arena_init(&arena, &test_runtime->heap);
    const int64_t sizes[2] = {B, S};
    uint32_t seed = 99;
    for (int i = 0; i < 2; i++) fill_input(&arena, g->inputs[i], sizes, 2, &seed, &inputs[i]);
    assert_int_equal(cpu_open(test_runtime, &cpu, &err), NIB_OK);
    if (plan_build(test_runtime, g, &cpu, 1, NULL, &p, &err) != NIB_OK) fail_msg("%s", err.message);
    for (int i = 0; i < p->n_steps; i++)
        if (strcmp(p->steps[i].node->op, "Attention") == 0) assert_string_equal(p->steps[i].kernel, kernel);
    assert_int_equal(run_session_create(p, &s, &err), NIB_OK);
    if (run_tensors(s, list, &err) != NIB_OK) fail_msg("%s (%s)", err.message, err.node);
    assert_int_equal(run_output(s, 0, &got, &err), NIB_OK);
    compare(run_graph(g, &arena, sizes, 2, 0), &got, "y", false, tolerance);
    int count = nans(&got);
    run_session_free(s);
    plan_free(p);
    cpu->table->close(cpu);
    base_arena_free(&arena);
    graph_free(g);
    return count;
}

static void queries_without_keys(void **state) {
    char text[1000];
    int found[2] = {0};
    for (size_t b = 0; b < BASE_COUNT(biases); b++)
        for (size_t a = 0; a < BASE_COUNT(attributes); a++)
            for (int masked_nan = 0; masked_nan < 2; masked_nan++)
                for (mask_kind = 0; mask_kind < MASK_KINDS; mask_kind++) {
                    snprintf(text, sizeof text,
                             HEAD "g (float[b,s,8] q, int64[b,s] mask) => (float[b,s,8] y) <float zero = {0}, float "
                                  "ninf = {-inf}, "
                                  "int64[2] v12 = {1,2}, int64[2] v13 = {1,3}> { k = Neg (q) v = Relu (q) mb = Cast "
                                  "<to = 9> (mask) %s "
                                  "y = nib.Attention <heads = 2, scale = 0.5, masked_nan = %d%s> (q, k, v, bias) }",
                             biases[b], masked_nan, attributes[a]);
                    found[masked_nan] += check(text, "attention_f32", 1e-5);
                }
    mask_kind = MASK_FULL;
    assert_int_equal(found[0], 0);
    assert_true(found[1] > 0);
}

/* More keys than queries, and fewer, with a mask of keys or none; what counts distances between them is the eval's. */
static void keys_of_their_own(void **state) {
    static const char *const queries[] = {"q = Identity (x) k = Concat <axis = 1> (x, n) v = Concat <axis = 1> (n, r) "
                                          "bb = Concat <axis = 3> (bias, bias)",
                                          "q = Concat <axis = 1> (x, n, r) k = Neg (n) v = Relu (x) bb = Identity (bias)"};
    static const char *const ends[] = {"(q, k, v, bb)", "(q, k, v)"};
    char text[1000];
    int found = 0;
    for (size_t i = 0; i < BASE_COUNT(queries) * BASE_COUNT(ends) * BASE_COUNT(attributes); i++)
        for (mask_kind = 0; mask_kind < MASK_KINDS; mask_kind++) {
            const char *attribute = attributes[i / 4];
            snprintf(text, sizeof text,
                     HEAD "g (float[b,s,8] x, int64[b,s] mask) => (float[b,u,8] y) <float zero = {0}, float ninf = {-inf}, "
                          "int64[2] v12 = {1,2}> { n = Neg (x) r = Relu (x) mb = Cast <to = 9> (mask) mk = Unsqueeze (mb, v12) "
                          "bias = Where (mk, zero, ninf) %s y = nib.Attention <heads = 2, scale = 0.5, masked_nan = 1%s> %s }",
                     queries[i % 2], attribute, ends[i / 2 % 2]);
            found += check(text, attribute[0] ? "eval" : "attention_f32", 1e-5);
        }
    mask_kind = MASK_FULL;
    assert_true(found > 0);
}

/* Tables by distance: in the order that kernels want; in another, which the eval takes; in few bits. */
static void tables_by_distance(void **state) {
    static const struct {
        const char *rows, *operands, *attributes, *kernel;
        double tolerance;
    } cases[] = {
        {"int32[7] rows = {0,1,1,2,3,3,4}", "rk, rq, rows", "", "attention_f32", 1e-5},
        {"int32[7] rows = {0,1,1,2,3,3,4}", "rk, \"\", rows", ", window_left = 2", "attention_f32", 1e-5},
        {"int32[5] rows = {0,1,2,3,4}", "\"\", rq, rows", ", causal = 1", "attention_f32", 1e-5},
        {"int32[5] rows = {0,1,2,3,4}", "rk, rq, rows", ", precision = \"q8\"", "attention_q8", 0.02},
        {"int32[5] rows = {0,1,2,3,4}", "rk, \"\", rows, rb", "", "attention_f32", 1e-5},
        {"int32[5] rows = {0,1,2,3,4}", "\"\", \"\", rows, rb", ", precision = \"q8\"", "attention_q8", 0.02},
        {"int32[5] rows = {4,3,2,1,0}", "rk, rq, rows", "", "eval", 1e-5},
        {"int32[3] rows = {0,1,2}", "rk, rq, rows", "", "eval", 1e-5},
        {"int32[3] rows = {0,2,4}", "rk, rq, rows", "", "eval", 1e-5},
    };
    char text[1000];
    for (size_t i = 0; i < BASE_COUNT(cases); i++) {
        snprintf(text, sizeof text,
                 HEAD
                 "g (float[b,s,32] q, int64[b,s] mask) => (float[b,s,32] y) <float[2,5,16] rk = {@}, float[2,5,16] "
                 "rq = {@}, float[2,5] rb = {@}, %s> { k = Neg (q) v = Relu (q) y = nib.Attention <heads = 2, scale = "
                 "0.25%s> (q, k, v, "
                 "\"\", \"\", \"\", %s) }",
                 cases[i].rows, cases[i].attributes, cases[i].operands);
        char *full = fill_text(text);
        assert_int_equal(check(full, cases[i].kernel, cases[i].tolerance), 0);
        base_free(&test_runtime->heap, full);
    }
}

/* The kernel of integer products takes larger ones for larger scores. */
static void scores_that_are_turned(void **state) {
    static const char *const scales[] = {"0.25", "-0.25"};
    for (int i = 0; i < 2; i++) {
        char text[600];
        snprintf(text, sizeof text,
                 HEAD "g (float[b,s,32] q, int64[b,s] mask) => (float[b,s,32] y) { k = Neg (q) v = Relu (q) "
                      "y = nib.Attention <heads = 2, scale = %s, precision = \"q8\"> (q, k, v) }",
                 scales[i]);
        assert_int_equal(check(text, i ? "attention_f32" : "attention_q8", i ? 1e-5 : 0.02), 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(queries_without_keys), cmocka_unit_test(keys_of_their_own),
                                       cmocka_unit_test(tables_by_distance),
                                       cmocka_unit_test(scores_that_are_turned)};
    return cmocka_run_group_tests(tests, pass_setup, pass_teardown);
}
