/* SPDX-License-Identifier: Apache-2.0
 *
 * Attention with its projection, of domain com.microsoft: Attention, QAttention (the same on bytes).
 *
 *   input [B, S, I], weights [I, H Dq + H Dq + H Dv], bias [the same], mask_index?, past [2, B, H, P, D]?, attention_bias?
 *   -> [B, S, H Dv], present [2, B, H, P + S, D]
 */
#include "op_contrib_attention.h"

typedef struct packed {
    int64_t B, S, I, H, D, Dv, width; /* width: of the weights */
    nib_dtype dtype;
    int past_input;
} packed;

static nib_status packed_of(op_eval *c, packed *p) {
    const graph_tensor *x = op_arg(c, 0), *w = op_arg(c, 1);
    const int64_t *sizes;
    int64_t count = graph_attr_ints(c->node, "qkv_hidden_sizes", &sizes);
    p->H = graph_attr_int(c->node, "num_heads", 0);
    if (p->H < 1 || p->H > 65536) return op_bad(c, NIB_BAD_MODEL, "%lld heads", (long long)p->H);
    if (graph_attr_int(c->node, "do_rotary", 0) || graph_attr_int(c->node, "past_present_share_buffer", 0))
        return op_bad(c, NIB_UNSUPPORTED, "do_rotary or past_present_share_buffer");
    if (x->rank != 3 || w->rank != 2 || x->dims[2] != w->dims[0]) return op_bad(c, NIB_SHAPE, "input and weights do not fit");
    p->B = x->dims[0];
    p->S = x->dims[1];
    p->I = x->dims[2];
    p->width = w->dims[1];
    int64_t q = p->width / 3, v = q;
    if (count > 0) {
        if (count != 3 || sizes[0] != sizes[1] || sizes[0] < 0 || sizes[2] < 0 || sizes[0] > p->width || sizes[2] > p->width)
            return op_bad(c, NIB_BAD_MODEL, "qkv_hidden_sizes are not three fitting numbers");
        q = sizes[0];
        v = sizes[2];
    }
    if (q % p->H || v % p->H || 2 * q + v != p->width)
        return op_bad(c, NIB_SHAPE, "%lld columns for %lld heads", (long long)p->width, (long long)p->H);
    p->D = q / p->H;
    p->Dv = v / p->H;
    return NIB_OK;
}

/* z [B S, width] is the projected input, bias included. */
static nib_status packed_attend(op_eval *c, const packed *p, const double *z, int mask_input, int bias_input) {
    const graph_tensor *past = op_arg(c, p->past_input);
    int64_t P = 0, lines = op_count(2, (int64_t[]){p->B, p->H}), HD = p->H * p->D, step = p->S * p->width;
    const double *old;
    double *q, *k, *v;
    op_mask mask = {0};
    void *y, *present;
    if (past) {
        bool fits = past->rank == 5 && past->dims[0] == 2 && past->dims[1] == p->B && past->dims[2] == p->H && past->dims[4] == p->D;
        if (!fits || p->D != p->Dv) return op_bad(c, NIB_SHAPE, "past does not fit");
        P = past->dims[3];
    }
    OP_TRY(op_float_input(c, p->past_input, &old));
    OP_TRY(op_split_heads(c, &(op_strided){z, step, p->D, p->width}, p->B, p->H, p->S, p->D, NULL, &q));
    OP_TRY(op_split_heads(c, &(op_strided){z + HD, step, p->D, p->width}, p->B, p->H, p->S, p->D, NULL, &k));
    OP_TRY(op_split_heads(c, &(op_strided){z + 2 * HD, step, p->Dv, p->width}, p->B, p->H, p->S, p->Dv, NULL, &v));
    OP_TRY(op_join_past(c, old, P, k, p->S, lines, p->D, &k));
    OP_TRY(op_join_past(c, old ? old + lines * P * p->D : NULL, P, v, p->S, lines, p->Dv, &v));
    OP_TRY(op_mask_of(c, mask_input, bias_input, p->B, p->H, p->S, P + p->S, &mask));
    float scale = graph_attr_float(c->node, "scale", 0);
    op_scores s = {.B = p->B,
                   .H = p->H,
                   .K = p->H,
                   .S = p->S,
                   .T = P + p->S,
                   .D = p->D,
                   .Dv = p->Dv,
                   .q = q,
                   .k = k,
                   .v = v,
                   .scale = scale != 0 ? (double)scale : 1 / sqrt((double)p->D),
                   .bias = op_mask_bias,
                   .user = &mask,
                   .masked_nan = true};
    OP_TRY(op_out(c, 0, p->dtype, &(op_dims){3, {p->B, p->S, p->H * p->Dv}}, &y));
    if (c->node->n_outputs > 1 && c->node->outputs[1]) {
        if (p->D != p->Dv) return op_bad(c, NIB_UNSUPPORTED, "a present of two sizes");
        OP_TRY(op_out(c, 1, p->dtype, &(op_dims){5, {2, p->B, p->H, s.T, p->D}}, &present));
        int64_t n = op_count(3, (int64_t[]){lines, s.T, p->D});
        for (int64_t i = 0; present && i < n; i++) {
            op_put(p->dtype, present, i, k[i]);
            op_put(p->dtype, present, n + i, v[i]);
        }
    }
    return op_attend(c, &s, p->dtype, y);
}

static nib_status project(op_eval *c, const packed *p, const double *x, const double *w, const double *bias, const double *factor,
                          double **z) {
    int64_t rows = op_count(2, (int64_t[]){p->B, p->S});
    OP_TRY(op_scratch(c, op_count(2, (int64_t[]){rows, p->width}), sizeof **z, z));
    for (int64_t r = 0; p->width > 0 && r < rows; r++) {
        double *to = *z + r * p->width;
        memset(to, 0, sizeof *to * (size_t)p->width);
        OP_TRY(op_spend(c, p->I, p->width));
        for (int64_t i = 0; i < p->I; i++)
            for (int64_t k = 0; k < p->width; k++) to[k] += x[r * p->I + i] * w[i * p->width + k];
        for (int64_t k = 0; k < p->width; k++) to[k] = to[k] * (factor ? factor[k] : 1) + (bias ? bias[k] : 0);
    }
    return NIB_OK;
}

static nib_status eval_attention(op_eval *c) {
    packed p = {.dtype = op_arg(c, 0)->dtype, .past_input = 4};
    const double *x, *w, *bias;
    double *z;
    OP_TRY(packed_of(c, &p));
    if (op_arg(c, 6)) return op_bad(c, NIB_UNSUPPORTED, "past_sequence_length");
    OP_TRY(op_float_input(c, 0, &x));
    OP_TRY(op_float_input(c, 1, &w));
    OP_TRY(op_float_row(c, 2, p.width, &bias));
    OP_TRY(project(c, &p, x, w, bias, NULL, &z));
    return packed_attend(c, &p, z, 3, 5);
}

/* input, weight, bias, input_scale, weight_scale, mask_index?, input_zero?, weight_zero?, past? */
static nib_status eval_quantized(op_eval *c) {
    const graph_tensor *x = op_arg(c, 0), *w = op_arg(c, 1), *scales = op_arg(c, 4), *zeros = op_arg(c, 7);
    packed p = {.dtype = op_arg(c, 2)->dtype, .past_input = 8};
    const double *bias;
    double *xv, *wv, *z, *factor, scale, zero;
    OP_TRY(packed_of(c, &p));
    if ((x->dtype != NIB_DTYPE_U8 && x->dtype != NIB_DTYPE_I8) || (w->dtype != NIB_DTYPE_U8 && w->dtype != NIB_DTYPE_I8))
        return op_bad(c, NIB_TYPE, "input of type %s", nib_dtype_name(x->dtype));
    OP_TRY(op_float_row(c, 2, p.width, &bias));
    OP_TRY(op_one_number(c, 3, 1, &scale));
    OP_TRY(op_one_number(c, 6, 0, &zero));
    int64_t ns = op_count(scales->rank, scales->dims), nz = zeros ? op_count(zeros->rank, zeros->dims) : 1;
    if ((ns != 1 && ns != p.width) || (nz != 1 && nz != p.width))
        return op_bad(c, NIB_SHAPE, "scales or zero points do not fit the weights");
    OP_TRY(op_reals(c, x, &xv));
    OP_TRY(op_reals(c, w, &wv));
    OP_TRY(op_scratch(c, p.width, sizeof *factor, &factor));
    int64_t n = op_count(3, x->dims), m = op_count(2, w->dims);
    for (int64_t i = 0; i < n; i++) xv[i] -= zero;
    for (int64_t i = 0; zeros && i < m; i++) wv[i] -= op_number(zeros, nz == 1 ? 0 : i % p.width);
    for (int64_t k = 0; k < p.width; k++) factor[k] = scale * op_number(scales, ns == 1 ? 0 : k);
    OP_TRY(project(c, &p, xv, wv, bias, factor, &z));
    return packed_attend(c, &p, z, 5, -1);
}

static nib_status infer_packed(op_infer *c, nib_dtype dtype, int past_input) {
    const graph_type *x = op_in_type(c, 0), *w = op_in_type(c, 1), *past = op_in_type(c, past_input);
    const int64_t *sizes;
    int64_t H = graph_attr_int(c->node, "num_heads", 0), width = -1;
    bool given = graph_attr_ints(c->node, "qkv_hidden_sizes", &sizes) == 3;
    graph_symtab *t = OP_SYMS(c);
    if (H < 1) return op_fail(c, NIB_BAD_MODEL, "%lld heads", (long long)H);
    if (x->rank >= 0 && x->rank != 3) return op_fail(c, NIB_SHAPE, "input of rank %d", x->rank);
    graph_dim dims[3] = {x->rank == 3 ? x->dims[0] : NULL, x->rank == 3 ? x->dims[1] : NULL, NULL};
    if (given) width = sizes[2];
    else if (w->rank == 2 && graph_dim_is_const(w->dims[1], &width)) width /= 3;
    if (width >= 0) dims[2] = op_const(c, width);
    graph_dim total = dims[1];
    if (op_in(c, past_input)) total = past->rank == 5 && past->dims[3] && total ? graph_dim_add(t, past->dims[3], total) : NULL;
    OP_TRY(op_set(c, 0, dtype, 3, dims));
    return op_set(c, 1, dtype, 5,
                  (graph_dim[]){op_const(c, 2), dims[0], op_const(c, H), total, width >= 0 ? op_const(c, width / H) : NULL});
}

static nib_status infer_attention(op_infer *c) {
    OP_TRY(op_check_float(c, 0));
    return infer_packed(c, op_in_type(c, 0)->dtype, 4);
}
static nib_status infer_quantized(op_infer *c) { return infer_packed(c, op_in_type(c, 2)->dtype, 8); }

const op op_family_contrib_packed[] = {
    {"Attention", OP_MS, 1, 2, 7, 2, OP_ROWS_MIXED, infer_attention, eval_attention, NULL},
    {"QAttention", OP_MS, 1, 5, 9, 2, OP_ROWS_MIXED, infer_quantized, eval_quantized, NULL},
    {0},
};
