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

#endif
