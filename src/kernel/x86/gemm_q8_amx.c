/* SPDX-License-Identifier: Apache-2.0
 *
 * Linear in q8 on tile registers (AMX), a pair of tiles of 16 rows on a pair of 16 columns; few rows on AVX-512 with VNNI.
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
#include "kernel/tmpl/gemm_format_q8.h"
#include "kernel/tmpl/gemm_core.h"
#include "kernel/tmpl/gemm_linear.h"
