/* SPDX-License-Identifier: Apache-2.0
 *
 * Losses and what trains with them, https://onnx.ai/onnx/operators/: NegativeLogLikelihoodLoss SoftmaxCrossEntropyLoss, and
 * Adagrad, Adam, Momentum of ai.onnx.preview.training. Computed in double, rounded once.
 */
#include "op_local.h"

/* x is [N, C, rest...], the target [N, rest...] of class numbers, weights [C]. */
typedef struct loss {
    const graph_tensor *x, *target, *weight;
    int64_t N, C, rest, ignored;
    bool ignores;
    enum { NONE, MEAN, SUM } reduction;
} loss;

static nib_status loss_of(op_eval *c, loss *l) {
    *l = (loss){.x = op_arg(c, 0), .target = op_arg(c, 1), .weight = op_arg(c, 2)};
    const char *how = graph_attr_string(c->node, "reduction", "mean");
    if (!op_is_float(l->x->dtype)) return op_bad(c, NIB_TYPE, "input of type %s", nib_dtype_name(l->x->dtype));
    if (l->target->dtype != NIB_DTYPE_I64 && l->target->dtype != NIB_DTYPE_I32) return op_bad(c, NIB_TYPE, "classes must be integers");
    bool fits = l->x->rank >= 2 && l->target->rank == l->x->rank - 1 && l->target->dims[0] == l->x->dims[0];
    for (int i = 2; fits && i < l->x->rank; i++) fits = l->target->dims[i - 1] == l->x->dims[i];
    if (!fits) return op_bad(c, NIB_SHAPE, "input and classes do not fit");
    l->N = l->x->dims[0];
    l->C = l->x->dims[1];
    l->rest = op_count(l->x->rank - 2, l->x->dims + 2);
    if (l->weight && (op_count(l->weight->rank, l->weight->dims) != l->C || !op_is_float(l->weight->dtype)))
        return op_bad(c, NIB_SHAPE, "there is not one weight a class");
    l->ignores = graph_find_attr(c->node, "ignore_index") != NULL;
    l->ignored = graph_attr_int(c->node, "ignore_index", 0);
    l->reduction = strcmp(how, "none") == 0 ? NONE : strcmp(how, "sum") == 0 ? SUM : MEAN;
    if (l->reduction == MEAN && strcmp(how, "mean") != 0) return op_bad(c, NIB_BAD_MODEL, "unknown reduction");
    return NIB_OK;
}

/* Output 0, from log probabilities [N, C, rest]. */
static nib_status put_loss(op_eval *c, const loss *l, const double *log_p) {
    op_dims dims = op_dims_of(l->target);
    void *y;
    double sum = 0, weights = 0;
    if (l->reduction != NONE) dims.rank = 0;
    OP_TRY(op_out(c, 0, l->x->dtype, &dims, &y));
    for (int64_t i = 0; i < l->N * l->rest; i++) {
        int64_t class = op_index(l->target, i);
        bool skip = l->ignores && class == l->ignored;
        if (!skip && (class < 0 || class >= l->C)) return op_bad(c, NIB_SHAPE, "class %lld of %lld", (long long)class, (long long)l->C);
        double w = skip ? 0 : l->weight ? op_number(l->weight, class) : 1;
        double v = skip ? 0 : -w * log_p[(i / l->rest * l->C + class) * l->rest + i % l->rest];
        if (l->reduction == NONE && y) op_put(l->x->dtype, y, i, v);
        sum += v;
        weights += w;
    }
    if (l->reduction != NONE && y) op_put(l->x->dtype, y, 0, l->reduction == SUM ? sum : sum / weights);
    return NIB_OK;
}

static nib_status eval_nll(op_eval *c) {
    loss l;
    double *log_p;
    OP_TRY(loss_of(c, &l));
    OP_TRY(op_reals(c, l.x, &log_p));
    return put_loss(c, &l, log_p);
}

static nib_status eval_cross_entropy(op_eval *c) {
    loss l;
    double *v;
    void *y;
    OP_TRY(loss_of(c, &l));
    OP_TRY(op_reals(c, l.x, &v));
    for (int64_t i = 0; i < l.N * l.rest && l.C > 0; i++) {
        double *line = v + i / l.rest * l.C * l.rest + i % l.rest, most = line[0], sum = 0;
        for (int64_t k = 1; k < l.C; k++) most = line[k * l.rest] > most ? line[k * l.rest] : most;
        for (int64_t k = 0; k < l.C; k++) sum += exp(line[k * l.rest] - most);
        for (int64_t k = 0; k < l.C; k++) line[k * l.rest] -= most + log(sum);
    }
    OP_TRY(put_loss(c, &l, v));
    op_dims dims = op_dims_of(l.x);
    OP_TRY(op_out(c, 1, l.x->dtype, &dims, &y));
    int64_t n = op_count(dims.rank, dims.d);
    for (int64_t i = 0; y && i < n; i++) op_put(l.x->dtype, y, i, v[i]);
    return NIB_OK;
}

static nib_status infer_loss(op_infer *c) {
    const char *how = graph_attr_string(c->node, "reduction", "mean");
    OP_TRY(op_check_float(c, 0));
    OP_TRY(op_set_like(c, 1, op_in_type(c, 0)->dtype, op_in_type(c, 0)));
    if (strcmp(how, "none") == 0) return op_set_like(c, 0, op_in_type(c, 0)->dtype, op_in_type(c, 1));
    return op_set(c, 0, op_in_type(c, 0)->dtype, 0, NULL);
}

/* ---- optimizers: rate, step, then n tensors each of what is trained, its gradient and one or two running states */

typedef struct training {
    double rate, step, decay, alpha, beta, epsilon, norm, norm_after;
    bool nesterov;
} training;

/* One element: *x and the states s are replaced. */
typedef void train_fn(const training *t, double *x, double g, double *s);

static void adagrad(const training *t, double *x, double g, double *s) {
    g += t->norm * *x;
    s[0] += g * g;
    *x -= t->rate / (1 + t->step * t->decay) * g / (sqrt(s[0]) + t->epsilon);
}

static void adam(const training *t, double *x, double g, double *s) {
    double rate = t->step > 0 ? t->rate * sqrt(1 - pow(t->beta, t->step)) / (1 - pow(t->alpha, t->step)) : t->rate;
    g += t->norm * *x;
    s[0] = t->alpha * s[0] + (1 - t->alpha) * g;
    s[1] = t->beta * s[1] + (1 - t->beta) * g * g;
    *x = (1 - t->norm_after) * (*x - rate * s[0] / (sqrt(s[1]) + t->epsilon));
}

static void momentum(const training *t, double *x, double g, double *s) {
    g += t->norm * *x;
    s[0] = t->alpha * s[0] + (t->step > 0 ? t->beta : 1) * g;
    *x -= t->rate * (t->nesterov ? g + t->alpha * s[0] : s[0]);
}

static nib_status eval_training(op_eval *c, train_fn *fn, int states) {
    int kinds = 2 + states, n = (c->n_in - 2) / kinds;
    const graph_node *node = c->node;
    training t = {.decay = graph_attr_float(node, "decay_factor", 0),
                  .alpha = graph_attr_float(node, "alpha", 0.9f),
                  .beta = graph_attr_float(node, "beta", 0.999f),
                  .epsilon = graph_attr_float(node, "epsilon", 1e-6f),
                  .norm = graph_attr_float(node, "norm_coefficient", 0),
                  .norm_after = graph_attr_float(node, "norm_coefficient_post", 0),
                  .nesterov = strcmp(graph_attr_string(node, "mode", ""), "nesterov") == 0};
    if (n < 1 || (c->n_in - 2) % kinds || node->n_outputs > n * (1 + states)) return op_bad(c, NIB_BAD_MODEL, "%d inputs", c->n_in);
    for (int i = 0; i < 2; i++)
        if (op_count(op_arg(c, i)->rank, op_arg(c, i)->dims) != 1) return op_bad(c, NIB_SHAPE, "rate and step must be scalars");
    t.rate = op_number(op_arg(c, 0), 0);
    t.step = op_number(op_arg(c, 1), 0);
    for (int i = 0; i < n; i++) {
        const graph_tensor *in[4];
        void *out[3];
        for (int k = 0; k < kinds; k++) {
            in[k] = op_arg(c, 2 + k * n + i);
            bool same = in[k]->rank == in[0]->rank && in[k]->dtype == in[0]->dtype && op_is_float(in[0]->dtype);
            for (int d = 0; same && d < in[0]->rank; d++) same = in[k]->dims[d] == in[0]->dims[d];
            if (!same) return op_bad(c, NIB_SHAPE, "what is trained, its gradient and its states differ in type or shape");
        }
        op_dims dims = op_dims_of(in[0]);
        for (int k = 0; k <= states; k++) OP_TRY(op_out(c, k * n + i, in[0]->dtype, &dims, &out[k]));
        for (int64_t e = 0; e < op_count(dims.rank, dims.d); e++) {
            double x = op_number(in[0], e), s[2] = {op_number(in[2], e), states > 1 ? op_number(in[3], e) : 0};
            fn(&t, &x, op_number(in[1], e), s);
            for (int k = 0; k <= states; k++)
                if (out[k]) op_put(in[0]->dtype, out[k], e, k == 0 ? x : s[k - 1]);
        }
    }
    return NIB_OK;
}
static nib_status eval_adagrad(op_eval *c) { return eval_training(c, adagrad, 1); }
static nib_status eval_adam(op_eval *c) { return eval_training(c, adam, 2); }
static nib_status eval_momentum(op_eval *c) { return eval_training(c, momentum, 1); }

static nib_status infer_states(op_infer *c, int states) {
    int n = (c->node->n_inputs - 2) / (2 + states);
    for (int i = 0; i < n; i++)
        for (int k = 0; k <= states; k++) OP_TRY(op_set_like(c, k * n + i, op_in_type(c, 2 + i)->dtype, op_in_type(c, 2 + i)));
    return NIB_OK;
}
static nib_status infer_one(op_infer *c) { return infer_states(c, 1); }
static nib_status infer_two(op_infer *c) { return infer_states(c, 2); }

const op op_family_loss[] = {
    {"Adagrad", "ai.onnx.preview.training", 1, 5, INT_MAX, -1, OP_ROWS_MIXED, infer_one, eval_adagrad, NULL},
    {"Adam", "ai.onnx.preview.training", 1, 6, INT_MAX, -1, OP_ROWS_MIXED, infer_two, eval_adam, NULL},
    {"Momentum", "ai.onnx.preview.training", 1, 5, INT_MAX, -1, OP_ROWS_MIXED, infer_one, eval_momentum, NULL},
    {"NegativeLogLikelihoodLoss", "", 12, 2, 3, 1, OP_ROWS_MIXED, infer_loss, eval_nll, NULL},
    {"SoftmaxCrossEntropyLoss", "", 12, 2, 3, 2, OP_ROWS_MIXED, infer_loss, eval_cross_entropy, NULL},
    {0},
};
