/* SPDX-License-Identifier: Apache-2.0
 *
 * Element-wise arithmetic of two or more inputs with broadcasting, https://onnx.ai/onnx/operators/: Add Sub Mul Div Mod Pow,
 * Min Max Sum Mean, Clip, PRelu, BitShift and the bitwise ones. Inputs share one type (Pow: two); the output has it too.
 *
 * Integers wrap as the machine's do; x / 0 and x % 0 give 0, as ONNX leaves them undefined and a model must not be able to
 * stop the process; INT_MIN / -1 wraps. Integer contents of shapes are propagated as expressions.
 */
#include "op_local.h"

/* Signed arithmetic by way of unsigned, where overflow is defined. */
#define WRAP(op, x, y) ((int64_t)((uint64_t)(x)op(uint64_t)(y)))

static int64_t div_i(int64_t x, int64_t y) { return y == 0 ? 0 : y == -1 ? WRAP(-, 0, x) : x / y; }
static uint64_t div_u(uint64_t x, uint64_t y) { return y == 0 ? 0 : x / y; }
static int64_t fmod_i(int64_t x, int64_t y) { return y == 0 || y == -1 ? 0 : x % y; }
static uint64_t mod_u(uint64_t x, uint64_t y) { return y == 0 ? 0 : x % y; }
static int64_t mod_i(int64_t x, int64_t y) { /* the divisor's sign, as Python's % */
    int64_t r = fmod_i(x, y);
    return r != 0 && (r < 0) != (y < 0) ? r + y : r;
}
static uint64_t pow_u(uint64_t x, uint64_t y) {
    uint64_t r = 1;
    for (; y; y >>= 1, x *= x)
        if (y & 1) r *= x;
    return r;
}
static int64_t pow_i(int64_t x, int64_t y) {
    if (y < 0) return x == 1 ? 1 : x == -1 ? (y & 1 ? -1 : 1) : 0;
    return (int64_t)pow_u((uint64_t)x, (uint64_t)y);
}
/* The shift is read as an unsigned number: one that is negative or beyond the width moves every bit out. To the right a
 * negative number is filled with ones. */
static uint64_t shift_left(uint64_t x, uint64_t y) { return y > 63 ? 0 : x << y; }
static uint64_t shift_right(uint64_t x, uint64_t y) { return y > 63 ? 0 : x >> y; }
static int64_t shift_right_signed(int64_t x, uint64_t y) {
    uint64_t moved = shift_right(x < 0 ? ~(uint64_t)x : (uint64_t)x, y);
    return (int64_t)(x < 0 ? ~moved : moved);
}

#define OP_NAME add
#define OP_F(W, x, y) ((x) + (y))
#define OP_I(x, y) WRAP(+, x, y)
#define OP_U(x, y) ((x) + (y))
#include "op_binary.inc"

#define OP_NAME sub
#define OP_F(W, x, y) ((x) - (y))
#define OP_I(x, y) WRAP(-, x, y)
#define OP_U(x, y) ((x) - (y))
#include "op_binary.inc"

#define OP_NAME mul
#define OP_F(W, x, y) ((x) * (y))
#define OP_I(x, y) WRAP(*, x, y)
#define OP_U(x, y) ((x) * (y))
#include "op_binary.inc"

/* Division of floats by zero is what IEEE says, which C leaves undefined only on paper. */
#define OP_NAME div
#define OP_F(W, x, y) ((x) / (y))
#define OP_I(x, y) div_i(x, y)
#define OP_U(x, y) div_u(x, y)
#include "op_binary.inc"

static double floor_mod(double x, double y) {
    double r = fmod(x, y);
    return r != 0 && (r < 0) != (y < 0) ? r + y : r;
}

#define OP_NAME mod
#define OP_F(W, x, y) ((W)floor_mod(x, y))
#define OP_I(x, y) mod_i(x, y)
#define OP_U(x, y) mod_u(x, y)
#include "op_binary.inc"

#define OP_NAME fmod
#define OP_F(W, x, y) ((W)fmod(x, y))
#define OP_I(x, y) fmod_i(x, y)
#define OP_U(x, y) mod_u(x, y)
#include "op_binary.inc"

#define OP_NAME pow
#define OP_F(W, x, y) (sizeof(W) == 4 ? (W)powf((float)(x), (float)(y)) : (W)pow(x, y))
#define OP_I(x, y) pow_i(x, y)
#define OP_U(x, y) pow_u(x, y)
#include "op_binary.inc"

/* A NaN on either side wins, as in numpy. */
#define OP_NAME min
#define OP_F(W, x, y) ((x) < (y) || (x) != (x) ? (x) : (y))
#define OP_I(x, y) ((x) < (y) ? (x) : (y))
#define OP_U(x, y) ((x) < (y) ? (x) : (y))
#include "op_binary.inc"

#define OP_NAME max
#define OP_F(W, x, y) ((x) > (y) || (x) != (x) ? (x) : (y))
#define OP_I(x, y) ((x) > (y) ? (x) : (y))
#define OP_U(x, y) ((x) > (y) ? (x) : (y))
#include "op_binary.inc"

#define OP_NAME prelu
#define OP_F(W, x, y) ((x) < 0 ? (x) * (y) : (x))
#define OP_I(x, y) ((x) < 0 ? WRAP(*, x, y) : (x))
#define OP_U(x, y) ((void)(y), (x))
#include "op_binary.inc"

#define OP_NAME bit_and
#define OP_I(x, y) ((x) & (y))
#define OP_U(x, y) ((x) & (y))
#include "op_binary.inc"

#define OP_NAME bit_or
#define OP_I(x, y) ((x) | (y))
#define OP_U(x, y) ((x) | (y))
#include "op_binary.inc"

#define OP_NAME bit_xor
#define OP_I(x, y) ((x) ^ (y))
#define OP_U(x, y) ((x) ^ (y))
#include "op_binary.inc"

#define OP_NAME left
#define OP_I(x, y) ((int64_t)shift_left((uint64_t)(x), (uint64_t)(y)))
#define OP_U(x, y) shift_left(x, y)
#include "op_binary.inc"

#define OP_NAME right
#define OP_I(x, y) shift_right_signed(x, (uint64_t)(y))
#define OP_U(x, y) shift_right(x, y)
#include "op_binary.inc"

/* ---- eval */

typedef op_loop *find_loop(nib_dtype dtype);

static nib_status eval_two(op_eval *c, find_loop *find) {
    const graph_tensor *a = op_arg(c, 0), *b = op_arg(c, 1);
    op_dims dims;
    void *y;
    op_loop *loop = find(a->dtype);
    if (a->dtype != b->dtype) return op_bad(c, NIB_TYPE, "inputs differ in type");
    if (!loop) return op_bad(c, NIB_TYPE, "inputs of type %s", nib_dtype_name(a->dtype));
    OP_TRY(op_broadcast_dims(c, 2, c->in, &dims));
    OP_TRY(op_out(c, 0, a->dtype, &dims, &y));
    if (y) op_walk(&dims, y, op_size(a->dtype), 2, c->in, loop, NULL);
    return NIB_OK;
}

/* Sum, Min, Max, Mean: folded from the left into the output; two operands at a time, the first being the output so far. */
static nib_status eval_many(op_eval *c, find_loop *find, bool mean) {
    nib_dtype dtype = op_arg(c, 0)->dtype;
    op_loop *loop = find(dtype);
    op_dims dims;
    void *y;
    for (int i = 1; i < c->n_in; i++)
        if (op_arg(c, i)->dtype != dtype) return op_bad(c, NIB_TYPE, "inputs differ in type");
    if (!loop || (mean && !op_is_float(dtype))) return op_bad(c, NIB_TYPE, "inputs of type %s", nib_dtype_name(dtype));
    OP_TRY(op_broadcast_dims(c, c->n_in, c->in, &dims));
    OP_TRY(op_out(c, 0, dtype, &dims, &y));
    if (!y) return NIB_OK;
    int64_t strides[GRAPH_MAX_RANK] = {0}, own[GRAPH_MAX_RANK];
    const graph_tensor *first = op_arg(c, 0);
    int shift = dims.rank - first->rank;
    op_strides(first->rank, first->dims, own);
    for (int i = shift; i < dims.rank; i++) strides[i] = first->dims[i - shift] == 1 ? 0 : own[i - shift];
    op_copy(y, NULL, first->data, strides, dims.rank, dims.d, op_size(dtype));
    graph_tensor so_far = {.dtype = dtype, .rank = dims.rank, .data = y};
    memcpy(so_far.dims, dims.d, sizeof so_far.dims);
    for (int i = 1; i < c->n_in; i++)
        op_walk(&dims, y, op_size(dtype), 2, (const graph_tensor *const[]){&so_far, op_arg(c, i)}, loop, NULL);
    if (!mean) return NIB_OK;
    double count = c->n_in;
    uint16_t half = dtype == NIB_DTYPE_F16 ? base_f32_to_f16((float)count) : base_f32_to_bf16((float)count);
    float single = (float)count;
    graph_tensor divisor = {.dtype = dtype,
                            .data = dtype == NIB_DTYPE_F64   ? (void *)&count
                                    : dtype == NIB_DTYPE_F32 ? (void *)&single
                                                             : &half};
    op_walk(&dims, y, op_size(dtype), 2, (const graph_tensor *const[]){&so_far, &divisor}, div_loop(dtype), NULL);
    return NIB_OK;
}

#define EVAL_TWO(name)                                                                                                                     \
    static nib_status eval_##name(op_eval *c) { return eval_two(c, name##_loop); }
EVAL_TWO(add)
EVAL_TWO(sub)
EVAL_TWO(mul)
EVAL_TWO(div)
EVAL_TWO(prelu)
EVAL_TWO(bit_and)
EVAL_TWO(bit_or)
EVAL_TWO(bit_xor)
static nib_status eval_mod(op_eval *c) { return eval_two(c, graph_attr_int(c->node, "fmod", 0) ? fmod_loop : mod_loop); }
static nib_status eval_shift(op_eval *c) {
    const char *direction = graph_attr_string(c->node, "direction", "");
    if (strcmp(direction, "LEFT") != 0 && strcmp(direction, "RIGHT") != 0) return op_bad(c, NIB_BAD_MODEL, "unknown direction");
    return eval_two(c, direction[0] == 'L' ? left_loop : right_loop);
}
static nib_status eval_min(op_eval *c) { return eval_many(c, min_loop, false); }
static nib_status eval_max(op_eval *c) { return eval_many(c, max_loop, false); }
static nib_status eval_sum(op_eval *c) { return eval_many(c, add_loop, false); }
static nib_status eval_mean(op_eval *c) { return eval_many(c, add_loop, true); }

/* A limit of Clip before opset 11: an attribute, as a scalar of the data's type in `room`. */
static graph_tensor limit_attr(nib_dtype dtype, float value, double *room) {
    graph_tensor t = {.dtype = dtype, .data = room};
    float f = value;
    uint16_t half = dtype == NIB_DTYPE_F16 ? base_f32_to_f16(f) : base_f32_to_bf16(f);
    if (dtype == NIB_DTYPE_F64) *room = value;
    else if (dtype == NIB_DTYPE_F32) memcpy(room, &f, sizeof f);
    else memcpy(room, &half, sizeof half);
    return t;
}

/* min(max(x, low), high), each optional: high wins where they cross. */
static nib_status eval_clip(op_eval *c) {
    const graph_tensor *x = op_arg(c, 0), *limit[2] = {op_arg(c, 1), op_arg(c, 2)};
    op_dims dims = op_dims_of(x);
    graph_tensor y = *x, attr[2];
    double room[2];
    op_loop *loop[2] = {max_loop(x->dtype), min_loop(x->dtype)};
    static const char *const names[2] = {"min", "max"};
    if (!loop[0]) return op_bad(c, NIB_TYPE, "input of type %s", nib_dtype_name(x->dtype));
    for (int i = 0; i < 2; i++) {
        if (op_since(c->node) < 11 && graph_find_attr(c->node, names[i]) && op_is_float(x->dtype)) {
            attr[i] = limit_attr(x->dtype, graph_attr_float(c->node, names[i], 0), &room[i]);
            limit[i] = &attr[i];
        }
        if (limit[i] && limit[i]->dtype != x->dtype) return op_bad(c, NIB_TYPE, "%s is not of the input's type", names[i]);
        if (limit[i] && op_count(limit[i]->rank, limit[i]->dims) != 1) return op_bad(c, NIB_SHAPE, "%s is not a scalar", names[i]);
    }
    OP_TRY(op_out(c, 0, x->dtype, &dims, &y.data));
    if (!y.data) return NIB_OK;
    if (op_count(dims.rank, dims.d) > 0) memcpy(y.data, x->data, (size_t)op_count(dims.rank, dims.d) * op_size(x->dtype));
    for (int i = 0; i < 2; i++) {
        graph_tensor scalar;
        if (!limit[i]) continue;
        scalar = *limit[i];
        scalar.rank = 0;
        op_walk(&dims, y.data, op_size(x->dtype), 2, (const graph_tensor *const[]){&y, &scalar}, loop[i], NULL);
    }
    return NIB_OK;
}

/* Where an integer base meets a floating exponent or the reverse, the exponent is read as a number. */
typedef struct pow_arg {
    nib_dtype base, exponent;
} pow_arg;

static void pow_mixed(void *y, const void *const *x, const int64_t *step, int64_t n, const void *arg) {
    const pow_arg *p = arg;
    graph_tensor a = {.dtype = p->base, .data = (void *)x[0]}, b = {.dtype = p->exponent, .data = (void *)x[1]};
    for (int64_t i = 0; i < n; i++) {
        double r = pow(op_number(&a, i * step[0]), op_number(&b, i * step[1]));
        double least = p->base == NIB_DTYPE_I32 ? INT32_MIN : -9.2233720368547758e18,
               most = p->base == NIB_DTYPE_I32 ? INT32_MAX : 9.2233720368547748e18;
        double cut = !(r == r) ? 0 : r < least ? least : r > most ? most : r;
        switch (p->base) {
        case NIB_DTYPE_F32: ((float *)y)[i] = (float)r; break;
        case NIB_DTYPE_F64: ((double *)y)[i] = r; break;
        case NIB_DTYPE_F16: ((uint16_t *)y)[i] = base_f32_to_f16((float)r); break;
        case NIB_DTYPE_BF16: ((uint16_t *)y)[i] = base_f32_to_bf16((float)r); break;
        case NIB_DTYPE_I32: ((int32_t *)y)[i] = (int32_t)cut; break;
        default: ((int64_t *)y)[i] = (int64_t)cut;
        }
    }
}

static nib_status eval_pow(op_eval *c) {
    const graph_tensor *a = op_arg(c, 0), *b = op_arg(c, 1);
    pow_arg arg = {a->dtype, b->dtype};
    op_dims dims;
    void *y;
    if (a->dtype == b->dtype) return eval_two(c, pow_loop);
    bool base_ok = op_is_float(a->dtype) || a->dtype == NIB_DTYPE_I32 || a->dtype == NIB_DTYPE_I64;
    if (!base_ok || (!op_is_float(b->dtype) && !op_is_int(b->dtype)))
        return op_bad(c, NIB_TYPE, "inputs of types %s and %s", nib_dtype_name(a->dtype), nib_dtype_name(b->dtype));
    OP_TRY(op_broadcast_dims(c, 2, c->in, &dims));
    OP_TRY(op_out(c, 0, a->dtype, &dims, &y));
    if (y) op_walk(&dims, y, op_size(a->dtype), 2, c->in, pow_mixed, &arg);
    return NIB_OK;
}

/* ---- inference */

typedef graph_dim dim_fn(graph_symtab *t, graph_dim a, graph_dim b);

/* ONNX divides towards zero, graph_dim_div downwards: the same where it is exact or both are not negative. */
static graph_dim dim_div(const op_infer *c, graph_dim a, graph_dim b) {
    int64_t x, y;
    if (!a || !b) return NULL;
    bool known = graph_dim_is_const(b, &y);
    if (known && y == 0) return NULL;
    if (known && graph_dim_is_const(a, &x)) return op_const(c, div_i(x, y));
    graph_dim q = graph_dim_div(OP_SYMS(c), a, b);
    if (q && graph_dim_mul(OP_SYMS(c), q, b) == a) return q;
    return graph_dim_is_nonnegative(a) && graph_dim_is_nonnegative(b) ? q : NULL;
}

static graph_dim dim_mod(const op_infer *c, graph_dim a, graph_dim b) {
    int64_t y;
    return a && b && graph_dim_is_const(b, &y) && y > 0 && (graph_dim_is_nonnegative(a) || !graph_attr_int(c->node, "fmod", 0))
               ? graph_dim_mod(OP_SYMS(c), a, b)
               : NULL;
}

/* Integer contents, element by element; a scalar or single element broadcasts. */
static nib_status infer_data(op_infer *c, dim_fn *fn) {
    graph_dim out[GRAPH_MAX_DATA], b[GRAPH_MAX_DATA];
    int n, m;
    if (op_in_type(c, 0)->rank > 1 || !op_in_data(c, 0, out, &n)) return NIB_OK;
    for (int i = 1; i < c->node->n_inputs; i++) {
        if (op_in_type(c, i)->rank > 1 || !op_in_data(c, i, b, &m) || (m != n && m != 1 && n != 1)) return NIB_OK;
        int count = n == 1 ? m : n;
        for (int k = count - 1; k >= 0; k--) { /* downwards: out[0] is read until the last */
            graph_dim p = out[n == 1 ? 0 : k], q = b[m == 1 ? 0 : k];
            /* fn NULL stands for the two that need the context. */
            if (fn) out[k] = fn(OP_SYMS(c), p, q);
            else out[k] = c->node->op[0] == 'D' ? dim_div(c, p, q) : dim_mod(c, p, q);
        }
        n = count;
    }
    return op_set_data(c, 0, out, n);
}

static nib_status infer_with(op_infer *c, dim_fn *fn) {
    OP_TRY(op_infer_broadcast(c));
    return op_is_int(op_in_type(c, 0)->dtype) ? infer_data(c, fn) : NIB_OK;
}

static nib_status infer_add(op_infer *c) { return infer_with(c, graph_dim_add); }
static nib_status infer_sub(op_infer *c) { return infer_with(c, graph_dim_sub); }
static nib_status infer_mul(op_infer *c) { return infer_with(c, graph_dim_mul); }
static nib_status infer_div(op_infer *c) { return infer_with(c, NULL); }
static nib_status infer_min(op_infer *c) { return infer_with(c, graph_dim_min); }
static nib_status infer_max(op_infer *c) { return infer_with(c, graph_dim_max); }
static nib_status infer_pow(op_infer *c) { return op_infer_broadcast_as(c, 0, 2, op_in_type(c, 0)->dtype); }

/* SwiGLU: a gate through Swish, times a value of the same shape */
static nib_status eval_swiglu(op_eval *c) {
    const graph_tensor *a = op_arg(c, 0), *b = op_arg(c, 1);
    double alpha = graph_attr_float(c->node, "alpha", 1);
    op_dims dims = op_dims_of(a);
    void *y;
    if (!op_is_float(a->dtype) || b->dtype != a->dtype)
        return op_bad(c, NIB_TYPE, "inputs of types %s and %s", nib_dtype_name(a->dtype), nib_dtype_name(b->dtype));
    if (a->rank != b->rank || memcmp(a->dims, b->dims, sizeof(int64_t) * (size_t)a->rank) != 0)
        return op_bad(c, NIB_SHAPE, "inputs differ in shape");
    OP_TRY(op_out(c, 0, a->dtype, &dims, &y));
    int64_t n = op_count(dims.rank, dims.d);
    for (int64_t i = 0; y && i < n; i++) {
        double x = op_number(a, i);
        op_put(a->dtype, y, i, x / (1 + exp(-alpha * x)) * op_number(b, i));
    }
    return NIB_OK;
}

OP_ALIGNED(add, -1)
OP_ALIGNED(sub, -1)
OP_ALIGNED(mul, -1)
OP_ALIGNED(div, -1)
OP_ALIGNED(pow, -1)
OP_ALIGNED(prelu, 1)

const op op_family_binary[] = {
    {"Add", "", 1, 2, 2, 1, OP_ROWS_MIXED, op_infer_aligned, eval_old_add, NULL},
    {"Add", "", 7, 2, 2, 1, OP_ROWS_ELEMENT, infer_add, eval_add, NULL},
    {"BitShift", "", 11, 2, 2, 1, OP_ROWS_ELEMENT, op_infer_broadcast, eval_shift, NULL},
    {"BitwiseAnd", "", 18, 2, 2, 1, OP_ROWS_ELEMENT, op_infer_broadcast, eval_bit_and, NULL},
    {"BitwiseOr", "", 18, 2, 2, 1, OP_ROWS_ELEMENT, op_infer_broadcast, eval_bit_or, NULL},
    {"BitwiseXor", "", 18, 2, 2, 1, OP_ROWS_ELEMENT, op_infer_broadcast, eval_bit_xor, NULL},
    {"Clip", "", 1, 1, 1, 1, OP_ROWS_ELEMENT, op_infer_same, eval_clip, NULL},
    {"Clip", "", 11, 1, 3, 1, OP_ROWS_ELEMENT, op_infer_same, eval_clip, NULL},
    {"Div", "", 1, 2, 2, 1, OP_ROWS_MIXED, op_infer_aligned, eval_old_div, NULL},
    {"Div", "", 7, 2, 2, 1, OP_ROWS_ELEMENT, infer_div, eval_div, NULL},
    {"Max", "", 1, 1, INT_MAX, 1, OP_ROWS_ELEMENT, infer_max, eval_max, NULL},
    {"Mean", "", 1, 1, INT_MAX, 1, OP_ROWS_ELEMENT, op_infer_broadcast, eval_mean, NULL},
    {"Min", "", 1, 1, INT_MAX, 1, OP_ROWS_ELEMENT, infer_min, eval_min, NULL},
    {"Mod", "", 10, 2, 2, 1, OP_ROWS_ELEMENT, infer_div, eval_mod, NULL},
    {"Mul", "", 1, 2, 2, 1, OP_ROWS_MIXED, op_infer_aligned, eval_old_mul, NULL},
    {"Mul", "", 7, 2, 2, 1, OP_ROWS_ELEMENT, infer_mul, eval_mul, NULL},
    {"PRelu", "", 1, 2, 2, 1, OP_ROWS_MIXED, op_infer_aligned, eval_old_prelu, NULL},
    {"PRelu", "", 7, 2, 2, 1, OP_ROWS_ELEMENT, op_infer_broadcast, eval_prelu, NULL},
    {"Pow", "", 1, 2, 2, 1, OP_ROWS_MIXED, op_infer_aligned, eval_old_pow, NULL},
    {"Pow", "", 7, 2, 2, 1, OP_ROWS_ELEMENT, infer_pow, eval_pow, NULL},
    {"Sub", "", 1, 2, 2, 1, OP_ROWS_MIXED, op_infer_aligned, eval_old_sub, NULL},
    {"Sub", "", 7, 2, 2, 1, OP_ROWS_ELEMENT, infer_sub, eval_sub, NULL},
    {"SwiGLU", "", 28, 2, 2, 1, OP_ROWS_ELEMENT, op_infer_same, eval_swiglu, NULL},
    {"Sum", "", 1, 1, INT_MAX, 1, OP_ROWS_ELEMENT, op_infer_broadcast, eval_sum, NULL},
    {0},
};
