/* SPDX-License-Identifier: Apache-2.0
 *
 * Products of u8 and s8 whose sums are the result, on AVX-512 with VNNI.
 */
#include "kernel/kernel_list.h"
#include "kernel/kernel_pack.h"
#include "kernel/tmpl/dot_avx512vnni.h"

#define KERNEL_ISA avx512vnni
#define GEMM_RUNG BASE_ISA_AVX512VNNI
#define GEMM_TILE _12x32
#define GEMM_MR 12
#define GEMM_NV 2
#include "kernel/tmpl/vec_math.h"
#include "kernel/tmpl/gemm_format_s8.h"
#include "kernel/tmpl/gemm_core.h"
#include "kernel/tmpl/gemm_linear.h"
