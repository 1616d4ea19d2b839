/* SPDX-License-Identifier: Apache-2.0
 *
 * What the families of domain com.microsoft share. Contracts: ONNX Runtime's docs/ContribOperators.md. In double, rounded once.
 */
#ifndef OP_CONTRIB_H
#define OP_CONTRIB_H

#include "op_local.h"

#define OP_MS "com.microsoft"

/* The values of an optional input, NULL if it is left out; TYPE unless floating point. */
nib_status op_float_input(op_eval *c, int i, const double **out);
/* The same, which must have `want` elements (any shape). */
nib_status op_float_row(op_eval *c, int i, int64_t want, const double **out);
/* The one number of an optional input of any number type; `otherwise` if it is left out. */
nib_status op_one_number(op_eval *c, int i, double otherwise, double *out);
/* BAD_MODEL where one of these inputs is left out: what a row of the table cannot say where one before it may be. A bit each. */
nib_status op_need(op_eval *c, uint32_t inputs);
double op_erf_gelu(double x);

/* softmax(scale q k + bias) v. q [B, H, S, D], k [B, K, T, D], v [B, K, T, Dv], all dense; H is a multiple of K. */
typedef struct op_scores {
    int64_t B, H, K, S, T, D, Dv;
    const double *q, *k, *v;
    double scale, softcap;
    const double *sinks;                                                          /* [H], or NULL: one more logit in the sum */
    double (*bias)(const void *user, int64_t b, int64_t h, int64_t i, int64_t j); /* -INFINITY: may not be looked at */
    const void *user;
    bool masked_nan; /* a query that may look at no key gives NaN, as Softmax does; else zeros */
} op_scores;
/* y [B, S, H, Dv] of dtype. */
nib_status op_attend(op_eval *c, const op_scores *s, nib_dtype dtype, void *y);

#endif
