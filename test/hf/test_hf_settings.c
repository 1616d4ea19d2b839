/* SPDX-License-Identifier: Apache-2.0
 *
 * What a folder's small files say, in the forms that sentence-transformers has written over the years.
 */
#include "hf_test.h"

static const char modules_old[] =
    "[{\"idx\":0,\"name\":\"0\",\"path\":\"\",\"type\":\"sentence_transformers.models.Transformer\"},"
    "{\"idx\":1,\"name\":\"1\",\"path\":\"1_Pooling\",\"type\":\"sentence_transformers.models.Pooling\"},"
    "{\"idx\":2,\"name\":\"2\",\"path\":\"2_Normalize\",\"type\":\"sentence_transformers.models.Normalize\"}]";
static const char modules_new[] =
    "[{\"idx\":0,\"name\":\"0\",\"path\":\"\",\"type\":\"sentence_transformers.base.modules.transformer.Transformer\"},"
    "{\"idx\":1,\"name\":\"1\",\"path\":\"1_Pooling\",\"type\":\"sentence_transformers.sentence_transformer.modules.pooling.Pooling\"}]";
static const char modules_dense[] = "[{\"path\":\"\",\"type\":\"sentence_transformers.models.Transformer\"},"
                                    "{\"path\":\"1_Pooling\",\"type\":\"sentence_transformers.models.Pooling\"},"
                                    "{\"path\":\"2_Dense\",\"type\":\"sentence_transformers.models.Dense\"}]";

static hf_settings load(void **state) {
    hf_settings s;
    nib_error err = {0};
    nib_runtime *r = *state;
    size_t before = r->heap.current;
    if (hf_settings_load(r, hf_dir, &s, &err) != NIB_OK) fail_msg("%s", err.message);
    assert_int_equal(r->heap.current, before);
    return s;
}

static void nothing_said(void **state) {
    hf_fresh();
    hf_settings s = load(state);
    assert_false(s.has_modules);
    assert_int_equal(s.pooling, NIB_POOLING_MODEL);
    assert_int_equal(s.max_tokens, 0);
    assert_string_equal(s.unsupported, "");
}

static void old_schema(void **state) {
    hf_fresh();
    hf_text("modules.json", modules_old);
    hf_text("1_Pooling/config.json",
            "{\"word_embedding_dimension\":384,\"pooling_mode_cls_token\":false,\"pooling_mode_mean_tokens\":true}");
    hf_text("sentence_bert_config.json", "{\"max_seq_length\":256,\"do_lower_case\":true}");
    hf_text("tokenizer_config.json", "{\"model_max_length\":512}");
    hf_text("config.json", "{\"model_type\":\"bert\",\"architectures\":[\"BertModel\"],\"hidden_size\":384,\"num_hidden_layers\":6,"
                           "\"max_position_embeddings\":512}");
    hf_settings s = load(state);
    assert_true(s.has_modules && s.normalize && s.lower_case);
    assert_int_equal(s.pooling, NIB_POOLING_MEAN);
    assert_string_equal(s.pooling_from, "1_Pooling/config.json");
    assert_int_equal(s.max_tokens, 256);
    assert_string_equal(s.max_tokens_from, "sentence_bert_config.json");
    assert_int_equal(s.hidden, 384);
    assert_int_equal(s.layers, 6);
    assert_int_equal(s.positions, 512);
    assert_string_equal(s.model_type, "bert");
    assert_string_equal(s.architecture, "BertModel");
    assert_string_equal(s.unsupported, "");
}

static void poolings(void **state) {
    static const struct {
        const char *config;
        nib_pooling pooling;
        bool supported;
    } cases[] = {
        {"{\"pooling_mode_cls_token\":true}", NIB_POOLING_CLS, true},
        {"{\"pooling_mode_max_tokens\":true}", NIB_POOLING_MAX, true},
        {"{\"pooling_mode_mean_sqrt_len_tokens\":true}", NIB_POOLING_MEAN_SQRT_LEN, true},
        {"{\"pooling_mode_weightedmean_tokens\":true}", NIB_POOLING_WEIGHTED_MEAN, true},
        {"{\"pooling_mode_lasttoken\":true}", NIB_POOLING_LAST, true},
        {"{\"pooling_mode\":\"mean\",\"embedding_dimension\":384}", NIB_POOLING_MEAN, true},
        {"{\"pooling_mode\":[\"cls\"]}", NIB_POOLING_CLS, true},
        {"{\"pooling_mode\":\"lasttoken\"}", NIB_POOLING_LAST, true},
        {"{\"pooling_mode\":[\"mean\",\"max\"]}", NIB_POOLING_MAX, false},
        {"{\"pooling_mode_cls_token\":true,\"pooling_mode_mean_tokens\":true}", NIB_POOLING_MEAN, false},
        {"{\"pooling_mode\":\"something\"}", NIB_POOLING_MODEL, false},
        {"{}", NIB_POOLING_MODEL, false},
    };
    for (size_t i = 0; i < BASE_COUNT(cases); i++) {
        hf_fresh();
        hf_text("modules.json", modules_new);
        hf_text("1_Pooling/config.json", cases[i].config);
        hf_settings s = load(state);
        if (s.pooling != cases[i].pooling || (s.unsupported[0] == 0) != cases[i].supported)
            fail_msg("%s: %d '%s'", cases[i].config, s.pooling, s.unsupported);
        assert_false(s.normalize);
    }
}

static void other_modules(void **state) {
    hf_fresh();
    hf_text("modules.json", modules_dense);
    hf_text("1_Pooling/config.json", "{\"pooling_mode_mean_tokens\":true}");
    assert_string_equal(load(state).unsupported, "2_Dense: Dense");
}

static void lengths(void **state) {
    hf_fresh();
    hf_text("tokenizer_config.json", "{\"model_max_length\":1000000000000000019884624838656}");
    hf_text("config.json", "{\"max_position_embeddings\":130}");
    hf_settings s = load(state);
    assert_int_equal(s.max_tokens, 130);
    assert_string_equal(s.max_tokens_from, "config.json");
    hf_text("tokenizer_config.json", "{\"model_max_length\":77}");
    s = load(state);
    assert_int_equal(s.max_tokens, 77);
    assert_string_equal(s.max_tokens_from, "tokenizer_config.json");
}

static void malformed(void **state) {
    static const struct {
        const char *file, *text;
    } cases[] = {
        {"modules.json", "{}"},
        {"modules.json", "[7]"},
        {"modules.json", "[{\"path\":\"\"}]"},
        {"modules.json", "["},
        {"modules.json", "[{\"path\":\"../x\",\"type\":\"a.Pooling\"}]"},
        {"modules.json", "[{\"path\":\"..\",\"type\":\"a.Pooling\"}]"},
        {"modules.json", "[{\"path\":\"/etc\",\"type\":\"a.Pooling\"}]"},
        {"config.json", "[]"},
        {"config.json", ""},
        {"sentence_bert_config.json", "nonsense"},
        {"tokenizer_config.json", "{\"a\":"},
        {"1_Pooling/config.json", "{\"pooling_mode\":7}"},
        {"1_Pooling/config.json", "{\"pooling_mode_cls_token\":1}"},
    };
    for (size_t i = 0; i < BASE_COUNT(cases); i++) {
        hf_settings s;
        nib_error err = {0};
        hf_fresh();
        hf_text(cases[i].file, cases[i].text);
        if (hf_settings_load(*state, hf_dir, &s, &err) != NIB_BAD_MODEL) fail_msg("accepted %s: %s", cases[i].file, cases[i].text);
        if (!strstr(err.message, cases[i].file)) fail_msg("no file's name in: %s", err.message);
    }
}

static int teardown(void **state) {
    hf_clear();
    return test_runtime_teardown(state);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_said),  cmocka_unit_test(old_schema), cmocka_unit_test(poolings),
        cmocka_unit_test(other_modules), cmocka_unit_test(lengths),    cmocka_unit_test(malformed),
    };
    return cmocka_run_group_tests(tests, test_runtime_setup, teardown);
}
