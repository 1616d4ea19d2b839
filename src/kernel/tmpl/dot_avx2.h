/* SPDX-License-Identifier: Apache-2.0
 *
 * Sums of four products of u8 and s8 on AVX2. Its own product of u8 and s8 (vpmaddubsw) saturates, so both are widened: a group
 * of four bytes becomes two pairs of s16, bytes 0 and 2 and bytes 1 and 3, whose products vpmaddwd adds exactly. See
 * dot_avx512vnni.h for what each name means.
 */
#ifndef DOT_H
#define DOT_H

#include "dot_sums_avx2.h"

typedef struct dot_w {
    __m256i even[2], odd[2]; /* bytes 0 and 2, bytes 1 and 3 of 8 columns each */
} dot_w;
typedef struct dot_x {
    __m256i even, odd;
} dot_x;
#define DOT_SHIFT 0

VEC_INLINE dot_w dot_widened(__m256i first, __m256i second) {
    const __m256i b[2] = {first, second};
    dot_w w;
    VEC_UNROLL
    for (int i = 0; i < 2; i++) {
        w.even[i] = _mm256_srai_epi16(_mm256_slli_epi16(b[i], 8), 8);
        w.odd[i] = _mm256_srai_epi16(b[i], 8);
    }
    return w;
}
VEC_INLINE dot_w dot_load_w(const char *p) {
    const __m256i_u *b = (const __m256i_u *)(const void *)p;
    return dot_widened(_mm256_loadu_si256(b), _mm256_loadu_si256(b + 1));
}
VEC_INLINE dot_w dot_load_high(const char *p) { return dot_widened(dot_high_halves(p), dot_high_halves(p + 32)); }
VEC_INLINE dot_w dot_load_low(const char *p) { return dot_widened(dot_low_halves(p), dot_low_halves(p + 32)); }
VEC_INLINE dot_x dot_load_x(const char *p) {
    int32_t four;
    memcpy(&four, p, sizeof(four));
    __m256i b = _mm256_set1_epi32(four);
    return (dot_x){_mm256_and_si256(b, _mm256_set1_epi16(0xff)), _mm256_srli_epi16(b, 8)};
}
VEC_INLINE __m256i dot_half(__m256i c, __m256i even, __m256i odd, dot_x x) {
    return _mm256_add_epi32(c, _mm256_add_epi32(_mm256_madd_epi16(even, x.even), _mm256_madd_epi16(odd, x.odd)));
}
VEC_INLINE dot_acc dot_madd(dot_acc c, dot_w w, dot_x x) {
    return (dot_acc){dot_half(c.lo, w.even[0], w.odd[0], x), dot_half(c.hi, w.even[1], w.odd[1], x)};
}

#define dot_madd_full dot_madd

VEC_INLINE dot_acc pair_madd(dot_acc c, pair_w w, pair_x x) {
    return (dot_acc){_mm256_add_epi32(c.lo, _mm256_madd_epi16(x, w.lo)), _mm256_add_epi32(c.hi, _mm256_madd_epi16(x, w.hi))};
}

#endif
