/* SPDX-License-Identifier: Apache-2.0
 *
 * What files of suffixes share (model_suffix_*.c): the table of tasks is in model_tasks.c, and what it takes of them
 * stands here.
 */
#ifndef MODEL_SUFFIX_H
#define MODEL_SUFFIX_H

#include "model_tasks.h"

/* ---- of model_tasks.c */

graph_value *model_named_output(const graph *g, const char *name); /* NULL: there is none */
/* The output with a row for each token, and why it is that one; NULL: none. */
const graph_value *model_token_output(const graph *g, const char **why);
/* The program takes this output; `use` says what for. */
void model_take_output(model_program *p, const graph *g, const graph_value *v, const char *why, const char *use);
/* 1 for tokens, [batch, seq]: the mask input, or all ones. NULL: memory ran out. */
graph_value *model_token_mask(const nib_model *m, graph *g);
/* Rows of length 1. NULL: memory ran out. */
graph_value *model_normalized(graph *g, graph_value *v);

/* ---- model_suffix_sparse.c: a weight for each word, of a text or of each of its tokens */

void model_choose_sparse(const nib_model *m, const graph *g, const graph_value *wanted, model_program *p);
graph_value *model_sparse_suffix(const nib_model *m, graph *g, graph_value *v, model_program *p);
/* Of BGE-M3: a weight of each token, if the folder has that head, and then a row of each, if it has that one. */
int model_hybrid_more(const nib_model *m, graph *g, graph_value *v, graph_value *out[MODEL_MORE]);
nib_status model_finish_sparse(const nib_model *m, model_program *p, nib_error *err);

/* ---- model_suffix_words.c: scores of all words, of the tokens that are wanted */

void model_choose_words(const nib_model *m, const graph *g, const graph_value *wanted, model_program *p);
graph_value *model_words_suffix(const nib_model *m, graph *g, graph_value *v, model_program *p);

/* ---- model_suffix_judge.c: how well a document answers, by the word that would come next */

void model_choose_judged(const nib_model *m, const graph *g, model_program *p);
graph_value *model_judged_suffix(const nib_model *m, graph *g, graph_value *v);

/* ---- model_suffix_spans.c: of each token, how well an answer begins, how well it ends there */

#define MODEL_SPANS_FOR "ForQuestionAnswering"
void model_choose_spans(const nib_model *m, const graph *g, const graph_value *wanted, model_program *p);
graph_value *model_spans_suffix(const nib_model *m, graph *g, graph_value *v, model_program *p);
/* Whether g has both outputs of such a head. */
bool model_has_spans(const graph *g);

#endif
