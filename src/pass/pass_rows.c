/* SPDX-License-Identifier: Apache-2.0
 *
 * In: nib.Linear of rows that were folded to a matrix [B S, K], as exporters write Gemm, and what is computed on such rows before the next
 * (activations, residuals, norms). Out: the same on the rows [B, S, K] as they were before, folded behind it: there the fold meets the view
 * that takes it back, and activations, residuals and norms meet the Linear.
 */
#include "pass_heads.h"
#include <string.h>

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

/* The node on inputs `in` [n->n_inputs], folded behind it. */
static nib_status unfold(pass_context *ctx, graph_node *n, graph_value *const *in) {
    nib_status status = NIB_OK;
    int64_t width;
    graph_value *y = n->outputs[0];
    if (y->type.rank != 2 || !graph_dim_is_const(y->type.dims[1], &width)) return NIB_OK;
    graph_value *wide = pass_emit(ctx, n, n->domain, n->op, in, n->n_inputs, y->name);
    if (!wide) NIB_FAIL(ctx->err, NIB_OUT_OF_MEMORY, "out of memory");
    for (int i = 0; i < n->n_attrs; i++) NIB_TRY(graph_set_attr(wide->producer, &n->attrs[i]));
    NIB_TRY(op_infer_node(ctx->g, wide->producer, ctx->err));
    NIB_TRY(pass_replace(ctx, y, pass_emit_reshape(ctx, n, wide, (int64_t[]){-1, width}, 2)));
fail:
    return status;
}

/* Every input is folded rows of one shape, or a constant that meets all rows alike. Fills in [n->n_inputs], at most ROWS_INPUTS. */
#define ROWS_INPUTS 8
static bool unfold_inputs(const graph_node *n, graph_value **in) {
    const graph_value *first = NULL;
    if (n->n_outputs != 1 || n->n_inputs > ROWS_INPUTS || !n->n_inputs || pass_is_random(n)) return false;
    bool element = op_rows_of(n) == OP_ROWS_ELEMENT && n->outputs[0]->type.dtype == NIB_DTYPE_F32;
    op_linear l;
    const bool linear = op_linear_get(n, &l) && !l.residual && !l.params && !l.factor && l.n_weights == 1;
    if (!element && !(graph_is_op(n, "nib", "Norm") && n->n_inputs <= 3) && !linear) return false;
    for (int i = 0; i < n->n_inputs; i++) {
        graph_value *v = n->inputs[i].value, *rows = v && !v->constant ? unfolded(v) : NULL;
        in[i] = rows ? rows : v;
        if (!v || (v->constant && (!element || v->constant->rank < 2))) continue;
        if (!rows || (first && !pass_same_shape(first, rows)) || (!element && i)) return false;
        first = rows;
    }
    return first != NULL;
}

nib_status pass_rows(pass_context *ctx) {
    nib_status status = NIB_OK;
    bool any = false;
    for (const graph_node *n = ctx->g->first; n && !any; n = n->next) {
        op_linear l;
        any = op_linear_get(n, &l) && l.x->type.rank == 2 && graph_is_op(l.x->producer, "", "Reshape");
    }
    if (!any) return NIB_OK;
    NIB_TRY(pass_reshape(ctx)); /* the fold of a merge of heads is one of the rows */
    for (graph_node *n = ctx->g->first, *next; n; n = next) {
        next = n->next;
        graph_value *in[ROWS_INPUTS];
        if (unfold_inputs(n, in)) NIB_TRY(unfold(ctx, n, in));
    }
    NIB_TRY(pass_reshape(ctx));
    NIB_TRY(pass_clean(ctx));
fail:
    return status;
}
