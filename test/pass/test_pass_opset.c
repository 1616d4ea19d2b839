/* SPDX-License-Identifier: Apache-2.0
 *
 * From one opset to another: what is rewritten computes the same and is in the words of the new opset; everything else
 * is refused, where it is rewritten or where the file is checked, with what the opset does not have.
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
    {18, 11, "g (float[2,4] x) => (y) <int64[2] s = {1,3}> { a, b = Split <axis = 1> (x, s) y = Mul (a, b) }",
     "Split Mul"},
    {13, 9, X2 "{ y = Flatten <axis = -1> (x) }", "Flatten"},
    {9, 13, X4 "{ y = MeanVarianceNormalization (x) }", "MeanVarianceNormalization"},
    {17, 9, X4 "{ y = AveragePool <kernel_shape = [3,3], strides = [2,2], ceil_mode = 0> (x) }", "AveragePool"},
    {18, 13,
     "g (float[4] x) => (y) <int64[1,1] i = {1}, float[1] u = {9}> { y = ScatterND <reduction = \"none\"> (x, i, u) }",
     "ScatterND"},
    /* arguments that moved */
    {9, 13, X2 "{ y = Slice <starts = [0,1], ends = [2,3], axes = [0,1]> (x) }", "Slice"},
    {9, 10, X2 "{ y = Slice <starts = [1], ends = [100]> (x) }", "Slice"},
    {13, 9, X2 "<int64[1] one = {1}, int64[1] end = {3}> { y = Slice (x, one, end, one, one) }", "Slice"},
    {13, 9, X2 "<int32[1] one = {1}, int32[1] end = {3}, int32[1] last = {-1}> { y = Slice (x, one, end, last) }",
     "Slice"},
    {9, 18, X2 "{ y = Pad <pads = [0,1,0,2], value = 2.5> (x) }", "Pad"},
    {9, 23, X2 "{ y = Pad <mode = \"reflect\", pads = [0,1,0,2]> (x) }", "Pad"},
    {17, 23, X2 "<int64[4] p = {0,1,0,2}, float c = {3}> { y = Pad (x, p, c) }", "Pad"},
    {18, 9, X2 "<int64[4] p = {0,1,0,2}, float c = {3}> { y = Pad (x, p, c) }", "Pad"},
    {18, 13, X2 "<int64[2] p = {1,2}, int64[1] last = {-1}> { y = Pad (x, p, \"\", last) }", "Pad"},
    {9, 13, X2 "{ y = Clip <min = -0.25> (x) }", "Clip"},
    {9, 12, X2 "{ y = Clip <max = 0.25> (x) }", "Clip"},
    {13, 9, X2 "<float low = {-0.25}, float high = {0.5}> { y = Clip (x, low, high) }", "Clip"},
    {9, 13, "g (float[2,5] x) => (y) { y, i = TopK <k = 3, axis = 1> (x) }", "TopK"},
    {13, 9, "g (float[2,5] x) => (y) <int64[1] k = {3}> { y, i = TopK <axis = -1> (x, k) }", "TopK"},
    {19, 21, "g (float[1,6,2] x) => (y) { y = DFT <axis = 1> (x) }", "DFT"},
    {17, 20, "g (float[1,6,5,1] x) => (y) { y = DFT (x) }", "DFT"}, /* over axis 1, and not over the last one */
    {20, 17, "g (float[1,6,5,1] x) => (y) { y = DFT <onesided = 1> (x) }", "DFT"},
    {21, 17, "g (float[1,6,5,1] x) => (y) <int64 n = {4}, int64 a = {1}> { y = DFT (x, n, a) }", "DFT"},
    {11, 22, X2 "{ y = Dropout <ratio = 0.25> (x) }", "Dropout"},
    {11, 13, X2 "{ y, m = Dropout (x) z = Not (m) }", "Dropout Not"},
    {9, 13, X2 "{ y, m = Dropout (x) }", "Dropout"},
    {13, 9, X2 "<float r = {0.25}, bool no = {0}> { y = Dropout <seed = 7> (x, r, no) }", "Dropout"},
    {13, 11, X2 "{ r = ReduceMax <keepdims = 0> (x) y = Dropout (x, r) }", "ReduceMax Dropout"},
    {18, 13, X2 "<int64[0] none = {}> { y = ReduceMean (x, none) }", "ReduceMean"},
    /* axes, groups, batches */
    {11, 13, "g (float[2,3,4] x) => (y) { y = Softmax <axis = 1> (x) }", "Flatten Softmax Reshape"},
    {11, 18, "g (float[b,3,s] x) => (y) { y = LogSoftmax <axis = -2> (x) }", "Shape Flatten LogSoftmax Reshape"},
    {9, 13, "g (float[2,3,4] x) => (y) { y = Hardmax <axis = 0> (x) }", "Flatten Hardmax Reshape"},
    {13, 9, "g (float[2,3,4] x) => (y) { y = Softmax <axis = 0> (x) }", "Transpose Softmax Transpose"},
    {17, 11, "g (float[b,3,4] x) => (y) { y = LogSoftmax <axis = -2> (x) }", "Transpose LogSoftmax Transpose"},
    {18, 21,
     "g (float[1,4,5,6] x) => (y) <float[2] s = {1,2}, float[2] c = {3,4}> { y = GroupNormalization <num_groups = 2> "
     "(x, s, c) }",
     "GroupNormalization"},
    {18, 22,
     "g (float[1,4,5] x, float[2] s) => (y) <float[2] c = {3,4}> { y = GroupNormalization <num_groups = 2> (x, s, c) }",
     "Reshape Expand Reshape GroupNormalization"},
    {8, 9,
     "g (float[3,2] s0, float[3,5,2] x) => (y, z) { y, z = Scan <num_scan_inputs = 1, directions = [1], body = step "
     "(float[2] a, float[2] "
     "v) "
     "=> (float[2] c, float[2] d) { c = Add (a, v) d = Mul (c, v) }> (\"\", s0, x) }",
     "Scan"},
    {8, 19,
     "g (float[3,2] s0, float[3,5,2] x, float[3,5] w, float[1] k) => (y, z) { y, z = Scan <num_scan_inputs = 2, body = "
     "step (float[2] a, "
     "float[2] v, float u) => (float[2] c, float[2] d) { q = Mul (v, u) c = Add (a, q) e = Squeeze <axes = [0]> (k) d "
     "= Mul (c, e) }> "
     "(\"\", "
     "s0, x, w) }",
     "Scan"},
    {24, 23,
     "g (float[1,3,4] x, float[3,3] m) => (y, q) { y, p0, p1, q = Attention <q_num_heads = 2, kv_num_heads = 2> (x, x, "
     "x, m) }",
     "Attention"},
    {23, 24,
     "g (float[1,3,4] x, float[3,3] m) => (y, q) { y, p0, p1, q = Attention <q_num_heads = 2, kv_num_heads = 2, "
     "qk_matmul_output_mode = 2> "
     "(x, x, x, m) }",
     "Attention"},
    {24, 23, "g (float[1,2,3,4] x, float[1,2,5,4] o, float[3,8] m) => (y) { y, p0, p1 = Attention (x, x, x, m, o, o) }",
     "Attention"},
    /* defaults, types and words */
    {9, 15, X4 "<float[2] a = {1,2}> { y = BatchNormalization (x, a, a, a, a) }", "BatchNormalization"},
    {15, 9, X4 "<float[2] a = {1,2}> { y = BatchNormalization <training_mode = 0> (x, a, a, a, a) }",
     "BatchNormalization"},
    {9, 13, X2 "<float[3,2] w = {@}, float[2] c = {@}> { y = Gemm (x, w, c) }", "Gemm"},
    {13, 9, X2 "<float[3,2] w = {@}> { y = Gemm (x, w) }", "Gemm"},
    {10, 16,
     X4 "<float[1,4] r = {0,0,4,4}, int64[1] i = {0}> { y = RoiAlign <output_height = 2, output_width = 2> (x, r, i) }",
     "RoiAlign"},
    {16, 10,
     X4 "<float[1,4] r = {0,0,4,4}, int64[1] i = {0}> { y = RoiAlign <output_height = 2, output_width = 2, "
        "coordinate_transformation_mode = "
        "\"output_half_pixel\"> (x, r, i) }",
     "RoiAlign"},
    {13, 11, X4 "<float[4] s = {1,1,2,2}> { y = Resize <mode = \"linear\"> (x, \"\", s) }", "Resize"},
    {18, 11, X4 "<int64[4] s = {1,2,7,7}> { y = Resize (x, \"\", \"\", s) }", "Resize"},
    {9, 7, X4 "<float[4] s = {1,1,2,2}> { y = Upsample (x, s) }", "Upsample"},
    /* before 7 an axis said where the second one lies */
    {6, 9, "g (float[2,3,4] x) => (y) <float[3] c = {@}> { y = Add <broadcast = 1, axis = 1> (x, c) }", "Reshape Add"},
    {6, 13,
     "g (float[2,3,4] x) => (y) <float[3,4] c = {@}> { a = Mul <broadcast = 1, axis = 1> (x, c) y = Sub <broadcast = "
     "1> (a, c) }",
     "Mul Sub"},
    {6, 8, X2 "{ y = Add (x, x) }", "Add"},
    {6, 9, X4 "<float[2] s = {0.5,0.25}> { y = PRelu (x, s) }", "Reshape PRelu"},
    {6, 9, X4 "<float[2] a = {1,2}> { y = BatchNormalization <is_test = 1> (x, a, a, a, a) }", "BatchNormalization"},
    {6, 12, X2 "{ y = Dropout <is_test = 1> (x) }", "Dropout"},
    {6, 9, X2 "<float[3,2] w = {@}, float[2] c = {@}> { y = Gemm <broadcast = 1> (x, w, c) }", "Gemm"},
    /* sizes and axes that no exporter writes */
    {6, 9, "g (float[2,3] x) => (y) <float[3] c = {@}> { y = Add <broadcast = 1, axis = 9223372036854775807> (x, c) }",
     "!its sizes are not known"},
    {6, 9, "g (float[2,3] x) => (y) <float[3] c = {@}> { y = Add <broadcast = 1, axis = -9223372036854775808> (x, c) }",
     "!its sizes are not known"},
    {13, 9, "g (float[2,3] x) => (y) { y = Softmax <axis = 9223372036854775807> (x) }", "!its axis is none of its input's"},
    /* what the other opset does not have */
    {6, 9, X2 "{ y = Dropout (x) }", "!it is in training"},
    {9, 15, X4 "<float[2] a = {1,2}> { y, m, v, sm, sv = BatchNormalization (x, a, a, a, a) }", "!it is in training"},
    {15, 9, X4 "<float[2] a = {1,2}> { y, m, v = BatchNormalization <training_mode = 1> (x, a, a, a, a) }",
     "!it is in training"},
    {13, 9, X2 "<float r = {0.25}, bool yes = {1}> { y = Dropout (x, r, yes) }", "!it is in training"},
    {9, 13, "g (float[2,3] x) => (y, m) { y, m = Dropout (x) }", "!its mask is read"},
    {13, 9, X2 "<int64[1] one = {0}, int64[1] end = {3}, int64[1] two = {2}> { y = Slice (x, one, end, one, two) }",
     "!it has steps"},
    {13, 9, "g (float[2,3] x, int64[1] e) => (y) <int64[1] one = {1}> { y = Slice (x, one, e) }",
     "!a list that is computed"},
    {18, 13, "g (float[2,3] x, int64[1] a) => (y) <int64[2] p = {1,2}> { y = Pad (x, p, \"\", a) }", "!its axes"},
    {13, 9, "g (float[2,3] x, float low) => (y) { y = Clip (x, low) }", "!a computed number"},
    {16, 10, X4 "<float[1,4] r = {0,0,4,4}, int64[1] i = {0}> { y = RoiAlign (x, r, i) }", "!half a pixel off"},
    {21, 18, "g (float[1,4,5] x) => (y) <float[4] s = {1,2,3,4}> { y = GroupNormalization <num_groups = 2> (x, s, s) }",
     "!a scale for each group"},
    {18, 21, "g (float[1,c,5] x) => (y) <float[2] s = {1,2}> { y = GroupNormalization <num_groups = 2> (x, s, s) }",
     "!its channels' number is not known"},
    {24, 23,
     "g (float[1,3,4] x, float[3,2] m) => (y) { y = Attention <q_num_heads = 2, kv_num_heads = 2> (x, x, x, m) }",
     "!its mask may be shorter than its keys"},
    {24, 23,
     "g (float[1,3,4] x, int64[1] n) => (y) { y = Attention <q_num_heads = 2, kv_num_heads = 2> (x, x, x, \"\", \"\", "
     "\"\", n) }",
     "!it has lengths of keys"},
    {9, 8,
     "g (float[2] s0, float[5,2] x) => (y) { y, z = Scan <num_scan_inputs = 1, body = step (float[2] a, float[2] v) => "
     "(float[2] c, "
     "float[2] "
     "d) { c = Add (a, v) d = Mul (c, v) }> (s0, x) }",
     "!cannot be written in opset 8"},
    {8, 9,
     "g (int64[3] n, float[3,2] s0, float[3,5,2] x) => (y) { y, z = Scan <num_scan_inputs = 1, body = step (float[2] "
     "a, float[2] v) => "
     "(float[2] c, float[2] d) { c = Add (a, v) d = Mul (c, v) }> (n, s0, x) }",
     "!lengths of their own"},
    {18, 19, "g (float[1,4,5,6] x) => (y) <float[2] s = {1,2}> { y = GroupNormalization <num_groups = 2> (x, s, s) }",
     "!it is deprecated"},
    {17, 9, X4 "{ y = AveragePool <kernel_shape = [3,3], strides = [2,2], ceil_mode = 1> (x) }",
     "!no attribute ceil_mode"},
    {19, 17, X4 "{ y = AveragePool <kernel_shape = [2,2], dilations = [2,2]> (x) }", "!no attribute dilations"},
    {13, 11,
     "g (uint8[2,3] x) => (y) <float[3] s = {1,2,3}, uint8[3] z = {0,0,0}> { y = DequantizeLinear <axis = 1> (x, s, z) "
     "}",
     "!cannot be written in opset 11"},
    {18, 13,
     "g (float[4] x) => (y) <int64[1,1] i = {1}, float[1] u = {9}> { y = ScatterND <reduction = \"mul\"> (x, i, u) }",
     "!no attribute reduction"},
    {18, 16,
     "g (float[4] x) => (y) <int64[1,1] i = {1}, float[1] u = {9}> { y = ScatterND <reduction = \"max\"> (x, i, u) }",
     "!may be none add mul, and is max"},
    {13, 11, X2 "{ y = ArgMax <axis = 1, select_last_index = 1> (x) }", "!no attribute select_last_index"},
    {13, 11, X2 "<int64[2,1] i = {1,2}> { y = GatherND <batch_dims = 1> (x, i) }", "!no attribute batch_dims"},
    {13, 11, "g (int64[3] x) => (y) <int64 k = {2}> { y = Pow (x, k) }", "!input 0 may not be i64"},
    {18, 17, "g (float[2,5] x) => (y) { a, y = Split <axis = 1, num_outputs = 2> (x) }",
     "!cannot be written in opset 17"},
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
        for (const graph_node *n = after->first; n; n = n->next) /* which onnx's checker wants */
            assert_true(!graph_is_op(n, "", "MeanVarianceNormalization") || graph_find_attr(n, "axes"));
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

/* A size that a file only claims: what would be as large is made when it runs, if ever. */
static void a_claimed_size_is_not_made(void **state) {
    graph *g = parse_graph("<ir_version: 8, opset_import: [\"\" : 18]> g (float[1,2305843009213693952,2] x) => (y) "
                           "<float[2] s = {1,2}> { y = GroupNormalization <num_groups = 2> (x, s, s) }");
    nib_error err = {0};
    pass_context ctx = {.g = g, .runtime = test_runtime, .kernels = &test_kernels, .err = &err};
    (void)state;
    if (pass_opset(&ctx, 21) != NIB_OK) fail_msg("%s", err.message);
    assert_string_equal(ops(g), "Reshape Expand Reshape Reshape Expand Reshape GroupNormalization");
    graph_free(g);
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
    const struct CMUnitTest tests[] = {cmocka_unit_test(words_of_other_opsets), cmocka_unit_test(a_claimed_size_is_not_made),
                                       cmocka_unit_test(words_of_its_own_opset)};
    return cmocka_run_group_tests(tests, pass_setup, pass_teardown);
}
