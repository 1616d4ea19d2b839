/* SPDX-License-Identifier: Apache-2.0
 *
 * What a mask computes, as a formula. In: the value that is added to attention scores [B|1, H|1, S|1, S|1], and the [B,
 * S] input that may be the padding mask. Out: the same number for one query i and one key j of one text, as terms over
 * i, j, S, "is key j a token" and, where padded queries are asked about, "is query i a token".
 *
 *     Where(And(mask[b, j] != 0, |j - i| <= 64), 0, -3.4e38)
 *
 * Index operators (Unsqueeze, Expand, Slice, Gather, Transpose, ..) only say which element is meant, so they leave no
 * term. Whatever is linear in i, j and S is one term, so that i - j is found however it is written, and comparisons
 * that hold for every text (j < S) become constants. A table is one term where its element depends on i - j alone.
 *
 * If nothing but d = i - j is left, the formula has a range of values for every range of distances (interval
 * arithmetic), which decides what a mask does at every length: pass_mask.c. Sizes of texts are below PASS_LONGEST.
 */
#ifndef PASS_FORMULA_H
#define PASS_FORMULA_H

#include "pass.h"

#define PASS_LONGEST (1 << 24) /* tokens of a text: up to here f32 counts exactly */

typedef struct pass_formula pass_formula;

typedef struct pass_formula_of {
    const graph_value *bias, *mask; /* mask NULL: none of the inputs' elements may be read */
    bool tokens_first;              /* padding stands behind the tokens */
    pass_queries queries;           /* TOKENS: each query is one */
    const int64_t *head;            /* of which, where heads differ; NULL: of any */
    bool index;                     /* it is no bias but whole numbers of each pair, i64 or i32, [.., S, S] */
} pass_formula_of;

/* False, with the reason: an operator, type or constant that formulas have no term for, or a formula of the places
 * themselves. The formula lives in the arena. */
bool pass_formula_read(base_arena *arena, graph *g, const pass_formula_of *of, const pass_formula **out, char *why,
                       size_t capacity);

/* The c of a formula that is c |d| for every d, rounded to f32 here and there; NaN: it is not written so. */
double pass_formula_slope(const pass_formula *f);

/* How far apart two tokens of a text can be at most: d is from -this to this. */
int64_t pass_formula_reach(const pass_formula *f);

typedef struct pass_interval {
    double least, most; /* NaN: cannot be said */
} pass_interval;

typedef struct pass_pair { /* of a query and a key: which is a token, not padding */
    bool query, key;
} pass_pair;

/* Bounds of the values for all d in [least, most] of such pairs. Exact where least == most. */
pass_interval pass_formula_range(const pass_formula *f, int64_t least, int64_t most, pass_pair tokens);

/* The bool of the graph that all that the formula makes of the mask's numbers comes from, whatever numbers they are: a
 * comparison of each with constants. *hides: it is false for a token. NULL: there is none, or more than one. */
const graph_value *pass_formula_test(const pass_formula *f, bool *hides);

#endif
