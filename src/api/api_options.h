/* SPDX-License-Identifier: Apache-2.0
 *
 * Structs of a caller who may have been built against another nib.h than this library. Option structs go in, older
 * (shorter) and newer (longer) ones; structs that calls fill go out, as long as the caller's are. Nothing beyond the
 * caller's size is read or written.
 *
 *     nib_model_options o;
 *     NIB_TRY(api_options_take(API_MODEL_OPTIONS, &o, given, err));     // whatever `given` is, o is complete
 *     ...
 *     return api_fill(out, size, &made, sizeof made);
 */
#ifndef API_OPTIONS_H
#define API_OPTIONS_H

#include "api.h"
#include <stdbool.h>

typedef enum api_options {
    API_RUNTIME_OPTIONS,
    API_LIMITS,
    API_MODEL_OPTIONS,
    API_EMBED_OPTIONS,
    API_CHUNK_OPTIONS,
    API_STREAM_OPTIONS,
    API_CLASSIFY_OPTIONS,
    API_QUEUE_OPTIONS,
    API_TICKET,
    API_VECTOR_OPTIONS,
    API_SEARCH_OPTIONS,
    API_ENCODE_OPTIONS,
    API_OPTIMIZE_OPTIONS,
    API_COMPILE_OPTIONS,
    API_QUANTIZE_OPTIONS,
    API_EXPORT_OPTIONS,
    API_PULL_OPTIONS,
    API_RANK_OPTIONS,
    API_TAG_OPTIONS,
    API_FILL_OPTIONS,
    API_ZERO_SHOT_OPTIONS,
    API_ANSWER_OPTIONS,
    API_COLBERT_OPTIONS,
    API_SPARSE_OPTIONS
} api_options;

/* Fills `into`, a struct of that kind as this library knows it, size included: the caller's members over the defaults.
 * `given` may be NULL. A member that is cut off by given->size is missing. INVALID_ARGUMENT: the size cannot be one, or
 * what lies beyond the members that are known is not 0. */
nib_status api_options_take(api_options kind, void *into, const void *given, nib_error *err);

/* The same of a model's options, and each within its range: how a model is opened, or compiled. */
nib_status api_model_options_take(nib_model_options *into, const nib_model_options *given, nib_error *err);
struct model_source;
/* Opens what the options ask for, and holds it to the cosine that they, or the precision mixed, ask for. Errors as nib_model_open. */
nib_status api_open_held(const struct model_source *source, const nib_model_options *o, nib_model **out, nib_error *err);

/* Copies what the caller has room for of a result, and zeroes the rest of that room. `out` may be NULL. */
void api_fill(void *out, size_t size, const void *made, size_t known);

/* A call's ticket in the caller's form, which `at` points to: afterwards *into, or NULL. `profile`: the call's.
 * `submits`: the call does not wait, and needs a queue. */
nib_status api_ticket_take(nib_ticket *into, const nib_ticket **at, const nib_profile *profile, bool submits,
                           nib_error *err);

/* The same of a call whose results come all together: INVALID_ARGUMENT, too, if the ticket has an answer. */
nib_status api_ticket_take_whole(nib_ticket *into, const nib_ticket **at, const nib_profile *profile, bool submits,
                                 nib_error *err);

/* The argument checks of nib_embed and nib_classify, which submitting shares. */
typedef struct api_embed { /* what nib_embed_options point to */
    nib_ticket ticket;
    nib_vector_options vectors;
    nib_chunk_options chunks;
} api_embed;
nib_status api_take_embed(nib_embed_options *o, api_embed *parts, const nib_embed_options *from, bool submits,
                          nib_error *err);
/* INVALID_ARGUMENT: its chunks want more than one row of a text. */
nib_status api_check_one_row(const nib_embed_options *o, nib_error *err);
nib_status api_take_classify(nib_classify_options *o, nib_ticket *ticket, const nib_classify_options *from,
                             bool submits, nib_error *err);
/* Runs a job of a task (NULL: there was no memory for it) within the caller's stop, which counts to `total`; or submits it,
 * where `request` is given: then there is no stop. Takes the job. */
struct task_job;
nib_status api_run_job(struct task_job *job, nib_stop_fn stop, void *stop_user, uint64_t total, nib_request **request, nib_error *err);
/* A call that submits, once it has a place for its request, which is NULL from then on. */
nib_status api_check_request(nib_request **request, nib_error *err);
#define API_SUBMIT(err, request, call) (api_check_request((request), (err)) == NIB_OK ? (call) : NIB_INVALID_ARGUMENT)
nib_status api_check_texts(const char *const *texts, size_t n, const char *kind, nib_error *err);

#endif
