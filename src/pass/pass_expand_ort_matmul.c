/* SPDX-License-Identifier: Apache-2.0
 *
 * Products of two computed values as com.microsoft's FusedMatMul:
 *
 *     alpha A' B'   A', B': as they are, or with their last two axes in turn; alpha: what constants in front of and behind it multiply by
 *
 * ONNX Runtime's own optimizer writes them so. A product with a weight stays MatMul: its transpose is folded, its scale is another's.
 */
#include "pass_forms.h"
#include <math.h>

/* v = number * the other input, both of v's shape; NULL if it is not. */
static graph_value *scaled(const graph_value *v, double *number) {
    const graph_node *n = v->producer;
    bool mul = graph_is_op(n, "", "Mul"), div = graph_is_op(n, "", "Div");
    double x;
    for (int side = 0; (mul || div) && side < 2; side++) {
        graph_value *other = pass_input(n, side);
        if (!other || (div && side) || !graph_scalar(pass_input(n, 1 - side), &x) || !pass_same_shape(other, v) || (div && x == 0))
            continue;
        *number *= mul ? x : 1 / x;
        return other;
    }
    return NULL;
}

/* Takes what can be said off an operand that nobody else reads. */
static graph_value *operand(graph_value *v, bool *turned, double *alpha) {
    const int64_t *perm;
    for (int depth = 0; depth < 8 && v->use_count == 1 && !v->is_output && v->producer && v->owner == v->producer->owner; depth++) {
        const graph_node *n = v->producer;
        graph_value *x = scaled(v, alpha);
        if (!x && graph_is_op(n, "", "Transpose") && v->type.rank >= 2 && graph_attr_ints(n, "perm", &perm) == v->type.rank) {
            int rank = v->type.rank;
            bool last_two = perm[rank - 2] == rank - 1 && perm[rank - 1] == rank - 2;
            for (int i = 0; i < rank - 2; i++) last_two &= perm[i] == i;
            if (last_two) x = pass_input(n, 0), *turned = !*turned;
        }
        if (!x || x->constant) break;
        v = x;
    }
    return v;
}

static nib_status fuse(pass_context *ctx, graph_node *n) {
    nib_status status = NIB_OK;
    graph_value *in[2] = {pass_input(n, 0), pass_input(n, 1)}, *y = n->outputs[0], *x;
    bool turned[2] = {false, false};
    double alpha = 1;
    for (int i = 0; i < 2; i++) {
        if (!in[i] || in[i]->constant || in[i]->type.dtype != NIB_DTYPE_F32 || in[i]->type.rank < 2) return NIB_OK;
        in[i] = operand(in[i], &turned[i], &alpha);
        if (in[i]->constant) return NIB_OK;
    }
    while (y->use_count == 1 && !y->is_output && y->uses->node->owner == ctx->g && y->uses->node->n_outputs == 1 &&
           (x = scaled(y->uses->node->outputs[0], &alpha)) == y)
        y = y->uses->node->outputs[0];
    if ((in[0] == pass_input(n, 0) && in[1] == pass_input(n, 1) && y == n->outputs[0]) || !isfinite((float)alpha)) return NIB_OK;
    graph_node *made = pass_add_ms(ctx, y->producer, "FusedMatMul", in, 2, (const graph_value *const[]){y}, 1);
    if (!made) NIB_FAIL(ctx->err, NIB_OUT_OF_MEMORY, "out of memory while writing operators");
    NIB_TRY(graph_set_int(made, "transA", turned[0]));
    NIB_TRY(graph_set_int(made, "transB", turned[1]));
    NIB_TRY(graph_set_float(made, "alpha", (float)alpha));
    NIB_TRY(pass_replace(ctx, y, made->outputs[0]));
fail:
    return status;
}

nib_status pass_ort_matmul(pass_context *ctx) {
    nib_status status = NIB_OK;
    for (graph_node *n = ctx->g->first; n; n = n->next)
        if (graph_is_op(n, "", "MatMul") && (n->outputs[0]->uses || n->outputs[0]->is_output)) NIB_TRY(fuse(ctx, n));
    NIB_TRY(pass_clean(ctx));
fail:
    return status;
}
