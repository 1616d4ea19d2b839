/* SPDX-License-Identifier: Apache-2.0
 *
 * tasks.h's calls: argument checks; src/task does the work. Each runs within the caller's stop, which counts texts; or, with
 * a place for a request, is submitted (queue.h).
 */
#include "api_options.h"
#include "task/task_queue.h"

nib_status api_check_request(nib_request **request, nib_error *err) {
    if (!request) return base_error_set(err, NIB_INVALID_ARGUMENT, "nowhere to put the request");
    *request = NULL;
    return NIB_OK;
}

nib_status api_run_job(task_job *job, nib_stop_fn stop, void *stop_user, uint64_t total, nib_request **request, nib_error *err) {
    base_stop s;
    if (!job) return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for a call");
    if (request && !stop) return queue_submit_job(job, request, err);
    nib_status status = request ? base_error_set(err, NIB_INVALID_ARGUMENT, "a submitted call has no stop: it is cancelled") : NIB_OK;
    if (status == NIB_OK) {
        base_stop_begin(&s, stop, stop_user, total);
        status = base_stop_check(err);
        if (status == NIB_OK) status = task_job_run(job, err);
        base_stop_end(&s);
    }
    task_job_free(job);
    return status;
}

static nib_status try_rank(nib_model *model, const char *query, const char *const *documents, size_t n,
                           const nib_rank_options *options, nib_ranked *out, size_t *count, nib_request **request,
                           nib_error *err) {
    nib_status status = NIB_OK;
    nib_rank_options o;
    nib_ticket ticket;
    if (!count) return base_error_set(err, NIB_INVALID_ARGUMENT, "nowhere to say how many there are");
    *count = 0;
    NIB_TRY(api_options_take(API_RANK_OPTIONS, &o, options, err));
    if (!model || !query || (n && (!documents || !out)))
        NIB_FAIL(err, NIB_INVALID_ARGUMENT, "model, query, documents and out must be given");
    if (o.max_tokens < 0 || (unsigned)o.scores > NIB_SCORES_SIGMOID)
        NIB_FAIL(err, NIB_INVALID_ARGUMENT, "an option is out of range");
    NIB_TRY(api_ticket_take(&ticket, &o.ticket, o.profile, request != NULL, err));
    NIB_TRY(api_check_texts(documents, n, "document", err));
    NIB_TRY(api_run_job(task_rank_job(model, query, documents, n, &o, out, count), o.stop, o.stop_user, n, request, err));
fail:
    return status;
}

nib_status api_ticket_take_whole(nib_ticket *into, const nib_ticket **at, const nib_profile *profile, bool submits, nib_error *err) {
    nib_status status = api_ticket_take(into, at, profile, submits, err);
    if (status == NIB_OK && *at && into->answer)
        return base_error_set(err, NIB_INVALID_ARGUMENT, "nobody is told of single texts: the ticket has an answer");
    return status;
}

static nib_status check_tag(const nib_tag_options *o, nib_error *err) {
    if (o->max_tokens < 0 || o->stride < 0 || (unsigned)o->aggregation > NIB_AGGREGATION_MAX)
        return base_error_set(err, NIB_INVALID_ARGUMENT, "an option is out of range");
    if (o->windows && o->aggregation == NIB_AGGREGATION_NONE)
        return base_error_set(err, NIB_INVALID_ARGUMENT,
                              "windows want an aggregation: tokens that two of them share would be there twice");
    return o->ignore ? api_check_texts(o->ignore, o->ignore_count, "label to ignore", err) : NIB_OK;
}

static nib_status try_tag(nib_model *model, const char *const *texts, size_t n, const nib_tag_options *options,
                          nib_tags **out, nib_request **request, nib_error *err) {
    nib_status status = NIB_OK;
    nib_tag_options o;
    nib_ticket ticket;
    if (!out) return base_error_set(err, NIB_INVALID_ARGUMENT, "nowhere to put what is found");
    *out = NULL;
    NIB_TRY(api_options_take(API_TAG_OPTIONS, &o, options, err));
    if (!model || (n && !texts)) NIB_FAIL(err, NIB_INVALID_ARGUMENT, "model and texts must be given");
    NIB_TRY(check_tag(&o, err));
    NIB_TRY(api_ticket_take_whole(&ticket, &o.ticket, o.profile, request != NULL, err));
    NIB_TRY(api_check_texts(texts, n, "text", err));
    NIB_TRY(api_run_job(task_tag_job(model, texts, n, &o, out), o.stop, o.stop_user, o.windows ? 0 : n, request, err));
fail:
    return status;
}

/* Rows that became a tensor of the caller's: to[0] the tensor, to[1] the offsets. */
static nib_status give_rows(task_job *job, nib_error *err) {
    int64_t width;
    float *rows = task_colbert_rows(job, &width);
    const int64_t n = ((const int64_t *)job->to[1])[job->given.n];
    const nib_tensor t = {
        .dtype = NIB_DTYPE_F32, .rank = 2, .dims = {n, width}, .data = rows, .bytes = (size_t)n * (size_t)width * sizeof *rows};
    return api_tensor_own(job->m->runtime, &t, job->to[0], err);
}

static nib_status try_colbert(nib_model *model, nib_colbert_role role, const char *const *texts, size_t n,
                              const nib_colbert_options *options, int64_t *offsets, nib_tensor **out, nib_request **request,
                              nib_error *err) {
    nib_status status = NIB_OK;
    nib_colbert_options o;
    nib_ticket ticket;
    if (!out) return base_error_set(err, NIB_INVALID_ARGUMENT, "nowhere to put the vectors");
    *out = NULL;
    NIB_TRY(api_options_take(API_COLBERT_OPTIONS, &o, options, err));
    if (!model || !offsets || (n && !texts))
        NIB_FAIL(err, NIB_INVALID_ARGUMENT, "model, texts and offsets must be given");
    if (o.max_tokens < 0 || !(o.pool_factor >= 1) || (role != NIB_COLBERT_QUERY && role != NIB_COLBERT_DOCUMENT))
        NIB_FAIL(err, NIB_INVALID_ARGUMENT, "an option is out of range");
    NIB_TRY(api_ticket_take_whole(&ticket, &o.ticket, o.profile, request != NULL, err));
    NIB_TRY(api_check_texts(texts, n, "text", err));
    task_job *job = task_colbert_job(model, role, texts, n, &o, offsets);
    if (job) job->give = give_rows, job->to[0] = out, job->to[1] = offsets;
    NIB_TRY(api_run_job(job, o.stop, o.stop_user, n, request, err));
fail:
    return status;
}

/* ---- the calls, as tasks.h has them */

nib_status nib_rank(nib_model *model, const char *query, const char *const *documents, size_t n,
                    const nib_rank_options *options, nib_ranked *out, size_t *count, nib_error *err) {
    return API_CALL(err, try_rank(model, query, documents, n, options, out, count, NULL, err));
}
nib_status nib_tag(nib_model *model, const char *const *texts, size_t n, const nib_tag_options *options, nib_tags **out,
                   nib_error *err) {
    return API_CALL(err, try_tag(model, texts, n, options, out, NULL, err));
}
nib_status nib_colbert(nib_model *model, nib_colbert_role role, const char *const *texts, size_t n,
                       const nib_colbert_options *options, int64_t *offsets, nib_tensor **out, nib_error *err) {
    return API_CALL(err, try_colbert(model, role, texts, n, options, offsets, out, NULL, err));
}
nib_status nib_submit_rank(nib_model *model, const char *query, const char *const *documents, size_t n,
                           const nib_rank_options *options, nib_ranked *out, size_t *count,
                           nib_request **request, nib_error *err) {
    return API_CALL(err, API_SUBMIT(err, request, try_rank(model, query, documents, n, options, out, count, request, err)));
}
nib_status nib_submit_tag(nib_model *model, const char *const *texts, size_t n, const nib_tag_options *options,
                          nib_tags **out,
                           nib_request **request, nib_error *err) {
    return API_CALL(err, API_SUBMIT(err, request, try_tag(model, texts, n, options, out, request, err)));
}
nib_status nib_submit_colbert(nib_model *model, nib_colbert_role role, const char *const *texts, size_t n,
                              const nib_colbert_options *options, int64_t *offsets, nib_tensor **out,
                           nib_request **request, nib_error *err) {
    return API_CALL(err, API_SUBMIT(err, request, try_colbert(model, role, texts, n, options, offsets, out, request, err)));
}
