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

/* In place, the n scores of one row. SOFTMAX_ZERO leaves zeros out. */
void op_ml_transform(double *v, int64_t n, int64_t how);

#endif
