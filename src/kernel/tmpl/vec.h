/* SPDX-License-Identifier: Apache-2.0
 *
 * What the templates share besides the vocabulary: the compiler's unrolling, and names that end with the rung.
 */
#ifndef VEC_H
#define VEC_H

#include <stdint.h>
#include <string.h>

#define VEC_INLINE static inline __attribute__((always_inline, unused))
#define VEC_NOINLINE static __attribute__((noinline, unused))

/* Before a loop whose count is a constant after inlining: all of it is laid out flat, so that an array of vectors that it
 * indexes lives in registers. */
#if defined(__clang__)
#define VEC_UNROLL _Pragma("clang loop unroll(full)")
#else
#define VEC_UNROLL _Pragma("GCC unroll 64")
#endif

#define VEC_PASTE_(a, b) a##_##b
#define VEC_PASTE(a, b) VEC_PASTE_(a, b)
/* nk_softmax_f32_f32__1x16 becomes nk_softmax_f32_f32__1x16_avx2; the including file defines KERNEL_ISA. */
#define KERNEL_NAME(name) VEC_PASTE(name, KERNEL_ISA)

#endif
