/* SPDX-License-Identifier: Apache-2.0
 *
 * Sparse vectors on their way: what a run gives for a text, a row of all words or a weight of each token, becomes a
 * list of the numbers that are not 0; the lists become one CSR.
 */
#ifndef TASK_SPARSE_H
#define TASK_SPARSE_H

#include "task_texts.h"

typedef struct task_sparse_list {
    int32_t *indices; /* [count], and behind them the values: one block */
    float *values;
    size_t count;
} task_sparse_list;

typedef struct task_sparse {
    const nib_model *m;
    int64_t width;
    int64_t top;     /* only so many of each; 0: all */
    uint8_t *unused; /* [vocabulary] 1: no weight; NULL: all have one */
    size_t vocabulary;
    task_sparse_list *lists; /* [n] */
    size_t n;
    _Atomic int status; /* of the first that could not be kept */
} task_sparse;

/* For n texts of the model. `tokens`: rows of tokens come, not of texts. Ended with task_sparse_end, on failure too. */
nib_status task_sparse_begin(task_sparse *s, const nib_model *m, size_t n, int64_t width, bool tokens, int64_t top,
                             nib_error *err);
void task_sparse_end(task_sparse *s);

/* Text i's: a row of all words; or the weight of each of its tokens, of which those of one word become one, the
 * largest. On any thread, for different texts. */
void task_sparse_take_row(task_sparse *s, size_t i, const float *row);
void task_sparse_take_tokens(task_sparse *s, size_t i, const int32_t *ids, const float *weights, int64_t count);

/* All lists as one; the caller frees it with nib_sparse_free. */
nib_status task_sparse_finish(task_sparse *s, nib_sparse **out, nib_error *err);

/* A struct with room for so many vectors and numbers, offsets 0, of the runtime's memory. NULL: there is none. */
nib_sparse *task_sparse_create(nib_runtime *runtime, size_t n, int64_t width, size_t numbers);
void task_sparse_free(nib_sparse *sparse);

/* As nib_embed_hybrid; *rows, [offsets[n], *width], is the caller's, of the runtime's heap; NULL on failure. */
nib_status task_embed_hybrid(nib_model *m, const char *const *texts, size_t n, const nib_sparse_options *o,
                             float *dense, nib_sparse **sparse, int64_t *offsets, float **rows, int64_t *width,
                             nib_error *err);
/* As nib_sparse_search. */
nib_status task_sparse_search(nib_runtime *runtime, const nib_sparse *queries, const nib_sparse *documents, size_t k,
                              nib_hit *hits, size_t *counts, nib_error *err);
double task_sparse_dot(const nib_sparse *a, size_t i, const nib_sparse *b, size_t j);

#endif
