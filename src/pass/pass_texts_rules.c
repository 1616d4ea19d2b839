/* SPDX-License-Identifier: Apache-2.0
 *
 * One rule for each operator: from the flows of its inputs to that of its outputs. See pass_texts.c.
 */
#include "pass_texts.h"
#include <math.h>
#include <string.h>

#define NEGLIGIBLE -1e4 /* added to a score: its exponential is 0 */
#define LOWEST -1e8     /* below everything that a model computes */

/* ---------------------------------------------------------------- sizes */

/* Which sizes a value is made of, where its contents are known as expressions: those that cannot be computed without B, without S. */
void pass_flow_sizes(const flows *f, const graph_value *v, const graph_node *at, flow *y) {
    bool texts = !v->data, tokens = !v->data;
    int64_t n;
    for (int i = 0; i < v->data_count && v->data; i++) {
        texts |= !v->data[i] || !graph_dim_eval(v->data[i], f->without_b, f->n_symbols, &n);
        tokens |= !v->data[i] || !graph_dim_eval(v->data[i], f->without_s, f->n_symbols, &n);
    }
    reach(y, at, texts && !f->one_text, tokens && !f->fixed);
}

/* Whether an axis that is neither of texts nor of tokens has a size that depends on them. */
static bool is_of_sizes(graph_dim d) { return !graph_dim_is_const(d, NULL); }

/* A shape that is made of sizes alone, not of what texts say. */
static bool is_shape(const graph_value *v) { return v && (v->constant || v->data); }

/* ---------------------------------------------------------------- what stands where a text is padded */

static bool pad_of(const flow *x, const graph_value *v, double *out) {
    if (x->tokens < 0) return v && graph_scalar(v, out);
    *out = x->number;
    return x->pad == PAD_NUMBER;
}

static bool token_of(const flow *x, const graph_value *v, double *out) {
    if (x->tokens < 0) return v && graph_scalar(v, out);
    *out = x->token;
    return x->known;
}

/* Of an element-wise node: the number that it makes of its inputs' numbers, those that are known. tame [i]: input i is finite, whatever it
 * is. */
static bool compute(const graph_node *n, const double *x, const bool *known, const bool *tame, double *out) {
    const char *type = n->op;
    const bool both = known[0] && known[1], zero[2] = {known[0] && x[0] == 0, known[1] && x[1] == 0};
    if (strcmp(type, "Mul") == 0 && !both && ((zero[0] && tame[1]) || (zero[1] && tame[0]))) return *out = 0, true;
    if (strcmp(type, "And") == 0 && (zero[0] || zero[1])) return *out = 0, true;
    if (strcmp(type, "Div") == 0 && !both && zero[0] && tame[1]) return *out = 0, true;
    if (strcmp(type, "Where") == 0 && known[0]) return *out = x[0] != 0 ? x[1] : x[2], x[0] != 0 ? known[1] : known[2];
    if (!known[0]) return false;
    if (strcmp(type, "Cast") == 0) return *out = graph_attr_int(n, "to", 0) == NIB_DTYPE_BOOL ? x[0] != 0 : x[0], true;
    if (strcmp(type, "Not") == 0) return *out = x[0] == 0, true;
    if (strcmp(type, "Neg") == 0) return *out = -x[0], true;
    if (strcmp(type, "Identity") == 0 || strcmp(type, "Dropout") == 0) return *out = x[0], true;
    if (!both) return false;
    if (strcmp(type, "Add") == 0) return *out = x[0] + x[1], true;
    if (strcmp(type, "Sub") == 0) return *out = x[0] - x[1], true;
    if (strcmp(type, "Mul") == 0) return *out = x[0] * x[1], true;
    if (strcmp(type, "Div") == 0) return *out = x[0] / x[1], true;
    if (strcmp(type, "Equal") == 0) return *out = x[0] == x[1], true;
    if (strcmp(type, "Greater") == 0) return *out = x[0] > x[1], true;
    if (strcmp(type, "Less") == 0) return *out = x[0] < x[1], true;
    return false;
}

/* A divisor that is not 0 where a text is padded: kept away from it, or each text's own. */
static bool is_guarded(const flow *x, const graph_value *v) {
    double c;
    const graph_node *n = v->producer;
    if (x->tokens < 0) return true;
    if (x->pad == PAD_NUMBER) return x->number != 0;
    if (!graph_is_op(n, "", "Max") && !graph_is_op(n, "", "Clip") && !graph_is_op(n, "", "Add")) return false;
    for (int i = 0; i < n->n_inputs && i < 2; i++)
        if (n->inputs[i].value && graph_scalar(n->inputs[i].value, &c) && c > 0) return true;
    return false;
}

/* Whether the node may give tokens numbers that hide, or give padding what is not finite. known: its tokens all have one number. */
static bool makes_wild(const flows *f, const graph_node *n, bool known) {
    static const char *const fills[] = {"Add", "Sub", "Mul", "Where"}, *const poles[] = {"Reciprocal", "Log"};
    double c;
    for (size_t i = 0; i < BASE_COUNT(poles); i++)
        if (strcmp(n->op, poles[i]) == 0) return true;
    if (strcmp(n->op, "Div") == 0 || strcmp(n->op, "Pow") == 0) {
        const graph_value *v = pass_input(n, 1);
        const flow x = flow_of(f, v);
        if (!v || (strcmp(n->op, "Pow") == 0 ? !(graph_scalar(v, &c) && c >= 0) : !is_guarded(&x, v))) return true;
    }
    bool fills_in = false;
    for (size_t i = 0; i < BASE_COUNT(fills); i++) fills_in |= strcmp(n->op, fills[i]) == 0;
    if (!fills_in || known) return false;
    const flow condition = flow_of(f, n->inputs[0].value);
    if (strcmp(n->op, "Where") == 0 && condition.known) return false; /* by the mask: tokens get the other one */
    for (int i = 0; i < n->n_inputs; i++)
        if (n->inputs[i].value && graph_scalar(n->inputs[i].value, &c) && !(fabs(c) < -NEGLIGIBLE)) return true;
    return false;
}

void pass_flow_numbers(const flows *f, const graph_node *n, flow *y) {
    double pad[3] = {0}, token[3] = {0}, number;
    bool padded[3] = {false}, known[3] = {false}, tame[3] = {false};
    y->pad = PAD_ANY;
    y->known = false;
    if (n->n_inputs > 3) {
        y->wild = true;
        return;
    }
    for (int i = 0; i < n->n_inputs; i++) {
        const graph_value *v = n->inputs[i].value;
        const flow in = flow_of(f, v);
        padded[i] = v && pad_of(&in, v, &pad[i]);
        known[i] = v && token_of(&in, v, &token[i]);
        tame[i] = v && !in.wild && (!v->constant || !padded[i] || isfinite(pad[i]));
    }
    y->known = compute(n, token, known, tame, &y->token);
    y->wild |= makes_wild(f, n, y->known);
    /* A score with at least -1e4 added where it is padded, and nothing at tokens, is as good as hidden. */
    for (int i = 0; i < 2 && i < n->n_inputs && strcmp(n->op, "Add") == 0; i++)
        if (padded[i] && pad[i] <= NEGLIGIBLE && known[i] && token[i] == 0) y->pad = PAD_HIDDEN, y->number = pad[i];
    if (!compute(n, pad, padded, tame, &number)) return;
    y->pad = PAD_NUMBER;
    y->number = number;
}

static bool is_hidden(const flow *x, double most) {
    return !x->wild && (x->pad == PAD_HIDDEN || x->pad == PAD_NUMBER) && x->number <= most && !(x->known && x->token <= most);
}
static bool is_zero(const flow *x) { return x->pad == PAD_NUMBER && x->number == 0; }

/* ---------------------------------------------------------------- rules */

/* Operands that broadcast against each other to an output of that rank, its last `but` axes left out. */
static void align(const flows *f, const graph_node *n, int first, int count, int step, int rank, int but, flow *y) {
    for (int i = first; i < first + count * step && i < n->n_inputs; i += step) {
        const graph_value *v = n->inputs[i].value;
        if (!v) continue;
        const flow x = flow_of(f, v);
        inherit(y, &x);
        const int shift = rank - v->type.rank;
        if (v->type.rank < 0 || shift < 0) {
            if (!is_free(&x)) reach(y, n, true, true);
            continue;
        }
        if (x.texts >= 0 && x.texts < v->type.rank - but) {
            if (y->texts >= 0 && (y->texts != x.texts + shift || y->merged != x.merged)) reach(y, n, true, false);
            else if (!y->neighbours) y->texts = x.texts + shift, y->merged = x.merged;
        }
        if (x.tokens >= 0 && x.tokens < v->type.rank - but) {
            if (y->tokens >= 0 && y->tokens != x.tokens + shift) reach(y, n, false, true);
            else if (!y->padding) y->tokens = x.tokens + shift;
        }
    }
    /* What is not of texts must be the same for all of them. */
    for (int i = first; i < first + count * step && i < n->n_inputs && y->texts >= 0; i += step) {
        const graph_value *v = n->inputs[i].value;
        const int at = v ? y->texts - (rank - v->type.rank) : -1;
        const flow x = flow_of(f, v);
        if (v && x.texts < 0 && at >= 0 && at < v->type.rank && !graph_dim_is_one(v->type.dims[at])) reach(y, n, true, false);
    }
}

static void rule_element(const flows *f, const graph_node *n, flow *y) {
    align(f, n, 0, n->n_inputs, 1, n->outputs[0]->type.rank, 0, y);
    pass_flow_numbers(f, n, y);
}

/* Along the last axis of input 0; the residual of nib's Linear and Norm is aligned with it, everything else must be the same for all. */
static void rule_last(const flows *f, const graph_node *n, flow *y) {
    const int rank = n->outputs[0]->type.rank;
    flow x = flow_of(f, n->inputs[0].value);
    *y = x;
    y->pad = PAD_ANY, y->known = false;
    const int last = n->inputs[0].value->type.rank - 1;
    if (x.texts == last || x.tokens == last || rank != last + 1) reach(y, n, x.texts == last || rank != last + 1, true);
    for (int i = 1; i < n->n_inputs; i++) {
        x = flow_of(f, n->inputs[i].value);
        if (i == 3 && strcmp(n->domain, "nib") == 0) align(f, n, 3, 1, 1, rank, 0, y);
        else if (!is_free(&x)) reach(y, n, true, true);
        else inherit(y, &x);
    }
}

static void rule_softmax(const flows *f, const graph_node *n, flow *y) {
    const graph_value *v = n->inputs[0].value;
    const int rank = v->type.rank, opset = graph_opset_version(f->g, "");
    const bool flat = opset < 13 && strcmp(n->op, "LpNormalization") != 0; /* all axes from that one on */
    int64_t axis = graph_attr_int(n, "axis", flat ? 1 : -1);
    *y = flow_of(f, v);
    axis += axis < 0 ? rank : 0;
    const bool hidden = is_hidden(y, NEGLIGIBLE) && strcmp(n->op, "Softmax") == 0;
    if (flat && axis != rank - 1) reach(y, n, y->texts >= axis, true);
    if (y->texts == axis) reach(y, n, true, false);
    if (y->tokens == axis && !hidden) reach(y, n, false, true);
    if (y->tokens < 0 && axis >= 0 && axis < rank && is_of_sizes(v->type.dims[axis])) reach(y, n, false, !f->fixed);
    y->pad = y->tokens == axis ? PAD_NUMBER : PAD_ANY;
    y->number = 0;
}

static bool reduces(const graph_node *n, int axis, int rank, bool *known) {
    const int64_t *axes = NULL, *listed;
    const graph_value *v = pass_input(n, 1);
    int64_t count = graph_attr_ints(n, "axes", &listed), at;
    *known = true;
    if (count > 0) axes = listed;
    else if (v) count = v->data ? v->data_count : -1;
    if (v && count < 0) return *known = false, true;
    if (count <= 0) return graph_attr_int(n, "noop_with_empty_axes", 0) == 0; /* all of them */
    for (int64_t i = 0; i < count; i++) {
        if (axes) at = axes[i];
        else if (!pass_int_at(v, (int)i, &at)) return *known = false, true;
        if (at + (at < 0 ? rank : 0) == axis) return true;
    }
    return false;
}

/* Whether what stands where a text is padded adds nothing. */
static bool adds_nothing(const graph_node *n, const flow *x) {
    static const char *const sums[] = {"ReduceSum", "ReduceL1", "ReduceL2", "ReduceSumSquare"};
    for (size_t i = 0; i < BASE_COUNT(sums); i++)
        if (strcmp(n->op, sums[i]) == 0) return is_zero(x);
    return strcmp(n->op, "ReduceMax") == 0 && is_hidden(x, LOWEST);
}

/* Axes that go, or stay as 1: the others move to the front. */
static void drop_axes(flow *y, const bool *gone, int rank, bool keep) {
    int at = 0, texts = -1, tokens = -1;
    for (int k = 0; k < rank; k++) {
        if (gone[k] && !keep) continue;
        if (k == y->texts && !gone[k]) texts = at;
        if (k == y->tokens && !gone[k]) tokens = at;
        at++;
    }
    y->texts = texts;
    y->tokens = tokens;
}

static void rule_reduce(const flows *f, const graph_node *n, flow *y) {
    const graph_value *v = n->inputs[0].value;
    bool gone[GRAPH_MAX_RANK] = {false}, known = true;
    flow x = flow_of(f, v);
    *y = x;
    for (int k = 0; k < v->type.rank; k++) {
        gone[k] = reduces(n, k, v->type.rank, &known);
        if (!gone[k]) continue;
        if (k == x.texts || !known) reach(y, n, true, true);
        else if (k == x.tokens) reach(y, n, false, !adds_nothing(n, &x));
        else if (is_of_sizes(v->type.dims[k])) reach(y, n, v->type.dims[k] != f->s, !f->fixed);
    }
    drop_axes(y, gone, v->type.rank, graph_attr_int(n, "keepdims", 1) != 0);
    y->pad = PAD_ANY, y->known = false;
}

static void rule_arg(const flows *f, const graph_node *n, flow *y) {
    const graph_value *v = n->inputs[0].value;
    bool gone[GRAPH_MAX_RANK] = {false};
    int64_t axis = graph_attr_int(n, "axis", 0);
    axis += axis < 0 ? v->type.rank : 0;
    *y = flow_of(f, v);
    if (axis < 0 || axis >= v->type.rank || y->texts == axis) return reach(y, n, true, true);
    if (y->tokens == axis) reach(y, n, false, !(strcmp(n->op, "ArgMax") == 0 && is_hidden(y, LOWEST)));
    gone[axis] = true;
    drop_axes(y, gone, v->type.rank, graph_attr_int(n, "keepdims", 1) != 0);
    y->pad = PAD_ANY, y->known = false;
}

/* [.., M, K] [.., K, N] */
static void rule_matmul(const flows *f, const graph_node *n, flow *y) {
    const bool quantized = strcmp(n->op, "QLinearMatMul") == 0;
    const int second = quantized ? 3 : 1, rank = n->outputs[0]->type.rank;
    const graph_value *va = n->inputs[0].value, *vb = pass_input(n, second);
    if (!vb || va->type.rank < 2 || vb->type.rank < 2) return reach(y, n, true, true);
    const flow a = flow_of(f, va), b = flow_of(f, vb);
    const int ra = va->type.rank, rb = vb->type.rank;
    for (int i = 1; i < n->n_inputs; i++) { /* scales and zero points are the same for all */
        const flow x = flow_of(f, n->inputs[i].value);
        inherit(y, &x);
        if (i != second && !is_free(&x)) reach(y, n, true, true);
    }
    align(f, n, 0, 2, second, rank, 2, y);
    bool k_texts = a.texts == ra - 1 || b.texts == rb - 2, both = a.tokens == ra - 1 && b.tokens == rb - 2;
    if (k_texts) reach(y, n, true, false);
    if ((a.tokens == ra - 1 || b.tokens == rb - 2) && !(both && ((is_zero(&a) && !b.wild) || (is_zero(&b) && !a.wild))))
        reach(y, n, false, true);
    if (!both && is_of_sizes(va->type.dims[ra - 1])) reach(y, n, !k_texts && va->type.dims[ra - 1] != f->s, !f->fixed);
    if (a.texts == ra - 2)
        reach(y, n, b.texts >= 0 || y->texts >= 0, false), y->texts = y->neighbours ? -1 : rank - 2, y->merged = a.merged;
    if (b.texts == rb - 1) reach(y, n, true, false);
    if (a.tokens == ra - 2) reach(y, n, false, y->tokens >= 0), y->tokens = y->padding ? -1 : rank - 2;
    if (b.tokens == rb - 1) reach(y, n, false, y->tokens >= 0), y->tokens = y->padding ? -1 : rank - 1;
}

static void rule_gemm(const flows *f, const graph_node *n, flow *y) {
    const flow b = flow_of(f, n->inputs[1].value);
    *y = flow_of(f, n->inputs[0].value);
    y->pad = PAD_ANY, y->known = false;
    if (!is_free(&b) || graph_attr_int(n, "transA", 0) || y->texts == 1 || y->tokens == 1) reach(y, n, true, true);
    inherit(y, &b);
    if (n->n_inputs > 2) align(f, n, 2, 1, 1, 2, 0, y);
}

static void rule_transpose(const flows *f, const graph_node *n, flow *y) {
    const flow x = flow_of(f, n->inputs[0].value);
    const int64_t *perm;
    const int rank = n->inputs[0].value->type.rank;
    const bool given = graph_attr_ints(n, "perm", &perm) == rank;
    *y = x;
    y->texts = y->tokens = -1;
    for (int k = 0; k < rank; k++) {
        const int64_t from = given ? perm[k] : rank - 1 - k;
        if (from == x.texts) y->texts = k;
        if (from == x.tokens) y->tokens = k;
    }
}

static int next_axis(const graph_type *t, int k) {
    while (k < t->rank && graph_dim_is_one(t->dims[k])) k++;
    return k;
}

/* Only axes of 1 come and go: the others keep their order. */
static bool view_axes(const graph_type *from, const graph_type *to, flow *y) {
    int texts = -1, tokens = -1, k = 0;
    for (int i = 0; i < from->rank; i++) {
        if (graph_dim_is_one(from->dims[i])) {
            if (i == y->texts) return false; /* a batch of 1: no axis is left to say which */
            continue;
        }
        k = next_axis(to, k);
        if (k == to->rank || !from->dims[i] || to->dims[k] != from->dims[i]) return false;
        if (i == y->texts) texts = k;
        if (i == y->tokens) tokens = k;
        k++;
    }
    if (next_axis(to, k) != to->rank) return false;
    y->texts = texts;
    y->tokens = tokens;
    return true;
}

/* Whether an axis of that size can count texts and more, texts slowest. */
static bool holds_texts(const flows *f, graph_dim d) {
    int64_t c, b;
    if (!d || !f->b) return false;
    if (graph_dim_is_const(f->b, &b)) return graph_dim_is_const(d, &c) && c % b == 0;
    graph_dim rest = graph_dim_div(f->g->symbols, d, f->b);
    return d == f->b || (rest && graph_dim_mul(f->g->symbols, rest, f->b) == d);
}

/* Reshape, Flatten, Squeeze, Unsqueeze. A text whose rows stand together stays so if its axis is the first in both. */
static void rule_reshape(const flows *f, const graph_node *n, flow *y) {
    const graph_type *from = &n->inputs[0].value->type, *to = &n->outputs[0]->type;
    *y = flow_of(f, n->inputs[0].value);
    if ((n->n_inputs > 1 && n->inputs[1].value && !is_shape(n->inputs[1].value)) || from->rank < 0 || to->rank < 0)
        return reach(y, n, true, true);
    if (is_free(y)) return;
    if (view_axes(from, to, y)) return;
    const bool first = next_axis(from, 0) >= y->texts;
    const int at = next_axis(to, 0);
    if (y->tokens >= 0) reach(y, n, false, true);
    if (y->texts < 0) return;
    y->texts = at;
    y->merged = at < to->rank && to->dims[at] != f->b;
    reach(y, n, !first || at == to->rank || !holds_texts(f, to->dims[at]), false);
}

static void rule_expand(const flows *f, const graph_node *n, flow *y) {
    const graph_value *x = n->inputs[0].value, *out = n->outputs[0];
    if (!is_shape(n->inputs[1].value) || x->type.rank < 0 || out->type.rank < x->type.rank) return reach(y, n, true, true);
    const int shift = out->type.rank - x->type.rank;
    align(f, n, 0, 1, 1, out->type.rank, 0, y);
    const flow in = flow_of(f, x);
    y->pad = in.pad;
    y->number = in.number;
    for (int k = 0; k < out->type.rank; k++) { /* copies for each text, or for each token */
        const bool copies = k < shift || graph_dim_is_one(x->type.dims[k - shift]);
        if (!copies || !out->type.dims[k] || graph_dim_is_const(out->type.dims[k], NULL)) continue;
        if (holds_texts(f, out->type.dims[k]) && y->texts < 0 && !y->neighbours) y->texts = k, y->merged = out->type.dims[k] != f->b;
        else if (out->type.dims[k] == f->s && y->tokens < 0 && !y->padding) {
            y->tokens = k;
            y->pad = graph_scalar(x, &y->number) ? PAD_NUMBER : PAD_ANY;
        }
    }
}

static void rule_filled(const flows *f, const graph_node *n, flow *y) {
    const graph_attr *a = graph_find_attr(n, "value");
    const graph_type *t = &n->outputs[0]->type;
    const graph_value value = {.constant = a && a->kind == GRAPH_ATTR_TENSOR ? a->u.tensor : NULL};
    if (t->rank < 0 || !is_shape(n->inputs[0].value)) return reach(y, n, true, true);
    for (int k = 0; k < t->rank; k++) {
        if (!t->dims[k]) return reach(y, n, true, true);
        if (graph_dim_is_const(t->dims[k], NULL)) continue;
        if (t->dims[k] == f->b) y->texts = k;
        if (t->dims[k] == f->s) y->tokens = k;
    }
    y->pad = PAD_NUMBER;
    if (!value.constant) y->number = 0;
    else if (!graph_scalar(&value, &y->number)) y->pad = PAD_ANY, y->known = false;
}

static void rule_range(const flows *f, const graph_node *n, flow *y) {
    const graph_value *limit = n->inputs[1].value;
    for (int i = 0; i < 3; i += 2) {
        const flow x = flow_of(f, n->inputs[i].value);
        inherit(y, &x);
    }
    const graph_dim d = limit && limit->data && limit->data_count == 1 ? limit->data[0] : NULL;
    const flow x = flow_of(f, limit);
    if (d && d == f->s) y->tokens = f->fixed ? -1 : 0; /* element j is j, however many there are */
    else inherit(y, &x);
    if (!is_free(&x)) reach(y, n, true, true);
}

static void rule_concat(const flows *f, const graph_node *n, flow *y) {
    const int rank = n->outputs[0]->type.rank;
    int64_t axis = graph_attr_int(n, "axis", 0);
    axis += axis < 0 ? rank : 0;
    align(f, n, 0, n->n_inputs, 1, rank, 0, y);
    reach(y, n, y->texts >= 0 && y->texts == axis, y->tokens >= 0 && y->tokens == axis);
}

/* A part of an axis. Of tokens, only the first is a text's own whatever its length. */
static void rule_slice(const flows *f, const graph_node *n, flow *y) {
    const graph_value *x = n->inputs[0].value, *starts = pass_input(n, 1), *ends = pass_input(n, 2), *axes = pass_input(n, 3);
    *y = flow_of(f, x);
    if (!starts || !starts->data || !ends || (axes && !axes->data)) return reach(y, n, y->texts >= 0, y->tokens >= 0);
    for (int i = 0; i < starts->data_count; i++) {
        int64_t axis = i, from, to, step = 1;
        if (axes && !pass_int_at(axes, i, &axis)) return reach(y, n, true, true);
        axis += axis < 0 ? x->type.rank : 0;
        if (pass_input(n, 4) && !pass_int_at(n->inputs[4].value, i, &step)) step = 0;
        const bool first = pass_int_at(starts, i, &from) && from == 0 && pass_int_at(ends, i, &to) && to == 1 && step == 1;
        if (y->texts >= 0 && axis == y->texts) reach(y, n, true, false);
        if (y->tokens < 0 || axis != y->tokens) continue;
        if (first) y->tokens = -1;
        else reach(y, n, false, true);
    }
}

static void rule_split(const flows *f, const graph_node *n, flow *y) {
    const graph_value *x = n->inputs[0].value;
    int64_t axis = graph_attr_int(n, "axis", 0);
    axis += axis < 0 ? x->type.rank : 0;
    *y = flow_of(f, x);
    reach(y, n, y->texts >= 0 && y->texts == axis, y->tokens >= 0 && y->tokens == axis);
}

/* Whether element j of v, of one for each token, is no more than j. */
static bool is_at_most_own(const graph_value *v) {
    const graph_node *n = v->producer;
    double c;
    if (graph_is_op(n, "", "Range")) return graph_scalar(n->inputs[0].value, &c) && c == 0;
    if (graph_is_op(n, "", "Sub"))
        return graph_scalar(n->inputs[1].value, &c) && c >= 0 && is_at_most_own(n->inputs[0].value);
    return graph_is_op(n, "", "Max") && n->n_inputs == 2 && graph_scalar(n->inputs[1].value, &c) && c <= 0 &&
           is_at_most_own(n->inputs[0].value);
}

/* Indices of columns that are each text's own, as ids are that move on by one: each at or before its own, and none
 * counted from the end. */
static bool looks_back(const graph_value *v) {
    const graph_node *n = v->producer;
    double c;
    return is_at_most_own(v) && graph_is_op(n, "", "Max") && graph_scalar(n->inputs[1].value, &c) && c == 0;
}

/* data[.., indices, ..]: rows of a table that is the same for all, or one of each text's. */
static void rule_gather(const flows *f, const graph_node *n, flow *y) {
    const graph_value *data = n->inputs[0].value, *indices = n->inputs[1].value;
    const flow x = flow_of(f, data), i = flow_of(f, indices);
    int64_t axis = graph_attr_int(n, "axis", 0), at;
    const int more = indices->type.rank - 1;
    if (data->type.rank < 1 || indices->type.rank < 0) return reach(y, n, true, true);
    axis += axis < 0 ? data->type.rank : 0;
    inherit(y, &x);
    inherit(y, &i);
    if (x.texts >= 0) y->texts = x.texts < axis ? x.texts : x.texts + more, y->merged = x.merged;
    if (x.tokens >= 0) y->tokens = x.tokens < axis ? x.tokens : x.tokens + more;
    if (x.texts >= 0 && (x.texts == axis || i.texts >= 0)) reach(y, n, true, false);
    else if (i.texts >= 0) y->texts = (int)axis + i.texts, y->merged = i.merged;
    if (x.tokens >= 0 && x.tokens == axis) {
        y->tokens = -1;
        const bool first = indices->data_count == 1 && pass_int_at(indices, 0, &at) && at == 0; /* every text has one */
        if (i.tokens == 0 && indices->type.rank == 1 && looks_back(indices)) y->tokens = x.tokens;
        else if (!first) reach(y, n, false, true);
    } else if (i.tokens >= 0) {
        if (x.tokens >= 0) reach(y, n, false, true);
        else y->tokens = (int)axis + i.tokens;
    }
}

/* A row of each text, of the column that ArgMax has found in it. */
static void rule_gather_nd(const flows *f, const graph_node *n, flow *y) {
    const graph_value *indices = n->inputs[1].value;
    const flow x = flow_of(f, n->inputs[0].value), i = flow_of(f, indices);
    inherit(y, &x);
    inherit(y, &i);
    const bool texts =
        x.texts == 0 && !x.merged && i.texts == 0 && !i.merged && graph_attr_int(n, "batch_dims", 0) == 1;
    const bool column = indices->type.rank == 2 && graph_dim_is_one(indices->type.dims[1]) && x.tokens == 1 &&
                        graph_is_op(indices->producer, "", "ArgMax");
    if (texts && !y->neighbours) y->texts = 0;
    reach(y, n, !texts, !column);
}

/* output[i][j] = data[i][indices[i][j]] along axis 1: each element of a text looks its own row up. */
static void rule_gather_elements(const flows *f, const graph_node *n, flow *y) {
    const flow x = flow_of(f, n->inputs[0].value);
    int64_t axis = graph_attr_int(n, "axis", 0);
    const int rank = n->inputs[0].value->type.rank;
    axis += axis < 0 ? rank : 0;
    align(f, n, 0, 2, 1, rank, 0, y);
    reach(y, n, y->texts >= 0 && y->texts == axis, x.tokens >= 0 && x.tokens == axis);
}

/* Copies of a table for each text; whatever else is repeated along other axes than those of texts and tokens. */
static void rule_tile(const flows *f, const graph_node *n, flow *y) {
    const graph_value *repeats = n->inputs[1].value;
    const int rank = n->inputs[0].value->type.rank;
    *y = flow_of(f, n->inputs[0].value);
    if (!is_shape(repeats) || !repeats->data || repeats->data_count != rank) return reach(y, n, true, true);
    const bool free = is_free(y);
    for (int k = 0; k < rank; k++) {
        if (graph_dim_is_one(repeats->data[k])) continue;
        if (free && y->texts < 0 && f->b && repeats->data[k] == f->b && !graph_dim_is_const(f->b, NULL)) y->texts = k, y->merged = true;
        else if (k == y->texts || k == y->tokens || !graph_dim_is_const(repeats->data[k], NULL)) reach(y, n, true, true);
    }
    if (y->texts >= 0 && free) y->merged = !graph_dim_is_one(n->inputs[0].value->type.dims[y->texts]);
}

/* nib.Embed: pairs of ids and a table. */
static void rule_embed(const flows *f, const graph_node *n, flow *y) {
    align(f, n, 0, (n->n_inputs + 1) / 2, 2, n->outputs[0]->type.rank - 1, 0, y);
    for (int i = 1; i < n->n_inputs; i += 2) {
        const flow x = flow_of(f, n->inputs[i].value);
        if (!is_free(&x)) reach(y, n, true, true);
    }
    y->pad = PAD_ANY, y->known = false;
}

/* nib.Pool: of the tokens that its mask has. */
static void rule_pool(const flows *f, const graph_node *n, flow *y) {
    const flow x = flow_of(f, n->inputs[0].value), mask = flow_of(f, n->inputs[1].value);
    inherit(y, &x);
    inherit(y, &mask);
    const bool texts = x.texts == 0 && mask.texts == 0, tokens = x.tokens == 1 && mask.tokens == 1 && is_zero(&mask);
    if (texts && !y->neighbours) y->texts = 0;
    reach(y, n, !texts, !tokens);
}

/* nib.Pick: rows of tokens, which the places name by text. */
static void rule_pick(const flows *f, const graph_node *n, flow *y) {
    const flow x = flow_of(f, n->inputs[0].value);
    const bool texts = x.texts == 0 && !x.merged;
    inherit(y, &x);
    if (texts && !y->neighbours) y->texts = 0, y->merged = true;
    reach(y, n, !texts, x.tokens != 1);
}

/* Left where packing has not proven it: texts do not see each other, but padding may be seen. */
static void rule_attention(const flows *f, const graph_node *n, flow *y) {
    op_attention a;
    bool texts = op_attention_get(n, &a) && !a.offsets && !a.positions;
    for (int i = 0; i < n->n_inputs; i++) {
        const flow x = flow_of(f, n->inputs[i].value);
        inherit(y, &x);
        if (n->inputs[i].value)
            texts &= (i > 2 ? x.texts <= 0 : x.texts == 0) &&
                     !x.merged; /* behind rows stand biases and tables of all texts */
    }
    if (texts && !y->neighbours) y->texts = 0;
    reach(y, n, !texts, true);
}

static void rule_rotary(const flows *f, const graph_node *n, flow *y) {
    *y = flow_of(f, n->inputs[0].value);
    y->pad = PAD_ANY, y->known = false;
    for (int i = 1; i < n->n_inputs; i++) {
        const flow x = flow_of(f, n->inputs[i].value);
        inherit(y, &x);
        /* The tables are looked up by position. */
        reach(y, n, x.texts >= 0 && (i < 3 || x.texts != y->texts), i == 3 && x.tokens >= 0 && x.tokens != y->tokens);
    }
}

/* [texts, channels, places]: each place reads those beside it. */
static void rule_conv(const flows *f, const graph_node *n, flow *y) {
    *y = flow_of(f, n->inputs[0].value);
    for (int i = 1; i < n->n_inputs; i++) {
        const flow x = flow_of(f, n->inputs[i].value);
        inherit(y, &x);
        if (!is_free(&x)) reach(y, n, true, true);
    }
    reach(y, n, y->texts != 0 || y->merged, y->tokens >= 0);
}

/* What is put around an axis moves its elements. */
static void rule_pad(const flows *f, const graph_node *n, flow *y) {
    const graph_value *x = n->inputs[0].value, *pads = pass_input(n, 1), *axes = pass_input(n, 3);
    const int rank = x->type.rank;
    *y = flow_of(f, x);
    if (!pads || axes || !pads->data || pads->data_count != 2 * rank) return reach(y, n, true, true);
    for (int k = 0; k < rank; k++) {
        graph_dim none = graph_dim_const(f->g->symbols, 0);
        const bool padded = !none || pads->data[k] != none || pads->data[k + rank] != none;
        if (padded) reach(y, n, k == y->texts, k == y->tokens);
    }
    y->pad = PAD_ANY, y->known = false;
}

/* Each element reads those before it. */
static void rule_cumsum(const flows *f, const graph_node *n, flow *y) {
    int64_t axis;
    const graph_value *x = n->inputs[0].value;
    *y = flow_of(f, x);
    y->pad = PAD_ANY, y->known = false;
    if (!pass_int_at(n->inputs[1].value, 0, &axis)) return reach(y, n, true, true);
    axis += axis < 0 ? x->type.rank : 0;
    reach(y, n, y->texts >= 0 && y->texts == axis, y->tokens >= 0 && y->tokens == axis && graph_attr_int(n, "reverse", 0));
}

/* The list itself is of sizes; what reads it as a shape does not read the sizes as numbers. */
static void rule_size(const flows *f, const graph_node *n, flow *y) { pass_flow_sizes(f, n->outputs[0], n, y); }

static const struct {
    const char *domain, *op;
    int inputs; /* that must be there */
    void (*rule)(const flows *, const graph_node *, flow *);
} rules[] = {
    {"", "Shape", 1, rule_size},
    {"", "Size", 1, rule_size},
    {"", "MatMul", 2, rule_matmul},
    {"", "MatMulInteger", 2, rule_matmul},
    {"", "QLinearMatMul", 4, rule_matmul},
    {"", "Gemm", 2, rule_gemm},
    {"", "Softmax", 1, rule_softmax},
    {"", "LogSoftmax", 1, rule_softmax},
    {"", "LpNormalization", 1, rule_softmax},
    {"", "ReduceSum", 1, rule_reduce},
    {"", "ReduceMean", 1, rule_reduce},
    {"", "ReduceMax", 1, rule_reduce},
    {"", "ReduceMin", 1, rule_reduce},
    {"", "ReduceL1", 1, rule_reduce},
    {"", "ReduceL2", 1, rule_reduce},
    {"", "ReduceProd", 1, rule_reduce},
    {"", "ReduceSumSquare", 1, rule_reduce},
    {"", "ReduceLogSum", 1, rule_reduce},
    {"", "ReduceLogSumExp", 1, rule_reduce},
    {"", "ArgMax", 1, rule_arg},
    {"", "ArgMin", 1, rule_arg},
    {"", "Transpose", 1, rule_transpose},
    {"", "Reshape", 1, rule_reshape},
    {"", "Flatten", 1, rule_reshape},
    {"", "Squeeze", 1, rule_reshape},
    {"", "Unsqueeze", 1, rule_reshape},
    {"", "Expand", 2, rule_expand},
    {"", "ConstantOfShape", 1, rule_filled},
    {"", "Range", 3, rule_range},
    {"", "Concat", 1, rule_concat},
    {"", "Slice", 1, rule_slice},
    {"", "Split", 1, rule_split},
    {"", "Gather", 2, rule_gather},
    {"", "GatherElements", 2, rule_gather_elements},
    {"", "GatherND", 2, rule_gather_nd},
    {"", "Tile", 2, rule_tile},
    {"", "Pad", 1, rule_pad},
    {"", "CumSum", 2, rule_cumsum},
    {"", "Conv", 2, rule_conv},
    {"", "Identity", 1, rule_element},
    {"", "Dropout", 1, rule_element},
    {"", "Where", 3, rule_element},
    {"", "Not", 1, rule_element},
    {"nib", "Embed", 2, rule_embed},
    {"nib", "Pool", 2, rule_pool},
    {"nib", "Pick", 2, rule_pick},
    {"nib", "Attention", 1, rule_attention},
    {"nib", "Rotary", 4, rule_rotary},
};

static bool has_inputs(const graph_node *n, int count) {
    for (int i = 0; i < count; i++)
        if (!pass_input(n, i)) return false;
    return true;
}

/* What reaches a node's outputs. */
flow pass_flow_out(const flows *f, const graph_node *n) {
    flow y = whole;
    bool free = !graph_has_bodies(n) && !pass_is_random(n);
    for (int i = 0; i < n->n_inputs; i++) {
        const flow x = flow_of(f, n->inputs[i].value);
        free &= is_free(&x) && !x.neighbours && !x.padding;
    }
    if (n->outputs[0]) {
        for (size_t i = 0; i < BASE_COUNT(rules); i++)
            if (graph_is_op(n, rules[i].domain, rules[i].op) && has_inputs(n, rules[i].inputs)) return rules[i].rule(f, n, &y), y;
        const op_rows rows = op_rows_of(n);
        if (free) return y;
        if (rows == OP_ROWS_ELEMENT && n->outputs[0]->type.rank >= 0) return rule_element(f, n, &y), y;
        if (rows == OP_ROWS_LAST && has_inputs(n, 1)) return rule_last(f, n, &y), y;
    }
    if (!free) reach(&y, n, true, true);
    return y;
}
