/* SPDX-License-Identifier: Apache-2.0
 *
 * The task `embed`: a vector a text. The program already pools and normalizes (its suffix): what comes out of it are
 * the vectors.
 */
#include "task.h"

nib_status task_embed(nib_model *m, const char *const *texts, size_t n, const nib_embed_options *options, float *out, nib_error *err) {
    nib_status status = NIB_OK;
    task_texts given = {.n = n,
                        .texts = texts,
                        .text_lengths = options->lengths,
                        .max_tokens = options->max_tokens,
                        .tokens = options->tokens,
                        .full_tokens = options->full_tokens,
                        .profile = options->profile};
    NIB_TRY(task_prompt(m, options->prompt_name, options->prompt, &given.prompt, err));
    NIB_TRY(task_rows(m, NIB_TASK_EMBED, &given, out, err));
fail:
    return status;
}

nib_status task_embed_ids(nib_model *m, const int32_t *const *ids, const int64_t *lengths, size_t n, const nib_embed_options *options,
                          float *out, nib_error *err) {
    const task_texts given = {.n = n, .are_ids = true, .ids = ids, .lengths = lengths, .profile = options->profile};
    return task_rows(m, NIB_TASK_EMBED, &given, out, err);
}
