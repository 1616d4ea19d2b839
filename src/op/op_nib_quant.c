/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows in fewer bits, and what a Linear with such a weight means.
 *
 *   QuantizeRows(x [.., C], factor [C]?) -> y u8 [.., C], params f32 [.., 2]
 *       each column is first multiplied by its factor; then one asymmetric scale and zero point for each row:
 *       x factor ~ (y - zero) * scale; params holds scale, zero. The rounding is that of
 *       kernels.quantize_rows_u8.
 *       The type of y says so: u8 elements, f32 scales and zero points along the last axis.
 *   Linear whose weights are of type {s8, f32 scales along K} reads x as QuantizeRows made it, with params and, if there is one, factor;
 *       its weights, each row divided by its factor, are rounded to s8 with one scale a column (max |w| / 127), its sums are exact
 *       integers. {s4, f16 scales, blocks of 32 along K}: the same rows; weights are rounded as kernel_round_q4 does.
 *       Linear whose weights are of type {bf16} reads x as bf16 (Cast) or f32; its weights are rounded to bfloat16.
 *
 * The weight stays the file's constant in the graph; the plan packs it in the form that its type names.
 */
#include "op_nib.h"
#include "op_nib_operands.h"
#include "base/base_half.h"
#include "kernel/kernel_pack.h"
#include <math.h>
#include <string.h>

/* Rows without their scales mean nothing. */
static bool gives_both(const graph_node *n) { return n->n_outputs == 2 && n->outputs[0] && n->outputs[1]; }

static nib_status infer_quantize(op_infer *c) {
    const graph_type *x = op_in_type(c, 0);
    if (!gives_both(c->node)) return op_fail(c, NIB_BAD_MODEL, "an output is left out");
    if (x->dtype != NIB_DTYPE_F32 && x->dtype != NIB_DTYPE_UNDEFINED)
        return op_fail(c, NIB_TYPE, "the input is %s, not f32", nib_dtype_name(x->dtype));
    if (x->rank == 0) return op_fail(c, NIB_SHAPE, "the input is a scalar");
    nib_status status = op_set_like(c, 0, NIB_DTYPE_U8, x);
    c->node->outputs[0]->type.quant = kernel_input_formats[KERNEL_INPUT_U8].type;
    c->node->outputs[0]->type.quant.axis = x->rank - 1;
    graph_type params = *x;
    if (params.rank > 0) params.dims[params.rank - 1] = graph_dim_const(c->g->symbols, 2);
    return status == NIB_OK ? op_set_like(c, 1, NIB_DTYPE_F32, &params) : status;
}

static nib_status eval_quantize(op_eval *c) {
    const graph_tensor *x = c->in[0];
    if (!gives_both(c->node)) return op_bad(c, NIB_BAD_MODEL, "an output is left out");
    if (x->dtype != NIB_DTYPE_F32 || x->rank < 1) return op_bad(c, NIB_TYPE, "the input is not rows of f32");
    int64_t C = x->dims[x->rank - 1], rows = 1, dims[GRAPH_MAX_RANK];
    for (int i = 0; i + 1 < x->rank; i++) rows *= x->dims[i];
    memcpy(dims, x->dims, sizeof dims);
    dims[x->rank - 1] = 2;
    uint8_t *y = c->output(c, 0, NIB_DTYPE_U8, x->rank, x->dims);
    float *params = y ? c->output(c, 1, NIB_DTYPE_F32, x->rank, dims) : NULL;
    if (!params) return c->status;
    if (C % 4) return op_bad(c, NIB_SHAPE, "rows of %lld columns: not a multiple of 4", (long long)C);
    const graph_tensor *factor = c->n_in > 1 ? c->in[1] : NULL;
    if (factor && (factor->dtype != NIB_DTYPE_F32 || graph_tensor_elements(factor) != C))
        return op_bad(c, NIB_SHAPE, "the factors are not %lld numbers of f32", (long long)C);
    c->kernels->quantize_rows_u8(x->data, C, factor ? factor->data : NULL, rows, C, y, C, params, 2);
    return NIB_OK;
}

const op op_family_nib_quant[] = {
    {"QuantizeRows", "nib", 1, 1, 2, 2, OP_ROWS_LAST, infer_quantize, eval_quantize, NULL},
    {0},
};

/* One column of the weight as s8; returns its scale and sum. */
static float round_column(const float *w, const float *factor, int64_t K, int64_t stride, int8_t *q, int32_t *sum) {
    float most = 0;
    for (int64_t k = 0; k < K; k++) most = fmaxf(most, fabsf(w[k * stride] / (factor ? factor[k] : 1)));
    float scale = most > 0 ? most / 127 : 1;
    *sum = 0;
    for (int64_t k = 0; k < K; k++) {
        float r = rintf(w[k * stride] / (factor ? factor[k] : 1) / scale);
        q[k] = (int8_t)(r > 127 ? 127 : r < -127 ? -127 : r);
        *sum += q[k];
    }
    return scale;
}

/* x of u8 rows, with their scales and zero points; NULL, and c->status, if the Linear's rows are none. */
static const float *params_of(op_eval *c, const op_linear_shape *s) {
    const graph_tensor *x = c->in[OP_LINEAR_X], *params = c->n_in > OP_LINEAR_PARAMS ? c->in[OP_LINEAR_PARAMS] : NULL;
    const graph_tensor *factor = c->n_in > OP_LINEAR_FACTOR ? c->in[OP_LINEAR_FACTOR] : NULL;
    if (x->dtype != NIB_DTYPE_U8 || !params || params->dtype != NIB_DTYPE_F32 || graph_tensor_elements(params) != 2 * s->M)
        return op_bad(c, NIB_SHAPE, "a Linear of weights in few bits reads rows of u8 and their scale and zero point"), NULL;
    if (factor && (factor->dtype != NIB_DTYPE_F32 || graph_tensor_elements(factor) != s->K))
        return op_bad(c, NIB_SHAPE, "the factors are not %lld numbers of f32", (long long)s->K), NULL;
    return params->data;
}

nib_status op_eval_linear_q8(op_eval *c, const op_linear_shape *s, float *y) {
    const graph_tensor *x = c->in[OP_LINEAR_X], *w = s->w, *factor = c->n_in > OP_LINEAR_FACTOR ? c->in[OP_LINEAR_FACTOR] : NULL;
    const float *params = params_of(c, s);
    if (!params) return c->status;
    int8_t *column = c->scratch(c, (size_t)s->K + 1);
    if (!column) return c->status;
    for (int64_t n = 0; n < s->N; n++) {
        int32_t column_sum;
        const float *from = (const float *)w->data + (s->trans ? n * s->K : n);
        float column_scale = round_column(from, factor ? factor->data : NULL, s->K, s->trans ? 1 : s->N, column, &column_sum);
        for (int64_t m = 0; m < s->M; m++) {
            const uint8_t *row = (const uint8_t *)x->data + m * s->K;
            const float *p = params + 2 * m;
            int64_t sum = 0;
            for (int64_t k = 0; k < s->K; k++) sum += (int64_t)row[k] * column[k];
            y[m * s->y_stride + n] = (float)((double)sum - (double)p[1] * column_sum) * (p[0] * column_scale) + (s->bias ? s->bias[n] : 0);
        }
    }
    return NIB_OK;
}

nib_status op_eval_linear_bf16(op_eval *c, const op_linear_shape *s, float *y) {
    const graph_tensor *x = c->in[0], *w = s->w;
    bool half = x->dtype == NIB_DTYPE_BF16;
    if (!half && x->dtype != NIB_DTYPE_F32) return op_bad(c, NIB_TYPE, "a bf16 Linear reads rows of bf16 or f32");
    for (int64_t m = 0; m < s->M; m++)
        for (int64_t n = 0; n < s->N; n++) {
            double sum = 0;
            for (int64_t k = 0; k < s->K; k++) {
                float a = half ? base_bf16_to_f32(((const uint16_t *)x->data)[m * s->K + k]) : ((const float *)x->data)[m * s->K + k];
                float b = ((const float *)w->data)[s->trans ? n * s->K + k : k * s->N + n];
                sum += (double)a * (double)base_bf16_to_f32(base_f32_to_bf16(b));
            }
            y[m * s->y_stride + n] = (float)(sum + (s->bias ? (double)s->bias[n] : 0));
        }
    return NIB_OK;
}

nib_status op_eval_linear_q4(op_eval *c, const op_linear_shape *s, float *y) {
    const float *params = params_of(c, s);
    if (!params) return c->status;
    if (s->K % KERNEL_Q4_BLOCK) return op_bad(c, NIB_SHAPE, "rows of %lld numbers are no whole blocks of 32", (long long)s->K);
    const graph_tensor *factor = c->n_in > OP_LINEAR_FACTOR ? c->in[OP_LINEAR_FACTOR] : NULL;
    float *column;
    if (!(column = c->scratch(c, (size_t)(s->K + 1) * sizeof *column))) return c->status;
    for (int64_t n = 0; n < s->N; n++) {
        const float *from = (const float *)s->w->data + (s->trans ? n * s->K : n);
        for (int64_t k = 0; k < s->K; k++)
            column[k] = from[k * (s->trans ? 1 : s->N)] * (factor ? 1 / ((const float *)factor->data)[k] : 1);
        op_round_row(KERNEL_WEIGHT_Q4, column, s->K, NULL);
        for (int64_t m = 0; m < s->M; m++) {
            const uint8_t *row = (const uint8_t *)c->in[OP_LINEAR_X]->data + m * s->K;
            double sum = 0;
            for (int64_t k = 0; k < s->K; k++) sum += ((double)row[k] - (double)params[2 * m + 1]) * (double)column[k];
            y[m * s->y_stride + n] = (float)(sum * (double)params[2 * m] + (s->bias ? (double)s->bias[n] : 0));
        }
    }
    return NIB_OK;
}

bool op_round_row(int format, float *row, int64_t K, int8_t *scratch) {
    int32_t sum;
    switch (format) {
    case KERNEL_WEIGHT_F32: return true;
    case KERNEL_WEIGHT_BF16:
        for (int64_t k = 0; k < K; k++) row[k] = base_bf16_to_f32(base_f32_to_bf16(row[k]));
        return true;
    case KERNEL_WEIGHT_Q8: {
        const float scale = round_column(row, NULL, K, 1, scratch, &sum);
        for (int64_t k = 0; k < K; k++) row[k] = scale * (float)scratch[k];
        return true;
    }
    case KERNEL_WEIGHT_Q4:
        for (int64_t k = 0; k < K; k += KERNEL_Q4_BLOCK) {
            float block[KERNEL_Q4_BLOCK] = {0}, scale;
            int8_t q[KERNEL_Q4_BLOCK];
            const int64_t n = K - k < KERNEL_Q4_BLOCK ? K - k : KERNEL_Q4_BLOCK;
            memcpy(block, row + k, (size_t)n * sizeof *row);
            kernel_round_q4(block, 1, q, &scale);
            for (int64_t i = 0; i < n; i++) row[k + i] = scale * (float)q[i];
        }
        return true;
    default: return false;
    }
}
