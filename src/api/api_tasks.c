/* SPDX-License-Identifier: Apache-2.0
 *
 * tasks.h's calls: argument checks; src/task does the work. Each runs within the caller's stop, which counts texts.
 */
#include "api_options.h"
#include "task/task.h"

static nib_status try_rank(nib_model *model, const char *query, const char *const *documents, size_t n,
                           const nib_rank_options *options, nib_ranked *out, size_t *count, nib_error *err) {
    nib_status status = NIB_OK;
    nib_rank_options o;
    nib_ticket ticket;
    base_stop stop;
    if (!count) return base_error_set(err, NIB_INVALID_ARGUMENT, "nowhere to say how many there are");
    *count = 0;
    NIB_TRY(api_options_take(API_RANK_OPTIONS, &o, options, err));
    if (!model || !query || (n && (!documents || !out)))
        NIB_FAIL(err, NIB_INVALID_ARGUMENT, "model, query, documents and out must be given");
    if (o.max_tokens < 0 || (unsigned)o.scores > NIB_SCORES_SIGMOID)
        NIB_FAIL(err, NIB_INVALID_ARGUMENT, "an option is out of range");
    NIB_TRY(api_ticket_take(&ticket, &o.ticket, o.profile, false, err));
    NIB_TRY(api_check_texts(documents, n, "document", err));
    base_stop_begin(&stop, o.stop, o.stop_user, n);
    status = base_stop_check(err);
    if (status == NIB_OK) status = task_rank(model, query, documents, n, &o, out, count, err);
    base_stop_end(&stop);
fail:
    return status;
}

nib_status api_take_ticket(nib_ticket *into, const nib_ticket **at, const nib_profile *profile, nib_error *err) {
    nib_status status = api_ticket_take(into, at, profile, false, err);
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
                          nib_tags **out, nib_error *err) {
    nib_status status = NIB_OK;
    nib_tag_options o;
    nib_ticket ticket;
    base_stop stop;
    if (!out) return base_error_set(err, NIB_INVALID_ARGUMENT, "nowhere to put what is found");
    *out = NULL;
    NIB_TRY(api_options_take(API_TAG_OPTIONS, &o, options, err));
    if (!model || (n && !texts)) NIB_FAIL(err, NIB_INVALID_ARGUMENT, "model and texts must be given");
    NIB_TRY(check_tag(&o, err));
    NIB_TRY(api_take_ticket(&ticket, &o.ticket, o.profile, err));
    NIB_TRY(api_check_texts(texts, n, "text", err));
    base_stop_begin(&stop, o.stop, o.stop_user, o.windows ? 0 : n);
    status = base_stop_check(err);
    if (status == NIB_OK) status = task_tag(model, texts, n, &o, out, err);
    base_stop_end(&stop);
fail:
    return status;
}

static nib_status try_colbert(nib_model *model, nib_colbert_role role, const char *const *texts, size_t n,
                              const nib_colbert_options *options, int64_t *offsets, nib_tensor **out, nib_error *err) {
    nib_status status = NIB_OK;
    nib_colbert_options o;
    nib_ticket ticket;
    base_stop stop;
    float *rows = NULL;
    int64_t width = 0;
    if (!out) return base_error_set(err, NIB_INVALID_ARGUMENT, "nowhere to put the vectors");
    *out = NULL;
    NIB_TRY(api_options_take(API_COLBERT_OPTIONS, &o, options, err));
    if (!model || !offsets || (n && !texts))
        NIB_FAIL(err, NIB_INVALID_ARGUMENT, "model, texts and offsets must be given");
    if (o.max_tokens < 0 || !(o.pool_factor >= 1) || (role != NIB_COLBERT_QUERY && role != NIB_COLBERT_DOCUMENT))
        NIB_FAIL(err, NIB_INVALID_ARGUMENT, "an option is out of range");
    NIB_TRY(api_take_ticket(&ticket, &o.ticket, o.profile, err));
    NIB_TRY(api_check_texts(texts, n, "text", err));
    base_stop_begin(&stop, o.stop, o.stop_user, n);
    status = base_stop_check(err);
    if (status == NIB_OK) status = task_colbert(model, role, texts, n, &o, offsets, &rows, &width, err);
    base_stop_end(&stop);
    NIB_TRY(status);
    const nib_tensor t = {.dtype = NIB_DTYPE_F32,
                          .rank = 2,
                          .dims = {offsets[n], width},
                          .data = rows,
                          .bytes = (size_t)offsets[n] * (size_t)width * sizeof *rows};
    NIB_TRY(api_tensor_own(model->runtime, &t, out, err));
fail:
    return status;
}

/* ---- the calls, as tasks.h has them */

nib_status nib_rank(nib_model *model, const char *query, const char *const *documents, size_t n,
                    const nib_rank_options *options, nib_ranked *out, size_t *count, nib_error *err) {
    return API_CALL(err, try_rank(model, query, documents, n, options, out, count, err));
}
nib_status nib_tag(nib_model *model, const char *const *texts, size_t n, const nib_tag_options *options, nib_tags **out,
                   nib_error *err) {
    return API_CALL(err, try_tag(model, texts, n, options, out, err));
}
nib_status nib_colbert(nib_model *model, nib_colbert_role role, const char *const *texts, size_t n,
                       const nib_colbert_options *options, int64_t *offsets, nib_tensor **out, nib_error *err) {
    return API_CALL(err, try_colbert(model, role, texts, n, options, offsets, out, err));
}
