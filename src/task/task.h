/* SPDX-License-Identifier: Apache-2.0
 *
 * Texts -> what a model makes of them; one file a task. In: UTF-8 texts. Out: rows of floats in the order of the texts.
 * task_texts.h is the way there, which they share; calls whose results are more than a row a text are jobs
 * (task_job.h).
 */
#ifndef TASK_H
#define TASK_H

#include "task_texts.h"

/* As nib_embed. */
nib_status task_embed(nib_model *m, const char *const *texts, size_t n, const nib_embed_options *options, void *out, nib_error *err);

/* As nib_embed_ids. */
nib_status task_embed_ids(nib_model *m, const int32_t *const *ids, const int64_t *lengths, size_t n, const nib_embed_options *options,
                          void *out, nib_error *err);

/* As nib_embed_tokens; *rows, [offsets[n]] as *made says, is the caller's, of the runtime's heap; NULL on failure. */
nib_status task_embed_tokens(nib_model *m, const char *const *texts, size_t n, const nib_embed_options *options,
                             int64_t *offsets, void **rows, task_vectors *made, nib_error *err);

/* As nib_classify. */
nib_status task_classify(nib_model *m, const char *const *texts, const char *const *pairs, size_t n,
                         const nib_classify_options *options, float *out, nib_error *err);

/* As nib_model_mask_token. */
const char *task_mask_token(const nib_model *m);

/* A row of raw scores becomes probabilities: NIB_SCORES_SOFTMAX. */
void task_softmax(float *row, int64_t width);

/* What these calls give to a task's program. Borrows all of it. */
nib_status task_embed_given(const nib_model *m, const char *const *texts, size_t n, const nib_embed_options *options,
                            task_texts *out, nib_error *err);
nib_status task_classify_given(nib_model *m, const char *const *texts, const char *const *pairs, size_t n,
                               const nib_classify_options *options, task_texts *out, nib_error *err);

/* The prompt that these options choose; *out is "" for none. INVALID_ARGUMENT: there is none of that name. */
nib_status task_prompt(const nib_model *m, const char *name, const char *text, const char **out, nib_error *err);

/* As nib_model_warm. */
nib_status task_warm(nib_model *m, int64_t max_tokens, int callers, nib_error *err);

/* What one plan's steps take, and what goes on around them. */
struct nib_profile {
    nib_model *model; /* one reference */
    const plan *p;
    run_profile *steps;
    _Atomic uint64_t texts, tokens, tokenize_ns;
};
nib_status task_profile_create(nib_model *m, const plan *p, nib_profile **out, nib_error *err);
void task_profile_free(nib_profile *f); /* NULL is accepted */

#endif
