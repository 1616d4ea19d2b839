/* SPDX-License-Identifier: Apache-2.0
 *
 * Attention's relatives with a state or with bodies, https://onnx.ai/onnx/operators/: LinearAttention CausalConvWithState
 * TensorScatter, and FlexAttention of ai.onnx.preview. Plain: in double, token by token.
 */
#include "op_local.h"

/* ---- LinearAttention */

typedef struct linear {
    int64_t B, T, Hq, Hkv, Dk, Dv, width, cells; /* width: Hq Dv; cells: Dk Dv */
    const double *q, *k, *v, *decay, *beta;      /* [B, T, heads * size] */
    int64_t decays, betas;                       /* numbers of one token */
    double scale;
} linear;

/* One token of one head: the state s [Dk, Dv] is renewed. */
static void linear_write(const linear *l, int64_t token, int64_t h, double *s, double *v) {
    const double *k = l->k + (token * l->Hkv + h) * l->Dk;
    memcpy(v, l->v + (token * l->Hkv + h) * l->Dv, sizeof *v * (size_t)l->Dv);
    for (int64_t d = 0; l->decay && d < l->Dk; d++) {
        const double *g = l->decay + token * l->decays;
        double keep = exp(l->decays == l->Hkv ? g[h] : g[h * l->Dk + d]);
        for (int64_t m = 0; m < l->Dv; m++) s[d * l->Dv + m] *= keep;
    }
    for (int64_t m = 0; l->beta && m < l->Dv; m++) {
        double had = 0;
        for (int64_t d = 0; d < l->Dk; d++) had += s[d * l->Dv + m] * k[d];
        v[m] = l->beta[token * l->betas + (l->betas > 1 ? h : 0)] * (v[m] - had);
    }
    for (int64_t d = 0; d < l->Dk; d++)
        for (int64_t m = 0; m < l->Dv; m++) s[d * l->Dv + m] += k[d] * v[m];
}

static nib_status linear_shapes(op_eval *c, linear *l) {
    const graph_tensor *q = op_arg(c, 0), *k = op_arg(c, 1), *v = op_arg(c, 2), *past = op_arg(c, 3), *decay = op_arg(c, 4),
                       *beta = op_arg(c, 5);
    const char *rule = graph_attr_string(c->node, "update_rule", "gated_delta");
    bool gated = strncmp(rule, "gated", 5) == 0, delta = strstr(rule, "delta") != NULL;
    if (strcmp(rule, "linear") && strcmp(rule, "gated") && strcmp(rule, "delta") && strcmp(rule, "gated_delta"))
        return op_bad(c, NIB_BAD_MODEL, "unknown update rule");
    if (gated != (decay != NULL) || delta != (beta != NULL)) return op_bad(c, NIB_BAD_MODEL, "decay and beta do not fit the rule %s", rule);
    l->Hq = graph_attr_int(c->node, "q_num_heads", 0);
    l->Hkv = graph_attr_int(c->node, "kv_num_heads", 0);
    if (l->Hq < 1 || l->Hkv < 1 || l->Hq > 65536 || l->Hq % l->Hkv)
        return op_bad(c, NIB_BAD_MODEL, "%lld and %lld heads", (long long)l->Hq, (long long)l->Hkv);
    if (q->rank != 3 || k->rank != 3 || v->rank != 3) return op_bad(c, NIB_SHAPE, "query, key and value must have rank 3");
    l->B = q->dims[0];
    l->T = q->dims[1];
    l->Dk = q->dims[2] / l->Hq;
    l->Dv = v->dims[2] / l->Hkv;
    if (!base_mul_i64(l->Hq, l->Dv, &l->width) || !base_mul_i64(l->Dk, l->Dv, &l->cells)) /* of no text, a head may be of any size */
        return op_bad(c, NIB_LIMIT, "heads of %lld and %lld", (long long)l->Dk, (long long)l->Dv);
    const graph_tensor *all[4] = {k, v, decay, beta};
    for (int i = 0; i < 4; i++)
        if (all[i] && (all[i]->rank != 3 || all[i]->dims[0] != l->B || all[i]->dims[1] != l->T))
            return op_bad(c, NIB_SHAPE, "inputs differ in batch or length");
    if (q->dims[2] != l->Hq * l->Dk || k->dims[2] != l->Hkv * l->Dk || v->dims[2] != l->Hkv * l->Dv)
        return op_bad(c, NIB_SHAPE, "heads do not divide the inputs");
    l->decays = decay ? decay->dims[2] : 0;
    l->betas = beta ? beta->dims[2] : 0;
    if ((decay && l->decays != l->Hkv && l->decays != l->Hkv * l->Dk) || (beta && l->betas != l->Hkv && l->betas != 1))
        return op_bad(c, NIB_SHAPE, "decay or beta of another size");
    if (past && (past->rank != 4 || past->dims[0] != l->B || past->dims[1] != l->Hkv || past->dims[2] != l->Dk || past->dims[3] != l->Dv))
        return op_bad(c, NIB_SHAPE, "the past state is not [B, heads, Dk, Dv]");
    float scale = graph_attr_float(c->node, "scale", 0);
    l->scale = scale == 0 ? 1 / sqrt((double)l->Dk) : scale;
    return NIB_OK;
}

static nib_status eval_linear(op_eval *c) {
    linear l = {0};
    const graph_tensor *past = op_arg(c, 3);
    double *in[6] = {0}, *state, *v;
    void *y, *present;
    OP_TRY(linear_shapes(c, &l));
    for (int i = 0; i < 6; i++)
        if (op_arg(c, i)) OP_TRY(op_reals(c, op_arg(c, i), &in[i]));
    l.q = in[0], l.k = in[1], l.v = in[2], l.decay = in[4], l.beta = in[5];
    op_dims out = {3, {l.B, l.T, l.width}}, kept = {4, {l.B, l.Hkv, l.Dk, l.Dv}};
    nib_dtype dtype = op_arg(c, 0)->dtype, state_type = past ? past->dtype : dtype;
    int64_t n = op_count(kept.rank, kept.d), size = l.cells, group = l.Hq / l.Hkv;
    OP_TRY(op_out(c, 0, dtype, &out, &y));
    OP_TRY(op_out(c, 1, state_type, &kept, &present));
    OP_TRY(op_scratch(c, n, sizeof *state, &state));
    OP_TRY(op_scratch(c, l.Dv, sizeof *v, &v));
    for (int64_t i = 0; i < n; i++) state[i] = past ? in[3][i] : 0;
    for (int64_t b = 0; b < l.B; b++)
        for (int64_t t = 0; t < l.T; t++)
            for (int64_t h = 0; h < l.Hkv; h++) {
                double *s = state + (b * l.Hkv + h) * size;
                OP_TRY(op_spend(c, size, 4 + group));
                linear_write(&l, b * l.T + t, h, s, v);
                for (int64_t g = h * group; y && g < (h + 1) * group; g++)
                    for (int64_t m = 0; m < l.Dv; m++) {
                        const double *q = l.q + ((b * l.T + t) * l.Hq + g) * l.Dk;
                        double sum = 0;
                        for (int64_t d = 0; d < l.Dk; d++) sum += q[d] * s[d * l.Dv + m];
                        op_put(dtype, y, ((b * l.T + t) * l.Hq + g) * l.Dv + m, l.scale * sum);
                    }
            }
    for (int64_t i = 0; present && i < n; i++) op_put(state_type, present, i, state[i]);
    return NIB_OK;
}

static nib_status infer_linear(op_infer *c) {
    const graph_type *q = op_in_type(c, 0), *v = op_in_type(c, 2), *past = op_in_type(c, 3);
    int64_t Hq = graph_attr_int(c->node, "q_num_heads", 1), Hkv = graph_attr_int(c->node, "kv_num_heads", 1), width;
    graph_dim out[3] = {NULL}, state[4] = {NULL};
    OP_TRY(op_check_float(c, 0));
    if (Hq < 1 || Hkv < 1 || Hq > 65536) return op_fail(c, NIB_BAD_MODEL, "%lld heads", (long long)Hq);
    if (q->rank == 3 && v->rank == 3) {
        out[0] = state[0] = q->dims[0];
        out[1] = q->dims[1];
        state[1] = op_const(c, Hkv);
        if (graph_dim_is_const(q->dims[2], &width)) state[2] = op_const(c, width / Hq);
        if (graph_dim_is_const(v->dims[2], &width)) state[3] = op_const(c, width / Hkv);
        if (state[3]) out[2] = graph_dim_mul(OP_SYMS(c), state[3], op_const(c, Hq));
    }
    OP_TRY(op_set(c, 0, q->dtype, 3, out));
    return op_set(c, 1, op_in(c, 3) ? past->dtype : q->dtype, 4, state);
}

/* ---- CausalConvWithState: each channel on its own, over what was there before and what is new */

static nib_status eval_conv(op_eval *c) {
    const graph_tensor *x = op_arg(c, 0), *w = op_arg(c, 1), *bias = op_arg(c, 2), *past = op_arg(c, 3);
    const char *activation = graph_attr_string(c->node, "activation", "none");
    bool silu = strcmp(activation, "silu") == 0 || strcmp(activation, "swish") == 0;
    if (!silu && strcmp(activation, "none") != 0) return op_bad(c, NIB_BAD_MODEL, "unknown activation");
    if (x->rank != 3 || w->rank != 3 || w->dims[0] != x->dims[1] || w->dims[1] != 1 || w->dims[2] < 1)
        return op_bad(c, NIB_SHAPE, "input or weight of another shape");
    int64_t B = x->dims[0], C = x->dims[1], L = x->dims[2], K = w->dims[2], P = K - 1;
    if (past && (past->rank != 3 || past->dims[0] != B || past->dims[1] != C || past->dims[2] != P || past->dtype != x->dtype))
        return op_bad(c, NIB_SHAPE, "the past state is not [B, C, k - 1]");
    if (bias && op_count(bias->rank, bias->dims) != C) return op_bad(c, NIB_SHAPE, "there is not one bias a channel");
    if (!op_is_float(x->dtype) || w->dtype != x->dtype) return op_bad(c, NIB_TYPE, "input of type %s", nib_dtype_name(x->dtype));
    if (L > INT64_MAX - P) return op_bad(c, NIB_LIMIT, "input and state are too long");
    op_dims out = op_dims_of(x), kept = {3, {B, C, P}};
    void *y, *present;
    double *line;
    OP_TRY(op_out(c, 0, x->dtype, &out, &y));
    OP_TRY(op_out(c, 1, x->dtype, &kept, &present));
    OP_TRY(op_scratch(c, P + L, sizeof *line, &line));
    for (int64_t row = 0; row < B * C; row++) {
        for (int64_t i = 0; i < P; i++) line[i] = past ? op_number(past, row * P + i) : 0;
        for (int64_t i = 0; i < L; i++) line[P + i] = op_number(x, row * L + i);
        OP_TRY(op_spend(c, L, K));
        for (int64_t i = 0; y && i < L; i++) {
            double sum = bias ? op_number(bias, row % C) : 0;
            for (int64_t k = 0; k < K; k++) sum += line[i + k] * op_number(w, row % C * K + k);
            op_put(x->dtype, y, row * L + i, silu ? sum / (1 + exp(-sum)) : sum);
        }
        for (int64_t i = 0; present && i < P; i++) op_put(x->dtype, present, row * P + i, line[L + i]);
    }
    return NIB_OK;
}

static nib_status infer_conv(op_infer *c) {
    const graph_type *x = op_in_type(c, 0), *w = op_in_type(c, 1);
    int64_t k;
    graph_dim state[3] = {NULL};
    if (x->rank == 3) state[0] = x->dims[0], state[1] = x->dims[1];
    if (w->rank == 3 && graph_dim_is_const(w->dims[2], &k) && k > 0) state[2] = op_const(c, k - 1);
    OP_TRY(op_infer_float_same(c));
    return op_set(c, 1, x->dtype, 3, state);
}

/* ---- TensorScatter: rows of a cache are replaced from a place on, for each text its own */

static nib_status eval_scatter(op_eval *c) {
    const graph_tensor *past = op_arg(c, 0), *update = op_arg(c, 1), *where = op_arg(c, 2);
    bool circular = strcmp(graph_attr_string(c->node, "mode", "linear"), "circular") == 0;
    int axis = op_axis(graph_attr_int(c->node, "axis", -2), past->rank);
    if (axis < 1 || update->rank != past->rank || update->dtype != past->dtype) return op_bad(c, NIB_SHAPE, "cache and update do not fit");
    for (int i = 0; i < past->rank; i++)
        if (i != axis && update->dims[i] != past->dims[i]) return op_bad(c, NIB_SHAPE, "cache and update do not fit");
    int64_t batch = past->dims[0], most = past->dims[axis], n = update->dims[axis];
    if (where && (where->dtype != NIB_DTYPE_I64 || op_count(where->rank, where->dims) != batch))
        return op_bad(c, NIB_SHAPE, "there is not one write index a text");
    op_dims dims = op_dims_of(past);
    char *y;
    OP_TRY(op_out(c, 0, past->dtype, &dims, &y));
    int64_t count = op_count(dims.rank, dims.d), outer = op_count(axis, dims.d), inner = op_count(dims.rank - axis - 1, dims.d + axis + 1);
    size_t size = op_size(past->dtype), run = (size_t)inner * size;
    if (!y || count == 0) return NIB_OK;
    memcpy(y, past->data, (size_t)count * size);
    for (int64_t o = 0; o < outer; o++) {
        int64_t first = where ? op_index(where, o / (outer / batch)) : 0;
        if (n > most || first < 0 || (!circular && first > most - n))
            return op_bad(c, NIB_SHAPE, "%lld rows at %lld of %lld", (long long)n, (long long)first, (long long)most);
        for (int64_t i = 0; i < n; i++)
            memcpy(y + (size_t)(o * most + (first % most + i) % most) * run, (const char *)update->data + (size_t)(o * n + i) * run, run);
    }
    return NIB_OK;
}

/* ---- FlexAttention */

/* Lets a body of the node change a tensor of [B, H, L, S]; `room` is where what it gave is copied to. */
static nib_status modify(op_eval *c, const char *name, graph_tensor *t) {
    const graph_attr *a = graph_find_attr(c->node, name);
    graph_tensor out;
    if (!a) return NIB_OK;
    if (a->kind != GRAPH_ATTR_GRAPH || a->u.graph->n_inputs != 1 || a->u.graph->n_outputs != 1)
        return op_bad(c, NIB_BAD_MODEL, "%s has not one input and one output", name);
    OP_TRY(c->body(c, a->u.graph, (const graph_tensor *const[]){t}, &out));
    bool same = out.dtype == t->dtype && out.rank == t->rank && memcmp(out.dims, t->dims, sizeof(int64_t) * 4) == 0;
    if (!same) return op_bad(c, NIB_SHAPE, "%s changes the shape or the type", name);
    if (t->bytes > 0 && out.data != t->data) memcpy(t->data, out.data, t->bytes);
    return NIB_OK;
}

static nib_status eval_flex(op_eval *c) {
    const graph_tensor *q = op_arg(c, 0), *k = op_arg(c, 1), *v = op_arg(c, 2);
    bool fits = q->rank == 4 && k->rank == 4 && v->rank == 4 && k->dims[0] == q->dims[0] && v->dims[0] == q->dims[0] &&
                k->dims[3] == q->dims[3] && v->dims[1] == k->dims[1] && v->dims[2] == k->dims[2] && k->dims[1] > 0 &&
                q->dims[1] % k->dims[1] == 0;
    if (!fits) return op_bad(c, NIB_SHAPE, "query, key and value do not fit");
    if (!op_is_float(q->dtype) || k->dtype != q->dtype || v->dtype != q->dtype)
        return op_bad(c, NIB_TYPE, "query of type %s", nib_dtype_name(q->dtype));
    int64_t B = q->dims[0], H = q->dims[1], L = q->dims[2], D = q->dims[3], S = k->dims[2], Hkv = k->dims[1], Dv = v->dims[3],
            group = H / Hkv;
    nib_dtype middle = (nib_dtype)graph_attr_int(c->node, "softmax_precision", q->dtype == NIB_DTYPE_F64 ? NIB_DTYPE_F64 : NIB_DTYPE_F32);
    float scale = graph_attr_float(c->node, "scale", (float)(1 / sqrt((double)D)));
    if (!op_is_float(middle)) return op_bad(c, NIB_TYPE, "softmax in %s", nib_dtype_name(middle));
    graph_tensor scores = {.dtype = middle, .rank = 4, .dims = {B, H, L, S}};
    op_dims out = {4, {B, H, L, Dv}};
    double *vq, *vk, *vv;
    void *y;
    OP_TRY(op_reals(c, q, &vq));
    OP_TRY(op_reals(c, k, &vk));
    OP_TRY(op_reals(c, v, &vv));
    int64_t n = op_count(4, scores.dims);
    OP_TRY(op_scratch(c, n, op_size(middle), &scores.data));
    OP_TRY(op_out(c, 0, q->dtype, &out, &y));
    scores.bytes = (size_t)n * op_size(middle);
    for (int64_t i = 0; i < n; i++) {
        int64_t row = i / S, head = row / L, kv = (head / H * Hkv + head % H / group) * S + i % S;
        double sum = 0;
        if (i % S == 0) OP_TRY(op_spend(c, S, D + Dv));
        for (int64_t d = 0; d < D; d++) sum += vq[row * D + d] * vk[kv * D + d];
        op_put(middle, scores.data, i, sum * scale);
    }
    OP_TRY(modify(c, "score_mod", &scores));
    for (int64_t row = 0; row < B * H * L; row++) {
        double most = -INFINITY, sum = 0;
        for (int64_t s = 0; s < S; s++) most = fmax(most, op_number(&scores, row * S + s));
        for (int64_t s = 0; s < S; s++) sum += most > -INFINITY ? exp(op_number(&scores, row * S + s) - most) : 0;
        for (int64_t s = 0; s < S; s++)
            op_put(middle, scores.data, row * S + s, sum > 0 ? exp(op_number(&scores, row * S + s) - most) / sum : 0);
    }
    OP_TRY(modify(c, "prob_mod", &scores));
    for (int64_t row = 0; y && row < B * H * L; row++) {
        int64_t head = row / L, kv = (head / H * Hkv + head % H / group) * S;
        for (int64_t m = 0; m < Dv; m++) {
            double sum = 0;
            for (int64_t s = 0; s < S; s++) sum += op_number(&scores, row * S + s) * vv[(kv + s) * Dv + m];
            op_put(q->dtype, y, row * Dv + m, sum);
        }
    }
    return NIB_OK;
}

static nib_status infer_flex(op_infer *c) {
    const graph_type *q = op_in_type(c, 0), *v = op_in_type(c, 2);
    graph_dim dims[4] = {NULL};
    for (int i = 0; q->rank == 4 && i < 3; i++) dims[i] = q->dims[i];
    if (v->rank == 4) dims[3] = v->dims[3];
    OP_TRY(op_check_float(c, 0));
    return op_set(c, 0, q->dtype, 4, dims);
}

const op op_family_state[] = {
    {"CausalConvWithState", "", 27, 2, 4, 2, OP_ROWS_MIXED, infer_conv, eval_conv, NULL},
    {"FlexAttention", "ai.onnx.preview", 1, 3, 3, 1, OP_ROWS_MIXED, infer_flex, eval_flex, NULL},
    {"LinearAttention", "", 27, 3, 6, 2, OP_ROWS_MIXED, infer_linear, eval_linear, NULL},
    {"TensorScatter", "", 24, 2, 3, 1, OP_ROWS_MIXED, op_infer_same, eval_scatter, NULL},
    {0},
};
