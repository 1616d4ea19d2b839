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
VEC_INLINE dot_acc dot_times(const int32_t *p, vec n) {
    dot_acc c = dot_from(p);
    VEC_UNROLL
    for (int i = 0; i < 4; i++) c.val[i] = vmulq_s32(c.val[i], vcvtq_s32_f32(n.val[i]));
    return c;
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

#endif
