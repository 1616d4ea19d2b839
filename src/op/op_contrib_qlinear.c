/* SPDX-License-Identifier: Apache-2.0
 *
 * Arithmetic on 8-bit numbers, of domain com.microsoft: QLinearAdd QLinearMul QLinearSigmoid QLinearLeakyRelu QLinearSoftmax
 * QLinearConcat QLinearGlobalAveragePool QLinearAveragePool. Each dequantizes, computes and quantizes again.
 */
#include "op_contrib.h"
#include "op_window.h"

static bool is_byte(nib_dtype d) { return d == NIB_DTYPE_U8 || d == NIB_DTYPE_I8; }

typedef struct scaled { /* a tensor of bytes with its scale and zero point */
    const graph_tensor *t;
    double scale, zero;
} scaled;

static nib_status scaled_at(op_eval *c, int t, int scale, int zero, scaled *s) {
    s->t = t < 0 ? NULL : op_arg(c, t);
    const graph_tensor *z = op_arg(c, zero), *f = op_arg(c, scale);
    if (t >= 0 && !s->t) return op_bad(c, NIB_BAD_MODEL, "input %d is missing", t);
    if (!f || !op_is_float(f->dtype) || (z && !is_byte(z->dtype))) return op_bad(c, NIB_TYPE, "input %d", scale);
    if (s->t && (!is_byte(s->t->dtype) || (z && z->dtype != s->t->dtype)))
        return op_bad(c, NIB_TYPE, "input %d is %s", t, nib_dtype_name(s->t->dtype));
    OP_TRY(op_one_number(c, scale, 1, &s->scale));
    return op_one_number(c, zero, 0, &s->zero);
}

static double real_at(const scaled *s, int64_t i) { return (op_number(s->t, i) - s->zero) * s->scale; }
static void put_real(nib_dtype dtype, void *y, int64_t i, const scaled *s, double v) {
    op_put(dtype, y, i, (double)nearbyintf((float)(v / s->scale)) + s->zero);
}

/* ---- Add, Mul: A, scale, zero?, B, scale, zero?, scale of C, zero? */

static nib_status binary(op_eval *c, bool product) {
    scaled a, b, y_of;
    op_dims dims;
    int64_t sa[GRAPH_MAX_RANK], sb[GRAPH_MAX_RANK], at[GRAPH_MAX_RANK] = {0};
    void *y;
    OP_TRY(scaled_at(c, 0, 1, 2, &a));
    OP_TRY(scaled_at(c, 3, 4, 5, &b));
    OP_TRY(scaled_at(c, -1, 6, 7, &y_of));
    OP_TRY(op_broadcast_dims(c, 2, (const graph_tensor *const[]){a.t, b.t}, &dims));
    OP_TRY(op_out(c, 0, a.t->dtype, &dims, &y));
    op_broadcast_strides(a.t, &dims, sa);
    op_broadcast_strides(b.t, &dims, sb);
    int64_t n = y ? op_count(dims.rank, dims.d) : 0;
    for (int64_t o = 0; o < n; o++) {
        int64_t ia = 0, ib = 0;
        for (int k = 0; k < dims.rank; k++) {
            ia += at[k] * sa[k];
            ib += at[k] * sb[k];
        }
        double p = real_at(&a, ia), q = real_at(&b, ib);
        put_real(a.t->dtype, y, o, &y_of, product ? p * q : p + q);
        for (int k = dims.rank - 1; k >= 0 && ++at[k] == dims.d[k]; k--) at[k] = 0;
    }
    return NIB_OK;
}

static nib_status eval_add(op_eval *c) { return binary(c, false); }
static nib_status eval_mul(op_eval *c) { return binary(c, true); }

static nib_status infer_two(op_infer *c) {
    graph_type t = *op_in_type(c, 0);
    t.rank = op_broadcast(OP_SYMS(c), op_in_type(c, 0), op_in_type(c, 3), t.dims);
    return op_set_like(c, 0, t.dtype, &t);
}

/* ---- one input: X, scale, zero?, scale of Y, zero? */

static nib_status one_input(op_eval *c, const op_dims *dims, scaled *x, scaled *y_of, void **y) {
    OP_TRY(scaled_at(c, 0, 1, 2, x));
    OP_TRY(scaled_at(c, -1, 3, 4, y_of));
    return op_out(c, 0, x->t->dtype, dims, y);
}

static nib_status unary(op_eval *c, bool sigmoid) {
    op_dims dims = op_dims_of(op_arg(c, 0));
    double alpha = graph_attr_float(c->node, "alpha", 0.01f);
    scaled x, y_of;
    void *y;
    OP_TRY(one_input(c, &dims, &x, &y_of, &y));
    int64_t n = y ? op_count(dims.rank, dims.d) : 0;
    for (int64_t i = 0; i < n; i++) {
        double v = real_at(&x, i);
        put_real(x.t->dtype, y, i, &y_of, sigmoid ? 1 / (1 + exp(-v)) : v >= 0 ? v : alpha * v);
    }
    return NIB_OK;
}

static nib_status eval_sigmoid(op_eval *c) { return unary(c, true); }
static nib_status eval_leaky(op_eval *c) { return unary(c, false); }

static nib_status eval_softmax(op_eval *c) {
    const graph_tensor *t = op_arg(c, 0);
    op_dims dims = op_dims_of(t);
    bool old = graph_attr_int(c->node, "opset", 13) < 13;
    int axis = op_axis(graph_attr_int(c->node, "axis", -1), t->rank);
    scaled x, y_of;
    void *y;
    if (axis < 0) return op_bad(c, NIB_SHAPE, "axis out of range");
    OP_TRY(one_input(c, &dims, &x, &y_of, &y));
    if (!y || op_count(dims.rank, dims.d) == 0) return NIB_OK;
    int64_t size = old ? op_count(t->rank - axis, t->dims + axis) : t->dims[axis],
            inner = old ? 1 : op_count(t->rank - axis - 1, t->dims + axis + 1);
    int64_t lines = op_count(t->rank, t->dims) / size;
    for (int64_t l = 0; l < lines; l++) {
        int64_t base = l / inner * size * inner + l % inner;
        double most = -INFINITY, sum = 0;
        for (int64_t k = 0; k < size; k++) most = fmax(most, real_at(&x, base + k * inner));
        for (int64_t k = 0; k < size; k++) sum += exp(real_at(&x, base + k * inner) - most);
        for (int64_t k = 0; k < size; k++) put_real(t->dtype, y, base + k * inner, &y_of, exp(real_at(&x, base + k * inner) - most) / sum);
    }
    return NIB_OK;
}

/* ---- Concat: scale of Y, zero, then (X, scale, zero) for each */

static nib_status eval_concat(op_eval *c) {
    int n = (c->n_in - 2) / 3, axis;
    scaled y_of, x;
    op_dims dims;
    void *y;
    if (c->n_in < 5 || c->n_in != 2 + 3 * n) return op_bad(c, NIB_BAD_MODEL, "%d inputs", c->n_in);
    OP_TRY(scaled_at(c, -1, 0, 1, &y_of));
    dims = op_dims_of(op_arg(c, 2));
    axis = op_axis(graph_attr_int(c->node, "axis", 0), dims.rank);
    if (axis < 0) return op_bad(c, NIB_SHAPE, "axis out of range");
    for (int j = 1; j < n; j++) {
        const graph_tensor *t = op_arg(c, 2 + 3 * j);
        bool fits = t->rank == dims.rank && t->dims[axis] <= INT64_MAX - dims.d[axis];
        for (int k = 0; fits && k < dims.rank; k++) fits = k == axis || t->dims[k] == dims.d[k];
        if (!fits) return op_bad(c, NIB_SHAPE, "input %d does not fit", 2 + 3 * j);
        dims.d[axis] += t->dims[axis];
    }
    nib_dtype dtype = op_arg(c, 1)->dtype;
    OP_TRY(op_out(c, 0, dtype, &dims, &y));
    if (!y || op_count(dims.rank, dims.d) == 0) return NIB_OK;
    int64_t inner = op_count(dims.rank - axis - 1, dims.d + axis + 1), first = 0;
    for (int j = 0; j < n; j++) {
        OP_TRY(scaled_at(c, 2 + 3 * j, 3 + 3 * j, 4 + 3 * j, &x));
        int64_t line = x.t->dims[axis] * inner, count = op_count(x.t->rank, x.t->dims);
        for (int64_t i = 0; i < count; i++) put_real(dtype, y, i / line * dims.d[axis] * inner + first + i % line, &y_of, real_at(&x, i));
        first += line;
    }
    return NIB_OK;
}

static nib_status infer_concat(op_infer *c) {
    graph_type t = *op_in_type(c, 2);
    int axis = t.rank > 0 ? op_axis(graph_attr_int(c->node, "axis", 0), t.rank) : -1;
    if (axis < 0) return op_set(c, 0, op_in_type(c, 1)->dtype, -1, NULL);
    for (int i = 5; i < c->node->n_inputs; i += 3) {
        const graph_type *x = op_in_type(c, i);
        t.dims[axis] = x->rank == t.rank && t.dims[axis] && x->dims[axis] ? graph_dim_add(OP_SYMS(c), t.dims[axis], x->dims[axis]) : NULL;
    }
    return op_set_like(c, 0, op_in_type(c, 1)->dtype, &t);
}

/* ---- means */

static nib_status no_channels_last(op_eval *c) {
    return graph_attr_int(c->node, "channels_last", 0) ? op_bad(c, NIB_UNSUPPORTED, "channels_last") : NIB_OK;
}

static nib_status eval_global(op_eval *c) {
    const graph_tensor *t = op_arg(c, 0);
    bool last = graph_attr_int(c->node, "channels_last", 0) != 0;
    scaled x, y_of;
    op_dims dims = op_dims_of(t);
    void *y;
    if (t->rank < 3) return op_bad(c, NIB_SHAPE, "input of rank %d", t->rank);
    int first = last ? 1 : 2;
    int64_t cells = op_count(t->rank - 2, t->dims + first), N = t->dims[0], C = t->dims[last ? t->rank - 1 : 1];
    for (int i = first; i < first + t->rank - 2; i++) dims.d[i] = 1;
    OP_TRY(one_input(c, &dims, &x, &y_of, &y));
    if (cells < 1) return op_bad(c, NIB_SHAPE, "no cells");
    for (int64_t o = 0; y && o < op_count(2, (int64_t[]){N, C}); o++) {
        double sum = 0;
        for (int64_t k = 0; k < cells; k++) sum += real_at(&x, last ? (o / C * cells + k) * C + o % C : o * cells + k);
        put_real(t->dtype, y, o, &y_of, sum / (double)cells);
    }
    return NIB_OK;
}

static nib_status infer_global(op_infer *c) {
    graph_type t = *op_in_type(c, 0);
    int first = graph_attr_int(c->node, "channels_last", 0) ? 1 : 2;
    if (t.rank >= 0 && t.rank < 3) return op_fail(c, NIB_SHAPE, "input of rank %d", t.rank);
    for (int i = first; i < first + t.rank - 2; i++) t.dims[i] = op_const(c, 1);
    return op_set_like(c, 0, t.dtype, &t);
}

static nib_status eval_mean(op_eval *c) {
    const graph_tensor *t = op_arg(c, 0);
    bool whole = graph_attr_int(c->node, "count_include_pad", 0) != 0;
    scaled x, y_of;
    op_window w;
    void *y;
    OP_TRY(no_channels_last(c));
    if (t->rank < 3) return op_bad(c, NIB_SHAPE, "input of rank %d", t->rank);
    OP_TRY(op_window_of(c, t->rank - 2, t->dims + 2, NULL, &w));
    op_dims dims = {t->rank, {t->dims[0], t->dims[1]}};
    memcpy(dims.d + 2, w.out, sizeof(int64_t) * (size_t)w.n);
    OP_TRY(one_input(c, &dims, &x, &y_of, &y));
    int64_t planes = op_count(2, t->dims), in = op_count(w.n, w.in), out = op_count(w.n, w.out), taps = op_count(w.n, w.kernel);
    if (!y || op_count(dims.rank, dims.d) == 0) return NIB_OK;
    for (int64_t p = 0; p < planes; p++) {
        int64_t position[OP_WINDOW_AXES] = {0};
        for (int64_t o = 0; o < out; o++, op_window_step(&w, position)) {
            op_cells cells;
            double sum = 0, count = 0;
            if (o % 64 == 0) OP_TRY(op_spend(c, out - o < 64 ? out - o : 64, taps >= 0 && taps < in ? taps : in));
            for (bool more = op_cells_first(&w, position, &cells); more; more = op_cells_next(&w, &cells), count++)
                sum += real_at(&x, p * in + cells.at);
            put_real(t->dtype, y, p * out + o, &y_of, sum / (whole ? op_window_covered(&w, position) : count));
        }
    }
    return NIB_OK;
}

static nib_status infer_mean(op_infer *c) {
    const graph_type *x = op_in_type(c, 0);
    graph_dim dims[GRAPH_MAX_RANK];
    if (x->rank < 0 || graph_attr_int(c->node, "channels_last", 0)) return op_set(c, 0, x->dtype, x->rank, NULL);
    OP_TRY(op_window_infer(c, x, NULL, dims));
    memcpy(dims, x->dims, 2 * sizeof *dims);
    return op_set(c, 0, x->dtype, x->rank, dims);
}

const op op_family_contrib_qlinear[] = {
    {"QLinearAdd", OP_MS, 1, 2, 8, 1, OP_ROWS_MIXED, infer_two, eval_add, NULL},
    {"QLinearAveragePool", OP_MS, 1, 2, 5, 1, OP_ROWS_MIXED, infer_mean, eval_mean, NULL},
    {"QLinearConcat", OP_MS, 1, 5, INT_MAX, 1, OP_ROWS_MIXED, infer_concat, eval_concat, NULL},
    {"QLinearGlobalAveragePool", OP_MS, 1, 2, 5, 1, OP_ROWS_MIXED, infer_global, eval_global, NULL},
    {"QLinearLeakyRelu", OP_MS, 1, 2, 5, 1, OP_ROWS_MIXED, op_infer_same, eval_leaky, NULL},
    {"QLinearMul", OP_MS, 1, 2, 8, 1, OP_ROWS_MIXED, infer_two, eval_mul, NULL},
    {"QLinearSigmoid", OP_MS, 1, 2, 5, 1, OP_ROWS_MIXED, op_infer_same, eval_sigmoid, NULL},
    {"QLinearSoftmax", OP_MS, 1, 2, 5, 1, OP_ROWS_MIXED, op_infer_same, eval_softmax, NULL},
    {0},
};
