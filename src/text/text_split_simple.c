/* SPDX-License-Identifier: Apache-2.0
 *
 * In: a text under way. Out: its parts cut by the class of each character: WhitespaceSplit, Whitespace, Punctuation,
 * Digits; and Metaspace, which writes another character for spaces and cuts before it.
 */
#include "text_internal.h"
#include <string.h>

/* Classes in the map. */
enum { PLAIN, MATCH, SPACE };

typedef struct class_data {
    text_map map;
    text_behavior behavior;
} class_data;

/* Every character of class MATCH is a match of its own. */
static void cut_part(const class_data *d, text_work *w, text_part part) {
    const uint8_t *s = w->buf.bytes;
    text_cutter c;
    uint32_t cp;
    size_t done = part.begin;
    text_cut_begin(&c, w, d->behavior);
    for (size_t at = part.begin, end; at < part.end; at = end) {
        end = at + text_utf8(s + at, part.end - at, &cp);
        if (text_map_get(&d->map, cp) != MATCH) continue;
        if (done < at) text_cut(&c, done, at, false);
        text_cut(&c, at, end, true);
        done = end;
    }
    if (done < part.end) text_cut(&c, done, part.end, false);
    text_cut_end(&c);
}

/* Runs of one class are parts; spaces are dropped. */
static void run_part(const class_data *d, text_work *w, text_part part) {
    const uint8_t *s = w->buf.bytes;
    uint32_t cp;
    uint16_t last = SPACE;
    size_t begin = part.begin;
    for (size_t at = part.begin; at < part.end;) {
        size_t k = text_utf8(s + at, part.end - at, &cp);
        uint16_t class = text_map_get(&d->map, cp);
        if (class != last) {
            if (last != SPACE) text_part_push(w, &w->more, begin, at, TEXT_WORD);
            begin = at;
            last = class;
        }
        at += k;
    }
    if (last != SPACE) text_part_push(w, &w->more, begin, part.end, TEXT_WORD);
}

static void for_parts(const class_data *d, text_work *w,
                      void (*part)(const class_data *d, text_work *w, text_part part)) {
    for (size_t i = 0; i < w->parts.count && w->status == NIB_OK; i++) {
        const text_part p = w->parts.items[i];
        if (p.id >= 0) text_part_push(w, &w->more, p.begin, p.end, p.id);
        else part(d, w, p);
    }
    text_parts_swap(w);
}

static void cut(const text_stage *s, text_work *w) { for_parts(s->data, w, cut_part); }
static void cut_runs(const text_stage *s, text_work *w) { for_parts(s->data, w, run_part); }

static void class_free(base_heap *heap, void *data) { text_map_free(&((class_data *)data)->map); }

/* Data with the ranges in the map, as MATCH. */
static nib_status class_make(text_tokenizer *t, text_stage *s, const base_range *ranges, size_t n, class_data **out,
                             nib_error *err) {
    class_data *d;
    nib_status status = text_stage_data(t, s, sizeof *d, &d, err);
    *out = d;
    if (status != NIB_OK) return status;
    s->free = class_free;
    s->run.split = cut;
    bool ok = text_map_init(&d->map, t->heap);
    for (size_t i = 0; ok && i < n; i++) ok = text_map_set(&d->map, ranges[i].first, ranges[i].last, MATCH);
    return ok ? NIB_OK : base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for the pre-tokenizer");
}

static nib_status mark_spaces(class_data *d, uint16_t class, nib_error *err) {
    for (uint32_t cp = 0; cp <= 0x3000; cp++)
        if (base_is_space(cp) && !text_map_set(&d->map, cp, cp, class))
            return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for the pre-tokenizer");
    return NIB_OK;
}

nib_status text_split_spaces_load(text_tokenizer *t, yyjson_val *v, text_stage *s, nib_error *err) {
    nib_status status = NIB_OK;
    class_data *d;
    NIB_TRY(class_make(t, s, NULL, 0, &d, err));
    NIB_TRY(mark_spaces(d, MATCH, err));
    d->behavior = TEXT_REMOVED;
fail:
    return status;
}

/* \w+|[^\w\s]+ */
nib_status text_split_whitespace_load(text_tokenizer *t, yyjson_val *v, text_stage *s, nib_error *err) {
    nib_status status = NIB_OK;
    class_data *d;
    NIB_TRY(class_make(t, s, base_word, base_word_count, &d, err));
    NIB_TRY(mark_spaces(d, SPACE, err));
    s->run.split = cut_runs;
fail:
    return status;
}

nib_status text_split_punctuation_load(text_tokenizer *t, yyjson_val *v, text_stage *s, nib_error *err) {
    nib_status status = NIB_OK;
    class_data *d;
    NIB_TRY(class_make(t, s, text_punct, text_punct_count, &d, err));
    d->behavior = TEXT_ISOLATED;
    if (yyjson_obj_get(v, "behavior")) NIB_TRY(text_behavior_load(v, "pre_tokenizer: Punctuation", &d->behavior, err));
fail:
    return status;
}

nib_status text_split_digits_load(text_tokenizer *t, yyjson_val *v, text_stage *s, nib_error *err) {
    nib_status status = NIB_OK;
    class_data *d;
    bool single;
    NIB_TRY(class_make(t, s, text_numeric, text_numeric_count, &d, err));
    NIB_TRY(text_json_bool(v, "pre_tokenizer: Digits", "individual_digits", false, &single, err));
    d->behavior = single ? TEXT_ISOLATED : TEXT_CONTIGUOUS;
fail:
    return status;
}

/* ---- Metaspace */

typedef enum scheme { ALWAYS, FIRST, NEVER } scheme;

typedef struct meta_data {
    char bytes[4]; /* the character in place of a space */
    size_t length;
    scheme scheme;
    bool split;
} meta_data;

static bool begins_so(const meta_data *d, const uint8_t *s, size_t n) {
    return s[0] == ' ' || (n >= d->length && memcmp(s, d->bytes, d->length) == 0);
}

/* The part's new bytes behind `next`, and its pieces. */
static void meta_part(const meta_data *d, text_work *w, text_part part) {
    const uint8_t *s = w->buf.bytes;
    const uint8_t *meta = (const uint8_t *)d->bytes;
    size_t begin = w->next.n, from = begin;
    if (d->scheme != NEVER && !begins_so(d, s + part.begin, part.end - part.begin) &&
        (d->scheme == ALWAYS || text_part_place(w, part.begin) == 0))
        text_put(w, meta, d->length, w->buf.from[part.begin]);
    for (size_t at = part.begin, k; at < part.end && w->status == NIB_OK; at = k) {
        for (k = at; k < part.end && s[k] != ' ';) k++;
        text_put_range(w, at, k);
        if (k < part.end) text_put(w, meta, d->length, w->buf.from[k]), k++;
    }
    const uint8_t *out = w->next.bytes;
    for (size_t i = begin; d->split && i + d->length <= w->next.n; i++) {
        if (i == from || memcmp(out + i, d->bytes, d->length) != 0) continue;
        text_part_push(w, &w->more, from, i, TEXT_WORD);
        from = i;
    }
    text_part_push(w, &w->more, from, w->next.n, TEXT_WORD);
}

static void metaspace(const text_stage *s, text_work *w) {
    for (size_t i = 0; i < w->parts.count && w->status == NIB_OK; i++) {
        const text_part part = w->parts.items[i];
        const size_t begin = w->next.n;
        if (part.id < 0) {
            meta_part(s->data, w, part);
        } else {
            text_put_range(w, part.begin, part.end);
            text_part_push(w, &w->more, begin, w->next.n, part.id);
        }
    }
    text_work_swap(w);
    text_parts_swap(w);
}

nib_status text_split_metaspace_load(text_tokenizer *t, yyjson_val *v, text_stage *s, nib_error *err) {
    nib_status status = NIB_OK;
    static const char *const names[] = {"always", "first", "never"};
    const char *where = "pre_tokenizer: Metaspace";
    yyjson_val *name = yyjson_obj_get(v, "prepend_scheme");
    meta_data *d;
    uint32_t cp;
    bool prefix;
    NIB_TRY(text_stage_data(t, s, sizeof *d, &d, err));
    NIB_TRY(text_json_point(v, where, "replacement", &cp, err));
    NIB_TRY(text_json_bool(v, where, "split", true, &d->split, err));
    NIB_TRY(text_json_bool(v, where, "add_prefix_space", true, &prefix, err));
    int which = name ? -1 : ALWAYS;
    for (int i = 0; i < 3; i++)
        if (text_json_is(name, names[i])) which = i;
    if (which < 0) NIB_FAIL(err, NIB_BAD_TOKENIZER, "%s: \"prepend_scheme\" is none that there is", where);
    if (!prefix && which != NEVER)
        NIB_FAIL(err, NIB_BAD_TOKENIZER, "%s: \"add_prefix_space\" and \"prepend_scheme\" differ", where);
    d->scheme = (scheme)which;
    d->length = (size_t)base_utf8_encode(cp, d->bytes);
    s->run.split = metaspace;
fail:
    return status;
}
