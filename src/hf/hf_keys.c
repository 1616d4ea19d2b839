/* SPDX-License-Identifier: Apache-2.0
 *
 * In: a small file's JSON. Out: a warning for each key that is not applied. The tables are what nib knows; a key of a later version of
 * transformers or sentence-transformers is unknown here, and said, until somebody looks at what it does.
 */
#include "hf_keys.h"
#include "hf_stack.h"
#include <string.h>

#define OBEYED(path) BASE_KEY_OBEYED(path)
#define HARMLESS(path, values, why) BASE_KEY_HARMLESS(path, values, why)
#define END BASE_KEYS_END

static const base_key tokenizer_keys[] = {
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
    OBEYED("model_input_names"),
    HARMLESS("split_special_tokens", "false|null", "special tokens are found in texts"),
    HARMLESS("add_bos_token", "*", "not read where there is a tokenizer.json"),
    HARMLESS("add_eos_token", "*", "not read where there is a tokenizer.json"),
    HARMLESS("add_prefix_space", "*", "obeyed where the class builds a ByteLevel of it"),
    HARMLESS("trim_offsets", "*", "of spans in the text, not of ids"),
    HARMLESS("clean_text", "*", "BertTokenizer cleans always, and tokenizer.json decides for others"),
    HARMLESS("wordpieces_prefix", "*", "it is always ##"),
    OBEYED("clean_up_tokenization_spaces"),
    HARMLESS("spaces_between_special_tokens", "*", "of decoding"),
    HARMLESS("errors", "*", "of decoding"),
    OBEYED("chat_template"),
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

/* Where there is no tokenizer.json, the arguments of the classes that hf_classes.c builds. */
static const base_key built_keys[] = {
    OBEYED("add_bos_token"),
    OBEYED("add_eos_token"),
    OBEYED("add_prefix_space"),
    OBEYED("keep_accents"),
    OBEYED("split_by_punct"),
    OBEYED("extra_ids"),
    OBEYED("legacy"),
    OBEYED("src_lang"),
    HARMLESS("tgt_lang", "*", "of texts to be generated"),
    HARMLESS("remove_space", "*", "transformers does not read it"),
    HARMLESS("unk_id", "*", "the SentencePiece model says it"),
    HARMLESS("use_default_system_prompt", "*", "of conversations"),
    END,
};

static const base_key special_keys[] = {
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

static const base_key sentence_keys[] = {
    OBEYED("max_seq_length"),
    OBEYED("do_lower_case"),
    HARMLESS("transformer_task",
             "\"feature-extraction\"|\"fill-mask\"|\"sequence-classification\"|\"text-generation\"|null",
             "the task takes the output that it needs"),
    HARMLESS("modality_config", "null", "as if it were not there"),
    HARMLESS("modality_config.text.method", "\"forward\"", "rows of the last layer are what is pooled"),
    HARMLESS("modality_config.text.method_output_name", "\"last_hidden_state\"|\"logits\"",
             "the task takes the output that it needs"),
    OBEYED("modality_config.message"),
    OBEYED("modality_config.message.format"),
    HARMLESS("modality_config.message.method", "\"forward\"", "the task takes the output that it needs"),
    HARMLESS("modality_config.message.method_output_name", "\"logits\"", "the task takes the output that it needs"),
    HARMLESS("module_output_name", "\"token_embeddings\"|\"causal_logits\"|\"scores\"|null",
             "the task takes the output that it needs"),
    OBEYED("processing_kwargs.chat_template"),
    OBEYED("processing_kwargs.text"),
    OBEYED("processing_kwargs.common"),
    HARMLESS("processing_kwargs.audio", "*", "texts alone are read"),
    HARMLESS("processing_kwargs.image", "*", "texts alone are read"),
    HARMLESS("processing_kwargs.video", "*", "texts alone are read"),
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

/* Arguments of the tokenizer in processing_kwargs, which sentence-transformers puts in the place of its own. */
static const base_key text_argument_keys[] = {
    OBEYED("max_length"),
    HARMLESS("truncation", "true|\"longest_first\"", "texts are cut so"),
    HARMLESS("add_special_tokens", "true", "they are added"),
    HARMLESS("padding", "*", "padding is computed by nobody"),
    HARMLESS("padding_side", "*", "padding is computed by nobody"),
    HARMLESS("pad_to_multiple_of", "*", "padding is computed by nobody"),
    HARMLESS("stride", "0", "it is the default"),
    HARMLESS("is_split_into_words", "false", "it is the default"),
    HARMLESS("logits_to_keep", "*", "the scores of the last token are read"),
    HARMLESS("return_tensors", "*", "what Python gets"),
    HARMLESS("return_attention_mask", "true|null", "it is made"),
    HARMLESS("return_length", "*", "what Python gets"),
    HARMLESS("return_offsets_mapping", "*", "what Python gets"),
    HARMLESS("return_special_tokens_mask", "*", "what Python gets"),
    HARMLESS("verbose", "*", "what Python prints"),
    END,
};

static const base_key common_argument_keys[] = {
    HARMLESS("return_tensors", "*", "what Python gets"),
    END,
};

static const base_key modules_keys[] = {
    OBEYED("*.type"),
    OBEYED("*.path"),
    HARMLESS("*.idx", "*", "modules run in the order in which they stand"),
    HARMLESS("*.name", "*", "a name"),
    HARMLESS("*.kwargs", "[]|null", "no argument goes to the module"),
    END,
};

static const base_key router_keys[] = {
    OBEYED("types"),
    OBEYED("structure"),
    OBEYED("parameters.default_route"),
    OBEYED("parameters.allow_empty_key"),
    OBEYED("parameters.route_mappings"),
    END,
};

static const base_key model2vec_keys[] = {
    OBEYED("model_type"),
    OBEYED("normalize"),
    OBEYED("max_length"),
    HARMLESS("architectures", "*", "a name"),
    HARMLESS("tokenizer_name", "*", "a name"),
    HARMLESS("language", "*", "a name"),
    HARMLESS("apply_pca", "*", "how the table was made"),
    HARMLESS("apply_zipf", "*", "how the table was made"),
    HARMLESS("sif_coefficient", "*", "how the table was made"),
    HARMLESS("pooling", "*", "how the table was made"),
    HARMLESS("hidden_dim", "*", "the rows have the width they have"),
    HARMLESS("seq_length", "*", "max_length is the limit"),
    HARMLESS("embedding_dtype", "*", "the table has the type it has"),
    HARMLESS("vocabulary_quantization", "*", "the tensor `mapping` says it"),
    HARMLESS("head_config", "null", "there is no head"),
    HARMLESS("transformers_version", "*", "who wrote the file"),
    HARMLESS("torch_dtype", "*", "the table has the type it has"),
    HARMLESS("dtype", "*", "the table has the type it has"),
    END,
};

static const base_key pooling_keys[] = {
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

static const base_key normalize_keys[] = {
    OBEYED("module_input_name"),
    OBEYED("module_output_name"),
    END,
};

static const base_key dense_keys[] = {
    OBEYED("in_features"),
    OBEYED("out_features"),
    OBEYED("bias"),
    OBEYED("activation_function"),
    OBEYED("use_residual"),
    OBEYED("module_input_name"),
    OBEYED("module_output_name"),
    END,
};

static const base_key layer_norm_keys[] = {
    OBEYED("dimension"),
    END,
};

static const base_key dropout_keys[] = {
    HARMLESS("dropout", "*", "only in training"),
    END,
};

static const base_key splade_keys[] = {
    OBEYED("pooling_strategy"),
    OBEYED("activation_function"),
    HARMLESS("embedding_dimension", "*", "the rows have the width they have"),
    HARMLESS("word_embedding_dimension", "*", "the rows have the width they have"),
    HARMLESS("chunk_size", "*", "how much memory training takes"),
    END,
};

static const base_key sparse_static_keys[] = {
    HARMLESS("frozen", "*", "only in training"),
    HARMLESS("path", "null", "weights are in model.safetensors"),
    END,
};

static const base_key logit_score_keys[] = {
    OBEYED("true_token_id"),
    OBEYED("false_token_id"),
    OBEYED("module_input_name"),
    END,
};

static const base_key score_mask_keys[] = {
    OBEYED("skiplist_words"),
    OBEYED("skiplist_tasks"),
    OBEYED("keep_only_token_ids"),
    END,
};

static const base_key folder_keys[] = {
    OBEYED("max_active_dims"),
    OBEYED("prompts"),
    OBEYED("default_prompt_name"),
    OBEYED("truncate_dim"),
    HARMLESS("__version__", "*", "who wrote the file"),
    OBEYED("similarity_fn_name"),
    OBEYED("activation_fn"),
    OBEYED("query_prefix"),
    OBEYED("document_prefix"),
    OBEYED("query_length"),
    OBEYED("document_length"),
    OBEYED("do_query_expansion"),
    OBEYED("attend_to_expansion_tokens"),
    OBEYED("skiplist_words"),
    HARMLESS("model_type", "\"SentenceTransformer\"|\"CrossEncoder\"|\"ColBERT\"|\"SparseEncoder\"|\"MultiVectorEncoder\"|null",
             "modules.json says what the model gives"),
    END,
};

static const struct {
    const char *kind;
    const base_key *lists[3];
} kinds[] = {
    {"tokenizer_config.json", {tokenizer_keys, NULL}},
    {"tokenizer_config.json without tokenizer.json", {built_keys, tokenizer_keys, NULL}},
    {"special_tokens_map.json", {special_keys, NULL}},
    {"sentence_bert_config.json", {sentence_keys, NULL}},
    {"modules.json", {modules_keys, NULL}},
    {"Router", {router_keys, NULL}},
    {"model2vec", {model2vec_keys, NULL}},
    {"Pooling", {pooling_keys, NULL}},
    {"Dense", {dense_keys, NULL}},
    {"LayerNorm", {layer_norm_keys, NULL}},
    {"Normalize", {normalize_keys, NULL}},
    {"Dropout", {dropout_keys, NULL}},
    {"SpladePooling", {splade_keys, NULL}},
    {"SparseStaticEmbedding", {sparse_static_keys, NULL}},
    {"LogitScore", {logit_score_keys, NULL}},
    {"MultiVectorMask", {score_mask_keys, NULL}},
    {"config_sentence_transformers.json", {folder_keys, NULL}},
};

void hf_keys_check(nib_runtime *runtime, const char *file, const char *kind, yyjson_val *root) {
    const hf_family *family = hf_find_family(kind);
    if (family) hf_family_check_keys(runtime, file, family, root);
    for (size_t i = 0; i < BASE_COUNT(kinds); i++)
        if (strcmp(kinds[i].kind, kind) == 0) base_keys_check(runtime, file, kinds[i].lists, root);
}

nib_status hf_keys_check_arguments(const char *file, yyjson_val *root, nib_error *err) {
    static const struct {
        const char *name;
        const base_key *lists[2];
    } parts[] = {{"text", {text_argument_keys, NULL}}, {"common", {common_argument_keys, NULL}}};
    char odd[300];
    for (size_t i = 0; i < BASE_COUNT(parts); i++) {
        yyjson_val *said = yyjson_obj_get(yyjson_obj_get(root, "processing_kwargs"), parts[i].name);
        if (!said || yyjson_is_null(said) || !base_keys_first_unknown(parts[i].lists, said, odd, sizeof odd)) continue;
        return base_error_set(err, NIB_UNSUPPORTED, "%s: processing_kwargs.%s: %s, which nib does not apply", file,
                              parts[i].name, odd);
    }
    return NIB_OK;
}
