/* SPDX-License-Identifier: Apache-2.0
 *
 * Linear with bf16 weights in f32 arithmetic on AVX2 and FMA: tiles of six rows of 16 columns, as in f32.
 */
#include "kernel/kernel_list.h"
#include "kernel/kernel_pack.h"
#include "kernel/tmpl/vec_avx2.h"

#define KERNEL_ISA avx2
#define GEMM_RUNG BASE_ISA_AVX2
#define GEMM_TILE _6x16
#define GEMM_MR 6
#define GEMM_NV 1
#include "kernel/tmpl/vec_math.h"
#include "kernel/tmpl/gemm_format_bf16.h"
#include "kernel/tmpl/gemm_core.h"
#include "kernel/tmpl/gemm_linear.h"
