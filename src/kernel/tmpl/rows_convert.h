/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows made ready for Linear on bf16 and q8 weights and for integer operators, and what becomes of their sums, written once: the including
 * file has included a vec_<isa>.h and defines KERNEL_ISA. Every operation is exact or rounded as IEEE says, so that all rungs give the
 * reference's bytes.
 */
#ifndef ROWS_CONVERT_H
#define ROWS_CONVERT_H

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

void KERNEL_NAME(nk_round_f32_bf16__1x16)(const float *x, int64_t x_stride, int64_t rows, int64_t columns, uint16_t *y, int64_t y_stride) {
    for (int64_t r = 0; r < rows; r++) {
        const float *from = x + r * x_stride;
        uint16_t *to = y + r * y_stride, last[16];
        int64_t i = 0;
        for (; i + 16 <= columns; i += 16) vec_store_bf16(to + i, vec_load(from + i));
        if (i < columns) {
            int left = (int)(columns - i); /* with its padding: the lanes past it are zeros */
            vec_store_bf16(last, vec_load_n(from + i, left));
            memcpy(to + i, last, (size_t)((left + 1) / 2 * 2) * sizeof(*last));
        }
    }
}

/* 1.5 * 2^23: a small number added to it is rounded to an integer, half to even, which stands in the lowest bits. */
#define ROUND_MAGIC 12582912.0f

/* x[i], ..., x[i + n - 1], n <= 16, times the factors if there are any; the other lanes are 0. */
VEC_INLINE vec row_part(const float *x, const float *factor, int64_t i, int n) {
    vec v = n < 16 ? vec_load_n(x + i, n) : vec_load(x + i);
    return factor ? vec_mul(v, n < 16 ? vec_load_n(factor + i, n) : vec_load(factor + i)) : v;
}

/* Smallest and largest of 0 and the row; false if not all of it is finite. */
VEC_INLINE bool row_range(const float *x, const float *factor, int64_t n, float *lo, float *hi) {
    const vec none = vec_zero();
    vec l[2] = {none, none}, h[2] = {none, none}, poison[2] = {none, none}; /* two chains, because each waits for itself */
    int64_t i = 0;
    for (; i + 32 <= n; i += 32) {
        VEC_UNROLL
        for (int c = 0; c < 2; c++) {
            vec v = row_part(x, factor, i + 16 * c, 16);
            l[c] = vec_min(v, l[c]);
            h[c] = vec_max(v, h[c]);
            poison[c] = vec_fma(v, none, poison[c]);
        }
    }
    for (; i < n; i += 16) {
        vec v = row_part(x, factor, i, n - i < 16 ? (int)(n - i) : 16);
        l[0] = vec_min(v, l[0]);
        h[0] = vec_max(v, h[0]);
        poison[0] = vec_fma(v, none, poison[0]);
    }
    *hi = vec_max_lane(vec_max(h[0], h[1]));
    *lo = -vec_max_lane(vec_sub(none, vec_min(l[0], l[1])));
    return vec_sum(vec_add(poison[0], poison[1])) == 0.0f;
}

/* The grid that a row is rounded to: how many of its steps are one, and its number for 0. */
typedef struct row_grid {
    float inverse, zero;
    bool finite; /* else the row becomes zeros */
} row_grid;

VEC_INLINE row_grid row_grid_of(const float *x, const float *factor, int64_t columns, float *params) {
    float lo, hi;
    row_grid g = {0.0f, 0.0f, row_range(x, factor, columns, &lo, &hi)};
    float scale = (hi - lo) / 255.0f;
    if (!g.finite || scale > FLT_MAX) {
        g.finite = false;
        params[0] = NAN;
        params[1] = 0.0f;
        return g;
    }
    if (scale < FLT_MIN) scale = 1.0f;
    g.inverse = 1.0f / scale;
    g.zero = fmaf(-lo, g.inverse, ROUND_MAGIC) - ROUND_MAGIC;
    params[0] = scale;
    params[1] = g.zero;
    return g;
}

VEC_INLINE void row_round(const float *x, const float *factor, int64_t columns, row_grid g, uint8_t *y) {
    const vec magic = vec_set1(ROUND_MAGIC), most = vec_set1(ROUND_MAGIC + 255.0f);
    const vec f = vec_set1(g.inverse), shift = vec_set1(ROUND_MAGIC + g.zero);
    if (!g.finite) {
        memset(y, 0, (size_t)((columns + 3) / 4 * 4));
        return;
    }
    for (int64_t i = 0; i < columns; i += 16) {
        int n = columns - i < 16 ? (int)(columns - i) : 16;
        vec q = vec_min(vec_max(vec_fma(row_part(x, factor, i, n), f, shift), magic), most);
        uint8_t last[16]; /* the lanes past the row are zeros, which become the zero point */
        vec_store_low8(n < 16 ? last : y + i, q);
        if (n < 16) memcpy(y + i, last, (size_t)((n + 3) / 4 * 4));
    }
}

/* A few rows' grids before the first is rounded: between a row's last number and its grid lie a hundred cycles of additions across lanes
 * and divisions, one waiting for the other, in which the processor can look at the next row. */
VEC_INLINE void rows_quantize(const float *x, int64_t x_stride, const float *factor, int64_t rows, int64_t columns, uint8_t *y,
                              int64_t y_stride, float *params, int64_t params_stride) {
    enum { AT_ONCE = 4 };
    row_grid g[AT_ONCE];
    for (int64_t r = 0; r < rows; r += AT_ONCE) {
        const int n = rows - r < AT_ONCE ? (int)(rows - r) : AT_ONCE;
        for (int i = 0; i < n; i++) g[i] = row_grid_of(x + (r + i) * x_stride, factor, columns, params + (r + i) * params_stride);
        for (int i = 0; i < n; i++) row_round(x + (r + i) * x_stride, factor, columns, g[i], y + (r + i) * y_stride);
    }
}

void KERNEL_NAME(nk_quantize_f32_q8__1x16)(const float *x, int64_t x_stride, const float *factor, int64_t rows, int64_t columns, uint8_t *y,
                                           int64_t y_stride, float *params, int64_t params_stride) {
    if (factor) rows_quantize(x, x_stride, factor, rows, columns, y, y_stride, params, params_stride);
    else rows_quantize(x, x_stride, NULL, rows, columns, y, y_stride, params, params_stride);
}

void KERNEL_NAME(nk_range_f32_f32__1x16)(const float *x, int64_t n, float *lo, float *hi) {
    vec l[2] = {vec_set1(*lo), vec_set1(*lo)}, h[2] = {vec_set1(*hi), vec_set1(*hi)}; /* two chains, because each waits for itself */
    int64_t i = 0;
    for (; i + 32 <= n; i += 32) {
        VEC_UNROLL
        for (int c = 0; c < 2; c++) {
            vec v = vec_load(x + i + 16 * c);
            l[c] = vec_min(v, l[c]);
            h[c] = vec_max(v, h[c]);
        }
    }
    float lanes[2][16];
    vec_store(lanes[0], vec_min(l[0], l[1]));
    vec_store(lanes[1], vec_max(h[0], h[1]));
    for (int k = 0; k < 16; k++) {
        *lo = lanes[0][k] < *lo ? lanes[0][k] : *lo;
        *hi = lanes[1][k] > *hi ? lanes[1][k] : *hi;
    }
    for (; i < n; i++) {
        *lo = x[i] < *lo ? x[i] : *lo;
        *hi = x[i] > *hi ? x[i] : *hi;
    }
}

/* Far from the range a number is first brought to where ROUND_MAGIC can round it. */
VEC_INLINE vec row_to_u8(vec x, vec scale, vec zero) {
    const vec magic = vec_set1(ROUND_MAGIC), far = vec_set1(512.0f);
    vec q = vec_min(vec_max(vec_div(x, scale), vec_sub(vec_zero(), far)), far);
    return vec_min(vec_max(vec_add(vec_add(q, magic), zero), magic), vec_set1(ROUND_MAGIC + 255.0f));
}

void KERNEL_NAME(nk_round_f32_u8__1x16)(const float *x, int64_t n, float scale, float zero, uint8_t *y) {
    const vec s = vec_set1(scale), z = vec_set1(zero);
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) vec_store_low8(y + i, row_to_u8(vec_load(x + i), s, z));
    if (i < n) {
        uint8_t last[16];
        vec_store_low8(last, row_to_u8(vec_load_n(x + i, (int)(n - i)), s, z));
        memcpy(y + i, last, (size_t)(n - i));
    }
}

void KERNEL_NAME(nk_scale_s32_f32__1x16)(const int32_t *x, const float *scale, float factor, const float *add, int64_t n, float *y) {
    const vec f = vec_set1(factor);
    for (int64_t i = 0; i < n; i += 16) {
        const int left = n - i < 16 ? (int)(n - i) : 16;
        vec v = vec_from_s32(left < 16 ? vec_load_n(x + i, left) : vec_load(x + i)), s = f, a = vec_zero();
        if (scale) s = vec_mul(left < 16 ? vec_load_n(scale + i, left) : vec_load(scale + i), f);
        if (add) a = left < 16 ? vec_load_n(add + i, left) : vec_load(add + i);
        v = vec_fma(v, s, a);
        if (left < 16) vec_store_n(y + i, v, left);
        else vec_store(y + i, v);
    }
}

#endif
