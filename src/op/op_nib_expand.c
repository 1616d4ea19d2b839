/* SPDX-License-Identifier: Apache-2.0
 *
 * What nib's own operators are in standard ones. In: a nib node and the graph it stands in (opset 13 or later; 7 for Linear,
 * Norm, Embed, Attention). Out: nodes of ai.onnx in front of it that compute the same, its uses moved over to them, and the node gone; or
 * UNSUPPORTED, and the graph as it was, for what they cannot say in a few nodes: packed attention and pooling, causal or windowed
 * attention, grouped heads, quantized weights.
 *
 * Each function only writes the formula; values are NULL once memory has run out, and emit passes that on.
 */
#include "op_nib.h"
#include <math.h>
#include <string.h>

#define MIN_OPSET 13 /* Unsqueeze and ReduceSum have their axes as inputs */
#define LONG_OPSET 7 /* what those write that need neither; below, operators broadcast otherwise */

typedef struct expansion {
    graph *g;
    graph_node *node;
    graph_node *before; /* the node in front of which nothing was added yet: what follows it up to `node` is ours */
    int opset;
    const char *missing; /* an operator that the opset does not have */
    nib_error *err;
} expansion;

static nib_status begin_since(expansion *e, int first, graph *g, graph_node *n, nib_error *err) {
    *e = (expansion){.g = g, .node = n, .before = n->prev, .opset = graph_opset_version(g, ""), .err = err};
    if (e->opset >= first) return NIB_OK;
    nib_status status =
        base_error_set(err, NIB_UNSUPPORTED, "nib.%s cannot be written in opset %d: %d is the first", n->op, e->opset, first);
    base_error_at_node(err, n->name);
    return status;
}

static nib_status begin(expansion *e, graph *g, graph_node *n, nib_error *err) { return begin_since(e, MIN_OPSET, g, n, err); }

static nib_status refuse(const expansion *e, const char *why) {
    nib_status status = base_error_set(e->err, NIB_UNSUPPORTED, "nib.%s cannot be written in standard operators: %s", e->node->op, why);
    base_error_at_node(e->err, e->node->name);
    return status;
}

/* One node with one output. NULL if an input is. */
static graph_value *emit(expansion *e, const char *type, int n, graph_value *const *in) {
    for (int i = 0; i < n; i++)
        if (!in[i]) return NULL;
    graph_value *v = graph_emit(e->g, e->node, "", type, in, n, e->node->outputs[0] ? e->node->outputs[0]->name : type);
    if (v && !(v->producer->meaning = op_find("", type, e->opset))) e->missing = type;
    return v;
}
static graph_value *emit1(expansion *e, const char *type, graph_value *a) { return emit(e, type, 1, &a); }
static graph_value *emit2(expansion *e, const char *type, graph_value *a, graph_value *b) {
    return emit(e, type, 2, (graph_value *[]){a, b});
}
static graph_value *emit3(expansion *e, const char *type, graph_value *a, graph_value *b, graph_value *c) {
    return emit(e, type, 3, (graph_value *[]){a, b, c});
}

static graph_value *with_int(graph_value *v, const char *name, int64_t value) {
    return v && graph_set_int(v->producer, name, value) == NIB_OK ? v : NULL;
}
static graph_value *number(expansion *e, float x) { return graph_const_f32(e->g, "c", x); }
static graph_value *ints(expansion *e, const int64_t *values, int64_t n) { return graph_const_i64(e->g, "c", values, n); }
static graph_value *cast(expansion *e, graph_value *v, nib_dtype to) { return with_int(emit1(e, "Cast", v), "to", to); }

static graph_value *transpose(expansion *e, graph_value *v, const int64_t *perm, size_t n) {
    v = emit1(e, "Transpose", v);
    return v && graph_set_ints(v->producer, "perm", perm, n) == NIB_OK ? v : NULL;
}

static graph_value *unsqueeze(expansion *e, graph_value *v, int64_t axis) { return emit2(e, "Unsqueeze", v, ints(e, &axis, 1)); }

/* ReduceSum has its axes as an input since 13, the others since 18. */
static graph_value *reduce(expansion *e, const char *type, graph_value *v, int64_t axis, bool keep) {
    bool input = e->opset >= 18 || strcmp(type, "ReduceSum") == 0;
    v = input ? emit2(e, type, v, ints(e, &axis, 1)) : emit1(e, type, v);
    if (v && !input && graph_set_ints(v->producer, "axes", &axis, 1) != NIB_OK) return NULL;
    return with_int(v, "keepdims", keep);
}

/* Counted from the front before 11, where operators do not have to know -1. */
static int64_t last_axis(const expansion *e, const graph_value *v) {
    return e->opset < 11 && v && v->type.rank > 0 ? v->type.rank - 1 : -1;
}

static graph_value *in(const expansion *e, int i) { return i < e->node->n_inputs ? e->node->inputs[i].value : NULL; }

/* Takes the node away again with all that was put in front of it, or puts `results` in place of its outputs. */
static nib_status finish(expansion *e, graph_value *const *results, int n) {
    nib_status status = NIB_OK;
    for (int i = 0; i < n; i++)
        if (e->node->outputs[i] && !results[i]) NIB_FAIL(e->err, NIB_OUT_OF_MEMORY, "out of memory");
    if (e->missing)
        NIB_FAIL(e->err, NIB_UNSUPPORTED, "nib.%s cannot be written in opset %d: it has no %s", e->node->op, e->opset, e->missing);
    for (graph_node *k = e->before ? e->before->next : e->g->first; k != e->node; k = k->next) NIB_TRY(op_infer_node(e->g, k, e->err));
    for (int i = 0; i < n; i++) {
        graph_value *old = e->node->outputs[i];
        if (!old) continue;
        if (results[i]->type.rank < 0) results[i]->type = old->type;
        graph_take_over(e->g, old, results[i]);
    }
    graph_remove_node(e->g, e->node);
    return NIB_OK;
fail:
    while (e->node->prev != e->before) graph_remove_node(e->g, e->node->prev);
    return status;
}

static nib_status finish1(expansion *e, graph_value *result) { return finish(e, &result, 1); }

/* Columns [begin, end) of rows. Slice has them as inputs since 10. */
static graph_value *columns(expansion *e, graph_value *v, int64_t begin, int64_t end) {
    int64_t axis = last_axis(e, v);
    if (e->opset < 10) {
        v = emit1(e, "Slice", v);
        bool ok = v && graph_set_ints(v->producer, "starts", &begin, 1) == NIB_OK && graph_set_ints(v->producer, "ends", &end, 1) == NIB_OK;
        return ok && graph_set_ints(v->producer, "axes", &axis, 1) == NIB_OK ? v : NULL;
    }
    graph_value *args[4] = {v, ints(e, &begin, 1), ints(e, &end, 1), ints(e, &axis, 1)};
    return emit(e, "Slice", 4, args);
}

/* Columns [0, width) and [width, 2 width) of rows; false: out of memory. Split has its sizes as an input since 13. */
static bool halves_of(expansion *e, graph_value *v, int64_t width, graph_value *out[2]) {
    const int64_t sizes[2] = {width, width};
    graph_value *args[2] = {v, v && e->opset >= 13 ? ints(e, sizes, 2) : NULL};
    for (int i = 0; i < 2; i++)
        if (!v || !(out[i] = graph_add_value(e->g, v->name))) return false;
    if (e->opset >= 13 && !args[1]) return false;
    graph_node *n = graph_add_node(e->g, e->node, "", "Split", "", args, args[1] ? 2 : 1, out, 2);
    if (!n || graph_set_int(n, "axis", last_axis(e, in(e, 0))) != NIB_OK) return false;
    if (!args[1] && graph_set_ints(n, "split", sizes, 2) != NIB_OK) return false;
    n->meaning = op_find("", "Split", e->opset);
    return true;
}

/* ---------------------------------------------------------------- Linear, Norm, Embed */

static graph_value *as_f32(expansion *e, graph_value *v) {
    return v->type.dtype == NIB_DTYPE_F16 || v->type.dtype == NIB_DTYPE_BF16 ? cast(e, v, NIB_DTYPE_F32) : v;
}

static graph_value *activate(expansion *e, graph_value *x, int activation) {
    graph_value *gate, *half, *cube;
    if (e->opset >= 20 && (activation == KERNEL_ACT_GELU_ERF || activation == KERNEL_ACT_GELU_TANH)) {
        x = emit1(e, "Gelu", x);
        if (x && activation == KERNEL_ACT_GELU_TANH && graph_set_string(x->producer, "approximate", "tanh") != NIB_OK) return NULL;
        return x;
    }
    switch (activation) {
    case KERNEL_ACT_RELU: return emit1(e, "Relu", x);
    case KERNEL_ACT_TANH: return emit1(e, "Tanh", x);
    case KERNEL_ACT_SIGMOID: return emit1(e, "Sigmoid", x);
    case KERNEL_ACT_SILU: return emit2(e, "Mul", x, emit1(e, "Sigmoid", x));
    case KERNEL_ACT_GELU_ERF:
        gate = emit2(e, "Add", emit1(e, "Erf", emit2(e, "Div", x, number(e, 1.41421356f))), number(e, 1));
        half = emit2(e, "Mul", x, number(e, 0.5f));
        return emit2(e, "Mul", half, gate);
    case KERNEL_ACT_GELU_TANH:
        cube = emit2(e, "Mul", emit2(e, "Pow", x, number(e, 3)), number(e, 0.044715f));
        gate = emit1(e, "Tanh", emit2(e, "Mul", emit2(e, "Add", x, cube), number(e, 0.79788456f)));
        half = emit2(e, "Mul", x, number(e, 0.5f));
        return emit2(e, "Mul", half, emit2(e, "Add", gate, number(e, 1)));
    default: return x;
    }
}

nib_status op_expand_linear(graph *g, graph_node *n, nib_error *err) {
    expansion e;
    nib_status status = begin_since(&e, LONG_OPSET, g, n, err);
    if (status != NIB_OK) return status;
    op_linear l;
    if (!op_linear_get(n, &l) || l.activation < 0) return refuse(&e, "its activation is unknown");
    if (l.weight_format != KERNEL_WEIGHT_F32) return refuse(&e, "its weight is quantized");
    graph_value *parts[OP_LINEAR_WEIGHTS] = {NULL};
    for (int i = 0; i < l.n_weights; i++) {
        graph_value *w = as_f32(&e, l.weights[i]);
        if (l.trans) w = transpose(&e, w, (int64_t[]){1, 0}, 2);
        parts[i] = emit2(&e, "MatMul", l.x, w);
    }
    graph_value *y = l.n_weights > 1 ? with_int(emit(&e, "Concat", l.n_weights, parts), "axis", last_axis(&e, l.x)) : parts[0];
    if (l.bias) y = emit2(&e, "Add", y, l.bias);
    if (l.gate > OP_GATE_NONE) {
        int64_t width;
        const graph_type *t = &n->outputs[0]->type;
        if (t->rank < 1 || !graph_dim_is_const(t->dims[t->rank - 1], &width)) return refuse(&e, "the width of its gate is unknown");
        graph_value *halves[2] = {NULL};
        if (!halves_of(&e, y, width, halves)) halves[0] = halves[1] = NULL;
        y = emit2(&e, "Mul", activate(&e, halves[l.gate == OP_GATE_SECOND], l.activation), halves[l.gate == OP_GATE_FIRST]);
    } else {
        y = activate(&e, y, l.activation);
    }
    if (l.residual) y = emit2(&e, "Add", y, l.residual);
    return finish1(&e, y);
}

static graph_value *layer_norm(expansion *e, graph_value *x, graph_value *gamma, graph_value *beta, float eps) {
    if (e->opset >= 17) {
        graph_value *y =
            with_int(beta ? emit3(e, "LayerNormalization", x, gamma, beta) : emit2(e, "LayerNormalization", x, gamma), "axis", -1);
        return y && graph_set_float(y->producer, "epsilon", eps) == NIB_OK ? y : NULL;
    }
    int64_t axis = last_axis(e, in(e, 0));
    graph_value *d = emit2(e, "Sub", x, reduce(e, "ReduceMean", x, axis, true));
    graph_value *variance = reduce(e, "ReduceMean", emit2(e, "Mul", d, d), axis, true);
    graph_value *y = emit2(e, "Mul", emit2(e, "Div", d, emit1(e, "Sqrt", emit2(e, "Add", variance, number(e, eps)))), gamma);
    return beta ? emit2(e, "Add", y, beta) : y;
}

static graph_value *rms_norm(expansion *e, graph_value *x, graph_value *gamma, float eps) {
    if (e->opset >= 23) {
        graph_value *y = with_int(emit2(e, "RMSNormalization", x, gamma), "axis", -1);
        return y && graph_set_float(y->producer, "epsilon", eps) == NIB_OK ? y : NULL;
    }
    graph_value *square = reduce(e, "ReduceMean", emit2(e, "Mul", x, x), last_axis(e, in(e, 0)), true);
    return emit2(e, "Mul", emit2(e, "Div", x, emit1(e, "Sqrt", emit2(e, "Add", square, number(e, eps)))), gamma);
}

nib_status op_expand_norm(graph *g, graph_node *n, nib_error *err) {
    expansion e;
    nib_status status = begin_since(&e, LONG_OPSET, g, n, err);
    if (status != NIB_OK) return status;
    graph_value *x = in(&e, 0), *results[2] = {NULL, NULL};
    float eps = graph_attr_float(n, "epsilon", 1e-5f);
    if (graph_attr_int(n, "groups", 1) != 1) return refuse(&e, "its columns are normed in groups");
    if (in(&e, 3)) x = emit2(&e, "Add", x, in(&e, 3));
    if (strcmp(graph_attr_string(n, "kind", "layer"), "rms") == 0) results[0] = rms_norm(&e, x, in(&e, 1), eps);
    else results[0] = layer_norm(&e, x, in(&e, 1), in(&e, 2), eps);
    bool sum = n->n_outputs > 1 && n->outputs[1];
    if (sum) results[1] = in(&e, 3) ? x : emit1(&e, "Identity", x);
    return finish(&e, results, sum ? 2 : 1);
}

nib_status op_expand_embed(graph *g, graph_node *n, nib_error *err) {
    expansion e;
    nib_status status = begin_since(&e, LONG_OPSET, g, n, err);
    if (status != NIB_OK) return status;
    for (int i = 0; i < n->n_inputs; i += 2) {
        nib_dtype t = in(&e, i)->type.dtype;
        if (t != NIB_DTYPE_I64 && t != NIB_DTYPE_I32) return refuse(&e, "Gather takes ids of i32 and i64 only");
    }
    graph_value *sum = NULL;
    for (int i = 0; i + 1 < n->n_inputs; i += 2) {
        graph_value *rows = as_f32(&e, with_int(emit2(&e, "Gather", in(&e, i + 1), in(&e, i)), "axis", 0));
        if (!rows) return finish1(&e, NULL);
        sum = i ? emit2(&e, "Add", sum, rows) : rows;
    }
    return finish1(&e, sum);
}

/* ---------------------------------------------------------------- Rotary */

/* [.., R] rows of a table, as each row of x needs them: [.., 1, R]. */
static graph_value *turns(expansion *e, int table, const op_rotary *r) {
    graph_value *t = with_int(emit2(e, "Gather", in(e, table), in(e, 3)), "axis", 0);
    if (!r->second) t = with_int(emit(e, "Concat", 2, (graph_value *[]){t, t}), "axis", -1);
    return unsqueeze(e, t, -2);
}

nib_status op_expand_rotary(graph *g, graph_node *n, nib_error *err) {
    expansion e;
    nib_status status = begin(&e, g, n, err);
    if (status != NIB_OK) return status;
    const graph_type *x = &in(&e, 0)->type, *t = &in(&e, 1)->type;
    int64_t width, table, shape[GRAPH_MAX_RANK + 1] = {0};
    op_rotary r;
    if (x->rank < 1 || x->rank >= GRAPH_MAX_RANK || t->rank != 2 || !graph_dim_is_const(x->dims[x->rank - 1], &width) ||
        !graph_dim_is_const(t->dims[1], &table) || op_rotary_read(n, width, table, &r) != NIB_OK)
        return refuse(&e, "the width of its rows or tables is unknown");
    if (r.interleaved) return refuse(&e, "its pairs are interleaved");
    int64_t end = r.first + r.heads * r.size;
    shape[x->rank - 1] = r.heads;
    shape[x->rank] = r.size;
    graph_value *heads = emit2(&e, "Reshape", columns(&e, in(&e, 0), r.first, end), ints(&e, shape, x->rank + 1));
    graph_value *turned = columns(&e, heads, 0, 2 * r.half), *rest = columns(&e, heads, 2 * r.half, r.size);
    graph_value *a = columns(&e, turned, 0, r.half), *b = columns(&e, turned, r.half, 2 * r.half);
    graph_value *around = with_int(emit(&e, "Concat", 2, (graph_value *[]){emit1(&e, "Neg", b), a}), "axis", -1);
    turned = emit2(&e, "Add", emit2(&e, "Mul", turned, turns(&e, 1, &r)), emit2(&e, "Mul", around, turns(&e, 2, &r)));
    heads = with_int(emit(&e, "Concat", 2, (graph_value *[]){turned, rest}), "axis", -1);
    shape[x->rank - 1] = r.heads * r.size;
    graph_value *parts[3] = {columns(&e, in(&e, 0), 0, r.first), emit2(&e, "Reshape", heads, ints(&e, shape, x->rank)),
                             columns(&e, in(&e, 0), end, width)};
    return finish1(&e, with_int(emit(&e, "Concat", 3, parts), "axis", -1));
}

/* ---------------------------------------------------------------- Attention */

static const char *attention_refusal(const op_attention *a) {
    if (a->offsets) return "the batch is packed";
    if (a->heads < 1 || a->kv_heads != a->heads) return "key heads are shared";
    if (a->causal) return "it is causal";
    if (a->left >= 0 || a->right >= 0) return "it has a window";
    if (op_attention_by_distance(a) && a->positions) return "distances count in positions";
    if (a->relative_rows &&
        (a->relative_rows->type.rank != 1 || !graph_dim_is_const(a->relative_rows->type.dims[0], NULL)))
        return "how far its tables reach is unknown";
    return NULL;
}

static graph_value *split_heads(expansion *e, graph_value *rows, int64_t heads, int64_t width, const int64_t *perm) {
    int64_t size = width > 0 ? width / heads : -1;
    return transpose(e, emit2(e, "Reshape", rows, ints(e, (int64_t[]){0, 0, heads, size}, 4)), perm, 4);
}

/* [.., queries, keys]: ONNX lets Attention broadcast its mask, but ONNX Runtime 1.31 does so only on the axes before these. */
static bool is_mask(const graph_value *bias, const graph_value *q, const graph_value *k) {
    if (!bias) return true;
    int rank = bias->type.rank;
    const graph_dim *dims = bias->type.dims;
    return rank >= 2 && q->type.rank == 3 && k->type.rank == 3 && q->type.dims[1] && k->type.dims[1] && dims[rank - 2] == q->type.dims[1] &&
           dims[rank - 1] == k->type.dims[1];
}

/* Places 0 .. n - 1 along an axis of v: [n]. */
static graph_value *places(expansion *e, graph_value *v, int64_t axis) {
    graph_value *n = with_int(emit2(e, "Gather", emit1(e, "Shape", v), ints(e, &axis, -1)), "axis", 0);
    return emit3(e, "Range", ints(e, (int64_t[]){0}, -1), n, ints(e, (int64_t[]){1}, -1));
}

/* x [B, heads, n, D] by all rows of a table [heads, R, D], of which each pair takes its own: [B, heads, n, m], as pairs
 * are. */
static graph_value *taken(expansion *e, graph_value *x, graph_value *table, graph_value *pairs) {
    graph_value *all = emit2(e, "MatMul", x, transpose(e, table, (int64_t[]){0, 2, 1}, 3));
    return with_int(emit2(e, "GatherElements", all, pairs), "axis", 3);
}

/* Place of query less place of key, of pairs of heads q [B, heads, S, D] and k [B, heads, D, T]: [S, T]. */
static graph_value *distances(expansion *e, graph_value *q, graph_value *k) {
    graph_value *i = unsqueeze(e, places(e, q, 2), 1), *j = unsqueeze(e, places(e, k, 3), 0);
    return emit2(e, "Sub", i, j);
}

/* The rows of tables by distance that pairs have: [S, T]. */
static graph_value *relative_rows(expansion *e, const op_attention *a, graph_value *q, graph_value *k) {
    int64_t reach = 1;
    graph_dim_is_const(a->relative_rows->type.dims[0], &reach); /* attention_refusal has seen that it is */
    reach /= 2;
    graph_value *d = emit3(e, "Clip", distances(e, q, k), ints(e, (int64_t[]){-reach}, -1), ints(e, &reach, -1));
    return with_int(emit2(e, "Gather", a->relative_rows, emit2(e, "Add", d, ints(e, &reach, -1))), "axis", 0);
}

/* What slopes add to the scores of pairs: [heads, S, T]. */
static graph_value *by_slopes(expansion *e, graph_value *slopes, graph_value *q, graph_value *k) {
    graph_value *far = with_int(emit1(e, "Cast", emit1(e, "Abs", distances(e, q, k))), "to", 1);
    return emit2(e, "Mul", far, emit2(e, "Reshape", slopes, ints(e, (int64_t[]){-1, 1, 1}, 3)));
}

/* s [B, heads, S, T], the products of heads q and k, and what the tables of keys and of queries add to them. */
static graph_value *with_relative(expansion *e, const op_attention *a, graph_value *q, graph_value *k, graph_value *s,
                                  graph_value *rows) {
    static const int64_t turned[] = {0, 1, 3, 2};
    if (!a->relative_keys && !a->relative_queries) return s;
    graph_value *pairs = emit2(e, "Expand", rows, emit1(e, "Shape", s));
    if (a->relative_keys) s = emit2(e, "Add", s, taken(e, q, a->relative_keys, pairs));
    if (!a->relative_queries) return s;
    graph_value *back = taken(e, transpose(e, k, turned, 4), a->relative_queries, transpose(e, pairs, turned, 4));
    return emit2(e, "Add", s, transpose(e, back, turned, 4));
}

/* ai.onnx has an Attention on rows since 23. */
static nib_status expand_to_operator(expansion *e, const op_attention *a) {
    graph_value *args[4] = {a->q, a->k, a->v, a->bias};
    graph_value *y = emit(e, "Attention", args[3] ? 4 : 3, args);
    if (!with_int(with_int(y, "q_num_heads", a->heads), "kv_num_heads", a->kv_heads)) return finish1(e, NULL);
    if (graph_set_float(y->producer, "scale", a->scale) != NIB_OK) return finish1(e, NULL);
    if (a->causal && !with_int(y, "is_causal", 1)) return finish1(e, NULL);
    if (a->softcap > 0 && graph_set_float(y->producer, "softcap", a->softcap) != NIB_OK) return finish1(e, NULL);
    return finish1(e, y);
}

nib_status op_expand_attention(graph *g, graph_node *n, nib_error *err) {
    static const int64_t heads_first[] = {0, 2, 1, 3}, keys_last[] = {0, 2, 3, 1};
    expansion e;
    op_attention a;
    op_attention_get(n, &a);
    nib_status status = begin_since(&e, op_attention_by_distance(&a) ? MIN_OPSET : LONG_OPSET, g, n, err);
    if (status != NIB_OK) return status;
    /* ai.onnx's Attention gives zeros where masked_nan wants NaN. */
    if (e.opset >= 23 && a.k && a.v && !a.offsets && a.left < 0 && a.right < 0 && !a.masked_nan && !op_attention_by_distance(&a) &&
        is_mask(a.bias, a.q, a.k))
        return expand_to_operator(&e, &a);
    const char *why = attention_refusal(&a);
    if (why) return refuse(&e, why);
    int64_t width = -1;
    graph_value *parts[3] = {a.q, a.k, a.v};
    if (a.q->type.rank == 3) graph_dim_is_const(a.q->type.dims[2], &width);
    if (!a.k) {
        if (width < 0) return refuse(&e, "the width of its rows is unknown");
        width /= 3; /* no key heads are shared */
        for (int i = 2; i >= 0; i--) parts[i] = columns(&e, a.q, i * width, (i + 1) * width);
    }
    graph_value *q = split_heads(&e, parts[0], a.heads, width, heads_first), *k = split_heads(&e, parts[1], a.heads, width, keys_last),
                *v = split_heads(&e, parts[2], a.heads, width, heads_first);
    graph_value *s = emit2(&e, "MatMul", q, k);
    graph_value *rows = a.relative_rows ? relative_rows(&e, &a, q, k) : NULL;
    if (rows) s = with_relative(&e, &a, q, k, s, rows);
    s = emit2(&e, "Mul", s, number(&e, a.scale));
    if (a.relative_bias) s = emit2(&e, "Add", s, with_int(emit2(&e, "Gather", a.relative_bias, rows), "axis", 1));
    if (a.relative_slopes) s = emit2(&e, "Add", s, by_slopes(&e, a.relative_slopes, q, k));
    if (a.softcap > 0) s = emit2(&e, "Mul", emit1(&e, "Tanh", emit2(&e, "Div", s, number(&e, a.softcap))), number(&e, a.softcap));
    if (a.bias) s = emit2(&e, "Add", s, a.bias);
    graph_value *p = with_int(emit1(&e, "Softmax", s), "axis", e.opset < 13 ? 3 : -1);
    if (a.bias && e.opset >= 9 && !a.masked_nan)
        p = emit3(&e, "Where", emit1(&e, "IsNaN", p), number(&e, 0), p); /* rows whose keys are all at -infinity */
    graph_value *y = transpose(&e, emit2(&e, "MatMul", p, v), heads_first, 4);
    return finish1(&e, emit2(&e, "Reshape", y, ints(&e, (int64_t[]){0, 0, width}, 3)));
}

/* ---------------------------------------------------------------- Pool */

typedef struct pooled {
    graph_value *x, *is_token; /* [B, S, C], bool [B, S] */
    graph_value *count;        /* [B, 1] */
    graph_value *position;     /* [B, S]: tokens up to here, this one included */
} pooled;

/* Rows where `which` [B, S] holds, others 0, added up over S. */
static graph_value *sum_where(expansion *e, graph_value *which, graph_value *x) {
    return reduce(e, "ReduceSum", emit3(e, "Where", unsqueeze(e, which, 2), x, number(e, 0)), 1, false);
}

static graph_value *at_least_one(expansion *e, graph_value *count) { return emit2(e, "Max", count, number(e, 1)); }

/* The row of the text's i-th token, i [B, 1] or a scalar; 0 if there is none. */
static graph_value *row_at(expansion *e, const pooled *p, graph_value *i) {
    return sum_where(e, emit2(e, "And", p->is_token, emit2(e, "Equal", p->position, i)), p->x);
}

static graph_value *pool(expansion *e, const pooled *p, int mode) {
    graph_value *zero = number(e, 0), *rows, *triangle;
    switch (mode) {
    case NIB_POOLING_CLS: return row_at(e, p, number(e, 1));
    case NIB_POOLING_LAST: return row_at(e, p, p->count);
    case NIB_POOLING_MAX:
        rows = emit3(e, "Where", unsqueeze(e, p->is_token, 2), p->x, number(e, -INFINITY));
        return emit3(e, "Where", emit2(e, "Greater", p->count, zero), reduce(e, "ReduceMax", rows, 1, false), zero);
    case NIB_POOLING_MEAN_SQRT_LEN: return emit2(e, "Div", sum_where(e, p->is_token, p->x), emit1(e, "Sqrt", at_least_one(e, p->count)));
    case NIB_POOLING_WEIGHTED_MEAN:
        rows = emit2(e, "Mul", p->x, unsqueeze(e, p->position, 2));
        triangle = emit2(e, "Mul", emit2(e, "Mul", p->count, emit2(e, "Add", p->count, number(e, 1))), number(e, 0.5f));
        return emit2(e, "Div", sum_where(e, p->is_token, rows), at_least_one(e, triangle));
    default: return emit2(e, "Div", sum_where(e, p->is_token, p->x), at_least_one(e, p->count));
    }
}

nib_status op_expand_pool(graph *g, graph_node *n, nib_error *err) {
    expansion e;
    nib_status status = begin(&e, g, n, err);
    if (status != NIB_OK) return status;
    int mode = op_pooling(n);
    if (mode < 0) return refuse(&e, "its mode is unknown");
    if (graph_attr_int(n, "packed", 0)) return refuse(&e, "the batch is packed");
    if (n->n_inputs > 2 && n->inputs[2].value) return refuse(&e, "rows of a prompt are left out of it");
    if (graph_attr_int(n, OP_POOL_UNIT, 0)) return refuse(&e, "it normalizes, too, which only plans have it do");
    int64_t one = 1;
    pooled p = {.x = in(&e, 0), .is_token = cast(&e, in(&e, 1), NIB_DTYPE_BOOL)};
    graph_value *ones = cast(&e, p.is_token, NIB_DTYPE_F32);
    p.count = reduce(&e, "ReduceSum", ones, 1, true);
    p.position = emit2(&e, "CumSum", ones, ints(&e, &one, -1));
    return finish1(&e, pool(&e, &p, mode));
}

/* ---------------------------------------------------------------- Pick */

nib_status op_expand_pick(graph *g, graph_node *n, nib_error *err) {
    expansion e;
    nib_status status = begin(&e, g, n, err);
    if (status != NIB_OK) return status;
    if (graph_attr_int(n, "packed", 0)) return refuse(&e, "the batch is packed");
    return finish1(&e, emit2(&e, "GatherND", in(&e, 0), in(&e, 1)));
}

/* ---------------------------------------------------------------- Offsets, Pack, Unpack */

nib_status op_expand_offsets(graph *g, graph_node *n, nib_error *err) {
    expansion e;
    nib_status status = begin(&e, g, n, err);
    if (status != NIB_OK) return status;
    int64_t zero = 0;
    graph_value *lengths = reduce(&e, "ReduceSum", cast(&e, cast(&e, in(&e, 0), NIB_DTYPE_BOOL), NIB_DTYPE_I64), 1, false);
    graph_value *ends = emit2(&e, "CumSum", lengths, ints(&e, &zero, -1));
    return finish1(&e, with_int(emit2(&e, "Concat", ints(&e, &zero, 1), ends), "axis", 0));
}

/* dims[from ..] of x's shape. */
static graph_value *shape_from(expansion *e, graph_value *x, int64_t from) {
    int64_t end = INT64_MAX;
    return emit3(e, "Slice", emit1(e, "Shape", x), ints(e, &from, 1), ints(e, &end, 1));
}

nib_status op_expand_pack(graph *g, graph_node *n, nib_error *err) {
    expansion e;
    nib_status status = begin(&e, g, n, err);
    if (status != NIB_OK) return status;
    int64_t any = -1;
    graph_value *shape = with_int(emit2(&e, "Concat", ints(&e, &any, 1), shape_from(&e, in(&e, 0), 2)), "axis", 0);
    graph_value *rows = emit2(&e, "Reshape", in(&e, 0), shape); /* [B * S, ..] */
    graph_value *which = cast(&e, emit2(&e, "Reshape", in(&e, 1), ints(&e, &any, 1)), NIB_DTYPE_BOOL);
    return finish1(&e, with_int(emit2(&e, "Compress", rows, which), "axis", 0));
}

nib_status op_expand_unpack(graph *g, graph_node *n, nib_error *err) {
    expansion e;
    nib_status status = begin(&e, g, n, err);
    if (status != NIB_OK) return status;
    nib_dtype dtype = in(&e, 0)->type.dtype;
    size_t bytes = graph_type_bytes(dtype, 1);
    if (dtype == NIB_DTYPE_UNDEFINED || dtype == NIB_DTYPE_STRING || bytes > 16) return refuse(&e, "the element type has no zero");
    graph_attr value = {.name = "value", .kind = GRAPH_ATTR_TENSOR, .u.tensor = base_arena_calloc(g->arena, 1, sizeof(graph_tensor))};
    graph_value *shape = with_int(emit2(&e, "Concat", emit1(&e, "Shape", in(&e, 1)), shape_from(&e, in(&e, 0), 1)), "axis", 0);
    graph_value *zeros = value.u.tensor ? emit1(&e, "ConstantOfShape", shape) : NULL;
    if (zeros) {
        *value.u.tensor =
            (graph_tensor){.dtype = dtype, .rank = 1, .dims = {1}, .bytes = bytes, .data = base_arena_calloc(g->arena, 16, 1)};
        if (!value.u.tensor->data || graph_set_attr(zeros->producer, &value) != NIB_OK) zeros = NULL;
    }
    graph_value *where = transpose(&e, emit1(&e, "NonZero", in(&e, 1)), (int64_t[]){1, 0}, 2); /* [T, 2] */
    return finish1(&e, emit3(&e, "ScatterND", zeros, where, in(&e, 0)));
}
