/* SPDX-License-Identifier: Apache-2.0
 *
 * Sizes. In: integers that the graph computes from shapes of values deep inside it (Shape of hidden states, sliced, gathered,
 * added up), where inference knows that the result is just an input's batch or seq. Out: the same number read from the shape
 * of that input. What only depended on a value for its size no longer depends on it, and duplicates become visible.
 *
 *     a vector of one   Shape<start, end>(input), from opset 15 on; Gather(Shape(input), [axis]) before
 *     a scalar          Gather(Shape(input), axis); Squeeze of the vector, where that is there: no node more, and the whole Shape often has
 *                       no other reader
 */
#include "pass.h"

typedef struct source { /* where a symbol can be read: an axis of a graph input */
    graph_value *input;
    int axis;
    graph_value *made[2]; /* the size as a scalar, as a vector of one */
    graph_value *slice;   /* a vector of one that the graph has */
    bool looked;          /* for that */
} source;

static bool slices(const graph *g) { return graph_opset_version(g, "") >= 15; } /* Shape can say some axes alone */

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

/* Whether n is Shape<axis, axis + 1> of a graph input. */
static bool is_slice(const graph_node *n, int axis) {
    return graph_is_op(n, "", "Shape") && n->inputs[0].value->is_input && graph_attr_int(n, "start", 0) == axis &&
           graph_attr_int(n, "end", GRAPH_MAX_RANK) == axis + 1;
}

/* The vector of one that the graph has already; looked for once. */
static graph_value *slice_of(const graph *g, source *s) {
    if (s->looked) return s->slice;
    s->looked = true;
    for (const graph_use *u = s->input->uses; u && !s->slice; u = u->next)
        if (u->node->owner == g && is_slice(u->node, s->axis) && u->node->outputs[0]->type.rank == 1) s->slice = u->node->outputs[0];
    return s->slice;
}

static graph_value *made(pass_context *ctx, graph_value *v) {
    return v && op_infer_node(ctx->g, v->producer, ctx->err) == NIB_OK ? v : NULL;
}

static graph_value *make_slice(pass_context *ctx, const source *s) {
    graph_value *v = pass_emit(ctx, ctx->g->first, "", "Shape", (graph_value *[]){s->input}, 1, "size");
    if (!v || graph_set_int(v->producer, "start", s->axis) != NIB_OK || graph_set_int(v->producer, "end", s->axis + 1) != NIB_OK)
        return NULL;
    return made(ctx, v);
}

/* Made once for each rank, at the head of the graph. */
static graph_value *size_of(pass_context *ctx, source *s, int rank) {
    if (s->made[rank]) return s->made[rank];
    graph *g = ctx->g;
    graph_value *slice = slices(g) ? slice_of(g, s) : NULL, *v;
    int64_t axis = s->axis;
    if (slice) graph_move_before(slice->producer, g->first);
    if (rank && slices(g)) return s->made[rank] = slice ? slice : make_slice(ctx, s);
    if (slice) {
        v = pass_emit(ctx, slice->producer->next, "", "Squeeze", &slice, 1, "size");
    } else {
        graph_value *index = graph_const_i64(g, "axis", &axis, rank ? 1 : -1);
        graph_node *head = g->first;
        graph_value *shape = index ? made(ctx, pass_emit(ctx, head, "", "Shape", &s->input, 1, "shape")) : NULL;
        v = shape ? pass_emit(ctx, head, "", "Gather", (graph_value *[]){shape, index}, 2, "size") : NULL;
    }
    return s->made[rank] = made(ctx, v);
}

/* Already what this pass writes. */
static bool is_canonical(const graph *g, const graph_node *n, source *s) {
    bool vector = n->outputs[0]->type.rank == 1;
    const graph_node *from = n->n_inputs && n->inputs[0].value ? n->inputs[0].value->producer : NULL;
    if (graph_is_op(n, "", "Shape")) return n->inputs[0].value->is_input;
    if (graph_is_op(n, "", "Squeeze")) return slices(g) && is_slice(from, s->axis);
    if (!graph_is_op(n, "", "Gather") || !n->inputs[1].value->constant || !graph_is_op(from, "", "Shape")) return false;
    return from->inputs[0].value->is_input && (!slices(g) || (!vector && !slice_of(g, s)));
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
        if (!s || is_canonical(ctx->g, n, s)) continue;
        graph_value *size = size_of(ctx, s, v->type.rank);
        if (!size) return base_error_set(ctx->err, NIB_OUT_OF_MEMORY, "out of memory while optimizing");
        if (size->producer != n) NIB_TRY(pass_replace(ctx, v, size));
    }
fail:
    return status;
}
