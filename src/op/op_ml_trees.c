/* SPDX-License-Identifier: Apache-2.0
 *
 * Forests as ai.onnx.ml wrote them before version 5, https://onnx.ai/onnx/operators/#ai-onnx-ml: TreeEnsembleRegressor
 * TreeEnsembleClassifier. A node is named by its tree and its number within; weights of leaves name their leaf so.
 */
#include "op_ml.h"
#include "base/base_sort.h"

typedef struct place { /* sorted, to find a node by its name */
    int64_t tree, node, at;
} place;

typedef struct forest {
    int64_t nodes, weights, targets;
    const int64_t *tree, *node, *feature, *yes, *no, *missing, *w_tree, *w_node, *w_target;
    double *split, *weight, *base;
    uint8_t *mode; /* of MODES */
    place *places;
    int64_t *go_yes, *go_no; /* where the branches lead: nodes */
    int64_t *first, *count;  /* of a leaf's weights, sorted by leaf in `order` */
    int64_t *order, *roots, n_roots, n_base;
} forest;

static const char *const MODES[] = {"BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ", "LEAF"};
enum { LEAF = 6 };

static nib_status ints(op_eval *c, const char *name, int64_t want, const int64_t **out) {
    int64_t n = graph_attr_ints(c->node, name, out);
    return n == want ? NIB_OK : op_bad(c, NIB_BAD_MODEL, "attribute %s has %lld elements, not %lld", name, (long long)n, (long long)want);
}

/* Attribute `name` (floats), or name_as_tensor; want -1: any number, 0 if it is absent. */
static nib_status reals(op_eval *c, const char *name, const char *tensor, int64_t want, double **out, int64_t *count) {
    const graph_attr *a = graph_find_attr(c->node, name);
    const graph_tensor *t;
    *out = NULL;
    *count = 0;
    OP_TRY(op_attr_tensor(c, tensor, &t));
    if (t) {
        *count = graph_tensor_elements(t);
        OP_TRY(op_reals(c, t, out));
    } else if (a && a->kind == GRAPH_ATTR_FLOATS) {
        *count = (int64_t)a->count;
        OP_TRY(op_scratch(c, *count, sizeof **out, out));
        for (int64_t i = 0; i < *count; i++) (*out)[i] = (double)a->u.floats[i];
    }
    return want < 0 || *count == want
               ? NIB_OK
               : op_bad(c, NIB_BAD_MODEL, "attribute %s has %lld elements, not %lld", name, (long long)*count, (long long)want);
}

static int by_place(const void *a, const void *b) {
    const place *p = a, *q = b;
    return p->tree != q->tree ? (p->tree > q->tree) - (p->tree < q->tree) : (p->node > q->node) - (p->node < q->node);
}

/* The node of that name, or -1. */
static int64_t find_node(const forest *f, int64_t tree, int64_t node) {
    place key = {tree, node, 0};
    const place *p = base_find(&key, f->places, (size_t)f->nodes, sizeof key, by_place);
    return p ? p->at : -1;
}

static nib_status modes_of(op_eval *c, forest *f) {
    const graph_attr *a = graph_find_attr(c->node, "nodes_modes");
    if (!a || a->kind != GRAPH_ATTR_STRINGS || (int64_t)a->count != f->nodes)
        return op_bad(c, NIB_BAD_MODEL, "nodes_modes are not one a node");
    for (int64_t i = 0; i < f->nodes; i++) {
        graph_string s = a->u.strings[i];
        for (f->mode[i] = 0; f->mode[i] <= LEAF; f->mode[i]++)
            if (strlen(MODES[f->mode[i]]) == s.length && memcmp(MODES[f->mode[i]], s.data, s.length) == 0) break;
        if (f->mode[i] > LEAF) return op_bad(c, NIB_UNSUPPORTED, "a node's mode");
    }
    return NIB_OK;
}

/* Links branches, and leaves to their weights; a node that no branch leads to is a root. */
static nib_status link_forest(op_eval *c, forest *f) {
    uint8_t *led;
    OP_TRY(op_scratch(c, f->nodes, 1, &led));
    memset(led, 0, (size_t)f->nodes);
    for (int64_t i = 0; i < f->nodes; i++) f->places[i] = (place){f->tree[i], f->node[i], i};
    base_sort(f->places, (size_t)f->nodes, sizeof *f->places, by_place);
    for (int64_t i = 1; i < f->nodes; i++)
        if (by_place(&f->places[i - 1], &f->places[i]) == 0) return op_bad(c, NIB_BAD_MODEL, "two nodes of one name");
    for (int64_t i = 0; i < f->nodes; i++) {
        f->go_yes[i] = f->go_no[i] = -1;
        f->count[i] = 0;
        if (f->mode[i] == LEAF) continue;
        f->go_yes[i] = find_node(f, f->tree[i], f->yes[i]);
        f->go_no[i] = find_node(f, f->tree[i], f->no[i]);
        if (f->go_yes[i] < 0 || f->go_no[i] < 0) return op_bad(c, NIB_BAD_MODEL, "a branch that leads nowhere");
        led[f->go_yes[i]] = led[f->go_no[i]] = 1;
    }
    for (int64_t i = 0; i < f->nodes; i++)
        if (!led[i]) f->roots[f->n_roots++] = i;
    for (int64_t i = 0; i < f->weights; i++) {
        int64_t leaf = find_node(f, f->w_tree[i], f->w_node[i]);
        if (leaf < 0 || f->w_target[i] < 0 || f->w_target[i] >= f->targets)
            return op_bad(c, NIB_BAD_MODEL, "a weight of no leaf or target");
        f->count[leaf]++;
    }
    for (int64_t i = 0, at = 0; i < f->nodes; i++) {
        f->first[i] = at;
        at += f->count[i];
        f->count[i] = 0;
    }
    for (int64_t i = 0; i < f->weights; i++) {
        int64_t leaf = find_node(f, f->w_tree[i], f->w_node[i]);
        f->order[f->first[leaf] + f->count[leaf]++] = i;
    }
    return NIB_OK;
}

static nib_status forest_of(op_eval *c, bool classifier, forest *f) {
    int64_t count;
    f->nodes = graph_attr_ints(c->node, "nodes_treeids", &f->tree);
    f->weights = graph_attr_ints(c->node, classifier ? "class_ids" : "target_ids", &f->w_target);
    if (f->nodes < 1 || f->weights < 1 || f->targets < 1) return op_bad(c, NIB_BAD_MODEL, "a forest without nodes, weights or targets");
    OP_TRY(ints(c, "nodes_nodeids", f->nodes, &f->node));
    OP_TRY(ints(c, "nodes_featureids", f->nodes, &f->feature));
    OP_TRY(ints(c, "nodes_truenodeids", f->nodes, &f->yes));
    OP_TRY(ints(c, "nodes_falsenodeids", f->nodes, &f->no));
    OP_TRY(ints(c, classifier ? "class_treeids" : "target_treeids", f->weights, &f->w_tree));
    OP_TRY(ints(c, classifier ? "class_nodeids" : "target_nodeids", f->weights, &f->w_node));
    if (graph_attr_ints(c->node, "nodes_missing_value_tracks_true", &f->missing) != f->nodes) f->missing = NULL;
    OP_TRY(reals(c, "nodes_values", "nodes_values_as_tensor", f->nodes, &f->split, &count));
    OP_TRY(reals(c, classifier ? "class_weights" : "target_weights", classifier ? "class_weights_as_tensor" : "target_weights_as_tensor",
                 f->weights, &f->weight, &count));
    OP_TRY(reals(c, "base_values", "base_values_as_tensor", -1, &f->base, &f->n_base));
    OP_TRY(op_scratch(c, f->nodes, 1, &f->mode));
    OP_TRY(op_scratch(c, f->nodes, sizeof *f->places, &f->places));
    int64_t **lists[] = {&f->go_yes, &f->go_no, &f->first, &f->count, &f->roots};
    for (size_t i = 0; i < BASE_COUNT(lists); i++) OP_TRY(op_scratch(c, f->nodes, sizeof(int64_t), lists[i]));
    OP_TRY(op_scratch(c, f->weights, sizeof(int64_t), &f->order));
    OP_TRY(modes_of(c, f));
    return link_forest(c, f);
}

static bool goes_yes(const forest *f, int64_t i, double x) {
    return x != x ? f->missing && f->missing[i] : op_ml_holds(f->mode[i], x, f->split[i]);
}

static int64_t find_leaf(const forest *f, int64_t at, const double *x, int64_t width, int64_t *steps) {
    for (*steps = 0; *steps <= f->nodes; ++*steps) {
        if (f->mode[at] == LEAF) return at;
        if (f->feature[at] < 0 || f->feature[at] >= width) return -1;
        at = goes_yes(f, at, x[f->feature[at]]) ? f->go_yes[at] : f->go_no[at];
    }
    return -1; /* in circles */
}

enum { SUM, AVERAGE, MIN, MAX };

/* One row's scores, base values included. */
static nib_status score(op_eval *c, const forest *f, int how, const double *x, int64_t width, double *out) {
    for (int64_t k = 0; k < f->targets; k++) out[k] = how == MIN ? INFINITY : how == MAX ? -INFINITY : 0;
    for (int64_t t = 0; t < f->n_roots; t++) {
        int64_t steps, leaf = find_leaf(f, f->roots[t], x, width, &steps);
        if (leaf < 0) return op_bad(c, NIB_BAD_MODEL, "tree %lld ends in no leaf", (long long)t);
        OP_TRY(op_spend(c, steps + f->count[leaf], 1));
        for (int64_t i = 0; i < f->count[leaf]; i++) {
            int64_t k = f->order[f->first[leaf] + i];
            double *s = &out[f->w_target[k]], w = f->weight[k];
            *s = how == MIN ? fmin(*s, w) : how == MAX ? fmax(*s, w) : *s + w;
        }
    }
    for (int64_t k = 0; k < f->targets; k++) {
        if (!(out[k] - out[k] == 0)) out[k] = 0; /* no leaf speaks of it */
        if (how == AVERAGE) out[k] /= (double)f->n_roots;
        if (f->n_base == f->targets || f->n_base == 1) out[k] += f->base[f->n_base == 1 ? 0 : k];
    }
    return NIB_OK;
}

static int index_of(const char *name, const char *const *names, int n) {
    for (int i = 0; i < n; i++)
        if (strcmp(name, names[i]) == 0) return i;
    return -1;
}

static nib_status common(op_eval *c, int *after, const graph_tensor **x, double **v) {
    static const char *const transforms[] = {"NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO"};
    const char *name = graph_attr_string(c->node, "post_transform", "NONE");
    *x = op_arg(c, 0);
    *after = index_of(name, transforms, 4);
    if (*after < 0) return op_bad(c, NIB_UNSUPPORTED, "post_transform %s", name);
    if ((*x)->rank != 2) return op_bad(c, NIB_SHAPE, "input of rank %d", (*x)->rank);
    return op_reals(c, *x, v);
}

static nib_status eval_regressor(op_eval *c) {
    static const char *const aggregates[] = {"SUM", "AVERAGE", "MIN", "MAX"};
    int how = index_of(graph_attr_string(c->node, "aggregate_function", "SUM"), aggregates, 4), after;
    forest f = {.targets = graph_attr_int(c->node, "n_targets", 1)};
    const graph_tensor *x;
    double *v, *row;
    float *y;
    if (how < 0) return op_bad(c, NIB_UNSUPPORTED, "aggregate_function");
    OP_TRY(common(c, &after, &x, &v));
    OP_TRY(forest_of(c, false, &f));
    OP_TRY(op_scratch(c, f.targets, sizeof *row, &row));
    OP_TRY(op_out(c, 0, NIB_DTYPE_F32, &(op_dims){2, {x->dims[0], f.targets}}, &y));
    for (int64_t r = 0; y && r < x->dims[0]; r++) {
        OP_TRY(score(c, &f, how, v + r * x->dims[1], x->dims[1], row));
        op_ml_transform(row, f.targets, after);
        for (int64_t k = 0; k < f.targets; k++) y[r * f.targets + k] = (float)row[k];
    }
    return NIB_OK;
}

static nib_status infer_regressor(op_infer *c) {
    const graph_type *x = op_in_type(c, 0);
    return op_set(c, 0, NIB_DTYPE_F32, 2,
                  (graph_dim[]){x->rank == 2 ? x->dims[0] : NULL, op_const(c, graph_attr_int(c->node, "n_targets", 1))});
}

/* Two labels and weights of one class only. If it is the first, its score is the second label's, and the first gets what is left. Weights
 * that are all positive are probabilities (decided at 0.5), others are decided at 0. Returns the label. */
static int64_t settle_single(double *row, int64_t given, bool positive, int after) {
    double s = row[given];
    if (given == 1) return s > (positive ? 0.5 : 0);
    row[1] = s;
    row[0] = positive && after == OP_ML_NONE ? 1 - s : -s;
    return s > (positive ? 0.5 : 0);
}

static nib_status eval_classifier(op_eval *c) {
    const graph_attr *texts = graph_find_attr(c->node, "classlabels_strings");
    const int64_t *numbers = NULL;
    bool text = texts && texts->kind == GRAPH_ATTR_STRINGS && texts->count > 0, single, positive = true;
    forest f = {.targets = text ? (int64_t)texts->count : graph_attr_ints(c->node, "classlabels_int64s", &numbers)};
    const graph_tensor *x;
    double *v, *row;
    void *labels;
    float *y;
    int after;
    OP_TRY(common(c, &after, &x, &v));
    OP_TRY(forest_of(c, true, &f));
    OP_TRY(op_scratch(c, f.targets, sizeof *row, &row));
    OP_TRY(op_out(c, 0, text ? NIB_DTYPE_STRING : NIB_DTYPE_I64, &(op_dims){1, {x->dims[0]}}, &labels));
    OP_TRY(op_out(c, 1, NIB_DTYPE_F32, &(op_dims){2, {x->dims[0], f.targets}}, &y));
    single = f.targets == 2;
    for (int64_t i = 0; i < f.weights; i++) {
        single = single && f.w_target[i] == f.w_target[0];
        positive = positive && f.weight[i] >= 0;
    }
    for (int64_t r = 0; r < x->dims[0]; r++) {
        int64_t best = 0;
        OP_TRY(score(c, &f, SUM, v + r * x->dims[1], x->dims[1], row));
        for (int64_t k = 1; k < f.targets; k++) best = row[k] > row[best] ? k : best;
        if (single) best = settle_single(row, f.w_target[0], positive, after);
        op_ml_transform(row, f.targets, after);
        if (labels && text) ((graph_string *)labels)[r] = texts->u.strings[best];
        else if (labels) ((int64_t *)labels)[r] = numbers[best];
        for (int64_t k = 0; y && k < f.targets; k++) y[r * f.targets + k] = (float)row[k];
    }
    return NIB_OK;
}

static nib_status infer_classifier(op_infer *c) {
    const graph_attr *texts = graph_find_attr(c->node, "classlabels_strings");
    const graph_type *x = op_in_type(c, 0);
    const int64_t *numbers;
    bool text = texts && texts->kind == GRAPH_ATTR_STRINGS && texts->count > 0;
    int64_t n = text ? (int64_t)texts->count : graph_attr_ints(c->node, "classlabels_int64s", &numbers);
    graph_dim N = x->rank == 2 ? x->dims[0] : NULL;
    OP_TRY(op_set(c, 0, text ? NIB_DTYPE_STRING : NIB_DTYPE_I64, 1, &N));
    return op_set(c, 1, NIB_DTYPE_F32, 2, (graph_dim[]){N, n > 0 ? op_const(c, n) : NULL});
}

const op op_family_ml_trees[] = {
    {"TreeEnsembleClassifier", "ai.onnx.ml", 1, 1, 1, 2, OP_ROWS_MIXED, infer_classifier, eval_classifier, NULL},
    {"TreeEnsembleRegressor", "ai.onnx.ml", 1, 1, 1, 1, OP_ROWS_MIXED, infer_regressor, eval_regressor, NULL},
    {0},
};
