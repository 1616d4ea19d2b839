/* SPDX-License-Identifier: Apache-2.0
 *
 * Attention in f32 on Armv8 SIMD: the template of tmpl/attention.h, 16 queries at a time, products in tiles of 5 x 16.
 */
#include "kernel/kernel_list.h"
#include "kernel/tmpl/vec_neon.h"
#include <math.h>
#include <string.h>

#define KERNEL_ISA neon
#define ATTN_NAME nk_attention_f32_f32_f32__16x64_neon
#define ATTN_MR 5
#define ATTN_NV 1
#include "kernel/tmpl/vec_math.h"
#include "kernel/tmpl/gemm_format_f32.h"
#include "kernel/tmpl/gemm_core.h"
#include "kernel/tmpl/attention.h"
