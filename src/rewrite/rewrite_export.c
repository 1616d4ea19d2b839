/* SPDX-License-Identifier: Apache-2.0
 *
 * In: a Hugging Face folder. Out: a folder with model.onnx as Optimum lays it out, and the small files beside it.
 *
 * The graph is the one that src/hf builds, in standard operators under plain names, and with `pooling` the suffix of the
 * task `embed` behind it, said in standard operators, too. Nothing is fused: whoever reads the file has fusions of its
 * own, which look for these forms, and nib optimize has others.
 */
#include "rewrite.h"
#include "base/base_half.h"
#include "model/model_tasks.h"
#include "op/op_schema.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

#define LEAST_OPSET 15 /* Shape has attributes since then */
#define NORM_OPSET 17 /* LayerNormalization is an operator since then */
#define MADE_IN_MEMORY ((size_t)128 << 20) /* weights of another type beyond that are pages of a file where the result will be */

typedef struct exporting {
    nib_runtime *runtime;
    const nib_export_options *o;
    nib_model *m;
    graph *g;
    nib_error *err;
} exporting;

static nib_status no_memory(const exporting *x) { return base_error_set(x->err, NIB_OUT_OF_MEMORY, "out of memory while exporting"); }

/* ---------------------------------------------------------------- outputs */

static nib_status rename_value(const exporting *x, graph_value *v, const char *name) {
    graph_value *other = graph_find_value(x->g, name);
    if (other == v) return NIB_OK;
    if (other && !(other->name = graph_intern(x->g, "inner", 5))) return no_memory(x);
    v->name = graph_intern(x->g, name, strlen(name));
    return v->name ? NIB_OK : no_memory(x);
}

static graph_value *find_output(const graph *g, const char *name) {
    for (int i = 0; name && i < g->n_outputs; i++)
        if (strcmp(g->outputs[i]->name, name) == 0) return g->outputs[i];
    return NULL;
}

/* As Optimum names them: what a head gives, which of one for answers are two, else the rows of the last layer. */
static nib_status choose_outputs(const exporting *x) {
    enum { MOST = 2 };
    static const char *const names[][MOST] = {
        {"logits"}, {"start_logits", "end_logits"}, {"last_hidden_state"}, {"token_embeddings"}};
    graph *g = x->g;
    graph_value *kept[MOST] = {NULL};
    for (size_t k = 0; k < BASE_COUNT(names) && !kept[0]; k++)
        for (int i = 0; i < MOST; i++) kept[i] = find_output(g, names[k][i]);
    if (!kept[0])
        return base_error_set(x->err, NIB_UNSUPPORTED, "the model has no logits, start_logits or last_hidden_state");
    for (int i = 0; i < g->n_outputs; i++) g->outputs[i]->is_output = false;
    g->n_outputs = 0;
    for (int i = 0; i < MOST; i++)
        if (kept[i] && graph_add_output(g, kept[i]) != NIB_OK) return no_memory(x);
    return NIB_OK;
}

/* Of a folder with a LogitScore: the score of each text, a column of `logits`. */
static nib_status add_score(const exporting *x) {
    nib_status status = NIB_OK;
    graph *g = x->g;
    model_program p = {.roles = x->m->roles};
    NIB_TRY(model_choose_output(x->m, NIB_TASK_CLASSIFY, &p, x->err));
    if (p.cannot[0]) NIB_FAIL(x->err, NIB_UNSUPPORTED, "this model cannot classify texts: %s", p.cannot);
    NIB_TRY(model_add_suffix(x->m, NIB_TASK_CLASSIFY, g, &p, x->err));
    NIB_TRY(rename_value(x, g->outputs[0], "logits"));
fail:
    return status;
}

/* sentence-transformers' own two: token_embeddings and sentence_embedding. */
static nib_status add_pooling(const exporting *x) {
    nib_status status = NIB_OK;
    graph *g = x->g;
    model_program p = {.roles = x->m->roles};
    NIB_TRY(model_choose_output(x->m, NIB_TASK_EMBED, &p, x->err));
    if (p.cannot[0]) NIB_FAIL(x->err, NIB_UNSUPPORTED, "this model cannot embed texts: %s", p.cannot);
    if (x->m->settings.excludes_prompt)
        NIB_FAIL(x->err, NIB_UNSUPPORTED, "%s: include_prompt is false, and a file has no input that says how long a prompt is",
                 x->m->settings.pooling_from);
    graph_value *tokens = g->outputs[p.output];
    NIB_TRY(model_add_suffix(x->m, NIB_TASK_EMBED, g, &p, x->err));
    graph_value *sentence = g->outputs[0];
    g->n_outputs = 0;
    if (graph_add_output(g, tokens) != NIB_OK || graph_add_output(g, sentence) != NIB_OK) NIB_TRY(no_memory(x));
    NIB_TRY(rename_value(x, tokens, "token_embeddings"));
    NIB_TRY(rename_value(x, sentence, "sentence_embedding"));
fail:
    return status;
}

/* ---------------------------------------------------------------- types of weights */

static bool is_matrix(const graph_tensor *t) { return t && t->rank >= 2 && t->bytes > 0; }

/* The f32 numbers of a matrix in `to` [n]; false: it is of no type that is converted. */
static bool read_f32(const graph_tensor *t, size_t n, float *to) {
    if (t->dtype == NIB_DTYPE_F32) return memcpy(to, t->data, n * sizeof *to), true;
    if (!base_is_half(t->dtype)) return false;
    base_widen(t->dtype, t->data, n, to);
    return true;
}

/* False: a number is beyond f16's range, and the matrix stays as it is. */
static bool write_half(nib_dtype type, const float *from, size_t n, uint16_t *to) {
    for (size_t i = 0; i < n; i++) {
        to[i] = type == NIB_DTYPE_F16 ? base_f32_to_f16(from[i]) : base_f32_to_bf16(from[i]);
        if (type == NIB_DTYPE_F16 && (to[i] & 0x7fff) == 0x7c00 && isfinite(from[i])) return false;
    }
    return true;
}

/* The matrix in another type; *out NULL: it stays. */
static nib_status convert(const exporting *x, const graph_value *v, graph_value **out) {
    const graph_tensor *t = v->constant;
    const int64_t elements = graph_tensor_elements(t);
    const size_t n = elements > 0 ? (size_t)elements : 0, size = x->o->dtype == NIB_DTYPE_F32 ? 4 : 2;
    graph_tensor made = *t;
    *out = NULL;
    float *wide = base_alloc(&x->runtime->heap, n * sizeof *wide + 1);
    void *data = wide && n ? base_arena_alloc(x->g->arena, n * size) : NULL;
    if (!data) return base_free(&x->runtime->heap, wide), no_memory(x);
    bool done = read_f32(t, n, wide);
    if (done && size == 4) memcpy(data, wide, n * size);
    else done = done && write_half(x->o->dtype, wide, n, data);
    base_free(&x->runtime->heap, wide);
    if (!done) return NIB_OK;
    made.dtype = x->o->dtype;
    made.data = data;
    made.bytes = n * size;
    *out = graph_add_constant(x->g, v->name, &made, false);
    return *out ? NIB_OK : no_memory(x);
}

/* What reads a matrix's numbers as f32: the matrix itself, or the Cast that widens it. */
static graph_value *as_f32(graph_value *v) {
    const graph_node *n = v->uses ? v->uses->node : NULL;
    if (v->constant->dtype == NIB_DTYPE_F32) return v;
    return n && !v->uses->next && graph_is_op(n, "", "Cast") && graph_attr_int(n, "to", 0) == NIB_DTYPE_F32 ? n->outputs[0] : NULL;
}

/* Every matrix in the type that was asked for, behind a Cast where that is a half: sums stay f32, on any runtime. */
static nib_status convert_weights(pass_context *ctx, const exporting *x) {
    nib_status status = NIB_OK;
    const int count = x->g->n_constants;
    for (int i = 0; i < count; i++) {
        graph_value *v = x->g->constants[i], *read = as_f32(v), *made;
        if (!read || !is_matrix(v->constant) || v->constant->dtype == x->o->dtype) continue;
        NIB_TRY(base_stop_check(x->err));
        NIB_TRY(convert(x, v, &made));
        if (!made) continue;
        if (x->o->dtype != NIB_DTYPE_F32) {
            char name[300];
            snprintf(name, sizeof name, "%.280s.f32", v->name);
            made = graph_emit(x->g, x->g->first, "", "Cast", &made, 1, name);
            if (!made || graph_set_int(made->producer, "to", NIB_DTYPE_F32) != NIB_OK) NIB_TRY(no_memory(x));
        }
        NIB_TRY(pass_replace(ctx, read, made));
    }
    op_resolve(x->g);
    NIB_TRY(op_infer_graph(x->g, x->err));
fail:
    return status;
}

/* ---------------------------------------------------------------- the graph */

/* Dimensions under the names that Optimum gives them. */
static nib_status name_dims(const exporting *x) {
    static const char *const names[][2] = {{"batch", "batch_size"}, {"seq", "sequence_length"}};
    graph *g = x->g;
    for (int i = 0; i < g->n_inputs + g->n_outputs; i++) {
        graph_type *t = i < g->n_inputs ? &g->inputs[i]->type : &g->outputs[i - g->n_inputs]->type;
        for (int k = 0; k < t->rank; k++) {
            const int at = t->dims[k] ? graph_symbol_index(t->dims[k]) : -1;
            for (size_t j = 0; at >= 0 && j < BASE_COUNT(names); j++)
                if (strcmp(graph_symbol_name(g->symbols, at), names[j][0]) == 0 &&
                    !(t->dims[k] = graph_dim_symbol(g->symbols, names[j][1])))
                    return no_memory(x);
        }
    }
    return NIB_OK;
}

static nib_status build(exporting *x, const char *out) {
    nib_status status = NIB_OK;
    pass_notes notes;
    kernels ks;
    base_str_init(&notes.text, &x->runtime->heap);
    kernel_table_init(&ks, x->runtime->isas);
    NIB_TRY(graph_clone(x->m->source, &x->g, x->err));
    base_arena_spill(x->g->arena, out, MADE_IN_MEMORY);
    pass_context ctx = {
        .g = x->g, .runtime = x->runtime, .kernels = &ks, .level = 1, .mode = PASS_MODE_FILE, .notes = &notes, .err = x->err};
    if (x->o->pooling) NIB_TRY(add_pooling(x));
    else if (x->m->settings.judge.words_from[0]) NIB_TRY(add_score(x));
    else NIB_TRY(choose_outputs(x));
    NIB_TRY(pass_clean(&ctx)); /* what only other outputs needed */
    if (x->o->dtype != NIB_DTYPE_UNDEFINED) NIB_TRY(convert_weights(&ctx, x));
    if (x->o->opset && x->o->opset < NORM_OPSET) NIB_TRY(pass_norm(&ctx)); /* expanded again behind the border, in parts */
    if (x->o->opset) NIB_TRY(pass_opset(&ctx, x->o->opset));
    NIB_TRY(pass_expand(&ctx));
    NIB_TRY(pass_names(&ctx));
    NIB_TRY(name_dims(x));
    NIB_TRY(graph_verify(x->g, x->err));
    NIB_TRY(op_schema_check(x->g, false, x->err));
fail:
    base_str_free(&notes.text);
    return status;
}

/* ---------------------------------------------------------------- nib export */

static nib_status check_options(const nib_export_options *o, nib_error *err) {
    const nib_dtype t = o->dtype;
    if (o->opset && (o->opset < LEAST_OPSET || o->opset > ONNX_MAX_OPSET))
        return base_error_set(err, NIB_INVALID_ARGUMENT, "opset %d: there are %d to %d", o->opset, LEAST_OPSET, ONNX_MAX_OPSET);
    if (t != NIB_DTYPE_UNDEFINED && t != NIB_DTYPE_F32 && t != NIB_DTYPE_F16 && t != NIB_DTYPE_BF16)
        return base_error_set(err, NIB_INVALID_ARGUMENT, "weights are written in f32, f16 or bf16, not in %s", nib_dtype_name(t));
    return NIB_OK;
}

static nib_status open_source(exporting *x, const char *in) {
    nib_status status = NIB_OK;
    nib_model_options asked;
    const model_source source = {.path = in};
    nib_model_defaults(&asked, sizeof asked);
    asked.runtime = x->runtime;
    asked.precision = NIB_PRECISION_FILE;
    asked.normalize = x->o->pooling ? -1 : 0;
    if (!base_path_is_dir(in)) NIB_FAIL(x->err, NIB_UNSUPPORTED, "%s is no folder: nib export takes one with config.json and safetensors", in);
    NIB_TRY(model_create(&source, &asked, &x->m, x->err));
    NIB_TRY(model_prepare(x->m, &source, &asked, x->err));
    if (strcmp(x->m->door, MODEL_DOOR_FOLDER) != 0)
        NIB_FAIL(x->err, NIB_UNSUPPORTED, "%s has an ONNX file already: nib optimize rewrites it", in);
    if (x->m->settings.input[0] || x->m->settings.route[0])
        NIB_FAIL(x->err, NIB_UNSUPPORTED, "%s: a model of several folders or routes is not one ONNX file", in);
fail:
    return status;
}

nib_status rewrite_export_folder(nib_runtime *runtime, const char *in, const char *out, const nib_export_options *o, nib_error *err) {
    nib_status status = NIB_OK;
    base_heap *heap = &runtime->heap;
    exporting x = {.runtime = runtime, .o = o, .err = err};
    char *path = base_path_join(heap, out, "model.onnx");
    if (!path) NIB_TRY(no_memory(&x));
    NIB_TRY(check_options(o, err));
    NIB_TRY(rewrite_check_out(runtime, in, out, err));
    NIB_TRY(open_source(&x, in));
    NIB_TRY(base_dir_create(out, err));
    NIB_TRY(build(&x, out));
    base_stop_advance(1);
    NIB_TRY(rewrite_copy_small_files(runtime, in, out, err));
    const onnx_save_options save = {.external_over = o->external_over, .mapped = x.m->source};
    NIB_TRY(onnx_save(runtime, x.g, path, &save, err)); /* last: without it the folder is no model */
    base_stop_advance(1);
fail:
    graph_free(x.g);
    if (x.m) model_release(x.m);
    base_free(heap, path);
    return status;
}
