/* SPDX-License-Identifier: Apache-2.0
 *
 * A task's call as an object: what was asked for, on its way to what comes out. The thread that calls runs it, or a
 * queue does; it is the same either way, so that the bits are.
 *
 *     task_NAME_job      takes the arguments down; nothing is done yet
 *     begin              programs, options, prompts
 *     next               texts -> items of the model: `given`, or a chunk of texts whose tokens must be known
 *     each, took         their rows are there
 *     conclude, give     the result, to where the caller wants it
 *
 * A task is a row of these functions. What they read of the caller's after `begin` is only what the caller promises to
 * keep: `given` and the chunk's texts are copied by who submits, the rest is the job's own.
 */
#ifndef TASK_JOB_H
#define TASK_JOB_H

#include "task_chunk.h"

typedef struct task_job task_job;

typedef struct task_job_kind {
    size_t bytes;
    bool chunked; /* texts go through job->chunk, a chunk at a time; else job->given is all, or what `next` made it */
    nib_status (*begin)(task_job *job, nib_error *err);
    /* Of those with `given`: what comes next, of a submitted one (`all`) everything. *more false: nothing does. NULL: `given` is
     * everything. */
    nib_status (*next)(task_job *job, bool all, bool *more, nib_error *err);
    task_chunk_fn each; /* of a chunk's texts, on all threads; NULL: nothing */
    nib_status (*took)(task_job *job, nib_error *err); /* behind that, on one; NULL: nothing */
    nib_status (*conclude)(task_job *job, nib_error *err); /* on one; NULL: nothing */
    void (*free)(task_job *job); /* what it holds, not itself; also after a begin that failed */
} task_job_kind;

struct task_job {
    const task_job_kind *kind;
    nib_model *m; /* borrowed */
    nib_task task;
    nib_ticket ticket; /* `given.ticket` points to it, or is NULL */
    task_texts given;  /* without chunks: what is put to the program; with: the chunk's own, before it begins */
    void *out;         /* as task_rows */
    task_chunk chunk;
    double asked; /* base_clock: when it was submitted; its deadline counts from there, tokenizing included */
    /* Who called may want what conclude made in a form of its own. */
    nib_status (*give)(task_job *job, nib_error *err);
    void *to[3];
};

/* What `given` is where options o have the members that most have, and texts are what there is. */
#define TASK_GIVEN(o, count, list)                                                                                     \
    .n = (count), .texts = (list), .text_lengths = (o)->lengths, .max_tokens = (o)->max_tokens, .tokens = (o)->tokens, \
    .full_tokens = (o)->full_tokens, .profile = (o)->profile, .ticket = (o)->ticket

/* A job of that kind with `given`; NULL: out of memory. */
task_job *task_job_new(const task_job_kind *kind, nib_model *m, nib_task task, const task_texts *given);
void task_job_free(task_job *job); /* NULL is accepted */

/* All of it, on this thread and those that help it. With a ticket that has a queue its items wait there. */
nib_status task_job_run(task_job *job, nib_error *err);

/* The same as far as all items that there are, of which the queue is to have all: job->given, or the chunk's. */
nib_status task_job_prepare(task_job *job, nib_error *err);
/* Their rows are there: in job->out, or in the chunk. */
nib_status task_job_finish(task_job *job, nib_error *err);

/* ---- the tasks' jobs: the arguments of task.h's calls; NULL: out of memory */

task_job *task_rank_job(nib_model *m, const char *query, const char *const *documents, size_t n,
                        const nib_rank_options *options, nib_ranked *out, size_t *count);
task_job *task_zero_shot_job(nib_model *m, const char *const *texts, size_t n, const char *const *labels, size_t n_labels,
                             const nib_zero_shot_options *options, nib_ranked *out);
task_job *task_tag_job(nib_model *m, const char *const *texts, size_t n, const nib_tag_options *options, nib_tags **out);
task_job *task_fill_job(nib_model *m, const char *const *texts, size_t n, const nib_fill_options *options,
                        nib_fills **out);
task_job *task_answer_job(nib_model *m, const char *const *questions, const char *const *contexts, size_t n,
                          const nib_answer_options *options, nib_answers **out);
task_job *task_sparse_job(nib_model *m, const char *const *texts, size_t n, const nib_sparse_options *options,
                          nib_sparse **out);

/* `give` is to take what these functions hand over: rows [offsets[n], *width], of the runtime's heap. */
task_job *task_colbert_job(nib_model *m, nib_colbert_role role, const char *const *texts, size_t n,
                           const nib_colbert_options *options, int64_t *offsets);
float *task_colbert_rows(task_job *job, int64_t *width);

/* A vector of each text (nib_embed with chunks), to `out`; or, with `offsets`, of each chunk, which task_chunks_rows hands over. */
task_job *task_embed_job(nib_model *m, const char *const *texts, size_t n, const nib_embed_options *options, void *out,
                         int64_t *offsets);

/* As nib_embed_chunks: rows [count] as `made` says, and spans; both of the runtime's heap. */
typedef struct chunk_rows {
    void *rows;
    int64_t (*spans)[3]; /* begin, end in bytes; tokens */
    size_t count;
    task_vectors made;
} chunk_rows;
chunk_rows task_chunks_rows(task_job *job);

#endif
