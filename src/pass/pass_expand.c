/* SPDX-License-Identifier: Apache-2.0
 *
 * The way back. In: a graph with nib's operators. Out: the same in operators that every reader of ONNX knows, those of the
 * graph's own opset; for ONNX Runtime also com.microsoft's (pass_expand_ort.c), where it has a fused one for what a node does.
 */
#include "pass_forms.h"
#include <string.h>

nib_status pass_expand(pass_context *ctx) {
    nib_status status = NIB_OK;
    const bool onnxruntime = pass_mode_of(ctx)->contrib;
    NIB_TRY(pass_fold(ctx)); /* tables of angles of a fixed length */
    NIB_TRY(pass_each_body_alone(ctx, pass_expand));
    if (onnxruntime) NIB_TRY(pass_expand_ort(ctx));
    NIB_TRY(pass_expand_rows(ctx)); /* what is left of them */
    for (graph_node *n = ctx->g->first, *next; n; n = next) {
        next = n->next;
        if (strcmp(n->domain, "nib") != 0) continue;
        if (!n->meaning || !n->meaning->expand) NIB_FAIL(ctx->err, NIB_UNSUPPORTED, "nib.%s cannot be written as ONNX", n->op);
        NIB_TRY(n->meaning->expand(ctx->g, n, ctx->err));
        ctx->changes++;
    }
    if (onnxruntime) NIB_TRY(pass_ort_matmul(ctx));
    for (int round = 0, before = -1; round < 8 && before != ctx->changes; round++) { /* until a second run would find nothing to do */
        before = ctx->changes;
        NIB_TRY(pass_fold(ctx)); /* transposed weights, columns of constants */
        NIB_TRY(pass_constants(ctx));
        NIB_TRY(pass_shape(ctx));
        NIB_TRY(pass_reshape(ctx));
        NIB_TRY(pass_transpose(ctx));
        NIB_TRY(pass_clean(ctx));
    }
fail:
    return status;
}
