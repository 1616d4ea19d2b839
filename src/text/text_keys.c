/* SPDX-License-Identifier: Apache-2.0
 *
 * In: tokenizer.json. Out: a warning for each key that is not applied. Parts of a kind that nib does not implement are refused where they
 * are read; this is about what stands in the others.
 */
#include "text_internal.h"
#include "base/base_keys.h"

#define OBEYED(path) BASE_KEY_OBEYED(path)
#define HARMLESS(path, values, why) BASE_KEY_HARMLESS(path, values, why)

static const base_key keys[] = {
    HARMLESS("version", "*", "who wrote the file"),
    HARMLESS("padding", "*", "padding is computed by nobody"),
    HARMLESS("decoder", "*", "of the way back from ids"),
    OBEYED("truncation"),
    OBEYED("post_processor"),
    OBEYED("model.type"),
    OBEYED("model.vocab"),
    OBEYED("model.unk_token"),
    OBEYED("model.continuing_subword_prefix"),
    OBEYED("model.max_input_chars_per_word"),
    HARMLESS("normalizer", "null", "there is none"),
    OBEYED("normalizer.type"),
    OBEYED("normalizer.normalizers"),
    OBEYED("normalizer.clean_text"),
    OBEYED("normalizer.handle_chinese_chars"),
    OBEYED("normalizer.strip_accents"),
    OBEYED("normalizer.lowercase"),
    HARMLESS("pre_tokenizer", "null", "there is none"),
    OBEYED("pre_tokenizer.type"),
    OBEYED("pre_tokenizer.pretokenizers"),
    HARMLESS("added_tokens", "[]|null", "there are none"),
    OBEYED("added_tokens.*.id"),
    OBEYED("added_tokens.*.content"),
    OBEYED("added_tokens.*.single_word"),
    OBEYED("added_tokens.*.lstrip"),
    OBEYED("added_tokens.*.rstrip"),
    OBEYED("added_tokens.*.normalized"),
    OBEYED("added_tokens.*.special"),
    BASE_KEYS_END,
};

void text_keys_check(const nib_runtime *runtime, yyjson_val *root) {
    base_keys_check(runtime, "tokenizer.json", (const base_key *const[]){keys, NULL}, root);
}
