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

const graph_value *plan_step_offsets(const plan_step *step) {
    const graph_node *n = step->node;
    op_attention a;
    if (op_attention_get(n, &a)) return a.offsets;
    return graph_is_op(n, "nib", "Pool") && step->range == PLAN_RANGE_TEXTS && n->n_inputs > 1 ? n->inputs[1].value : NULL;
}

/* Rows of text b: of a packed batch from its offsets, of a padded one all. */
static int64_t text_rows(const plan_step *step, const plan_group *group, int64_t b) {
    const graph_value *offsets = plan_step_offsets(step), *x = step->node->inputs[0].value;
    const int64_t *o = offsets ? group->slots[offsets->id].t.data : NULL;
    int64_t rows = 0;
    if (o) return o[b + 1] - o[b];
    if (x->type.rank < 2 || !graph_dim_eval(x->type.dims[x->type.rank - 2], group->symbols, group->p->n_symbols, &rows)) return 0;
    return rows;
}

/* Pairs of a query and a key that it may look at. */
static double pairs(const op_attention *a, int64_t rows) {
    int64_t right = a->causal ? 0 : a->right;
    double sum = 0;
    if (a->left < 0 && right < 0) return (double)rows * (double)rows;
    for (int64_t i = 0; i < rows; i++) {
        int64_t first = a->left < 0 || i < a->left ? 0 : i - a->left, last = right < 0 || i + right >= rows ? rows - 1 : i + right;
        sum += (double)(last - first + 1);
    }
    return sum;
}

static void attention_work(const plan_step *step, const plan_group *group, int64_t lo, int64_t hi, plan_work *w) {
    op_attention a;
    if (!op_attention_get(step->node, &a)) return;
    int heads = step->heads > 0 ? step->heads : 1;
    int64_t kv_heads = a.kv_heads > 0 ? a.kv_heads : heads;
    double q = (double)last_dim(step->node->outputs[0]) / heads, kv = a.k ? (double)last_dim(a.k) / (double)kv_heads : q;
    double share = (double)kv_heads / heads; /* a head of keys serves several of queries */
    for (int64_t part = lo; part < hi; part++) {
        int64_t rows = text_rows(step, group, part / heads);
        const int products = 2 + (a.relative_keys != NULL) + (a.relative_queries != NULL);
        w->operations += (products - 1) * 2.0 * q * pairs(&a, rows) + 2.0 * kv * pairs(&a, rows);
        w->value_bytes += (double)rows * sizeof(float) * (2 * q + 2 * kv * share);
    }
}

/* An element's bytes as kernels hold it: not quantized, a weight is packed as f32. */
static double weight_bytes(const graph_value *w, int64_t K) {
    return base_is_quantized(&w->type.quant) ? base_quant_bytes(&w->type.quant, K) : sizeof(float);
}

static void linear_work(const op_linear *l, int64_t lo, int64_t hi, plan_work *w) {
    double elements = 0, bytes = 0;
    for (int i = 0; i < l->n_weights; i++) {
        const graph_tensor *t = l->weights[i]->constant;
        if (!t || t->rank != 2) continue;
        elements += (double)t->dims[0] * (double)t->dims[1];
        bytes += (double)t->dims[0] * (double)t->dims[1] * weight_bytes(l->weights[i], t->dims[l->trans]);
    }
    w->operations = 2.0 * (double)(hi - lo) * elements;
    if (lo == 0) w->weight_bytes = bytes;
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
    op_linear l;
    bool embed = graph_is_op(n, "nib", "Embed");
    if (op_linear_get(n, &l)) linear_work(&l, lo, hi, w);
    if (graph_is_op(n, "", "MatMul")) w->operations = matmul_operations(step, group, lo, hi);
    if (step->range == PLAN_RANGE_TEXT_HEADS) {
        attention_work(step, group, lo, hi, w);
        return;
    }
    for (int i = 0; i < n->n_inputs; i++) {
        const graph_value *v = n->inputs[i].value;
        if (!v || op_is_linear_weight(n, i)) continue;
        if (v->constant && embed) w->value_bytes += (double)(hi - lo) * (double)last_dim(v) * sizeof(float); /* the rows looked up */
        else if (v->constant) w->weight_bytes += lo == 0 ? (double)v->constant->bytes : 0;
        else if (step->range == PLAN_RANGE_ROWS) w->value_bytes += (double)(hi - lo) * (double)p->values[v->id].row_bytes;
        else if (step->range == PLAN_RANGE_WHOLE || step->range == PLAN_RANGE_PARTS) w->value_bytes += whole_bytes(v, group);
        else if (i == 0) /* texts */
            for (int64_t b = lo; b < hi; b++) w->value_bytes += (double)text_rows(step, group, b) * (double)p->values[v->id].row_bytes;
    }
    for (int i = 0; i < n->n_outputs; i++) {
        const graph_value *v = n->outputs[i];
        if (!v) continue;
        if (step->range == PLAN_RANGE_WHOLE || step->range == PLAN_RANGE_PARTS) w->value_bytes += whole_bytes(v, group);
        else w->value_bytes += (double)(hi - lo) * (double)p->values[v->id].row_bytes;
    }
}

kernel_input plan_step_input(const plan_step *step) {
    const graph_node *n = step->node;
    op_linear l;
    int input = op_linear_get(n, &l) && l.x ? op_rows_input(&l.x->type) : -1;
    return input < 0 ? KERNEL_INPUT_F32 : (kernel_input)input;
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

static bool is_activated(const graph_node *n) {
    op_linear l;
    return op_linear_get(n, &l) && l.activation > KERNEL_ACT_NONE;
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
        if (is_activated(n)) return "linear ffn up";
        if (is_activated(from)) return "linear ffn down";
        return "linear";
    }
    if (strcmp(n->op, "Cast") == 0 && graph_attr_int(n, "to", 0) == NIB_DTYPE_BF16) return "quantize";
    for (size_t i = 0; i < BASE_COUNT(names); i++)
        if (strcmp(n->op, names[i].op) == 0) return names[i].kind;
    return strcmp(step->kernel, "eval") == 0 ? "eval" : "other";
}
