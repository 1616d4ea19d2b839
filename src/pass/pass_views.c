/* SPDX-License-Identifier: Apache-2.0
 *
 * Views around element-wise nodes. In: values that are reshaped, computed on element by element, and reshaped back,
 *
 *     Reshape [T, N] -> [B, S, N], Mul, Pow, Tanh, .., Reshape [B, S, N] -> [T, N]
 *
 * as exporters write an activation between two Gemms. Out: the same nodes on the values as they were before. All that may meet such values
 * is a constant of one element, or of the last axis where both shapes share it, and nobody else may read them.
 */
#include "pass.h"
#include <string.h>

#define REGION_MAX 64

typedef struct region {
    const graph *g;
    const graph_type *inside, *outside; /* the shape of its values, and the shape in front of and behind it */
    graph_node *nodes[REGION_MAX];      /* whose outputs are its values */
    graph_node *exits[REGION_MAX];      /* the views behind it */
    int count, n_exits;
} region;

static bool is_view(const graph_node *n) {
    static const char *const ops[] = {"Reshape", "Squeeze", "Unsqueeze", "Flatten"};
    for (size_t i = 0; n && i < BASE_COUNT(ops); i++)
        if (graph_is_op(n, "", ops[i])) return n->outputs[0] && n->inputs[0].value;
    return false;
}

/* Broadcasts to both shapes alike. */
static bool is_parameter(const graph_value *v, const graph_type *a, const graph_type *b) {
    if (!v->constant) return false;
    int rank = v->constant->rank;
    if (rank > a->rank || rank > b->rank) return false;
    if (graph_tensor_elements(v->constant) == 1) return true;
    return rank == 1 && a->dims[a->rank - 1] == b->dims[b->rank - 1];
}

static bool is_in(const region *r, const graph_node *n) {
    for (int i = 0; i < r->count; i++)
        if (r->nodes[i] == n) return true;
    return false;
}

/* A view of what has the outer shape already. */
static bool is_entrance(const region *r, const graph_value *v) {
    return is_view(v->producer) && v->owner == r->g && pass_same_dims(&v->producer->inputs[0].value->type, r->outside);
}

static bool is_exit(const region *r, const graph_use *u) {
    const graph_value *y = u->node->n_outputs ? u->node->outputs[0] : NULL;
    return u->index == 0 && u->node->owner == r->g && is_view(u->node) && !y->is_output && pass_same_dims(&y->type, r->outside);
}

static bool may_join(const region *r, const graph_value *v) {
    const graph_node *n = v->producer;
    return n && v->owner == r->g && !v->is_output && n->n_outputs == 1 && op_rows_of(n) == OP_ROWS_ELEMENT && !pass_is_random(n) &&
           pass_same_dims(&v->type, r->inside) && r->count < REGION_MAX;
}

/* Everything between the views behind v and those in front of it; false if there is more between them. */
static bool grow(region *r, const graph_value *v) {
    bool entered = false;
    if (!may_join(r, v)) return false;
    r->nodes[r->count++] = v->producer;
    for (int at = 0; at < r->count; at++) {
        const graph_node *n = r->nodes[at];
        for (int i = 0; i < n->n_inputs; i++) {
            const graph_value *x = n->inputs[i].value;
            if (!x || is_parameter(x, r->inside, r->outside)) continue;
            if (!pass_same_dims(&x->type, r->inside)) return false;
            if (is_entrance(r, x)) entered = true;
            else if (x->producer && is_in(r, x->producer)) continue;
            else if (may_join(r, x)) r->nodes[r->count++] = x->producer;
            else return false;
        }
    }
    for (int i = 0; i < r->count; i++)
        for (const graph_use *u = r->nodes[i]->outputs[0]->uses; u; u = u->next) {
            if (is_in(r, u->node)) continue;
            if (!is_exit(r, u) || r->n_exits == REGION_MAX) return false;
            r->exits[r->n_exits++] = u->node;
        }
    return entered && r->n_exits > 0;
}

static nib_status take_out(pass_context *ctx, const region *r, const graph_type *outside) {
    nib_status status = NIB_OK;
    for (int k = 0; k < r->count; k++) {
        graph_node *n = r->nodes[k];
        for (int i = 0; i < n->n_inputs; i++) {
            const graph_value *x = n->inputs[i].value;
            if (x && !x->constant && is_entrance(r, x)) graph_set_input(n, i, x->producer->inputs[0].value);
        }
    }
    for (int k = 0; k < r->count; k++) {
        graph_value *y = r->nodes[k]->outputs[0];
        y->type.rank = outside->rank;
        memcpy(y->type.dims, outside->dims, sizeof y->type.dims);
        y->data = NULL;
        y->data_count = 0;
    }
    for (int k = 0; k < r->n_exits; k++) {
        NIB_TRY(pass_replace(ctx, r->exits[k]->outputs[0], r->exits[k]->inputs[0].value));
        graph_remove_node(ctx->g, r->exits[k]);
    }
fail:
    return status;
}

nib_status pass_views(pass_context *ctx) {
    nib_status status = NIB_OK;
    for (graph_node *n = ctx->g->first, *next; n; n = next) {
        next = n->next;
        if (!is_view(n) || n->inputs[0].value->constant) continue;
        const graph_value *v = n->inputs[0].value;
        if (!n->outputs[0]->uses && !n->outputs[0]->is_output) continue;
        region r = {.g = ctx->g, .inside = &v->type, .outside = &n->outputs[0]->type};
        if (pass_same_dims(r.inside, r.outside) || !grow(&r, v)) continue;
        const graph_type inside = v->type, outside = n->outputs[0]->type;
        r.inside = &inside;
        r.outside = &outside;
        NIB_TRY(take_out(ctx, &r, &outside));
        next = r.nodes[0]->next;
    }
fail:
    return status;
}
