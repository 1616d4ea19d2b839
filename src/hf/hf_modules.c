/* SPDX-License-Identifier: Apache-2.0
 *
 * In: the list of modules (hf_list.c) and the config.json of each module's folder. Out: the modules behind the one that reads
 * texts, in order. Each kind is a row of a table, at the end; what is none is refused by its name.
 */
#include "hf_modules.h"
#include "hf_json.h"
#include "hf_keys.h"
#include <stdio.h>
#include <string.h>

#define MOST_FEATURES (1 << 24) /* numbers of a row; models have some thousands */

/* In the order in which sentence-transformers puts the vectors of several modes side by side. */
static const struct {
    const char *flag, *name;
    nib_pooling pooling;
} poolings[] = {
    {"pooling_mode_cls_token", "cls", NIB_POOLING_CLS},
    {"pooling_mode_max_tokens", "max", NIB_POOLING_MAX},
    {"pooling_mode_mean_tokens", "mean", NIB_POOLING_MEAN},
    {"pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len_tokens", NIB_POOLING_MEAN_SQRT_LEN},
    {"pooling_mode_weightedmean_tokens", "weightedmean", NIB_POOLING_WEIGHTED_MEAN},
    {"pooling_mode_lasttoken", "lasttoken", NIB_POOLING_LAST},
    {"", "mean_sqrt_len", NIB_POOLING_MEAN_SQRT_LEN},
};

/* Of torch.nn, as hf_activation names them. */
static const struct {
    const char *class, *name;
} activations[] = {
    {"Identity", "linear"},   {"Tanh", "tanh"}, {"ReLU", "relu"}, {"GELU", "gelu"}, {"SiLU", "silu"},           {"Sigmoid", "sigmoid"},
    {"LeakyReLU", "leaky_relu"}, {"ReLU6", "relu6"}, {"Mish", "mish"}, {"Hardswish", "hardswish"},
};

static void refuse(hf_settings *s, const char *where, const char *what) {
    if (!s->unsupported[0]) snprintf(s->unsupported, sizeof(s->unsupported), "%.70s%s%.80s", where, where[0] ? ": " : "", what);
}

/* A module that is read: where it stands, its config.json (NULL: it has none), and what it becomes. */
typedef struct reading {
    hf_settings *s;
    char file[200]; /* "2_Dense/config.json" */
    yyjson_val *config;
    hf_module module;
    bool first; /* of the list */
    bool keep;  /* it does something */
    nib_error *err;
} reading;

static void keep(reading *r) { r->keep = true; }

/* ---------------------------------------------------------------- members of a module's config.json */

static nib_status read_flag(const reading *r, const char *key, bool otherwise, bool *out) {
    yyjson_val *v = yyjson_obj_get(r->config, key);
    *out = v ? yyjson_is_true(v) : otherwise;
    if (!v || yyjson_is_bool(v)) return NIB_OK;
    return base_error_set(r->err, NIB_BAD_MODEL, "%s: %s is neither true nor false", r->file, key);
}

static nib_status read_size(const reading *r, const char *key, int64_t *out) {
    *out = hf_json_int(r->config, key, 0);
    if (*out >= 1 && *out <= MOST_FEATURES) return NIB_OK;
    return base_error_set(r->err, NIB_BAD_MODEL, "%s: %s is no number of 1 to %d", r->file, key, MOST_FEATURES);
}

/* What the module reads, and writes in its place: "sentence_embedding", a row a text, or "token_embeddings", a row a token. False: it is
 * something else. */
static bool read_place(reading *r) {
    yyjson_val *in = yyjson_obj_get(r->config, "module_input_name"), *out = yyjson_obj_get(r->config, "module_output_name");
    const char *name = in ? yyjson_get_str(in) : r->s->colbert.there ? "token_embeddings" : "sentence_embedding";
    const bool same = !out || yyjson_is_null(out) || (name && yyjson_is_str(out) && strcmp(yyjson_get_str(out), name) == 0);
    r->module.of_tokens = name && strcmp(name, "token_embeddings") == 0;
    if (name && same && (r->module.of_tokens || strcmp(name, "sentence_embedding") == 0)) return true;
    refuse(r->s, r->module.path, "another module_input_name or module_output_name than nib has");
    return false;
}

/* ---------------------------------------------------------------- Pooling */

static void add_mode(reading *r, nib_pooling mode) {
    if (r->module.n_modes == HF_MOST_MODES) refuse(r->s, r->file, "more pooling modes than nib has room for");
    else r->module.modes[r->module.n_modes++] = mode;
}

static nib_status add_mode_named(reading *r, yyjson_val *name) {
    char text[96];
    if (!yyjson_is_str(name)) return base_error_set(r->err, NIB_BAD_MODEL, "%s: pooling_mode is no name", r->file);
    for (size_t i = 0; i < BASE_COUNT(poolings); i++) {
        if (strcmp(poolings[i].name, yyjson_get_str(name)) != 0) continue;
        add_mode(r, poolings[i].pooling);
        return NIB_OK;
    }
    snprintf(text, sizeof(text), "pooling '%.60s'", yyjson_get_str(name));
    refuse(r->s, r->file, text);
    return NIB_OK;
}

/* A mode that is switched on and that nothing here knows is another pooling, not a setting that may be left out. */
static void refuse_other_modes(reading *r) {
    yyjson_val *key, *v;
    size_t i, n;
    yyjson_obj_foreach(r->config, i, n, key, v) {
        const char *name = yyjson_get_str(key);
        bool known = strncmp(name, "pooling_mode_", 13) != 0 || !yyjson_is_true(v);
        for (size_t k = 0; k < BASE_COUNT(poolings) && !known; k++) known = strcmp(poolings[k].flag, name) == 0;
        if (!known) refuse(r->s, r->file, name);
    }
}

static nib_status read_modes(reading *r) {
    nib_status status = NIB_OK;
    yyjson_val *mode = yyjson_obj_get(r->config, "pooling_mode"), *v;
    size_t i, n;
    bool on;
    if (yyjson_is_arr(mode)) {
        yyjson_arr_foreach(mode, i, n, v) NIB_TRY(add_mode_named(r, v));
    } else if (mode) {
        NIB_TRY(add_mode_named(r, mode));
    } else {
        refuse_other_modes(r);
        for (i = 0; i < BASE_COUNT(poolings); i++) {
            NIB_TRY(read_flag(r, poolings[i].flag, false, &on));
            if (on) add_mode(r, poolings[i].pooling);
        }
    }
    if (r->module.n_modes == 0 && !r->s->unsupported[0]) add_mode(r, NIB_POOLING_MEAN); /* none is named: as sentence-transformers */
fail:
    return status;
}

/* Both schemas: a boolean for each mode, or "pooling_mode": "mean" or ["mean", ...]. */
static nib_status read_pooling(reading *r) {
    nib_status status = NIB_OK;
    hf_settings *s = r->s;
    bool with_prompt;
    size_t used = 0;
    if (!r->config && s->has_modules) refuse(s, r->file, "modules.json lists it, and it is missing");
    if (s->pooling != NIB_POOLING_MODEL) refuse(s, r->module.path, "a second Pooling");
    if (!r->config) return NIB_OK;
    NIB_TRY(read_flag(r, "include_prompt", true, &with_prompt));
    NIB_TRY(read_modes(r));
    if (r->module.n_modes == 0) return NIB_OK;
    s->excludes_prompt = !with_prompt;
    s->pooling = r->module.modes[0];
    snprintf(s->pooling_from, sizeof(s->pooling_from), "%s", r->file);
    for (int i = 0; r->module.n_modes > 1 && i < r->module.n_modes && used < sizeof s->pooling_said; i++)
        used += (size_t)snprintf(s->pooling_said + used, sizeof s->pooling_said - used, "%s%s", i ? " + " : "",
                                 nib_pooling_name(r->module.modes[i]));
    keep(r);
fail:
    return status;
}

/* ---------------------------------------------------------------- the others */

/* Whether the module has rows to work on. One that looks for a text's before Pooling fails in sentence-transformers. */
static bool has_rows(reading *r) {
    const bool pooled = r->s->pooling != NIB_POOLING_MODEL;
    if (!pooled && !r->module.of_tokens) refuse(r->s, r->module.path, "it stands before Pooling");
    return pooled != r->module.of_tokens; /* behind Pooling, rows of tokens are no longer used */
}

static nib_status read_transformer(reading *r) {
    if (!r->first) refuse(r->s, r->module.path, "a Transformer that is not the first module");
    return NIB_OK;
}

/* A mean of rows is its own Pooling. */
static nib_status read_static(reading *r) {
    if (!r->first) refuse(r->s, r->module.path, "a StaticEmbedding that is not the first module");
    add_mode(r, NIB_POOLING_MEAN);
    r->s->pooling = NIB_POOLING_MEAN;
    snprintf(r->s->pooling_from, sizeof r->s->pooling_from, "StaticEmbedding");
    keep(r);
    return NIB_OK;
}

/* Before Pooling there is no row of a text yet, and sentence-transformers passes over it. */
static nib_status read_normalize(reading *r) {
    if (!read_place(r)) return NIB_OK;
    const bool pooled = r->s->pooling != NIB_POOLING_MODEL;
    if (!pooled && !r->module.of_tokens) r->s->idle_normalize = true;
    else if (pooled != r->module.of_tokens) keep(r);
    return NIB_OK;
}

static nib_status read_dropout(reading *r) { return NIB_OK; } /* does nothing when a model is used */

static nib_status read_score_mask(reading *r) { return NIB_OK; } /* hf_colbert.c has */

static nib_status read_activation(reading *r) {
    yyjson_val *v = yyjson_obj_get(r->config, "activation_function");
    const char *name = v ? hf_json_string(r->config, "activation_function", NULL) : "torch.nn.modules.activation.Tanh";
    char text[96];
    if (!name) return base_error_set(r->err, NIB_BAD_MODEL, "%s: activation_function is no name", r->file);
    for (size_t i = 0; strncmp(name, "torch.", 6) == 0 && i < BASE_COUNT(activations); i++)
        if (strcmp(hf_last_word(name), activations[i].class) == 0) r->module.activation = activations[i].name;
    snprintf(text, sizeof text, "the activation_function %.48s", name);
    if (!r->module.activation) refuse(r->s, r->module.path, text);
    return NIB_OK;
}

static nib_status read_dense(reading *r) {
    nib_status status = NIB_OK;
    hf_module *m = &r->module;
    if (!r->config) refuse(r->s, r->file, "modules.json lists it, and it is missing");
    if (!r->config || !read_place(r)) return NIB_OK;
    NIB_TRY(read_size(r, "in_features", &m->in));
    NIB_TRY(read_size(r, "out_features", &m->out));
    NIB_TRY(read_flag(r, "bias", true, &m->bias));
    NIB_TRY(read_flag(r, "use_residual", false, &m->residual));
    NIB_TRY(read_activation(r));
    if (has_rows(r)) keep(r);
fail:
    return status;
}

static nib_status read_layer_norm(reading *r) {
    nib_status status = NIB_OK;
    if (!r->config) refuse(r->s, r->file, "modules.json lists it, and it is missing");
    if (!r->config) return NIB_OK;
    NIB_TRY(read_size(r, "dimension", &r->module.in));
    r->module.out = r->module.in;
    r->module.bias = true;
    if (has_rows(r)) keep(r);
fail:
    return status;
}

/* ---------------------------------------------------------------- sparse vectors */

static nib_status read_splade(reading *r) {
    hf_sparse *s = &r->s->sparse;
    const char *strategy = hf_json_string(r->config, "pooling_strategy", "max"),
               *activation = hf_json_string(r->config, "activation_function", "relu");
    char text[96] = "";
    if (!r->config) refuse(r->s, r->file, "modules.json lists it, and it is missing");
    if (r->s->pooling != NIB_POOLING_MODEL || s->from[0]) refuse(r->s, r->module.path, "a second pooling");
    s->sum = strcmp(strategy, "sum") == 0;
    s->twice = strcmp(activation, "log1p_relu") == 0;
    if (!s->sum && strcmp(strategy, "max") != 0) snprintf(text, sizeof text, "pooling_strategy '%.60s'", strategy);
    if (!s->twice && strcmp(activation, "relu") != 0) snprintf(text, sizeof text, "activation_function '%.60s'", activation);
    if (text[0]) refuse(r->s, r->file, text);
    snprintf(s->from, sizeof s->from, "%s", r->file);
    return NIB_OK;
}

static nib_status read_sparse_static(reading *r) {
    if (!r->first) refuse(r->s, r->module.path, "a SparseStaticEmbedding that is not the first module");
    if (hf_json_string(r->config, "path", NULL)) refuse(r->s, r->file, "weights in a file of JSON");
    r->s->sparse.is_static = true;
    snprintf(r->s->sparse.from, sizeof r->s->sparse.from, "SparseStaticEmbedding");
    return NIB_OK;
}

/* ---------------------------------------------------------------- scores of words that come next */

/* An id of the vocabulary, which is not known here; -1: null, where that may be. */
static nib_status read_id(const reading *r, const char *key, bool or_none, int64_t *out) {
    yyjson_val *v = yyjson_obj_get(r->config, key);
    *out = -1;
    if (or_none && (!v || yyjson_is_null(v))) return NIB_OK;
    if (!yyjson_is_int(v) || yyjson_get_sint(v) < 0 || yyjson_get_sint(v) > INT32_MAX)
        return base_error_set(r->err, NIB_BAD_MODEL, "%s: %s is no id of a token", r->file, key);
    *out = yyjson_get_sint(v);
    return NIB_OK;
}

static nib_status read_logit_score(reading *r) {
    nib_status status = NIB_OK;
    hf_judge *j = &r->s->judge;
    const char *input = hf_json_string(r->config, "module_input_name", "causal_logits");
    if (!r->config) refuse(r->s, r->file, "modules.json lists it, and it is missing");
    if (!r->config) return NIB_OK;
    if (j->words_from[0]) refuse(r->s, r->module.path, "a second LogitScore");
    if (strcmp(input, "causal_logits") != 0)
        refuse(r->s, r->module.path, "another module_input_name than causal_logits");
    NIB_TRY(read_id(r, "true_token_id", false, &j->yes));
    NIB_TRY(read_id(r, "false_token_id", true, &j->no));
    snprintf(j->words_from, sizeof j->words_from, "%s", r->file);
fail:
    return status;
}

/* ---------------------------------------------------------------- the list */

static const struct {
    hf_module_kind kind;
    nib_status (*read)(reading *r);
} kinds[] = {
    {{"Transformer", NULL, NULL, NULL, NULL}, read_transformer},
    {{"StaticEmbedding", NULL, NULL, NULL, NULL}, read_static},
    {{"Pooling", NULL, NULL, NULL, NULL}, read_pooling},
    {{"Dense", "linear.weight", "linear.bias", "residual.weight", hf_emit_dense}, read_dense},
    {{"LayerNorm", "norm.weight", "norm.bias", NULL, hf_emit_layer_norm}, read_layer_norm},
    {{"Normalize", NULL, NULL, NULL, hf_emit_normalize}, read_normalize},
    {{"Dropout", NULL, NULL, NULL, NULL}, read_dropout},
    {{"SpladePooling", NULL, NULL, NULL, NULL}, read_splade},
    {{"SparseStaticEmbedding", NULL, NULL, NULL, NULL}, read_sparse_static},
    {{"LogitScore", NULL, NULL, NULL, NULL}, read_logit_score},
    {{"MultiVectorMask", NULL, NULL, NULL, NULL}, read_score_mask},
};
enum { POOLING = 2, DENSE = 3 }; /* their rows */

bool hf_module_pools(const hf_module *m) { return m->n_modes > 0; }

/* Of what modules_said says. */
static void say(hf_settings *s, const hf_module *m) {
    const size_t used = strlen(s->modules_said);
    char *at = s->modules_said + used;
    const size_t room = sizeof s->modules_said - used;
    const char *of = m->of_tokens ? ", of each token" : "", *from = m->path[0] ? m->path : "model.safetensors";
    if (m->activation)
        snprintf(at, room, ", %s %lld to %lld, %s%s%s (%s)", m->kind->type, (long long)m->in, (long long)m->out, m->activation,
                 m->residual ? ", residual" : "", of, from);
    else snprintf(at, room, ", %s%s (%s)", m->kind->type, of, from);
}

/* A module of a kind that nib has; its folder is r->module.path. */
static nib_status read_kind(nib_runtime *runtime, const char *dir, size_t i, reading *r) {
    nib_status status = NIB_OK;
    yyjson_doc *doc = NULL;
    hf_settings *s = r->s;
    r->module.kind = &kinds[i].kind;
    snprintf(r->file, sizeof(r->file), "%s%sconfig.json", r->module.path, r->module.path[0] ? "/" : "");
    /* Without a folder of its own that would be the model's, which only Pooling may share; what reads texts stands before Pooling in the
     * table, and its config.json is read by others. */
    if (i == POOLING || (i > POOLING && r->module.path[0])) NIB_TRY(hf_json_open(runtime, dir, r->file, false, &doc, r->err));
    if (doc) hf_keys_check(runtime, r->file, kinds[i].kind.type, yyjson_doc_get_root(doc));
    r->config = yyjson_doc_get_root(doc);
    NIB_TRY(kinds[i].read(r));
    if (r->keep && s->module_count == HF_MOST_MODULES - 1) refuse(s, r->module.path, "more modules than nib has room for");
    if (r->keep && !s->unsupported[0]) s->modules[s->module_count++] = r->module;
fail:
    base_json_free(&runtime->heap, doc);
    return status;
}

static nib_status read_module(nib_runtime *runtime, const char *dir, const hf_listed *item, bool first, hf_settings *s, nib_error *err) {
    reading r = {.s = s, .first = first, .err = err};
    memcpy(r.module.path, item->path, sizeof r.module.path);
    for (size_t i = 0; i < BASE_COUNT(kinds); i++)
        if (strcmp(kinds[i].kind.type, item->type) == 0) return read_kind(runtime, dir, i, &r);
    refuse(s, item->path, item->type);
    return NIB_OK;
}

/* What follows from the list as a whole. */
static void finish(hf_settings *s) {
    int n = s->module_count;
    if (s->idle_normalize && s->pooling == NIB_POOLING_MODEL) refuse(s, "", "Normalize without a Pooling before it");
    s->normalize = n > 0 && s->modules[n - 1].kind->emit == hf_emit_normalize && !s->modules[n - 1].of_tokens;
    if (s->normalize) s->module_count--;
    if (s->unsupported[0]) s->module_count = 0; /* half of them would be another model */
    for (int i = 0; i < s->module_count; i++)
        if (!hf_module_pools(&s->modules[i])) say(s, &s->modules[i]);
}

nib_status hf_modules_load(nib_runtime *runtime, const char *dir, const hf_list *list, hf_settings *s, nib_error *err) {
    nib_status status = NIB_OK;
    s->has_modules = list->there;
    if (list->count == 0 && !list->there) { /* a folder without modules may still say how to pool */
        reading r = {.s = s, .module.path = "1_Pooling", .err = err};
        NIB_TRY(read_kind(runtime, dir, POOLING, &r));
    }
    for (int i = 0; i < list->count; i++) NIB_TRY(read_module(runtime, dir, &list->items[i], i == 0, s, err));
    finish(s);
fail:
    return status;
}

hf_module hf_module_dense(const char *path, int64_t in, int64_t out, const char *activation) {
    hf_module m = {.kind = &kinds[DENSE].kind, .of_tokens = true, .in = in, .out = out, .activation = activation};
    snprintf(m.path, sizeof m.path, "%s", path);
    return m;
}

void hf_modules_project(hf_settings *s) {
    if (!s->colbert.width || s->module_count >= HF_MOST_MODULES - 1) return;
    hf_module *m = &s->modules[s->module_count++];
    *m = hf_module_dense("", s->hidden, s->colbert.width, "linear");
    say(s, m);
}

void hf_modules_pool_by(hf_settings *s, nib_pooling mode) {
    hf_module *m = s->modules;
    while (m < s->modules + s->module_count && !hf_module_pools(m)) m++;
    if (m == s->modules + s->module_count) s->module_count++;
    *m = (hf_module){.kind = &kinds[POOLING].kind, .modes = {mode}, .n_modes = 1};
    s->pooling_said[0] = 0;
}
