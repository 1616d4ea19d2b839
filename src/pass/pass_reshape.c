/* SPDX-License-Identifier: Apache-2.0
 *
 * Reshapes. In: Reshape to a shape that the graph computes (Shape, Gather, Concat), and chains of Reshape, Squeeze, Unsqueeze
 * and Flatten. Out: one Reshape to a constant shape, wherever at most one size is neither a number nor that of the same axis
 * before (0 in the shape: copied; -1: what is left). What computed the shape is then nobody's.
 */
#include "pass.h"
#include <string.h>

static bool only_reshapes(const graph_node *n) {
    static const char *const ops[] = {"Reshape", "Squeeze", "Unsqueeze", "Flatten"};
    for (size_t i = 0; n && i < BASE_COUNT(ops); i++)
        if (graph_is_op(n, "", ops[i])) return true;
    return false;
}

/* The shape that turns `from` into `to`, as Reshape takes it; false if it cannot be a constant. */
static bool constant_shape(const graph_type *from, const graph_type *to, int64_t *shape) {
    bool open = false;
    if (to->rank < 0) return false;
    for (int i = 0; i < to->rank; i++) {
        graph_dim d = to->dims[i];
        if (graph_dim_is_const(d, &shape[i])) {
            if (shape[i] == 0) return false;
        } else if (d && i < from->rank && from->dims[i] == d) {
            shape[i] = 0;
        } else if (!open) {
            shape[i] = -1;
            open = true;
        } else {
            return false;
        }
    }
    return true;
}

static bool is_that_constant(const graph_value *v, const int64_t *shape, int rank) {
    const graph_tensor *t = v->constant;
    return t && t->dtype == NIB_DTYPE_I64 && t->rank == 1 && t->dims[0] == rank &&
           (!rank || !memcmp(t->data, shape, sizeof *shape * (size_t)rank));
}

static bool is_plain(const graph_node *n) { return graph_is_op(n, "", "Reshape") && !graph_attr_int(n, "allowzero", 0); }

nib_status pass_reshape(pass_context *ctx) {
    nib_status status = NIB_OK;
    if (graph_opset_version(ctx->g, "") < 5) return NIB_OK; /* the shape was an attribute */
    for (graph_node *n = ctx->g->first; n; n = n->next) {
        int64_t shape[GRAPH_MAX_RANK];
        if (!only_reshapes(n) || !n->outputs[0] || !n->inputs[0].value) continue;
        graph_value *y = n->outputs[0], *x = n->inputs[0].value;
        if (!y->uses && !y->is_output) continue;
        bool chain = false;
        while (only_reshapes(x->producer) && x->producer->owner == ctx->g && x->producer->inputs[0].value) {
            graph_value *before = x->producer->inputs[0].value; /* the first one that says the shape by itself will do */
            if (!constant_shape(&before->type, &y->type, shape)) break;
            x = before;
            chain = true;
        }
        if (!chain && !graph_is_op(n, "", "Reshape")) continue;
        if (!constant_shape(&x->type, &y->type, shape)) continue;
        if (!chain && is_plain(n) && is_that_constant(n->inputs[1].value, shape, y->type.rank)) continue;
        if (!chain && n->inputs[1].value->constant && is_plain(n)) continue; /* as good as ours */
        graph_value *s = graph_const_i64(ctx->g, "shape", shape, y->type.rank);
        graph_value *r = s ? pass_emit(ctx, n, "", "Reshape", (graph_value *[]){x, s}, 2, y->name) : NULL;
        if (!r) NIB_FAIL(ctx->err, NIB_OUT_OF_MEMORY, "out of memory while optimizing");
        r->type = y->type;
        NIB_TRY(op_infer_node(ctx->g, r->producer, ctx->err));
        NIB_TRY(pass_replace(ctx, y, r));
    }
fail:
    return status;
}
