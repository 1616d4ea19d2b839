/* SPDX-License-Identifier: Apache-2.0
 *
 * Eval as the fallback. In: a node without a kernel of its own. Out: a step that calls its eval: on blocks of rows, inside a
 * chain, where the operator is row-wise on values of one row count; on whole values otherwise. Outputs go where the plan put
 * them; an output whose size the plan could not know (or knew wrongly) goes to a buffer that grows.
 */
#include "cpu.h"
#include <string.h>

#define MAX_IN 64 /* of a node on blocks of rows */

typedef struct eval_state {
    const kernels *k;
    bool rows; /* on blocks of rows */
    bool constant[MAX_IN];
} eval_state;

typedef struct eval_context {
    plan_lane *lane;
    const plan_step *step;
    int64_t lo, hi;
    bool rows;
} eval_context;

/* What is read by a step that asks no more is what its type says it is, or the run ends here. */
static bool has_type(const plan_group *group, const graph_value *v, const graph_tensor *t) {
    const graph_type *type = &v->type;
    int64_t d;
    if (type->kind != GRAPH_KIND_TENSOR || type->dtype != t->dtype || (type->rank >= 0 && type->rank != t->rank)) return false;
    for (int k = 0; k < type->rank; k++) /* what is not known, no step can have relied on */
        if (graph_dim_eval(type->dims[k], group->symbols, group->p->n_symbols, &d) && d != t->dims[k]) return false;
    return true;
}

void *cpu_output(plan_lane *lane, const graph_node *n, int i, nib_dtype dtype, int rank, const int64_t *dims, nib_status *status) {
    plan_group *group = lane->group;
    int id = n->outputs[i]->id;
    const plan_value *pv = &group->p->values[id];
    graph_tensor t = {.dtype = dtype, .rank = rank};
    for (int k = 0; k < rank; k++) t.dims[k] = dims[k];
    int64_t count = graph_tensor_elements(&t);
    t.bytes = count < 0 ? SIZE_MAX : graph_type_bytes(dtype, (size_t)count);
    if (t.bytes == SIZE_MAX) return *status = base_error_set(lane->err, NIB_LIMIT, "an output is too large"), NULL;
    plan_slot *slot = &group->slots[id];
    if (pv->must_fit_type && !has_type(group, pv->v, &t))
        return *status = base_error_set(lane->err, NIB_SHAPE, "%s gave %s another shape than it was planned with", n->op, pv->v->name), NULL;
    t.data = cpu_is_planned(group, id, t.bytes) ? slot->t.data : group->grow(group, id, t.bytes ? t.bytes : 1);
    if (!t.data)
        return *status = base_error_set(lane->err, NIB_OUT_OF_MEMORY, "out of memory for %zu bytes of %s", t.bytes, n->op), NULL;
    /* Other lanes may be reading it: what is there already is left alone. */
    if (slot->t.data != t.data || !cpu_same_shape(&slot->t, &t)) slot->t = t;
    return t.data;
}

bool cpu_is_planned(const plan_group *group, int id, size_t bytes) {
    const plan_storage storage = group->p->values[id].storage;
    const graph_tensor *t = &group->slots[id].t;
    return (storage == PLAN_SIZED || storage == PLAN_ROWS) && t->data && t->bytes == bytes;
}

bool cpu_is_placed(const plan_step *step, const plan_group *group, int rank, const int64_t *dims) {
    graph_tensor y = {.rank = rank};
    for (int k = 0; k < rank; k++) y.dims[k] = dims[k];
    const int64_t n = graph_tensor_elements(&y);
    return n > 0 && (uint64_t)n < SIZE_MAX / sizeof(float) && cpu_is_planned(group, step->node->outputs[0]->id, (size_t)n * sizeof(float));
}

bool cpu_same_shape(const graph_tensor *a, const graph_tensor *b) {
    bool same = a->dtype == b->dtype && a->rank == b->rank && a->bytes == b->bytes;
    for (int k = 0; same && k < a->rank; k++) same = a->dims[k] == b->dims[k];
    return same;
}

static void *eval_output(op_eval *c, int i, nib_dtype dtype, int rank, const int64_t *dims) {
    eval_context *x = c->user;
    plan_group *group = x->lane->group;
    c->status = NIB_OK;
    if (i >= c->node->n_outputs || !c->node->outputs[i]) return NULL;
    if (!x->rows) return cpu_output(x->lane, c->node, i, dtype, rank, dims, &c->status);
    int id = c->node->outputs[i]->id;
    graph_tensor t = {.dtype = dtype, .rank = rank};
    for (int k = 0; k < rank; k++) t.dims[k] = dims[k];
    int64_t count = graph_tensor_elements(&t);
    t.bytes = count < 0 ? SIZE_MAX : graph_type_bytes(dtype, (size_t)count);
    if (t.bytes == group->p->values[id].row_bytes * (size_t)(x->hi - x->lo)) return plan_row(x->lane, id, x->lo);
    c->status = base_error_set(c->err, NIB_INTERNAL, "operator %s gave rows of another size than it inferred", c->node->op);
    return NULL;
}

void *cpu_lane_scratch(op_eval *c, size_t bytes) {
    plan_lane *lane = c->user;
    void *p = lane->eval_scratch(lane, bytes);
    c->status = p ? NIB_OK : base_error_set(c->err, NIB_OUT_OF_MEMORY, "out of memory for %s", c->node->op);
    return p;
}

nib_status cpu_lane_spend(op_eval *c, int64_t work) {
    const plan_lane *lane = c->user;
    (void)work;
    return lane->stopped(lane) ? c->status = base_error_set(c->err, NIB_CANCELLED, "the run was cancelled") : NIB_OK;
}

static void *eval_scratch(op_eval *c, size_t bytes) {
    eval_context *x = c->user;
    void *p = x->lane->eval_scratch(x->lane, bytes);
    c->status = p ? NIB_OK : base_error_set(c->err, NIB_OUT_OF_MEMORY, "out of memory for %zu bytes of scratch", bytes);
    return p;
}

static void *eval_hold(op_eval *c, int i, size_t bytes) {
    eval_context *x = c->user;
    plan_group *group = x->lane->group;
    void *p = group->hold(group, c->node->outputs[i]->id, bytes);
    c->status = p ? NIB_OK : base_error_set(c->err, NIB_OUT_OF_MEMORY, "out of memory for %zu bytes of %s", bytes, c->node->op);
    return p;
}

static nib_status eval_body(op_eval *c, const graph *g, const graph_tensor *const *inputs, graph_tensor *outputs) {
    eval_context *x = c->user;
    return x->lane->body(x->lane, g, inputs, outputs);
}

static nib_status eval_spend(op_eval *c, int64_t work) {
    const eval_context *x = c->user;
    (void)work; /* a run may take as long as it takes */
    return x->lane->stopped(x->lane) ? c->status = base_error_set(c->err, NIB_CANCELLED, "the run was cancelled") : NIB_OK;
}

static nib_status eval_step(const plan_step *step, const eval_state *s, int64_t lo, int64_t hi, plan_lane *lane) {
    const graph_node *n = step->node;
    graph_tensor views[MAX_IN];
    const graph_tensor *few[MAX_IN], **in = few;
    eval_context x = {.lane = lane, .step = step, .lo = lo, .hi = hi, .rows = s->rows};
    if (n->n_inputs > MAX_IN && !(in = lane->eval_scratch(lane, sizeof *in * (size_t)n->n_inputs)))
        return base_error_set(lane->err, NIB_OUT_OF_MEMORY, "out of memory for %s", n->op);
    for (int i = 0; i < n->n_inputs; i++) {
        const graph_value *v = n->inputs[i].value;
        in[i] = NULL;
        if (!v) continue;
        in[i] = plan_tensor(lane->group, v);
        if (!s->rows || s->constant[i]) continue;
        const plan_value *pv = &lane->group->p->values[v->id];
        int rank = v->type.rank; /* kept, with ones in front, so that an axis counted from the front still means the last */
        views[i] = (graph_tensor){.dtype = v->type.dtype, .rank = rank, .bytes = pv->row_bytes * (size_t)(hi - lo)};
        for (int k = 0; k < rank - 2; k++) views[i].dims[k] = 1;
        views[i].dims[rank - 2] = hi - lo;
        views[i].dims[rank - 1] = (int64_t)(pv->row_bytes / ((size_t)nib_dtype_bits(v->type.dtype) / 8));
        views[i].data = plan_row(lane, v->id, lo);
        in[i] = &views[i];
    }
    op_eval c = {.node = n,
                 .n_in = n->n_inputs,
                 .in = in,
                 .kernels = s->k,
                 .output = eval_output,
                 .scratch = eval_scratch,
                 .hold = eval_hold,
                 .body = eval_body,
                 .spend = eval_spend,
                 .user = &x,
                 .err = lane->err};
    nib_status status = op_eval_node(&c);
    if (status != NIB_OK) base_error_at_node(lane->err, n->name[0] ? n->name : n->op);
    return status;
}

static nib_status run_eval(const plan_step *step, int64_t lo, int64_t hi, plan_lane *lane) {
    return eval_step(step, step->state, lo, hi, lane);
}

nib_status cpu_eval_whole(const plan_step *step, const kernels *k, plan_lane *lane) {
    return eval_step(step, &(eval_state){.k = k}, 0, 1, lane);
}

/* Row-wise on one row count: every input is a row parameter (constant, at most one axis) or has the output's rows and rank. */
static bool rows_together(const graph_node *n, graph_symtab *t, graph_dim *extent, eval_state *s) {
    op_rows rows = op_rows_of(n);
    const graph_value *y = n->outputs[0];
    if (n->n_inputs > MAX_IN) return false;
    if ((rows != OP_ROWS_ELEMENT && rows != OP_ROWS_LAST) || n->n_outputs != 1 || !y || y->type.rank < 2 ||
        nib_dtype_bits(y->type.dtype) % 8 || nib_dtype_bits(y->type.dtype) == 0)
        return false;
    *extent = cpu_rows(y, t);
    int64_t c;
    bool any = false;
    if (!*extent || graph_dim_is_const(*extent, &c) || !graph_dim_is_const(y->type.dims[y->type.rank - 1], &c)) return false;
    for (int i = 0; i < n->n_inputs; i++) {
        const graph_value *v = n->inputs[i].value;
        if (!v) continue;
        s->constant[i] = v->constant != NULL;
        if (v->constant && (v->type.rank <= 1 || rows == OP_ROWS_LAST)) continue;
        if (v->constant || v->type.rank != y->type.rank || nib_dtype_bits(v->type.dtype) % 8 || nib_dtype_bits(v->type.dtype) == 0)
            return false;
        for (int k = 0; k + 1 < v->type.rank; k++)
            if (v->type.dims[k] != y->type.dims[k]) return false;
        if (!graph_dim_is_const(v->type.dims[v->type.rank - 1], &c)) return false;
        any = true;
    }
    return any;
}

nib_status cpu_compile_eval(cpu_compile *c) {
    const graph_node *n = c->node;
    eval_state *s = base_arena_calloc(&c->p->arena, 1, sizeof *s);
    if (!s) return base_error_set(c->err, NIB_OUT_OF_MEMORY, "out of memory for a plan");
    s->k = &c->d->kernels;
    graph_dim extent = NULL;
    int64_t count;
    s->rows =
        !c->p->is_body && rows_together(n, c->p->g->symbols, &extent, s) && graph_dim_eval(extent, c->p->bindable, c->p->n_symbols, &count);
    c->step->extent = s->rows ? extent : NULL;
    c->step->range = s->rows ? PLAN_RANGE_ROWS : PLAN_RANGE_WHOLE;
    c->step->state = s;
    c->step->kernel = "eval";
    c->step->evaluates = true;
    c->step->run = run_eval;
    return NIB_OK;
}
