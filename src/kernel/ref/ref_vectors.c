/* SPDX-License-Identifier: Apache-2.0
 *
 * The reference of rows_vectors.h: vectors in fewer bits, and scores of one query against many rows.
 */
#include "base/base_half.h"
#include "kernel/kernel_list.h"
#include <math.h>

void nk_l2_norms_f32_f32__1x1_generic(const float *x, int64_t x_stride, int64_t rows, int64_t columns, float *norms) {
    for (int64_t r = 0; r < rows; r++) {
        double squares = 0.0;
        for (int64_t i = 0; i < columns; i++) squares += (double)x[r * x_stride + i] * (double)x[r * x_stride + i];
        const double norm = sqrt(squares);
        norms[r] = norm < 1e-12 ? 1e-12f : (float)norm;
    }
}

void nk_round_f32_f16__1x1_generic(const float *x, int64_t x_stride, const float *divisor, int64_t rows,
                                   int64_t columns, uint16_t *y, int64_t y_stride) {
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < columns; i++) {
            const float v = x[r * x_stride + i];
            y[r * y_stride + i] = base_f32_to_f16(divisor ? v / divisor[r] : v);
        }
}

void nk_bucket_f32_u8__1x1_generic(const float *x, int64_t x_stride, const float *divisor, const float *lo,
                                   const float *hi, bool is_signed, int64_t rows, int64_t columns, uint8_t *y,
                                   int64_t y_stride) {
    for (int64_t i = 0; i < columns; i++) {
        float step = (hi[i] - lo[i]) / 255.0f;
        if (!(step > 0.0f) && !(step < 0.0f)) step = 1.0f;
        for (int64_t r = 0; r < rows; r++) {
            float v = x[r * x_stride + i];
            if (divisor) v = v / divisor[r];
            float t = (v - lo[i]) / step;
            if (!(t > 0.0f)) t = 0.0f;
            if (t > 255.0f) t = 255.0f;
            y[r * y_stride + i] = (uint8_t)((uint8_t)t ^ (is_signed ? 0x80 : 0));
        }
    }
}

void nk_pack_f32_u1__1x1_generic(const float *x, int64_t x_stride, const float *threshold, bool is_signed, int64_t rows,
                                 int64_t columns, uint8_t *y, int64_t y_stride) {
    for (int64_t r = 0; r < rows; r++)
        for (int64_t i = 0; i < columns; i += 8) {
            unsigned byte = 0;
            for (int64_t j = 0; j < 8 && i + j < columns; j++)
                byte |= (unsigned)(x[r * x_stride + i + j] > (threshold ? threshold[r] : 0.0f)) << (7 - j);
            y[r * y_stride + i / 8] = (uint8_t)(byte ^ (is_signed ? 0x80u : 0u));
        }
}

static double element(kernel_element e, const void *row, int64_t i) {
    switch (e) {
    case KERNEL_ELEMENT_F16: return (double)base_f16_to_f32(((const uint16_t *)row)[i]);
    case KERNEL_ELEMENT_I8: return ((const int8_t *)row)[i];
    case KERNEL_ELEMENT_U8: return ((const uint8_t *)row)[i];
    default: return (double)((const float *)row)[i];
    }
}

void nk_score_f32_f32__1x1_generic(kernel_score score, kernel_element e, const float *q, const void *x,
                                   int64_t x_stride, int64_t rows, int64_t columns, float *y) {
    for (int64_t r = 0; r < rows; r++) {
        const void *row = (const char *)x + r * x_stride;
        double sum = 0.0;
        for (int64_t i = 0; i < columns; i++) {
            const double d = element(e, row, i), gap = (double)q[i] - d;
            sum += score == KERNEL_SCORE_DOT ? (double)q[i] * d : score == KERNEL_SCORE_SQUARES ? gap * gap : fabs(gap);
        }
        y[r] = (float)sum;
    }
}

void nk_hamming_u1_s32__1x1_generic(const uint8_t *q, const uint8_t *x, int64_t x_stride, int64_t rows, int64_t bytes,
                                    int32_t *y) {
    for (int64_t r = 0; r < rows; r++) {
        y[r] = 0;
        for (int64_t i = 0; i < bytes; i++)
            for (unsigned u = (unsigned)(q[i] ^ x[r * x_stride + i]); u; u &= u - 1) y[r]++;
    }
}
