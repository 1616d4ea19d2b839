/* SPDX-License-Identifier: Apache-2.0
 *
 * Linear in f32 on Armv8 SIMD: tiles of five rows of 16 columns: 20 accumulators of the 32 registers, the rest for the
 * panel and the numbers of x. With six rows gcc loads so far ahead that accumulators end up on the stack.
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
#include "kernel/tmpl/gemm_format_f32.h"
#include "kernel/tmpl/gemm_core.h"
#include "kernel/tmpl/gemm_linear.h"
