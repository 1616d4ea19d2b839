/* SPDX-License-Identifier: Apache-2.0
 *
 * Slices that become one, first states that say nothing, factors that go into a convolution's weights: what becomes of
 * them, with the same outputs; and what stays.
 */
#include "pass_test.h"

static void one_slice_of_two(void **state) {
    static const char *const both =
        HEAD "g (float[6,8,a] x) => (float[p,q,r] y) <int64[1] zero = {0}, int64[1] one = {1}, int64[1] two = {2},"
             " int64[1] last = {-1}, int64[1] four = {4}, int64[1] back = {-1}, int64[1] far = {-100}> "
             "{ v = Slice (x, one, last, zero, two) y = Slice (v, four, far, one, back) }";
    pass_check_ops(both, PASSES(pass_slice), "Slice");
    pass_check_ops(HEAD "g (float[6,8] x) => (float[p,q] y) <int64[1] zero = {0}, int64[1] one = {1}, int64[1] four = {4}> "
                        "{ v = Slice (x, one, four, zero) y = Slice (v, one, four, zero) }",
                   PASSES(pass_slice), "Slice Slice"); /* along one axis */
}

static void zeros_are_no_state(void **state) {
    graph *g =
        parse_graph(HEAD "g (float[t,b,3] x) => (float[t,1,b,4] y) <float[1,12,3] w = {@}, float[1,12,4] r = {@}, int64[3] s = {1, 2, 4}> "
                         "{ z = ConstantOfShape (s) y = GRU <hidden_size = 4> (x, w, r, \"\", \"\", z) }");
    run_passes(g, PASSES(pass_slice));
    assert_null(pass_input(find_op(g, "", "GRU"), 5));
    graph_free(g);
    g = parse_graph(HEAD "g (float[t,2,3] x) => (float[t,1,2,4] y) <float[1,12,3] w = {@}, float[1,12,4] r = {@}, float[1,2,4] z = {@}> "
                         "{ y = GRU <hidden_size = 4> (x, w, r, \"\", \"\", z) }");
    run_passes(g, PASSES(pass_slice));
    assert_non_null(pass_input(find_op(g, "", "GRU"), 5));
    graph_free(g);
}

static void a_factor_goes_into_the_weights(void **state) {
    pass_check_ops(HEAD "g (float[n,2,h,k] x) => (float[n,3,p,q] y) <float[3,2,3,3] w = {@}, float half = {0.5}> "
                        "{ v = Mul (x, half) y = Conv <pads = [1, 1, 1, 1]> (v, w) }",
                   PASSES(pass_conv), "Conv");
    pass_check_ops(HEAD "g (float[n,2,h,k] x, float s) => (float[n,3,p,q] y) <float[3,2,3,3] w = {@}> "
                        "{ v = Mul (x, s) y = Conv <pads = [1, 1, 1, 1]> (v, w) }",
                   PASSES(pass_conv), "Mul Conv");
    pass_check_ops(HEAD "g (float[n,2,h,k] x) => (float[n,3,p,q] y) <float[3,2,3,3] w = {@}, float half = {0.5}, float one = {1}, "
                        "float root = {1.41421354}> { a = Div (x, root) b = Erf (a) c = Add (b, one) d = Mul (x, c) v = Mul (d, half) "
                        "y = Conv <pads = [1, 1, 1, 1]> (v, w) }",
                   PASSES(pass_conv), "Div Erf Add Mul Mul Conv"); /* of a GELU, which is one to be known by others */
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(one_slice_of_two), cmocka_unit_test(zeros_are_no_state),
                                       cmocka_unit_test(a_factor_goes_into_the_weights)};
    return cmocka_run_group_tests_name("pass_slice", tests, pass_setup, pass_teardown);
}
