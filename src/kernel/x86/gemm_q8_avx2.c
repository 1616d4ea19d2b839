/* SPDX-License-Identifier: Apache-2.0
 *
 * Linear in q8 on AVX2: tiles of four rows of 16 columns: eight accumulators of the 16 registers, four for a step of the
 * panel, two for one of a row.
 */
#include "kernel/kernel_list.h"
#include "kernel/kernel_pack.h"
#include "kernel/tmpl/dot_avx2.h"

#define KERNEL_ISA avx2
#define GEMM_RUNG BASE_ISA_AVX2
#define GEMM_TILE _4x16
#define GEMM_MR 4
#define GEMM_NV 1
#include "kernel/tmpl/vec_math.h"
#include "kernel/tmpl/gemm_format_q8.h"
#include "kernel/tmpl/gemm_core.h"
#include "kernel/tmpl/gemm_linear.h"
