/* SPDX-License-Identifier: Apache-2.0
 *
 * Words for the builders: layers. Each is written with the operators that exporters use for it, so that the passes meet
 * one form of a model, whichever door it came through.
 */
#include "hf_build.h"
#include <float.h>
#include <math.h>
#include <string.h>

graph_value *hf_product(hf_builder *b, const char *path, graph_value *x, graph_value *w, graph_value *bias) {
    w = hf_transpose(b, hf_path(b, "%s.weight.T", path), w, (int64_t[]){1, 0}, 2);
    x = hf_op2(b, "MatMul", bias ? hf_path(b, "%s.matmul", path) : path, x, w);
    return bias ? hf_op2(b, "Add", path, x, bias) : x;
}

graph_value *hf_project(hf_builder *b, const char *path, graph_value *x, int64_t in, int64_t out, bool with_bias) {
    graph_value *w = hf_weight(b, hf_path(b, "%s.weight", path), out, in);
    return hf_product(b, path, x, w, with_bias ? hf_weight(b, hf_path(b, "%s.bias", path), out, 0) : NULL);
}

graph_value *hf_layer_norm(hf_builder *b, const char *path, graph_value *x, int64_t width, float epsilon,
                           bool with_bias) {
    /* Checkpoints converted from TensorFlow kept its names. */
    bool old = hf_has_weight(b, hf_path(b, "%s.gamma", path));
    graph_value *scale = hf_weight(b, hf_path(b, "%s.%s", path, old ? "gamma" : "weight"), width, 0);
    graph_value *bias = with_bias ? hf_weight(b, hf_path(b, "%s.%s", path, old ? "beta" : "bias"), width, 0) : NULL;
    graph_value *v = hf_op(b, "LayerNormalization", path, (graph_value *[]){x, scale, bias}, with_bias ? 3 : 2);
    if (v && (graph_set_int(v->producer, "axis", -1) != NIB_OK ||
              graph_set_float(v->producer, "epsilon", epsilon) != NIB_OK))
        hf_no_memory(b);
    return v;
}

/* RMSNormalization is ai.onnx's since opset 23. */
graph_value *hf_rms_norm(hf_builder *b, const char *path, graph_value *x, int64_t width, float epsilon, bool plus_one) {
    graph_value *scale = hf_weight(b, hf_path(b, "%s.weight", path), width, 0);
    if (plus_one) scale = hf_op2(b, "Add", hf_path(b, "%s.scale", path), scale, hf_scalar(b, 1.0f));
    graph_value *mean = hf_op1(b, "ReduceMean", hf_path(b, "%s.mean", path),
                               hf_op2(b, "Pow", hf_path(b, "%s.square", path), x, hf_scalar(b, 2.0f)));
    if (mean && graph_set_ints(mean->producer, "axes", (int64_t[]){-1}, 1) != NIB_OK) hf_no_memory(b);
    graph_value *root = hf_op1(b, "Sqrt", hf_path(b, "%s.root", path),
                               hf_op2(b, "Add", hf_path(b, "%s.sum", path), mean, hf_scalar(b, epsilon)));
    x = hf_op2(b, "Mul", hf_path(b, "%s.even", path), x, hf_op1(b, "Reciprocal", hf_path(b, "%s.over", path), root));
    return hf_op2(b, "Mul", path, scale, x);
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

static graph_value *gelu_tanh(hf_builder *b, const char *path,
                              graph_value *x) { /* Hendrycks and Gimpel's approximation */
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
static graph_value *linear(hf_builder *b, const char *path, graph_value *x) { return hf_op1(b, "Identity", path, x); }
static graph_value *hard_swish(hf_builder *b, const char *path, graph_value *x) {
    return hf_op1(b, "HardSwish", path, x);
}

static graph_value *clip(hf_builder *b, const char *path, graph_value *x, float least, float most) {
    return hf_op(b, "Clip", path, (graph_value *[]){x, hf_scalar(b, least), hf_scalar(b, most)}, 3);
}

static graph_value *relu6(hf_builder *b, const char *path, graph_value *x) { return clip(b, path, x, 0.0f, 6.0f); }

static graph_value *gelu_10(hf_builder *b, const char *path, graph_value *x) {
    return clip(b, path, gelu_erf(b, hf_path(b, "%s.gelu", path), x), -10.0f, 10.0f);
}

static graph_value *relu2(hf_builder *b, const char *path, graph_value *x) {
    x = relu(b, hf_path(b, "%s.relu", path), x);
    return hf_op2(b, "Mul", path, x, x);
}

static graph_value *leaky_relu(hf_builder *b, const char *path, graph_value *x) {
    graph_value *v = hf_op1(b, "LeakyRelu", path, x);
    if (v && graph_set_float(v->producer, "alpha", 0.01f) != NIB_OK) hf_no_memory(b);
    return v;
}

static graph_value *mish(hf_builder *b, const char *path, graph_value *x) { /* x tanh(ln(1 + e^x)) */
    graph_value *y = hf_op1(b, "Softplus", hf_path(b, "%s.softplus", path), x);
    return hf_op2(b, "Mul", path, x, hf_op1(b, "Tanh", hf_path(b, "%s.tanh", path), y));
}

static graph_value *laplace(hf_builder *b, const char *path,
                            graph_value *x) { /* (1 + erf((x - mu) / (sigma sqrt 2))) / 2 */
    graph_value *y = hf_op2(b, "Sub", hf_path(b, "%s.centred", path), x, hf_scalar(b, 0.707107f));
    y = hf_op2(b, "Div", hf_path(b, "%s.scaled", path), y, hf_scalar(b, (float)(0.282095 * sqrt(2.0))));
    y = hf_op2(b, "Add", hf_path(b, "%s.plus_one", path), hf_op1(b, "Erf", hf_path(b, "%s.erf", path), y),
               hf_scalar(b, 1.0f));
    return hf_op2(b, "Mul", path, y, hf_scalar(b, 0.5f));
}

/* Of transformers' ACT2FN. */
static const struct {
    const char *name;
    graph_value *(*emit)(hf_builder *b, const char *path, graph_value *x);
} activations[] = {
    {"gelu", gelu_erf},
    {"gelu_python", gelu_erf},
    {"gelu_new", gelu_tanh},
    {"gelu_fast", gelu_tanh},
    {"gelu_accurate", gelu_tanh},
    {"gelu_pytorch_tanh", gelu_tanh},
    {"gelu_python_tanh", gelu_tanh},
    {"gelu_10", gelu_10},
    {"quick_gelu", quick_gelu},
    {"silu", silu},
    {"swish", silu},
    {"hardswish", hard_swish},
    {"mish", mish},
    {"relu", relu},
    {"relu2", relu2},
    {"relu6", relu6},
    {"leaky_relu", leaky_relu},
    {"laplace", laplace},
    {"linear", linear},
    {"tanh", tanh_of},
    {"sigmoid", sigmoid},
};

static size_t find_activation(const char *name) {
    size_t i = 0;
    while (name && i < BASE_COUNT(activations) && strcmp(activations[i].name, name) != 0) i++;
    return name ? i : BASE_COUNT(activations);
}

bool hf_knows_activation(const char *name) { return find_activation(name) < BASE_COUNT(activations); }

graph_value *hf_activation(hf_builder *b, const char *path, const char *name, graph_value *x) {
    size_t i = find_activation(name);
    if (i < BASE_COUNT(activations)) return activations[i].emit(b, path, x);
    hf_refuse(b, NIB_UNSUPPORTED, "config.json: the activation '%s'", name);
    return NULL;
}

/* ---------------------------------------------------------------- positions, masks and heads */

graph_value *hf_mask_bias(hf_builder *b, graph_value *mask) {
    graph_value *m = hf_op2(b, "Unsqueeze", "mask.unsqueezed", mask, hf_ints(b, "mask.axes", (int64_t[]){1, 2}, 2));
    m = hf_cast(b, "mask.f32", m, NIB_DTYPE_F32);
    m = hf_op2(b, "Sub", "mask.inverted", hf_scalar(b, 1.0f), m);
    return hf_op2(b, "Mul", "mask.bias", m, hf_scalar(b, -FLT_MAX));
}

graph_value *hf_positions(hf_builder *b, const char *name, graph_value *ids, int64_t limit, int64_t first) {
    if (b->status != NIB_OK) return NULL;
    graph_tensor range = {
        .dtype = NIB_DTYPE_I64, .rank = 2, .dims = {1, limit}, .bytes = (size_t)limit * sizeof(int64_t)};
    int64_t *values = base_arena_alloc(b->g->arena, range.bytes);
    range.data = values;
    for (int64_t i = 0; values && i < limit; i++) values[i] = first + i;
    graph_value *all = values ? graph_add_constant(b->g, hf_path(b, "%s.all", name), &range, false) : NULL;
    if (!all) hf_no_memory(b);
    graph_value *begin = hf_ints(b, hf_path(b, "%s.begin", name), (int64_t[]){0}, 1);
    graph_value *axis = hf_ints(b, hf_path(b, "%s.axis", name), (int64_t[]){1}, 1);
    graph_value *end = hf_op1(b, "Shape", hf_path(b, "%s.end", name), ids);
    if (end && (graph_set_int(end->producer, "start", 1) != NIB_OK || graph_set_int(end->producer, "end", 2) != NIB_OK))
        hf_no_memory(b);
    return hf_op(b, "Slice", name, (graph_value *[]){all, begin, end, axis}, 4);
}

graph_value *hf_range(hf_builder *b, graph_value *ids) {
    if (b->status != NIB_OK) return NULL;
    graph_value *known = graph_find_value(b->g, "window.keys");
    if (known) return known;
    graph_value *size =
        hf_op2(b, "Gather", "window.size", hf_op1(b, "Shape", "window.shape", ids), hf_int(b, "window.axis", 1));
    return hf_op(b, "Range", "window.keys",
                 (graph_value *[]){hf_int(b, "window.zero", 0), size, hf_int(b, "window.one", 1)}, 3);
}

graph_value *hf_heads(hf_builder *b, const char *path, graph_value *x, int64_t heads, int64_t D, bool turned) {
    const int64_t split[] = {0, 0, heads, D}, perm[] = {0, 2, turned ? 3 : 1, turned ? 1 : 3};
    return hf_transpose(b, path, hf_reshape(b, hf_path(b, "%s.split", path), x, split, 4), perm, 4);
}
