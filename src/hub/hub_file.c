/* SPDX-License-Identifier: Apache-2.0
 *
 * One file of a repository. In: its name. Out: it is in the snapshot, and its contents have the hash that they are
 * called by.
 *
 *   blobs/ETAG.incomplete   written at its place; a kill leaves what was written, and the next pull goes on behind it
 *   blobs/ETAG              renamed, once all is there, has the right hash and is on the disk
 *   snapshots/COMMIT/FILE   a link to it, the last
 *
 * A lock saves two processes from fetching the same. Where it does not hold (some network file systems), both write the
 * same bytes to the same places.
 */
#include "base/base_disk.h"
#include "base/base_file.h"
#include "base/base_sha.h"
#include "hub_repo.h"
#include <stdio.h>
#include <string.h>

#define PIECE ((size_t)1 << 20)

/* ---------------------------------------------------------------- what the hub says of it */

static nib_status url_of(const hub_repo *repo, const hub_file *file, base_str *out, nib_error *err) {
    base_str_init(out, &repo->how->runtime->heap);
    base_str_printf(out, "%s/%s/resolve/", repo->http.env->endpoint, repo->how->id->repo);
    hub_quote(out, repo->commit, true);
    base_str_add(out, "/");
    hub_quote(out, file->name, false);
    return out->failed ? base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory") : NIB_OK;
}

static void name_it(const hub_repo *repo, const hub_file *file, char out[300]) {
    snprintf(out, 300, "%.150s of %s", file->name, repo->how->id->repo);
}

nib_status hub_file_ask(hub_repo *repo, hub_file *file, nib_error *err) {
    nib_status status = NIB_OK;
    char path[HUB_PATH], what[300];
    hub_reply reply;
    base_str url = {0};
    NIB_TRY(hub_join(repo->snapshot, file->name, path, err));
    file->there = base_path_is_file(path);
    if (file->there) return NIB_OK;
    name_it(repo, file, what);
    NIB_TRY(url_of(repo, file, &url, err));
    hub_request request = {.url = url.data, .head = true, .what = what};
    NIB_TRY(hub_http_do(&repo->http, &request, &reply, err));
    if (!hub_word_is_good(reply.etag, HUB_ETAG - 1))
        NIB_FAIL(err, NIB_IO, "%s: the hub names no etag that can be a file's name", what);
    if (reply.commit[0] && strcmp(reply.commit, repo->commit) != 0)
        NIB_FAIL(err, NIB_IO, "%s: the hub answers for another commit, %s", what, reply.commit);
    const int64_t size = reply.size >= 0 ? reply.size : reply.status == 200 ? reply.length : -1;
    if (size < 0) NIB_FAIL(err, NIB_IO, "%s: the hub does not say how large it is", what);
    strcpy(file->etag, reply.etag);
    file->size = (uint64_t)size;
fail:
    base_str_free(&url);
    return status;
}

/* ---------------------------------------------------------------- its contents */

typedef struct fetch {
    hub_repo *repo;
    hub_file *file;
    base_part *part;
    base_sha sha;
    bool checked; /* the etag is a hash */
} fetch;

static void begin_hash(fetch *f) {
    const size_t n = strlen(f->file->etag);
    f->checked = (n == 40 || n == 64) && strspn(f->file->etag, "0123456789abcdef") == n;
    base_sha_init(&f->sha, n == 64 ? BASE_SHA256 : BASE_SHA1);
    if (n == 64) return;
    char head[40]; /* git's object: a head, its NUL included, and the contents */
    base_sha_add(&f->sha, head,
                 (size_t)snprintf(head, sizeof head, "blob %llu", (unsigned long long)f->file->size) + 1);
}

static void say(fetch *f, uint64_t at) {
    const hub_pull *how = f->repo->how;
    if (how->progress) how->progress(how->progress_user, f->file->name, at, f->file->size);
}

static nib_status put(void *user, uint64_t at, const void *bytes, size_t n, nib_error *err) {
    fetch *f = user;
    if (at == 0) begin_hash(f);
    nib_status status = base_part_write(f->part, at, bytes, n, err);
    if (status != NIB_OK) return status;
    base_sha_add(&f->sha, bytes, n);
    say(f, at + n);
    return NIB_OK;
}

/* Of the bytes that are there. */
static nib_status hash_begun(fetch *f, uint64_t size, nib_error *err) {
    nib_status status = NIB_OK;
    base_heap *heap = &f->repo->how->runtime->heap;
    char *piece = base_alloc(heap, PIECE);
    if (!piece) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory");
    for (uint64_t at = 0; at < size;) {
        const size_t n = size - at < PIECE ? (size_t)(size - at) : PIECE;
        NIB_TRY(base_part_read(f->part, at, piece, n, err));
        NIB_TRY(base_stop_check(err));
        base_sha_add(&f->sha, piece, n);
        at += n;
        say(f, at);
    }
fail:
    base_free(heap, piece);
    return status;
}

/* Contents of another hash than their name: what was begun is thrown away, so that the next time begins anew. */
static nib_status check_hash(const fetch *f, const char *part, nib_error *err) {
    char hash[BASE_SHA_HEX], what[300];
    if (!f->checked) {
        base_log(f->repo->how->runtime, NIB_LOG_WARN,
                 "%s: its etag is no hash: that it came as it was sent is not checked", f->file->name);
        return NIB_OK;
    }
    base_sha_hex(&f->sha, hash);
    if (strcmp(hash, f->file->etag) == 0) return NIB_OK;
    base_path_remove(part);
    name_it(f->repo, f->file, what);
    return base_error_set(err, NIB_IO,
                          "%s: what came has the hash %.12s.., and not %.12s.., which it is called by: thrown away",
                          what, hash, f->file->etag);
}

static nib_status download(fetch *f, const char *part, uint64_t from, nib_error *err) {
    nib_status status = NIB_OK;
    char what[300];
    hub_reply reply;
    base_str url = {0};
    name_it(f->repo, f->file, what);
    begin_hash(f);
    NIB_TRY(hash_begun(f, from, err));
    say(f, from);
    if (from < f->file->size) {
        NIB_TRY(url_of(f->repo, f->file, &url, err));
        hub_request request = {
            .url = url.data, .from = from, .most = f->file->size, .exact = true, .sink = put, .user = f, .what = what};
        NIB_TRY(hub_http_do(&f->repo->http, &request, &reply, err));
    }
    NIB_TRY(check_hash(f, part, err));
fail:
    base_str_free(&url);
    return status;
}

static nib_status fetch_blob(hub_repo *repo, hub_file *file, const char *blob, nib_error *err) {
    nib_status status = NIB_OK;
    fetch f = {.repo = repo, .file = file};
    char part[HUB_PATH];
    uint64_t size;
    if (strlen(blob) + sizeof ".incomplete" > sizeof part) NIB_FAIL(err, NIB_IO, "%s: the path is too long", blob);
    snprintf(part, sizeof part, "%.*s.incomplete", HUB_PATH - 12, blob);
    NIB_TRY(base_part_open(&repo->how->runtime->heap, part, &f.part, &size, err));
    const uint64_t from = size <= file->size ? size : 0;
    status = download(&f, part, from, err);
    /* What was there may be no beginning of it: a disk that lost its power leaves zeros. */
    if (status == NIB_IO && from && !base_path_taken(part)) {
        base_part_close(f.part);
        NIB_TRY(base_part_open(&repo->how->runtime->heap, part, &f.part, &size, err));
        status = download(&f, part, 0, err);
    }
    if (status == NIB_OK) status = base_part_commit(f.part, file->size, blob, err);
fail:
    base_part_close(f.part);
    return status;
}

/* ---------------------------------------------------------------- its place */

static nib_status copy_blob(hub_repo *repo, const char *blob, const char *path, nib_error *err) {
    nib_status status = NIB_OK;
    base_heap *heap = &repo->how->runtime->heap;
    base_file from = {0};
    base_writer *to = NULL;
    NIB_TRY(base_file_open(heap, blob, false, &from, err));
    NIB_TRY(base_writer_open(heap, path, &to, err));
    NIB_TRY(base_writer_write(to, from.data, from.size, err));
    status = base_writer_commit(to, err);
    to = NULL;
fail:
    base_writer_abort(to);
    base_file_close(&from);
    return status;
}

/* Links path, in the snapshot, to its blob; where there are no links, it is the blob itself if that is new, else a
 * copy. */
static nib_status place(hub_repo *repo, const hub_file *file, const char *blob, bool is_new, nib_error *err) {
    nib_status status = NIB_UNSUPPORTED;
    char path[HUB_PATH], folder[HUB_NAME + HUB_ETAG + 16], target[HUB_PATH];
    size_t used = 0;
    const char *slash = strrchr(file->name, '/');
    snprintf(folder, sizeof folder, "snapshots/%s/%.*s", repo->commit, slash ? (int)(slash - file->name) : 0,
             file->name);
    NIB_TRY(base_dirs_create(repo->folder, folder, err));
    NIB_TRY(hub_join(repo->snapshot, file->name, path, err));
    for (const char *p = file->name; p; p = strchr(p, '/'), p = p ? p + 1 : NULL)
        if (used + 4 < sizeof target) used += (size_t)snprintf(target + used, sizeof target - used, "../");
    snprintf(target + used, sizeof target - used, "../blobs/%s", file->etag);
    if (!repo->http.env->no_links) status = base_link_put(target, path, err);
    else status = NIB_UNSUPPORTED;
    if (status != NIB_UNSUPPORTED) return status;
    base_error_clear(err);
    status = is_new ? base_path_move(blob, path, err) : copy_blob(repo, blob, path, err);
fail:
    return status;
}

nib_status hub_file_fetch(hub_repo *repo, hub_file *file, nib_error *err) {
    nib_status status = NIB_OK;
    char blob[HUB_PATH], name[HUB_PATH];
    int lock = -1;
    if (file->there) return NIB_OK;
    NIB_TRY(base_dirs_create(repo->folder, "blobs", err));
    snprintf(name, sizeof name, ".locks/%s", strrchr(repo->folder, '/') + 1);
    NIB_TRY(base_dirs_create(repo->http.env->cache, name, err));
    NIB_TRY(hub_join(repo->folder, "blobs", blob, err));
    NIB_TRY(hub_join(blob, file->etag, blob, err));
    NIB_TRY(hub_join(repo->http.env->cache, name, name, err));
    NIB_TRY(hub_join(name, file->etag, name, err));
    if (strlen(name) + sizeof ".lock" > sizeof name) NIB_FAIL(err, NIB_IO, "%s: the path is too long", name);
    strcat(name, ".lock");
    NIB_TRY(base_lock_take(name, &lock, err));
    const bool has_blob = base_path_is_file(blob);
    if (!has_blob) NIB_TRY(fetch_blob(repo, file, blob, err));
    NIB_TRY(place(repo, file, blob, !has_blob, err));
    file->there = true;
fail:
    base_lock_release(lock);
    return status;
}
