/* SPDX-License-Identifier: Apache-2.0
 *
 * In: a graph. Out: the same graph, or some of its nodes, in an arena of its own. A value's copy is found by its name in
 * the copy of the graph that owns it, so subgraphs find the copies of the outer values they read, whatever names their own values have.
 */
#include "graph.h"
#include <string.h>

static graph_value *find(graph *g, const graph_value *v) {
    while (g && g->depth > v->owner->depth) g = g->parent;
    return g ? graph_find_value(g, v->name) : NULL;
}

static nib_status no_memory(nib_error *err) { return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for a copy of the graph"); }

static bool copy_type(graph *to, graph_value *v, const graph_value *from) {
    v->type = from->type;
    for (int i = 0; i < v->type.rank; i++) v->type.dims[i] = graph_dim_copy(to->symbols, from->type.dims[i]);
    if (!from->data) return true;
    v->data = base_arena_calloc(to->arena, from->data_count ? (size_t)from->data_count : 1, sizeof *v->data);
    for (int i = 0; v->data && i < from->data_count; i++) v->data[i] = graph_dim_copy(to->symbols, from->data[i]);
    v->data_count = from->data_count;
    return v->data != NULL;
}

static graph_value *copy_value(graph *to, const graph_value *from) {
    graph_value *v = graph_add_named(to, from->name);
    return v && copy_type(to, v, from) ? v : NULL;
}

static graph_tensor *copy_tensor(graph *to, const graph_tensor *from) { /* its bytes stay where they are */
    graph_tensor *t = base_arena_alloc(to->arena, sizeof *t);
    return t ? memcpy(t, from, sizeof *t) : NULL;
}

static nib_status copy_into(const graph *g, graph *to, nib_error *err);

static nib_status copy_attrs(const graph_node *from, graph_node *to, nib_error *err) {
    nib_status status = NIB_OK;
    for (int i = 0; i < from->n_attrs; i++) {
        graph_attr a = from->attrs[i];
        if (a.kind == GRAPH_ATTR_GRAPH) {
            NIB_TRY(graph_create_sub(to->owner, &a.u.graph, err));
            NIB_TRY(copy_into(from->attrs[i].u.graph, a.u.graph, err));
        } else if (a.kind == GRAPH_ATTR_GRAPHS) {
            graph **list = base_arena_calloc(to->owner->arena, a.count + 1, sizeof *list);
            if (!list) NIB_TRY(no_memory(err));
            for (size_t k = 0; k < a.count; k++) {
                NIB_TRY(graph_create_sub(to->owner, &list[k], err));
                NIB_TRY(copy_into(from->attrs[i].u.graphs[k], list[k], err));
            }
            a.u.graphs = list;
        }
        if (graph_set_attr(to, &a) != NIB_OK) NIB_TRY(no_memory(err));
        to->attrs[to->n_attrs - 1].ref = a.ref;
    }
fail:
    return status;
}

static nib_status copy_node(const graph_node *n, graph *to, nib_error *err) {
    graph_value **in = base_arena_calloc(to->arena, (size_t)n->n_inputs + 1, sizeof *in);
    graph_value **out = base_arena_calloc(to->arena, (size_t)n->n_outputs + 1, sizeof *out);
    if (!in || !out) return no_memory(err);
    for (int i = 0; i < n->n_inputs; i++)
        if (n->inputs[i].value && !(in[i] = find(to, n->inputs[i].value)))
            return base_error_set(err, NIB_INTERNAL, "value %s was lost in a copy", n->inputs[i].value->name);
    for (int i = 0; i < n->n_outputs; i++)
        if (n->outputs[i] && !(out[i] = copy_value(to, n->outputs[i]))) return no_memory(err);
    graph_node *copy = graph_add_node(to, NULL, n->domain, n->op, n->name, in, n->n_inputs, out, n->n_outputs);
    if (!copy) return no_memory(err);
    copy->meaning = n->meaning;
    copy->metadata = n->metadata;
    return copy_attrs(n, copy, err);
}

/* What a graph says of itself. */
static nib_status copy_head(const graph *g, graph *to, nib_error *err) {
    nib_status status = NIB_OK;
    to->name = graph_intern(to, g->name, strlen(g->name));
    to->producer = graph_intern(to, g->producer, strlen(g->producer));
    to->ir_version = g->ir_version;
    to->metadata = g->metadata;
    to->model_metadata = g->model_metadata;
    to->producer_name = g->producer_name;
    to->producer_version = g->producer_version;
    to->model_domain = g->model_domain;
    to->model_version = g->model_version;
    to->resolved = g->resolved;
    for (int i = 0; i < g->n_opsets; i++) NIB_TRY(graph_set_opset(to, g->opsets[i].domain, g->opsets[i].version, err));
fail:
    return status;
}

static nib_status copy_constant(const graph_value *from, graph *to, nib_error *err) {
    graph_value *v = graph_add_named(to, from->name);
    graph_tensor *t = copy_tensor(to, from->constant);
    if (!v || !t || graph_make_constant(to, v, t) != NIB_OK) return no_memory(err);
    v->packed = from->packed;
    v->type.quant = from->type.quant;
    return NIB_OK;
}

static nib_status copy_into(const graph *g, graph *to, nib_error *err) {
    nib_status status = NIB_OK;
    NIB_TRY(copy_head(g, to, err));
    for (int i = 0; i < g->n_inputs; i++) {
        graph_value *v = copy_value(to, g->inputs[i]);
        if (!v || graph_add_input(to, v) != NIB_OK) NIB_TRY(no_memory(err));
        if (!g->inputs[i]->preset) continue;
        v->preset = copy_tensor(to, g->inputs[i]->preset);
        if (!v->preset) NIB_TRY(no_memory(err));
    }
    for (int i = 0; i < g->n_constants; i++) NIB_TRY(copy_constant(g->constants[i], to, err));
    for (const graph_node *n = g->first; n; n = n->next) NIB_TRY(copy_node(n, to, err));
    for (int i = 0; i < g->n_outputs; i++) {
        graph_value *v = find(to, g->outputs[i]);
        if (!v || graph_add_output(to, v) != NIB_OK) NIB_TRY(no_memory(err));
    }
fail:
    return status;
}

nib_status graph_clone(const graph *g, graph **out, nib_error *err) {
    graph *copy;
    nib_status status = graph_create(g->heap, &copy, err);
    *out = NULL;
    if (status != NIB_OK) return status;
    status = copy_into(g, copy, err);
    if (status == NIB_OK) *out = copy;
    else graph_free(copy);
    return status;
}

/* ---- some of the nodes */

typedef struct extraction {
    const graph *g;
    const bool *inside; /* by node id */
    bool *read_inside, *read_outside; /* by value id: by such nodes and their bodies, by others */
    bool *now; /* one of the two */
} extraction;

static void read_by_node(void *user, graph_value *v) {
    const extraction *x = user;
    if (v->owner == x->g) x->now[v->id] = true;
}

static bool made_inside(const extraction *x, const graph_value *v) { return v->producer && x->inside[v->producer->id]; }

static nib_status copy_nodes(extraction *x, graph *to, nib_error *err) {
    nib_status status = NIB_OK;
    const graph *g = x->g;
    NIB_TRY(copy_head(g, to, err));
    for (int i = 0; i < graph_symbol_count(g->symbols); i++)
        if (!graph_dim_symbol(to->symbols, graph_symbol_name(g->symbols, i))) NIB_TRY(no_memory(err));
    for (const graph_node *n = g->first; n; n = n->next) {
        x->now = x->inside[n->id] ? x->read_inside : x->read_outside;
        for (int i = 0; i < n->n_inputs; i++)
            if (n->inputs[i].value) read_by_node(x, n->inputs[i].value);
        graph_each_capture(n, read_by_node, x);
    }
    for (int i = 0; i < g->n_outputs; i++)
        if (g->outputs[i]->owner == g) x->read_outside[g->outputs[i]->id] = true;
    for (int i = 0; i < g->n_inputs; i++) {
        graph_value *v = g->inputs[i];
        if (x->read_inside[v->id] && (!(v = copy_value(to, v)) || graph_add_input(to, v) != NIB_OK)) NIB_TRY(no_memory(err));
    }
    for (const graph_node *n = g->first; n; n = n->next)
        for (int i = 0; i < n->n_outputs && !x->inside[n->id]; i++) {
            graph_value *v = n->outputs[i];
            if (v && x->read_inside[v->id] && (!(v = copy_value(to, v)) || graph_add_input(to, v) != NIB_OK)) NIB_TRY(no_memory(err));
        }
    for (int i = 0; i < g->n_constants; i++)
        if (x->read_inside[g->constants[i]->id]) NIB_TRY(copy_constant(g->constants[i], to, err));
    for (const graph_node *n = g->first; n; n = n->next)
        if (x->inside[n->id]) NIB_TRY(copy_node(n, to, err));
    for (const graph_node *n = g->first; n; n = n->next)
        for (int i = 0; i < n->n_outputs; i++) {
            graph_value *v = n->outputs[i];
            if (!v || !made_inside(x, v) || !x->read_outside[v->id]) continue;
            v = find(to, v);
            if (!v || graph_add_output(to, v) != NIB_OK) NIB_TRY(no_memory(err));
        }
fail:
    return status;
}

nib_status graph_extract(const graph *g, const bool *inside, graph **out, nib_error *err) {
    graph *to = NULL;
    nib_status status = graph_create(g->heap, &to, err);
    extraction x = {.g = g, .inside = inside};
    *out = NULL;
    if (status != NIB_OK) return status;
    x.read_inside = base_arena_calloc(to->arena, (size_t)g->value_limit + 1, sizeof *x.read_inside);
    x.read_outside = base_arena_calloc(to->arena, (size_t)g->value_limit + 1, sizeof *x.read_outside);
    status = x.read_inside && x.read_outside ? copy_nodes(&x, to, err) : no_memory(err);
    if (status == NIB_OK) *out = to;
    else graph_free(to);
    return status;
}
