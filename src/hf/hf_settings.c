/* SPDX-License-Identifier: Apache-2.0
 *
 * In: the small files of a model's folder. Out: how the model is meant to be used, and which file said so.
 */
#include "hf_json.h"
#include "hf_keys.h"
#include "hf_stack.h"
#include <stdio.h>
#include <string.h>

/* ---------------------------------------------------------------- lengths and sizes */

/* Some tokenizers say 1e30 for "no limit"; what no model has is no answer. */
#define ABSURD_LENGTH 100000000

static void note_length(hf_settings *s, const char *file, double length) {
    if (s->max_tokens > 0 || !(length >= 1 && length <= ABSURD_LENGTH)) return;
    s->max_tokens = (int64_t)length;
    snprintf(s->max_tokens_from, sizeof(s->max_tokens_from), "%s", file);
}

/* The first of these that says anything is the one that counts, in sentence-transformers' order. */
static const char *const sentence_files[] = {
    "sentence_bert_config.json",   "sentence_roberta_config.json",     "sentence_distilbert_config.json", "sentence_camembert_config.json",
    "sentence_albert_config.json", "sentence_xlm-roberta_config.json", "sentence_xlnet_config.json",
};

static nib_status read_lengths(nib_runtime *runtime, const char *dir, hf_settings *s, nib_error *err) {
    nib_status status = NIB_OK;
    yyjson_doc *doc = NULL;
    yyjson_val *root;
    bool found = false;
    for (size_t i = 0; i < BASE_COUNT(sentence_files) && !found; i++) {
        NIB_TRY(hf_json_open(runtime, dir, sentence_files[i], false, &doc, err));
        root = yyjson_doc_get_root(doc);
        found = yyjson_obj_size(root) > 0;
        if (found) hf_keys_check(runtime, sentence_files[i], "sentence_bert_config.json", root);
        if (found) note_length(s, sentence_files[i], hf_json_real(root, "max_seq_length", 0));
        if (found) s->lower_case = hf_json_bool(root, "do_lower_case", false);
        base_json_free(&runtime->heap, doc);
        doc = NULL;
    }
    NIB_TRY(hf_json_open(runtime, dir, "tokenizer_config.json", false, &doc, err));
    root = yyjson_doc_get_root(doc);
    const char *key = yyjson_obj_get(root, "model_max_length") ? "model_max_length" : "max_len";
    note_length(s, "tokenizer_config.json", hf_json_real(root, key, 0));
fail:
    base_json_free(&runtime->heap, doc);
    return status;
}

/* The first of these names that is there: families call the same thing differently. */
static int64_t first_size(yyjson_val *root, const char *const *keys) {
    for (; *keys; keys++) {
        int64_t value = hf_json_int(root, *keys, 0);
        if (value > 0) return value;
    }
    return 0;
}

/* The longest text that the model has positions for, 0 if any or unknown: of a family that is known its description says so (RoBERTa's
 * table has two rows more than a text may have tokens), of others the number of positions. */
static int64_t longest_text(yyjson_val *root) {
    static const char *const positions[] = {"max_position_embeddings", "n_positions", NULL};
    hf_builder b = {.root = root, .config = hf_text_config(root)};
    const hf_family *family = hf_find_family(hf_json_string(b.config, "model_type", ""));
    hf_stack stack;
    if (family) hf_stack_read(&b, family, &stack);
    return family && b.status == NIB_OK ? hf_stack_longest(&stack) : first_size(b.config, positions);
}

static nib_status read_config(nib_runtime *runtime, const char *dir, hf_settings *s, nib_error *err) {
    static const char *const hidden[] = {"hidden_size", "dim", "d_model", "n_embd", NULL};
    static const char *const layers[] = {"num_hidden_layers", "n_layers", "num_layers", "n_layer", NULL};
    nib_status status = NIB_OK;
    yyjson_doc *doc = NULL;
    NIB_TRY(hf_json_open(runtime, dir, "config.json", false, &doc, err));
    if (!doc) return NIB_OK;
    yyjson_val *root = yyjson_doc_get_root(doc), *text = hf_text_config(root);
    s->hidden = first_size(text, hidden);
    s->layers = first_size(text, layers);
    s->positions = longest_text(root);
    snprintf(s->model_type, sizeof(s->model_type), "%s", hf_json_string(root, "model_type", ""));
    const char *architecture = yyjson_get_str(yyjson_arr_get(yyjson_obj_get(root, "architectures"), 0));
    snprintf(s->architecture, sizeof(s->architecture), "%s", architecture ? architecture : "");
    snprintf(s->tokenizer_class, sizeof(s->tokenizer_class), "%s", hf_json_string(root, "tokenizer_class", ""));
    note_length(s, "config.json", (double)s->positions);
fail:
    base_json_free(&runtime->heap, doc);
    return status;
}

nib_status hf_settings_load(nib_runtime *runtime, const char *dir, hf_settings *out, nib_error *err) {
    nib_status status = NIB_OK;
    memset(out, 0, sizeof(*out));
    out->default_prompt = -1;
    out->tokenizer.strip_accents = out->tokenizer.truncation_left = -1;
    if (!dir) return NIB_OK;
    NIB_TRY(hf_modules_load(runtime, dir, out, err));
    NIB_TRY(read_lengths(runtime, dir, out, err));
    NIB_TRY(read_config(runtime, dir, out, err));
    NIB_TRY(hf_tokenizer_load(runtime, dir, out, err));
    NIB_TRY(hf_prompts_load(runtime, dir, out, err));
    return NIB_OK;
fail:
    hf_settings_free(&runtime->heap, out);
    return status;
}
