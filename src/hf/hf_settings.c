/* SPDX-License-Identifier: Apache-2.0
 *
 * In: the small files of a model's folder. Out: how the model is meant to be used, and which file said so.
 *
 * sentence-transformers lists its modules in modules.json, in the order in which they run: a Transformer, a Pooling,
 * perhaps a Normalize and others. Older versions name their classes "sentence_transformers.models.Pooling", newer ones
 * "sentence_transformers.sentence_transformer.modules.pooling.Pooling": the last word decides.
 */
#include "hf_json.h"
#include "hf_keys.h"
#include "hf_stack.h"
#include <stdio.h>
#include <string.h>

static const struct {
    const char *flag, *name;
    nib_pooling pooling;
} poolings[] = {
    {"pooling_mode_cls_token", "cls", NIB_POOLING_CLS},
    {"pooling_mode_mean_tokens", "mean", NIB_POOLING_MEAN},
    {"pooling_mode_max_tokens", "max", NIB_POOLING_MAX},
    {"pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len_tokens", NIB_POOLING_MEAN_SQRT_LEN},
    {"pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len", NIB_POOLING_MEAN_SQRT_LEN},
    {"pooling_mode_weightedmean_tokens", "weightedmean", NIB_POOLING_WEIGHTED_MEAN},
    {"pooling_mode_lasttoken", "lasttoken", NIB_POOLING_LAST},
};

static void refuse(hf_settings *s, const char *where, const char *what) {
    if (!s->unsupported[0]) snprintf(s->unsupported, sizeof(s->unsupported), "%.70s%s%.80s", where, where[0] ? ": " : "", what);
}

/* ---------------------------------------------------------------- pooling */

static void note_pooling(hf_settings *s, const char *file, nib_pooling pooling) {
    if (s->pooling != NIB_POOLING_MODEL && s->pooling != pooling) refuse(s, file, "several pooling modes at once");
    s->pooling = pooling;
    snprintf(s->pooling_from, sizeof(s->pooling_from), "%s", file);
}

static nib_status note_pooling_name(hf_settings *s, const char *file, yyjson_val *name, nib_error *err) {
    if (!yyjson_is_str(name)) return base_error_set(err, NIB_BAD_MODEL, "%s: pooling_mode is no name", file);
    for (size_t i = 0; i < BASE_COUNT(poolings); i++) {
        if (strcmp(poolings[i].name, yyjson_get_str(name)) != 0) continue;
        note_pooling(s, file, poolings[i].pooling);
        return NIB_OK;
    }
    char text[96];
    snprintf(text, sizeof(text), "pooling '%.60s'", yyjson_get_str(name));
    refuse(s, file, text);
    return NIB_OK;
}

/* Both schemas: a boolean for each mode, or "pooling_mode": "mean" or ["mean", ...]. */
static nib_status read_pooling(nib_runtime *runtime, const char *dir, const char *module, hf_settings *s, nib_error *err) {
    nib_status status = NIB_OK;
    yyjson_doc *doc = NULL;
    char file[96];
    snprintf(file, sizeof(file), "%s%sconfig.json", module, module[0] ? "/" : "");
    NIB_TRY(hf_json_open(runtime, dir, file, false, &doc, err));
    if (!doc && s->has_modules) refuse(s, file, "modules.json lists it, and it is missing");
    if (!doc) return NIB_OK;
    yyjson_val *root = yyjson_doc_get_root(doc), *mode = yyjson_obj_get(root, "pooling_mode"), *v;
    hf_keys_check(runtime, file, "Pooling", root);
    if ((v = yyjson_obj_get(root, "include_prompt")) != NULL && !yyjson_is_bool(v))
        NIB_FAIL(err, NIB_BAD_MODEL, "%s: include_prompt is neither true nor false", file);
    s->excludes_prompt = v && !yyjson_get_bool(v);
    if (yyjson_is_arr(mode)) {
        size_t i, n;
        yyjson_arr_foreach(mode, i, n, v) NIB_TRY(note_pooling_name(s, file, v, err));
    } else if (mode) {
        NIB_TRY(note_pooling_name(s, file, mode, err));
    } else {
        for (size_t i = 0; i < BASE_COUNT(poolings); i++) {
            v = yyjson_obj_get(root, poolings[i].flag);
            if (v && !yyjson_is_bool(v)) NIB_FAIL(err, NIB_BAD_MODEL, "%s: %s is neither true nor false", file, poolings[i].flag);
            if (yyjson_is_true(v)) note_pooling(s, file, poolings[i].pooling);
        }
    }
    if (s->pooling == NIB_POOLING_MODEL && !s->unsupported[0])
        note_pooling(s, file, NIB_POOLING_MEAN); /* none is named: as sentence-transformers */
fail:
    base_json_free(&runtime->heap, doc);
    return status;
}

/* ---------------------------------------------------------------- modules */

static const char *last_word(const char *type) {
    const char *dot = strrchr(type, '.');
    return dot ? dot + 1 : type;
}

/* A folder beside modules.json: one plain name. "" is the model's own. */
static bool is_plain_name(const char *path) {
    return strlen(path) < 64 && !strchr(path, '/') && !strchr(path, '\\') && strcmp(path, "..") != 0;
}

/* Of a module that has nothing to be said but perhaps says something. */
static nib_status check_module(nib_runtime *runtime, const char *dir, const char *module, const char *kind, nib_error *err) {
    yyjson_doc *doc = NULL;
    char file[96];
    if (!module[0]) return NIB_OK; /* its config.json would be the model's */
    snprintf(file, sizeof(file), "%s/config.json", module);
    nib_status status = hf_json_open(runtime, dir, file, false, &doc, err);
    if (doc) hf_keys_check(runtime, file, kind, yyjson_doc_get_root(doc));
    base_json_free(&runtime->heap, doc);
    return status;
}

static nib_status read_module(nib_runtime *runtime, const char *dir, yyjson_val *module, hf_settings *s, nib_error *err) {
    nib_status status = NIB_OK;
    const char *type = hf_json_string(module, "type", NULL), *path = hf_json_string(module, "path", "");
    if (!yyjson_is_obj(module) || !type) NIB_FAIL(err, NIB_BAD_MODEL, "modules.json: a module without a type");
    if (yyjson_obj_get(module, "path") && !hf_json_string(module, "path", NULL))
        NIB_FAIL(err, NIB_BAD_MODEL, "modules.json: the path of a %s is no text", type);
    if (!is_plain_name(path)) NIB_FAIL(err, NIB_BAD_MODEL, "modules.json: the path '%s' is no folder's name", path);
    const char *kind = last_word(type);
    bool after_normalize = s->normalize;
    if (strcmp(kind, "Transformer") == 0) {
        if (path[0]) refuse(s, path, "a Transformer in a folder of its own");
    } else if (strcmp(kind, "Pooling") == 0) {
        if (s->pooling != NIB_POOLING_MODEL || after_normalize) refuse(s, path, "Pooling where nib expects none");
        NIB_TRY(read_pooling(runtime, dir, path, s, err));
    } else if (strcmp(kind, "Normalize") == 0) {
        if (s->pooling == NIB_POOLING_MODEL) refuse(s, path, "Normalize before Pooling");
        s->normalize = true;
        NIB_TRY(check_module(runtime, dir, path, kind, err));
    } else if (strcmp(kind, "Dropout") == 0) { /* does nothing when a model is used */
        NIB_TRY(check_module(runtime, dir, path, kind, err));
    } else {
        refuse(s, path, kind);
    }
fail:
    return status;
}

static nib_status read_modules(nib_runtime *runtime, const char *dir, hf_settings *s, nib_error *err) {
    nib_status status = NIB_OK;
    yyjson_doc *doc = NULL;
    yyjson_val *module;
    size_t i, n;
    NIB_TRY(hf_json_open(runtime, dir, "modules.json", true, &doc, err));
    if (!doc) { /* a folder without modules may still say how to pool */
        NIB_TRY(read_pooling(runtime, dir, "1_Pooling", s, err));
        return NIB_OK;
    }
    s->has_modules = true;
    hf_keys_check(runtime, "modules.json", "modules.json", yyjson_doc_get_root(doc));
    yyjson_arr_foreach(yyjson_doc_get_root(doc), i, n, module) NIB_TRY(read_module(runtime, dir, module, s, err));
fail:
    base_json_free(&runtime->heap, doc);
    return status;
}

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
    NIB_TRY(read_modules(runtime, dir, out, err));
    NIB_TRY(read_lengths(runtime, dir, out, err));
    NIB_TRY(read_config(runtime, dir, out, err));
    NIB_TRY(hf_tokenizer_load(runtime, dir, out, err));
    NIB_TRY(hf_prompts_load(runtime, dir, out, err));
    return NIB_OK;
fail:
    hf_settings_free(&runtime->heap, out);
    return status;
}
