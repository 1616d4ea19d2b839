/* SPDX-License-Identifier: Apache-2.0
 *
 * Quantization, https://onnx.ai/onnx/operators/: DynamicQuantizeLinear QuantizeLinear DequantizeLinear to and from integers
 * of 2, 4, 8, 16 (and, to be dequantized, 32) bits and floating point of 4 and 8; one scale for the tensor, per axis, or per block of an
 * axis.
 */
#include "op_local.h"

static float number(const graph_tensor *t, int64_t i) { return (float)op_number(t, i); }

/* Half to even, then cut to the type's range; NaN gives the lower end. */
static int64_t saturate(float v, int64_t zero, int64_t lo, int64_t hi) {
    float r = nearbyintf(v) + (float)zero;
    return !(r > (float)lo) ? lo : r > (float)hi ? hi : (int64_t)r;
}

/* Which scale belongs to element i: i / inner % size / block, then block by block of the outer and inner axes. */
typedef struct scaling {
    int64_t size, inner, block, blocks; /* of the axis; blocks 0: one scale for all; block 0: one per axis element */
} scaling;

static int64_t scale_index(const scaling *s, int64_t i) {
    if (s->blocks == 0) return 0;
    int64_t k = i / s->inner % s->size;
    if (s->block == 0) return k;
    return (i / (s->inner * s->size) * s->blocks + k / s->block) * s->inner + i % s->inner;
}

static nib_status scaling_of(op_eval *c, scaling *s) {
    const graph_tensor *x = op_arg(c, 0), *scale = op_arg(c, 1), *zero = op_arg(c, 2);
    int64_t n = op_count(scale->rank, scale->dims), block = graph_attr_int(c->node, "block_size", 0);
    memset(s, 0, sizeof *s);
    if (!op_is_float(scale->dtype)) return op_bad(c, NIB_TYPE, "scale of type %s", nib_dtype_name(scale->dtype));
    if (zero && op_count(zero->rank, zero->dims) != n) return op_bad(c, NIB_SHAPE, "scale and zero point differ in size");
    if (n == 1 && block == 0) return NIB_OK;
    int axis = op_axis(graph_attr_int(c->node, "axis", 1), x->rank);
    if (axis < 0) return op_bad(c, NIB_SHAPE, "axis out of range");
    s->size = x->dims[axis];
    s->inner = op_count(x->rank - axis - 1, x->dims + axis + 1);
    s->blocks = n;
    if (block == 0)
        return scale->rank == 1 && n == s->size ? NIB_OK
                                                : op_bad(c, NIB_SHAPE, "%lld scales for an axis of %lld", (long long)n, (long long)s->size);
    if (block < 0 || scale->rank != x->rank) return op_bad(c, NIB_SHAPE, "blocks of %lld", (long long)block);
    for (int i = 0; i < x->rank; i++) {
        int64_t want = i == axis ? x->dims[i] / block + (x->dims[i] % block != 0) : x->dims[i];
        if (scale->dims[i] != want) return op_bad(c, NIB_SHAPE, "%lld scales on axis %d", (long long)scale->dims[i], i);
    }
    s->block = block;
    s->blocks = scale->dims[axis];
    return NIB_OK;
}

/* What quantized numbers may be: integers of 16 bits and less, with their range, and floating point of 8 and less. */
static bool range_of(nib_dtype dtype, int64_t *lo, int64_t *hi) {
    int bits;
    bool is_signed, whole = op_int_info(dtype, &bits, &is_signed) && bits <= 16;
    *lo = whole && is_signed ? -((int64_t)1 << (bits - 1)) : 0;
    *hi = whole ? *lo + ((int64_t)1 << bits) - 1 : 0;
    return whole || (op_is_small(dtype) && dtype != NIB_DTYPE_F8E8M0);
}

static void put_whole(nib_dtype dtype, void *y, int64_t i, int64_t v) {
    if (nib_dtype_bits(dtype) <= 8) ((uint8_t *)y)[i] = (uint8_t)v;
    else ((uint16_t *)y)[i] = (uint16_t)v;
}

/* ---- QuantizeLinear */

static int64_t quantized_type(const graph_node *n, nib_dtype zero) {
    if (zero != NIB_DTYPE_UNDEFINED) return zero;
    int64_t to = graph_attr_int(n, "output_dtype", 0);
    return to > 0 && to <= NIB_DTYPE_I2 ? to : NIB_DTYPE_U8;
}

static nib_status eval_quantize(op_eval *c) {
    const graph_tensor *x = op_arg(c, 0), *scale = op_arg(c, 1), *zero = op_arg(c, 2);
    op_dims dims = op_dims_of(x);
    scaling s;
    int64_t lo, hi, n = op_count(x->rank, x->dims);
    nib_dtype dtype = (nib_dtype)quantized_type(c->node, zero ? zero->dtype : NIB_DTYPE_UNDEFINED);
    void *y;
    if (!op_is_float(x->dtype) && x->dtype != NIB_DTYPE_I32) return op_bad(c, NIB_TYPE, "input of type %s", nib_dtype_name(x->dtype));
    if (!range_of(dtype, &lo, &hi)) return op_bad(c, NIB_UNSUPPORTED, "quantizing to %s", nib_dtype_name(dtype));
    bool small = op_is_small(dtype), cut = graph_attr_int(c->node, "saturate", 1) != 0;
    OP_TRY(scaling_of(c, &s));
    OP_TRY(op_out(c, 0, dtype, &dims, &y));
    for (int64_t i = 0; y && i < n; i++) {
        int64_t k = scale_index(&s, i);
        float v = number(x, i) / number(scale, k);
        if (small) ((uint8_t *)y)[i] = op_small_store(dtype, v + (zero ? number(zero, k) : 0), cut, 'n');
        else put_whole(dtype, y, i, saturate(v, zero ? (int64_t)op_number(zero, k) : 0, lo, hi));
    }
    return NIB_OK;
}

static nib_status infer_quantize(op_infer *c) {
    const graph_type *zero = op_in_type(c, 2);
    if (op_in(c, 2) && zero->dtype == NIB_DTYPE_UNDEFINED) return op_set_like(c, 0, NIB_DTYPE_UNDEFINED, op_in_type(c, 0));
    return op_set_like(c, 0, (nib_dtype)quantized_type(c->node, zero->dtype), op_in_type(c, 0));
}

/* ---- DequantizeLinear */

static nib_dtype real_type(const graph_node *n, nib_dtype scale) {
    int64_t to = graph_attr_int(n, "output_dtype", 0);
    return to > 0 && to <= NIB_DTYPE_I2 ? (nib_dtype)to : scale;
}

static nib_status eval_dequantize(op_eval *c) {
    const graph_tensor *x = op_arg(c, 0), *scale = op_arg(c, 1), *zero = op_arg(c, 2);
    op_dims dims = op_dims_of(x);
    scaling s;
    int64_t lo, hi, n = op_count(x->rank, x->dims);
    nib_dtype dtype = real_type(c->node, scale->dtype);
    void *y;
    if (!range_of(x->dtype, &lo, &hi) && x->dtype != NIB_DTYPE_I32)
        return op_bad(c, NIB_UNSUPPORTED, "dequantizing %s", nib_dtype_name(x->dtype));
    if (zero && zero->dtype != x->dtype) return op_bad(c, NIB_TYPE, "zero point is not of the input's type");
    if (!op_is_float(dtype)) return op_bad(c, NIB_TYPE, "output of type %s", nib_dtype_name(dtype));
    OP_TRY(scaling_of(c, &s));
    OP_TRY(op_out(c, 0, dtype, &dims, &y));
    for (int64_t i = 0; y && i < n; i++) {
        int64_t k = scale_index(&s, i);
        float v = (float)(op_number(x, i) - (zero ? op_number(zero, k) : 0)) * number(scale, k);
        if (dtype == NIB_DTYPE_F32) ((float *)y)[i] = v;
        else if (dtype == NIB_DTYPE_F64) ((double *)y)[i] = v;
        else ((uint16_t *)y)[i] = dtype == NIB_DTYPE_F16 ? base_f32_to_f16(v) : base_f32_to_bf16(v);
    }
    return NIB_OK;
}

static nib_status infer_dequantize(op_infer *c) { return op_set_like(c, 0, real_type(c->node, op_in_type(c, 1)->dtype), op_in_type(c, 0)); }

/* ---- DynamicQuantizeLinear: the range always holds 0 */

static nib_status eval_dynamic(op_eval *c) {
    const graph_tensor *x = op_arg(c, 0);
    op_dims dims = op_dims_of(x), one = {0};
    float lo = 0, hi = 0, *scale_out;
    uint8_t *y, *zero_out;
    int64_t n = op_count(x->rank, x->dims);
    const float *v = x->data;
    if (x->dtype != NIB_DTYPE_F32) return op_bad(c, NIB_TYPE, "input of type %s", nib_dtype_name(x->dtype));
    OP_TRY(op_out(c, 0, NIB_DTYPE_U8, &dims, &y));
    OP_TRY(op_out(c, 1, NIB_DTYPE_F32, &one, &scale_out));
    OP_TRY(op_out(c, 2, NIB_DTYPE_U8, &one, &zero_out));
    for (int64_t i = 0; i < n; i++) {
        lo = v[i] < lo ? v[i] : lo;
        hi = v[i] > hi ? v[i] : hi;
    }
    float scale = hi == lo ? 1.0f : (hi - lo) / 255.0f; /* nothing but zeros: any scale will do, but not 0 */
    int64_t zero = saturate(-lo / scale, 0, 0, 255);
    for (int64_t i = 0; y && i < n; i++) y[i] = (uint8_t)saturate(v[i] / scale, zero, 0, 255);
    if (scale_out) *scale_out = scale;
    if (zero_out) *zero_out = (uint8_t)zero;
    return NIB_OK;
}

static nib_status infer_dynamic(op_infer *c) {
    nib_dtype d = op_in_type(c, 0)->dtype;
    if (d != NIB_DTYPE_F32 && d != NIB_DTYPE_UNDEFINED) return op_fail(c, NIB_TYPE, "input of type %s", nib_dtype_name(d));
    OP_TRY(op_set_like(c, 0, NIB_DTYPE_U8, op_in_type(c, 0)));
    OP_TRY(op_set(c, 1, NIB_DTYPE_F32, 0, NULL));
    return op_set(c, 2, NIB_DTYPE_U8, 0, NULL);
}

const op op_family_quant[] = {
    {"DequantizeLinear", "", 10, 2, 3, 1, OP_ROWS_MIXED, infer_dequantize, eval_dequantize, NULL},
    {"DequantizeLinear", "com.microsoft", 1, 2, 3, 1, OP_ROWS_MIXED, infer_dequantize, eval_dequantize, NULL},
    {"DynamicQuantizeLinear", "", 11, 1, 1, 3, OP_ROWS_MIXED, infer_dynamic, eval_dynamic, NULL},
    {"QuantizeLinear", "", 10, 2, 3, 1, OP_ROWS_MIXED, infer_quantize, eval_quantize, NULL},
    {"QuantizeLinear", "com.microsoft", 1, 2, 3, 1, OP_ROWS_MIXED, infer_quantize, eval_quantize, NULL},
    {0},
};
