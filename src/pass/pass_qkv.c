/* SPDX-License-Identifier: Apache-2.0
 *
 * In: nib.Attention whose queries, keys and values are the three parts of one value's columns, or three Linears that read the same
 * rows, with or without nib.Rotary behind queries and keys. Out: one Linear for all three, one Rotary, and an Attention that reads
 * their columns in place. No weight is copied: a Linear may have several (doc/operators.md), and each column is computed as before.
 */
#include "pass.h"
#include <string.h>

typedef struct joined {
    graph_node *attention, *turns[2]; /* Rotary of queries and of keys, or NULL */
    graph_value *parts[3];            /* queries, keys, values, before they are turned */
    op_attention view;
    int64_t size; /* of a head */
} joined;

static bool width_is(const graph_value *v, int64_t want) {
    int64_t width;
    return v->type.rank == 3 && graph_dim_is_const(v->type.dims[2], &width) && width == want;
}

/* Takes the Rotary off; false if it turns something else than all heads of these rows. */
static bool take_turn(joined *j, int i, int64_t heads) {
    graph_node *n = j->parts[i]->producer;
    j->turns[i] = NULL;
    if (!graph_is_op(n, "nib", "Rotary")) return true;
    j->turns[i] = n;
    j->parts[i] = n->inputs[0].value;
    return graph_attr_int(n, "heads", 1) == heads && graph_attr_int(n, "head_size", 0) == j->size &&
           graph_attr_int(n, "first_column", 0) == 0 && n->outputs[0]->use_count == 1 && !n->outputs[0]->is_output;
}

static bool same_turns(const graph_node *a, const graph_node *b) {
    if (!a || !b) return !a && !b;
    for (int i = 1; i < 4; i++)
        if (a->inputs[i].value != b->inputs[i].value) return false;
    return graph_attr_int(a, "rotary", -1) == graph_attr_int(b, "rotary", -1) &&
           graph_attr_int(a, "interleaved", 0) == graph_attr_int(b, "interleaved", 0);
}

static bool take_apart(graph_node *n, joined *j) {
    op_attention a;
    int64_t width;
    if (!op_attention_get(n, &a) || !a.q || !a.k || !a.v) return false;
    *j = (joined){.attention = n, .view = a, .parts = {a.q, a.k, a.v}};
    if (a.q->type.rank != 3 || !graph_dim_is_const(a.q->type.dims[2], &width) || a.heads < 1 || width % a.heads) return false;
    j->size = width / a.heads;
    if (!take_turn(j, 0, a.heads) || !take_turn(j, 1, a.kv_heads) || !same_turns(j->turns[0], j->turns[1])) return false;
    const int64_t kv_width = a.kv_heads * j->size;
    return width_is(j->parts[0], width) && width_is(j->parts[1], kv_width) && width_is(j->parts[2], kv_width);
}

/* The value that a Split along the last axis cuts into exactly these parts. */
static graph_value *split_source(const joined *j) {
    const graph_node *n = j->parts[0]->producer;
    if (!graph_is_op(n, "", "Split") || n->n_outputs != 3) return NULL;
    int64_t axis = graph_attr_int(n, "axis", 0);
    for (int i = 0; i < 3; i++)
        if (n->outputs[i] != j->parts[i]) return NULL;
    return axis == -1 || axis == 2 ? n->inputs[0].value : NULL;
}

/* A Linear of one weight with nothing behind it, read by this attention alone. */
static bool is_plain(const graph_value *v, op_linear *l) {
    if (v->use_count != 1 || v->is_output || !op_linear_get(v->producer, l)) return false;
    if (!op_linear_is_plain(l) || l->n_weights != 1 || !l->weights[0]->constant) return false;
    const graph_tensor *bias = l->bias ? l->bias->constant : NULL;
    return !l->bias || (bias && bias->dtype == NIB_DTYPE_F32 && bias->rank == 1);
}

/* All biases one after the other; NULL: out of memory. */
static graph_value *join_biases(pass_context *ctx, const op_linear *of) {
    graph_tensor t = {.dtype = NIB_DTYPE_F32, .rank = 1};
    for (int i = 0; i < 3; i++) t.dims[0] += graph_tensor_elements(of[i].bias->constant);
    t.bytes = (size_t)t.dims[0] * sizeof(float);
    char *data = base_arena_alloc(ctx->g->arena, t.bytes);
    size_t at = 0;
    for (int i = 0; data && i < 3; i++) {
        size_t bytes = (size_t)graph_tensor_elements(of[i].bias->constant) * sizeof(float);
        memcpy(data + at, of[i].bias->constant->data, bytes);
        at += bytes;
    }
    t.data = data;
    return data ? graph_add_constant(ctx->g, of[0].bias->name, &t, false) : NULL;
}

/* One Linear in place of three; *out NULL where they are not three of a kind. */
static nib_status join_linears(pass_context *ctx, const joined *j, graph_value **out) {
    op_linear of[3];
    *out = NULL;
    for (int i = 0; i < 3; i++) {
        if (!is_plain(j->parts[i], &of[i]) || of[i].x != of[0].x || of[i].trans != of[0].trans || !of[i].bias != !of[0].bias) return NIB_OK;
        if (i > 0 && j->parts[i]->producer == j->parts[0]->producer) return NIB_OK;
    }
    op_linear l = of[0];
    l.n_weights = 3;
    for (int i = 1; i < 3; i++) l.weights[i] = of[i].weights[0];
    if (l.bias && !(l.bias = join_biases(ctx, of))) return base_error_set(ctx->err, NIB_OUT_OF_MEMORY, "out of memory");
    return pass_emit_linear(ctx, j->attention, &l, j->parts[0]->name, out);
}

static nib_status copy_attrs(graph_node *to, const graph_node *from) {
    nib_status status = NIB_OK;
    for (int i = 0; i < from->n_attrs && status == NIB_OK; i++) status = graph_set_attr(to, &from->attrs[i]);
    return status;
}

static nib_status join(pass_context *ctx, const joined *j) {
    nib_status status = NIB_OK;
    graph_node *n = j->attention;
    graph_value *rows = split_source(j), *y;
    op_attention a = j->view;
    if (!rows) NIB_TRY(join_linears(ctx, j, &rows));
    if (!rows) return NIB_OK;
    if (j->turns[0]) {
        graph_value *turn[4] = {rows};
        for (int i = 1; i < 4; i++) turn[i] = j->turns[0]->inputs[i].value;
        rows = pass_emit(ctx, n, "nib", "Rotary", turn, 4, rows->name);
        if (!rows) NIB_FAIL(ctx->err, NIB_OUT_OF_MEMORY, "out of memory");
        NIB_TRY(copy_attrs(rows->producer, j->turns[0]));
        NIB_TRY(graph_set_int(rows->producer, "heads", a.heads + a.kv_heads)); /* keys stand behind queries */
        NIB_TRY(op_infer_node(ctx->g, rows->producer, ctx->err));
    }
    a.q = rows;
    a.k = a.v = NULL;
    NIB_TRY(pass_emit_attention(ctx, n, &a, n->outputs[0]->name, &y));
    NIB_TRY(pass_replace(ctx, n->outputs[0], y));
fail:
    return status;
}

nib_status pass_qkv(pass_context *ctx) {
    nib_status status = NIB_OK;
    for (graph_node *n = ctx->g->first, *next; n; n = next) {
        joined j;
        next = n->next;
        if (take_apart(n, &j)) NIB_TRY(join(ctx, &j));
    }
    NIB_TRY(pass_clean(ctx));
fail:
    return status;
}
