/* SPDX-License-Identifier: Apache-2.0
 *
 * Words for the builders: layers. Each is written with the operators that exporters use for it, so that the passes meet one
 * form of a model, whichever door it came through.
 */
#include "hf_build.h"
#include <float.h>
#include <math.h>
#include <string.h>

graph_value *hf_project(hf_builder *b, const char *path, graph_value *x, int64_t in, int64_t out, bool with_bias) {
    graph_value *w = hf_weight(b, hf_path(b, "%s.weight", path), out, in);
    graph_value *bias = with_bias ? hf_weight(b, hf_path(b, "%s.bias", path), out, 0) : NULL;
    w = hf_transpose(b, hf_path(b, "%s.weight.T", path), w, (int64_t[]){1, 0}, 2);
    x = hf_op2(b, "MatMul", hf_path(b, "%s.matmul", path), x, w);
    return with_bias ? hf_op2(b, "Add", path, x, bias) : x;
}

graph_value *hf_linear(hf_builder *b, const char *path, graph_value *x, int64_t in, int64_t out) {
    return hf_project(b, path, x, in, out, true);
}

graph_value *hf_layer_norm(hf_builder *b, const char *path, graph_value *x, int64_t width, float epsilon) {
    return hf_norm(b, path, x, width, epsilon, true);
}

graph_value *hf_norm(hf_builder *b, const char *path, graph_value *x, int64_t width, float epsilon, bool with_bias) {
    /* Checkpoints converted from TensorFlow kept its names. */
    bool old = hf_has_weight(b, hf_path(b, "%s.gamma", path));
    graph_value *scale = hf_weight(b, hf_path(b, "%s.%s", path, old ? "gamma" : "weight"), width, 0);
    graph_value *bias = with_bias ? hf_weight(b, hf_path(b, "%s.%s", path, old ? "beta" : "bias"), width, 0) : NULL;
    graph_value *v = hf_op(b, "LayerNormalization", path, (graph_value *[]){x, scale, bias}, with_bias ? 3 : 2);
    if (v && (graph_set_int(v->producer, "axis", -1) != NIB_OK || graph_set_float(v->producer, "epsilon", epsilon) != NIB_OK))
        hf_refuse(b, NIB_OUT_OF_MEMORY, "no memory for the model's graph");
    return v;
}

graph_value *hf_embedding(hf_builder *b, const char *path, graph_value *ids, int64_t rows, int64_t width) {
    return hf_op2(b, "Gather", path, hf_weight(b, hf_path(b, "%s.weight", path), rows, width), ids);
}

/* ---------------------------------------------------------------- activations */

static graph_value *gelu_erf(hf_builder *b, const char *path, graph_value *x) { /* x (1 + erf(x / sqrt 2)) / 2 */
    graph_value *y = hf_op2(b, "Div", hf_path(b, "%s.scaled", path), x, hf_scalar(b, (float)sqrt(2.0)));
    y = hf_op1(b, "Erf", hf_path(b, "%s.erf", path), y);
    y = hf_op2(b, "Add", hf_path(b, "%s.plus_one", path), y, hf_scalar(b, 1.0f));
    y = hf_op2(b, "Mul", hf_path(b, "%s.product", path), x, y);
    return hf_op2(b, "Mul", path, y, hf_scalar(b, 0.5f));
}

static graph_value *gelu_tanh(hf_builder *b, const char *path, graph_value *x) { /* Hendrycks and Gimpel's approximation */
    graph_value *y = hf_op2(b, "Pow", hf_path(b, "%s.cube", path), x, hf_scalar(b, 3.0f));
    y = hf_op2(b, "Mul", hf_path(b, "%s.cubic", path), y, hf_scalar(b, 0.044715f));
    y = hf_op2(b, "Add", hf_path(b, "%s.inner", path), x, y);
    y = hf_op2(b, "Mul", hf_path(b, "%s.scaled", path), y, hf_scalar(b, (float)sqrt(2.0 / 3.14159265358979323846)));
    y = hf_op1(b, "Tanh", hf_path(b, "%s.tanh", path), y);
    y = hf_op2(b, "Add", hf_path(b, "%s.plus_one", path), y, hf_scalar(b, 1.0f));
    x = hf_op2(b, "Mul", hf_path(b, "%s.half", path), x, hf_scalar(b, 0.5f));
    return hf_op2(b, "Mul", path, x, y);
}

static graph_value *quick_gelu(hf_builder *b, const char *path, graph_value *x) {
    graph_value *y = hf_op2(b, "Mul", hf_path(b, "%s.scaled", path), x, hf_scalar(b, 1.702f));
    return hf_op2(b, "Mul", path, x, hf_op1(b, "Sigmoid", hf_path(b, "%s.gate", path), y));
}

static graph_value *silu(hf_builder *b, const char *path, graph_value *x) {
    return hf_op2(b, "Mul", path, x, hf_op1(b, "Sigmoid", hf_path(b, "%s.gate", path), x));
}

static graph_value *relu(hf_builder *b, const char *path, graph_value *x) { return hf_op1(b, "Relu", path, x); }
static graph_value *tanh_of(hf_builder *b, const char *path, graph_value *x) { return hf_op1(b, "Tanh", path, x); }
static graph_value *sigmoid(hf_builder *b, const char *path, graph_value *x) { return hf_op1(b, "Sigmoid", path, x); }

graph_value *hf_activation(hf_builder *b, const char *path, const char *name, graph_value *x) {
    static const struct {
        const char *name;
        graph_value *(*emit)(hf_builder *b, const char *path, graph_value *x);
    } known[] = {
        {"gelu", gelu_erf},
        {"gelu_python", gelu_erf},
        {"gelu_new", gelu_tanh},
        {"gelu_fast", gelu_tanh},
        {"gelu_pytorch_tanh", gelu_tanh},
        {"quick_gelu", quick_gelu},
        {"silu", silu},
        {"swish", silu},
        {"relu", relu},
        {"tanh", tanh_of},
        {"sigmoid", sigmoid},
    };
    for (size_t i = 0; i < BASE_COUNT(known); i++) {
        if (strcmp(known[i].name, name) == 0) return known[i].emit(b, path, x);
    }
    hf_refuse(b, NIB_UNSUPPORTED, "config.json: the activation '%s'", name);
    return NULL;
}

/* ---------------------------------------------------------------- attention */

graph_value *hf_mask_bias(hf_builder *b, graph_value *mask) {
    if (b->status != NIB_OK) return NULL;
    graph_value *axes = graph_const_i64(b->g, "mask.axes", (int64_t[]){1, 2}, 2);
    if (!axes) hf_refuse(b, NIB_OUT_OF_MEMORY, "no memory for the model's graph");
    graph_value *m = hf_op2(b, "Unsqueeze", "mask.unsqueezed", mask, axes);
    m = hf_op1(b, "Cast", "mask.f32", m);
    if (m && graph_set_int(m->producer, "to", NIB_DTYPE_F32) != NIB_OK) hf_refuse(b, NIB_OUT_OF_MEMORY, "no memory for the model's graph");
    m = hf_op2(b, "Sub", "mask.inverted", hf_scalar(b, 1.0f), m);
    return hf_op2(b, "Mul", "mask.bias", m, hf_scalar(b, -FLT_MAX));
}

graph_value *hf_positions(hf_builder *b, graph_value *ids, int64_t limit) {
    if (b->status != NIB_OK) return NULL;
    graph_tensor range = {.dtype = NIB_DTYPE_I64, .rank = 2, .dims = {1, limit}, .bytes = (size_t)limit * sizeof(int64_t)};
    int64_t *values = base_arena_alloc(b->g->arena, range.bytes);
    range.data = values;
    for (int64_t i = 0; values && i < limit; i++) values[i] = i;
    graph_value *all = values ? graph_add_constant(b->g, "positions.all", &range, false) : NULL;
    graph_value *begin = graph_const_i64(b->g, "positions.begin", (int64_t[]){0}, 1);
    graph_value *axis = graph_const_i64(b->g, "positions.axis", (int64_t[]){1}, 1);
    graph_value *end = hf_op1(b, "Shape", "positions.end", ids);
    if (!all || !begin || !axis || !end || graph_set_int(end->producer, "start", 1) != NIB_OK ||
        graph_set_int(end->producer, "end", 2) != NIB_OK)
        hf_refuse(b, NIB_OUT_OF_MEMORY, "no memory for the model's graph");
    return hf_op(b, "Slice", "positions", (graph_value *[]){all, begin, end, axis}, 4);
}

graph_value *hf_heads(hf_builder *b, const char *path, graph_value *x, int64_t heads, int64_t D) {
    const int64_t split[] = {0, 0, heads, D};
    return hf_transpose(b, path, hf_reshape(b, hf_path(b, "%s.split", path), x, split, 4), (int64_t[]){0, 2, 1, 3}, 4);
}

graph_value *hf_attend(hf_builder *b, const char *path, graph_value *q, graph_value *k, graph_value *v, graph_value *bias, int64_t D,
                       int64_t hidden) {
    graph_value *s = hf_op2(b, "MatMul", hf_path(b, "%s.products", path), q, k);
    s = hf_op2(b, "Div", hf_path(b, "%s.scaled", path), s, hf_scalar(b, (float)sqrt((double)D)));
    s = hf_op2(b, "Add", hf_path(b, "%s.masked", path), s, bias);
    s = hf_op1(b, "Softmax", hf_path(b, "%s.probabilities", path), s);
    if (s && graph_set_int(s->producer, "axis", -1) != NIB_OK) hf_refuse(b, NIB_OUT_OF_MEMORY, "no memory for the model's graph");
    s = hf_op2(b, "MatMul", hf_path(b, "%s.context", path), s, v);
    s = hf_transpose(b, hf_path(b, "%s.context.T", path), s, (int64_t[]){0, 2, 1, 3}, 4);
    return hf_reshape(b, hf_path(b, "%s.joined", path), s, (int64_t[]){0, 0, hidden}, 3);
}

graph_value *hf_attention(hf_builder *b, const char *path, graph_value *q, graph_value *k, graph_value *v, graph_value *bias, int64_t heads,
                          int64_t hidden) {
    if (b->status != NIB_OK) return NULL;
    const int64_t D = hidden / heads, split[] = {0, 0, heads, D};
    q = hf_heads(b, hf_path(b, "%s.q", path), q, heads, D);
    k = hf_transpose(b, hf_path(b, "%s.k", path), hf_reshape(b, hf_path(b, "%s.k.split", path), k, split, 4), (int64_t[]){0, 2, 3, 1}, 4);
    v = hf_heads(b, hf_path(b, "%s.v", path), v, heads, D);
    return hf_attend(b, path, q, k, v, bias, D, hidden);
}
