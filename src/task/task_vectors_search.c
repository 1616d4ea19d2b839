/* SPDX-License-Identifier: Apache-2.0
 *
 * The nearest of stored vectors. In: queries and documents. Out: hits, the same whatever the threads: they are ordered
 * wholly, by score and then by index, so that the best of each part and the best of those are the best of all.
 *
 * Work is cut into units, a few queries and a stretch of documents each. Within one, documents go block by block, so
 * that all its queries find a block in the cache. A query keeps its best in a heap with the worst on top.
 */
#include "base/base_half.h"
#include "base/base_sort.h"
#include "task_vectors.h"
#include <math.h>
#include <stdatomic.h>
#include <string.h>

#define QUERIES 8            /* of a unit */
#define BLOCK_BYTES (64 << 10)
#define BLOCK_MOST 256       /* documents of a block */
#define SLICE_LEAST 2048     /* documents of a stretch: less is not worth a thread's waking */
#define EXACT_COLUMNS 256    /* products of 255 * 255 that a float adds exactly: 2^24 / 65025 = 258 */

typedef struct search {
    nib_runtime *runtime;
    kernels k;
    const nib_vectors *queries, *documents;
    nib_similarity similarity;
    bool bits;                 /* documents are compared as bits */
    bool whole;                /* both are whole numbers: sums are exact */
    bool widened;              /* documents are made f32 before they are compared: those with ranges */
    size_t kept;               /* hits of a query that a stretch keeps */
    size_t groups, slices, slice; /* of queries; of documents, and how many each has */
    float *q;                  /* [queries, width] as numbers */
    uint8_t *q_bits;           /* [queries, bytes] of bits */
    double *q_norms;           /* [queries] for COSINE */
    float *zeros;              /* [width] */
    nib_hit *heaps;            /* [queries, slices, kept] */
    size_t *counts;            /* [queries, slices] */
    _Atomic int status;
} search;

/* ---- the order, and a heap of the best */

static bool is_better(const nib_hit *a, const nib_hit *b) {
    return a->score > b->score || (a->score == b->score && a->index < b->index);
}

int task_hits_compare(const void *a, const void *b) { return is_better(a, b) ? -1 : is_better(b, a); }

void task_hits_offer(nib_hit *heap, size_t *count, size_t most, nib_hit hit) {
    size_t at = 0;
    if (isnan(hit.score)) return;
    if (*count < most) { /* up, past better ones */
        for (at = (*count)++; at > 0 && is_better(&heap[(at - 1) / 2], &hit); at = (at - 1) / 2)
            heap[at] = heap[(at - 1) / 2];
        heap[at] = hit;
        return;
    }
    if (!is_better(&hit, &heap[0])) return;
    for (size_t child; (child = 2 * at + 1) < *count; at = child) { /* down, past worse ones */
        if (child + 1 < *count && is_better(&heap[child], &heap[child + 1])) child++;
        if (!is_better(&hit, &heap[child])) break;
        heap[at] = heap[child];
    }
    heap[at] = hit;
}

/* ---- vectors as numbers */

static bool is_bits(nib_vector_type t) { return t == NIB_VECTOR_BINARY || t == NIB_VECTOR_UBINARY; }
static bool is_bytes(nib_vector_type t) { return t == NIB_VECTOR_I8 || t == NIB_VECTOR_U8; }

static const uint8_t *row_of(const nib_vectors *v, size_t i) {
    return (const uint8_t *)v->data + i * nib_vector_bytes(v->type, v->width);
}

/* Vector i as f32: a byte between its ranges, a bit as 0 or 1. As sentence-transformers widens them to score anew. */
static void widen(const nib_vectors *v, size_t i, float *to) {
    const uint8_t *p = row_of(v, i);
    const int64_t n = v->width;
    for (int64_t j = 0; j < n; j++) {
        if (v->type == NIB_VECTOR_F32) to[j] = ((const float *)(const void *)p)[j];
        else if (v->type == NIB_VECTOR_F16) to[j] = base_f16_to_f32(((const uint16_t *)(const void *)p)[j]);
        else if (v->type == NIB_VECTOR_U8) to[j] = p[j];
        else if (v->type == NIB_VECTOR_I8) to[j] = (int8_t)p[j];
        else to[j] = (float)((p[j / 8] ^ (v->type == NIB_VECTOR_BINARY ? 0x80 : 0)) >> (7 - j % 8) & 1);
    }
    for (int64_t j = 0; is_bytes(v->type) && v->ranges && j < n; j++) {
        const float step = (v->ranges[n + j] - v->ranges[j]) / 255.0f;
        const float number = v->type == NIB_VECTOR_I8 ? to[j] + 128.0f : to[j];
        to[j] = number * (step == 0.0f ? 1.0f : step) + v->ranges[j];
    }
}

static kernel_element element_of(nib_vector_type t) {
    return t == NIB_VECTOR_F16  ? KERNEL_ELEMENT_F16
           : t == NIB_VECTOR_I8 ? KERNEL_ELEMENT_I8
           : t == NIB_VECTOR_U8 ? KERNEL_ELEMENT_U8
                                : KERNEL_ELEMENT_F32;
}

/* ---- scores of one query and a block of documents */

typedef struct block {
    const void *at; /* [n] rows */
    kernel_element element;
    int64_t stride, n; /* stride: bytes */
    double norms[BLOCK_MOST];
} block;

static void sums(const search *s, kernel_score score, const float *q, const block *b, double *out) {
    static const int64_t sizes[KERNEL_ELEMENTS] = {4, 2, 1, 1};
    const int64_t W = s->documents->width, part = s->whole ? EXACT_COLUMNS : W;
    float some[BLOCK_MOST];
    for (int64_t c = 0; c < W; c += part) {
        const void *at = (const char *)b->at + c * sizes[b->element];
        s->k.score_rows(score, b->element, q + c, at, b->stride, b->n, W - c < part ? W - c : part, some);
        for (int64_t r = 0; r < b->n; r++) out[r] = (c ? out[r] : 0) + (double)some[r];
    }
}

static double at_least_tiny(double norm) { return norm < 1e-12 ? 1e-12 : norm; }

static void norms_of(const search *s, block *b) {
    sums(s, KERNEL_SCORE_SQUARES, s->zeros, b, b->norms);
    for (int64_t r = 0; r < b->n; r++) b->norms[r] = at_least_tiny(sqrt(b->norms[r]));
}

static void score_block(const search *s, nib_similarity similarity, const float *q, double q_norm, const block *b,
                        double *out) {
    const kernel_score score = similarity == NIB_SIMILARITY_EUCLIDEAN   ? KERNEL_SCORE_SQUARES
                               : similarity == NIB_SIMILARITY_MANHATTAN ? KERNEL_SCORE_ABSOLUTE
                                                                        : KERNEL_SCORE_DOT;
    sums(s, score, q, b, out);
    for (int64_t r = 0; r < b->n; r++) {
        if (similarity == NIB_SIMILARITY_COSINE) out[r] = task_cosine(out[r], q_norm * b->norms[r]);
        if (similarity == NIB_SIMILARITY_EUCLIDEAN) out[r] = -sqrt(out[r]);
        if (similarity == NIB_SIMILARITY_MANHATTAN) out[r] = -out[r];
    }
}

static void score_bits(const search *s, size_t query, const block *b, double *out) {
    int32_t some[BLOCK_MOST];
    const int64_t bytes = b->stride;
    s->k.hamming_rows(s->q_bits + query * (size_t)bytes, b->at, bytes, b->n, bytes, some);
    for (int64_t r = 0; r < b->n; r++) out[r] = -(double)some[r];
}

/* ---- units */

static void search_block(search *s, size_t first, size_t last, size_t slice, size_t from, const block *b) {
    double scores[BLOCK_MOST];
    for (size_t i = first; i < last; i++) {
        const size_t heap = i * s->slices + slice;
        if (s->bits) score_bits(s, i, b, scores);
        else score_block(s, s->similarity, s->q + i * (size_t)s->documents->width, s->q_norms[i], b, scores);
        for (int64_t r = 0; r < b->n; r++)
            task_hits_offer(s->heaps + heap * s->kept, &s->counts[heap], s->kept,
                       (nib_hit){.index = from + (size_t)r, .score = scores[r]});
    }
}

static void search_unit(void *arg, size_t unit, int slot) {
    (void)slot;
    search *s = arg;
    const nib_vectors *d = s->documents;
    const size_t group = unit / s->slices, slice = unit % s->slices, row = nib_vector_bytes(d->type, d->width);
    const size_t first = group * QUERIES, last = first + QUERIES < s->queries->n ? first + QUERIES : s->queries->n;
    const size_t end = (slice + 1) * s->slice < d->n ? (slice + 1) * s->slice : d->n;
    const size_t wide = s->widened ? (size_t)d->width * sizeof(float) : row;
    size_t most = BLOCK_BYTES / wide;
    most = most < 16 ? 16 : most > BLOCK_MOST ? BLOCK_MOST : most;
    block b = {.element = s->widened ? KERNEL_ELEMENT_F32 : element_of(d->type), .stride = (int64_t)wide};
    float *room = s->widened ? base_alloc(&s->runtime->heap, most * wide) : NULL;
    if (s->widened && !room) atomic_store(&s->status, NIB_OUT_OF_MEMORY);
    for (size_t at = slice * s->slice; at < end && atomic_load(&s->status) == NIB_OK; at += most) {
        b.n = (int64_t)(end - at < most ? end - at : most);
        b.at = s->widened ? (const void *)room : row_of(d, at);
        for (int64_t r = 0; s->widened && r < b.n; r++) widen(d, at + (size_t)r, room + r * d->width);
        if (s->similarity == NIB_SIMILARITY_COSINE && !s->bits) norms_of(s, &b);
        search_block(s, first, last, slice, at, &b);
        base_stop_advance((uint64_t)b.n * (last - first));
        if (base_stop_wanted()) atomic_store(&s->status, NIB_CANCELLED);
    }
    base_free(&s->runtime->heap, room);
}

/* ---- scoring anew, and the end */

typedef struct ending {
    search *s;
    const nib_search_options *o;
    const nib_vectors *better; /* NULL: the scores stay */
    nib_similarity similarity;
    size_t k;
    nib_hit *hits;
    size_t *counts;
} ending;

static double score_anew(const ending *e, const float *q, size_t document, float *row) {
    search *s = e->s;
    double score;
    block b = {.at = row, .element = KERNEL_ELEMENT_F32, .n = 1, .norms = {1}};
    search plain = *s;
    plain.whole = false;
    widen(e->better, document, row);
    double q_norm = 1;
    if (e->similarity == NIB_SIMILARITY_COSINE) {
        const block query = {.at = q, .element = KERNEL_ELEMENT_F32, .n = 1};
        sums(&plain, KERNEL_SCORE_SQUARES, s->zeros, &query, &q_norm);
        q_norm = at_least_tiny(sqrt(q_norm));
        norms_of(&plain, &b);
    }
    score_block(&plain, e->similarity, q, q_norm, &b, &score);
    return score;
}

/* The best of query i's stretches, scored anew if they are to be, in order. */
static void end_query(void *arg, size_t i, int slot) {
    (void)slot;
    ending *e = arg;
    search *s = e->s;
    nib_hit *all = s->heaps + i * s->slices * s->kept;
    size_t n = 0;
    for (size_t j = 0; j < s->slices; j++) {
        const size_t count = s->counts[i * s->slices + j];
        memmove(all + n, all + j * s->kept, count * sizeof *all);
        n += count;
    }
    base_sort(all, n, sizeof *all, task_hits_compare);
    if (n > s->kept) n = s->kept;
    if (e->better) {
        const size_t candidates = n;
        float *row = base_alloc(&s->runtime->heap, (size_t)e->better->width * sizeof *row);
        if (!row) {
            atomic_store(&s->status, NIB_OUT_OF_MEMORY);
            return;
        }
        n = 0;
        for (size_t j = 0; j < candidates; j++) {
            const size_t index = all[j].index;
            const double score = score_anew(e, (const float *)(const void *)row_of(s->queries, i), index, row);
            if (!isnan(score)) all[n++] = (nib_hit){.index = index, .score = score};
        }
        base_free(&s->runtime->heap, row);
        base_sort(all, n, sizeof *all, task_hits_compare);
    }
    if (n > e->k) n = e->k;
    if (n) memcpy(e->hits + i * e->k, all, n * sizeof *all);
    if (e->counts) e->counts[i] = n;
}

/* ---- getting ready */

static nib_status check_types(const nib_vectors *q, const nib_vectors *d, const nib_search_options *o, nib_error *err) {
    const bool bits = is_bits(d->type), same = q->type == d->type;
    if (q->width != d->width)
        return base_error_set(err, NIB_INVALID_ARGUMENT, "queries of %lld numbers, and documents of %lld",
                              (long long)q->width, (long long)d->width);
    if (!same && q->type != NIB_VECTOR_F32)
        return base_error_set(err, NIB_INVALID_ARGUMENT, "queries are float32 or what documents are, %s, and not %s",
                              nib_vector_type_name(d->type), nib_vector_type_name(q->type));
    if (o->rescore > 0 && q->type != NIB_VECTOR_F32)
        return base_error_set(err, NIB_INVALID_ARGUMENT, "to score documents anew takes queries of float32, not %s",
                              nib_vector_type_name(q->type));
    const bool hamming = o->similarity == NIB_SIMILARITY_HAMMING;
    if (bits ? !hamming && o->similarity != NIB_SIMILARITY_AUTO && o->rescore == 0 : hamming)
        return base_error_set(err, NIB_INVALID_ARGUMENT, "%s vectors have no similarity %s",
                              nib_vector_type_name(d->type), nib_similarity_name(o->similarity));
    if (hamming && o->rescore > 0)
        return base_error_set(err, NIB_INVALID_ARGUMENT, "what is scored anew is scored by more than bits");
    if (o->better && o->rescore <= 0)
        return base_error_set(err, NIB_INVALID_ARGUMENT, "better documents are for rescore, and it is 0");
    if (o->better && (o->better->n != d->n || o->better->width != d->width))
        return base_error_set(err, NIB_INVALID_ARGUMENT, "better documents are %zu of %lld, and not %zu of %lld",
                              o->better->n, (long long)o->better->width, d->n, (long long)d->width);
    return NIB_OK;
}

static void free_search(search *s) {
    base_heap *heap = &s->runtime->heap;
    if (s->q != s->queries->data) base_free(heap, s->q);
    if (s->q_bits != s->queries->data) base_free(heap, s->q_bits);
    base_free(heap, s->q_norms);
    base_free(heap, s->zeros);
    base_free(heap, s->heaps);
    base_free(heap, s->counts);
}

/* The queries as documents are compared: numbers, or bits. */
static nib_status prepare_queries(search *s, nib_error *err) {
    base_heap *heap = &s->runtime->heap;
    const nib_vectors *q = s->queries;
    const size_t W = (size_t)q->width;
    nib_vectors stripped = *q; /* of one type with the documents: whole numbers */
    stripped.ranges = NULL;
    s->zeros = base_calloc(heap, W, sizeof *s->zeros);
    if (!s->zeros) return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for a search");
    if (s->bits) {
        s->q_bits = (uint8_t *)(uintptr_t)q->data;
        if (is_bits(q->type)) return NIB_OK;
        const nib_vector_options o = {.type = s->documents->type};
        task_vectors v;
        nib_status status = task_vectors_choose(&o, q->width, false, false, &v, err);
        if (status != NIB_OK) return status;
        s->q_bits = base_calloc(heap, q->n, v.bytes);
        if (!s->q_bits) return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for a search");
        task_vectors_put(&v, q->data, q->n, s->q_bits);
        return NIB_OK;
    }
    s->q = (float *)(uintptr_t)q->data;
    if (q->type != NIB_VECTOR_F32) s->q = base_calloc(heap, q->n, W * sizeof *s->q);
    s->q_norms = base_calloc(heap, q->n, sizeof *s->q_norms);
    if (!s->q || !s->q_norms) return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for a search");
    for (size_t i = 0; i < q->n; i++) {
        double norm;
        if (q->type != NIB_VECTOR_F32) widen(&stripped, i, s->q + i * W);
        const block b = {.at = s->q + i * W, .element = KERNEL_ELEMENT_F32, .n = 1};
        sums(s, KERNEL_SCORE_SQUARES, s->zeros, &b, &norm);
        s->q_norms[i] = at_least_tiny(sqrt(norm));
    }
    return NIB_OK;
}

static nib_status prepare(search *s, size_t kept, nib_error *err) {
    base_heap *heap = &s->runtime->heap;
    const size_t n = s->documents->n, threads = (size_t)base_pool_threads(s->runtime->pool);
    size_t all, bytes;
    kernel_table_init(&s->k, s->runtime->isas);
    s->kept = kept < n ? kept : n;
    s->groups = (s->queries->n + QUERIES - 1) / QUERIES;
    s->slices = s->groups >= threads ? 1 : (2 * threads + s->groups - 1) / s->groups;
    if (s->slices > n / SLICE_LEAST) s->slices = n / SLICE_LEAST ? n / SLICE_LEAST : 1;
    s->slice = (n + s->slices - 1) / s->slices;
    if (!base_mul_size(s->queries->n, s->slices, &all) || !base_mul_size(all, s->kept, &bytes) ||
        !base_mul_size(bytes, sizeof *s->heaps, &bytes))
        return base_error_set(err, NIB_OUT_OF_MEMORY, "so many hits fit no memory");
    s->heaps = base_alloc(heap, bytes + 1);
    s->counts = base_calloc(heap, all, sizeof *s->counts);
    if (!s->heaps || !s->counts)
        return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for %zu hits of %zu queries", s->kept,
                              s->queries->n);
    return prepare_queries(s, err);
}

nib_status task_search(nib_runtime *runtime, const nib_vectors *queries, const nib_vectors *documents, size_t k,
                       const nib_search_options *o, nib_hit *hits, size_t *counts, nib_error *err) {
    nib_status status = NIB_OK;
    const bool anew = o->rescore > 0, bits = is_bits(documents->type);
    const nib_similarity given = o->similarity;
    const size_t times = anew ? (size_t)o->rescore : 1, kept = k > SIZE_MAX / times ? SIZE_MAX : k * times;
    search s = {.runtime = runtime, .queries = queries, .documents = documents, .bits = bits};
    NIB_TRY(check_types(queries, documents, o, err));
    s.similarity = bits ? NIB_SIMILARITY_HAMMING : given == NIB_SIMILARITY_AUTO ? NIB_SIMILARITY_COSINE : given;
    s.whole = is_bytes(documents->type) && queries->type == documents->type;
    s.widened = is_bytes(documents->type) && documents->ranges && !s.whole;
    if (counts) memset(counts, 0, queries->n * sizeof *counts);
    if (!queries->n || !documents->n) return NIB_OK;
    ending e = {.s = &s, .o = o, .k = k, .hits = hits, .counts = counts};
    if (anew) e.better = o->better ? o->better : documents;
    e.similarity = given != NIB_SIMILARITY_AUTO ? given
                   : anew && is_bits(e.better->type) ? NIB_SIMILARITY_DOT
                                                     : NIB_SIMILARITY_COSINE;
    NIB_TRY(prepare(&s, kept, err));
    base_pool_run(runtime->pool, s.groups * s.slices, search_unit, &s);
    if (atomic_load(&s.status) == NIB_OK) base_pool_run(runtime->pool, queries->n, end_query, &e);
    status = (nib_status)atomic_load(&s.status);
    if (status != NIB_OK) base_error_set(err, status, "%s", nib_status_text(status));
fail:
    if (s.heaps || s.zeros || s.counts) free_search(&s);
    return status;
}
