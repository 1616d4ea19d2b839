/* SPDX-License-Identifier: Apache-2.0
 *
 * Names for a file. In: a graph in which passes have made values under names like add_5_117. Out: constants in the order of
 * their first use, and names that depend on nothing but the graph: a name's stem (without trailing _NUMBER), then _1, _2, ... in
 * the order of the nodes. So a graph that is fused, written and fused again gets the same names again.
 *
 * Bodies first: names around them keep out of their way. A node is called as its first output. Inputs, outputs, weights, what bodies read,
 * and what draws random numbers keep theirs (without a seed, a name is all that tells one random node from another: op_random.c).
 */
#include "pass.h"
#include <stdio.h>
#include <string.h>

typedef struct naming {
    graph *g;
    const char **names; /* [value_limit] */
    const char **taken; /* set of interned names; capacity a power of two */
    int *next;          /* the number that a stem's next value gets, beside it in `taken` */
    size_t capacity;
} naming;

static size_t slot_of(const naming *z, const char *name) {
    uint64_t h = (uint64_t)(uintptr_t)name * 0x9e3779b97f4a7c15ull;
    size_t at = (h ^ h >> 32) & (z->capacity - 1);
    while (z->taken[at] && z->taken[at] != name) at = (at + 1) & (z->capacity - 1);
    return at;
}

static void keep(naming *z, const graph_value *v) {
    if (!v || z->names[v->id]) return;
    z->names[v->id] = v->name;
    z->taken[slot_of(z, v->name)] = v->name;
}

static bool give(naming *z, const graph_value *v) {
    size_t n = strlen(v->name);
    char text[300];
    if (z->names[v->id]) return true;
    for (size_t end; n > 0; n = end - 1) { /* take off _NUMBER, as often as it is there */
        end = n;
        while (end > 0 && v->name[end - 1] >= '0' && v->name[end - 1] <= '9') end--;
        if (end == n || end < 2 || v->name[end - 1] != '_') break;
    }
    if (n > 250) n = 250;
    const char *stem = graph_intern(z->g, v->name, n), *name = stem;
    if (!stem) return false;
    size_t at = slot_of(z, stem);
    while (z->taken[slot_of(z, name)]) {
        snprintf(text, sizeof text, "%s_%d", stem, ++z->next[at]);
        if (!(name = graph_intern(z->g, text, strlen(text)))) return false;
    }
    z->taken[slot_of(z, name)] = name;
    z->names[v->id] = name;
    return true;
}

static bool is_weight(const graph_tensor *t) {
    return t->rank > 0 && t->dtype != NIB_DTYPE_I64 && t->dtype != NIB_DTYPE_I32 && t->dtype != NIB_DTYPE_BOOL;
}

/* Bodies keep their names, and those of what they read. */
static void keep_captured(void *user, graph_value *v) {
    naming *z = user;
    if (v->owner == z->g) keep(z, v);
}

static void keep_body(naming *z, const graph *body) {
    for (int i = 0; i < body->n_inputs; i++) z->taken[slot_of(z, body->inputs[i]->name)] = body->inputs[i]->name;
    for (int i = 0; i < body->n_constants; i++) z->taken[slot_of(z, body->constants[i]->name)] = body->constants[i]->name;
    for (const graph_node *n = body->first; n; n = n->next) {
        for (int i = 0; i < n->n_outputs; i++)
            if (n->outputs[i]) z->taken[slot_of(z, n->outputs[i]->name)] = n->outputs[i]->name;
        for (graph_bodies b = {.node = n}; graph_next_body(&b);) keep_body(z, b.body);
    }
}

static void keep_bodies(naming *z, const graph *g) {
    for (const graph_node *n = g->first; n; n = n->next) {
        graph_each_capture(n, keep_captured, z);
        for (graph_bodies b = {.node = n}; graph_next_body(&b);) keep_body(z, b.body);
    }
}

static size_t count_values(const graph *g) { /* an upper bound, bodies included */
    size_t n = (size_t)g->value_limit + 1;
    for (const graph_node *k = g->first; k; k = k->next)
        for (graph_bodies b = {.node = k}; graph_next_body(&b);) n += count_values(b.body);
    return n;
}

/* Constants as nodes read them first; then those that are outputs, or that only bodies read. */
static void order_constants(graph *g, graph_value **ordered, bool *seen) {
    int n = 0;
    for (const graph_node *k = g->first; k; k = k->next)
        for (int i = 0; i < k->n_inputs; i++) {
            graph_value *v = k->inputs[i].value;
            if (!v || !v->constant || v->owner != g || seen[v->id]) continue;
            seen[v->id] = true;
            ordered[n++] = v;
        }
    for (int i = 0; i < g->n_constants; i++)
        if (!seen[g->constants[i]->id] && (g->constants[i]->is_output || g->constants[i]->uses)) ordered[n++] = g->constants[i];
    if (n) memcpy(g->constants, ordered, (size_t)n * sizeof *ordered);
    g->n_constants = n;
}

static nib_status own_names(pass_context *ctx) {
    nib_status status = NIB_OK;
    graph *g = ctx->g;
    size_t values = (size_t)g->value_limit + 1;
    naming z = {.g = g, .capacity = 64};
    while (z.capacity < 4 * count_values(g)) z.capacity *= 2;
    z.names = base_calloc(g->heap, values, sizeof *z.names);
    z.taken = base_calloc(g->heap, z.capacity, sizeof *z.taken);
    z.next = base_calloc(g->heap, z.capacity, sizeof *z.next);
    graph_value **ordered = base_calloc(g->heap, values, sizeof *ordered);
    bool *seen = base_calloc(g->heap, values, sizeof *seen), ok = true;
    if (!z.names || !z.taken || !z.next || !ordered || !seen) NIB_FAIL(ctx->err, NIB_OUT_OF_MEMORY, "out of memory for names");
    order_constants(g, ordered, seen);
    for (int i = 0; i < g->n_inputs; i++) keep(&z, g->inputs[i]);
    for (int i = 0; i < g->n_outputs; i++) keep(&z, g->outputs[i]);
    for (int i = 0; i < g->n_constants; i++)
        if (is_weight(g->constants[i]->constant)) keep(&z, g->constants[i]);
    for (const graph_node *n = g->first; n; n = n->next)
        for (int i = 0; i < n->n_outputs && pass_is_random(n); i++) keep(&z, n->outputs[i]);
    keep_bodies(&z, g);
    for (int i = 0; i < g->n_constants; i++) ok &= give(&z, g->constants[i]);
    for (const graph_node *n = g->first; n; n = n->next)
        for (int i = 0; i < n->n_outputs; i++)
            if (n->outputs[i]) ok &= give(&z, n->outputs[i]);
    for (graph_node *n = g->first; n && ok; n = n->next)
        if (n->outputs[0]) n->name = z.names[n->outputs[0]->id];
    if (!ok || !graph_rename(g, z.names)) NIB_FAIL(ctx->err, NIB_OUT_OF_MEMORY, "out of memory for names");
fail:
    base_free(g->heap, z.names);
    base_free(g->heap, z.taken);
    base_free(g->heap, z.next);
    base_free(g->heap, ordered);
    base_free(g->heap, seen);
    return status;
}

nib_status pass_names(pass_context *ctx) {
    nib_status status = pass_each_body(ctx, pass_names);
    return status == NIB_OK ? own_names(ctx) : status;
}
