/* SPDX-License-Identifier: Apache-2.0
 *
 * What pass_texts.c follows through a graph of a task.
 */
#ifndef PASS_TEXTS_H
#define PASS_TEXTS_H

#include "pass.h"

typedef enum flow_pad { /* what stands where a text is padded, along the axis of tokens */
                        PAD_ANY,
                        PAD_NUMBER, /* `number` */
                        PAD_HIDDEN, /* a score, with -1e4 or less added */
} flow_pad;

typedef struct flow {
    int texts, tokens; /* axes; -1: none, the same for all texts, for all tokens */
    bool merged;       /* the axis of texts counts more beside them, texts slowest: [texts x tokens, C] */
    flow_pad pad;
    double number; /* of PAD_HIDDEN: what was added */
    bool known;    /* the mask and what is made of it alone: every token has `token` */
    double token;
    bool wild;       /* a token may have a number that is meant to hide it, or what stands where a text is padded may be no finite number */
    bool neighbours; /* other texts, or how many there are, reach it: `texts` says nothing then */
    bool padding;    /* how far texts are padded, or what stands there, reaches it: `tokens` says nothing then */
    const graph_node *by; /* where it was reached first */
} flow;

typedef struct flows {
    const graph *g;
    flow *of; /* [limit] by value id */
    int limit;
    graph_dim b, s;                       /* sizes of the inputs [B, S] */
    const uint8_t *rows;                  /* by value id: rows of tokens that packing proves; NULL: none */
    const graph_value *mask;              /* the input that is 1 for tokens; NULL: none is known */
    const int64_t *without_b, *without_s; /* [n_symbols] what symbols are if only s, only b is known */
    int n_symbols;
    bool one_text; /* B is fixed to 1 */
    bool fixed;    /* S is fixed */
} flows;

static const flow whole = {.texts = -1, .tokens = -1};

static inline flow *flow_at(const flows *f, const graph_value *v) { return v->owner == f->g && v->id < f->limit ? &f->of[v->id] : NULL; }

/* Inputs that are left out, constants, and what bodies around it have: the same for all. */
static inline flow flow_of(const flows *f, const graph_value *v) {
    const flow *found = v && !v->constant ? flow_at(f, v) : NULL;
    return found ? *found : whole;
}

static inline bool is_free(const flow *x) { return x->texts < 0 && x->tokens < 0; }

static inline void reach(flow *y, const graph_node *at, bool neighbours, bool padding) {
    if (neighbours && !y->neighbours) y->neighbours = true, y->by = at;
    if (padding && !y->padding && !y->neighbours) y->by = at;
    y->padding |= padding;
    if (y->padding) y->tokens = -1;
    if (y->neighbours) y->texts = -1;
}

static inline void inherit(flow *y, const flow *x) {
    if ((x->neighbours && !y->neighbours) || (x->padding && !y->padding && !y->neighbours)) y->by = x->by;
    y->neighbours |= x->neighbours;
    y->padding |= x->padding;
    y->wild |= x->wild;
}

/* Which sizes a value is made of, where its contents are known as expressions; `at` says so. */
void pass_flow_sizes(const flows *f, const graph_value *v, const graph_node *at, flow *y);
/* What stands in an element-wise node's output where a text is padded, and at its tokens. */
void pass_flow_numbers(const flows *f, const graph_node *n, flow *y);
/* What reaches a node's outputs (pass_texts_rules.c). */
flow pass_flow_out(const flows *f, const graph_node *n);

#endif
