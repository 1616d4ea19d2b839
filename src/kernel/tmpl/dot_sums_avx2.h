/* SPDX-License-Identifier: Apache-2.0
 *
 * What sums of products have in common on AVX2, however the products of bytes are made: their 16 accumulators of s32, and what sums
 * of two products of s16 read. See dot_avx512vnni.h for what each name means.
 */
#ifndef DOT_SUMS_H
#define DOT_SUMS_H

#include "vec_avx2.h"
#include <string.h>

typedef struct dot_acc {
    __m256i lo, hi;
} dot_acc;

VEC_INLINE dot_acc dot_zero(void) { return (dot_acc){_mm256_setzero_si256(), _mm256_setzero_si256()}; }
VEC_INLINE dot_acc dot_from(const int32_t *p) {
    const __m256i_u *b = (const __m256i_u *)p;
    return (dot_acc){_mm256_loadu_si256(b), _mm256_loadu_si256(b + 1)};
}
/* 32 bytes: sixteen times the 4-bit numbers in their high, in their low halves. */
VEC_INLINE __m256i dot_high_halves(const char *p) {
    return _mm256_and_si256(_mm256_loadu_si256((const __m256i_u *)(const void *)p), _mm256_set1_epi8((char)0xf0));
}
VEC_INLINE __m256i dot_low_halves(const char *p) {
    return _mm256_and_si256(_mm256_slli_epi16(_mm256_loadu_si256((const __m256i_u *)(const void *)p), 4), _mm256_set1_epi8((char)0xf0));
}
VEC_INLINE void dot_settle(dot_acc *c) { __asm__("" : "+x"(c->lo), "+x"(c->hi)); }
VEC_INLINE void dot_store_minus(int32_t *p, dot_acc c) {
    const __m256i zero = _mm256_setzero_si256();
    _mm256_storeu_si256((__m256i_u *)p, _mm256_sub_epi32(zero, c.lo));
    _mm256_storeu_si256((__m256i_u *)p + 1, _mm256_sub_epi32(zero, c.hi));
}
VEC_INLINE dot_acc dot_times(const int32_t *p, vec n) {
    const dot_acc sums = dot_from(p);
    return (dot_acc){_mm256_mullo_epi32(sums.lo, _mm256_cvttps_epi32(n.lo)), _mm256_mullo_epi32(sums.hi, _mm256_cvttps_epi32(n.hi))};
}
VEC_INLINE vec dot_bits(dot_acc c) { return vec_pair(_mm256_castsi256_ps(c.lo), _mm256_castsi256_ps(c.hi)); }
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

VEC_INLINE __m256i pair_exp2_half(__m256i u, const uint16_t c[4]) {
    /* 4096 >> n has one bit, in its upper byte if n <= 4, in its lower one from 5 on: each byte is looked up: 4 - n and 12 - n, where
     * what is not from 0 to 7 gives 0. */
    const __m256i bits = _mm256_broadcastsi128_si256(_mm_set_epi64x(0, (long long)0x8040201008040201u));
    u = _mm256_max_epi16(u, _mm256_setzero_si256());
    __m256i f = _mm256_slli_epi16(u, 5), w = _mm256_set1_epi16((short)c[3]);
    VEC_UNROLL
    for (int i = 2; i >= 0; i--) w = _mm256_sub_epi16(_mm256_set1_epi16((short)c[i]), _mm256_mulhi_epu16(w, f));
    __m256i n = _mm256_mullo_epi16(_mm256_srli_epi16(u, 11), _mm256_set1_epi16(0x0101));
    return _mm256_mulhrs_epi16(w, _mm256_shuffle_epi8(bits, _mm256_sub_epi8(_mm256_set1_epi16(0x040c), n)));
}
VEC_INLINE __m256i pair_both(__m256 a, __m256 b) {
    return _mm256_blend_epi16(_mm256_castps_si256(a), _mm256_slli_epi32(_mm256_castps_si256(b), 16), 0xaa);
}
VEC_INLINE void pair_store_exp2(char *p, vec a, vec b, const uint16_t c[4]) {
    __m256i_u *to = (__m256i_u *)(void *)p;
    _mm256_storeu_si256(to, pair_exp2_half(pair_both(a.lo, b.lo), c));
    _mm256_storeu_si256(to + 1, pair_exp2_half(pair_both(a.hi, b.hi), c));
}

#endif
