/* SPDX-License-Identifier: Apache-2.0
 *
 * In: a graph. Out: a model file, and a file of weights beside it where they are too many for one; both appear only when both
 * are whole. Two writes of one graph give the same bytes, and so does a graph that was written and loaded.
 */
#include "onnx_write.h"
#include <stdio.h>
#include <string.h>

static void put_graph(onnx_out *s, const void *record);

/* ---------------------------------------------------------------- attributes and nodes */

static void put_tensor_attr(onnx_out *s, uint32_t field, const graph_tensor *t) {
    onnx_put_message(s, field, onnx_put_tensor, &(onnx_named_tensor){NULL, t});
}

static void put_attribute_list(onnx_out *s, const graph_attr *a) {
    for (size_t i = 0; i < a->count; i++) switch (a->kind) {
        case GRAPH_ATTR_FLOATS: onnx_put_float(s, 7, a->u.floats[i]); break;
        case GRAPH_ATTR_INTS: onnx_put_int(s, 8, a->u.ints[i]); break;
        case GRAPH_ATTR_STRINGS: onnx_put_field(s, 9, a->u.strings[i].data, a->u.strings[i].length); break;
        case GRAPH_ATTR_TENSORS: put_tensor_attr(s, 10, a->u.tensors[i]); break;
        case GRAPH_ATTR_GRAPHS: onnx_put_message(s, 11, put_graph, a->u.graphs[i]); break;
        default: return;
        }
}

static void put_attribute(onnx_out *s, const void *record) {
    const graph_attr *a = record;
    onnx_put_text(s, 1, a->name);
    if (!a->ref) switch (a->kind) {
        case GRAPH_ATTR_FLOAT: onnx_put_float(s, 2, a->u.f); break;
        case GRAPH_ATTR_INT: onnx_put_int(s, 3, a->u.i); break;
        case GRAPH_ATTR_STRING: onnx_put_field(s, 4, a->u.s.data, a->u.s.length); break;
        case GRAPH_ATTR_TENSOR: put_tensor_attr(s, 5, a->u.tensor); break;
        case GRAPH_ATTR_GRAPH: onnx_put_message(s, 6, put_graph, a->u.graph); break;
        case GRAPH_ATTR_TYPE: onnx_put_message(s, 14, onnx_put_type, a->u.type); break;
        default: put_attribute_list(s, a); break;
        }
    onnx_put_int(s, 20, a->kind);
    onnx_put_text(s, 21, a->ref);
}

static void put_string(onnx_out *s, uint32_t field, graph_string text) {
    if (text.length) onnx_put_field(s, field, text.data, text.length);
}

static void put_prop(onnx_out *s, const void *record) {
    const graph_string *pair = record;
    onnx_put_field(s, 1, pair[0].data, pair[0].length);
    onnx_put_field(s, 2, pair[1].data, pair[1].length);
}

static void put_doc(onnx_out *s, uint32_t field, const graph_metadata *w) {
    if (w) put_string(s, field, w->doc);
}

static void put_props(onnx_out *s, uint32_t field, const graph_metadata *w) {
    for (size_t i = 0; w && i < w->n_props; i++) onnx_put_message(s, field, put_prop, w->props[i]);
}

static void put_node(onnx_out *s, const void *record) {
    const graph_node *n = record;
    for (int i = 0; i < n->n_inputs; i++) {
        const char *name = n->inputs[i].value ? n->inputs[i].value->name : "";
        onnx_put_field(s, 1, name, strlen(name));
    }
    for (int i = 0; i < n->n_outputs; i++) {
        const char *name = n->outputs[i] ? n->outputs[i]->name : "";
        onnx_put_field(s, 2, name, strlen(name));
    }
    onnx_put_text(s, 3, n->name);
    onnx_put_text(s, 4, n->op);
    for (int i = 0; i < n->n_attrs; i++) onnx_put_message(s, 5, put_attribute, &n->attrs[i]);
    put_doc(s, 6, n->metadata);
    onnx_put_text(s, 7, n->domain);
    put_props(s, 9, n->metadata);
}

/* ---------------------------------------------------------------- graphs */

static void put_value_info(onnx_out *s, const void *record) {
    const graph_value *v = record;
    bool known = v->type.kind != GRAPH_KIND_TENSOR || v->type.dtype != NIB_DTYPE_UNDEFINED;
    onnx_put_text(s, 1, v->name);
    if (known) onnx_put_message(s, 2, onnx_put_type, &v->type);
}

static void put_constant(onnx_out *s, const void *record) {
    const graph_value *v = record;
    onnx_put_tensor(s, &(onnx_named_tensor){v->name, v->preset ? v->preset : v->constant});
}

static void put_types(onnx_out *s, const graph *g) {
    for (const graph_node *n = g->first; n; n = n->next)
        for (int i = 0; i < n->n_outputs; i++) {
            const graph_value *v = n->outputs[i];
            if (v && !v->is_output && (v->type.dtype != NIB_DTYPE_UNDEFINED)) onnx_put_message(s, 13, put_value_info, v);
        }
}

static void put_graph(onnx_out *s, const void *record) {
    const graph *g = record;
    const char *name = g->name[0] ? g->name : "graph";
    for (const graph_node *n = g->first; n; n = n->next) onnx_put_message(s, 1, put_node, n);
    onnx_put_text(s, 2, name);
    for (int i = 0; i < g->n_constants; i++) onnx_put_message(s, 5, put_constant, g->constants[i]);
    for (int i = graph_required_inputs(g); i < g->n_inputs; i++) onnx_put_message(s, 5, put_constant, g->inputs[i]);
    put_doc(s, 10, g->metadata);
    for (int i = 0; i < g->n_inputs; i++) onnx_put_message(s, 11, put_value_info, g->inputs[i]);
    for (int i = 0; i < g->n_outputs; i++) onnx_put_message(s, 12, put_value_info, g->outputs[i]);
    if (s->w->types) put_types(s, g);
    put_props(s, 16, g->metadata);
}

/* ---------------------------------------------------------------- the model */

/* Which version of the file format an opset of ai.onnx came with, and an element type: https://onnx.ai/onnx/repo-docs/Versioning.html.
 * 4 is the least that has constants which are no inputs. */
static const struct {
    int opset, ir;
} opset_irs[] = {{28, 14}, {25, 13}, {24, 12}, {23, 11}, {21, 10}, {19, 9}, {15, 8}, {12, 7}, {11, 6}, {10, 5}, {0, 4}};

static const struct {
    nib_dtype dtype;
    int ir;
} dtype_irs[] = {{NIB_DTYPE_BF16, 4},       {NIB_DTYPE_F8E4M3FN, 9}, {NIB_DTYPE_F8E4M3FNUZ, 9}, {NIB_DTYPE_F8E5M2, 9},
                 {NIB_DTYPE_F8E5M2FNUZ, 9}, {NIB_DTYPE_U4, 10},      {NIB_DTYPE_I4, 10},        {NIB_DTYPE_F4E2M1, 11},
                 {NIB_DTYPE_F8E8M0, 12},    {NIB_DTYPE_U2, 13},      {NIB_DTYPE_I2, 13}};

static void ir_of(nib_dtype dtype, int64_t *ir) {
    for (size_t k = 0; k < BASE_COUNT(dtype_irs); k++)
        if (dtype == dtype_irs[k].dtype && *ir < dtype_irs[k].ir) *ir = dtype_irs[k].ir;
}

static int64_t ir_version(const graph *g) {
    int64_t ir = g->ir_version > 4 ? g->ir_version : 4;
    int opset = graph_opset_version(g, "");
    for (size_t i = 0; i < BASE_COUNT(opset_irs); i++)
        if (opset >= opset_irs[i].opset) {
            if (ir < opset_irs[i].ir) ir = opset_irs[i].ir;
            break;
        }
    for (int i = 0; i < g->n_constants; i++) ir_of(g->constants[i]->constant->dtype, &ir);
    for (int i = 0; i < g->n_inputs; i++) ir_of(g->inputs[i]->type.dtype, &ir);
    return ir;
}

static void put_opset(onnx_out *s, const void *record) {
    const graph_opset *o = record;
    onnx_put_field(s, 1, o->domain, strlen(o->domain));
    onnx_put_int(s, 2, o->version);
}

void onnx_put_model(onnx_out *s, const void *record) {
    const graph *g = record;
    onnx_put_int(s, 1, ir_version(g));
    if (g->producer_name.length) { /* who made the model, not who wrote it last: as optimizers do */
        put_string(s, 2, g->producer_name);
        put_string(s, 3, g->producer_version);
    } else {
        onnx_put_text(s, 2, "nib");
        onnx_put_text(s, 3, NIB_VERSION);
    }
    put_string(s, 4, g->model_domain);
    if (g->model_version) onnx_put_int(s, 5, g->model_version);
    put_doc(s, 6, g->model_metadata);
    onnx_put_message(s, 7, put_graph, g);
    for (int i = 0; i < g->n_opsets; i++) onnx_put_message(s, 8, put_opset, &g->opsets[i]);
    put_props(s, 14, g->model_metadata);
}

/* ---------------------------------------------------------------- files */

static nib_status write_external(onnx_writing *w, base_writer *out) {
    static const uint8_t zeros[ONNX_EXTERNAL_ALIGN];
    nib_status status = NIB_OK;
    uint64_t at = 0;
    for (size_t i = 0; i < w->n_placed; i++) {
        const graph_tensor *t = w->placed[i].tensor;
        NIB_TRY(base_writer_write(out, zeros, (size_t)(w->placed[i].offset - at), w->err));
        NIB_TRY(base_writer_write(out, t->data, t->bytes, w->err));
        at = w->placed[i].offset + t->bytes;
        for (int k = 0; k < w->mapped->n_files; k++) { /* its pages may leave memory: a model may be larger than that */
            const base_file *f = &w->mapped->files[k];
            if ((const uint8_t *)t->data >= f->data && (const uint8_t *)t->data < f->data + f->size)
                base_file_release(f, t->data, t->bytes);
        }
    }
fail:
    return status;
}

static nib_status write_model(onnx_writing *w, onnx_sink put, void *user) {
    onnx_out sink = {.w = w, .put = put, .user = user, .buffer = base_alloc(w->heap, ONNX_WRITE_BUFFER)};
    if (!sink.buffer) return base_error_set(w->err, NIB_OUT_OF_MEMORY, "out of memory for a buffer");
    onnx_put_model(&sink, w->g);
    onnx_sink_flush(&sink);
    base_free(w->heap, sink.buffer);
    return w->status;
}

static nib_status to_file(void *writer, const void *bytes, size_t n, nib_error *err) { return base_writer_write(writer, bytes, n, err); }

nib_status onnx_write_compiled(nib_runtime *runtime, const graph *g, const onnx_place_of *places, size_t n, onnx_sink put, void *user,
                               nib_error *err) {
    onnx_writing w = {.g = g, .mapped = g, .heap = &runtime->heap, .places = places, .n_places = n, .err = err};
    return write_model(&w, put, user);
}

static const char *file_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

nib_status onnx_save(nib_runtime *runtime, const graph *g, const char *path, const onnx_save_options *options, nib_error *err) {
    nib_status status = NIB_OK;
    base_heap *heap = &runtime->heap;
    base_writer *model = NULL, *data = NULL;
    onnx_writing w = {
        .g = g, .mapped = options && options->mapped ? options->mapped : g, .heap = heap, .types = options && options->types, .err = err};
    uint64_t limit = options && options->external_over >= 0 ? (uint64_t)options->external_over : ONNX_FILE_LIMIT;
    onnx_out counter = {.w = &w};
    char *data_path = base_alloc(heap, strlen(path) + sizeof ".data");
    if (!data_path) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for a path");
    sprintf(data_path, "%s.data", path);
    onnx_put_model(&counter, g);
    NIB_TRY(w.status);
    if (counter.count > limit) {
        w.location = file_name(data_path);
        NIB_TRY(onnx_place(&w, g));
        counter = (onnx_out){.w = &w};
        onnx_put_model(&counter, g);
        NIB_TRY(w.status);
        if (counter.count > ONNX_FILE_LIMIT)
            NIB_FAIL(err, NIB_LIMIT, "the model needs %llu bytes without its weights; a file may have %u",
                     (unsigned long long)counter.count, (unsigned)ONNX_FILE_LIMIT);
    }
    NIB_TRY(base_writer_open(heap, path, &model, err));
    if (w.n_placed) {
        NIB_TRY(base_writer_open(heap, data_path, &data, err));
        NIB_TRY(write_external(&w, data));
        NIB_TRY(base_writer_sync(data, err));
    }
    NIB_TRY(write_model(&w, to_file, model));
    NIB_TRY(base_writer_sync(model, err)); /* what may fail has been done before the first of the two appears */
    base_writer *both[2] = {data, model};
    data = model = NULL;
    if (both[0] && (status = base_writer_commit(both[0], err)) != NIB_OK) base_writer_abort(both[1]);
    else status = base_writer_commit(both[1], err);
fail:
    base_writer_abort(model);
    base_writer_abort(data);
    base_free(heap, data_path);
    base_free(heap, w.placed);
    base_free(heap, w.found);
    return status;
}
