/* SPDX-License-Identifier: Apache-2.0
 *
 * See task_vectors.h. In: f32 rows. Out: the same cut, made of length 1 and converted; a few rows at a time, so that
 * what a second look reads is still in the first cache.
 */
#include "task_vectors.h"
#include "op/op_nib.h"
#include <math.h>
#include <string.h>

#define ROWS 8 /* at a time: 12 KB of 384 numbers */

typedef struct layout {
    nib_dtype dtype;
    int bits; /* of a number */
} layout;

static const layout layouts[] = {
    [NIB_VECTOR_F32] = {NIB_DTYPE_F32, 32},   [NIB_VECTOR_F16] = {NIB_DTYPE_F16, 16},
    [NIB_VECTOR_I8] = {NIB_DTYPE_I8, 8},      [NIB_VECTOR_U8] = {NIB_DTYPE_U8, 8},
    [NIB_VECTOR_BINARY] = {NIB_DTYPE_I8, 1},  [NIB_VECTOR_UBINARY] = {NIB_DTYPE_U8, 1},
};

size_t nib_vector_bytes(nib_vector_type type, int64_t width) {
    if ((unsigned)type >= BASE_COUNT(layouts) || width < 1 || width > INT64_MAX / 64) return 0;
    return ((size_t)width * (size_t)layouts[type].bits + 7) / 8;
}

nib_dtype nib_vector_dtype(nib_vector_type type) {
    return (unsigned)type < BASE_COUNT(layouts) ? layouts[type].dtype : NIB_DTYPE_UNDEFINED;
}

double task_cosine(double dot, double norms) {
    const double c = dot / norms;
    return c > 1 ? 1 : c < -1 ? -1 : c;
}

nib_status task_vectors_check_ranges(const float *ranges, int64_t width, nib_error *err) {
    for (int64_t i = 0; i < width; i++) {
        const float lo = ranges[i], hi = ranges[width + i];
        if (isfinite(lo) && isfinite(hi - lo) && lo <= hi) continue; /* steps are parts of the difference */
        return base_error_set(err, NIB_INVALID_ARGUMENT, "ranges, column %lld: from %g to %g", (long long)i, (double)lo,
                              (double)hi);
    }
    return NIB_OK;
}

nib_status task_vectors_choose(const nib_vector_options *options, int64_t width, bool unit, bool wants_ranges,
                               task_vectors *out, nib_error *err) {
    static const nib_vector_options plain = {.normalize = -1};
    const nib_vector_options *o = options ? options : &plain;
    const int64_t dimensions = o->dimensions ? o->dimensions : width;
    const bool bytes = o->type == NIB_VECTOR_I8 || o->type == NIB_VECTOR_U8;
    if ((unsigned)o->type > NIB_VECTOR_UBINARY)
        return base_error_set(err, NIB_INVALID_ARGUMENT, "vectors of type %d: there is no such", (int)o->type);
    if (o->normalize < -1 || o->normalize > 1)
        return base_error_set(err, NIB_INVALID_ARGUMENT, "normalize is %d, and may be -1, 0 or 1", o->normalize);
    if (width < 1) return base_error_set(err, NIB_INVALID_ARGUMENT, "vectors of %lld numbers", (long long)width);
    if (dimensions < 1 || dimensions > width)
        return base_error_set(err, NIB_INVALID_ARGUMENT, "dimensions %lld: the vectors have %lld", (long long)dimensions,
                              (long long)width);
    if (bytes && wants_ranges && !o->ranges)
        return base_error_set(err, NIB_INVALID_ARGUMENT, "%s needs the range of each column",
                              nib_vector_type_name(o->type));
    if (bytes && o->ranges && o->ranges_width != dimensions)
        return base_error_set(err, NIB_INVALID_ARGUMENT, "ranges of %lld columns, and vectors of %lld",
                              (long long)o->ranges_width, (long long)dimensions);
    *out = (task_vectors){.type = o->type,
                          .width = width,
                          .dimensions = dimensions,
                          .normalize = o->normalize < 0 ? unit && dimensions < width : o->normalize > 0,
                          .ranges = bytes ? o->ranges : NULL,
                          .bytes = nib_vector_bytes(o->type, dimensions)};
    kernel_table_init(&out->k, base_cpu_isas());
    return out->ranges ? task_vectors_check_ranges(out->ranges, dimensions, err) : NIB_OK;
}

/* Where a bit of x / norm begins to be 1: the largest x whose quotient is rounded to 0. Halves of the least number above
 * 0 go to 0, so it is norm 2^-150, which is 0 for norms below 2. NaN and infinity stay, and nothing is above them. */
static float threshold(float norm) {
    const double exact = (double)norm * 0x1p-150;
    const float near = (float)exact;
    return (double)near > exact ? nextafterf(near, 0) : near;
}

static void put_some(const task_vectors *v, const float *x, int64_t n, void *out) {
    const kernels *k = &v->k;
    const int64_t W = v->width, D = v->dimensions;
    float norms[ROWS];
    const float *by = v->normalize ? norms : NULL;
    if (v->type == NIB_VECTOR_F32 && by) {
        k->l2_normalize_f32(x, W, n, D, out, D);
        return;
    }
    if (by) k->l2_norms_f32(x, W, n, D, norms);
    switch (v->type) {
    case NIB_VECTOR_F32:
        for (int64_t r = 0; r < n; r++) memcpy((float *)out + r * D, x + r * W, (size_t)D * sizeof *x);
        break;
    case NIB_VECTOR_F16: k->round_rows_f16(x, W, by, n, D, out, D); break;
    case NIB_VECTOR_I8:
    case NIB_VECTOR_U8:
        k->bucket_rows_u8(x, W, by, v->ranges, v->ranges + D, v->type == NIB_VECTOR_I8, n, D, out, D);
        break;
    default:
        for (int64_t r = 0; by && r < n; r++) norms[r] = threshold(norms[r]);
        k->pack_rows_u1(x, W, by, v->type == NIB_VECTOR_BINARY, n, D, out, (int64_t)v->bytes);
    }
}

void task_vectors_put(const task_vectors *v, const float *rows, size_t n, void *out) {
    for (size_t r = 0; r < n; r += ROWS)
        put_some(v, rows + r * (size_t)v->width, (int64_t)(n - r < ROWS ? n - r : ROWS), (char *)out + r * v->bytes);
}

nib_status task_vectors_own_ranges(task_vectors *v, base_heap *heap, float **own, nib_error *err) {
    const size_t bytes = 2 * (size_t)v->dimensions * sizeof **own;
    *own = NULL;
    if (!v->ranges) return NIB_OK;
    if (!(*own = base_alloc(heap, bytes))) return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for ranges");
    memcpy(*own, v->ranges, bytes);
    v->ranges = *own;
    return NIB_OK;
}

nib_status task_vectors_ranges(const task_vectors *v, const float *rows, size_t n, float *ranges, nib_error *err) {
    const int64_t D = v->dimensions;
    float norm = 1;
    if (!n) return base_error_set(err, NIB_INVALID_ARGUMENT, "no vector has no ranges");
    for (size_t r = 0; r < n; r++, rows += v->width) {
        if (v->normalize) v->k.l2_norms_f32(rows, v->width, 1, D, &norm);
        for (int64_t i = 0; i < D; i++) {
            const float x = v->normalize ? rows[i] / norm : rows[i];
            if (!isfinite(x))
                return base_error_set(err, NIB_INVALID_ARGUMENT, "vector %zu, column %lld is not finite", r,
                                      (long long)i);
            if (r == 0 || x < ranges[i]) ranges[i] = x;
            if (r == 0 || x > ranges[D + i]) ranges[D + i] = x;
        }
    }
    return NIB_OK;
}

nib_status task_vectors_pool(const task_vectors *v, const float *tokens, const int64_t *offsets, size_t n,
                             nib_pooling pooling, void *out, nib_error *err) {
    base_heap heap;
    base_heap_init(&heap, NULL);
    if ((unsigned)pooling > NIB_POOLING_LAST || pooling == NIB_POOLING_MODEL || pooling == NIB_POOLING_NONE)
        return base_error_set(err, NIB_INVALID_ARGUMENT, "pooling %s makes no vector of a text",
                              nib_pooling_name(pooling));
    for (size_t i = 0; i < n; i++)
        if (offsets[0] != 0 || offsets[i + 1] < offsets[i])
            return base_error_set(err, NIB_INVALID_ARGUMENT, "offset %zu is %lld, behind %lld", i + 1,
                                  (long long)offsets[i + 1], (long long)offsets[i]);
    /* What is cut off is never pooled: a column's sum knows nothing of the others. */
    task_vectors cut = *v;
    cut.width = v->dimensions;
    float *row = base_alloc(&heap, (size_t)cut.width * sizeof *row);
    if (!row) return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for a vector");
    for (size_t i = 0; i < n; i++) {
        op_pool_rows(&v->k, pooling, tokens + offsets[i] * v->width, v->width, offsets[i + 1] - offsets[i], 0,
                     cut.width, row);
        put_some(&cut, row, 1, (char *)out + i * v->bytes);
    }
    base_free(&heap, row);
    return NIB_OK;
}
