/* SPDX-License-Identifier: Apache-2.0
 *
 * Convolutions of one to three spatial axes. In: Conv or nib.Conv with constant weights in f32. Out: a step that is divided
 * by blocks of pixels, or by planes.
 *
 *   products   the filters [M, K + 1], bias last, times columns of pixels (kernels.conv_columns_f32), which are laid out
 *              where they are needed, a block that fits L2 at a time: the f32 Linear with its sides changed, so that what
 *              comes out lies as the output does
 *   planes     where a filter sees one channel (depthwise)
 *   rows       where an image has few pixels: pixels are the rows of a Linear, and turned round behind it
 *
 * Of three axes, every depth of the output is an image of its own: what it sees of the input, planes of all channels, is
 * laid out as channels of one image.
 *
 * What nib.Conv does to its outputs is done to each block of rows while it is in cache.
 */
#include "cpu_window.h"
#include "op/op_map.h"

#define PANEL_BYTES ((size_t)192 << 10) /* of a block of columns, beside filters and outputs in an L2 of 1 MiB */
#define MOST_BYTES ((size_t)64 << 20)   /* of one panel */
#define EVEN_PART 2048                  /* outputs that an even program is run on at a time */
#define FEW_PIXELS 12                   /* of an image: below, a panel of columns is mostly empty */
#define BOTH_BYTES ((size_t)8 << 20)    /* of weights that are kept for rows, too, where it is not known how long a signal will be */
#define MOST_DEPTH 64                   /* of a window over three axes: so many copies of the input are laid out */
#define FEW_FILTERS 8                   /* of one channel: below, planes are faster than a product of so few rows */

typedef enum conv_way { WAY_PRODUCTS, WAY_PLANES, WAY_ROWS } conv_way;

/* A program that the product does while its sums are in registers: an activation, then a sum or product with an input. */
typedef struct conv_end {
    bool known; /* else the program is run on what the product has written */
    kernel_activation activation;
    int input; /* of the program, as large as the output; 0: none */
    bool multiplies;
} conv_end;

typedef struct conv_state {
    bool planes; /* else products or rows, by how many pixels an image has */
    const kernels *k;
    const kernel_linear *gemm;
    kernel_map map;
    conv_end end;
    int64_t M, K, groups, channels; /* filters, numbers of one, channels that one sees */
    const float *filters;           /* of products [M, K + 1], of planes [M, K] */
    int64_t depth;                  /* of a filter, of `channels` each; 1: it has two axes */
    const float *bias;              /* [M] */
    const void *packed;             /* of rows; NULL: not of this convolution */
} conv_state;

/* The sizes of one run. */
typedef struct conv_sizes {
    conv_way way;
    kernel_conv c; /* of one depth: channels are planes that it sees */
    op_window depth;
    int rank;
    int64_t y[GRAPH_MAX_RANK];
    int64_t images, depths, cells_in, cells_out; /* cells of one depth */
    int64_t stride;                              /* from one filter's outputs to the next's */
    int64_t block, blocks, each, parts; /* pixels of a block; blocks, and of ROWS images of a part; all parts */
    struct {
        const float *at;
        int64_t image, channel; /* elements from one to the next; of DENSE the output's own */
        bool dense;
    } in[KERNEL_MAP_INPUTS];
    bool even; /* the program reads nothing that changes from filter to filter, but what lies as the output does */
} conv_sizes;

static nib_status bad(const plan_step *step, nib_error *err, nib_status code, const char *what) {
    nib_status status = base_error_set(err, code, "%s: %s", step->node->op, what);
    base_error_at_node(err, step->node->name);
    return status;
}

/* ---- sizes */

/* Input i of the program, as rows of a filter's pixels read it; false: it does not fit. */
static bool read_input(conv_sizes *z, int i, const graph_tensor *t) {
    bool same = t->rank == z->rank;
    int64_t steps[GRAPH_MAX_RANK] = {0}, size = 1;
    if (t->dtype != NIB_DTYPE_F32 || t->rank > z->rank) return false;
    for (int k = 0; same && k < z->rank; k++) same = t->dims[k] == z->y[k];
    z->in[i].at = t->data;
    if ((z->in[i].dense = same)) return true;
    for (int k = z->rank - 1; k >= 0; k--) {
        const int own = k - (z->rank - t->rank);
        const int64_t d = own < 0 ? 1 : t->dims[own];
        if (d != 1 && (k >= 2 || d != z->y[k])) return false;
        steps[k] = d == 1 ? 0 : size;
        size *= d;
    }
    z->in[i].image = steps[0], z->in[i].channel = steps[1];
    return true;
}

/* Into parts: blocks of pixels, planes, or images whose pixels fill a tile. */
static void divide(const conv_state *s, conv_sizes *z) {
    const int64_t tile = s->gemm->tile_n, column = (s->K + 1) * (int64_t)sizeof(float);
    int64_t most = (int64_t)PANEL_BYTES / column / tile, wanted = (z->cells_out + 4 * tile - 1) / (4 * tile);
    if (most > 16) most = 16;
    if (most > wanted) most = wanted; /* four blocks of an image at least, for threads to share */
    z->block = (most < 1 ? 1 : most) * tile;
    z->blocks = (z->cells_out + z->block - 1) / z->block;
    z->each = z->cells_out > 0 && z->cells_out < 2 * FEW_PIXELS ? 2 * FEW_PIXELS / z->cells_out : 1;
    z->way = s->planes ? WAY_PLANES : s->packed && z->cells_out < FEW_PIXELS ? WAY_ROWS : WAY_PRODUCTS;
    if (z->way == WAY_PRODUCTS) z->parts = z->images * z->depths * s->groups * z->blocks;
    else z->parts = z->way == WAY_PLANES ? z->images * s->M * z->depths : (z->images + z->each - 1) / z->each;
}

static nib_status sizes_of(const plan_step *step, const plan_group *group, conv_sizes *z, nib_error *err) {
    const conv_state *s = step->state;
    const graph_node *n = step->node;
    const graph_tensor *x = plan_tensor(group, n->inputs[0].value), *w = n->inputs[1].value->constant;
    op_window v, plane;
    op_eval ask = {.node = n, .err = err};
    if (x->dtype != NIB_DTYPE_F32 || x->rank != w->rank) return bad(step, err, NIB_SHAPE, "the input has not the weight's rank");
    if (x->dims[1] != s->channels * s->groups) return bad(step, err, NIB_SHAPE, "the input has not the weight's channels");
    nib_status status = op_window_of(&ask, x->rank - 2, x->dims + 2, w->dims + 2, &v);
    if (status != NIB_OK) return status;
    *z = (conv_sizes){.rank = x->rank, .y = {x->dims[0], s->M}, .images = x->dims[0]};
    for (int i = 0; i < v.n; i++) z->y[2 + i] = v.out[i];
    z->depth = cpu_window_depth(&v, &plane);
    z->depths = z->depth.out[0];
    z->c = cpu_window(&plane, s->channels * s->depth);
    z->cells_in = z->c.in_h * z->c.in_w;
    z->cells_out = z->c.out_h * z->c.out_w;
    z->stride = z->depths * z->cells_out;
    for (int i = 1; i < s->map.inputs; i++)
        if (!read_input(z, i, plan_tensor(group, n->inputs[OP_CONV_OPERANDS - 1 + i].value)))
            return bad(step, err, NIB_SHAPE, "what its outputs are put together with has another shape");
    z->even = true;
    for (int i = 1; i < s->map.inputs; i++) z->even &= z->in[i].dense || (!z->in[i].image && !z->in[i].channel);
    divide(s, z);
    return NIB_OK;
}

/* 1 where the output is not where the plan put it, or there is none. */
static int64_t parts_of(const plan_step *step, const plan_group *group, const conv_sizes *z) {
    return z->parts > 0 && cpu_is_placed(step, group, z->rank, z->y) ? z->parts : 1;
}

static int64_t parts(const plan_step *step, const plan_group *group) {
    conv_sizes z;
    return sizes_of(step, group, &z, NULL) == NIB_OK ? parts_of(step, group, &z) : 1; /* the run says what is wrong */
}

/* ---- the work */

/* Where the outputs of filter m lie, of a slice: a depth of an image. */
static int64_t outputs_at(const conv_state *s, const conv_sizes *z, int64_t slice, int64_t m) {
    return (slice / z->depths * s->M + m) * z->stride + slice % z->depths * z->cells_out;
}

/* Pixels [lo, hi) of filter m of a slice, which lie at y: the program on them. Where it is even, hi may lie in a later filter. */
static void map_row(const conv_state *s, const conv_sizes *z, int64_t slice, int64_t m, int64_t lo, int64_t hi, float *y) {
    kernel_map_input in[KERNEL_MAP_INPUTS] = {{y, false}};
    if (s->map.steps == 0) return;
    for (int i = 1; i < s->map.inputs; i++) {
        const bool dense = z->in[i].dense;
        const int64_t at = dense ? outputs_at(s, z, slice, m) + lo : slice / z->depths * z->in[i].image + m * z->in[i].channel;
        in[i] = (kernel_map_input){z->in[i].at + at, !dense};
    }
    s->k->map_f32(&s->map, in, hi - lo, y);
}

static nib_status no_scratch(plan_lane *lane) { return base_error_set(lane->err, NIB_OUT_OF_MEMORY, "out of memory for a convolution"); }

/* The planes that a depth of the output sees of the channels of x, side by side; the padding is 0. */
static void lay_depth(const conv_state *s, const conv_sizes *z, const float *x, int64_t d, float *planes) {
    for (int64_t ch = 0; ch < s->channels; ch++)
        for (int64_t i = 0; i < s->depth; i++, planes += z->cells_in) {
            const int64_t plane = cpu_window_plane(&z->depth, d, i);
            if (plane < 0) memset(planes, 0, (size_t)z->cells_in * sizeof *planes);
            else memcpy(planes, x + (ch * z->depth.in[0] + plane) * z->cells_in, (size_t)z->cells_in * sizeof *planes);
        }
}

static nib_status run_products(const conv_state *s, const conv_sizes *z, const float *x, float *y, int64_t lo, int64_t hi,
                               plan_lane *lane) {
    const int64_t K = s->K + 1, filters = s->M / s->groups;
    const bool inside = s->end.known && (s->end.input == 0 || z->in[s->end.input].dense);
    const float *other = inside && s->end.input > 0 ? z->in[s->end.input].at : NULL;
    float *panels = lane->eval_scratch(lane, (size_t)(K * z->block) * sizeof(float));
    const bool deep = s->depth > 1 || z->depth.in[0] > 1;
    float *planes = deep ? lane->eval_scratch(lane, (size_t)(z->c.channels * z->cells_in) * sizeof(float)) : NULL;
    if (!panels || (deep && !planes)) return no_scratch(lane);
    int64_t laid = -1;
    for (int64_t part = lo; part < hi; part++) {
        const int64_t from = part % z->blocks * z->block, group = part / z->blocks % s->groups, slice = part / z->blocks / s->groups;
        const int64_t to = from + z->block < z->cells_out ? from + z->block : z->cells_out, first = group * filters;
        const int64_t at = outputs_at(s, z, slice, first) + from;
        const float *image = x + (slice / z->depths * s->groups + group) * s->channels * z->depth.in[0] * z->cells_in;
        float *out = y + at;
        if (lane->stopped(lane)) return base_error_set(lane->err, NIB_CANCELLED, "the run was cancelled");
        if (deep && laid != part / z->blocks) lay_depth(s, z, image, slice % z->depths, planes);
        laid = part / z->blocks;
        s->k->conv_columns_f32(&z->c, deep ? planes : image, from, to, s->gemm->tile_n, panels);
        const kernel_linear_args args = {.x = s->filters + first * K,
                                         .x_stride = K,
                                         .w = panels,
                                         .y = out,
                                         .y_stride = z->stride,
                                         .M = filters,
                                         .N = to - from,
                                         .K = K,
                                         .activation = inside ? s->end.activation : KERNEL_ACT_NONE,
                                         .residual = other ? other + at : NULL,
                                         .residual_stride = z->stride,
                                         .residual_multiplies = s->end.multiplies};
        s->gemm->run(&args, 0, filters, 0, to - from);
        if (inside) continue;
        const bool all = z->even && z->blocks == 1 && z->depths == 1; /* filters lie one behind the other */
        for (int64_t m = 0; m < (all ? 1 : filters); m++)
            map_row(s, z, slice, first + m, from, all ? filters * z->cells_out : to, out + m * z->stride);
    }
    return NIB_OK;
}

/* Rows [lo, hi) of depth d of filter m: the sum of what its planes give. */
static void sum_planes(const conv_state *s, const conv_sizes *z, const float *x, int64_t m, int64_t d, int64_t lo, int64_t hi,
                       float *scratch, float *more, float *y) {
    const int64_t cells = s->K / s->depth, n = (hi - lo) * z->c.out_w;
    bool any = false;
    for (int64_t i = 0; i < s->depth; i++) {
        const int64_t plane = cpu_window_plane(&z->depth, d, i);
        const float *w = s->filters + m * s->K + i * cells;
        if (plane < 0) continue;
        s->k->conv_plane_f32(&z->c, x + plane * z->cells_in, w, any ? 0 : s->bias[m], lo, hi, scratch, any ? more : y);
        if (any) s->k->add_f32(y, more, n, y);
        any = true;
    }
    for (int64_t k = 0; !any && k < n; k++) y[k] = s->bias[m];
}

static nib_status run_planes(const conv_state *s, const conv_sizes *z, const float *x, float *y, int64_t lo, int64_t hi, plan_lane *lane) {
    const int64_t each = s->M / s->groups; /* filters of a channel */
    const int64_t rows = cpu_window_rows(&z->c, PANEL_BYTES);
    if (!rows) return no_scratch(lane);
    float *scratch = lane->eval_scratch(lane, (size_t)kernel_conv_scratch(&z->c, rows) * sizeof(float));
    if (!scratch) return no_scratch(lane);
    float *more = s->depth > 1 ? lane->eval_scratch(lane, (size_t)(rows * z->c.out_w) * sizeof(float)) : scratch;
    if (!more) return no_scratch(lane);
    int64_t done = lo * z->cells_out; /* outputs that the program is through with, of an even one */
    for (int64_t part = lo; part < hi; part++) {
        const int64_t d = part % z->depths, m = part / z->depths % s->M, image = part / z->depths / s->M;
        const int64_t end_of = (part + 1) * z->cells_out, slice = image * z->depths + d;
        const float *volume = x + (image * s->groups + m / each) * z->depth.in[0] * z->cells_in;
        float *out = y + part * z->cells_out;
        if (lane->stopped(lane)) return base_error_set(lane->err, NIB_CANCELLED, "the run was cancelled");
        for (int64_t r = 0; r < z->c.out_h; r += rows) {
            const int64_t end = r + rows < z->c.out_h ? r + rows : z->c.out_h, w = z->c.out_w;
            sum_planes(s, z, volume, m, d, r, end, scratch, more, out + r * w);
            if (!z->even) map_row(s, z, slice, m, r * w, end * w, out + r * w);
        }
        if (!z->even || (end_of - done < EVEN_PART && part + 1 < hi)) continue;
        map_row(s, z, 0, 0, done, end_of, y + done);
        done = end_of;
    }
    return NIB_OK;
}

/* What the pixels of an image see, [cells_out, K]. */
static void lay_rows(const kernel_conv *c, const float *x, float *rows) {
    const int64_t plane = c->in_h * c->in_w;
    for (int64_t y = 0; y < c->out_h; y++)
        for (int64_t column = 0; column < c->out_w; column++)
            for (int64_t ch = 0; ch < c->channels; ch++)
                for (int64_t i = 0; i < c->kernel_h; i++) {
                    const int64_t row = y * c->stride_h - c->top + i * c->dilation_h, first = column * c->stride_w - c->left;
                    const float *from = x + ch * plane + row * c->in_w;
                    for (int64_t j = 0, at = first; j < c->kernel_w; j++, at += c->dilation_w)
                        *rows++ = row < 0 || row >= c->in_h || at < 0 || at >= c->in_w ? 0.0f : from[at];
                }
}

/* Whether the one pixel of an image sees all of it, cell by cell. */
static bool sees_as_it_lies(const kernel_conv *c) {
    const bool rows = c->kernel_h == c->in_h && !c->top && (c->dilation_h == 1 || c->kernel_h == 1);
    return c->out_h * c->out_w == 1 && rows && c->kernel_w == c->in_w && !c->left && (c->dilation_w == 1 || c->kernel_w == 1);
}

static nib_status run_rows(const conv_state *s, const conv_sizes *z, const float *x, float *y, int64_t lo, int64_t hi, plan_lane *lane) {
    const int64_t cells = z->cells_out, most = z->each * cells, size = s->channels * z->cells_in;
    const bool whole = sees_as_it_lies(&z->c);
    float *laid = whole ? NULL : lane->eval_scratch(lane, (size_t)(most * s->K) * sizeof *laid);
    float *out = lane->eval_scratch(lane, (size_t)(most * s->M) * sizeof *out);
    if ((!whole && !laid) || !out) return no_scratch(lane);
    for (int64_t part = lo; part < hi; part++) {
        const int64_t first = part * z->each, end = first + z->each < z->images ? first + z->each : z->images;
        if (lane->stopped(lane)) return base_error_set(lane->err, NIB_CANCELLED, "the run was cancelled");
        for (int64_t i = first; i < end && !whole; i++) lay_rows(&z->c, x + i * size, laid + (i - first) * cells * s->K);
        const kernel_linear_args args = {.x = whole ? x + first * size : laid,
                                         .x_stride = s->K,
                                         .w = s->packed,
                                         .bias = s->bias,
                                         .y = out,
                                         .y_stride = s->M,
                                         .M = (end - first) * cells,
                                         .N = s->M,
                                         .K = s->K};
        s->gemm->run(&args, 0, args.M, 0, s->M);
        for (int64_t i = first; i < end; i++) {
            float *to = y + i * s->M * cells;
            const float *from = out + (i - first) * cells * s->M;
            for (int64_t p = 0; p < cells; p++)
                for (int64_t m = 0; m < s->M; m++) to[m * cells + p] = from[p * s->M + m];
            for (int64_t m = 0; m < (z->even ? 1 : s->M); m++) map_row(s, z, i, m, 0, z->even ? s->M * cells : cells, to + m * cells);
        }
    }
    return NIB_OK;
}

static nib_status run_conv(const plan_step *step, int64_t lo, int64_t hi, plan_lane *lane) {
    const conv_state *s = step->state;
    conv_sizes z;
    nib_status status = sizes_of(step, lane->group, &z, lane->err);
    if (status != NIB_OK) return status;
    float *y = cpu_output(lane, step->node, 0, NIB_DTYPE_F32, z.rank, z.y, &status);
    if (!y) return status;
    const float *x = plan_tensor(lane->group, step->node->inputs[0].value)->data;
    if (parts_of(step, lane->group, &z) == 1) lo = 0, hi = z.parts; /* all of it, wherever its output is */
    if (z.images == 0 || z.cells_out == 0) return NIB_OK;
    switch (z.way) {
    case WAY_ROWS: return run_rows(s, &z, x, y, lo, hi, lane);
    case WAY_PLANES: return run_planes(s, &z, x, y, lo, hi, lane);
    default: return run_products(s, &z, x, y, lo, hi, lane);
    }
}

/* ---- compiling */

/* Why not; NULL: it can be done. */
static const char *refusal(const graph_node *n, const kernel_map *map) {
    const graph_value *x = n->inputs[0].value, *w = n->inputs[1].value, *b = n->n_inputs > 2 ? n->inputs[2].value : NULL;
    const int64_t groups = graph_attr_int(n, "group", 1);
    op_window v;
    if (!w || !w->constant || w->constant->dtype != NIB_DTYPE_F32 || !w->constant->data) return "its weight is not a constant in f32";
    const graph_tensor *t = w->constant;
    if (!x || x->type.dtype != NIB_DTYPE_F32 || t->rank < 3 || t->rank > 5) return "it has not one to three spatial axes of f32";
    if (b && (!b->constant || b->constant->dtype != NIB_DTYPE_F32 || b->constant->rank != 1 || b->constant->dims[0] != t->dims[0]))
        return "its bias is not a constant number a filter";
    if (graph_tensor_elements(t) < 1 || groups < 1 || t->dims[0] % groups) return "its weight is empty, or does not divide into groups";
    if ((size_t)(graph_tensor_elements(t) / t->dims[0] + 1) > MOST_BYTES / sizeof(float) / 64) return "a filter has too many numbers";
    if (op_window_read(n, t->rank - 2, t->dims + 2, &v)) return "its window is none";
    if (t->rank == 5 && t->dims[2] > MOST_DEPTH) return "its window is very deep";
    for (int i = 1; i < map->inputs; i++)
        if (!n->inputs[OP_CONV_OPERANDS - 1 + i].value) return "an input is left out";
    return NULL;
}

/* Whether images may have few pixels, and whether they may have many. */
static void pixels_of(const graph_node *n, size_t bytes, bool *few, bool *many) {
    const graph_type *y = &n->outputs[0]->type;
    int64_t count = 1, d;
    bool known = y->rank > 2;
    for (int k = 2; k < y->rank && known; k++) known = graph_dim_is_const(y->dims[k], &d) && base_mul_i64(count, d, &count);
    *many = !known || count >= FEW_PIXELS || y->rank == 5;
    *few = y->rank < 5 && graph_attr_int(n, "group", 1) == 1 && (known ? count < FEW_PIXELS : y->rank == 3 && bytes <= BOTH_BYTES);
    if (!*few) *many = true;
}

static conv_end end_of(const kernel_map *map) {
    static const struct {
        kernel_map_function function;
        kernel_activation activation;
    } activations[] = {{KERNEL_MAP_GELU, KERNEL_ACT_GELU_ERF}, {KERNEL_MAP_RELU, KERNEL_ACT_RELU}};
    conv_end end = {0};
    int value = 0; /* the register that has what was computed so far */
    for (int i = 0; i < map->steps; i++, value = map->inputs + i - 1) {
        const kernel_map_step *s = &map->step[i];
        const bool pair = s->function == KERNEL_MAP_ADD || s->function == KERNEL_MAP_MUL;
        const int other = s->a == value ? s->b : s->a;
        end.known = false;
        for (size_t k = 0; !pair && i == 0 && s->a == 0 && k < BASE_COUNT(activations); k++)
            if (s->function == activations[k].function) end.known = true, end.activation = activations[k].activation;
        if (pair && i == map->steps - 1 && (s->a == value || s->b == value) && other > 0 && other < map->inputs)
            end = (conv_end){true, end.activation, other, s->function == KERNEL_MAP_MUL};
        if (!end.known) return end;
    }
    return end;
}

static nib_status no_memory(cpu_compile *c) { return base_error_set(c->err, NIB_OUT_OF_MEMORY, "out of memory for a plan"); }

/* As products or planes read them. */
static nib_status copy_filters(cpu_compile *c, conv_state *s, const graph_tensor *w) {
    const int64_t stride = s->K + !s->planes;
    float *f = base_arena_alloc(&c->p->arena, (size_t)(s->M * stride) * sizeof *f);
    if (!f) return no_memory(c);
    for (int64_t m = 0; m < s->M; m++) {
        memcpy(f + m * stride, (const char *)w->data + m * s->K * (int64_t)sizeof(float), (size_t)s->K * sizeof(float));
        for (int64_t k = 0; k < s->K; k++) f[m * stride + k] = cpu_no_subnormal(f[m * stride + k]);
        if (!s->planes) f[m * stride + s->K] = s->bias[m];
    }
    s->filters = f;
    return NIB_OK;
}

static nib_status prepare(cpu_compile *c, conv_state *s, const graph_tensor *w, const graph_tensor *bias) {
    nib_status status = NIB_OK;
    float *b = base_arena_alloc(&c->p->arena, (size_t)s->M * sizeof *b);
    graph_tensor *flat = base_arena_alloc(&c->p->arena, sizeof *flat);
    bool few, many;
    if (!b || !flat) return no_memory(c);
    for (int64_t m = 0; m < s->M; m++) b[m] = bias ? cpu_float_at(bias, m) : 0.0f;
    s->bias = b;
    pixels_of(c->node, w->bytes, &few, &many);
    if (s->planes || many) NIB_TRY(copy_filters(c, s, w));
    if (s->planes || !few) return NIB_OK;
    *flat = *w;
    flat->rank = 2, flat->dims[0] = s->M, flat->dims[1] = s->K;
    NIB_TRY(cpu_weight_get(c->d, c->p, flat, true, 0, s->M, NULL, s->gemm, &s->packed, c->err));
fail:
    return status;
}

nib_status cpu_compile_conv(cpu_compile *c) {
    nib_status status = NIB_OK;
    const graph_node *n = c->node;
    kernel_map map;
    op_window window;
    if (graph_is_op(n, "", "Conv")) map = (kernel_map){.inputs = 1};
    else if (!op_map_get(n, &map)) return c->why = "its attributes are no program", NIB_OK;
    const char *why = refusal(n, &map);
    if (why) return c->why = why, NIB_OK;
    const graph_tensor *w = n->inputs[1].value->constant, *b = n->n_inputs > 2 && n->inputs[2].value ? n->inputs[2].value->constant : NULL;
    conv_state *s = base_arena_calloc(&c->p->arena, 1, sizeof *s);
    if (!s) NIB_FAIL(c->err, NIB_OUT_OF_MEMORY, "out of memory for a plan");
    s->k = &c->d->kernels;
    s->gemm = kernel_linear_find(s->k, KERNEL_INPUT_F32, KERNEL_WEIGHT_F32, NULL);
    s->map = map;
    s->end = end_of(&map);
    s->M = w->dims[0];
    s->channels = w->dims[1];
    s->depth = w->rank == 5 ? w->dims[2] : 1;
    s->K = graph_tensor_elements(w) / s->M;
    s->groups = graph_attr_int(n, "group", 1);
    op_window_read(n, w->rank - 2, w->dims + 2, &window); /* refusal() has read it */
    s->planes = s->channels == 1 && s->M / s->groups < FEW_FILTERS && cpu_window_is_small(&window);
    NIB_TRY(prepare(c, s, w, b));
    c->step->state = s;
    c->step->range = PLAN_RANGE_PARTS;
    c->step->parts = parts;
    c->step->kernel = s->planes ? "conv planes" : s->gemm->name;
    c->step->run = run_conv;
fail:
    return status;
}
