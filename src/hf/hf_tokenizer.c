/* SPDX-License-Identifier: Apache-2.0
 *
 * In: tokenizer_config.json, special_tokens_map.json and what config.json calls the model. Out: what the tokenizer's class builds in place
 * of what tokenizer.json holds.
 *
 * Of transformers 5, BertTokenizer and the classes that are or derive from it take the vocabulary and added tokens from tokenizer.json and
 * build the rest anew from the arguments of their constructor, which tokenizer_config.json gives: an argument that it does not give has
 * its default there (lower case, Chinese characters apart, accents stripped as case is). In transformers 4, BertTokenizerFast put the same
 * three into the normalizer. Every other class that nib's kinds of tokenizer.json come with takes the file as it is; that of ModernBERT
 * does whatever class is named.
 */
#include "hf_json.h"
#include "hf_keys.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const rebuilt_classes[] = {
    "BertTokenizer",     "DistilBertTokenizer", "ElectraTokenizer",     "ConvBertTokenizer",          "MobileBertTokenizer",
    "LayoutLMTokenizer", "LxmertTokenizer",     "SqueezeBertTokenizer", "DPRContextEncoderTokenizer", "DPRQuestionEncoderTokenizer",
};

/* Models whose tokenizer is one of these where no class is named. */
static const char *const rebuilt_models[] = {
    "bert",  "distilbert",  "electra", "ernie",    "convbert",  "mobilebert", "nomic_bert", "megatron-bert",
    "nezha", "squeezebert", "qdqbert", "layoutlm", "retribert", "lxmert",     "dpr",
};

/* Classes that build a ByteLevel anew, with add_prefix_space of tokenizer_config.json (false if it is not there). */
static const char *const byte_level_classes[] = {
    "GPT2Tokenizer", "RobertaTokenizer", "BartTokenizer", "LongformerTokenizer", "DebertaTokenizer", "LukeTokenizer", "BlenderbotTokenizer", "CodeGenTokenizer",
};

/* Models whose named class transformers does not believe. */
static const char *const as_it_is[] = {"modernbert", "modernbert-decoder"};

static bool is_one_of(const char *const *names, size_t n, const char *name) {
    for (size_t i = 0; i < n; i++)
        if (strcmp(names[i], name) == 0) return true;
    return false;
}

/* The class without "Fast", which says nothing any more. */
static void plain_class(const char *class_name, char name[64]) {
    snprintf(name, 64, "%s", class_name);
    size_t n = strlen(name);
    if (n > 4 && strcmp(name + n - 4, "Fast") == 0) name[n - 4] = 0;
}

static bool is_byte_level(const hf_settings *s, const char *class_name) {
    char name[64];
    plain_class(class_name, name);
    return !is_one_of(as_it_is, BASE_COUNT(as_it_is), s->model_type) && is_one_of(byte_level_classes, BASE_COUNT(byte_level_classes), name);
}

static bool is_rebuilt(const hf_settings *s, const char *class_name) {
    char name[64];
    plain_class(class_name, name);
    if (is_one_of(as_it_is, BASE_COUNT(as_it_is), s->model_type)) return false;
    return name[0] ? is_one_of(rebuilt_classes, BASE_COUNT(rebuilt_classes), name)
                   : is_one_of(rebuilt_models, BASE_COUNT(rebuilt_models), s->model_type);
}

/* ---------------------------------------------------------------- keys */

/* A flag that may be null, which is -1; absent: `*out` stays. */
static nib_status read_flag(yyjson_val *root, const char *key, bool null, int *out, nib_error *err) {
    yyjson_val *v = yyjson_obj_get(root, key);
    if (!v) return NIB_OK;
    if (!yyjson_is_bool(v) && !(null && yyjson_is_null(v)))
        return base_error_set(err, NIB_BAD_MODEL, "tokenizer_config.json: %s is neither true nor false", key);
    *out = yyjson_is_null(v) ? -1 : yyjson_get_bool(v);
    return NIB_OK;
}

static nib_status read_side(yyjson_val *root, hf_tokenizer *t, nib_error *err) {
    yyjson_val *v = yyjson_obj_get(root, "truncation_side");
    if (!v) return NIB_OK;
    if (!yyjson_equals_str(v, "left") && !yyjson_equals_str(v, "right"))
        return base_error_set(err, NIB_BAD_MODEL, "tokenizer_config.json: truncation_side is neither left nor right");
    t->truncation_left = yyjson_equals_str(v, "left");
    return NIB_OK;
}

/* A token is a string, or an object with its "content". */
static nib_status read_token(yyjson_val *root, const char *file, const char *key, char out[64], nib_error *err) {
    yyjson_val *v = yyjson_obj_get(root, key);
    if (!v || yyjson_is_null(v)) return NIB_OK;
    if (yyjson_is_obj(v)) v = yyjson_obj_get(v, "content");
    if (!yyjson_is_str(v) || yyjson_get_len(v) >= 64 || strlen(yyjson_get_str(v)) != yyjson_get_len(v))
        return base_error_set(err, NIB_BAD_MODEL, "%s: %s is no token of at most 63 bytes", file, key);
    snprintf(out, 64, "%s", yyjson_get_str(v));
    return NIB_OK;
}

/* ---------------------------------------------------------------- tokens by name */

#define MOST_TOKENS 65536

static nib_status note_token(base_heap *heap, hf_tokenizer *t, const char *file, yyjson_val *v, int64_t id, nib_error *err) {
    static const char *const names[] = {"lstrip", "rstrip", "single_word", "normalized", "special"};
    yyjson_val *content = yyjson_is_obj(v) ? yyjson_obj_get(v, "content") : v;
    hf_token token = {.id = id, .flags = -1};
    if (!yyjson_is_str(content) || strlen(yyjson_get_str(content)) != yyjson_get_len(content))
        return base_error_set(err, NIB_BAD_MODEL, "%s: a token is no text", file);
    if (t->count == MOST_TOKENS) return base_error_set(err, NIB_LIMIT, "%s: more than %d tokens", file, MOST_TOKENS);
    if (id >= 0) token.flags = 0; /* those of a token by name are tokenizer.json's */
    for (int i = 0; id >= 0 && i < (int)BASE_COUNT(names); i++)
        if (yyjson_is_true(yyjson_obj_get(v, names[i]))) token.flags |= 1 << i;
    token.content = base_strndup(heap, yyjson_get_str(content), yyjson_get_len(content));
    if (!token.content || !base_grow(heap, (void **)&t->tokens, &t->cap, t->count + 1, sizeof *t->tokens)) {
        base_free(heap, token.content);
        return base_error_set(err, NIB_OUT_OF_MEMORY, "no memory for the tokens that %s names", file);
    }
    t->tokens[t->count++] = token;
    return NIB_OK;
}

/* All tokens that the file names, one by one and in lists. */
static nib_status note_tokens(base_heap *heap, hf_tokenizer *t, const char *file, yyjson_val *root, nib_error *err) {
    static const char *const keys[] = {"cls_token", "sep_token", "unk_token", "pad_token", "mask_token", "bos_token", "eos_token"};
    static const char *const lists[] = {"additional_special_tokens", "extra_special_tokens"};
    nib_status status = NIB_OK;
    size_t i, n;
    yyjson_val *key, *v;
    for (size_t k = 0; k < BASE_COUNT(keys); k++) {
        v = yyjson_obj_get(root, keys[k]);
        if (v && !yyjson_is_null(v)) NIB_TRY(note_token(heap, t, file, v, -1, err));
    }
    for (size_t k = 0; k < BASE_COUNT(lists); k++) {
        yyjson_val *list = yyjson_obj_get(root, lists[k]);
        yyjson_arr_foreach(list, i, n, v) NIB_TRY(note_token(heap, t, file, v, -1, err));
        if (yyjson_is_obj(list)) {
            yyjson_obj_foreach(list, i, n, key, v) NIB_TRY(note_token(heap, t, file, v, -1, err));
        }
    }
    yyjson_val *decoder = yyjson_obj_get(root, "added_tokens_decoder");
    t->has_decoder = t->has_decoder || yyjson_is_obj(decoder);
    if (!yyjson_is_obj(decoder)) return NIB_OK;
    yyjson_obj_foreach(decoder, i, n, key, v) {
        char *end;
        long long id = strtoll(yyjson_get_str(key), &end, 10);
        if (*end || id < 0 || !yyjson_is_obj(v)) NIB_FAIL(err, NIB_BAD_MODEL, "%s: added_tokens_decoder names no token", file);
        NIB_TRY(note_token(heap, t, file, v, id, err));
    }
fail:
    return status;
}

static nib_status read_tokens(yyjson_val *root, const char *file, hf_tokenizer *t, nib_error *err) {
    nib_status status = NIB_OK;
    NIB_TRY(read_token(root, file, "cls_token", t->cls, err));
    NIB_TRY(read_token(root, file, "sep_token", t->sep, err));
    NIB_TRY(read_token(root, file, "unk_token", t->unknown, err));
fail:
    return status;
}

nib_status hf_tokenizer_load(nib_runtime *runtime, const char *dir, hf_settings *s, nib_error *err) {
    nib_status status = NIB_OK;
    yyjson_doc *doc = NULL, *special = NULL;
    hf_tokenizer *t = &s->tokenizer;
    int lowercase = 1, chinese = 1;
    t->strip_accents = t->truncation_left = t->prefix_space = -1;
    NIB_TRY(hf_json_open(runtime, dir, "tokenizer_config.json", false, &doc, err));
    yyjson_val *root = yyjson_doc_get_root(doc);
    if (root) hf_keys_check(runtime, "tokenizer_config.json", "tokenizer_config.json", root);
    t->rebuilt = is_rebuilt(s, hf_json_string(root, "tokenizer_class", s->tokenizer_class));
    if (is_byte_level(s, hf_json_string(root, "tokenizer_class", s->tokenizer_class)))
        t->prefix_space = yyjson_is_true(yyjson_obj_get(root, "add_prefix_space"));
    NIB_TRY(read_side(root, t, err));
    NIB_TRY(note_tokens(&runtime->heap, t, "tokenizer_config.json", root, err));
    if (t->rebuilt) {
        NIB_TRY(read_flag(root, "do_lower_case", false, &lowercase, err));
        NIB_TRY(read_flag(root, "tokenize_chinese_chars", false, &chinese, err));
        NIB_TRY(read_flag(root, "strip_accents", true, &t->strip_accents, err));
        NIB_TRY(read_tokens(root, "tokenizer_config.json", t, err));
    }
    t->lowercase = lowercase;
    t->chinese = chinese;
    if (!yyjson_obj_get(root, "added_tokens_decoder")) { /* of older versions; where there are both, transformers reads this one alone */
        NIB_TRY(hf_json_open(runtime, dir, "special_tokens_map.json", false, &special, err));
        yyjson_val *map = yyjson_doc_get_root(special);
        if (map) hf_keys_check(runtime, "special_tokens_map.json", "special_tokens_map.json", map);
        NIB_TRY(note_tokens(&runtime->heap, t, "special_tokens_map.json", map, err));
        if (t->rebuilt) NIB_TRY(read_tokens(map, "special_tokens_map.json", t, err));
    }
fail:
    base_json_free(&runtime->heap, doc);
    base_json_free(&runtime->heap, special);
    return status;
}
