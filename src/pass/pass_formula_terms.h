/* SPDX-License-Identifier: Apache-2.0
 *
 * The terms of a formula: made by pass_formula.c, evaluated by pass_interval.c. A term's inputs come before it.
 */
#ifndef PASS_FORMULA_TERMS_H
#define PASS_FORMULA_TERMS_H

#include "pass_formula.h"

typedef enum term_kind {
    TERM_CONSTANT, /* value */
    TERM_PLACE,    /* at[0] i + at[1] j + at[2] S + at[3] */
    TERM_TOKEN,    /* the mask's element of the key: 1 or 0 */
    TERM_QUERY,    /* that of the query */
    TERM_TEXT,     /* which text; only an index */
    TERM_HEAD,     /* which head; only an index */
    TERM_ROW,      /* text times S, plus a place: an index into [B, S] laid out flat */
    TERM_LENGTH,   /* how many tokens the text has, which come first */
    TERM_TABLE,    /* table[d + at[3]], [count] */
    TERM_ADD,
    TERM_SUB,
    TERM_MUL,
    TERM_DIV, /* whole numbers: towards 0 */
    TERM_MOD, /* the sign of the divisor */
    TERM_MIN,
    TERM_MAX,
    TERM_LESS,
    TERM_EQUAL,
    TERM_AND,
    TERM_OR,
    TERM_XOR,
    TERM_NOT,
    TERM_LOOKUP, /* table[in[0]], [count] */
    TERM_SIGN,
    TERM_LOG,
    TERM_ABS,
    TERM_FLOOR,
    TERM_CEIL,
    TERM_TRUNC, /* a float as a whole number */
    TERM_CAST,  /* the same number in the type `value`, as far as that has it */
    TERM_BOOL,  /* x != 0 */
    TERM_WHERE,
} term_kind;

typedef struct term {
    term_kind kind;
    bool f32;   /* its result is rounded to f32 */
    bool whole; /* of whole numbers */
    int in[3];  /* terms; -1: none */
    double value;
    int64_t at[4];
    const double *table; /* [count] */
    int64_t count;
    const graph_value *made; /* of an operator: the first value that is it */
} term;

#define MAX_TERMS 512

struct pass_formula {
    term terms[MAX_TERMS];
    int n, root;
    int64_t longest; /* texts have less tokens than this plus 1: a table ends there */
};

/* Bounds of a term, whose inputs have the bounds of[in[..]], for d in [least, most]. */
pass_interval term_range(const term *t, const pass_interval *of, int64_t least, int64_t most, pass_pair tokens);

#endif
