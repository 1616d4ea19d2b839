/* SPDX-License-Identifier: Apache-2.0
 *
 * In: activations in all the forms that exporters write, and additions, behind a nib.Linear. Out: the Linear's activation
 * attribute and residual input, computed in the kernel's epilogue.
 */
#include "pass.h"
#include "pass_match.h"

typedef struct form {
    const char *pattern;
    kernel_activation activation;
} form;

#define SQRT2 "1.41421356"
#define INV_SQRT2 "0.70710678"
#define CUBIC "Add(x, Mul(0.044715, Pow(x, 3)))"
#define CUBIC_MUL "Add(x, Mul(0.044715, Mul(x, Mul(x, x))))"
#define C_TANH "0.79788456"

static const form forms[] = {
    {"Mul(Mul(x, Add(Erf(Div(x, " SQRT2 ")), 1)), 0.5)", KERNEL_ACT_GELU_ERF},
    {"Mul(Mul(x, 0.5), Add(Erf(Div(x, " SQRT2 ")), 1))", KERNEL_ACT_GELU_ERF},
    {"Mul(x, Mul(Add(Erf(Div(x, " SQRT2 ")), 1), 0.5))", KERNEL_ACT_GELU_ERF},
    {"Mul(Mul(x, Add(Erf(Mul(x, " INV_SQRT2 ")), 1)), 0.5)", KERNEL_ACT_GELU_ERF},
    {"Mul(Mul(x, 0.5), Add(Erf(Mul(x, " INV_SQRT2 ")), 1))", KERNEL_ACT_GELU_ERF},
    {"Mul(x, Mul(Add(Erf(Mul(x, " INV_SQRT2 ")), 1), 0.5))", KERNEL_ACT_GELU_ERF},
    {"Mul(Mul(x, 0.5), Add(Tanh(Mul(" C_TANH ", " CUBIC ")), 1))", KERNEL_ACT_GELU_TANH},
    {"Mul(Mul(x, 0.5), Add(Tanh(Mul(" C_TANH ", " CUBIC_MUL ")), 1))", KERNEL_ACT_GELU_TANH},
    {"Mul(0.5, Mul(x, Add(Tanh(Mul(" C_TANH ", " CUBIC ")), 1)))", KERNEL_ACT_GELU_TANH},
    {"com.microsoft.Gelu(x)", KERNEL_ACT_GELU_ERF},
    {"Mul(x, Sigmoid(x))", KERNEL_ACT_SILU},
    {"Tanh(x)", KERNEL_ACT_TANH},
    {"Relu(x)", KERNEL_ACT_RELU},
    {"Sigmoid(x)", KERNEL_ACT_SIGMOID},
};

/* A Linear that may still get an activation or a residual. */
static graph_node *open_linear(const graph_value *v) {
    graph_node *l = v ? v->producer : NULL;
    return graph_is_op(l, "nib", "Linear") && !v->is_output && (l->n_inputs < 4 || !l->inputs[3].value) ? l : NULL;
}

#define PATTERN_DEPTH 16 /* no form above is deeper */

/* Are all uses of x inside the tree of nodes that computes root? */
static bool only_used_within(const graph_value *x, const graph_value *root, int depth) {
    if (depth == PATTERN_DEPTH) return false;
    for (const graph_use *u = x->uses; u; u = u->next) {
        const graph_value *v = u->node->outputs[0];
        if (v == root) continue;
        /* A value such as Add(x, ..) may be used twice inside the pattern; accept it if it leads only to root. */
        if (!v || v->is_output || v->use_count == 0 || v->use_count > 4 || !only_used_within(v, root, depth + 1)) return false;
    }
    return true;
}

static nib_status take_activation(pass_context *ctx, graph_value *root) {
    pass_match m;
    kernel_activation act = KERNEL_ACT_NONE;
    graph_value *x = NULL;
    for (size_t i = 0; i < BASE_COUNT(forms) && !act; i++)
        if (pass_match_at(forms[i].pattern, root, &m)) act = forms[i].activation, x = pass_matched(&m, "x");
    if (!act && graph_is_op(root->producer, "", "Gelu")) {
        const char *kind = graph_attr_string(root->producer, "approximate", "none");
        act = kind[0] == 't' ? KERNEL_ACT_GELU_TANH : KERNEL_ACT_GELU_ERF;
        x = root->producer->inputs[0].value;
    }
    graph_node *l = act ? open_linear(x) : NULL;
    if (!l || op_activation(l) != KERNEL_ACT_NONE || !only_used_within(x, root, 0)) return NIB_OK;
    if (graph_set_string(l, "activation", op_activation_name(act)) != NIB_OK)
        return base_error_set(ctx->err, NIB_OUT_OF_MEMORY, "out of memory");
    return pass_replace(ctx, root, x); /* the pattern's own uses of x are dead now: pass_clean takes them away */
}

static nib_status take_residual(pass_context *ctx, graph_node *n) {
    nib_status status = NIB_OK;
    for (int side = 0; side < 2; side++) {
        graph_value *v = n->inputs[side].value, *r = n->inputs[1 - side].value;
        graph_node *l = open_linear(v);
        if (!l || v == r || v->use_count != 1 || r->constant || !pass_same_shape(v, r) || pass_needs(ctx, r, v)) continue;
        graph_move_before(l, n);
        if (l->n_inputs < 3) NIB_TRY(graph_append_input(l, NULL, ctx->err));
        NIB_TRY(graph_append_input(l, r, ctx->err));
        return pass_replace(ctx, n->outputs[0], v);
    }
fail:
    return status;
}

nib_status pass_activation(pass_context *ctx) {
    nib_status status = NIB_OK;
    for (graph_node *n = ctx->g->first, *next; n; n = next) {
        next = n->next;
        if (n->n_outputs && n->outputs[0] && (n->outputs[0]->uses || n->outputs[0]->is_output))
            NIB_TRY(take_activation(ctx, n->outputs[0]));
    }
    NIB_TRY(pass_clean(ctx));
    for (graph_node *n = ctx->g->first, *next; n; n = next) {
        next = n->next;
        if (graph_is_op(n, "", "Add")) NIB_TRY(take_residual(ctx, n));
    }
    NIB_TRY(pass_clean(ctx));
fail:
    return status;
}
