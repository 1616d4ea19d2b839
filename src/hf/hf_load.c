/* SPDX-License-Identifier: Apache-2.0
 *
 * In: a folder with config.json and safetensors. Out: the graph that the family's builder writes, verified.
 */
#include "hf_build.h"
#include "hf_json.h"
#include "hf_keys.h"
#include <stdio.h>
#include <string.h>

const hf_family hf_families[] = {
    {"bert", "embeddings.word_embeddings.weight", {"", "bert.", NULL}, hf_build_bert},
    {"modernbert", "embeddings.tok_embeddings.weight", {"", "model.", NULL}, hf_build_modernbert},
    {NULL, NULL, {NULL}, NULL},
};

static const hf_family *find_family(const char *model_type) {
    for (const hf_family *f = hf_families; f->model_type; f++) {
        if (strcmp(f->model_type, model_type) == 0) return f;
    }
    return NULL;
}

static void list_families(char *out, size_t size) {
    size_t used = 0;
    out[0] = 0;
    for (const hf_family *f = hf_families; f->model_type && used < size; f++)
        used += (size_t)snprintf(out + used, size - used, "%s%s", used ? ", " : "", f->model_type);
}

/* Heads on top of an encoder put its name before its weights; the encoder alone has none. */
static const char *find_prefix(const hf_family *f, const hf_weights *w) {
    char name[200];
    for (const char *const *p = f->prefixes; *p; p++) {
        snprintf(name, sizeof(name), "%s%s", *p, f->probe);
        if (hf_weights_find(w, name)) return *p;
    }
    return f->prefixes[0]; /* the builder will name what is missing */
}

static nib_status build(hf_builder *b, const hf_family *f) {
    nib_status status = NIB_OK;
    b->prefix = find_prefix(f, b->weights);
    b->prefixes = f->prefixes;
    b->g->name = graph_intern(b->g, f->model_type, strlen(f->model_type));
    if (!b->g->name) NIB_FAIL(b->err, NIB_OUT_OF_MEMORY, "no memory for the model's graph");
    b->g->ir_version = 8;
    b->g->producer = "";
    NIB_TRY(graph_set_opset(b->g, "", HF_OPSET, b->err));
    NIB_TRY(f->build(b));
    NIB_TRY(graph_verify(b->g, b->err));
fail:
    return status;
}

/* transformers computes in the type that config.json names, if it names one: it rounds weights of another first. nib
 * sums in f32, in which weights of 16 bits are what they were; others it does not round. */
static void note_type(nib_runtime *runtime, const hf_builder *b, const hf_family *f) {
    static const struct {
        const char *name;
        nib_dtype dtype;
    } halves[] = {{"float16", NIB_DTYPE_F16}, {"bfloat16", NIB_DTYPE_BF16}};
    char name[200];
    const char *said = hf_json_string(b->config, "dtype", hf_json_string(b->config, "torch_dtype", ""));
    snprintf(name, sizeof name, "%s%s", b->prefix, f->probe);
    const graph_tensor *t = hf_weights_find(b->weights, name);
    for (size_t i = 0; t && i < BASE_COUNT(halves); i++)
        if (strcmp(said, halves[i].name) == 0 && t->dtype != halves[i].dtype)
            base_log(runtime, NIB_LOG_WARN,
                     "config.json: the weights are %s, and dtype %s, to which transformers rounds them, is not "
                     "applied: sums are f32 of the "
                     "weights as they are",
                     nib_dtype_name(t->dtype), said);
}

nib_status hf_load_graph(nib_runtime *runtime, const char *dir, graph **out, nib_error *err) {
    nib_status status = NIB_OK;
    hf_builder b = {.err = err};
    yyjson_doc *config = NULL;
    char known[200];
    *out = NULL;
    NIB_TRY(hf_json_open(runtime, dir, "config.json", false, &config, err));
    if (!config) NIB_FAIL(err, NIB_NOT_FOUND, "%s has no config.json", dir);
    b.config = yyjson_doc_get_root(config);
    const char *model_type = hf_json_string(b.config, "model_type", NULL);
    if (!model_type) NIB_FAIL(err, NIB_BAD_MODEL, "config.json has no model_type");
    const hf_family *f = find_family(model_type);
    list_families(known, sizeof(known));
    if (!f)
        NIB_FAIL(err, NIB_UNSUPPORTED, "model_type '%s' is not supported as a folder; nib knows %s (and any model as an .onnx file)",
                 model_type, known);
    hf_keys_check(runtime, "config.json", f->model_type, b.config);
    NIB_TRY(hf_weights_open(runtime, dir, &b.weights, err));
    NIB_TRY(graph_create(&runtime->heap, &b.g, err));
    NIB_TRY(build(&b, f));
    note_type(runtime, &b, f);
    NIB_TRY(hf_weights_give_files(b.weights, b.g, err));
    *out = b.g;
    b.g = NULL;
fail:
    graph_free(b.g);
    hf_weights_close(b.weights);
    base_json_free(&runtime->heap, config);
    return status;
}
