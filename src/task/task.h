/* SPDX-License-Identifier: Apache-2.0
 *
 * Texts -> what a model makes of them; one file a task. In: UTF-8 texts. Out: rows of floats in the order of the texts.
 * task_texts.h is the way there, which they share.
 */
#ifndef TASK_H
#define TASK_H

#include "task_texts.h"

/* As nib_embed. */
nib_status task_embed(nib_model *m, const char *const *texts, size_t n, const nib_embed_options *options, void *out, nib_error *err);

/* The same with options->chunks, whose overflow is ERROR or CHUNK. */
nib_status task_embed_long(nib_model *m, const char *const *texts, size_t n, const nib_embed_options *options,
                           void *out, nib_error *err);

/* As nib_embed_chunks; rows [count] as `made` says and spans are the caller's, of the runtime's heap; NULL on failure. */
typedef struct chunk_rows {
    void *rows;
    int64_t (*spans)[3]; /* begin, end in bytes; tokens */
    size_t count;
    task_vectors made;
} chunk_rows;
nib_status task_embed_chunks(nib_model *m, const char *const *texts, size_t n, const nib_embed_options *options,
                             int64_t *offsets, chunk_rows *out, nib_error *err);

/* As nib_embed_ids. */
nib_status task_embed_ids(nib_model *m, const int32_t *const *ids, const int64_t *lengths, size_t n, const nib_embed_options *options,
                          void *out, nib_error *err);

/* As nib_embed_tokens; *rows, [offsets[n]] as *made says, is the caller's, of the runtime's heap; NULL on failure. */
nib_status task_embed_tokens(nib_model *m, const char *const *texts, size_t n, const nib_embed_options *options,
                             int64_t *offsets, void **rows, task_vectors *made, nib_error *err);

/* As nib_classify. */
nib_status task_classify(nib_model *m, const char *const *texts, const char *const *pairs, size_t n,
                         const nib_classify_options *options, float *out, nib_error *err);

/* As nib_rank. */
nib_status task_rank(nib_model *m, const char *query, const char *const *documents, size_t n,
                     const nib_rank_options *options, nib_ranked *out, size_t *count, nib_error *err);

/* As nib_zero_shot. */
nib_status task_zero_shot(nib_model *m, const char *const *texts, size_t n, const char *const *labels, size_t n_labels,
                          const nib_zero_shot_options *options, nib_ranked *out, nib_error *err);

/* As nib_tag. */
nib_status task_tag(nib_model *m, const char *const *texts, size_t n, const nib_tag_options *options, nib_tags **out,
                    nib_error *err);

/* As nib_fill. */
nib_status task_fill(nib_model *m, const char *const *texts, size_t n, const nib_fill_options *options, nib_fills **out,
                     nib_error *err);
/* As nib_model_mask_token. */
const char *task_mask_token(const nib_model *m);

/* As nib_answer. */
nib_status task_answer(nib_model *m, const char *const *questions, const char *const *contexts, size_t n,
                       const nib_answer_options *options, nib_answers **out, nib_error *err);

/* As nib_colbert; *rows [offsets[n], *width] is the caller's, of the runtime's heap; NULL on failure. */
nib_status task_colbert(nib_model *m, nib_colbert_role role, const char *const *texts, size_t n,
                        const nib_colbert_options *options, int64_t *offsets, float **rows, int64_t *width,
                        nib_error *err);

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
