/* SPDX-License-Identifier: Apache-2.0
 *
 * In: a graph, devices. Out: a plan. In this order: give each node to a device; where the host has them all, compile them into steps,
 * group steps into stages, find lifetimes, choose each value's storage, place ROWS and BLOCK values. Else plan_regions.c goes on, and
 * comes back here with the host's regions.
 */
#include "device.h"
#include "op/op_nib.h"
#include <stdio.h>
#include <string.h>

typedef struct builder {
    plan *p;
    graph *g;
    struct device *const *devices;
    int n_devices;
    base_str notes;
    nib_error *err;
} builder;

/* Symbols that a caller's inputs (or a packed batch) give a number: 1 for those, GRAPH_UNBOUND for sizes that depend on data. */
static nib_status find_bindable(plan *p, const plan_options *options) {
    const graph *g = p->g;
    int64_t *ones = base_arena_alloc(&p->arena, ((size_t)p->n_symbols + 1) * sizeof *ones);
    if (!ones) return NIB_OUT_OF_MEMORY;
    p->tokens_symbol = -1;
    for (int i = 0; i < p->n_symbols; i++) {
        bool tokens = strcmp(graph_symbol_name(g->symbols, i), OP_TOKENS_SYMBOL) == 0;
        if (tokens) p->tokens_symbol = i;
        ones[i] = tokens ? 1 : options && options->bindable ? options->bindable[i] : GRAPH_UNBOUND;
    }
    for (int i = 0; i < g->n_inputs; i++)
        for (int k = 0; k < g->inputs[i]->type.rank; k++) {
            int symbol = graph_symbol_index(g->inputs[i]->type.dims[k]);
            if (symbol >= 0) ones[symbol] = 1;
        }
    p->bindable = ones;
    return NIB_OK;
}

static nib_status no_memory(nib_error *err) { return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for a plan"); }

/* ---- devices and steps */

/* Why only the host can have the value; NULL: it may be anywhere. */
static const char *host_only(const plan *p, const graph_value *v) {
    const graph_type *t = &v->type;
    int64_t n;
    if (v->packed) return "a weight is packed for the host";
    if (t->kind != GRAPH_KIND_TENSOR || t->dtype == NIB_DTYPE_UNDEFINED || t->dtype == NIB_DTYPE_STRING) return "it reads or gives no numbers";
    if (v->constant) return NULL;
    if (t->rank < 0) return "a rank is not known before it runs";
    for (int k = 0; k < t->rank; k++)
        if (!graph_dim_eval(t->dims[k], p->bindable, p->n_symbols, &n)) return "a size is not known before it runs";
    return NULL;
}

static const char *host_only_node(const plan *p, const graph_node *n) {
    const char *why = graph_has_bodies(n) ? "it has bodies" : NULL;
    for (int i = 0; i < n->n_inputs && !why; i++)
        if (n->inputs[i].value) why = host_only(p, n->inputs[i].value);
    for (int i = 0; i < n->n_outputs && !why; i++)
        if (n->outputs[i]) why = host_only(p, n->outputs[i]);
    return why;
}

static struct device *choose(builder *b, const graph_node *n) {
    char why[200];
    for (int i = 0; i < b->n_devices; i++) {
        struct device *d = b->devices[i];
        const char *host = device_is_host(d) ? NULL : host_only_node(b->p, n);
        if (host) snprintf(why, sizeof why, "%s", host);
        else if (d->table->claim(d, b->g, n, why, sizeof why)) return d;
        base_str_printf(&b->notes, "%s refuses %s %s: %s\n", d->table->kind, n->op, n->name, why);
    }
    return NULL;
}

/* A device for each node, by node id. */
static nib_status choose_devices(builder *b, struct device ***out, bool *one) {
    nib_status status = NIB_OK;
    struct device **on = base_arena_calloc(&b->p->arena, (size_t)b->g->node_limit + 1, sizeof *on), *host = b->devices[b->n_devices - 1];
    if (!on) return no_memory(b->err);
    *one = true;
    for (graph_node *node = b->g->first; node; node = node->next) {
        on[node->id] = choose(b, node);
        *one &= on[node->id] == host;
        if (on[node->id]) continue;
        status = base_error_set(b->err, NIB_UNSUPPORTED, "no device runs operator %s%s%s (opset %d)", node->domain,
                                node->domain[0] ? "." : "", node->op, graph_opset_version(b->g, node->domain));
        base_error_at_node(b->err, node->name);
        return status;
    }
    *out = on;
    return NIB_OK;
}

static nib_status compile_steps(builder *b) {
    nib_status status = NIB_OK;
    plan *p = b->p;
    int n = 0, total = b->g->node_count;
    struct device *host = b->devices[b->n_devices - 1];
    graph_node **nodes = base_arena_calloc(&p->arena, (size_t)total + 1, sizeof *nodes);
    p->steps = base_arena_calloc(&p->arena, (size_t)total + 1, sizeof *p->steps);
    if (!nodes || !p->steps) return no_memory(b->err);
    for (graph_node *node = b->g->first; node; node = node->next) {
        p->steps[n] = (plan_step){.node = node, .device = host, .why = ""};
        nodes[n++] = node;
    }
    NIB_TRY(host->table->compile(host, p, nodes, total, p->steps, b->err));
    p->n_steps = total;
    for (int i = 0; i < p->n_steps; i++)
        if (p->steps[i].scratch > p->scratch) p->scratch = p->steps[i].scratch;
fail:
    return status;
}

/* ---- bodies */

static nib_status build_body(builder *b, const graph *g, int *count) {
    plan *body = NULL;
    nib_status status = NIB_OK;
    if (b->p->bodies) {
        struct device *host = b->devices[b->n_devices - 1];
        NIB_TRY(plan_build(b->p->runtime, g, &host, 1, &(plan_options){.body = true}, &body, b->err));
        b->p->bodies[b->p->n_bodies++] = body;
    }
    ++*count;
fail:
    return status;
}

static nib_status for_bodies(builder *b, int *count) {
    nib_status status = NIB_OK;
    for (const graph_node *n = b->g->first; n; n = n->next)
        for (graph_bodies at = {.node = n}; graph_next_body(&at);) NIB_TRY(build_body(b, at.body, count));
fail:
    return status;
}

static nib_status build_bodies(builder *b) {
    int count = 0;
    nib_status status = for_bodies(b, &count);
    if (status != NIB_OK || count == 0) return status;
    b->p->bodies = base_arena_calloc(&b->p->arena, (size_t)count, sizeof *b->p->bodies);
    return b->p->bodies ? for_bodies(b, &count) : no_memory(b->err);
}

/* Whether the step reads as a whole what one of steps [from, to) makes. step_of: by the id of a node. */
static bool needs_whole(const plan *p, const plan_step *step, const int *step_of, int from, int to) {
    for (int i = 0; step->whole && i < step->node->n_inputs; i++) {
        const graph_value *v = step->node->inputs[i].value;
        if (!v || !v->producer || v->producer->owner != p->g || !(step->whole >> (i < 31 ? i : 31) & 1u)) continue;
        if (step_of[v->producer->id] >= from && step_of[v->producer->id] < to) return true;
    }
    return false;
}

static nib_status make_stages(plan *p) {
    p->stages = base_arena_calloc(&p->arena, (size_t)p->n_steps + 1, sizeof *p->stages);
    int *step_of = base_arena_calloc(&p->arena, (size_t)p->g->node_limit + 1, sizeof *step_of);
    if (!p->stages || !step_of) return NIB_OUT_OF_MEMORY;
    for (int i = 0; i < p->g->node_limit; i++) step_of[i] = -1;
    for (int i = 0; i < p->n_steps; i++) step_of[p->steps[i].node->id] = i;
    for (int i = 0; i < p->n_steps;) {
        int end = i + 1;
        bool rows = p->steps[i].range == PLAN_RANGE_ROWS;
        while (rows && end < p->n_steps && p->steps[end].range == PLAN_RANGE_ROWS && p->steps[end].extent == p->steps[i].extent &&
               !needs_whole(p, &p->steps[end], step_of, i, end))
            end++;
        p->stages[p->n_stages++] = (plan_stage){i, end - i, rows};
        i = end;
    }
    return NIB_OK;
}

/* ---- values */

/* Rows of a value as its steps see them: all axes but the last. */
static graph_dim leading(graph_symtab *t, const graph_type *type) {
    graph_dim d = graph_dim_const(t, 1);
    for (int i = 0; i + 1 < type->rank; i++) d = graph_dim_mul(t, d, type->dims[i]);
    return d;
}

/* Stages lie in order of their steps. -1: no step. */
static int stage_of(const plan *p, int step) {
    int low = 0, high = p->n_stages - 1;
    if (step < 0 || step >= p->n_steps) return -1;
    while (low < high) {
        int middle = (low + high + 1) / 2;
        if (p->stages[middle].first <= step) low = middle;
        else high = middle - 1;
    }
    return low;
}

typedef struct reading {
    plan *p;
    int step;
} reading;

static void read_capture(void *user, graph_value *v) {
    const reading *r = user;
    if (v->owner == r->p->g) r->p->values[v->id].last = r->step;
}

static void find_lifetimes(plan *p) {
    const graph *g = p->g;
    for (int i = 0; i < g->n_constants; i++)
        p->values[g->constants[i]->id] = (plan_value){.v = g->constants[i], .storage = PLAN_CONSTANT, .first = -1};
    for (int i = 0; i < g->n_inputs; i++) p->values[g->inputs[i]->id] = (plan_value){.v = g->inputs[i], .storage = PLAN_INPUT, .first = -1};
    for (int i = 0; i < p->n_steps; i++) {
        const graph_node *n = p->steps[i].node;
        for (int k = 0; k < n->n_outputs; k++)
            if (n->outputs[k])
                p->values[n->outputs[k]->id] = (plan_value){.v = n->outputs[k], .storage = PLAN_SIZED, .first = i, .last = i};
        bool trusts = !p->steps[i].evaluates || p->steps[i].range == PLAN_RANGE_ROWS;
        for (int k = 0; k < n->n_inputs; k++) {
            graph_value *v = n->inputs[k].value;
            if (v) read_capture(&(reading){p, i}, v);
            if (v && v->owner == g) p->values[v->id].must_fit_type |= trusts;
        }
        graph_each_capture(n, read_capture, &(reading){p, i});
    }
    for (int i = 0; i < g->n_outputs; i++) read_capture(&(reading){p, p->n_steps}, g->outputs[i]);
}

/* The row count that most row steps have is the plan's main one: of the first that are met, should a graph have very many. */
static void find_main_rows(plan *p) {
    struct {
        graph_dim extent;
        int count;
    } seen[64] = {{NULL, 0}};
    int n = 0, best = 0;
    for (int i = 0; i < p->n_steps; i++) {
        int k = 0;
        if (p->steps[i].range != PLAN_RANGE_ROWS) continue;
        while (k < n && seen[k].extent != p->steps[i].extent) k++;
        if (k == n && n < (int)BASE_COUNT(seen)) seen[n++].extent = p->steps[i].extent;
        if (k < n) seen[k].count++;
    }
    for (int k = 0; k < n; k++)
        if (seen[k].count > best) best = seen[k].count, p->rows = seen[k].extent;
}

static bool shape_is_known(const graph_type *t, const int64_t *ones, int n) {
    int64_t value;
    if (t->rank < 0 || t->dtype == NIB_DTYPE_UNDEFINED || t->dtype == NIB_DTYPE_STRING || t->kind != GRAPH_KIND_TENSOR) return false;
    for (int i = 0; i < t->rank; i++)
        if (!graph_dim_eval(t->dims[i], ones, n, &value)) return false;
    return true;
}

/* Only read by steps of the chain that writes it? */
static bool stays_in_chain(const plan *p, const plan_value *pv) {
    int stage = stage_of(p, pv->first);
    if (stage < 0 || !p->stages[stage].chain || p->stages[stage].count < 2) return false;
    if (p->steps[pv->first].extent != p->rows) return false;
    return pv->last < p->stages[stage].first + p->stages[stage].count;
}

static nib_status choose_storage(plan *p) {
    graph_symtab *t = p->g->symbols;
    const int64_t *ones = p->bindable;
    for (int id = 0; id < p->g->value_limit; id++) {
        plan_value *pv = &p->values[id];
        if (!pv->v) continue;
        const graph_type *type = &pv->v->type;
        int64_t width = 0;
        bool last_known = type->rank > 0 && graph_dim_is_const(type->dims[type->rank - 1], &width) && width >= 0;
        size_t bytes = last_known ? graph_type_bytes(type->dtype, (size_t)width) : 0;
        if (nib_dtype_bits(type->dtype) % 8 == 0 && nib_dtype_bits(type->dtype) > 0 && bytes != SIZE_MAX) pv->row_bytes = bytes;
        if (pv->storage != PLAN_SIZED) continue;
        if (p->is_body) {
            pv->storage = PLAN_DYNAMIC;
            continue;
        }
        bool on_rows = p->rows && pv->row_bytes && leading(t, type) == p->rows && type->kind == GRAPH_KIND_TENSOR;
        if (on_rows && stays_in_chain(p, pv)) pv->storage = PLAN_BLOCK;
        else if (on_rows) pv->storage = PLAN_ROWS;
        else if (!shape_is_known(type, ones, p->n_symbols)) pv->storage = PLAN_DYNAMIC;
    }
    return NIB_OK;
}

/* All values of a storage class as items, in order of their steps. */
static plan_item *items_of(plan *p, plan_storage storage, int *n) {
    int *at = base_arena_calloc(&p->arena, (size_t)p->n_steps + 2, sizeof *at);
    plan_item *items = base_arena_calloc(&p->arena, (size_t)p->g->value_limit + 1, sizeof *items);
    *n = 0;
    if (!items || !at) return NULL;
    for (int pass = 0; pass < 2; pass++) { /* counted, then put: a counting sort */
        for (int id = 0; id < p->g->value_limit; id++) {
            const plan_value *pv = &p->values[id];
            if (pv->storage != storage || pv->first < 0) continue;
            if (pass) items[at[pv->first]++] = (plan_item){.id = id, .first = pv->first, .last = pv->last, .size = pv->row_bytes};
            else at[pv->first + 1]++;
        }
        for (int i = 0; i <= p->n_steps && !pass; i++) at[i + 1] += at[i];
    }
    *n = at[p->n_steps];
    return items;
}

static void place(plan *p, plan_item *items, int n, size_t *total) {
    size_t bytes = plan_memory_place(items, n);
    for (int i = 0; i < n; i++) p->values[items[i].id].offset = items[i].offset;
    if (bytes > *total) *total = bytes;
}

/* Each chain has the blocks to itself. */
static nib_status place_blocks(plan *p) {
    int n, from = 0, to = 0;
    plan_item *items = items_of(p, PLAN_BLOCK, &n);
    if (!items) return NIB_OUT_OF_MEMORY;
    for (int i = 0; i < p->n_stages; i++, from = to) {
        while (to < n && items[to].first < p->stages[i].first + p->stages[i].count) to++;
        if (to > from) place(p, items + from, to - from, &p->block_bytes);
    }
    return NIB_OK;
}

static nib_status place_rows(plan *p) {
    int n;
    plan_item *items = items_of(p, PLAN_ROWS, &n);
    if (!items) return NIB_OUT_OF_MEMORY;
    place(p, items, n, &p->rows_bytes);
    return NIB_OK;
}

/* A value that a chain writes and a later stage of the same step range reads lives through the whole chain: blocks of
 * different lanes are at different steps at the same time. */
static void stretch_over_chains(plan *p) {
    for (int id = 0; id < p->g->value_limit; id++) {
        plan_value *pv = &p->values[id];
        if (pv->storage != PLAN_ROWS && pv->storage != PLAN_SIZED) continue; /* SIZED: of a chain over other rows than the main ones */
        int a = stage_of(p, pv->first), z = pv->last < p->n_steps ? stage_of(p, pv->last) : -1;
        if (a >= 0) pv->first = p->stages[a].first;
        if (z >= 0) pv->last = p->stages[z].first + p->stages[z].count - 1;
    }
}

/* Rows of a block. Either so many that a block of the widest chain stays in half of L2, or in all of it where products are so fast
 * (tiles of more than 12 rows) that fetching weights counts for more (between 16 and 192, a multiple of the tallest tile where possible);
 * or, where the weights are so large that fetching them again for every block costs more than letting the block overflow into the next
 * cache, BLOCK_TALL. Both costs are counted in bytes moved for each row. */
#define BLOCK_TALL 132
#define BLOCK_TILE 12 /* a multiple of most tiles */

static int choose_block(const plan *p, size_t l2) {
    size_t per_row = p->block_bytes ? p->block_bytes : 1, tile = BLOCK_TILE, tall, rows;
    double weights = plan_weight_bytes(p), overflow = 0;
    for (int i = 0; i < p->n_steps; i++)
        if ((size_t)p->steps[i].tile_rows > tile) tile = (size_t)p->steps[i].tile_rows;
    rows = l2 / (tile > BLOCK_TILE ? 1 : 2) / per_row;
    if (rows > 192) rows = 192;
    rows = rows >= tile ? rows / tile * tile : tile;
    if (rows < 16) rows = 16;
    tall = BLOCK_TALL / tile * tile;
    for (int i = 0; i < p->n_stages; i++) overflow += p->stages[i].chain ? 2.0 * (double)per_row : 0;
    return rows < tall && weights / (double)tall + overflow < 0.8 * weights / (double)rows ? (int)tall : (int)rows;
}

/* What keeps a group's rows in L2; more where weights come from memory for every group. */
static int64_t choose_group(const plan *p, base_caches caches) {
    int64_t n = (int64_t)(caches.l2 / (p->rows_bytes ? p->rows_bytes : 4096)), least = plan_weight_bytes(p) > (double)caches.l3 ? 384 : 128;
    return n < least ? least : n > 512 ? 512 : n;
}

static nib_status place_values(plan *p, const plan_options *options) {
    nib_status status = NIB_OK;
    NIB_TRY(place_blocks(p));
    stretch_over_chains(p);
    NIB_TRY(place_rows(p));
    base_caches caches = base_cpu_caches(); /* reads files of the system: once for a plan */
    if (options && options->l2_bytes) caches.l2 = options->l2_bytes;
    p->group_tokens = choose_group(p, caches);
    p->block_rows = choose_block(p, caches.l2);
    p->block_most = p->block_rows + p->block_rows / 3;
    p->sized = base_arena_calloc(&p->arena, (size_t)p->g->value_limit + 1, sizeof *p->sized);
    if (!p->sized) return NIB_OUT_OF_MEMORY;
    for (int id = 0; id < p->g->value_limit; id++)
        if (p->values[id].storage == PLAN_SIZED) p->sized[p->n_sized++] = id;
fail:
    return status;
}

/* Constants that a step may read typed are aligned; large ones that only kernels pack or gather stay where they are. */
static nib_status align_constants(plan *p) {
    bool *evaluated = base_arena_calloc(&p->arena, (size_t)p->g->value_limit + 1, sizeof *evaluated);
    if (!evaluated) return NIB_OUT_OF_MEMORY;
    for (int i = 0; i < p->n_steps; i++)
        for (int k = 0; p->steps[i].evaluates && k < p->steps[i].node->n_inputs; k++) {
            const graph_value *v = p->steps[i].node->inputs[k].value;
            if (v && v->id < p->g->value_limit && p->values[v->id].v == v) evaluated[v->id] = true; /* not one of the graph around a body */
        }
    for (int i = 0; i < p->g->n_constants; i++) {
        plan_value *pv = &p->values[p->g->constants[i]->id];
        const graph_tensor *t = pv->v->constant;
        if (pv->v->packed) continue;
        bool typed = evaluated[pv->v->id];
        for (const graph_use *u = pv->v->uses; u; u = u->next)
            typed |= !op_is_linear_constant(u->node, u->index) &&
                     !(graph_is_op(u->node, "nib", "Embed") && u->index % 2);
        pv->constant = typed ? graph_tensor_aligned(&p->arena, t) : t->data;
        if (!pv->constant) return NIB_OUT_OF_MEMORY;
    }
    for (int i = graph_required_inputs(p->g); i < p->g->n_inputs; i++) {
        plan_value *pv = &p->values[p->g->inputs[i]->id];
        if (!(pv->constant = graph_tensor_aligned(&p->arena, pv->v->preset))) return NIB_OUT_OF_MEMORY;
    }
    return NIB_OK;
}

/* The host's program. */
static nib_status build_steps(builder *b, const plan_options *options) {
    nib_status status = NIB_OK;
    plan *p = b->p;
    NIB_TRY(compile_steps(b));
    NIB_TRY(build_bodies(b));
    if (make_stages(p) != NIB_OK) NIB_TRY(no_memory(b->err));
    find_lifetimes(p);
    find_main_rows(p);
    if (choose_storage(p) != NIB_OK || align_constants(p) != NIB_OK || place_values(p, options) != NIB_OK) NIB_TRY(no_memory(b->err));
fail:
    return status;
}

/* What regions have to themselves, the groups that they share are made for. */
static void adopt_sizes(plan *p) {
    p->group_tokens = choose_group(p, base_cpu_caches());
    for (int i = 0; i < p->n_others; i++) {
        device_props props = {.row_bucket = 1};
        p->others[i]->table->props(p->others[i], &props);
        if (props.group_tokens > p->group_tokens) p->group_tokens = props.group_tokens;
    }
}

nib_status plan_build(nib_runtime *runtime, const graph *g, struct device *const *devices, int n_devices, const plan_options *options,
                      plan **out, nib_error *err) {
    nib_status status = NIB_OK;
    plan *p = base_calloc(&runtime->heap, 1, sizeof *p);
    struct device **on = NULL;
    bool one = false;
    *out = NULL;
    if (!p) return no_memory(err);
    builder b = {.p = p, .g = (graph *)(uintptr_t)g, .devices = devices, .n_devices = n_devices, .err = err};
    base_str_init(&b.notes, &runtime->heap);
    p->runtime = base_runtime_retain(runtime);
    p->g = g;
    base_arena_init(&p->arena, &runtime->heap);
    p->values = base_arena_calloc(&p->arena, (size_t)g->value_limit + 1, sizeof *p->values);
    if (!p->values) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for a plan");
    p->is_body = options && options->body;
    p->n_symbols = graph_symbol_count(g->symbols);
    if (find_bindable(p, options) != NIB_OK) NIB_TRY(no_memory(err));
    NIB_TRY(choose_devices(&b, &on, &one));
    if (one) {
        NIB_TRY(build_steps(&b, options));
    } else {
        NIB_TRY(plan_make_regions(p, on, devices[n_devices - 1], options, err));
        adopt_sizes(p);
    }
    p->notes = base_arena_strndup(&p->arena, b.notes.data ? b.notes.data : "", b.notes.length);
    if (!p->notes) NIB_TRY(no_memory(err));
    base_str_free(&b.notes);
    *out = p;
    return NIB_OK;
fail:
    base_str_free(&b.notes);
    plan_free(p);
    return status;
}

typedef struct plan_end {
    struct plan_end *next;
    void (*fn)(void *a, void *b);
    void *a, *b;
} plan_end;

bool plan_at_end(plan *p, void (*fn)(void *a, void *b), void *a, void *b) {
    plan_end *e = base_arena_alloc(&p->arena, sizeof *e);
    if (!e) return false;
    *e = (plan_end){p->ends, fn, a, b};
    p->ends = e;
    return true;
}

void plan_free(plan *p) {
    if (!p) return;
    nib_runtime *rt = p->runtime;
    for (plan_end *e = p->ends; e; e = e->next) e->fn(e->a, e->b);
    for (int i = 0; i < p->n_bodies; i++) plan_free(p->bodies[i]);
    plan_free_regions(p);
    base_arena_free(&p->arena);
    base_free(&rt->heap, p);
    base_runtime_release(rt);
}

int64_t plan_extent(const plan_step *step, const plan_group *group) {
    int64_t n = 1;
    if (step->range == PLAN_RANGE_WHOLE) return 1;
    if (step->range == PLAN_RANGE_PARTS) return step->parts(step, group);
    if (!graph_dim_eval(step->extent, group->symbols, group->p->n_symbols, &n) || n < 0) return -1;
    return step->range == PLAN_RANGE_TEXT_HEADS ? n * step->heads : n;
}
