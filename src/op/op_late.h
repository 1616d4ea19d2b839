/* SPDX-License-Identifier: Apache-2.0
 *
 * Between op_eval.c and op_late.c: what op_eval_node does before and after an eval.
 */
#ifndef OP_LATE_H
#define OP_LATE_H

#include "op_local.h"

typedef struct op_late { /* an output to finish after the eval */
    int output;
    nib_dtype dtype;
    op_dims dims;
    void *data; /* where the eval wrote it */
} op_late;

nib_status op_unpack_inputs(op_eval *c);
nib_status op_finish_outputs(op_eval *c);

#endif
