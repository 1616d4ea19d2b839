/* SPDX-License-Identifier: Apache-2.0
 *
 * A Linear's products in tile registers, which hold 16 rows of 64 bytes and are multiplied whole (Intel's AMX, "Architecture
 * Instruction Set Extensions Programming Reference", chapter on AMX). In: x in place and panels as gemm_linear.h has them, of 32
 * columns: 16 steps of a panel are two tiles side by side. Out: sums in memory, which gemm_end.h's ends take from there.
 *
 * The including file gives GEMM_TILE_MADD(c, a, b) (c, a, b: numbers of tiles, constants) and gemm_tile_sum.
 *
 * Two tiles of rows meet two of columns: tiles 0 to 3 are sums, 4 and 5 rows, 6 and 7 columns. M rows are cut into tiles of one
 * height, because another height means to set up the registers anew; the last begins early enough to end with M, and what it has
 * twice is not written twice. K that is no multiple of 64 bytes ends with a step on copies that zeros fill up.
 */
#ifndef GEMM_TILES_H
#define GEMM_TILES_H

#include <string.h>

#define TILE_BYTES 64 /* of a row */
#define TILE_STEPS 16 /* of a panel */

typedef struct tile_config { /* what LDTILECFG reads */
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} tile_config;

typedef struct tile_scratch {
    char sums[2 * 16 * 2 * TILE_BYTES] __attribute__((aligned(64))); /* [rows][32] */
    char x[2 * 16 * TILE_BYTES] __attribute__((aligned(64)));        /* the end of K, filled up with zeros */
    char w[TILE_STEPS * 2 * TILE_BYTES] __attribute__((aligned(64)));
} tile_scratch;

static void tiles_begin(int height) {
    tile_config c;
    memset(&c, 0, sizeof(c));
    c.palette = 1;
    for (int i = 0; i < 8; i++) {
        c.row_bytes[i] = TILE_BYTES;
        c.rows[i] = (uint8_t)(i < 6 ? height : TILE_STEPS);
    }
    _tile_loadconfig(&c);
}

VEC_INLINE void tiles_step(const int pair, const char *x0, const char *x1, int64_t x_row, const char *w) {
    _tile_loadd(6, w, 2 * TILE_BYTES);
    _tile_loadd(4, x0, x_row);
    _tile_loadd(7, w + TILE_BYTES, 2 * TILE_BYTES);
    GEMM_TILE_MADD(0, 4, 6);
    if (pair) _tile_loadd(5, x1, x_row);
    GEMM_TILE_MADD(1, 4, 7);
    if (!pair) return;
    GEMM_TILE_MADD(2, 5, 6);
    GEMM_TILE_MADD(3, 5, 7);
}

static void copy_rows(char *to, const char *x, int64_t x_row, int height, size_t bytes) {
    for (int i = 0; i < height; i++) memcpy(to + i * TILE_BYTES, x + i * x_row, bytes);
}

/* Sums of the `height` rows that begin at m0, and in a pair of those at m1, with the panel at t->b. */
VEC_INLINE void tiles_sums(const gemm_tile *t, const int pair, int64_t m0, int64_t m1, int height, tile_scratch *s) {
    int64_t x_row;
    const char *w = gemm_first(t, t->b), *x0 = gemm_rows(t->args, m0, &x_row), *x1 = gemm_rows(t->args, m1, &x_row);
    _tile_zero(0);
    _tile_zero(1);
    if (pair) {
        _tile_zero(2);
        _tile_zero(3);
    }
    int64_t step = 0;
    for (; step + TILE_STEPS <= t->steps; step += TILE_STEPS) {
        tiles_step(pair, x0, x1, x_row, w);
        x0 += TILE_BYTES;
        x1 += TILE_BYTES;
        w += TILE_STEPS * 2 * TILE_BYTES;
    }
    if (step < t->steps) {
        const size_t rest = (size_t)(t->steps - step);
        copy_rows(s->x, x0, x_row, height, 4 * rest);
        if (pair) copy_rows(s->x + height * TILE_BYTES, x1, x_row, height, 4 * rest);
        memcpy(s->w, w, 2 * TILE_BYTES * rest);
        tiles_step(pair, s->x, s->x + height * TILE_BYTES, TILE_BYTES, s->w);
    }
    char *second = s->sums + height * 2 * TILE_BYTES;
    _tile_stored(0, s->sums, 2 * TILE_BYTES);
    _tile_stored(1, s->sums + TILE_BYTES, 2 * TILE_BYTES);
    if (pair) {
        _tile_stored(2, second, 2 * TILE_BYTES);
        _tile_stored(3, second + TILE_BYTES, 2 * TILE_BYTES);
    }
}

VEC_INLINE void tiles_take(const gemm_tile *t, const char *sums, gemm_acc *c, const int mr) {
    VEC_UNROLL
    for (int i = 0; i < mr; i++) {
        VEC_UNROLL
        for (int v = 0; v < GEMM_NV; v++)
            c[i * GEMM_NV + v] = gemm_tile_sum(gemm_begin(t->args, t->m + i, t->b, v, GEMM_NR), sums + (i * GEMM_NV + v) * TILE_BYTES);
    }
}

/* The rows from t->m on, whose sums these are, out to y. */
VEC_INLINE void tiles_end(gemm_tile *t, const char *sums, int64_t rows, const gemm_end end) {
    gemm_acc c[4 * GEMM_NV];
    for (; rows >= 4; rows -= 4, sums += 4 * 2 * TILE_BYTES, t->m += 4) {
        tiles_take(t, sums, c, 4);
        if (end == GEMM_END_ANY) gemm_finish(t, c, 4, GEMM_NV);
        else gemm_direct(t, c, 4, GEMM_NV, end);
    }
    for (; rows > 0; rows--, sums += 2 * TILE_BYTES, t->m++) {
        tiles_take(t, sums, c, 1);
        if (end == GEMM_END_ANY) gemm_finish(t, c, 1, GEMM_NV);
        else gemm_direct(t, c, 1, GEMM_NV, end);
    }
}

VEC_NOINLINE void tiles_end_plain(gemm_tile *t, const char *sums, int64_t rows) { tiles_end(t, sums, rows, GEMM_END_PLAIN); }
VEC_NOINLINE void tiles_end_add(gemm_tile *t, const char *sums, int64_t rows) { tiles_end(t, sums, rows, GEMM_END_ADD); }
VEC_NOINLINE void tiles_end_times(gemm_tile *t, const char *sums, int64_t rows) { tiles_end(t, sums, rows, GEMM_END_TIMES); }
VEC_NOINLINE void tiles_end_gelu(gemm_tile *t, const char *sums, int64_t rows) { tiles_end(t, sums, rows, GEMM_END_GELU); }
VEC_NOINLINE void tiles_end_any(gemm_tile *t, const char *sums, int64_t rows) { tiles_end(t, sums, rows, GEMM_END_ANY); }

/* Rows [m_lo, m_hi) of columns [n_lo, t->n_hi), whose first panel t->b is. */
static void gemm_rows_and_panels(gemm_tile *t, int64_t m_lo, int64_t m_hi, int64_t n_lo) {
    static void (*const ends[])(gemm_tile *, const char *, int64_t) = {
        [GEMM_END_PLAIN] = tiles_end_plain, [GEMM_END_ADD] = tiles_end_add, [GEMM_END_TIMES] = tiles_end_times,
        [GEMM_END_GELU] = tiles_end_gelu,   [GEMM_END_ANY] = tiles_end_any,
    };
    const int64_t M = m_hi - m_lo, tiles = (M + 15) / 16, last = m_hi - (M + tiles - 1) / tiles;
    const int height = (int)((M + tiles - 1) / tiles);
    const char *first = t->b;
    int64_t block = GEMM_BLOCK_BYTES / 4 / (t->steps > 0 ? t->steps : 1) / (2 * height) * (2 * height);
    if (block < 2 * height) block = 2 * height;
    tile_scratch s;
    if (t->steps % TILE_STEPS) {
        memset(s.x, 0, sizeof(s.x));
        memset(s.w, 0, sizeof(s.w));
    }
    tiles_begin(height);
    for (int64_t m = m_lo; m < m_hi; m += block) {
        const int64_t m_end = m_hi - m < block ? m_hi : m + block;
        for (t->n = n_lo, t->b = first; t->n < t->n_hi; t->n += GEMM_NR, t->b += t->panel_bytes) {
            void (*const end)(gemm_tile *, const char *, int64_t) = ends[t->n_hi - t->n >= GEMM_NR ? t->end : GEMM_END_ANY];
            for (int64_t m0 = m; m0 < m_end; m0 += 2 * height) { /* at most one tile of all begins before m0 or m1 */
                const int64_t m1 = m0 + height < m_end ? m0 + height : -1, at0 = m0 < last ? m0 : last, at1 = m1 < last ? m1 : last;
                if (m1 >= 0) tiles_sums(t, 1, at0, at1, height, &s);
                else tiles_sums(t, 0, at0, at0, height, &s);
                t->m = m0;
                end(t, s.sums + (m0 - at0) * 2 * TILE_BYTES, at0 + height - m0);
                if (m1 < 0) continue;
                t->m = m1;
                end(t, s.sums + (height + m1 - at1) * 2 * TILE_BYTES, at1 + height - m1);
            }
        }
    }
    _tile_release();
}

#endif
