/* SPDX-License-Identifier: Apache-2.0
 *
 * A window over one to three spatial axes as kernels take it: one axis, or one that alone has more than one place, is the
 * columns of one row. Of three, the first is apart: the kernels see one plane of it at a time.
 */
#ifndef CPU_WINDOW_H
#define CPU_WINDOW_H

#include "cpu.h"
#include "op/op_window.h"
#include <float.h>
#include <string.h>

/* The axis of columns. A signal that stands upright, with one column, lies down: pixels are then side by side. */
static inline int cpu_window_columns(const op_window *v) {
    return v->n == 2 && v->in[1] == 1 && v->out[1] == 1 && v->kernel[1] == 1 && v->before[1] == 0 ? 0 : v->n - 1;
}

/* Whether a plane under the window can be laid out in padded rows (kernel_conv_scratch): what a wide stride leaves out, and
 * what a wide window spans, are laid out, too. */
static inline bool cpu_window_is_small(const op_window *v) {
    for (int i = 0; i < v->n; i++)
        if (v->kernel[i] > KERNEL_CONV_COLUMNS || v->stride[i] > 16 || (v->kernel[i] - 1) * v->dilation[i] > 1024) return false;
    return true;
}

/* The first of three axes, as a window of its own (of fewer: one cell), and the others. */
static inline op_window cpu_window_depth(const op_window *v, op_window *others) {
    op_window depth = {.n = 1, .in = {1}, .out = {1}, .kernel = {1}, .stride = {1}, .dilation = {1}};
    *others = *v;
    if (v->n < 3) return depth;
    depth = *v;
    depth.n = 1;
    others->n = v->n - 1;
    for (int i = 0; i + 1 < v->n; i++) {
        others->in[i] = v->in[i + 1], others->out[i] = v->out[i + 1], others->kernel[i] = v->kernel[i + 1];
        others->stride[i] = v->stride[i + 1], others->dilation[i] = v->dilation[i + 1];
        others->before[i] = v->before[i + 1], others->after[i] = v->after[i + 1];
    }
    return depth;
}

/* The plane of the input that cell i of the window of output `at` sees; -1: padding. */
static inline int64_t cpu_window_plane(const op_window *depth, int64_t at, int64_t i) {
    const int64_t plane = at * depth->stride[0] - depth->before[0] + i * depth->dilation[0];
    return plane < 0 || plane >= depth->in[0] ? -1 : plane;
}

static inline kernel_conv cpu_window(const op_window *v, int64_t channels) {
    const int a = cpu_window_columns(v), b = a == 1 ? 0 : -1; /* axes of columns and of rows */
    return (kernel_conv){.channels = channels,
                         .in_h = b < 0 ? 1 : v->in[b],
                         .in_w = v->in[a],
                         .out_h = b < 0 ? 1 : v->out[b],
                         .out_w = v->out[a],
                         .kernel_h = b < 0 ? 1 : v->kernel[b],
                         .kernel_w = v->kernel[a],
                         .stride_h = b < 0 ? 1 : v->stride[b],
                         .stride_w = v->stride[a],
                         .dilation_h = b < 0 ? 1 : v->dilation[b],
                         .dilation_w = v->dilation[a],
                         .top = b < 0 ? 0 : v->before[b],
                         .left = v->before[a]};
}

/* Weights that training has let go down to subnormal numbers count as 0: a product with one takes the processor many times
 * as long (PP-OCRv6's detection has many), and adds nothing that a sum of ordinary numbers keeps. */
static inline float cpu_no_subnormal(float w) { return w > -FLT_MIN && w < FLT_MIN ? 0.0f : w; }

/* Element i of a constant in f32 as a file holds it, of any alignment. */
static inline float cpu_float_at(const graph_tensor *t, int64_t i) {
    float f;
    memcpy(&f, (const char *)t->data + i * (int64_t)sizeof f, sizeof f);
    return f;
}

/* Rows of the output whose part of the padded input fits `bytes`, at least 4 (or all); 0: not even those can be laid out. */
static inline int64_t cpu_window_rows(const kernel_conv *c, size_t bytes) {
    int64_t rows = c->out_h;
    while (rows > 4 && kernel_conv_scratch(c, rows) > (int64_t)(bytes / sizeof(float))) rows = (rows + 1) / 2;
    return kernel_conv_scratch(c, rows) > INT64_MAX / 16 || kernel_conv_scratch(c, rows) > ((int64_t)1 << 28) ? 0 : rows;
}

#endif
