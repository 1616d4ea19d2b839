/* SPDX-License-Identifier: Apache-2.0
 *
 * Convolutions' columns and planes, of f32 and of bytes, on AVX-512: tmpl/conv.h and conv_bytes.h over this rung's vectors.
 */
#include "kernel/kernel_list.h"
#include "kernel/tmpl/vec_avx512.h"

#define KERNEL_ISA avx512
#define CONV_WIDE
#include "kernel/tmpl/conv.h"
#include "kernel/tmpl/conv_bytes.h"
