/* SPDX-License-Identifier: Apache-2.0
 *
 * nib.Attention on the cpu, over texts x heads. In: rows q, k, v and either offsets (packed) or a padded batch with an
 * additive bias. Out: rows like q. One part of the range is one head of one text.
 */
#include "cpu.h"
#include <string.h>

typedef void attention_fn(const kernel_attention_args *args, int64_t text, int64_t first, int64_t n, int64_t kv_old, int head,
                          int64_t row_lo, int64_t row_hi, void *scratch);

typedef struct attention {
    attention_fn *run;
    kernel_attention_args args;
    int q, key, value, y, bias, offsets, positions; /* value ids or -1 */
    int64_t key_column, value_column;               /* where in its rows the first head's begins */
} attention;

/* Sets a bias [B|1, H|1, S|1, S] of rank <= 4; false if it has other sizes. */
static bool set_bias(const graph_tensor *t, int64_t B, int64_t S, kernel_attention_args *a) {
    const int64_t full[4] = {B, a->heads, S, S};
    int64_t dims[4] = {1, 1, 1, 1}, stride = 1, strides[4];
    for (int i = 0; i < t->rank; i++) dims[4 - t->rank + i] = t->dims[i];
    for (int i = 3; i >= 0; i--) {
        if (dims[i] != full[i] && (dims[i] != 1 || i == 3)) return false;
        strides[i] = dims[i] == 1 ? 0 : stride;
        stride *= dims[i];
    }
    a->bias = t->data;
    a->bias_text_stride = strides[0];
    a->bias_head_stride = strides[1];
    a->bias_row_stride = strides[2];
    return true;
}

static nib_status run_attention(const plan_step *step, int64_t lo, int64_t hi, plan_lane *lane) {
    const attention *s = step->state;
    const plan_slot *slots = lane->group->slots;
    kernel_attention_args a = s->args;
    const int64_t *offsets = s->offsets >= 0 ? slots[s->offsets].t.data : NULL;
    int64_t S = offsets ? 0 : slots[s->q].t.dims[1];
    if (offsets && lo < hi && !cpu_texts_fit(offsets, lo / a.heads, (hi - 1) / a.heads + 1, slots[s->q].t.dims[0]))
        return base_error_set(lane->err, NIB_SHAPE, "the texts' offsets do not fit the rows");
    a.q = (const float *)plan_row(lane, s->q, 0);
    a.k = (const float *)plan_row(lane, s->key, 0) + s->key_column;
    a.v = (const float *)plan_row(lane, s->value, 0) + s->value_column;
    a.y = (float *)plan_row(lane, s->y, 0);
    if (s->positions >= 0) a.positions = slots[s->positions].t.data;
    if (s->bias >= 0) {
        if (!set_bias(&slots[s->bias].t, slots[s->q].t.dims[0], S, &a))
            return base_error_set(lane->err, NIB_SHAPE, "the attention bias does not fit the scores");
    }
    for (int64_t part = lo; part < hi; part++) {
        int64_t b = part / a.heads, first = offsets ? offsets[b] : b * S, n = offsets ? offsets[b + 1] - first : S;
        s->run(&a, b, first, n, 0, (int)(part % a.heads), first, first + n, lane->scratch);
    }
    return NIB_OK;
}

/* The bias as the kernel can read it: its last axis is the keys'. What is cut off at a constant is looked at in the run. */
static bool bias_fits(const graph_value *bias, const graph_value *q, int64_t heads) {
    const graph_type *t = &bias->type;
    if (t->rank < 1 || t->rank > 4 || t->dtype != NIB_DTYPE_F32) return false;
    graph_dim full[4] = {q->type.dims[0], NULL, q->type.dims[1], q->type.dims[1]};
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

/* Why not the kernel with integer products; "" if the graph does not ask for it, NULL if it is right. */
static const char *refuses_q8(const graph_node *n, const kernel_attention_args *a, const graph_value *bias) {
    if (strcmp(graph_attr_string(n, "precision", "f32"), "q8") != 0) return "";
    if (a->head_dim % 16) return "not in q8: heads are no multiple of 16 wide";
    if (a->causal) return "not in q8: a later key must not change what was said before";
    if (a->softcap > 0 || bias) return "not in q8: scores have a bias or a cap";
    return NULL;
}

/* Heads and strides of q, k and v, which are rows of their own or columns of one; a reason if they do not fit. */
static const char *read_rows(const graph_node *n, const graph_value *const *in, int rank, attention *s) {
    kernel_attention_args *a = &s->args;
    int64_t width, kv_width, heads = graph_attr_int(n, "heads", 1), kv_heads = graph_attr_int(n, "kv_heads", heads);
    bool joined = !in[1];
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
    for (int i = 1; i < 3; i++)
        for (int k = 0; k + 1 < rank; k++)
            if (in[i]->type.dims[k] != in[0]->type.dims[k]) return "queries and keys differ in number";
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

nib_status cpu_compile_attention(cpu_compile *c) {
    const graph_node *n = c->node;
    const graph_value *in[6] = {NULL};
    for (int i = 0; i < n->n_inputs && i < 6; i++) in[i] = n->inputs[i].value;
    attention *s = base_arena_calloc(&c->p->arena, 1, sizeof *s);
    if (!s) return base_error_set(c->err, NIB_OUT_OF_MEMORY, "out of memory for a plan");
    if (!in[1] != !in[2]) return c->why = "keys without values, or values without keys", NIB_OK;
    const char *why = read_rows(n, in, in[4] ? 2 : 3, s);
    if (why) return c->why = why, NIB_OK;
    if (in[3] && (in[4] || !bias_fits(in[3], in[0], s->args.heads)))
        return c->why = "the bias is not [batch|1, heads|1, seq|1, seq] of f32", NIB_OK;
    if (in[4] && in[4]->type.dtype != NIB_DTYPE_I64) return c->why = "offsets are not i64", NIB_OK;
    if (in[5] && (in[5]->type.dtype != NIB_DTYPE_I32 || elements(in[5], c->p->g->symbols) != cpu_rows(in[0], c->p->g->symbols)))
        return c->why = "positions are not one i32 for each row", NIB_OK;
    if (in[4] && in[4]->type.rank != 1) return c->why = "offsets are not of rank 1", NIB_OK;
    kernel_attention_args *a = &s->args;
    a->scale = graph_attr_float(n, "scale", 1);
    a->softcap = graph_attr_float(n, "softcap", 0);
    a->causal = graph_attr_int(n, "causal", 0) != 0;
    a->window_left = graph_attr_int(n, "window_left", -1);
    a->window_right = graph_attr_int(n, "window_right", -1);
    if (a->window_left > INT32_MAX) a->window_left = -1; /* further than any text reaches */
    if (a->window_right > INT32_MAX) a->window_right = -1;
    const kernels *table = &c->d->kernels;
    const char *no_q8 = refuses_q8(n, a, in[3]);
    s->run = no_q8 ? table->attention_f32 : table->attention_q8;
    if (no_q8 && *no_q8) c->why = no_q8;
    s->y = n->outputs[0]->id;
    s->bias = in[3] ? in[3]->id : -1;
    s->offsets = in[4] ? in[4]->id : -1;
    s->positions = in[5] ? in[5]->id : -1;
    graph_symtab *t = c->p->g->symbols;
    c->step->extent = in[4] ? graph_dim_sub(t, in[4]->type.dims[0], graph_dim_const(t, 1)) : in[0]->type.dims[0];
    if (!c->step->extent) return c->why = "the number of texts is unknown", NIB_OK;
    c->step->heads = a->heads;
    c->step->scratch = no_q8 ? table->attention_scratch(a->head_dim) : table->attention_q8_scratch(a->head_dim);
    c->step->state = s;
    c->step->range = PLAN_RANGE_TEXT_HEADS;
    c->step->kernel = no_q8 ? "attention_f32" : "attention_q8";
    c->step->run = run_attention;
    return NIB_OK;
}
