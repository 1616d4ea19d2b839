/* SPDX-License-Identifier: Apache-2.0
 *
 * Constant folding. In: nodes whose inputs are constants, and values whose symbolic contents turn out to be numbers (Shape of
 * a known axis, and all arithmetic on it). Out: constants. Folding never makes a value larger than ctx->fold_limit, and
 * leaves alone what only moves or widens a weight: Linear reads a transposed weight where it lies, and a copy in
 * memory would cost more than the node.
 */
#include "pass.h"
#include <string.h>

#define MOVED_LIMIT 65536 /* bytes: larger results of pure data movement or widening are not folded */

static bool moves_data(const graph_node *n) {
    static const char *const ops[] = {"Transpose", "Expand", "Tile", "ConstantOfShape", "Identity", "DequantizeLinear", "Range", "EyeLike"};
    for (size_t i = 0; i < BASE_COUNT(ops); i++)
        if (graph_is_op(n, "", ops[i])) return true;
    return false;
}

static bool all_constant(const graph_node *n) {
    if (graph_has_bodies(n)) return false;
    for (int i = 0; i < n->n_inputs; i++)
        if (n->inputs[i].value && !n->inputs[i].value->constant) return false;
    return true;
}

/* The node that turns a constant and was left, since a Linear reads the constant as it is; or NULL. */
static const graph_node *turning(const graph_value *v) {
    return v && graph_is_op(v->producer, "", "Transpose") && all_constant(v->producer) ? v->producer : NULL;
}

/* A product of two constants of which one is turned. */
static bool is_product_of_constants(const graph_node *n) {
    const bool product = graph_is_op(n, "", "MatMul") || graph_is_op(n, "", "Gemm");
    for (int i = 0; product && i < n->n_inputs; i++)
        if (n->inputs[i].value && !n->inputs[i].value->constant && !turning(n->inputs[i].value)) return false;
    return product;
}

/* Bytes of the node's outputs as inferred; SIZE_MAX if unknown. */
static size_t result_bytes(const graph_node *n) {
    size_t total = 0;
    for (int i = 0; i < n->n_outputs; i++) {
        const graph_value *v = n->outputs[i];
        if (!v) continue;
        int64_t count = 1, d;
        if (v->type.rank < 0 || v->type.dtype == NIB_DTYPE_UNDEFINED) return SIZE_MAX;
        for (int k = 0; k < v->type.rank; k++)
            if (!graph_dim_is_const(v->type.dims[k], &d) || d < 0 || !base_mul_i64(count, d, &count)) return SIZE_MAX;
        size_t bytes = graph_type_bytes(v->type.dtype, (size_t)count);
        if (bytes == SIZE_MAX || !base_add_size(total, bytes, &total)) return SIZE_MAX;
    }
    return total;
}

size_t pass_fold_budget(const pass_context *ctx) {
    size_t constants = 0, total;
    for (int i = 0; i < ctx->g->n_constants; i++)
        if (!base_add_size(constants, ctx->g->constants[i]->constant->bytes, &constants)) return SIZE_MAX;
    return base_mul_size(constants, 8, &total) && base_add_size(total, ctx->fold_limit, &total) ? total : SIZE_MAX;
}

/* Bytes of the constants that only this node reads: they go when it does. */
static size_t own_bytes(const graph_node *n) {
    size_t total = 0;
    for (int i = 0; i < n->n_inputs; i++) {
        const graph_value *v = n->inputs[i].value;
        if (v && v->constant && v->use_count == 1 && !v->is_output) total += v->constant->bytes;
    }
    return total;
}

static nib_status fold_value(pass_context *ctx, graph_value *v, const graph_tensor *t, bool copy) {
    ctx->fold_left -= t->bytes < ctx->fold_left ? t->bytes : ctx->fold_left;
    graph_value *constant = graph_add_constant(ctx->g, v->is_output ? NULL : v->name, t, copy);
    if (!constant) return base_error_set(ctx->err, NIB_OUT_OF_MEMORY, "out of memory while folding");
    graph_replace_uses(ctx->g, v, constant);
    ctx->changes++;
    return NIB_OK;
}

/* Evaluates a node on constants. A failing eval is no error here: the node stays and fails, or not, when it runs. */
static nib_status fold_node(pass_context *ctx, graph_node *n) {
    nib_status status = NIB_OK;
    size_t bytes = result_bytes(n), limit = ctx->fold_limit;
    bool moves = moves_data(n);
    if (!pass_mode_of(ctx)->runs) { /* a weight that is moved takes the place of what it was; one that grows would make
                                       the file longer */
        size_t had = own_bytes(n);
        if (bytes != SIZE_MAX && bytes > MOVED_LIMIT && bytes > had) return NIB_OK;
        moves = moves && bytes > had;
    }
    /* A Cast is at most eight times the bytes of the file; a half-precision weight must become f32 once, not in every run. */
    if (graph_is_op(n, "", "Cast") && pass_mode_of(ctx)->runs) limit = SIZE_MAX;
    if (limit > ctx->fold_left) limit = ctx->fold_left;
    if (bytes != SIZE_MAX && (bytes > limit || (moves && bytes > MOVED_LIMIT))) return NIB_OK;
    base_arena arena;
    base_arena_init(&arena, ctx->g->heap);
    op_env *env = op_env_create(ctx->g, &arena, limit, ctx->kernels);
    if (!env) NIB_FAIL(ctx->err, NIB_OUT_OF_MEMORY, "out of memory while folding");
    op_env_work(env, &ctx->work_spent, ctx->work_limit ? ctx->work_limit : OP_ENV_WORK);
    nib_error ignored;
    nib_status ran = NIB_OK;
    for (int i = 0; i < n->n_inputs && ran == NIB_OK; i++)
        if (turning(n->inputs[i].value)) ran = op_env_run(env, turning(n->inputs[i].value), &ignored);
    if (ran == NIB_OK) ran = op_env_run(env, n, &ignored);
    if (ran == NIB_OUT_OF_MEMORY)
        NIB_FAIL(ctx->err, ran, "out of memory while folding"); /* the same model must not fold otherwise another day */
    if (ran != NIB_OK) goto fail;
    for (int i = 0; i < n->n_outputs; i++) {
        const graph_tensor *t;
        if (!n->outputs[i] || (!n->outputs[i]->uses && !n->outputs[i]->is_output)) continue;
        if (op_env_get(env, n->outputs[i], &t, &ignored) != NIB_OK) break;
        if (t->dtype == NIB_DTYPE_STRING || t->dtype >= NIB_DTYPE_SEQUENCE || /* what they point to ends with the arena */
            (moves && t->bytes > MOVED_LIMIT))
            break;
        NIB_TRY(fold_value(ctx, n->outputs[i], t, true));
    }
fail:
    base_arena_free(&arena);
    return status;
}

/* A value whose symbolic contents are all numbers is a constant, whatever computes it. */
static nib_status fold_data(pass_context *ctx, graph_value *v) {
    int64_t wide[GRAPH_MAX_DATA];
    int32_t narrow[GRAPH_MAX_DATA];
    uint8_t truth[GRAPH_MAX_DATA];
    if (!v->data || v->type.rank < 0 || v->type.rank > 1 || v->data_count > GRAPH_MAX_DATA) return NIB_OK;
    for (int i = 0; i < v->data_count; i++) {
        if (!graph_dim_is_const(v->data[i], &wide[i])) return NIB_OK;
        narrow[i] = (int32_t)wide[i];
        truth[i] = wide[i] != 0;
    }
    graph_tensor t = {.dtype = v->type.dtype, .rank = v->type.rank, .dims = {v->data_count}};
    t.bytes = graph_type_bytes(t.dtype, (size_t)v->data_count);
    if (t.dtype == NIB_DTYPE_I64) t.data = wide;
    else if (t.dtype == NIB_DTYPE_I32) t.data = narrow;
    else if (t.dtype == NIB_DTYPE_BOOL) t.data = truth;
    else return NIB_OK;
    return fold_value(ctx, v, &t, true);
}

/* What is computed of constants alone is, though one of them be kept in half precision: that one is widened now. */
static nib_status widen_inputs(pass_context *ctx, graph_node *n) {
    nib_status status = NIB_OK;
    for (int i = 0; i < n->n_inputs; i++)
        if (n->inputs[i].value && !pass_behind_widening(ctx, n->inputs[i].value)->constant) return NIB_OK;
    for (int i = 0; i < n->n_inputs; i++) {
        graph_node *cast = n->inputs[i].value ? n->inputs[i].value->producer : NULL;
        if (cast && pass_is_kept(ctx, cast)) NIB_TRY(pass_widen_kept(ctx, cast));
    }
fail:
    return status;
}

nib_status pass_fold(pass_context *ctx) {
    nib_status status = NIB_OK;
    for (graph_node *n = ctx->g->first; n; n = n->next) {
        if (!n->meaning || pass_is_random(n)) continue;
        for (int i = 0; i < n->n_outputs; i++)
            if (n->outputs[i] && n->outputs[i]->uses) NIB_TRY(fold_data(ctx, n->outputs[i]));
        bool used = false;
        for (int i = 0; i < n->n_outputs; i++) used |= n->outputs[i] && (n->outputs[i]->uses || n->outputs[i]->is_output);
        if (!used || pass_is_kept(ctx, n)) continue;
        if (ctx->kept_half && !moves_data(n)) NIB_TRY(widen_inputs(ctx, n));
        if (all_constant(n) || is_product_of_constants(n)) NIB_TRY(fold_node(ctx, n));
    }
fail:
    return status;
}
