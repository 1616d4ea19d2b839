/* SPDX-License-Identifier: Apache-2.0
 *
 * What models are measured on (nib eval): pairs of texts with how alike people find them, or queries, documents and
 * which answers which.
 */
#ifndef CLI_EVAL_SET_H
#define CLI_EVAL_SET_H

#include <stddef.h>

typedef struct eval_texts {
    char **texts, **ids; /* [n]; ids of retrieval, else NULL */
    size_t n, room;
} eval_texts;

typedef struct eval_judgement {
    size_t query, document;
    double relevance; /* above 0: it answers */
} eval_judgement;

typedef struct eval_set {
    const char *name;
    eval_texts a, b;            /* pairs: text i of each; retrieval: queries, and documents */
    double *scores;             /* [a.n] of pairs; NULL: retrieval */
    eval_judgement *judgements; /* [n_judgements], by query */
    size_t n_judgements, scores_room, judgements_room;
} eval_set;

/* Each returns 0, or an exit code after a message. Freed by eval_set_free either way. */

/* Lines of a file: text, tab, text, tab, number. */
int eval_set_read_pairs(eval_set *s, const char *path);
/* A folder as BEIR has it: corpus.jsonl, queries.jsonl ({"_id", "title", "text"}; or .tsv: id, tab, text) and qrels.tsv
 * or qrels/test.tsv (query's id, document's id, relevance; a first line that is no such is a heading). */
int eval_set_read_retrieval(eval_set *s, const char *dir);
/* 162 pairs that are made here: sentences of four parts, each of which is the same, said in other words, or another.
 * The score is 5 for four parts of which all are the same, of others less: 1 for a part that is, 0.8 in other words. */
int eval_set_make(eval_set *s);
void eval_set_free(eval_set *s);

/* ---- measures, as scipy and trec_eval have them */

/* Pearson's correlation; NaN where one of them does not vary. */
double eval_pearson(const double *x, const double *y, size_t n);
/* Pearson's of the ranks, of equal numbers the mean of theirs. NaN, too: no memory. */
double eval_spearman(const double *x, const double *y, size_t n);
/* Of one query: gains of the documents found, in order, and of all that are judged. Normalized discounted cumulative
 * gain of the first k; what is judged is sorted. */
double eval_ndcg(const double *found, size_t n, double *judged, size_t n_judged, size_t k);

#endif
