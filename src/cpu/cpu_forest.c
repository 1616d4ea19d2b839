/* SPDX-License-Identifier: Apache-2.0
 *
 * Forests of ai.onnx.ml. In: TreeEnsemble, TreeEnsembleRegressor or TreeEnsembleClassifier. Out: a step that has read the
 * forest when it was made, and walks it by blocks of rows: the same sums as the eval's, which walks the same.
 */
#include "cpu.h"
#include "op/op_ml.h"

#define ROWS 128 /* of a part */

typedef struct forest_state {
    const kernels *k;
    op_ml_forest forest;
} forest_state;

static bool fits(const plan_step *step, const graph_tensor *x) {
    return x->rank == 2 && x->dtype == step->node->inputs[0].value->type.dtype;
}

static int64_t parts(const plan_step *step, const plan_group *group) {
    const graph_tensor *x = plan_tensor(group, step->node->inputs[0].value);
    const op_ml_forest *f = &((const forest_state *)step->state)->forest;
    nib_dtype types[2];
    op_dims dims[2];
    if (!fits(step, x) || x->dims[0] <= ROWS) return 1;
    const int n = op_ml_forest_outputs(f, x->dims[0], x->dtype, types, dims);
    for (int i = 0; i < n && i < step->node->n_outputs; i++) {
        const int64_t count = op_count(dims[i].rank, dims[i].d);
        if (step->node->outputs[i] &&
            (count < 0 || !cpu_is_planned(group, step->node->outputs[i]->id, graph_type_bytes(types[i], (size_t)count))))
            return 1;
    }
    return (x->dims[0] + ROWS - 1) / ROWS;
}

static nib_status run_forest(const plan_step *step, int64_t lo, int64_t hi, plan_lane *lane) {
    const forest_state *s = step->state;
    const graph_node *n = step->node;
    const graph_tensor *x = plan_tensor(lane->group, n->inputs[0].value);
    nib_dtype types[2];
    op_dims dims[2];
    void *out[2] = {NULL, NULL};
    nib_status status = NIB_OK;
    if (!fits(step, x)) return cpu_eval_whole(step, s->k, lane);
    const int64_t all = parts(step, lane->group), end = hi == all ? x->dims[0] : hi * ROWS;
    const int outputs = op_ml_forest_outputs(&s->forest, x->dims[0], x->dtype, types, dims);
    for (int i = 0; i < outputs && i < n->n_outputs; i++)
        if (n->outputs[i] && !(out[i] = cpu_output(lane, n, i, types[i], dims[i].rank, dims[i].d, &status))) return status;
    op_eval c = {.node = n, .kernels = s->k, .scratch = cpu_lane_scratch, .spend = cpu_lane_spend, .user = lane, .err = lane->err};
    status = op_ml_forest_run(&c, &s->forest, x, lo * ROWS, end, out);
    if (status != NIB_OK) base_error_at_node(lane->err, n->name[0] ? n->name : n->op);
    return status;
}

static void *plan_scratch(op_eval *c, size_t bytes) {
    const cpu_compile *compile = c->user;
    void *p = base_arena_alloc(&compile->p->arena, bytes ? bytes : 1);
    c->status = p ? NIB_OK : base_error_set(c->err, NIB_OUT_OF_MEMORY, "out of memory for a plan");
    return p;
}

nib_status cpu_compile_forest(cpu_compile *c) {
    const graph_node *n = c->node;
    forest_state *s = base_arena_calloc(&c->p->arena, 1, sizeof *s);
    if (!s) return base_error_set(c->err, NIB_OUT_OF_MEMORY, "out of memory for a plan");
    nib_error err = {0};
    op_eval ask = {.node = n, .kernels = &c->d->kernels, .scratch = plan_scratch, .user = c, .err = &err};
    const nib_status status = op_ml_forest_of(&ask, &s->forest);
    if (status == NIB_OUT_OF_MEMORY) return base_error_set(c->err, NIB_OUT_OF_MEMORY, "out of memory for a plan");
    if (status != NIB_OK) return c->why = "its attributes are no forest", NIB_OK; /* the run says what is wrong */
    if (s->forest.texts) return c->why = "its labels are texts", NIB_OK;
    s->k = &c->d->kernels;
    s->forest.y = n->inputs[0].value->type.dtype;
    c->step->state = s;
    c->step->range = PLAN_RANGE_PARTS;
    c->step->parts = parts;
    c->step->kernel = "forest";
    c->step->evaluates = true; /* what is of another type after all */
    c->step->run = run_forest;
    return NIB_OK;
}
