/* SPDX-License-Identifier: Apache-2.0
 *
 * Sums of four products of u8 and s8 in 16 lanes of s32, on AVX-512 with VNNI: one instruction. Every dot_<rung>.h gives these
 * names:
 *
 *     dot_acc, dot_w, dot_x     16 sums; four weights of each of 16 columns; four numbers of a row, 16 times over
 *     dot_madd                  c + the sum of the four products in each lane, exact
 *     dot_times                 16 sums from memory, times whole numbers
 *     DOT_SHIFT                 what dot_load_x subtracts from each number
 *     dot_from, dot_float       16 sums from memory; as floats, rounded once
 *     pair_...                  the same with two s16 in place of the four bytes, into the same sums
 */
#ifndef DOT_H
#define DOT_H

#include "vec_avx512.h"
#include <string.h>

typedef __m512i dot_acc;
typedef __m512i dot_w;
typedef __m512i dot_x;
#define DOT_SHIFT 0

VEC_INLINE dot_acc dot_zero(void) { return _mm512_setzero_si512(); }
VEC_INLINE dot_w dot_load_w(const char *p) { return _mm512_loadu_si512(p); }
VEC_INLINE dot_x dot_load_x(const char *p) {
    int32_t four;
    memcpy(&four, p, sizeof(four));
    return _mm512_set1_epi32(four);
}
VEC_INLINE dot_acc dot_madd(dot_acc c, dot_w w, dot_x x) { return _mm512_dpbusd_epi32(c, x, w); }
VEC_INLINE dot_acc dot_times(const int32_t *p, vec n) { return _mm512_mullo_epi32(_mm512_loadu_si512(p), _mm512_cvttps_epi32(n)); }

VEC_INLINE dot_acc dot_from(const int32_t *p) { return _mm512_loadu_si512(p); }
VEC_INLINE vec dot_float(dot_acc c) { return _mm512_cvtepi32_ps(c); }

typedef dot_acc pair_acc;
typedef __m512i pair_w;
typedef __m512i pair_x;
VEC_INLINE pair_w pair_load_w(const char *p) { return _mm512_loadu_si512(p); }
VEC_INLINE pair_x pair_load_x(const char *p) { return dot_load_x(p); }
VEC_INLINE dot_acc pair_madd(dot_acc c, pair_w w, pair_x x) { return _mm512_dpwssd_epi32(c, x, w); }

#endif
