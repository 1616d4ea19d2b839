/* SPDX-License-Identifier: Apache-2.0
 *
 * Sums of four products on Armv8 SIMD without dot products. There is no product of u8 and s8, so 128 is subtracted from the
 * numbers of a row. Two products of s8 fit s16 (2 * 128 * 127 = 32512): one of bytes 0 and 1 plus one of bytes 2 and 3, and
 * then neighbours are added into s32. See dot_avx512vnni.h for what each name means.
 */
#ifndef DOT_H
#define DOT_H

#include "dot_sums_neon.h"

typedef struct dot_w {
    int8x16_t first[2], second[2]; /* bytes 0 and 1, bytes 2 and 3 of 8 columns each */
} dot_w;
typedef struct dot_x {
    int8x8_t first, second;
} dot_x;
#define DOT_SHIFT 128

VEC_INLINE dot_w dot_parted(const int8x16_t b[4]) {
    dot_w w;
    VEC_UNROLL
    for (int i = 0; i < 2; i++) {
        w.first[i] = vreinterpretq_s8_s16(vuzp1q_s16(vreinterpretq_s16_s8(b[2 * i]), vreinterpretq_s16_s8(b[2 * i + 1])));
        w.second[i] = vreinterpretq_s8_s16(vuzp2q_s16(vreinterpretq_s16_s8(b[2 * i]), vreinterpretq_s16_s8(b[2 * i + 1])));
    }
    return w;
}
VEC_INLINE dot_w dot_load_w(const char *p) {
    const int8_t *b = (const int8_t *)p;
    return dot_parted((const int8x16_t[4]){vld1q_s8(b), vld1q_s8(b + 16), vld1q_s8(b + 32), vld1q_s8(b + 48)});
}
VEC_INLINE dot_w dot_load_high(const char *p) {
    return dot_parted(
        (const int8x16_t[4]){dot_high_halves(p), dot_high_halves(p + 16), dot_high_halves(p + 32), dot_high_halves(p + 48)});
}
VEC_INLINE dot_w dot_load_low(const char *p) {
    return dot_parted((const int8x16_t[4]){dot_low_halves(p), dot_low_halves(p + 16), dot_low_halves(p + 32), dot_low_halves(p + 48)});
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

/* Of -128 and -128 two products do not fit s16: each pair of bytes is added into s32 by itself. */
VEC_INLINE dot_acc dot_madd_full(dot_acc c, dot_w w, dot_x x) {
    VEC_UNROLL
    for (int i = 0; i < 2; i++) {
        c.val[2 * i] = vpadalq_s16(c.val[2 * i], vmull_s8(vget_low_s8(w.first[i]), x.first));
        c.val[2 * i] = vpadalq_s16(c.val[2 * i], vmull_s8(vget_low_s8(w.second[i]), x.second));
        c.val[2 * i + 1] = vpadalq_s16(c.val[2 * i + 1], vmull_s8(vget_high_s8(w.first[i]), x.first));
        c.val[2 * i + 1] = vpadalq_s16(c.val[2 * i + 1], vmull_s8(vget_high_s8(w.second[i]), x.second));
    }
    return c;
}

#endif
