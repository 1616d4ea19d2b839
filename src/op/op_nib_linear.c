/* SPDX-License-Identifier: Apache-2.0
 *
 * nib.Linear: what it means.
 *
 *   Linear(x [.., K], w, bias [N]?, residual [.., N]?, params?, w2?, w3?, factor [K]?) -> [.., N]
 *       z = x w + bias; y = activation(z) + residual. trans_w = 0: w is [K, N]; 1: [N, K].
 *       activation: none, gelu_erf, gelu_tanh, tanh, silu, relu, sigmoid.
 *       A weight is f32, or f16 or bf16 that stand for their f32 forms: nothing is rounded to them.
 *       The columns of more weights stand behind those of w: what else reads the same rows. bias is as long as all of them.
 *       gate = "first": z is [.., 2 N], y = activation(first half of z) * second half; "second": the other way. No residual.
 *       What weights are rounded to, and what x, params and factor are then, is said by the weights' type: see op_nib_quant.c.
 */
#include "op_nib.h"
#include "op_nib_operands.h"
#include "op_local.h"
#include "base/base_half.h"

static nib_status infer_linear(op_infer *c) {
    const graph_type *x = op_in_type(c, OP_LINEAR_X);
    op_linear l;
    op_linear_get(c->node, &l);
    const bool trans = l.trans, gate = l.gate != OP_GATE_NONE;
    graph_dim columns = op_const(c, 0);
    if (l.activation < 0 || l.gate < 0) return op_fail(c, NIB_BAD_MODEL, "unknown activation or gate");
    if (!l.n_weights) return op_fail(c, NIB_BAD_MODEL, "it has no weight");
    if (graph_find_attr(c->node, "weight")) return op_fail(c, NIB_BAD_MODEL, "a weight's format is said by its type, not by an attribute");
    if (gate && l.residual) return op_fail(c, NIB_BAD_MODEL, "a gated Linear has no residual");
    if (x->rank == 0) return op_fail(c, NIB_SHAPE, "the input is a scalar");
    for (int i = 0; i < l.n_weights; i++) {
        const graph_type *w = &l.weights[i]->type;
        int64_t a, b;
        if (w->rank >= 0 && w->rank != 2) return op_fail(c, NIB_SHAPE, "the weight has rank %d, not 2", w->rank);
        if (x->rank > 0 && w->rank == 2 && graph_dim_is_const(x->dims[x->rank - 1], &a) && graph_dim_is_const(w->dims[trans], &b) && a != b)
            return op_fail(c, NIB_SHAPE, "input rows have %lld columns, the weight wants %lld", (long long)a, (long long)b);
        columns = w->rank == 2 && columns && w->dims[!trans] ? graph_dim_add(OP_SYMS(c), columns, w->dims[!trans]) : NULL;
    }
    if (gate) {
        int64_t n;
        bool known = graph_dim_is_const(columns, &n);
        if (known && n % 2) return op_fail(c, NIB_SHAPE, "a gate of %lld columns", (long long)n);
        columns = known ? op_const(c, n / 2) : NULL;
    }
    graph_type y = *x;
    if (y.rank > 0) y.dims[y.rank - 1] = columns;
    return op_set(c, 0, NIB_DTYPE_F32, y.rank, y.rank >= 0 ? y.dims : NULL);
}

static void plain_linear(const op_linear_shape *s, const float *x, float *y) {
    const float *w = s->w->data;
    for (int64_t m = 0; m < s->M; m++)
        for (int64_t n = 0; n < s->N; n++) {
            double sum = 0;
            for (int64_t k = 0; k < s->K; k++) sum += (double)x[m * s->K + k] * (double)w[s->trans ? n * s->K + k : k * s->N + n];
            y[m * s->y_stride + n] = (float)(sum + (s->bias ? (double)s->bias[n] : 0));
        }
}

/* y = x w + bias for one of the weights: its columns. */
static nib_status product(op_eval *c, op_linear_shape *s, int format, float *y) {
    graph_tensor wide = *s->w;
    if (base_is_half(wide.dtype)) {
        float *to;
        size_t n = (size_t)graph_tensor_elements(s->w);
        OP_TRY(op_scratch(c, (int64_t)n, sizeof *to, &to));
        base_widen(wide.dtype, wide.data, n, to);
        wide.dtype = NIB_DTYPE_F32;
        wide.data = to;
        wide.bytes = n * sizeof *to;
        s->w = &wide;
    }
    switch (format) {
    case KERNEL_WEIGHT_F32: plain_linear(s, c->in[OP_LINEAR_X]->data, y); return NIB_OK;
    case KERNEL_WEIGHT_BF16: return op_eval_linear_bf16(c, s, y);
    case KERNEL_WEIGHT_Q8: return op_eval_linear_q8(c, s, y);
    case KERNEL_WEIGHT_Q4: return op_eval_linear_q4(c, s, y);
    default: return op_bad(c, NIB_TYPE, "its weights are of a type that nothing multiplies with");
    }
}

/* Types, and that weights, bias and residual fit; *columns: of z. */
static nib_status check_linear(op_eval *c, const op_linear *l, const op_linear_shape *s, int64_t *columns) {
    const graph_tensor *x = c->in[OP_LINEAR_X], *bias = op_arg(c, OP_LINEAR_BIAS), *residual = op_arg(c, OP_LINEAR_RESIDUAL);
    for (int i = l->weight_format == KERNEL_WEIGHT_F32 ? 0 : 1; i < c->n_in; i++)
        if (c->in[i] && i != OP_LINEAR_PARAMS && c->in[i]->dtype != NIB_DTYPE_F32 &&
            !(op_is_linear_weight(c->node, i) && op_is_weight_type(c->in[i]->dtype)))
            return op_bad(c, NIB_TYPE, "input %d is %s, not f32", i, nib_dtype_name(c->in[i]->dtype));
    *columns = 0;
    if (l->activation < 0 || l->gate < 0 || !l->n_weights || x->rank < 1) return op_bad(c, NIB_SHAPE, "input and weight do not fit");
    for (int i = 0; i < l->n_weights; i++) {
        const graph_tensor *w = op_arg(c, op_linear_weight(i));
        if (!w || w->rank != 2 || w->dims[s->trans] != s->K || w->dims[!s->trans] > INT64_MAX - *columns)
            return op_bad(c, NIB_SHAPE, "input and weight do not fit");
        *columns += w->dims[!s->trans];
    }
    if (l->gate && (*columns % 2 || residual)) return op_bad(c, NIB_SHAPE, "a gate halves the columns, and has no residual");
    if (bias && graph_tensor_elements(bias) != *columns)
        return op_bad(c, NIB_SHAPE, "the bias does not have %lld elements", (long long)*columns);
    return NIB_OK;
}

static nib_status eval_linear(op_eval *c) {
    const graph_tensor *x = c->in[OP_LINEAR_X], *bias = op_arg(c, OP_LINEAR_BIAS), *residual = op_arg(c, OP_LINEAR_RESIDUAL);
    op_linear l;
    op_linear_get(c->node, &l);
    const kernel_activation act = (kernel_activation)l.activation;
    op_linear_shape s = {.M = 1, .K = x->rank ? x->dims[x->rank - 1] : 1, .trans = l.trans};
    for (int i = 0; i + 1 < x->rank; i++) s.M *= x->dims[i];
    op_dims dims = op_dims_of(x);
    float *y, *z;
    OP_TRY(check_linear(c, &l, &s, &s.y_stride));
    int64_t N = l.gate ? s.y_stride / 2 : s.y_stride;
    dims.d[x->rank - 1] = N;
    OP_TRY(op_out(c, 0, NIB_DTYPE_F32, &dims, &y));
    if (residual && graph_tensor_elements(residual) != s.M * N) return op_bad(c, NIB_SHAPE, "the residual does not fit");
    if (N == 0) return NIB_OK; /* [2^60, 0] costs nothing */
    z = y;
    if (l.gate) OP_TRY(op_scratch(c, op_count(2, (int64_t[]){s.M, s.y_stride}), sizeof *z, &z));
    for (int64_t i = 0, at = 0; i < l.n_weights; i++, at += s.N) {
        s.w = op_arg(c, op_linear_weight((int)i));
        s.N = s.w->dims[!s.trans];
        s.bias = bias ? (const float *)bias->data + at : NULL;
        OP_TRY(product(c, &s, l.weight_format, z + at));
    }
    for (int64_t m = 0; l.gate && m < s.M; m++) {
        const bool second = l.gate == OP_GATE_SECOND;
        const float *a = z + m * s.y_stride + (second ? N : 0), *b = z + m * s.y_stride + (second ? 0 : N);
        c->kernels->activation_f32(act, a, N, y + m * N);
        c->kernels->mul_f32(y + m * N, b, N, y + m * N);
    }
    if (!l.gate && act != KERNEL_ACT_NONE) c->kernels->activation_f32(act, y, s.M * N, y);
    if (residual) c->kernels->add_f32(y, residual->data, s.M * N, y);
    return NIB_OK;
}

const op op_family_nib_linear[] = {
    {"Linear", "nib", 1, 2, OP_LINEAR_INPUTS, 1, OP_ROWS_LAST, infer_linear, eval_linear, op_expand_linear},
    {0},
};
