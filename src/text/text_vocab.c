/* SPDX-License-Identifier: Apache-2.0
 *
 * In: model.vocab and added_tokens. Out: the tokens by id, and the trie of the vocabulary.
 */
#include "text_internal.h"
#include <stdio.h>
#include <string.h>

/* Ids index a table: it may have gaps, but not be made of them. */
static size_t id_limit(size_t tokens) { return tokens * 4 + 65536; }

static nib_status add_entry(text_tokenizer *t, const char *bytes, size_t length, int32_t id, const char *where, nib_error *err) {
    text_entry *e = &t->entries[id];
    if (e->bytes) return base_error_set(err, NIB_BAD_TOKENIZER, "%s: \"%s\" and \"%s\" have the same id %d", where, e->bytes, bytes, id);
    e->bytes = base_arena_strndup(&t->arena, bytes, length);
    if (!e->bytes) return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for the vocabulary");
    e->length = (uint32_t)length;
    if (t->ids < (size_t)id + 1) t->ids = (size_t)id + 1;
    t->tokens++;
    return NIB_OK;
}

/* The largest id + 1 that any value below `most` names; what is no id is found when it is read. */
static size_t count_ids(yyjson_val *vocab, yyjson_val *added, size_t most) {
    size_t ids = 0, i, n;
    yyjson_val *key, *v;
    yyjson_obj_foreach(vocab, i, n, key, v)
        if (yyjson_is_uint(v) && yyjson_get_uint(v) < most && yyjson_get_uint(v) >= ids) ids = (size_t)yyjson_get_uint(v) + 1;
    yyjson_arr_foreach(added, i, n, v) {
        yyjson_val *id = yyjson_obj_get(v, "id");
        if (yyjson_is_uint(id) && yyjson_get_uint(id) < most && yyjson_get_uint(id) >= ids) ids = (size_t)yyjson_get_uint(id) + 1;
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
        int32_t known = text_trie_find(&t->model.trie, content, length);
        if (known >= 0) NIB_FAIL(err, NIB_BAD_TOKENIZER, "%s: \"%s\" has id %d here and %d in the vocabulary", where, content, id, known);
        NIB_TRY(add_entry(t, content, length, id, where, err));
    }
fail:
    return status;
}

nib_status text_vocab_load(text_tokenizer *t, yyjson_val *vocab, yyjson_val *added, nib_error *err) {
    nib_status status = NIB_OK;
    text_key *keys = NULL;
    const text_key *twice;
    yyjson_obj_iter iter;
    yyjson_val *name;
    size_t n = 0;
    if (!yyjson_is_obj(vocab)) NIB_FAIL(err, NIB_BAD_TOKENIZER, "model: \"vocab\" is not an object");
    if (added && !yyjson_is_null(added) && !yyjson_is_arr(added)) NIB_FAIL(err, NIB_BAD_TOKENIZER, "added_tokens: not an array");
    size_t most = id_limit(yyjson_obj_size(vocab) + yyjson_arr_size(added));
    keys = base_calloc(t->heap, yyjson_obj_size(vocab) + 1, sizeof *keys);
    t->entries = base_arena_calloc(&t->arena, count_ids(vocab, added, most) + 1, sizeof *t->entries);
    if (!keys || !t->entries) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for the vocabulary");
    yyjson_obj_iter_init(vocab, &iter);
    while ((name = yyjson_obj_iter_next(&iter)) != NULL) {
        int32_t id;
        NIB_TRY(text_json_id(yyjson_obj_iter_get_val(name), "model.vocab", most, &id, err));
        if (yyjson_get_len(name) > TEXT_TRIE_KEY_MAX)
            NIB_FAIL(err, NIB_LIMIT, "model.vocab: a token of %zu bytes; nib takes %u", yyjson_get_len(name), TEXT_TRIE_KEY_MAX);
        NIB_TRY(add_entry(t, yyjson_get_str(name), yyjson_get_len(name), id, "model.vocab", err));
        keys[n++] = (text_key){yyjson_get_str(name), (uint32_t)yyjson_get_len(name), id};
    }
    NIB_TRY(text_trie_build(t->heap, keys, n, &t->model.trie, &twice, err));
    if (twice) NIB_FAIL(err, NIB_BAD_TOKENIZER, "model.vocab: \"%s\" stands there twice", twice->bytes);
    NIB_TRY(add_more(t, added, most, err));
fail:
    base_free(t->heap, keys);
    return status;
}
