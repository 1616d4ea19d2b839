/* SPDX-License-Identifier: Apache-2.0
 *
 * Pools, reductions and softmax in f32. In: MaxPool and AveragePool over one to three axes, the global ones, ReduceMean,
 * ReduceSum and ReduceMax over axes side by side, Softmax. Out: steps that are divided by planes or rows.
 */
#include "cpu_window.h"
#include <math.h>

#define ROWS_BYTES ((size_t)128 << 10) /* of padded rows at a time */
#define PART 8192                      /* elements of a part at least */

static nib_status bad(const plan_step *step, plan_lane *lane, nib_status code, const char *what) {
    nib_status status = base_error_set(lane->err, code, "%s: %s", step->node->op, what);
    base_error_at_node(lane->err, step->node->name);
    return status;
}

static const graph_tensor *input_of(const plan_step *step, const plan_group *group) {
    return plan_tensor(group, step->node->inputs[0].value);
}

/* ---------------------------------------------------------------- pools */

typedef struct pool_state {
    const kernels *k;
    bool most, whole; /* MaxPool; a mean counts the padding, too */
} pool_state;

typedef struct pool_sizes {
    op_window w, depth; /* of three axes the first is `depth` */
    kernel_conv c;
    int rank;
    int64_t y[GRAPH_MAX_RANK], planes, cells_in, cells_out, each, parts; /* planes of a part; cells of one depth */
} pool_sizes;

static nib_status pool_sizes_of(const plan_step *step, const plan_group *group, pool_sizes *z, nib_error *err) {
    const graph_tensor *x = input_of(step, group);
    op_eval ask = {.node = step->node, .err = err};
    op_window all;
    if (x->dtype != NIB_DTYPE_F32 || x->rank < 3 || x->rank > 5)
        return base_error_set(err, NIB_SHAPE, "%s: input of rank %d", step->node->op, x->rank);
    nib_status status = op_window_of(&ask, x->rank - 2, x->dims + 2, NULL, &all);
    if (status != NIB_OK) return status;
    z->depth = cpu_window_depth(&all, &z->w);
    z->c = cpu_window(&z->w, 1);
    z->rank = x->rank;
    z->y[0] = x->dims[0], z->y[1] = x->dims[1];
    for (int i = 0; i < all.n; i++) z->y[2 + i] = all.out[i];
    z->planes = x->dims[0] * x->dims[1];
    z->cells_in = z->c.in_h * z->c.in_w;
    z->cells_out = z->c.out_h * z->c.out_w;
    const int64_t size = z->cells_in * z->depth.in[0];
    z->each = size > 0 && size < PART ? PART / size : 1;
    z->parts = (z->planes + z->each - 1) / z->each;
    return NIB_OK;
}

static int64_t pool_parts(const plan_step *step, const plan_group *group) {
    pool_sizes z;
    return pool_sizes_of(step, group, &z, NULL) == NIB_OK && z.parts > 1 && cpu_is_placed(step, group, z.rank, z.y) ? z.parts : 1;
}

/* Cells of one axis that place i of the output sees; `whole`: of the padded input. */
static float cells_of(const op_window *w, int axis, int64_t i, bool whole) {
    const int64_t first = i * w->stride[axis] - w->before[axis], d = w->dilation[axis];
    const int64_t least = whole ? -w->before[axis] : 0, end = whole ? w->in[axis] + w->after[axis] : w->in[axis];
    int64_t n = 0;
    for (int64_t k = 0; k < w->kernel[axis]; k++) n += first + k * d >= least && first + k * d < end;
    return (float)n;
}

static void divide_rows(const pool_state *s, const pool_sizes *z, const float *columns, float planes, int64_t lo, int64_t hi, float *y) {
    for (int64_t r = lo; r < hi; r++) {
        const float rows = planes * (cpu_window_columns(&z->w) == 1 ? cells_of(&z->w, 0, r, s->whole) : 1);
        for (int64_t i = 0; i < z->c.out_w; i++, y++) *y /= rows * columns[i];
    }
}

/* Rows [lo, hi) of depth d of one plane of the output: that of each plane which the window sees, put together. */
static void pool_rows(const pool_state *s, const pool_sizes *z, const float *x, int64_t d, int64_t lo, int64_t hi, float *scratch,
                      float *more, float *y) {
    const int64_t n = (hi - lo) * z->c.out_w;
    bool any = false;
    for (int64_t i = 0; i < z->depth.kernel[0]; i++) {
        const int64_t plane = cpu_window_plane(&z->depth, d, i);
        if (plane < 0) continue;
        s->k->pool_plane_f32(&z->c, s->most, x + plane * z->cells_in, lo, hi, scratch, any ? more : y);
        if (any && !s->most) s->k->add_f32(y, more, n, y);
        for (int64_t k = 0; any && s->most && k < n; k++) {
            const float larger = more[k] > y[k] ? more[k] : y[k]; /* one instruction; which of them it is cannot be guessed */
            y[k] = more[k] != more[k] ? more[k] : larger;
        }
        any = true;
    }
    for (int64_t k = 0; !any && k < n; k++) y[k] = s->most ? -INFINITY : 0;
}

static nib_status run_pool(const plan_step *step, int64_t lo, int64_t hi, plan_lane *lane) {
    const pool_state *s = step->state;
    pool_sizes z;
    nib_status status = pool_sizes_of(step, lane->group, &z, lane->err);
    if (status != NIB_OK) return status;
    float *y = cpu_output(lane, step->node, 0, NIB_DTYPE_F32, z.rank, z.y, &status);
    if (!y || z.planes == 0 || z.cells_out == 0) return status;
    const float *x = input_of(step, lane->group)->data;
    if (pool_parts(step, lane->group) == 1) hi = z.parts;
    const int64_t rows = cpu_window_rows(&z.c, ROWS_BYTES), most = hi * z.each < z.planes ? hi * z.each : z.planes;
    float *scratch = rows ? lane->eval_scratch(lane, (size_t)kernel_conv_scratch(&z.c, rows) * sizeof(float)) : NULL;
    float *columns = lane->eval_scratch(lane, (size_t)z.c.out_w * sizeof(float));
    float *more = z.depth.kernel[0] == 1 ? scratch : lane->eval_scratch(lane, (size_t)(rows * z.c.out_w) * sizeof(float));
    const int64_t depths = z.depth.out[0];
    if (!scratch || !columns || !more) return bad(step, lane, NIB_OUT_OF_MEMORY, "out of memory");
    for (int64_t i = 0; i < z.c.out_w && !s->most; i++) columns[i] = cells_of(&z.w, cpu_window_columns(&z.w), i, s->whole);
    for (int64_t p = lo * z.each * depths; p < most * depths; p++) { /* a depth of a plane */
        if (lane->stopped(lane)) return base_error_set(lane->err, NIB_CANCELLED, "the run was cancelled");
        const float planes = s->most ? 1 : cells_of(&z.depth, 0, p % depths, s->whole);
        for (int64_t r = 0; r < z.c.out_h; r += rows) {
            const int64_t end = r + rows < z.c.out_h ? r + rows : z.c.out_h;
            float *to = y + p * z.cells_out + r * z.c.out_w;
            pool_rows(s, &z, x + p / depths * z.depth.in[0] * z.cells_in, p % depths, r, end, scratch, more, to);
            if (!s->most) divide_rows(s, &z, columns, planes, r, end, to);
        }
    }
    return NIB_OK;
}

nib_status cpu_compile_pool2d(cpu_compile *c) {
    const graph_node *n = c->node;
    const graph_type *x = &n->inputs[0].value->type;
    op_window w;
    if (x->dtype != NIB_DTYPE_F32 || x->rank < 3 || x->rank > 5) return c->why = "it has not one to three spatial axes of f32", NIB_OK;
    if (n->n_outputs > 1 && n->outputs[1]) return c->why = "its indices are read", NIB_OK;
    if (op_window_read(n, x->rank - 2, NULL, &w)) return c->why = "its window is none", NIB_OK;
    if (!cpu_window_is_small(&w)) return c->why = "its window or its stride is very large", NIB_OK;
    pool_state *s = base_arena_calloc(&c->p->arena, 1, sizeof *s);
    if (!s) return base_error_set(c->err, NIB_OUT_OF_MEMORY, "out of memory for a plan");
    s->k = &c->d->kernels;
    s->most = graph_is_op(n, "", "MaxPool");
    s->whole = graph_attr_int(n, "count_include_pad", 0) != 0;
    c->step->state = s;
    c->step->range = PLAN_RANGE_PARTS;
    c->step->parts = pool_parts;
    c->step->kernel = "pool";
    c->step->run = run_pool;
    return NIB_OK;
}

/* ---------------------------------------------------------------- reductions and softmax: [outer, reduced, inner] */

typedef enum reduce_kind { REDUCE_SUM, REDUCE_MEAN, REDUCE_MOST, SOFTMAX } reduce_kind;

typedef struct reduce_state {
    const kernels *k;
    reduce_kind kind;
    int first, end; /* axes */
    bool keep;
} reduce_state;

typedef struct reduce_sizes {
    int rank;
    int64_t y[GRAPH_MAX_RANK], outer, n, inner, each, parts;
} reduce_sizes;

static void reduce_sizes_of(const plan_step *step, const plan_group *group, reduce_sizes *z) {
    const reduce_state *s = step->state;
    const graph_tensor *x = input_of(step, group);
    *z = (reduce_sizes){.outer = 1, .n = 1, .inner = 1};
    for (int k = 0; k < x->rank; k++) {
        const bool in = k >= s->first && k < s->end;
        *(k < s->first ? &z->outer : in ? &z->n : &z->inner) *= x->dims[k];
        if (!in || s->kind == SOFTMAX) z->y[z->rank++] = x->dims[k];
        else if (s->keep) z->y[z->rank++] = 1;
    }
    const int64_t size = z->n * z->inner;
    z->each = size > 0 && size < PART ? PART / size : 1;
    z->parts = (z->outer + z->each - 1) / z->each;
}

static int64_t reduce_parts(const plan_step *step, const plan_group *group) {
    reduce_sizes z;
    const reduce_state *s = step->state;
    if (input_of(step, group)->rank < s->end) return 1;
    reduce_sizes_of(step, group, &z);
    return z.parts > 1 && cpu_is_placed(step, group, z.rank, z.y) ? z.parts : 1;
}

static void reduce(const reduce_state *s, const reduce_sizes *z, const float *x, int64_t lo, int64_t hi, float *y) {
    const kernels *k = s->k;
    if (s->kind == SOFTMAX) {
        k->softmax_f32(x + lo * z->n, z->n, hi - lo, z->n, y + lo * z->n, z->n);
        return;
    }
    if (z->inner == 1) k->reduce_rows_f32(s->kind == REDUCE_MOST, x + lo * z->n, z->n, hi - lo, z->n, y + lo);
    for (int64_t o = lo; o < hi && z->inner > 1; o++) {
        const float *from = x + o * z->n * z->inner;
        if (s->kind == REDUCE_MOST) k->row_max_f32(from, z->inner, z->n, z->inner, y + o * z->inner);
        else k->row_sum_f32(from, z->inner, NULL, z->n, z->inner, y + o * z->inner);
    }
    for (int64_t i = lo * z->inner; i < hi * z->inner && s->kind == REDUCE_MEAN; i++) y[i] /= (float)z->n;
}

static nib_status run_reduce(const plan_step *step, int64_t lo, int64_t hi, plan_lane *lane) {
    const reduce_state *s = step->state;
    const graph_tensor *x = input_of(step, lane->group);
    reduce_sizes z;
    nib_status status = NIB_OK;
    if (x->rank < s->end || x->dtype != NIB_DTYPE_F32) return bad(step, lane, NIB_SHAPE, "the input is not what it was planned for");
    reduce_sizes_of(step, lane->group, &z);
    float *y = cpu_output(lane, step->node, 0, NIB_DTYPE_F32, z.rank, z.y, &status);
    if (!y || z.outer * z.inner == 0) return status;
    if (reduce_parts(step, lane->group) == 1) hi = z.parts;
    if (z.n == 0 && s->kind != SOFTMAX) { /* of nothing */
        for (int64_t i = 0; i < z.outer * z.inner; i++) y[i] = s->kind == REDUCE_SUM ? 0.0f : s->kind == REDUCE_MEAN ? NAN : -INFINITY;
        return NIB_OK;
    }
    reduce(s, &z, x->data, lo * z.each, hi * z.each < z.outer ? hi * z.each : z.outer, y);
    return NIB_OK;
}

static nib_status use_reduce(cpu_compile *c, reduce_state state, const char *kernel) {
    reduce_state *s = base_arena_alloc(&c->p->arena, sizeof *s);
    if (!s) return base_error_set(c->err, NIB_OUT_OF_MEMORY, "out of memory for a plan");
    *s = state;
    s->k = &c->d->kernels;
    c->step->state = s;
    c->step->range = PLAN_RANGE_PARTS;
    c->step->parts = reduce_parts;
    c->step->kernel = kernel;
    c->step->run = run_reduce;
    return NIB_OK;
}

nib_status cpu_compile_global_pool(cpu_compile *c) {
    const graph_type *x = &c->node->inputs[0].value->type;
    if (x->dtype != NIB_DTYPE_F32 || x->rank < 3) return c->why = "it has no spatial axes of f32", NIB_OK;
    const bool most = graph_is_op(c->node, "", "GlobalMaxPool");
    return use_reduce(c, (reduce_state){.kind = most ? REDUCE_MOST : REDUCE_MEAN, .first = 2, .end = x->rank, .keep = true}, "reduce");
}

/* The axes of a reduction, of an attribute or a constant, as one range; false: they are not known, or lie apart. */
static bool range_of(const graph_node *n, int rank, int *first, int *end) {
    const int64_t *list = NULL;
    int64_t own[GRAPH_MAX_RANK], count = graph_attr_ints(n, "axes", &list);
    uint32_t mask = 0;
    const graph_value *v = n->n_inputs > 1 ? n->inputs[1].value : NULL;
    if (v) {
        const graph_tensor *t = v->constant;
        if (!t || t->dtype != NIB_DTYPE_I64 || t->rank != 1 || t->dims[0] > GRAPH_MAX_RANK) return false;
        memcpy(own, t->data, (size_t)t->dims[0] * sizeof *own);
        list = own, count = t->dims[0];
    }
    if (count <= 0) {
        if (graph_attr_int(n, "noop_with_empty_axes", 0)) return false;
        *first = 0, *end = rank;
        return rank > 0;
    }
    for (int64_t i = 0; i < count; i++) {
        if (list[i] < -rank || list[i] >= rank) return false;
        mask |= 1u << (list[i] < 0 ? list[i] + rank : list[i]);
    }
    for (*first = 0; !(mask >> *first & 1u);) ++*first;
    for (*end = *first; mask >> *end & 1u;) ++*end;
    return mask >> *end == 0;
}

nib_status cpu_compile_reduce(cpu_compile *c) {
    const graph_node *n = c->node;
    const graph_type *x = &n->inputs[0].value->type;
    reduce_state s = {.keep = graph_attr_int(n, "keepdims", 1) != 0};
    if (x->dtype != NIB_DTYPE_F32 || x->rank < 1) return c->why = "it is not of f32, or of an unknown rank", NIB_OK;
    if (!range_of(n, x->rank, &s.first, &s.end)) return c->why = "its axes are not known, or lie apart", NIB_OK;
    s.kind = graph_is_op(n, "", "ReduceSum") ? REDUCE_SUM : graph_is_op(n, "", "ReduceMean") ? REDUCE_MEAN : REDUCE_MOST;
    return use_reduce(c, s, "reduce");
}

nib_status cpu_compile_softmax(cpu_compile *c) {
    const graph_node *n = c->node;
    const graph_type *x = &n->inputs[0].value->type;
    const bool each = graph_opset_version(n->owner, "") >= 13; /* before, all axes from `axis` on are one */
    if (x->dtype != NIB_DTYPE_F32 || x->rank < 1) return c->why = "it is not of f32, or of an unknown rank", NIB_OK;
    int64_t axis = graph_attr_int(n, "axis", each ? -1 : 1);
    if (axis < 0) axis += x->rank;
    if (axis < 0 || axis >= x->rank || (each && axis != x->rank - 1)) return c->why = "it is not along the last axis", NIB_OK;
    return use_reduce(c, (reduce_state){.kind = SOFTMAX, .first = (int)axis, .end = x->rank}, "softmax");
}
