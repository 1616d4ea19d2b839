/* SPDX-License-Identifier: Apache-2.0
 *
 * Products of u8 and s8 whose sums are the result, on Armv8.2 dot products.
 */
#include "kernel/kernel_list.h"
#include "kernel/kernel_pack.h"
#include "kernel/tmpl/dot_dotprod.h"

#define KERNEL_ISA dotprod
#define GEMM_RUNG BASE_ISA_DOTPROD
#define GEMM_TILE _5x16
#define GEMM_MR 5
#define GEMM_NV 1
#include "kernel/tmpl/vec_math.h"
#include "kernel/tmpl/gemm_format_s8.h"
#include "kernel/tmpl/gemm_core.h"
#include "kernel/tmpl/gemm_linear.h"
