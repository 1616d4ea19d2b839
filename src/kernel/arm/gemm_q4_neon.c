/* SPDX-License-Identifier: Apache-2.0
 *
 * Linear on q4 weights on Armv8 SIMD: tiles of four rows of 16 columns, of which what is folded may lie in memory: it is touched
 * once in 32 numbers of a row.
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
#include "kernel/tmpl/gemm_format_q4.h"
#include "kernel/tmpl/gemm_core.h"
#include "kernel/tmpl/gemm_linear.h"
