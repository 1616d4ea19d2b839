/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows that nobody wants are not computed. In: nib.Pick behind nodes that make each row of the same row,
 *
 *     x [B, S, C] -> Linear -> Norm -> Linear [B, S, V] -> Pick [N, V]
 *
 * Out: the Pick in front of them: a head for words, the product with the vocabulary, and what of the last layer stands
 * behind its attention see [N, C]. Every row is computed as before, so that its bits are the same. A value moves only
 * if nobody but Picks of the same places reads it.
 *
 * Nodes are looked at from the last to the first: when a node's turn comes, all that reads it has moved.
 */
#include "pass.h"

#define PICK_INPUTS 32

/* Rows [B, S, ..] that are somebody's result. */
static bool are_rows(const graph_value *v) {
    return v->type.rank == 3 && !v->constant && v->type.dims[0] && v->type.dims[1] && v->type.dims[2];
}

/* The places of all Picks that read y, where nothing else does; NULL: it must stay. */
static graph_value *places_of(const graph_value *y) {
    graph_value *places = NULL;
    for (const graph_use *u = y->uses; u; u = u->next) {
        const graph_node *n = u->node;
        if (!graph_is_op(n, "nib", "Pick") || u->index != 0 || n->owner != y->owner || n->n_inputs != 2) return NULL;
        if (places && n->inputs[1].value != places) return NULL;
        places = n->inputs[1].value;
    }
    return y->is_output || (places && places->producer) ? NULL : places;
}

/* Which inputs of n are rows like its output: bit i. 0: one of the others is no parameter, so that n must stay. */
static uint32_t rows_read(const graph_node *n) {
    const graph_value *y = n->outputs[0];
    const op_rows rows = op_rows_of(n);
    op_linear l;
    const graph_value *residual = op_linear_get(n, &l)             ? l.residual
                                  : graph_is_op(n, "nib", "Norm") ? pass_input(n, 3)
                                                                   : NULL;
    uint32_t found = 0;
    if ((rows != OP_ROWS_ELEMENT && rows != OP_ROWS_LAST) || n->n_inputs > PICK_INPUTS || graph_has_bodies(n)) return 0;
    for (int i = 0; i < n->n_inputs; i++) {
        const graph_value *v = n->inputs[i].value;
        const bool element = rows == OP_ROWS_ELEMENT, row = element || i == 0 || v == residual;
        if (!v) continue;
        if (row && are_rows(v) && v->owner == y->owner && v->type.dims[0] == y->type.dims[0] && v->type.dims[1] == y->type.dims[1])
            found |= 1u << i;
        else if (element ? !pass_is_row_parameter(v) : !v->constant || row) return 0;
    }
    return found;
}

static graph_value *pick(pass_context *ctx, graph_node *before, graph_value *rows, graph_value *places) {
    graph_value *v = pass_emit(ctx, before, "nib", "Pick", (graph_value *[]){rows, places}, 2, rows->name);
    return v && op_infer_node(ctx->g, v->producer, ctx->err) == NIB_OK ? v : NULL;
}

/* Picks of y are y made of picked rows. */
static nib_status move(pass_context *ctx, graph_node *n, uint32_t rows, graph_value *places) {
    nib_status status = NIB_OK;
    graph_value *in[PICK_INPUTS], *y = n->outputs[0];
    const bool element = op_rows_of(n) == OP_ROWS_ELEMENT;
    for (int i = 0; i < n->n_inputs; i++) {
        in[i] = n->inputs[i].value;
        if (!in[i]) continue;
        if (rows >> i & 1u) in[i] = pick(ctx, n, in[i], places);
        else if (element) in[i] = pass_row_parameter(ctx, in[i]);
        if (!in[i]) NIB_FAIL(ctx->err, NIB_OUT_OF_MEMORY, "out of memory while optimizing");
    }
    graph_value *few = pass_emit(ctx, n, n->domain, n->op, in, n->n_inputs, y->name);
    if (!few) NIB_FAIL(ctx->err, NIB_OUT_OF_MEMORY, "out of memory while optimizing");
    NIB_TRY(pass_copy_attrs(ctx, few->producer, n));
    NIB_TRY(op_infer_node(ctx->g, few->producer, ctx->err));
    while (y->uses) {
        graph_node *reader = y->uses->node;
        NIB_TRY(pass_replace(ctx, reader->outputs[0], few));
        graph_remove_node(ctx->g, reader);
    }
    graph_remove_node(ctx->g, n);
fail:
    return status;
}

nib_status pass_pick(pass_context *ctx) {
    nib_status status = NIB_OK;
    int moved = 0;
    for (graph_node *n = ctx->g->last, *before; n; n = before) {
        before = n->prev;
        if (n->n_outputs != 1 || !n->outputs[0] || !n->outputs[0]->uses || !are_rows(n->outputs[0]) || pass_is_random(n)) continue;
        graph_value *places = places_of(n->outputs[0]);
        const uint32_t rows = places ? rows_read(n) : 0;
        if (rows) NIB_TRY(move(ctx, n, rows, places));
        moved += rows != 0;
    }
    if (moved) pass_note(ctx, "%d nodes see no rows but those that are wanted", moved);
    if (moved) NIB_TRY(pass_clean(ctx)); /* Picks of the same rows are one */
fail:
    return status;
}
