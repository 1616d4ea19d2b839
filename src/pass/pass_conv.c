/* SPDX-License-Identifier: Apache-2.0
 *
 * Convolutions. In: Conv or ConvTranspose with constant weights, behind it BatchNormalization, or Mul, Div, Add, Sub
 * with a constant for each channel; or before it, Mul with a number. Out: one convolution, whose weights and bias
 * are scaled and shifted. In: Pad of zeros before a Conv or AveragePool, of the lowest number before a MaxPool. Out:
 * the pads of the node. For files also MatMul of rank 2 and its bias -> Gemm.
 */
#include "pass.h"
#include "pass_match.h"
#include <math.h>
#include <string.h>

#define MAX_PADS 8 /* spatial axes */

static nib_status no_memory(pass_context *ctx) { return base_error_set(ctx->err, NIB_OUT_OF_MEMORY, "out of memory while optimizing"); }

static bool is_f32(const graph_value *v) { return v && v->constant && v->constant->dtype == NIB_DTYPE_F32; }

static float at(const graph_value *v, int64_t i) { /* a constant of one element stands for all */
    float x;
    int64_t n = graph_tensor_elements(v->constant);
    memcpy(&x, (const uint8_t *)v->constant->data + (size_t)(n == 1 ? 0 : i) * sizeof x, sizeof x);
    return x;
}

/* ---------------------------------------------------------------- scaled and shifted channels */

/* The convolution that computes v, for nobody else; *channels of it. */
static graph_node *conv_of(pass_context *ctx, const graph_value *v, int64_t *channels) {
    graph_node *c = v ? v->producer : NULL;
    bool transposed = graph_is_op(c, "", "ConvTranspose");
    if (!(transposed || graph_is_op(c, "", "Conv")) || c->owner != ctx->g || v->use_count != 1 || v->is_output) return NULL;
    const graph_value *w = pass_input(c, 1), *b = pass_input(c, 2);
    if (!is_f32(w) || (b && !is_f32(b)) || w->constant->rank < 3 || v->type.rank != w->constant->rank) return NULL;
    int64_t group = graph_attr_int(c, "group", 1);
    if (group < 1 || !base_mul_i64(w->constant->dims[transposed], transposed ? group : 1, channels) || *channels < 1) return NULL;
    if (transposed && w->constant->dims[0] % group) return NULL;
    if (graph_tensor_elements(w->constant) < 1 || (b && graph_tensor_elements(b->constant) != *channels)) return NULL;
    return c;
}

/* One number, or one for each channel: [C, 1, ..] from the right, or with a 1 before it. */
static bool is_per_channel(const graph_value *v, int64_t channels, int rank) {
    if (!is_f32(v) || v->constant->rank > rank) return false;
    const graph_tensor *t = v->constant;
    if (graph_tensor_elements(t) == 1) return true;
    for (int i = 0; i < t->rank; i++)
        if (t->dims[i] != (t->rank - i == rank - 1 ? channels : 1)) return false;
    return graph_tensor_elements(t) == channels && t->rank >= rank - 1;
}

typedef struct affine { /* y = x scale + shift, of each channel */
    graph_node *conv;
    int64_t channels;
    double *scale, *shift; /* [channels] */
} affine;

static bool from_norm(affine *a, const graph_node *n) {
    for (int i = 1; i < 5; i++)
        if (!is_f32(pass_input(n, i)) || graph_tensor_elements(pass_input(n, i)->constant) != a->channels) return false;
    double epsilon = (double)graph_attr_float(n, "epsilon", 1e-5f);
    for (int64_t c = 0; c < a->channels; c++) {
        a->scale[c] = (double)at(pass_input(n, 1), c) / sqrt((double)at(pass_input(n, 4), c) + epsilon);
        a->shift[c] = (double)at(pass_input(n, 2), c) - (double)at(pass_input(n, 3), c) * a->scale[c];
        if (!isfinite(a->scale[c]) || !isfinite(a->shift[c])) return false;
    }
    return true;
}

static bool from_binary(affine *a, const graph_node *n, const graph_value *k) {
    bool times = strcmp(n->op, "Mul") == 0, over = strcmp(n->op, "Div") == 0, minus = strcmp(n->op, "Sub") == 0;
    for (int64_t c = 0; c < a->channels; c++) {
        double x = (double)at(k, c);
        a->scale[c] = times ? x : over ? 1 / x : 1;
        a->shift[c] = times || over ? 0 : minus ? -x : x;
        if (!isfinite(a->scale[c])) return false;
    }
    return true;
}

/* Weights [M, C/g, ..] of Conv are scaled along M; [C, M/g, ..] of ConvTranspose along M, which is group x M/g. */
static graph_value *scaled_weight(pass_context *ctx, const affine *a) {
    const graph_value *w = pass_input(a->conv, 1);
    bool transposed = strcmp(a->conv->op, "ConvTranspose") == 0;
    graph_tensor t = *w->constant;
    int64_t n = graph_tensor_elements(&t), inner = 1, group = graph_attr_int(a->conv, "group", 1), rows = t.dims[0], per = t.dims[1];
    for (int i = 2; i < t.rank; i++) inner *= t.dims[i];
    float *to = base_arena_alloc(ctx->g->arena, t.bytes + 1);
    if (!to) return NULL;
    for (int64_t i = 0; i < n; i++) {
        int64_t row = i / (inner * per), column = i / inner % per, c = transposed ? row / (rows / group) * per + column : row;
        to[i] = (float)((double)at(w, i) * a->scale[c]);
    }
    t.data = to;
    return graph_add_constant(ctx->g, w->name, &t, false);
}

static graph_value *shifted_bias(pass_context *ctx, const affine *a) {
    const graph_value *b = pass_input(a->conv, 2);
    graph_tensor t = {.dtype = NIB_DTYPE_F32, .rank = 1, .dims = {a->channels}, .bytes = (size_t)a->channels * sizeof(float)};
    float *to = base_arena_alloc(ctx->g->arena, t.bytes + 1);
    if (!to) return NULL;
    for (int64_t c = 0; c < a->channels; c++) to[c] = (float)((b ? (double)at(b, c) * a->scale[c] : 0) + a->shift[c]);
    t.data = to;
    return graph_add_constant(ctx->g, b ? b->name : "bias", &t, false);
}

/* What follows the convolution that computes `x`: y = x scale + shift. */
static nib_status take_in(pass_context *ctx, graph_node *n, graph_value *x, const graph_value *k) {
    nib_status status = NIB_OK;
    affine a = {0};
    a.conv = conv_of(ctx, x, &a.channels);
    graph_value *y = n->outputs[0];
    size_t bytes;
    if (!a.conv || !y || (k && !is_per_channel(k, a.channels, x->type.rank)) || y->type.dtype != NIB_DTYPE_F32) return NIB_OK;
    if (!base_mul_size((size_t)a.channels, 2 * sizeof(double), &bytes)) return NIB_OK;
    a.scale = base_alloc(ctx->g->heap, bytes);
    if (!a.scale) return no_memory(ctx);
    a.shift = a.scale + a.channels;
    if (k ? !from_binary(&a, n, k) : !from_norm(&a, n)) goto fail;
    graph_value *w = scaled_weight(ctx, &a), *b = shifted_bias(ctx, &a);
    if (!w || !b) NIB_FAIL(ctx->err, NIB_OUT_OF_MEMORY, "out of memory while optimizing");
    graph_set_input(a.conv, 1, w);
    if (a.conv->n_inputs < 3) NIB_TRY(graph_append_input(a.conv, b, ctx->err));
    else graph_set_input(a.conv, 2, b);
    NIB_TRY(pass_replace(ctx, y, x));
    graph_remove_node(ctx->g, n);
fail:
    base_free(ctx->g->heap, a.scale);
    return status;
}

static nib_status take_behind(pass_context *ctx, graph_node *n) {
    if (graph_is_op(n, "", "BatchNormalization")) {
        bool inference = graph_opset_version(ctx->g, "") >= 7 && !graph_attr_int(n, "training_mode", 0) && n->n_outputs == 1;
        return inference ? take_in(ctx, n, pass_input(n, 0), NULL) : NIB_OK;
    }
    bool either = graph_is_op(n, "", "Mul") || graph_is_op(n, "", "Add");
    if (!n->meaning || (!either && !graph_is_op(n, "", "Div") && !graph_is_op(n, "", "Sub")) || n->n_inputs != 2) return NIB_OK;
    int side = either && is_f32(pass_input(n, 0)) ? 1 : 0; /* where the convolution is */
    return is_f32(pass_input(n, 1 - side)) ? take_in(ctx, n, pass_input(n, side), pass_input(n, 1 - side)) : NIB_OK;
}

/* The last factor of a GELU: without it nobody knows the GELU any more, ONNX Runtime neither. */
static bool is_half_of_gelu(graph_value *x) {
    pass_match m;
    return pass_match_at("Mul(Mul(_, Add(Erf(_), 1)), 0.5)", x, &m);
}

/* What a convolution reads, times one number: its weights are. */
static nib_status take_before(pass_context *ctx, graph_node *n) {
    graph_value *x = pass_input(n, 0), *w = pass_input(n, 1);
    graph_node *m = x ? x->producer : NULL;
    double k;
    if (!graph_is_op(n, "", "Conv") && !graph_is_op(n, "", "ConvTranspose")) return NIB_OK;
    if (!graph_is_op(m, "", "Mul") || !m->meaning || m->owner != ctx->g || x->use_count != 1 || x->is_output || !is_f32(w)) return NIB_OK;
    if (is_half_of_gelu(x)) return NIB_OK;
    const int side = is_f32(pass_input(m, 0)) ? 1 : 0;
    graph_value *from = pass_input(m, side), *number = pass_input(m, 1 - side);
    if (!is_f32(number) || graph_tensor_elements(number->constant) != 1 || !graph_scalar(number, &k) || !isfinite(k)) return NIB_OK;
    if (!from || from->type.rank != x->type.rank || number->type.rank > x->type.rank || from->type.rank < 3) return NIB_OK;
    graph_tensor t = *w->constant;
    const int64_t count = graph_tensor_elements(&t);
    float *to = base_arena_alloc(ctx->g->arena, t.bytes + 1);
    if (!to) return no_memory(ctx);
    for (int64_t i = 0; i < count; i++) to[i] = (float)((double)at(w, i) * k);
    t.data = to;
    graph_value *scaled = graph_add_constant(ctx->g, w->name, &t, false);
    if (!scaled) return no_memory(ctx);
    graph_set_input(n, 0, from);
    graph_set_input(n, 1, scaled);
    graph_remove_node(ctx->g, m);
    ctx->changes++;
    return NIB_OK;
}

/* ---------------------------------------------------------------- pads */

/* What a Pad of spatial axes alone, none cut, puts there; false if it is another Pad. */
static bool pads_of(const graph_node *p, int rank, int64_t *pads, double *fill) {
    if (strcmp(graph_attr_string(p, "mode", "constant"), "constant") != 0 || rank < 3 || rank - 2 > MAX_PADS) return false;
    const int64_t *list = NULL;
    int64_t value;
    *fill = (double)graph_attr_float(p, "value", 0);
    if (p->n_inputs > 3 && p->inputs[3].value) return false; /* axes */
    if (p->n_inputs > 2 && p->inputs[2].value && !graph_scalar(p->inputs[2].value, fill)) return false;
    if (p->n_inputs < 2 && graph_attr_ints(p, "pads", &list) != 2 * rank) return false;
    for (int i = 0; i < 2 * rank; i++) {
        if (list) value = list[i];
        else if (!pass_int_at(p->inputs[1].value, i, &value)) return false;
        bool spatial = i % rank >= 2;
        if (value < 0 || value > INT32_MAX || (!spatial && value)) return false;
        if (spatial) pads[i < rank ? i - 2 : i - 4] = value; /* [begin of each, end of each] */
    }
    return true;
}

static nib_status take_pad(pass_context *ctx, graph_node *n) {
    bool conv = graph_is_op(n, "", "Conv"), average = graph_is_op(n, "", "AveragePool"), most = graph_is_op(n, "", "MaxPool");
    graph_value *x = conv || average || most ? pass_input(n, 0) : NULL;
    graph_node *p = x ? x->producer : NULL;
    int64_t pads[2 * MAX_PADS];
    const int64_t *own;
    double fill;
    if (!graph_is_op(p, "", "Pad") || !p->meaning || p->owner != ctx->g || x->type.rank < 3) return NIB_OK;
    int spatial = x->type.rank - 2;
    if (strcmp(graph_attr_string(n, "auto_pad", "NOTSET"), "NOTSET") != 0 || !pads_of(p, x->type.rank, pads, &fill)) return NIB_OK;
    int64_t count = graph_attr_ints(n, "pads", &own);
    if (count >= 0 && count != 2 * spatial) return NIB_OK;
    bool padded = false;
    for (int64_t i = 0; i < count; i++) {
        if (own[i] < 0 || own[i] > INT32_MAX) return NIB_OK;
        padded |= own[i] != 0;
        pads[i] += own[i];
    }
    if (most ? !(fill <= -3.4e38) || n->n_outputs > 1 : fill != 0) return NIB_OK;
    if ((most || average) && graph_attr_int(n, "ceil_mode", 0)) return NIB_OK;
    const int64_t *kernel;
    if (average && ((padded && !graph_attr_int(n, "count_include_pad", 0)) || graph_opset_version(ctx->g, "") < 7)) return NIB_OK;
    for (int i = 0; i < 2 * spatial && !conv; i++) /* runtimes refuse a pool of nothing but padding */
        if (graph_attr_ints(n, "kernel_shape", &kernel) != spatial || pads[i] >= kernel[i % spatial]) return NIB_OK;
    if (graph_set_ints(n, "pads", pads, 2 * (size_t)spatial) != NIB_OK) return no_memory(ctx);
    if (average && graph_set_int(n, "count_include_pad", 1) != NIB_OK) return no_memory(ctx);
    graph_set_input(n, 0, pass_input(p, 0));
    ctx->changes++;
    return NIB_OK;
}

nib_status pass_conv(pass_context *ctx) {
    nib_status status = NIB_OK;
    for (graph_node *n = ctx->g->first, *next; n; n = next) {
        next = n->next;
        if (!n->meaning) continue;
        NIB_TRY(take_pad(ctx, n));
        NIB_TRY(take_before(ctx, n));
        NIB_TRY(take_behind(ctx, n));
    }
fail:
    return status;
}

/* ---------------------------------------------------------------- Gemm */

static nib_status make_gemm(pass_context *ctx, graph_node *add) {
    for (int side = 0; side < 2; side++) {
        graph_value *m = pass_input(add, side), *bias = pass_input(add, 1 - side);
        graph_node *n = m ? m->producer : NULL;
        if (!graph_is_op(n, "", "MatMul") || n->owner != ctx->g || m->use_count != 1 || m->is_output || !bias || !bias->constant) continue;
        graph_value *x = pass_input(n, 0), *w = pass_input(n, 1);
        nib_dtype type = m->type.dtype;
        int64_t columns;
        if (x->type.rank != 2 || w->type.rank != 2 || bias->constant->rank > 1 || bias->type.dtype != type) continue;
        if (type != NIB_DTYPE_F32 && type != NIB_DTYPE_F64 && type != NIB_DTYPE_F16) continue;
        if (!graph_dim_is_const(m->type.dims[1], &columns)) continue;
        if (graph_tensor_elements(bias->constant) != 1 && graph_tensor_elements(bias->constant) != columns) continue;
        graph_value *y = pass_emit(ctx, add, "", "Gemm", (graph_value *[]){x, w, bias}, 3, add->outputs[0]->name);
        if (!y) return no_memory(ctx);
        nib_status status = op_infer_node(ctx->g, y->producer, ctx->err);
        return status == NIB_OK ? pass_replace(ctx, add->outputs[0], y) : status;
    }
    return NIB_OK;
}

nib_status pass_gemm(pass_context *ctx) {
    nib_status status = NIB_OK;
    if (pass_is_disabled(ctx, "gemm")) return NIB_OK;
    if (graph_opset_version(ctx->g, "") < 7) return NIB_OK;
    for (graph_node *n = ctx->g->first; n; n = n->next)
        if (graph_is_op(n, "", "Add")) NIB_TRY(make_gemm(ctx, n));
    NIB_TRY(pass_clean(ctx));
    NIB_TRY(pass_each_body(ctx, pass_gemm));
fail:
    return status;
}
