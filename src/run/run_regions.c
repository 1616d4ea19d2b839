/* SPDX-License-Identifier: Apache-2.0
 *
 * Walking a plan of regions. In: a group whose inputs are bound. Out: its values computed, by the host and by other devices.
 *
 * A worker has a stream of its own on each device that it has used, and one block of the device's memory:
 *
 *     | values that cross its regions, placed on rounded sizes | what its programs want beside them |
 *
 * What another device gives and somebody else reads is downloaded behind the launch, and waited for where it is first needed; what
 * a device reads is uploaded in front of the launch. Nothing else waits, but the end of a group. A group whose device fails
 * is run again, whole, on another of its pool: its inputs are still there, and nobody has been given anything of it.
 */
#include "run_internal.h"
#include <string.h>

#define LAYOUTS 64 /* that a block of memory is known under */
#define ALIGN ((size_t)256)
#define MARKS 4

typedef struct other {     /* a worker's part of one device */
    device_stream *stream; /* NULL: not opened yet */
    device_event *event;
    device_event **marks; /* [n_regions][MARKS] while groups are profiled: before its uploads, its launch, its downloads, and behind */
    device_address memory;
    size_t size;
    size_t *at;       /* [value_limit] where in the memory a value lies */
    size_t arena;     /* where the programs' own begins */
    int64_t *rounded; /* [n_symbols] what it is laid out for */
    bool laid_out;
    int64_t *seen; /* [LAYOUTS][n_symbols] sizes that had a number in this memory */
    int n_seen;
    uint64_t generation, layout;
    bool *holds;                 /* [value_limit] the group's value is there */
    bool used, recorded, waited; /* in this group: anything; the event is behind all downloads; and they are done */
} other;

typedef struct run_regions {
    run_worker *hosts; /* [n_regions] */
    other **others;    /* [n_others][pool's size] */
    int *chosen;       /* [n_others] of the pool, for this group */
    int failed;        /* 1 + the device that failed in this group; 0: none */
    int *from;         /* [value_limit] 1 + the device whose download brings it; 0: it is on the host */
    plan_item *items;  /* [value_limit] */
    device_value *values; /* [value_limit] of a launch: inputs, then outputs */
    struct {
        uint64_t n, bytes;
    } *copied; /* [n_regions] over another device's borders, in this group */
} run_regions;

static struct device *device_at(const plan *p, int k, int replica) {
    struct device *d = p->others[k];
    return d->pool ? d->pool->devices[replica] : d;
}
static int replicas_of(const struct device *d) { return d->pool ? d->pool->n : 1; }
static int index_of(const plan *p, const struct device *d) {
    int k = 0;
    while (p->others[k] != d) k++;
    return k;
}

static nib_status no_memory(nib_error *err) { return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for a session"); }

static nib_status make_state(run_worker *w, nib_error *err) {
    const plan *p = w->group.p;
    const size_t values = (size_t)p->g->value_limit + 1;
    run_regions *r = w->regions ? w->regions : (w->regions = base_calloc(w->heap, 1, sizeof *r));
    if (!r) return no_memory(err);
    if (!r->hosts) r->hosts = base_calloc(w->heap, (size_t)p->n_regions, sizeof *r->hosts);
    if (!r->others) r->others = base_calloc(w->heap, (size_t)p->n_others + 1, sizeof *r->others);
    if (!r->chosen) r->chosen = base_calloc(w->heap, (size_t)p->n_others + 1, sizeof *r->chosen);
    if (!r->from) r->from = base_calloc(w->heap, values, sizeof *r->from);
    if (!r->items) r->items = base_calloc(w->heap, values, sizeof *r->items);
    if (!r->values) r->values = base_calloc(w->heap, values, sizeof *r->values);
    if (!r->copied) r->copied = base_calloc(w->heap, (size_t)p->n_regions, sizeof *r->copied);
    bool ok = r->hosts && r->others && r->chosen && r->from && r->items && r->values && r->copied;
    for (int k = 0; ok && k < p->n_others; k++) {
        if (!r->others[k]) r->others[k] = base_calloc(w->heap, (size_t)replicas_of(p->others[k]), sizeof **r->others);
        ok = r->others[k] != NULL;
    }
    return ok ? NIB_OK : no_memory(err);
}

/* Waits for what its stream does. */
static void close_other(base_heap *heap, const plan *p, struct device *d, other *o) {
    const device_own *own = d->table->own;
    own->stream_close(o->stream);
    own->event_free(o->event);
    for (int i = 0; o->marks && i < p->n_regions * MARKS; i++) own->event_free(o->marks[i]);
    base_free(heap, o->marks);
    own->release(d, o->memory);
    base_free(heap, o->at);
    base_free(heap, o->rounded);
    base_free(heap, o->seen);
    base_free(heap, o->holds);
    *o = (other){.generation = o->generation};
}

void run_regions_free(base_heap *heap, run_worker *w) {
    const plan *p = w->group.p;
    run_regions *r = w->regions;
    if (!r) return;
    for (int i = 0; r->hosts && i < p->n_regions; i++) run_worker_free(heap, &r->hosts[i]);
    for (int k = 0; r->others && k < p->n_others; k++) {
        for (int i = 0; r->others[k] && i < replicas_of(p->others[k]); i++) close_other(heap, p, device_at(p, k, i), &r->others[k][i]);
        base_free(heap, r->others[k]);
    }
    base_free(heap, r->hosts);
    base_free(heap, r->others);
    base_free(heap, r->chosen);
    base_free(heap, r->from);
    base_free(heap, r->items);
    base_free(heap, r->values);
    base_free(heap, r->copied);
    base_free(heap, r);
    w->regions = NULL;
}

size_t run_regions_bytes(const run_worker *w) {
    const plan *p = w->group.p;
    const run_regions *r = w->regions;
    size_t sum = 0;
    for (int i = 0; r && r->hosts && i < p->n_regions; i++) sum += run_worker_bytes(&r->hosts[i]);
    return sum;
}

/* ---- a device's memory */

static nib_status open_other(run_worker *w, struct device *d, other *o, nib_error *err) {
    nib_status status = NIB_OK;
    const plan *p = w->group.p;
    const size_t values = (size_t)p->g->value_limit + 1, symbols = (size_t)p->n_symbols + 1;
    if (!o->at) o->at = base_calloc(w->heap, values, sizeof *o->at);
    if (!o->holds) o->holds = base_calloc(w->heap, values, sizeof *o->holds);
    if (!o->rounded) o->rounded = base_calloc(w->heap, symbols, sizeof *o->rounded);
    if (!o->seen) o->seen = base_calloc(w->heap, LAYOUTS * symbols, sizeof *o->seen);
    if (!o->at || !o->holds || !o->rounded || !o->seen) NIB_TRY(no_memory(err));
    if (!o->event) NIB_TRY(d->table->own->event_create(d, &o->event, err));
    if (!o->stream) NIB_TRY(d->table->own->stream_open(d, &o->stream, err));
fail:
    return status;
}

/* Bytes of a value at the rounded sizes, up to a whole number of ALIGN; SIZE_MAX: too many. */
static size_t rounded_bytes(const graph_value *v, const int64_t *rounded, int n_symbols) {
    graph_tensor t = {.dtype = v->type.dtype, .rank = v->type.rank};
    for (int k = 0; k < t.rank; k++)
        if (!graph_dim_eval(v->type.dims[k], rounded, n_symbols, &t.dims[k])) return SIZE_MAX;
    const int64_t count = graph_tensor_elements(&t);
    const size_t bytes = count < 0 ? SIZE_MAX : graph_type_bytes(t.dtype, (size_t)count);
    return bytes > SIZE_MAX - ALIGN ? SIZE_MAX : (bytes + ALIGN) / ALIGN * ALIGN;
}

/* Values that device k's regions read or write, with the regions between which they must stay. */
static nib_status place_crossing(const plan *p, int k, run_regions *r, other *o, size_t *total, nib_error *err) {
    int n = 0;
    for (int id = 0; id < p->g->value_limit; id++) o->holds[id] = false;
    for (int i = 0; i < p->n_regions; i++) {
        const plan_region *region = &p->regions[i];
        if (region->device != p->others[k]) continue;
        for (int j = 0; j < region->g->n_inputs + region->g->n_outputs; j++) {
            const int id = j < region->g->n_inputs ? region->inputs[j] : region->outputs[j - region->g->n_inputs];
            if (o->holds[id]) continue;
            o->holds[id] = true; /* counted */
            const plan_value *pv = &p->values[id];
            const size_t size = rounded_bytes(pv->v, o->rounded, p->n_symbols);
            if (size == SIZE_MAX) return base_error_set(err, NIB_LIMIT, "the batch is too large");
            r->items[n++] = (plan_item){.id = id, .first = i, .last = pv->last < i ? i : pv->last, .size = size};
        }
    }
    for (int id = 0; id < p->g->value_limit; id++) o->holds[id] = false;
    *total = plan_memory_place(r->items, n);
    for (int i = 0; i < n; i++) o->at[r->items[i].id] = r->items[i].offset;
    return *total == SIZE_MAX ? base_error_set(err, NIB_LIMIT, "the batch is too large") : NIB_OK;
}

static void number_layout(const plan *p, other *o) {
    const size_t n = (size_t)p->n_symbols;
    int i = 0;
    while (i < o->n_seen && memcmp(o->seen + (size_t)i * n, o->rounded, n * sizeof *o->seen) != 0) i++;
    if (i == LAYOUTS) o->generation++, o->n_seen = i = 0;
    if (i == o->n_seen) memcpy(o->seen + (size_t)o->n_seen++ * n, o->rounded, n * sizeof *o->seen);
    o->layout = o->generation * LAYOUTS + (uint64_t)i + 1;
}

static nib_status grow_memory(struct device *d, other *o, size_t bytes, nib_error *err) {
    const device_own *own = d->table->own;
    if (bytes <= o->size) return NIB_OK;
    const size_t size = bytes + bytes / 4;
    own->release(d, o->memory); /* nothing is in the stream between groups */
    o->memory = (device_address){0};
    o->size = 0;
    o->generation++;
    o->n_seen = 0;
    nib_status status = own->allocate(d, size, &o->memory, err);
    if (status == NIB_OUT_OF_MEMORY) status = own->allocate(d, bytes, &o->memory, err), o->size = bytes;
    else o->size = size;
    if (status != NIB_OK) o->size = 0;
    return status;
}

static nib_status lay_out(run_worker *w, int k, struct device *d, other *o, nib_error *err) {
    nib_status status = NIB_OK;
    const plan *p = w->group.p;
    device_props props = {.row_bucket = 1};
    d->table->props(d, &props);
    int64_t *symbols = w->group.symbols, rows = p->tokens_symbol >= 0 ? symbols[p->tokens_symbol] : 0;
    const int64_t bucket = props.row_bucket > 1 ? props.row_bucket : 1,
                  up = rows <= INT64_MAX - bucket ? (rows + bucket - 1) / bucket * bucket : rows;
    bool same = o->laid_out;
    for (int i = 0; i < p->n_symbols; i++) {
        const int64_t n = i == p->tokens_symbol ? up : symbols[i];
        same &= o->rounded[i] == n;
        o->rounded[i] = n;
    }
    if (same) return NIB_OK;
    size_t crossing, arena = 0, most = 0;
    o->laid_out = false;
    NIB_TRY(place_crossing(p, k, w->regions, o, &crossing, err));
    for (int i = 0; i < p->n_regions; i++) {
        if (p->regions[i].device != p->others[k]) continue;
        NIB_TRY(d->table->own->arena_bytes(p->regions[i].programs[w->regions->chosen[k]], o->rounded, p->n_symbols, &arena, err));
        if (arena > most) most = arena;
    }
    if (!base_add_size(crossing, most, &arena)) NIB_FAIL(err, NIB_LIMIT, "the batch is too large");
    NIB_TRY(grow_memory(d, o, arena ? arena : ALIGN, err));
    number_layout(p, o);
    o->arena = crossing;
    o->laid_out = true;
fail:
    return status;
}

/* ---- over the borders */

/* Device k is to blame, if nobody is yet. */
static nib_status blame(run_regions *r, int k, nib_status status) {
    if (status == NIB_DEVICE && !r->failed) r->failed = k + 1;
    return status;
}

/* Downloads of device k are done. */
static nib_status wait_for(run_worker *w, int k, nib_error *err) {
    nib_status status = NIB_OK;
    struct device *d = device_at(w->group.p, k, w->regions->chosen[k]);
    other *o = &w->regions->others[k][w->regions->chosen[k]];
    if (o->waited) return NIB_OK;
    if (!o->recorded) NIB_TRY(d->table->own->record(o->stream, o->event, err));
    o->recorded = true;
    NIB_TRY(d->table->own->wait(o->event, err));
    o->waited = true;
fail:
    return blame(w->regions, k, status);
}

static nib_status on_host(run_worker *w, int id, nib_error *err) {
    run_regions *r = w->regions;
    const int k = r->from[id] - 1;
    if (k < 0) return NIB_OK;
    nib_status status = wait_for(w, k, err);
    for (int i = 0; status == NIB_OK && i < w->group.p->g->value_limit; i++)
        if (r->from[i] == k + 1) r->from[i] = 0;
    return status;
}

/* It is on the host already. */
static nib_status to_device(run_worker *w, other *o, struct device *d, int region, int id, nib_error *err) {
    nib_status status = NIB_OK;
    graph_tensor want;
    const graph_tensor *t = &w->group.slots[id].t;
    const graph_value *v = w->group.p->values[id].v;
    bool fits = run_resolve(w, v, &want) && want.rank == t->rank && want.dtype == t->dtype;
    for (int i = 0; fits && i < t->rank; i++) fits = want.dims[i] == t->dims[i];
    if (!fits) NIB_FAIL(err, NIB_SHAPE, "%s has another shape than it was planned with", v->name);
    if (want.bytes) NIB_TRY(d->table->own->upload(o->stream, (device_address){o->memory.at + o->at[id]}, t->data, want.bytes, err));
    o->holds[id] = true;
    o->waited = o->recorded = false;
    w->regions->copied[region].n += want.bytes > 0;
    w->regions->copied[region].bytes += want.bytes;
fail:
    return status;
}

static bool read_elsewhere(const plan *p, int id, const struct device *d) {
    if (p->values[id].v->is_output) return true;
    for (int i = 0; i < p->n_regions; i++)
        for (int k = 0; p->regions[i].device != d && k < p->regions[i].g->n_inputs; k++)
            if (p->regions[i].inputs[k] == id) return true;
    return false;
}

static nib_status from_device(run_worker *w, int k, other *o, struct device *d, int region, int id, nib_error *err) {
    nib_status status = NIB_OK;
    graph_tensor *t = &w->group.slots[id].t;
    o->holds[id] = true;
    if (!run_resolve(w, w->group.p->values[id].v, t))
        NIB_FAIL(err, NIB_INTERNAL, "the size of %s is not known", w->group.p->values[id].v->name);
    if (!read_elsewhere(w->group.p, id, w->group.p->others[k])) return NIB_OK;
    t->data = w->group.grow(&w->group, id, t->bytes ? t->bytes : 1);
    if (!t->data) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for %zu bytes of %s", t->bytes, w->group.p->values[id].v->name);
    w->regions->from[id] = k + 1;
    o->waited = o->recorded = false;
    w->regions->copied[region].n += t->bytes > 0;
    w->regions->copied[region].bytes += t->bytes;
    if (t->bytes) NIB_TRY(d->table->own->download(o->stream, t->data, (device_address){o->memory.at + o->at[id]}, t->bytes, err));
fail:
    return status;
}

/* ---- regions */

static device_value value_in(const run_worker *w, const other *o, int id) {
    const graph_tensor *t = &w->group.slots[id].t;
    device_value v = {.at = {o->memory.at + o->at[id]}, .dtype = t->dtype, .rank = t->rank, .bytes = t->bytes};
    memcpy(v.dims, t->dims, sizeof v.dims);
    return v;
}

/* ---- what they take, where that is counted: events around each region's copies and launch, which the device compares */

static nib_status mark(const run_worker *w, struct device *d, other *o, int region, int which, nib_error *err) {
    nib_status status = NIB_OK;
    const device_own *own = d->table->own;
    if (!w->counters) return NIB_OK;
    if (!o->marks) o->marks = base_calloc(w->heap, (size_t)w->group.p->n_regions * MARKS, sizeof *o->marks);
    if (!o->marks) NIB_TRY(no_memory(err));
    device_event **e = &o->marks[region * MARKS + which];
    if (!*e) NIB_TRY(own->event_create(d, e, err));
    NIB_TRY(own->record(o->stream, *e, err));
fail:
    return status;
}

/* Of region i, which has been waited for. */
static nib_status count_region(const run_worker *w, int i, nib_error *err) {
    nib_status status = NIB_OK;
    const plan *p = w->group.p;
    const int k = index_of(p, p->regions[i].device);
    const device_own *own = p->regions[i].device->table->own;
    device_event **marks = w->regions->others[k][w->regions->chosen[k]].marks + (size_t)i * MARKS;
    double took[MARKS - 1];
    for (int j = 0; j + 1 < MARKS; j++) NIB_TRY(own->elapsed(marks[j], marks[j + 1], &took[j], err));
    const int64_t rows = p->tokens_symbol >= 0 ? w->group.symbols[p->tokens_symbol] : 0;
    run_count_region(w->counters + run_rows_before(p, i), took[1], took[0] + took[2], (uint64_t)rows, w->regions->copied[i].n,
                     w->regions->copied[i].bytes);
fail:
    return status;
}

static nib_status run_on_device(run_worker *w, int at, nib_error *err) {
    nib_status status = NIB_OK;
    const plan *p = w->group.p;
    const plan_region *region = &p->regions[at];
    const int k = index_of(p, region->device), replica = w->regions->chosen[k], n_in = region->g->n_inputs, n_out = region->g->n_outputs;
    struct device *d = device_at(p, k, replica);
    other *o = &w->regions->others[k][replica];
    device_value *values = w->regions->values; /* a region's inputs and outputs are different values of the plan */
    o->used = true;
    for (int i = 0; i < n_in; i++)
        if (!o->holds[region->inputs[i]]) NIB_TRY(on_host(w, region->inputs[i], err));
    NIB_TRY(mark(w, d, o, at, 0, err));
    for (int i = 0; i < n_in; i++) {
        if (!o->holds[region->inputs[i]]) NIB_TRY(to_device(w, o, d, at, region->inputs[i], err));
        values[i] = value_in(w, o, region->inputs[i]);
    }
    for (int i = 0; i < n_out; i++) {
        if (!run_resolve(w, p->values[region->outputs[i]].v, &w->group.slots[region->outputs[i]].t))
            NIB_FAIL(err, NIB_INTERNAL, "the size of %s is not known", p->values[region->outputs[i]].v->name);
        values[n_in + i] = value_in(w, o, region->outputs[i]);
    }
    o->waited = o->recorded = false;
    NIB_TRY(mark(w, d, o, at, 1, err));
    NIB_TRY(d->table->own->launch(region->programs[replica],
                                  &(device_launch){.symbols = w->group.symbols,
                                                   .rounded = o->rounded,
                                                   .n_symbols = p->n_symbols,
                                                   .inputs = values,
                                                   .outputs = values + n_in,
                                                   .arena = {o->memory.at + o->arena},
                                                   .layout = o->layout},
                                  o->stream, err));
    NIB_TRY(mark(w, d, o, at, 2, err));
    for (int i = 0; i < n_out; i++) NIB_TRY(from_device(w, k, o, d, at, region->outputs[i], err));
    NIB_TRY(mark(w, d, o, at, 3, err));
fail:
    return blame(w->regions, k, status);
}

/* Lanes of the other workers for region i. */
static nib_status make_lanes(run_session *s, int i, int threads, run_worker **lanes, nib_error *err) {
    nib_status status = NIB_OK;
    for (int m = 1; m < threads; m++) {
        NIB_TRY(run_worker_ready(s, &s->workers[m], err));
        NIB_TRY(make_state(&s->workers[m], err));
        lanes[m] = &s->workers[m].regions->hosts[i];
        NIB_TRY(run_worker_make(s->p->regions[i].host, s->heap, lanes[m], err));
        lanes[m]->cancelled = &s->cancelled;
        lanes[m]->counters = s->workers[m].counters ? s->workers[m].counters + run_rows_before(s->p, i) : NULL;
    }
fail:
    return status;
}

static nib_status run_on_host(run_session *s, run_worker *w, int i, int threads, nib_error *err) {
    nib_status status = NIB_OK;
    const plan_region *region = &w->group.p->regions[i];
    run_worker *host = &w->regions->hosts[i], *lanes[RUN_TEAM_MOST] = {host};
    NIB_TRY(run_worker_make(region->host, w->heap, host, err));
    host->cancelled = w->cancelled;
    host->counters = w->counters ? w->counters + run_rows_before(w->group.p, i) : NULL;
    run_unbind(host);
    for (int k = 0; k < region->host->n_symbols && k < w->group.p->n_symbols; k++) host->group.symbols[k] = w->group.symbols[k];
    for (int k = 0; k < region->g->n_inputs; k++) {
        NIB_TRY(on_host(w, region->inputs[k], err));
        NIB_TRY(run_bind_input(host, k, &w->group.slots[region->inputs[k]].t, err));
    }
    NIB_TRY(run_layout(host, err));
    if (threads > 1) NIB_TRY(make_lanes(s, i, threads, lanes, err));
    NIB_TRY(threads > 1 ? run_in_team(host, lanes, threads, err) : run_alone(host, err));
    for (int k = 0; k < region->g->n_outputs; k++) {
        w->group.slots[region->outputs[k]].t = host->group.slots[region->g->outputs[k]->id].t;
        w->regions->from[region->outputs[k]] = 0;
    }
fail:
    return status;
}

/* ---- a group */

static nib_status begin(run_worker *w, nib_error *err) {
    nib_status status = NIB_OK;
    const plan *p = w->group.p;
    run_regions *r = w->regions;
    memset(r->from, 0, (size_t)p->g->value_limit * sizeof *r->from);
    memset(r->copied, 0, (size_t)p->n_regions * sizeof *r->copied);
    r->failed = 0;
    for (int k = 0; k < p->n_others; k++) r->chosen[k] = -1;
    for (int k = 0; k < p->n_others; k++) {
        struct device *d = p->others[k];
        r->chosen[k] = d->pool ? device_pool_pick(d->pool) : 0;
        if (r->chosen[k] < 0) NIB_FAIL(err, NIB_DEVICE, "all devices of %s have failed", d->table->kind);
        d = device_at(p, k, r->chosen[k]);
        other *o = &r->others[k][r->chosen[k]];
        o->used = o->recorded = false;
        o->waited = true;
        NIB_TRY(blame(r, k, open_other(w, d, o, err)));
        NIB_TRY(blame(r, k, lay_out(w, k, d, o, err)));
        memset(o->holds, 0, (size_t)p->g->value_limit * sizeof *o->holds);
    }
fail:
    return status;
}

static nib_status go_through(run_session *s, run_worker *w, int threads, nib_error *err) {
    nib_status status = NIB_OK;
    const plan *p = w->group.p;
    NIB_TRY(begin(w, err));
    for (int i = 0; i < p->n_regions; i++) {
        if (run_is_cancelled(w)) NIB_FAIL(err, NIB_CANCELLED, "the run was cancelled");
        NIB_TRY(p->regions[i].host ? run_on_host(s, w, i, threads, err) : run_on_device(w, i, err));
    }
    for (int k = 0; k < p->n_others; k++) NIB_TRY(wait_for(w, k, err));
    for (int i = 0; w->counters && i < p->n_regions; i++)
        if (!p->regions[i].host) NIB_TRY(count_region(w, i, err));
fail:
    return status;
}

/* Nothing is under way any more when this returns; devices of pools are given back. Whether another can do what failed. */
static bool end(run_worker *w, nib_status status, double seconds) {
    const plan *p = w->group.p;
    run_regions *r = w->regions;
    const int64_t tokens = p->tokens_symbol >= 0 ? w->group.symbols[p->tokens_symbol] : 1;
    bool again = false;
    nib_error ignored;
    for (int k = 0; k < p->n_others && r->chosen[k] >= 0; k++) {
        device_pool *pool = p->others[k]->pool;
        other *o = &r->others[k][r->chosen[k]];
        const bool stuck = status != NIB_OK && o->used && wait_for(w, k, &ignored) != NIB_OK;
        const bool lost = r->failed == k + 1 && status == NIB_DEVICE;
        if (stuck || lost) close_other(w->heap, p, device_at(p, k, r->chosen[k]), o);
        if (pool) device_pool_done(pool, r->chosen[k], lost, status == NIB_OK ? seconds : 0, tokens);
        again |= lost && pool;
    }
    return again;
}

/* Who failed stands in front of the message. */
static void name_device(const run_worker *w, nib_error *err) {
    device_props props = {.row_bucket = 1};
    nib_error said = *err;
    const int k = w->regions->failed - 1;
    struct device *d = device_at(w->group.p, k, w->regions->chosen[k]);
    d->table->props(d, &props);
    if (strncmp(said.message, props.name, strlen(props.name)) != 0) base_error_set(err, said.status, "%s: %s", props.name, said.message);
}

nib_status run_group_regions(run_session *s, run_worker *w, int threads, nib_error *err) {
    nib_status status = make_state(w, err);
    for (bool again = status == NIB_OK; again;) {
        const double started = base_clock();
        status = go_through(s, w, threads, err);
        again = end(w, status, base_clock() - started);
        if (status == NIB_DEVICE && err && w->regions->failed) name_device(w, err);
    }
    return status;
}
