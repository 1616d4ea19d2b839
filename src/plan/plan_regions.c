/* SPDX-License-Identifier: Apache-2.0
 *
 * In: a graph, and a device for each of its nodes. Out: regions in order, each a graph of its own, compiled by its device.
 *
 * A node's level is how often the work changes devices before it at least: that of what it reads, and one more where another device
 * gives that. Nodes of one device and one level are a region. It is convex: a path that leaves it for another device comes back at a
 * higher level. So the devices change as rarely as they can, whatever the order in which the nodes are listed. Of one level, regions
 * of other devices come first: the host works while they do.
 */
#include "device.h"
#include <stdio.h>
#include <string.h>

typedef struct cutter {
    plan *p;
    struct device *const *on; /* [node_limit] */
    struct device *host;
    int *level; /* [node_limit] */
    int node, levels;
    bool *inside; /* [node_limit] */
    const plan_options *options;
    nib_error *err;
} cutter;

static nib_status no_memory(nib_error *err) { return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for a plan"); }

static void read_value(void *user, graph_value *v) {
    cutter *c = user;
    const graph_node *from = v->producer;
    if (!from || from->owner != c->p->g) return;
    const int level = c->level[from->id] + (c->on[from->id] != c->on[c->node]);
    if (level > c->level[c->node]) c->level[c->node] = level;
}

static void find_levels(cutter *c) {
    for (const graph_node *n = c->p->g->first; n; n = n->next) {
        c->node = n->id;
        for (int i = 0; i < n->n_inputs; i++)
            if (n->inputs[i].value) read_value(c, n->inputs[i].value);
        graph_each_capture(n, read_value, c);
        if (c->level[n->id] >= c->levels) c->levels = c->level[n->id] + 1;
    }
}

static nib_status find_ids(cutter *c, graph_value *const *values, int n, int **out) {
    *out = base_arena_calloc(&c->p->arena, (size_t)n + 1, sizeof **out);
    if (!*out) return no_memory(c->err);
    for (int i = 0; i < n; i++) {
        const graph_value *v = graph_find_value(c->p->g, values[i]->name);
        if (!v) return base_error_set(c->err, NIB_INTERNAL, "value %s was lost in a region", values[i]->name);
        (*out)[i] = v->id;
    }
    return NIB_OK;
}

static nib_status compile_region(cutter *c, plan_region *r) {
    nib_status status = NIB_OK;
    const device_pool *pool = r->device->pool;
    if (device_is_host(r->device)) {
        const plan_options options = {.l2_bytes = c->options ? c->options->l2_bytes : 0, .bindable = c->p->bindable};
        return plan_build(c->p->runtime, r->g, &r->device, 1, &options, &r->host, c->err);
    }
    const int n = pool ? pool->n : 1;
    r->programs = base_arena_calloc(&c->p->arena, (size_t)n, sizeof *r->programs);
    if (!r->programs) NIB_TRY(no_memory(c->err));
    while (r->n_programs < n) {
        struct device *d = pool ? pool->devices[r->n_programs] : r->device;
        NIB_TRY(base_stop_check(c->err));
        status = d->table->own->compile(d, r->g, &r->programs[r->n_programs], c->err);
        r->n_programs++;
        if (status == NIB_DEVICE && pool) { /* the others of its pool go on without it */
            atomic_store(&r->device->pool->state[r->n_programs - 1].lost, true);
            r->programs[r->n_programs - 1] = NULL;
            status = NIB_OK;
        }
        if (status != NIB_OK) r->n_programs--;
        NIB_TRY(status);
    }
    for (int i = 0; pool && i <= n; i++) {
        if (i == n) NIB_FAIL(c->err, NIB_DEVICE, "all devices of %s have failed", r->device->table->kind);
        if (!atomic_load(&r->device->pool->state[i].lost)) break;
    }
fail:
    return status;
}

/* The region of that device and level; there may be none. */
static nib_status add_region(cutter *c, struct device *d, int level) {
    nib_status status = NIB_OK;
    plan *p = c->p;
    bool any = false;
    for (const graph_node *n = p->g->first; n; n = n->next) {
        c->inside[n->id] = c->on[n->id] == d && c->level[n->id] == level;
        any |= c->inside[n->id];
    }
    if (!any) return NIB_OK;
    plan_region *r = &p->regions[p->n_regions];
    *r = (plan_region){.device = d};
    device_props props = {.row_bucket = 1};
    d->table->props(d, &props);
    snprintf(r->name, sizeof r->name, "%s", d->pool ? d->table->kind : props.name);
    NIB_TRY(graph_extract(p->g, c->inside, &r->g, c->err));
    p->n_regions++;
    NIB_TRY(find_ids(c, r->g->inputs, r->g->n_inputs, &r->inputs));
    NIB_TRY(find_ids(c, r->g->outputs, r->g->n_outputs, &r->outputs));
    NIB_TRY(compile_region(c, r));
fail:
    return status;
}

static void find_crossings(plan *p) {
    for (int i = 0; i < p->n_regions; i++) {
        const plan_region *r = &p->regions[i];
        for (int k = 0; k < r->g->n_inputs; k++) p->values[r->inputs[k]].last = i;
        for (int k = 0; k < r->g->n_outputs; k++) {
            plan_value *pv = &p->values[r->outputs[k]];
            pv->storage = PLAN_CROSSING;
            pv->first = pv->last = i;
        }
    }
}

static nib_status find_values(plan *p) {
    const graph *g = p->g;
    for (int i = 0; i < g->n_constants; i++)
        p->values[g->constants[i]->id] = (plan_value){.v = g->constants[i], .storage = PLAN_CONSTANT, .first = -1};
    for (int i = 0; i < g->n_inputs; i++) p->values[g->inputs[i]->id] = (plan_value){.v = g->inputs[i], .storage = PLAN_INPUT, .first = -1};
    for (const graph_node *n = g->first; n; n = n->next)
        for (int i = 0; i < n->n_outputs; i++)
            if (n->outputs[i]) p->values[n->outputs[i]->id].v = n->outputs[i];
    find_crossings(p);
    for (int i = 0; i < g->n_outputs; i++)
        if (g->outputs[i]->owner == g) p->values[g->outputs[i]->id].last = p->n_regions;
    for (int i = 0; i < g->n_constants; i++) { /* as outputs; regions have them as their own */
        plan_value *pv = &p->values[g->constants[i]->id];
        const bool read = g->constants[i]->is_output && !g->constants[i]->packed;
        pv->constant = read ? graph_tensor_aligned(&p->arena, pv->v->constant) : pv->v->constant->data;
        if (read && !pv->constant) return NIB_OUT_OF_MEMORY;
    }
    for (int i = graph_required_inputs(g); i < g->n_inputs; i++) {
        plan_value *pv = &p->values[g->inputs[i]->id];
        if (!(pv->constant = graph_tensor_aligned(&p->arena, pv->v->preset))) return NIB_OUT_OF_MEMORY;
    }
    return NIB_OK;
}

/* Devices of the list, each once, the host last. */
static int find_devices(cutter *c, struct device **out) {
    int n = 0;
    for (const graph_node *node = c->p->g->first; node; node = node->next) {
        struct device *d = c->on[node->id];
        int k = 0;
        while (k < n && out[k] != d) k++;
        if (k == n && d != c->host) out[n++] = d;
    }
    return n;
}

nib_status plan_make_regions(plan *p, struct device *const *on, struct device *host, const plan_options *options, nib_error *err) {
    nib_status status = NIB_OK;
    cutter c = {.p = p, .on = on, .host = host, .options = options, .err = err};
    const size_t nodes = (size_t)p->g->node_limit + 1;
    c.level = base_arena_calloc(&p->arena, nodes, sizeof *c.level);
    c.inside = base_arena_calloc(&p->arena, nodes, sizeof *c.inside);
    p->others = base_arena_calloc(&p->arena, nodes, sizeof *p->others);
    if (!c.level || !c.inside || !p->others) NIB_TRY(no_memory(err));
    find_levels(&c);
    p->n_others = find_devices(&c, p->others);
    size_t most;
    if (!base_mul_size((size_t)c.levels, (size_t)p->n_others + 1, &most)) NIB_TRY(no_memory(err));
    p->regions = base_arena_calloc(&p->arena, most, sizeof *p->regions);
    if (!p->regions) NIB_TRY(no_memory(err));
    for (int level = 0; level < c.levels; level++) {
        for (int i = 0; i < p->n_others; i++) NIB_TRY(add_region(&c, p->others[i], level));
        NIB_TRY(add_region(&c, host, level));
    }
    if (find_values(p) != NIB_OK) NIB_TRY(no_memory(err));
fail:
    return status;
}

void plan_free_regions(plan *p) {
    for (int i = 0; i < p->n_regions; i++) {
        plan_region *r = &p->regions[i];
        for (int k = 0; k < r->n_programs; k++)
            if (r->programs[k]) r->device->table->own->program_free(r->programs[k]);
        plan_free(r->host);
        graph_free(r->g);
    }
}
