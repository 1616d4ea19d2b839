/* SPDX-License-Identifier: Apache-2.0
 *
 * The proof: graphs that compute the same agree to the last bit, others are told apart, also where only sizes beyond a window
 * or padded masks show it; what cannot be run is said.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "rewrite/rewrite.h"

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

static int how;

static double worst(const char *a, const char *b, rewrite_proof *proof) {
    nib_error err = {0};
    graph *x = parse(a), *y = parse(b);
    if (rewrite_prove(runtime, x, y, how, proof, &err) != NIB_OK) fail_msg("%s", err.message);
    double off = rewrite_proof_worst(proof);
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
    rewrite_proof proof;
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
    rewrite_proof proof;
    (void)state;
    assert_true(worst(MASKED("0"), MASKED("7"), &proof) > 0.5);
    how = REWRITE_PROVE_TOKENS;
    assert_true(worst(MASKED("0"), MASKED("7"), &proof) == 0);
    assert_true(worst(MASKED("0"),
                      HEAD "g (int64[b,s] ids, int64[b,s] mask) => (float[b,s,3] y) <float[9,3] table = {0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,"
                           "0,0,0,0,0,0,0,0,0,0,0}> { y = Gather (table, ids) }",
                      &proof) > 0.5);
    how = REWRITE_PROVE_WHOLE;
}

static void what_differs_is_seen(void **state) {
    rewrite_proof proof;
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
    /* only one that is padded on the left */
    assert_true(worst(HEAD "g (int64[b,s] ids, int64[b,s] mask) => (int64[b] y) <int64 i0 = {0}> { y = Gather <axis = 1> (mask, i0) }",
                      HEAD "g (int64[b,s] ids, int64[b,s] mask) => (int64[b] y) <int64 i0 = {0}> { z = Gather <axis = 1> (mask, i0) "
                           "e = Equal (z, z) y = Cast <to = 7> (e) }", &proof) > 0);
    /* beyond position 50 a window begins */
    assert_true(worst(HEAD "g (float[b,s] x) => (float[b,s] y) <int64 zero = {0}, int64 one = {1}, int64 w = {50}, float f = {0}> {"
                           " sh = Shape (x) n = Gather (sh, one) r = Range (zero, n, one) c = Less (r, w) y = Where (c, x, f) }",
                      HEAD "g (float[b,s] x) => (float[b,s] y) { y = Identity (x) }", &proof) > 0.1);
}

/* A quantized layer, q8 by QDQ and by dynamic quantization, whose first values lie at the middle of two steps. `scaled` computes k v. */
#define QUANTIZED(scaled, w, scale, zero, heads)                                                                                           \
    HEAD "g (float[b,s,4] x) => (float[b,s,4] y) <float four = {4}, float eighth = {0.125}, float k = {0.7}, float over = {1.4285714},"    \
         " float step = {0.175}, uint8 middle = {128}, int8[4,4] w = {" w "}, float ws = {0.02}, int8 wz = {0}, float rs = {" scale "},"   \
         " uint8 rz = {" zero "}> { c = Mul (x, four) r = Round (c) g = Div (r, four) v = Add (g, eighth) " scaled                         \
         " q = QuantizeLinear (n, step, middle) d = DequantizeLinear (q, rs, rz) lo, hi = Split <axis = 2> (d)"                            \
         " h = Concat <axis = 2> (" heads ") m = Mul (h, k) i, is, iz = DynamicQuantizeLinear (m) p = MatMulInteger (i, w, iz, wz)"        \
         " f = Cast <to = 1> (p) t = Mul (is, ws) y = Mul (f, t) }"
#define WEIGHTS "10,20,30,40, 50,-60,70,-80, 90,-10,20,100, -50,40,-30,20"
#define AS_IT_IS "n = Mul (v, k)"
#define WITH_NOISE "n = Div (v, over)"

static void noise_does_not_travel_through_roundings(void **state) {
    static const char same[] = QUANTIZED(AS_IT_IS, WEIGHTS, "0.175", "128", "lo, hi");
    static const char noisy[] = QUANTIZED(WITH_NOISE, WEIGHTS, "0.175", "128", "lo, hi");
    rewrite_proof proof;
    (void)state;
    how = REWRITE_PROVE_WHOLE;
    assert_true(worst(same, noisy, &proof) > 0.01); /* a step, where one lies between two */
    how = REWRITE_PROVE_PARTS;
    assert_true(worst(same, noisy, &proof) < 1e-6);
    assert_int_equal(proof.roundings.cuts, 3);
    how = REWRITE_PROVE_WHOLE;
}

static void faults_of_quantized_graphs_are_seen(void **state) {
    static const char same[] = QUANTIZED(AS_IT_IS, WEIGHTS, "0.175", "128", "lo, hi");
    static const struct {
        const char *what, *text;
    } faults[] = {
        {"a column times 1.1", QUANTIZED(WITH_NOISE, "10,20,33,40, 50,-60,77,-80, 90,-10,22,100, -50,40,-33,20", "0.175", "128", "lo, hi")},
        {"two heads swapped", QUANTIZED(WITH_NOISE, WEIGHTS, "0.175", "128", "hi, lo")},
        {"one scale doubled", QUANTIZED(WITH_NOISE, WEIGHTS, "0.35", "128", "lo, hi")},
        {"one zero point off by one", QUANTIZED(WITH_NOISE, WEIGHTS, "0.175", "129", "lo, hi")},
        {"another constant in front", QUANTIZED("n = Mul (v, eighth)", WEIGHTS, "0.175", "128", "lo, hi")},
    };
    rewrite_proof proof;
    (void)state;
    how = REWRITE_PROVE_PARTS;
    for (size_t i = 0; i < BASE_COUNT(faults); i++) {
        double off = worst(same, faults[i].text, &proof);
        if (!proof.ran || proof.roundings.cuts != 3 || !(off > 1e-3))
            fail_msg("%s: %g, %d cuts", faults[i].what, off, proof.roundings.cuts);
    }
    how = REWRITE_PROVE_WHOLE;
}

/* Where the counts differ, names pair what they can; where nothing can be paired both are compared as a whole, and the proof says so. */
static void roundings_that_have_no_pair(void **state) {
    static const char two[] = HEAD "g (float[b,4] x) => (float[b,4] y) <float k = {3}> { a = Mul (x, k) r = Round (a) c = Mul (r, k) "
                                   "s = Round (c) y = Neg (s) }";
    static const char one[] =
        HEAD "g (float[b,4] x) => (float[b,4] y) <float k = {3}> { a = Mul (x, k) r = Round (a) c = Mul (r, k) y = Neg (c) }";
    static const char none[] = HEAD "g (float[b,4] x) => (float[b,4] y) <float k = {3}> { a = Mul (x, k) y = Neg (a) }";
    rewrite_proof proof;
    (void)state;
    how = REWRITE_PROVE_PARTS;
    assert_true(worst(two, one, &proof) < 1e-6); /* threefold integers are integers */
    assert_int_equal(proof.roundings.cuts, 1);
    assert_true(worst(two, none, &proof) > 0.01);
    assert_int_equal(proof.roundings.cuts, 0);
    assert_int_equal(proof.roundings.count[0], 2);
    how = REWRITE_PROVE_WHOLE;
}

/* Sums of sizes, by their names: with another size these do not run. */
static void sums_of_sizes_are_read(void **state) {
    rewrite_proof proof;
    (void)state;
    static const char text[] =
        HEAD "g (float[b,\"past + seq\"] m, float[b,seq] x, float[b,past] p, float[b,\"past + 1\"] l, float[b,1] o) => "
             "(float[b,n] y, float[b,k] z) { c = Concat <axis = 1> (p, x) y = Add (c, m) "
             "i = Concat <axis = 1> (p, o) z = Add (i, l) }";
    assert_true(worst(text, text, &proof) == 0);
    assert_true(proof.ran && proof.trials == 4);
}

/* Masks that look like none at every length that their constants alone suggest: the other graph has lost them. */
static void masks_that_show_late_are_missed(void **state) {
#define WINDOWED(seen)                                                                                                                     \
    HEAD                                                                                                                                   \
        "g (int64[b,s] ids) => (float[b,s,2] y) <float[9,2] table = {1,2,3,4,5,6,7,8,9,1,2,3,4,5,6,7,8,9}, int64 c64 = {64}, int64 c8 = "  \
        "{8}, int64 c0 = {0}, int64 c1 = {1}, float zero = {0}, float lowest = {-3.4e38}, float quarter = {0.25}, float ten = {40}, "      \
        "int64[1] a0 = {0}, int64[1] a1 = {1}, float[2,1] w = {1, -1}> { x = Gather (table, ids) sh = Shape (ids) n = Gather (sh, c1) "    \
        "r = Range (c0, n, c1) i = Unsqueeze (r, a1) j = Unsqueeze (r, a0) d0 = Sub (i, j) d = Abs (d0) " seen                             \
        " bias = Where (seen, zero, lowest) t = Transpose <perm = [0,2,1]> (x) q = MatMul (x, t) qb = Add (q, bias) p = Softmax (qb) y = " \
        "MatMul (p, x) }"
    static const char *const masks[] = {
        "more = Div (i, c8) limit = Add (more, c64) seen = LessOrEqual (d, limit)",
        "bi = Div (i, c64) bj = Div (j, c64) e = Sub (bi, bj) ea = Abs (e) seen = LessOrEqual (ea, c1)",
        "f = Cast <to = 1> (d) g = Mul (f, quarter) seen = LessOrEqual (g, ten)",
    };
    rewrite_proof proof;
    (void)state;
    for (size_t i = 0; i < sizeof masks / sizeof *masks; i++) {
        char with[3000];
        snprintf(with, sizeof with, "%s", WINDOWED("@"));
        char *at = strchr(with, '@'), rest[1000];
        snprintf(rest, sizeof rest, "%s", at + 1);
        snprintf(at, sizeof with - (size_t)(at - with), "%s%s", masks[i], rest);
        assert_true(worst(with, with, &proof) == 0 && proof.ran);
        assert_true(worst(with, WINDOWED("seen = GreaterOrEqual (d, c0)"), &proof) > 1e-3);
    }
}

static void what_cannot_be_run_is_said(void **state) {
    rewrite_proof proof;
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
static pass_range range_of(const char *text, const char *name, char why[REWRITE_WHY]) {
    static pass_range ranges[100];
    nib_error err = {0};
    graph *g = parse(text);
    assert_in_range(g->value_limit, 0, 98);
    if (rewrite_measure(runtime, g, ranges, why, &err) != NIB_OK) fail_msg("%s", err.message);
    pass_range r = ranges[graph_find_value(g, name)->id];
    graph_free(g);
    return r;
}

static void ranges_are_measured(void **state) {
    char why[REWRITE_WHY];
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

static void save(const char *text, const char *path) {
    nib_error err = {0};
    graph *g = parse(text);
    if (onnx_save(runtime, g, path, NULL, &err) != NIB_OK) fail_msg("%s", err.message);
    graph_free(g);
}

/* Two files that have nothing to compare by are different, not the same for want of a comparison. */
static void models_of_other_faces(void **state) {
    static const char first[] = HEAD "g (float[n,4] x) => (float[n,4] y) { y = Abs (x) }";
    static const struct {
        const char *second, *says; /* NULL: the same */
    } rows[] = {
        {HEAD "g (float[n,4] x) => (float[n,4] y) { t = Neg (x) y = Abs (t) }", NULL},
        {HEAD "g (float[n,4] x) => (float[n,4] y, float[n,4] z) { y = Abs (x) z = Neg (x) }", NULL},
        {HEAD "g (float[n,4] x, float[4] w = {1,1,1,1}) => (float[n,4] y) { t = Mul (x, w) y = Abs (t) }", NULL},
        {HEAD "g (float[n,4] a) => (float[n,4] b) { b = Abs (a) }", "input a is only in the second"},
        {HEAD "g (float[n,4] x, float[4] w) => (float[n,4] y) { y = Abs (x) z = Neg (w) }",
         "input w is only in the second"},
        {HEAD "g (float[n,4] x) => (float[n,4] z) { z = Abs (x) }", "no output of the same name"},
        {HEAD "g (float[n,4] x) => (float[n,4] y) { y = Neg (x) }", "compute different outputs"},
    };
    char a[] = "/tmp/nib-diff-XXXXXX", b[] = "/tmp/nib-diff-XXXXXX";
    (void)state;
    assert_true(mkstemp(a) >= 0 && mkstemp(b) >= 0);
    save(first, a);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        nib_optimize_options o;
        nib_report *report = NULL;
        nib_error err = {0};
        save(rows[i].second, b);
        nib_optimize_defaults(&o, sizeof o);
        for (o.check = 0; o.check < 2; o.check++) {
            const bool same = !rows[i].says || (!o.check && strstr(rows[i].says, "compute different"));
            nib_status status = rewrite_diff_files(runtime, a, b, &o, &report, &err);
            if (status != (same ? NIB_OK : NIB_DIFFERENT) || (!same && !strstr(err.message, rows[i].says)))
                fail_msg("%s, check %d: %d %s", rows[i].second, o.check, status, err.message);
            assert_non_null(report);
            nib_report_free(report);
        }
    }
    remove(a);
    remove(b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chains_over_other_rows),
        cmocka_unit_test(what_differs_is_seen),
        cmocka_unit_test(rows_of_padding_may_be_left_out),
        cmocka_unit_test(masks_that_show_late_are_missed),
        cmocka_unit_test(what_cannot_be_run_is_said),
        cmocka_unit_test(sums_of_sizes_are_read),
        cmocka_unit_test(noise_does_not_travel_through_roundings),
        cmocka_unit_test(faults_of_quantized_graphs_are_seen),
        cmocka_unit_test(roundings_that_have_no_pair),
        cmocka_unit_test(ranges_are_measured),
        cmocka_unit_test(models_of_other_faces),
    };
    return cmocka_run_group_tests_name("rewrite_prove", tests, setup, teardown);
}
