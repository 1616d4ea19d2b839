/* SPDX-License-Identifier: Apache-2.0
 *
 * What passes ask of values: equal shapes, integers that are known, parts of columns, and what is computed from what.
 */
#include "pass.h"

bool pass_same_dims(const graph_type *a, const graph_type *b) {
    if (a->rank < 0 || a->rank != b->rank) return false;
    for (int i = 0; i < a->rank; i++)
        if (!a->dims[i] || a->dims[i] != b->dims[i]) return false;
    return true;
}

bool pass_same_shape(const graph_value *a, const graph_value *b) { return pass_same_dims(&a->type, &b->type); }

bool pass_int_at(const graph_value *v, int i, int64_t *out) {
    return v && v->data && v->data_count > i && v->data[i] && graph_dim_is_const(v->data[i], out);
}

graph_value *pass_columns_of(const graph_value *v, int64_t *first) {
    const graph_node *n = v->producer;
    int64_t axis, width, step = 1;
    *first = 0;
    if (graph_is_op(n, "", "Split") && pass_is_last_axis(n->inputs[0].value, graph_attr_int(n, "axis", 0))) {
        for (int i = 0; i < v->producer_index; i++) {
            if (!n->outputs[i] || !pass_width(n->outputs[i], &width)) return NULL;
            *first += width;
        }
        return n->inputs[0].value;
    }
    if (!graph_is_op(n, "", "Slice") || n->n_inputs < 4 || (n->inputs[1].value && n->inputs[1].value->data_count != 1)) return NULL;
    if (n->n_inputs > 4 && n->inputs[4].value && (!pass_int_at(n->inputs[4].value, 0, &step) || step != 1)) return NULL;
    if (!pass_int_at(n->inputs[1].value, 0, first) || !pass_int_at(n->inputs[3].value, 0, &axis) ||
        !pass_is_last_axis(n->inputs[0].value, axis))
        return NULL;
    if (*first < 0 && pass_width(n->inputs[0].value, &width)) *first += width;
    return n->inputs[0].value;
}

/* ---------------------------------------------------------------- what is computed from what */

typedef struct marking {
    const graph *g;
    const uint8_t *marked;
    bool reads;
} marking;

static void note_marked(void *user, graph_value *v) {
    marking *m = user;
    if (v->owner == m->g && m->marked[v->id]) m->reads = true;
}

void pass_mark_computed(const graph *g, uint8_t *marked, const graph_value *until) {
    for (const graph_node *n = g->first; n && !(until && marked[until->id]); n = n->next) {
        marking m = {g, marked, false};
        for (int i = 0; i < n->n_inputs && !m.reads; i++) m.reads = n->inputs[i].value && marked[n->inputs[i].value->id];
        graph_each_capture(n, note_marked, &m);
        for (int i = 0; i < n->n_outputs; i++)
            if (m.reads && n->outputs[i]) marked[n->outputs[i]->id] = 1;
    }
}

bool pass_needs(pass_context *ctx, const graph_value *v, const graph_value *of) {
    const graph *g = ctx->g;
    if (v == of) return true;
    if (!v->producer) return false;
    uint8_t *reached = base_calloc(g->heap, (size_t)g->value_limit + 1, 1); /* by value id, in the order of the nodes */
    if (!reached) return true;                                              /* the answer that changes nothing */
    reached[of->id] = 1;
    pass_mark_computed(g, reached, v);
    bool found = reached[v->id] != 0;
    base_free(g->heap, reached);
    return found;
}

static bool is_small_integer(int64_t t) { return t == NIB_DTYPE_I8 || t == NIB_DTYPE_U8 || t == NIB_DTYPE_I4 || t == NIB_DTYPE_U4; }

bool pass_rounds(const graph_node *n) {
    static const struct {
        const char *domain, *op;
    } ops[] = {{"", "DynamicQuantizeLinear"},
               {"", "QuantizeLinear"},
               {"", "Round"},
               {"com.microsoft", "QuantizeLinear"},
               {"com.microsoft", "DynamicQuantizeMatMul"}};
    const graph_value *x = pass_input(n, 0);
    const nib_dtype type = x ? x->type.dtype : NIB_DTYPE_BOOL;
    if (type != NIB_DTYPE_F32 && type != NIB_DTYPE_F64 && type != NIB_DTYPE_F16 && type != NIB_DTYPE_BF16) return false;
    for (size_t i = 0; i < BASE_COUNT(ops); i++)
        if (graph_is_op(n, ops[i].domain, ops[i].op)) return true;
    return graph_is_op(n, "", "Cast") && is_small_integer(graph_attr_int(n, "to", 0));
}
