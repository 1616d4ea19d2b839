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
/* The program takes this output; `use` says what for. */
void model_take_output(model_program *p, const graph *g, const graph_value *v, const char *why, const char *use);

/* ---- model_suffix_words.c: scores of all words, of the tokens that are wanted */

void model_choose_words(const nib_model *m, const graph *g, const graph_value *wanted, model_program *p);
graph_value *model_words_suffix(const nib_model *m, graph *g, graph_value *v, model_program *p);

/* ---- model_suffix_spans.c: of each token, how well an answer begins, how well it ends there */

#define MODEL_SPANS_FOR "ForQuestionAnswering"
void model_choose_spans(const nib_model *m, const graph *g, const graph_value *wanted, model_program *p);
graph_value *model_spans_suffix(const nib_model *m, graph *g, graph_value *v, model_program *p);
/* Whether g has both outputs of such a head. */
bool model_has_spans(const graph *g);

#endif
