/* SPDX-License-Identifier: Apache-2.0
 *
 * The simplifying passes: fold, clean, transpose, shape.
 */
#include "pass_test.h"

static void constants_fold(void **state) {
    pass_check_ops(
        HEAD
        "g (float[b,3] x) => (float[b,3] y) <float[3] a = {1,2,3}, float[3] c = {4,5,6}> { s = Add (a, c) m = Mul (s, a) y = Mul (x, m) }",
        PASSES(pass_fold, pass_clean), "Mul");
    /* an output may be a constant, and keeps its name */
    graph *g = pass_check_same(HEAD "g (float[b] x) => (float[2] y, float[b] z) <float[2] a = {1,2}> { y = Neg (a) z = Abs (x) }",
                               PASSES(pass_fold, pass_clean));
    assert_non_null(g->outputs[0]->constant);
    assert_string_equal(g->outputs[0]->name, "y");
    done(g);
    /* a large weight stays as it is in the file until somebody turns it, a product with it does not wait */
    pass_check_ops(HEAD "g (float[b,3,200] x) => (float[b,3,200] y) <float[3,200] a = {@}, float[200,200] w = {@}>"
                        " { t = Transpose (w) m = MatMul (a, t) y = Mul (x, m) }",
                   PASSES(pass_fold, pass_clean), "Mul");
}

static void sizes_fold_where_they_are_known(void **state) {
    pass_check_ops(HEAD "g (float[b,6] x) => (float[b,2,3] y) <int64 one = {1}, int64 zero = {0}, int64[1] ax = {0}, int64[1] two = {2}> {"
                        "  s = Shape (x) w = Gather <axis = 0> (s, one) h = Div (w, two) b = Gather <axis = 0> (s, zero)"
                        "  b1 = Unsqueeze (b, ax) to = Concat <axis = 0> (b1, two, h) y = Reshape (x, to) }",
                   PASSES(pass_fold, pass_clean), "Shape Gather Unsqueeze Concat Reshape");
    graph *g = pass_check_same(HEAD "g (float[4,6] x) => (int64[2] y) { y = Shape (x) }", PASSES(pass_fold, pass_clean));
    assert_non_null(g);
    done(g);
}

static void what_is_random_or_large_does_not_fold(void **state) {
    graph *g = parse_graph(HEAD "g (float[b] x) => (float[2] y) { y = RandomNormal <shape = [2]> () }");
    run_passes(g, PASSES(pass_fold, pass_clean));
    assert_string_equal(ops(g), "RandomNormal");
    graph_free(g);
    /* moved data larger than 64 KiB stays where the file has it */
    pass_check_ops(HEAD "g (float[1] x) => (float[200,200] y) <int64[2] to = {200,200}> { e = Expand (x, to) y = Neg (e) }",
                   PASSES(pass_fold, pass_clean), "Expand Neg");
    pass_check_ops(
        HEAD
        "g (float[200,200] x) => (float[200,200] y) <float[1] c = {2.5}, int64[2] to = {200,200}> { e = Expand (c, to) y = Mul (x, e) }",
        PASSES(pass_fold, pass_clean), "Expand Mul");
    g = parse_graph(HEAD "g (float[b] x) => (float[8,8] y) <float[8] a = {@}, int64[2] to = {8,1}> { r = Reshape (a, to) y = Mul (r, a) }");
    nib_error err;
    pass_context ctx = {
        .g = g, .runtime = test_runtime, .kernels = &test_kernels, .level = 1, .fold_limit = 100, .fold_left = 1000, .err = &err};
    assert_int_equal(pass_fold(&ctx), NIB_OK);
    assert_int_equal(pass_clean(&ctx), NIB_OK);
    assert_string_equal(ops(g), "Mul"); /* 256 bytes are beyond the limit */
    graph_free(g);
}

static void a_failing_constant_node_stays(void **state) {
    graph *g = parse_graph(
        HEAD "g (float[b] x) => (float[b] y, float[1] z) <float[2] t = {1,2}, int64[1] i = {7}> { z = Gather (t, i) y = Neg (x) }");
    run_passes(g, PASSES(pass_fold, pass_clean));
    assert_string_equal(ops(g), "Gather Neg");
    graph_free(g);
}

static void identities_go(void **state) {
    static const char *const gone[] = {
        "i = Identity (x) y = Neg (i)",
        "i = Cast <to = 1> (x) y = Neg (i)",
        "i = Dropout (x) y = Neg (i)",
        "i = Add (x, zero) y = Neg (i)",
        "i = Add (zero, x) y = Neg (i)",
        "i = Sub (x, zero) y = Neg (i)",
        "i = Mul (x, one) y = Neg (i)",
        "i = Mul (one, x) y = Neg (i)",
        "i = Div (x, one) y = Neg (i)",
        "i = Transpose <perm = [0,1]> (x) y = Neg (i)",
        "i = Mul (x, one1) y = Neg (i)",
        "i = Add (x, zero1) y = Neg (i)",
        "i = Neg (x) y = Identity (i)",
        "i = Neg (x) y = Mul (i, one)",
        "n = Slice (x, three, far, axis) i = Concat <axis = -1> (n, x, n) y = Neg (i)",
        "s = Shape (x) i = Reshape (x, s) y = Neg (i)",
        "s = Shape (x) i = Expand (x, s) y = Neg (i)",
    };
    static const char *const kept[][2] = {
        {"i = Sub (zero, x) y = Neg (i)", "Sub Neg"},
        {"i = Div (one, x) y = Neg (i)", "Div Neg"},
        {"i = Transpose <perm = [1,0]> (x) y = Transpose <perm = [1,0]> (i)", "Transpose Transpose"},
        {"i = Add (x, one) y = Neg (i)", "Add Neg"},
        {"i = Mul (x, zero) y = Neg (i)", "Mul Neg"},
        {"y = Identity (x)", "Identity"},
    };
    char text[600];
    for (size_t i = 0; i < BASE_COUNT(gone) + BASE_COUNT(kept); i++) {
        bool goes = i < BASE_COUNT(gone);
        snprintf(text, sizeof text,
                 HEAD "g (float[b,3] x) => (float[b,3] y) <float zero = {0}, float one = {1}, float[1] one1 = {1}, float[1,1] zero1 = {0}, "
                      "int64[1] three = {3}, int64[1] far = {9}, int64[1] axis = {1}> { %s }",
                 goes ? gone[i] : kept[i - BASE_COUNT(gone)][0]);
        pass_check_ops(text, PASSES(pass_clean), goes ? "Neg" : kept[i - BASE_COUNT(gone)][1]);
    }
    /* A Cast to the type that is there already has the shape of its input, of an unknown rank, too. */
    graph *g = parse_graph(HEAD "g (float[b] x, int64[n] to) => (float[b,1] y) { r = Reshape (x, to) i = Cast <to = 1> (r) y = Neg (i) }");
    run_passes(g, PASSES(pass_clean));
    assert_string_equal(ops(g), "Reshape Neg");
    graph_free(g);
}

static void a_broadcast_is_no_identity(void **state) {
    static const char *const bodies[][2] = {
        {"i = Add (x, zeros) y = Neg (i)", "Add Neg"},
        {"i = Mul (x, one5) y = Neg (i)", "Mul Neg"},
        {"i = Sub (x, zeros) y = Neg (i)", "Sub Neg"},
        {"i = Expand (x, to) y = Neg (i)", "Expand Neg"},
    };
    char text[600];
    for (size_t i = 0; i < BASE_COUNT(bodies); i++) {
        snprintf(text, sizeof text,
                 HEAD "g (float[1,3] x) => (float[%s] y) <float[1,1,1] one5 = {1}, float[2,1] zeros = {0,0}, int64[2] to = {4,3}> { %s }",
                 i == 1   ? "1,1,3"
                 : i == 3 ? "4,3"
                          : "2,3",
                 bodies[i][0]);
        pass_check_ops(text, PASSES(pass_clean), bodies[i][1]);
    }
    /* a symbol may be 1: x [b, 3] + 0 [1, 1] is x, but x [1, 3] + a [b, 1] of zeros is not */
    pass_check_ops(HEAD "g (float[1,3] x, float[b,3] z) => (float[b,3] y) <float[1] zero = {0}> { o = Mul (z, zero) y = Add (x, o) }",
                   PASSES(pass_clean), "Mul Add");
}

static void duplicates_go(void **state) {
    pass_check_ops(HEAD "g (float[b,3] x, float[b,3] z) => (float[b,3] y) { a = Add (x, z) c = Add (x, z) d = Mul (a, c) y = Neg (d) }",
                   PASSES(pass_clean), "Add Mul Neg");
    pass_check_ops(HEAD "g (float[b,3] x) => (float[b,3] y) { a = Softmax <axis = 1> (x) c = Softmax <axis = 0> (x) y = Mul (a, c) }",
                   PASSES(pass_clean), "Softmax Softmax Mul");
    pass_check_ops(HEAD "g (float[b,3] x, float[b,3] z) => (float[b,3] y) { a = Sub (x, z) c = Sub (z, x) y = Mul (a, c) }",
                   PASSES(pass_clean), "Sub Sub Mul");
    pass_check_ops(HEAD "g (float[b,3] x) => (float[b,3] y, float[b,3] w) { y = Neg (x) w = Neg (x) }", PASSES(pass_clean), "Neg Neg");
    pass_check_ops(HEAD "g (float[b,3] x) => (float[b,3] y) { a = Clip (x, \"\", \"\") c = Neg (a) y = Neg (c) }", PASSES(pass_clean),
                   "Clip Neg Neg");
}

static void dead_code_goes(void **state) {
    graph *g = pass_check_same(HEAD "g (float[b,3] x) => (float[b,3] y) <float[3] used = {1,2,3}, float[3] unused = {1,2,3}>"
                                    "{ a = Exp (x) c = Mul (a, unused) d = Exp (c) y = Mul (x, used) }",
                               PASSES(pass_clean));
    assert_string_equal(ops(g), "Mul");
    assert_int_equal(g->n_constants, 1);
    done(g);
}

static void outputs_keep_names(void **state) {
    graph *g = pass_check_same(HEAD "g (float[b,3] x) => (float[b,3] first, float[b,3] second, float[b,3] third)"
                                    "{ a = Neg (x) first = Identity (a) second = Identity (a) third = Identity (second) }",
                               PASSES(pass_clean, pass_clean));
    assert_string_equal(g->outputs[0]->name, "first");
    assert_string_equal(g->outputs[1]->name, "second");
    assert_string_equal(g->outputs[2]->name, "third");
    done(g);
}

static void subgraphs_keep_what_they_read(void **state) {
    graph *g = parse_graph(HEAD "g (float[b] x, bool c) => (float[b] y) { i = Identity (x) n = Neg (i) m = Neg (i)"
                                " y = If (c) <then_branch = t () => (float[b] ty) { ty = Add (n, m) }, else_branch = e () => (float[b] ey) "
                                "{ ey = Identity (m) }> }");
    run_passes(g, PASSES(pass_clean, pass_clean));
    assert_string_equal(ops(g), "Neg If");
    graph_free(g);
}

static void transposes_merge(void **state) {
    pass_check_ops(
        HEAD "g (float[b,s,2,3] x) => (float[2,b,3,s] y) { t = Transpose <perm = [0,2,1,3]> (x) y = Transpose <perm = [1,0,3,2]> (t) }",
        PASSES(pass_transpose, pass_clean), "Transpose");
    pass_check_ops(
        HEAD "g (float[b,s,2] x) => (float[b,s,2] y) { t = Transpose <perm = [2,0,1]> (x) u = Transpose <perm = [1,2,0]> (t) y = Neg (u) }",
        PASSES(pass_transpose, pass_clean), "Neg");
    pass_check_ops(HEAD "g (float[b,s] x) => (float[b,s] y) { t = Transpose (x) u = Transpose (t) y = Neg (u) }",
                   PASSES(pass_transpose, pass_clean), "Transpose Transpose Neg");
    graph *g = pass_check_same(HEAD "g (float[b,s,2,3] x) => (float[2,b,s,3] t, float[b,2,s,3] y) { t = Transpose <perm = [2,0,1,3]> (x) y "
                                    "= Transpose <perm = [1,0,2,3]> (t) }",
                               PASSES(pass_transpose, pass_clean));
    assert_string_equal(ops(g), "Transpose Transpose"); /* both outputs are there, each one Transpose of x */
    assert_ptr_equal(g->last->inputs[0].value, g->inputs[0]);
    done(g);
}

#define RESHAPED(perm, back, out)                                                                                                          \
    HEAD "g (float[2,3,4,5] x) => (float[" out "] y) <int64[3] a = {6,4,5}, int64[4] c = {" back "}> {"                                    \
         " r = Reshape (x, a) t = Transpose <perm = [" perm "]> (r) y = Reshape (t, c) }"

static void reshapes_around_a_transpose_go(void **state) {
    pass_check_ops(RESHAPED("0,2,1", "2,3,5,4", "2,3,5,4"), PASSES(pass_transpose, pass_clean), "Transpose");
    pass_check_ops(RESHAPED("0,2,1", "3,2,5,4", "3,2,5,4"), PASSES(pass_transpose, pass_clean), "Reshape Transpose Reshape");
    pass_check_ops(RESHAPED("0,2,1", "2,3,4,5", "2,3,4,5"), PASSES(pass_transpose, pass_clean), "Reshape Transpose Reshape");
    pass_check_ops(RESHAPED("1,2,0", "4,5,2,3", "4,5,2,3"), PASSES(pass_transpose, pass_clean), "Reshape Transpose Reshape");
}

static void sizes_are_read_from_inputs(void **state) {
    graph *g =
        pass_check_same(HEAD "g (int64[b,s] ids, float[b,s,4] x) => (float[s] y) <int64 one = {1}, int64[1] ax = {0}, int64 two = {2}> {"
                             " e = Exp (x) h = Shape (e) n = Gather <axis = 0> (h, one) m = Mul (n, two) k = Sub (m, n)"
                             " k1 = Unsqueeze (k, ax) y = ConstantOfShape (k1) }",
                        PASSES(pass_shape, pass_clean));
    assert_int_equal(count_op(g, "", "Exp"), 0);
    assert_int_equal(count_op(g, "", "Sub"), 0);
    assert_ptr_equal(find_op(g, "", "Shape")->inputs[0].value, g->inputs[0]);
    done(g);
}

static void size_outputs_keep_names(void **state) {
    graph *g = pass_check_same(HEAD "g (float[b,s] x) => (int64 p, int64 q, float[s] y) <int64 one = {1}, int64[1] ax = {0}> {"
                                    " e = Exp (x) f = Neg (x) h = Shape (e) p = Gather (h, one) k = Shape (f) q = Gather (k, one)"
                                    " p1 = Unsqueeze (p, ax) q1 = Unsqueeze (q, ax) r = Concat <axis = 0> (p1, q1) t = ReduceMax <keepdims "
                                    "= 1> (r) y = ConstantOfShape (t) }",
                               PASSES(pass_shape, pass_clean, pass_shape, pass_clean));
    assert_string_equal(g->outputs[0]->name, "p");
    assert_string_equal(g->outputs[1]->name, "q");
    done(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(constants_fold),
        cmocka_unit_test(sizes_fold_where_they_are_known),
        cmocka_unit_test(what_is_random_or_large_does_not_fold),
        cmocka_unit_test(a_failing_constant_node_stays),
        cmocka_unit_test(identities_go),
        cmocka_unit_test(a_broadcast_is_no_identity),
        cmocka_unit_test(duplicates_go),
        cmocka_unit_test(dead_code_goes),
        cmocka_unit_test(outputs_keep_names),
        cmocka_unit_test(subgraphs_keep_what_they_read),
        cmocka_unit_test(transposes_merge),
        cmocka_unit_test(reshapes_around_a_transpose_go),
        cmocka_unit_test(sizes_are_read_from_inputs),
        cmocka_unit_test(size_outputs_keep_names),
    };
    return cmocka_run_group_tests(tests, pass_setup, pass_teardown);
}
