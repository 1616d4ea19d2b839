/* SPDX-License-Identifier: Apache-2.0
 *
 * Products of u8 and s8 whose sums are the result, on tile registers (AMX).
 */
#include "kernel/kernel_list.h"
#include "kernel/kernel_pack.h"
#include "kernel/tmpl/dot_amx.h"

#define KERNEL_ISA amx
#define GEMM_RUNG BASE_ISA_AMX
#define GEMM_TILE _32x32
#define GEMM_TILES 32
#define GEMM_MR 4
#define GEMM_NV 2
#include "kernel/tmpl/vec_math.h"
#include "kernel/tmpl/gemm_format_s8.h"
#include "kernel/tmpl/gemm_core.h"
#include "kernel/tmpl/gemm_linear.h"
