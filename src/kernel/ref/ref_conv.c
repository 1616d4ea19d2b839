/* SPDX-License-Identifier: Apache-2.0
 *
 * The reference of convolutions' columns and planes: cell by cell. The columns are laid out as the f32 product of this
 * rung wants them (tiles of `columns`).
 */
#include "kernel/kernel_list.h"
#include <math.h>

/* The number at cell (i, j) of the window of pixel (y, x); 0 in the padding. */
static float cell(const kernel_conv *c, const float *plane, int64_t y, int64_t x, int64_t i, int64_t j) {
    const int64_t row = y * c->stride_h - c->top + i * c->dilation_h, column = x * c->stride_w - c->left + j * c->dilation_w;
    return row < 0 || row >= c->in_h || column < 0 || column >= c->in_w ? 0.0f : plane[row * c->in_w + column];
}

void nk_columns_f32_f32__1x1_generic(const kernel_conv *c, const float *x, int64_t lo, int64_t hi, int columns, float *panels) {
    const int64_t taps = c->kernel_h * c->kernel_w, K = c->channels * taps;
    for (int64_t at = lo; at < hi; at += columns, panels += (K + 1) * columns)
        for (int64_t n = 0; n < columns; n++) {
            const bool real = at + n < hi;
            const int64_t py = (at + n) / c->out_w, px = (at + n) % c->out_w;
            for (int64_t k = 0; k < K; k++)
                panels[k * columns + n] =
                    real ? cell(c, x + k / taps * c->in_h * c->in_w, py, px, k % taps / c->kernel_w, k % c->kernel_w) : 0.0f;
            panels[K * columns + n] = real ? 1.0f : 0.0f;
        }
}

void nk_plane_f32_f32__1x1_generic(const kernel_conv *c, const float *x, const float *w, float bias, int64_t row_lo, int64_t row_hi,
                                   float *scratch, float *y) {
    (void)scratch;
    for (int64_t r = row_lo; r < row_hi; r++)
        for (int64_t column = 0; column < c->out_w; column++) {
            double sum = 0;
            for (int64_t i = 0; i < c->kernel_h; i++)
                for (int64_t j = 0; j < c->kernel_w; j++) sum += (double)cell(c, x, r, column, i, j) * (double)w[i * c->kernel_w + j];
            *y++ = (float)(sum + (double)bias);
        }
}

void nk_pool_f32_f32__1x1_generic(const kernel_conv *c, bool most, const float *x, int64_t row_lo, int64_t row_hi, float *scratch,
                                  float *y) {
    (void)scratch;
    for (int64_t r = row_lo; r < row_hi; r++)
        for (int64_t column = 0; column < c->out_w; column++) {
            double v = most ? -INFINITY : 0;
            for (int64_t i = 0; i < c->kernel_h; i++)
                for (int64_t j = 0; j < c->kernel_w; j++) {
                    const int64_t h = r * c->stride_h - c->top + i * c->dilation_h, w = column * c->stride_w - c->left + j * c->dilation_w;
                    if (h < 0 || h >= c->in_h || w < 0 || w >= c->in_w) continue;
                    const double e = (double)x[h * c->in_w + w];
                    if (!most) v += e;
                    else if (e > v || e != e) v = v != v ? v : e;
                }
            *y++ = (float)v;
        }
}

void nk_turn_u8_u8__1x1_generic(const uint8_t *x, int64_t x_stride, int64_t rows, int64_t columns, uint8_t flip, uint8_t *y,
                                int64_t y_stride) {
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < columns; c++) y[c * y_stride + r] = x[r * x_stride + c] ^ flip;
}

void nk_requantize_s32_u8__1x1_generic(const int32_t *x, const int32_t *add, const float *factor, int64_t step, int64_t n, int zero, int lo,
                                       int hi, uint8_t *y) {
    for (int64_t i = 0; i < n; i++) {
        const int32_t sum = (int32_t)((uint32_t)x[i] + (uint32_t)add[step * i]);
        const float v = nearbyintf((float)sum * factor[step * i]) + (float)zero;
        y[i] = (uint8_t)(v < (float)lo ? lo : v > (float)hi ? hi : (int)v);
    }
}

void nk_plane_u8_s32__1x1_generic(const kernel_conv *c, const uint8_t *x, uint8_t flip, uint8_t pad, const int16_t *w, int64_t row_lo,
                                  int64_t row_hi, int16_t *scratch, int32_t *y) {
    (void)scratch;
    for (int64_t r = row_lo; r < row_hi; r++)
        for (int64_t column = 0; column < c->out_w; column++) {
            int32_t sum = 0;
            for (int64_t i = 0; i < c->kernel_h; i++)
                for (int64_t j = 0; j < c->kernel_w; j++) {
                    const int64_t h = r * c->stride_h - c->top + i * c->dilation_h, v = column * c->stride_w - c->left + j * c->dilation_w;
                    const bool real = h >= 0 && h < c->in_h && v >= 0 && v < c->in_w;
                    sum += (real ? x[h * c->in_w + v] ^ flip : pad) * w[i * c->kernel_w + j];
                }
            *y++ = sum;
        }
}
