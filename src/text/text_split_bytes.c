/* SPDX-License-Identifier: Apache-2.0
 *
 * ByteLevel: in: a text under way. Out: its parts with a space in front, cut by GPT-2's pattern, and each byte as its
 * character of an alphabet of 256 (github.com/openai/gpt-2, src/encoder.py). A model that takes bytes gets them as they
 * are: nothing is rewritten then. As a post-processor, it takes the spaces off the tokens' spans.
 */
#include "text_internal.h"
#include <string.h>

/* ---- the alphabet: bytes that are printable in Latin-1 are themselves, the others are U+0100 and on, in order */

static bool is_itself(uint32_t b) {
    return (b >= '!' && b <= '~') || (b >= 0xa1 && b <= 0xac) || (b >= 0xae && b <= 0xff);
}

uint32_t text_byte_point(uint8_t byte) {
    if (is_itself(byte)) return byte;
    return byte <= ' ' ? 0x100u + byte : byte < 0xad ? 0x121u + (byte - 0x7fu) : 0x143u;
}

int text_point_byte(uint32_t cp) {
    if (cp < 0x100) return is_itself(cp) ? (int)cp : -1;
    if (cp <= 0x120) return (int)(cp - 0x100);
    if (cp <= 0x142) return (int)(cp - 0x121 + 0x7f);
    return cp == 0x143 ? 0xad : -1;
}

bool text_put_byte(text_work *w, uint8_t byte, uint32_t from) { return text_put_point(w, text_byte_point(byte), from); }

/* ---- the pre-tokenizer */

typedef struct bytes_data {
    bool prefix, keep_bytes;
    text_pattern *pattern; /* NULL: parts stay whole */
} bytes_data;

static bool needs_prefix(const text_work *w, text_part p) { return p.id < 0 && w->buf.bytes[p.begin] != ' '; }

/* A space before each part that does not begin with one. */
static void put_prefixes(text_work *w) {
    bool any = false;
    for (size_t i = 0; i < w->parts.count; i++) any |= needs_prefix(w, w->parts.items[i]);
    if (!any) return;
    for (size_t i = 0; i < w->parts.count && w->status == NIB_OK; i++) {
        text_part *p = &w->parts.items[i];
        const size_t begin = w->next.n;
        if (needs_prefix(w, *p)) text_put(w, (const uint8_t *)" ", 1, w->buf.from[p->begin]);
        text_put_range(w, p->begin, p->end);
        p->begin = (uint32_t)begin;
        p->end = (uint32_t)w->next.n;
    }
    text_work_swap(w);
    w->next.n = 0;
}

static void cut_parts(const bytes_data *d, text_work *w) {
    for (size_t i = 0; i < w->parts.count && w->status == NIB_OK; i++) {
        const text_part p = w->parts.items[i];
        text_find f = {0};
        if (p.id >= 0) text_part_push(w, &w->more, p.begin, p.end, p.id);
        while (p.id < 0 && text_pattern_next(d->pattern, w, w->buf.bytes + p.begin, p.end - p.begin, &f))
            text_part_push(w, &w->more, p.begin + f.begin, p.begin + f.end, TEXT_WORD);
    }
    text_parts_swap(w);
}

static void put_alphabet(text_work *w) {
    for (size_t i = 0; i < w->parts.count && w->status == NIB_OK; i++) {
        text_part *p = &w->parts.items[i];
        const size_t begin = w->next.n;
        if (p->id >= 0) text_put_range(w, p->begin, p->end);
        for (size_t k = p->begin; p->id < 0 && k < p->end; k++)
            if (!text_put_byte(w, w->buf.bytes[k], w->buf.from[k])) break;
        p->begin = (uint32_t)begin;
        p->end = (uint32_t)w->next.n;
    }
    text_work_swap(w);
}

static void byte_level(const text_stage *s, text_work *w) {
    const bytes_data *d = s->data;
    if (d->prefix) put_prefixes(w);
    if (d->pattern) cut_parts(d, w);
    if (!d->keep_bytes && w->status == NIB_OK) put_alphabet(w);
}

nib_status text_split_bytes_load(text_tokenizer *t, yyjson_val *v, text_stage *s, nib_error *err) {
    nib_status status = NIB_OK;
    bytes_data *d;
    bool cuts;
    NIB_TRY(text_stage_data(t, s, sizeof *d, &d, err));
    s->run.split = byte_level;
    NIB_TRY(text_json_bool(v, "pre_tokenizer: ByteLevel", "add_prefix_space", true, &d->prefix, err));
    NIB_TRY(text_json_bool(v, "pre_tokenizer: ByteLevel", "use_regex", true, &cuts, err));
    if (cuts) NIB_TRY(text_pattern_gpt2(t, &d->pattern, err));
fail:
    return status;
}

bool text_split_is_bytes(const text_stage *s) { return s->run.split == byte_level; }

void text_split_set_prefix(text_stage *s, bool prefix) { ((bytes_data *)s->data)->prefix = prefix; }

void text_split_keep_bytes(text_stage *s) { ((bytes_data *)s->data)->keep_bytes = true; }

/* ---- the post-processor */

typedef struct trim_data {
    bool prefix;
} trim_data;

/* How many of the first (or last) characters of s[0..n) are spaces, or the character of one. */
static size_t count_spaces(const uint8_t *s, size_t n, bool last) {
    uint32_t cp;
    size_t count = 0;
    for (size_t at = last ? n : 0; last ? at > 0 : at < n; count++) {
        if (last) at = text_back(s, at, &cp);
        else at += text_utf8(s + at, n - at, &cp);
        if (cp != 0x120 && !base_is_space(cp)) break;
    }
    return count;
}

/* `count` characters on from `at`, not beyond `end`. */
static uint32_t forward(const uint8_t *text, uint32_t at, uint32_t end, size_t count) {
    uint32_t cp;
    for (; count && at < end; count--) at += (uint32_t)text_utf8(text + at, end - at, &cp);
    return at;
}

/* As many back, not beyond `begin`; if there are not so many in the text, none. */
static uint32_t backward(const uint8_t *text, uint32_t begin, uint32_t end, size_t count) {
    uint32_t cp;
    size_t at = end;
    for (; count && at > 0; count--) at = text_back(text, at, &cp);
    if (count) return end;
    return at > begin ? (uint32_t)at : begin;
}

static void trim(const text_stage *s, const text_tokenizer *t, const uint8_t *text, size_t length, text_raw *tokens,
                 size_t n) {
    const trim_data *d = s->data;
    for (size_t i = 0; i < n; i++) {
        text_raw *r = &tokens[i];
        const text_entry e = text_entry_of(t, r->id);
        /* Of an added token what it took in of the text counts, not what it is called. */
        const uint8_t *name = r->added ? text + r->begin : (const uint8_t *)e.bytes;
        const size_t bytes = r->added ? r->end - r->begin : e.length;
        size_t leading = count_spaces(name, bytes, false), trailing = count_spaces(name, bytes, true);
        /* A single space at the front may be the one that was put there. */
        if (leading == 1 && d->prefix && (i == 0 || r->begin == 0)) leading = 0;
        if (leading) r->begin = forward(text, r->begin, r->end, leading);
        if (trailing) r->end = backward(text, r->begin, r->end, trailing);
    }
}

nib_status text_post_bytes_load(text_tokenizer *t, yyjson_val *v, text_stage *s, nib_error *err) {
    nib_status status = NIB_OK;
    trim_data *d;
    bool trims;
    NIB_TRY(text_stage_data(t, s, sizeof *d, &d, err));
    NIB_TRY(text_json_bool(v, "post_processor", "add_prefix_space", true, &d->prefix, err));
    NIB_TRY(text_json_bool(v, "post_processor", "trim_offsets", true, &trims, err));
    if (trims) s->run.trim = trim;
fail:
    return status;
}
