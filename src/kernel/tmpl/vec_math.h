/* SPDX-License-Identifier: Apache-2.0
 *
 * Functions of one real number over the vector vocabulary: exp, GELU (erf and tanh forms), tanh, sigmoid, SiLU, ReLU.
 * The including file has included a vec_<isa>.h. Each is a fixed polynomial in a fixed order of operations, so the bits
 * are the same on every rung. NaN passes through all of them; where a product of zero and infinity would make one
 * (SiLU and GELU at minus infinity), the limit 0 is given instead.
 *
 * The polynomials are minimax fits, by Remez's exchange or, in pieces that meet, by linear programming; coefficients rounded to float.
 */
#ifndef VEC_MATH_H
#define VEC_MATH_H

#include <float.h>

/* 2^z for z <= 128, relative error below 1.5e-7. Exactly 1 at 0, exactly 0 below -126.5, infinity from 127.5 on. */
VEC_INLINE vec vec_exp2(vec z) {
    const vec magic = vec_set1(12582912.0f); /* 1.5 * 2^23: adding it rounds to an integer, found in the low bits */
    z = vec_max(vec_set1(-127.0f), z);
    vec t = vec_add(z, magic), r = vec_sub(z, vec_sub(t, magic)); /* r in [-0.5, 0.5] */
    vec p = vec_set1(0.00132647576f);
    p = vec_fma(p, r, vec_set1(0.0096715074f));
    p = vec_fma(p, r, vec_set1(0.0555073395f));
    p = vec_fma(p, r, vec_set1(0.240222424f));
    p = vec_fma(p, r, vec_set1(0.693147004f));
    p = vec_fma(p, r, vec_set1(1.0f));
    return vec_mul(p, vec_pow2(t));
}

/* The error of the product x log2 e adds |x| 1e-7. */
VEC_INLINE vec vec_exp(vec x) { return vec_exp2(vec_min(vec_set1(128.0f), vec_mul(x, vec_set1(1.44269504f)))); }

/* e^x as a number by itself, relative error below 2e-7 wherever the result is a normal number: the product x log2 e is
 * taken in two parts, and 2^n in two factors, so that the whole range of floats is reached. */
VEC_INLINE vec vec_exp_wide(vec x) {
    const vec magic = vec_set1(12582912.0f);
    x = vec_min(vec_set1(89.0f), vec_max(vec_set1(-105.0f), x));
    vec t = vec_fma(x, vec_set1(1.44269504f), magic), n = vec_sub(t, magic);
    vec r = vec_fma(x, vec_set1(1.92596303e-8f), vec_fma(x, vec_set1(1.44269502f), vec_sub(vec_zero(), n)));
    vec p = vec_set1(0.00132647576f);
    p = vec_fma(p, r, vec_set1(0.0096715074f));
    p = vec_fma(p, r, vec_set1(0.0555073395f));
    p = vec_fma(p, r, vec_set1(0.240222424f));
    p = vec_fma(p, r, vec_set1(0.693147004f));
    p = vec_fma(p, r, vec_set1(1.0f));
    vec half = vec_add(vec_mul(n, vec_set1(0.5f)), magic), rest = vec_sub(n, vec_sub(half, magic));
    return vec_mul(vec_mul(p, vec_pow2(half)), vec_pow2(vec_add(rest, magic)));
}

/* Below 1 an odd polynomial, from there 1 - e^q(|x|); absolute error below 1.5e-7. */
VEC_INLINE vec vec_erf(vec x) {
    vec s = vec_mul(x, x), t = vec_min_abs(x, vec_set1(4.0f));
    vec p = vec_set1(7.85386146e-05f);
    p = vec_fma(p, s, vec_set1(-0.000801019371f));
    p = vec_fma(p, s, vec_set1(0.00518832775f));
    p = vec_fma(p, s, vec_set1(-0.0268538129f));
    p = vec_fma(p, s, vec_set1(0.112835854f));
    p = vec_fma(p, s, vec_set1(-0.37612626f));
    p = vec_fma(p, s, vec_set1(1.12837911f));
    vec q = vec_set1(-0.00115041912f);
    q = vec_fma(q, t, vec_set1(0.0147780981f));
    q = vec_fma(q, t, vec_set1(-0.088634111f));
    q = vec_fma(q, t, vec_set1(-0.65448904f));
    q = vec_fma(q, t, vec_set1(-1.11743844f));
    q = vec_fma(q, t, vec_set1(-0.00267171999f));
    vec big = vec_copysign(vec_sub(vec_set1(1.0f), vec_exp(q)), x);
    return vec_keep_nan(x, vec_select_lt(s, vec_set1(1.0f), vec_mul(p, x), big));
}

/* x Phi(x) = max(x, 0) - |x| Q(|x|), where Q is the tail of the normal distribution. |x| Q has one polynomial for each of eight
 * pieces of the line, as wide as each other but for the first, which is half of one: piece k is around k widths. The low bits of
 * |x| / width + 1.5 * 2^23 say which. For as few terms a tile's multiply-adds leave time, and its table is read by the processor's
 * shuffles, which they leave idle. */
#define VEC_TWICE(...)                                                                                                                     \
    { __VA_ARGS__, __VA_ARGS__ }
#define VEC_PIECE_MAGIC 12582912.0f
VEC_INLINE vec vec_pieces(const float (*table)[16], const int degree, vec piece, vec r) {
    vec p = vec_pick8(table[degree], piece);
    VEC_UNROLL
    for (int i = degree - 1; i >= 0; i--) p = vec_fma(p, r, vec_pick8(table[i], piece));
    return p;
}

/* Pieces of 13/16, polynomials of degree 6 in the distance from the middle: with their rounding |x| Q is off by less than 3.5e-7; from
 * 5.28 on, where it is below 3.5e-7, it is taken as 0. So gelu(0) is 0 and gelu(x) is x itself for large x. */
static const float vec_gelu_table[7][16] __attribute__((aligned(64), unused)) = {
    VEC_TWICE(0.0f, 0.169205084f, 0.0846320763f, 0.0180243533f, 0.00187533221f, 9.86171581e-05f, 2.65216977e-06f, 0.0f),
    VEC_TWICE(0.49999994f, -0.0247605965f, -0.121044196f, -0.0424587801f, -0.00601726491f, -0.000398331933f, -1.28959955e-05f, 0.0f),
    VEC_TWICE(-0.398939312f, -0.192125812f, 0.03412541f, 0.0403064229f, 0.00868674181f, 0.000754363078f, 2.99978947e-05f, 0.0f),
    VEC_TWICE(-4.50017651e-05f, 0.129647791f, 0.0392620638f, -0.016131293f, -0.00721827755f, -0.000880164502f, -4.40260555e-05f, 0.0f),
    VEC_TWICE(0.0667985007f, -0.00218480569f, -0.0333409384f, -0.00195935322f, 0.00352250738f, 0.000697484822f, 4.60748524e-05f, 0.0f),
    VEC_TWICE(-0.00101418293f, -0.0209976584f, 0.00540659484f, 0.00501409452f, -0.000666735345f, -0.000389716646f, -3.87971922e-05f, 0.0f),
    VEC_TWICE(-0.00858296268f, 0.00332956319f, 0.00345379021f, -0.00191163982f, -0.000268019328f, 0.000136339586f, 2.25206295e-05f, 0.0f),
};
VEC_INLINE vec vec_gelu_erf(vec x) {
    const vec magic = vec_set1(VEC_PIECE_MAGIC);
    vec a = vec_min_abs(x, vec_set1(5.5f)), piece = vec_fma(a, vec_set1(1.23076928f), magic);
    vec r = vec_fma(vec_sub(piece, magic), vec_set1(-0.8125f), a);
    return vec_sub(vec_max(vec_zero(), x), vec_pieces(vec_gelu_table, 6, piece, r));
}

/* The same for results that a Linear on 8 or 16 bits is about to round: absolute error below 2.8e-5. Pieces of 9/16 up to 4.2187, cubics
 * in |x| itself that meet where pieces do; a constant from there on. */
static const float vec_gelu_short_table[4][16] __attribute__((aligned(64), unused)) = {
    VEC_TWICE(0.0f, -0.00269312807f, 0.0119730374f, 0.232662082f, 0.543281436f, 0.549464524f, 0.30777064f, 0.327257544f),
    VEC_TWICE(0.500261426f, 0.524176002f, 0.484962165f, 0.0206946377f, -0.461494714f, -0.476346344f, -0.242102325f, -0.244488671f),
    VEC_TWICE(-0.404620975f, -0.477986693f, -0.446943372f, -0.119327582f, 0.130884066f, 0.139736608f, 0.063967593f, 0.0609891415f),
    VEC_TWICE(0.0352044925f, 0.114786699f, 0.108660847f, 0.0311015118f, -0.012291356f, -0.0138519518f, -0.00567231607f, -0.00507787708f),
};
VEC_INLINE vec vec_gelu_erf_short(vec x) {
    vec a = vec_min_abs(x, vec_set1(4.2187f)), piece = vec_fma(a, vec_set1(1.77777779f), vec_set1(VEC_PIECE_MAGIC));
    return vec_sub(vec_max(vec_zero(), x), vec_pieces(vec_gelu_short_table, 3, piece, a));
}

VEC_INLINE vec vec_sigmoid(vec x) { return vec_div(vec_set1(1.0f), vec_add(vec_set1(1.0f), vec_exp(vec_sub(vec_zero(), x)))); }

/* a / (1 + exp(-b)), where b is minus infinity whenever a is: the clamp keeps infinity / infinity away. */
VEC_INLINE vec vec_gate(vec a, vec b) {
    return vec_div(vec_max(vec_set1(-FLT_MAX), a), vec_add(vec_set1(1.0f), vec_exp(vec_sub(vec_zero(), b))));
}
VEC_INLINE vec vec_silu(vec x) { return vec_gate(x, x); }

/* 0.5 x (1 + tanh(c (x + 0.044715 x^3))) = x sigmoid(2 c (x + 0.044715 x^3)) with c = sqrt(2 / pi) */
VEC_INLINE vec vec_gelu_tanh(vec x) {
    vec s = vec_mul(x, x), inner = vec_fma(s, vec_set1(0.0713548162726f), vec_set1(1.59576912161f));
    return vec_gate(x, vec_mul(x, inner));
}

/* 1 - 2 / (exp(2 |x|) + 1), and near 0, where that loses digits, an odd polynomial. */
VEC_INLINE vec vec_tanh(vec x) {
    vec a = vec_abs(x), s = vec_mul(x, x), one = vec_set1(1.0f);
    vec big = vec_sub(one, vec_div(vec_set1(2.0f), vec_add(vec_exp(vec_add(a, a)), one)));
    vec q = vec_set1(-0.00591070345f);
    q = vec_fma(q, s, vec_set1(0.0208099093f));
    q = vec_fma(q, s, vec_set1(-0.0537881739f));
    q = vec_fma(q, s, vec_set1(0.13331978f));
    q = vec_fma(q, s, vec_set1(-0.333333015f));
    vec small = vec_fma(vec_mul(q, s), x, x);
    return vec_select_lt(s, vec_set1(0.36f), small, vec_copysign(big, x));
}

VEC_INLINE vec vec_relu(vec x) { return vec_max(vec_zero(), x); }

/* In place over whole vectors. Out of line, so that each function's code stands once in a file. */
VEC_NOINLINE void vec_activate(kernel_activation activation, float *y, int vectors) {
#define VEC_ACTIVATE(function)                                                                                                             \
    for (int i = 0; i < vectors; i++) vec_store(y + 16 * i, function(vec_load(y + 16 * i)));                                               \
    break
    switch (activation) {
    case KERNEL_ACT_NONE: break;
    case KERNEL_ACT_GELU_ERF: VEC_ACTIVATE(vec_gelu_erf);
    case KERNEL_ACT_GELU_TANH: VEC_ACTIVATE(vec_gelu_tanh);
    case KERNEL_ACT_TANH: VEC_ACTIVATE(vec_tanh);
    case KERNEL_ACT_SILU: VEC_ACTIVATE(vec_silu);
    case KERNEL_ACT_RELU: VEC_ACTIVATE(vec_relu);
    case KERNEL_ACT_SIGMOID: VEC_ACTIVATE(vec_sigmoid);
    }
#undef VEC_ACTIVATE
}

#endif
