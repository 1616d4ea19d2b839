/* SPDX-License-Identifier: Apache-2.0
 *
 * In: a pattern and a value. Out: whether they match, with captures. The pattern is read again at each attempt; it is short,
 * and most attempts end at its first word.
 */
#include "pass_match.h"
#include "base/base_number.h"
#include "op/op.h"
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Skips one argument: up to the comma or parenthesis that ends it. */
static const char *skip(const char *p) {
    int depth = 0;
    for (; *p; p++) {
        if (*p == '(') depth++;
        if (*p == ')' && depth-- == 0) break;
        if (*p == ',' && depth == 0) break;
    }
    return p;
}

static const char *blanks(const char *p) {
    while (*p == ' ') p++;
    return p;
}

static bool match_number(const char *p, const graph_value *v) {
    double x, want = base_strtod(p, NULL);
    return graph_scalar(v, &x) && fabs(x - want) <= 1e-5 * fabs(want);
}

static bool capture(pass_match *m, const char *name, int length, graph_value *v) {
    if (length == 1 && *name == '_') return true;
    for (int i = 0; i < m->n_values; i++)
        if (m->values[i].length == length && memcmp(m->values[i].name, name, (size_t)length) == 0) return m->values[i].value == v;
    if (m->n_values == PASS_MATCH_MAX) return false;
    m->values[m->n_values].name = name;
    m->values[m->n_values].length = length;
    m->values[m->n_values++].value = v;
    return true;
}

static bool match(const char *p, graph_value *v, pass_match *m);

/* Matches the arguments at p (behind the parenthesis) with the node's inputs in the given order. */
static bool match_inputs(const char *p, const graph_node *n, bool swapped, pass_match *m) {
    for (int i = 0;; i++) {
        p = blanks(p);
        if (strncmp(p, "...", 3) == 0) return true;
        if (*p == ')') return i == n->n_inputs;
        if (i >= n->n_inputs) return false;
        graph_value *in = n->inputs[swapped ? 1 - i : i].value;
        if (!match(p, in, m)) return false;
        p = skip(p);
        if (*p == ',') p++;
    }
}

/* A constant of one element is a number only as long as it does not give the result more axes than the other operand has:
 * [2,4,6] + [1,1,1,1] is [1,2,4,6], and what a pass puts in its place would be [2,4,6]. */
static bool adds_axes(const graph_node *n) {
    double x;
    if (!n->meaning || n->meaning->rows != OP_ROWS_ELEMENT) return false;
    for (int i = 0; i < n->n_inputs; i++) {
        const graph_value *v = n->inputs[i].value;
        bool wide = !graph_scalar(v, &x) || v->constant->rank == 0;
        for (int k = 0; k < n->n_inputs && !wide; k++) wide = k != i && n->inputs[k].value && n->inputs[k].value->type.rank >= v->type.rank;
        if (!wide) return true;
    }
    return false;
}

static bool match_node(const char *name, const char *open, graph_node *n, pass_match *m) {
    const char *type = open; /* behind the last dot: domains have dots of their own */
    while (type > name && type[-1] != '.') type--;
    size_t domain = type > name ? (size_t)(type - name) - 1 : 0;
    if (!n || n->owner != m->g || strlen(n->op) != (size_t)(open - type) || memcmp(n->op, type, (size_t)(open - type)) != 0) return false;
    if (strlen(n->domain) != domain || memcmp(n->domain, name, domain) != 0) return false;
    if (domain == 0 && !n->meaning) return false; /* of an opset that does not have it: nobody counted its inputs */
    if (adds_axes(n)) return false;
    bool commutes = domain == 0 && n->n_inputs == 2 && (strcmp(n->op, "Add") == 0 || strcmp(n->op, "Mul") == 0);
    int values = m->n_values, nodes = m->n_nodes;
    if (match_inputs(open + 1, n, false, m)) return true;
    m->n_values = values;
    m->n_nodes = nodes;
    return commutes && match_inputs(open + 1, n, true, m);
}

static bool match(const char *p, graph_value *v, pass_match *m) {
    p = blanks(p);
    if (!v) return false;
    if (isdigit((unsigned char)*p) || *p == '-') return match_number(p, v);
    const char *word = p;
    int length = (int)strcspn(p, " ,():");
    p += length;
    if (*p == ':') { /* label:Operator(...) */
        const char *name = p + 1, *open = name + strcspn(name, "(");
        if (m->n_nodes == PASS_MATCH_MAX || !match_node(name, open, v->producer, m)) return false;
        m->nodes[m->n_nodes].name = word;
        m->nodes[m->n_nodes].length = length;
        m->nodes[m->n_nodes++].node = v->producer;
        return true;
    }
    if (*p == '(') return match_node(word, p, v->producer, m);
    return capture(m, word, length, v);
}

bool pass_match_at(const char *pattern, graph_value *root, pass_match *m) {
    m->n_values = m->n_nodes = 0;
    if (!root || !root->producer) return false;
    m->g = root->producer->owner;
    return match(pattern, root, m);
}

graph_value *pass_matched(const pass_match *m, const char *name) {
    for (int i = 0; i < m->n_values; i++)
        if ((int)strlen(name) == m->values[i].length && memcmp(m->values[i].name, name, strlen(name)) == 0) return m->values[i].value;
    return NULL;
}

graph_node *pass_matched_node(const pass_match *m, const char *label) {
    for (int i = 0; i < m->n_nodes; i++)
        if ((int)strlen(label) == m->nodes[i].length && memcmp(m->nodes[i].name, label, strlen(label)) == 0) return m->nodes[i].node;
    return NULL;
}
