/* SPDX-License-Identifier: Apache-2.0
 *
 * nib's operators -> com.microsoft's, as ONNX Runtime's transformer optimizer writes them
 * (https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md):
 *
 *     Norm(Linear(x, w, b, residual))     MatMul, SkipLayerNormalization or SkipSimplifiedLayerNormalization; the sum, if anyone
 *     Norm(x + residual)                  reads it, is the fourth output
 *     Linear with GELU                    MatMul, BiasGelu (erf) or FastGelu (tanh); Gelu, where there is no bias
 *     Attention                           MultiHeadAttention, with the mask itself where its bias is nothing but key padding
 *
 * What is not here is left to the operators' own expand.
 */
#include "pass.h"
#include <string.h>

#define MS "com.microsoft"

static graph_value *input(const graph_node *n, int i) { return i < n->n_inputs ? n->inputs[i].value : NULL; }

/* One node with as many outputs as types; those whose type is NULL are left out. */
static graph_node *add(pass_context *ctx, graph_node *before, const char *type, graph_value *const *in, int n_in,
                       const graph_value *const *like, int n_out) {
    graph_value *out[4] = {NULL};
    for (int i = 0; i < n_out; i++) {
        if (!like[i]) continue;
        if (!(out[i] = graph_add_value(ctx->g, like[i]->name))) return NULL;
        out[i]->type = like[i]->type;
    }
    while (n_in > 0 && !in[n_in - 1]) n_in--;
    graph_node *n = graph_add_node(ctx->g, before, MS, type, "", in, n_in, out, n_out);
    if (n) n->meaning = op_find(MS, type, 1);
    return n;
}

static nib_status no_memory(pass_context *ctx) {
    return base_error_set(ctx->err, NIB_OUT_OF_MEMORY, "out of memory while writing operators");
}

static bool is_plain_linear(const graph_node *n) {
    return graph_is_op(n, "nib", "Linear") && op_linear_weights(n) == 1 && op_gate_of(n) == OP_GATE_NONE &&
           strcmp(graph_attr_string(n, "weight", "f32"), "f32") == 0;
}

/* x w of a Linear, before `before`. */
static graph_value *product(pass_context *ctx, graph_node *linear, graph_node *before) {
    graph_value *w = input(linear, 1);
    if (graph_attr_int(linear, "trans_w", 0)) {
        w = pass_emit(ctx, before, "", "Transpose", &w, 1, w->name);
        if (!w || graph_set_ints(w->producer, "perm", (int64_t[]){1, 0}, 2) != NIB_OK) return NULL;
        if (op_infer_node(ctx->g, w->producer, ctx->err) != NIB_OK) return NULL;
    }
    graph_value *y = pass_emit(ctx, before, "", "MatMul", (graph_value *[]){input(linear, 0), w}, 2, linear->outputs[0]->name);
    if (y) y->type = linear->outputs[0]->type;
    return y;
}

/* ---------------------------------------------------------------- norms */

static nib_status skip_norm(pass_context *ctx, graph_node *n) {
    nib_status status = NIB_OK;
    graph_value *x = input(n, 0), *residual = input(n, 3), *sum = n->n_outputs > 1 ? n->outputs[1] : NULL, *bias = NULL;
    graph_node *linear = NULL;
    bool rms = strcmp(graph_attr_string(n, "kind", "layer"), "rms") == 0;
    if (!residual && is_plain_linear(x->producer) && input(x->producer, 3) && op_activation(x->producer) == KERNEL_ACT_NONE && !sum) {
        linear = x->producer;
        residual = input(linear, 3);
        bias = input(linear, 2);
    }
    if (!residual || !pass_same_shape(residual, x) || x->type.rank != 3) return NIB_OK;
    /* In front of whoever reads the sum: just behind the Linear; what else the norm reads is constant. */
    graph_node *at = linear ? linear->next : n;
    if (!input(n, 1)->constant || (input(n, 2) && !input(n, 2)->constant)) return NIB_OK;
    graph_value *first = linear ? product(ctx, linear, at) : x;
    if (!first) return no_memory(ctx);
    bool reads_sum = linear ? x->use_count > 1 || x->is_output : sum && (sum->uses || sum->is_output);
    const graph_value *like[4] = {n->outputs[0], NULL, NULL, reads_sum ? x : NULL};
    graph_value *layer[5] = {first, residual, input(n, 1), input(n, 2), bias}, *simple[4] = {first, residual, input(n, 1), bias};
    graph_node *made = rms ? add(ctx, at, "SkipSimplifiedLayerNormalization", simple, 4, like, reads_sum ? 4 : 1)
                           : add(ctx, at, "SkipLayerNormalization", layer, 5, like, reads_sum ? 4 : 1);
    if (!made || graph_set_float(made, "epsilon", graph_attr_float(n, "epsilon", 1e-5f)) != NIB_OK) return no_memory(ctx);
    NIB_TRY(pass_replace(ctx, n->outputs[0], made->outputs[0]));
    if (sum && reads_sum) NIB_TRY(pass_replace(ctx, sum, made->outputs[3]));
    graph_remove_node(ctx->g, n);
    if (linear) {
        if (reads_sum) NIB_TRY(pass_replace(ctx, x, made->outputs[3]));
        graph_remove_node(ctx->g, linear);
    }
fail:
    return status;
}

/* ---------------------------------------------------------------- GELU */

static nib_status gelu(pass_context *ctx, graph_node *n) {
    nib_status status = NIB_OK;
    int activation = op_activation(n);
    graph_value *y = n->outputs[0], *bias = input(n, 2), *residual = input(n, 3);
    bool erf = activation == KERNEL_ACT_GELU_ERF;
    if ((!erf && activation != KERNEL_ACT_GELU_TANH) || !is_plain_linear(n)) return NIB_OK;
    if (bias && (bias->type.rank != 1 || !bias->constant)) return NIB_OK;
    graph_value *x = product(ctx, n, n);
    graph_node *made = x ? add(ctx, n,
                               !erf   ? "FastGelu"
                               : bias ? "BiasGelu"
                                      : "Gelu",
                               (graph_value *[]){x, bias}, bias ? 2 : 1, (const graph_value *const[]){y}, 1)
                         : NULL;
    graph_value *z = made ? made->outputs[0] : NULL;
    if (z && residual) z = pass_emit(ctx, n, "", "Add", (graph_value *[]){z, residual}, 2, y->name);
    if (!z) return no_memory(ctx);
    z->type = y->type;
    NIB_TRY(pass_replace(ctx, y, z));
    graph_remove_node(ctx->g, n);
fail:
    return status;
}

/* ---------------------------------------------------------------- attention */

/* i32 [B, S], 1 for keys that count, if the bias is nothing but that of an input; NULL if not. */
static graph_value *padding_mask(pass_context *ctx, graph_value *bias, graph_node *before) {
    for (int i = 0; i < ctx->g->n_inputs; i++) {
        graph_value *mask = ctx->g->inputs[i];
        pass_window window = {-1, -1};
        char why[200];
        if (mask->type.rank != 2 || !pass_is_key_padding(ctx, bias, mask, &window, why, sizeof why)) continue;
        if (window.left >= 0 || window.right >= 0) continue;
        if (mask->type.dtype == NIB_DTYPE_I32) return mask;
        for (graph_use *u = mask->uses; u; u = u->next) /* the cast of the layer before */
            if (graph_is_op(u->node, "", "Cast") && graph_attr_int(u->node, "to", 0) == NIB_DTYPE_I32) return u->node->outputs[0];
        graph_value *cast = pass_emit(ctx, ctx->g->first ? ctx->g->first : before, "", "Cast", &mask, 1, mask->name);
        if (!cast || graph_set_int(cast->producer, "to", NIB_DTYPE_I32) != NIB_OK) return NULL;
        return op_infer_node(ctx->g, cast->producer, ctx->err) == NIB_OK ? cast : NULL;
    }
    return NULL;
}

/* [B or 1, H or 1, S, T] is what MultiHeadAttention adds to its scores. */
static bool is_full_bias(const graph_value *bias, const graph_value *q, const graph_value *k) {
    const graph_type *t = &bias->type;
    return t->rank == 4 && t->dims[2] && t->dims[2] == q->type.dims[1] && t->dims[3] && t->dims[3] == k->type.dims[1];
}

static nib_status attention(pass_context *ctx, graph_node *n) {
    nib_status status = NIB_OK;
    int64_t heads = graph_attr_int(n, "heads", 1);
    graph_value *q = input(n, 0), *k = input(n, 1), *v = input(n, 2), *bias = input(n, 3), *mask = NULL;
    if (!k || !v || n->n_inputs > 4 || graph_attr_int(n, "kv_heads", heads) != heads || graph_attr_float(n, "softcap", 0) > 0)
        return NIB_OK;
    if (graph_attr_int(n, "window_left", -1) >= 0 || graph_attr_int(n, "window_right", -1) >= 0) return NIB_OK;
    if (bias && !(mask = padding_mask(ctx, bias, n)) && !is_full_bias(bias, q, k)) {
        pass_note(ctx, "attention at %s is written out: its bias is neither the padding of keys nor [batch, heads, queries, keys]",
                  n->outputs[0]->name);
        return NIB_OK;
    }
    graph_value *in[6] = {q, k, v, NULL, mask, mask ? NULL : bias};
    graph_node *made = add(ctx, n, "MultiHeadAttention", in, 6, (const graph_value *const[]){n->outputs[0]}, 1);
    if (!made) return no_memory(ctx);
    NIB_TRY(graph_set_int(made, "num_heads", heads));
    NIB_TRY(graph_set_float(made, "scale", graph_attr_float(n, "scale", 1)));
    if (mask) NIB_TRY(graph_set_float(made, "mask_filter_value", -3.4028234663852886e38f));
    if (graph_attr_int(n, "causal", 0)) NIB_TRY(graph_set_int(made, "unidirectional", 1));
    NIB_TRY(pass_replace(ctx, n->outputs[0], made->outputs[0]));
    graph_remove_node(ctx->g, n);
fail:
    return status;
}

nib_status pass_expand_ort(pass_context *ctx) {
    static const struct {
        const char *op;
        nib_status (*write)(pass_context *, graph_node *);
    } table[] = {{"Norm", skip_norm}, {"Linear", gelu}, {"Attention", attention}};
    nib_status status = NIB_OK;
    NIB_TRY(graph_set_opset(ctx->g, MS, 1, ctx->err));
    for (size_t i = 0; i < BASE_COUNT(table); i++) /* norms first: they take Linears with them */
        for (graph_node *n = ctx->g->first, *next; n; n = next) {
            next = n->next;
            if (graph_is_op(n, "nib", table[i].op)) NIB_TRY(table[i].write(ctx, n));
        }
fail:
    return status;
}
