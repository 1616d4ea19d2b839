/* SPDX-License-Identifier: Apache-2.0
 *
 * nib: vectors as they are stored, and found again. A part of nib.h, which includes it.
 *
 * A vector is cut to its first numbers, made of length 1 and written in fewer bits, in one pass over it: behind a model
 * (nib_embed_options.vectors), or of f32 rows that are there (nib_vectors_convert). Types mean what they mean for
 * sentence-transformers (quantize_embeddings), byte for byte. nib_search finds the nearest of stored vectors, exactly;
 * nib_maxsim scores documents of several rows.
 *
 *     nib_vector_options_defaults(&v, sizeof v);
 *     v.type = NIB_VECTOR_UBINARY;
 *     v.dimensions = 256;
 *     embed.vectors = &v;                                 (in nib_embed_options)
 *     uint8_t bits[2 * 32];                               2 x nib_vector_bytes(NIB_VECTOR_UBINARY, 256)
 *     nib_embed(model, texts, 2, &embed, bits, &error);
 *
 * Threads: these calls keep nothing, and any number of threads may make them at once. */
#ifndef NIB_VECTORS_H
#define NIB_VECTORS_H

#include "nib.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---------------------------------------------------------------- fewer numbers and fewer bits */

/* What a number of a vector is stored as. */
#define NIB_VECTOR_MAP(X)                                                                                              \
    X(F32, 0, "float32")                                                                                               \
    X(F16, 1, "float16") /* the nearest, half to even */                                                               \
    X(I8, 2, "int8")     /* as uint8, less 128 */                                                                      \
    X(U8, 3, "uint8")    /* which of 256 steps between its column's least and largest number; beyond them 0 or 255 */  \
    X(BINARY, 4, "binary")  /* as ubinary, each byte less 128 */                                                       \
    X(UBINARY, 5, "ubinary") /* a bit: whether it is above 0; eight to a byte, the first in the highest bit */

typedef enum nib_vector_type {
#define NIB_VECTOR_ENUM(name, number, text) NIB_VECTOR_##name = number,
    NIB_VECTOR_MAP(NIB_VECTOR_ENUM)
#undef NIB_VECTOR_ENUM
} nib_vector_type;

NIB_API const char *nib_vector_type_name(nib_vector_type type);
NIB_API nib_status nib_vector_type_from_name(const char *name, nib_vector_type *out); /* as nib_precision_from_name */

/* Bytes of a vector of `width` numbers; 0 if there is no such type, or width < 1. */
NIB_API size_t nib_vector_bytes(nib_vector_type type, int64_t width);
/* What one element of it is as a tensor's: F32, F16, I8, U8; of bits a byte of eight, I8 or U8. */
NIB_API nib_dtype nib_vector_dtype(nib_vector_type type);

struct nib_vector_options {
    size_t size;
    nib_vector_type type; /* F32 */
    int normalize;        /* 1: length 1 behind the cut; 0: as they come; -1 (the default): 1 where the cut takes numbers away. Behind a
                             model -1 does so only if its vectors have length 1 before the cut */
    int64_t dimensions;   /* only so many numbers, the first (Matryoshka; Kusupati et al., 2022); 0: all */
    const float *ranges;  /* [2, dimensions] the least and the largest number of each column, of int8 and uint8, which need it */
    int64_t ranges_width; /* numbers in a row of `ranges`, which must be those of a vector behind the cut */
};

NIB_API void nib_vector_options_defaults(nib_vector_options *options, size_t size);

/* Converts rows [n, width]: cut, made of length 1, and written as options->type to `out`, [n] of nib_vector_bytes each.
 * `out` is aligned for its type and does not overlap the rows. A step of int8 and uint8 is (largest - least) / 255, 1 if
 * that is 0. A NaN becomes 0 of uint8, -128 of int8, a bit of 0. A vector of zeros stays one. A row's bytes depend on
 * nothing but the row. INVALID_ARGUMENT: width < 1, more dimensions than that, ranges that are missing, of another
 * width, not finite, or the wrong way round. */
NIB_API nib_status nib_vectors_convert(const float *rows, size_t n, int64_t width, const nib_vector_options *options,
                                       void *out, nib_error *error);

/* The ranges [2, dimensions] of n rows, at least one, once they are cut and of length 1 as the options say: calibration.
 * INVALID_ARGUMENT, too: a number that is not finite; the message says where. */
NIB_API nib_status nib_vectors_ranges(const float *rows, size_t n, int64_t width, const nib_vector_options *options,
                                      float *ranges, nib_error *error);

/* Vectors of texts from those of their tokens, as nib_embed_tokens gives them: text i has the rows offsets[i] to
 * offsets[i + 1] (offsets [n + 1], rising from 0) of `tokens` [offsets[n], width]. Each is pooled, cut, made of length 1
 * and converted in one go, so that no vector of full width is ever stored. A text without tokens gives zeros. Errors as
 * nib_vectors_convert; INVALID_ARGUMENT: pooling MODEL or NONE. */
NIB_API nib_status nib_vectors_pool(const float *tokens, const int64_t *offsets, size_t n, int64_t width,
                                    nib_pooling pooling, const nib_vector_options *options, void *out,
                                    nib_error *error);

/* As nib_npy_create, for vectors of that type and width: an array of nib_vector_dtype, of bits in bytes of eight. */
NIB_API nib_status nib_npy_create_for(const char *path, nib_vector_type type, int64_t width, nib_npy **out,
                                      nib_error *error);

/* ---------------------------------------------------------------- search */

/* How near two vectors are; larger is nearer. */
#define NIB_SIMILARITY_MAP(X)                                                                                          \
    X(AUTO, 0, "auto") /* hamming of bits, dot where bits are scored anew by f32 queries, cosine of all others */      \
    X(COSINE, 1, "cosine")       /* with a vector of zeros: 0 */                                                       \
    X(DOT, 2, "dot")                                                                                                   \
    X(EUCLIDEAN, 3, "euclidean") /* the distance, with a minus */                                                      \
    X(MANHATTAN, 4, "manhattan") /* the sum of the differences' magnitudes, with a minus */                            \
    X(HAMMING, 5, "hamming")     /* how many bits differ, with a minus: of binary and ubinary */

typedef enum nib_similarity {
#define NIB_SIMILARITY_ENUM(name, number, text) NIB_SIMILARITY_##name = number,
    NIB_SIMILARITY_MAP(NIB_SIMILARITY_ENUM)
#undef NIB_SIMILARITY_ENUM
} nib_similarity;

NIB_API const char *nib_similarity_name(nib_similarity similarity);
NIB_API nib_status nib_similarity_from_name(const char *name, nib_similarity *out); /* as nib_precision_from_name */

/* What the model's vectors are compared by, where its folder says so (similarity_fn_name), else AUTO. */
NIB_API nib_similarity nib_model_similarity(const nib_model *model);

/* Vectors that are there, borrowed: [n] of nib_vector_bytes(type, width), aligned for their type. Frozen. */
typedef struct nib_vectors {
    nib_vector_type type;
    const void *data;
    size_t n;
    int64_t width;       /* numbers in a vector; of bits, bits */
    const float *ranges; /* [2, width] of int8 and uint8: a number b stands for b step + least (int8: b + 128). NULL: for itself */
} nib_vectors;

/* Frozen. */
typedef struct nib_hit {
    size_t index; /* of the document */
    double score;
} nib_hit;

typedef struct nib_search_options {
    size_t size;
    nib_runtime *runtime; /* whose threads do it; NULL: a default one */
    nib_similarity similarity;
    int64_t rescore;           /* > 0: k * rescore documents are found first, and these scored anew by f32 queries; 0: not so */
    const nib_vectors *better; /* what they are scored anew with: the same documents in more bits; NULL: those searched, where a
                                  bit counts as 0 or 1 */
    nib_stop_fn stop;          /* in pairs of a query and a document; NULL: it goes on to its end */
    void *stop_user;
} nib_search_options;

NIB_API void nib_search_defaults(nib_search_options *options, size_t size);

/* The k nearest documents of each query, by looking at all of them: hits [queries->n, k], the nearest first, of equals
 * the one with the smaller index; counts[i] (NULL: nobody asks) how many query i has: k, or fewer if there are not as
 * many documents; hits behind them are not written. A score that is NaN is no hit. Queries are f32, or of the documents'
 * type: then int8 and uint8 are whole numbers, whose sums are exact, and f32 queries of bits become bits themselves, but
 * for `rescore`. Hits depend on nothing but the vectors: not on threads.
 * INVALID_ARGUMENT: widths that differ, a pair of types or a similarity that do not go together, rescore without f32
 * queries, k = 0, data that is not aligned, ranges as nib_vectors_convert. OUT_OF_MEMORY, CANCELLED. */
NIB_API nib_status nib_search(const nib_vectors *queries, const nib_vectors *documents, size_t k,
                              const nib_search_options *options, nib_hit *hits, size_t *counts, nib_error *error);

/* Late interaction's score (MaxSim; Khattab and Zaharia, 2020) of a query and each of n documents, each of several
 * rows, as nib_colbert gives them: for every row of the query its largest similarity to a row of the document, summed.
 * Rows of document i are offsets[i] to offsets[i + 1] of `documents`; scores [n]. Both are of one type: F32, similar by
 * the dot product; I8, too, a whole number, without a look at ranges: scales are the caller's; BINARY and UBINARY, by
 * that of rows of 1 and -1, which is width - 2 times the bits that differ. A document without rows has -infinity, and
 * what meets a row that is no number NaN. A score has the same bits whatever other documents and threads there are.
 * `runtime`: whose threads do it; NULL: the calling one alone. INVALID_ARGUMENT: other types, types or widths that
 * differ, widths over 2^16 where rows are no floats, offsets that fall or leave the documents. OUT_OF_MEMORY. */
NIB_API nib_status nib_maxsim(nib_runtime *runtime, const nib_vectors *query, const nib_vectors *documents,
                              const int64_t *offsets, size_t n, float *scores, nib_error *error);

/* ---------------------------------------------------------------- recipes */

/* A model with the settings that go with a purpose: what `nib embed --profile` takes. Strings are static. */
typedef struct nib_recipe {
    const char *name;  /* "efficient" */
    const char *model; /* ORG/NAME */
    const char *about; /* one line */
    int64_t width;     /* of the model's vectors */
    int64_t dimensions; /* what they are cut to; 0: nothing */
    nib_precision precision;
    nib_vector_type type;
    const char *query_prompt, *document_prompt; /* put before texts of each kind; "": none */
} nib_recipe;

/* Recipe i. NOT_FOUND: there are no more. */
NIB_API nib_status nib_recipe_at(size_t i, nib_recipe *out, size_t size);
/* The recipe of that name; NOT_FOUND, and the message lists them. "auto": the first whose vectors have at least `dimensions`
 * numbers (0: any), cut to them, as fits this machine: q4 where memory is below 512 MiB, else q8 where the processor
 * multiplies bytes (VNNI, dotprod), else f32. `memory`: bytes that there are; 0: what the machine or the container has. */
NIB_API nib_status nib_recipe_find(const char *name, int64_t dimensions, uint64_t memory, nib_recipe *out, size_t size,
                                   nib_error *error);

#ifdef __cplusplus
}
#endif

#endif
