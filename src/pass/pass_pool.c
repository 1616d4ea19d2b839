/* SPDX-License-Identifier: Apache-2.0
 *
 * In: LpNormalization (L2, of rows) of nib.Pool's rows. Out: nib.Pool with `normalize`: a text's row is made of length 1
 * while it is at hand, by the same kernel, so that its bits are the same.
 */
#include "pass.h"

/* Whether n is the L2 norm of the rows of its input, of rank 2. */
static bool is_of_rows(const graph_node *n) {
    const int64_t axis = graph_attr_int(n, "axis", -1);
    return graph_is_op(n, "", "LpNormalization") && graph_attr_int(n, "p", 2) == 2 && (axis == -1 || axis == 1) &&
           n->inputs[0].value->type.rank == 2;
}

nib_status pass_pool(pass_context *ctx) {
    nib_status status = NIB_OK;
    for (graph_node *n = ctx->g->first, *next; n; n = next) {
        next = n->next;
        if (!is_of_rows(n)) continue;
        graph_value *pooled = n->inputs[0].value;
        if (!graph_is_op(pooled->producer, "nib", "Pool") || pooled->is_output || pooled->use_count != 1 ||
            graph_attr_int(pooled->producer, OP_POOL_UNIT, 0))
            continue;
        NIB_TRY(graph_set_int(pooled->producer, OP_POOL_UNIT, 1));
        NIB_TRY(pass_replace(ctx, n->outputs[0], pooled));
    }
    NIB_TRY(pass_clean(ctx));
fail:
    return status;
}
