/* SPDX-License-Identifier: Apache-2.0
 *
 * Attention with integer products on Armv8 SIMD without dot products: the template of tmpl/attention_q8.h, 16 queries at a time, products
 * in tiles of 4 x 16.
 */
#include "kernel/kernel_list.h"
#include "kernel/tmpl/dot_neon.h"
#include <math.h>

#define KERNEL_ISA neon
#define ATTN_NAME nk_attention_f32_q8_f32__16x64_neon
#define ATTN_MR 4
#define ATTN_NV 1
#include "kernel/tmpl/vec_math.h"
#include "kernel/tmpl/gemm_format_q8.h"
#include "kernel/tmpl/gemm_core.h"
#define GEMM_PREFIX pair
#include "kernel/tmpl/gemm_core.h"
#include "kernel/tmpl/attention_q8.h"
