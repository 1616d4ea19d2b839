/* SPDX-License-Identifier: Apache-2.0
 *
 * nib: sparse vectors, a weight for each word of the vocabulary, most of them 0. A part of nib.h, which includes it.
 *
 *     nib_embed_sparse     texts -> sparse vectors: SPLADE, inference-free queries, BGE-M3's lexical weights
 *     nib_embed_hybrid     BGE-M3: dense vectors, these, and rows of tokens in one pass
 *     nib_sparse_dot       how near two are
 *     nib_sparse_search    the nearest of many, exactly
 *     nib_sparse_write     an .npz file, as scipy.sparse.save_npz writes it
 *
 *     nib_sparse *words;
 *     nib_embed_sparse(model, texts, 2, NULL, &words, &error);
 *     for (int64_t k = words->offsets[1]; k < words->offsets[2]; k++)
 *         printf("%d %g\n", words->indices[k], words->values[k]);
 *     nib_sparse_free(words);
 *
 * Structs, errors and threads are as nib.h says. What a call gives for one text has the same bits whatever stands
 * beside it and however many threads there are. */
#ifndef NIB_SPARSE_H
#define NIB_SPARSE_H

#include "nib.h"
#include "vectors.h"

#ifdef __cplusplus
extern "C" {
#endif

/* n vectors of `width` numbers, those that are not 0 alone (CSR). Vector i has the numbers values[k] at the columns
 * indices[k], which rise, for k from offsets[i] to offsets[i + 1]; offsets begins with 0. A struct that the caller
 * fills is borrowed by the calls that take one; one that a call gives is freed by nib_sparse_free. Frozen. */
typedef struct nib_sparse {
    size_t n;
    int64_t width;    /* columns; of the vocabulary: the id of a token is its column */
    int64_t *offsets; /* [n + 1] */
    int32_t *indices; /* [offsets[n]] */
    float *values;    /* [offsets[n]] */
} nib_sparse;

/* Of one that a call gave, before or after the model; NULL is accepted. */
NIB_API void nib_sparse_free(nib_sparse *sparse);

typedef struct nib_sparse_options {
    size_t size;
    int64_t max_tokens;      /* this call's limit, as of nib_embed_options */
    const size_t *lengths;   /* [n] bytes of each text; NULL: the texts end with NUL */
    int64_t *tokens;         /* [n], filled with the tokens used of each text, special ones included; may be NULL */
    int64_t *full_tokens;    /* [n], filled with the tokens each would have without truncation; may be NULL */
    const char *prompt_name; /* as of nib_embed_options: "query", "document" */
    const char *prompt;
    int64_t top;             /* only so many numbers, the largest by magnitude; 0: as the folder says
                                (max_active_dims), else all; -1: all */
    nib_profile *profile;    /* as of nib_embed_options, of the task sparse */
    nib_stop_fn stop;        /* of this call, in texts; NULL: it goes on to its end */
    void *stop_user;
    const nib_ticket *ticket; /* as of nib_embed_options, without `answer` */
} nib_sparse_options;

NIB_API void nib_sparse_defaults(nib_sparse_options *options, size_t size);

/* Sparse vectors of n texts, as SparseEncoder of sentence-transformers gives them. A model does it in one of three
 * ways:
 *
 *     SPLADE          a folder with SpladePooling, or scores of all words for each token (ForMaskedLM, an ONNX file's
 *                     `logits`): the largest over the text's tokens, special ones among them, of log(1 + relu(score));
 *                     where the folder says so their sum, or the logarithm of that once more
 *     a table         SparseStaticEmbedding: each word that is in the text has its weight; no model is run
 *     BGE-M3          the largest weight of a token's places, relu of a projection of its rows; cls, eos, pad and unk
 *                     have none
 *
 * Which of a Router's routes, for queries or documents, is chosen when the model is opened. A weight that is no number
 * stays one. A text without tokens has no weights. The caller frees *out. UNSUPPORTED: the model has no such scores.
 * Other errors as nib_embed. */
NIB_API nib_status nib_embed_sparse(nib_model *model, const char *const *texts, size_t n,
                                    const nib_sparse_options *options, nib_sparse **out, nib_error *error);

/* Dense, sparse and token vectors of n texts in one pass, as BGE-M3's encode of FlagEmbedding gives them: the folder
 * has sparse_linear.pt and colbert_linear.pt beside its model. What is NULL is not wanted:
 *
 *     dense          [n, nib_model_dim] of the task embed, as nib_embed gives them
 *     *sparse        as nib_embed_sparse; the caller frees it
 *     offsets, rows  a row of length 1 of each token but the first: text i has rows offsets[i] to offsets[i + 1] of
 *                    *rows, f32 [offsets[n], width], which the caller frees with nib_tensor_free; `offsets` is [n + 1]
 *
 * A model that is wanted for one of them alone runs as it does for that task; for two or three it is run once, with the
 * same numbers (in q8 and q4 within their rounding). A ticket is not taken. UNSUPPORTED: the folder lacks a
 * head that is wanted. Other errors as nib_embed_sparse; on failure *sparse and *rows are NULL. */
NIB_API nib_status nib_embed_hybrid(nib_model *model, const char *const *texts, size_t n,
                                    const nib_sparse_options *options, float *dense, nib_sparse **sparse,
                                    int64_t *offsets, nib_tensor **rows, nib_error *error);

/* The dot product of vector i of a and vector j of b, added in double, in the order of columns. NaN: there is no such
 * vector. */
NIB_API double nib_sparse_dot(const nib_sparse *a, size_t i, const nib_sparse *b, size_t j);

/* The k nearest documents of each query by the dot product, by looking at all of them: hits and counts as nib_search.
 * Of the options runtime, stop and stop_user are read. INVALID_ARGUMENT: widths that differ, a struct that is not as
 * nib_sparse says, k = 0, another similarity than AUTO or DOT. */
NIB_API nib_status nib_sparse_search(const nib_sparse *queries, const nib_sparse *documents, size_t k,
                                     const nib_search_options *options, nib_hit *hits, size_t *counts,
                                     nib_error *error);

/* Writes an .npz file with indices, indptr, format "csr", shape, data: what scipy.sparse.load_npz reads. It appears
 * whole or not at all. LIMIT: it would have 4 GiB or more. */
NIB_API nib_status nib_sparse_write(const char *path, const nib_sparse *sparse, nib_error *error);
/* Reads such a file, of f32 or f64 numbers, that scipy wrote with compressed=False. The caller frees *out.
 * UNSUPPORTED: another format than csr, compressed members. BAD_MODEL: it is no such file. */
NIB_API nib_status nib_sparse_read(const char *path, nib_sparse **out, nib_error *error);

#ifdef __cplusplus
}
#endif

#endif
