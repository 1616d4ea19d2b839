/* SPDX-License-Identifier: Apache-2.0
 *
 * Resize and Upsample of f32 along the last one or two axes, or of any type by the nearest: in planes, by the eval's own
 * functions. Out: a step that is divided by planes. What else there is, the eval computes as a whole.
 */
#include "cpu.h"
#include "op/op_resize.h"

/* Planes of the output where the plan put it: all axes of it but the last two. 1: it is not there. */
static int64_t parts(const plan_step *step, const plan_group *group) {
    const int id = step->node->outputs[0]->id;
    const graph_tensor *x = plan_tensor(group, step->node->inputs[0].value), *y = &group->slots[id].t;
    int64_t planes = 1;
    if (!cpu_is_planned(group, id, y->bytes) || y->rank != x->rank || y->dtype != x->dtype) return 1;
    for (int a = 0; a + 2 < y->rank; a++) planes *= y->dims[a];
    return planes < 1 ? 1 : planes;
}

static nib_status run_resize(const plan_step *step, int64_t lo, int64_t hi, plan_lane *lane) {
    const kernels *k = step->state;
    const graph_node *n = step->node;
    const graph_tensor *in[4] = {NULL};
    const int64_t all = parts(step, lane->group);
    op_eval c = {.node = n,
                 .n_in = n->n_inputs,
                 .in = in,
                 .raw = in,
                 .kernels = k,
                 .scratch = cpu_lane_scratch,
                 .spend = cpu_lane_spend,
                 .user = lane,
                 .err = lane->err};
    op_resize r;
    int64_t planes, dims[GRAPH_MAX_RANK];
    for (int i = 0; i < n->n_inputs; i++) in[i] = n->inputs[i].value ? plan_tensor(lane->group, n->inputs[i].value) : NULL;
    nib_status status = op_resize_of(&c, &r);
    if (status != NIB_OK) {
        base_error_at_node(lane->err, n->name[0] ? n->name : n->op);
        return status;
    }
    for (int a = 0; a < r.rank; a++) dims[a] = r.axis[a].out;
    void *y = cpu_output(lane, n, 0, in[0]->dtype, r.rank, dims, &status);
    if (!y) return status;
    for (int a = 0; a < r.rank; a++)
        if (dims[a] == 0) return NIB_OK;
    if ((status = op_resize_plan(&c, &r)) != NIB_OK) {
        base_error_at_node(lane->err, n->name[0] ? n->name : n->op);
        return status;
    }
    if (!op_resize_by_planes(&r, in[0]->dtype, &planes)) return lo == 0 ? cpu_eval_whole(step, k, lane) : NIB_OK;
    if (all != planes) lo = lo == 0 ? 0 : planes, hi = planes; /* the first part does all of it */
    return op_resize_planes(&c, &r, in[0], lo, hi, y);
}

nib_status cpu_compile_resize(cpu_compile *c) {
    const graph_node *n = c->node;
    const graph_value *x = n->n_inputs > 0 ? n->inputs[0].value : NULL;
    if (n->n_inputs > 4 || !x || nib_dtype_bits(x->type.dtype) < 8) return c->why = "its numbers are not whole bytes", NIB_OK;
    c->step->state = (void *)&c->d->kernels;
    c->step->range = PLAN_RANGE_PARTS;
    c->step->parts = parts;
    c->step->kernel = "resize";
    c->step->evaluates = true;
    c->step->run = run_resize;
    return NIB_OK;
}
