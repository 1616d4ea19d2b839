/* SPDX-License-Identifier: Apache-2.0
 *
 * In: nib.Linear of rows that were folded to a matrix [B S, K], as exporters write Gemm. Out: nib.Linear of the rows [B, S, K] as they
 * were before, folded behind it: there the fold meets the view that takes it back, and activations, residuals and norms meet the
 * Linear.
 */
#include "pass_heads.h"

/* x [T, K] is a view of rows [.., K] of rank 3 and more: those, or NULL. */
static graph_value *unfolded(const graph_value *x) {
    const graph_node *n = x->producer;
    if (!graph_is_op(n, "", "Reshape") || x->type.rank != 2) return NULL;
    graph_value *rows = n->inputs[0].value;
    if (rows->type.rank < 3 || rows->type.dtype != NIB_DTYPE_F32 || rows->constant || rows->owner != x->owner) return NULL;
    for (int i = 0; i < rows->type.rank; i++)
        if (!rows->type.dims[i]) return NULL;
    return rows->type.dims[rows->type.rank - 1] == x->type.dims[1] ? rows : NULL;
}

static nib_status unfold(pass_context *ctx, graph_node *n, graph_value *rows) {
    nib_status status = NIB_OK;
    int64_t width;
    graph_value *in[3] = {rows, n->inputs[1].value, n->n_inputs > 2 ? n->inputs[2].value : NULL}, *y = n->outputs[0];
    if (y->type.rank != 2 || !graph_dim_is_const(y->type.dims[1], &width)) return NIB_OK;
    graph_value *wide = pass_emit(ctx, n, "nib", "Linear", in, in[2] ? 3 : 2, y->name);
    if (!wide) NIB_FAIL(ctx->err, NIB_OUT_OF_MEMORY, "out of memory");
    for (int i = 0; i < n->n_attrs; i++) NIB_TRY(graph_set_attr(wide->producer, &n->attrs[i]));
    NIB_TRY(op_infer_node(ctx->g, wide->producer, ctx->err));
    NIB_TRY(pass_replace(ctx, y, pass_emit_reshape(ctx, n, wide, (int64_t[]){-1, width}, 2)));
fail:
    return status;
}

nib_status pass_rows(pass_context *ctx) {
    nib_status status = NIB_OK;
    bool any = false;
    for (const graph_node *n = ctx->g->first; n && !any; n = n->next)
        any = graph_is_op(n, "nib", "Linear") && n->inputs[0].value->type.rank == 2 &&
              graph_is_op(n->inputs[0].value->producer, "", "Reshape");
    if (!any) return NIB_OK;
    NIB_TRY(pass_reshape(ctx)); /* the fold of a merge of heads is one of the rows */
    for (graph_node *n = ctx->g->first, *next; n; n = next) {
        next = n->next;
        graph_value *rows = graph_is_op(n, "nib", "Linear") && n->n_inputs <= 3 ? unfolded(n->inputs[0].value) : NULL;
        if (rows) NIB_TRY(unfold(ctx, n, rows));
    }
    NIB_TRY(pass_reshape(ctx));
    NIB_TRY(pass_clean(ctx));
fail:
    return status;
}
