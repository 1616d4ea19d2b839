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
#define SENTENCE_FILES                                                                                                 \
    "sentence_bert_config.json", "sentence_roberta_config.json", "sentence_distilbert_config.json",                   \
        "sentence_camembert_config.json", "sentence_albert_config.json", "sentence_xlm-roberta_config.json",           \
        "sentence_xlnet_config.json"
static const char *const sentence_files[] = {SENTENCE_FILES};

const char *const hf_small_files[] = {
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "spiece.model",
    "spm.model",
    "sentencepiece.model",
    "tokenizer.model",
    "sentencepiece.bpe.model",
    "modules.json",
    "generation_config.json",
    "chat_template.jinja",
    SENTENCE_FILES,
    "config_sentence_transformers.json",
    "onnx_config.json",
    "artifact.metadata",
    "sparse_linear.pt",
    "colbert_linear.pt",
    NULL,
};

/* What processing_kwargs says of the tokenizer; its max_length stands in for every other limit. */
static nib_status read_arguments(hf_settings *s, const char *file, yyjson_val *root, nib_error *err) {
    nib_status status = hf_keys_check_arguments(file, root, err);
    yyjson_val *most = yyjson_obj_get(yyjson_obj_get(yyjson_obj_get(root, "processing_kwargs"), "text"), "max_length");
    if (status != NIB_OK || !most || yyjson_is_null(most)) return status;
    if (!yyjson_is_int(most) || yyjson_get_sint(most) < 1)
        return base_error_set(err, NIB_BAD_MODEL, "%s: processing_kwargs.text: max_length is no number of tokens", file);
    if (s->colbert.there)
        return base_error_set(err, NIB_UNSUPPORTED,
                              "%s: processing_kwargs.text: max_length of a model for late interaction, which nib does not apply", file);
    note_length(s, file, yyjson_get_num(most));
    return NIB_OK;
}

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
        if (found) NIB_TRY(read_arguments(s, sentence_files[i], root, err));
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

/* Widths that vectors were trained to be cut to, as jina-embeddings-v3 and -v4 and vLLM name them. */
static void read_matryoshka(yyjson_val *root, hf_settings *s) {
    static const char *const lists[] = {"matryoshka_dimensions", "matryoshka_dims"};
    char *to = s->matryoshka;
    size_t i, n, at = 0;
    yyjson_val *v;
    if (yyjson_get_bool(yyjson_obj_get(root, "is_matryoshka"))) at = (size_t)snprintf(to, sizeof s->matryoshka, "*");
    for (size_t k = 0; k < BASE_COUNT(lists); k++) {
        yyjson_val *list = yyjson_obj_get(root, lists[k]);
        if (yyjson_is_arr(list) && yyjson_arr_size(list)) at = 0;
        yyjson_arr_foreach(list, i, n, v)
            if (yyjson_is_int(v) && yyjson_get_sint(v) > 0 && yyjson_get_sint(v) <= INT32_MAX && at + 12 < sizeof s->matryoshka)
                at += (size_t)snprintf(to + at, sizeof s->matryoshka - at, "%s%d", at ? "," : "", (int)yyjson_get_sint(v));
    }
}

bool hf_settings_cuts_to(const hf_settings *s, int64_t dimensions) {
    char wanted[32], list[sizeof s->matryoshka + 2];
    snprintf(wanted, sizeof wanted, ",%lld,", (long long)dimensions);
    snprintf(list, sizeof list, ",%s,", s->matryoshka);
    return s->matryoshka[0] == '*' || strstr(list, wanted);
}

static nib_status read_config(nib_runtime *runtime, const char *dir, hf_settings *s, nib_error *err) {
    static const char *const hidden[] = {"hidden_size", "dim", "d_model", "n_embd", NULL};
    static const char *const layers[] = {"num_hidden_layers", "encoder_layers", "n_layers",
                                         "num_layers",        "n_layer",        NULL};
    nib_status status = NIB_OK;
    yyjson_doc *doc = NULL;
    NIB_TRY(hf_json_open(runtime, dir, "config.json", false, &doc, err));
    if (!doc) return NIB_OK;
    yyjson_val *root = yyjson_doc_get_root(doc), *text = hf_text_config(root);
    s->hidden = first_size(text, hidden);
    s->layers = first_size(text, layers);
    s->positions = longest_text(root);
    read_matryoshka(root, s);
    snprintf(s->model_type, sizeof(s->model_type), "%s", hf_json_string(root, "model_type", ""));
    yyjson_val *cap = yyjson_obj_get(text, "final_logit_softcapping");
    s->judge.capped = cap ? !yyjson_is_null(cap) : strcmp(s->model_type, "gemma2") == 0;
    yyjson_val *tied = yyjson_obj_get(root, "tie_word_embeddings");
    s->judge.untied = yyjson_is_false(tied ? tied : yyjson_obj_get(text, "tie_word_embeddings"));
    const char *architecture = yyjson_get_str(yyjson_arr_get(yyjson_obj_get(root, "architectures"), 0));
    snprintf(s->architecture, sizeof(s->architecture), "%s", architecture ? architecture : "");
    snprintf(s->tokenizer_class, sizeof(s->tokenizer_class), "%s", hf_json_string(root, "tokenizer_class", ""));
    note_length(s, "config.json", (double)s->positions);
fail:
    base_json_free(&runtime->heap, doc);
    return status;
}

/* Of transformers and its tokenizers: what stands in the folder of the module that reads texts. */
static nib_status read_stack(nib_runtime *runtime, const char *dir, hf_settings *s, nib_error *err) {
    nib_status status = NIB_OK;
    NIB_TRY(read_lengths(runtime, dir, s, err));
    NIB_TRY(read_config(runtime, dir, s, err));
    NIB_TRY(hf_tokenizer_load(runtime, dir, s, err));
fail:
    return status;
}

#define MODEL2VEC_LENGTH 512 /* tokens, where config.json says nothing; null says that there is no limit */

/* A StaticEmbedding reads tokenizer.json alone, and Model2Vec its config.json, too. */
static nib_status read_static(nib_runtime *runtime, const char *dir, const hf_list *list, hf_settings *s, nib_error *err) {
    nib_status status = NIB_OK;
    yyjson_doc *doc = NULL;
    s->tokenizer.bare = true;
    s->tokenizer.no_unknown = list->model2vec;
    s->any_length = true;
    snprintf(s->model_type, sizeof s->model_type, "%s", list->model2vec ? "model2vec" : list->items[0].type);
    if (list->is_sparse) { /* which takes the tokenizer as transformers opens it */
        NIB_TRY(read_lengths(runtime, dir, s, err));
        NIB_TRY(hf_tokenizer_load(runtime, dir, s, err));
    }
    if (!list->model2vec) return NIB_OK;
    NIB_TRY(hf_json_open(runtime, dir, "config.json", false, &doc, err));
    yyjson_val *root = yyjson_doc_get_root(doc), *most = yyjson_obj_get(root, "max_length");
    hf_keys_check(runtime, "config.json", "model2vec", root);
    if (most && !yyjson_is_null(most) && !(yyjson_is_int(most) && yyjson_get_sint(most) >= 1 && yyjson_get_sint(most) <= ABSURD_LENGTH))
        NIB_FAIL(err, NIB_BAD_MODEL, "config.json: max_length is no number of tokens");
    if (!yyjson_is_null(most)) note_length(s, "config.json", most ? yyjson_get_num(most) : MODEL2VEC_LENGTH);
fail:
    base_json_free(&runtime->heap, doc);
    return status;
}

/* Where a role has a length of its own, that is how long its texts are, whatever sentence_bert_config.json says. */
static int64_t longest_role(const hf_colbert *c) {
    int64_t most = c->expand;
    for (int i = 0; i < HF_ROLES; i++)
        if (c->lengths[i] > most) most = c->lengths[i];
    return c->lengths[HF_DOCUMENT] ? most : 0;
}

nib_status hf_settings_load(nib_runtime *runtime, const char *dir, const char *route, hf_settings *out, nib_error *err) {
    nib_status status = NIB_OK;
    hf_list list;
    char *input = NULL;
    memset(out, 0, sizeof(*out));
    out->default_prompt = out->judge.yes = out->judge.no = -1;
    out->tokenizer.strip_accents = out->tokenizer.truncation_left = -1;
    if (!dir) return NIB_OK;
    NIB_TRY(hf_list_load(runtime, dir, route, true, &list, err));
    memcpy(out->route, list.route, sizeof out->route);
    memcpy(out->routes, list.routes, sizeof out->routes);
    snprintf(out->input, sizeof out->input, "%s", hf_list_input(&list));
    input = hf_folder(runtime, dir, out->input);
    if (!input) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for a path");
    NIB_TRY(hf_colbert_load(runtime, dir, input, &list, &out->colbert, err));
    note_length(out, "late interaction", (double)longest_role(&out->colbert));
    NIB_TRY(hf_modules_load(runtime, dir, &list, out, err));
    if (list.is_static) NIB_TRY(read_static(runtime, input, &list, out, err));
    else NIB_TRY(read_stack(runtime, input, out, err));
    if (!list.is_static) NIB_TRY(hf_judge_load(runtime, input, &list, out, err));
    hf_modules_project(out);
    NIB_TRY(hf_prompts_load(runtime, dir, out, err));
    base_free(&runtime->heap, input);
    return NIB_OK;
fail:
    base_free(&runtime->heap, input);
    hf_settings_free(&runtime->heap, out);
    return status;
}
