/* SPDX-License-Identifier: Apache-2.0
 *
 * Linear in f32 on Armv8 SIMD: tiles of six rows of 16 columns: 24 accumulators of the 32 registers, the rest for the
 * panel and one number of x.
 */
#include "kernel/kernel_list.h"
#include "kernel/kernel_pack.h"
#include "kernel/tmpl/vec_neon.h"

#define KERNEL_ISA neon
#define GEMM_RUNG BASE_ISA_NEON
#define GEMM_TILE _6x16
#define GEMM_MR 6
#define GEMM_NV 1
#include "kernel/tmpl/vec_math.h"
#include "kernel/tmpl/gemm_core.h"
#include "kernel/tmpl/gemm_linear.h"
