/* SPDX-License-Identifier: Apache-2.0
 *
 * The proof: graphs that compute the same agree to the last bit, others are told apart, also where only sizes beyond a window
 * or padded masks show it; what cannot be run is said.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "model/model_optimize.h"

static nib_runtime *runtime;

static int setup(void **state) {
    nib_runtime_options options = {.size = sizeof options, .threads = 2};
    nib_error err;
    (void)state;
    return base_runtime_create(&options, &runtime, &err) == NIB_OK ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    base_runtime_release(runtime);
    return 0;
}

static graph *parse(const char *text) {
    nib_error err = {0};
    graph *g = NULL;
    if (graph_parse(&runtime->heap, text, strlen(text), &g, &err) != NIB_OK) fail_msg("%s\n%s", text, err.message);
    op_resolve(g);
    if (op_infer_graph(g, &err) != NIB_OK) fail_msg("%s\n%s", text, err.message);
    return g;
}

static bool tokens_only;

static double worst(const char *a, const char *b, model_proof *proof) {
    nib_error err = {0};
    graph *x = parse(a), *y = parse(b);
    if (model_prove(runtime, x, y, tokens_only, proof, &err) != NIB_OK) fail_msg("%s", err.message);
    double off = model_proof_worst(proof);
    graph_free(x);
    graph_free(y);
    return off;
}

#define HEAD "<ir_version: 8, opset_import: [\"\" : 17, \"other\" : 1]> "

/* Rows of [batch, seq, 64] and of [batch, seq, 4, 16] in one graph: a chain over the rows that are not the main ones is walked in
 * blocks, too, and its values must not share memory. */
#define ROWS(scale, first, second)                                                                                                         \
    HEAD "g (float[batch,seq,64] x) => (float[batch,seq,4,16] y) <int64[4] s = {0,0,4,16}, float p = {2}, float e = {0.001}, "             \
         "float[16] o = {1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1}, float " scale " = {1}> {"                                                       \
         " a = Pow (x, p) b = ReduceMean <axes = [-1], keepdims = 1> (a) c = Add (b, e) d = Sqrt (c) " first " v = Reshape (m, s)"         \
         " f = Pow (v, p) h = ReduceMean <axes = [-1], keepdims = 1> (f) i = Add (h, e) r = Sqrt (i) u = Mul (v, r) " second               \
         " y = Neg (w) }"

static void chains_over_other_rows(void **state) {
    model_proof proof;
    (void)state;
    for (int i = 0; i < 3; i++) /* what lies in fresh memory differs */
        assert_true(worst(ROWS("k", "m = Mul (x, d)", "w = Mul (o, u)"), ROWS("k", "n = Mul (x, d) m = Mul (k, n)", "w = Mul (o, u)"),
                          &proof) == 0);
    assert_true(proof.ran && proof.trials == 4);
}

/* Rows of closed tokens differ here, and only they. */
static void rows_of_padding_may_be_left_out(void **state) {
#define MASKED(pad)                                                                                                                        \
    HEAD "g (int64[b,s] ids, int64[b,s] mask) => (float[b,s,3] y) <float[9,3] table = "                                                    \
         "{1,2,3,4,5,6,7,8,9,1,2,3,4,5,6,7,8,9,1,2,3,4,5,6,7,8,9}, "                                                                       \
         "float pad = {" pad "}, int64[1] last = {-1}> { e = Gather (table, ids) c = Cast <to = 9> (mask) open = Unsqueeze (c, last) "     \
         "y = Where (open, e, pad) }"
    model_proof proof;
    (void)state;
    assert_true(worst(MASKED("0"), MASKED("7"), &proof) > 0.5);
    tokens_only = true;
    assert_true(worst(MASKED("0"), MASKED("7"), &proof) == 0);
    assert_true(worst(MASKED("0"),
                      HEAD "g (int64[b,s] ids, int64[b,s] mask) => (float[b,s,3] y) <float[9,3] table = {0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,"
                           "0,0,0,0,0,0,0,0,0,0,0}> { y = Gather (table, ids) }",
                      &proof) > 0.5);
    tokens_only = false;
}

static void what_differs_is_seen(void **state) {
    model_proof proof;
    (void)state;
    assert_true(worst(HEAD "g (float[n,4] x) => (float[n,4] y) { y = Abs (x) }", HEAD "g (float[n,4] x) => (float[n,4] y) { y = Relu (x) }",
                      &proof) > 0.1);
    assert_true(proof.ran);
    /* another shape; an output that is not there */
    assert_true(worst(HEAD "g (float[n,4] x) => (float[n,4] y) { y = Abs (x) }",
                      HEAD "g (float[n,4] x) => (float[4,n] y) { t = Abs (x) y = Transpose <perm = [1,0]> (t) }", &proof) > 1e30);
    assert_true(
        worst(HEAD "g (float[n] x) => (float[n] y) { y = Abs (x) }", HEAD "g (float[n] x) => (float[n] z) { z = Abs (x) }", &proof) > 1e30);
    /* only a mask with padding tells these apart */
    assert_true(worst(HEAD "g (int64[b,s] ids, int64[b,s] mask) => (int64[b,s] y) { y = Mul (ids, mask) }",
                      HEAD "g (int64[b,s] ids, int64[b,s] mask) => (int64[b,s] y) { y = Identity (ids) }", &proof) > 0);
    /* beyond position 50 a window begins */
    assert_true(worst(HEAD "g (float[b,s] x) => (float[b,s] y) <int64 zero = {0}, int64 one = {1}, int64 w = {50}, float f = {0}> {"
                           " sh = Shape (x) n = Gather (sh, one) r = Range (zero, n, one) c = Less (r, w) y = Where (c, x, f) }",
                      HEAD "g (float[b,s] x) => (float[b,s] y) { y = Identity (x) }", &proof) > 0.1);
}

/* Sums of sizes, by their names: with another size these do not run. */
static void sums_of_sizes_are_read(void **state) {
    model_proof proof;
    (void)state;
    static const char text[] =
        HEAD "g (float[b,\"past + seq\"] m, float[b,seq] x, float[b,past] p, float[b,\"past + 1\"] l, float[b,1] o) => "
             "(float[b,n] y, float[b,k] z) { c = Concat <axis = 1> (p, x) y = Add (c, m) "
             "i = Concat <axis = 1> (p, o) z = Add (i, l) }";
    assert_true(worst(text, text, &proof) == 0);
    assert_true(proof.ran && proof.trials == 4);
}

static void what_cannot_be_run_is_said(void **state) {
    model_proof proof;
    (void)state;
    static const char odd[] = HEAD "g (float[n] x) => (float[n] y) { y = other.Odd (x) }";
    worst(odd, odd, &proof);
    assert_false(proof.ran);
    assert_non_null(strstr(proof.why, "Odd has no evaluation"));
    static const char sequence[] = HEAD "g (seq(float[n]) x) => (int64 y) { y = SequenceLength (x) }";
    worst(sequence, sequence, &proof);
    assert_false(proof.ran);
    assert_non_null(strstr(proof.why, "input x"));
}

/* The range of a value over the proof's inputs; -1: unknown. */
static pass_range range_of(const char *text, const char *name, char why[MODEL_WHY]) {
    static pass_range ranges[100];
    nib_error err = {0};
    graph *g = parse(text);
    assert_in_range(g->value_limit, 0, 98);
    if (model_measure(runtime, g, ranges, why, &err) != NIB_OK) fail_msg("%s", err.message);
    pass_range r = ranges[graph_find_value(g, name)->id];
    graph_free(g);
    return r;
}

static void ranges_are_measured(void **state) {
    char why[MODEL_WHY];
    (void)state;
    static const char text[] = HEAD
        "g (float[b,s,4] x, int64[b,s] mask) => (float[b,s,4] y) <float k = {4000}, float low = {-1e9}, float one = {1}, int64[1] ax = "
        "{2}> {"
        " n = Mul (x, k) c = Cast <to = 1> (mask) i = Sub (one, c) l = Mul (i, low) u = Unsqueeze (l, ax) m = Add (n, u) y = Softmax (m) }";
    pass_range r = range_of(text, "n", why);
    assert_string_equal(why, "");
    assert_true(r.largest > 3500 && r.largest <= 4000 && r.plain == r.largest);
    r = range_of(text, "m", why); /* padded masks were among the inputs */
    assert_true(r.largest >= 9.9e8f && r.plain > 3000 && r.plain <= 4000);
    r = range_of(text, "x", why);
    assert_true(r.largest > 0.9f && r.largest <= 1);
    r = range_of(text, "y", why);
    assert_true(r.largest > 0 && r.largest <= 1);
    r = range_of(HEAD "g (float[n] x) => (float[n] y) { t = other.Strange (x) y = Abs (x) }", "y", why);
    assert_true(r.largest < 0 && strstr(why, "Strange"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chains_over_other_rows),          cmocka_unit_test(what_differs_is_seen),
        cmocka_unit_test(rows_of_padding_may_be_left_out), cmocka_unit_test(what_cannot_be_run_is_said),
        cmocka_unit_test(sums_of_sizes_are_read),          cmocka_unit_test(ranges_are_measured),
    };
    return cmocka_run_group_tests_name("model_prove", tests, setup, teardown);
}
