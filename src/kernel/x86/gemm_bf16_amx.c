/* SPDX-License-Identifier: Apache-2.0
 *
 * Linear in bf16 on tile registers (AMX), a pair of tiles of 16 rows on a pair of 16 columns, one row alike: how the processor adds 32
 * products is its own affair, and a row must not depend on how many others there are. Subnormal numbers count as 0.
 */
#include "kernel/kernel_list.h"
#include "kernel/kernel_pack.h"
#include "kernel/tmpl/vec_avx512.h"

#define KERNEL_ISA amx
#define GEMM_RUNG BASE_ISA_AMX
#define GEMM_TILE _32x32
#define GEMM_TILES 32
#define GEMM_FEW 0
#define GEMM_MR 4
#define GEMM_NV 2
#define GEMM_TILE_MADD _tile_dpbf16ps
#include "kernel/tmpl/vec_math.h"
#include "kernel/tmpl/gemm_format_bf16_pairs.h"

VEC_INLINE gemm_acc gemm_tile_sum(gemm_acc begin, const char *sums) { return vec_load(sums); }

#include "kernel/tmpl/gemm_linear.h"
