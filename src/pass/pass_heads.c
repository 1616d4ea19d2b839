/* SPDX-License-Identifier: Apache-2.0
 *
 * Finding the rows that heads are made of; see pass_heads.h.
 */
#include "pass_heads.h"
#include <string.h>

static bool perm_is(const graph_node *n, const char *digits) {
    const int64_t *perm;
    int64_t rank = graph_is_op(n, "", "Transpose") ? graph_attr_ints(n, "perm", &perm) : -1;
    if (rank != (int64_t)strlen(digits)) return false;
    for (int64_t i = 0; i < rank; i++)
        if (perm[i] != digits[i] - '0') return false;
    return true;
}

static bool same_dim(const graph_value *a, int i, const graph_value *b, int k) {
    return a->type.dims[i] && a->type.dims[i] == b->type.dims[k];
}

static bool const_dim(const graph_value *v, int axis, int64_t *out) { return graph_dim_is_const(v->type.dims[axis], out); }

static bool changes_nothing(const graph_node *n) {
    if (!graph_is_op(n, "", "Cast") || n->inputs[0].value->type.dtype != NIB_DTYPE_F32) return false;
    return graph_attr_int(n, "to", 0) == NIB_DTYPE_F32;
}

graph_value *pass_without_scale(graph_value *v, double *scale) {
    for (;;) {
        graph_node *n = v->producer;
        const int rank = v->type.rank;
        graph_value *before = v;
        double x = 1;
        if (graph_is_op(n, "", "Mul") && graph_scalar(n->inputs[1].value, &x)) v = n->inputs[0].value;
        else if (graph_is_op(n, "", "Mul") && graph_scalar(n->inputs[0].value, &x)) v = n->inputs[1].value;
        else if (graph_is_op(n, "", "Div") && graph_scalar(n->inputs[1].value, &x) && x != 0) v = n->inputs[0].value, x = 1 / x;
        else if (changes_nothing(n)) v = n->inputs[0].value, x = 1;
        else return v;
        if (v->type.rank != rank) return before; /* a scale of more axes */
        *scale *= x;
    }
}

/* [B H, S, D] of [B, H, S, D]: the value of rank 4, or NULL. */
static graph_value *unfolded(const graph_value *v) {
    const graph_node *n = v->producer;
    if (!graph_is_op(n, "", "Reshape") || v->type.rank != 3) return NULL;
    graph_value *u = n->inputs[0].value;
    return u->type.rank == 4 && same_dim(u, 2, v, 1) && same_dim(u, 3, v, 2) ? u : NULL;
}

/* [B, H, S, D] of [B, K, S, D], each head H / K times: the latter, or NULL. */
static graph_value *shared_of(const graph_value *v, int64_t *times) {
    const graph_node *fold = v->producer;
    int64_t heads, kv_heads, one, axis;
    if (!graph_is_op(fold, "", "Reshape") || v->type.rank != 4) return NULL;
    const graph_value *wide = fold->inputs[0].value;
    if (!graph_is_op(wide->producer, "", "Expand") || wide->type.rank != 5) return NULL;
    const graph_value *narrow = wide->producer->inputs[0].value;
    if (!graph_is_op(narrow->producer, "", "Unsqueeze") || narrow->type.rank != 5 || !const_dim(narrow, 2, &one) || one != 1) return NULL;
    graph_value *w = narrow->producer->inputs[0].value;
    if (w->type.rank != 4 || !pass_int_at(narrow->producer->inputs[1].value, 0, &axis) || (axis != 2 && axis != -3)) return NULL;
    if (!const_dim(w, 1, &kv_heads) || !const_dim(v, 1, &heads) || kv_heads < 1 || heads % kv_heads) return NULL;
    if (!const_dim(wide, 1, &one) || one != kv_heads || !const_dim(wide, 2, times) || *times != heads / kv_heads) return NULL;
    if (!same_dim(w, 0, v, 0) && !same_dim(w, 2, v, 2)) return NULL;
    return same_dim(w, 3, v, 3) && same_dim(w, 3, wide, 4) && same_dim(w, 2, wide, 3) ? w : NULL;
}

static bool fits(pass_heads *h) {
    int at = h->form == PASS_HEADS_FIRST ? 1 : 2;
    const graph_value *v = h->value;
    if (v->type.dtype != NIB_DTYPE_F32 || v->type.rank != 4 || !const_dim(v, at, &h->count) || !const_dim(v, 3, &h->size)) return false;
    return h->count > 0 && h->size > 0 && h->size <= OP_HEAD_MAX && v->type.dims[0] && v->type.dims[3 - at];
}

/* value [B, S, H, D] is a view of rows: those rows. */
static void take_rows(pass_heads *h) {
    const graph_value *v = h->value;
    int64_t width;
    if (!graph_is_op(v->producer, "", "Reshape")) return;
    graph_value *rows = v->producer->inputs[0].value;
    if (rows->type.rank != 3 || rows->type.dtype != NIB_DTYPE_F32 || !same_dim(rows, 0, v, 0) || !same_dim(rows, 1, v, 1)) return;
    if (!const_dim(rows, 2, &width) || h->count * h->size != width) return;
    h->value = rows;
    h->form = PASS_HEADS_ROWS;
}

bool pass_find_heads(graph_value *v, bool turned, pass_heads *h) {
    *h = (pass_heads){.times = 1, .scale = 1, .plain = true};
    for (int step = 0; step < 16; step++) { /* more views in turn than any exporter writes */
        int64_t times;
        graph_value *inner;
        v = pass_without_scale(v, &h->scale);
        const graph_node *n = v->producer;
        if (perm_is(n, turned ? "0231" : "0213")) {
            h->value = n->inputs[0].value;
            h->form = PASS_HEADS_SPLIT;
            if (!fits(h)) return false;
            take_rows(h);
            h->plain &= h->form == PASS_HEADS_ROWS;
            return true;
        }
        h->plain = false;
        if (perm_is(n, "0132") || perm_is(n, "021")) {
            turned = !turned;
            v = n->inputs[0].value;
        } else if ((inner = unfolded(v))) {
            v = inner;
        } else if (h->times == 1 && (inner = shared_of(v, &times))) {
            h->times = times;
            v = inner;
        } else {
            h->value = v;
            h->form = PASS_HEADS_FIRST;
            return !turned && fits(h);
        }
    }
    return false;
}

bool pass_heads_of_split(graph_value *v, pass_heads *h) {
    *h = (pass_heads){.value = v, .form = PASS_HEADS_SPLIT, .times = 1, .scale = 1};
    if (!fits(h)) return false;
    take_rows(h);
    return true;
}

graph_dim pass_heads_batch(const pass_heads *h) { return h->value->type.dims[0]; }
graph_dim pass_heads_length(const pass_heads *h) { return h->value->type.dims[h->form == PASS_HEADS_FIRST ? 2 : 1]; }

static const int64_t swap_middle[] = {0, 2, 1, 3};

graph_value *pass_rows_of_heads(pass_context *ctx, graph_node *before, const pass_heads *h) {
    graph_value *v = h->value;
    if (h->form == PASS_HEADS_ROWS) return v;
    if (h->form == PASS_HEADS_FIRST) v = pass_emit_transpose(ctx, before, v, swap_middle);
    return v ? pass_emit_reshape(ctx, before, v, (int64_t[]){0, 0, h->count * h->size}, 3) : NULL;
}

graph_value *pass_split_rows(pass_context *ctx, graph_node *before, graph_value *rows, int64_t count, int64_t size, bool first) {
    graph_value *v = pass_emit_reshape(ctx, before, rows, (int64_t[]){0, 0, count, size}, 4);
    return v && first ? pass_emit_transpose(ctx, before, v, swap_middle) : v;
}
