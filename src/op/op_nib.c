/* SPDX-License-Identifier: Apache-2.0
 *
 * The operators of domain "nib": what the passes fuse into and what devices are best at. doc/operators.md describes
 * them for readers; this file is what they mean: infer, and a plain eval that is the reference for every kernel. Linear
 * is in op_nib_linear.c, Rotary in op_nib_rotary.c, Pick in op_nib_pick.c, quantized rows in op_nib_quant.c.
 *
 * Norm(x [.., C], gamma [C / groups], beta [C / groups]?, residual [.., C]?) -> y [.., C], sum [.., C]?
 *     kind "layer" or "rms", epsilon, groups (1); y = norm(x + residual) gamma + beta, sum = x + residual. Each of the
 *     groups of columns is normed by itself: the heads of queries and keys.
 *
 * Embed(ids_0, table_0 [V0, C], ids_1, table_1, ...) -> [.., C]
 *     the sum of the tables' rows, rounded to the type of the table; ids are broadcast to one shape.
 *
 * Attention(q, k?, v?, bias?, offsets?, positions?, relative_keys?, relative_queries?, relative_rows?, relative_bias?,
 * relative_slopes?) -> rows as wide as the queries. heads, kv_heads, scale, causal, window_left, window_right, softcap, masked_nan.
 *
 *     Padded: q [B, S, heads * D], k and v [B, Skv, kv_heads * D], bias broadcast to [B, heads, S, Skv], added to the
 *     scores. Packed: q, k, v [T, ..], offsets [B + 1]: text b is rows offsets[b] .. offsets[b + 1]; bias [B|1,
 * heads|1, S|1, S] only with positions: of query i and key j of a text it is the element at their positions, which are
 * below S. Without k and v, q has the columns of all three: [.., (heads + 2 kv_heads) * D].
 *
 *     causal, the window and distances count in positions (one for each row); without them, in rows from the text's
 *     first. relative_rows, i32 [2 M + 1]: the row of a distance, that of query less that of key, clipped to M, in the
 *     tables relative_keys, relative_queries [heads, R, D], relative_bias [heads, R]. A score is scale (q . k + q .
 * relative_keys[row] + k . relative_queries[row]) + relative_bias[row] + relative_slopes |distance|, the last [heads].
 *
 *     A query whose every key is at -infinity gives zeros; with masked_nan = 1 NaN, as Softmax of its scores does.
 *
 * Pool(x, mask or offsets, skip?) -> [B, C]
 *     mode mean, cls, max, mean_sqrt_len, weighted_mean, last. packed = 0: x [B, S, C], mask [B, S]; 1: x [T, C],
 *     offsets [B + 1]. skip, i64 [1]: so many of each text's tokens, from the first on, are left out; weights still
 *     count from the first. A text without tokens gives a zero row, and cls the first of those left out.
 *
 * Offsets(mask [B, S]) -> i64 [B + 1]: how many tokens lie before each text
 *
 * Pack(x [B, S, ..], mask [B, S]) -> [T, ..]: the rows whose mask is not 0, in order
 *
 * Unpack(x [T, ..], mask [B, S]) -> [B, S, ..]: the way back; other rows are 0
 */
#include "op_nib.h"
#include "base/base_half.h"
#include "op_local.h"
#include "op_nib_operands.h"

/* ---------------------------------------------------------------- attributes */

int op_pooling(const graph_node *n) {
    nib_pooling p;
    const char *name = graph_attr_string(n, "mode", nib_pooling_name(NIB_POOLING_MEAN));
    return nib_pooling_from_name(name, &p) == NIB_OK && p >= NIB_POOLING_MEAN ? (int)p : -1;
}

int64_t op_norm_groups(const graph_node *n, int64_t C) {
    int64_t groups = graph_attr_int(n, "groups", 1);
    return groups == 1 || (groups > 1 && groups <= C && C % groups == 0) ? groups : 0;
}

/* ---------------------------------------------------------------- infer */

static nib_status infer_norm(op_infer *c) {
    const graph_type *x = op_in_type(c, 0);
    int64_t width;
    if (x->rank == 0) return op_fail(c, NIB_SHAPE, "the input is a scalar");
    if (x->rank > 0 && graph_dim_is_const(x->dims[x->rank - 1], &width) && !op_norm_groups(c->node, width))
        return op_fail(c, NIB_SHAPE, "its groups do not divide its columns");
    nib_status status = op_set_like(c, 0, x->dtype, x);
    if (status == NIB_OK && c->node->n_outputs > 1) status = op_set_like(c, 1, x->dtype, x);
    return status;
}

static nib_status infer_embed(op_infer *c) {
    if (c->node->n_inputs % 2) return op_fail(c, NIB_BAD_MODEL, "ids and tables must come in pairs");
    for (int i = 0; i < c->node->n_inputs; i++)
        if (!op_in(c, i)) return op_fail(c, NIB_BAD_MODEL, "input %d is missing", i);
    graph_type y = *op_in_type(c, 0);
    for (int i = 2; i < c->node->n_inputs && y.rank >= 0; i += 2) {
        const graph_type *t = op_in_type(c, i);
        graph_dim dims[GRAPH_MAX_RANK];
        int rank = t->rank < 0 ? -1 : op_broadcast(c->g->symbols, &y, t, dims);
        y.rank = rank;
        for (int k = 0; k < rank; k++) y.dims[k] = dims[k];
    }
    const graph_type *table = op_in_type(c, 1);
    if (table->rank >= 0 && table->rank != 2) return op_fail(c, NIB_SHAPE, "a table has rank %d, not 2", table->rank);
    if (y.rank < 0 || y.rank >= GRAPH_MAX_RANK) return op_set(c, 0, NIB_DTYPE_F32, -1, NULL);
    y.dims[y.rank] = table->rank == 2 ? table->dims[1] : NULL;
    return op_set(c, 0, NIB_DTYPE_F32, y.rank + 1, y.dims);
}

/* Like q, or as wide as the queries among the columns of q, k and v. */
static nib_status infer_attention(op_infer *c) {
    op_attention a;
    op_attention_get(c->node, &a);
    graph_type y = *op_in_type(c, OP_ATTENTION_Q);
    int64_t width;
    if (a.products < 0) return op_fail(c, NIB_BAD_MODEL, "unknown precision");
    if (!a.relative_rows != (!a.relative_keys && !a.relative_queries && !a.relative_bias))
        return op_fail(c, NIB_BAD_MODEL, "tables by distance without their rows, or rows without tables");
    if (y.rank > 0 && !a.k) {
        bool known = graph_dim_is_const(y.dims[y.rank - 1], &width);
        if (a.heads < 1 || a.kv_heads < 1 || a.heads > INT32_MAX || a.kv_heads > INT32_MAX || (known && width % (a.heads + 2 * a.kv_heads)))
            return op_fail(c, NIB_SHAPE, "heads do not divide the columns of queries, keys and values");
        y.dims[y.rank - 1] = known ? op_const(c, width / (a.heads + 2 * a.kv_heads) * a.heads) : NULL;
    }
    return op_set_like(c, 0, y.dtype, &y);
}

static nib_status infer_pool(op_infer *c) {
    const graph_type *x = op_in_type(c, 0), *m = op_in_type(c, 1);
    bool packed = graph_attr_int(c->node, "packed", 0) != 0;
    int want = packed ? 2 : 3;
    if (op_pooling(c->node) < 0) return op_fail(c, NIB_BAD_MODEL, "unknown pooling mode");
    if (x->rank >= 0 && x->rank != want) return op_fail(c, NIB_SHAPE, "the input has rank %d, not %d", x->rank, want);
    graph_dim dims[2] = {NULL, NULL};
    if (x->rank > 0) {
        dims[1] = x->dims[x->rank - 1];
        if (!packed) dims[0] = x->dims[0];
        else if (m->rank == 1) dims[0] = graph_dim_sub(c->g->symbols, m->dims[0], graph_dim_const(c->g->symbols, 1));
    }
    return op_set(c, 0, x->dtype, 2, dims);
}

static nib_status infer_offsets(op_infer *c) {
    const graph_type *m = op_in_type(c, 0);
    graph_dim d = m->rank == 2 ? graph_dim_add(c->g->symbols, m->dims[0], graph_dim_const(c->g->symbols, 1)) : NULL;
    return op_set(c, 0, NIB_DTYPE_I64, 1, &d);
}

static nib_status infer_pack(op_infer *c) {
    const graph_type *x = op_in_type(c, 0);
    graph_dim dims[GRAPH_MAX_RANK];
    if (x->rank < 0) return op_set(c, 0, x->dtype, -1, NULL);
    if (x->rank < 2) return op_fail(c, NIB_SHAPE, "the input has rank %d, less than 2", x->rank);
    dims[0] = graph_dim_symbol(c->g->symbols, OP_TOKENS_SYMBOL);
    for (int i = 2; i < x->rank; i++) dims[i - 1] = x->dims[i];
    return op_set(c, 0, x->dtype, x->rank - 1, dims);
}

static nib_status infer_unpack(op_infer *c) {
    const graph_type *x = op_in_type(c, 0), *m = op_in_type(c, 1);
    graph_dim dims[GRAPH_MAX_RANK] = {NULL};
    if (x->rank < 1 || x->rank >= GRAPH_MAX_RANK) return op_set(c, 0, x->dtype, -1, NULL);
    for (int i = 0; i < 2; i++) dims[i] = m->rank == 2 ? m->dims[i] : NULL;
    for (int i = 1; i < x->rank; i++) dims[i + 1] = x->dims[i];
    return op_set(c, 0, x->dtype, x->rank + 1, dims);
}

/* ---------------------------------------------------------------- eval */

static nib_status want_f32(op_eval *c, int count) {
    for (int i = 0; i < count && i < c->n_in; i++)
        if (c->in[i] && c->in[i]->dtype != NIB_DTYPE_F32)
            return op_bad(c, NIB_TYPE, "input %d is %s, not f32", i, nib_dtype_name(c->in[i]->dtype));
    return NIB_OK;
}

static const graph_tensor *input(const op_eval *c, int i) { return i < c->n_in ? c->in[i] : NULL; }
static int64_t rows_of(const graph_tensor *t) {
    int64_t n = 1;
    for (int i = 0; i + 1 < t->rank; i++) n *= t->dims[i];
    return n;
}
static int64_t last_of(const graph_tensor *t) { return t->rank ? t->dims[t->rank - 1] : 1; }

int64_t op_index_at(const graph_tensor *t, int64_t i) {
    switch (t->dtype) {
    case NIB_DTYPE_I64: return ((const int64_t *)t->data)[i];
    case NIB_DTYPE_I32: return ((const int32_t *)t->data)[i];
    case NIB_DTYPE_F32: return ((const float *)t->data)[i] != 0;
    default: return ((const uint8_t *)t->data)[i];
    }
}

static bool is_index_type(const graph_tensor *t) {
    return t->dtype == NIB_DTYPE_I64 || t->dtype == NIB_DTYPE_I32 || t->dtype == NIB_DTYPE_F32 || t->dtype == NIB_DTYPE_BOOL ||
           t->dtype == NIB_DTYPE_U8 || t->dtype == NIB_DTYPE_I8;
}

/* Output i through op_out, which refuses sizes that overflow. NULL: return c->status. */
static void *give(op_eval *c, int i, nib_dtype dtype, int rank, const int64_t *dims) {
    op_dims shape = {.rank = rank};
    void *y;
    for (int k = 0; k < rank; k++) shape.d[k] = dims[k];
    c->status = op_out(c, i, dtype, &shape, &y);
    return y;
}

/* Offsets that climb from 0 or more to `rows` or less: all that follows may index with them. */
static bool offsets_fit(const graph_tensor *t, int64_t rows) {
    int64_t n = graph_tensor_elements(t), last = 0;
    if (t->rank != 1 || n < 1 || (t->dtype != NIB_DTYPE_I64 && t->dtype != NIB_DTYPE_I32)) return false;
    for (int64_t i = 0; i < n; i++) {
        int64_t at = op_index_at(t, i);
        if (at < last || at > rows) return false;
        last = at;
    }
    return true;
}

static nib_status eval_norm(op_eval *c) {
    const graph_tensor *x = c->in[0], *gamma = c->in[1], *beta = input(c, 2), *residual = input(c, 3);
    if (want_f32(c, 4) != NIB_OK) return NIB_TYPE;
    int64_t M = x->rank ? rows_of(x) : 0, C = last_of(x), groups = x->rank ? op_norm_groups(c->node, C) : 0;
    if (!groups) return op_bad(c, NIB_SHAPE, "its groups do not divide its columns");
    M *= groups; /* rows lie one behind the other, and so do their parts */
    C /= groups;
    if (graph_tensor_elements(gamma) != C || (beta && graph_tensor_elements(beta) != C))
        return op_bad(c, NIB_SHAPE, "scale or shift do not fit");
    if (residual && graph_tensor_elements(residual) != M * C) return op_bad(c, NIB_SHAPE, "the residual does not fit");
    float *y = give(c, 0, NIB_DTYPE_F32, x->rank, x->dims), *sum = NULL;
    if (!y) return c->status;
    if (c->node->n_outputs > 1 && c->node->outputs[1]) {
        sum = give(c, 1, NIB_DTYPE_F32, x->rank, x->dims);
        if (!sum) return c->status;
    }
    float eps = graph_attr_float(c->node, "epsilon", 1e-5f);
    const float *r = residual ? residual->data : NULL;
    if (strcmp(graph_attr_string(c->node, "kind", "layer"), "rms") == 0)
        c->kernels->rms_norm_f32(x->data, C, r, C, gamma->data, eps, M, C, y, C, sum, C);
    else c->kernels->layer_norm_f32(x->data, C, r, C, gamma->data, beta ? beta->data : NULL, eps, M, C, y, C, sum, C);
    return NIB_OK;
}

static nib_status eval_embed(op_eval *c) {
    int pairs = c->n_in / 2;
    int64_t dims[GRAPH_MAX_RANK] = {0};
    int rank = 0;
    if (pairs < 1 || pairs > OP_EMBED_MAX) return op_bad(c, NIB_BAD_MODEL, "wrong number of inputs");
    for (int p = 0; p < pairs; p++) {
        if (!c->in[2 * p] || !c->in[2 * p + 1]) return op_bad(c, NIB_BAD_MODEL, "ids or a table are missing");
        if (c->in[2 * p]->rank > rank) rank = c->in[2 * p]->rank;
    }
    if (rank >= GRAPH_MAX_RANK) return op_bad(c, NIB_LIMIT, "rank");
    for (int i = 0; i < rank; i++) dims[i] = 1;
    for (int p = 0; p < pairs; p++) {
        const graph_tensor *ids = c->in[2 * p], *table = c->in[2 * p + 1];
        if (!is_index_type(ids)) return op_bad(c, NIB_TYPE, "ids are %s", nib_dtype_name(ids->dtype));
        if (!op_is_weight_type(table->dtype) || table->rank != 2 || table->dims[1] != c->in[1]->dims[1])
            return op_bad(c, NIB_SHAPE, "the tables do not fit");
        for (int i = 0; i < ids->rank; i++) {
            int64_t *d = &dims[rank - ids->rank + i], s = ids->dims[i];
            if (*d == 1) *d = s;
            else if (s != 1 && s != *d) return op_bad(c, NIB_SHAPE, "the ids do not fit each other");
        }
    }
    int64_t C = c->in[1]->dims[1], n = op_count(rank, dims);
    dims[rank] = C;
    float *y = give(c, 0, NIB_DTYPE_F32, rank + 1, dims);
    if (!y) return c->status;
    float *wide = NULL; /* [pairs, C] */
    int8_t *rounded = NULL; /* [C] */
    int formats[OP_EMBED_MAX];
    for (int p = 0; p < pairs; p++) {
        formats[p] = op_weight_format(&c->node->inputs[2 * p + 1].value->type);
        if (formats[p] < 0) return op_bad(c, NIB_TYPE, "a table is of a type that nothing looks up");
        if (wide || (formats[p] == KERNEL_WEIGHT_F32 && !base_is_half(c->in[2 * p + 1]->dtype))) continue;
        OP_TRY(op_scratch(c, op_count(2, (int64_t[]){pairs, C}), sizeof *wide, &wide));
        OP_TRY(op_scratch(c, C, sizeof *rounded, &rounded));
    }
    for (int64_t r = 0; r < (C ? n : 0); r++) {
        const void *rows[OP_EMBED_MAX];
        for (int p = 0; p < pairs; p++) {
            const graph_tensor *ids = c->in[2 * p], *table = c->in[2 * p + 1];
            int64_t at = 0, step = 1, rest = r;
            for (int i = rank - 1; i >= 0; i--) {
                int k = i - (rank - ids->rank);
                int64_t pos = rest % dims[i];
                rest /= dims[i];
                if (k < 0) continue;
                if (ids->dims[k] != 1) at += pos * step;
                step *= ids->dims[k];
            }
            int64_t id = op_index_at(ids, at);
            if (id < 0) id += table->dims[0];
            if (id < 0 || id >= table->dims[0])
                return op_bad(c, NIB_INVALID_ARGUMENT, "id %lld is outside the table of %lld rows", (long long)op_index_at(ids, at),
                              (long long)table->dims[0]);
            rows[p] = (const uint8_t *)table->data + graph_type_bytes(table->dtype, (size_t)(id * C));
            if (!wide) continue;
            if (base_is_half(table->dtype)) base_widen(table->dtype, rows[p], (size_t)C, wide + p * C);
            else memcpy(wide + p * C, rows[p], (size_t)C * sizeof *wide);
            op_round_row(formats[p], wide + p * C, C, rounded);
            rows[p] = wide + p * C;
        }
        c->kernels->gather_sum_f32(rows, pairs, C, y + r * C);
    }
    return NIB_OK;
}

/* The bias element for (b, h, i, j), each axis of size 1 or full. */
static float bias_at(const graph_tensor *t, int64_t b, int64_t h, int64_t i, int64_t j) {
    int64_t index[4] = {b, h, i, j}, at = 0;
    for (int k = 0; k < t->rank; k++) at = at * t->dims[k] + (t->dims[k] == 1 ? 0 : index[4 - t->rank + k]);
    return ((const float *)t->data)[at];
}

typedef struct attention_shape {
    int64_t B, S, Skv, D;
    int heads, kv_heads;
    float scale, softcap;
    bool causal, packed, masked_nan;
    int64_t left, right;
    const int32_t *positions; /* of the text's rows, or NULL: 0, 1, 2, ... */
    const float *relative_keys, *relative_queries; /* [heads, table, D] or NULL */
    const float *relative_bias;                    /* [heads, table] or NULL */
    const float *relative_slopes;                  /* [heads] or NULL */
    const int32_t *relative_rows;                  /* [2 reach + 1] or NULL */
    int64_t reach, table;
} attention_shape;

static bool sees(const attention_shape *s, int64_t i, int64_t j) {
    if (s->positions) i = s->positions[i], j = s->positions[j];
    return !((s->causal && j > i) || (s->left >= 0 && j < i - s->left) || (s->right >= 0 && j - s->right > i));
}

/* scale (q . k), and what the tables have for their distance. */
static double score(const attention_shape *s, const float *q, const float *k, int h, int64_t i, int64_t j) {
    const double scale = (double)s->scale;
    double sum = 0;
    for (int64_t d = 0; d < s->D; d++) sum += (double)q[d] * (double)k[d];
    if (!s->relative_rows && !s->relative_slopes) return sum * scale;
    int64_t distance = s->positions ? (int64_t)s->positions[i] - s->positions[j] : i - j;
    const double far = s->relative_slopes ? (double)s->relative_slopes[h] * fabs((double)distance) : 0;
    if (!s->relative_rows) return sum * scale + far;
    distance = distance < -s->reach ? -s->reach : distance > s->reach ? s->reach : distance;
    const int64_t row = h * s->table + s->relative_rows[distance + s->reach], at = row * s->D;
    for (int64_t d = 0; s->relative_keys && d < s->D; d++) sum += (double)q[d] * (double)s->relative_keys[at + d];
    for (int64_t d = 0; s->relative_queries && d < s->D; d++) sum += (double)k[d] * (double)s->relative_queries[at + d];
    return sum * scale + (s->relative_bias ? (double)s->relative_bias[row] : 0) + far;
}

/* One query row of one head: softmax(scale q k + bias) v over keys [0, n), keys at k + j * stride. */
static void attend(const attention_shape *s, const float *q, const float *k, const float *v, int64_t stride, const graph_tensor *bias,
                   int64_t b, int h, int64_t i, int64_t n, float *y) {
    double most = -INFINITY, total = 0, acc[OP_HEAD_MAX] = {0};
    for (int pass = 0; pass < 2; pass++) {
        for (int64_t j = 0; j < n; j++) {
            if (!sees(s, i, j)) continue;
            double dot = score(s, q, k + j * stride, h, i, j);
            if (s->softcap > 0) dot = (double)s->softcap * tanh(dot / (double)s->softcap);
            if (bias) dot = (double)((float)dot + bias_at(bias, b, h, s->packed ? s->positions[i] : i, s->packed ? s->positions[j] : j));
            if (pass == 0) {
                if (dot > most) most = dot;
                continue;
            }
            double p = most == -INFINITY ? exp(dot) : dot == most ? 1 : exp(dot - most); /* every key at -infinity: no weight at all */
            total += p;
            for (int64_t d = 0; d < s->D; d++) acc[d] += p * (double)v[j * stride + d];
        }
    }
    for (int64_t d = 0; d < s->D; d++) y[d] = total != 0 ? (float)(acc[d] / total) : s->masked_nan && bias ? NAN : 0;
}

/* Rows of queries, keys and values: of three tensors, or column ranges of one. */
typedef struct attention_rows {
    const float *q, *k, *v;
    int64_t q_stride, kv_stride, S, Skv;
} attention_rows;

/* Whether a bias has an element for text b's queries and keys, each axis broadcast or as long as it is. */
static bool bias_fits(const graph_tensor *bias, const attention_shape *s, int64_t rows, int64_t keys, bool packed) {
    int64_t full[4] = {s->B, s->heads, rows, keys};
    if (packed) full[2] = full[3] = bias->rank > 0 ? last_of(bias) : 1;
    for (int a = 0; a < bias->rank; a++)
        if (bias->dims[a] != 1 && bias->dims[a] != full[4 - bias->rank + a]) return false;
    for (int64_t i = 0; packed && i < rows; i++)
        if (s->positions[i] < 0 || s->positions[i] >= full[3]) return false;
    return true;
}

static nib_status attention_inputs(op_eval *c, attention_shape *s, attention_rows *r) {
    const graph_tensor *q = c->in[OP_ATTENTION_Q], *k = input(c, OP_ATTENTION_K), *v = input(c, OP_ATTENTION_V);
    const graph_tensor *offsets = input(c, OP_ATTENTION_OFFSETS), *positions = input(c, OP_ATTENTION_POSITIONS);
    int want = offsets ? 2 : 3, rows_axis = want - 2;
    bool joined = !k && !v;
    if (s->heads < 1 || s->kv_heads < 1 || s->heads % s->kv_heads || q->rank != want || (!joined && (!k || !v)))
        return op_bad(c, NIB_SHAPE, "queries, keys and values do not fit");
    int64_t shares = joined ? (int64_t)s->heads + 2 * (int64_t)s->kv_heads : s->heads;
    s->D = last_of(q) / shares;
    if (last_of(q) % shares || s->D > OP_HEAD_MAX) return op_bad(c, NIB_SHAPE, "heads do not divide the rows");
    *r = (attention_rows){.q = q->data, .q_stride = last_of(q), .S = q->dims[rows_axis], .Skv = q->dims[rows_axis]};
    r->kv_stride = r->q_stride;
    if (joined) {
        r->k = r->q + s->heads * s->D;
        r->v = r->k + s->kv_heads * s->D;
    } else {
        if (k->rank != want || v->rank != want || last_of(k) != last_of(v) || last_of(k) != s->kv_heads * s->D ||
            k->dims[rows_axis] != v->dims[rows_axis] || (!offsets && (q->dims[0] != k->dims[0] || v->dims[0] != k->dims[0])))
            return op_bad(c, NIB_SHAPE, "queries, keys and values do not fit");
        r->k = k->data;
        r->v = v->data;
        r->kv_stride = last_of(k);
        r->Skv = k->dims[rows_axis];
    }
    if (offsets && (r->Skv != r->S || !offsets_fit(offsets, r->S))) return op_bad(c, NIB_SHAPE, "offsets do not fit");
    if (positions &&
        (positions->dtype != NIB_DTYPE_I32 || r->Skv != r->S || graph_tensor_elements(positions) != (offsets ? r->S : q->dims[0] * r->S)))
        return op_bad(c, NIB_SHAPE, "positions are not one i32 for each row");
    return NIB_OK;
}

/* Tables [heads, R, D], the bias [heads, R], and rows of them for 2 reach + 1 distances; slopes [heads]. */
static nib_status relative_inputs(op_eval *c, attention_shape *s) {
    static const int operands[3] = {OP_ATTENTION_RELATIVE_KEYS, OP_ATTENTION_RELATIVE_QUERIES,
                                    OP_ATTENTION_RELATIVE_BIAS};
    const float **to[3] = {&s->relative_keys, &s->relative_queries, &s->relative_bias};
    const graph_tensor *rows = input(c, OP_ATTENTION_RELATIVE_ROWS), *slopes = input(c, OP_ATTENTION_RELATIVE_SLOPES);
    if (slopes && slopes->dtype != NIB_DTYPE_F32)
        return op_bad(c, NIB_TYPE, "relative_slopes are %s, not f32", nib_dtype_name(slopes->dtype));
    if (slopes && (slopes->rank != 1 || slopes->dims[0] != s->heads))
        return op_bad(c, NIB_SHAPE, "relative_slopes are not [heads]");
    if (slopes) s->relative_slopes = slopes->data;
    for (int i = 0; i < 3; i++) {
        const graph_tensor *t = input(c, operands[i]);
        const int rank = i < 2 ? 3 : 2;
        if (!t) continue;
        if (t->dtype != NIB_DTYPE_F32)
            return op_bad(c, NIB_TYPE, "a table by distance is %s, not f32", nib_dtype_name(t->dtype));
        if (!rows || t->rank != rank || t->dims[0] != s->heads || (rank == 3 && t->dims[2] != s->D) ||
            (s->table && s->table != t->dims[1]))
            return op_bad(c, NIB_SHAPE, "tables by distance do not fit");
        s->table = t->dims[1];
        *to[i] = t->data;
    }
    if (!rows) return NIB_OK;
    if (rows->dtype != NIB_DTYPE_I32 || rows->rank != 1 || rows->dims[0] % 2 != 1)
        return op_bad(c, NIB_SHAPE, "relative_rows are no i32 [2 M + 1]");
    s->relative_rows = rows->data;
    s->reach = rows->dims[0] / 2;
    for (int64_t i = 0; i < rows->dims[0]; i++)
        if (s->relative_rows[i] < 0 || s->relative_rows[i] >= s->table)
            return op_bad(c, NIB_SHAPE, "relative_rows are beyond the tables");
    return NIB_OK;
}

static nib_status eval_attention(op_eval *c) {
    const graph_tensor *q = c->in[OP_ATTENTION_Q], *bias = input(c, OP_ATTENTION_BIAS);
    const graph_tensor *offsets = input(c, OP_ATTENTION_OFFSETS), *positions = input(c, OP_ATTENTION_POSITIONS);
    attention_rows r = {0};
    op_attention a;
    if (want_f32(c, OP_ATTENTION_OFFSETS) != NIB_OK) return NIB_TYPE;
    op_attention_get(c->node, &a);
    if (a.heads > INT32_MAX || a.kv_heads > INT32_MAX) return op_bad(c, NIB_SHAPE, "queries, keys and values do not fit");
    attention_shape s = {.heads = (int)a.heads,
                         .kv_heads = (int)a.kv_heads,
                         .scale = a.scale,
                         .softcap = a.softcap,
                         .causal = a.causal,
                         .masked_nan = a.masked_nan,
                         .left = a.left,
                         .right = a.right};
    OP_TRY(attention_inputs(c, &s, &r));
    OP_TRY(relative_inputs(c, &s));
    if (bias && (bias->rank > 4 || (offsets && !positions))) return op_bad(c, NIB_SHAPE, "the bias does not fit");
    s.B = offsets ? graph_tensor_elements(offsets) - 1 : q->dims[0];
    s.packed = offsets != NULL;
    int64_t dims[GRAPH_MAX_RANK], width = s.heads * s.D;
    memcpy(dims, q->dims, sizeof dims);
    dims[q->rank - 1] = width;
    float *y = give(c, 0, NIB_DTYPE_F32, q->rank, dims);
    if (!y) return c->status;
    for (int64_t b = 0; b < (width ? s.B : 0); b++) {
        int64_t first = offsets ? op_index_at(offsets, b) : b * r.S, rows = offsets ? op_index_at(offsets, b + 1) - first : r.S;
        int64_t kfirst = offsets ? first : b * r.Skv, n = offsets ? rows : r.Skv;
        s.positions = positions ? (const int32_t *)positions->data + first : NULL;
        if (bias && !bias_fits(bias, &s, rows, n, offsets != NULL)) return op_bad(c, NIB_SHAPE, "the bias does not fit");
        for (int64_t i = 0; i < rows; i++)
            for (int h = 0; h < s.heads; h++) {
                int64_t kh = h / (s.heads / s.kv_heads) * s.D;
                attend(&s, r.q + (first + i) * r.q_stride + h * s.D, r.k + kfirst * r.kv_stride + kh, r.v + kfirst * r.kv_stride + kh,
                       r.kv_stride, bias, b, h, i, n, y + (first + i) * width + h * s.D);
            }
    }
    return NIB_OK;
}

void op_pool_rows(const kernels *ks, nib_pooling mode, const float *x, int64_t stride, int64_t n, int64_t skip, int64_t C, float *y) {
    double weights = 0;
    if (skip < 0) skip = 0;
    if (skip >= n && !(mode == NIB_POOLING_CLS && n > 0)) {
        memset(y, 0, (size_t)C * sizeof *y);
        return;
    }
    if (skip >= n) skip = 0;
    x += skip * stride;
    n -= skip;
    switch (mode) {
    case NIB_POOLING_CLS: memcpy(y, x, (size_t)C * sizeof *y); return;
    case NIB_POOLING_LAST: memcpy(y, x + (n - 1) * stride, (size_t)C * sizeof *y); return;
    case NIB_POOLING_MAX: ks->row_max_f32(x, stride, n, C, y); return;
    case NIB_POOLING_WEIGHTED_MEAN: /* weights 1, 2, ..., n as sentence-transformers counts positions */
        memset(y, 0, (size_t)C * sizeof *y);
        for (int64_t r = 0; r < n; r++)
            for (int64_t i = 0; i < C; i++) y[i] += (float)(skip + r + 1) * x[r * stride + i];
        weights = (double)n * (double)(2 * skip + n + 1) / 2;
        ks->scale_f32(y, (float)(1 / weights), C, y);
        return;
    case NIB_POOLING_MEAN_SQRT_LEN:
        ks->row_sum_f32(x, stride, NULL, n, C, y);
        ks->scale_f32(y, (float)(1 / sqrt((double)n)), C, y);
        return;
    default: ks->row_sum_f32(x, stride, NULL, n, C, y); ks->scale_f32(y, 1.0f / (float)n, C, y);
    }
}

static nib_status eval_pool(op_eval *c) {
    const graph_tensor *x = c->in[0], *m = c->in[1], *skip = input(c, 2);
    bool packed = graph_attr_int(c->node, "packed", 0) != 0;
    int mode = op_pooling(c->node);
    if (want_f32(c, 1) != NIB_OK) return NIB_TYPE;
    if (skip && (skip->dtype != NIB_DTYPE_I64 || graph_tensor_elements(skip) != 1)) return op_bad(c, NIB_SHAPE, "skip is no i64 [1]");
    if (mode < 0 || x->rank != (packed ? 2 : 3) || !is_index_type(m) ||
        (packed ? m->rank != 1 : m->rank != 2 || m->dims[0] != x->dims[0] || m->dims[1] != x->dims[1]))
        return op_bad(c, NIB_SHAPE, "input and %s do not fit", packed ? "offsets" : "mask");
    if (packed && !offsets_fit(m, x->dims[0])) return op_bad(c, NIB_SHAPE, "offsets do not fit");
    int64_t C = last_of(x), B = packed ? m->dims[0] - 1 : x->dims[0], S = packed || B == 0 ? 0 : x->dims[1];
    float *y = give(c, 0, NIB_DTYPE_F32, 2, (int64_t[]){B, C});
    float *rows = y ? c->scratch(c, (size_t)(S * C + 1) * sizeof(float)) : NULL;
    if (!rows) return c->status;
    for (int64_t b = 0; b < B; b++) {
        const float *from = packed ? (const float *)x->data + op_index_at(m, b) * C : rows;
        int64_t n = packed ? op_index_at(m, b + 1) - op_index_at(m, b) : 0;
        for (int64_t s = 0; s < S; s++)
            if (op_index_at(m, b * S + s)) memcpy(rows + n++ * C, (const float *)x->data + (b * S + s) * C, (size_t)C * sizeof *rows);
        op_pool_rows(c->kernels, (nib_pooling)mode, from, C, n, skip ? op_index_at(skip, 0) : 0, C, y + b * C);
        if (graph_attr_int(c->node, OP_POOL_UNIT, 0)) c->kernels->l2_normalize_f32(y + b * C, C, 1, C, y + b * C, C);
    }
    return NIB_OK;
}

static nib_status eval_offsets(op_eval *c) {
    const graph_tensor *m = c->in[0];
    if (m->rank != 2 || m->dims[0] == INT64_MAX || !is_index_type(m)) return op_bad(c, NIB_SHAPE, "the mask is no [B, S] of numbers");
    int64_t *y = give(c, 0, NIB_DTYPE_I64, 1, (int64_t[]){m->dims[0] + 1}), n = 0;
    if (!y) return c->status;
    for (int64_t b = 0; b < m->dims[0]; b++) {
        y[b] = n;
        for (int64_t s = 0; s < m->dims[1]; s++) n += op_index_at(m, b * m->dims[1] + s) != 0;
    }
    y[m->dims[0]] = n;
    return NIB_OK;
}

static nib_status eval_pack(op_eval *c) {
    const graph_tensor *x = c->in[0], *m = c->in[1];
    if (x->rank < 2 || m->rank != 2 || m->dims[0] != x->dims[0] || m->dims[1] != x->dims[1] || !is_index_type(m) ||
        x->dtype == NIB_DTYPE_STRING)
        return op_bad(c, NIB_SHAPE, "input and mask do not fit");
    int64_t dims[GRAPH_MAX_RANK], rows = m->dims[0] * m->dims[1], n = 0;
    for (int64_t i = 0; i < rows; i++) n += op_index_at(m, i) != 0;
    for (int i = 2; i < x->rank; i++) dims[i - 1] = x->dims[i];
    dims[0] = n;
    char *y = give(c, 0, x->dtype, x->rank - 1, dims);
    if (!y) return c->status;
    size_t bytes = n ? (size_t)graph_tensor_elements(x) / (size_t)rows * op_size(x->dtype) : 0;
    for (int64_t i = 0; i < rows; i++)
        if (op_index_at(m, i)) {
            memcpy(y, (const char *)x->data + (size_t)i * bytes, bytes);
            y += bytes;
        }
    return NIB_OK;
}

static nib_status eval_unpack(op_eval *c) {
    const graph_tensor *x = c->in[0], *m = c->in[1];
    if (x->rank < 1 || x->rank >= GRAPH_MAX_RANK || m->rank != 2 || !is_index_type(m) || x->dtype == NIB_DTYPE_STRING)
        return op_bad(c, NIB_SHAPE, "input and mask do not fit");
    int64_t dims[GRAPH_MAX_RANK], rows = m->dims[0] * m->dims[1], n = 0;
    for (int64_t i = 0; i < rows; i++) n += op_index_at(m, i) != 0;
    if (n != x->dims[0]) return op_bad(c, NIB_SHAPE, "the mask has %lld tokens, the input %lld rows", (long long)n, (long long)x->dims[0]);
    dims[0] = m->dims[0];
    dims[1] = m->dims[1];
    for (int i = 1; i < x->rank; i++) dims[i + 1] = x->dims[i];
    char *y = give(c, 0, x->dtype, x->rank + 1, dims);
    if (!y) return c->status;
    const char *from = x->data;
    size_t bytes = rows ? (size_t)op_count(x->rank - 1, x->dims + 1) * op_size(x->dtype) : 0;
    for (int64_t i = 0; i < rows; i++, y += bytes) {
        if (op_index_at(m, i)) {
            memcpy(y, from, bytes);
            from += bytes;
        } else {
            memset(y, 0, bytes);
        }
    }
    return NIB_OK;
}

const op op_family_nib[] = {
    {"Norm", "nib", 1, 2, 4, 2, OP_ROWS_LAST, infer_norm, eval_norm, op_expand_norm},
    {"Embed", "nib", 1, 2, 2 * OP_EMBED_MAX, 1, OP_ROWS_GATHER, infer_embed, eval_embed, op_expand_embed},
    {"Attention", "nib", 1, 1, OP_ATTENTION_INPUTS, 1, OP_ROWS_MIXED, infer_attention, eval_attention, op_expand_attention},
    {"Pool", "nib", 1, 2, 3, 1, OP_ROWS_MIXED, infer_pool, eval_pool, op_expand_pool},
    {"Offsets", "nib", 1, 1, 1, 1, OP_ROWS_MIXED, infer_offsets, eval_offsets, op_expand_offsets},
    {"Pack", "nib", 1, 2, 2, 1, OP_ROWS_MIXED, infer_pack, eval_pack, op_expand_pack},
    {"Unpack", "nib", 1, 2, 2, 1, OP_ROWS_MIXED, infer_unpack, eval_unpack, op_expand_unpack},
    {0},
};
