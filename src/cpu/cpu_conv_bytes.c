/* SPDX-License-Identifier: Apache-2.0
 *
 * Convolutions of bytes with one or two spatial axes. In: ConvInteger or QLinearConv with constant weights. Out: a step
 * whose numbers are those of the operator's eval, to the bit: sums are exact, so their order is free.
 *
 *   rows     pixels are the rows of the s8 product (x - zero) w, as of MatMulInteger. An image is turned round first, so
 *            that the channels of a pixel lie side by side; a row is then the cells that a pixel sees, one after the other,
 *            in the order (cell, channel), in which the filters are packed. In the padding stands x's zero point.
 *   planes   where a filter sees one channel and there is one for each (depthwise)
 *
 * x of s8 becomes u8 by 128 more, as its zero point does. Filters are packed as s8; of what their zero points take off
 * cpu_integer.c has the formula.
 */
#include "cpu_window.h"
#include <math.h>

#define BLOCK_BYTES ((int64_t)96 << 10) /* of rows, and of sums, beside the packed filters in L2 */
#define MOST_BYTES ((int64_t)1 << 31)
#define PLANE_CELLS 32768 /* of a window over one channel: 255 * 255 times as many fit s32 */

typedef struct bytes_conv {
    const kernels *k;
    const kernel_linear *gemm;
    int w; /* which input */
    bool planes, is_signed, scaled;
    int64_t M, K, words, groups, channels; /* filters; numbers of one, as bytes of a row, too; channels that one sees */
    const void **packed;                   /* [groups] */
    const int16_t *zeros;                  /* of filters, as s8 has them, [1 or M]; NULL: 0 */
    bool one_zero;
    const int16_t *filters; /* of planes [M, K]: less their zero point */
    const int32_t *bias;    /* [M], in sums */
    const float *scales;    /* [M] of the filters, in QLinearConv */
} bytes_conv;

typedef struct bytes_sizes {
    kernel_conv c;
    int rank;
    int64_t y[GRAPH_MAX_RANK];
    int64_t images, cells_in, cells_out, block, blocks, parts;
    uint8_t zero; /* of x, as u8 */
    int y_zero, lo, hi;
} bytes_sizes;

static bool is_byte(nib_dtype t) { return t == NIB_DTYPE_U8 || t == NIB_DTYPE_I8; }

static const graph_tensor *input_of(const plan_step *step, const plan_group *group, int i) {
    const graph_node *n = step->node;
    return i < n->n_inputs && n->inputs[i].value ? plan_tensor(group, n->inputs[i].value) : NULL;
}

static int byte_at(const graph_tensor *t, int64_t i) {
    return t->dtype == NIB_DTYPE_U8 ? ((const uint8_t *)t->data)[i] : ((const int8_t *)t->data)[i];
}

/* The numbers that are one for all, read when the step runs; false: they are others, and the eval says so. */
static bool numbers_of(const bytes_conv *s, const plan_step *step, const plan_group *group, nib_dtype type, bytes_sizes *z) {
    const graph_tensor *zero = input_of(step, group, 2);
    if (zero && (zero->dtype != type || graph_tensor_elements(zero) != 1)) return false;
    z->zero = (uint8_t)((zero ? byte_at(zero, 0) : 0) + (s->is_signed ? 128 : 0));
    if (!s->scaled) return true;
    const graph_tensor *xs = input_of(step, group, 1), *ys = input_of(step, group, 6), *yz = input_of(step, group, 7);
    if (xs->dtype != NIB_DTYPE_F32 || ys->dtype != NIB_DTYPE_F32 || graph_tensor_elements(xs) != 1 || graph_tensor_elements(ys) != 1)
        return false;
    if (!is_byte(yz->dtype) || yz->dtype != step->node->outputs[0]->type.dtype || graph_tensor_elements(yz) != 1) return false;
    z->y_zero = byte_at(yz, 0);
    z->lo = yz->dtype == NIB_DTYPE_U8 ? 0 : -128, z->hi = z->lo + 255;
    return isfinite(cpu_float_at(xs, 0)) && isfinite(cpu_float_at(ys, 0)) && cpu_float_at(ys, 0) > 0;
}

/* False: what was given is not what the step was made for. */
static bool sizes_of(const plan_step *step, const plan_group *group, bytes_sizes *z) {
    const bytes_conv *s = step->state;
    const graph_tensor *x = plan_tensor(group, step->node->inputs[0].value), *w = step->node->inputs[s->w].value->constant;
    op_window v;
    op_eval ask = {.node = step->node};
    *z = (bytes_sizes){.rank = x->rank, .y = {x->dims[0], s->M}, .images = x->dims[0]};
    if (x->dtype != (s->is_signed ? NIB_DTYPE_I8 : NIB_DTYPE_U8) || x->rank != w->rank || x->dims[1] != s->channels * s->groups)
        return false;
    if (!numbers_of(s, step, group, x->dtype, z) || op_window_of(&ask, x->rank - 2, x->dims + 2, w->dims + 2, &v) != NIB_OK) return false;
    for (int i = 0; i < v.n; i++) z->y[2 + i] = v.out[i];
    z->c = cpu_window(&v, s->channels);
    z->cells_in = z->c.in_h * z->c.in_w;
    z->cells_out = z->c.out_h * z->c.out_w;
    const int64_t wide = s->words > 4 * s->M ? s->words : 4 * s->M, most = BLOCK_BYTES / wide, quarter = (z->cells_out + 3) / 4;
    z->block = most < 16 ? 16 : most < quarter ? most : quarter < 16 ? 16 : quarter; /* four of an image at least, for threads to share */
    z->blocks = (z->cells_out + z->block - 1) / z->block;
    z->parts = z->images * (s->planes ? s->M : z->blocks);
    return true;
}

static int64_t parts_of(const plan_step *step, const plan_group *group, const bytes_sizes *z) {
    graph_tensor y = {.rank = z->rank};
    memcpy(y.dims, z->y, sizeof y.dims);
    const int64_t n = graph_tensor_elements(&y), each = ((const bytes_conv *)step->state)->scaled ? 1 : sizeof(int32_t);
    return n > 0 && cpu_is_planned(group, step->node->outputs[0]->id, (size_t)(n * each)) ? z->parts : 1;
}

static int64_t parts(const plan_step *step, const plan_group *group) {
    bytes_sizes z;
    return sizes_of(step, group, &z) ? parts_of(step, group, &z) : 1;
}

static nib_status no_scratch(plan_lane *lane) { return base_error_set(lane->err, NIB_OUT_OF_MEMORY, "out of memory for a convolution"); }
static nib_status cancelled(plan_lane *lane) { return base_error_set(lane->err, NIB_CANCELLED, "the run was cancelled"); }

/* factor[m] as QLinearConv's eval has it; NULL: memory ran out. */
static float *factors_of(const bytes_conv *s, const plan_step *step, plan_lane *lane) {
    const float xs = cpu_float_at(input_of(step, lane->group, 1), 0), ys = cpu_float_at(input_of(step, lane->group, 6), 0);
    float *factor = lane->eval_scratch(lane, (size_t)s->M * sizeof *factor);
    for (int64_t m = 0; factor && m < s->M; m++) factor[m] = xs * s->scales[m] / ys;
    return factor;
}

/* ---- planes */

static nib_status run_planes(const plan_step *step, const bytes_conv *s, const bytes_sizes *z, int64_t lo, int64_t hi, plan_lane *lane,
                             void *y) {
    const uint8_t *x = plan_tensor(lane->group, step->node->inputs[0].value)->data;
    const int64_t rows = cpu_window_rows(&z->c, (size_t)BLOCK_BYTES), w = z->c.out_w;
    if (!rows) return no_scratch(lane);
    int16_t *scratch = lane->eval_scratch(lane, (size_t)kernel_conv_scratch(&z->c, rows) * sizeof *scratch);
    int32_t *sums = s->scaled ? lane->eval_scratch(lane, (size_t)(rows * w) * sizeof *sums) : NULL;
    const float *factor = s->scaled ? factors_of(s, step, lane) : NULL;
    if (!scratch || (s->scaled && (!sums || !factor))) return no_scratch(lane);
    for (int64_t part = lo; part < hi; part++) {
        const int64_t m = part % s->M;
        int32_t add = 0; /* the bias, less what x's zero point takes off */
        for (int64_t k = 0; k < s->K; k++) add += s->filters[m * s->K + k];
        add = (int32_t)((uint32_t)s->bias[m] - (uint32_t)add * z->zero);
        if (lane->stopped(lane)) return cancelled(lane);
        for (int64_t r = 0; r < z->c.out_h; r += rows) {
            const int64_t end = r + rows < z->c.out_h ? r + rows : z->c.out_h, n = (end - r) * w, at = part * z->cells_out + r * w;
            int32_t *to = s->scaled ? sums : (int32_t *)y + at;
            s->k->conv_plane_u8(&z->c, x + part * z->cells_in, s->is_signed ? 128 : 0, z->zero, s->filters + m * s->K, r, end, scratch, to);
            if (s->scaled) s->k->requantize_s32(sums, &add, factor + m, 0, n, z->y_zero, z->lo, z->hi, (uint8_t *)y + at);
            else
                for (int64_t i = 0; i < n; i++) to[i] = (int32_t)((uint32_t)to[i] + (uint32_t)add);
        }
    }
    return NIB_OK;
}

/* ---- rows */

/* What the lane works in. */
typedef struct rows_scratch {
    uint8_t *turned; /* rows [top, ..) of the image [pixels, all channels] */
    int64_t top;
    uint8_t *rows;       /* [block, words] */
    int32_t *sums;       /* [block, M] */
    uint8_t *bytes;      /* [block, M] */
    const float *factor; /* [M] */
} rows_scratch;

/* Whether rows of the product lie in the turned image as they are. */
static bool are_pixels(const bytes_conv *s, const kernel_conv *c) {
    return s->groups == 1 && s->words == s->K && s->K == s->channels && c->stride_h == 1 && c->stride_w == 1 && !c->top && !c->left &&
           c->out_h == c->in_h && c->out_w == c->in_w;
}

/* Rows of the input that pixels [from, to) see: [*first, *end). */
static void rows_seen(const kernel_conv *c, int64_t from, int64_t to, int64_t *first, int64_t *end) {
    *first = from / c->out_w * c->stride_h - c->top;
    *end = (to - 1) / c->out_w * c->stride_h - c->top + (c->kernel_h - 1) * c->dilation_h + 1;
    if (*first < 0) *first = 0;
    if (*end > c->in_h) *end = c->in_h;
    if (*first > c->in_h) *first = c->in_h;
    if (*end < *first) *end = *first;
}

/* The cells that pixels [from, to) see of a group, as rows. */
static void lay_rows(const bytes_conv *s, const bytes_sizes *z, const rows_scratch *t, int64_t group, int64_t from, int64_t to) {
    const kernel_conv *c = &z->c;
    const int64_t all = s->channels * s->groups;
    for (int64_t p = from; p < to; p++) {
        const int64_t row = p / c->out_w * c->stride_h - c->top, column = p % c->out_w * c->stride_w - c->left;
        uint8_t *at = t->rows + (p - from) * s->words;
        for (int64_t i = 0; i < c->kernel_h; i++) {
            const int64_t h = row + i * c->dilation_h;
            const bool inside = h >= 0 && h < c->in_h, run = c->dilation_w == 1 && s->groups == 1;
            const uint8_t *line = t->turned + (h - t->top) * c->in_w * all + group * s->channels;
            if (inside && run && column >= 0 && column + c->kernel_w <= c->in_w) { /* all cells side by side */
                memcpy(at, line + column * all, (size_t)(c->kernel_w * all));
                at += c->kernel_w * all;
                continue;
            }
            for (int64_t j = 0, v = column; j < c->kernel_w; j++, v += c->dilation_w, at += s->channels) {
                if (inside && v >= 0 && v < c->in_w) memcpy(at, line + v * all, (size_t)s->channels);
                else memset(at, z->zero, (size_t)s->channels);
            }
        }
        memset(at, 0, (size_t)(s->words - s->K)); /* meets weights of 0 */
    }
}

/* Sums of pixels [from, to) -> where they belong in image `y`, [M, cells_out]. */
static void hand_over(const bytes_conv *s, const bytes_sizes *z, const rows_scratch *t, int64_t from, int64_t to, void *y, int64_t image) {
    const int64_t base = image * s->M * z->cells_out + from, n = to - from;
    if (s->scaled) {
        for (int64_t p = 0; p < n; p++)
            s->k->requantize_s32(t->sums + p * s->M, s->bias, t->factor, 1, s->M, z->y_zero, z->lo, z->hi, t->bytes + p * s->M);
        s->k->turn_u8(t->bytes, s->M, n, s->M, 0, (uint8_t *)y + base, z->cells_out);
        return;
    }
    for (int64_t first = 0; first < s->M; first += 16) /* so many lines of the output are in the first cache */
        for (int64_t p = 0; p < n; p++)
            for (int64_t m = first; m < first + 16 && m < s->M; m++) ((int32_t *)y)[base + m * z->cells_out + p] = t->sums[p * s->M + m];
}

static void multiply(const bytes_conv *s, const bytes_sizes *z, const rows_scratch *t, int64_t from, int64_t to) {
    const float params[2] = {1, (float)z->zero};
    const int64_t N = s->M / s->groups, all = s->channels * s->groups;
    for (int64_t g = 0; g < s->groups; g++) {
        const bool lie = are_pixels(s, &z->c);
        if (!lie) lay_rows(s, z, t, g, from, to);
        const kernel_linear_args a = {.x8 = lie ? t->turned + (from - t->top * z->c.in_w) * all : t->rows,
                                      .x_stride = s->words,
                                      .x_params = params,
                                      .w = s->packed[g],
                                      .y32 = t->sums + g * N,
                                      .y_stride = s->M,
                                      .M = to - from,
                                      .N = N,
                                      .K = s->K};
        s->gemm->run(&a, 0, a.M, 0, N);
        for (int64_t r = 0; s->zeros && r < a.M; r++)
            cpu_take_off_zeros(a.x8 + r * a.x_stride, s->K, z->zero, s->zeros + (s->one_zero ? 0 : g * N), N, s->one_zero,
                               a.y32 + r * s->M);
    }
}

static nib_status run_rows(const plan_step *step, const bytes_conv *s, const bytes_sizes *z, int64_t lo, int64_t hi, plan_lane *lane,
                           void *y) {
    const uint8_t *x = plan_tensor(lane->group, step->node->inputs[0].value)->data;
    const int64_t all = s->channels * s->groups;
    rows_scratch t = {.rows = lane->eval_scratch(lane, (size_t)(z->block * s->words)),
                      .sums = lane->eval_scratch(lane, (size_t)(z->block * s->M) * sizeof(int32_t))};
    if (!t.rows || !t.sums) return no_scratch(lane);
    if (s->scaled && (!(t.bytes = lane->eval_scratch(lane, (size_t)(z->block * s->M))) || !(t.factor = factors_of(s, step, lane))))
        return no_scratch(lane);
    t.turned = lane->eval_scratch(lane, (size_t)(z->cells_in * all) + 4); /* the last word of a row of 1 to 3 bytes is read as a whole */
    if (!t.turned) return no_scratch(lane);
    for (int64_t part = lo, next; part < hi; part = next) { /* an image at a time */
        const int64_t image = part / z->blocks, first = part % z->blocks * z->block;
        int64_t end, above, below;
        next = (image + 1) * z->blocks < hi ? (image + 1) * z->blocks : hi;
        end = (next - image * z->blocks) * z->block < z->cells_out ? (next - image * z->blocks) * z->block : z->cells_out;
        rows_seen(&z->c, first, end, &above, &below);
        t.top = above;
        s->k->turn_u8(x + image * all * z->cells_in + above * z->c.in_w, z->cells_in, all, (below - above) * z->c.in_w,
                      s->is_signed ? 128 : 0, t.turned, all);
        for (int64_t from = first; from < end; from += z->block) {
            const int64_t to = from + z->block < end ? from + z->block : end;
            if (lane->stopped(lane)) return cancelled(lane);
            multiply(s, z, &t, from, to);
            hand_over(s, z, &t, from, to, y, image);
        }
    }
    return NIB_OK;
}

static nib_status run_bytes(const plan_step *step, int64_t lo, int64_t hi, plan_lane *lane) {
    const bytes_conv *s = step->state;
    bytes_sizes z;
    nib_status status = NIB_OK;
    if (!sizes_of(step, lane->group, &z)) return cpu_eval_whole(step, s->k, lane);
    const nib_dtype type = s->scaled ? step->node->outputs[0]->type.dtype : NIB_DTYPE_I32;
    void *y = cpu_output(lane, step->node, 0, type, z.rank, z.y, &status);
    if (!y) return status;
    if (parts_of(step, lane->group, &z) == 1) lo = 0, hi = z.parts; /* all of it, wherever its output is */
    if (z.images == 0 || z.cells_out == 0) return NIB_OK;
    return s->planes ? run_planes(step, s, &z, lo, hi, lane, y) : run_rows(step, s, &z, lo, hi, lane, y);
}

/* ---- compiling */

/* One number, or one for each of M filters. */
static bool is_list(const graph_value *v, nib_dtype type, int64_t M) {
    const graph_tensor *t = v->constant;
    return t && t->data && t->dtype == type && (graph_tensor_elements(t) == 1 || graph_tensor_elements(t) == M);
}

/* Why not; NULL: it can be done. */
static const char *refusal(const graph_node *n, bool scaled) {
    const graph_value *x = n->inputs[0].value, *w = n->inputs[scaled ? 3 : 1].value, *b = n->n_inputs > 8 ? n->inputs[8].value : NULL;
    const graph_value *wz = n->n_inputs > (scaled ? 5 : 3) ? n->inputs[scaled ? 5 : 3].value : NULL;
    const int64_t groups = graph_attr_int(n, "group", 1);
    op_window v;
    if (!w || !w->constant || !is_byte(w->constant->dtype) || !w->constant->data) return "its weight is not a constant of bytes";
    const graph_tensor *t = w->constant;
    if (!x || !is_byte(x->type.dtype) || (t->rank != 3 && t->rank != 4)) return "it has not one or two spatial axes of bytes";
    if (graph_tensor_elements(t) < 1 || groups < 1 || t->dims[0] % groups) return "its weight is empty, or does not divide into groups";
    if (graph_tensor_elements(t) / t->dims[0] > KERNEL_S8_MOST_K || t->dims[0] > INT32_MAX) return "a filter has too many numbers";
    if (op_window_read(n, t->rank - 2, t->dims + 2, &v)) return "its window is none";
    if (wz && !is_list(wz, t->dtype, t->dims[0])) return "the filters' zero points are not constant, or not one a filter";
    if (!scaled) return NULL;
    for (int i = 1; i < 8; i++)
        if (i >= n->n_inputs || !n->inputs[i].value) return "an input is left out";
    if (!is_list(n->inputs[4].value, NIB_DTYPE_F32, t->dims[0])) return "the filters' scales are not constant, or not one a filter";
    if (b && (!is_list(b, NIB_DTYPE_I32, t->dims[0]) || graph_tensor_elements(b->constant) != t->dims[0]))
        return "its bias is not a constant number a filter";
    return is_byte(n->outputs[0]->type.dtype) ? NULL : "what it gives are no bytes";
}

static nib_status no_memory(cpu_compile *c) { return base_error_set(c->err, NIB_OUT_OF_MEMORY, "out of memory for a plan"); }

/* [M, channel, cell] -> [M, cell, channel], packed a group at a time. */
static nib_status pack_filters(cpu_compile *c, bytes_conv *s, const graph_tensor *w) {
    nib_status status = NIB_OK;
    graph_tensor *flat = base_arena_alloc(&c->p->arena, sizeof *flat);
    uint8_t *to = base_arena_alloc(&c->p->arena, (size_t)(s->M * s->K));
    s->packed = base_arena_calloc(&c->p->arena, (size_t)s->groups, sizeof *s->packed);
    if (!flat || !to || !s->packed) return no_memory(c);
    const int64_t cells = s->K / s->channels;
    for (int64_t m = 0; m < s->M; m++)
        for (int64_t ch = 0; ch < s->channels; ch++)
            for (int64_t k = 0; k < cells; k++) to[m * s->K + k * s->channels + ch] = ((const uint8_t *)w->data)[m * s->K + ch * cells + k];
    *flat = *w;
    flat->rank = 2, flat->dims[0] = s->M, flat->dims[1] = s->K, flat->data = to;
    const int64_t N = s->M / s->groups;
    for (int64_t g = 0; g < s->groups; g++) NIB_TRY(cpu_weight_get(c->d, c->p, flat, true, g * N, N, NULL, s->gemm, &s->packed[g], c->err));
fail:
    return status;
}

static nib_status prepare(cpu_compile *c, bytes_conv *s, const graph_tensor *w, const graph_value *zeros) {
    nib_status status = NIB_OK;
    const graph_tensor *z = zeros ? zeros->constant : NULL, *b = NULL, *scale = NULL;
    int32_t *bias = base_arena_calloc(&c->p->arena, (size_t)s->M, sizeof *bias);
    if (!bias) return no_memory(c);
    s->bias = bias;
    if (s->scaled) {
        float *scales = base_arena_alloc(&c->p->arena, (size_t)s->M * sizeof *scales);
        if (!scales) return no_memory(c);
        scale = c->node->inputs[4].value->constant;
        b = c->node->n_inputs > 8 && c->node->inputs[8].value ? c->node->inputs[8].value->constant : NULL;
        for (int64_t m = 0; m < s->M; m++) {
            scales[m] = cpu_float_at(scale, graph_tensor_elements(scale) == 1 ? 0 : m);
            if (b) bias[m] = (int32_t)op_number(b, m);
            if (!isfinite(scales[m])) return c->why = "a scale is not finite", NIB_OK;
        }
        s->scales = scales;
    }
    if (s->planes) {
        int16_t *f = base_arena_alloc(&c->p->arena, (size_t)(s->M * s->K) * sizeof *f);
        if (!f) return no_memory(c);
        for (int64_t i = 0; i < s->M * s->K; i++)
            f[i] = (int16_t)(byte_at(w, i) - (z ? byte_at(z, graph_tensor_elements(z) == 1 ? 0 : i / s->K) : 0));
        s->filters = f;
        return NIB_OK;
    }
    bool ok;
    s->one_zero = !z || graph_tensor_elements(z) == 1;
    s->zeros = cpu_zeros_of(c, z, w->dtype, &ok);
    if (!ok) return no_memory(c);
    NIB_TRY(pack_filters(c, s, w));
fail:
    return status;
}

nib_status cpu_compile_conv_bytes(cpu_compile *c) {
    nib_status status = NIB_OK;
    const graph_node *n = c->node;
    const bool scaled = graph_is_op(n, "", "QLinearConv");
    const char *why = refusal(n, scaled);
    if (why) return c->why = why, NIB_OK;
    bytes_conv *s = base_arena_calloc(&c->p->arena, 1, sizeof *s);
    if (!s) return no_memory(c);
    const graph_tensor *w = n->inputs[scaled ? 3 : 1].value->constant;
    op_window window;
    op_window_read(n, w->rank - 2, w->dims + 2, &window); /* refusal() has read it */
    s->k = &c->d->kernels;
    s->gemm = kernel_linear_find(s->k, KERNEL_INPUT_U8, KERNEL_WEIGHT_S8, NULL);
    s->scaled = scaled;
    s->w = scaled ? 3 : 1;
    s->is_signed = n->inputs[0].value->type.dtype == NIB_DTYPE_I8;
    s->M = w->dims[0];
    s->channels = w->dims[1];
    s->K = graph_tensor_elements(w) / s->M;
    s->words = (s->K + 3) / 4 * 4;
    s->groups = graph_attr_int(n, "group", 1);
    s->planes = s->channels == 1 && s->M == s->groups && s->K <= PLANE_CELLS && cpu_window_is_small(&window);
    NIB_TRY(prepare(c, s, w, n->n_inputs > (scaled ? 5 : 3) ? n->inputs[scaled ? 5 : 3].value : NULL));
    if (c->why[0]) return NIB_OK;
    c->step->state = s;
    c->step->range = PLAN_RANGE_PARTS;
    c->step->parts = parts;
    c->step->kernel = s->planes ? "conv planes of bytes" : s->gemm->name;
    c->step->evaluates = true; /* what is of another type after all */
    c->step->run = run_bytes;
fail:
    return status;
}
