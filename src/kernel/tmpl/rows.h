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
#include <stdbool.h>

/* FOR_VECTORS(i, n) { ... } walks whole vectors; what follows it handles the `n - i` < 16 elements left. */
#define FOR_VECTORS(i, n) for (; (i) + 16 <= (n); (i) += 16)

/* Some rows of a matrix, `stride` elements apart. Reductions go over several rows side by side: an addition takes several times as
 * long as the processor needs to begin the next one, and those of another row need not wait for it. */
typedef struct row_set {
    const float *at;
    int64_t stride;
} row_set;
#define ROWS_AT_ONCE 4

/* s = x + residual, kept in `keep` (may be x or residual; NULL: not kept); sums of s. */
VEC_INLINE void rows_begin(row_set x, row_set residual, const int rows, int64_t n, float *keep, int64_t keep_stride, float *sums) {
    vec sum[ROWS_AT_ONCE];
    int64_t i = 0;
    VEC_UNROLL
    for (int r = 0; r < rows; r++) sum[r] = vec_zero();
    FOR_VECTORS(i, n) {
        VEC_UNROLL
        for (int r = 0; r < rows; r++) {
            vec s = vec_load(x.at + r * x.stride + i);
            if (residual.at) s = vec_add(s, vec_load(residual.at + r * residual.stride + i));
            if (keep) vec_store(keep + r * keep_stride + i, s);
            sum[r] = vec_add(sum[r], s);
        }
    }
    for (int r = 0; r < rows; r++) {
        if (i < n) {
            int left = (int)(n - i);
            vec s = vec_load_n(x.at + r * x.stride + i, left);
            if (residual.at) s = vec_add(s, vec_load_n(residual.at + r * residual.stride + i, left));
            if (keep) vec_store_n(keep + r * keep_stride + i, s, left);
            sum[r] = vec_add(sum[r], s);
        }
        sums[r] = vec_sum(sum[r]);
    }
}

/* Sums of (x - mean)^2. */
VEC_INLINE void rows_squares(row_set x, const int rows, int64_t n, const float *means, float *squares) {
    vec sum[ROWS_AT_ONCE];
    int64_t i = 0;
    VEC_UNROLL
    for (int r = 0; r < rows; r++) sum[r] = vec_zero();
    FOR_VECTORS(i, n) {
        VEC_UNROLL
        for (int r = 0; r < rows; r++) {
            vec d = vec_sub(vec_load(x.at + r * x.stride + i), vec_set1(means[r]));
            sum[r] = vec_fma(d, d, sum[r]);
        }
    }
    for (int r = 0; r < rows; r++) {
        if (i < n) { /* the lanes past the end must count as the mean, not as 0 */
            int left = (int)(n - i);
            float lanes[16];
            for (int l = 0; l < 16; l++) lanes[l] = means[r];
            vec_store_n(lanes, vec_load_n(x.at + r * x.stride + i, left), left);
            vec d = vec_sub(vec_load(lanes), vec_set1(means[r]));
            sum[r] = vec_fma(d, d, sum[r]);
        }
        squares[r] = vec_sum(sum[r]);
    }
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

typedef struct row_norms {
    const float *gamma, *beta;
    float eps;
    int64_t columns;
    float *y, *sum_out;
    int64_t y_stride, sum_stride;
    bool rms; /* the mean counts as 0 */
} row_norms;

/* Rows r .. r + rows - 1 of the call, at x and residual. */
VEC_INLINE void rows_norm(const row_norms *a, row_set x, row_set residual, int64_t r, const int rows) {
    float means[ROWS_AT_ONCE] = {0}, squares[ROWS_AT_ONCE];
    const int64_t n = a->columns;
    float *y = a->y + r * a->y_stride, *keep = a->sum_out ? a->sum_out + r * a->sum_stride : residual.at ? y : NULL;
    const int64_t keep_stride = a->sum_out ? a->sum_stride : a->y_stride;
    if (keep || !a->rms) rows_begin(x, residual, rows, n, keep, keep_stride, means);
    for (int i = 0; i < rows; i++) means[i] = a->rms ? 0.0f : means[i] / (float)n;
    if (keep) x = (row_set){keep, keep_stride};
    rows_squares(x, rows, n, means, squares);
    for (int i = 0; i < rows; i++) {
        const float inverse = 1.0f / sqrtf(squares[i] / (float)n + a->eps);
        row_norm(x.at + i * x.stride, n, means[i], inverse, a->gamma, a->beta, y + i * a->y_stride);
    }
}

static void row_norms_run(const row_norms *a, row_set x, row_set residual, int64_t rows) {
    int64_t r = 0;
    for (; r + ROWS_AT_ONCE <= rows; r += ROWS_AT_ONCE) {
        rows_norm(a, x, residual, r, ROWS_AT_ONCE);
        x.at += ROWS_AT_ONCE * x.stride;
        if (residual.at) residual.at += ROWS_AT_ONCE * residual.stride;
    }
    for (; r < rows; r++) {
        rows_norm(a, x, residual, r, 1);
        x.at += x.stride;
        if (residual.at) residual.at += residual.stride;
    }
}

void KERNEL_NAME(nk_layer_norm_f32_f32_f32__1x16)(const float *x, int64_t x_stride, const float *residual, int64_t residual_stride,
                                                  const float *gamma, const float *beta, float eps, int64_t rows, int64_t columns, float *y,
                                                  int64_t y_stride, float *sum_out, int64_t sum_stride) {
    const row_norms a = {gamma, beta, eps, columns, y, sum_out, y_stride, sum_stride, false};
    row_norms_run(&a, (row_set){x, x_stride}, (row_set){residual, residual_stride}, rows);
}

void KERNEL_NAME(nk_rms_norm_f32_f32_f32__1x16)(const float *x, int64_t x_stride, const float *residual, int64_t residual_stride,
                                                const float *gamma, float eps, int64_t rows, int64_t columns, float *y, int64_t y_stride,
                                                float *sum_out, int64_t sum_stride) {
    const row_norms a = {gamma, NULL, eps, columns, y, sum_out, y_stride, sum_stride, true};
    row_norms_run(&a, (row_set){x, x_stride}, (row_set){residual, residual_stride}, rows);
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
        float *to = y + r * y_stride, zero = 0.0f, squares;
        rows_squares((row_set){from, 0}, 1, columns, &zero, &squares);
        const float norm = sqrtf(squares);
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

/* Rows side by side, as norms take them: each row's lanes are its own. */
VEC_INLINE void rows_reduce(row_set x, const int rows, int64_t n, const bool most, float *y) {
    const vec none = vec_set1(most ? -INFINITY : 0.0f);
    vec sum[ROWS_AT_ONCE];
    int64_t i = 0;
    VEC_UNROLL
    for (int r = 0; r < rows; r++) sum[r] = none;
    FOR_VECTORS(i, n) {
        VEC_UNROLL
        for (int r = 0; r < rows; r++) {
            const vec s = vec_load(x.at + r * x.stride + i);
            sum[r] = most ? vec_keep_nan(sum[r], vec_max(sum[r], s)) : vec_add(sum[r], s);
        }
    }
    for (int r = 0; r < rows; r++) {
        float lanes[16];
        if (i < n) {
            vec_store(lanes, none);
            memcpy(lanes, x.at + r * x.stride + i, (size_t)(n - i) * sizeof(float));
            const vec s = vec_load(lanes);
            sum[r] = most ? vec_keep_nan(sum[r], vec_max(sum[r], s)) : vec_add(sum[r], s);
        }
        if (!most) {
            y[r] = vec_sum(sum[r]);
            continue;
        }
        vec_store(lanes, sum[r]);
        float v = lanes[0];
        for (int l = 1; l < 16; l++) v = v > lanes[l] || v != v ? v : lanes[l];
        y[r] = v;
    }
}

void KERNEL_NAME(nk_reduce_f32_f32__1x16)(bool most, const float *x, int64_t x_stride, int64_t rows, int64_t columns, float *y) {
    int64_t r = 0;
    for (; r + ROWS_AT_ONCE <= rows; r += ROWS_AT_ONCE) {
        const row_set set = {x + r * x_stride, x_stride};
        if (most) rows_reduce(set, ROWS_AT_ONCE, columns, true, y + r);
        else rows_reduce(set, ROWS_AT_ONCE, columns, false, y + r);
    }
    for (; r < rows; r++) {
        const row_set set = {x + r * x_stride, x_stride};
        if (most) rows_reduce(set, 1, columns, true, y + r);
        else rows_reduce(set, 1, columns, false, y + r);
    }
}

#endif
