/* SPDX-License-Identifier: Apache-2.0
 *
 * Convolutions, https://onnx.ai/onnx/operators/: Conv ConvInteger QLinearConv, and
 * FusedConv of com.microsoft, over any number of spatial axes.
 *
 *   X [N, C, D1 .. Dn], W [M, C / group, K1 .. Kn], B [M]? -> [N, M, out1 .. outn]
 *
 * f32 goes through the Linear kernels: positions of the output, some at a time, become rows [position, channel, tap]. Groups
 * of few outputs (depthwise), and the other types, are added up in double over the cells that a position sees.
 */
#include "op_map.h"
#include "op_window.h"

#define ROWS_BYTES ((size_t)1 << 20) /* of positions laid out as rows, at a time (a row at least) */
#define FEW 4                        /* outputs of a group below which a panel of columns is mostly padding */

typedef struct conv {
    op_window w;
    int64_t N, C, M, groups, Cg, Mg, taps, cells_in, cells_out;
    op_dims y;
} conv;

static nib_status conv_of(op_eval *c, const graph_tensor *x, const graph_tensor *w, const graph_tensor *bias, conv *v) {
    memset(v, 0, sizeof *v);
    if (x->rank < 2 || w->rank != x->rank) return op_bad(c, NIB_SHAPE, "input of rank %d, weight of rank %d", x->rank, w->rank);
    v->groups = graph_attr_int(c->node, "group", 1);
    v->N = x->dims[0];
    v->C = x->dims[1];
    v->M = w->dims[0];
    v->Cg = w->dims[1];
    if (v->groups < 1 || v->C % v->groups || v->M % v->groups || v->C / v->groups != v->Cg)
        return op_bad(c, NIB_SHAPE, "%lld channels in %lld groups, the weight has %lld of %lld", (long long)v->C, (long long)v->groups,
                      (long long)v->M, (long long)v->Cg);
    v->Mg = v->M / v->groups;
    if (bias && (bias->rank != 1 || bias->dims[0] != v->M))
        return op_bad(c, NIB_SHAPE, "the bias does not have %lld elements", (long long)v->M);
    OP_TRY(op_window_of(c, x->rank - 2, x->dims + 2, w->dims + 2, &v->w));
    v->taps = op_count(v->w.n, v->w.kernel);
    v->cells_in = op_count(v->w.n, v->w.in);
    v->cells_out = op_count(v->w.n, v->w.out);
    v->y = (op_dims){x->rank, {v->N, v->M}};
    memcpy(v->y.d + 2, v->w.out, sizeof(int64_t) * (size_t)v->w.n);
    return v->taps < 0 || v->cells_out < 0 ? op_bad(c, NIB_LIMIT, "the output is too large") : NIB_OK;
}

/* ---- f32 through Linear */

/* One position as a row [Cg, taps]; what lies in the padding is 0. */
static void lay_row(const conv *v, const float *x, const int64_t *position, float *row) {
    op_cells cells;
    memset(row, 0, sizeof *row * (size_t)(v->Cg * v->taps));
    for (bool more = op_cells_first(&v->w, position, &cells); more; more = op_cells_next(&v->w, &cells))
        for (int64_t ch = 0; ch < v->Cg; ch++) row[ch * v->taps + cells.tap] = x[ch * v->cells_in + cells.at];
}

static nib_status conv_rows(op_eval *c, const conv *v, const float *x, const float *weight, const float *bias, float *y) {
    const kernel_linear *k = kernel_linear_find(c->kernels, KERNEL_INPUT_F32, KERNEL_WEIGHT_F32, NULL);
    const int64_t K = v->Cg * v->taps;
    int64_t rows = (int64_t)(ROWS_BYTES / sizeof(float)) / K;
    rows = rows < 1 ? 1 : rows > v->cells_out ? v->cells_out : rows;
    size_t bytes = k->packed_bytes(v->Mg, K);
    float *in, *out;
    void *packed;
    if (bytes > SIZE_MAX / 4) return op_bad(c, NIB_LIMIT, "the weight is too large");
    OP_TRY(op_scratch(c, (int64_t)bytes, 1, &packed));
    OP_TRY(op_scratch(c, op_count(2, (int64_t[]){rows, K}), sizeof *in, &in));
    OP_TRY(op_scratch(c, op_count(2, (int64_t[]){rows, v->Mg}), sizeof *out, &out));
    for (int64_t g = 0; g < v->groups; g++) {
        kernel_weight w = {.w = weight + g * v->Mg * K, .k_stride = 1, .n_stride = K, .N = v->Mg, .K = K};
        k->pack(&w, 0, v->Mg, packed);
        for (int64_t n = 0; n < v->N; n++) {
            int64_t position[OP_WINDOW_AXES] = {0};
            for (int64_t at = 0; at < v->cells_out; at += rows) {
                int64_t m = v->cells_out - at < rows ? v->cells_out - at : rows;
                OP_TRY(op_spend(c, m * K, v->Mg / 8 + 1));
                for (int64_t r = 0; r < m; r++, op_window_step(&v->w, position))
                    lay_row(v, x + (n * v->C + g * v->Cg) * v->cells_in, position, in + r * K);
                kernel_linear_args args = {.x = in,
                                           .x_stride = K,
                                           .w = packed,
                                           .bias = bias ? bias + g * v->Mg : NULL,
                                           .y = out,
                                           .y_stride = v->Mg,
                                           .M = m,
                                           .N = v->Mg,
                                           .K = K};
                k->run(&args, 0, m, 0, v->Mg);
                for (int64_t o = 0; o < v->Mg; o++) {
                    float *to = y + (n * v->M + g * v->Mg + o) * v->cells_out + at;
                    for (int64_t r = 0; r < m; r++) to[r] = out[r * v->Mg + o];
                }
            }
        }
    }
    return NIB_OK;
}

/* ---- any numbers, in double. done is given each sum */

typedef struct plain {
    const double *x, *w, *bias;
    double x_zero;
    const double *w_zero; /* [M] or NULL */
    void (*done)(const struct plain *p, int64_t m, int64_t i, double sum);
    nib_dtype dtype;
    void *y;
    const float *factor; /* [M]: of QLinearConv */
    double y_zero;
} plain;

static void put_sum(const plain *p, int64_t m, int64_t i, double sum) { op_put(p->dtype, p->y, i, sum + (p->bias ? p->bias[m] : 0)); }

static void put_wrapped(const plain *p, int64_t m, int64_t i, double sum) {
    (void)m;
    ((int32_t *)p->y)[i] = (int32_t)(uint32_t)(int64_t)sum;
}

static void put_scaled(const plain *p, int64_t m, int64_t i, double sum) {
    /* sums wrap round, and are multiplied in f32, as in ONNX Runtime */
    const float v = (float)(int32_t)(uint32_t)(int64_t)(sum + (p->bias ? p->bias[m] : 0)) * p->factor[m];
    op_put(p->dtype, p->y, i, (double)nearbyintf(v) + p->y_zero);
}

static nib_status conv_plain(op_eval *c, const conv *v, const plain *p) {
    int64_t *at, *tap, position[OP_WINDOW_AXES] = {0};
    int64_t most = v->taps < v->cells_in ? v->taps : v->cells_in;
    OP_TRY(op_scratch(c, most, sizeof *at, &at));
    OP_TRY(op_scratch(c, most, sizeof *tap, &tap));
    for (int64_t o = 0; o < v->cells_out; o++, op_window_step(&v->w, position)) {
        op_cells cells;
        int64_t count = 0;
        for (bool more = op_cells_first(&v->w, position, &cells); more; more = op_cells_next(&v->w, &cells), count++) {
            at[count] = cells.at;
            tap[count] = cells.tap;
        }
        for (int64_t n = 0; n < v->N; n++) {
            OP_TRY(op_spend(c, v->M, v->Cg * (count + 1)));
            for (int64_t m = 0; m < v->M; m++) {
                const double *x = p->x + (n * v->C + m / v->Mg * v->Cg) * v->cells_in, *w = p->w + m * v->Cg * v->taps;
                double sum = 0, zero = p->w_zero ? p->w_zero[m] : 0;
                for (int64_t ch = 0; ch < v->Cg; ch++, x += v->cells_in, w += v->taps)
                    for (int64_t k = 0; k < count; k++) sum += (x[at[k]] - p->x_zero) * (w[tap[k]] - zero);
                p->done(p, m, (n * v->M + m) * v->cells_out + o, sum);
            }
        }
    }
    return NIB_OK;
}

static nib_status reals_or_null(op_eval *c, const graph_tensor *t, const double **out) {
    double *v = NULL;
    if (t) OP_TRY(op_reals(c, t, &v));
    *out = v;
    return NIB_OK;
}

/* *y: the output's data, or NULL if nothing is left to do with it. */
static nib_status convolve(op_eval *c, conv *v, void **y) {
    const graph_tensor *x = op_arg(c, 0), *w = op_arg(c, 1), *bias = op_arg(c, 2);
    if (!op_is_float(x->dtype) || w->dtype != x->dtype || (bias && bias->dtype != x->dtype))
        return op_bad(c, NIB_TYPE, "inputs of types %s and %s", nib_dtype_name(x->dtype), nib_dtype_name(w->dtype));
    OP_TRY(conv_of(c, x, w, bias, v));
    OP_TRY(op_out(c, 0, x->dtype, &v->y, y));
    if (op_count(v->y.rank, v->y.d) == 0) *y = NULL;
    if (!*y) return NIB_OK;
    if (x->dtype == NIB_DTYPE_F32 && v->Mg >= FEW && v->Cg > 0 &&
        kernel_linear_find(c->kernels, KERNEL_INPUT_F32, KERNEL_WEIGHT_F32, NULL))
        return conv_rows(c, v, x->data, w->data, bias ? bias->data : NULL, *y);
    plain p = {.done = put_sum, .dtype = x->dtype, .y = *y};
    OP_TRY(reals_or_null(c, x, &p.x));
    OP_TRY(reals_or_null(c, w, &p.w));
    OP_TRY(reals_or_null(c, bias, &p.bias));
    return conv_plain(c, v, &p);
}

static nib_status eval_conv(op_eval *c) {
    conv v;
    void *y;
    return convolve(c, &v, &y);
}

/* ---- FusedConv of com.microsoft: Conv, plus Z of the output's shape, then an activation */

static nib_status activate(op_eval *c, double *x) {
    const char *name = graph_attr_string(c->node, "activation", "");
    const graph_attr *a = graph_find_attr(c->node, "activation_params");
    bool leaky = strcmp(name, "LeakyRelu") == 0, hard = strcmp(name, "HardSigmoid") == 0, clip = strcmp(name, "Clip") == 0;
    size_t want = leaky ? 1 : hard || clip ? 2 : 0;
    double v = *x, p[2] = {0};
    if (want > 0 && (!a || a->kind != GRAPH_ATTR_FLOATS || a->count < want)) return op_bad(c, NIB_BAD_MODEL, "activation_params");
    for (size_t i = 0; i < want; i++) p[i] = (double)a->u.floats[i];
    if (leaky) *x = v >= 0 ? v : p[0] * v;
    else if (hard) *x = fmin(fmax(p[0] * v + p[1], 0), 1);
    else if (clip) *x = fmin(fmax(v, p[0]), p[1]);
    else if (strcmp(name, "Relu") == 0) *x = v > 0 ? v : 0;
    else if (strcmp(name, "Sigmoid") == 0) *x = 1 / (1 + exp(-v));
    else if (strcmp(name, "Tanh") == 0) *x = tanh(v);
    else if (name[0]) return op_bad(c, NIB_UNSUPPORTED, "activation %s", name);
    return NIB_OK;
}

static nib_status eval_fused(op_eval *c) {
    const graph_tensor *z = op_arg(c, 3);
    conv v;
    void *y;
    OP_TRY(convolve(c, &v, &y));
    if (!y) return NIB_OK;
    graph_tensor t = {.dtype = op_arg(c, 0)->dtype, .data = y};
    if (z && (z->dtype != t.dtype || z->rank != v.y.rank || memcmp(z->dims, v.y.d, sizeof(int64_t) * (size_t)z->rank) != 0))
        return op_bad(c, NIB_SHAPE, "Z does not fit the output");
    for (int64_t i = 0; i < op_count(v.y.rank, v.y.d); i++) {
        double e = op_number(&t, i) + (z ? op_number(z, i) : 0);
        OP_TRY(activate(c, &e));
        op_put(t.dtype, y, i, e);
    }
    return NIB_OK;
}

/* ---- nib.Conv: what it gives goes through an element-wise program, whose other inputs follow the bias */

static nib_status eval_mapped(op_eval *c) {
    const graph_tensor *in[KERNEL_MAP_INPUTS];
    kernel_map map;
    op_map_walk walk;
    conv v;
    void *y;
    if (!op_map_get(c->node, &map)) return op_bad(c, NIB_BAD_MODEL, "attributes code and numbers are no program");
    OP_TRY(convolve(c, &v, &y));
    if (!y || map.steps == 0) return NIB_OK;
    graph_tensor own = {.dtype = op_arg(c, 0)->dtype, .rank = v.y.rank, .data = y};
    memcpy(own.dims, v.y.d, sizeof own.dims);
    in[0] = &own;
    for (int i = 1; i < map.inputs; i++)
        if (!(in[i] = op_arg(c, OP_CONV_OPERANDS - 1 + i))) return op_bad(c, NIB_BAD_MODEL, "input %d is missing", OP_CONV_OPERANDS - 1 + i);
    if (!op_map_walk_of(map.inputs, in, v.y.rank, v.y.d, &walk)) return op_bad(c, NIB_SHAPE, "inputs of the program do not fit the output");
    op_map_run(&walk, &map, c->kernels, 0, walk.total, y);
    return NIB_OK;
}

static nib_status infer_with(op_infer *c, int weight, nib_dtype dtype) {
    const graph_type *x = op_in_type(c, 0), *w = op_in_type(c, weight);
    graph_dim dims[GRAPH_MAX_RANK];
    if (x->rank < 0) return op_set(c, 0, dtype, -1, NULL);
    if (w->rank >= 0 && w->rank != x->rank) return op_fail(c, NIB_SHAPE, "input of rank %d, weight of rank %d", x->rank, w->rank);
    OP_TRY(op_window_infer(c, x, w, dims));
    dims[0] = x->dims[0];
    dims[1] = w->rank > 0 ? w->dims[0] : NULL;
    return op_set(c, 0, dtype, x->rank, dims);
}

static nib_status infer_conv(op_infer *c) {
    OP_TRY(op_check_float(c, 0));
    return infer_with(c, 1, op_in_type(c, 0)->dtype);
}

static nib_status infer_mapped(op_infer *c) {
    kernel_map map;
    if (!op_map_get(c->node, &map)) return op_fail(c, NIB_BAD_MODEL, "attributes code and numbers are no program");
    return infer_conv(c);
}

/* ---- bytes */

static bool is_byte(nib_dtype d) { return d == NIB_DTYPE_U8 || d == NIB_DTYPE_I8; }

/* One number for all, or one for each of M, as M numbers; absent: `otherwise`. */
static nib_status per_output(op_eval *c, int input, int64_t M, double otherwise, double **out) {
    const graph_tensor *t = op_arg(c, input);
    double *given = NULL;
    int64_t n = t ? op_count(t->rank, t->dims) : 0;
    if (t && n != 1 && n != M) return op_bad(c, NIB_SHAPE, "input %d has %lld elements", input, (long long)n);
    if (t) OP_TRY(op_reals(c, t, &given));
    OP_TRY(op_scratch(c, M, sizeof **out, out));
    for (int64_t m = 0; m < M; m++) (*out)[m] = given ? given[n == 1 ? 0 : m] : otherwise;
    return NIB_OK;
}

static nib_status one_number(op_eval *c, int input, double *out) {
    const graph_tensor *t = op_arg(c, input);
    *out = 0;
    if (!t) return NIB_OK;
    if (op_count(t->rank, t->dims) != 1) return op_bad(c, NIB_SHAPE, "input %d must have one element", input);
    *out = op_number(t, 0);
    return NIB_OK;
}

static nib_status eval_conv_integer(op_eval *c) {
    const graph_tensor *x = op_arg(c, 0), *w = op_arg(c, 1), *xz = op_arg(c, 2), *wz = op_arg(c, 3);
    conv v;
    double *zeros;
    plain p = {.done = put_wrapped, .dtype = NIB_DTYPE_I32};
    if (!is_byte(x->dtype) || !is_byte(w->dtype) || (xz && xz->dtype != x->dtype) || (wz && wz->dtype != w->dtype))
        return op_bad(c, NIB_TYPE, "inputs of types %s and %s", nib_dtype_name(x->dtype), nib_dtype_name(w->dtype));
    OP_TRY(conv_of(c, x, w, NULL, &v));
    OP_TRY(one_number(c, 2, &p.x_zero));
    OP_TRY(per_output(c, 3, v.M, 0, &zeros));
    p.w_zero = zeros;
    OP_TRY(op_out(c, 0, NIB_DTYPE_I32, &v.y, &p.y));
    if (!p.y || op_count(v.y.rank, v.y.d) == 0) return NIB_OK;
    OP_TRY(reals_or_null(c, x, &p.x));
    OP_TRY(reals_or_null(c, w, &p.w));
    return conv_plain(c, &v, &p);
}

static nib_status infer_conv_integer(op_infer *c) { return infer_with(c, 1, NIB_DTYPE_I32); }

/* x, scale, zero, w, scale, zero, y's scale, zero, B? in steps of x's scale times w's */
static nib_status eval_qlinear_conv(op_eval *c) {
    const graph_tensor *x = op_arg(c, 0), *w = op_arg(c, 3), *yz = op_arg(c, 7), *bias = op_arg(c, 8);
    conv v;
    double xs, ys, *ws, *zeros;
    float *factor;
    plain p = {.done = put_scaled, .dtype = yz->dtype};
    if (!is_byte(x->dtype) || !is_byte(w->dtype) || !is_byte(yz->dtype) || (bias && bias->dtype != NIB_DTYPE_I32))
        return op_bad(c, NIB_TYPE, "inputs of types %s and %s", nib_dtype_name(x->dtype), nib_dtype_name(w->dtype));
    OP_TRY(conv_of(c, x, w, bias, &v));
    OP_TRY(one_number(c, 1, &xs));
    OP_TRY(one_number(c, 2, &p.x_zero));
    OP_TRY(one_number(c, 6, &ys));
    OP_TRY(one_number(c, 7, &p.y_zero));
    OP_TRY(per_output(c, 4, v.M, 1, &ws));
    OP_TRY(per_output(c, 5, v.M, 0, &zeros));
    OP_TRY(op_scratch(c, v.M, sizeof *factor, &factor));
    for (int64_t m = 0; m < v.M; m++) factor[m] = (float)xs * (float)ws[m] / (float)ys;
    p.w_zero = zeros;
    p.factor = factor;
    OP_TRY(op_out(c, 0, yz->dtype, &v.y, &p.y));
    if (!p.y || op_count(v.y.rank, v.y.d) == 0) return NIB_OK;
    OP_TRY(reals_or_null(c, x, &p.x));
    OP_TRY(reals_or_null(c, w, &p.w));
    OP_TRY(reals_or_null(c, bias, &p.bias));
    return conv_plain(c, &v, &p);
}

static nib_status infer_qlinear_conv(op_infer *c) { return infer_with(c, 3, op_in_type(c, 7)->dtype); }

const op op_family_conv[] = {
    {"Conv", "", 1, 2, 3, 1, OP_ROWS_MIXED, infer_conv, eval_conv, NULL},
    {"Conv", "nib", 1, 2, OP_CONV_OPERANDS + KERNEL_MAP_INPUTS - 1, 1, OP_ROWS_MIXED, infer_mapped, eval_mapped, op_expand_map},
    {"ConvInteger", "", 10, 2, 4, 1, OP_ROWS_MIXED, infer_conv_integer, eval_conv_integer, NULL},
    {"FusedConv", "com.microsoft", 1, 2, 4, 1, OP_ROWS_MIXED, infer_conv, eval_fused, NULL},
    {"QLinearConv", "", 10, 8, 9, 1, OP_ROWS_MIXED, infer_qlinear_conv, eval_qlinear_conv, NULL},
    {0},
};
