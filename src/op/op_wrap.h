/* SPDX-License-Identifier: Apache-2.0
 *
 * Between op_eval.c and op_wrap.c: what op_eval_node does before and after an eval.
 */
#ifndef OP_WRAP_H
#define OP_WRAP_H

#include "op_local.h"

typedef struct op_pending { /* an output to finish after the eval */
    int output;
    nib_dtype dtype;
    op_dims dims;
    void *data; /* where the eval wrote it */
} op_pending;

nib_status op_unpack_inputs(op_eval *c);
nib_status op_finish_outputs(op_eval *c);

#endif
