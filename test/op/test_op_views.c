/* SPDX-License-Identifier: Apache-2.0
 *
 * nib.Linear and nib.Attention by name: what is put comes back, whatever else the node had; types that no kernel has are named and never
 * computed as something else.
 */
#include "pass/pass_test.h"

static void *const some = (void *)1;

static graph_value *fresh(graph *g, const char *name) { return graph_add_value(g, name); }

/* Every operand and attribute of its own, there or not. */
static void linears_come_back(void **state) {
    nib_error err;
    graph *g;
    assert_int_equal(graph_create(&test_runtime->heap, &g, &err), NIB_OK);
    graph_value *v[8];
    for (size_t i = 0; i < BASE_COUNT(v); i++) v[i] = fresh(g, "v");
    graph_value *y = graph_emit(g, NULL, "nib", "Linear", (graph_value *[]){v[0], v[1]}, 2, "y");
    for (int bits = 0; bits < 256; bits++) {
        op_linear want = {.x = v[0],
                          .bias = bits & 1 ? v[4] : NULL,
                          .residual = bits & 2 ? v[5] : NULL,
                          .params = bits & 4 ? v[6] : NULL,
                          .factor = bits & 8 ? v[7] : NULL,
                          .weights = {v[1], v[2], v[3]},
                          .n_weights = 1 + (bits >> 4 & 3) % 3,
                          .trans = (bits & 64) != 0,
                          .gate = bits & 128 ? OP_GATE_SECOND : OP_GATE_NONE,
                          .activation = bits & 32 ? KERNEL_ACT_SILU : KERNEL_ACT_NONE};
        op_linear got = {.n_weights = 9};
        assert_int_equal(op_linear_set(y->producer, &want, &err), NIB_OK);
        assert_true(op_linear_get(y->producer, &got));
        assert_true(got.x == want.x && got.bias == want.bias && got.residual == want.residual && got.params == want.params);
        assert_true(got.factor == want.factor && got.n_weights == want.n_weights && got.trans == want.trans && got.gate == want.gate);
        assert_int_equal(got.activation, want.activation);
        for (int i = 0; i < OP_LINEAR_WEIGHTS; i++) assert_ptr_equal(got.weights[i], i < want.n_weights ? want.weights[i] : NULL);
        graph_value *in[OP_LINEAR_INPUTS];
        int count = op_linear_operands(&want, in);
        for (int i = 0; i < y->producer->n_inputs; i++) assert_ptr_equal(y->producer->inputs[i].value, i < count ? in[i] : NULL);
    }
    op_attention a = {.q = some};
    assert_false(op_attention_get(y->producer, &a) || op_linear_get(NULL, &(op_linear){0}));
    assert_ptr_equal(a.q, some);
    graph_free(g);
}

static void attentions_come_back(void **state) {
    nib_error err;
    graph *g;
    assert_int_equal(graph_create(&test_runtime->heap, &g, &err), NIB_OK);
    graph_value *v[OP_ATTENTION_INPUTS];
    for (size_t i = 0; i < BASE_COUNT(v); i++) v[i] = fresh(g, "v");
    graph_value *y = graph_emit(g, NULL, "nib", "Attention", v, 1, "y");
    for (int bits = 0; bits < 512; bits++) {
        const op_attention want = {.q = v[0],
                                   .k = bits & 1 ? v[1] : NULL,
                                   .v = bits & 1 ? v[2] : NULL,
                                   .bias = bits & 2 ? v[3] : NULL,
                                   .offsets = bits & 4 ? v[4] : NULL,
                                   .positions = bits & 8 ? v[5] : NULL,
                                   .relative_keys = bits & 16 ? v[6] : NULL,
                                   .relative_queries = bits & 32 ? v[7] : NULL,
                                   .relative_rows = bits & 64 ? v[8] : NULL,
                                   .relative_bias = bits & 128 ? v[9] : NULL,
                                   .relative_slopes = bits & 256 ? v[10] : NULL,
                                   .heads = bits & 16 ? 8 : 1,
                                   .kv_heads = bits & 32 ? 2 : 1,
                                   .left = bits & 64 ? 0 : -1,
                                   .right = bits & 128 ? 7 : -1,
                                   .scale = bits & 1 ? 0.25f : 1,
                                   .softcap = bits & 2 ? 30 : 0,
                                   .causal = (bits & 4) != 0,
                                   .masked_nan = (bits & 8) != 0,
                                   .products = bits & 16 ? OP_PRODUCTS_Q8 : OP_PRODUCTS_F32};
        op_attention got;
        memset(&got, 0, sizeof got);
        assert_int_equal(op_attention_set(y->producer, &want, &err), NIB_OK);
        assert_true(op_attention_get(y->producer, &got));
        assert_true(got.q == want.q && got.k == want.k && got.v == want.v && got.bias == want.bias && got.offsets == want.offsets);
        assert_true(got.positions == want.positions && got.heads == want.heads && got.kv_heads == want.kv_heads);
        assert_true(got.relative_keys == want.relative_keys && got.relative_queries == want.relative_queries);
        assert_true(got.relative_rows == want.relative_rows && got.relative_bias == want.relative_bias);
        assert_ptr_equal(got.relative_slopes, want.relative_slopes);
        assert_true(got.left == want.left && got.right == want.right && got.causal == want.causal && got.masked_nan == want.masked_nan);
        assert_true(got.scale == want.scale && got.softcap == want.softcap && got.products == want.products);
    }
    graph_free(g);
}

/* A type that is in no list of formats: opening says so or an eval does, and nothing takes it for f32. */
static void unknown_types_are_no_f32(void **state) {
    static const base_quant unknown[] = {
        {.element = NIB_DTYPE_I4, .scale = NIB_DTYPE_F16, .axis = 0, .block = 2},
        {.element = NIB_DTYPE_I8, .scale = NIB_DTYPE_F32, .zero_points = true},
        {.element = NIB_DTYPE_I8, .scale = NIB_DTYPE_BF16},
        {.element = NIB_DTYPE_F16},
    };
    nib_error err;
    for (size_t i = 0; i < BASE_COUNT(unknown); i++) {
        graph *g = parse_graph("<ir_version: 8, opset_import: [\"\" : 17]> g () => (float[1,2] y) <float[1,4] x = {1,2,3,4}, float[4,2] w = "
                               "{1,2,3,4,5,6,7,8}> { y = nib.Linear (x, w) }");
        const graph_tensor *out;
        base_arena arena;
        op_linear l;
        base_arena_init(&arena, &test_runtime->heap);
        assert_true(op_linear_get(g->first, &l));
        assert_int_equal(l.weight_format, KERNEL_WEIGHT_F32);
        l.weights[0]->type.quant = unknown[i];
        assert_true(op_linear_get(g->first, &l));
        assert_int_equal(l.weight_format, -1);
        op_env *env = op_env_create(g, &arena, 1u << 20, &test_kernels);
        assert_int_equal(op_env_get(env, g->outputs[0], &out, &err), NIB_TYPE);
        base_arena_free(&arena);
        graph_free(g);
    }
}

static void words_that_nobody_knows(void **state) {
    static const char *const nodes[] = {
        "nib.Linear <weight = \"q8\"> (x, w)",
        "nib.Linear <activation = \"gelu\"> (x, w)",
        "nib.Linear <gate = \"third\"> (x, w)",
        "nib.Attention <precision = \"q5\"> (x, x, x)",
    };
    for (size_t i = 0; i < BASE_COUNT(nodes); i++) {
        char text[300];
        graph *g;
        nib_error err;
        snprintf(text, sizeof text,
                 "<ir_version: 8, opset_import: [\"\" : 17]> g (float[1,3,4] x) => (float[1,3,4] y) <float[4,4] w = "
                 "{1,2,3,4,5,6,7,8,1,2,3,4,5,6,7,8}> { y = %s }",
                 nodes[i]);
        assert_int_equal(graph_parse(&test_runtime->heap, text, strlen(text), &g, &err), NIB_OK);
        op_resolve(g);
        assert_int_equal(op_infer_graph(g, &err), NIB_BAD_MODEL);
        graph_free(g);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linears_come_back),
        cmocka_unit_test(attentions_come_back),
        cmocka_unit_test(unknown_types_are_no_f32),
        cmocka_unit_test(words_that_nobody_knows),
    };
    return cmocka_run_group_tests_name("op_views", tests, pass_setup, pass_teardown);
}
