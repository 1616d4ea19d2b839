/* SPDX-License-Identifier: Apache-2.0
 *
 * Cast and CastLike, https://onnx.ai/onnx/operators/onnx__Cast.html: between all integers, floating-point types of 16 bits
 * and more, and bool. What ONNX leaves undefined is defined here: a number beyond int64 is cut to its ends, NaN gives 0,
 * and a whole number that a narrower integer cannot hold keeps its low bits.
 */
#include "op_local.h"

#define CHUNK 256

/* A chunk goes through the widest type of its class. */
typedef struct wide {
    enum { WIDE_REAL, WIDE_SIGNED, WIDE_UNSIGNED } kind;
    union {
        double f[CHUNK];
        int64_t i[CHUNK];
        uint64_t u[CHUNK];
    } v;
} wide;

static bool castable(nib_dtype d) { return op_is_float(d) || op_is_int(d) || d == NIB_DTYPE_BOOL; }

static void load(const graph_tensor *x, int64_t at, int64_t n, wide *w) {
    switch (x->dtype) {
#define LOAD_F(N, S, W, LOAD, STORE, C)                                                                                                    \
    case NIB_DTYPE_##N:                                                                                                                    \
        w->kind = WIDE_REAL;                                                                                                               \
        for (int64_t k = 0; k < n; k++) w->v.f[k] = (double)LOAD(((const S *)x->data)[at + k]);                                            \
        break;
#define LOAD_I(N, S, W, LOAD, STORE, C)                                                                                                    \
    case NIB_DTYPE_##N:                                                                                                                    \
        w->kind = WIDE_SIGNED;                                                                                                             \
        for (int64_t k = 0; k < n; k++) w->v.i[k] = ((const S *)x->data)[at + k];                                                          \
        break;
#define LOAD_U(N, S, W, LOAD, STORE, C)                                                                                                    \
    case NIB_DTYPE_##N:                                                                                                                    \
        w->kind = WIDE_UNSIGNED;                                                                                                           \
        for (int64_t k = 0; k < n; k++) w->v.u[k] = ((const S *)x->data)[at + k];                                                          \
        break;
        OP_FLOATS(LOAD_F)
        OP_SIGNED(LOAD_I)
        OP_UNSIGNED(LOAD_U)
    default: /* bool */
        w->kind = WIDE_SIGNED;
        for (int64_t k = 0; k < n; k++) w->v.i[k] = ((const uint8_t *)x->data)[at + k] != 0;
    }
}

static int64_t to_signed(double f) {
    if (f != f) return 0;
    return f >= 9.2233720368547758e18 ? INT64_MAX : f <= -9.2233720368547758e18 ? INT64_MIN : (int64_t)f;
}

static uint64_t to_unsigned(double f) {
    return f >= 1.8446744073709552e19 ? UINT64_MAX : f >= 9.2233720368547758e18 ? (uint64_t)f : (uint64_t)to_signed(f);
}

#define FROM(k, real, whole) (w->kind == WIDE_REAL ? (real) : w->kind == WIDE_SIGNED ? (whole)w->v.i[k] : (whole)w->v.u[k])

static void store(nib_dtype dtype, void *y, int64_t at, int64_t n, const wide *w) {
    switch (dtype) {
#define STORE_F(N, S, W, LOAD, STORE, C)                                                                                                   \
    case NIB_DTYPE_##N:                                                                                                                    \
        for (int64_t k = 0; k < n; k++) ((S *)y)[at + k] = STORE(FROM(k, (W)w->v.f[k], W));                                                \
        break;
#define STORE_I(N, S, W, LOAD, STORE, C)                                                                                                   \
    case NIB_DTYPE_##N:                                                                                                                    \
        for (int64_t k = 0; k < n; k++) ((S *)y)[at + k] = (S)FROM(k, to_signed(w->v.f[k]), int64_t);                                      \
        break;
#define STORE_U(N, S, W, LOAD, STORE, C)                                                                                                   \
    case NIB_DTYPE_##N:                                                                                                                    \
        for (int64_t k = 0; k < n; k++) ((S *)y)[at + k] = (S)FROM(k, to_unsigned(w->v.f[k]), uint64_t);                                   \
        break;
        OP_FLOATS(STORE_F)
        OP_SIGNED(STORE_I)
        OP_UNSIGNED(STORE_U)
    default: /* bool; NaN is true */
        for (int64_t k = 0; k < n; k++) ((uint8_t *)y)[at + k] = w->kind == WIDE_REAL ? !(w->v.f[k] == 0) : w->v.u[k] != 0;
    }
}

static nib_status eval_to(op_eval *c, nib_dtype dtype) {
    const graph_tensor *x = op_arg(c, 0);
    op_dims dims = op_dims_of(x);
    int64_t n = op_count(x->rank, x->dims);
    void *y;
    wide w;
    bool same = x->dtype == dtype && op_size(dtype) != 0;
    if (!same && (!castable(x->dtype) || !castable(dtype)))
        return op_bad(c, NIB_UNSUPPORTED, "from %s to %s", nib_dtype_name(x->dtype), nib_dtype_name(dtype));
    OP_TRY(op_out(c, 0, dtype, &dims, &y));
    if (!y || n == 0) return NIB_OK;
    if (same) {
        memcpy(y, x->data, (size_t)n * op_size(dtype));
        return NIB_OK;
    }
    for (int64_t at = 0; at < n; at += CHUNK) {
        int64_t count = n - at < CHUNK ? n - at : CHUNK;
        load(x, at, count, &w);
        store(dtype, y, at, count, &w);
    }
    return NIB_OK;
}

static nib_status eval_cast(op_eval *c) {
    int64_t to = graph_attr_int(c->node, "to", 0);
    if (to <= 0 || to > INT_MAX) return op_bad(c, NIB_BAD_MODEL, "attribute `to` is missing");
    return eval_to(c, (nib_dtype)to);
}
static nib_status eval_cast_like(op_eval *c) { return eval_to(c, op_arg(c, 1)->dtype); }

static nib_status infer_to(op_infer *c, nib_dtype to) {
    graph_dim d[GRAPH_MAX_DATA];
    int n;
    int64_t v;
    OP_TRY(op_set_like(c, 0, to, op_in_type(c, 0)));
    if (!op_in_data(c, 0, d, &n) || (to != NIB_DTYPE_I64 && to != NIB_DTYPE_I32 && to != NIB_DTYPE_BOOL)) return NIB_OK;
    for (int i = 0; i < n; i++) {
        bool number = graph_dim_is_const(d[i], &v);
        if (to == NIB_DTYPE_BOOL) d[i] = number ? op_const(c, v != 0) : NULL;
        else if (to == NIB_DTYPE_I32 && number && (v < INT32_MIN || v > INT32_MAX)) d[i] = NULL;
    }
    return op_set_data(c, 0, d, n);
}

static nib_status infer_cast(op_infer *c) {
    int64_t to = graph_attr_int(c->node, "to", 0);
    if (to <= 0 || to > NIB_DTYPE_I2) return op_fail(c, NIB_BAD_MODEL, "attribute `to` is missing or unknown");
    return infer_to(c, (nib_dtype)to);
}
static nib_status infer_cast_like(op_infer *c) { return infer_to(c, op_in_type(c, 1)->dtype); }

const op op_family_cast[] = {
    {"Cast", "", 6, 1, 1, 1, OP_ROWS_ELEMENT, infer_cast, eval_cast, NULL},
    {"CastLike", "", 15, 2, 2, 1, OP_ROWS_ELEMENT, infer_cast_like, eval_cast_like, NULL},
    {0},
};
