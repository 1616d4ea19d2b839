/* SPDX-License-Identifier: Apache-2.0
 *
 * In: LayerNormalization and RMSNormalization over the last axis, and layer norm written out with ReduceMean (exports below
 * opset 17). Out: nib.Norm; where it is not for a file, in front of the views that split rows into heads, in groups of columns.
 */
#include "pass.h"
#include "pass_match.h"

static bool is_row_vector(const graph_value *v, const graph_value *x) {
    int64_t c;
    return v && v->constant && v->constant->dtype == NIB_DTYPE_F32 && x->type.rank > 0 &&
           graph_dim_is_const(x->type.dims[x->type.rank - 1], &c) && graph_tensor_elements(v->constant) == c && v->constant->rank == 1;
}

static nib_status not_fused(pass_context *ctx, const graph_value *root, const char *why) {
    pass_note(ctx, "norm at %s is not fused: %s", root->name, why);
    return NIB_OK;
}

static nib_status make_norm(pass_context *ctx, graph_value *root, graph_value *x, graph_value *gamma, graph_value *beta, float eps,
                            const char *kind) {
    nib_status status = NIB_OK;
    graph_value *in[3] = {x, gamma, beta}, *y;
    if (x->type.dtype != NIB_DTYPE_F32) return not_fused(ctx, root, "its rows are not f32");
    if (!is_row_vector(gamma, x)) return not_fused(ctx, root, "its scale is no constant f32 vector as wide as its rows");
    if (beta && !is_row_vector(beta, x)) return not_fused(ctx, root, "its bias is no constant f32 vector as wide as its rows");
    y = pass_emit(ctx, root->producer, "nib", "Norm", in, beta ? 3 : 2, root->name);
    if (!y) return base_error_set(ctx->err, NIB_OUT_OF_MEMORY, "out of memory");
    NIB_TRY(graph_set_float(y->producer, "epsilon", eps));
    NIB_TRY(graph_set_string(y->producer, "kind", kind));
    NIB_TRY(op_infer_node(ctx->g, y->producer, ctx->err));
    NIB_TRY(pass_replace(ctx, root, y));
fail:
    return status;
}

static nib_status from_operator(pass_context *ctx, graph_node *n, const char *kind) {
    int64_t axis = graph_attr_int(n, "axis", -1);
    graph_value *x = n->inputs[0].value;
    if (x->type.rank < 1 || (axis != -1 && axis != x->type.rank - 1)) return not_fused(ctx, n->outputs[0], "it is not over the last axis");
    for (int i = 1; i < n->n_outputs; i++)
        if (n->outputs[i] && (n->outputs[i]->uses || n->outputs[i]->is_output))
            return not_fused(ctx, n->outputs[0], "its mean or deviation is read, too");
    graph_value *beta = n->n_inputs > 2 ? n->inputs[2].value : NULL;
    return make_norm(ctx, n->outputs[0], x, n->inputs[1].value, beta, graph_attr_float(n, "epsilon", 1e-5f), kind);
}

/* (x - mean(x)) / sqrt(mean((x - mean(x))^2) + eps) * gamma + beta, as exporters of opset < 17 write it. */
static const char *const long_forms[] = {
    "Add(Mul(Div(d:Sub(x, a:ReduceMean(x, ...)), Sqrt(Add(b:ReduceMean(Pow(d2:Sub(x, _), 2), ...), eps))), gamma), beta)",
    "Add(Mul(Div(d:Sub(x, a:ReduceMean(x, ...)), Sqrt(Add(b:ReduceMean(Mul(d2:Sub(x, _), _), ...), eps))), gamma), beta)",
};

static bool reduces_last(const graph_node *n) {
    const int64_t *axes;
    int64_t given[4];
    int rank = n->inputs[0].value->type.rank;
    int64_t count = graph_attr_ints(n, "axes", &axes);
    if (count < 0 && n->n_inputs > 1 && n->inputs[1].value && n->inputs[1].value->data_count == 1) {
        if (!graph_dim_is_const(n->inputs[1].value->data[0], &given[0])) return false;
        axes = given;
        count = 1;
    }
    return count == 1 && rank > 0 && (axes[0] == -1 || axes[0] == rank - 1) && graph_attr_int(n, "keepdims", 1) == 1;
}

static nib_status from_long_form(pass_context *ctx, graph_node *n) {
    pass_match m;
    double eps;
    const char *why = NULL;
    for (size_t i = 0; i < BASE_COUNT(long_forms); i++) {
        if (!pass_match_at(long_forms[i], n->outputs[0], &m)) continue;
        const graph_node *a = pass_matched_node(&m, "a"), *b = pass_matched_node(&m, "b"), *d = pass_matched_node(&m, "d"),
                         *d2 = pass_matched_node(&m, "d2");
        bool same = d == d2 || d2->inputs[1].value == d->inputs[1].value;
        why = !same                                          ? "what is squared has another mean taken off"
              : !reduces_last(a) || !reduces_last(b)         ? "its means are not over the last axis"
              : !graph_scalar(pass_matched(&m, "eps"), &eps) ? "what is added to its variance is no constant"
                                                             : NULL;
        if (why) continue;
        const graph_node *square = b->inputs[0].value->producer;
        if (graph_is_op(square, "", "Mul") && square->inputs[0].value != square->inputs[1].value) continue;
        return make_norm(ctx, n->outputs[0], pass_matched(&m, "x"), pass_matched(&m, "gamma"), pass_matched(&m, "beta"), (float)eps,
                         "layer");
    }
    return why ? not_fused(ctx, n->outputs[0], why) : NIB_OK;
}

/* x / sqrt(mean(x^2) + eps) * gamma: torch.export, TorchScript, and what nib itself writes before opset 23. */
#define OVER_ROOT(form)                                                                                                                    \
    form("Mul(x, Reciprocal(Sqrt(Add(b:ReduceMean(Pow(x, 2), ...), eps))))"),                                                              \
        form("Mul(x, Div(1, Sqrt(Add(b:ReduceMean(Pow(x, 2), ...), eps))))"),                                                              \
        form("Div(x, Sqrt(Add(b:ReduceMean(Pow(x, 2), ...), eps)))"), form("Mul(x, Pow(Add(b:ReduceMean(Pow(x, 2), ...), eps), -0.5))"),   \
        form("Mul(x, Reciprocal(Sqrt(Add(b:ReduceMean(Mul(x, x), ...), eps))))"),                                                          \
        form("Mul(x, Div(1, Sqrt(Add(b:ReduceMean(Mul(x, x), ...), eps))))"),                                                              \
        form("Div(x, Sqrt(Add(b:ReduceMean(Mul(x, x), ...), eps)))"), form("Mul(x, Pow(Add(b:ReduceMean(Mul(x, x), ...), eps), -0.5))")
#define SCALED(text) "Mul(gamma, " text ")"
#define ALONE(text) text
static const char *const rms_forms[] = {OVER_ROOT(SCALED)}, *const bare_forms[] = {OVER_ROOT(ALONE)};

/* [width] of ones; NULL: out of memory. */
static graph_value *no_gamma(pass_context *ctx, int64_t width) {
    graph_tensor t = {.dtype = NIB_DTYPE_F32, .rank = 1, .dims = {width}, .bytes = (size_t)width * sizeof(float)};
    float *ones = t.data = base_arena_alloc(ctx->g->arena, t.bytes);
    for (int64_t i = 0; ones && i < width; i++) ones[i] = 1;
    return ones ? graph_add_constant(ctx->g, "ones", &t, false) : NULL;
}

static nib_status from_rms_form(pass_context *ctx, graph_node *n, const char *const *forms, size_t count) {
    pass_match m;
    double eps;
    int64_t width;
    for (size_t i = 0; i < count; i++) {
        if (!pass_match_at(forms[i], n->outputs[0], &m)) continue;
        if (!reduces_last(pass_matched_node(&m, "b"))) return not_fused(ctx, n->outputs[0], "its mean is not over the last axis");
        if (!graph_scalar(pass_matched(&m, "eps"), &eps)) return not_fused(ctx, n->outputs[0], "what is added to its mean is no constant");
        graph_value *x = pass_matched(&m, "x"), *gamma = pass_matched(&m, "gamma");
        if (!gamma && (!pass_width(x, &width) || width < 1 || (uint64_t)width > ctx->fold_limit / sizeof(float))) return NIB_OK;
        if (!gamma && !(gamma = no_gamma(ctx, width))) return base_error_set(ctx->err, NIB_OUT_OF_MEMORY, "out of memory");
        return make_norm(ctx, n->outputs[0], x, gamma, NULL, (float)eps, "rms");
    }
    return NIB_OK;
}

/* How many groups the norm n has in front of the view that makes its rows: a Transpose that leaves the last axis where it is, or a Reshape
 * that splits rows into heads. 0: it is neither. */
static int64_t groups_before(const graph_node *n, const graph_node *view) {
    const int64_t *perm;
    int64_t rank, width, whole, groups = graph_attr_int(n, "groups", 1);
    if (n->n_inputs > 3 || n->n_outputs != 1 || !view || view->owner != n->owner) return 0;
    if (graph_is_op(view, "", "Transpose"))
        return (rank = graph_attr_ints(view, "perm", &perm)) > 0 && perm[rank - 1] == rank - 1 ? groups : 0;
    if (!graph_is_op(view, "", "Reshape") || !pass_width(view->inputs[0].value, &whole) || !pass_width(view->outputs[0], &width)) return 0;
    const graph_type *from = &view->inputs[0].value->type, *to = &view->outputs[0]->type;
    if (whole == width && (from->rank != to->rank - 1 || !graph_dim_is_one(to->dims[to->rank - 2])))
        return 0; /* one head is a split, too */
    return width > 0 && whole % width == 0 && base_mul_i64(groups, whole / width, &groups) ? groups : 0;
}

/* Norm(view(x)) -> view(Norm(x)), as often as that is possible: what splits rows into heads then meets what joins them. */
static nib_status before_views(pass_context *ctx, graph_node *n) {
    nib_status status = NIB_OK;
    int64_t groups;
    for (const graph_node *view; (groups = groups_before(n, view = n->inputs[0].value->producer)) > 0;) {
        graph_value *in[3] = {view->inputs[0].value, pass_input(n, 1), pass_input(n, 2)};
        graph_value *y = pass_emit(ctx, n, "nib", "Norm", in, n->n_inputs, n->outputs[0]->name);
        graph_value *seen[2] = {y, pass_input(view, 1)};
        graph_value *z = y ? pass_emit(ctx, n, "", view->op, seen, view->n_inputs, n->outputs[0]->name) : NULL;
        if (!z) NIB_FAIL(ctx->err, NIB_OUT_OF_MEMORY, "out of memory");
        for (int i = 0; i < n->n_attrs; i++) NIB_TRY(graph_set_attr(y->producer, &n->attrs[i]));
        for (int i = 0; i < view->n_attrs; i++) NIB_TRY(graph_set_attr(z->producer, &view->attrs[i]));
        NIB_TRY(graph_set_int(y->producer, "groups", groups));
        NIB_TRY(op_infer_node(ctx->g, y->producer, ctx->err));
        NIB_TRY(op_infer_node(ctx->g, z->producer, ctx->err));
        NIB_TRY(pass_replace(ctx, n->outputs[0], z));
        n = y->producer;
    }
fail:
    return status;
}

nib_status pass_norm(pass_context *ctx) {
    nib_status status = NIB_OK;
    for (graph_node *n = ctx->g->first, *next; n; n = next) {
        next = n->next;
        if (graph_is_op(n, "", "LayerNormalization")) NIB_TRY(from_operator(ctx, n, "layer"));
        else if (graph_is_op(n, "", "RMSNormalization")) NIB_TRY(from_operator(ctx, n, "rms"));
        else if (graph_is_op(n, "", "Add")) NIB_TRY(from_long_form(ctx, n));
    }
    for (graph_node *n = ctx->g->first, *next; n; n = next) { /* last: it is also the middle of a LayerNormalization's long form */
        next = n->next;
        if (graph_is_op(n, "", "Mul")) NIB_TRY(from_rms_form(ctx, n, rms_forms, BASE_COUNT(rms_forms)));
    }
    NIB_TRY(pass_clean(ctx));
    if (!pass_mode_of(ctx)->runs)
        return NIB_OK; /* its operators would have a scale that does nothing, or the same nodes in another order */
    for (graph_node *n = ctx->g->first, *next; n; n = next) {
        next = n->next;
        if (graph_is_op(n, "", "Mul") || graph_is_op(n, "", "Div")) NIB_TRY(from_rms_form(ctx, n, bare_forms, BASE_COUNT(bare_forms)));
    }
    int before = ctx->changes;
    for (graph_node *n = ctx->g->first, *next; n; n = next) {
        next = n->next;
        if (graph_is_op(n, "nib", "Norm")) NIB_TRY(before_views(ctx, n));
    }
    NIB_TRY(pass_clean(ctx));
    if (ctx->changes == before) return NIB_OK;
    NIB_TRY(pass_transpose(ctx)); /* what stood around the norm stands together */
    NIB_TRY(pass_clean(ctx));
    NIB_TRY(pass_reshape(ctx));
    NIB_TRY(pass_clean(ctx));
fail:
    return status;
}
