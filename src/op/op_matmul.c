/* SPDX-License-Identifier: Apache-2.0
 *
 * Matrix products, https://onnx.ai/onnx/operators/: MatMul of any ranks, Gemm, MatMulInteger, QLinearMatMul. Every output adds along K in
 * the order k = 0 .. K-1 from 0, half types in float, integers modulo their size. f32 runs on the kernel of nib.Linear, the right side
 * packed in every call; of what ever size the product is, so that a row's bits do not depend on the rows beside it. The other types
 * keep a block of columns in an array of fixed size so that the compiler can vectorise them.
 */
#include "op_local.h"

#define BLOCK 32

/* One product [M, K] x [K, N]: element strides, and what Gemm does at the end. */
typedef struct product {
    const void *a, *b, *c; /* c: NULL or added, times beta */
    void *y;
    int64_t M, N, K, am, ak, bk, bn, cm, cn;
    float alpha, beta;
    float *wide; /* [K, BLOCK], for half types: the columns that are multiplied now, as f32 */
} product;

#define SUM_F(W) W
#define SUM_I(W) uint64_t
#define SUM_U(W) uint64_t
#define SCALE_F(W, v, s) ((v) * (W)(s))
#define SCALE_I(W, v, s) ((s) == 1.0f ? (uint64_t)(v) : (uint64_t)(int64_t)((double)(int64_t)(v) * (double)(s)))
#define SCALE_U(W, v, s) ((s) == 1.0f ? (uint64_t)(v) : (uint64_t)((double)(v) * (double)(s)))

#define PRODUCT(N_, S, W, LOAD, STORE, C)                                                                                                  \
    static void product_##N_(const product *p) {                                                                                           \
        const S *a = p->a, *b = p->b, *c = p->c;                                                                                           \
        S *y = p->y;                                                                                                                       \
        for (int64_t n = 0; n < p->N; n += BLOCK)                                                                                          \
            for (int64_t m = 0; m < p->M; m++) {                                                                                           \
                SUM_##C(W) sum[BLOCK] = {0};                                                                                               \
                int64_t width = p->N - n < BLOCK ? p->N - n : BLOCK;                                                                       \
                for (int64_t k = 0; k < p->K; k++) {                                                                                       \
                    SUM_##C(W) u = (SUM_##C(W))LOAD(a[m * p->am + k * p->ak]);                                                             \
                    const S *row = b + k * p->bk + n * p->bn;                                                                              \
                    if (width == BLOCK && p->bn == 1)                                                                                      \
                        for (int j = 0; j < BLOCK; j++) sum[j] += u * (SUM_##C(W))LOAD(row[j]);                                            \
                    else                                                                                                                   \
                        for (int j = 0; j < width; j++) sum[j] += u * (SUM_##C(W))LOAD(row[j * p->bn]);                                    \
                }                                                                                                                          \
                for (int64_t j = 0; j < width; j++) {                                                                                      \
                    SUM_##C(W) v = SCALE_##C(W, sum[j], p->alpha);                                                                         \
                    if (c) v += SCALE_##C(W, (W)LOAD(c[m * p->cm + (n + j) * p->cn]), p->beta);                                            \
                    y[m * p->N + n + j] = STORE(v);                                                                                        \
                }                                                                                                                          \
            }                                                                                                                              \
    }
OP_NUMBERS(PRODUCT)

/* The same numbers of half types: what is read from the right side M times is widened once, which changes no bit. Columns beyond the last
 * one are zeros. */
static inline void product_half(const product *p, float (*load)(uint16_t), uint16_t (*store)(float)) {
    const uint16_t *a = p->a, *b = p->b, *c = p->c;
    uint16_t *y = p->y;
    for (int64_t n = 0; n < p->N; n += BLOCK) {
        const int64_t width = p->N - n < BLOCK ? p->N - n : BLOCK;
        for (int64_t k = 0; k < p->K; k++)
            for (int64_t j = 0; j < BLOCK; j++) p->wide[k * BLOCK + j] = j < width ? load(b[k * p->bk + (n + j) * p->bn]) : 0;
        for (int64_t m = 0; m < p->M; m++) {
            float sum[BLOCK] = {0};
            for (int64_t k = 0; k < p->K; k++) {
                const float u = load(a[m * p->am + k * p->ak]), *row = p->wide + k * BLOCK;
                for (int j = 0; j < BLOCK; j++) sum[j] += u * row[j];
            }
            for (int64_t j = 0; j < width; j++) {
                float v = sum[j] * p->alpha;
                if (c) v += load(c[m * p->cm + (n + j) * p->cn]) * p->beta;
                y[m * p->N + n + j] = store(v);
            }
        }
    }
}
static void product_wide_f16(const product *p) { product_half(p, base_f16_to_f32, base_f32_to_f16); }
static void product_wide_bf16(const product *p) { product_half(p, base_bf16_to_f32, base_f32_to_bf16); }

typedef void product_fn(const product *p);
static product_fn *find_product(nib_dtype dtype) {
    switch (dtype) {
#define CASE(N, S, W, LOAD, STORE, C)                                                                                                      \
    case NIB_DTYPE_##N: return product_##N;
        OP_NUMBERS(CASE)
#undef CASE
    default: return NULL;
    }
}

/* ---- f32: through the kernel */

/* The right side that was packed last, or columns of it widened, and room for a left side whose rows do not lie in one piece. */
typedef struct packed_side {
    const void *b;
    void *packed;
    float *rows;
    float *wide; /* see product */
} packed_side;

/* a as rows of adjacent elements. */
static nib_status rows_of(op_eval *c, const product *p, packed_side *s, const float **a) {
    *a = p->a;
    if (p->ak == 1 || p->K == 1) return NIB_OK;
    if (!s->rows) OP_TRY(op_scratch(c, op_count(2, (int64_t[]){p->M, p->K}), sizeof *s->rows, &s->rows));
    for (int64_t m = 0; m < p->M; m++)
        for (int64_t k = 0; k < p->K; k++) s->rows[m * p->K + k] = (*a)[m * p->am + k * p->ak];
    *a = s->rows;
    return NIB_OK;
}

/* Rows that are computed before it is asked again whether the run goes on. */
static int64_t rows_at_once(const product *p) {
    const int64_t most = (int64_t)1 << 26;
    return p->K == 0 || p->N == 0 ? p->M : p->K > most / p->N ? 1 : most / p->N / p->K;
}

static nib_status product_plain(op_eval *c, nib_dtype dtype, product_fn *run, packed_side *s, const product *p) {
    const int64_t step = rows_at_once(p), size = (int64_t)op_size(dtype);
    if (base_is_half(dtype) && p->M > 1 && !s->wide)
        OP_TRY(op_scratch(c, op_count(2, (int64_t[]){p->K, BLOCK}), sizeof *s->wide, &s->wide));
    if (s->wide) run = dtype == NIB_DTYPE_F16 ? product_wide_f16 : product_wide_bf16;
    for (int64_t m = 0; m < p->M; m += step) {
        product part = *p;
        part.wide = s->wide;
        part.M = p->M - m < step ? p->M - m : step;
        part.a = p->K > 0 ? (const char *)p->a + m * p->am * size : p->a;
        part.c = p->c ? (const char *)p->c + m * p->cm * size : NULL;
        part.y = (char *)p->y + m * p->N * size;
        OP_TRY(op_spend(c, part.M * p->N, p->K));
        run(&part);
    }
    return NIB_OK;
}

static nib_status product_kernel(op_eval *c, const product *p, packed_side *s) {
    const kernel_linear *kernel = kernel_linear_find(c->kernels, KERNEL_INPUT_F32, KERNEL_WEIGHT_F32, NULL);
    const kernel_weight w = {.w = p->b, .k_stride = p->bk, .n_stride = p->bn, .N = p->N, .K = p->K};
    const float *a, *bias = p->c;
    float *y = p->y;
    OP_TRY(rows_of(c, p, s, &a));
    if (!s->packed) {
        size_t bytes = kernel->packed_bytes(p->N, p->K);
        if (bytes > SIZE_MAX / 4) return op_bad(c, NIB_LIMIT, "the right side is too large");
        OP_TRY(op_scratch(c, (int64_t)bytes, 1, &s->packed));
    }
    if (s->b != p->b) kernel->pack(&w, 0, p->N, s->packed);
    s->b = p->b;
    kernel_linear_args args = {
        .x = a, .x_stride = a == s->rows ? p->K : p->am, .w = s->packed, .y = y, .y_stride = p->N, .M = p->M, .N = p->N, .K = p->K};
    const int64_t step = rows_at_once(p);
    for (int64_t m = 0; m < p->M; m += step) {
        int64_t end = p->M - m < step ? p->M : m + step;
        OP_TRY(op_spend(c, (end - m) * p->K, p->N / 8 + 1));
        kernel->run(&args, m, end, 0, p->N);
    }
    for (int64_t i = 0; (bias || p->alpha != 1) && i < p->M * p->N; i++)
        y[i] = y[i] * p->alpha + (bias ? bias[i / p->N * p->cm + i % p->N * p->cn] * p->beta : 0);
    return NIB_OK;
}

static bool has_kernel(const op_eval *c, nib_dtype dtype, const product *p) {
    return dtype == NIB_DTYPE_F32 && p->K > 0 && kernel_linear_find(c->kernels, KERNEL_INPUT_F32, KERNEL_WEIGHT_F32, NULL);
}

/* ---- MatMul, MatMulInteger: the last two axes multiply, those before broadcast; a rank of 1 is a row or a column */

typedef struct shapes {
    op_dims batch, y;
    int64_t M, N, K, batches;
    int64_t a_stride[GRAPH_MAX_RANK], b_stride[GRAPH_MAX_RANK]; /* in matrices, for each batch axis */
} shapes;

static void batch_strides(const graph_tensor *t, int matrix, const op_dims *batch, int64_t *strides) {
    int64_t own[GRAPH_MAX_RANK];
    int rank = t->rank - matrix, shift = batch->rank - (rank > 0 ? rank : 0);
    memset(strides, 0, sizeof(int64_t) * GRAPH_MAX_RANK);
    if (rank <= 0) return;
    op_strides(rank, t->dims, own);
    for (int i = 0; i < rank; i++) strides[i + shift] = t->dims[i] == 1 ? 0 : own[i];
}

static nib_status matmul_shapes(op_eval *c, const graph_tensor *a, const graph_tensor *b, shapes *s) {
    memset(s, 0, sizeof *s);
    if (a->rank < 1 || b->rank < 1) return op_bad(c, NIB_SHAPE, "inputs have rank %d and %d", a->rank, b->rank);
    s->M = a->rank > 1 ? a->dims[a->rank - 2] : 1;
    s->K = a->dims[a->rank - 1];
    s->N = b->rank > 1 ? b->dims[b->rank - 1] : 1;
    int64_t k = b->dims[b->rank > 1 ? b->rank - 2 : 0];
    if (k != s->K) return op_bad(c, NIB_SHAPE, "inner sizes differ: %lld and %lld", (long long)s->K, (long long)k);
    graph_tensor ba = *a, bb = *b;
    ba.rank = a->rank > 2 ? a->rank - 2 : 0;
    bb.rank = b->rank > 2 ? b->rank - 2 : 0;
    OP_TRY(op_broadcast_dims(c, 2, (const graph_tensor *const[]){&ba, &bb}, &s->batch));
    s->y = s->batch;
    if (a->rank > 1) s->y.d[s->y.rank++] = s->M;
    if (b->rank > 1) s->y.d[s->y.rank++] = s->N;
    if (op_count(s->y.rank, s->y.d) < 0) return op_bad(c, NIB_LIMIT, "output is too large");
    s->batches = op_count(s->batch.rank, s->batch.d);
    batch_strides(a, 2, &s->batch, s->a_stride);
    batch_strides(b, 2, &s->batch, s->b_stride);
    return NIB_OK;
}

/* Moves to the next matrix of the batch. */
static void next_matrix(const shapes *s, int64_t *at, int64_t *a, int64_t *b) {
    for (int i = s->batch.rank - 1; i >= 0; i--) {
        bool carry = ++at[i] == s->batch.d[i];
        *a += carry ? s->a_stride[i] * (1 - s->batch.d[i]) : s->a_stride[i];
        *b += carry ? s->b_stride[i] * (1 - s->batch.d[i]) : s->b_stride[i];
        if (!carry) return;
        at[i] = 0;
    }
}

static nib_status eval_matmul(op_eval *c) {
    const graph_tensor *a = op_arg(c, 0), *b = op_arg(c, 1);
    shapes s;
    char *y;
    product_fn *run = find_product(a->dtype);
    if (a->dtype != b->dtype || !run)
        return op_bad(c, NIB_TYPE, "inputs of types %s and %s", nib_dtype_name(a->dtype), nib_dtype_name(b->dtype));
    OP_TRY(matmul_shapes(c, a, b, &s));
    OP_TRY(op_out(c, 0, a->dtype, &s.y, &y));
    if (!y || op_count(s.y.rank, s.y.d) == 0) return NIB_OK;
    size_t size = op_size(a->dtype);
    int64_t at[GRAPH_MAX_RANK] = {0}, ia = 0, ib = 0;
    packed_side side = {0};
    for (int64_t i = 0; i < s.batches; i++) {
        product p = {.M = s.M, .N = s.N, .K = s.K, .am = s.K, .ak = 1, .bk = s.N, .bn = 1, .alpha = 1};
        if (s.K > 0) { /* with K = 0 there is nothing to point at */
            p.a = (const char *)a->data + (size_t)(ia * s.M * s.K) * size;
            p.b = (const char *)b->data + (size_t)(ib * s.K * s.N) * size;
        }
        p.y = y + (size_t)(i * s.M * s.N) * size;
        if (has_kernel(c, a->dtype, &p)) OP_TRY(product_kernel(c, &p, &side));
        else OP_TRY(product_plain(c, a->dtype, run, &side, &p));
        next_matrix(&s, at, &ia, &ib);
    }
    return NIB_OK;
}

static nib_status infer_product(op_infer *c, int second, nib_dtype dtype) {
    const graph_type *a = op_in_type(c, 0), *b = op_in_type(c, second);
    graph_dim dims[GRAPH_MAX_RANK + 2];
    int64_t p, q;
    if (a->rank < 0 || b->rank < 0) return op_set(c, 0, dtype, -1, NULL);
    if (a->rank < 1 || b->rank < 1) return op_fail(c, NIB_SHAPE, "inputs have rank %d and %d", a->rank, b->rank);
    if (graph_dim_is_const(a->dims[a->rank - 1], &p) && graph_dim_is_const(b->dims[b->rank > 1 ? b->rank - 2 : 0], &q) && p != q)
        return op_fail(c, NIB_SHAPE, "inner sizes differ: %lld and %lld", (long long)p, (long long)q);
    graph_type ba = *a, bb = *b;
    ba.rank = a->rank > 2 ? a->rank - 2 : 0;
    bb.rank = b->rank > 2 ? b->rank - 2 : 0;
    int rank = op_broadcast(OP_SYMS(c), &ba, &bb, dims);
    if (rank < 0) return op_fail(c, NIB_SHAPE, "batches do not broadcast");
    if (a->rank > 1) dims[rank++] = a->dims[a->rank - 2];
    if (b->rank > 1) dims[rank++] = b->dims[b->rank - 1];
    return op_set(c, 0, dtype, rank, dims);
}

static nib_status infer_matmul(op_infer *c) {
    nib_dtype a = op_in_type(c, 0)->dtype, b = op_in_type(c, 1)->dtype;
    if (a != b && a != NIB_DTYPE_UNDEFINED && b != NIB_DTYPE_UNDEFINED)
        return op_fail(c, NIB_TYPE, "inputs differ in type: %s and %s", nib_dtype_name(a), nib_dtype_name(b));
    return infer_product(c, 1, a == NIB_DTYPE_UNDEFINED ? b : a);
}
static nib_status infer_matmul_integer(op_infer *c) { return infer_product(c, 1, NIB_DTYPE_I32); }

/* ---- Gemm */

static nib_status eval_gemm(op_eval *c) {
    const graph_tensor *a = op_arg(c, 0), *b = op_arg(c, 1), *bias = op_arg(c, 2);
    bool ta = graph_attr_int(c->node, "transA", 0) != 0, tb = graph_attr_int(c->node, "transB", 0) != 0;
    product_fn *run = find_product(a->dtype);
    if (a->dtype != b->dtype || (bias && bias->dtype != a->dtype) || !run)
        return op_bad(c, NIB_TYPE, "inputs differ in type or are no numbers");
    if (a->rank != 2 || b->rank != 2) return op_bad(c, NIB_SHAPE, "inputs have rank %d and %d, not 2", a->rank, b->rank);
    product p = {.a = a->data, .b = b->data, .M = a->dims[ta], .K = a->dims[!ta], .N = b->dims[!tb]};
    if (b->dims[tb] != p.K) return op_bad(c, NIB_SHAPE, "inner sizes differ: %lld and %lld", (long long)p.K, (long long)b->dims[tb]);
    op_dims y = {2, {p.M, p.N}}, both;
    p.am = ta ? 1 : p.K;
    p.ak = ta ? p.M : 1;
    p.bk = tb ? 1 : p.N;
    p.bn = tb ? p.K : 1;
    p.alpha = graph_attr_float(c->node, "alpha", 1);
    p.beta = graph_attr_float(c->node, "beta", 1);
    if (bias) {
        graph_tensor out = {.rank = 2, .dims = {p.M, p.N}};
        OP_TRY(op_broadcast_dims(c, 2, (const graph_tensor *const[]){&out, bias}, &both));
        if (both.rank != 2 || both.d[0] != p.M || both.d[1] != p.N) return op_bad(c, NIB_SHAPE, "C does not broadcast to the output");
        p.c = bias->data;
        p.cn = bias->rank > 0 && bias->dims[bias->rank - 1] != 1;
        p.cm = bias->rank > 1 && bias->dims[0] != 1 ? bias->dims[1] : 0;
    }
    OP_TRY(op_out(c, 0, a->dtype, &y, &p.y));
    if (!p.y || p.M == 0 || p.N == 0) return NIB_OK;
    packed_side side = {0};
    if (has_kernel(c, a->dtype, &p)) return product_kernel(c, &p, &side);
    return product_plain(c, a->dtype, run, &side, &p);
}

static nib_status infer_gemm(op_infer *c) {
    const graph_type *a = op_in_type(c, 0), *b = op_in_type(c, 1);
    bool ta = graph_attr_int(c->node, "transA", 0) != 0, tb = graph_attr_int(c->node, "transB", 0) != 0;
    int64_t p, q;
    if ((a->rank >= 0 && a->rank != 2) || (b->rank >= 0 && b->rank != 2))
        return op_fail(c, NIB_SHAPE, "inputs have rank %d and %d, not 2", a->rank, b->rank);
    if (a->rank == 2 && b->rank == 2 && graph_dim_is_const(a->dims[!ta], &p) && graph_dim_is_const(b->dims[tb], &q) && p != q)
        return op_fail(c, NIB_SHAPE, "inner sizes differ: %lld and %lld", (long long)p, (long long)q);
    graph_dim dims[2] = {a->rank == 2 ? a->dims[ta] : NULL, b->rank == 2 ? b->dims[!tb] : NULL};
    return op_set(c, 0, a->dtype, 2, dims);
}

/* ---- MatMulInteger */

static bool is_byte(nib_dtype d) { return d == NIB_DTYPE_U8 || d == NIB_DTYPE_I8; }
static int byte_at(const graph_tensor *t, int64_t i) {
    return t->dtype == NIB_DTYPE_I8 ? ((const int8_t *)t->data)[i] : ((const uint8_t *)t->data)[i];
}

/* A zero point per matrix, or per row of A (column of B), with a step of 0 or 1. */
static nib_status zero_step(op_eval *c, int input, nib_dtype dtype, int64_t rows, int64_t *step) {
    const graph_tensor *z = op_arg(c, input);
    *step = 0;
    if (!z) return NIB_OK;
    if (z->dtype != dtype) return op_bad(c, NIB_TYPE, "zero point is not of its input's type");
    int64_t n = op_count(z->rank, z->dims);
    if (n != 1 && n != rows) return op_bad(c, NIB_UNSUPPORTED, "a zero point of %lld elements", (long long)n);
    *step = n != 1;
    return NIB_OK;
}

static nib_status eval_matmul_integer(op_eval *c) {
    const graph_tensor *a = op_arg(c, 0), *b = op_arg(c, 1), *za = op_arg(c, 2), *zb = op_arg(c, 3);
    shapes s;
    int64_t a_step, b_step, at[GRAPH_MAX_RANK] = {0}, ia = 0, ib = 0;
    uint32_t *y;
    if (!is_byte(a->dtype) || !is_byte(b->dtype))
        return op_bad(c, NIB_TYPE, "inputs of types %s and %s", nib_dtype_name(a->dtype), nib_dtype_name(b->dtype));
    OP_TRY(matmul_shapes(c, a, b, &s));
    OP_TRY(zero_step(c, 2, a->dtype, s.M, &a_step));
    OP_TRY(zero_step(c, 3, b->dtype, s.N, &b_step));
    OP_TRY(op_out(c, 0, NIB_DTYPE_I32, &s.y, &y));
    if (op_count(s.y.rank, s.y.d) == 0) return NIB_OK; /* a side may be huge all the same */
    for (int64_t i = 0; y && i < s.batches; i++) {
        for (int64_t m = 0; m < s.M; m++) {
            uint32_t *row = y + (i * s.M + m) * s.N;
            OP_TRY(op_spend(c, s.N, s.K));
            if (s.N > 0) memset(row, 0, sizeof *row * (size_t)s.N);
            for (int64_t k = 0; k < s.K; k++) {
                int u = byte_at(a, (ia * s.M + m) * s.K + k) - (za ? byte_at(za, m * a_step) : 0);
                for (int64_t n = 0; n < s.N; n++)
                    row[n] += (uint32_t)(u * (byte_at(b, (ib * s.K + k) * s.N + n) - (zb ? byte_at(zb, n * b_step) : 0)));
            }
        }
        next_matrix(&s, at, &ia, &ib);
    }
    return NIB_OK;
}

/* ---- QLinearMatMul: scales and zero points of a and y are one for all or one per row, of b one for all or one per column */

static bool is_quantized(nib_dtype d) { return is_byte(d) || (op_is_small(d) && d != NIB_DTYPE_F8E8M0); }

static nib_status eval_qlinear(op_eval *c) {
    const graph_tensor *a = op_arg(c, 0), *b = op_arg(c, 3), *scale[3] = {op_arg(c, 1), op_arg(c, 4), op_arg(c, 6)},
                       *zero[3] = {op_arg(c, 2), op_arg(c, 5), op_arg(c, 7)};
    shapes s;
    int64_t at[GRAPH_MAX_RANK] = {0}, ia = 0, ib = 0, step[3], o = 0;
    double *va, *vb;
    void *y;
    OP_TRY(matmul_shapes(c, a, b, &s));
    for (int i = 0; i < 3; i++) {
        int64_t n = op_count(scale[i]->rank, scale[i]->dims), lines = i == 1 ? s.N : s.M;
        if (!op_is_float(scale[i]->dtype) || !is_quantized(zero[i]->dtype))
            return op_bad(c, NIB_TYPE, "a scale or zero point of another type");
        if ((n != 1 && n != lines) || op_count(zero[i]->rank, zero[i]->dims) != n)
            return op_bad(c, NIB_SHAPE, "%lld scales for %lld rows or columns", (long long)n, (long long)lines);
        step[i] = n == 1 ? 0 : 1;
    }
    if (a->dtype != zero[0]->dtype || b->dtype != zero[1]->dtype) return op_bad(c, NIB_TYPE, "a zero point is not of its input's type");
    OP_TRY(op_reals(c, a, &va));
    OP_TRY(op_reals(c, b, &vb));
    OP_TRY(op_out(c, 0, zero[2]->dtype, &s.y, &y));
    if (!y || op_count(s.y.rank, s.y.d) == 0) return NIB_OK;
    for (int64_t i = 0; i < s.batches; i++) {
        for (int64_t m = 0; m < s.M; m++) {
            OP_TRY(op_spend(c, s.N, s.K));
            for (int64_t n = 0; n < s.N; n++, o++) {
                double za = op_number(zero[0], m * step[0]), zb = op_number(zero[1], n * step[1]), zy = op_number(zero[2], m * step[2]),
                       sum = 0;
                for (int64_t k = 0; k < s.K; k++) sum += (va[(ia * s.M + m) * s.K + k] - za) * (vb[(ib * s.K + k) * s.N + n] - zb);
                /* sums wrap round, and are multiplied in f32, as in ONNX Runtime */
                const float factor = (float)op_number(scale[0], m * step[0]) * (float)op_number(scale[1], n * step[1]) /
                                     (float)op_number(scale[2], m * step[2]);
                op_put(zero[2]->dtype, y, o, (double)nearbyintf((float)(int32_t)(uint32_t)(int64_t)sum * factor) + zy);
            }
        }
        next_matrix(&s, at, &ia, &ib);
    }
    return NIB_OK;
}

static nib_status infer_qlinear(op_infer *c) { return infer_product(c, 3, op_in_type(c, 7)->dtype); }

const op op_family_matmul[] = {
    {"Gemm", "", 1, 3, 3, 1, OP_ROWS_LAST, infer_gemm, eval_gemm, NULL},
    {"Gemm", "", 11, 2, 3, 1, OP_ROWS_LAST, infer_gemm, eval_gemm, NULL},
    {"MatMul", "", 1, 2, 2, 1, OP_ROWS_LAST, infer_matmul, eval_matmul, NULL},
    {"MatMulInteger", "", 10, 2, 4, 1, OP_ROWS_LAST, infer_matmul_integer, eval_matmul_integer, NULL},
    {"QLinearMatMul", "", 10, 8, 8, 1, OP_ROWS_MIXED, infer_qlinear, eval_qlinear, NULL},
    {0},
};
