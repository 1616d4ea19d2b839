/* SPDX-License-Identifier: Apache-2.0
 *
 * WordLevel. In: a word. Out: its token, or the unknown one.
 */
#include "text_internal.h"

typedef struct word_level {
    const text_tokenizer *t;
    int32_t unknown; /* -1: there is none */
} word_level;

static void level_word(const text_stage *s, text_work *w, size_t begin, size_t end) {
    const word_level *m = s->data;
    int32_t id = text_vocab_find(m->t, (const char *)w->buf.bytes + begin, end - begin);
    if (id < 0) id = m->unknown;
    if (id >= 0) text_work_push(w, id, begin, end);
    else text_fail(w, NIB_UNSUPPORTED, "a word that the vocabulary does not have, and it has no unknown token either");
}

nib_status text_model_words_load(text_tokenizer *t, yyjson_val *v, text_stage *s, nib_error *err) {
    nib_status status = NIB_OK;
    word_level *m;
    const char *unknown;
    size_t length;
    if (yyjson_is_arr(yyjson_obj_get(v, "vocab")))
        NIB_FAIL(err, NIB_BAD_TOKENIZER, "model: \"vocab\" is not an object");
    NIB_TRY(text_vocab_load(t, yyjson_obj_get(v, "vocab"), true, err));
    NIB_TRY(text_stage_data(t, s, sizeof *m, &m, err));
    NIB_TRY(text_json_string(v, "model", "unk_token", &unknown, &length, err));
    m->t = t;
    m->unknown = text_vocab_find(t, unknown, length);
    s->run.word = level_word;
fail:
    return status;
}
