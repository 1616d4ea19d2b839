/* SPDX-License-Identifier: Apache-2.0
 *
 * Operators that put elements elsewhere without looking at them, https://onnx.ai/onnx/operators/: Transpose Concat Split Tile
 * Pad Trilu, for every element type of at least a byte. (Slice is in op_slice.c.)
 */
#include "op_local.h"

/* ---- Transpose */

/* The permutation; false if it is none. */
static bool permutation(const graph_node *n, int rank, int *perm) {
    const int64_t *list;
    int64_t count = graph_attr_ints(n, "perm", &list);
    uint32_t seen = 0;
    if (count < 0)
        for (int i = 0; i < rank; i++) perm[i] = rank - 1 - i;
    if (count < 0) return true;
    if (count != rank || !op_axis_mask(list, (int)count, rank, &seen)) return false;
    for (int i = 0; i < rank; i++) perm[i] = op_axis(list[i], rank);
    return true;
}

static nib_status eval_transpose(op_eval *c) {
    const graph_tensor *x = op_arg(c, 0);
    int perm[GRAPH_MAX_RANK];
    int64_t own[GRAPH_MAX_RANK], strides[GRAPH_MAX_RANK];
    op_dims dims = {.rank = x->rank};
    void *y;
    if (!permutation(c->node, x->rank, perm)) return op_bad(c, NIB_SHAPE, "perm is no permutation of %d axes", x->rank);
    op_strides(x->rank, x->dims, own);
    for (int i = 0; i < x->rank; i++) {
        dims.d[i] = x->dims[perm[i]];
        strides[i] = own[perm[i]];
    }
    OP_TRY(op_out(c, 0, x->dtype, &dims, &y));
    if (y) op_copy(y, NULL, x->data, strides, dims.rank, dims.d, op_size(x->dtype));
    return NIB_OK;
}

static nib_status infer_transpose(op_infer *c) {
    const graph_type *x = op_in_type(c, 0);
    int perm[GRAPH_MAX_RANK];
    graph_dim dims[GRAPH_MAX_RANK];
    if (x->rank < 0) return op_set(c, 0, x->dtype, -1, NULL);
    if (!permutation(c->node, x->rank, perm)) return op_fail(c, NIB_SHAPE, "perm is no permutation of %d axes", x->rank);
    for (int i = 0; i < x->rank; i++) dims[i] = x->dims[perm[i]];
    return op_set(c, 0, x->dtype, x->rank, dims);
}

/* ---- Concat */

static nib_status eval_concat(op_eval *c) {
    const graph_tensor *first = op_arg(c, 0);
    op_dims dims = op_dims_of(first);
    char *y;
    int axis = op_axis(graph_attr_int(c->node, "axis", op_since(c->node) < 4 ? 1 : 0), first->rank);
    if (axis < 0) return op_bad(c, NIB_SHAPE, "axis out of range");
    dims.d[axis] = 0;
    for (int i = 0; i < c->n_in; i++) {
        const graph_tensor *x = op_arg(c, i);
        if (x->dtype != first->dtype) return op_bad(c, NIB_TYPE, "inputs differ in type");
        if (x->rank != first->rank) return op_bad(c, NIB_SHAPE, "inputs differ in rank");
        for (int k = 0; k < x->rank; k++)
            if (k != axis && x->dims[k] != dims.d[k])
                return op_bad(c, NIB_SHAPE, "input %d has size %lld on axis %d", i, (long long)x->dims[k], k);
        if (x->dims[axis] > INT64_MAX - dims.d[axis]) return op_bad(c, NIB_LIMIT, "output is too large");
        dims.d[axis] += x->dims[axis];
    }
    OP_TRY(op_out(c, 0, first->dtype, &dims, &y));
    int64_t n = op_count(dims.rank, dims.d);
    if (!y || n == 0) return NIB_OK;
    size_t size = op_size(first->dtype), at = 0;
    int64_t outer = op_count(axis, dims.d), inner = op_count(dims.rank - axis - 1, dims.d + axis + 1);
    size_t row = (size_t)(dims.d[axis] * inner) * size;
    for (int i = 0; i < c->n_in; i++) {
        size_t part = (size_t)(op_arg(c, i)->dims[axis] * inner) * size;
        for (int64_t k = 0; part > 0 && k < outer; k++)
            memcpy(y + (size_t)k * row + at, (const char *)op_arg(c, i)->data + (size_t)k * part, part);
        at += part;
    }
    return NIB_OK;
}

static nib_status concat_data(op_infer *c) {
    graph_dim data[GRAPH_MAX_DATA], part[GRAPH_MAX_DATA];
    int n = 0, k;
    for (int i = 0; i < c->node->n_inputs; i++) {
        int64_t v;
        const graph_type *x = op_in_type(c, i);
        if (!op_in_data(c, i, part, &k)) {
            if (x->rank != 1 || !graph_dim_is_const(x->dims[0], &v) || v < 0 || v > GRAPH_MAX_DATA) return NIB_OK;
            k = (int)v;
            for (int j = 0; j < k; j++) part[j] = NULL;
        }
        if (n + k > GRAPH_MAX_DATA) return NIB_OK;
        if (k > 0) memcpy(data + n, part, sizeof(graph_dim) * (size_t)k);
        n += k;
    }
    return op_set_data(c, 0, data, n);
}

static nib_status infer_concat(op_infer *c) {
    graph_type y = {.rank = -1};
    nib_dtype dtype = NIB_DTYPE_UNDEFINED;
    int axis = -1;
    bool all = true;
    graph_dim sum = op_const(c, 0);
    for (int i = 0; i < c->node->n_inputs; i++) {
        const graph_type *x = op_in_type(c, i);
        if (dtype == NIB_DTYPE_UNDEFINED) dtype = x->dtype;
        if (x->dtype != NIB_DTYPE_UNDEFINED && x->dtype != dtype) return op_fail(c, NIB_TYPE, "inputs differ in type");
        all = all && x->rank >= 0;
        if (x->rank < 0) continue;
        if (y.rank < 0) {
            y = *x;
            axis = op_axis(graph_attr_int(c->node, "axis", op_since(c->node) < 4 ? 1 : 0), x->rank);
            if (axis < 0) return op_fail(c, NIB_SHAPE, "axis out of range");
        }
        if (x->rank != y.rank) return op_fail(c, NIB_SHAPE, "inputs differ in rank");
        sum = graph_dim_add(OP_SYMS(c), sum, x->dims[axis]);
        for (int k = 0; k < x->rank; k++) {
            int64_t p, q;
            bool a = graph_dim_is_const(y.dims[k], &p), b = graph_dim_is_const(x->dims[k], &q);
            if (k == axis) continue;
            if (a && b && p != q) return op_fail(c, NIB_SHAPE, "inputs differ in size on axis %d", k);
            if (!y.dims[k] || b) y.dims[k] = x->dims[k];
        }
    }
    if (y.rank >= 0) y.dims[axis] = all ? sum : NULL;
    OP_TRY(op_set_like(c, 0, dtype, &y));
    return y.rank == 1 && (op_is_int(dtype) || dtype == NIB_DTYPE_BOOL) ? concat_data(c) : NIB_OK;
}

/* ---- Split */

/* Size of part i of `n` equal ones of `total`; with num_outputs (opset 18) the last is smaller. */
static int64_t even_part(int64_t total, int n, int i) {
    int64_t size = total / n + (total % n != 0), left = total - (i > 0 && size > total / i ? total : size * i);
    return left < size ? left : size;
}

static nib_status eval_split(op_eval *c) {
    const graph_tensor *x = op_arg(c, 0), *sizes = op_arg(c, 1);
    const int64_t *list;
    int axis = op_axis(graph_attr_int(c->node, "axis", 0), x->rank), n = c->node->n_outputs;
    int64_t count = graph_attr_ints(c->node, "split", &list), at = 0;
    if (axis < 0) return op_bad(c, NIB_SHAPE, "axis out of range");
    if (sizes) {
        if ((sizes->dtype != NIB_DTYPE_I64 && sizes->dtype != NIB_DTYPE_I32) || sizes->rank != 1)
            return op_bad(c, NIB_TYPE, "split must be a list of integers");
        count = sizes->dims[0];
    }
    if (count >= 0 && count != n) return op_bad(c, NIB_SHAPE, "%lld sizes for %d outputs", (long long)count, n);
    if (count < 0 && op_since(c->node) < 18 && x->dims[axis] % n != 0) return op_bad(c, NIB_SHAPE, "does not split into %d equal parts", n);
    int64_t strides[GRAPH_MAX_RANK];
    op_strides(x->rank, x->dims, strides);
    for (int i = 0; i < n; i++) {
        op_dims dims = op_dims_of(x);
        int64_t size = sizes ? op_index(sizes, i) : count >= 0 ? list[i] : even_part(x->dims[axis], n, i);
        void *y;
        if (size < 0 || size > x->dims[axis] - at) return op_bad(c, NIB_SHAPE, "sizes do not add up to %lld", (long long)x->dims[axis]);
        dims.d[axis] = size;
        OP_TRY(op_out(c, i, x->dtype, &dims, &y));
        if (y && op_count(dims.rank, dims.d) > 0)
            op_copy(y, NULL, (const char *)x->data + (size_t)(at * strides[axis]) * op_size(x->dtype), strides, dims.rank, dims.d,
                    op_size(x->dtype));
        at += size;
    }
    return at == x->dims[axis] ? NIB_OK : op_bad(c, NIB_SHAPE, "sizes do not add up to %lld", (long long)x->dims[axis]);
}

static nib_status infer_split(op_infer *c) {
    const graph_type *x = op_in_type(c, 0);
    const int64_t *list;
    graph_dim sizes[GRAPH_MAX_DATA], dims[GRAPH_MAX_RANK], data[GRAPH_MAX_DATA];
    int n = c->node->n_outputs, k = 0, m, at = 0;
    int64_t count = graph_attr_ints(c->node, "split", &list), total = -1, v;
    int axis = x->rank < 0 ? 0 : op_axis(graph_attr_int(c->node, "axis", 0), x->rank);
    if (axis < 0) return op_fail(c, NIB_SHAPE, "axis out of range");
    bool given = op_in_data(c, 1, sizes, &k), has_data = x->rank == 1 && op_in_data(c, 0, data, &m);
    if ((count >= 0 && count != n) || (given && k != n)) return op_fail(c, NIB_SHAPE, "sizes do not match %d outputs", n);
    if (x->rank >= 0) graph_dim_is_const(x->dims[axis], &total);
    for (int i = 0; i < n; i++) {
        graph_dim size = NULL;
        if (count >= 0) size = op_const(c, list[i]);
        else if (given) size = sizes[i];
        else if (!op_in(c, 1) && total >= 0) size = op_const(c, even_part(total, n, i));
        else if (!op_in(c, 1) && x->rank >= 0 && op_since(c->node) < 18) size = graph_dim_div(OP_SYMS(c), x->dims[axis], op_const(c, n));
        if (x->rank > 0) memcpy(dims, x->dims, sizeof(graph_dim) * (size_t)x->rank);
        dims[axis] = size;
        OP_TRY(op_set(c, i, x->dtype, x->rank, dims));
        has_data = has_data && graph_dim_is_const(size, &v) && v >= 0 && v <= m - at;
        if (!has_data) continue;
        OP_TRY(op_set_data(c, i, data + at, (int)v));
        at += (int)v;
    }
    return NIB_OK;
}

/* ---- Tile */

static nib_status eval_tile(op_eval *c) {
    const graph_tensor *x = op_arg(c, 0);
    op_dims y = op_dims_of(x);
    int64_t repeats[GRAPH_MAX_RANK], own[GRAPH_MAX_RANK], d[GRAPH_MAX_RANK * 2], strides[GRAPH_MAX_RANK * 2];
    int n;
    void *out;
    OP_TRY(op_read_ints(c, 1, GRAPH_MAX_RANK, repeats, &n));
    if (n != x->rank) return op_bad(c, NIB_SHAPE, "%d repeats for rank %d", n, x->rank);
    op_strides(x->rank, x->dims, own);
    int axes = 0;
    for (int i = 0; i < n; i++) {
        if (repeats[i] < 0 || !base_mul_i64(y.d[i], repeats[i], &y.d[i]))
            return op_bad(c, NIB_SHAPE, "bad repeat %lld", (long long)repeats[i]);
        /* Each axis is two: the repetition, which does not move in the input, and the axis itself. Ones are left out, so
         * that the limit on rank holds for what is left. */
        if (repeats[i] != 1) d[axes] = repeats[i], strides[axes++] = 0;
        if (x->dims[i] != 1) d[axes] = x->dims[i], strides[axes++] = own[i];
    }
    if (axes > GRAPH_MAX_RANK) return op_bad(c, NIB_LIMIT, "too many axes repeated");
    OP_TRY(op_out(c, 0, x->dtype, &y, &out));
    if (out && op_count(y.rank, y.d) > 0) op_copy(out, NULL, x->data, strides, axes, d, op_size(x->dtype));
    return NIB_OK;
}

static nib_status infer_tile(op_infer *c) {
    const graph_type *x = op_in_type(c, 0);
    graph_dim repeats[GRAPH_MAX_DATA], dims[GRAPH_MAX_RANK];
    int n;
    if (x->rank < 0 || !op_in_data(c, 1, repeats, &n)) return op_set(c, 0, x->dtype, x->rank, NULL);
    if (n != x->rank) return op_fail(c, NIB_SHAPE, "%d repeats for rank %d", n, x->rank);
    for (int i = 0; i < n; i++) dims[i] = graph_dim_mul(OP_SYMS(c), x->dims[i], repeats[i]);
    return op_set(c, 0, x->dtype, x->rank, dims);
}

/* ---- Pad */

/* Which input element stands at position p of an axis of size n that begins `before` earlier; -1: the constant. */
static int64_t pad_source(char mode, int64_t p, int64_t before, int64_t n) {
    int64_t i = p - before;
    if (i >= 0 && i < n) return i;
    if (mode == 'c' || n == 0) return -1;
    if (mode == 'e') return i < 0 ? 0 : n - 1;
    if (mode == 'w') return (i % n + n) % n;
    if (n == 1) return 0;
    int64_t period = 2 * (n - 1), k = (i % period + period) % period; /* reflect */
    return k < n ? k : period - k;
}

/* begin and end of every axis from attribute or inputs. */
static nib_status pad_amounts(op_eval *c, int rank, int64_t *before, int64_t *after) {
    int64_t pads[2 * GRAPH_MAX_RANK], axes[GRAPH_MAX_RANK];
    const int64_t *list;
    int n = 0, k = rank;
    int64_t count = graph_attr_ints(c->node, "pads", &list);
    uint32_t mask;
    memset(before, 0, sizeof(int64_t) * GRAPH_MAX_RANK);
    memset(after, 0, sizeof(int64_t) * GRAPH_MAX_RANK);
    for (int i = 0; i < rank; i++) axes[i] = i;
    if (op_arg(c, 3)) OP_TRY(op_read_ints(c, 3, GRAPH_MAX_RANK, axes, &k));
    if (count >= 0 && count <= 2 * GRAPH_MAX_RANK && op_since(c->node) < 11) {
        n = (int)count;
        if (n > 0) memcpy(pads, list, sizeof(int64_t) * (size_t)n);
    } else {
        OP_TRY(op_read_ints(c, 1, 2 * GRAPH_MAX_RANK, pads, &n));
    }
    if (n != 2 * k || !op_axis_mask(axes, k, rank, &mask)) return op_bad(c, NIB_SHAPE, "pads do not fit rank %d", rank);
    for (int i = 0; i < k; i++) {
        before[op_axis(axes[i], rank)] = pads[i];
        after[op_axis(axes[i], rank)] = pads[i + k];
    }
    return NIB_OK;
}

static void pad_fill(const op_dims *y, char *out, const graph_tensor *x, const int64_t *before, char mode, const void *value) {
    int64_t at[GRAPH_MAX_RANK] = {0}, own[GRAPH_MAX_RANK], n = op_count(y->rank, y->d);
    size_t size = op_size(x->dtype);
    op_strides(x->rank, x->dims, own);
    for (int64_t i = 0; i < n; i++) {
        int64_t from = 0;
        for (int k = 0; k < y->rank && from >= 0; k++) {
            int64_t p = pad_source(mode, at[k], before[k], x->dims[k]);
            from = p < 0 ? -1 : from + p * own[k];
        }
        memcpy(out + (size_t)i * size, from < 0 ? (const char *)value : (const char *)x->data + (size_t)from * size, size);
        for (int k = y->rank - 1; k >= 0 && ++at[k] == y->d[k]; k--) at[k] = 0;
    }
}

static nib_status eval_pad(op_eval *c) {
    const graph_tensor *x = op_arg(c, 0), *given = op_arg(c, 2);
    const char *mode = graph_attr_string(c->node, "mode", "constant");
    int64_t before[GRAPH_MAX_RANK], after[GRAPH_MAX_RANK];
    unsigned char value[16] = {0};
    op_dims y = op_dims_of(x);
    char *out;
    if (strcmp(mode, "constant") != 0 && strcmp(mode, "edge") != 0 && strcmp(mode, "reflect") != 0 && strcmp(mode, "wrap") != 0)
        return op_bad(c, NIB_UNSUPPORTED, "mode");
    OP_TRY(pad_amounts(c, x->rank, before, after));
    for (int i = 0; i < x->rank; i++) {
        const int64_t most = INT64_MAX / 4;
        if (x->dims[i] > most || before[i] > most || after[i] > most || before[i] < -x->dims[i] || after[i] < -x->dims[i] ||
            x->dims[i] + before[i] + after[i] < 0)
            return op_bad(c, NIB_SHAPE, "bad pads on axis %d", i);
        y.d[i] += before[i] + after[i];
        if (x->dims[i] == 0 && y.d[i] > 0 && mode[0] != 'c') return op_bad(c, NIB_SHAPE, "axis %d is empty", i);
    }
    if (given) {
        if (given->dtype != x->dtype || op_count(given->rank, given->dims) != 1)
            return op_bad(c, NIB_TYPE, "value must be a scalar of the input's type");
        memcpy(value, given->data, op_size(x->dtype));
    } else if (graph_find_attr(c->node, "value")) {
        float f = graph_attr_float(c->node, "value", 0);
        double d = f;
        uint16_t half = x->dtype == NIB_DTYPE_F16 ? base_f32_to_f16(f) : base_f32_to_bf16(f);
        if (x->dtype == NIB_DTYPE_F32) memcpy(value, &f, 4);
        else if (x->dtype == NIB_DTYPE_F64) memcpy(value, &d, 8);
        else if (op_is_float(x->dtype)) memcpy(value, &half, 2);
    }
    OP_TRY(op_out(c, 0, x->dtype, &y, &out));
    if (out) pad_fill(&y, out, x, before, mode[0], value);
    return NIB_OK;
}

static nib_status infer_pad(op_infer *c) {
    const graph_type *x = op_in_type(c, 0);
    const int64_t *list;
    graph_dim pads[GRAPH_MAX_DATA], dims[GRAPH_MAX_RANK];
    int64_t axes[GRAPH_MAX_RANK], count = graph_attr_ints(c->node, "pads", &list);
    int n, k;
    uint32_t mask;
    if (x->rank < 0) return op_set(c, 0, x->dtype, -1, NULL);
    op_infer_axes(c, "axes", 3, axes, &k);
    if (k == -1)
        for (k = 0; k < x->rank; k++) axes[k] = k;
    if (op_since(c->node) < 11 && count >= 0 && count <= GRAPH_MAX_DATA) {
        n = (int)count;
        for (int i = 0; i < n; i++) pads[i] = op_const(c, list[i]);
    } else if (k == -2 || !op_in_data(c, 1, pads, &n)) {
        return op_set(c, 0, x->dtype, x->rank, NULL);
    }
    if (n != 2 * k || !op_axis_mask(axes, k, x->rank, &mask)) return op_fail(c, NIB_SHAPE, "pads do not fit rank %d", x->rank);
    memcpy(dims, x->dims, sizeof dims);
    for (int i = 0; i < k; i++) {
        int a = op_axis(axes[i], x->rank);
        dims[a] = graph_dim_add(OP_SYMS(c), dims[a], graph_dim_add(OP_SYMS(c), pads[i], pads[i + k]));
    }
    return op_set(c, 0, x->dtype, x->rank, dims);
}

/* ---- Trilu: keeps one triangle of the last two axes */

static nib_status eval_trilu(op_eval *c) {
    const graph_tensor *x = op_arg(c, 0);
    op_dims dims = op_dims_of(x);
    int64_t k = 0;
    bool upper = graph_attr_int(c->node, "upper", 1) != 0;
    char *y;
    if (x->rank < 2) return op_bad(c, NIB_SHAPE, "input has rank %d", x->rank);
    if (op_arg(c, 1)) OP_TRY(op_read_int(c, 1, &k));
    OP_TRY(op_out(c, 0, x->dtype, &dims, &y));
    if (!y || op_count(dims.rank, dims.d) == 0) return NIB_OK;
    int64_t rows = dims.d[x->rank - 2], columns = dims.d[x->rank - 1], batch = op_count(x->rank - 2, dims.d);
    size_t size = op_size(x->dtype);
    if (k > columns) k = columns;
    if (k < -rows) k = -rows;
    memcpy(y, x->data, (size_t)(batch * rows * columns) * size);
    for (int64_t r = 0; r < batch * rows; r++) {
        int64_t edge = r % rows + k + (upper ? 0 : 1), lo = upper ? 0 : edge, hi = upper ? edge : columns;
        if (lo < 0) lo = 0;
        if (hi > columns) hi = columns;
        if (lo < hi) memset(y + (size_t)(r * columns + lo) * size, 0, (size_t)(hi - lo) * size);
    }
    return NIB_OK;
}

const op op_family_move[] = {
    {"Concat", "", 4, 1, INT_MAX, 1, OP_ROWS_MIXED, infer_concat, eval_concat, NULL},
    {"Pad", "", 2, 1, 1, 1, OP_ROWS_MIXED, infer_pad, eval_pad, NULL},
    {"Pad", "", 11, 2, 3, 1, OP_ROWS_MIXED, infer_pad, eval_pad, NULL},
    {"Pad", "", 18, 2, 4, 1, OP_ROWS_MIXED, infer_pad, eval_pad, NULL},
    {"Split", "", 2, 1, 1, -1, OP_ROWS_MIXED, infer_split, eval_split, NULL},
    {"Split", "", 13, 1, 2, -1, OP_ROWS_MIXED, infer_split, eval_split, NULL},
    {"Split", "", 18, 1, 2, -1, OP_ROWS_MIXED, infer_split, eval_split, NULL},
    {"Tile", "", 6, 2, 2, 1, OP_ROWS_MIXED, infer_tile, eval_tile, NULL},
    {"Transpose", "", 1, 1, 1, 1, OP_ROWS_MIXED, infer_transpose, eval_transpose, NULL},
    {"Trilu", "", 14, 1, 2, 1, OP_ROWS_MIXED, op_infer_same, eval_trilu, NULL},
    {0},
};
