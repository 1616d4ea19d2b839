/* SPDX-License-Identifier: Apache-2.0
 *
 * Attention of domain com.microsoft: MultiHeadAttention GroupQueryAttention RotaryEmbedding, and what they share with
 * Attention and QAttention (op_contrib_packed.c).
 */
#include "op_contrib_attention.h"

/* ---- softmax(scale q k + bias) v */

/* Probabilities of one query into p [T]. narrow: a score and its bias are added in f32, as ONNX Runtime adds them:
 * beside a bias of -1e4, where all keys have it, the rounding decides. */
static void score_row(const op_scores *s, int64_t b, int64_t h, int64_t i, bool narrow, double *p) {
    const double *q = s->q + ((b * s->H + h) * s->S + i) * s->D, *k = s->k + (b * s->K + h / (s->H / s->K)) * s->T * s->D;
    double most = s->sinks ? s->sinks[h] : -INFINITY, sum = 0;
    for (int64_t j = 0; j < s->T; j++) {
        double bias = s->bias(s->user, b, h, i, j), v = 0;
        p[j] = -INFINITY;
        if (bias == -INFINITY) continue;
        for (int64_t d = 0; d < s->D; d++) v += q[d] * k[j * s->D + d];
        v *= s->scale;
        if (s->softcap > 0) v = s->softcap * tanh(v / s->softcap);
        p[j] = narrow ? (double)((float)v + (float)bias) : v + bias;
        if (p[j] > most) most = p[j];
    }
    for (int64_t j = 0; j < s->T; j++) {
        p[j] = p[j] == -INFINITY ? 0 : exp(p[j] - most);
        sum += p[j];
    }
    if (s->sinks) sum += exp(s->sinks[h] - most);
    for (int64_t j = 0; j < s->T && (sum != 0 || s->masked_nan); j++)
        p[j] /= sum; /* 0 / 0 where all keys are at -infinity */
}

nib_status op_attend(op_eval *c, const op_scores *s, nib_dtype dtype, void *y) {
    double *p, *row;
    OP_TRY(op_scratch(c, s->T, sizeof *p, &p));
    OP_TRY(op_scratch(c, s->Dv, sizeof *row, &row));
    for (int64_t b = 0; y && s->Dv > 0 && b < s->B; b++)
        for (int64_t h = 0; h < s->H; h++)
            for (int64_t i = 0; i < s->S; i++) {
                const double *v = s->v + (b * s->K + h / (s->H / s->K)) * s->T * s->Dv;
                OP_TRY(op_spend(c, s->T, s->D + s->Dv));
                score_row(s, b, h, i, dtype == NIB_DTYPE_F32, p);
                memset(row, 0, sizeof *row * (size_t)s->Dv);
                for (int64_t j = 0; j < s->T; j++)
                    for (int64_t d = 0; p[j] != 0 && d < s->Dv; d++) row[d] += p[j] * v[j * s->Dv + d];
                for (int64_t d = 0; d < s->Dv; d++) op_put(dtype, y, ((b * s->S + i) * s->H + h) * s->Dv + d, row[d]);
            }
    return NIB_OK;
}

nib_status op_split_heads(op_eval *c, const op_strided *x, int64_t B, int64_t H, int64_t S, int64_t D, const double *bias, double **out) {
    OP_TRY(op_scratch(c, op_count(4, (int64_t[]){B, H, S, D}), sizeof **out, out));
    for (int64_t b = 0; b < B; b++)
        for (int64_t h = 0; h < H; h++)
            for (int64_t s = 0; s < S; s++)
                for (int64_t d = 0; d < D; d++)
                    (*out)[((b * H + h) * S + s) * D + d] = x->v[b * x->b + h * x->h + s * x->s + d] + (bias ? bias[h * D + d] : 0);
    return NIB_OK;
}

nib_status op_join_past(op_eval *c, const double *past, int64_t P, const double *now, int64_t S, int64_t lines, int64_t D, double **out) {
    if (P > INT64_MAX - S) return op_bad(c, NIB_LIMIT, "too many keys");
    OP_TRY(op_scratch(c, op_count(3, (int64_t[]){lines, P + S, D}), sizeof **out, out));
    for (int64_t l = 0; l < lines; l++) {
        if (P * D > 0) memcpy(*out + l * (P + S) * D, past + l * P * D, sizeof **out * (size_t)(P * D));
        if (S * D > 0) memcpy(*out + (l * (P + S) + P) * D, now + l * S * D, sizeof **out * (size_t)(S * D));
    }
    return NIB_OK;
}

/* ---- masks */

nib_status op_mask_of(op_eval *c, int mask_input, int bias_input, int64_t B, int64_t H, int64_t S, int64_t T, op_mask *m) {
    const graph_tensor *mask = op_arg(c, mask_input), *bias = bias_input < 0 ? NULL : op_arg(c, bias_input);
    m->filter = graph_attr_float(c->node, "mask_filter_value", -10000.0f);
    m->causal = graph_attr_int(c->node, "unidirectional", 0) != 0;
    m->B = B;
    m->S = S;
    m->T = T;
    m->mask = mask;
    if (mask) {
        int64_t d0 = mask->rank > 0 ? mask->dims[0] : 0;
        bool lengths = mask->rank == 1 && (d0 == B || d0 == 2 * B), whole = mask->rank == 2 && d0 == B && mask->dims[1] == T;
        bool rows = mask->rank == 3 && d0 == B && mask->dims[1] == S && mask->dims[2] == T;
        if (mask->dtype != NIB_DTYPE_I32) return op_bad(c, NIB_TYPE, "a mask of type %s", nib_dtype_name(mask->dtype));
        if (!lengths && !whole && !rows)
            return op_bad(c, mask->rank == 1 || mask->rank == 4 ? NIB_UNSUPPORTED : NIB_SHAPE, "a mask of this shape");
        m->begins = mask->rank == 1 && d0 == 2 * B && B > 0;
    }
    if (bias) {
        if (bias->rank != 4 || (bias->dims[0] != 1 && bias->dims[0] != B) || (bias->dims[1] != 1 && bias->dims[1] != H) ||
            bias->dims[2] != S || bias->dims[3] != T)
            return op_bad(c, NIB_SHAPE, "attention_bias does not fit");
        m->b = bias->dims[0] == 1 ? 0 : bias->dims[1] * S * T;
        m->h = bias->dims[1] == 1 ? 0 : S * T;
    }
    return bias ? op_float_input(c, bias_input, &m->bias) : NIB_OK;
}

double op_mask_bias(const void *user, int64_t b, int64_t h, int64_t i, int64_t j) {
    const op_mask *m = user;
    double v = m->bias ? m->bias[b * m->b + h * m->h + i * m->T + j] : 0;
    if (m->causal && j > m->T - m->S + i) return -INFINITY;
    if (!m->mask) return v;
    bool open = m->mask->rank == 3   ? op_index(m->mask, (b * m->S + i) * m->T + j) > 0
                : m->mask->rank == 2 ? op_index(m->mask, b * m->T + j) > 0
                                     : j < op_index(m->mask, b) && !(m->begins && j < op_index(m->mask, m->B + b));
    return open ? v : v + m->filter;
}

/* ---- MultiHeadAttention */

typedef struct multi {
    int64_t B, H, S, L, P, D, Dv; /* L: new keys; P: old ones */
    op_strided q, k, v;
    bool ready; /* keys and values are [B, H, L, D] already */
} multi;

static nib_status multi_of(op_eval *c, multi *m) {
    const graph_tensor *q = op_arg(c, 0), *k = op_arg(c, 1), *v = op_arg(c, 2);
    m->H = graph_attr_int(c->node, "num_heads", 0);
    if (m->H < 1 || m->H > 65536) return op_bad(c, NIB_BAD_MODEL, "%lld heads", (long long)m->H);
    for (int i = 1; i < 3; i++)
        if (op_arg(c, i) && op_arg(c, i)->dtype != q->dtype)
            return op_bad(c, NIB_TYPE, "input %d is %s", i, nib_dtype_name(op_arg(c, i)->dtype));
    OP_TRY(op_float_input(c, 0, &m->q.v));
    OP_TRY(op_float_input(c, 1, &m->k.v));
    OP_TRY(op_float_input(c, 2, &m->v.v));
    bool fits = q->rank == 3 || q->rank == 5;
    if (fits) {
        m->B = q->dims[0];
        m->S = m->L = q->dims[1];
    }
    if (fits && q->rank == 5) { /* [B, S, H, 3, D] */
        fits = !k && !v && q->dims[2] == m->H && q->dims[3] == 3;
        m->D = m->Dv = q->dims[4];
        m->q = m->k = m->v = (op_strided){m->q.v, m->S * m->H * 3 * m->D, 3 * m->D, m->H * 3 * m->D};
        m->k.v += fits && m->D > 0 && m->B * m->S > 0 ? m->D : 0;
        m->v.v += fits && m->D > 0 && m->B * m->S > 0 ? 2 * m->D : 0;
        return fits ? NIB_OK : op_bad(c, NIB_SHAPE, "packed queries, keys and values do not fit");
    }
    fits = fits && k && q->dims[2] % m->H == 0 && k->dims[0] == m->B;
    if (!fits) return op_bad(c, NIB_SHAPE, "query and key do not fit");
    m->D = q->dims[2] / m->H;
    m->q = (op_strided){m->q.v, m->S * q->dims[2], m->D, q->dims[2]};
    if (k->rank == 5) { /* [B, L, H, 2, D] */
        m->L = k->dims[1];
        m->Dv = m->D;
        fits = !v && k->dims[2] == m->H && k->dims[3] == 2 && k->dims[4] == m->D;
        m->v = m->k = (op_strided){m->k.v, m->L * m->H * 2 * m->D, 2 * m->D, m->H * 2 * m->D};
        m->v.v += fits && m->D > 0 && m->B * m->L > 0 ? m->D : 0;
    } else if (k->rank == 4 && v && v->rank == 4) {
        m->L = k->dims[2];
        m->Dv = v->dims[3];
        m->ready = true;
        fits = k->dims[1] == m->H && v->dims[0] == m->B && v->dims[1] == m->H && v->dims[2] == m->L && k->dims[3] == m->D;
        m->k = (op_strided){m->k.v, m->H * m->L * m->D, m->L * m->D, m->D};
        m->v = (op_strided){m->v.v, m->H * m->L * m->Dv, m->L * m->Dv, m->Dv};
    } else {
        fits = k->rank == 3 && v && v->rank == 3 && v->dims[0] == m->B && v->dims[1] == k->dims[1] && k->dims[2] == q->dims[2] &&
               v->dims[2] % m->H == 0;
        if (fits) {
            m->L = k->dims[1];
            m->Dv = v->dims[2] / m->H;
            m->k = (op_strided){m->k.v, m->L * k->dims[2], m->D, k->dims[2]};
            m->v = (op_strided){m->v.v, m->L * v->dims[2], m->Dv, v->dims[2]};
        }
    }
    return fits ? NIB_OK : op_bad(c, NIB_SHAPE, "keys and values do not fit");
}

static bool is_past(const graph_tensor *t, int64_t B, int64_t H, int64_t D) {
    return t->rank == 4 && t->dims[0] == B && t->dims[1] == H && t->dims[3] == D;
}

static nib_status put_present(op_eval *c, int output, nib_dtype dtype, const op_dims *dims, const double *v) {
    void *y;
    OP_TRY(op_out(c, output, dtype, dims, &y));
    int64_t n = y ? op_count(dims->rank, dims->d) : 0;
    for (int64_t i = 0; i < n; i++) op_put(dtype, y, i, v[i]);
    return NIB_OK;
}

static nib_status eval_multi(op_eval *c) {
    const graph_tensor *q = op_arg(c, 0), *past_k = op_arg(c, 6), *past_v = op_arg(c, 7);
    multi m = {0};
    op_mask mask = {0};
    const double *bias, *old_k, *old_v;
    double *qs, *ks, *vs;
    int64_t width, both;
    void *y;
    OP_TRY(multi_of(c, &m));
    if (op_arg(c, 8) || op_arg(c, 9)) return op_bad(c, NIB_UNSUPPORTED, "past_sequence_length or cache_indirection");
    if (c->node->n_outputs > 3 && c->node->outputs[3]) return op_bad(c, NIB_UNSUPPORTED, "output qk");
    if (!past_k != !past_v ||
        (past_k && (!is_past(past_k, m.B, m.H, m.D) || !is_past(past_v, m.B, m.H, m.Dv) || past_k->dims[2] != past_v->dims[2])))
        return op_bad(c, NIB_SHAPE, "past key and value do not fit");
    m.P = past_k ? past_k->dims[2] : 0;
    if (!base_mul_i64(m.H, m.Dv, &width) || !base_mul_i64(2 * m.H, m.D, &both) || both > INT64_MAX - width)
        return op_bad(c, NIB_LIMIT, "too wide");
    OP_TRY(op_float_row(c, 3, both + width, &bias));
    OP_TRY(op_float_input(c, 6, &old_k));
    OP_TRY(op_float_input(c, 7, &old_v));
    OP_TRY(op_split_heads(c, &m.q, m.B, m.H, m.S, m.D, bias, &qs));
    OP_TRY(op_split_heads(c, &m.k, m.B, m.H, m.L, m.D, bias && !m.ready ? bias + m.H * m.D : NULL, &ks));
    OP_TRY(op_split_heads(c, &m.v, m.B, m.H, m.L, m.Dv, bias && !m.ready ? bias + both : NULL, &vs));
    OP_TRY(op_join_past(c, old_k, m.P, ks, m.L, op_count(2, (int64_t[]){m.B, m.H}), m.D, &ks));
    OP_TRY(op_join_past(c, old_v, m.P, vs, m.L, op_count(2, (int64_t[]){m.B, m.H}), m.Dv, &vs));
    OP_TRY(op_mask_of(c, 4, 5, m.B, m.H, m.S, m.P + m.L, &mask));
    float scale = graph_attr_float(c->node, "scale", 0);
    op_scores s = {.B = m.B,
                   .H = m.H,
                   .K = m.H,
                   .S = m.S,
                   .T = m.P + m.L,
                   .D = m.D,
                   .Dv = m.Dv,
                   .q = qs,
                   .k = ks,
                   .v = vs,
                   .scale = scale != 0 ? (double)scale : 1 / sqrt((double)m.D),
                   .bias = op_mask_bias,
                   .user = &mask,
                   .masked_nan = true};
    OP_TRY(op_out(c, 0, q->dtype, &(op_dims){3, {m.B, m.S, width}}, &y));
    OP_TRY(put_present(c, 1, q->dtype, &(op_dims){4, {m.B, m.H, s.T, m.D}}, ks));
    OP_TRY(put_present(c, 2, q->dtype, &(op_dims){4, {m.B, m.H, s.T, m.Dv}}, vs));
    return op_attend(c, &s, q->dtype, y);
}

static nib_status infer_multi(op_infer *c) {
    const graph_type *q = op_in_type(c, 0), *k = op_in_type(c, 1), *v = op_in_type(c, 2), *past = op_in_type(c, 6);
    int64_t H = graph_attr_int(c->node, "num_heads", 0);
    graph_symtab *t = OP_SYMS(c);
    graph_dim dims[3] = {NULL}, size = NULL, v_size = NULL, length = NULL;
    OP_TRY(op_check_float(c, 0));
    if (H < 1) return op_fail(c, NIB_BAD_MODEL, "%lld heads", (long long)H);
    if (q->rank >= 0 && q->rank != 3 && q->rank != 5) return op_fail(c, NIB_SHAPE, "a query of rank %d", q->rank);
    if (q->rank >= 2) memcpy(dims, q->dims, 2 * sizeof *dims);
    if (q->rank == 5) {
        size = v_size = q->dims[4];
        length = q->dims[1];
    } else if (q->rank == 3) {
        size = graph_dim_div(t, q->dims[2], op_const(c, H));
        length = k->rank == 3 || k->rank == 5 ? k->dims[1] : k->rank == 4 ? k->dims[2] : NULL;
        v_size = k->rank == 5 ? size : v->rank == 3 ? graph_dim_div(t, v->dims[2], op_const(c, H)) : v->rank == 4 ? v->dims[3] : NULL;
    }
    dims[2] = q->rank == 3 && v->rank == 3   ? v->dims[2]
              : q->rank == 3 && k->rank == 5 ? q->dims[2]
              : v_size                       ? graph_dim_mul(t, v_size, op_const(c, H))
                                             : NULL;
    if (op_in(c, 6)) length = past->rank == 4 && length && past->dims[2] ? graph_dim_add(t, past->dims[2], length) : NULL;
    OP_TRY(op_set(c, 0, q->dtype, 3, dims));
    OP_TRY(op_set(c, 1, q->dtype, 4, (graph_dim[]){dims[0], op_const(c, H), length, size}));
    return op_set(c, 2, q->dtype, 4, (graph_dim[]){dims[0], op_const(c, H), length, v_size});
}

/* ---- rotary */

/* Turns the first 2 `half` of D numbers by the angles of a row of the tables. */
static void turn(double *x, int64_t half, bool interleaved, const double *cosine, const double *sine) {
    for (int64_t i = 0; i < half; i++) {
        double *a = x + (interleaved ? 2 * i : i), *b = x + (interleaved ? 2 * i + 1 : half + i), p = *a, q = *b;
        *a = p * cosine[i] - q * sine[i];
        *b = q * cosine[i] + p * sine[i];
    }
}

/* input [B, S, H D] or [B, H, S, D], position_ids [1] (where the first token stands) or [B, S], cosines, sines [most, D / 2] */
static nib_status eval_rotary(op_eval *c) {
    const graph_tensor *x = op_arg(c, 0), *ids = op_arg(c, 1), *table = op_arg(c, 2), *sines = op_arg(c, 3);
    int64_t H = graph_attr_int(c->node, "num_heads", 0), turned = graph_attr_int(c->node, "rotary_embedding_dim", 0), B, S, D;
    const double *cosine, *sine;
    op_dims dims = op_dims_of(x);
    double *v;
    void *y;
    if ((x->rank != 3 && x->rank != 4) || table->rank != 2 || sines->rank != 2 || memcmp(table->dims, sines->dims, 16) != 0)
        return op_bad(c, NIB_SHAPE, "input of rank %d", x->rank);
    if (graph_attr_int(c->node, "is_packed_batching", 0)) return op_bad(c, NIB_UNSUPPORTED, "is_packed_batching");
    B = x->dims[0];
    S = x->dims[x->rank == 4 ? 2 : 1];
    if (x->rank == 4) H = x->dims[1], D = x->dims[3];
    else if (H > 0) D = x->dims[2] / H;
    else D = turned > 0 ? 0 : table->dims[1] > INT64_MAX / 2 ? 0 : 2 * table->dims[1];
    if (x->rank == 3 && D > 0 && H == 0) H = x->dims[2] / D;
    if (D < 1 || H < 1 || (x->rank == 3 && (x->dims[2] % H || x->dims[2] / H != D)))
        return op_bad(c, NIB_SHAPE, "input does not split into heads");
    if (turned == 0) turned = D;
    if (turned < 0 || turned > D || turned % 2 || table->dims[1] != turned / 2)
        return op_bad(c, NIB_SHAPE, "tables do not fit heads of %lld", (long long)D);
    bool offset = op_count(ids->rank, ids->dims) == 1 && ids->rank < 2;
    if (ids->dtype != NIB_DTYPE_I64 || (!offset && (ids->rank != 2 || ids->dims[0] != B || ids->dims[1] != S)))
        return op_bad(c, NIB_SHAPE, "position_ids do not fit");
    if (!op_is_float(x->dtype)) return op_bad(c, NIB_TYPE, "input of type %s", nib_dtype_name(x->dtype));
    OP_TRY(op_reals(c, x, &v));
    OP_TRY(op_float_input(c, 2, &cosine));
    OP_TRY(op_float_input(c, 3, &sine));
    OP_TRY(op_out(c, 0, x->dtype, &dims, &y));
    int64_t n = op_count(x->rank, x->dims), half = turned / 2;
    for (int64_t row = 0; row < n / D; row++) {
        int64_t s = x->rank == 4 ? row % S : row / H % S, b = row / (H * S), at = op_index(ids, offset ? 0 : b * S + s);
        if (at < 0 || at > INT64_MAX - S || (at += offset ? s : 0) >= table->dims[0])
            return op_bad(c, NIB_SHAPE, "position %lld of %lld", (long long)at, (long long)table->dims[0]);
        turn(v + row * D, half, graph_attr_int(c->node, "interleaved", 0) != 0, cosine + at * half, sine + at * half);
    }
    for (int64_t i = 0; y && i < n; i++) op_put(x->dtype, y, i, v[i]);
    return NIB_OK;
}

/* ---- GroupQueryAttention: old keys lie in a buffer that may be longer than what it holds; seqlens_k says how much each text has */

typedef struct group {
    int64_t B, H, K, S, D, room, buffer, window; /* room: of the present; buffer: of the past */
    op_strided q, k, v;
    bool prompt, causal; /* prompt: nothing old */
    const graph_tensor *lengths;
    const double *bias;
    int64_t bias_b, bias_h, bias_t;
} group;

static int64_t total_of(const group *g, int64_t b) { return op_index(g->lengths, b) + 1; }
static int64_t past_of(const group *g, int64_t b) { return g->prompt ? 0 : total_of(g, b) - g->S; }

static double group_bias(const void *user, int64_t b, int64_t h, int64_t i, int64_t j) {
    const group *g = user;
    int64_t at = past_of(g, b) + i;
    if (j >= past_of(g, b) + g->S || j >= g->room || (g->causal && j > at) || (!g->causal && j >= total_of(g, b))) return -INFINITY;
    if (g->window > 0 && at - j >= g->window) return -INFINITY;
    return g->bias ? (j < g->bias_t ? g->bias[b * g->bias_b + h * g->bias_h + i * g->bias_t + j] : -INFINITY) : 0;
}

static nib_status group_inputs(op_eval *c, group *g) {
    const graph_tensor *q = op_arg(c, 0), *k = op_arg(c, 1), *v = op_arg(c, 2);
    OP_TRY(op_float_input(c, 0, &g->q.v));
    OP_TRY(op_float_input(c, 1, &g->k.v));
    OP_TRY(op_float_input(c, 2, &g->v.v));
    if (q->rank != 3 || !k != !v) return op_bad(c, NIB_SHAPE, "a query of rank %d", q->rank);
    int64_t width = q->dims[2], heads = k ? g->H : g->H + 2 * g->K;
    g->B = q->dims[0];
    g->S = q->dims[1];
    g->D = width / heads;
    if (width % heads || g->D == 0) return op_bad(c, NIB_SHAPE, "%lld columns for %lld heads", (long long)width, (long long)heads);
    g->q = (op_strided){g->q.v, g->S * width, g->D, width};
    if (!k) {
        g->k = g->v = g->q;
        if (g->B * g->S > 0) {
            g->k.v += g->H * g->D;
            g->v.v += (g->H + g->K) * g->D;
        }
        return NIB_OK;
    }
    for (int i = 1; i < 3; i++) {
        const graph_tensor *t = op_arg(c, i);
        if (t->rank != 3 || t->dims[0] != g->B || t->dims[1] != g->S || t->dims[2] != g->K * g->D || t->dtype != q->dtype)
            return op_bad(c, NIB_SHAPE, "key or value does not fit");
    }
    g->k = (op_strided){g->k.v, g->S * g->K * g->D, g->D, g->K * g->D};
    g->v = (op_strided){g->v.v, g->S * g->K * g->D, g->D, g->K * g->D};
    return NIB_OK;
}

static nib_status group_of(op_eval *c, group *g) {
    const graph_tensor *past_k = op_arg(c, 3), *past_v = op_arg(c, 4), *bias = op_arg(c, 10);
    double total;
    OP_TRY(op_need(c, 1u << 5 | 1u << 6));
    g->H = graph_attr_int(c->node, "num_heads", 0);
    g->K = graph_attr_int(c->node, "kv_num_heads", 0);
    g->window = graph_attr_int(c->node, "local_window_size", -1);
    g->causal = graph_attr_int(c->node, "causal", 1) != 0;
    g->lengths = op_arg(c, 5);
    if (g->H < 1 || g->K < 1 || g->H > 65536 || g->H % g->K)
        return op_bad(c, NIB_BAD_MODEL, "%lld and %lld heads", (long long)g->H, (long long)g->K);
    for (int i = 12; i < 16; i++)
        if (op_arg(c, i)) return op_bad(c, NIB_UNSUPPORTED, "input %d: a quantized cache or normalized heads", i);
    if (graph_attr_int(c->node, "sliding_window_cache", 0) || (c->node->n_outputs > 3 && c->node->outputs[3]))
        return op_bad(c, NIB_UNSUPPORTED, "sliding_window_cache or output_qk");
    OP_TRY(group_inputs(c, g));
    if (!past_k != !past_v ||
        (past_k && (!is_past(past_k, g->B, g->K, g->D) || !is_past(past_v, g->B, g->K, g->D) || past_k->dims[2] != past_v->dims[2])))
        return op_bad(c, NIB_SHAPE, "past key and value do not fit");
    if (g->lengths->dtype != NIB_DTYPE_I32 || op_count(g->lengths->rank, g->lengths->dims) != g->B)
        return op_bad(c, NIB_SHAPE, "seqlens_k is not one a text");
    OP_TRY(op_one_number(c, 6, 0, &total));
    g->buffer = past_k ? past_k->dims[2] : 0;
    g->prompt = total == (double)g->S;
    g->room = total > (double)g->buffer && total < 1e15 ? (int64_t)total : g->buffer;
    for (int64_t b = 0; b < g->B; b++) {
        int64_t past = past_of(g, b);
        if (total_of(g, b) < 0 || past < 0 || past > g->buffer || past + g->S > g->room)
            return op_bad(c, NIB_SHAPE, "text %lld has %lld keys", (long long)b, (long long)total_of(g, b));
    }
    if (bias) {
        if (bias->rank != 4 || (bias->dims[0] != 1 && bias->dims[0] != g->B) || (bias->dims[1] != 1 && bias->dims[1] != g->H) ||
            bias->dims[2] != g->S)
            return op_bad(c, NIB_SHAPE, "attention_bias does not fit");
        g->bias_t = bias->dims[3];
        g->bias_b = bias->dims[0] == 1 ? 0 : bias->dims[1] * g->S * g->bias_t;
        g->bias_h = bias->dims[1] == 1 ? 0 : g->S * g->bias_t;
    }
    return op_float_input(c, 10, &g->bias);
}

/* Queries or keys [B, heads, S, D] where they stand in their texts. */
static nib_status turn_group(op_eval *c, const group *g, double *x, int64_t heads) {
    const graph_tensor *table = op_arg(c, 7), *sines = op_arg(c, 8), *ids = op_arg(c, 9);
    const double *cosine, *sine;
    if (!table || !sines || table->rank != 2 || sines->rank != 2 || memcmp(table->dims, sines->dims, 16) != 0 || table->dims[1] > g->D / 2)
        return op_bad(c, NIB_SHAPE, "rotary tables do not fit");
    if (ids && (ids->dtype != NIB_DTYPE_I64 || op_count(ids->rank, ids->dims) != g->B * g->S))
        return op_bad(c, NIB_SHAPE, "position_ids do not fit");
    OP_TRY(op_float_input(c, 7, &cosine));
    OP_TRY(op_float_input(c, 8, &sine));
    for (int64_t row = 0; row < g->B * heads * g->S; row++) {
        int64_t b = row / (heads * g->S), s = row % g->S, half = table->dims[1], at = ids ? op_index(ids, b * g->S + s) : past_of(g, b) + s;
        if (at < 0 || at >= table->dims[0]) return op_bad(c, NIB_SHAPE, "position %lld of %lld", (long long)at, (long long)table->dims[0]);
        turn(x + row * g->D, half, graph_attr_int(c->node, "rotary_interleaved", 0) != 0, cosine + at * half, sine + at * half);
    }
    return NIB_OK;
}

/* The buffer of old keys with the new ones behind what each text has; the rest is zero. */
static nib_status extend(op_eval *c, const group *g, const double *old, const double *now, double **out) {
    int64_t n = op_count(4, (int64_t[]){g->B, g->K, g->room, g->D}), D = g->D;
    OP_TRY(op_scratch(c, n, sizeof **out, out));
    memset(*out, 0, sizeof **out * (size_t)n);
    for (int64_t line = 0; line < g->B * g->K; line++) {
        int64_t past = past_of(g, line / g->K);
        double *to = *out + line * g->room * D;
        if (past > 0) memcpy(to, old + line * g->buffer * D, sizeof *to * (size_t)(past * D));
        if (g->S > 0) memcpy(to + past * D, now + line * g->S * D, sizeof *to * (size_t)(g->S * D));
    }
    return NIB_OK;
}

static nib_status eval_group(op_eval *c) {
    const graph_tensor *q = op_arg(c, 0);
    group g = {0};
    const double *old_k, *old_v, *sinks;
    double *qs, *ks, *vs, *zeros;
    void *y;
    OP_TRY(group_of(c, &g));
    OP_TRY(op_float_input(c, 3, &old_k));
    OP_TRY(op_float_input(c, 4, &old_v));
    OP_TRY(op_float_row(c, 11, g.H, &sinks));
    OP_TRY(op_split_heads(c, &g.q, g.B, g.H, g.S, g.D, NULL, &qs));
    OP_TRY(op_split_heads(c, &g.k, g.B, g.K, g.S, g.D, NULL, &ks));
    OP_TRY(op_split_heads(c, &g.v, g.B, g.K, g.S, g.D, NULL, &vs));
    if (graph_attr_int(c->node, "do_rotary", 0)) {
        OP_TRY(turn_group(c, &g, qs, g.H));
        OP_TRY(turn_group(c, &g, ks, g.K));
    }
    OP_TRY(extend(c, &g, old_k, ks, &ks));
    OP_TRY(extend(c, &g, old_v, vs, &vs));
    if (!sinks && graph_attr_int(c->node, "smooth_softmax", 0) > 0) {
        OP_TRY(op_scratch(c, g.H, sizeof *zeros, &zeros));
        memset(zeros, 0, sizeof *zeros * (size_t)g.H);
        sinks = zeros;
    }
    float scale = graph_attr_float(c->node, "scale", 0);
    op_scores s = {.B = g.B,
                   .H = g.H,
                   .K = g.K,
                   .S = g.S,
                   .T = g.room,
                   .D = g.D,
                   .Dv = g.D,
                   .q = qs,
                   .k = ks,
                   .v = vs,
                   .sinks = sinks,
                   .scale = scale != 0 ? (double)scale : 1 / sqrt((double)g.D),
                   .softcap = graph_attr_float(c->node, "softcap", 0),
                   .bias = group_bias,
                   .user = &g};
    op_dims present = {4, {g.B, g.K, g.room, g.D}};
    OP_TRY(op_out(c, 0, q->dtype, &(op_dims){3, {g.B, g.S, g.H * g.D}}, &y));
    OP_TRY(put_present(c, 1, q->dtype, &present, ks));
    OP_TRY(put_present(c, 2, q->dtype, &present, vs));
    return op_attend(c, &s, q->dtype, y);
}

static nib_status infer_group(op_infer *c) {
    const graph_type *q = op_in_type(c, 0), *past = op_in_type(c, 3);
    int64_t H = graph_attr_int(c->node, "num_heads", 0), K = graph_attr_int(c->node, "kv_num_heads", 0), total[GRAPH_MAX_DATA], buffer;
    graph_symtab *t = OP_SYMS(c);
    int n;
    OP_TRY(op_check_float(c, 0));
    if (H < 1 || K < 1 || H > 65536 || K > H) return op_fail(c, NIB_BAD_MODEL, "%lld and %lld heads", (long long)H, (long long)K);
    if (q->rank >= 0 && q->rank != 3) return op_fail(c, NIB_SHAPE, "a query of rank %d", q->rank);
    graph_dim B = q->rank == 3 ? q->dims[0] : NULL, S = q->rank == 3 ? q->dims[1] : NULL, room = NULL;
    graph_dim D = q->rank == 3 ? graph_dim_div(t, q->dims[2], op_const(c, op_in(c, 1) ? H : H + 2 * K)) : NULL;
    graph_dim width = op_in(c, 1) && q->rank == 3 ? q->dims[2] : D ? graph_dim_mul(t, D, op_const(c, H)) : NULL;
    if (op_in_ints(c, 6, total, &n) && n == 1) {
        if (!op_in(c, 3)) room = op_const(c, total[0]);
        else if (past->rank == 4 && graph_dim_is_const(past->dims[2], &buffer)) room = op_const(c, total[0] > buffer ? total[0] : buffer);
    }
    OP_TRY(op_set(c, 0, q->dtype, 3, (graph_dim[]){B, S, width}));
    for (int i = 1; i < 3; i++) OP_TRY(op_set(c, i, q->dtype, 4, (graph_dim[]){B, op_const(c, K), room, D}));
    return NIB_OK;
}

const op op_family_contrib_attention[] = {
    {"GroupQueryAttention", OP_MS, 1, 1, 16, 4, OP_ROWS_MIXED, infer_group, eval_group, NULL},
    {"MultiHeadAttention", OP_MS, 1, 1, 10, 4, OP_ROWS_MIXED, infer_multi, eval_multi, NULL},
    {"RotaryEmbedding", OP_MS, 1, 4, 4, 1, OP_ROWS_MIXED, op_infer_float_same, eval_rotary, NULL},
    {0},
};
