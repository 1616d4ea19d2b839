/* SPDX-License-Identifier: Apache-2.0
 *
 * See task_job.h. In: a job. Out: its result, where the caller wants it.
 */
#include "task_job.h"

task_job *task_job_new(const task_job_kind *kind, nib_model *m, nib_task task, const task_texts *given) {
    task_job *job = base_calloc(&m->runtime->heap, 1, kind->bytes);
    if (!job) return NULL;
    job->kind = kind;
    job->m = m;
    job->task = task;
    job->given = *given;
    if (given->ticket) {
        job->ticket = *given->ticket;
        job->given.ticket = &job->ticket;
    }
    return job;
}

void task_job_free(task_job *job) {
    if (!job) return;
    job->kind->free(job);
    if (job->chunk.m) task_chunk_end(&job->chunk);
    base_free(&job->m->runtime->heap, job);
}

static nib_status begin(task_job *job, nib_error *err) {
    if (job->kind->chunked) {
        job->chunk.m = job->m;
        job->chunk.task = job->task;
        job->chunk.given = job->given;
        job->chunk.user = job;
    }
    return job->kind->begin(job, err);
}

/* The rows of what came next are there. */
static nib_status take(task_job *job, nib_error *err) {
    const task_job_kind *kind = job->kind;
    nib_status status = kind->each ? task_chunk_each(&job->chunk, kind->each, job, err) : NIB_OK;
    return status == NIB_OK && kind->took ? kind->took(job, err) : status;
}

static nib_status conclude(task_job *job, nib_error *err) {
    nib_status status = job->kind->conclude ? job->kind->conclude(job, err) : NIB_OK;
    return status == NIB_OK && job->give ? job->give(job, err) : status;
}

/* *more: there is something in `given`. `n`: how often it was asked. */
static nib_status next_given(task_job *job, bool all, size_t n, bool *more, nib_error *err) {
    *more = n == 0;
    return job->kind->next ? job->kind->next(job, all, more, err) : NIB_OK;
}

nib_status task_job_run(task_job *job, nib_error *err) {
    nib_status status = NIB_OK;
    NIB_TRY(begin(job, err));
    while (job->kind->chunked && task_chunk_next(&job->chunk)) {
        NIB_TRY(task_chunk_run(&job->chunk, err));
        NIB_TRY(take(job, err));
    }
    for (size_t n = 0; !job->kind->chunked; n++) {
        bool more;
        NIB_TRY(next_given(job, false, n, &more, err));
        if (!more) break;
        NIB_TRY(task_rows(job->m, job->task, &job->given, job->out, err));
        NIB_TRY(take(job, err));
    }
    NIB_TRY(conclude(job, err));
fail:
    return status;
}

nib_status task_job_prepare(task_job *job, nib_error *err) {
    nib_status status = NIB_OK;
    bool more;
    NIB_TRY(begin(job, err));
    if (!job->kind->chunked) return next_given(job, true, 0, &more, err);
    NIB_TRY(task_chunk_all(&job->chunk, err));
    NIB_TRY(task_chunk_encode(&job->chunk, err));
fail:
    return status;
}

nib_status task_job_finish(task_job *job, nib_error *err) {
    nib_status status = take(job, err);
    return status == NIB_OK ? conclude(job, err) : status;
}
