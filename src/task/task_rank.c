/* SPDX-License-Identifier: Apache-2.0
 *
 * Ranking: classifying pairs of one query, and one sort. In: a query and documents. Out: which answer it best.
 */
#include "base/base_sort.h"
#include "task.h"
#include "task_job.h"
#include <math.h>

/* What tasks.h calls the relevance, of a row of raw scores. */
static float relevance(const float *row, int64_t labels) { return labels == 2 ? row[1] - row[0] : row[0]; }

static float sigmoid(float x) { return (float)(1 / (1 + exp(-(double)x))); }

/* A total order: the best first, equal ones by number, what is no number last. */
static int by_score(const void *a, const void *b) {
    const nib_ranked *x = a, *y = b;
    const int nan_x = isnan(x->score) != 0, nan_y = isnan(y->score) != 0;
    if (nan_x != nan_y) return nan_x - nan_y;
    if (x->score > y->score || x->score < y->score) return x->score > y->score ? -1 : 1;
    return (x->index > y->index) - (x->index < y->index);
}

/* Whether the relevance goes through the sigmoid. */
static nib_status choose_scores(const nib_model *m, const model_program *p, nib_scores scores, bool *sigmoids,
                                nib_error *err) {
    const bool model = scores == NIB_SCORES_MODEL;
    if (p->width > 2)
        return base_error_set(err, NIB_UNSUPPORTED,
                              "this model has %lld labels, and which of them says that a document answers a query is "
                              "not known: it classifies pairs",
                              (long long)p->width);
    if (model && m->labels.unknown[0])
        return base_error_set(
            err, NIB_UNSUPPORTED,
            "config.json wants its scores to go through %s, which nib does not have: ask for raw ones",
            m->labels.unknown);
    if (model) scores = m->labels.activation == NIB_SCORES_MODEL ? NIB_SCORES_SIGMOID : m->labels.activation;
    if (scores == NIB_SCORES_SOFTMAX && p->width == 1)
        return base_error_set(err, NIB_INVALID_ARGUMENT, "the softmax of one label is 1 for every document");
    *sigmoids = scores != NIB_SCORES_RAW;
    return NIB_OK;
}

/* ---- the job */

typedef struct ranking {
    task_job job;
    const char *query;
    nib_rank_options options;
    nib_ranked *out;
    size_t *count;
    const char **queries; /* [n] all the same */
    size_t *lengths;      /* the same */
    float *rows;          /* [n, labels] */
    int64_t labels;
    bool sigmoids;
} ranking;

static nib_status begin(task_job *job, nib_error *err) {
    nib_status status = NIB_OK;
    ranking *r = (ranking *)job;
    base_heap *heap = &job->m->runtime->heap;
    task_texts *t = &job->given;
    const model_program *program;
    size_t bytes;
    NIB_TRY(task_prompt(job->m, r->options.prompt_name, r->options.prompt, &t->prompt, err));
    NIB_TRY(model_get_program(job->m, NIB_TASK_CLASSIFY, &program, err));
    NIB_TRY(choose_scores(job->m, program, r->options.scores, &r->sigmoids, err));
    r->labels = program->width;
    r->queries = base_calloc(heap, t->n + 1, sizeof *r->queries);
    r->lengths = base_calloc(heap, t->n + 1, sizeof *r->lengths);
    r->rows = base_mul_size(t->n + 1, (size_t)r->labels * sizeof *r->rows, &bytes) ? base_alloc(heap, bytes) : NULL;
    if (!r->queries || !r->lengths || !r->rows) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for %zu documents", t->n);
    for (size_t i = 0; i < t->n; i++) {
        r->queries[i] = r->query;
        r->lengths[i] = r->options.query_length;
    }
    t->texts = r->queries;
    t->text_lengths = r->options.query_length ? r->lengths : NULL;
    job->out = r->rows;
fail:
    return status;
}

static nib_status conclude(task_job *job, nib_error *err) {
    ranking *r = (ranking *)job;
    const size_t n = job->given.n;
    for (size_t i = 0; i < n; i++) {
        const float x = relevance(r->rows + i * (size_t)r->labels, r->labels);
        r->out[i] = (nib_ranked){.index = i, .score = r->sigmoids ? sigmoid(x) : x};
    }
    base_sort(r->out, n, sizeof *r->out, by_score);
    *r->count = r->options.top && r->options.top < n ? r->options.top : n;
    return NIB_OK;
}

static void free_job(task_job *job) {
    ranking *r = (ranking *)job;
    base_heap *heap = &job->m->runtime->heap;
    base_free(heap, r->queries);
    base_free(heap, r->lengths);
    base_free(heap, r->rows);
}

static const task_job_kind kind = {.bytes = sizeof(ranking), .begin = begin, .conclude = conclude, .free = free_job};

task_job *task_rank_job(nib_model *m, const char *query, const char *const *documents, size_t n,
                        const nib_rank_options *options, nib_ranked *out, size_t *count) {
    const task_texts given = {.n = n,
                              .pairs = documents,
                              .pair_lengths = options->lengths,
                              .max_tokens = options->max_tokens,
                              .tokens = options->tokens,
                              .full_tokens = options->full_tokens,
                              .profile = options->profile,
                              .ticket = options->ticket};
    ranking *r = (ranking *)task_job_new(&kind, m, NIB_TASK_CLASSIFY, &given);
    if (!r) return NULL;
    r->query = query;
    r->options = *options;
    r->out = out;
    r->count = count;
    return &r->job;
}
