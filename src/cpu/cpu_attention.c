/* SPDX-License-Identifier: Apache-2.0
 *
 * nib.Attention on the cpu, over texts x heads. In: rows q, k, v and either offsets (packed) or a padded batch with an
 * additive bias. Out: rows like q. One part of the range is one head of one text.
 *
 * Keys and values of a padded batch may be others in number than queries (of an encoder, seen by a decoder), where no query
 * stands at a key: kernels then take as many queries at a time as there are keys.
 */
#include "cpu.h"
#include <math.h>
#include <string.h>

typedef void attention_fn(const kernel_attention_args *args, int64_t text, int64_t first, int64_t n, int64_t kv_old, int head,
                          int64_t row_lo, int64_t row_hi, void *scratch);

typedef struct attention {
    attention_fn *run;
    kernel_attention_args args;
    int q, key, value, y, bias, offsets, positions; /* value ids or -1 */
    int64_t key_column, value_column;               /* where in its rows the first head's begins */
    bool masked_nan;                                /* rows whose every key the bias hides are NaN */
    bool cross;                                     /* keys have a number of their own */
    kernel_relative relative;                       /* args points here where there are tables by distance */
} attention;

/* A bias [B|1, H|1, S|1, S] of rank <= 4. */
typedef struct bias_view {
    const float *data;
    int64_t strides[4], S; /* strides: 0 where an axis is broadcast */
    float *copy;           /* a text's [n, n] of one head, where its rows stand apart */
    int64_t room;          /* floats of `copy` */
} bias_view;

/* False if the bias has other sizes than a batch of B texts of S queries and `keys` keys; S < 0: of any one number of both. */
static bool view_bias(const graph_tensor *t, int64_t B, int heads, int64_t S, int64_t keys, bias_view *v) {
    int64_t dims[4] = {1, 1, 1, 1}, stride = 1;
    for (int i = 0; i < t->rank; i++) dims[4 - t->rank + i] = t->dims[i];
    v->S = S < 0 ? dims[3] : S;
    const int64_t full[4] = {B, heads, v->S, S < 0 ? v->S : keys};
    for (int i = 3; i >= 0; i--) {
        if (dims[i] != full[i] && (dims[i] != 1 || i == 3)) return false;
        v->strides[i] = dims[i] == 1 ? 0 : stride;
        stride *= dims[i];
    }
    v->data = t->data;
    return true;
}

/* The bias of text b and head h in packed rows: what stands at the rows' columns. Columns in one piece are read where they are. */
static nib_status bias_of_text(bias_view *v, const int32_t *columns, int64_t n, int64_t b, int h, plan_lane *lane,
                               kernel_attention_args *a) {
    const float *from = v->data + b * v->strides[0] + h * v->strides[1];
    bool adjacent = true;
    for (int64_t i = 0; i < n; i++) {
        if (columns[i] < 0 || columns[i] >= v->S) return base_error_set(lane->err, NIB_SHAPE, "the attention bias does not fit the rows");
        adjacent = adjacent && columns[i] - columns[0] == i;
    }
    a->bias_text_stride = a->bias_head_stride = 0;
    a->bias_row_stride = v->strides[2];
    if (n == 0 || adjacent) {
        a->bias = n ? from + columns[0] * (v->strides[2] + 1) : from;
        return NIB_OK;
    }
    if (v->room < n * n) {
        v->copy = lane->eval_scratch(lane, (size_t)(n * n) * sizeof *v->copy); /* no more than the bias has */
        if (!v->copy) return base_error_set(lane->err, NIB_OUT_OF_MEMORY, "out of memory for an attention's bias");
        v->room = n * n;
    }
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++) v->copy[i * n + j] = from[columns[i] * v->strides[2] + columns[j]];
    a->bias = v->copy;
    a->bias_row_stride = n;
    return NIB_OK;
}

/* The kernel gives zeros where the bias puts all keys that one of n queries of text b may see at -infinity: ONNX's Softmax gives
 * NaN. */
static void put_nan(const kernel_attention_args *a, int64_t b, int head, int64_t first, int64_t n, int64_t keys) {
    const float *bias = a->bias + b * a->bias_text_stride + head * a->bias_head_stride;
    for (int64_t i = 0; i < n; i++) {
        int64_t j = a->window_left >= 0 && i > a->window_left ? i - a->window_left : 0, end = a->causal ? i + 1 : keys;
        if (a->window_right >= 0 && a->window_right < end - 1 - i) end = i + 1 + a->window_right;
        while (j < end && bias[i * a->bias_row_stride + j] == -INFINITY) j++;
        float *y = a->y + (first + i) * a->y_stride + (int64_t)head * a->head_dim;
        for (int d = 0; j == end && d < a->head_dim; d++) y[d] = NAN;
    }
}

/* A head of text b: S queries, and keys that are not theirs. */
static void run_cross(const attention *s, const kernel_attention_args *all, int64_t b, int head, int64_t S, int64_t keys, void *scratch) {
    kernel_attention_args a = *all;
    const float *bias = all->bias;
    a.k += b * keys * a.k_stride;
    a.v += b * keys * a.v_stride;
    for (int64_t i = 0, n; i < S; i += n) {
        n = keys > 0 && keys < S - i ? keys : S - i;
        a.q = all->q + (b * S + i) * a.q_stride;
        a.y = all->y + (b * S + i) * a.y_stride;
        if (bias) a.bias = bias + i * a.bias_row_stride;
        for (int64_t k = 0; keys == 0 && k < n; k++)
            memset(a.y + k * a.y_stride + (int64_t)head * a.head_dim, 0, (size_t)a.head_dim * sizeof *a.y);
        if (keys > 0) s->run(&a, b, 0, keys, 0, head, 0, n, scratch);
        if (s->masked_nan) put_nan(&a, b, head, 0, n, keys);
    }
}

static nib_status run_attention(const plan_step *step, int64_t lo, int64_t hi, plan_lane *lane) {
    const attention *s = step->state;
    const plan_slot *slots = lane->group->slots;
    kernel_attention_args a = s->args;
    const int64_t *offsets = s->offsets >= 0 ? slots[s->offsets].t.data : NULL;
    int64_t S = offsets ? 0 : slots[s->q].t.dims[1], keys = offsets ? 0 : slots[s->key].t.dims[1];
    if (offsets && lo < hi && !cpu_texts_fit(offsets, lo / a.heads, (hi - 1) / a.heads + 1, slots[s->q].t.dims[0]))
        return base_error_set(lane->err, NIB_SHAPE, "the texts' offsets do not fit the rows");
    a.q = (const float *)plan_row(lane, s->q, 0);
    a.k = (const float *)plan_row(lane, s->key, 0) + s->key_column;
    a.v = (const float *)plan_row(lane, s->value, 0) + s->value_column;
    a.y = (float *)plan_row(lane, s->y, 0);
    if (s->positions >= 0) a.positions = slots[s->positions].t.data;
    bias_view bias = {0};
    if (s->bias >= 0) {
        int64_t B = offsets ? slots[s->offsets].t.dims[0] - 1 : slots[s->q].t.dims[0];
        if (!view_bias(&slots[s->bias].t, B, a.heads, offsets ? -1 : S, keys, &bias))
            return base_error_set(lane->err, NIB_SHAPE, "the attention bias does not fit the scores");
        a.bias = bias.data;
        a.bias_text_stride = bias.strides[0];
        a.bias_head_stride = bias.strides[1];
        a.bias_row_stride = bias.strides[2];
    }
    for (int64_t part = lo; s->cross && part < hi; part++) run_cross(s, &a, part / a.heads, (int)(part % a.heads), S, keys, lane->scratch);
    for (int64_t part = lo; !s->cross && part < hi; part++) {
        int64_t b = part / a.heads, first = offsets ? offsets[b] : b * S, n = offsets ? offsets[b + 1] - first : S;
        nib_status status = bias.data && offsets ? bias_of_text(&bias, a.positions + first, n, b, (int)(part % a.heads), lane, &a) : NIB_OK;
        if (status != NIB_OK) return status;
        s->run(&a, b, first, n, 0, (int)(part % a.heads), first, first + n, lane->scratch);
        if (s->masked_nan) put_nan(&a, b, (int)(part % a.heads), first, n, n);
    }
    return NIB_OK;
}

/* The bias as the kernel can read it: its last axis is the keys'. What is cut off at a constant, and all of packed rows, is looked at in
 * the run. */
static bool bias_fits(const graph_value *bias, const graph_value *q, const graph_value *k, int64_t heads, bool packed) {
    const graph_type *t = &bias->type;
    if (t->rank < 1 || t->rank > 4 || t->dtype != NIB_DTYPE_F32) return false;
    if (packed) return t->rank == 4;
    graph_dim full[4] = {q->type.dims[0], NULL, q->type.dims[1], k->type.dims[1]};
    int64_t d;
    for (int i = 0; i < t->rank; i++) {
        int axis = 4 - t->rank + i;
        bool one = graph_dim_is_const(t->dims[i], &d) && d == 1 && axis != 3;
        bool every_head = axis == 1 && graph_dim_is_const(t->dims[i], &d) && d == heads;
        if (!one && !every_head &&
            (axis == 1 || !full[axis] || (t->dims[i] != full[axis] && !graph_dim_is_capped(t->dims[i], full[axis], 2))))
            return false;
    }
    return true;
}

/* ---- tables by distance */

/* [heads, rows] or, of keys and queries, [heads, rows, head size]. */
static bool is_table(const graph_value *v, int rank, const attention *s) {
    const graph_tensor *t = v->constant;
    if (!t || !t->data || t->dtype != NIB_DTYPE_F32 || t->rank != rank || t->dims[0] != s->args.heads) return false;
    return t->dims[1] >= 1 && t->dims[1] <= INT32_MAX && (rank < 3 || t->dims[2] == s->args.head_dim);
}

/* Rows as the kernels want them: from the first to the last, one by one. */
static bool in_order(const int32_t *rows, int64_t count, int64_t last) {
    bool yes = count % 2 == 1 && rows[0] == 0 && rows[count - 1] == last;
    for (int64_t i = 1; i < count && yes; i++) yes = rows[i] == rows[i - 1] || rows[i] == rows[i - 1] + 1;
    return yes;
}

/* Why the kernels cannot read them; NULL: they can, or there are none. */
static const char *read_relative(const op_attention *n, attention *s, base_arena *arena) {
    const graph_value *tables[3] = {n->relative_keys, n->relative_queries, n->relative_bias};
    const graph_tensor *slopes = n->relative_slopes ? n->relative_slopes->constant : NULL;
    if (n->relative_slopes && (!slopes || !slopes->data || slopes->dtype != NIB_DTYPE_F32 || slopes->rank != 1 ||
                               slopes->dims[0] != s->args.heads))
        return "slopes are no constants of f32, one a head";
    if (!n->relative_rows) return tables[0] || tables[1] || tables[2] ? "tables by distance have no rows" : NULL;
    const graph_tensor *rows = n->relative_rows->constant;
    int64_t count = 0;
    for (int i = 0; i < 3; i++) {
        if (!tables[i]) continue;
        if (!is_table(tables[i], i < 2 ? 3 : 2, s))
            return "a table by distance is no constant of f32, a row a distance";
        if (count && tables[i]->constant->dims[1] != count) return "tables by distance differ in number";
        count = tables[i]->constant->dims[1];
    }
    if (!count) return "there are rows of tables by distance, and no table";
    if (!rows || rows->dtype != NIB_DTYPE_I32 || rows->rank != 1 || rows->dims[0] < 1 || rows->dims[0] > INT32_MAX)
        return "rows of tables by distance are no constants";
    s->relative =
        (kernel_relative){.rows = graph_tensor_aligned(arena, rows), .reach = rows->dims[0] / 2, .count = count};
    if (s->relative.rows && !in_order(s->relative.rows, rows->dims[0], count - 1))
        return "rows of tables by distance are not in order";
    return NULL;
}

static bool is_finite(const graph_value *v) {
    const char *at = v ? v->constant->data : NULL;
    for (int64_t i = 0, count = v ? graph_tensor_elements(v->constant) : 0; i < count; i++) {
        float x;
        memcpy(&x, at + (size_t)i * sizeof x, sizeof x);
        if (!isfinite(x)) return false;
    }
    return true;
}

/* Packs the tables for the kernel that was chosen. */
static nib_status pack_relative(cpu_compile *c, const op_attention *n, attention *s, bool q8) {
    const graph_value *tables[2] = {n->relative_keys, n->relative_queries};
    const size_t bytes = kernel_relative_bytes(q8, s->relative.count, s->args.head_dim);
    size_t all = SIZE_MAX;
    if (n->relative_rows && (!s->relative.rows || bytes == SIZE_MAX ||
                             !base_mul_size(bytes, (size_t)s->args.heads, &all) || !base_add_size(all, 63, &all)))
        return base_error_set(c->err, NIB_OUT_OF_MEMORY, "out of memory for tables by distance");
    for (int i = 0; i < 2; i++) {
        if (!tables[i]) continue;
        const graph_tensor *t = tables[i]->constant;
        if (i == 0 && !q8 && s->relative.count % KERNEL_RELATIVE_BLOCK == 0 &&
            (uintptr_t)t->data % sizeof(float) == 0) {
            s->relative.keys = t->data; /* it lies as the kernel reads it */
            continue;
        }
        char *packed = base_arena_alloc(&c->p->arena, all);
        if (!packed) return base_error_set(c->err, NIB_OUT_OF_MEMORY, "out of memory for tables by distance");
        packed = (char *)(((uintptr_t)packed + 63) / 64 * 64);
        kernel_relative_pack(i ? KERNEL_RELATIVE_QUERIES : KERNEL_RELATIVE_KEYS, q8, t->data, s->args.heads,
                             s->relative.count, s->args.head_dim, packed);
        if (i) s->relative.queries = packed;
        else s->relative.keys = packed;
    }
    if (n->relative_bias) s->relative.bias = graph_tensor_aligned(&c->p->arena, n->relative_bias->constant);
    if (n->relative_slopes) s->relative.slopes = graph_tensor_aligned(&c->p->arena, n->relative_slopes->constant);
    if ((n->relative_bias && !s->relative.bias) || (n->relative_slopes && !s->relative.slopes))
        return base_error_set(c->err, NIB_OUT_OF_MEMORY, "out of memory for tables by distance");
    s->args.relative = &s->relative;
    return NIB_OK;
}

/* Why not the kernel with integer products; "" if the graph does not ask for it, NULL if it is right. */
static const char *refuses_q8(const op_attention *n, const kernel_attention_args *a) {
    if (n->products != OP_PRODUCTS_Q8) return "";
    if (a->head_dim % 16) return "not in q8: heads are no multiple of 16 wide";
    if (n->causal) return "not in q8: a later key must not change what was said before";
    if (n->softcap > 0 || n->bias) return "not in q8: scores have a bias or a cap";
    if (!(a->scale > 0)) return "not in q8: the scale of scores is not positive";
    if (!is_finite(n->relative_keys) || !is_finite(n->relative_queries) || !is_finite(n->relative_bias) || !is_finite(n->relative_slopes))
        return "not in q8: tables by distance are not finite";
    return NULL;
}

/* Heads and strides of q, k and v, which are rows of their own or columns of one; a reason if they do not fit. */
static const char *read_rows(const op_attention *n, int rank, attention *s) {
    kernel_attention_args *a = &s->args;
    const graph_value *in[3] = {n->q, n->k, n->v};
    int64_t width, kv_width, heads = n->heads, kv_heads = n->kv_heads;
    bool joined = !n->k;
    for (int i = 0; i < (joined ? 1 : 3); i++)
        if (in[i]->type.rank != rank || in[i]->type.dtype != NIB_DTYPE_F32 || in[i]->constant)
            return "queries, keys or values are not rows of f32";
    if (!graph_dim_is_const(in[0]->type.dims[rank - 1], &width)) return "the width of queries, keys or values is unknown";
    if (heads < 1 || kv_heads < 1 || heads > width || kv_heads > width || heads % kv_heads) return "heads do not divide the width";
    int64_t shares = joined ? heads + 2 * kv_heads : heads, D = width / shares;
    if (width % shares) return "heads do not divide the width";
    if (D > 256) return "heads are wider than 256";
    a->heads = (int)heads;
    a->kv_heads = (int)kv_heads;
    a->head_dim = (int)D;
    a->q_stride = a->k_stride = a->v_stride = width;
    a->y_stride = heads * D;
    s->q = s->key = s->value = in[0]->id;
    if (joined) {
        s->key_column = heads * D;
        s->value_column = s->key_column + kv_heads * D;
        return NULL;
    }
    if (!graph_dim_is_const(in[1]->type.dims[rank - 1], &kv_width) || in[2]->type.dims[rank - 1] != in[1]->type.dims[rank - 1])
        return "the width of queries, keys or values is unknown";
    if (kv_width != kv_heads * D) return "heads do not divide the width";
    for (int k = 0; k + 1 < rank; k++) {
        if (in[2]->type.dims[k] != in[1]->type.dims[k]) return "keys and values differ in number";
        if (in[1]->type.dims[k] == in[0]->type.dims[k]) continue;
        s->cross = rank == 3 && k == 1 && in[1]->type.dims[k] && !n->causal && n->left < 0 && n->right < 0 && !op_attention_by_distance(n);
        if (!s->cross) return "queries and keys differ in number";
    }
    a->k_stride = a->v_stride = kv_width;
    s->key = in[1]->id;
    s->value = in[2]->id;
    return NULL;
}

static graph_dim elements(const graph_value *v, graph_symtab *t) {
    graph_dim d = v->type.rank < 0 ? NULL : graph_dim_const(t, 1);
    for (int i = 0; i < v->type.rank; i++) d = graph_dim_mul(t, d, v->type.dims[i]);
    return d;
}

/* Why the kernels cannot compute it; NULL: they can. */
static const char *refusal(const op_attention *n, attention *s, plan *p) {
    graph_symtab *t = p->g->symbols;
    if (!n->k != !n->v) return "keys without values, or values without keys";
    const char *why = read_rows(n, n->offsets ? 2 : 3, s);
    if (why) return why;
    if (n->products < 0) return "its products are of a type that no kernel has";
    if (n->bias && n->offsets && !n->positions) return "packed rows have a bias and no positions";
    if (n->bias && !bias_fits(n->bias, n->q, n->k ? n->k : n->q, s->args.heads, n->offsets != NULL))
        return "the bias is not [batch|1, heads|1, seq|1, seq] of f32";
    if (n->offsets && n->offsets->type.dtype != NIB_DTYPE_I64) return "offsets are not i64";
    if (n->positions && (n->positions->type.dtype != NIB_DTYPE_I32 || elements(n->positions, t) != cpu_rows(n->q, t)))
        return "positions are not one i32 for each row";
    if (n->offsets && n->offsets->type.rank != 1) return "offsets are not of rank 1";
    return read_relative(n, s, &p->arena);
}

nib_status cpu_compile_attention(cpu_compile *c) {
    op_attention n;
    graph_symtab *t = c->p->g->symbols;
    attention *s = base_arena_calloc(&c->p->arena, 1, sizeof *s);
    if (!s) return base_error_set(c->err, NIB_OUT_OF_MEMORY, "out of memory for a plan");
    op_attention_get(c->node, &n);
    const char *why = refusal(&n, s, c->p);
    if (why) return c->why = why, NIB_OK;
    kernel_attention_args *a = &s->args;
    a->scale = n.scale;
    a->softcap = n.softcap;
    a->causal = n.causal;
    a->window_left = n.left;
    a->window_right = n.right;
    const kernels *table = &c->d->kernels;
    const char *no_q8 = refuses_q8(&n, a);
    s->run = no_q8 ? table->attention_f32 : table->attention_q8;
    if (no_q8 && *no_q8) c->why = no_q8;
    if (op_attention_by_distance(&n)) {
        nib_status status = pack_relative(c, &n, s, !no_q8);
        if (status != NIB_OK) return status;
    }
    s->y = c->node->outputs[0]->id;
    s->bias = n.bias ? n.bias->id : -1;
    s->masked_nan = n.bias && !n.offsets && n.masked_nan;
    s->offsets = n.offsets ? n.offsets->id : -1;
    s->positions = n.positions ? n.positions->id : -1;
    c->step->extent = n.offsets ? graph_dim_sub(t, n.offsets->type.dims[0], graph_dim_const(t, 1)) : n.q->type.dims[0];
    if (!c->step->extent) return c->why = "the number of texts is unknown", NIB_OK;
    c->step->heads = a->heads;
    c->step->scratch = no_q8 ? table->attention_scratch(a->head_dim) : table->attention_q8_scratch(a->head_dim);
    if (op_attention_by_distance(&n)) c->step->scratch += KERNEL_RELATIVE_SCRATCH;
    c->step->state = s;
    c->step->range = PLAN_RANGE_TEXT_HEADS;
    c->step->kernel = no_q8 ? "attention_f32" : "attention_q8";
    c->step->run = run_attention;
    return NIB_OK;
}
