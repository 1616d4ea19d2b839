/* SPDX-License-Identifier: Apache-2.0
 *
 * Warming up. In: how long texts are and how many callers there will be. Out: idle callers of the model's own task,
 * whose memory is taken and touched.
 */
#include "task.h"
#include <string.h>

#define WARM_TOKENS 32768 /* a model without a limit is made ready for texts of so many */
#define WARM_WORD "measure " /* longer than words of a language mostly are */

/* What a call needs beside the session: tokenizers' buffers for the longest text, places for a group a thread. */
static nib_status warm_caller(nib_model *m, model_caller *c, int64_t max_tokens, nib_error *err) {
    nib_status status = NIB_OK;
    base_heap *heap = &m->runtime->heap;
    const hf_settings *said = &m->settings;
    const model_program *program = model_own(m);
    const size_t word = sizeof WARM_WORD - 1;
    size_t group = (size_t)(m->batch_tokens > 0 ? m->batch_tokens : program->p->group_tokens),
           n = group * (size_t)c->threads;
    size_t ids = n > (size_t)max_tokens ? n : (size_t)max_tokens;
    char *text = base_alloc(heap, (size_t)max_tokens * word + 1);
    const size_t prompted =
        (size_t)max_tokens * word + (said->default_prompt < 0 ? 0 : strlen(said->prompts[said->default_prompt].text));
    if (!text || !model_caller_grow(m, c, n)) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for warming up");
    for (int64_t i = 0; i < max_tokens; i++) memcpy(text + (size_t)i * word, WARM_WORD, word);
    for (int i = 0; i < c->threads; i++) {
        model_ids *s = &c->stores[i];
        if (!base_grow(heap, (void **)&s->ids, &s->ids_cap, ids + (size_t)max_tokens, sizeof *s->ids) ||
            !base_grow(heap, (void **)&s->types, &s->types_cap, ids + (size_t)max_tokens, sizeof *s->types))
            NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for warming up");
        memset(s->ids, 0, s->ids_cap * sizeof *s->ids); /* touched */
        memset(s->types, 0, s->types_cap * sizeof *s->types);
        if (said->default_prompt >= 0 && !base_grow(heap, (void **)&s->prompted, &s->prompted_cap, prompted, 1))
            NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for warming up");
        if (m->tokenizer)
            NIB_TRY(text_encode(m->tokenizer, text, (size_t)max_tokens * word, NULL, 0, max_tokens, true, &s->encoding,
                                err));
    }
    run_session_profile(c->session, NULL);
    NIB_TRY(run_warm(c->session, &program->roles, max_tokens, m->batch_tokens, err));
fail:
    base_free(heap, text);
    return status;
}

nib_status task_warm(nib_model *m, int64_t max_tokens, int callers, nib_error *err) {
    nib_status status = NIB_OK;
    const int which = (int)m->task;
    const model_program *program;
    model_caller *taken = NULL, *c;
    NIB_TRY(model_get_program(m, which, &program, err));
    if (max_tokens == 0 || max_tokens > m->max_tokens) max_tokens = m->max_tokens;
    if (max_tokens > WARM_TOKENS) max_tokens = WARM_TOKENS;
    for (int i = 0; i < callers; i++) {
        NIB_TRY(model_take_caller(m, which, &c, err));
        c->next = taken;
        taken = c;
        NIB_TRY(warm_caller(m, c, max_tokens, err));
    }
    model_keep_callers(m, which, callers);
fail:
    while ((c = taken) != NULL) {
        taken = c->next;
        model_give_back(m, which, c);
    }
    return status;
}
