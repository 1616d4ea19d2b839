/* SPDX-License-Identifier: Apache-2.0
 *
 * In: a tokenizer and one or two texts. Out: the encoding. The way is drawn in text_internal.h.
 */
#include "text_internal.h"
#include <string.h>

void text_encoding_init(text_encoding *e, base_heap *heap) {
    memset(e, 0, sizeof *e);
    e->heap = heap;
}

void text_encoding_free(text_encoding *e) {
    if (!e->heap) return;
    base_free(e->heap, e->ids);
    base_free(e->heap, e->type_ids);
    base_free(e->heap, e->spans);
    base_free(e->heap, e->special);
    base_free(e->heap, e->texts);
    base_free(e->heap, e->begins);
    base_free(e->heap, e->windows);
    if (e->work) text_work_free(e->work);
    base_free(e->heap, e->work);
    text_encoding_init(e, e->heap);
}

void text_work_free(text_work *w) {
    void *const blocks[] = {w->buf.bytes,  w->buf.from, w->next.bytes, w->next.from, w->parts.items,
                            w->more.items, w->tokens,   w->scratch,    w->marks,     w->ways};
    for (size_t i = 0; i < BASE_COUNT(blocks); i++) base_free(w->heap, blocks[i]);
    text_bpe_work_free(w);
    *w = (text_work){.heap = w->heap};
}

void text_work_push_source(text_work *w, int32_t id, uint32_t begin, uint32_t end) {
    if (w->count < w->keep) {
        if (!base_grow(w->heap, (void **)&w->tokens, &w->token_cap, w->first + w->count + 1, sizeof *w->tokens)) {
            text_fail(w, NIB_OUT_OF_MEMORY, NULL);
            w->keep = w->count;
        } else {
            w->tokens[w->first + w->count] = (text_raw){id, begin, end, false, !w->in_word};
        }
    }
    w->in_word = true;
    w->count++;
}

/* The token that was pushed last, if it was stored, is one that was found in the text. */
static void mark_added(text_work *w) {
    if (w->count <= w->keep) w->tokens[w->first + w->count - 1].added = true;
}

/* ---- stage by stage */

void text_normalize(const text_tokenizer *t, text_work *w, size_t begin, size_t end) {
    const text_stages *list = &t->stages[TEXT_NORMALIZER];
    uint32_t cp;
    w->next.n = 0;
    for (size_t at = begin, k; at < end && w->status == NIB_OK; at = k) {
        for (k = at; k < end && w->text[k] < 0x80;) k++;
        if (!text_buffer_reserve(w, &w->next, w->next.n + (k - at) + 4)) return;
        memcpy(w->next.bytes + w->next.n, w->text + at, k - at);
        for (size_t i = at; i < k; i++) w->next.from[w->next.n + (i - at)] = (uint32_t)i;
        w->next.n += k - at;
        if (k == end) break;
        at = k;
        k += text_utf8(w->text + at, end - at, &cp);
        if (cp == 0xfffd) text_put_point(w, cp, (uint32_t)at); /* the bytes may be broken ones */
        else text_put(w, w->text + at, k - at, (uint32_t)at);
    }
    text_work_swap(w);
    for (size_t i = 0; i < list->count && w->status == NIB_OK; i++) {
        w->next.n = 0;
        w->steps = 0;
        list->items[i].run.normalize(&list->items[i], w);
    }
}

void text_prepare(const text_tokenizer *t, text_work *w, size_t begin, size_t end) {
    const text_stages *list = &t->stages[TEXT_PRE_TOKENIZER];
    text_scan scan = {0};
    text_match m;
    size_t done = 0;
    w->parts.count = w->more.count = 0;
    text_normalize(t, w, begin, end);
    while (w->status == NIB_OK && text_added_next(&t->normal, w->buf.bytes, w->buf.n, &scan, &m)) {
        if (done < m.begin) text_part_push(w, &w->parts, done, m.begin, TEXT_WORD);
        text_part_push(w, &w->parts, m.begin, m.end, m.token->id);
        done = m.end;
    }
    if (done < w->buf.n) text_part_push(w, &w->parts, done, w->buf.n, TEXT_WORD);
    for (size_t i = 0; i < list->count && w->status == NIB_OK; i++) {
        w->next.n = 0;
        w->steps = 0;
        if (list->items[i].run.split) list->items[i].run.split(&list->items[i], w);
    }
}

static void encode_segment(const text_tokenizer *t, text_work *w, size_t begin, size_t end) {
    const text_stage *model = &t->stages[TEXT_MODEL].items[0];
    if (begin >= end) return;
    text_prepare(t, w, begin, end);
    for (size_t i = 0; i < w->parts.count && w->status == NIB_OK; i++) {
        const text_part *p = &w->parts.items[i];
        w->in_word = false;
        if (p->id >= 0) text_work_push(w, p->id, p->begin, p->end), mark_added(w);
        else model->run.word(model, w, p->begin, p->end);
    }
}

/* ---- the fused way */

static void encode_words(const text_tokenizer *t, text_work *w, size_t begin, size_t end) {
    const text_splitter *split = t->fused.split;
    size_t from, to;
    while (split->next(split, w->buf.bytes, end, begin, &from, &to)) {
        w->in_word = false;
        t->fused.model->run.word(t->fused.model, w, from, to);
        begin = to;
    }
}

/* Where a chunk that begins at `at` may end: behind the last space that fits, or else behind the first one after that.
 */
static size_t chunk_end(const text_tokenizer *t, const uint8_t *text, size_t at, size_t end) {
    if (!t->fused.split->cuts_at_space || end - at <= TEXT_CHUNK) return end;
    for (size_t i = at + TEXT_CHUNK; i > at; i--)
        if (text[i - 1] == ' ' || text[i - 1] == '\n') return i;
    for (size_t i = at + TEXT_CHUNK; i < end; i++)
        if (text[i] == ' ' || text[i] == '\n') return i + 1;
    return end;
}

/* text[begin..end) in the buffer; how many bytes there are. */
static bool fused_normalize(const text_tokenizer *t, text_work *w, size_t begin, size_t end, size_t *n) {
    size_t room;
    if (!base_mul_size(end - begin + 16, TEXT_GROWTH, &room)) return text_fail(w, NIB_OUT_OF_MEMORY, NULL), false;
    if (!text_buffer_reserve(w, &w->buf, room)) return false;
    *n = t->fused.norm->run(t->fused.norm, w->text, begin, end, w->buf.bytes, w->buf.from);
    return true;
}

/* With added tokens that are looked for in the normalised text, no chunks: one may hold spaces. */
static void fused_normal(const text_tokenizer *t, text_work *w, size_t begin, size_t end) {
    size_t n, done = 0;
    text_scan scan = {0};
    text_match m;
    if (!fused_normalize(t, w, begin, end, &n)) return;
    while (text_added_next(&t->normal, w->buf.bytes, n, &scan, &m)) {
        encode_words(t, w, done, m.begin);
        w->in_word = false;
        text_work_push(w, m.token->id, m.begin, m.end);
        mark_added(w);
        done = m.end;
    }
    encode_words(t, w, done, n);
}

static void fused_segment(const text_tokenizer *t, text_work *w, size_t begin, size_t end) {
    if (t->normal.count) {
        if (begin < end) fused_normal(t, w, begin, end);
        return;
    }
    for (size_t next, n; begin < end && w->status == NIB_OK; begin = next) {
        next = chunk_end(t, w->text, begin, end);
        if (fused_normalize(t, w, begin, next, &n)) encode_words(t, w, 0, n);
    }
}

/* ---- */

/* All of one text; `stored` gets how many of its tokens lie from w->first on. */
static nib_status encode_text(const text_tokenizer *t, text_work *w, const char *text, size_t length, size_t *stored,
                              nib_error *err) {
    size_t done = 0;
    text_scan scan = {0};
    text_match m;
    w->text = (const uint8_t *)text;
    w->length = length;
    w->count = 0;
    w->in_word = false;
    w->status = NIB_OK;
    w->why = NULL;
    void (*const segment)(const text_tokenizer *, text_work *, size_t, size_t) =
        t->fused.norm ? fused_segment : encode_segment;
    while (w->status == NIB_OK && text_added_next(&t->raw, w->text, length, &scan, &m)) {
        segment(t, w, done, m.begin);
        w->in_word = false;
        text_work_push_source(w, m.token->id, (uint32_t)m.begin, (uint32_t)m.end);
        mark_added(w);
        done = m.end;
    }
    if (w->status == NIB_OK) segment(t, w, done, length);
    if (w->status == NIB_OUT_OF_MEMORY)
        return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for a text of %zu bytes", length);
    if (w->status != NIB_OK) return base_error_set(err, w->status, "%s", w->why ? w->why : "the text cannot be cut");
    *stored = w->count < w->keep ? w->count : w->keep;
    return NIB_OK;
}

/* How many of n[0] and n[1] tokens stay when `room` do. */
static nib_status share_room(const text_truncation *u, bool pair, size_t room, const size_t n[2], size_t kept[2],
                             nib_error *err) {
    kept[0] = n[0];
    kept[1] = n[1];
    if (n[0] + n[1] <= room) return NIB_OK;
    size_t over = n[0] + n[1] - room;
    if (u->strategy == TEXT_LONGEST_FIRST || room == 0) {
        /* The longer one gives until both are equal, then both do; of an odd room the longer one has the odd token. */
        int small = n[0] > n[1];
        if (n[small] >= room - room / 2) {
            kept[small] = room / 2;
            kept[!small] = room - room / 2;
        } else {
            kept[!small] = room - n[small];
        }
        if (!pair) kept[0] = room, kept[1] = 0;
        return NIB_OK;
    }
    int which = u->strategy == TEXT_ONLY_SECOND;
    if (which && !pair)
        return base_error_set(err, NIB_INVALID_ARGUMENT, "truncation: OnlySecond, but there is no second text");
    if (n[which] <= over)
        return base_error_set(err, NIB_INVALID_ARGUMENT, "truncation: the text to cut is too short for the limit");
    kept[which] = n[which] - over;
    return NIB_OK;
}

bool text_encoding_grow(text_encoding *e, size_t need) {
    size_t caps[6] = {e->cap, e->cap, e->cap, e->cap, e->cap, e->cap};
    if (need <= e->cap) return true;
    if (!base_grow(e->heap, (void **)&e->ids, &caps[0], need, sizeof *e->ids) ||
        !base_grow(e->heap, (void **)&e->type_ids, &caps[1], need, sizeof *e->type_ids) ||
        !base_grow(e->heap, (void **)&e->spans, &caps[2], need, sizeof *e->spans) ||
        !base_grow(e->heap, (void **)&e->special, &caps[3], need, sizeof *e->special) ||
        !base_grow(e->heap, (void **)&e->texts, &caps[4], need, sizeof *e->texts) ||
        !base_grow(e->heap, (void **)&e->begins, &caps[5], need, sizeof *e->begins))
        return false;
    e->cap = caps[0];
    return true;
}

/* What the post-processors do to the spans of one text. */
static void trim(const text_tokenizer *t, const char *text, size_t length, text_raw *tokens, size_t n) {
    const text_stages *list = &t->stages[TEXT_POST_PROCESSOR];
    for (size_t i = 0; i < list->count; i++)
        if (list->items[i].run.trim)
            list->items[i].run.trim(&list->items[i], t, (const uint8_t *)text, length, tokens, n);
}

static void append(text_encoding *e, int32_t id, int32_t type_id, text_span span, bool special, bool begins, int which) {
    e->ids[e->count] = id;
    e->type_ids[e->count] = type_id;
    e->spans[e->count] = span;
    e->texts[e->count] = (uint8_t)which;
    e->begins[e->count] = begins;
    e->special[e->count++] = special;
}

static void append_text(text_encoding *e, const text_raw *tokens, size_t n, int32_t type_id, int which) {
    for (size_t i = 0; i < n; i++)
        append(e, tokens[i].id, type_id, (text_span){tokens[i].begin, tokens[i].end}, false, tokens[i].begins_word, which);
}

/* `later`: whether each text's tokens are of a window behind its first. */
static void assemble(const text_template *tp, bool pair, bool add_special, text_raw *const tokens[2], const size_t n[2],
                     const bool later[2], text_encoding *out) {
    if (!tp->pieces) {
        append_text(out, tokens[0], n[0], 0, 0);
        if (pair) append_text(out, tokens[1], n[1], 1, 1);
    }
    for (size_t i = 0; i < tp->count; i++) {
        const text_piece *p = &tp->pieces[i];
        const int which = -1 - p->id;
        if (p->id < 0)
            append_text(out, tokens[which], n[which], later[which] && tp->first_alone ? which : p->type_id, which);
        else if (add_special) append(out, p->id, p->type_id, (text_span){0, 0}, true, true, 0);
    }
}

size_t text_characters(const char *text, size_t length, size_t most, size_t *bytes) {
    size_t at = 0, count = 0;
    uint32_t cp;
    for (; at < length && count < most; count++) at += text_utf8((const uint8_t *)text + at, length - at, &cp);
    if (bytes) *bytes = at;
    return count;
}

/* Without t->left_out; windows begin where they do then. */
static void leave_out(const text_tokenizer *t, text_encoding *e) {
    size_t kept = 0, window = 0;
    for (size_t i = 0; i < e->count; i++) {
        for (; window < e->window_count && e->windows[window] <= i; window++) e->windows[window] = kept;
        if (e->ids[i] == t->left_out) continue;
        e->ids[kept] = e->ids[i];
        e->type_ids[kept] = e->type_ids[i];
        e->spans[kept] = e->spans[i];
        e->texts[kept] = e->texts[i];
        e->begins[kept] = e->begins[i];
        e->special[kept++] = e->special[i];
    }
    e->full_count -= e->count - kept; /* what is left out was not cut off */
    e->count = kept;
}

/* ---- windows: a text of n tokens in ranges of `most`, of which two in a row share `stride` */

typedef struct range {
    size_t begin, end;
} range;

/* The k-th range, as Encoding::truncate of `tokenizers` cuts it. */
static range window_at(size_t n, size_t most, size_t stride, bool left, size_t k) {
    const size_t moved = k * (most - stride);
    if (left) return (range){n - moved > most ? n - moved - most : 0, n - moved};
    return (range){moved, n - moved > most ? moved + most : n};
}

/* How many there are: the last one reaches the end of the text. A text of which nothing is kept is a second window as it
 * is. */
static size_t window_count(size_t n, size_t most, size_t stride) {
    if (n <= most) return 1;
    if (most == 0) return 2;
    return 1 + (n - most + (most - stride) - 1) / (most - stride);
}

static range window_of(size_t n, size_t most, const text_truncation *u, size_t k) {
    if (n <= most) return (range){0, n};
    if (most == 0) return (range){0, k ? n : 0};
    return window_at(n, most, (size_t)u->stride, u->left, k);
}

typedef struct windows {
    const text_tokenizer *t;
    const text_template *tp;
    const text_truncation *u;
    const char *texts[2];
    size_t lengths[2], n[2], kept[2], specials;
    text_raw *tokens[2]; /* [n] */
    bool pair, add_special;
} windows;

/* One more window of `out`: the ranges k of both texts. The tokens are trimmed as a copy, which ranges do not share. */
static nib_status put_window(const windows *s, const size_t k[2], text_encoding *out, nib_error *err) {
    range r[2] = {{0, 0}, {0, 0}};
    text_raw *copies[2];
    size_t counts[2] = {0, 0};
    for (int i = 0; i < (s->pair ? 2 : 1); i++) {
        r[i] = window_of(s->n[i], s->kept[i], s->u, k[i]);
        counts[i] = r[i].end - r[i].begin;
    }
    if (!text_encoding_grow(out, out->count + s->specials + counts[0] + counts[1]) ||
        !base_grow(out->heap, (void **)&out->windows, &out->window_cap, out->window_count + 1, sizeof *out->windows))
        return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for an encoding");
    text_raw *copy = base_alloc(out->heap, (counts[0] + counts[1] + 1) * sizeof *copy);
    if (!copy) return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for an encoding");
    copies[0] = copy;
    copies[1] = copy + counts[0];
    for (int i = 0; i < (s->pair ? 2 : 1); i++) {
        if (counts[i]) memcpy(copies[i], s->tokens[i] + r[i].begin, counts[i] * sizeof *copy);
        trim(s->t, s->texts[i], s->lengths[i], copies[i], counts[i]);
    }
    out->windows[out->window_count++] = out->count;
    assemble(s->tp, s->pair, s->add_special, copies, counts, (const bool[]){k[0] > 0, k[1] > 0}, out);
    base_free(out->heap, copy);
    return NIB_OK;
}

/* The first text in the template is the outer one: merging goes from the left. */
static bool second_is_first(const text_template *tp) {
    for (size_t i = 0; i < tp->count; i++)
        if (tp->pieces[i].id < 0) return tp->pieces[i].id == -2;
    return false;
}

static nib_status put_windows(const windows *s, text_encoding *out, nib_error *err) {
    nib_status status = NIB_OK;
    const int outer = s->pair && second_is_first(s->tp);
    const size_t counts[2] = {window_count(s->n[0], s->kept[0], (size_t)s->u->stride),
                              s->pair ? window_count(s->n[1], s->kept[1], (size_t)s->u->stride) : 1};
    size_t k[2] = {0, 0};
    NIB_TRY(put_window(s, k, out, err));
    for (k[outer] = 1; k[outer] < counts[outer]; k[outer]++)
        for (k[!outer] = 0; k[!outer] < counts[!outer]; k[!outer]++) NIB_TRY(put_window(s, k, out, err));
    k[outer] = 0;
    for (k[!outer] = 1; k[!outer] < counts[!outer]; k[!outer]++) NIB_TRY(put_window(s, k, out, err));
fail:
    return status;
}

/* The one encoding that there is without windows, in place. */
static nib_status put_one(const windows *s, text_encoding *out, nib_error *err) {
    text_raw *tokens[2] = {s->tokens[0], s->tokens[1]};
    if (!text_encoding_grow(out, s->specials + s->kept[0] + s->kept[1]) ||
        !base_grow(out->heap, (void **)&out->windows, &out->window_cap, 1, sizeof *out->windows))
        return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for an encoding");
    for (int k = 0; k < 2; k++) {
        if (s->u->left && s->n[k] > s->kept[k]) tokens[k] += s->n[k] - s->kept[k];
        trim(s->t, s->texts[k], s->lengths[k], tokens[k], s->kept[k]);
    }
    out->windows[out->window_count++] = 0;
    assemble(s->tp, s->pair, s->add_special, tokens, s->kept, (const bool[]){false, false}, out);
    return NIB_OK;
}

static nib_status make_work(text_encoding *out, nib_error *err) {
    if (out->work) return NIB_OK;
    text_work *fresh = base_calloc(out->heap, 1, sizeof *fresh);
    if (!fresh) return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for an encoding");
    fresh->heap = out->heap;
    out->work = fresh;
    out->work_cap = sizeof *fresh;
    return NIB_OK;
}

nib_status text_encode_cut(const text_tokenizer *t, const char *text, size_t length, const char *pair, size_t pair_length,
                           const text_truncation *u, bool add_special, text_encoding *out, nib_error *err) {
    nib_status status = NIB_OK;
    windows s = {.t = t, .tp = pair ? &t->pair : &t->single, .u = u, .texts = {text, pair}, .pair = pair != NULL};
    size_t stored[2] = {0, 0};
    s.lengths[0] = length;
    s.lengths[1] = pair_length;
    s.add_special = add_special && !t->bare;
    s.specials = s.add_special ? s.tp->specials : 0;
    out->count = out->full_count = out->window_count = 0;
    if (length >= (size_t)1 << 31 || (pair && pair_length >= (size_t)1 << 31))
        NIB_FAIL(err, NIB_LIMIT, "a text of 2^31 bytes or more");
    if (u->max_tokens && (uint64_t)u->max_tokens < s.specials)
        NIB_FAIL(err, NIB_INVALID_ARGUMENT, "%lld tokens hold not even the %zu special ones", (long long)u->max_tokens,
                 s.specials);
    NIB_TRY(make_work(out, err));
    if (t->median && u->max_tokens && length > (uint64_t)u->max_tokens * t->median)
        text_characters(text, length, (size_t)u->max_tokens * t->median, &s.lengths[0]);
    text_work *w = out->work;
    const size_t room = u->max_tokens ? (size_t)u->max_tokens - s.specials : SIZE_MAX;
    for (int k = 0; k < (pair ? 2 : 1); k++) {
        w->first = k ? stored[0] : 0;
        w->keep = u->left || u->windows ? SIZE_MAX : room;
        NIB_TRY(encode_text(t, w, s.texts[k], s.lengths[k], &stored[k], err));
        s.n[k] = w->count;
    }
    NIB_TRY(share_room(u, s.pair, room, s.n, s.kept, err));
    out->full_count = s.specials + s.n[0] + s.n[1];
    s.tokens[0] = w->tokens;
    s.tokens[1] = w->tokens ? w->tokens + stored[0] : NULL;
    for (int k = 0; k < 2 && u->windows; k++)
        if (s.n[k] > s.kept[k] && s.kept[k] && (u->stride < 0 || (uint64_t)u->stride >= s.kept[k]))
            NIB_FAIL(err, NIB_INVALID_ARGUMENT, "windows of %zu tokens of a text cannot share %lld", s.kept[k],
                     (long long)u->stride);
    NIB_TRY(u->windows ? put_windows(&s, out, err) : put_one(&s, out, err));
    if (t->left_out >= 0) leave_out(t, out);
    return NIB_OK;
fail:
    out->count = out->window_count = 0;
    return status;
}

text_truncation text_own_truncation(const text_tokenizer *t) { return t->truncation; }

nib_status text_encode(const text_tokenizer *t, const char *text, size_t length, const char *pair, size_t pair_length,
                       int64_t max_tokens, bool add_special, text_encoding *out, nib_error *err) {
    text_truncation u = t->truncation;
    if (max_tokens >= 0) u = (text_truncation){.max_tokens = max_tokens, .left = t->truncation.left};
    return text_encode_cut(t, text, length, pair, pair_length, &u, add_special, out, err);
}
