/* SPDX-License-Identifier: Apache-2.0
 *
 * Which keys of a folder's small files nib obeys, and which it knows to change nothing. A key that is in neither list, or has a value at
 * which it would change something, is said through the log: nothing is dropped without a word.
 */
#ifndef HF_KEYS_H
#define HF_KEYS_H

#include "hf.h"

/* Warns of what `file` says and nib does not do. `kind` is the file's name without its folder, of config.json the model_type; nothing is
 * known of other kinds, and nothing is said. */
void hf_keys_check(nib_runtime *runtime, const char *file, const char *kind, yyjson_val *root);
/* UNSUPPORTED: processing_kwargs of `root`, a sentence_bert_config.json, has an argument for the tokenizer that changes ids, and is not
 * applied. */
nib_status hf_keys_check_arguments(const char *file, yyjson_val *root, nib_error *err);

#endif
