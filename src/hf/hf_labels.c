/* SPDX-License-Identifier: Apache-2.0
 *
 * See hf_labels.h. In: config.json and config_sentence_transformers.json. Out: labels' names and the activation.
 */
#include "hf_labels.h"
#include "hf_json.h"
#include <stdio.h>
#include <string.h>

nib_status hf_labels_add(base_heap *heap, hf_labels *l, int64_t number, const char *name, nib_error *err) {
    char *copy = base_strndup(heap, name, strlen(name));
    if (!copy || !base_grow(heap, (void **)&l->list, &l->cap, l->count + 1, sizeof *l->list)) {
        base_free(heap, copy);
        return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for the labels");
    }
    l->list[l->count++] = (hf_label){number, copy};
    return NIB_OK;
}

static void drop_names(base_heap *heap, hf_labels *l) {
    for (size_t i = 0; i < l->count; i++) base_free(heap, l->list[i].name);
    base_free(heap, l->list);
    l->list = NULL;
    l->count = l->cap = 0;
}

void hf_labels_free(base_heap *heap, hf_labels *l) { drop_names(heap, l); }

/* "12" -> 12; -1: it is no such number. */
static int64_t number_of(const char *text) {
    int64_t n = 0;
    if (!*text || strlen(text) > 9) return -1;
    for (; *text; text++) {
        if (*text < '0' || *text > '9') return -1;
        n = 10 * n + (*text - '0');
    }
    return n;
}

/* {"0": "NEGATIVE", "1": "POSITIVE"}. What is none is no error of the model, which may embed: whoever classifies is
 * told. */
static nib_status read_names(base_heap *heap, yyjson_val *names, hf_labels *l, nib_error *err) {
    nib_status status = NIB_OK;
    yyjson_val *key, *value;
    size_t i, n;
    if (!names || yyjson_is_null(names)) return NIB_OK;
    if (!yyjson_is_obj(names)) snprintf(l->wrong, sizeof l->wrong, "it is no object");
    yyjson_obj_foreach(names, i, n, key, value) {
        const int64_t number = number_of(yyjson_get_str(key));
        const char *name = yyjson_get_str(value);
        if (number < 0) snprintf(l->wrong, sizeof l->wrong, "'%.40s' is no number of a label", yyjson_get_str(key));
        else if (!name || strlen(name) != yyjson_get_len(value))
            snprintf(l->wrong, sizeof l->wrong, "the name of label %lld is no text", (long long)number);
        if (l->wrong[0]) break;
        NIB_TRY(hf_labels_add(heap, l, number, name, err));
    }
    if (l->wrong[0]) drop_names(heap, l);
fail:
    return status;
}

static const struct {
    const char *name; /* of a class of torch.nn: the last word of what is written */
    nib_scores scores;
} activations[] = {{"Identity", NIB_SCORES_RAW}, {"Sigmoid", NIB_SCORES_SIGMOID}, {"Softmax", NIB_SCORES_SOFTMAX}};

static void read_activation(const char *path, hf_labels *l) {
    const char *dot = strrchr(path, '.');
    for (size_t i = 0; i < BASE_COUNT(activations); i++)
        if (strcmp(dot ? dot + 1 : path, activations[i].name) == 0) {
            l->activation = activations[i].scores;
            return;
        }
    base_clean_copy(l->unknown, sizeof l->unknown, path);
}

static const struct {
    const char *name;
    nib_scores scores;
} problems[] = {{"regression", NIB_SCORES_RAW},
                {"multi_label_classification", NIB_SCORES_SIGMOID},
                {"single_label_classification", NIB_SCORES_SOFTMAX}};

static void read_scores(yyjson_val *root, yyjson_val *sentence, hf_labels *l) {
    const char *problem = hf_json_string(root, "problem_type", "");
    const char *path = hf_json_string(sentence, "activation_fn", NULL);
    if (!path) path = hf_json_string(yyjson_obj_get(root, "sentence_transformers"), "activation_fn", NULL);
    if (!path) path = hf_json_string(root, "sbert_ce_default_activation_function", NULL);
    if (path) read_activation(path, l);
    for (size_t i = 0; i < BASE_COUNT(problems); i++)
        if (strcmp(problem, problems[i].name) == 0) l->problem = problems[i].scores;
}

/* In the order in which the pipeline asks: one label is a sigmoid's, also where a single one of them is meant. */
nib_scores hf_scores_of(const hf_labels *l, int64_t count) {
    if (l->activation != NIB_SCORES_MODEL) return l->activation;
    if (l->problem == NIB_SCORES_RAW) return NIB_SCORES_RAW;
    return l->problem == NIB_SCORES_SIGMOID || count == 1 ? NIB_SCORES_SIGMOID : NIB_SCORES_SOFTMAX;
}

nib_status hf_labels_load(nib_runtime *runtime, const char *dir, hf_labels *out, nib_error *err) {
    nib_status status = NIB_OK;
    yyjson_doc *doc = NULL, *sentence = NULL;
    memset(out, 0, sizeof *out);
    if (!dir) return NIB_OK;
    NIB_TRY(hf_json_open(runtime, dir, "config.json", false, &doc, err));
    NIB_TRY(hf_json_open(runtime, dir, "config_sentence_transformers.json", false, &sentence, err));
    yyjson_val *root = yyjson_doc_get_root(doc);
    read_scores(root, yyjson_doc_get_root(sentence), out);
    NIB_TRY(read_names(&runtime->heap, yyjson_obj_get(root, "id2label"), out, err));
fail:
    base_json_free(&runtime->heap, doc);
    base_json_free(&runtime->heap, sentence);
    return status;
}
