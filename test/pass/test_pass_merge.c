/* SPDX-License-Identifier: Apache-2.0
 *
 * Queries, keys and values that become one product on the way to ONNX Runtime: com.microsoft's Attention computes what the three did, is
 * the same after a second run, and is read again as what it was made of.
 */
#include "pass_test.h"

static nib_status for_ort(pass_context *ctx) { return ctx->mode = PASS_MODE_FILE_ONNXRUNTIME, NIB_OK; }
static nib_status expand_ort(pass_context *ctx) { return ctx->mode = PASS_MODE_FILE_ONNXRUNTIME, pass_expand(ctx); }
static nib_status no_pack(pass_context *ctx) { return ctx->mode = PASS_MODE_EXACT, NIB_OK; }
static nib_status without_qkv(pass_context *ctx) {
    static const char *const names[] = {"qkv"};
    return ctx->disabled = names, ctx->n_disabled = 1, NIB_OK;
}

#define INPUTS "float[b,s,8] x, float[b,s,8] other, int64[b,s] mask"
#define CONSTANTS                                                                                                                          \
    "float[8,8] wq = {@}, float[8,8] wk = {@}, float[8,8] wv = {@}, float[8,8] w2 = {@}, float[8] bq = {@}, float[8] bk = {@}, float[8] "  \
    "bv = {@}, "                                                                                                                           \
    "float[8,24] all = {@}, float[24] ball = {@}, int64[4] heads = {0,0,2,4}, int64[3] merge = {0,0,8}, float half = {0.5}, float one = "  \
    "{1}, float zero = {0}, "                                                                                                                                \
    "float lowest = {-3.40282346638528859e38}, int64[2] v12 = {1,2}, int64[3] thirds = {8,8,8}"
#define BIAS "mb = Cast <to = 9> (mask) m4 = Unsqueeze (mb, v12) bias = Where (m4, zero, lowest) "
#define COMPUTED "m4 = Unsqueeze (mask, v12) mf = Cast <to = 1> (m4) mo = Sub (one, mf) bias = Mul (mo, lowest) "
#define PRODUCTS(a, c, d) "q0 = MatMul (x, " a ") k0 = MatMul (x, " c ") v0 = MatMul (x, " d ") "
#define BIASES "q = Add (q0, bq) k = Add (bk, k0) v = Add (v0, bv) "
#define ATTEND(q, k, v, n, y)                                                                                                              \
    "q4" n " = Reshape (" q ", heads) qh" n " = Transpose <perm = [0,2,1,3]> (q4" n ") k4" n " = Reshape (" k ", heads) kt" n              \
    " = Transpose <perm = [0,2,3,1]> (k4" n ") v4" n " = Reshape (" v ", heads) vh" n " = Transpose <perm = [0,2,1,3]> (v4" n ") s" n      \
    " = MatMul (qh" n ", kt" n ") sc" n " = Mul (s" n ", half) sb" n " = Add (sc" n ", bias) p" n " = Softmax <axis = -1> (sb" n ") o" n   \
    " = MatMul (p" n ", vh" n ") ot" n " = Transpose <perm = [0,2,1,3]> (o" n ") " y " = Reshape (ot" n ", merge) "
#define GRAPH_OF(bias, body) HEAD "g (" INPUTS ") => (float[b,s,8] y) <" CONSTANTS "> { " bias body " }"
#define GRAPH(body) GRAPH_OF(BIAS, body)
#define PLAIN GRAPH(PRODUCTS("wq", "wk", "wv") BIASES ATTEND("q", "k", "v", "", "y"))

static const pass_fn write[] = {for_ort, pass_run_all, expand_ort, pass_names, NULL};

static graph *source; /* of what was written last, whose constants' bytes are its */

static void finish(graph *g) {
    graph_free(g);
    graph_free(source);
    source = NULL;
}

/* Written, for every kind of mask, and written again without a change. */
static graph *written(const char *text, const pass_fn *passes) {
    graph *before = parse_graph(text), *after = clone_graph(before);
    run_passes(after, passes);
    for (mask_kind = 0; mask_kind < MASK_KINDS; mask_kind++) check_equal(before, after, false);
    mask_kind = MASK_FULL;
    check_fixed_point(after, passes);
    source = before;
    return after;
}

static int merged(const graph *g) { return count_op(g, "com.microsoft", "Attention"); }
static int apart(const graph *g) { return count_op(g, "com.microsoft", "MultiHeadAttention"); }

static void three_products_become_one(void **state) {
    static const char *const texts[] = {
        PLAIN,
        GRAPH(PRODUCTS("wq", "wk", "wv") ATTEND("q0", "k0", "v0", "", "y")), /* no biases */
        GRAPH("tq = Transpose <perm = [1,0]> (wq) tk = Transpose <perm = [1,0]> (wk) tv = Transpose <perm = [1,0]> (wv) " PRODUCTS(
            "tq", "tk", "tv") BIASES ATTEND("q", "k", "v", "", "y")),
        GRAPH("tk = Transpose <perm = [1,0]> (wk) " PRODUCTS("wq", "tk", "wv") BIASES ATTEND("q", "k", "v", "", "y")),
        GRAPH("t = MatMul (x, all) u = Add (t, ball) q, k, v = Split <axis = 2> (u, thirds) " ATTEND("q", "k", "v", "", "y")),
    };
    for (size_t i = 0; i < BASE_COUNT(texts); i++) {
        graph *g = written(texts[i], write);
        if (merged(g) != 1 || apart(g) || count_op(g, "", "MatMul") || count_op(g, "", "Add") || count_op(g, "", "Transpose"))
            fail_msg("%s\nleaves %s", texts[i], ops(g));
        const graph_node *n = find_op(g, "com.microsoft", "Attention");
        assert_ptr_equal(n->inputs[0].value, g->inputs[0]);
        assert_int_equal(n->inputs[1].value->constant->dims[0], 8);
        assert_int_equal(n->inputs[1].value->constant->dims[1], 24);
        assert_int_equal(n->inputs[2].value->constant->dims[0], 24);
        assert_int_equal(n->inputs[3].value->type.dtype, NIB_DTYPE_I32); /* what the model asks of the mask */
        assert_int_equal(graph_attr_int(n, "num_heads", 0), 2);
        finish(g);
    }
}

/* A bias that is written whole has its size from somewhere else than their rows. */
static void a_bias_does_not_keep_them_apart(void **state) {
    graph *g = written(GRAPH_OF(COMPUTED, PRODUCTS("wq", "wk", "wv") BIASES ATTEND("q", "k", "v", "", "y")), write);
    if (merged(g) != 1 || apart(g)) fail_msg("%s", ops(g));
    const graph_node *n = find_op(g, "com.microsoft", "Attention");
    assert_int_equal(n->n_inputs, 6);
    assert_null(n->inputs[3].value);
    finish(g);
}

static void what_is_not_one_stays_three(void **state) {
    static const char *const texts[] = {
        GRAPH("q0 = MatMul (x, wq) k0 = MatMul (other, wk) v0 = MatMul (x, wv) " BIASES ATTEND("q", "k", "v", "", "y")),
        GRAPH(PRODUCTS("wq", "wk", "wv") "q = Add (q0, bq) k = Identity (k0) v = Add (v0, bv) " ATTEND("q", "k", "v", "", "y")),
        GRAPH(PRODUCTS("wq", "wk", "wv") BIASES "q2 = Relu (q) " ATTEND("q2", "k", "v", "", "y")),
        GRAPH(PRODUCTS("wq", "wk", "wv") BIASES ATTEND("q", "k", "v", "", "z") "y = Add (z, k)"),      /* keys are read, too */
        GRAPH(PRODUCTS("wq", "wk", "wv") BIASES ATTEND("q", "k", "v", "", "z") "y = MatMul (z, wk) "), /* is a product's, too */
        GRAPH(PRODUCTS("wq", "wk", "wv") BIASES ATTEND("q", "k", "v", "", "z") "sx = Gemm (wk, w2) y = MatMul (z, sx) "),
        GRAPH(PRODUCTS("wq", "wq", "wv") "q = Add (q0, bq) k = Add (k0, bq) v = Add (v0, bv) " ATTEND("q", "k", "v", "", "y")), /* two */
        GRAPH("t = MatMul (x, all) u = Add (t, ball) k, q, v = Split <axis = 2> (u, thirds) " ATTEND("q", "k", "v", "",
                                                                                                     "y")), /* keys first */
    };
    for (size_t i = 0; i < BASE_COUNT(texts); i++) {
        graph *g = written(texts[i], write);
        if (i == 4 || i == 5) { /* constants that only products read, or that are folded, are no reason */
            if (merged(g) != 1) fail_msg("%s\nleaves %s", texts[i], ops(g));
        } else if (merged(g) || apart(g) != 1) {
            fail_msg("%s\nleaves %s", texts[i], ops(g));
        }
        finish(g);
    }
    graph *g = written(PLAIN, PASSES(for_ort, without_qkv, pass_run_all, expand_ort, pass_names)); /* --disable qkv */
    assert_int_equal(apart(g), 1);
    finish(g);
}

/* Keys and values of another text: MultiHeadAttention adds the biases itself. */
static void biases_become_one(void **state) {
    graph *g =
        written(GRAPH("q0 = MatMul (x, wq) k0 = MatMul (other, wk) v0 = MatMul (other, wv) " BIASES ATTEND("q", "k", "v", "", "y")), write);
    const graph_node *n = find_op(g, "com.microsoft", "MultiHeadAttention");
    assert_int_equal(n->inputs[3].value->constant->dims[0], 24);
    assert_int_equal(count_op(g, "", "Add"), 0);
    assert_int_equal(count_op(g, "", "MatMul"), 3);
    run_passes(g, PASSES(no_pack, pass_run_all)); /* each is its Linear's again */
    for (graph_node *l = g->first; l; l = l->next) assert_true(!graph_is_op(l, "nib", "Linear") || l->inputs[2].value);
    assert_int_equal(count_op(g, "", "Add"), 0);
    finish(g);
    g = written(GRAPH("q0 = MatMul (x, wq) k = MatMul (other, wk) v0 = MatMul (other, wv) q = Add (q0, bq) v = Add (v0, bv) " ATTEND(
                    "q", "k", "v", "", "y")),
                write); /* one has none */
    assert_int_equal(count_op(g, "", "Add"), 2);
    finish(g);
}

/* Layers that share their weights share the one that is made of them. */
static void shared_weights_stay_one(void **state) {
    graph *g =
        written(GRAPH(PRODUCTS("wq", "wk", "wv") BIASES ATTEND(
                    "q", "k", "v", "", "z") "q5 = MatMul (z, wq) k5 = MatMul (z, wk) v5 = MatMul (z, wv) "
                                            "q6 = Add (q5, bq) k6 = Add (k5, bk) v6 = Add (v5, bv) " ATTEND("q6", "k6", "v6", "7", "y")),
                write);
    assert_int_equal(merged(g), 2);
    const graph_node *a = find_op(g, "com.microsoft", "Attention"), *c = a->next;
    while (!graph_is_op(c, "com.microsoft", "Attention")) c = c->next;
    assert_ptr_equal(a->inputs[1].value, c->inputs[1].value);
    assert_ptr_equal(a->inputs[2].value, c->inputs[2].value);
    finish(g);
}

/* Where it is run, the written file is the source again: the same fused steps, and no bias of zeros. */
static void it_is_read_as_what_it_was(void **state) {
    static const char *const texts[] = {PLAIN, GRAPH(PRODUCTS("wq", "wk", "wv") ATTEND("q0", "k0", "v0", "", "y"))};
    for (size_t i = 0; i < BASE_COUNT(texts); i++) {
        graph *same = parse_graph(texts[i]), *file = written(texts[i], write);
        char want[4000];
        run_passes(same, PASSES(no_pack, pass_run_all));
        snprintf(want, sizeof want, "%s", strstr(ops(same), "nib.Linear"));
        run_passes(file, PASSES(no_pack, pass_run_all));
        assert_non_null(strstr(ops(file), want));
        assert_int_equal(find_op(file, "nib", "Linear")->inputs[2].value != NULL, i == 0);
        graph_free(same);
        finish(file);
    }
}

/* ---- FusedMatMul */

#define PAIR(body, out)                                                                                                                    \
    HEAD "g (float[b,s,4] x, float[b,t,4] z, float[b,4,t] u) => (float[" out                                                               \
         "] y) <float[4,3] w = {@}, float half = {0.5}, float two = {2}, "                                                                 \
         "float[4] row = {@}> { " body " }"

static void products_of_two_are_fused(void **state) {
    static const struct {
        const char *text, *want;
        int a, b;
        float alpha;
    } table[] = {
        {PAIR("k = Transpose <perm = [0,2,1]> (z) y = MatMul (x, k)", "b,s,t"), "com.microsoft.FusedMatMul", 0, 1, 1},
        {PAIR("k = Transpose <perm = [0,2,1]> (z) m = MatMul (x, k) y = Div (m, two)", "b,s,t"), "com.microsoft.FusedMatMul", 0, 1, 0.5f},
        {PAIR("k = Transpose <perm = [0,2,1]> (z) l = Mul (k, half) q = Mul (half, x) m = MatMul (q, l) c = Mul (m, two) y = Exp (c)",
              "b,s,t"),
         "com.microsoft.FusedMatMul Exp", 0, 1, 0.5f},
        {PAIR("a = Transpose <perm = [0,2,1]> (x) e = Transpose <perm = [0,2,1]> (u) y = MatMul (a, x)", "b,4,4"),
         "com.microsoft.FusedMatMul", 1, 0, 1},
        {PAIR("m = MatMul (x, u) y = Mul (two, m)", "b,s,t"), "com.microsoft.FusedMatMul", 0, 0, 2},
        /* no gain, or another value */
        {PAIR("y = MatMul (x, u)", "b,s,t"), "MatMul", 0, 0, 0},
        {PAIR("m = MatMul (x, u) y = Div (two, m)", "b,s,t"), "MatMul Div", 0, 0, 0},
        {PAIR("m = MatMul (x, w) y = Mul (m, two)", "b,s,3"), "MatMul Mul", 0, 0, 0},
        {PAIR("q = Mul (x, row) y = MatMul (q, u)", "b,s,t"), "Mul MatMul", 0, 0, 0},
        {PAIR("q = Mul (x, half) m = MatMul (q, u) v = ReduceMean <axes = [2]> (m) e = ReduceMean <axes = [2]> (q) y = Add (v, e)",
              "b,s,1"),
         "Mul MatMul ReduceMean ReduceMean Add", 0, 0, 0},
    };
    for (size_t i = 0; i < BASE_COUNT(table); i++) {
        graph *g = written(table[i].text, write);
        if (strcmp(ops(g), table[i].want) != 0) fail_msg("%s\nleaves %s", table[i].text, ops(g));
        if (table[i].alpha != 0) {
            const graph_node *n = find_op(g, "com.microsoft", "FusedMatMul");
            assert_int_equal(graph_attr_int(n, "transA", 0), table[i].a);
            assert_int_equal(graph_attr_int(n, "transB", 0), table[i].b);
            assert_true(graph_attr_float(n, "alpha", 1) == table[i].alpha);
            run_passes(g, PASSES(pass_contrib)); /* and read again */
            assert_int_equal(count_op(g, "", "MatMul"), 1);
        }
        finish(g);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bias_does_not_keep_them_apart),
        cmocka_unit_test(three_products_become_one), cmocka_unit_test(what_is_not_one_stays_three),
        cmocka_unit_test(biases_become_one),         cmocka_unit_test(shared_weights_stay_one),
        cmocka_unit_test(it_is_read_as_what_it_was), cmocka_unit_test(products_of_two_are_fused),
    };
    return cmocka_run_group_tests(tests, pass_setup, pass_teardown);
}
