/* SPDX-License-Identifier: Apache-2.0
 *
 * From one opset to another: what is rewritten computes the same and is in the words of the new opset; everything else is refused, where
 * it is rewritten or where the file is checked, with what the opset does not have.
 */
#include "pass_test.h"
#include "op/op_schema.h"

typedef struct conversion {
    int from, to;
    const char *body; /* signature and nodes */
    const char *want; /* operators afterwards, or, after a '!', what is said */
} conversion;

#define X4 "g (float[1,2,5,6] x) => (y) "
#define X2 "g (float[2,3] x) => (y) "

static const conversion rows[] = {
    /* other names, words and places */
    {9, 13, X4 "<float[4] s = {1,1,2,2}> { y = Upsample (x, s) }", "Resize"},
    {9, 11, X4 "<float[4] s = {1,1,2,2}> { y = Upsample <mode = \"linear\"> (x, s) }", "Resize"},
    {9, 10, X4 "<float[4] s = {1,1,2,2}> { y = Upsample (x, s) }", "Resize"},
    {10, 17, X4 "<float[4] s = {1,1,2,2}> { y = Resize (x, s) }", "Resize"},
    {7, 9, X4 "{ y = Upsample <scales = [1.0,1.0,2.0,2.0]> (x) }", "Upsample"},
    {7, 18, X4 "{ y = Upsample <scales = [1.0,1.0,2.0,2.0]> (x) }", "Resize"},
    {11, 17,
     X4 "<float[0] r = {}, float[4] s = {1,1,2,1.5}> { y = Resize <mode = \"nearest\", nearest_mode = \"floor\", "
        "coordinate_transformation_mode = \"tf_half_pixel_for_nn\"> (x, r, s) }",
     "Resize"},
    {9, 13, X2 "<int64[1,2] i = {0,2}, float[1,2] u = {7,8}> { y = Scatter <axis = 1> (x, i, u) }", "ScatterElements"},
    {13, 9, X2 "<int64[1,2] i = {0,2}, float[1,2] u = {7,8}> { y = ScatterElements <axis = 1> (x, i, u) }", "Scatter"},
    {7, 9, X4 "<float[2] a = {1,2}> { y = BatchNormalization <spatial = 1> (x, a, a, a, a) }", "BatchNormalization"},
    {16, 21, X4 "<float[1,2,2,2] i = {@}> { y = GridSample <mode = \"bilinear\"> (x, i) }", "GridSample"},
    {21, 16, X4 "<float[1,2,2,2] i = {@}> { y = GridSample <mode = \"cubic\"> (x, i) }", "GridSample"},
    {11, 13,
     X2 "{ a = Softmax <axis = 1> (x) b = ReduceSum <axes = [1], keepdims = 1> (a) c = Squeeze <axes = [1]> (b) "
        "y = Unsqueeze <axes = [0]> (c) }",
     "Softmax ReduceSum Squeeze Unsqueeze"},
    {13, 11,
     X2 "<int64[1] one = {1}, int64[1] zero = {0}> { a = Softmax (x) b = ReduceSum (a, one) c = Squeeze (b, one) "
        "y = Unsqueeze (c, zero) }",
     "Softmax ReduceSum Squeeze Unsqueeze"},
    {18, 17, X2 "<int64[1] one = {1}> { y = ReduceMean <noop_with_empty_axes = 0> (x, one) }", "ReduceMean"},
    {18, 17, "g (float[2,4] x) => (y) { a, b = Split <axis = 1, num_outputs = 2> (x) y = Sub (a, b) }", "Split Sub"},
    {18, 11, "g (float[2,4] x) => (y) <int64[2] s = {1,3}> { a, b = Split <axis = 1> (x, s) y = Mul (a, b) }", "Split Mul"},
    {13, 9, X2 "{ y = Flatten <axis = -1> (x) }", "Flatten"},
    {17, 9, X4 "{ y = AveragePool <kernel_shape = [3,3], strides = [2,2], ceil_mode = 0> (x) }", "AveragePool"},
    {18, 13, "g (float[4] x) => (y) <int64[1,1] i = {1}, float[1] u = {9}> { y = ScatterND <reduction = \"none\"> (x, i, u) }",
     "ScatterND"},
    /* what the other opset does not have */
    {18, 19, "g (float[1,4,5,6] x) => (y) <float[2] s = {1,2}> { y = GroupNormalization <num_groups = 2> (x, s, s) }", "!it is deprecated"},
    {17, 9, X4 "{ y = AveragePool <kernel_shape = [3,3], strides = [2,2], ceil_mode = 1> (x) }", "!no attribute ceil_mode"},
    {19, 17, X4 "{ y = AveragePool <kernel_shape = [2,2], dilations = [2,2]> (x) }", "!no attribute dilations"},
    {13, 11, "g (uint8[2,3] x) => (y) <float[3] s = {1,2,3}, uint8[3] z = {0,0,0}> { y = DequantizeLinear <axis = 1> (x, s, z) }",
     "!cannot be written in opset 11"},
    {18, 13, "g (float[4] x) => (y) <int64[1,1] i = {1}, float[1] u = {9}> { y = ScatterND <reduction = \"mul\"> (x, i, u) }",
     "!no attribute reduction"},
    {18, 16, "g (float[4] x) => (y) <int64[1,1] i = {1}, float[1] u = {9}> { y = ScatterND <reduction = \"max\"> (x, i, u) }",
     "!may be none add mul, and is max"},
    {13, 11, X2 "{ y = ArgMax <axis = 1, select_last_index = 1> (x) }", "!no attribute select_last_index"},
    {13, 11, X2 "<int64[2,1] i = {1,2}> { y = GatherND <batch_dims = 1> (x, i) }", "!no attribute batch_dims"},
    {13, 11, "g (int64[3] x) => (y) <int64 k = {2}> { y = Pow (x, k) }", "!input 0 may not be i64"},
    {11, 13, "g (float[2,3,4] x) => (y) { y = Softmax <axis = 1> (x) }", "!cannot be written in opset 13"},
    {18, 17, "g (float[2,5] x) => (y) { a, y = Split <axis = 1, num_outputs = 2> (x) }", "!cannot be written in opset 17"},
    {17, 12, X2 "<float[3] s = {@}> { y = LayerNormalization (x, s) }", "!cannot be written in opset 12"},
};

static void check(const conversion *c) {
    base_str text;
    nib_error err = {0};
    base_str_init(&text, &test_runtime->heap);
    base_str_printf(&text, "<ir_version: 8, opset_import: [\"\" : %d]> %s", c->from, c->body);
    graph *before = parse_graph(text.data), *after = clone_graph(before);
    pass_context ctx = {.g = after, .runtime = test_runtime, .kernels = &test_kernels, .err = &err};
    nib_status status = pass_opset(&ctx, c->to);
    if (status == NIB_OK) status = op_schema_check(after, false, &err);
    if (c->want[0] == '!') {
        if (status != NIB_UNSUPPORTED || !strstr(err.message, c->want + 1)) fail_msg("%s: %d %s", text.data, status, err.message);
        assert_true(err.node[0] != 0);
    } else {
        if (status != NIB_OK) fail_msg("%s: %s", text.data, err.message);
        if (strcmp(ops(after), c->want) != 0) fail_msg("%s becomes %s", text.data, ops(after));
        check_equal(before, after, false);
    }
    graph_free(after);
    graph_free(before);
    base_str_free(&text);
}

static void words_of_other_opsets(void **state) {
    (void)state;
    for (size_t i = 0; i < BASE_COUNT(rows); i++) check(&rows[i]);
}

/* The words of the opset that a file has already are checked alike. */
static void words_of_its_own_opset(void **state) {
    static const struct {
        const char *body, *says;
    } faults[] = {
        {"g (float[2] x) => (y) { y = Relu <slope = 1> (x) }", "Relu in opset 17: it has no attribute slope"},
        {"g (float[2] x) => (y) { y = Elu <alpha = \"a\"> (x) }", "attribute alpha is of another kind"},
        {"g (float[2] x) => (y) { y = Cast (x) }", "attribute to is missing"},
        {"g (float[2] x) => (y) { y = Gelu (x) }", "there is no such operator"},
        {"g (float[2] x, int64[2] z) => (y) { y = Add (x, z) }", "input 1 is i64, and others are not"},
        {"g (bool[2] x) => (y) { y = Relu (x) }", "input 0 may not be bool"},
        {"g (float[2] x, bool c) => (y) { y = If (c) <then_branch = t () => (a) { a = Gelu (x) }, else_branch = e () => (b) { b = Neg (x) "
         "}> }",
         "Gelu in opset 17"},
    };
    (void)state;
    for (size_t i = 0; i < BASE_COUNT(faults); i++) {
        base_str text;
        nib_error err = {0};
        graph *g;
        base_str_init(&text, &test_runtime->heap);
        base_str_printf(&text, HEAD "%s", faults[i].body);
        if (graph_parse(&test_runtime->heap, text.data, text.length, &g, &err) != NIB_OK) fail_msg("%s", err.message);
        assert_int_equal(op_schema_check(g, false, &err), NIB_UNSUPPORTED);
        if (!strstr(err.message, faults[i].says)) fail_msg("%s", err.message);
        graph_free(g);
        base_str_free(&text);
    }
    assert_null(op_schema_find("Nothing", 17));
    assert_null(op_schema_find("Gelu", 19));
    assert_int_equal(op_schema_find("Add", 8)->since, 7);
    assert_int_equal(op_schema_find("Xor", 99)->since, 7);
    assert_int_equal(op_schema_find("Abs", 1)->since, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(words_of_other_opsets), cmocka_unit_test(words_of_its_own_opset)};
    return cmocka_run_group_tests(tests, pass_setup, pass_teardown);
}
