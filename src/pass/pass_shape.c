/* SPDX-License-Identifier: Apache-2.0
 *
 * Sizes. In: integers that the graph computes from shapes of values deep inside it (Shape of hidden states, sliced, gathered,
 * added up), where inference knows that the result is just an input's batch or seq. Out: the same number read from the shape
 * of that input. What only depended on a value for its size no longer depends on it, and duplicates become visible.
 */
#include "pass.h"

typedef struct source { /* where a symbol can be read: an axis of a graph input */
    graph_value *input;
    int axis;
    graph_value *made[2]; /* the size as a scalar, as a vector of one */
} source;

static source *find_source(source *s, int n, graph_dim d) {
    for (int i = 0; i < n; i++)
        if (s[i].input->type.dims[s[i].axis] == d) return &s[i];
    return NULL;
}

static int find_sources(graph *g, source *s, int capacity) {
    int n = 0;
    for (int i = 0; i < g->n_inputs; i++)
        for (int k = 0; k < g->inputs[i]->type.rank; k++) {
            graph_dim d = g->inputs[i]->type.dims[k];
            if (graph_dim_is_symbol(d) && n < capacity && !find_source(s, n, d)) s[n++] = (source){.input = g->inputs[i], .axis = k};
        }
    return n;
}

/* Gather(Shape(input), axis), made once for each rank, at the head of the graph. */
static graph_value *size_of(pass_context *ctx, source *s, int rank) {
    if (s->made[rank]) return s->made[rank];
    graph *g = ctx->g;
    graph_node *head = g->first;
    int64_t axis = s->axis;
    graph_value *index = graph_const_i64(g, "axis", &axis, rank ? 1 : -1);
    graph_value *shape = pass_emit(ctx, head, "", "Shape", &s->input, 1, "shape");
    graph_value *size = index && shape ? pass_emit(ctx, head, "", "Gather", (graph_value *[]){shape, index}, 2, "size") : NULL;
    if (!size || op_infer_node(g, shape->producer, ctx->err) != NIB_OK || op_infer_node(g, size->producer, ctx->err) != NIB_OK) return NULL;
    return s->made[rank] = size;
}

/* Gather of a Shape of a graph input: already what this pass writes. */
static bool is_canonical(const graph_node *n) {
    if (graph_is_op(n, "", "Shape")) return n->inputs[0].value->is_input;
    return graph_is_op(n, "", "Gather") && n->inputs[1].value->constant && graph_is_op(n->inputs[0].value->producer, "", "Shape") &&
           n->inputs[0].value->producer->inputs[0].value->is_input;
}

nib_status pass_shape(pass_context *ctx) {
    nib_status status = NIB_OK;
    source sources[16];
    int n_sources = find_sources(ctx->g, sources, (int)BASE_COUNT(sources));
    for (graph_node *n = ctx->g->first; n; n = n->next) {
        graph_value *v = n->n_outputs == 1 ? n->outputs[0] : NULL;
        if (!v || !v->uses || !v->data || v->data_count != 1 || v->type.dtype != NIB_DTYPE_I64 || v->type.rank < 0 || v->type.rank > 1)
            continue;
        source *s = find_source(sources, n_sources, v->data[0]);
        if (!s || is_canonical(n)) continue;
        graph_value *size = size_of(ctx, s, v->type.rank);
        if (!size) return base_error_set(ctx->err, NIB_OUT_OF_MEMORY, "out of memory while optimizing");
        if (size->producer != n) NIB_TRY(pass_replace(ctx, v, size));
    }
fail:
    return status;
}
