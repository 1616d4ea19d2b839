/* SPDX-License-Identifier: Apache-2.0
 *
 * Sums of four products of u8 and s8 on AVX2. Its own product of u8 and s8 (vpmaddubsw) saturates, so both are widened: a group
 * of four bytes becomes two pairs of s16, bytes 0 and 2 and bytes 1 and 3, whose products vpmaddwd adds exactly. See
 * dot_avx512vnni.h for what each name means.
 */
#ifndef DOT_H
#define DOT_H

#include "vec_avx2.h"
#include <string.h>

typedef struct dot_acc {
    __m256i lo, hi;
} dot_acc;
typedef struct dot_w {
    __m256i even[2], odd[2]; /* bytes 0 and 2, bytes 1 and 3 of 8 columns each */
} dot_w;
typedef struct dot_x {
    __m256i even, odd;
} dot_x;
#define DOT_SHIFT 0

VEC_INLINE dot_acc dot_zero(void) { return (dot_acc){_mm256_setzero_si256(), _mm256_setzero_si256()}; }
VEC_INLINE dot_w dot_load_w(const char *p) {
    dot_w w;
    VEC_UNROLL
    for (int i = 0; i < 2; i++) {
        __m256i b = _mm256_loadu_si256((const __m256i_u *)(const void *)p + i);
        w.even[i] = _mm256_srai_epi16(_mm256_slli_epi16(b, 8), 8);
        w.odd[i] = _mm256_srai_epi16(b, 8);
    }
    return w;
}
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
VEC_INLINE __m256 dot_less_half(__m256i c, const int32_t *sums, __m256i zero) {
    return _mm256_cvtepi32_ps(_mm256_sub_epi32(c, _mm256_mullo_epi32(_mm256_loadu_si256((const __m256i_u *)sums), zero)));
}
VEC_INLINE vec dot_less(dot_acc c, const int32_t *sums, int32_t zero) {
    __m256i z = _mm256_set1_epi32(zero);
    return vec_pair(dot_less_half(c.lo, sums, z), dot_less_half(c.hi, sums + 8, z));
}

VEC_INLINE dot_acc dot_from(const int32_t *p) {
    const __m256i_u *b = (const __m256i_u *)p;
    return (dot_acc){_mm256_loadu_si256(b), _mm256_loadu_si256(b + 1)};
}
VEC_INLINE vec dot_float(dot_acc c) { return vec_pair(_mm256_cvtepi32_ps(c.lo), _mm256_cvtepi32_ps(c.hi)); }

typedef dot_acc pair_acc;
typedef dot_acc pair_w;
typedef __m256i pair_x;
VEC_INLINE pair_w pair_load_w(const char *p) { return dot_from((const int32_t *)(const void *)p); }
VEC_INLINE pair_x pair_load_x(const char *p) {
    int32_t two;
    memcpy(&two, p, sizeof(two));
    return _mm256_set1_epi32(two);
}
VEC_INLINE dot_acc pair_madd(dot_acc c, pair_w w, pair_x x) {
    return (dot_acc){_mm256_add_epi32(c.lo, _mm256_madd_epi16(x, w.lo)), _mm256_add_epi32(c.hi, _mm256_madd_epi16(x, w.hi))};
}

#endif
