/* SPDX-License-Identifier: Apache-2.0
 *
 * In: tokenizer.json. Out: a tokenizer, or a refusal that names the part.
 */
#include "text_internal.h"
#include <stdio.h>
#include <string.h>

nib_status text_json_bool(yyjson_val *object, const char *where, const char *key, bool fallback, bool *out,
                          nib_error *err) {
    yyjson_val *v = yyjson_obj_get(object, key);
    *out = fallback;
    if (!v || yyjson_is_null(v)) return NIB_OK;
    if (!yyjson_is_bool(v))
        return base_error_set(err, NIB_BAD_TOKENIZER, "%s: \"%s\" is neither true nor false", where, key);
    *out = yyjson_get_bool(v);
    return NIB_OK;
}

nib_status text_json_size(yyjson_val *object, const char *where, const char *key, size_t fallback, size_t most,
                          size_t *out, nib_error *err) {
    yyjson_val *v = yyjson_obj_get(object, key);
    *out = fallback;
    if (!v || yyjson_is_null(v)) return NIB_OK;
    if (!yyjson_is_uint(v) || yyjson_get_uint(v) > most)
        return base_error_set(err, NIB_BAD_TOKENIZER, "%s: \"%s\" is not a whole number up to %zu", where, key, most);
    *out = (size_t)yyjson_get_uint(v);
    return NIB_OK;
}

nib_status text_json_string(yyjson_val *object, const char *where, const char *key, const char **out, size_t *length,
                            nib_error *err) {
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

nib_status text_json_point(yyjson_val *object, const char *where, const char *key, uint32_t *out, nib_error *err) {
    const char *s = NULL;
    size_t length = 0;
    nib_status status = text_json_string(object, where, key, &s, &length, err);
    if (status == NIB_OK && (length == 0 || (size_t)base_utf8_decode(s, length, out) != length))
        return base_error_set(err, NIB_BAD_TOKENIZER, "%s: \"%s\" is not one character", where, key);
    return status;
}

/* ---- sections */

static nib_status load_normalizers(text_tokenizer *t, yyjson_val *v, const text_settings *s, nib_error *err) {
    nib_status status = NIB_OK;
    text_stages *list = &t->stages[TEXT_NORMALIZER];
    text_stage *stage;
    if (s->rebuilt) {
        NIB_TRY(text_stage_add(t, TEXT_NORMALIZER, "BertNormalizer", &stage, err));
        const bool strip = s->strip_accents < 0 ? s->lowercase : s->strip_accents != 0;
        return text_norm_bert_make(t, stage, true, s->chinese, s->lowercase || s->lower_first, strip, err);
    }
    NIB_TRY(text_stages_load(t, TEXT_NORMALIZER, v, err));
    if (!s->lower_first) return NIB_OK;
    NIB_TRY(text_stage_add(t, TEXT_NORMALIZER, "Lowercase", &stage, err));
    NIB_TRY(text_norm_lowercase_load(t, NULL, stage, err));
    const text_stage first = list->items[list->count - 1];
    memmove(list->items + 1, list->items, (list->count - 1) * sizeof first);
    list->items[0] = first;
fail:
    return status;
}

/* Files of old versions have no type: of the models with a length limit only WordPiece has a prefix, and only BPE has
 * merges. */
static nib_status load_model(text_tokenizer *t, yyjson_val *model, nib_error *err) {
    nib_status status = NIB_OK;
    text_stage *s;
    if (!yyjson_is_obj(model)) NIB_FAIL(err, NIB_BAD_TOKENIZER, "model: not an object");
    if (yyjson_obj_get(model, "type")) return text_stages_load(t, TEXT_MODEL, model, err);
    const bool wordpiece = yyjson_obj_get(model, "max_input_chars_per_word") != NULL,
               bpe = yyjson_obj_get(model, "merges") != NULL;
    if (!wordpiece && !bpe) NIB_FAIL(err, NIB_UNSUPPORTED, "model: without a type");
    NIB_TRY(text_stage_add(t, TEXT_MODEL, bpe ? "BPE" : "WordPiece", &s, err));
    NIB_TRY(bpe ? text_model_bpe_load(t, model, s, err) : text_model_wordpiece_load(t, model, s, err));
fail:
    return status;
}

/* Whether the texts go the fused way: Lowercase and BertNormalizer or one of them or none, at most one
 * BertPreTokenizer, and WordPiece. */
static nib_status fuse(text_tokenizer *t, nib_error *err) {
    nib_status status = NIB_OK;
    const text_stages *norm = &t->stages[TEXT_NORMALIZER], *split = &t->stages[TEXT_PRE_TOKENIZER];
    const text_stage *model = &t->stages[TEXT_MODEL].items[0];
    const text_normalizer
        *bert = NULL,
        *n; /* lower case before it or behind it is the same: no character loses its case by being decomposed */
    size_t at = norm->count && strcmp(norm->items[0].name, "Lowercase") == 0;
    const bool lower = at > 0;
    if (at < norm->count && strcmp(norm->items[at].name, "BertNormalizer") == 0) bert = norm->items[at++].data;
    if (strcmp(model->name, "WordPiece") != 0 || at < norm->count || split->count > 1) return NIB_OK;
    if (split->count && strcmp(split->items[0].name, "BertPreTokenizer") != 0) return NIB_OK;
    n = bert;
    if (!bert || (lower && !bert->lowercase)) {
        NIB_TRY(text_norm_bert_make(t, &t->own_norm, bert && bert->clean_text, bert && bert->chinese, lower,
                                    bert && bert->strip_accents, err));
        n = t->own_norm.data;
    }
    if (!split->count) NIB_TRY(text_split_none_make(t, &t->own_split, err));
    t->fused.split = split->count ? split->items[0].data : t->own_split.data;
    t->fused.model = model;
    t->fused.norm = n;
fail:
    return status;
}

/* A decoder that nib lacks is no reason to refuse a file whose texts it can read: text_decode says so when it is asked.
 */
static nib_status load_decoders(text_tokenizer *t, yyjson_val *v, nib_error *err) {
    nib_error why = {0};
    nib_status status = text_stages_load(t, TEXT_DECODER, v, &why);
    if (status == NIB_OK) return NIB_OK;
    if (status != NIB_UNSUPPORTED) return base_error_set(err, status, "%s", why.message);
    t->no_decoder = base_arena_strndup(&t->arena, why.message, strlen(why.message));
    return t->no_decoder ? NIB_OK : base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for the tokenizer");
}

static nib_status load(base_heap *heap, const char *json, size_t length, const packed_vocab *packed,
                       const text_settings *settings, text_tokenizer **out, nib_error *err) {
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
    t->packed = packed;
    t->added_json = yyjson_obj_get(root, "added_tokens");
    /* The cheap parts come first, so that a file of another kind is refused before its vocabulary is read. */
    NIB_TRY(load_normalizers(t, yyjson_obj_get(root, "normalizer"), settings, err));
    if (settings->rebuilt) {
        text_stage *s;
        NIB_TRY(text_stage_add(t, TEXT_PRE_TOKENIZER, "BertPreTokenizer", &s, err));
        NIB_TRY(text_split_bert_make(t, s, err));
    } else {
        NIB_TRY(text_stages_load(t, TEXT_PRE_TOKENIZER, yyjson_obj_get(root, "pre_tokenizer"), err));
    }
    NIB_TRY(load_model(t, yyjson_obj_get(root, "model"), err));
    NIB_TRY(text_added_load(t, t->added_json, err));
    NIB_TRY(text_settings_apply(t, settings, err));
    if (!t->single.pieces)
        NIB_TRY(text_stages_load(t, TEXT_POST_PROCESSOR, yyjson_obj_get(root, "post_processor"), err));
    NIB_TRY(load_decoders(t, yyjson_obj_get(root, "decoder"), err));
    NIB_TRY(text_truncation_load(t, yyjson_obj_get(root, "truncation"), err));
    NIB_TRY(fuse(t, err));
    NIB_TRY(text_settings_reduce(t, settings, yyjson_obj_get(root, "model"), err));
    if (settings->truncation_left >= 0) t->truncation.left = settings->truncation_left != 0;
    t->packed = NULL;
    t->added_json = NULL;
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

nib_status text_tokenizer_load_with(base_heap *heap, const char *json, size_t length, const text_settings *settings,
                                    text_tokenizer **out, nib_error *err) {
    return load(heap, json, length, NULL, settings, out, err);
}

nib_status text_tokenizer_load_packed(base_heap *heap, const char *json, size_t length, const void *vocab, size_t size,
                                      const text_settings *settings, text_tokenizer **out, nib_error *err) {
    return load(heap, json, length, &(packed_vocab){vocab, size}, settings, out, err);
}

void text_tokenizer_free(text_tokenizer *t) {
    if (!t) return;
    for (int i = 0; i < TEXT_SECTIONS; i++) text_stages_free(t->heap, &t->stages[i]);
    if (t->own_norm.data) t->own_norm.free(t->heap, t->own_norm.data);
    text_trie_free(&t->trie);
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
    return text_vocab_find(t, token, length);
}

bool text_added_at(const text_tokenizer *t, size_t i, text_added *out) {
    if (i >= t->added_count) return false;
    const text_added_token *a = &t->added[i];
    *out = (text_added){a->content, a->length, a->id, a->special, a->single_word, a->lstrip, a->rstrip, a->normalized};
    return true;
}

bool text_is_special(const text_tokenizer *t, int32_t id) {
    return id >= 0 && (size_t)id < t->ids && t->added_at[id] && t->added[t->added_at[id] - 1].special;
}

int64_t text_max_tokens(const text_tokenizer *t) { return t->truncation.max_tokens; }

/* The names of the stages of a section, or what there is none of. */
static void describe_stages(const text_stages *list, const char *none, char *out, size_t capacity) {
    size_t n = 0;
    out[0] = 0;
    if (!list->count) snprintf(out, capacity, "no %s", none);
    for (size_t i = 0; i < list->count && n < capacity - 1; i++)
        n += (size_t)snprintf(out + n, capacity - n, "%s%s", i ? " + " : "", list->items[i].name);
}

void text_describe(const text_tokenizer *t, char *buffer, size_t capacity) {
    char limit[64] = "no truncation", norm[128], split[128];
    if (t->truncation.max_tokens)
        snprintf(limit, sizeof limit, "truncation to %lld", (long long)t->truncation.max_tokens);
    if (t->truncation.left) strcat(limit, ", cut at the front");
    if (capacity == 0) return;
    describe_stages(&t->stages[TEXT_NORMALIZER], "normalizer", norm, sizeof norm);
    describe_stages(&t->stages[TEXT_PRE_TOKENIZER], "pre-tokenizer", split, sizeof split);
    snprintf(buffer, capacity, "%s, %zu tokens, %s, %s, %s", t->stages[TEXT_MODEL].items[0].name, t->tokens, norm,
             split, limit);
}
