/* SPDX-License-Identifier: Apache-2.0
 *
 * Element-wise programs on NEON: tmpl/map.h over this rung's vectors.
 */
#include "kernel/kernel_list.h"
#include "kernel/tmpl/vec_neon.h"

#define KERNEL_ISA neon
#include "kernel/tmpl/vec_math.h"
#include "kernel/tmpl/map.h"
