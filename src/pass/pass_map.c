/* SPDX-License-Identifier: Apache-2.0
 *
 * Element-wise operators. In: Add, Mul, Erf, Clip and others (kernel_map.h) on f32, one after the other, on values of one
 * shape. Out: one nib.Map, whose steps never leave the first cache; behind a Conv whose output nobody else reads, a part of
 * it (nib.Conv). For graphs that nib runs itself.
 */
#include "op/op_map.h"
#include "pass.h"
#include <math.h>
#include <string.h>

enum { MOST_NODES = KERNEL_MAP_STEPS };

typedef struct map_group {
    graph_node *nodes[MOST_NODES]; /* the root first, each before those that it reads */
    int n_nodes;
    graph_value *inputs[KERNEL_MAP_INPUTS];
    int n_inputs;
    kernel_map map;
    graph_value *values[MOST_NODES];  /* of instructions */
    graph_value *inverse[MOST_NODES]; /* of nodes: 1 / c of a Div by a number; else NULL */
    bool fits;
} map_group;

/* ---- one node */

static bool scalar(const graph_node *n, int i, double otherwise, float *out) {
    double x = otherwise;
    if (i < n->n_inputs && n->inputs[i].value && !graph_scalar(n->inputs[i].value, &x)) return false;
    return *out = (float)x, true;
}

/* The function of n with its parameters; false: it is none, or of other types. */
static bool function_of(const graph_node *n, kernel_map_step *s) {
    const int f = n->meaning ? op_map_function(n) : -1;
    const graph_value *y = n->n_outputs == 1 ? n->outputs[0] : NULL;
    const bool clip = f == KERNEL_MAP_CLIP;
    *s = (kernel_map_step){.function = (uint8_t)f};
    if (f < 0 || !y || y->type.kind != GRAPH_KIND_TENSOR || y->type.dtype != NIB_DTYPE_F32 || y->type.rank < 0) return false;
    for (int i = 0; i < (clip ? 1 : n->n_inputs); i++) {
        const graph_value *x = n->inputs[i].value;
        if (!x || x->type.dtype != NIB_DTYPE_F32 || x->type.rank < 0 || x->packed) return false;
    }
    const int version = graph_opset_version(n->owner, "");
    switch (f) {
    case KERNEL_MAP_ADD:
    case KERNEL_MAP_SUB:
    case KERNEL_MAP_MUL:
    case KERNEL_MAP_DIV: return n->n_inputs == 2 && version >= 7; /* they broadcast as Map does */
    case KERNEL_MAP_MIN:
    case KERNEL_MAP_MAX: return n->n_inputs == 2 && version >= 8;
    case KERNEL_MAP_GELU: return strcmp(graph_attr_string(n, "approximate", "none"), "none") == 0;
    case KERNEL_MAP_HARD_SIGMOID: s->p = graph_attr_float(n, "alpha", 0.2f), s->q = graph_attr_float(n, "beta", 0.5f); return true;
    case KERNEL_MAP_LEAKY_RELU: s->p = graph_attr_float(n, "alpha", 0.01f); return true;
    case KERNEL_MAP_ELU: s->p = graph_attr_float(n, "alpha", 1.0f); return true;
    case KERNEL_MAP_CLIP:
        if (version >= 11) return scalar(n, 1, -INFINITY, &s->p) && scalar(n, 2, INFINITY, &s->q);
        s->p = graph_attr_float(n, "min", -INFINITY), s->q = graph_attr_float(n, "max", INFINITY);
        return true;
    default: return true;
    }
}

/* Pow by a number that needs no logarithm: 2, 3 or a half. */
static bool power_of(const graph_node *n, double *e) {
    if (!graph_is_op(n, "", "Pow") || n->n_inputs != 2 || !n->outputs[0] || n->outputs[0]->type.dtype != NIB_DTYPE_F32) return false;
    const graph_value *x = n->inputs[0].value, *by = n->inputs[1].value;
    if (!x || !by || x->type.dtype != NIB_DTYPE_F32 || x->type.rank < 0 || by->type.rank > x->type.rank || !graph_scalar(by, e))
        return false;
    return *e == 2 || *e == 3 || *e == 0.5;
}

static bool is_mappable(const graph_node *n) {
    kernel_map_step s;
    double e;
    return function_of(n, &s) || power_of(n, &e);
}

static bool same_shape(const graph_value *a, const graph_value *b) {
    if (a->type.rank != b->type.rank) return false;
    for (int i = 0; i < a->type.rank; i++)
        if (!a->type.dims[i] || a->type.dims[i] != b->type.dims[i]) return false;
    return true;
}

/* ---- a group */

static int index_of(graph_node *const *nodes, int n, const graph_node *node) {
    for (int i = 0; i < n; i++)
        if (nodes[i] == node) return i;
    return -1;
}

/* Whether all that read v are in the group. */
static bool is_inner(const map_group *m, const graph_value *v) {
    if (v->is_output) return false;
    for (const graph_use *u = v->uses; u; u = u->next)
        if (index_of(m->nodes, m->n_nodes, u->node) < 0) return false;
    return v->use_count > 0;
}

/* Values that the group reads from outside, each once. */
static int outer_inputs(const map_group *m) {
    const graph_value *seen[MOST_NODES * 2];
    int count = 0;
    for (int i = 0; i < m->n_nodes; i++)
        for (int k = 0; k < m->nodes[i]->n_inputs && k < 2; k++) {
            const graph_value *v = m->nodes[i]->inputs[k].value;
            bool known = !v || (v->producer && index_of(m->nodes, m->n_nodes, v->producer) >= 0);
            for (int j = 0; j < count; j++) known |= seen[j] == v;
            if (!known) seen[count++] = v;
        }
    return count;
}

/* The root with everything above it that only the group reads and that has its shape, as long as registers are enough. */
static void collect(map_group *m, graph_node *root) {
    const graph_value *y = root->outputs[0];
    m->nodes[m->n_nodes++] = root;
    for (bool grown = true; grown;) {
        grown = false;
        for (int i = 0; i < m->n_nodes; i++) {
            const graph_node *n = m->nodes[i];
            for (int k = 0; k < n->n_inputs && m->n_nodes < MOST_NODES; k++) {
                const graph_value *v = n->inputs[k].value;
                graph_node *above = v ? v->producer : NULL;
                if (!above || above->owner != root->owner || index_of(m->nodes, m->n_nodes, above) >= 0) continue;
                if (!is_mappable(above) || !same_shape(v, y) || !is_inner(m, v)) continue;
                m->nodes[m->n_nodes++] = above;
                if (outer_inputs(m) > KERNEL_MAP_INPUTS) m->n_nodes--;
                else grown = true;
            }
        }
    }
}

static int input_at(map_group *m, graph_value *v) {
    for (int i = 0; i < m->n_inputs; i++)
        if (m->inputs[i] == v) return i;
    if (m->n_inputs == KERNEL_MAP_INPUTS) return m->fits = false, 0;
    m->inputs[m->n_inputs++] = v;
    return m->n_inputs - 1;
}

/* x / c as x (1 / c), where both are ordinary numbers: a division takes as long as ten products. NULL: it stays. */
static graph_value *inverse_of(const graph_node *n) {
    double c;
    if (!graph_is_op(n, "", "Div") || !n->inputs[1].value->constant || !graph_scalar(n->inputs[1].value, &c)) return NULL;
    if (n->inputs[1].value->type.rank > n->outputs[0]->type.rank) return NULL;
    return fabs(c) > 1e-30 && fabs(c) < 1e30 ? graph_const_f32(n->owner, n->inputs[1].value->name, (float)(1 / c)) : NULL;
}

/* Inputs first, so that the numbers of registers are known. */
static void find_inputs(map_group *m) {
    for (int i = 0; i < m->n_nodes; i++) {
        const graph_node *n = m->nodes[i];
        double e;
        if ((m->inverse[i] = inverse_of(n))) input_at(m, m->inverse[i]);
        const int reads = graph_is_op(n, "", "Clip") || power_of(n, &e) || m->inverse[i] ? 1 : n->n_inputs;
        for (int k = 0; k < reads; k++) {
            graph_value *v = n->inputs[k].value;
            if (!v->producer || index_of(m->nodes, m->n_nodes, v->producer) < 0) input_at(m, v);
        }
    }
}

static int register_of(map_group *m, graph_value *v);

static int put(map_group *m, kernel_map_step s) {
    if (m->map.steps == KERNEL_MAP_STEPS) return m->fits = false, 0;
    m->map.step[m->map.steps++] = s;
    return m->n_inputs + m->map.steps - 1;
}

/* Emits n after what it reads; the depth is that of the group. */
static int emit(map_group *m, int node) {
    const graph_node *n = m->nodes[node];
    kernel_map_step s;
    double e;
    if (m->inverse[node])
        return put(m, (kernel_map_step){.function = KERNEL_MAP_MUL,
                                        .a = (uint8_t)register_of(m, n->inputs[0].value),
                                        .b = (uint8_t)input_at(m, m->inverse[node])});
    if (power_of(n, &e)) {
        const uint8_t x = (uint8_t)register_of(m, n->inputs[0].value);
        const int y = put(m, (kernel_map_step){.function = e == 0.5 ? KERNEL_MAP_SQRT : KERNEL_MAP_MUL, .a = x, .b = x});
        return e == 3 ? put(m, (kernel_map_step){.function = KERNEL_MAP_MUL, .a = (uint8_t)y, .b = x}) : y;
    }
    if (!function_of(n, &s)) return m->fits = false, 0;
    s.a = (uint8_t)register_of(m, n->inputs[0].value);
    s.b = n->n_inputs > 1 && s.function != KERNEL_MAP_CLIP ? (uint8_t)register_of(m, n->inputs[1].value) : s.a;
    return put(m, s);
}

static int register_of(map_group *m, graph_value *v) {
    const int i = v->producer ? index_of(m->nodes, m->n_nodes, v->producer) : -1;
    if (i < 0) return input_at(m, v);
    for (int k = 0; k < m->map.steps; k++)
        if (m->values[k] == v) return m->n_inputs + k;
    const int at = emit(m, i);
    if (m->fits && at >= m->n_inputs) m->values[at - m->n_inputs] = v;
    return at;
}

/* ---- GELU in its long form, x / 2 (1 + erf(x / sqrt 2)), however it is put together */

static const kernel_map_step *step_of(const map_group *m, int r) { return r < m->n_inputs ? NULL : &m->map.step[r - m->n_inputs]; }

static bool is_number(const map_group *m, int r, double want) {
    double x;
    return r < m->n_inputs && m->inputs[r]->constant && graph_scalar(m->inputs[r], &x) && fabs(x - want) < 1e-5 * want;
}

/* Whether r is 1 + erf(x / sqrt 2), of which x. */
static bool is_tail(const map_group *m, int r, int *x) {
    const kernel_map_step *sum = step_of(m, r);
    for (int side = 0; sum && sum->function == KERNEL_MAP_ADD && side < 2; side++) {
        const kernel_map_step *e = step_of(m, side ? sum->b : sum->a);
        const kernel_map_step *p = e && e->function == KERNEL_MAP_ERF ? step_of(m, e->a) : NULL;
        if (!p || p->function != KERNEL_MAP_MUL || !is_number(m, side ? sum->a : sum->b, 1)) continue;
        if (is_number(m, p->a, 0.70710678)) return *x = p->b, true;
        if (is_number(m, p->b, 0.70710678)) return *x = p->a, true;
    }
    return false;
}

/* Whether the product of these three is a GELU of x. */
static bool is_gelu(const map_group *m, const int factor[3], int *x) {
    for (int t = 0; t < 3; t++) {
        const int a = factor[(t + 1) % 3], b = factor[(t + 2) % 3];
        if (!is_tail(m, factor[t], x)) continue;
        if ((a == *x && is_number(m, b, 0.5)) || (b == *x && is_number(m, a, 0.5))) return true;
    }
    return false;
}

static void find_gelu(map_group *m) {
    for (int i = 0; i < m->map.steps; i++) {
        kernel_map_step *s = &m->map.step[i];
        int x;
        for (int side = 0; s->function == KERNEL_MAP_MUL && side < 2; side++) {
            const kernel_map_step *inner = step_of(m, side ? s->b : s->a);
            if (!inner || inner->function != KERNEL_MAP_MUL) continue;
            if (!is_gelu(m, (const int[3]){inner->a, inner->b, side ? s->a : s->b}, &x)) continue;
            *s = (kernel_map_step){.function = KERNEL_MAP_GELU, .a = (uint8_t)x, .b = (uint8_t)x};
        }
    }
}

/* Leaves out instructions whose register nobody reads any more, and inputs that none does. */
static void leave_out(map_group *m) {
    enum { ALL = KERNEL_MAP_INPUTS + KERNEL_MAP_STEPS };
    bool used[ALL] = {false};
    int to[ALL], steps = 0, inputs = 0;
    const int total = m->n_inputs + m->map.steps;
    used[total - 1] = true;
    for (int r = total - 1; r >= m->n_inputs; r--)
        if (used[r]) used[step_of(m, r)->a] = used[step_of(m, r)->b] = true;
    for (int r = 0; r < m->n_inputs; r++) {
        to[r] = inputs;
        if (used[r]) m->inputs[inputs++] = m->inputs[r];
    }
    for (int r = m->n_inputs; r < total; r++) {
        to[r] = inputs + steps;
        if (!used[r]) continue;
        kernel_map_step s = *step_of(m, r);
        s.a = (uint8_t)to[s.a], s.b = (uint8_t)to[s.b];
        m->map.step[steps++] = s;
    }
    m->n_inputs = inputs;
    m->map.steps = steps;
}

/* ---- in place of the group */

/* The Conv whose output is input 0 of the program alone, as large as the result; NULL: there is none. */
static graph_node *conv_before(const map_group *m, const graph_value *y, int *input) {
    for (int i = 0; i < m->n_inputs; i++) {
        const graph_value *v = m->inputs[i];
        graph_node *c = v->producer;
        if (!graph_is_op(c, "", "Conv") || c->owner != y->owner || v->is_output || !same_shape(v, y) || v->type.rank < 3) continue;
        if (c->n_inputs < 2 || !c->inputs[1].value || !c->inputs[1].value->constant) continue;
        if (!is_inner(m, v)) continue;
        return *input = i, c;
    }
    return NULL;
}

/* Whether a convolution can read v row by row: as large as its output, one number, or one for each channel. */
static bool fits_conv(const graph_value *v, const graph_value *y) {
    int64_t d;
    if (same_shape(v, y)) return true;
    const int spatial = y->type.rank - 2;
    for (int i = 0; i < v->type.rank; i++) {
        const bool one = graph_dim_is_const(v->type.dims[i], &d) && d == 1;
        if (!one && (i >= v->type.rank - spatial || v->type.rank != y->type.rank || v->type.dims[i] != y->type.dims[i])) return false;
    }
    return v->type.rank <= y->type.rank;
}

static void swap_registers(kernel_map *map, int a, int b) {
    for (int i = 0; i < map->steps; i++) {
        uint8_t *const r[2] = {&map->step[i].a, &map->step[i].b};
        for (int k = 0; k < 2; k++) *r[k] = (uint8_t)(*r[k] == a ? b : *r[k] == b ? a : *r[k]);
    }
}

static nib_status copy_attributes(graph_node *to, const graph_node *from) {
    nib_status status = NIB_OK;
    for (int i = 0; i < from->n_attrs && status == NIB_OK; i++) status = graph_set_attr(to, &from->attrs[i]);
    return status;
}

static nib_status replace(pass_context *ctx, map_group *m, graph_node *root) {
    nib_status status = NIB_OK;
    graph_value *y = root->outputs[0], *in[OP_CONV_OPERANDS + KERNEL_MAP_INPUTS] = {NULL}, *out;
    int first = 0, n = 0;
    graph_node *conv = conv_before(m, y, &first);
    for (int i = 0; conv && i < m->n_inputs; i++)
        if (i != first && !fits_conv(m->inputs[i], y)) conv = NULL;
    if (conv) {
        for (; n < OP_CONV_OPERANDS; n++) in[n] = n < conv->n_inputs ? conv->inputs[n].value : NULL;
        if (first) {
            swap_registers(&m->map, 0, first);
            m->inputs[first] = m->inputs[0];
        }
    }
    for (int i = conv ? 1 : 0; i < m->n_inputs; i++) in[n++] = m->inputs[i];
    if (!conv && n == 0) return NIB_OK;
    while (conv && n > 2 && !in[n - 1]) n--;
    out = graph_emit(ctx->g, root, "nib", conv ? "Conv" : "Map", in, n, y->name);
    m->map.inputs = m->n_inputs;
    if (!out || (conv && copy_attributes(out->producer, conv) != NIB_OK) || op_map_set(out->producer, &m->map) != NIB_OK)
        NIB_FAIL(ctx->err, NIB_OUT_OF_MEMORY, "out of memory while optimizing");
    out->producer->meaning = op_find("nib", out->producer->op, 1);
    NIB_TRY(op_infer_node(ctx->g, out->producer, ctx->err));
    NIB_TRY(pass_replace(ctx, y, out));
    for (int i = 0; i < m->n_nodes; i++) graph_remove_node(ctx->g, m->nodes[i]);
    if (conv) graph_remove_node(ctx->g, conv);
    ctx->changes++;
fail:
    return status;
}

nib_status pass_map(pass_context *ctx) {
    nib_status status = NIB_OK;
    for (graph_node *n = ctx->g->last, *before; n; n = before) {
        map_group m = {.fits = true};
        before = n->prev;
        if (!is_mappable(n)) continue;
        collect(&m, n);
        while (before && index_of(m.nodes, m.n_nodes, before) >= 0) before = before->prev; /* gone with the group */
        find_inputs(&m);
        if (!m.fits) continue;
        emit(&m, 0);
        if (m.fits) find_gelu(&m);
        if (m.fits) leave_out(&m);
        if (m.fits) NIB_TRY(replace(ctx, &m, n));
    }
fail:
    return status;
}
