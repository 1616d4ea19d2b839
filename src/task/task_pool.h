/* SPDX-License-Identifier: Apache-2.0
 *
 * Pooling of tokens: fewer rows for a document, each the mean of rows that are near each other.
 */
#ifndef TASK_POOL_H
#define TASK_POOL_H

#include "base/base_mem.h"

/* Rows of length 1 [*n, width] become about *n / factor ones, in place: the first stays, the others are put together by
 * Ward's hierarchical clustering of their cosine distances, and all are brought to length 1 again. As
 * HierarchicalTokenPooling of sentence-transformers (token_pooling.py), clusters in the order of scipy's fcluster.
 * Memory: 4 n^2 bytes while it runs. OUT_OF_MEMORY leaves the rows as they were. */
nib_status task_pool(base_heap *heap, float *rows, size_t *n, int64_t width, double factor, nib_error *err);

#endif
