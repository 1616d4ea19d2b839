/* SPDX-License-Identifier: Apache-2.0
 *
 * In: requests for large blocks. Out: shared mappings of one file that has no name, each block behind the one before it.
 */
#include "base_spill.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

bool base_spill_open(base_spill *s, const char *folder) {
    char path[PATH_MAX];
    *s = (base_spill){0};
#ifdef O_TMPFILE
    if ((s->fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600)) >= 0) return s->is_open = true;
#endif
    int n = snprintf(path, sizeof path, "%s/.nib-XXXXXX", folder);
    if (n < 0 || (size_t)n >= sizeof path || (s->fd = mkostemp(path, O_CLOEXEC)) < 0) return false;
    s->is_open = true;
    if (unlink(path) != 0) base_spill_close(s);
    return s->is_open;
}

void base_spill_close(base_spill *s) {
    if (s->is_open) close(s->fd);
    s->is_open = false;
}

static size_t whole_pages(size_t bytes) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return (bytes + page - 1) / page * page;
}

void *base_spill_map(base_spill *s, size_t bytes) {
    int failed;
    if (!s->is_open || !bytes || bytes > (size_t)INT64_MAX / 2 - s->size) return NULL;
    bytes = whole_pages(bytes);
    while ((failed = posix_fallocate(s->fd, (off_t)s->size, (off_t)bytes)) == EINTR) continue;
    void *block = failed ? MAP_FAILED : mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, s->fd, (off_t)s->size);
    if (block == MAP_FAILED) return NULL;
    if (s->last) madvise(s->last, s->last_bytes, MADV_DONTNEED);
    s->size += bytes;
    s->last = block;
    s->last_bytes = bytes;
    return block;
}

void base_spill_unmap(void *block, size_t bytes) { munmap(block, whole_pages(bytes)); }
