/* SPDX-License-Identifier: Apache-2.0
 *
 * Row work on AVX-512: the templates of tmpl/rows*.h over this rung's vectors.
 */
#include "kernel/kernel_list.h"
#include "kernel/tmpl/vec_avx512.h"
#include <string.h>

#define KERNEL_ISA avx512
#include "kernel/tmpl/vec_math.h"
#include "kernel/tmpl/rows.h"
#include "kernel/tmpl/rows_convert.h"
#include "kernel/tmpl/rows_vectors.h"
