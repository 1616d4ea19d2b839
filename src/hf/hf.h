/* SPDX-License-Identifier: Apache-2.0
 *
 * A Hugging Face folder -> graph, and what the folder's small files say about using the model.
 *
 * hf_load_graph reads config.json and model.safetensors (or model.safetensors.index.json with its shards). The model_type's
 * row describes a stack of layers, which one builder writes as standard operators (hf_stack.h). Weights point into the
 * mapped files.
 *
 * hf_settings_load reads modules.json, 1_Pooling/config.json (both schemas), sentence_bert_config.json, tokenizer_config.json,
 * special_tokens_map.json, config_sentence_transformers.json and config.json; each answer names the file that gave it, for
 * `nib inspect`. Keys that are not applied are said through the log (hf_keys.h).
 */
#ifndef HF_H
#define HF_H

#include "base/base_json.h"
#include "base/base_runtime.h"
#include "graph/graph.h"

/* ---- safetensors: header {name: {dtype, shape, data_offsets}} checked whole: sizes, overlaps, duplicates, span = shape */
typedef struct hf_weights hf_weights;
nib_status hf_weights_open(nib_runtime *runtime, const char *dir, hf_weights **out, nib_error *err);
/* Those of one file in the folder, "2_Dense/model.safetensors", which must not lead out of it. */
nib_status hf_weights_open_file(nib_runtime *runtime, const char *dir, const char *name, hf_weights **out, nib_error *err);
void hf_weights_close(hf_weights *w);
/* NULL if there is no tensor of that name. Its data points into the file. */
const graph_tensor *hf_weights_find(const hf_weights *w, const char *name);
size_t hf_weights_count(const hf_weights *w);
/* Hands the files to the graph that points into them; hf_weights_close then leaves them open. */
nib_status hf_weights_give_files(hf_weights *w, graph *g, nib_error *err);

/* ---- the list of modules: what sentence-transformers runs, in that order (hf_list.c) */
#define HF_MOST_LISTED 64

typedef struct hf_listed {
    char type[64];  /* the last word of its class's name */
    char path[160]; /* its folder within the model's, "2_Dense" or "1_Router/query_0_Dense"; "": that itself */
} hf_listed;

typedef struct hf_list {
    bool there;     /* modules.json was */
    bool is_static; /* the first module is a StaticEmbedding: a mean of rows, and no attention; or */
    bool is_sparse; /* a SparseStaticEmbedding: a weight of each word, and no model at all */
    bool model2vec; /* it is Model2Vec's own folder, which tokenizes as that library does */
    hf_listed items[HF_MOST_LISTED];
    int count;
    char route[64];   /* of a Router that was taken; "": there is no Router */
    char routes[256]; /* the names of all: "query, document" */
} hf_list;

/* The modules of a folder (dir NULL: none). `route` is the task that a Router is asked for, as sentence-transformers'
 * encode_query and encode_document ask for "query" and "document"; NULL: its default. INVALID_ARGUMENT, with the names of
 * the routes: there is no such one, or no default; a route is named where there is no Router. say: keys that are not
 * applied are said through the log. */
nib_status hf_list_load(nib_runtime *runtime, const char *dir, const char *route, bool say, hf_list *out, nib_error *err);
/* The folder, within the model's, of the module that reads texts: its weights and its tokenizer lie there. */
const char *hf_list_input(const hf_list *list);
/* Its path. The caller's; NULL: no memory. */
char *hf_folder(nib_runtime *runtime, const char *dir, const char *input);

/* ---- models */
/* A graph for the model_type of config.json in the folder of a transformer. UNSUPPORTED, before weights are looked at,
 * names a model_type and its architecture that nib does not know, and lists those it knows. Inputs and outputs:
 * hf_stack_build in hf_stack.h. */
nib_status hf_load_graph(nib_runtime *runtime, const char *dir, graph **out, nib_error *err);
/* What that says without weights: whether config.json describes a model that nib knows. */
nib_status hf_check_config(nib_runtime *runtime, const char *dir, nib_error *err);
/* The graph of a StaticEmbedding's folder, of its model.safetensors alone: token_embeddings f32 [batch, seq, width] is
 * the row of each of input_ids, of the table `embedding.weight` or `embeddings`. Model2Vec's `mapping` says which row, and
 * `weights` what it is multiplied with, where they are there (hf_static.c). Input attention_mask is for who pools. */
nib_status hf_load_static(nib_runtime *runtime, const char *dir, graph **out, nib_error *err);

/* ---- modules: what sentence-transformers runs behind the transformer, in that order (modules.json) */
typedef struct hf_module_kind hf_module_kind; /* a row of hf_modules.c */

#define HF_MOST_MODULES 16
#define HF_MOST_MODES 8

typedef struct hf_module {
    const hf_module_kind *kind;
    char path[160];                   /* its folder, as hf_listed has it */
    bool of_tokens;                   /* it changes each token's row, before Pooling */
    nib_pooling modes[HF_MOST_MODES]; /* Pooling: the vectors of these side by side */
    int n_modes;
    int64_t in, out;        /* Dense, LayerNorm: numbers of a row */
    bool bias, residual;    /* Dense: x is added to what comes out, through a matrix if `in` is not `out` */
    const char *activation; /* Dense: as hf_activation names it */
    graph_tensor weight, offset, across; /* what the weights' file has for these; data NULL: nothing */
} hf_module;

/* ---- settings */
typedef struct hf_prompt {
    char *name, *text;
} hf_prompt;

/* A token that tokenizer_config.json or special_tokens_map.json names. */
enum { HF_LSTRIP = 1, HF_RSTRIP = 2, HF_SINGLE_WORD = 4, HF_NORMALIZED = 8, HF_SPECIAL = 16 };
typedef struct hf_token {
    char *content;
    int64_t id; /* -1: none was said */
    int flags;  /* -1: none were said */
} hf_token;

/* What a tokenizer's class builds from tokenizer_config.json in place of what tokenizer.json holds. */
typedef struct hf_tokenizer {
    bool rebuilt;                       /* BertTokenizer or a class like it: all below but truncation_side is obeyed */
    char own_class[64];   /* one that builds its normalizer of the same three flags, and is not followed; or "" */
    char other_class[64]; /* one that builds another kind of tokenizer; or "" */
    bool byte_level;      /* one that builds a ByteLevel anew */
    bool lowercase, chinese;            /* do_lower_case, tokenize_chinese_chars */
    int strip_accents;                  /* 1 yes, 0 no, -1: as lowercase */
    bool no_types;                      /* model_input_names leaves token_type_ids out: the model gets zeros */
    int truncation_left;                /* truncation_side: 1 left, 0 right, -1: nothing was said */
    char cls[64], sep[64], unknown[64]; /* as named; "": the class's own */
    char mask[64], pad[64];             /* of any class */
    bool cleans;                        /* clean_up_tokenization_spaces: of decoded text */
    hf_token *tokens;                   /* [count] that the files name */
    size_t count, cap;
    int prefix_space; /* add_prefix_space, of a class that puts it into its ByteLevel: 2 yes, 1 no; 0: it is no such class */
    bool bare;        /* nothing is put around a text: that of a StaticEmbedding */
    bool no_unknown;  /* Model2Vec's: unknown tokens are left out, and a text is cut by characters first */
    bool has_decoder; /* added_tokens_decoder is there: of a rebuilt class it has all added tokens */
} hf_tokenizer;

/* Late interaction: how queries and documents become rows (hf_colbert.c). */
typedef enum hf_role { HF_QUERY, HF_DOCUMENT, HF_ROLES } hf_role;
typedef struct hf_colbert {
    bool there;                 /* the folder says that the model is one of these */
    char prefixes[HF_ROLES][64]; /* a token, or else a text, that is put in front */
    int64_t lengths[HF_ROLES];  /* tokens, that among them; 0: as of any text */
    int64_t expand;             /* so many tokens a query is filled up to; 0: it is not */
    bool attends;               /* what it is filled up with is seen by the other tokens */
    char mask[64];              /* the token that it is filled up with; "": none is named */
    char skip[1024];            /* tokens whose rows documents leave out, a line each */
    int64_t width;              /* of linear.weight beside the transformer's; 0: there is none */
} hf_colbert;

/* Sparse vectors: a weight for each word of the vocabulary, as SparseEncoder of sentence-transformers has them. */
typedef struct hf_sparse {
    char from[200]; /* "1_SpladePooling/config.json"; "": the folder says nothing of them */
    bool is_static; /* SparseStaticEmbedding: a word that is there has its weight */
    bool sum;       /* SpladePooling: what the tokens give a word is added; else the largest counts */
    bool twice;     /* log(1 + log(1 + relu(x))), and not log(1 + relu(x)) */
    int64_t top;    /* max_active_dims: only the largest; 0: all */
} hf_sparse;

/* BGE-M3: heads behind the rows of the last layer, in files beside the model's (hf_m3.c). */
typedef struct hf_m3 {
    bool lexical, rows;              /* sparse_linear.pt is there; colbert_linear.pt */
    hf_module lexical_head, rows_head; /* Dense: to a weight of each token; to a row of each */
} hf_m3;

/* Rerankers that are decoders: how a query and a document become one text, and which words that would come next say how
 * well the document answers (hf_judge.c). A classifier may have such a text, too. */
enum { HF_PLACE_INSTRUCTION = 1, HF_PLACE_QUERY, HF_PLACE_DOCUMENT, HF_PLACE_CUT }; /* bytes that stand for them; across
                                                                                       * a cut no token goes */
typedef struct hf_judge {
    char text[2][4096];   /* of a pair; with an instruction in it, "": there is no place for one */
    char from[64];        /* what says so, "chat_template.jinja"; "": a pair is what the tokenizer makes of it */
    bool next_word;       /* the score is `yes`, less `no` */
    int64_t yes, no;      /* ids; -1: not known yet; of `no`: there is none */
    char words_from[200]; /* "1_LogitScore/config.json"; "": these tokens: */
    const char *words[2]; /* "yes", "no"; of the second NULL: there is none. Static storage */
    bool capped;          /* scores of words go through final_logit_softcapping */
    bool untied;          /* config.json says that the head has weights of its own */
    char wrong[240];      /* why no text is made of pairs, or "" */
    char no_head[240];    /* why there is no score of words, or "" */
    graph_tensor weight;  /* f32 [hidden, 1], of the head; data NULL: not opened */
} hf_judge;

typedef struct hf_settings {
    bool has_modules;                  /* modules.json was there */
    char input[160];                   /* hf_list_input */
    bool any_length;                   /* a text may have any number of tokens, unless tokenizer.json says otherwise */
    char route[64], routes[256];       /* of a Router, as hf_list has them; "": there is none */
    char similarity[32];               /* similarity_fn_name: "cosine", "dot", "euclidean", "manhattan"; "": nothing was said */
    nib_pooling pooling;               /* the first of its modes; NIB_POOLING_MODEL: nothing was said */
    bool normalize;                    /* the last module is a Normalize, which is not among `modules` */
    hf_module modules[HF_MOST_MODULES]; /* [module_count]; one is the Pooling, unless nothing was said */
    int module_count;
    bool idle_normalize; /* a Normalize stands where there is nothing yet that it is for */
    char pooling_said[96];  /* "mean + max": of several modes; else "" */
    char modules_said[256]; /* ", Dense 48 to 16, tanh (2_Dense)": of the other modules, in order; or "" */
    int64_t max_tokens;                /* 0: nothing was said */
    bool lower_case;                   /* do_lower_case of sentence_bert_config.json */
    int64_t hidden, layers, positions; /* of config.json; 0 if unknown */
    char model_type[64];
    char architecture[96], tokenizer_class[64]; /* as config.json names them */
    char pooling_from[200], max_tokens_from[96]; /* "1_Pooling/config.json", ... or "" */
    char unsupported[160];                      /* a module nib cannot run yet ("2_Dense: Dense"), or "" */
    hf_tokenizer tokenizer;
    bool excludes_prompt; /* include_prompt of the Pooling is false: rows of the prompt are not pooled */
    hf_colbert colbert;
    hf_sparse sparse;
    hf_m3 m3;
    hf_judge judge;
    int64_t truncate_dim; /* only so many numbers of a vector, from the first on, behind all modules; 0: all */
    char matryoshka[120]; /* "64,128,256": widths that vectors were trained to be cut to; "*": any; "": nothing says so */
    hf_prompt *prompts;   /* [prompt_count] of config_sentence_transformers.json */
    size_t prompt_count, prompt_cap;
    int64_t default_prompt; /* of these; -1: none */
} hf_settings;

/* What a folder may have beside its weights that says how texts become tokens and vectors, modules' folders apart: their
 * names; ends with NULL. */
extern const char *const hf_small_files[];

/* `route` as hf_list_load. Missing files are no error (dir NULL: all are missing); malformed ones are (BAD_MODEL, naming
 * the file). The caller frees what it gets. */
nib_status hf_settings_load(nib_runtime *runtime, const char *dir, const char *route, hf_settings *out, nib_error *err);
void hf_settings_free(base_heap *heap, hf_settings *s); /* what was half read, too */
/* Adds a prompt; OUT_OF_MEMORY. */
nib_status hf_settings_add_prompt(base_heap *heap, hf_settings *s, const char *name, const char *text, nib_error *err);
/* Opens the weights of the modules, whose files become the graph's, which then has to live as long as the settings are used. Errors as
 * hf_weights_open; BAD_MODEL: a weight is missing or of another shape than the module's config.json says. */
nib_status hf_modules_open(nib_runtime *runtime, const char *dir, hf_settings *s, graph *g, nib_error *err);
/* Opens sparse_linear.pt and colbert_linear.pt of the folder, if they are there, as that opens weights. */
nib_status hf_m3_open(nib_runtime *runtime, const char *dir, hf_settings *s, graph *g, nib_error *err);
/* Opens the row of the table of words that judge.yes and judge.no ask for, which then is the graph's; judge.no_head
 * says why there is none. Errors as hf_weights_open, but for NOT_FOUND. */
nib_status hf_judge_open(nib_runtime *runtime, const char *dir, hf_settings *s, graph *g, nib_error *err);
/* Pools in this one way, whatever the folder says. */
void hf_modules_pool_by(hf_settings *s, nib_pooling mode);
/* The module's operators behind x: standard ones. A Pooling is left to the caller, and gives x; NULL: memory ran out. */
graph_value *hf_module_emit(const hf_module *m, graph *g, graph_value *x);
/* How wide rows are behind it that were `width` wide, which may be -1, unknown; 0: it cannot take these. */
int64_t hf_module_width(const hf_module *m, int64_t width);
bool hf_module_pools(const hf_module *m);
/* Whether the folder says that vectors were trained to be cut to so many numbers. */
bool hf_settings_cuts_to(const hf_settings *s, int64_t dimensions);
/* The prompt of that name, -1 if there is none. */
int64_t hf_settings_find_prompt(const hf_settings *s, const char *name);

/* ---- inside the room: parts of hf_settings_load */
nib_status hf_tokenizer_load(nib_runtime *runtime, const char *dir, hf_settings *s, nib_error *err); /* after config.json */
/* Adds Stanford's projection, which stands in no list and in no folder, so that its weight is looked for beside the
 * transformer's; after config.json. */
void hf_modules_project(hf_settings *s);
/* Of the model's folder, that of its module that reads texts, and its modules; *out is zeroed. */
nib_status hf_colbert_load(nib_runtime *runtime, const char *folder, const char *dir, const hf_list *list, hf_colbert *out,
                           nib_error *err);
nib_status hf_judge_load(nib_runtime *runtime, const char *dir, const hf_list *list, hf_settings *s,
                         nib_error *err); /* after both */
nib_status hf_prompts_load(nib_runtime *runtime, const char *dir, hf_settings *s, nib_error *err);
nib_status hf_modules_load(nib_runtime *runtime, const char *dir, const hf_list *list, hf_settings *s, nib_error *err);

#endif
