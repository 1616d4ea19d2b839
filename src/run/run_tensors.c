/* SPDX-License-Identifier: Apache-2.0
 *
 * A session's run on named tensors. In: a tensor for each input, and memory of the caller's for outputs. Out: tensors.
 *
 * Memory that is bound to an output takes the place of the plan's: an output that the plan placed (SIZED, ROWS) has its address
 * replaced once memory is laid out; one whose size only the run finds (DYNAMIC) gets it where else its buffer would grow. What is
 * still elsewhere after the run, since no step made it (inputs, constants, a value under two names), is copied.
 */
#include "run_internal.h"
#include <string.h>

static nib_status bind_inputs(run_session *s, run_worker *w, const nib_tensor *const *inputs, nib_error *err) {
    nib_status status = NIB_OK;
    const graph *g = s->p->g;
    NIB_TRY(run_worker_ready(s, w, err));
    run_unbind(w);
    for (int i = 0; i < g->n_inputs; i++) {
        const graph_value *v = g->inputs[i];
        nib_tensor preset;
        if (!inputs[i] && !v->preset) NIB_FAIL(err, NIB_INVALID_ARGUMENT, "input %s is not set", v->name);
        if (!inputs[i]) preset = *v->preset, preset.data = (void *)(uintptr_t)s->p->values[v->id].constant;
        NIB_TRY(run_bind_input(w, i, inputs[i] ? inputs[i] : &preset, err));
    }
fail:
    return status;
}

static nib_status too_small(const graph_value *v, size_t need, size_t have, nib_error *err) {
    return base_error_set(err, NIB_BUFFER_TOO_SMALL, "output %s needs %zu bytes; %zu are bound to it", v->name, need, have);
}

/* After run_layout: the caller's memory takes the place of the plan's. */
static nib_status place_outputs(const run_session *s, run_worker *w, nib_error *err) {
    const graph *g = s->p->g;
    for (int i = 0; s->bound && i < g->n_outputs; i++) {
        const graph_value *v = g->outputs[i];
        const run_buffer *to = &s->bound[i];
        graph_tensor t;
        if (!to->data) continue;
        if (run_resolve(w, v, &t) && t.bytes > to->size) return too_small(v, t.bytes, to->size, err);
        plan_storage storage = s->p->values[v->id].storage;
        if (storage == PLAN_SIZED || storage == PLAN_ROWS) w->group.slots[v->id].t.data = s->bound_values[v->id].data;
    }
    return NIB_OK;
}

static nib_status collect_outputs(const run_session *s, const run_worker *w, nib_error *err) {
    const graph *g = s->p->g;
    for (int i = 0; s->bound && i < g->n_outputs; i++) {
        const graph_tensor *t = &w->group.slots[g->outputs[i]->id].t;
        const run_buffer *to = &s->bound[i];
        if (!to->data) continue;
        if (t->bytes > to->size) return too_small(g->outputs[i], t->bytes, to->size, err);
        if (t->data != to->data && t->bytes) memmove(to->data, t->data, t->bytes);
    }
    return NIB_OK;
}

nib_status run_tensors(run_session *s, const nib_tensor *const *inputs, nib_error *err) {
    nib_status status = NIB_OK;
    run_worker *w = &s->workers[0];
    NIB_TRY(bind_inputs(s, w, inputs, err));
    NIB_TRY(run_layout(w, err));
    w->bound = s->bound_values;
    NIB_TRY(place_outputs(s, w, err));
    NIB_TRY(run_laid_out(s, w, s->threads, err));
    NIB_TRY(collect_outputs(s, w, err));
fail:
    w->bound = NULL;
    if (status == NIB_CANCELLED) atomic_store(&s->cancelled, 0);
    w->is_laid_out = false; /* eval and bound memory have moved values out of the layout's places */
    return status;
}

void run_cancel(run_session *s) { atomic_store(&s->cancelled, 1); }

nib_status run_output(run_session *s, int i, nib_tensor *out, nib_error *err) {
    const graph *g = s->p->g;
    const run_worker *w = &s->workers[0];
    if (i < 0 || i >= g->n_outputs || !w->ready) return base_error_set(err, NIB_NOT_FOUND, "there is no such output yet");
    *out = w->group.slots[g->outputs[i]->id].t;
    if (s->bound && s->bound[i].data) out->data = s->bound[i].data;
    return NIB_OK;
}

nib_status run_bind_output(run_session *s, int i, void *data, size_t bytes, nib_error *err) {
    const graph *g = s->p->g;
    if (!s->bound && !data) return NIB_OK;
    if (!s->bound) s->bound = base_calloc(s->heap, (size_t)g->n_outputs, sizeof *s->bound);
    if (!s->bound_values) s->bound_values = base_calloc(s->heap, (size_t)g->value_limit, sizeof *s->bound_values);
    if (!s->bound || !s->bound_values) return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for a session");
    s->bound[i] = (run_buffer){data, data ? bytes : 0};
    memset(s->bound_values, 0, (size_t)g->value_limit * sizeof *s->bound_values);
    for (int k = 0; k < g->n_outputs; k++)
        if (s->bound[k].data) s->bound_values[g->outputs[k]->id] = s->bound[k];
    return NIB_OK;
}

nib_status run_output_shape(run_session *s, const nib_tensor *const *inputs, int i, nib_tensor *out, nib_error *err) {
    nib_status status = NIB_OK;
    run_worker *w = &s->workers[0];
    const graph_value *v = s->p->g->outputs[i];
    NIB_TRY(bind_inputs(s, w, inputs, err));
    memset(out, 0, sizeof *out);
    if (v->constant) *out = *v->constant;
    else if (s->p->values[v->id].storage == PLAN_INPUT) *out = w->group.slots[v->id].t;
    else if (!run_resolve(w, v, out)) out->bytes = 0;
    out->data = NULL;
fail:
    w->is_laid_out = false;
    return status;
}
