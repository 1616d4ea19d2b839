/* SPDX-License-Identifier: Apache-2.0
 *
 * Operators that name or change a shape and leave the elements in order, https://onnx.ai/onnx/operators/: Shape Size Reshape
 * Flatten Squeeze Unsqueeze Identity Dropout and Expand, which also repeats. Here most symbolic contents begin:
 * the output of Shape is its input's dims.
 */
#include "op_random.h"

static nib_status copy_as(op_eval *c, const op_dims *dims) {
    const graph_tensor *x = op_arg(c, 0);
    void *y;
    OP_TRY(op_out(c, 0, x->dtype, dims, &y));
    int64_t n = op_count(x->rank, x->dims);
    if (y && n > 0) memcpy(y, x->data, (size_t)n * op_size(x->dtype));
    return NIB_OK;
}

/* ---- Shape, Size */

static void shape_range(const graph_node *n, int rank, int *from, int *to) {
    int64_t start = graph_attr_int(n, "start", 0), end = graph_attr_int(n, "end", rank);
    if (start < 0) start += rank;
    if (end < 0) end += rank;
    *from = (int)(start < 0 ? 0 : start > rank ? rank : start);
    *to = (int)(end < *from ? *from : end > rank ? rank : end);
}

static nib_status eval_shape(op_eval *c) {
    const graph_tensor *x = op_arg(c, 0);
    int from, to;
    int64_t *y;
    shape_range(c->node, x->rank, &from, &to);
    OP_TRY(op_out(c, 0, NIB_DTYPE_I64, &(op_dims){1, {to - from}}, &y));
    if (y && to > from) memcpy(y, x->dims + from, sizeof(int64_t) * (size_t)(to - from));
    return NIB_OK;
}

static nib_status infer_shape(op_infer *c) {
    const graph_type *x = op_in_type(c, 0);
    int from, to;
    if (x->rank < 0) return op_set(c, 0, NIB_DTYPE_I64, 1, NULL);
    shape_range(c->node, x->rank, &from, &to);
    graph_dim n = op_const(c, to - from);
    OP_TRY(op_set(c, 0, NIB_DTYPE_I64, 1, &n));
    return op_set_data(c, 0, x->dims + from, to - from);
}

static nib_status eval_size(op_eval *c) {
    const graph_tensor *x = op_arg(c, 0);
    int64_t *y;
    OP_TRY(op_out(c, 0, NIB_DTYPE_I64, &(op_dims){0, {0}}, &y));
    if (y) *y = op_count(x->rank, x->dims);
    return NIB_OK;
}

static nib_status infer_size(op_infer *c) {
    const graph_type *x = op_in_type(c, 0);
    OP_TRY(op_set(c, 0, NIB_DTYPE_I64, 0, NULL));
    if (x->rank < 0) return NIB_OK;
    graph_dim n = op_product(c, x->dims, 0, x->rank);
    return op_set_data(c, 0, &n, 1);
}

/* ---- Reshape, Flatten */

static nib_status eval_reshape(op_eval *c) {
    const graph_tensor *x = op_arg(c, 0);
    op_dims y = {0};
    int64_t known = 1, n = op_count(x->rank, x->dims);
    int hole = -1;
    bool allow_zero = graph_attr_int(c->node, "allowzero", 0) != 0;
    OP_TRY(op_read_ints(c, 1, GRAPH_MAX_RANK, y.d, &y.rank));
    for (int i = 0; i < y.rank; i++) {
        if (y.d[i] == -1) {
            if (hole >= 0) return op_bad(c, NIB_SHAPE, "two sizes are -1");
            hole = i;
            continue;
        }
        if (y.d[i] == 0 && !allow_zero) {
            if (i >= x->rank) return op_bad(c, NIB_SHAPE, "size %d is copied from an axis that the input does not have", i);
            y.d[i] = x->dims[i];
        }
        if (y.d[i] < 0 || !base_mul_i64(known, y.d[i], &known)) return op_bad(c, NIB_SHAPE, "bad size %lld", (long long)y.d[i]);
    }
    if (hole >= 0) {
        if (known == 0 && n != 0) return op_bad(c, NIB_SHAPE, "elements do not fit");
        y.d[hole] = known == 0 ? 0 : n / known;
        known *= y.d[hole];
    }
    if (known != n) return op_bad(c, NIB_SHAPE, "%lld elements do not fit a shape of %lld", (long long)n, (long long)known);
    return copy_as(c, &y);
}

/* The size that is left when the input's and the output's known sizes are divided out: what both have in common first, so
 * that an unknown size which is merely copied does no harm. */
static graph_dim remaining(const op_infer *c, const graph_type *x, const graph_dim *dims, int rank, int hole, const bool *copied) {
    graph_dim left[GRAPH_MAX_RANK], over = op_const(c, 1), under = op_const(c, 1);
    if (x->rank < 0) return NULL;
    memcpy(left, x->dims, sizeof(graph_dim) * (size_t)x->rank);
    bool taken[GRAPH_MAX_RANK] = {false}, matched[GRAPH_MAX_RANK] = {false};
    for (int i = 0; i < rank; i++) {
        if (i == hole) continue;
        if (copied[i] && i < x->rank && !taken[i]) taken[i] = matched[i] = true;
        for (int k = 0; k < x->rank && !matched[i]; k++)
            if (!taken[k] && left[k] && left[k] == dims[i]) taken[k] = matched[i] = true;
    }
    for (int k = 0; k < x->rank; k++)
        if (!taken[k]) over = graph_dim_mul(OP_SYMS(c), over, left[k]);
    for (int i = 0; i < rank; i++)
        if (i != hole && !matched[i]) under = graph_dim_mul(OP_SYMS(c), under, dims[i]);
    int64_t v;
    if (!over || !under || (graph_dim_is_const(under, &v) && v == 0)) return NULL;
    return graph_dim_div(OP_SYMS(c), over, under);
}

static nib_status infer_reshape(op_infer *c) {
    const graph_type *x = op_in_type(c, 0), *shape = op_in_type(c, 1);
    graph_dim target[GRAPH_MAX_DATA], dims[GRAPH_MAX_RANK];
    bool copied[GRAPH_MAX_RANK] = {false}, allow_zero = graph_attr_int(c->node, "allowzero", 0) != 0;
    int rank, hole = -1, holes = 0;
    int64_t v;
    if (!op_in_data(c, 1, target, &rank)) {
        if (shape->rank != 1 || !graph_dim_is_const(shape->dims[0], &v)) return op_set(c, 0, x->dtype, -1, NULL);
        if (v > GRAPH_MAX_RANK) return op_fail(c, NIB_LIMIT, "rank %lld", (long long)v);
        return op_set(c, 0, x->dtype, (int)v, NULL);
    }
    if (rank > GRAPH_MAX_RANK) return op_fail(c, NIB_LIMIT, "rank %d", rank);
    for (int i = 0; i < rank; i++) {
        dims[i] = target[i];
        bool number = graph_dim_is_const(target[i], &v);
        if (number && v < -1) return op_fail(c, NIB_SHAPE, "bad size %lld", (long long)v);
        if (number && v == -1 && hole >= 0 && target[hole]) return op_fail(c, NIB_SHAPE, "two sizes are -1");
        if (number && v == 0 && !allow_zero) {
            if (x->rank >= 0 && i >= x->rank)
                return op_fail(c, NIB_SHAPE, "size %d is copied from an axis that the input does not have", i);
            dims[i] = x->rank >= 0 ? x->dims[i] : NULL;
            copied[i] = true;
        }
        /* A size that cannot be told is whatever is left as well, if it is the only one. */
        if (!target[i] || (number && v == -1)) {
            dims[i] = NULL;
            holes++;
            if (hole < 0 || number) hole = i;
        }
    }
    if (holes == 1) dims[hole] = remaining(c, x, dims, rank, hole, copied);
    int64_t from = 0, to = 0;
    bool counted = x->rank >= 0 && graph_dim_is_const(op_product(c, x->dims, 0, x->rank), &from) &&
                   graph_dim_is_const(op_product(c, dims, 0, rank), &to);
    if (counted && from != to) return op_fail(c, NIB_SHAPE, "%lld elements do not fit a shape of %lld", (long long)from, (long long)to);
    OP_TRY(op_set(c, 0, x->dtype, rank, dims));
    graph_dim data[GRAPH_MAX_DATA];
    int n;
    return rank <= 1 && op_in_data(c, 0, data, &n) ? op_set_data(c, 0, data, n) : NIB_OK;
}

static nib_status eval_flatten(op_eval *c) {
    const graph_tensor *x = op_arg(c, 0);
    int64_t axis = graph_attr_int(c->node, "axis", 1);
    if (axis < 0) axis += x->rank;
    if (axis < 0 || axis > x->rank) return op_bad(c, NIB_SHAPE, "axis out of range");
    return copy_as(c, &(op_dims){2, {op_count((int)axis, x->dims), op_count(x->rank - (int)axis, x->dims + axis)}});
}

static nib_status infer_flatten(op_infer *c) {
    const graph_type *x = op_in_type(c, 0);
    int64_t axis = graph_attr_int(c->node, "axis", 1);
    if (x->rank < 0) return op_set(c, 0, x->dtype, 2, NULL);
    if (axis < 0) axis += x->rank;
    if (axis < 0 || axis > x->rank) return op_fail(c, NIB_SHAPE, "axis out of range");
    graph_dim dims[2] = {op_product(c, x->dims, 0, (int)axis), op_product(c, x->dims, (int)axis, x->rank)};
    return op_set(c, 0, x->dtype, 2, dims);
}

/* ---- Squeeze, Unsqueeze */

static nib_status eval_squeeze(op_eval *c) {
    const graph_tensor *x = op_arg(c, 0);
    int64_t axes[GRAPH_MAX_RANK];
    int n;
    uint32_t mask = 0;
    op_dims y = {0};
    OP_TRY(op_eval_axes(c, "axes", 1, axes, &n));
    if (n >= 0 && !op_axis_mask(axes, n, x->rank, &mask)) return op_bad(c, NIB_SHAPE, "axes out of range");
    for (int i = 0; i < x->rank; i++) {
        bool drop = n < 0 ? x->dims[i] == 1 : mask >> i & 1;
        if (drop && x->dims[i] != 1) return op_bad(c, NIB_SHAPE, "axis %d has size %lld", i, (long long)x->dims[i]);
        if (!drop) y.d[y.rank++] = x->dims[i];
    }
    return copy_as(c, &y);
}

static nib_status pass_data(op_infer *c) {
    graph_dim data[GRAPH_MAX_DATA];
    int n;
    return op_in_data(c, 0, data, &n) ? op_set_data(c, 0, data, n) : NIB_OK;
}

static nib_status infer_squeeze(op_infer *c) {
    const graph_type *x = op_in_type(c, 0);
    int64_t axes[GRAPH_MAX_RANK], v;
    int n, rank = 0;
    uint32_t mask = 0;
    graph_dim dims[GRAPH_MAX_RANK];
    op_infer_axes(c, "axes", 1, axes, &n);
    if (x->rank < 0 || n == -2) return op_set(c, 0, x->dtype, -1, NULL);
    if (n >= 0 && !op_axis_mask(axes, n, x->rank, &mask)) return op_fail(c, NIB_SHAPE, "axes out of range");
    for (int i = 0; i < x->rank; i++) {
        bool number = graph_dim_is_const(x->dims[i], &v);
        if (n < 0 && !number) return op_set(c, 0, x->dtype, -1, NULL);
        bool drop = n < 0 ? v == 1 : mask >> i & 1;
        if (drop && number && v != 1) return op_fail(c, NIB_SHAPE, "axis %d has size %lld", i, (long long)v);
        if (!drop) dims[rank++] = x->dims[i];
    }
    OP_TRY(op_set(c, 0, x->dtype, rank, dims));
    return pass_data(c);
}

static nib_status eval_unsqueeze(op_eval *c) {
    const graph_tensor *x = op_arg(c, 0);
    int64_t axes[GRAPH_MAX_RANK];
    int n;
    uint32_t mask;
    op_dims y = {0};
    OP_TRY(op_eval_axes(c, "axes", 1, axes, &n));
    if (n < 0) return op_bad(c, NIB_BAD_MODEL, "axes are missing");
    if (x->rank + n > GRAPH_MAX_RANK) return op_bad(c, NIB_LIMIT, "rank %d", x->rank + n);
    y.rank = x->rank + n;
    if (!op_axis_mask(axes, n, y.rank, &mask)) return op_bad(c, NIB_SHAPE, "axes out of range");
    for (int i = 0, k = 0; i < y.rank; i++) y.d[i] = mask >> i & 1 ? 1 : x->dims[k++];
    return copy_as(c, &y);
}

static nib_status infer_unsqueeze(op_infer *c) {
    const graph_type *x = op_in_type(c, 0);
    int64_t axes[GRAPH_MAX_RANK], v;
    int n, rank;
    uint32_t mask;
    graph_dim dims[GRAPH_MAX_RANK];
    op_infer_axes(c, "axes", 1, axes, &n);
    if (n == -1) return op_fail(c, NIB_BAD_MODEL, "axes are missing");
    if (x->rank < 0) return op_set(c, 0, x->dtype, -1, NULL);
    if (n == -2) {
        const graph_type *t = op_in_type(c, 1);
        bool counted = t->rank == 1 && graph_dim_is_const(t->dims[0], &v) && v >= 0 && v <= GRAPH_MAX_RANK;
        return op_set(c, 0, x->dtype, counted ? x->rank + (int)v : -1, NULL);
    }
    rank = x->rank + n;
    if (rank > GRAPH_MAX_RANK) return op_fail(c, NIB_LIMIT, "rank %d", rank);
    if (!op_axis_mask(axes, n, rank, &mask)) return op_fail(c, NIB_SHAPE, "axes out of range");
    for (int i = 0, k = 0; i < rank; i++) dims[i] = mask >> i & 1 ? op_const(c, 1) : x->dims[k++];
    OP_TRY(op_set(c, 0, x->dtype, rank, dims));
    return pass_data(c);
}

/* ---- Identity, Dropout */

static nib_status infer_identity(op_infer *c) {
    const graph_value *x = op_in(c, 0);
    graph_value *y = c->node->outputs[0];
    if (x && y && x->type.kind != GRAPH_KIND_TENSOR) {
        y->type = x->type;
        return NIB_OK;
    }
    OP_TRY(op_infer_same(c));
    return pass_data(c);
}

static nib_status eval_identity(op_eval *c) {
    op_dims dims = op_dims_of(op_arg(c, 0));
    return copy_as(c, &dims);
}

/* Without training nothing is dropped and every element of the mask is true (before opset 10 the mask has the data's type). */
static nib_status infer_dropout(op_infer *c) {
    OP_TRY(op_infer_same(c));
    return op_set_like(c, 1, op_since(c->node) < 10 ? op_in_type(c, 0)->dtype : NIB_DTYPE_BOOL, op_in_type(c, 0));
}

static nib_status eval_dropout(op_eval *c) {
    const graph_tensor *x = op_arg(c, 0), *training = op_arg(c, 2), *given = op_arg(c, 1);
    op_dims dims = op_dims_of(x);
    void *y, *mask;
    nib_dtype dtype = op_since(c->node) < 10 ? x->dtype : NIB_DTYPE_BOOL;
    double ratio = given && op_count(given->rank, given->dims) > 0 ? op_number(given, 0) : 0.5;
    if (!op_is_float(x->dtype)) return op_bad(c, NIB_TYPE, "input of type %s", nib_dtype_name(x->dtype));
    if (op_since(c->node) < 7 && graph_attr_int(c->node, "is_test", 0) == 0) return op_bad(c, NIB_UNSUPPORTED, "training");
    if (!training || op_count(training->rank, training->dims) == 0 || op_number(training, 0) == 0) ratio = 0;
    if (!(ratio >= 0 && ratio <= 1)) return op_bad(c, NIB_SHAPE, "ratio is not between 0 and 1");
    OP_TRY(op_out(c, 0, x->dtype, &dims, &y));
    OP_TRY(op_out(c, 1, dtype, &dims, &mask));
    int64_t n = op_count(dims.rank, dims.d);
    if (ratio == 0 && y && n > 0) memcpy(y, x->data, (size_t)n * op_size(x->dtype));
    op_random r = op_random_of(c->node);
    for (int64_t i = 0; i < n && (ratio > 0 || mask); i++) {
        bool keep = ratio == 0 || op_random_uniform(&r) >= ratio;
        if (mask) op_put(dtype, mask, i, keep);
        if (ratio > 0 && y) op_put(x->dtype, y, i, keep ? op_number(x, i) / (1 - ratio) : 0);
    }
    return NIB_OK;
}

/* ---- Expand: broadcast to a shape, both ways */

static nib_status eval_expand(op_eval *c) {
    const graph_tensor *x = op_arg(c, 0);
    graph_tensor wanted = {0};
    op_dims dims;
    void *y;
    int64_t own[GRAPH_MAX_RANK], strides[GRAPH_MAX_RANK] = {0};
    OP_TRY(op_read_ints(c, 1, GRAPH_MAX_RANK, wanted.dims, &wanted.rank));
    for (int i = 0; i < wanted.rank; i++)
        if (wanted.dims[i] < 0) return op_bad(c, NIB_SHAPE, "bad size %lld", (long long)wanted.dims[i]);
    OP_TRY(op_broadcast_dims(c, 2, (const graph_tensor *const[]){x, &wanted}, &dims));
    OP_TRY(op_out(c, 0, x->dtype, &dims, &y));
    if (!y) return NIB_OK;
    int shift = dims.rank - x->rank;
    op_strides(x->rank, x->dims, own);
    for (int i = shift; i < dims.rank; i++) strides[i] = x->dims[i - shift] == 1 ? 0 : own[i - shift];
    op_copy(y, NULL, x->data, strides, dims.rank, dims.d, op_size(x->dtype));
    return NIB_OK;
}

static nib_status infer_expand(op_infer *c) {
    const graph_type *x = op_in_type(c, 0), *s = op_in_type(c, 1);
    graph_type wanted = {.rank = -1};
    graph_dim target[GRAPH_MAX_DATA], dims[GRAPH_MAX_RANK];
    int rank;
    int64_t v;
    if (op_in_data(c, 1, target, &rank)) {
        if (rank > GRAPH_MAX_RANK) return op_fail(c, NIB_LIMIT, "rank %d", rank);
        wanted.rank = rank;
        memcpy(wanted.dims, target, sizeof(graph_dim) * (size_t)rank);
        for (int i = 0; i < rank; i++)
            if (graph_dim_is_const(wanted.dims[i], &v) && v < 0) return op_fail(c, NIB_SHAPE, "bad size %lld", (long long)v);
    } else if (s->rank == 1 && graph_dim_is_const(s->dims[0], &v) && v >= 0 && v <= GRAPH_MAX_RANK) {
        wanted.rank = (int)v;
    }
    if (x->rank < 0 || wanted.rank < 0) return op_set(c, 0, x->dtype, -1, NULL);
    rank = op_broadcast(OP_SYMS(c), x, &wanted, dims);
    if (rank < 0) return op_fail(c, NIB_SHAPE, "input does not broadcast to the shape");
    OP_TRY(op_set(c, 0, x->dtype, rank, dims));
    /* Contents of one element, repeated. */
    graph_dim data[GRAPH_MAX_DATA];
    int n;
    if (rank != 1 || !graph_dim_is_const(dims[0], &v) || v > GRAPH_MAX_DATA || !op_in_data(c, 0, data, &n) || (n != 1 && n != v))
        return NIB_OK;
    for (int i = 1; n == 1 && i < v; i++) data[i] = data[0];
    return op_set_data(c, 0, data, (int)v);
}

const op op_family_shape[] = {
    {"Dropout", "", 1, 1, 1, 2, OP_ROWS_MIXED, infer_dropout, eval_dropout, NULL},
    {"Dropout", "", 7, 1, 1, 2, OP_ROWS_ELEMENT, infer_dropout, eval_dropout, NULL},
    {"Dropout", "", 10, 1, 1, 2, OP_ROWS_ELEMENT, infer_dropout, eval_dropout, NULL},
    {"Dropout", "", 12, 1, 3, 2, OP_ROWS_MIXED, infer_dropout, eval_dropout, NULL},
    {"Expand", "", 8, 2, 2, 1, OP_ROWS_MIXED, infer_expand, eval_expand, NULL},
    {"Flatten", "", 1, 1, 1, 1, OP_ROWS_MIXED, infer_flatten, eval_flatten, NULL},
    {"Identity", "", 1, 1, 1, 1, OP_ROWS_ELEMENT | OP_LISTS, infer_identity, eval_identity, NULL},
    {"Reshape", "", 5, 2, 2, 1, OP_ROWS_MIXED, infer_reshape, eval_reshape, NULL},
    {"Shape", "", 1, 1, 1, 1, OP_ROWS_MIXED, infer_shape, eval_shape, NULL},
    {"Size", "", 1, 1, 1, 1, OP_ROWS_MIXED, infer_size, eval_size, NULL},
    {"Squeeze", "", 1, 1, 1, 1, OP_ROWS_MIXED, infer_squeeze, eval_squeeze, NULL},
    {"Squeeze", "", 13, 1, 2, 1, OP_ROWS_MIXED, infer_squeeze, eval_squeeze, NULL},
    {"Unsqueeze", "", 1, 1, 1, 1, OP_ROWS_MIXED, infer_unsqueeze, eval_unsqueeze, NULL},
    {"Unsqueeze", "", 13, 2, 2, 1, OP_ROWS_MIXED, infer_unsqueeze, eval_unsqueeze, NULL},
    {0},
};
