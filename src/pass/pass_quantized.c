/* SPDX-License-Identifier: Apache-2.0
 *
 * Quantized graphs -> graphs of f32, for a task. In: what ONNX Runtime's quantization (and Optimum with it) writes into f32 models:
 *
 *     dynamic  Cast(MatMulInteger(DynamicQuantizeLinear(x), w)) * (scale of x * scale of w)  -> MatMul(x, w as f32)
 *              the same of two such x, as attention has them                                  -> MatMul(x, the other)
 *              com.microsoft's DynamicQuantizeMatMul(x, w), MatMulIntegerToFloat of such an x        -> the same, and its bias
 *     QDQ      DequantizeLinear of a constant                                                -> the constant as f32
 *              DequantizeLinear(QuantizeLinear(x)) of the same scale and zero point          -> x
 *     QLinear  DequantizeLinear(QLinearMatMul(QuantizeLinear(x), w))                         -> MatMul(x, w as f32)
 *     tables   DequantizeLinear(Gather(table, ids)), one scale                               -> Gather(table as f32, ids)
 *
 * Out: MatMuls, which the passes fuse and pack like those of any model, with the numbers that the file's weights stand for; model/ then
 * quantizes again where this CPU is faster so, by rows instead of by whole tensors, which is closer to the model before it was quantized.
 * Where ONNX's values are wanted (`exact` meaning) this pass is not run.
 */
#include "pass.h"
#include <math.h>
#include <string.h>

#define MS "com.microsoft"

static nib_status no_memory(pass_context *ctx) { return base_error_set(ctx->err, NIB_OUT_OF_MEMORY, "out of memory while optimizing"); }

static graph_node *made_by(const graph_value *v, const char *type, int output) {
    return v && v->producer && v->producer_index == output && graph_is_op(v->producer, "", type) ? v->producer : NULL;
}

/* Integers of 8 bits (or 32, as biases have), the scales and zero points of axis `axis`: one, or one each. */
typedef struct quantized {
    const graph_tensor *w, *scale, *zero; /* zero: NULL for 0 */
    int64_t repeat, count;                /* element i has scale (i / repeat) % count */
} quantized;

static bool has_count(const graph_value *v, int64_t n) { return v->constant && graph_tensor_elements(v->constant) == n; }

/* What is made of one file together has a limit: many nodes may read one constant with as many scales. */
static bool quantized_of(const pass_context *ctx, const graph_value *w, const graph_value *scale, const graph_value *zero, int axis,
                         quantized *q) {
    if (!w || !w->constant || !scale || !scale->constant || scale->constant->dtype != NIB_DTYPE_F32 || scale->constant->rank > 1)
        return false;
    nib_dtype t = w->constant->dtype;
    if (t != NIB_DTYPE_U8 && t != NIB_DTYPE_I8 && t != NIB_DTYPE_I32) return false;
    if (axis < 0) axis += w->constant->rank;
    *q = (quantized){.w = w->constant, .scale = scale->constant, .zero = zero ? zero->constant : NULL, .repeat = 1};
    q->count = graph_tensor_elements(scale->constant);
    bool single = q->count == 1;
    if (!single && (axis < 0 || axis >= w->constant->rank || q->count != w->constant->dims[axis])) return false;
    for (int i = axis + 1; !single && i < w->constant->rank; i++) q->repeat *= w->constant->dims[i];
    int64_t n = graph_tensor_elements(w->constant);
    if (n < 0 || (uint64_t)n > ctx->fold_left / sizeof(float)) return false;
    return q->count > 0 && (!zero || (zero->constant && zero->constant->dtype == t && has_count(zero, q->count)));
}

static int32_t integer_at(const graph_tensor *t, int64_t i) {
    int32_t x;
    if (t->dtype == NIB_DTYPE_U8) return ((const uint8_t *)t->data)[i];
    if (t->dtype == NIB_DTYPE_I8) return ((const int8_t *)t->data)[i];
    memcpy(&x, (const char *)t->data + 4 * i, sizeof x);
    return x;
}

/* The constant of f32 that q stands for; what every reader of these very integers and scales shares. */
static graph_value *real_of(pass_context *ctx, const graph_value *like, const quantized *q) {
    int64_t n = graph_tensor_elements(q->w);
    size_t bytes = (size_t)n * sizeof(float); /* below ctx->fold_left */
    float *to = base_arena_alloc(ctx->g->arena, bytes + 1);
    if (!to) return NULL;
    ctx->fold_left -= bytes;
    for (int64_t i = 0; i < n; i++) {
        int64_t k = i / q->repeat % q->count;
        float scale;
        memcpy(&scale, (const char *)q->scale->data + 4 * k, sizeof scale);
        to[i] = (float)((int64_t)integer_at(q->w, i) - (q->zero ? integer_at(q->zero, k) : 0)) * scale;
    }
    graph_tensor t = *q->w;
    t.dtype = NIB_DTYPE_F32;
    t.data = to;
    t.bytes = bytes;
    return graph_add_constant(ctx->g, like->name, &t, false);
}

static nib_status replace(pass_context *ctx, graph_value *old, graph_value *with) {
    nib_status status = with && with->producer ? op_infer_node(ctx->g, with->producer, ctx->err) : NIB_OK;
    return status != NIB_OK ? status : pass_replace(ctx, old, with);
}

/* ---------------------------------------------------------------- dynamic */

/* scales = Mul(scale of x, constant), in either order. */
static graph_value *weight_scale(const graph_value *scales, const graph_node *of) {
    const graph_node *m = made_by(scales, "Mul", 0);
    for (int i = 0; m && i < 2; i++)
        if (made_by(pass_input(m, i), "DynamicQuantizeLinear", 1) == of && pass_input(m, 1 - i)->constant) return pass_input(m, 1 - i);
    return NULL;
}

static nib_status try_dynamic(pass_context *ctx, graph_node *product) {
    for (int i = 0; i < 2; i++) {
        const graph_node *cast = made_by(pass_input(product, i), "Cast", 0);
        const graph_node *mm = cast ? made_by(pass_input(cast, 0), "MatMulInteger", 0) : NULL;
        const graph_node *x = mm ? made_by(pass_input(mm, 0), "DynamicQuantizeLinear", 0) : NULL;
        quantized q;
        if (!x || graph_attr_int(cast, "to", 0) != NIB_DTYPE_F32 || made_by(pass_input(mm, 2), "DynamicQuantizeLinear", 2) != x) continue;
        const graph_value *w = pass_input(mm, 1);
        if (!w->constant || w->constant->rank != 2 ||
            !quantized_of(ctx, w, weight_scale(pass_input(product, 1 - i), x), pass_input(mm, 3), 1, &q))
            continue;
        graph_value *real = real_of(ctx, w, &q);
        if (!real) return no_memory(ctx);
        ctx->quantized++;
        return replace(ctx, product->outputs[0],
                       pass_emit(ctx, product, "", "MatMul", (graph_value *[]){pass_input(x, 0), real}, 2, product->outputs[0]->name));
    }
    return NIB_OK;
}

static bool is_scales_of(const graph_value *scales, const graph_node *a, const graph_node *b) {
    const graph_node *m = made_by(scales, "Mul", 0);
    for (int i = 0; m && i < 2; i++)
        if (made_by(pass_input(m, i), "DynamicQuantizeLinear", 1) == a && made_by(pass_input(m, 1 - i), "DynamicQuantizeLinear", 1) == b)
            return true;
    return false;
}

/* A product of two values that are both rounded when it runs. */
static nib_status try_both_dynamic(pass_context *ctx, graph_node *product) {
    for (int i = 0; i < 2; i++) {
        const graph_node *cast = made_by(pass_input(product, i), "Cast", 0), *from[2] = {NULL, NULL};
        const graph_node *mm = cast ? made_by(pass_input(cast, 0), "MatMulInteger", 0) : NULL;
        for (int k = 0; mm && k < 2; k++) {
            from[k] = made_by(pass_input(mm, k), "DynamicQuantizeLinear", 0);
            if (from[k] && made_by(pass_input(mm, 2 + k), "DynamicQuantizeLinear", 2) != from[k]) from[k] = NULL;
        }
        if (!from[0] || !from[1] || graph_attr_int(cast, "to", 0) != NIB_DTYPE_F32) continue;
        if (!is_scales_of(pass_input(product, 1 - i), from[0], from[1])) continue;
        graph_value *in[2] = {pass_input(from[0], 0), pass_input(from[1], 0)};
        ctx->roundings += 2;
        return replace(ctx, product->outputs[0], pass_emit(ctx, product, "", "MatMul", in, 2, product->outputs[0]->name));
    }
    return NIB_OK;
}

/* com.microsoft: DynamicQuantizeMatMul(x, w, scale, zero, bias), MatMulIntegerToFloat(x in 8 bits, w, its scale, scale, its zero, zero,
 * bias). */
static nib_status try_fused(pass_context *ctx, graph_node *n) {
    bool dynamic = strcmp(n->op, "DynamicQuantizeMatMul") == 0;
    const graph_node *from = dynamic ? NULL : made_by(pass_input(n, 0), "DynamicQuantizeLinear", 0);
    graph_value *x = dynamic ? pass_input(n, 0)
                     : from  ? pass_input(from, 0)
                             : NULL,
                *w = pass_input(n, 1), *bias = pass_input(n, dynamic ? 4 : 6);
    quantized q;
    if (!x || !n->outputs[0] || x->type.dtype != NIB_DTYPE_F32 || !w || !w->constant || w->constant->rank != 2) return NIB_OK;
    if (!dynamic &&
        (made_by(pass_input(n, 2), "DynamicQuantizeLinear", 1) != from || made_by(pass_input(n, 4), "DynamicQuantizeLinear", 2) != from))
        return NIB_OK;
    if (!quantized_of(ctx, w, pass_input(n, dynamic ? 2 : 3), pass_input(n, dynamic ? 3 : 5), 1, &q)) return NIB_OK;
    graph_value *real = real_of(ctx, w, &q);
    graph_value *y = real ? pass_emit(ctx, n, "", "MatMul", (graph_value *[]){x, real}, 2, n->outputs[0]->name) : NULL;
    nib_status status = y ? op_infer_node(ctx->g, y->producer, ctx->err) : no_memory(ctx);
    if (status != NIB_OK) return status;
    ctx->quantized++;
    if (bias) y = pass_emit(ctx, n, "", "Add", (graph_value *[]){y, bias}, 2, n->outputs[0]->name);
    return y ? replace(ctx, n->outputs[0], y) : no_memory(ctx);
}

/* ---------------------------------------------------------------- DequantizeLinear */

static bool same_constant(const graph_value *a, const graph_value *b) {
    if (a == b) return true;
    if (!a || !b || !a->constant || !b->constant) return false;
    const graph_tensor *x = a->constant, *y = b->constant;
    return x->dtype == y->dtype && x->bytes == y->bytes && graph_tensor_elements(x) == graph_tensor_elements(y) &&
           (x->bytes == 0 || memcmp(x->data, y->data, x->bytes) == 0);
}

/* The integers of a type that QuantizeLinear writes; false for others. */
static bool ends_of(nib_dtype t, double *least, double *most) {
    const int bits = t == NIB_DTYPE_U8 || t == NIB_DTYPE_I8 ? 8 : t == NIB_DTYPE_U16 || t == NIB_DTYPE_I16 ? 16 : 0;
    const double all = (double)(1 << bits);
    *least = t == NIB_DTYPE_I8 || t == NIB_DTYPE_I16 ? -all / 2 : 0;
    *most = *least + all - 1;
    return bits != 0;
}

typedef struct bounds {
    double least, most;
} bounds;

static const bounds anything = {-INFINITY, INFINITY};

/* What an operator's result stays within, whatever it reads. */
static const struct {
    const char *op;
    bounds in;
} bounded[] = {
    {"Relu", {0, INFINITY}}, {"Abs", {0, INFINITY}}, {"Exp", {0, INFINITY}},  {"Sqrt", {0, INFINITY}}, {"Softplus", {0, INFINITY}},
    {"Softmax", {0, 1}},     {"Sigmoid", {0, 1}},    {"HardSigmoid", {0, 1}}, {"Tanh", {-1, 1}},       {"Erf", {-1, 1}},
    {"Softsign", {-1, 1}},   {"Sin", {-1, 1}},       {"Cos", {-1, 1}},
};

static bounds of_operator(const graph_node *n, bounds a, bounds b) {
    if (graph_is_op(n, "", "Add")) return (bounds){a.least + b.least, a.most + b.most};
    if (graph_is_op(n, "", "Min")) return (bounds){fmin(a.least, b.least), fmin(a.most, b.most)};
    if (graph_is_op(n, "", "Max")) return (bounds){fmax(a.least, b.least), fmax(a.most, b.most)};
    return anything;
}

static bounds bounds_of(const graph_value *v, int depth) {
    static const char *const views[] = {"Identity", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Slice", "Expand", "Flatten"};
    const graph_node *n = v->producer;
    double x;
    if (graph_scalar(v, &x)) return (bounds){x, x};
    if (!n || n->domain[0] || depth > 8) return anything;
    for (size_t i = 0; i < BASE_COUNT(bounded); i++)
        if (strcmp(n->op, bounded[i].op) == 0) return bounded[i].in;
    for (size_t i = 0; i < BASE_COUNT(views); i++)
        if (strcmp(n->op, views[i]) == 0) return bounds_of(n->inputs[0].value, depth + 1);
    if (n->n_inputs != 2 || !n->inputs[0].value || !n->inputs[1].value) return anything;
    return of_operator(n, bounds_of(n->inputs[0].value, depth + 1), bounds_of(n->inputs[1].value, depth + 1));
}

/* Of at most three digits, but for rounding to f32. */
static bool is_written(double x) {
    if (!(x > 0) || !isfinite(x)) return false;
    const double digits = x / pow(10, floor(log10(x)) - 2);
    return fabs(digits - round(digits)) <= 1e-6 * digits;
}

/* Whether a range of so many steps is an activation's. Quantizers take a Relu or a Clip away where the range that follows
 * does the same: then it ends at 0, or is as wide as a number that people write (2 of Clip(-1, 1); the zero point, a whole
 * number, moves the ends by part of a step). Other ranges are what calibration happened to meet; to keep their ends, too,
 * would take 4 times as long (MiniLM by QDQ) and bring nothing of what it was before it was quantized. in: of what is
 * quantized, which is no activation's where it lies within the range by itself, but for rounding. A scale of 1 is written
 * where calibration met but one number. */
static bool is_activation(bounds in, double low, double high, double scale, double steps) {
    if ((low == 0 && in.least < 0) || (high == 0 && in.most > 0)) return true;
    const bool within = in.least >= low - scale && in.most <= high + scale;
    return !within && scale != 1 && (is_written(scale * steps) || is_written(scale * (steps - 1)));
}

/* What QuantizeLinear reads, which stands for its result, within the ends of its range where they are an activation's.
 * NULL when memory runs out. */
static graph_value *within_range(pass_context *ctx, graph_node *before, const graph_node *q) {
    graph_value *x = pass_input(q, 0), *v = x, *zero = pass_input(q, 2);
    const nib_dtype type = zero ? zero->type.dtype : (nib_dtype)graph_attr_int(q, "output_dtype", NIB_DTYPE_U8);
    double scale, least, most, z = 0;
    if (!graph_scalar(pass_input(q, 1), &scale) || (zero && !graph_scalar(zero, &z)) || !ends_of(type, &least, &most)) return x;
    const float low = (float)((least - z) * scale), high = (float)((most - z) * scale);
    if (!is_activation(bounds_of(x, 0), (double)low, (double)high, scale, most - least)) return x;
    graph_value *ends[2] = {graph_const_f32(ctx->g, "least", low), graph_const_f32(ctx->g, "most", high)};
    if (!ends[0] || !ends[1]) return NULL;
    v = low == 0 ? pass_emit(ctx, before, "", "Relu", &v, 1, x->name)
                 : pass_emit(ctx, before, "", "Max", (graph_value *[]){v, ends[0]}, 2, x->name);
    if (v) v->type = x->type;
    v = v ? pass_emit(ctx, before, "", "Min", (graph_value *[]){v, ends[1]}, 2, x->name) : NULL;
    if (v) v->type = x->type;
    return v;
}

/* What a value of 8 bits was quantized from, with these very scales: a constant, or what QuantizeLinear reads. NULL: not known. */
static nib_status before_quantizing(pass_context *ctx, graph_node *before, graph_value *v, graph_value *scale, graph_value *zero,
                                    graph_value **out) {
    const graph_node *from = made_by(v, "QuantizeLinear", 0);
    quantized q;
    *out = NULL;
    if (from && pass_input(from, 0)->type.dtype == NIB_DTYPE_F32 && same_constant(pass_input(from, 1), scale) &&
        same_constant(pass_input(from, 2), zero))
        return (*out = within_range(ctx, before, from)) ? NIB_OK : no_memory(ctx);
    if (!v || !v->constant || v->constant->rank != 2 || !quantized_of(ctx, v, scale, zero, 1, &q)) return NIB_OK;
    ctx->quantized++;
    *out = real_of(ctx, v, &q);
    return *out ? NIB_OK : no_memory(ctx);
}

/* DequantizeLinear(QLinearMatMul(a, its scale, its zero, b, its scale, its zero, scale, zero), scale, zero). */
static nib_status try_qlinear(pass_context *ctx, graph_node *n, const graph_node *mm) {
    nib_status status = NIB_OK;
    graph_value *a, *b;
    if (mm->n_inputs < 8 || !same_constant(pass_input(mm, 6), pass_input(n, 1)) || !same_constant(pass_input(mm, 7), pass_input(n, 2)))
        return NIB_OK;
    NIB_TRY(before_quantizing(ctx, n, pass_input(mm, 0), pass_input(mm, 1), pass_input(mm, 2), &a));
    if (!a) return NIB_OK;
    NIB_TRY(before_quantizing(ctx, n, pass_input(mm, 3), pass_input(mm, 4), pass_input(mm, 5), &b));
    if (b) NIB_TRY(replace(ctx, n->outputs[0], pass_emit(ctx, n, "", "MatMul", (graph_value *[]){a, b}, 2, n->outputs[0]->name)));
fail:
    return status;
}

static nib_status try_dequantize(pass_context *ctx, graph_node *n) {
    graph_value *x = pass_input(n, 0), *scale = pass_input(n, 1), *zero = pass_input(n, 2), *y = n->outputs[0];
    const graph_node *gather = made_by(x, "Gather", 0);
    int axis = (int)graph_attr_int(n, "axis", 1);
    quantized q;
    if (!y || y->type.dtype != NIB_DTYPE_F32 || graph_attr_int(n, "block_size", 0)) return NIB_OK;
    if (made_by(x, "QLinearMatMul", 0)) return try_qlinear(ctx, n, x->producer);
    if (quantized_of(ctx, x, scale, zero, axis, &q)) {
        graph_value *real = real_of(ctx, x, &q);
        if (!real) return no_memory(ctx);
        ctx->quantized += x->constant->rank == 2;
        return replace(ctx, y, real);
    }
    if (gather && graph_attr_int(gather, "axis", 0) == 0 && quantized_of(ctx, pass_input(gather, 0), scale, zero, 0, &q) && q.count == 1) {
        graph_value *real = real_of(ctx, pass_input(gather, 0), &q);
        if (!real) return no_memory(ctx);
        graph_value *rows = pass_emit(ctx, n, "", "Gather", (graph_value *[]){real, pass_input(gather, 1)}, 2, y->name);
        return replace(ctx, y, rows);
    }
    return NIB_OK;
}

/* What was rounded for products of 8 bits is what it was: those have become products of f32. */
static nib_status try_pair(pass_context *ctx, graph_node *n) {
    graph_value *x = pass_input(n, 0), *y = n->outputs[0];
    const graph_node *again = made_by(x, "QuantizeLinear", 0);
    const int64_t axis = graph_attr_int(n, "axis", 1);
    if (!again || !y || y->type.dtype != NIB_DTYPE_F32 || graph_attr_int(n, "block_size", 0) || graph_attr_int(again, "block_size", 0))
        return NIB_OK;
    if (pass_input(again, 0)->type.dtype != NIB_DTYPE_F32 || graph_attr_int(again, "axis", 1) != axis) return NIB_OK;
    if (!same_constant(pass_input(again, 1), pass_input(n, 1)) || !same_constant(pass_input(again, 2), pass_input(n, 2))) return NIB_OK;
    ctx->roundings++;
    graph_value *x_in_range = within_range(ctx, n, again);
    return x_in_range ? replace(ctx, y, x_in_range) : no_memory(ctx);
}

nib_status pass_quantized(pass_context *ctx) {
    nib_status status = NIB_OK;
    const int before = ctx->quantized;
    for (graph_node *n = ctx->g->first, *next; n; n = next) {
        next = n->next;
        if (graph_is_op(n, "", "Mul")) NIB_TRY(try_dynamic(ctx, n));
        else if (graph_is_op(n, "", "DequantizeLinear")) NIB_TRY(try_dequantize(ctx, n));
        else if (graph_is_op(n, MS, "DynamicQuantizeMatMul") || graph_is_op(n, MS, "MatMulIntegerToFloat")) NIB_TRY(try_fused(ctx, n));
    }
    if (ctx->quantized) { /* where no weight has 8 bits, a rounding is the model's own */
        for (graph_node *n = ctx->g->first, *next; n; n = next) {
            next = n->next;
            if (graph_is_op(n, "", "DequantizeLinear")) NIB_TRY(try_pair(ctx, n));
            else if (graph_is_op(n, "", "Mul")) NIB_TRY(try_both_dynamic(ctx, n));
        }
        if (ctx->quantized > before) pass_note(ctx, "%d weights of 8 bits are read as the numbers that they stand for", ctx->quantized - before);
        if (ctx->roundings)
            pass_note(ctx,
                      "%d roundings of values to 8 bits are left out, and the ends of ranges that are no activation's (0, or "
                      "of a width as people write it)",
                      ctx->roundings);
        NIB_TRY(pass_clean(ctx));
    }
fail:
    return status;
}
