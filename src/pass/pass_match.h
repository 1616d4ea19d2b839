/* SPDX-License-Identifier: Apache-2.0
 *
 * Patterns of operators, written as text:
 *
 *     Mul(Mul(x, Add(Erf(Div(x, 1.4142135)), 1)), 0.5)
 *
 * A name with parentheses is an operator (Domain.Op for other domains; a label before it, `m:MatMul(..)`, captures the
 * node); a bare name captures a value, and must stand for the same value wherever it stands again; a number matches a
 * constant with that one element (relative tolerance 1e-5); `...` as the last argument matches any further inputs; `_`
 * matches anything. No element-wise operator matches to whose result a constant of one element gives axes. Add and Mul match in
 * either order of their two inputs.
 */
#ifndef PASS_MATCH_H
#define PASS_MATCH_H

#include "graph/graph.h"

#define PASS_MATCH_MAX 40

typedef struct pass_match {
    const graph *g; /* whose values: only nodes of this graph match */
    int n_values, n_nodes;
    struct {
        const char *name;
        int length;
        graph_value *value;
    } values[PASS_MATCH_MAX];
    struct {
        const char *name;
        int length;
        graph_node *node;
    } nodes[PASS_MATCH_MAX];
} pass_match;

/* Does the tree of nodes that computes `root` match the pattern? Fills *m. */
bool pass_match_at(const char *pattern, graph_value *root, pass_match *m);
graph_value *pass_matched(const pass_match *m, const char *name); /* NULL if it was not captured */
graph_node *pass_matched_node(const pass_match *m, const char *label);

#endif
