/* SPDX-License-Identifier: Apache-2.0
 *
 * Vectors as they are stored and found (nib/vectors.h). In: f32 rows, of a run or of a caller's. Out: rows cut, made of
 * length 1 and in fewer bits; and the nearest of stored ones.
 */
#ifndef TASK_VECTORS_H
#define TASK_VECTORS_H

#include "base/base_runtime.h"
#include "kernel/kernel.h"

/* What becomes of rows [.., width]; plain data. `ranges` is borrowed. */
typedef struct task_vectors {
    kernels k;
    nib_vector_type type;
    int64_t width, dimensions; /* numbers of a row that comes, and that goes */
    bool normalize;
    const float *ranges; /* [2, dimensions], or NULL */
    size_t bytes;        /* of a row that goes */
} task_vectors;

/* options NULL: f32 rows as they come. `unit`: they have length 1 before the cut, or are to have it behind one.
 * `wants_ranges`: int8 and uint8 need theirs. INVALID_ARGUMENT as nib_vectors_convert. */
nib_status task_vectors_choose(const nib_vector_options *options, int64_t width, bool unit, bool wants_ranges,
                               task_vectors *out, nib_error *err);

/* Rows [n, width] to `out` [n, bytes]. Allocates nothing. */
void task_vectors_put(const task_vectors *v, const float *rows, size_t n, void *out);

/* Its ranges become a copy, *own, of the heap's; NULL: it has none. */
nib_status task_vectors_own_ranges(task_vectors *v, base_heap *heap, float **own, nib_error *err);

/* As nib_vectors_ranges and nib_vectors_pool. */
nib_status task_vectors_ranges(const task_vectors *v, const float *rows, size_t n, float *ranges, nib_error *err);
nib_status task_vectors_pool(const task_vectors *v, const float *tokens, const int64_t *offsets, size_t n,
                             nib_pooling pooling, void *out, nib_error *err);

/* Whether ranges [2, width] are finite and the right way round; INVALID_ARGUMENT says which column is not. */
nib_status task_vectors_check_ranges(const float *ranges, int64_t width, nib_error *err);

/* Hits in order: the better score first, then the smaller index. A heap of the `most` best of [count] hits, the worst on
 * top, is offered one more; NaN is none. */
int task_hits_compare(const void *a, const void *b);
void task_hits_offer(nib_hit *heap, size_t *count, size_t most, nib_hit hit);

/* As nib_search; the options are complete, and the arguments checked but for what the types say together. */
nib_status task_search(nib_runtime *runtime, const nib_vectors *queries, const nib_vectors *documents, size_t k,
                       const nib_search_options *options, nib_hit *hits, size_t *counts, nib_error *err);

/* As nib_maxsim, of checked arguments; whether it takes such rows. */
nib_status task_maxsim(nib_runtime *runtime, const nib_vectors *query, const nib_vectors *documents,
                       const int64_t *offsets, size_t n, float *scores, nib_error *err);
bool task_maxsim_takes(nib_vector_type type);

/* Within -1 and 1, which rounding alone would leave; NaN stays. */
double task_cosine(double dot, double norms);

#endif
