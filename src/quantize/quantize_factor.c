/* SPDX-License-Identifier: Apache-2.0
 *
 * Matrices of f32 on the CPU's own Linear kernel: sums of products, and the factor that GPTQ rounds by. Blocks of the factor are computed
 * row by row in f64, what they change behind them is one product each.
 */
#include "quantize.h"
#include <math.h>
#include <string.h>

#define BLOCK 64
#define TILES 4 /* of rows that one task multiplies */

typedef struct product {
    const kernel_linear *kernel;
    kernel_linear_args args;
} product;

static void multiply(void *arg, size_t task, int slot) {
    const product *p = arg;
    const int64_t step = (int64_t)TILES * p->kernel->tile_m, lo = (int64_t)task * step;
    (void)slot;
    p->kernel->run(&p->args, lo, lo + step < p->args.M ? lo + step : p->args.M, 0, p->args.N);
}

nib_status quantize_multiply(nib_runtime *runtime, const quantize_matrix *a, const quantize_matrix *b, float *c, int64_t c_stride,
                             int64_t M, int64_t N, int64_t K, nib_error *err) {
    kernels ks;
    base_heap *heap = &runtime->heap;
    if (M < 1 || N < 1 || K < 1) return NIB_OK;
    kernel_table_init(&ks, runtime->isas);
    product p = {.kernel = kernel_linear_find(&ks, KERNEL_INPUT_F32, KERNEL_WEIGHT_F32, NULL)};
    float *rows = base_alloc(heap, (size_t)M * (size_t)K * sizeof *rows);
    void *packed = base_alloc(heap, p.kernel->packed_bytes(N, K));
    nib_status status = rows && packed ? NIB_OK : base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for a product");
    if (status == NIB_OK) {
        for (int64_t m = 0; m < M; m++)
            for (int64_t k = 0; k < K; k++) rows[m * K + k] = a->sign * a->data[m * a->row + k * a->column];
        const kernel_weight w = {.w = b->data, .k_stride = b->row, .n_stride = b->column, .N = N, .K = K};
        p.kernel->pack(&w, 0, N, packed);
        p.args = (kernel_linear_args){.x = rows, .x_stride = K, .w = packed, .y = c, .y_stride = c_stride, .residual = c};
        p.args.residual_stride = c_stride, p.args.M = M, p.args.N = N, p.args.K = K;
        base_pool_run(runtime->pool, (size_t)((M + (int64_t)TILES * p.kernel->tile_m - 1) / ((int64_t)TILES * p.kernel->tile_m)), multiply,
                      &p);
    }
    base_free(heap, rows);
    base_free(heap, packed);
    return status;
}

/* ---------------------------------------------------------------- Cholesky's factor, lower, in place */

typedef struct matrix {
    float *a;         /* [K, K] */
    int64_t K, at, n; /* the block of rows and columns [at, at + n) */
} matrix;

static bool factor_block(const matrix *m) {
    for (int64_t j = m->at; j < m->at + m->n; j++)
        for (int64_t i = j; i < m->at + m->n; i++) {
            double s = m->a[i * m->K + j];
            for (int64_t k = m->at; k < j; k++) s -= (double)m->a[i * m->K + k] * m->a[j * m->K + k];
            if (i == j && (!(s > 0) || !isfinite(s))) return false;
            m->a[i * m->K + j] = (float)(i == j ? sqrt(s) : s / m->a[j * m->K + j]);
        }
    return true;
}

/* Rows below the block, of its columns. */
static void solve_rows(void *arg, size_t task, int slot) {
    const matrix *m = arg;
    const int64_t first = m->at + m->n + (int64_t)task * BLOCK;
    (void)slot;
    for (int64_t i = first; i < first + BLOCK && i < m->K; i++)
        for (int64_t j = m->at; j < m->at + m->n; j++) {
            double s = m->a[i * m->K + j];
            for (int64_t k = m->at; k < j; k++) s -= (double)m->a[i * m->K + k] * m->a[j * m->K + k];
            m->a[i * m->K + j] = (float)(s / m->a[j * m->K + j]);
        }
}

static nib_status cholesky(nib_runtime *runtime, float *a, int64_t K, bool *positive, nib_error *err) {
    nib_status status = NIB_OK;
    matrix m = {.a = a, .K = K};
    *positive = true;
    for (m.at = 0; m.at < K && *positive; m.at += BLOCK) {
        m.n = K - m.at < BLOCK ? K - m.at : BLOCK;
        const int64_t end = m.at + m.n, left = K - end;
        *positive = factor_block(&m);
        if (!*positive || !left) break;
        base_pool_run(runtime->pool, (size_t)((left + BLOCK - 1) / BLOCK), solve_rows, &m);
        const quantize_matrix below = {.data = a + end * K + m.at, .row = K, .column = 1, .sign = -1};
        const quantize_matrix turned = {.data = a + end * K + m.at, .row = 1, .column = K, .sign = 1};
        NIB_TRY(quantize_multiply(runtime, &below, &turned, a + end * K + end, K, left, left, m.n, err));
    }
fail:
    return status;
}

/* ---------------------------------------------------------------- the inverse of a lower factor */

/* Rows [at, at + n) of x, which hold what rows before them leave of the unit matrix, columns [0, at + n). */
static void solve_block(const float *l, float *x, int64_t K, int64_t at, int64_t n) {
    for (int64_t i = at; i < at + n; i++) {
        for (int64_t k = at; k < i; k++) {
            const float f = l[i * K + k];
            for (int64_t j = 0; j <= k && f != 0; j++) x[i * K + j] -= f * x[k * K + j];
        }
        for (int64_t j = 0; j <= i; j++) x[i * K + j] /= l[i * K + i];
    }
}

static nib_status invert(nib_runtime *runtime, const float *l, float *x, int64_t K, nib_error *err) {
    nib_status status = NIB_OK;
    memset(x, 0, (size_t)K * (size_t)K * sizeof *x);
    for (int64_t i = 0; i < K; i++) x[i * K + i] = 1;
    for (int64_t at = 0; at < K; at += BLOCK) {
        const int64_t n = K - at < BLOCK ? K - at : BLOCK;
        const quantize_matrix left = {.data = l + at * K, .row = K, .column = 1, .sign = -1};
        const quantize_matrix above = {.data = x, .row = K, .column = 1, .sign = 1};
        NIB_TRY(quantize_multiply(runtime, &left, &above, x + at * K, K, n, at, at, err));
        solve_block(l, x, K, at, n);
        NIB_TRY(base_stop_check(err));
    }
fail:
    return status;
}

/* With rows and columns of A in reverse order, A' = L L^T, and U is L^-1 with its own in reverse order. */
nib_status quantize_inverse_factor(nib_runtime *runtime, const float *a, int64_t K, float *u, bool *positive, nib_error *err) {
    nib_status status = NIB_OK;
    const int64_t n = K * K;
    float *l = base_alloc(&runtime->heap, (size_t)n * sizeof *l);
    if (!l) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for a factor");
    for (int64_t i = 0; i < n; i++) l[i] = a[n - 1 - i];
    NIB_TRY(cholesky(runtime, l, K, positive, err));
    if (!*positive) goto fail;
    NIB_TRY(invert(runtime, l, u, K, err));
    for (int64_t i = 0; i < n / 2; i++) {
        const float t = u[i];
        u[i] = u[n - 1 - i];
        u[n - 1 - i] = t;
    }
fail:
    base_free(&runtime->heap, l);
    return status;
}
