/* SPDX-License-Identifier: Apache-2.0
 *
 * Linear, written once: the including file has included a vec_<isa>.h, vec_math.h, a gemm_format_<types>.h and gemm_core.h, and
 * defines
 *
 *     GEMM_MR      rows of the tile: 4, 5, 6 or 12; with GEMM_TILES, 4
 *     GEMM_NV      vectors of 16 columns of the tile; tile_n = 16 GEMM_NV
 *     KERNEL_ISA, GEMM_TILE   the rung and the tile for the kernel's name: avx512, 12x32
 *     GEMM_RUNG    the rung as base_isa
 *     GEMM_TILES   if the processor has registers of whole tiles: as many rows as they take at once (gemm_tiles.h)
 *     GEMM_FEW     then, up to how many rows take vectors all the same: 3, or 0 where those would add in another order
 *
 * In: x in place, the weight as panels of tile_n columns (kernel_pack.h). Out: y = activation(x W + bias) + residual.
 *
 * Order of the loops: a block of rows that fits in L2, then a panel, then the tiles of the block. The panel comes through
 * L1 or L2 again and again while the rows are walked; it comes from memory once per block of rows. One to three rows
 * have too few chains in one panel to hide the latency of the multiply-add, so they take several panels at once. Neither
 * changes the order in which an output is added up.
 */
#ifndef GEMM_LINEAR_H
#define GEMM_LINEAR_H

#include "gemm_end.h"
#define GEMM_BLOCK_BYTES (192 * 1024) /* of x, beside a panel and the rows of y being written, in an L2 of 1 MiB */
/* Bytes of the panel that are fetched ahead. The processor's own prefetcher starts anew on every page; on Zen 4 this takes
 * K = 3072, where a panel does not stay in L2, from 78 to 87 % of the peak, and costs nothing elsewhere. */
#define GEMM_AHEAD 4096

#ifndef GEMM_FEW
#define GEMM_FEW 3
#endif

#if GEMM_FEW
VEC_INLINE void gemm_tile_body(const gemm_tile *t, const int mr) {
    gemm_acc c[GEMM_MR * GEMM_NV];
    int64_t row_bytes;
    const char *x = gemm_rows(t->args, t->m, &row_bytes);
    VEC_UNROLL
    for (int i = 0; i < mr; i++) {
        VEC_UNROLL
        for (int v = 0; v < GEMM_NV; v++) c[i * GEMM_NV + v] = gemm_begin(t->args, t->m + i, t->b, v, GEMM_NR);
    }
#ifdef GEMM_FOLD
    gemm_blocks(c, mr, GEMM_NV, GEMM_NV, t->steps, x, row_bytes, gemm_first(t, t->b), t->panel_bytes);
#else
    gemm_chain(c, mr, GEMM_NV, t->steps, x, row_bytes, 4, gemm_first(t, t->b), GEMM_STEP_BYTES, GEMM_AHEAD, t->next, t->next_step);
#endif
    gemm_end_tile(t, c, mr, GEMM_NV);
}

/* mr rows (1 to 3) of `panels` panels at once. */
VEC_INLINE void gemm_wide_body(const gemm_tile *t, const int mr, const int panels) {
    gemm_acc c[12 * GEMM_NV];
    int64_t row_bytes;
    const char *x = gemm_rows(t->args, t->m, &row_bytes), *first = gemm_first(t, t->b);
    VEC_UNROLL
    for (int i = 0; i < mr; i++) {
        VEC_UNROLL
        for (int v = 0; v < panels * GEMM_NV; v++)
            c[i * panels * GEMM_NV + v] = gemm_begin(t->args, t->m + i, t->b + v / GEMM_NV * t->panel_bytes, v % GEMM_NV, GEMM_NR);
    }
#ifdef GEMM_FOLD
    gemm_blocks(c, mr, panels * GEMM_NV, GEMM_NV, t->steps, x, row_bytes, first, t->panel_bytes);
#else
    for (int64_t step = 0; step < t->steps; step++) {
        gemm_x s[3];
        VEC_UNROLL
        for (int i = 0; i < mr; i++) s[i] = gemm_load_x(x + i * row_bytes + step * 4);
        VEC_UNROLL
        for (int v = 0; v < panels * GEMM_NV; v++) {
            gemm_w b = gemm_load_w(first + v / GEMM_NV * t->panel_bytes + (step * GEMM_NV + v % GEMM_NV) * GEMM_STEP_W);
            VEC_UNROLL
            for (int i = 0; i < mr; i++) c[i * panels * GEMM_NV + v] = gemm_madd(c[i * panels * GEMM_NV + v], b, s[i]);
        }
    }
#endif
    gemm_end_tile(t, c, mr, panels * GEMM_NV);
}

/* clang-format off */
#define GEMM_STAMP(mr) \
    VEC_NOINLINE void gemm_tile_##mr(const gemm_tile *t) { gemm_tile_body(t, mr); }
GEMM_STAMP(1) GEMM_STAMP(2) GEMM_STAMP(3) GEMM_STAMP(4)
#if GEMM_MR > 4
GEMM_STAMP(5)
#endif
#if GEMM_MR > 5
GEMM_STAMP(6)
#endif
#if GEMM_MR > 6
GEMM_STAMP(7) GEMM_STAMP(8) GEMM_STAMP(9) GEMM_STAMP(10) GEMM_STAMP(11) GEMM_STAMP(12)
#endif
    /* clang-format on */
    VEC_NOINLINE void gemm_wide_1(const gemm_tile *t) {
    gemm_wide_body(t, 1, 4);
}
VEC_NOINLINE void gemm_wide_2(const gemm_tile *t) { gemm_wide_body(t, 2, 2); }
VEC_NOINLINE void gemm_wide_3(const gemm_tile *t) { gemm_wide_body(t, 3, 2); }

static void (*const gemm_tiles[])(const gemm_tile *t) = {
    gemm_tile_1, gemm_tile_2, gemm_tile_3, gemm_tile_4,
#if GEMM_MR > 4
    gemm_tile_5,
#endif
#if GEMM_MR > 5
    gemm_tile_6,
#endif
#if GEMM_MR > 6
    gemm_tile_7, gemm_tile_8, gemm_tile_9, gemm_tile_10, gemm_tile_11, gemm_tile_12,
#endif
};

static void gemm_few_rows(gemm_tile *t, int64_t rows) {
    static void (*const wide[])(const gemm_tile *) = {gemm_wide_1, gemm_wide_2, gemm_wide_3};
    int64_t step = rows == 1 ? 4 : 2; /* panels */
    while (t->n < t->n_hi) {
        bool all = t->n_hi - t->n > (step - 1) * GEMM_NR; /* else the last panels would lie outside the weight */
        if (all) wide[rows - 1](t);
        else gemm_tiles[rows - 1](t);
        t->n += all ? step * GEMM_NR : GEMM_NR;
        t->b += all ? step * t->panel_bytes : t->panel_bytes;
    }
}

#endif

#ifdef GEMM_TILES
#include "gemm_tiles.h"
#else
/* Rows [m_lo, m_hi) of one panel, cut into tiles of nearly equal heights: 13 rows are 7 + 6, not 12 + 1. */
static void gemm_panel(gemm_tile *t, int64_t m_lo, int64_t m_hi) {
    int64_t tiles = (m_hi - m_lo + GEMM_MR - 1) / GEMM_MR;
    t->next = t->b + t->panel_bytes;
    t->next_step = t->panel_bytes / (tiles * (t->steps > 0 ? t->steps : 1));
    for (t->m = m_lo; tiles > 0; tiles--) {
        int64_t height = (m_hi - t->m + tiles - 1) / tiles;
        gemm_tiles[height - 1](t);
        t->m += height;
        t->next += t->next_step * t->steps;
    }
}

/* Rows [m_lo, m_hi) of columns [n_lo, t->n_hi), whose first panel t->b is. */
static void gemm_rows_and_panels(gemm_tile *t, int64_t m_lo, int64_t m_hi, int64_t n_lo) {
    const char *first = t->b;
#ifdef GEMM_FOLD
    const int64_t words = GEMM_FOLD * t->steps; /* of four bytes in a row */
#else
    const int64_t words = t->steps;
#endif
    int64_t block = GEMM_BLOCK_BYTES / 4 / (words > 0 ? words : 1) / GEMM_MR * GEMM_MR;
    if (block < 2 * GEMM_MR) block = 2 * GEMM_MR;
    for (int64_t m = m_lo; m < m_hi; m += block) {
        int64_t m_end = m_hi - m < block ? m_hi : m + block;
        for (t->n = n_lo, t->b = first; t->n < t->n_hi; t->n += GEMM_NR, t->b += t->panel_bytes) gemm_panel(t, m, m_end);
    }
}
#endif

static void gemm_run(const kernel_linear_args *args, int64_t m_lo, int64_t m_hi, int64_t n_lo, int64_t n_hi) {
    if (m_hi <= m_lo || n_hi <= n_lo) return;
#ifdef GEMM_SUMS
    kernel_linear_args sums = *args; /* the tile's end stores what it is given, and does nothing with it */
    sums.y = (float *)(void *)args->y32;
    args = &sums;
#endif
#ifdef GEMM_FOLD
    const int64_t group = 4 * GEMM_FOLD; /* a row's numbers in a block */
#else
    const int64_t group = GEMM_INPUT == KERNEL_INPUT_U8 ? 4 : GEMM_INPUT == KERNEL_INPUT_BF16 ? 2 : 1; /* and in a step */
#endif
    gemm_tile t = {.args = args, .end = gemm_end_of(args), .m = m_lo, .n = n_lo, .n_hi = n_hi};
    t.panel_bytes = (int64_t)kernel_panel_bytes(GEMM_PACK, args->K, GEMM_NR);
    t.steps = (args->K + group - 1) / group;
    t.b = (const char *)args->w + n_lo / GEMM_NR * t.panel_bytes;
#if GEMM_FEW
    if (m_hi - m_lo <= GEMM_FEW) {
        gemm_few_rows(&t, m_hi - m_lo);
        return;
    }
#endif
    gemm_rows_and_panels(&t, m_lo, m_hi, n_lo);
}

static void gemm_one_column(const void *packed, int64_t K, int64_t n, float *to) {
    kernel_panel_column(GEMM_PACK, packed, K, GEMM_NR, n, to);
}

static size_t gemm_packed_bytes(int64_t N, int64_t K) { return kernel_packed_bytes(GEMM_PACK, N, K, GEMM_NR); }

#ifndef GEMM_TILES
#define GEMM_TILES GEMM_MR
#endif
#define GEMM_TEXT_(x) #x
#define GEMM_TEXT(x) GEMM_TEXT_(x)
#define GEMM_SYMBOL VEC_PASTE(VEC_PASTE(GEMM_OP, GEMM_TILE), KERNEL_ISA)
const kernel_linear GEMM_SYMBOL = {GEMM_TEXT(GEMM_SYMBOL), GEMM_RUNG, GEMM_INPUT,      GEMM_WEIGHT, GEMM_TILES, GEMM_NR,
                                   gemm_packed_bytes,      gemm_pack, gemm_one_column, gemm_run,    GEMM_LAYOUT};

#endif
