/* SPDX-License-Identifier: Apache-2.0
 *
 * Slices and first states. In: a Slice of a Slice that nobody else reads, along other axes, both with constant bounds. Out:
 * one Slice of all of them. In: RNN, GRU or LSTM whose initial state is zeros, however they are made. Out: no initial state,
 * which means the same.
 */
#include "pass.h"
#include <string.h>

#define MOST_AXES 8

/* Bounds of a Slice by axis, from constants; false: they are none, or it steps. */
typedef struct bounds {
    int64_t axis[MOST_AXES], start[MOST_AXES], end[MOST_AXES], step[MOST_AXES];
    int n;
    nib_dtype dtype;
} bounds;

static bool numbers_of(const graph_value *v, int n, int64_t *out) {
    if (!v || !v->constant || v->constant->rank != 1 || v->constant->dims[0] != n) return false;
    for (int i = 0; i < n; i++)
        if (!pass_int_at(v, i, &out[i])) return false;
    return true;
}

static bool bounds_of(const graph_node *n, bounds *b) {
    const graph_value *x = pass_input(n, 0), *starts = pass_input(n, 1), *axes = pass_input(n, 3), *steps = pass_input(n, 4);
    if (!graph_is_op(n, "", "Slice") || !n->meaning || graph_opset_version(n->owner, "") < 10 || !x || x->type.rank < 1) return false;
    if (!starts || !starts->constant || starts->constant->rank != 1 || starts->constant->dims[0] > MOST_AXES) return false;
    b->n = (int)starts->constant->dims[0];
    b->dtype = starts->constant->dtype;
    if (!numbers_of(starts, b->n, b->start) || !numbers_of(pass_input(n, 2), b->n, b->end)) return false;
    if (axes && !numbers_of(axes, b->n, b->axis)) return false;
    if (steps && !numbers_of(steps, b->n, b->step)) return false;
    for (int i = 0; i < b->n; i++) {
        if (!axes) b->axis[i] = i;
        if (!steps) b->step[i] = 1;
        if (b->axis[i] < 0) b->axis[i] += x->type.rank;
    }
    return true;
}

static bool apart(const bounds *a, const bounds *b) {
    for (int i = 0; i < a->n; i++)
        for (int k = 0; k < b->n; k++)
            if (a->axis[i] == b->axis[k]) return false;
    return a->n + b->n <= MOST_AXES;
}

static nib_status join(pass_context *ctx, graph_node *n) {
    bounds first, all;
    graph_value *v = pass_input(n, 0), *in[5];
    graph_node *above = v ? v->producer : NULL;
    if (!bounds_of(n, &all) || !above || above->owner != ctx->g || v->use_count != 1 || v->is_output) return NIB_OK;
    if (!bounds_of(above, &first) || !apart(&first, &all)) return NIB_OK;
    for (int i = 0; i < first.n; i++, all.n++) {
        all.axis[all.n] = first.axis[i], all.start[all.n] = first.start[i];
        all.end[all.n] = first.end[i], all.step[all.n] = first.step[i];
    }
    in[0] = pass_input(above, 0);
    in[1] = graph_const_i64(ctx->g, "starts", all.start, all.n);
    in[2] = graph_const_i64(ctx->g, "ends", all.end, all.n);
    in[3] = graph_const_i64(ctx->g, "axes", all.axis, all.n);
    in[4] = graph_const_i64(ctx->g, "steps", all.step, all.n);
    graph_value *y = in[1] && in[2] && in[3] && in[4] ? pass_emit(ctx, n, "", "Slice", in, 5, n->outputs[0]->name) : NULL;
    if (!y) return base_error_set(ctx->err, NIB_OUT_OF_MEMORY, "out of memory while optimizing");
    nib_status status = pass_replace(ctx, n->outputs[0], y);
    if (status != NIB_OK) return status;
    graph_remove_node(ctx->g, n);
    graph_remove_node(ctx->g, above);
    ctx->changes++;
    return NIB_OK;
}

/* ---- states */

/* Whether v holds nothing but zeros, whatever its shape. */
static bool is_zeros(const graph_value *v) {
    static const char *const views[] = {"Slice", "Reshape", "Squeeze", "Unsqueeze", "Expand", "Transpose", "Identity"};
    for (int depth = 0; v && depth < 16; depth++) {
        const graph_node *n = v->producer;
        bool view = false;
        if (v->constant) {
            const graph_tensor *t = v->constant;
            for (size_t i = 0; i < t->bytes; i++)
                if (((const uint8_t *)t->data)[i]) return false;
            return t->data && t->bytes > 0;
        }
        if (graph_is_op(n, "", "ConstantOfShape")) {
            const graph_attr *a = graph_find_attr(n, "value");
            return !a || (a->kind == GRAPH_ATTR_TENSOR && op_number(a->u.tensor, 0) == 0);
        }
        for (size_t i = 0; n && i < BASE_COUNT(views); i++) view |= graph_is_op(n, "", views[i]);
        v = view && n->meaning ? pass_input(n, 0) : NULL;
    }
    return false;
}

static void leave_out_states(pass_context *ctx, graph_node *n) {
    const bool lstm = graph_is_op(n, "", "LSTM");
    if (!n->meaning || (!lstm && !graph_is_op(n, "", "GRU") && !graph_is_op(n, "", "RNN"))) return;
    for (int i = 5; i < (lstm ? 7 : 6) && i < n->n_inputs; i++) {
        if (!n->inputs[i].value || !is_zeros(n->inputs[i].value)) continue;
        graph_set_input(n, i, NULL);
        ctx->changes++;
    }
}

nib_status pass_slice(pass_context *ctx) {
    nib_status status = NIB_OK;
    for (graph_node *n = ctx->g->first, *next; n; n = next) {
        next = n->next;
        leave_out_states(ctx, n);
        NIB_TRY(join(ctx, n));
    }
fail:
    return status;
}
