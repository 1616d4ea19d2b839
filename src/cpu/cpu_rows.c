/* SPDX-License-Identifier: Apache-2.0
 *
 * Row work on the cpu: nib.Norm, nib.Rotary, nib.Embed, nib.Pool, LpNormalization. In: rows (Pool: the rows of a text). Out: rows.
 */
#include "cpu.h"
#include "base/base_half.h"
#include <string.h>

static bool is_f32_vector(const graph_value *v, int64_t n) {
    return v && v->constant && v->constant->dtype == NIB_DTYPE_F32 && graph_tensor_elements(v->constant) == n;
}

static bool last_dim(const graph_value *v, int64_t *out) {
    return v->type.rank > 0 && graph_dim_is_const(v->type.dims[v->type.rank - 1], out);
}

/* ---- Norm */

typedef struct norm {
    const kernels *k;
    bool rms;
    float eps;
    int64_t C, groups; /* columns of a group, groups of a row */
    const float *gamma, *beta;
    int x, residual, y, sum; /* value ids or -1 */
} norm;

static nib_status run_norm(const plan_step *step, int64_t lo, int64_t hi, plan_lane *lane) {
    const norm *s = step->state;
    const float *x = (const float *)plan_row(lane, s->x, lo), *r = s->residual < 0 ? NULL : (const float *)plan_row(lane, s->residual, lo);
    float *y = (float *)plan_row(lane, s->y, lo), *sum = s->sum < 0 ? NULL : (float *)plan_row(lane, s->sum, lo);
    const int64_t M = (hi - lo) * s->groups;
    if (s->rms) s->k->rms_norm_f32(x, s->C, r, s->C, s->gamma, s->eps, M, s->C, y, s->C, sum, s->C);
    else s->k->layer_norm_f32(x, s->C, r, s->C, s->gamma, s->beta, s->eps, M, s->C, y, s->C, sum, s->C);
    return NIB_OK;
}

/* A small parameter vector as the kernels may read it. */
static const float *parameter(cpu_compile *c, const graph_value *v) { return v ? graph_tensor_aligned(&c->p->arena, v->constant) : NULL; }

nib_status cpu_compile_norm(cpu_compile *c) {
    const graph_node *n = c->node;
    const graph_value *x = n->inputs[0].value, *beta = n->n_inputs > 2 ? n->inputs[2].value : NULL,
                      *r = n->n_inputs > 3 ? n->inputs[3].value : NULL;
    int64_t C;
    if (x->type.dtype != NIB_DTYPE_F32 || x->constant || !last_dim(x, &C))
        return c->why = "the input is not rows of f32 of known width", NIB_OK;
    const int64_t groups = op_norm_groups(n, C);
    if (!groups) return c->why = "its groups do not divide its columns", NIB_OK;
    C /= groups;
    if (!is_f32_vector(n->inputs[1].value, C) || (beta && !is_f32_vector(beta, C)) || (r && r->constant))
        return c->why = "scale or shift are not constants", NIB_OK;
    if (r && !cpu_same_rows(r, x)) return c->why = "the residual is not as large as the input", NIB_OK;
    norm *s = base_arena_calloc(&c->p->arena, 1, sizeof *s);
    if (!s) return base_error_set(c->err, NIB_OUT_OF_MEMORY, "out of memory for a plan");
    s->k = &c->d->kernels;
    s->rms = strcmp(graph_attr_string(n, "kind", "layer"), "rms") == 0;
    s->eps = graph_attr_float(n, "epsilon", 1e-5f);
    s->C = C;
    s->groups = groups;
    s->gamma = parameter(c, n->inputs[1].value);
    s->beta = parameter(c, beta);
    s->x = x->id;
    s->residual = r ? r->id : -1;
    s->y = n->outputs[0]->id;
    s->sum = n->n_outputs > 1 && n->outputs[1] ? n->outputs[1]->id : -1;
    c->step->extent = cpu_rows(n->outputs[0], c->p->g->symbols);
    if (!s->gamma || (beta && !s->beta)) return base_error_set(c->err, NIB_OUT_OF_MEMORY, "out of memory for a plan");
    if (!c->step->extent) return c->why = "the number of rows is unknown", NIB_OK;
    c->step->state = s;
    c->step->range = PLAN_RANGE_ROWS;
    c->step->kernel = s->rms ? "rms_norm_f32" : "layer_norm_f32";
    c->step->run = run_norm;
    return NIB_OK;
}

/* ---- Rotary */

typedef struct rotary {
    const kernels *k;
    op_rotary r;
    int64_t W;
    int x, y, cosines, sines, positions;
    bool wide; /* i64 positions, else i32 */
} rotary;

static nib_status run_rotary(const plan_step *step, int64_t lo, int64_t hi, plan_lane *lane) {
    const rotary *s = step->state;
    const plan_slot *slots = lane->group->slots;
    const graph_tensor *t = &slots[s->cosines].t, *u = &slots[s->sines].t, *positions = &slots[s->positions].t, *x = &slots[s->x].t;
    const int64_t count = graph_tensor_elements(positions), rows = plan_extent(step, lane->group), table = t->dims[1];
    const size_t before = (size_t)s->r.first, after = before + (size_t)(s->r.heads * s->r.size);
    if (count != rows && (x->rank < 2 || count != x->dims[x->rank - 2]))
        return base_error_set(lane->err, NIB_SHAPE, "%lld positions do not fit %lld rows", (long long)count, (long long)rows);
    if (u->dims[0] != t->dims[0] || u->dims[1] != table)
        return base_error_set(lane->err, NIB_SHAPE, "the tables of cosines and sines have different shapes");
    for (int64_t i = lo; i < hi; i++) {
        int64_t at = i % count, p = s->wide ? ((const int64_t *)positions->data)[at] : ((const int32_t *)positions->data)[at];
        if (p < 0 || p >= t->dims[0])
            return base_error_set(lane->err, NIB_INVALID_ARGUMENT, "position %lld is outside the rotary table of %lld rows", (long long)p,
                                  (long long)t->dims[0]);
        const float *from = (const float *)plan_row(lane, s->x, i);
        float *to = (float *)plan_row(lane, s->y, i);
        memcpy(to, from, before * sizeof *to);
        s->k->rotary_f32(from + before, s->r.heads, s->r.size, s->r.half, s->r.interleaved, (const float *)t->data + p * table,
                         (const float *)u->data + p * table, s->r.second, to + before);
        memcpy(to + after, from + after, ((size_t)s->W - after) * sizeof *to);
    }
    return NIB_OK;
}

nib_status cpu_compile_rotary(cpu_compile *c) {
    const graph_node *n = c->node;
    const graph_value *x = n->inputs[0].value, *t = n->inputs[1].value, *u = n->inputs[2].value, *p = n->inputs[3].value;
    int64_t W, table;
    if (x->type.dtype != NIB_DTYPE_F32 || x->constant || !last_dim(x, &W))
        return c->why = "the input is not rows of f32 of known width", NIB_OK;
    if (t->type.rank != 2 || u->type.rank != 2 || t->type.dtype != NIB_DTYPE_F32 || u->type.dtype != NIB_DTYPE_F32 || !last_dim(t, &table))
        return c->why = "the tables are not f32 of known width", NIB_OK;
    if (p->type.dtype != NIB_DTYPE_I64 && p->type.dtype != NIB_DTYPE_I32) return c->why = "positions are not i64 or i32", NIB_OK;
    rotary *s = base_arena_calloc(&c->p->arena, 1, sizeof *s);
    if (!s) return base_error_set(c->err, NIB_OUT_OF_MEMORY, "out of memory for a plan");
    if (op_rotary_read(n, W, table, &s->r) != NIB_OK) return c->why = "heads, rows and tables do not fit", NIB_OK;
    s->k = &c->d->kernels;
    s->W = W;
    s->x = x->id;
    s->y = n->outputs[0]->id;
    s->cosines = t->id;
    s->sines = u->id;
    s->positions = p->id;
    s->wide = p->type.dtype == NIB_DTYPE_I64;
    c->step->extent = cpu_rows(n->outputs[0], c->p->g->symbols);
    if (!c->step->extent) return c->why = "the number of rows is unknown", NIB_OK;
    c->step->state = s;
    c->step->range = PLAN_RANGE_ROWS;
    c->step->whole = 2u | 4u | 8u; /* tables and positions */
    c->step->kernel = "rotary_f32";
    c->step->run = run_rotary;
    return NIB_OK;
}

/* ---- Pool over packed texts */

typedef struct pool {
    const kernels *k;
    nib_pooling mode;
    int64_t C;
    int x, offsets, y, skip; /* skip -1: none */
    bool unit;               /* length 1 behind it */
} pool;

static nib_status run_pool(const plan_step *step, int64_t lo, int64_t hi, plan_lane *lane) {
    const pool *s = step->state;
    const int64_t *offsets = lane->group->slots[s->offsets].t.data;
    if (!cpu_texts_fit(offsets, lo, hi, lane->group->slots[s->x].t.dims[0]))
        return base_error_set(lane->err, NIB_SHAPE, "the texts' offsets do not fit the rows");
    const int64_t skip = s->skip < 0 ? 0 : *(const int64_t *)lane->group->slots[s->skip].t.data;
    for (int64_t b = lo; b < hi; b++) {
        float *y = (float *)plan_row(lane, s->y, b);
        op_pool_rows(s->k, s->mode, (const float *)plan_row(lane, s->x, offsets[b]), s->C, offsets[b + 1] - offsets[b], skip, s->C, y);
        if (s->unit) s->k->l2_normalize_f32(y, s->C, 1, s->C, y, s->C);
    }
    return NIB_OK;
}

nib_status cpu_compile_pool(cpu_compile *c) {
    const graph_node *n = c->node;
    const graph_value *x = n->inputs[0].value, *skip = n->n_inputs > 2 ? n->inputs[2].value : NULL;
    int64_t C, one;
    if (!graph_attr_int(n, "packed", 0)) return c->why = "the batch is padded", NIB_OK;
    if (skip && (skip->type.dtype != NIB_DTYPE_I64 || skip->type.rank != 1 || !graph_dim_is_const(skip->type.dims[0], &one) || one != 1 ||
                 skip->constant || skip->producer))
        return c->why = "the rows left out are not one number", NIB_OK;
    if (x->type.dtype != NIB_DTYPE_F32 || x->constant || x->type.rank != 2 || !last_dim(x, &C) || op_pooling(n) < 0 ||
        n->inputs[1].value->type.dtype != NIB_DTYPE_I64)
        return c->why = "the input is not rows of f32 of known width", NIB_OK;
    pool *s = base_arena_calloc(&c->p->arena, 1, sizeof *s);
    if (!s) return base_error_set(c->err, NIB_OUT_OF_MEMORY, "out of memory for a plan");
    *s = (pool){&c->d->kernels, (nib_pooling)op_pooling(n), C, x->id, n->inputs[1].value->id, n->outputs[0]->id, skip ? skip->id : -1,
                graph_attr_int(n, OP_POOL_UNIT, 0) != 0};
    c->step->extent = n->outputs[0]->type.dims[0];
    if (!c->step->extent) return c->why = "the number of texts is unknown", NIB_OK;
    c->step->state = s;
    c->step->range = PLAN_RANGE_TEXTS;
    c->step->kernel = "pool_f32";
    c->step->run = run_pool;
    return NIB_OK;
}

/* ---- LpNormalization of rows */

typedef struct lp_norm {
    const kernels *k;
    int64_t C;
    int x, y;
} lp_norm;

static nib_status run_lp_norm(const plan_step *step, int64_t lo, int64_t hi, plan_lane *lane) {
    const lp_norm *s = step->state;
    s->k->l2_normalize_f32((const float *)plan_row(lane, s->x, lo), s->C, hi - lo, s->C, (float *)plan_row(lane, s->y, lo), s->C);
    return NIB_OK;
}

nib_status cpu_compile_lp_norm(cpu_compile *c) {
    const graph_node *n = c->node;
    const graph_value *x = n->inputs[0].value;
    int64_t C, axis = graph_attr_int(n, "axis", -1);
    if (graph_attr_int(n, "p", 2) != 2 || (axis != -1 && axis != x->type.rank - 1))
        return c->why = "not the L2 norm of the last axis", NIB_OK;
    if (x->type.dtype != NIB_DTYPE_F32 || x->constant || !last_dim(x, &C))
        return c->why = "the input is not rows of f32 of known width", NIB_OK;
    lp_norm *s = base_arena_calloc(&c->p->arena, 1, sizeof *s);
    if (!s) return base_error_set(c->err, NIB_OUT_OF_MEMORY, "out of memory for a plan");
    *s = (lp_norm){&c->d->kernels, C, x->id, n->outputs[0]->id};
    c->step->extent = cpu_rows(n->outputs[0], c->p->g->symbols);
    if (!c->step->extent) return c->why = "the number of rows is unknown", NIB_OK;
    c->step->state = s;
    c->step->range = PLAN_RANGE_ROWS;
    c->step->kernel = "l2_normalize_f32";
    c->step->run = run_lp_norm;
    return NIB_OK;
}

/* ---- rows in fewer bits */

typedef struct rounding {
    const kernels *k;
    int64_t C;
    int x, y, params; /* params -1: to bf16 */
    const float *factor;
} rounding;

static nib_status run_round(const plan_step *step, int64_t lo, int64_t hi, plan_lane *lane) {
    const rounding *s = step->state;
    const float *x = (const float *)plan_row(lane, s->x, lo);
    if (s->params < 0) s->k->round_rows_bf16(x, s->C, hi - lo, s->C, (uint16_t *)plan_row(lane, s->y, lo), s->C);
    else
        s->k->quantize_rows_u8(x, s->C, s->factor, hi - lo, s->C, (uint8_t *)plan_row(lane, s->y, lo), s->C,
                               (float *)plan_row(lane, s->params, lo), 2);
    return NIB_OK;
}

/* Sums of integer products as numbers. */
static nib_status run_widen(const plan_step *step, int64_t lo, int64_t hi, plan_lane *lane) {
    const rounding *s = step->state;
    const int32_t *x = (const int32_t *)(void *)plan_row(lane, s->x, lo);
    s->k->scale_s32(x, NULL, 1.0f, NULL, (hi - lo) * s->C, (float *)(void *)plan_row(lane, s->y, lo));
    return NIB_OK;
}

/* Cast of rows of s32 to f32. */
static nib_status compile_widen(cpu_compile *c) {
    const graph_node *n = c->node;
    const graph_value *x = n->inputs[0].value;
    int64_t C;
    if (x->constant || !last_dim(x, &C)) return c->why = "the input is not rows of known width", NIB_OK;
    rounding *s = base_arena_calloc(&c->p->arena, 1, sizeof *s);
    if (!s) return base_error_set(c->err, NIB_OUT_OF_MEMORY, "out of memory for a plan");
    *s = (rounding){.k = &c->d->kernels, .C = C, .x = x->id, .y = n->outputs[0]->id};
    c->step->extent = cpu_rows(n->outputs[0], c->p->g->symbols);
    if (!c->step->extent) return c->why = "the number of rows is unknown", NIB_OK;
    c->step->state = s;
    c->step->range = PLAN_RANGE_ROWS;
    c->step->kernel = "scale_s32";
    c->step->run = run_widen;
    return NIB_OK;
}

nib_status cpu_compile_round(cpu_compile *c) {
    const graph_node *n = c->node;
    const graph_value *x = n->inputs[0].value;
    bool q8 = graph_is_op(n, "nib", "QuantizeRows");
    int64_t C;
    const int64_t to = graph_attr_int(n, "to", 0);
    if (!q8 && to == NIB_DTYPE_F32 && x->type.dtype == NIB_DTYPE_I32) return compile_widen(c);
    if (!q8 && to != NIB_DTYPE_BF16) return NIB_OK; /* any other Cast: eval is as good */
    if (x->type.dtype != NIB_DTYPE_F32 || x->constant || !last_dim(x, &C) || C % (q8 ? 4 : 2) ||
        (q8 && (n->n_outputs < 2 || !n->outputs[1])))
        return c->why = "the input is not rows of f32 of a suitable width", NIB_OK;
    rounding *s = base_arena_calloc(&c->p->arena, 1, sizeof *s);
    if (!s) return base_error_set(c->err, NIB_OUT_OF_MEMORY, "out of memory for a plan");
    const graph_value *factor = n->n_inputs > 1 ? n->inputs[1].value : NULL;
    if (factor && (!factor->constant || factor->constant->dtype != NIB_DTYPE_F32 || graph_tensor_elements(factor->constant) != C))
        return c->why = "the factors are not a constant of f32, one a column", NIB_OK;
    *s = (rounding){&c->d->kernels, C, x->id, n->outputs[0]->id, q8 ? n->outputs[1]->id : -1, parameter(c, factor)};
    if (factor && !s->factor) return base_error_set(c->err, NIB_OUT_OF_MEMORY, "out of memory for a plan");
    c->step->extent = cpu_rows(n->outputs[0], c->p->g->symbols);
    if (!c->step->extent) return c->why = "the number of rows is unknown", NIB_OK;
    c->step->state = s;
    c->step->range = PLAN_RANGE_ROWS;
    c->step->kernel = q8 ? "quantize_rows_u8" : "round_rows_bf16";
    c->step->run = run_round;
    return NIB_OK;
}
