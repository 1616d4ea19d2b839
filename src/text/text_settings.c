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

nib_status text_settings_apply(text_tokenizer *t, const text_settings *s, nib_error *err) {
    nib_status status = NIB_OK;
    int32_t cls, sep, unknown;
    if (!s->rebuilt) return NIB_OK;
    NIB_TRY(find_token(t, s->cls, "[CLS]", &cls, err));
    NIB_TRY(find_token(t, s->sep, "[SEP]", &sep, err));
    NIB_TRY(find_token(t, s->unknown, "[UNK]", &unknown, err));
    if (unknown >= 0) t->model.unknown = unknown;
    t->model.continued = text_trie_node(&t->model.trie, "##", 2);
    t->model.max_chars = 100;
    if (cls < 0 || sep < 0) return NIB_OK;
    const text_piece pieces[] = {{cls, 0}, {-1, 0}, {sep, 0}, {-2, 1}, {sep, 1}};
    text_piece *copy = base_arena_alloc(&t->arena, sizeof pieces);
    if (!copy) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for templates");
    memcpy(copy, pieces, sizeof pieces);
    t->single = (text_template){copy, 3, 2};
    t->pair = (text_template){copy, 5, 3};
fail:
    return status;
}

bool text_normalizes_as(const text_tokenizer *t, bool lowercase, bool chinese, int strip_accents) {
    const text_normalizer *n = &t->normalizer;
    return n->clean_text && n->lowercase == lowercase && n->chinese == chinese &&
           n->strip_accents == (strip_accents < 0 ? lowercase : strip_accents != 0);
}
