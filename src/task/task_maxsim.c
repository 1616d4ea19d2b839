/* SPDX-License-Identifier: Apache-2.0
 *
 * MaxSim (Khattab and Zaharia, 2020). In: rows of a query and of documents, in floats, bytes or bits. Out: a score for
 * each document.
 *
 * Similarities of floats and bytes are what a Linear computes: the query, packed once, is its weight, and rows of
 * documents are multiplied with it where they lie, a tile at a time. Bytes are made unsigned on the way there. Bits are
 * counted. A row's sums have their own order whatever stands beside it (kernel.h), so a score's bits are its own.
 */
#include "task_vectors.h"
#include <math.h>
#include <string.h>

#define COLUMNS 32  /* query rows of a tile: a panel, or a few */
#define STEP 16     /* that they are rounded up to, with rows of 0 */
#define ROWS 96     /* document rows of a tile */
#define DOCUMENTS 8 /* of a unit of work */
#define SHIFT 128   /* of bytes that become unsigned */

typedef struct scoring {
    nib_runtime *runtime; /* NULL: the calling thread does it */
    kernels k;
    const struct way *way;
    const kernel_linear *linear; /* NULL: of bits */
    const nib_vectors *query, *documents;
    const int64_t *offsets;
    size_t n, row;  /* row: bytes of one */
    char *packed;   /* the query, COLUMNS rows after another, group_bytes each */
    size_t group_bytes;
    uint8_t *shifted; /* [slots, ROWS, stride] of bytes */
    int64_t stride;
    float *scores;
} scoring;

/* Query rows from `first`, a multiple of COLUMNS, `count` of them or of zeros, and up to ROWS rows of a document. */
typedef struct tile {
    int64_t first, count, rows;
    const void *at;
    int slot;
} tile;

/* most[c] becomes the largest of it and of the tile's column c; NaN if one of these is. */
typedef void tile_fn(const scoring *s, const tile *t, float *most);

static void multiply(const scoring *s, const tile *t, kernel_linear_args *args) {
    args->w = s->packed + (size_t)(t->first / COLUMNS) * s->group_bytes;
    args->y_stride = COLUMNS;
    args->M = t->rows;
    args->N = (t->count + STEP - 1) / STEP * STEP;
    args->K = s->query->width;
    s->linear->run(args, 0, args->M, 0, args->N);
}

static void of_floats(const scoring *s, const tile *t, float *most) {
    float y[(ROWS + 1) * COLUMNS];
    kernel_linear_args args = {.x = t->at, .x_stride = s->query->width, .y = y + COLUMNS};
    multiply(s, t, &args);
    memcpy(y, most, sizeof *y * COLUMNS);
    s->k.row_max_f32(y, COLUMNS, t->rows + 1, t->count, most);
}

/* s8 numbers and SHIFT, eight at a time. */
static void make_unsigned(const uint8_t *from, int64_t n, uint8_t *to) {
    int64_t k = 0;
    for (uint64_t eight; k + 8 <= n; k += 8) {
        memcpy(&eight, from + k, 8);
        eight ^= SHIFT * 0x0101010101010101u;
        memcpy(to + k, &eight, 8);
    }
    for (; k < n; k++) to[k] = from[k] ^ SHIFT;
}

static void of_bytes(const scoring *s, const tile *t, float *most) {
    static const float params[] = {1, SHIFT};
    const int64_t W = s->query->width;
    int32_t y[ROWS * COLUMNS], largest[COLUMNS];
    uint8_t *x = s->shifted + (size_t)t->slot * ROWS * (size_t)s->stride;
    kernel_linear_args args = {.x8 = x, .x_stride = s->stride, .x_params = params, .y32 = y};
    for (int64_t r = 0; r < t->rows; r++) make_unsigned((const uint8_t *)t->at + r * W, W, x + r * s->stride);
    multiply(s, t, &args);
    for (int c = 0; c < COLUMNS; c++) largest[c] = INT32_MIN;
    for (int64_t r = 0; r < t->rows; r++)
        for (int64_t b = 0; b < args.N; b += STEP)
            for (int64_t c = b; c < b + STEP; c++) {
                const int32_t v = y[r * COLUMNS + c];
                largest[c] = v > largest[c] ? v : largest[c];
            }
    for (int64_t c = 0; c < t->count; c++) most[c] = fmaxf(most[c], (float)largest[c]);
}

static void of_bits(const scoring *s, const tile *t, float *most) {
    int32_t y[ROWS];
    for (int64_t c = 0; c < t->count; c++) {
        const uint8_t *q = (const uint8_t *)s->query->data + (size_t)(t->first + c) * s->row;
        s->k.hamming_rows(q, t->at, (int64_t)s->row, t->rows, (int64_t)s->row, y);
        int32_t least = y[0];
        for (int64_t r = 1; r < t->rows; r++) least = y[r] < least ? y[r] : least;
        most[c] = fmaxf(most[c], (float)(s->query->width - 2 * (int64_t)least));
    }
}

static const struct way {
    tile_fn *fn; /* NULL: MaxSim has no such type */
    int weight;  /* a kernel_weight_format; -1: none */
    kernel_input input;
} ways[] = {
    [NIB_VECTOR_F32] = {of_floats, KERNEL_WEIGHT_F32, KERNEL_INPUT_F32},
    [NIB_VECTOR_I8] = {of_bytes, KERNEL_WEIGHT_S8, KERNEL_INPUT_U8},
    [NIB_VECTOR_BINARY] = {of_bits, -1, KERNEL_INPUTS},
    [NIB_VECTOR_UBINARY] = {of_bits, -1, KERNEL_INPUTS},
};

bool task_maxsim_takes(nib_vector_type type) { return (unsigned)type < BASE_COUNT(ways) && ways[type].fn; }

static float score(const scoring *s, size_t d, int slot) {
    const int64_t Q = (int64_t)s->query->n, end = s->offsets[d + 1];
    double sum = 0;
    for (int64_t first = 0; first < Q; first += COLUMNS) {
        float most[COLUMNS];
        tile t = {.first = first, .count = Q - first < COLUMNS ? Q - first : COLUMNS, .slot = slot};
        for (int c = 0; c < COLUMNS; c++) most[c] = -INFINITY;
        for (int64_t r = s->offsets[d]; r < end; r += ROWS) {
            t.rows = end - r < ROWS ? end - r : ROWS;
            t.at = (const char *)s->documents->data + (size_t)r * s->row;
            s->way->fn(s, &t, most);
        }
        for (int64_t c = 0; c < t.count; c++) sum += (double)most[c];
    }
    return (float)sum;
}

static void score_unit(void *arg, size_t unit, int slot) {
    const scoring *s = arg;
    const size_t first = unit * DOCUMENTS, last = s->n - first < DOCUMENTS ? s->n : first + DOCUMENTS;
    for (size_t d = first; d < last; d++) s->scores[d] = score(s, d, slot);
}

/* Rows of the query as the floats that `pack` takes, with rows of 0 behind them. */
static void pack_group(const scoring *s, int64_t first, float *room) {
    const int64_t W = s->query->width, left = (int64_t)s->query->n - first, n = left < COLUMNS ? left : COLUMNS;
    memset(room, 0, COLUMNS * (size_t)W * sizeof *room);
    if (s->query->type == NIB_VECTOR_F32)
        memcpy(room, (const float *)s->query->data + first * W, (size_t)(n * W) * sizeof *room);
    else
        for (int64_t i = 0; i < n * W; i++) room[i] = ((const int8_t *)s->query->data)[first * W + i];
    const kernel_weight w = {.w = room, .k_stride = 1, .n_stride = W, .N = COLUMNS, .K = W};
    s->linear->pack(&w, 0, COLUMNS, s->packed + (size_t)(first / COLUMNS) * s->group_bytes);
}

static nib_status pack_query(scoring *s, base_heap *heap, nib_error *err) {
    const size_t W = (size_t)s->query->width, groups = (s->query->n + COLUMNS - 1) / COLUMNS;
    const size_t slots = s->runtime ? (size_t)base_pool_threads(s->runtime->pool) : 1;
    float *room = base_calloc(heap, W, COLUMNS * sizeof *room);
    s->group_bytes = s->linear->packed_bytes(COLUMNS, s->query->width);
    s->packed = base_calloc(heap, groups + 1, s->group_bytes);
    if (s->query->type == NIB_VECTOR_I8) {
        s->stride = (s->query->width + 3) / 4 * 4;
        s->shifted = base_calloc(heap, slots * ROWS, (size_t)s->stride);
    }
    const bool enough = room && s->packed && (s->shifted || s->query->type != NIB_VECTOR_I8);
    for (size_t g = 0; g < groups && enough; g++) pack_group(s, (int64_t)(g * COLUMNS), room);
    base_free(heap, room);
    return enough ? NIB_OK : base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for a query of %zu rows", s->query->n);
}

nib_status task_maxsim(nib_runtime *runtime, const nib_vectors *query, const nib_vectors *documents,
                       const int64_t *offsets, size_t n, float *scores, nib_error *err) {
    nib_status status = NIB_OK;
    base_heap own, *heap = runtime ? &runtime->heap : &own;
    const struct way *way = &ways[query->type];
    scoring s = {.runtime = runtime, .way = way, .query = query, .documents = documents, .offsets = offsets, .n = n,
                 .row = nib_vector_bytes(query->type, query->width), .scores = scores};
    base_heap_init(&own, NULL);
    kernel_table_init(&s.k, runtime ? runtime->isas : base_cpu_isas());
    if (way->weight >= 0) {
        s.linear = kernel_linear_find(&s.k, way->input, (kernel_weight_format)way->weight, NULL);
        NIB_TRY(pack_query(&s, heap, err));
    }
    const size_t units = (n + DOCUMENTS - 1) / DOCUMENTS;
    if (runtime) base_pool_run(runtime->pool, units, score_unit, &s);
    for (size_t i = 0; i < units && !runtime; i++) score_unit(&s, i, 0);
fail:
    base_free(heap, s.packed);
    base_free(heap, s.shifted);
    return status;
}
