/* SPDX-License-Identifier: Apache-2.0
 *
 * The cache as it lies on the disk. In: a name. Out: where it is, without a word to any server.
 */
#include "base/base_disk.h"
#include "base/base_file.h"
#include "hub.h"
#include <stdio.h>
#include <string.h>

#define MOST_NAMES 100000 /* of one folder */
#define PREFIX "models--"

nib_status hub_join(const char *a, const char *b, char out[HUB_PATH], nib_error *err) {
    const size_t n = strlen(a), m = strlen(b);
    if (n + m + 2 > HUB_PATH) return base_error_set(err, NIB_IO, "%.200s/..: the path is too long", a);
    memmove(out + n + 1, b, m + 1);
    memmove(out, a, n);
    out[n] = '/';
    return NIB_OK;
}

nib_status hub_repo_folder(const hub_env *env, const char *repo, char out[HUB_PATH], nib_error *err) {
    char name[HUB_REPO + sizeof PREFIX + 2];
    const size_t slash = strcspn(repo, "/");
    snprintf(name, sizeof name, PREFIX "%.*s--%s", (int)slash, repo, repo + slash + 1);
    return hub_join(env->cache, name, out, err);
}

static bool is_commit(const char *text) { return strlen(text) == 40 && strspn(text, "0123456789abcdefABCDEF") == 40; }

nib_status hub_cached_commit(const char *folder, const char *revision, char out[HUB_ETAG], nib_error *err) {
    nib_status status = NIB_OK;
    char path[HUB_PATH];
    size_t n;
    if (is_commit(revision)) return strcpy(out, revision), NIB_OK;
    NIB_TRY(hub_join(folder, "refs", path, err));
    NIB_TRY(hub_join(path, revision, path, err));
    if (!base_file_peek(path, out, HUB_ETAG - 1, &n)) NIB_FAIL(err, NIB_NOT_FOUND, "%s: there is no such file", path);
    while (n && strchr(" \r\n", out[n - 1])) n--;
    out[n] = 0;
    if (strlen(out) != n || !hub_word_is_good(out, HUB_ETAG)) NIB_FAIL(err, NIB_NOT_FOUND, "%s: holds no commit", path);
fail:
    return status;
}

nib_status hub_find(const hub_env *env, const hub_id *id, char out[HUB_PATH], nib_error *err) {
    nib_status status = NIB_OK;
    char commit[HUB_ETAG];
    const bool of_main = strcmp(id->revision, "main") == 0;
    const char *at = of_main ? "" : "@", *revision = of_main ? "" : id->revision;
    NIB_TRY(hub_repo_folder(env, id->repo, out, err));
    const bool known = hub_cached_commit(out, id->revision, commit, NULL) == NIB_OK;
    if (known) {
        NIB_TRY(hub_join(out, "snapshots", out, err));
        NIB_TRY(hub_join(out, commit, out, err));
    }
    if (!known || !base_path_is_dir(out))
        NIB_FAIL(err, NIB_NOT_FOUND, "%s%s%.100s is not in the cache %s: `nib pull %s%s%.100s` fetches it%s%s%s",
                 id->repo, at, revision, env->cache, id->repo, at, revision, env->offline ? " (not while " : "",
                 env->offline ? env->offline : "", env->offline ? " says to stay offline)" : "");
    if (!id->file[0]) return NIB_OK;
    NIB_TRY(hub_join(out, id->file, out, err));
    if (base_path_is_file(out)) return NIB_OK;
    NIB_FAIL(err, NIB_NOT_FOUND,
             "%.150s of %s%s%.80s is not in the cache: `nib pull %s%s%.80s --include '%.150s*'` fetches it", id->file,
             id->repo, at, revision, id->repo, at, revision, id->file);
fail:
    return status;
}

/* A name that ends so is a file's, also where it has one slash. */
static bool is_file_name(const char *text) {
    static const char *const ends[] = {".onnx", ".nib", ".json", ".txt", ".model", ".safetensors"};
    const size_t n = strlen(text);
    for (size_t i = 0; i < BASE_COUNT(ends); i++)
        if (n > strlen(ends[i]) && strcmp(text + n - strlen(ends[i]), ends[i]) == 0) return !strchr(text, ':');
    return false;
}

nib_status hub_resolve(const char *given, char room[HUB_PATH], const char **out, nib_error *err) {
    hub_env env;
    hub_id id;
    nib_error why = {.message = ""};
    *out = given;
    if (base_path_taken(given) || hub_id_parse(given, &id, NULL) != NIB_OK) return NIB_OK;
    nib_status status = hub_env_read(&env, &why);
    if (status == NIB_OK) status = hub_find(&env, &id, room, &why);
    else status = NIB_NOT_FOUND; /* what is certain is that there is no such file */
    if (status == NIB_OK) *out = room;
    if (status == NIB_OK || is_file_name(given)) return NIB_OK;
    *out = NULL;
    return base_error_set(err, status, "%.100s: No such file or folder; %.280s", given, why.message);
}

/* ---------------------------------------------------------------- what is there */

typedef struct walk {
    base_heap *heap;
    nib_status (*each)(void *user, const hub_model *model, nib_error *err);
    void *user;
    hub_model model;
    char folder[HUB_PATH]; /* of the repository, then of what is walked through */
    char prefix[HUB_NAME]; /* of a reference's name */
    int depth;
} walk;

#define DEEPEST 8 /* folders in one another; links to folders are not followed */

static nib_status walk_in(walk *w, const char *name, nib_status (*each)(void *user, const char *name, nib_error *err),
                          nib_error *err) {
    nib_status status = NIB_OK;
    const size_t length = strlen(w->folder);
    if (++w->depth <= DEEPEST) {
        NIB_TRY(hub_join(w->folder, name, w->folder, err));
        NIB_TRY(base_dir_each(w->heap, w->folder, MOST_NAMES, each, w, err));
    }
fail:
    w->depth--;
    w->folder[length] = 0;
    return status;
}

static nib_status add_size(void *user, const char *name, nib_error *err) {
    nib_status status = NIB_OK;
    walk *w = user;
    char path[HUB_PATH];
    NIB_TRY(hub_join(w->folder, name, path, err));
    if (base_path_is_own_dir(path)) return walk_in(w, name, add_size, err);
    const int64_t size = base_path_size(path);
    if (size > 0) w->model.bytes += (uint64_t)size;
fail:
    return status;
}

static nib_status note_part(void *user, const char *name, nib_error *err) {
    walk *w = user;
    const size_t n = strlen(name);
    w->model.partial |= n > 11 && strcmp(name + n - 11, ".incomplete") == 0;
    return NIB_OK;
}

static nib_status note_ref(void *user, const char *name, nib_error *err) {
    nib_status status = NIB_OK;
    walk *w = user;
    char path[HUB_PATH], commit[HUB_ETAG];
    size_t n, used = strlen(w->model.refs), prefix = strlen(w->prefix);
    NIB_TRY(hub_join(w->folder, name, path, err));
    if (base_path_is_own_dir(path)) {
        snprintf(w->prefix + prefix, sizeof w->prefix - prefix, "%s/", name);
        status = walk_in(w, name, note_ref, err);
        w->prefix[prefix] = 0;
    } else if (base_file_peek(path, commit, sizeof commit - 1, &n)) {
        commit[n] = 0;
        commit[strcspn(commit, " \r\n")] = 0;
        if (strcmp(commit, w->model.commit) == 0)
            snprintf(w->model.refs + used, sizeof w->model.refs - used, "%s%s%s", used ? ", " : "", w->prefix, name);
    }
fail:
    return status;
}

static nib_status one_snapshot(void *user, const char *name, nib_error *err) {
    nib_status status = NIB_OK;
    walk *w = user;
    walk inner = {.heap = w->heap, .model = w->model};
    if (!hub_word_is_good(name, HUB_ETAG - 1)) return NIB_OK;
    NIB_TRY(hub_join(w->folder, name, inner.model.path, err));
    if (!base_path_is_dir(inner.model.path)) return NIB_OK;
    strcpy(inner.model.commit, name);
    strcpy(inner.folder, w->folder);
    NIB_TRY(walk_in(&inner, name, add_size, err));
    *strrchr(inner.folder, '/') = 0;
    NIB_TRY(walk_in(&inner, "refs", note_ref, err));
    NIB_TRY(walk_in(&inner, "blobs", note_part, err));
    NIB_TRY(w->each(w->user, &inner.model, err));
fail:
    return status;
}

/* models--ORG--NAME */
static nib_status one_repo(void *user, const char *name, nib_error *err) {
    walk *w = user;
    hub_id id;
    char repo[HUB_REPO + 1];
    if (strncmp(name, PREFIX, sizeof PREFIX - 1) != 0) return NIB_OK;
    name += sizeof PREFIX - 1;
    const char *dashes = strstr(name, "--");
    if (!dashes || strlen(name) > HUB_REPO) return NIB_OK;
    snprintf(repo, sizeof repo, "%.*s/%s", (int)(dashes - name), name, dashes + 2);
    if (hub_id_parse(repo, &id, NULL) != NIB_OK) return NIB_OK;
    memset(&w->model, 0, sizeof w->model);
    strcpy(w->model.repo, id.repo);
    const size_t length = strlen(w->folder);
    nib_status status = hub_join(w->folder, name - (sizeof PREFIX - 1), w->folder, err);
    if (status == NIB_OK) status = walk_in(w, "snapshots", one_snapshot, err);
    w->folder[length] = 0;
    return status;
}

nib_status hub_each_model(base_heap *heap, const hub_env *env,
                          nib_status (*each)(void *user, const hub_model *model, nib_error *err), void *user,
                          nib_error *err) {
    walk w = {.heap = heap, .each = each, .user = user};
    strcpy(w.folder, env->cache);
    return base_dir_each(heap, w.folder, MOST_NAMES, one_repo, &w, err);
}
