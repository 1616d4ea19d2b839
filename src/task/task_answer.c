/* SPDX-License-Identifier: Apache-2.0
 *
 * The task `answer`: where in a context the answer to a question is, as transformers' QuestionAnsweringPipeline finds it
 * (4.57: pipelines/question_answering.py). In: questions and contexts. Out: places of the contexts.
 *
 * Each window of the context gives two probabilities a token, that an answer begins and that it ends there: softmaxes
 * over the tokens of the context and the first token of the window, which stands for "there is none". An answer's score
 * is the product of its two.
 */
#include "base/base_sort.h"
#include "task_job.h"
#include "text/text_unicode.h"
#include <math.h>
#include <string.h>

#define MOST_TOKENS 384 /* of a window, and the stride, as the pipeline has them */
#define STRIDE 128

typedef struct answer_result {
    nib_answer_entry *list; /* in an arena */
    size_t count;
} answer_result;

struct nib_answers {
    nib_model *model; /* one reference */
    size_t n;
    answer_result *results; /* [n] */
    base_arena *arenas;     /* [threads] by the thread that made them */
    int threads;
};

/* Tokens first to last of a window. */
typedef struct span {
    double score;
    size_t first, last;
} span;

typedef struct found {
    double score;
    size_t begin, end; /* bytes of the context */
    size_t order;
} found;

/* What one thread works with. */
typedef struct answer_work {
    double *chances[2]; /* [tokens] that an answer begins, ends there */
    span *spans;        /* [spans] a heap, the worst at its root */
    found *found;
    size_t chances_cap[2], found_cap, count;
} answer_work;

typedef struct answering {
    task_job job;
    nib_answer_options options;
    nib_answers **to;
    nib_answers *out; /* until it is the caller's */
    answer_work *works; /* [threads] */
    size_t most_spans;
} answering;

static nib_status no_memory(nib_error *err) {
    return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for the answers in a text");
}

/* ---- a window's spans */

/* Whether an answer may begin or end at token j: of the context, or what stands in front of everything. */
static bool may_answer(const text_encoding *e, size_t first, size_t j) {
    const bool stands_for_none = e->special[first] && e->ids[j] == e->ids[first];
    return stands_for_none || (e->texts[j] == 1 && !e->special[j]);
}

/* chances[k] [n] of column k of rows [n, 2]. */
static void softmax(const text_encoding *e, size_t first, size_t n, const float *rows, int k, double *chances) {
    double most = -INFINITY, sum = 0;
    for (size_t j = 0; j < n; j++)
        if (may_answer(e, first, first + j) && !((double)rows[2 * j + (size_t)k] <= most)) most = (double)rows[2 * j + (size_t)k];
    for (size_t j = 0; j < n; j++) {
        chances[j] = may_answer(e, first, first + j) ? exp((double)rows[2 * j + (size_t)k] - most) : 0;
        sum += chances[j];
    }
    for (size_t j = 0; j < n; j++) chances[j] /= sum;
}

/* Higher scores first, what is no number last, then by place. */
static bool goes_before(const span *a, const span *b) {
    const double x = isnan(a->score) ? -1 : a->score, y = isnan(b->score) ? -1 : b->score;
    if (x > y || x < y) return x > y;
    return a->first != b->first ? a->first < b->first : a->last < b->last;
}

static int by_score(const void *a, const void *b) { return goes_before(a, b) ? -1 : goes_before(b, a); }

static void offer(span *heap, size_t *n, size_t most, span x) {
    size_t at = 0;
    if (*n < most) {
        for (at = (*n)++; at && goes_before(&heap[(at - 1) / 2], &x); at = (at - 1) / 2) heap[at] = heap[(at - 1) / 2];
        heap[at] = x;
        return;
    }
    if (!goes_before(&x, &heap[0])) return;
    for (size_t child; (child = 2 * at + 1) < most; at = child) {
        if (child + 1 < most && goes_before(&heap[child], &heap[child + 1])) child++;
        if (!goes_before(&x, &heap[child])) break;
        heap[at] = heap[child];
    }
    heap[at] = x;
}

/* The best spans of the context, in order; returns how many. */
static size_t best_spans(const answering *a, answer_work *w, const text_encoding *e, size_t first, size_t n) {
    size_t have = 0;
    for (size_t i = 1; i < n; i++) {
        if (!may_answer(e, first, first + i)) continue;
        const size_t end = n - i > (size_t)a->options.longest ? i + (size_t)a->options.longest : n;
        for (size_t j = i; j < end; j++) {
            const double score = w->chances[0][i] * w->chances[1][j];
            if (may_answer(e, first, first + j) && !(score <= 0)) offer(w->spans, &have, a->most_spans, (span){score, i, j});
        }
    }
    base_sort(w->spans, have, sizeof *w->spans, by_score);
    return have;
}

/* ---- answers */

/* Equal but for case. */
static bool same_text(const char *a, size_t a_length, const char *b, size_t b_length) {
    size_t i = 0, j = 0;
    while (i < a_length && j < b_length) {
        uint32_t x, y;
        i += text_utf8((const uint8_t *)a + i, a_length - i, &x);
        j += text_utf8((const uint8_t *)b + j, b_length - j, &y);
        if (text_to_lower(x) != text_to_lower(y)) return false;
    }
    return i == a_length && j == b_length;
}

/* Where the span lies: with whole words, from where its first token's word begins to where its last token's ends, as far
 * as they are in the window. */
static found place_of(const answering *a, const text_encoding *e, size_t first, size_t n, const span *s) {
    size_t i = first + s->first, j = first + s->last;
    if (a->options.whole_words && e->texts[i] == 1 && e->texts[j] == 1) {
        while (!e->begins[i] && i > first && e->texts[i - 1] == 1 && !e->special[i - 1]) i--;
        while (j + 1 < first + n && e->texts[j + 1] == 1 && !e->special[j + 1] && !e->begins[j + 1]) j++;
    }
    return (found){.score = s->score, .begin = e->spans[i].begin, .end = e->spans[j].end};
}

static nib_status add_found(answer_work *w, base_heap *heap, const char *context, found x, bool alone, nib_error *err) {
    for (size_t k = 0; k < w->count && !alone; k++) {
        found *f = &w->found[k];
        if (!same_text(context + f->begin, f->end - f->begin, context + x.begin, x.end > x.begin ? x.end - x.begin : 0)) continue;
        f->score += x.score;
        return NIB_OK;
    }
    if (!base_grow(heap, (void **)&w->found, &w->found_cap, w->count + 1, sizeof *w->found)) return no_memory(err);
    x.order = w->count;
    w->found[w->count++] = x;
    return NIB_OK;
}

static int by_found(const void *a, const void *b) {
    const found *x = a, *y = b;
    const double s = isnan(x->score) ? -1 : x->score, t = isnan(y->score) ? -1 : y->score;
    return s > t ? -1 : s < t ? 1 : (x->order > y->order) - (x->order < y->order);
}

/* ---- a question */

static nib_status answer_one(void *user, size_t i, int slot, nib_error *err) {
    nib_status status = NIB_OK;
    answering *a = user;
    const task_chunk *c = &a->job.chunk;
    base_heap *heap = &c->m->runtime->heap;
    const text_encoding *e = &c->encodings[i];
    const char *context = c->given.pairs[c->first + i];
    answer_work *w = &a->works[slot];
    double none = 1000000; /* as the pipeline begins with */
    size_t at = 0;
    w->count = 0;
    for (size_t item = c->items[i]; item < c->items[i + 1]; at += (size_t)c->lengths[item++]) {
        const size_t n = (size_t)c->lengths[item];
        for (int k = 0; k < 2; k++) {
            if (!base_grow(heap, (void **)&w->chances[k], &w->chances_cap[k], n, sizeof(double))) return no_memory(err);
            softmax(e, at, n, c->rows + c->offsets[item] * 2, k, w->chances[k]);
        }
        const double here = w->chances[0][0] * w->chances[1][0];
        if (!(here >= none)) none = here;
        const size_t spans = best_spans(a, w, e, at, n);
        for (size_t k = 0; k < spans; k++)
            NIB_TRY(add_found(w, heap, context, place_of(a, e, at, n, &w->spans[k]), false, err));
    }
    if (a->options.impossible) NIB_TRY(add_found(w, heap, context, (found){.score = none}, true, err));
    base_sort(w->found, w->count, sizeof *w->found, by_found);
    answer_result *r = &a->out->results[c->first + i];
    r->count = w->count < a->options.top ? w->count : a->options.top;
    r->list = base_arena_calloc(&a->out->arenas[slot], r->count + 1, sizeof *r->list);
    if (!r->list) return no_memory(err);
    for (size_t k = 0; k < r->count; k++)
        r->list[k] = (nib_answer_entry){(float)w->found[k].score, w->found[k].begin, w->found[k].end};
fail:
    return status;
}

/* ---- the job */

static nib_status make_out(answering *a, size_t n, nib_error *err) {
    nib_model *m = a->job.chunk.m;
    base_heap *heap = &m->runtime->heap;
    nib_answers *out = a->out = base_calloc(heap, 1, sizeof *out);
    if (!out) return no_memory(err);
    out->model = nib_model_retain(m);
    out->n = n;
    out->threads = base_pool_threads(m->runtime->pool);
    out->results = base_calloc(heap, n + 1, sizeof *out->results);
    out->arenas = base_calloc(heap, (size_t)out->threads, sizeof *out->arenas);
    a->works = base_calloc(heap, (size_t)out->threads, sizeof *a->works);
    for (int i = 0; out->arenas && i < out->threads; i++) base_arena_init(&out->arenas[i], heap);
    if (!out->results || !out->arenas || !a->works) return no_memory(err);
    for (int i = 0; i < out->threads; i++)
        if (!(a->works[i].spans = base_calloc(heap, a->most_spans, sizeof(span)))) return no_memory(err);
    return NIB_OK;
}

static nib_status begin(task_job *job, nib_error *err) {
    nib_status status = NIB_OK;
    answering *a = (answering *)job;
    const int64_t stride = a->options.stride;
    task_chunk *c = &job->chunk;
    NIB_TRY(task_chunk_begin(c, true, stride, err));
    c->cut.strategy = TEXT_ONLY_SECOND;
    if (stride < 0) c->cut.stride = c->cut.max_tokens / 2 < STRIDE ? c->cut.max_tokens / 2 : STRIDE;
    if (c->width != 2)
        NIB_FAIL(err, NIB_UNSUPPORTED, "this model cannot answer questions: a token has %lld scores", (long long)c->width);
    NIB_TRY(make_out(a, job->given.n, err));
fail:
    return status;
}

static nib_status conclude(task_job *job, nib_error *err) {
    answering *a = (answering *)job;
    *a->to = a->out;
    a->out = NULL;
    return NIB_OK;
}

static void free_job(task_job *job) {
    answering *a = (answering *)job;
    base_heap *heap = &job->m->runtime->heap;
    for (int i = 0; a->works && i < base_pool_threads(job->m->runtime->pool); i++) {
        base_free(heap, a->works[i].chances[0]);
        base_free(heap, a->works[i].chances[1]);
        base_free(heap, a->works[i].spans);
        base_free(heap, a->works[i].found);
    }
    base_free(heap, a->works);
    nib_answers_free(a->out);
}

static const task_job_kind kind = {
    .bytes = sizeof(answering), .chunked = true, .begin = begin, .each = answer_one, .conclude = conclude, .free = free_job};

task_job *task_answer_job(nib_model *m, const char *const *questions, const char *const *contexts, size_t n,
                          const nib_answer_options *o, nib_answers **out) {
    const task_texts given = {.n = n,
                              .texts = questions,
                              .text_lengths = o->question_lengths,
                              .pairs = contexts,
                              .pair_lengths = o->context_lengths,
                              .max_tokens = o->max_tokens ? o->max_tokens : MOST_TOKENS,
                              .profile = o->profile,
                              .ticket = o->ticket};
    answering *a = (answering *)task_job_new(&kind, m, NIB_TASK_ANSWER, &given);
    if (!a) return NULL;
    a->options = *o;
    a->to = out;
    a->most_spans = o->whole_words ? 2 * o->top + 10 : o->top;
    return &a->job;
}

size_t nib_answers_get(const nib_answers *answers, size_t i, const nib_answer_entry **entries) {
    const bool there = answers && i < answers->n;
    if (entries) *entries = there ? answers->results[i].list : NULL;
    return there ? answers->results[i].count : 0;
}

void nib_answers_free(nib_answers *answers) {
    if (!answers) return;
    nib_model *m = answers->model;
    base_heap *heap = &m->runtime->heap;
    for (int i = 0; answers->arenas && i < answers->threads; i++) base_arena_free(&answers->arenas[i]);
    base_free(heap, answers->arenas);
    base_free(heap, answers->results);
    base_free(heap, answers);
    nib_model_free(m);
}
