/* SPDX-License-Identifier: Apache-2.0
 *
 * nib.Attention and nib.Rotary on the way to files: whole biases, causal masks that are said by an attribute, tables and positions,
 * and ai.onnx's RotaryEmbedding; see pass_forms.h.
 */
#include "pass_forms.h"
#include "pass_heads.h"
#include <string.h>

static nib_status no_memory(pass_context *ctx) {
    return base_error_set(ctx->err, NIB_OUT_OF_MEMORY, "out of memory while writing operators");
}

/* ---------------------------------------------------------------- biases */

static graph_value *size_of(pass_context *ctx, graph_node *before, graph_value *v, int64_t axis) {
    graph_value *shape = pass_emit_inferred(ctx, before, "Shape", &v, 1, v->name);
    graph_value *at = graph_const_i64(ctx->g, "axis", &axis, 1);
    return shape && at ? pass_emit_inferred(ctx, before, "Gather", (graph_value *[]){shape, at}, 2, v->name) : NULL;
}

graph_value *pass_full_bias(pass_context *ctx, graph_node *before, graph_value *bias, graph_value *q, graph_value *k) {
    const graph_type *t = &bias->type;
    int64_t one = 1;
    if (t->rank == 4 && t->dims[2] && t->dims[2] == q->type.dims[1] && t->dims[3] && t->dims[3] == k->type.dims[1]) return bias;
    graph_value *ones = graph_const_i64(ctx->g, "one", &one, 1);
    graph_value *parts[4] = {ones, ones, size_of(ctx, before, q, 1), size_of(ctx, before, k, 1)};
    graph_value *shape = ones && parts[2] && parts[3] ? pass_emit(ctx, before, "", "Concat", parts, 4, "scores") : NULL;
    if (!shape || graph_set_int(shape->producer, "axis", 0) != NIB_OK || op_infer_node(ctx->g, shape->producer, ctx->err) != NIB_OK)
        return NULL;
    return pass_emit_inferred(ctx, before, "Expand", (graph_value *[]){bias, shape}, 2, bias->name);
}

graph_value *pass_finite_bias(pass_context *ctx, graph_node *before, graph_value *bias) {
    if (!pass_may_be_lowest(bias)) return bias;
    const graph_node *n = bias->producer;
    if (graph_is_op(n, "", "Add")) /* what is added in every layer to one mask for all of them */
        for (int side = 0; side < 2; side++) {
            graph_value *other = n->inputs[1 - side].value, *mask = n->inputs[side].value;
            if (pass_may_be_lowest(other)) continue;
            graph_value *v = pass_finite_bias(ctx, before, mask);
            return v ? pass_emit_inferred(ctx, before, "Add", (graph_value *[]){other, v}, 2, bias->name) : NULL;
        }
    graph_value *limit = graph_const_f32(ctx->g, "limit", -1e30f), *half = graph_const_f32(ctx->g, "half", 0.5f);
    if (!limit || !half) return NULL;
    graph_value *low = pass_emit_inferred(ctx, before, "Less", (graph_value *[]){bias, limit}, 2, bias->name);
    graph_value *halved = low ? pass_emit_inferred(ctx, before, "Mul", (graph_value *[]){bias, half}, 2, bias->name) : NULL;
    return halved ? pass_emit_inferred(ctx, before, "Where", (graph_value *[]){low, halved, bias}, 3, bias->name) : NULL;
}

/* ---------------------------------------------------------------- turns */

/* Unsqueeze(Range(0, rows of the table, 1)), as pass_rotary makes it. */
static bool in_order(const graph_value *positions, const graph_value *table) {
    int64_t zero, one;
    const graph_tensor *t = positions->constant;
    if (t && t->dtype == NIB_DTYPE_I64 && t->data && table->type.rank == 2) { /* folded: of a fixed length */
        int64_t count = graph_tensor_elements(t), place;
        for (int64_t i = 0; i < count; i++) {
            memcpy(&place, (const char *)t->data + (size_t)i * sizeof place, sizeof place);
            if (place != i) return false;
        }
        return graph_dim_is_const(table->type.dims[0], &one) && count == one;
    }
    const graph_node *u = positions->producer, *r = graph_is_op(u, "", "Unsqueeze") ? u->inputs[0].value->producer : NULL;
    if (!graph_is_op(r, "", "Range") || !pass_int_at(r->inputs[0].value, 0, &zero) || zero != 0) return false;
    if (!pass_int_at(r->inputs[2].value, 0, &one) || one != 1) return false;
    graph_dim rows = r->outputs[0]->type.rank == 1 ? r->outputs[0]->type.dims[0] : NULL;
    return rows && table->type.rank == 2 && rows == table->type.dims[0];
}

/* Row after row of a constant table of two halves that are the same. */
static bool halves_are_same(const graph_tensor *t, size_t half) {
    const size_t bytes = half * sizeof(float);
    for (size_t at = 0; at + 2 * bytes <= t->bytes; at += 2 * bytes)
        if (memcmp((const char *)t->data + at, (const char *)t->data + at + bytes, bytes) != 0) return false;
    return true;
}

/* A table of half a head; the left half of a constant one whose halves are the same; NULL if it is neither, or memory ran out. */
static graph_value *half_table(const graph_node *n, int table, int64_t half) {
    graph_value *v = n->inputs[table].value;
    int64_t width;
    if (v->type.rank != 2 || !graph_dim_is_const(v->type.dims[1], &width)) return NULL;
    const graph_tensor *t = v->constant;
    if (width == half || half < 1 || width != 2 * half || !t || t->dtype != NIB_DTYPE_F32 || !t->data || !halves_are_same(t, (size_t)half))
        return width == half ? v : NULL;
    graph_tensor left = {.dtype = NIB_DTYPE_F32, .rank = 2, .dims = {t->dims[0], half}, .bytes = t->bytes / 2};
    char *to = left.data = base_arena_alloc(n->owner->arena, left.bytes);
    const size_t bytes = (size_t)half * sizeof(float);
    for (int64_t r = 0; to && r < t->dims[0]; r++) memcpy(to + (size_t)r * bytes, (const char *)t->data + (size_t)r * 2 * bytes, bytes);
    return to ? graph_add_constant(n->owner, v->name, &left, false) : NULL;
}

bool pass_read_turn(const graph_node *n, pass_turn *out) {
    int64_t width;
    op_rotary r;
    const graph_value *x = n->inputs[0].value, *table = n->inputs[1].value;
    if (x->type.rank != 3 || table->type.rank != 2 || !graph_dim_is_const(x->type.dims[2], &width)) return false;
    int64_t columns;
    if (!graph_dim_is_const(table->type.dims[1], &columns) || op_rotary_read(n, width, columns, &r) != NIB_OK) return false;
    if (r.interleaved || r.first != 0 || 2 * r.half != r.size || r.heads * r.size != width) return false;
    *out = (pass_turn){.rows = n->inputs[0].value, .positions = n->inputs[3].value, .heads = r.heads, .size = r.size};
    out->cos = half_table(n, 1, r.half);
    out->sin = half_table(n, 2, r.half);
    if (in_order(out->positions, table) && table->type.dims[0] == x->type.dims[1]) out->positions = NULL;
    return out->cos && out->sin;
}

/* An input of the graph that is [B, S] as x begins: its shape is that of the positions. */
static graph_value *like_rows(const graph *g, const graph_value *x) {
    for (int i = 0; i < g->n_inputs; i++) {
        graph_value *v = g->inputs[i];
        if (v->type.rank == 2 && v->type.dims[0] && v->type.dims[0] == x->type.dims[0] && v->type.dims[1] &&
            v->type.dims[1] == x->type.dims[1])
            return v;
    }
    return NULL;
}

graph_value *pass_positions_of(pass_context *ctx, graph_node *before, const graph_node *n, const pass_turn *t) {
    graph_value *p = n->inputs[3].value, *like = like_rows(ctx->g, t->rows), *shape;
    if (p->type.rank == 2 && p->type.dims[0] && p->type.dims[0] == t->rows->type.dims[0] && p->type.dtype == NIB_DTYPE_I64) return p;
    if (p->type.dtype != NIB_DTYPE_I64) {
        p = pass_emit(ctx, before, "", "Cast", &p, 1, p->name);
        if (!p || graph_set_int(p->producer, "to", NIB_DTYPE_I64) != NIB_OK || op_infer_node(ctx->g, p->producer, ctx->err) != NIB_OK)
            return NULL;
    }
    if (like) {
        shape = pass_emit_inferred(ctx, before, "Shape", &like, 1, like->name);
    } else {
        int64_t two[2] = {0, 1};
        graph_value *all = pass_emit_inferred(ctx, before, "Shape", &t->rows, 1, t->rows->name);
        graph_value *at = graph_const_i64(ctx->g, "axes", two, 2);
        shape = all && at ? pass_emit_inferred(ctx, before, "Gather", (graph_value *[]){all, at}, 2, t->rows->name) : NULL;
    }
    return shape ? pass_emit_inferred(ctx, before, "Expand", (graph_value *[]){p, shape}, 2, p->name) : NULL;
}

/* ---------------------------------------------------------------- ai.onnx */

static nib_status rotary(pass_context *ctx, graph_node *n) {
    nib_status status = NIB_OK;
    pass_turn t;
    if (!pass_read_turn(n, &t)) return NIB_OK;
    graph_value *in[4] = {t.rows, t.cos, t.sin, pass_positions_of(ctx, n, n, &t)};
    graph_value *y = in[3] ? pass_emit(ctx, n, "", "RotaryEmbedding", in, 4, n->outputs[0]->name) : NULL;
    if (!y) return no_memory(ctx);
    NIB_TRY(graph_set_int(y->producer, "num_heads", t.heads));
    NIB_TRY(op_infer_node(ctx->g, y->producer, ctx->err));
    NIB_TRY(pass_replace(ctx, n->outputs[0], y));
    graph_remove_node(ctx->g, n);
fail:
    return status;
}

/* Its bias said by an attribute, or whole. The operator itself is the node's own expand. */
static nib_status attention(pass_context *ctx, graph_node *n) {
    nib_status status = NIB_OK;
    char why[200];
    op_attention a;
    op_attention_get(n, &a);
    if (!a.bias || !a.k || a.offsets || a.relative_rows) return NIB_OK;
    if (pass_is_causal(ctx, a.bias, why, sizeof why)) {
        a.bias = NULL;
        a.masked_nan = false;
        a.causal = true;
        return op_attention_set(n, &a, ctx->err);
    }
    if (a.masked_nan && pass_may_be_infinite(a.bias)) return NIB_OK; /* which the operator cannot say */
    a.masked_nan = false;
    graph_value *finite = pass_finite_bias(ctx, n, a.bias);
    graph_value *whole = finite ? pass_full_bias(ctx, n, finite, a.q, a.k) : NULL;
    if (!whole) return no_memory(ctx);
    if (whole != finite) whole->type.dims[2] = a.q->type.dims[1], whole->type.dims[3] = a.k->type.dims[1];
    a.bias = whole;
    NIB_TRY(op_attention_set(n, &a, ctx->err));
fail:
    return status;
}

nib_status pass_expand_rows(pass_context *ctx) {
    nib_status status = NIB_OK;
    if (graph_opset_version(ctx->g, "") < 23) return NIB_OK;
    for (graph_node *n = ctx->g->first, *next; n; n = next) {
        next = n->next;
        if (graph_is_op(n, "nib", "Rotary")) NIB_TRY(rotary(ctx, n));
        else if (graph_is_op(n, "nib", "Attention")) NIB_TRY(attention(ctx, n));
    }
fail:
    return status;
}
