/* SPDX-License-Identifier: Apache-2.0
 *
 * Attention with integer products, written once: the including file has included a dot_<rung>.h, vec_math.h, gemm_format_q8.h and
 * gemm_core.h twice (once with the prefix `pair`) and defines ATTN_MR, ATTN_NV (as attention.h), KERNEL_ISA and ATTN_NAME.
 *
 * Scores are products of s8: each query and each key has one scale, max |x| / 127. That costs no quality that can be measured: they
 * only steer the softmax. Weights are rounded to 1/4095 and values to 1/8191 of the largest of the same dimension in
 * their tile of keys, and their products are of s16: 64 of them fit an s32. All sums are exact, so every rung gives the same bits.
 *
 * A lane is a query. Tiles of keys are the outer loop: a tile is packed once for up to KERNEL_ATTENTION_PANELS panels of queries:
 *
 *     k8  [64][D]        key + 128 as u8; a query's lane starts its sum with -128 times the sum of its numbers
 *     v16 [32][D][2]     two keys side by side
 *     p   [64][lanes]    scores, in units of the query's scale; then, packed, weights: p16 [32][lanes][2]
 *
 * A key's NaN or infinity makes NaN of every query that looks at it; a value's, of every query that looks at its tile.
 */
#ifndef ATTENTION_Q8_H
#define ATTENTION_Q8_H

#include "attention_parts.h"
#include <float.h>

#define Q8_MAGIC 12582912.0f /* 1.5 * 2^23: a small number added to it is rounded to an integer, found in the lowest bits */
#define Q8_WEIGHT 4095.0f
#define Q8_VALUE 8191.0f

typedef struct q8_panel {
    attn at;        /* row, rows, lo, hi, largest, sum, ot; p is the tile's */
    int32_t *start; /* [lanes] of the sums of its scores */
    float *scale;   /* [lanes] of a score, in units of log2 e */
    char *q;        /* [D / 4][lanes][4] */
} q8_panel;

typedef struct q8_tile {
    uint8_t *k8;
    float *k_scale; /* [64] */
    int16_t *v16;
    float *v_scale; /* [D] of a sum */
    float *p;
    char *p16;
    float *spare; /* [D][lanes] */
    bool finite;  /* all values are */
} q8_tile;

/* max |x| / most, and a number to multiply by. Numbers so small that the inverse overflows count as 0; if not all are finite, both are
 * NaN or of no account. */
VEC_INLINE vec q8_scale(vec largest, vec most, vec *inverse) {
    vec one = vec_set1(1.0f), scale = vec_div(largest, most);
    scale = vec_select_lt(scale, vec_set1(FLT_MIN), one, scale);
    *inverse = vec_div(one, scale);
    return vec_fma(largest, vec_zero(), scale);
}

/* Queries as columns of a product; `turned` [D][lanes] is scratch. */
static void q8_pack_queries(q8_panel *panel, float *turned) {
    const attn *t = &panel->at;
    const kernel_attention_args *g = t->args;
    const int D = g->head_dim, nv = (t->rows + 15) / 16;
    for (int v = 0; v < nv; v++) {
        float *q = turned + 16 * v, sums[16];
        int rows = t->rows - 16 * v < 16 ? t->rows - 16 * v : 16;
        vec largest = vec_zero(), sum = vec_zero(), inverse;
        attn_turn_in(g->q + (t->row + 16 * v) * g->q_stride + (int64_t)t->head * D, g->q_stride, rows, D, 1.0f, q, ATTN_LANES);
        for (int d = 0; d < D; d++) largest = vec_max_abs(largest, vec_load(q + d * ATTN_LANES));
        vec scale = q8_scale(largest, vec_set1(127.0f), &inverse), magic = vec_set1(Q8_MAGIC);
        for (int d = 0; d < D; d += 4) {
            vec x[4];
            VEC_UNROLL
            for (int i = 0; i < 4; i++) {
                x[i] = vec_fma(vec_load(q + (d + i) * ATTN_LANES), inverse, magic);
                sum = vec_add(sum, vec_sub(x[i], magic));
            }
            vec_store_low8_of4(panel->q + (d * ATTN_LANES + 64 * v), x);
        }
        vec_store(panel->scale + 16 * v, vec_mul(scale, vec_set1(g->scale * ATTN_LOG2E)));
        vec_store(sums, sum);
        for (int i = 0; i < 16; i++) panel->start[16 * v + i] = (DOT_SHIFT - 128) * (sums[i] == sums[i] ? (int32_t)sums[i] : 0);
    }
}

/* Keys as rows of a product, 16 at a time: turned around, their largest numbers are found lane by lane. */
static void q8_pack_keys(const attn_run *r, int D, uint8_t *k8, float *scales) {
    const vec magic = vec_set1(Q8_MAGIC + 128.0f);
    for (int j = 0; j < r->count; j += 16) {
        const float *k = r->k + j * r->k_stride;
        int n = r->count - j < 16 ? r->count - j : 16;
        float factors[16];
        vec m[16], inverse;
        for (int i = 0; i < 16; i++) {
            m[i] = vec_zero();
            for (int d = 0; i < n && d < D; d += 16) m[i] = vec_max_abs(m[i], vec_load(k + i * r->k_stride + d));
        }
        vec_transpose(m);
        VEC_UNROLL
        for (int step = 8; step > 0; step /= 2) {
            VEC_UNROLL
            for (int i = 0; i < step; i++) m[i] = vec_max_abs(m[i], m[i + step]);
        }
        vec_store_n(scales + j, q8_scale(m[0], vec_set1(127.0f), &inverse), n);
        vec_store(factors, inverse);
        for (int i = 0; i < n; i++) {
            const vec f = vec_set1(factors[i]);
            for (int d = 0; d < D; d += 16) vec_store_low8(k8 + (j + i) * D + d, vec_fma(vec_load(k + i * r->k_stride + d), f, magic));
        }
    }
}

/* Values as rows of a product, two keys side by side; an odd last key stands beside zeros. False if not all are finite. */
static bool q8_pack_values(const attn_run *r, int D, int16_t *v16, float *scales) {
    const vec magic = vec_set1(Q8_MAGIC);
    vec all = vec_zero();
    for (int d = 0; d < D; d += 16) {
        vec largest = vec_zero(), inverse;
        for (int j = 0; j < r->count; j++) largest = vec_max_abs(largest, vec_load(r->v + j * r->v_stride + d));
        all = vec_fma(largest, vec_zero(), all);
        vec_store(scales + d, vec_mul(q8_scale(largest, vec_set1(Q8_VALUE), &inverse), vec_set1(1.0f / Q8_WEIGHT)));
        for (int j = 0; j < r->count; j += 2) {
            const float *v = r->v + j * r->v_stride + d;
            vec second = j + 1 < r->count ? vec_fma(vec_load(v + r->v_stride), inverse, magic) : magic;
            vec_store_low16_of2(v16 + (j * D + 2 * d), vec_fma(vec_load(v), inverse, magic), second);
        }
    }
    return vec_sum(all) == 0.0f;
}

/* What follows the sums stands in functions of its own and reads them from memory: a tile that did more with its accumulators than store
 * them would be more than gcc can keep in registers. */
VEC_NOINLINE void q8_score_finish(const dot_acc *c, const float *k_scale, float *p, int mr, int nv) {
    for (int i = 0; i < mr; i++) {
        for (int v = 0; v < nv; v++) vec_store(p + i * ATTN_LANES + 16 * v, vec_mul(dot_float(c[i * nv + v]), vec_set1(k_scale[i])));
    }
}

VEC_NOINLINE void q8_add_finish(const dot_acc *c, const float *v_scale, const float *shrink, float *o, int mr, int nv) {
    for (int v = 0; v < nv; v++) {
        const vec s = vec_load(shrink + 16 * v);
        for (int i = 0; i < mr; i++) {
            float *to = o + i * ATTN_LANES + 16 * v;
            vec_store(to, vec_fma(dot_float(c[i * nv + v]), vec_set1(v_scale[i]), vec_mul(vec_load(to), s)));
        }
    }
}

/* p[i] = key i . query for mr keys. */
VEC_INLINE void q8_score(const uint8_t *k8, const float *k_scale, int64_t D, const char *q, const int32_t *start, float *p, const int mr,
                         const int nv) {
    dot_acc c[ATTN_MR * ATTN_NV], out[ATTN_MR * ATTN_NV];
    VEC_UNROLL
    for (int i = 0; i < mr * nv; i++) c[i] = dot_from(start + 16 * (i % nv));
    gemm_chain(c, mr, nv, D / 4, (const char *)k8, D, 4, q, ATTN_LANES * 4, 0, NULL, 0);
    VEC_UNROLL
    for (int i = 0; i < mr * nv; i++) out[i] = c[i];
    q8_score_finish(out, k_scale, p, mr, nv);
}

/* o[i] = o[i] * shrink + v_scale[i] * (sum over pairs of keys of value[pair][i] . weight[pair]) for mr of the D numbers of a value. */
VEC_INLINE void q8_add(const int16_t *v16, const float *v_scale, int64_t D, const char *p16, int64_t pairs, const float *shrink, float *o,
                       const int mr, const int nv) {
    dot_acc c[ATTN_MR * ATTN_NV], out[ATTN_MR * ATTN_NV];
    VEC_UNROLL
    for (int i = 0; i < mr * nv; i++) c[i] = dot_zero();
    pair_chain(c, mr, nv, pairs, (const char *)v16, 4, 4 * D, p16, ATTN_LANES * 4, 0, NULL, 0);
    VEC_UNROLL
    for (int i = 0; i < mr * nv; i++) out[i] = c[i];
    q8_add_finish(out, v_scale, shrink, o, mr, nv);
}

typedef void q8_score_fn(const uint8_t *k8, const float *k_scale, int64_t D, const char *q, const int32_t *start, float *p);
typedef void q8_add_fn(const int16_t *v16, const float *v_scale, int64_t D, const char *p16, int64_t pairs, const float *shrink, float *o);

#define Q8_STAMP(mr, nv)                                                                                                                   \
    VEC_NOINLINE void q8_score_##mr##_##nv(const uint8_t *k8, const float *k_scale, int64_t D, const char *q, const int32_t *start,        \
                                           float *p) {                                                                                     \
        q8_score(k8, k_scale, D, q, start, p, mr, nv);                                                                                     \
    }                                                                                                                                      \
    VEC_NOINLINE void q8_add_##mr##_##nv(const int16_t *v16, const float *v_scale, int64_t D, const char *p16, int64_t pairs,              \
                                         const float *shrink, float *o) {                                                                  \
        q8_add(v16, v_scale, D, p16, pairs, shrink, o, mr, nv);                                                                            \
    }
#define Q8_SCORE_NAME(mr, nv) q8_score_##mr##_##nv,
#define Q8_ADD_NAME(mr, nv) q8_add_##mr##_##nv,

ATTN_HEIGHTS(Q8_STAMP, 1)
#if ATTN_NV > 1
ATTN_HEIGHTS(Q8_STAMP, 2)
#endif

/* [vectors - 1][rows - 1] */
static q8_score_fn *const q8_scores[ATTN_NV][ATTN_MR] = {
    {ATTN_HEIGHTS(Q8_SCORE_NAME, 1)},
#if ATTN_NV > 1
    {ATTN_HEIGHTS(Q8_SCORE_NAME, 2)},
#endif
};
static q8_add_fn *const q8_adds[ATTN_NV][ATTN_MR] = {
    {ATTN_HEIGHTS(Q8_ADD_NAME, 1)},
#if ATTN_NV > 1
    {ATTN_HEIGHTS(Q8_ADD_NAME, 2)},
#endif
};

/* One step of the online softmax, as attention.h's; weights are rounded and packed on the way. */
VEC_INLINE void q8_softmax(const q8_panel *panel, const float *p, char *p16, int n, const int nv) {
    enum { CHAINS = 4 }; /* a maximum has no order, so it need not wait for itself */
    const attn *t = &panel->at;
    vec m[CHAINS * ATTN_NV], minus[ATTN_NV], scale[ATTN_NV], sum[ATTN_NV];
    const vec magic = vec_set1(Q8_MAGIC), most = vec_set1(Q8_WEIGHT);
    VEC_UNROLL
    for (int i = 0; i < CHAINS * nv; i++) m[i] = vec_set1(-INFINITY);
    int j = 0;
    for (; j + CHAINS <= n; j += CHAINS) {
        VEC_UNROLL
        for (int i = 0; i < CHAINS * nv; i++) m[i] = vec_max(vec_load(p + (j + i / nv) * ATTN_LANES + 16 * (i % nv)), m[i]);
    }
    for (; j < n; j++) {
        VEC_UNROLL
        for (int v = 0; v < nv; v++) m[v] = vec_max(vec_load(p + j * ATTN_LANES + 16 * v), m[v]);
    }
    VEC_UNROLL
    for (int v = 0; v < nv; v++) {
        vec old = vec_load(t->largest + 16 * v), largest = vec_max(vec_max(m[v], m[nv + v]), vec_max(m[2 * nv + v], m[3 * nv + v]));
        scale[v] = vec_load(panel->scale + 16 * v);
        largest = vec_max(vec_mul(largest, scale[v]), old);
        minus[v] = vec_sub(vec_zero(), largest);
        sum[v] = vec_zero();
        vec_store(t->largest + 16 * v, largest);
        vec_store(t->shrink + 16 * v, vec_exp2(vec_sub(old, largest)));
    }
    for (j = 0; j < n; j += 2) {
        VEC_UNROLL
        for (int v = 0; v < nv; v++) {
            const float *s = p + j * ATTN_LANES + 16 * v;
            vec a = vec_exp2(vec_fma(vec_load(s), scale[v], minus[v])), b = vec_zero();
            if (j + 1 < n) b = vec_exp2(vec_fma(vec_load(s + ATTN_LANES), scale[v], minus[v]));
            sum[v] = vec_add(sum[v], vec_add(a, b));
            vec_store_low16_of2(p16 + (j / 2 * ATTN_LANES * 4 + 64 * v), vec_fma(a, most, magic), vec_fma(b, most, magic));
        }
    }
    VEC_UNROLL
    for (int v = 0; v < nv; v++) vec_store(t->sum + 16 * v, vec_fma(vec_load(t->sum + 16 * v), vec_load(t->shrink + 16 * v), sum[v]));
}

/* A query that looks at no key of a tile keeps what it had, whatever the tile holds. */
static void q8_keep_blind(const attn *t, int64_t begin, int64_t end, const float *before) {
    for (int l = 0; l < t->rows; l++) {
        bool sees = false;
        for (int64_t key = begin; key < end && !sees; key++) sees = attn_position(t, key) >= t->lo[l] && attn_position(t, key) <= t->hi[l];
        for (int d = 0; d < t->args->head_dim && !sees; d++) t->ot[d * ATTN_LANES + l] = before[d * ATTN_LANES + l];
    }
}

/* The panel looks at the tile of keys [begin, end). */
static void q8_look(q8_panel *panel, const q8_tile *tile, int64_t begin, int64_t end) {
    attn *t = &panel->at;
    const int D = t->args->head_dim, nv = (t->rows + 15) / 16, n = (int)(end - begin);
    attn_sight sight = attn_sees(t, begin, end);
    if (sight == ATTN_NONE) return;
    int blocks = (n + ATTN_MR - 1) / ATTN_MR;
    for (int j = 0; blocks > 0; blocks--) {
        int mr = (n - j + blocks - 1) / blocks;
        q8_scores[nv - 1][mr - 1](tile->k8 + j * D, tile->k_scale + j, D, panel->q, panel->start, tile->p + j * ATTN_LANES);
        j += mr;
    }
    if (sight == ATTN_SOME) attn_mask(t, begin, end, nv);
    if (nv == 1) q8_softmax(panel, tile->p, tile->p16, n, 1);
    else q8_softmax(panel, tile->p, tile->p16, n, ATTN_NV);
    if (!tile->finite) memcpy(tile->spare, t->ot, (size_t)(D * ATTN_LANES) * sizeof(float));
    blocks = (D + ATTN_MR - 1) / ATTN_MR;
    for (int d = 0; blocks > 0; blocks--) {
        int mr = (D - d + blocks - 1) / blocks;
        q8_adds[nv - 1][mr - 1](tile->v16 + 2 * d, tile->v_scale + d, D, tile->p16, (n + 1) / 2, t->shrink, t->ot + d * ATTN_LANES);
        d += mr;
    }
    if (!tile->finite && sight == ATTN_SOME) q8_keep_blind(t, begin, end, tile->spare);
}

void ATTN_NAME(const kernel_attention_args *args, int64_t text, int64_t first, int64_t n, int64_t kv_old, int head, int64_t row_lo,
               int64_t row_hi, void *scratch) {
    const size_t D = (size_t)args->head_dim, lanes = ATTN_LANES * sizeof(float);
    char *s = scratch;
    q8_tile tile = {.k8 = attn_take(&s, KERNEL_KEY_TILE * D), .k_scale = attn_take(&s, KERNEL_KEY_TILE * sizeof(float))};
    tile.v16 = attn_take(&s, KERNEL_KEY_TILE * D * 2);
    tile.v_scale = attn_take(&s, D * sizeof(float));
    tile.p = attn_take(&s, KERNEL_KEY_TILE * lanes);
    tile.p16 = attn_take(&s, KERNEL_KEY_TILE / 2 * lanes);
    tile.spare = attn_take(&s, D * lanes);
    q8_panel panels[KERNEL_ATTENTION_PANELS];
    for (int i = 0; i < KERNEL_ATTENTION_PANELS; i++) {
        attn t = {.args = args, .text = text, .first = first, .kv_old = 0, .keys = n, .head = head, .p = tile.p};
        t.limited = args->window_left >= 0 || args->window_right >= 0;
        t = attn_arrays(t, &s);
        panels[i] = (q8_panel){t, attn_take(&s, lanes), attn_take(&s, lanes), attn_take(&s, D * ATTN_LANES)};
    }
    for (int64_t row = row_lo; row < row_hi;) {
        int count = 0;
        for (; count < KERNEL_ATTENTION_PANELS && row < row_hi; count++, row += ATTN_LANES) {
            attn *t = &panels[count].at;
            t->row = row;
            t->rows = row_hi - row < ATTN_LANES ? (int)(row_hi - row) : ATTN_LANES;
            attn_limits(t, (t->rows + 15) / 16);
            for (int i = 0; i < ATTN_LANES; i++) t->largest[i] = -FLT_MAX, t->sum[i] = 0.0f;
            memset(t->ot, 0, D * lanes);
            q8_pack_queries(&panels[count], tile.spare);
        }
        for (int64_t key = 0; key < n; key += KERNEL_KEY_TILE) {
            int64_t end = n - key < KERNEL_KEY_TILE ? n : key + KERNEL_KEY_TILE;
            attn_run r = attn_keys(&panels[0].at, key, end);
            q8_pack_keys(&r, (int)D, tile.k8, tile.k_scale);
            tile.finite = q8_pack_values(&r, (int)D, tile.v16, tile.v_scale);
            for (int i = 0; i < count; i++) q8_look(&panels[i], &tile, key, end);
        }
        for (int i = 0; i < count; i++) attn_finish(&panels[i].at);
    }
}

#endif
