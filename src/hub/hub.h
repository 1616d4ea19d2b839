/* SPDX-License-Identifier: Apache-2.0
 *
 * Models by name: ORG/NAME of a hub that speaks Hugging Face's HTTP, and the cache that its own tools have on this
 * machine. Both are used as huggingface_hub uses them (PyPI huggingface_hub 2.4, constants.py and file_download.py), so
 * that either reads what the other wrote:
 *
 *   CACHE/CACHEDIR.TAG
 *   CACHE/.locks/models--ORG--NAME/ETAG.lock        flock(2): one process fetches a file at a time
 *   CACHE/models--ORG--NAME/
 *     refs/main                                     a commit's id, without a newline; written when all is there
 *     blobs/ETAG, blobs/ETAG.incomplete             contents, by their hash; what is on its way
 *     snapshots/COMMIT/FILE -> ../../blobs/ETAG     or the file itself, where there are no links
 *
 * Requests: GET  {endpoint}/api/models/{repo}/revision/{revision}  the commit and the names of its files
 *           HEAD {endpoint}/{repo}/resolve/{commit}/{file}         etag and size
 *           GET  the same, with Range                              contents, mostly behind a redirect
 *
 * A file's etag is its hash: SHA-256 of a large file (64 digits), git's SHA-1 of another (40). Nothing gets its name in
 * blobs/ before that hash was found in it. All that a server says is hostile: names, sizes, redirects, lengths.
 */
#ifndef HUB_H
#define HUB_H

#include "base/base_runtime.h"
#include "base/base_str.h"

#define HUB_PATH 4096 /* bytes of a path, its NUL included */
#define HUB_REPO 97   /* "ORG/NAME" has 96 characters at most */
#define HUB_NAME 1024 /* of a file in a repository, or of a revision */
#define HUB_ETAG 129

/* ---------------------------------------------------------------- names (hub_id.c) */

typedef struct hub_id {
    char repo[HUB_REPO];
    char revision[HUB_NAME]; /* branch, tag or commit; "main" if none was said */
    char file[HUB_NAME];     /* "onnx/model_q4.onnx", or "": the folder */
} hub_id;

/* ORG/NAME[@REVISION][:FILE]. INVALID_ARGUMENT says what is wrong with it. */
nib_status hub_id_parse(const char *text, hub_id *out, nib_error *err);
/* Whether a file of a repository may have this name here: relative, no "." or "..", no control characters. */
bool hub_name_is_good(const char *name);
/* Whether it is a plain name for one file or folder of the cache: letters, digits, '-', '_', '.', not in front. */
bool hub_word_is_good(const char *word, size_t most);

/* ---------------------------------------------------------------- the environment (hub_env.c) */

typedef struct hub_env {
    char cache[HUB_PATH];    /* HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE, HF_HOME/hub, XDG_CACHE_HOME/huggingface/hub,
                                ~/.cache/huggingface/hub: the first that is set */
    char endpoint[HUB_NAME]; /* HF_ENDPOINT; no slash at its end */
    char token[HUB_NAME];    /* HF_TOKEN, else the file HF_TOKEN_PATH or HF_HOME/token; "": none. Never in a message */
    char certificates[HUB_PATH]; /* CURL_CA_BUNDLE, SSL_CERT_FILE, REQUESTS_CA_BUNDLE; "": the system's */
    const char *offline;         /* the variable that says so: HF_HUB_OFFLINE, TRANSFORMERS_OFFLINE; NULL: online */
    bool no_links;               /* HF_HUB_DISABLE_SYMLINKS */
    int etag_timeout, timeout; /* seconds: HF_HUB_ETAG_TIMEOUT, HF_HUB_DOWNLOAD_TIMEOUT; of connecting and asking, of a
                                  stalled download */
} hub_env;

/* A variable that is empty counts as not set. INVALID_ARGUMENT names the variable that is wrong. */
nib_status hub_env_read(hub_env *out, nib_error *err);

/* ---------------------------------------------------------------- the cache (hub_cache.c) */

/* CACHE/models--ORG--NAME. IO if that is too long for a path. */
nib_status hub_repo_folder(const hub_env *env, const char *repo, char out[HUB_PATH], nib_error *err);
/* "%s/%s"; IO if that is too long. `out` may be `a` or `b`. */
nib_status hub_join(const char *a, const char *b, char out[HUB_PATH], nib_error *err);
/* The commit that a revision is in the cache: itself, or what refs/ says. NOT_FOUND: none. */
nib_status hub_cached_commit(const char *folder, const char *revision, char out[HUB_ETAG], nib_error *err);
/* Where `id` lies: its snapshot's folder, or the file in it. NOT_FOUND: not in the cache; the message says how to pull.
 */
nib_status hub_find(const hub_env *env, const hub_id *id, char out[HUB_PATH], nib_error *err);

/* A model's path as a caller gives it -> one that the system knows: `given` itself where there is something of that
 * name, or it is no ORG/NAME; else where that lies in the cache, in `room`. NOT_FOUND: neither; the message says both.
 */
nib_status hub_resolve(const char *given, char room[HUB_PATH], const char **out, nib_error *err);

typedef struct hub_model { /* a snapshot in the cache */
    char repo[HUB_REPO], commit[HUB_ETAG];
    char refs[256];      /* "main, v1": those that lead to this commit; "" */
    char path[HUB_PATH]; /* of the snapshot */
    uint64_t bytes;      /* of its files */
    bool partial;        /* something of the repository is still on its way: blobs/ has *.incomplete */
} hub_model;
/* Calls `each` with every snapshot, by name. No cache is no model. */
nib_status hub_each_model(base_heap *heap, const hub_env *env,
                          nib_status (*each)(void *user, const hub_model *model, nib_error *err), void *user,
                          nib_error *err);

/* ---------------------------------------------------------------- choosing files (hub_choose.c) */

typedef enum hub_weights { HUB_WEIGHTS_AUTO, HUB_WEIGHTS_SAFETENSORS, HUB_WEIGHTS_ONNX } hub_weights;

/* Configuration, tokenizer, modules of sentence-transformers: what is wanted whatever the weights are. */
bool hub_is_small_file(const char *name);
/* Whether `name` belongs to the weights that the choice takes: model.safetensors, its index and shards; onnx/model.onnx
 * with its external data, or model.onnx where there is no folder onnx. */
bool hub_is_weights(const char *name, hub_weights choice, bool onnx_folder);

/* ---------------------------------------------------------------- pulling (hub_pull.c) */

typedef struct hub_pull {
    nib_runtime *runtime;
    const hub_env *env;
    const hub_id *id;
    hub_weights weights;
    const char *const *include; /* [include_count] patterns of fnmatch(3), in place of the choice of weights */
    size_t include_count;
    void (*progress)(void *user, const char *file, uint64_t done, uint64_t total); /* may be NULL */
    void *progress_user;
} hub_pull;

/* Fetches what is wanted and not there yet. What it has of a file is gone on with, also after a kill. Offline, a model
 * that is in the cache is left as it is. UNSUPPORTED: offline; no libcurl; the repository has no weights that nib
 * reads. NOT_FOUND: no such repository, revision or file, or none for this token. IO: the network, the disk, or
 * contents that have another hash than their name. */
nib_status hub_pull_model(const hub_pull *how, nib_error *err);

/* ---------------------------------------------------------------- recipes (hub_recipes.c) */

/* As nib_recipe_at (NULL: there are no more) and nib_recipe_find. */
const nib_recipe *hub_recipe_at(size_t i);
nib_status hub_recipe_find(const char *name, int64_t dimensions, uint64_t memory, nib_recipe *out, nib_error *err);

#endif
