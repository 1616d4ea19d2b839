/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows made ready for Linear on bf16 and q8 weights, written once: the including file has included a vec_<isa>.h and defines
 * KERNEL_ISA. Every operation is exact or rounded as IEEE says, so that all rungs give the reference's bytes.
 */
#ifndef ROWS_CONVERT_H
#define ROWS_CONVERT_H

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

/* Smallest and largest of 0 and the row; a NaN is passed over. */
static void row_range(const float *x, int64_t n, float *lo, float *hi) {
    vec l[2] = {vec_zero(), vec_zero()}, h[2] = {vec_zero(), vec_zero()}; /* two chains, because each waits for itself */
    int64_t i = 0;
    for (; i + 32 <= n; i += 32) {
        vec a = vec_load(x + i), b = vec_load(x + i + 16);
        l[0] = vec_min(a, l[0]);
        h[0] = vec_max(a, h[0]);
        l[1] = vec_min(b, l[1]);
        h[1] = vec_max(b, h[1]);
    }
    for (; i < n; i += 16) {
        vec a = n - i < 16 ? vec_load_n(x + i, (int)(n - i)) : vec_load(x + i);
        l[0] = vec_min(a, l[0]);
        h[0] = vec_max(a, h[0]);
    }
    *hi = vec_max_lane(vec_max(h[0], h[1]));
    *lo = -vec_max_lane(vec_sub(vec_zero(), vec_min(l[0], l[1])));
}

/* clamp(round(x / scale) + zero, 0, 255) in the lowest byte, above ROUND_MAGIC; a quotient is small unless it is NaN, which counts
 * as 0. From the first sum on all numbers are whole, and exact. */
VEC_INLINE vec row_quantized(vec x, vec scale, vec zero, vec magic, vec most) {
    vec q = vec_div(x, scale);
    q = vec_select_lt(vec_abs(q), vec_set1(1024.0f), q, vec_zero());
    return vec_min(vec_max(vec_add(vec_add(q, magic), zero), magic), most);
}

void KERNEL_NAME(nk_quantize_f32_q8__1x16)(const float *x, int64_t x_stride, int64_t rows, int64_t columns, uint8_t *y, int64_t y_stride,
                                           float *params, int64_t params_stride) {
    const vec magic = vec_set1(ROUND_MAGIC), most = vec_set1(ROUND_MAGIC + 255.0f);
    for (int64_t r = 0; r < rows; r++) {
        const float *from = x + r * x_stride;
        uint8_t *to = y + r * y_stride, last[16];
        float lo, hi, lanes[16];
        row_range(from, columns, &lo, &hi);
        float scale = (hi - lo) / 255.0f;
        if (scale == 0.0f) scale = 1.0f;
        const vec s = vec_set1(scale);
        vec_store(lanes, vec_sub(row_quantized(vec_set1(-lo), s, vec_zero(), magic, most), magic));
        const vec zero = vec_set1(lanes[0]);
        int64_t i = 0;
        for (; i + 16 <= columns; i += 16) vec_store_low8(to + i, row_quantized(vec_load(from + i), s, zero, magic, most));
        if (i < columns) {
            int left = (int)(columns - i); /* the lanes past it are zeros, which become the zero point */
            vec_store_low8(last, row_quantized(vec_load_n(from + i, left), s, zero, magic, most));
            memcpy(to + i, last, (size_t)((left + 3) / 4 * 4));
        }
        params[r * params_stride] = scale;
        params[r * params_stride + 1] = lanes[0];
    }
}

#endif
