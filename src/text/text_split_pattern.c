/* SPDX-License-Identifier: Apache-2.0
 *
 * In: {"String": s} or {"Regex": r}. Out: a pattern, and its matches in a part: by comparison or by base_regex. And
 * Split, which cuts parts at them.
 */
#include "text_internal.h"
#include "base/base_regex.h"
#include <string.h>

struct text_pattern {
    const char *literal; /* NULL: it is none */
    size_t length;
    base_regex *regex;
};

/* ---- reading */

static nib_status take_arena(void *user, size_t bytes, void **out) {
    *out = base_arena_alloc(user, bytes);
    return *out ? NIB_OK : NIB_OUT_OF_MEMORY;
}

static nib_status new_pattern(text_tokenizer *t, text_pattern **out, nib_error *err) {
    *out = base_arena_calloc(&t->arena, 1, sizeof **out);
    return *out ? NIB_OK : base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for a pattern");
}

static nib_status make_regex(text_tokenizer *t, const char *regex, size_t length, const char *where, text_pattern *p,
                             nib_error *err) {
    const base_regex_host host = {&t->arena, take_arena, NULL};
    nib_error why = {0};
    nib_status status = base_regex_make(&host, BASE_REGEX_ONIG, regex, length, &p->regex, &why);
    if (status == NIB_OK) return NIB_OK;
    if (!why.message[0]) return base_error_set(err, status, "out of memory for a pattern");
    return base_error_set(err, status == NIB_BAD_MODEL ? NIB_BAD_TOKENIZER : status, "%s: %s", where, why.message);
}

nib_status text_pattern_gpt2(text_tokenizer *t, text_pattern **out, nib_error *err) {
    static const char gpt2[] = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
    nib_status status = new_pattern(t, out, err);
    return status == NIB_OK ? make_regex(t, gpt2, sizeof gpt2 - 1, "pattern", *out, err) : status;
}

nib_status text_pattern_load(text_tokenizer *t, yyjson_val *v, const char *where, text_pattern **out, nib_error *err) {
    nib_status status = NIB_OK;
    yyjson_val *pattern = yyjson_obj_get(v, "pattern"), *string = yyjson_obj_get(pattern, "String"),
               *regex = yyjson_obj_get(pattern, "Regex");
    if (yyjson_is_str(pattern)) string = pattern; /* of old versions */
    NIB_TRY(new_pattern(t, out, err));
    if (yyjson_is_str(string) && yyjson_get_len(string) > 0) {
        (*out)->length = yyjson_get_len(string);
        (*out)->literal = base_arena_strndup(&t->arena, yyjson_get_str(string), (*out)->length);
        if (!(*out)->literal) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for a pattern");
    } else if (yyjson_is_str(string)) {
        NIB_TRY(make_regex(t, "", 0, where, *out, err)); /* it matches between all characters */
    } else if (yyjson_is_str(regex)) {
        NIB_TRY(make_regex(t, yyjson_get_str(regex), yyjson_get_len(regex), where, *out, err));
    } else {
        NIB_FAIL(err, NIB_BAD_TOKENIZER, "%s: \"pattern\" is neither a String nor a Regex", where);
    }
fail:
    return status;
}

/* ---- finding */

static bool next_literal(const text_pattern *p, const uint8_t *s, size_t n, text_find *f) {
    while (n - f->at >= p->length) {
        const uint8_t *q = memchr(s + f->at, p->literal[0], n - f->at - p->length + 1);
        if (!q) return false;
        f->begin = (size_t)(q - s);
        f->end = f->begin + p->length;
        if (memcmp(q, p->literal, p->length) == 0) return f->at = f->end, true;
        f->at = f->begin + 1;
    }
    return false;
}

typedef struct budget {
    text_work *w;
    int64_t most;
} budget;

/* A pattern that looks far ahead of each of its matches reads the text again and again; that has an end. */
static nib_status spend(void *user, int64_t steps) {
    const budget *b = user;
    b->w->steps += steps;
    return b->w->steps <= b->most ? NIB_OK : NIB_LIMIT;
}

static bool next_regex(const text_pattern *p, text_work *w, const uint8_t *s, size_t n, text_find *f) {
    void *scratch = text_work_scratch(w, base_regex_scratch(p->regex));
    budget b = {w, 8 * ((int64_t)w->buf.n + 64) * (int64_t)(base_regex_size(p->regex) + 1)};
    const base_regex_host host = {&b, NULL, spend};
    bool found = true;
    while (scratch && f->at <= n) {
        uint32_t cp;
        if (base_regex_find(p->regex, scratch, &host, (const char *)s, n, f->at, &found, &f->begin, &f->end) != NIB_OK)
            return text_fail(w, NIB_LIMIT, "a pattern of the tokenizer reads this text too often"), false;
        if (!found) return false;
        if (f->begin == f->end && f->matched && f->last == f->end) { /* not where the last match ended */
            f->at += f->at < n ? text_utf8(s + f->at, n - f->at, &cp) : 1;
            continue;
        }
        f->at = f->last = f->end;
        f->matched = true;
        return true;
    }
    return false;
}

bool text_pattern_next(const text_pattern *p, text_work *w, const uint8_t *s, size_t n, text_find *f) {
    return p->literal ? next_literal(p, s, n, f) : next_regex(p, w, s, n, f);
}

/* ---- Split */

typedef struct split_data {
    text_pattern *pattern;
    text_behavior behavior;
    bool invert;
} split_data;

static void split_part(const split_data *d, text_work *w, text_part part) {
    const uint8_t *s = w->buf.bytes + part.begin;
    text_cutter c;
    text_find f = {0};
    size_t done = 0, n = part.end - part.begin;
    text_cut_begin(&c, w, d->behavior);
    while (w->status == NIB_OK && text_pattern_next(d->pattern, w, s, n, &f)) {
        if (done != f.begin) text_cut(&c, part.begin + done, part.begin + f.begin, d->invert);
        text_cut(&c, part.begin + f.begin, part.begin + f.end, !d->invert);
        done = f.end;
    }
    if (done != n) text_cut(&c, part.begin + done, part.end, d->invert);
    text_cut_end(&c);
}

static void split(const text_stage *s, text_work *w) {
    for (size_t i = 0; i < w->parts.count && w->status == NIB_OK; i++) {
        const text_part part = w->parts.items[i];
        if (part.id >= 0) text_part_push(w, &w->more, part.begin, part.end, part.id);
        else split_part(s->data, w, part);
    }
    text_parts_swap(w);
}

nib_status text_split_pattern_load(text_tokenizer *t, yyjson_val *v, text_stage *s, nib_error *err) {
    nib_status status = NIB_OK;
    const char *where = "pre_tokenizer: Split";
    split_data *d;
    NIB_TRY(text_stage_data(t, s, sizeof *d, &d, err));
    NIB_TRY(text_behavior_load(v, where, &d->behavior, err));
    NIB_TRY(text_json_bool(v, where, "invert", false, &d->invert, err));
    NIB_TRY(text_pattern_load(t, v, where, &d->pattern, err));
    s->run.split = split;
fail:
    return status;
}
