/* SPDX-License-Identifier: Apache-2.0
 *
 * Cuts at roundings. In: clones of two graphs that are to be compared. Out: the same, so that both give what they are about to round, and
 * the second rounds what it is given in its place:
 *
 *     first     x -> .. -> v -> Round -> .. -> w -> Round -> .. -> y        outputs v, w, y
 *     second    x -> .. -> v'    v -> Round -> .. -> w'    w -> Round -> .. -> y'
 *
 * A difference of 1e-7 in front of a rounding is one of a whole step behind it, wherever a number lies at the middle of two steps. Cut so,
 * it does not travel: each part of the second graph begins with the first one's numbers and is compared by itself, the roundings within the
 * parts, on equal numbers. If every part computes the same, so does the whole, whichever values were paired.
 */
#include "rewrite_trial.h"
#include <string.h>

/* The nodes whose outputs, or what is computed from them, are outputs of the graph; what bodies read counts as read. live: by node id. */
static void mark_live(const graph *g, uint8_t *live) {
    for (const graph_node *n = g->last; n; n = n->prev)
        for (int i = 0; i < n->n_outputs && !live[n->id]; i++) {
            const graph_value *v = n->outputs[i];
            live[n->id] = v && v->is_output;
            for (const graph_use *u = v ? v->uses : NULL; u && !live[n->id]; u = u->next)
                live[n->id] = u->node->owner != g || live[u->node->id];
        }
}

typedef struct rounded { /* a value that is computed from inputs and rounded */
    graph_value *v;
    const char *as; /* the name of what it is rounded to */
} rounded;

/* In the order of the nodes that round them, each once. list: NULL with 0, if there are none or memory ran out. */
static int find_rounded(base_arena *arena, graph *g, rounded **list) {
    uint8_t *computed = base_arena_calloc(arena, (size_t)g->value_limit + 1, 1),
            *live = base_arena_calloc(arena, (size_t)g->node_limit + 1, 1);
    uint8_t *seen = base_arena_calloc(arena, (size_t)g->value_limit + 1, 1);
    int n = 0;
    *list = base_arena_calloc(arena, (size_t)g->node_count + 1, sizeof **list);
    if (!computed || !live || !seen || !*list) return 0;
    for (int i = 0; i < g->n_inputs; i++) computed[g->inputs[i]->id] = 1;
    pass_mark_computed(g, computed, NULL);
    mark_live(g, live);
    for (const graph_node *k = g->first; k; k = k->next) {
        graph_value *v = k->n_inputs ? k->inputs[0].value : NULL;
        if (!live[k->id] || !pass_rounds(k) || !k->outputs[0] || !v->producer || v->owner != g || !computed[v->id] || seen[v->id]) continue;
        seen[v->id] = 1;
        (*list)[n++] = (rounded){v, k->outputs[0]->name};
    }
    return n;
}

static int find_as(const rounded *list, int n, const char *name) {
    for (int i = 0; i < n; i++)
        if (strcmp(list[i].as, name) == 0) return i;
    return -1;
}

/* Makes v an output, if it is none; its place among them, -1 when memory runs out. */
static int give_out(graph *g, graph_value *v) {
    if (!v->is_output && graph_add_output(g, v) != NIB_OK) return -1;
    for (int i = 0; i < g->n_outputs; i++)
        if (g->outputs[i] == v) return i;
    return -1;
}

/* A new input that is rounded in v's place. */
static graph_value *take_in(graph *g, graph_value *v) {
    int at = graph_required_inputs(g);
    graph_value *fresh = graph_add_value(g, "rounded");
    if (!fresh || graph_add_input(g, fresh) != NIB_OK) return NULL;
    memmove(g->inputs + at + 1, g->inputs + at, (size_t)(g->n_inputs - 1 - at) * sizeof *g->inputs); /* presets stay behind it */
    g->inputs[at] = fresh;
    fresh->type = v->type;
    for (graph_use *u = v->uses, *next; u; u = next) {
        next = u->next;
        if (u->index == 0 && u->node->owner == g && pass_rounds(u->node)) graph_set_input(u->node, 0, fresh);
    }
    return fresh;
}

static nib_status cut(rewrite_cuts *cuts, graph *a, graph *b, graph_value *x, graph_value *y) {
    rewrite_cut c = {
        .first = give_out(a, x), .second = give_out(b, y), .input = take_in(b, y), .found = {.name = x->name, .same_shape = true}};
    if (c.first < 0 || c.second < 0 || !c.input) return NIB_OUT_OF_MEMORY;
    cuts->items[cuts->n++] = c;
    return NIB_OK;
}

nib_status rewrite_cut_at_roundings(base_arena *arena, graph *a, graph *b, rewrite_cuts *cuts, nib_error *err) {
    rounded *x, *y;
    cuts->roundings[0] = find_rounded(arena, a, &x);
    cuts->roundings[1] = find_rounded(arena, b, &y);
    cuts->n = 0;
    cuts->items = base_arena_calloc(arena, (size_t)cuts->roundings[0] + 1, sizeof *cuts->items);
    if (!x || !y || !cuts->items) return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for a proof");
    bool ordered = cuts->roundings[0] == cuts->roundings[1]; /* names may have been given anew */
    for (int i = 0; i < cuts->roundings[0]; i++) {
        int k = ordered ? i : find_as(y, cuts->roundings[1], x[i].as);
        if (k < 0 || x[i].v->type.dtype != y[k].v->type.dtype) continue;
        if (cut(cuts, a, b, x[i].v, y[k].v) != NIB_OK) return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for a proof");
    }
    return NIB_OK;
}

const nib_tensor **rewrite_cut_inputs(base_arena *arena, const rewrite_cuts *cuts, run_session *first, const graph *b, const graph *whole,
                                    const nib_tensor **given) {
    const nib_tensor **list = base_arena_calloc(arena, (size_t)b->n_inputs + 1, sizeof *list);
    nib_tensor *taken = base_arena_calloc(arena, (size_t)cuts->n + 1, sizeof *taken);
    nib_error err;
    for (int i = 0; list && taken && i < b->n_inputs; i++) {
        for (int k = 0; k < whole->n_inputs; k++)
            if (strcmp(whole->inputs[k]->name, b->inputs[i]->name) == 0) list[i] = given[k];
        for (int k = 0; k < cuts->n; k++) {
            if (cuts->items[k].input != b->inputs[i]) continue;
            if (run_output(first, cuts->items[k].first, &taken[k], &err) != NIB_OK) return NULL;
            list[i] = &taken[k];
        }
    }
    return taken ? list : NULL;
}
