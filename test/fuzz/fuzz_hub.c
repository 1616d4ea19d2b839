/* SPDX-License-Identifier: Apache-2.0
 *
 * What a hub says, and what a user calls a model. The first byte chooses: a name, the lines of an answer's head, a list
 * of files.
 */
#include "fuzz.h"
#include "hub/hub_repo.h"

static void check_words(const hub_reply *r) {
    const char *const words[] = {r->etag, r->commit, r->code};
    for (size_t i = 0; i < BASE_COUNT(words); i++)
        for (const char *p = words[i]; *p; p++)
            if (*p < ' ' || *p > '~') abort();
    if (r->size < -1 || r->length < -1 || r->first < -1 || r->total < -1 || r->retry_after < -1) abort();
}

/* Whatever was taken stays beneath the folder of its model. */
static void check_path(const char *name) {
    if (!*name || *name == '/' || strstr(name, "/../") || strncmp(name, "../", 3) == 0 || strcmp(name, "..") == 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *text = (const char *)data + 1;
    nib_error err;
    if (size < 1) return 0;
    const size_t n = size - 1, before = atomic_load(&fuzz_runtime()->heap.current);
    if (data[0] % 3 == 0) {
        hub_id id;
        char *copy = strndup(text, n), origin[300];
        if (!copy) return 0;
        if (hub_id_parse(copy, &id, &err) == NIB_OK) {
            check_path(id.repo);
            check_path(id.revision);
            if (id.file[0]) check_path(id.file);
        }
        hub_origin(copy, origin);
        free(copy);
    } else if (data[0] % 3 == 1) {
        hub_reply r;
        hub_reply_init(&r);
        for (size_t at = 0; at < n;) {
            const char *end = memchr(text + at, '\n', n - at);
            const size_t length = end ? (size_t)(end - text) + 1 - at : n - at;
            hub_reply_take(&r, data[0] & 64, text + at, length);
            at += length;
        }
        check_words(&r);
    } else {
        const hub_id id = {.repo = "org/name"};
        const hub_pull how = {.runtime = fuzz_runtime(), .id = &id};
        hub_repo repo = {.how = &how};
        base_arena_init(&repo.names, &how.runtime->heap);
        if (hub_repo_read_list(&repo, text, n, &err) == NIB_OK)
            for (size_t i = 0; i < repo.count; i++) check_path(repo.files[i].name);
        base_arena_free(&repo.names);
    }
    fuzz_no_leak(before);
    return 0;
}
