/* SPDX-License-Identifier: Apache-2.0
 *
 * In: a folder with config.json and safetensors. Out: the graph of the stack that its family describes, verified.
 */
#include "hf_json.h"
#include "hf_stack.h"
#include <stdio.h>
#include <string.h>

/* The model_types of all families. */
static void list_families(char *out, size_t size) {
    size_t used = 0;
    out[0] = 0;
    for (const hf_family *const *f = hf_families; *f; f++)
        for (const char *at = (*f)->types; *at && used < size; at += strcspn(at, "|"), at += *at == '|')
            used += (size_t)snprintf(out + used, size - used, "%s%.*s", used ? ", " : "", (int)strcspn(at, "|"), at);
}

/* The first of config.json's architectures, or "". */
static const char *architecture(yyjson_val *config) {
    const char *name = yyjson_get_str(yyjson_arr_get(yyjson_obj_get(config, "architectures"), 0));
    return name ? name : "";
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

static nib_status build(hf_builder *b, const hf_family *f, hf_stack *s) {
    nib_status status = NIB_OK;
    b->prefix = find_prefix(f, b->weights);
    b->prefixes = f->prefixes;
    const char *type = hf_json_string(b->config, "model_type", "");
    b->g->name = graph_intern(b->g, type, strlen(type));
    if (!b->g->name) NIB_FAIL(b->err, NIB_OUT_OF_MEMORY, "no memory for the model's graph");
    b->g->ir_version = 8;
    b->g->producer = "";
    NIB_TRY(graph_set_opset(b->g, "", HF_OPSET, b->err));
    if (f->look) f->look(b, s);
    hf_stack_build(b, f, s);
    NIB_TRY(b->status);
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

/* Which family it is, from config.json alone. */
static nib_status choose_family(hf_builder *b, const hf_family **out) {
    char known[600];
    const char *type = hf_json_string(b->config, "model_type", NULL), *name = architecture(b->root);
    if (!type) return base_error_set(b->err, NIB_BAD_MODEL, "config.json has no model_type");
    *out = hf_find_family(type);
    list_families(known, sizeof(known));
    if (!*out)
        return base_error_set(b->err, NIB_UNSUPPORTED,
                              "model_type '%.60s'%s%.60s is not supported as a folder; nib knows %s (and any model as an .onnx file)", type,
                              name[0] ? " of " : "", name, known);
    yyjson_val *quantized = yyjson_obj_get(b->root, "quantization_config");
    if (quantized && !yyjson_is_null(quantized))
        return base_error_set(b->err, NIB_UNSUPPORTED, "config.json: quantization_config: weights that are quantized by '%.60s' are not read",
                              hf_json_string(quantized, "quant_method", "a method without a name"));
    return NIB_OK;
}

/* config.json, the family that it names and the stack that it describes. */
static nib_status read_config(nib_runtime *runtime, const char *dir, hf_builder *b, yyjson_doc **config, const hf_family **f, hf_stack *s) {
    nib_status status = NIB_OK;
    NIB_TRY(hf_json_open(runtime, dir, "config.json", false, config, b->err));
    if (!*config) NIB_FAIL(b->err, NIB_NOT_FOUND, "%s has no config.json", dir);
    b->root = yyjson_doc_get_root(*config);
    b->config = hf_text_config(b->root);
    NIB_TRY(choose_family(b, f));
    hf_stack_read(b, *f, s);
    if (b->status == NIB_OK && hf_decodes(b, *f)) hf_stack_read(b, (*f)->decoder, &(hf_stack){.layers = 0});
    NIB_TRY(b->status);
fail:
    return status;
}

nib_status hf_check_config(nib_runtime *runtime, const char *dir, nib_error *err) {
    hf_builder b = {.err = err};
    yyjson_doc *config = NULL;
    const hf_family *f = NULL;
    hf_stack s;
    nib_status status = read_config(runtime, dir, &b, &config, &f, &s);
    base_json_free(&runtime->heap, config);
    return status;
}

nib_status hf_load_graph(nib_runtime *runtime, const char *dir, graph **out, nib_error *err) {
    nib_status status = NIB_OK;
    hf_builder b = {.err = err};
    yyjson_doc *config = NULL;
    const hf_family *f = NULL;
    hf_stack s;
    *out = NULL;
    NIB_TRY(read_config(runtime, dir, &b, &config, &f, &s));
    hf_family_check_keys(runtime, "config.json", f, b.config);
    if (architecture(b.root)[0] && b.config == b.root && !hf_is_class_of(f, architecture(b.root)))
        base_log(runtime, NIB_LOG_WARN, "config.json: the architecture %.60s is not one that nib knows: it is taken for a %s",
                 architecture(b.root), hf_json_string(b.config, "model_type", ""));
    NIB_TRY(hf_weights_open(runtime, dir, &b.weights, err));
    NIB_TRY(graph_create(&runtime->heap, &b.g, err));
    NIB_TRY(build(&b, f, &s));
    note_type(runtime, &b, f);
    const char *headless = hf_heads_missing(&b, f);
    if (headless)
        base_log(runtime, NIB_LOG_WARN, "config.json names an architecture %s, and the weights of such a head are not there: it has no logits",
                 headless);
    NIB_TRY(hf_weights_give_files(b.weights, b.g, err));
    *out = b.g;
    b.g = NULL;
fail:
    graph_free(b.g);
    hf_weights_close(b.weights);
    base_json_free(&runtime->heap, config);
    return status;
}
