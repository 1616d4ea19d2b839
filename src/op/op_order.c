/* SPDX-License-Identifier: Apache-2.0
 *
 * Operators that depend on order along an axis, https://onnx.ai/onnx/operators/: ArgMax ArgMin TopK CumSum CumProd.
 */
#include "op_local.h"

/* A tensor seen as [outer, size, inner] around an axis. */
typedef struct view {
    int axis;
    int64_t outer, size, inner;
} view;

static bool view_of(const graph_tensor *x, int64_t axis, view *v) {
    v->axis = op_axis(axis, x->rank);
    if (v->axis < 0) return false;
    v->outer = op_count(v->axis, x->dims);
    v->size = x->dims[v->axis];
    v->inner = op_count(x->rank - v->axis - 1, x->dims + v->axis + 1);
    return true;
}

/* Elements i and j: below, equal, above. NaN is above everything, as numpy sorts it. */
static int compare(const graph_tensor *x, int64_t i, int64_t j) {
    switch (x->dtype) {
#define CASE_F(N, S, W, LOAD, STORE, C)                                                                                                    \
    case NIB_DTYPE_##N: {                                                                                                                  \
        W a = LOAD(((const S *)x->data)[i]), b = LOAD(((const S *)x->data)[j]);                                                            \
        if (a != a || b != b) return (a != a) - (b != b);                                                                                  \
        return (a > b) - (a < b);                                                                                                          \
    }
#define CASE_I(N, S, W, LOAD, STORE, C)                                                                                                    \
    case NIB_DTYPE_##N: {                                                                                                                  \
        S a = ((const S *)x->data)[i], b = ((const S *)x->data)[j];                                                                        \
        return (a > b) - (a < b);                                                                                                          \
    }
        OP_FLOATS(CASE_F)
        OP_INTS(CASE_I)
    default: return 0;
    }
}

static bool ordered(nib_dtype d) { return op_is_float(d) || op_is_int(d); }

/* ---- ArgMax, ArgMin */

static bool is_nan(const graph_tensor *x, int64_t i) { return op_is_float(x->dtype) && isnan(op_number(x, i)); }

/* Which of two elements wins, sign 1: the larger, -1: the smaller. A NaN wins either way, as in numpy. */
static int winner(const graph_tensor *x, int sign, int64_t i, int64_t j) {
    int order = compare(x, i, j);
    return sign < 0 && order != 0 && !is_nan(x, i) && !is_nan(x, j) ? -order : order;
}

static nib_status eval_arg(op_eval *c, int sign) {
    const graph_tensor *x = op_arg(c, 0);
    view v;
    op_dims dims = {0};
    int64_t *y;
    bool keep = graph_attr_int(c->node, "keepdims", 1) != 0, last = graph_attr_int(c->node, "select_last_index", 0) != 0;
    if (!ordered(x->dtype)) return op_bad(c, NIB_TYPE, "input of type %s", nib_dtype_name(x->dtype));
    if (!view_of(x, graph_attr_int(c->node, "axis", 0), &v)) return op_bad(c, NIB_SHAPE, "axis out of range");
    for (int i = 0; i < x->rank; i++)
        if (i != v.axis || keep) dims.d[dims.rank++] = i == v.axis ? 1 : x->dims[i];
    if (v.size == 0 && v.outer * v.inner > 0) return op_bad(c, NIB_SHAPE, "axis is empty");
    OP_TRY(op_out(c, 0, NIB_DTYPE_I64, &dims, &y));
    if (op_count(dims.rank, dims.d) == 0) return NIB_OK; /* a side may be huge all the same */
    for (int64_t o = 0; y && o < v.outer; o++)
        for (int64_t i = 0; i < v.inner; i++) {
            int64_t base = o * v.size * v.inner + i, best = 0;
            for (int64_t k = 1; k < v.size; k++) {
                int order = winner(x, sign, base + k * v.inner, base + best * v.inner);
                if (order > 0 || (order == 0 && last)) best = k;
            }
            y[o * v.inner + i] = best;
        }
    return NIB_OK;
}
static nib_status eval_arg_max(op_eval *c) { return eval_arg(c, 1); }
static nib_status eval_arg_min(op_eval *c) { return eval_arg(c, -1); }

static nib_status infer_arg(op_infer *c) {
    const graph_type *x = op_in_type(c, 0);
    graph_dim dims[GRAPH_MAX_RANK];
    int rank = 0;
    bool keep = graph_attr_int(c->node, "keepdims", 1) != 0;
    if (x->rank < 0) return op_set(c, 0, NIB_DTYPE_I64, -1, NULL);
    int axis = op_axis(graph_attr_int(c->node, "axis", 0), x->rank);
    if (axis < 0) return op_fail(c, NIB_SHAPE, "axis out of range");
    for (int i = 0; i < x->rank; i++)
        if (i != axis || keep) dims[rank++] = i == axis ? op_const(c, 1) : x->dims[i];
    return op_set(c, 0, NIB_DTYPE_I64, rank, dims);
}

/* ---- TopK: equal elements keep the order of their indices */

/* Sorts indices of one line by merging: stable, no recursion, no worst case. */
static void sort_line(const graph_tensor *x, int64_t base, int64_t step, int64_t n, int sign, int64_t *index, int64_t *room) {
    for (int64_t i = 0; i < n; i++) index[i] = i;
    for (int64_t width = 1; width < n; width *= 2) {
        for (int64_t lo = 0; lo < n; lo += 2 * width) {
            int64_t mid = lo + width < n ? lo + width : n, hi = lo + 2 * width < n ? lo + 2 * width : n, a = lo, b = mid;
            for (int64_t k = lo; k < hi; k++) {
                bool left = b >= hi || (a < mid && sign * compare(x, base + index[a] * step, base + index[b] * step) >= 0);
                room[k] = left ? index[a++] : index[b++];
            }
        }
        memcpy(index, room, sizeof *index * (size_t)n);
    }
}

static nib_status eval_top_k(op_eval *c) {
    const graph_tensor *x = op_arg(c, 0);
    view v;
    op_dims dims = op_dims_of(x);
    int64_t k = graph_attr_int(c->node, "k", 0), *indices, *index, *room;
    int sign = graph_attr_int(c->node, "largest", 1) ? 1 : -1;
    char *values;
    size_t size = op_size(x->dtype);
    if (op_since(c->node) >= 10) OP_TRY(op_read_int(c, 1, &k));
    if (!ordered(x->dtype)) return op_bad(c, NIB_TYPE, "input of type %s", nib_dtype_name(x->dtype));
    if (!view_of(x, graph_attr_int(c->node, "axis", -1), &v)) return op_bad(c, NIB_SHAPE, "axis out of range");
    if (k < 0 || k > v.size) return op_bad(c, NIB_SHAPE, "k is %lld of %lld", (long long)k, (long long)v.size);
    dims.d[v.axis] = k;
    OP_TRY(op_out(c, 0, x->dtype, &dims, &values));
    OP_TRY(op_out(c, 1, NIB_DTYPE_I64, &dims, &indices));
    if (op_count(dims.rank, dims.d) == 0) return NIB_OK;
    OP_TRY(op_scratch(c, v.size, sizeof *index, &index));
    OP_TRY(op_scratch(c, v.size, sizeof *room, &room));
    for (int64_t o = 0; o < v.outer; o++)
        for (int64_t i = 0; i < v.inner; i++) {
            int64_t base = o * v.size * v.inner + i;
            OP_TRY(op_spend(c, v.size, 64));
            sort_line(x, base, v.inner, v.size, sign, index, room);
            for (int64_t j = 0; j < k; j++) {
                int64_t to = (o * k + j) * v.inner + i;
                if (values) memcpy(values + (size_t)to * size, (const char *)x->data + (size_t)(base + index[j] * v.inner) * size, size);
                if (indices) indices[to] = index[j];
            }
        }
    return NIB_OK;
}

static nib_status infer_top_k(op_infer *c) {
    const graph_type *x = op_in_type(c, 0);
    graph_dim dims[GRAPH_MAX_RANK], k[GRAPH_MAX_DATA];
    int n;
    if (x->rank < 0) {
        OP_TRY(op_set(c, 0, x->dtype, -1, NULL));
        return op_set(c, 1, NIB_DTYPE_I64, -1, NULL);
    }
    int axis = op_axis(graph_attr_int(c->node, "axis", -1), x->rank);
    if (axis < 0) return op_fail(c, NIB_SHAPE, "axis out of range");
    memcpy(dims, x->dims, sizeof dims);
    if (op_since(c->node) < 10) dims[axis] = op_const(c, graph_attr_int(c->node, "k", 0));
    else dims[axis] = op_in_data(c, 1, k, &n) && n == 1 ? k[0] : NULL;
    OP_TRY(op_set(c, 0, x->dtype, x->rank, dims));
    return op_set(c, 1, NIB_DTYPE_I64, x->rank, dims);
}

/* ---- CumSum, CumProd */

static nib_status eval_cumulate(op_eval *c, bool product) {
    const graph_tensor *x = op_arg(c, 0);
    view v;
    op_dims dims = op_dims_of(x);
    int64_t axis;
    bool exclusive = graph_attr_int(c->node, "exclusive", 0) != 0, reverse = graph_attr_int(c->node, "reverse", 0) != 0;
    void *y;
    OP_TRY(op_read_int(c, 1, &axis));
    if (!ordered(x->dtype)) return op_bad(c, NIB_TYPE, "input of type %s", nib_dtype_name(x->dtype));
    if (!view_of(x, axis, &v)) return op_bad(c, NIB_SHAPE, "axis out of range");
    OP_TRY(op_out(c, 0, x->dtype, &dims, &y));
    if (op_count(dims.rank, dims.d) == 0) return NIB_OK;
    for (int64_t line = 0; y && line < v.outer * v.inner; line++) {
        int64_t base = line / v.inner * v.size * v.inner + line % v.inner;
        switch (x->dtype) {
#define WHOLE_F(W) W
#define WHOLE_I(W) uint64_t
#define WHOLE_U(W) uint64_t
#define CASE(N, S, W, LOAD, STORE, C)                                                                                                      \
    case NIB_DTYPE_##N: {                                                                                                                  \
        WHOLE_##C(W) sum = product;                                                                                                        \
        for (int64_t k = 0; k < v.size; k++) {                                                                                             \
            int64_t at = base + (reverse ? v.size - 1 - k : k) * v.inner;                                                                  \
            WHOLE_##C(W) before = sum;                                                                                                     \
            WHOLE_##C(W) e = (WHOLE_##C(W))LOAD(((const S *)x->data)[at]);                                                                 \
            sum = product ? sum * e : sum + e;                                                                                             \
            ((S *)y)[at] = STORE(exclusive ? before : sum);                                                                                \
        }                                                                                                                                  \
        break;                                                                                                                             \
    }
            OP_NUMBERS(CASE)
        default: break;
        }
    }
    return NIB_OK;
}

static nib_status eval_cum_sum(op_eval *c) { return eval_cumulate(c, false); }
static nib_status eval_cum_prod(op_eval *c) { return eval_cumulate(c, true); }

const op op_family_order[] = {
    {"ArgMax", "", 1, 1, 1, 1, OP_ROWS_MIXED, infer_arg, eval_arg_max, NULL},
    {"ArgMin", "", 1, 1, 1, 1, OP_ROWS_MIXED, infer_arg, eval_arg_min, NULL},
    {"CumProd", "", 26, 2, 2, 1, OP_ROWS_MIXED, op_infer_same, eval_cum_prod, NULL},
    {"CumSum", "", 11, 2, 2, 1, OP_ROWS_MIXED, op_infer_same, eval_cum_sum, NULL},
    {"TopK", "", 1, 1, 1, 2, OP_ROWS_MIXED, infer_top_k, eval_top_k, NULL},
    {"TopK", "", 10, 2, 2, 2, OP_ROWS_MIXED, infer_top_k, eval_top_k, NULL},
    {0},
};
