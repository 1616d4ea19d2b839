/* SPDX-License-Identifier: Apache-2.0
 *
 * Linear in q8 on AVX-VNNI: tiles of six rows of 16 columns: twelve accumulators of the 16 registers.
 */
#include "kernel/kernel_list.h"
#include "kernel/kernel_pack.h"
#include "kernel/tmpl/dot_avxvnni.h"

#define KERNEL_ISA avxvnni
#define GEMM_RUNG BASE_ISA_AVXVNNI
#define GEMM_TILE _6x16
#define GEMM_MR 6
#define GEMM_NV 1
#include "kernel/tmpl/vec_math.h"
#include "kernel/tmpl/gemm_format_q8.h"
#include "kernel/tmpl/gemm_core.h"
#include "kernel/tmpl/gemm_linear.h"
