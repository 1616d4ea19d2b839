/* SPDX-License-Identifier: Apache-2.0
 *
 * nib.h's tokenizers: a reference to the model whose tokenizer it is, or to one that is nothing else
 * (model_open_tokenizer). Arguments are checked here; src/text does the work.
 */
#include "api_options.h"
#include "hub/hub.h"
#include "model/model.h"
#include <string.h>

struct nib_tokenizer {
    nib_model *model; /* one reference */
};

/* Wraps the reference, which is released on failure. */
static nib_status wrap(nib_model *model, nib_tokenizer **out, nib_error *err) {
    *out = base_calloc(&model->runtime->heap, 1, sizeof **out);
    if (!*out) {
        model_release(model);
        return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory");
    }
    (*out)->model = model;
    return NIB_OK;
}

static nib_status try_tokenizer_open(const char *path, nib_runtime *runtime, nib_tokenizer **out, nib_error *err) {
    nib_model *model;
    char room[HUB_PATH];
    if (!out) return base_error_set(err, NIB_INVALID_ARGUMENT, "nowhere to put the tokenizer");
    *out = NULL;
    if (!path || !*path) return base_error_set(err, NIB_INVALID_ARGUMENT, "no tokenizer was named");
    nib_status status = hub_resolve(path, room, &path, err);
    if (status == NIB_OK) status = model_open_tokenizer(runtime, path, &model, err);
    return status == NIB_OK ? wrap(model, out, err) : status;
}

static nib_status try_model_tokenizer(nib_model *model, nib_tokenizer **out, nib_error *err) {
    if (!out) return base_error_set(err, NIB_INVALID_ARGUMENT, "nowhere to put the tokenizer");
    *out = NULL;
    if (!model) return base_error_set(err, NIB_INVALID_ARGUMENT, "model must be given");
    nib_status status = model_check_tokenizer(model, err);
    return status == NIB_OK ? wrap(model_retain(model), out, err) : status;
}

void nib_tokenizer_free(nib_tokenizer *t) {
    if (!t) return;
    nib_model *model = t->model;
    base_free(&model->runtime->heap, t);
    model_release(model);
}

int64_t nib_tokenizer_max_tokens(const nib_tokenizer *t) {
    return t->model->max_tokens > 0 ? t->model->max_tokens : text_max_tokens(t->model->tokenizer);
}

const char *nib_tokenizer_token(const nib_tokenizer *t, int32_t id, size_t *length) {
    *length = 0;
    return text_token(t->model->tokenizer, id, length);
}

static void copy_tokens(const text_encoding *e, bool typed, const nib_encode_options *o, int32_t *ids, size_t n) {
    for (size_t i = 0; i < n; i++) {
        ids[i] = e->ids[i];
        if (o->types) o->types[i] = typed ? e->type_ids[i] : 0;
        if (o->begins) o->begins[i] = e->spans[i].begin;
        if (o->ends) o->ends[i] = e->spans[i].end;
        if (o->parts) o->parts[i] = e->special[i] ? 2 : e->texts[i];
    }
}

/* What the options say over the model's limit, and that over the file's. */
static nib_status choose_cut(const nib_model *m, const nib_encode_options *o, text_truncation *u, nib_error *err) {
    static const text_strategy strategies[] = {
        [NIB_CUT_OWN] = TEXT_LONGEST_FIRST,
        [NIB_CUT_LONGEST_FIRST] = TEXT_LONGEST_FIRST,
        [NIB_CUT_ONLY_FIRST] = TEXT_ONLY_FIRST,
        [NIB_CUT_ONLY_SECOND] = TEXT_ONLY_SECOND,
    };
    const int64_t most = o->max_tokens < 0 && m->max_tokens > 0 ? m->max_tokens : o->max_tokens;
    if (o->max_tokens < NIB_TOKENS_OWN) return base_error_set(err, NIB_INVALID_ARGUMENT, "max_tokens is negative");
    if ((unsigned)o->cut > NIB_CUT_ONLY_SECOND || o->cut_front < -1 || o->cut_front > 1 || o->stride < -1)
        return base_error_set(err, NIB_INVALID_ARGUMENT, "an option is out of range");
    *u = text_own_truncation(m->tokenizer);
    if (most >= 0) u->max_tokens = most;
    if (most >= 0 || o->cut != NIB_CUT_OWN) u->strategy = strategies[o->cut];
    if (o->cut_front >= 0) u->left = o->cut_front;
    if (o->stride >= 0) u->stride = o->stride;
    u->windows = o->windows != 0;
    return NIB_OK;
}

static nib_status try_encode(const nib_tokenizer *t, const char *text, size_t length, const nib_encode_options *options,
                             int32_t *ids, size_t capacity, size_t *count, nib_error *err) {
    nib_status status = NIB_OK;
    nib_encode_options o;
    text_encoding e = {0};
    NIB_TRY(api_options_take(API_ENCODE_OPTIONS, &o, options, err));
    if (!t || !text || !count || (capacity && !ids))
        NIB_FAIL(err, NIB_INVALID_ARGUMENT, "tokenizer, text, ids and count must be given");
    const nib_model *m = t->model;
    text_truncation cut;
    NIB_TRY(choose_cut(m, &o, &cut, err));
    text_encoding_init(&e, &m->runtime->heap);
    NIB_TRY(text_encode_cut(m->tokenizer, text, length, o.pair, o.pair_length, &cut, !o.no_special, &e, err));
    copy_tokens(&e, !m->settings.tokenizer.no_types, &o, ids, e.count < capacity ? e.count : capacity);
    *count = e.count;
    if (o.full_count) *o.full_count = e.full_count;
    for (size_t i = 0; o.window_begins && i < e.window_count && i < o.window_capacity; i++)
        o.window_begins[i] = e.windows[i];
    if (o.window_count) *o.window_count = e.window_count;
fail:
    text_encoding_free(&e);
    return status;
}

static nib_status try_decode(const nib_tokenizer *t, const int32_t *ids, size_t n, int skip_special, char *buffer,
                             size_t capacity, size_t *length, nib_error *err) {
    base_str out;
    if (!t || (n && !ids) || !length || (capacity && !buffer))
        return base_error_set(err, NIB_INVALID_ARGUMENT, "tokenizer, ids, buffer and length must be given");
    base_str_init(&out, &t->model->runtime->heap);
    nib_status status = text_decode(t->model->tokenizer, ids, n, skip_special != 0, &out, err);
    if (status == NIB_OK) status = base_str_export(&out, buffer, capacity, length);
    base_str_free(&out);
    return status;
}

/* ---- the calls, as nib.h has them */

nib_status nib_tokenizer_open(const char *path, nib_runtime *runtime, nib_tokenizer **out, nib_error *err) {
    return API_CALL(err, try_tokenizer_open(path, runtime, out, err));
}
nib_status nib_model_tokenizer(nib_model *model, nib_tokenizer **out, nib_error *err) {
    return API_CALL(err, try_model_tokenizer(model, out, err));
}
nib_status nib_encode(const nib_tokenizer *tokenizer, const char *text, size_t length,
                      const nib_encode_options *options, int32_t *ids, size_t capacity, size_t *count, nib_error *err) {
    return API_CALL(err, try_encode(tokenizer, text, length, options, ids, capacity, count, err));
}
nib_status nib_decode(const nib_tokenizer *tokenizer, const int32_t *ids, size_t n, int skip_special, char *buffer,
                      size_t capacity, size_t *length, nib_error *err) {
    return API_CALL(err, try_decode(tokenizer, ids, n, skip_special, buffer, capacity, length, err));
}
