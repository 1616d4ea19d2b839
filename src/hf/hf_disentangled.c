/* SPDX-License-Identifier: Apache-2.0
 *
 * Scores by distance of DeBERTa (He et al., 2021). In: queries and keys of a layer. Out: what is added to their
 * products.
 *
 * A distance i - j has a row of a table, which a layer projects as it does tokens:
 *
 *     c2p[i, j] = query i . key of the row of i - j        p2c[i, j] = key j . query of the row of i - j
 *
 * Each is a product with all rows, of which GatherElements takes one for each pair.
 */
#include "hf_stack.h"
#include <math.h>

#define MOST_DISTANCE (1 << 20)

/* The bucket of a distance, as transformers' make_log_bucket_position. */
static int64_t bucket_of(const hf_disentangled *r, int64_t d) {
    const int64_t far = d < 0 ? -d : d, mid = r->buckets / 2;
    if (r->buckets == 0 || far <= mid) return d;
    const float ratio = logf((float)far / (float)mid) / logf((float)(r->reach - 1) / (float)mid);
    const int64_t at = (int64_t)ceilf(ratio * (float)(mid - 1)) + mid;
    return d < 0 ? -at : at;
}

static int64_t row_of(const hf_disentangled *r, int64_t d) {
    const int64_t row = bucket_of(r, d) + r->span;
    return row < 0 ? 0 : row > 2 * r->span - 1 ? 2 * r->span - 1 : row;
}

/* From this distance on, all have the first or the last row. */
static int64_t last_distance(const hf_disentangled *r) {
    int64_t d = r->span / 2;
    while (d < MOST_DISTANCE && (row_of(r, d) < 2 * r->span - 1 || row_of(r, -d) > 0)) d++;
    return d;
}

/* The row of each pair: [batch, heads, seq, seq]. */
static graph_value *pair_rows(hf_builder *b, const hf_stack *s, graph_value *ids) {
    if (b->status != NIB_OK) return NULL;
    graph_value *known = graph_find_value(b->g, "relative.pairs");
    if (known) return known;
    const int64_t most = last_distance(&s->relative), count = 2 * most + 1;
    int64_t *rows = base_arena_alloc(b->g->arena, (size_t)count * sizeof *rows);
    if (!rows) hf_no_memory(b);
    for (int64_t i = 0; rows && i < count; i++) rows[i] = row_of(&s->relative, i - most);
    graph_value *table = hf_ints(b, "relative.table", rows, count), *last = hf_int(b, "relative.most", most);
    graph_value *d = hf_op(b, "Clip", "relative.near",
                           (graph_value *[]){hf_differences(b, ids), hf_int(b, "relative.least", -most), last}, 3);
    d = hf_op2(b, "Gather", "relative.rows", table, hf_op2(b, "Add", "relative.index", d, last));
    graph_value *batch = hf_op2(b, "Gather", "relative.batch", hf_op1(b, "Shape", "relative.shape", ids),
                                hf_ints(b, "relative.first", (int64_t[]){0}, 1));
    graph_value *shape =
        hf_concat(b, "relative.sizes", batch, hf_ints(b, "relative.heads", (int64_t[]){s->heads, 1, 1}, 3));
    return hf_op2(b, "Expand", "relative.pairs", d, shape);
}

/* The table's rows, projected: [1, heads, D, 2 span]. */
static graph_value *projected(hf_builder *b, const hf_stack *s, const char *at, const char *path) {
    const int64_t rows = 2 * s->relative.span, width = s->heads * s->head_size;
    graph_value *x = b->status == NIB_OK ? graph_find_value(b->g, "relative.embeddings") : NULL;
    if (!x) {
        x = hf_weight(b, hf_path(b, "%s.weight", s->names->relative), rows, s->hidden);
        if (s->relative.normed) x = hf_stack_norm(b, s, s->names->relative_norm, x, s->hidden, s->norm_bias);
        x = hf_op1(b, "Identity", "relative.embeddings", x);
    }
    graph_value *w = hf_weight(b, hf_path(b, "%s.weight", path), width, s->hidden);
    x = hf_product(b, hf_path(b, "%s.projected", at), x, w, hf_weight(b, hf_path(b, "%s.bias", path), width, 0));
    x = hf_reshape(b, hf_path(b, "%s.split", at), x, (int64_t[]){1, rows, s->heads, s->head_size}, 4);
    return hf_transpose(b, at, x, (int64_t[]){0, 2, 3, 1}, 4);
}

/* x [batch, heads, seq, D] times rows, of which each pair takes its own: [batch, heads, seq, seq]. */
static graph_value *taken(hf_builder *b, const char *at, graph_value *x, graph_value *rows, graph_value *pairs) {
    graph_value *all = hf_op2(b, "MatMul", hf_path(b, "%s.all", at), x, rows),
                *v = hf_op2(b, "GatherElements", at, all, pairs);
    if (v && graph_set_int(v->producer, "axis", 3) != NIB_OK) hf_no_memory(b);
    return v;
}

graph_value *hf_relative_scores(hf_builder *b, const hf_stack *s, const char *layer, graph_value *q, graph_value *k,
                                graph_value *ids) {
    static const int64_t turned[] = {0, 1, 3, 2};
    const hf_names *n = s->names;
    const char *c2p_at = hf_path(b, "%sattention.c2p", layer), *p2c_at = hf_path(b, "%sattention.p2c", layer);
    graph_value *pairs = pair_rows(b, s, ids), *c2p = NULL, *p2c = NULL;
    if (s->relative.c2p) {
        graph_value *keys = projected(b, s, hf_path(b, "%s.keys", c2p_at),
                                      hf_path(b, "%s%s", layer, s->relative.own ? n->pos_key : n->k));
        c2p = taken(b, c2p_at, q, keys, pairs);
    }
    if (s->relative.p2c) {
        graph_value *queries = projected(b, s, hf_path(b, "%s.queries", p2c_at),
                                         hf_path(b, "%s%s", layer, s->relative.own ? n->pos_query : n->q));
        k = hf_transpose(b, hf_path(b, "%s.k", p2c_at), k, turned, 4);
        graph_value *back = hf_transpose(b, hf_path(b, "%s.pairs", p2c_at), pairs, turned, 4);
        p2c = hf_transpose(b, hf_path(b, "%s.turned", p2c_at), taken(b, p2c_at, k, queries, back), turned, 4);
    }
    graph_value *sum = c2p && p2c ? hf_op2(b, "Add", hf_path(b, "%sattention.both", layer), c2p, p2c) : c2p ? c2p : p2c;
    return hf_op2(b, "Div", hf_path(b, "%sattention.relative", layer), sum, hf_scalar(b, (float)sqrt(s->score_size)));
}
