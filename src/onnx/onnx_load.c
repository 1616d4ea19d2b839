/* SPDX-License-Identifier: Apache-2.0
 *
 * In: a model file (mapped, or bytes that outlive the graph). Out: a verified graph whose constants point into it.
 *
 *     bytes -> onnx_decode: records in a scratch arena -> onnx_build_graph: values and nodes -> graph_verify
 *
 * The graph takes the mapping first and the records are freed last, so that whatever fails, nothing points into nothing.
 */
#include "onnx_build.h"
#include <string.h>

/* ---------------------------------------------------------------- graphs */

/* Every name that the graph's nodes define; twice is an error here, before anything is built. */
static nib_status declare_outputs(onnx_loader *l, const onnx_node_list *nodes, onnx_map *declared) {
    nib_status status = NIB_OK;
    const onnx_node *n = NULL;
    for (size_t i = 0; i < nodes->count; i++) {
        n = &nodes->items[i];
        for (size_t k = 0; k < n->output.count; k++) {
            const void *old;
            if (n->output.items[k].size == 0) continue;
            NIB_TRY(onnx_map_put(l, declared, n->output.items[k], n, &old));
            if (old) NIB_FAIL(l->err, NIB_BAD_MODEL, "'%s' is defined twice", onnx_show(l, n->output.items[k]));
        }
    }
    return NIB_OK;
fail:
    base_error_at_node(l->err, onnx_show(l, n->name.size > 0 ? n->name : n->op_type));
    base_error_at_offset(l->err, n->head.offset);
    return status;
}

static nib_status build_initializers(onnx_loader *l, onnx_scope *s, const onnx_graph *r) {
    nib_status status = NIB_OK;
    int64_t offset = -1;
    for (size_t i = 0; i < r->initializer.count; i++) {
        const onnx_tensor *t = &r->initializer.items[i];
        graph_tensor tensor;
        offset = t->head.offset;
        if (t->name.size == 0) NIB_FAIL(l->err, NIB_BAD_MODEL, "an initializer without a name");
        l->may_be_packed = l->blobs && !s->g->parent;
        status = onnx_tensor_build(l, t, &tensor);
        l->may_be_packed = false;
        NIB_TRY(status);
        NIB_TRY(onnx_define_constant(l, s, t->name, &tensor));
    }
    for (size_t i = 0; i < r->sparse_initializer.count; i++) {
        const onnx_sparse *t = &r->sparse_initializer.items[i];
        graph_tensor tensor;
        offset = t->head.offset;
        if (!t->values || t->values->name.size == 0) NIB_FAIL(l->err, NIB_BAD_MODEL, "an initializer without a name");
        NIB_TRY(onnx_sparse_build(l, t, &tensor));
        NIB_TRY(onnx_define_constant(l, s, t->values->name, &tensor));
    }
    return NIB_OK;
fail:
    base_error_at_offset(l->err, offset);
    return status;
}

#define IR_OF_PRESETS 4

/* An input that has an initializer, too: before IR 4 every initializer was listed so, and is a constant; later the initializer is what
 * the input holds where a caller gives nothing. Inputs of bodies are given by the node, and what has a value there is a constant. */
static nib_status build_presets(onnx_loader *l, onnx_scope *s, const onnx_graph *r, int64_t *offset) {
    nib_status status = NIB_OK;
    if (s->outer || l->g->ir_version < IR_OF_PRESETS) return NIB_OK;
    for (size_t i = 0; i < r->input.count; i++) {
        const onnx_value_info *info = &r->input.items[i];
        graph_value *v = onnx_map_get(&s->values, info->name) ? onnx_find(s, info->name) : NULL;
        graph_type declared;
        *offset = info->head.offset;
        if (!v || !v->constant) continue;
        NIB_TRY(onnx_type_build(l, l->g->symbols, info->type, &declared));
        if (graph_make_preset(s->g, v, &declared) != NIB_OK) NIB_FAIL(l->err, NIB_OUT_OF_MEMORY, "no memory for an input");
    }
    graph_drop_presets(s->g);
fail:
    return status;
}

static nib_status build_inputs(onnx_loader *l, onnx_scope *s, const onnx_graph *r) {
    nib_status status = NIB_OK;
    int64_t offset = -1;
    for (size_t i = 0; i < r->input.count; i++) {
        const onnx_value_info *info = &r->input.items[i];
        offset = info->head.offset;
        if (info->name.size == 0) NIB_FAIL(l->err, NIB_BAD_MODEL, "an input without a name");
        graph_value *v = onnx_map_get(&s->values, info->name) ? onnx_find(s, info->name) : NULL;
        if (v && v->constant) continue;
        NIB_TRY(onnx_define(l, s, info->name, &v));
        NIB_TRY(onnx_type_build(l, l->g->symbols, info->type, &v->type));
        if (graph_add_input(s->g, v) != NIB_OK) NIB_FAIL(l->err, NIB_OUT_OF_MEMORY, "no memory for an input");
    }
    NIB_TRY(build_presets(l, s, r, &offset));
    return NIB_OK;
fail:
    base_error_at_offset(l->err, offset);
    return status;
}

/* What the file says of a value that a node makes; inputs and constants know better themselves. */
static nib_status note_types(onnx_loader *l, const onnx_scope *s, const onnx_value_info_list *infos) {
    nib_status status = NIB_OK;
    for (size_t i = 0; i < infos->count; i++) {
        const onnx_value_info *info = &infos->items[i];
        graph_value *v = info->type ? (graph_value *)(uintptr_t)onnx_map_get(&s->values, info->name) : NULL;
        if (v && v->producer && v->producer->owner == s->g) NIB_TRY(onnx_type_build(l, l->g->symbols, info->type, &v->type));
    }
fail:
    return status;
}

/* A subgraph may return a value of the graph around it, or one value twice: then through an Identity of its own. */
static nib_status build_outputs(onnx_loader *l, onnx_scope *s, const onnx_graph *r) {
    nib_status status = NIB_OK;
    int64_t offset = -1;
    for (size_t i = 0; i < r->output.count; i++) {
        onnx_bytes name = r->output.items[i].name;
        offset = r->output.items[i].head.offset;
        graph_value *v = name.size > 0 ? onnx_find(s, name) : NULL;
        if (!v) NIB_FAIL(l->err, NIB_BAD_MODEL, "output '%s' is never defined", onnx_show(l, name));
        if (v->is_output && s->outer == NULL) NIB_FAIL(l->err, NIB_BAD_MODEL, "output '%s' is listed twice", onnx_show(l, name));
        if (v->is_output || !onnx_map_get(&s->values, name)) {
            v = graph_emit(s->g, NULL, "", "Identity", &v, 1, v->name);
            if (!v) NIB_FAIL(l->err, NIB_OUT_OF_MEMORY, "no memory for an output");
        }
        if (graph_add_output(s->g, v) != NIB_OK) NIB_FAIL(l->err, NIB_OUT_OF_MEMORY, "no memory for an output");
    }
    return NIB_OK;
fail:
    base_error_at_offset(l->err, offset);
    return status;
}

nib_status onnx_build_graph(onnx_loader *l, onnx_scope *s, const onnx_graph *r) {
    nib_status status = NIB_OK;
    onnx_map declared = {0};
    s->declared = &declared;
    s->g->name = onnx_intern(l, r->name, &status);
    if (!s->g->name) goto fail;
    NIB_TRY(onnx_build_metadata(l, r->doc_string, &r->metadata, &s->g->metadata));
    NIB_TRY(declare_outputs(l, &r->node, &declared));
    NIB_TRY(build_initializers(l, s, r));
    NIB_TRY(build_inputs(l, s, r));
    NIB_TRY(onnx_build_nodes(l, s, &r->node));
    if (!l->blobs) { /* what a compiled file says of values inside is not believed, and not needed */
        NIB_TRY(note_types(l, s, &r->value_info));
        NIB_TRY(note_types(l, s, &r->output));
    }
    NIB_TRY(build_outputs(l, s, r));
fail:
    s->declared = NULL;
    return status;
}

/* ---------------------------------------------------------------- the model */

static nib_status build_opsets(onnx_loader *l) {
    nib_status status = NIB_OK;
    int64_t offset = -1;
    for (size_t i = 0; i < l->model->opset_import.count; i++) {
        const onnx_opset *o = &l->model->opset_import.items[i];
        offset = o->head.offset;
        const char *domain = onnx_domain(l, o->domain, &status);
        if (!domain) goto fail;
        if (o->version < 1 || o->version > INT32_MAX) NIB_FAIL(l->err, NIB_BAD_MODEL, "opset version %lld", (long long)o->version);
        if (domain[0] == 0 && (o->version < ONNX_MIN_OPSET || o->version > ONNX_MAX_OPSET))
            NIB_FAIL(l->err, NIB_UNSUPPORTED, "opset %lld of ai.onnx; nib knows %d to %d", (long long)o->version, ONNX_MIN_OPSET,
                     ONNX_MAX_OPSET);
        int before = graph_opset_version(l->g, domain);
        if (before > 0 && before != o->version && strcmp(domain, "nib") != 0)
            NIB_FAIL(l->err, NIB_BAD_MODEL, "domain '%s' is imported as version %d and %lld", domain, before, (long long)o->version);
        if (l->g->n_opsets > 1000) NIB_FAIL(l->err, NIB_LIMIT, "more than 1000 domains are imported");
        NIB_TRY(graph_set_opset(l->g, domain, (int)o->version, l->err));
    }
    return NIB_OK;
fail:
    base_error_at_offset(l->err, offset);
    return status;
}

static graph_string as_string(onnx_bytes b) { return (graph_string){(const char *)b.data, b.size}; }

/* The domains of local functions, all of whose calls were inlined. */
static void forget_functions(onnx_loader *l, const onnx_model *m) {
    int kept = 0;
    for (int i = 0; i < l->g->n_opsets; i++) {
        bool local = false;
        for (size_t k = 0; k < m->functions.count && !local; k++)
            local = onnx_bytes_are(m->functions.items[k].domain, l->g->opsets[i].domain);
        if (!local || !l->g->opsets[i].domain[0] || graph_uses_domain(l->g, l->g->opsets[i].domain)) l->g->opsets[kept++] = l->g->opsets[i];
    }
    l->g->n_opsets = kept;
}

static nib_status build_model(onnx_loader *l, const onnx_model *m) {
    nib_status status = NIB_OK;
    onnx_scope scope = {.g = l->g};
    if (!m->graph) NIB_FAIL(l->err, NIB_BAD_MODEL, "no graph: this is not an ONNX model, or it is cut off");
    if (m->graph->node.count == 0 && m->graph->output.count == 0) NIB_FAIL(l->err, NIB_BAD_MODEL, "the graph is empty");
    l->g->ir_version = m->ir_version;
    const char *producer = base_arena_printf(l->g->arena, "%s%s%s", onnx_show(l, m->producer_name), m->producer_version.size ? " " : "",
                                             onnx_show(l, m->producer_version));
    if (!producer) NIB_FAIL(l->err, NIB_OUT_OF_MEMORY, "no memory for the model");
    l->g->producer = producer;
    l->g->producer_name = as_string(m->producer_name);
    l->g->producer_version = as_string(m->producer_version);
    l->g->model_domain = as_string(m->domain);
    l->g->model_version = m->model_version;
    NIB_TRY(onnx_build_metadata(l, m->doc_string, &m->metadata, &l->g->model_metadata));
    NIB_TRY(build_opsets(l));
    NIB_TRY(onnx_function_index(l));
    NIB_TRY(onnx_build_graph(l, &scope, m->graph));
    forget_functions(l, m);
    NIB_TRY(graph_verify(l->g, l->err));
fail:
    return status;
}

static nib_status load(onnx_loader *l, const void *bytes, size_t size) {
    nib_status status = NIB_OK;
    onnx_model model;
    l->file = bytes;
    l->into = l->g->arena;
    l->model = &model;
    base_arena_init(&l->scratch, &l->runtime->heap);
    NIB_TRY(onnx_decode(&l->scratch, ONNX_MODEL, bytes, bytes, size, &model, l->err));
    NIB_TRY(build_model(l, &model));
fail:
    base_arena_free(&l->scratch);
    return status;
}

nib_status onnx_load(nib_runtime *runtime, const char *path, graph **out, nib_error *err) {
    nib_status status = NIB_OK;
    onnx_loader l = {.runtime = runtime, .model_path = path, .err = err};
    base_file file = {0};
    char *dir = base_path_dir(&runtime->heap, path);
    *out = NULL;
    if (!dir) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "no memory for a path");
    l.dir = dir;
    NIB_TRY(base_file_open(&runtime->heap, path, runtime->private_reads, &file, err));
    const uint8_t *bytes = file.data;
    size_t size = file.size;
    NIB_TRY(graph_create(&runtime->heap, &l.g, err));
    NIB_TRY(graph_take_file(l.g, &file, err));
    NIB_TRY(load(&l, bytes, size));
    base_free(&runtime->heap, dir);
    *out = l.g;
    return NIB_OK;
fail:
    base_file_close(&file);
    graph_free(l.g);
    base_free(&runtime->heap, dir);
    return status;
}

static nib_status load_memory(onnx_loader *l, const void *bytes, size_t size, graph **out) {
    nib_status status = NIB_OK;
    *out = NULL;
    NIB_TRY(graph_create(&l->runtime->heap, &l->g, l->err));
    NIB_TRY(load(l, bytes, size));
    *out = l->g;
    return NIB_OK;
fail:
    graph_free(l->g);
    return status;
}

nib_status onnx_load_memory(nib_runtime *runtime, const void *bytes, size_t size, const char *folder, graph **out, nib_error *err) {
    return load_memory(&(onnx_loader){.runtime = runtime, .dir = folder, .err = err}, bytes, size, out);
}

nib_status onnx_load_compiled(nib_runtime *runtime, const void *bytes, size_t size, onnx_blobs blobs, graph **out, nib_error *err) {
    return load_memory(&(onnx_loader){.runtime = runtime, .blobs = &blobs, .err = err}, bytes, size, out);
}

static nib_status container(onnx_loader *l, nib_dtype dtype, size_t count, graph_tensor *out) {
    *out = (graph_tensor){.dtype = dtype, .rank = 1, .dims = {(int64_t)count}, .bytes = count * sizeof(graph_tensor)};
    out->data = base_arena_calloc(l->into, count + 1, sizeof(graph_tensor));
    return out->data ? NIB_OK : base_error_set(l->err, NIB_OUT_OF_MEMORY, "no memory for a sequence");
}

static nib_status build_optional(onnx_loader *l, const onnx_optional *r, graph_tensor *out);

static nib_status build_sequence(onnx_loader *l, const onnx_sequence *r, graph_tensor *out) {
    nib_status status = NIB_OK;
    size_t n = r->tensors.count + r->sequences.count + r->optionals.count, k = 0;
    NIB_TRY(container(l, NIB_DTYPE_SEQUENCE, n, out));
    graph_tensor *items = out->data;
    for (size_t i = 0; i < r->tensors.count; i++) NIB_TRY(onnx_tensor_build(l, &r->tensors.items[i], &items[k++]));
    for (size_t i = 0; i < r->sequences.count; i++) NIB_TRY(build_sequence(l, &r->sequences.items[i], &items[k++]));
    for (size_t i = 0; i < r->optionals.count; i++) NIB_TRY(build_optional(l, &r->optionals.items[i], &items[k++]));
fail:
    return status;
}

static nib_status build_optional(onnx_loader *l, const onnx_optional *r, graph_tensor *out) {
    nib_status status = NIB_OK;
    NIB_TRY(container(l, NIB_DTYPE_OPTIONAL, r->tensor || r->sequence, out));
    if (r->tensor) NIB_TRY(onnx_tensor_build(l, r->tensor, out->data));
    else if (r->sequence) NIB_TRY(build_sequence(l, r->sequence, out->data));
fail:
    return status;
}

nib_status onnx_load_value(base_arena *arena, graph_kind kind, const void *bytes, size_t size, graph_tensor *out, nib_error *err) {
    nib_status status = NIB_OK;
    onnx_loader l = {.into = arena, .file = bytes, .copy_raw = true, .err = err};
    onnx_sequence sequence;
    onnx_optional optional;
    if (kind == GRAPH_KIND_TENSOR) return onnx_load_tensor(arena, bytes, size, out, err);
    base_arena_init(&l.scratch, arena->heap);
    if (kind == GRAPH_KIND_SEQUENCE) {
        NIB_TRY(onnx_decode(&l.scratch, ONNX_SEQUENCE, bytes, bytes, size, &sequence, err));
        NIB_TRY(build_sequence(&l, &sequence, out));
    } else if (kind == GRAPH_KIND_OPTIONAL) {
        NIB_TRY(onnx_decode(&l.scratch, ONNX_OPTIONAL, bytes, bytes, size, &optional, err));
        NIB_TRY(build_optional(&l, &optional, out));
    } else {
        NIB_FAIL(err, NIB_UNSUPPORTED, "maps are not supported");
    }
fail:
    base_arena_free(&l.scratch);
    return status;
}

nib_status onnx_load_tensor(base_arena *arena, const void *bytes, size_t size, graph_tensor *out, nib_error *err) {
    nib_status status = NIB_OK;
    onnx_loader l = {.into = arena, .file = bytes, .copy_raw = true, .err = err};
    onnx_tensor record;
    base_arena_init(&l.scratch, arena->heap);
    NIB_TRY(onnx_decode(&l.scratch, ONNX_TENSOR, bytes, bytes, size, &record, err));
    NIB_TRY(onnx_tensor_build(&l, &record, out));
fail:
    base_arena_free(&l.scratch);
    return status;
}
