/* SPDX-License-Identifier: Apache-2.0
 *
 * Row work in f32, written once: norms, softmax, activations, element-wise arithmetic, pooling sums, table look-up. The
 * including file has included a vec_<isa>.h and vec_math.h and defines KERNEL_ISA.
 *
 * A reduction along a row keeps 16 lanes, lane l adding elements l, l + 16, ... in that order, and adds the lanes as a
 * tree at the end. The tail of a row is loaded as zeros (or as what leaves the reduction alone), so that the order does
 * not depend on the register's width.
 */
#ifndef ROWS_H
#define ROWS_H

#include <math.h>

/* FOR_VECTORS(i, n) { ... } walks whole vectors; what follows it handles the `n - i` < 16 elements left. */
#define FOR_VECTORS(i, n) for (; (i) + 16 <= (n); (i) += 16)

/* s = x + residual, kept in `keep` (may be x or residual; NULL: not kept); returns the sum of s. */
static float row_begin(const float *x, const float *residual, int64_t n, float *keep) {
    vec sum = vec_zero();
    int64_t i = 0;
    FOR_VECTORS(i, n) {
        vec s = vec_load(x + i);
        if (residual) s = vec_add(s, vec_load(residual + i));
        if (keep) vec_store(keep + i, s);
        sum = vec_add(sum, s);
    }
    if (i < n) {
        int left = (int)(n - i);
        vec s = vec_load_n(x + i, left);
        if (residual) s = vec_add(s, vec_load_n(residual + i, left));
        if (keep) vec_store_n(keep + i, s, left);
        sum = vec_add(sum, s);
    }
    return vec_sum(sum);
}

/* Sum of (x - mean)^2. */
static float row_squares(const float *x, int64_t n, float mean) {
    vec sum = vec_zero(), m = vec_set1(mean);
    int64_t i = 0;
    FOR_VECTORS(i, n) {
        vec d = vec_sub(vec_load(x + i), m);
        sum = vec_fma(d, d, sum);
    }
    if (i < n) { /* the lanes past the end must count as the mean, not as 0 */
        int left = (int)(n - i);
        float lanes[16];
        for (int l = 0; l < 16; l++) lanes[l] = mean;
        vec_store_n(lanes, vec_load_n(x + i, left), left);
        vec d = vec_sub(vec_load(lanes), m);
        sum = vec_fma(d, d, sum);
    }
    return vec_sum(sum);
}

VEC_INLINE vec row_normed(vec x, vec mean, vec inverse, vec gamma, vec beta) {
    return vec_fma(vec_mul(vec_sub(x, mean), inverse), gamma, beta);
}

static void row_norm(const float *x, int64_t n, float mean, float inverse, const float *gamma, const float *beta, float *y) {
    vec m = vec_set1(mean), s = vec_set1(inverse);
    int64_t i = 0;
    FOR_VECTORS(i, n) vec_store(y + i, row_normed(vec_load(x + i), m, s, vec_load(gamma + i), beta ? vec_load(beta + i) : vec_zero()));
    if (i < n) {
        int left = (int)(n - i);
        vec b = beta ? vec_load_n(beta + i, left) : vec_zero();
        vec_store_n(y + i, row_normed(vec_load_n(x + i, left), m, s, vec_load_n(gamma + i, left), b), left);
    }
}

void KERNEL_NAME(nk_layer_norm_f32_f32_f32__1x16)(const float *x, int64_t x_stride, const float *residual, int64_t residual_stride,
                                                  const float *gamma, const float *beta, float eps, int64_t rows, int64_t columns, float *y,
                                                  int64_t y_stride, float *sum_out, int64_t sum_stride) {
    for (int64_t r = 0; r < rows; r++) {
        const float *res = residual ? residual + r * residual_stride : NULL;
        float *to = y + r * y_stride;
        const float *from = x + r * x_stride;
        float *keep = sum_out ? sum_out + r * sum_stride : residual ? to : NULL;
        const float *s = keep ? keep : from;
        float mean = row_begin(from, res, columns, keep) / (float)columns;
        float variance = row_squares(s, columns, mean) / (float)columns;
        row_norm(s, columns, mean, 1.0f / sqrtf(variance + eps), gamma, beta, to);
    }
}

void KERNEL_NAME(nk_rms_norm_f32_f32_f32__1x16)(const float *x, int64_t x_stride, const float *residual, int64_t residual_stride,
                                                const float *gamma, float eps, int64_t rows, int64_t columns, float *y, int64_t y_stride,
                                                float *sum_out, int64_t sum_stride) {
    for (int64_t r = 0; r < rows; r++) {
        const float *res = residual ? residual + r * residual_stride : NULL;
        float *to = y + r * y_stride;
        const float *from = x + r * x_stride;
        float *keep = sum_out ? sum_out + r * sum_stride : residual ? to : NULL;
        const float *s = keep ? keep : from;
        if (keep) row_begin(from, res, columns, keep);
        float mean_square = row_squares(s, columns, 0.0f) / (float)columns;
        row_norm(s, columns, 0.0f, 1.0f / sqrtf(mean_square + eps), gamma, NULL, to);
    }
}

static float row_largest(const float *x, int64_t n) {
    vec m = vec_set1(-FLT_MAX);
    int64_t i = 0;
    FOR_VECTORS(i, n) m = vec_max(vec_load(x + i), m);
    float largest = vec_max_lane(m);
    for (; i < n; i++) largest = x[i] > largest ? x[i] : largest;
    return largest;
}

/* The largest element only shifts the exponent, so a NaN may be missed in it: its own exponential carries it on. */
void KERNEL_NAME(nk_softmax_f32_f32__1x16)(const float *x, int64_t x_stride, int64_t rows, int64_t columns, float *y, int64_t y_stride) {
    for (int64_t r = 0; r < rows; r++) {
        const float *from = x + r * x_stride;
        float *to = y + r * y_stride;
        vec largest = vec_set1(row_largest(from, columns)), sum = vec_zero();
        int64_t i = 0;
        FOR_VECTORS(i, columns) {
            vec e = vec_exp(vec_sub(vec_load(from + i), largest));
            vec_store(to + i, e);
            sum = vec_add(sum, e);
        }
        if (i < columns) {
            int left = (int)(columns - i);
            float lanes[16] = {0};
            vec_store_n(lanes, vec_exp(vec_sub(vec_load_n(from + i, left), largest)), left);
            vec_store_n(to + i, vec_load(lanes), left);
            sum = vec_add(sum, vec_load(lanes));
        }
        vec inverse = vec_set1(1.0f / vec_sum(sum));
        i = 0;
        FOR_VECTORS(i, columns) vec_store(to + i, vec_mul(vec_load(to + i), inverse));
        if (i < columns) vec_store_n(to + i, vec_mul(vec_load_n(to + i, (int)(columns - i)), inverse), (int)(columns - i));
    }
}

void KERNEL_NAME(nk_activation_f32_f32__1x16)(kernel_activation activation, const float *x, int64_t n, float *y) {
    enum { CHUNK = 16 * 16 };
    float lanes[CHUNK];
    if (y != x && n > 0) memmove(y, x, (size_t)n * sizeof(float));
    int64_t whole = n / 16 * 16;
    for (int64_t i = 0; i < whole; i += CHUNK) vec_activate(activation, y + i, (int)((whole - i < CHUNK ? whole - i : CHUNK) / 16));
    if (whole < n) {
        int left = (int)(n - whole);
        vec_store(lanes, vec_load_n(y + whole, left));
        vec_activate(activation, lanes, 1);
        vec_store_n(y + whole, vec_load(lanes), left);
    }
}

void KERNEL_NAME(nk_add_f32_f32__1x16)(const float *a, const float *b, int64_t n, float *y) {
    int64_t i = 0;
    FOR_VECTORS(i, n) vec_store(y + i, vec_add(vec_load(a + i), vec_load(b + i)));
    if (i < n) vec_store_n(y + i, vec_add(vec_load_n(a + i, (int)(n - i)), vec_load_n(b + i, (int)(n - i))), (int)(n - i));
}

void KERNEL_NAME(nk_mul_f32_f32__1x16)(const float *a, const float *b, int64_t n, float *y) {
    int64_t i = 0;
    FOR_VECTORS(i, n) vec_store(y + i, vec_mul(vec_load(a + i), vec_load(b + i)));
    if (i < n) vec_store_n(y + i, vec_mul(vec_load_n(a + i, (int)(n - i)), vec_load_n(b + i, (int)(n - i))), (int)(n - i));
}

void KERNEL_NAME(nk_scale_f32_f32__1x16)(const float *a, float s, int64_t n, float *y) {
    vec f = vec_set1(s);
    int64_t i = 0;
    FOR_VECTORS(i, n) vec_store(y + i, vec_mul(vec_load(a + i), f));
    if (i < n) vec_store_n(y + i, vec_mul(vec_load_n(a + i, (int)(n - i)), f), (int)(n - i));
}

/* Columns in strips of 64, so that y stays in registers while the rows pass. */
VEC_INLINE void row_sum_strip(const float *x, int64_t x_stride, const float *weight, int64_t rows, float *y, const int vectors, int last) {
    vec sum[4];
    VEC_UNROLL
    for (int v = 0; v < vectors; v++) sum[v] = vec_zero();
    for (int64_t r = 0; r < rows; r++, x += x_stride) {
        vec w = vec_set1(weight ? weight[r] : 1.0f); /* times 1 is exact: with and without a weight the sums agree */
        VEC_UNROLL
        for (int v = 0; v < vectors; v++) sum[v] = vec_fma(w, last < 16 ? vec_load_n(x, last) : vec_load(x + 16 * v), sum[v]);
    }
    VEC_UNROLL
    for (int v = 0; v < vectors; v++) vec_store_n(y + 16 * v, sum[v], last);
}

void KERNEL_NAME(nk_row_sum_f32_f32__1x16)(const float *x, int64_t x_stride, const float *weight, int64_t rows, int64_t columns, float *y) {
    int64_t i = 0;
    for (; i + 64 <= columns; i += 64) row_sum_strip(x + i, x_stride, weight, rows, y + i, 4, 16);
    FOR_VECTORS(i, columns) row_sum_strip(x + i, x_stride, weight, rows, y + i, 1, 16);
    if (i < columns) row_sum_strip(x + i, x_stride, weight, rows, y + i, 1, (int)(columns - i));
}

void KERNEL_NAME(nk_row_max_f32_f32__1x16)(const float *x, int64_t x_stride, int64_t rows, int64_t columns, float *y) {
    for (int64_t i = 0; i < columns; i += 16) {
        int left = columns - i < 16 ? (int)(columns - i) : 16;
        vec m = rows > 0 ? vec_load_n(x + i, left) : vec_zero();
        for (int64_t r = 1; r < rows; r++) {
            vec s = vec_load_n(x + r * x_stride + i, left);
            m = vec_keep_nan(s, vec_max(s, m)); /* a NaN stays, whichever row it is in */
        }
        vec_store_n(y + i, m, left);
    }
}

void KERNEL_NAME(nk_l2_normalize_f32_f32__1x16)(const float *x, int64_t x_stride, int64_t rows, int64_t columns, float *y,
                                                int64_t y_stride) {
    for (int64_t r = 0; r < rows; r++) {
        const float *from = x + r * x_stride;
        float *to = y + r * y_stride, norm = sqrtf(row_squares(from, columns, 0.0f));
        vec d = vec_set1(norm < 1e-12f ? 1e-12f : norm);
        int64_t i = 0;
        FOR_VECTORS(i, columns) vec_store(to + i, vec_div(vec_load(from + i), d));
        if (i < columns) vec_store_n(to + i, vec_div(vec_load_n(from + i, (int)(columns - i)), d), (int)(columns - i));
    }
}

void KERNEL_NAME(nk_gather_sum_f32_f32__1x16)(const void *const *rows, int n, int64_t columns, float *y) {
    for (int64_t i = 0; i < columns; i += 16) {
        int left = columns - i < 16 ? (int)(columns - i) : 16;
        vec sum = vec_zero();
        for (int t = 0; t < n; t++) {
            const char *p = (const char *)rows[t] + i * (int64_t)sizeof(float);
            vec s = left == 16 ? vec_load(p) : vec_load_n(p, left);
            sum = t == 0 ? s : vec_add(sum, s);
        }
        vec_store_n(y + i, sum, left);
    }
}

/* Pairs (i, half + i), 16 at a time. */
static void row_turn(const float *x, int64_t half, const float *cos, const float *sin, int64_t second, float *y) {
    for (int64_t i = 0; i < half; i += 16) {
        int n = half - i < 16 ? (int)(half - i) : 16;
        vec a = vec_load_n(x + i, n), b = vec_load_n(x + half + i, n);
        vec s = vec_mul(b, vec_load_n(sin + i, n)), t = vec_mul(a, vec_load_n(sin + second + i, n));
        vec_store_n(y + i, vec_fma(a, vec_load_n(cos + i, n), vec_sub(vec_zero(), s)), n);
        vec_store_n(y + half + i, vec_fma(b, vec_load_n(cos + second + i, n), t), n);
    }
}

static float row_number(const float *p, int64_t i) {
    float s;
    memcpy(&s, (const char *)p + i * (int64_t)sizeof(float), sizeof(s));
    return s;
}

/* Pairs (2 i, 2 i + 1), one at a time: few models have them, and no vec_<isa>.h parts neighbours. */
static void row_turn_neighbours(const float *x, int64_t half, const float *cos, const float *sin, int64_t second, float *y) {
    for (int64_t i = 0; i < half; i++) {
        float a = x[2 * i], b = x[2 * i + 1], s = b * row_number(sin, i), t = a * row_number(sin, second + i);
        y[2 * i] = fmaf(a, row_number(cos, i), 0.0f - s);
        y[2 * i + 1] = fmaf(b, row_number(cos, second + i), t);
    }
}

void KERNEL_NAME(nk_rotary_f32_f32__1x16)(const float *x, int64_t heads, int64_t head_dim, int64_t half, bool interleaved, const float *cos,
                                          const float *sin, int64_t second, float *y) {
    for (int64_t h = 0; h < heads; h++, x += head_dim, y += head_dim) {
        if (interleaved) row_turn_neighbours(x, half, cos, sin, second, y);
        else row_turn(x, half, cos, sin, second, y);
        if (y != x && head_dim > 2 * half) memcpy(y + 2 * half, x + 2 * half, (size_t)(head_dim - 2 * half) * sizeof(float));
    }
}

#endif
