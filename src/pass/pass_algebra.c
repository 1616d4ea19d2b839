/* SPDX-License-Identifier: Apache-2.0
 *
 * In: a product with a reciprocal, x (1 / y), as torch.export writes rsqrt. Out: the quotient x / y, one node less, and what others look
 * for in norms that are written out. Values differ by their last rounding.
 */
#include "pass.h"
#include "pass_match.h"

static bool is_float(nib_dtype t) { return t == NIB_DTYPE_F32 || t == NIB_DTYPE_F64 || t == NIB_DTYPE_F16; }

static nib_status quotient(pass_context *ctx, graph_node *n) {
    static const char *const forms[] = {"Mul(x, r:Reciprocal(y))", "Mul(x, r:Div(1, y))"};
    pass_match m;
    for (size_t i = 0; i < BASE_COUNT(forms); i++) {
        if (!pass_match_at(forms[i], n->outputs[0], &m)) continue;
        const graph_value *r = pass_matched_node(&m, "r")->outputs[0];
        graph_value *x = pass_matched(&m, "x"), *y = pass_matched(&m, "y");
        if (r->use_count != 1 || r->is_output || !is_float(r->type.dtype) || !pass_same_shape(r, y)) continue;
        graph_value *q = pass_emit(ctx, n, "", "Div", (graph_value *[]){x, y}, 2, n->outputs[0]->name);
        if (!q) return base_error_set(ctx->err, NIB_OUT_OF_MEMORY, "out of memory while optimizing");
        nib_status status = op_infer_node(ctx->g, q->producer, ctx->err);
        return status == NIB_OK ? pass_replace(ctx, n->outputs[0], q) : status;
    }
    return NIB_OK;
}

nib_status pass_algebra(pass_context *ctx) {
    nib_status status = NIB_OK;
    if (graph_opset_version(ctx->g, "") < 7) return NIB_OK;
    for (graph_node *n = ctx->g->first; n; n = n->next)
        if (graph_is_op(n, "", "Mul")) NIB_TRY(quotient(ctx, n));
fail:
    return status;
}
