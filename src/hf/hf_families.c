/* SPDX-License-Identifier: Apache-2.0
 *
 * The families of models that nib builds from a folder, and the keys of config.json that any of them may have. A new
 * one is a row in a file of its own, or beside its kin, and a word in HF_FAMILIES.
 */
#include "hf_keys.h"
#include "hf_stack.h"
#include <stdio.h>
#include <string.h>

#define ROW(word) &hf_family_##word,
const hf_family *const hf_families[] = {HF_FAMILIES(ROW) NULL};
#undef ROW

/* Whether `text` is one of those that have '|' between them. */
static bool is_one_of(const char *names, const char *text, bool begins) {
    for (const char *at = names; *at; at += strcspn(at, "|"), at += *at == '|') {
        size_t n = strcspn(at, "|");
        if (strncmp(at, text, n) == 0 && (begins || strlen(text) == n)) return true;
    }
    return false;
}

const hf_family *hf_find_family(const char *model_type) {
    for (const hf_family *const *f = hf_families; *f; f++)
        if (is_one_of((*f)->types, model_type, false)) return *f;
    return NULL;
}

bool hf_is_class_of(const hf_family *f, const char *architecture) { return is_one_of(f->classes, architecture, true); }

yyjson_val *hf_text_config(yyjson_val *config) {
    const char *own = yyjson_get_str(yyjson_obj_get(config, "model_type"));
    yyjson_val *text = yyjson_obj_get(config, "text_config");
    const char *type = yyjson_get_str(yyjson_obj_get(text, "model_type"));
    return !(own && hf_find_family(own)) && type && hf_find_family(type) ? text : config;
}

#define OBEYED(path) BASE_KEY_OBEYED(path)
#define HARMLESS(path, values, why) BASE_KEY_HARMLESS(path, values, why)
#define END BASE_KEYS_END

#define DTYPES "\"float32\"|\"float16\"|\"bfloat16\"|\"auto\"|null"

/* config.json, of every family */
const base_key hf_common_keys[] = {
    OBEYED("model_type"),
    OBEYED("tokenizer_class"),
    OBEYED("architectures"),
    OBEYED("matryoshka_dimensions"),
    OBEYED("matryoshka_dims"),
    OBEYED("is_matryoshka"),
    HARMLESS("_name_or_path", "*", "a name"),
    HARMLESS("name_or_path", "*", "a name"),
    HARMLESS("_commit_hash", "*", "a name"),
    HARMLESS("transformers_version", "*", "who wrote the file"),
    HARMLESS("auto_map", "*", "code of the folder's own is never run; model_type says what is computed"),
    HARMLESS("torch_dtype", DTYPES, "sums are f32; hf_load.c says where transformers would round the weights first"),
    HARMLESS("dtype", DTYPES, "sums are f32; hf_load.c says where transformers would round the weights first"),
    HARMLESS("use_bfloat16", "*", "of TensorFlow on TPUs"),
    HARMLESS("attention_probs_dropout_prob", "*", "only in training"),
    HARMLESS("hidden_dropout_prob", "*", "only in training"),
    HARMLESS("attention_dropout", "*", "only in training"),
    HARMLESS("embedding_dropout", "*", "only in training"),
    HARMLESS("mlp_dropout", "*", "only in training"),
    HARMLESS("dropout", "*", "only in training"),
    HARMLESS("initializer_range", "*", "only in training"),
    HARMLESS("initializer_cutoff_factor", "*", "only in training"),
    HARMLESS("gradient_checkpointing", "*", "only in training"),
    HARMLESS("classifier_dropout", "*", "a head's weights say how many labels it has"),
    HARMLESS("tie_word_embeddings", "*", "a head takes the weight of its own that the file has, else the table of words"),
    HARMLESS("id2label", "*", "a head's weights say how many labels it has"),
    HARMLESS("label2id", "*", "a head's weights say how many labels it has"),
    HARMLESS("num_labels", "*", "a head's weights say how many labels it has"),
    HARMLESS("problem_type", "*", "a head's weights say how many labels it has"),
    HARMLESS("finetuning_task", "*", "a head's weights say how many labels it has"),
    HARMLESS("task_specific_params", "*", "a head's weights say how many labels it has"),
    HARMLESS("sentence_transformers", "*", "of cross encoders' heads"),
    HARMLESS("pad_token_id", "*", "padding is computed by nobody"),
    HARMLESS("bos_token_id", "*", "the tokenizer's template says which tokens are put around a text"),
    HARMLESS("eos_token_id", "*", "the tokenizer's template says which tokens are put around a text"),
    HARMLESS("cls_token_id", "*", "the tokenizer's template says which tokens are put around a text"),
    HARMLESS("sep_token_id", "*", "the tokenizer's template says which tokens are put around a text"),
    HARMLESS("mask_token_id", "*", "the tokenizer's template says which tokens are put around a text"),
    HARMLESS("unk_token_id", "*", "the tokenizer says which token stands for unknown words"),
    HARMLESS("use_cache", "*", "an encoder has no cache"),
    HARMLESS("is_encoder_decoder", "false|null", "of two stacks the encoder is used, by families that have both"),
    HARMLESS("is_causal", "false|null", "a family has its own key for that"),
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

/* What hf_read_rotary obeys. */
#define ROTARY(at)                                                                                                     \
    OBEYED(at ".rope_theta"), OBEYED(at ".rope_type"), OBEYED(at ".type"), OBEYED(at ".factor"),                       \
        OBEYED(at ".original_max_position_embeddings"), OBEYED(at ".low_freq_factor"), OBEYED(at ".high_freq_factor"), \
        OBEYED(at ".attention_factor"), OBEYED(at ".beta_fast"), OBEYED(at ".beta_slow"), OBEYED(at ".mscale"),        \
        OBEYED(at ".mscale_all_dim"), OBEYED(at ".truncate"), OBEYED(at ".mixed_b"), OBEYED(at ".short_factor"),                   \
        OBEYED(at ".long_factor")
const base_key hf_rotary_keys[] = {
    HARMLESS("rope_parameters", "null", "as if it were not there"),
    HARMLESS("rope_scaling", "null", "as if it were not there"),
    OBEYED("original_max_position_embeddings"),
    OBEYED("rope_parameters.partial_rotary_factor"),
    OBEYED("rope_parameters.full_attention.partial_rotary_factor"),
    OBEYED("rope_parameters.sliding_attention.partial_rotary_factor"),
    ROTARY("rope_parameters"),
    ROTARY("rope_parameters.full_attention"),
    ROTARY("rope_parameters.sliding_attention"),
    ROTARY("rope_scaling"),
    END,
};

/* ---------------------------------------------------------------- keys that are not obeyed */

#define MOST_KEYS 64

void hf_family_check_keys(nib_runtime *runtime, const char *file, const hf_family *f, yyjson_val *config) {
    base_key read[MOST_KEYS + 1] = {END};
    char names[MOST_KEYS][64];
    const base_key *lists[BASE_COUNT(f->known) + 3] = {read};
    size_t count = 0, list = 1;
    for (const hf_key *const *keys = f->keys; *keys; keys++)
        for (const hf_key *k = *keys; k->names; k++)
            for (const char *at = k->names; *at && count < MOST_KEYS; at += strcspn(at, "|"), at += *at == '|') {
                snprintf(names[count], sizeof names[count], "%.*s", (int)strcspn(at, "|"), at);
                read[count] = (base_key)OBEYED(names[count]);
                read[++count] = (base_key)END;
            }
    for (const base_key *const *known = f->known; *known; known++) lists[list++] = *known;
    lists[list] = hf_common_keys;
    base_keys_check(runtime, file, lists, config);
}
