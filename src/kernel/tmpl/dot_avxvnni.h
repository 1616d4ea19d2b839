/* SPDX-License-Identifier: Apache-2.0
 *
 * Sums of four products of u8 and s8 on AVX-VNNI: one instruction for 8 columns. See dot_avx512vnni.h for what each name means.
 */
#ifndef DOT_H
#define DOT_H

#include "dot_sums_avx2.h"

typedef dot_acc dot_w;
typedef __m256i dot_x;
#define DOT_SHIFT 0

VEC_INLINE dot_w dot_load_w(const char *p) {
    const __m256i_u *b = (const __m256i_u *)(const void *)p;
    return (dot_w){_mm256_loadu_si256(b), _mm256_loadu_si256(b + 1)};
}
VEC_INLINE dot_w dot_load_high(const char *p) { return (dot_w){dot_high_halves(p), dot_high_halves(p + 32)}; }
VEC_INLINE dot_w dot_load_low(const char *p) { return (dot_w){dot_low_halves(p), dot_low_halves(p + 32)}; }
VEC_INLINE dot_x dot_load_x(const char *p) {
    int32_t four;
    memcpy(&four, p, sizeof(four));
    return _mm256_set1_epi32(four);
}
VEC_INLINE dot_acc dot_madd(dot_acc c, dot_w w, dot_x x) {
    return (dot_acc){_mm256_dpbusd_avx_epi32(c.lo, x, w.lo), _mm256_dpbusd_avx_epi32(c.hi, x, w.hi)};
}

#define dot_madd_full dot_madd

VEC_INLINE dot_acc pair_madd(dot_acc c, pair_w w, pair_x x) {
    return (dot_acc){_mm256_dpwssd_avx_epi32(c.lo, x, w.lo), _mm256_dpwssd_avx_epi32(c.hi, x, w.hi)};
}

#endif
