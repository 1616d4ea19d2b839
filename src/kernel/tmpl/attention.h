/* SPDX-License-Identifier: Apache-2.0
 *
 * Attention in f32, written once: the including file has included a vec_<isa>.h, vec_math.h, gemm_format_f32.h and gemm_core.h and defines
 *
 *     ATTN_MR      rows of the product's tile (GEMM_MR of the rung): 5, 6 or 12
 *     ATTN_NV      vectors of 16 queries in a panel
 *     KERNEL_ISA, ATTN_NAME   for the kernel's name
 *
 * A lane is a query. A panel of queries is turned once into qt [D][lanes]; then for each tile of keys
 *
 *     p  [64][lanes] = K Q^T            keys as the rows of a product, one number at a time
 *     p  = 2^(p - largest), and what was added up so far shrinks by 2^(old largest - new largest)
 *     ot [D][lanes] += V^T p            values as the columns of one
 *
 * and at the end ot / sum is turned back. Tiles are the outer loop: where several panels need one, its keys and values are copied side by
 * side, once for up to KERNEL_ATTENTION_PANELS panels. The softmax needs no reduction across lanes, and what one query gets cannot depend
 * on its neighbours, because lanes never meet. Per query everything is one chain: a score over d = 0 .. D - 1, sum and output over the keys
 * in order, cut into tiles of KERNEL_KEY_TILE from key 0.
 *
 * Logits are kept in units of log2(e), which Q takes in together with the scale.
 *
 * Scratch, rows `lanes` wide: p [64], keys and values [2][64][D], then for each panel qt [D] | ot [D] | largest | sum | shrink | lo | hi
 *
 * A key that a query may not look at has the weight 0 exactly. A tile that no query of the panel may look at is passed
 * over: it would multiply by 2^0 = 1 and add 0.
 */
#ifndef ATTENTION_H
#define ATTENTION_H

#include "attention_parts.h"
#include "attention_relative.h"

#define ATTN_UNIT ((int64_t)sizeof(float)) /* gemm_chain counts bytes */

/* p[i] = key i . query for mr keys. */
VEC_INLINE void attn_score(const float *k, int64_t k_stride, const float *qt, int64_t D, float *p, const int mr, const int nv) {
    vec c[ATTN_MR * ATTN_NV];
    VEC_UNROLL
    for (int i = 0; i < mr * nv; i++) c[i] = vec_zero();
    gemm_chain(c, mr, nv, D, (const char *)k, k_stride * ATTN_UNIT, ATTN_UNIT, (const char *)qt, ATTN_LANES * ATTN_UNIT, 0, NULL, 0);
    VEC_UNROLL
    for (int i = 0; i < mr; i++) {
        VEC_UNROLL
        for (int v = 0; v < nv; v++) vec_store(p + i * ATTN_LANES + 16 * v, c[i * nv + v]);
    }
}

/* ot[i] = ot[i] * shrink + sum over keys of v[key][i] * p[key] for mr of the D numbers of a value. */
VEC_INLINE void attn_add(const float *v0, int64_t v_stride, const float *p, int64_t keys, const float *shrink, float *ot, const int mr,
                         const int nv) {
    vec c[ATTN_MR * ATTN_NV];
    VEC_UNROLL
    for (int v = 0; v < nv; v++) {
        vec s = shrink ? vec_load(shrink + 16 * v) : vec_set1(1.0f);
        VEC_UNROLL
        for (int i = 0; i < mr; i++) c[i * nv + v] = vec_mul(vec_load(ot + i * ATTN_LANES + 16 * v), s);
    }
    gemm_chain(c, mr, nv, keys, (const char *)v0, ATTN_UNIT, v_stride * ATTN_UNIT, (const char *)p, ATTN_LANES * ATTN_UNIT, 0, NULL, 0);
    VEC_UNROLL
    for (int i = 0; i < mr; i++) {
        VEC_UNROLL
        for (int v = 0; v < nv; v++) vec_store(ot + i * ATTN_LANES + 16 * v, c[i * nv + v]);
    }
}

/* p[i] = key i . each of 16 rows of a block, for mr keys. */
VEC_INLINE void attn_pair(const float *k, int64_t k_stride, const float *block, int64_t D, float *p, const int mr) {
    vec c[ATTN_MR];
    VEC_UNROLL
    for (int i = 0; i < mr; i++) c[i] = vec_zero();
    gemm_chain(c, mr, 1, D, (const char *)k, k_stride * ATTN_UNIT, ATTN_UNIT, (const char *)block,
               KERNEL_RELATIVE_BLOCK * ATTN_UNIT, 0, NULL, 0);
    VEC_UNROLL
    for (int i = 0; i < mr; i++) vec_store(p + i * REL_WIDTH, c[i]);
}

typedef void attn_score_fn(const float *k, int64_t k_stride, const float *qt, int64_t D, float *p);
typedef void attn_add_fn(const float *v, int64_t v_stride, const float *p, int64_t keys, const float *shrink, float *ot);
typedef void attn_pair_fn(const float *k, int64_t k_stride, const float *block, int64_t D, float *p);

#define ATTN_STAMP(mr, nv)                                                                                                                 \
    VEC_NOINLINE void attn_score_##mr##_##nv(const float *k, int64_t k_stride, const float *qt, int64_t D, float *p) {                     \
        attn_score(k, k_stride, qt, D, p, mr, nv);                                                                                         \
    }                                                                                                                                      \
    VEC_NOINLINE void attn_add_##mr##_##nv(const float *v, int64_t v_stride, const float *p, int64_t keys, const float *shrink,            \
                                           float *ot) {                                                                                    \
        attn_add(v, v_stride, p, keys, shrink, ot, mr, nv);                                                                                \
    }
#define ATTN_SCORE_NAME(mr, nv) attn_score_##mr##_##nv,
#define ATTN_ADD_NAME(mr, nv) attn_add_##mr##_##nv,

ATTN_HEIGHTS(ATTN_STAMP, 1)
#if ATTN_NV > 1
ATTN_HEIGHTS(ATTN_STAMP, 2)
#endif

/* [vectors - 1][rows - 1] */
static attn_score_fn *const attn_scores[ATTN_NV][ATTN_MR] = {
    {ATTN_HEIGHTS(ATTN_SCORE_NAME, 1)},
#if ATTN_NV > 1
    {ATTN_HEIGHTS(ATTN_SCORE_NAME, 2)},
#endif
};
static attn_add_fn *const attn_adds[ATTN_NV][ATTN_MR] = {
    {ATTN_HEIGHTS(ATTN_ADD_NAME, 1)},
#if ATTN_NV > 1
    {ATTN_HEIGHTS(ATTN_ADD_NAME, 2)},
#endif
};

#define ATTN_PAIR_STAMP(mr, nv)                                                                                        \
    VEC_NOINLINE void attn_pair_##mr(const float *k, int64_t k_stride, const float *block, int64_t D, float *p) {      \
        attn_pair(k, k_stride, block, D, p, mr);                                                                       \
    }
#define ATTN_PAIR_NAME(mr, nv) attn_pair_##mr,

ATTN_HEIGHTS(ATTN_PAIR_STAMP, 1)
static attn_pair_fn *const attn_pairs[ATTN_MR] = {ATTN_HEIGHTS(ATTN_PAIR_NAME, 1)}; /* [rows - 1] */

static void attn_relative_scores(const attn *t, const attn_relative *r, int64_t row, int64_t end) {
    const int64_t D = t->args->head_dim, n = end - row;
    const float *rows = (const float *)(const void *)r->keys + row * D;
    int64_t blocks = (n + ATTN_MR - 1) / ATTN_MR;
    for (int64_t i = 0; blocks > 0; blocks--) {
        const int64_t mr = (n - i + blocks - 1) / blocks;
        attn_scores[(t->rows + 15) / 16 - 1][mr - 1](rows + i * D, D, t->qt, D, r->c2p + i * ATTN_LANES);
        i += mr;
    }
}

static void attn_relative_pairs(const attn *t, const attn_relative *r, int64_t begin, int64_t end, int64_t row,
                                int64_t column) {
    const int64_t D = t->args->head_dim;
    const float *block = (const float *)(const void *)r->queries + row * D;
    for (int64_t key = begin; key < end;) {
        const attn_run run = r->tile ? *(const attn_run *)r->tile : attn_keys(t, key, end);
        int64_t blocks = (run.count + ATTN_MR - 1) / ATTN_MR;
        for (int64_t j = 0; blocks > 0; blocks--) {
            const int64_t mr = (run.count - j + blocks - 1) / blocks;
            attn_pairs[mr - 1](run.k + j * run.k_stride, run.k_stride, block, D,
                               r->p2c + (key - begin + j) * REL_WIDTH + column);
            j += mr;
        }
        key += run.count;
    }
}

/* dst[j][i] = src[i][j] * factor for `rows` <= 16 rows and any number of columns; lanes past the rows become 0. A whole
 * block stays in registers. */
static void attn_turn_in(const float *src, int64_t stride, int rows, int64_t columns, float factor, float *dst, int64_t dst_stride) {
    for (int64_t j = 0; j < columns; j += 16) {
        int n = columns - j < 16 ? (int)(columns - j) : 16;
        vec r[16], f = vec_set1(factor);
        if (n == 16 && rows == 16) {
            VEC_UNROLL
            for (int i = 0; i < 16; i++) r[i] = vec_mul(vec_load(src + i * stride + j), f);
            vec_transpose(r);
            VEC_UNROLL
            for (int i = 0; i < 16; i++) vec_store(dst + (j + i) * dst_stride, r[i]);
        } else {
            for (int i = 0; i < 16; i++) r[i] = i < rows ? vec_mul(vec_load_n(src + i * stride + j, n), f) : vec_zero();
            vec_transpose(r);
            for (int i = 0; i < n; i++) vec_store(dst + (j + i) * dst_stride, r[i]);
        }
    }
}

/* log2(e) times a bias. A huge finite one, as exporters write for "masked", stays finite: a row of nothing else is the plain
 * mean, as by the formula, while minus infinity masks. So does what (1 - mask) * lowest makes of a 2. */
VEC_INLINE vec attn_bias(vec b) {
    vec least = vec_set1(-FLT_MAX), most = vec_set1(FLT_MAX), z = vec_max(least, vec_mul(b, vec_set1(ATTN_LOG2E)));
    z = vec_min(most, z); /* NaN stays NaN in both */
    return vec_select_lt(b, least, b, vec_select_lt(most, b, b, z));
}

/* Softcap, bias and mask, where there are any. */
static void attn_adjust(const attn *t, int64_t begin, int64_t end, int nv, attn_sight sight) {
    const kernel_attention_args *g = t->args;
    int64_t n = end - begin;
    if (g->softcap > 0.0f) {
        vec inner = vec_set1(1.0f / (g->softcap * ATTN_LOG2E)), outer = vec_set1(g->softcap * ATTN_LOG2E);
        for (int64_t j = 0; j < n; j++) {
            for (int v = 0; v < nv; v++) {
                float *p = t->p + j * ATTN_LANES + 16 * v;
                vec_store(p, vec_mul(outer, vec_tanh(vec_mul(vec_load(p), inner))));
            }
        }
    }
    if (g->bias) {
        const float *bias =
            g->bias + t->text * g->bias_text_stride + t->head * g->bias_head_stride + (t->row - t->first) * g->bias_row_stride;
        float turned[16 * 16];
        for (int v = 0; v < nv; v++) {
            int rows = t->rows - 16 * v < 16 ? t->rows - 16 * v : 16;
            for (int64_t j = 0; j < n; j += 16) {
                int64_t some = n - j < 16 ? n - j : 16;
                attn_turn_in(bias + 16 * v * g->bias_row_stride + begin + j, g->bias_row_stride, rows, some, 1.0f, turned, 16);
                for (int64_t i = 0; i < some; i++) {
                    float *p = t->p + (j + i) * ATTN_LANES + 16 * v;
                    vec_store(p, vec_add(vec_load(p), attn_bias(vec_load(turned + 16 * i))));
                }
            }
        }
    }
    if (sight != ATTN_ALL) attn_mask(t, begin, end, nv);
}

/* One step of the online softmax. `largest` starts at -FLT_MAX or the sink, so that no difference is infinity minus
 * infinity: a row that has seen only masked keys subtracts -FLT_MAX from -infinity and gets weights of 0. */
VEC_INLINE void attn_softmax(const attn *t, int64_t n, const int nv) {
    enum { CHAINS = 4 }; /* a maximum has no order, so it need not wait for itself */
    vec m[CHAINS * ATTN_NV], sum[ATTN_NV];
    VEC_UNROLL
    for (int i = 0; i < CHAINS * nv; i++) m[i] = vec_load(t->largest + 16 * (i % nv));
    int64_t j = 0;
    for (; j + CHAINS <= n; j += CHAINS) {
        VEC_UNROLL
        for (int i = 0; i < CHAINS * nv; i++) m[i] = vec_max(vec_load(t->p + (j + i / nv) * ATTN_LANES + 16 * (i % nv)), m[i]);
    }
    for (; j < n; j++) {
        VEC_UNROLL
        for (int v = 0; v < nv; v++) m[v] = vec_max(vec_load(t->p + j * ATTN_LANES + 16 * v), m[v]);
    }
    VEC_UNROLL
    for (int v = 0; v < nv; v++) {
        m[v] = vec_max(vec_max(m[v], m[nv + v]), vec_max(m[2 * nv + v], m[3 * nv + v]));
        sum[v] = vec_zero();
    }
    for (j = 0; j < n; j++) {
        VEC_UNROLL
        for (int v = 0; v < nv; v++) {
            float *p = t->p + j * ATTN_LANES + 16 * v;
            vec e = vec_exp2(vec_sub(vec_load(p), m[v]));
            vec_store(p, e);
            sum[v] = vec_add(sum[v], e);
        }
    }
    VEC_UNROLL
    for (int v = 0; v < nv; v++) {
        vec shrink = vec_exp2(vec_sub(vec_load(t->largest + 16 * v), m[v]));
        vec_store(t->largest + 16 * v, m[v]);
        vec_store(t->shrink + 16 * v, shrink);
        vec_store(t->sum + 16 * v, vec_fma(vec_load(t->sum + 16 * v), shrink, sum[v]));
    }
}

static bool attn_finite(const attn_run *r, int D) {
    vec zero = vec_zero(), all = zero;
    for (int j = 0; j < r->count; j++) {
        for (int d = 0; d < D; d += 16) all = vec_fma(vec_load_n(r->v + j * r->v_stride + d, D - d < 16 ? D - d : 16), zero, all);
    }
    return vec_sum(all) == 0.0f; /* NaN if anything is not finite */
}

/* attn_add where a value that some queries may not see is NaN or infinite: times their weight of 0 it would become NaN. */
static void attn_add_guarded(const attn *t, const attn_run *r, int64_t key, const float *p, const float *shrink) {
    for (int l = 0; l < t->rows; l++) {
        for (int d = 0; d < t->args->head_dim; d++) {
            float *o = t->ot + d * ATTN_LANES + l;
            if (shrink) *o *= shrink[l];
            for (int j = 0; j < r->count; j++) {
                int64_t at = attn_position(t, key + j);
                if (at >= t->lo[l] && at <= t->hi[l]) *o = fmaf(p[j * ATTN_LANES + l], r->v[j * r->v_stride + d], *o);
            }
        }
    }
}

/* `copied`: the tile's keys and values side by side, or NULL: they are read where they lie, page by page. */
static void attn_tile(const attn *t, int64_t begin, int64_t end, const attn_run *copied) {
    const int D = t->args->head_dim, nv = (t->rows + 15) / 16;
    attn_sight sight = attn_sees(t, begin, end);
    if (sight == ATTN_NONE) return;
    for (int64_t key = begin; key < end;) {
        attn_run r = copied ? *copied : attn_keys(t, key, end);
        float *p = t->p + (key - begin) * ATTN_LANES;
        int blocks = (r.count + ATTN_MR - 1) / ATTN_MR;
        for (int j = 0; blocks > 0; blocks--) {
            int mr = (r.count - j + blocks - 1) / blocks;
            attn_scores[nv - 1][mr - 1](r.k + j * r.k_stride, r.k_stride, t->qt, D, p + j * ATTN_LANES);
            j += mr;
        }
        key += r.count;
    }
    if (t->relative) {
        attn_units units;
        for (int v = 0; v < ATTN_NV; v++) {
            vec_store(units.pairs + 16 * v, vec_set1(t->args->scale * ATTN_LOG2E));
            vec_store(units.bias + 16 * v, vec_set1(ATTN_LOG2E));
        }
        t->relative->tile = copied;
        attn_relative_add(t, t->relative, begin, end, &units);
    }
    attn_adjust(t, begin, end, nv, sight);
    if (nv == 1) attn_softmax(t, end - begin, 1);
    else attn_softmax(t, end - begin, ATTN_NV);
    const float *shrink = t->shrink;
    for (int64_t key = begin; key < end;) {
        attn_run r = copied ? *copied : attn_keys(t, key, end);
        const float *p = t->p + (key - begin) * ATTN_LANES;
        int blocks = (D + ATTN_MR - 1) / ATTN_MR;
        if (sight == ATTN_SOME && !attn_finite(&r, D)) {
            attn_add_guarded(t, &r, key, p, shrink);
            blocks = 0;
        }
        for (int d = 0; blocks > 0; blocks--) {
            int mr = (D - d + blocks - 1) / blocks;
            attn_adds[nv - 1][mr - 1](r.v + d, r.v_stride, p, r.count, shrink, t->ot + d * ATTN_LANES);
            d += mr;
        }
        shrink = NULL; /* once per tile */
        key += r.count;
    }
}

/* Rows of `from` side by side. Where they lie, their distance is often a large power of two times something: few cache sets. */
static void attn_gather(const float *from, int64_t stride, int rows, int D, float *to) {
    for (int j = 0; j < rows; j++) {
        int d = 0;
        for (; d + 16 <= D; d += 16) vec_store(to + j * D + d, vec_load(from + j * stride + d));
        if (d < D) vec_store_n(to + j * D + d, vec_load_n(from + j * stride + d, D - d), D - d);
    }
}

static attn_run attn_copy(const attn *t, int64_t begin, int64_t end, float *space) {
    const int D = t->args->head_dim;
    attn_run all = {space, space + KERNEL_KEY_TILE * D, D, D, (int)(end - begin)};
    for (int64_t key = begin; key < end;) {
        attn_run r = attn_keys(t, key, end);
        attn_gather(r.k, r.k_stride, r.count, D, space + (key - begin) * D);
        attn_gather(r.v, r.v_stride, r.count, D, space + (KERNEL_KEY_TILE + key - begin) * D);
        key += r.count;
    }
    return all;
}

static void attn_begin(attn *t) {
    const kernel_attention_args *g = t->args;
    const int D = g->head_dim, nv = (t->rows + 15) / 16;
    float sink = g->sinks ? g->sinks[t->head] * ATTN_LOG2E : -INFINITY;
    for (int i = 0; i < 16 * nv; i++) {
        t->largest[i] = sink > -FLT_MAX ? sink : -FLT_MAX;
        t->sum[i] = sink >= -FLT_MAX || sink != sink ? 1.0f : 0.0f;
    }
    if (t->limited) attn_limits(t, nv);
    for (int v = 0; v < nv; v++) {
        int rows = t->rows - 16 * v < 16 ? t->rows - 16 * v : 16;
        attn_turn_in(g->q + (t->row + 16 * v) * g->q_stride + (int64_t)t->head * D, g->q_stride, rows, D, g->scale * ATTN_LOG2E,
                     t->qt + 16 * v, ATTN_LANES);
    }
    memset(t->ot, 0, (size_t)D * ATTN_LANES * sizeof(float));
}

void ATTN_NAME(const kernel_attention_args *args, int64_t text, int64_t first, int64_t n, int64_t kv_old, int head, int64_t row_lo,
               int64_t row_hi, void *scratch) {
    const size_t D = (size_t)args->head_dim, lanes = ATTN_LANES * sizeof(float);
    char *s = scratch;
    attn panels[KERNEL_ATTENTION_PANELS];
    float *p = attn_take(&s, KERNEL_KEY_TILE * lanes), *space = attn_take(&s, 2 * KERNEL_KEY_TILE * D * sizeof(float));
    for (int i = 0; i < KERNEL_ATTENTION_PANELS; i++) {
        attn t = {.args = args, .text = text, .first = first, .kv_old = kv_old, .keys = kv_old + n, .head = head, .p = p};
        t.limited = args->causal || args->window_left >= 0 || args->window_right >= 0;
        t.qt = attn_take(&s, D * lanes);
        panels[i] = attn_arrays(t, &s);
    }
    attn_relative relative;
    if (args->relative) {
        relative = attn_relative_begin(args, first, n, kv_old, head, false, &s);
        for (int i = 0; i < KERNEL_ATTENTION_PANELS; i++) panels[i].relative = &relative;
    }
    for (int64_t row = row_lo; row < row_hi;) {
        int count = 0;
        for (; count < KERNEL_ATTENTION_PANELS && row < row_hi; count++, row += ATTN_LANES) {
            panels[count].row = row;
            panels[count].rows = row_hi - row < ATTN_LANES ? (int)(row_hi - row) : ATTN_LANES;
            attn_begin(&panels[count]);
        }
        for (int64_t key = 0; key < kv_old + n; key += KERNEL_KEY_TILE) {
            int64_t end = kv_old + n - key < KERNEL_KEY_TILE ? kv_old + n : key + KERNEL_KEY_TILE;
            attn_run run;
            if (count > 1) run = attn_copy(&panels[0], key, end, space);
            for (int i = 0; i < count; i++) attn_tile(&panels[i], key, end, count > 1 ? &run : NULL);
        }
        for (int i = 0; i < count; i++) attn_finish(&panels[i]);
    }
}

#endif
