/* SPDX-License-Identifier: Apache-2.0
 *
 * nib/chunks.h: argument checks; src/task does the work.
 */
#include "api_options.h"
#include "task/task.h"

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

static nib_status try_embed_chunks(nib_model *model, const char *const *texts, size_t n,
                                   const nib_embed_options *options, int64_t *offsets, nib_tensor **spans,
                                   nib_tensor **out, nib_error *err) {
    nib_status status = NIB_OK;
    nib_embed_options o;
    api_embed parts;
    chunk_rows made;
    base_stop stop;
    if (spans) *spans = NULL;
    if (!out) return base_error_set(err, NIB_INVALID_ARGUMENT, "nowhere to put the vectors");
    *out = NULL;
    NIB_TRY(api_take_embed(&o, &parts, options, false, err));
    if (!model || !offsets || (n && !texts))
        NIB_FAIL(err, NIB_INVALID_ARGUMENT, "model, texts and offsets must be given");
    if (!o.chunks || o.chunks->overflow != NIB_OVERFLOW_CHUNK || o.chunks->aggregate < NIB_AGGREGATE_EACH)
        NIB_FAIL(err, NIB_INVALID_ARGUMENT, "chunks must be given, with overflow CHUNK and aggregate EACH or LATE");
    if (o.ticket && o.ticket->answer)
        NIB_FAIL(err, NIB_INVALID_ARGUMENT, "a ticket's answer is of calls with a vector for each text");
    NIB_TRY(api_check_texts(texts, n, "text", err));
    base_stop_begin(&stop, o.stop, o.stop_user, n);
    status = base_stop_check(err);
    if (status == NIB_OK) status = task_embed_chunks(model, texts, n, &o, offsets, &made, err);
    base_stop_end(&stop);
    NIB_TRY(status);
    NIB_TRY(own_rows(model->runtime, &made, spans, out, err));
fail:
    return status;
}

nib_status nib_embed_chunks(nib_model *model, const char *const *texts, size_t n, const nib_embed_options *options,
                            int64_t *offsets, nib_tensor **spans, nib_tensor **out, nib_error *err) {
    return API_CALL(err, try_embed_chunks(model, texts, n, options, offsets, spans, out, err));
}
