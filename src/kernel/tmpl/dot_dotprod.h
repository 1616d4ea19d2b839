/* SPDX-License-Identifier: Apache-2.0
 *
 * Sums of four products on Armv8.2 dot products: one instruction for 4 columns. It multiplies numbers of one kind only, so 128
 * is subtracted from those of a row. See dot_avx512vnni.h for what each name means.
 */
#ifndef DOT_H
#define DOT_H

#include "vec_neon.h"

typedef int32x4x4_t dot_acc;
typedef int8x16x4_t dot_w;
typedef int8x16_t dot_x;
#define DOT_SHIFT 128

VEC_INLINE dot_acc dot_zero(void) { return (dot_acc){{vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0)}}; }
VEC_INLINE dot_w dot_load_w(const char *p) {
    const int8_t *b = (const int8_t *)p;
    return (dot_w){{vld1q_s8(b), vld1q_s8(b + 16), vld1q_s8(b + 32), vld1q_s8(b + 48)}};
}
VEC_INLINE dot_x dot_load_x(const char *p) {
    uint32_t four;
    memcpy(&four, p, sizeof(four));
    return vreinterpretq_s8_u32(vdupq_n_u32(four ^ 0x80808080u)); /* u8 - 128 as s8 */
}
VEC_INLINE dot_acc dot_madd(dot_acc c, dot_w w, dot_x x) {
    VEC_UNROLL
    for (int i = 0; i < 4; i++) c.val[i] = vdotq_s32(c.val[i], w.val[i], x);
    return c;
}
VEC_INLINE vec dot_less(dot_acc c, const int32_t *sums, int32_t zero) {
    vec r;
    VEC_UNROLL
    for (int i = 0; i < 4; i++) r.val[i] = vcvtq_f32_s32(vmlsq_n_s32(c.val[i], vld1q_s32(sums + 4 * i), zero));
    return r;
}

VEC_INLINE dot_acc dot_from(const int32_t *p) { return (dot_acc){{vld1q_s32(p), vld1q_s32(p + 4), vld1q_s32(p + 8), vld1q_s32(p + 12)}}; }
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
