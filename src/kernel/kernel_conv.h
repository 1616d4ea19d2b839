/* SPDX-License-Identifier: Apache-2.0
 *
 * Convolutions of an image of planes [channels, in_h, in_w]: one image, one group. One spatial axis is in_h = 1.
 */
#ifndef KERNEL_CONV_H
#define KERNEL_CONV_H

#include <stdint.h>

/* Sizes were checked: out_h and out_w are such that no window begins behind the padded input, and everything fits. */
typedef struct kernel_conv {
    int64_t channels, in_h, in_w, out_h, out_w;
    int64_t kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w;
    int64_t top, left; /* rows and columns of zeros before the input; behind it there are as many as windows ask for */
} kernel_conv;

#define KERNEL_CONV_COLUMNS 256 /* most of a window over one plane */

/* Rows of the input that rows of the output see, laid out for kernel_conv_planes: floats of scratch for so many rows. */
static inline int64_t kernel_conv_lane(const kernel_conv *c) { /* columns of one phase */
    return (c->out_w - 1 + ((c->kernel_w - 1) * c->dilation_w) / c->stride_w + 1 + 64 + 15) / 16 * 16;
}
static inline int64_t kernel_conv_rows(const kernel_conv *c, int64_t out_rows) {
    return (out_rows - 1) * c->stride_h + (c->kernel_h - 1) * c->dilation_h + 1;
}
static inline int64_t kernel_conv_scratch(const kernel_conv *c, int64_t out_rows) {
    return kernel_conv_rows(c, out_rows) * c->stride_w * kernel_conv_lane(c);
}

#endif
