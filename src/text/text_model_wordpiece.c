/* SPDX-License-Identifier: Apache-2.0
 *
 * In: the normalised bytes of a word. Out: the longest entries of the vocabulary from left to right, all but the first
 * with the prefix of continued pieces; one unknown token when the word cannot be covered or is too long.
 */
#include "text_internal.h"

static bool too_long(const uint8_t *s, size_t n, size_t max_chars) {
    size_t chars = 0;
    if (n <= max_chars) return false;
    for (size_t i = 0; i < n; i++) chars += (s[i] & 0xc0) != 0x80;
    return chars > max_chars;
}

static void wordpiece_word(const text_stage *stage, text_work *w, size_t begin, size_t end) {
    const text_wordpiece *m = stage->data;
    const uint8_t *s = w->buf.bytes;
    size_t mark = w->count, at = begin;
    uint32_t start = TEXT_TRIE_ROOT;
    if (too_long(s + begin, end - begin, m->max_chars)) {
        text_work_push(w, m->unknown, begin, end);
        return;
    }
    while (at < end) {
        uint32_t base = start;
        const size_t most = end - at < TEXT_TRIE_KEY_MAX ? end : at + TEXT_TRIE_KEY_MAX; /* no key is longer */
        size_t best_end = at;
        int32_t best = -1, value;
        for (size_t i = at; i < most && text_trie_step(m->trie, &base, s[i], &value); i++) {
            if (value < 0) continue;
            best = value;
            best_end = i + 1;
        }
        if (best < 0) {
            w->count = mark; /* what was stored of this word is written over */
            text_work_push(w, m->unknown, begin, end);
            return;
        }
        text_work_push(w, best, at, best_end);
        at = best_end;
        start = m->continued;
    }
}

nib_status text_model_wordpiece_load(text_tokenizer *t, yyjson_val *v, text_stage *s, nib_error *err) {
    nib_status status = NIB_OK;
    text_wordpiece *m;
    const char *unknown, *prefix;
    size_t unknown_length, prefix_length;
    if (!t->packed && yyjson_is_arr(yyjson_obj_get(v, "vocab"))) NIB_FAIL(err, NIB_BAD_TOKENIZER, "model: \"vocab\" is not an object");
    NIB_TRY(text_vocab_load(t, yyjson_obj_get(v, "vocab"), false, err));
    NIB_TRY(text_stage_data(t, s, sizeof *m, &m, err));
    s->run.word = wordpiece_word;
    m->trie = &t->trie;
    NIB_TRY(text_json_string(v, "model", "unk_token", &unknown, &unknown_length, err));
    NIB_TRY(text_json_string(v, "model", "continuing_subword_prefix", &prefix, &prefix_length, err));
    NIB_TRY(text_json_size(v, "model", "max_input_chars_per_word", 100, UINT32_MAX, &m->max_chars, err));
    m->continued = text_trie_node(m->trie, prefix, prefix_length);
    m->unknown = text_trie_find(m->trie, unknown, unknown_length);
    if (m->unknown < 0) NIB_FAIL(err, NIB_BAD_TOKENIZER, "model: unk_token \"%s\" is not in the vocabulary", unknown);
fail:
    return status;
}
