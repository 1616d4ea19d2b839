/* SPDX-License-Identifier: Apache-2.0
 *
 * nib's operators -> com.microsoft's, as ONNX Runtime's transformer optimizer writes them
 * (https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md):
 *
 *     Norm(Linear(x, w, b, residual))     MatMul, SkipSimplifiedLayerNormalization; the sum, if anyone reads it, is its fourth output.
 *     Norm(x + residual)                  Of layer norms MatMul, Sum, LayerNormalization: ONNX Runtime 1.31's SkipLayerNormalization
 *                                         takes 4 times as long on its CPU (331 us against 85 for 256 rows of 256, one thread), and
 *                                         Sum is what its optimizer does not turn into it. Below opset 17 SkipLayerNormalization
 *     Linear with GELU                    MatMul, BiasGelu (erf) or FastGelu (tanh); Gelu, where there is no bias
 *     Linear with SiLU                    MatMul, QuickGelu with alpha 1
 *     Norm "rms" of one value             SimplifiedLayerNormalization (domain ""), as ONNX Runtime's own optimizer writes it
 *     Norm(Embed(..))                     EmbedLayerNormalization (pass_expand_ort_embed.c)
 *     Attention, Rotary                   pass_expand_ort_rows.c
 *     MatMul of computed values           FusedMatMul, with transposes and scales around it (pass_expand_ort_matmul.c)
 *
 * What is not here is left to the operators' own expand.
 */
#include "pass_forms.h"
#include <string.h>

graph_node *pass_add_ms(pass_context *ctx, graph_node *before, const char *type, graph_value *const *in, int n_in,
                        const graph_value *const *like, int n_out) {
    graph_value *out[4] = {NULL};
    for (int i = 0; i < n_out; i++) {
        if (!like[i]) continue;
        if (!(out[i] = graph_add_value(ctx->g, like[i]->name))) return NULL;
        out[i]->type = like[i]->type;
    }
    while (n_in > 0 && !in[n_in - 1]) n_in--;
    graph_node *n = graph_add_node(ctx->g, before, PASS_MS, type, "", in, n_in, out, n_out);
    if (n) n->meaning = op_find(PASS_MS, type, 1);
    return n;
}

static nib_status no_memory(pass_context *ctx) {
    return base_error_set(ctx->err, NIB_OUT_OF_MEMORY, "out of memory while writing operators");
}

static bool is_one_product(const graph_node *n, op_linear *l) {
    return op_linear_get(n, l) && l->n_weights == 1 && l->gate == OP_GATE_NONE && l->weight_format == KERNEL_WEIGHT_F32;
}

/* x w of a Linear, before `before`. */
static graph_value *product(pass_context *ctx, const graph_node *linear, const op_linear *l, graph_node *before) {
    graph_value *w = l->trans ? pass_emit_transpose(ctx, before, l->weights[0], (int64_t[]){1, 0}) : l->weights[0];
    graph_value *y = w ? pass_emit(ctx, before, "", "MatMul", (graph_value *[]){l->x, w}, 2, linear->outputs[0]->name) : NULL;
    if (y) y->type = linear->outputs[0]->type;
    return y;
}

/* ---------------------------------------------------------------- norms */

/* The norm reads Sum(first, bias, residual); itself it stays for its own expand. */
static nib_status sum_in_front(pass_context *ctx, graph_node *norm, graph_node *linear, graph_value *first, graph_value *bias,
                               graph_value *residual, graph_node *at) {
    nib_status status = NIB_OK;
    graph_value *in[3] = {first, residual, bias}, *x = pass_input(norm, 0), *sum = norm->n_outputs > 1 ? norm->outputs[1] : NULL;
    graph_value *s = pass_emit(ctx, at, "", "Sum", in, bias ? 3 : 2, x->name);
    if (!s) return no_memory(ctx);
    s->type = x->type;
    if (linear) {
        NIB_TRY(pass_replace(ctx, x, s));
        graph_remove_node(ctx->g, linear);
    } else {
        graph_set_input(norm, 0, s);
        graph_set_input(norm, 3, NULL);
        if (sum) NIB_TRY(pass_replace(ctx, sum, s));
    }
fail:
    return status;
}

static nib_status skip_norm(pass_context *ctx, graph_node *n) {
    nib_status status = NIB_OK;
    graph_value *x = pass_input(n, 0), *residual = pass_input(n, 3), *sum = n->n_outputs > 1 ? n->outputs[1] : NULL, *bias = NULL;
    graph_node *linear = NULL;
    bool rms = strcmp(graph_attr_string(n, "kind", "layer"), "rms") == 0;
    op_linear l;
    if (!residual && !sum && is_one_product(x->producer, &l) && l.residual && l.activation == KERNEL_ACT_NONE) {
        linear = x->producer;
        residual = l.residual;
        bias = l.bias;
    }
    if (!residual || !pass_same_shape(residual, x) || x->type.rank != 3) return NIB_OK;
    /* In front of whoever reads the sum: just behind the Linear; what else the norm reads is constant. */
    graph_node *at = linear ? linear->next : n;
    if (!pass_input(n, 1)->constant || (pass_input(n, 2) && !pass_input(n, 2)->constant)) return NIB_OK;
    bool reads_sum = linear ? x->use_count > 1 || x->is_output : sum && (sum->uses || sum->is_output);
    graph_value *first = linear ? product(ctx, linear, &l, at) : x;
    if (!first) return no_memory(ctx);
    if (!rms && graph_opset_version(ctx->g, "") >= 17) return sum_in_front(ctx, n, linear, first, bias, residual, at);
    const graph_value *like[4] = {n->outputs[0], NULL, NULL, reads_sum ? x : NULL};
    graph_value *layer[5] = {first, residual, pass_input(n, 1), pass_input(n, 2), bias},
                *simple[4] = {first, residual, pass_input(n, 1), bias};
    graph_node *made = rms ? pass_add_ms(ctx, at, "SkipSimplifiedLayerNormalization", simple, 4, like, reads_sum ? 4 : 1)
                           : pass_add_ms(ctx, at, "SkipLayerNormalization", layer, 5, like, reads_sum ? 4 : 1);
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

static nib_status plain_rms(pass_context *ctx, graph_node *n) {
    nib_status status = NIB_OK;
    graph_value *x = pass_input(n, 0);
    if (strcmp(graph_attr_string(n, "kind", "layer"), "rms") != 0 || pass_input(n, 3) || n->n_outputs > 1) return NIB_OK;
    graph_value *y = pass_emit(ctx, n, "", "SimplifiedLayerNormalization", (graph_value *[]){x, pass_input(n, 1)}, 2, n->outputs[0]->name);
    if (!y) return no_memory(ctx);
    y->type = n->outputs[0]->type;
    NIB_TRY(graph_set_int(y->producer, "axis", -1));
    NIB_TRY(graph_set_float(y->producer, "epsilon", graph_attr_float(n, "epsilon", 1e-5f)));
    NIB_TRY(pass_replace(ctx, n->outputs[0], y));
    graph_remove_node(ctx->g, n);
fail:
    return status;
}

/* ---------------------------------------------------------------- GELU */

static nib_status gelu(pass_context *ctx, graph_node *n) {
    nib_status status = NIB_OK;
    op_linear l;
    if (!is_one_product(n, &l)) return NIB_OK;
    graph_value *y = n->outputs[0], *bias = l.bias, *residual = l.residual;
    bool erf = l.activation == KERNEL_ACT_GELU_ERF, silu = l.activation == KERNEL_ACT_SILU;
    if (!erf && !silu && l.activation != KERNEL_ACT_GELU_TANH) return NIB_OK;
    if (bias && (bias->type.rank != 1 || !bias->constant)) return NIB_OK;
    graph_value *x = product(ctx, n, &l, n);
    if (x && silu && bias) {
        x = pass_emit(ctx, n, "", "Add", (graph_value *[]){x, bias}, 2, y->name);
        if (x) x->type = y->type;
        bias = NULL;
    }
    graph_node *made = x ? pass_add_ms(ctx, n,
                                       silu   ? "QuickGelu"
                                       : !erf ? "FastGelu"
                                       : bias ? "BiasGelu"
                                              : "Gelu",
                                       (graph_value *[]){x, bias}, bias ? 2 : 1, (const graph_value *const[]){y}, 1)
                         : NULL;
    if (made && silu && graph_set_float(made, "alpha", 1) != NIB_OK) return no_memory(ctx);
    graph_value *z = made ? made->outputs[0] : NULL;
    if (z && residual) z = pass_emit(ctx, n, "", "Add", (graph_value *[]){z, residual}, 2, y->name);
    if (!z) return no_memory(ctx);
    z->type = y->type;
    NIB_TRY(pass_replace(ctx, y, z));
    graph_remove_node(ctx->g, n);
fail:
    return status;
}

nib_status pass_expand_ort(pass_context *ctx) {
    static const struct {
        const char *op;
        nib_status (*write)(pass_context *, graph_node *);
    } table[] = {{"Norm", pass_ort_embed}, {"Norm", skip_norm},         {"Norm", plain_rms},
                 {"Linear", gelu},         {"Rotary", pass_ort_rotary}, {"Attention", pass_ort_attention}};
    nib_status status = NIB_OK;
    graph *root = ctx->g;
    while (root->parent) root = root->parent;
    NIB_TRY(graph_set_opset(root, PASS_MS, 1, ctx->err));
    for (size_t i = 0; i < BASE_COUNT(table); i++) /* norms first: they take Linears with them */
        for (graph_node *n = ctx->g->first, *next; n; n = next) {
            next = n->next;
            if (graph_is_op(n, "nib", table[i].op)) NIB_TRY(table[i].write(ctx, n));
        }
fail:
    return status;
}
