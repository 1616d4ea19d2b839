/* SPDX-License-Identifier: Apache-2.0
 *
 * A layer norm of the sum of two or three tables' rows as com.microsoft's EmbedLayerNormalization: words and segments are looked up by
 * ids [B, S], positions by [B, S] or, the same for all texts, [1, S]. All ids as i32.
 */
#include "pass_forms.h"
#include <string.h>

typedef struct tables {
    graph_value *ids[3], *rows[3]; /* of words, segments (NULL: none), positions */
} tables;

/* The same size, or one that is computed (positions: at most so many as a table has), which must be it, or the sum itself fails. */
static bool same_size(graph_dim d, graph_dim want) {
    int64_t n;
    return d == want || !d || (!graph_dim_is_const(d, &n) && !graph_dim_is_symbol(d));
}

/* Which pair is which: sums come in any order, so all that tells is the shape of the ids. */
static bool find_tables(const graph_node *embed, const graph_value *y, tables *t) {
    int pairs = embed->n_inputs / 2, shared = -1;
    int64_t one;
    *t = (tables){0};
    if ((pairs != 2 && pairs != 3) || y->type.rank != 3) return false;
    for (int i = 0; i < pairs; i++) {
        const graph_type *ids = &embed->inputs[2 * i].value->type;
        if (ids->rank != 2 || !ids->dims[0] || !same_size(ids->dims[1], y->type.dims[1])) return false;
        if (ids->dtype != NIB_DTYPE_I64 && ids->dtype != NIB_DTYPE_I32) return false;
        if (ids->dims[0] == y->type.dims[0]) continue;
        if (shared >= 0 || !graph_dim_is_const(ids->dims[0], &one) || one != 1) return false;
        shared = i;
    }
    if (shared < 0) shared = pairs - 1;
    for (int i = 0, next = 0; i < pairs; i++) {
        int at = i == shared ? 2 : next++;
        t->ids[at] = embed->inputs[2 * i].value;
        t->rows[at] = embed->inputs[2 * i + 1].value;
    }
    return true;
}

static graph_value *as_i32(pass_context *ctx, graph_node *before, graph_value *v) {
    if (!v || v->type.dtype == NIB_DTYPE_I32) return v;
    graph_value *cast = pass_emit(ctx, before, "", "Cast", &v, 1, v->name);
    if (!cast || graph_set_int(cast->producer, "to", NIB_DTYPE_I32) != NIB_OK) return NULL;
    return op_infer_node(ctx->g, cast->producer, ctx->err) == NIB_OK ? cast : NULL;
}

nib_status pass_ort_embed(pass_context *ctx, graph_node *n) {
    nib_status status = NIB_OK;
    tables t;
    graph_value *x = n->inputs[0].value, *gamma = n->inputs[1].value, *beta = n->n_inputs > 2 ? n->inputs[2].value : NULL;
    graph_node *embed = x->producer;
    if (!graph_is_op(embed, "nib", "Embed") || x->use_count != 1 || x->is_output || n->n_outputs != 1 || !beta || n->n_inputs > 3)
        return NIB_OK;
    if (strcmp(graph_attr_string(n, "kind", "layer"), "layer") != 0 || !find_tables(embed, x, &t)) return NIB_OK;
    graph_value *ids[3] = {as_i32(ctx, n, t.ids[0]), as_i32(ctx, n, t.ids[1]), as_i32(ctx, n, t.ids[2])};
    graph_value *count = graph_add_value(ctx->g, "mask_index"), *y = graph_add_value(ctx->g, n->outputs[0]->name);
    if (!ids[0] || (t.ids[1] && !ids[1]) || !ids[2] || !count || !y) goto no_memory;
    y->type = n->outputs[0]->type;
    count->type = (graph_type){.kind = x->type.kind, .dtype = NIB_DTYPE_I32, .rank = 1, .dims = {x->type.dims[0]}};
    graph_value *in[9] = {ids[0], ids[1], t.rows[0], t.rows[2], t.rows[1], gamma, beta, NULL, ids[2]};
    graph_node *made = graph_add_node(ctx->g, n, PASS_MS, "EmbedLayerNormalization", "", in, 9, (graph_value *[]){y, count}, 2);
    if (!made || graph_set_float(made, "epsilon", graph_attr_float(n, "epsilon", 1e-5f)) != NIB_OK) goto no_memory;
    made->meaning = op_find(PASS_MS, "EmbedLayerNormalization", 1);
    NIB_TRY(pass_replace(ctx, n->outputs[0], y));
    graph_remove_node(ctx->g, n);
fail:
    return status;
no_memory:
    return base_error_set(ctx->err, NIB_OUT_OF_MEMORY, "out of memory while writing operators");
}
