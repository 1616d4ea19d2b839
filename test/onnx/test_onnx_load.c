/* SPDX-License-Identifier: Apache-2.0
 *
 * onnx_load on the exported models of test/data/onnx and on malformed ones made from them here.
 */
#include "onnx_test.h"

static void loads_every_export(void **state) {
    static const struct {
        const char *file;
        int inputs, outputs;
    } models[] = {
        {"bert-tiny.ts.eager.onnx", 3, 1},
        {"bert-tiny.ts.sdpa.onnx", 3, 1},
        {"bert-tiny.dynamo.eager.onnx", 3, 1},
        {"bert-tiny.dynamo.sdpa.onnx", 2, 1},
        {"bert-tiny.pooled.onnx", 3, 2},
        {"linear.onnx", 1, 1},
        {"everything.onnx", 5, 2},
    };
    for (size_t i = 0; i < BASE_COUNT(models); i++) {
        graph *g;
        assert_loads(*state, test_path(models[i].file), &g);
        assert_int_equal(g->n_inputs, models[i].inputs);
        assert_int_equal(g->n_outputs, models[i].outputs);
        assert_true(g->node_count > 0);
        for (const graph_node *n = g->first; n; n = n->next) assert_string_not_equal(n->op, "Constant");
        graph_free(g);
    }
}

static void reads_names_types_and_shapes(void **state) {
    graph *g;
    base_str text;
    assert_loads(*state, test_path("bert-tiny.ts.eager.onnx"), &g);
    assert_string_equal(g->inputs[0]->name, "input_ids");
    assert_string_equal(g->inputs[1]->name, "attention_mask");
    assert_string_equal(g->outputs[0]->name, "last_hidden_state");
    assert_int_equal(g->inputs[0]->type.dtype, NIB_DTYPE_I64);
    assert_int_equal(g->inputs[0]->type.rank, 2);
    assert_ptr_equal(g->inputs[0]->type.dims[1], graph_dim_symbol(g->symbols, "seq"));
    assert_ptr_equal(g->inputs[0]->type.dims[0], g->inputs[1]->type.dims[0]);
    assert_int_equal(graph_opset_version(g, ""), 17);
    base_str_init(&text, g->heap);
    graph_dim_print(g->outputs[0]->type.dims[0], &text);
    assert_string_equal(text.data, "batch");
    base_str_free(&text);
    graph_free(g);
}

static void weights_point_into_the_file(void **state) {
    graph *g;
    size_t inside = 0;
    assert_loads(*state, test_path("bert-tiny.ts.eager.onnx"), &g);
    const graph_value *words = NULL;
    for (int i = 0; i < g->n_constants; i++) {
        const graph_tensor *t = g->constants[i]->constant;
        const uint8_t *p = t->data;
        if (p >= g->files[0].data && p + t->bytes <= g->files[0].data + g->files[0].size) inside += t->bytes;
        if (strstr(g->constants[i]->name, "word_embeddings")) words = g->constants[i];
    }
    assert_non_null(words);
    assert_int_equal(words->constant->dims[0], 480);
    assert_int_equal(words->constant->dims[1], 64);
    assert_true(inside > 400000);
    graph_free(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loads_every_export),
        cmocka_unit_test(reads_names_types_and_shapes),
        cmocka_unit_test(weights_point_into_the_file),
    };
    return cmocka_run_group_tests(tests, test_runtime_setup, test_runtime_teardown);
}
