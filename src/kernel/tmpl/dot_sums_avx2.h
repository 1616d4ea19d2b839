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
VEC_INLINE dot_acc dot_times(const int32_t *p, vec n) {
    const dot_acc sums = dot_from(p);
    return (dot_acc){_mm256_mullo_epi32(sums.lo, _mm256_cvttps_epi32(n.lo)), _mm256_mullo_epi32(sums.hi, _mm256_cvttps_epi32(n.hi))};
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

#endif
