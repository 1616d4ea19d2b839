/* SPDX-License-Identifier: Apache-2.0
 *
 * ONNX's own attention operators, https://onnx.ai/onnx/operators/onnx__Attention.html and RotaryEmbedding, as torch.export
 * writes them from opset 23 on. Inputs are [B, H, S, D] or [B, S, H * D]; both are read through strides. Sums are taken in
 * double in the order of the keys. A row that may look at no key is zero.
 */
#include "op_local.h"

/* [B, H, S, D] over a tensor of rank 4, or of rank 3 with `heads`. */
typedef struct heads {
    const graph_tensor *t;
    int64_t B, H, S, D, b, h, s; /* sizes and strides; d has stride 1 */
} heads;

static bool heads_of(const graph_tensor *t, int64_t n, heads *v) {
    v->t = t;
    if (t->rank == 4) {
        *v = (heads){t, t->dims[0], t->dims[1], t->dims[2], t->dims[3], 0, 0, t->dims[3]};
        v->h = v->S * v->D;
        v->b = v->H * v->h;
        return true;
    }
    if (t->rank != 3 || n <= 0 || t->dims[2] % n != 0) return false;
    *v = (heads){t, t->dims[0], n, t->dims[1], t->dims[2] / n, 0, t->dims[2] / n, t->dims[2]};
    v->b = v->S * t->dims[2];
    return true;
}

static double element(const heads *v, int64_t b, int64_t h, int64_t s, int64_t d) {
    return op_number(v->t, b * v->b + h * v->h + s * v->s + d);
}

typedef struct attention {
    heads q, k, v, past_k, past_v; /* past_*.t NULL: none */
    const graph_tensor *mask, *lengths;
    int64_t past, total, mask_stride[4], mask_last, left, right;
    double scale, softcap;
    bool causal;
    int64_t mode;
} attention;

/* Element j of old and new keys (or values) together. */
static double joined(const heads *old, const heads *now, int64_t past, int64_t b, int64_t h, int64_t j, int64_t d) {
    return j < past ? element(old, b, h, j, d) : element(now, b, h, j - past, d);
}

/* The mask broadcasts to [B, H, S, total] from the right; its last axis may be short, and then what is missing is masked. */
static nib_status set_mask(op_eval *c, attention *a) {
    const graph_tensor *m = a->mask;
    const int64_t want[4] = {a->q.B, a->q.H, a->q.S, a->total};
    int64_t own[GRAPH_MAX_RANK];
    memset(a->mask_stride, 0, sizeof a->mask_stride);
    if (!m) return NIB_OK;
    if (m->rank < 1 || m->rank > 4 || (m->dtype != NIB_DTYPE_BOOL && !op_is_float(m->dtype)))
        return op_bad(c, NIB_SHAPE, "mask has a wrong rank or type");
    op_strides(m->rank, m->dims, own);
    a->mask_last = m->dims[m->rank - 1];
    for (int i = 0; i < m->rank; i++) {
        int axis = 4 - m->rank + i;
        bool fits = axis == 3 ? m->dims[i] <= want[3] : m->dims[i] == 1 || m->dims[i] == want[axis];
        if (!fits) return op_bad(c, NIB_SHAPE, "mask does not fit on axis %d", i);
        a->mask_stride[axis] = axis != 3 && m->dims[i] == 1 ? 0 : own[i];
    }
    return NIB_OK;
}

static nib_status read_attention(op_eval *c, attention *a) {
    int64_t hq = graph_attr_int(c->node, "q_num_heads", 0), hk = graph_attr_int(c->node, "kv_num_heads", 0);
    const graph_tensor *past_k = op_arg(c, 4), *past_v = op_arg(c, 5);
    memset(a, 0, sizeof *a);
    for (int i = 0; i < 3; i++)
        if (!op_is_float(op_arg(c, i)->dtype)) return op_bad(c, NIB_TYPE, "input %d is %s", i, nib_dtype_name(op_arg(c, i)->dtype));
    if (!heads_of(op_arg(c, 0), hq, &a->q) || !heads_of(op_arg(c, 1), hk, &a->k) || !heads_of(op_arg(c, 2), hk, &a->v))
        return op_bad(c, NIB_SHAPE, "inputs do not split into heads");
    if (!past_k != !past_v) return op_bad(c, NIB_BAD_MODEL, "past key and value come together");
    if (past_k) {
        bool fits = past_k->rank == 4 && past_v->rank == 4 && heads_of(past_k, 0, &a->past_k) && heads_of(past_v, 0, &a->past_v);
        fits = fits && a->past_k.B == a->k.B && a->past_k.H == a->k.H && a->past_k.D == a->k.D && a->past_v.S == a->past_k.S;
        fits = fits && a->past_v.B == a->v.B && a->past_v.H == a->v.H && a->past_v.D == a->v.D;
        if (!fits || past_k->dtype != a->k.t->dtype || past_v->dtype != a->v.t->dtype) return op_bad(c, NIB_SHAPE, "past does not fit");
        a->past = a->past_k.S;
    }
    if (a->k.S > INT64_MAX - a->past) return op_bad(c, NIB_LIMIT, "too many keys");
    a->total = a->past + a->k.S;
    bool fits = a->q.B == a->k.B && a->q.B == a->v.B && a->k.S == a->v.S && a->k.H == a->v.H && a->q.D == a->k.D && a->k.H > 0;
    if (!fits || a->q.H % a->k.H != 0) return op_bad(c, NIB_SHAPE, "queries, keys and values do not fit");
    a->mask = op_arg(c, 3);
    a->lengths = op_arg(c, 6);
    if (a->lengths && (a->lengths->dtype != NIB_DTYPE_I64 || op_count(a->lengths->rank, a->lengths->dims) != a->q.B))
        return op_bad(c, NIB_SHAPE, "nonpad_kv_seqlen does not fit");
    a->scale = graph_find_attr(c->node, "scale") ? graph_attr_float(c->node, "scale", 1) : 1 / sqrt((double)a->q.D);
    a->softcap = graph_attr_float(c->node, "softcap", 0);
    a->causal = graph_attr_int(c->node, "is_causal", 0) != 0;
    a->left = graph_attr_int(c->node, "left_window_size", -1);
    a->right = graph_attr_int(c->node, "right_window_size", -1);
    a->mode = graph_attr_int(c->node, "qk_matmul_output_mode", 0);
    return set_mask(c, a);
}

/* What is added to the score of query i and key j: 0, the mask's number, or minus infinity. */
static double bias_of(const attention *a, int64_t b, int64_t h, int64_t i, int64_t j) {
    int64_t length = a->lengths ? ((const int64_t *)a->lengths->data)[b] : a->total;
    if (j >= length) return -INFINITY;
    int64_t before = a->past_k.t ? a->past : a->lengths ? length - a->q.S : 0, distance = i + before - j;
    if (a->causal && distance < 0) return -INFINITY;
    if ((a->left >= 0 && distance > a->left) || (a->right >= 0 && -distance > a->right)) return -INFINITY;
    if (!a->mask) return 0;
    if (j >= a->mask_last) return -INFINITY;
    double m = op_number(a->mask, b * a->mask_stride[0] + h * a->mask_stride[1] + i * a->mask_stride[2] + j * a->mask_stride[3]);
    return a->mask->dtype != NIB_DTYPE_BOOL ? m : m != 0 ? 0 : -INFINITY;
}

/* A score and its bias, added as in the type of the queries: beside a bias of -1e4, where all keys have it, the
 * rounding decides. */
static double biased(nib_dtype dtype, double s, double bias) {
    return dtype == NIB_DTYPE_F32 ? (double)((float)s + (float)bias) : s + bias;
}

/* One query's probabilities into p [total]; qk (may be NULL) gets what the mode asks for, from element `at` on. */
static void score_row(const attention *a, int64_t b, int64_t h, int64_t i, double *p, void *qk, int64_t at) {
    int64_t kv = h / (a->q.H / a->k.H);
    nib_dtype dtype = a->q.t->dtype;
    double most = -INFINITY, sum = 0;
    bool open = false;
    for (int64_t j = 0; j < a->total; j++) {
        double s = 0, bias = bias_of(a, b, h, i, j);
        for (int64_t d = 0; d < a->q.D; d++) s += element(&a->q, b, h, i, d) * joined(&a->past_k, &a->k, a->past, b, kv, j, d);
        s *= a->scale;
        if (qk && a->mode == 0) op_put(dtype, qk, at + j, s);
        if (a->softcap > 0) s = a->softcap * tanh(s / a->softcap);
        if (qk && a->mode == 1) op_put(dtype, qk, at + j, s);
        if (qk && a->mode == 2) op_put(dtype, qk, at + j, s + bias);
        open = open || bias > -INFINITY;
        p[j] = bias > -INFINITY ? biased(dtype, s, bias) : -INFINITY;
        if (p[j] > most) most = p[j];
    }
    for (int64_t j = 0; j < a->total; j++) {
        p[j] = open && (p[j] > -INFINITY || p[j] != p[j]) ? exp(p[j] - most) : 0;
        sum += p[j];
    }
    for (int64_t j = 0; j < a->total; j++) {
        p[j] = sum != 0 ? p[j] / sum : 0;
        if (qk && a->mode == 3) op_put(dtype, qk, at + j, p[j]);
    }
}

static nib_status present(op_eval *c, int output, const heads *old, const heads *now, int64_t past, int64_t total) {
    op_dims dims = {4, {now->B, now->H, total, now->D}};
    void *y;
    OP_TRY(op_out(c, output, now->t->dtype, &dims, &y));
    int64_t n = y ? op_count(4, dims.d) : 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t row = i / now->D, j = row % total, h = row / total % now->H;
        op_put(now->t->dtype, y, i, joined(old, now, past, row / total / now->H, h, j, i % now->D));
    }
    return NIB_OK;
}

static nib_status eval_attention(op_eval *c) {
    attention a;
    void *y, *qk;
    double *p;
    OP_TRY(read_attention(c, &a));
    nib_dtype dtype = a.q.t->dtype;
    bool flat = a.q.t->rank == 3;
    int64_t width;
    if (!base_mul_i64(a.q.H, a.v.D, &width)) return op_bad(c, NIB_LIMIT, "output is too large");
    op_dims dims = flat ? (op_dims){3, {a.q.B, a.q.S, width}} : (op_dims){4, {a.q.B, a.q.H, a.q.S, a.v.D}};
    OP_TRY(op_out(c, 0, dtype, &dims, &y));
    OP_TRY(present(c, 1, &a.past_k, &a.k, a.past, a.total));
    OP_TRY(present(c, 2, &a.past_v, &a.v, a.past, a.total));
    OP_TRY(op_out(c, 3, dtype, &(op_dims){4, {a.q.B, a.q.H, a.q.S, a.total}}, &qk));
    OP_TRY(op_scratch(c, a.total, sizeof *p, &p));
    if ((!y && !qk) || (op_count(dims.rank, dims.d) == 0 && !(qk && a.v.D == 0))) return NIB_OK;
    for (int64_t b = 0; b < a.q.B; b++)
        for (int64_t h = 0; h < a.q.H; h++)
            for (int64_t i = 0; i < a.q.S; i++) {
                int64_t row = (b * a.q.H + h) * a.q.S + i;
                OP_TRY(op_spend(c, a.total, a.q.D + a.v.D));
                score_row(&a, b, h, i, p, qk, row * a.total);
                for (int64_t d = 0; y && d < a.v.D; d++) {
                    double sum = 0;
                    for (int64_t j = 0; j < a.total; j++)
                        if (p[j] != 0) sum += p[j] * joined(&a.past_v, &a.v, a.past, b, h / (a.q.H / a.k.H), j, d);
                    op_put(dtype, y, flat ? ((b * a.q.S + i) * a.q.H + h) * a.v.D + d : row * a.v.D + d, sum);
                }
            }
    return NIB_OK;
}

/* [B, H, S, D] of a type. */
static bool infer_heads(const op_infer *c, const graph_type *t, int64_t count, graph_dim out[4]) {
    if (t->rank == 4) {
        memcpy(out, t->dims, 4 * sizeof *out);
        return true;
    }
    if (t->rank != 3 || count <= 0) return false;
    out[0] = t->dims[0];
    out[1] = op_const(c, count);
    out[2] = t->dims[1];
    out[3] = graph_dim_div(OP_SYMS(c), t->dims[2], out[1]);
    return true;
}

static nib_status infer_attention(op_infer *c) {
    const graph_type *q = op_in_type(c, 0), *k = op_in_type(c, 1), *v = op_in_type(c, 2), *past = op_in_type(c, 4);
    int64_t hq = graph_attr_int(c->node, "q_num_heads", 0), hk = graph_attr_int(c->node, "kv_num_heads", 0);
    graph_dim qd[4], kd[4], vd[4];
    for (int i = 0; i < 3; i++) OP_TRY(op_check_float(c, i));
    if (q->rank < 0 || k->rank < 0 || v->rank < 0) return op_set(c, 0, q->dtype, q->rank, NULL);
    if (!infer_heads(c, q, hq, qd) || !infer_heads(c, k, hk, kd) || !infer_heads(c, v, hk, vd))
        return op_fail(c, NIB_SHAPE, "inputs do not split into heads");
    graph_dim total = kd[2];
    if (op_in(c, 4)) total = past->rank == 4 ? graph_dim_add(OP_SYMS(c), past->dims[2], kd[2]) : NULL;
    graph_dim wide[4] = {qd[0], qd[1], qd[2], vd[3]}, flat[3] = {qd[0], qd[2], graph_dim_mul(OP_SYMS(c), qd[1], vd[3])};
    OP_TRY(q->rank == 3 ? op_set(c, 0, q->dtype, 3, flat) : op_set(c, 0, q->dtype, 4, wide));
    OP_TRY(op_set(c, 1, k->dtype, 4, (const graph_dim[]){kd[0], kd[1], total, kd[3]}));
    OP_TRY(op_set(c, 2, v->dtype, 4, (const graph_dim[]){vd[0], vd[1], total, vd[3]}));
    return op_set(c, 3, q->dtype, 4, (const graph_dim[]){qd[0], qd[1], qd[2], total});
}

/* ---- RotaryEmbedding: turns pairs of a head's first `turned` elements; pairs are halves apart, or neighbours */

static nib_status eval_rotary(op_eval *c) {
    const graph_tensor *x = op_arg(c, 0), *cosine = op_arg(c, 1), *sine = op_arg(c, 2), *ids = op_arg(c, 3);
    heads v;
    op_dims dims = op_dims_of(x);
    int64_t turned = graph_attr_int(c->node, "rotary_embedding_dim", 0);
    bool interleaved = graph_attr_int(c->node, "interleaved", 0) != 0;
    void *y;
    for (int i = 0; i < 3; i++)
        if (!op_is_float(op_arg(c, i)->dtype)) return op_bad(c, NIB_TYPE, "input %d is %s", i, nib_dtype_name(op_arg(c, i)->dtype));
    if (!heads_of(x, graph_attr_int(c->node, "num_heads", 0), &v)) return op_bad(c, NIB_SHAPE, "input does not split into heads");
    if (turned == 0) turned = v.D;
    if (turned < 0 || turned > v.D || turned % 2 != 0)
        return op_bad(c, NIB_SHAPE, "cannot turn %lld of %lld", (long long)turned, (long long)v.D);
    int64_t half = turned / 2;
    int rank = ids ? 2 : 3;
    bool fits = cosine->rank == rank && sine->rank == rank && memcmp(cosine->dims, sine->dims, sizeof(int64_t) * (size_t)rank) == 0;
    fits = fits && cosine->dims[rank - 1] == half && (ids || ((cosine->dims[0] == v.B || cosine->dims[0] == 1) && cosine->dims[1] == v.S));
    if (ids) fits = fits && ids->dtype == NIB_DTYPE_I64 && ids->rank == 2 && ids->dims[0] == v.B && ids->dims[1] == v.S;
    if (!fits) return op_bad(c, NIB_SHAPE, "caches or positions do not fit");
    OP_TRY(op_out(c, 0, x->dtype, &dims, &y));
    int64_t n = y ? op_count(x->rank, x->dims) : 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t b = i / v.b, s = i % v.b / v.s % v.S, d = i % v.D;
        if (d >= turned) {
            op_put(x->dtype, y, i, op_number(x, i));
            continue;
        }
        /* Exporters write one batch of angles for all texts. */
        int64_t row = (!ids && cosine->dims[0] == 1 ? 0 : b) * v.S + s;
        if (ids) {
            row = op_index(ids, row);
            if (row < 0 || row >= cosine->dims[0])
                return op_bad(c, NIB_SHAPE, "position %lld is out of range for %lld", (long long)row, (long long)cosine->dims[0]);
        }
        bool first = interleaved ? d % 2 == 0 : d < half;
        int64_t k = interleaved ? d / 2 : d % half, other = interleaved ? (first ? i + 1 : i - 1) : first ? i + half : i - half;
        double cs = op_number(cosine, row * half + k), sn = op_number(sine, row * half + k), mine = op_number(x, i) * cs,
               theirs = op_number(x, other) * sn;
        op_put(x->dtype, y, i, first ? mine - theirs : mine + theirs);
    }
    return NIB_OK;
}

const op op_family_attention[] = {
    {"Attention", "", 23, 3, 6, 4, OP_ROWS_MIXED, infer_attention, eval_attention, NULL},
    {"Attention", "", 24, 3, 7, 4, OP_ROWS_MIXED, infer_attention, eval_attention, NULL},
    {"RotaryEmbedding", "", 23, 3, 4, 1, OP_ROWS_MIXED, op_infer_float_same, eval_rotary, NULL},
    {0},
};
