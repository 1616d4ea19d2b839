/* SPDX-License-Identifier: Apache-2.0
 *
 * A product's numbers: bf16 rows, bf16 weights, on AVX512_BF16, whose instruction adds the products of a pair of k to an f32. In
 * one chain, pairs in order; subnormal numbers count as 0. See gemm_format_f32.h for what each name means.
 */
#ifndef GEMM_FORMAT_H
#define GEMM_FORMAT_H

#include <string.h>

typedef vec gemm_acc;
typedef __m512bh gemm_w;
typedef __m512bh gemm_x;
#define GEMM_STEP_W 64

VEC_INLINE vec gemm_zero(void) { return vec_zero(); }
VEC_INLINE gemm_w gemm_load_w(const char *p) { return (gemm_w)_mm512_loadu_si512(p); }
VEC_INLINE gemm_x gemm_load_x(const char *p) {
    int32_t pair;
    memcpy(&pair, p, sizeof(pair));
    return (gemm_x)_mm512_set1_epi32(pair);
}
VEC_INLINE vec gemm_madd(vec c, gemm_w w, gemm_x x) { return _mm512_dpbf16_ps(c, x, w); }

#define GEMM_OP nk_gemm_bf16_bf16_f32
#define GEMM_INPUT KERNEL_INPUT_BF16
#define GEMM_PACK KERNEL_PACK_BF16_PAIRS
#define GEMM_WEIGHT KERNEL_WEIGHT_BF16
#define GEMM_LAYOUT "bf16_pairs"
#define GEMM_GELU_ERF vec_gelu_erf_short
#include "gemm_ends_float.h"

#endif
