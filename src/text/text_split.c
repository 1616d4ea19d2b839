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

nib_status text_splitter_bert(text_tokenizer *t, nib_error *err) {
    text_splitter *p = &t->splitter;
    p->name = "BertPreTokenizer";
    p->next = bert_next;
    p->cuts_at_space = true;
    bool ok = text_map_init(&p->map, t->heap);
    for (size_t i = 0; i < text_punct_count; i++) ok = ok && text_map_set(&p->map, text_punct[i].first, text_punct[i].last, PUNCT);
    for (uint32_t cp = 0; cp <= 0x3000; cp++)
        if (base_is_space(cp)) ok = ok && text_map_set(&p->map, cp, cp, BLANK);
    if (!ok) return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for the pre-tokenizer");
    for (uint32_t c = 0; c < 128; c++) p->ascii[c] = (uint8_t)text_map_get(&p->map, c);
    return NIB_OK;
}

nib_status text_splitter_load(text_tokenizer *t, yyjson_val *v, nib_error *err) {
    nib_status status = NIB_OK;
    text_splitter *p = &t->splitter;
    p->name = "no pre-tokenizer";
    p->next = whole_next;
    if (!v || yyjson_is_null(v)) return NIB_OK;
    if (!yyjson_is_obj(v)) NIB_FAIL(err, NIB_BAD_TOKENIZER, "pre_tokenizer: not an object");
    yyjson_val *type = yyjson_obj_get(v, "type");
    if (!yyjson_is_str(type)) NIB_FAIL(err, NIB_BAD_TOKENIZER, "pre_tokenizer: no \"type\"");
    if (text_json_is(type, "Sequence")) {
        yyjson_val *list = yyjson_obj_get(v, "pretokenizers");
        if (!yyjson_is_arr(list)) NIB_FAIL(err, NIB_BAD_TOKENIZER, "pre_tokenizer: Sequence without an array \"pretokenizers\"");
        if (yyjson_arr_size(list) > 1) NIB_FAIL(err, NIB_UNSUPPORTED, "pre_tokenizer: Sequence of %zu", yyjson_arr_size(list));
        return text_splitter_load(t, yyjson_arr_get_first(list), err);
    }
    if (!text_json_is(type, "BertPreTokenizer")) NIB_FAIL(err, NIB_UNSUPPORTED, "pre_tokenizer: %s", yyjson_get_str(type));
    NIB_TRY(text_splitter_bert(t, err));
fail:
    return status;
}

void text_splitter_free(text_splitter *p) { text_map_free(&p->map); }
