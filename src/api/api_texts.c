/* SPDX-License-Identifier: Apache-2.0
 *
 * nib.h's calls with texts: argument checks; src/task does the work. Each runs within the caller's stop, which counts
 * texts.
 */
#include "api_options.h"
#include "task/task.h"

nib_status api_check_texts(const char *const *texts, size_t n, const char *kind, nib_error *err) {
    for (size_t i = 0; i < n; i++)
        if (!texts[i]) return base_error_set(err, NIB_INVALID_ARGUMENT, "%s %zu is NULL", kind, i);
    return NIB_OK;
}

nib_status api_ticket_take(nib_ticket *into, const nib_ticket **at, const nib_profile *profile, bool submits,
                           nib_error *err) {
    nib_status status = NIB_OK;
    const nib_ticket *given = *at;
    *at = NULL;
    if (!given && submits) NIB_FAIL(err, NIB_INVALID_ARGUMENT, "a ticket with a queue must be given");
    if (!given) return NIB_OK;
    NIB_TRY(api_options_take(API_TICKET, into, given, err));
    if (!into->queue && submits) NIB_FAIL(err, NIB_INVALID_ARGUMENT, "the ticket must have a queue");
    if (!into->queue && (into->client || into->priority || into->deadline != 0))
        NIB_FAIL(err, NIB_INVALID_ARGUMENT, "client, priority and deadline are a queue's, and the ticket has none");
    if (into->queue && profile) NIB_FAIL(err, NIB_INVALID_ARGUMENT, "what waits in a queue cannot be profiled");
    if (into->finish && !submits)
        NIB_FAIL(err, NIB_INVALID_ARGUMENT, "a call that waits has no use for the ticket's finish");
    if (!(into->deadline >= 0)) NIB_FAIL(err, NIB_INVALID_ARGUMENT, "the ticket's deadline is no number of seconds");
    *at = into;
fail:
    return status;
}

static nib_status take_chunks(nib_chunk_options *into, const nib_chunk_options **at, nib_error *err) {
    nib_status status = api_options_take(API_CHUNK_OPTIONS, into, *at, err);
    *at = into;
    if (status != NIB_OK) return status;
    if ((unsigned)into->overflow > NIB_OVERFLOW_CHUNK || (unsigned)into->aggregate > NIB_AGGREGATE_LATE ||
        into->tokens < 0 || into->overlap < 0 || (into->sentences & ~1) || into->overlap_sentences < 0)
        return base_error_set(err, NIB_INVALID_ARGUMENT, "an option of chunks is out of range");
    if (into->overlap && into->overlap_sentences)
        return base_error_set(err, NIB_INVALID_ARGUMENT, "chunks overlap by tokens or by sentences, not both");
    return NIB_OK;
}

nib_status api_take_embed(nib_embed_options *o, api_embed *parts, const nib_embed_options *from, bool submits,
                          nib_error *err) {
    nib_status status = api_options_take(API_EMBED_OPTIONS, o, from, err);
    if (status == NIB_OK && o->vectors) {
        status = api_options_take(API_VECTOR_OPTIONS, &parts->vectors, o->vectors, err);
        o->vectors = &parts->vectors;
    }
    if (status == NIB_OK && o->chunks) status = take_chunks(&parts->chunks, &o->chunks, err);
    if (status == NIB_OK && o->max_tokens < 0)
        return base_error_set(err, NIB_INVALID_ARGUMENT, "max_tokens is negative");
    if (status == NIB_OK && submits && o->stop)
        return base_error_set(err, NIB_INVALID_ARGUMENT, "a submitted call has no stop: it is cancelled");
    return status == NIB_OK ? api_ticket_take(&parts->ticket, &o->ticket, o->profile, submits, err) : status;
}

nib_status api_take_classify(nib_classify_options *o, nib_ticket *ticket, const nib_classify_options *from,
                             bool submits, nib_error *err) {
    nib_status status = api_options_take(API_CLASSIFY_OPTIONS, o, from, err);
    if (status == NIB_OK && (o->max_tokens < 0 || (unsigned)o->scores > NIB_SCORES_SIGMOID))
        return base_error_set(err, NIB_INVALID_ARGUMENT, "an option is out of range");
    if (status == NIB_OK && submits && o->stop)
        return base_error_set(err, NIB_INVALID_ARGUMENT, "a submitted call has no stop: it is cancelled");
    return status == NIB_OK ? api_ticket_take(ticket, &o->ticket, o->profile, submits, err) : status;
}

nib_status api_check_one_row(const nib_embed_options *o, nib_error *err) {
    if (!o->chunks || o->chunks->overflow != NIB_OVERFLOW_CHUNK || o->chunks->aggregate < NIB_AGGREGATE_EACH) return NIB_OK;
    return base_error_set(err, NIB_INVALID_ARGUMENT, "a vector of each chunk is what nib_embed_chunks gives");
}

static nib_status try_embed(nib_model *model, const char *const *texts, size_t n, const nib_embed_options *options,
                            void *out, nib_error *err) {
    nib_status status = NIB_OK;
    nib_embed_options o;
    api_embed parts;
    base_stop stop;
    NIB_TRY(api_take_embed(&o, &parts, options, false, err));
    if (!model || (n && (!texts || !out))) NIB_FAIL(err, NIB_INVALID_ARGUMENT, "model, texts and out must be given");
    NIB_TRY(api_check_one_row(&o, err));
    NIB_TRY(api_check_texts(texts, n, "text", err));
    base_stop_begin(&stop, o.stop, o.stop_user, n);
    status = base_stop_check(err);
    if (status == NIB_OK) status = task_embed(model, texts, n, &o, out, err);
    base_stop_end(&stop);
fail:
    return status;
}

static nib_status try_embed_ids(nib_model *model, const int32_t *const *ids, const int64_t *lengths, size_t n,
                                const nib_embed_options *options, void *out, nib_error *err) {
    nib_status status = NIB_OK;
    nib_embed_options o;
    api_embed parts;
    base_stop stop;
    NIB_TRY(api_take_embed(&o, &parts, options, false, err));
    if (!model || (n && (!ids || !lengths || !out)))
        NIB_FAIL(err, NIB_INVALID_ARGUMENT, "model, ids, lengths and out must be given");
    if (o.chunks && o.chunks->overflow) NIB_FAIL(err, NIB_INVALID_ARGUMENT, "ids are taken as they are: chunks are of texts");
    for (size_t i = 0; i < n; i++)
        if (!ids[i]) NIB_FAIL(err, NIB_INVALID_ARGUMENT, "ids %zu are NULL", i);
    base_stop_begin(&stop, o.stop, o.stop_user, n);
    status = base_stop_check(err);
    if (status == NIB_OK) status = task_embed_ids(model, ids, lengths, n, &o, out, err);
    base_stop_end(&stop);
fail:
    return status;
}

static nib_status try_embed_tokens(nib_model *model, const char *const *texts, size_t n,
                                   const nib_embed_options *options, int64_t *offsets, nib_tensor **out,
                                   nib_error *err) {
    nib_status status = NIB_OK;
    nib_embed_options o;
    api_embed parts;
    task_vectors made;
    base_stop stop;
    void *rows = NULL;
    if (!out) return base_error_set(err, NIB_INVALID_ARGUMENT, "nowhere to put the vectors");
    *out = NULL;
    NIB_TRY(api_take_embed(&o, &parts, options, false, err));
    if (!model || !offsets || (n && !texts))
        NIB_FAIL(err, NIB_INVALID_ARGUMENT, "model, texts and offsets must be given");
    if (o.chunks && o.chunks->overflow)
        NIB_FAIL(err, NIB_INVALID_ARGUMENT, "vectors of tokens are of texts that fit, or are cut: they have no chunks");
    NIB_TRY(api_check_texts(texts, n, "text", err));
    base_stop_begin(&stop, o.stop, o.stop_user, n);
    status = base_stop_check(err);
    if (status == NIB_OK) status = task_embed_tokens(model, texts, n, &o, offsets, &rows, &made, err);
    base_stop_end(&stop);
    NIB_TRY(status);
    const nib_dtype dtype = nib_vector_dtype(made.type);
    const nib_tensor t = {.dtype = dtype,
                          .rank = 2,
                          .dims = {offsets[n], (int64_t)made.bytes * 8 / nib_dtype_bits(dtype)},
                          .data = rows,
                          .bytes = (size_t)offsets[n] * made.bytes};
    NIB_TRY(api_tensor_own(model->runtime, &t, out, err));
fail:
    return status;
}

static nib_status try_classify(nib_model *model, const char *const *texts, const char *const *pairs, size_t n,
                               const nib_classify_options *options, float *out, nib_error *err) {
    nib_status status = NIB_OK;
    nib_classify_options o;
    nib_ticket ticket;
    base_stop stop;
    NIB_TRY(api_take_classify(&o, &ticket, options, false, err));
    if (!model || (n && (!texts || !out))) NIB_FAIL(err, NIB_INVALID_ARGUMENT, "model, texts and out must be given");
    NIB_TRY(api_check_texts(texts, n, "text", err));
    if (pairs) NIB_TRY(api_check_texts(pairs, n, "second text", err));
    base_stop_begin(&stop, o.stop, o.stop_user, n);
    status = base_stop_check(err);
    if (status == NIB_OK) status = task_classify(model, texts, pairs, n, &o, out, err);
    base_stop_end(&stop);
fail:
    return status;
}

/* ---- the calls, as nib.h has them */

nib_status nib_embed(nib_model *model, const char *const *texts, size_t n, const nib_embed_options *options, void *out,
                     nib_error *err) {
    return API_CALL(err, try_embed(model, texts, n, options, out, err));
}
nib_status nib_embed_ids(nib_model *model, const int32_t *const *ids, const int64_t *lengths, size_t n,
                         const nib_embed_options *options, void *out, nib_error *err) {
    return API_CALL(err, try_embed_ids(model, ids, lengths, n, options, out, err));
}
nib_status nib_embed_tokens(nib_model *model, const char *const *texts, size_t n, const nib_embed_options *options,
                            int64_t *offsets, nib_tensor **out, nib_error *err) {
    return API_CALL(err, try_embed_tokens(model, texts, n, options, offsets, out, err));
}
nib_status nib_classify(nib_model *model, const char *const *texts, const char *const *pairs, size_t n,
                        const nib_classify_options *options, float *out, nib_error *err) {
    return API_CALL(err, try_classify(model, texts, pairs, n, options, out, err));
}
