/* SPDX-License-Identifier: Apache-2.0
 *
 * Scores by distance: tables and rows that attention takes as operands, whichever way they are written, and what only
 * looks like them, which stays as it is, with a note that says why.
 */
#include "pass_test.h"

#define KEYS "am = MatMul (qh, tk) c2p = GatherElements <axis = 3> (am, pairs) "
#define QUERIES                                                                                                        \
    "bm = MatMul (kf, tq) bg = GatherElements <axis = 3> (bm, back) p2c = Transpose <perm = [0,1,3,2]> (bg) "
#define BOTH KEYS QUERIES "rel = Add (c2p, p2c) "
#define CLIPPED "n = Clip (d, least, most) r = Add (n, most) "

/* Rows of 8 columns, two heads of 4, tables of five rows. `rows`: r [s, s] of the distance d = i - j; `relative`: rel
 * of pairs (and back, turned for the keys' products). */
static graph *attention(const char *rows, const char *relative, const char *scores) {
    char text[3000];
    snprintf(
        text, sizeof text,
        HEAD
        "g (float[b,s,8] q, float[b,s,8] k, float[b,s,8] v, float[b,1,1,s] bias) => (float[b,s,8] y)"
        " <int64[4] split = {0,0,2,4}, int64[3] merge = {0,0,8}, float half = {0.5}, float two = {2}, float low = "
        "{-10000},"
        " float[2,4,5] tk = {@}, float[2,4,5] tq = {@}, float[2,5,4] flat = {@}, int64 zero = {0}, int64 one = {1}, "
        "int64 three = {3},"
        " int64[1] ax0 = {0}, int64[1] ax1 = {1}, int64[1] heads = {2}, int64 least = {-2}, int64 most = {2}, int64 "
        "four = {4},"
        " int64[7] list = {0,1,2,2,2,3,4}, float[5,2] two_heads = {@}, float lowest = {-3.4028234e38}, int64[2] ax12 = "
        "{1,2}, float[2,1,1] slopes = {-0.5,-0.25}> {"
        " sh = Shape (q) len = Gather (sh, one) b1 = Gather (sh, ax0) s1 = Gather (sh, ax1)"
        " range = Range (zero, len, one) i = Unsqueeze (range, ax1) j = Unsqueeze (range, ax0) d = Sub (i, j) %s"
        " to = Concat <axis = 0> (b1, heads, s1, s1) pairs = Expand (r, to) back = Transpose <perm = [0,1,3,2]> (pairs)"
        " q4 = Reshape (q, split) qh = Transpose <perm = [0,2,1,3]> (q4)"
        " k4 = Reshape (k, split) kh = Transpose <perm = [0,2,3,1]> (k4) kf = Transpose <perm = [0,2,1,3]> (k4)"
        " v4 = Reshape (v, split) vh = Transpose <perm = [0,2,1,3]> (v4)"
        " m = MatMul (qh, kh) %s %s p = Softmax <axis = -1> (s)"
        " c = MatMul (p, vh) ct = Transpose <perm = [0,2,1,3]> (c) y = Reshape (ct, merge) }",
        rows, relative, scores);
    return pass_check_same(text, PASSES(pass_attention));
}

/* Operands of the attention that it becomes; how many rows of tables, how far they reach. */
static void assert_taken(const char *rows, const char *relative, const char *scores, bool keys, bool queries,
                         int64_t count, int64_t reach) {
    op_attention a;
    graph *g = attention(rows, relative, scores);
    if (count_op(g, "", "GatherElements") || !op_attention_get(find_op(g, "nib", "Attention"), &a) || !a.relative_rows)
        fail_msg("%s %s %s leaves %s: %s", rows, relative, scores, ops(g), notes);
    assert_true(!a.relative_keys == !keys && !a.relative_queries == !queries);
    const graph_value *table = keys ? a.relative_keys : a.relative_queries;
    assert_int_equal(table->constant->dims[1], count);
    assert_int_equal(a.relative_rows->constant->dims[0], 2 * reach + 1);
    const int32_t *at = a.relative_rows->constant->data;
    assert_int_equal(at[0], 0);
    assert_int_equal(at[2 * reach], count - 1);
    for (int64_t i = 1; i <= 2 * reach; i++) assert_true(at[i] == at[i - 1] || at[i] == at[i - 1] + 1);
    done(g);
}

static void tables_of_keys_and_of_queries(void **state) {
    assert_taken(CLIPPED, KEYS, "s = Add (m, c2p)", true, false, 5, 2);
    assert_taken(CLIPPED, QUERIES, "s = Add (m, p2c)", false, true, 5, 2);
    assert_taken(CLIPPED, BOTH, "s = Add (m, rel)", true, true, 5, 2);
    assert_taken(CLIPPED, BOTH, "s = Add (rel, m)", true, true, 5, 2);
}

static void scales_and_biases_stand_anywhere(void **state) {
    static const char *const scores[] = {
        "m2 = Mul (m, half) r2 = Div (rel, two) s = Add (m2, r2)",
        "m2 = Add (m, rel) s = Mul (m2, half)",
        "m2 = Mul (m, half) s = Add (m2, rel)", /* the tables take the rest */
        "s0 = Add (m, rel) s = Add (s0, bias)",
        "s0 = Add (m, bias) s = Add (s0, rel)",
        "m2 = Mul (m, half) r2 = Mul (rel, two) s0 = Add (r2, m2) s = Add (bias, s0)",
    };
    for (size_t i = 0; i < BASE_COUNT(scores); i++) assert_taken(CLIPPED, BOTH, scores[i], true, true, 5, 2);
    /* a scale of each, and tables that are turned, computed */
    assert_taken(CLIPPED, KEYS QUERIES "a2 = Mul (c2p, half) b2 = Div (p2c, two) rel = Add (a2, b2) ",
                 "s = Add (m, rel)", true, true, 5, 2);
    assert_taken(CLIPPED,
                 "tt = Mul (flat, half) tf = Transpose <perm = [0,2,1]> (tt) am = MatMul (qh, tf) "
                 "rel = GatherElements <axis = 3> (am, pairs) ",
                 "s = Add (m, rel)", true, false, 5, 2);
}

/* Whatever computes the rows: distances that share one are one, in any order, and rows that nobody takes are gone. */
static void rows_are_what_the_graph_computes(void **state) {
    static const struct {
        const char *rows;
        int64_t count, reach;
    } rows[] = {
        {"g = Neg (d) n = Clip (g, least, most) r = Add (n, most) ", 5, 2},
        {"a = Abs (d) r = Min (a, four) ", 9, 4},
        {"e = Sign (d) r = Add (e, one) ", 3, 1},
        {"n = Clip (d, least, most) e = Clip (n, zero, most) r = Add (e, one) ", 3, 2},
        {"n = Clip (d, least, three) t = Add (n, most) t1 = Clip (t, zero, four) r = Gather (list, t1) ", 3, 2},
        /* near by one row each, then rows that are further and further apart */
        {"x = Sign (d) a = Abs (d) a1 = Max (a, one) f = Cast <to = 1> (a1) l = Log (f) h = Div (l, two) ce = Ceil (h) "
         "ci = Cast <to = 7> (ce) "
         "sg = Mul (ci, x) n = Clip (sg, least, most) r = Add (n, most) ",
         5, 8},
    };
    for (size_t i = 0; i < BASE_COUNT(rows); i++) {
        assert_taken(rows[i].rows, KEYS, "s = Add (m, c2p)", true, false, rows[i].count, rows[i].reach);
        assert_taken(rows[i].rows, BOTH, "s = Add (m, rel)", true, true, rows[i].count, rows[i].reach);
    }
    /* of queries another row than of keys */
    assert_taken(CLIPPED " n2 = Clip (d, zero, four) ",
                 KEYS "o = Expand (n2, to) turned = Transpose <perm = [0,1,3,2]> (o) bm = MatMul (kf, tq) bg = "
                      "GatherElements <axis = 3> (bm, turned) p2c = "
                      "Transpose <perm = [0,1,3,2]> (bg) rel = Add (c2p, p2c) ",
                 "s = Add (m, rel)", true, true, 7, 4);
}

static void what_is_not_proven_stays(void **state) {
    static const struct {
        const char *rows, *relative, *scores, *why;
    } rows[] = {
        {"x = Mul (i, zero) x1 = Add (x, j) r = Clip (x1, zero, four) ", KEYS, "s = Add (m, c2p)",
         "where query and key stand"},
        {"f = Cast <to = 1> (d) g = Abs (f) h = Sqrt (g) ce = Cast <to = 7> (h) r = Clip (ce, zero, four) ", KEYS,
         "s = Add (m, c2p)", "operator Sqrt"},
        {"a = Abs (d) r = Mod (a, four) ", KEYS, "s = Add (m, c2p)", "far distances"},
        {"r = Clip (d, zero, zero) ",
         "tn = Neg (q4) th = Transpose <perm = [0,2,3,1]> (tn) am = MatMul "
         "(qh, th) c2p = GatherElements <axis = 3> (am, pairs) ",
         "s = Add (m, c2p)", "not made of constants"},
        {CLIPPED, "vm = MatMul (vh, tk) rel = GatherElements <axis = 3> (vm, pairs) ", "s = Add (m, rel)",
         "other rows"},
    };
    for (size_t i = 0; i < BASE_COUNT(rows); i++) {
        graph *g = attention(rows[i].rows, rows[i].relative, rows[i].scores);
        assert_int_equal(count_op(g, "nib", "Attention"), 1); /* with a bias of all pairs */
        assert_true(count_op(g, "", "GatherElements") > 0);
        if (!strstr(notes, rows[i].why)) fail_msg("%s: \"%s\" says nothing of %s", rows[i].rows, notes, rows[i].why);
        done(g);
    }
}

/* T5's and MPNet's: each head's number of a bucket. */
#define BUCKETS CLIPPED "row = Identity (r) "
#define OF_HEADS "tg = Gather (two_heads, row) th = Transpose <perm = [2,0,1]> (tg) rel = Unsqueeze (th, ax0) "

static void a_number_of_head_and_distance(void **state) {
    static const struct {
        const char *scores;
        bool other; /* a bias is left */
    } rows[] = {
        {"s = Add (m, rel)", false},
        {"m2 = Mul (m, half) s0 = Add (m2, rel) s = Mul (s0, half)", false},
        {"s0 = Add (m, rel) s = Add (s0, bias)", true},
        {"both = Add (rel, bias) s = Add (m, both)", true},
        {"open = Greater (bias, low) both = Where (open, rel, lowest) s = Add (m, both)", true},
        {"shut = Less (bias, low) both = Where (shut, lowest, rel) s = Add (both, m)", true},
    };
    for (size_t i = 0; i < BASE_COUNT(rows); i++) {
        op_attention a;
        graph *g = attention(BUCKETS, OF_HEADS, rows[i].scores);
        if (!op_attention_get(find_op(g, "nib", "Attention"), &a) || !a.relative_bias)
            fail_msg("%s leaves %s: %s", rows[i].scores, ops(g), notes);
        assert_true(!a.bias == !rows[i].other);
        assert_int_equal(a.relative_bias->constant->dims[1], 5);
        assert_int_equal(a.relative_rows->constant->dims[0], 5);
        done(g);
    }
    /* where keys are hidden, it is a mask */
    graph *g =
        attention(CLIPPED "f = Cast <to = 1> (r) x = Mul (f, low) ", "rel = Expand (x, to) ", "s = Add (m, rel)");
    op_attention a;
    assert_true(op_attention_get(find_op(g, "nib", "Attention"), &a) && a.bias && !a.relative_rows);
    done(g);
}

/* ALiBi's: the distance times each head's number, however far. */
static void a_slope_for_each_head(void **state) {
    static const struct {
        const char *rows, *relative, *scores;
        float slopes[2];
        bool other; /* a bias is left */
    } rows[] = {
        {"r = Abs (d) f = Cast <to = 1> (r) ", "rel = Mul (f, slopes)", "s = Add (m, rel)", {-0.5f, -0.25f}, false},
        {"r = Abs (d) f = Cast <to = 1> (r) n = Neg (f) ", "rel = Mul (slopes, n)", "s = Add (rel, m)",
         {0.5f, 0.25f}, false},
        {"f0 = Cast <to = 1> (d) f = Abs (f0) r = Cast <to = 7> (f) ", "x = Mul (f, half) rel = Mul (x, slopes)",
         "s0 = Add (m, bias) s = Add (s0, rel)", {-0.25f, -0.125f}, true},
        {"r = Abs (d) f = Cast <to = 1> (r) ", "x = Mul (f, slopes) rel = Add (x, bias)",
         "m2 = Add (m, rel) s = Mul (m2, half)", {-0.25f, -0.125f}, true},
    };
    op_attention a;
    for (size_t i = 0; i < BASE_COUNT(rows); i++) {
        graph *g = attention(rows[i].rows, rows[i].relative, rows[i].scores);
        if (!op_attention_get(find_op(g, "nib", "Attention"), &a) || !a.relative_slopes || a.relative_rows)
            fail_msg("%s leaves %s: %s", rows[i].rows, ops(g), notes);
        assert_true(!a.bias == !rows[i].other);
        assert_memory_equal(a.relative_slopes->constant->data, rows[i].slopes, sizeof rows[i].slopes);
        done(g);
    }
    /* The square of a distance has none. */
    graph *g =
        attention("r = Abs (d) f = Cast <to = 1> (r) ", "x = Mul (f, f) rel = Mul (x, slopes)", "s = Add (m, rel)");
    assert_true(op_attention_get(find_op(g, "nib", "Attention"), &a) && a.bias && !a.relative_slopes);
    done(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_of_keys_and_of_queries),    cmocka_unit_test(scales_and_biases_stand_anywhere),
        cmocka_unit_test(rows_are_what_the_graph_computes), cmocka_unit_test(what_is_not_proven_stays),
        cmocka_unit_test(a_number_of_head_and_distance),    cmocka_unit_test(a_slope_for_each_head),
    };
    return cmocka_run_group_tests(tests, pass_setup, pass_teardown);
}
