/* SPDX-License-Identifier: Apache-2.0
 *
 * What the attributes of a recurrent node say: for its eval, and for devices that compute it otherwise.
 */
#ifndef OP_RECURRENT_H
#define OP_RECURRENT_H

#include "op.h"

typedef enum op_cell_kind { OP_CELL_RNN = 1, OP_CELL_GRU = 3, OP_CELL_LSTM = 4 } op_cell_kind; /* the number of gates */

typedef enum op_curve_kind {
    OP_CURVE_RELU,
    OP_CURVE_TANH,
    OP_CURVE_SIGMOID,
    OP_CURVE_AFFINE,
    OP_CURVE_LEAKY,
    OP_CURVE_THRESHOLD,
    OP_CURVE_SCALED_TANH,
    OP_CURVE_HARD_SIGMOID,
    OP_CURVE_ELU,
    OP_CURVE_SOFTSIGN,
    OP_CURVE_SOFTPLUS
} op_curve_kind;

typedef struct op_curve {
    op_curve_kind f;
    double alpha, beta;
} op_curve;

typedef struct op_cell {
    op_cell_kind kind;
    int64_t D;                         /* directions: 1 or 2, of which the second is backwards */
    bool reverse;                      /* the only one is backwards */
    bool of_8;                         /* DynamicQuantizeLSTM */
    bool batch_first, coupled, linear; /* layout; input_forget; linear_before_reset */
    double clip;                       /* not more than 0: none */
    op_curve curves[6];                /* op_cell_curves of each direction: f, g, h of the specification */
} op_cell;

static inline int op_cell_curves(const op_cell *c) { return c->kind == OP_CELL_RNN ? 1 : c->kind == OP_CELL_GRU ? 2 : 3; }

/* The attributes of an RNN, GRU, LSTM or DynamicQuantizeLSTM; BAD_MODEL or UNSUPPORTED with *why. */
nib_status op_cell_get(const graph_node *n, op_cell *out, const char **why);

#endif
