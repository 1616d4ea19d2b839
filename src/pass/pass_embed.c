/* SPDX-License-Identifier: Apache-2.0
 *
 * In: Gathers of rows of constant tables, and the sums of them that make up a transformer's input. Out: one nib.Embed.
 */
#include "pass.h"

/* A Gather of rows (axis 0) of a constant matrix, perhaps in half precision that is kept, or an Embed that nobody else reads: appends its
 * pairs. */
static bool take(const pass_context *ctx, const graph_value *v, graph_value **pairs, int *count) {
    const graph_node *n = v->producer;
    int64_t width = *count ? pairs[1]->constant->dims[1] : -1; /* of the tables so far: one of another width is broadcast */
    if (graph_is_op(n, "nib", "Embed")) {
        if (width >= 0 && n->inputs[1].value->constant->dims[1] != width) return false;
        if (*count + n->n_inputs > 2 * OP_EMBED_MAX) return false;
        for (int i = 0; i < n->n_inputs; i++) pairs[(*count)++] = n->inputs[i].value;
        return true;
    }
    if (!graph_is_op(n, "", "Gather") || graph_attr_int(n, "axis", 0) != 0 || *count + 2 > 2 * OP_EMBED_MAX) return false;
    graph_value *table = pass_behind_widening(ctx, n->inputs[0].value), *ids = n->inputs[1].value;
    if (!table->constant || table->constant->rank != 2 || n->outputs[0]->type.dtype != NIB_DTYPE_F32 || ids->type.rank < 1) return false;
    if (width >= 0 && table->constant->dims[1] != width) return false;
    if (ids->type.dtype != NIB_DTYPE_I64 && ids->type.dtype != NIB_DTYPE_I32) return false;
    pairs[(*count)++] = ids;
    pairs[(*count)++] = table;
    return true;
}

static nib_status make_embed(pass_context *ctx, graph_value *root, graph_value **pairs, int count) {
    graph_value *y = pass_emit(ctx, root->producer, "nib", "Embed", pairs, count, root->name);
    if (!y) return base_error_set(ctx->err, NIB_OUT_OF_MEMORY, "out of memory");
    nib_status status = op_infer_node(ctx->g, y->producer, ctx->err);
    if (status == NIB_OK && !pass_same_shape(y, root)) { /* leave it, unused */
        pass_note(ctx, "embedding at %s is not fused: its rows are not known to have the shape of the sum", root->name);
        return NIB_OK;
    }
    return status == NIB_OK ? pass_replace(ctx, root, y) : status;
}

static bool is_rows(const pass_context *ctx, const graph_value *v) {
    const graph_node *n = v->producer;
    return graph_is_op(n, "nib", "Embed") || (graph_is_op(n, "", "Gather") && pass_behind_widening(ctx, n->inputs[0].value)->constant);
}

/* A sum of rows of tables that stays one: why. */
static void note_left(pass_context *ctx, const graph_node *n) {
    const graph_value *a = n->inputs[0].value, *b = n->inputs[1].value;
    if (!is_rows(ctx, a) || !is_rows(ctx, b)) return;
    const char *why = a == b || a->use_count != 1 || b->use_count != 1 ? "rows of one table are read elsewhere, too"
                                                                       : "its tables are not all constant f32 matrices of one width";
    pass_note(ctx, "embedding at %s is not fused: %s", n->outputs[0]->name, why);
}

nib_status pass_embed(pass_context *ctx) {
    nib_status status = NIB_OK;
    for (graph_node *n = ctx->g->first, *next; n; n = next) {
        next = n->next;
        graph_value *pairs[2 * OP_EMBED_MAX];
        int count = 0;
        if (graph_is_op(n, "", "Gather") && take(ctx, n->outputs[0], pairs, &count)) {
            NIB_TRY(make_embed(ctx, n->outputs[0], pairs, count));
        } else if (graph_is_op(n, "", "Add") && n->inputs[0].value != n->inputs[1].value && n->inputs[0].value->use_count == 1 &&
                   n->inputs[1].value->use_count == 1 && take(ctx, n->inputs[0].value, pairs, &count) &&
                   take(ctx, n->inputs[1].value, pairs, &count)) {
            NIB_TRY(make_embed(ctx, n->outputs[0], pairs, count));
        }
    }
    NIB_TRY(pass_clean(ctx));
    for (const graph_node *n = ctx->g->first; n; n = n->next)
        if (graph_is_op(n, "", "Add")) note_left(ctx, n);
fail:
    return status;
}
