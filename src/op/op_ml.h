/* SPDX-License-Identifier: Apache-2.0
 *
 * Shared by the files of ai.onnx.ml.
 */
#ifndef OP_ML_H
#define OP_ML_H

#include "op_local.h"

enum { OP_ML_NONE, OP_ML_SOFTMAX, OP_ML_LOGISTIC, OP_ML_SOFTMAX_ZERO }; /* the numbers are TreeEnsemble's post_transform */

/* In place, the n scores of one row. SOFTMAX_ZERO leaves zeros out. */
void op_ml_transform(double *v, int64_t n, int64_t how);

#endif
