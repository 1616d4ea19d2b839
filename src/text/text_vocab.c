/* SPDX-License-Identifier: Apache-2.0
 *
 * In: model.vocab and added_tokens. Out: the tokens by id, and the trie or the index of the vocabulary.
 *
 * The index is a table of hashes with a seed that the file cannot know, so that no file makes loading slow.
 */
#include "text_internal.h"
#include <stdio.h>
#include <string.h>

/* Ids index a table: it may have gaps, but not be made of them. */
static size_t id_limit(size_t tokens) { return tokens * 4 + 65536; }

static nib_status add_entry(text_tokenizer *t, const char *bytes, size_t length, int32_t id, const char *where,
                            nib_error *err) {
    text_entry *e = &t->entries[id];
    if (e->bytes)
        return base_error_set(err, NIB_BAD_TOKENIZER, "%s: \"%s\" and \"%s\" have the same id %d", where, e->bytes,
                              bytes, id);
    e->bytes = base_arena_strndup(&t->arena, bytes, length);
    if (!e->bytes) return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for the vocabulary");
    e->length = (uint32_t)length;
    if (t->ids < (size_t)id + 1) t->ids = (size_t)id + 1;
    t->tokens++;
    return NIB_OK;
}

/* The largest id + 1 that any value below `most` names; what is no id is found when it is read. */
static size_t count_ids(yyjson_val *vocab, yyjson_val *added, size_t most) {
    size_t ids = yyjson_arr_size(vocab), i, n;
    yyjson_val *key, *v;
    yyjson_obj_foreach(vocab, i, n, key, v) if (yyjson_is_uint(v) && yyjson_get_uint(v) < most &&
                                                yyjson_get_uint(v) >= ids) ids = (size_t)yyjson_get_uint(v) + 1;
    yyjson_arr_foreach(added, i, n, v) {
        yyjson_val *id = yyjson_obj_get(v, "id");
        if (yyjson_is_uint(id) && yyjson_get_uint(id) < most && yyjson_get_uint(id) >= ids)
            ids = (size_t)yyjson_get_uint(id) + 1;
    }
    return ids;
}

/* Added tokens that the vocabulary does not have become entries too. */
static nib_status add_more(text_tokenizer *t, yyjson_val *added, size_t most, nib_error *err) {
    nib_status status = NIB_OK;
    size_t i, count;
    yyjson_val *item;
    yyjson_arr_foreach(added, i, count, item) {
        const char *content;
        size_t length;
        int32_t id;
        char where[64];
        snprintf(where, sizeof where, "added_tokens[%zu]", i);
        if (!yyjson_is_obj(item)) NIB_FAIL(err, NIB_BAD_TOKENIZER, "%s: not an object", where);
        NIB_TRY(text_json_string(item, where, "content", &content, &length, err));
        NIB_TRY(text_json_id(yyjson_obj_get(item, "id"), where, most, &id, err));
        const text_entry *e = &t->entries[id];
        if (e->bytes && e->length == length && memcmp(e->bytes, content, length) == 0) continue;
        int32_t known = text_vocab_find(t, content, length);
        if (known >= 0)
            NIB_FAIL(err, NIB_BAD_TOKENIZER, "%s: \"%s\" has id %d here and %d in the vocabulary", where, content, id,
                     known);
        NIB_TRY(add_entry(t, content, length, id, where, err));
        t->entries[id].extra = true;
    }
fail:
    return status;
}

/* ---- the index */

static uint64_t mix(uint64_t h, uint64_t v) {
    h = (h ^ v) * 0x9e3779b97f4a7c15u;
    return h ^ h >> 29;
}

static uint32_t hash_of(const text_index *x, const char *s, size_t n) {
    uint64_t h = mix(x->seed, n), v;
    for (; n >= 8; s += 8, n -= 8) {
        memcpy(&v, s, 8);
        h = mix(h, v);
    }
    v = 0;
    if (n) memcpy(&v, s, n);
    h = mix(mix(h, v), x->seed);
    return (uint32_t)(h >> 32);
}

/* The slot of a string with this hash, or the free one where it would be. */
static struct text_slot *find_slot(const text_tokenizer *t, const char *s, size_t n, uint32_t hash) {
    const text_index *x = &t->index;
    for (size_t i = hash & x->mask;; i = (i + 1) & x->mask) {
        struct text_slot *slot = &x->slots[i];
        if (slot->id < 0) return slot;
        if (slot->hash != hash) continue;
        const text_entry *e = &t->entries[slot->id];
        if (e->length == n && (n == 0 || memcmp(e->bytes, s, n) == 0)) return slot;
    }
}

int32_t text_vocab_find(const text_tokenizer *t, const char *s, size_t n) {
    if (!t->index.slots) return t->trie.units ? text_trie_find(&t->trie, s, n) : -1;
    return find_slot(t, s, n, hash_of(&t->index, s, n))->id;
}

int32_t text_vocab_find_byte(const text_tokenizer *t, uint8_t byte) {
    static const char digits[] = "0123456789ABCDEF";
    const char code[] = {'<', '0', 'x', digits[byte >> 4], digits[byte & 15], '>'};
    return text_vocab_find(t, code, sizeof code);
}

void text_vocab_find_many(const text_tokenizer *t, text_lookup *looked, size_t n) {
    const text_index *x = &t->index;
    for (size_t i = 0; i < n; i++) {
        looked[i].hash = hash_of(x, looked[i].bytes, looked[i].length);
        TEXT_FETCH(&x->slots[looked[i].hash & x->mask]);
    }
    for (size_t i = 0; i < n; i++) {
        const int32_t id = x->slots[looked[i].hash & x->mask].id;
        if (id >= 0) TEXT_FETCH(&t->entries[id]);
    }
    for (size_t i = 0; i < n; i++) {
        const int32_t id = x->slots[looked[i].hash & x->mask].id;
        if (id >= 0) TEXT_FETCH(t->entries[id].bytes);
    }
    for (size_t i = 0; i < n; i++) looked[i].id = find_slot(t, looked[i].bytes, looked[i].length, looked[i].hash)->id;
}

/* Room for so many strings, at most half full. */
static nib_status make_index(text_tokenizer *t, size_t count, nib_error *err) {
    text_index *x = &t->index;
    size_t slots = 16;
    while (slots < count * 2) slots *= 2;
    x->slots = base_arena_alloc(&t->arena, slots * sizeof *x->slots);
    if (!x->slots) return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for the vocabulary");
    memset(x->slots, 0xff, slots * sizeof *x->slots);
    x->mask = slots - 1;
    x->seed = (uintptr_t)t * 0xd6e8feb86659fd93u ^ (uintptr_t)x->slots;
    return NIB_OK;
}

/* A string of the vocabulary: an entry, and in the index. */
static nib_status index_add(text_tokenizer *t, const char *bytes, size_t length, int32_t id, nib_error *err) {
    text_index *x = &t->index;
    const uint32_t hash = hash_of(x, bytes, length);
    struct text_slot *slot = find_slot(t, bytes, length, hash);
    if (slot->id >= 0) return base_error_set(err, NIB_BAD_TOKENIZER, "model.vocab: \"%s\" stands there twice", bytes);
    nib_status status = add_entry(t, bytes, length, id, "model.vocab", err);
    x->digest = mix(x->digest, (uint64_t)hash << 32 | (uint32_t)id);
    *slot = (struct text_slot){hash, id};
    return status;
}

/* ---- the whole */

/* The trie of keys[0..n). */
static nib_status build_trie(text_tokenizer *t, text_key *keys, size_t n, nib_error *err) {
    nib_status status = NIB_OK;
    const text_key *twice;
    NIB_TRY(text_trie_build(t->heap, keys, n, &t->trie, &twice, err));
    if (twice) NIB_FAIL(err, NIB_BAD_TOKENIZER, "model.vocab: \"%s\" stands there twice", twice->bytes);
fail:
    return status;
}

/* One token of the vocabulary; keys (NULL: there is an index) get it as well. */
static nib_status add_token(text_tokenizer *t, yyjson_val *name, int32_t id, text_key *keys, size_t *n,
                            nib_error *err) {
    const char *bytes = yyjson_get_str(name);
    const size_t length = yyjson_get_len(name);
    if (length > TEXT_TRIE_KEY_MAX)
        return base_error_set(err, NIB_LIMIT, "model.vocab: a token of %zu bytes; nib takes %u", length,
                              TEXT_TRIE_KEY_MAX);
    if (!keys) return index_add(t, bytes, length, id, err);
    keys[(*n)++] = (text_key){bytes, (uint32_t)length, id};
    return add_entry(t, bytes, length, id, "model.vocab", err);
}

/* {"token": id, ..} */
static nib_status add_object(text_tokenizer *t, yyjson_val *vocab, size_t most, text_key *keys, size_t *n,
                             nib_error *err) {
    nib_status status = NIB_OK;
    yyjson_obj_iter iter;
    yyjson_val *name;
    int32_t id;
    yyjson_obj_iter_init(vocab, &iter);
    while ((name = yyjson_obj_iter_next(&iter)) != NULL) {
        NIB_TRY(text_json_id(yyjson_obj_iter_get_val(name), "model.vocab", most, &id, err));
        NIB_TRY(add_token(t, name, id, keys, n, err));
    }
fail:
    return status;
}

/* [["token", score], ..] */
static nib_status add_list(text_tokenizer *t, yyjson_val *vocab, text_key *keys, size_t *n, nib_error *err) {
    nib_status status = NIB_OK;
    size_t i, count;
    yyjson_val *one;
    yyjson_arr_foreach(vocab, i, count, one) {
        yyjson_val *name = yyjson_arr_get_first(one);
        if (!yyjson_is_str(name)) NIB_FAIL(err, NIB_BAD_TOKENIZER, "model.vocab[%zu]: not a token and its score", i);
        NIB_TRY(add_token(t, name, (int32_t)i, keys, n, err));
    }
fail:
    return status;
}

nib_status text_vocab_load(text_tokenizer *t, yyjson_val *vocab, bool indexed, nib_error *err) {
    nib_status status = NIB_OK;
    text_key *keys = NULL;
    yyjson_val *added = t->added_json;
    const size_t size = yyjson_obj_size(vocab) + yyjson_arr_size(vocab);
    size_t n = 0;
    if (t->packed && indexed) NIB_FAIL(err, NIB_UNSUPPORTED, "model: a packed vocabulary of this kind");
    if (t->packed) return text_vocab_map(t, t->packed->bytes, t->packed->size, added, err);
    if (!yyjson_is_obj(vocab) && !yyjson_is_arr(vocab))
        NIB_FAIL(err, NIB_BAD_TOKENIZER, "model: \"vocab\" is not an object");
    if (added && !yyjson_is_null(added) && !yyjson_is_arr(added))
        NIB_FAIL(err, NIB_BAD_TOKENIZER, "added_tokens: not an array");
    if (size >= INT32_MAX / 8) NIB_FAIL(err, NIB_LIMIT, "model.vocab: %zu tokens", size);
    size_t most = id_limit(size + yyjson_arr_size(added));
    keys = indexed ? NULL : base_calloc(t->heap, size + 1, sizeof *keys);
    t->entries = base_arena_calloc(&t->arena, count_ids(vocab, added, most) + 1, sizeof *t->entries);
    if ((!indexed && !keys) || !t->entries) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for the vocabulary");
    if (indexed) NIB_TRY(make_index(t, size, err));
    NIB_TRY(yyjson_is_obj(vocab) ? add_object(t, vocab, most, keys, &n, err) : add_list(t, vocab, keys, &n, err));
    if (!indexed) NIB_TRY(build_trie(t, keys, n, err));
    NIB_TRY(add_more(t, added, most, err));
fail:
    base_free(t->heap, keys);
    return status;
}
