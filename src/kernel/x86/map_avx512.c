/* SPDX-License-Identifier: Apache-2.0
 *
 * Element-wise programs on AVX-512: tmpl/map.h over this rung's vectors.
 */
#include "kernel/kernel_list.h"
#include "kernel/tmpl/vec_avx512.h"

#define KERNEL_ISA avx512
#include "kernel/tmpl/vec_math.h"
#include "kernel/tmpl/map.h"
