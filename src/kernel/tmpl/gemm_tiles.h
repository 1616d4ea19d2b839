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
#define TILE_AHEAD 8  /* lines of the next panel to fetch in a step, at most: else rows are so few that fetching is all there is to do */
#undef GEMM_BLOCK_BYTES
#define GEMM_BLOCK_BYTES (512 * 1024) /* of x: processors with tiles have an L2 of 2 MiB */

typedef struct tile_config { /* what LDTILECFG reads */
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} tile_config;

typedef struct tile_scratch {
    char sums[2][2 * 16 * 2 * TILE_BYTES] __attribute__((aligned(64))); /* [rows][32]: those in the making, and those before */
    char x[2 * 16 * TILE_BYTES] __attribute__((aligned(64)));           /* the end of K, filled up with zeros */
    char w[TILE_STEPS * 2 * TILE_BYTES] __attribute__((aligned(64)));
} tile_scratch;

typedef struct tile_end { /* sums that are still to go to y: rows t.m to t.m + rows - 1 of a panel */
    gemm_tile t;
    const char *sums;
    int64_t rows;
} tile_end;

/* The registers are a thread's, and other libraries (ggml) set them up once for all their calls: *before is what they had. */
static void tiles_begin(int height, tile_config *before) {
    tile_config c;
    _tile_storeconfig(before);
    memset(&c, 0, sizeof(c));
    c.palette = 1;
    for (int i = 0; i < 8; i++) {
        c.row_bytes[i] = TILE_BYTES;
        c.rows[i] = (uint8_t)(i < 6 ? height : TILE_STEPS);
    }
    _tile_loadconfig(&c);
}

static void tiles_leave(const tile_config *before) {
    if (before->palette) _tile_loadconfig(before);
    else _tile_release();
}

VEC_INLINE void tiles_step(const int pair, const char *x0, const char *x1, int64_t x_row, const char *w, const char *next, int ahead) {
    for (int i = 0; i < ahead; i++) __builtin_prefetch(next + 64 * i, 0, 2);
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

VEC_INLINE void tiles_take(const gemm_tile *t, const char *sums, gemm_acc *c, const int mr) {
    VEC_UNROLL
    for (int i = 0; i < mr; i++) {
        VEC_UNROLL
        for (int v = 0; v < GEMM_NV; v++)
            c[i * GEMM_NV + v] = gemm_tile_sum(gemm_begin(t->args, t->m + i, t->b, v, GEMM_NR), sums + (i * GEMM_NV + v) * TILE_BYTES);
    }
}

VEC_INLINE void tiles_end_rows(tile_end *e, const int mr, const gemm_end end) {
    gemm_acc c[4 * GEMM_NV];
    tiles_take(&e->t, e->sums, c, mr);
    if (end == GEMM_END_ANY) gemm_finish(&e->t, c, mr, GEMM_NV);
    else gemm_direct(&e->t, c, mr, GEMM_NV, end);
    e->sums += mr * 2 * TILE_BYTES;
    e->t.m += mr;
    e->rows -= mr;
}

/* The next four rows of those before, or what is left. */
VEC_INLINE void tiles_end_some(tile_end *e, const gemm_end end) {
    if (e->rows >= 4) tiles_end_rows(e, 4, end);
    else
        while (e->rows > 0) tiles_end_rows(e, 1, end);
}

typedef struct tile_rows { /* two tiles of `height` rows, or one: x1 NULL */
    const char *x0, *x1;
    int64_t x_row;
    int height;
    char *sums, *sums1; /* where their sums go */
} tile_rows;

/* Sums of rows with the panel at t->b. Meanwhile `before`'s go to y: tiles and vectors are of different parts of the processor, and
 * what a tile has stored cannot be loaded at once. */
VEC_INLINE void tiles_sums(const gemm_tile *t, const int pair, const tile_rows *r, tile_scratch *s, tile_end *before, const gemm_end end) {
    const char *w = gemm_first(t, t->b), *x0 = r->x0, *x1 = r->x1, *next = t->next;
    const int64_t steps = (t->steps + TILE_STEPS - 1) / TILE_STEPS, whole = t->steps / TILE_STEPS, parts = (before->rows + 3) / 4;
    int64_t due = 0;
    _tile_zero(0);
    _tile_zero(1);
    if (pair) {
        _tile_zero(2);
        _tile_zero(3);
    }
    for (int64_t step = 0; step < whole; step++) {
        tiles_step(pair, x0, x1, r->x_row, w, next, t->ahead);
        x0 += TILE_BYTES;
        x1 += TILE_BYTES;
        w += TILE_STEPS * 2 * TILE_BYTES;
        next += 64 * t->ahead;
        for (due += parts; due >= steps; due -= steps) tiles_end_some(before, end);
    }
    if (whole < steps) {
        const size_t rest = (size_t)(t->steps - whole * TILE_STEPS);
        copy_rows(s->x, x0, r->x_row, r->height, 4 * rest);
        if (pair) copy_rows(s->x + r->height * TILE_BYTES, x1, r->x_row, r->height, 4 * rest);
        memcpy(s->w, w, 2 * TILE_BYTES * rest);
        tiles_step(pair, s->x, s->x + r->height * TILE_BYTES, TILE_BYTES, s->w, next, 0);
    }
    while (before->rows > 0) tiles_end_some(before, end);
    _tile_stored(0, r->sums, 2 * TILE_BYTES);
    _tile_stored(1, r->sums + TILE_BYTES, 2 * TILE_BYTES);
    if (pair) {
        _tile_stored(2, r->sums1, 2 * TILE_BYTES);
        _tile_stored(3, r->sums1 + TILE_BYTES, 2 * TILE_BYTES);
    }
}

typedef void tiles_fn(const gemm_tile *t, const tile_rows *r, tile_scratch *s, tile_end *before);
#define TILES_STAMP(name, END)                                                                                                             \
    VEC_NOINLINE void tiles_##name(const gemm_tile *t, const tile_rows *r, tile_scratch *s, tile_end *before) {                            \
        if (r->x1) tiles_sums(t, 1, r, s, before, END);                                                                                    \
        else tiles_sums(t, 0, r, s, before, END);                                                                                          \
    }                                                                                                                                      \
    VEC_NOINLINE void tiles_last_##name(tile_end *before) {                                                                                \
        while (before->rows > 0) tiles_end_some(before, END);                                                                              \
    }
TILES_STAMP(plain, GEMM_END_PLAIN)
TILES_STAMP(add, GEMM_END_ADD)
TILES_STAMP(times, GEMM_END_TIMES)
TILES_STAMP(gelu, GEMM_END_GELU)
TILES_STAMP(any, GEMM_END_ANY)
static const struct {
    tiles_fn *sums;                 /* sums of rows, and meanwhile the end of those before */
    void (*last)(tile_end *before); /* the end alone */
} tiles_ends[] = {
    [GEMM_END_PLAIN] = {tiles_plain, tiles_last_plain}, [GEMM_END_ADD] = {tiles_add, tiles_last_add},
    [GEMM_END_TIMES] = {tiles_times, tiles_last_times}, [GEMM_END_GELU] = {tiles_gelu, tiles_last_gelu},
    [GEMM_END_ANY] = {tiles_any, tiles_last_any},
};

/* Rows [m_lo, m_hi) of columns [n_lo, t->n_hi), whose first panel t->b is. */
static void gemm_rows_and_panels(gemm_tile *t, int64_t m_lo, int64_t m_hi, int64_t n_lo) {
    const int64_t M = m_hi - m_lo, tiles = (M + 15) / 16, height = (M + tiles - 1) / tiles, last = m_hi - height;
    const char *first = t->b;
    int64_t block = GEMM_BLOCK_BYTES / 4 / (t->steps > 0 ? t->steps : 1) / (2 * height) * (2 * height);
    if (block < 2 * height) block = 2 * height;
    tile_scratch s;
    tile_rows r = {.height = (int)height};
    tile_end before = {.rows = 0};
    if (t->steps % TILE_STEPS) {
        memset(s.x, 0, sizeof(s.x));
        memset(s.w, 0, sizeof(s.w));
    }
    tile_config others;
    tiles_begin((int)height, &others);
    int which = 0;
    gemm_end end = GEMM_END_ANY; /* of `before` */
    for (int64_t m = m_lo; m < m_hi; m += block) {
        const int64_t m_end = m_hi - m < block ? m_hi : m + block, pairs = (m_end - m + 2 * height - 1) / (2 * height);
        const int64_t whole = t->steps / TILE_STEPS;
        const int64_t ahead = whole ? (t->panel_bytes / 64 + whole * pairs - 1) / (whole * pairs) : 0;
        t->ahead = ahead <= TILE_AHEAD ? (int)ahead : 0;
        for (t->n = n_lo, t->b = first; t->n < t->n_hi; t->n += GEMM_NR, t->b += t->panel_bytes) {
            t->next = t->b + t->panel_bytes;
            for (t->m = m; t->m < m_end; t->m += 2 * height) { /* only the last tile of all begins before its first new row */
                const int64_t m1 = t->m + height, at0 = t->m < last ? t->m : last, at1 = m1 < last ? m1 : last;
                r.x0 = gemm_rows(t->args, at0, &r.x_row);
                r.x1 = m1 < m_end ? gemm_rows(t->args, at1, &r.x_row) : NULL;
                r.sums = s.sums[which];
                r.sums1 = r.sums + (at1 - at0) * 2 * TILE_BYTES;
                tiles_ends[end].sums(t, &r, &s, &before);
                before = (tile_end){*t, r.sums + (t->m - at0) * 2 * TILE_BYTES, (m1 < m_end ? at1 : at0) + height - t->m};
                end = t->n_hi - t->n >= GEMM_NR ? t->end : GEMM_END_ANY;
                which = !which;
                t->next += 64 * t->ahead * whole;
            }
        }
    }
    tiles_ends[end].last(&before);
    tiles_leave(&others);
}

#endif
