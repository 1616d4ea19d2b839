/* SPDX-License-Identifier: Apache-2.0
 *
 * What is said of keys that are not applied: each unknown one, known ones at a value that would change something, and no other.
 */
#include "hf/hf_keys.h"
#include "hf_test.h"

static char said[4096];
static int lines;

static void note(void *user, nib_log_level level, const char *message) {
    size_t n = strlen(said);
    assert_int_equal(level, NIB_LOG_WARN);
    lines++;
    snprintf(said + n, sizeof said - n, "%s\n", message);
}

/* The warnings of a file, one a line. */
static const char *warnings(void **state, const char *kind, const char *json) {
    nib_runtime *r = *state;
    yyjson_doc *doc = yyjson_read(json, strlen(json), YYJSON_READ_ALLOW_INF_AND_NAN);
    assert_non_null(doc);
    said[0] = 0;
    lines = 0;
    r->log = note;
    hf_keys_check(r, "file", kind, yyjson_doc_get_root(doc));
    r->log = NULL;
    yyjson_doc_free(doc);
    return said;
}

static void each_key(void **state) {
    static const struct {
        const char *kind, *json, *says; /* "": nothing */
    } cases[] = {
        {"bert", "{\"model_type\":\"bert\",\"hidden_size\":4,\"use_cache\":true,\"hidden_dropout_prob\":0.5}", ""},
        {"bert", "{\"is_encoder_decoder\":false,\"pruned_heads\":{}}", ""},
        {"bert", "{\"is_encoder_decoder\":true}", "file: is_encoder_decoder true is not applied\n"},
        {"bert", "{\"pruned_heads\":{\"0\":[1]}}", "file: pruned_heads {...} is not applied\n"},
        {"bert", "{\"invented\":1.5}", "file: invented 1.5 is not applied\n"},
        {"bert", "{\"norm_bias\":true}", "file: norm_bias true is not applied\n"}, /* another family's */
        {"modernbert", "{\"norm_bias\":true}", ""},
        {"modernbert", "{\"rope_parameters\":{\"full_attention\":{\"rope_theta\":1,\"rope_type\":\"default\"}}}", ""},
        {"modernbert", "{\"rope_parameters\":{\"full_attention\":{\"invented\":2}}}",
         "file: rope_parameters.full_attention.invented 2 is not applied\n"},
        {"modernbert", "{\"rope_parameters\":null}", ""},
        {"llama", "{\"rope_scaling\":{\"partial_rotary_factor\":0.5}}",
         "file: rope_scaling.partial_rotary_factor 0.5 is not applied\n"},
        {"llama", "{\"rope_parameters\":{\"partial_rotary_factor\":0.5}}", ""},
        {"bert", "{\"hidden_size\":4,\"hidden_size\":8}", "file: hidden_size 8 is not applied: the key stands there twice\n"},
        {"modules.json", "[{\"idx\":0,\"name\":\"0\",\"path\":\"\",\"type\":\"a.Transformer\",\"kwargs\":[]}]", ""},
        {"modules.json", "[{\"type\":\"a\"},{\"kwargs\":[\"x\"]}]", "file: 1.kwargs [...] is not applied\n"},
        {"sentence_bert_config.json",
         "{\"modality_config\":{\"text\":{\"method\":\"forward\",\"method_output_name\":\"last_hidden_state\"}}}", ""},
        {"sentence_bert_config.json", "{\"modality_config\":{\"image\":{}}}", "file: modality_config.image {} is not applied\n"},
        {"sentence_bert_config.json", "{\"modality_config\":7}", "file: modality_config 7 is not applied\n"},
        {"tokenizer_config.json", "{\"split_special_tokens\":true}", "file: split_special_tokens true is not applied\n"},
        {"Pooling", "{\"pooling_mode\":\"mean\",\"include_prompt\":true,\"extra\":null}", "file: extra null is not applied\n"},
        {"bert", "{\"a\\u001b[2J\":\"\\n\"}", "file: a?[2J \"?\" is not applied\n"}, /* nothing that a terminal would obey */
        {"unheard", "{\"invented\":1}", ""},                                         /* nothing is known of it */
    };
    for (size_t i = 0; i < BASE_COUNT(cases); i++)
        if (strcmp(warnings(state, cases[i].kind, cases[i].json), cases[i].says) != 0) fail_msg("%s: %s", cases[i].json, said);
}

/* A file of unknown keys is no flood of lines. */
static void many(void **state) {
    char *json = malloc(400000);
    size_t n = 0;
    for (int i = 0; i < 20000; i++) n += (size_t)sprintf(json + n, "%c\"k%d\":%d", i ? ',' : '{', i, i);
    sprintf(json + n, "}");
    assert_non_null(strstr(warnings(state, "bert", json), "more keys are not applied"));
    assert_true(lines < 12);
    free(json);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_key), cmocka_unit_test(many)};
    return cmocka_run_group_tests(tests, test_runtime_setup, test_runtime_teardown);
}
