/* SPDX-License-Identifier: Apache-2.0
 *
 * Linear in bf16 on AVX512_BF16: tiles of twelve rows of 32 columns, 24 accumulators of the 32 registers.
 */
#include "kernel/kernel_list.h"
#include "kernel/kernel_pack.h"
#include "kernel/tmpl/vec_avx512.h"

#define KERNEL_ISA avx512bf16
#define GEMM_RUNG BASE_ISA_AVX512BF16
#define GEMM_TILE _12x32
#define GEMM_MR 12
#define GEMM_NV 2
#include "kernel/tmpl/vec_math.h"
#include "kernel/tmpl/gemm_format_bf16_pairs.h"
#include "kernel/tmpl/gemm_core.h"
#include "kernel/tmpl/gemm_linear.h"
