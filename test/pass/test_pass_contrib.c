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
    "float[4,8] words = {@}, float[16,8] places = {@}, float[4,8] kinds = {@}, int64[1] v1 = {1}"

static const char *text_of(const char *body) {
    static char text[3000];
    snprintf(text, sizeof text, HEAD "g (" ROWS ") => (float[y0,y1,y2] y) <" WEIGHTS "> { i32 = Cast <to = 6> (ids) %s }", body);
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
        {"y = " M "Attention <num_heads = 2> (x, qkv, three, mask)", "Attention"},
        {"y = " M "Attention <num_heads = 2, mask_filter_value = -1e30> (x, qkv, three)", "Attention"},
        {"one = ReduceSum <keepdims = 0> (mask, v1) y = " M "Attention <num_heads = 2> (x, qkv, three, one)", "Attention"},
    };
    for (mask_kind = MASK_FULL; mask_kind <= MASK_HOLES; mask_kind++)
        for (size_t i = 0; i < BASE_COUNT(rows); i++) {
            graph *before = parse_graph(text_of(rows[i].body)), *after = clone_graph(before);
            run_passes(after, PASSES(pass_contrib, pass_fold, pass_linear, pass_activation));
            for (const graph_node *n = after->first; n; n = n->next)
                if (strcmp(n->domain, "com.microsoft") == 0) fail_msg("%s is left in %s\n%s", n->op, ops(after), notes);
            if (rows[i].has && !count_op(after, "nib", rows[i].has)) fail_msg("no %s in %s", rows[i].has, ops(after));
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
        {"y = " M "MultiHeadAttention <num_heads = 2, unidirectional = 1> (x, r, x)", "causal"},
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operators_are_said_in_known_ones),
        cmocka_unit_test(what_cannot_be_said_is_left),
    };
    return cmocka_run_group_tests(tests, pass_setup, pass_teardown);
}
