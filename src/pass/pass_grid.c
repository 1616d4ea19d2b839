/* SPDX-License-Identifier: Apache-2.0
 *
 * Look-ups of everything in order. In: Slice from each axis' begin to its end; Gather or GatherND whose indices are, along each axis that
 * they look up, nothing but 0, 1, .. to the axis' end, as torch.export writes mask[batch_index, key_index] with two ranges that broadcast
 * against each other:
 *
 *     GatherND(mask [B, S], Concat(Unsqueeze(Expand(range(B) as [B, 1, 1, 1])), Unsqueeze(Expand(range(S) as [1, 1, 1, S]))))
 *
 * Out: the value itself, with axes of 1 where the indices have them. Sizes are compared as symbols, so it holds for every size.
 */
#include "pass.h"
#include <string.h>

/* Which axis of `to` is axis `axis` of `from`, whose other axes are all kept but for those of 1; -1: none. */
static int axis_in_view(const graph_type *from, const graph_type *to, int axis) {
    int at = 0, found = -1;
    for (int i = 0; i < from->rank; i++) {
        if (graph_dim_is_one(from->dims[i])) continue;
        while (at < to->rank && graph_dim_is_one(to->dims[at])) at++;
        if (!from->dims[i] || at == to->rank || to->dims[at] != from->dims[i]) return -1;
        if (i == axis) found = at;
        at++;
    }
    while (at < to->rank && graph_dim_is_one(to->dims[at])) at++;
    return at == to->rank ? found : -1;
}

static bool counts_up(const graph_node *range) {
    int64_t from, step;
    return pass_int_at(range->inputs[0].value, 0, &from) && from == 0 && pass_int_at(range->inputs[2].value, 0, &step) && step == 1;
}

/* The axis along which v counts 0, 1, .. to `size`, the same everywhere else; -1: none. */
static int counting_axis(const graph_value *v, graph_dim size, int depth) {
    const graph_node *n = v->producer;
    if (!n || depth > 8 || !size || graph_dim_is_one(size) || v->type.rank < 1) return -1;
    if (graph_is_op(n, "", "Range")) return v->type.rank == 1 && v->type.dims[0] == size && counts_up(n) ? 0 : -1;
    bool expands = graph_is_op(n, "", "Expand");
    if (!expands && !graph_is_op(n, "", "Reshape") && !graph_is_op(n, "", "Unsqueeze") && !graph_is_op(n, "", "Squeeze")) return -1;
    const graph_value *x = n->inputs[0].value;
    int axis = x ? counting_axis(x, size, depth + 1) : -1;
    if (axis < 0) return -1;
    if (!expands) return axis_in_view(&x->type, &v->type, axis);
    axis += v->type.rank - x->type.rank;
    return v->type.dims[axis] == size ? axis : -1;
}

/* Do the indices of GatherND say each place of the first axes once, in order? */
static bool is_whole_grid(const graph_value *data, const graph_value *indices) {
    const graph_node *concat = indices->producer;
    int last = indices->type.rank - 1, before = -1;
    bool seen[GRAPH_MAX_RANK] = {false};
    if (last < 1 || !graph_is_op(concat, "", "Concat") || concat->n_inputs > data->type.rank) return false;
    int64_t axis = graph_attr_int(concat, "axis", 0);
    if (axis != -1 && axis != last) return false;
    for (int i = 0; i < concat->n_inputs; i++) {
        const graph_value *part = concat->inputs[i].value;
        if (!part || part->type.rank != last + 1 || !graph_dim_is_one(part->type.dims[last])) return false;
        if (graph_dim_is_one(data->type.dims[i])) continue; /* there is but one place */
        int at = counting_axis(part, data->type.dims[i], 0);
        if (at <= before || at == last) return false;
        seen[at] = true;
        before = at;
    }
    for (int i = 0; i < last; i++)
        if (!seen[i] && !graph_dim_is_one(indices->type.dims[i])) return false;
    return true;
}

/* Each axis from 0, or from minus its size as T5's exports count, to its end. */
static bool is_whole_slice(const graph *g, const graph_node *n) {
    const graph_value *x = n->inputs[0].value, *starts = n->inputs[1].value, *ends = n->n_inputs > 2 ? n->inputs[2].value : NULL,
                      *axes = n->n_inputs > 3 ? n->inputs[3].value : NULL, *steps = n->n_inputs > 4 ? n->inputs[4].value : NULL;
    if (!x || !starts || !ends || !starts->data || !ends->data || starts->data_count != ends->data_count) return false;
    for (int i = 0; i < starts->data_count; i++) {
        int64_t axis = i, step = 1, start, end;
        if ((axes && !pass_int_at(axes, i, &axis)) || (steps && !pass_int_at(steps, i, &step)) || step != 1) return false;
        axis += axis < 0 ? x->type.rank : 0;
        graph_dim size = axis >= 0 && axis < x->type.rank ? x->type.dims[axis] : NULL;
        if (!size || !starts->data[i]) return false;
        bool whole = pass_int_at(starts, i, &start) ? start == 0
                                                    : starts->data[i] == graph_dim_mul(g->symbols, size, graph_dim_const(g->symbols, -1));
        if (!whole || (!(pass_int_at(ends, i, &end) && end >= INT32_MAX) && ends->data[i] != size)) return false;
    }
    return true;
}

/* x seen as `to`, which has only axes of 1 more; NULL with *ok where it is not that. */
static graph_value *widened(pass_context *ctx, graph_node *before, graph_value *x, const graph_value *y, bool *ok) {
    int64_t axes[GRAPH_MAX_RANK], count = 0;
    int at = 0;
    *ok = true;
    for (int i = 0; i < y->type.rank; i++) {
        graph_dim d = y->type.dims[i];
        if (at < x->type.rank && d && x->type.dims[at] == d) at++;
        else if (graph_dim_is_one(d)) axes[count++] = i;
        else return NULL;
    }
    if (at < x->type.rank) return NULL;
    if (!count) return x;
    *ok = false;
    graph_value *list = graph_const_i64(ctx->g, "axes", axes, count);
    graph_value *v = list ? pass_emit(ctx, before, "", "Unsqueeze", (graph_value *[]){x, list}, 2, y->name) : NULL;
    if (!v || op_infer_node(ctx->g, v->producer, ctx->err) != NIB_OK) return NULL;
    *ok = true;
    return v;
}

/* Is the node's output its first input, but for axes of 1? */
static bool is_everything(const graph *g, const graph_node *n, const graph_value *x, const graph_value *indices) {
    if (graph_is_op(n, "", "Slice")) return is_whole_slice(g, n);
    if (n->n_inputs != 2) return false;
    if (graph_is_op(n, "", "GatherND")) return graph_attr_int(n, "batch_dims", 0) == 0 && is_whole_grid(x, indices);
    if (!graph_is_op(n, "", "Gather")) return false;
    int64_t axis = graph_attr_int(n, "axis", 0);
    axis += axis < 0 ? x->type.rank : 0;
    return indices->type.rank == 1 && axis >= 0 && axis < x->type.rank && counting_axis(indices, x->type.dims[axis], 0) == 0;
}

nib_status pass_grid(pass_context *ctx) {
    nib_status status = NIB_OK;
    if (graph_opset_version(ctx->g, "") < 13) return NIB_OK; /* Unsqueeze had its axes as an attribute */
    for (graph_node *n = ctx->g->first; n; n = n->next) {
        bool ok;
        graph_value *y = n->n_outputs == 1 ? n->outputs[0] : NULL, *x, *indices;
        if (!y || (!y->uses && !y->is_output) || n->n_inputs < 2 || !(x = n->inputs[0].value) || !(indices = n->inputs[1].value)) continue;
        if (x->type.rank < 1 || indices->type.rank < 1 || !is_everything(ctx->g, n, x, indices)) continue;
        graph_value *v = graph_is_op(n, "", "Slice") ? (ok = true, x) : widened(ctx, n, x, y, &ok);
        if (!ok) return base_error_set(ctx->err, NIB_OUT_OF_MEMORY, "out of memory while optimizing");
        if (v == x && y->is_output && (x->is_output || x->is_input || x->owner != ctx->g)) continue; /* an output of its own */
        if (v) NIB_TRY(pass_replace(ctx, y, v));
    }
fail:
    return status;
}
