/* SPDX-License-Identifier: Apache-2.0
 *
 * In: a section of tokenizer.json. Out: its stages. The table of kinds is here: a kind is a row and the file that its
 * function is in.
 */
#include "text_internal.h"
#include <string.h>

static const text_kind kinds[] = {
    {TEXT_NORMALIZER, "BertNormalizer", text_norm_bert_load},
    {TEXT_NORMALIZER, "NFC", text_norm_nfc_load},
    {TEXT_NORMALIZER, "NFD", text_norm_nfd_load},
    {TEXT_NORMALIZER, "NFKC", text_norm_nfkc_load},
    {TEXT_NORMALIZER, "NFKD", text_norm_nfkd_load},
    {TEXT_NORMALIZER, "Lowercase", text_norm_lowercase_load},
    {TEXT_NORMALIZER, "StripAccents", text_norm_strip_accents_load},
    {TEXT_NORMALIZER, "Strip", text_norm_strip_load},
    {TEXT_NORMALIZER, "Replace", text_norm_replace_load},
    {TEXT_NORMALIZER, "Prepend", text_norm_prepend_load},
    {TEXT_NORMALIZER, "Nmt", text_norm_nmt_load},
    {TEXT_NORMALIZER, "ByteLevel", text_norm_bytes_load},
    {TEXT_NORMALIZER, "Precompiled", text_norm_precompiled_load},
    {TEXT_PRE_TOKENIZER, "BertPreTokenizer", text_split_bert_load},
    {TEXT_PRE_TOKENIZER, "ByteLevel", text_split_bytes_load},
    {TEXT_PRE_TOKENIZER, "Split", text_split_pattern_load},
    {TEXT_PRE_TOKENIZER, "Whitespace", text_split_whitespace_load},
    {TEXT_PRE_TOKENIZER, "WhitespaceSplit", text_split_spaces_load},
    {TEXT_PRE_TOKENIZER, "Punctuation", text_split_punctuation_load},
    {TEXT_PRE_TOKENIZER, "Digits", text_split_digits_load},
    {TEXT_PRE_TOKENIZER, "Metaspace", text_split_metaspace_load},
    {TEXT_MODEL, "WordPiece", text_model_wordpiece_load},
    {TEXT_MODEL, "BPE", text_model_bpe_load},
    {TEXT_MODEL, "Unigram", text_model_unigram_load},
    {TEXT_MODEL, "WordLevel", text_model_words_load},
    {TEXT_POST_PROCESSOR, "TemplateProcessing", text_post_template_load},
    {TEXT_POST_PROCESSOR, "BertProcessing", text_post_bert_load},
    {TEXT_POST_PROCESSOR, "RobertaProcessing", text_post_roberta_load},
    {TEXT_POST_PROCESSOR, "ByteLevel", text_post_bytes_load},
    {TEXT_DECODER, "ByteLevel", text_decode_bytes_load},
    {TEXT_DECODER, "WordPiece", text_decode_wordpiece_load},
    {TEXT_DECODER, "BPEDecoder", text_decode_bpe_load},
    {TEXT_DECODER, "ByteFallback", text_decode_fallback_load},
    {TEXT_DECODER, "Fuse", text_decode_fuse_load},
    {TEXT_DECODER, "Replace", text_decode_replace_load},
    {TEXT_DECODER, "Strip", text_decode_strip_load},
    {TEXT_DECODER, "Metaspace", text_decode_metaspace_load},
};

/* By text_section: its key in the file, and that of a Sequence's list. */
static const struct {
    const char *name, *list;
} sections[TEXT_SECTIONS] = {{"normalizer", "normalizers"},
                             {"pre_tokenizer", "pretokenizers"},
                             {"model", NULL},
                             {"post_processor", "processors"},
                             {"decoder", "decoders"}};

#define MOST_STAGES 64

nib_status text_stage_add(text_tokenizer *t, text_section section, const char *name, text_stage **out, nib_error *err) {
    text_stages *list = &t->stages[section];
    if (list->count == MOST_STAGES)
        return base_error_set(err, NIB_LIMIT, "%s: more than %d parts", sections[section].name, MOST_STAGES);
    if (!base_grow(t->heap, (void **)&list->items, &list->cap, list->count + 1, sizeof *list->items))
        return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for the tokenizer");
    *out = &list->items[list->count++];
    **out = (text_stage){.name = name};
    return NIB_OK;
}

nib_status text_stage_data(text_tokenizer *t, text_stage *s, size_t size, void *out, nib_error *err) {
    s->data = base_arena_calloc(&t->arena, 1, size);
    *(void **)out = s->data;
    return s->data ? NIB_OK : base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for the tokenizer");
}

void text_stages_free(base_heap *heap, text_stages *list) {
    for (size_t i = 0; i < list->count; i++)
        if (list->items[i].free && list->items[i].data) list->items[i].free(heap, list->items[i].data);
    base_free(heap, list->items);
    *list = (text_stages){0};
}

static const text_kind *find_kind(text_section section, yyjson_val *type) {
    for (size_t i = 0; i < BASE_COUNT(kinds); i++)
        if (kinds[i].section == section && text_json_is(type, kinds[i].type)) return &kinds[i];
    return NULL;
}

static nib_status load_sequence(text_tokenizer *t, text_section section, yyjson_val *v, nib_error *err) {
    nib_status status = NIB_OK;
    const char *name = sections[section].name, *key = sections[section].list;
    yyjson_val *list = yyjson_obj_get(v, key), *one;
    size_t i, n;
    if (!yyjson_is_arr(list)) NIB_FAIL(err, NIB_BAD_TOKENIZER, "%s: Sequence without an array \"%s\"", name, key);
    yyjson_arr_foreach(list, i, n, one) {
        if (yyjson_is_null(one)) NIB_FAIL(err, NIB_BAD_TOKENIZER, "%s: null in a Sequence", name);
        NIB_TRY(text_stages_load(t, section, one, err)); /* as deep as the JSON is nested, which base_json limits */
    }
fail:
    return status;
}

nib_status text_stages_load(text_tokenizer *t, text_section section, yyjson_val *v, nib_error *err) {
    nib_status status = NIB_OK;
    const char *name = sections[section].name;
    text_stage *s;
    if (!v || yyjson_is_null(v)) return NIB_OK;
    if (!yyjson_is_obj(v)) NIB_FAIL(err, NIB_BAD_TOKENIZER, "%s: not an object", name);
    yyjson_val *type = yyjson_obj_get(v, "type");
    if (!yyjson_is_str(type)) NIB_FAIL(err, NIB_BAD_TOKENIZER, "%s: no \"type\"", name);
    if (sections[section].list && text_json_is(type, "Sequence")) return load_sequence(t, section, v, err);
    const text_kind *kind = find_kind(section, type);
    if (!kind) NIB_FAIL(err, NIB_UNSUPPORTED, "%s: %s", name, yyjson_get_str(type));
    NIB_TRY(text_stage_add(t, section, kind->type, &s, err));
    NIB_TRY(kind->load(t, v, s, err));
fail:
    return status;
}
