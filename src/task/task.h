/* SPDX-License-Identifier: Apache-2.0
 *
 * Texts -> embeddings. In: UTF-8 texts. Out: rows of floats in the order of the texts.
 *
 * A call takes a session from the model's list of idle ones, or makes one; any number of threads may call at once. Texts are
 * handled in windows, so that memory does not grow with their number: a window is tokenized on all threads, then run.
 */
#ifndef TASK_H
#define TASK_H

#include "model/model.h"

/* As nib_embed. */
nib_status task_embed(nib_model *m, const char *const *texts, size_t n, const nib_embed_options *options, float *out, nib_error *err);

/* As nib_embed_ids; lengths are checked already. */
nib_status task_embed_ids(nib_model *m, const int32_t *const *ids, const int64_t *lengths, size_t n, const nib_embed_options *options,
                          float *out, nib_error *err);

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
