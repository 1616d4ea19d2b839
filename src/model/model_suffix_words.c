/* SPDX-License-Identifier: Apache-2.0
 *
 * The task `fill`: scores of all words for the tokens that are wanted. In: an output with a row a token. Out: nib.Pick
 * behind it, which passes move in front of the head (pass_pick.c), and the input that says which tokens those are.
 */
#include "model_suffix.h"
#include <stdio.h>
#include <string.h>

#define WORDS "ForMaskedLM"
#define LOGITS "logits"
#define WANTED "nib.wanted" /* how many tokens are wanted, and the input's name */

void model_choose_words(const nib_model *m, const graph *g, const graph_value *wanted, model_program *p) {
    const graph_value *v = wanted ? wanted : model_named_output(g, LOGITS);
    const char *head = m->settings.architecture;
    const size_t n = strlen(head), k = strlen(WORDS);
    if (!v || v->type.rank != 3 || v->type.kind != GRAPH_KIND_TENSOR)
        snprintf(p->cannot, sizeof p->cannot, "no output " LOGITS " of shape [batch, seq, words]");
    else if (!wanted && head[0] && (n < k || strcmp(head + n - k, WORDS) != 0))
        snprintf(p->cannot, sizeof p->cannot, "its output " LOGITS " is that of %.90s, not of a model " WORDS, head);
    else model_take_output(p, g, v, wanted ? "asked for" : "by its name", "a score a word, of tokens that are wanted");
}

/* Which tokens are wanted: an input behind all others. */
static graph_value *places_input(graph *g, model_program *p) {
    graph_value *v = graph_add_value(g, WANTED);
    if (!v) return NULL;
    v->type = (graph_type){.kind = GRAPH_KIND_TENSOR,
                           .dtype = NIB_DTYPE_I64,
                           .rank = 2,
                           .dims = {graph_dim_fresh(g->symbols, WANTED), graph_dim_const(g->symbols, 2)}};
    if (graph_add_input(g, v) != NIB_OK) return NULL;
    p->roles.places = g->n_inputs - 1;
    return v;
}

graph_value *model_words_suffix(const nib_model *m, graph *g, graph_value *v, model_program *p) {
    graph_value *places = places_input(g, p);
    return places ? graph_emit(g, NULL, "nib", "Pick", (graph_value *[]){v, places}, 2, "words") : NULL;
}
