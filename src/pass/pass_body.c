/* SPDX-License-Identifier: Apache-2.0
 *
 * Bodies of If, Loop, Scan. In: a graph. Out: each body simplified, and for a file fused, by the passes that do so with the graph around
 * it, what it reads from there that is constant counting as constant; and an If whose condition is constant replaced by the branch it
 * takes.
 *
 * A pattern that fuses ends at the body's edge: what a Linear around it computes is computed once, not in every round of a Loop, and a
 * node of one graph cannot stand in another. So what a body reads from around it counts as an input of the body while it is fused.
 *
 * A value's name is looked for in a body first and around it then: no name of a body may hide one that passes have made around it
 * (pass_body_names).
 */
#include "pass.h"
#include <stdio.h>
#include <string.h>

nib_status pass_each_body(pass_context *ctx, nib_status (*fn)(pass_context *)) {
    nib_status status = NIB_OK;
    graph *g = ctx->g;
    for (graph_node *n = g->first; n && status == NIB_OK; n = n->next)
        for (graph_bodies b = {.node = n}; status == NIB_OK && graph_next_body(&b);) {
            ctx->g = b.body;
            status = fn(ctx);
        }
    ctx->g = g;
    return status;
}

/* Values around a body, without their producers for a while. */
typedef struct edge {
    base_heap *heap;
    graph_value **values;
    graph_node **producers;
    size_t n, cap_values, cap_producers;
    bool failed;
} edge;

static void close_edge(void *user, graph_value *v) {
    edge *e = user;
    if (!v->producer || e->failed) return;
    e->failed = !base_grow(e->heap, (void **)&e->values, &e->cap_values, e->n + 1, sizeof *e->values) ||
                !base_grow(e->heap, (void **)&e->producers, &e->cap_producers, e->n + 1, sizeof *e->producers);
    if (e->failed) return;
    e->values[e->n] = v;
    e->producers[e->n++] = v->producer;
    v->producer = NULL;
}

nib_status pass_each_body_alone(pass_context *ctx, nib_status (*fn)(pass_context *)) {
    edge e = {.heap = ctx->g->heap};
    for (const graph_node *n = ctx->g->first; n; n = n->next) graph_each_capture(n, close_edge, &e);
    nib_status status = e.failed ? base_error_set(ctx->err, NIB_OUT_OF_MEMORY, "out of memory while optimizing") : pass_each_body(ctx, fn);
    for (size_t i = 0; i < e.n; i++) e.values[i]->producer = e.producers[i];
    base_free(e.heap, e.values);
    base_free(e.heap, e.producers);
    return status;
}

/* ---------------------------------------------------------------- If with a constant condition */

static nib_status no_memory(pass_context *ctx) { return base_error_set(ctx->err, NIB_OUT_OF_MEMORY, "out of memory while optimizing"); }

/* The node's bodies stand in another graph now, at the depth of this one. */
static void adopt(graph *g, const graph_node *n) {
    for (graph_bodies b = {.node = n}; graph_next_body(&b);) {
        b.body->parent = g;
        b.body->depth = g->depth + 1;
        for (const graph_node *m = b.body->first; m; m = m->next) adopt(b.body, m);
    }
}

static graph_value *copy_value(graph *g, const graph_value *v) {
    graph_value *copy = graph_add_value(g, v->name);
    if (!copy) return NULL;
    copy->type = v->type;
    copy->data = v->data;
    copy->data_count = v->data_count;
    return copy;
}

/* Moves a node of the body in front of `before`; what read its outputs reads the new ones. `outputs` [n_outputs of the body] follow. */
static nib_status move_node(pass_context *ctx, graph_node *m, graph_node *before, graph_value **outputs, int n_outputs) {
    graph *g = ctx->g, *body = m->owner;
    graph_value **in = base_arena_calloc(g->arena, (size_t)m->n_inputs + 1, sizeof *in);
    graph_value **out = base_arena_calloc(g->arena, (size_t)m->n_outputs + 1, sizeof *out);
    if (!in || !out) return no_memory(ctx);
    for (int i = 0; i < m->n_inputs; i++) in[i] = m->inputs[i].value;
    for (int i = 0; i < m->n_outputs; i++)
        if (m->outputs[i] && !(out[i] = copy_value(g, m->outputs[i]))) return no_memory(ctx);
    graph_node *fresh = graph_add_node(g, before, m->domain, m->op, m->name, in, m->n_inputs, out, m->n_outputs);
    if (!fresh) return no_memory(ctx);
    fresh->meaning = m->meaning;
    fresh->metadata = m->metadata;
    fresh->attrs = m->attrs;
    fresh->n_attrs = m->n_attrs;
    m->n_attrs = 0;
    adopt(g, fresh);
    for (int i = 0; i < m->n_outputs; i++) {
        if (!m->outputs[i]) continue;
        graph_replace_uses(body, m->outputs[i], out[i]);
        for (int k = 0; k < n_outputs; k++)
            if (outputs[k] == m->outputs[i]) outputs[k] = out[i];
    }
    return NIB_OK;
}

static nib_status inline_if(pass_context *ctx, graph_node *n, graph *body) {
    nib_status status = NIB_OK;
    graph *g = ctx->g;
    graph_value **outputs = base_arena_calloc(g->arena, (size_t)body->n_outputs + 1, sizeof *outputs);
    if (!outputs) return no_memory(ctx);
    if (body->n_outputs != n->n_outputs || body->n_inputs) return NIB_OK;
    for (int i = 0; i < body->n_outputs; i++) {
        outputs[i] = body->outputs[i];
        outputs[i]->is_output = outputs[i]->owner == body ? false : outputs[i]->is_output;
    }
    for (int i = 0; i < body->n_constants; i++) {
        graph_value *old = body->constants[i], *c = graph_add_constant(g, old->name, old->constant, false);
        if (!c) return no_memory(ctx);
        graph_replace_uses(body, old, c);
        for (int k = 0; k < body->n_outputs; k++)
            if (outputs[k] == old) outputs[k] = c;
    }
    for (graph_node *m = body->first; m; m = m->next) NIB_TRY(move_node(ctx, m, n, outputs, body->n_outputs));
    for (int i = 0; i < n->n_outputs; i++) {
        graph_value *y = n->outputs[i], *with = outputs[i];
        if (!y || (!y->uses && !y->is_output)) continue;
        if (y->is_output && (with->is_output || with->is_input || with->owner != g)) { /* an output of its own */
            with = pass_emit(ctx, n, "", "Identity", &with, 1, y->name);
            if (!with) return no_memory(ctx);
            with->type = outputs[i]->type;
        }
        NIB_TRY(pass_replace(ctx, y, with));
    }
    graph_remove_node(g, n);
    ctx->changes++;
fail:
    return status;
}

nib_status pass_branch(pass_context *ctx) {
    nib_status status = NIB_OK;
    for (graph_node *n = ctx->g->first, *next; n; n = next) {
        double truth;
        next = n->next;
        if (!graph_is_op(n, "", "If") || !n->meaning || !graph_scalar(n->inputs[0].value, &truth)) continue;
        const graph_attr *a = graph_find_attr(n, truth != 0 ? "then_branch" : "else_branch");
        if (a && a->kind == GRAPH_ATTR_GRAPH) NIB_TRY(inline_if(ctx, n, a->u.graph));
    }
fail:
    return status;
}

/* ---------------------------------------------------------------- names */

static bool is_taken(const graph *g, const char *name) {
    for (; g; g = g->parent)
        if (graph_find_value(g, name)) return true;
    return false;
}

/* Keeps the name if nothing around the body has it. */
static bool give_name(pass_context *ctx, const graph_value *v, const char **names) {
    graph *g = ctx->g;
    names[v->id] = v->name;
    for (int i = 1; is_taken(g->parent, names[v->id]) || (i > 1 && graph_find_value(g, names[v->id])); i++) {
        const char *text = base_arena_printf(g->arena, "%s_%d", v->name, i);
        if (!text || !(names[v->id] = graph_intern(g, text, strlen(text)))) return false;
    }
    return true;
}

nib_status pass_body_names(pass_context *ctx) {
    graph *g = ctx->g;
    bool ok = true, hides = false;
    if (g->parent) {
        const char **names = base_calloc(g->heap, (size_t)g->value_limit + 1, sizeof *names);
        if (!names) return no_memory(ctx);
        for (int i = 0; i < g->n_inputs; i++) ok &= give_name(ctx, g->inputs[i], names);
        for (int i = 0; i < g->n_constants; i++) ok &= give_name(ctx, g->constants[i], names);
        for (const graph_node *n = g->first; n; n = n->next)
            for (int i = 0; i < n->n_outputs; i++)
                if (n->outputs[i]) ok &= give_name(ctx, n->outputs[i], names);
        for (int i = 0; i < g->value_limit; i++) hides |= names[i] != NULL;
        ok = ok && (!hides || graph_rename(g, names));
        base_free(g->heap, (void *)names);
    }
    return ok ? pass_each_body(ctx, pass_body_names) : no_memory(ctx);
}
