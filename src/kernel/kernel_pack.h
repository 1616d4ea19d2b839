/* SPDX-License-Identifier: Apache-2.0
 *
 * Weights as panels: what every tuned Linear kernel shares, whatever its tile. A panel holds tile_n columns, those past N in the
 * last one zero, in steps along K: a step has `group` numbers of each column side by side, so that they meet as many
 * numbers of x in one instruction. Built without instruction-set flags.
 */
#ifndef KERNEL_PACK_H
#define KERNEL_PACK_H

#include "kernel.h"

typedef enum kernel_pack_format {
    KERNEL_PACK_F32,        /* [K][tile_n] */
    KERNEL_PACK_BF16,       /* [K][tile_n] */
    KERNEL_PACK_BF16_PAIRS, /* [K / 2 rounded up][tile_n][2] */
    KERNEL_PACK_Q8,         /* scales [tile_n] f32, sums [tile_n] s32, then [K / 4 rounded up][tile_n][4] s8 */
    /* Sixteen times the sum of each column's numbers [tile_n] f32; then for each 32 of K: scales [tile_n] f16, and
     * [4][tile_n][4] bytes: of step 2 i the four numbers in the low halves, of step 2 i + 1 those in the high ones */
    KERNEL_PACK_Q4,
    KERNEL_PACK_S8 /* as Q8, without scales */
} kernel_pack_format;

/* Bytes of one panel and of all; SIZE_MAX if they do not fit. */
size_t kernel_panel_bytes(kernel_pack_format format, int64_t K, int tile_n);
size_t kernel_packed_bytes(kernel_pack_format format, int64_t N, int64_t K, int tile_n);

/* As kernel_linear's pack; each panel that begins in [n_lo, n_hi) is written whole. tile_n is at most 32. */
void kernel_pack_panels(kernel_pack_format format, const kernel_weight *w, int64_t n_lo, int64_t n_hi, int tile_n, void *packed);
#define KERNEL_Q4_BLOCK 32
/* 32 numbers at w, stride apart, as s4 with one scale, which f16 holds: q = clamp(round(x / d), -8, 7) for d = largest / -(8 + i / 10),
 * i in -9, -6, .. 9, `largest` being the number of the largest size; of these the one whose best scale (sum of q x / sum of q^2) leaves
 * the least error. Numbers that are such multiples already keep their q, and the scale becomes f16: true then, else false.
 * What is not finite counts as 0. All zeros: scale 0, and true. */
bool kernel_round_q4(const float *w, int64_t stride, int8_t q[KERNEL_Q4_BLOCK], float *scale);

/* As kernel_linear's column. */
void kernel_panel_column(kernel_pack_format format, const void *packed, int64_t K, int tile_n, int64_t n, float *to);

#endif
