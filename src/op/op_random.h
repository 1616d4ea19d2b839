/* SPDX-License-Identifier: Apache-2.0
 *
 * The generator that operators which draw random numbers share.
 */
#ifndef OP_RANDOM_H
#define OP_RANDOM_H

#include "op_local.h"

typedef struct op_random {
    uint64_t state;
} op_random;

op_random op_random_of(const graph_node *n); /* seeded by the node's attribute, or by its output's name */
double op_random_uniform(op_random *r);      /* [0, 1) */

#endif
