/* SPDX-License-Identifier: Apache-2.0
 *
 * Scores by distance, as DeBERTa has them: GatherElements of the products of queries, or of keys, with all rows of a
 * table.
 */
#ifndef PASS_RELATIVE_H
#define PASS_RELATIVE_H

#include "pass_heads.h"

typedef struct pass_relative {
    graph_value *keys, *queries, *rows, *bias, *slopes; /* operands of nib.Attention: constants; all NULL: there are none */
} pass_relative;

/* Whether v, added `times` to the scores of heads q and k, is nothing but that, for every length. *out: as operands of
 * an attention whose scores are scaled by `scale`; why[] says what stands in the way (empty: it does not look like it
 * at all). */
bool pass_read_relative(pass_context *ctx, graph_value *v, double times, const pass_heads *q, const pass_heads *k,
                        double scale, pass_relative *out, char *why, size_t capacity);

/* Whether v, added `times` to the scores of heads q and k, is a number of head and distance alone, for every length,
 * which hides no key: one of few (T5's and MPNet's buckets), or the distance itself times a number (ALiBi). */
bool pass_read_distance_bias(pass_context *ctx, graph_value *v, double times, const pass_heads *q, const pass_heads *k,
                             pass_relative *out);

#endif
