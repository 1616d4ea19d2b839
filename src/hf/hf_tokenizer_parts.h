/* SPDX-License-Identifier: Apache-2.0
 *
 * A tokenizer.json under way (hf_tokenizer_build.c): what it is made of, and the making of its parts.
 */
#ifndef HF_TOKENIZER_PARTS_H
#define HF_TOKENIZER_PARTS_H

#include "base/base_file.h"
#include "hf_classes.h"
#include "hf_vocab.h"

typedef struct hf_draft {
    nib_runtime *runtime;
    base_heap *heap;
    nib_error *err;
    const hf_class *class;
    yyjson_doc *config, *special,
        *older;              /* tokenizer_config.json, special_tokens_map.json, added_tokens.json; or NULL */
    yyjson_doc *row, *words; /* the class's arguments; vocab.json */
    base_file files[2];      /* the vocabulary, and merges.txt */
    hf_sentencepiece pieces;
    hf_vocab vocab;             /* of the model */
    hf_vocab added;             /* the added tokens, of which some are the model's, too */
    size_t numbered;            /* of the added ones, those that the small files list with an id */
    base_str charsmap, pattern; /* the former in base64; the user's own pieces as a regular expression */
    base_json_draft draft;
} hf_draft;

nib_status hf_draft_no_memory(const hf_draft *b);

/* An argument's value: what the small files say, else the vocabulary's file, else the row; a token is its text. NULL:
 * null, or nobody says anything. */
yyjson_mut_val *hf_draft_argument(hf_draft *b, const char *key);
/* Appends what a row's words stand for; the vocabulary's place for that is hf_tokenizer_build.c. */
nib_status hf_draft_add_words(hf_draft *b, hf_vocab *to, const char *words);
/* The id of an added token, else of a piece; -1: there is none. */
int64_t hf_draft_id(const hf_draft *b, const char *text, size_t length);
/* "added_tokens", in the order and with the ids that transformers and tokenizers give them. */
nib_status hf_draft_add_tokens(hf_draft *b);
/* A text of the row, read and with the arguments in it; NULL: the row has none. */
nib_status hf_draft_expand(hf_draft *b, const char *text, yyjson_mut_val **out);
/* A section of a list of parts: null, one part, or a Sequence whose list has that name. */
nib_status hf_draft_put_section(hf_draft *b, const char *name, const char *list_name, const char *text);
nib_status hf_draft_put_template(hf_draft *b); /* "post_processor" */

#endif
