/* SPDX-License-Identifier: Apache-2.0
 *
 * Operators that make tensors from attributes and sizes, https://onnx.ai/onnx/operators/: Constant ConstantOfShape Range
 * EyeLike.
 */
#include "op_local.h"

/* ---- Constant: the attribute that is there, as type, dims and bytes. */
static bool constant_attr(const graph_node *n, graph_tensor *t, const graph_attr **found) {
    static const char *const names[] = {"value", "value_float", "value_int", "value_floats", "value_ints", "value_string", "value_strings"};
    const graph_attr *a = NULL;
    for (size_t i = 0; i < BASE_COUNT(names) && !a; i++) a = graph_find_attr(n, names[i]);
    *found = a;
    memset(t, 0, sizeof *t);
    if (!a) return false;
    switch (a->kind) {
    case GRAPH_ATTR_TENSOR:
        if (!a->u.tensor) return false;
        *t = *a->u.tensor;
        return true;
    case GRAPH_ATTR_FLOAT: *t = (graph_tensor){.dtype = NIB_DTYPE_F32, .data = (void *)&a->u.f}; break;
    case GRAPH_ATTR_INT: *t = (graph_tensor){.dtype = NIB_DTYPE_I64, .data = (void *)&a->u.i}; break;
    case GRAPH_ATTR_STRING: *t = (graph_tensor){.dtype = NIB_DTYPE_STRING, .data = (void *)&a->u.s}; break;
    case GRAPH_ATTR_FLOATS: *t = (graph_tensor){.dtype = NIB_DTYPE_F32, .rank = 1, .data = (void *)a->u.floats}; break;
    case GRAPH_ATTR_INTS: *t = (graph_tensor){.dtype = NIB_DTYPE_I64, .rank = 1, .data = (void *)a->u.ints}; break;
    case GRAPH_ATTR_STRINGS: *t = (graph_tensor){.dtype = NIB_DTYPE_STRING, .rank = 1, .data = (void *)a->u.strings}; break;
    default: return false;
    }
    size_t count = t->rank ? a->count : 1;
    t->dims[0] = (int64_t)count;
    t->bytes = count * op_size(t->dtype);
    return true;
}

static nib_status eval_constant(op_eval *c) {
    graph_tensor t;
    const graph_attr *a;
    void *y;
    if (!constant_attr(c->node, &t, &a)) return op_bad(c, a ? NIB_UNSUPPORTED : NIB_BAD_MODEL, "no value that nib knows");
    op_dims dims = op_dims_of(&t);
    int64_t n = op_count(t.rank, t.dims);
    OP_TRY(op_out(c, 0, t.dtype, &dims, &y));
    if (!y || n == 0) return NIB_OK;
    if ((size_t)n > t.bytes / op_size(t.dtype)) return op_bad(c, NIB_BAD_MODEL, "value has fewer bytes than its shape says");
    memcpy(y, t.data, (size_t)n * op_size(t.dtype));
    return NIB_OK;
}

static nib_status infer_constant(op_infer *c) {
    graph_tensor t;
    const graph_attr *a;
    graph_dim dims[GRAPH_MAX_RANK], data[GRAPH_MAX_DATA];
    if (!constant_attr(c->node, &t, &a)) return NIB_OK;
    if (t.rank < 0 || t.rank > GRAPH_MAX_RANK || op_count(t.rank, t.dims) < 0) return op_fail(c, NIB_BAD_MODEL, "bad shape");
    for (int i = 0; i < t.rank; i++) dims[i] = op_const(c, t.dims[i]);
    OP_TRY(op_set(c, 0, t.dtype, t.rank, dims));
    int64_t n = op_count(t.rank, t.dims);
    size_t size = t.dtype == NIB_DTYPE_I64 ? 8 : t.dtype == NIB_DTYPE_I32 ? 4 : 0;
    if (size == 0 || t.rank > 1 || n > GRAPH_MAX_DATA || (size_t)n > t.bytes / size) return NIB_OK;
    for (int64_t i = 0; i < n; i++) { /* the attribute's bytes may be misaligned */
        int64_t v;
        int32_t w;
        memcpy(size == 8 ? (void *)&v : (void *)&w, (const char *)t.data + (size_t)i * size, size);
        data[i] = op_const(c, size == 8 ? v : w);
    }
    return op_set_data(c, 0, data, (int)n);
}

/* ---- ConstantOfShape */

static nib_status eval_constant_of_shape(op_eval *c) {
    static const float zero = 0;
    const graph_attr *a = graph_find_attr(c->node, "value");
    const graph_tensor *value = a && a->kind == GRAPH_ATTR_TENSOR ? a->u.tensor : NULL;
    nib_dtype dtype = value ? value->dtype : NIB_DTYPE_F32;
    op_dims dims;
    void *y;
    OP_TRY(op_read_ints(c, 0, GRAPH_MAX_RANK, dims.d, &dims.rank));
    for (int i = 0; i < dims.rank; i++)
        if (dims.d[i] < 0) return op_bad(c, NIB_SHAPE, "bad size %lld", (long long)dims.d[i]);
    if (value && (op_count(value->rank, value->dims) != 1 || value->bytes < op_size(dtype)))
        return op_bad(c, NIB_BAD_MODEL, "value must have one element");
    OP_TRY(op_out(c, 0, dtype, &dims, &y));
    if (y) op_fill(y, value ? value->data : &zero, op_count(dims.rank, dims.d), op_size(dtype));
    return NIB_OK;
}

static nib_status infer_constant_of_shape(op_infer *c) {
    const graph_attr *a = graph_find_attr(c->node, "value");
    const graph_tensor *value = a && a->kind == GRAPH_ATTR_TENSOR ? a->u.tensor : NULL;
    nib_dtype dtype = value ? value->dtype : NIB_DTYPE_F32;
    const graph_type *s = op_in_type(c, 0);
    graph_dim dims[GRAPH_MAX_DATA], data[GRAPH_MAX_DATA];
    int rank;
    int64_t v, n = 1;
    if (!op_in_data(c, 0, dims, &rank)) {
        bool counted = s->rank == 1 && graph_dim_is_const(s->dims[0], &v) && v >= 0 && v <= GRAPH_MAX_RANK;
        return op_set(c, 0, dtype, counted ? (int)v : -1, NULL);
    }
    if (rank > GRAPH_MAX_RANK) return op_fail(c, NIB_LIMIT, "rank %d", rank);
    OP_TRY(op_set(c, 0, dtype, rank, dims));
    size_t size = dtype == NIB_DTYPE_I64 ? 8 : dtype == NIB_DTYPE_I32 ? 4 : dtype == NIB_DTYPE_BOOL ? 1 : 0;
    if (rank > 1 || (rank == 1 && !graph_dim_is_const(dims[0], &n)) || n > GRAPH_MAX_DATA || size == 0 || value->bytes < size)
        return NIB_OK;
    int32_t w = 0;
    v = 0;
    if (size == 8) memcpy(&v, value->data, 8);
    else if (size == 4) memcpy(&w, value->data, 4), v = w;
    else v = *(const uint8_t *)value->data != 0;
    for (int64_t i = 0; i < n; i++) data[i] = op_const(c, v);
    return op_set_data(c, 0, data, (int)n);
}

/* ---- Range: start, start + delta, ... before limit */

/* Elements of an integer range, exact; -1 where delta is 0 or there are more than int64 counts. */
static int64_t range_count(int64_t start, int64_t limit, int64_t delta) {
    if (delta == 0) return -1;
    if (delta > 0 ? start >= limit : start <= limit) return 0;
    uint64_t distance = delta > 0 ? (uint64_t)limit - (uint64_t)start : (uint64_t)start - (uint64_t)limit;
    uint64_t step = delta > 0 ? (uint64_t)delta : 0 - (uint64_t)delta, n = distance / step + (distance % step != 0);
    return n > INT64_MAX ? -1 : (int64_t)n;
}

static int64_t range_real_count(double start, double limit, double delta) {
    double n = ceil((limit - start) / delta);
    return n != n || n >= 9e18 ? -1 : n > 0 ? (int64_t)n : 0;
}

static nib_status eval_range(op_eval *c) {
    nib_dtype dtype = op_arg(c, 0)->dtype;
    op_dims dims = {1, {0}};
    void *y;
    for (int i = 0; i < 3; i++) {
        if (op_arg(c, i)->dtype != dtype) return op_bad(c, NIB_TYPE, "inputs differ in type");
        if (op_count(op_arg(c, i)->rank, op_arg(c, i)->dims) != 1) return op_bad(c, NIB_SHAPE, "inputs must be scalars");
    }
    bool whole = op_is_int(dtype);
    if (!whole && !op_is_float(dtype)) return op_bad(c, NIB_TYPE, "inputs of type %s", nib_dtype_name(dtype));
    int64_t v[3] = {0};
    double f[3];
    for (int i = 0; i < 3; i++) {
        f[i] = op_number(op_arg(c, i), 0);
        if (dtype == NIB_DTYPE_I64) v[i] = *(const int64_t *)op_arg(c, i)->data;
        else if (whole) v[i] = f[i] >= 9.2e18 ? INT64_MAX : (int64_t)f[i];
    }
    dims.d[0] = whole ? range_count(v[0], v[1], v[2]) : range_real_count(f[0], f[1], f[2]);
    if (dims.d[0] < 0) return op_bad(c, NIB_SHAPE, "delta is zero or the range endless");
    OP_TRY(op_out(c, 0, dtype, &dims, &y));
    for (int64_t i = 0; y && i < dims.d[0]; i++) {
        uint64_t element = (uint64_t)v[0] + (uint64_t)i * (uint64_t)v[2];
        switch (dtype) {
#define FLOAT_CASE(N, S, W, LOAD, STORE, C)                                                                                                \
    case NIB_DTYPE_##N:                                                                                                                    \
        ((S *)y)[i] = STORE((W)f[0] + (W)i * (W)f[2]);                                                                                     \
        break;
#define INT_CASE(N, S, W, LOAD, STORE, C)                                                                                                  \
    case NIB_DTYPE_##N: ((S *)y)[i] = (S)element; break;
            OP_FLOATS(FLOAT_CASE)
            OP_INTS(INT_CASE)
        default: break;
        }
    }
    return NIB_OK;
}

static nib_status infer_range(op_infer *c) {
    nib_dtype dtype = op_in_type(c, 0)->dtype;
    graph_dim d[3], size = NULL, data[GRAPH_MAX_DATA];
    graph_symtab *t = OP_SYMS(c);
    int64_t v[3], n = -1;
    double f[3];
    int count;
    bool known = true, numbers = true, reals = true;
    for (int i = 0; i < 3; i++) {
        graph_dim one[GRAPH_MAX_DATA];
        known = op_in_data(c, i, one, &count) && count == 1 && known;
        d[i] = known ? one[0] : NULL;
        numbers = numbers && graph_dim_is_const(d[i], &v[i]);
        reals = op_in(c, i) && graph_scalar(op_in(c, i), &f[i]) && reals;
    }
    if (numbers) n = range_count(v[0], v[1], v[2]);
    else if (reals && op_is_float(dtype)) n = range_real_count(f[0], f[1], f[2]);
    if ((numbers || (reals && op_is_float(dtype))) && n < 0) return op_fail(c, NIB_SHAPE, "delta is zero or the range endless");
    if (n >= 0) {
        size = op_const(c, n);
    } else if (known && graph_dim_is_const(d[2], &v[2]) && v[2] > 0) {
        size = graph_dim_sub(t, d[1], d[0]);
        if (!graph_dim_is_nonnegative(size)) size = graph_dim_max(t, size, op_const(c, 0));
        if (v[2] > 1) size = graph_dim_div(t, graph_dim_add(t, size, op_const(c, v[2] - 1)), d[2]);
    }
    OP_TRY(op_set(c, 0, dtype, 1, &size));
    if (n < 0 || n > GRAPH_MAX_DATA || !numbers) return NIB_OK;
    for (int64_t i = 0; i < n; i++) data[i] = op_const(c, (int64_t)((uint64_t)v[0] + (uint64_t)i * (uint64_t)v[2]));
    return op_set_data(c, 0, data, (int)n);
}

/* ---- EyeLike */

static nib_status eval_eye_like(op_eval *c) {
    const graph_tensor *x = op_arg(c, 0);
    nib_dtype dtype = (nib_dtype)graph_attr_int(c->node, "dtype", x->dtype);
    int64_t k = graph_attr_int(c->node, "k", 0);
    char *y;
    op_dims dims = op_dims_of(x);
    size_t size = op_size(dtype);
    if (x->rank != 2) return op_bad(c, NIB_SHAPE, "input has rank %d, not 2", x->rank);
    if (!op_is_float(dtype) && !op_is_int(dtype) && dtype != NIB_DTYPE_BOOL)
        return op_bad(c, NIB_TYPE, "output of type %s", nib_dtype_name(dtype));
    OP_TRY(op_out(c, 0, dtype, &dims, &y));
    if (!y || op_count(2, dims.d) == 0) return NIB_OK;
    memset(y, 0, (size_t)op_count(2, dims.d) * size);
    for (int64_t r = 0; r < dims.d[0]; r++) {
        if (k >= dims.d[1] || k < -dims.d[0] || r + k < 0 || r + k >= dims.d[1]) continue;
        char *at = y + (size_t)(r * dims.d[1] + r + k) * size;
        switch (dtype) {
#define ONE(N, S, W, LOAD, STORE, C)                                                                                                       \
    case NIB_DTYPE_##N: *(S *)(void *)at = STORE((W)1); break;
            OP_NUMBERS(ONE)
        default: *at = 1;
        }
    }
    return NIB_OK;
}

static nib_status infer_eye_like(op_infer *c) {
    int64_t dtype = graph_attr_int(c->node, "dtype", op_in_type(c, 0)->dtype);
    return op_set_like(c, 0, dtype > 0 && dtype <= NIB_DTYPE_I2 ? (nib_dtype)dtype : NIB_DTYPE_UNDEFINED, op_in_type(c, 0));
}

const op op_family_constant[] = {
    {"Constant", "", 1, 0, 0, 1, OP_ROWS_MIXED, infer_constant, eval_constant, NULL},
    {"ConstantOfShape", "", 9, 1, 1, 1, OP_ROWS_MIXED, infer_constant_of_shape, eval_constant_of_shape, NULL},
    {"EyeLike", "", 9, 1, 1, 1, OP_ROWS_MIXED, infer_eye_like, eval_eye_like, NULL},
    {"Range", "", 11, 3, 3, 1, OP_ROWS_MIXED, infer_range, eval_range, NULL},
    {0},
};
