/* SPDX-License-Identifier: Apache-2.0
 *
 * Pools, https://onnx.ai/onnx/operators/: MaxPool AveragePool LpPool, GlobalMaxPool GlobalAveragePool GlobalLpPool, MaxUnpool,
 * over any number of spatial axes of [N, C, D1 .. Dn]. In double (exact for 8-bit integers), rounded once.
 */
#include "op_window.h"

typedef enum pool_kind { POOL_MAX, POOL_MEAN, POOL_LP } pool_kind;

typedef struct pool {
    op_window w;
    pool_kind kind;
    bool whole; /* a mean counts the padding, too */
    double p;
    int64_t planes, cells_in, cells_out;
    int64_t *index; /* of MaxPool's second output, or NULL */
    bool columns;   /* indices count the last but one axis fastest (storage_order) */
    op_dims y;
} pool;

/* Row-major index -> the same cell with the spatial axes turned round: the first runs fastest. */
static int64_t column_major(const op_window *w, int64_t at) {
    int64_t k[OP_WINDOW_AXES], out = 0;
    for (int a = w->n - 1; a >= 0; a--) {
        k[a] = at % w->in[a];
        at /= w->in[a];
    }
    for (int a = w->n - 1; a >= 0; a--) out = out * w->in[a] + k[a];
    return out;
}

static double pool_cells(const pool *l, const double *x, const int64_t *position, int64_t *best) {
    op_cells cells;
    double v = l->kind == POOL_MAX ? -INFINITY : 0, count = 0;
    *best = -1;
    for (bool more = op_cells_first(&l->w, position, &cells); more; more = op_cells_next(&l->w, &cells), count++) {
        double e = x[cells.at];
        switch (l->kind) {
        case POOL_MAX:
            if (*best < 0 || e > v || (e != e && v == v)) {
                v = e;
                *best = cells.at;
            }
            break;
        case POOL_MEAN: v += e; break;
        case POOL_LP: v += l->p == 1 ? fabs(e) : l->p == 2 ? e * e : pow(fabs(e), l->p);
        }
    }
    if (l->kind == POOL_MEAN) return v / (l->whole ? op_window_covered(&l->w, position) : count);
    return l->kind == POOL_LP && l->p != 1 ? (l->p == 2 ? sqrt(v) : pow(v, 1 / l->p)) : v;
}

static nib_status run(op_eval *c, pool *l) {
    const graph_tensor *x = op_arg(c, 0);
    double *v;
    void *y;
    l->cells_in = op_count(l->w.n, l->w.in);
    l->cells_out = op_count(l->w.n, l->w.out);
    l->planes = op_count(2, x->dims);
    l->y = (op_dims){x->rank, {x->dims[0], x->dims[1]}};
    memcpy(l->y.d + 2, l->w.out, sizeof(int64_t) * (size_t)l->w.n);
    OP_TRY(op_out(c, 0, x->dtype, &l->y, &y));
    if (l->kind == POOL_MAX) OP_TRY(op_out(c, 1, NIB_DTYPE_I64, &l->y, &l->index));
    if (op_count(l->y.rank, l->y.d) == 0 || (!y && !l->index)) return NIB_OK;
    OP_TRY(op_reals(c, x, &v));
    int64_t taps = op_count(l->w.n, l->w.kernel);
    if (taps < 0) taps = INT64_MAX;
    for (int64_t p = 0; p < l->planes; p++) {
        int64_t position[OP_WINDOW_AXES] = {0}, best;
        for (int64_t o = 0; o < l->cells_out; o++, op_window_step(&l->w, position)) {
            if (o % 64 == 0) OP_TRY(op_spend(c, l->cells_out - o < 64 ? l->cells_out - o : 64, taps < l->cells_in ? taps : l->cells_in));
            double e = pool_cells(l, v + p * l->cells_in, position, &best);
            if (y) op_put(x->dtype, y, p * l->cells_out + o, e);
            if (l->index) l->index[p * l->cells_out + o] = p * l->cells_in + (best < 0 ? 0 : l->columns ? column_major(&l->w, best) : best);
        }
    }
    return NIB_OK;
}

static nib_status check_pool(op_eval *c, pool_kind kind) {
    const graph_tensor *x = op_arg(c, 0);
    bool byte = kind == POOL_MAX && (x->dtype == NIB_DTYPE_I8 || x->dtype == NIB_DTYPE_U8);
    if (!op_is_float(x->dtype) && !byte) return op_bad(c, NIB_TYPE, "input of type %s", nib_dtype_name(x->dtype));
    return x->rank < 2 ? op_bad(c, NIB_SHAPE, "input of rank %d", x->rank) : NIB_OK;
}

static nib_status pool_p(op_eval *c, double *p) {
    const graph_attr *a = graph_find_attr(c->node, "p"); /* a float in opset 1 */
    *p = a && a->kind == GRAPH_ATTR_FLOAT ? (double)a->u.f : (double)graph_attr_int(c->node, "p", 2);
    return *p > 0 ? NIB_OK : op_bad(c, NIB_BAD_MODEL, "p is %g", *p);
}

static nib_status eval_pool(op_eval *c, pool_kind kind) {
    const graph_tensor *x = op_arg(c, 0);
    pool l = {.kind = kind,
              .whole = graph_attr_int(c->node, "count_include_pad", 0) != 0,
              .columns = graph_attr_int(c->node, "storage_order", 0) != 0};
    OP_TRY(check_pool(c, kind));
    if (kind == POOL_LP) OP_TRY(pool_p(c, &l.p));
    OP_TRY(op_window_of(c, x->rank - 2, x->dims + 2, NULL, &l.w));
    return run(c, &l);
}

static nib_status eval_max(op_eval *c) { return eval_pool(c, POOL_MAX); }
static nib_status eval_mean(op_eval *c) { return eval_pool(c, POOL_MEAN); }
static nib_status eval_lp(op_eval *c) { return eval_pool(c, POOL_LP); }

static nib_status infer_pool(op_infer *c) {
    const graph_type *x = op_in_type(c, 0);
    graph_dim dims[GRAPH_MAX_RANK];
    if (x->rank < 0) {
        OP_TRY(op_set(c, 0, x->dtype, -1, NULL));
        return op_set(c, 1, NIB_DTYPE_I64, -1, NULL);
    }
    OP_TRY(op_window_infer(c, x, NULL, dims));
    memcpy(dims, x->dims, 2 * sizeof *dims);
    OP_TRY(op_set(c, 0, x->dtype, x->rank, dims));
    return op_set(c, 1, NIB_DTYPE_I64, x->rank, dims);
}

/* ---- over whole planes */

static nib_status eval_global(op_eval *c, pool_kind kind) {
    const graph_tensor *x = op_arg(c, 0);
    pool l = {.kind = kind};
    OP_TRY(check_pool(c, kind));
    if (kind == POOL_LP) OP_TRY(pool_p(c, &l.p));
    l.w.n = x->rank - 2;
    for (int a = 0; a < l.w.n; a++) {
        l.w.in[a] = l.w.kernel[a] = x->dims[2 + a];
        l.w.out[a] = l.w.stride[a] = l.w.dilation[a] = 1;
    }
    return run(c, &l);
}

static nib_status eval_global_max(op_eval *c) { return eval_global(c, POOL_MAX); }
static nib_status eval_global_mean(op_eval *c) { return eval_global(c, POOL_MEAN); }
static nib_status eval_global_lp(op_eval *c) { return eval_global(c, POOL_LP); }

static nib_status infer_global(op_infer *c) {
    graph_type t = *op_in_type(c, 0);
    OP_TRY(op_check_float(c, 0));
    if (t.rank == 0 || t.rank == 1) return op_fail(c, NIB_SHAPE, "input of rank %d", t.rank);
    for (int i = 2; i < t.rank; i++) t.dims[i] = op_const(c, 1);
    return op_set_like(c, 0, t.dtype, &t);
}

/* ---- MaxUnpool: indices count the cells of the output that the pooling's input was; output_shape may be larger */

static nib_status unpool_dims(op_eval *c, op_dims *pooled, op_dims *dims) {
    const graph_tensor *x = op_arg(c, 0);
    op_window w;
    const char *wrong = op_window_read(c->node, x->rank - 2, NULL, &w);
    if (wrong) return op_bad(c, NIB_BAD_MODEL, "window: %s", wrong);
    *pooled = op_dims_of(x);
    for (int a = 0; a < w.n; a++) {
        int64_t size;
        if (x->dims[2 + a] < 1 || !base_mul_i64(x->dims[2 + a] - 1, w.stride[a], &size) || size > INT64_MAX / 2)
            return op_bad(c, NIB_SHAPE, "a size of %lld", (long long)x->dims[2 + a]);
        pooled->d[2 + a] = size + w.kernel[a] - w.before[a] - w.after[a];
        if (pooled->d[2 + a] < 0) return op_bad(c, NIB_SHAPE, "pads are larger than the output");
    }
    *dims = *pooled;
    if (op_arg(c, 2)) {
        int n;
        OP_TRY(op_read_ints(c, 2, GRAPH_MAX_RANK, dims->d, &n));
        if (n != x->rank) return op_bad(c, NIB_SHAPE, "output_shape has %d elements", n);
        for (int i = 0; i < n; i++)
            if (dims->d[i] < pooled->d[i]) return op_bad(c, NIB_SHAPE, "output_shape is smaller than what was pooled");
    }
    return op_count(pooled->rank, pooled->d) < 0 || op_count(dims->rank, dims->d) < 0 ? op_bad(c, NIB_LIMIT, "the output is too large")
                                                                                      : NIB_OK;
}

static nib_status eval_unpool(op_eval *c) {
    const graph_tensor *x = op_arg(c, 0), *index = op_arg(c, 1);
    op_dims pooled, dims;
    char *y;
    if (!op_is_float(x->dtype) || index->dtype != NIB_DTYPE_I64) return op_bad(c, NIB_TYPE, "input of type %s", nib_dtype_name(x->dtype));
    if (x->rank < 2 || index->rank != x->rank || memcmp(x->dims, index->dims, sizeof(int64_t) * (size_t)x->rank) != 0)
        return op_bad(c, NIB_SHAPE, "input and indices differ in shape");
    OP_TRY(unpool_dims(c, &pooled, &dims));
    OP_TRY(op_out(c, 0, x->dtype, &dims, &y));
    if (!y) return NIB_OK;
    size_t size = op_size(x->dtype);
    int64_t n = op_count(x->rank, x->dims), total = op_count(pooled.rank, pooled.d), cells = op_count(dims.rank, dims.d);
    memset(y, 0, (size_t)cells * size);
    for (int64_t i = 0; i < n; i++) {
        int64_t at = ((const int64_t *)index->data)[i], to = 0, k[GRAPH_MAX_RANK];
        if (at < 0 || at >= total) return op_bad(c, NIB_SHAPE, "index %lld of %lld cells", (long long)at, (long long)total);
        for (int a = x->rank - 1; a >= 0; a--) {
            k[a] = at % pooled.d[a];
            at /= pooled.d[a];
        }
        for (int a = 0; a < x->rank; a++) to = to * dims.d[a] + k[a];
        memcpy(y + (size_t)to * size, (const char *)x->data + (size_t)i * size, size);
    }
    return NIB_OK;
}

static nib_status infer_unpool(op_infer *c) {
    const graph_type *x = op_in_type(c, 0);
    graph_dim dims[GRAPH_MAX_RANK] = {NULL}, data[GRAPH_MAX_DATA];
    op_window w;
    int n;
    OP_TRY(op_check_float(c, 0));
    if (x->rank < 2 || op_window_read(c->node, x->rank - 2, NULL, &w)) return op_set(c, 0, x->dtype, x->rank, NULL);
    if (op_in(c, 2)) return op_set(c, 0, x->dtype, x->rank, op_in_data(c, 2, data, &n) && n == x->rank ? data : NULL);
    memcpy(dims, x->dims, 2 * sizeof *dims);
    for (int a = 0; a < w.n; a++) {
        int64_t size;
        if (graph_dim_is_const(x->dims[2 + a], &size) && size > 0 && size < OP_WINDOW_MOST)
            dims[2 + a] = op_const(c, (size - 1) * w.stride[a] + w.kernel[a] - w.before[a] - w.after[a]);
    }
    return op_set(c, 0, x->dtype, x->rank, dims);
}

const op op_family_pool[] = {
    {"AveragePool", "", 1, 1, 1, 1, OP_ROWS_MIXED, infer_pool, eval_mean, NULL},
    {"GlobalAveragePool", "", 1, 1, 1, 1, OP_ROWS_MIXED, infer_global, eval_global_mean, NULL},
    {"GlobalLpPool", "", 1, 1, 1, 1, OP_ROWS_MIXED, infer_global, eval_global_lp, NULL},
    {"GlobalMaxPool", "", 1, 1, 1, 1, OP_ROWS_MIXED, infer_global, eval_global_max, NULL},
    {"LpPool", "", 1, 1, 1, 1, OP_ROWS_MIXED, infer_pool, eval_lp, NULL},
    {"MaxPool", "", 1, 1, 1, 2, OP_ROWS_MIXED, infer_pool, eval_max, NULL},
    {"MaxUnpool", "", 9, 2, 3, 1, OP_ROWS_MIXED, infer_unpool, eval_unpool, NULL},
    {0},
};
