/* SPDX-License-Identifier: Apache-2.0
 *
 * Element-wise functions of one input, https://onnx.ai/onnx/operators/: the output has its type and shape. Every
 * floating-point type is computed in double and rounded once, so that these are the values others are measured against;
 * Abs, Neg, Sign, Relu and BitwiseNot take integers too.
 */
#include "op_local.h"

typedef double real_fn(double x, const double *p);
typedef int64_t whole_fn(int64_t x);

#define REAL(name, expression)                                                                                                             \
    static double name(double x, const double *p) { return (void)p, (expression); }

static double sigmoid(double x) { return x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x)); }
static double softplus(double x) { return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x)); }
static double clamp(double x, double lo, double hi) { return x < lo ? lo : x > hi ? hi : x; }

REAL(r_abs, fabs(x))
REAL(r_neg, -x)
REAL(r_sign, x > 0 ? 1 : x < 0 ? -1 : x)
REAL(r_relu, x < 0 ? 0 : x)
REAL(r_sqrt, sqrt(x))
REAL(r_exp, exp(x))
REAL(r_log, log(x))
REAL(r_erf, erf(x))
REAL(r_reciprocal, 1 / x)
REAL(r_floor, floor(x))
REAL(r_ceil, ceil(x))
REAL(r_round, nearbyint(x)) /* halves to even: the rounding mode that nobody changes */
REAL(r_sin, sin(x))
REAL(r_cos, cos(x))
REAL(r_tan, tan(x))
REAL(r_asin, asin(x))
REAL(r_acos, acos(x))
REAL(r_atan, atan(x))
REAL(r_sinh, sinh(x))
REAL(r_cosh, cosh(x))
REAL(r_tanh, tanh(x))
REAL(r_asinh, asinh(x))
REAL(r_acosh, acosh(x))
REAL(r_atanh, atanh(x))
REAL(r_sigmoid, sigmoid(x))
REAL(r_softplus, softplus(x))
REAL(r_softsign, x / (1 + fabs(x)))
REAL(r_mish, x *tanh(softplus(x)))
REAL(r_hard_sigmoid, clamp(p[0] * x + p[1], 0, 1))
REAL(r_hard_swish, x *clamp(x / 6 + 0.5, 0, 1))
REAL(r_leaky, x < 0 ? p[0] * x : x)
REAL(r_elu, x < 0 ? p[0] * expm1(x) : x)
REAL(r_celu, x < 0 ? p[0] * expm1(x / p[0]) : x)
REAL(r_selu, p[1] * (x > 0 ? x : p[0] * expm1(x)))
REAL(r_thresholded, x > p[0] ? x : 0)
REAL(r_shrink, x<-p[1] ? x + p[0] : x> p[1] ? x - p[0] : 0)
REAL(r_swish, x *sigmoid(p[0] * x))
REAL(r_gelu, 0.5 * x * (1 + erf(x * 0.70710678118654752440)))
REAL(r_gelu_tanh, 0.5 * x * (1 + tanh(0.79788456080286535588 * (x + 0.044715 * x * x * x))))

static int64_t w_neg(int64_t x) { return (int64_t)(0 - (uint64_t)x); }
static int64_t w_abs(int64_t x) { return x < 0 ? w_neg(x) : x; }
static int64_t w_sign(int64_t x) { return (x > 0) - (x < 0); }
static int64_t w_relu(int64_t x) { return x > 0 ? x : 0; }
static int64_t w_not(int64_t x) { return ~x; }

/* Unsigned numbers never are negative, which only u64 beyond 2^63 would hide in int64: those pass by way of `keep`. */
static bool keeps_unsigned(whole_fn *fn) { return fn == w_abs || fn == w_relu; }

static nib_status eval_unary(op_eval *c, real_fn *real, whole_fn *whole, const double *p) {
    const graph_tensor *x = op_arg(c, 0);
    op_dims dims = op_dims_of(x);
    int64_t n = op_count(x->rank, x->dims);
    void *y;
    if (!(op_is_float(x->dtype) && real) && !(op_is_int(x->dtype) && whole))
        return op_bad(c, NIB_TYPE, "input of type %s", nib_dtype_name(x->dtype));
    OP_TRY(op_out(c, 0, x->dtype, &dims, &y));
    if (!y) return NIB_OK;
    switch (x->dtype) {
#define CASE(N, S, W, LOAD, STORE, C)                                                                                                      \
    case NIB_DTYPE_##N:                                                                                                                    \
        for (int64_t i = 0; i < n; i++) ((S *)y)[i] = STORE((W)real((double)LOAD(((const S *)x->data)[i]), p));                            \
        break;
        OP_FLOATS(CASE)
#undef CASE
#define CASE(N, S, W, LOAD, STORE, C)                                                                                                      \
    case NIB_DTYPE_##N:                                                                                                                    \
        for (int64_t i = 0; i < n; i++) ((S *)y)[i] = (S)whole((int64_t)((const S *)x->data)[i]);                                          \
        break;
        OP_SIGNED(CASE)
        OP_UNSIGNED(CASE)
#undef CASE
    default: break;
    }
    if (x->dtype == NIB_DTYPE_U64 && n > 0) {
        const uint64_t *from = x->data;
        if (keeps_unsigned(whole)) memcpy(y, from, (size_t)n * 8);
        for (int64_t i = 0; whole == w_sign && i < n; i++) ((uint64_t *)y)[i] = from[i] != 0;
    }
    return NIB_OK;
}

#define EVAL(name, real, whole)                                                                                                            \
    static nib_status eval_##name(op_eval *c) { return eval_unary(c, real, whole, NULL); }
#define EVAL_REAL(name) EVAL(name, r_##name, NULL)
EVAL(abs, r_abs, w_abs)
EVAL(neg, r_neg, w_neg)
EVAL(sign, r_sign, w_sign)
EVAL(relu, r_relu, w_relu)
EVAL(bit_not, NULL, w_not)
EVAL_REAL(sqrt)
EVAL_REAL(exp)
EVAL_REAL(log)
EVAL_REAL(erf)
EVAL_REAL(reciprocal)
EVAL_REAL(floor)
EVAL_REAL(ceil)
EVAL_REAL(round)
EVAL_REAL(sin)
EVAL_REAL(cos)
EVAL_REAL(tan)
EVAL_REAL(asin)
EVAL_REAL(acos)
EVAL_REAL(atan)
EVAL_REAL(sinh)
EVAL_REAL(cosh)
EVAL_REAL(tanh)
EVAL_REAL(asinh)
EVAL_REAL(acosh)
EVAL_REAL(atanh)
EVAL_REAL(sigmoid)
EVAL_REAL(softplus)
EVAL_REAL(softsign)
EVAL_REAL(mish)
EVAL_REAL(hard_swish)

/* Those with one or two float attributes: name, value when absent. */
static nib_status eval_with(op_eval *c, real_fn *real, const char *first, float first_default, const char *second, float second_default) {
    double p[2] = {graph_attr_float(c->node, first, first_default), second ? graph_attr_float(c->node, second, second_default) : 0};
    return eval_unary(c, real, NULL, p);
}
static nib_status eval_hard_sigmoid(op_eval *c) { return eval_with(c, r_hard_sigmoid, "alpha", 0.2f, "beta", 0.5f); }
static nib_status eval_leaky(op_eval *c) { return eval_with(c, r_leaky, "alpha", 0.01f, NULL, 0); }
static nib_status eval_elu(op_eval *c) { return eval_with(c, r_elu, "alpha", 1.0f, NULL, 0); }
static nib_status eval_celu(op_eval *c) { return eval_with(c, r_celu, "alpha", 1.0f, NULL, 0); }
static nib_status eval_selu(op_eval *c) {
    return eval_with(c, r_selu, "alpha", 1.67326319217681884765625f, "gamma", 1.05070102214813232421875f);
}
static nib_status eval_thresholded(op_eval *c) { return eval_with(c, r_thresholded, "alpha", 1.0f, NULL, 0); }
static nib_status eval_shrink(op_eval *c) { return eval_with(c, r_shrink, "bias", 0.0f, "lambd", 0.5f); }
static nib_status eval_swish(op_eval *c) { return eval_with(c, r_swish, "alpha", 1.0f, NULL, 0); }

static nib_status eval_gelu(op_eval *c) {
    const char *how = graph_attr_string(c->node, "approximate", "none");
    if (strcmp(how, "none") != 0 && strcmp(how, "tanh") != 0) return op_bad(c, NIB_BAD_MODEL, "unknown approximation");
    return eval_unary(c, how[0] == 't' ? r_gelu_tanh : r_gelu, NULL, NULL);
}

static nib_status infer_neg(op_infer *c) {
    graph_dim d[GRAPH_MAX_DATA];
    int n;
    OP_TRY(op_infer_same(c));
    if (!op_is_int(op_in_type(c, 0)->dtype) || !op_in_data(c, 0, d, &n)) return NIB_OK;
    for (int i = 0; i < n; i++) d[i] = graph_dim_sub(OP_SYMS(c), op_const(c, 0), d[i]);
    return op_set_data(c, 0, d, n);
}

#define ROW(name, since, infer, eval)                                                                                                      \
    { name, "", since, 1, 1, 1, OP_ROWS_ELEMENT, infer, eval, NULL }
#define FLOAT_ROW(name, since, eval) ROW(name, since, op_infer_float_same, eval)

const op op_family_unary[] = {
    ROW("Abs", 1, op_infer_same, eval_abs),
    FLOAT_ROW("Acos", 7, eval_acos),
    FLOAT_ROW("Acosh", 9, eval_acosh),
    FLOAT_ROW("Asin", 7, eval_asin),
    FLOAT_ROW("Asinh", 9, eval_asinh),
    FLOAT_ROW("Atan", 7, eval_atan),
    FLOAT_ROW("Atanh", 9, eval_atanh),
    ROW("BitwiseNot", 18, op_infer_same, eval_bit_not),
    FLOAT_ROW("Ceil", 1, eval_ceil),
    FLOAT_ROW("Celu", 12, eval_celu),
    FLOAT_ROW("Cos", 7, eval_cos),
    FLOAT_ROW("Cosh", 9, eval_cosh),
    FLOAT_ROW("Elu", 1, eval_elu),
    FLOAT_ROW("Erf", 9, eval_erf),
    FLOAT_ROW("Exp", 1, eval_exp),
    FLOAT_ROW("Floor", 1, eval_floor),
    FLOAT_ROW("Gelu", 20, eval_gelu),
    FLOAT_ROW("HardSigmoid", 1, eval_hard_sigmoid),
    FLOAT_ROW("HardSwish", 14, eval_hard_swish),
    FLOAT_ROW("LeakyRelu", 1, eval_leaky),
    FLOAT_ROW("Log", 1, eval_log),
    FLOAT_ROW("Mish", 18, eval_mish),
    ROW("Neg", 1, infer_neg, eval_neg),
    FLOAT_ROW("Reciprocal", 1, eval_reciprocal),
    ROW("Relu", 1, op_infer_same, eval_relu),
    FLOAT_ROW("Round", 11, eval_round),
    FLOAT_ROW("Selu", 1, eval_selu),
    FLOAT_ROW("Shrink", 9, eval_shrink),
    FLOAT_ROW("Sigmoid", 1, eval_sigmoid),
    ROW("Sign", 9, op_infer_same, eval_sign),
    FLOAT_ROW("Sin", 7, eval_sin),
    FLOAT_ROW("Sinh", 9, eval_sinh),
    FLOAT_ROW("Softplus", 1, eval_softplus),
    FLOAT_ROW("Softsign", 1, eval_softsign),
    FLOAT_ROW("Sqrt", 1, eval_sqrt),
    FLOAT_ROW("Swish", 24, eval_swish),
    FLOAT_ROW("Tan", 7, eval_tan),
    FLOAT_ROW("Tanh", 1, eval_tanh),
    FLOAT_ROW("ThresholdedRelu", 10, eval_thresholded),
    {0},
};
