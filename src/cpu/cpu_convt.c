/* SPDX-License-Identifier: Apache-2.0
 *
 * ConvTranspose over one or two axes. In: a node with constant weights in f32. Out: a step that is divided by filters: a
 * product gives each pixel of the input what it has for each cell of the window, and those are added where the window is.
 * Cells of the output are added up in the order of the input's pixels, and of the window's cells among those of one block.
 */
#include "cpu_window.h"

#define BLOCK_BYTES ((size_t)256 << 10) /* of shares, for a block of pixels */

typedef struct spread_state {
    const kernels *k;
    const kernel_linear *gemm;
    int64_t M, C, groups, taps; /* filters and channels of a group; cells of a window */
    const float *filters;       /* [groups, M, taps, C + 1], the last number 0 */
    const float *bias;          /* [groups M] */
} spread_state;

typedef struct spread_sizes {
    kernel_conv c; /* of a product of pixels by themselves: a window of one cell over the input */
    op_window w;
    int rank;
    int64_t y[GRAPH_MAX_RANK], images, cells_x, cells_y, each, parts, block; /* filters of a part; pixels of a block */
} spread_sizes;

static nib_status bad(const plan_step *step, nib_error *err, nib_status code, const char *what) {
    nib_status status = base_error_set(err, code, "ConvTranspose: %s", what);
    base_error_at_node(err, step->node->name);
    return status;
}

static nib_status sizes_of(const plan_step *step, const plan_group *group, spread_sizes *z, nib_error *err) {
    const spread_state *s = step->state;
    const graph_tensor *x = plan_tensor(group, step->node->inputs[0].value), *w = step->node->inputs[1].value->constant;
    if (x->dtype != NIB_DTYPE_F32 || x->rank != w->rank || x->dims[1] != s->C * s->groups)
        return bad(step, err, NIB_SHAPE, "the input does not fit the weight");
    const char *wrong = op_spread_of(step->node, x->rank - 2, x->dims + 2, w->dims + 2, &z->w);
    if (wrong) return bad(step, err, NIB_BAD_MODEL, wrong);
    z->rank = x->rank;
    z->images = z->y[0] = x->dims[0];
    z->y[1] = s->M * s->groups;
    z->cells_x = z->cells_y = 1;
    for (int i = 0; i < z->w.n; i++) {
        z->y[2 + i] = z->w.in[i];
        z->cells_x *= z->w.out[i];
        if (!base_mul_i64(z->cells_y, z->w.in[i], &z->cells_y)) return bad(step, err, NIB_LIMIT, "the output is too large");
    }
    z->c = (kernel_conv){.channels = s->C, .in_h = 1, .in_w = z->cells_x, .out_h = 1, .out_w = z->cells_x, .kernel_h = 1, .kernel_w = 1};
    z->c.stride_h = z->c.stride_w = z->c.dilation_h = z->c.dilation_w = 1;
    z->each = s->M > 32 ? (s->M + 3) / 4 : s->M;
    z->parts = z->images * s->groups * ((s->M + z->each - 1) / z->each);
    z->block = (int64_t)(BLOCK_BYTES / sizeof(float)) / (z->each * s->taps) / s->gemm->tile_n * s->gemm->tile_n;
    if (z->block < s->gemm->tile_n) z->block = s->gemm->tile_n;
    if (z->block > z->cells_x) z->block = (z->cells_x + s->gemm->tile_n - 1) / s->gemm->tile_n * s->gemm->tile_n;
    return NIB_OK;
}

static int64_t parts(const plan_step *step, const plan_group *group) {
    spread_sizes z;
    if (sizes_of(step, group, &z, NULL) != NIB_OK) return 1;
    return z.parts > 0 && cpu_is_placed(step, group, z.rank, z.y) ? z.parts : 1;
}

/* Adds the shares [taps, n] that pixels [from, from + n) of the input have in one plane of the output. */
static void spread(const spread_sizes *z, const float *shares, int64_t stride, int64_t from, int64_t n, float *y) {
    const op_window *w = &z->w;
    const int a = w->n - 1, b = w->n == 2 ? 0 : -1;
    const int64_t width = w->out[a], kh = b < 0 ? 1 : w->kernel[b], kw = w->kernel[a];
    for (int64_t i = 0; i < kh; i++)
        for (int64_t j = 0; j < kw; j++, shares += stride)
            for (int64_t at = 0, run; at < n; at += run) {
                const int64_t row = (from + at) / width, first = (from + at) % width;
                const int64_t to_row = b < 0 ? 0 : row * w->stride[b] - w->before[b] + i * w->dilation[b];
                int64_t to = first * w->stride[a] - w->before[a] + j * w->dilation[a];
                run = width - first < n - at ? width - first : n - at;
                if (to_row < 0 || to_row >= (b < 0 ? 1 : w->in[b])) continue;
                float *row_y = y + to_row * w->in[a];
                for (int64_t k = 0; k < run; k++, to += w->stride[a])
                    if (to >= 0 && to < w->in[a]) row_y[to] += shares[at + k];
            }
}

static nib_status run_part(const spread_state *s, const spread_sizes *z, const float *x, float *y, int64_t part, float *panels,
                           float *shares, plan_lane *lane) {
    const int64_t per = (s->M + z->each - 1) / z->each, group = part / per % s->groups, image = part / per / s->groups, K = s->C + 1;
    const int64_t first = part % per * z->each, end = first + z->each < s->M ? first + z->each : s->M;
    float *out = y + (image * s->groups + group) * s->M * z->cells_y;
    for (int64_t m = first; m < end; m++)
        for (int64_t i = 0; i < z->cells_y; i++) out[m * z->cells_y + i] = s->bias[group * s->M + m];
    for (int64_t from = 0; from < z->cells_x; from += z->block) {
        const int64_t n = from + z->block < z->cells_x ? z->block : z->cells_x - from;
        if (lane->stopped(lane)) return base_error_set(lane->err, NIB_CANCELLED, "the run was cancelled");
        s->k->conv_columns_f32(&z->c, x + (image * s->groups + group) * s->C * z->cells_x, from, from + n, s->gemm->tile_n, panels);
        const kernel_linear_args args = {.x = s->filters + (group * s->M + first) * s->taps * K,
                                         .x_stride = K,
                                         .w = panels,
                                         .y = shares,
                                         .y_stride = z->block,
                                         .M = (end - first) * s->taps,
                                         .N = n,
                                         .K = K};
        s->gemm->run(&args, 0, args.M, 0, n);
        for (int64_t m = first; m < end; m++) spread(z, shares + (m - first) * s->taps * z->block, z->block, from, n, out + m * z->cells_y);
    }
    return NIB_OK;
}

static nib_status run_spread(const plan_step *step, int64_t lo, int64_t hi, plan_lane *lane) {
    const spread_state *s = step->state;
    spread_sizes z;
    nib_status status = sizes_of(step, lane->group, &z, lane->err);
    if (status != NIB_OK) return status;
    float *y = cpu_output(lane, step->node, 0, NIB_DTYPE_F32, z.rank, z.y, &status);
    if (!y || z.images == 0 || z.cells_y == 0) return status;
    if (parts(step, lane->group) == 1) hi = z.parts;
    float *panels = lane->eval_scratch(lane, (size_t)((s->C + 1) * z.block) * sizeof(float));
    float *shares = lane->eval_scratch(lane, (size_t)(z.each * s->taps * z.block) * sizeof(float));
    if (!panels || !shares) return bad(step, lane->err, NIB_OUT_OF_MEMORY, "out of memory");
    const float *x = plan_tensor(lane->group, step->node->inputs[0].value)->data;
    for (int64_t part = lo; part < hi && status == NIB_OK; part++) status = run_part(s, &z, x, y, part, panels, shares, lane);
    return status;
}

static const char *refusal(const graph_node *n) {
    const graph_value *x = n->inputs[0].value, *w = n->inputs[1].value, *b = n->n_inputs > 2 ? n->inputs[2].value : NULL;
    const int64_t groups = graph_attr_int(n, "group", 1);
    if (!w->constant || w->constant->dtype != NIB_DTYPE_F32 || !w->constant->data) return "its weight is not a constant in f32";
    const graph_tensor *t = w->constant;
    if (x->type.dtype != NIB_DTYPE_F32 || (t->rank != 3 && t->rank != 4)) return "it has not one or two spatial axes of f32";
    if (graph_tensor_elements(t) < 1 || groups < 1 || t->dims[0] % groups) return "its weight is empty, or does not divide into groups";
    if (b && (!b->constant || b->constant->dtype != NIB_DTYPE_F32 || b->constant->rank != 1 || b->constant->dims[0] != t->dims[1] * groups))
        return "its bias is not a constant number a filter";
    if (t->dims[0] > 1 << 20 || graph_tensor_elements(t) / t->dims[0] > 1 << 18) return "a filter has too many numbers";
    return NULL;
}

nib_status cpu_compile_conv_transpose(cpu_compile *c) {
    const graph_node *n = c->node;
    const char *why = refusal(n);
    if (why) return c->why = why, NIB_OK;
    const graph_tensor *w = n->inputs[1].value->constant, *b = n->n_inputs > 2 && n->inputs[2].value ? n->inputs[2].value->constant : NULL;
    spread_state *s = base_arena_calloc(&c->p->arena, 1, sizeof *s);
    if (!s) return base_error_set(c->err, NIB_OUT_OF_MEMORY, "out of memory for a plan");
    s->k = &c->d->kernels;
    s->gemm = kernel_linear_find(s->k, KERNEL_INPUT_F32, KERNEL_WEIGHT_F32, NULL);
    s->groups = graph_attr_int(n, "group", 1);
    s->M = w->dims[1];
    s->C = w->dims[0] / s->groups;
    s->taps = graph_tensor_elements(w) / w->dims[0] / s->M;
    const int64_t rows = s->M * s->taps, K = s->C + 1;
    float *filters = base_arena_calloc(&c->p->arena, (size_t)(s->groups * rows * K), sizeof *filters);
    float *bias = base_arena_calloc(&c->p->arena, (size_t)(s->groups * s->M), sizeof *bias);
    if (!filters || !bias) return base_error_set(c->err, NIB_OUT_OF_MEMORY, "out of memory for a plan");
    for (int64_t ch = 0; ch < w->dims[0]; ch++)
        for (int64_t r = 0; r < rows; r++)
            filters[(ch / s->C * rows + r) * K + ch % s->C] = cpu_no_subnormal(cpu_float_at(w, ch * rows + r));
    for (int64_t m = 0; b && m < s->groups * s->M; m++) bias[m] = cpu_float_at(b, m);
    s->filters = filters;
    s->bias = bias;
    c->step->state = s;
    c->step->range = PLAN_RANGE_PARTS;
    c->step->parts = parts;
    c->step->kernel = s->gemm->name;
    c->step->run = run_spread;
    return NIB_OK;
}
