/* SPDX-License-Identifier: Apache-2.0
 *
 * In: activations in all the forms that exporters write, gates (activation of one half of the columns times the other half), and
 * additions, behind a nib.Linear. Out: the Linear's activation and gate attributes and residual input, computed in the kernel's
 * epilogue.
 */
#include "pass.h"
#include "pass_match.h"

typedef struct form {
    const char *pattern;
    kernel_activation activation;
} form;

#define SQRT2 "1.41421356"
#define INV_SQRT2 "0.70710678"
#define C_TANH "0.79788456"
#define GELU_TANH(argument)                                                                                                                \
    {"Mul(Mul(x, 0.5), Add(Tanh(" argument "), 1))", KERNEL_ACT_GELU_TANH},                                                                \
        {"Mul(0.5, Mul(x, Add(Tanh(" argument "), 1)))", KERNEL_ACT_GELU_TANH}, {                                                          \
        "Mul(x, Mul(0.5, Add(Tanh(" argument "), 1)))", KERNEL_ACT_GELU_TANH                                                               \
    }

static const form forms[] = {
    {"Mul(Mul(x, Add(Erf(Div(x, " SQRT2 ")), 1)), 0.5)", KERNEL_ACT_GELU_ERF},
    {"Mul(Mul(x, 0.5), Add(Erf(Div(x, " SQRT2 ")), 1))", KERNEL_ACT_GELU_ERF},
    {"Mul(x, Mul(Add(Erf(Div(x, " SQRT2 ")), 1), 0.5))", KERNEL_ACT_GELU_ERF},
    {"Mul(Mul(x, Add(Erf(Mul(x, " INV_SQRT2 ")), 1)), 0.5)", KERNEL_ACT_GELU_ERF},
    {"Mul(Mul(x, 0.5), Add(Erf(Mul(x, " INV_SQRT2 ")), 1))", KERNEL_ACT_GELU_ERF},
    {"Mul(x, Mul(Add(Erf(Mul(x, " INV_SQRT2 ")), 1), 0.5))", KERNEL_ACT_GELU_ERF},
    GELU_TANH("Mul(" C_TANH ", Add(x, Mul(0.044715, Pow(x, 3))))"),
    GELU_TANH("Mul(" C_TANH ", Add(x, Mul(0.044715, Mul(x, Mul(x, x)))))"),
    GELU_TANH("Mul(Mul(x, " C_TANH "), Add(Mul(Mul(x, 0.044715), x), 1))"),
    GELU_TANH("Mul(Mul(x, " C_TANH "), Add(Mul(0.044715, Mul(x, x)), 1))"),
    {"com.microsoft.Gelu(x)", KERNEL_ACT_GELU_ERF},
    {"Mul(x, Sigmoid(x))", KERNEL_ACT_SILU},
    {"Tanh(x)", KERNEL_ACT_TANH},
    {"Relu(x)", KERNEL_ACT_RELU},
    {"Sigmoid(x)", KERNEL_ACT_SIGMOID},
};

/* A Linear that may still get an activation or a residual; NULL if v is none. */
static graph_node *open_linear(const graph_value *v, op_linear *l) {
    if (!v || v->is_output || !op_linear_get(v->producer, l) || l->residual || l->gate != OP_GATE_NONE) return NULL;
    return v->producer;
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

/* Which activation root is, and of what. */
static kernel_activation activation_of(graph_value *root, graph_value **x) {
    pass_match m;
    for (size_t i = 0; i < BASE_COUNT(forms); i++)
        if (pass_match_at(forms[i].pattern, root, &m)) return *x = pass_matched(&m, "x"), forms[i].activation;
    if (!graph_is_op(root->producer, "", "Gelu")) return KERNEL_ACT_NONE;
    *x = root->producer->inputs[0].value;
    return graph_attr_string(root->producer, "approximate", "none")[0] == 't' ? KERNEL_ACT_GELU_TANH : KERNEL_ACT_GELU_ERF;
}

static nib_status take_activation(pass_context *ctx, graph_value *root) {
    graph_value *x = NULL;
    kernel_activation act = activation_of(root, &x);
    op_linear l;
    graph_node *n = act ? open_linear(x, &l) : NULL;
    if (!n || l.activation != KERNEL_ACT_NONE || !only_used_within(x, root, 0)) return NIB_OK;
    l.activation = act;
    nib_status status = op_linear_set(n, &l, ctx->err);
    if (status != NIB_OK) return status;
    return pass_replace(ctx, root, x); /* the pattern's own uses of x are dead now: pass_clean takes them away */
}

/* Behind a Linear, and still there: why. */
static void note_left(pass_context *ctx, graph_value *root) {
    graph_value *x = NULL;
    kernel_activation act = activation_of(root, &x);
    op_linear l;
    if (!act || !op_linear_get(x->producer, &l)) return;
    const char *why = l.activation != KERNEL_ACT_NONE || l.gate != OP_GATE_NONE ? "the Linear in front of it has one"
                      : l.residual                                              ? "something was added in between"
                      : x->is_output                                            ? "what it reads is an output"
                                                                                : "what it reads is read elsewhere, too";
    pass_note(ctx, "activation %s at %s is not fused: %s", op_activation_name(act), root->name, why);
}

/* a and b are the two halves of the columns of one Linear with nothing behind it: its view. */
static bool halves_of(const graph_value *a, const graph_value *b, int64_t *first, op_linear *l) {
    int64_t other, half;
    const graph_value *v = pass_columns_of(a, first);
    if (!v || pass_columns_of(b, &other) != v || !pass_same_shape(a, b) || a->type.rank < 1) return false;
    if (!graph_dim_is_const(a->type.dims[a->type.rank - 1], &half) || *first + other != half || (*first && other)) return false;
    int64_t width;
    if (!open_linear(v, l) || !graph_dim_is_const(v->type.dims[v->type.rank - 1], &width) || width != 2 * half) return false;
    for (const graph_use *u = v->uses; u; u = u->next)
        if (u->node != a->producer && u->node != b->producer) return false;
    return l->activation == KERNEL_ACT_NONE && l->n_weights == 1;
}

/* activation(one half) * other half. */
static nib_status take_gate(pass_context *ctx, graph_node *n) {
    nib_status status = NIB_OK;
    for (int side = 0; side < 2; side++) {
        graph_value *x = NULL, *other = n->inputs[1 - side].value;
        kernel_activation act = activation_of(n->inputs[side].value, &x);
        int64_t first = 0;
        op_linear l;
        if (!act || !halves_of(x, other, &first, &l)) continue;
        if (!only_used_within(x, n->outputs[0], 0) || !only_used_within(other, n->outputs[0], 0)) continue;
        l.activation = act;
        l.gate = first == 0 ? OP_GATE_FIRST : OP_GATE_SECOND;
        graph_value *y;
        NIB_TRY(pass_emit_linear(ctx, n, &l, n->outputs[0]->name, &y));
        return pass_replace(ctx, n->outputs[0], y);
    }
fail:
    return status;
}

static nib_status take_residual(pass_context *ctx, graph_node *n) {
    nib_status status = NIB_OK;
    for (int side = 0; side < 2; side++) {
        graph_value *v = n->inputs[side].value, *r = n->inputs[1 - side].value;
        op_linear l;
        graph_node *linear = open_linear(v, &l);
        if (!linear || v == r || v->use_count != 1 || r->constant || !pass_same_shape(v, r) || pass_needs(ctx, r, v)) continue;
        graph_move_before(linear, n);
        l.residual = r;
        NIB_TRY(op_linear_set(linear, &l, ctx->err));
        return pass_replace(ctx, n->outputs[0], v);
    }
fail:
    return status;
}

nib_status pass_activation(pass_context *ctx) {
    nib_status status = NIB_OK;
    for (graph_node *n = ctx->g->first, *next; n; n = next) {
        next = n->next;
        if (graph_is_op(n, "", "Mul")) NIB_TRY(take_gate(ctx, n));
    }
    NIB_TRY(pass_clean(ctx));
    for (graph_node *n = ctx->g->first, *next; n; n = next) {
        next = n->next;
        if (n->n_outputs && n->outputs[0] && (n->outputs[0]->uses || n->outputs[0]->is_output))
            NIB_TRY(take_activation(ctx, n->outputs[0]));
    }
    NIB_TRY(pass_clean(ctx));
    for (const graph_node *n = ctx->g->first; n; n = n->next)
        if (n->n_outputs && n->outputs[0] && !n->domain[0]) note_left(ctx, n->outputs[0]);
    for (graph_node *n = ctx->g->first, *next; n; n = next) {
        next = n->next;
        if (graph_is_op(n, "", "Add")) NIB_TRY(take_residual(ctx, n));
    }
    NIB_TRY(pass_clean(ctx));
fail:
    return status;
}
