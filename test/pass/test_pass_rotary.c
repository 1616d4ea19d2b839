/* SPDX-License-Identifier: Apache-2.0
 *
 * Rotary positions, and queries, keys and values as columns of one Linear: the forms that exporters write are taken and compute the
 * same; what only looks like them is left.
 */
#include "pass_test.h"

/* Rows of 8 columns, two heads of 4; `cos` and `sin` are made by `angles`, `body` makes y. */
static graph *turned(const char *angles, const char *body, const pass_fn *passes) {
    char text[3000];
    snprintf(text, sizeof text,
             HEAD
             "g (float[b,s,8] x, int64[b,s] ids) => (float[y0,y1,y2,y3] y) <int64[4] split = {0,0,2,4}, float[9,2] cos_table = {@}, "
             "float[9,2] sin_table "
             "= {@}, float[9,4] cos_full = {@}, float[9,4] sin_full = {@}, float[1,1,2] inverse = {1.0, 0.01}, int64 i0 = {0}, int64 i1 = "
             "{1}, int64[1] v0 = {0}, int64[1] v1 = {1}, int64[1] v2 = {2}, int64[1] v3 = {3}, int64[1] v4 = {4}, int64[1] last = {-1}, "
             "int64[1] end = {9223372036854775807}, int64[2] halves = {2,2}> {"
             " sh = Shape (ids) len = Gather (sh, i1) r = Range (i0, len, i1) pos = Unsqueeze (r, v0)"
             " x4 = Reshape (x, split) xh = Transpose <perm = [0,2,1,3]> (x4) %s %s }",
             angles, body);
    graph *g = parse_graph(text), *after = clone_graph(g);
    run_passes(after, passes);
    check_equal(g, after, false);
    graph_free(g);
    return after;
}

#define TABLE                                                                                                                              \
    "ch = Gather (cos_table, pos) cd = Concat <axis = -1> (ch, ch) cos = Unsqueeze (cd, v1) shh = Gather (sin_table, pos) sd = Concat "    \
    "<axis = -1> (shh, shh) sin = Unsqueeze (sd, v1) "
#define FULL_TABLE "cd = Gather (cos_full, pos) cos = Unsqueeze (cd, v1) sd = Gather (sin_full, pos) sin = Unsqueeze (sd, v1) "
#define COMPUTED                                                                                                                           \
    "pf = Cast <to = 1> (pos) pu = Unsqueeze (pf, v2) fr = Mul (pu, inverse) em = Concat <axis = -1> (fr, fr) cc = Cos (em) ss = Sin "     \
    "(em) cos = Unsqueeze (cc, v1) sin = Unsqueeze (ss, v1) "
#define HALVES "a = Slice (xh, v0, v2, v3) c = Slice (xh, v2, end, v3) "
#define AROUND "n = Neg (c) h = Concat <axis = -1> (n, a) "
#define SUM "xc = Mul (xh, cos) hs = Mul (h, sin) y = Add (xc, hs) "

static void forms_are_taken(void **state) {
    static const struct {
        const char *angles, *body;
    } rows[] = {
        {TABLE, HALVES AROUND SUM},
        {FULL_TABLE, HALVES AROUND SUM},
        {COMPUTED, HALVES AROUND SUM},
        {TABLE, "a, c = Split <axis = -1> (xh, halves) " AROUND SUM},
        {TABLE, "a = Slice (xh, v0, v2, last) negative = Constant <value_ints = [-2]> () c = Slice (xh, negative, end, last) " AROUND SUM},
        {TABLE, HALVES AROUND "xc = Mul (cos, xh) hs = Mul (sin, h) y = Add (hs, xc)"},
    };
    for (size_t i = 0; i < BASE_COUNT(rows); i++) {
        graph *g = turned(rows[i].angles, rows[i].body, PASSES(pass_fold, pass_rotary));
        if (count_op(g, "nib", "Rotary") != 1 || count_op(g, "", "Neg")) fail_msg("%s leaves %s\n%s", rows[i].body, ops(g), notes);
        graph_node *n = find_op(g, "nib", "Rotary");
        assert_int_equal(graph_attr_int(n, "heads", 0), 2);
        assert_int_equal(graph_attr_int(n, "head_size", 0), 4);
        assert_int_equal(n->inputs[0].value->is_input, 1); /* rows, before they are split */
        done(g);
    }
}

/* Heads that something was done to before: rows are made of them. */
static void what_are_no_rows_yet_is_merged(void **state) {
    static const char *const bodies[] = {
        "xn = Neg (xh) a = Slice (xn, v0, v2, v3) c = Slice (xn, v2, end, v3) " AROUND
        "xc = Mul (xn, cos) hs = Mul (h, sin) y = Add (xc, hs) ",
        "x5 = Abs (x4) x6 = Transpose <perm = [0,2,1,3]> (x5) a = Slice (x6, v0, v2, v3) c = Slice (x6, v2, end, v3) " AROUND
        "xc = Mul (x6, cos) hs = Mul (h, sin) y = Add (xc, hs) ",
    };
    for (size_t i = 0; i < BASE_COUNT(bodies); i++) {
        graph *g = turned(COMPUTED, bodies[i], PASSES(pass_fold, pass_rotary));
        if (count_op(g, "nib", "Rotary") != 1) fail_msg("%s leaves %s\n%s", bodies[i], ops(g), notes);
        const graph_value *table = find_op(g, "nib", "Rotary")->inputs[1].value;
        int64_t width;
        assert_true(graph_dim_is_const(table->type.dims[1], &width) && width == 2); /* of half a head: the other half is the same */
        done(g);
    }
}

/* Heads that are not moved in front of the tokens. */
static void tokens_first(void **state) {
    graph *g =
        turned("ch = Gather (cos_full, pos) cos = Unsqueeze (ch, v2) shh = Gather (sin_full, pos) sin = Unsqueeze (shh, v2) ",
               "a = Slice (x4, v0, v2, v3) c = Slice (x4, v2, end, v3) " AROUND "xc = Mul (x4, cos) hs = Mul (h, sin) y = Add (xc, hs)",
               PASSES(pass_rotary));
    assert_int_equal(count_op(g, "nib", "Rotary"), 1);
    assert_int_equal(count_op(g, "", "Transpose"), 0);
    done(g);
}

#define NARROW_TABLE "ch = Gather (cos_table, pos) cos = Unsqueeze (ch, v1) shh = Gather (sin_table, pos) sin = Unsqueeze (shh, v1) "
#define FIRST_TWO                                                                                                                          \
    "xr = Slice (xh, v0, v2, v3) xp = Slice (xh, v2, end, v3) xq = Slice (xh, v1, v3, v3) a = Slice (xr, v0, v1, v3) c = Slice (xr, v1, "  \
    "end, "                                                                                                                                \
    "v3) " AROUND "xc = Mul (xr, cos) hs = Mul (h, sin) t = Add (xc, hs) "

/* Only the first columns of each head are turned: the others go through, if they are the others. */
static void parts_of_heads(void **state) {
    static const struct {
        const char *end;
        bool whole;
    } rows[] = {
        {"y = Concat <axis = -1> (t, xp)", true},
        {"y = Concat <axis = 3> (t, xp)", true},
        {"y = Concat <axis = -1> (xp, t)", false},
        {"y = Concat <axis = -1> (t, xq)", false},
        {"y = Concat <axis = -1> (t, xp, xp)", false},
        {"z = Concat <axis = -1> (t, xp) y = Add (z, xh) w = Neg (t)", true}, /* nobody reads w */
    };
    for (size_t i = 0; i < BASE_COUNT(rows); i++) {
        char body[900];
        snprintf(body, sizeof body, FIRST_TWO "%s", rows[i].end);
        graph *g = turned(NARROW_TABLE, body, PASSES(pass_clean, pass_rotary));
        const graph_node *n = find_op(g, "nib", "Rotary");
        if (!n || count_op(g, "nib", "Rotary") != 1) fail_msg("%s leaves %s\n%s", rows[i].end, ops(g), notes);
        assert_int_equal(graph_attr_int(n, "rotary", 0), rows[i].whole ? 2 : 0);
        assert_int_equal(graph_attr_int(n, "head_size", 0), rows[i].whole ? 4 : 2);
        assert_int_equal(n->inputs[0].value->is_input, rows[i].whole);
        done(g);
    }
}

static void other_forms_stay(void **state) {
    static const struct {
        const char *angles, *body;
    } rows[] = {
        {TABLE, HALVES "n = Neg (a) h = Concat <axis = -1> (c, n) " SUM},              /* the wrong half is negative */
        {TABLE, HALVES "n = Neg (c) h = Concat <axis = -1> (a, n) " SUM},              /* not around */
        {TABLE, HALVES "n = Neg (a) h = Concat <axis = -1> (n, c) " SUM},              /* not exchanged */
        {TABLE, "a = Slice (xh, v0, v1, v3) c = Slice (xh, v1, end, v3) " AROUND SUM}, /* no halves */
        {TABLE, "a = Slice (xh, v0, v2, v3) c = Slice (xh, v1, v3, v3) " AROUND SUM},
        {TABLE, HALVES AROUND "xc = Mul (xh, cos) hs = Mul (h, sin) y = Sub (xc, hs) "},
        {"ci = Gather (cos_full, ids) cos = Unsqueeze (ci, v1) em = Gather (sin_full, pos) sin = Unsqueeze (em, v1) ",
         HALVES AROUND SUM}, /* other positions for cos than for sin */
        {"ci = Gather (cos_full, ids) cc = Cos (ci) ss = Sin (ci) cos = Unsqueeze (cc, v1) sin = Unsqueeze (ss, v1) ",
         HALVES AROUND SUM}, /* computed for each text */
    };
    for (size_t i = 0; i < BASE_COUNT(rows); i++) {
        graph *g = turned(rows[i].angles, rows[i].body, PASSES(pass_rotary));
        if (count_op(g, "nib", "Rotary")) fail_msg("%s %s is taken", rows[i].angles, rows[i].body);
        done(g);
    }
}

/* ---- parts folded along an axis */

static graph *folded(const char *body) {
    char text[1500];
    snprintf(
        text, sizeof text,
        HEAD
        "g (float[b,s,24] x) => (float[b,s,2,4] y) <int64[5] fold = {0,0,3,2,4}, int64[5] other = {0,0,2,3,4}, int64[3] ones = {1,1,1}, "
        "int64[2] uneven = {1,2}, int64[1] v0 = {0}, int64[1] v1 = {1}, int64[1] v2 = {2}, int64[1] v3 = {3}, int64 i1 = {1}, int64 "
        "last = {-1}> { f = Reshape (x, fold) %s }",
        body);
    graph *g = parse_graph(text), *after = clone_graph(g);
    run_passes(after, PASSES(pass_columns));
    check_equal(g, after, false);
    graph_free(g);
    return after;
}

static void folded_parts_become_columns(void **state) {
    static const struct {
        const char *body, *left;
    } rows[] = {
        {"a, c, d = Split <axis = 2> (f, ones) qa = Squeeze (a, v2) qc = Squeeze (c, v2) qd = Squeeze (d, v2) t = Sub (qa, qc) y = Mul (t, "
         "qd)",
         "Split Reshape Reshape Reshape Sub Mul"},
        {"a = Slice (f, v1, v2, v2) y = Squeeze (a, v2)", "Split Reshape"},
        {"p = Gather <axis = 2> (f, i1) q = Gather <axis = -3> (f, last) y = Sub (p, q)", "Split Reshape Reshape Sub"},
        /* what is left as it is */
        {"a, c = Split <axis = 2> (f, uneven) y = Squeeze (a, v2)", "Reshape Split Squeeze"},
        {"r = Reshape (x, other) y = Gather <axis = 3> (r, i1)", "Reshape Gather"},
    };
    for (size_t i = 0; i < BASE_COUNT(rows); i++) {
        graph *g = folded(rows[i].body);
        if (strcmp(ops(g), rows[i].left) != 0) fail_msg("%s leaves %s", rows[i].body, ops(g));
        done(g);
    }
}

/* ---- queries, keys and values */

static graph *joined(const char *rows, const char *body) {
    char text[3000];
    snprintf(
        text, sizeof text,
        HEAD
        "g (float[b,s,6] x, float[b,s,6] z, int64[1,s] ids) => (float[b,s,8] y) <float[6,8] wq = {@}, float[6,8] wk = {@}, float[6,8] wv = "
        "{@}, float[8,6] wt = {@}, float[6,4] narrow = {@}, float[6,4] narrow2 = {@}, float[8] bq = {@}, float[8] bk = {@}, float[8] bv "
        "= {@}, float[6,24] w = {@}, float[24] bias = {@}, float[9,2] c = {@}, float[9,2] d = {@}, int64[3] thirds = {8,8,8}, int64[3] "
        "uneven = {4,8,12}> { %s %s }",
        rows, body);
    graph *g = parse_graph(text), *after = clone_graph(g);
    run_passes(after, PASSES(pass_qkv));
    check_equal(g, after, false);
    graph_free(g);
    return after;
}

#define THREE "q = nib.Linear (x, wq, bq) k = nib.Linear (x, wk, bk) v = nib.Linear (x, wv, bv) "
#define ONE "a = nib.Linear (x, w, bias) q, k, v = Split <axis = -1> (a, thirds) "
#define TURN                                                                                                                               \
    "qt = nib.Rotary <heads = 2, head_size = 4> (q, c, d, ids) kt = nib.Rotary <heads = 2, head_size = 4> (k, c, d, ids) y = "             \
    "nib.Attention <heads = 2, scale = 0.5> (qt, kt, v)"
#define PLAIN "y = nib.Attention <heads = 2, scale = 0.5> (q, k, v)"

static void parts_are_joined(void **state) {
    static const struct {
        const char *rows, *body, *left;
    } rows[] = {
        {THREE, PLAIN, "nib.Linear nib.Attention"},
        {THREE, TURN, "nib.Linear nib.Rotary nib.Attention"},
        {ONE, PLAIN, "nib.Linear nib.Attention"},
        {ONE, TURN, "nib.Linear nib.Rotary nib.Attention"},
        {"q = nib.Linear (x, wq) k = nib.Linear (x, wk) v = nib.Linear (x, wv) ", PLAIN, "nib.Linear nib.Attention"},
        {"q = nib.Linear (x, wq, bq) k = nib.Linear (x, narrow) v = nib.Linear (x, narrow2) ",
         "y = nib.Attention <heads = 2, kv_heads = 1> (q, k, v)", "nib.Linear nib.Linear nib.Linear nib.Attention"}, /* biases differ */
        {"q = nib.Linear (x, wq) k = nib.Linear (x, narrow) v = nib.Linear (x, narrow2) ",
         "y = nib.Attention <heads = 2, kv_heads = 1> (q, k, v)", "nib.Linear nib.Attention"},
        {"q = nib.Linear (x, wq) k = nib.Linear (x, narrow) v = nib.Linear (x, narrow2) ",
         "qt = nib.Rotary <heads = 2, head_size = 4> (q, c, d, ids) kt = nib.Rotary <heads = 1, head_size = 4> (k, c, d, ids) y = "
         "nib.Attention "
         "<heads = 2, kv_heads = 1> (qt, kt, v)",
         "nib.Linear nib.Rotary nib.Attention"},
        /* what is left as it is */
        {"q = nib.Linear (x, wq, bq) k = nib.Linear (z, wk, bk) v = nib.Linear (x, wv, bv) ", PLAIN,
         "nib.Linear nib.Linear nib.Linear nib.Attention"},
        {"q = nib.Linear (x, wq) k = nib.Linear <trans_w = 1> (x, wt) v = nib.Linear (x, wv) ", PLAIN,
         "nib.Linear nib.Linear nib.Linear nib.Attention"},
        {"q = nib.Linear <activation = \"relu\"> (x, wq) k = nib.Linear (x, wk) v = nib.Linear (x, wv) ", PLAIN,
         "nib.Linear nib.Linear nib.Linear nib.Attention"},
        {"a = nib.Linear (x, w, bias) k, q, v = Split <axis = -1> (a, thirds) ", PLAIN, "nib.Linear Split nib.Attention"},
        {ONE, "qt = nib.Rotary <heads = 2, head_size = 4> (q, c, d, ids) y = nib.Attention <heads = 2> (qt, k, v)",
         "nib.Linear Split nib.Rotary nib.Attention"},
        {ONE,
         "qt = nib.Rotary <heads = 2, head_size = 4> (q, c, d, ids) kt = nib.Rotary <heads = 2, head_size = 4> (k, d, c, ids) y = "
         "nib.Attention <heads = 2> (qt, kt, v)",
         "nib.Linear Split nib.Rotary nib.Rotary nib.Attention"},
        {THREE, "t = nib.Attention <heads = 2> (q, k, v) y = Add (t, q)", "nib.Linear nib.Linear nib.Linear nib.Attention Add"},
    };
    for (size_t i = 0; i < BASE_COUNT(rows); i++) {
        graph *g = joined(rows[i].rows, rows[i].body);
        if (strcmp(ops(g), rows[i].left) != 0) fail_msg("%s%s leaves %s, not %s", rows[i].rows, rows[i].body, ops(g), rows[i].left);
        done(g);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forms_are_taken),  cmocka_unit_test(what_are_no_rows_yet_is_merged),
        cmocka_unit_test(tokens_first),     cmocka_unit_test(parts_of_heads),
        cmocka_unit_test(other_forms_stay), cmocka_unit_test(folded_parts_become_columns),
        cmocka_unit_test(parts_are_joined),
    };
    return cmocka_run_group_tests(tests, pass_setup, pass_teardown);
}
