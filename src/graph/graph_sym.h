/* SPDX-License-Identifier: Apache-2.0
 *
 * Symbolic sizes: integers and expressions over named symbols ("batch", "seq").
 *
 * A graph_dim is a pointer to an expression that its table owns and has made unique: two dimensions are provably equal if
 * and only if their pointers are equal. NULL means unknown. Sums and products are kept as polynomials in canonical order
 * (sum of coefficient * product of atoms; an atom is a symbol or an opaque floor division, remainder, minimum or maximum),
 * so that (seq + 1) * 2 - 2 and 2 * seq are the same pointer. Every function returns NULL when an operand is NULL, when a
 * constant would overflow int64, or when memory runs out: "unknown" is always a safe answer.
 *
 * The table lives in the graph's arena and is shared with the graph's subgraphs. One thread at a time may make expressions;
 * evaluating is read-only.
 */
#ifndef GRAPH_SYM_H
#define GRAPH_SYM_H

#include "base/base_mem.h"
#include "base/base_str.h"

/* T, how many rows a packed batch has, is given by the batch: no file may call one of its sizes so. */
#define GRAPH_TOKENS_SYMBOL "nib_tokens"

typedef const struct graph_expr *graph_dim;
typedef struct graph_symtab graph_symtab;

graph_symtab *graph_symtab_create(base_arena *arena);

graph_dim graph_dim_const(graph_symtab *t, int64_t value);
graph_dim graph_dim_symbol(graph_symtab *t, const char *name); /* the same name gives the same symbol */
graph_dim graph_dim_fresh(graph_symtab *t, const char *hint);  /* a symbol that did not exist: hint, hint_1, ... */
graph_dim graph_dim_add(graph_symtab *t, graph_dim a, graph_dim b);
graph_dim graph_dim_sub(graph_symtab *t, graph_dim a, graph_dim b);
graph_dim graph_dim_mul(graph_symtab *t, graph_dim a, graph_dim b);
graph_dim graph_dim_div(graph_symtab *t, graph_dim a,
                        graph_dim b); /* exact where the polynomial divides, else floor(a / b); b must not be the constant 0 */
graph_dim graph_dim_mod(graph_symtab *t, graph_dim a, graph_dim b);
graph_dim graph_dim_min(graph_symtab *t, graph_dim a, graph_dim b);
graph_dim graph_dim_max(graph_symtab *t, graph_dim a, graph_dim b);

bool graph_dim_is_const(graph_dim d, int64_t *value); /* value may be NULL; false for NULL */
bool graph_dim_is_one(graph_dim d);                   /* the constant 1 */
bool graph_dim_is_symbol(graph_dim d);
/* Whether d is provably not negative: made of sizes without a minus sign. False for NULL. */
bool graph_dim_is_nonnegative(graph_dim d);
/* Whether d is min(of, c), c a constant of at least `least`: it is `of`, unless that is larger than c. False for NULL. */
bool graph_dim_is_capped(graph_dim d, graph_dim of, int64_t least);
/* The dimension of two broadcast dimensions (ONNX rules): equal -> it, const 1 -> the other, a constant > 1 against a
 * symbol -> the constant; otherwise unknown. */
graph_dim graph_dim_broadcast(graph_symtab *t, graph_dim a, graph_dim b);

/* How many symbols exist; symbols are numbered 0, 1, ... in order of creation. */
int graph_symbol_count(const graph_symtab *t);
const char *graph_symbol_name(const graph_symtab *t, int index);
int graph_symbol_index(graph_dim symbol); /* -1 if it is not a bare symbol */

#define GRAPH_UNBOUND INT64_MIN
/* Evaluates with symbol i = values[i] for i < count; false if a symbol is GRAPH_UNBOUND, beyond count, or arithmetic overflows. */
bool graph_dim_eval(graph_dim d, const int64_t *values, int count, int64_t *out);

/* The same expression over the same names in another table. */
graph_dim graph_dim_copy(graph_symtab *to, graph_dim d);

/* Prints as in ONNX's textual syntax: 3, batch, (batch * seq), ?. */
void graph_dim_print(graph_dim d, base_str *out);

#endif
