/* SPDX-License-Identifier: Apache-2.0
 *
 * Ranking: classifying pairs of one query, and one sort. In: a query and documents. Out: which answer it best.
 */
#include "base/base_sort.h"
#include "task.h"
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

nib_status task_rank(nib_model *m, const char *query, const char *const *documents, size_t n,
                     const nib_rank_options *options, nib_ranked *out, size_t *count, nib_error *err) {
    nib_status status = NIB_OK;
    base_heap *heap = &m->runtime->heap;
    const model_program *program;
    const char **queries = NULL;
    size_t *lengths = NULL, bytes;
    float *rows = NULL;
    bool sigmoids = false;
    const char *prompt;
    *count = 0;
    NIB_TRY(task_prompt(m, options->prompt_name, options->prompt, &prompt, err));
    NIB_TRY(model_get_program(m, NIB_TASK_CLASSIFY, &program, err));
    NIB_TRY(choose_scores(m, program, options->scores, &sigmoids, err));
    const int64_t labels = program->width;
    queries = base_calloc(heap, n + 1, sizeof *queries);
    lengths = base_calloc(heap, n + 1, sizeof *lengths);
    rows = base_mul_size(n + 1, (size_t)labels * sizeof *rows, &bytes) ? base_alloc(heap, bytes) : NULL;
    if (!queries || !lengths || !rows) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for %zu documents", n);
    for (size_t i = 0; i < n; i++) {
        queries[i] = query;
        lengths[i] = options->query_length;
    }
    const task_texts given = {.n = n,
                              .texts = queries,
                              .text_lengths = options->query_length ? lengths : NULL,
                              .pairs = documents,
                              .pair_lengths = options->lengths,
                              .prompt = prompt,
                              .max_tokens = options->max_tokens,
                              .tokens = options->tokens,
                              .full_tokens = options->full_tokens,
                              .profile = options->profile,
                              .ticket = options->ticket};
    NIB_TRY(task_rows(m, NIB_TASK_CLASSIFY, &given, rows, err));
    for (size_t i = 0; i < n; i++) {
        const float x = relevance(rows + i * (size_t)labels, labels);
        out[i] = (nib_ranked){.index = i, .score = sigmoids ? sigmoid(x) : x};
    }
    base_sort(out, n, sizeof *out, by_score);
    *count = options->top && options->top < n ? options->top : n;
fail:
    base_free(heap, queries);
    base_free(heap, lengths);
    base_free(heap, rows);
    return status;
}
