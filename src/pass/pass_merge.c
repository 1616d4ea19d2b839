/* SPDX-License-Identifier: Apache-2.0
 *
 * In: nib.Attention on the way to a file, whose queries, keys and values are the thirds of one Linear's columns, or three Linears of the
 * same rows. Out: those rows, the weight [K, 3 N] and the bias [3 N] that com.microsoft's Attention has in it. In memory it is pass_qkv
 * that joins them, and copies no weight; a file's operator has but one.
 */
#include "pass_forms.h"
#include "pass_heads.h"
#include <string.h>

/* v [B, S, N] is a Linear of one constant f32 weight with nothing behind it, read once; false if not. */
static bool plain_product(const graph_value *v, op_linear *l) {
    if (v->use_count != 1 || v->is_output || v->type.rank != 3 || !op_linear_get(v->producer, l)) return false;
    if (!op_linear_is_plain(l) || l->n_weights != 1) return false;
    const graph_tensor *w = l->weights[0]->constant, *bias = l->bias ? l->bias->constant : NULL;
    if (!w || w->dtype != NIB_DTYPE_F32 || w->rank != 2 || !w->data) return false;
    return !l->bias || (bias && bias->dtype == NIB_DTYPE_F32 && bias->rank == 1);
}

/* Nobody but products of graph g reads it: it will not be in the file beside the joined one. */
static bool is_of_products(const graph_value *w, const graph *g) {
    for (const graph_use *u = w->uses; u; u = u->next)
        if (!graph_is_op(u->node, "nib", "Linear") || u->node->owner != g) return false;
    return !w->is_output;
}

static bool split_product(const op_attention *a, op_linear *l) {
    const graph_node *s = a->q->producer;
    const graph_value *const parts[3] = {a->q, a->k, a->v};
    int64_t width, first;
    if (!graph_is_op(s, "", "Split") || s->n_outputs != 3 || !pass_columns_of(s->outputs[0], &first)) return false;
    for (int i = 0; i < 3; i++) {
        const graph_value *v = s->outputs[i];
        if (v != parts[i] || v->use_count != 1 || v->is_output || v->type.rank != 3) return false;
        if (v->type.dims[2] != s->outputs[0]->type.dims[2]) return false;
    }
    return graph_dim_is_const(s->outputs[0]->type.dims[2], &width) && plain_product(s->inputs[0].value, l);
}

typedef struct three {
    op_linear of[3];
    int64_t rows, width; /* of each weight: K, N */
} three;

/* `whole`: of the same rows, and their weights can be joined; else it is only about their biases. */
static bool find_three(const graph_node *attention, const op_attention *a, three *t, bool whole) {
    const graph_value *const parts[3] = {a->q, a->k, a->v};
    for (int i = 0; i < 3; i++) {
        op_linear *l = &t->of[i];
        if (!plain_product(parts[i], l) || parts[i]->producer->owner != attention->owner) return false;
        if (whole && (!is_of_products(l->weights[0], attention->owner) || l->x != t->of[0].x)) return false;
        const graph_tensor *w = l->weights[0]->constant;
        if (i == 0) t->rows = w->dims[l->trans], t->width = w->dims[!l->trans];
        if ((whole && w->dims[l->trans] != t->rows) || w->dims[!l->trans] != t->width) return false;
        if (!l->bias != !t->of[0].bias) return false;
        if (l->bias && graph_tensor_elements(l->bias->constant) != t->width) return false;
    }
    return true;
}

/* What is laid side by side. */
typedef enum joint { WEIGHTS, BIASES } joint;

static const graph_value *one_of(const three *t, joint what, int i) { return what == WEIGHTS ? t->of[i].weights[0] : t->of[i].bias; }

/* Row k of the three, side by side, into row [3 N]. */
static void row_of(const three *t, joint what, int64_t k, float *row) {
    const size_t n = (size_t)t->width, of_n = n * sizeof(float);
    for (int i = 0; i < 3; i++, row += n) {
        const char *data = one_of(t, what, i)->constant->data;
        if (what == WEIGHTS && t->of[i].trans) {
            for (size_t c = 0; c < n; c++) memcpy(row + c, data + (c * (size_t)t->rows + (size_t)k) * sizeof(float), sizeof(float));
        } else {
            memcpy(row, data + (size_t)k * of_n, of_n);
        }
    }
}

/* The same weight is in the file already: layers that share theirs have but one. `row` is for use here. */
static graph_value *made_before(const three *t, joint what, int64_t rows, const graph_node *attention, float *row) {
    const graph_node *n = attention->prev;
    while (n && !graph_is_op(n, PASS_MS, "Attention")) n = n->prev;
    graph_value *v = n ? pass_input(n, what == WEIGHTS ? 1 : 2) : NULL;
    const size_t bytes = (size_t)(3 * t->width) * sizeof(float);
    if (!v || !v->constant || v->constant->bytes != (size_t)rows * bytes || !v->constant->data) return NULL;
    for (int64_t k = 0; k < rows; k++) {
        row_of(t, what, k, row);
        if (memcmp(row, (const char *)v->constant->data + (size_t)k * bytes, bytes) != 0) return NULL;
    }
    return v;
}

/* NULL: out of memory. */
static graph_value *side_by_side(pass_context *ctx, const three *t, joint what, const graph_node *attention) {
    int64_t rows = what == WEIGHTS ? t->rows : 1, width;
    graph_tensor w = {.dtype = NIB_DTYPE_F32, .rank = what == WEIGHTS ? 2 : 1};
    size_t all;
    if (!base_mul_i64(t->width, 3, &width) || !base_mul_size((size_t)width, sizeof(float), &all) ||
        !base_mul_size((size_t)rows, all, &w.bytes))
        return NULL;
    if (what == WEIGHTS) w.dims[0] = rows;
    w.dims[w.rank - 1] = width;
    float *row = base_arena_alloc(ctx->g->arena, all);
    graph_value *before = row ? made_before(t, what, rows, attention, row) : NULL;
    if (before || !row) return before;
    if (!(w.data = base_arena_alloc(ctx->g->arena, w.bytes))) return NULL;
    for (int64_t k = 0; k < rows; k++) row_of(t, what, k, (float *)w.data + k * width);
    return graph_add_constant(ctx->g, one_of(t, what, 0)->name, &w, false);
}

static graph_value *no_bias(pass_context *ctx, const graph_value *w) {
    graph_tensor t = {.dtype = NIB_DTYPE_F32, .rank = 1};
    if (!graph_dim_is_const(w->type.dims[1], &t.dims[0]) || !base_mul_size((size_t)t.dims[0], sizeof(float), &t.bytes)) return NULL;
    t.data = base_arena_calloc(ctx->g->arena, (size_t)t.dims[0], sizeof(float));
    return t.data ? graph_add_constant(ctx->g, "no_bias", &t, false) : NULL;
}

bool pass_find_product(pass_context *ctx, graph_node *attention, pass_product *out, bool *ok) {
    op_attention a;
    op_linear one;
    three t;
    *ok = true;
    if (pass_is_disabled(ctx, "qkv") || !op_attention_get(attention, &a) || !a.k || !a.v) return false;
    if (split_product(&a, &one)) {
        *out = (pass_product){one.x, one.weights[0], one.bias};
        if (one.trans) out->w = pass_emit_transpose(ctx, attention, out->w, (int64_t[]){1, 0});
    } else {
        if (!find_three(attention, &a, &t, true)) return false;
        *out = (pass_product){.x = t.of[0].x, .w = side_by_side(ctx, &t, WEIGHTS, attention)};
        if (out->w && t.of[0].bias && !(out->bias = side_by_side(ctx, &t, BIASES, attention))) out->w = NULL;
    }
    if (out->w && !out->bias) out->bias = no_bias(ctx, out->w);
    *ok = out->w && out->bias;
    return true;
}

graph_value *pass_take_biases(pass_context *ctx, graph_node *attention, bool *ok) {
    op_attention a;
    three t;
    *ok = true;
    if (pass_is_disabled(ctx, "qkv") || !op_attention_get(attention, &a) || !a.k || !a.v) return NULL;
    if (!find_three(attention, &a, &t, false) || !t.of[0].bias) return NULL;
    graph_value *bias = side_by_side(ctx, &t, BIASES, attention);
    graph_node *const nodes[3] = {a.q->producer, a.k->producer, a.v->producer};
    *ok = bias != NULL;
    for (int i = 0; bias && i < 3; i++) {
        t.of[i].bias = NULL;
        *ok &= op_linear_set(nodes[i], &t.of[i], ctx->err) == NIB_OK;
    }
    return bias;
}
