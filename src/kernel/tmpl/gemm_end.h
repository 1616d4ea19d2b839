/* SPDX-License-Identifier: Apache-2.0
 *
 * What a Linear does with a tile of sums: bias, activation, residual, out to y. In: sums in registers or in memory, as the format of
 * gemm_linear.h's including file has them. Out: rows of y. Also what a tile is, and where a panel's numbers begin.
 */
#ifndef GEMM_END_H
#define GEMM_END_H

#define GEMM_NR (16 * GEMM_NV)
#ifdef GEMM_FOLD
#define GEMM_STEP_BYTES (GEMM_NV * (GEMM_SCALES + GEMM_FOLD / 2 * GEMM_TWO_STEPS)) /* of a block of a panel */
#else
#define GEMM_STEP_BYTES (GEMM_NV * GEMM_STEP_W) /* of a step of a panel */
#endif
#include "gemm_pack.h"

/* What follows the sums. All but the last goes straight from registers to y, in a piece of code of its own. */
typedef enum gemm_end { GEMM_END_PLAIN, GEMM_END_ADD, GEMM_END_TIMES, GEMM_END_GELU, GEMM_END_ANY } gemm_end;

typedef struct gemm_tile {
    const kernel_linear_args *args;
    gemm_end end;
    const char *b;       /* the panel of the first column */
    int64_t panel_bytes; /* from panel to panel */
    int64_t steps;       /* along K: as GEMM_STEP_W counts them, or blocks */
    int64_t m, n, n_hi;  /* first row, first column, end of the columns */
    const char *next;    /* part of the next panel */
    int64_t next_step;
    int ahead; /* of tiles: lines of the next panel to fetch in a step */
} gemm_tile;

VEC_INLINE vec gemm_bias(const gemm_tile *t, int v) {
    const float *bias = t->args->bias;
    int64_t left = t->n_hi - t->n - 16 * v;
    if (!bias || left <= 0) return vec_zero();
    const char *p = (const char *)bias + (t->n + 16 * v) * (int64_t)sizeof(float);
    return left >= 16 ? vec_load(p) : vec_load_n(p, (int)left);
}

/* Vector v of row i of the tile, with the residual, out to y. */
VEC_INLINE void gemm_store(const gemm_tile *t, int i, int v, int64_t left, vec s) {
    const kernel_linear_args *g = t->args;
    float *y = g->y + (t->m + i) * g->y_stride + t->n + 16 * v;
    const float *r = g->residual ? g->residual + (t->m + i) * g->residual_stride + t->n + 16 * v : NULL;
    if (r) {
        vec other = left >= 16 ? vec_load(r) : vec_load_n(r, (int)left);
        s = g->residual_multiplies ? vec_mul(s, other) : vec_add(s, other);
    }
    if (left >= 16) vec_store(y, s);
    else vec_store_n(y, s, (int)left);
}

static void gemm_activate(kernel_activation activation, float *y, int vectors) {
    if (activation != KERNEL_ACT_GELU_ERF) vec_activate(activation, y, vectors);
    else
        for (int i = 0; i < vectors; i++) vec_store(y + 16 * i, GEMM_GELU_ERF(vec_load(y + 16 * i)));
}

/* `left` of the panel's columns are real. */
VEC_INLINE void gemm_finish_panel(const gemm_tile *t, const gemm_acc *c, int mr, int c_row, int panel, int64_t left) {
    const kernel_linear_args *g = t->args;
    const char *b = t->b + panel * t->panel_bytes;
    gemm_column column[GEMM_NV];
    float out[12 * GEMM_NR];
    VEC_UNROLL
    for (int v = 0; v < GEMM_NV; v++) column[v] = gemm_column_at(b, v, GEMM_NR, gemm_bias(t, panel * GEMM_NV + v));
    for (int i = 0; i < mr; i++) {
        const gemm_row row = gemm_row_at(g, t->m + i);
        VEC_UNROLL
        for (int v = 0; v < GEMM_NV; v++)
            vec_store(out + 16 * (i * GEMM_NV + v), gemm_value(c[i * c_row + panel * GEMM_NV + v], row, column[v]));
    }
    gemm_activate(g->activation, out, mr * GEMM_NV);
    for (int i = 0; i < mr; i++) {
        for (int v = 0; v < GEMM_NV && left > 16 * v; v++)
            gemm_store(t, i, panel * GEMM_NV + v, left - 16 * v, vec_load(out + 16 * (i * GEMM_NV + v)));
    }
}

/* The end for whatever has no code of its own, and for panels with fewer columns: the sums lie in `c` as mr rows of nv vectors. */
VEC_NOINLINE void gemm_finish(const gemm_tile *t, const gemm_acc *c, int mr, int nv) {
    for (int p = 0; p < nv / GEMM_NV; p++) gemm_finish_panel(t, c, mr, nv, p, t->n_hi - t->n - p * GEMM_NR);
}

static gemm_end gemm_end_of(const kernel_linear_args *g) {
    if (g->activation == KERNEL_ACT_GELU_ERF) return g->residual ? GEMM_END_ANY : GEMM_END_GELU;
    if (g->activation != KERNEL_ACT_NONE) return GEMM_END_ANY;
    return !g->residual ? GEMM_END_PLAIN : g->residual_multiplies ? GEMM_END_TIMES : GEMM_END_ADD;
}

/* All columns of a tile are real, and its sums, mr rows of nv vectors, still in registers: a detour by memory, with one code for all
 * ends, took 150 cycles more a tile of 12x32 on Zen 4, of the 2300 that K = 384 takes in q8. What the loop reads is copied first: a
 * store to y might change it, and clang 14 gives up unrolling a loop that reads it anew in each round. */
VEC_INLINE void gemm_direct(const gemm_tile *t, const gemm_acc *c, const int mr, const int nv, const gemm_end end) {
    const kernel_linear_args g = *t->args;
    const int64_t m = t->m;
    gemm_column column[4 * GEMM_NV];
    VEC_UNROLL
    for (int v = 0; v < nv; v++) column[v] = gemm_column_at(t->b + v / GEMM_NV * t->panel_bytes, v % GEMM_NV, GEMM_NR, gemm_bias(t, v));
    float *y = g.y + m * g.y_stride + t->n;
    const float *r = end == GEMM_END_ADD || end == GEMM_END_TIMES ? g.residual + m * g.residual_stride + t->n : y;
    VEC_UNROLL
    for (int i = 0; i < mr; i++) {
        const gemm_row row = gemm_row_at(&g, m + i);
        VEC_UNROLL
        for (int v = 0; v < nv; v++) {
            vec s = gemm_value(c[i * nv + v], row, column[v]);
            if (end == GEMM_END_ADD) s = vec_add(s, vec_load(r + i * g.residual_stride + 16 * v));
            if (end == GEMM_END_TIMES) s = vec_mul(s, vec_load(r + i * g.residual_stride + 16 * v));
            if (end == GEMM_END_GELU) s = GEMM_GELU_ERF(s);
            vec_store(y + i * g.y_stride + 16 * v, s);
        }
    }
}

VEC_INLINE void gemm_end_tile(const gemm_tile *t, const gemm_acc *c, const int mr, const int nv) {
    gemm_acc out[12 * GEMM_NV];
    switch (t->n_hi - t->n >= 16 * nv ? t->end : GEMM_END_ANY) {
    case GEMM_END_PLAIN: gemm_direct(t, c, mr, nv, GEMM_END_PLAIN); return;
    case GEMM_END_ADD: gemm_direct(t, c, mr, nv, GEMM_END_ADD); return;
    case GEMM_END_TIMES: gemm_direct(t, c, mr, nv, GEMM_END_TIMES); return;
    case GEMM_END_GELU: gemm_direct(t, c, mr, nv, GEMM_END_GELU); return;
    case GEMM_END_ANY: break;
    }
    VEC_UNROLL
    for (int i = 0; i < mr * nv; i++) out[i] = c[i];
    gemm_finish(t, out, mr, nv);
}

/* A panel's first step; what the format keeps before it is a whole number of its columns. */
VEC_INLINE const char *gemm_first(const gemm_tile *t, const char *panel) { return panel + t->panel_bytes - t->steps * GEMM_STEP_BYTES; }

#endif
