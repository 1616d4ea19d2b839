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
    assert_int_equal(g->n_outputs, 2);
    assert_string_equal(g->outputs[0]->name, "last_hidden_state");
    assert_string_equal(g->outputs[1]->name, "pooler_output");
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

static char said[1000];
static void note(void *user, nib_log_level level, const char *message) {
    if (level <= NIB_LOG_WARN) snprintf(said, sizeof said, "%s", message);
}

/* transformers rounds weights to the type that config.json names; where that changes them it is said. */
static void types(void **state) {
    static const struct {
        const char *key, *says, *weights;
    } cases[] = {
        {"torch_dtype\":\"float16", "the weights are f32, and dtype float16", "F32"},
        {"dtype\":\"bfloat16", "the weights are f16, and dtype bfloat16", "F16"},
        {"dtype\":\"float32", "", "F16"},
        {"dtype\":\"float16", "", "F16"},
        {"torch_dtype\":\"float32", "", "F32"},
        {"dtype\":\"auto", "", "F32"},
        {"dtype\":\"float64", "dtype \"float64\" is not applied", "F32"},
    };
    nib_runtime *r = *state;
    for (size_t i = 0; i < BASE_COUNT(cases); i++) {
        char config[400];
        graph *g;
        nib_error err;
        snprintf(config, sizeof config, "{\"%s\",%s", cases[i].key, config_tiny + 1);
        const tiny m = {config, "", "weight", "bias", cases[i].weights, NULL};
        said[0] = 0;
        r->log = note;
        if (load_tiny(state, &m, &g, &err) != NIB_OK) fail_msg("%s", err.message);
        r->log = NULL;
        if (cases[i].says[0] ? !strstr(said, cases[i].says) : said[0]) fail_msg("%s: %s", cases[i].key, said);
        graph_free(g);
    }
}

static void activations(void **state) {
    static const struct {
        const char *name;
        nib_status status;
    } cases[] = {
        {"gelu", NIB_OK},       {"gelu_new", NIB_OK},   {"gelu_pytorch_tanh", NIB_OK}, {"gelu_10", NIB_OK},  {"relu", NIB_OK},
        {"relu2", NIB_OK},      {"relu6", NIB_OK},      {"leaky_relu", NIB_OK},        {"silu", NIB_OK},     {"quick_gelu", NIB_OK},
        {"mish", NIB_OK},       {"laplace", NIB_OK},    {"hardswish", NIB_OK},         {"linear", NIB_OK},   {"gelu_python", NIB_OK},
        {"xielu", NIB_UNSUPPORTED}, {"", NIB_UNSUPPORTED},
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
        {{"{\"model_type\":\"nothing\",\"architectures\":[\"NothingModel\"]}", "", "weight", "bias", "F32", NULL},
         NIB_UNSUPPORTED,
         "'nothing' of NothingModel is not supported as a folder; nib knows bert, roberta, xlm-roberta"},
        {{"{}", "", "weight", "bias", "F32", NULL}, NIB_BAD_MODEL, "model_type"},
        {{"{\"model_type\":\"distilbert\",\"dim\":4,\"hidden_size\":8}", "", "weight", "bias", "F32", NULL},
         NIB_UNSUPPORTED,
         "dim and hidden_size are both there and differ"},
        {{"{\"model_type\":\"gemma2\",\"hidden_size\":4,\"num_attention_heads\":4,\"num_hidden_layers\":1,\"intermediate_size\":8,"
          "\"vocab_size\":5,\"max_position_embeddings\":6,\"use_bidirectional_attention\":true}",
          "", "weight", "bias", "F32", NULL},
         NIB_UNSUPPORTED,
         "use_bidirectional_attention"},
        {{"{\"model_type\":\"gemma2\",\"hidden_size\":4,\"num_attention_heads\":4,\"num_hidden_layers\":1,\"intermediate_size\":8,"
          "\"vocab_size\":5,\"max_position_embeddings\":6,\"is_causal\":null}",
          "", "weight", "bias", "F32", NULL},
         NIB_UNSUPPORTED,
         "is_causal"},
        {{"[", "", "weight", "bias", "F32", NULL}, NIB_BAD_MODEL, "config.json"},
        {{"{\"model_type\":\"bert\",\"hidden_size\":5,\"num_attention_heads\":2,\"num_hidden_layers\":1,\"intermediate_size\":8,"
          "\"vocab_size\":5,\"max_position_embeddings\":6,\"type_vocab_size\":2}",
          "", "weight", "bias", "F32", NULL},
         NIB_BAD_MODEL,
         "multiple"},
        {{"{\"model_type\":\"bert\",\"hidden_size\":4,\"num_attention_heads\":2,\"num_hidden_layers\":2000000000,\"intermediate_size\":8,"
          "\"vocab_size\":5,\"max_position_embeddings\":6,\"type_vocab_size\":2}",
          "", "weight", "bias", "F32", NULL},
         NIB_LIMIT,
         "2000000000 layers"},
        {{"{\"model_type\":\"bert\",\"hidden_size\":4,\"num_attention_heads\":2,\"num_hidden_layers\":900,\"intermediate_size\":8,"
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

/* A head on top puts its name before the encoder's weights; a file may hold some with and some without it, but not two that differ. */
static void two_prefixes(void **state) {
    static const struct {
        const char *moved, *copy; /* a weight whose name gets the prefix; one that is there under both, with other bytes */
        nib_status status;
    } cases[] = {{"encoder.layer.0.attention.self.query.weight", NULL, NIB_OK},
                 {NULL, "embeddings.LayerNorm.bias", NIB_BAD_MODEL},
                 {NULL, NULL, NIB_OK}};
    for (size_t i = 0; i < BASE_COUNT(cases); i++) {
        graph *g;
        nib_error err = {0};
        char *header, path[300], *at, added[200], *made = calloc(1, 10000);
        size_t n, data = 0;
        write_tiny(&(tiny){config_tiny, "", "weight", "bias", "F32", NULL});
        snprintf(path, sizeof path, "%s/model.safetensors", hf_dir);
        FILE *f = fopen(path, "rb");
        uint8_t size[8];
        assert_int_equal(fread(size, 1, 8, f), 8);
        n = size[0] | (size_t)size[1] << 8;
        header = calloc(1, n + 1);
        assert_int_equal(fread(header, 1, n, f), n);
        while (fgetc(f) != EOF) data++;
        fclose(f);
        at = cases[i].moved ? strstr(header, cases[i].moved) : header + 1;
        assert_non_null(at);
        snprintf(added, sizeof added, "\"bert.%s\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[%zu,%zu]},",
                 cases[i].copy ? cases[i].copy : "", data, data + 16);
        snprintf(made, 10000, "%.*s%s%s", (int)(at - header), header, cases[i].moved ? "bert." : cases[i].copy ? added : "", at);
        hf_safetensors("model.safetensors", 0, made, data + (cases[i].copy ? 16 : 0));
        if (cases[i].copy) { /* other bytes at the end */
            f = fopen(path, "r+b");
            fseek(f, -1, SEEK_END);
            fputc(1, f);
            fclose(f);
        }
        nib_status status = hf_load_graph(*state, hf_dir, &g, &err);
        if (status != cases[i].status) fail_msg("case %zu: %s", i, err.message);
        if (status != NIB_OK) assert_non_null(strstr(err.message, "embeddings.LayerNorm.bias and bert.embeddings.LayerNorm.bias"));
        graph_free(g);
        free(header);
        free(made);
    }
}

/* ---- ModernBERT: the same tiny weights under every word of config.json */

static nib_status load_modernbert(void **state, const char *more, const char *prefix, graph **g, nib_error *err) {
    static const struct {
        const char *name;
        int rows, columns;
    } weights[] = {{"embeddings.tok_embeddings.weight", 5, 4}, {"embeddings.norm.weight", 4, 0},   {"layers.0.attn.Wqkv.weight", 12, 4},
                   {"layers.0.attn.Wo.weight", 4, 4},          {"layers.0.mlp_norm.weight", 4, 0}, {"layers.0.mlp.Wi.weight", 12, 4},
                   {"layers.0.mlp.Wo.weight", 4, 6},           {"final_norm.weight", 4, 0}};
    char header[4000], config[1000], shape[40];
    size_t used = (size_t)snprintf(header, sizeof header, "{"), at = 0;
    for (size_t i = 0; i < BASE_COUNT(weights); i++) {
        size_t bytes = (size_t)weights[i].rows * (size_t)(weights[i].columns ? weights[i].columns : 1) * 4;
        snprintf(shape, sizeof shape, weights[i].columns ? "[%d,%d]" : "[%d]", weights[i].rows, weights[i].columns);
        used +=
            (size_t)snprintf(header + used, sizeof header - used, "%s\"%s%s\":{\"dtype\":\"F32\",\"shape\":%s,\"data_offsets\":[%zu,%zu]}",
                             i ? "," : "", prefix, weights[i].name, shape, at, at + bytes);
        at += bytes;
    }
    snprintf(header + used, sizeof header - used, "}");
    /* of a key that stands twice, the first one counts */
    snprintf(
        config, sizeof config,
        "{\"model_type\":\"modernbert\"%s%s,\"hidden_size\":4,\"num_attention_heads\":2,\"num_hidden_layers\":1,\"intermediate_size\":6,"
        "\"vocab_size\":5,\"max_position_embeddings\":8}",
        *more ? "," : "", more);
    memset(err, 0, sizeof *err);
    hf_fresh();
    hf_text("config.json", config);
    hf_safetensors("model.safetensors", 0, header, at);
    return hf_load_graph(*state, hf_dir, g, err);
}

static void modernbert_configs(void **state) {
    static const struct {
        const char *more;
        nib_status status;
        const char *says;
    } rows[] = {
        {"", NIB_OK, ""},
        {"\"layer_types\":[\"sliding_attention\"],\"local_attention\":6", NIB_OK, ""},
        {"\"layer_types\":null,\"rope_parameters\":null,\"rope_scaling\":null,\"local_rope_theta\":null", NIB_OK, ""},
        {"\"rope_parameters\":{\"full_attention\":{\"rope_theta\":10}},\"global_attn_every_n_layers\":1", NIB_OK, ""},
        {"\"layer_types\":[\"full_attention\",\"full_attention\"]", NIB_BAD_MODEL, "layer_types"},
        {"\"layer_types\":\"full_attention\"", NIB_BAD_MODEL, "layer_types"},
        {"\"layer_types\":[\"chunked_attention\"]", NIB_UNSUPPORTED, "chunked_attention"},
        {"\"layer_types\":[7]", NIB_UNSUPPORTED, "layer_types"},
        {"\"rope_parameters\":{\"full_attention\":{\"rope_type\":\"ntk\",\"rope_theta\":10}}", NIB_UNSUPPORTED, "'ntk'"},
        {"\"rope_parameters\":{\"full_attention\":{\"rope_type\":\"dynamic\",\"rope_theta\":10}}", NIB_OK, ""},
        {"\"rope_parameters\":{\"full_attention\":{\"rope_type\":\"longrope\",\"rope_theta\":10}}", NIB_BAD_MODEL, "short_factor"},
        {"\"rope_parameters\":{\"full_attention\":{\"rope_type\":\"longrope\",\"short_factor\":[1,1],\"long_factor\":[1,2]}}",
         NIB_BAD_MODEL, "short_factor has 2 factors"},
        {"\"rope_parameters\":{\"full_attention\":{\"rope_type\":\"longrope\",\"short_factor\":[0],\"long_factor\":[1]}}",
         NIB_BAD_MODEL, "no factor"},
        {"\"rope_parameters\":{\"full_attention\":{\"rope_type\":\"yarn\",\"rope_theta\":10}}", NIB_BAD_MODEL, "factor is missing"},
        {"\"rope_parameters\":{\"full_attention\":{\"rope_type\":\"yarn\",\"factor\":2}}", NIB_OK, ""},
        {"\"rope_parameters\":[]", NIB_BAD_MODEL, "rope_parameters"},
        {"\"rope_scaling\":{\"rope_type\":\"linear\"}", NIB_BAD_MODEL, "factor is missing"},
        {"\"rope_scaling\":{\"type\":\"linear\",\"factor\":2}", NIB_OK, ""},
        {"\"rope_parameters\":{\"rope_theta\":10},\"rope_scaling\":{\"rope_type\":\"linear\",\"factor\":2}", NIB_UNSUPPORTED,
         "rope_parameters and rope_scaling"},
        {"\"rope_scaling\":7", NIB_BAD_MODEL, "rope_scaling"},
        {"\"global_rope_theta\":-1", NIB_BAD_MODEL, "global_rope_theta is -1"},
        {"\"head_dim\":4", NIB_UNSUPPORTED, "head_dim"},
        {"\"num_attention_heads\":4", NIB_BAD_MODEL, "heads"},
        {"\"num_attention_heads\":3", NIB_BAD_MODEL, "heads"},
        {"\"max_position_embeddings\":2147483647", NIB_LIMIT, "max_position_embeddings"},
        {"\"local_attention\":-2", NIB_BAD_MODEL, "local_attention"},
        {"\"global_attn_every_n_layers\":0", NIB_BAD_MODEL, "global_attn_every_n_layers"},
        {"\"norm_eps\":-1", NIB_BAD_MODEL, "norm_eps"},
        {"\"hidden_activation\":\"xielu\"", NIB_UNSUPPORTED, "xielu"},
        {"\"quantization_config\":{\"quant_method\":\"gptq\"}", NIB_UNSUPPORTED, "gptq"},
        {"\"norm_bias\":1", NIB_BAD_MODEL, "norm_bias"},
        {"\"attention_bias\":true", NIB_BAD_MODEL, "layers.0.attn.Wqkv.bias [12]"},
        {"\"mlp_bias\":true", NIB_BAD_MODEL, "layers.0.mlp.Wi.bias [12]"},
        {"\"norm_bias\":true", NIB_BAD_MODEL, "embeddings.norm.bias [4]"},
        {"\"num_hidden_layers\":2", NIB_BAD_MODEL, "layers.1.attn_norm.weight [4]"},
        {"\"intermediate_size\":5", NIB_BAD_MODEL, "layers.0.mlp.Wi.weight"},
    };
    nib_runtime *r = *state;
    for (size_t i = 0; i < 2 * BASE_COUNT(rows); i++) {
        graph *g;
        nib_error err;
        size_t before = r->heap.current, row = i / 2;
        nib_status status = load_modernbert(state, rows[row].more, i % 2 ? "model." : "", &g, &err);
        if (status != rows[row].status || !strstr(err.message, rows[row].says)) fail_msg("%s: %d %s", rows[row].more, status, err.message);
        assert_true((g != NULL) == (status == NIB_OK));
        graph_free(g);
        assert_int_equal(r->heap.current, before);
    }
}

static int teardown(void **state) {
    hf_clear();
    return test_runtime_teardown(state);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(builds_bert),  cmocka_unit_test(prefixes_and_old_names),
        cmocka_unit_test(types),        cmocka_unit_test(activations),
        cmocka_unit_test(refuses),      cmocka_unit_test(modernbert_configs),
        cmocka_unit_test(two_prefixes),
    };
    return cmocka_run_group_tests(tests, test_runtime_setup, teardown);
}
