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
static const char modules_third[] = "[{\"path\":\"\",\"type\":\"sentence_transformers.models.Transformer\"},"
                                    "{\"path\":\"1_Pooling\",\"type\":\"sentence_transformers.models.Pooling\"},"
                                    "{\"path\":\"2_Dense\",\"type\":\"sentence_transformers.models.%s\"}]";

static hf_settings load(void **state) {
    hf_settings s;
    nib_error err = {0};
    nib_runtime *r = *state;
    size_t before = r->heap.current;
    if (hf_settings_load(r, hf_dir, NULL, &s, &err) != NIB_OK) fail_msg("%s", err.message);
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

/* The longest text is what the family's description says, where config.json is one; not the number of rows of a table. */
static void longest_texts(void **state) {
    static const struct {
        const char *config;
        int64_t positions;
    } cases[] = {
        {"{\"model_type\":\"roberta\",\"hidden_size\":4,\"num_attention_heads\":2,\"num_hidden_layers\":1,\"intermediate_size\":8,"
         "\"vocab_size\":5,\"max_position_embeddings\":514,\"pad_token_id\":1}", 512},
        {"{\"model_type\":\"roberta\",\"max_position_embeddings\":514}", 514}, /* half a description */
        {"{\"model_type\":\"bart\",\"d_model\":4,\"encoder_attention_heads\":2,\"encoder_layers\":1,\"encoder_ffn_dim\":8,"
         "\"vocab_size\":5,\"max_position_embeddings\":1024}", 1024},
        {"{\"model_type\":\"t5\",\"d_model\":4,\"num_heads\":2,\"d_kv\":2,\"num_layers\":1,\"d_ff\":8,\"vocab_size\":5,"
         "\"n_positions\":512,\"feed_forward_proj\":\"relu\"}", 0}, /* distances have no end */
        {"{\"model_type\":\"unheard\",\"n_positions\":77}", 77},
    };
    for (size_t i = 0; i < BASE_COUNT(cases); i++) {
        hf_fresh();
        hf_text("config.json", cases[i].config);
        hf_settings s = load(state);
        if (s.positions != cases[i].positions) fail_msg("%s: %lld", cases[i].config, (long long)s.positions);
        assert_int_equal(s.max_tokens, cases[i].positions);
    }
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
        {"{\"pooling_mode\":[\"mean\",\"max\"]}", NIB_POOLING_MEAN, true},
        {"{\"pooling_mode_mean_tokens\":true,\"pooling_mode_cls_token\":true}", NIB_POOLING_CLS, true},
        {"{\"pooling_mode\":[\"cls\",\"cls\",\"cls\",\"cls\",\"cls\",\"cls\",\"cls\",\"cls\",\"cls\"]}", NIB_POOLING_CLS, false},
        {"{\"pooling_mode\":\"something\"}", NIB_POOLING_MODEL, false},
        {"{\"pooling_mode_something_tokens\":true}", NIB_POOLING_MODEL, false},
        {"{\"pooling_mode_something_tokens\":false}", NIB_POOLING_MEAN, true},
        {"{}", NIB_POOLING_MEAN, true},
        {"{\"pooling_mode_cls_token\":false}", NIB_POOLING_MEAN, true},
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

/* Each by the name of its folder, and why; no weights are there to be read. */
static void other_modules(void **state) {
    static const struct {
        const char *kind, *config, *says;
    } cases[] = {
        {"CNN", "{}", "2_Dense: CNN"},
        {"LSTM", "{}", "2_Dense: LSTM"},
        {"WeightedLayerPooling", "{}", "2_Dense: WeightedLayerPooling"},
        {"WordEmbeddings", "{}", "2_Dense: WordEmbeddings"},
        {"StaticEmbedding", "{}", "2_Dense: a StaticEmbedding that is not the first module"},
        {"Transformer", "{}", "2_Dense: a Transformer that is not the first module"},
        {"Pooling", "{}", "2_Dense: a second Pooling"},
        {"Dense", NULL, "2_Dense/config.json: modules.json lists it, and it is missing"},
        {"LayerNorm", NULL, "2_Dense/config.json: modules.json lists it, and it is missing"},
        {"Dense", "{\"in_features\":4,\"out_features\":4,\"activation_function\":\"torch.nn.modules.activation.Softmax\"}",
         "2_Dense: the activation_function torch.nn.modules.activation.Softmax"},
        {"Dense", "{\"in_features\":4,\"out_features\":4,\"activation_function\":\"own.Tanh\"}",
         "2_Dense: the activation_function own.Tanh"},
        {"Dense", "{\"in_features\":4,\"out_features\":4,\"module_output_name\":\"other\"}",
         "2_Dense: another module_input_name or module_output_name than nib has"},
        {"Normalize", "{\"module_input_name\":\"other\"}", "2_Dense: another module_input_name or module_output_name than nib has"},
        {"Dense", "{\"in_features\":4,\"out_features\":4}", ""},
    };
    for (size_t i = 0; i < BASE_COUNT(cases); i++) {
        char modules[300];
        hf_fresh();
        snprintf(modules, sizeof modules, modules_third, cases[i].kind);
        hf_text("modules.json", modules);
        hf_text("1_Pooling/config.json", "{\"pooling_mode_mean_tokens\":true}");
        if (cases[i].config) hf_text("2_Dense/config.json", cases[i].config);
        hf_settings s = load(state);
        assert_string_equal(s.unsupported, cases[i].says);
        assert_int_equal(s.module_count, cases[i].says[0] ? 0 : 2);
    }
}

/* Where there is nothing to normalize, or to multiply. */
static void before_pooling(void **state) {
    hf_fresh();
    hf_text("modules.json", "[{\"path\":\"\",\"type\":\"a.Transformer\"},{\"path\":\"1_Normalize\",\"type\":\"a.Normalize\"}]");
    assert_string_equal(load(state).unsupported, "Normalize without a Pooling before it");
    hf_text("modules.json", "[{\"path\":\"1_Dense\",\"type\":\"a.Dense\"}]");
    hf_text("1_Dense/config.json", "{\"in_features\":4,\"out_features\":4}");
    assert_string_equal(load(state).unsupported, "1_Dense: it stands before Pooling");
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

/* Of all that may say how long a text is the first one that says anything counts. */
static void sentence_files(void **state) {
    static const char *const names[] = {"bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet"};
    char file[64], text[64];
    hf_fresh();
    for (int i = (int)BASE_COUNT(names) - 1; i >= 0; i--) {
        snprintf(file, sizeof file, "sentence_%s_config.json", names[i]);
        snprintf(text, sizeof text, "{\"max_seq_length\":%d}", 10 + i);
        hf_text(file, text);
        hf_settings s = load(state);
        assert_int_equal(s.max_tokens, 10 + i);
        assert_string_equal(s.max_tokens_from, file);
    }
    hf_text("sentence_bert_config.json", "{}");
    assert_int_equal(load(state).max_tokens, 11);
}

/* What modules.json lists has to be there. */
static void missing_pooling(void **state) {
    hf_fresh();
    hf_text("modules.json", modules_new);
    assert_non_null(strstr(load(state).unsupported, "1_Pooling/config.json"));
}

/* Python writes such numbers, and reads them. */
static void python_numbers(void **state) {
    hf_fresh();
    hf_text("config.json", "{\"initializer_range\":NaN,\"router_z_loss\":-Infinity,\"max_position_embeddings\":31}");
    assert_int_equal(load(state).positions, 31);
}

/* Classes that transformers follows and nib does not, by name or by model. */
static void other_tokenizers(void **state) {
    static const struct {
        const char *config, *tokenizer, *own, *other;
    } cases[] = {
        {"{\"model_type\":\"bert\"}", "{\"tokenizer_class\":\"RobertaTokenizer\"}", "", "RobertaTokenizer"},
        {"{\"model_type\":\"bert\"}", "{\"tokenizer_class\":\"XLMRobertaTokenizerFast\"}", "", "XLMRobertaTokenizer"},
        {"{\"model_type\":\"bert\",\"tokenizer_class\":\"T5Tokenizer\"}", "{}", "", "T5Tokenizer"},
        {"{\"model_type\":\"roberta\"}", "{}", "", "RobertaTokenizer"},
        {"{\"model_type\":\"roberta\"}", "{\"tokenizer_class\":\"BertTokenizer\"}", "", ""},
        {"{\"model_type\":\"mpnet\"}", "{}", "MPNetTokenizer", ""},
        {"{\"model_type\":\"bert\"}", "{\"tokenizer_class\":\"MPNetTokenizerFast\"}", "MPNetTokenizer", ""},
        {"{\"model_type\":\"bert\"}", "{\"tokenizer_class\":\"PreTrainedTokenizerFast\"}", "", ""},
        {"{\"model_type\":\"bert\"}", "{\"tokenizer_class\":\"NoSuchTokenizer\"}", "", ""}, /* the file as it is */
        {"{\"model_type\":\"modernbert\"}", "{\"tokenizer_class\":\"RobertaTokenizer\"}", "", ""},
        {"{}", "{}", "", ""},
    };
    for (size_t i = 0; i < BASE_COUNT(cases); i++) {
        hf_fresh();
        hf_text("config.json", cases[i].config);
        hf_text("tokenizer_config.json", cases[i].tokenizer);
        hf_tokenizer t = load(state).tokenizer;
        if (strcmp(t.own_class, cases[i].own) != 0 || strcmp(t.other_class, cases[i].other) != 0)
            fail_msg("case %zu: \"%s\", \"%s\"", i, t.own_class, t.other_class);
    }
}

static void a_cut(void **state) {
    static const struct {
        const char *json;
        int64_t columns; /* -1: refused */
    } cases[] = {{"{\"truncate_dim\":4}", 4},   {"{\"truncate_dim\":null}", 0}, {"{}", 0},
                 {"{\"truncate_dim\":0}", -1},  {"{\"truncate_dim\":-3}", -1},  {"{\"truncate_dim\":\"4\"}", -1},
                 {"{\"truncate_dim\":4.5}", -1}};
    for (size_t i = 0; i < BASE_COUNT(cases); i++) {
        hf_settings s;
        nib_error err = {0};
        hf_fresh();
        hf_text("config_sentence_transformers.json", cases[i].json);
        nib_status status = hf_settings_load(*state, hf_dir, NULL, &s, &err);
        assert_int_equal(status, cases[i].columns < 0 ? NIB_BAD_MODEL : NIB_OK);
        if (status == NIB_OK) assert_int_equal(s.truncate_dim, cases[i].columns);
        else assert_non_null(strstr(err.message, "truncate_dim"));
        nib_runtime *r = *state;
        if (status == NIB_OK) hf_settings_free(&r->heap, &s);
    }
}

static void tokenizers(void **state) {
    static const struct {
        const char *config, *tokenizer;
        bool rebuilt, lowercase, chinese;
        int strip, left;
    } cases[] = {
        {"{}", "{}", false, true, true, -1, -1},
        {"{\"model_type\":\"bert\"}", NULL, true, true, true, -1, -1},
        {"{\"model_type\":\"bert\"}", "{\"do_lower_case\":false}", true, false, true, -1, -1},
        {"{\"model_type\":\"bert\"}", "{\"strip_accents\":false,\"tokenize_chinese_chars\":false}", true, true, false, 0, -1},
        {"{\"model_type\":\"bert\"}", "{\"strip_accents\":null,\"truncation_side\":\"left\"}", true, true, true, -1, 1},
        {"{\"model_type\":\"bert\"}", "{\"truncation_side\":\"right\",\"strip_accents\":true}", true, true, true, 1, 0},
        {"{\"model_type\":\"bert\"}", "{\"tokenizer_class\":\"PreTrainedTokenizerFast\",\"do_lower_case\":false}", false, true, true, -1,
         -1},
        {"{\"model_type\":\"bert\",\"tokenizer_class\":\"TokenizersBackend\"}", "{}", false, true, true, -1, -1},
        {"{\"model_type\":\"new\"}", "{\"tokenizer_class\":\"BertTokenizerFast\",\"do_lower_case\":false}", true, false, true, -1, -1},
        {"{\"model_type\":\"modernbert\"}", "{\"tokenizer_class\":\"BertTokenizer\"}", false, true, true, -1, -1},
    };
    for (size_t i = 0; i < BASE_COUNT(cases); i++) {
        hf_fresh();
        hf_text("config.json", cases[i].config);
        if (cases[i].tokenizer) hf_text("tokenizer_config.json", cases[i].tokenizer);
        hf_tokenizer t = load(state).tokenizer;
        if (t.rebuilt != cases[i].rebuilt || t.lowercase != cases[i].lowercase || t.chinese != cases[i].chinese ||
            t.strip_accents != cases[i].strip || t.truncation_left != cases[i].left)
            fail_msg("case %zu: rebuilt %d, lower case %d, Chinese %d, accents %d, left %d", i, t.rebuilt, t.lowercase, t.chinese,
                     t.strip_accents, t.truncation_left);
    }
}

/* Tokens by name: special_tokens_map.json is of older versions, and counts where there is no added_tokens_decoder. */
static void tokens(void **state) {
    static const char decoder[] = "{\"cls_token\":\"<a>\",\"sep_token\":{\"content\":\"<b>\",\"lstrip\":true},"
                                  "\"added_tokens_decoder\":{\"7\":{\"content\":\"<c>\",\"special\":true,\"rstrip\":true}}}";
    hf_settings s;
    nib_error err = {0};
    nib_runtime *r = *state;
    for (int old = 0; old < 2; old++) {
        hf_fresh();
        hf_text("config.json", "{\"model_type\":\"bert\"}");
        hf_text("tokenizer_config.json", old ? "{\"cls_token\":\"<a>\"}" : decoder);
        hf_text("special_tokens_map.json", "{\"cls_token\":\"<old>\",\"mask_token\":\"<m>\"}");
        if (hf_settings_load(r, hf_dir, NULL, &s, &err) != NIB_OK) fail_msg("%s", err.message);
        assert_string_equal(s.tokenizer.cls, old ? "<old>" : "<a>");
        assert_string_equal(s.tokenizer.sep, old ? "" : "<b>");
        assert_int_equal(s.tokenizer.count, 3);
        const hf_token *last = &s.tokenizer.tokens[2];
        assert_string_equal(last->content, old ? "<m>" : "<c>");
        assert_int_equal(last->id, old ? -1 : 7);
        assert_int_equal(last->flags, old ? -1 : HF_SPECIAL | HF_RSTRIP);
        hf_settings_free(&r->heap, &s);
    }
}

static void prompts(void **state) {
    static const struct {
        const char *json;
        int64_t chosen;
        const char *text; /* of the default prompt, or what the refusal says */
    } cases[] = {
        {"{\"prompts\":{\"a\":\"A: \",\"b\":\"\"}}", -1, NULL},
        {"{\"prompts\":{\"a\":\"A: \",\"b\":\"B: \"},\"default_prompt_name\":\"b\"}", 1, "B: "},
        {"{\"prompts\":{\"a\":\"A: \"},\"default_prompt_name\":null}", -1, NULL},
        {"{\"default_prompt_name\":\"query\"}", 0, ""},
        {"{\"prompts\":{\"query\":null},\"default_prompt_name\":\"query\"}", 0, ""},
        {"{\"prompts\":{\"a\":\"A: \"},\"default_prompt_name\":\"c\"}", -2, "'c' is none of the prompts"},
        {"{\"prompts\":{\"a\":7}}", -2, "the prompt 'a' is no text"},
        {"{\"prompts\":[]}", -2, "prompts is no object"},
        {"{\"prompts\":{\"a\":\"x\",\"a\":\"y\"}}", -2, "stands there twice"},
        {"{\"default_prompt_name\":3}", -2, "default_prompt_name is no name"},
    };
    nib_runtime *r = *state;
    for (size_t i = 0; i < BASE_COUNT(cases); i++) {
        hf_settings s;
        nib_error err = {0};
        size_t before = r->heap.current;
        hf_fresh();
        hf_text("config_sentence_transformers.json", cases[i].json);
        nib_status status = hf_settings_load(r, hf_dir, NULL, &s, &err);
        if ((status == NIB_OK) != (cases[i].chosen > -2)) fail_msg("%s: %s", cases[i].json, err.message);
        if (status != NIB_OK && !strstr(err.message, cases[i].text)) fail_msg("%s: %s", cases[i].json, err.message);
        if (status == NIB_OK) assert_int_equal(s.default_prompt, cases[i].chosen);
        if (status == NIB_OK && s.default_prompt >= 0) assert_string_equal(s.prompts[s.default_prompt].text, cases[i].text);
        if (status == NIB_OK) hf_settings_free(&r->heap, &s);
        assert_int_equal(r->heap.current, before);
    }
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
        {"tokenizer_config.json", "{\"truncation_side\":\"up\"}"},
        {"tokenizer_config.json", "{\"tokenizer_class\":\"BertTokenizer\",\"do_lower_case\":1}"},
        {"tokenizer_config.json", "{\"tokenizer_class\":\"BertTokenizer\",\"cls_token\":7}"},
        {"tokenizer_config.json", "{\"added_tokens_decoder\":{\"x\":{\"content\":\"a\"}}}"},
        {"1_Pooling/config.json", "{\"pooling_mode\":\"mean\",\"include_prompt\":1}"},
        {"1_Pooling/config.json", "{\"pooling_mode\":7}"},
        {"1_Pooling/config.json", "{\"pooling_mode_cls_token\":1}"},
        {"modules.json", "[{\"path\":\".\",\"type\":\"a.Dense\"}]"},
        {"config_sentence_transformers.json", "{\"similarity_fn_name\":1}"},
        {"config_sentence_transformers.json", "{\"similarity_fn_name\":[\"dot\"]}"},
        {"config_sentence_transformers.json", "{\"similarity_fn_name\":\"\"}"},
        {"sentence_bert_config.json", "{\"processing_kwargs\":{\"text\":{\"max_length\":\"9\"}}}"},
    };
    for (size_t i = 0; i < BASE_COUNT(cases); i++) {
        hf_settings s;
        nib_error err = {0};
        hf_fresh();
        hf_text(cases[i].file, cases[i].text);
        if (hf_settings_load(*state, hf_dir, NULL, &s, &err) != NIB_BAD_MODEL) fail_msg("accepted %s: %s", cases[i].file, cases[i].text);
        if (!strstr(err.message, cases[i].file)) fail_msg("no file's name in: %s", err.message);
    }
}

static int teardown(void **state) {
    hf_clear();
    return test_runtime_teardown(state);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(other_tokenizers), cmocka_unit_test(a_cut),          cmocka_unit_test(nothing_said),
        cmocka_unit_test(longest_texts),    cmocka_unit_test(before_pooling),
        cmocka_unit_test(old_schema),       cmocka_unit_test(poolings),       cmocka_unit_test(other_modules),
        cmocka_unit_test(lengths),          cmocka_unit_test(malformed),      cmocka_unit_test(sentence_files),
        cmocka_unit_test(missing_pooling),  cmocka_unit_test(python_numbers), cmocka_unit_test(tokenizers),
        cmocka_unit_test(tokens),           cmocka_unit_test(prompts),
    };
    return cmocka_run_group_tests(tests, test_runtime_setup, teardown);
}
