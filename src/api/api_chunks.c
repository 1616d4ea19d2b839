/* SPDX-License-Identifier: Apache-2.0
 *
 * nib/chunks.h: argument checks; src/task does the work.
 */
#include "api_options.h"
#include "task/task_job.h"
#include "task/task_stream.h"

static nib_status own_rows(nib_runtime *runtime, chunk_rows *made, nib_tensor **spans, nib_tensor **out,
                           nib_error *err) {
    nib_status status = NIB_OK;
    const nib_dtype dtype = nib_vector_dtype(made->made.type);
    const nib_tensor rows = {.dtype = dtype,
                             .rank = 2,
                             .dims = {(int64_t)made->count, (int64_t)made->made.bytes * 8 / nib_dtype_bits(dtype)},
                             .data = made->rows,
                             .bytes = made->count * made->made.bytes};
    const nib_tensor where = {.dtype = NIB_DTYPE_I64,
                              .rank = 2,
                              .dims = {(int64_t)made->count, 3},
                              .data = made->spans,
                              .bytes = made->count * sizeof *made->spans};
    if (spans) {
        NIB_TRY(api_tensor_own(runtime, &where, spans, err));
    } else {
        base_free(&runtime->heap, made->spans);
    }
    made->spans = NULL;
    status = api_tensor_own(runtime, &rows, out, err);
    made->rows = NULL;
    if (status != NIB_OK && spans) nib_tensor_free(*spans), *spans = NULL;
    return status;
fail:
    base_free(&runtime->heap, made->rows);
    return status;
}

/* To the tensors that the caller wants: to[0] rows, to[1] spans, or NULL. */
static nib_status give_chunks(task_job *job, nib_error *err) {
    chunk_rows made = task_chunks_rows(job);
    return own_rows(job->m->runtime, &made, job->to[1], job->to[0], err);
}

static nib_status try_embed_chunks(nib_model *model, const char *const *texts, size_t n,
                                   const nib_embed_options *options, int64_t *offsets, nib_tensor **spans,
                                   nib_tensor **out, nib_request **request, nib_error *err) {
    nib_status status = NIB_OK;
    nib_embed_options o;
    api_embed parts;
    if (spans) *spans = NULL;
    if (!out) return base_error_set(err, NIB_INVALID_ARGUMENT, "nowhere to put the vectors");
    *out = NULL;
    NIB_TRY(api_take_embed(&o, &parts, options, request != NULL, err));
    if (!model || !offsets || (n && !texts))
        NIB_FAIL(err, NIB_INVALID_ARGUMENT, "model, texts and offsets must be given");
    if (!o.chunks || o.chunks->overflow != NIB_OVERFLOW_CHUNK || o.chunks->aggregate < NIB_AGGREGATE_EACH)
        NIB_FAIL(err, NIB_INVALID_ARGUMENT, "chunks must be given, with overflow CHUNK and aggregate EACH or LATE");
    if (o.ticket && o.ticket->answer)
        NIB_FAIL(err, NIB_INVALID_ARGUMENT, "a ticket's answer is of calls with a vector for each text");
    NIB_TRY(api_check_texts(texts, n, "text", err));
    task_job *job = task_embed_job(model, texts, n, &o, NULL, offsets);
    if (job) job->give = give_chunks, job->to[0] = out, job->to[1] = spans;
    NIB_TRY(api_run_job(job, o.stop, o.stop_user, n, request, err));
fail:
    return status;
}

nib_status nib_embed_chunks(nib_model *model, const char *const *texts, size_t n, const nib_embed_options *options,
                            int64_t *offsets, nib_tensor **spans, nib_tensor **out, nib_error *err) {
    return API_CALL(err, try_embed_chunks(model, texts, n, options, offsets, spans, out, NULL, err));
}
nib_status nib_submit_embed_chunks(nib_model *model, const char *const *texts, size_t n, const nib_embed_options *options,
                                   int64_t *offsets, nib_tensor **spans, nib_tensor **out, nib_request **request,
                                   nib_error *err) {
    return API_CALL(err, API_SUBMIT(err, request, try_embed_chunks(model, texts, n, options, offsets, spans, out, request, err)));
}

/* ---- streams */

#define MAX_BYTES 65536
#define MAX_VECTORS 256

static nib_status try_open(nib_model *model, const nib_stream_options *options, nib_stream **out, nib_error *err) {
    nib_status status = NIB_OK;
    nib_stream_options o;
    nib_embed_options e;
    api_embed parts;
    if (!out) return base_error_set(err, NIB_INVALID_ARGUMENT, "nowhere to put the stream");
    *out = NULL;
    NIB_TRY(api_options_take(API_STREAM_OPTIONS, &o, options, err));
    NIB_TRY(api_take_embed(&e, &parts, o.embed, false, err));
    if (!model) NIB_FAIL(err, NIB_INVALID_ARGUMENT, "a model must be given");
    if (!e.chunks || e.chunks->overflow != NIB_OVERFLOW_CHUNK || e.chunks->aggregate != NIB_AGGREGATE_EACH)
        NIB_FAIL(err, NIB_INVALID_ARGUMENT, "a stream's embed must have chunks, with overflow CHUNK and aggregate EACH");
    if (e.lengths || e.tokens || e.full_tokens || e.profile || e.stop || (e.ticket && e.ticket->answer))
        NIB_FAIL(err, NIB_INVALID_ARGUMENT, "a stream takes no lengths, tokens, profile, stop or answer");
    if ((unsigned)o.full > NIB_QUEUE_FULL_BLOCK) NIB_FAIL(err, NIB_INVALID_ARGUMENT, "an option is out of range");
    if (!o.max_bytes) o.max_bytes = MAX_BYTES;
    if (!o.max_vectors) o.max_vectors = MAX_VECTORS;
    o.embed = &e;
    NIB_TRY(stream_open(model, &o, out, err));
fail:
    return status;
}

static nib_status try_feed(nib_stream *stream, const void *bytes, size_t length, size_t *taken, nib_error *err) {
    if (taken) *taken = 0;
    if (!stream || !taken || (length && !bytes))
        return base_error_set(err, NIB_INVALID_ARGUMENT, "stream, bytes and taken must be given");
    return stream_feed(stream, bytes, length, taken, err);
}

static nib_status try_end(nib_stream *stream, nib_error *err) {
    return stream ? stream_end(stream, err) : base_error_set(err, NIB_INVALID_ARGUMENT, "there is no stream");
}

static nib_status try_next(nib_stream *stream, double seconds, nib_stream_chunk *chunk, void *row, nib_error *err) {
    if (!stream || !chunk || !row) return base_error_set(err, NIB_INVALID_ARGUMENT, "stream, chunk and row must be given");
    return stream_next(stream, seconds, chunk, row, err);
}

nib_status nib_stream_open(nib_model *model, const nib_stream_options *options, nib_stream **out, nib_error *err) {
    return API_CALL(err, try_open(model, options, out, err));
}
nib_status nib_stream_feed(nib_stream *stream, const void *bytes, size_t length, size_t *taken, nib_error *err) {
    return API_CALL(err, try_feed(stream, bytes, length, taken, err));
}
nib_status nib_stream_end(nib_stream *stream, nib_error *err) { return API_CALL(err, try_end(stream, err)); }
nib_status nib_stream_next(nib_stream *stream, double seconds, nib_stream_chunk *chunk, void *row, nib_error *err) {
    return API_CALL(err, try_next(stream, seconds, chunk, row, err));
}
void nib_stream_free(nib_stream *stream) { stream_free(stream); }
void nib_stream_statistics_get(nib_stream *stream, nib_stream_statistics *out, size_t size) {
    nib_stream_statistics made = {0};
    if (stream) stream_statistics(stream, &made);
    api_fill(out, size, &made, sizeof made);
}
