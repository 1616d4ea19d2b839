/* SPDX-License-Identifier: Apache-2.0
 *
 * What attention in every precision shares: where keys lie, which of them a query may look at, and turning rows into columns. The
 * including file has included a vec_<isa>.h and defined ATTN_MR (rows of a tile) and ATTN_NV (vectors of queries); a lane is a query.
 */
#ifndef ATTENTION_PARTS_H
#define ATTENTION_PARTS_H

#define ATTN_LANES (16 * ATTN_NV)
#define ATTN_LOG2E 1.44269504f

/* X(rows, vectors) for each height of a tile: one function is stamped out for each. */
#define ATTN_FOUR(X, nv) X(1, nv) X(2, nv) X(3, nv) X(4, nv)
#if ATTN_MR == 4
#define ATTN_HEIGHTS(X, nv) ATTN_FOUR(X, nv)
#elif ATTN_MR == 5
#define ATTN_HEIGHTS(X, nv) ATTN_FOUR(X, nv) X(5, nv)
#elif ATTN_MR == 6
#define ATTN_HEIGHTS(X, nv) ATTN_FOUR(X, nv) X(5, nv) X(6, nv)
#else
#define ATTN_HEIGHTS(X, nv) ATTN_FOUR(X, nv) X(5, nv) X(6, nv) X(7, nv) X(8, nv) X(9, nv) X(10, nv) X(11, nv) X(12, nv)
#endif

typedef struct attn {
    const kernel_attention_args *args;
    int64_t text, first, kv_old, keys; /* keys: old and new */
    int64_t row;                       /* first query of the panel */
    int head, rows;                    /* queries in the panel */
    bool limited;                      /* causal or a window: lo and hi matter */
    float *qt, *ot, *p, *largest, *sum, *shrink;
    int32_t *lo, *hi; /* [lanes] the positions that each query may look at, both ends included */
    struct attn_relative *relative; /* of all panels; or NULL */
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

/* dst[i][j] = src[j][i] * factor[i] for `rows` <= 16 columns and any number of rows. A whole block stays in registers. */
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

/* Scores of keys that a query may not look at become minus infinity. */
static void attn_mask(const attn *t, int64_t begin, int64_t end, int nv) {
    vec never = vec_set1(-INFINITY);
    for (int64_t j = 0; j < end - begin; j++) {
        int32_t at = (int32_t)attn_position(t, begin + j);
        for (int v = 0; v < nv; v++) {
            float *p = t->p + j * ATTN_LANES + 16 * v;
            vec_store(p, vec_keep_between(vec_load(p), t->lo + 16 * v, t->hi + 16 * v, at, never));
        }
    }
}

static int32_t attn_clamp(int64_t x) { return x < INT32_MIN ? INT32_MIN : x > INT32_MAX ? INT32_MAX : (int32_t)x; }

/* The positions that each query of the panel may look at. */
static void attn_limits(attn *t, int nv) {
    const kernel_attention_args *g = t->args;
    for (int i = 0; i < 16 * nv; i++) {
        int64_t r = t->row + (i < t->rows ? i : 0), at = g->positions ? g->positions[r] : t->kv_old + r - t->first;
        int64_t hi = g->window_right >= 0 ? at + g->window_right : INT64_MAX;
        t->lo[i] = g->window_left >= 0 ? attn_clamp(at - g->window_left) : INT32_MIN;
        t->hi[i] = attn_clamp(g->causal && at < hi ? at : hi);
    }
}

/* What a query's sums are multiplied by at the end; one that saw no key has sums of 0, and gets 0. */
VEC_INLINE vec attn_inverse(vec sum) {
    vec one = vec_set1(1.0f);
    return vec_div(one, vec_select_lt(vec_zero(), sum, sum, vec_keep_nan(sum, one)));
}

/* `bytes` more of the scratch, which is 64-aligned. */
static void *attn_take(char **scratch, size_t bytes) {
    void *p = *scratch;
    *scratch += (bytes + 63) / 64 * 64;
    return p;
}

static attn attn_arrays(attn t, char **scratch) {
    const size_t lanes = ATTN_LANES * sizeof(float);
    t.ot = attn_take(scratch, (size_t)t.args->head_dim * lanes);
    t.sum = attn_take(scratch, lanes); /* right behind ot: one row more, for who wants it so */
    t.largest = attn_take(scratch, lanes);
    t.shrink = attn_take(scratch, lanes);
    t.lo = attn_take(scratch, lanes);
    t.hi = attn_take(scratch, lanes);
    return t;
}

/* A query whose weights are all 0 gets 0, even if a value was not finite. */
static void attn_finish(const attn *t) {
    const kernel_attention_args *g = t->args;
    for (int v = 0; v < (t->rows + 15) / 16; v++) {
        const float *sum = t->sum + 16 * v;
        vec some = vec_select_lt(vec_zero(), vec_load(sum), vec_zero(), vec_set1(1.0f));
        for (int l = 0; vec_sum(some) > 0.0f && l < 16; l++)
            for (int d = 0; sum[l] == 0.0f && d < g->head_dim; d++) t->ot[d * ATTN_LANES + 16 * v + l] = 0.0f;
        int rows = t->rows - 16 * v < 16 ? t->rows - 16 * v : 16;
        attn_turn_out(t->ot + 16 * v, ATTN_LANES, attn_inverse(vec_load(t->sum + 16 * v)), rows, g->head_dim,
                      g->y + (t->row + 16 * v) * g->y_stride + (int64_t)t->head * g->head_dim, g->y_stride);
    }
}

#endif
