/* SPDX-License-Identifier: Apache-2.0
 *
 * In: a small file's JSON. Out: a warning for each key that is not applied. The tables are what nib knows; a key of a later version of
 * transformers or sentence-transformers is unknown here, and said, until somebody looks at what it does.
 */
#include "hf_keys.h"
#include <stdio.h>
#include <string.h>

#define MOST_WARNINGS 8 /* of one file: a file of nothing but unknown keys is no settings' file */
#define MOST_PATH 200

#define OBEYED(path)                                                                                                                       \
    { path, NULL, NULL }
#define HARMLESS(path, values, why)                                                                                                        \
    { path, values, why }
#define END                                                                                                                                \
    { NULL, NULL, NULL }

/* config.json, of every family */
static const hf_key common_keys[] = {
    OBEYED("model_type"),
    OBEYED("hidden_size"),
    OBEYED("num_attention_heads"),
    OBEYED("num_hidden_layers"),
    OBEYED("intermediate_size"),
    OBEYED("vocab_size"),
    OBEYED("max_position_embeddings"),
    OBEYED("tokenizer_class"),
    HARMLESS("architectures", "*", "the encoder alone is used, whatever head the weights were saved with"),
    HARMLESS("_name_or_path", "*", "a name"),
    HARMLESS("name_or_path", "*", "a name"),
    HARMLESS("_commit_hash", "*", "a name"),
    HARMLESS("transformers_version", "*", "who wrote the file"),
    HARMLESS("auto_map", "*", "code of the folder's own is never run; model_type says what is computed"),
    HARMLESS("torch_dtype", "*", "sums are f32 whatever type the weights have: no less exact"),
    HARMLESS("dtype", "*", "sums are f32 whatever type the weights have: no less exact"),
    HARMLESS("use_bfloat16", "*", "sums are f32 whatever type the weights have: no less exact"),
    HARMLESS("attention_probs_dropout_prob", "*", "only in training"),
    HARMLESS("hidden_dropout_prob", "*", "only in training"),
    HARMLESS("attention_dropout", "*", "only in training"),
    HARMLESS("embedding_dropout", "*", "only in training"),
    HARMLESS("mlp_dropout", "*", "only in training"),
    HARMLESS("dropout", "*", "only in training"),
    HARMLESS("initializer_range", "*", "only in training"),
    HARMLESS("initializer_cutoff_factor", "*", "only in training"),
    HARMLESS("gradient_checkpointing", "*", "only in training"),
    HARMLESS("classifier_dropout", "*", "the head is not run"),
    HARMLESS("tie_word_embeddings", "*", "the head is not run"),
    HARMLESS("id2label", "*", "the head is not run"),
    HARMLESS("label2id", "*", "the head is not run"),
    HARMLESS("num_labels", "*", "the head is not run"),
    HARMLESS("problem_type", "*", "the head is not run"),
    HARMLESS("finetuning_task", "*", "the head is not run"),
    HARMLESS("task_specific_params", "*", "the head is not run"),
    HARMLESS("sentence_transformers", "*", "of cross encoders' heads"),
    HARMLESS("pad_token_id", "*", "padding is computed by nobody"),
    HARMLESS("bos_token_id", "*", "the tokenizer's template says which tokens are put around a text"),
    HARMLESS("eos_token_id", "*", "the tokenizer's template says which tokens are put around a text"),
    HARMLESS("cls_token_id", "*", "the tokenizer's template says which tokens are put around a text"),
    HARMLESS("sep_token_id", "*", "the tokenizer's template says which tokens are put around a text"),
    HARMLESS("mask_token_id", "*", "the tokenizer's template says which tokens are put around a text"),
    HARMLESS("unk_token_id", "*", "the tokenizer says which token stands for unknown words"),
    HARMLESS("use_cache", "*", "an encoder has no cache"),
    HARMLESS("is_encoder_decoder", "false|null", "so is every model that nib builds"),
    HARMLESS("is_causal", "false|null", "so is every model that nib builds"),
    HARMLESS("use_bidirectional_attention", "true|null", "so is every model that nib builds"),
    HARMLESS("tie_encoder_decoder", "*", "there is no decoder"),
    HARMLESS("decoder_start_token_id", "*", "there is no decoder"),
    HARMLESS("cross_attention_hidden_size", "*", "there is no decoder"),
    HARMLESS("pruned_heads", "{}|[]|null", "no head is pruned"),
    HARMLESS("chunk_size_feed_forward", "*", "rows of a feed-forward layer do not see each other"),
    HARMLESS("output_attentions", "*", "asks for more outputs, and changes none"),
    HARMLESS("output_hidden_states", "*", "asks for more outputs, and changes none"),
    HARMLESS("return_dict", "*", "how Python hands outputs over"),
    HARMLESS("torchscript", "*", "how Python runs it"),
    HARMLESS("tf_legacy_loss", "*", "how Python runs it"),
    HARMLESS("_attn_implementation", "*", "which kernel computes the same"),
    HARMLESS("_attn_implementation_autoset", "*", "which kernel computes the same"),
    HARMLESS("attn_implementation", "*", "which kernel computes the same"),
    HARMLESS("prefix", "*", "of generated text"),
    HARMLESS("max_length", "*", "of generated text"),
    HARMLESS("min_length", "*", "of generated text"),
    HARMLESS("do_sample", "*", "of generated text"),
    HARMLESS("early_stopping", "*", "of generated text"),
    HARMLESS("num_beams", "*", "of generated text"),
    HARMLESS("num_beam_groups", "*", "of generated text"),
    HARMLESS("diversity_penalty", "*", "of generated text"),
    HARMLESS("temperature", "*", "of generated text"),
    HARMLESS("top_k", "*", "of generated text"),
    HARMLESS("top_p", "*", "of generated text"),
    HARMLESS("typical_p", "*", "of generated text"),
    HARMLESS("repetition_penalty", "*", "of generated text"),
    HARMLESS("length_penalty", "*", "of generated text"),
    HARMLESS("no_repeat_ngram_size", "*", "of generated text"),
    HARMLESS("encoder_no_repeat_ngram_size", "*", "of generated text"),
    HARMLESS("bad_words_ids", "*", "of generated text"),
    HARMLESS("num_return_sequences", "*", "of generated text"),
    HARMLESS("output_scores", "*", "of generated text"),
    HARMLESS("return_dict_in_generate", "*", "of generated text"),
    HARMLESS("forced_bos_token_id", "*", "of generated text"),
    HARMLESS("forced_eos_token_id", "*", "of generated text"),
    HARMLESS("remove_invalid_values", "*", "of generated text"),
    HARMLESS("exponential_decay_length_penalty", "*", "of generated text"),
    HARMLESS("suppress_tokens", "*", "of generated text"),
    HARMLESS("begin_suppress_tokens", "*", "of generated text"),
    END,
};

static const hf_key bert_keys[] = {
    OBEYED("type_vocab_size"),
    OBEYED("layer_norm_eps"),
    OBEYED("hidden_act"),
    OBEYED("position_embedding_type"),
    OBEYED("is_decoder"),
    HARMLESS("add_cross_attention", "false|null", "an encoder has none"),
    HARMLESS("directionality", "*", "of the pooler, which is not run"),
    HARMLESS("pooler_fc_size", "*", "of the pooler, which is not run"),
    HARMLESS("pooler_num_attention_heads", "*", "of the pooler, which is not run"),
    HARMLESS("pooler_num_fc_layers", "*", "of the pooler, which is not run"),
    HARMLESS("pooler_size_per_head", "*", "of the pooler, which is not run"),
    HARMLESS("pooler_type", "*", "of the pooler, which is not run"),
    END,
};

static const hf_key modernbert_keys[] = {
    OBEYED("hidden_activation"),
    OBEYED("norm_eps"),
    OBEYED("norm_bias"),
    OBEYED("attention_bias"),
    OBEYED("mlp_bias"),
    OBEYED("head_dim"),
    OBEYED("local_attention"),
    OBEYED("global_attn_every_n_layers"),
    OBEYED("layer_types"),
    OBEYED("global_rope_theta"),
    OBEYED("local_rope_theta"),
    OBEYED("rope_scaling"),
    HARMLESS("rope_parameters", "null", "as if it were not there"),
    OBEYED("rope_parameters.full_attention.rope_theta"),
    OBEYED("rope_parameters.full_attention.rope_type"),
    OBEYED("rope_parameters.full_attention.type"),
    OBEYED("rope_parameters.sliding_attention.rope_theta"),
    OBEYED("rope_parameters.sliding_attention.rope_type"),
    OBEYED("rope_parameters.sliding_attention.type"),
    HARMLESS("is_decoder", "*", "the family has encoders alone"),
    HARMLESS("add_cross_attention", "*", "the family has encoders alone"),
    HARMLESS("layer_norm_eps", "*", "norm_eps is what the family reads"),
    HARMLESS("position_embedding_type", "*", "positions turn queries and keys, whatever it says"),
    HARMLESS("decoder_bias", "*", "the head is not run"),
    HARMLESS("classifier_pooling", "*", "the head is not run"),
    HARMLESS("classifier_bias", "*", "the head is not run"),
    HARMLESS("classifier_activation", "*", "the head is not run"),
    HARMLESS("sparse_prediction", "*", "the head is not run"),
    HARMLESS("sparse_pred_ignore_index", "*", "the head is not run"),
    HARMLESS("deterministic_flash_attn", "*", "which kernel computes the same"),
    HARMLESS("reference_compile", "*", "how Python runs it"),
    HARMLESS("repad_logits_with_grad", "*", "only in training"),
    END,
};

static const hf_key tokenizer_keys[] = {
    OBEYED("tokenizer_class"),
    OBEYED("do_lower_case"),
    OBEYED("strip_accents"),
    OBEYED("tokenize_chinese_chars"),
    OBEYED("model_max_length"),
    OBEYED("max_len"),
    OBEYED("truncation_side"),
    OBEYED("cls_token"),
    OBEYED("sep_token"),
    OBEYED("unk_token"),
    OBEYED("pad_token"),
    OBEYED("mask_token"),
    OBEYED("bos_token"),
    OBEYED("eos_token"),
    OBEYED("additional_special_tokens"),
    OBEYED("extra_special_tokens"),
    OBEYED("added_tokens_decoder"),
    HARMLESS("padding_side", "*", "padding is computed by nobody; a text's positions begin at its first token, as they do for it alone"),
    HARMLESS("pad_token_type_id", "*", "padding is computed by nobody"),
    HARMLESS("pad_to_multiple_of", "*", "padding is computed by nobody"),
    HARMLESS("padding", "*", "padding is computed by nobody"),
    HARMLESS("truncation", "*", "an argument of calls, which sentence-transformers gives itself"),
    HARMLESS("max_length", "*", "an argument of calls, which sentence-transformers gives itself"),
    HARMLESS("stride", "*", "of overflowing parts, which are not used"),
    HARMLESS("truncation_strategy", "*", "an argument of calls, which sentence-transformers gives itself"),
    HARMLESS("model_input_names", "*", "a single text's segments and mask are what they would be without them"),
    HARMLESS("split_special_tokens", "false|null", "special tokens are found in texts"),
    HARMLESS("add_bos_token", "*", "not read where there is a tokenizer.json"),
    HARMLESS("add_eos_token", "*", "not read where there is a tokenizer.json"),
    HARMLESS("add_prefix_space", "*", "of byte-level tokenizers"),
    HARMLESS("trim_offsets", "*", "of spans in the text, not of ids"),
    HARMLESS("clean_text", "*", "BertTokenizer cleans always, and tokenizer.json decides for others"),
    HARMLESS("wordpieces_prefix", "*", "it is always ##"),
    HARMLESS("clean_up_tokenization_spaces", "*", "of decoding"),
    HARMLESS("spaces_between_special_tokens", "*", "of decoding"),
    HARMLESS("errors", "*", "of decoding"),
    HARMLESS("chat_template", "*", "of conversations"),
    HARMLESS("response_schema", "*", "of conversations"),
    HARMLESS("name_or_path", "*", "a name"),
    HARMLESS("special_tokens_map_file", "*", "a name"),
    HARMLESS("tokenizer_file", "*", "a name"),
    HARMLESS("processor_class", "*", "a name"),
    HARMLESS("backend", "*", "a name"),
    HARMLESS("auto_map", "*", "code of the folder's own is never run"),
    HARMLESS("is_local", "*", "where the files came from"),
    HARMLESS("local_files_only", "*", "where the files came from"),
    HARMLESS("from_slow", "*", "how tokenizer.json was made"),
    HARMLESS("use_fast", "*", "tokenizer.json is the fast one"),
    HARMLESS("legacy", "*", "of SentencePiece models"),
    HARMLESS("sp_model_kwargs", "*", "of SentencePiece models"),
    HARMLESS("do_basic_tokenize", "*", "of the tokenizer in Python, not of tokenizer.json"),
    HARMLESS("never_split", "*", "of the tokenizer in Python, not of tokenizer.json"),
    HARMLESS("init_inputs", "[]|null", "there are none"),
    HARMLESS("verbose", "*", "what Python prints"),
    HARMLESS("fix_mistral_regex", "*", "of another kind of tokenizer"),
    HARMLESS("transformers_version", "*", "who wrote the file"),
    END,
};

static const hf_key special_keys[] = {
    OBEYED("cls_token"),
    OBEYED("sep_token"),
    OBEYED("unk_token"),
    OBEYED("pad_token"),
    OBEYED("mask_token"),
    OBEYED("bos_token"),
    OBEYED("eos_token"),
    OBEYED("additional_special_tokens"),
    OBEYED("extra_special_tokens"),
    END,
};

static const hf_key sentence_keys[] = {
    OBEYED("max_seq_length"),
    OBEYED("do_lower_case"),
    HARMLESS("transformer_task", "\"feature-extraction\"|null", "rows of the last layer are what is pooled"),
    HARMLESS("modality_config", "null", "as if it were not there"),
    HARMLESS("modality_config.text.method", "\"forward\"", "rows of the last layer are what is pooled"),
    HARMLESS("modality_config.text.method_output_name", "\"last_hidden_state\"", "rows of the last layer are what is pooled"),
    HARMLESS("module_output_name", "\"token_embeddings\"|null", "rows of the last layer are what is pooled"),
    HARMLESS("unpad_inputs", "*", "padding is computed by nobody"),
    HARMLESS("query_length", "*", "of encode_query alone"),
    HARMLESS("document_length", "*", "of encode_document alone"),
    HARMLESS("query_expansion", "*", "of encode_query alone"),
    HARMLESS("processing_kwargs", "{}|null", "it says nothing"),
    HARMLESS("tokenizer_args", "{}|null", "it says nothing"),
    HARMLESS("processor_kwargs", "{}|null", "it says nothing"),
    HARMLESS("model_args", "{}|null", "it says nothing"),
    HARMLESS("model_kwargs", "{}|null", "it says nothing"),
    HARMLESS("config_args", "{}|null", "it says nothing"),
    HARMLESS("config_kwargs", "{}|null", "it says nothing"),
    HARMLESS("tokenizer_name_or_path", "null", "the tokenizer is the folder's"),
    END,
};

static const hf_key modules_keys[] = {
    OBEYED("*.type"),
    OBEYED("*.path"),
    HARMLESS("*.idx", "*", "modules run in the order in which they stand"),
    HARMLESS("*.name", "*", "a name"),
    HARMLESS("*.kwargs", "[]|null", "no argument goes to the module"),
    END,
};

static const hf_key pooling_keys[] = {
    OBEYED("pooling_mode"),
    OBEYED("pooling_mode_cls_token"),
    OBEYED("pooling_mode_mean_tokens"),
    OBEYED("pooling_mode_max_tokens"),
    OBEYED("pooling_mode_mean_sqrt_len_tokens"),
    OBEYED("pooling_mode_weightedmean_tokens"),
    OBEYED("pooling_mode_lasttoken"),
    OBEYED("include_prompt"),
    HARMLESS("word_embedding_dimension", "*", "the rows have the width they have"),
    HARMLESS("embedding_dimension", "*", "the rows have the width they have"),
    END,
};

static const hf_key normalize_keys[] = {
    HARMLESS("module_input_name", "\"sentence_embedding\"|null", "what Pooling gives"),
    HARMLESS("module_output_name", "\"sentence_embedding\"|null", "what encode returns"),
    END,
};

static const hf_key dropout_keys[] = {
    HARMLESS("dropout", "*", "only in training"),
    END,
};

static const hf_key folder_keys[] = {
    OBEYED("prompts"),
    OBEYED("default_prompt_name"),
    HARMLESS("__version__", "*", "who wrote the file"),
    HARMLESS("similarity_fn_name", "*", "how vectors are compared, not what they are"),
    HARMLESS("model_type", "\"SentenceTransformer\"|null", "dense vectors are what nib gives"),
    END,
};

static const struct {
    const char *kind;
    const hf_key *lists[3];
} kinds[] = {
    {"bert", {common_keys, bert_keys, NULL}},
    {"modernbert", {common_keys, modernbert_keys, NULL}},
    {"tokenizer_config.json", {tokenizer_keys, NULL}},
    {"special_tokens_map.json", {special_keys, NULL}},
    {"sentence_bert_config.json", {sentence_keys, NULL}},
    {"modules.json", {modules_keys, NULL}},
    {"Pooling", {pooling_keys, NULL}},
    {"Normalize", {normalize_keys, NULL}},
    {"Dropout", {dropout_keys, NULL}},
    {"config_sentence_transformers.json", {folder_keys, NULL}},
};

typedef struct check {
    nib_runtime *runtime;
    const char *file;
    const hf_key *const *lists;
    int warned;
} check;

/* ---------------------------------------------------------------- paths */

/* Whether `row` names `path`, or (inside) something within it. */
static bool names(const char *row, const char *path, bool inside) {
    for (;;) {
        size_t a = strcspn(row, "."), b = strcspn(path, ".");
        if (!(a == 1 && row[0] == '*') && (a != b || strncmp(row, path, a) != 0)) return false;
        row += a;
        path += b;
        if (!*path || !*row) return *path == *row ? !inside : inside && !*path;
        row++;
        path++;
    }
}

static const hf_key *find(const check *c, const char *path, bool inside) {
    for (const hf_key *const *list = c->lists; *list; list++)
        for (const hf_key *k = *list; k->path; k++)
            if (names(k->path, path, inside)) return k;
    return NULL;
}

/* ---------------------------------------------------------------- values */

static void show(yyjson_val *v, char *out, size_t size) {
    if (yyjson_is_str(v)) snprintf(out, size, "\"%.60s\"", yyjson_get_str(v));
    else if (yyjson_is_bool(v)) snprintf(out, size, "%s", yyjson_get_bool(v) ? "true" : "false");
    else if (yyjson_is_null(v)) snprintf(out, size, "null");
    else if (yyjson_is_num(v)) snprintf(out, size, "%g", yyjson_get_num(v));
    else if (yyjson_is_obj(v)) snprintf(out, size, yyjson_obj_size(v) ? "{...}" : "{}");
    else snprintf(out, size, yyjson_arr_size(v) ? "[...]" : "[]");
}

static bool is_harmless(const hf_key *k, yyjson_val *v) {
    char text[80];
    if (!k->harmless || strcmp(k->harmless, "*") == 0) return true;
    show(v, text, sizeof text);
    for (const char *at = k->harmless; *at;) {
        size_t n = strcspn(at, "|");
        if (strlen(text) == n && strncmp(at, text, n) == 0) return true;
        at += n + (at[n] == '|');
    }
    return false;
}

/* ---------------------------------------------------------------- walking */

static void warn(check *c, const char *path, yyjson_val *v, const char *what) {
    char text[80];
    show(v, text, sizeof text);
    if (c->warned++ < MOST_WARNINGS) base_log(c->runtime, NIB_LOG_WARN, "%s: %s %s is not applied%s", c->file, path, text, what);
}

static void walk(check *c, const char *path, yyjson_val *v);

static void visit(check *c, const char *path, const char *name, yyjson_val *parent, yyjson_val *v) {
    char full[MOST_PATH];
    snprintf(full, sizeof full, "%s%s%.100s", path, path[0] ? "." : "", name);
    const hf_key *k = find(c, full, false);
    if (yyjson_is_obj(parent) && (k || find(c, full, true)) && yyjson_obj_get(parent, name) != v)
        warn(c, full, v, ": the key stands there twice");
    else if (k && is_harmless(k, v)) return;
    else if (yyjson_is_ctn(v) && find(c, full, true)) walk(c, full, v);
    else warn(c, full, v, "");
}

static void walk(check *c, const char *path, yyjson_val *v) {
    size_t i, n;
    yyjson_val *key, *item;
    char place[24];
    if (yyjson_is_obj(v)) {
        yyjson_obj_foreach(v, i, n, key, item) {
            if (c->warned > MOST_WARNINGS) return;
            visit(c, path, yyjson_get_str(key), v, item);
        }
    } else {
        yyjson_arr_foreach(v, i, n, item) {
            if (c->warned > MOST_WARNINGS) return;
            snprintf(place, sizeof place, "%zu", i);
            visit(c, path, place, v, item);
        }
    }
}

void hf_keys_check(nib_runtime *runtime, const char *file, const char *kind, yyjson_val *root) {
    for (size_t i = 0; i < BASE_COUNT(kinds); i++) {
        if (strcmp(kinds[i].kind, kind) != 0) continue;
        check c = {.runtime = runtime, .file = file, .lists = kinds[i].lists};
        walk(&c, "", root);
        if (c.warned > MOST_WARNINGS) base_log(runtime, NIB_LOG_WARN, "%s: more keys are not applied", file);
    }
}
