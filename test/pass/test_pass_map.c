/* SPDX-License-Identifier: Apache-2.0
 *
 * Element-wise operators in one program: what becomes of them, by name; and what stays apart, since somebody else reads it
 * or it has another shape. That the numbers are the same is test_plan_steps.
 */
#include "pass_test.h"
#include "op/op_map.h"

static graph *mapped(const char *text) {
    graph *g = parse_graph(text);
    run_passes(g, PASSES(pass_map));
    return g;
}

static kernel_map program_of(const graph *g) {
    kernel_map map;
    assert_true(op_map_get(find_op(g, "nib", count_op(g, "nib", "Map") ? "Map" : "Conv"), &map));
    return map;
}

#define X "float[2,c,d] x"
#define WORDS "<float half = {0.5}, float root = {1.41421356}, float inverse = {0.70710678}, float one = {1}>"

static void gelu_however_it_is_put(void **state) {
    static const char *const forms[] = {
        "a = Div (x, root) b = Erf (a) c = Add (b, one) d = Mul (x, c) y = Mul (d, half)",
        "a = Mul (inverse, x) b = Erf (a) c = Add (one, b) d = Mul (half, x) y = Mul (d, c)",
        "a = Mul (x, inverse) b = Erf (a) c = Add (b, one) d = Mul (half, c) y = Mul (x, d)",
    };
    for (size_t i = 0; i < BASE_COUNT(forms); i++) {
        char text[500];
        snprintf(text, sizeof text, HEAD "g (" X ") => (float[2,c,d] y) " WORDS " { %s }", forms[i]);
        graph *g = mapped(text);
        const kernel_map map = program_of(g);
        assert_string_equal(ops(g), "nib.Map");
        assert_int_equal(map.steps, 1);
        assert_int_equal(map.inputs, 1);
        assert_int_equal(map.step[0].function, KERNEL_MAP_GELU);
        graph_free(g);
    }
    /* with another number it is none */
    graph *g = mapped(HEAD "g (" X ") => (float[2,c,d] y) <float half = {0.5}, float k = {0.7}, float one = {1}> "
                           "{ a = Mul (x, k) b = Erf (a) c = Add (b, one) d = Mul (x, c) y = Mul (d, half) }");
    assert_int_equal(program_of(g).steps, 5);
    graph_free(g);
}

/* Limits that cross: all numbers become the higher one, in the operator's eval, in the program, and behind a convolution. */
static void limits_that_cross(void **state) {
    pass_check_ops(HEAD "g (" X ") => (float[2,c,d] y) <float two = {2}, float least = {-1}> { a = Clip (x, two, least) y = Relu (a) }",
                   PASSES(pass_map), "nib.Map");
    pass_check_ops(HEAD "g (" X ") => (float[2,c,d] y) <float least = {0.5}, float most = {0.25}> { y = Clip (x, least, most) }",
                   PASSES(pass_map), "nib.Map");
    pass_check_ops(HEAD "g (float[n,2,h,k] x) => (float[n,3,p,q] y) <float[3,2,1,1] w = {@}, float least = {0.5}, float most = {0.25}> "
                        "{ v = Conv (x, w) y = Clip (v, least, most) }",
                   PASSES(pass_map), "nib.Conv");
    graph *g = mapped(HEAD "g (" X ") => (float[2,c,d] y) <float least = {0.5}, float most = {0.25}> { y = Clip (x, least, most) }");
    assert_true(program_of(g).step[0].p == 0.5f && program_of(g).step[0].q == 0.25f);
    graph_free(g);
}

static void what_others_read_stays(void **state) {
    graph *g = mapped(HEAD "g (" X ") => (float[2,c,d] y, float[2,c,d] a) { a = Relu (x) b = Tanh (a) y = Add (a, b) }");
    assert_string_equal(ops(g), "nib.Map nib.Map"); /* a is an output */
    graph_free(g);
    g = mapped(HEAD "g (" X ", float[c,d] z) => (float[2,c,d] y) { a = Relu (z) b = Tanh (x) y = Add (a, b) }");
    assert_string_equal(ops(g), "nib.Map nib.Map"); /* a is smaller */
    graph_free(g);
    g = mapped(HEAD "g (int64[4] x) => (int64[4] y) { a = Abs (x) y = Add (a, x) }");
    assert_string_equal(ops(g), "Abs Add");
    graph_free(g);
    g = mapped(HEAD "g (" X ") => (float[2,c,d] y) <float four = {4}> { a = Pow (x, four) y = Relu (a) }");
    assert_string_equal(ops(g), "Pow nib.Map");
    graph_free(g);
    g = mapped(HEAD "g (" X ") => (float[2,c,d] y) <float three = {3}> { a = Pow (x, three) y = Relu (a) }");
    assert_string_equal(ops(g), "nib.Map");
    assert_int_equal(program_of(g).steps, 3); /* x x x, and the Relu */
    graph_free(g);
}

#define IMAGE "float[1,4,h,w] x"
#define CONV "v = Conv <kernel_shape = [1, 1]> (x, w) "

static void behind_a_convolution(void **state) {
    graph *g = mapped(HEAD "g (" IMAGE ", float[1,6,1,1] s) => (float[1,6,h,w] y) <float[6,4,1,1] w = {@}, float six = {6}> "
                           "{ " CONV "a = HardSwish (v) b = Mul (s, a) y = Div (b, six) }");
    assert_string_equal(ops(g), "nib.Conv");
    assert_int_equal(program_of(g).steps, 3);
    graph_free(g);
    /* Somebody else reads what it gives: it stays as it is. */
    g = mapped(HEAD "g (" IMAGE ") => (float[1,6,h,w] y) <float[6,4,1,1] w = {@}> "
                    "{ " CONV "a = GlobalAveragePool (v) b = Sigmoid (a) y = Mul (v, b) }");
    assert_string_equal(ops(g), "Conv GlobalAveragePool nib.Map nib.Map");
    graph_free(g);
    /* A value with a row of its own is none that a block of pixels can read. */
    g = mapped(HEAD "g (" IMAGE ", float[1,1,h,1] s) => (float[1,6,h,w] y) <float[6,4,1,1] w = {@}> { " CONV "y = Mul (v, s) }");
    assert_string_equal(ops(g), "Conv nib.Map");
    graph_free(g);
}

static void many_inputs_stay_apart(void **state) {
    char text[2000];
    int n = snprintf(text, sizeof text, HEAD "g (float[c] x0");
    for (int i = 1; i < 16; i++) n += snprintf(text + n, sizeof text - (size_t)n, ", float[c] x%d", i);
    n += snprintf(text + n, sizeof text - (size_t)n, ") => (float[c] y) { a1 = Add (x0, x1)");
    for (int i = 2; i < 15; i++) n += snprintf(text + n, sizeof text - (size_t)n, " a%d = Add (a%d, x%d)", i, i - 1, i);
    snprintf(text + n, sizeof text - (size_t)n, " y = Add (a14, x15) }");
    graph *g = mapped(text);
    nib_error err = {0};
    assert_int_equal(graph_verify(g, &err), NIB_OK);
    assert_string_equal(ops(g), "nib.Map nib.Map");
    graph_free(g);
}

static void programs_are_checked(void **state) {
    static const int64_t bad[][3] = {{-1, 0, 0}, {KERNEL_MAP_COUNT, 0, 0}, {0, 1, 0}, {0, 0, -1}, {0, 0, 9}};
    graph *g = mapped(HEAD "g (" X ") => (float[2,c,d] y) { y = Relu (x) }");
    graph_node *n = find_op(g, "nib", "Map");
    kernel_map map;
    for (size_t i = 0; i < BASE_COUNT(bad); i++) {
        graph_set_ints(n, "code", bad[i], 3);
        assert_false(op_map_get(n, &map));
    }
    graph_set_ints(n, "code", (const int64_t[]){0, 0, 0, 1, 1, 1}, 6); /* numbers for one step alone */
    assert_false(op_map_get(n, &map));
    graph_set_ints(n, "code", (const int64_t[]){0, 0}, 2);
    assert_false(op_map_get(n, &map));
    graph_free(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(gelu_however_it_is_put), cmocka_unit_test(limits_that_cross),
                                       cmocka_unit_test(what_others_read_stays), cmocka_unit_test(behind_a_convolution),
                                       cmocka_unit_test(many_inputs_stay_apart), cmocka_unit_test(programs_are_checked)};
    return cmocka_run_group_tests_name("pass_map", tests, pass_setup, pass_teardown);
}
