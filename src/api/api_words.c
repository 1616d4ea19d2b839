/* SPDX-License-Identifier: Apache-2.0
 *
 * tasks.h's calls about words and answers: argument checks; src/task does the work.
 */
#include "api_options.h"
#include "task/task.h"
#include "task/task_job.h"

static nib_status try_fill(nib_model *model, const char *const *texts, size_t n, const nib_fill_options *options,
                           nib_fills **out, nib_request **request, nib_error *err) {
    nib_status status = NIB_OK;
    nib_fill_options o;
    nib_ticket ticket;
    if (!out) return base_error_set(err, NIB_INVALID_ARGUMENT, "nowhere to put the words");
    *out = NULL;
    NIB_TRY(api_options_take(API_FILL_OPTIONS, &o, options, err));
    if (!model || (n && !texts)) NIB_FAIL(err, NIB_INVALID_ARGUMENT, "model and texts must be given");
    if (o.max_tokens < 0 || o.top < 1) NIB_FAIL(err, NIB_INVALID_ARGUMENT, "an option is out of range");
    if (o.targets) NIB_TRY(api_check_texts(o.targets, o.target_count, "target", err));
    NIB_TRY(api_ticket_take_whole(&ticket, &o.ticket, o.profile, request != NULL, err));
    NIB_TRY(api_check_texts(texts, n, "text", err));
    NIB_TRY(api_run_job(task_fill_job(model, texts, n, &o, out), o.stop, o.stop_user, n, request, err));
fail:
    return status;
}

static bool is_empty(const char *text, const size_t *lengths, size_t i) { return lengths ? !lengths[i] : !text[0]; }

static nib_status try_answer(nib_model *model, const char *const *questions, const char *const *contexts, size_t n,
                             const nib_answer_options *options, nib_answers **out, nib_request **request, nib_error *err) {
    nib_status status = NIB_OK;
    nib_answer_options o;
    nib_ticket ticket;
    if (!out) return base_error_set(err, NIB_INVALID_ARGUMENT, "nowhere to put the answers");
    *out = NULL;
    NIB_TRY(api_options_take(API_ANSWER_OPTIONS, &o, options, err));
    if (!model || (n && (!questions || !contexts)))
        NIB_FAIL(err, NIB_INVALID_ARGUMENT, "model, questions and contexts must be given");
    if (o.max_tokens < 0 || o.stride < -1 || o.longest < 1 || o.top < 1 || o.top > INT32_MAX)
        NIB_FAIL(err, NIB_INVALID_ARGUMENT, "an option is out of range");
    NIB_TRY(api_ticket_take_whole(&ticket, &o.ticket, o.profile, request != NULL, err));
    NIB_TRY(api_check_texts(questions, n, "question", err));
    NIB_TRY(api_check_texts(contexts, n, "context", err));
    for (size_t i = 0; i < n; i++)
        if (is_empty(questions[i], o.question_lengths, i) || is_empty(contexts[i], o.context_lengths, i))
            NIB_FAIL(err, NIB_INVALID_ARGUMENT, "question %zu, or its context, is empty", i);
    NIB_TRY(api_run_job(task_answer_job(model, questions, contexts, n, &o, out), o.stop, o.stop_user, 0, request, err));
fail:
    return status;
}

nib_status nib_answer(nib_model *model, const char *const *questions, const char *const *contexts, size_t n,
                      const nib_answer_options *options, nib_answers **out, nib_error *err) {
    return API_CALL(err, try_answer(model, questions, contexts, n, options, out, NULL, err));
}

static nib_status try_zero_shot(nib_model *model, const char *const *texts, size_t n, const char *const *labels,
                                size_t n_labels, const nib_zero_shot_options *options, nib_ranked *out, nib_request **request,
                                nib_error *err) {
    nib_status status = NIB_OK;
    nib_zero_shot_options o;
    nib_ticket ticket;
    size_t pairs;
    NIB_TRY(api_options_take(API_ZERO_SHOT_OPTIONS, &o, options, err));
    if (!model || !labels || (n && (!texts || !out)))
        NIB_FAIL(err, NIB_INVALID_ARGUMENT, "model, texts, labels and out must be given");
    if (!n_labels) NIB_FAIL(err, NIB_INVALID_ARGUMENT, "there are no labels");
    if (o.max_tokens < 0) NIB_FAIL(err, NIB_INVALID_ARGUMENT, "an option is out of range");
    if (!base_mul_size(n, n_labels, &pairs)) NIB_FAIL(err, NIB_LIMIT, "%zu texts with %zu labels are too many", n, n_labels);
    NIB_TRY(api_ticket_take_whole(&ticket, &o.ticket, o.profile, request != NULL, err));
    NIB_TRY(api_check_texts(texts, n, "text", err));
    NIB_TRY(api_check_texts(labels, n_labels, "label", err));
    NIB_TRY(api_run_job(task_zero_shot_job(model, texts, n, labels, n_labels, &o, out), o.stop, o.stop_user, pairs, request, err));
fail:
    return status;
}

nib_status nib_zero_shot(nib_model *model, const char *const *texts, size_t n, const char *const *labels, size_t n_labels,
                         const nib_zero_shot_options *options, nib_ranked *out, nib_error *err) {
    return API_CALL(err, try_zero_shot(model, texts, n, labels, n_labels, options, out, NULL, err));
}

const char *nib_model_mask_token(const nib_model *model) { return model ? task_mask_token(model) : NULL; }

nib_status nib_fill(nib_model *model, const char *const *texts, size_t n, const nib_fill_options *options, nib_fills **out,
                    nib_error *err) {
    return API_CALL(err, try_fill(model, texts, n, options, out, NULL, err));
}
nib_status nib_submit_fill(nib_model *model, const char *const *texts, size_t n, const nib_fill_options *options,
                           nib_fills **out,
                           nib_request **request, nib_error *err) {
    return API_CALL(err, API_SUBMIT(err, request, try_fill(model, texts, n, options, out, request, err)));
}
nib_status nib_submit_answer(nib_model *model, const char *const *questions, const char *const *contexts, size_t n,
                             const nib_answer_options *options, nib_answers **out,
                           nib_request **request, nib_error *err) {
    return API_CALL(err, API_SUBMIT(err, request, try_answer(model, questions, contexts, n, options, out, request, err)));
}
nib_status nib_submit_zero_shot(nib_model *model, const char *const *texts, size_t n, const char *const *labels, size_t n_labels,
                                const nib_zero_shot_options *options, nib_ranked *out,
                           nib_request **request, nib_error *err) {
    return API_CALL(err, API_SUBMIT(err, request, try_zero_shot(model, texts, n, labels, n_labels, options, out, request, err)));
}
