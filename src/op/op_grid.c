/* SPDX-License-Identifier: Apache-2.0
 *
 * Sampling where a grid says, https://onnx.ai/onnx/operators/: AffineGrid (2-D, 3-D), GridSample (any number of spatial axes).
 * In double, rounded once.
 */
#include "op_local.h"

/* ---- AffineGrid: theta [N, d, d + 1], size [N, C, D1 .. Dd] -> [N, D1 .. Dd, d] */

static nib_status eval_affine(op_eval *c) {
    const graph_tensor *theta = op_arg(c, 0);
    bool corners = graph_attr_int(c->node, "align_corners", 0) != 0;
    int64_t size[GRAPH_MAX_RANK], at[3] = {0};
    int n, d;
    double *t;
    void *y;
    if (!op_is_float(theta->dtype)) return op_bad(c, NIB_TYPE, "input of type %s", nib_dtype_name(theta->dtype));
    OP_TRY(op_read_ints(c, 1, GRAPH_MAX_RANK, size, &n));
    d = n - 2;
    if ((d != 2 && d != 3) || theta->rank != 3 || theta->dims[0] != size[0] || theta->dims[1] != d || theta->dims[2] != d + 1)
        return op_bad(c, NIB_SHAPE, "theta does not fit a size of %d axes", n);
    op_dims dims = {d + 2, {size[0]}};
    memcpy(dims.d + 1, size + 2, sizeof(int64_t) * (size_t)d);
    dims.d[d + 1] = d;
    OP_TRY(op_out(c, 0, theta->dtype, &dims, &y));
    OP_TRY(op_reals(c, theta, &t));
    int64_t cells = op_count(d, size + 2);
    for (int64_t b = 0, o = 0; y && b < size[0]; b++)
        for (int64_t i = 0; i < cells; i++) {
            double v[4];
            for (int k = 0; k < d; k++) { /* coordinates run from the last axis to the first */
                int a = d - 1 - k;
                double s = (double)size[2 + a], p = (double)at[a];
                v[k] = corners ? (s > 1 ? 2 * p / (s - 1) - 1 : -1) : (2 * p + 1) / s - 1;
            }
            v[d] = 1;
            for (int r = 0; r < d; r++, o++) {
                double sum = 0;
                for (int k = 0; k <= d; k++) sum += t[(b * d + r) * (d + 1) + k] * v[k];
                op_put(theta->dtype, y, o, sum);
            }
            for (int a = d - 1; a >= 0 && ++at[a] == size[2 + a]; a--) at[a] = 0;
        }
    return NIB_OK;
}

static nib_status infer_affine(op_infer *c) {
    graph_dim data[GRAPH_MAX_DATA], dims[5];
    int n;
    OP_TRY(op_check_float(c, 0));
    if (!op_in_data(c, 1, data, &n) || (n != 4 && n != 5)) return op_set(c, 0, op_in_type(c, 0)->dtype, -1, NULL);
    dims[0] = data[0];
    memcpy(dims + 1, data + 2, sizeof *dims * (size_t)(n - 2));
    dims[n - 1] = op_const(c, n - 2);
    return op_set(c, 0, op_in_type(c, 0)->dtype, n, dims);
}

/* ---- GridSample: X [N, C, D1 .. Dd], grid [N, o1 .. od, d] -> [N, C, o1 .. od] */

typedef struct grid {
    int d, taps; /* taps: cells an axis: 1, 2 or 4 */
    char pad;    /* z, b, r */
    bool corners;
    int64_t size[GRAPH_MAX_RANK];
} grid;

typedef struct spot { /* of one axis: which cells, how much of each; index -1: a zero */
    int64_t index[4];
    double weight[4];
} spot;

/* Goes back and forth between lo and hi. */
static double reflect(double x, double lo, double hi) {
    double range = hi - lo;
    if (range <= 0) return lo;
    if (x >= lo && x <= hi) return x;
    double far = x < lo ? lo - x : x - hi, turns = floor(far / range), rest = far - turns * range;
    bool even = fmod(turns, 2) == 0;
    return (x < lo) == even ? lo + rest : hi - rest;
}

static int64_t cell(const grid *g, double i, int64_t n) {
    double last = (double)(n - 1);
    if (g->pad == 'z') return i >= 0 && i <= last ? (int64_t)i : -1;
    if (g->pad == 'r') i = g->corners ? reflect(i, 0, last) : trunc(reflect(i, -0.5, last + 0.5));
    return i >= last ? n - 1 : i > 0 ? (int64_t)i : 0;
}

/* Keys' cubic with a = -0.75. */
static double cubic(double x) {
    const double a = -0.75;
    x = fabs(x);
    return x <= 1 ? ((a + 2) * x - (a + 3)) * x * x + 1 : x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0;
}

static void find_spot(const grid *g, double v, int64_t n, spot *s) {
    double x = g->corners ? (v + 1) / 2 * (double)(n - 1) : ((v + 1) * (double)n - 1) / 2;
    if (!(fabs(x) < 9e15)) x = -9e15; /* NaN and the immense lie outside, too */
    if (g->taps == 1) x = nearbyint(x);
    double lo = g->corners ? 0 : -0.5, hi = (double)(n - 1) - lo;
    /* cubic's cells are clamped one by one, as PyTorch and ONNX Runtime do */
    if (g->pad == 'b' && g->taps != 4 && (x < lo || x > hi)) x = x < 0 ? 0 : (double)(n - 1);
    if (g->pad == 'r') x = reflect(x, lo, hi);
    double low = floor(x) - (g->taps == 4 ? 1 : 0);
    if (g->taps == 1) low = trunc(x); /* a reflected one may end in a half */
    for (int t = 0; t < g->taps; t++) {
        s->index[t] = cell(g, low + t, n);
        s->weight[t] = g->taps == 1 ? 1 : g->taps == 2 ? 1 - fabs(low + t - x) : cubic(low + t - x);
    }
}

static double sample(const grid *g, const spot *spots, const double *x) {
    int k[GRAPH_MAX_RANK] = {0};
    double sum = 0;
    for (;;) {
        double w = 1;
        int64_t at = 0;
        for (int a = 0; a < g->d; a++) {
            int64_t i = spots[a].index[k[a]];
            w = i < 0 ? 0 : w * spots[a].weight[k[a]];
            at = at * g->size[a] + (i < 0 ? 0 : i);
        }
        if (w != 0) sum += w * x[at];
        int a = g->d - 1;
        while (a >= 0 && ++k[a] == g->taps) k[a--] = 0;
        if (a < 0) return sum;
    }
}

static nib_status grid_of(op_eval *c, grid *g) {
    const graph_tensor *x = op_arg(c, 0), *where = op_arg(c, 1);
    const char *mode = graph_attr_string(c->node, "mode", "linear"), *pad = graph_attr_string(c->node, "padding_mode", "zeros");
    bool nearest = strcmp(mode, "nearest") == 0, smooth = strcmp(mode, "cubic") == 0 || strcmp(mode, "bicubic") == 0;
    if (!nearest && !smooth && strcmp(mode, "linear") && strcmp(mode, "bilinear")) return op_bad(c, NIB_BAD_MODEL, "mode %s", mode);
    if (strcmp(pad, "zeros") && strcmp(pad, "border") && strcmp(pad, "reflection")) return op_bad(c, NIB_BAD_MODEL, "padding_mode %s", pad);
    *g = (grid){.d = x->rank - 2,
                .taps = nearest  ? 1
                        : smooth ? 4
                                 : 2,
                .pad = pad[0],
                .corners = graph_attr_int(c->node, "align_corners", 0) != 0};
    if (x->rank < 3 || where->rank != x->rank || where->dims[0] != x->dims[0] || where->dims[x->rank - 1] != g->d)
        return op_bad(c, NIB_SHAPE, "the grid does not fit an input of rank %d", x->rank);
    if (g->d > 6) return op_bad(c, NIB_LIMIT, "%d spatial axes", g->d);
    memcpy(g->size, x->dims + 2, sizeof(int64_t) * (size_t)g->d);
    return op_is_float(where->dtype) ? NIB_OK : op_bad(c, NIB_TYPE, "a grid of type %s", nib_dtype_name(where->dtype));
}

static nib_status eval_grid(op_eval *c) {
    const graph_tensor *x = op_arg(c, 0), *where = op_arg(c, 1);
    grid g;
    double *v, *w;
    void *y;
    OP_TRY(grid_of(c, &g));
    op_dims dims = {x->rank, {x->dims[0], x->dims[1]}};
    memcpy(dims.d + 2, where->dims + 1, sizeof(int64_t) * (size_t)g.d);
    OP_TRY(op_out(c, 0, x->dtype, &dims, &y));
    if (!y || op_count(dims.rank, dims.d) == 0) return NIB_OK;
    OP_TRY(op_reals(c, x, &v));
    OP_TRY(op_reals(c, where, &w));
    int64_t in = op_count(g.d, g.size), out = op_count(g.d, dims.d + 2);
    if (in == 0) return op_bad(c, NIB_SHAPE, "nothing to sample");
    int64_t corners = 1; /* cells of one sample */
    for (int a = 0; a < g.d; a++) corners *= g.taps;
    for (int64_t n = 0; n < dims.d[0]; n++)
        for (int64_t o = 0; o < out; o++) {
            const double *at = w + (n * out + o) * g.d;
            spot spots[GRAPH_MAX_RANK];
            OP_TRY(op_spend(c, dims.d[1], corners * g.d));
            for (int a = 0; a < g.d; a++) find_spot(&g, at[g.d - 1 - a], g.size[a], &spots[a]);
            for (int64_t ch = 0; ch < dims.d[1]; ch++) {
                int64_t plane = n * dims.d[1] + ch;
                op_put(x->dtype, y, plane * out + o, sample(&g, spots, v + plane * in));
            }
        }
    return NIB_OK;
}

static nib_status infer_grid(op_infer *c) {
    const graph_type *x = op_in_type(c, 0), *where = op_in_type(c, 1);
    graph_dim dims[GRAPH_MAX_RANK] = {NULL};
    if (x->rank < 0) return op_set(c, 0, x->dtype, -1, NULL);
    if (x->rank < 3 || (where->rank >= 0 && where->rank != x->rank)) return op_fail(c, NIB_SHAPE, "input of rank %d", x->rank);
    memcpy(dims, x->dims, 2 * sizeof *dims);
    for (int i = 2; i < x->rank && where->rank > 0; i++) dims[i] = where->dims[i - 1];
    return op_set(c, 0, x->dtype, x->rank, dims);
}

const op op_family_grid[] = {
    {"AffineGrid", "", 20, 2, 2, 1, OP_ROWS_MIXED, infer_affine, eval_affine, NULL},
    {"GridSample", "", 16, 2, 2, 1, OP_ROWS_MIXED, infer_grid, eval_grid, NULL},
    {0},
};
