/* SPDX-License-Identifier: Apache-2.0
 *
 * The vector vocabulary on AVX-512: 16 lanes of float in one register.
 *
 * Every vec_<isa>.h defines the same type `vec` and the same functions with the same results, bit for bit, lane by lane:
 * a sum has one order, a maximum or minimum returns its second argument if either is NaN, nothing is approximate. The
 * templates of this folder are written over these names and nothing else.
 */
#ifndef VEC_AVX512_H
#define VEC_AVX512_H

#include "vec.h"
#include <immintrin.h>
#include <stdint.h>

typedef __m512 vec;

VEC_INLINE vec vec_zero(void) { return _mm512_setzero_ps(); }
VEC_INLINE vec vec_set1(float s) { return _mm512_set1_ps(s); }
VEC_INLINE vec vec_load(const void *p) { return _mm512_loadu_ps(p); }
VEC_INLINE void vec_store(float *p, vec v) { _mm512_storeu_ps(p, v); }

VEC_INLINE __mmask16 vec_first(int n) { return (__mmask16)((1u << n) - 1u); }
/* The first n of 16 lanes, 0 <= n <= 16; nothing beyond them is touched, the other lanes are 0. */
VEC_INLINE vec vec_load_n(const void *p, int n) { return _mm512_maskz_loadu_ps(vec_first(n), p); }
VEC_INLINE void vec_store_n(float *p, vec v, int n) { _mm512_mask_storeu_ps(p, vec_first(n), v); }

VEC_INLINE vec vec_add(vec a, vec b) { return _mm512_add_ps(a, b); }
VEC_INLINE vec vec_sub(vec a, vec b) { return _mm512_sub_ps(a, b); }
VEC_INLINE vec vec_mul(vec a, vec b) { return _mm512_mul_ps(a, b); }
VEC_INLINE vec vec_div(vec a, vec b) { return _mm512_div_ps(a, b); }
VEC_INLINE vec vec_sqrt(vec a) { return _mm512_sqrt_ps(a); }
VEC_INLINE vec vec_fma(vec a, vec b, vec c) { return _mm512_fmadd_ps(a, b, c); } /* a b + c */
VEC_INLINE vec vec_max(vec a, vec b) { return _mm512_max_ps(a, b); }             /* a > b ? a : b */
VEC_INLINE vec vec_min(vec a, vec b) { return _mm512_min_ps(a, b); }             /* a < b ? a : b */
VEC_INLINE vec vec_abs(vec a) { return _mm512_abs_ps(a); }

/* The smaller of |x| and limit, which is not negative; limit if x is NaN. */
VEC_INLINE vec vec_min_abs(vec x, vec limit) { return _mm512_range_ps(x, limit, 0xa); }
/* The larger of the magnitude m and |x|, compared as bits: a NaN is larger than infinity, and stays. */
VEC_INLINE vec vec_max_abs(vec m, vec x) {
    return _mm512_castsi512_ps(_mm512_max_epu32(_mm512_castps_si512(m), _mm512_castps_si512(vec_abs(x))));
}

/* a < b ? yes : no; NaN gives no. */
VEC_INLINE vec vec_select_lt(vec a, vec b, vec yes, vec no) { return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), no, yes); }

/* x is NaN ? x : other. */
VEC_INLINE vec vec_keep_nan(vec x, vec other) { return _mm512_mask_mov_ps(other, _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q), x); }

/* The magnitude of a with the sign of s. */
VEC_INLINE vec vec_copysign(vec a, vec s) { return _mm512_or_ps(_mm512_abs_ps(a), _mm512_and_ps(s, _mm512_set1_ps(-0.0f))); }

/* 2^n for t = 1.5 * 2^23 + n, -127 <= n <= 128: the low bits of t become an exponent; 0 at -127, infinity at 128. */
VEC_INLINE vec vec_pow2(vec t) {
    return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_slli_epi32(_mm512_castps_si512(t), 23), _mm512_set1_epi32(0x3f800000)));
}

/* Lane i keeps s where lo[i] <= p <= hi[i], otherwise becomes `other`. */
VEC_INLINE vec vec_keep_between(vec s, const int32_t *lo, const int32_t *hi, int32_t p, vec other) {
    __m512i x = _mm512_set1_epi32(p);
    __mmask16 in = _mm512_cmple_epi32_mask(_mm512_loadu_si512(lo), x);
    in = _mm512_mask_cmple_epi32_mask(in, x, _mm512_loadu_si512(hi));
    return _mm512_mask_blend_ps(in, other, s);
}

/* Lane i is the number of a table of eight (twice over, 64-aligned) that the lowest three bits of t's lane i say. t's bit above them is 0.
 */
VEC_INLINE vec vec_pick8(const float table[16], vec t) { return _mm512_permutexvar_ps(_mm512_castps_si512(t), _mm512_load_ps(table)); }

/* 16 bfloat16 as floats. */
VEC_INLINE vec vec_load_bf16(const void *p) {
    __m512i u = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i_u *)p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(u, 16));
}
VEC_INLINE vec vec_load_f16(const void *p) { return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i_u *)p)); }
/* 16 whole numbers of a byte as floats. */
VEC_INLINE vec vec_from_s32(vec bits) { return _mm512_cvtepi32_ps(_mm512_castps_si512(bits)); } /* lanes of s32 as numbers */
VEC_INLINE vec vec_load_u8(const void *p) { return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i_u *)p))); }
VEC_INLINE vec vec_load_i8(const void *p) { return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i_u *)p))); }
/* The nearest f16, half to even, NaN made quiet: 16 of 2 bytes. */
VEC_INLINE void vec_store_f16(void *p, vec v) {
    _mm256_storeu_si256((__m256i_u *)p, _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
/* Bit i: a > b in lane i; NaN is not. */
VEC_INLINE uint32_t vec_greater(vec a, vec b) { return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ); }
/* The nearest bfloat16, half to even, NaN made quiet: 16 of 2 bytes. */
VEC_INLINE void vec_store_bf16(void *p, vec v) {
    __m512i u = _mm512_castps_si512(v), upper = _mm512_srli_epi32(u, 16);
    __m512i odd = _mm512_and_si512(upper, _mm512_set1_epi32(1));
    __m512i r = _mm512_srli_epi32(_mm512_add_epi32(_mm512_add_epi32(u, _mm512_set1_epi32(0x7fff)), odd), 16);
    __mmask16 nan = _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
    r = _mm512_mask_or_epi32(r, nan, upper, _mm512_set1_epi32(0x40));
    _mm256_storeu_si256((__m256i_u *)p, _mm512_cvtepi32_epi16(r));
}
/* The lowest byte of each lane. */
VEC_INLINE void vec_store_low8(void *p, vec v) { _mm_storeu_si128((__m128i_u *)p, _mm512_cvtepi32_epi8(_mm512_castps_si512(v))); }
/* The lowest bytes of four vectors, lane by lane side by side. */
VEC_INLINE void vec_store_low8_of4(void *p, const vec *v) {
    const __m512i low = _mm512_set1_epi32(0xff);
    __m512i a = _mm512_and_si512(_mm512_castps_si512(v[0]), low), b = _mm512_and_si512(_mm512_castps_si512(v[1]), low);
    __m512i c = _mm512_and_si512(_mm512_castps_si512(v[2]), low), d = _mm512_slli_epi32(_mm512_castps_si512(v[3]), 24);
    a = _mm512_or_si512(_mm512_or_si512(a, _mm512_slli_epi32(b, 8)), _mm512_or_si512(_mm512_slli_epi32(c, 16), d));
    _mm512_storeu_si512(p, a);
}
/* The lower halves of two vectors, lane by lane side by side. */
VEC_INLINE void vec_store_low16_of2(void *p, vec a, vec b) {
    _mm512_storeu_si512(p, _mm512_mask_blend_epi16(0xaaaaaaaau, _mm512_castps_si512(a), _mm512_slli_epi32(_mm512_castps_si512(b), 16)));
}

VEC_INLINE float vec_sum8(__m256 v) {
    __m128 x = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    x = _mm_add_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_add_ss(x, _mm_shuffle_ps(x, x, 1)));
}
VEC_INLINE float vec_max8(__m256 v) {
    __m128 x = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    x = _mm_max_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_max_ss(x, _mm_shuffle_ps(x, x, 1)));
}
/* All lanes, as a tree 8, 4, 2, 1. */
VEC_INLINE float vec_sum(vec v) { return vec_sum8(_mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1))); }
VEC_INLINE float vec_max_lane(vec v) { return vec_max8(_mm256_max_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1))); }

VEC_INLINE __m512 vec_max_bits(__m512 a, __m512 b) {
    return _mm512_castsi512_ps(_mm512_max_epu32(_mm512_castps_si512(a), _mm512_castps_si512(b)));
}
/* Lane 4 i + j: the largest of lanes 4 i .. 4 i + 3 of m[j], compared as bits. */
VEC_INLINE vec vec_max_of4(const vec m[4]) {
    __m512 a = vec_max_bits(_mm512_unpacklo_ps(m[0], m[1]), _mm512_unpackhi_ps(m[0], m[1]));
    __m512 b = vec_max_bits(_mm512_unpacklo_ps(m[2], m[3]), _mm512_unpackhi_ps(m[2], m[3]));
    return vec_max_bits(_mm512_shuffle_ps(a, b, 0x44), _mm512_shuffle_ps(a, b, 0xee));
}
/* Lane 4 i + j: the largest of lanes j, 4 + j, 8 + j, 12 + j of m[i]. */
VEC_INLINE vec vec_max_across4(const vec m[4]) {
    __m512 a = vec_max_bits(_mm512_shuffle_f32x4(m[0], m[1], 0x88), _mm512_shuffle_f32x4(m[0], m[1], 0xdd));
    __m512 b = vec_max_bits(_mm512_shuffle_f32x4(m[2], m[3], 0x88), _mm512_shuffle_f32x4(m[2], m[3], 0xdd));
    return vec_max_bits(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd));
}

/* Each block of four lanes by four vectors is turned: lane 4 i + j of r[k] becomes lane 4 i + k of r[j]. */
VEC_INLINE void vec_turn4(vec r[4]) {
    __m512 a = _mm512_unpacklo_ps(r[0], r[1]), b = _mm512_unpackhi_ps(r[0], r[1]);
    __m512 c = _mm512_unpacklo_ps(r[2], r[3]), d = _mm512_unpackhi_ps(r[2], r[3]);
    r[0] = _mm512_shuffle_ps(a, c, 0x44);
    r[1] = _mm512_shuffle_ps(a, c, 0xee);
    r[2] = _mm512_shuffle_ps(b, d, 0x44);
    r[3] = _mm512_shuffle_ps(b, d, 0xee);
}

/* 16 rows of 16 become 16 columns. */
VEC_INLINE void vec_transpose(vec r[16]) {
    __m512 t[16];
    VEC_UNROLL
    for (int i = 0; i < 16; i += 4) { /* 4x4 blocks within each 128-bit lane */
        __m512 a = _mm512_unpacklo_ps(r[i], r[i + 1]), b = _mm512_unpackhi_ps(r[i], r[i + 1]);
        __m512 c = _mm512_unpacklo_ps(r[i + 2], r[i + 3]), d = _mm512_unpackhi_ps(r[i + 2], r[i + 3]);
        t[i] = _mm512_shuffle_ps(a, c, 0x44);
        t[i + 1] = _mm512_shuffle_ps(a, c, 0xee);
        t[i + 2] = _mm512_shuffle_ps(b, d, 0x44);
        t[i + 3] = _mm512_shuffle_ps(b, d, 0xee);
    }
    VEC_UNROLL
    for (int i = 0; i < 4; i++) { /* then the blocks change places */
        __m512 a = _mm512_shuffle_f32x4(t[i], t[i + 4], 0x88), b = _mm512_shuffle_f32x4(t[i + 8], t[i + 12], 0x88);
        __m512 c = _mm512_shuffle_f32x4(t[i], t[i + 4], 0xdd), d = _mm512_shuffle_f32x4(t[i + 8], t[i + 12], 0xdd);
        r[i] = _mm512_shuffle_f32x4(a, b, 0x88);
        r[i + 8] = _mm512_shuffle_f32x4(a, b, 0xdd);
        r[i + 4] = _mm512_shuffle_f32x4(c, d, 0x88);
        r[i + 12] = _mm512_shuffle_f32x4(c, d, 0xdd);
    }
}

#endif
