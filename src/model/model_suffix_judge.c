/* SPDX-License-Identifier: Apache-2.0
 *
 * The task `classify` of a reranker that is a decoder. In: an output with a row a token. Out: the score of each text:
 * its last token's row times the one row of the head that settings.judge has. The scores of all other words are
 * nobody's.
 */
#include "model_suffix.h"
#include <stdio.h>

void model_choose_judged(const nib_model *m, const graph *g, model_program *p) {
    const hf_judge *j = &m->settings.judge;
    const char *why;
    const graph_value *v = model_token_output(g, &why);
    int64_t width;
    p->pooled = true;
    if (j->no_head[0]) snprintf(p->cannot, sizeof p->cannot, "%s", j->no_head);
    else if (j->wrong[0]) snprintf(p->cannot, sizeof p->cannot, "%s", j->wrong);
    else if (!j->weight.data) snprintf(p->cannot, sizeof p->cannot, "without a tokenizer, it has no words");
    else if (!v || v->type.rank != 3)
        snprintf(p->cannot, sizeof p->cannot, "no output of shape [batch, seq, width] of f32");
    else if (!graph_dim_is_const(v->type.dims[2], &width) || width != j->weight.dims[0])
        snprintf(p->cannot, sizeof p->cannot, "its rows are not as wide as those of its table of words");
    else {
        model_take_output(p, g, v, why, "the score of a word behind each text");
        p->judged = true;
    }
}

graph_value *model_judged_suffix(const nib_model *m, graph *g, graph_value *v) {
    graph_value *mask = model_token_mask(m, g);
    graph_value *last = mask ? graph_emit(g, NULL, "nib", "Pool", (graph_value *[]){v, mask}, 2, "last") : NULL;
    graph_value *row = graph_add_constant(g, "judge.weight", &m->settings.judge.weight, false);
    if (!last || !row || graph_set_string(last->producer, "mode", nib_pooling_name(NIB_POOLING_LAST)) != NIB_OK)
        return NULL;
    return graph_emit(g, NULL, "", "MatMul", (graph_value *[]){last, row}, 2, "score");
}
