/* SPDX-License-Identifier: Apache-2.0
 *
 * nib.Linear and nib.Attention by name. In: a node. Out: what it reads and says, and the way back.
 */
#include "op_nib.h"
#include "op_nib_operands.h"
#include <string.h>

static const char *const activation_names[] = {"none", "gelu_erf", "gelu_tanh", "tanh", "silu", "relu", "sigmoid"};
static const char *const gate_names[] = {"none", "first", "second"};
static const char *const product_names[] = {"f32", "q8"};

const char *op_activation_name(kernel_activation a) { return activation_names[a]; }

static int word_of(const graph_node *n, const char *attr, const char *const *words, size_t count) {
    const char *word = graph_attr_string(n, attr, words[0]);
    for (size_t i = 0; i < count; i++)
        if (strcmp(word, words[i]) == 0) return (int)i;
    return -1;
}

/* A word that is the first of its list is said by saying nothing. */
static nib_status put_word(graph_node *n, const char *attr, const char *word, const char *otherwise) {
    return strcmp(graph_attr_string(n, attr, otherwise), word) == 0 ? NIB_OK : graph_set_string(n, attr, word);
}

static nib_status put_int(graph_node *n, const char *attr, int64_t value, int64_t otherwise) {
    return graph_attr_int(n, attr, otherwise) == value ? NIB_OK : graph_set_int(n, attr, value);
}

static nib_status put_float(graph_node *n, const char *attr, float value, float otherwise) {
    float has = graph_attr_float(n, attr, otherwise);
    return memcmp(&has, &value, sizeof has) == 0 ? NIB_OK : graph_set_float(n, attr, value);
}

static graph_value *operand(const graph_node *n, int i) { return i < n->n_inputs ? n->inputs[i].value : NULL; }

static nib_status put_operands(graph_node *n, graph_value *const *in, int count, nib_error *err) {
    nib_status status = NIB_OK;
    while (n->n_inputs < count) NIB_TRY(graph_append_input(n, NULL, err));
    for (int i = 0; i < n->n_inputs; i++) {
        graph_value *v = i < count ? in[i] : NULL;
        if (n->inputs[i].value != v) graph_set_input(n, i, v);
    }
fail:
    return status;
}

static int trimmed(graph_value *const *in, int count) {
    while (count > 0 && !in[count - 1]) count--;
    return count;
}

/* ---- Linear */

int op_rows_input(const graph_type *x) {
    for (int i = 0; i < KERNEL_INPUTS; i++) {
        const base_quant *q = &kernel_input_formats[i].type;
        const nib_dtype lies_as = base_is_quantized(q) ? q->element : NIB_DTYPE_F32;
        if (x->dtype != lies_as) continue;
        if (q->scale == NIB_DTYPE_UNDEFINED ? !base_is_quantized(&x->quant) : base_same_quant(q, &x->quant)) return i;
    }
    return -1;
}

int op_weight_format(const graph_type *w) {
    return op_is_weight_type(w->dtype) ? kernel_format_of(kernel_weight_formats, KERNEL_WEIGHTS, &w->quant) : -1;
}

bool op_linear_get(const graph_node *n, op_linear *out) {
    if (!graph_is_op(n, "nib", "Linear")) return false;
    op_linear l = {.x = operand(n, OP_LINEAR_X),
                   .bias = operand(n, OP_LINEAR_BIAS),
                   .residual = operand(n, OP_LINEAR_RESIDUAL),
                   .params = operand(n, OP_LINEAR_PARAMS),
                   .factor = operand(n, OP_LINEAR_FACTOR)};
    while (l.n_weights < OP_LINEAR_WEIGHTS && (l.weights[l.n_weights] = operand(n, op_linear_weight(l.n_weights)))) l.n_weights++;
    l.trans = graph_attr_int(n, "trans_w", 0) != 0;
    l.activation = word_of(n, "activation", activation_names, BASE_COUNT(activation_names));
    l.gate = word_of(n, "gate", gate_names, BASE_COUNT(gate_names));
    l.weight_format = l.n_weights ? op_weight_format(&l.weights[0]->type) : -1;
    for (int i = 1; i < l.n_weights; i++)
        if (op_weight_format(&l.weights[i]->type) != l.weight_format) l.weight_format = -1;
    *out = l;
    return true;
}

int op_linear_operands(const op_linear *l, graph_value *in[OP_LINEAR_INPUTS]) {
    in[OP_LINEAR_X] = l->x;
    in[OP_LINEAR_BIAS] = l->bias;
    in[OP_LINEAR_RESIDUAL] = l->residual;
    in[OP_LINEAR_PARAMS] = l->params;
    in[OP_LINEAR_FACTOR] = l->factor;
    for (int i = 0; i < OP_LINEAR_WEIGHTS; i++) in[op_linear_weight(i)] = i < l->n_weights ? l->weights[i] : NULL;
    return trimmed(in, OP_LINEAR_INPUTS);
}

nib_status op_linear_set(graph_node *n, const op_linear *l, nib_error *err) {
    nib_status status = NIB_OK;
    graph_value *in[OP_LINEAR_INPUTS];
    int count = op_linear_operands(l, in);
    NIB_TRY(put_operands(n, in, count, err));
    NIB_TRY(put_int(n, "trans_w", l->trans, 0));
    NIB_TRY(put_word(n, "activation", activation_names[l->activation], activation_names[0]));
    NIB_TRY(put_word(n, "gate", gate_names[l->gate], gate_names[0]));
    return NIB_OK;
fail:
    return base_error_set(err, status, "out of memory for a Linear");
}

bool op_is_linear_weight(const graph_node *n, int input) {
    if (!graph_is_op(n, "nib", "Linear")) return false;
    for (int i = 0; i < OP_LINEAR_WEIGHTS; i++)
        if (op_linear_weight(i) == input) return true;
    return false;
}

bool op_is_linear_constant(const graph_node *n, int input) {
    return op_is_linear_weight(n, input) || (input == OP_LINEAR_FACTOR && graph_is_op(n, "nib", "Linear"));
}

bool op_reads_packed(const graph_node *n, int input) {
    return op_is_linear_weight(n, input) || (input % 2 == 1 && graph_is_op(n, "nib", "Embed"));
}

bool op_linear_is_plain(const op_linear *l) {
    return l->activation == KERNEL_ACT_NONE && l->gate == OP_GATE_NONE && !l->residual && !l->params && !l->factor &&
           l->weight_format == KERNEL_WEIGHT_F32;
}

/* ---- Attention */

bool op_attention_get(const graph_node *n, op_attention *out) {
    if (!graph_is_op(n, "nib", "Attention")) return false;
    op_attention a = {.q = operand(n, OP_ATTENTION_Q),
                      .k = operand(n, OP_ATTENTION_K),
                      .v = operand(n, OP_ATTENTION_V),
                      .bias = operand(n, OP_ATTENTION_BIAS),
                      .offsets = operand(n, OP_ATTENTION_OFFSETS),
                      .positions = operand(n, OP_ATTENTION_POSITIONS),
                      .relative_keys = operand(n, OP_ATTENTION_RELATIVE_KEYS),
                      .relative_queries = operand(n, OP_ATTENTION_RELATIVE_QUERIES),
                      .relative_rows = operand(n, OP_ATTENTION_RELATIVE_ROWS),
                      .relative_bias = operand(n, OP_ATTENTION_RELATIVE_BIAS),
                      .relative_slopes = operand(n, OP_ATTENTION_RELATIVE_SLOPES)};
    a.heads = graph_attr_int(n, "heads", 1);
    a.kv_heads = graph_attr_int(n, "kv_heads", a.heads);
    a.left = graph_attr_int(n, "window_left", -1);
    a.right = graph_attr_int(n, "window_right", -1);
    if (a.left < 0 || a.left > INT32_MAX) a.left = -1; /* further than any text reaches */
    if (a.right < 0 || a.right > INT32_MAX) a.right = -1;
    a.scale = graph_attr_float(n, "scale", 1);
    a.softcap = graph_attr_float(n, "softcap", 0);
    a.causal = graph_attr_int(n, "causal", 0) != 0;
    a.masked_nan = graph_attr_int(n, "masked_nan", 0) != 0;
    a.products = word_of(n, "precision", product_names, BASE_COUNT(product_names));
    *out = a;
    return true;
}

int op_attention_operands(const op_attention *a, graph_value *in[OP_ATTENTION_INPUTS]) {
    in[OP_ATTENTION_Q] = a->q;
    in[OP_ATTENTION_K] = a->k;
    in[OP_ATTENTION_V] = a->v;
    in[OP_ATTENTION_BIAS] = a->bias;
    in[OP_ATTENTION_OFFSETS] = a->offsets;
    in[OP_ATTENTION_POSITIONS] = a->positions;
    in[OP_ATTENTION_RELATIVE_KEYS] = a->relative_keys;
    in[OP_ATTENTION_RELATIVE_QUERIES] = a->relative_queries;
    in[OP_ATTENTION_RELATIVE_ROWS] = a->relative_rows;
    in[OP_ATTENTION_RELATIVE_BIAS] = a->relative_bias;
    in[OP_ATTENTION_RELATIVE_SLOPES] = a->relative_slopes;
    return trimmed(in, OP_ATTENTION_INPUTS);
}

nib_status op_attention_set(graph_node *n, const op_attention *a, nib_error *err) {
    nib_status status = NIB_OK;
    graph_value *in[OP_ATTENTION_INPUTS];
    int count = op_attention_operands(a, in);
    NIB_TRY(put_operands(n, in, count, err));
    NIB_TRY(put_int(n, "heads", a->heads, 1));
    NIB_TRY(put_int(n, "kv_heads", a->kv_heads, a->heads));
    NIB_TRY(put_int(n, "window_left", a->left, -1));
    NIB_TRY(put_int(n, "window_right", a->right, -1));
    NIB_TRY(put_float(n, "scale", a->scale, 1));
    NIB_TRY(put_float(n, "softcap", a->softcap, 0));
    NIB_TRY(put_int(n, "causal", a->causal, 0));
    NIB_TRY(put_int(n, "masked_nan", a->masked_nan, 0));
    NIB_TRY(put_word(n, "precision", product_names[a->products], product_names[0]));
    return NIB_OK;
fail:
    return base_error_set(err, status, "out of memory for an Attention");
}
