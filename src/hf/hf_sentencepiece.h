/* SPDX-License-Identifier: Apache-2.0
 *
 * A SentencePiece model's file (sentencepiece_model.proto) -> its pieces and settings. Nothing is copied: what is read
 * points into the bytes.
 */
#ifndef HF_SENTENCEPIECE_H
#define HF_SENTENCEPIECE_H

#include "base/base_error.h"
#include "base/base_mem.h"
#include <stdbool.h>
#include <stdint.h>

typedef struct hf_bytes {
    const char *data;
    size_t length;
} hf_bytes;

bool hf_is_utf8(const char *s, size_t n);

/* Numbers as the file has them. */
typedef enum hf_piece_type {
    HF_PIECE_NORMAL = 1,
    HF_PIECE_UNKNOWN,
    HF_PIECE_CONTROL,
    HF_PIECE_USER,
    HF_PIECE_UNUSED,
    HF_PIECE_BYTE
} hf_piece_type;

typedef struct hf_piece {
    hf_bytes text; /* UTF-8 */
    float score;
    int32_t id;
    hf_piece_type type;
} hf_piece;

typedef struct hf_sentencepiece {
    hf_piece *pieces; /* [count], of the heap; their ids are their places */
    size_t count, cap;
    bool merges; /* BPE, else Unigram */
    bool byte_fallback, add_dummy_prefix, remove_extra_whitespaces, escape_whitespaces;
    int64_t unknown, bos, eos;                    /* ids; below 0: none */
    hf_bytes unknown_piece, bos_piece, eos_piece; /* their names */
    hf_bytes charsmap;                            /* of the Precompiled normalizer; empty: none */
} hf_sentencepiece;

/* BAD_TOKENIZER with the byte offset; UNSUPPORTED: a model of words or characters; LIMIT: more than 2^21 pieces, or one
 * of more than 4096 bytes. What was half read is freed by hf_sentencepiece_free, too. */
nib_status hf_sentencepiece_read(base_heap *heap, const uint8_t *bytes, size_t size, hf_sentencepiece *out,
                                 nib_error *err);
void hf_sentencepiece_free(base_heap *heap, hf_sentencepiece *m);

#endif
