/* SPDX-License-Identifier: Apache-2.0
 *
 * Convolutions that go the other way, or to places of their own, https://onnx.ai/onnx/operators/: ConvTranspose, over any
 * number of spatial axes; DeformConv, over two. In double, rounded once.
 */
#include "op_window.h"

/* ---- ConvTranspose: a window over the output; every cell that a position of the input sees gets its share */

typedef struct spread {
    op_window w; /* in: of Y, out: of X */
    int64_t N, C, M, groups, Cg, Mg, taps, cells_y, cells_x;
} spread;

/* The sizes of Y and its padding on one axis, https://onnx.ai/onnx/operators/onnx__ConvTranspose.html; false: below 0. */
static bool spread_axis(const graph_node *n, op_window *w, int a, int64_t more, int64_t wanted) {
    const char *pad = graph_attr_string(n, "auto_pad", "NOTSET");
    bool upper = strcmp(pad, "SAME_UPPER") == 0, same = upper || strcmp(pad, "SAME_LOWER") == 0;
    if (w->out[a] > ((int64_t)1 << 30) || w->stride[a] > ((int64_t)1 << 30)) return false;
    int64_t full = w->stride[a] * (w->out[a] - 1) + more + op_window_extent(w, a);
    if (w->out[a] == 0) full = 0;
    if (strcmp(pad, "VALID") == 0) w->before[a] = w->after[a] = 0;
    if (same && wanted < 0) wanted = w->out[a] * w->stride[a];
    if (wanted >= 0) {
        int64_t total = full - wanted > 0 ? full - wanted : 0;
        w->before[a] = upper ? total / 2 : total - total / 2;
        w->after[a] = total - w->before[a];
        w->in[a] = wanted;
        return true;
    }
    w->in[a] = full - w->before[a] - w->after[a];
    return w->in[a] >= 0;
}

/* Attribute `name`: [n], or [n + 2] where whole shapes are allowed; `otherwise` where it is absent. */
static bool spread_list(const graph_node *node, const char *name, int n, bool whole, int64_t otherwise, int64_t *out) {
    const int64_t *list;
    int64_t count = graph_attr_ints(node, name, &list);
    for (int i = 0; i < n; i++) out[i] = otherwise;
    if (count <= 0) return true;
    if (whole && count == n + 2) list += 2;
    else if (count != n) return false;
    for (int i = 0; i < n; i++) {
        out[i] = list[i];
        if (list[i] < 0 || list[i] >= OP_WINDOW_MOST) return false;
    }
    return true;
}

const char *op_spread_of(const graph_node *node, int n, const int64_t *sizes, const int64_t *kernel, op_window *w) {
    int64_t more[OP_WINDOW_AXES], wanted[OP_WINDOW_AXES];
    const char *wrong = op_window_read(node, n, kernel, w);
    if (wrong) return wrong;
    if (!spread_list(node, "output_padding", n, false, 0, more)) return "output_padding";
    if (!spread_list(node, "output_shape", n, true, -1, wanted)) return "output_shape";
    for (int i = 0; i < n; i++) {
        w->out[i] = sizes[i];
        if (!spread_axis(node, w, i, more[i], wanted[i])) return "pads are larger than the output";
    }
    return NULL;
}

static void spread_channel(const spread *s, const double *x, const double *w, double *y) {
    int64_t position[OP_WINDOW_AXES] = {0};
    for (int64_t o = 0; o < s->cells_x; o++, op_window_step(&s->w, position)) {
        op_cells cells;
        if (x[o] == 0) continue;
        for (bool more = op_cells_first(&s->w, position, &cells); more; more = op_cells_next(&s->w, &cells))
            y[cells.at] += x[o] * w[cells.tap];
    }
}

static nib_status eval_transpose(op_eval *c) {
    const graph_tensor *x = op_arg(c, 0), *w = op_arg(c, 1), *bias = op_arg(c, 2);
    spread s = {.groups = graph_attr_int(c->node, "group", 1)};
    double *xv, *wv, *bv = NULL, *sum;
    void *y;
    if (!op_is_float(x->dtype) || w->dtype != x->dtype || (bias && bias->dtype != x->dtype))
        return op_bad(c, NIB_TYPE, "inputs of types %s and %s", nib_dtype_name(x->dtype), nib_dtype_name(w->dtype));
    if (x->rank < 2 || w->rank != x->rank) return op_bad(c, NIB_SHAPE, "input of rank %d, weight of rank %d", x->rank, w->rank);
    s.N = x->dims[0];
    s.C = x->dims[1];
    s.Mg = w->dims[1];
    if (s.groups < 1 || s.C % s.groups || w->dims[0] != s.C || !base_mul_i64(s.Mg, s.groups, &s.M))
        return op_bad(c, NIB_SHAPE, "%lld channels in %lld groups, the weight has %lld", (long long)s.C, (long long)s.groups,
                      (long long)w->dims[0]);
    s.Cg = s.C / s.groups;
    if (bias && (bias->rank != 1 || bias->dims[0] != s.M))
        return op_bad(c, NIB_SHAPE, "the bias does not have %lld elements", (long long)s.M);
    const char *wrong = op_spread_of(c->node, x->rank - 2, x->dims + 2, w->dims + 2, &s.w);
    if (wrong) return op_bad(c, NIB_BAD_MODEL, "window: %s", wrong);
    s.taps = op_count(s.w.n, s.w.kernel);
    s.cells_x = op_count(s.w.n, s.w.out);
    s.cells_y = op_count(s.w.n, s.w.in);
    if (s.taps < 0 || s.cells_x < 0 || s.cells_y < 0) return op_bad(c, NIB_LIMIT, "the output is too large");
    op_dims dims = {x->rank, {s.N, s.M}};
    memcpy(dims.d + 2, s.w.in, sizeof(int64_t) * (size_t)s.w.n);
    OP_TRY(op_out(c, 0, x->dtype, &dims, &y));
    if (!y || op_count(dims.rank, dims.d) == 0) return NIB_OK;
    OP_TRY(op_reals(c, x, &xv));
    OP_TRY(op_reals(c, w, &wv));
    if (bias) OP_TRY(op_reals(c, bias, &bv));
    OP_TRY(op_scratch(c, s.cells_y, sizeof *sum, &sum));
    const int64_t most = s.taps < s.cells_y ? s.taps : s.cells_y; /* that lie inside */
    for (int64_t n = 0; n < s.N; n++)
        for (int64_t m = 0; m < s.M; m++) {
            int64_t g = m / s.Mg, to = (n * s.M + m) * s.cells_y;
            for (int64_t o = 0; o < s.cells_y; o++) sum[o] = bv ? bv[m] : 0;
            for (int64_t ch = g * s.Cg; ch < (g + 1) * s.Cg; ch++) {
                OP_TRY(op_spend(c, s.cells_x, most + 1));
                spread_channel(&s, xv + (n * s.C + ch) * s.cells_x, wv + (ch * s.Mg + m % s.Mg) * s.taps, sum);
            }
            for (int64_t o = 0; o < s.cells_y; o++) op_put(x->dtype, y, to + o, sum[o]);
        }
    return NIB_OK;
}

static nib_status infer_transpose(op_infer *c) {
    const graph_type *x = op_in_type(c, 0), *w = op_in_type(c, 1);
    graph_dim dims[GRAPH_MAX_RANK] = {NULL};
    int64_t sizes[OP_WINDOW_AXES], kernel[OP_WINDOW_AXES], groups = graph_attr_int(c->node, "group", 1);
    op_window win;
    OP_TRY(op_check_float(c, 0));
    if (x->rank < 0) return op_set(c, 0, x->dtype, -1, NULL);
    if (x->rank < 2 || (w->rank >= 0 && w->rank != x->rank))
        return op_fail(c, NIB_SHAPE, "input of rank %d, weight of rank %d", x->rank, w->rank);
    bool known = w->rank == x->rank;
    for (int i = 0; known && i < x->rank - 2; i++)
        known = graph_dim_is_const(x->dims[2 + i], &sizes[i]) && graph_dim_is_const(w->dims[2 + i], &kernel[i]) && sizes[i] >= 0;
    const char *wrong = known ? op_spread_of(c->node, x->rank - 2, sizes, kernel, &win) : NULL;
    if (wrong) return op_fail(c, NIB_BAD_MODEL, "window: %s", wrong);
    for (int i = 0; known && i < x->rank - 2; i++) dims[2 + i] = op_const(c, win.in[i]);
    dims[0] = x->dims[0];
    if (w->rank >= 2 && w->dims[1] && groups > 0) dims[1] = graph_dim_mul(OP_SYMS(c), w->dims[1], op_const(c, groups));
    return op_set(c, 0, x->dtype, x->rank, dims);
}

/* ---- DeformConv: X [N, C, H, W], W [M, C / group, kh, kw], offset [N, groups * kh * kw * 2, oh, ow], B?, mask? */

typedef struct deform {
    int64_t C, H, W, M, Cg, Mg, kh, kw, oh, ow, per; /* per: channels of an offset group */
    const double *x, *w, *offset, *mask;
    int64_t offsets; /* groups of them */
    op_window win;
} deform;

/* Bilinear; outside of the image lies 0. */
static double sample(const double *plane, int64_t H, int64_t W, double h, double w) {
    if (!(h > -1 && w > -1 && h < (double)H && w < (double)W)) return 0;
    int64_t top = (int64_t)floor(h), left = (int64_t)floor(w);
    double fh = h - (double)top, fw = w - (double)left, sum = 0;
    for (int64_t i = 0; i < 2; i++)
        for (int64_t j = 0; j < 2; j++)
            if (top + i >= 0 && top + i < H && left + j >= 0 && left + j < W)
                sum += (i ? fh : 1 - fh) * (j ? fw : 1 - fw) * plane[(top + i) * W + left + j];
    return sum;
}

/* One position of the output: columns [C, kh * kw]. */
static void lay_columns(const deform *d, int64_t n, int64_t i, int64_t j, double *columns) {
    int64_t taps = d->kh * d->kw, plane = d->oh * d->ow, at = i * d->ow + j;
    for (int64_t ch = 0; ch < d->C; ch++)
        for (int64_t k = 0; k < taps; k++) {
            int64_t slot = (n * d->offsets + ch / d->per) * taps + k;
            double h = (double)(i * d->win.stride[0] - d->win.before[0] + k / d->kw * d->win.dilation[0]) +
                       d->offset[2 * slot * plane + at],
                   w = (double)(j * d->win.stride[1] - d->win.before[1] + k % d->kw * d->win.dilation[1]) +
                       d->offset[(2 * slot + 1) * plane + at];
            double v = sample(d->x + (n * d->C + ch) * d->H * d->W, d->H, d->W, h, w);
            columns[ch * taps + k] = d->mask ? v * d->mask[slot * plane + at] : v;
        }
}

static nib_status deform_of(op_eval *c, deform *d) {
    const graph_tensor *x = op_arg(c, 0), *w = op_arg(c, 1), *offset = op_arg(c, 2), *bias = op_arg(c, 3), *mask = op_arg(c, 4);
    int64_t groups = graph_attr_int(c->node, "group", 1), taps, most;
    d->offsets = graph_attr_int(c->node, "offset_group", 1);
    if (x->rank != 4 || w->rank != 4 || offset->rank != 4 || (mask && mask->rank != 4))
        return op_bad(c, x->rank == 4 ? NIB_SHAPE : NIB_UNSUPPORTED, "images of rank %d", x->rank);
    *d = (deform){.C = x->dims[1],
                  .H = x->dims[2],
                  .W = x->dims[3],
                  .M = w->dims[0],
                  .Cg = w->dims[1],
                  .kh = w->dims[2],
                  .kw = w->dims[3],
                  .offsets = d->offsets};
    if (groups < 1 || d->C % groups || d->M % groups || d->C / groups != d->Cg || d->offsets < 1 || d->C % d->offsets)
        return op_bad(c, NIB_SHAPE, "%lld channels do not fit groups and weight", (long long)d->C);
    if (bias && (bias->rank != 1 || bias->dims[0] != d->M))
        return op_bad(c, NIB_SHAPE, "the bias does not have %lld elements", (long long)d->M);
    d->Mg = d->M / groups;
    d->per = d->C / d->offsets;
    OP_TRY(op_window_of(c, 2, x->dims + 2, w->dims + 2, &d->win));
    d->oh = d->win.out[0];
    d->ow = d->win.out[1];
    taps = op_count(2, d->win.kernel);
    if (taps < 0 || !base_mul_i64(taps, d->offsets, &taps) || !base_mul_i64(taps, 2, &most))
        return op_bad(c, NIB_LIMIT, "too many offsets");
    const int64_t want[4] = {x->dims[0], most, d->oh, d->ow}, masks[4] = {x->dims[0], taps, d->oh, d->ow};
    if (memcmp(want, offset->dims, sizeof want) != 0 || (mask && memcmp(masks, mask->dims, sizeof masks) != 0))
        return op_bad(c, NIB_SHAPE, "offsets or mask do not fit the output");
    return NIB_OK;
}

static nib_status eval_deform(op_eval *c) {
    const graph_tensor *x = op_arg(c, 0), *bias = op_arg(c, 3), *mask = op_arg(c, 4);
    deform d = {0};
    double *xv, *wv, *ov, *mv = NULL, *bv = NULL, *columns;
    void *y;
    for (int i = 0; i < c->n_in; i++)
        if (c->in[i] && (!op_is_float(c->in[i]->dtype) || c->in[i]->dtype != x->dtype))
            return op_bad(c, NIB_TYPE, "input %d is %s", i, nib_dtype_name(c->in[i]->dtype));
    OP_TRY(deform_of(c, &d));
    op_dims dims = {4, {x->dims[0], d.M, d.oh, d.ow}};
    OP_TRY(op_out(c, 0, x->dtype, &dims, &y));
    if (!y || op_count(4, dims.d) == 0 || d.C == 0) return y && d.C == 0 ? op_bad(c, NIB_SHAPE, "no channels") : NIB_OK;
    OP_TRY(op_reals(c, x, &xv));
    OP_TRY(op_reals(c, op_arg(c, 1), &wv));
    OP_TRY(op_reals(c, op_arg(c, 2), &ov));
    if (bias) OP_TRY(op_reals(c, bias, &bv));
    if (mask) OP_TRY(op_reals(c, mask, &mv));
    int64_t taps = d.kh * d.kw, K = d.Cg * taps;
    OP_TRY(op_scratch(c, op_count(2, (int64_t[]){d.C, taps}), sizeof *columns, &columns));
    d.x = xv;
    d.offset = ov;
    d.mask = mv;
    for (int64_t n = 0; n < x->dims[0]; n++)
        for (int64_t at = 0; at < d.oh * d.ow; at++) {
            OP_TRY(op_spend(c, d.M, K));
            OP_TRY(op_spend(c, d.C * taps, 8));
            lay_columns(&d, n, at / d.ow, at % d.ow, columns);
            for (int64_t m = 0; m < d.M; m++) {
                const double *row = columns + m / d.Mg * K;
                double sum = bv ? bv[m] : 0;
                for (int64_t k = 0; k < K; k++) sum += row[k] * wv[m * K + k];
                op_put(x->dtype, y, (n * d.M + m) * d.oh * d.ow + at, sum);
            }
        }
    return NIB_OK;
}

static nib_status infer_deform(op_infer *c) {
    const graph_type *x = op_in_type(c, 0), *w = op_in_type(c, 1);
    graph_dim dims[GRAPH_MAX_RANK] = {NULL};
    OP_TRY(op_check_float(c, 0));
    if (x->rank < 0) return op_set(c, 0, x->dtype, -1, NULL);
    if (x->rank < 2 || (w->rank >= 0 && w->rank != x->rank))
        return op_fail(c, NIB_SHAPE, "input of rank %d, weight of rank %d", x->rank, w->rank);
    OP_TRY(op_window_infer(c, x, w, dims));
    dims[0] = x->dims[0];
    dims[1] = w->rank > 0 ? w->dims[0] : NULL;
    return op_set(c, 0, x->dtype, x->rank, dims);
}

const op op_family_convt[] = {
    {"ConvTranspose", "", 1, 2, 3, 1, OP_ROWS_MIXED, infer_transpose, eval_transpose, NULL},
    {"DeformConv", "", 19, 3, 5, 1, OP_ROWS_MIXED, infer_deform, eval_deform, NULL},
    {0},
};
