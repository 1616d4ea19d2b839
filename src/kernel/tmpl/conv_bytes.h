/* SPDX-License-Identifier: Apache-2.0
 *
 * Convolutions of bytes: what stands around the s8 product, and windows of one plane. Plain C in loops that the compiler
 * makes vectors of; all sums are exact, so every rung has the same bits. The including file defines KERNEL_ISA.
 */
#ifndef CONV_BYTES_H
#define CONV_BYTES_H

#include <string.h>

/* Eight rows of eight bytes turned round: blocks of 4, 2 and 1 bytes change places. The lowest byte is the first. */
VEC_INLINE void bytes_turn_8x8(uint64_t a[8]) {
    static const uint64_t low[3] = {0x00000000ffffffffu, 0x0000ffff0000ffffu, 0x00ff00ff00ff00ffu};
    VEC_UNROLL
    for (int step = 0; step < 3; step++) {
        const int apart = 4 >> step, shift = 32 >> step;
        VEC_UNROLL
        for (int i = 0; i < 8; i++) {
            if (i & apart) continue;
            const uint64_t swap = (a[i] >> shift ^ a[i + apart]) & low[step];
            a[i + apart] ^= swap;
            a[i] ^= swap << shift;
        }
    }
}

void KERNEL_NAME(nk_turn_u8_u8__1x16)(const uint8_t *x, int64_t x_stride, int64_t rows, int64_t columns, uint8_t flip, uint8_t *y,
                                      int64_t y_stride) {
    const uint64_t flips = 0x0101010101010101u * flip;
    int64_t c = 0;
    for (; c + 8 <= columns; c += 8) {
        int64_t r = 0;
        for (; r + 8 <= rows; r += 8) {
            uint64_t a[8];
            VEC_UNROLL
            for (int i = 0; i < 8; i++) memcpy(&a[i], x + (r + i) * x_stride + c, 8);
            bytes_turn_8x8(a);
            VEC_UNROLL
            for (int i = 0; i < 8; i++) {
                a[i] ^= flips;
                memcpy(y + (c + i) * y_stride + r, &a[i], 8);
            }
        }
        for (; r < rows; r++)
            for (int i = 0; i < 8; i++) y[(c + i) * y_stride + r] = x[r * x_stride + c + i] ^ flip;
    }
    for (; c < columns; c++)
        for (int64_t r = 0; r < rows; r++) y[c * y_stride + r] = x[r * x_stride + c] ^ flip;
}

/* Loops of so many turns, over what cannot overlap, become vectors at -O2. */
enum { BYTES_COLUMNS = 32 };

VEC_INLINE void bytes_requantize(const int32_t *x, const int32_t *add, const float *factor, int zero, int lo, int hi, uint8_t *y) {
    const vec magic = vec_set1(12582912.0f); /* 1.5 * 2^23: to the nearest whole number, half to even, whose bits are the lowest */
    const vec least = vec_set1((float)(lo - zero)), most = vec_set1((float)(hi - zero)), shift = vec_set1((float)zero);
    int32_t sums[BYTES_COLUMNS];
    uint32_t bits[BYTES_COLUMNS];
    uint8_t out[BYTES_COLUMNS];
    for (int i = 0; i < BYTES_COLUMNS; i++) sums[i] = (int32_t)((uint32_t)x[i] + (uint32_t)add[i]);
    for (int i = 0; i < BYTES_COLUMNS; i += 16) {
        vec v = vec_mul(vec_from_s32(vec_load(sums + i)), vec_load(factor + i));
        v = vec_min(most, vec_max(least, v)); /* whole numbers: before rounding or after it is one */
        v = vec_add(vec_sub(vec_add(v, magic), magic), shift);
        vec_store((float *)(void *)(bits + i), vec_add(v, magic));
    }
    for (int i = 0; i < BYTES_COLUMNS; i++) out[i] = (uint8_t)bits[i];
    memcpy(y, out, sizeof out);
}

void KERNEL_NAME(nk_requantize_s32_u8__1x16)(const int32_t *x, const int32_t *add, const float *factor, int64_t step, int64_t n, int zero,
                                             int lo, int hi, uint8_t *y) {
    int32_t part[BYTES_COLUMNS] = {0}, adds[BYTES_COLUMNS];
    float factors[BYTES_COLUMNS];
    uint8_t last[BYTES_COLUMNS];
    int64_t i = 0;
    for (int k = 0; k < BYTES_COLUMNS; k++) adds[k] = *add, factors[k] = *factor;
    for (; i + BYTES_COLUMNS <= n; i += BYTES_COLUMNS)
        bytes_requantize(x + i, step ? add + i : adds, step ? factor + i : factors, zero, lo, hi, y + i);
    if (i == n) return;
    const size_t left = (size_t)(n - i);
    memcpy(part, x + i, left * sizeof *x);
    if (step) memcpy(adds, add + i, left * sizeof *add), memcpy(factors, factor + i, left * sizeof *factor);
    bytes_requantize(part, adds, factors, zero, lo, hi, last);
    memcpy(y + i, last, left);
}

/* `n` of BYTES_COLUMNS outputs of one row; the scratch may be read beyond them. */
VEC_INLINE void bytes_run(const kernel_conv *c, const int16_t *first, int64_t width, const int16_t *w, const int64_t s, int n, int32_t *y) {
    int32_t sum[BYTES_COLUMNS] = {0};
    for (int64_t i = 0; i < c->kernel_h; i++)
        for (int64_t j = 0; j < c->kernel_w; j++) {
            const int16_t *x = first + i * c->dilation_h * width + j * c->dilation_w;
            const int32_t by = w[i * c->kernel_w + j];
            for (int k = 0; k < BYTES_COLUMNS; k++) sum[k] += by * x[k * s];
        }
    if (n == BYTES_COLUMNS) memcpy(y, sum, sizeof sum);
    else
        for (int k = 0; k < n; k++) y[k] = sum[k];
}

/* n of value, and less than BYTES_COLUMNS more. */
VEC_INLINE void bytes_fill(int16_t *to, int16_t value, int64_t n) {
    int16_t part[BYTES_COLUMNS];
    for (int k = 0; k < BYTES_COLUMNS; k++) part[k] = value;
    for (int64_t i = 0; i < n; i += BYTES_COLUMNS) memcpy(to + i, part, sizeof part);
}

VEC_INLINE void bytes_widen(int16_t *to, const uint8_t *x, uint8_t flip, int64_t n) {
    for (int64_t i = 0; n >= BYTES_COLUMNS && i < n; i += BYTES_COLUMNS) {
        const int64_t at = i + BYTES_COLUMNS <= n ? i : n - BYTES_COLUMNS; /* the last ones together with some before them */
        int16_t part[BYTES_COLUMNS];
        for (int k = 0; k < BYTES_COLUMNS; k++) part[k] = x[at + k] ^ flip;
        memcpy(to + at, part, sizeof part);
    }
    for (int64_t i = 0; n < BYTES_COLUMNS && i < n; i++) to[i] = x[i] ^ flip;
}

void KERNEL_NAME(nk_plane_u8_s32__1x16)(const kernel_conv *c, const uint8_t *x, uint8_t flip, uint8_t pad, const int16_t *w, int64_t row_lo,
                                        int64_t row_hi, int16_t *scratch, int32_t *y) {
    const int64_t s = c->stride_w, rows = kernel_conv_rows(c, row_hi - row_lo), width = kernel_conv_lane(c) * s;
    const int64_t top = row_lo * c->stride_h - c->top;
    const int64_t used = (c->out_w - 1) * s + (c->kernel_w - 1) * c->dilation_w + 1; /* of a row */
    const int64_t seen = c->in_w < width - c->left ? c->in_w : width - c->left;
    for (int64_t r = 0; r < rows; r++) {
        int16_t *to = scratch + r * width;
        const int64_t row = top + r;
        const bool real = row >= 0 && row < c->in_h && seen > 0;
        const int64_t left = real ? c->left : used, right = real ? c->left + seen : used;
        bytes_fill(to, pad, left < used ? left : used);
        if (real) bytes_widen(to + c->left, x + row * c->in_w, flip, seen);
        bytes_fill(to + right, pad, used - right);
    }
    for (int64_t r = 0; r < row_hi - row_lo; r++, y += c->out_w)
        for (int64_t k = 0; k < c->out_w; k += BYTES_COLUMNS) {
            const int n = c->out_w < BYTES_COLUMNS ? (int)c->out_w : BYTES_COLUMNS;
            const int64_t at = k + n <= c->out_w ? k : c->out_w - n; /* the last ones together with some before them */
            const int16_t *first = scratch + r * c->stride_h * width + at * s;
            if (s == 1) bytes_run(c, first, width, w, 1, n, y + at);
            else bytes_run(c, first, width, w, s, n, y + at);
        }
}

#endif
