/* SPDX-License-Identifier: Apache-2.0
 *
 * A product's numbers: f32 rows, f32 weights. Every gemm_format_*.h gives gemm_core.h the same names:
 *
 *     gemm_acc, gemm_w, gemm_x   16 accumulators; a step of 16 columns; a step of a row, as each of those columns needs it
 *     GEMM_STEP_W                bytes of a step of 16 columns; a step of a row has four bytes in every format
 *     gemm_zero, gemm_load_w, gemm_load_x, gemm_madd
 *
 * and gemm_linear.h, for the ends of a Linear:
 *
 *     GEMM_OP, GEMM_INPUT, GEMM_WEIGHT, GEMM_PACK, GEMM_LAYOUT   the kernel's name, what it reads, how its panels are packed, and
 *                                      the name of that in files
 *     gemm_rows                        where row m begins, and the bytes from row to row
 *     gemm_column, gemm_column_at      what the epilogue knows about 16 columns
 *     gemm_row, gemm_row_at            and about a row
 *     gemm_begin                       what a sum begins with
 *     gemm_value                       from an accumulator to numbers with the bias added
 *     GEMM_GELU_ERF                    the erf form of GELU, as exact as the format is worth
 */
#ifndef GEMM_FORMAT_H
#define GEMM_FORMAT_H

typedef vec gemm_acc;
typedef vec gemm_w;
typedef vec gemm_x;
#define GEMM_STEP_W 64

VEC_INLINE vec gemm_zero(void) { return vec_zero(); }
VEC_INLINE vec gemm_load_w(const char *p) { return vec_load(p); }
VEC_INLINE vec gemm_load_x(const char *p) { return vec_set1(*(const float *)(const void *)p); }
VEC_INLINE vec gemm_madd(vec c, vec w, vec x) { return vec_fma(x, w, c); }

#define GEMM_OP nk_gemm_f32_f32_f32
#define GEMM_INPUT KERNEL_INPUT_F32
#define GEMM_PACK KERNEL_PACK_F32
#define GEMM_WEIGHT KERNEL_WEIGHT_F32
#define GEMM_LAYOUT "f32"
#define GEMM_GELU_ERF vec_gelu_erf
#include "gemm_ends_float.h"

#endif
