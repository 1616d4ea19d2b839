/* SPDX-License-Identifier: Apache-2.0
 *
 * Slice, https://onnx.ai/onnx/operators/onnx__Slice.html: attributes before opset 10, inputs from then on. Sizes may be
 * expressions: x[:, :seq] of a table of 512 rows has min(seq, 512).
 */
#include "op_local.h"

/* Begin (cut to the axis) and length of a slice with a step that is not 0. */
static int64_t slice_axis(int64_t size, int64_t start, int64_t end, int64_t step, int64_t *begin) {
    int64_t lo = step > 0 ? 0 : -1, hi = step > 0 ? size : size - 1;
    if (start < 0) start += size;
    if (end < 0) end = end < -size ? -1 : end + size; /* beyond the front: before the first element, also downwards */
    if (start < 0) start = 0;
    if (start > hi) start = hi;
    end = end < lo ? lo : end > size ? size : end;
    *begin = start;
    uint64_t span = step > 0 ? (end > start ? (uint64_t)(end - start) : 0) : (start > end ? (uint64_t)(start - end) : 0);
    uint64_t stride = step > 0 ? (uint64_t)step : 0 - (uint64_t)step;
    return (int64_t)(span / stride + (span % stride != 0));
}

/* starts, ends, axes, steps as lists of `n` numbers. */
typedef struct slice_args {
    int n;
    int64_t start[GRAPH_MAX_RANK], end[GRAPH_MAX_RANK], axis[GRAPH_MAX_RANK], step[GRAPH_MAX_RANK];
} slice_args;

static nib_status read_args(op_eval *c, slice_args *a) {
    int n = 0;
    for (int i = 0; i < GRAPH_MAX_RANK; i++) {
        a->axis[i] = i;
        a->step[i] = 1;
    }
    if (op_since(c->node) < 10) {
        OP_TRY(op_eval_axes(c, "starts", -1, a->start, &a->n));
        OP_TRY(op_eval_axes(c, "ends", -1, a->end, &n));
        if (a->n < 0 || a->n != n) return op_bad(c, NIB_BAD_MODEL, "starts and ends differ in number");
        OP_TRY(op_eval_axes(c, "axes", -1, a->axis, &n));
        return n < 0 || n == a->n ? NIB_OK : op_bad(c, NIB_BAD_MODEL, "starts and axes differ in number");
    }
    OP_TRY(op_read_ints(c, 1, GRAPH_MAX_RANK, a->start, &a->n));
    OP_TRY(op_read_ints(c, 2, GRAPH_MAX_RANK, a->end, &n));
    if (n != a->n) return op_bad(c, NIB_SHAPE, "starts and ends differ in number");
    if (op_arg(c, 3)) OP_TRY(op_read_ints(c, 3, GRAPH_MAX_RANK, a->axis, &n));
    if (n != a->n) return op_bad(c, NIB_SHAPE, "starts and axes differ in number");
    if (op_arg(c, 4)) OP_TRY(op_read_ints(c, 4, GRAPH_MAX_RANK, a->step, &n));
    return n == a->n ? NIB_OK : op_bad(c, NIB_SHAPE, "starts and steps differ in number");
}

static nib_status eval_slice(op_eval *c) {
    const graph_tensor *x = op_arg(c, 0);
    slice_args a;
    op_dims dims = op_dims_of(x);
    int64_t strides[GRAPH_MAX_RANK], offset = 0;
    uint32_t mask;
    void *y;
    OP_TRY(read_args(c, &a));
    if (!op_axis_mask(a.axis, a.n, x->rank, &mask)) return op_bad(c, NIB_SHAPE, "axes out of range");
    op_strides(x->rank, x->dims, strides);
    for (int i = 0; i < a.n; i++) {
        int k = op_axis(a.axis[i], x->rank);
        int64_t begin;
        if (a.step[i] == 0) return op_bad(c, NIB_SHAPE, "step is 0");
        dims.d[k] = slice_axis(x->dims[k], a.start[i], a.end[i], a.step[i], &begin);
        if (dims.d[k] > 0) offset += begin * strides[k];
        strides[k] = dims.d[k] > 1 ? strides[k] * a.step[i] : 0; /* a step beyond the axis would overflow, and is never taken */
    }
    OP_TRY(op_out(c, 0, x->dtype, &dims, &y));
    if (y && op_count(dims.rank, dims.d) > 0)
        op_copy(y, NULL, (const char *)x->data + (size_t)offset * op_size(x->dtype), strides, dims.rank, dims.d, op_size(x->dtype));
    return NIB_OK;
}

/* A bound of a slice with step 1 as an expression: cut to [0, size]. NULL where it cannot be told. */
static graph_dim bound(const op_infer *c, graph_dim size, graph_dim x) {
    int64_t v, s;
    graph_symtab *t = OP_SYMS(c);
    if (graph_dim_is_const(x, &v)) {
        if (v == 0) return x;
        if (v >= INT32_MAX) return size; /* "to the end", as exporters write it */
        if (v <= INT32_MIN) return op_const(c, 0);
        if (v > 0) return graph_dim_min(t, size, x);
        if (graph_dim_is_const(size, &s)) return op_const(c, s + v > 0 ? s + v : 0);
        return graph_dim_max(t, graph_dim_add(t, size, x), op_const(c, 0));
    }
    if (x && x == size) return size;
    graph_dim rest = graph_dim_sub(t, size, x);
    if (graph_dim_is_nonnegative(x)) return rest && graph_dim_is_nonnegative(rest) ? x : graph_dim_min(t, size, x);
    return NULL;
}

static graph_dim slice_size(const op_infer *c, graph_dim size, graph_dim start, graph_dim end, graph_dim step) {
    int64_t s, a, b, k, begin;
    graph_symtab *t = OP_SYMS(c);
    graph_dim zero = op_const(c, 0);
    bool whole = graph_dim_is_const(size, &s), from = graph_dim_is_const(start, &a), to = graph_dim_is_const(end, &b);
    if (!size || !graph_dim_is_const(step, &k) || k == 0) return NULL;
    if (whole && from && to) return s < 0 ? NULL : op_const(c, slice_axis(s, a, b, k, &begin));
    if (k < 0) { /* only the whole axis backwards */
        bool all = from && to && (a == -1 || a >= INT32_MAX) && b <= INT32_MIN;
        return !all ? NULL : k == -1 ? size : NULL;
    }
    graph_dim lo, hi;
    if (from && to && a > 0 && b >= INT32_MAX) { /* x[a:] needs no minimum */
        lo = graph_dim_sub(t, size, start);
        lo = graph_dim_is_nonnegative(lo) ? lo : graph_dim_max(t, lo, zero);
    } else {
        hi = bound(c, size, end);
        lo = bound(c, size, start);
        lo = graph_dim_sub(t, hi, lo);
        if (from && a == 0) lo = hi;
        else if (lo && !graph_dim_is_nonnegative(lo)) lo = graph_dim_max(t, lo, zero);
    }
    return k == 1 ? lo : graph_dim_div(t, graph_dim_add(t, lo, op_const(c, k - 1)), step);
}

/* The lists as expressions: attributes or inputs; false where one is not known at all. */
static bool infer_args(const op_infer *c, graph_dim *start, graph_dim *end, graph_dim *step, int64_t *axes, int *count) {
    int n, m, k;
    for (int i = 0; i < GRAPH_MAX_DATA; i++) step[i] = op_const(c, 1);
    if (op_since(c->node) < 10) {
        int64_t a[GRAPH_MAX_RANK], b[GRAPH_MAX_RANK];
        op_infer_axes(c, "starts", -1, a, &n);
        op_infer_axes(c, "ends", -1, b, &m);
        for (int i = 0; i < n && i < m; i++) {
            start[i] = op_const(c, a[i]);
            end[i] = op_const(c, b[i]);
        }
    } else {
        if (!op_in_data(c, 1, start, &n) || !op_in_data(c, 2, end, &m)) return false;
        if (op_in(c, 4) && (!op_in_data(c, 4, step, &k) || k != n)) return false;
    }
    op_infer_axes(c, "axes", 3, axes, &k);
    if (k == -1)
        for (k = 0; k < n && k < GRAPH_MAX_RANK; k++) axes[k] = k;
    *count = n;
    return n >= 0 && n == m && n == k;
}

static nib_status infer_slice(op_infer *c) {
    const graph_type *x = op_in_type(c, 0);
    graph_dim start[GRAPH_MAX_DATA], end[GRAPH_MAX_DATA], step[GRAPH_MAX_DATA], dims[GRAPH_MAX_RANK], data[GRAPH_MAX_DATA];
    int64_t axes[GRAPH_MAX_RANK], a, b, k, begin;
    int n, count;
    uint32_t mask;
    if (x->rank < 0) return op_set(c, 0, x->dtype, -1, NULL);
    if (!infer_args(c, start, end, step, axes, &n)) {
        /* Known axes at least leave the others as they are. */
        memcpy(dims, x->dims, sizeof dims);
        op_infer_axes(c, "axes", 3, axes, &n);
        bool some = n >= 0 && op_axis_mask(axes, n, x->rank, &mask);
        for (int i = 0; i < x->rank; i++)
            if (!some || (mask >> i & 1)) dims[i] = NULL;
        return op_set(c, 0, x->dtype, x->rank, dims);
    }
    if (!op_axis_mask(axes, n, x->rank, &mask)) return op_fail(c, NIB_SHAPE, "axes out of range");
    memcpy(dims, x->dims, sizeof dims);
    for (int i = 0; i < n; i++) {
        int axis = op_axis(axes[i], x->rank);
        if (graph_dim_is_const(step[i], &k) && k == 0) return op_fail(c, NIB_SHAPE, "step is 0");
        dims[axis] = slice_size(c, dims[axis], start[i], end[i], step[i]);
    }
    OP_TRY(op_set(c, 0, x->dtype, x->rank, dims));
    if (x->rank != 1 || n != 1 || !op_in_data(c, 0, data, &count)) return NIB_OK;
    if (!graph_dim_is_const(start[0], &a) || !graph_dim_is_const(end[0], &b) || !graph_dim_is_const(step[0], &k)) return NIB_OK;
    graph_dim out[GRAPH_MAX_DATA];
    int m = (int)slice_axis(count, a, b, k, &begin);
    for (int i = 0; i < m; i++) out[i] = data[begin + i * k];
    return op_set_data(c, 0, out, m);
}

const op op_family_slice[] = {
    {"Slice", "", 1, 1, 1, 1, OP_ROWS_MIXED, infer_slice, eval_slice, NULL},
    {"Slice", "", 10, 3, 5, 1, OP_ROWS_LAST, infer_slice, eval_slice, NULL},
    {0},
};
