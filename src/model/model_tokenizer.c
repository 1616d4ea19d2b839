/* SPDX-License-Identifier: Apache-2.0
 *
 * In: a tokenizer.json's bytes and the folder's settings. Out: the model's tokenizer, and a warning where the small files name tokens
 * otherwise than tokenizer.json does.
 */
#include "model.h"
#include <string.h>

static text_settings settings_of(const nib_model *m) {
    const hf_tokenizer *t = &m->settings.tokenizer;
    return (text_settings){.runtime = m->compiled ? NULL : m->runtime, /* it was said when the file was compiled */
                           .rebuilt = t->rebuilt,
                           .lowercase = t->lowercase,
                           .chinese = t->chinese,
                           .strip_accents = t->strip_accents,
                           .cls = t->cls,
                           .sep = t->sep,
                           .unknown = t->unknown,
                           .bare = t->bare,
                           .no_unknown = t->no_unknown,
                           .lower_first = m->settings.lower_case,
                           .truncation_left = t->truncation_left};
}

static int flags_of(const text_added *a) {
    return (a->lstrip ? HF_LSTRIP : 0) | (a->rstrip ? HF_RSTRIP : 0) | (a->single_word ? HF_SINGLE_WORD : 0) |
           (a->normalized ? HF_NORMALIZED : 0) | (a->special ? HF_SPECIAL : 0);
}

static bool is_same(const text_added *a, const hf_token *t, bool loose) {
    return a->length == strlen(t->content) && memcmp(a->content, t->content, a->length) == 0 && (t->id < 0 || t->id == a->id) &&
           (loose || t->flags < 0 || t->flags == flags_of(a));
}

/* transformers adds a token that the small files name and tokenizer.json does not, and of a class that it builds anew drops one that
 * added_tokens_decoder does not have. */
static void check_tokens(const nib_model *m) {
    const hf_tokenizer *named = &m->settings.tokenizer;
    text_added a;
    size_t wrong = 0;
    for (size_t i = 0; i < named->count && wrong < 4; i++) {
        bool found = false;
        for (size_t k = 0; !found && text_added_at(m->tokenizer, k, &a); k++) found = is_same(&a, &named->tokens[i], false);
        if (found || ++wrong > 3) continue;
        base_log(m->runtime, NIB_LOG_WARN,
                 "tokenizer_config.json: the token \"%.60s\" is not among the added tokens of tokenizer.json as it "
                 "is named there, and is not applied",
                 named->tokens[i].content);
    }
    for (size_t k = 0; named->rebuilt && named->has_decoder && wrong < 4 && text_added_at(m->tokenizer, k, &a); k++) {
        bool found = false;
        for (size_t i = 0; !found && i < named->count; i++) found = is_same(&a, &named->tokens[i], true);
        if (found || ++wrong > 3) continue;
        base_log(m->runtime, NIB_LOG_WARN,
                 "tokenizer.json: the added token \"%.60s\" is applied, though added_tokens_decoder of "
                 "tokenizer_config.json does not have it",
                 a.content);
    }
    if (wrong > 3) base_log(m->runtime, NIB_LOG_WARN, "tokenizer_config.json: more tokens are not applied");
}

/* A class whose constructor transformers follows, and nib does not. */
static void check_class(const nib_model *m) {
    const hf_tokenizer *t = &m->settings.tokenizer;
    if (t->other_class[0] && text_is_wordpiece(m->tokenizer))
        base_log(m->runtime, NIB_LOG_WARN,
                 "%s: transformers builds another kind of tokenizer by that class; tokenizer.json is taken as it is",
                 t->other_class);
    if (t->own_class[0] &&
        !text_normalizes_as(m->tokenizer, t->lowercase || m->settings.lower_case, t->chinese, t->strip_accents))
        base_log(m->runtime, NIB_LOG_WARN,
                 "tokenizer_config.json: %s makes its normalizer of do_lower_case, tokenize_chinese_chars and "
                 "strip_accents, and "
                 "tokenizer.json has another one, which is taken",
                 t->own_class);
}

/* The one setting that a class of byte-level tokenizers builds in and that changes ids. */
static void check_prefix(const nib_model *m) {
    const int named = m->settings.tokenizer.prefix_space, has = text_prefix_space(m->tokenizer);
    if (m->compiled || named < 0 || has < 0 || named == has) return;
    base_log(m->runtime, NIB_LOG_WARN,
             "tokenizer_config.json: its class takes add_prefix_space as %s, tokenizer.json has %s, and that is what is applied",
             named ? "true" : "false", has ? "true" : "false");
}

nib_status model_load_tokenizer(nib_model *m, const void *json, size_t length, const void *vocab, size_t size, nib_error *err) {
    nib_status status = NIB_OK;
    const text_settings settings = settings_of(m);
    base_heap *heap = &m->runtime->heap;
    NIB_TRY(vocab ? text_tokenizer_load_packed(heap, json, length, vocab, size, &settings, &m->tokenizer, err)
                  : text_tokenizer_load_with(heap, json, length, &settings, &m->tokenizer, err));
    check_tokens(m);
    if (!m->compiled) check_class(m);
    check_prefix(m);
fail:
    return status;
}
