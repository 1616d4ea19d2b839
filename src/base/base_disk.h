/* SPDX-License-Identifier: Apache-2.0
 *
 * Folders that several processes write at the same time: locks, links, lists of names, room on the disk, and files that
 * one process begins and another goes on with. Whole files are base_file.h's.
 */
#ifndef BASE_DISK_H
#define BASE_DISK_H

#include "base_mem.h"

/* Makes the folder `relative` beneath `root`, and those above it, and `root` too. What is beneath the root must be
 * folders: IO where a link stands in the place of one, so that nobody is led out of it. relative "": the root alone. */
nib_status base_dirs_create(const char *root, const char *relative, nib_error *err);

/* Calls `each` with the names in a folder but "." and "..", in the order of strcmp; a folder that is not there has
 * none. Ends early with what `each` fails with. LIMIT: there are more than `most`. */
nib_status base_dir_each(base_heap *heap, const char *path, size_t most,
                         nib_status (*each)(void *user, const char *name, nib_error *err), void *user, nib_error *err);

/* Bytes that this user may still write where `path` lies; UINT64_MAX where the system does not say. */
uint64_t base_disk_room(const char *path);
/* Size of a file, links followed; -1: there is none. */
int64_t base_path_size(const char *path);
/* Whether it is a folder, and no link to one. */
bool base_path_is_own_dir(const char *path);
/* Whether there is anything of that name, a link that leads nowhere included. */
bool base_path_taken(const char *path);

/* Makes `path` a link to `target`, in place of what has that name; in one step, so that a reader sees one or the other.
 * UNSUPPORTED: there are no links in that file system. */
nib_status base_link_put(const char *target, const char *path, nib_error *err);
/* In place of what has that name, in one step. */
nib_status base_path_move(const char *from, const char *to, nib_error *err);
void base_path_remove(const char *path);

/* A lock that one process has at a time, by flock(2) on a file that stays. Waits for it, and asks now and then whether
 * the call is to end (CANCELLED). Where the file system has no locks, it is taken: a lock only saves work. */
nib_status base_lock_take(const char *path, int *lock, nib_error *err);
void base_lock_release(int lock);

/* A file that is written at places, and is there while it is not whole: another process may go on with it. A link of
 * that name, or a file with another name beside, is refused. */
typedef struct base_part base_part;
nib_status base_part_open(base_heap *heap, const char *path, base_part **out, uint64_t *size, nib_error *err);
/* Exactly n bytes. */
nib_status base_part_read(base_part *part, uint64_t at, void *out, size_t n, nib_error *err);
nib_status base_part_write(base_part *part, uint64_t at, const void *bytes, size_t n, nib_error *err);
/* Ends it after `size` bytes, syncs it and gives it its name. The part is still to be closed. */
nib_status base_part_commit(base_part *part, uint64_t size, const char *path, nib_error *err);
void base_part_close(base_part *part); /* the file stays; NULL is accepted */

/* Sleeps for so many seconds, and asks now and then whether the call is to end (CANCELLED). */
nib_status base_wait(double seconds, nib_error *err);

#endif
