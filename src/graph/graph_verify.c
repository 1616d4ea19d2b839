/* SPDX-License-Identifier: Apache-2.0
 *
 * In: a graph. Out: OK, or which rule it breaks and where. A broken rule in a graph just loaded is the file's fault; after
 * a pass it is ours.
 */
#include "graph.h"
#include <string.h>

static nib_status broken(nib_error *err, const graph_node *n, const char *rule, const char *what) {
    nib_status status = base_error_set(err, NIB_BAD_MODEL, "%s: %s", rule, what ? what : "");
    base_error_at_node(err, n ? (n->name[0] ? n->name : n->op) : NULL);
    return status;
}

typedef struct scope {
    const struct scope *outer;
    const graph *g;
    uint8_t *defined; /* by value id */
} scope;

static bool is_defined(const scope *s, const graph_value *v) {
    for (; s; s = s->outer)
        if (v->id < s->g->value_limit && graph_find_value(s->g, v->name) == v) return s->defined[v->id] != 0;
    return false;
}

/* What holds for a value wherever it comes from: its id is the graph's, its name finds it, its uses are counted. */
static nib_status verify_value(const graph *g, const graph_node *n, const graph_value *v, nib_error *err) {
    int uses = 0;
    if (v->id < 0 || v->id >= g->value_limit) return broken(err, n, "value has another graph's id", v->name);
    if (graph_find_value(g, v->name) != v) return broken(err, n, "value is not found by its name", v->name);
    for (const graph_use *u = v->uses; u && uses <= v->use_count; u = u->next) uses++;
    return uses == v->use_count ? NIB_OK : broken(err, n, "uses are not counted", v->name);
}

static nib_status verify_scope(const graph *g, const scope *outer, nib_error *err);

static nib_status verify_node(const graph *g, const graph_node *n, scope *s, nib_error *err) {
    nib_status status = NIB_OK;
    if (n->owner != g) return broken(err, n, "node belongs to another graph", n->op);
    if (n->id < 0 || n->id >= g->node_limit) return broken(err, n, "node has another graph's id", n->op);
    for (int i = 0; i < n->n_inputs; i++) {
        const graph_use *u = &n->inputs[i];
        if (u->node != n || u->index != i) return broken(err, n, "use does not know its node", n->op);
        if (!u->value) continue;
        if (!is_defined(s, u->value)) return broken(err, n, "input is used before it is defined", u->value->name);
        bool listed = (u->prev ? u->prev->next == u : u->value->uses == u) && (!u->next || u->next->prev == u);
        if (!listed) return broken(err, n, "use is not in its value's list", u->value->name);
    }
    for (graph_bodies b = {.node = n}; graph_next_body(&b);) NIB_TRY(verify_scope(b.body, s, err));
    for (int i = 0; i < n->n_outputs; i++) {
        const graph_value *v = n->outputs[i];
        if (!v) continue;
        if (v->producer != n || v->producer_index != i) return broken(err, n, "value has two producers", v->name);
        if (v->constant || v->is_input) return broken(err, n, "input or constant is written", v->name);
        NIB_TRY(verify_value(g, n, v, err));
        if (s->defined[v->id]) return broken(err, n, "value is defined twice", v->name);
        s->defined[v->id] = 1;
    }
fail:
    return status;
}

static nib_status verify_scope(const graph *g, const scope *outer, nib_error *err) {
    nib_status status = NIB_OK;
    scope s = {.outer = outer, .g = g};
    if (g->depth > g->heap->limits.graph_depth)
        return base_error_set(err, NIB_LIMIT, "graphs are nested deeper than %d", g->heap->limits.graph_depth);
    s.defined = base_calloc(g->heap, (size_t)g->value_limit + 1, 1);
    if (!s.defined) return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory while checking a graph");
    for (int i = 0; i < g->n_inputs; i++) {
        NIB_TRY(verify_value(g, NULL, g->inputs[i], err));
        if (s.defined[g->inputs[i]->id]) NIB_TRY(broken(err, NULL, "input is listed twice", g->inputs[i]->name));
        s.defined[g->inputs[i]->id] = 1;
    }
    for (int i = 0; i < g->n_constants; i++) {
        if (!g->constants[i]->constant) NIB_TRY(broken(err, NULL, "constant has no data", g->constants[i]->name));
        NIB_TRY(verify_value(g, NULL, g->constants[i], err));
        s.defined[g->constants[i]->id] = 1;
    }
    int count = 0;
    for (const graph_node *n = g->first; n; n = n->next, count++) NIB_TRY(verify_node(g, n, &s, err));
    if (count != g->node_count) NIB_TRY(broken(err, NULL, "the node count is wrong", g->name));
    for (int i = 0; i < g->n_outputs; i++)
        if (!is_defined(&s, g->outputs[i])) NIB_TRY(broken(err, NULL, "output is never defined", g->outputs[i]->name));
fail:
    base_free(g->heap, s.defined);
    return status;
}

nib_status graph_verify(const graph *g, nib_error *err) { return verify_scope(g, NULL, err); }
