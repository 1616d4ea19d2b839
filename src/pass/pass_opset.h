/* SPDX-License-Identifier: Apache-2.0
 *
 * What the parts of pass_opset.c share: a node goes from opset to opset, one border after the other, and where its
 * operator changed at a border a rule rewrites it.
 */
#ifndef PASS_OPSET_H
#define PASS_OPSET_H

#include "pass.h"

typedef struct pass_border {
    pass_context *ctx;
    graph_node *n;   /* a rule may put another in its place, in front of which others may stand */
    int since;       /* the border is between opset since - 1 and since */
    bool up;         /* from since - 1 to since */
    bool crossed;    /* a rule's answer: the node means on the other side what it meant on this one */
    const char *why; /* if not: what stands in the way, or NULL */
} pass_border;

/* Applies the rule for the node's operator at this border; *known false: there is none. What it leaves in words that
 * the other side does not have is refused where the file is checked (op_schema.h). */
nib_status pass_cross(pass_border *b, bool *known);

/* Arguments that were attributes before the border and are inputs behind it (pass_opset_moves.c). */
nib_status pass_cross_moved(pass_border *b);

void pass_drop_attr(graph_node *n, const char *name);
/* Input i becomes v, which may be NULL; inputs are added up to it, and what is left out at the end goes. */
nib_status pass_put_input(pass_border *b, int i, graph_value *v);
/* A constant of one number of a floating-point type, [] or, with rank 1, [1]; NULL: of another type, or memory ran out.
 */
graph_value *pass_const_number(graph *g, const char *name, nib_dtype dtype, int rank, float x);
nib_status pass_border_no_memory(pass_border *b);

#endif
