/* SPDX-License-Identifier: Apache-2.0
 *
 * nib.h's models by name: argument checks, and the list of what the cache holds, each asked as opening it would.
 */
#include "api_options.h"
#include "base/base_disk.h"
#include "hub/hub.h"
#include "model/model.h"
#include <string.h>

/* ---------------------------------------------------------------- pulling */

static nib_status try_pull(const char *name, const nib_pull_options *options, nib_error *err) {
    nib_status status = NIB_OK;
    nib_pull_options o;
    nib_runtime *runtime = NULL;
    hub_env env = {.token = ""};
    hub_id id;
    base_stop stop;
    if (!name || !*name) return base_error_set(err, NIB_INVALID_ARGUMENT, "no model was named");
    NIB_TRY(api_options_take(API_PULL_OPTIONS, &o, options, err));
    if ((unsigned)o.weights > NIB_WEIGHTS_ONNX)
        NIB_FAIL(err, NIB_INVALID_ARGUMENT, "weights %d: there are none of that number", (int)o.weights);
    if (o.include_count && !o.include) NIB_FAIL(err, NIB_INVALID_ARGUMENT, "a count without a list");
    for (size_t i = 0; i < o.include_count; i++)
        if (!o.include[i]) NIB_FAIL(err, NIB_INVALID_ARGUMENT, "item %zu of a list is NULL", i);
    if (o.include_count && o.weights != NIB_WEIGHTS_AUTO)
        NIB_FAIL(err, NIB_INVALID_ARGUMENT, "patterns take the place of a choice of weights");
    NIB_TRY(hub_id_parse(name, &id, err));
    if (id.file[0]) NIB_FAIL(err, NIB_INVALID_ARGUMENT, "%s: a model is pulled, and a file of it by a pattern", name);
    NIB_TRY(hub_env_read(&env, err));
    if (o.runtime) runtime = base_runtime_retain(o.runtime);
    else NIB_TRY(base_runtime_create(NULL, &runtime, err));
    base_stop_begin(&stop, o.stop, o.stop_user, 0);
    const hub_pull how = {.runtime = runtime,
                          .env = &env,
                          .id = &id,
                          .weights = (hub_weights)o.weights,
                          .include = o.include,
                          .include_count = o.include_count,
                          .progress = o.progress,
                          .progress_user = o.progress_user};
    status = base_stop_check(err);
    if (status == NIB_OK) status = hub_pull_model(&how, err);
    base_stop_end(&stop);
fail:
    memset(env.token, 0, sizeof env.token);
    base_runtime_release(runtime);
    return status;
}

static nib_status try_hub_find(const char *name, char *buffer, size_t capacity, size_t *length, nib_error *err) {
    char room[HUB_PATH];
    const char *path;
    if (!name || !*name) return base_error_set(err, NIB_INVALID_ARGUMENT, "no model was named");
    if (!buffer && capacity) return base_error_set(err, NIB_INVALID_ARGUMENT, "no buffer");
    nib_status status = hub_resolve(name, room, &path, err);
    if (status != NIB_OK) return status;
    if (path == name && !base_path_taken(name))
        return base_error_set(err, NIB_INVALID_ARGUMENT, "%.300s: No such file or folder, and no ORG/NAME", name);
    const size_t n = strlen(path);
    if (length) *length = n;
    if (capacity) {
        const size_t fits = n < capacity ? n : capacity - 1;
        memcpy(buffer, path, fits);
        buffer[fits] = 0;
    }
    return NIB_OK;
}

/* ---------------------------------------------------------------- what the cache holds */

struct nib_hub {
    nib_runtime *runtime;
    base_arena strings;
    nib_hub_model *models; /* [count], a block of the heap */
    size_t count, capacity;
};

/* Numbers of a vector as the files say: the last module that says so, else config.json's hidden size once a pooling
 * mode. */
static int64_t width_of(const nib_model *m) {
    const hf_settings *s = &m->settings;
    int64_t width = s->hidden;
    if (model_gives_labels((int)m->task)) return (int64_t)m->labels.count;
    for (int i = 0; i < s->module_count; i++) width = hf_module_width(&s->modules[i], width);
    if (s->truncate_dim > 0 && s->truncate_dim < width) width = s->truncate_dim;
    return width < 0 ? 0 : width;
}

static const char *keep(nib_hub *hub, const char *text) {
    return base_arena_strndup(&hub->strings, text, strlen(text));
}

/* Reads the model as far as its graph and its small files: no plan, no packed weights. */
static nib_status ask(nib_hub *hub, const char *path, nib_hub_model *out) {
    nib_error why = {.message = ""};
    nib_model_options o;
    nib_model *m = NULL;
    const model_source source = {.path = path};
    nib_model_defaults(&o, sizeof o);
    o.runtime = hub->runtime;
    nib_status status = model_create(&source, &o, &m, &why);
    if (status == NIB_OK) status = model_prepare(m, &source, &o, &why);
    out->runs = status == NIB_OK;
    out->why = keep(hub, why.message);
    out->kind = keep(hub, m ? m->settings.model_type : "");
    out->file = keep(hub, m && m->file ? m->file : "");
    out->task = out->runs ? m->task : NIB_TASK_AUTO;
    out->dim = out->runs ? width_of(m) : 0;
    if (m) model_release(m);
    return status == NIB_OUT_OF_MEMORY || status == NIB_CANCELLED ? status : NIB_OK;
}

static nib_status add(void *user, const hub_model *found, nib_error *err) {
    nib_hub *hub = user;
    if (!base_grow(&hub->runtime->heap, (void **)&hub->models, &hub->capacity, hub->count + 1, sizeof *hub->models))
        return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory");
    nib_hub_model *m = &hub->models[hub->count];
    *m = (nib_hub_model){.name = keep(hub, found->repo),
                         .commit = keep(hub, found->commit),
                         .refs = keep(hub, found->refs),
                         .path = keep(hub, found->path),
                         .bytes = found->bytes,
                         .partial = found->partial};
    nib_status status = ask(hub, found->path, m);
    if (status != NIB_OK || !m->name || !m->commit || !m->refs || !m->path || !m->why || !m->file || !m->kind)
        return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory");
    hub->count++;
    return NIB_OK;
}

static nib_status try_hub_open(nib_runtime *runtime, nib_hub **out, nib_error *err) {
    nib_status status = NIB_OK;
    nib_hub *hub = NULL;
    hub_env env;
    if (!out) return base_error_set(err, NIB_INVALID_ARGUMENT, "nowhere to put the list");
    *out = NULL;
    if (runtime) runtime = base_runtime_retain(runtime);
    else NIB_TRY(base_runtime_create(NULL, &runtime, err));
    if (!(hub = base_calloc(&runtime->heap, 1, sizeof *hub))) {
        base_runtime_release(runtime);
        return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory");
    }
    hub->runtime = runtime;
    base_arena_init(&hub->strings, &runtime->heap);
    NIB_TRY(hub_env_read(&env, err));
    NIB_TRY(hub_each_model(&runtime->heap, &env, add, hub, err));
    *out = hub;
    return NIB_OK;
fail:
    nib_hub_free(hub);
    return status;
}

void nib_hub_free(nib_hub *hub) {
    if (!hub) return;
    nib_runtime *runtime = hub->runtime;
    base_arena_free(&hub->strings);
    base_free(&runtime->heap, hub->models);
    base_free(&runtime->heap, hub);
    base_runtime_release(runtime);
}

size_t nib_hub_count(const nib_hub *hub) { return hub ? hub->count : 0; }

nib_status nib_hub_model_get(const nib_hub *hub, size_t i, nib_hub_model *out, size_t size) {
    if (!hub || i >= hub->count || !out) return NIB_INVALID_ARGUMENT;
    api_fill(out, size, &hub->models[i], sizeof hub->models[i]);
    return NIB_OK;
}

/* ---------------------------------------------------------------- before weights are there */

static nib_status try_check(const char *name, nib_runtime *runtime, char *buffer, size_t capacity, size_t *length, nib_error *err) {
    nib_status status = NIB_OK;
    char path[4096];
    size_t n;
    base_str text = {0};
    if (!name || (capacity && !buffer)) return base_error_set(err, NIB_INVALID_ARGUMENT, "no name, or no buffer");
    if (runtime) runtime = base_runtime_retain(runtime);
    else NIB_TRY(base_runtime_create(NULL, &runtime, err));
    base_str_init(&text, &runtime->heap);
    NIB_TRY(try_hub_find(name, path, sizeof path, &n, err));
    if (n >= sizeof path) NIB_FAIL(err, NIB_LIMIT, "the path is longer than %zu bytes", sizeof path - 1);
    NIB_TRY(model_check(runtime, path, &text, err));
    status = base_str_export(&text, buffer, capacity, length);
    if (status != NIB_OK) base_error_set(err, status, "the text has %zu bytes", text.length);
fail:
    base_str_free(&text);
    base_runtime_release(runtime);
    return status;
}

/* ---- the calls, as nib.h has them */

nib_status nib_pull(const char *name, const nib_pull_options *options, nib_error *err) {
    return API_CALL(err, try_pull(name, options, err));
}
nib_status nib_hub_find(const char *name, char *buffer, size_t capacity, size_t *length, nib_error *err) {
    return API_CALL(err, try_hub_find(name, buffer, capacity, length, err));
}
nib_status nib_hub_open(nib_runtime *runtime, nib_hub **out, nib_error *err) {
    return API_CALL(err, try_hub_open(runtime, out, err));
}
nib_status nib_check(const char *name, nib_runtime *runtime, char *buffer, size_t capacity, size_t *length, nib_error *err) {
    return API_CALL(err, try_check(name, runtime, buffer, capacity, length, err));
}
