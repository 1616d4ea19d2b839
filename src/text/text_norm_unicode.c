/* SPDX-License-Identifier: Apache-2.0
 *
 * In: a text under way. Out: its Unicode normal form (https://unicode.org/reports/tr15/), NFD, NFC, NFKD or NFKC.
 *
 * Characters go out with the changes that the library's iterators give them (text_change): of a decomposition the first
 * replaces and the others are new; marks that change places keep theirs; of a composition, the parts from other
 * characters are dropped behind it. Marks wait until a character of class 0 comes.
 */
#include "text_internal.h"
#include <string.h>

typedef struct point {
    uint32_t cp;
    uint8_t class;
    int change;
} point;

/* What waits: a character of class 0, perhaps, and the marks behind it. */
typedef struct waiting {
    text_work *w;
    text_change out;
    point *marks; /* [cap] */
    point *sorted;
    size_t n, cap;
    bool compose, compatible;
    bool has_starter;
    point starter;
} waiting;

typedef struct form {
    bool compose, compatible;
} form;

/* Stable, by class: a counting sort, so that a text of nothing but marks takes linear time. */
static void sort_marks(waiting *s) {
    size_t at[257] = {0};
    bool sorted = true;
    for (size_t i = 1; i < s->n && sorted; i++) sorted = s->marks[i - 1].class <= s->marks[i].class;
    if (sorted) return;
    for (size_t i = 0; i < s->n; i++) at[s->marks[i].class + 1]++;
    for (size_t k = 1; k < 257; k++) at[k] += at[k - 1];
    for (size_t i = 0; i < s->n; i++) s->sorted[at[s->marks[i].class]++] = s->marks[i];
    point *p = s->marks;
    s->marks = s->sorted;
    s->sorted = p;
}

/* The starter takes in the marks that it composes with; what is left of them stays, in order. */
static void compose_marks(waiting *s) {
    size_t kept = 0;
    uint8_t last = 0;
    for (size_t i = 0; i < s->n; i++) {
        const point m = s->marks[i];
        uint32_t both = last < m.class ? text_compose(s->starter.cp, m.cp) : 0;
        if (both) {
            s->starter.cp = both;
            s->starter.change += m.change - 1;
        } else {
            s->marks[kept++] = m;
            last = m.class;
        }
    }
    s->n = kept;
}

static void put(waiting *s, point p) { text_change_put(&s->out, p.cp, p.change); }

static void flush(waiting *s) {
    if (s->has_starter) put(s, s->starter);
    for (size_t i = 0; i < s->n; i++) put(s, s->marks[i]);
    s->has_starter = false;
    s->n = 0;
}

static void add_starter(waiting *s, point p) {
    sort_marks(s);
    if (s->compose && s->has_starter) {
        compose_marks(s);
        uint32_t both = s->n ? 0 : text_compose(s->starter.cp, p.cp);
        if (both) {
            s->starter.cp = both;
            s->starter.change += p.change - 1;
            return;
        }
    }
    flush(s);
    s->starter = p;
    s->has_starter = true;
}

static void add_mark(waiting *s, point p) {
    if (s->n == s->cap) { /* one block: the sorted copy lies behind */
        const size_t cap = s->cap ? 2 * s->cap : 64;
        point *fresh = base_alloc(s->w->heap, 2 * cap * sizeof *fresh);
        if (!fresh) {
            text_fail(s->w, NIB_OUT_OF_MEMORY, NULL);
            return;
        }
        if (s->n) memcpy(fresh, s->marks, s->n * sizeof *fresh);
        base_free(s->w->heap, s->w->marks);
        s->w->marks = fresh;
        s->w->marks_cap = cap;
        s->marks = fresh;
        s->sorted = fresh + cap;
        s->cap = cap;
    }
    s->marks[s->n++] = p;
}

static void add_point(waiting *s, uint32_t cp, int change) {
    const point p = {cp, (uint8_t)text_combining_class(cp), change};
    if (p.class) add_mark(s, p);
    else add_starter(s, p);
}

static void decompose(waiting *s, uint32_t cp) {
    const uint32_t *parts;
    uint32_t self, hangul = cp - 0xac00;
    if (hangul < 11172) {
        add_point(s, 0x1100 + hangul / 588, 0);
        add_point(s, 0x1161 + hangul % 588 / 28, 1);
        if (hangul % 28) add_point(s, 0x11a7 + hangul % 28, 1);
        return;
    }
    size_t n = (s->compatible ? text_decompose_more : text_decompose)(cp, &parts, &self);
    for (size_t i = 0; i < n; i++) add_point(s, parts[i], i > 0);
}

static void normal_form(const text_stage *stage, text_work *w) {
    const form *f = stage->data;
    waiting s = {.w = w, .out = {w, 0, 0, w->buf.n}, .compose = f->compose, .compatible = f->compatible};
    uint32_t cp;
    s.cap = w->marks_cap;
    s.marks = w->marks;
    s.sorted = s.marks ? s.marks + s.cap : NULL;
    for (size_t at = 0; at < w->buf.n && w->status == NIB_OK;) {
        at += text_utf8(w->buf.bytes + at, w->buf.n - at, &cp);
        if (cp < 0x80) add_starter(&s, (point){cp, 0, 0});
        else decompose(&s, cp);
    }
    sort_marks(&s);
    if (s.compose && s.has_starter) compose_marks(&s);
    flush(&s);
    text_work_swap(w);
}

static nib_status load(text_tokenizer *t, text_stage *s, bool compose, bool compatible, nib_error *err) {
    form *f;
    nib_status status = text_stage_data(t, s, sizeof *f, &f, err);
    if (status != NIB_OK) return status;
    *f = (form){compose, compatible};
    s->run.normalize = normal_form;
    return NIB_OK;
}

nib_status text_norm_nfd_load(text_tokenizer *t, yyjson_val *v, text_stage *s, nib_error *err) {
    return load(t, s, false, false, err);
}
nib_status text_norm_nfc_load(text_tokenizer *t, yyjson_val *v, text_stage *s, nib_error *err) {
    return load(t, s, true, false, err);
}
nib_status text_norm_nfkd_load(text_tokenizer *t, yyjson_val *v, text_stage *s, nib_error *err) {
    return load(t, s, false, true, err);
}
nib_status text_norm_nfkc_load(text_tokenizer *t, yyjson_val *v, text_stage *s, nib_error *err) {
    return load(t, s, true, true, err);
}
