/* SPDX-License-Identifier: Apache-2.0
 *
 * nib.h's runtimes and models: arguments are checked here, everything else happens behind.
 */
#include "api_options.h"
#include "compiled/compiled.h"
#include "hub/hub.h"
#include "quantize/quantize.h"
#include "task/task.h"

#define EXPLAINED_TOKENS 128 /* of the text whose time explain shares out */

static nib_status try_runtime_create(const nib_runtime_options *options, nib_runtime **out, nib_error *err) {
    nib_status status = NIB_OK;
    nib_runtime_options o;
    nib_limits limits;
    if (!out) return base_error_set(err, NIB_INVALID_ARGUMENT, "nowhere to put the runtime");
    *out = NULL;
    NIB_TRY(api_options_take(API_RUNTIME_OPTIONS, &o, options, err));
    NIB_TRY(api_options_take(API_LIMITS, &limits, o.limits, err));
    o.limits = &limits;
    if (o.threads < 0) NIB_FAIL(err, NIB_INVALID_ARGUMENT, "threads is negative");
    status = base_runtime_create(&o, out, err);
fail:
    return status;
}

void nib_runtime_free(nib_runtime *runtime) { base_runtime_release(runtime); }

int nib_runtime_threads(const nib_runtime *runtime) { return base_pool_threads(runtime->pool); }

void nib_runtime_memory(const nib_runtime *runtime, nib_memory *out, size_t size) {
    const base_heap *h = &runtime->heap;
    const nib_memory m = {
        .current = atomic_load((_Atomic size_t *)(uintptr_t)&h->current),
        .peak = atomic_load((_Atomic size_t *)(uintptr_t)&h->peak),
        .allocations = atomic_load((_Atomic uint64_t *)(uintptr_t)&h->allocations),
        .limit = h->limit,
        .refused = atomic_load((_Atomic size_t *)(uintptr_t)&h->refused),
        .refused_at = atomic_load((_Atomic size_t *)(uintptr_t)&h->refused_at),
    };
    api_fill(out, size, &m, sizeof m);
}

nib_status api_model_options_take(nib_model_options *o, const nib_model_options *given, nib_error *err) {
    nib_status status = api_options_take(API_MODEL_OPTIONS, o, given, err);
    if (status != NIB_OK) return status;
    if ((unsigned)o->pooling > NIB_POOLING_LAST || (unsigned)o->precision > NIB_PRECISION_MIXED || o->max_tokens < 0 ||
        o->batch_tokens < 0 || o->optimize > 2 || !(o->min_cosine >= 0 && o->min_cosine <= 1) || (unsigned)o->task >= MODEL_PROGRAMS)
        return base_error_set(err, NIB_INVALID_ARGUMENT, "an option is out of range");
    return NIB_OK;
}

/* MIXED is decided where a model is opened; a compiled one has decided, and sessions round nothing. */
nib_status api_open_held(const model_source *source, const nib_model_options *o, nib_model **out, nib_error *err) {
    nib_status status = compiled_open(source, o, out, err);
    if (status != NIB_OK) return status;
    const bool mixes = (*out)->computes == NIB_PRECISION_MIXED && !(*out)->compiled && !o->sessions;
    if (o->min_cosine > 0 || mixes) status = quantize_hold_to(*out, source, o, err);
    if (status == NIB_OK) return NIB_OK;
    model_release(*out);
    *out = NULL;
    return status;
}

static nib_status try_model_open(const model_source *source, const nib_model_options *options, nib_model **out, nib_error *err) {
    nib_model_options o;
    base_stop stop;
    char room[HUB_PATH];
    model_source from = *source;
    if (!out) return base_error_set(err, NIB_INVALID_ARGUMENT, "nowhere to put the model");
    *out = NULL;
    if (!source->bytes && (!source->path || !*source->path)) return base_error_set(err, NIB_INVALID_ARGUMENT, "no model was named");
    nib_status status = api_model_options_take(&o, options, err);
    if (status != NIB_OK) return status;
    base_stop_begin(&stop, o.stop, o.stop_user, MODEL_STAGES);
    if (status == NIB_OK) status = base_stop_check(err);
    if (status == NIB_OK && !from.bytes) status = hub_resolve(from.path, room, &from.path, err);
    if (status == NIB_OK) status = api_open_held(&from, &o, out, err);
    base_stop_end(&stop);
    return status;
}

nib_model *nib_model_retain(nib_model *model) { return model ? model_retain(model) : NULL; }
void nib_model_free(nib_model *model) { model_release(model); }
nib_task nib_model_task(const nib_model *model) { return model ? model->task : NIB_TASK_AUTO; }

/* NULL: the model has none. To callers a program that is made on demand is a part of the model that was always there.
 */
static const model_program *program_of(const nib_model *model, nib_task task) {
    const model_program *p = NULL;
    if (model) model_get_program((nib_model *)(uintptr_t)model, (int)task, &p, NULL);
    return p;
}

int64_t nib_model_dim(const nib_model *model) {
    const bool own = model && (model->task == NIB_TASK_TOKENS || model->task == NIB_TASK_COLBERT || model->task == NIB_TASK_HYBRID);
    const model_program *p = program_of(model, own ? model->task : NIB_TASK_EMBED);
    return p ? p->width : 0;
}

/* The program whose labels a model's are. */
static const model_program *labels_of(const nib_model *model) {
    return program_of(model, model && model->task == NIB_TASK_TAG ? NIB_TASK_TAG : NIB_TASK_CLASSIFY);
}

int64_t nib_model_label_count(const nib_model *model) {
    const model_program *p = labels_of(model);
    return p ? p->width : 0;
}

const char *nib_model_label(const nib_model *model, int64_t i) {
    const model_program *p = labels_of(model);
    return p && i >= 0 && i < p->width ? p->labels[i] : NULL;
}

int64_t nib_model_max_tokens(const nib_model *model) { return model ? model->max_tokens : 0; }

nib_status nib_model_describe(const nib_model *model, char *buffer, size_t capacity, size_t *length) {
    base_str s;
    if (!model || (!buffer && capacity)) return NIB_INVALID_ARGUMENT;
    base_str_init(&s, &model->runtime->heap);
    model_describe(model, &s);
    nib_status status = base_str_export(&s, buffer, capacity, length);
    base_str_free(&s);
    return status;
}

static nib_status try_model_explain(nib_model *model, char *buffer, size_t capacity, size_t *length, nib_error *err) {
    base_str s;
    nib_status status = NIB_OK;
    const model_program *program;
    plan_speed speed;
    if (!model || (!buffer && capacity)) return base_error_set(err, NIB_INVALID_ARGUMENT, "no model or no buffer");
    base_str_init(&s, &model->runtime->heap);
    status = model_get_program(model, (int)model->task, &program, err);
    if (status == NIB_UNSUPPORTED) status = model_get_program(model, MODEL_EXACT, &program, err);
    NIB_TRY(status);
    base_str_add(&s, program->notes);
    NIB_TRY(model_speed(model, &speed, err));
    int64_t tokens = model->max_tokens < EXPLAINED_TOKENS ? model->max_tokens : EXPLAINED_TOKENS;
    NIB_TRY(plan_explain(program->p, &speed, tokens, &s));
    NIB_TRY(base_str_export(&s, buffer, capacity, length));
fail:
    base_str_free(&s);
    return status;
}

nib_status nib_model_prompt(const nib_model *model, size_t i, const char **name, const char **text) {
    if (!model || !name || !text) return NIB_INVALID_ARGUMENT;
    if (i >= model->settings.prompt_count) return NIB_NOT_FOUND;
    *name = model->settings.prompts[i].name;
    *text = model->settings.prompts[i].text;
    return NIB_OK;
}

static nib_status try_model_choose_prompt(const nib_model *model, const char *name, const char **text, nib_error *err) {
    if (!model || !text) return base_error_set(err, NIB_INVALID_ARGUMENT, "no model, or nowhere to put the prompt");
    return task_prompt(model, name, NULL, text, err);
}

static nib_status try_model_warm(nib_model *model, int64_t max_tokens, int callers, nib_error *err) {
    if (!model) return base_error_set(err, NIB_INVALID_ARGUMENT, "no model was given");
    if (max_tokens < 0 || callers < 1 || callers > 4096)
        return base_error_set(err, NIB_INVALID_ARGUMENT, "max_tokens is negative, or callers not from 1 to 4096");
    return task_warm(model, max_tokens, callers, err);
}

static nib_status try_tokenize(const nib_model *model, const char *text, size_t length, int64_t max_tokens, int32_t *ids, size_t *begins,
                               size_t *ends, size_t capacity, size_t *count, nib_error *err) {
    text_encoding e;
    nib_status status;
    if (!model || !text || !count || (capacity && !ids))
        return base_error_set(err, NIB_INVALID_ARGUMENT, "model, text, ids and count must be given");
    if ((status = model_check_tokenizer(model, err)) != NIB_OK) return status;
    if (max_tokens < 0) return base_error_set(err, NIB_INVALID_ARGUMENT, "max_tokens is negative");
    text_encoding_init(&e, &model->runtime->heap);
    status = text_encode(model->tokenizer, text, length, NULL, 0, max_tokens, true, &e, err);
    if (status == NIB_OK) {
        *count = e.count;
        for (size_t i = 0; i < e.count && i < capacity; i++) {
            ids[i] = e.ids[i];
            if (begins) begins[i] = e.spans[i].begin;
            if (ends) ends[i] = e.spans[i].end;
        }
    }
    text_encoding_free(&e);
    return status;
}

/* ---- the calls, as nib.h has them */

nib_status nib_runtime_create(const nib_runtime_options *options, nib_runtime **out, nib_error *err) {
    return API_CALL(err, try_runtime_create(options, out, err));
}
nib_status nib_model_open(const char *path, const nib_model_options *options, nib_model **out, nib_error *err) {
    return API_CALL(err, try_model_open(&(model_source){.path = path}, options, out, err));
}
nib_status nib_model_open_memory(const void *bytes, size_t size, const char *folder, const nib_model_options *options, nib_model **out,
                                 nib_error *err) {
    /* No bytes: no path either, or the folder would be the model. */
    const model_source source = {.path = bytes && folder && *folder ? folder : NULL, .bytes = bytes, .size = size};
    return API_CALL(err, try_model_open(&source, options, out, err));
}
nib_status nib_model_explain(nib_model *model, char *buffer, size_t capacity, size_t *length, nib_error *err) {
    return API_CALL(err, try_model_explain(model, buffer, capacity, length, err));
}
nib_status nib_model_choose_prompt(const nib_model *model, const char *name, const char **text, nib_error *err) {
    return API_CALL(err, try_model_choose_prompt(model, name, text, err));
}
nib_status nib_model_warm(nib_model *model, int64_t max_tokens, int callers, nib_error *err) {
    return API_CALL(err, try_model_warm(model, max_tokens, callers, err));
}
nib_status nib_tokenize(const nib_model *model, const char *text, size_t length, int64_t max_tokens, int32_t *ids, size_t *begins,
                        size_t *ends, size_t capacity, size_t *count, nib_error *err) {
    return API_CALL(err, try_tokenize(model, text, length, max_tokens, ids, begins, ends, capacity, count, err));
}
