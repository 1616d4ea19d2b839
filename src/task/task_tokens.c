/* SPDX-License-Identifier: Apache-2.0
 *
 * The task `tokens`: a vector a token, so as many rows a text as it has tokens. All texts are one window: how many rows
 * there are is known before the first is computed, ids are small beside them, and they are written where they stay.
 */
#include "task_queue.h"

/* Where each text's rows go, one text behind another. */
static nib_status place_rows(task_call *c, int64_t *offsets, void **rows, nib_error *err) {
    base_heap *heap = &c->m->runtime->heap;
    model_caller *k = c->caller;
    size_t bytes;
    offsets[0] = 0;
    for (size_t i = 0; i < c->count; i++) {
        offsets[i + 1] = offsets[i] + k->items[i].length;
    }
    const size_t n = (size_t)offsets[c->count];
    *rows = base_mul_size(n, c->vectors.bytes, &bytes) ? base_alloc(heap, bytes + 1) : NULL;
    return *rows ? NIB_OK : base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for the vectors of %zu tokens", n);
}

nib_status task_token_rows(nib_model *m, nib_task task, const task_texts *given, int64_t *offsets, void **rows,
                           task_vectors *made, nib_error *err) {
    nib_status status = NIB_OK;
    task_call c = {0};
    *rows = NULL;
    if (given->ticket && given->ticket->queue) return queue_tokens(m, task, given, offsets, rows, made, err);
    NIB_TRY(task_begin(&c, m, task, given, err));
    NIB_TRY(task_tokenize(&c, 0, given->n, err));
    NIB_TRY(place_rows(&c, offsets, rows, err));
    *made = c.vectors;
    NIB_TRY(task_run(&c, *rows, offsets, err));
fail:
    if (status != NIB_OK) {
        base_free(&m->runtime->heap, *rows);
        *rows = NULL;
    }
    task_end(&c);
    return status;
}

nib_status task_embed_tokens(nib_model *m, const char *const *texts, size_t n, const nib_embed_options *options,
                             int64_t *offsets, void **rows, task_vectors *made, nib_error *err) {
    task_texts given;
    *rows = NULL;
    nib_status status = task_embed_given(m, texts, n, options, &given, err);
    return status == NIB_OK ? task_token_rows(m, NIB_TASK_TOKENS, &given, offsets, rows, made, err) : status;
}
