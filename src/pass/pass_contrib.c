/* SPDX-License-Identifier: Apache-2.0
 *
 * com.microsoft's operators, as ONNX Runtime's transformer optimizer and Optimum write them, and ai.onnx's Attention, RotaryEmbedding and
 * RMSNormalization (opset 23 on) -> the standard ones and nib's own that the other passes know: the way back from pass_expand_ort.c and
 * pass_forms.c. In: f32 nodes of these operators in a graph of opset 13 or later. Out: the same values; a node that uses what is not said
 * here (caches, packed keys, outputs for training) is left as it is, with a note.
 * Contracts: https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md, https://onnx.ai/onnx/operators/
 */
#include "pass_heads.h"
#include "pass_match.h"
#include <math.h>
#include <string.h>

#define MS "com.microsoft"
#define MIN_OPSET 13 /* Unsqueeze and ReduceSum have their axes as inputs */

/* What one node becomes. Values are NULL once memory has run out, and emit passes that on. */
typedef struct rewrite {
    pass_context *ctx;
    graph_node *n;
    const char *why;   /* not NULL: the node stays, and nothing was added */
    nib_status status; /* why a value is NULL; OK: out of memory */
    graph_value *results[4];
    graph_value *guarded; /* reads the first result and is the same value as it: replaced, too */
} rewrite;

static bool reads_output(const graph_node *n, int i) {
    return i < n->n_outputs && n->outputs[i] && (n->outputs[i]->uses || n->outputs[i]->is_output);
}

static graph_value *inferred(rewrite *r, graph_value *v) {
    if (v && r->status == NIB_OK) r->status = op_infer_node(r->ctx->g, v->producer, r->ctx->err);
    return r->status == NIB_OK ? v : NULL;
}

static graph_value *emit_attention(rewrite *r, const op_attention *a) {
    graph_value *y;
    if (r->status == NIB_OK) r->status = pass_emit_attention(r->ctx, r->n, a, r->n->outputs[0]->name, &y);
    return r->status == NIB_OK ? y : NULL;
}

static graph_value *emit(rewrite *r, const char *domain, const char *type, int n, graph_value *const *in) {
    graph_value *v = pass_emit(r->ctx, r->n, domain, type, in, n, r->n->outputs[0] ? r->n->outputs[0]->name : type);
    return inferred(r, v);
}
static graph_value *emit1(rewrite *r, const char *type, graph_value *a) { return a ? emit(r, "", type, 1, &a) : NULL; }
static graph_value *emit2(rewrite *r, const char *type, graph_value *a, graph_value *b) {
    return a && b ? emit(r, "", type, 2, (graph_value *[]){a, b}) : NULL;
}
static graph_value *number(rewrite *r, float x) { return graph_const_f32(r->ctx->g, "c", x); }
static graph_value *ints(rewrite *r, const int64_t *v, int64_t n) { return graph_const_i64(r->ctx->g, "c", v, n); }

/* What takes an attribute, or is inferred with one. */
static graph_value *with_int(rewrite *r, const char *type, int n, graph_value *const *in, const char *name, int64_t value) {
    for (int i = 0; i < n; i++)
        if (!in[i]) return NULL;
    graph_value *v = pass_emit(r->ctx, r->n, "", type, in, n, r->n->outputs[0]->name);
    if (!v || graph_set_int(v->producer, name, value) != NIB_OK) return NULL;
    return inferred(r, v);
}
static graph_value *cast(rewrite *r, graph_value *v, nib_dtype to) { return with_int(r, "Cast", 1, &v, "to", to); }
static graph_value *gather(rewrite *r, graph_value *table, graph_value *ids) {
    return with_int(r, "Gather", 2, (graph_value *[]){table, ids}, "axis", 0);
}
static graph_value *columns(rewrite *r, graph_value *v, int64_t begin, int64_t end) {
    int64_t axis = -1;
    graph_value *in[4] = {v, ints(r, &begin, 1), ints(r, &end, 1), ints(r, &axis, 1)};
    return v && in[1] && in[2] && in[3] ? emit(r, "", "Slice", 4, in) : NULL;
}

/* The last axis of a value, -1 if it is not known. */
static int64_t width_of(const graph_value *v) {
    int64_t d = -1;
    return v && v->type.rank > 0 && graph_dim_is_const(v->type.dims[v->type.rank - 1], &d) ? d : -1;
}

/* Nothing, or [width]. */
static bool is_row(const graph_value *v, int64_t width) { return !v || (v->type.rank == 1 && width_of(v) == width); }

/* ---------------------------------------------------------------- norms */

/* nib.Norm of x, or of x + skip; *sum what it normalized, if wanted. */
static graph_value *norm(rewrite *r, graph_value *x, graph_value *gamma, graph_value *beta, bool rms, graph_value *skip, float epsilon) {
    if (x && skip) x = emit2(r, "Add", x, skip);
    if (!x) return NULL;
    r->results[3] = x;
    graph_value *v = pass_emit(r->ctx, r->n, "nib", "Norm", (graph_value *[]){x, gamma, beta}, beta ? 3 : 2, r->n->outputs[0]->name);
    if (!v || graph_set_string(v->producer, "kind", rms ? "rms" : "layer") != NIB_OK) return NULL;
    if (graph_set_float(v->producer, "epsilon", epsilon) != NIB_OK) return NULL;
    return inferred(r, v);
}

static void skip_norm(rewrite *r) {
    const graph_node *n = r->n;
    bool rms = strcmp(n->op, "SkipSimplifiedLayerNormalization") == 0;
    graph_value *x = pass_input(n, 0), *skip = pass_input(n, 1), *bias = pass_input(n, rms ? 3 : 4);
    if (reads_output(n, 1) || reads_output(n, 2)) r->why = "its mean or variance is read";
    else if (!pass_same_shape(x, skip)) r->why = "its skip may be broadcast";
    else if (width_of(x) < 1 || !is_row(pass_input(n, 2), width_of(x)) || !is_row(pass_input(n, 3), width_of(x)) ||
             !is_row(bias, width_of(x)))
        r->why = "its weights are not one row";
    if (r->why) return;
    if (bias) x = emit2(r, "Add", x, bias);
    r->results[0] = norm(r, x, pass_input(n, 2), rms ? NULL : pass_input(n, 3), rms, skip, graph_attr_float(n, "epsilon", 1e-12f));
}

static void simplified(rewrite *r) {
    int64_t axis = graph_attr_int(r->n, "axis", -1);
    const graph_value *x = pass_input(r->n, 0);
    if (reads_output(r->n, 1)) r->why = "its variance is read";
    else if (axis != -1 && axis != x->type.rank - 1) r->why = "it normalizes several axes";
    else if (width_of(x) < 1 || !is_row(pass_input(r->n, 1), width_of(x))) r->why = "its weights are not one row";
    if (r->why) return;
    r->results[0] = norm(r, pass_input(r->n, 0), pass_input(r->n, 1), NULL, true, NULL, graph_attr_float(r->n, "epsilon", 1e-5f));
}

/* In order; Sum(x, skip, bias), as pass_expand_ort.c writes it in front of a layer norm, with the bias first, so that it joins the product
 * it belongs to. */
static void sum(rewrite *r) {
    graph_value *x = pass_input(r->n, 0), *skip = pass_input(r->n, 1), *bias = pass_input(r->n, 2);
    for (int i = 0; i < r->n->n_inputs; i++)
        if (!pass_input(r->n, i)) r->why = "an input is missing";
    if (r->why) return;
    if (r->n->n_inputs == 3 && pass_same_shape(x, skip) && width_of(x) > 0 && is_row(bias, width_of(x))) {
        x = emit2(r, "Add", x, bias);
        r->results[0] = emit2(r, "Add", x, skip);
        return;
    }
    for (int i = 1; i < r->n->n_inputs; i++) x = emit2(r, "Add", x, pass_input(r->n, i));
    r->results[0] = x;
}

static void embed_norm(rewrite *r) {
    const graph_node *n = r->n;
    graph_value *ids = pass_input(n, 0), *segments = pass_input(n, 1), *mask = pass_input(n, 7), *places = pass_input(n, 8);
    int64_t zero = 0, one = 1;
    int64_t width = width_of(pass_input(n, 2));
    if (!pass_input(n, 3) || !pass_input(n, 5) || !pass_input(n, 6) || !segments != !pass_input(n, 4)) r->why = "an input is missing";
    else if (width < 1 || !is_row(pass_input(n, 5), width) || !is_row(pass_input(n, 6), width)) r->why = "its weights are not one row";
    else if (ids->type.rank != 2) r->why = "its ids are not [batch, tokens]";
    else if (reads_output(n, 1) && !mask) r->why = "its lengths are read, and it has no mask";
    if (r->why) return;
    if (!places) { /* 0, 1, .. */
        graph_value *size = emit1(r, "Shape", ids), *S = size ? gather(r, size, ints(r, &one, -1)) : NULL;
        graph_value *range[3] = {ints(r, &zero, -1), S, ints(r, &one, -1)};
        places = range[0] && S && range[2] ? emit(r, "", "Range", 3, range) : NULL;
        places = places ? emit2(r, "Expand", places, size) : NULL; /* as the ids: one row for each token */
    }
    graph_value *sum = emit2(r, "Add", gather(r, pass_input(n, 2), ids), gather(r, pass_input(n, 3), places));
    if (segments) sum = emit2(r, "Add", sum, gather(r, pass_input(n, 4), segments));
    r->results[0] = norm(r, sum, pass_input(n, 5), pass_input(n, 6), false, NULL, graph_attr_float(n, "epsilon", 1e-12f));
    r->results[2] = sum;
    if (!reads_output(n, 1)) return;
    graph_value *ones = cast(r, emit2(r, "Equal", cast(r, mask, NIB_DTYPE_I64), ints(r, &one, -1)), NIB_DTYPE_I32);
    r->results[1] = with_int(r, "ReduceSum", 2, (graph_value *[]){ones, ints(r, &one, 1)}, "keepdims", 0);
}

/* ---------------------------------------------------------------- activations, products */

static graph_value *biased(rewrite *r) {
    return pass_input(r->n, 1) ? emit2(r, "Add", pass_input(r->n, 0), pass_input(r->n, 1)) : pass_input(r->n, 0);
}

static void bias_gelu(rewrite *r) {
    graph_value *x = biased(r);
    r->results[0] = x ? emit(r, MS, "Gelu", 1, &x) : NULL;
}

static void fast_gelu(rewrite *r) {
    graph_value *x = biased(r);
    graph_value *cube = emit2(r, "Mul", number(r, 0.044715f), x ? emit2(r, "Pow", x, number(r, 3)) : NULL);
    graph_value *inner = emit1(r, "Tanh", emit2(r, "Mul", number(r, 0.79788456f), x ? emit2(r, "Add", x, cube) : NULL));
    r->results[0] = emit2(r, "Mul", x ? emit2(r, "Mul", x, number(r, 0.5f)) : NULL, inner ? emit2(r, "Add", inner, number(r, 1)) : NULL);
}

static void quick_gelu(rewrite *r) {
    graph_value *x = pass_input(r->n, 0);
    graph_value *gate = emit1(r, "Sigmoid", emit2(r, "Mul", x, number(r, graph_attr_float(r->n, "alpha", 1.702f))));
    r->results[0] = emit2(r, "Mul", x, gate);
}

static graph_value *transposed(rewrite *r, graph_value *v) {
    int64_t perm[GRAPH_MAX_RANK];
    int rank = v->type.rank;
    for (int i = 0; i < rank; i++) perm[i] = i < rank - 2 ? i : 2 * rank - 3 - i;
    graph_value *t = pass_emit(r->ctx, r->n, "", "Transpose", &v, 1, v->name);
    if (!t || graph_set_ints(t->producer, "perm", perm, (size_t)rank) != NIB_OK) return NULL;
    return inferred(r, t);
}

static void fused_matmul(rewrite *r) {
    const graph_node *n = r->n;
    graph_value *a = pass_input(n, 0), *b = pass_input(n, 1);
    bool a_turned = graph_attr_int(n, "transA", 0), b_turned = graph_attr_int(n, "transB", 0);
    float alpha = graph_attr_float(n, "alpha", 1);
    if (graph_attr_int(n, "transBatchA", 0) || graph_attr_int(n, "transBatchB", 0)) r->why = "its batch axes are turned";
    else if ((a_turned && a->type.rank < 2) || (b_turned && b->type.rank < 2)) r->why = "what it turns has no known rank";
    if (r->why) return;
    if (a_turned) a = transposed(r, a);
    if (b_turned) b = transposed(r, b);
    graph_value *y = emit2(r, "MatMul", a, b);
    r->results[0] = alpha == 1 ? y : emit2(r, "Mul", y, number(r, alpha));
}

/* ---------------------------------------------------------------- attention */

/* What is added to scores: filter where a key does not count. mask [B, T], or [B] lengths; keys [B, T, ..] says T. */
static graph_value *mask_bias(rewrite *r, graph_value *mask, graph_value *keys) {
    int64_t zero = 0, one = 1;
    graph_value *open;
    if (mask->type.rank == 1) {
        graph_value *size = emit1(r, "Shape", keys), *T = size ? gather(r, size, ints(r, &one, -1)) : NULL;
        graph_value *range[3] = {ints(r, &zero, -1), T, ints(r, &one, -1)};
        graph_value *place = range[0] && T && range[2] ? emit(r, "", "Range", 3, range) : NULL;
        place = place ? emit2(r, "Unsqueeze", place, ints(r, &zero, 1)) : NULL;
        open = emit2(r, "Less", place, emit2(r, "Unsqueeze", cast(r, mask, NIB_DTYPE_I64), ints(r, &one, 1)));
    } else {
        open = emit2(r, "Greater", cast(r, mask, NIB_DTYPE_I64), ints(r, &zero, -1));
    }
    graph_value *parts[3] = {open, number(r, 0), number(r, graph_attr_float(r->n, "mask_filter_value", -10000.0f))};
    graph_value *closed = open && parts[1] && parts[2] ? emit(r, "", "Where", 3, parts)
                                                       : NULL; /* not a product: 0 times infinity is NaN */
    return closed ? emit2(r, "Unsqueeze", closed, ints(r, (int64_t[]){1, 2}, 2)) : NULL;
}

/* A mask that mask_bias can say; NULL with *why where not. */
static const char *mask_refusal(const graph_value *mask, const graph_value *bias, const graph_value *rows) {
    if (bias && bias->type.rank != 4) return "its attention bias is not [batch, heads, queries, keys]";
    if (!mask) return NULL;
    if (mask->type.rank == 1 && mask->type.dims[0] && mask->type.dims[0] == rows->type.dims[0]) return NULL;
    return mask->type.rank == 2 ? NULL : "its mask is neither [batch, keys] nor one length a text";
}

/* Where(IsNaN(y), 0, y) behind a node: nib.Attention is 0 already where all keys of a query are closed. Where a bias may be
 * +infinity it stays. */
static graph_value *guard_of(const graph_value *y) {
    pass_match m;
    for (const graph_use *u = y->use_count == 2 && !y->is_output ? y->uses : NULL; u; u = u->next)
        if (graph_is_op(u->node, "", "Where") && pass_match_at("Where(IsNaN(p), 0, p)", u->node->outputs[0], &m) &&
            pass_matched(&m, "p") == y && pass_same_shape(u->node->outputs[0], y))
            return u->node->outputs[0];
    return NULL;
}

static void attend(rewrite *r, graph_value *const qkv[3], int64_t kv_heads, int64_t size, graph_value *mask, graph_value *bias) {
    const float scale = graph_attr_float(r->n, "scale", 0);
    graph_value *added = mask ? mask_bias(r, mask, qkv[1]) : bias;
    if (!qkv[0] || !qkv[1] || !qkv[2] || (mask && !added)) return;
    if (mask && bias && !(added = emit2(r, "Add", bias, added))) return;
    if (!added || !pass_may_overflow(added)) r->guarded = guard_of(r->n->outputs[0]);
    const op_attention a = {.q = qkv[0],
                            .k = qkv[1],
                            .v = qkv[2],
                            .bias = added,
                            .heads = graph_attr_int(r->n, "num_heads", 1),
                            .kv_heads = kv_heads,
                            .left = -1,
                            .right = -1,
                            .scale = scale != 0 ? scale : 1 / sqrtf((float)size),
                            .causal = graph_attr_int(r->n, "unidirectional", 0) != 0,
                            .masked_nan = added && !r->guarded && pass_mode_of(r->ctx)->queries == PASS_QUERIES_ALL};
    r->results[0] = emit_attention(r, &a);
}

/* Whether a query may have no key at all, and so NaN: with a mask or an attention bias that has -infinity, and no guard
 * behind it. */
static bool may_be_nan(const rewrite *r, const graph_value *mask, const graph_value *bias) {
    const bool hidden = mask && graph_attr_float(r->n, "mask_filter_value", -10000.0f) == -INFINITY;
    return (hidden || (bias && pass_may_be_infinite(bias))) && !guard_of(r->n->outputs[0]);
}

static const char *attention_refusal(const rewrite *r, int past, int n_past, int mask) {
    const graph_node *n = r->n;
    for (int i = 0; i < n_past; i++)
        if (pass_input(n, past + i)) return "it has a cache";
    for (int i = 1; i < 4; i++)
        if (reads_output(n, i)) return "its keys and values are read";
    if (graph_attr_int(n, "unidirectional", 0) && !pass_can_say(r->ctx, "Attention")) return "the file cannot say that it is causal";
    if (graph_attr_int(n, "unidirectional", 0) && !pass_mode_of(r->ctx)->runs &&
        may_be_nan(r, pass_input(n, mask), pass_input(n, 5)))
        return "the file cannot say that it is causal, and NaN where a query has no key";
    return graph_attr_int(n, "num_heads", 0) < 1 ? "it has no heads" : NULL;
}

/* Heads of queries, keys or values: rows [B, T, heads D], or [B, heads, T, D], which may be fewer heads, repeated. */
static bool read_heads(graph_value *v, int64_t heads, pass_heads *out) {
    int64_t count, width = width_of(v);
    if (!v || width < 1 || (v->type.rank != 3 && v->type.rank != 4)) return false;
    if (v->type.rank == 4 && pass_find_heads(v, false, out) && out->scale == 1 && out->count * out->times == heads) return true;
    if (v->type.rank == 4 && (!graph_dim_is_const(v->type.dims[1], &count) || count != heads)) return false;
    *out = (pass_heads){.value = v, .form = v->type.rank == 3 ? PASS_HEADS_ROWS : PASS_HEADS_FIRST, .times = 1, .scale = 1};
    out->count = heads;
    out->size = v->type.rank == 3 ? width / heads : width;
    return (v->type.rank == 4 || width % heads == 0) && out->size <= OP_HEAD_MAX;
}

static bool same_lengths(const pass_heads *a, const pass_heads *b) {
    return pass_heads_length(a) && pass_heads_length(a) == pass_heads_length(b);
}

static const char *heads_refusal(rewrite *r, pass_heads h[3]) {
    const graph_value *q = pass_input(r->n, 0), *k = pass_input(r->n, 1), *v = pass_input(r->n, 2), *bias = pass_input(r->n, 3);
    int64_t heads = graph_attr_int(r->n, "num_heads", 1);
    if (!q || q->type.rank != 3 || !k || !v || k->type.rank != v->type.rank) return "its queries are no rows, or its keys are packed";
    for (int i = 0; i < 3; i++)
        if (!read_heads(pass_input(r->n, i), heads, &h[i])) return "its rows are not heads of one size";
    for (int i = 1; i < 3; i++)
        if (h[i].size != h[0].size || h[i].count != h[1].count || !pass_heads_batch(&h[0]) ||
            pass_heads_batch(&h[i]) != pass_heads_batch(&h[0]))
            return "its queries, keys and values do not fit";
    if (!same_lengths(&h[1], &h[2])) return "its queries, keys and values do not fit";
    if (bias && (k->type.rank != 3 || !is_row(bias, 3 * heads * h[0].size))) return "its bias does not fit";
    if (graph_attr_int(r->n, "unidirectional", 0) && !same_lengths(&h[0], &h[1]))
        return "it is causal, and has not as many keys as queries";
    return mask_refusal(pass_input(r->n, 4), pass_input(r->n, 5), q);
}

static void multi_head(rewrite *r) {
    const graph_node *n = r->n;
    pass_heads h[3];
    graph_value *qkv[3], *bias = pass_input(n, 3);
    r->why = attention_refusal(r, 6, 4, 4);
    if (!r->why) r->why = heads_refusal(r, h);
    if (!r->why && h[1].count != h[0].count &&
        (!pass_can_say(r->ctx, "Attention") ||
         (!pass_mode_of(r->ctx)->runs && may_be_nan(r, pass_input(n, 4), pass_input(n, 5)))))
        r->why = "the file cannot say that its keys are shared";
    if (r->why) return;
    int64_t width = h[0].count * h[0].size;
    for (int i = 0; i < 3; i++) {
        qkv[i] = pass_rows_of_heads(r->ctx, r->n, &h[i]);
        if (bias) qkv[i] = emit2(r, "Add", qkv[i], columns(r, bias, i * width, (i + 1) * width));
    }
    attend(r, qkv, h[1].count, h[0].size, pass_input(n, 4), pass_input(n, 5));
}

/* As pass_merge.c writes it where there is none. */
static bool is_zero(const graph_value *v) {
    const graph_tensor *t = v->constant;
    float x;
    for (size_t i = 0; t && t->data && i + sizeof x <= t->bytes; i += sizeof x) {
        memcpy(&x, (const char *)t->data + i, sizeof x);
        if (x != 0) return false;
    }
    return t && t->data;
}

static void attention(rewrite *r) {
    const graph_node *n = r->n;
    graph_value *x = pass_input(n, 0), *w = pass_input(n, 1), *bias = pass_input(n, 2), *mask = pass_input(n, 3), *qkv[3] = {NULL};
    int64_t heads = graph_attr_int(n, "num_heads", 1), width = width_of(w) / 3;
    const int64_t *sizes = NULL;
    r->why = attention_refusal(r, 4, 1, 3);
    if (!r->why && pass_input(n, 6)) r->why = "it has a cache";
    if (!r->why && graph_attr_int(n, "do_rotary", 0)) r->why = "it turns its queries and keys";
    if (!r->why && (graph_attr_ints(n, "qkv_hidden_sizes", &sizes) == 3 && (sizes[0] != width || sizes[1] != width || sizes[2] != width)))
        r->why = "its queries, keys and values differ in width";
    if (!r->why && (x->type.rank != 3 || width_of(w) % 3 || width < 1 || width % heads || width / heads > OP_HEAD_MAX))
        r->why = "its rows are not heads of one size";
    if (!r->why && !is_row(bias, 3 * width)) r->why = "its bias does not fit";
    if (!r->why) r->why = mask_refusal(mask, pass_input(n, 5), x);
    if (r->why) return;
    if (bias && is_zero(bias)) bias = NULL;
    for (int i = 0; i < 3; i++) { /* pass_qkv puts them together again where that pays */
        qkv[i] = emit2(r, "MatMul", x, columns(r, w, i * width, (i + 1) * width));
        if (bias) qkv[i] = emit2(r, "Add", qkv[i], columns(r, bias, i * width, (i + 1) * width));
    }
    attend(r, qkv, heads, width / heads, mask, pass_input(n, 5));
}

/* ---------------------------------------------------------------- rotary positions */

/* first, first + 1, .. for each row of x: [1, S]. */
static graph_value *places_from(rewrite *r, graph_value *first, graph_value *x) {
    int64_t zero = 0, one = 1, at;
    graph_value *size = emit1(r, "Shape", x), *end = size ? gather(r, size, ints(r, &one, -1)) : NULL;
    if (pass_int_at(first, 0, &at) && at == 0) {
        first = ints(r, &zero, -1);
    } else {
        if (first->type.rank == 1) first = emit2(r, "Squeeze", first, ints(r, &zero, 1));
        end = emit2(r, "Add", end, first);
    }
    graph_value *range[3] = {first, end, ints(r, &one, -1)};
    graph_value *v = first && end && range[2] ? emit(r, "", "Range", 3, range) : NULL;
    return emit2(r, "Unsqueeze", v, ints(r, &zero, 1));
}

/* Of com.microsoft x, ids, cos, sin; of ai.onnx x, cos, sin, ids. */
typedef struct rotary_inputs {
    graph_value *x, *ids, *cos, *sin;
} rotary_inputs;

static const char *rotary_refusal(const rewrite *r, const rotary_inputs *in, pass_heads *h, int64_t *turned) {
    const graph_value *x = in->x, *ids = in->ids, *cos = in->cos, *sin = in->sin;
    int64_t heads = graph_attr_int(r->n, "num_heads", 0), half = width_of(cos), width = width_of(x), one;
    *turned = graph_attr_int(r->n, "rotary_embedding_dim", 0);
    if (graph_attr_int(r->n, "is_packed_batching", 0)) return "its batch is packed";
    if (graph_attr_int(r->n, "interleaved", 0) && !pass_mode_of(r->ctx)->runs)
        return "the file cannot say that its pairs are interleaved";
    if (cos->type.rank != 2 || sin->type.rank != 2 || half < 1 || width_of(sin) != half) return "its tables are not of one width";
    if (x->type.rank == 3 && heads == 0 && *turned == 0 && width > 0) heads = width / (2 * half);
    if (x->type.rank == 4 && !graph_dim_is_const(x->type.dims[1], &heads)) return "its heads are not known";
    if (heads < 1 || !read_heads(pass_input(r->n, 0), heads, h) || h->times != 1) return "its rows are not heads of one size";
    if (*turned == 0) *turned = h->size;
    if (*turned != 2 * half || *turned > h->size) return "its tables do not fit its heads";
    if (ids->type.dtype != NIB_DTYPE_I64 || ids->type.rank < 0 || ids->type.rank > 2) return "its positions are not [1] or [batch, tokens]";
    if (ids->type.rank == 1 && (!graph_dim_is_const(ids->type.dims[0], &one) || one != 1)) return "its positions are not [1]";
    return NULL;
}

static void turn(rewrite *r, rotary_inputs of) {
    const graph_node *n = r->n;
    pass_heads h;
    int64_t turned;
    r->why = rotary_refusal(r, &of, &h, &turned);
    if (r->why) return;
    graph_value *rows = pass_rows_of_heads(r->ctx, r->n, &h), *ids = of.ids;
    if (rows && ids->type.rank < 2) ids = places_from(r, ids, rows);
    if (!rows || !ids) return;
    graph_value *y = pass_emit(r->ctx, r->n, "nib", "Rotary", (graph_value *[]){rows, of.cos, of.sin, ids}, 4, n->outputs[0]->name);
    const struct {
        const char *name;
        int64_t value;
    } attrs[] = {{"heads", h.count}, {"head_size", h.size}, {"rotary", turned}, {"interleaved", graph_attr_int(n, "interleaved", 0)}};
    for (size_t i = 0; i < BASE_COUNT(attrs); i++) {
        bool usual = i == 2 ? turned == h.size : attrs[i].value == 0;
        if (!y || (!usual && graph_set_int(y->producer, attrs[i].name, attrs[i].value) != NIB_OK)) return;
    }
    y = inferred(r, y);
    r->results[0] = y && pass_input(n, 0)->type.rank == 4 ? pass_split_rows(r->ctx, r->n, y, h.count, h.size, true) : y;
}

static void rotary(rewrite *r) {
    turn(r, (rotary_inputs){pass_input(r->n, 0), pass_input(r->n, 1), pass_input(r->n, 2), pass_input(r->n, 3)});
}

/* The table [P, width] that v [B, S, width] is rows of, and which: *ids. For [1, S, width] the rows in order. */
static graph_value *table_of(rewrite *r, graph_value *v, graph_value **ids) {
    const graph_node *g = v->producer;
    int64_t shape[2] = {-1, width_of(v)}, zero = 0;
    if (graph_is_op(g, "", "Gather") && graph_attr_int(g, "axis", 0) == 0 && g->inputs[0].value->type.rank == 2 &&
        g->inputs[1].value->type.rank == 2) {
        *ids = g->inputs[1].value;
        return g->inputs[0].value;
    }
    if (!graph_dim_is_one(v->type.dims[0]) || shape[1] < 1) return r->why = "its angles are each text's own", NULL;
    if (!*ids) *ids = ints(r, &zero, 1);
    return pass_emit_reshape(r->ctx, r->n, v, shape, 2);
}

static void standard_rotary(rewrite *r) {
    rotary_inputs in = {pass_input(r->n, 0), pass_input(r->n, 3), pass_input(r->n, 1), pass_input(r->n, 2)};
    graph_value *other = NULL;
    if (!in.ids && (in.cos->type.rank != 3 || in.sin->type.rank != 3)) r->why = "its angles are no table";
    if (r->why) return;
    if (!in.ids) {
        in.cos = table_of(r, in.cos, &in.ids);
        in.sin = r->why ? NULL : table_of(r, in.sin, &other);
        if (!r->why && in.ids != other && in.ids && !in.ids->constant) r->why = "its sines and cosines are of different positions";
        if (r->why || !in.cos || !in.sin || !in.ids) return;
    }
    turn(r, in);
}

/* ---------------------------------------------------------------- ai.onnx's Attention */

/* What opsets after 24 have added is not said here. */
static bool has_other_attributes(const graph_node *n) {
    static const char *const known[] = {"is_causal", "kv_num_heads", "q_num_heads",      "qk_matmul_output_mode",
                                        "scale",     "softcap",      "softmax_precision"};
    for (int i = 0; i < n->n_attrs; i++) {
        bool is_known = false;
        for (size_t k = 0; k < BASE_COUNT(known); k++) is_known |= strcmp(n->attrs[i].name, known[k]) == 0;
        if (!is_known) return true;
    }
    return n->n_inputs > 7;
}

static const char *standard_refusal(rewrite *r, pass_heads h[3]) {
    const graph_node *n = r->n;
    const graph_value *mask = pass_input(n, 3), *q = pass_input(n, 0);
    int64_t heads[2] = {graph_attr_int(n, "q_num_heads", 0), graph_attr_int(n, "kv_num_heads", 0)};
    if (has_other_attributes(n)) return "it has attributes of a later opset";
    if (pass_input(n, 4) || pass_input(n, 5)) return "it has a cache";
    if (pass_input(n, 6)) return "it has lengths of keys";
    for (int i = 1; i < 4; i++)
        if (reads_output(n, i)) return "its keys, values or scores are read";
    for (int i = 0; i < 3; i++) {
        graph_value *v = pass_input(n, i);
        if (v->type.rank == 4 && !graph_dim_is_const(v->type.dims[1], &heads[i > 0])) return "its heads are not known";
        if (v->type.rank != q->type.rank || heads[i > 0] < 1 || !read_heads(v, heads[i > 0], &h[i]))
            return "its rows are not heads of one size";
    }
    for (int i = 1; i < 3; i++)
        if (h[i].size != h[0].size || h[i].count != h[1].count || h[0].count % h[i].count || !pass_heads_batch(&h[0]) ||
            pass_heads_batch(&h[i]) != pass_heads_batch(&h[0]))
            return "its queries, keys and values do not fit";
    if (!same_lengths(&h[1], &h[2])) return "its queries, keys and values do not fit";
    if (graph_attr_int(n, "is_causal", 0) && !same_lengths(&h[0], &h[1])) return "it is causal, and has not as many keys as queries";
    if (!mask) return NULL;
    if (mask->type.dtype != NIB_DTYPE_F32 && mask->type.dtype != NIB_DTYPE_BOOL) return "its mask is neither f32 nor bool";
    if (mask->type.rank < 2 || mask->type.rank > 4) return "its mask has no rank of 2 to 4";
    graph_dim keys = mask->type.dims[mask->type.rank - 1];
    return keys && keys == pass_heads_length(&h[1]) ? NULL : "its mask may be shorter than its keys";
}

/* What is added to scores: [.., S, T] of rank 4. */
static graph_value *standard_bias(rewrite *r, graph_value *mask) {
    static const int64_t axes[] = {0, 1};
    if (mask->type.dtype == NIB_DTYPE_BOOL) mask = emit(r, "", "Where", 3, (graph_value *[]){mask, number(r, 0), number(r, -INFINITY)});
    return mask && mask->type.rank < 4 ? emit2(r, "Unsqueeze", mask, ints(r, axes, 4 - mask->type.rank)) : mask;
}

static void standard_attention(rewrite *r) {
    const graph_node *n = r->n;
    graph_value *mask = pass_input(n, 3), *in[4] = {NULL};
    pass_heads h[3];
    r->why = standard_refusal(r, h);
    if (r->why) return;
    const bool first = pass_input(n, 0)->type.rank == 4;
    const float scale = graph_attr_float(n, "scale", 0), cap = graph_attr_float(n, "softcap", 0);
    for (int i = 0; i < 3; i++)
        if (!(in[i] = pass_rows_of_heads(r->ctx, r->n, &h[i]))) return;
    if (mask && !(in[3] = standard_bias(r, mask))) return;
    const op_attention a = {.q = in[0],
                            .k = in[1],
                            .v = in[2],
                            .bias = in[3],
                            .heads = h[0].count,
                            .kv_heads = h[1].count,
                            .left = -1,
                            .right = -1,
                            .scale = scale != 0 ? scale : 1 / sqrtf((float)h[0].size),
                            .softcap = cap > 0 ? cap : 0,
                            .causal = graph_attr_int(n, "is_causal", 0) != 0};
    graph_value *y = emit_attention(r, &a);
    r->results[0] = y && first ? pass_split_rows(r->ctx, r->n, y, h[0].count, h[0].size, true) : y;
    if (!first && !(in[3] && pass_may_overflow(in[3]))) r->guarded = guard_of(n->outputs[0]);
}

/* ---------------------------------------------------------------- the table */

typedef struct contrib {
    const char *domain, *type;
    int need; /* so many of its first inputs must be there */
    void (*write)(rewrite *r);
    bool late; /* once what its inputs are made of is fused */
} contrib;

static const contrib table[] = {
    {MS, "SkipLayerNormalization", 3, skip_norm, false},
    {MS, "SkipSimplifiedLayerNormalization", 3, skip_norm, false},
    {MS, "SimplifiedLayerNormalization", 2, simplified, false},
    {MS, "EmbedLayerNormalization", 1, embed_norm, false},
    {MS, "BiasGelu", 2, bias_gelu, false},
    {MS, "FastGelu", 1, fast_gelu, false},
    {MS, "QuickGelu", 1, quick_gelu, false},
    {MS, "FusedMatMul", 2, fused_matmul, false},
    {MS, "MultiHeadAttention", 1, multi_head, false},
    {MS, "RotaryEmbedding", 4, rotary, false},
    {"", "Sum", 2, sum, false},
    {MS, "Attention", 2, attention, false},
    {"", "SimplifiedLayerNormalization", 2, simplified, false}, /* exporters also wrote it into the standard domain */
    {"", "RMSNormalization", 2, simplified, false},
    {"", "RotaryEmbedding", 3, standard_rotary, true},
    {"", "Attention", 3, standard_attention, true},
};

static nib_status try_at(pass_context *ctx, graph_node *n, const contrib *c) {
    nib_status status = NIB_OK;
    graph_node *before = n->prev;
    rewrite r = {.ctx = ctx, .n = n};
    for (int i = 0; i < c->need; i++)
        if (!pass_input(n, i)) r.why = "an input is missing";
    for (int i = 0; i < n->n_inputs && !r.why; i++) {
        nib_dtype t = n->inputs[i].value ? n->inputs[i].value->type.dtype : NIB_DTYPE_F32;
        if (t != NIB_DTYPE_F32 && t != NIB_DTYPE_I32 && t != NIB_DTYPE_I64 && t != NIB_DTYPE_BOOL) r.why = "it is not f32";
    }
    if (!r.why && n->n_outputs > 0) c->write(&r);
    if (r.why) {
        pass_note(ctx, "%s at %s is left as it is: %s", n->op, n->name[0] ? n->name : n->outputs[0]->name, r.why);
        return NIB_OK;
    }
    for (int i = 0; i < n->n_outputs && status == NIB_OK; i++) {
        if (!reads_output(n, i)) continue;
        if (i < 4 && r.results[i]) continue;
        status = r.status != NIB_OK ? r.status : base_error_set(ctx->err, NIB_OUT_OF_MEMORY, "out of memory while rewriting %s", n->op);
    }
    if (status != NIB_OK) {
        while (n->prev != before) graph_remove_node(ctx->g, n->prev);
        return status;
    }
    for (int i = 0; i < n->n_outputs; i++)
        if (reads_output(n, i)) NIB_TRY(pass_replace(ctx, n->outputs[i], r.results[i]));
    if (r.guarded) NIB_TRY(pass_replace(ctx, r.guarded, r.results[0]));
    graph_remove_node(ctx->g, n);
fail:
    return status;
}

/* In a file, a Sum of ai.onnx only in front of a norm, which becomes what it was, and what opset 23 says as it stands. */
static bool takes(const pass_context *ctx, const graph_node *n) {
    if (n->domain[0] || pass_mode_of(ctx)->runs || strcmp(n->op, "SimplifiedLayerNormalization") == 0) return true;
    if (!graph_is_op(n, "", "Sum")) return false;
    for (const graph_use *u = n->outputs[0]->uses; u; u = u->next)
        if (graph_is_op(u->node, "", "LayerNormalization")) return true;
    return false;
}

static nib_status rewrite_all(pass_context *ctx, bool late) {
    nib_status status = NIB_OK;
    if (graph_opset_version(ctx->g, "") < MIN_OPSET) return NIB_OK;
    for (graph_node *n = ctx->g->first, *next; n; n = next) {
        next = n->next;
        for (size_t i = 0; i < BASE_COUNT(table); i++)
            if (table[i].late == late && graph_is_op(n, table[i].domain, table[i].type) && n->n_outputs && n->outputs[0] && takes(ctx, n)) {
                NIB_TRY(try_at(ctx, n, &table[i]));
                break;
            }
    }
fail:
    return status;
}

nib_status pass_contrib(pass_context *ctx) { return rewrite_all(ctx, false); }
nib_status pass_standard(pass_context *ctx) { return rewrite_all(ctx, true); }
