/* SPDX-License-Identifier: Apache-2.0
 *
 * Functions of one real number over the vector vocabulary: exp, GELU (erf and tanh forms), tanh, sigmoid, SiLU, ReLU.
 * The including file has included a vec_<isa>.h. Each is a fixed polynomial in a fixed order of operations, so the bits
 * are the same on every rung. NaN passes through all of them; where a product of zero and infinity would make one
 * (SiLU and GELU at minus infinity), the limit 0 is given instead.
 *
 * The polynomials are minimax fits by Remez's exchange, their coefficients rounded to float.
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

/* x Phi(x) = max(x, 0) - |x| Q(|x|), where Q is the tail of the normal distribution: a polynomial of degree 14 in
 * u = |x| / 2.625 - 1 whose error, times |x|, stays below 3.5e-7; from 5.25 on |x| Q is below 4e-7 and taken as 0. So
 * gelu(0) is 0 and gelu(x) is x itself for large x. */
VEC_INLINE vec vec_gelu_erf(vec x) {
    vec a = vec_abs(x), u = vec_fma(a, vec_set1(0.380952381f), vec_set1(-1.0f));
    vec q = vec_set1(0.00237925304f);
    q = vec_fma(q, u, vec_set1(0.00521045178f));
    q = vec_fma(q, u, vec_set1(-0.0270479899f));
    q = vec_fma(q, u, vec_set1(-0.00165655115f));
    q = vec_fma(q, u, vec_set1(0.0860919282f));
    q = vec_fma(q, u, vec_set1(-0.0723935142f));
    q = vec_fma(q, u, vec_set1(-0.0884275362f));
    q = vec_fma(q, u, vec_set1(0.199603036f));
    q = vec_fma(q, u, vec_set1(-0.0998018682f));
    q = vec_fma(q, u, vec_set1(-0.121438883f));
    q = vec_fma(q, u, vec_set1(0.257404119f));
    q = vec_fma(q, u, vec_set1(-0.225914165f));
    q = vec_fma(q, u, vec_set1(0.115061007f));
    q = vec_fma(q, u, vec_set1(-0.0334017426f));
    q = vec_fma(q, u, vec_set1(0.00433257362f));
    vec tail = vec_select_lt(a, vec_set1(5.25f), vec_mul(a, q), vec_zero());
    return vec_sub(vec_max(vec_zero(), x), tail);
}

/* The same with a polynomial of degree 8 in |x| / 2.05 - 1 up to 4.1 and a constant from there on: absolute error below 5.3e-5, for
 * results that a Linear on 8 or 16 bits is about to round to less. */
VEC_INLINE vec vec_gelu_erf_short(vec x) {
    vec a = vec_min(vec_abs(x), vec_set1(4.1f)), u = vec_fma(a, vec_set1(0.487804878f), vec_set1(-1.0f));
    vec q = vec_set1(0.012365615f);
    q = vec_fma(q, u, vec_set1(-0.000212845305f));
    q = vec_fma(q, u, vec_set1(-0.0735149086f));
    q = vec_fma(q, u, vec_set1(0.0764309019f));
    q = vec_fma(q, u, vec_set1(0.0788099021f));
    q = vec_fma(q, u, vec_set1(-0.225474939f));
    q = vec_fma(q, u, vec_set1(0.211463094f));
    q = vec_fma(q, u, vec_set1(-0.100011118f));
    q = vec_fma(q, u, vec_set1(0.0201569498f));
    return vec_sub(vec_max(vec_zero(), x), vec_mul(a, q));
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
