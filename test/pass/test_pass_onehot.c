/* SPDX-License-Identifier: Apache-2.0
 *
 * Products of one-hot rows become look-ups, with the same outputs, also for ids that stand for no column; and what stays.
 */
#include "pass_test.h"

#define EQUAL(before, columns, table)                                                                                              \
    HEAD "g (int64[b,s,1] ids) => (float[b,s,3] y) <int64[1,1,4] c = {" columns "}, float[4,3] w = {" table                          \
         "}, int64 two = {2}, int64[1] wide = {4}> { " before " e = Equal (v, c) h = Cast <to = 1> (e) y = MatMul (h, w) }"
#define ONE_HOT(attribute, depth, values)                                                                                          \
    HEAD "g (int64[b,s] ids) => (float[b,s,3] y) <int64 two = {2}, int64 depth = {" depth "}, float[2] values = {" values            \
         "}, float[4,3] w = {@}> { t = Mul (ids, two) v = Sub (t, depth) h = OneHot <" attribute "> (v, depth, values) "             \
         "y = MatMul (h, w) }"

static void ids_that_equal_a_column(void **state) {
    pass_check_ops(EQUAL("v = Identity (ids)", "0, 1, 2, 3", "@"), PASSES(pass_onehot, pass_clean), "Squeeze Clip Gather");
    /* -2 to 1, and 0 to 6: past either end */
    pass_check_ops(EQUAL("v = Sub (ids, two)", "0, 1, 2, 3", "@"), PASSES(pass_onehot, pass_clean), "Sub Squeeze Clip Gather");
    pass_check_ops(EQUAL("v = Mul (ids, two)", "0, 1, 2, 3", "@"), PASSES(pass_onehot, pass_clean), "Mul Squeeze Clip Gather");
}

static void what_is_no_look_up_stays(void **state) {
    pass_check_ops(EQUAL("v = Sub (ids, two)", "0, 1, 3, 2", "@"), PASSES(pass_onehot), "Sub Equal Cast MatMul");
    pass_check_ops(EQUAL("v = Sub (ids, two)", "1, 2, 3, 4", "@"), PASSES(pass_onehot), "Sub Equal Cast MatMul");
    pass_check_ops(ONE_HOT("axis = -1", "4", "1, 0"), PASSES(pass_onehot), "Mul Sub OneHot MatMul");
}

static void one_hot_counts_from_the_end(void **state) { /* -4 to 2 */
    pass_check_ops(ONE_HOT("axis = -1", "4", "0, 1"), PASSES(pass_onehot, pass_clean), "Mul Sub Clip Gather");
    pass_check_ops(ONE_HOT("axis = 2", "4", "0, 1"), PASSES(pass_onehot, pass_clean), "Mul Sub Clip Gather");
}

/* Rows of the table as they are: 0 times an infinity is NaN. */
static void infinities_stay(void **state) {
    graph *g = parse_graph(EQUAL("v = Identity (ids)", "0, 1, 2, 3", "1, 2, 3, 4, inf, 6, 7, 8, 9, 1, 2, 3"));
    run_passes(g, PASSES(pass_onehot));
    assert_non_null(find_op(g, "", "MatMul"));
    graph_free(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(ids_that_equal_a_column), cmocka_unit_test(what_is_no_look_up_stays),
                                       cmocka_unit_test(one_hot_counts_from_the_end), cmocka_unit_test(infinities_stay)};
    return cmocka_run_group_tests_name("pass_onehot", tests, pass_setup, pass_teardown);
}
