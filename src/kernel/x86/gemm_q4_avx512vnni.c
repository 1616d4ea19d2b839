/* SPDX-License-Identifier: Apache-2.0
 *
 * Linear on q4 weights on AVX-512 with VNNI: tiles of twelve rows of 16 columns, 24 of the 32 registers for sums and what is folded into
 * them.
 */
#include "kernel/kernel_list.h"
#include "kernel/kernel_pack.h"
#include "kernel/tmpl/dot_avx512vnni.h"

#define KERNEL_ISA avx512vnni
#define GEMM_RUNG BASE_ISA_AVX512VNNI
#define GEMM_TILE _12x16
#define GEMM_MR 12
#define GEMM_NV 1
#include "kernel/tmpl/vec_math.h"
#include "kernel/tmpl/gemm_format_q4.h"
#include "kernel/tmpl/gemm_core.h"
#include "kernel/tmpl/gemm_linear.h"
