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
 *     p  [64][lanes] = K Q^T            keys read in place, one number at a time, as the rows of a product
 *     p  = 2^(p - largest), and what was added up so far shrinks by 2^(old largest - new largest)
 *     ot [D][lanes] += V^T p            values read in place, too
 *
 * and at the end ot / sum is turned back. Neither keys nor values are copied, the softmax needs no reduction across lanes,
 * and what one query gets cannot depend on its neighbours, because lanes never meet. Per query everything is one chain: a
 * score over d = 0 .. D - 1, sum and output over the keys in order, cut into tiles of KERNEL_KEY_TILE from key 0.
 *
 * Logits are kept in units of log2(e), which Q takes in together with the scale.
 *
 * Scratch, all rows `lanes` wide:  qt [D] | ot [D] | p [64] | largest | sum | shrink | lo | hi
 *
 * A key that a query may not look at has the weight 0 exactly. A tile that no query of the panel may look at is passed
 * over: it would multiply by 2^0 = 1 and add 0.
 */
#ifndef ATTENTION_H
#define ATTENTION_H

#define ATTN_LANES (16 * ATTN_NV)
#define ATTN_LOG2E 1.44269504f

typedef struct attn {
    const kernel_attention_args *args;
    int64_t text, first, kv_old, keys; /* keys: old and new */
    int64_t row;                       /* first query of the panel */
    int head, rows;                    /* queries in the panel */
    bool limited;                      /* causal or a window: lo and hi matter */
    float *qt, *ot, *p, *largest, *sum, *shrink;
    int32_t *lo, *hi; /* [lanes] the positions that each query may look at, both ends included */
} attn;

/* Keys that lie at one stride: a part of a page, or of the new rows. */
typedef struct attn_run {
    const float *k, *v;
    int64_t k_stride, v_stride;
    int count;
} attn_run;

static attn_run attn_keys(const attn *t, int64_t key, int64_t end) {
    const kernel_attention_args *g = t->args;
    int64_t at = (int64_t)(t->head / (g->heads / g->kv_heads)) * g->head_dim;
    if (key >= t->kv_old) {
        int64_t r = t->first + key - t->kv_old;
        return (attn_run){g->k + r * g->k_stride + at, g->v + r * g->v_stride + at, g->k_stride, g->v_stride, (int)(end - key)};
    }
    int64_t in = key % g->page, stop = key - in + g->page;
    if (stop > t->kv_old) stop = t->kv_old;
    if (stop > end) stop = end;
    at += (int64_t)g->pages[key / g->page] * g->page_stride + in * g->cache_key_stride;
    return (attn_run){g->cache_k + at, g->cache_v + at, g->cache_key_stride, g->cache_key_stride, (int)(stop - key)};
}

static int64_t attn_position(const attn *t, int64_t key) {
    return key >= t->kv_old && t->args->positions ? t->args->positions[t->first + key - t->kv_old] : key;
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

/* dst[i][j] = src[j][i] * factor[i], the way back. */
static void attn_turn_out(const float *src, int64_t src_stride, vec factor, int rows, int64_t columns, float *dst, int64_t stride) {
    for (int64_t j = 0; j < columns; j += 16) {
        int n = columns - j < 16 ? (int)(columns - j) : 16;
        vec r[16];
        if (n == 16 && rows == 16) {
            VEC_UNROLL
            for (int i = 0; i < 16; i++) r[i] = vec_mul(vec_load(src + (j + i) * src_stride), factor);
            vec_transpose(r);
            VEC_UNROLL
            for (int i = 0; i < 16; i++) vec_store(dst + i * stride + j, r[i]);
        } else {
            for (int i = 0; i < 16; i++) r[i] = i < n ? vec_mul(vec_load(src + (j + i) * src_stride), factor) : vec_zero();
            vec_transpose(r);
            for (int i = 0; i < rows; i++) vec_store_n(dst + i * stride + j, r[i], n);
        }
    }
}

#define ATTN_UNIT ((int64_t)sizeof(float)) /* gemm_chain counts bytes */

/* p[i] = key i . query for mr keys. */
VEC_INLINE void attn_score(const float *k, int64_t k_stride, const float *qt, int64_t D, float *p, const int mr, const int nv) {
    vec c[ATTN_MR * ATTN_NV];
    VEC_UNROLL
    for (int i = 0; i < mr * nv; i++) c[i] = vec_zero();
    gemm_chain(c, mr, nv, D, (const char *)k, k_stride * ATTN_UNIT, ATTN_UNIT, (const char *)qt, ATTN_LANES * ATTN_UNIT, 0);
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
    gemm_chain(c, mr, nv, keys, (const char *)v0, ATTN_UNIT, v_stride * ATTN_UNIT, (const char *)p, ATTN_LANES * ATTN_UNIT, 0);
    VEC_UNROLL
    for (int i = 0; i < mr; i++) {
        VEC_UNROLL
        for (int v = 0; v < nv; v++) vec_store(ot + i * ATTN_LANES + 16 * v, c[i * nv + v]);
    }
}

typedef void attn_score_fn(const float *k, int64_t k_stride, const float *qt, int64_t D, float *p);
typedef void attn_add_fn(const float *v, int64_t v_stride, const float *p, int64_t keys, const float *shrink, float *ot);

#define ATTN_STAMP(mr, nv)                                                                                                                 \
    VEC_NOINLINE void attn_score_##mr##_##nv(const float *k, int64_t k_stride, const float *qt, int64_t D, float *p) {                     \
        attn_score(k, k_stride, qt, D, p, mr, nv);                                                                                         \
    }                                                                                                                                      \
    VEC_NOINLINE void attn_add_##mr##_##nv(const float *v, int64_t v_stride, const float *p, int64_t keys, const float *shrink,            \
                                           float *ot) {                                                                                    \
        attn_add(v, v_stride, p, keys, shrink, ot, mr, nv);                                                                                \
    }
#define ATTN_LOW(X, nv) X(1, nv) X(2, nv) X(3, nv) X(4, nv) X(5, nv)
#define ATTN_HIGH(X, nv) X(7, nv) X(8, nv) X(9, nv) X(10, nv) X(11, nv) X(12, nv)
#if ATTN_MR > 6
#define ATTN_HEIGHTS(X, nv) ATTN_LOW(X, nv) X(6, nv) ATTN_HIGH(X, nv)
#elif ATTN_MR == 6
#define ATTN_HEIGHTS(X, nv) ATTN_LOW(X, nv) X(6, nv)
#else
#define ATTN_HEIGHTS(X, nv) ATTN_LOW(X, nv)
#endif
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

/* How the panel's queries see the tile of keys [lo, hi): not at all, some of it, or all. */
typedef enum attn_sight { ATTN_NONE, ATTN_SOME, ATTN_ALL } attn_sight;

static attn_sight attn_sees(const attn *t, int64_t begin, int64_t end) {
    if (!t->limited) return ATTN_ALL;
    int64_t least = INT64_MAX, most = INT64_MIN;
    for (int64_t key = begin; key < end; key++) {
        int64_t at = attn_position(t, key);
        least = at < least ? at : least;
        most = at > most ? at : most;
    }
    bool all = true, none = true;
    for (int i = 0; i < t->rows; i++) {
        if (least < t->lo[i] || most > t->hi[i]) all = false;
        if (most >= t->lo[i] && least <= t->hi[i]) none = false;
    }
    return all ? ATTN_ALL : none ? ATTN_NONE : ATTN_SOME;
}

/* log2(e) times a bias. A huge finite one, as exporters write for "masked", stays finite: a row of nothing else is the plain
 * mean, as by the formula, while minus infinity masks. */
VEC_INLINE vec attn_bias(vec b) {
    vec least = vec_set1(-FLT_MAX), z = vec_max(least, vec_mul(b, vec_set1(ATTN_LOG2E)));
    return vec_select_lt(b, least, b, z);
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
    if (sight == ATTN_ALL) return;
    vec never = vec_set1(-INFINITY);
    for (int64_t j = 0; j < n; j++) {
        int32_t at = (int32_t)attn_position(t, begin + j);
        for (int v = 0; v < nv; v++) {
            float *p = t->p + j * ATTN_LANES + 16 * v;
            vec_store(p, vec_keep_between(vec_load(p), t->lo + 16 * v, t->hi + 16 * v, at, never));
        }
    }
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

static void attn_tile(const attn *t, int64_t begin, int64_t end) {
    const int D = t->args->head_dim, nv = (t->rows + 15) / 16;
    attn_sight sight = attn_sees(t, begin, end);
    if (sight == ATTN_NONE) return;
    for (int64_t key = begin; key < end;) {
        attn_run r = attn_keys(t, key, end);
        float *p = t->p + (key - begin) * ATTN_LANES;
        int blocks = (r.count + ATTN_MR - 1) / ATTN_MR;
        for (int j = 0; blocks > 0; blocks--) {
            int mr = (r.count - j + blocks - 1) / blocks;
            attn_scores[nv - 1][mr - 1](r.k + j * r.k_stride, r.k_stride, t->qt, D, p + j * ATTN_LANES);
            j += mr;
        }
        key += r.count;
    }
    attn_adjust(t, begin, end, nv, sight);
    if (nv == 1) attn_softmax(t, end - begin, 1);
    else attn_softmax(t, end - begin, ATTN_NV);
    const float *shrink = t->shrink;
    for (int64_t key = begin; key < end;) {
        attn_run r = attn_keys(t, key, end);
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

static int32_t attn_clamp(int64_t x) { return x < INT32_MIN ? INT32_MIN : x > INT32_MAX ? INT32_MAX : (int32_t)x; }

static void attn_panel(attn *t) {
    const kernel_attention_args *g = t->args;
    const int D = g->head_dim, nv = (t->rows + 15) / 16;
    float sink = g->sinks ? g->sinks[t->head] * ATTN_LOG2E : -INFINITY;
    for (int i = 0; i < 16 * nv; i++) {
        int64_t r = t->row + (i < t->rows ? i : 0), at = g->positions ? g->positions[r] : t->kv_old + r - t->first;
        t->largest[i] = sink > -FLT_MAX ? sink : -FLT_MAX;
        t->sum[i] = sink >= -FLT_MAX || sink != sink ? 1.0f : 0.0f;
        int64_t hi = g->window_right >= 0 ? at + g->window_right : INT64_MAX;
        t->lo[i] = g->window_left >= 0 ? attn_clamp(at - g->window_left) : INT32_MIN;
        t->hi[i] = attn_clamp(g->causal && at < hi ? at : hi);
    }
    for (int v = 0; v < nv; v++) {
        int rows = t->rows - 16 * v < 16 ? t->rows - 16 * v : 16;
        attn_turn_in(g->q + (t->row + 16 * v) * g->q_stride + (int64_t)t->head * D, g->q_stride, rows, D, g->scale * ATTN_LOG2E,
                     t->qt + 16 * v, ATTN_LANES);
    }
    memset(t->ot, 0, (size_t)D * ATTN_LANES * sizeof(float));
    for (int64_t key = 0; key < t->keys; key += KERNEL_KEY_TILE) {
        attn_tile(t, key, t->keys - key < KERNEL_KEY_TILE ? t->keys : key + KERNEL_KEY_TILE);
    }
    for (int v = 0; v < nv; v++) {
        vec sum = vec_load(t->sum + 16 * v), zero = vec_zero();
        vec inverse = vec_div(vec_set1(1.0f), vec_select_lt(zero, sum, sum, vec_keep_nan(sum, vec_set1(1.0f)))); /* no key: 0 / 1 */
        int rows = t->rows - 16 * v < 16 ? t->rows - 16 * v : 16;
        attn_turn_out(t->ot + 16 * v, ATTN_LANES, inverse, rows, D, g->y + (t->row + 16 * v) * g->y_stride + (int64_t)t->head * D,
                      g->y_stride);
    }
}

void ATTN_NAME(const kernel_attention_args *args, int64_t text, int64_t first, int64_t n, int64_t kv_old, int head, int64_t row_lo,
               int64_t row_hi, void *scratch) {
    float *s = scratch;
    int64_t part = (int64_t)args->head_dim * ATTN_LANES;
    attn t = {.args = args, .text = text, .first = first, .kv_old = kv_old, .keys = kv_old + n, .head = head};
    t.limited = args->causal || args->window_left >= 0 || args->window_right >= 0;
    t.qt = s;
    t.ot = s + part;
    t.p = s + 2 * part;
    t.largest = t.p + KERNEL_KEY_TILE * ATTN_LANES;
    t.sum = t.largest + ATTN_LANES;
    t.shrink = t.sum + ATTN_LANES;
    t.lo = (int32_t *)(t.shrink + ATTN_LANES);
    t.hi = t.lo + ATTN_LANES;
    for (t.row = row_lo; t.row < row_hi; t.row += ATTN_LANES) {
        t.rows = row_hi - t.row < ATTN_LANES ? (int)(row_hi - t.row) : ATTN_LANES;
        attn_panel(&t);
    }
}

#endif
