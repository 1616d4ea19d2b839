/* SPDX-License-Identifier: Apache-2.0
 *
 * Where factors of scale migration stand in a file. In: x, and a factor for each column. Out: Mul(x, 1 / factor), and where nothing else
 * reads x, the constants that make x in its place:
 *
 *     Add(a, b), Mul(a, constant), a norm, MatMul(a, w), MatMul(a, DequantizeLinear(codes, scales))
 *     Mul(a, b): one of them, as the two halves of a gated feed-forward are
 */
#include "quantize.h"
#include <string.h>

typedef struct folding {
    pass_context *ctx;
    const float *r; /* [K] */
    int64_t K;
    bool write; /* false: only whether it can be done */
} folding;

static graph_value *vector(graph *g, const char *name, float *x, int64_t K) {
    const graph_tensor t = {.dtype = NIB_DTYPE_F32, .rank = 1, .dims = {K}, .bytes = (size_t)K * sizeof *x, .data = x};
    return graph_add_constant(g, name, &t, false);
}

/* Mul of x with these very numbers. */
static graph_value *find_scaled(const graph_value *x, const float *r, int64_t K) {
    for (const graph_use *u = x->uses; u; u = u->next) {
        const graph_value *c = graph_is_op(u->node, "", "Mul") ? u->node->inputs[1].value : NULL;
        if (c && c->constant && c->constant->dtype == NIB_DTYPE_F32 && c->constant->bytes == (size_t)K * sizeof *r &&
            memcmp(c->constant->data, r, (size_t)K * sizeof *r) == 0)
            return u->node->outputs[0];
    }
    return NULL;
}

graph_value *quantize_scaled(pass_context *ctx, graph_node *before, graph_value *x, const float *factor, int64_t K) {
    if (!factor) return x;
    float *r = base_arena_alloc(ctx->g->arena, (size_t)K * sizeof *r);
    if (!r) return NULL;
    for (int64_t k = 0; k < K; k++) r[k] = 1 / factor[k];
    graph_value *y = find_scaled(x, r, K), *c = y ? NULL : vector(ctx->g, x->name, r, K);
    if (y) return y;
    return c ? pass_emit_inferred(ctx, before, "Mul", (graph_value *[]){x, c}, 2, x->name) : NULL;
}

/* ---------------------------------------------------------------- into what makes x */

static bool is_vector(const graph_value *v, int64_t K) {
    return v && v->constant && v->constant->data && v->constant->dtype == NIB_DTYPE_F32 && v->constant->rank >= 1 &&
           v->constant->dims[v->constant->rank - 1] == K;
}

/* Input i of n, a constant whose last axis has K numbers, times r: a constant of its own, for others may read the old one. */
static bool scale_constant(const folding *f, graph_node *n, int i) {
    graph_value *v = i < n->n_inputs ? n->inputs[i].value : NULL;
    if (!is_vector(v, f->K)) return false;
    if (!f->write) return true;
    const int64_t count = graph_tensor_elements(v->constant);
    float *to = base_arena_alloc(f->ctx->g->arena, v->constant->bytes + 1);
    if (!to) return false;
    for (int64_t k = 0; k < count; k++) {
        memcpy(&to[k], (const char *)v->constant->data + (size_t)k * sizeof *to, sizeof *to);
        to[k] *= f->r[k % f->K];
    }
    graph_tensor t = *v->constant;
    t.data = to;
    graph_value *c = graph_add_constant(f->ctx->g, v->name, &t, false);
    if (c) graph_set_input(n, i, c);
    return c != NULL;
}

static bool fold(const folding *f, graph_value *v, int depth);

/* Scale number k belongs to column k of the weight if blocks lie along its rows, or there is one a column. */
static bool fold_weight(const folding *f, graph_node *n) {
    graph_value *w = n->inputs[1].value;
    graph_node *d = w->producer;
    if (!d) return scale_constant(f, n, 1);
    if (!graph_is_op(d, "", "DequantizeLinear") || w->use_count != 1) return false;
    const int64_t axis = graph_attr_int(d, "axis", 1);
    return w->type.rank == 2 && axis == (graph_attr_int(d, "block_size", 0) ? 0 : 1) && scale_constant(f, d, 1);
}

static bool fold_each(const folding *f, graph_node *n, int depth) {
    for (int i = 0; i < 2; i++)
        if (!(n->inputs[i].value->constant ? scale_constant(f, n, i) : fold(f, n->inputs[i].value, depth))) return false;
    return true;
}

static bool fold_either(const folding *f, graph_node *n, int depth) {
    folding look = *f;
    look.write = false;
    for (int i = 1; i >= 0; i--) {
        graph_value *v = n->inputs[i].value;
        if (v->constant ? scale_constant(&look, n, i) : fold(&look, v, depth))
            return !f->write || (v->constant ? scale_constant(f, n, i) : fold(f, v, depth));
    }
    return false;
}

#define DEEPEST 12

/* v, which has one reader, times r. */
static bool fold(const folding *f, graph_value *v, int depth) {
    graph_node *n = v->producer;
    int64_t K;
    if (v->type.rank < 1 || !graph_dim_is_const(v->type.dims[v->type.rank - 1], &K) || K != f->K) return false;
    if (!n || v->use_count != 1 || v->is_output || depth > DEEPEST || n->outputs[0] != v) return false;
    if (graph_is_op(n, "", "Add")) return fold_each(f, n, depth + 1);
    if (graph_is_op(n, "", "Mul")) return fold_either(f, n, depth + 1);
    if (graph_is_op(n, "", "MatMul")) return fold_weight(f, n);
    const bool norm = graph_is_op(n, "", "LayerNormalization") || graph_is_op(n, "", "RMSNormalization") ||
                      graph_is_op(n, "", "SimplifiedLayerNormalization");
    const bool last = norm && (graph_attr_int(n, "axis", -1) == -1 || graph_attr_int(n, "axis", -1) == v->type.rank - 1);
    return last && scale_constant(f, n, 1) && (n->n_inputs < 3 || !n->inputs[2].value || scale_constant(f, n, 2));
}

/* Whether n reads rows that were scaled for its weight. */
static bool reads_scaled(const graph_node *n) {
    const graph_value *w = n->n_inputs > 1 ? n->inputs[1].value : NULL;
    return graph_is_op(n, "", "DynamicQuantizeLinear") || graph_is_op(n, "", "QuantizeLinear") || graph_is_op(n, "com.microsoft", "MatMulNBits") ||
           (graph_is_op(n, "", "MatMul") && w && w->producer && graph_is_op(w->producer, "", "DequantizeLinear"));
}

nib_status quantize_fold(pass_context *ctx) {
    nib_status status = NIB_OK;
    for (graph_node *n = ctx->g->first; n; n = n->next) {
        if (!reads_scaled(n)) continue;
        graph_value *y = n->inputs[0].value;
        graph_node *m = y->producer;
        if (!m || !graph_is_op(m, "", "Mul")) continue;
        const graph_value *c = m->inputs[1].value;
        folding f = {.ctx = ctx};
        if (!c->constant || c->constant->rank != 1 || !is_vector(c, f.K = c->constant->dims[0])) continue;
        f.r = c->constant->data;
        if (!fold(&f, m->inputs[0].value, 0)) continue;
        f.write = true;
        if (!fold(&f, m->inputs[0].value, 0)) NIB_FAIL(ctx->err, NIB_OUT_OF_MEMORY, "out of memory for factors");
        NIB_TRY(pass_replace(ctx, y, m->inputs[0].value));
    }
fail:
    return status;
}
