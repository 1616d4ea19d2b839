/* SPDX-License-Identifier: Apache-2.0
 *
 * In: what the files beside tokenizer.json say, and a tokenizer that was read from it. Out: the tokenizer that transformers makes of both.
 */
#include "text_internal.h"
#include <string.h>

void text_settings_init(text_settings *s) {
    *s = (text_settings){.strip_accents = -1, .cls = "", .sep = "", .unknown = "", .truncation_left = -1};
}

/* The id of a token by name, else by its usual name; -1: the vocabulary has not even that. */
static nib_status find_token(const text_tokenizer *t, const char *name, const char *usual, int32_t *out, nib_error *err) {
    *out = text_token_id(t, *name ? name : usual, strlen(*name ? name : usual));
    if (*out < 0 && *name) return base_error_set(err, NIB_BAD_TOKENIZER, "tokenizer_config.json: \"%s\" is not in the vocabulary", name);
    return NIB_OK;
}

static void set_prefix(text_tokenizer *t, bool prefix) {
    text_stages *list = &t->stages[TEXT_PRE_TOKENIZER];
    for (size_t i = 0; i < list->count; i++)
        if (text_split_is_bytes(&list->items[i])) text_split_set_prefix(&list->items[i], prefix);
}

nib_status text_settings_apply(text_tokenizer *t, const text_settings *s, nib_error *err) {
    nib_status status = NIB_OK;
    int32_t cls, sep, unknown;
    if (s->prefix_space) set_prefix(t, s->prefix_space == 2);
    if (!s->rebuilt) return NIB_OK;
    if (!text_is_wordpiece(t))
        NIB_FAIL(err, NIB_UNSUPPORTED, "model: %s in a tokenizer that is built anew with WordPiece", t->stages[TEXT_MODEL].items[0].name);
    NIB_TRY(find_token(t, s->cls, "[CLS]", &cls, err));
    NIB_TRY(find_token(t, s->sep, "[SEP]", &sep, err));
    NIB_TRY(find_token(t, s->unknown, "[UNK]", &unknown, err));
    text_wordpiece *m = t->stages[TEXT_MODEL].items[0].data;
    if (unknown >= 0) m->unknown = unknown;
    m->continued = text_trie_node(&t->trie, "##", 2);
    m->max_chars = 100;
    if (cls >= 0 && sep >= 0) NIB_TRY(text_template_bert(t, cls, sep, err));
fail:
    return status;
}

bool text_is_wordpiece(const text_tokenizer *t) { return strcmp(t->stages[TEXT_MODEL].items[0].name, "WordPiece") == 0; }

bool text_normalizes_as(const text_tokenizer *t, bool lowercase, bool chinese, int strip_accents) {
    const text_stages *list = &t->stages[TEXT_NORMALIZER];
    if (list->count != 1 || strcmp(list->items[0].name, "BertNormalizer") != 0) return false;
    const text_normalizer *n = list->items[0].data;
    return n->clean_text && n->lowercase == lowercase && n->chinese == chinese &&
           n->strip_accents == (strip_accents < 0 ? lowercase : strip_accents != 0);
}
