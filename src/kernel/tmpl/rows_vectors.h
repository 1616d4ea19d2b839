/* SPDX-License-Identifier: Apache-2.0
 *
 * Vectors as people store and compare them (nib/vectors.h), written once: fewer bits, and scores of one query against
 * many rows. The including file has included a vec_<isa>.h and rows.h and defines KERNEL_ISA. But for the norms and
 * the scores, every operation is exact or rounded as IEEE says, so that all rungs give the reference's bytes.
 */
#ifndef ROWS_VECTORS_H
#define ROWS_VECTORS_H

#include <string.h>

void KERNEL_NAME(nk_l2_norms_f32_f32__1x16)(const float *x, int64_t x_stride, int64_t rows, int64_t columns, float *norms) {
    static const float zeros[ROWS_AT_ONCE];
    float squares[ROWS_AT_ONCE];
    for (int64_t r = 0; r < rows;) {
        const row_set set = {x + r * x_stride, x_stride};
        const int n = r + ROWS_AT_ONCE <= rows ? ROWS_AT_ONCE : 1;
        if (n == 1) rows_squares(set, 1, columns, zeros, squares);
        else rows_squares(set, ROWS_AT_ONCE, columns, zeros, squares);
        for (int i = 0; i < n; i++) {
            const float norm = sqrtf(squares[i]);
            norms[r++] = norm < 1e-12f ? 1e-12f : norm;
        }
    }
}

/* x[0], ..., x[n - 1], n <= 16, over the divisor if there is one; the other lanes are 0 or NaN, which nobody reads. */
VEC_INLINE vec row_divided(const float *x, const float *divisor, int n) {
    vec v = n < 16 ? vec_load_n(x, n) : vec_load(x);
    return divisor ? vec_div(v, vec_set1(*divisor)) : v;
}

void KERNEL_NAME(nk_round_f32_f16__1x16)(const float *x, int64_t x_stride, const float *divisor, int64_t rows,
                                         int64_t columns, uint16_t *y, int64_t y_stride) {
    for (int64_t r = 0; r < rows; r++) {
        const float *from = x + r * x_stride, *by = divisor ? divisor + r : NULL;
        uint16_t *to = y + r * y_stride, last[16];
        int64_t i = 0;
        FOR_VECTORS(i, columns) vec_store_f16(to + i, row_divided(from + i, by, 16));
        if (i == columns) continue;
        vec_store_f16(last, row_divided(from + i, by, (int)(columns - i)));
        memcpy(to + i, last, (size_t)(columns - i) * sizeof *last);
    }
}

/* Rows side by side, so that the steps of 16 columns are divided once for all of them. */
#define BUCKET_ROWS 8
#define BUCKET_MAGIC 12582912.0f /* 1.5 * 2^23: a small whole number added to it stands in the lowest bits */

VEC_INLINE void bucket_columns(const float *x, int64_t x_stride, const float *divisor, const float *lo, const float *hi,
                               int64_t rows, int n, vec base, uint8_t *y, int64_t y_stride) {
    const vec zero = vec_zero(), one = vec_set1(1.0f), most = vec_set1(255.0f), magic = vec_set1(BUCKET_MAGIC);
    const vec low = n < 16 ? vec_load_n(lo, n) : vec_load(lo), high = n < 16 ? vec_load_n(hi, n) : vec_load(hi);
    vec step = vec_div(vec_sub(high, low), most);
    /* 1 where it is 0: neither above nor below */
    step = vec_select_lt(zero, step, step, vec_select_lt(step, zero, step, one));
    for (int64_t r = 0; r < rows; r++) {
        vec t = row_divided(x + r * x_stride, divisor ? divisor + r : NULL, n);
        t = vec_min(vec_max(vec_div(vec_sub(t, low), step), zero), most); /* NaN becomes 0 */
        vec whole = vec_sub(vec_add(t, magic), magic);
        whole = vec_sub(whole, vec_select_lt(t, whole, one, zero));
        uint8_t last[16];
        vec_store_low8(n < 16 ? last : y + r * y_stride, vec_add(whole, base));
        if (n < 16) memcpy(y + r * y_stride, last, (size_t)n);
    }
}

void KERNEL_NAME(nk_bucket_f32_u8__1x16)(const float *x, int64_t x_stride, const float *divisor, const float *lo,
                                         const float *hi, bool is_signed, int64_t rows, int64_t columns, uint8_t *y,
                                         int64_t y_stride) {
    const vec base = vec_set1(is_signed ? BUCKET_MAGIC + 128.0f : BUCKET_MAGIC);
    for (int64_t r = 0; r < rows; r += BUCKET_ROWS) {
        const int64_t n = rows - r < BUCKET_ROWS ? rows - r : BUCKET_ROWS;
        const float *from = x + r * x_stride, *by = divisor ? divisor + r : NULL;
        int64_t i = 0;
        FOR_VECTORS(i, columns)
        bucket_columns(from + i, x_stride, by, lo + i, hi + i, n, 16, base, y + r * y_stride + i, y_stride);
        if (i < columns)
            bucket_columns(from + i, x_stride, by, lo + i, hi + i, n, (int)(columns - i), base, y + r * y_stride + i,
                           y_stride);
    }
}

/* The bits of each byte in the other order. */
VEC_INLINE uint64_t bits_turned(uint64_t u) {
    u = (u >> 1 & 0x5555555555555555u) | (u & 0x5555555555555555u) << 1;
    u = (u >> 2 & 0x3333333333333333u) | (u & 0x3333333333333333u) << 2;
    return (u >> 4 & 0x0f0f0f0f0f0f0f0fu) | (u & 0x0f0f0f0f0f0f0f0fu) << 4;
}

void KERNEL_NAME(nk_pack_f32_u1__1x16)(const float *x, int64_t x_stride, const float *threshold, bool is_signed,
                                       int64_t rows, int64_t columns, uint8_t *y, int64_t y_stride) {
    const uint64_t flip = is_signed ? 0x8080808080808080u : 0;
    for (int64_t r = 0; r < rows; r++) {
        const float *from = x + r * x_stride;
        const vec t = vec_set1(threshold ? threshold[r] : 0.0f);
        uint8_t *to = y + r * y_stride;
        for (int64_t i = 0; i < columns; i += 64) {
            const int64_t n = columns - i < 64 ? columns - i : 64;
            uint64_t bits = 0;
            for (int64_t j = 0; j < n; j += 16) {
                const int k = n - j < 16 ? (int)(n - j) : 16;
                uint32_t part = vec_greater(k < 16 ? vec_load_n(from + i + j, k) : vec_load(from + i + j), t);
                if (k < 16) part &= (1u << k) - 1u; /* a threshold may be below 0 */
                bits |= (uint64_t)part << j;
            }
            bits = bits_turned(bits) ^ flip;
            memcpy(to + i / 8, &bits, (size_t)((n + 7) / 8));
        }
    }
}

/* ---- scores */

VEC_INLINE size_t element_bytes(kernel_element e) { return e == KERNEL_ELEMENT_F32 ? 4 : e == KERNEL_ELEMENT_F16 ? 2 : 1; }

VEC_INLINE vec elements_load(kernel_element e, const char *p) {
    if (e == KERNEL_ELEMENT_F32) return vec_load(p);
    if (e == KERNEL_ELEMENT_F16) return vec_load_f16(p);
    return e == KERNEL_ELEMENT_I8 ? vec_load_i8(p) : vec_load_u8(p);
}

VEC_INLINE vec elements_load_n(kernel_element e, const char *p, int n) {
    char last[64] = {0};
    if (e == KERNEL_ELEMENT_F32) return vec_load_n(p, n);
    memcpy(last, p, (size_t)n * element_bytes(e));
    return elements_load(e, last);
}

VEC_INLINE vec score_add(kernel_score s, vec q, vec d, vec sum) {
    if (s == KERNEL_SCORE_DOT) return vec_fma(q, d, sum);
    const vec gap = vec_sub(q, d);
    return s == KERNEL_SCORE_SQUARES ? vec_fma(gap, gap, sum) : vec_add(sum, vec_abs(gap));
}

VEC_INLINE void score_some(kernel_score s, kernel_element e, const float *q, const char *x, int64_t stride,
                           const int rows, int64_t n, float *y) {
    const int64_t size = (int64_t)element_bytes(e);
    vec sum[ROWS_AT_ONCE];
    int64_t i = 0;
    VEC_UNROLL
    for (int r = 0; r < rows; r++) sum[r] = vec_zero();
    FOR_VECTORS(i, n) {
        const vec v = vec_load(q + i);
        VEC_UNROLL
        for (int r = 0; r < rows; r++) sum[r] = score_add(s, v, elements_load(e, x + r * stride + i * size), sum[r]);
    }
    for (int r = 0; r < rows; r++) {
        if (i < n) {
            const int left = (int)(n - i);
            sum[r] = score_add(s, vec_load_n(q + i, left), elements_load_n(e, x + r * stride + i * size, left), sum[r]);
        }
        y[r] = vec_sum(sum[r]);
    }
}

VEC_INLINE void score_all(kernel_score s, kernel_element e, const float *q, const char *x, int64_t stride, int64_t rows,
                          int64_t n, float *y) {
    int64_t r = 0;
    for (; r + ROWS_AT_ONCE <= rows; r += ROWS_AT_ONCE) score_some(s, e, q, x + r * stride, stride, ROWS_AT_ONCE, n, y + r);
    for (; r < rows; r++) score_some(s, e, q, x + r * stride, stride, 1, n, y + r);
}

#define SCORE_CASE(s, e)                                                                                               \
    case KERNEL_SCORE_##s * KERNEL_ELEMENTS + KERNEL_ELEMENT_##e:                                                      \
        score_all(KERNEL_SCORE_##s, KERNEL_ELEMENT_##e, q, x, x_stride, rows, columns, y);                             \
        break;
#define SCORE_CASES(s) SCORE_CASE(s, F32) SCORE_CASE(s, F16) SCORE_CASE(s, I8) SCORE_CASE(s, U8)

void KERNEL_NAME(nk_score_f32_f32__1x16)(kernel_score score, kernel_element element, const float *q, const void *x,
                                         int64_t x_stride, int64_t rows, int64_t columns, float *y) {
    switch ((int)score * KERNEL_ELEMENTS + (int)element) {
        SCORE_CASES(DOT)
        SCORE_CASES(SQUARES)
        SCORE_CASES(ABSOLUTE)
    default: break;
    }
}

void KERNEL_NAME(nk_hamming_u1_s32__1x16)(const uint8_t *q, const uint8_t *x, int64_t x_stride, int64_t rows,
                                          int64_t bytes, int32_t *y) {
    for (int64_t r = 0; r < rows; r++) {
        const uint8_t *d = x + r * x_stride;
        uint64_t a = 0, b = 0;
        int64_t i = 0;
        int count = 0;
        for (; i + 8 <= bytes; i += 8) {
            memcpy(&a, q + i, 8);
            memcpy(&b, d + i, 8);
            count += __builtin_popcountll(a ^ b);
        }
        a = b = 0;
        if (i < bytes) {
            memcpy(&a, q + i, (size_t)(bytes - i));
            memcpy(&b, d + i, (size_t)(bytes - i));
        }
        y[r] = count + __builtin_popcountll(a ^ b);
    }
}

#endif
