/* SPDX-License-Identifier: Apache-2.0
 *
 * In: tokenizer.json. Out: a tokenizer, or a refusal that names the part.
 */
#include "text_internal.h"
#include <stdio.h>
#include <string.h>

nib_status text_json_bool(yyjson_val *object, const char *where, const char *key, bool fallback, bool *out, nib_error *err) {
    yyjson_val *v = yyjson_obj_get(object, key);
    *out = fallback;
    if (!v || yyjson_is_null(v)) return NIB_OK;
    if (!yyjson_is_bool(v)) return base_error_set(err, NIB_BAD_TOKENIZER, "%s: \"%s\" is neither true nor false", where, key);
    *out = yyjson_get_bool(v);
    return NIB_OK;
}

nib_status text_json_size(yyjson_val *object, const char *where, const char *key, size_t fallback, size_t most, size_t *out,
                          nib_error *err) {
    yyjson_val *v = yyjson_obj_get(object, key);
    *out = fallback;
    if (!v || yyjson_is_null(v)) return NIB_OK;
    if (!yyjson_is_uint(v) || yyjson_get_uint(v) > most)
        return base_error_set(err, NIB_BAD_TOKENIZER, "%s: \"%s\" is not a whole number up to %zu", where, key, most);
    *out = (size_t)yyjson_get_uint(v);
    return NIB_OK;
}

nib_status text_json_string(yyjson_val *object, const char *where, const char *key, const char **out, size_t *length, nib_error *err) {
    yyjson_val *v = yyjson_obj_get(object, key);
    if (!yyjson_is_str(v)) return base_error_set(err, NIB_BAD_TOKENIZER, "%s: \"%s\" is not a string", where, key);
    *out = yyjson_get_str(v);
    *length = yyjson_get_len(v);
    return NIB_OK;
}

nib_status text_json_id(yyjson_val *v, const char *where, size_t most, int32_t *out, nib_error *err) {
    if (!yyjson_is_uint(v) || yyjson_get_uint(v) >= most || yyjson_get_uint(v) > INT32_MAX)
        return base_error_set(err, NIB_BAD_TOKENIZER, "%s: an id is not a whole number below %zu", where, most);
    *out = (int32_t)yyjson_get_uint(v);
    return NIB_OK;
}

bool text_json_is(yyjson_val *v, const char *text) { return yyjson_is_str(v) && yyjson_equals_str(v, text); }

typedef struct packed_vocab { /* NULL: the vocabulary is in the JSON */
    const void *bytes;
    size_t size;
} packed_vocab;

static nib_status load_model(text_tokenizer *t, yyjson_val *root, const packed_vocab *packed, nib_error *err) {
    nib_status status = NIB_OK;
    yyjson_val *model = yyjson_obj_get(root, "model"), *type = yyjson_obj_get(model, "type"), *vocab = yyjson_obj_get(model, "vocab");
    if (!yyjson_is_obj(model)) NIB_FAIL(err, NIB_BAD_TOKENIZER, "model: not an object");
    /* Old files have no type; only WordPiece has this prefix together with a length limit. */
    bool wordpiece = type ? text_json_is(type, "WordPiece") : yyjson_obj_get(model, "max_input_chars_per_word") != NULL;
    if (!wordpiece) {
        if (type && !yyjson_is_str(type)) NIB_FAIL(err, NIB_BAD_TOKENIZER, "model: \"type\" is not a string");
        NIB_FAIL(err, NIB_UNSUPPORTED, "model: %s", type ? yyjson_get_str(type) : "without a type");
    }
    yyjson_val *added = yyjson_obj_get(root, "added_tokens");
    NIB_TRY(packed ? text_vocab_map(t, packed->bytes, packed->size, added, err) : text_vocab_load(t, vocab, added, err));
    NIB_TRY(text_wordpiece_load(t, model, err));
fail:
    return status;
}

static nib_status load(base_heap *heap, const char *json, size_t length, const packed_vocab *packed, const text_settings *settings,
                       text_tokenizer **out, nib_error *err) {
    nib_status status = NIB_OK;
    yyjson_doc *doc = NULL;
    text_tokenizer *t = NULL;
    *out = NULL;
    NIB_TRY(base_json_parse(heap, json, length, "tokenizer.json", NIB_BAD_TOKENIZER, &doc, err));
    yyjson_val *root = yyjson_doc_get_root(doc);
    if (!yyjson_is_obj(root)) NIB_FAIL(err, NIB_BAD_TOKENIZER, "tokenizer.json: not an object");
    t = base_calloc(heap, 1, sizeof *t);
    if (!t) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for the tokenizer");
    t->heap = heap;
    base_arena_init(&t->arena, heap);
    /* The cheap parts come first, so that a file of another kind is refused before its vocabulary is read. */
    NIB_TRY(text_normalizer_load(t, yyjson_obj_get(root, "normalizer"), settings, err));
    NIB_TRY(settings->rebuilt ? text_splitter_bert(t, err) : text_splitter_load(t, yyjson_obj_get(root, "pre_tokenizer"), err));
    NIB_TRY(load_model(t, root, packed, err));
    NIB_TRY(text_added_load(t, yyjson_obj_get(root, "added_tokens"), err));
    NIB_TRY(text_settings_apply(t, settings, err));
    if (!t->single.pieces) NIB_TRY(text_template_load(t, yyjson_obj_get(root, "post_processor"), err));
    NIB_TRY(text_truncation_load(t, yyjson_obj_get(root, "truncation"), err));
    if (settings->truncation_left >= 0) t->truncation.left = settings->truncation_left != 0;
    if (settings->runtime) text_keys_check(settings->runtime, root);
    *out = t;
    t = NULL;
fail:
    text_tokenizer_free(t);
    base_json_free(heap, doc);
    return status;
}

nib_status text_tokenizer_load(base_heap *heap, const char *json, size_t length, text_tokenizer **out, nib_error *err) {
    text_settings none;
    text_settings_init(&none);
    return load(heap, json, length, NULL, &none, out, err);
}

nib_status text_tokenizer_load_with(base_heap *heap, const char *json, size_t length, const text_settings *settings, text_tokenizer **out,
                                    nib_error *err) {
    return load(heap, json, length, NULL, settings, out, err);
}

nib_status text_tokenizer_load_packed(base_heap *heap, const char *json, size_t length, const void *vocab, size_t size,
                                      const text_settings *settings, text_tokenizer **out, nib_error *err) {
    return load(heap, json, length, &(packed_vocab){vocab, size}, settings, out, err);
}

void text_tokenizer_free(text_tokenizer *t) {
    if (!t) return;
    text_normalizer_free(&t->normalizer);
    text_splitter_free(&t->splitter);
    text_trie_free(&t->model.trie);
    text_trie_free(&t->raw.trie);
    text_trie_free(&t->normal.trie);
    base_arena_free(&t->arena);
    base_free(t->heap, t);
}

size_t text_vocab_size(const text_tokenizer *t) { return t->ids; }

const char *text_token(const text_tokenizer *t, int32_t id, size_t *length) {
    if (id < 0 || (size_t)id >= t->ids) return NULL;
    const text_entry e = text_entry_of(t, id);
    *length = e.length;
    return e.bytes;
}

int32_t text_token_id(const text_tokenizer *t, const char *token, size_t length) {
    /* Added tokens first: a file may give a word of the vocabulary an id of its own only by way of them. */
    for (size_t i = 0; i < t->added_count; i++)
        if (t->added[i].length == length && memcmp(t->added[i].content, token, length) == 0) return t->added[i].id;
    return text_trie_find(&t->model.trie, token, length);
}

bool text_added_at(const text_tokenizer *t, size_t i, text_added *out) {
    if (i >= t->added_count) return false;
    const text_added_token *a = &t->added[i];
    *out = (text_added){a->content, a->length, a->id, a->special, a->single_word, a->lstrip, a->rstrip, a->normalized};
    return true;
}

bool text_is_special(const text_tokenizer *t, int32_t id) {
    for (size_t i = 0; i < t->added_count; i++)
        if (t->added[i].id == id && t->added[i].special) return true;
    return false;
}

int64_t text_max_tokens(const text_tokenizer *t) { return t->truncation.max_tokens; }

void text_describe(const text_tokenizer *t, char *buffer, size_t capacity) {
    char limit[64] = "no truncation";
    if (t->truncation.max_tokens) snprintf(limit, sizeof limit, "truncation to %lld", (long long)t->truncation.max_tokens);
    if (t->truncation.left) strcat(limit, ", cut at the front");
    if (capacity == 0) return;
    snprintf(buffer, capacity, "%s, %zu tokens, %s, %s, %s", t->model.name, t->tokens, t->normalizer.name, t->splitter.name, limit);
}
