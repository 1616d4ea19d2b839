/* SPDX-License-Identifier: Apache-2.0
 *
 * Attention with integer products on AVX-512 with VNNI: the template of tmpl/attention_q8.h, 32 queries at a time, products in tiles of
 * 12 x 32.
 */
#include "kernel/kernel_list.h"
#include "kernel/tmpl/dot_avx512vnni.h"
#include <math.h>

#define KERNEL_ISA avx512vnni
#define ATTN_NAME nk_attention_f32_q8_f32__32x64_avx512vnni
#define ATTN_MR 12
#define ATTN_NV 2
#include "kernel/tmpl/vec_math.h"
#include "kernel/tmpl/gemm_format_q8.h"
#include "kernel/tmpl/gemm_core.h"
#define GEMM_PREFIX pair
#include "kernel/tmpl/gemm_core.h"
#include "kernel/tmpl/attention_q8.h"
