/* SPDX-License-Identifier: Apache-2.0
 *
 * A tokenizer of files other than tokenizer.json, as the tokenizer.json that transformers would make of them.
 */
#ifndef HF_TOKENIZER_BUILD_H
#define HF_TOKENIZER_BUILD_H

#include "hf.h"

/* Of a folder: vocab.txt, vocab.json with merges.txt, or a SentencePiece model, by the class that tokenizer_config.json
 * or config.json names, with what tokenizer_config.json, special_tokens_map.json and added_tokens.json say. Appends to
 * `out`. NOT_FOUND: no such file; UNSUPPORTED: a class that hf_classes.c lacks; BAD_TOKENIZER, BAD_MODEL, LIMIT. */
nib_status hf_tokenizer_build(nib_runtime *runtime, const char *dir, const hf_settings *s, base_str *out,
                              nib_error *err);

/* Of one file's bytes alone: a SentencePiece model as SentencePiece encodes, or with `lines` a vocab.txt as
 * BertTokenizer does. */
nib_status hf_tokenizer_build_file(nib_runtime *runtime, const void *bytes, size_t size, bool lines, base_str *out,
                                   nib_error *err);

#endif
