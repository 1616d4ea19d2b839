/* SPDX-License-Identifier: Apache-2.0
 *
 * Linear with bf16 weights in f32 arithmetic on AVX-512: half the bytes of f32 for weights that come from memory.
 */
#include "kernel/kernel_list.h"
#include "kernel/kernel_pack.h"
#include "kernel/tmpl/vec_avx512.h"

#define KERNEL_ISA avx512
#define GEMM_RUNG BASE_ISA_AVX512
#define GEMM_TILE _12x32
#define GEMM_MR 12
#define GEMM_NV 2
#include "kernel/tmpl/vec_math.h"
#include "kernel/tmpl/gemm_format_bf16.h"
#include "kernel/tmpl/gemm_core.h"
#include "kernel/tmpl/gemm_linear.h"
