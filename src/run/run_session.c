/* SPDX-License-Identifier: Apache-2.0
 *
 * Sessions on texts. In: ragged ids. Out: rows of an output, where the sink has them. run_tensors.c has the runs on
 * named tensors.
 */
#include "run_internal.h"
#include <string.h>

nib_status run_session_create(const plan *p, run_session **out, nib_error *err) {
    base_heap *heap = &p->runtime->heap;
    *out = NULL;
    run_session *s = base_calloc(heap, 1, sizeof *s);
    if (s) s->threads = base_pool_threads(p->runtime->pool);
    if (s) s->workers = base_calloc(heap, (size_t)s->threads, sizeof *s->workers);
    if (!s || !s->workers) {
        base_free(heap, s);
        return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for a session");
    }
    s->p = p;
    s->heap = heap;
    *out = s;
    return NIB_OK;
}

void run_worker_free(base_heap *heap, run_worker *w) {
    if (!w->group.p) return; /* never made */
    int values = w->group.p->g->value_limit;
    for (int i = 0; w->bodies && i < w->group.p->n_bodies; i++) run_worker_free(heap, &w->bodies[i]);
    base_free(heap, w->bodies);
    run_regions_free(heap, w);
    for (int i = 0; w->dynamic && i < values; i++) base_free(heap, w->dynamic[i].data);
    for (int i = 0; w->elements && i < values; i++) base_free(heap, w->elements[i].data);
    for (size_t i = 0; i < w->eval_scratch_cap; i++) base_free(heap, w->eval_scratch[i].data);
    base_free(heap, w->eval_scratch);
    base_free(heap, w->elements);
    for (size_t i = 0; i < BASE_COUNT(w->inputs); i++) base_free(heap, w->inputs[i].data);
    base_free(heap, w->arena.data);
    base_free(heap, w->block.data);
    base_free(heap, w->scratch.data);
    base_free(heap, w->group.slots);
    base_free(heap, w->group.symbols);
    base_free(heap, w->laid_out);
    base_free(heap, w->dynamic);
    base_free(heap, w->items);
}

void run_session_free(run_session *s) {
    if (!s) return;
    for (int i = 0; i < s->threads; i++) run_worker_free(s->heap, &s->workers[i]);
    base_free(s->heap, s->workers);
    base_free(s->heap, s->order);
    base_free(s->heap, s->spans);
    base_free(s->heap, s->bound);
    base_free(s->heap, s->bound_values);
    base_free(s->heap, s);
}

void run_session_profile(run_session *s, run_profile *f) {
    for (int i = 0; i < s->threads; i++)
        s->workers[i].counters = f && i < f->threads ? f->counters + (size_t)i * (size_t)f->n_rows : NULL;
}

/* ---- texts */

typedef struct text_run {
    run_session *s;
    const run_roles *roles;
    const run_batch *batch;
    const run_sink *sink;
    int team; /* threads that work on one group */
    _Atomic int status;
    nib_error *err;
} text_run;

static int64_t length_of(const run_batch *b, size_t i) { return b->items[i].length; }

/* How often each text of a group is there: where texts reach one another and the file fixes how many there are, the one
 * that is run is all of them. What its neighbours are decides its vector; others would be anyone's, and none would be a
 * text without tokens, which no file is made for. A mean over the batch, or a range of its numbers, is then what it is
 * for the text alone. */
static int64_t copies_of(const run_roles *roles) {
    return roles->group == RUN_GROUP_ONE && roles->fixed_batch > 1 ? roles->fixed_batch : 1;
}

/* One [B, S] input of the group, in the type the graph wants. kind 0 ids, 1 mask, 2 types, 3 positions. */
static nib_status fill_input(text_run *r, run_worker *w, const run_span *span, int kind, int index, int64_t B, int64_t S, nib_error *err) {
    const graph_value *v = w->group.p->g->inputs[index];
    size_t width = (size_t)nib_dtype_bits(v->type.dtype) / 8;
    nib_tensor t = {.dtype = v->type.dtype, .rank = 2, .dims = {B, S}, .bytes = (size_t)B * (size_t)S * width};
    if (!run_buffer_grow(w->heap, &w->inputs[kind], t.bytes + 64))
        return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for the ids of a batch");
    t.data = w->inputs[kind].data;
    memset(t.data, 0, t.bytes);
    const size_t copies = (size_t)copies_of(r->roles);
    for (size_t i = 0; i < (span->end - span->begin) * copies; i++) {
        size_t text = r->s->order[span->begin + i / copies];
        const run_item *item = &r->batch->items[text];
        int64_t n = item->length;
        char *row = (char *)t.data + i * (size_t)S * width;
        for (int64_t j = 0; j < n; j++) {
            int32_t x = kind == 0   ? item->ids[j]
                        : kind == 1 ? (!item->seen || j < item->seen)
                        : kind == 2 ? (item->types ? item->types[j] : 0)
                                    : (int32_t)j;
            int64_t wide = x;
            float real = (float)x;
            if (v->type.dtype == NIB_DTYPE_I64) memcpy(row + (size_t)j * 8, &wide, 8);
            else if (v->type.dtype == NIB_DTYPE_I32) memcpy(row + (size_t)j * 4, &x, 4);
            else if (v->type.dtype == NIB_DTYPE_F32) memcpy(row + (size_t)j * 4, &real, 4);
            else if (width == 1) row[j] = (char)x;
            else return base_error_set(err, NIB_UNSUPPORTED, "input %s is %s", v->name, nib_dtype_name(v->type.dtype));
        }
    }
    return run_bind_input(w, index, &t, err);
}

static nib_status fill_skip(text_run *r, run_worker *w, nib_error *err) {
    nib_tensor t = {.dtype = NIB_DTYPE_I64, .rank = 1, .dims = {1}, .bytes = sizeof(int64_t)};
    if (!run_buffer_grow(w->heap, &w->inputs[4], 64)) return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for a batch");
    t.data = w->inputs[4].data;
    memcpy(t.data, &r->batch->skip, sizeof r->batch->skip);
    return run_bind_input(w, r->roles->skip, &t, err);
}

/* How many rows of tokens a group's items want. */
static int64_t wanted_rows(const text_run *r, const run_span *span) {
    int64_t n = 0;
    for (size_t i = span->begin; i < span->end; i++) n += r->batch->items[r->s->order[i]].count;
    return n;
}

/* Which they are, text by text. */
static nib_status fill_places(text_run *r, run_worker *w, const run_span *span, nib_error *err) {
    int64_t wanted = wanted_rows(r, span), *pair;
    nib_tensor t = {.dtype = NIB_DTYPE_I64, .rank = 2, .dims = {wanted, 2}, .bytes = (size_t)wanted * 2 * sizeof *pair};
    if (!run_buffer_grow(w->heap, &w->inputs[5], t.bytes + 64))
        return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for a batch");
    t.data = pair = w->inputs[5].data;
    for (size_t i = span->begin; i < span->end; i++) {
        const run_item *item = &r->batch->items[r->s->order[i]];
        for (int64_t k = 0; k < item->count; k++, pair += 2) {
            pair[0] = (int64_t)(i - span->begin) * copies_of(r->roles);
            pair[1] = item->places ? item->places[k] : item->first + k;
        }
    }
    return run_bind_input(w, r->roles->places, &t, err);
}

void run_to_matrix(void *user, size_t i, float *rows, int64_t count) {
    const run_matrix *m = user;
    const size_t at = m->at ? (size_t)m->at[i] : i, width = (size_t)m->width;
    if (count > 0) memcpy(m->to + at * width, rows, (size_t)count * width * sizeof(float));
}

/* The group's rows of the sink's output, [B, width], [B, S, width] or [wanted, width], to it. */
static nib_status hand_over(const text_run *r, const run_worker *w, const run_span *span, const run_sink *sink, int64_t B,
                            int64_t S, nib_error *err) {
    if (!sink->give) return NIB_OK;
    const graph_value *v = r->s->p->g->outputs[sink->output];
    const graph_tensor *y = &w->group.slots[v->id].t;
    const bool picked = sink->tokens && r->roles->places >= 0;
    const int64_t W = sink->width;
    const int rank = sink->tokens && !picked ? 3 : 2;
    const int64_t want[3] = {picked ? wanted_rows(r, span) : B, rank == 3 ? S : W, W};
    int64_t given = 0;
    bool fits = y->rank == rank && y->dtype == NIB_DTYPE_F32;
    for (int k = 0; k < rank && fits; k++) fits = y->dims[k] == want[k];
    if (!fits)
        return base_error_set(err, NIB_SHAPE, "output %s is not [%lld, %s%lld] of f32", v->name, (long long)want[0],
                              rank == 3 ? "tokens, " : "", (long long)W);
    for (size_t i = span->begin; i < span->end; i++) {
        const size_t text = r->s->order[i], at = i - span->begin;
        const run_item *item = &r->batch->items[text];
        const int64_t first = picked ? given : sink->tokens ? (int64_t)at * S + item->first : (int64_t)at;
        sink->give(sink->user, text, (float *)y->data + first * W, sink->tokens ? item->count : 1);
        given += item->count;
    }
    return NIB_OK;
}

static nib_status run_group(text_run *r, run_worker *w, const run_span *span, nib_error *err) {
    nib_status status = NIB_OK;
    const plan *p = r->s->p;
    const int kinds[4] = {r->roles->ids, r->roles->mask, r->roles->types, r->roles->positions};
    int64_t B = (int64_t)(span->end - span->begin), S = 1, T = 0;
    for (size_t i = span->begin; i < span->end; i++) {
        int64_t n = length_of(r->batch, r->s->order[i]);
        if (n > S) S = n;
        T += n * copies_of(r->roles);
    }
    if (r->roles->fixed_batch > 0) B = r->roles->fixed_batch;
    if (r->roles->fixed_seq > 0) S = r->roles->fixed_seq;
    NIB_TRY(run_worker_ready(r->s, w, err));
    run_unbind(w);
    for (int k = 0; k < 4; k++)
        if (kinds[k] >= 0) NIB_TRY(fill_input(r, w, span, k, kinds[k], B, S, err));
    if (r->roles->skip >= 0) NIB_TRY(fill_skip(r, w, err));
    if (r->roles->places >= 0) NIB_TRY(fill_places(r, w, span, err));
    if (p->tokens_symbol >= 0) w->group.symbols[p->tokens_symbol] = T;
    NIB_TRY(run_layout(w, err));
    NIB_TRY(run_laid_out(r->s, w, r->team, err));
    for (const run_sink *sink = r->sink; sink; sink = sink->next) NIB_TRY(hand_over(r, w, span, sink, B, S, err));
    base_stop_advance(span->end - span->begin);
fail:
    return status;
}

/* A group that does not fit the ceiling is halved; only a text that does not fit alone is an error. */
static nib_status run_shrinking(text_run *r, run_worker *w, run_span span, nib_error *err) {
    nib_status status = run_group(r, w, &span, err);
    if (status != NIB_OUT_OF_MEMORY || span.end - span.begin < 2) return status;
    size_t middle = span.begin + (span.end - span.begin) / 2;
    status = run_shrinking(r, w, (run_span){span.begin, middle}, err);
    return status == NIB_OK ? run_shrinking(r, w, (run_span){middle, span.end}, err) : status;
}

static void group_task(void *arg, size_t i, int slot) {
    text_run *r = arg;
    nib_error e;
    if (atomic_load(&r->status) != NIB_OK) return;
    nib_status status = run_shrinking(r, &r->s->workers[slot], r->s->spans[i], &e);
    int none = NIB_OK;
    if (status != NIB_OK && atomic_compare_exchange_strong(&r->status, &none, status) && r->err) *r->err = e;
}

/* Longest first, equal ones in the caller's order: groups of like lengths waste least where a plan pads, and small groups at
 * the end let all threads end together. Heap sort on (length, index): in place, no allocation, no worst case. */
static bool goes_before(const run_batch *b, size_t x, size_t y) {
    int64_t a = length_of(b, x), c = length_of(b, y);
    return a != c ? a > c : x < y;
}

static void sift(const run_batch *b, size_t *a, size_t root, size_t n) {
    for (size_t child; (child = 2 * root + 1) < n; root = child) {
        if (child + 1 < n && goes_before(b, a[child], a[child + 1])) child++;
        if (!goes_before(b, a[root], a[child])) return;
        size_t t = a[root];
        a[root] = a[child];
        a[child] = t;
    }
}

static void order_texts(const run_batch *b, size_t *a) {
    for (size_t i = 0; i < b->n; i++) a[i] = i;
    for (size_t i = b->n / 2; i-- > 0;) sift(b, a, i, b->n);
    for (size_t n = b->n; n > 1; n--) {
        size_t t = a[0];
        a[0] = a[n - 1];
        a[n - 1] = t;
        sift(b, a, 0, n - 1);
    }
}

/* Whether a text of n tokens may not be in a group with one of `first`. A fixed length pads each text alike. */
static bool is_unlike(const run_roles *roles, int64_t n, int64_t first) {
    return roles->group == RUN_GROUP_ONE || (roles->group == RUN_GROUP_EQUAL && roles->fixed_seq <= 0 && n != first);
}

/* Cuts the ordered texts into groups of about `target` tokens, smaller ones near the end; returns how many. */
static size_t cut_groups(const text_run *r, int64_t target, int threads) {
    size_t count = 0, n = r->batch->n;
    int64_t left = 0;
    for (size_t i = 0; i < n; i++) left += length_of(r->batch, i);
    for (size_t i = 0; i < n;) {
        int64_t share = left / (2 * threads), goal = share < target ? share : target, tokens = 0;
        if (goal < target / 4) goal = target / 4;
        if (threads == 1) goal = target;
        size_t end = i;
        while (end < n) {
            int64_t next = length_of(r->batch, r->s->order[end]);
            bool full = end > i && tokens + next > goal;
            bool unlike = end > i && is_unlike(r->roles, next, length_of(r->batch, r->s->order[i]));
            bool fixed = r->roles->fixed_batch > 0 && (int64_t)(end - i) == r->roles->fixed_batch;
            if (full || unlike || fixed) break;
            tokens += next;
            end++;
        }
        r->s->spans[count++] = (run_span){i, end};
        left -= tokens;
        i = end;
    }
    return count;
}

nib_status run_texts(run_session *s, const run_roles *roles, const run_batch *batch, int64_t group_tokens,
                     run_team team, const run_sink *sink, nib_error *err) {
    nib_status status = NIB_OK;
    if (batch->n == 0) return NIB_OK;
    if (!base_grow(s->heap, (void **)&s->order, &s->order_cap, batch->n, sizeof *s->order) ||
        !base_grow(s->heap, (void **)&s->spans, &s->spans_cap, batch->n, sizeof *s->spans))
        NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for a batch of %zu texts", batch->n);
    text_run r = {.s = s, .roles = roles, .batch = batch, .sink = sink, .err = err, .team = 1};
    order_texts(batch, s->order);
    const int threads = team == RUN_TEAM_ALONE ? 1 : s->threads;
    size_t groups = cut_groups(&r, group_tokens > 0 ? group_tokens : s->p->group_tokens, threads);
    if (groups < (size_t)threads || threads == 1) {
        r.team = threads;
        for (size_t i = 0; i < groups && status == NIB_OK; i++) status = run_shrinking(&r, &s->workers[0], s->spans[i], err);
        return status;
    }
    base_pool_run(s->p->runtime->pool, groups, group_task, &r);
    status = (nib_status)atomic_load(&r.status);
fail:
    return status;
}

/* ---- warming up: per worker, the longest text alone, and a group of the most texts beside one long one (the largest padded ids). */

typedef struct warm_run {
    run_session *s;
    const run_roles *roles;
    const run_batch *batch;
    run_span spans[2];
    _Atomic int status;
    nib_error *err;
} warm_run;

static void warm_worker(void *arg, size_t i, int slot) {
    warm_run *warm = arg;
    nib_error e;
    const run_sink nowhere = {0};
    text_run r = {.s = warm->s, .roles = warm->roles, .batch = warm->batch, .sink = &nowhere, .err = &e, .team = 1};
    for (int k = 0; k < 2 && atomic_load(&warm->status) == NIB_OK; k++) {
        int none = NIB_OK;
        nib_status status = run_shrinking(&r, &warm->s->workers[i], warm->spans[k], &e);
        if (status != NIB_OK && atomic_compare_exchange_strong(&warm->status, &none, status) && warm->err) *warm->err = e;
    }
}

nib_status run_warm(run_session *s, const run_roles *roles, int64_t longest, int64_t group_tokens, nib_error *err) {
    nib_status status = NIB_OK;
    base_heap *heap = s->heap;
    if (group_tokens <= 0) group_tokens = s->p->group_tokens;
    if (longest < 1) longest = 1;
    int64_t half = group_tokens / 2 < longest ? group_tokens / 2 : longest, most = group_tokens - half + 1;
    if (half < 1) half = 1;
    if (roles->group != RUN_GROUP_ANY) half = 1; /* texts of one length a group */
    if (roles->group == RUN_GROUP_ONE) most = 1;
    if (roles->fixed_batch > 0 && most > roles->fixed_batch) most = roles->fixed_batch;
    size_t n = (size_t)most + 1, most_ids = (size_t)(longest > half ? longest : half);
    int32_t *row = base_calloc(heap, most_ids, sizeof *row);
    run_item *items = base_calloc(heap, n, sizeof *items);
    if (!row || !items || !base_grow(heap, (void **)&s->order, &s->order_cap, n, sizeof *s->order) ||
        !base_grow(heap, (void **)&s->spans, &s->spans_cap, n, sizeof *s->spans))
        NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for warming up");
    for (size_t i = 0; i < n; i++) {
        s->order[i] = i;
        items[i] = (run_item){.ids = row, .length = i == 0 ? longest : i == 1 ? half : 1, .count = 1};
    }
    run_batch batch = {.n = n, .items = items};
    warm_run warm = {.s = s, .roles = roles, .batch = &batch, .spans = {{0, 1}, {1, n}}, .err = err};
    base_pool_run(s->p->runtime->pool, (size_t)s->threads, warm_worker, &warm);
    status = (nib_status)atomic_load(&warm.status);
fail:
    base_free(heap, row);
    base_free(heap, items);
    return status;
}

/* ---- what it holds */

static size_t sum_of(const run_buffer *b, size_t n) {
    size_t sum = 0;
    for (size_t i = 0; b && i < n; i++) sum += b[i].size;
    return sum;
}

size_t run_worker_bytes(const run_worker *w) {
    const plan *p = w->group.p;
    if (!p) return 0; /* never asked for */
    size_t values = (size_t)p->g->value_limit,
           sum = w->arena.size + w->block.size + w->scratch.size + sum_of(w->inputs, BASE_COUNT(w->inputs));
    sum += sum_of(w->eval_scratch, w->eval_scratch_cap) + sum_of(w->dynamic, values) + sum_of(w->elements, values);
    for (int i = 0; w->bodies && i < p->n_bodies; i++) sum += run_worker_bytes(&w->bodies[i]);
    return sum + run_regions_bytes(w);
}

size_t run_session_bytes(const run_session *s) {
    size_t sum = 0;
    for (int i = 0; i < s->threads; i++) sum += run_worker_bytes(&s->workers[i]);
    return sum;
}
