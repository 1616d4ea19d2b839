/* SPDX-License-Identifier: Apache-2.0
 *
 * In: MatMul of rows with a constant matrix, Gemm, each perhaps with a constant vector added. Out: nib.Linear. A Transpose of
 * the weight is taken in as trans_w, so that the weight is read where the file has it.
 */
#include "pass.h"
#include "pass_match.h"
#include <string.h>

/* A constant matrix, perhaps behind a Transpose, perhaps in half precision that is kept: fills *w and *trans. */
static bool weight_of(const pass_context *ctx, graph_value *v, graph_value **w, bool *trans) {
    const int64_t *perm;
    *trans = false;
    v = pass_behind_widening(ctx, v);
    if (v && graph_is_op(v->producer, "", "Transpose") && v->type.rank == 2) {
        if (graph_attr_ints(v->producer, "perm", &perm) == 2 && perm[0] == 0) return false;
        v = pass_behind_widening(ctx, v->producer->inputs[0].value);
        *trans = true;
    }
    *w = v;
    return v && v->constant && v->constant->rank == 2 && op_is_weight_type(v->constant->dtype);
}

static bool is_vector(const graph_value *v, int64_t n) {
    if (!v || !v->constant || v->constant->dtype != NIB_DTYPE_F32 || graph_tensor_elements(v->constant) != n) return false;
    const graph_tensor *t = v->constant;
    return t->rank >= 1 && t->dims[t->rank - 1] == n;
}

/* A bias written as [1, 1, N] is the vector [N]. */
static graph_value *as_vector(graph *g, graph_value *v) {
    if (!v || v->constant->rank == 1) return v;
    graph_tensor t = *v->constant;
    t.dims[0] = graph_tensor_elements(&t);
    t.rank = 1;
    return graph_add_constant(g, v->name, &t, false);
}

static nib_status make_linear(pass_context *ctx, graph_value *root, graph_value *x, graph_value *w, bool trans, graph_value *bias) {
    const op_linear l = {.x = x, .weights = {w}, .n_weights = 1, .bias = as_vector(ctx->g, bias), .trans = trans};
    graph_value *y;
    if (bias && !l.bias) return base_error_set(ctx->err, NIB_OUT_OF_MEMORY, "out of memory");
    nib_status status = pass_emit_linear(ctx, root->producer, &l, root->name, &y);
    return status == NIB_OK ? pass_replace(ctx, root, y) : status;
}

static nib_status from_matmul(pass_context *ctx, graph_node *n) {
    graph_value *w;
    bool trans;
    graph_value *x = n->inputs[0].value;
    if (x->type.rank < 2 || x->type.dtype != NIB_DTYPE_F32 || x->constant || !weight_of(ctx, n->inputs[1].value, &w, &trans)) return NIB_OK;
    return make_linear(ctx, n->outputs[0], x, w, trans, NULL);
}

static nib_status from_gemm(pass_context *ctx, graph_node *n) {
    graph_value *w, *x = n->inputs[0].value, *bias = n->n_inputs > 2 ? n->inputs[2].value : NULL;
    bool trans;
    if (graph_attr_int(n, "transA", 0) || graph_attr_float(n, "alpha", 1) != 1 || graph_attr_float(n, "beta", 1) != 1) return NIB_OK;
    if (x->type.rank != 2 || x->type.dtype != NIB_DTYPE_F32 || x->constant || !weight_of(ctx, n->inputs[1].value, &w, &trans))
        return NIB_OK;
    trans ^= graph_attr_int(n, "transB", 0) != 0;
    if (bias && !is_vector(bias, w->constant->dims[!trans])) return NIB_OK;
    return make_linear(ctx, n->outputs[0], x, w, trans, bias);
}

/* Add(Linear without bias, activation or residual; constant vector). */
static nib_status add_bias(pass_context *ctx, graph_node *n) {
    for (int side = 0; side < 2; side++) {
        graph_value *v = n->inputs[side].value, *bias = n->inputs[1 - side].value;
        op_linear l;
        if (!v || v->use_count != 1 || v->is_output || !op_linear_get(v->producer, &l) || !op_linear_is_plain(&l) || l.bias ||
            l.n_weights != 1)
            continue;
        if (!is_vector(bias, l.weights[0]->constant->dims[!l.trans]) || v->type.rank < bias->constant->rank) continue;
        return make_linear(ctx, n->outputs[0], l.x, l.weights[0], l.trans, bias);
    }
    return NIB_OK;
}

nib_status pass_linear(pass_context *ctx) {
    nib_status status = NIB_OK;
    for (graph_node *n = ctx->g->first; n; n = n->next) {
        if (graph_is_op(n, "", "MatMul")) NIB_TRY(from_matmul(ctx, n));
        else if (graph_is_op(n, "", "Gemm")) NIB_TRY(from_gemm(ctx, n));
        else if (graph_is_op(n, "", "Add")) NIB_TRY(add_bias(ctx, n));
    }
    NIB_TRY(pass_clean(ctx));
fail:
    return status;
}
