/* SPDX-License-Identifier: Apache-2.0
 *
 * Attention: the forms that exporters write are taken, wherever the scale stands; what only looks like it is left, with a
 * note that says why.
 */
#include "pass_test.h"

/* Rows of 8 columns, two heads of 4. Each part can be replaced. */
typedef struct parts {
    const char *q_perm, *k_perm, *v_perm, *merge_perm, *scores, *probabilities, *extra, *bias, *split, *outputs;
} parts;

static const parts plain = {
    .q_perm = "0,2,1,3",
    .k_perm = "0,2,3,1",
    .v_perm = "0,2,1,3",
    .merge_perm = "0,2,1,3",
    .scores = "s = MatMul (qh, kh)",
    .probabilities = "p = Softmax <axis = -1> (s)",
    .extra = "",
    .bias = "b,1,1,s",
    .split = "0,0,2,4",
    .outputs = "float[b,s,8] y",
};

static graph *attention(parts p) {
    char text[2000];
    snprintf(text, sizeof text,
             HEAD "g (float[b,s,8] q, float[b,s,8] k, float[b,s,8] v, float[%s] bias) => (%s)"
                  " <int64[4] split = {%s}, int64[3] merge = {0,0,8}, float half = {0.5}, float two = {2}, float root = {0.70710678}, "
                  "float zero = {0}, float[4] vec = {@}> {"
                  " q4 = Reshape (q, split) qh = Transpose <perm = [%s]> (q4)"
                  " k4 = Reshape (k, split) kh = Transpose <perm = [%s]> (k4)"
                  " v4 = Reshape (v, split) vh = Transpose <perm = [%s]> (v4)"
                  " %s %s %s c = MatMul (p, vh) ct = Transpose <perm = [%s]> (c) y = Reshape (ct, merge) }",
             p.bias, p.outputs, p.split, p.q_perm, p.k_perm, p.v_perm, p.scores, p.probabilities, p.extra, p.merge_perm);
    return pass_check_same(text, PASSES(pass_attention));
}

static void assert_taken(parts p, float scale, int inputs) {
    graph *g = attention(p);
    if (strcmp(ops(g), "nib.Attention") != 0) fail_msg("%s / %s leaves %s: %s", p.scores, p.probabilities, ops(g), notes);
    assert_int_equal(g->first->n_inputs, inputs);
    assert_int_equal(graph_attr_int(g->first, "heads", 0), 2);
    assert_true(fabs((double)(graph_attr_float(g->first, "scale", 0) - scale)) < 1e-6);
    done(g);
}

static void the_scale_may_stand_anywhere(void **state) {
    static const struct {
        const char *scores;
        float scale;
        int inputs;
    } rows[] = {
        {"s = MatMul (qh, kh)", 1, 3},
        {"m = MatMul (qh, kh) s = Mul (m, half)", 0.5f, 3},
        {"m = MatMul (qh, kh) s = Mul (half, m)", 0.5f, 3},
        {"m = MatMul (qh, kh) s = Div (m, two)", 0.5f, 3},
        {"a = Mul (qh, half) s = MatMul (a, kh)", 0.5f, 3},
        {"a = Div (kh, two) s = MatMul (qh, a)", 0.5f, 3},
        {"a = Mul (qh, root) e = Mul (kh, root) s = MatMul (a, e)", 0.5f, 3},
        {"m = MatMul (qh, kh) s = Add (m, bias)", 1, 4},
        {"m = MatMul (qh, kh) n = Div (m, two) s = Add (n, bias)", 0.5f, 4},
        {"m = MatMul (qh, kh) n = Div (m, two) s = Add (bias, n)", 0.5f, 4},
        {"a = Mul (qh, root) e = Mul (kh, root) m = MatMul (a, e) s = Add (m, bias)", 0.5f, 4},
    };
    for (size_t i = 0; i < BASE_COUNT(rows); i++) {
        parts p = plain;
        p.scores = rows[i].scores;
        assert_taken(p, rows[i].scale, rows[i].inputs);
    }
}

static void biases_of_all_shapes(void **state) {
    static const char *const shapes[] = {"b,1,1,s", "1,1,s,s", "b,2,s,s", "1,2,1,s", "s", "s,s", "b,1,s,1"};
    for (size_t i = 0; i < BASE_COUNT(shapes); i++) {
        parts p = plain;
        p.scores = "m = MatMul (qh, kh) n = Mul (m, half) s = Add (n, bias)";
        p.bias = shapes[i];
        assert_taken(p, 0.5f, 4);
    }
}

static void rows_of_nan_become_zero(void **state) {
    parts p = plain;
    p.scores = "m = MatMul (qh, kh) s = Add (m, bias)";
    p.probabilities = "p0 = Softmax <axis = 3> (s) isn = IsNaN (p0) p = Where (isn, zero, p0)";
    assert_taken(p, 1, 4);
}

/* A query whose keys are all -infinity: sdpa's form gives 0, and so must the operator. */
static void a_row_without_keys_is_zero(void **state) {
    static const char *const text = HEAD
        "g (float[b,s,8] q, float[b,s,8] k, float[b,s,8] v, int64[b,s] mask) => (float[b,s,8] y)"
        " <int64[4] split = {0,0,2,4}, int64[3] merge = {0,0,8}, float zero = {0}, float ninf = {-inf}, int64[2] axes = {1,2}> {"
        " mb = Cast <to = 9> (mask) mu = Unsqueeze (mb, axes) bias = Where (mu, zero, ninf)"
        " q4 = Reshape (q, split) qh = Transpose <perm = [0,2,1,3]> (q4) k4 = Reshape (k, split) kh = Transpose <perm = [0,2,3,1]> (k4)"
        " v4 = Reshape (v, split) vh = Transpose <perm = [0,2,1,3]> (v4)"
        " m = MatMul (qh, kh) s = Add (m, bias) p0 = Softmax <axis = -1> (s) isn = IsNaN (p0) p = Where (isn, zero, p0)"
        " c = MatMul (p, vh) ct = Transpose <perm = [0,2,1,3]> (c) y = Reshape (ct, merge) }";
    for (mask_kind = 0; mask_kind < MASK_KINDS; mask_kind++) {
        graph *g = pass_check_same(text, PASSES(pass_attention));
        assert_int_equal(count_op(g, "nib", "Attention"), 1);
        done(g);
    }
    mask_kind = MASK_FULL;
}

static void assert_left(parts p, const char *reason) {
    graph *g = attention(p);
    if (count_op(g, "nib", "Attention")) fail_msg("%s / %s became %s", p.scores, p.probabilities, ops(g));
    if (!strstr(notes, reason)) fail_msg("the note is \"%s\", not about \"%s\"", notes, reason);
    done(g);
}

static void other_products_stay(void **state) {
    parts p = plain;
    p.scores = "a = Mul (qh, vec) s = MatMul (a, kh)"; /* a vector is no scale */
    assert_left(p, "scores are not");
    p = plain;
    p.scores = "m = MatMul (qh, kh) n = Add (m, bias) s = Mul (n, half)"; /* the bias is scaled too */
    assert_left(p, "scores are not");
    p = plain;
    p.scores = "m = MatMul (qh, kh) s = Tanh (m)";
    assert_left(p, "scores are not");
    p = plain;
    p.probabilities = "p0 = Softmax <axis = -1> (s) p = Mul (p0, half)";
    graph *g = attention(p);
    assert_int_equal(count_op(g, "", "Softmax"), 1);
    done(g);
    p = plain;
    p.probabilities = "p0 = Softmax <axis = 2> (s) p = Transpose <perm = [0,1,2,3]> (p0)";
    g = attention(p);
    assert_int_equal(count_op(g, "", "Softmax"), 1);
    done(g);
    p = plain;
    p.probabilities = "p = Softmax <axis = 2> (s)";
    g = attention(p);
    assert_int_equal(count_op(g, "", "Softmax"), 1);
    done(g);
}

static void wrong_permutations_stay(void **state) {
    /* With s = 2 = heads the shapes fit, so that only the permutation tells. */
    static const char *const text = HEAD
        "g (float[b,2,8] q, float[b,2,8] k, float[b,2,8] v) => (float[b,2,8] y) <int64[4] split = {0,0,2,4}, int64[3] merge = {0,0,8}> {"
        " q4 = Reshape (q, split) qh = Transpose <perm = [%s]> (q4) k4 = Reshape (k, split) kh = Transpose <perm = [%s]> (k4)"
        " v4 = Reshape (v, split) vh = Transpose <perm = [%s]> (v4) s = MatMul (qh, kh) p = Softmax <axis = -1> (s)"
        " c = MatMul (p, vh) ct = Transpose <perm = [%s]> (c) y = Reshape (ct, merge) }";
    static const char *const perms[][5] = {
        {"0,2,1,3", "0,2,3,1", "0,2,1,3", "0,2,1,3", ""},
        {"0,1,2,3", "0,2,3,1", "0,2,1,3", "0,2,1,3", "scores are not"},
        {"0,2,1,3", "0,1,3,2", "0,2,1,3", "0,2,1,3", "scores are not"},
        {"0,2,1,3", "0,2,3,1", "0,1,2,3", "0,2,1,3", "values are not"},
        {"0,2,1,3", "0,2,3,1", "0,2,1,3", "0,1,2,3", "heads are not merged"},
    };
    char full[1500];
    for (size_t i = 0; i < BASE_COUNT(perms); i++) {
        snprintf(full, sizeof full, text, perms[i][0], perms[i][1], perms[i][2], perms[i][3]);
        graph *g = pass_check_same(full, PASSES(pass_attention));
        assert_int_equal(count_op(g, "nib", "Attention"), i == 0);
        if (!strstr(notes, perms[i][4])) fail_msg("case %zu: the note is \"%s\"", i, notes);
        done(g);
    }
}

static void what_else_is_read_stays(void **state) {
    parts p = plain;
    p.outputs = "float[b,s,8] y, float[b,2,s,s] p"; /* the caller wants the probabilities: they are computed beside it */
    graph *g = attention(p);
    assert_int_equal(count_op(g, "", "Softmax"), 1);
    done(g);
    p = plain;
    p.outputs = "float[b,s,8] y, float[b,2,s,4] c";
    assert_left(p, "heads are not merged");
}

static void heads_must_agree(void **state) {
    static const char *const text = HEAD
        "g (float[b,4,8] q, float[b,4,8] k, float[b,4,8] v) => (float[b,4,8] y) <int64[4] split = {0,0,2,4}, int64[4] four = {0,0,4,2}, "
        "int64[3] merge = {0,0,8}> {"
        " q4 = Reshape (q, split) qh = Transpose <perm = [0,2,1,3]> (q4) k4 = Reshape (k, split) kh = Transpose <perm = [0,2,3,1]> (k4)"
        " v4 = Reshape (v, %s) vh = Transpose <perm = [0,2,1,3]> (v4) s = MatMul (qh, kh) p = Softmax <axis = -1> (s)"
        " c = MatMul (p, vh) ct = Transpose <perm = [0,2,1,3]> (c) y = Reshape (ct, merge) }";
    char full[1500];
    snprintf(full, sizeof full, text, "split");
    graph *g = pass_check_same(full, PASSES(pass_attention));
    assert_int_equal(count_op(g, "nib", "Attention"), 1);
    done(g);
    snprintf(full, sizeof full, text, "four"); /* 2 heads against 4: no valid MatMul, but types may not have seen it */
    graph *bad;
    nib_error err = {0};
    char *filled = fill_text(full);
    assert_int_equal(graph_parse(&test_runtime->heap, filled, strlen(filled), &bad, &err), NIB_OK);
    base_free(&test_runtime->heap, filled);
    op_resolve(bad);
    assert_int_equal(op_infer_graph(bad, &err), NIB_SHAPE);
    graph_free(bad);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_scale_may_stand_anywhere), cmocka_unit_test(biases_of_all_shapes), cmocka_unit_test(rows_of_nan_become_zero),
        cmocka_unit_test(a_row_without_keys_is_zero),   cmocka_unit_test(other_products_stay),  cmocka_unit_test(wrong_permutations_stay),
        cmocka_unit_test(what_else_is_read_stays),      cmocka_unit_test(heads_must_agree),
    };
    return cmocka_run_group_tests(tests, pass_setup, pass_teardown);
}
