/* SPDX-License-Identifier: Apache-2.0
 *
 * In: ORG/NAME and what is wanted of it. Out: a snapshot that opens, and a reference to it that is written when all of
 * it is there: until then, an older snapshot stays the one that the name means.
 */
#include "base/base_disk.h"
#include "base/base_file.h"
#include "hf/hf.h"
#include "hub_repo.h"
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

#define SPARE ((uint64_t)16 << 20) /* bytes that a disk keeps: folders, links, what others write meanwhile */

/* ---------------------------------------------------------------- what is wanted */

static bool has(const hub_repo *repo, const char *pattern) {
    for (size_t i = 0; i < repo->count; i++)
        if (fnmatch(pattern, repo->files[i].name, 0) == 0) return true;
    return false;
}

/* Why nib reads no safetensors of this model, or OK: its modules and config.json are asked as opening it does. */
static nib_status reads_folder(const hub_repo *repo, nib_error *err) {
    nib_runtime *runtime = repo->how->runtime;
    hf_list list;
    nib_status status = hf_list_load(runtime, repo->snapshot, NULL, false, &list, err);
    if (status == NIB_INVALID_ARGUMENT) status = NIB_OK; /* a Router without a default: --route says which */
    if (status != NIB_OK || list.is_static) return status;
    char *dir = hf_folder(runtime, repo->snapshot, hf_list_input(&list));
    status = dir ? hf_check_config(runtime, dir, err) : base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory");
    base_free(&runtime->heap, dir);
    return status;
}

/* Which weights, where nobody said. */
static nib_status choose_weights(const hub_repo *repo, hub_weights *out, nib_error *err) {
    const char *name = repo->how->id->repo;
    const bool safetensors = has(repo, "model.safetensors") || has(repo, "model.safetensors.index.json") ||
                             has(repo, "[0-9]*_*/model.safetensors");
    const bool onnx = has(repo, "onnx/model.onnx") || has(repo, "model.onnx");
    nib_error why = {0};
    nib_status status = safetensors ? reads_folder(repo, &why) : NIB_UNSUPPORTED;
    if (status == NIB_OUT_OF_MEMORY || status == NIB_CANCELLED) return base_error_set(err, status, "%s", why.message);
    *out = status == NIB_OK || !onnx ? HUB_WEIGHTS_SAFETENSORS : HUB_WEIGHTS_ONNX;
    if (status == NIB_OK || onnx) return NIB_OK;
    if (safetensors)
        return base_error_set(err, NIB_UNSUPPORTED, "%s has no ONNX file, and its safetensors are not read: %s", name,
                              why.message);
    const char *others = has(repo, "pytorch_model*.bin")
                             ? "; it has pytorch_model.bin, a pickle, which nib does not read"
                         : has(repo, "*.gguf") ? "; it has .gguf files, which nib does not read"
                         : has(repo, "*.onnx") ? "; it has other ONNX files, which --include fetches"
                                               : "";
    return base_error_set(err, NIB_UNSUPPORTED, "%s has neither model.safetensors nor onnx/model.onnx%s", name, others);
}

static bool is_included(const hub_pull *how, const char *name) {
    for (size_t i = 0; i < how->include_count; i++)
        if (fnmatch(how->include[i], name, 0) == 0) return true;
    return false;
}

/* Marks the weights among the files. NOT_FOUND: the repository has none of them. */
static nib_status want_weights(hub_repo *repo, nib_error *err) {
    nib_status status = NIB_OK;
    const hub_pull *how = repo->how;
    hub_weights choice = how->weights;
    size_t found = 0;
    if (!how->include_count && choice == HUB_WEIGHTS_AUTO) NIB_TRY(choose_weights(repo, &choice, err));
    const bool folder = has(repo, "onnx/model.onnx");
    for (size_t i = 0; i < repo->count; i++) {
        hub_file *f = &repo->files[i];
        const bool taken = how->include_count ? is_included(how, f->name) : hub_is_weights(f->name, choice, folder);
        found += taken || (f->wanted && fnmatch("*/model.safetensors", f->name, 0) == 0);
        f->wanted |= taken;
    }
    if (found) return NIB_OK;
    if (how->include_count)
        NIB_FAIL(err, NIB_NOT_FOUND, "%s has no file that matches '%.100s'", how->id->repo, how->include[0]);
    NIB_FAIL(err, NIB_NOT_FOUND, "%s has no %s", how->id->repo,
             choice == HUB_WEIGHTS_ONNX ? "onnx/model.onnx" : "model.safetensors");
fail:
    return status;
}

/* ---------------------------------------------------------------- fetching */

/* All that is wanted and not there. */
static nib_status fetch_wanted(hub_repo *repo, nib_error *err) {
    nib_status status = NIB_OK;
    uint64_t bytes = 0;
    for (size_t i = 0; i < repo->count; i++) {
        hub_file *f = &repo->files[i];
        if (!f->wanted || f->there) continue;
        NIB_TRY(hub_file_ask(repo, f, err));
        if (!f->there) bytes = bytes > UINT64_MAX - f->size ? UINT64_MAX : bytes + f->size;
    }
    if (bytes) {
        NIB_TRY(base_dirs_create(repo->folder, "blobs", err));
        const uint64_t room = base_disk_room(repo->folder);
        if (room < SPARE || room - SPARE < bytes)
            NIB_FAIL(err, NIB_IO, "%s: %llu MB are to be fetched, and the disk has room for %llu MB", repo->folder,
                     (unsigned long long)(bytes >> 20), (unsigned long long)(room < SPARE ? 0 : (room - SPARE) >> 20));
    }
    for (size_t i = 0; i < repo->count; i++)
        if (repo->files[i].wanted) NIB_TRY(hub_file_fetch(repo, &repo->files[i], err));
fail:
    return status;
}

static nib_status write_file(base_heap *heap, const char *path, const char *text, nib_error *err) {
    base_writer *w = NULL;
    nib_status status = base_writer_open(heap, path, &w, err);
    if (status != NIB_OK) return status;
    status = base_writer_write(w, text, strlen(text), err);
    if (status == NIB_OK) return base_writer_commit(w, err);
    base_writer_abort(w);
    return status;
}

/* Tells programs that make copies of disks that all of this can be had again. */
static nib_status tag_cache(const hub_repo *repo, nib_error *err) {
    static const char text[] = "Signature: 8a477f597d28d172789f06886806bc55\n# This folder is a cache of models. See "
                               "https://bford.info/cachedir/\n";
    char path[HUB_PATH];
    nib_status status = base_dirs_create(repo->http.env->cache, "", err);
    if (status == NIB_OK) status = hub_join(repo->http.env->cache, "CACHEDIR.TAG", path, err);
    if (status != NIB_OK || base_path_taken(path)) return status;
    return write_file(&repo->how->runtime->heap, path, text, err);
}

static nib_status write_ref(const hub_repo *repo, nib_error *err) {
    nib_status status = NIB_OK;
    char path[HUB_PATH], folder[HUB_NAME + 8], old[HUB_ETAG];
    const char *revision = repo->how->id->revision;
    if (hub_cached_commit(repo->folder, revision, old, NULL) == NIB_OK && strcmp(old, repo->commit) == 0) return NIB_OK;
    snprintf(folder, sizeof folder, "refs/%s", revision);
    NIB_TRY(hub_join(repo->folder, folder, path, err));
    *strrchr(folder, '/') = 0;
    NIB_TRY(base_dirs_create(repo->folder, folder, err));
    status = write_file(&repo->how->runtime->heap, path, repo->commit, err);
fail:
    return status;
}

static nib_status name_folders(hub_repo *repo, nib_error *err) {
    nib_status status = NIB_OK;
    NIB_TRY(hub_repo_folder(repo->http.env, repo->how->id->repo, repo->folder, err));
    NIB_TRY(hub_join(repo->folder, "snapshots", repo->snapshot, err));
    NIB_TRY(hub_join(repo->snapshot, repo->commit, repo->snapshot, err));
fail:
    return status;
}

static nib_status pull(hub_repo *repo, nib_error *err) {
    nib_status status = NIB_OK;
    NIB_TRY(hub_repo_list(repo, err));
    NIB_TRY(name_folders(repo, err));
    for (size_t i = 0; i < repo->count; i++) repo->files[i].wanted = hub_is_small_file(repo->files[i].name);
    /* What cannot be had is said before anything is fetched, where that needs no file of the model's. */
    if (repo->how->include_count || repo->how->weights != HUB_WEIGHTS_AUTO) NIB_TRY(want_weights(repo, err));
    NIB_TRY(tag_cache(repo, err));
    NIB_TRY(fetch_wanted(repo, err));
    if (!repo->how->include_count && repo->how->weights == HUB_WEIGHTS_AUTO) {
        NIB_TRY(want_weights(repo, err));
        NIB_TRY(fetch_wanted(repo, err));
    }
    NIB_TRY(write_ref(repo, err));
fail:
    return status;
}

/* What the cache has is all there is, and good where no particular files are asked for. */
static nib_status offline(const hub_pull *how, nib_error *err) {
    char path[HUB_PATH];
    const bool any = !how->include_count && how->weights == HUB_WEIGHTS_AUTO;
    if (any && hub_find(how->env, how->id, path, NULL) == NIB_OK) return NIB_OK;
    return base_error_set(err, NIB_UNSUPPORTED, "%s is not pulled: %s says to stay offline", how->id->repo,
                          how->env->offline);
}

nib_status hub_pull_model(const hub_pull *how, nib_error *err) {
    hub_repo repo = {.how = how};
    if (how->env->offline) return offline(how, err);
    base_arena_init(&repo.names, &how->runtime->heap);
    nib_status status = hub_http_open(how->runtime, how->env, &repo.http, err);
    if (status == NIB_OK) status = pull(&repo, err);
    hub_http_close(&repo.http);
    base_arena_free(&repo.names);
    return status;
}
