/* SPDX-License-Identifier: Apache-2.0
 *
 * Sums of four products of u8 and s8 in 16 lanes of s32, on AVX-512 with VNNI: one instruction. Every dot_<rung>.h gives these
 * names:
 *
 *     dot_acc, dot_w, dot_x     16 sums; four weights of each of 16 columns; four numbers of a row, 16 times over
 *     dot_load_low, dot_load_high   the same of 4-bit weights, times 16: those in the low and in the high halves of 64 bytes
 *     dot_madd                  c + the sum of the four products in each lane, exact
 *     dot_madd_full             the same, where weights may be -128, too, which q8 has none of
 *     dot_times                 16 sums from memory, times whole numbers
 *     DOT_SHIFT                 what dot_load_x subtracts from each number
 *     dot_from, dot_float       16 sums from memory; as floats, rounded once
 *     dot_bits                  the sums themselves, as a vec that is only stored
 *     dot_settle                nothing, but the compiler must have the sums in registers there: gcc 12 otherwise keeps some of a tile's in
 *                               memory wherever more is done with them after the loop than to store them
 *     dot_store_minus           their negatives to memory
 *     pair_...                  the same with two s16 in place of the four bytes, into the same sums
 *     pair_store_exp2           32 numbers 2^(12 - u / 2048) as s16, two side by side in each lane, rounded as follows: u are the lowest 16
 *                               bits of a and b, 0 if negative; with n = u / 2048 and f the rest of it as a
 *                               fraction of 2^16: p = c0 - f (c1 - f (c2 - f c3)), each product cut off at 2^-16, then (p * (4096 >> n) +
 *                               2^14) >> 15; p is below 2^15
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
VEC_INLINE dot_w dot_load_high(const char *p) { return _mm512_and_si512(_mm512_loadu_si512(p), _mm512_set1_epi8((char)0xf0)); }
VEC_INLINE dot_w dot_load_low(const char *p) {
    return _mm512_and_si512(_mm512_slli_epi16(_mm512_loadu_si512(p), 4), _mm512_set1_epi8((char)0xf0));
}
VEC_INLINE dot_x dot_load_x(const char *p) {
    int32_t four;
    memcpy(&four, p, sizeof(four));
    return _mm512_set1_epi32(four);
}
VEC_INLINE dot_acc dot_madd(dot_acc c, dot_w w, dot_x x) { return _mm512_dpbusd_epi32(c, x, w); }
#define dot_madd_full dot_madd
VEC_INLINE dot_acc dot_times(const int32_t *p, vec n) { return _mm512_mullo_epi32(_mm512_loadu_si512(p), _mm512_cvttps_epi32(n)); }

VEC_INLINE dot_acc dot_from(const int32_t *p) { return _mm512_loadu_si512(p); }
VEC_INLINE vec dot_float(dot_acc c) { return _mm512_cvtepi32_ps(c); }
VEC_INLINE vec dot_bits(dot_acc c) { return _mm512_castsi512_ps(c); }
VEC_INLINE void dot_settle(dot_acc *c) { __asm__("" : "+v"(*c)); }
VEC_INLINE void dot_store_minus(int32_t *p, dot_acc c) { _mm512_storeu_si512(p, _mm512_sub_epi32(_mm512_setzero_si512(), c)); }

typedef dot_acc pair_acc;
typedef __m512i pair_w;
typedef __m512i pair_x;
VEC_INLINE pair_w pair_load_w(const char *p) { return _mm512_loadu_si512(p); }
VEC_INLINE pair_x pair_load_x(const char *p) { return dot_load_x(p); }
VEC_INLINE dot_acc pair_madd(dot_acc c, pair_w w, pair_x x) { return _mm512_dpwssd_epi32(c, x, w); }

VEC_INLINE void pair_store_exp2(char *p, vec a, vec b, const uint16_t c[4]) {
    __m512i u = _mm512_slli_epi32(_mm512_castps_si512(b), 16);
    u = _mm512_max_epi16(_mm512_mask_blend_epi16(0xaaaaaaaau, _mm512_castps_si512(a), u), _mm512_setzero_si512());
    __m512i f = _mm512_slli_epi16(u, 5), w = _mm512_set1_epi16((short)c[3]);
    VEC_UNROLL
    for (int i = 2; i >= 0; i--) w = _mm512_sub_epi16(_mm512_set1_epi16((short)c[i]), _mm512_mulhi_epu16(w, f));
    w = _mm512_mulhrs_epi16(w, _mm512_srlv_epi16(_mm512_set1_epi16(4096), _mm512_srli_epi16(u, 11)));
    _mm512_storeu_si512(p, w);
}

#endif
