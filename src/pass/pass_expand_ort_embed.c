/* SPDX-License-Identifier: Apache-2.0
 *
 * A layer norm of the sum of two or three tables' rows as com.microsoft's EmbedLayerNormalization: words and segments are looked up by
 * ids [B, S], positions by [B, S] or, the same for all texts, [1, S]. All ids as i32.
 *
 * Gather counts an index of -1 from the end, and this operator stops the run. So what is computed must be seen to be no
 * less than 0: cumsum(mask) - 1, which is -1 at padding on the left, stays look-ups. Ids that a caller gives are trusted.
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

/* ---------------------------------------------------------------- what is never below 0 */

#define MAX_LOOKS 400

/* Which inputs of an operator must not be below 0, that its result is not: [first, last]; or one of them is enough. */
static const struct {
    const char *op;
    int first, last;
    bool one;
} keeps_sign[] = {
    {"Cast", 0, 0, false},
    {"Identity", 0, 0, false},
    {"Unsqueeze", 0, 0, false},
    {"Squeeze", 0, 0, false},
    {"Reshape", 0, 0, false},
    {"Expand", 0, 0, false},
    {"Slice", 0, 0, false},
    {"Transpose", 0, 0, false},
    {"Flatten", 0, 0, false},
    {"Tile", 0, 0, false},
    {"Gather", 0, 0, false},
    {"GatherND", 0, 0, false},
    {"GatherElements", 0, 0, false},
    {"ScatterElements", 0, 2, false},
    {"ScatterND", 0, 2, false},
    {"CumSum", 0, 0, false},
    {"ReduceSum", 0, 0, false},
    {"ReduceMax", 0, 0, false},
    {"Split", 0, 0, false},
    {"Add", 0, 1, false},
    {"Mul", 0, 1, false},
    {"Div", 0, 1, false},
    {"Mod", 0, 1, false},
    {"Min", 0, 99, false},
    {"Concat", 0, 99, false},
    {"Where", 1, 2, false},
    {"Range", 0, 2, false},
    {"Clip", 0, 1, true},
    {"Max", 0, 99, true},
    {"Shape", 1, 0, false},
    {"Size", 1, 0, false},
    {"NonZero", 1, 0, false},
    {"Abs", 1, 0, false},
    {"Relu", 1, 0, false},
    {"ArgMax", 1, 0, false},
};

static bool holds_negative(const graph_tensor *t) {
    if (!t->data) return true;
    for (int64_t i = 0, n = graph_tensor_elements(t); i < n; i++)
        if (!(op_number(t, i) >= 0)) return true;
    return false;
}

/* Unless it is seen that it is not. */
static bool may_be_negative(const graph_value *v, int *looks) {
    if (--*looks < 0) return true;
    if (v->constant) return holds_negative(v->constant);
    const graph_node *n = v->producer;
    if (!n || v->type.dtype == NIB_DTYPE_BOOL) return false;
    if (graph_is_op(n, "", "ConstantOfShape")) {
        const graph_attr *a = graph_find_attr(n, "value");
        return a && (a->kind != GRAPH_ATTR_TENSOR || holds_negative(a->u.tensor));
    }
    for (size_t i = 0; i < BASE_COUNT(keeps_sign); i++) {
        if (!graph_is_op(n, "", keeps_sign[i].op)) continue;
        bool any = false, all = true;
        for (int k = keeps_sign[i].first; k <= keeps_sign[i].last && k < n->n_inputs; k++) {
            const graph_value *in = n->inputs[k].value;
            const bool negative = in ? may_be_negative(in, looks) : keeps_sign[i].one;
            any |= negative;
            all &= negative;
        }
        return keeps_sign[i].one ? all : any;
    }
    return true;
}

static bool any_may_be_negative(const tables *t) {
    int looks = MAX_LOOKS;
    for (int i = 0; i < 3; i++)
        if (t->ids[i] && may_be_negative(t->ids[i], &looks)) return true;
    return false;
}

/* ---------------------------------------------------------------- writing it */

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
    if (strcmp(graph_attr_string(n, "kind", "layer"), "layer") != 0 || !find_tables(embed, x, &t) || any_may_be_negative(&t)) return NIB_OK;
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
