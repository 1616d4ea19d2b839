/* SPDX-License-Identifier: Apache-2.0
 *
 * What a tokenizer's class of transformers builds where there is no tokenizer.json: a row a class, whose texts are JSON
 * with three additions that hf_tokenizer_build.c works out:
 *
 *     "$name"            that argument: what tokenizer_config.json says, else the file of the vocabulary, else the row
 *     {"if": "a !b", "part": p}   an item p of a list, left out unless argument a holds and b does not
 *     templates          words: A and B are the texts, "sep" is argument sep_token or else sep, "sep?" only if
 *                        add_sep_token holds, "=x" is token x; ":1" behind one is its type
 */
#ifndef HF_CLASSES_H
#define HF_CLASSES_H

#include <stdbool.h>
#include <stddef.h>

typedef enum hf_vocab_kind {
    HF_VOCAB_LINES,         /* vocab.txt */
    HF_VOCAB_JSON,          /* vocab.json and merges.txt */
    HF_VOCAB_SENTENCEPIECE, /* a SentencePiece model */
} hf_vocab_kind;

enum { HF_UNKNOWN_NAMED = -1, HF_UNKNOWN_FILE = -2 };

typedef struct hf_class {
    const char *name; /* without "Tokenizer" and "Fast" */
    hf_vocab_kind vocab;
    bool merges; /* of a SentencePiece model: the pieces are merged (BPE); of no class: as the file says */
    const char
        *arguments;     /* object: the constructor's, with their defaults; a token that the class wraps is an object */
    const char *model;  /* object, or a list of which one item stays: the model without vocabulary and merges */
    int unknown[2];     /* Unigram: the unknown piece's id, or HF_UNKNOWN_NAMED: that of unk_token where its score is 0,
                           else the second, or HF_UNKNOWN_FILE: as the file says */
    const char *front;  /* words of templates: pieces in front of the file's, */
    size_t dropped;     /* in place of so many of them */
    const char *behind; /* and behind them */
    const char *extra;  /* words: special tokens besides those that have a name */
    const char *normalizer, *pre_tokenizer, *decoder; /* lists of parts */
    const char *single, *pair;                        /* templates; NULL: bos and eos where add_bos_token .. say so */
    const char *post;                                 /* instead: a post-processor; "#name" is the id of a token */
} hf_class;

/* The row of a class by its name, as transformers has it with or without "Tokenizer" and "Fast"; NULL: none. A name
 * that is another's (DistilBertTokenizer) finds that. */
const hf_class *hf_class_find(const char *name);
/* Of a model_type, where no class is named. */
const hf_class *hf_class_of_model(const char *model_type);
/* For a SentencePiece model of no class, or of one that takes the file as it is: what SentencePiece does. */
extern const hf_class hf_class_pieces;

/* What the word "languages" stands for: MBart's, in words. */
extern const char hf_mbart_languages[];

#endif
