/* SPDX-License-Identifier: Apache-2.0
 *
 * Models that people use, by what their config.json says (test/data/known_models.json, abbreviated): each opens as far as that says, and
 * what nib inspect --check prints of it is its row of doc/models.md. And what it says of folders that do not open.
 */
#include "hf_golden.h"
#include "nib/hub.h"

static char *whole_file(const char *path) {
    FILE *f = fopen(path, "rb");
    if (!f) fail_msg("%s is not there", path);
    assert_int_equal(fseek(f, 0, SEEK_END), 0);
    const long n = ftell(f);
    char *text = calloc((size_t)n + 1, 1);
    rewind(f);
    assert_int_equal(fread(text, 1, (size_t)n, f), n);
    fclose(f);
    return text;
}

static void write_config(yyjson_val *config) {
    char *text = yyjson_val_write(config, 0, NULL);
    hf_text("config.json", text);
    free(text);
}

static void rows_of_the_page(void **state) {
    (void)state;
    char *page = whole_file(NIB_TEST_DATA "/../../doc/models.md"), *data = whole_file(NIB_TEST_DATA "/known_models.json");
    yyjson_doc *doc = yyjson_read(data, strlen(data), 0);
    size_t i, n;
    yyjson_val *name, *config;
    yyjson_obj_foreach(yyjson_doc_get_root(doc), i, n, name, config) {
        char text[4096], row[400];
        size_t length;
        nib_error e;
        hf_fresh();
        write_config(config);
        if (nib_check(hf_dir, NULL, text, sizeof text, &length, &e) != NIB_OK) fail_msg("%s: %s", yyjson_get_str(name), e.message);
        char *says = text + strlen("family        "), *end = strstr(text, " (config.json)");
        assert_true(strncmp(text, "family        ", 14) == 0 && end);
        snprintf(row, sizeof row, "| %s | %.*s |\n", yyjson_get_str(name), (int)(end - says), says);
        if (!strstr(page, row)) fail_msg("doc/models.md lacks the row %s", row);
        assert_non_null(strstr(text, "\nopens         yes"));
    }
    assert_true(n >= 30);
    yyjson_doc_free(doc);
    free(page);
    free(data);
}

#define BERT(heads)                                                                                                                        \
    "{\"model_type\": \"bert\", \"hidden_size\": 384, \"num_hidden_layers\": 2, \"num_attention_heads\": " #heads                          \
    ", \"intermediate_size\": 64, \"vocab_size\": 9, \"max_position_embeddings\": 8, \"type_vocab_size\": 2, \"hidden_act\": \"gelu\"}"

/* A BART whose decoder counts if `architecture` has a head behind it. */
#define BART(architecture, decoder)                                                                                    \
    "{\"model_type\": \"bart\", \"architectures\": [\"Bart" architecture                                               \
    "\"], \"d_model\": 64, \"encoder_layers\": 1, "                                                                    \
    "\"encoder_attention_heads\": 2, \"encoder_ffn_dim\": 8, \"vocab_size\": 9, \"max_position_embeddings\": "         \
    "8, " decoder "}"
#define FOR_SEQUENCES "ForSequenceClassification"
#define SIZES(heads) "\"decoder_layers\": 1, \"decoder_ffn_dim\": 8, \"decoder_attention_heads\": " #heads

static void what_does_not_open(void **state) {
    (void)state;
    static const struct {
        const char *config, *modules, *says;
        nib_status status;
    } rows[] = {
        {NULL, NULL, "no config.json", NIB_NOT_FOUND},
        {"{", NULL, "config.json", NIB_BAD_MODEL},
        {"{\"model_type\": \"mamba\", \"architectures\": [\"MambaModel\"]}", NULL,
         "'mamba' of MambaModel is not supported", NIB_UNSUPPORTED},
        {"{\"model_type\": \"bert\", \"quantization_config\": {\"quant_method\": \"gptq\"}}", NULL, "'gptq'",
         NIB_UNSUPPORTED},
        {BERT(7), NULL, "384", NIB_BAD_MODEL},
        {BART(FOR_SEQUENCES, SIZES(7)), NULL, "7 heads", NIB_BAD_MODEL},
        {BART("Model", SIZES(7)), NULL, "", NIB_OK}, /* nobody asks it */
        {BART(FOR_SEQUENCES, SIZES(2)), NULL, "", NIB_OK},
        {BART(FOR_SEQUENCES, "\"decoder_layers\": 1"), NULL, "decoder_", NIB_BAD_MODEL},
        {BART(FOR_SEQUENCES, SIZES(2) ", \"decoder_start_token_id\": 9"), NULL, "decoder_start_token_id 9",
         NIB_BAD_MODEL},
        {BART(FOR_SEQUENCES, SIZES(2) ", \"eos_token_id\": [2]"), NULL, "eos_token_id", NIB_BAD_MODEL},
        {"{\"model_type\": \"gpt2\", \"n_embd\": 8, \"n_head\": 2, \"n_layer\": 1, \"n_positions\": 8, \"vocab_size\": "
         "9, "
         "\"scale_attn_by_inverse_layer_idx\": true}",
         NULL, "scale_attn_by_inverse_layer_idx is true", NIB_UNSUPPORTED},
        {BERT(12),
         "[{\"path\": \"\", \"type\": \"sentence_transformers.models.Transformer\"},"
         " {\"path\": \"1_WordWeights\", \"type\": \"sentence_transformers.models.WordWeights\"}]",
         "WordWeights", NIB_UNSUPPORTED},
        {BERT(12),
         "[{\"path\": \"\", \"type\": \"Transformer\"}, {\"path\": \"1_LogitScore\", \"type\": \"a.b.LogitScore\"}]",
         "1_LogitScore/config.json: modules.json lists it", NIB_UNSUPPORTED},
    };
    for (size_t i = 0; i < BASE_COUNT(rows); i++) {
        char text[4096];
        nib_error e = {.message = ""};
        hf_fresh();
        if (rows[i].config) hf_text("config.json", rows[i].config);
        if (rows[i].modules) hf_text("modules.json", rows[i].modules);
        const nib_status status = nib_check(hf_dir, NULL, text, sizeof text, NULL, &e);
        if (status != rows[i].status || !strstr(e.message, rows[i].says))
            fail_msg("case %zu: %s, %s", i, nib_status_text(status), e.message);
    }
    nib_error e;
    assert_int_equal(nib_check(NIB_TEST_DATA "/known_models.json", NULL, NULL, 0, NULL, &e), NIB_INVALID_ARGUMENT);
}

static int teardown(void **state) {
    hf_clear();
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(rows_of_the_page), cmocka_unit_test(what_does_not_open)};
    return cmocka_run_group_tests(tests, NULL, teardown);
}
