/* SPDX-License-Identifier: Apache-2.0
 *
 * The specification of row work: sums in double in the order of the row, results rounded to float once.
 */
#include "kernel/kernel_list.h"
#include "ref_math.h"
#include <string.h>

/* x[i] + residual[i] as the float that sum_out shows: the norm is taken of that. */
static float summed(const float *x, const float *residual, int64_t i) { return residual ? x[i] + residual[i] : x[i]; }

void nk_layer_norm_f32_f32_f32__1x1_generic(const float *x, int64_t x_stride, const float *residual, int64_t residual_stride,
                                            const float *gamma, const float *beta, float eps, int64_t rows, int64_t columns, float *y,
                                            int64_t y_stride, float *sum_out, int64_t sum_stride) {
    for (int64_t r = 0; r < rows; r++) {
        const float *from = x + r * x_stride, *res = residual ? residual + r * residual_stride : NULL;
        double mean = 0.0, variance = 0.0;
        for (int64_t i = 0; i < columns; i++) mean += (double)summed(from, res, i);
        mean /= (double)columns;
        for (int64_t i = 0; i < columns; i++) {
            double d = (double)summed(from, res, i) - mean;
            variance += d * d;
        }
        double deviation = sqrt(variance / (double)columns + (double)eps);
        for (int64_t i = 0; i < columns; i++) {
            float s = summed(from, res, i);
            if (sum_out) sum_out[r * sum_stride + i] = s;
            y[r * y_stride + i] = (float)(((double)s - mean) / deviation * (double)gamma[i] + (beta ? (double)beta[i] : 0.0));
        }
    }
}

void nk_rms_norm_f32_f32_f32__1x1_generic(const float *x, int64_t x_stride, const float *residual, int64_t residual_stride,
                                          const float *gamma, float eps, int64_t rows, int64_t columns, float *y, int64_t y_stride,
                                          float *sum_out, int64_t sum_stride) {
    for (int64_t r = 0; r < rows; r++) {
        const float *from = x + r * x_stride, *res = residual ? residual + r * residual_stride : NULL;
        double squares = 0.0;
        for (int64_t i = 0; i < columns; i++) {
            double s = (double)summed(from, res, i);
            squares += s * s;
        }
        double root = sqrt(squares / (double)columns + (double)eps);
        for (int64_t i = 0; i < columns; i++) {
            float s = summed(from, res, i);
            if (sum_out) sum_out[r * sum_stride + i] = s;
            y[r * y_stride + i] = (float)((double)s / root * (double)gamma[i]);
        }
    }
}

void nk_softmax_f32_f32__1x1_generic(const float *x, int64_t x_stride, int64_t rows, int64_t columns, float *y, int64_t y_stride) {
    for (int64_t r = 0; r < rows; r++) {
        const float *from = x + r * x_stride;
        double largest = -INFINITY, sum = 0.0;
        for (int64_t i = 0; i < columns; i++) largest = (double)from[i] > largest ? (double)from[i] : largest;
        for (int64_t i = 0; i < columns; i++) sum += exp((double)from[i] - largest);
        for (int64_t i = 0; i < columns; i++) y[r * y_stride + i] = (float)(exp((double)from[i] - largest) / sum);
    }
}

void nk_activation_f32_f32__1x1_generic(kernel_activation activation, const float *x, int64_t n, float *y) {
    for (int64_t i = 0; i < n; i++) y[i] = (float)ref_activate(activation, (double)x[i]);
}

void nk_add_f32_f32__1x1_generic(const float *a, const float *b, int64_t n, float *y) {
    for (int64_t i = 0; i < n; i++) y[i] = a[i] + b[i];
}

void nk_mul_f32_f32__1x1_generic(const float *a, const float *b, int64_t n, float *y) {
    for (int64_t i = 0; i < n; i++) y[i] = a[i] * b[i];
}

void nk_scale_f32_f32__1x1_generic(const float *a, float s, int64_t n, float *y) {
    for (int64_t i = 0; i < n; i++) y[i] = a[i] * s;
}

void nk_row_sum_f32_f32__1x1_generic(const float *x, int64_t x_stride, const float *weight, int64_t rows, int64_t columns, float *y) {
    for (int64_t i = 0; i < columns; i++) {
        double sum = 0.0;
        for (int64_t r = 0; r < rows; r++) sum += (weight ? (double)weight[r] : 1.0) * (double)x[r * x_stride + i];
        y[i] = (float)sum;
    }
}

void nk_row_max_f32_f32__1x1_generic(const float *x, int64_t x_stride, int64_t rows, int64_t columns, float *y) {
    for (int64_t i = 0; i < columns; i++) {
        float largest = rows > 0 ? x[i] : 0.0f;
        for (int64_t r = 1; r < rows; r++) {
            float s = x[r * x_stride + i];
            if (s > largest || s != s) largest = s; /* nothing is greater than a NaN */
        }
        y[i] = largest;
    }
}

void nk_l2_normalize_f32_f32__1x1_generic(const float *x, int64_t x_stride, int64_t rows, int64_t columns, float *y, int64_t y_stride) {
    for (int64_t r = 0; r < rows; r++) {
        double squares = 0.0;
        for (int64_t i = 0; i < columns; i++) squares += (double)x[r * x_stride + i] * (double)x[r * x_stride + i];
        double norm = sqrt(squares);
        if (norm < 1e-12) norm = 1e-12;
        for (int64_t i = 0; i < columns; i++) y[r * y_stride + i] = (float)((double)x[r * x_stride + i] / norm);
    }
}

void nk_gather_sum_f32_f32__1x1_generic(const void *const *rows, int n, int64_t columns, float *y) {
    for (int64_t i = 0; i < columns; i++) {
        double sum = 0.0;
        for (int t = 0; t < n; t++) {
            float s;
            memcpy(&s, (const char *)rows[t] + i * (int64_t)sizeof(float), sizeof(float));
            sum += (double)s;
        }
        y[i] = (float)sum;
    }
}

void nk_rotary_f32_f32__1x1_generic(const float *x, int64_t heads, int64_t head_dim, int64_t half, bool interleaved, const float *cos,
                                    const float *sin, int64_t second, float *y) {
    for (int64_t h = 0; h < heads; h++, x += head_dim, y += head_dim) {
        for (int64_t i = 0; i < half; i++) {
            int64_t first = interleaved ? 2 * i : i, other = interleaved ? 2 * i + 1 : half + i;
            double a = (double)x[first], b = (double)x[other];
            float turn[4];
            memcpy(&turn[0], (const char *)cos + i * (int64_t)sizeof(float), sizeof(float));
            memcpy(&turn[1], (const char *)sin + i * (int64_t)sizeof(float), sizeof(float));
            memcpy(&turn[2], (const char *)cos + (second + i) * (int64_t)sizeof(float), sizeof(float));
            memcpy(&turn[3], (const char *)sin + (second + i) * (int64_t)sizeof(float), sizeof(float));
            y[first] = (float)(a * (double)turn[0] - b * (double)turn[1]);
            y[other] = (float)(b * (double)turn[2] + a * (double)turn[3]);
        }
        for (int64_t i = 2 * half; i < head_dim; i++) y[i] = x[i];
    }
}

void nk_reduce_f32_f32__1x1_generic(bool most, const float *x, int64_t x_stride, int64_t rows, int64_t columns, float *y) {
    for (int64_t r = 0; r < rows; r++) {
        double v = most ? -INFINITY : 0;
        for (int64_t i = 0; i < columns; i++) {
            const double e = (double)x[r * x_stride + i];
            v = !most ? v + e : v > e || v != v ? v : e;
        }
        y[r] = (float)v;
    }
}
