/* SPDX-License-Identifier: Apache-2.0
 *
 * Element-wise programs. In: nib.Map. Out: a step that is divided by elements; or, where its output is rows that a chain may
 * have in blocks, by rows.
 */
#include "cpu.h"
#include "op/op_map.h"

#define PART 16384 /* elements of a part: what two threads are worth waking for */

typedef struct map_state {
    const kernels *k;
    kernel_map map;
    bool constant[KERNEL_MAP_INPUTS]; /* of a step on rows: read as it lies, not at the step's rows */
} map_state;

static nib_status bad_shape(const plan_step *step, plan_lane *lane) {
    nib_status status = base_error_set(lane->err, NIB_SHAPE, "%s: inputs do not broadcast", step->node->op);
    base_error_at_node(lane->err, step->node->name);
    return status;
}

/* The shape that the inputs have together; false: none. */
static bool shape_of(int n, const graph_tensor *const *in, int *rank, int64_t *dims) {
    *rank = 0;
    for (int i = 0; i < n; i++)
        if (in[i]->rank > *rank) *rank = in[i]->rank;
    for (int k = 0; k < *rank; k++) {
        dims[k] = 1;
        for (int i = 0; i < n; i++) {
            const int own = k - (*rank - in[i]->rank);
            const int64_t d = own < 0 ? 1 : in[i]->dims[own];
            if (d == 1 || d == dims[k]) continue;
            if (dims[k] != 1) return false;
            dims[k] = d;
        }
    }
    return true;
}

static bool inputs_of(const plan_step *step, const plan_group *group, const graph_tensor **in) {
    for (int i = 0; i < step->node->n_inputs; i++) {
        in[i] = plan_tensor(group, step->node->inputs[i].value);
        if (in[i]->dtype != NIB_DTYPE_F32) return false;
    }
    return true;
}

/* ---- by elements */

static int64_t parts(const plan_step *step, const plan_group *group) {
    const graph_tensor *in[KERNEL_MAP_INPUTS];
    graph_tensor y = {.dtype = NIB_DTYPE_F32};
    if (!inputs_of(step, group, in) || !shape_of(step->node->n_inputs, in, &y.rank, y.dims)) return 1;
    const int64_t n = graph_tensor_elements(&y);
    return n > PART && cpu_is_planned(group, step->node->outputs[0]->id, (size_t)n * sizeof(float)) ? (n + PART - 1) / PART : 1;
}

static nib_status run_elements(const plan_step *step, int64_t lo, int64_t hi, plan_lane *lane) {
    const map_state *s = step->state;
    const graph_tensor *in[KERNEL_MAP_INPUTS];
    nib_status status = NIB_OK;
    op_map_walk w;
    int rank;
    int64_t dims[GRAPH_MAX_RANK];
    const int64_t count = parts(step, lane->group);
    if (!inputs_of(step, lane->group, in) || !shape_of(s->map.inputs, in, &rank, dims)) return bad_shape(step, lane);
    float *y = cpu_output(lane, step->node, 0, NIB_DTYPE_F32, rank, dims, &status);
    if (!y) return status;
    if (!op_map_walk_of(s->map.inputs, in, rank, dims, &w)) return bad_shape(step, lane);
    const int64_t from = lo * PART, to = hi == count ? w.total : hi * PART;
    if (from < to) op_map_run(&w, &s->map, s->k, from, to, y);
    return NIB_OK;
}

/* ---- by rows */

static nib_status run_rows(const plan_step *step, int64_t lo, int64_t hi, plan_lane *lane) {
    const map_state *s = step->state;
    const plan *p = lane->group->p;
    graph_tensor views[KERNEL_MAP_INPUTS];
    const graph_tensor *in[KERNEL_MAP_INPUTS];
    const int y = step->node->outputs[0]->id;
    const int64_t dims[2] = {hi - lo, (int64_t)(p->values[y].row_bytes / sizeof(float))};
    op_map_walk w;
    for (int i = 0; i < s->map.inputs; i++) {
        const graph_value *v = step->node->inputs[i].value;
        in[i] = plan_tensor(lane->group, v);
        if (s->constant[i]) continue;
        views[i] =
            (graph_tensor){.dtype = NIB_DTYPE_F32, .rank = 2, .dims = {hi - lo, (int64_t)(p->values[v->id].row_bytes / sizeof(float))}};
        views[i].data = plan_row(lane, v->id, lo);
        in[i] = &views[i];
    }
    if (!op_map_walk_of(s->map.inputs, in, 2, dims, &w)) return bad_shape(step, lane);
    op_map_run(&w, &s->map, s->k, 0, w.total, (float *)(void *)plan_row(lane, y, lo));
    return NIB_OK;
}

/* Whether output and inputs are rows of one count that is not known before the run, or constants for each of them. */
static bool is_on_rows(cpu_compile *c, map_state *s) {
    const graph_node *n = c->node;
    const graph_value *y = n->outputs[0];
    int64_t number;
    if (c->p->is_body || y->type.rank < 2 || !graph_dim_is_const(y->type.dims[y->type.rank - 1], &number)) return false;
    graph_dim rows = cpu_rows(y, c->p->g->symbols);
    if (!rows || graph_dim_is_const(rows, &number) || !graph_dim_eval(rows, c->p->bindable, c->p->n_symbols, &number)) return false;
    bool any = false;
    for (int i = 0; i < n->n_inputs; i++) {
        const graph_value *v = n->inputs[i].value;
        s->constant[i] = v->constant != NULL;
        if (v->constant && v->type.rank <= 1) continue;
        if (v->constant || v->type.rank != y->type.rank) return false;
        for (int k = 0; k + 1 < v->type.rank; k++)
            if (v->type.dims[k] != y->type.dims[k]) return false;
        if (!graph_dim_is_const(v->type.dims[v->type.rank - 1], &number)) return false;
        any = true;
    }
    c->step->extent = rows;
    return any;
}

nib_status cpu_compile_map(cpu_compile *c) {
    map_state *s = base_arena_calloc(&c->p->arena, 1, sizeof *s);
    if (!s) return base_error_set(c->err, NIB_OUT_OF_MEMORY, "out of memory for a plan");
    s->k = &c->d->kernels;
    if (!op_map_get(c->node, &s->map)) return c->why = "its attributes are no program", NIB_OK;
    for (int i = 0; i < c->node->n_inputs; i++)
        if (!c->node->inputs[i].value) return c->why = "an input is left out", NIB_OK;
    const bool rows = is_on_rows(c, s);
    c->step->range = rows ? PLAN_RANGE_ROWS : PLAN_RANGE_PARTS;
    c->step->parts = parts;
    c->step->state = s;
    c->step->kernel = "map";
    c->step->run = rows ? run_rows : run_elements;
    return NIB_OK;
}
