/* SPDX-License-Identifier: Apache-2.0
 *
 * From one opset of ai.onnx to another. In: a graph and the opset that it is to import. Out: the same graph, its nodes in that
 * opset's words. Most operators mean the same in both: their row of the operator table is one. Those that moved a list between an
 * attribute and an input, or have another name or word for the same, are rewritten; so is an attribute that says no more than its absence.
 * Anything else is refused, with its name, here or where the file is checked (op_schema.h).
 */
#include "op/op_schema.h"
#include "pass.h"
#include <string.h>

/* Lists that were an attribute and became input 1. */
static const struct moved {
    const char *op, *attr;
    int since;
} moved[] = {
    {"Squeeze", "axes", 13},         {"Unsqueeze", "axes", 13},  {"Split", "split", 13},       {"ReduceSum", "axes", 13},
    {"ReduceMax", "axes", 18},       {"ReduceMean", "axes", 18}, {"ReduceMin", "axes", 18},    {"ReduceProd", "axes", 18},
    {"ReduceL1", "axes", 18},        {"ReduceL2", "axes", 18},   {"ReduceLogSum", "axes", 18}, {"ReduceLogSumExp", "axes", 18},
    {"ReduceSumSquare", "axes", 18},
};

static void drop_attr(graph_node *n, const char *name) {
    int kept = 0;
    for (int i = 0; i < n->n_attrs; i++)
        if (strcmp(n->attrs[i].name, name) != 0) n->attrs[kept++] = n->attrs[i];
    n->n_attrs = kept;
}

static nib_status no_memory(pass_context *ctx) { return base_error_set(ctx->err, NIB_OUT_OF_MEMORY, "out of memory"); }

/* The list of `m` becomes input 1. */
static nib_status to_input(pass_context *ctx, graph_node *n, const char *attr) {
    const int64_t *values;
    int64_t count = graph_attr_ints(n, attr, &values);
    if (count < 0) return NIB_OK;
    graph_value *list = graph_const_i64(n->owner, attr, values, count);
    nib_status status = list ? graph_append_input(n, list, ctx->err) : no_memory(ctx);
    drop_attr(n, attr);
    return status;
}

/* Input 1, where it is a constant, becomes an attribute. *done: it has, or there is none. */
static nib_status to_attr(pass_context *ctx, graph_node *n, const char *attr, bool *done) {
    int64_t values[GRAPH_MAX_DATA];
    const graph_value *list = pass_input(n, 1);
    int count = list ? list->data_count : 0;
    *done = !list;
    if (!list || !list->constant || !list->data) return NIB_OK;
    for (int i = 0; i < count; i++)
        if (!pass_int_at(list, i, &values[i])) return NIB_OK;
    if (count == 0 && strcmp(attr, "axes") == 0) return NIB_OK; /* none, or all: the opsets differ */
    if (graph_set_ints(n, attr, values, (size_t)count) != NIB_OK) return no_memory(ctx);
    graph_set_input(n, 1, NULL);
    n->n_inputs = 1;
    *done = true;
    return NIB_OK;
}

static nib_status move_list(pass_context *ctx, graph_node *n, int from, int to, bool *done) {
    for (size_t i = 0; i < BASE_COUNT(moved); i++) {
        const struct moved *m = &moved[i];
        if (strcmp(n->op, m->op) != 0 || (from >= m->since) == (to >= m->since)) continue;
        if (to < m->since) return to_attr(ctx, n, m->attr, done);
        *done = true;
        return to_input(ctx, n, m->attr);
    }
    return NIB_OK;
}

/* A Split without sizes: since 18 it says into how many parts, and the last one may be smaller. */
static nib_status split_evenly(pass_context *ctx, graph_node *n, int to, bool *done) {
    bool sizes = pass_input(n, 1) || graph_find_attr(n, "split");
    *done = true;
    if (to >= 18) return sizes || graph_set_int(n, "num_outputs", n->n_outputs) == NIB_OK ? NIB_OK : no_memory(ctx);
    for (int i = 1; i < n->n_outputs && !sizes; i++)
        *done &= n->outputs[0] && n->outputs[i] && pass_same_shape(n->outputs[0], n->outputs[i]);
    if (*done) drop_attr(n, "num_outputs");
    return NIB_OK;
}

/* Over all axes from one on before 13, over one since: the last one is both. */
static nib_status over_last_axis(pass_context *ctx, graph_node *n, int from, int to, bool *done) {
    int rank = n->inputs[0].value->type.rank;
    int64_t axis = graph_attr_int(n, "axis", from < 13 ? 1 : -1);
    *done = rank > 0 && (axis < 0 ? axis + rank : axis) == rank - 1;
    return !*done || graph_set_int(n, "axis", to < 13 ? rank - 1 : -1) == NIB_OK ? NIB_OK : no_memory(ctx);
}

static bool rename_op(graph_node *n, const char *to) {
    const char *name = graph_intern(n->owner, to, strlen(to));
    if (name) n->op = name;
    return name != NULL;
}

/* Scales from an attribute to the input. */
static nib_status scales_to_input(pass_context *ctx, graph_node *n) {
    const graph_attr *a = graph_find_attr(n, "scales");
    if (!a || a->kind != GRAPH_ATTR_FLOATS) return NIB_OK;
    graph_tensor t = {.dtype = NIB_DTYPE_F32, .rank = 1, .dims = {(int64_t)a->count}, .bytes = a->count * sizeof(float)};
    t.data = (void *)(uintptr_t)a->u.floats;
    graph_value *scales = graph_add_constant(n->owner, "scales", &t, true);
    nib_status status = scales ? graph_append_input(n, scales, ctx->err) : no_memory(ctx);
    drop_attr(n, "scales");
    return status;
}

/* Upsample, and Resize of opset 10, in the words of later Resizes: X, a region that nothing reads, scales. */
static nib_status to_resize(pass_context *ctx, graph_node *n, int to) {
    nib_status status = NIB_OK;
    if (to >= 9) NIB_TRY(scales_to_input(ctx, n));
    if (to < 10) return NIB_OK;
    if (!rename_op(n, "Resize")) return no_memory(ctx);
    if (to < 11) return NIB_OK;
    graph_tensor none = {.dtype = NIB_DTYPE_F32, .rank = 1};
    graph_value *scales = pass_input(n, 1), *region = to < 13 ? graph_add_constant(n->owner, "roi", &none, true) : NULL;
    if (to < 13 && !region) return no_memory(ctx);
    graph_set_input(n, 1, region);
    NIB_TRY(graph_append_input(n, scales, ctx->err));
    if (graph_set_string(n, "coordinate_transformation_mode", "asymmetric") != NIB_OK ||
        graph_set_string(n, "nearest_mode", "floor") != NIB_OK)
        return no_memory(ctx);
fail:
    return status;
}

/* floor((x + 0.5) / s) is what half_pixel gives, rounded with halves going up. */
static nib_status without_tensorflow(pass_context *ctx, graph_node *n) {
    if (strcmp(graph_attr_string(n, "coordinate_transformation_mode", ""), "tf_half_pixel_for_nn") != 0 ||
        strcmp(graph_attr_string(n, "nearest_mode", ""), "floor") != 0 || strcmp(graph_attr_string(n, "mode", "nearest"), "nearest") != 0)
        return NIB_OK;
    bool ok = graph_set_string(n, "coordinate_transformation_mode", "half_pixel") == NIB_OK &&
              graph_set_string(n, "nearest_mode", "round_prefer_ceil") == NIB_OK;
    return ok ? NIB_OK : no_memory(ctx);
}

static bool is(const graph_node *n, const char *type) { return strcmp(n->op, type) == 0; }
static bool crosses(int from, int to, int since) { return (from >= since) != (to >= since); }

/* What the words of an operator became. *done: the node means in the new opset what it meant in the old one, whatever their rows. */
static nib_status new_words(pass_context *ctx, graph_node *n, int from, int to, bool *done) {
    static const char *const modes[][2] = {{"bilinear", "linear"}, {"bicubic", "cubic"}};
    if (is(n, "Split") && crosses(from, to, 18)) return split_evenly(ctx, n, to, done);
    if ((is(n, "Softmax") || is(n, "LogSoftmax") || is(n, "Hardmax")) && crosses(from, to, 13))
        return over_last_axis(ctx, n, from, to, done);
    if (is(n, "Upsample") || (is(n, "Resize") && from == 10)) return *done = to > from, to > from ? to_resize(ctx, n, to) : NIB_OK;
    if (is(n, "Resize") && from < 13 && to >= 13) return without_tensorflow(ctx, n);
    if (is(n, "Scatter") && to >= 11) return *done = true, rename_op(n, "ScatterElements") ? NIB_OK : no_memory(ctx);
    if (is(n, "ScatterElements") && to < 11) return *done = true, rename_op(n, "Scatter") ? NIB_OK : no_memory(ctx);
    if (is(n, "BatchNormalization") && from < 9 && to >= 9 && graph_attr_int(n, "spatial", 1) == 1) drop_attr(n, "spatial");
    for (size_t i = 0; i < BASE_COUNT(modes) && is(n, "GridSample") && crosses(from, to, 20); i++)
        if (strcmp(graph_attr_string(n, "mode", ""), modes[i][to < 20]) == 0 && graph_set_string(n, "mode", modes[i][to >= 20]) != NIB_OK)
            return no_memory(ctx);
    return NIB_OK;
}

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
        if (!op_schema_attr(fresh, n->attrs[i].name) && op_schema_is_default(old, &n->attrs[i])) drop_attr(n, n->attrs[i].name);
}

static nib_status convert(pass_context *ctx, graph *g, int from, int to) {
    nib_status status = NIB_OK;
    for (graph_node *n = g->first; n; n = n->next) {
        for (graph_bodies b = {.node = n}; graph_next_body(&b);) NIB_TRY(convert(ctx, b.body, from, to));
        if (n->domain[0] || !n->meaning) continue;
        const char *old = n->op;
        bool done = false;
        NIB_TRY(move_list(ctx, n, from, to, &done));
        NIB_TRY(new_words(ctx, n, from, to, &done));
        if (from >= 11 && to < 11) NIB_TRY(plain_axes(ctx, n));
        drop_defaults(n, old, from, to);
        const op *then = op_find("", n->op, to);
        if (!then || (then != n->meaning && !done) || has_no_form(n, from, to)) {
            status = base_error_set(ctx->err, NIB_UNSUPPORTED, "%s of opset %d cannot be written in opset %d", old, from, to);
            base_error_at_node(ctx->err, n->name[0] || !n->outputs[0] ? n->name : n->outputs[0]->name);
            return status;
        }
        n->meaning = then;
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
