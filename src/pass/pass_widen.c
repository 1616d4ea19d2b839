/* SPDX-License-Identifier: Apache-2.0
 *
 * f16 and bf16 -> f32, for a task. In: a graph of a file in half precision, or one of which a part is. Out: the same graph in f32:
 * its constants widened, which is exact (but for a few scalars, see below), its values never rounded in between, the Casts between the two
 * without effect. So it is fused, packed and run as its f32 form is; where ONNX's values are wanted (`exact` meaning), this pass is not
 * run.
 *
 * An input of the graph keeps its type, and gets a Cast. So does, until the passes have run, a large matrix that nothing but a product
 * with rows or a look-up of rows reads: nib.Linear and nib.Embed take it as it is in the file, and it is widened when it is packed, or row
 * by row. What no Linear and no Embed took is widened then.
 */
#include "pass.h"
#include "base/base_half.h"
#include <string.h>

#define KEPT_LEAST 65536 /* bytes of a matrix that is kept as it is */

static nib_status no_memory(pass_context *ctx) { return base_error_set(ctx->err, NIB_OUT_OF_MEMORY, "out of memory while optimizing"); }

/* Scalars of activations, which the file's type has rounded: the passes know them by their first five digits, and the model was trained
 * with them as they are. */
static const float known[] = {0.044715f, 0.79788456f, 1.41421356f, 0.70710678f, 1.702f, 0.035677408f};

static float as_meant(nib_dtype type, uint16_t bits, float x) {
    for (size_t i = 0; i < BASE_COUNT(known); i++)
        if (bits == (type == NIB_DTYPE_F16 ? base_f32_to_f16(known[i]) : base_f32_to_bf16(known[i]))) return known[i];
    return x;
}

static nib_status widen_tensor(pass_context *ctx, graph_tensor *t) {
    if (!base_is_half(t->dtype)) return NIB_OK;
    size_t n = t->bytes / sizeof(uint16_t), bytes;
    float *to = base_mul_size(n, sizeof *to, &bytes) ? base_arena_alloc(ctx->g->arena, bytes + 1) : NULL;
    if (!to) return no_memory(ctx);
    base_widen(t->dtype, t->data, n, to);
    if (n == 1) {
        uint16_t h;
        memcpy(&h, t->data, sizeof h);
        to[0] = as_meant(t->dtype, h, to[0]);
    }
    t->dtype = NIB_DTYPE_F32;
    t->bytes = bytes;
    t->data = to;
    return NIB_OK;
}

static void widen_type(graph_type *t) {
    if (base_is_half(t->dtype)) t->dtype = NIB_DTYPE_F32;
}

static nib_status widen_graph(pass_context *ctx, graph *g);

/* An attribute that names a type names f32; a tensor becomes one; bodies. */
static nib_status widen_attr(pass_context *ctx, graph_attr *a) {
    static const char *const types[] = {"to", "dtype", "output_dtype"};
    nib_status status = NIB_OK;
    switch (a->kind) {
    case GRAPH_ATTR_INT:
        for (size_t i = 0; i < BASE_COUNT(types); i++)
            if (strcmp(a->name, types[i]) == 0 && base_is_half((nib_dtype)a->u.i)) a->u.i = NIB_DTYPE_F32;
        break;
    case GRAPH_ATTR_TENSOR: {
        graph_tensor *copy = base_arena_alloc(ctx->g->arena, sizeof *copy); /* the source's graph has it, too */
        if (!copy) return no_memory(ctx);
        *copy = *a->u.tensor;
        a->u.tensor = copy;
        status = widen_tensor(ctx, copy);
        break;
    }
    case GRAPH_ATTR_TYPE: {
        graph_type *copy = base_arena_alloc(ctx->g->arena, sizeof *copy);
        if (!copy) return no_memory(ctx);
        *copy = *a->u.type;
        widen_type(copy);
        a->u.type = copy;
        break;
    }
    case GRAPH_ATTR_GRAPH: status = widen_graph(ctx, a->u.graph); break;
    case GRAPH_ATTR_GRAPHS:
        for (size_t k = 0; k < a->count && status == NIB_OK; k++) status = widen_graph(ctx, a->u.graphs[k]);
        break;
    default: break;
    }
    return status;
}

static nib_status widen_input(pass_context *ctx, graph *g, graph_value *v) {
    if (g->parent) return widen_type(&v->type), NIB_OK;
    if (!base_is_half(v->type.dtype) || v->type.kind != GRAPH_KIND_TENSOR) return NIB_OK;
    graph_value *none = NULL, *y = pass_emit(ctx, g->first, "", "Cast", &none, 1, v->name);
    if (!y || graph_set_int(y->producer, "to", NIB_DTYPE_F32) != NIB_OK) return no_memory(ctx);
    y->type = v->type;
    widen_type(&y->type);
    graph_replace_uses(g, v, y);
    graph_set_input(y->producer, 0, v);
    return NIB_OK;
}

/* Whether v is nothing but a weight of products and a table of rows, perhaps through a Cast or a Transpose. */
static bool is_weight(const graph *g, const graph_value *v, int depth) {
    if (v->is_output || depth > 3) return false;
    for (const graph_use *u = v->uses; u; u = u->next) {
        const graph_node *n = u->node;
        bool product = graph_is_op(n, "", "MatMul") || graph_is_op(n, "", "Gemm");
        if (n->owner != g) return false;
        if (graph_is_op(n, "", "Transpose")) {
            if (!is_weight(g, n->outputs[0], depth + 1)) return false;
        } else if (graph_is_op(n, "", "Cast")) {
            if (!op_is_weight_type((nib_dtype)graph_attr_int(n, "to", 0)) || !is_weight(g, n->outputs[0], depth + 1)) return false;
        } else if (!(product && u->index == 1) && !op_is_linear_weight(n, u->index) &&
                   !(graph_is_op(n, "nib", "Embed") && u->index % 2 == 1) &&
                   !(graph_is_op(n, "", "Gather") && u->index == 0 && graph_attr_int(n, "axis", 0) == 0)) {
            return false;
        }
    }
    return true;
}

static bool could_be_kept(const graph_tensor *t) { return base_is_half(t->dtype) && t->rank == 2 && t->bytes >= KEPT_LEAST; }

/* Puts a Cast behind a weight, before whatever reads it and does not widen it itself. */
static nib_status keep(pass_context *ctx, graph *g, graph_value *v) {
    graph_value *wide = NULL;
    for (graph_use *u = v->uses, *next; u; u = next) {
        next = u->next;
        if (graph_is_op(u->node, "", "Cast") || graph_is_op(u->node, "nib", "Linear") || graph_is_op(u->node, "nib", "Embed")) continue;
        if (!wide) {
            graph_value *none = NULL;
            wide = pass_emit(ctx, g->first, "", "Cast", &none, 1, v->name);
            if (!wide || graph_set_int(wide->producer, "to", NIB_DTYPE_F32) != NIB_OK) return no_memory(ctx);
            wide->type = v->type;
            widen_type(&wide->type);
        }
        graph_set_input(u->node, u->index, wide);
    }
    if (wide) graph_set_input(wide->producer, 0, v);
    ctx->kept_half = true;
    return NIB_OK;
}

static nib_status widen_graph(pass_context *ctx, graph *g) {
    nib_status status = NIB_OK;
    for (int i = 0; i < g->n_constants; i++) {
        if (!g->parent && could_be_kept(g->constants[i]->constant) && is_weight(g, g->constants[i], 0)) {
            NIB_TRY(keep(ctx, g, g->constants[i]));
            continue;
        }
        NIB_TRY(widen_tensor(ctx, g->constants[i]->constant));
        widen_type(&g->constants[i]->type);
    }
    for (graph_node *n = g->first; n; n = n->next) {
        for (int i = 0; i < n->n_attrs; i++) NIB_TRY(widen_attr(ctx, &n->attrs[i]));
        for (int i = 0; i < n->n_outputs; i++)
            if (n->outputs[i]) widen_type(&n->outputs[i]->type);
    }
    for (int i = 0; i < g->n_inputs; i++) NIB_TRY(widen_input(ctx, g, g->inputs[i]));
fail:
    return status;
}

/* Whether there is anything to widen, and nothing that another type would change: an operator that nobody knows, or one that looks at
 * bits. *why names the latter. */
static bool is_wanted(const graph *g, const char **why) {
    bool any = false;
    for (int i = 0; i < g->n_constants; i++) any |= base_is_half(g->constants[i]->constant->dtype);
    for (int i = 0; i < g->n_inputs; i++) any |= base_is_half(g->inputs[i]->type.dtype);
    for (const graph_node *n = g->first; n; n = n->next) {
        for (int i = 0; i < n->n_outputs; i++) any |= n->outputs[i] && base_is_half(n->outputs[i]->type.dtype);
        if (!n->meaning || strcmp(n->op, "BitCast") == 0) *why = n->op;
        for (graph_bodies b = {.node = n}; graph_next_body(&b);) any |= is_wanted(b.body, why);
    }
    return any;
}

nib_status pass_widen(pass_context *ctx) {
    nib_status status = NIB_OK;
    const char *why = NULL;
    if (!is_wanted(ctx->g, &why)) return NIB_OK;
    if (why) return pass_note(ctx, "half precision is kept: %s might not compute the same in f32", why), NIB_OK;
    NIB_TRY(widen_graph(ctx, ctx->g));
    NIB_TRY(op_infer_graph(ctx->g, ctx->err));
    pass_note(ctx, "half precision is computed in f32");
    ctx->changes++;
fail:
    return status;
}

bool pass_is_kept(const pass_context *ctx, const graph_node *n) {
    if (!ctx->kept_half || ctx->fused || !graph_is_op(n, "", "Cast") || graph_attr_int(n, "to", 0) != NIB_DTYPE_F32) return false;
    const graph_value *v = n->inputs[0].value;
    return v && v->constant && could_be_kept(v->constant);
}

graph_value *pass_behind_widening(const pass_context *ctx, graph_value *v) {
    return v && v->producer && pass_is_kept(ctx, v->producer) ? v->producer->inputs[0].value : v;
}

nib_status pass_widen_kept(pass_context *ctx, graph_node *cast) {
    nib_status status = NIB_OK;
    graph_tensor t = *cast->inputs[0].value->constant;
    NIB_TRY(widen_tensor(ctx, &t));
    graph_value *v = graph_add_constant(ctx->g, cast->outputs[0]->name, &t, false);
    if (!v) return no_memory(ctx);
    graph_replace_uses(ctx->g, cast->outputs[0], v);
    ctx->changes++;
fail:
    return status;
}

nib_status pass_widen_rest(pass_context *ctx) {
    nib_status status = NIB_OK;
    if (!ctx->kept_half) return NIB_OK;
    for (graph_node *n = ctx->g->first; n; n = n->next)
        if (pass_is_kept(ctx, n) && n->outputs[0]->uses) NIB_TRY(pass_widen_kept(ctx, n));
    NIB_TRY(pass_clean(ctx));
fail:
    return status;
}
