/* SPDX-License-Identifier: Apache-2.0
 *
 * In: a plan and the sizes of one group. Out: every value's concrete shape and address in the worker's memory:
 *
 *     arena: | ROWS values: rows_bytes x rows | SIZED values, placed on numbers |
 *
 * Nothing is done again for the sizes of the run before.
 */
#include "op/op_nib.h"
#include "run_internal.h"
#include <string.h>

bool run_buffer_grow(base_heap *heap, run_buffer *b, size_t bytes) {
    if (bytes <= b->size) return true;
    size_t want = b->size + b->size / 4 > bytes ? b->size + b->size / 4 : bytes; /* sizes that creep up do not cost a copy each */
    base_free(heap, b->data);
    b->size = 0;
    b->data = base_alloc(heap, want);
    if (!b->data && want > bytes) b->data = base_alloc(heap, want = bytes);
    if (b->data) b->size = want;
    return b->data != NULL;
}

static void *grow_value(plan_group *group, int id, size_t bytes) {
    run_worker *w = (run_worker *)group;
    if (w->bound && w->bound[id].data && bytes <= w->bound[id].size) return w->bound[id].data; /* larger: told after the run */
    return run_buffer_grow(w->heap, &w->dynamic[id], bytes) ? w->dynamic[id].data : NULL;
}

static void *hold_value(plan_group *group, int id, size_t bytes) {
    run_worker *w = (run_worker *)group;
    return run_buffer_grow(w->heap, &w->elements[id], bytes) ? w->elements[id].data : NULL;
}

static void *eval_scratch(plan_lane *lane, size_t bytes) {
    run_worker *w = (run_worker *)(void *)((char *)lane - offsetof(run_worker, lane));
    if (w->eval_scratch_used == w->eval_scratch_cap) {
        size_t before = w->eval_scratch_cap;
        size_t need = before < 8 ? 8 : before + 1;
        if (!base_grow(w->heap, (void **)&w->eval_scratch, &w->eval_scratch_cap, need, sizeof *w->eval_scratch)) return NULL;
        memset(w->eval_scratch + before, 0, (w->eval_scratch_cap - before) * sizeof *w->eval_scratch);
    }
    run_buffer *b = &w->eval_scratch[w->eval_scratch_used];
    if (!run_buffer_grow(w->heap, b, bytes ? bytes : 1)) return NULL;
    w->eval_scratch_used++;
    return b->data;
}

static bool stopped(const plan_lane *lane) {
    return run_is_cancelled((const run_worker *)(const void *)((const char *)lane - offsetof(run_worker, lane)));
}

nib_status run_worker_ready(run_session *s, run_worker *w, nib_error *err) {
    w->cancelled = &s->cancelled;
    return run_worker_make(s->p, s->heap, w, err);
}

nib_status run_worker_make(const plan *p, base_heap *heap, run_worker *w, nib_error *err) {
    if (w->ready) return NIB_OK;
    w->heap = heap;
    w->group.p = p;
    w->group.grow = grow_value;
    w->group.hold = hold_value;
    w->lane.group = &w->group;
    w->lane.eval_scratch = eval_scratch;
    w->lane.body = run_body;
    w->lane.stopped = stopped;
    size_t values = (size_t)p->g->value_limit + 1, symbols = (size_t)p->n_symbols + 1;
    /* Each is kept if it is there: a call that failed half-way goes on where it stopped. */
    if (!w->group.slots) w->group.slots = base_calloc(heap, values, sizeof *w->group.slots);
    if (!w->group.symbols) w->group.symbols = base_calloc(heap, symbols, sizeof *w->group.symbols);
    if (!w->laid_out) w->laid_out = base_calloc(heap, symbols, sizeof *w->laid_out);
    if (!w->dynamic) w->dynamic = base_calloc(heap, values, sizeof *w->dynamic);
    if (!w->elements) w->elements = base_calloc(heap, values, sizeof *w->elements);
    if (!w->items) w->items = base_calloc(heap, (size_t)p->n_sized + 1, sizeof *w->items);
    bool ok = w->group.slots && w->group.symbols && w->laid_out && w->dynamic && w->elements && w->items;
    ok = ok && run_buffer_grow(heap, &w->block, p->block_bytes * (size_t)p->block_most + 64) &&
         run_buffer_grow(heap, &w->scratch, p->scratch + 64);
    if (!ok) return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for a session");
    w->lane.block = w->block.data;
    w->lane.scratch = w->scratch.data;
    for (int id = 0; id < p->g->value_limit; id++) {
        const plan_value *pv = &p->values[id];
        if (!pv->v || pv->storage != PLAN_CONSTANT) continue;
        w->group.slots[id].t = *pv->v->constant;
        w->group.slots[id].t.data = (void *)(uintptr_t)pv->constant;
    }
    w->ready = true;
    return NIB_OK;
}

void run_unbind(run_worker *w) {
    for (int i = 0; i < w->group.p->n_symbols; i++) w->group.symbols[i] = GRAPH_UNBOUND;
}

/* What a caller says of a tensor, and of those inside it, must hold; inside, memory is the CPU's and somebody else's.
 */
static bool is_sound(const nib_tensor *t, int depth) {
    if (t->rank < 0 || t->rank > NIB_MAX_RANK || depth > 4 || t->release) return false;
    if (t->place.kind != 0 && t->place.kind != NIB_DEVICE_CPU) return false;
    int64_t count = graph_tensor_elements(t);
    if (count < 0 || graph_type_bytes(t->dtype, (size_t)count) > t->bytes || (t->bytes && !t->data)) return false;
    bool container = t->dtype == NIB_DTYPE_SEQUENCE || t->dtype == NIB_DTYPE_OPTIONAL;
    if (t->dtype == NIB_DTYPE_STRING) {
        const nib_string *strings = t->data;
        for (int64_t i = 0; i < count; i++)
            if (strings[i].length && !strings[i].data) return false;
        return true;
    }
    if (!container) return nib_dtype_bits(t->dtype) > 0;
    if (t->rank != 1 || (t->dtype == NIB_DTYPE_OPTIONAL && count > 1)) return false;
    for (int64_t i = 0; i < count; i++)
        if (!is_sound((const nib_tensor *)t->data + i, depth + 1)) return false;
    return true;
}

static nib_status bind_container(run_worker *w, const graph_value *v, const nib_tensor *t, nib_error *err) {
    nib_dtype wanted = v->type.kind == GRAPH_KIND_SEQUENCE ? NIB_DTYPE_SEQUENCE : NIB_DTYPE_OPTIONAL;
    bool known = v->type.kind == GRAPH_KIND_SEQUENCE || v->type.kind == GRAPH_KIND_OPTIONAL;
    if (!known || t->dtype != wanted)
        return base_error_set(err, NIB_TYPE, "input %s is %s, the model wants %s", v->name, nib_dtype_name(t->dtype),
                              known ? nib_dtype_name(wanted) : "another type");
    if (!is_sound(t, 0))
        return base_error_set(
            err, NIB_INVALID_ARGUMENT,
            "input %s: an element has fewer bytes than its shape needs, is not the CPU's, or has a release", v->name);
    w->group.slots[v->id].t = *t;
    return NIB_OK;
}

nib_status run_bind_input(run_worker *w, int index, const nib_tensor *t, nib_error *err) {
    const graph_value *v = w->group.p->g->inputs[index];
    const graph_type *type = &v->type;
    int64_t count = graph_tensor_elements(t), c;
    if (type->kind != GRAPH_KIND_TENSOR || t->dtype >= NIB_DTYPE_SEQUENCE) return bind_container(w, v, t, err);
    if (t->dtype != type->dtype && type->dtype != NIB_DTYPE_UNDEFINED)
        return base_error_set(err, NIB_TYPE, "input %s is %s, the model wants %s", v->name, nib_dtype_name(t->dtype),
                              nib_dtype_name(type->dtype));
    if (type->rank >= 0 && t->rank != type->rank)
        return base_error_set(err, NIB_SHAPE, "input %s has rank %d, the model wants %d", v->name, t->rank, type->rank);
    if (count < 0 || graph_type_bytes(t->dtype, (size_t)count) > t->bytes)
        return base_error_set(err, NIB_SHAPE, "input %s: its %zu bytes are fewer than its shape needs", v->name, t->bytes);
    if (!is_sound(t, 0)) return base_error_set(err, NIB_INVALID_ARGUMENT, "input %s: its strings or its type are not sound", v->name);
    for (int k = 0; k < type->rank; k++) {
        int symbol = graph_symbol_index(type->dims[k]);
        if (graph_dim_is_const(type->dims[k], &c) && c != t->dims[k])
            return base_error_set(err, NIB_SHAPE, "input %s: axis %d is %lld, the model wants %lld", v->name, k, (long long)t->dims[k],
                                  (long long)c);
        if (symbol < 0) continue;
        int64_t *bound = &w->group.symbols[symbol];
        if (*bound != GRAPH_UNBOUND && *bound != t->dims[k])
            return base_error_set(err, NIB_SHAPE, "input %s: axis %d is %lld, but %s is %lld elsewhere", v->name, k, (long long)t->dims[k],
                                  graph_symbol_name(w->group.p->g->symbols, symbol), (long long)*bound);
        *bound = t->dims[k];
    }
    w->group.slots[v->id].t = *t;
    return NIB_OK;
}

bool run_resolve(const run_worker *w, const graph_value *v, graph_tensor *t) {
    const graph_type *type = &v->type;
    bool known = type->rank >= 0;
    t->dtype = type->dtype;
    t->rank = type->rank;
    for (int k = 0; k < type->rank; k++) {
        if (graph_dim_eval(type->dims[k], w->group.symbols, w->group.p->n_symbols, &t->dims[k])) continue;
        t->dims[k] = -1;
        known = false;
    }
    if (!known) return false;
    int64_t count = graph_tensor_elements(t);
    t->bytes = count < 0 ? SIZE_MAX : graph_type_bytes(t->dtype, (size_t)count);
    return t->bytes != SIZE_MAX;
}

nib_status run_layout(run_worker *w, nib_error *err) {
    const plan *p = w->group.p;
    int64_t rows = 0;
    size_t rows_bytes, total;
    int n = 0;
    if (w->is_laid_out && memcmp(w->laid_out, w->group.symbols, (size_t)p->n_symbols * sizeof(int64_t)) == 0) return NIB_OK;
    w->is_laid_out = false;
    if (p->rows && (!graph_dim_eval(p->rows, w->group.symbols, p->n_symbols, &rows) || rows < 0))
        return base_error_set(err, NIB_SHAPE, "the number of rows is not given by the inputs");
    if (!base_mul_size(p->rows_bytes, (size_t)rows, &rows_bytes)) return base_error_set(err, NIB_LIMIT, "the batch is too large");
    for (int i = 0; i < p->n_sized; i++) {
        int id = p->sized[i];
        graph_tensor *t = &w->group.slots[id].t;
        t->data = NULL;
        if (!run_resolve(w, p->values[id].v, t)) t->bytes = 0; /* eval's output will find its own place */
        w->items[n++] = (plan_item){.id = id, .first = p->values[id].first, .last = p->values[id].last, .size = t->bytes};
    }
    total = plan_memory_place(w->items, n);
    if (total == SIZE_MAX || !base_add_size(total, rows_bytes, &total)) return base_error_set(err, NIB_LIMIT, "the batch is too large");
    if (!run_buffer_grow(w->heap, &w->arena, total + 64))
        return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory: this batch needs %zu bytes", total);
    for (int i = 0; i < n; i++) w->group.slots[w->items[i].id].t.data = (char *)w->arena.data + rows_bytes + w->items[i].offset;
    for (int id = 0; id < p->g->value_limit; id++) {
        const plan_value *pv = &p->values[id];
        if (!pv->v || (pv->storage != PLAN_ROWS && pv->storage != PLAN_BLOCK)) continue;
        graph_tensor *t = &w->group.slots[id].t;
        if (!run_resolve(w, pv->v, t)) return base_error_set(err, NIB_INTERNAL, "the size of %s is not known", pv->v->name);
        t->data = pv->storage == PLAN_ROWS ? (char *)w->arena.data + pv->offset * (size_t)rows : NULL;
    }
    memcpy(w->laid_out, w->group.symbols, (size_t)p->n_symbols * sizeof(int64_t));
    w->is_laid_out = true;
    return NIB_OK;
}
