/* SPDX-License-Identifier: Apache-2.0
 *
 * The task `embed`: a vector a text. The program already pools and normalizes (its suffix): what comes out of it are
 * the vectors.
 */
#include "task.h"
#include "task_job.h"

nib_status task_embed_given(const nib_model *m, const char *const *texts, size_t n, const nib_embed_options *options, task_texts *out,
                            nib_error *err) {
    *out = (task_texts){.n = n,
                        .texts = texts,
                        .text_lengths = options->lengths,
                        .max_tokens = options->max_tokens,
                        .tokens = options->tokens,
                        .full_tokens = options->full_tokens,
                        .profile = options->profile,
                        .vectors = options->vectors,
                        .ticket = options->ticket};
    return task_prompt(m, options->prompt_name, options->prompt, &out->prompt, err);
}

nib_status task_embed(nib_model *m, const char *const *texts, size_t n, const nib_embed_options *options, void *out, nib_error *err) {
    task_texts given;
    nib_status status;
    if (options->chunks && options->chunks->overflow) {
        task_job *job = task_embed_job(m, texts, n, options, out, NULL);
        if (!job) return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for %zu texts", n);
        status = task_job_run(job, err);
        task_job_free(job);
        return status;
    }
    status = task_embed_given(m, texts, n, options, &given, err);
    return status == NIB_OK ? task_rows(m, NIB_TASK_EMBED, &given, out, err) : status;
}

nib_status task_embed_ids(nib_model *m, const int32_t *const *ids, const int64_t *lengths, size_t n, const nib_embed_options *options,
                          void *out, nib_error *err) {
    const task_texts given = {
        .n = n, .are_ids = true, .ids = ids, .lengths = lengths, .profile = options->profile,
        .vectors = options->vectors, .ticket = options->ticket};
    return task_rows(m, NIB_TASK_EMBED, &given, out, err);
}
