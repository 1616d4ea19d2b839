/* SPDX-License-Identifier: Apache-2.0
 *
 * From one opset of ai.onnx to another. In: a graph and the opset that it is to import. Out: the same graph, its nodes
 * in that opset's words. A node goes from opset to opset. Where its operator has a rule (pass_opset_rules.c) it is
 * rewritten; where it has none and its row of the operator table is another one, it is refused, with its name;
 * everywhere else it means the same. An attribute that says no more than its absence goes. What is left in words that
 * the opset does not have is refused where the file is checked (op_schema.h).
 */
#include "op/op_schema.h"
#include "pass_opset.h"
#include <stdio.h>
#include <string.h>

static nib_status no_memory(pass_context *ctx) { return base_error_set(ctx->err, NIB_OUT_OF_MEMORY, "out of memory"); }

static bool is(const graph_node *n, const char *type) { return strcmp(n->op, type) == 0; }
static bool crosses(int from, int to, int since) { return (from >= since) != (to >= since); }

/* Axes counted from the back are not everywhere before 11: from the front, where the rank is known. */
static nib_status plain_axes(pass_context *ctx, graph_node *n) {
    const graph_value *v = is(n, "Unsqueeze") ? n->outputs[0] : pass_input(n, 0);
    int64_t axis = graph_attr_int(n, "axis", 0), plain[GRAPH_MAX_RANK];
    const int64_t *axes;
    int64_t count = graph_attr_ints(n, "axes", &axes);
    if (!v || v->type.rank < 0 || count > GRAPH_MAX_RANK) return NIB_OK;
    if (axis < 0 && graph_set_int(n, "axis", axis + v->type.rank) != NIB_OK) return no_memory(ctx);
    for (int64_t i = 0; i < count; i++) plain[i] = axes[i] < 0 ? axes[i] + v->type.rank : axes[i];
    return count <= 0 || graph_set_ints(n, "axes", plain, (size_t)count) == NIB_OK ? NIB_OK : no_memory(ctx);
}

static int64_t list_at(const graph_node *n, const char *attr, int i, int64_t otherwise) {
    const int64_t *values;
    return graph_attr_ints(n, attr, &values) > i ? values[i] : otherwise;
}

/* Rounded up, a pool's last window may begin behind the input and the padding in front: since 22 it does not count. Whether there is none,
 * so that both opsets give the same. */
static bool ends_inside(const graph_node *n) {
    const graph_type *x = &n->inputs[0].value->type, *y = n->outputs[0] ? &n->outputs[0]->type : NULL;
    for (int i = 2; i < x->rank; i++) {
        int64_t in, out, stride = list_at(n, "strides", i - 2, 1), pad = list_at(n, "pads", i - 2, 0),
                         kernel = list_at(n, "kernel_shape", i - 2, 1);
        int64_t all = pad + list_at(n, "pads", x->rank - 2 + i - 2, 0), reach = list_at(n, "dilations", i - 2, 1) * (kernel - 1) + 1;
        if (!y || y->rank != x->rank || !graph_dim_is_const(x->dims[i], &in) || !graph_dim_is_const(y->dims[i], &out) || stride < 1)
            return false;
        if (out != (in + all - reach + stride - 1) / stride + 1 || (out - 1) * stride >= in + pad) return false;
    }
    return x->rank > 2 && !graph_find_attr(n, "auto_pad");
}

/* What no schema says, and one of the opsets does not have. */
static bool has_no_form(const graph_node *n, int from, int to) {
    const graph_value *x = pass_input(n, 0), *scale = pass_input(n, 1);
    if (from >= 11 && to < 11 && graph_attr_int(n, "axis", 0) < 0) return true; /* of a rank that nobody knows */
    if ((is(n, "QuantizeLinear") || is(n, "DequantizeLinear")) && to < 13) return scale && scale->type.rank != 0; /* one for each column */
    if ((is(n, "AveragePool") || is(n, "MaxPool") || is(n, "LpPool")) && crosses(from, to, 22))
        return graph_attr_int(n, "ceil_mode", 0) && !ends_inside(n);
    return is(n, "Mod") && to < 28 && !graph_attr_int(n, "fmod", 0) && x &&
           (x->type.dtype == NIB_DTYPE_F32 || x->type.dtype == NIB_DTYPE_F64 || x->type.dtype == NIB_DTYPE_F16 ||
            x->type.dtype == NIB_DTYPE_BF16);
}

/* Attributes that the new opset does not have, and that say no more than their absence. */
static void drop_defaults(graph_node *n, const char *type, int from, int to) {
    const op_schema *old = op_schema_find(type, from), *fresh = op_schema_find(n->op, to);
    for (int i = n->n_attrs - 1; i >= 0 && old && fresh; i--)
        if (!op_schema_attr(fresh, n->attrs[i].name) && op_schema_is_default(old, &n->attrs[i]))
            pass_drop_attr(n, n->attrs[i].name);
}

/* Over all borders between two opsets. *why: which one it does not cross, and what stands in the way; "" if none. */
static nib_status cross_all(pass_context *ctx, graph_node **n, int from, int to, char why[200]) {
    const bool up = to > from;
    why[0] = 0;
    for (int at = from; at != to; at += up ? 1 : -1) {
        pass_border b = {.ctx = ctx, .n = *n, .since = up ? at + 1 : at, .up = up};
        const op *here = op_find("", b.n->op, at), *there = op_find("", b.n->op, up ? at + 1 : at - 1);
        bool known;
        nib_status status = pass_cross(&b, &known);
        if (status != NIB_OK) return status;
        *n = b.n;
        if (known ? b.crossed : there && here == there) continue;
        snprintf(why, 200, "%s", b.why ? b.why : there ? "it means something else there" : "there is no such operator");
        return NIB_OK;
    }
    return NIB_OK;
}

static nib_status convert(pass_context *ctx, graph *g, int from, int to) {
    nib_status status = NIB_OK;
    char why[200];
    for (graph_node *n = g->first, *next; n; n = next) {
        next = n->next;
        for (graph_bodies b = {.node = n}; graph_next_body(&b);) NIB_TRY(convert(ctx, b.body, from, to));
        if (n->domain[0] || !n->meaning) continue;
        const char *old = n->op, *name = n->name[0] || !n->outputs[0] ? n->name : n->outputs[0]->name;
        NIB_TRY(cross_all(ctx, &n, from, to, why));
        if (!why[0] && from >= 11 && to < 11) NIB_TRY(plain_axes(ctx, n));
        if (!why[0]) drop_defaults(n, old, from, to);
        if (!why[0] && has_no_form(n, from, to)) snprintf(why, sizeof why, "what it says has no form there");
        if (why[0]) {
            status = base_error_set(ctx->err, NIB_UNSUPPORTED, "%s of opset %d cannot be written in opset %d: %s", old,
                                    from, to, why);
            base_error_at_node(ctx->err, name);
            return status;
        }
        n->meaning = op_find("", n->op, to);
    }
fail:
    return status;
}

nib_status pass_opset(pass_context *ctx, int opset) {
    nib_status status = NIB_OK;
    int from = graph_opset_version(ctx->g, "");
    if (from == opset || from == 0) return NIB_OK;
    NIB_TRY(convert(ctx, ctx->g, from, opset));
    NIB_TRY(graph_set_opset(ctx->g, "", opset, ctx->err));
    op_resolve(ctx->g);
    NIB_TRY(op_infer_graph(ctx->g, ctx->err));
    ctx->changes++;
fail:
    return status;
}
