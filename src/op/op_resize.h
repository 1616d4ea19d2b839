/* SPDX-License-Identifier: Apache-2.0
 *
 * Resize as evals and steps share it: what each axis takes from where, and the planes that the last two axes are.
 */
#ifndef OP_RESIZE_H
#define OP_RESIZE_H

#include "op_local.h"

typedef struct axis_plan {
    int64_t in, out;
    double scale;      /* as given, or out / in */
    double begin, end; /* of the region of interest */
    int taps;          /* 0: the axis stays as it is */
    int64_t *index;    /* [out, taps] */
    double *weight;    /* [out, taps] */
    bool full;         /* no weight is 0 */
    uint8_t *beyond;   /* [out]: gives the extrapolation value; NULL: none does */
} axis_plan;

typedef struct op_resize {
    char mode, nearest; /* n, l, c: mode's first letter; nearest: f, c, p (round_prefer_floor), q (round_prefer_ceil) */
    const char *map;
    bool antialias, exclude;
    double a, extrapolation;
    int rank;
    axis_plan axis[GRAPH_MAX_RANK];
} op_resize;

/* Sizes of a Resize or Upsample node, for the inputs of c. */
nib_status op_resize_of(op_eval *c, op_resize *r);
/* What each axis takes from where; memory is c's scratch, as much as the output's sides are long: after the output was had. */
nib_status op_resize_plan(op_eval *c, op_resize *r);
/* Whether only the last one or two axes change, in f32 or by the nearest alone: planes may then be computed one by one. *planes: how
 * many there are. */
bool op_resize_by_planes(const op_resize *r, nib_dtype dtype, int64_t *planes);
/* Planes [lo, hi) of the output y. */
nib_status op_resize_planes(op_eval *c, const op_resize *r, const graph_tensor *x, int64_t lo, int64_t hi, void *y);

#endif
