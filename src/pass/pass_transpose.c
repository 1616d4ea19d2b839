/* SPDX-License-Identifier: Apache-2.0
 *
 * Transposes. In: Transpose of Transpose; and what torch.export writes for a transpose of the last two axes of a 4-D value,
 *     Reshape [BH, S, D] -> Transpose 0 2 1 -> Reshape [B, H, D, S].
 * Out: one Transpose.
 */
#include "pass.h"
#include "pass_match.h"

static nib_status make_transpose(pass_context *ctx, graph_value *root, graph_value *x, const int64_t *perm, int rank) {
    graph_value *y = pass_emit(ctx, root->producer, "", "Transpose", &x, 1, root->name);
    if (!y || graph_set_ints(y->producer, "perm", perm, (size_t)rank) != NIB_OK)
        return base_error_set(ctx->err, NIB_OUT_OF_MEMORY, "out of memory");
    nib_status status = op_infer_node(ctx->g, y->producer, ctx->err);
    return status == NIB_OK ? pass_replace(ctx, root, y) : status;
}

static nib_status merge_two(pass_context *ctx, graph_value *root) {
    pass_match m;
    const int64_t *outer, *inner;
    int64_t perm[GRAPH_MAX_RANK];
    if (!pass_match_at("a:Transpose(b:Transpose(x))", root, &m)) return NIB_OK;
    int64_t n = graph_attr_ints(pass_matched_node(&m, "a"), "perm", &outer);
    if (n < 1 || n > GRAPH_MAX_RANK || graph_attr_ints(pass_matched_node(&m, "b"), "perm", &inner) != n) return NIB_OK;
    for (int64_t i = 0; i < n; i++) {
        if (outer[i] < 0 || outer[i] >= n) return NIB_OK;
        perm[i] = inner[outer[i]];
    }
    return make_transpose(ctx, root, pass_matched(&m, "x"), perm, (int)n);
}

static nib_status unwrap_reshapes(pass_context *ctx, graph_value *root) {
    pass_match m;
    const int64_t *perm;
    if (!pass_match_at("Reshape(t:Transpose(Reshape(x, _)), _)", root, &m)) return NIB_OK;
    graph_value *x = pass_matched(&m, "x");
    graph_node *t = pass_matched_node(&m, "t");
    const graph_type *a = &x->type, *b = &t->inputs[0].value->type, *d = &root->type;
    if (a->rank != 4 || b->rank != 3 || d->rank != 4 || graph_attr_ints(t, "perm", &perm) != 3) return NIB_OK;
    bool last_two = perm[0] == 0 && perm[1] == 2 && perm[2] == 1;
    bool fits = a->dims[2] && a->dims[3] && a->dims[0] && a->dims[1] && b->dims[1] == a->dims[2] && b->dims[2] == a->dims[3] &&
                d->dims[0] == a->dims[0] && d->dims[1] == a->dims[1] && d->dims[2] == a->dims[3] && d->dims[3] == a->dims[2];
    if (!last_two || !fits) return NIB_OK;
    return make_transpose(ctx, root, x, (int64_t[]){0, 1, 3, 2}, 4);
}

nib_status pass_transpose(pass_context *ctx) {
    nib_status status = NIB_OK;
    for (graph_node *n = ctx->g->first; n; n = n->next) {
        if (graph_is_op(n, "", "Transpose")) NIB_TRY(merge_two(ctx, n->outputs[0]));
        else if (graph_is_op(n, "", "Reshape")) NIB_TRY(unwrap_reshapes(ctx, n->outputs[0]));
    }
fail:
    return status;
}
