/* SPDX-License-Identifier: Apache-2.0
 *
 * Helpers of the operator families: errors with the node's name, shapes that cannot overflow, small integer inputs, and the
 * merging of inferred types with what is known of a value already.
 */
#include "op_local.h"
#include "base/base_number.h"
#include <stdarg.h>
#include <stdio.h>

const char *op_name(const graph_node *n) {
    if (n->name && n->name[0]) return n->name;
    for (int i = 0; i < n->n_outputs; i++)
        if (n->outputs[i]) return n->outputs[i]->name;
    return n->op;
}

int op_since(const graph_node *n) { return n->meaning ? n->meaning->since : INT_MAX; }

static nib_status fail(nib_error *err, const graph_node *n, nib_status code, const char *format, va_list args) {
    char text[300];
    base_vsnprintf(text, sizeof text, format, args);
    base_error_set(err, code, "%s: %s", n->op, text);
    base_error_at_node(err, op_name(n));
    return code;
}

nib_status op_fail(op_infer *c, nib_status code, const char *format, ...) {
    va_list args;
    va_start(args, format);
    c->status = fail(c->err, c->node, code, format, args);
    va_end(args);
    return code;
}

nib_status op_bad(op_eval *c, nib_status code, const char *format, ...) {
    va_list args;
    va_start(args, format);
    c->status = fail(c->err, c->node, code, format, args);
    va_end(args);
    return code;
}

/* ---- concrete */

size_t op_size(nib_dtype dtype) {
    if (dtype == NIB_DTYPE_STRING) return sizeof(graph_string);
    if (op_is_container(dtype)) return sizeof(graph_tensor);
    int bits = nib_dtype_bits(dtype);
    return (size_t)(bits + 7) / 8;
}

bool op_is_container(nib_dtype d) { return d == NIB_DTYPE_SEQUENCE || d == NIB_DTYPE_OPTIONAL; }

bool op_is_float(nib_dtype d) { return d == NIB_DTYPE_F32 || d == NIB_DTYPE_F64 || d == NIB_DTYPE_F16 || d == NIB_DTYPE_BF16; }

bool op_is_int(nib_dtype d) {
    return d == NIB_DTYPE_I64 || d == NIB_DTYPE_I32 || d == NIB_DTYPE_I16 || d == NIB_DTYPE_I8 || d == NIB_DTYPE_U64 ||
           d == NIB_DTYPE_U32 || d == NIB_DTYPE_U16 || d == NIB_DTYPE_U8;
}

#define OP_SMALLS(X)                                                                                                                       \
    X(F8E4M3FN, BASE_E4M3FN) X(F8E4M3FNUZ, BASE_E4M3FNUZ) X(F8E5M2, BASE_E5M2) X(F8E5M2FNUZ, BASE_E5M2FNUZ) X(F4E2M1, BASE_E2M1)

bool op_is_small(nib_dtype d) {
    return (d >= NIB_DTYPE_F8E4M3FN && d <= NIB_DTYPE_F8E5M2FNUZ) || d == NIB_DTYPE_F4E2M1 || d == NIB_DTYPE_F8E8M0;
}

double op_small_load(nib_dtype dtype, uint8_t code) {
    switch (dtype) {
#define CASE(N, FORMAT)                                                                                                                    \
    case NIB_DTYPE_##N: return base_minifloat_decode(FORMAT, code);
        OP_SMALLS(CASE)
#undef CASE
    default: return base_e8m0_decode(code);
    }
}

uint8_t op_small_store(nib_dtype dtype, double x, bool saturate, char mode) {
    switch (dtype) {
#define CASE(N, FORMAT)                                                                                                                    \
    case NIB_DTYPE_##N: return base_minifloat_encode(FORMAT, x, saturate);
        OP_SMALLS(CASE)
#undef CASE
    default: return base_e8m0_encode(x, mode, saturate);
    }
}

bool op_int_info(nib_dtype d, int *bits, bool *is_signed) {
    *bits = nib_dtype_bits(d);
    *is_signed =
        d == NIB_DTYPE_I64 || d == NIB_DTYPE_I32 || d == NIB_DTYPE_I16 || d == NIB_DTYPE_I8 || d == NIB_DTYPE_I4 || d == NIB_DTYPE_I2;
    return op_is_int(d) || d == NIB_DTYPE_U4 || d == NIB_DTYPE_I4 || d == NIB_DTYPE_U2 || d == NIB_DTYPE_I2;
}

/* A zero anywhere must not hide a product that overflows: strides are products of some of the dims. */
int64_t op_count(int rank, const int64_t *dims) {
    int64_t n = 1;
    bool zero = false;
    for (int i = 0; i < rank; i++) {
        if (dims[i] < 0) return -1;
        if (dims[i] == 0) zero = true;
        else if (!base_mul_i64(n, dims[i], &n)) return -1;
    }
    return zero ? 0 : n;
}

op_dims op_dims_of(const graph_tensor *t) {
    op_dims s = {.rank = t->rank};
    memcpy(s.d, t->dims, sizeof(int64_t) * (size_t)t->rank);
    return s;
}

nib_status op_broadcast_dims(op_eval *c, int n, const graph_tensor *const *in, op_dims *out) {
    memset(out, 0, sizeof *out);
    for (int j = 0; j < n; j++)
        if (in[j] && in[j]->rank > out->rank) out->rank = in[j]->rank;
    for (int i = 0; i < out->rank; i++) {
        int64_t d = 1;
        for (int j = 0; j < n; j++) {
            int at = in[j] ? i - (out->rank - in[j]->rank) : -1;
            if (at < 0 || in[j]->dims[at] == 1) continue;
            if (d != 1 && d != in[j]->dims[at])
                return op_bad(c, NIB_SHAPE, "inputs do not broadcast: %lld against %lld on axis %d", (long long)d,
                              (long long)in[j]->dims[at], i);
            d = in[j]->dims[at];
        }
        out->d[i] = d;
    }
    return NIB_OK;
}

void op_strides(int rank, const int64_t *dims, int64_t *strides) {
    int64_t n = 1;
    for (int i = rank - 1; i >= 0; i--) {
        strides[i] = n;
        n *= dims[i] > 0 ? dims[i] : 1;
    }
}

nib_status op_out(op_eval *c, int i, nib_dtype dtype, const op_dims *dims, void *data) {
    void **out = data;
    *out = NULL;
    if (i >= c->node->n_outputs || !c->node->outputs[i]) return NIB_OK;
    int64_t n = op_count(dims->rank, dims->d), bytes;
    size_t size = op_size(dtype);
    if (size == 0) return op_bad(c, NIB_UNSUPPORTED, "element type %s", nib_dtype_name(dtype));
    if (n < 0 || !base_mul_i64(n, (int64_t)size, &bytes) || (uint64_t)bytes > SIZE_MAX / 2)
        return op_bad(c, NIB_LIMIT, "output %d is too large", i);
    return op_out_late(c, i, dtype, dims, (size_t)bytes, out);
}

nib_status op_scratch(op_eval *c, int64_t count, size_t size, void *data) {
    void **out = data;
    int64_t bytes;
    *out = NULL;
    if (count < 0 || !base_mul_i64(count, (int64_t)size, &bytes) || (uint64_t)bytes > SIZE_MAX / 2)
        return op_bad(c, NIB_LIMIT, "needs too much memory");
    c->status = NIB_OK;
    *out = c->scratch(c, (size_t)(bytes > 0 ? bytes : 1));
    if (*out) return NIB_OK;
    return c->status != NIB_OK ? c->status : op_bad(c, NIB_OUT_OF_MEMORY, "out of memory");
}

nib_status op_spend(op_eval *c, int64_t count, int64_t each) {
    int64_t work;
    if (!c->spend) return NIB_OK;
    return c->spend(c, count < 0 || each < 0 || !base_mul_i64(count, each, &work) ? INT64_MAX : work);
}

nib_status op_text(op_eval *c, size_t length, char **out) {
    if (length > c->text_left) {
        size_t want = length > 16384 ? length : 65536;
        OP_TRY(op_scratch(c, (int64_t)want, 1, &c->text));
        c->text_left = want;
    }
    *out = c->text; /* NULL, if nothing but empty strings has been asked for */
    if (length) c->text += length;
    c->text_left -= length;
    return NIB_OK;
}

void op_broadcast_strides(const graph_tensor *t, const op_dims *out, int64_t *strides) {
    int64_t own[GRAPH_MAX_RANK];
    int shift = out->rank - t->rank;
    op_strides(t->rank, t->dims, own);
    for (int i = 0; i < out->rank; i++) strides[i] = i < shift || t->dims[i - shift] == 1 ? 0 : own[i - shift];
}

const graph_tensor *op_arg(const op_eval *c, int i) { return i < c->n_in ? c->in[i] : NULL; }

double op_number(const graph_tensor *t, int64_t i) {
    switch (t->dtype) {
#define OP_NUMBER(N, S, W, LOAD, STORE, C)                                                                                                 \
    case NIB_DTYPE_##N: return (double)LOAD(((const S *)t->data)[i]);
        OP_NUMBERS(OP_NUMBER)
#undef OP_NUMBER
    case NIB_DTYPE_BOOL: return ((const uint8_t *)t->data)[i] != 0;
    case NIB_DTYPE_U4:
    case NIB_DTYPE_U2: return ((const uint8_t *)t->data)[i];
    case NIB_DTYPE_I4:
    case NIB_DTYPE_I2: return ((const int8_t *)t->data)[i];
    default: return op_is_small(t->dtype) ? op_small_load(t->dtype, ((const uint8_t *)t->data)[i]) : 0;
    }
}

static void put_whole(nib_dtype dtype, void *y, int64_t i, double v) {
    int bits;
    bool is_signed;
    if (op_is_small(dtype)) {
        ((uint8_t *)y)[i] = op_small_store(dtype, v, true, 'n');
    } else if (dtype == NIB_DTYPE_BOOL) {
        ((uint8_t *)y)[i] = v != 0;
    } else if (op_int_info(dtype, &bits, &is_signed)) {
        double span = ldexp(1, bits), lo = is_signed ? -span / 2 : 0, hi = lo + span, r = nearbyint(v);
        uint64_t w = !(r > lo) ? (uint64_t)(is_signed ? (int64_t)lo : 0)
                     : r >= hi ? (is_signed ? ((uint64_t)1 << (bits - 1)) : 0) - 1
                     : r < 0   ? (uint64_t)(int64_t)r
                               : (uint64_t)r;
        switch ((bits + 7) / 8) { /* below a byte: what is beyond the range never got here */
        case 1: ((uint8_t *)y)[i] = (uint8_t)w; break;
        case 2: ((uint16_t *)y)[i] = (uint16_t)w; break;
        case 4: ((uint32_t *)y)[i] = (uint32_t)w; break;
        default: ((uint64_t *)y)[i] = w;
        }
    }
}

void op_put(nib_dtype dtype, void *y, int64_t i, double v) {
    switch (dtype) {
#define CASE(N, S, W, LOAD, STORE, C)                                                                                                      \
    case NIB_DTYPE_##N: ((S *)y)[i] = STORE((W)v); break;
        OP_FLOATS(CASE)
#undef CASE
    default: put_whole(dtype, y, i, v);
    }
}

nib_status op_reals(op_eval *c, const graph_tensor *t, double **out) {
    int64_t n = op_count(t->rank, t->dims);
    int bits;
    bool is_signed;
    if (!op_is_float(t->dtype) && !op_int_info(t->dtype, &bits, &is_signed) && !op_is_small(t->dtype) && t->dtype != NIB_DTYPE_BOOL)
        return op_bad(c, NIB_TYPE, "input of type %s", nib_dtype_name(t->dtype));
    OP_TRY(op_scratch(c, n, sizeof **out, out));
    for (int64_t i = 0; i < n; i++) (*out)[i] = op_number(t, i);
    return NIB_OK;
}

nib_status op_read_ints(op_eval *c, int i, int max, int64_t *out, int *count) {
    const graph_tensor *t = op_arg(c, i);
    *count = 0;
    if (!t) return op_bad(c, NIB_BAD_MODEL, "input %d is missing", i);
    if (t->dtype != NIB_DTYPE_I64 && t->dtype != NIB_DTYPE_I32) return op_bad(c, NIB_TYPE, "input %d must be integers", i);
    int64_t n = op_count(t->rank, t->dims);
    if (t->rank > 1) return op_bad(c, NIB_SHAPE, "input %d must have rank 0 or 1", i);
    if (n < 0 || n > max) return op_bad(c, NIB_LIMIT, "input %d has more than %d elements", i, max);
    for (int64_t k = 0; k < n; k++) out[k] = op_index(t, k);
    *count = (int)n;
    return NIB_OK;
}

nib_status op_read_int(op_eval *c, int i, int64_t *out) {
    int n;
    OP_TRY(op_read_ints(c, i, 1, out, &n));
    return n == 1 ? NIB_OK : op_bad(c, NIB_SHAPE, "input %d must have one element", i);
}

/* ---- axes */

nib_status op_eval_axes(op_eval *c, const char *name, int index, int64_t *axes, int *count) {
    const int64_t *list;
    int64_t n = graph_attr_ints(c->node, name, &list);
    *count = -1;
    if (n > GRAPH_MAX_RANK) return op_bad(c, NIB_LIMIT, "too many axes");
    if (n >= 0) {
        if (n > 0) memcpy(axes, list, sizeof(int64_t) * (size_t)n);
        *count = (int)n;
        return NIB_OK;
    }
    return index < 0 || !op_arg(c, index) ? NIB_OK : op_read_ints(c, index, GRAPH_MAX_RANK, axes, count);
}

void op_infer_axes(const op_infer *c, const char *name, int index, int64_t *axes, int *count) {
    const int64_t *list;
    int64_t n = graph_attr_ints(c->node, name, &list), ints[GRAPH_MAX_DATA];
    *count = -1;
    if (n < 0 && (index < 0 || !op_in(c, index))) return;
    *count = -2;
    if (n < 0) {
        int k;
        if (!op_in_ints(c, index, ints, &k)) return;
        n = k;
        list = ints;
    }
    if (n > GRAPH_MAX_RANK) return;
    if (n > 0) memcpy(axes, list, sizeof(int64_t) * (size_t)n);
    *count = (int)n;
}

bool op_axis_mask(const int64_t *axes, int count, int rank, uint32_t *mask) {
    *mask = 0;
    for (int i = 0; i < count; i++) {
        int a = op_axis(axes[i], rank);
        if (a < 0 || (*mask >> a & 1)) return false;
        *mask |= 1u << a;
    }
    return true;
}

int op_axis(int64_t axis, int rank) {
    if (axis < -rank || axis >= rank) return -1;
    return (int)(axis < 0 ? axis + rank : axis);
}

/* ---- inference: inputs */

const graph_value *op_in(const op_infer *c, int i) { return i < c->node->n_inputs ? c->node->inputs[i].value : NULL; }

const graph_type *op_in_type(const op_infer *c, int i) {
    static const graph_type unknown = {.kind = GRAPH_KIND_TENSOR, .dtype = NIB_DTYPE_UNDEFINED, .rank = -1};
    const graph_value *v = op_in(c, i);
    return v ? &v->type : &unknown;
}

graph_dim op_const(const op_infer *c, int64_t value) { return graph_dim_const(OP_SYMS(c), value); }

graph_dim op_product(const op_infer *c, const graph_dim *dims, int lo, int hi) {
    graph_dim d = op_const(c, 1);
    for (int i = lo; i < hi; i++) d = graph_dim_mul(OP_SYMS(c), d, dims[i]);
    return d;
}

bool op_in_data(const op_infer *c, int i, graph_dim *out, int *count) {
    const graph_value *v = op_in(c, i);
    *count = 0;
    if (!v) return false;
    if (v->constant) {
        const graph_tensor *t = v->constant;
        int64_t n = t->rank <= 1 ? op_count(t->rank, t->dims) : -1;
        size_t size = op_size(t->dtype);
        if (n < 0 || n > GRAPH_MAX_DATA || size == 0 || (size_t)n > t->bytes / size) return false;
        for (int64_t k = 0; k < n; k++) {
            int64_t x = 0;
            int32_t x32;
            const char *at = (const char *)t->data + (size_t)k * size; /* may be misaligned */
            if (t->dtype == NIB_DTYPE_I64) memcpy(&x, at, 8);
            else if (t->dtype == NIB_DTYPE_I32) memcpy(&x32, at, 4), x = x32;
            else if (t->dtype == NIB_DTYPE_BOOL) x = *at != 0;
            else return false;
            out[k] = op_const(c, x);
        }
        *count = (int)n;
        return true;
    }
    if (!v->data || v->data_count > GRAPH_MAX_DATA) return false;
    if (v->data_count > 0) memcpy(out, v->data, sizeof(graph_dim) * (size_t)v->data_count);
    *count = v->data_count;
    return true;
}

bool op_in_ints(const op_infer *c, int i, int64_t *out, int *count) {
    graph_dim d[GRAPH_MAX_DATA];
    if (!op_in_data(c, i, d, count)) return false;
    for (int k = 0; k < *count; k++)
        if (!graph_dim_is_const(d[k], &out[k])) return false;
    return true;
}

/* ---- inference: outputs */

/* What is inferred wins over what was declared: a number where sizes of inputs give an expression is true for some inputs only, and the
 * file may have been made for others. */
static nib_status merge_dim(op_infer *c, int output, int axis, graph_dim *known, graph_dim inferred) {
    int64_t a, b;
    if (!inferred) return NIB_OK;
    if (graph_dim_is_const(*known, &a) && graph_dim_is_const(inferred, &b) && a != b)
        return op_fail(c, NIB_SHAPE, "output %d, axis %d: size %lld, declared %lld", output, axis, (long long)b, (long long)a);
    if (graph_dim_is_const(inferred, &b) && b < 0)
        return op_fail(c, NIB_SHAPE, "output %d, axis %d: size %lld", output, axis, (long long)b);
    *known = inferred;
    return NIB_OK;
}

nib_status op_set(op_infer *c, int i, nib_dtype dtype, int rank, const graph_dim *dims) {
    graph_value *v = i < c->node->n_outputs ? c->node->outputs[i] : NULL;
    if (!v) return NIB_OK;
    graph_type *t = &v->type;
    if (t->kind != GRAPH_KIND_TENSOR) return op_fail(c, NIB_TYPE, "output %d is declared as no tensor", i);
    if (dtype != NIB_DTYPE_UNDEFINED) {
        if (t->dtype != NIB_DTYPE_UNDEFINED && t->dtype != dtype)
            return op_fail(c, NIB_TYPE, "output %d is %s, declared %s", i, nib_dtype_name(dtype), nib_dtype_name(t->dtype));
        t->dtype = dtype;
    }
    if (rank < 0) return NIB_OK;
    if (rank > GRAPH_MAX_RANK) return op_fail(c, NIB_LIMIT, "output %d has rank %d, beyond %d", i, rank, GRAPH_MAX_RANK);
    if (t->rank < 0) {
        t->rank = rank;
        for (int k = 0; k < rank; k++) t->dims[k] = NULL;
    } else if (t->rank != rank) {
        return op_fail(c, NIB_SHAPE, "output %d has rank %d, declared %d", i, rank, t->rank);
    }
    for (int k = 0; dims && k < rank; k++) OP_TRY(merge_dim(c, i, k, &t->dims[k], dims[k]));
    return NIB_OK;
}

nib_status op_set_like(op_infer *c, int i, nib_dtype dtype, const graph_type *type) { return op_set(c, i, dtype, type->rank, type->dims); }

nib_status op_set_type(op_infer *c, int i, const graph_type *type) {
    graph_value *v = i < c->node->n_outputs ? c->node->outputs[i] : NULL;
    if (!v) return NIB_OK;
    if (type->kind == GRAPH_KIND_TENSOR) return op_set_like(c, i, type->dtype, type);
    bool undeclared = v->type.kind == GRAPH_KIND_TENSOR && v->type.dtype == NIB_DTYPE_UNDEFINED && v->type.rank < 0;
    if (undeclared) v->type = *type;
    if (v->type.kind != type->kind) return op_fail(c, NIB_TYPE, "output %d is declared as of another kind", i);
    if (v->type.dtype == NIB_DTYPE_UNDEFINED) v->type.dtype = type->dtype;
    return NIB_OK;
}

nib_status op_set_data(op_infer *c, int i, const graph_dim *data, int count) {
    graph_value *v = i < c->node->n_outputs ? c->node->outputs[i] : NULL;
    bool known = count == 0;
    for (int k = 0; k < count; k++) known = known || data[k];
    if (!v || count > GRAPH_MAX_DATA || !known || v->type.rank > 1) return NIB_OK;
    if (v->data && v->data_count == count) {
        for (int k = 0; k < count; k++)
            if (data[k]) v->data[k] = data[k];
        return NIB_OK;
    }
    graph_dim *copy = base_arena_alloc(c->g->arena, sizeof(graph_dim) * (size_t)(count > 0 ? count : 1));
    if (!copy) return op_fail(c, NIB_OUT_OF_MEMORY, "out of memory");
    if (count > 0) memcpy(copy, data, sizeof(graph_dim) * (size_t)count);
    v->data = copy;
    v->data_count = count;
    return NIB_OK;
}

/* Is d = min(other, n) with a constant n > 1? With every symbol immense such a d is n, which names the only candidate. */
static bool is_cut_of(graph_symtab *t, graph_dim d, graph_dim other) {
    int64_t values[64], n;
    int count = graph_symbol_count(t) < 64 ? graph_symbol_count(t) : 64;
    for (int i = 0; i < count; i++) values[i] = INT32_MAX;
    return graph_dim_eval(d, values, count, &n) && n > 1 && graph_dim_min(t, other, graph_dim_const(t, n)) == d;
}

/* Two dims of a broadcast. Beyond graph_dim_broadcast: where one is the other cut at a constant beyond 1, the broadcast is
 * only valid when they are equal, so it is the uncut one (a table of positions cut to the sequence's length). */
static graph_dim broadcast_dim(graph_symtab *t, graph_dim a, graph_dim b) {
    graph_dim d = graph_dim_broadcast(t, a, b);
    if (d || !a || !b || graph_dim_is_const(a, NULL) || graph_dim_is_const(b, NULL)) return d;
    return is_cut_of(t, a, b) ? b : is_cut_of(t, b, a) ? a : NULL;
}

int op_broadcast(graph_symtab *t, const graph_type *a, const graph_type *b, graph_dim *out) {
    if (a->rank < 0 || b->rank < 0) return -1;
    int rank = a->rank > b->rank ? a->rank : b->rank;
    graph_dim one = graph_dim_const(t, 1), dims[GRAPH_MAX_RANK];
    for (int i = 0; i < rank; i++) {
        int ia = i - (rank - a->rank), ib = i - (rank - b->rank);
        graph_dim da = ia < 0 ? one : a->dims[ia], db = ib < 0 ? one : b->dims[ib];
        int64_t x, y;
        if (graph_dim_is_const(da, &x) && graph_dim_is_const(db, &y) && x != y && x != 1 && y != 1) return -1;
        dims[i] = broadcast_dim(t, da, db);
        /* A constant beyond 1 decides even against an unknown size. */
        if (!dims[i] && graph_dim_is_const(da, &x) && x != 1) dims[i] = da;
        if (!dims[i] && graph_dim_is_const(db, &y) && y != 1) dims[i] = db;
    }
    memcpy(out, dims, sizeof(graph_dim) * (size_t)rank);
    return rank;
}

nib_status op_check_float(op_infer *c, int i) {
    nib_dtype d = op_in_type(c, i)->dtype;
    return d == NIB_DTYPE_UNDEFINED || op_is_float(d) ? NIB_OK
                                                      : op_fail(c, NIB_TYPE, "input %d is %s, not floating point", i, nib_dtype_name(d));
}

nib_status op_eval_aligned(op_eval *c, nib_status (*eval)(op_eval *), int otherwise) {
    const graph_tensor *a = op_arg(c, 0), *b = op_arg(c, 1), *const *in = c->in;
    int64_t axis = graph_attr_int(c->node, "axis", otherwise);
    graph_tensor wide = *b;
    const graph_tensor *two[2] = {a, &wide};
    if (b->rank < a->rank && b->rank > 0 && axis >= 0) {
        if (axis > a->rank - b->rank) return op_bad(c, NIB_SHAPE, "axis out of range");
        wide.rank = a->rank - (int)axis;
        for (int k = b->rank; k < wide.rank; k++) wide.dims[k] = 1;
    }
    c->in = two;
    nib_status status = eval(c);
    c->in = in;
    return status;
}

nib_status op_infer_aligned(op_infer *c) { return op_set_like(c, 0, op_in_type(c, 0)->dtype, op_in_type(c, 0)); }
nib_status op_infer_aligned_bool(op_infer *c) { return op_set_like(c, 0, NIB_DTYPE_BOOL, op_in_type(c, 0)); }

nib_status op_infer_same(op_infer *c) { return op_set_like(c, 0, op_in_type(c, 0)->dtype, op_in_type(c, 0)); }

nib_status op_infer_float_same(op_infer *c) {
    OP_TRY(op_check_float(c, 0));
    return op_infer_same(c);
}

nib_status op_infer_broadcast_as(op_infer *c, int first, int n, nib_dtype dtype) {
    graph_type t = *op_in_type(c, first);
    for (int i = first + 1; i < first + n && t.rank >= 0; i++) {
        const graph_type *b = op_in_type(c, i);
        if (b->rank < 0) {
            t.rank = -1;
            break;
        }
        t.rank = op_broadcast(OP_SYMS(c), &t, b, t.dims);
        if (t.rank < 0) return op_fail(c, NIB_SHAPE, "inputs do not broadcast");
    }
    return op_set_like(c, 0, dtype, &t);
}

nib_status op_infer_broadcast(op_infer *c) {
    nib_dtype dtype = op_in_type(c, 0)->dtype;
    for (int i = 1; i < c->node->n_inputs; i++) {
        nib_dtype other = op_in_type(c, i)->dtype;
        if (dtype == NIB_DTYPE_UNDEFINED) dtype = other;
        if (other != NIB_DTYPE_UNDEFINED && other != dtype)
            return op_fail(c, NIB_TYPE, "inputs differ in type: %s and %s", nib_dtype_name(dtype), nib_dtype_name(other));
    }
    return op_infer_broadcast_as(c, 0, c->node->n_inputs, dtype);
}
