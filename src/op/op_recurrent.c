/* SPDX-License-Identifier: Apache-2.0
 *
 * Recurrent layers, https://onnx.ai/onnx/operators/: RNN GRU LSTM, in one or both directions. In double, rounded once.
 *
 *   X [T, B, I], W [D, G H, I], R [D, G H, H], B [D, 2 G H]?, sequence_lens [B]?, initial_h [D, B, H]?, and for LSTM
 *   initial_c [D, B, H]?, P [D, 3 H]? -> Y [T, D, B, H], Y_h [D, B, H], Y_c [D, B, H]
 *
 * G gates: RNN one; GRU z r h; LSTM i o f c. With layout 1 the batch is the first axis of X, Y and the states.
 *
 * com.microsoft's DynamicQuantizeLSTM (ONNX Runtime's docs/ContribOperators.md) has W [D, I, 4 H] and R [D, H, 4 H] of u8 or i8, with
 * scales and zero points [D] or [D, 4 H] behind P. Its products are of integers, exact: X is rounded as DynamicQuantizeLinear has it,
 * all of it at once, and the state h of each text at each step likewise. (ONNX Runtime rounds h of some texts together, as many as a
 * thread has.)
 */
#include "op_recurrent.h"
#include "op_local.h"
#include <math.h>

/* ---- attributes */

typedef struct curve {
    const char *name;
    bool has_alpha, has_beta;
    double alpha, beta; /* what they are if the node says nothing */
} curve;

static const curve curves[] = {
    [OP_CURVE_RELU] = {"Relu", false, false, 0, 0},
    [OP_CURVE_TANH] = {"Tanh", false, false, 0, 0},
    [OP_CURVE_SIGMOID] = {"Sigmoid", false, false, 0, 0},
    [OP_CURVE_AFFINE] = {"Affine", true, true, 1, 0},
    [OP_CURVE_LEAKY] = {"LeakyRelu", true, false, 0.01, 0},
    [OP_CURVE_THRESHOLD] = {"ThresholdedRelu", true, false, 1, 0},
    [OP_CURVE_SCALED_TANH] = {"ScaledTanh", true, true, 1, 1},
    [OP_CURVE_HARD_SIGMOID] = {"HardSigmoid", true, true, 0.2, 0.5},
    [OP_CURVE_ELU] = {"Elu", true, false, 1, 0},
    [OP_CURVE_SOFTSIGN] = {"Softsign", false, false, 0, 0},
    [OP_CURVE_SOFTPLUS] = {"Softplus", false, false, 0, 0},
};

static double activate(const op_curve *g, double x) {
    switch (g->f) {
    case OP_CURVE_RELU: return x > 0 ? x : 0;
    case OP_CURVE_TANH: return tanh(x);
    case OP_CURVE_SIGMOID: return 1 / (1 + exp(-x));
    case OP_CURVE_AFFINE: return g->alpha * x + g->beta;
    case OP_CURVE_LEAKY: return x >= 0 ? x : g->alpha * x;
    case OP_CURVE_THRESHOLD: return x >= g->alpha ? x : 0;
    case OP_CURVE_SCALED_TANH: return g->alpha * tanh(g->beta * x);
    case OP_CURVE_HARD_SIGMOID: return fmin(fmax(g->alpha * x + g->beta, 0), 1);
    case OP_CURVE_ELU: return x >= 0 ? x : g->alpha * (exp(x) - 1);
    case OP_CURVE_SOFTSIGN: return x / (1 + fabs(x));
    case OP_CURVE_SOFTPLUS: break;
    }
    return log1p(exp(x));
}

static int curve_of(graph_string s) {
    for (size_t i = 0; i < BASE_COUNT(curves); i++) {
        const char *name = curves[i].name;
        bool same = strlen(name) == s.length;
        for (size_t k = 0; same && k < s.length; k++) same = (name[k] | 32) == (s.data[k] | 32);
        if (same) return (int)i;
    }
    return -1;
}

/* Activations in the node's order; alphas and betas go to those that have one. */
static nib_status curves_of(const graph_node *n, op_cell *cell, const char **why) {
    static const op_curve_kind rnn[] = {OP_CURVE_TANH}, gru[] = {OP_CURVE_SIGMOID, OP_CURVE_TANH},
                               lstm[] = {OP_CURVE_SIGMOID, OP_CURVE_TANH, OP_CURVE_TANH};
    const op_curve_kind *usual = cell->kind == OP_CELL_RNN ? rnn : cell->kind == OP_CELL_GRU ? gru : lstm;
    const int each = op_cell_curves(cell), count = (int)cell->D * each;
    const graph_attr *names = graph_find_attr(n, "activations"), *alpha = graph_find_attr(n, "activation_alpha"),
                     *beta = graph_find_attr(n, "activation_beta");
    size_t a = 0, b = 0;
    if (names && (names->kind != GRAPH_ATTR_STRINGS || names->count != (size_t)count)) return *why = "activations", NIB_BAD_MODEL;
    for (int i = 0; i < count; i++) {
        const int f = names ? curve_of(names->u.strings[i]) : (int)usual[i % each];
        if (f < 0) return *why = "an activation of an unknown name", NIB_UNSUPPORTED;
        cell->curves[i] = (op_curve){(op_curve_kind)f, curves[f].alpha, curves[f].beta};
        if (curves[f].has_alpha && alpha && alpha->kind == GRAPH_ATTR_FLOATS && a < alpha->count)
            cell->curves[i].alpha = (double)alpha->u.floats[a++];
        if (curves[f].has_beta && beta && beta->kind == GRAPH_ATTR_FLOATS && b < beta->count)
            cell->curves[i].beta = (double)beta->u.floats[b++];
    }
    return NIB_OK;
}

static bool is_of_8(const graph_node *n) { return strcmp(n->op, "DynamicQuantizeLSTM") == 0; }

static nib_status directions(const graph_node *n, int64_t *D, bool *reverse) {
    const char *way = graph_attr_string(n, "direction", "forward");
    *D = strcmp(way, "bidirectional") == 0 ? 2 : 1;
    *reverse = strcmp(way, "reverse") == 0;
    return *D == 2 || *reverse || strcmp(way, "forward") == 0 ? NIB_OK : NIB_BAD_MODEL;
}

nib_status op_cell_get(const graph_node *n, op_cell *out, const char **why) {
    *out = (op_cell){.kind = strcmp(n->op, "RNN") == 0   ? OP_CELL_RNN
                             : strcmp(n->op, "GRU") == 0 ? OP_CELL_GRU
                                                         : OP_CELL_LSTM,
                     .of_8 = is_of_8(n),
                     .batch_first = graph_attr_int(n, "layout", 0) != 0,
                     .coupled = graph_attr_int(n, "input_forget", 0) != 0,
                     .linear = graph_attr_int(n, "linear_before_reset", 0) != 0,
                     .clip = graph_attr_float(n, "clip", 0)};
    if (directions(n, &out->D, &out->reverse) != NIB_OK) return *why = "direction", NIB_BAD_MODEL;
    return curves_of(n, out, why);
}

/* ---- one layer */

typedef struct eight {   /* numbers of 8 bits less their zero point */
    int16_t *q;          /* rows of a weight [D, G H, n], or of x, or h [H]; NULL: there are none */
    const double *scale; /* of a weight [D, G H] */
    double one;          /* of x and h */
} eight;

typedef struct layer {
    op_cell cell;
    int64_t T, B, I, H;
    const double *x, *w, *r, *bias, *h0, *c0, *p;
    const int64_t *lengths; /* [B] or NULL */
    double *z, *h, *c;      /* [G H], and the second half [H] more for GRU; [H]; [H] */
    nib_dtype dtype;
    void *y, *y_h, *y_c;
    eight w8, r8, x8, h8; /* of DynamicQuantizeLSTM */
} layer;

static double clipped(const layer *l, double v) {
    const double most = l->cell.clip;
    return most > 0 ? (v > most ? most : v < -most ? -most : v) : v;
}

static double dot(const double *a, const double *b, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

/* Sums of up to 2^14 products of 8 bits fit i32. */
static double exact_dot(const int16_t *a, const int16_t *b, int64_t n) {
    int64_t all = 0;
    for (int64_t at = 0; at < n; at += 1 << 14) {
        int32_t sums[16] = {0}; /* side by side, which compilers know how to do */
        const int64_t end = at + (1 << 14) < n ? at + (1 << 14) : n;
        int64_t i = at;
        for (; i + 16 <= end; i += 16)
            for (int k = 0; k < 16; k++) sums[k] += a[i + k] * b[i + k];
        for (; i < end; i++) sums[0] += a[i] * b[i];
        for (int k = 0; k < 16; k++) all += sums[k];
    }
    return (double)all;
}

/* As DynamicQuantizeLinear rounds x [n]. */
static void round_to_8(const double *x, int64_t n, eight *out) {
    float lo = 0, hi = 0;
    for (int64_t i = 0; i < n; i++) lo = fminf(lo, (float)x[i]), hi = fmaxf(hi, (float)x[i]);
    const float scale = hi == lo ? 1 : (hi - lo) / 255, zero = fminf(255, fmaxf(0, nearbyintf(-lo / scale)));
    for (int64_t i = 0; i < n; i++) {
        const float q = nearbyintf((float)x[i] / scale) + zero;
        out->q[i] = (int16_t)(fminf(255, fmaxf(0, q)) - zero);
    }
    out->one = (double)scale;
}

/* Gate row k of W x and R h in integers, and both biases. */
static double line_of_8(const layer *l, int64_t d, int64_t k, const double *x) {
    const int64_t G = l->cell.kind * l->H, row = d * G + k;
    double v = exact_dot(l->w8.q + row * l->I, l->x8.q + (x - l->x), l->I) * l->x8.one * l->w8.scale[row];
    v += exact_dot(l->r8.q + row * l->H, l->h8.q, l->H) * l->h8.one * l->r8.scale[row];
    return l->bias ? v + l->bias[2 * d * G + k] + l->bias[(2 * d + 1) * G + k] : v;
}

/* Gate row k of z: W x + R h + both biases, R h left out if h is NULL. */
static double line(const layer *l, int64_t d, int64_t k, const double *x, const double *h) {
    int64_t G = l->cell.kind * l->H;
    double v = dot(l->w + (d * G + k) * l->I, x, l->I);
    if (h) v += dot(l->r + (d * G + k) * l->H, h, l->H);
    if (l->bias) v += l->bias[2 * d * G + k] + (h ? l->bias[(2 * d + 1) * G + k] : 0);
    return v;
}

static void step_rnn(layer *l, int64_t d, const double *x) {
    for (int64_t k = 0; k < l->H; k++) l->z[k] = activate(&l->cell.curves[d], clipped(l, line(l, d, k, x, l->h)));
    memcpy(l->h, l->z, sizeof *l->h * (size_t)l->H);
}

static void step_gru(layer *l, int64_t d, const double *x) {
    const int64_t H = l->H, G = 3 * H;
    const op_curve *f = &l->cell.curves[2 * d], *g = f + 1;
    double *z = l->z, *r = z + H, *mixed = z + 2 * H, *next = z + 3 * H;
    for (int64_t k = 0; k < 2 * H; k++) z[k] = activate(f, clipped(l, line(l, d, k, x, l->h)));
    for (int64_t k = 0; k < H; k++) mixed[k] = l->cell.linear ? l->h[k] : r[k] * l->h[k];
    for (int64_t k = 0; k < H; k++) {
        double back = dot(l->r + (d * G + 2 * H + k) * H, mixed, H) + (l->bias ? l->bias[(2 * d + 1) * G + 2 * H + k] : 0);
        double v = line(l, d, 2 * H + k, x, NULL) + (l->cell.linear ? r[k] * back : back);
        next[k] = (1 - z[k]) * activate(g, clipped(l, v)) + z[k] * l->h[k];
    }
    memcpy(l->h, next, sizeof *next * (size_t)H);
}

static void step_lstm(layer *l, int64_t d, const double *x) {
    const int64_t H = l->H;
    const op_curve *f = &l->cell.curves[3 * d];
    const double *p = l->p ? l->p + d * 3 * H : NULL;
    if (l->h8.q) round_to_8(l->h, H, &l->h8);
    for (int64_t k = 0; k < 4 * H; k++) l->z[k] = l->w8.q ? line_of_8(l, d, k, x) : line(l, d, k, x, l->h);
    for (int64_t k = 0; k < H; k++) {
        double *c = &l->c[k], in = activate(f, clipped(l, l->z[k] + (p ? p[k] * *c : 0)));
        double forget = l->cell.coupled ? 1 - in : activate(f, clipped(l, l->z[2 * H + k] + (p ? p[2 * H + k] * *c : 0)));
        *c = forget * *c + in * activate(f + 1, clipped(l, l->z[3 * H + k]));
        l->h[k] = activate(f, clipped(l, l->z[H + k] + (p ? p[H + k] * *c : 0))) * activate(f + 2, *c);
    }
}

static void put_row(const layer *l, void *y, int64_t row, const double *v) {
    for (int64_t k = 0; y && k < l->H; k++) op_put(l->dtype, y, row * l->H + k, v ? v[k] : 0);
}

static nib_status run_text(op_eval *c, layer *l, int64_t d, int64_t b, bool reverse) {
    const int64_t length = l->lengths ? l->lengths[b] : l->T, state = l->cell.batch_first ? b * l->cell.D + d : d * l->B + b;
    for (int64_t k = 0; k < l->H; k++) {
        l->h[k] = l->h0 ? l->h0[state * l->H + k] : 0;
        l->c[k] = l->c0 ? l->c0[state * l->H + k] : 0;
    }
    for (int64_t i = 0; i < l->T; i++) {
        int64_t t = reverse && i < length ? length - 1 - i : i;
        int64_t row = l->cell.batch_first ? (b * l->T + t) * l->cell.D + d : (t * l->cell.D + d) * l->B + b;
        const double *x = l->x + (l->cell.batch_first ? b * l->T + t : t * l->B + b) * l->I;
        if (i < length) {
            OP_TRY(op_spend(c, l->cell.kind * l->H, l->I + l->H));
            if (l->cell.kind == OP_CELL_RNN) step_rnn(l, d, x);
            else if (l->cell.kind == OP_CELL_GRU) step_gru(l, d, x);
            else step_lstm(l, d, x);
        }
        put_row(l, l->y, row, i < length ? l->h : NULL);
    }
    put_row(l, l->y_h, state, l->h);
    put_row(l, l->y_c, state, l->c);
    return NIB_OK;
}

/* ---- inputs */

/* Input i as reals, of this shape; absent: NULL. */
static nib_status reals_of(op_eval *c, int i, int rank, const int64_t *dims, const double **out) {
    const graph_tensor *t = op_arg(c, i);
    double *v;
    *out = NULL;
    if (!t) return NIB_OK;
    if (t->dtype != op_arg(c, 0)->dtype) return op_bad(c, NIB_TYPE, "input %d is %s", i, nib_dtype_name(t->dtype));
    bool fits = t->rank == rank;
    for (int k = 0; fits && k < rank; k++) fits = t->dims[k] == dims[k];
    if (!fits) return op_bad(c, NIB_SHAPE, "input %d does not fit", i);
    OP_TRY(op_reals(c, t, &v));
    *out = v;
    return NIB_OK;
}

/* Weight number i [D, n, G H], with scales in input s and zero points behind, as rows [D, G H, n]. */
static nib_status weight_of_8(op_eval *c, const layer *l, int i, int64_t n, int s, eight *out) {
    const graph_tensor *w = op_arg(c, i), *scale = op_arg(c, s), *zero = op_arg(c, s + 1);
    const int64_t G = l->cell.kind * l->H;
    double *scales;
    if ((w->dtype != NIB_DTYPE_U8 && w->dtype != NIB_DTYPE_I8) || zero->dtype != w->dtype || scale->dtype != NIB_DTYPE_F32)
        return op_bad(c, NIB_TYPE, "a weight of %s with zero points of %s", nib_dtype_name(w->dtype), nib_dtype_name(zero->dtype));
    if (w->rank != 3 || w->dims[0] != l->cell.D || w->dims[1] != n || w->dims[2] != G)
        return op_bad(c, NIB_SHAPE, "input %d does not fit", i);
    const bool each = scale->rank == 2;
    for (int k = s; k < s + 2; k++) {
        const graph_tensor *t = op_arg(c, k);
        if (t->rank != 1 + each || t->dims[0] != l->cell.D || (each && t->dims[1] != G))
            return op_bad(c, NIB_SHAPE, "input %d does not fit", k);
    }
    if (!base_mul_i64(l->cell.D * G, n ? n : 1, &(int64_t){0})) return op_bad(c, NIB_LIMIT, "too many gates");
    OP_TRY(op_scratch(c, l->cell.D * G * n, sizeof *out->q, &out->q));
    OP_TRY(op_scratch(c, l->cell.D * G, sizeof *scales, &scales));
    for (int64_t row = 0; row < l->cell.D * G; row++) {
        const int64_t at = each ? row : row / G;
        const int off = (int)op_number(zero, at);
        scales[row] = op_number(scale, at);
        for (int64_t k = 0; k < n; k++) {
            const uint8_t byte = ((const uint8_t *)w->data)[(row / G * n + k) * G + row % G];
            out->q[row * n + k] = (int16_t)((w->dtype == NIB_DTYPE_U8 ? byte : (int8_t)byte) - off);
        }
    }
    out->scale = scales;
    return NIB_OK;
}

static nib_status weights_of_8(op_eval *c, layer *l) {
    for (int i = 8; i < 12; i++)
        if (!op_arg(c, i)) return op_bad(c, NIB_BAD_MODEL, "input %d is missing", i);
    const int64_t n = l->T * l->B * l->I; /* of x, which is there */
    OP_TRY(weight_of_8(c, l, 1, l->I, 8, &l->w8));
    OP_TRY(weight_of_8(c, l, 2, l->H, 10, &l->r8));
    OP_TRY(op_scratch(c, n, sizeof *l->x8.q, &l->x8.q));
    OP_TRY(op_scratch(c, l->H, sizeof *l->h8.q, &l->h8.q));
    round_to_8(l->x, n, &l->x8);
    return NIB_OK;
}

static nib_status lengths_of(op_eval *c, layer *l) {
    const graph_tensor *t = op_arg(c, 4);
    int64_t *out;
    if (!t) return NIB_OK;
    if (t->rank != 1 || t->dims[0] != l->B || (t->dtype != NIB_DTYPE_I32 && t->dtype != NIB_DTYPE_I64))
        return op_bad(c, NIB_SHAPE, "sequence_lens is not one length a text");
    OP_TRY(op_scratch(c, l->B, sizeof *out, &out));
    for (int64_t b = 0; b < l->B; b++) {
        out[b] = op_index(t, b);
        if (out[b] < 0 || out[b] > l->T) return op_bad(c, NIB_SHAPE, "a length of %lld", (long long)out[b]);
    }
    l->lengths = out;
    return NIB_OK;
}

static nib_status layer_of(op_eval *c, layer *l) {
    const graph_tensor *x = op_arg(c, 0), *r = op_arg(c, 2);
    const graph_attr *hidden = graph_find_attr(c->node, "hidden_size");
    const char *why = "";
    const nib_status status = op_cell_get(c->node, &l->cell, &why);
    if (status != NIB_OK) return op_bad(c, status, "%s", why);
    l->dtype = x->dtype;
    if (!op_is_float(x->dtype)) return op_bad(c, NIB_TYPE, "input of type %s", nib_dtype_name(x->dtype));
    if (x->rank != 3 || r->rank != 3) return op_bad(c, NIB_SHAPE, "input of rank %d", x->rank);
    l->T = x->dims[l->cell.batch_first ? 1 : 0];
    l->B = x->dims[l->cell.batch_first ? 0 : 1];
    l->I = x->dims[2];
    l->H = r->dims[is_of_8(c->node) ? 1 : 2];
    int64_t G, two;
    if (hidden && hidden->kind == GRAPH_ATTR_INT && hidden->u.i != l->H) return op_bad(c, NIB_SHAPE, "hidden_size is not R's");
    if (!base_mul_i64(l->H, l->cell.kind + 1, &G) || !base_mul_i64(l->H * l->cell.kind, 4, &two))
        return op_bad(c, NIB_LIMIT, "too many gates");
    G = l->cell.kind * l->H;
    int64_t state[3] = {l->cell.batch_first ? l->B : l->cell.D, l->cell.batch_first ? l->cell.D : l->B, l->H};
    OP_TRY(reals_of(c, 0, 3, x->dims, &l->x));
    if (is_of_8(c->node)) OP_TRY(weights_of_8(c, l));
    else OP_TRY(reals_of(c, 1, 3, (int64_t[]){l->cell.D, G, l->I}, &l->w));
    if (!l->w8.q) OP_TRY(reals_of(c, 2, 3, (int64_t[]){l->cell.D, G, l->H}, &l->r));
    OP_TRY(reals_of(c, 3, 2, (int64_t[]){l->cell.D, 2 * G}, &l->bias));
    OP_TRY(lengths_of(c, l));
    OP_TRY(reals_of(c, 5, 3, state, &l->h0));
    OP_TRY(reals_of(c, 6, 3, state, &l->c0));
    OP_TRY(reals_of(c, 7, 2, (int64_t[]){l->cell.D, 3 * l->H}, &l->p));
    OP_TRY(op_scratch(c, G + l->H, sizeof *l->z, &l->z));
    OP_TRY(op_scratch(c, l->H, sizeof *l->h, &l->h));
    return op_scratch(c, l->H, sizeof *l->c, &l->c);
}

static nib_status eval_cell(op_eval *c) {
    layer l = {.dtype = NIB_DTYPE_UNDEFINED};
    OP_TRY(layer_of(c, &l));
    op_dims y = {4, {l.T, l.cell.D, l.B, l.H}}, state = {3, {l.cell.D, l.B, l.H}};
    if (l.cell.batch_first) {
        y = (op_dims){4, {l.B, l.T, l.cell.D, l.H}};
        state = (op_dims){3, {l.B, l.cell.D, l.H}};
    }
    OP_TRY(op_out(c, 0, l.dtype, &y, &l.y));
    OP_TRY(op_out(c, 1, l.dtype, &state, &l.y_h));
    if (l.cell.kind == OP_CELL_LSTM) OP_TRY(op_out(c, 2, l.dtype, &state, &l.y_c));
    if (l.H == 0) return NIB_OK;
    for (int64_t d = 0; d < l.cell.D; d++)
        for (int64_t b = 0; b < l.B; b++) OP_TRY(run_text(c, &l, d, b, l.cell.reverse || d == 1));
    return NIB_OK;
}

static nib_status infer_cell(op_infer *c) {
    const graph_type *x = op_in_type(c, 0), *r = op_in_type(c, 2);
    bool first = graph_attr_int(c->node, "layout", 0) != 0, reverse;
    int64_t D;
    OP_TRY(op_check_float(c, 0));
    if (directions(c->node, &D, &reverse) != NIB_OK) return op_fail(c, NIB_BAD_MODEL, "direction");
    if ((x->rank >= 0 && x->rank != 3) || (r->rank >= 0 && r->rank != 3)) return op_fail(c, NIB_SHAPE, "input of rank %d", x->rank);
    graph_dim H = r->rank == 3 ? r->dims[is_of_8(c->node) ? 1 : 2] : NULL, T = x->rank == 3 ? x->dims[first] : NULL,
              B = x->rank == 3 ? x->dims[!first] : NULL, d = op_const(c, D);
    OP_TRY(op_set(c, 0, x->dtype, 4, first ? (graph_dim[]){B, T, d, H} : (graph_dim[]){T, d, B, H}));
    for (int i = 1; i < 3; i++) OP_TRY(op_set(c, i, x->dtype, 3, first ? (graph_dim[]){B, d, H} : (graph_dim[]){d, B, H}));
    return NIB_OK;
}

const op op_family_recurrent[] = {
    {"DynamicQuantizeLSTM", "com.microsoft", 1, 3, 12, 3, OP_ROWS_MIXED, infer_cell, eval_cell, NULL},
    {"GRU", "", 1, 3, 6, 2, OP_ROWS_MIXED, infer_cell, eval_cell, NULL},
    {"LSTM", "", 1, 3, 8, 3, OP_ROWS_MIXED, infer_cell, eval_cell, NULL},
    {"RNN", "", 1, 3, 6, 2, OP_ROWS_MIXED, infer_cell, eval_cell, NULL},
    {0},
};
