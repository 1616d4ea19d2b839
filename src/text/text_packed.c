/* SPDX-License-Identifier: Apache-2.0
 *
 * A vocabulary as compiled files hold it: strings and trie, used where they lie. In: a tokenizer, or such bytes. Out: such bytes, or a
 * tokenizer.
 *
 *     u32 ids, tokens, units, text bytes
 *     u32 starts [ids + 1]      token i, and a NUL after it, is text[starts[i]] .. text[starts[i + 1]]; equal: there is no such id
 *     zeros to a multiple of 8
 *     units                     the trie: {s32 value, u32 link} each
 *     text
 *
 * Added tokens stand there, too, under their ids. All numbers are in the machine's byte order, which the file as a whole must have.
 * The bytes may be hostile: a walk through the trie stays inside it (every link leads to a whole block of 256 units), a value is an id
 * below `ids`, a string ends where the next begins.
 */
#include "text_internal.h"
#include <string.h>

typedef struct head {
    uint32_t ids, tokens, units, text_bytes;
} head;

static size_t units_at(size_t ids) { return (sizeof(head) + (ids + 1) * sizeof(uint32_t) + 7) / 8 * 8; }

/* ---- making */

static nib_status strip_vocab(base_heap *heap, const char *text, size_t length, base_str *out, nib_error *err) {
    nib_status status = NIB_OK;
    yyjson_doc *doc = NULL;
    yyjson_mut_doc *copy = NULL;
    yyjson_alc alc = base_json_alc(heap);
    size_t written = 0;
    char *json = NULL;
    NIB_TRY(base_json_parse(heap, text, length, "tokenizer.json", NIB_BAD_TOKENIZER, &doc, err));
    copy = yyjson_doc_mut_copy(doc, &alc);
    yyjson_mut_val *root = copy ? yyjson_mut_doc_get_root(copy) : NULL;
    if (root) yyjson_mut_obj_remove_key(yyjson_mut_obj_get(root, "model"), "vocab");
    json = root ? yyjson_mut_write_opts(copy, YYJSON_WRITE_NOFLAG, &alc, &written, NULL) : NULL;
    if (json) base_str_add_bytes(out, json, written);
    if (!json || out->failed) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for the tokenizer");
fail:
    base_free(heap, json);
    yyjson_mut_doc_free(copy);
    base_json_free(heap, doc);
    return status;
}

nib_status text_tokenizer_pack(const text_tokenizer *t, const char *tokenizer_json, size_t length, base_str *json, base_str *vocab,
                               nib_error *err) {
    static const char zeros[8];
    nib_status status = NIB_OK;
    head h = {.ids = (uint32_t)t->ids, .tokens = (uint32_t)t->tokens, .units = (uint32_t)t->trie.count};
    uint32_t at = 0;
    if (strcmp(t->stages[TEXT_MODEL].items[0].name, "WordPiece") != 0) NIB_FAIL(err, NIB_UNSUPPORTED, "a vocabulary of this kind is kept as JSON");
    NIB_TRY(strip_vocab(t->heap, tokenizer_json, length, json, err));
    for (size_t i = 0; i < t->ids; i++) {
        text_entry e = text_entry_of(t, (int32_t)i);
        if (e.bytes && e.length >= UINT32_MAX - h.text_bytes) NIB_FAIL(err, NIB_LIMIT, "the vocabulary has more than 4 GiB");
        if (e.bytes) h.text_bytes += e.length + 1;
    }
    base_str_add_bytes(vocab, &h, sizeof h);
    for (size_t i = 0; i <= t->ids; i++) {
        text_entry e = i < t->ids ? text_entry_of(t, (int32_t)i) : (text_entry){0};
        base_str_add_bytes(vocab, &at, sizeof at);
        if (e.bytes) at += e.length + 1;
    }
    base_str_add_bytes(vocab, zeros, units_at(t->ids) - (sizeof h + (t->ids + 1) * sizeof at));
    base_str_add_bytes(vocab, t->trie.units, t->trie.count * sizeof *t->trie.units);
    for (size_t i = 0; i < t->ids; i++) {
        text_entry e = text_entry_of(t, (int32_t)i);
        if (e.bytes) base_str_add_bytes(vocab, e.bytes, e.length);
        if (e.bytes) base_str_add_bytes(vocab, zeros, 1);
    }
    if (vocab->failed) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for the vocabulary");
fail:
    return status;
}

/* ---- using */

static bool starts_fit(const text_tokenizer *t, const head *h) {
    if (t->starts[0] != 0 || t->starts[h->ids] != h->text_bytes) return false;
    for (size_t i = 0; i < h->ids; i++) {
        uint32_t begin = t->starts[i], end = t->starts[i + 1];
        if (begin > end || end > h->text_bytes || (begin < end && t->text[end - 1] != 0)) return false;
    }
    return true;
}

static bool units_fit(const text_unit *units, size_t count, size_t ids) {
    uint32_t wrong = 0;
    if (count % 256 || count < 512) return false;
    for (size_t i = 0; i < count; i++)
        wrong |= (uint32_t)((units[i].link >> 9) >= count) | (uint32_t)((uint32_t)units[i].value + 1u > ids); /* -1 becomes 0 */
    return !wrong;
}

nib_status text_vocab_map(text_tokenizer *t, const void *bytes, size_t size, yyjson_val *added, nib_error *err) {
    nib_status status = NIB_OK;
    size_t i, count;
    yyjson_val *item;
    head h = {0};
    if (size >= sizeof h) memcpy(&h, bytes, sizeof h);
    if (size < sizeof h || (uintptr_t)bytes % 8 || h.ids >= INT32_MAX || h.tokens > h.ids ||
        (uint64_t)size != (uint64_t)units_at(h.ids) + (uint64_t)h.units * sizeof(text_unit) + h.text_bytes)
        NIB_FAIL(err, NIB_BAD_TOKENIZER, "the vocabulary has %zu bytes, and not those that its head counts", size);
    const text_unit *units = (const text_unit *)(const void *)((const char *)bytes + units_at(h.ids));
    t->ids = h.ids;
    t->tokens = h.tokens;
    t->starts = (const uint32_t *)(const void *)((const char *)bytes + sizeof h);
    t->text = (const char *)(units + h.units);
    if (!starts_fit(t, &h)) NIB_FAIL(err, NIB_BAD_TOKENIZER, "the vocabulary's tokens do not lie one after the other");
    if (!units_fit(units, h.units, h.ids)) NIB_FAIL(err, NIB_BAD_TOKENIZER, "the vocabulary's trie leads out of itself");
    t->trie = (text_trie){.heap = NULL, .units = (text_unit *)(uintptr_t)units, .count = h.units}; /* never freed */
    if (added && !yyjson_is_null(added) && !yyjson_is_arr(added)) NIB_FAIL(err, NIB_BAD_TOKENIZER, "added_tokens: not an array");
    yyjson_arr_foreach(added, i, count, item) {
        const char *content;
        size_t length;
        int32_t id;
        NIB_TRY(text_json_string(item, "added_tokens", "content", &content, &length, err));
        NIB_TRY(text_json_id(yyjson_obj_get(item, "id"), "added_tokens", t->ids, &id, err));
        const text_entry e = text_entry_of(t, id);
        if (!e.bytes || e.length != length || memcmp(e.bytes, content, length) != 0)
            NIB_FAIL(err, NIB_BAD_TOKENIZER, "added_tokens: \"%s\" is not token %d of the vocabulary", content, id);
    }
fail:
    return status;
}
