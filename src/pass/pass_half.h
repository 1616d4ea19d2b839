/* SPDX-License-Identifier: Apache-2.0
 *
 * Between the two files of half precision: pass_half_choose.c says which nodes compute in f16, pass_half.c rewrites them.
 */
#ifndef PASS_HALF_H
#define PASS_HALF_H

#include "pass.h"

#define PASS_HALF_LARGEST 65504.0f              /* of f16 */
#define PASS_HALF_LIMIT (PASS_HALF_LARGEST / 2) /* what is larger in a trial may be too large in another run */
#define PASS_HALF_NORMAL 6.103515625e-5f        /* below, f16 loses digits */

typedef enum half_why {                 /* why a node stays f32 */
                        HALF_IS,        /* it does not */
                        HALF_ALONE,     /* it has no f32 to compute with */
                        HALF_NO_FORM,   /* the operator has no f16 form in this opset, or none that is known here */
                        HALF_LOSES,     /* it adds up many numbers */
                        HALF_RANGE,     /* a value is too large */
                        HALF_SMALL,     /* a constant is too small */
                        HALF_POSITIONS, /* computed from sizes, positions and masks alone */
                        HALF_FOLLOWS,   /* reads only what stays f32 for its digits: the rest of a norm */
                        HALF_BETWEEN,   /* stands between nodes that stay f32: a Cast on either side would gain nothing */
                        HALF_ROUNDED,   /* 8 bits are made of what it computes: f16's rounding would be a step of theirs */
                        HALF_WHYS
} half_why;

typedef struct half_form { /* the f16 form of an operator */
    const char *domain, *op;
    int since;                /* opset of ai.onnx from which it is there */
    uint8_t kind;             /* half_kind */
    uint32_t inputs, outputs; /* bits: those that are f16 where the node is */
} half_form;

typedef struct half_choice { /* of one graph; arrays by id */
    pass_context *ctx;
    const pass_range *ranges; /* [n_ranges] of values */
    size_t n_ranges;
    int n_nodes;             /* ids of nodes that were there before; those from here on are Casts */
    half_why *why;           /* [n_nodes] */
    const half_form **forms; /* [n_nodes] */
    uint8_t *flags;          /* [value_limit] */
    pass_range *own;         /* [value_limit] of constants, once they were looked at */
} half_choice;

/* Fills why and forms, and notes what stays f32. Constants that only mean "masked" are clamped to -PASS_HALF_LIMIT first. */
nib_status pass_half_choose(half_choice *h);
bool pass_half_is_f32(const graph_value *v);
bool pass_half_is_weight(const graph_value *v); /* a constant with at least two axes longer than 1, of floats or quantized */

#endif
