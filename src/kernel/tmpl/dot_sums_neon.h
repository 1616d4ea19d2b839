/* SPDX-License-Identifier: Apache-2.0
 *
 * What sums of products have in common on Armv8 SIMD, however the products of bytes are made: their 16 accumulators of s32, and sums of
 * two products of s16. See dot_avx512vnni.h for what each name means.
 */
#ifndef DOT_SUMS_H
#define DOT_SUMS_H

#include "vec_neon.h"

typedef int32x4x4_t dot_acc;
VEC_INLINE dot_acc dot_zero(void) { return (dot_acc){{vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0)}}; }
VEC_INLINE dot_acc dot_from(const int32_t *p) { return (dot_acc){{vld1q_s32(p), vld1q_s32(p + 4), vld1q_s32(p + 8), vld1q_s32(p + 12)}}; }
VEC_INLINE void dot_settle(dot_acc *c) { __asm__("" : "+w"(c->val[0]), "+w"(c->val[1]), "+w"(c->val[2]), "+w"(c->val[3])); }
VEC_INLINE void dot_store_minus(int32_t *p, dot_acc c) {
    VEC_UNROLL
    for (int i = 0; i < 4; i++) vst1q_s32(p + 4 * i, vnegq_s32(c.val[i]));
}
VEC_INLINE dot_acc dot_times(const int32_t *p, vec n) {
    dot_acc c = dot_from(p);
    VEC_UNROLL
    for (int i = 0; i < 4; i++) c.val[i] = vmulq_s32(c.val[i], vcvtq_s32_f32(n.val[i]));
    return c;
}
/* 16 bytes: sixteen times the 4-bit numbers in their high, in their low halves. */
VEC_INLINE int8x16_t dot_high_halves(const char *p) { return vandq_s8(vld1q_s8((const int8_t *)p), vdupq_n_s8((int8_t)0xf0)); }
VEC_INLINE int8x16_t dot_low_halves(const char *p) { return vshlq_n_s8(vld1q_s8((const int8_t *)p), 4); }
VEC_INLINE dot_acc dot_add(dot_acc a, dot_acc b) {
    VEC_UNROLL
    for (int i = 0; i < 4; i++) a.val[i] = vaddq_s32(a.val[i], b.val[i]);
    return a;
}
VEC_INLINE vec dot_bits(dot_acc c) {
    return (vec){{vreinterpretq_f32_s32(c.val[0]), vreinterpretq_f32_s32(c.val[1]), vreinterpretq_f32_s32(c.val[2]),
                  vreinterpretq_f32_s32(c.val[3])}};
}
VEC_INLINE vec dot_float(dot_acc c) {
    return (vec){{vcvtq_f32_s32(c.val[0]), vcvtq_f32_s32(c.val[1]), vcvtq_f32_s32(c.val[2]), vcvtq_f32_s32(c.val[3])}};
}

typedef dot_acc pair_acc;
typedef int16x8x4_t pair_w;
typedef int16x8_t pair_x;
VEC_INLINE pair_w pair_load_w(const char *p) {
    const int16_t *b = (const int16_t *)(const void *)p;
    return (pair_w){{vld1q_s16(b), vld1q_s16(b + 8), vld1q_s16(b + 16), vld1q_s16(b + 24)}};
}
VEC_INLINE pair_x pair_load_x(const char *p) {
    int32_t two;
    memcpy(&two, p, sizeof(two));
    return vreinterpretq_s16_s32(vdupq_n_s32(two));
}
VEC_INLINE dot_acc pair_madd(dot_acc c, pair_w w, pair_x x) {
    VEC_UNROLL
    for (int i = 0; i < 4; i++)
        c.val[i] = vaddq_s32(c.val[i], vpaddq_s32(vmull_s16(vget_low_s16(w.val[i]), vget_low_s16(x)), vmull_high_s16(w.val[i], x)));
    return c;
}

VEC_INLINE void pair_store_exp2(char *p, vec a, vec b, const uint16_t c[4]) {
    VEC_UNROLL
    for (int i = 0; i < 4; i++) {
        uint32x4_t both = vsliq_n_u32(vreinterpretq_u32_f32(a.val[i]), vreinterpretq_u32_f32(b.val[i]), 16);
        int16x8_t u = vmaxq_s16(vreinterpretq_s16_u32(both), vdupq_n_s16(0));
        uint16x8_t f = vreinterpretq_u16_s16(vshlq_n_s16(u, 5)), w = vdupq_n_u16(c[3]);
        VEC_UNROLL
        for (int k = 2; k >= 0; k--) {
            uint32x4_t lo = vmull_u16(vget_low_u16(w), vget_low_u16(f)), hi = vmull_high_u16(w, f);
            w = vsubq_u16(vdupq_n_u16(c[k]), vuzp2q_u16(vreinterpretq_u16_u32(lo), vreinterpretq_u16_u32(hi)));
        }
        uint16x8_t bit = vshlq_u16(vdupq_n_u16(4096), vnegq_s16(vshrq_n_s16(u, 11)));
        vst1q_s16((int16_t *)(void *)(p + 16 * i), vqrdmulhq_s16(vreinterpretq_s16_u16(w), vreinterpretq_s16_u16(bit)));
    }
}

#endif
