/* SPDX-License-Identifier: Apache-2.0
 *
 * The order of the operands of nib.Linear and nib.Attention, for their own files in this room: all others see op_linear and op_attention
 * (op_nib.h).
 */
#ifndef OP_NIB_OPERANDS_H
#define OP_NIB_OPERANDS_H

enum {
    OP_LINEAR_X,
    OP_LINEAR_W,
    OP_LINEAR_BIAS,
    OP_LINEAR_RESIDUAL,
    OP_LINEAR_PARAMS,
    OP_LINEAR_MORE, /* weights beside the first */
    OP_LINEAR_FACTOR = OP_LINEAR_MORE + OP_LINEAR_WEIGHTS - 1
};
/* The input that is weight i. */
static inline int op_linear_weight(int i) { return i == 0 ? OP_LINEAR_W : OP_LINEAR_MORE + i - 1; }

enum {
    OP_ATTENTION_Q,
    OP_ATTENTION_K,
    OP_ATTENTION_V,
    OP_ATTENTION_BIAS,
    OP_ATTENTION_OFFSETS,
    OP_ATTENTION_POSITIONS,
    OP_ATTENTION_RELATIVE_KEYS,
    OP_ATTENTION_RELATIVE_QUERIES,
    OP_ATTENTION_RELATIVE_ROWS,
    OP_ATTENTION_RELATIVE_BIAS,
    OP_ATTENTION_RELATIVE_SLOPES
};

#endif
