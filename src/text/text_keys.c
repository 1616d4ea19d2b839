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
    OBEYED("truncation"),
    OBEYED("post_processor"),
    OBEYED("decoder"), /* a kind that nib lacks is said by text_decode */
    OBEYED("model.type"),
    OBEYED("model.vocab"),
    OBEYED("model.merges"),
    OBEYED("model.unk_id"),
    OBEYED("model.unk_token"),
    OBEYED("model.continuing_subword_prefix"),
    OBEYED("model.end_of_word_suffix"),
    OBEYED("model.max_input_chars_per_word"),
    OBEYED("model.fuse_unk"),
    OBEYED("model.byte_fallback"),
    OBEYED("model.ignore_merges"),
    HARMLESS("model.dropout", "null|0.0|0", "there is none"),
    HARMLESS("normalizer", "null", "there is none"),
    OBEYED("normalizer.type"),
    OBEYED("normalizer.normalizers"),
    OBEYED("normalizer.clean_text"),
    OBEYED("normalizer.handle_chinese_chars"),
    OBEYED("normalizer.strip_accents"),
    OBEYED("normalizer.lowercase"),
    OBEYED("normalizer.strip_left"),
    OBEYED("normalizer.strip_right"),
    OBEYED("normalizer.pattern"),
    OBEYED("normalizer.content"),
    OBEYED("normalizer.prepend"),
    OBEYED("normalizer.precompiled_charsmap"),
    HARMLESS("pre_tokenizer", "null", "there is none"),
    OBEYED("pre_tokenizer.type"),
    OBEYED("pre_tokenizer.pretokenizers"),
    OBEYED("pre_tokenizer.add_prefix_space"),
    OBEYED("pre_tokenizer.use_regex"),
    HARMLESS("pre_tokenizer.trim_offsets", "*", "the post-processor's is what trims"),
    OBEYED("pre_tokenizer.pattern"),
    OBEYED("pre_tokenizer.behavior"),
    OBEYED("pre_tokenizer.invert"),
    OBEYED("pre_tokenizer.individual_digits"),
    OBEYED("pre_tokenizer.replacement"),
    OBEYED("pre_tokenizer.prepend_scheme"),
    OBEYED("pre_tokenizer.split"),
    HARMLESS("pre_tokenizer.str_rep", "*", "of old versions; it is the replacement again"),
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
