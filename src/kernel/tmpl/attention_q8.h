/* SPDX-License-Identifier: Apache-2.0
 *
 * Attention with integer products, written once: the including file has included a dot_<rung>.h, vec_math.h, gemm_format_q8.h and
 * gemm_core.h twice (once with the prefix `pair`) and defines ATTN_MR, ATTN_NV (as attention.h), KERNEL_ISA and ATTN_NAME.
 *
 * Scores are products of s8: each query and each key has one scale, max |x| / 127. That costs no quality that can be measured: they
 * only steer the softmax. Weights are rounded to 1/4095 and values to 1/8191 of the largest of the same dimension in
 * their tile of keys, and their products are of s16: 64 of them fit an s32. All sums are exact, that of the rounded
 * weights too, by which the output is divided; a weight is made of integers (pair_store_exp2 of dot_avx512vnni.h). So every rung gives the
 * same bits.
 *
 * A lane is a query. Tiles of keys are the outer loop: a tile is packed once for up to KERNEL_ATTENTION_PANELS panels of queries:
 *
 *     k8  [64][D]           key + 128 as u8; a query's lane starts its sum with -128 times the sum of its numbers
 *     v16 [32][D + 16][2]   two keys side by side; the number behind the last is 1, so that its sum is that of the weights
 *     p   [64][lanes]       scores, in units of the query's scale; then, packed, weights: p16 [32][lanes][2]
 *
 * A key's NaN or infinity makes NaN of every query that looks at it; a value's, of every query that looks at its tile.
 */
#ifndef ATTENTION_Q8_H
#define ATTENTION_Q8_H

#include "attention_parts.h"
#include "attention_relative.h"
#include <float.h>

#define Q8_MAGIC 12582912.0f /* 1.5 * 2^23: a small number added to it is rounded to an integer, found in the lowest bits */
#define Q8_VALUE 8191.0f
#define Q8_STRIDE(D) ((D) + 16) /* numbers of a value, with those behind the last */

typedef struct q8_panel {
    attn at;        /* the first member: row, rows, lo, hi, largest, sum, ot; p is the tile's */
    int32_t *start; /* [lanes] of the sums of its scores */
    float *scale;   /* [lanes] of a score, in units of log2 e */
    float *inverse; /* [lanes] what a product of numbers that are not in units of the query's is multiplied by to be a
                       score */
    float *spoil;   /* [lanes] 0, or NaN if the query is not finite */
    char *q;        /* [D / 4][lanes][4] */
    bool begun;     /* ot and sum hold something */
} q8_panel;

typedef struct q8_tile {
    uint8_t *k8;
    float *k_scale; /* [64] */
    int16_t *v16;
    float *v_scale; /* [D + 1] of a sum */
    float *p;
    char *p16;
    float *spare;             /* [D][lanes]; or bytes of queries */
    bool finite, keys_finite; /* all values are, all keys are */
} q8_tile;

/* max |x| / most, and a number to multiply by. Numbers so small that the inverse overflows count as 0; if not all are finite, both are
 * NaN or of no account. */
VEC_INLINE vec q8_scale(vec largest, vec most, vec *inverse) {
    vec one = vec_set1(1.0f), scale = vec_div(largest, most);
    scale = vec_select_lt(scale, vec_set1(FLT_MIN), one, scale);
    *inverse = vec_div(one, scale);
    return vec_fma(largest, vec_zero(), scale);
}

/* Four rows from *rows on, of which `left` are left; the last stands for those behind it. *rows becomes the next row. */
VEC_INLINE void q8_four(const float **rows, int64_t stride, int left, const float *x[4]) {
    x[0] = *rows;
    VEC_UNROLL
    for (int i = 1; i < 4; i++) x[i] = x[i - 1] + (left > i ? stride : 0);
    *rows = x[3] + (left > 4 ? stride : 0);
}

/* Scales of up to 64 rows and what their numbers are multiplied by; those behind the last, up to a multiple of 16, are its own. All of
 * them before any number is rounded: each is a chain of steps that wait for one another, and several can be under way at once. */
static void q8_factors(const float *rows, int64_t stride, int count, int64_t D, float *scales, float *factors) {
    for (int j = 0; j < count; j += 16) {
        vec fours[4], inverse;
        for (int k = 0; k < 4; k++) {
            const float *x[4];
            vec m[4];
            q8_four(&rows, stride, count - j - 4 * k, x);
            VEC_UNROLL
            for (int i = 0; i < 4; i++) m[i] = vec_abs(vec_load(x[i]));
            for (int64_t d = 16; d < D; d += 16) {
                VEC_UNROLL
                for (int i = 0; i < 4; i++) m[i] = vec_max_abs(m[i], vec_load(x[i] + d));
            }
            fours[k] = vec_max_of4(m);
        }
        vec_store(scales + j, q8_scale(vec_max_across4(fours), vec_set1(127.0f), &inverse));
        vec_store(factors + j, inverse);
    }
}

/* Queries as columns of a product; `bytes` [D / 16][lanes][16] is scratch. */
static void q8_pack_queries(q8_panel *panel, uint8_t *bytes) {
    const attn *t = &panel->at;
    const kernel_attention_args *g = t->args;
    const int64_t D = g->head_dim, nv = (t->rows + 15) / 16;
    const vec magic = vec_set1(Q8_MAGIC), one = vec_set1(1.0f);
    const uint8_t shift[4] = {128, 128, 128, 128};
    const float *rows = g->q + t->row * g->q_stride + (int64_t)t->head * D;
    float factors[ATTN_LANES];
    q8_factors(rows, g->q_stride, t->rows, D, panel->scale, factors);
    for (int j = 0; j < 16 * nv; j += 4) { /* in an order that vec_turn4 makes right */
        const float *x[4];
        uint8_t *to = bytes + j / 16 * 256 + j % 16 / 4 * 16;
        vec f[4];
        q8_four(&rows, g->q_stride, t->rows - j, x);
        VEC_UNROLL
        for (int i = 0; i < 4; i++) f[i] = vec_set1(factors[j + i]);
        for (int64_t d = 0; d < D; d += 16) {
            VEC_UNROLL
            for (int i = 0; i < 4; i++) vec_store_low8(to + ATTN_LANES * d + 64 * i, vec_fma(vec_load(x[i] + d), f[i], magic));
        }
    }
    for (int v = 0; v < nv; v++) {
        dot_acc sums = dot_zero();
        for (int64_t d = 0; d < D; d += 16) {
            vec turned[4];
            VEC_UNROLL
            for (int i = 0; i < 4; i++) turned[i] = vec_load(bytes + ATTN_LANES * d + 256 * v + 64 * i);
            vec_turn4(turned);
            VEC_UNROLL
            for (int i = 0; i < 4; i++) {
                char *to = panel->q + ((d + 4 * i) * ATTN_LANES + 64 * v);
                vec_store((float *)(void *)to, turned[i]);
                sums = dot_madd(sums, dot_load_w(to), dot_load_x((const char *)shift));
            }
        }
        dot_store_minus(panel->start + 16 * v, sums);
        vec scale = vec_load(panel->scale + 16 * v), spoil = vec_sub(scale, scale); /* 0 or NaN */
        vec_store(panel->spoil + 16 * v, spoil);
        scale = vec_select_lt(spoil, one, scale, one);
        vec_store(panel->inverse + 16 * v, vec_div(one, scale));
        vec_store(panel->scale + 16 * v, vec_mul(scale, vec_set1(g->scale * ATTN_LOG2E)));
    }
}

/* Keys as rows of a product. False if not all are finite. */
static bool q8_pack_keys(const attn_run *r, int64_t D, uint8_t *k8, float *scales) {
    const vec magic = vec_set1(Q8_MAGIC + 128.0f);
    float factors[KERNEL_KEY_TILE];
    vec all = vec_zero();
    const float *rows = r->k;
    q8_factors(rows, r->k_stride, r->count, D, scales, factors);
    for (int j = 0; j < r->count; j += 16) all = vec_fma(vec_load(scales + j), vec_zero(), all);
    for (int j = 0; j < r->count; j += 4) {
        const float *x[4];
        vec f[4];
        uint8_t *to = k8 + j * D;
        q8_four(&rows, r->k_stride, r->count - j, x);
        VEC_UNROLL
        for (int i = 0; i < 4; i++) f[i] = vec_set1(factors[j + i]);
        for (int64_t d = 0; d < D; d += 16) {
            VEC_UNROLL
            for (int i = 0; i < 4; i++) vec_store_low8(to + i * D + d, vec_fma(vec_load(x[i] + d), f[i], magic));
        }
    }
    return vec_sum(all) == 0.0f;
}

/* Values as rows of a product, two keys side by side; an odd last key stands beside zeros. False if not all are finite. */
static bool q8_pack_values(const attn_run *r, int64_t D, int16_t *v16, float *scales) {
    const int64_t stride = r->v_stride, to_stride = 2 * Q8_STRIDE(D);
    const vec magic = vec_set1(Q8_MAGIC);
    vec all = vec_zero();
    for (int64_t d = 0; d < D; d += 16) {
        const float *v = r->v + d;
        int16_t *to = v16 + 2 * d;
        vec largest = vec_zero(), second = vec_zero(), inverse; /* two chains */
        int j = 0;
        for (; j + 2 <= r->count; j += 2, v += 2 * stride) {
            largest = vec_max_abs(largest, vec_load(v));
            second = vec_max_abs(second, vec_load(v + stride));
        }
        if (j < r->count) largest = vec_max_abs(largest, vec_load(v));
        largest = vec_max_abs(largest, second);
        all = vec_fma(largest, vec_zero(), all);
        vec_store(scales + d, q8_scale(largest, vec_set1(Q8_VALUE), &inverse));
        v = r->v + d;
        for (j = 0; j + 2 <= r->count; j += 2, v += 2 * stride, to += to_stride)
            vec_store_low16_of2(to, vec_fma(vec_load(v), inverse, magic), vec_fma(vec_load(v + stride), inverse, magic));
        if (j < r->count) vec_store_low16_of2(to, vec_fma(vec_load(v), inverse, magic), magic);
    }
    return vec_sum(all) == 0.0f;
}

/* p[i] = key i . query for mr keys, and the largest of what `top` holds and of them. */
VEC_INLINE void q8_score(const uint8_t *k8, const float *k_scale, int64_t D, const char *q, const int32_t *start, float *p, float *top,
                         const int mr, const int nv) {
    dot_acc c[ATTN_MR * ATTN_NV];
    vec m[ATTN_NV];
    VEC_UNROLL
    for (int i = 0; i < mr * nv; i++) c[i] = dot_from(start + 16 * (i % nv));
    gemm_chain(c, mr, nv, D / 4, (const char *)k8, D, 4, q, ATTN_LANES * 4, 0, NULL, 0);
    VEC_UNROLL
    for (int i = 0; i < mr * nv; i++) dot_settle(&c[i]);
    VEC_UNROLL
    for (int v = 0; v < nv; v++) m[v] = vec_load(top + 16 * v);
    VEC_UNROLL
    for (int i = 0; i < mr; i++) {
        VEC_UNROLL
        for (int v = 0; v < nv; v++) {
            vec s = vec_mul(dot_float(c[i * nv + v]), vec_set1(k_scale[i]));
            vec_store(p + i * ATTN_LANES + 16 * v, s);
            m[v] = vec_max(s, m[v]);
        }
    }
    VEC_UNROLL
    for (int v = 0; v < nv; v++) vec_store(top + 16 * v, m[v]);
}

/* o[i] = o[i] * shrink + v_scale[i] * (sum over pairs of keys of value[pair][i] . weight[pair]) for mr of the D + 1 numbers of a value;
 * shrink NULL: o was nothing yet. */
VEC_INLINE void q8_add(const int16_t *v16, const float *v_scale, int64_t D, const char *p16, int64_t pairs, const float *shrink, float *o,
                       const int mr, const int nv) {
    dot_acc c[ATTN_MR * ATTN_NV];
    vec s[ATTN_NV];
    VEC_UNROLL
    for (int i = 0; i < mr * nv; i++) c[i] = dot_zero();
    pair_chain(c, mr, nv, pairs, (const char *)v16, 4, 4 * Q8_STRIDE(D), p16, ATTN_LANES * 4, 0, NULL, 0);
    VEC_UNROLL
    for (int i = 0; i < mr * nv; i++) dot_settle(&c[i]);
    if (!shrink) {
        VEC_UNROLL
        for (int i = 0; i < mr * nv; i++)
            vec_store(o + i / nv * ATTN_LANES + 16 * (i % nv), vec_mul(dot_float(c[i]), vec_set1(v_scale[i / nv])));
        return;
    }
    VEC_UNROLL
    for (int v = 0; v < nv; v++) s[v] = vec_load(shrink + 16 * v);
    VEC_UNROLL
    for (int i = 0; i < mr * nv; i++) {
        float *to = o + i / nv * ATTN_LANES + 16 * (i % nv);
        vec_store(to, vec_fma(dot_float(c[i]), vec_set1(v_scale[i / nv]), vec_mul(vec_load(to), s[i % nv])));
    }
}

/* p[i] = key i . each of 16 rows of a block, for mr keys. */
VEC_INLINE void q8_pair(const uint8_t *k8, const float *k_scale, int64_t D, const char *block, const int32_t *start,
                        const float *scale, float *p, const int mr) {
    dot_acc c[ATTN_MR];
    const vec rows = vec_load(scale);
    VEC_UNROLL
    for (int i = 0; i < mr; i++) c[i] = DOT_SHIFT ? dot_zero() : dot_from(start);
    gemm_chain(c, mr, 1, D / 4, (const char *)k8, D, 4, block, KERNEL_RELATIVE_BLOCK * 4, 0, NULL, 0);
    VEC_UNROLL
    for (int i = 0; i < mr; i++) dot_settle(&c[i]);
    VEC_UNROLL
    for (int i = 0; i < mr; i++)
        vec_store(p + i * REL_WIDTH, vec_mul(vec_mul(dot_float(c[i]), vec_set1(k_scale[i])), rows));
}

typedef void q8_pair_fn(const uint8_t *k8, const float *k_scale, int64_t D, const char *block, const int32_t *start,
                        const float *scale, float *p);
typedef void q8_score_fn(const uint8_t *k8, const float *k_scale, int64_t D, const char *q, const int32_t *start, float *p, float *top);
typedef void q8_add_fn(const int16_t *v16, const float *v_scale, int64_t D, const char *p16, int64_t pairs, const float *shrink, float *o);

#define Q8_STAMP(mr, nv)                                                                                                                   \
    VEC_NOINLINE void q8_score_##mr##_##nv(const uint8_t *k8, const float *k_scale, int64_t D, const char *q, const int32_t *start,        \
                                           float *p, float *top) {                                                                         \
        q8_score(k8, k_scale, D, q, start, p, top, mr, nv);                                                                                \
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

#define Q8_PAIR_STAMP(mr, nv)                                                                                          \
    VEC_NOINLINE void q8_pair_##mr(const uint8_t *k8, const float *k_scale, int64_t D, const char *block,              \
                                   const int32_t *start, const float *scale, float *p) {                               \
        q8_pair(k8, k_scale, D, block, start, scale, p, mr);                                                           \
    }
#define Q8_PAIR_NAME(mr, nv) q8_pair_##mr,

ATTN_HEIGHTS(Q8_PAIR_STAMP, 1)
static q8_pair_fn *const q8_pairs[ATTN_MR] = {ATTN_HEIGHTS(Q8_PAIR_NAME, 1)}; /* [rows - 1] */

/* Where the numbers of a packed table begin. */
static int64_t q8_table_rows(const attn_relative *r) {
    return (r->of->count + KERNEL_RELATIVE_BLOCK - 1) / KERNEL_RELATIVE_BLOCK * KERNEL_RELATIVE_BLOCK;
}

static void attn_relative_scores(const attn *t, const attn_relative *r, int64_t row, int64_t end) {
    const int64_t D = t->args->head_dim, n = end - row;
    const q8_panel *panel = (const q8_panel *)(const void *)t;
    const float *scales = (const float *)(const void *)r->keys + row;
    const uint8_t *rows = (const uint8_t *)r->keys + 8 * q8_table_rows(r) + row * D;
    float top[ATTN_LANES] = {0.0f}; /* nobody asks */
    int64_t blocks = (n + ATTN_MR - 1) / ATTN_MR;
    for (int64_t i = 0; blocks > 0; blocks--) {
        const int64_t mr = (n - i + blocks - 1) / blocks;
        q8_scores[(t->rows + 15) / 16 - 1][mr - 1](rows + i * D, scales + i, D, panel->q, panel->start,
                                                   r->c2p + i * ATTN_LANES, top);
        i += mr;
    }
}

static void attn_relative_pairs(const attn *t, const attn_relative *r, int64_t begin, int64_t end, int64_t row,
                                int64_t column) {
    const int64_t D = t->args->head_dim, n = end - begin;
    const q8_tile *tile = r->tile;
    const float *scales = (const float *)(const void *)r->queries + row;
    const int32_t *starts = (const int32_t *)(const void *)r->queries + q8_table_rows(r) + row;
    const char *block = r->queries + 8 * q8_table_rows(r) + row * D;
    int64_t blocks = (n + ATTN_MR - 1) / ATTN_MR;
    for (int64_t j = 0; blocks > 0; blocks--) {
        const int64_t mr = (n - j + blocks - 1) / blocks;
        q8_pairs[mr - 1](tile->k8 + j * D, tile->k_scale + j, D, block, starts, scales,
                         r->p2c + j * REL_WIDTH + column);
        j += mr;
    }
}

/* One step of the online softmax, as attention.h's, on scores whose largest stand in t->shrink. A weight is 4095 2^z, found in 16 bits from
 * -z in units of 1/2048: off by less than 0.9, by 0.3 in the mean square, of which 0.29 are the rounding itself. A score that is NaN gets
 * the weight 0. */
VEC_INLINE void q8_softmax(const q8_panel *panel, const float *p, char *p16, int n, const int nv) {
    static const uint16_t c[4] = {32758, 22641, 7537, 1275};
    const attn *t = &panel->at;
    const vec magic = vec_set1(Q8_MAGIC), unit = vec_set1(2048.0f), most = vec_set1(14.0f * 2048.0f); /* from 13 on a weight is 0 */
    vec top[ATTN_NV], minus[ATTN_NV];
    VEC_UNROLL
    for (int v = 0; v < nv; v++) {
        vec old = vec_load(t->largest + 16 * v), scale = vec_load(panel->scale + 16 * v);
        vec largest = vec_max(vec_mul(vec_load(t->shrink + 16 * v), scale), old);
        top[v] = vec_mul(largest, unit);
        minus[v] = vec_sub(vec_zero(), vec_mul(scale, unit));
        vec_store(t->largest + 16 * v, largest);
        vec_store(t->shrink + 16 * v, vec_exp2(vec_fma(largest, vec_zero(), vec_sub(old, largest)))); /* NaN from infinity on */
    }
    for (int j = 0; j < n; j += 2) {
        VEC_UNROLL
        for (int v = 0; v < nv; v++) {
            const float *s = p + j * ATTN_LANES + 16 * v;
            vec a = vec_min(vec_fma(vec_load(s), minus[v], top[v]), most);
            vec b = vec_min(vec_fma(vec_load(s + ATTN_LANES), minus[v], top[v]), most);
            pair_store_exp2(p16 + (j / 2 * ATTN_LANES * 4 + 64 * v), vec_add(a, magic), vec_add(b, magic), c);
        }
    }
}

/* The largest scores of each query, once some have become others. */
static void q8_top(const attn *t, int n) {
    for (int v = 0; v < (t->rows + 15) / 16; v++) {
        vec m = vec_set1(-INFINITY);
        for (int j = 0; j < n; j++) m = vec_max(vec_load(t->p + j * ATTN_LANES + 16 * v), m);
        vec_store(t->shrink + 16 * v, m);
    }
}

/* NaN to the sums of queries that look at a key that is not finite. */
static void q8_spoil(const attn *t, int n) {
    for (int v = 0; v < (t->rows + 15) / 16; v++) {
        vec sum = vec_load(t->sum + 16 * v);
        for (int j = 0; j < n; j++) sum = vec_keep_nan(vec_load(t->p + j * ATTN_LANES + 16 * v), sum);
        vec_store(t->sum + 16 * v, sum);
    }
}

/* A query that looks at no key of a tile keeps what it had, whatever the tile holds. */
static void q8_keep_blind(const attn *t, int64_t begin, int64_t end, const float *before) {
    for (int l = 0; l < t->rows; l++) {
        bool sees = false;
        for (int64_t key = begin; key < end && !sees; key++) sees = attn_position(t, key) >= t->lo[l] && attn_position(t, key) <= t->hi[l];
        for (int d = 0; d < t->args->head_dim && !sees; d++) t->ot[d * ATTN_LANES + l] = before[d * ATTN_LANES + l];
    }
}

/* NaN to the sums of queries that are not finite and saw a key, to whom they owe a weight of 4095. */
static void q8_spoil_queries(const q8_panel *panel) {
    for (int v = 0; v < (panel->at.rows + 15) / 16; v++) {
        vec sum = vec_load(panel->at.sum + 16 * v);
        vec_store(panel->at.sum + 16 * v, vec_select_lt(vec_zero(), sum, vec_add(sum, vec_load(panel->spoil + 16 * v)), sum));
    }
}

static void q8_clear(q8_panel *panel) {
    memset(panel->at.ot, 0, (size_t)((panel->at.args->head_dim + 1) * ATTN_LANES) * sizeof(float));
    panel->begun = true;
}

/* The panel looks at the tile of keys [begin, end). */
static void q8_look(q8_panel *panel, const q8_tile *tile, int64_t begin, int64_t end) {
    attn *t = &panel->at;
    const int D = t->args->head_dim, nv = (t->rows + 15) / 16, n = (int)(end - begin);
    attn_sight sight = attn_sees(t, begin, end);
    if (sight == ATTN_NONE) return;
    for (int v = 0; v < nv; v++) vec_store(t->shrink + 16 * v, vec_set1(-INFINITY));
    int blocks = (n + ATTN_MR - 1) / ATTN_MR;
    for (int j = 0; blocks > 0; blocks--) {
        int mr = (n - j + blocks - 1) / blocks;
        q8_scores[nv - 1][mr - 1](tile->k8 + j * D, tile->k_scale + j, D, panel->q, panel->start, tile->p + j * ATTN_LANES, t->shrink);
        j += mr;
    }
    if (t->relative) {
        attn_units units;
        for (int v = 0; v < ATTN_NV; v++) {
            const vec inverse = vec_load(panel->inverse + 16 * v);
            vec_store(units.pairs + 16 * v, inverse);
            vec_store(units.bias + 16 * v, vec_div(inverse, vec_set1(t->args->scale)));
        }
        t->relative->tile = tile;
        attn_relative_add(t, t->relative, begin, end, &units);
    }
    if (sight == ATTN_SOME) attn_mask(t, begin, end, nv);
    if (sight == ATTN_SOME || t->relative) q8_top(t, n);
    if (n % 2) {
        for (int v = 0; v < nv; v++) vec_store(tile->p + n * ATTN_LANES + 16 * v, vec_set1(-INFINITY));
    }
    if (nv == 1) q8_softmax(panel, tile->p, tile->p16, n, 1);
    else q8_softmax(panel, tile->p, tile->p16, n, ATTN_NV);
    if (!tile->finite) {
        if (!panel->begun) q8_clear(panel);
        memcpy(tile->spare, t->ot, (size_t)(D * ATTN_LANES) * sizeof(float));
    }
    const float *shrink = panel->begun ? t->shrink : NULL;
    panel->begun = true;
    blocks = (D + ATTN_MR) / ATTN_MR;
    for (int d = 0; blocks > 0; blocks--) {
        int mr = (D + 1 - d + blocks - 1) / blocks;
        q8_adds[nv - 1][mr - 1](tile->v16 + 2 * d, tile->v_scale + d, D, tile->p16, (n + 1) / 2, shrink, t->ot + d * ATTN_LANES);
        d += mr;
    }
    if (!tile->keys_finite) q8_spoil(t, n);
    if (!tile->finite && sight == ATTN_SOME) q8_keep_blind(t, begin, end, tile->spare);
}

void ATTN_NAME(const kernel_attention_args *args, int64_t text, int64_t first, int64_t n, int64_t kv_old, int head, int64_t row_lo,
               int64_t row_hi, void *scratch) {
    const size_t D = (size_t)args->head_dim, lanes = ATTN_LANES * sizeof(float);
    char *s = scratch;
    q8_tile tile = {.k8 = attn_take(&s, KERNEL_KEY_TILE * D), .k_scale = attn_take(&s, KERNEL_KEY_TILE * sizeof(float))};
    tile.v16 = attn_take(&s, KERNEL_KEY_TILE * Q8_STRIDE(D) * 2);
    tile.v_scale = attn_take(&s, (D + 1) * sizeof(float));
    for (size_t j = 0; j < KERNEL_KEY_TILE / 2; j++) tile.v16[2 * (j * Q8_STRIDE(D) + D)] = tile.v16[2 * (j * Q8_STRIDE(D) + D) + 1] = 1;
    tile.v_scale[D] = 1.0f;
    tile.p = attn_take(&s, KERNEL_KEY_TILE * lanes);
    tile.p16 = attn_take(&s, KERNEL_KEY_TILE / 2 * lanes);
    tile.spare = attn_take(&s, D * lanes);
    q8_panel panels[KERNEL_ATTENTION_PANELS];
    for (int i = 0; i < KERNEL_ATTENTION_PANELS; i++) {
        attn t = {.args = args, .text = text, .first = first, .kv_old = 0, .keys = n, .head = head, .p = tile.p};
        t.limited = args->window_left >= 0 || args->window_right >= 0;
        t = attn_arrays(t, &s);
        panels[i] = (q8_panel){.at = t,
                               .start = attn_take(&s, lanes),
                               .scale = attn_take(&s, lanes),
                               .inverse = attn_take(&s, lanes),
                               .spoil = attn_take(&s, lanes),
                               .q = attn_take(&s, D * ATTN_LANES)};
    }
    attn_relative relative;
    if (args->relative) {
        relative = attn_relative_begin(args, first, n, 0, head, true, &s);
        for (int i = 0; i < KERNEL_ATTENTION_PANELS; i++) panels[i].at.relative = &relative;
    }
    for (int64_t row = row_lo; row < row_hi;) {
        int count = 0;
        for (; count < KERNEL_ATTENTION_PANELS && row < row_hi; count++, row += ATTN_LANES) {
            attn *t = &panels[count].at;
            t->row = row;
            t->rows = row_hi - row < ATTN_LANES ? (int)(row_hi - row) : ATTN_LANES;
            if (t->limited) attn_limits(t, (t->rows + 15) / 16);
            for (int v = 0; v < ATTN_NV; v++) vec_store(t->largest + 16 * v, vec_set1(-FLT_MAX));
            panels[count].begun = false;
            q8_pack_queries(&panels[count], (uint8_t *)tile.spare);
        }
        for (int64_t key = 0; key < n; key += KERNEL_KEY_TILE) {
            int64_t end = n - key < KERNEL_KEY_TILE ? n : key + KERNEL_KEY_TILE;
            attn_run r = attn_keys(&panels[0].at, key, end);
            tile.keys_finite = q8_pack_keys(&r, (int64_t)D, tile.k8, tile.k_scale);
            tile.finite = q8_pack_values(&r, (int64_t)D, tile.v16, tile.v_scale);
            for (int i = 0; i < count; i++) q8_look(&panels[i], &tile, key, end);
        }
        for (int i = 0; i < count; i++) {
            if (!panels[i].begun) q8_clear(&panels[i]);
            q8_spoil_queries(&panels[i]);
            attn_finish(&panels[i].at);
        }
    }
}

#endif
