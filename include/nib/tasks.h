/* SPDX-License-Identifier: Apache-2.0
 *
 * nib: what models are made for beside a vector or a label of a text. A part of nib.h, which includes it.
 *
 *     nib_rank      documents in the order in which they answer a query, by a cross encoder or reranker
 *
 *     const char *documents[] = { "a small blade", "a nib writes" };
 *     nib_ranked best[2]; size_t count;
 *     nib_rank(model, "what writes?", documents, 2, NULL, best, &count, &error);
 *     puts(documents[best[0].index]);
 *
 * Structs, errors and threads are as nib.h says. What a call gives for one text has the same bits whatever stands beside
 * it and however many threads there are. */
#ifndef NIB_TASKS_H
#define NIB_TASKS_H

#include "nib.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---------------------------------------------------------------- ranking */

typedef struct nib_rank_options {
    size_t size;
    size_t query_length;   /* bytes of the query; 0: it ends with NUL */
    const size_t *lengths; /* [n] bytes of each document; NULL: they end with NUL */
    int64_t max_tokens;    /* of query and document together, as of nib_classify_options: the longer one is cut first */
    int64_t *tokens;       /* [n], filled with the tokens used of each pair; may be NULL */
    int64_t *full_tokens;  /* [n], filled with the tokens each would have without truncation; may be NULL */
    size_t top;            /* only so many of the best; 0: all */
    nib_scores scores;     /* what is made of the relevance x below: see nib_rank */
    nib_profile *profile;  /* as of nib_embed_options, of the task classify */
    nib_stop_fn stop;      /* of this call, in documents; NULL: it goes on to its end */
    void *stop_user;
    const nib_ticket *ticket; /* as of nib_embed_options; its `answer` is given the model's raw scores */
} nib_rank_options;

NIB_API void nib_rank_defaults(nib_rank_options *options, size_t size);

/* A document and how well it answers. Frozen. */
typedef struct nib_ranked {
    size_t index; /* of `documents` */
    float score;
} nib_ranked;

/* Orders n documents by how well they answer a query, as CrossEncoder.rank of sentence-transformers does: the best first,
 * equal ones in the caller's order, and those whose score is no number behind all others. *count is n, or options->top
 * if that is less; `out` has room for n and gets so many. n = 0 is no error, and an empty query or document is one like
 * any other. The model gives a raw score for each label of the pair (query, document), and its relevance x is
 *
 *     one label     that score
 *     two labels    the second one less the first: the log odds of the second, as a label "yes" or "relevant" is
 *     more          UNSUPPORTED: nothing says which of them is meant
 *
 * NIB_SCORES_RAW gives x. NIB_SCORES_SIGMOID 1 / (1 + e^-x), which of two labels is their softmax: NIB_SCORES_SOFTMAX is
 * the same, and INVALID_ARGUMENT for one label. NIB_SCORES_MODEL is the activation that the files name, else the sigmoid.
 * Other errors as nib_classify; on failure *count is 0. */
NIB_API nib_status nib_rank(nib_model *model, const char *query, const char *const *documents, size_t n,
                            const nib_rank_options *options, nib_ranked *out, size_t *count, nib_error *error);

#ifdef __cplusplus
}
#endif

#endif
