/* SPDX-License-Identifier: Apache-2.0
 *
 * nib: texts that are longer than a model, and texts that never end. A part of nib.h, which includes it.
 *
 * A chunk is a run of a text's tokens, as the tokenizer makes them of the whole text, with the special tokens and the
 * prompt of a text by itself around it; no chunk is longer than the model takes. Where one ends:
 *
 *     a chunk takes as many tokens as have room; of the last, what is left
 *     with `sentences`, it ends behind its last sentence, where that ends in the last third of the room. A sentence ends
 *     behind a token that ends with . ! or ? before white space, with U+3002, U+FF01 or U+FF1F, or before a line's end
 *     the next begins `overlap` tokens before that; with `sentences`, as many whole sentences before it as have so many
 *     tokens at most, or just so many tokens where no sentence begins among them
 *
 *     nib_chunk_options_defaults(&c, sizeof c);
 *     c.overflow = NIB_OVERFLOW_CHUNK;
 *     c.tokens = 128;
 *     embed.chunks = &c;                                  (in nib_embed_options)
 *     nib_embed(model, texts, n, &embed, out, &error);    one vector a text, the mean of its chunks'
 */
#ifndef NIB_CHUNKS_H
#define NIB_CHUNKS_H

#include "nib.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---------------------------------------------------------------- long texts */

/* What becomes of a text that has too many tokens. */
#define NIB_OVERFLOW_MAP(X)                                                                                            \
    X(TRUNCATE, 0, "truncate") /* it is cut; nib_embed_options.full_tokens says so */                                  \
    X(ERROR, 1, "error")       /* LIMIT: the message has its number, its tokens and how many the model takes */        \
    X(CHUNK, 2, "chunk")       /* all of it is embedded, in chunks */

typedef enum nib_overflow {
#define NIB_OVERFLOW_ENUM(name, number, text) NIB_OVERFLOW_##name = number,
    NIB_OVERFLOW_MAP(NIB_OVERFLOW_ENUM)
#undef NIB_OVERFLOW_ENUM
} nib_overflow;

/* What is made of the vectors v(0) to v(n - 1) of a text's chunks, as the model gives them. Sums are of floats, in the
 * order of the chunks; the result has length 1 if the model's vectors have. One chunk's vector stays as it is. */
#define NIB_AGGREGATE_MAP(X)                                                                                           \
    X(MEAN, 0, "mean")         /* the sum of v(i), divided by n */                                                     \
    X(MAX, 1, "max")           /* the largest of each column */                                                        \
    X(WEIGHTED, 2, "weighted") /* the sum of w(i) v(i), divided by that of w(i) = 1 + min(i, n - 1 - i) */             \
    X(EACH, 3, "each")         /* all of them (nib_embed_chunks) */                                                    \
    X(LATE, 4, "late") /* all, each the mean of its tokens' rows in one pass over the text (nib_embed_chunks) */

typedef enum nib_aggregate {
#define NIB_AGGREGATE_ENUM(name, number, text) NIB_AGGREGATE_##name = number,
    NIB_AGGREGATE_MAP(NIB_AGGREGATE_ENUM)
#undef NIB_AGGREGATE_ENUM
} nib_aggregate;

struct nib_chunk_options {
    size_t size;
    nib_overflow overflow;   /* TRUNCATE */
    nib_aggregate aggregate; /* MEAN */
    int64_t tokens;  /* of a chunk at most, special ones and a prompt's included; 0, or more than the model's: the model's */
    int64_t overlap; /* tokens that a chunk shares with the one before it; less than it has of its own, and with
                        `sentences` at most half of those */
    int sentences;   /* 1: chunks end where sentences do, if they can */
};

NIB_API void nib_chunk_options_defaults(nib_chunk_options *options, size_t size);

/* A vector of each chunk of n texts: text i has the rows offsets[i] to offsets[i + 1] of *out, which is [offsets[n],
 * width] as nib_embed_tokens has it; `offsets` is [n + 1]. Row k of *spans, i64 [offsets[n], 3], which nobody need ask
 * for (NULL), says where its chunk begins and ends in its text, in bytes, and how many tokens it has, special ones
 * included. The caller frees both tensors. options->chunks must be given, with CHUNK and EACH or LATE.
 *
 * EACH: a row has the bits that nib_embed_ids gives for the chunk's ids. LATE (late chunking: Günther et al., 2024,
 * arXiv:2409.04701): the model sees the whole text at once, and a chunk's vector is the mean of the rows of its tokens,
 * without special ones and a prompt's, of length 1 if the model's vectors have. A text longer than the model is seen in
 * windows that share a quarter of their tokens, and a token's row is that of the first window which has it (the
 * paper's long late chunking). A text without tokens of its own has one chunk, of special tokens; LATE gives it zeros.
 *
 * Errors as nib_embed. INVALID_ARGUMENT: the special tokens and the prompt leave no room in a chunk, or `overlap` no
 * progress. UNSUPPORTED: LATE of a model whose vectors are more than pooled rows (a Dense layer, a cut),
 * or that was opened with normalize 1, which is of tokens' rows, too (vectors->normalize is not). */
NIB_API nib_status nib_embed_chunks(nib_model *model, const char *const *texts, size_t n,
                                    const nib_embed_options *options, int64_t *offsets, nib_tensor **spans,
                                    nib_tensor **out, nib_error *error);

#ifdef __cplusplus
}
#endif

#endif
