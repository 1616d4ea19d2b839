/* SPDX-License-Identifier: Apache-2.0
 *
 * A cache with one model for tests that ask no server: org/tiny is the tiny model of test/data.
 */
#ifndef HUB_CACHE_H
#define HUB_CACHE_H

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define HUB_CACHE_COMMIT "0123456789abcdef0123456789abcdef01234567"

/* Makes it in `folder`, where nothing of that name may be, and has it be the cache of an offline machine. 0: done. */
static inline int hub_cache_make(const char *folder, const char *tiny) {
    static const char *const folders[] = {"", "/refs", "/snapshots"};
    char path[300];
    for (int i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/models--org--tiny%s", folder, folders[i]);
        if (mkdir(path, 0777) != 0) return -1;
    }
    snprintf(path, sizeof path, "%s/models--org--tiny/refs/main", folder);
    FILE *f = fopen(path, "wb");
    if (!f || fputs(HUB_CACHE_COMMIT, f) < 0 || fclose(f) != 0) return -1;
    snprintf(path, sizeof path, "%s/models--org--tiny/snapshots/" HUB_CACHE_COMMIT, folder);
    setenv("HF_HUB_CACHE", folder, 1);
    setenv("HF_HUB_OFFLINE", "1", 1);
    return symlink(tiny, path);
}

#endif
