/* SPDX-License-Identifier: Apache-2.0
 *
 * The specification of attention: for each query, the softmax over all keys that it may look at, as the formula says: the
 * largest logit, then the sum, then the weighted values, all in double. Logits are computed again in each pass, so that
 * memory does not depend on the number of keys.
 *
 * attention_q8 rounds queries and keys, weights and values as its contract says, and leaves the rest to the same formula. Weights are
 * relative to the largest logit of the tiles so far, which its online softmax has then.
 */
#include "kernel/kernel_list.h"
#include <float.h>
#include <math.h>

#define MOST_D 256 /* of a head */

typedef struct query {
    const kernel_attention_args *args;
    int64_t text, first, kv_old;
    int head;
    int64_t row;
    int64_t position;
} query;

static int64_t key_offset(const query *q, int64_t key, int64_t stride) {
    const kernel_attention_args *g = q->args;
    int64_t head = (int64_t)(q->head / (g->heads / g->kv_heads)) * g->head_dim;
    if (key >= q->kv_old) return (q->first + key - q->kv_old) * stride + head;
    return g->pages[key / g->page] * g->page_stride + key % g->page * g->cache_key_stride + head;
}

static const float *key_at(const query *q, int64_t key) {
    return (key < q->kv_old ? q->args->cache_k : q->args->k) + key_offset(q, key, q->args->k_stride);
}

static const float *value_at(const query *q, int64_t key) {
    return (key < q->kv_old ? q->args->cache_v : q->args->v) + key_offset(q, key, q->args->v_stride);
}

static int64_t position_of(const query *q, int64_t key) { /* of a key; a query's is that of the key of its own row */
    if (key < q->kv_old || !q->args->positions) return key;
    return q->args->positions[q->first + key - q->kv_old];
}

static bool may_see(const query *q, int64_t key) {
    const kernel_attention_args *g = q->args;
    int64_t at = position_of(q, key);
    if (g->causal && at > q->position) return false;
    if (g->window_left >= 0 && at < q->position - g->window_left) return false;
    if (g->window_right >= 0 && at > q->position + g->window_right) return false;
    return true;
}

/* x rounded to a multiple of largest / most; NaN unless all is finite. */
static double rounded(double x, double largest, double most) {
    if (!(largest < INFINITY)) return NAN;
    float scale = (float)largest / (float)most;
    if (scale < FLT_MIN) scale = 1.0f;
    return (double)(fmaf((float)x, 1.0f / scale, 12582912.0f) - 12582912.0f) * (double)scale;
}

static double largest_of(const float *x, int64_t n, int64_t stride) {
    double largest = 0.0;
    for (int64_t i = 0; i < n; i++) {
        double size = fabs((double)x[i * stride]);
        if (!(size <= largest)) largest = size; /* a NaN stays: nothing is less */
        if (size != size) return NAN;
    }
    return largest;
}

static int64_t row_of(const query *q, int64_t key) {
    const kernel_relative *r = q->args->relative;
    int64_t distance = q->position - position_of(q, key);
    distance = distance < -r->reach ? -r->reach : distance > r->reach ? r->reach : distance;
    return r->rows[distance + r->reach];
}

static double bias_by_distance(const query *q, int64_t key) {
    const kernel_relative *r = q->args->relative;
    double sum = r && r->bias ? (double)r->bias[q->head * r->count + row_of(q, key)] : 0.0;
    if (r && r->slopes) sum += (double)r->slopes[q->head] * fabs((double)(q->position - position_of(q, key)));
    return sum;
}

/* The tables' row of the pair: keys' row . query and queries' row . key; x and k are query and key. */
static double by_distance(const query *q, int64_t key, bool q8, const double *x, const double *k) {
    const kernel_attention_args *g = q->args;
    const kernel_relative *r = g->relative;
    if (!r || !r->rows) return 0.0;
    const int64_t D = g->head_dim, block = KERNEL_RELATIVE_BLOCK;
    const int64_t row = row_of(q, key), rows = (r->count + block - 1) / block * block, group = q8 ? 4 : 1;
    const size_t head = (size_t)q->head * kernel_relative_bytes(q8, r->count, D);
    double s = 0.0;
    for (int64_t d = 0; r->keys && d < D; d++) {
        const float *f = (const float *)(const void *)((const char *)r->keys + head);
        s += x[d] *
             (q8 ? (double)f[row] * (((const uint8_t *)f)[8 * rows + row * D + d] - 128) : (double)f[row * D + d]);
    }
    for (int64_t d = 0; r->queries && d < D; d++) {
        const float *f = (const float *)(const void *)((const char *)r->queries + head);
        const int64_t at = row / block * D * block + (d / group * block + row % block) * group + d % group;
        s += k[d] * (q8 ? (double)f[row] * ((const int8_t *)f)[8 * rows + at] : (double)f[at]);
    }
    return s;
}

static double logit_q8(const query *q, int64_t key) {
    const kernel_attention_args *g = q->args;
    const float *x = g->q + q->row * g->q_stride + (int64_t)q->head * g->head_dim, *k = key_at(q, key);
    double x_largest = largest_of(x, g->head_dim, 1), k_largest = largest_of(k, g->head_dim, 1), s = 0.0, xs[MOST_D],
           ks[MOST_D];
    for (int d = 0; d < g->head_dim; d++) {
        xs[d] = rounded((double)x[d], x_largest, 127.0);
        ks[d] = rounded((double)k[d], k_largest, 127.0);
        s += xs[d] * ks[d];
    }
    return (s + by_distance(q, key, true, xs, ks)) * (double)g->scale + bias_by_distance(q, key);
}

static double logit(const query *q, int64_t key) {
    const kernel_attention_args *g = q->args;
    const float *x = g->q + q->row * g->q_stride + (int64_t)q->head * g->head_dim, *k = key_at(q, key);
    double s = 0.0, xs[MOST_D], ks[MOST_D];
    for (int d = 0; d < g->head_dim; d++) {
        xs[d] = (double)x[d];
        ks[d] = (double)k[d];
        s += xs[d] * ks[d];
    }
    s = (s + by_distance(q, key, false, xs, ks)) * (double)g->scale + bias_by_distance(q, key);
    if (g->softcap > 0.0f) s = (double)g->softcap * tanh(s / (double)g->softcap);
    if (g->bias) {
        s +=
            (double)g->bias[q->text * g->bias_text_stride + q->head * g->bias_head_stride + (q->row - q->first) * g->bias_row_stride + key];
    }
    return s;
}

static void attend(const query *q, int64_t keys, double *sums) {
    const kernel_attention_args *g = q->args;
    const double sink = g->sinks ? (double)g->sinks[q->head] : -INFINITY;
    float *y = g->y + q->row * g->y_stride + (int64_t)q->head * g->head_dim;
    double largest = sink;
    for (int64_t key = 0; key < keys; key++) {
        double s = may_see(q, key) ? logit(q, key) : -INFINITY;
        if (s > largest) largest = s;
    }
    if (largest == -INFINITY) largest = 0.0; /* then every weight is 0, except that of a NaN */
    double total = g->sinks ? exp(sink - largest) : 0.0;
    for (int d = 0; d < g->head_dim; d++) sums[d] = 0.0;
    for (int64_t key = 0; key < keys; key++) {
        if (!may_see(q, key)) continue;
        double p = exp(logit(q, key) - largest);
        total += p;
        for (int d = 0; d < g->head_dim; d++) sums[d] += p * (double)value_at(q, key)[d];
    }
    for (int d = 0; d < g->head_dim; d++) y[d] = total == 0.0 ? 0.0f : (float)(sums[d] / total);
}

void nk_attention_f32_f32_f32__1x1_generic(const kernel_attention_args *args, int64_t text, int64_t first, int64_t n, int64_t kv_old,
                                           int head, int64_t row_lo, int64_t row_hi, void *scratch) {
    for (int64_t r = row_lo; r < row_hi; r++) {
        query q = {args, text, first, kv_old, head, r, args->positions ? args->positions[r] : kv_old + r - first};
        attend(&q, kv_old + n, scratch);
    }
}

/* One tile of keys: the largest logit, the total and the sums go on from what they were. */
static void attend_tile(const query *q, int64_t begin, int64_t end, double *largest, double *total, double *sums) {
    const kernel_attention_args *g = q->args;
    double old = *largest, weight[KERNEL_KEY_TILE];
    bool sees = false;
    for (int64_t key = begin; key < end; key++) {
        weight[key - begin] = may_see(q, key) ? logit_q8(q, key) : -INFINITY;
        sees |= may_see(q, key);
        if (!(weight[key - begin] <= *largest)) *largest = weight[key - begin];
    }
    if (!sees) return;
    double shrink = exp(old - *largest);
    *total *= shrink;
    for (int64_t key = begin; key < end; key++) {
        double w = weight[key - begin] == -INFINITY ? 0.0 : exp(weight[key - begin] - *largest);
        weight[key - begin] = nearbyint(w * 4095.0) / 4095.0;
        *total += weight[key - begin];
    }
    for (int d = 0; d < g->head_dim; d++) {
        const float *v = value_at(q, begin) + d;
        double v_largest = largest_of(v, end - begin, g->v_stride), s = 0.0;
        for (int64_t key = begin; key < end; key++)
            s += weight[key - begin] * rounded((double)v[(key - begin) * g->v_stride], v_largest, 8191.0);
        sums[d] = sums[d] * shrink + s;
    }
}

void nk_attention_f32_q8_f32__1x1_generic(const kernel_attention_args *args, int64_t text, int64_t first, int64_t n, int64_t kv_old,
                                          int head, int64_t row_lo, int64_t row_hi, void *scratch) {
    double *sums = scratch;
    for (int64_t r = row_lo; r < row_hi; r++) {
        query q = {args, text, first, 0, head, r, args->positions ? args->positions[r] : r - first};
        float *y = args->y + r * args->y_stride + (int64_t)head * args->head_dim;
        double largest = -(double)FLT_MAX, total = 0.0;
        for (int d = 0; d < args->head_dim; d++) sums[d] = 0.0;
        for (int64_t key = 0; key < n; key += KERNEL_KEY_TILE)
            attend_tile(&q, key, n - key < KERNEL_KEY_TILE ? n : key + KERNEL_KEY_TILE, &largest, &total, sums);
        for (int d = 0; d < args->head_dim; d++) y[d] = total == 0.0 ? 0.0f : (float)(sums[d] / total);
    }
}
