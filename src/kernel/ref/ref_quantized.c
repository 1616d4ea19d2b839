/* SPDX-License-Identifier: Apache-2.0
 *
 * The specification of Linear on bf16 and q8 weights, and of what makes their rows. A packed column stands alone: in bf16 its K
 * numbers; in q8 its scale, the sum of its numbers, and the numbers, in whole words.
 */
#include "kernel/kernel_list.h"
#include "kernel/kernel_pack.h"
#include "ref_math.h"
#include <float.h>
#include <string.h>

static uint16_t to_bf16(float x) {
    uint32_t u;
    memcpy(&u, &x, sizeof(u));
    if (x != x) return (uint16_t)(u >> 16 | 0x40u); /* quiet: of a signalling NaN the upper half may be an infinity */
    uint32_t rest = u & 0xffffu;
    u >>= 16;
    if (rest > 0x8000u || (rest == 0x8000u && (u & 1u))) u++; /* a carry into the exponent is right, up to infinity */
    return (uint16_t)u;
}

static double from_bf16(uint16_t half) {
    uint32_t u = (uint32_t)half << 16;
    float x;
    memcpy(&x, &u, sizeof(x));
    return (double)x;
}

/* clamp(round(x / scale) + shift, lo, hi), half to even; a NaN counts as 0. */
static int quantized(float x, float scale, int shift, int lo, int hi) {
    float q = x / scale;
    if (q != q) q = 0.0f;
    double r = nearbyint((double)q) + (double)shift;
    return r < (double)lo ? lo : r > (double)hi ? hi : (int)r;
}

static float weight_at(const kernel_weight *w, int64_t k, int64_t n) {
    float x;
    memcpy(&x, (const char *)w->w + (k * w->k_stride + n * w->n_stride) * (int64_t)sizeof(float), sizeof(x));
    return w->factor ? x * (1.0f / w->factor[k]) : x;
}

/* ---- rows ---- */

void nk_round_f32_bf16__1x1_generic(const float *x, int64_t x_stride, int64_t rows, int64_t columns, uint16_t *y, int64_t y_stride) {
    for (int64_t r = 0; r < rows; r++) {
        for (int64_t i = 0; i < columns; i++) y[r * y_stride + i] = to_bf16(x[r * x_stride + i]);
        if (columns % 2) y[r * y_stride + columns] = 0;
    }
}

void nk_range_f32_f32__1x1_generic(const float *x, int64_t n, float *lo, float *hi) {
    for (int64_t i = 0; i < n; i++) {
        *lo = x[i] < *lo ? x[i] : *lo;
        *hi = x[i] > *hi ? x[i] : *hi;
    }
}

void nk_round_f32_u8__1x1_generic(const float *x, int64_t n, float scale, float zero, uint8_t *y) {
    for (int64_t i = 0; i < n; i++) {
        const float q = nearbyintf(x[i] / scale) + zero;
        y[i] = !(q > 0.0f) ? 0 : q > 255.0f ? 255 : (uint8_t)q;
    }
}

void nk_scale_s32_f32__1x1_generic(const int32_t *x, const float *scale, float factor, const float *add, int64_t n, float *y) {
    for (int64_t i = 0; i < n; i++) {
        int32_t sum; /* y may be x */
        memcpy(&sum, &x[i], sizeof sum);
        const double v = (double)(float)sum * (double)(scale ? scale[i] * factor : factor);
        y[i] = (float)(v + (add ? (double)add[i] : 0.0));
    }
}

/* One operation that rounds to a whole number, as the contract says: 1.5 * 2^23 leaves no room for a fraction. */
static float whole(float x, float factor, float shift) { return fmaf(x, factor, 12582912.0f + shift) - 12582912.0f; }

void nk_quantize_f32_q8__1x1_generic(const float *x, int64_t x_stride, const float *factor, int64_t rows, int64_t columns, uint8_t *y,
                                     int64_t y_stride, float *params, int64_t params_stride) {
    for (int64_t r = 0; r < rows; r++) {
        const float *from = x + r * x_stride;
        float lo = 0.0f, hi = 0.0f;
        bool finite = true;
        for (int64_t i = 0; i < columns; i++) {
            float v = factor ? from[i] * factor[i] : from[i];
            if (v < lo) lo = v;
            if (v > hi) hi = v;
            finite &= isfinite(v) != 0;
        }
        float scale = (hi - lo) / 255.0f, inverse, zero = 0.0f;
        if (!isfinite(scale)) finite = false;
        if (scale < FLT_MIN) scale = 1.0f;
        inverse = 1.0f / scale;
        if (finite) zero = whole(-lo, inverse, 0.0f);
        for (int64_t i = 0; i < (columns + 3) / 4 * 4; i++) {
            float q = !finite ? 0.0f : i >= columns ? zero : whole(factor ? from[i] * factor[i] : from[i], inverse, zero);
            y[r * y_stride + i] = (uint8_t)(q < 0.0f ? 0.0f : q > 255.0f ? 255.0f : q);
        }
        params[r * params_stride] = finite ? scale : NAN;
        params[r * params_stride + 1] = zero;
    }
}

/* ---- bf16 weights ---- */

static size_t bf16_packed_bytes(int64_t N, int64_t K) {
    if (N < 0 || K < 0 || (N > 0 && K > PTRDIFF_MAX / 2 / N)) return SIZE_MAX;
    return (size_t)(N * K) * sizeof(uint16_t);
}

static void bf16_pack(const kernel_weight *w, int64_t n_lo, int64_t n_hi, void *packed) {
    const int64_t K = w->K;
    uint16_t *to = packed;
    for (int64_t n = n_lo; n < n_hi; n++) {
        for (int64_t k = 0; k < K; k++) to[n * K + k] = to_bf16(weight_at(w, k, n));
    }
}

static void bf16_column(const void *packed, int64_t K, int64_t n, float *to) {
    for (int64_t k = 0; k < K; k++) to[k] = (float)from_bf16(((const uint16_t *)packed)[n * K + k]);
}

static void bf16_run(const kernel_linear_args *args, int64_t m_lo, int64_t m_hi, int64_t n_lo, int64_t n_hi) {
    for (int64_t m = m_lo; m < m_hi; m++) {
        for (int64_t n = n_lo; n < n_hi; n++) {
            const uint16_t *column = (const uint16_t *)args->w + n * args->K;
            double sum = 0.0;
            for (int64_t k = 0; k < args->K; k++) sum += (double)args->x[m * args->x_stride + k] * from_bf16(column[k]);
            ref_finish(args, m, n, sum);
        }
    }
}

const kernel_linear nk_gemm_f32_bf16_f32__1x1_generic = {
    "nk_gemm_f32_bf16_f32__1x1_generic", BASE_ISA_GENERIC, KERNEL_INPUT_F32, KERNEL_WEIGHT_BF16, 1, 1, bf16_packed_bytes, bf16_pack,
    bf16_column,                         bf16_run,         "bf16_columns"};

/* ---- q8 weights ---- */

typedef struct q8_column {
    float scale;
    int32_t sum;
} q8_column; /* then the numbers */

static int64_t q8_column_bytes(int64_t K) { return (int64_t)sizeof(q8_column) + (K + 3) / 4 * 4; }

static size_t q8_packed_bytes(int64_t N, int64_t K) {
    if (N < 0 || K < 0 || K > KERNEL_Q8_MOST_K || N > PTRDIFF_MAX / q8_column_bytes(K)) return SIZE_MAX;
    return (size_t)(N * q8_column_bytes(K));
}

static void q8_pack(const kernel_weight *w, int64_t n_lo, int64_t n_hi, void *packed) {
    const int64_t K = w->K;
    for (int64_t n = n_lo; n < n_hi; n++) {
        q8_column *column = (q8_column *)(void *)((char *)packed + n * q8_column_bytes(K));
        int8_t *to = (int8_t *)(column + 1);
        float largest = 0.0f;
        for (int64_t k = 0; k < K; k++) {
            float size = fabsf(weight_at(w, k, n));
            if (size > largest) largest = size;
        }
        float scale = largest / 127.0f;
        if (scale == 0.0f) scale = 1.0f;
        *column = (q8_column){scale, 0};
        for (int64_t k = 0; k < K; k++) {
            to[k] = (int8_t)quantized(weight_at(w, k, n), scale, 0, -127, 127);
            column->sum += to[k];
        }
    }
}

static void q8_one_column(const void *packed, int64_t K, int64_t n, float *to) {
    const q8_column *column = (const q8_column *)(const void *)((const char *)packed + n * q8_column_bytes(K));
    for (int64_t k = 0; k < K; k++) to[k] = column->scale * (float)((const int8_t *)(column + 1))[k];
}

static void q8_run(const kernel_linear_args *args, int64_t m_lo, int64_t m_hi, int64_t n_lo, int64_t n_hi) {
    for (int64_t m = m_lo; m < m_hi; m++) {
        const uint8_t *x = args->x8 + m * args->x_stride;
        float row_scale = args->x_params[m * args->x_params_stride];
        int32_t zero = (int32_t)args->x_params[m * args->x_params_stride + 1];
        for (int64_t n = n_lo; n < n_hi; n++) {
            const q8_column *column = (const q8_column *)(const void *)((const char *)args->w + n * q8_column_bytes(args->K));
            const int8_t *w = (const int8_t *)(column + 1);
            int32_t sum = 0;
            for (int64_t k = 0; k < args->K; k++) sum += x[k] * w[k];
            ref_finish(args, m, n, (double)(sum - (int64_t)zero * column->sum) * (double)(row_scale * column->scale));
        }
    }
}

const kernel_linear nk_gemm_q8_q8_f32__1x1_generic = {
    "nk_gemm_q8_q8_f32__1x1_generic", BASE_ISA_GENERIC, KERNEL_INPUT_U8, KERNEL_WEIGHT_Q8, 1, 1, q8_packed_bytes, q8_pack,
    q8_one_column,                    q8_run,           "q8_columns"};

/* ---- q4 weights: panels of 16 columns, as the tuned kernels pack theirs ---- */

#define Q4_N 16

static size_t q4_packed_bytes(int64_t N, int64_t K) { return kernel_packed_bytes(KERNEL_PACK_Q4, N, K, Q4_N); }

static void q4_pack(const kernel_weight *w, int64_t n_lo, int64_t n_hi, void *packed) {
    kernel_pack_panels(KERNEL_PACK_Q4, w, n_lo, n_hi, Q4_N, packed);
}

static void q4_one_column(const void *packed, int64_t K, int64_t n, float *to) {
    kernel_panel_column(KERNEL_PACK_Q4, packed, K, Q4_N, n, to);
}

/* Rows [m_lo, m_hi), at most Q4_ROWS, of column n: a block's numbers serve all of them. */
#define Q4_ROWS 64
static void q4_column(const kernel_linear_args *args, int64_t m_lo, int64_t m_hi, int64_t n) {
    const char *panel = (const char *)args->w + (size_t)(n / Q4_N) * kernel_panel_bytes(KERNEL_PACK_Q4, args->K, Q4_N);
    double sums[Q4_ROWS] = {0.0};
    float w[KERNEL_Q4_BLOCK];
    for (int64_t k = 0; k < args->K; k += KERNEL_Q4_BLOCK) {
        const int64_t rest = args->K - k < KERNEL_Q4_BLOCK ? args->K - k : KERNEL_Q4_BLOCK;
        /* a block of a panel with the head that a panel begins with in front of it */
        kernel_panel_column(KERNEL_PACK_Q4, panel + k / KERNEL_Q4_BLOCK * 18 * Q4_N, rest, Q4_N, n % Q4_N, w);
        for (int64_t m = m_lo; m < m_hi; m++) {
            const uint8_t *x = args->x8 + m * args->x_stride + k;
            const double zero = (double)args->x_params[m * args->x_params_stride + 1];
            for (int64_t i = 0; i < rest; i++) sums[m - m_lo] += ((double)x[i] - zero) * (double)w[i];
        }
    }
    for (int64_t m = m_lo; m < m_hi; m++)
        ref_finish(args, m, n, sums[m - m_lo] * (double)args->x_params[m * args->x_params_stride]);
}

static void q4_run(const kernel_linear_args *args, int64_t m_lo, int64_t m_hi, int64_t n_lo, int64_t n_hi) {
    for (int64_t m = m_lo; m < m_hi; m += Q4_ROWS)
        for (int64_t n = n_lo; n < n_hi; n++) q4_column(args, m, m_hi - m < Q4_ROWS ? m_hi : m + Q4_ROWS, n);
}

const kernel_linear nk_gemm_q8_q4_f32__1x16_generic = {
    "nk_gemm_q8_q4_f32__1x16_generic", BASE_ISA_GENERIC, KERNEL_INPUT_U8, KERNEL_WEIGHT_Q4, 1, Q4_N, q4_packed_bytes, q4_pack,
    q4_one_column,                     q4_run,           "q4"};

/* ---- s8 weights, whole sums ---- */

static size_t s8_packed_bytes(int64_t N, int64_t K) { return kernel_packed_bytes(KERNEL_PACK_S8, N, K, Q4_N); }

static void s8_pack(const kernel_weight *w, int64_t n_lo, int64_t n_hi, void *packed) {
    kernel_pack_panels(KERNEL_PACK_S8, w, n_lo, n_hi, Q4_N, packed);
}

static void s8_one_column(const void *packed, int64_t K, int64_t n, float *to) {
    kernel_panel_column(KERNEL_PACK_S8, packed, K, Q4_N, n, to);
}

static void s8_run(const kernel_linear_args *args, int64_t m_lo, int64_t m_hi, int64_t n_lo, int64_t n_hi) {
    for (int64_t n = n_lo; n < n_hi; n++) {
        const char *panel = (const char *)args->w + (size_t)(n / Q4_N) * kernel_panel_bytes(KERNEL_PACK_S8, args->K, Q4_N);
        const int8_t *w = (const int8_t *)panel + 4 * Q4_N + 4 * (n % Q4_N);
        for (int64_t m = m_lo; m < m_hi; m++) {
            const uint8_t *x = args->x8 + m * args->x_stride;
            const int32_t zero = (int32_t)args->x_params[m * args->x_params_stride + 1];
            int32_t sum = 0;
            for (int64_t k = 0; k < args->K; k++) sum += (x[k] - zero) * w[k / 4 * 4 * Q4_N + k % 4];
            args->y32[m * args->y_stride + n] = sum;
        }
    }
}

const kernel_linear nk_gemm_q8_s8_s32__1x16_generic = {
    "nk_gemm_q8_s8_s32__1x16_generic", BASE_ISA_GENERIC, KERNEL_INPUT_U8, KERNEL_WEIGHT_S8, 1, Q4_N, s8_packed_bytes, s8_pack,
    s8_one_column,                     s8_run,           "s8"};
