/* SPDX-License-Identifier: Apache-2.0
 *
 * Forests, https://onnx.ai/onnx/operators/#ai-onnx-ml: TreeEnsemble, and as they were written before version 5,
 * TreeEnsembleRegressor TreeEnsembleClassifier. In: a node's attributes. Out: an op_ml_forest, whose nodes are numbered
 * from 0 on, which op_ml_forest.c walks.
 */
#include "op_ml.h"
#include "base/base_sort.h"

static nib_status ints(op_eval *c, const char *name, int64_t want, const int64_t **out) {
    int64_t n = graph_attr_ints(c->node, name, out);
    return n == want ? NIB_OK : op_bad(c, NIB_BAD_MODEL, "attribute %s has %lld elements, not %lld", name, (long long)n, (long long)want);
}

static int index_of(const char *name, const char *const *names, int n) {
    for (int i = 0; i < n; i++)
        if (strcmp(name, names[i]) == 0) return i;
    return -1;
}

/* ---- TreeEnsemble: branches and leaves are numbered apart */

static nib_status reals_of(op_eval *c, const char *name, int64_t want, double **out, int64_t *count) {
    const graph_tensor *t;
    OP_TRY(op_attr_tensor(c, name, &t));
    if (!t) return op_bad(c, NIB_BAD_MODEL, "attribute %s is missing", name);
    *count = graph_tensor_elements(t);
    if (want >= 0 && *count != want)
        return op_bad(c, NIB_BAD_MODEL, "attribute %s has %lld elements, not %lld", name, (long long)*count, (long long)want);
    return op_reals(c, t, out);
}

/* Node of the branch or leaf `at`; what is out of range is the last node, which nobody may come to. */
static int32_t node_at(const op_ml_forest *f, int64_t branches, int64_t at, bool leaf) {
    const bool known = at >= 0 && at < (leaf ? f->weights : branches);
    return (int32_t)(!known ? f->nodes - 1 : leaf ? branches + at : at);
}

static nib_status fill_ensemble(op_eval *c, op_ml_forest *f, int64_t branches, const uint8_t *mode, const int64_t *feature,
                                const int64_t *root, const int64_t *target) {
    const int64_t *yes, *no, *yes_leaf, *no_leaf, *missing;
    double *split, *weight;
    int64_t count;
    OP_TRY(ints(c, "nodes_truenodeids", branches, &yes));
    OP_TRY(ints(c, "nodes_falsenodeids", branches, &no));
    OP_TRY(ints(c, "nodes_trueleafs", branches, &yes_leaf));
    OP_TRY(ints(c, "nodes_falseleafs", branches, &no_leaf));
    if (graph_attr_ints(c->node, "nodes_missing_value_tracks_true", &missing) != branches) missing = NULL;
    OP_TRY(reals_of(c, "nodes_splits", branches, &split, &count));
    OP_TRY(reals_of(c, "leaf_weights", f->weights, &weight, &count));
    if (graph_find_attr(c->node, "membership_values")) OP_TRY(reals_of(c, "membership_values", -1, &f->members, &f->n_members));
    for (int64_t i = 0, at = 0; i < branches; i++) {
        op_ml_node *n = &f->node[i];
        *n = (op_ml_node){.split = split[i], .feature = feature[i], .mode = mode[i] < OP_ML_LEAF ? mode[i] : OP_ML_MEMBER};
        n->yes = node_at(f, branches, yes[i], yes_leaf[i] != 0);
        n->no = node_at(f, branches, no[i], no_leaf[i] != 0);
        n->yes_if_nan = (missing && missing[i]) || mode[i] == 5;
        if (mode[i] > OP_ML_LEAF) n->first = (int32_t)f->n_members; /* an unknown mode: never */
        if (mode[i] != OP_ML_LEAF) continue;
        n->first = (int32_t)at;
        while (at < f->n_members && f->members[at] == f->members[at]) at++; /* NaN ends a set */
        at++;
    }
    for (int64_t i = 0; i < f->weights; i++) {
        const bool known = target[i] >= 0 && target[i] < f->targets;
        f->node[branches + i] = (op_ml_node){.mode = OP_ML_LEAF, .first = (int32_t)i, .count = known ? 1 : -1};
        f->target[i] = known ? (int32_t)target[i] : 0;
        f->weight[i] = weight[i];
    }
    f->node[f->nodes - 1] = (op_ml_node){.mode = OP_ML_LEAF, .count = -1};
    for (int64_t i = 0; i < f->n_roots; i++) f->root[i] = node_at(f, branches, root[i], false);
    return op_ml_forest_finish(c, f);
}

static void put_ensemble(const op_ml_forest *f, int64_t row, double *scores, void *const out[2]) {
    op_ml_transform(scores, f->targets, f->transform);
    for (int64_t k = 0; out[0] && k < f->targets; k++) op_put(f->y, out[0], row * f->targets + k, scores[k]);
}

static nib_status ensemble_of(op_eval *c, op_ml_forest *f) {
    const graph_node *n = c->node;
    const graph_tensor *mode;
    const int64_t *feature, *target, *root;
    const int64_t aggregate = graph_attr_int(n, "aggregate_function", OP_ML_SUM), after = graph_attr_int(n, "post_transform", OP_ML_NONE);
    if (aggregate < OP_ML_AVERAGE || aggregate > OP_ML_MAX || after < OP_ML_NONE || after > OP_ML_SOFTMAX_ZERO)
        return op_bad(c, NIB_UNSUPPORTED, "aggregate or transform");
    f->aggregate = (int)aggregate;
    f->transform = (int)after;
    f->put = put_ensemble;
    OP_TRY(op_attr_tensor(c, "nodes_modes", &mode));
    const int64_t branches = graph_attr_ints(n, "nodes_featureids", &feature), leafs = graph_attr_ints(n, "leaf_targetids", &target);
    f->n_roots = graph_attr_ints(n, "tree_roots", &root);
    f->targets = graph_attr_int(n, "n_targets", 0);
    if (branches < 1 || leafs < 1 || f->n_roots < 1 || f->targets < 1)
        return op_bad(c, NIB_BAD_MODEL, "a forest without nodes, leaves, roots or targets");
    if (!mode || mode->dtype != NIB_DTYPE_U8 || graph_tensor_elements(mode) != branches)
        return op_bad(c, NIB_BAD_MODEL, "attribute nodes_modes is not one byte a node");
    OP_TRY(op_ml_forest_alloc(c, f, branches + leafs + 1, leafs, f->n_roots));
    return fill_ensemble(c, f, branches, mode->data, feature, root, target);
}

/* ---- before version 5: a node is named by its tree and its number within; weights of leaves name their leaf so */

typedef struct place { /* sorted, to find a node by its name */
    int64_t tree, node, at;
} place;

static const char *const MODES[] = {"BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ", "LEAF"};

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
static int64_t find_node(const place *places, int64_t nodes, int64_t tree, int64_t node) {
    place key = {tree, node, 0};
    const place *p = base_find(&key, places, (size_t)nodes, sizeof key, by_place);
    return p ? p->at : -1;
}

static nib_status modes_of(op_eval *c, op_ml_forest *f) {
    const graph_attr *a = graph_find_attr(c->node, "nodes_modes");
    if (!a || a->kind != GRAPH_ATTR_STRINGS || (int64_t)a->count != f->nodes)
        return op_bad(c, NIB_BAD_MODEL, "nodes_modes are not one a node");
    for (int64_t i = 0; i < f->nodes; i++) {
        const graph_string s = a->u.strings[i];
        uint8_t mode = 0;
        for (; mode <= OP_ML_LEAF; mode++)
            if (strlen(MODES[mode]) == s.length && memcmp(MODES[mode], s.data, s.length) == 0) break;
        if (mode > OP_ML_LEAF) return op_bad(c, NIB_UNSUPPORTED, "a node's mode");
        f->node[i].mode = mode;
    }
    return NIB_OK;
}

/* Links branches; a node that no branch leads to is a root. */
static nib_status link_branches(op_eval *c, op_ml_forest *f, const place *places, const int64_t *tree) {
    const int64_t *feature, *yes, *no, *missing;
    double *split;
    int64_t count;
    uint8_t *led;
    OP_TRY(ints(c, "nodes_featureids", f->nodes, &feature));
    OP_TRY(ints(c, "nodes_truenodeids", f->nodes, &yes));
    OP_TRY(ints(c, "nodes_falsenodeids", f->nodes, &no));
    if (graph_attr_ints(c->node, "nodes_missing_value_tracks_true", &missing) != f->nodes) missing = NULL;
    OP_TRY(reals(c, "nodes_values", "nodes_values_as_tensor", f->nodes, &split, &count));
    OP_TRY(op_scratch(c, f->nodes, 1, &led));
    memset(led, 0, (size_t)f->nodes);
    for (int64_t i = 0; i < f->nodes; i++) {
        op_ml_node *n = &f->node[i];
        if (n->mode == OP_ML_LEAF) continue;
        const int64_t to_yes = find_node(places, f->nodes, tree[i], yes[i]), to_no = find_node(places, f->nodes, tree[i], no[i]);
        if (to_yes < 0 || to_no < 0) return op_bad(c, NIB_BAD_MODEL, "a branch that leads nowhere");
        n->split = split[i], n->feature = feature[i], n->yes_if_nan = missing && missing[i];
        n->yes = (int32_t)to_yes, n->no = (int32_t)to_no;
        led[to_yes] = led[to_no] = 1;
    }
    for (int64_t i = 0; i < f->nodes; i++)
        if (!led[i]) f->root[f->n_roots++] = (int32_t)i;
    return NIB_OK;
}

/* Weights, sorted by leaf, those of one leaf in their order. */
static nib_status link_weights(op_eval *c, op_ml_forest *f, const place *places, bool classifier, const int64_t *targets) {
    const int64_t *tree, *node;
    double *weight;
    int64_t count, *leaf;
    OP_TRY(ints(c, classifier ? "class_treeids" : "target_treeids", f->weights, &tree));
    OP_TRY(ints(c, classifier ? "class_nodeids" : "target_nodeids", f->weights, &node));
    OP_TRY(reals(c, classifier ? "class_weights" : "target_weights", classifier ? "class_weights_as_tensor" : "target_weights_as_tensor",
                 f->weights, &weight, &count));
    OP_TRY(op_scratch(c, f->weights, sizeof *leaf, &leaf));
    for (int64_t i = 0; i < f->weights; i++) {
        leaf[i] = find_node(places, f->nodes, tree[i], node[i]);
        if (leaf[i] < 0 || targets[i] < 0 || targets[i] >= f->targets) return op_bad(c, NIB_BAD_MODEL, "a weight of no leaf or target");
        f->node[leaf[i]].count++;
    }
    for (int64_t i = 0, at = 0; i < f->nodes; i++) {
        f->node[i].first = (int32_t)at;
        at += f->node[i].count;
        f->node[i].count = 0;
    }
    for (int64_t i = 0; i < f->weights; i++) {
        op_ml_node *n = &f->node[leaf[i]];
        const int32_t at = n->first + n->count++;
        f->target[at] = (int32_t)targets[i];
        f->weight[at] = weight[i];
    }
    return NIB_OK;
}

static nib_status named_forest_of(op_eval *c, bool classifier, op_ml_forest *f) {
    static const char *const transforms[] = {"NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO"};
    const int64_t *tree, *node, *targets;
    place *places;
    const int64_t nodes = graph_attr_ints(c->node, "nodes_treeids", &tree);
    const int64_t weights = graph_attr_ints(c->node, classifier ? "class_ids" : "target_ids", &targets);
    const char *name = graph_attr_string(c->node, "post_transform", "NONE");
    f->transform = index_of(name, transforms, 4);
    if (f->transform < 0) return op_bad(c, NIB_UNSUPPORTED, "post_transform %s", name);
    if (nodes < 1 || weights < 1 || f->targets < 1) return op_bad(c, NIB_BAD_MODEL, "a forest without nodes, weights or targets");
    OP_TRY(op_ml_forest_alloc(c, f, nodes, weights, nodes));
    memset(f->node, 0, (size_t)nodes * sizeof *f->node);
    OP_TRY(ints(c, "nodes_nodeids", nodes, &node));
    OP_TRY(op_scratch(c, nodes, sizeof *places, &places));
    for (int64_t i = 0; i < nodes; i++) places[i] = (place){tree[i], node[i], i};
    base_sort(places, (size_t)nodes, sizeof *places, by_place);
    for (int64_t i = 1; i < nodes; i++)
        if (by_place(&places[i - 1], &places[i]) == 0) return op_bad(c, NIB_BAD_MODEL, "two nodes of one name");
    OP_TRY(reals(c, "base_values", "base_values_as_tensor", -1, &f->base, &f->n_base));
    OP_TRY(modes_of(c, f));
    OP_TRY(link_branches(c, f, places, tree));
    OP_TRY(link_weights(c, f, places, classifier, targets));
    return op_ml_forest_finish(c, f);
}

static void put_regressor(const op_ml_forest *f, int64_t row, double *scores, void *const out[2]) {
    op_ml_transform(scores, f->targets, f->transform);
    for (int64_t k = 0; out[0] && k < f->targets; k++) ((float *)out[0])[row * f->targets + k] = (float)scores[k];
}

static nib_status regressor_of(op_eval *c, op_ml_forest *f) {
    static const char *const aggregates[] = {"AVERAGE", "SUM", "MIN", "MAX"};
    f->aggregate = index_of(graph_attr_string(c->node, "aggregate_function", "SUM"), aggregates, 4);
    f->targets = graph_attr_int(c->node, "n_targets", 1);
    f->put = put_regressor;
    if (f->aggregate < 0) return op_bad(c, NIB_UNSUPPORTED, "aggregate_function");
    return named_forest_of(c, false, f);
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

static void put_classifier(const op_ml_forest *f, int64_t row, double *scores, void *const out[2]) {
    int64_t best = 0;
    for (int64_t k = 1; k < f->targets; k++) best = scores[k] > scores[best] ? k : best;
    if (f->single >= 0) best = settle_single(scores, f->single, f->positive, f->transform);
    op_ml_transform(scores, f->targets, f->transform);
    if (out[0] && f->texts) ((graph_string *)out[0])[row] = f->texts->u.strings[best];
    else if (out[0]) ((int64_t *)out[0])[row] = f->labels[best];
    for (int64_t k = 0; out[1] && k < f->targets; k++) ((float *)out[1])[row * f->targets + k] = (float)scores[k];
}

static nib_status classifier_of(op_eval *c, op_ml_forest *f) {
    const graph_attr *texts = graph_find_attr(c->node, "classlabels_strings");
    if (texts && texts->kind == GRAPH_ATTR_STRINGS && texts->count > 0) f->texts = texts;
    f->targets = f->texts ? (int64_t)texts->count : graph_attr_ints(c->node, "classlabels_int64s", &f->labels);
    f->aggregate = OP_ML_SUM;
    f->put = put_classifier;
    OP_TRY(named_forest_of(c, true, f));
    bool single = f->targets == 2;
    f->positive = true;
    for (int64_t i = 0; i < f->weights; i++) {
        single = single && f->target[i] == f->target[0];
        f->positive = f->positive && f->weight[i] >= 0;
    }
    f->single = single ? f->target[0] : -1;
    return NIB_OK;
}

/* ---- all of them */

nib_status op_ml_forest_of(op_eval *c, op_ml_forest *f) {
    *f = (op_ml_forest){.single = -1};
    if (strcmp(c->node->op, "TreeEnsemble") == 0) return ensemble_of(c, f);
    return strcmp(c->node->op, "TreeEnsembleClassifier") == 0 ? classifier_of(c, f) : regressor_of(c, f);
}

int op_ml_forest_outputs(const op_ml_forest *f, int64_t rows, nib_dtype x, nib_dtype types[2], op_dims dims[2]) {
    const bool classifier = f->put == put_classifier;
    types[classifier] = f->put == put_ensemble ? x : NIB_DTYPE_F32;
    dims[classifier] = (op_dims){2, {rows, f->targets}};
    if (!classifier) return 1;
    types[0] = f->texts ? NIB_DTYPE_STRING : NIB_DTYPE_I64;
    dims[0] = (op_dims){1, {rows}};
    return 2;
}

static nib_status eval_forest(op_eval *c) {
    const graph_tensor *x = op_arg(c, 0);
    nib_dtype types[2];
    op_dims dims[2];
    void *out[2] = {NULL, NULL};
    op_ml_forest f;
    if (x->rank != 2) return op_bad(c, NIB_SHAPE, "input of rank %d", x->rank);
    if (x->dtype == NIB_DTYPE_STRING) return op_bad(c, NIB_TYPE, "input of type %s", nib_dtype_name(x->dtype));
    OP_TRY(op_ml_forest_of(c, &f));
    f.y = x->dtype;
    const int n = op_ml_forest_outputs(&f, x->dims[0], x->dtype, types, dims);
    for (int i = 0; i < n; i++) OP_TRY(op_out(c, i, types[i], &dims[i], &out[i]));
    return op_ml_forest_run(c, &f, x, 0, x->dims[0], out);
}

static nib_status infer_trees(op_infer *c) {
    const graph_type *x = op_in_type(c, 0);
    graph_dim dims[2] = {x->rank == 2 ? x->dims[0] : NULL, op_const(c, graph_attr_int(c->node, "n_targets", 0))};
    return op_set(c, 0, x->dtype, 2, dims);
}

static nib_status infer_regressor(op_infer *c) {
    const graph_type *x = op_in_type(c, 0);
    return op_set(c, 0, NIB_DTYPE_F32, 2,
                  (graph_dim[]){x->rank == 2 ? x->dims[0] : NULL, op_const(c, graph_attr_int(c->node, "n_targets", 1))});
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
    {"TreeEnsemble", "ai.onnx.ml", 5, 1, 1, 1, OP_ROWS_MIXED, infer_trees, eval_forest, NULL},
    {"TreeEnsembleClassifier", "ai.onnx.ml", 1, 1, 1, 2, OP_ROWS_MIXED, infer_classifier, eval_forest, NULL},
    {"TreeEnsembleRegressor", "ai.onnx.ml", 1, 1, 1, 1, OP_ROWS_MIXED, infer_regressor, eval_forest, NULL},
    {0},
};
