/* SPDX-License-Identifier: Apache-2.0
 *
 * One weight to integers. In: a layer's f32 numbers. Out: codes, scales, and what they lose.
 *
 * With second moments H of the rows that reach it, GPTQ (Frantar et al., 2022, https://arxiv.org/abs/2210.17323): rows of the weight
 * are rounded one after the other, and what each loses is made up for by those not rounded yet, by the upper Cholesky factor of the
 * inverse of H, whose diagonal gets a hundredth of its mean. Without, to the nearest. Of 4 bits, a block's scale is the best of some, for
 * what the weight is when its turn comes, and by how large the rows are that meet it.
 */
#include "quantize.h"
#include "base/base_half.h"
#include "kernel/kernel_pack.h"
#include <math.h>
#include <string.h>

#define DAMPING 0.01

typedef struct rounding {
    quantize_layer *l;
    float *w;         /* [K, N], which rounding changes */
    const float *u;   /* [K, K] upper factor of the inverse of the moments; NULL: to the nearest */
    const float *size; /* [K] what an error in each row counts, or NULL */
    int64_t first, n; /* the rows at hand */
    float *lost;      /* [BATCH, N] what they lost, by u's diagonal */
    double *sums;     /* [tasks] of its squares */
} rounding;

/* A weight's number k of column n, in the order of codes: of a table, whose rows are the columns, turned. */
static float number(const quantize_layer *l, int64_t k, int64_t n) {
    const float x = ((const float *)l->w->data)[l->table ? n * l->K + k : k * l->N + n];
    return isfinite(x) ? x * (l->factor ? l->factor[k] : 1) : 0;
}

/* ---------------------------------------------------------------- codes */

#define LONGEST 128 /* block */

/* The scale of x [block] that f16 holds: of largest / -(8 + i / 10), i in -9, -6, .. 9, the one whose best scale for the codes that it
 * gives leaves the least error, numbers counting as `size` [block] says; NULL: all alike. */
static float block_scale(const float *x, const float *size, int64_t block) {
    float largest = 0;
    double best = 0, scale = 0;
    for (int64_t i = 0; i < block; i++)
        if (fabsf(x[i]) > fabsf(largest)) largest = x[i];
    if (fabsf(largest) < 1e-20f) return 0; /* f16 has no scale for them */
    for (int i = -9; i <= 9; i += 3) {
        const float inverse = -(8.0f + 0.1f * (float)i) / largest;
        double xq = 0, qq = 0;
        for (int64_t k = 0; k < block; k++) {
            const float q = rintf(x[k] * inverse), code = q < -8 ? -8 : q > 7 ? 7 : q, s = size ? size[k] : 1;
            xq += (double)(s * x[k] * code), qq += (double)(s * code * code);
        }
        if (qq > 0 && xq * xq / qq > best) best = xq * xq / qq, scale = xq / qq;
    }
    scale = fabs(scale) > 65504 ? copysign(65504, scale) : scale;
    return base_f16_to_f32(base_f32_to_f16((float)scale));
}

/* The largest code of 8 bits. */
static float largest_code(const quantize_layer *l) { return l->seven ? 63 : 127; }

static float scale_of(const rounding *r, int64_t k, int64_t n) {
    const quantize_codes *c = &r->l->codes;
    const int64_t N = r->l->N;
    float largest = 0, block[LONGEST];
    for (int64_t i = k; c->bits == QUANTIZE_8 && i < k + c->block; i++)
        if (fabsf(r->w[i * N + n]) > largest) largest = fabsf(r->w[i * N + n]);
    if (c->bits == QUANTIZE_8) return largest / largest_code(r->l);
    for (int64_t i = 0; i < c->block; i++) block[i] = r->w[(k + i) * N + n];
    return block_scale(block, r->size ? r->size + k : NULL, c->block);
}

/* Rounds row k of columns [lo, hi), and leaves in `lost` [N] what was cut off. */
static void round_row(const rounding *r, int64_t k, int64_t lo, int64_t hi, float *lost) {
    quantize_codes *c = &r->l->codes;
    const float eight = largest_code(r->l), most = c->bits == QUANTIZE_8 ? eight - (float)c->zero : 7,
                least = c->bits != QUANTIZE_8 ? -8 : c->zero ? -eight - 1 - (float)c->zero : -eight;
    const int64_t N = r->l->N;
    const float *scale = c->scale + k / c->block * N, *w = r->w + k * N;
    for (int64_t n = lo; n < hi; n++) {
        float q = scale[n] != 0 ? rintf(w[n] / scale[n]) : 0;
        q = q < least ? least : q > most ? most : q;
        c->q[k * N + n] = (int8_t)(q + (float)c->zero);
        lost[n] = w[n] - q * scale[n];
    }
}

#define TURNED 32
#define COLUMNS 64 /* that one task rounds */
#define BATCH 128  /* rows: what they lose reaches those behind them as one product; blocks are no longer */

/* Rows [r->first, r->first + r->n): each is made up for by the next ones of these. */
static void round_columns(void *arg, size_t task, int slot) {
    const rounding *r = arg;
    quantize_codes *c = &r->l->codes;
    const int64_t K = r->l->K, N = r->l->N, lo = (int64_t)task * COLUMNS, hi = lo + COLUMNS < N ? lo + COLUMNS : N;
    (void)slot;
    for (int64_t k = r->first; k < r->first + r->n; k++) {
        float *lost = r->lost + (k - r->first) * N;
        if (k % c->block == 0 && !(c->bits == QUANTIZE_8 && r->l->one_scale))
            for (int64_t n = lo; n < hi; n++) c->scale[k / c->block * N + n] = scale_of(r, k, n);
        round_row(r, k, lo, hi, lost);
        const double d = r->u ? r->u[k * K + k] : 1;
        for (int64_t n = lo; n < hi; n++) {
            lost[n] = (float)(lost[n] / d);
            r->sums[task] += (double)lost[n] * lost[n];
        }
        for (int64_t j = k + 1; r->u && j < r->first + r->n; j++) {
            const float f = r->u[k * K + j];
            float *w = r->w + j * N;
            for (int64_t n = lo; n < hi; n++) w[n] -= f * lost[n];
        }
    }
}

static nib_status round_rows(nib_runtime *runtime, rounding *r, nib_error *err) {
    nib_status status = NIB_OK;
    const int64_t K = r->l->K, N = r->l->N;
    for (r->first = 0; r->first < K; r->first += BATCH) {
        r->n = K - r->first < BATCH ? K - r->first : BATCH;
        base_pool_run(runtime->pool, (size_t)((N + COLUMNS - 1) / COLUMNS), round_columns, r);
        const int64_t next = r->first + r->n;
        NIB_TRY(base_stop_check(err));
        if (!r->u || next >= K) continue;
        const quantize_matrix turned = {.data = r->u + r->first * K + next, .row = 1, .column = K, .sign = -1};
        const quantize_matrix lost = {.data = r->lost, .row = N, .column = 1, .sign = 1};
        NIB_TRY(quantize_multiply(runtime, &turned, &lost, r->w + next * N, N, K - next, N, r->n, err));
    }
fail:
    return status;
}

/* One scale for the whole weight, of 8 bits; of a table with all of its range, wherever 0 lies. */
static void set_one_scale(const rounding *r) {
    quantize_layer *l = r->l;
    float least = 0, most = 0;
    for (int64_t i = 0; i < l->K * l->N; i++) least = fminf(least, r->w[i]), most = fmaxf(most, r->w[i]);
    float scale = l->table ? most / 255 - least / 255 : fmaxf(most, -least) / largest_code(l);
    if (l->table && scale > 0) l->codes.zero = (int)fmaxf(-128, fminf(127, rintf(-128 - least / scale)));
    for (int64_t n = 0; n < l->N; n++) l->codes.scale[n] = scale;
}

#define SAMPLES 16

/* |w|^2, in the moments h where there are some: what the lost is a part of. */
static double size_of(const quantize_layer *l, const float *w, const float *h) {
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
            for (int64_t n = 0, at = 0; n < N; n += step, at++) s[at] += (double)h[i * K + j] * w[j * N + n];
        for (int64_t n = 0, at = 0; n < N; n += step, at++) all += s[at] * w[i * N + n];
    }
    return all * (double)N / (double)((N + step - 1) / step);
}

/* h [K, K]: the moments of what the layer reads, with their damping; u of it. *usable false: they say nothing. */
static nib_status factor(nib_runtime *runtime, const quantize_layer *l, const quantize_moments *m, float *h, float *u, bool *usable,
                         nib_error *err) {
    const float *f = l->factor;
    double mean = 0;
    for (int64_t k = 0; k < m->K; k++) mean += m->sum[k * m->K + k] / (f ? (double)f[k] * f[k] : 1);
    mean /= (double)m->K;
    *usable = mean > 0 && isfinite(mean);
    if (!*usable) return NIB_OK;
    for (int64_t i = 0; i < m->K; i++) /* of one size, whatever the rows' */
        for (int64_t k = 0; k < m->K; k++) h[i * m->K + k] = (float)(m->sum[i * m->K + k] / (f ? (double)f[i] * f[k] : 1) / mean);
    for (int64_t k = 0; k < m->K; k++) h[k * m->K + k] += (float)DAMPING;
    return quantize_inverse_factor(runtime, h, m->K, u, usable, err);
}

nib_status quantize_round(nib_runtime *runtime, quantize_layer *l, quantize_bits bits, int64_t block, const quantize_moments *moments,
                          nib_error *err) {
    nib_status status = NIB_OK;
    base_heap *heap = &runtime->heap;
    const int64_t K = l->K, N = l->N;
    const size_t size = (size_t)(K * N), square = (size_t)(K * K), tasks = (size_t)((N + COLUMNS - 1) / COLUMNS);
    rounding r = {.l = l};
    float *h = NULL;
    bool usable = false;
    base_free(heap, l->codes.q);
    base_free(heap, l->codes.scale);
    l->codes = (quantize_codes){.bits = bits, .block = bits == QUANTIZE_8 ? K : block};
    l->codes.q = base_alloc(heap, size);
    l->codes.scale = base_calloc(heap, (size_t)(K / l->codes.block * N) + 1, sizeof(float));
    r.w = base_alloc(heap, size * sizeof(float));
    r.lost = base_alloc(heap, (size_t)(BATCH * N) * sizeof(float));
    r.sums = base_calloc(heap, tasks, sizeof *r.sums);
    if (moments) h = base_alloc(heap, (2 * square + (size_t)K) * sizeof *h);
    if (!l->codes.q || !l->codes.scale || !r.w || !r.lost || !r.sums || (moments && !h))
        NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for rounding");
    for (int64_t first = 0; first < N; first += TURNED) /* of a table few rows at a time, which stay in the cache */
        for (int64_t k = 0; k < K; k++)
            for (int64_t n = first; n < first + TURNED && n < N; n++) r.w[k * N + n] = number(l, k, n);
    if (bits == QUANTIZE_8 && l->one_scale) set_one_scale(&r);
    if (moments) NIB_TRY(factor(runtime, l, moments, h, h + square, &usable, err));
    if (usable) r.u = h + square, r.size = h + 2 * square;
    for (int64_t k = 0; usable && k < K; k++) h[2 * square + (size_t)k] = h[k * K + k];
    const double all = size_of(l, r.w, usable ? h : NULL);
    NIB_TRY(round_rows(runtime, &r, err));
    double sum = 0;
    for (size_t i = 0; i < tasks; i++) sum += r.sums[i];
    l->codes.error = all > 0 ? sum / all : 0;
fail:
    base_free(heap, h);
    base_free(heap, r.w);
    base_free(heap, r.lost);
    base_free(heap, r.sums);
    return status;
}
