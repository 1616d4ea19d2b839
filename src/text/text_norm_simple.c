/* SPDX-License-Identifier: Apache-2.0
 *
 * In: a text under way. Out: the same, changed character by character: Lowercase, StripAccents, Strip, Nmt, Prepend,
 * Replace, ByteLevel.
 */
#include "text_internal.h"
#include <string.h>

static text_change whole(text_work *w) { return (text_change){w, 0, 0, w->buf.n}; }

/* The character at `at` of the buffer, and where the next one begins. */
static size_t next_point(const text_work *w, size_t at, uint32_t *cp) {
    return at + text_utf8(w->buf.bytes + at, w->buf.n - at, cp);
}

/* ---- Lowercase */

static void lowercase(const text_stage *s, text_work *w) {
    text_change c = whole(w);
    uint32_t cp;
    for (size_t at = 0; at < w->buf.n && w->status == NIB_OK;) {
        at = next_point(w, at, &cp);
        text_change_put(&c, text_to_lower(cp), 0);
        if (cp == 0x130) text_change_put(&c, 0x307, 1);
    }
    text_work_swap(w);
}

nib_status text_norm_lowercase_load(text_tokenizer *t, yyjson_val *v, text_stage *s, nib_error *err) {
    s->run.normalize = lowercase;
    return NIB_OK;
}

/* ---- what keeps some characters and drops the others */

typedef bool keeps(uint32_t cp);

static void filter(text_work *w, keeps *keep) {
    uint32_t cp;
    for (size_t at = 0, end; at < w->buf.n && w->status == NIB_OK; at = end) {
        end = next_point(w, at, &cp);
        if (keep(cp)) text_put_range(w, at, end);
    }
    text_work_swap(w);
}

static bool is_no_mark(uint32_t cp) { return !base_in_ranges(text_combining, text_combining_count, cp); }

static void strip_accents(const text_stage *s, text_work *w) { filter(w, is_no_mark); }

nib_status text_norm_strip_accents_load(text_tokenizer *t, yyjson_val *v, text_stage *s, nib_error *err) {
    s->run.normalize = strip_accents;
    return NIB_OK;
}

static bool nmt_keeps(uint32_t cp) {
    return !((cp >= 1 && cp <= 8) || cp == 0xb || (cp >= 0xe && cp <= 0x1f) || cp == 0x7f || cp == 0x8f || cp == 0x9f);
}

static bool nmt_space(uint32_t cp) {
    return cp == 9 || cp == 10 || cp == 12 || cp == 13 || cp == 0x1680 || (cp >= 0x200b && cp <= 0x200f) ||
           cp == 0x2028 || cp == 0x2029 || cp == 0x2581 || cp == 0xfeff || cp == 0xfffd;
}

static void nmt(const text_stage *s, text_work *w) {
    uint32_t cp;
    filter(w, nmt_keeps);
    w->next.n = 0;
    text_change c = whole(w);
    for (size_t at = 0; at < w->buf.n && w->status == NIB_OK;) {
        at = next_point(w, at, &cp);
        text_change_put(&c, nmt_space(cp) ? ' ' : cp, 0);
    }
    text_work_swap(w);
}

nib_status text_norm_nmt_load(text_tokenizer *t, yyjson_val *v, text_stage *s, nib_error *err) {
    s->run.normalize = nmt;
    return NIB_OK;
}

/* ---- Strip */

typedef struct strip_data {
    bool left, right;
} strip_data;

static void strip(const text_stage *s, text_work *w) {
    const strip_data *d = s->data;
    size_t begin = 0, end = w->buf.n, at;
    uint32_t cp;
    for (; d->left && begin < end; begin = at) {
        at = next_point(w, begin, &cp);
        if (!base_is_space(cp)) break;
    }
    for (; d->right && begin < end; end = at) {
        at = text_back(w->buf.bytes, end, &cp);
        if (!base_is_space(cp)) break;
    }
    text_put_range(w, begin, end);
    text_work_swap(w);
}

nib_status text_norm_strip_load(text_tokenizer *t, yyjson_val *v, text_stage *s, nib_error *err) {
    nib_status status = NIB_OK;
    strip_data *d;
    NIB_TRY(text_stage_data(t, s, sizeof *d, &d, err));
    NIB_TRY(text_json_bool(v, "normalizer: Strip", "strip_left", true, &d->left, err));
    NIB_TRY(text_json_bool(v, "normalizer: Strip", "strip_right", true, &d->right, err));
    s->run.normalize = strip;
fail:
    return status;
}

/* ---- Prepend */

typedef struct prepend_data {
    const char *bytes;
    size_t length;
} prepend_data;

static void prepend(const text_stage *s, text_work *w) {
    const prepend_data *d = s->data;
    if (!w->buf.n || !d->length) return;
    text_put(w, (const uint8_t *)d->bytes, d->length, w->buf.from[0]);
    text_put_range(w, 0, w->buf.n);
    text_work_swap(w);
}

nib_status text_norm_prepend_load(text_tokenizer *t, yyjson_val *v, text_stage *s, nib_error *err) {
    nib_status status = NIB_OK;
    prepend_data *d;
    const char *bytes;
    NIB_TRY(text_stage_data(t, s, sizeof *d, &d, err));
    NIB_TRY(text_json_string(v, "normalizer: Prepend", "prepend", &bytes, &d->length, err));
    d->bytes = base_arena_strndup(&t->arena, bytes, d->length);
    if (!d->bytes) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for the normalizer");
    s->run.normalize = prepend;
fail:
    return status;
}

/* ---- Replace */

typedef struct replace_data {
    text_pattern *pattern;
    const char *bytes;
    size_t length;
} replace_data;

/* What is put in comes from where the last byte comes from that it replaces; nothing replaced: from where the byte
 * before it does. */
static void replace(const text_stage *s, text_work *w) {
    const replace_data *d = s->data;
    text_find f = {0};
    size_t done = 0;
    if (!w->buf.n) return;
    while (w->status == NIB_OK && text_pattern_next(d->pattern, w, w->buf.bytes, w->buf.n, &f)) {
        text_put_range(w, done, f.begin);
        text_put(w, (const uint8_t *)d->bytes, d->length,
                 f.end ? w->buf.from[f.end - 1] : w->buf.from[0] | TEXT_INSERTED);
        done = f.end;
    }
    text_put_range(w, done, w->buf.n);
    text_work_swap(w);
}

nib_status text_norm_replace_load(text_tokenizer *t, yyjson_val *v, text_stage *s, nib_error *err) {
    nib_status status = NIB_OK;
    replace_data *d;
    const char *bytes;
    NIB_TRY(text_stage_data(t, s, sizeof *d, &d, err));
    NIB_TRY(text_pattern_load(t, v, "normalizer: Replace", &d->pattern, err));
    NIB_TRY(text_json_string(v, "normalizer: Replace", "content", &bytes, &d->length, err));
    d->bytes = base_arena_strndup(&t->arena, bytes, d->length);
    if (!d->bytes) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for the normalizer");
    s->run.normalize = replace;
fail:
    return status;
}

/* ---- ByteLevel: each byte becomes its character */

static void to_bytes(const text_stage *s, text_work *w) {
    for (size_t i = 0; i < w->buf.n && w->status == NIB_OK; i++) text_put_byte(w, w->buf.bytes[i], w->buf.from[i]);
    text_work_swap(w);
}

nib_status text_norm_bytes_load(text_tokenizer *t, yyjson_val *v, text_stage *s, nib_error *err) {
    s->run.normalize = to_bytes;
    return NIB_OK;
}
