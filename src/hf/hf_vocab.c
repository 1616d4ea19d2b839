/* SPDX-License-Identifier: Apache-2.0
 *
 * See hf_vocab.h. In: the bytes of a vocabulary's files. Out: pieces with ids, and merges.
 */
#include "hf_vocab.h"
#include "base/base_unicode.h"
#include "base/base_sort.h"
#include <string.h>

#define MOST_PIECES ((size_t)1 << 22)
#define MOST_MERGES ((size_t)1 << 24)
#define MOST_MERGED_BYTES 256 /* a piece has as many ways to be merged as characters, and each is written out */

static nib_status no_memory(nib_error *err) {
    return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for the tokenizer");
}

static uint64_t hash(const char *s, size_t n) { /* FNV-1a, whose upper bits are then mixed in */
    uint64_t h = 14695981039346656037u;
    for (size_t i = 0; i < n; i++) h = (h ^ (uint8_t)s[i]) * 1099511628211u;
    return h ^ h >> 29;
}

/* Where the text is or would be. */
static uint32_t *slot_of(const hf_vocab *v, const char *text, size_t length) {
    for (size_t at = hash(text, length) & (v->n_slots - 1);; at = (at + 1) & (v->n_slots - 1)) {
        uint32_t *slot = &v->slots[at];
        if (!*slot) return slot;
        const hf_bytes *t = &v->items[*slot - 1].text;
        if (t->length == length && memcmp(t->data, text, length) == 0) return slot;
    }
}

static bool widen(hf_vocab *v) {
    const size_t wider = v->n_slots ? v->n_slots * 2 : 1024;
    uint32_t *slots = base_calloc(v->heap, wider, sizeof *slots);
    if (!slots) return false;
    base_free(v->heap, v->slots);
    v->slots = slots;
    v->n_slots = wider;
    for (size_t i = 0; i < v->count; i++) *slot_of(v, v->items[i].text.data, v->items[i].text.length) = (uint32_t)i + 1;
    return true;
}

nib_status hf_vocab_add(hf_vocab *v, hf_piece piece, nib_error *err) {
    if (v->count == MOST_PIECES) return base_error_set(err, NIB_LIMIT, "the vocabulary has more than 2^22 pieces");
    if (v->count * 2 >= v->n_slots && !widen(v)) return no_memory(err);
    if (!base_grow(v->heap, (void **)&v->items, &v->cap, v->count + 1, sizeof *v->items)) return no_memory(err);
    v->items[v->count] = piece;
    uint32_t *slot = slot_of(v, piece.text.data, piece.text.length);
    v->distinct += !*slot;
    *slot = (uint32_t)++v->count;
    if (piece.id > v->largest || v->count == 1) v->largest = piece.id;
    return NIB_OK;
}

const hf_piece *hf_vocab_find(const hf_vocab *v, const char *text, size_t length) {
    const uint32_t *slot = v->n_slots ? slot_of(v, text, length) : NULL;
    return slot && *slot ? &v->items[*slot - 1] : NULL;
}

void hf_vocab_free(hf_vocab *v) {
    if (!v->heap) return;
    base_free(v->heap, v->items);
    base_free(v->heap, v->slots);
    *v = (hf_vocab){0};
}

/* ---- files */

/* Without white space at the end. */
static size_t trimmed(const char *s, size_t n) {
    while (n) {
        size_t from = n - 1;
        uint32_t cp;
        while (from && n - from < 4 && ((uint8_t)s[from] & 0xc0) == 0x80) from--;
        if (base_utf8_decode(s + from, n - from, &cp) != (int)(n - from) || !base_is_space(cp)) break;
        n = from;
    }
    return n;
}

nib_status hf_vocab_read_lines(hf_vocab *v, const char *bytes, size_t size, nib_error *err) {
    nib_status status = NIB_OK;
    int32_t id = 0;
    for (size_t at = 0, next; at < size; at = next, id++) {
        const char *end = memchr(bytes + at, '\n', size - at);
        const size_t n = end ? (size_t)(end - bytes) - at : size - at;
        next = at + n + 1;
        if (!hf_is_utf8(bytes + at, n))
            NIB_FAIL(err, NIB_BAD_TOKENIZER, "vocab.txt, byte %zu: a line that is not UTF-8", at);
        NIB_TRY(hf_vocab_add(v, (hf_piece){{bytes + at, trimmed(bytes + at, n)}, 0, id, HF_PIECE_NORMAL}, err));
    }
    if (!v->count) NIB_FAIL(err, NIB_BAD_TOKENIZER, "vocab.txt: there is no token in it");
fail:
    return status;
}

nib_status hf_vocab_read_json(hf_vocab *v, yyjson_val *root, nib_error *err) {
    nib_status status = NIB_OK;
    size_t i, n;
    yyjson_val *key, *id;
    yyjson_obj_foreach(root, i, n, key, id) {
        if (!yyjson_is_uint(id) || yyjson_get_uint(id) > INT32_MAX)
            NIB_FAIL(err, NIB_BAD_TOKENIZER, "vocab.json: the id of \"%.60s\" is no number of an id",
                     yyjson_get_str(key));
        const hf_bytes text = {yyjson_get_str(key), yyjson_get_len(key)};
        NIB_TRY(hf_vocab_add(v, (hf_piece){text, 0, (int32_t)yyjson_get_uint(id), HF_PIECE_NORMAL}, err));
    }
    if (!v->count) NIB_FAIL(err, NIB_BAD_TOKENIZER, "vocab.json: there is no token in it");
fail:
    return status;
}

nib_status hf_vocab_read_merges(base_json_draft *d, yyjson_mut_val *merges, const char *bytes, size_t size,
                                nib_error *err) {
    static const char version[] = "#version";
    size_t count = 0;
    for (size_t at = 0, next; at < size; at = next) {
        const char *end = memchr(bytes + at, '\n', size - at), *line = bytes + at;
        size_t n = end ? (size_t)(end - line) : size - at;
        next = at + n + 1;
        if (n && line[n - 1] == '\r') n--;
        if (n >= sizeof version - 1 && memcmp(line, version, sizeof version - 1) == 0) continue;
        const char *space = memchr(line, ' ', n);
        if (!space || memchr(space + 1, ' ', n - (size_t)(space + 1 - line)) || !hf_is_utf8(line, n))
            return base_error_set(err, NIB_BAD_TOKENIZER,
                                  "merges.txt, byte %zu: not two tokens with a space between them", at);
        if (++count > MOST_MERGES) return base_error_set(err, NIB_LIMIT, "merges.txt: more than 2^24 merges");
        yyjson_mut_arr_append(merges, yyjson_mut_strn(d->doc, line, n));
    }
    return NIB_OK;
}

/* ---- merges that follow from the pieces */

typedef struct merge {
    const hf_piece *whole, *left, *right;
} merge;

static int by_number(int64_t a, int64_t b) { return (a > b) - (a < b); }

static size_t characters(const hf_bytes *t) {
    size_t n = 0;
    for (size_t i = 0; i < t->length; i++) n += ((uint8_t)t->data[i] & 0xc0) != 0x80;
    return n;
}

static int by_text(const hf_bytes *a, const hf_bytes *b) { /* bytes of UTF-8 are ordered as its characters are */
    const size_t n = a->length < b->length ? a->length : b->length;
    const int order = memcmp(a->data, b->data, n);
    return order ? order : by_number((int64_t)a->length, (int64_t)b->length);
}

/* generate_merges sorts a piece's ways by the ids of their parts, and all stably by id and lengths. */
static int by_id(const void *x, const void *y) {
    const merge *a = x, *b = y;
    int order = by_number(a->whole->id, b->whole->id);
    if (!order) order = by_number((int64_t)characters(&a->left->text), (int64_t)characters(&b->left->text));
    if (!order) order = by_number((int64_t)characters(&a->right->text), (int64_t)characters(&b->right->text));
    if (!order) order = by_number(a->left->id, b->left->id);
    return order ? order : by_number(a->right->id, b->right->id);
}

static int by_score_id(const void *x, const void *y) {
    const merge *a = x, *b = y;
    if (a->whole->score > b->whole->score || a->whole->score < b->whole->score)
        return a->whole->score > b->whole->score ? -1 : 1;
    int order = by_number(a->whole->id, b->whole->id);
    if (!order) order = by_text(&a->left->text, &b->left->text);
    return order ? order : by_text(&a->right->text, &b->right->text);
}

static nib_status find_merges(const hf_vocab *v, bool by_score, merge **all, size_t *count, size_t *cap,
                              nib_error *err) {
    for (size_t i = 0; i < v->count; i++) {
        const hf_piece *p = &v->items[i];
        if (by_score && p->type != HF_PIECE_NORMAL) continue;
        if (hf_vocab_find(v, p->text.data, p->text.length) != p) continue; /* a later one of its text counts */
        if (p->text.length > MOST_MERGED_BYTES)
            return base_error_set(err, NIB_LIMIT, "SentencePiece model: piece %d of a BPE has more than %d bytes",
                                  p->id, MOST_MERGED_BYTES);
        for (size_t cut = 1; cut < p->text.length; cut++) {
            if (((uint8_t)p->text.data[cut] & 0xc0) == 0x80) continue;
            const hf_piece *left = hf_vocab_find(v, p->text.data, cut),
                           *right = left ? hf_vocab_find(v, p->text.data + cut, p->text.length - cut) : NULL;
            if (!right || (by_score && (left->type != HF_PIECE_NORMAL || right->type != HF_PIECE_NORMAL))) continue;
            if (*count == MOST_MERGES)
                return base_error_set(err, NIB_LIMIT, "SentencePiece model: more than 2^24 merges follow from it");
            if (!base_grow(v->heap, (void **)all, cap, *count + 1, sizeof **all)) return no_memory(err);
            (*all)[(*count)++] = (merge){p, left, right};
        }
    }
    return NIB_OK;
}

nib_status hf_vocab_make_merges(const hf_vocab *v, base_json_draft *d, yyjson_mut_val *merges, bool by_score,
                                nib_error *err) {
    nib_status status = NIB_OK;
    merge *all = NULL;
    size_t count = 0, cap = 0;
    NIB_TRY(find_merges(v, by_score, &all, &count, &cap, err));
    base_sort(all, count, sizeof *all, by_score ? by_score_id : by_id);
    for (size_t i = 0; i < count; i++) {
        yyjson_mut_val *pair = yyjson_mut_arr(d->doc); /* a list, as a piece may hold a space */
        yyjson_mut_arr_append(pair, base_json_text_n(d, all[i].left->text.data, all[i].left->text.length));
        yyjson_mut_arr_append(pair, base_json_text_n(d, all[i].right->text.data, all[i].right->text.length));
        yyjson_mut_arr_append(merges, pair);
    }
fail:
    base_free(v->heap, all);
    return status;
}
