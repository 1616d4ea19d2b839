/* SPDX-License-Identifier: Apache-2.0
 *
 * Convolutions' columns and planes on AVX2: tmpl/conv.h over this rung's vectors.
 */
#include "kernel/kernel_list.h"
#include "kernel/tmpl/vec_avx2.h"

#define KERNEL_ISA avx2
#include "kernel/tmpl/conv.h"
