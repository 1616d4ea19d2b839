/* SPDX-License-Identifier: Apache-2.0
 *
 * The settings of a compiled file: JSON. In: a model and where its packed weights lie; or such JSON. Out: the other.
 * What has one value is a row of a table, of the model's members or of its task's program's; names and texts from
 * elsewhere are made UTF-8.
 */
#include "compiled.h"
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

typedef enum kind { INT, INT64, BOOL, TEXT } kind;

typedef struct field {
    const char *name;
    kind kind;
    size_t offset, size; /* in nib_model, or in model_program */
    int64_t least, most; /* of numbers */
    bool later;          /* files from before there were tasks lack it: then it is 0, or "" */
} field;

#define FIELD(name, kind, member, least, most)                                                                         \
    { name, kind, offsetof(nib_model, member), sizeof(((nib_model *)0)->member), least, most, false }
#define LATER(name, kind, member, least, most)                                                                         \
    { name, kind, offsetof(nib_model, member), sizeof(((nib_model *)0)->member), least, most, true }

static const field fields[] = {
    FIELD("pooling", INT, pooling, NIB_POOLING_MODEL, NIB_POOLING_LAST),
    FIELD("normalize", BOOL, normalize, 0, 1),
    FIELD("normalize_first", BOOL, normalize_first, 0, 1),
    FIELD("truncate_dim", INT64, settings.truncate_dim, 0, INT64_MAX),
    FIELD("max_tokens", INT64, max_tokens, 1, INT32_MAX),
    FIELD("max_tokens_why", TEXT, max_tokens_why, 0, 0),
    FIELD("precision", INT, precision, NIB_PRECISION_FILE, NIB_PRECISION_MIXED),
    FIELD("optimize", INT, optimize, 0, 2),
    FIELD("pack", BOOL, pack, 0, 1),
    FIELD("ids", INT, roles.ids, -1, INT_MAX),
    FIELD("mask", INT, roles.mask, -1, INT_MAX),
    FIELD("types", INT, roles.types, -1, INT_MAX),
    FIELD("positions", INT, roles.positions, -1, INT_MAX),
    FIELD("no_tokenizer_status", INT, no_tokenizer_status, -1000, 0),
    FIELD("modules", BOOL, settings.has_modules, 0, 1),
    FIELD("settings_pooling", INT, settings.pooling, NIB_POOLING_MODEL, NIB_POOLING_LAST),
    FIELD("settings_normalize", BOOL, settings.normalize, 0, 1),
    FIELD("settings_max_tokens", INT64, settings.max_tokens, 0, INT32_MAX),
    FIELD("lower_case", BOOL, settings.lower_case, 0, 1),
    FIELD("hidden", INT64, settings.hidden, 0, INT64_MAX),
    FIELD("layers", INT64, settings.layers, 0, INT64_MAX),
    FIELD("max_positions", INT64, settings.positions, 0, INT64_MAX),
    FIELD("model_type", TEXT, settings.model_type, 0, 0),
    FIELD("architecture", TEXT, settings.architecture, 0, 0),
    FIELD("pooling_from", TEXT, settings.pooling_from, 0, 0),
    FIELD("max_tokens_from", TEXT, settings.max_tokens_from, 0, 0),
    FIELD("unsupported", TEXT, settings.unsupported, 0, 0),
    FIELD("tokenizer_rebuilt", BOOL, settings.tokenizer.rebuilt, 0, 1),
    FIELD("tokenizer_lowercase", BOOL, settings.tokenizer.lowercase, 0, 1),
    FIELD("tokenizer_chinese", BOOL, settings.tokenizer.chinese, 0, 1),
    FIELD("tokenizer_strip_accents", INT, settings.tokenizer.strip_accents, -1, 1),
    FIELD("tokenizer_left", INT, settings.tokenizer.truncation_left, -1, 1),
    FIELD("tokenizer_cls", TEXT, settings.tokenizer.cls, 0, 0),
    FIELD("tokenizer_sep", TEXT, settings.tokenizer.sep, 0, 0),
    FIELD("tokenizer_unknown", TEXT, settings.tokenizer.unknown, 0, 0),
    FIELD("excludes_prompt", BOOL, settings.excludes_prompt, 0, 1),
    FIELD("default_prompt", INT64, settings.default_prompt, -1, INT32_MAX),
    LATER("tokenizer_no_types", BOOL, settings.tokenizer.no_types, 0, 1),
    LATER("tokenizer_prefix", INT, settings.tokenizer.prefix_space, 0, 2),
    LATER("tokenizer_bare", BOOL, settings.tokenizer.bare, 0, 1),
    LATER("tokenizer_no_unknown", BOOL, settings.tokenizer.no_unknown, 0, 1),
    LATER("tokenizer_mask", TEXT, settings.tokenizer.mask, 0, 0),
    LATER("tokenizer_pad", TEXT, settings.tokenizer.pad, 0, 0),
    LATER("tokenizer_cleans", BOOL, settings.tokenizer.cleans, 0, 1),
    LATER("route", TEXT, settings.route, 0, 0),
    LATER("routes", TEXT, settings.routes, 0, 0),
    LATER("similarity", TEXT, settings.similarity, 0, 0),
    LATER("matryoshka", TEXT, settings.matryoshka, 0, 0),
    LATER("pooling_said", TEXT, settings.pooling_said, 0, 0),
    LATER("modules_said", TEXT, settings.modules_said, 0, 0),
    LATER("unknown_activation", TEXT, labels.unknown, 0, 0),
    LATER("colbert", BOOL, settings.colbert.there, 0, 1),
    LATER("colbert_query", TEXT, settings.colbert.prefixes[HF_QUERY], 0, 0),
    LATER("colbert_document", TEXT, settings.colbert.prefixes[HF_DOCUMENT], 0, 0),
    LATER("colbert_query_length", INT64, settings.colbert.lengths[HF_QUERY], 0, INT32_MAX),
    LATER("colbert_document_length", INT64, settings.colbert.lengths[HF_DOCUMENT], 0, INT32_MAX),
    LATER("colbert_expand", INT64, settings.colbert.expand, 0, INT32_MAX),
    LATER("colbert_attends", BOOL, settings.colbert.attends, 0, 1),
    LATER("colbert_mask", TEXT, settings.colbert.mask, 0, 0),
    LATER("colbert_skip", TEXT, settings.colbert.skip, 0, 0),
    LATER("sparse_from", TEXT, settings.sparse.from, 0, 0),
    LATER("sparse_static", BOOL, settings.sparse.is_static, 0, 1),
    LATER("sparse_sum", BOOL, settings.sparse.sum, 0, 1),
    LATER("sparse_twice", BOOL, settings.sparse.twice, 0, 1),
    LATER("m3_lexical", BOOL, settings.m3.lexical, 0, 1),
    LATER("m3_rows", BOOL, settings.m3.rows, 0, 1),
    LATER("judge_from", TEXT, settings.judge.from, 0, 0),
    LATER("judge_text", TEXT, settings.judge.text[0], 0, 0),
    LATER("judge_instructed", TEXT, settings.judge.text[1], 0, 0),
    LATER("judge_wrong", TEXT, settings.judge.wrong, 0, 0),
    LATER("judge_words", TEXT, settings.judge.words_from, 0, 0),
    LATER("judge_yes", INT64, settings.judge.yes, -1, INT32_MAX),
    LATER("judge_no", INT64, settings.judge.no, -1, INT32_MAX),
    LATER("sparse_top", INT64, settings.sparse.top, 0, INT32_MAX),
    LATER("activation", INT, labels.activation, NIB_SCORES_MODEL, NIB_SCORES_SIGMOID),
    LATER("problem", INT, labels.problem, NIB_SCORES_MODEL, NIB_SCORES_SIGMOID),
};

#undef FIELD
#undef LATER
#define FIELD(name, kind, member, least, most)                                                                         \
    { name, kind, offsetof(model_program, member), sizeof(((model_program *)0)->member), least, most, false }
#define LATER(name, kind, member, least, most)                                                                         \
    { name, kind, offsetof(model_program, member), sizeof(((model_program *)0)->member), least, most, true }

static const field program_fields[] = {
    FIELD("computes", INT, computes, NIB_PRECISION_FILE, NIB_PRECISION_MIXED),
    FIELD("output_name", TEXT, output_name, 0, 0),
    FIELD("output_why", TEXT, output_why, 0, 0),
    FIELD("cannot_embed", TEXT, cannot, 0, 0),
    FIELD("packed", BOOL, packed, 0, 1),
    FIELD("pooled", BOOL, pooled, 0, 1),
    FIELD("group", INT, roles.group, RUN_GROUP_ONE, RUN_GROUP_ANY),
    FIELD("prompt_rows", INT, roles.skip, -1, INT_MAX),
    LATER("wanted_rows", INT, roles.places, -1, INT_MAX),
    LATER("normalized", BOOL, normalized, 0, 1),
    LATER("judged", BOOL, judged, 0, 1),
    LATER("scores", INT, scores, NIB_SCORES_MODEL, NIB_SCORES_SIGMOID),
};

/* ---- writing */

static void put_field(base_json_draft *d, const field *f, const void *from) {
    const char *at = (const char *)from + f->offset;
    int number;
    int64_t wide;
    switch (f->kind) {
    case TEXT: base_json_put_text(d, d->root, f->name, at); return;
    case BOOL: wide = *(const bool *)at; break;
    case INT: memcpy(&number, at, sizeof number), wide = number; break;
    default: memcpy(&wide, at, sizeof wide); break;
    }
    yyjson_mut_obj_add_int(d->doc, d->root, f->name, wide);
}

static void put_program(base_json_draft *d, const char *name, const compiled_program *p) {
    yyjson_mut_val *o = base_json_put_object(d, d->root, name);
    base_json_put_text(d, o, "notes", p->notes);
    yyjson_mut_val *weights = base_json_put_array(d, o, "weights");
    for (size_t i = 0; i < p->count; i++) {
        const compiled_weight *w = &p->weights[i];
        yyjson_mut_val *one = yyjson_mut_arr_add_arr(d->doc, weights);
        yyjson_mut_arr_append(one, base_json_text(d, w->layout));
        for (int k = 0; k < w->parts; k++) {
            yyjson_mut_arr_add_uint(d->doc, one, w->offset[k]);
            yyjson_mut_arr_add_uint(d->doc, one, w->bytes[k]);
        }
    }
    yyjson_mut_val *types = base_json_put_array(d, o, "types");
    for (size_t i = 0; i < p->n_types; i++) {
        yyjson_mut_val *one = yyjson_mut_arr_add_arr(d->doc, types);
        yyjson_mut_arr_append(one, base_json_text(d, p->types[i].name));
        yyjson_mut_arr_append(one, base_json_text(d, kernel_weight_formats[p->types[i].format].name));
        yyjson_mut_arr_add_int(d->doc, one, p->types[i].axis);
    }
}

nib_status compiled_put_settings(const nib_model *m, const compiled_program programs[2], base_str *out, nib_error *err) {
    base_json_draft d;
    base_str about;
    const model_program *own = model_own(m);
    base_json_draft_init(&d, &m->runtime->heap);
    base_str_init(&about, &m->runtime->heap);
    model_describe_source(m, &about);
    d.failed |= about.failed;
    const struct {
        const char *key, *text;
    } texts[] = {{"nib", NIB_VERSION},
                 {"cpu", nib_cpu_name()},
                 {"made_of", m->path},
                 {"door", m->door},
                 {"about", about.data},
                 {"precision_why", own->precision_why ? own->precision_why : m->precision_why},
                 {"serves", nib_task_name(m->task)},
                 {"no_tokenizer", m->no_tokenizer}};
    for (size_t i = 0; i < BASE_COUNT(texts); i++) base_json_put_text(&d, d.root, texts[i].key, texts[i].text);
    for (size_t i = 0; i < BASE_COUNT(fields); i++) put_field(&d, &fields[i], m);
    for (size_t i = 0; i < BASE_COUNT(program_fields); i++) put_field(&d, &program_fields[i], own);
    yyjson_mut_val *labels = base_json_put_array(&d, d.root, "labels");
    for (int64_t i = 0; own->labels && i < own->width; i++)
        yyjson_mut_arr_append(labels, base_json_text(&d, own->labels[i]));
    yyjson_mut_val *below = base_json_put_array(&d, d.root, "below");
    for (int i = 0, n = graph_required_inputs(m->source); i < n; i++) yyjson_mut_arr_add_int(d.doc, below, model_input_below(m, i));
    yyjson_mut_val *prompts = base_json_put_array(&d, d.root, "prompts");
    for (size_t i = 0; i < m->settings.prompt_count; i++) {
        yyjson_mut_val *pair = yyjson_mut_arr_add_arr(d.doc, prompts);
        yyjson_mut_arr_append(pair, base_json_text(&d, m->settings.prompts[i].name));
        yyjson_mut_arr_append(pair, base_json_text(&d, m->settings.prompts[i].text));
    }
    put_program(&d, "task", &programs[0]);
    put_program(&d, "exact", &programs[1]);
    nib_status status = base_json_write(&d, out, err);
    base_str_free(&about);
    base_json_drop(&d);
    return status;
}

/* ---- reading */

static nib_status wrong(nib_error *err, const char *name) {
    return base_error_set(err, NIB_BAD_MODEL, "the settings of the compiled file: \"%s\" is missing, or not what it should be", name);
}

static nib_status get_field(void *into, const field *f, yyjson_val *root, nib_error *err) {
    yyjson_val *v = yyjson_obj_get(root, f->name);
    char *at = (char *)into + f->offset;
    if (!v && f->later) return NIB_OK;
    if (f->kind == TEXT) {
        const char *text = yyjson_get_str(v);
        if (!text || strlen(text) >= f->size) return wrong(err, f->name);
        snprintf(at, f->size, "%s", text);
        return NIB_OK;
    }
    if (!yyjson_is_int(v) || (yyjson_is_uint(v) && yyjson_get_uint(v) > INT64_MAX)) return wrong(err, f->name);
    int64_t n = yyjson_get_sint(v);
    int number = (int)n;
    if (n < f->least || n > f->most) return wrong(err, f->name);
    if (f->kind == BOOL) *(bool *)at = n != 0;
    else if (f->kind == INT) memcpy(at, &number, sizeof number);
    else memcpy(at, &n, sizeof n);
    return NIB_OK;
}

static nib_status get_text(nib_model *m, yyjson_val *root, const char *name, char **out, nib_error *err) {
    yyjson_val *v = yyjson_obj_get(root, name);
    if (!yyjson_is_str(v)) return wrong(err, name);
    *out = base_strndup(&m->runtime->heap, yyjson_get_str(v), strlen(yyjson_get_str(v)));
    return *out ? NIB_OK : base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for the settings");
}

static nib_status get_weight(yyjson_val *v, compiled_weight *w, nib_error *err) {
    const char *layout = yyjson_get_str(yyjson_arr_get(v, 0));
    size_t n = yyjson_arr_size(v);
    memset(w, 0, sizeof *w);
    if (!layout || strlen(layout) >= sizeof w->layout || (n != 3 && n != 5)) return wrong(err, "weights");
    snprintf(w->layout, sizeof w->layout, "%s", layout);
    w->parts = (int)(n / 2);
    for (size_t k = 0; k < n / 2; k++) {
        yyjson_val *offset = yyjson_arr_get(v, 1 + 2 * k), *bytes = yyjson_arr_get(v, 2 + 2 * k);
        if (!yyjson_is_uint(offset) || !yyjson_is_uint(bytes)) return wrong(err, "weights");
        w->offset[k] = yyjson_get_uint(offset);
        w->bytes[k] = yyjson_get_uint(bytes);
    }
    return NIB_OK;
}

static nib_status get_type(nib_model *m, yyjson_val *v, compiled_type *t, nib_error *err) {
    const char *name = yyjson_get_str(yyjson_arr_get(v, 0)), *format = yyjson_get_str(yyjson_arr_get(v, 1));
    int axis = yyjson_get_int(yyjson_arr_get(v, 2)), i = 0;
    while (format && i < KERNEL_WEIGHTS && strcmp(kernel_weight_formats[i].name, format) != 0) i++;
    if (!name || !format || i == KERNEL_WEIGHTS || axis < 0 || axis > 1) return wrong(err, "types");
    *t = (compiled_type){base_strndup(&m->runtime->heap, name, strlen(name)), (kernel_weight_format)i, axis};
    return t->name ? NIB_OK : base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for the settings");
}

static nib_status get_program(nib_model *m, yyjson_val *root, const char *name, compiled_program *p, nib_error *err) {
    nib_status status = NIB_OK;
    yyjson_val *v = yyjson_obj_get(root, name), *item;
    yyjson_val *list = yyjson_obj_get(v, "weights"), *types = yyjson_obj_get(v, "types");
    size_t i, n;
    if (!yyjson_is_arr(types) || yyjson_arr_size(types) > COMPILED_PACKED) NIB_TRY(wrong(err, name));
    if (!yyjson_is_arr(list) || yyjson_arr_size(list) > COMPILED_PACKED) NIB_TRY(wrong(err, name));
    NIB_TRY(get_text(m, v, "notes", &p->notes, err));
    p->weights = base_calloc(&m->runtime->heap, yyjson_arr_size(list) + 1, sizeof *p->weights);
    p->types = base_calloc(&m->runtime->heap, yyjson_arr_size(types) + 1, sizeof *p->types);
    if (!p->weights || !p->types) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for the settings");
    yyjson_arr_foreach(list, i, n, item) NIB_TRY(get_weight(item, &p->weights[p->count++], err));
    yyjson_arr_foreach(types, i, n, item) NIB_TRY(get_type(m, item, &p->types[p->n_types++], err));
fail:
    return status;
}

static nib_status get_below(nib_model *m, yyjson_val *list, nib_error *err) {
    yyjson_val *item;
    size_t i, n;
    if (!yyjson_is_arr(list) || yyjson_arr_size(list) > 4096) return wrong(err, "below");
    m->compiled->below = base_calloc(&m->runtime->heap, yyjson_arr_size(list) + 1, sizeof *m->compiled->below);
    if (!m->compiled->below) return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for the settings");
    yyjson_arr_foreach(list, i, n, item) {
        if (!yyjson_is_uint(item) || yyjson_get_uint(item) > INT64_MAX) return wrong(err, "below");
        m->compiled->below[m->compiled->n_below++] = (int64_t)yyjson_get_uint(item);
    }
    return NIB_OK;
}

static nib_status get_prompts(nib_model *m, yyjson_val *list, nib_error *err) {
    nib_status status = NIB_OK;
    yyjson_val *item;
    size_t i, n;
    if (!yyjson_is_arr(list) || yyjson_arr_size(list) > 4096) return wrong(err, "prompts");
    yyjson_arr_foreach(list, i, n, item) {
        const char *name = yyjson_get_str(yyjson_arr_get(item, 0)), *text = yyjson_get_str(yyjson_arr_get(item, 1));
        if (!name || !text) NIB_TRY(wrong(err, "prompts"));
        NIB_TRY(hf_settings_add_prompt(&m->runtime->heap, &m->settings, name, text, err));
    }
    if (m->settings.default_prompt >= (int64_t)m->settings.prompt_count) NIB_TRY(wrong(err, "default_prompt"));
fail:
    return status;
}

/* What the file is for, and its labels; one that says neither embeds. */
static nib_status get_task(nib_model *m, yyjson_val *root, nib_error *err) {
    nib_status status = NIB_OK;
    yyjson_val *name = yyjson_obj_get(root, "serves"), *list = yyjson_obj_get(root, "labels"), *item;
    size_t i, n;
    m->task = NIB_TASK_EMBED;
    m->task_why = "it was compiled for that";
    if (name && (nib_task_from_name(yyjson_get_str(name), &m->task) != NIB_OK || m->task == NIB_TASK_AUTO))
        return wrong(err, "serves");
    if (list && (!yyjson_is_arr(list) || yyjson_arr_size(list) > INT32_MAX)) return wrong(err, "labels");
    yyjson_arr_foreach(list, i, n, item) {
        if (!yyjson_is_str(item)) return wrong(err, "labels");
        NIB_TRY(hf_labels_add(&m->runtime->heap, &m->labels, (int64_t)i, yyjson_get_str(item), err));
    }
fail:
    return status;
}

nib_status compiled_get_settings(nib_model *m, const char *json, size_t length, compiled_program programs[2], nib_error *err) {
    nib_status status = NIB_OK;
    yyjson_doc *doc = NULL;
    model_compiled *c = m->compiled;
    NIB_TRY(base_json_parse(&m->runtime->heap, json, length, "the settings of the compiled file", NIB_BAD_MODEL, &doc, err));
    yyjson_val *root = yyjson_doc_get_root(doc);
    NIB_TRY(get_task(m, root, err));
    model_program *own = &m->slots[m->task].program;
    for (size_t i = 0; i < BASE_COUNT(fields); i++) NIB_TRY(get_field(m, &fields[i], root, err));
    own->roles.places = -1;
    for (size_t i = 0; i < BASE_COUNT(program_fields); i++) NIB_TRY(get_field(own, &program_fields[i], root, err));
    if (m->labels.activation == NIB_SCORES_MODEL && m->labels.problem == NIB_SCORES_MODEL) /* older files say neither */
        m->labels.activation = own->scores;
    const struct {
        const char *name;
        char **to;
    } texts[] = {{"nib", &c->library},
                 {"cpu", &c->cpu},
                 {"made_of", &c->made_of},
                 {"about", &c->about},
                 {"door", &m->door},
                 {"precision_why", &c->precision_why},
                 {"no_tokenizer", &m->no_tokenizer}};
    for (size_t i = 0; i < BASE_COUNT(texts); i++) NIB_TRY(get_text(m, root, texts[i].name, texts[i].to, err));
    m->precision_why = own->precision_why = c->precision_why;
    NIB_TRY(get_below(m, yyjson_obj_get(root, "below"), err));
    NIB_TRY(get_prompts(m, yyjson_obj_get(root, "prompts"), err));
    NIB_TRY(get_program(m, root, "task", &programs[0], err));
    NIB_TRY(get_program(m, root, "exact", &programs[1], err));
fail:
    base_json_free(&m->runtime->heap, doc);
    return status;
}

void compiled_free_programs(base_heap *heap, compiled_program programs[2]) {
    for (int i = 0; i < 2; i++) {
        base_free(heap, programs[i].weights);
        for (size_t k = 0; k < programs[i].n_types; k++) base_free(heap, programs[i].types[k].name);
        base_free(heap, programs[i].types);
        base_free(heap, programs[i].notes);
    }
}
