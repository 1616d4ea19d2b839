/* SPDX-License-Identifier: Apache-2.0
 *
 * Attention in f32 on AVX-512: the template of tmpl/attention.h, 32 queries at a time, products in tiles of 12 x 32.
 */
#include "kernel/kernel_list.h"
#include "kernel/tmpl/vec_avx512.h"
#include <math.h>
#include <string.h>

#define KERNEL_ISA avx512
#define ATTN_NAME nk_attention_f32_f32_f32__32x64_avx512
#define ATTN_MR 12
#define ATTN_NV 2
#include "kernel/tmpl/vec_math.h"
#include "kernel/tmpl/gemm_format_f32.h"
#include "kernel/tmpl/gemm_core.h"
#include "kernel/tmpl/attention.h"
