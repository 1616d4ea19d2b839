/* SPDX-License-Identifier: Apache-2.0
 *
 * In: what a hub answers to /api/models/ORG/NAME/revision/REVISION: {"sha": commit, "siblings": [{"rfilename": name},
 * ..]}. Out: the commit and the names, each of which may be a path here.
 */
#include "base/base_json.h"
#include "hub_repo.h"
#include <string.h>

static nib_status keep(void *user, uint64_t at, const void *bytes, size_t n, nib_error *err) {
    base_str *s = user;
    if (at == 0) base_str_clear(s);
    base_str_add_bytes(s, bytes, n);
    return s->failed ? base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for the list of files") : NIB_OK;
}

static nib_status read_listing(hub_repo *repo, yyjson_val *root, nib_error *err) {
    nib_status status = NIB_OK;
    const char *repo_name = repo->how->id->repo, *sha = yyjson_get_str(yyjson_obj_get(root, "sha"));
    yyjson_val *files = yyjson_obj_get(root, "siblings"), *file;
    size_t i, n;
    if (!sha || !yyjson_is_arr(files))
        NIB_FAIL(err, NIB_IO, "%s: the hub's answer has no commit or no list of files", repo_name);
    if (!hub_word_is_good(sha, HUB_ETAG - 1))
        NIB_FAIL(err, NIB_IO, "%s: the hub's answer names a commit '%.80s', which is none", repo_name, sha);
    if (yyjson_arr_size(files) > HUB_MOST_FILES)
        NIB_FAIL(err, NIB_LIMIT, "%s: %zu files; nib takes models of %d at most", repo_name, yyjson_arr_size(files),
                 HUB_MOST_FILES);
    strcpy(repo->commit, sha);
    repo->files = base_arena_calloc(&repo->names, yyjson_arr_size(files) + 1, sizeof *repo->files);
    if (!repo->files) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory for the list of files");
    yyjson_arr_foreach(files, i, n, file) {
        yyjson_val *value = yyjson_obj_get(file, "rfilename");
        const char *name = yyjson_get_str(value);
        if (!name || strlen(name) != yyjson_get_len(value) || !hub_name_is_good(name))
            NIB_FAIL(err, NIB_IO,
                     "%s: the hub lists a file '%.100s', which would leave the model's folder or is no name: refused",
                     repo_name, name ? name : "?");
        hub_file *f = &repo->files[repo->count++];
        if (!(f->name = base_arena_strndup(&repo->names, name, strlen(name))))
            NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory");
    }
fail:
    return status;
}

nib_status hub_repo_read_list(hub_repo *repo, const char *text, size_t n, nib_error *err) {
    base_heap *heap = &repo->how->runtime->heap;
    yyjson_doc *doc = NULL;
    nib_status status = base_json_parse(heap, text, n, "the hub's answer", NIB_IO, &doc, err);
    if (status == NIB_OK) status = read_listing(repo, yyjson_doc_get_root(doc), err);
    base_json_free(heap, doc);
    return status;
}

nib_status hub_repo_list(hub_repo *repo, nib_error *err) {
    nib_status status = NIB_OK;
    base_heap *heap = &repo->how->runtime->heap;
    const hub_id *id = repo->how->id;
    base_str url, text;
    hub_reply reply;
    base_str_init(&url, heap);
    base_str_init(&text, heap);
    base_str_printf(&url, "%s/api/models/%s/revision/", repo->http.env->endpoint, id->repo);
    hub_quote(&url, id->revision, true);
    if (url.failed) NIB_FAIL(err, NIB_OUT_OF_MEMORY, "out of memory");
    hub_request request = {
        .url = url.data, .whole = true, .most = HUB_MOST_LISTING, .sink = keep, .user = &text, .what = id->repo};
    NIB_TRY(hub_http_do(&repo->http, &request, &reply, err));
    status = hub_repo_read_list(repo, text.data ? text.data : "", text.length, err);
fail:
    base_str_free(&url);
    base_str_free(&text);
    return status;
}
