/* SPDX-License-Identifier: Apache-2.0
 *
 * A repository as a pull sees it: the names of its files, and the fetching of one.
 */
#ifndef HUB_REPO_H
#define HUB_REPO_H

#include "hub_http.h"

#define HUB_MOST_FILES 100000
#define HUB_MOST_LISTING ((uint64_t)64 << 20) /* bytes */

typedef struct hub_file {
    const char *name;
    bool wanted, there;  /* in this pull; in the snapshot */
    char etag[HUB_ETAG]; /* "" until it was asked for */
    uint64_t size;
} hub_file;

typedef struct hub_repo {
    const hub_pull *how;
    hub_http http;
    char folder[HUB_PATH];   /* CACHE/models--ORG--NAME */
    char snapshot[HUB_PATH]; /* folder/snapshots/COMMIT */
    char commit[HUB_ETAG];
    base_arena names;
    hub_file *files; /* [count] in the arena */
    size_t count;
} hub_repo;

/* Asks for the commit of a revision and its files. LIMIT: more of them, or a longer answer, than a model has. */
nib_status hub_repo_list(hub_repo *repo, nib_error *err);

/* What that does with the answer, text[0..n). */
nib_status hub_repo_read_list(hub_repo *repo, const char *text, size_t n, nib_error *err);

/* Asks for etag and size, unless the file is in the snapshot. */
nib_status hub_file_ask(hub_repo *repo, hub_file *file, nib_error *err);
/* Has it in the snapshot: by what another commit has, by going on with what is there of it, or from the beginning. */
nib_status hub_file_fetch(hub_repo *repo, hub_file *file, nib_error *err);

#endif
