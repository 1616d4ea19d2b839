/* SPDX-License-Identifier: Apache-2.0
 *
 * A Hugging Face folder -> graph, and what the folder's small files say about using the model.
 *
 * hf_load_graph reads config.json and model.safetensors (or model.safetensors.index.json with its shards) and has the
 * builder of that model_type (one file per family, one row in hf_families) write the graph with standard operators. Weights
 * point into the mapped files.
 *
 * hf_settings_load reads modules.json, 1_Pooling/config.json (both schemas), sentence_bert_config.json,
 * tokenizer_config.json and config.json; each answer names the file that gave it, for
 * `nib inspect`.
 */
#ifndef HF_H
#define HF_H

#include "base/base_json.h"
#include "base/base_runtime.h"
#include "graph/graph.h"

/* ---- safetensors: header {name: {dtype, shape, data_offsets}} checked whole: sizes, overlaps, duplicates, span = shape */
typedef struct hf_weights hf_weights;
nib_status hf_weights_open(nib_runtime *runtime, const char *dir, hf_weights **out, nib_error *err);
void hf_weights_close(hf_weights *w);
/* NULL if there is no tensor of that name. Its data points into the file. */
const graph_tensor *hf_weights_find(const hf_weights *w, const char *name);
size_t hf_weights_count(const hf_weights *w);
/* Hands the files to the graph that points into them; hf_weights_close then leaves them open. */
nib_status hf_weights_give_files(hf_weights *w, graph *g, nib_error *err);

/* ---- model families */
typedef struct hf_builder { /* what a family's build function gets */
    graph *g;
    yyjson_val *config;
    hf_weights *weights;
    const char *prefix; /* found in the weights' names: "", "bert.", ... */
    nib_status status;  /* the first failure; after it every helper of hf_build.h does nothing */
    nib_error *err;
} hf_builder;

typedef struct hf_family {
    const char *model_type;  /* of config.json: "bert" */
    const char *probe;       /* a weight that all models of the family have, without prefix */
    const char *prefixes[4]; /* what may stand before it, ends with NULL */
    nib_status (*build)(hf_builder *b);
} hf_family;
extern const hf_family hf_families[]; /* ends with a NULL model_type */

/* Inputs input_ids, attention_mask, token_type_ids: i64 [batch, seq]; output last_hidden_state [batch, seq, hidden].
 * UNSUPPORTED names the model_type and lists those nib knows. */
nib_status hf_load_graph(nib_runtime *runtime, const char *dir, graph **out, nib_error *err);

/* ---- settings */
typedef struct hf_settings {
    bool has_modules;                  /* modules.json was there */
    nib_pooling pooling;               /* NIB_POOLING_MODEL: nothing was said */
    bool normalize;                    /* a Normalize module is listed */
    int64_t max_tokens;                /* 0: nothing was said */
    bool lower_case;                   /* do_lower_case of sentence_bert_config.json */
    int64_t hidden, layers, positions; /* of config.json; 0 if unknown */
    char model_type[64];
    char architecture[96];
    char pooling_from[96], max_tokens_from[96]; /* "1_Pooling/config.json", ... or "" */
    char unsupported[160];                      /* a module nib cannot run yet ("2_Dense: Dense"), or "" */
} hf_settings;

/* Missing files are no error; malformed ones are (BAD_MODEL, naming the file). */
nib_status hf_settings_load(nib_runtime *runtime, const char *dir, hf_settings *out, nib_error *err);

#endif
