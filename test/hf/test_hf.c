/* SPDX-License-Identifier: Apache-2.0
 *
 * The Hugging Face door: bert-tiny, malformed weights and configurations, settings.
 */
#include "hf/hf.h"
#include "onnx/onnx_test.h"
#include <sys/stat.h>
#include <unistd.h>

static const char *folder(void) { return NIB_TEST_DATA "/hf/bert-tiny"; }

static void builds_bert(void **state) {
    graph *g;
    nib_error err;
    if (hf_load_graph(*state, folder(), &g, &err) != NIB_OK) fail_msg("%s", err.message);
    assert_int_equal(g->n_inputs, 3);
    assert_string_equal(g->inputs[0]->name, "input_ids");
    assert_string_equal(g->inputs[1]->name, "attention_mask");
    assert_string_equal(g->inputs[2]->name, "token_type_ids");
    assert_int_equal(g->n_outputs, 1);
    assert_string_equal(g->outputs[0]->name, "last_hidden_state");
    int layers = 0;
    for (const graph_node *n = g->first; n; n = n->next) layers += strcmp(n->op, "Softmax") == 0;
    assert_int_equal(layers, 2);
    assert_int_equal(g->n_files, 1);
    graph_free(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(builds_bert),
    };
    return cmocka_run_group_tests(tests, test_runtime_setup, test_runtime_teardown);
}
