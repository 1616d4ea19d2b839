/* SPDX-License-Identifier: Apache-2.0
 *
 * The simplifying passes that know where a value stands: look-ups of everything in order, views around element-wise nodes, quotients,
 * and sizes that are read as vectors and as numbers.
 */
#include "pass_test.h"

#define SIZES "sh = Shape (ids) nb = Gather (sh, i0) ns = Gather (sh, i1) rb = Range (i0, nb, i1) rs = Range (i0, ns, i1) "
#define GRID(body, out)                                                                                                                    \
    HEAD "g (int64[b,s] ids, float[b,s] x, float[s,b] z, float[b,s,3] w) => (float[" out                                                   \
         "] y) <int64 i0 = {0}, int64 i1 = {1}, int64 i2 = {2}, "                                                                          \
         "int64[1] v0 = {0}, int64[1] v1 = {1}, int64[1] far = {9223372036854775807}, int64[1] e = {-1}, int64[3] a123 = {1,2,3}, "        \
         "int64[3] a012 = {0,1,2}, int64[2] a12 = {1,2}> { " SIZES body " }"
/* Indices of x as torch.export writes them: two ranges, each along its axis of [b, 1, 1, s]. */
#define BOTH(first, second)                                                                                                                \
    "b4 = Unsqueeze (" first ") s4 = Unsqueeze (" second ") m = Max (b4, s4) to = Shape (m) be = Expand (b4, to) se = Expand (s4, to) "    \
    "b5 = Unsqueeze (be, e) s5 = Unsqueeze (se, e) "

static const pass_fn grid_passes[] = {pass_grid, pass_clean, NULL};

static void look_ups_of_everything_go(void **state) {
    pass_check_ops(GRID(BOTH("rb, a123", "rs, a012") "i = Concat <axis = -1> (b5, s5) y = GatherND (x, i)", "b,1,1,s"), grid_passes,
                   "Unsqueeze");
    pass_check_ops(GRID("g = Gather <axis = 1> (x, rs) y = Neg (g)", "b,s"), grid_passes, "Neg");
    pass_check_ops(GRID("g = Gather <axis = -2> (w, rs) y = Neg (g)", "b,s,3"), grid_passes, "Neg");
    /* x[:, -s:], where inference does not know how much that is */
    pass_check_ops(GRID("m = Neg (ns) m1 = Unsqueeze (m, v0) g = Slice (x, m1, far, v1) y = Neg (g)", "b,s"), grid_passes, "Neg");
    pass_check_ops(GRID("n1 = Unsqueeze (ns, v0) g = Slice (x, v0, n1, v1) y = Neg (g)", "b,s"), grid_passes, "Neg");
    pass_check_ops(GRID("n1 = Unsqueeze (ns, v0) m1 = Neg (n1) g = Slice (z, m1, far, v1) y = Neg (g)", "s,t"), grid_passes,
                   "Shape Gather Unsqueeze Neg Slice Neg"); /* of the other axis */
    /* rows of three: the last axis comes along */
    pass_check_ops(GRID(BOTH("rb, a123", "rs, a012") "i = Concat <axis = -1> (b5, s5) y = GatherND (w, i)", "b,1,1,s,3"), grid_passes,
                   "Unsqueeze");
}

static void other_look_ups_stay(void **state) {
    static const struct {
        const char *text;
        const char *end; /* of the operators that are left */
    } kept[] = {
        {GRID("p = Neg (rs) q = Add (p, ns) r = Sub (q, i1) g = Gather <axis = 1> (x, r) y = Neg (g)", "b,s"),
         "Gather Neg"}, /* from behind */
        {GRID("n1 = Add (ns, i1) r = Range (i1, n1, i1) r0 = Sub (r, i1) g = Gather <axis = 1> (x, r0) y = Neg (g)", "b,t"), "Gather Neg"},
        {GRID("r = Range (i0, ns, i2) g = Gather <axis = 1> (x, r) y = Neg (g)", "b,t"), "Gather Neg"},
        /* turned: axes in another order than the value's */
        {GRID(BOTH("rb, a012", "rs, a123") "i = Concat <axis = -1> (b5, s5) y = GatherND (x, i)", "s,1,1,b"), "GatherND"},
        /* once for each of b: looked up again and again */
        {GRID("se = Expand (rs, sh) y = Gather <axis = 1> (x, se)", "b,b,s"), "Gather"},
    };
    for (size_t i = 0; i < BASE_COUNT(kept); i++) {
        graph *g = pass_check_same(kept[i].text, grid_passes);
        size_t n = strlen(ops(g)), want = strlen(kept[i].end);
        if (n < want || strcmp(ops(g) + n - want, kept[i].end) != 0) fail_msg("%s\nleaves %s", kept[i].text, ops(g));
        done(g);
    }
}

/* ---- views */

#define VIEWS(body, out)                                                                                                                   \
    HEAD "g (float[b,s,4] x, float[b,s,4] z, float[b,s] u) => (float[" out "] y) <int64[2] rows = {-1,4}, float half = {0.5}, "            \
         "float three = {3}, float[4] c = {@}, float[4,4] w = {@}> { "                                                                     \
         "sx = Shape (x) " body " }"

static void views_around_elements_go(void **state) {
    static const struct {
        const char *text, *want;
    } table[] = {
        {VIEWS("a = Neg (x) r = Reshape (a, rows) m = Mul (r, half) p = Pow (r, three) t = Tanh (p) d = Add (m, t) q = Reshape (d, sx) y = "
               "Neg (q)",
               "b,s,4"),
         "Neg Mul Pow Tanh Add Neg"},
        {VIEWS("r = Reshape (x, rows) k = Reshape (z, rows) d = Add (r, k) q = Reshape (d, sx) y = Neg (q)", "b,s,4"), "Add Neg"},
        {VIEWS("r = Reshape (x, rows) d = Add (r, c) q = Reshape (d, sx) y = Neg (q)", "b,s,4"), "Add Neg"},
        {VIEWS(
             "r = Reshape (x, rows) d = Clip (r, half, three) e = Cast <to = 11> (d) f = Cast <to = 1> (e) q = Reshape (f, sx) y = Neg (q)",
             "b,s,4"),
         "Clip Cast Cast Neg"},
        /* read twice behind it, both seen as before */
        {VIEWS("r = Reshape (x, rows) d = Exp (r) q = Reshape (d, sx) k = Reshape (d, sx) o = Neg (k) y = Add (q, o)", "b,s,4"),
         "Exp Neg Add"},
        /* what stays: another reader, a product of rows, an output between, constants that fit one of the shapes only */
        {VIEWS("r = Reshape (x, rows) d = Exp (r) l = ReduceSum (d) q = Reshape (d, sx) y = Add (q, l)", "b,s,4"),
         "Shape Reshape Exp ReduceSum Reshape Add"},
        {VIEWS("r = Reshape (x, rows) d = MatMul (r, w) q = Reshape (d, sx) y = Neg (q)", "b,s,4"), "Shape Reshape MatMul Reshape Neg"},
        {VIEWS("r = Reshape (x, rows) d = Softmax <axis = 0> (r) q = Reshape (d, sx) y = Neg (q)", "b,s,4"),
         "Shape Reshape Softmax Reshape Neg"},
        {VIEWS("r = Reshape (x, rows) d = Exp (r) y = Reshape (d, sx)", "b,s,4"), "Shape Reshape Exp Reshape"},
    };
    for (size_t i = 0; i < BASE_COUNT(table); i++) pass_check_ops(table[i].text, PASSES(pass_views, pass_clean), table[i].want);
    /* a matrix that broadcasts along rows of the one shape is nothing in the other */
    pass_check_ops(HEAD "g (float[6,4] x) => (float[6,4] y) <int64[3] to = {2,3,4}, int64[2] back = {6,4}, float[3,4] c = {@}> {"
                        " r = Reshape (x, to) d = Add (r, c) q = Reshape (d, back) y = Neg (q) }",
                   PASSES(pass_views, pass_clean), "Reshape Add Reshape Neg");
    pass_check_ops(HEAD "g (float[6,4] x) => (float[6,4] y) <int64[2] to = {12,2}, int64[2] back = {6,4}, float[2] c = {@}> {"
                        " r = Reshape (x, to) d = Add (r, c) q = Reshape (d, back) y = Neg (q) }",
                   PASSES(pass_views, pass_clean), "Reshape Add Reshape Neg");
}

/* Two Gemms with an activation between them that runs on folded rows: as if the rows had never been folded. */
static void folded_rows_meet_their_linears(void **state) {
    graph *g = pass_check_same(
        HEAD "g (float[b,s,4] x) => (float[b,s,4] y) <int64[2] rows = {-1,4}, float[4,6] w1 = {@}, float[6] b1 = {@}, float[6,4] w2 = {@}, "
             "float[4] b2 = {@}, float half = {0.5}, float one = {1}, float root = {1.4142135}> {"
             " sx = Shape (x) r = Reshape (x, rows) h = Gemm (r, w1, b1) d = Div (h, root) e = Erf (d) f = Add (e, one) m = Mul (h, f) a = "
             "Mul (m, half)"
             " o = Gemm (a, w2, b2) v = Reshape (o, sx) y = Add (v, x) }",
        PASSES(pass_reshape, pass_clean, pass_linear, pass_rows, pass_activation, pass_clean));
    assert_string_equal(ops(g), "nib.Linear nib.Linear");
    assert_int_equal(g->outputs[0]->type.rank, 3);
    done(g);
}

/* ---- numbers */

static void products_with_a_reciprocal_are_quotients(void **state) {
    static const char *const head =
        HEAD "g (float[b,3] x, float[b,1] z) => (float[b,3] y%s) <float one = {1}, float two = {2}, float[1,1,1] one3 = {1}> { %s }";
    static const struct {
        const char *more, *body, *want;
    } table[] = {
        {"", "e = Exp (z) r = Reciprocal (e) y = Mul (x, r)", "Exp Div"},
        {"", "e = Exp (z) r = Reciprocal (e) y = Mul (r, x)", "Exp Div"},
        {"", "e = Exp (z) r = Div (one, e) y = Mul (x, r)", "Exp Div"},
        {"", "e = Exp (z) r = Div (two, e) y = Mul (x, r)", "Exp Div Mul"},
        {"", "e = Exp (z) r = Reciprocal (e) m = Mul (x, r) y = Add (m, r)", "Exp Reciprocal Mul Add"},
        {", float[b,1] r", "e = Exp (z) r = Reciprocal (e) y = Mul (x, r)", "Exp Reciprocal Mul"},
    };
    for (size_t i = 0; i < BASE_COUNT(table); i++) {
        char text[600];
        snprintf(text, sizeof text, head, table[i].more, table[i].body);
        pass_check_ops(text, PASSES(pass_algebra, pass_clean), table[i].want);
    }
}

static void neutral_conditions_go(void **state) {
    static const char *const table[][2] = {
        {"a = And (k, yes) y = Not (a)", "Greater Not"},   {"a = And (yes, k) y = Not (a)", "Greater Not"},
        {"a = Or (k, no) y = Not (a)", "Greater Not"},     {"a = Or (no, k) y = Not (a)", "Greater Not"},
        {"a = Xor (no, k) y = Not (a)", "Greater Not"},    {"a = And (k, no) y = Not (a)", "Greater And Not"},
        {"a = Or (yes, k) y = Not (a)", "Greater Or Not"}, {"a = Xor (k, yes) y = Not (a)", "Greater Xor Not"},
    };
    for (size_t i = 0; i < BASE_COUNT(table); i++) {
        char text[400];
        snprintf(text, sizeof text,
                 HEAD "g (float[b,3] x) => (bool[b,3] y) <float zero = {0}, bool yes = {1}, bool no = {0}> { k = Greater (x, zero) %s }",
                 table[i][0]);
        pass_check_ops(text, PASSES(pass_clean), table[i][1]);
    }
    pass_check_ops(HEAD "g (bool[3] k) => (bool[1,3] y) <bool[1,1] yes = {1}> { a = And (k, yes) y = Not (a) }", PASSES(pass_clean),
                   "And Not");
}

/* ---- sizes */

#define BOTH_SIZES(opset)                                                                                                                  \
    HEAD_OF(opset)                                                                                                                         \
    "g (int64[b,s] ids, float[b,s,4] x) => (float[b] y, int64[b] z) <int64 zero = {0}, int64 one = {1}, int64[1] v0 = {0}> {"              \
    " e = Exp (x) h = Shape (e) n = Gather <axis = 0> (h, zero) v = Gather <axis = 0> (h, v0) y = ConstantOfShape (v) z = Range (zero, "   \
    "n, one) }"

static void a_number_is_read_from_the_vector_that_is_there(void **state) {
    const pass_fn twice[] = {pass_shape, pass_clean, pass_shape, pass_clean, NULL};
    graph *g = pass_check_same(BOTH_SIZES(17), twice);
    assert_int_equal(count_op(g, "", "Shape") + count_op(g, "", "Squeeze"), 2);
    assert_int_equal(count_op(g, "", "Gather"), 0);
    assert_ptr_equal(find_op(g, "", "Shape")->inputs[0].value, g->inputs[0]);
    done(g);
    g = pass_check_same(BOTH_SIZES(14), twice); /* Shape says all axes */
    assert_int_equal(count_op(g, "", "Shape"), 1);
    assert_int_equal(count_op(g, "", "Gather"), 2);
    done(g);
    /* a number alone */
    pass_check_ops(HEAD "g (int64[b,s] ids) => (int64[s] z) <int64 zero = {0}, int64 one = {1}> { e = Neg (ids) h = Shape (e) n = Gather "
                        "(h, one) z = Range (zero, n, one) }",
                   twice, "Shape Gather Range");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(look_ups_of_everything_go),
        cmocka_unit_test(other_look_ups_stay),
        cmocka_unit_test(views_around_elements_go),
        cmocka_unit_test(folded_rows_meet_their_linears),
        cmocka_unit_test(products_with_a_reciprocal_are_quotients),
        cmocka_unit_test(neutral_conditions_go),
        cmocka_unit_test(a_number_is_read_from_the_vector_that_is_there),
    };
    return cmocka_run_group_tests(tests, pass_setup, pass_teardown);
}
