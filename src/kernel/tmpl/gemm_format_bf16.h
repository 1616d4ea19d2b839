/* SPDX-License-Identifier: Apache-2.0
 *
 * A product's numbers: f32 rows, bf16 weights, which become f32 on their way from the panel. See gemm_format_f32.h for what each
 * name means.
 */
#ifndef GEMM_FORMAT_H
#define GEMM_FORMAT_H

typedef vec gemm_acc;
typedef vec gemm_w;
typedef vec gemm_x;
#define GEMM_STEP_W 32

VEC_INLINE vec gemm_zero(void) { return vec_zero(); }
VEC_INLINE vec gemm_load_w(const char *p) { return vec_load_bf16(p); }
VEC_INLINE vec gemm_load_x(const char *p) { return vec_set1(*(const float *)(const void *)p); }
VEC_INLINE vec gemm_madd(vec c, vec w, vec x) { return vec_fma(x, w, c); }

#define GEMM_OP nk_gemm_f32_bf16_f32
#define GEMM_INPUT KERNEL_INPUT_F32
#define GEMM_PACK KERNEL_PACK_BF16
#define GEMM_WEIGHT KERNEL_WEIGHT_BF16
#define GEMM_LAYOUT "bf16"
#define GEMM_GELU_ERF vec_gelu_erf_short
#include "gemm_ends_float.h"

#endif
