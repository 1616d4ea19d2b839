/* SPDX-License-Identifier: Apache-2.0
 *
 * Windows that slide over the spatial axes of [N, C, D1 .. Dn]: what convolutions and pools share. In: kernel_shape, strides,
 * dilations, pads, auto_pad and ceil_mode of a node. Out: sizes, and which cells of the input a position of the output sees.
 */
#ifndef OP_WINDOW_H
#define OP_WINDOW_H

#include "op_local.h"

#define OP_WINDOW_AXES (GRAPH_MAX_RANK - 2)
#define OP_WINDOW_MOST ((int64_t)1 << 31) /* kernels, strides, dilations and pads are below: no product of two overflows */

typedef struct op_window {
    int n; /* spatial axes; 0 is allowed: one cell */
    int64_t in[OP_WINDOW_AXES], out[OP_WINDOW_AXES];
    int64_t kernel[OP_WINDOW_AXES], stride[OP_WINDOW_AXES], dilation[OP_WINDOW_AXES];
    int64_t before[OP_WINDOW_AXES], after[OP_WINDOW_AXES]; /* cells of padding */
} op_window;

/* The window of an eval: `in` [n]; kernel [n], or NULL: attribute kernel_shape. */
nib_status op_window_of(op_eval *c, int n, const int64_t *in, const int64_t *kernel, op_window *w);
/* kernel, stride, dilation, before and after from the attributes alone; a text of what is wrong, or NULL. */
const char *op_window_read(const graph_node *node, int n, const int64_t *kernel, op_window *w);
int64_t op_window_extent(const op_window *w, int axis); /* (kernel - 1) dilation + 1 */
/* The same for inference, where sizes may be unknown or symbols: writes n dims behind dims[2]. */
nib_status op_window_infer(op_infer *c, const graph_type *x, const graph_type *kernel, graph_dim *dims);

/* The window of a ConvTranspose, which slides over its output: sizes [n] of X, kernel [n] of W; w->in [n] becomes the output's sizes,
 * w->out the input's. A text of what is wrong, or NULL (op_convt.c). */
const char *op_spread_of(const graph_node *node, int n, const int64_t *sizes, const int64_t *kernel, op_window *w);

/* The cells of the input that one position of the output sees, in order: `at` counts cells of the input's plane, `tap` those
 * of the kernel. None in the padding. */
typedef struct op_cells {
    int64_t lo[OP_WINDOW_AXES], hi[OP_WINDOW_AXES], k[OP_WINDOW_AXES], base[OP_WINDOW_AXES];
    int64_t at, tap;
} op_cells;
bool op_cells_first(const op_window *w, const int64_t *position, op_cells *cells);
bool op_cells_next(const op_window *w, op_cells *cells);
void op_window_step(const op_window *w, int64_t *position); /* to the next position of the output */
/* Cells of the padded input that the window at `position` covers: what a mean that counts the padding divides by. */
double op_window_covered(const op_window *w, const int64_t *position);

#endif
