/* SPDX-License-Identifier: Apache-2.0
 *
 * Sums of four products on Armv8.2 dot products: one instruction for 4 columns. It multiplies numbers of one kind only, so 128
 * is subtracted from those of a row. See dot_avx512vnni.h for what each name means.
 */
#ifndef DOT_H
#define DOT_H

#include "dot_sums_neon.h"

typedef int8x16x4_t dot_w;
typedef int8x16_t dot_x;
#define DOT_SHIFT 128

VEC_INLINE dot_w dot_load_w(const char *p) {
    const int8_t *b = (const int8_t *)p;
    return (dot_w){{vld1q_s8(b), vld1q_s8(b + 16), vld1q_s8(b + 32), vld1q_s8(b + 48)}};
}
VEC_INLINE dot_w dot_load_high(const char *p) {
    return (dot_w){{dot_high_halves(p), dot_high_halves(p + 16), dot_high_halves(p + 32), dot_high_halves(p + 48)}};
}
VEC_INLINE dot_w dot_load_low(const char *p) {
    return (dot_w){{dot_low_halves(p), dot_low_halves(p + 16), dot_low_halves(p + 32), dot_low_halves(p + 48)}};
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

#define dot_madd_full dot_madd

#endif
