/* SPDX-License-Identifier: Apache-2.0
 *
 * f32 -> f16. In: a graph of standard operators whose values' ranges were measured. Out: the same graph, in which every node
 * that pass_half_choose.c lets go computes in f16, with Casts where it meets one that does not. Inputs and outputs of the graph
 * stay f32. A node keeps its place, its name and its attributes; only the types of what it reads and writes change.
 *
 * Weights become f16 once, rounded to the nearest, ties to even.
 */
#include "pass_half.h"
#include "base/base_half.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct half_weights { /* what rounding did */
    uint64_t all, subnormal, zero;
} half_weights;

static nib_status no_memory(pass_context *ctx) { return base_error_set(ctx->err, NIB_OUT_OF_MEMORY, "out of memory while optimizing"); }

static nib_status to_half(pass_context *ctx, const graph_tensor *from, graph_tensor *to, half_weights *w) {
    size_t n = from->bytes / sizeof(float);
    uint16_t *data = base_arena_alloc(ctx->g->arena, n * sizeof *data + 1);
    if (!data) return no_memory(ctx);
    for (size_t i = 0; i < n; i++) {
        float x;
        memcpy(&x, (const uint8_t *)from->data + i * sizeof x, sizeof x);
        data[i] = base_f32_to_f16(x);
        w->all++;
        w->subnormal += x != 0 && fabsf(x) < PASS_HALF_NORMAL;
        w->zero += x != 0 && (data[i] & 0x7fff) == 0;
    }
    *to = *from;
    to->dtype = NIB_DTYPE_F16;
    to->bytes = n * sizeof *data;
    to->data = data;
    return NIB_OK;
}

/* ---------------------------------------------------------------- inputs */

static bool reads_half(const half_choice *h, const graph_use *u) {
    const graph_node *n = u->node;
    return n->owner == h->ctx->g && n->id < h->n_nodes && h->why[n->id] == HALF_IS && h->forms[n->id]->inputs >> (u->index & 31) & 1;
}

static nib_status half_constant(half_choice *h, graph_value *v, half_weights *w, graph_value **out) {
    nib_status status = NIB_OK;
    graph_tensor t;
    bool all = !v->is_output;
    for (const graph_use *u = v->uses; u; u = u->next) all &= reads_half(h, u);
    NIB_TRY(to_half(h->ctx, v->constant, &t, w));
    if (all) {
        *v->constant = t;
        v->type.dtype = NIB_DTYPE_F16;
        *out = v;
        return NIB_OK;
    }
    *out = graph_add_constant(h->ctx->g, v->name, &t, false);
    if (!*out) return no_memory(h->ctx);
    graph_value *other = *out;
    for (graph_use *u = v->uses, *next; u; u = next) {
        next = u->next;
        if (reads_half(h, u)) graph_set_input(u->node, u->index, other);
    }
fail:
    return status;
}

static graph_value *cast(half_choice *h, graph_node *before, graph_value *v, nib_dtype to) {
    graph_value *y = pass_emit(h->ctx, before, "", "Cast", &v, 1, v->name);
    if (!y || graph_set_int(y->producer, "to", to) != NIB_OK) return NULL;
    y->type = v->type;
    y->type.dtype = to;
    return y;
}

/* The f16 form of a value that is f32: what it was cast from, a Cast that is there, or a new one behind whatever makes it. */
static nib_status half_of(half_choice *h, graph_value *v, graph_value **out) {
    graph *g = h->ctx->g;
    const graph_node *p = v->producer;
    if (graph_is_op(p, "", "Cast") && p->inputs[0].value->type.dtype == NIB_DTYPE_F16) return *out = p->inputs[0].value, NIB_OK;
    for (graph_use *u = v->uses; u; u = u->next)
        if (graph_is_op(u->node, "", "Cast") && u->node->owner == g && u->node->outputs[0]->type.dtype == NIB_DTYPE_F16) {
            graph_move_before(u->node, p ? p->next : g->first); /* the file's own may stand behind this reader */
            return *out = u->node->outputs[0], NIB_OK;
        }
    *out = cast(h, p ? p->next : g->first, v, NIB_DTYPE_F16);
    return *out ? NIB_OK : no_memory(h->ctx);
}

/* ---------------------------------------------------------------- nodes */

/* What the node's attributes say of types. */
static nib_status convert_attrs(half_choice *h, graph_node *n, half_weights *w) {
    if (graph_is_op(n, "", "Cast")) return graph_set_int(n, "to", NIB_DTYPE_F16) == NIB_OK ? NIB_OK : no_memory(h->ctx);
    const float least = graph_attr_float(n, "mask_filter_value", 0);
    if (least < -PASS_HALF_LARGEST && graph_set_float(n, "mask_filter_value", -PASS_HALF_LIMIT) != NIB_OK) return no_memory(h->ctx);
    if (!graph_is_op(n, "", "ConstantOfShape")) return NIB_OK;
    const graph_attr *a = graph_find_attr(n, "value");
    float zero = 0;
    graph_tensor none = {.dtype = NIB_DTYPE_F32, .rank = 1, .dims = {1}, .bytes = sizeof zero, .data = &zero};
    graph_tensor *t = base_arena_alloc(h->ctx->g->arena, sizeof *t);
    nib_status status = t ? to_half(h->ctx, a ? a->u.tensor : &none, t, w) : no_memory(h->ctx);
    if (status == NIB_OK && graph_set_attr(n, &(graph_attr){.name = "value", .kind = GRAPH_ATTR_TENSOR, .u.tensor = t}) != NIB_OK)
        status = no_memory(h->ctx);
    return status;
}

/* Everyone who reads output v, which is f16 now, gets it as f32; those that are f16 themselves take it back. */
static nib_status give_back(half_choice *h, graph_node *n, graph_value *v) {
    v->type.dtype = NIB_DTYPE_F16;
    if (!v->uses && !v->is_output) return NIB_OK;
    graph_value *none = NULL, *y = pass_emit(h->ctx, n->next, "", "Cast", &none, 1, v->name);
    if (!y || graph_set_int(y->producer, "to", NIB_DTYPE_F32) != NIB_OK) return no_memory(h->ctx);
    y->type = v->type;
    y->type.dtype = NIB_DTYPE_F32;
    graph_replace_uses(h->ctx->g, v, y);
    graph_set_input(y->producer, 0, v);
    return NIB_OK;
}

static nib_status convert(half_choice *h, graph_node *n, half_weights *w) {
    nib_status status = NIB_OK;
    const half_form *f = h->forms[n->id];
    for (int i = 0; i < n->n_inputs; i++) {
        graph_value *v = n->inputs[i].value, *half;
        if (!pass_half_is_f32(v) || !(f->inputs >> (i & 31) & 1)) continue;
        if (v->constant) NIB_TRY(half_constant(h, v, w, &half));
        else NIB_TRY(half_of(h, v, &half));
        graph_set_input(n, i, half);
    }
    NIB_TRY(convert_attrs(h, n, w));
    for (int i = 0; i < n->n_outputs; i++)
        if (pass_half_is_f32(n->outputs[i]) && f->outputs >> (i & 31) & 1) NIB_TRY(give_back(h, n, n->outputs[i]));
    h->ctx->changes++;
fail:
    return status;
}

/* f16 -> f32 -> f16 is what it was: the file's own Casts meet those that were put in. */
static nib_status join_casts(pass_context *ctx) {
    nib_status status = NIB_OK;
    for (graph_node *n = ctx->g->first; n; n = n->next) {
        if (!graph_is_op(n, "", "Cast") || n->outputs[0]->type.dtype != NIB_DTYPE_F16) continue;
        const graph_node *p = n->inputs[0].value->producer;
        if (!pass_half_is_f32(n->inputs[0].value) || !graph_is_op(p, "", "Cast") || p->inputs[0].value->type.dtype != NIB_DTYPE_F16)
            continue;
        NIB_TRY(pass_replace(ctx, n->outputs[0], p->inputs[0].value));
    }
fail:
    return status;
}

/* ---------------------------------------------------------------- how much of it became f16 */

static bool is_linear(const graph_node *n) {
    static const struct {
        const char *domain, *op;
    } linear[] = {{"", "MatMul"}, {"", "Gemm"}, {"com.microsoft", "FusedMatMul"}, {"com.microsoft", "Attention"}};
    for (size_t i = 0; i < BASE_COUNT(linear); i++)
        if (graph_is_op(n, linear[i].domain, linear[i].op)) return true;
    return false;
}

/* Weights of Linear layers, before anything is converted; bodies stay as they are. */
static void count_linear(half_choice *h, const graph *g) {
    pass_half_share *s = &h->ctx->half;
    for (const graph_node *n = g->first; n; n = n->next) {
        for (graph_bodies b = {.node = n}; graph_next_body(&b);) count_linear(h, b.body);
        const graph_value *w = pass_input(n, 1);
        if (!is_linear(n) || !w || !pass_half_is_f32(w) || !pass_half_is_weight(w)) continue;
        half_why why = g == h->ctx->g ? h->why[n->id] : HALF_NO_FORM;
        s->all += w->constant->bytes;
        if (why == HALF_IS) s->half += w->constant->bytes;
        else if (why == HALF_RANGE || why == HALF_SMALL || why == HALF_ROUNDED) s->guarded += w->constant->bytes;
    }
}

static void note_all(const half_choice *h, const half_weights *w) {
    int by[HALF_WHYS] = {0};
    for (const graph_node *n = h->ctx->g->first; n; n = n->next)
        if (n->id < h->n_nodes) by[h->why[n->id]]++;
    int stay = by[HALF_NO_FORM] + by[HALF_LOSES] + by[HALF_RANGE] + by[HALF_SMALL] + by[HALF_FOLLOWS] + by[HALF_BETWEEN] + by[HALF_ROUNDED];
    pass_note(h->ctx, "half: %d nodes compute in f16, %d stay f32 (%d of them around sums), and %d that count sizes and positions",
              by[HALF_IS], stay, by[HALF_LOSES] + by[HALF_FOLLOWS], by[HALF_POSITIONS]);
    pass_note(h->ctx, "half: of %llu weights %llu lie below f16's least normal number (6.1e-5) and lose digits, %llu become 0",
              (unsigned long long)w->all, (unsigned long long)w->subnormal, (unsigned long long)w->zero);
}

nib_status pass_half(pass_context *ctx, const pass_range *ranges, size_t n_ranges) {
    nib_status status = NIB_OK;
    graph *g = ctx->g;
    size_t nodes = (size_t)g->node_limit + 1, values = (size_t)g->value_limit + 1;
    half_weights w = {0};
    half_choice h = {.ctx = ctx, .ranges = ranges, .n_ranges = n_ranges};
    h.why = base_calloc(g->heap, nodes, sizeof *h.why);
    h.forms = base_calloc(g->heap, nodes, sizeof *h.forms);
    h.flags = base_calloc(g->heap, values, 1);
    h.own = base_calloc(g->heap, values, sizeof *h.own);
    if (!h.why || !h.forms || !h.flags || !h.own) NIB_FAIL(ctx->err, NIB_OUT_OF_MEMORY, "out of memory while optimizing");
    for (size_t i = 0; i < values; i++) h.own[i] = (pass_range){-1, -1};
    h.n_nodes = g->node_limit;
    NIB_TRY(pass_half_choose(&h));
    count_linear(&h, g);
    for (graph_node *n = g->first, *next; n; n = next) {
        next = n->next;
        if (n->id < h.n_nodes && h.why[n->id] == HALF_IS) NIB_TRY(convert(&h, n, &w));
    }
    note_all(&h, &w);
    NIB_TRY(join_casts(ctx));
    NIB_TRY(pass_clean(ctx));
    NIB_TRY(op_infer_graph(g, ctx->err));
fail:
    base_free(g->heap, h.why);
    base_free(g->heap, (void *)h.forms);
    base_free(g->heap, h.flags);
    base_free(g->heap, h.own);
    return status;
}
