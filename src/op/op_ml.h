/* SPDX-License-Identifier: Apache-2.0
 *
 * Shared by the files of ai.onnx.ml.
 */
#ifndef OP_ML_H
#define OP_ML_H

#include "op_local.h"

enum { OP_ML_NONE, OP_ML_SOFTMAX, OP_ML_LOGISTIC, OP_ML_SOFTMAX_ZERO }; /* the numbers are TreeEnsemble's post_transform */

/* What a tree's node asks of a number, BRANCH_LEQ LT GTE GT EQ NEQ from 0 on; a NaN holds for the last alone. */
static inline bool op_ml_holds(int64_t mode, double x, double split) {
    switch (mode) {
    case 0: return x <= split;
    case 1: return x < split;
    case 2: return x >= split;
    case 3: return x > split;
    case 4: return x == split;
    default: return x != split;
    }
}

/* ---- forests (op_ml_forest.c), made once of a node's attributes, and walked for any number of rows. Of this kind are
 * TreeEnsemble, TreeEnsembleRegressor and TreeEnsembleClassifier. */

enum { OP_ML_LEAF = 6, OP_ML_MEMBER = 7 };                        /* modes beyond those of op_ml_holds */
enum { OP_ML_AVERAGE, OP_ML_SUM, OP_ML_MIN, OP_ML_MAX };          /* the numbers are TreeEnsemble's aggregate_function */

typedef struct op_ml_node {
    double split;
    int64_t feature;
    int32_t yes, no;      /* nodes; of a branch that leads nowhere the one that the forest keeps for that */
    int32_t first, count; /* of a leaf's weights; count -1: whoever comes here has no leaf. Of MEMBER: where its set begins */
    uint8_t mode;
    bool yes_if_nan;
} op_ml_node;

typedef struct op_ml_forest {
    int64_t nodes, weights, n_roots, targets, n_base, n_members;
    op_ml_node *node;    /* [nodes] */
    int32_t *target;     /* [weights], with `weight` sorted by leaf */
    double *weight;
    int32_t *root;       /* [n_roots] */
    double *base;        /* [n_base]: none, one, or one a target */
    double *members;     /* [n_members] sets of MEMBER */
    int aggregate, transform;
    struct op_ml_branch *branch; /* [nodes] for rows side by side; NULL: not of this forest */
    int mode;                    /* which all of those ask */
    int64_t most_feature;
    /* Of a classifier. */
    const int64_t *labels;
    const graph_attr *texts; /* or these */
    int64_t single;          /* the one class of two that has weights; -1: not so */
    bool positive;           /* all weights are */
    nib_dtype y;             /* type of the scores that are put */
    /* A row's scores -> outputs; either may be NULL. */
    void (*put)(const struct op_ml_forest *f, int64_t row, double *scores, void *const out[2]);
} op_ml_forest;

/* Reads the node's attributes (op_ml_trees.c); what it needs of memory is c's scratch. */
nib_status op_ml_forest_of(op_eval *c, op_ml_forest *f);
/* Types and shapes of its outputs for `rows` rows: dims[i] of output i; how many outputs there are. */
int op_ml_forest_outputs(const op_ml_forest *f, int64_t rows, nib_dtype x, nib_dtype types[2], op_dims dims[2]);
nib_status op_ml_forest_alloc(op_eval *c, op_ml_forest *f, int64_t nodes, int64_t weights, int64_t roots);
nib_status op_ml_forest_finish(op_eval *c, op_ml_forest *f);
/* Rows [lo, hi) of x, of rank 2. Calls for other rows may run at the same time. */
nib_status op_ml_forest_run(op_eval *c, const op_ml_forest *f, const graph_tensor *x, int64_t lo, int64_t hi, void *const out[2]);

/* In place, the n scores of one row. SOFTMAX_ZERO leaves zeros out. */
void op_ml_transform(double *v, int64_t n, int64_t how);

#endif
