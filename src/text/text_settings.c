/* SPDX-License-Identifier: Apache-2.0
 *
 * In: what the files beside tokenizer.json say, and a tokenizer that was read from it. Out: the tokenizer that transformers makes of both.
 */
#include "text_internal.h"
#include "base/base_sort.h"
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

static int by_length(const void *a, const void *b) {
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* The median length in characters, as numpy's median and int() make it: of an even number the mean of both in the middle, cut. */
static nib_status find_median(text_tokenizer *t, nib_error *err) {
    size_t count = 0, length;
    uint32_t *lengths = base_alloc(t->heap, (t->ids + 1) * sizeof *lengths);
    if (!lengths) return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for the tokenizer");
    for (size_t i = 0; i < t->ids; i++) {
        const char *token = text_token(t, (int32_t)i, &length);
        if (token) lengths[count++] = (uint32_t)text_characters(token, length, SIZE_MAX, NULL);
    }
    base_sort(lengths, count, sizeof *lengths, by_length);
    t->median = count == 0 ? 0 : ((size_t)lengths[(count - 1) / 2] + lengths[count / 2]) / 2;
    base_free(t->heap, lengths);
    return NIB_OK;
}

nib_status text_settings_reduce(text_tokenizer *t, const text_settings *s, yyjson_val *model, nib_error *err) {
    yyjson_val *id = yyjson_obj_get(model, "unk_id"), *name = yyjson_obj_get(model, "unk_token");
    t->bare = s->bare;
    t->unknown = -1;
    if (yyjson_is_str(name)) t->unknown = text_token_id(t, yyjson_get_str(name), yyjson_get_len(name));
    else if (yyjson_is_uint(id) && yyjson_get_uint(id) < t->ids) t->unknown = (int32_t)yyjson_get_uint(id);
    t->marks_subwords = s->rebuilt || yyjson_get_len(yyjson_obj_get(model, "continuing_subword_prefix")) > 0;
    t->left_out = s->no_unknown ? t->unknown : -1;
    return s->no_unknown ? find_median(t, err) : NIB_OK;
}

int32_t text_unknown_id(const text_tokenizer *t) { return t->unknown; }
bool text_marks_subwords(const text_tokenizer *t) { return t->marks_subwords; }
bool text_is_wordpiece(const text_tokenizer *t) { return strcmp(t->stages[TEXT_MODEL].items[0].name, "WordPiece") == 0; }

bool text_normalizes_as(const text_tokenizer *t, bool lowercase, bool chinese, int strip_accents) {
    const text_stages *list = &t->stages[TEXT_NORMALIZER];
    if (list->count != 1 || strcmp(list->items[0].name, "BertNormalizer") != 0) return false;
    const text_normalizer *n = list->items[0].data;
    return n->clean_text && n->lowercase == lowercase && n->chinese == chinese &&
           n->strip_accents == (strip_accents < 0 ? lowercase : strip_accents != 0);
}
