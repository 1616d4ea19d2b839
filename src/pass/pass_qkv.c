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
    int64_t heads, kv_heads, size;
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
    *j = (joined){.attention = n, .heads = graph_attr_int(n, "heads", 1)};
    int64_t width;
    j->kv_heads = graph_attr_int(n, "kv_heads", j->heads);
    for (int i = 0; i < 3; i++)
        if (i >= n->n_inputs || !(j->parts[i] = n->inputs[i].value)) return false;
    if (j->parts[0]->type.rank != 3 || !graph_dim_is_const(j->parts[0]->type.dims[2], &width) || j->heads < 1 || width % j->heads)
        return false;
    j->size = width / j->heads;
    if (!take_turn(j, 0, j->heads) || !take_turn(j, 1, j->kv_heads) || !same_turns(j->turns[0], j->turns[1])) return false;
    return width_is(j->parts[0], width) && width_is(j->parts[1], j->kv_heads * j->size) && width_is(j->parts[2], j->kv_heads * j->size);
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
static bool is_plain(const graph_value *v) {
    const graph_node *n = v->producer;
    if (!graph_is_op(n, "nib", "Linear") || n->n_inputs > 3 || v->use_count != 1 || v->is_output) return false;
    const graph_value *w = n->inputs[1].value, *bias = n->n_inputs > 2 ? n->inputs[2].value : NULL;
    if (!w->constant || !op_is_weight_type(w->constant->dtype)) return false;
    if (bias && (!bias->constant || bias->constant->dtype != NIB_DTYPE_F32 || bias->constant->rank != 1)) return false;
    return op_activation(n) == KERNEL_ACT_NONE && op_gate_of(n) == OP_GATE_NONE && !graph_find_attr(n, "weight");
}

/* All biases one after the other, or NULL with *ok where there are none. */
static graph_value *join_biases(pass_context *ctx, const joined *j, bool *ok) {
    graph_tensor t = {.dtype = NIB_DTYPE_F32, .rank = 1};
    const graph_value *biases[3];
    int count = 0;
    for (int i = 0; i < 3; i++) {
        const graph_node *n = j->parts[i]->producer;
        biases[i] = n->n_inputs > 2 ? n->inputs[2].value : NULL;
        if (biases[i]) t.dims[0] += graph_tensor_elements(biases[i]->constant), count++;
    }
    *ok = count == 0;
    if (count != 3) return NULL;
    t.bytes = (size_t)t.dims[0] * sizeof(float);
    char *data = base_arena_alloc(ctx->g->arena, t.bytes);
    size_t at = 0;
    for (int i = 0; data && i < 3; i++) {
        size_t bytes = (size_t)graph_tensor_elements(biases[i]->constant) * sizeof(float);
        memcpy(data + at, biases[i]->constant->data, bytes);
        at += bytes;
    }
    t.data = data;
    graph_value *v = data ? graph_add_constant(ctx->g, biases[0]->name, &t, false) : NULL;
    *ok = v != NULL;
    return v;
}

/* One Linear in place of three; *out NULL where they are not three of a kind. */
static nib_status join_linears(pass_context *ctx, const joined *j, graph_value **out) {
    nib_status status = NIB_OK;
    *out = NULL;
    for (int i = 0; i < 3; i++)
        if (!is_plain(j->parts[i])) return NIB_OK;
    const graph_node *q = j->parts[0]->producer;
    const int64_t trans = graph_attr_int(q, "trans_w", 0);
    graph_value *in[4 + OP_LINEAR_WEIGHTS] = {q->inputs[0].value, q->inputs[1].value};
    for (int i = 1; i < 3; i++) {
        const graph_node *n = j->parts[i]->producer;
        bool biased = n->n_inputs > 2 && n->inputs[2].value;
        if (n->inputs[0].value != in[0] || graph_attr_int(n, "trans_w", 0) != trans || n == q || biased != (q->n_inputs > 2)) return NIB_OK;
        in[op_linear_weight(i)] = n->inputs[1].value;
    }
    bool ok;
    in[2] = join_biases(ctx, j, &ok);
    if (!ok) NIB_FAIL(ctx->err, NIB_OUT_OF_MEMORY, "out of memory");
    graph_value *y = pass_emit(ctx, j->attention, "nib", "Linear", in, 4 + OP_LINEAR_WEIGHTS, j->parts[0]->name);
    if (!y) NIB_FAIL(ctx->err, NIB_OUT_OF_MEMORY, "out of memory");
    NIB_TRY(graph_set_int(y->producer, "trans_w", trans));
    NIB_TRY(op_infer_node(ctx->g, y->producer, ctx->err));
    *out = y;
fail:
    return status;
}

static nib_status copy_attrs(graph_node *to, const graph_node *from) {
    nib_status status = NIB_OK;
    for (int i = 0; i < from->n_attrs && status == NIB_OK; i++) status = graph_set_attr(to, &from->attrs[i]);
    return status;
}

static nib_status join(pass_context *ctx, const joined *j) {
    nib_status status = NIB_OK;
    graph_node *n = j->attention;
    graph_value *rows = split_source(j), *in[6] = {NULL};
    if (!rows) NIB_TRY(join_linears(ctx, j, &rows));
    if (!rows) return NIB_OK;
    if (j->turns[0]) {
        graph_value *turn[4] = {rows};
        for (int i = 1; i < 4; i++) turn[i] = j->turns[0]->inputs[i].value;
        rows = pass_emit(ctx, n, "nib", "Rotary", turn, 4, rows->name);
        if (!rows) NIB_FAIL(ctx->err, NIB_OUT_OF_MEMORY, "out of memory");
        NIB_TRY(copy_attrs(rows->producer, j->turns[0]));
        NIB_TRY(graph_set_int(rows->producer, "heads", j->heads + j->kv_heads)); /* keys stand behind queries */
        NIB_TRY(op_infer_node(ctx->g, rows->producer, ctx->err));
    }
    for (int i = 3; i < n->n_inputs && i < 6; i++) in[i] = n->inputs[i].value;
    in[0] = rows;
    graph_value *y = pass_emit(ctx, n, "nib", "Attention", in, n->n_inputs > 3 ? n->n_inputs : 1, n->outputs[0]->name);
    if (!y) NIB_FAIL(ctx->err, NIB_OUT_OF_MEMORY, "out of memory");
    NIB_TRY(copy_attrs(y->producer, n));
    NIB_TRY(op_infer_node(ctx->g, y->producer, ctx->err));
    NIB_TRY(pass_replace(ctx, n->outputs[0], y));
fail:
    return status;
}

nib_status pass_qkv(pass_context *ctx) {
    nib_status status = NIB_OK;
    for (graph_node *n = ctx->g->first, *next; n; n = next) {
        joined j;
        next = n->next;
        if (graph_is_op(n, "nib", "Attention") && take_apart(n, &j)) NIB_TRY(join(ctx, &j));
    }
    NIB_TRY(pass_clean(ctx));
fail:
    return status;
}
