/* SPDX-License-Identifier: Apache-2.0
 *
 * From one opset of ai.onnx to another. In: a graph and the opset that it is to import. Out: the same graph, its nodes in that
 * opset's words. Most operators mean the same in both: their row of the operator table is one. Those that only moved an
 * attribute to an input are rewritten; anything else is refused, with its name.
 */
#include "pass.h"
#include <string.h>

/* Lists that were an attribute and became input 1. */
static const struct moved {
    const char *op, *attr;
    int since;
} moved[] = {
    {"Squeeze", "axes", 13},         {"Unsqueeze", "axes", 13},  {"Split", "split", 13},       {"ReduceSum", "axes", 13},
    {"ReduceMax", "axes", 18},       {"ReduceMean", "axes", 18}, {"ReduceMin", "axes", 18},    {"ReduceProd", "axes", 18},
    {"ReduceL1", "axes", 18},        {"ReduceL2", "axes", 18},   {"ReduceLogSum", "axes", 18}, {"ReduceLogSumExp", "axes", 18},
    {"ReduceSumSquare", "axes", 18},
};

static void drop_attr(graph_node *n, const char *name) {
    int kept = 0;
    for (int i = 0; i < n->n_attrs; i++)
        if (strcmp(n->attrs[i].name, name) != 0) n->attrs[kept++] = n->attrs[i];
    n->n_attrs = kept;
}

/* True if the node could be rewritten; memory: false, *status set. */
static bool move_list(pass_context *ctx, graph_node *n, int from, int to, nib_status *status) {
    for (size_t i = 0; i < BASE_COUNT(moved); i++) {
        const struct moved *m = &moved[i];
        const int64_t *values;
        if (strcmp(n->op, m->op) != 0 || from >= m->since || to < m->since) continue;
        int64_t count = graph_attr_ints(n, m->attr, &values);
        if (count >= 0) {
            graph_value *list = graph_const_i64(n->owner, m->attr, values, count);
            *status = list ? graph_append_input(n, list, ctx->err) : base_error_set(ctx->err, NIB_OUT_OF_MEMORY, "out of memory");
            if (*status != NIB_OK) return false;
            drop_attr(n, m->attr);
        }
        /* Since 18, a Split without sizes must say into how many. */
        if (strcmp(n->op, "Split") == 0 && to >= 18 && count < 0) *status = graph_set_int(n, "num_outputs", n->n_outputs);
        return *status == NIB_OK;
    }
    if (strcmp(n->op, "Split") == 0 && from < 18 && to >= 18) {
        if (n->n_inputs < 2 || !n->inputs[1].value) *status = graph_set_int(n, "num_outputs", n->n_outputs);
        return *status == NIB_OK;
    }
    if ((strcmp(n->op, "Softmax") == 0 || strcmp(n->op, "LogSoftmax") == 0) && from < 13 && to >= 13) { /* over all axes from one on */
        int rank = n->inputs[0].value->type.rank;
        int64_t axis = graph_attr_int(n, "axis", 1);
        if (rank < 1 || (axis < 0 ? axis + rank : axis) != rank - 1) return false;
        *status = graph_set_int(n, "axis", -1);
        return *status == NIB_OK;
    }
    return false;
}

static nib_status convert(pass_context *ctx, graph *g, int from, int to) {
    nib_status status = NIB_OK;
    for (graph_node *n = g->first; n; n = n->next) {
        for (int i = 0; i < n->n_attrs; i++) {
            const graph_attr *a = &n->attrs[i];
            if (a->kind == GRAPH_ATTR_GRAPH) NIB_TRY(convert(ctx, a->u.graph, from, to));
            for (size_t k = 0; a->kind == GRAPH_ATTR_GRAPHS && k < a->count; k++) NIB_TRY(convert(ctx, a->u.graphs[k], from, to));
        }
        if (n->domain[0] || !n->meaning) continue;
        const op *then = op_find("", n->op, to);
        if (then != n->meaning && !(then && move_list(ctx, n, from, to, &status))) {
            if (status == NIB_OK)
                status = base_error_set(ctx->err, NIB_UNSUPPORTED, "%s of opset %d cannot be written in opset %d", n->op, from, to);
            base_error_at_node(ctx->err, n->name);
            return status;
        }
        n->meaning = then;
    }
fail:
    return status;
}

nib_status pass_opset(pass_context *ctx, int opset) {
    nib_status status = NIB_OK;
    int from = graph_opset_version(ctx->g, "");
    if (from == opset || from == 0) return NIB_OK;
    NIB_TRY(convert(ctx, ctx->g, from, opset));
    NIB_TRY(graph_set_opset(ctx->g, "", opset, ctx->err));
    op_resolve(ctx->g);
    NIB_TRY(op_infer_graph(ctx->g, ctx->err));
    ctx->changes++;
fail:
    return status;
}
