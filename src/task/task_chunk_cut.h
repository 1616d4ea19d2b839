/* SPDX-License-Identifier: Apache-2.0
 *
 * Where the chunks of a text begin and end (nib/chunks.h): the same for a text that is there and for one that is still
 * coming. In: a text's tokens. Out: ranges of them.
 */
#ifndef TASK_CHUNK_CUT_H
#define TASK_CHUNK_CUT_H

#include "base/base_error.h"
#include "text/text.h"

/* What stands around a text's own tokens: special ones, and the prompt's behind those in front. */
typedef struct chunk_frame {
    size_t lead; /* tokens in front */
    size_t tail; /* behind */
} chunk_frame;
/* Of an encoding of a prompt of so many bytes and a text behind it. */
chunk_frame chunk_frame_of(const text_encoding *e, size_t prompt);

typedef struct chunk_rule {
    size_t most, overlap; /* a text's own tokens */
    bool sentences;
    int64_t overlap_sentences; /* > 0: in place of `overlap` */
} chunk_rule;
/* `longest`: of a chunk, special tokens included. INVALID_ARGUMENT as nib_embed_chunks. */
nib_status chunk_rule_make(const nib_chunk_options *o, int64_t longest, const chunk_frame *frame, chunk_rule *out,
                           nib_error *err);

/* Whether chunk_rule_next reads where sentences end. */
static inline bool chunk_rule_reads_ends(const chunk_rule *rule) { return rule->sentences || rule->overlap_sentences > 0; }

/* Whether a sentence ends at text[at], where a token does: what is read is the character before it, and the white space
 * behind it. */
bool chunk_sentence_ends(const char *text, size_t length, size_t at);

typedef struct chunk_range {
    size_t first, end; /* tokens */
} chunk_range;
/* The chunk that begins at token r->first of n, and in *next where the one behind it begins: n if there is none. `ends`
 * [n]: 1 where a sentence ends behind a token; NULL if the rule does not read them. false: the text goes on (`whole` is
 * not set), and more of it is needed to say where the chunk ends. Every *next is larger than r->first. */
bool chunk_rule_next(const chunk_rule *rule, const uint8_t *ends, size_t n, bool whole, chunk_range *r, size_t *next);

#endif
