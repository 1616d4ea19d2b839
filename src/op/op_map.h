/* SPDX-License-Identifier: Apache-2.0
 *
 * Element-wise programs in graphs: nib.Map, and nib.Conv with what is done to its outputs. In: a node. Out: its program
 * (kernel_map.h), and the program run on tensors that broadcast.
 */
#ifndef OP_MAP_H
#define OP_MAP_H

#include "op.h"

#define OP_CONV_OPERANDS 3 /* x, w, bias of nib.Conv; what its program reads beside its own output follows */

extern const op op_family_map[];

/* The program of a nib.Map, whose inputs are the node's; of a nib.Conv, whose first input is what the convolution gives;
 * one without a program has no steps. False: a program that is none, of what a file says. */
bool op_map_get(const graph_node *n, kernel_map *out);
nib_status op_map_set(graph_node *n, const kernel_map *map);
/* The function of a standard operator; -1: it has none. */
int op_map_function(const graph_node *n);

/* How inputs are read where they broadcast to an output of these dimensions. */
typedef struct op_map_walk {
    int64_t total, inner; /* elements; so many of them, side by side, are read side by side or as one number */
    int axes, inputs;     /* outside of `inner` */
    int64_t dims[GRAPH_MAX_RANK];
    struct {
        const float *at;
        int64_t step[GRAPH_MAX_RANK]; /* elements, by axis */
        bool one, dense;              /* one number for all of `inner`; lies as the output does */
    } in[KERNEL_MAP_INPUTS];
} op_map_walk;
/* False: they do not broadcast to it. */
bool op_map_walk_of(int inputs, const graph_tensor *const *in, int rank, const int64_t *dims, op_map_walk *out);
/* Elements [lo, hi) of y, which is the whole output. */
void op_map_run(const op_map_walk *w, const kernel_map *map, const kernels *k, int64_t lo, int64_t hi, float *y);

/* Replaces the node by standard ones (op_map.c), as op.expand. */
nib_status op_expand_map(graph *g, graph_node *n, nib_error *err);

#endif
