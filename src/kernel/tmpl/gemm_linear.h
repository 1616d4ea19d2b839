/* SPDX-License-Identifier: Apache-2.0
 *
 * Linear in f32, written once: the including file has included a vec_<isa>.h and defines
 *
 *     GEMM_MR      rows of the tile: 5, 6 or 12
 *     GEMM_NV      vectors of 16 columns of the tile; tile_n = 16 GEMM_NV
 *     KERNEL_ISA, GEMM_TILE   the rung and the tile for the kernel's name: avx512, 12x32
 *     GEMM_RUNG    the rung as base_isa
 *
 * In: x in place, the weight as panels of tile_n columns, each [K][tile_n]. Out: y = activation(x W + bias) + residual.
 *
 * Order of the loops: a block of rows that fits in L2, then a panel, then the tiles of the block. The panel comes through
 * L1 or L2 again and again while the rows are walked; it comes from memory once per block of rows. One to three rows
 * have too few chains in one panel to hide the latency of the multiply-add, so they take several panels at once. Neither
 * changes the order in which an output is added up.
 */
#ifndef GEMM_LINEAR_H
#define GEMM_LINEAR_H

#define GEMM_NR (16 * GEMM_NV)
#define GEMM_BLOCK_BYTES (384 * 1024) /* of x, beside a panel, in an L2 of 1 MiB */
/* Bytes of the panel that are fetched ahead. The processor's own prefetcher starts anew on every page; on Zen 4 this takes
 * K = 3072, where a panel does not stay in L2, from 78 to 87 % of the peak, and costs nothing elsewhere. */
#define GEMM_AHEAD 4096

typedef struct gemm_tile {
    const kernel_linear_args *args;
    const float *b;     /* the panel of the first column */
    int64_t m, n, n_hi; /* first row, first column, end of the columns */
} gemm_tile;

/* The tile lies in `c` (mr rows of nv vectors, bias added): activation, residual, and out to y. */
VEC_NOINLINE void gemm_finish(const gemm_tile *t, float *c, int mr, int nv) {
    const kernel_linear_args *g = t->args;
    if (g->activation != KERNEL_ACT_NONE) vec_activate(g->activation, c, mr * nv);
    for (int i = 0; i < mr; i++) {
        float *y = g->y + (t->m + i) * g->y_stride + t->n;
        const float *r = g->residual ? g->residual + (t->m + i) * g->residual_stride + t->n : NULL;
        int64_t left = t->n_hi - t->n;
        for (int v = 0; v < nv && left > 0; v++, left -= 16) {
            vec s = vec_load(c + 16 * (i * nv + v));
            if (left >= 16) {
                vec_store(y + 16 * v, r ? vec_add(s, vec_load(r + 16 * v)) : s);
            } else {
                vec_store_n(y + 16 * v, r ? vec_add(s, vec_load_n(r + 16 * v, (int)left)) : s, (int)left);
            }
        }
    }
}

VEC_INLINE vec gemm_bias(const gemm_tile *t, int v) {
    const float *bias = t->args->bias;
    int64_t left = t->n_hi - t->n - 16 * v;
    if (!bias || left <= 0) return vec_zero();
    const char *p = (const char *)bias + (t->n + 16 * v) * (int64_t)sizeof(float);
    return left >= 16 ? vec_load(p) : vec_load_n(p, (int)left);
}

VEC_INLINE void gemm_tile_body(const gemm_tile *t, const int mr) {
    vec c[GEMM_MR * GEMM_NV];
    float out[GEMM_MR * GEMM_NR];
    VEC_UNROLL
    for (int i = 0; i < mr * GEMM_NV; i++) c[i] = vec_zero();
    gemm_chain(c, mr, GEMM_NV, t->args->K, t->args->x + t->m * t->args->x_stride, t->args->x_stride, 1, t->b, GEMM_NR, GEMM_AHEAD);
    VEC_UNROLL
    for (int v = 0; v < GEMM_NV; v++) {
        vec bias = gemm_bias(t, v);
        VEC_UNROLL
        for (int i = 0; i < mr; i++) vec_store(out + 16 * (i * GEMM_NV + v), vec_add(c[i * GEMM_NV + v], bias));
    }
    gemm_finish(t, out, mr, GEMM_NV);
}

/* mr rows (1 to 3) of `panels` panels at once. */
VEC_INLINE void gemm_wide_body(const gemm_tile *t, const int mr, const int panels) {
    vec c[12 * GEMM_NV];
    float out[12 * GEMM_NR];
    const kernel_linear_args *g = t->args;
    const float *x = g->x + t->m * g->x_stride;
    int64_t panel = g->K * GEMM_NR;
    VEC_UNROLL
    for (int i = 0; i < mr * panels * GEMM_NV; i++) c[i] = vec_zero();
    for (int64_t k = 0; k < g->K; k++) {
        vec s[3];
        VEC_UNROLL
        for (int i = 0; i < mr; i++) s[i] = vec_set1(x[i * g->x_stride + k]);
        VEC_UNROLL
        for (int v = 0; v < panels * GEMM_NV; v++) {
            vec b = vec_load(t->b + v / GEMM_NV * panel + k * GEMM_NR + v % GEMM_NV * 16);
            VEC_UNROLL
            for (int i = 0; i < mr; i++) c[i * panels * GEMM_NV + v] = vec_fma(s[i], b, c[i * panels * GEMM_NV + v]);
        }
    }
    VEC_UNROLL
    for (int v = 0; v < panels * GEMM_NV; v++) {
        vec bias = gemm_bias(t, v);
        VEC_UNROLL
        for (int i = 0; i < mr; i++) vec_store(out + 16 * (i * panels * GEMM_NV + v), vec_add(c[i * panels * GEMM_NV + v], bias));
    }
    gemm_finish(t, out, mr, panels * GEMM_NV);
}

/* clang-format off */
#define GEMM_STAMP(mr) \
    VEC_NOINLINE void gemm_tile_##mr(const gemm_tile *t) { gemm_tile_body(t, mr); }
GEMM_STAMP(1) GEMM_STAMP(2) GEMM_STAMP(3) GEMM_STAMP(4) GEMM_STAMP(5)
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
    gemm_tile_1, gemm_tile_2, gemm_tile_3, gemm_tile_4,  gemm_tile_5,
#if GEMM_MR > 5
    gemm_tile_6,
#endif
#if GEMM_MR > 6
    gemm_tile_7, gemm_tile_8, gemm_tile_9, gemm_tile_10, gemm_tile_11, gemm_tile_12,
#endif
};

/* Rows [m_lo, m_hi) of one panel, cut into tiles of nearly equal heights: 13 rows are 7 + 6, not 12 + 1. */
static void gemm_panel(gemm_tile *t, int64_t m_lo, int64_t m_hi) {
    int64_t tiles = (m_hi - m_lo + GEMM_MR - 1) / GEMM_MR;
    for (t->m = m_lo; tiles > 0; tiles--) {
        int64_t height = (m_hi - t->m + tiles - 1) / tiles;
        gemm_tiles[height - 1](t);
        t->m += height;
    }
}

static void gemm_few_rows(gemm_tile *t, int64_t rows, int64_t panel_floats) {
    static void (*const wide[])(const gemm_tile *) = {gemm_wide_1, gemm_wide_2, gemm_wide_3};
    int64_t step = rows == 1 ? 4 : 2; /* panels */
    while (t->n < t->n_hi) {
        bool all = t->n_hi - t->n > (step - 1) * GEMM_NR; /* else the last panels would lie outside the weight */
        if (all) wide[rows - 1](t);
        else gemm_tiles[rows - 1](t);
        t->n += all ? step * GEMM_NR : GEMM_NR;
        t->b += all ? step * panel_floats : panel_floats;
    }
}

static void gemm_run(const kernel_linear_args *args, int64_t m_lo, int64_t m_hi, int64_t n_lo, int64_t n_hi) {
    int64_t panel_floats = args->K * GEMM_NR;
    const float *first = (const float *)args->w + n_lo / GEMM_NR * panel_floats;
    if (m_hi <= m_lo || n_hi <= n_lo) return;
    if (m_hi - m_lo <= 3) {
        gemm_tile t = {args, first, m_lo, n_lo, n_hi};
        gemm_few_rows(&t, m_hi - m_lo, panel_floats);
        return;
    }
    int64_t block = GEMM_BLOCK_BYTES / (int64_t)sizeof(float) / (args->K > 0 ? args->K : 1) / GEMM_MR * GEMM_MR;
    if (block < 2 * GEMM_MR) block = 2 * GEMM_MR;
    for (int64_t m = m_lo; m < m_hi; m += block) {
        int64_t m_end = m_hi - m < block ? m_hi : m + block;
        gemm_tile t = {args, first, m, n_lo, n_hi};
        for (; t.n < n_hi; t.n += GEMM_NR, t.b += panel_floats) gemm_panel(&t, m, m_end);
    }
}

static size_t gemm_packed_bytes(int64_t N, int64_t K) { return kernel_packed_bytes(KERNEL_PACK_F32, N, K, GEMM_NR); }
static void gemm_pack(const float *w, int64_t k_stride, int64_t n_stride, int64_t N, int64_t K, int64_t n_lo, int64_t n_hi, void *packed) {
    kernel_pack_panels(KERNEL_PACK_F32, w, k_stride, n_stride, N, K, n_lo, n_hi, GEMM_NR, packed);
}

#define GEMM_TEXT_(x) #x
#define GEMM_TEXT(x) GEMM_TEXT_(x)
#define GEMM_SYMBOL VEC_PASTE(VEC_PASTE(nk_gemm_f32_f32_f32, GEMM_TILE), KERNEL_ISA)
const kernel_linear GEMM_SYMBOL = {GEMM_TEXT(GEMM_SYMBOL), GEMM_RUNG, KERNEL_INPUT_F32, GEMM_MR, GEMM_NR, gemm_packed_bytes, gemm_pack, gemm_run};

#endif
