/* SPDX-License-Identifier: Apache-2.0
 *
 * Codes and scales as operators. In: a graph of MatMul(x, w) and Gather(table, ids), and layers' codes. Out, by bits and target:
 *
 *     products, 8   of int8: MatMulInteger of x as DynamicQuantizeLinear has it (one for all products of an x), Cast, times both scales
 *                   of int8-static: MatMul of x through QuantizeLinear and DequantizeLinear, one pair for all products of an x, with
 *                   DequantizeLinear(codes i8, scales [N], axis 1)
 *                   of int4, whose products stay f32: MatMul(x, DequantizeLinear(codes i8, scales [N], axis 1))
 *     products, 4   standard: MatMul(x, DequantizeLinear(codes i4 [K, N], scales [K / block, N], axis 0)), opset 21
 *                   onnxruntime: com.microsoft's MatMulNBits
 *     tables        onnxruntime: com.microsoft's GatherBlockQuantized, 8 bits in blocks of a row, 4 bits in the layer's blocks
 *                   standard: Gather(codes, ids) of i8, Cast, times Gather(scales, ids); of 4 bits Gather(DequantizeLinear(codes), ids)
 *     with a preset tables of 8 bits are DequantizeLinear(Gather(codes u8, ids)) with one scale, and of int8 products of two values
 *     MatMulInteger of both as DynamicQuantizeLinear has them
 */
#include "quantize.h"
#include "op/op_schema.h"
#include <math.h>
#include <string.h>

#define MS "com.microsoft"

typedef struct writing {
    pass_context *ctx;
    graph *g;
    const quantize_layer *l;
    graph_node *n; /* in g: it is replaced */
    const nib_quantize_options *o;
} writing;

static nib_status no_memory(const writing *w) {
    return base_error_set(w->ctx->err, NIB_OUT_OF_MEMORY, "out of memory for quantized weights");
}

/* ---------------------------------------------------------------- constants */

static graph_value *constant(const writing *w, const char *suffix, nib_dtype dtype, int rank, const int64_t *dims, void **data) {
    char name[300];
    graph_tensor t = {.dtype = dtype, .rank = rank};
    size_t n = 1;
    for (int i = 0; i < rank; i++) t.dims[i] = dims[i], n *= (size_t)dims[i];
    t.bytes = graph_type_bytes(dtype, n);
    t.data = *data = base_arena_alloc(w->g->arena, t.bytes + 1);
    snprintf(name, sizeof name, "%.250s%s", quantize_name(w->l), suffix);
    return t.data ? graph_add_constant(w->g, name, &t, false) : NULL;
}

/* f32 scales: [K / block, N], or turned. */
static graph_value *scales(const writing *w, int rank, const int64_t *dims, bool turned) {
    const quantize_codes *c = &w->l->codes;
    const int64_t N = w->l->N, blocks = w->l->K / c->block;
    void *data;
    graph_value *v = constant(w, "_scale", NIB_DTYPE_F32, rank, dims, &data);
    for (int64_t b = 0; v && b < blocks; b++)
        for (int64_t n = 0; n < N; n++) ((float *)data)[turned ? n * blocks + b : b * N + n] = c->scale[b * N + n];
    return v;
}

static void put_code(uint8_t *to, int bits, int64_t i, int code) {
    const unsigned four = (unsigned)code & 15u;
    if (bits == 8) to[i] = (uint8_t)code;
    else to[i / 2] = (uint8_t)(i % 2 ? (to[i / 2] & 15u) | four << 4 : four);
}

/* Codes as [K, N], or turned as rows of K, with `offset` added: what unsigned types begin at. */
static graph_value *codes(const writing *w, nib_dtype dtype, int rank, const int64_t *dims, bool turned, int offset) {
    const quantize_layer *l = w->l;
    void *data;
    graph_value *v = constant(w, l->codes.bits == QUANTIZE_8 ? "_int8" : "_int4", dtype, rank, dims, &data);
    for (int64_t k = 0; v && k < l->K; k++)
        for (int64_t n = 0; !turned && n < l->N; n++) put_code(data, (int)l->codes.bits, k * l->N + n, l->codes.q[k * l->N + n] + offset);
    for (int64_t n = 0; v && turned && n < l->N; n++)
        for (int64_t k = 0; k < l->K; k++) put_code(data, (int)l->codes.bits, n * l->K + k, l->codes.q[k * l->N + n] + offset);
    return v;
}

static graph_value *emit(const writing *w, const char *domain, const char *type, graph_value *const *in, int n) {
    for (int i = 0; i < n; i++)
        if (!in[i]) return NULL;
    graph_value *v = pass_emit(w->ctx, w->n, domain, type, in, n, w->n->outputs[0]->name);
    return v && op_infer_node(w->g, v->producer, w->ctx->err) == NIB_OK ? v : NULL;
}

static bool set(graph_value *v, const char *name, int64_t value) { return v && graph_set_int(v->producer, name, value) == NIB_OK; }

static graph_value *to_f32(const writing *w, graph_value *v) {
    graph_value *y = v ? pass_emit(w->ctx, w->n, "", "Cast", &v, 1, v->name) : NULL;
    return set(y, "to", NIB_DTYPE_F32) && op_infer_node(w->g, y->producer, w->ctx->err) == NIB_OK ? y : NULL;
}

/* ---------------------------------------------------------------- products */

/* What DynamicQuantizeLinear makes of x: once for all that read it. */
static graph_node *dynamic_of(const writing *w, graph_value *x) {
    for (const graph_use *u = x->uses; u; u = u->next)
        if (graph_is_op(u->node, "", "DynamicQuantizeLinear")) return u->node;
    graph_node *before = x->producer && x->producer->next ? x->producer->next : w->g->first;
    graph_value *y[3];
    for (int i = 0; i < 3; i++)
        if (!(y[i] = graph_add_value(w->g, x->name))) return NULL;
    graph_node *n = graph_add_node(w->g, before, "", "DynamicQuantizeLinear", x->name, &x, 1, y, 3);
    if (!n) return NULL;
    n->meaning = op_find("", "DynamicQuantizeLinear", graph_opset_version(w->g, ""));
    return op_infer_node(w->g, n, w->ctx->err) == NIB_OK ? n : NULL;
}

/* The rows that a layer's weight was rounded for. */
static graph_value *rows_of(const writing *w) { return quantize_scaled(w->ctx, w->n, w->n->inputs[0].value, w->l->factor, w->l->K); }

/* A weight of 8 bits, [K, N] or turned, its scales and its zero points: one each, or one a column. */
static bool eight_bits(const writing *w, bool is_unsigned, bool turned, graph_value *out[3]) {
    const quantize_layer *l = w->l;
    const int64_t dims[2] = {turned ? l->N : l->K, turned ? l->K : l->N}, each[1] = {l->N};
    const nib_dtype dtype = is_unsigned ? NIB_DTYPE_U8 : NIB_DTYPE_I8;
    const int middle = !is_unsigned ? 0 : l->seven ? 64 : 128;
    void *data;
    out[0] = codes(w, dtype, 2, dims, turned, middle);
    if (l->one_scale) {
        out[1] = constant(w, "_scale", NIB_DTYPE_F32, 0, NULL, &data);
        if (out[1]) memcpy(data, l->codes.scale, sizeof(float));
    } else out[1] = scales(w, 1, each, false);
    out[2] = constant(w, "_zero", dtype, !l->one_scale, each, &data);
    if (out[2]) memset(data, middle + l->codes.zero, l->one_scale ? 1 : (size_t)l->N);
    return out[0] && out[1] && out[2];
}

static bool has_unsigned_weights(const nib_quantize_options *o) { return o->preset == NIB_PRESET_AVX2; }

/* Sums of products as numbers: times both scales. */
static graph_value *scaled_sums(const writing *w, graph_value *const in[4], graph_value *a, graph_value *b) {
    graph_value *sums = to_f32(w, emit(w, "", "MatMulInteger", in, 4));
    graph_value *scale = emit(w, "", "Mul", (graph_value *[]){a, b}, 2);
    return emit(w, "", "Mul", (graph_value *[]){sums, scale}, 2);
}

static graph_value *product_8(const writing *w) {
    graph_value *weight[3], *rows = rows_of(w);
    const graph_node *x = rows ? dynamic_of(w, rows) : NULL;
    if (!x || !eight_bits(w, has_unsigned_weights(w->o), false, weight)) return NULL;
    return scaled_sums(w, (graph_value *[]){x->outputs[0], weight[0], x->outputs[2], weight[2]}, x->outputs[1], weight[1]);
}

/* rows times the weight of 8 bits, as numbers. */
static graph_value *times_weight(const writing *w, graph_value *rows) {
    graph_value *in[3];
    const bool offset = has_unsigned_weights(w->o), made = eight_bits(w, offset, false, in);
    graph_value *v = made ? pass_emit(w->ctx, w->n, "", "DequantizeLinear", in, offset ? 3 : 2, w->n->outputs[0]->name) : NULL;
    if (!set(v, "axis", 1) || op_infer_node(w->g, v->producer, w->ctx->err) != NIB_OK) return NULL;
    return emit(w, "", "MatMul", (graph_value *[]){rows, v}, 2);
}

static graph_value *product_8_weight(const writing *w) { return times_weight(w, rows_of(w)); }

/* rows through u8 and back, in the layer's range: once for all that read them. */
static graph_value *through_8_bits(const writing *w, graph_value *rows) {
    const float step = (w->l->range[1] - w->l->range[0]) / 255, scale = step > 0 && isfinite(step) ? step : 1;
    const float zero = fminf(255, fmaxf(0, rintf(-w->l->range[0] / scale)));
    void *data[2];
    for (const graph_use *u = rows ? rows->uses : NULL; u; u = u->next)
        if (graph_is_op(u->node, "", "QuantizeLinear")) return u->node->outputs[0]->uses->node->outputs[0];
    graph_value *in[3] = {rows, constant(w, "_x_scale", NIB_DTYPE_F32, 0, NULL, &data[0]),
                          constant(w, "_x_zero", NIB_DTYPE_U8, 0, NULL, &data[1])};
    if (!in[1] || !in[2]) return NULL;
    memcpy(data[0], &scale, sizeof scale);
    *(uint8_t *)data[1] = (uint8_t)zero;
    in[0] = emit(w, "", "QuantizeLinear", in, 3);
    return emit(w, "", "DequantizeLinear", in, 3);
}

static graph_value *product_static(const writing *w) { return times_weight(w, through_8_bits(w, rows_of(w))); }

static graph_value *dequantized(const writing *w, const int64_t *dims, bool turned) {
    const int64_t block = w->l->codes.block, by_block[2] = {turned ? dims[0] : dims[0] / block, turned ? dims[1] / block : dims[1]};
    graph_value *in[2] = {codes(w, NIB_DTYPE_I4, 2, dims, turned, 0), scales(w, 2, by_block, turned)};
    if (!in[0] || !in[1]) return NULL;
    graph_value *v = pass_emit(w->ctx, w->n, "", "DequantizeLinear", in, 2, w->n->outputs[0]->name);
    if (!set(v, "axis", turned) || !set(v, "block_size", block)) return NULL;
    return op_infer_node(w->g, v->producer, w->ctx->err) == NIB_OK ? v : NULL;
}

static graph_value *product_4(const writing *w) {
    const int64_t dims[2] = {w->l->K, w->l->N};
    return emit(w, "", "MatMul", (graph_value *[]){rows_of(w), dequantized(w, dims, false)}, 2);
}

static graph_value *product_4_ort(const writing *w) {
    const int64_t block = w->l->codes.block, blocks = w->l->K / block, dims[3] = {w->l->N, blocks, block / 2}, one[2] = {w->l->N, blocks};
    graph_value *in[3] = {rows_of(w), codes(w, NIB_DTYPE_U8, 3, dims, true, 8), scales(w, 2, one, true)};
    if (!in[0] || !in[1] || !in[2]) return NULL;
    graph_value *y = pass_emit(w->ctx, w->n, MS, "MatMulNBits", in, 3, w->n->outputs[0]->name);
    if (!set(y, "K", w->l->K) || !set(y, "N", w->l->N) || !set(y, "bits", 4) || !set(y, "block_size", block)) return NULL;
    return op_infer_node(w->g, y->producer, w->ctx->err) == NIB_OK ? y : NULL;
}

/* ---------------------------------------------------------------- tables */

static graph_value *table_8(const writing *w) {
    const int64_t dims[2] = {w->l->N, w->l->K}, one[2] = {w->l->N, 1};
    graph_value *ids = w->n->inputs[1].value;
    graph_value *rows = to_f32(w, emit(w, "", "Gather", (graph_value *[]){codes(w, NIB_DTYPE_I8, 2, dims, true, 0), ids}, 2));
    graph_value *scale = emit(w, "", "Gather", (graph_value *[]){scales(w, 2, one, true), ids}, 2);
    return emit(w, "", "Mul", (graph_value *[]){rows, scale}, 2);
}

/* With a preset: one scale, and numbers are made of the rows that were looked up. */
static graph_value *table_8_tensor(const writing *w) {
    graph_value *in[3];
    if (!eight_bits(w, true, true, in)) return NULL;
    in[0] = emit(w, "", "Gather", (graph_value *[]){in[0], w->n->inputs[1].value}, 2);
    return emit(w, "", "DequantizeLinear", in, 3);
}

static graph_value *table_4(const writing *w) {
    const int64_t dims[2] = {w->l->N, w->l->K};
    return emit(w, "", "Gather", (graph_value *[]){dequantized(w, dims, true), w->n->inputs[1].value}, 2);
}

/* A row of 4 bits is of blocks; the operator has none longer than what a power of two allows, so 8 bits keep the standard form. */
static graph_value *table_4_ort(const writing *w) {
    const int64_t block = w->l->codes.block, dims[2] = {w->l->N, w->l->K / 2}, by_block[2] = {w->l->N, w->l->K / block};
    graph_value *in[3] = {codes(w, NIB_DTYPE_U8, 2, dims, true, 8), w->n->inputs[1].value, scales(w, 2, by_block, true)};
    if (!in[0] || !in[2]) return NULL;
    graph_value *y = pass_emit(w->ctx, w->n, MS, "GatherBlockQuantized", in, 3, w->n->outputs[0]->name);
    if (!set(y, "bits", 4) || !set(y, "block_size", block) || !set(y, "gather_axis", 0) || !set(y, "quantize_axis", 1)) return NULL;
    return op_infer_node(w->g, y->producer, w->ctx->err) == NIB_OK ? y : NULL;
}

/* ---------------------------------------------------------------- one row a form */

#define BOTH -1
#define PRESET -2 /* in a target's place: any, with a preset */

static const struct {
    quantize_bits bits;
    bool table;
    int target, type; /* nib_target or PRESET, nib_quantize_type, or BOTH */
    int opset;        /* of ai.onnx, at least; 0: the operator is com.microsoft's */
    graph_value *(*write)(const writing *w);
} forms[] = {
    {QUANTIZE_8, false, BOTH, NIB_QUANTIZE_INT8, 11, product_8},
    {QUANTIZE_8, false, BOTH, NIB_QUANTIZE_INT8_STATIC, 13, product_static},
    {QUANTIZE_8, false, BOTH, NIB_QUANTIZE_INT4, 13, product_8_weight},
    {QUANTIZE_4, false, NIB_TARGET_STANDARD, BOTH, 21, product_4},
    {QUANTIZE_4, false, NIB_TARGET_ONNXRUNTIME, BOTH, 0, product_4_ort},
    {QUANTIZE_8, true, PRESET, BOTH, 10, table_8_tensor},
    {QUANTIZE_8, true, BOTH, BOTH, 7, table_8},
    {QUANTIZE_4, true, NIB_TARGET_STANDARD, BOTH, 21, table_4},
    {QUANTIZE_4, true, NIB_TARGET_ONNXRUNTIME, BOTH, 0, table_4_ort},
};

/* BASE_COUNT: the layer stays. */
static size_t form_of(const quantize_layer *l, const nib_quantize_options *o) {
    size_t i = 0;
    for (; i < BASE_COUNT(forms); i++)
        if (forms[i].bits == l->codes.bits && forms[i].table == l->table &&
            (forms[i].target == BOTH || forms[i].target == (int)o->target || (forms[i].target == PRESET && o->preset)) &&
            (forms[i].type == BOTH || forms[i].type == (int)o->type ||
             (forms[i].type == NIB_QUANTIZE_INT4 && o->type == NIB_QUANTIZE_MIXED)))
            break;
    return i;
}

nib_status quantize_write(nib_runtime *runtime, graph *g, const quantize_layers *layers, const nib_quantize_options *o, nib_error *err) {
    nib_status status = NIB_OK;
    kernels ks;
    kernel_table_init(&ks, runtime->isas);
    pass_context ctx = {.g = g, .runtime = runtime, .kernels = &ks, .level = 1, .mode = PASS_MODE_FILE, .err = err};
    bool contrib = false;
    int opset = 0, at = 0;
    for (int i = 0; i < layers->count; i++) {
        const size_t f = form_of(&layers->items[i], o);
        if (f == BASE_COUNT(forms)) continue;
        if (forms[f].opset > opset) opset = forms[f].opset;
        contrib |= forms[f].opset == 0;
    }
    if (opset > graph_opset_version(g, "")) NIB_TRY(pass_opset(&ctx, opset));
    if (contrib) NIB_TRY(graph_set_opset(g, MS, 1, err));
    for (graph_node *n = g->first, *next; n; n = next) {
        next = n->next;
        for (at = 0; at < layers->count; at++) {
            const graph_value *y = layers->items[at].node->outputs[0];
            if (n->n_outputs && n->outputs[0] && strcmp(n->outputs[0]->name, y->name) == 0 &&
                graph_is_op(n, "", layers->items[at].node->op))
                break;
        }
        const size_t f = at < layers->count ? form_of(&layers->items[at], o) : BASE_COUNT(forms);
        if (f == BASE_COUNT(forms)) continue;
        const writing w = {.ctx = &ctx, .g = g, .l = &layers->items[at], .n = n, .o = o};
        graph_value *y = forms[f].write(&w);
        if (!y) NIB_TRY(no_memory(&w));
        NIB_TRY(pass_replace(&ctx, n->outputs[0], y));
    }
    NIB_TRY(quantize_fold(&ctx));
    NIB_TRY(pass_clean(&ctx));
    NIB_TRY(pass_names(&ctx));
    NIB_TRY(graph_verify(g, err));
fail:
    return status;
}

/* ---------------------------------------------------------------- products of two values, as attention has them */

nib_status quantize_write_products(nib_runtime *runtime, graph *g, const nib_quantize_options *o, nib_error *err) {
    nib_status status = NIB_OK;
    kernels ks;
    kernel_table_init(&ks, runtime->isas);
    pass_context ctx = {.g = g, .runtime = runtime, .kernels = &ks, .level = 1, .mode = PASS_MODE_FILE, .err = err};
    for (graph_node *n = g->first, *next; n; n = next) {
        const writing w = {.ctx = &ctx, .g = g, .n = n, .o = o};
        graph_value *const in[2] = {n->inputs && n->n_inputs > 1 ? n->inputs[0].value : NULL, n->n_inputs > 1 ? n->inputs[1].value : NULL};
        const graph_node *a = NULL, *b = NULL;
        next = n->next;
        if (!graph_is_op(n, "", "MatMul") || in[0]->constant || in[1]->constant || quantize_is_kept(o, n->name)) continue;
        if (in[0]->type.dtype != NIB_DTYPE_F32 || in[1]->type.dtype != NIB_DTYPE_F32) continue;
        if (!(a = dynamic_of(&w, in[0])) || !(b = dynamic_of(&w, in[1]))) NIB_TRY(no_memory(&w));
        graph_value *y = scaled_sums(&w, (graph_value *[]){a->outputs[0], b->outputs[0], a->outputs[2], b->outputs[2]}, a->outputs[1],
                                     b->outputs[1]);
        if (!y) NIB_TRY(no_memory(&w));
        NIB_TRY(pass_replace(&ctx, n->outputs[0], y));
    }
    NIB_TRY(pass_clean(&ctx));
    NIB_TRY(pass_names(&ctx));
    NIB_TRY(graph_verify(g, err));
fail:
    return status;
}
