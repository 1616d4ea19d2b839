/* SPDX-License-Identifier: Apache-2.0
 *
 * Opening a model. In: a path and options. Out: a model with its task's program planned and its tokenizer read, or an
 * error that names the file, the node or the byte.
 */
#include "model_callers.h"
#include "model_look.h"
#include "model_tasks.h"
#include <stdio.h>
#include <string.h>

static nib_status load_onnx(nib_runtime *runtime, const char *path, graph **out, nib_error *err) {
    nib_status status = onnx_load(runtime, path, out, err);
    if (status == NIB_BAD_MODEL) model_look(path, err);
    if (status != NIB_OK) base_error_in_file(err, path);
    return status;
}

/* ---------------------------------------------------------------- which file of a folder */

/* Forms of one model as ONNX, as exporters name them (Optimum, sentence-transformers, transformers.js). The lowest place
 * that is there is taken: what was not rounded goes first whatever is asked for, since nib rounds by itself. */
enum { FOR_MORE, FOR_Q4, FOR_COUNT }; /* precisions of 8 bits and more; of 4 */
static const struct {
    const char *file, *form;
    unsigned char place[FOR_COUNT];
} onnx_files[] = {
    {"model.onnx", "as it was exported", {0, 0}},
    {"onnx/model.onnx", "as it was exported", {1, 1}},
    {"onnx/model_O1.onnx", "simplified by Optimum", {2, 2}},
    {"onnx/model_O2.onnx", "fused by Optimum", {3, 3}},
    {"onnx/model_O3.onnx", "fused by Optimum, GELU by tanh", {4, 4}},
    {"model_optimized.onnx", "fused", {5, 5}},
    {"onnx/model_fp16.onnx", "in half precision", {6, 6}},
    {"onnx/model_O4.onnx", "in half precision", {7, 7}},
    {"onnx/model_int8.onnx", "in 8 bits", {8, 13}},
    {"onnx/model_quantized.onnx", "in 8 bits", {9, 14}},
    {"onnx/model_uint8.onnx", "in 8 bits", {10, 15}},
    {"model_quantized.onnx", "in 8 bits", {11, 16}},
    {"onnx/model_q4.onnx", "in 4 bits", {12, 8}},
    {"onnx/model_q4f16.onnx", "in 4 bits", {13, 9}},
    {"onnx/model_bnb4.onnx", "in 4 bits", {14, 10}},
};

static nib_status has_file(base_heap *heap, const char *dir, const char *name, bool *out, nib_error *err) {
    char *path = base_path_join(heap, dir, name);
    if (!path) return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory");
    *out = base_path_is_file(path);
    base_free(heap, path);
    return NIB_OK;
}

/* The row of onnx_files that is taken of a folder, or -1. */
static nib_status choose_onnx(base_heap *heap, const char *dir, nib_precision precision, int *out, nib_error *err) {
    const int column = precision == NIB_PRECISION_Q4 ? FOR_Q4 : FOR_MORE;
    *out = -1;
    for (size_t i = 0; i < BASE_COUNT(onnx_files); i++) {
        bool there = false;
        nib_status status = has_file(heap, dir, onnx_files[i].file, &there, err);
        if (status != NIB_OK) return status;
        if (there && (*out < 0 || onnx_files[i].place[column] < onnx_files[*out].place[column])) *out = (int)i;
    }
    return NIB_OK;
}

/* The graph of a folder's safetensors; *out stays NULL, and found->why says why, where it holds none that this reads. */
static nib_status load_safetensors(nib_runtime *runtime, const char *path, const char *route, graph **out, model_found *found,
                                   nib_error *err) {
    nib_status status = NIB_OK;
    base_heap *heap = &runtime->heap;
    hf_list list;
    char *dir = NULL;
    bool config = false, single = false, index = false;
    NIB_TRY(hf_list_load(runtime, path, route, false, &list, err));
    const bool known = list.is_static || list.count == 0 || strcmp(list.items[0].type, "Transformer") == 0;
    dir = hf_folder(runtime, path, hf_list_input(&list));
    if (!dir) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory");
    NIB_TRY(has_file(heap, dir, "config.json", &config, err));
    NIB_TRY(has_file(heap, dir, "model.safetensors", &single, err));
    NIB_TRY(has_file(heap, dir, "model.safetensors.index.json", &index, err));
    if (!known && !config)
        NIB_FAIL(err, NIB_UNSUPPORTED, "modules.json begins with a %s (%s), which nib does not have", list.items[0].type, list.items[0].path);
    found->file = single ? "model.safetensors" : "model.safetensors.index.json";
    snprintf(found->why, sizeof found->why, "safetensors go first: nib makes the graph of them and %s",
             list.is_static ? "modules.json" : "config.json");
    if ((single || index) && list.is_static) status = hf_load_static(runtime, dir, out, err);
    else if ((single || index) && config) status = hf_load_graph(runtime, dir, out, err);
    else snprintf(found->why, sizeof found->why, "there is no %s", config ? "model.safetensors" : "config.json with model.safetensors");
fail:
    base_free(heap, dir);
    return status;
}

static nib_status load_folder(nib_runtime *runtime, const char *path, const char *route, nib_precision precision, graph **out,
                              model_found *found, nib_error *err) {
    nib_status status = NIB_OK;
    base_heap *heap = &runtime->heap;
    char *onnx = NULL;
    nib_error why;
    int row;
    found->door = MODEL_DOOR_FOLDER;
    NIB_TRY(choose_onnx(heap, path, precision, &row, err));
    status = load_safetensors(runtime, path, route, out, found, &why);
    if (status == NIB_UNSUPPORTED && row >= 0) { /* a family that nib does not build: its ONNX file says all */
        snprintf(found->why, sizeof found->why, "not its safetensors: %.170s", why.message);
        status = NIB_OK;
    }
    if (status != NIB_OK && err) *err = why;
    if (status != NIB_OK || *out) goto fail;
    if (row < 0)
        NIB_FAIL(err, NIB_NOT_FOUND, "%s holds no model: neither config.json with model.safetensors, nor model.onnx, nor onnx/model.onnx%s",
                 path, model_look_in(heap, path));
    found->door = "folder with an ONNX file";
    found->file = onnx_files[row].file;
    const size_t used = strlen(found->why);
    snprintf(found->why + used, sizeof found->why - used, "; the model %s", onnx_files[row].form);
    onnx = base_path_join(heap, path, found->file);
    if (!onnx) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory");
    NIB_TRY(load_onnx(runtime, onnx, out, err));
fail:
    base_free(heap, onnx);
    return status;
}

nib_status model_load(nib_runtime *runtime, const char *path, const char *route, nib_precision precision, graph **out,
                      model_found *found, nib_error *err) {
    *out = NULL;
    *found = (model_found){.door = "ONNX file"};
    if (base_path_is_dir(path)) return load_folder(runtime, path, route, precision, out, found, err);
    if (base_file_begins(path, MODEL_COMPILED_MAGIC, sizeof MODEL_COMPILED_MAGIC - 1))
        return base_error_set(err, NIB_UNSUPPORTED, "%s is a compiled model, which only runs: this takes the model that it was made of", path);
    return load_onnx(runtime, path, out, err);
}

static nib_status load_source(nib_model *m, const model_source *from, nib_error *err) {
    nib_status status = NIB_OK;
    base_heap *heap = &m->runtime->heap;
    const char *path = from->path;
    model_found found = {.door = from->graph ? "graph" : "ONNX file in memory"};
    if (path) {
        bool is_folder = from->bytes || base_path_is_dir(path);
        m->folder = is_folder ? base_strndup(heap, path, strlen(path)) : base_path_dir(heap, path);
        if (!m->folder) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory");
    }
    if (from->graph) NIB_TRY(graph_clone(from->graph, &m->source, err));
    else if (from->bytes) NIB_TRY(onnx_load_memory(m->runtime, from->bytes, from->size, m->folder, &m->source, err));
    else NIB_TRY(model_load(m->runtime, path, m->asked.route, m->asked.precision, &m->source, &found, err));
    m->weight_bytes = from->size;
    m->file = found.file;
    memcpy(m->file_why, found.why, sizeof found.why);
    m->door = base_strndup(heap, found.door, strlen(found.door));
    if (!m->door) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory");
fail:
    return status;
}

/* The head of a reranker that is a decoder. */
static nib_status open_judge(nib_model *m, nib_error *err) {
    hf_judge *j = &m->settings.judge;
    if (!j->words_from[0] && m->tokenizer) {
        j->yes = text_token_id(m->tokenizer, j->words[0], strlen(j->words[0]));
        j->no = j->words[1] ? text_token_id(m->tokenizer, j->words[1], strlen(j->words[1])) : -1;
        if (j->yes < 0 || (j->words[1] && j->no < 0))
            snprintf(j->no_head, sizeof j->no_head, "the tokenizer has no tokens %s %s", j->words[0],
                     j->words[1] ? j->words[1] : "");
    }
    if (j->no_head[0] || !m->tokenizer) return NIB_OK;
    if (strcmp(m->door, MODEL_DOOR_FOLDER) == 0)
        return hf_judge_open(m->runtime, m->folder, &m->settings, m->source, err);
    snprintf(j->no_head, sizeof j->no_head,
             "the scores of words are products with a table of safetensors, and the graph is an ONNX file's");
    return NIB_OK;
}

/* What lies beside the model. */
static nib_status load_small_files(nib_model *m, nib_error *err) {
    nib_status status = NIB_OK;
    NIB_TRY(hf_settings_load(m->runtime, m->folder, m->asked.route, &m->settings, err));
    NIB_TRY(hf_modules_open(m->runtime, m->folder, &m->settings, m->source, err));
    if (m->folder) NIB_TRY(hf_m3_open(m->runtime, m->folder, &m->settings, m->source, err));
    NIB_TRY(hf_labels_load(m->runtime, m->folder, &m->labels, err));
    NIB_TRY(model_find_tokenizer(m, err));
    if (m->settings.judge.next_word) NIB_TRY(open_judge(m, err));
fail:
    return status;
}

static nib_status check_options(const nib_model_options *o, nib_error *err) {
    switch (o->precision) {
    case NIB_PRECISION_FILE:
    case NIB_PRECISION_AUTO:
    case NIB_PRECISION_F32:
    case NIB_PRECISION_BF16:
    case NIB_PRECISION_Q8:
    case NIB_PRECISION_Q4:
    case NIB_PRECISION_MIXED: return NIB_OK;
    default: return base_error_set(err, NIB_UNSUPPORTED, "this precision is not built into this nib; it has: f32, bf16, q8, q4, mixed");
    }
}

const char *model_positions_why(const nib_model *m) {
    return m->positions_why ? m->positions_why : "max_position_embeddings of config.json";
}

/* The limit on a text's tokens: what was asked for, else what the folder says, never beyond what the graph's shape allows. */
nib_status model_choose_max_tokens(nib_model *m, int64_t wanted, nib_error *err) {
    int64_t n = wanted;
    const char *why = "asked for";
    if (n <= 0) n = m->settings.max_tokens, why = m->settings.max_tokens_from;
    if (n <= 0 && m->tokenizer) n = text_max_tokens(m->tokenizer), why = "tokenizer.json";
    if (n <= 0 && m->settings.any_length) n = INT32_MAX, why = "a mean of rows has no limit";
    if (n <= 0) n = 512, why = "nothing was said";
    if (m->settings.positions > 0 && n > m->settings.positions) n = m->settings.positions, why = model_positions_why(m);
    if (m->roles.fixed_seq > 0 && n > m->roles.fixed_seq) n = m->roles.fixed_seq, why = "the graph's fixed shape";
    if (wanted > n)
        return base_error_set(err, NIB_INVALID_ARGUMENT, "texts of %lld tokens were asked for; the model has %lld positions (%s)",
                              (long long)wanted, (long long)n, why);
    m->max_tokens = n;
    snprintf(m->max_tokens_why, sizeof m->max_tokens_why, "%s", why);
    return NIB_OK;
}

static void choose_pooling(nib_model *m, const nib_model_options *o) {
    m->pooling = o->pooling != NIB_POOLING_MODEL            ? o->pooling
                 : m->settings.pooling != NIB_POOLING_MODEL ? m->settings.pooling
                                                            : NIB_POOLING_MEAN;
    if (o->pooling != NIB_POOLING_MODEL || m->settings.module_count == 0) hf_modules_pool_by(&m->settings, m->pooling);
    m->normalize = o->normalize >= 0 ? o->normalize != 0 : m->settings.normalize;
    if (m->settings.truncate_dim > 0 && o->normalize < 0) m->normalize_first = m->normalize, m->normalize = false;
    m->batch_tokens = o->batch_tokens;
    m->optimize = o->optimize < 0 ? 2 : o->optimize;
    m->pack = o->pack != 0;
    m->precision = o->precision;
    m->precision_why = o->precision == NIB_PRECISION_FILE ? "the file's own" : "asked for";
    m->computes = o->precision == NIB_PRECISION_AUTO ? model_auto_precision(m, &m->precision_why) : o->precision;
    m->task = o->task;
    m->task_why = "asked for";
    if (m->task == NIB_TASK_AUTO) m->task = model_choose_task(m, &m->task_why);
}

/* The program of the model's task; a model that cannot do it stays usable through sessions, and for other tasks. */
static nib_status make_own(nib_model *m, const nib_model_options *o, nib_error *err) {
    nib_status status = NIB_OK;
    const model_program *p;
    status = model_get_program(m, (int)m->task, &p, err);
    p = model_own(m);
    if (status == NIB_UNSUPPORTED && p->cannot[0]) return NIB_OK;
    NIB_TRY(status);
    if (p->longest && (m->settings.positions <= 0 || p->longest < m->settings.positions)) {
        m->settings.positions = p->longest;
        m->positions_why = "a table of the model's mask ends there";
        NIB_TRY(model_choose_max_tokens(m, o->max_tokens, err));
    }
    if (m->task == NIB_TASK_EMBED && m->settings.excludes_prompt && p->roles.skip < 0)
        base_log(m->runtime, NIB_LOG_WARN, "%s: include_prompt false is not applied: the graph pools by itself",
                 m->settings.pooling_from);
fail:
    return status;
}

/* What ids and types must be below: the rows of the table that they look up. */
static int64_t rows_for(const nib_model *m, int input) {
    int64_t below = input < 0 ? 0 : model_input_below(m, input);
    return below > 0 ? below : INT64_MAX;
}

void model_opened(nib_model *m) {
    m->ids_below = rows_for(m, m->roles.ids);
    m->types_below = rows_for(m, m->roles.types);
}

nib_status model_create(const model_source *source, const nib_model_options *options, nib_model **out, nib_error *err) {
    nib_status status = NIB_OK;
    nib_runtime *rt = NULL;
    nib_model *m = NULL;
    *out = NULL;
    NIB_TRY(check_options(options, err));
    if (options->runtime) rt = base_runtime_retain(options->runtime);
    else NIB_TRY(base_runtime_create(NULL, &rt, err));
    m = base_calloc(&rt->heap, 1, sizeof *m);
    if (!m) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory");
    m->runtime = rt;
    atomic_store(&m->references, 1);
    m->lock = base_mutex_create(&rt->heap);
    m->measuring = base_mutex_create(&rt->heap);
    bool locked = m->lock && m->measuring;
    for (int i = 0; i < MODEL_PROGRAMS; i++) locked &= (m->slots[i].making = base_mutex_create(&rt->heap)) != NULL;
    m->task = NIB_TASK_EMBED; /* until it is chosen */
    const char *path = source->bytes ? "memory" : source->path;
    m->path = base_strndup(&rt->heap, path, strlen(path));
    m->asked = *options;
    const char **const texts[] = {&m->asked.output_name, &m->asked.route};
    for (size_t i = 0; i < BASE_COUNT(texts); i++) {
        if (*texts[i]) *texts[i] = base_strndup(&rt->heap, *texts[i], strlen(*texts[i]));
        locked &= *texts[i] != NULL || (i ? options->route : options->output_name) == NULL;
    }
    if (!locked || !m->path) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory");
    NIB_TRY(cpu_open(rt, &m->device, err));
    NIB_TRY(model_open_devices(rt, m->device, options->device, m->devices, &m->n_devices, err));
    *out = m;
    return NIB_OK;
fail:
    if (m) model_release(m);
    else base_runtime_release(rt);
    return status;
}

/* All that is asked for while this runs is on watch. */
nib_status model_prepare(nib_model *m, const model_source *source, const nib_model_options *options, nib_error *err) {
    nib_status status = NIB_OK;
    base_watch watch;
    char why[300];
    base_watch_begin(&watch, &m->runtime->heap);
    NIB_TRY(load_source(m, source, err));
    base_stop_advance(1);
    for (int i = 0; i < m->source->n_files; i++) m->weight_bytes += m->source->files[i].size;
    op_resolve(m->source);
    model_find_roles(m);
    NIB_TRY(op_infer_declared(m->source, why, sizeof why, err));
    if (why[0]) base_log(m->runtime, NIB_LOG_WARN, "%s: shapes that the file declares are left out: %s", m->path, why);
    NIB_TRY(load_small_files(m, err));
    NIB_TRY(model_all_granted(m, &watch, err));
    base_stop_advance(1);
    choose_pooling(m, options);
    NIB_TRY(model_choose_max_tokens(m, options->max_tokens, err));
fail:
    base_watch_end(&watch);
    return status;
}

static nib_status open_into(nib_model *m, const model_source *source, const nib_model_options *options, nib_error *err) {
    nib_status status = NIB_OK;
    nib_runtime *rt = m->runtime;
    NIB_TRY(model_prepare(m, source, options, err));
    if (options->sessions && !m->no_texts[0]) snprintf(m->no_texts, sizeof m->no_texts, "it was opened for sessions alone");
    NIB_TRY(make_own(m, options, err));
    base_stop_advance(2);
    if (m->precision == NIB_PRECISION_AUTO)
        base_log(rt, NIB_LOG_INFO, "precision auto: %s, because %s", nib_precision_name(model_arithmetic(m->computes)),
                 m->precision_why);
    model_opened(m);
fail:
    return status;
}

nib_status model_open(const model_source *source, const nib_model_options *options, nib_model **out, nib_error *err) {
    nib_model *m;
    nib_status status = model_create(source, options, &m, err);
    if (status == NIB_OK) status = open_into(m, source, options, err);
    if (status != NIB_OK) model_release(m);
    *out = status == NIB_OK ? m : NULL;
    return status;
}

static void free_compiled(base_heap *heap, model_compiled *c) {
    if (!c) return;
    base_file_close(&c->file);
    base_free(heap, c->about);
    base_free(heap, c->made_of);
    base_free(heap, c->library);
    base_free(heap, c->cpu);
    base_free(heap, c->precision_why);
    base_free(heap, c->below);
    base_free(heap, c);
}

nib_model *model_retain(nib_model *m) {
    atomic_fetch_add(&m->references, 1);
    return m;
}

void model_release(nib_model *m) {
    if (!m || atomic_fetch_sub(&m->references, 1) != 1) return;
    nib_runtime *rt = m->runtime;
    base_heap *heap = &rt->heap;
    for (int i = 0; i < MODEL_PROGRAMS; i++) {
        model_free_callers(m, i);
        model_free_program(heap, &m->slots[i].program);
        base_mutex_free(heap, m->slots[i].making);
    }
    model_close_devices(m->runtime, m->device, m->devices, m->n_devices);
    if (!m->compiled) graph_free(m->source);
    free_compiled(heap, m->compiled);
    text_tokenizer_free(m->tokenizer);
    hf_settings_free(heap, &m->settings);
    base_mutex_free(heap, m->lock);
    base_mutex_free(heap, m->measuring);
    hf_labels_free(heap, &m->labels);
    quant_layers_free(heap, &m->chosen);
    base_free(heap, (char *)(uintptr_t)m->asked.output_name);
    base_free(heap, (char *)(uintptr_t)m->asked.route);
    base_free(heap, m->no_tokenizer);
    base_free(heap, m->door);
    base_free(heap, m->path);
    base_free(heap, m->folder);
    base_free(heap, m);
    base_runtime_release(rt);
}

nib_status model_check_tokenizer(const nib_model *m, nib_error *err) {
    if (m->tokenizer) return NIB_OK;
    if (m->no_tokenizer_status == NIB_UNSUPPORTED)
        return base_error_set(err, NIB_UNSUPPORTED, "%s: a tokenizer of this kind is not supported; the model takes token ids",
                              m->no_tokenizer);
    return base_error_set(err, m->no_tokenizer_status, "%s: %s", m->path, m->no_tokenizer);
}

nib_status model_speed(nib_model *m, plan_speed *out, nib_error *err) {
    nib_status status = NIB_OK;
    base_mutex_lock(m->measuring);
    if (!m->has_speed) status = m->device->table->measure(m->device, 1, &m->speed, err);
    m->has_speed |= status == NIB_OK;
    *out = m->speed;
    base_mutex_unlock(m->measuring);
    return status;
}
