/* SPDX-License-Identifier: Apache-2.0
 *
 * The vocabulary of a tokenizer that is built: its pieces, found by their text; read from vocab.txt, vocab.json or a
 * SentencePiece model; and the merges that follow from it or that merges.txt lists. Texts are borrowed from the files.
 */
#ifndef HF_VOCAB_H
#define HF_VOCAB_H

#include "base/base_json.h"
#include "hf_sentencepiece.h"

typedef struct hf_vocab {
    base_heap *heap;
    hf_piece *items; /* [count]; of two with the same text the later one counts */
    size_t count, cap;
    uint32_t *slots; /* [n_slots] places in items, + 1, by hash; 0: free */
    size_t n_slots, distinct;
    int64_t largest; /* id; -1: none */
} hf_vocab;

/* Appends a piece. LIMIT: more than 2^22 pieces; OUT_OF_MEMORY. */
nib_status hf_vocab_add(hf_vocab *v, hf_piece piece, nib_error *err);
/* The piece of that text, the last one of it; NULL: there is none. */
const hf_piece *hf_vocab_find(const hf_vocab *v, const char *text, size_t length);
void hf_vocab_free(hf_vocab *v);

/* vocab.txt: a token a line, with white space at its end cut off, as WordPiece::read_file does. BAD_TOKENIZER: not
 * UTF-8. */
nib_status hf_vocab_read_lines(hf_vocab *v, const char *bytes, size_t size, nib_error *err);
/* vocab.json: {token: id}. */
nib_status hf_vocab_read_json(hf_vocab *v, yyjson_val *root, nib_error *err);
/* merges.txt: two tokens a line with a space between them; lines that begin with "#version" are none. Into the array
 * `merges`, whose texts are borrowed. */
nib_status hf_vocab_read_merges(base_json_draft *d, yyjson_mut_val *merges, const char *bytes, size_t size,
                                nib_error *err);

/* Merges that make up the pieces, into the array `merges`. `by_score` false: as transformers' generate_merges orders
 * them, by the id of what they make; true: of normal pieces alone, by score, best first, then by id, as SentencePiece
 * merges. LIMIT: a piece of more than 256 bytes, or more than 2^24 merges. */
nib_status hf_vocab_make_merges(const hf_vocab *v, base_json_draft *d, yyjson_mut_val *merges, bool by_score,
                                nib_error *err);

#endif
