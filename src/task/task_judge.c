/* SPDX-License-Identifier: Apache-2.0
 *
 * In: a query, a document and perhaps an instruction, and the text that the model's chat template makes of them
 * (hf_judge.c). Out: its ids.
 *
 * As sentence-transformers has it: the whole text is tokenized, with nothing around it. Of one that is too long the end
 * is cut, and the template's own end, of which a decoder's answer follows, takes the place of the last tokens that are
 * left: what the ends of two texts with other messages have in common.
 */
#include "task.h"
#include <string.h>

nib_status task_check_judged(const nib_model *m, const task_texts *given, nib_error *err) {
    const hf_judge *j = &m->settings.judge;
    if (j->wrong[0] && given->pairs) return base_error_set(err, NIB_UNSUPPORTED, "%s: %s", m->path, j->wrong);
    if (!j->from[0]) return NIB_OK;
    if (!given->pairs)
        return base_error_set(err, NIB_INVALID_ARGUMENT, "this model takes a query and a document, as %s says",
                              j->from);
    if (given->prompt && *given->prompt && !j->text[1][0])
        return base_error_set(err, NIB_INVALID_ARGUMENT, "%s has no place for an instruction", j->from);
    return NIB_OK;
}

static nib_status no_memory(nib_error *err) {
    return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for a pair of texts");
}

/* The text of a part of a template, in store->prompted; *at goes on to what ends the part. */
static nib_status compose(nib_model *m, model_ids *store, const task_text *t, const char **at, size_t *bytes,
                          nib_error *err) {
    static const char marks[] = {HF_PLACE_INSTRUCTION, HF_PLACE_QUERY, HF_PLACE_DOCUMENT, HF_PLACE_CUT, 0};
    const struct {
        const char *text;
        size_t length;
    } places[] = {[HF_PLACE_INSTRUCTION] = {t->prompt, t->prompt_length},
                  [HF_PLACE_QUERY] = {t->text, t->length},
                  [HF_PLACE_DOCUMENT] = {t->pair, t->pair_length}};
    size_t n = 0;
    for (; **at && **at != HF_PLACE_CUT;) {
        const size_t plain = strcspn(*at, marks), place = (unsigned char)**at;
        const char *from = plain ? *at : places[place].text;
        const size_t length = plain ? plain : places[place].length;
        *at += plain ? plain : 1;
        if (length > SIZE_MAX / 2 - n ||
            !base_grow(&m->runtime->heap, (void **)&store->prompted, &store->prompted_cap, n + length, 1))
            return no_memory(err);
        if (length) memcpy(store->prompted + n, from, length);
        n += length;
    }
    *bytes = n;
    return NIB_OK;
}

/* Ids of the pair from place `first` of the store on, whose count stays; *n of them. */
static nib_status encode(nib_model *m, model_ids *store, const task_text *t, size_t first, size_t *n, nib_error *err) {
    nib_status status = NIB_OK;
    text_encoding *enc = &store->encoding;
    const text_truncation whole = {.max_tokens = 0};
    const char *at = m->settings.judge.text[t->prompt_length > 0];
    size_t bytes = 0;
    for (*n = 0; *at; at += *at == HF_PLACE_CUT) {
        NIB_TRY(compose(m, store, t, &at, &bytes, err));
        if (bytes == 0) continue;
        NIB_TRY(text_encode_cut(m->tokenizer, store->prompted, bytes, NULL, 0, &whole, false, enc, err));
        const size_t all = first + *n + enc->count;
        if (!base_grow(&m->runtime->heap, (void **)&store->ids, &store->ids_cap, all, sizeof(int32_t)) ||
            !base_grow(&m->runtime->heap, (void **)&store->types, &store->types_cap, all, sizeof(int32_t)))
            NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for token ids");
        if (enc->count) memcpy(store->ids + first + *n, enc->ids, enc->count * sizeof(int32_t));
        if (enc->count) memcpy(store->types + first + *n, enc->type_ids, enc->count * sizeof(int32_t));
        *n += enc->count;
    }
fail:
    return status;
}

/* The template's end takes the place of the last of `most` ids; behind all `n` there is room for what it is found by.
 */
static nib_status restore_end(nib_model *m, model_ids *store, const task_text *t, size_t n, size_t most,
                              nib_error *err) {
    nib_status status = NIB_OK;
    task_text one = *t, other = *t;
    size_t a, b, same = 0;
    const size_t first = store->count + n;
    one.text = one.pair = "0", one.length = one.pair_length = 1;
    other.text = other.pair = "1 2 3 4", other.length = other.pair_length = 7;
    NIB_TRY(encode(m, store, &one, first, &a, err));
    NIB_TRY(encode(m, store, &other, first + a, &b, err));
    const int32_t *ids = store->ids;
    const size_t least = a < b ? a : b;
    while (same < least && ids[first + a - 1 - same] == ids[first + a + b - 1 - same]) same++;
    if (same == least) same = 0; /* nothing of the messages is in it */
    if (same > most) same = most;
    memcpy(store->ids + store->count + most - same, ids + first + a - same, same * sizeof(int32_t));
    memcpy(store->types + store->count + most - same, store->types + first + a - same, same * sizeof(int32_t));
fail:
    return status;
}

nib_status task_encode_judged(nib_model *m, model_ids *store, const task_text *t, int64_t *length, int64_t *full,
                              nib_error *err) {
    nib_status status = NIB_OK;
    size_t n = 0, most = t->max_tokens > 0 ? (size_t)t->max_tokens : SIZE_MAX;
    NIB_TRY(encode(m, store, t, store->count, &n, err));
    *full = (int64_t)n;
    if (n > most && text_own_truncation(m->tokenizer).left) {
        memmove(store->ids + store->count, store->ids + store->count + n - most, most * sizeof(int32_t));
        memmove(store->types + store->count, store->types + store->count + n - most, most * sizeof(int32_t));
    } else if (n > most) {
        NIB_TRY(restore_end(m, store, t, n, most, err));
    }
    *length = (int64_t)(n < most ? n : most);
    store->count += (size_t)*length;
fail:
    return status;
}
