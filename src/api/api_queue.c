/* SPDX-License-Identifier: Apache-2.0
 *
 * nib.h's queue: argument checks; src/task does the work.
 */
#include "api_options.h"
#include "task/task_queue.h"

#define NIB_QUEUE_THREADS 1024

static nib_status try_create(nib_runtime *runtime, const nib_queue_options *options, nib_queue **out, nib_error *err) {
    nib_status status = NIB_OK;
    nib_queue_options o;
    if (!out) return base_error_set(err, NIB_INVALID_ARGUMENT, "nowhere to put the queue");
    *out = NULL;
    NIB_TRY(api_options_take(API_QUEUE_OPTIONS, &o, options, err));
    if (!runtime) NIB_FAIL(err, NIB_INVALID_ARGUMENT, "a queue needs the runtime of its models");
    if (o.threads < 0 || o.max_tokens < 0 || o.quantum < 0 || (unsigned)o.full > NIB_QUEUE_FULL_BLOCK)
        NIB_FAIL(err, NIB_INVALID_ARGUMENT, "an option is out of range");
    if (o.threads > NIB_QUEUE_THREADS) NIB_FAIL(err, NIB_INVALID_ARGUMENT, "a queue has at most %d threads", NIB_QUEUE_THREADS);
    NIB_TRY(queue_create(runtime, &o, out, err));
fail:
    return status;
}

static nib_status try_submit_embed(nib_task task, nib_model *model, const char *const *texts, size_t n, const nib_embed_options *options,
                                   void *out, nib_request **request, nib_error *err) {
    nib_status status = NIB_OK;
    nib_embed_options o;
    api_embed parts;
    task_texts given;
    if (!request) return base_error_set(err, NIB_INVALID_ARGUMENT, "nowhere to put the request");
    *request = NULL;
    NIB_TRY(api_take_embed(&o, &parts, options, true, err));
    if (!model || (n && !texts)) NIB_FAIL(err, NIB_INVALID_ARGUMENT, "model and texts must be given");
    if (n && !out && !parts.ticket.answer)
        NIB_FAIL(err, NIB_INVALID_ARGUMENT, "nobody would get the vectors: there is no place for them, and no answer");
    if (task == NIB_TASK_TOKENS && o.chunks && o.chunks->overflow)
        NIB_FAIL(err, NIB_INVALID_ARGUMENT, "vectors of tokens are of texts that fit, or are cut: they have no chunks");
    NIB_TRY(api_check_one_row(&o, err));
    NIB_TRY(api_check_texts(texts, n, "text", err));
    if (o.chunks && o.chunks->overflow)
        return api_run_job(task_embed_job(model, texts, n, &o, out, NULL), NULL, NULL, 0, request, err);
    NIB_TRY(task_embed_given(model, texts, n, &o, &given, err));
    NIB_TRY(queue_submit(model, task, &given, out, request, err));
fail:
    return status;
}

static nib_status try_submit_classify(nib_model *model, const char *const *texts, const char *const *pairs, size_t n,
                                      const nib_classify_options *options, float *out, nib_request **request, nib_error *err) {
    nib_status status = NIB_OK;
    nib_classify_options o;
    nib_ticket ticket;
    task_texts given;
    if (!request) return base_error_set(err, NIB_INVALID_ARGUMENT, "nowhere to put the request");
    *request = NULL;
    NIB_TRY(api_take_classify(&o, &ticket, options, true, err));
    if (!model || (n && !texts)) NIB_FAIL(err, NIB_INVALID_ARGUMENT, "model and texts must be given");
    if (n && !out && !ticket.answer)
        NIB_FAIL(err, NIB_INVALID_ARGUMENT, "nobody would get the scores: there is no place for them, and no answer");
    NIB_TRY(api_check_texts(texts, n, "text", err));
    if (pairs) NIB_TRY(api_check_texts(pairs, n, "second text", err));
    NIB_TRY(task_classify_given(model, texts, pairs, n, &o, &given, err));
    NIB_TRY(queue_submit(model, NIB_TASK_CLASSIFY, &given, out, request, err));
fail:
    return status;
}

static nib_status try_wait(nib_request *request, double seconds, nib_error *err) {
    if (!request) return base_error_set(err, NIB_INVALID_ARGUMENT, "there is no request");
    return queue_wait(request, seconds, err);
}

/* ---- the calls, as nib.h has them */

nib_status nib_queue_create(nib_runtime *runtime, const nib_queue_options *options, nib_queue **out, nib_error *err) {
    return API_CALL(err, try_create(runtime, options, out, err));
}
void nib_queue_close(nib_queue *queue) {
    if (queue) queue_close(queue);
}
void nib_queue_free(nib_queue *queue) { queue_free(queue); }

void nib_queue_statistics_get(nib_queue *queue, nib_queue_statistics *out, size_t size) {
    nib_queue_statistics made = {0};
    if (queue) queue_statistics(queue, &made);
    api_fill(out, size, &made, sizeof made);
}

size_t nib_pick_oldest(void *user, const nib_waiting *clients, size_t n) {
    size_t oldest = 0;
    for (size_t i = 1; i < n; i++)
        if (clients[i].waited > clients[oldest].waited) oldest = i;
    return oldest;
}

nib_status nib_submit_embed(nib_model *model, const char *const *texts, size_t n, const nib_embed_options *options, void *out,
                            nib_request **request, nib_error *err) {
    return API_CALL(err, try_submit_embed(NIB_TASK_EMBED, model, texts, n, options, out, request, err));
}
nib_status nib_submit_embed_tokens(nib_model *model, const char *const *texts, size_t n, const nib_embed_options *options,
                                   nib_request **request, nib_error *err) {
    return API_CALL(err, try_submit_embed(NIB_TASK_TOKENS, model, texts, n, options, NULL, request, err));
}
nib_status nib_submit_classify(nib_model *model, const char *const *texts, const char *const *pairs, size_t n,
                               const nib_classify_options *options, float *out, nib_request **request, nib_error *err) {
    return API_CALL(err, try_submit_classify(model, texts, pairs, n, options, out, request, err));
}
nib_status nib_request_wait(nib_request *request, double seconds, nib_error *err) { return API_CALL(err, try_wait(request, seconds, err)); }
void nib_request_cancel(nib_request *request) {
    if (request) queue_cancel(request);
}
void nib_request_free(nib_request *request) { queue_request_free(request); }
