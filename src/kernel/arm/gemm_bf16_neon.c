/* SPDX-License-Identifier: Apache-2.0
 *
 * Linear with bf16 weights in f32 arithmetic on Armv8 SIMD: tiles of five rows of 16 columns, as in f32.
 */
#include "kernel/kernel_list.h"
#include "kernel/kernel_pack.h"
#include "kernel/tmpl/vec_neon.h"

#define KERNEL_ISA neon
#define GEMM_RUNG BASE_ISA_NEON
#define GEMM_TILE _5x16
#define GEMM_MR 5
#define GEMM_NV 1
#include "kernel/tmpl/vec_math.h"
#include "kernel/tmpl/gemm_format_bf16.h"
#include "kernel/tmpl/gemm_core.h"
#include "kernel/tmpl/gemm_linear.h"
