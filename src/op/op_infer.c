/* SPDX-License-Identifier: Apache-2.0
 *
 * Inference over a graph: every node in list order, its subgraphs before itself, so that a node like If sees what its
 * branches give. In: declared types, constants and resolved meanings; out: types and symbolic contents of every value.
 */
#include "op_local.h"
#include "base/base_stop.h"
#include <stdio.h>

static nib_status check_arity(const graph_node *n, nib_error *err) {
    const op *o = n->meaning;
    nib_status status = NIB_OK;
    if (n->n_inputs < o->min_in || n->n_inputs > o->max_in) NIB_FAIL(err, NIB_BAD_MODEL, "%s: %d inputs", n->op, n->n_inputs);
    if (n->n_outputs < 1 || (o->n_out >= 0 && n->n_outputs > o->n_out)) NIB_FAIL(err, NIB_BAD_MODEL, "%s: %d outputs", n->op, n->n_outputs);
    for (int i = 0; i < n->n_inputs; i++)
        if (!n->inputs[i].value && (i < o->min_in || o->max_in == INT_MAX))
            NIB_FAIL(err, NIB_BAD_MODEL, "%s: input %d is missing", n->op, i);
    return NIB_OK;
fail:
    base_error_at_node(err, op_name(n));
    return status;
}

nib_status op_infer_node(graph *g, graph_node *n, nib_error *err) {
    const op *o = n->meaning;
    if (!o) return NIB_OK;
    OP_TRY(check_arity(n, err));
    for (int i = 0; i < n->n_inputs; i++) { /* families index dims by rank */
        const graph_value *v = n->inputs[i].value;
        bool list = v && (v->type.kind == GRAPH_KIND_SEQUENCE || v->type.kind == GRAPH_KIND_OPTIONAL);
        nib_status status = NIB_OK;
        if (list && !(o->rows & OP_TAKES_LISTS)) {
            const char *kind = nib_dtype_name(v->type.kind == GRAPH_KIND_SEQUENCE ? NIB_DTYPE_SEQUENCE : NIB_DTYPE_OPTIONAL);
            status = base_error_set(err, NIB_TYPE, "%s: input %d is of type %s", n->op, i, kind);
        } else if (v && v->type.rank > GRAPH_MAX_RANK) {
            status = base_error_set(err, NIB_LIMIT, "%s: input %d has rank %d", n->op, i, v->type.rank);
        }
        if (status == NIB_OK) continue;
        base_error_at_node(err, op_name(n));
        return status;
    }
    return o->infer ? o->infer(&(op_infer){.g = g, .node = n, .err = err}) : NIB_OK;
}

/* What the file says of the shapes of values that known operators make: their elements' types stay. */
static void forget_shapes(graph *g) {
    for (graph_node *n = g->first; n; n = n->next) {
        for (int i = 0; n->meaning && i < n->n_outputs; i++) {
            graph_value *v = n->outputs[i];
            if (!v) continue;
            v->type.rank = -1;
            v->data = NULL;
            v->data_count = 0;
        }
        for (graph_bodies b = {.node = n}; graph_next_body(&b);) forget_shapes(b.body);
    }
}

nib_status op_infer_declared(graph *g, char *why, size_t capacity, nib_error *err) {
    nib_error first = {0};
    nib_status status = op_infer_graph(g, &first);
    *why = 0;
    if (status == NIB_SHAPE) {
        snprintf(why, capacity, "%s (node %s)", first.message, first.node);
        forget_shapes(g);
        status = op_infer_graph(g, &first);
    }
    if (status != NIB_OK && err) *err = first;
    return status;
}

nib_status op_infer_graph(graph *g, nib_error *err) {
    for (graph_node *n = g->first; n; n = n->next) {
        OP_TRY(base_stop_check(err));
        op_infer_bodies(n);
        for (graph_bodies b = {.node = n}; graph_next_body(&b);) OP_TRY(op_infer_graph(b.body, err));
        OP_TRY(op_infer_node(g, n, err));
    }
    return NIB_OK;
}
