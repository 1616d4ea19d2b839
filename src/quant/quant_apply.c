/* SPDX-License-Identifier: Apache-2.0
 *
 * See quant.h. In: a fused graph. Out: the same graph whose Linears compute in q8 or bf16.
 */
#include "quant.h"
#include <string.h>

nib_precision quant_auto(uint32_t isas, const char **why) {
    const uint32_t integer = 1u << BASE_ISA_AVX512VNNI | 1u << BASE_ISA_AVXVNNI | 1u << BASE_ISA_DOTPROD;
    if (isas & integer) return *why = "this CPU multiplies 8-bit integers", NIB_PRECISION_Q8;
    return *why = "this CPU has no instructions for 8-bit integers", NIB_PRECISION_F32;
}

/* The QuantizeRows (or Cast to bf16) of v, made once, right behind v's producer. */
static graph_value *rounded(pass_context *ctx, graph_value *v, bool q8, graph_value **params, graph_value **factor) {
    graph *g = ctx->g;
    for (graph_use *u = v->uses; u; u = u->next) {
        if (q8 && graph_is_op(u->node, "nib", "QuantizeRows")) {
            *params = u->node->outputs[1];
            *factor = u->node->n_inputs > 1 ? u->node->inputs[1].value : NULL;
            return u->node->outputs[0];
        }
        if (!q8 && graph_is_op(u->node, "", "Cast") && graph_attr_int(u->node, "to", 0) == NIB_DTYPE_BF16) return u->node->outputs[0];
    }
    graph_node *before = v->producer ? v->producer->next : g->first;
    graph_value *out[2] = {graph_add_value(g, v->name), q8 ? graph_add_value(g, v->name) : NULL};
    if (!out[0] || (q8 && !out[1])) return NULL;
    if (q8 && quant_smooth(ctx, v, factor) != NIB_OK) return NULL;
    graph_value *in[2] = {v, *factor};
    graph_node *n =
        graph_add_node(g, before, q8 ? "nib" : "", q8 ? "QuantizeRows" : "Cast", out[0]->name, in, *factor ? 2 : 1, out, q8 ? 2 : 1);
    if (!n || (!q8 && graph_set_int(n, "to", NIB_DTYPE_BF16) != NIB_OK)) return NULL;
    n->meaning = op_find(n->domain, n->op, graph_opset_version(g, n->domain));
    if (op_infer_node(g, n, ctx->err) != NIB_OK) return NULL;
    *params = out[1];
    return out[0];
}

static const char *refusal(const graph_node *n, bool q8) {
    const graph_value *x = n->inputs[0].value, *w = n->inputs[1].value;
    int64_t K;
    if (!w->constant || !op_is_weight_type(w->constant->dtype)) return "the weight is not a constant of floats";
    K = w->constant->dims[graph_attr_int(n, "trans_w", 0) != 0];
    if (K % (q8 ? 4 : 2)) return q8 ? "its rows are no multiple of 4" : "its rows are no multiple of 2";
    if (q8 && K > 65536) return "its rows are longer than 65536";
    if (x->constant || x->type.dtype != NIB_DTYPE_F32) return "the input is not rows of f32";
    return NULL;
}

static nib_status rewrite(pass_context *ctx, graph_node *n, bool q8, bool half_rows) {
    nib_status status = NIB_OK;
    graph_value *params = NULL, *factor = NULL, *x = n->inputs[0].value;
    if (q8 || half_rows) x = rounded(ctx, x, q8, &params, &factor);
    if (!x) NIB_FAIL(ctx->err, NIB_OUT_OF_MEMORY, "out of memory while quantizing");
    graph_set_input(n, 0, x);
    while (q8 && n->n_inputs <= (factor ? OP_LINEAR_FACTOR : 4)) NIB_TRY(graph_append_input(n, NULL, ctx->err));
    if (q8) graph_set_input(n, 4, params);
    if (factor) graph_set_input(n, OP_LINEAR_FACTOR, factor);
    NIB_TRY(graph_set_string(n, "weight", q8 ? "q8" : "bf16"));
    ctx->changes++;
fail:
    return status;
}

nib_status quant_apply(pass_context *ctx, nib_precision precision) {
    nib_status status = NIB_OK;
    bool q8 = precision == NIB_PRECISION_Q8;
    const kernel_linear *best = q8 ? ctx->kernels->linear_q8[0] : ctx->kernels->linear_bf16[0];
    int done = 0;
    for (graph_node *n = ctx->g->first; n; n = n->next) {
        if (graph_is_op(n, "nib", "Attention")) NIB_TRY(graph_set_string(n, "precision", "q8"));
        if (!graph_is_op(n, "nib", "Linear") || graph_find_attr(n, "weight")) continue;
        const char *why = refusal(n, q8);
        if (why) {
            pass_note(ctx, "Linear %s stays f32: %s", n->name, why);
            continue;
        }
        NIB_TRY(base_stop_check(ctx->err));
        NIB_TRY(rewrite(ctx, n, q8, best && best->input == KERNEL_INPUT_BF16));
        done++;
    }
    pass_note(ctx, "%d Linear layers compute in %s", done,
              q8 ? "q8: u8 rows with a scale and zero point each, s8 weights with a scale a column" : "bf16");
fail:
    return status;
}
