/* SPDX-License-Identifier: Apache-2.0
 *
 * Sums of four products on Armv8 SIMD without dot products. There is no product of u8 and s8, so 128 is subtracted from the
 * numbers of a row. Two products of s8 fit s16 (2 * 128 * 127 = 32512): one of bytes 0 and 1 plus one of bytes 2 and 3, and
 * then neighbours are added into s32. See dot_avx512vnni.h for what each name means.
 */
#ifndef DOT_H
#define DOT_H

#include "vec_neon.h"

typedef int32x4x4_t dot_acc;
typedef struct dot_w {
    int8x16_t first[2], second[2]; /* bytes 0 and 1, bytes 2 and 3 of 8 columns each */
} dot_w;
typedef struct dot_x {
    int8x8_t first, second;
} dot_x;
#define DOT_SHIFT 128

VEC_INLINE dot_acc dot_zero(void) { return (dot_acc){{vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0)}}; }
VEC_INLINE dot_w dot_load_w(const char *p) {
    dot_w w;
    VEC_UNROLL
    for (int i = 0; i < 2; i++) {
        int16x8_t a = vreinterpretq_s16_u8(vld1q_u8((const uint8_t *)p + 32 * i));
        int16x8_t b = vreinterpretq_s16_u8(vld1q_u8((const uint8_t *)p + 32 * i + 16));
        w.first[i] = vreinterpretq_s8_s16(vuzp1q_s16(a, b));
        w.second[i] = vreinterpretq_s8_s16(vuzp2q_s16(a, b));
    }
    return w;
}
VEC_INLINE dot_x dot_load_x(const char *p) {
    uint32_t four;
    memcpy(&four, p, sizeof(four));
    int16x4_t x = vreinterpret_s16_u32(vdup_n_u32(four ^ 0x80808080u)); /* u8 - 128 as s8 */
    return (dot_x){vreinterpret_s8_s16(vdup_lane_s16(x, 0)), vreinterpret_s8_s16(vdup_lane_s16(x, 1))};
}
VEC_INLINE dot_acc dot_madd(dot_acc c, dot_w w, dot_x x) {
    VEC_UNROLL
    for (int i = 0; i < 2; i++) {
        int16x8_t lo = vmlal_s8(vmull_s8(vget_low_s8(w.first[i]), x.first), vget_low_s8(w.second[i]), x.second);
        int16x8_t hi = vmlal_s8(vmull_s8(vget_high_s8(w.first[i]), x.first), vget_high_s8(w.second[i]), x.second);
        c.val[2 * i] = vpadalq_s16(c.val[2 * i], lo);
        c.val[2 * i + 1] = vpadalq_s16(c.val[2 * i + 1], hi);
    }
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
