/* SPDX-License-Identifier: Apache-2.0
 *
 * nib: texts that are longer than a model, and texts that never end. A part of nib.h, which includes it.
 *
 * A chunk is a run of a text's tokens, as the tokenizer makes them of the whole text, with the special tokens and the
 * prompt of a text by itself around it; no chunk is longer than the model takes. Where one ends:
 *
 *     a chunk takes as many tokens as have room; of the last, what is left
 *     with `sentences`, it ends behind its last sentence, where that ends in the last third of the room
 *     the next begins `overlap` tokens before that; with `sentences`, as many whole sentences before it as have so many
 *     tokens at most, or just so many tokens where no sentence begins among them
 *     with `overlap_sentences` = N in place of `overlap`, the next begins where the last N sentences of the chunk do, of
 *     which one that goes on behind the chunk is one; with as many of them as half the room takes, and with none where
 *     the last one alone is longer
 *
 * A sentence is one of Unicode's annex 29, simplified: it ends behind a token that ends with . ! or ? before white space
 * or the text's end, or with U+3002, U+FF01 or U+FF1F (its rule SB11), and before a line's end (SB4). There is no quote or
 * bracket between such a mark and the white space (SB9), and what follows is not looked at (SB6 to SB8): `Dr. No` is two.
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
    int64_t overlap_sentences; /* sentences that a chunk shares with the one before it, in place of `overlap`; 0: none */
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
 * progress, or `overlap_sentences` is given, too. UNSUPPORTED: LATE of a model whose vectors are more than pooled rows
 * (a Dense layer, a cut), or that was opened with normalize 1, which is of tokens' rows, too (vectors->normalize is
 * not). */
NIB_API nib_status nib_embed_chunks(nib_model *model, const char *const *texts, size_t n,
                                    const nib_embed_options *options, int64_t *offsets, nib_tensor **spans,
                                    nib_tensor **out, nib_error *error);

/* ---------------------------------------------------------------- streams */

/* A text that comes in pieces, of any length and cut anywhere, inside a character too. Each chunk is embedded as soon as
 * its end is certain, by the call that brought what it waited for; chunks and vectors are those of nib_embed_chunks
 * (EACH) on the whole text, to the bit.
 *
 *     nib_stream_open(model, &options, &stream, &error);
 *     while (read(..)) nib_stream_feed(stream, bytes, length, &taken, &error);      options.vector is told of each chunk
 *     nib_stream_end(stream, &error);
 *     nib_stream_free(stream);
 *
 * What a tokenizer makes of a text may hang on what follows. So a text is cut for it before white space alone, once the
 * word behind it is there as well, and only where the tokenizer is seen to make the same of both sides together and by
 * themselves. Text that cannot be cut so waits, and one of `max_bytes` bytes is LIMIT. A tokenizer whose tokens hang on
 * more than the next word is beyond that proof.
 *
 * A stream's memory is bounded: max_bytes of text, max_vectors that nobody has read, a chunk's tokens.
 * Threads: one thread feeds and ends, others may read (nib_stream_next) and ask for statistics. */
typedef struct nib_stream nib_stream;

/* Frozen. */
typedef struct nib_stream_chunk {
    uint64_t index;      /* from 0 */
    uint64_t begin, end; /* bytes of the text */
    int64_t tokens;      /* special ones and a prompt's included */
} nib_stream_chunk;

/* A chunk and its vector, as options->embed->vectors says, until it returns; on the thread that feeds or ends, and not to
 * call the stream. */
typedef void (*nib_stream_fn)(void *user, const nib_stream_chunk *chunk, const void *row);

typedef struct nib_stream_options {
    size_t size;
    const nib_embed_options *embed; /* prompt, max_tokens, vectors, chunks (CHUNK and EACH), a ticket's queue; no others */
    size_t max_bytes;               /* of text that waits for its tokens; 0: 65536 */
    size_t max_vectors;             /* that wait to be read; 0: 256 */
    nib_queue_full full; /* what feeding does while so many wait: REFUSE, or BLOCK until another thread reads one */
    nib_stream_fn vector; /* is told of each chunk; NULL: nib_stream_next gives them */
    void *user;
} nib_stream_options;

NIB_API void nib_stream_defaults(nib_stream_options *options, size_t size);

/* Borrows the ranges of embed->vectors, and keeps the model. UNSUPPORTED, INVALID_ARGUMENT as nib_embed_chunks. */
NIB_API nib_status nib_stream_open(nib_model *model, const nib_stream_options *options, nib_stream **out,
                                   nib_error *error);
/* *taken of the bytes are the stream's, on failure too: what is left is to be fed again. QUEUE_FULL: max_vectors wait to be
 * read. LIMIT: max_bytes of text have no place to cut. CANCELLED: the stream has ended. */
NIB_API nib_status nib_stream_feed(nib_stream *stream, const void *bytes, size_t length, size_t *taken,
                                   nib_error *error);
/* The text is whole: its last chunks are embedded, as far as there is room for them; nib_stream_next has the rest made. */
NIB_API nib_status nib_stream_end(nib_stream *stream, nib_error *error);
/* The next vector to `row`. TIMEOUT: none was there within so many seconds (negative: for ever). NOT_FOUND: all of an ended
 * stream's are read. */
NIB_API nib_status nib_stream_next(nib_stream *stream, double seconds, nib_stream_chunk *chunk, void *row,
                                   nib_error *error);
NIB_API void nib_stream_free(nib_stream *stream); /* NULL is accepted */

typedef struct nib_stream_statistics {
    uint64_t bytes, chunks, tokens; /* taken; embedded, and their tokens */
    uint64_t waiting_bytes, waiting_tokens, waiting_vectors; /* now */
    uint64_t most_bytes, most_vectors;                       /* that ever waited */
    uint64_t refused;                                        /* calls that answered QUEUE_FULL */
    double first_seconds, embed_seconds; /* from opening to the first vector, 0 before it; in the model, all together */
} nib_stream_statistics;

NIB_API void nib_stream_statistics_get(nib_stream *stream, nib_stream_statistics *out, size_t size);

#ifdef __cplusplus
}
#endif

#endif
