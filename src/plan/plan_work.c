/* SPDX-License-Identifier: Apache-2.0
 *
 * What a step has to do at least. In: a step, a part of its range, the sizes of a group. Out: operations and bytes, for profiles and
 * for explain; and what a step is for, in a word, by what it reads and what reads it.
 *
 * Counted are the products of Linear, Attention and MatMul, a multiply-add as two, and bytes of constants and rows. A weight is counted
 * once for a walk over all rows (with the part that begins at row 0), however many blocks read it again from cache.
 */
#include "op/op_nib.h"
#include "plan.h"
#include <string.h>

static int64_t last_dim(const graph_value *v) {
    int64_t n;
    return v && v->type.rank > 0 && graph_dim_is_const(v->type.dims[v->type.rank - 1], &n) ? n : 0;
}

static double whole_bytes(const graph_value *v, const plan_group *group) {
    double bytes = nib_dtype_bits(v->type.dtype) / 8.0;
    for (int i = 0; i < v->type.rank; i++) {
        int64_t n;
        if (!graph_dim_eval(v->type.dims[i], group->symbols, group->p->n_symbols, &n)) return 0;
        bytes *= (double)n;
    }
    return v->type.rank < 0 ? 0 : bytes;
}

/* Rows of text b: of a packed batch from its offsets, of a padded one all. */
static int64_t text_rows(const plan_step *step, const plan_group *group, int64_t b) {
    const graph_node *n = step->node;
    bool attention = step->range == PLAN_RANGE_TEXT_HEADS;
    int at = attention ? 4 : 1;
    const graph_value *offsets = n->n_inputs > at ? n->inputs[at].value : NULL, *x = n->inputs[0].value;
    const int64_t *o = offsets ? group->slots[offsets->id].t.data : NULL;
    int64_t rows = 0;
    if (o) return o[b + 1] - o[b];
    if (x->type.rank < 2 || !graph_dim_eval(x->type.dims[x->type.rank - 2], group->symbols, group->p->n_symbols, &rows)) return 0;
    return rows;
}

/* Pairs of a query and a key that it may look at. */
static double pairs(const graph_node *n, int64_t rows) {
    int64_t left = graph_attr_int(n, "window_left", -1), right = graph_attr_int(n, "window_right", -1);
    double sum = 0;
    if (graph_attr_int(n, "causal", 0)) right = right < 0 || right > 0 ? 0 : right;
    if (left < 0 && right < 0) return (double)rows * (double)rows;
    for (int64_t i = 0; i < rows; i++) {
        int64_t first = left < 0 || i < left ? 0 : i - left, last = right < 0 || i + right >= rows ? rows - 1 : i + right;
        sum += (double)(last - first + 1);
    }
    return sum;
}

static void attention_work(const plan_step *step, const plan_group *group, int64_t lo, int64_t hi, plan_work *w) {
    const graph_node *n = step->node;
    int heads = step->heads > 0 ? step->heads : 1;
    int64_t kv_heads = graph_attr_int(n, "kv_heads", heads);
    double q = (double)last_dim(n->outputs[0]) / heads, kv = q;
    if (n->n_inputs > 1 && n->inputs[1].value) kv = (double)last_dim(n->inputs[1].value) / (double)(kv_heads > 0 ? kv_heads : 1);
    double share = (double)(kv_heads > 0 ? kv_heads : heads) / heads; /* a head of keys serves several of queries */
    for (int64_t part = lo; part < hi; part++) {
        int64_t rows = text_rows(step, group, part / heads);
        w->operations += 2.0 * (q + kv) * pairs(n, rows);
        w->value_bytes += (double)rows * sizeof(float) * (2 * q + 2 * kv * share);
    }
}

static void linear_work(const plan_step *step, int64_t lo, int64_t hi, plan_work *w) {
    const graph_node *n = step->node;
    const char *kind = graph_attr_string(n, "weight", "f32");
    double each = strcmp(kind, "q8") == 0 ? 1 : strcmp(kind, "bf16") == 0 ? 2 : 4, elements = 0;
    for (int i = 0; i < op_linear_weights(n); i++) {
        const graph_tensor *weight = n->inputs[op_linear_weight(i)].value->constant;
        if (weight && weight->rank == 2) elements += (double)weight->dims[0] * (double)weight->dims[1];
    }
    w->operations = 2.0 * (double)(hi - lo) * elements;
    if (lo == 0) w->weight_bytes = elements * each;
}

/* A product that no pass made a Linear of. */
static double matmul_operations(const plan_step *step, const plan_group *group, int64_t lo, int64_t hi) {
    const graph_value *x = step->node->inputs[0].value, *y = step->node->outputs[0];
    if (!y) return 0; /* nobody reads it */
    double width = nib_dtype_bits(y->type.dtype) / 8.0, K = (double)last_dim(x);
    if (width <= 0) return 0;
    if (K == 0 && x->type.rank > 0) {
        int64_t k;
        K = graph_dim_eval(x->type.dims[x->type.rank - 1], group->symbols, group->p->n_symbols, &k) ? (double)k : 0;
    }
    if (step->range == PLAN_RANGE_ROWS) return 2 * K * (double)(hi - lo) * (double)last_dim(y);
    return 2 * K * whole_bytes(y, group) / width;
}

void plan_step_work(const plan_step *step, const plan_group *group, int64_t lo, int64_t hi, plan_work *w) {
    const graph_node *n = step->node;
    const plan *p = group->p;
    *w = (plan_work){.input = plan_step_input(step)};
    if (hi <= lo) return;
    bool linear = graph_is_op(n, "nib", "Linear"), embed = graph_is_op(n, "nib", "Embed");
    if (linear) linear_work(step, lo, hi, w);
    if (graph_is_op(n, "", "MatMul")) w->operations = matmul_operations(step, group, lo, hi);
    if (step->range == PLAN_RANGE_TEXT_HEADS) {
        attention_work(step, group, lo, hi, w);
        return;
    }
    for (int i = 0; i < n->n_inputs; i++) {
        const graph_value *v = n->inputs[i].value;
        if (!v || (linear && (i == 1 || (i > 4 && i < OP_LINEAR_FACTOR)))) continue;
        if (v->constant && embed) w->value_bytes += (double)(hi - lo) * (double)last_dim(v) * sizeof(float); /* the rows looked up */
        else if (v->constant) w->weight_bytes += lo == 0 ? (double)v->constant->bytes : 0;
        else if (step->range == PLAN_RANGE_ROWS) w->value_bytes += (double)(hi - lo) * (double)p->values[v->id].row_bytes;
        else if (step->range == PLAN_RANGE_WHOLE) w->value_bytes += whole_bytes(v, group);
        else if (i == 0) /* texts */
            for (int64_t b = lo; b < hi; b++) w->value_bytes += (double)text_rows(step, group, b) * (double)p->values[v->id].row_bytes;
    }
    for (int i = 0; i < n->n_outputs; i++) {
        const graph_value *v = n->outputs[i];
        if (!v) continue;
        if (step->range == PLAN_RANGE_WHOLE) w->value_bytes += whole_bytes(v, group);
        else w->value_bytes += (double)(hi - lo) * (double)p->values[v->id].row_bytes;
    }
}

kernel_input plan_step_input(const plan_step *step) {
    const graph_node *n = step->node;
    nib_dtype x = n->n_inputs && n->inputs[0].value ? n->inputs[0].value->type.dtype : NIB_DTYPE_UNDEFINED;
    if (!graph_is_op(n, "nib", "Linear") && !graph_is_op(n, "nib", "Attention")) return KERNEL_INPUT_F32;
    return x == NIB_DTYPE_U8 ? KERNEL_INPUT_U8 : x == NIB_DTYPE_BF16 ? KERNEL_INPUT_BF16 : KERNEL_INPUT_F32;
}

/* ---- what a step is for */

/* Operators that only reshape or round what they are given: one looks through them. */
static bool is_transparent(const graph_node *n) {
    static const char *const ops[] = {"QuantizeRows", "Cast", "Slice", "Split", "Reshape", "Transpose", "Mul", "Rotary"};
    for (size_t i = 0; i < BASE_COUNT(ops); i++)
        if (strcmp(n->op, ops[i]) == 0) return true;
    return false;
}

static bool feeds_attention(const graph_node *n, int depth) {
    for (int i = 0; i < n->n_outputs; i++)
        for (const graph_use *u = n->outputs[i] ? n->outputs[i]->uses : NULL; u; u = u->next) {
            if (strcmp(u->node->op, "Attention") == 0) return true;
            if (depth > 0 && is_transparent(u->node) && feeds_attention(u->node, depth - 1)) return true;
        }
    return false;
}

/* The node that made what n reads. */
static const graph_node *source_of(const graph_node *n) {
    const graph_node *at = n->inputs[0].value ? n->inputs[0].value->producer : NULL;
    for (int depth = 0; at && depth < 4 && is_transparent(at) && at->n_inputs; depth++)
        at = at->inputs[0].value ? at->inputs[0].value->producer : NULL;
    return at;
}

const char *plan_step_kind(const plan_step *step) {
    static const struct {
        const char *op, *kind;
    } names[] = {{"Attention", "attention"}, {"Norm", "norm"},         {"LayerNormalization", "norm"}, {"QuantizeRows", "quantize"},
                 {"Embed", "embed"},         {"Pool", "pool"},         {"LpNormalization", "pool"},    {"MatMul", "matmul"},
                 {"Gemm", "matmul"},         {"Softmax", "attention"}, {"Erf", "activation"},          {"Rotary", "rotary"}};
    const graph_node *n = step->node;
    if (strcmp(n->op, "Linear") == 0) {
        const graph_node *from = source_of(n);
        if (feeds_attention(n, 3)) return "linear qkv";
        if (from && strcmp(from->op, "Attention") == 0) return "linear out";
        if (op_activation(n) > KERNEL_ACT_NONE) return "linear ffn up";
        if (from && strcmp(from->op, "Linear") == 0 && op_activation(from) > KERNEL_ACT_NONE) return "linear ffn down";
        return "linear";
    }
    if (strcmp(n->op, "Cast") == 0 && graph_attr_int(n, "to", 0) == NIB_DTYPE_BF16) return "quantize";
    for (size_t i = 0; i < BASE_COUNT(names); i++)
        if (strcmp(n->op, names[i].op) == 0) return names[i].kind;
    return strcmp(step->kernel, "eval") == 0 ? "eval" : "other";
}
