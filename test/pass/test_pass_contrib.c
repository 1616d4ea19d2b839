/* SPDX-License-Identifier: Apache-2.0
 *
 * com.microsoft's operators become those that the other passes know and compute the same; what cannot be said is left, with its reason.
 * (That nib's evals of these operators are right, ONNX Runtime's own results say: test_op_golden, contrib.bin.)
 */
#include "pass_test.h"

#define M "com.microsoft."
#define ROWS "float[b,s,8] x, float[b,s,8] r, int64[b,s] ids, int32[b,s] mask"
#define WEIGHTS                                                                                                                            \
    "float[8] gamma = {@}, float[8] beta = {@}, float[8] bias = {@}, float[8,8] w = {@}, float[8,24] qkv = {@}, float[24] three = {@}, "   \
    "float[4,8] words = {@}, float[16,8] places = {@}, float[4,8] kinds = {@}, int64[1] v1 = {1}, float[16,2] cos = {@}, "                 \
    "float[16,2] sin = {@}, int64[1] first = {3}, float none = {0}"

/* r as keys of four heads, [b, 4, s, 2]; and `few`: the first two of them, each twice. */
#define KEYS "sh = Constant <value_ints = [0, 0, 4, 2]> () rr = Reshape (r, sh) rh = Transpose <perm = [0, 2, 1, 3]> (rr) "
#define SHARED                                                                                                                             \
    "c0 = Constant <value_ints = [0]> () c4 = Constant <value_ints = [4]> () c2 = Constant <value_ints = [2]> () half = Slice (r, c0, "    \
    "c4, "                                                                                                                                 \
    "c2) s2 = Constant <value_ints = [0, 0, 2, 2]> () hr = Reshape (half, s2) ht = Transpose <perm = [0, 2, 1, 3]> (hr) five = Unsqueeze " \
    "(ht, c2) times = Constant <value_ints = [1, 1, 2, 1, 1]> () wide = Expand (five, times) s4 = Constant <value_ints = [0, 4, -1, 2]> "  \
    "() "                                                                                                                                  \
    "few = Reshape (wide, s4) "

static const char *text_of(const char *body) {
    static char text[4000];
    snprintf(text, sizeof text, HEAD "g (" ROWS ") => (float[y0,y1,y2] y) <" WEIGHTS "> { i32 = Cast <to = 6> (ids) at = Abs (ids) %s }",
             body);
    return text;
}

static void operators_are_said_in_known_ones(void **state) {
    static const struct {
        const char *body, *has; /* an operator that must be there afterwards */
    } rows[] = {
        {"y = " M "SkipLayerNormalization (x, r, gamma, beta)", "Norm"},
        {"y = " M "SkipLayerNormalization <epsilon = 0.1> (x, r, gamma, beta, bias)", "Norm"},
        {"n, , , sum = " M "SkipLayerNormalization (x, r, gamma) y = Add (n, sum)", "Norm"},
        {"n, , , sum = " M "SkipSimplifiedLayerNormalization (x, r, gamma, bias) y = Add (n, sum)", "Norm"},
        {"y = " M "SimplifiedLayerNormalization <axis = -1> (x, gamma)", "Norm"},
        {"y = SimplifiedLayerNormalization <axis = 2, epsilon = 0.1> (x, gamma)", "Norm"},
        {"y = " M "EmbedLayerNormalization (i32, , words, places, , gamma, beta)", "Norm"},
        {"y, n, sum = " M "EmbedLayerNormalization (i32, i32, words, places, kinds, gamma, beta, mask) ", "Norm"},
        {"e, n, sum = " M "EmbedLayerNormalization (i32, i32, words, places, kinds, gamma, beta, mask, i32) f = Cast <to = 1> (n) u = "
         "Unsqueeze (f, v1) k = Unsqueeze (u, v1) t = Mul (sum, k) y = Add (t, e)",
         "Norm"},
        {"h = MatMul (x, w) y = " M "BiasGelu (h, bias)", "Linear"},
        {"h = MatMul (x, w) y = " M "FastGelu (h, bias)", "Linear"},
        {"h = MatMul (x, w) y = " M "FastGelu (h)", "Linear"},
        {"h = MatMul (x, w) y = " M "QuickGelu <alpha = 1.5> (h)", "Linear"},
        {"y = " M "FusedMatMul <transB = 1, alpha = 0.5> (x, w)", "Linear"},
        {"t = " M "FusedMatMul <transA = 1> (x, r) y = " M "FusedMatMul (x, t)", NULL},
        {"y = " M "MultiHeadAttention <num_heads = 2> (x, r, x)", "Attention"},
        {"y = " M "MultiHeadAttention <num_heads = 4, scale = 0.2> (x, r, x, three, mask)", "Attention"},
        {"y = " M "MultiHeadAttention <num_heads = 2, unidirectional = 1> (x, r, x)", "Attention"},
        {"y = " M "MultiHeadAttention <num_heads = 2, unidirectional = 1, mask_filter_value = -3e38> (x, r, x, three, mask)", "Attention"},
        {KEYS "y = " M "MultiHeadAttention <num_heads = 4> (x, rh, rh)", "Attention"},
        {KEYS "rs = Softmax (rh) y = " M
              "MultiHeadAttention <num_heads = 4, unidirectional = 1, mask_filter_value = -3e38> (x, rs, rh, , mask)",
         "Attention"},
        {KEYS SHARED "y = " M "MultiHeadAttention <num_heads = 4, scale = 0.3> (x, few, few)", "Attention"},
        {"b = Constant <value_float = -inf> () t = Transpose <perm = [0, 2, 1]> (r) m = MatMul (x, t) k = Greater (m, none) d = Where (k, "
         "m, b) u = Unsqueeze (d, v1) "
         "a0 = " M "MultiHeadAttention <num_heads = 2> (x, r, x, , , u) n = IsNaN (a0) "
         "y = Where (n, none, a0)",
         "Attention"},
        {"y = " M "RotaryEmbedding <num_heads = 2> (x, at, cos, sin)", "Rotary"},
        {"y = " M "RotaryEmbedding (x, at, cos, sin)", "Rotary"},
        {"y = " M "RotaryEmbedding <num_heads = 2, interleaved = 1> (x, first, cos, sin)", "Rotary"},
        {"zero = Constant <value_ints = [0]> () y = " M "RotaryEmbedding <num_heads = 1, rotary_embedding_dim = 4> (x, zero, cos, sin)",
         "Rotary"},
        {"s = Constant <value_ints = [0, 0, 2, 4]> () h = Reshape (x, s) xh = Transpose <perm = [0, 2, 1, 3]> (h) t = " M
         "RotaryEmbedding (xh, at, cos, sin) u = Transpose <perm = [0, 2, 1, 3]> (t) w8 = Constant <value_ints = [0, 0, 8]> () "
         "y = Reshape (u, w8)",
         "Rotary"},
        {"h = MatMul (x, w) t = Sum (h, r, bias) y = LayerNormalization (t, gamma, beta)", "Linear"},
        {"y = Sum (x, r, x, bias)", NULL},
        {"y = " M "Attention <num_heads = 2, unidirectional = 1> (x, qkv, three)", "Attention"},
        {"y = " M "Attention <num_heads = 2> (x, qkv, three, mask)", "Attention"},
        {"y = " M "Attention <num_heads = 2, mask_filter_value = -1e30> (x, qkv, three)", "Attention"},
        {"one = ReduceSum <keepdims = 0> (mask, v1) y = " M "Attention <num_heads = 2> (x, qkv, three, one)", "Attention"},
    };
    for (mask_kind = MASK_FULL; mask_kind <= MASK_HOLES; mask_kind++)
        for (size_t i = 0; i < BASE_COUNT(rows); i++) {
            graph *before = parse_graph(text_of(rows[i].body)), *after = clone_graph(before);
            run_passes(after, PASSES(pass_contrib, pass_fold, pass_linear, pass_activation, pass_clean));
            for (const graph_node *n = after->first; n; n = n->next)
                if (strcmp(n->domain, "com.microsoft") == 0) fail_msg("%s is left in %s\n%s", n->op, ops(after), notes);
            if (rows[i].has && !count_op(after, "nib", rows[i].has)) fail_msg("no %s in %s", rows[i].has, ops(after));
            assert_int_equal(count_op(after, "", "IsNaN"), 0); /* what guards an attention goes with it */
            check_equal(before, after, false);
            graph_free(before);
            done(after);
        }
}

static void what_cannot_be_said_is_left(void **state) {
    static const struct {
        const char *body, *why;
    } rows[] = {
        {"y, mean = " M "SkipLayerNormalization (x, r, gamma, beta) z = Add (mean, mean)", ""}, /* nobody reads z */
        {"n, mean = " M "SkipLayerNormalization (x, r, gamma, beta) y = Add (n, mean)", "its mean or variance is read"},
        {"y = " M "SkipLayerNormalization (x, beta, gamma)", "its skip may be broadcast"},
        {"y = " M "SkipLayerNormalization (x, r, w)", "its weights are not one row"},
        {"y = " M "MultiHeadAttention <num_heads = 3> (x, r, x)", "not heads of one size"},
        {"e = Concat <axis = 1> (r, r) y = " M "MultiHeadAttention <num_heads = 2, unidirectional = 1> (x, e, e)", "not as many keys"},
        {"y = " M "RotaryEmbedding <num_heads = 4> (x, at, cos, sin)", "its tables do not fit its heads"},
        {"y = " M "RotaryEmbedding <num_heads = 3> (x, at, cos, sin)", "not heads of one size"},
        {"y = " M "RotaryEmbedding <num_heads = 2, is_packed_batching = 1> (x, at, cos, sin)", "packed"},
        {"y, k, v = " M "MultiHeadAttention <num_heads = 2> (x, r, x) z = Add (k, v) t = Transpose <perm = [0,2,1,3]> (z) ", ""},
        {"y = " M "Attention <num_heads = 2> (x, w, bias)", "not heads of one size"},
        {"y = " M "Attention <num_heads = 2> (x, qkv, bias)", "its bias does not fit"},
        {"y = " M "EmbedLayerNormalization (i32, i32, words, places, , gamma, beta)", "an input is missing"},
        {"y = " M "FusedMatMul <transBatchA = 1> (x, w)", "batch axes"},
    };
    for (size_t i = 0; i < BASE_COUNT(rows); i++) {
        graph *g = parse_graph(text_of(rows[i].body));
        run_passes(g, PASSES(pass_contrib));
        if (!strstr(notes, rows[i].why)) fail_msg("%s: it says %s", rows[i].body, notes);
        int left = 0;
        for (const graph_node *n = g->first; n; n = n->next) left += strcmp(n->domain, "com.microsoft") == 0;
        assert_int_equal(left, 1);
        done(g);
    }
}

/* ---- what ai.onnx itself says from opset 23 on */

#define NEW(opset, inputs, body)                                                                                                           \
    HEAD_OF(opset)                                                                                                                         \
    "g (float[b,s,16] x" inputs ") => (float[b,s,16] y) <float[16,16] wq = {@}, float[16,16] wk = {@}, float[16,8] wn = {@}, "             \
    "float[16] gamma = {@}, int64[4] split = {0,0,4,4}, int64[3] merge = {0,0,16}, float[12,2] cosines = {@}, float[12,2] "                \
    "sines = {@}, int64[1] v0 = {0}, int64 i0 = {0}, int64 i1 = {1}, int64[2] v12 = {1,2}> { q0 = MatMul (x, wq) k0 = MatMul "             \
    "(x, wk) n0 = MatMul (x, wn) q1 = Reshape (q0, split) k1 = Reshape (k0, split) q = Transpose <perm = [0,2,1,3]> (q1) k = "             \
    "Transpose <perm = [0,2,1,3]> (k1) sh = Shape (x) ns = Gather (sh, i1) " body " }"
#define ROWS_OF_HEADS "ot = Transpose <perm = [0,2,1,3]> (o) y = Reshape (ot, merge)"

static void attention_of_opset_23_is_fused(void **state) {
    static const struct {
        const char *text;
        int attentions, rotaries, norms;
    } rows[] = {
        {NEW(23, "", "y = Attention <q_num_heads = 4, kv_num_heads = 4> (q0, k0, x)"), 1, 0, 0},
        {NEW(23, "", "y = Attention <q_num_heads = 4, kv_num_heads = 2, is_causal = 1, scale = 0.3> (q0, n0, n0)"), 1, 0, 0},
        {NEW(23, "", "o = Attention (q, k, k) " ROWS_OF_HEADS), 1, 0, 0},
        {NEW(24, "", "o = Attention <softcap = 2.0> (q, k, k) " ROWS_OF_HEADS), 1, 0, 0},
        {NEW(23, ", float[s,s] bias", "o = Attention (q, k, k, bias) " ROWS_OF_HEADS), 1, 0, 0},
        {NEW(23, ", float[b,1,s,s] bias", "o = Attention <is_causal = 1> (q, k, k, bias) " ROWS_OF_HEADS), 1, 0, 0},
        {NEW(24, ", bool[b,s] mask", "m = Unsqueeze (mask, v12) o = Attention (q, k, k, m) " ROWS_OF_HEADS), 1, 0, 0},
        {NEW(23, "",
             "p = Range (i0, ns, i1) p0 = Unsqueeze (p, v0) bs = Shape <start = 0, end = 2> (x) p1 = Expand (p0, bs) qr = RotaryEmbedding "
             "(q, cosines, sines, p1) kr = RotaryEmbedding (k, "
             "cosines, sines, p1) o = Attention (qr, kr, k) " ROWS_OF_HEADS),
         1, 2, 0},
        {NEW(23, "", "y = RMSNormalization <axis = -1, epsilon = 0.001> (x, gamma)"), 0, 0, 1},
        /* what is said otherwise stays */
        {NEW(24, "",
             "o, pk, pv, qk = Attention (q, k, k) a = ReduceMean <keepdims = 0> (qk) b = ReduceMean <keepdims = 0> (pk) c = Add (a, b) ot "
             "= Transpose <perm = [0,2,1,3]> "
             "(o) "
             "r = Reshape (ot, merge) y = Add (r, c)"),
         0, 0, 0},
        {NEW(23, "", "o = Attention (q, k, k, , k, k) " ROWS_OF_HEADS), 0, 0, 0},
    };
    for (size_t i = 0; i < BASE_COUNT(rows); i++) {
        graph *g = pass_check_same(rows[i].text, PASSES(pass_run_all));
        if (count_op(g, "nib", "Attention") != rows[i].attentions || count_op(g, "nib", "Norm") != rows[i].norms)
            fail_msg("%s: %s", rows[i].text, ops(g));
        if ((count_op(g, "nib", "Rotary") > 0) != (rows[i].rotaries > 0)) fail_msg("%s: %s", rows[i].text, ops(g));
        done(g);
    }
}

/* Since opset 24 a mask of fewer keys than there are hides the others: nib.Attention knows no such bias, so it stays
 * what it is. */
static void a_short_mask_stays(void **state) {
    static const struct {
        const char *mask;
        bool fused;
    } rows[] = {{"float[3,5] m", true},
                {"float[3,4] m", false},
                {"bool[2,1,3,2] m", false},
                {"float[1,2,1,1] m", false},
                {"float[3,t] m", false}};
    for (size_t i = 0; i < BASE_COUNT(rows); i++) {
        char text[700];
        snprintf(text, sizeof text,
                 "<ir_version: 10, opset_import: [\"\" : 24]> g (float[2,3,8] q, float[2,5,8] k, %s) => (float[2,3,8] "
                 "y) { y = Attention "
                 "<q_num_heads = 2, kv_num_heads = 2> (q, k, k, m) }",
                 rows[i].mask);
        graph *g = pass_check_same(text, PASSES(pass_standard));
        assert_int_equal(count_op(g, "nib", "Attention"), rows[i].fused);
        assert_int_equal(strstr(notes, "its mask may be shorter than its keys") != NULL, !rows[i].fused);
        done(g);
    }
    /* And what it is: the keys that the mask does not have are at -infinity. */
    pass_check_equal_graphs(
        "<ir_version: 10, opset_import: [\"\" : 24]> g (float[2,3,8] q, float[2,5,8] k, float[3,4] m) => (float[2,3,8] "
        "y) { y = "
        "Attention <q_num_heads = 2, kv_num_heads = 2> (q, k, k, m) }",
        "<ir_version: 10, opset_import: [\"\" : 24]> g (float[2,3,8] q, float[2,5,8] k, float[3,4] m) => (float[2,3,8] "
        "y) "
        "<float[3,1] never = {-inf,-inf,-inf}> { w = Concat <axis = 1> (m, never) y = Attention <q_num_heads = 2, "
        "kv_num_heads = 2> (q, k, k, w) }");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_short_mask_stays),
        cmocka_unit_test(attention_of_opset_23_is_fused),
        cmocka_unit_test(operators_are_said_in_known_ones),
        cmocka_unit_test(what_cannot_be_said_is_left),
    };
    return cmocka_run_group_tests(tests, pass_setup, pass_teardown);
}
