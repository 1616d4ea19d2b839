/* SPDX-License-Identifier: Apache-2.0
 *
 * tasks.h's calls about words and answers: argument checks; src/task does the work.
 */
#include "api_options.h"
#include "task/task.h"

static nib_status try_fill(nib_model *model, const char *const *texts, size_t n, const nib_fill_options *options,
                           nib_fills **out, nib_error *err) {
    nib_status status = NIB_OK;
    nib_fill_options o;
    nib_ticket ticket;
    base_stop stop;
    if (!out) return base_error_set(err, NIB_INVALID_ARGUMENT, "nowhere to put the words");
    *out = NULL;
    NIB_TRY(api_options_take(API_FILL_OPTIONS, &o, options, err));
    if (!model || (n && !texts)) NIB_FAIL(err, NIB_INVALID_ARGUMENT, "model and texts must be given");
    if (o.max_tokens < 0 || o.top < 1) NIB_FAIL(err, NIB_INVALID_ARGUMENT, "an option is out of range");
    if (o.targets) NIB_TRY(api_check_texts(o.targets, o.target_count, "target", err));
    NIB_TRY(api_ticket_take_whole(&ticket, &o.ticket, o.profile, err));
    NIB_TRY(api_check_texts(texts, n, "text", err));
    base_stop_begin(&stop, o.stop, o.stop_user, n);
    status = base_stop_check(err);
    if (status == NIB_OK) status = task_fill(model, texts, n, &o, out, err);
    base_stop_end(&stop);
fail:
    return status;
}

static bool is_empty(const char *text, const size_t *lengths, size_t i) { return lengths ? !lengths[i] : !text[0]; }

static nib_status try_answer(nib_model *model, const char *const *questions, const char *const *contexts, size_t n,
                             const nib_answer_options *options, nib_answers **out, nib_error *err) {
    nib_status status = NIB_OK;
    nib_answer_options o;
    nib_ticket ticket;
    base_stop stop;
    if (!out) return base_error_set(err, NIB_INVALID_ARGUMENT, "nowhere to put the answers");
    *out = NULL;
    NIB_TRY(api_options_take(API_ANSWER_OPTIONS, &o, options, err));
    if (!model || (n && (!questions || !contexts)))
        NIB_FAIL(err, NIB_INVALID_ARGUMENT, "model, questions and contexts must be given");
    if (o.max_tokens < 0 || o.stride < -1 || o.longest < 1 || o.top < 1 || o.top > INT32_MAX)
        NIB_FAIL(err, NIB_INVALID_ARGUMENT, "an option is out of range");
    NIB_TRY(api_ticket_take_whole(&ticket, &o.ticket, o.profile, err));
    NIB_TRY(api_check_texts(questions, n, "question", err));
    NIB_TRY(api_check_texts(contexts, n, "context", err));
    for (size_t i = 0; i < n; i++)
        if (is_empty(questions[i], o.question_lengths, i) || is_empty(contexts[i], o.context_lengths, i))
            NIB_FAIL(err, NIB_INVALID_ARGUMENT, "question %zu, or its context, is empty", i);
    base_stop_begin(&stop, o.stop, o.stop_user, 0);
    status = base_stop_check(err);
    if (status == NIB_OK) status = task_answer(model, questions, contexts, n, &o, out, err);
    base_stop_end(&stop);
fail:
    return status;
}

nib_status nib_answer(nib_model *model, const char *const *questions, const char *const *contexts, size_t n,
                      const nib_answer_options *options, nib_answers **out, nib_error *err) {
    return API_CALL(err, try_answer(model, questions, contexts, n, options, out, err));
}

static nib_status try_zero_shot(nib_model *model, const char *const *texts, size_t n, const char *const *labels,
                                size_t n_labels, const nib_zero_shot_options *options, nib_ranked *out, nib_error *err) {
    nib_status status = NIB_OK;
    nib_zero_shot_options o;
    nib_ticket ticket;
    base_stop stop;
    size_t pairs;
    NIB_TRY(api_options_take(API_ZERO_SHOT_OPTIONS, &o, options, err));
    if (!model || !labels || (n && (!texts || !out)))
        NIB_FAIL(err, NIB_INVALID_ARGUMENT, "model, texts, labels and out must be given");
    if (!n_labels) NIB_FAIL(err, NIB_INVALID_ARGUMENT, "there are no labels");
    if (o.max_tokens < 0) NIB_FAIL(err, NIB_INVALID_ARGUMENT, "an option is out of range");
    if (!base_mul_size(n, n_labels, &pairs)) NIB_FAIL(err, NIB_LIMIT, "%zu texts with %zu labels are too many", n, n_labels);
    NIB_TRY(api_ticket_take_whole(&ticket, &o.ticket, o.profile, err));
    NIB_TRY(api_check_texts(texts, n, "text", err));
    NIB_TRY(api_check_texts(labels, n_labels, "label", err));
    base_stop_begin(&stop, o.stop, o.stop_user, pairs);
    status = base_stop_check(err);
    if (status == NIB_OK) status = task_zero_shot(model, texts, n, labels, n_labels, &o, out, err);
    base_stop_end(&stop);
fail:
    return status;
}

nib_status nib_zero_shot(nib_model *model, const char *const *texts, size_t n, const char *const *labels, size_t n_labels,
                         const nib_zero_shot_options *options, nib_ranked *out, nib_error *err) {
    return API_CALL(err, try_zero_shot(model, texts, n, labels, n_labels, options, out, err));
}

const char *nib_model_mask_token(const nib_model *model) { return model ? task_mask_token(model) : NULL; }

nib_status nib_fill(nib_model *model, const char *const *texts, size_t n, const nib_fill_options *options, nib_fills **out,
                    nib_error *err) {
    return API_CALL(err, try_fill(model, texts, n, options, out, err));
}
