/* SPDX-License-Identifier: Apache-2.0
 *
 * Products of domain com.microsoft: FusedMatMul FusedGemm, MatMulNBits, DynamicQuantizeMatMul MatMulIntegerToFloat,
 * GatherBlockQuantized, Inverse.
 */
#include "op_contrib.h"

/* ---- FusedMatMul: alpha A' B'. transA: the last two axes swapped; transBatchA: the first axis goes to the last but one place */

typedef struct side {
    int rank;
    int64_t d[GRAPH_MAX_RANK], stride[GRAPH_MAX_RANK];
} side;

static int turned_axis(int i, int rank, bool trans, bool batch) {
    if (batch && rank > 2) i = i < rank - 2 ? i + 1 : i == rank - 2 ? 0 : i;
    if (!trans || rank < 2) return i;
    return i == rank - 1 ? (batch && rank > 2 ? 0 : rank - 2) : (batch && rank > 2 ? i == 0 : i == rank - 2) ? rank - 1 : i;
}

static void side_of(const graph_tensor *t, bool trans, bool batch, side *s) {
    int64_t own[GRAPH_MAX_RANK];
    op_strides(t->rank, t->dims, own);
    s->rank = t->rank;
    for (int i = 0; i < t->rank; i++) {
        int a = turned_axis(i, t->rank, trans, batch);
        s->d[i] = t->dims[a];
        s->stride[i] = own[a];
    }
}

/* A vector is a row on the left side, a column on the right. */
static void as_matrix(side *s, bool left) {
    if (s->rank != 1) return;
    s->rank = 2;
    if (left) s->d[1] = s->d[0], s->stride[1] = s->stride[0];
    s->d[!left] = 1;
    s->stride[!left] = 0;
}

typedef struct batches {
    int64_t M, N, K, count;
    op_dims dims; /* the batch axes, then M, N */
    side a, b;
} batches;

static nib_status batches_of(op_eval *c, side *a, side *b, batches *p) {
    as_matrix(a, true);
    as_matrix(b, false);
    p->a = *a;
    p->b = *b;
    p->M = a->d[a->rank - 2];
    p->K = a->d[a->rank - 1];
    p->N = b->d[b->rank - 1];
    if (b->d[b->rank - 2] != p->K)
        return op_bad(c, NIB_SHAPE, "inner sizes differ: %lld and %lld", (long long)p->K, (long long)b->d[b->rank - 2]);
    int rank = a->rank > b->rank ? a->rank : b->rank;
    for (int i = 0; i < rank - 2; i++) {
        int ia = i - (rank - a->rank), ib = i - (rank - b->rank);
        int64_t p_a = ia < 0 ? 1 : a->d[ia], p_b = ib < 0 ? 1 : b->d[ib];
        if (p_a != p_b && p_a != 1 && p_b != 1) return op_bad(c, NIB_SHAPE, "batches do not broadcast");
        p->dims.d[i] = p_a == 1 ? p_b : p_a;
    }
    p->dims.rank = rank;
    p->dims.d[rank - 2] = p->M;
    p->dims.d[rank - 1] = p->N;
    p->count = op_count(rank - 2, p->dims.d);
    return p->count < 0 ? op_bad(c, NIB_LIMIT, "too many matrices") : NIB_OK;
}

/* Where matrix number i of a side begins. */
static int64_t matrix_at(const side *s, const op_dims *dims, int64_t i) {
    int64_t at = 0;
    for (int k = dims->rank - 3; k >= 0; k--) {
        int own = k - (dims->rank - s->rank);
        if (own >= 0 && s->d[own] != 1) at += i % dims->d[k] * s->stride[own];
        i /= dims->d[k];
    }
    return at;
}

static double product_at(const batches *p, const double *a, const double *b, int64_t m, int64_t n) {
    int64_t am = p->a.stride[p->a.rank - 2], ak = p->a.stride[p->a.rank - 1], bk = p->b.stride[p->b.rank - 2],
            bn = p->b.stride[p->b.rank - 1];
    double sum = 0;
    for (int64_t k = 0; k < p->K; k++) sum += a[m * am + k * ak] * b[k * bk + n * bn];
    return sum;
}

/* The output's shape: a vector's axis is not one of it. */
static op_dims without_vectors(const batches *p, bool row, bool column) {
    op_dims d = p->dims;
    if (column) d.rank--;
    if (row) {
        if (!column) d.d[d.rank - 2] = d.d[d.rank - 1];
        d.rank--;
    }
    return d;
}

static nib_status eval_fused_matmul(op_eval *c) {
    const graph_tensor *x = op_arg(c, 0), *w = op_arg(c, 1);
    const graph_node *n = c->node;
    float alpha = graph_attr_float(n, "alpha", 1);
    side a, b;
    batches p = {0};
    double *xv, *wv;
    void *y;
    if (!op_is_float(x->dtype) || w->dtype != x->dtype || x->rank < 1 || w->rank < 1) return op_bad(c, NIB_TYPE, "inputs do not fit");
    side_of(x, graph_attr_int(n, "transA", 0) != 0, graph_attr_int(n, "transBatchA", 0) != 0, &a);
    side_of(w, graph_attr_int(n, "transB", 0) != 0, graph_attr_int(n, "transBatchB", 0) != 0, &b);
    OP_TRY(batches_of(c, &a, &b, &p));
    op_dims dims = without_vectors(&p, x->rank == 1, w->rank == 1);
    OP_TRY(op_out(c, 0, x->dtype, &dims, &y));
    if (!y || op_count(p.dims.rank, p.dims.d) == 0) return NIB_OK;
    OP_TRY(op_reals(c, x, &xv));
    OP_TRY(op_reals(c, w, &wv));
    for (int64_t i = 0, o = 0; i < p.count; i++)
        for (int64_t m = 0; m < p.M; m++) {
            OP_TRY(op_spend(c, p.N, p.K));
            for (int64_t k = 0; k < p.N; k++, o++)
                op_put(x->dtype, y, o,
                       (double)alpha * product_at(&p, xv + matrix_at(&p.a, &p.dims, i), wv + matrix_at(&p.b, &p.dims, i), m, k));
        }
    return NIB_OK;
}

/* The type of an input as turned; false if its rank is not known. */
static bool turned_type(const op_infer *c, int input, const char *trans, const char *batch, graph_type *t) {
    const graph_type *x = op_in_type(c, input);
    *t = *x;
    for (int i = 0; i < x->rank; i++)
        t->dims[i] =
            x->dims[turned_axis(i, x->rank, trans && graph_attr_int(c->node, trans, 0), batch && graph_attr_int(c->node, batch, 0))];
    return x->rank >= 2;
}

static nib_status infer_product(op_infer *c, nib_dtype dtype, bool turned) {
    graph_type a, b, y = {.rank = -1};
    bool known = turned_type(c, 0, turned ? "transA" : NULL, turned ? "transBatchA" : NULL, &a);
    known = turned_type(c, 1, turned ? "transB" : NULL, turned ? "transBatchB" : NULL, &b) && known;
    if (!known) return op_set(c, 0, dtype, -1, NULL);
    graph_dim M = a.dims[a.rank - 2], N = b.dims[b.rank - 1];
    a.rank -= 2;
    b.rank -= 2;
    y.rank = op_broadcast(OP_SYMS(c), &a, &b, y.dims);
    if (y.rank < 0 || y.rank > GRAPH_MAX_RANK - 2) return op_fail(c, NIB_SHAPE, "batches do not broadcast");
    y.dims[y.rank++] = M;
    y.dims[y.rank++] = N;
    return op_set_like(c, 0, dtype, &y);
}

static nib_status infer_fused_matmul(op_infer *c) {
    OP_TRY(op_check_float(c, 0));
    return infer_product(c, op_in_type(c, 0)->dtype, true);
}

/* ---- FusedGemm: Gemm, then an activation */

static nib_status activated(op_eval *c, double *v) {
    const char *name = graph_attr_string(c->node, "activation", "");
    double alpha = graph_attr_float(c->node, "activation_alpha", strcmp(name, "HardSigmoid") == 0 ? 0.2f : 0.01f), x = *v,
           beta = graph_attr_float(c->node, "activation_beta", 0.5f);
    if (strcmp(name, "Relu") == 0) *v = x > 0 ? x : 0;
    else if (strcmp(name, "Sigmoid") == 0) *v = 1 / (1 + exp(-x));
    else if (strcmp(name, "Tanh") == 0) *v = tanh(x);
    else if (strcmp(name, "LeakyRelu") == 0) *v = x >= 0 ? x : alpha * x;
    else if (strcmp(name, "HardSigmoid") == 0) *v = fmin(fmax(alpha * x + beta, 0), 1);
    else if (name[0]) return op_bad(c, NIB_UNSUPPORTED, "activation %s", name);
    return NIB_OK;
}

static nib_status eval_fused_gemm(op_eval *c) {
    const graph_tensor *x = op_arg(c, 0), *w = op_arg(c, 1), *bias = op_arg(c, 2);
    const graph_node *n = c->node;
    double alpha = graph_attr_float(n, "alpha", 1), beta = graph_attr_float(n, "beta", 1), *xv, *wv;
    const double *add;
    side a, b;
    batches p = {0};
    int64_t strides[2] = {0};
    void *y;
    if (!op_is_float(x->dtype) || w->dtype != x->dtype || x->rank != 2 || w->rank != 2) return op_bad(c, NIB_TYPE, "inputs do not fit");
    side_of(x, graph_attr_int(n, "transA", 0) != 0, false, &a);
    side_of(w, graph_attr_int(n, "transB", 0) != 0, false, &b);
    OP_TRY(batches_of(c, &a, &b, &p));
    if (bias) {
        for (int i = 0; i < bias->rank; i++)
            if (bias->rank > 2 || (bias->dims[i] != 1 && bias->dims[i] != p.dims.d[2 - bias->rank + i]))
                return op_bad(c, NIB_SHAPE, "C does not broadcast");
        op_broadcast_strides(bias, &p.dims, strides);
    }
    OP_TRY(op_out(c, 0, x->dtype, &p.dims, &y));
    if (!y || op_count(2, p.dims.d) == 0) return NIB_OK;
    OP_TRY(op_reals(c, x, &xv));
    OP_TRY(op_reals(c, w, &wv));
    OP_TRY(op_float_input(c, 2, &add));
    for (int64_t m = 0; m < p.M; m++) {
        OP_TRY(op_spend(c, p.N, p.K));
        for (int64_t k = 0; k < p.N; k++) {
            double v = alpha * product_at(&p, xv, wv, m, k) + (add ? beta * add[m * strides[0] + k * strides[1]] : 0);
            OP_TRY(activated(c, &v));
            op_put(x->dtype, y, m * p.N + k, v);
        }
    }
    return NIB_OK;
}

static nib_status infer_fused_gemm(op_infer *c) {
    OP_TRY(op_check_float(c, 0));
    return infer_product(c, op_in_type(c, 0)->dtype, true);
}

/* ---- bytes times bytes, as real numbers */

typedef struct bytes {
    const graph_tensor *b;
    const graph_tensor *b_scale, *b_zero; /* one number, or one a column */
    const double *bias;
    double *x; /* A less its zero point */
    double scale;
} bytes;

static nib_status multiply_bytes(op_eval *c, const graph_tensor *x, const bytes *t, nib_dtype dtype) {
    const graph_tensor *w = t->b;
    side a, b;
    batches p = {0};
    double *wv;
    void *y;
    if (x->rank < 2 || w->rank < 2) return op_bad(c, NIB_SHAPE, "inputs of rank %d and %d", x->rank, w->rank);
    if (w->dtype != NIB_DTYPE_U8 && w->dtype != NIB_DTYPE_I8) return op_bad(c, NIB_TYPE, "B is %s", nib_dtype_name(w->dtype));
    side_of(x, false, false, &a);
    side_of(w, false, false, &b);
    OP_TRY(batches_of(c, &a, &b, &p));
    int64_t ns = op_count(t->b_scale->rank, t->b_scale->dims), nz = t->b_zero ? op_count(t->b_zero->rank, t->b_zero->dims) : 1;
    if ((ns != 1 && ns != p.N) || (nz != 1 && nz != p.N))
        return op_bad(c, NIB_UNSUPPORTED, "scales or zero points are neither one nor one a column");
    OP_TRY(op_out(c, 0, dtype, &p.dims, &y));
    if (!y || op_count(p.dims.rank, p.dims.d) == 0) return NIB_OK;
    OP_TRY(op_reals(c, w, &wv));
    int64_t n = op_count(w->rank, w->dims);
    for (int64_t i = 0; t->b_zero && i < n; i++) wv[i] -= op_number(t->b_zero, nz == 1 ? 0 : i % p.N);
    for (int64_t i = 0, o = 0; i < p.count; i++)
        for (int64_t m = 0; m < p.M; m++) {
            OP_TRY(op_spend(c, p.N, p.K));
            for (int64_t k = 0; k < p.N; k++, o++) {
                double v = product_at(&p, t->x + matrix_at(&p.a, &p.dims, i), wv + matrix_at(&p.b, &p.dims, i), m, k);
                op_put(dtype, y, o, v * t->scale * op_number(t->b_scale, ns == 1 ? 0 : k) + (t->bias ? t->bias[k] : 0));
            }
        }
    return NIB_OK;
}

static nib_status bias_of_columns(op_eval *c, int input, const graph_tensor *w, const double **out) {
    return op_float_row(c, input, w->rank > 0 ? w->dims[w->rank - 1] : 1, out);
}

/* A, B, a_scale, b_scale, a_zero?, b_zero?, bias? */
static nib_status eval_integer_to_float(op_eval *c) {
    const graph_tensor *x = op_arg(c, 0);
    bytes t = {.b = op_arg(c, 1), .b_scale = op_arg(c, 3), .b_zero = op_arg(c, 5)};
    double zero;
    if (x->dtype != NIB_DTYPE_U8 && x->dtype != NIB_DTYPE_I8) return op_bad(c, NIB_TYPE, "A is %s", nib_dtype_name(x->dtype));
    if (!op_is_float(op_arg(c, 2)->dtype)) return op_bad(c, NIB_TYPE, "a scale of another type");
    OP_TRY(op_one_number(c, 2, 1, &t.scale));
    OP_TRY(op_one_number(c, 4, 0, &zero));
    OP_TRY(bias_of_columns(c, 6, t.b, &t.bias));
    OP_TRY(op_reals(c, x, &t.x));
    int64_t n = op_count(x->rank, x->dims);
    for (int64_t i = 0; i < n; i++) t.x[i] -= zero;
    return multiply_bytes(c, x, &t, op_arg(c, 2)->dtype);
}

/* A (quantized here as DynamicQuantizeLinear does), B, b_scale, b_zero?, bias? */
static nib_status eval_dynamic(op_eval *c) {
    const graph_tensor *x = op_arg(c, 0);
    bytes t = {.b = op_arg(c, 1), .b_scale = op_arg(c, 2), .b_zero = op_arg(c, 3)};
    float lo = 0, hi = 0;
    if (x->dtype != NIB_DTYPE_F32) return op_bad(c, NIB_TYPE, "A is %s", nib_dtype_name(x->dtype));
    OP_TRY(bias_of_columns(c, 4, t.b, &t.bias));
    OP_TRY(op_reals(c, x, &t.x));
    int64_t n = op_count(x->rank, x->dims);
    const float *v = x->data;
    for (int64_t i = 0; i < n; i++) {
        lo = v[i] < lo ? v[i] : lo;
        hi = v[i] > hi ? v[i] : hi;
    }
    float scale = hi == lo ? 1.0f : (hi - lo) / 255.0f, zero = nearbyintf(fminf(fmaxf(-lo / scale, 0), 255));
    for (int64_t i = 0; i < n; i++) t.x[i] = (double)(fminf(fmaxf(nearbyintf(v[i] / scale) + zero, 0), 255) - zero);
    t.scale = (double)scale;
    return multiply_bytes(c, x, &t, NIB_DTYPE_F32);
}

static nib_status infer_integer_to_float(op_infer *c) { return infer_product(c, op_in_type(c, 2)->dtype, false); }
static nib_status infer_dynamic(op_infer *c) { return infer_product(c, NIB_DTYPE_F32, false); }

/* ---- Inverse, of matrices: Gauss-Jordan with the largest pivot; a singular one gives what division by 0 gives */

static nib_status invert(op_eval *c, double *a, int64_t n, double *y) {
    for (int64_t i = 0; i < n * n; i++) y[i] = i / n == i % n;
    for (int64_t k = 0; k < n; k++) {
        int64_t best = k;
        OP_TRY(op_spend(c, 2 * n, n));
        for (int64_t r = k + 1; r < n; r++)
            if (fabs(a[r * n + k]) > fabs(a[best * n + k])) best = r;
        double pivot = a[best * n + k];
        for (int64_t j = 0; j < n; j++) {
            double u = a[best * n + j], v = y[best * n + j];
            a[best * n + j] = a[k * n + j];
            y[best * n + j] = y[k * n + j];
            a[k * n + j] = u / pivot;
            y[k * n + j] = v / pivot;
        }
        for (int64_t r = 0; r < n; r++) {
            double f = a[r * n + k];
            for (int64_t j = 0; r != k && f != 0 && j < n; j++) {
                a[r * n + j] -= f * a[k * n + j];
                y[r * n + j] -= f * y[k * n + j];
            }
        }
    }
    return NIB_OK;
}

static nib_status eval_inverse(op_eval *c) {
    const graph_tensor *x = op_arg(c, 0);
    op_dims dims = op_dims_of(x);
    double *v, *out;
    void *y;
    if (!op_is_float(x->dtype)) return op_bad(c, NIB_TYPE, "input of type %s", nib_dtype_name(x->dtype));
    if (x->rank < 2 || x->dims[x->rank - 1] != x->dims[x->rank - 2]) return op_bad(c, NIB_SHAPE, "matrices are not square");
    int64_t n = x->dims[x->rank - 1], count = op_count(x->rank - 2, x->dims);
    OP_TRY(op_out(c, 0, x->dtype, &dims, &y));
    if (!y || op_count(x->rank, x->dims) == 0) return NIB_OK;
    OP_TRY(op_reals(c, x, &v));
    OP_TRY(op_scratch(c, n * n, sizeof *out, &out));
    for (int64_t i = 0; i < count; i++) {
        OP_TRY(invert(c, v + i * n * n, n, out));
        for (int64_t k = 0; k < n * n; k++) op_put(x->dtype, y, i * n * n + k, out[k]);
    }
    return NIB_OK;
}

const op op_family_contrib_matmul[] = {
    {"DynamicQuantizeMatMul", OP_MS, 1, 3, 5, 1, OP_ROWS_MIXED, infer_dynamic, eval_dynamic, NULL},
    {"FusedGemm", OP_MS, 1, 2, 3, 1, OP_ROWS_MIXED, infer_fused_gemm, eval_fused_gemm, NULL},
    {"FusedMatMul", OP_MS, 1, 2, 2, 1, OP_ROWS_MIXED, infer_fused_matmul, eval_fused_matmul, NULL},
    {"Inverse", OP_MS, 1, 1, 1, 1, OP_ROWS_MIXED, op_infer_float_same, eval_inverse, NULL},
    {"MatMulIntegerToFloat", OP_MS, 1, 4, 7, 1, OP_ROWS_MIXED, infer_integer_to_float, eval_integer_to_float, NULL},
    {0},
};
