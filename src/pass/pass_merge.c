/* SPDX-License-Identifier: Apache-2.0
 *
 * In: nib.Attention on the way to a file, whose queries, keys and values are the thirds of one Linear's columns, or three Linears of the
 * same rows. Out: those rows, the weight [K, 3 N] and the bias [3 N] that com.microsoft's Attention has in it. In memory it is pass_qkv
 * that joins them, and copies no weight; a file's operator has but one.
 */
#include "pass_forms.h"
#include "pass_heads.h"
#include <string.h>

/* v [B, S, N] is a Linear of one constant f32 weight with nothing behind it, read once; NULL if not. */
static graph_node *plain_product(const graph_value *v) {
    graph_node *n = v->producer;
    if (!graph_is_op(n, "nib", "Linear") || n->n_inputs > 3 || v->use_count != 1 || v->is_output || v->type.rank != 3) return NULL;
    const graph_value *w = pass_input(n, 1), *bias = pass_input(n, 2);
    if (!w->constant || w->constant->dtype != NIB_DTYPE_F32 || w->constant->rank != 2 || !w->constant->data) return NULL;
    if (bias && (!bias->constant || bias->constant->dtype != NIB_DTYPE_F32 || bias->constant->rank != 1)) return NULL;
    return op_activation(n) == KERNEL_ACT_NONE && op_gate_of(n) == OP_GATE_NONE && !graph_find_attr(n, "weight") ? n : NULL;
}

/* Nobody but products of graph g reads it: it will not be in the file beside the joined one. */
static bool is_of_products(const graph_value *w, const graph *g) {
    for (const graph_use *u = w->uses; u; u = u->next)
        if (!graph_is_op(u->node, "nib", "Linear") || u->node->owner != g) return false;
    return !w->is_output;
}

static graph_node *split_product(const graph_node *attention) {
    const graph_node *s = pass_input(attention, 0)->producer;
    int64_t width, first;
    if (!graph_is_op(s, "", "Split") || s->n_outputs != 3 || !pass_columns_of(s->outputs[0], &first)) return NULL;
    for (int i = 0; i < 3; i++) {
        const graph_value *v = s->outputs[i];
        if (v != pass_input(attention, i) || v->use_count != 1 || v->is_output || v->type.rank != 3) return NULL;
        if (v->type.dims[2] != s->outputs[0]->type.dims[2]) return NULL;
    }
    return graph_dim_is_const(s->outputs[0]->type.dims[2], &width) ? plain_product(s->inputs[0].value) : NULL;
}

typedef struct three {
    const graph_node *linears[3];
    int64_t rows, width; /* of each weight: K, N */
    bool trans[3];       /* [N, K] */
} three;

/* `whole`: of the same rows, and their weights can be joined; else it is only about their biases. */
static bool find_three(const graph_node *attention, three *t, bool whole) {
    for (int i = 0; i < 3; i++) {
        const graph_node *n = t->linears[i] = plain_product(pass_input(attention, i));
        if (!n || n->owner != attention->owner) return false;
        if (whole && (!is_of_products(pass_input(n, 1), attention->owner) || pass_input(n, 0) != pass_input(t->linears[0], 0)))
            return false;
        const graph_tensor *w = pass_input(n, 1)->constant;
        t->trans[i] = graph_attr_int(n, "trans_w", 0) != 0;
        if (i == 0) t->rows = w->dims[t->trans[0]], t->width = w->dims[!t->trans[0]];
        if ((whole && w->dims[t->trans[i]] != t->rows) || w->dims[!t->trans[i]] != t->width) return false;
        if (!pass_input(n, 2) != !pass_input(t->linears[0], 2)) return false;
        if (pass_input(n, 2) && graph_tensor_elements(pass_input(n, 2)->constant) != t->width) return false;
    }
    return true;
}

/* Row k of input `index` of the three, side by side, into row [3 N]. */
static void row_of(const three *t, int index, int64_t k, float *row) {
    const size_t n = (size_t)t->width, of_n = n * sizeof(float);
    for (int i = 0; i < 3; i++, row += n) {
        const char *data = pass_input(t->linears[i], index)->constant->data;
        if (index == 1 && t->trans[i]) {
            for (size_t c = 0; c < n; c++) memcpy(row + c, data + (c * (size_t)t->rows + (size_t)k) * sizeof(float), sizeof(float));
        } else {
            memcpy(row, data + (size_t)k * of_n, of_n);
        }
    }
}

/* The same weight is in the file already: layers that share theirs have but one. `row` is for use here. */
static graph_value *made_before(const three *t, int index, int64_t rows, const graph_node *attention, float *row) {
    const graph_node *n = attention->prev;
    while (n && !graph_is_op(n, PASS_MS, "Attention")) n = n->prev;
    graph_value *v = n ? pass_input(n, index) : NULL;
    const size_t bytes = (size_t)(3 * t->width) * sizeof(float);
    if (!v || !v->constant || v->constant->bytes != (size_t)rows * bytes || !v->constant->data) return NULL;
    for (int64_t k = 0; k < rows; k++) {
        row_of(t, index, k, row);
        if (memcmp(row, (const char *)v->constant->data + (size_t)k * bytes, bytes) != 0) return NULL;
    }
    return v;
}

/* NULL: out of memory. */
static graph_value *side_by_side(pass_context *ctx, const three *t, int index, const graph_node *attention) {
    int64_t rows = index == 1 ? t->rows : 1, width;
    graph_tensor w = {.dtype = NIB_DTYPE_F32, .rank = index == 1 ? 2 : 1};
    size_t all;
    if (!base_mul_i64(t->width, 3, &width) || !base_mul_size((size_t)width, sizeof(float), &all) ||
        !base_mul_size((size_t)rows, all, &w.bytes))
        return NULL;
    if (index == 1) w.dims[0] = rows;
    w.dims[w.rank - 1] = width;
    float *row = base_arena_alloc(ctx->g->arena, all);
    graph_value *before = row ? made_before(t, index, rows, attention, row) : NULL;
    if (before || !row) return before;
    if (!(w.data = base_arena_alloc(ctx->g->arena, w.bytes))) return NULL;
    for (int64_t k = 0; k < rows; k++) row_of(t, index, k, (float *)w.data + k * width);
    return graph_add_constant(ctx->g, pass_input(t->linears[0], index)->name, &w, false);
}

static graph_value *no_bias(pass_context *ctx, const graph_value *w) {
    graph_tensor t = {.dtype = NIB_DTYPE_F32, .rank = 1};
    if (!graph_dim_is_const(w->type.dims[1], &t.dims[0]) || !base_mul_size((size_t)t.dims[0], sizeof(float), &t.bytes)) return NULL;
    t.data = base_arena_calloc(ctx->g->arena, (size_t)t.dims[0], sizeof(float));
    return t.data ? graph_add_constant(ctx->g, "no_bias", &t, false) : NULL;
}

bool pass_find_product(pass_context *ctx, graph_node *attention, pass_product *out, bool *ok) {
    three t;
    const graph_node *one = split_product(attention);
    *ok = true;
    if (pass_is_disabled(ctx, "qkv")) return false;
    if (one) {
        *out = (pass_product){pass_input(one, 0), pass_input(one, 1), pass_input(one, 2)};
        if (graph_attr_int(one, "trans_w", 0)) out->w = pass_emit_transpose(ctx, attention, out->w, (int64_t[]){1, 0});
    } else {
        if (!find_three(attention, &t, true)) return false;
        *out = (pass_product){.x = pass_input(t.linears[0], 0), .w = side_by_side(ctx, &t, 1, attention)};
        if (out->w && pass_input(t.linears[0], 2) && !(out->bias = side_by_side(ctx, &t, 2, attention))) out->w = NULL;
    }
    if (out->w && !out->bias) out->bias = no_bias(ctx, out->w);
    *ok = out->w && out->bias;
    return true;
}

graph_value *pass_take_biases(pass_context *ctx, graph_node *attention, bool *ok) {
    three t;
    *ok = true;
    if (pass_is_disabled(ctx, "qkv") || !find_three(attention, &t, false) || !pass_input(t.linears[0], 2)) return NULL;
    graph_value *bias = side_by_side(ctx, &t, 2, attention);
    *ok = bias != NULL;
    for (int i = 0; bias && i < 3; i++) graph_set_input(pass_input(attention, i)->producer, 2, NULL);
    return bias;
}
