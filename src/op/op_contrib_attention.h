/* SPDX-License-Identifier: Apache-2.0
 *
 * Shared by the two files of com.microsoft's attention operators.
 */
#ifndef OP_CONTRIB_ATTENTION_H
#define OP_CONTRIB_ATTENTION_H

#include "op_contrib.h"

typedef struct op_strided { /* element (b, h, s, d) is at v + b * this->b + h * this->h + s * this->s + d */
    const double *v;
    int64_t b, h, s;
} op_strided;

/* Dense [B, H, S, D] of a strided view, plus bias [H, D] (or NULL). */
nib_status op_split_heads(op_eval *c, const op_strided *x, int64_t B, int64_t H, int64_t S, int64_t D, const double *bias, double **out);
/* [lines, P + S, D] of [lines, P, D] and [lines, S, D]. */
nib_status op_join_past(op_eval *c, const double *past, int64_t P, const double *now, int64_t S, int64_t lines, int64_t D, double **out);

/* mask_index or key_padding_mask (i32; [B]: lengths, [2 B]: ends and begins, [B, T], [B, S, T]: 0 is masked) and attention_bias
 * [1 or B, 1 or H, S, T]. What is masked gets mask_filter_value, what lies behind a causal query nothing. */
typedef struct op_mask {
    const graph_tensor *mask;
    bool begins, causal;
    double filter;
    const double *bias;
    int64_t B, S, T, b, h;
} op_mask;
/* bias_input -1: there is none. */
nib_status op_mask_of(op_eval *c, int mask_input, int bias_input, int64_t B, int64_t H, int64_t S, int64_t T, op_mask *m);
double op_mask_bias(const void *user, int64_t b, int64_t h, int64_t i, int64_t j); /* user: an op_mask */

#endif
