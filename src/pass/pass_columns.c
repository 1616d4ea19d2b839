/* SPDX-License-Identifier: Apache-2.0
 *
 * In: rows that are folded into several parts of heads, of which each is then taken,
 *
 *     Reshape [B, S, n H D] -> [B, S, n, H, D], part i: Squeeze of Split or Slice, or Gather, along the axis of n
 *
 * as exporters write view(.., 3, heads, size).unbind(-3). Out: Split of the rows' columns, Reshape of each part to [B, S, H, D]: what
 * was said about an axis is said about columns, which is how the other passes know queries, keys and values.
 */
#include "pass.h"

typedef struct part {
    graph_node *fold; /* the Reshape */
    int64_t index, count, heads, size;
} part;

static bool constant_dim(const graph_value *v, int axis, int64_t *out) { return graph_dim_is_const(v->type.dims[axis], out); }

/* v [B, S, 1, H, D] is one part of the folded value, which is returned. */
static graph_value *one_of(const graph_value *v, int64_t *index) {
    const graph_node *n = v->producer;
    int64_t one, axis, end, step = 1;
    if (v->type.rank != 5 || !constant_dim(v, 2, &one) || one != 1) return NULL;
    if (graph_is_op(n, "", "Split")) {
        axis = graph_attr_int(n, "axis", 0);
        *index = v->producer_index; /* every part has one: their count is that of the outputs */
        int64_t count;
        bool all = constant_dim(n->inputs[0].value, 2, &count) && count == n->n_outputs;
        return all && (axis == 2 || axis == -3) ? n->inputs[0].value : NULL;
    }
    if (!graph_is_op(n, "", "Slice") || n->n_inputs < 4 || !pass_int_at(n->inputs[1].value, 0, index) ||
        !pass_int_at(n->inputs[2].value, 0, &end) || !pass_int_at(n->inputs[3].value, 0, &axis))
        return NULL;
    if (n->n_inputs > 4 && n->inputs[4].value && (!pass_int_at(n->inputs[4].value, 0, &step) || step != 1)) return NULL;
    return axis == 2 || axis == -3 ? n->inputs[0].value : NULL;
}

static bool recognise(graph_node *n, part *p) {
    graph_value *folded = NULL;
    const graph_value *v = n->outputs[0];
    int64_t axis, width;
    if (v->type.rank != 4) return false;
    if (graph_is_op(n, "", "Squeeze") && n->n_inputs == 2 && pass_int_at(n->inputs[1].value, 0, &axis) && (axis == 2 || axis == -3)) {
        folded = one_of(n->inputs[0].value, &p->index);
    } else if (graph_is_op(n, "", "Gather") && n->inputs[1].value->type.rank == 0 && pass_int_at(n->inputs[1].value, 0, &p->index)) {
        axis = graph_attr_int(n, "axis", 0);
        if (axis == 2 || axis == -3) folded = n->inputs[0].value;
    }
    if (!folded || folded->type.rank != 5 || !graph_is_op(folded->producer, "", "Reshape")) return false;
    p->fold = folded->producer;
    const graph_value *rows = p->fold->inputs[0].value;
    if (!constant_dim(folded, 2, &p->count) || !constant_dim(folded, 3, &p->heads) || !constant_dim(folded, 4, &p->size)) return false;
    if (p->index < 0) p->index += p->count;
    return rows->type.rank == 3 && rows->type.dims[0] && rows->type.dims[1] && rows->type.dims[0] == folded->type.dims[0] &&
           rows->type.dims[1] == folded->type.dims[1] && constant_dim(rows, 2, &width) && p->count >= 2 && p->count <= 4 && p->index >= 0 &&
           p->index < p->count && p->heads > 0 && p->size > 0 && p->heads <= width / p->size && width == p->count * p->heads * p->size;
}

/* The Split of the rows into p->count equal parts, made once. */
static graph_node *split_of(pass_context *ctx, const part *p) {
    graph *g = ctx->g;
    graph_value *rows = p->fold->inputs[0].value, *parts[4];
    const int64_t width = p->heads * p->size, sizes[4] = {width, width, width, width};
    for (const graph_use *u = rows->uses; u; u = u->next) {
        const graph_node *n = u->node;
        int64_t have;
        if (graph_is_op(n, "", "Split") && u->index == 0 && n->n_outputs == p->count && graph_attr_int(n, "axis", 0) == 2 &&
            n->outputs[0] && n->outputs[0]->type.rank == 3 && constant_dim(n->outputs[0], 2, &have) && have == width)
            return u->node;
    }
    graph_value *list = graph_const_i64(g, "columns", sizes, p->count);
    for (int i = 0; i < p->count; i++)
        if (!(parts[i] = graph_add_value(g, rows->name))) return NULL;
    graph_node *n =
        list ? graph_add_node(g, p->fold, "", "Split", rows->name, (graph_value *[]){rows, list}, 2, parts, (int)p->count) : NULL;
    if (!n || graph_set_int(n, "axis", 2) != NIB_OK) return NULL;
    n->meaning = op_find("", "Split", graph_opset_version(g, ""));
    return op_infer_node(g, n, ctx->err) == NIB_OK ? n : NULL;
}

nib_status pass_columns(pass_context *ctx) {
    nib_status status = NIB_OK;
    if (!pass_can_say(ctx, "Rotary")) return NIB_OK;         /* who reads the parts stays in its long form, too */
    if (graph_opset_version(ctx->g, "") < 13) return NIB_OK; /* Split has its sizes as an attribute there */
    for (graph_node *n = ctx->g->first, *next; n; n = next) {
        part p;
        next = n->next;
        if (n->n_outputs != 1 || !n->outputs[0] || !recognise(n, &p)) continue;
        graph_node *split = split_of(ctx, &p);
        graph_value *shape = graph_const_i64(ctx->g, "heads", (int64_t[]){0, 0, p.heads, p.size}, 4), *v = NULL;
        if (split && shape) v = pass_emit(ctx, n, "", "Reshape", (graph_value *[]){split->outputs[p.index], shape}, 2, n->outputs[0]->name);
        if (!v) NIB_FAIL(ctx->err, NIB_OUT_OF_MEMORY, "out of memory");
        NIB_TRY(op_infer_node(ctx->g, v->producer, ctx->err));
        NIB_TRY(pass_replace(ctx, n->outputs[0], v));
    }
    NIB_TRY(pass_clean(ctx));
fail:
    return status;
}
