/* SPDX-License-Identifier: Apache-2.0
 *
 * Products of u8 and s8 whose sums are the result, on Armv8 SIMD.
 */
#include "kernel/kernel_list.h"
#include "kernel/kernel_pack.h"
#include "kernel/tmpl/dot_neon.h"

#define KERNEL_ISA neon
#define GEMM_RUNG BASE_ISA_NEON
#define GEMM_TILE _4x16
#define GEMM_MR 4
#define GEMM_NV 1
#include "kernel/tmpl/vec_math.h"
#include "kernel/tmpl/gemm_format_s8.h"
#include "kernel/tmpl/gemm_core.h"
#include "kernel/tmpl/gemm_linear.h"
