/* SPDX-License-Identifier: Apache-2.0
 *
 * What passes do to a graph: make nodes, replace values, and say so.
 */
#include "pass.h"
#include "base/base_number.h"
#include <stdarg.h>
#include <string.h>

void pass_note(pass_context *ctx, const char *format, ...) {
    if (!ctx->notes) return;
    char line[512];
    va_list args;
    va_start(args, format);
    base_vsnprintf(line, sizeof line, format, args);
    va_end(args);
    base_str_printf(&ctx->notes->text, "%s\n", line);
}

nib_status pass_replace(pass_context *ctx, graph_value *root, graph_value *with) {
    if (!with) return base_error_set(ctx->err, NIB_OUT_OF_MEMORY, "out of memory while optimizing");
    if (with->type.rank < 0) with->type = root->type;
    if (!with->data && root->data) {
        with->data = root->data;
        with->data_count = root->data_count;
    }
    graph_take_over(ctx->g, root, with);
    ctx->changes++;
    return NIB_OK;
}

graph_value *pass_emit(pass_context *ctx, graph_node *before, const char *domain, const char *type, graph_value *const *in, int n_in,
                       const char *hint) {
    graph_value *v = graph_emit(ctx->g, before, domain, type, in, n_in, hint);
    if (!v) return NULL;
    v->producer->meaning = op_find(domain, type, graph_opset_version(ctx->g, domain));
    return v;
}

bool pass_is_row_parameter(const graph_value *v) {
    if (!v->constant) return false;
    for (int i = 0; i + 1 < v->constant->rank; i++)
        if (v->constant->dims[i] != 1) return false;
    return true;
}

graph_value *pass_row_parameter(pass_context *ctx, graph_value *v) {
    if (!v->constant || v->constant->rank <= 2) return v;
    graph_tensor t = *v->constant;
    t.dims[0] = t.dims[t.rank - 1];
    t.rank = 1;
    return graph_add_constant(ctx->g, v->name, &t, false);
}

nib_status pass_copy_attrs(pass_context *ctx, graph_node *to, const graph_node *from) {
    static const int64_t last = -1;
    nib_status status = NIB_OK;
    for (int i = 0; i < from->n_attrs; i++) NIB_TRY(graph_set_attr(to, &from->attrs[i]));
    if (graph_find_attr(from, "axis")) NIB_TRY(graph_set_int(to, "axis", last));
    if (graph_find_attr(from, "axes")) NIB_TRY(graph_set_ints(to, "axes", &last, 1));
    const int input = to->domain[0] ? -1 : strncmp(to->op, "Reduce", 6) == 0 ? 1 : strcmp(to->op, "Slice") == 0 ? 3 : -1;
    if (input > 0 && pass_input(to, input)) {
        graph_value *axes = graph_const_i64(ctx->g, "axes", &last, 1);
        if (!axes) NIB_FAIL(ctx->err, NIB_OUT_OF_MEMORY, "out of memory while optimizing");
        graph_set_input(to, input, axes);
    }
fail:
    return status;
}

graph_value *pass_emit_inferred(pass_context *ctx, graph_node *before, const char *type, graph_value *const *in, int n_in,
                                const char *hint) {
    graph_value *v = pass_emit(ctx, before, "", type, in, n_in, hint);
    return v && op_infer_node(ctx->g, v->producer, ctx->err) == NIB_OK ? v : NULL;
}

graph_value *pass_emit_without_nan(pass_context *ctx, graph_node *before, graph_value *y) {
    graph_value *nan = pass_emit_inferred(ctx, before, "IsNaN", &y, 1, y->name), *zero = graph_const_f32(ctx->g, "zero", 0);
    return nan && zero ? pass_emit_inferred(ctx, before, "Where", (graph_value *[]){nan, zero, y}, 3, y->name) : NULL;
}

nib_status pass_emit_linear(pass_context *ctx, graph_node *before, const op_linear *l, const char *hint, graph_value **out) {
    nib_status status = NIB_OK;
    graph_value *in[OP_LINEAR_INPUTS];
    *out = pass_emit(ctx, before, "nib", "Linear", in, op_linear_operands(l, in), hint);
    if (!*out) NIB_FAIL(ctx->err, NIB_OUT_OF_MEMORY, "out of memory for a Linear");
    NIB_TRY(op_linear_set((*out)->producer, l, ctx->err));
    NIB_TRY(op_infer_node(ctx->g, (*out)->producer, ctx->err));
fail:
    return status;
}

nib_status pass_emit_attention(pass_context *ctx, graph_node *before, const op_attention *a, const char *hint, graph_value **out) {
    nib_status status = NIB_OK;
    graph_value *in[OP_ATTENTION_INPUTS];
    *out = pass_emit(ctx, before, "nib", "Attention", in, op_attention_operands(a, in), hint);
    if (!*out) NIB_FAIL(ctx->err, NIB_OUT_OF_MEMORY, "out of memory for an Attention");
    NIB_TRY(op_attention_set((*out)->producer, a, ctx->err));
    NIB_TRY(op_infer_node(ctx->g, (*out)->producer, ctx->err));
fail:
    return status;
}

graph_value *pass_emit_transpose(pass_context *ctx, graph_node *before, graph_value *v, const int64_t *perm) {
    graph_value *t = pass_emit(ctx, before, "", "Transpose", &v, 1, v->name);
    if (!t || graph_set_ints(t->producer, "perm", perm, (size_t)v->type.rank) != NIB_OK) return NULL;
    return op_infer_node(ctx->g, t->producer, ctx->err) == NIB_OK ? t : NULL;
}

graph_value *pass_emit_reshape(pass_context *ctx, graph_node *before, graph_value *v, const int64_t *shape, int rank) {
    graph_value *to = graph_const_i64(ctx->g, "shape", shape, rank);
    return to ? pass_emit_inferred(ctx, before, "Reshape", (graph_value *[]){v, to}, 2, v->name) : NULL;
}
