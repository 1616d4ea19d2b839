/* SPDX-License-Identifier: Apache-2.0
 *
 * Half precision in plain C: IEEE binary16 and bfloat16 to and from float, rounding to nearest even, NaN kept.
 */
#ifndef BASE_HALF_H
#define BASE_HALF_H

#include "nib/nib.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline float base_bf16_to_f32(uint16_t h) {
    uint32_t u = (uint32_t)h << 16;
    float f;
    memcpy(&f, &u, 4);
    return f;
}

static inline uint16_t base_f32_to_bf16(float f) {
    uint32_t u;
    memcpy(&u, &f, 4);
    if ((u & 0x7fffffffu) > 0x7f800000u) return (uint16_t)((u >> 16) | 0x40u); /* NaN stays NaN, quiet */
    return (uint16_t)((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
}

static inline float base_f16_to_f32(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16, exponent = (h >> 10) & 0x1fu, mantissa = h & 0x3ffu, u;
    float f;
    if (exponent == 0x1f) {
        u = sign | 0x7f800000u | (mantissa << 13);
    } else if (exponent != 0) {
        u = sign | ((exponent + 112u) << 23) | (mantissa << 13);
    } else {
        f = (float)mantissa * 5.9604644775390625e-8f; /* 2^-24: subnormals are exact in float */
        return sign ? -f : f;
    }
    memcpy(&f, &u, 4);
    return f;
}

static inline uint16_t base_f32_to_f16(float f) {
    uint32_t u;
    memcpy(&u, &f, 4);
    uint32_t sign = (u >> 16) & 0x8000u, a = u & 0x7fffffffu;
    if (a > 0x7f800000u) return (uint16_t)(sign | 0x7e00u | ((a >> 13) & 0x3ffu));
    if (a >= 0x477ff000u) return (uint16_t)(sign | 0x7c00u); /* rounds to infinity */
    if (a < 0x38800000u) {                                   /* subnormal or zero */
        float magnitude;
        memcpy(&magnitude, &a, 4);
        float scaled = magnitude + 0.5f; /* aligns 2^-24 with the last bit of a float in [0.5, 1) */
        uint32_t s;
        memcpy(&s, &scaled, 4);
        return (uint16_t)(sign | (s - 0x3f000000u));
    }
    uint32_t odd = (a >> 13) & 1u;
    return (uint16_t)(sign | ((a - 0x38000000u + 0xfffu + odd) >> 13));
}

static inline bool base_is_half(nib_dtype t) { return t == NIB_DTYPE_F16 || t == NIB_DTYPE_BF16; }

/* n numbers of f16, bf16 or f32 (any other type is none of theirs), at any address, as f32. */
static inline void base_widen(nib_dtype type, const void *from, size_t n, float *to) {
    const uint8_t *bytes = (const uint8_t *)from;
    uint16_t h;
    if (type == NIB_DTYPE_F32) {
        if (n) memcpy(to, from, n * sizeof *to);
    } else if (type == NIB_DTYPE_BF16) {
        for (size_t i = 0; i < n; i++) {
            memcpy(&h, bytes + i * sizeof h, sizeof h);
            to[i] = base_bf16_to_f32(h);
        }
    } else {
        for (size_t i = 0; i < n; i++) {
            memcpy(&h, bytes + i * sizeof h, sizeof h);
            to[i] = base_f16_to_f32(h);
        }
    }
}

#endif
