/* SPDX-License-Identifier: Apache-2.0
 *
 * nib: models by name, a hub and its cache. A part of nib.h, which includes it.
 *
 * Wherever a call takes the path of a model, it takes ORG/NAME[@REVISION][:FILE], too, where there is no file or folder of
 * that name: the model of that name in the cache of Hugging Face's tools, "main" of it unless a branch, tag or commit is
 * named, and the folder unless a file in it is. Such a call reads the cache and asks no server. The cache is HF_HUB_CACHE,
 * else HF_HOME/hub, else XDG_CACHE_HOME/huggingface/hub, else ~/.cache/huggingface/hub, and is shared with those tools.
 */
#ifndef NIB_HUB_H
#define NIB_HUB_H

#include "nib.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Which of a repository's weights are fetched. */
#define NIB_WEIGHTS_MAP(X)                                                                                             \
    X(AUTO, 0, "auto")               /* safetensors of a model that nib reads so, else onnx */                         \
    X(SAFETENSORS, 1, "safetensors") /* model.safetensors, or its shards */                                            \
    X(ONNX, 2, "onnx")               /* onnx/model.onnx, or model.onnx */

typedef enum nib_weights {
#define NIB_WEIGHTS_ENUM(name, number, text) NIB_WEIGHTS_##name = number,
    NIB_WEIGHTS_MAP(NIB_WEIGHTS_ENUM)
#undef NIB_WEIGHTS_ENUM
} nib_weights;

/* How far the pull of one file is, in bytes; `done` is `total` at its end, and starts beyond 0 where it goes on with what an
 * earlier pull left. On the thread that made the call. */
typedef void (*nib_pull_fn)(void *user, const char *file, uint64_t done, uint64_t total);

typedef struct nib_pull_options {
    size_t size;
    nib_runtime *runtime; /* NULL: a default one */
    nib_weights weights;
    const char *const *include; /* [include_count] patterns ("onnx/model_q4*"): these files in place of the weights */
    size_t include_count;
    nib_pull_fn progress; /* NULL: nobody is told */
    void *progress_user;
    nib_stop_fn stop; /* with 0 of 0; NULL: it goes on to its end. What has come stays, and the next pull goes on with it */
    void *stop_user;
} nib_pull_options;

NIB_API void nib_pull_defaults(nib_pull_options *options, size_t size);

/* Fetches ORG/NAME[@REVISION] into the cache: its configuration, its tokenizer and one form of its weights; what is there is
 * not fetched again. Every file is compared with the hash that it is called by before it is seen. HF_ENDPOINT (where from),
 * HF_TOKEN or HF_TOKEN_PATH (as whom: it is sent to that endpoint and nowhere else), HF_HUB_OFFLINE, HF_HUB_DISABLE_SYMLINKS,
 * HF_HUB_ETAG_TIMEOUT and HF_HUB_DOWNLOAD_TIMEOUT count as for Hugging Face's tools. Offline, a model that is in the cache
 * is left as it is. Needs libcurl.so.4, which is loaded here.
 * Errors: INVALID_ARGUMENT (no such name), NOT_FOUND (no such model or file, or not for this token), UNSUPPORTED (offline, no
 * libcurl, no weights that nib reads), LIMIT (a server that sends too much), IO, CANCELLED. */
NIB_API nib_status nib_pull(const char *name, const nib_pull_options *options, nib_error *error);

/* The path that a model's name or path means. Writes at most `capacity` bytes, the final NUL included, and stores the full
 * length in `*length`. NOT_FOUND: a name, and it is not in the cache; the message says how to pull it. INVALID_ARGUMENT: neither
 * a file or folder that is there nor a name. */
NIB_API nib_status nib_hub_find(const char *name, char *buffer, size_t capacity, size_t *length, nib_error *error);

/* What is in the cache, as it was when this was made: the caller frees it. */
typedef struct nib_hub nib_hub;
NIB_API nib_status nib_hub_open(nib_runtime *runtime, nib_hub **out, nib_error *error); /* runtime may be NULL */
NIB_API void nib_hub_free(nib_hub *hub);                                                /* NULL is accepted */

typedef struct nib_hub_model { /* strings live as long as the nib_hub */
    const char *name;     /* "ORG/NAME" */
    const char *commit;   /* the snapshot's */
    const char *refs;     /* branches and tags that mean it here: "main"; "": none */
    const char *path;     /* of the snapshot */
    uint64_t bytes;       /* of its files */
    int partial;          /* 1: a file of the repository is not there to its end */
    int runs;             /* 1: nib opens it */
    const char *why;      /* why it does not; else "" */
    nib_task task;        /* what it is for, if it runs */
    int64_t dim;          /* numbers of a vector, or labels of a classifier, as its files say; 0: they do not */
    const char *file;     /* which file of it nib opens: "model.safetensors", "onnx/model.onnx" */
    const char *kind;     /* model_type of config.json; "" */
} nib_hub_model;

NIB_API size_t nib_hub_count(const nib_hub *hub);
/* INVALID_ARGUMENT if i is out of range. */
NIB_API nib_status nib_hub_model_get(const nib_hub *hub, size_t i, nib_hub_model *out, size_t size);

/* Whether a folder would open, from its small files alone: config.json, modules.json, those of the tokenizer. Weights need not be
 * there, so that it can be asked before gigabytes are fetched. `name` as of nib_hub_find, or a folder; `runtime` may be
 * NULL. Text and buffer as of nib_model_describe. UNSUPPORTED: an architecture, a setting or a module that nib does not
 * know; the message names it, and lists the architectures that it does. BAD_MODEL, BAD_TOKENIZER: a malformed file.
 * NOT_FOUND: no such folder, or no config.json in it. INVALID_ARGUMENT: a file. */
NIB_API nib_status nib_check(const char *name, nib_runtime *runtime, char *buffer, size_t capacity, size_t *length, nib_error *error);

#ifdef __cplusplus
}
#endif
#endif
