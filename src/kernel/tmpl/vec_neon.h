/* SPDX-License-Identifier: Apache-2.0
 *
 * The vector vocabulary on Armv8 SIMD: 16 lanes of float in four registers. See vec_avx512.h for what each name means.
 */
#ifndef VEC_NEON_H
#define VEC_NEON_H

#include "vec.h"
#include <arm_neon.h>
#include <stdint.h>
#include <string.h>

typedef float32x4x4_t vec; /* val[i]: lanes 4i .. 4i + 3 */

/* A vec made by a formula in i, the number of the register. */
#define VEC_FOUR(f0, f1, f2, f3) ((vec){{(f0), (f1), (f2), (f3)}})
#define VEC_TWO(f, a, b) VEC_FOUR(f(a.val[0], b.val[0]), f(a.val[1], b.val[1]), f(a.val[2], b.val[2]), f(a.val[3], b.val[3]))

VEC_INLINE vec vec_set1(float s) { return VEC_FOUR(vdupq_n_f32(s), vdupq_n_f32(s), vdupq_n_f32(s), vdupq_n_f32(s)); }
VEC_INLINE vec vec_zero(void) { return vec_set1(0.0f); }
/* Bytes, because tables and weights in a mapped file may be misaligned. */
VEC_INLINE float32x4_t vec_load4(const void *p, int i) { return vreinterpretq_f32_u8(vld1q_u8((const uint8_t *)p + 16 * i)); }
VEC_INLINE vec vec_load(const void *p) { return VEC_FOUR(vec_load4(p, 0), vec_load4(p, 1), vec_load4(p, 2), vec_load4(p, 3)); }
VEC_INLINE void vec_store(float *p, vec v) {
    vst1q_f32(p, v.val[0]);
    vst1q_f32(p + 4, v.val[1]);
    vst1q_f32(p + 8, v.val[2]);
    vst1q_f32(p + 12, v.val[3]);
}
VEC_INLINE vec vec_load_n(const void *p, int n) {
    float lanes[16] = {0};
    memcpy(lanes, p, (size_t)n * sizeof(float));
    return vec_load(lanes);
}
VEC_INLINE void vec_store_n(float *p, vec v, int n) {
    float lanes[16];
    vec_store(lanes, v);
    memcpy(p, lanes, (size_t)n * sizeof(float));
}

VEC_INLINE float32x4_t vec_max4(float32x4_t a, float32x4_t b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
VEC_INLINE float32x4_t vec_min4(float32x4_t a, float32x4_t b) { return vbslq_f32(vcltq_f32(a, b), a, b); }
VEC_INLINE vec vec_add(vec a, vec b) { return VEC_TWO(vaddq_f32, a, b); }
VEC_INLINE vec vec_sub(vec a, vec b) { return VEC_TWO(vsubq_f32, a, b); }
VEC_INLINE vec vec_mul(vec a, vec b) { return VEC_TWO(vmulq_f32, a, b); }
VEC_INLINE vec vec_div(vec a, vec b) { return VEC_TWO(vdivq_f32, a, b); }
VEC_INLINE vec vec_sqrt(vec a) { return VEC_FOUR(vsqrtq_f32(a.val[0]), vsqrtq_f32(a.val[1]), vsqrtq_f32(a.val[2]), vsqrtq_f32(a.val[3])); }
VEC_INLINE vec vec_max(vec a, vec b) { return VEC_TWO(vec_max4, a, b); }
VEC_INLINE vec vec_min(vec a, vec b) { return VEC_TWO(vec_min4, a, b); }
VEC_INLINE vec vec_abs(vec a) { return VEC_FOUR(vabsq_f32(a.val[0]), vabsq_f32(a.val[1]), vabsq_f32(a.val[2]), vabsq_f32(a.val[3])); }
VEC_INLINE vec vec_min_abs(vec x, vec limit) { return vec_min(vec_abs(x), limit); }
VEC_INLINE vec vec_fma(vec a, vec b, vec c) {
    return VEC_FOUR(vfmaq_f32(c.val[0], a.val[0], b.val[0]), vfmaq_f32(c.val[1], a.val[1], b.val[1]),
                    vfmaq_f32(c.val[2], a.val[2], b.val[2]), vfmaq_f32(c.val[3], a.val[3], b.val[3]));
}

VEC_INLINE float32x4_t vec_copysign4(float32x4_t a, float32x4_t s) { return vbslq_f32(vdupq_n_u32(0x80000000u), s, a); }
VEC_INLINE vec vec_copysign(vec a, vec s) { return VEC_TWO(vec_copysign4, a, s); }

VEC_INLINE vec vec_select_lt(vec a, vec b, vec yes, vec no) {
    vec r;
    VEC_UNROLL
    for (int i = 0; i < 4; i++) r.val[i] = vbslq_f32(vcltq_f32(a.val[i], b.val[i]), yes.val[i], no.val[i]);
    return r;
}

VEC_INLINE vec vec_max_abs(vec m, vec x) {
    vec r, a = vec_abs(x);
    VEC_UNROLL
    for (int i = 0; i < 4; i++)
        r.val[i] = vreinterpretq_f32_u32(vmaxq_u32(vreinterpretq_u32_f32(m.val[i]), vreinterpretq_u32_f32(a.val[i])));
    return r;
}

VEC_INLINE float32x4_t vec_keep_nan4(float32x4_t x, float32x4_t other) { return vbslq_f32(vceqq_f32(x, x), other, x); }
VEC_INLINE vec vec_keep_nan(vec x, vec other) { return VEC_TWO(vec_keep_nan4, x, other); }

VEC_INLINE vec vec_pick8(const float table[16], vec t) {
    const uint8x16x2_t eight = {{vld1q_u8((const uint8_t *)table), vld1q_u8((const uint8_t *)table + 16)}};
    vec r;
    VEC_UNROLL
    for (int i = 0; i < 4; i++) { /* bytes 4 n, 4 n + 1, 4 n + 2, 4 n + 3 of the table */
        uint32x4_t n = vandq_u32(vreinterpretq_u32_f32(t.val[i]), vdupq_n_u32(7));
        n = vmlaq_n_u32(vdupq_n_u32(0x03020100u), n, 0x04040404u);
        r.val[i] = vreinterpretq_f32_u8(vqtbl2q_u8(eight, vreinterpretq_u8_u32(n)));
    }
    return r;
}

VEC_INLINE vec vec_load_bf16(const void *p) {
    uint16x8_t a = vreinterpretq_u16_u8(vld1q_u8(p)), b = vreinterpretq_u16_u8(vld1q_u8((const uint8_t *)p + 16));
    return VEC_FOUR(vreinterpretq_f32_u32(vshll_n_u16(vget_low_u16(a), 16)), vreinterpretq_f32_u32(vshll_n_u16(vget_high_u16(a), 16)),
                    vreinterpretq_f32_u32(vshll_n_u16(vget_low_u16(b), 16)), vreinterpretq_f32_u32(vshll_n_u16(vget_high_u16(b), 16)));
}
VEC_INLINE vec vec_load_f16(const void *p) {
    float16x8_t a = vreinterpretq_f16_u8(vld1q_u8(p)), b = vreinterpretq_f16_u8(vld1q_u8((const uint8_t *)p + 16));
    return VEC_FOUR(vcvt_f32_f16(vget_low_f16(a)), vcvt_f32_f16(vget_high_f16(a)), vcvt_f32_f16(vget_low_f16(b)),
                    vcvt_f32_f16(vget_high_f16(b)));
}
VEC_INLINE vec vec_load_u8(const void *p) {
    const uint8x16_t u = vld1q_u8(p);
    const uint16x8_t a = vmovl_u8(vget_low_u8(u)), b = vmovl_u8(vget_high_u8(u));
    return VEC_FOUR(vcvtq_f32_u32(vmovl_u16(vget_low_u16(a))), vcvtq_f32_u32(vmovl_u16(vget_high_u16(a))),
                    vcvtq_f32_u32(vmovl_u16(vget_low_u16(b))), vcvtq_f32_u32(vmovl_u16(vget_high_u16(b))));
}
VEC_INLINE vec vec_from_s32(vec bits) {
    return VEC_FOUR(vcvtq_f32_s32(vreinterpretq_s32_f32(bits.val[0])), vcvtq_f32_s32(vreinterpretq_s32_f32(bits.val[1])),
                    vcvtq_f32_s32(vreinterpretq_s32_f32(bits.val[2])), vcvtq_f32_s32(vreinterpretq_s32_f32(bits.val[3])));
}
VEC_INLINE vec vec_load_i8(const void *p) {
    const int8x16_t u = vld1q_s8(p);
    const int16x8_t a = vmovl_s8(vget_low_s8(u)), b = vmovl_s8(vget_high_s8(u));
    return VEC_FOUR(vcvtq_f32_s32(vmovl_s16(vget_low_s16(a))), vcvtq_f32_s32(vmovl_s16(vget_high_s16(a))),
                    vcvtq_f32_s32(vmovl_s16(vget_low_s16(b))), vcvtq_f32_s32(vmovl_s16(vget_high_s16(b))));
}
VEC_INLINE void vec_store_f16(void *p, vec v) {
    const float16x8_t a = vcombine_f16(vcvt_f16_f32(v.val[0]), vcvt_f16_f32(v.val[1]));
    const float16x8_t b = vcombine_f16(vcvt_f16_f32(v.val[2]), vcvt_f16_f32(v.val[3]));
    vst1q_u8(p, vreinterpretq_u8_f16(a));
    vst1q_u8((uint8_t *)p + 16, vreinterpretq_u8_f16(b));
}
VEC_INLINE uint32_t vec_greater(vec a, vec b) {
    static const uint32_t weights[4] = {1, 2, 4, 8};
    const uint32x4_t w = vld1q_u32(weights);
    uint32_t bits = 0;
    VEC_UNROLL
    for (int i = 0; i < 4; i++) bits |= vaddvq_u32(vandq_u32(vcgtq_f32(a.val[i], b.val[i]), w)) << 4 * i;
    return bits;
}
VEC_INLINE uint16x4_t vec_bf16_4(float32x4_t v) {
    uint32x4_t u = vreinterpretq_u32_f32(v), odd = vandq_u32(vshrq_n_u32(u, 16), vdupq_n_u32(1));
    uint32x4_t r = vaddq_u32(vaddq_u32(u, vdupq_n_u32(0x7fff)), odd);
    return vshrn_n_u32(vbslq_u32(vceqq_f32(v, v), r, vorrq_u32(u, vdupq_n_u32(0x400000))), 16);
}
VEC_INLINE void vec_store_bf16(void *p, vec v) {
    uint16x8_t a = vcombine_u16(vec_bf16_4(v.val[0]), vec_bf16_4(v.val[1])), b = vcombine_u16(vec_bf16_4(v.val[2]), vec_bf16_4(v.val[3]));
    vst1q_u8(p, vreinterpretq_u8_u16(a));
    vst1q_u8((uint8_t *)p + 16, vreinterpretq_u8_u16(b));
}
VEC_INLINE uint16x4_t vec_low16(float32x4_t v) { return vmovn_u32(vreinterpretq_u32_f32(v)); }
VEC_INLINE void vec_store_low8(void *p, vec v) {
    uint16x8_t a = vcombine_u16(vec_low16(v.val[0]), vec_low16(v.val[1])), b = vcombine_u16(vec_low16(v.val[2]), vec_low16(v.val[3]));
    vst1q_u8(p, vcombine_u8(vmovn_u16(a), vmovn_u16(b)));
}
VEC_INLINE void vec_store_low8_of4(void *p, const vec *v) {
    VEC_UNROLL
    for (int i = 0; i < 4; i++) {
        uint32x4_t u = vreinterpretq_u32_f32(v[0].val[i]);
        u = vsliq_n_u32(u, vreinterpretq_u32_f32(v[1].val[i]), 8);
        u = vsliq_n_u32(u, vreinterpretq_u32_f32(v[2].val[i]), 16);
        u = vsliq_n_u32(u, vreinterpretq_u32_f32(v[3].val[i]), 24);
        vst1q_u8((uint8_t *)p + 16 * i, vreinterpretq_u8_u32(u));
    }
}
VEC_INLINE void vec_store_low16_of2(void *p, vec a, vec b) {
    VEC_UNROLL
    for (int i = 0; i < 4; i++) {
        uint32x4_t u = vsliq_n_u32(vreinterpretq_u32_f32(a.val[i]), vreinterpretq_u32_f32(b.val[i]), 16);
        vst1q_u8((uint8_t *)p + 16 * i, vreinterpretq_u8_u32(u));
    }
}

VEC_INLINE float32x4_t vec_pow24(float32x4_t t) {
    return vreinterpretq_f32_u32(vaddq_u32(vshlq_n_u32(vreinterpretq_u32_f32(t), 23), vdupq_n_u32(0x3f800000u)));
}
VEC_INLINE vec vec_pow2(vec t) { return VEC_FOUR(vec_pow24(t.val[0]), vec_pow24(t.val[1]), vec_pow24(t.val[2]), vec_pow24(t.val[3])); }

VEC_INLINE vec vec_keep_between(vec s, const int32_t *lo, const int32_t *hi, int32_t p, vec other) {
    int32x4_t x = vdupq_n_s32(p);
    vec r;
    VEC_UNROLL
    for (int i = 0; i < 4; i++) {
        uint32x4_t in = vandq_u32(vcleq_s32(vld1q_s32(lo + 4 * i), x), vcleq_s32(x, vld1q_s32(hi + 4 * i)));
        r.val[i] = vbslq_f32(in, s.val[i], other.val[i]);
    }
    return r;
}

VEC_INLINE float vec_sum(vec v) {
    float32x4_t a = vaddq_f32(v.val[0], v.val[2]), b = vaddq_f32(v.val[1], v.val[3]), c = vaddq_f32(a, b);
    float32x2_t d = vadd_f32(vget_low_f32(c), vget_high_f32(c));
    return vget_lane_f32(d, 0) + vget_lane_f32(d, 1);
}
VEC_INLINE float vec_max_lane(vec v) {
    float32x4_t a = vec_max4(v.val[0], v.val[2]), b = vec_max4(v.val[1], v.val[3]), c = vec_max4(a, b);
    float lane[4];
    vst1q_f32(lane, c);
    lane[0] = lane[0] > lane[2] ? lane[0] : lane[2];
    lane[1] = lane[1] > lane[3] ? lane[1] : lane[3];
    return lane[0] > lane[1] ? lane[0] : lane[1];
}

VEC_INLINE uint32x4_t vec_max_pairs(float32x4_t a, float32x4_t b) { return vpmaxq_u32(vreinterpretq_u32_f32(a), vreinterpretq_u32_f32(b)); }
VEC_INLINE vec vec_max_of4(const vec m[4]) {
    vec r;
    VEC_UNROLL
    for (int i = 0; i < 4; i++)
        r.val[i] = vreinterpretq_f32_u32(vpmaxq_u32(vec_max_pairs(m[0].val[i], m[1].val[i]), vec_max_pairs(m[2].val[i], m[3].val[i])));
    return r;
}
VEC_INLINE vec vec_max_across4(const vec m[4]) {
    vec r;
    VEC_UNROLL
    for (int i = 0; i < 4; i++) {
        uint32x4_t a = vmaxq_u32(vreinterpretq_u32_f32(m[i].val[0]), vreinterpretq_u32_f32(m[i].val[1]));
        uint32x4_t b = vmaxq_u32(vreinterpretq_u32_f32(m[i].val[2]), vreinterpretq_u32_f32(m[i].val[3]));
        r.val[i] = vreinterpretq_f32_u32(vmaxq_u32(a, b));
    }
    return r;
}

VEC_INLINE void vec_turn4(vec r[4]) {
    VEC_UNROLL
    for (int i = 0; i < 4; i++) {
        float32x4x2_t p = vtrnq_f32(r[0].val[i], r[1].val[i]), q = vtrnq_f32(r[2].val[i], r[3].val[i]);
        r[0].val[i] = vcombine_f32(vget_low_f32(p.val[0]), vget_low_f32(q.val[0]));
        r[1].val[i] = vcombine_f32(vget_low_f32(p.val[1]), vget_low_f32(q.val[1]));
        r[2].val[i] = vcombine_f32(vget_high_f32(p.val[0]), vget_high_f32(q.val[0]));
        r[3].val[i] = vcombine_f32(vget_high_f32(p.val[1]), vget_high_f32(q.val[1]));
    }
}

/* 4 x 4 blocks are turned one by one and change places. */
VEC_INLINE void vec_transpose(vec r[16]) {
    vec t[16];
    VEC_UNROLL
    for (int i = 0; i < 4; i++) {
        VEC_UNROLL
        for (int j = 0; j < 4; j++) {
            float32x4x2_t p = vtrnq_f32(r[4 * i].val[j], r[4 * i + 1].val[j]), q = vtrnq_f32(r[4 * i + 2].val[j], r[4 * i + 3].val[j]);
            t[4 * j].val[i] = vcombine_f32(vget_low_f32(p.val[0]), vget_low_f32(q.val[0]));
            t[4 * j + 1].val[i] = vcombine_f32(vget_low_f32(p.val[1]), vget_low_f32(q.val[1]));
            t[4 * j + 2].val[i] = vcombine_f32(vget_high_f32(p.val[0]), vget_high_f32(q.val[0]));
            t[4 * j + 3].val[i] = vcombine_f32(vget_high_f32(p.val[1]), vget_high_f32(q.val[1]));
        }
    }
    VEC_UNROLL
    for (int i = 0; i < 16; i++) r[i] = t[i];
}

#endif
