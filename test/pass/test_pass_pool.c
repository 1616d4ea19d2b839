/* SPDX-License-Identifier: Apache-2.0
 *
 * The L2 norm of pooled rows becomes Pool's own; and nothing else does. That a plan's bits are the same, test_task_vectors
 * says.
 */
#include "pass_test.h"

#define TEXT(inputs, outputs, body)                                                                                    \
    "<ir_version: 8, opset_import: [\"\" : 17, \"nib\" : 1]> g (float[b,s,37] x, int64[b,s] mask" inputs               \
    ") => (float[b,37] y" outputs ") { " body " }"
#define POOL(mode) "p = nib.Pool <mode = \"" mode "\"> (x, mask) "
#define L2 "y = LpNormalization <axis = -1, p = 2> (p)"

static void its_norm_is_taken(void **state) {
    static const char *const modes[] = {"mean", "cls", "max", "last", "mean_sqrt_len", "weighted_mean"};
    for (size_t i = 0; i < BASE_COUNT(modes); i++) {
        char text[600];
        snprintf(text, sizeof text, TEXT("", "", POOL("%s") L2), modes[i]);
        graph *g = pass_check_same(text, PASSES(pass_pool));
        assert_int_equal(count_op(g, "", "LpNormalization"), 0);
        assert_int_equal(count_op(g, "nib", "Pool"), 1);
        assert_string_equal(g->outputs[0]->name, "y");
        done(g);
    }
}

static void others_stay(void **state) {
    static const char *const texts[] = {
        TEXT("", "", POOL("mean") "y = LpNormalization <axis = -1, p = 1> (p)"),
        TEXT("", "", POOL("mean") "y = LpNormalization <axis = 0, p = 2> (p)"),
        TEXT("", ", float[b,37] p", POOL("mean") L2), /* the rows are wanted as they are */
        TEXT("", ", float[b,37] z", POOL("mean") L2 " z = Neg (p)"),
        TEXT("", "", POOL("mean") "q = LpNormalization <axis = -1, p = 2> (p) y = LpNormalization <axis = -1, p = 1> (q)"),
    };
    for (size_t i = 0; i < BASE_COUNT(texts); i++) {
        graph *g = parse_graph(texts[i]);
        run_passes(g, PASSES(pass_pool));
        if (count_op(g, "", "LpNormalization") != 1) fail_msg("%s", texts[i]);
        done(g);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(its_norm_is_taken),
        cmocka_unit_test(others_stay),
    };
    return cmocka_run_group_tests(tests, pass_setup, pass_teardown);
}
