/* SPDX-License-Identifier: Apache-2.0
 *
 * Folder -> graph: bert-tiny, and folders whose config or weights do not fit. What the graph computes is for the model tests;
 * this one looks at its shape.
 */
#include "hf_test.h"

static const char *bert_tiny(void) { return NIB_TEST_DATA "/hf/bert-tiny"; }

static void builds_bert(void **state) {
    graph *g;
    nib_error err;
    if (hf_load_graph(*state, bert_tiny(), &g, &err) != NIB_OK) fail_msg("%s", err.message);
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
    const graph_tensor *t = graph_find_value(g, "embeddings.word_embeddings.weight")->constant;
    const uint8_t *p = t->data;
    assert_true(p > g->files[0].data && p + t->bytes <= g->files[0].data + g->files[0].size);
    graph_free(g);
}

/* A BERT of one layer, hidden 4, written with what a case changes. */
typedef struct tiny {
    const char *config, *prefix, *norm_scale, *norm_bias, *dtype;
    const char *without; /* a weight left out */
} tiny;

static const char config_tiny[] = "{\"model_type\":\"bert\",\"hidden_size\":4,\"num_attention_heads\":2,\"num_hidden_layers\":1,"
                                  "\"intermediate_size\":8,\"vocab_size\":5,\"max_position_embeddings\":6,\"type_vocab_size\":2}";

static void write_tiny(const tiny *m) {
    static const struct {
        const char *name;
        int rows, columns;
    } weights[] = {
        {"embeddings.word_embeddings.weight", 5, 4},
        {"embeddings.position_embeddings.weight", 6, 4},
        {"embeddings.token_type_embeddings.weight", 2, 4},
        {"embeddings.LayerNorm.*", 4, 0},
        {"encoder.layer.0.attention.self.query", 4, 4},
        {"encoder.layer.0.attention.self.key", 4, 4},
        {"encoder.layer.0.attention.self.value", 4, 4},
        {"encoder.layer.0.attention.output.dense", 4, 4},
        {"encoder.layer.0.attention.output.LayerNorm.*", 4, 0},
        {"encoder.layer.0.intermediate.dense", 8, 4},
        {"encoder.layer.0.output.dense", 4, 8},
        {"encoder.layer.0.output.LayerNorm.*", 4, 0},
    };
    char header[8000];
    size_t used = (size_t)snprintf(header, sizeof header, "{\"__metadata__\":{}"), at = 0;
    size_t width = strcmp(m->dtype, "F32") == 0 ? 4 : 2;
    for (size_t i = 0; i < BASE_COUNT(weights); i++) {
        for (int part = 0; part < 2; part++) { /* a matrix and its bias, or a norm's two */
            char name[200], shape[40];
            size_t n = strlen(weights[i].name);
            bool norm = weights[i].name[n - 1] == '*', table = strstr(weights[i].name, "embeddings.weight") != NULL;
            if (table && part == 1) continue;
            if (norm) {
                snprintf(name, sizeof name, "%s%.*s%s", m->prefix, (int)n - 1, weights[i].name, part ? m->norm_bias : m->norm_scale);
            } else {
                snprintf(name, sizeof name, "%s%s%s", m->prefix, weights[i].name, table ? "" : part ? ".bias" : ".weight");
            }
            if (m->without && strcmp(name, m->without) == 0) continue;
            bool vector = norm || part == 1;
            size_t elements = (size_t)weights[i].rows * (size_t)(vector ? 1 : weights[i].columns);
            snprintf(shape, sizeof shape, vector ? "[%d]" : "[%d,%d]", weights[i].rows, weights[i].columns);
            used +=
                (size_t)snprintf(header + used, sizeof header - used, ",\"%s\":{\"dtype\":\"%s\",\"shape\":%s,\"data_offsets\":[%zu,%zu]}",
                                 name, m->dtype, shape, at, at + elements * width);
            at += elements * width;
        }
    }
    snprintf(header + used, sizeof header - used, "}");
    hf_fresh();
    hf_text("config.json", m->config);
    hf_safetensors("model.safetensors", 0, header, at);
}

static nib_status load_tiny(void **state, const tiny *m, graph **g, nib_error *err) {
    memset(err, 0, sizeof *err);
    write_tiny(m);
    return hf_load_graph(*state, hf_dir, g, err);
}

static void prefixes_and_old_names(void **state) {
    static const tiny good[] = {
        {config_tiny, "", "weight", "bias", "F32", NULL},     {config_tiny, "bert.", "weight", "bias", "F32", NULL},
        {config_tiny, "bert.", "gamma", "beta", "F32", NULL}, {config_tiny, "", "weight", "bias", "F16", NULL},
        {config_tiny, "", "weight", "bias", "BF16", NULL},
    };
    for (size_t i = 0; i < BASE_COUNT(good); i++) {
        graph *g;
        nib_error err;
        if (load_tiny(state, &good[i], &g, &err) != NIB_OK) fail_msg("case %zu: %s", i, err.message);
        int casts = 0;
        for (const graph_node *n = g->first; n; n = n->next) casts += strcmp(n->op, "Cast") == 0;
        assert_int_equal(casts, strcmp(good[i].dtype, "F32") == 0 ? 1 : 1 + 21); /* the mask's, and one for each weight */
        graph_free(g);
    }
}

static void activations(void **state) {
    static const struct {
        const char *name;
        nib_status status;
    } cases[] = {
        {"gelu", NIB_OK}, {"gelu_new", NIB_OK},   {"gelu_pytorch_tanh", NIB_OK}, {"relu", NIB_OK},
        {"silu", NIB_OK}, {"quick_gelu", NIB_OK}, {"mish", NIB_UNSUPPORTED},
    };
    for (size_t i = 0; i < BASE_COUNT(cases); i++) {
        char config[400];
        graph *g;
        nib_error err;
        snprintf(config, sizeof config, "%.*s,\"hidden_act\":\"%s\"}", (int)strlen(config_tiny) - 1, config_tiny, cases[i].name);
        assert_int_equal(load_tiny(state, &(tiny){config, "", "weight", "bias", "F32", NULL}, &g, &err), cases[i].status);
        graph_free(g);
    }
}

static void refuses(void **state) {
    static const struct {
        tiny model;
        nib_status status;
        const char *says;
    } cases[] = {
        {{config_tiny, "", "weight", "bias", "F32", "encoder.layer.0.output.dense.bias"},
         NIB_BAD_MODEL,
         "encoder.layer.0.output.dense.bias [4]"},
        {{config_tiny, "", "weight", "bias", "F32", "embeddings.word_embeddings.weight"},
         NIB_BAD_MODEL,
         "embeddings.word_embeddings.weight [5, 4]"},
        {{config_tiny, "", "weight", "bias", "I16", NULL}, NIB_UNSUPPORTED, "i16"},
        {{"{\"model_type\":\"bert\"}", "", "weight", "bias", "F32", NULL}, NIB_BAD_MODEL, "hidden_size"},
        {{"{\"model_type\":\"nothing\"}", "", "weight", "bias", "F32", NULL}, NIB_UNSUPPORTED, "bert"},
        {{"{}", "", "weight", "bias", "F32", NULL}, NIB_BAD_MODEL, "model_type"},
        {{"[", "", "weight", "bias", "F32", NULL}, NIB_BAD_MODEL, "config.json"},
        {{"{\"model_type\":\"bert\",\"hidden_size\":5,\"num_attention_heads\":2,\"num_hidden_layers\":1,\"intermediate_size\":8,"
          "\"vocab_size\":5,\"max_position_embeddings\":6,\"type_vocab_size\":2}",
          "", "weight", "bias", "F32", NULL},
         NIB_BAD_MODEL,
         "multiple"},
        {{"{\"model_type\":\"bert\",\"hidden_size\":4,\"num_attention_heads\":2,\"num_hidden_layers\":2000000000,\"intermediate_size\":8,"
          "\"vocab_size\":5,\"max_position_embeddings\":6,\"type_vocab_size\":2}",
          "", "weight", "bias", "F32", NULL},
         NIB_BAD_MODEL,
         "encoder.layer.1."},
        {{"{\"model_type\":\"bert\",\"hidden_size\":4,\"num_attention_heads\":2,\"num_hidden_layers\":1,\"intermediate_size\":8,"
          "\"vocab_size\":6,\"max_position_embeddings\":6,\"type_vocab_size\":2}",
          "", "weight", "bias", "F32", NULL},
         NIB_BAD_MODEL,
         "is [5, 4]; config.json needs [6, 4]"},
        {{"{\"model_type\":\"bert\",\"hidden_size\":4,\"num_attention_heads\":2,\"num_hidden_layers\":1,\"intermediate_size\":8,"
          "\"vocab_size\":5,\"max_position_embeddings\":2147483647,\"type_vocab_size\":2}",
          "", "weight", "bias", "F32", NULL},
         NIB_BAD_MODEL,
         "position"},
        {{"{\"model_type\":\"bert\",\"hidden_size\":-4,\"num_attention_heads\":0}", "", "weight", "bias", "F32", NULL},
         NIB_BAD_MODEL,
         "hidden_size"},
    };
    nib_runtime *r = *state;
    for (size_t i = 0; i < BASE_COUNT(cases); i++) {
        graph *g;
        nib_error err;
        size_t before = r->heap.current;
        nib_status status = load_tiny(state, &cases[i].model, &g, &err);
        if (status != cases[i].status || !strstr(err.message, cases[i].says)) fail_msg("case %zu: %d %s", i, status, err.message);
        assert_null(g);
        assert_int_equal(r->heap.current, before);
    }
    graph *g;
    nib_error err;
    hf_fresh();
    assert_int_equal(hf_load_graph(*state, hf_dir, &g, &err), NIB_NOT_FOUND);
}

static int teardown(void **state) {
    hf_clear();
    return test_runtime_teardown(state);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(builds_bert),
        cmocka_unit_test(prefixes_and_old_names),
        cmocka_unit_test(activations),
        cmocka_unit_test(refuses),
    };
    return cmocka_run_group_tests(tests, test_runtime_setup, teardown);
}
