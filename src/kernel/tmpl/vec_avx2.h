/* SPDX-License-Identifier: Apache-2.0
 *
 * The vector vocabulary on AVX2 and FMA: 16 lanes of float in two registers. See vec_avx512.h for what each name means.
 */
#ifndef VEC_AVX2_H
#define VEC_AVX2_H

#include "vec.h"
#include <immintrin.h>
#include <stdint.h>

typedef struct vec {
    __m256 lo, hi; /* lanes 0-7, 8-15 */
} vec;

VEC_INLINE vec vec_pair(__m256 lo, __m256 hi) { return (vec){lo, hi}; }
VEC_INLINE vec vec_zero(void) { return vec_pair(_mm256_setzero_ps(), _mm256_setzero_ps()); }
VEC_INLINE vec vec_set1(float s) { return vec_pair(_mm256_set1_ps(s), _mm256_set1_ps(s)); }
VEC_INLINE vec vec_load(const void *p) { return vec_pair(_mm256_loadu_ps((const float *)p), _mm256_loadu_ps((const float *)p + 8)); }
VEC_INLINE void vec_store(float *p, vec v) {
    _mm256_storeu_ps(p, v.lo);
    _mm256_storeu_ps(p + 8, v.hi);
}

/* Lanes below n - from are all ones. */
VEC_INLINE __m256i vec_first(int n, int from) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n - from), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
VEC_INLINE vec vec_load_n(const void *p, int n) {
    __m256 lo = _mm256_maskload_ps((const float *)p, vec_first(n, 0));
    return vec_pair(lo, n > 8 ? _mm256_maskload_ps((const float *)p + 8, vec_first(n, 8)) : _mm256_setzero_ps());
}
VEC_INLINE void vec_store_n(float *p, vec v, int n) {
    _mm256_maskstore_ps(p, vec_first(n, 0), v.lo);
    if (n > 8) _mm256_maskstore_ps(p + 8, vec_first(n, 8), v.hi);
}

#define VEC_BOTH(f, a, b) vec_pair(f((a).lo, (b).lo), f((a).hi, (b).hi))
VEC_INLINE vec vec_add(vec a, vec b) { return VEC_BOTH(_mm256_add_ps, a, b); }
VEC_INLINE vec vec_sub(vec a, vec b) { return VEC_BOTH(_mm256_sub_ps, a, b); }
VEC_INLINE vec vec_mul(vec a, vec b) { return VEC_BOTH(_mm256_mul_ps, a, b); }
VEC_INLINE vec vec_div(vec a, vec b) { return VEC_BOTH(_mm256_div_ps, a, b); }
VEC_INLINE vec vec_sqrt(vec a) { return vec_pair(_mm256_sqrt_ps(a.lo), _mm256_sqrt_ps(a.hi)); }
VEC_INLINE vec vec_max(vec a, vec b) { return VEC_BOTH(_mm256_max_ps, a, b); }
VEC_INLINE vec vec_min(vec a, vec b) { return VEC_BOTH(_mm256_min_ps, a, b); }
VEC_INLINE vec vec_fma(vec a, vec b, vec c) { return vec_pair(_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)); }

VEC_INLINE vec vec_and(vec a, vec b) { return VEC_BOTH(_mm256_and_ps, a, b); }
VEC_INLINE vec vec_abs(vec a) {
    __m256 bits = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fffffff));
    return vec_pair(_mm256_and_ps(a.lo, bits), _mm256_and_ps(a.hi, bits));
}
VEC_INLINE vec vec_min_abs(vec x, vec limit) { return vec_min(vec_abs(x), limit); }
VEC_INLINE vec vec_copysign(vec a, vec s) {
    a = vec_abs(a);
    s = vec_and(s, vec_set1(-0.0f));
    return VEC_BOTH(_mm256_or_ps, a, s);
}

VEC_INLINE vec vec_select_lt(vec a, vec b, vec yes, vec no) {
    return vec_pair(_mm256_blendv_ps(no.lo, yes.lo, _mm256_cmp_ps(a.lo, b.lo, _CMP_LT_OQ)),
                    _mm256_blendv_ps(no.hi, yes.hi, _mm256_cmp_ps(a.hi, b.hi, _CMP_LT_OQ)));
}

VEC_INLINE __m256 vec_max_bits_half(__m256 m, __m256 x) {
    return _mm256_castsi256_ps(_mm256_max_epu32(_mm256_castps_si256(m), _mm256_castps_si256(x)));
}
VEC_INLINE vec vec_max_abs(vec m, vec x) {
    x = vec_abs(x);
    return vec_pair(vec_max_bits_half(m.lo, x.lo), vec_max_bits_half(m.hi, x.hi));
}

VEC_INLINE __m256 vec_keep_nan_half(__m256 x, __m256 other) { return _mm256_blendv_ps(other, x, _mm256_cmp_ps(x, x, _CMP_UNORD_Q)); }
VEC_INLINE vec vec_keep_nan(vec x, vec other) { return VEC_BOTH(vec_keep_nan_half, x, other); }

VEC_INLINE __m256 vec_pow2_half(__m256 t) {
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_slli_epi32(_mm256_castps_si256(t), 23), _mm256_set1_epi32(0x3f800000)));
}
VEC_INLINE vec vec_pow2(vec t) { return vec_pair(vec_pow2_half(t.lo), vec_pow2_half(t.hi)); }

VEC_INLINE __m256 vec_keep_half(__m256 s, const int32_t *lo, const int32_t *hi, __m256i p, __m256 other) {
    __m256i below = _mm256_cmpgt_epi32(_mm256_loadu_si256((const __m256i_u *)lo), p);
    __m256i above = _mm256_cmpgt_epi32(p, _mm256_loadu_si256((const __m256i_u *)hi));
    return _mm256_blendv_ps(s, other, _mm256_castsi256_ps(_mm256_or_si256(below, above)));
}
VEC_INLINE vec vec_keep_between(vec s, const int32_t *lo, const int32_t *hi, int32_t p, vec other) {
    __m256i x = _mm256_set1_epi32(p);
    return vec_pair(vec_keep_half(s.lo, lo, hi, x, other.lo), vec_keep_half(s.hi, lo + 8, hi + 8, x, other.hi));
}

VEC_INLINE vec vec_pick8(const float table[16], vec t) {
    __m256 eight = _mm256_load_ps(table);
    return vec_pair(_mm256_permutevar8x32_ps(eight, _mm256_castps_si256(t.lo)), _mm256_permutevar8x32_ps(eight, _mm256_castps_si256(t.hi)));
}

VEC_INLINE __m256 vec_widen_half(__m128i u) { return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(u), 16)); }
VEC_INLINE vec vec_load_bf16(const void *p) {
    const __m128i_u *u = (const __m128i_u *)p;
    return vec_pair(vec_widen_half(_mm_loadu_si128(u)), vec_widen_half(_mm_loadu_si128(u + 1)));
}
VEC_INLINE vec vec_load_f16(const void *p) {
    const __m128i_u *h = (const __m128i_u *)p;
    return vec_pair(_mm256_cvtph_ps(_mm_loadu_si128(h)), _mm256_cvtph_ps(_mm_loadu_si128(h + 1)));
}
VEC_INLINE vec vec_load_u8(const void *p) {
    const __m128i u = _mm_loadu_si128((const __m128i_u *)p);
    return vec_pair(_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(u)), _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_srli_si128(u, 8))));
}
VEC_INLINE vec vec_from_s32(vec bits) {
    return vec_pair(_mm256_cvtepi32_ps(_mm256_castps_si256(bits.lo)), _mm256_cvtepi32_ps(_mm256_castps_si256(bits.hi)));
}
VEC_INLINE vec vec_load_i8(const void *p) {
    const __m128i u = _mm_loadu_si128((const __m128i_u *)p);
    return vec_pair(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(u)), _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(u, 8))));
}
VEC_INLINE void vec_store_f16(void *p, vec v) {
    _mm_storeu_si128((__m128i_u *)p, _mm256_cvtps_ph(v.lo, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
    _mm_storeu_si128((__m128i_u *)p + 1, _mm256_cvtps_ph(v.hi, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
VEC_INLINE uint32_t vec_greater(vec a, vec b) {
    const int lo = _mm256_movemask_ps(_mm256_cmp_ps(a.lo, b.lo, _CMP_GT_OQ));
    return (uint32_t)(lo | _mm256_movemask_ps(_mm256_cmp_ps(a.hi, b.hi, _CMP_GT_OQ)) << 8);
}
VEC_INLINE __m256i vec_bf16_half(__m256 v) {
    __m256i u = _mm256_castps_si256(v), upper = _mm256_srli_epi32(u, 16);
    __m256i odd = _mm256_and_si256(upper, _mm256_set1_epi32(1));
    __m256i r = _mm256_srli_epi32(_mm256_add_epi32(_mm256_add_epi32(u, _mm256_set1_epi32(0x7fff)), odd), 16);
    __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));
    return _mm256_blendv_epi8(r, _mm256_or_si256(upper, _mm256_set1_epi32(0x40)), nan);
}
/* Packing works within each half of a register: the permutation puts the quarters in order. */
VEC_INLINE void vec_store_bf16(void *p, vec v) {
    __m256i u = _mm256_packus_epi32(vec_bf16_half(v.lo), vec_bf16_half(v.hi));
    _mm256_storeu_si256((__m256i_u *)p, _mm256_permute4x64_epi64(u, 0xd8));
}
VEC_INLINE void vec_store_low8(void *p, vec v) {
    __m256i low = _mm256_set1_epi32(0xff);
    __m256i u = _mm256_packus_epi32(_mm256_and_si256(_mm256_castps_si256(v.lo), low), _mm256_and_si256(_mm256_castps_si256(v.hi), low));
    u = _mm256_permute4x64_epi64(u, 0xd8);
    _mm_storeu_si128((__m128i_u *)p, _mm_packus_epi16(_mm256_castsi256_si128(u), _mm256_extracti128_si256(u, 1)));
}
VEC_INLINE __m256i vec_low8_half(__m256 v, int byte) {
    return _mm256_slli_epi32(_mm256_and_si256(_mm256_castps_si256(v), _mm256_set1_epi32(0xff)), 8 * byte);
}
VEC_INLINE void vec_store_low8_of4(void *p, const vec *v) {
    __m256i lo = _mm256_setzero_si256(), hi = _mm256_setzero_si256();
    VEC_UNROLL
    for (int i = 0; i < 4; i++) {
        lo = _mm256_or_si256(lo, vec_low8_half(v[i].lo, i));
        hi = _mm256_or_si256(hi, vec_low8_half(v[i].hi, i));
    }
    _mm256_storeu_si256((__m256i_u *)p, lo);
    _mm256_storeu_si256((__m256i_u *)p + 1, hi);
}
VEC_INLINE __m256i vec_low16_half(__m256 a, __m256 b) {
    return _mm256_blend_epi16(_mm256_castps_si256(a), _mm256_slli_epi32(_mm256_castps_si256(b), 16), 0xaa);
}
VEC_INLINE void vec_store_low16_of2(void *p, vec a, vec b) {
    _mm256_storeu_si256((__m256i_u *)p, vec_low16_half(a.lo, b.lo));
    _mm256_storeu_si256((__m256i_u *)p + 1, vec_low16_half(a.hi, b.hi));
}

VEC_INLINE float vec_sum(vec v) {
    __m256 y = _mm256_add_ps(v.lo, v.hi);
    __m128 x = _mm_add_ps(_mm256_castps256_ps128(y), _mm256_extractf128_ps(y, 1));
    x = _mm_add_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_add_ss(x, _mm_shuffle_ps(x, x, 1)));
}
VEC_INLINE float vec_max_lane(vec v) {
    __m256 y = _mm256_max_ps(v.lo, v.hi);
    __m128 x = _mm_max_ps(_mm256_castps256_ps128(y), _mm256_extractf128_ps(y, 1));
    x = _mm_max_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_max_ss(x, _mm_shuffle_ps(x, x, 1)));
}

VEC_INLINE __m256 vec_max_of4_half(__m256 m0, __m256 m1, __m256 m2, __m256 m3) {
    __m256 a = vec_max_bits_half(_mm256_unpacklo_ps(m0, m1), _mm256_unpackhi_ps(m0, m1));
    __m256 b = vec_max_bits_half(_mm256_unpacklo_ps(m2, m3), _mm256_unpackhi_ps(m2, m3));
    return vec_max_bits_half(_mm256_shuffle_ps(a, b, 0x44), _mm256_shuffle_ps(a, b, 0xee));
}
VEC_INLINE vec vec_max_of4(const vec m[4]) {
    return vec_pair(vec_max_of4_half(m[0].lo, m[1].lo, m[2].lo, m[3].lo), vec_max_of4_half(m[0].hi, m[1].hi, m[2].hi, m[3].hi));
}
VEC_INLINE __m256 vec_max_across_two(vec a, vec b) {
    __m256 x = vec_max_bits_half(a.lo, a.hi), y = vec_max_bits_half(b.lo, b.hi);
    return vec_max_bits_half(_mm256_permute2f128_ps(x, y, 0x20), _mm256_permute2f128_ps(x, y, 0x31));
}
VEC_INLINE vec vec_max_across4(const vec m[4]) { return vec_pair(vec_max_across_two(m[0], m[1]), vec_max_across_two(m[2], m[3])); }

VEC_INLINE void vec_turn4_half(__m256 *r0, __m256 *r1, __m256 *r2, __m256 *r3) {
    __m256 a = _mm256_unpacklo_ps(*r0, *r1), b = _mm256_unpackhi_ps(*r0, *r1);
    __m256 c = _mm256_unpacklo_ps(*r2, *r3), d = _mm256_unpackhi_ps(*r2, *r3);
    *r0 = _mm256_shuffle_ps(a, c, 0x44);
    *r1 = _mm256_shuffle_ps(a, c, 0xee);
    *r2 = _mm256_shuffle_ps(b, d, 0x44);
    *r3 = _mm256_shuffle_ps(b, d, 0xee);
}
VEC_INLINE void vec_turn4(vec r[4]) {
    vec_turn4_half(&r[0].lo, &r[1].lo, &r[2].lo, &r[3].lo);
    vec_turn4_half(&r[0].hi, &r[1].hi, &r[2].hi, &r[3].hi);
}

/* Eight rows of 8 become eight columns. */
VEC_INLINE void vec_transpose8(__m256 r[8]) {
    __m256 t[8];
    VEC_UNROLL
    for (int i = 0; i < 8; i += 4) {
        __m256 a = _mm256_unpacklo_ps(r[i], r[i + 1]), b = _mm256_unpackhi_ps(r[i], r[i + 1]);
        __m256 c = _mm256_unpacklo_ps(r[i + 2], r[i + 3]), d = _mm256_unpackhi_ps(r[i + 2], r[i + 3]);
        t[i] = _mm256_shuffle_ps(a, c, 0x44);
        t[i + 1] = _mm256_shuffle_ps(a, c, 0xee);
        t[i + 2] = _mm256_shuffle_ps(b, d, 0x44);
        t[i + 3] = _mm256_shuffle_ps(b, d, 0xee);
    }
    VEC_UNROLL
    for (int i = 0; i < 4; i++) {
        r[i] = _mm256_permute2f128_ps(t[i], t[i + 4], 0x20);
        r[i + 4] = _mm256_permute2f128_ps(t[i], t[i + 4], 0x31);
    }
}
VEC_INLINE void vec_transpose(vec r[16]) {
    __m256 a[8], b[8], c[8], d[8];
    VEC_UNROLL
    for (int i = 0; i < 8; i++) {
        a[i] = r[i].lo;
        b[i] = r[i].hi;
        c[i] = r[i + 8].lo;
        d[i] = r[i + 8].hi;
    }
    vec_transpose8(a);
    vec_transpose8(b);
    vec_transpose8(c);
    vec_transpose8(d);
    VEC_UNROLL
    for (int i = 0; i < 8; i++) {
        r[i] = vec_pair(a[i], c[i]);
        r[i + 8] = vec_pair(b[i], d[i]);
    }
}

#endif
