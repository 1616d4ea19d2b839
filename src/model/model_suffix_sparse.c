/* SPDX-License-Identifier: Apache-2.0
 *
 * The task `sparse`. In: scores of all words for each token, or a weight of each token. Out: a weight for each word:
 *
 *     SPLADE (Formal et al., 2021)    max over tokens of log(1 + relu(logits)), or their sum     [batch, words]
 *     a weight of each token          as it is; src/task puts those of one word together         [batch, seq, 1]
 *
 * log and relu rise, so that the largest of a word's scores is taken first, and they are computed of it alone.
 */
#include "model_suffix.h"
#include <stdio.h>
#include <string.h>

#define MOST_WORDS (1 << 24)

static void choose_logits(const nib_model *m, const graph *g, const graph_value *wanted, model_program *p) {
    const graph_value *v = wanted ? wanted : model_named_output(g, "logits");
    const char *head = m->settings.architecture;
    const bool said = wanted || m->settings.sparse.from[0];
    if (!v || v->type.rank != 3)
        snprintf(p->cannot, sizeof p->cannot, "no output logits of shape [batch, seq, words], a score of each word");
    else if (!said && head[0] && !base_ends_with(head, "ForMaskedLM"))
        snprintf(p->cannot, sizeof p->cannot, "its output logits is that of %.90s, and not scores of words", head);
    else
        model_take_output(p, g, v, wanted ? "asked for" : "by its name",
                          m->settings.sparse.sum ? "SPLADE: the sum over tokens of log(1 + relu)"
                                                 : "SPLADE: the largest over tokens of log(1 + relu)");
}

static void choose_lexical(const nib_model *m, const graph *g, const graph_value *wanted, model_program *p) {
    const char *why = "asked for";
    const graph_value *v = wanted ? wanted : model_token_output(g, &why);
    if (!v || v->type.rank != 3) snprintf(p->cannot, sizeof p->cannot, "no output of shape [batch, seq, width] of f32");
    else model_take_output(p, g, v, why, "a weight of each token (sparse_linear.pt)");
}

void model_choose_sparse(const nib_model *m, const graph *g, const graph_value *wanted, model_program *p) {
    const graph_value *weights = m->settings.sparse.is_static ? model_named_output(g, "token_weights") : NULL;
    if (m->settings.unsupported[0] && !wanted)
        snprintf(p->cannot, sizeof p->cannot, "modules.json lists a module nib cannot run: %s",
                 m->settings.unsupported);
    else if (m->settings.m3.lexical) choose_lexical(m, g, wanted, p);
    else if (weights && !wanted) model_take_output(p, g, weights, "by its name", "a weight of each word that is there");
    else choose_logits(m, g, wanted, p);
}

/* ---- nodes */

static graph_value *log_of_more(graph *g, graph_value *v) {
    graph_value *one = v ? graph_const_f32(g, "words.one", 1) : NULL;
    v = one ? graph_emit(g, NULL, "", "Add", (graph_value *[]){v, one}, 2, "words.more") : NULL;
    return v ? graph_emit(g, NULL, "", "Log", &v, 1, "words.log") : NULL;
}

static graph_value *activated(const nib_model *m, graph *g, graph_value *v) {
    v = graph_emit(g, NULL, "", "Relu", &v, 1, "words.positive");
    v = log_of_more(g, v);
    return m->settings.sparse.twice ? log_of_more(g, v) : v;
}

static graph_value *pooled(graph *g, graph_value *v, graph_value *mask, nib_pooling mode) {
    v = graph_emit(g, NULL, "nib", "Pool", (graph_value *[]){v, mask}, 2, "words.pooled");
    return v && graph_set_string(v->producer, "mode", nib_pooling_name(mode)) == NIB_OK ? v : NULL;
}

/* How many tokens each text has, f32 [batch, 1]. */
static graph_value *count_tokens(graph *g, graph_value *mask) {
    const int64_t one = 1;
    graph_value *v = graph_emit(g, NULL, "", "Cast", &mask, 1, "words.mask");
    if (!v || graph_set_int(v->producer, "to", NIB_DTYPE_F32) != NIB_OK) return NULL;
    if (graph_opset_version(g, "") < 13) { /* axes were attributes */
        v = graph_emit(g, NULL, "", "ReduceSum", &v, 1, "words.count");
        return v && graph_set_ints(v->producer, "axes", &one, 1) == NIB_OK ? v : NULL;
    }
    graph_value *axis = graph_const_i64(g, "words.axis", &one, 1);
    return axis ? graph_emit(g, NULL, "", "ReduceSum", (graph_value *[]){v, axis}, 2, "words.count") : NULL;
}

graph_value *model_sparse_suffix(const nib_model *m, graph *g, graph_value *v, model_program *p) {
    if (m->settings.m3.lexical) return hf_module_emit(&m->settings.m3.lexical_head, g, v);
    if (m->settings.sparse.is_static) return v;
    graph_value *mask = model_token_mask(m, g);
    if (!mask) return NULL;
    if (!m->settings.sparse.sum) {
        v = pooled(g, v, mask, NIB_POOLING_MAX);
        return v ? activated(m, g, v) : NULL;
    }
    v = activated(m, g, v);
    v = v ? pooled(g, v, mask, NIB_POOLING_MEAN) : NULL;
    graph_value *count = v ? count_tokens(g, mask) : NULL;
    return count ? graph_emit(g, NULL, "", "Mul", (graph_value *[]){v, count}, 2, "words.sum") : NULL;
}

int model_hybrid_more(const nib_model *m, graph *g, graph_value *v, graph_value *out[MODEL_MORE]) {
    int n = 0;
    if (m->settings.m3.lexical && !(out[n++] = hf_module_emit(&m->settings.m3.lexical_head, g, v))) return -1;
    if (!m->settings.m3.rows) return n;
    graph_value *rows = hf_module_emit(&m->settings.m3.rows_head, g, v);
    return rows && (out[n++] = model_normalized(g, rows)) ? n : -1;
}

nib_status model_finish_sparse(const nib_model *m, model_program *p, nib_error *err) {
    const size_t words = m->tokenizer ? text_vocab_size(m->tokenizer) : 0;
    if (p->tokens && p->width != 1)
        snprintf(p->cannot, sizeof p->cannot, "output %.100s has %lld numbers for each token, not one", p->output_name,
                 (long long)p->width);
    else if (!p->tokens && (p->width > MOST_WORDS || (size_t)p->width < words))
        snprintf(p->cannot, sizeof p->cannot,
                 "output %.100s has %lld scores for each token, and the vocabulary %zu words", p->output_name,
                 (long long)p->width, words);
    return NIB_OK;
}
