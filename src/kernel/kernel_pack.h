/* SPDX-License-Identifier: Apache-2.0
 *
 * Weights as panels: what every f32 Linear kernel shares, whatever its tile. A panel is [K][tile_n], the columns past N
 * in the last one zero. Built without instruction-set flags.
 */
#ifndef KERNEL_PACK_H
#define KERNEL_PACK_H

#include "kernel.h"

size_t kernel_packed_bytes(int64_t N, int64_t K, int tile_n); /* SIZE_MAX if it does not fit */

/* As kernel_linear's pack; each panel that begins in [n_lo, n_hi) is written whole. */
void kernel_pack_panels(const float *w, int64_t k_stride, int64_t n_stride, int64_t N, int64_t K, int64_t n_lo, int64_t n_hi, int tile_n,
                        void *packed);

#endif
