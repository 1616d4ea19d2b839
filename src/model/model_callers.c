/* SPDX-License-Identifier: Apache-2.0
 *
 * Callers' lives. In: a program that is made. Out: a session and buffers for one caller at a time; see model_callers.h.
 */
#include "model_callers.h"

static void caller_free(base_heap *heap, model_caller *c) {
    if (!c) return;
    run_session_free(c->session);
    for (int i = 0; c->stores && i < c->threads; i++) {
        text_encoding_free(&c->stores[i].encoding);
        base_free(heap, c->stores[i].ids);
        base_free(heap, c->stores[i].types);
        base_free(heap, c->stores[i].prompted);
    }
    base_free(heap, c->stores);
    base_free(heap, c->places);
    base_free(heap, c->items);
    base_free(heap, c);
}

static nib_status caller_create(nib_model *m, int which, model_caller **out, nib_error *err) {
    nib_status status = NIB_OK;
    base_heap *heap = &m->runtime->heap;
    model_caller *c = base_calloc(heap, 1, sizeof *c);
    *out = NULL;
    if (!c) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for a session");
    c->threads = base_pool_threads(m->runtime->pool);
    c->stores = base_calloc(heap, (size_t)c->threads, sizeof *c->stores);
    if (!c->stores) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for a session");
    for (int i = 0; i < c->threads; i++) text_encoding_init(&c->stores[i].encoding, heap);
    NIB_TRY(run_session_create(m->slots[which].program.p, &c->session, err));
    *out = c;
    return NIB_OK;
fail:
    caller_free(heap, c);
    return status;
}

bool model_caller_grow(nib_model *m, model_caller *c, size_t n) {
    base_heap *heap = &m->runtime->heap;
    return base_grow(heap, (void **)&c->places, &c->places_cap, n, sizeof *c->places) &&
           base_grow(heap, (void **)&c->items, &c->items_cap, n, sizeof *c->items);
}

nib_status model_take_caller(nib_model *m, int which, model_caller **out, nib_error *err) {
    model_slot *s = &m->slots[which];
    base_mutex_lock(m->lock);
    model_caller *c = s->idle;
    if (c) s->idle = c->next, s->idle_count--;
    base_mutex_unlock(m->lock);
    *out = c;
    return c ? NIB_OK : caller_create(m, which, out, err);
}

/* What came back last is taken first, so that those that a burst of callers left sink to the end. One that nobody has
 * wanted for so many calls of the model, whatever their task, goes, but for the last of a program, and those that were
 * asked for by nib_model_warm. */
#define IDLE_RETURNS 100

/* With the lock held: the last of a list, if it may go. */
static model_caller *take_unwanted(nib_model *m) {
    for (int i = 0; i < MODEL_PROGRAMS; i++) {
        model_slot *s = &m->slots[i];
        model_caller *last = s->idle, *before = NULL;
        while (last && last->next) before = last, last = last->next;
        if (!before || s->idle_count <= s->idle_warm || m->idle_returns - last->returned < IDLE_RETURNS) continue;
        before->next = NULL;
        s->idle_count--;
        return last;
    }
    return NULL;
}

void model_give_back(nib_model *m, int which, model_caller *c) {
    model_slot *s = &m->slots[which];
    base_mutex_lock(m->lock);
    c->next = s->idle;
    c->returned = ++m->idle_returns;
    s->idle = c;
    s->idle_count++;
    model_caller *unwanted = take_unwanted(m);
    base_mutex_unlock(m->lock);
    caller_free(&m->runtime->heap, unwanted);
}

void model_keep_callers(nib_model *m, int which, int count) {
    model_slot *s = &m->slots[which];
    base_mutex_lock(m->lock);
    if (count > s->idle_warm) s->idle_warm = count;
    base_mutex_unlock(m->lock);
}

void model_free_callers(nib_model *m, int which) {
    model_slot *s = &m->slots[which];
    for (model_caller *c = s->idle, *next; c; c = next) {
        next = c->next;
        caller_free(&m->runtime->heap, c);
    }
    s->idle = NULL;
}
