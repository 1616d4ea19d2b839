/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading by index, https://onnx.ai/onnx/operators/: Gather GatherElements GatherND Compress. Indices count from the back
 * where negative; one out of range is an error that names the node, never a read.
 */
#include "op_local.h"

static nib_status index_type(op_eval *c, const graph_tensor *t) {
    return t->dtype == NIB_DTYPE_I64 || t->dtype == NIB_DTYPE_I32 ? NIB_OK
                                                                  : op_bad(c, NIB_TYPE, "indices of type %s", nib_dtype_name(t->dtype));
}

static nib_status bad_index(op_eval *c, int64_t index, int64_t size) {
    return op_bad(c, NIB_SHAPE, "index %lld is out of range for size %lld", (long long)index, (long long)size);
}

/* ---- Gather */

static nib_status eval_gather(op_eval *c) {
    const graph_tensor *x = op_arg(c, 0), *indices = op_arg(c, 1);
    int axis = op_axis(graph_attr_int(c->node, "axis", 0), x->rank);
    op_dims dims = {0};
    char *y;
    OP_TRY(index_type(c, indices));
    if (axis < 0) return op_bad(c, NIB_SHAPE, "axis out of range");
    if (x->rank + indices->rank - 1 > GRAPH_MAX_RANK) return op_bad(c, NIB_LIMIT, "rank %d", x->rank + indices->rank - 1);
    for (int i = 0; i < axis; i++) dims.d[dims.rank++] = x->dims[i];
    for (int i = 0; i < indices->rank; i++) dims.d[dims.rank++] = indices->dims[i];
    for (int i = axis + 1; i < x->rank; i++) dims.d[dims.rank++] = x->dims[i];
    OP_TRY(op_out(c, 0, x->dtype, &dims, &y));
    int64_t n = op_count(indices->rank, indices->dims), size = x->dims[axis], outer = op_count(axis, x->dims);
    size_t row = (size_t)op_count(x->rank - axis - 1, x->dims + axis + 1) * op_size(x->dtype);
    if (!y) return NIB_OK;
    for (int64_t i = 0; i < n; i++) {
        int64_t index = op_index(indices, i);
        if (index < -size || index >= size) return bad_index(c, index, size);
        if (index < 0) index += size;
        for (int64_t k = 0; row > 0 && k < outer; k++)
            memcpy(y + (size_t)(k * n + i) * row, (const char *)x->data + (size_t)(k * size + index) * row, row);
    }
    return NIB_OK;
}

static nib_status infer_gather(op_infer *c) {
    const graph_type *x = op_in_type(c, 0), *t = op_in_type(c, 1);
    graph_dim dims[2 * GRAPH_MAX_RANK], data[GRAPH_MAX_DATA], out[GRAPH_MAX_DATA];
    int64_t index[GRAPH_MAX_DATA];
    int rank = 0, n, m;
    if (t->dtype != NIB_DTYPE_UNDEFINED && t->dtype != NIB_DTYPE_I64 && t->dtype != NIB_DTYPE_I32)
        return op_fail(c, NIB_TYPE, "indices of type %s", nib_dtype_name(t->dtype));
    if (x->rank < 0 || t->rank < 0) return op_set(c, 0, x->dtype, -1, NULL);
    int axis = op_axis(graph_attr_int(c->node, "axis", 0), x->rank);
    if (axis < 0) return op_fail(c, NIB_SHAPE, "axis out of range");
    for (int i = 0; i < axis; i++) dims[rank++] = x->dims[i];
    for (int i = 0; i < t->rank; i++) dims[rank++] = t->dims[i];
    for (int i = axis + 1; i < x->rank; i++) dims[rank++] = x->dims[i];
    OP_TRY(op_set(c, 0, x->dtype, rank, dims));
    if (x->rank != 1 || t->rank > 1 || !op_in_data(c, 0, data, &n) || !op_in_ints(c, 1, index, &m)) return NIB_OK;
    for (int i = 0; i < m; i++) {
        if (index[i] < -n || index[i] >= n) return op_fail(c, NIB_SHAPE, "index %lld is out of range for size %d", (long long)index[i], n);
        out[i] = data[index[i] < 0 ? index[i] + n : index[i]];
    }
    return op_set_data(c, 0, out, m);
}

/* ---- GatherElements */

/* to[j] = from[index[j] * stride + j * step] for the n indices from number `first` on; false, and which, at one that is out of range. */
#define GATHER_AS(type)                                                                                                                    \
    for (int64_t j = 0; j < n; j++) {                                                                                                      \
        int64_t at = op_index(indices, first + j);                                                                                         \
        if (at < -extent || at >= extent) return *wrong = at, false;                                                                       \
        memcpy(to + j * (int64_t)(type), from + ((at < 0 ? at + extent : at) * stride + j * step) * (int64_t)(type), (type));              \
    }
static bool gather_line(char *to, const char *from, size_t size, const graph_tensor *indices, int64_t first, int64_t n, int64_t extent,
                        int64_t stride, int64_t step, int64_t *wrong) {
    if (size == sizeof(float)) GATHER_AS(sizeof(float))
    else GATHER_AS(size)
    return true;
}

static nib_status eval_gather_elements(op_eval *c) {
    const graph_tensor *x = op_arg(c, 0), *indices = op_arg(c, 1);
    op_dims dims = op_dims_of(indices);
    int axis = op_axis(graph_attr_int(c->node, "axis", 0), x->rank);
    int64_t own[GRAPH_MAX_RANK], at[GRAPH_MAX_RANK] = {0}, n = op_count(dims.rank, dims.d);
    char *y;
    OP_TRY(index_type(c, indices));
    if (axis < 0 || indices->rank != x->rank) return op_bad(c, NIB_SHAPE, "axis or rank of indices does not fit");
    for (int i = 0; i < x->rank; i++)
        if (i != axis && dims.d[i] > x->dims[i]) return op_bad(c, NIB_SHAPE, "indices are larger than the data on axis %d", i);
    OP_TRY(op_out(c, 0, x->dtype, &dims, &y));
    const size_t size = op_size(x->dtype);
    op_strides(x->rank, x->dims, own);
    const int last = dims.rank - 1;
    const int64_t width = dims.d[last], extent = x->dims[axis];
    int64_t index;
    for (int64_t i = 0; y && i < n; i += width) {
        int64_t from = 0;
        for (int k = 0; k < last; k++) from += k == axis ? 0 : own[k] * at[k];
        if (!gather_line(y + (size_t)i * size, (const char *)x->data + (size_t)from * size, size, indices, i, width, extent, own[axis],
                         axis == last ? 0 : 1, &index))
            return bad_index(c, index, extent);
        for (int k = last - 1; k >= 0 && ++at[k] == dims.d[k]; k--) at[k] = 0;
    }
    return NIB_OK;
}

static nib_status infer_gather_elements(op_infer *c) { return op_set_like(c, 0, op_in_type(c, 0)->dtype, op_in_type(c, 1)); }

/* ---- GatherND */

static nib_status eval_gather_nd(op_eval *c) {
    const graph_tensor *x = op_arg(c, 0), *indices = op_arg(c, 1);
    int64_t batch = graph_attr_int(c->node, "batch_dims", 0), own[GRAPH_MAX_RANK];
    op_dims dims = {0};
    char *y;
    OP_TRY(index_type(c, indices));
    if (indices->rank < 1 || x->rank < 1 || batch < 0 || batch >= x->rank || batch >= indices->rank)
        return op_bad(c, NIB_SHAPE, "ranks do not fit");
    int64_t depth = indices->dims[indices->rank - 1];
    if (depth < 1 || depth > x->rank - batch) return op_bad(c, NIB_SHAPE, "index tuples of %lld", (long long)depth);
    int tail = x->rank - (int)batch - (int)depth;
    if (indices->rank - 1 + tail > GRAPH_MAX_RANK) return op_bad(c, NIB_LIMIT, "rank %d", indices->rank - 1 + tail);
    for (int i = 0; i < indices->rank - 1; i++) dims.d[dims.rank++] = indices->dims[i];
    for (int i = x->rank - tail; i < x->rank; i++) dims.d[dims.rank++] = x->dims[i];
    for (int i = 0; i < batch; i++)
        if (x->dims[i] != indices->dims[i]) return op_bad(c, NIB_SHAPE, "batch axis %d differs", i);
    OP_TRY(op_out(c, 0, x->dtype, &dims, &y));
    op_strides(x->rank, x->dims, own);
    int64_t tuples = op_count(indices->rank - 1, indices->dims), batches = op_count((int)batch, x->dims),
            per_batch = batches > 0 ? tuples / batches : 0;
    size_t size = op_size(x->dtype), row = (size_t)op_count(tail, x->dims + x->rank - tail) * size;
    int64_t batch_size = op_count(x->rank - (int)batch, x->dims + batch);
    for (int64_t i = 0; y && i < tuples; i++) {
        int64_t from = i / per_batch * batch_size;
        for (int k = 0; k < depth; k++) {
            int64_t index = op_index(indices, i * depth + k), n = x->dims[batch + k];
            if (index < -n || index >= n) return bad_index(c, index, n);
            from += own[batch + k] * (index < 0 ? index + n : index);
        }
        if (row > 0) memcpy(y + (size_t)i * row, (const char *)x->data + (size_t)from * size, row);
    }
    return NIB_OK;
}

static nib_status infer_gather_nd(op_infer *c) {
    const graph_type *x = op_in_type(c, 0), *t = op_in_type(c, 1);
    int64_t depth, batch = graph_attr_int(c->node, "batch_dims", 0);
    graph_dim dims[2 * GRAPH_MAX_RANK];
    int rank = 0;
    if (x->rank < 0 || t->rank < 0) return op_set(c, 0, x->dtype, -1, NULL);
    if (x->rank < 1 || t->rank < 1 || batch < 0 || batch >= x->rank || batch >= t->rank) return op_fail(c, NIB_SHAPE, "ranks do not fit");
    if (!graph_dim_is_const(t->dims[t->rank - 1], &depth)) return op_set(c, 0, x->dtype, -1, NULL);
    if (depth < 1 || depth > x->rank - batch) return op_fail(c, NIB_SHAPE, "index tuples of %lld", (long long)depth);
    for (int i = 0; i < t->rank - 1; i++) dims[rank++] = t->dims[i];
    for (int i = (int)(batch + depth); i < x->rank; i++) dims[rank++] = x->dims[i];
    return op_set(c, 0, x->dtype, rank, dims);
}

/* ---- Compress: slices along an axis (or elements) where a condition holds */

static nib_status eval_compress(op_eval *c) {
    const graph_tensor *x = op_arg(c, 0), *condition = op_arg(c, 1);
    bool flat = !graph_find_attr(c->node, "axis");
    int axis = flat ? 0 : op_axis(graph_attr_int(c->node, "axis", 0), x->rank);
    char *y;
    if (condition->dtype != NIB_DTYPE_BOOL || condition->rank != 1) return op_bad(c, NIB_TYPE, "condition must be a list of bools");
    if (axis < 0) return op_bad(c, NIB_SHAPE, "axis out of range");
    op_dims dims = flat ? (op_dims){1, {op_count(x->rank, x->dims)}} : op_dims_of(x);
    int64_t size = dims.d[axis], outer = flat ? 1 : op_count(axis, x->dims), n = condition->dims[0], kept = 0;
    size_t row = (size_t)(flat ? 1 : op_count(x->rank - axis - 1, x->dims + axis + 1)) * op_size(x->dtype);
    const uint8_t *keep = condition->data;
    if (n > size) n = size;
    for (int64_t i = 0; i < n; i++) kept += keep[i] != 0;
    dims.d[axis] = kept;
    OP_TRY(op_out(c, 0, x->dtype, &dims, &y));
    if (!y || kept == 0 || row == 0) return NIB_OK;
    for (int64_t k = 0; k < outer; k++)
        for (int64_t i = 0; i < n; i++) {
            if (!keep[i]) continue;
            memcpy(y, (const char *)x->data + (size_t)(k * size + i) * row, row);
            y += row;
        }
    return NIB_OK;
}

/* A size that depends on data is a new symbol, made once: inferring again finds it in the output's type. */
static graph_dim counted(op_infer *c, int axis, const char *hint) {
    const graph_value *y = c->node->outputs[0];
    graph_dim known = y && y->type.rank > axis ? y->type.dims[axis] : NULL;
    return known ? known : graph_dim_fresh(OP_SYMS(c), hint);
}

static nib_status infer_compress(op_infer *c) {
    const graph_type *x = op_in_type(c, 0);
    graph_dim dims[GRAPH_MAX_RANK];
    if (!graph_find_attr(c->node, "axis")) {
        dims[0] = counted(c, 0, "compressed");
        return op_set(c, 0, x->dtype, 1, dims);
    }
    if (x->rank < 0) return op_set(c, 0, x->dtype, -1, NULL);
    int axis = op_axis(graph_attr_int(c->node, "axis", 0), x->rank);
    if (axis < 0) return op_fail(c, NIB_SHAPE, "axis out of range");
    memcpy(dims, x->dims, sizeof dims);
    dims[axis] = counted(c, axis, "compressed");
    return op_set(c, 0, x->dtype, x->rank, dims);
}

/* ---- NonZero: coordinates of what is not zero, one column each */

static bool is_zero(const graph_tensor *x, int64_t i) {
    switch (x->dtype) {
#define ZERO(N, S, W, LOAD, STORE, C)                                                                                                      \
    case NIB_DTYPE_##N: return LOAD(((const S *)x->data)[i]) == 0;
        OP_NUMBERS(ZERO)
    default: return ((const uint8_t *)x->data)[i] == 0;
    }
}

static nib_status eval_non_zero(op_eval *c) {
    const graph_tensor *x = op_arg(c, 0);
    int64_t n = op_count(x->rank, x->dims), found = 0, at[GRAPH_MAX_RANK] = {0}, *y;
    int rank = x->rank; /* a scalar gives [0, 1] or [0, 0]: no coordinates */
    if (!op_is_float(x->dtype) && !op_is_int(x->dtype) && x->dtype != NIB_DTYPE_BOOL)
        return op_bad(c, NIB_TYPE, "input of type %s", nib_dtype_name(x->dtype));
    for (int64_t i = 0; i < n; i++) found += !is_zero(x, i);
    OP_TRY(op_out(c, 0, NIB_DTYPE_I64, &(op_dims){2, {rank, found}}, &y));
    for (int64_t i = 0, column = 0; y && rank > 0 && i < n; i++) {
        if (!is_zero(x, i)) {
            for (int k = 0; k < rank; k++) y[k * found + column] = at[k];
            column++;
        }
        for (int k = rank - 1; k >= 0 && ++at[k] == x->dims[k]; k--) at[k] = 0;
    }
    return NIB_OK;
}

static nib_status infer_non_zero(op_infer *c) {
    const graph_type *x = op_in_type(c, 0);
    graph_dim dims[2] = {x->rank >= 0 ? op_const(c, x->rank) : NULL, counted(c, 1, "nonzero")};
    return op_set(c, 0, NIB_DTYPE_I64, 2, dims);
}

const op op_family_gather[] = {
    {"Compress", "", 9, 2, 2, 1, OP_ROWS_MIXED, infer_compress, eval_compress, NULL},
    {"Gather", "", 1, 2, 2, 1, OP_ROWS_GATHER, infer_gather, eval_gather, NULL},
    {"GatherElements", "", 11, 2, 2, 1, OP_ROWS_MIXED, infer_gather_elements, eval_gather_elements, NULL},
    {"GatherND", "", 11, 2, 2, 1, OP_ROWS_MIXED, infer_gather_nd, eval_gather_nd, NULL},
    {"NonZero", "", 9, 1, 1, 1, OP_ROWS_MIXED, infer_non_zero, eval_non_zero, NULL},
    {0},
};
