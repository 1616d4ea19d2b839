/* SPDX-License-Identifier: Apache-2.0
 *
 * What a folder says of a classifier: the names of its labels, and what is made of its raw scores.
 *
 * In: config.json's id2label and problem_type, and a cross encoder's activation: activation_fn of
 * config_sentence_transformers.json, else sentence_transformers.activation_fn of config.json, which was once called
 * sbert_ce_default_activation_function. What the activation names counts; without one it is as transformers'
 * pipeline("text-classification") takes it. (It reads function_to_apply of config.json for a model without labels only,
 * so never.)
 */
#ifndef HF_LABELS_H
#define HF_LABELS_H

#include "hf.h"

typedef struct hf_label {
    int64_t number;
    char *name;
} hf_label;

typedef struct hf_labels {
    hf_label *list; /* [count], in no order; a number may be there twice: the last one counts */
    size_t count, cap;
    nib_scores activation, problem; /* what each asks for; MODEL: it says nothing */
    char unknown[160];              /* an activation that nib does not have, or "" */
    char wrong[160];                /* why id2label is none, or "": then there are no names */
} hf_labels;

/* Of no file (dir NULL), of none there, and of one that says nothing: zeros. BAD_MODEL: a file is no JSON. The caller
 * frees what it gets, on failure too. */
nib_status hf_labels_load(nib_runtime *runtime, const char *dir, hf_labels *out, nib_error *err);
/* Adds a name; OUT_OF_MEMORY. */
nib_status hf_labels_add(base_heap *heap, hf_labels *l, int64_t number, const char *name, nib_error *err);
void hf_labels_free(base_heap *heap, hf_labels *l);

/* What is made of `count` raw scores unless the caller says something else. */
nib_scores hf_scores_of(const hf_labels *l, int64_t count);

#endif
