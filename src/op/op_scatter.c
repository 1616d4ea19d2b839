/* SPDX-License-Identifier: Apache-2.0
 *
 * Writing by index, https://onnx.ai/onnx/operators/: ScatterElements (and its older name Scatter), ScatterND, OneHot. Updates
 * are applied in their order; the reductions (add, mul: opset 16; max, min: 18) hold for numbers.
 */
#include "op_local.h"

typedef enum how { HOW_NONE, HOW_ADD, HOW_MUL, HOW_MAX, HOW_MIN, HOW_UNKNOWN } how;

static how reduction(const graph_node *n) {
    static const char *const names[] = {"none", "add", "mul", "max", "min"};
    const char *name = graph_attr_string(n, "reduction", "none");
    for (int i = 0; i < HOW_UNKNOWN; i++)
        if (strcmp(name, names[i]) == 0) return (how)i;
    return HOW_UNKNOWN;
}

/* Integers go by way of unsigned 64 bits so that a sum or product wraps. */
#define COMBINE_F(W, a, b)                                                                                                                 \
    (h == HOW_ADD   ? (a) + (b)                                                                                                            \
     : h == HOW_MUL ? (a) * (b)                                                                                                            \
     : h == HOW_MAX ? ((a) > (b) || (a) != (a) ? (a) : (b))                                                                                \
                    : ((a) < (b) || (a) != (a) ? (a) : (b)))
#define COMBINE_I(W, a, b)                                                                                                                 \
    ((W)(h == HOW_ADD   ? (uint64_t)(a) + (uint64_t)(b)                                                                                    \
         : h == HOW_MUL ? (uint64_t)(a) * (uint64_t)(b)                                                                                    \
         : h == HOW_MAX ? (uint64_t)((a) > (b) ? (a) : (b))                                                                                \
                        : (uint64_t)((a) < (b) ? (a) : (b))))
#define COMBINE_U COMBINE_I

/* Puts n elements of `from` onto `to`. */
static void combine(how h, nib_dtype dtype, char *to, const char *from, int64_t n) {
    if (h == HOW_NONE) {
        if (n > 0) memcpy(to, from, (size_t)n * op_size(dtype));
        return;
    }
    switch (dtype) {
#define CASE(N, S, W, LOAD, STORE, C)                                                                                                      \
    case NIB_DTYPE_##N:                                                                                                                    \
        for (int64_t i = 0; i < n; i++) {                                                                                                  \
            S *at = (S *)(void *)to + i;                                                                                                   \
            W a = LOAD(*at), b = LOAD(((const S *)(const void *)from)[i]);                                                                 \
            *at = STORE(COMBINE_##C(W, a, b));                                                                                             \
        }                                                                                                                                  \
        break;
        OP_NUMBERS(CASE)
#undef CASE
    default: /* bool: add is or, mul is and */
        for (int64_t i = 0; i < n; i++) to[i] = h == HOW_ADD || h == HOW_MAX ? to[i] || from[i] : to[i] && from[i];
    }
}

static nib_status check(op_eval *c, how h) {
    const graph_tensor *x = op_arg(c, 0), *indices = op_arg(c, 1), *updates = op_arg(c, 2);
    if (h == HOW_UNKNOWN) return op_bad(c, NIB_BAD_MODEL, "unknown reduction");
    if (indices->dtype != NIB_DTYPE_I64 && indices->dtype != NIB_DTYPE_I32)
        return op_bad(c, NIB_TYPE, "indices of type %s", nib_dtype_name(indices->dtype));
    if (updates->dtype != x->dtype) return op_bad(c, NIB_TYPE, "updates are not of the data's type");
    if (h != HOW_NONE && !op_is_float(x->dtype) && !op_is_int(x->dtype) && x->dtype != NIB_DTYPE_BOOL)
        return op_bad(c, NIB_TYPE, "data of type %s", nib_dtype_name(x->dtype));
    return NIB_OK;
}

static nib_status bad_index(op_eval *c, int64_t index, int64_t size) {
    return op_bad(c, NIB_SHAPE, "index %lld is out of range for size %lld", (long long)index, (long long)size);
}

static nib_status eval_scatter_elements(op_eval *c) {
    const graph_tensor *x = op_arg(c, 0), *indices = op_arg(c, 1), *updates = op_arg(c, 2);
    op_dims dims = op_dims_of(x);
    how h = reduction(c->node);
    int axis = op_axis(graph_attr_int(c->node, "axis", 0), x->rank);
    int64_t own[GRAPH_MAX_RANK], at[GRAPH_MAX_RANK] = {0}, n = op_count(indices->rank, indices->dims);
    size_t size = op_size(x->dtype);
    char *y;
    OP_TRY(check(c, h));
    if (axis < 0 || indices->rank != x->rank || updates->rank != x->rank) return op_bad(c, NIB_SHAPE, "axis or ranks do not fit");
    for (int i = 0; i < x->rank; i++)
        if (indices->dims[i] != updates->dims[i] || (i != axis && indices->dims[i] > x->dims[i]))
            return op_bad(c, NIB_SHAPE, "sizes do not fit on axis %d", i);
    OP_TRY(op_out(c, 0, x->dtype, &dims, &y));
    if (!y) return NIB_OK;
    if (op_count(dims.rank, dims.d) > 0) memcpy(y, x->data, (size_t)op_count(dims.rank, dims.d) * size);
    op_strides(x->rank, x->dims, own);
    for (int64_t i = 0; i < n; i++) {
        int64_t index = op_index(indices, i), to = 0;
        if (index < -x->dims[axis] || index >= x->dims[axis]) return bad_index(c, index, x->dims[axis]);
        for (int k = 0; k < x->rank; k++) to += own[k] * (k != axis ? at[k] : index < 0 ? index + x->dims[axis] : index);
        combine(h, x->dtype, y + (size_t)to * size, (const char *)updates->data + (size_t)i * size, 1);
        for (int k = x->rank - 1; k >= 0 && ++at[k] == indices->dims[k]; k--) at[k] = 0;
    }
    return NIB_OK;
}

static nib_status eval_scatter_nd(op_eval *c) {
    const graph_tensor *x = op_arg(c, 0), *indices = op_arg(c, 1), *updates = op_arg(c, 2);
    op_dims dims = op_dims_of(x);
    how h = reduction(c->node);
    int64_t own[GRAPH_MAX_RANK];
    size_t size = op_size(x->dtype);
    char *y;
    OP_TRY(check(c, h));
    if (indices->rank < 1 || x->rank < 1) return op_bad(c, NIB_SHAPE, "ranks do not fit");
    int64_t depth = indices->dims[indices->rank - 1];
    if (depth < 0 || depth > x->rank || updates->rank != indices->rank - 1 + x->rank - (int)depth)
        return op_bad(c, NIB_SHAPE, "ranks do not fit");
    for (int i = 0; i < updates->rank; i++) {
        int64_t want = i < indices->rank - 1 ? indices->dims[i] : x->dims[depth + i - (indices->rank - 1)];
        if (updates->dims[i] != want) return op_bad(c, NIB_SHAPE, "updates have size %lld on axis %d", (long long)updates->dims[i], i);
    }
    OP_TRY(op_out(c, 0, x->dtype, &dims, &y));
    if (!y) return NIB_OK;
    if (op_count(dims.rank, dims.d) > 0) memcpy(y, x->data, (size_t)op_count(dims.rank, dims.d) * size);
    op_strides(x->rank, x->dims, own);
    int64_t tuples = op_count(indices->rank - 1, indices->dims), row = op_count(x->rank - (int)depth, x->dims + depth);
    for (int64_t i = 0; row > 0 && i < tuples; i++) {
        int64_t to = 0;
        for (int k = 0; k < depth; k++) {
            int64_t index = op_index(indices, i * depth + k);
            if (index < -x->dims[k] || index >= x->dims[k]) return bad_index(c, index, x->dims[k]);
            to += own[k] * (index < 0 ? index + x->dims[k] : index);
        }
        combine(h, x->dtype, y + (size_t)to * size, (const char *)updates->data + (size_t)(i * row) * size, row);
    }
    return NIB_OK;
}

/* A list of sizes or indices built by scattering into it. */
static nib_status infer_scatter(op_infer *c) {
    graph_dim data[GRAPH_MAX_DATA], updates[GRAPH_MAX_DATA];
    int64_t index[GRAPH_MAX_DATA];
    int n, m, k;
    OP_TRY(op_infer_same(c));
    if (op_in_type(c, 0)->rank != 1 || op_in_type(c, 1)->rank != 1 || reduction(c->node) != HOW_NONE ||
        strcmp(c->node->op, "ScatterND") == 0)
        return NIB_OK;
    if (!op_in_data(c, 0, data, &n) || !op_in_ints(c, 1, index, &m) || !op_in_data(c, 2, updates, &k) || m != k) return NIB_OK;
    for (int i = 0; i < m; i++) {
        if (index[i] < -n || index[i] >= n) return op_fail(c, NIB_SHAPE, "index %lld is out of range for size %d", (long long)index[i], n);
        data[index[i] < 0 ? index[i] + n : index[i]] = updates[i];
    }
    return op_set_data(c, 0, data, n);
}

/* ---- OneHot(indices, depth, [off, on]) */

static nib_status eval_one_hot(op_eval *c) {
    const graph_tensor *indices = op_arg(c, 0), *depth = op_arg(c, 1), *values = op_arg(c, 2);
    op_dims dims = {.rank = indices->rank + 1};
    size_t size = op_size(values->dtype);
    char *y;
    if (dims.rank > GRAPH_MAX_RANK) return op_bad(c, NIB_LIMIT, "rank %d", dims.rank);
    int axis = op_axis(graph_attr_int(c->node, "axis", -1), dims.rank);
    if (axis < 0) return op_bad(c, NIB_SHAPE, "axis out of range");
    if (op_count(depth->rank, depth->dims) != 1 || values->rank != 1 || values->dims[0] != 2)
        return op_bad(c, NIB_SHAPE, "depth or values do not fit");
    double d = op_number(depth, 0);
    if (!(d >= 0 && d < 9e15)) return op_bad(c, NIB_SHAPE, "bad depth");
    int64_t n = (int64_t)d;
    for (int i = 0, k = 0; i < dims.rank; i++) dims.d[i] = i == axis ? n : indices->dims[k++];
    OP_TRY(op_out(c, 0, values->dtype, &dims, &y));
    if (!y) return NIB_OK;
    op_fill(y, values->data, op_count(dims.rank, dims.d), size);
    int64_t inner = op_count(indices->rank - axis, indices->dims + axis), count = op_count(indices->rank, indices->dims);
    for (int64_t i = 0; i < count; i++) {
        double v = indices->dtype == NIB_DTYPE_I64 ? 0 : op_number(indices, i);
        int64_t index = indices->dtype == NIB_DTYPE_I64 ? op_index(indices, i) : v > -9e15 && v < 9e15 ? (int64_t)v : -n - 1;
        if (index < -n || index >= n) continue; /* all off */
        if (index < 0) index += n;
        memcpy(y + (size_t)((i / inner * n + index) * inner + i % inner) * size, (const char *)values->data + size, size);
    }
    return NIB_OK;
}

static nib_status infer_one_hot(op_infer *c) {
    const graph_type *x = op_in_type(c, 0);
    graph_dim dims[GRAPH_MAX_RANK], depth[GRAPH_MAX_DATA];
    int n;
    nib_dtype dtype = op_in_type(c, 2)->dtype;
    if (x->rank < 0) return op_set(c, 0, dtype, -1, NULL);
    if (x->rank + 1 > GRAPH_MAX_RANK) return op_fail(c, NIB_LIMIT, "rank %d", x->rank + 1);
    int axis = op_axis(graph_attr_int(c->node, "axis", -1), x->rank + 1);
    if (axis < 0) return op_fail(c, NIB_SHAPE, "axis out of range");
    bool known = op_in_data(c, 1, depth, &n) && n == 1;
    double number;
    if (!known && op_in(c, 1) && graph_scalar(op_in(c, 1), &number) && number >= 0 && number < 9e15) { /* of another type */
        depth[0] = op_const(c, (int64_t)number);
        known = true;
    }
    for (int i = 0, k = 0; i <= x->rank; i++) dims[i] = i == axis ? (known ? depth[0] : NULL) : x->dims[k++];
    return op_set(c, 0, dtype, x->rank + 1, dims);
}

const op op_family_scatter[] = {
    {"OneHot", "", 9, 3, 3, 1, OP_ROWS_MIXED, infer_one_hot, eval_one_hot, NULL},
    {"Scatter", "", 9, 3, 3, 1, OP_ROWS_MIXED, infer_scatter, eval_scatter_elements, NULL},
    {"ScatterElements", "", 11, 3, 3, 1, OP_ROWS_MIXED, infer_scatter, eval_scatter_elements, NULL},
    {"ScatterND", "", 11, 3, 3, 1, OP_ROWS_MIXED, infer_scatter, eval_scatter_nd, NULL},
    {0},
};
