/* SPDX-License-Identifier: Apache-2.0
 *
 * Picks move in front of what works row by row, and nothing else does; before and after compute the same bits.
 */
#include "pass_test.h"

#define TEXT(outputs, weights, body)                                                                                    \
    "<ir_version: 8, opset_import: [\"\" : 17, \"nib\" : 1]> g (float[2,3,6] x, float[2,3,6] r, int64[n,2] places) => ("   \
    "float[n,c] y" outputs ") <float[6,9] w = {@}, float[9,6] w2 = {@}, float[9] c9 = {@}, float[6] c6 = {@}, "         \
    "float[1,1,6] wide = {@}, float[1,5,6] rows = {@}" weights "> { " body " }"

static graph *picked(const char *text) {
    graph *g = pass_check_same(text, PASSES(pass_pick));
    assert_string_equal(g->outputs[0]->name, "y");
    return g;
}

/* Every node behind a Pick sees [n, ..]. */
static void heads_see_few_rows(void **state) {
    static const char *const texts[] = {
        TEXT("", "", "l = nib.Linear (x, w, c9) y = nib.Pick (l, places)"),
        TEXT("", "", "l = MatMul (x, w) a = Add (l, c9) y = nib.Pick (a, places)"),
        TEXT("", "", "l = nib.Linear <activation = \"gelu_erf\"> (x, w, c9) m = nib.Linear (l, w2, c6, x) t = nib.Norm (m, c6, c6) "
                     "u = nib.Linear (t, w) y = nib.Pick (u, places)"),
        TEXT("", "", "a = Add (x, wide) m = Mul (a, r) t = LayerNormalization <axis = 2> (m, c6, c6) y = nib.Pick (t, places)"),
        TEXT("", "", "n = nib.Norm (x, c6, c6, r) s = Softmax <axis = 2> (n) t = Tanh (s) y = nib.Pick (t, places)"),
        TEXT(", float[n,c] z", "", "l = nib.Linear (x, w) m = Neg (l) a = nib.Pick (m, places) z = nib.Pick (l, places) y = Identity (a)"),
    };
    for (size_t i = 0; i < BASE_COUNT(texts); i++) {
        graph *g = picked(texts[i]);
        bool behind = false;
        for (const graph_node *n = g->first; n; n = n->next) {
            const bool pick = graph_is_op(n, "nib", "Pick");
            if (behind && !pick && n->outputs[0]->type.rank != 2) fail_msg("%s: %s", texts[i], ops(g));
            if (pick && n->inputs[0].value->producer) fail_msg("%s: %s", texts[i], ops(g));
            behind |= pick;
        }
        if (count_op(g, "nib", "Pick") > 2) fail_msg("%s: a row is picked twice: %s", texts[i], ops(g));
        done(g);
    }
}

static void others_stay(void **state) {
    static const char *const texts[] = {
        TEXT(", float[2,3,9] l", "", "l = nib.Linear (x, w) y = nib.Pick (l, places)"), /* all rows are wanted, too */
        TEXT(", float[2,3,9] z", "", "l = nib.Linear (x, w) z = Neg (l) y = nib.Pick (l, places)"),
        TEXT(", float[n,9] z", ", int64[1,2] other = {0, 1}", "l = nib.Linear (x, w) y = nib.Pick (l, places) z = nib.Pick (l, other)"),
        TEXT("", "", "a = nib.Attention <heads = 2> (x, x, x) y = nib.Pick (a, places)"),
        TEXT("", ", int64[1] one = {1}", "a = ReduceSum <keepdims = 1> (x, one) b = Add (x, a) y = nib.Pick (b, places)"),
        TEXT("", "", "p = MatMul (x, w) q = Softmax <axis = 1> (p) y = nib.Pick (q, places)"),
    };
    for (size_t i = 0; i < BASE_COUNT(texts); i++) {
        graph *g = parse_graph(texts[i]);
        run_passes(g, PASSES(pass_pick));
        const graph_node *n = find_op(g, "nib", "Pick");
        if (!n->inputs[0].value->producer) fail_msg("%s: %s", texts[i], ops(g));
        done(g);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heads_see_few_rows),
        cmocka_unit_test(others_stay),
    };
    return cmocka_run_group_tests(tests, pass_setup, pass_teardown);
}
