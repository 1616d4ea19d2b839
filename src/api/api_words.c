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
    NIB_TRY(api_take_ticket(&ticket, &o.ticket, o.profile, err));
    NIB_TRY(api_check_texts(texts, n, "text", err));
    base_stop_begin(&stop, o.stop, o.stop_user, n);
    status = base_stop_check(err);
    if (status == NIB_OK) status = task_fill(model, texts, n, &o, out, err);
    base_stop_end(&stop);
fail:
    return status;
}

const char *nib_model_mask_token(const nib_model *model) { return model ? task_mask_token(model) : NULL; }

nib_status nib_fill(nib_model *model, const char *const *texts, size_t n, const nib_fill_options *options, nib_fills **out,
                    nib_error *err) {
    return API_CALL(err, try_fill(model, texts, n, options, out, err));
}
