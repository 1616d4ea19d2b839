/* SPDX-License-Identifier: Apache-2.0
 *
 * Large blocks that need not be in memory: they lie in a file without a name, mapped, and the system takes their pages back when it
 * wants them. For weights that are made on their way from one file to another. In: a folder. Out: blocks.
 */
#ifndef BASE_SPILL_H
#define BASE_SPILL_H

#include <stdbool.h>
#include <stddef.h>

typedef struct base_spill { /* used by one thread at a time */
    bool is_open;
    int fd;
    size_t size; /* of the file */
    void *last;  /* the newest block: those before it have left our resident memory until they are read again */
    size_t last_bytes;
} base_spill;

/* False if the folder takes no file. The file has no name from the beginning, or, where the system has no such files, from the next call
 * on. */
bool base_spill_open(base_spill *s, const char *folder);
void base_spill_close(base_spill *s); /* blocks stay until they are unmapped */
/* Zeroed, aligned to a page; its place on the disk is taken now, so that writing to it cannot fail. NULL if there is none. */
void *base_spill_map(base_spill *s, size_t bytes);
void base_spill_unmap(void *block, size_t bytes);

#endif
