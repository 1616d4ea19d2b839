/* SPDX-License-Identifier: Apache-2.0
 *
 * Bodies. In: a lane whose step asks for a body, and the body's inputs. Out: its outputs, in buffers that stay until it runs
 * again. Each worker has a worker of its own for each body, so lanes never meet in one.
 */
#include "run_internal.h"

static int find_body(const plan *p, const graph *g) {
    for (int i = 0; i < p->n_bodies; i++)
        if (p->bodies[i]->g == g) return i;
    return -1;
}

nib_status run_body(plan_lane *lane, const graph *g, const graph_tensor *const *inputs, graph_tensor *outputs) {
    nib_status status = NIB_OK;
    run_worker *w = (run_worker *)(void *)((char *)lane - offsetof(run_worker, lane));
    const plan *p = lane->group->p;
    nib_error *err = lane->err;
    int index = find_body(p, g);
    if (index < 0) NIB_FAIL(err, NIB_INTERNAL, "a body has no plan");
    if (!w->bodies) w->bodies = base_calloc(w->heap, (size_t)p->n_bodies, sizeof *w->bodies);
    if (!w->bodies) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for a body");
    run_worker *body = &w->bodies[index];
    NIB_TRY(run_worker_make(p->bodies[index], w->heap, body, err));
    body->group.outer = lane->group;
    body->cancelled = w->cancelled;
    for (int i = 0; i < g->n_inputs; i++) {
        if (!inputs[i]) NIB_FAIL(err, NIB_INVALID_ARGUMENT, "input %s of a body is not set", g->inputs[i]->name);
        body->group.slots[g->inputs[i]->id].t = *inputs[i];
    }
    NIB_TRY(run_alone(body, err));
    for (int i = 0; i < g->n_outputs; i++) outputs[i] = *plan_tensor(&body->group, g->outputs[i]);
fail:
    return status;
}
