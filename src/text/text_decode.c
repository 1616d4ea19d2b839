/* SPDX-License-Identifier: Apache-2.0
 *
 * In: ids. Out: text. The strings of the tokens go through the decoders one after the other, each of which makes a list
 * of strings from one, and are joined.
 */
#include "text_decode.h"
#include <string.h>

bool text_decoding_end(text_decoding *d) {
    if (d->count == d->cap && !base_grow(d->heap, (void **)&d->ends, &d->cap, d->count + 1, sizeof *d->ends))
        d->bytes.failed = true;
    if (d->bytes.failed) return false;
    d->ends[d->count++] = d->bytes.length;
    return true;
}

static void decoding_free(text_decoding *d) {
    base_free(d->heap, d->ends);
    base_str_free(&d->bytes);
}

static void decoding_swap(text_decoding *a, text_decoding *b) {
    text_decoding c = *a;
    text_decoding *other = a->next;
    *a = *b;
    *b = c;
    a->next = other;
    b->next = NULL;
}

/* The string that an id has when it is decoded: of an added token that is normalised, the normalised form. */
static text_entry decoded_entry(const text_tokenizer *t, int32_t id, bool *special) {
    *special = false;
    if (id < 0 || (size_t)id >= t->ids) return (text_entry){0};
    text_entry e = text_entry_of(t, id);
    if (!t->added_at[id]) return e;
    const text_added_token *a = &t->added[t->added_at[id] - 1];
    if (a->normalized) e = (text_entry){.bytes = a->form, .length = (uint32_t)a->form_length};
    *special = a->special && e.length == a->length && memcmp(e.bytes, a->content, a->length) == 0;
    return e;
}

/* Of the strings in *first, which it frees. */
static nib_status decode(const text_tokenizer *t, text_decoding *first, base_str *out, nib_error *err) {
    nib_status status = NIB_OK;
    const text_stages *list = &t->stages[TEXT_DECODER];
    text_decoding d = *first, next = {.heap = out->heap, .t = t};
    const size_t n = d.count;
    base_str_init(&next.bytes, out->heap);
    if (t->no_decoder) NIB_FAIL(err, NIB_UNSUPPORTED, "%s", t->no_decoder);
    d.next = &next;
    for (size_t i = 0; i < list->count && !d.bytes.failed; i++) {
        next.count = 0;
        base_str_clear(&next.bytes);
        list->items[i].run.decode(&list->items[i], &d);
        d.bytes.failed |= next.bytes.failed;
        decoding_swap(&d, &next);
        d.next = &next;
    }
    for (size_t i = 0; i < d.count && !d.bytes.failed; i++) {
        if (i && !list->count) base_str_add_bytes(out, " ", 1);
        text_entry e = text_decoding_at(&d, i);
        base_str_add_bytes(out, e.bytes, e.length);
    }
    if (d.bytes.failed || next.bytes.failed || out->failed)
        NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for a text of %zu tokens", n);
fail:
    decoding_free(&d);
    decoding_free(&next);
    return status;
}

nib_status text_decode(const text_tokenizer *t, const int32_t *ids, size_t n, bool skip_special, base_str *out,
                       nib_error *err) {
    text_decoding d = {.heap = out->heap, .t = t};
    base_str_init(&d.bytes, out->heap);
    for (size_t i = 0; i < n; i++) {
        bool special;
        const text_entry e = decoded_entry(t, ids[i], &special);
        if (!e.bytes || (special && skip_special)) continue;
        base_str_add_bytes(&d.bytes, e.bytes, e.length);
        text_decoding_end(&d);
    }
    return decode(t, &d, out, err);
}

nib_status text_decode_strings(const text_tokenizer *t, const text_string *strings, size_t n, base_str *out,
                               nib_error *err) {
    text_decoding d = {.heap = out->heap, .t = t};
    base_str_init(&d.bytes, out->heap);
    for (size_t i = 0; i < n; i++) {
        base_str_add_bytes(&d.bytes, strings[i].bytes, strings[i].length);
        text_decoding_end(&d);
    }
    return decode(t, &d, out, err);
}
