/* SPDX-License-Identifier: Apache-2.0
 *
 * The nearest of sparse vectors by the dot product. In: queries and documents in CSR. Out: hits. A query is spread over
 * a row of all columns, and each document's numbers are looked up there: the cost is the documents' numbers, read once
 * a query.
 */
#include "base/base_sort.h"
#include "task.h"
#include "task_sparse.h"
#include <math.h>
#include <string.h>

double task_sparse_dot(const nib_sparse *a, size_t i, const nib_sparse *b, size_t j) {
    double sum = 0;
    if (i >= a->n || j >= b->n) return NAN;
    for (int64_t k = a->offsets[i], l = b->offsets[j]; k < a->offsets[i + 1] && l < b->offsets[j + 1];) {
        if (a->indices[k] < b->indices[l]) k++;
        else if (a->indices[k] > b->indices[l]) l++;
        else sum += (double)a->values[k++] * (double)b->values[l++];
    }
    return sum;
}

#define BLOCK 1024 /* documents between two looks at whether the call is to stop */

typedef struct search {
    nib_runtime *runtime;
    const nib_sparse *queries, *documents;
    size_t k;
    nib_hit *hits;
    size_t *counts;
    float **spread; /* [threads] rows of all columns, 0 between queries */
    _Atomic int status;
} search;

static double score(const nib_sparse *d, size_t j, const float *q) {
    double sum = 0;
    for (int64_t k = d->offsets[j]; k < d->offsets[j + 1]; k++) {
        const float x = q[d->indices[k]];
        if (x != 0) sum += (double)x * (double)d->values[k];
    }
    return sum;
}

static void search_query(void *arg, size_t i, int slot) {
    search *s = arg;
    const nib_sparse *q = s->queries, *d = s->documents;
    float *row = s->spread[slot];
    size_t count = 0;
    if (!row) row = s->spread[slot] = base_calloc(&s->runtime->heap, (size_t)d->width, sizeof *row);
    if (!row) {
        atomic_store(&s->status, NIB_OUT_OF_MEMORY);
        return;
    }
    for (int64_t k = q->offsets[i]; k < q->offsets[i + 1]; k++) row[q->indices[k]] = q->values[k];
    for (size_t at = 0; at < d->n && atomic_load(&s->status) == NIB_OK; at += BLOCK) {
        const size_t end = at + BLOCK < d->n ? at + BLOCK : d->n;
        for (size_t j = at; j < end; j++)
            task_hits_offer(s->hits + i * s->k, &count, s->k, (nib_hit){.index = j, .score = score(d, j, row)});
        base_stop_advance(end - at);
        if (base_stop_wanted()) atomic_store(&s->status, NIB_CANCELLED);
    }
    for (int64_t k = q->offsets[i]; k < q->offsets[i + 1]; k++) row[q->indices[k]] = 0;
    base_sort(s->hits + i * s->k, count, sizeof *s->hits, task_hits_compare);
    if (s->counts) s->counts[i] = count;
}

nib_status task_sparse_search(nib_runtime *runtime, const nib_sparse *queries, const nib_sparse *documents, size_t k,
                              nib_hit *hits, size_t *counts, nib_error *err) {
    nib_status status = NIB_OK;
    base_heap *heap = &runtime->heap;
    const int threads = base_pool_threads(runtime->pool);
    search s = {.runtime = runtime, .queries = queries, .documents = documents, .k = k, .hits = hits, .counts = counts};
    s.spread = base_calloc(heap, (size_t)threads, sizeof *s.spread);
    if (!s.spread) return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for a search");
    base_pool_run(runtime->pool, queries->n, search_query, &s);
    status = (nib_status)atomic_load(&s.status);
    if (status != NIB_OK) base_error_set(err, status, "%s", nib_status_text(status));
    for (int i = 0; i < threads; i++) base_free(heap, s.spread[i]);
    base_free(heap, s.spread);
    return status;
}
