/* SPDX-License-Identifier: Apache-2.0
 *
 * One weight to integers. In: a layer's f32 numbers. Out: codes, scales, and what they lose.
 *
 * With second moments H of the rows that reach it, GPTQ (Frantar et al., 2022, https://arxiv.org/abs/2210.17323): rows of the weight
 * are rounded one after the other, and what each loses is made up for by those not rounded yet, by the upper Cholesky factor of the
 * inverse of H, whose diagonal gets a hundredth of its mean. Without, to the nearest. Of 4 bits, a block's scale is the one that
 * kernel_round_q4 would choose, of what the weight is when its turn comes.
 */
#include "quantize.h"
#include "base/base_half.h"
#include "kernel/kernel_pack.h"
#include <math.h>
#include <string.h>

#define DAMPING 0.01

typedef struct rounding {
    quantize_layer *l;
    float *w;        /* [K, N], which rounding changes */
    const double *u; /* [K, K] upper factor of the inverse of the moments; NULL: to the nearest */
    double *lost;    /* [tasks] */
} rounding;

/* A weight's number k of column n, in the order of codes: of a table, whose rows are the columns, turned. */
static float number(const quantize_layer *l, int64_t k, int64_t n) {
    const float x = ((const float *)l->w->data)[l->table ? n * l->K + k : k * l->N + n];
    return isfinite(x) ? x : 0;
}

/* ---------------------------------------------------------------- linear algebra, K x K */

/* In place: a symmetric matrix becomes its lower Cholesky factor; false: it is not positive. */
static bool cholesky(double *a, int64_t K) {
    for (int64_t j = 0; j < K; j++) {
        double d = a[j * K + j];
        for (int64_t k = 0; k < j; k++) d -= a[j * K + k] * a[j * K + k];
        if (!(d > 0) || !isfinite(d)) return false;
        const double r = a[j * K + j] = sqrt(d);
        for (int64_t i = j + 1; i < K; i++) {
            double s0 = 0, s1 = 0, s2 = 0, s3 = 0;
            int64_t k = 0;
            for (; k + 4 <= j; k += 4) {
                s0 += a[i * K + k] * a[j * K + k], s1 += a[i * K + k + 1] * a[j * K + k + 1];
                s2 += a[i * K + k + 2] * a[j * K + k + 2], s3 += a[i * K + k + 3] * a[j * K + k + 3];
            }
            for (; k < j; k++) s0 += a[i * K + k] * a[j * K + k];
            a[i * K + j] = (a[i * K + j] - s0 - s1 - s2 - s3) / r;
        }
    }
    return true;
}

/* The upper factor U of the inverse, U^T U = A^-1, is the inverse of A's factor taken from the other end: with the rows and columns of A
 * in reverse order, A' = L L^T, and U is L^-1, its rows and columns in reverse order again. */
static bool inverse_factor(double *a, int64_t K, double *u) {
    for (int64_t i = 0; i < K / 2; i++) /* a symmetric matrix, turned by half */
        for (int64_t j = 0; j < K; j++) {
            const double t = a[i * K + j];
            a[i * K + j] = a[(K - 1 - i) * K + K - 1 - j];
            a[(K - 1 - i) * K + K - 1 - j] = t;
        }
    if (K % 2)
        for (int64_t j = 0, i = K / 2; j < K / 2; j++) {
            const double t = a[i * K + j];
            a[i * K + j] = a[i * K + K - 1 - j];
            a[i * K + K - 1 - j] = t;
        }
    if (!cholesky(a, K)) return false;
    memset(u, 0, (size_t)K * (size_t)K * sizeof *u);
    for (int64_t i = 0; i < K; i++) {      /* row i of L^-1, from the rows above it */
        double *row = u + (K - 1 - i) * K; /* in reverse order already */
        row[K - 1 - i] = 1;
        for (int64_t k = 0; k < i; k++) {
            const double f = a[i * K + k], *above = u + (K - 1 - k) * K;
            for (int64_t j = K - 1 - k; f != 0 && j < K; j++) row[j] -= f * above[j];
        }
        for (int64_t j = K - 1 - i; j < K; j++) row[j] /= a[i * K + i];
    }
    return true;
}

/* ---------------------------------------------------------------- codes */

static float scale_of(const rounding *r, int64_t k, int64_t n) {
    const quantize_codes *c = &r->l->codes;
    const int64_t N = r->l->N;
    float largest = 0, scale = 0, block[KERNEL_Q4_BLOCK];
    int8_t q[KERNEL_Q4_BLOCK];
    if (c->bits == QUANTIZE_4 && c->block == KERNEL_Q4_BLOCK) {
        for (int i = 0; i < KERNEL_Q4_BLOCK; i++) block[i] = r->w[(k + i) * N + n];
        kernel_round_q4(block, 1, q, &scale);
        return scale;
    }
    for (int64_t i = k; i < k + c->block; i++)
        if (fabsf(r->w[i * N + n]) > fabsf(largest)) largest = r->w[i * N + n];
    if (c->bits == QUANTIZE_8) return fabsf(largest) / 127;
    scale = -largest / 8;
    if (fabsf(scale) > 65504.0f) scale = copysignf(65504.0f, scale);
    return base_f16_to_f32(base_f32_to_f16(scale));
}

/* Rounds row k of columns [lo, hi), and leaves in `lost` [hi - lo] what was cut off. */
static void round_row(const rounding *r, int64_t k, int64_t lo, int64_t hi, float *lost) {
    quantize_codes *c = &r->l->codes;
    const float least = c->bits == QUANTIZE_8 ? -127 : -8, most = c->bits == QUANTIZE_8 ? 127 : 7;
    const int64_t N = r->l->N;
    const float *scale = c->scale + k / c->block * N, *w = r->w + k * N;
    for (int64_t n = lo; n < hi; n++) {
        float q = scale[n] != 0 ? rintf(w[n] / scale[n]) : 0;
        q = q < least ? least : q > most ? most : q;
        c->q[k * N + n] = (int8_t)q;
        lost[n - lo] = w[n] - q * scale[n];
    }
}

#define COLUMNS 64 /* that one task rounds */

static void round_columns(void *arg, size_t task, int slot) {
    (void)slot;
    const rounding *r = arg;
    const int64_t K = r->l->K, N = r->l->N, lo = (int64_t)task * COLUMNS, hi = lo + COLUMNS < N ? lo + COLUMNS : N;
    float lost[COLUMNS];
    double sum = 0;
    for (int64_t k = 0; k < K; k++) {
        if (k % r->l->codes.block == 0)
            for (int64_t n = lo; n < hi; n++) r->l->codes.scale[k / r->l->codes.block * N + n] = scale_of(r, k, n);
        round_row(r, k, lo, hi, lost);
        const double *u = r->u ? r->u + k * K : NULL, d = u ? u[k] : 1;
        for (int64_t n = lo; n < hi; n++) sum += (double)lost[n - lo] * lost[n - lo] / (d * d);
        for (int64_t j = k + 1; u && j < K; j++) {
            const float f = (float)(u[j] / d);
            float *w = r->w + j * N + lo;
            for (int64_t n = 0; f != 0 && n < hi - lo; n++) w[n] -= f * lost[n];
        }
    }
    r->lost[task] = sum;
}

#define SAMPLES 16

/* |w|^2, in the moments where there are some: what `lost` is a part of. */
static double size_of(const quantize_layer *l, const float *w, const double *h) {
    const int64_t K = l->K, N = l->N;
    double all = 0;
    if (!h) {
        for (int64_t i = 0; i < K * N; i++) all += (double)w[i] * w[i];
        return all;
    }
    const int64_t step = N > SAMPLES ? N / SAMPLES : 1; /* of some columns: it is a mean */
    for (int64_t i = 0; i < K; i++) {
        double s[2 * SAMPLES] = {0};
        for (int64_t j = 0; j < K; j++)
            for (int64_t n = 0, at = 0; n < N; n += step, at++) s[at] += h[i * K + j] * w[j * N + n];
        for (int64_t n = 0, at = 0; n < N; n += step, at++) all += s[at] * w[i * N + n];
    }
    return all * (double)N / (double)((N + step - 1) / step);
}

/* h and u [K, K] of the moments; what never moves (a column of zeros) counts for little, and is not divided by. */
static bool factor(const quantize_moments *m, double *h, double *u, double *scratch) {
    const size_t n = (size_t)m->K * (size_t)m->K;
    double mean = 0;
    for (int64_t k = 0; k < m->K; k++) mean += m->sum[k * m->K + k];
    mean /= (double)m->K;
    if (!(mean > 0) || !isfinite(mean)) return false;
    for (size_t i = 0; i < n; i++) h[i] = m->sum[i];
    for (int64_t k = 0; k < m->K; k++) h[k * m->K + k] += DAMPING * mean;
    memcpy(scratch, h, n * sizeof *h);
    return inverse_factor(scratch, m->K, u);
}

nib_status quantize_round(nib_runtime *runtime, quantize_layer *l, quantize_bits bits, int64_t block, const quantize_moments *moments,
                          nib_error *err) {
    nib_status status = NIB_OK;
    base_heap *heap = &runtime->heap;
    const int64_t K = l->K, N = l->N;
    const size_t size = (size_t)(K * N), square = (size_t)(K * K);
    rounding r = {.l = l};
    const size_t tasks = (size_t)((N + COLUMNS - 1) / COLUMNS);
    double *h = NULL, *lost = base_calloc(heap, tasks, sizeof *lost);
    base_free(heap, l->codes.q);
    base_free(heap, l->codes.scale);
    l->codes = (quantize_codes){.bits = bits, .block = bits == QUANTIZE_8 ? K : block};
    l->codes.q = base_alloc(heap, size);
    l->codes.scale = base_calloc(heap, (size_t)(K / l->codes.block * N) + 1, sizeof(float));
    r.w = base_alloc(heap, size * sizeof(float));
    if (moments) h = base_alloc(heap, 3 * square * sizeof *h);
    if (!l->codes.q || !l->codes.scale || !r.w || !lost || (moments && !h)) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for rounding");
    for (int64_t k = 0; k < K; k++)
        for (int64_t n = 0; n < N; n++) r.w[k * N + n] = number(l, k, n);
    if (moments && factor(moments, h, h + square, h + 2 * square)) r.u = h + square;
    const double all = size_of(l, r.w, r.u ? h : NULL);
    r.lost = lost;
    base_pool_run(runtime->pool, tasks, round_columns, &r);
    double sum = 0;
    for (size_t i = 0; i < tasks; i++) sum += lost[i];
    l->error = all > 0 ? sum / all : 0;
    NIB_TRY(base_stop_check(err));
fail:
    base_free(heap, h);
    base_free(heap, lost);
    base_free(heap, r.w);
    return status;
}
