/* SPDX-License-Identifier: Apache-2.0
 *
 * Cast and CastLike, https://onnx.ai/onnx/operators/onnx__Cast.html: between all integers, all floating-point types, bool and
 * strings; and BitCast. What ONNX leaves undefined is defined here: a number beyond int64 is cut to its ends, NaN gives 0,
 * a whole number that a narrower integer cannot hold keeps its low bits, and a string that is no number gives 0.
 */
#include "op_local.h"
#include "base/base_number.h"
#include <stdio.h>
#include <stdlib.h>

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

typedef struct target {
    nib_dtype dtype;
    bool saturate;
    char mode;
} target;

static bool castable(nib_dtype d) {
    int bits;
    bool is_signed;
    return op_is_float(d) || op_int_info(d, &bits, &is_signed) || d == NIB_DTYPE_BOOL || d == NIB_DTYPE_STRING || op_is_small(d);
}

/* A number as people write it; infinity, NaN and their signs in any case. */
static double parse(graph_string s) {
    char text[400];
    size_t n = s.length < sizeof text - 1 ? s.length : sizeof text - 1;
    if (n > 0) memcpy(text, s.data, n);
    text[n] = 0;
    return base_strtod(text, NULL);
}

static bool parse_whole(graph_string s, int64_t *out) {
    bool negative = s.length > 0 && s.data[0] == '-';
    size_t i = s.length > 0 && (negative || s.data[0] == '+') ? 1 : 0;
    uint64_t v = 0;
    if (i == s.length || s.length - i > 20) return false;
    for (; i < s.length; i++) {
        unsigned digit = (unsigned char)s.data[i] - (unsigned)'0';
        if (digit > 9 || v > (UINT64_MAX - digit) / 10) return false;
        v = v * 10 + digit;
    }
    *out = (int64_t)(negative ? 0 - v : v);
    return true;
}

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
    case NIB_DTYPE_U4:
    case NIB_DTYPE_U2:
        w->kind = WIDE_UNSIGNED;
        for (int64_t k = 0; k < n; k++) w->v.u[k] = ((const uint8_t *)x->data)[at + k];
        break;
    case NIB_DTYPE_I4:
    case NIB_DTYPE_I2:
        w->kind = WIDE_SIGNED;
        for (int64_t k = 0; k < n; k++) w->v.i[k] = ((const int8_t *)x->data)[at + k];
        break;
    case NIB_DTYPE_BOOL:
        w->kind = WIDE_SIGNED;
        for (int64_t k = 0; k < n; k++) w->v.i[k] = ((const uint8_t *)x->data)[at + k] != 0;
        break;
    case NIB_DTYPE_STRING: /* whole numbers exactly, if all of the chunk are */
        w->kind = WIDE_SIGNED;
        for (int64_t k = 0; k < n && w->kind == WIDE_SIGNED; k++)
            if (!parse_whole(((const graph_string *)x->data)[at + k], &w->v.i[k])) w->kind = WIDE_REAL;
        for (int64_t k = 0; k < n && w->kind == WIDE_REAL; k++) w->v.f[k] = parse(((const graph_string *)x->data)[at + k]);
        break;
    default:
        w->kind = WIDE_REAL;
        for (int64_t k = 0; k < n; k++) w->v.f[k] = op_small_load(x->dtype, ((const uint8_t *)x->data)[at + k]);
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

/* The low bits of v, extended to a byte. */
static uint8_t low_bits(int64_t v, nib_dtype dtype) {
    int bits;
    bool is_signed;
    op_int_info(dtype, &bits, &is_signed);
    int64_t half = (int64_t)1 << (bits - 1), low = v & (2 * half - 1);
    return (uint8_t)(is_signed ? (low ^ half) - half : low);
}

static void store(const target *to, void *y, int64_t at, int64_t n, const wide *w) {
    switch (to->dtype) {
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
    case NIB_DTYPE_U4:
    case NIB_DTYPE_I4:
    case NIB_DTYPE_U2:
    case NIB_DTYPE_I2:
        for (int64_t k = 0; k < n; k++) ((uint8_t *)y)[at + k] = low_bits(FROM(k, to_signed(w->v.f[k]), int64_t), to->dtype);
        break;
    case NIB_DTYPE_BOOL: /* NaN is true */
        for (int64_t k = 0; k < n; k++) ((uint8_t *)y)[at + k] = w->kind == WIDE_REAL ? !(w->v.f[k] == 0) : w->v.u[k] != 0;
        break;
    default:
        for (int64_t k = 0; k < n; k++)
            ((uint8_t *)y)[at + k] = op_small_store(to->dtype, FROM(k, w->v.f[k], double), to->saturate, to->mode);
    }
}

/* The shortest digits that give the number back, as NumPy writes it: plain between 1e-4 and 1e16, else with an exponent. */
static int print_real(double v, bool single, char *out, size_t size) {
    char digits[40];
    if (v != v) return snprintf(out, size, "NaN");
    if (v - v != 0) return snprintf(out, size, v > 0 ? "INF" : "-INF");
    int precision = 0;
    for (; precision < 17; precision++) {
        base_snprintf(digits, sizeof digits, "%.*e", precision, v);
        double back = base_strtod(digits, NULL);
        if (single ? (float)back == (float)v : back == v) break;
    }
    int exponent = atoi(strchr(digits, 'e') + 1);
    if (v != 0 && (exponent < -4 || exponent >= 16)) return snprintf(out, size, "%s", digits);
    return base_snprintf(out, size, "%.*f", precision > exponent ? precision - exponent : 1, v);
}

static nib_status to_strings(op_eval *c, const graph_tensor *x, int64_t at, int64_t n, const wide *w, graph_string *y) {
    bool single = x->dtype != NIB_DTYPE_F64;
    for (int64_t k = 0; k < n; k++) {
        char text[64], *copy;
        int length = w->kind == WIDE_REAL     ? print_real(w->v.f[k], single, text, sizeof text)
                     : w->kind == WIDE_SIGNED ? snprintf(text, sizeof text, "%lld", (long long)w->v.i[k])
                                              : snprintf(text, sizeof text, "%llu", (unsigned long long)w->v.u[k]);
        OP_TRY(op_text(c, (size_t)length, &copy));
        memcpy(copy, text, (size_t)length);
        y[at + k] = (graph_string){copy, (size_t)length};
    }
    return NIB_OK;
}

static nib_status eval_to(op_eval *c, nib_dtype dtype) {
    const graph_tensor *x = op_arg(c, 0);
    op_dims dims = op_dims_of(x);
    int64_t n = op_count(x->rank, x->dims);
    void *y;
    wide w;
    const char *mode = graph_attr_string(c->node, "round_mode", "up");
    target to = {dtype, graph_attr_int(c->node, "saturate", 1) != 0, mode[0]};
    bool same = x->dtype == dtype && op_size(dtype) != 0;
    if (strcmp(mode, "up") != 0 && strcmp(mode, "down") != 0 && strcmp(mode, "nearest") != 0)
        return op_bad(c, NIB_BAD_MODEL, "unknown rounding");
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
        if (dtype == NIB_DTYPE_STRING) OP_TRY(to_strings(c, x, at, count, &w, y));
        else store(&to, y, at, count, &w);
    }
    return NIB_OK;
}

static nib_status eval_cast(op_eval *c) {
    int64_t to = graph_attr_int(c->node, "to", 0);
    if (to <= 0 || to > INT_MAX) return op_bad(c, NIB_BAD_MODEL, "attribute `to` is missing");
    return eval_to(c, (nib_dtype)to);
}
static nib_status eval_cast_like(op_eval *c) { return eval_to(c, op_arg(c, 1)->dtype); }

/* ---- BitCast: other elements of the same width */

static nib_status eval_bit_cast(op_eval *c) {
    const graph_tensor *x = op_arg(c, 0);
    graph_tensor y = *c->raw[0];
    y.dtype = (nib_dtype)graph_attr_int(c->node, "to", 0);
    int bits = nib_dtype_bits(y.dtype);
    if (bits == 0 || bits != nib_dtype_bits(x->dtype))
        return op_bad(c, NIB_TYPE, "from %s to %s", nib_dtype_name(x->dtype), nib_dtype_name(y.dtype));
    return op_give(c, 0, &y);
}

static nib_status infer_bit_cast(op_infer *c) { return op_set_like(c, 0, (nib_dtype)graph_attr_int(c->node, "to", 0), op_in_type(c, 0)); }

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
    {"BitCast", "", 26, 1, 1, 1, OP_ROWS_MIXED, infer_bit_cast, eval_bit_cast, NULL},
    {"Cast", "", 6, 1, 1, 1, OP_ROWS_ELEMENT, infer_cast, eval_cast, NULL},
    {"CastLike", "", 15, 2, 2, 1, OP_ROWS_ELEMENT, infer_cast_like, eval_cast_like, NULL},
    {0},
};
