/* SPDX-License-Identifier: Apache-2.0
 *
 * In: the modules of a folder, as hf_modules.c has read them. Out: their weights, and their operators behind a value.
 */
#include "hf_modules.h"
#include <stdio.h>
#include <string.h>

/* ---------------------------------------------------------------- weights */

/* [rows, columns], or [rows] if columns is 0, of module m. */
static nib_status find(const hf_module *m, const hf_weights *w, const char *name, int64_t rows, int64_t columns, graph_tensor *out,
                       nib_error *err) {
    nib_status status = NIB_OK;
    const graph_tensor *t = hf_weights_find(w, name);
    const int rank = columns > 0 ? 2 : 1;
    if (!t) NIB_FAIL(err, NIB_BAD_MODEL, "%s/model.safetensors: the weight %s is missing", m->path, name);
    if (t->rank != rank || t->dims[0] != rows || (columns > 0 && t->dims[1] != columns))
        NIB_FAIL(err, NIB_BAD_MODEL, "%s/model.safetensors: the weight %s is of another shape than config.json says", m->path, name);
    if (t->dtype != NIB_DTYPE_F32 && t->dtype != NIB_DTYPE_F16 && t->dtype != NIB_DTYPE_BF16 && t->dtype != NIB_DTYPE_F64)
        NIB_FAIL(err, NIB_UNSUPPORTED, "%s/model.safetensors: the weight %s is of type %s", m->path, name, nib_dtype_name(t->dtype));
    *out = *t;
fail:
    return status;
}

static nib_status open_one(nib_runtime *runtime, const char *dir, hf_module *m, graph *g, nib_error *err) {
    nib_status status = NIB_OK;
    const hf_module_kind *k = m->kind;
    const bool square = k->across != NULL; /* a matrix, not a factor for each number */
    hf_weights *w = NULL;
    char name[100];
    snprintf(name, sizeof name, "%s%smodel.safetensors", m->path, m->path[0] ? "/" : "");
    NIB_TRY(hf_weights_open_file(runtime, dir, name, &w, err));
    NIB_TRY(find(m, w, k->weight, m->out, square ? m->in : 0, &m->weight, err));
    if (m->bias) NIB_TRY(find(m, w, k->offset, m->out, 0, &m->offset, err));
    if (m->residual && m->in != m->out) NIB_TRY(find(m, w, k->across, m->out, m->in, &m->across, err));
    NIB_TRY(hf_weights_give_files(w, g, err));
fail:
    hf_weights_close(w);
    return status;
}

/* What other tools write in place of model.safetensors is not read: the model is one that nib cannot embed with. */
static bool has_weights(nib_runtime *runtime, const char *dir, const hf_module *m) {
    char name[100];
    snprintf(name, sizeof name, "%s%smodel.safetensors", m->path, m->path[0] ? "/" : "");
    char *path = base_path_join(&runtime->heap, dir, name);
    const bool there = !path || base_path_is_file(path); /* without memory for the path, opening says so */
    base_free(&runtime->heap, path);
    return there;
}

nib_status hf_modules_open(nib_runtime *runtime, const char *dir, hf_settings *s, graph *g, nib_error *err) {
    nib_status status = NIB_OK;
    for (int i = 0; i < s->module_count; i++) {
        hf_module *m = &s->modules[i];
        if (!m->kind->weight) continue;
        if (!has_weights(runtime, dir, m)) {
            snprintf(s->unsupported, sizeof s->unsupported, "%.70s: %s without a model.safetensors", m->path, m->kind->type);
            s->module_count = 0;
            s->modules_said[0] = 0;
            return NIB_OK;
        }
        NIB_TRY(open_one(runtime, dir, m, g, err));
    }
fail:
    return status;
}

/* ---------------------------------------------------------------- operators */

/* The weight as f32. */
static graph_value *constant(hf_builder *b, const char *path, const char *name, const graph_tensor *t) {
    graph_value *v = b->status == NIB_OK ? graph_add_constant(b->g, hf_path(b, "%s.%s", path, name), t, false) : NULL;
    if (!v) hf_no_memory(b);
    return v && t->dtype != NIB_DTYPE_F32 ? hf_cast(b, hf_path(b, "%s.%s.f32", path, name), v, NIB_DTYPE_F32) : v;
}

graph_value *hf_emit_dense(hf_builder *b, const hf_module *m, graph_value *x) {
    graph_value *bias = m->bias ? constant(b, m->path, m->kind->offset, &m->offset) : NULL, *same = x;
    graph_value *y = hf_product(b, m->path, x, constant(b, m->path, m->kind->weight, &m->weight), bias);
    y = hf_activation(b, hf_path(b, "%s.activation", m->path), m->activation, y);
    if (!m->residual) return y;
    if (m->across.data)
        same = hf_product(b, hf_path(b, "%s.residual", m->path), x, constant(b, m->path, m->kind->across, &m->across), NULL);
    return hf_op2(b, "Add", hf_path(b, "%s.sum", m->path), y, same);
}

static graph_value *mean(hf_builder *b, const char *name, graph_value *x) {
    const int64_t last = -1;
    if (b->status != NIB_OK) return NULL;
    if (graph_opset_version(b->g, "") >= 18) /* the axes have become an input */
        return hf_op2(b, "ReduceMean", name, x, hf_ints(b, hf_path(b, "%s.axes", name), &last, 1));
    graph_value *v = hf_op1(b, "ReduceMean", name, x);
    if (v && graph_set_ints(v->producer, "axes", &last, 1) != NIB_OK) hf_no_memory(b);
    return v;
}

/* In its parts, as the graph may be of an opset before LayerNormalization; the passes know them. */
graph_value *hf_emit_layer_norm(hf_builder *b, const hf_module *m, graph_value *x) {
    const char *p = m->path;
    x = hf_op2(b, "Sub", hf_path(b, "%s.centred", p), x, mean(b, hf_path(b, "%s.mean", p), x));
    graph_value *v = hf_op2(b, "Pow", hf_path(b, "%s.square", p), x, hf_scalar(b, 2.0f));
    v = hf_op2(b, "Add", hf_path(b, "%s.plus", p), mean(b, hf_path(b, "%s.variance", p), v), hf_scalar(b, 1e-5f));
    x = hf_op2(b, "Div", hf_path(b, "%s.even", p), x, hf_op1(b, "Sqrt", hf_path(b, "%s.root", p), v));
    x = hf_op2(b, "Mul", hf_path(b, "%s.scaled", p), x, constant(b, p, m->kind->weight, &m->weight));
    return hf_op2(b, "Add", p, x, constant(b, p, m->kind->offset, &m->offset));
}

graph_value *hf_emit_normalize(hf_builder *b, const hf_module *m, graph_value *x) {
    graph_value *v = hf_op1(b, "LpNormalization", m->path, x);
    if (v && (graph_set_int(v->producer, "axis", -1) != NIB_OK || graph_set_int(v->producer, "p", 2) != NIB_OK)) hf_no_memory(b);
    return v;
}

graph_value *hf_module_emit(const hf_module *m, graph *g, graph_value *x) {
    hf_builder b = {.g = g};
    if (m->kind->emit) x = m->kind->emit(&b, m, x);
    return b.status == NIB_OK ? x : NULL;
}

int64_t hf_module_width(const hf_module *m, int64_t width) {
    if (hf_module_pools(m)) return width < 0 ? width : width * m->n_modes;
    if (m->in == 0) return width;
    return width < 0 || width == m->in ? m->out : 0;
}
