/* SPDX-License-Identifier: Apache-2.0
 *
 * Convolutions with what scales and shifts their channels, pads before them, Gemm; bodies, and branches that are always taken. All on
 * graphs that compute the same before and after.
 */
#include "pass_test.h"

static nib_status only_simplify(pass_context *ctx) { return ctx->level = 1, ctx->mode = PASS_MODE_FILE, NIB_OK; }
#define ALL PASSES(only_simplify, pass_run_all)
#define CONV(c)                                                                                                                            \
    HEAD "g (float[b,4,7,9] x) => (float[b," c ",s2,h2] y) <float[6,4,3,3] w = {@}, float[6] c0 = {@}, float[6] g6 = {@},"                 \
         " float[6] b6 = {@}, float[6] m6 = {@}, float[6] v6 = {1, 2, 0.5, 3, 1, 2}, float[6,1,1] k = {@}, float[1,6,1,1] k4 = {@},"       \
         " float[1] one = {2.5}, float[9] last = {@}, float[4,2,3,3] wt = {@}, float[4] v4 = {1, 2, 0.5, 3}, float[4] g4 = {@}> {"

static void norms_go_into_convolutions(void **state) {
    graph *g =
        pass_check_same(CONV("6") "m = Conv <pads = [1,1,1,1]> (x, w, c0) y = BatchNormalization (m, g6, b6, m6, v6) }", PASSES(pass_conv));
    assert_string_equal(ops(g), "Conv");
    assert_string_equal(g->outputs[0]->name, "y");
    done(g);
    pass_check_ops(CONV("6") "m = Conv <pads = [1,1,1,1]> (x, w) y = BatchNormalization <epsilon = 0.1> (m, g6, b6, m6, v6) }",
                   PASSES(pass_conv), "Conv"); /* no bias before */
    /* group 2 of ConvTranspose: channels are group x columns */
    pass_check_ops(CONV("4") "m = ConvTranspose <group = 2> (x, wt) y = BatchNormalization (m, g4, g4, g4, v4) }", PASSES(pass_conv),
                   "ConvTranspose");
    /* someone else reads what is not normalized */
    pass_check_ops(CONV("6") "m = Conv <pads = [1,1,1,1]> (x, w, c0) n = BatchNormalization (m, g6, b6, m6, v6) y = Add (m, n) }",
                   PASSES(pass_conv), "Conv BatchNormalization Add");
    pass_check_ops(CONV("4") "y = BatchNormalization (x, g4, g4, g4, v4) }", PASSES(pass_conv), "BatchNormalization");
}

static void factors_go_into_convolutions(void **state) {
    pass_check_ops(CONV("6") "m = Conv (x, w) n = Mul (k, m) o = Add (n, k4) p = Sub (o, k) y = Div (p, one) }", PASSES(pass_conv), "Conv");
    pass_check_ops(CONV("4") "m = ConvTranspose <group = 2> (x, wt) n = Mul (m, one) y = Sub (n, one) }", PASSES(pass_conv),
                   "ConvTranspose");
    pass_check_ops(CONV("6") "m = Conv <pads = [1,1,1,1]> (x, w) y = Mul (m, last) }", PASSES(pass_conv),
                   "Conv Mul");                                                                  /* along another axis */
    pass_check_ops(CONV("6") "m = Conv (x, w) y = Sub (k, m) }", PASSES(pass_conv), "Conv Sub"); /* the other way round */
}

#define PAD(more)                                                                                                                          \
    HEAD "g (float[b,4,7,9] x) => (float[b,c,s2,h2] y) <float[2,4,1,1] w = {@}, int64[8] p = {0,0,1,0,0,0,2,1}, float zero = {0},"         \
         " float low = {-3.4028235e38}, float two = {2}, int64[8] q = {0,1,1,0,0,0,0,0}, int64[8] r = {0,0,-1,0,0,0,0,0}> {" more " }"

static void pads_go_into_what_follows(void **state) {
    graph *g = pass_check_same(PAD("m = Pad (x, p, zero) y = Conv <pads = [0,1,0,0]> (m, w)"), PASSES(pass_conv, pass_clean));
    const int64_t *pads, want[] = {1, 1, 2, 1};
    assert_string_equal(ops(g), "Conv");
    assert_int_equal(graph_attr_ints(g->first, "pads", &pads), 4);
    assert_memory_equal(pads, want, sizeof want);
    done(g);
    pass_check_ops(PAD("m = Pad (x, p) y = AveragePool <kernel_shape = [3,3]> (m)"), PASSES(pass_conv, pass_clean), "AveragePool");
    pass_check_ops(PAD("m = Pad (x, p, low) y = MaxPool <kernel_shape = [3,3]> (m)"), PASSES(pass_conv, pass_clean), "MaxPool");
    static const char *const stay[] = {
        PAD("m = Pad (x, p, zero) y = MaxPool <kernel_shape = [3,3]> (m)"),
        PAD("m = Pad (x, p, two) y = Conv (m, w)"),
        PAD("m = Pad <mode = \"edge\"> (x, p) y = Conv (m, w)"),
        PAD("m = Pad (x, r) y = Conv (m, w)"),
        PAD("m = Pad (x, p) y = Conv <auto_pad = \"SAME_UPPER\"> (m, w)"),
        PAD("m = Pad (x, p, low) y = AveragePool <kernel_shape = [3,3]> (m)"),
        PAD("m = Pad (x, p) y = AveragePool <kernel_shape = [3,3], pads = [1,1,1,1]> (m)"),
    };
    for (size_t i = 0; i < BASE_COUNT(stay); i++) {
        g = pass_check_same(stay[i], PASSES(pass_conv, pass_clean));
        if (strncmp(ops(g), "Pad ", 4) != 0) fail_msg("%s: %s", stay[i], ops(g));
        done(g);
    }
}

static void rank_2_is_a_gemm(void **state) {
    pass_check_ops(HEAD "g (float[b,4] x) => (float[b,3] y) <float[4,3] w = {@}, float[3] c = {@}> { m = MatMul (x, w) y = Add (c, m) }",
                   PASSES(pass_gemm), "Gemm");
    pass_check_ops(HEAD
                   "g (float[b,s,4] x) => (float[b,s,3] y) <float[4,3] w = {@}, float[3] c = {@}> { m = MatMul (x, w) y = Add (m, c) }",
                   PASSES(pass_gemm), "MatMul Add");
    pass_check_ops(
        HEAD "g (float[b,4] x) => (float[b,3] y, float[b,3] m) <float[4,3] w = {@}, float[3] c = {@}> { m = MatMul (x, w) y = Add (m, c) }",
        PASSES(pass_gemm), "MatMul Add");
    pass_check_ops(HEAD "g (float[1,4] x) => (float[5,3] y) <float[4,3] w = {@}, float[5,3] c = {@}> { m = MatMul (x, w) y = Add (m, c) }",
                   PASSES(pass_gemm), "MatMul Add"); /* the sum has more rows */
}

static void bodies_are_simplified(void **state) {
    graph *g = pass_check_same(HEAD "g (float[b,4] x, bool[1] mask) => (float[b,4] y) <float[4,4] w = {@}, float two = {2}> {"
                                    " h = MatMul (x, w) r = If (mask) <then_branch = t () => (float[b,4] o) <float three = {3}> {"
                                    " k = Mul (two, three) i = Identity (h) j = Mul (i, k) dead = Abs (j) o = Identity (j) },"
                                    " else_branch = e () => (float[b,4] o2) { a = Abs (h) c = Abs (h) o2 = Add (a, c) }> y = Relu (r) }",
                               ALL);
    assert_string_equal(ops(g), "MatMul If Relu");
    const graph_node *n = find_op(g, "", "If");
    assert_string_equal(ops(graph_find_attr(n, "then_branch")->u.graph), "Mul");
    assert_string_equal(ops(graph_find_attr(n, "else_branch")->u.graph), "Abs Add");
    assert_int_equal(g->n_constants, 1); /* the branch has its own factor now */
    done(g);
    /* a branch that returns a value of the graph around it needs its Identity */
    g = pass_check_same(HEAD "g (float[b,4] x, bool[1] mask) => (float[b,4] y) <float[4] w = {1,2,3,4}> { h = Mul (x, w) r = If (mask)"
                             " <then_branch = t () => (float[b,4] o) { o = Identity (h) },"
                             " else_branch = e () => (float[b,4] o2) { o2 = Neg (h) }> y = Relu (r) }",
                        ALL);
    assert_string_equal(ops(graph_find_attr(find_op(g, "", "If"), "then_branch")->u.graph), "Identity");
    done(g);
}

/* What a loop carries changes: nothing that is known of its first value may be taken for granted in the body. */
static void loops_count(void **state) {
    graph *g = pass_check_same(
        HEAD "g (float[b,4] x) => (float[b,4] y, int64 n) <int64 five = {5}, bool yes = {1}, int64 zero = {0}, int64 one = {1}> {"
             " y, n = Loop (five, yes, x, zero) <body = l (int64 i, bool c, float[b,4] v, int64 k) =>"
             " (bool c2, float[b,4] v2, int64 k2) { c2 = Identity (c) two = Add (one, one) k2 = Add (k, two)"
             " f = Cast <to = 1> (k2) v1 = Mul (v, f) v2 = Identity (v1) }> }",
        ALL);
    const graph *body = graph_find_attr(find_op(g, "", "Loop"), "body")->u.graph;
    assert_int_equal(count_op(body, "", "Add"), 1);
    assert_int_equal(count_op(body, "", "Mul"), 1);
    done(g);
}

#define BRANCH(which)                                                                                                                      \
    HEAD "g (float[b,4] x, bool[1] mask) => (float[b,4] y) <float[4,4] w = {@}, bool yes = {" which "}> { h = MatMul (x, w) r = If (yes)"  \
         " <then_branch = t () => (float[b,4] o) <float three = {3}> { m = Mul (h, three) o = If (mask)"                                   \
         " <then_branch = t2 () => (float[b,4] p) { p = Add (m, h) }, else_branch = e2 () => (float[b,4] q) { q = Sub (m, h) }> },"        \
         " else_branch = e () => (float[b,4] o2) { h2 = Abs (h) o2 = Neg (h2) }> y = Relu (r) }"

static void branches_that_are_always_taken(void **state) {
    graph *g = pass_check_same(BRANCH("1"), ALL);
    assert_string_equal(ops(g), "MatMul Mul If Relu"); /* a body in the branch comes along */
    assert_int_equal(graph_find_attr(find_op(g, "", "If"), "then_branch")->u.graph->depth, 1);
    graph *copy = clone_graph(g);
    assert_string_equal(ops(copy), "MatMul Mul If Relu");
    done(copy);
    done(g);
    pass_check_ops(BRANCH("0"), ALL, "MatMul Abs Neg Relu");
    /* both outputs of the graph are what the branch returns: a constant, and one value twice */
    pass_check_ops(
        HEAD "g (float[b,4] x) => (float[b,4] y, float[2] z, float[b,4] y2) <bool yes = {1}> { y, z, y2 = If (yes)"
             " <then_branch = t () => (float[b,4] o, float[2] k, float[b,4] o2) <float[2] k = {1, 2}> { o = Neg (x) o2 = Identity (o) },"
             " else_branch = e () => (float[b,4] p, float[2] q, float[b,4] r) <float[2] q = {3, 4}> { p = Abs (x) r = Abs (x) }> }",
        PASSES(only_simplify, pass_branch, pass_clean), "Neg Identity");
}

static void names_in_bodies_hide_nothing(void **state) {
    graph *g = parse_graph(HEAD "g (float[b,4] x, bool[1] mask) => (float[b,4] y) { h = Neg (x) y = If (mask)"
                                " <then_branch = t () => (float[b,4] o) { a = Abs (h) o = Add (a, h) },"
                                " else_branch = e () => (float[b,4] o2) { a = Relu (h) o2 = Add (a, h) }> }");
    graph_value *v = graph_emit(g, find_op(g, "", "If"), "", "Exp", &g->inputs[0], 1, "a"); /* what a pass might make */
    assert_string_equal(v->name, "a");
    graph_node *n = graph_find_attr(find_op(g, "", "If"), "then_branch")->u.graph->first;
    run_passes(g, PASSES(pass_body_names));
    assert_string_equal(n->outputs[0]->name, "a_1");
    assert_string_equal(n->next->outputs[0]->name, "o");
    done(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(norms_go_into_convolutions),     cmocka_unit_test(factors_go_into_convolutions),
        cmocka_unit_test(pads_go_into_what_follows),      cmocka_unit_test(rank_2_is_a_gemm),
        cmocka_unit_test(bodies_are_simplified),          cmocka_unit_test(loops_count),
        cmocka_unit_test(branches_that_are_always_taken), cmocka_unit_test(names_in_bodies_hide_nothing),
    };
    return cmocka_run_group_tests_name("pass_conv", tests, pass_setup, pass_teardown);
}
