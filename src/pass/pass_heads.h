/* SPDX-License-Identifier: Apache-2.0
 *
 * Heads as exporters write them, and the rows they are made of. In: a value of heads, [B, H, S, D] or [B H, S, D] (keys: the last
 * two axes in turn), behind scales, transposes, views and repetitions of shared heads. Out: where the rows [B, S, H D] are, or
 * what makes them.
 */
#ifndef PASS_HEADS_H
#define PASS_HEADS_H

#include "pass.h"

typedef enum pass_heads_form {
    PASS_HEADS_ROWS,  /* value is the rows, [B, S, count * size] */
    PASS_HEADS_SPLIT, /* value is [B, S, count, size] */
    PASS_HEADS_FIRST, /* value is [B, count, S, size] */
} pass_heads_form;

typedef struct pass_heads {
    graph_value *value;
    pass_heads_form form;
    int64_t count, size; /* heads in the rows, columns of each */
    int64_t times;       /* how many query heads read each: 1 but for shared keys and values */
    double scale;        /* what constants on the way multiply by */
    bool plain;          /* nothing but a Transpose of a Reshape of rows */
} pass_heads;

/* Takes off Mul and Div by constants, and casts that change nothing: *scale is multiplied by what they do. */
graph_value *pass_without_scale(graph_value *v, double *scale);
/* v is heads; `turned`: their last two axes are in turn, as keys have them. */
bool pass_find_heads(graph_value *v, bool turned, pass_heads *out);
/* v is heads as [B, S, H, D]. */
bool pass_heads_of_split(graph_value *v, pass_heads *out);
graph_dim pass_heads_batch(const pass_heads *h);  /* B */
graph_dim pass_heads_length(const pass_heads *h); /* S */
/* The rows themselves, made before `before` where they are none yet; NULL: out of memory. */
graph_value *pass_rows_of_heads(pass_context *ctx, graph_node *before, const pass_heads *h);
/* v [B, S, count * size] as heads, [B, count, S, size] if `first`, else [B, S, count, size]; NULL: out of memory. */
graph_value *pass_split_rows(pass_context *ctx, graph_node *before, graph_value *rows, int64_t count, int64_t size, bool first);

#endif
