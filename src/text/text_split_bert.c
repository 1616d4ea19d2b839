/* SPDX-License-Identifier: Apache-2.0
 *
 * In: normalised text. Out: its words, one after the other. BertPreTokenizer cuts at white space, which is dropped, and
 * around every punctuation character, which is a word of its own.
 */
#include "text_internal.h"
#include <string.h>

enum { LETTER, BLANK, PUNCT };

static inline uint16_t kind(const text_splitter *p, const uint8_t *s, size_t n, size_t at, size_t *bytes) {
    if (s[at] < 0x80) return *bytes = 1, p->ascii[s[at]];
    uint32_t cp;
    *bytes = text_utf8(s + at, n - at, &cp);
    return text_map_get(&p->map, cp);
}

static bool bert_next(const text_splitter *p, const uint8_t *s, size_t n, size_t at, size_t *begin, size_t *end) {
    size_t k;
    for (; at < n; at += k) {
        uint16_t first = kind(p, s, n, at, &k);
        if (first == BLANK) continue;
        *begin = at;
        at += k;
        while (first == LETTER && at < n && kind(p, s, n, at, &k) == LETTER) at += k;
        *end = at;
        return true;
    }
    return false;
}

/* Without a pre-tokenizer all of the text is one word. */
static bool whole_next(const text_splitter *p, const uint8_t *s, size_t n, size_t at, size_t *begin, size_t *end) {
    *begin = at;
    *end = n;
    return at < n;
}

static void splitter_split(const text_stage *s, text_work *w) {
    const text_splitter *p = s->data;
    for (size_t i = 0; i < w->parts.count; i++) {
        const text_part part = w->parts.items[i];
        size_t begin, end;
        if (part.id >= 0) text_part_push(w, &w->more, part.begin, part.end, part.id);
        for (size_t at = part.begin; part.id < 0 && p->next(p, w->buf.bytes, part.end, at, &begin, &end); at = end)
            text_part_push(w, &w->more, begin, end, TEXT_WORD);
    }
    text_parts_swap(w);
}

static void splitter_free(base_heap *heap, void *data) { text_map_free(&((text_splitter *)data)->map); }

nib_status text_split_none_make(text_tokenizer *t, text_stage *s, nib_error *err) {
    nib_status status = NIB_OK;
    text_splitter *p;
    NIB_TRY(text_stage_data(t, s, sizeof *p, &p, err));
    p->next = whole_next;
fail:
    return status;
}

nib_status text_split_bert_make(text_tokenizer *t, text_stage *s, nib_error *err) {
    nib_status status = NIB_OK;
    text_splitter *p;
    NIB_TRY(text_stage_data(t, s, sizeof *p, &p, err));
    s->run.split = splitter_split;
    s->free = splitter_free;
    p->next = bert_next;
    p->cuts_at_space = true;
    bool ok = text_map_init(&p->map, t->heap);
    for (size_t i = 0; i < text_punct_count; i++) ok = ok && text_map_set(&p->map, text_punct[i].first, text_punct[i].last, PUNCT);
    for (uint32_t cp = 0; cp <= 0x3000; cp++)
        if (base_is_space(cp)) ok = ok && text_map_set(&p->map, cp, cp, BLANK);
    if (!ok) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for the pre-tokenizer");
    for (uint32_t c = 0; c < 128; c++) p->ascii[c] = (uint8_t)text_map_get(&p->map, c);
fail:
    return status;
}

nib_status text_split_bert_load(text_tokenizer *t, yyjson_val *v, text_stage *s, nib_error *err) { return text_split_bert_make(t, s, err); }
