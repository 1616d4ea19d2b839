/* SPDX-License-Identifier: Apache-2.0
 *
 * Files: read whole by mapping (or by private reads), written whole or not at all.
 */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include "base_mem.h"

typedef struct base_file {
    const uint8_t *data; /* NULL if size is 0 */
    size_t size;
    bool mapped; /* else `data` is a block of `heap` */
    base_heap *heap;
    char *path; /* as given, for messages; a block of `heap` */
} base_file;

/* Opens a regular file for reading. NOT_FOUND if there is none, IO otherwise (a folder, no permission, ...). */
nib_status base_file_open(base_heap *heap, const char *path, bool private_read, base_file *out, nib_error *err);
void base_file_close(base_file *file); /* accepts a zeroed one */

/* Tells the system that a range of a mapped file is not needed soon: its pages leave our resident memory, its
 * contents stay readable. */
void base_file_release(const base_file *file, const void *begin, size_t bytes);

/* Opens `relative` beneath the folder `root`, refusing absolute paths, "..", and links that leave the folder. Two kinds of links may: those
 * of a snapshot of Hugging Face's cache into its blobs/; and where `sibling` (a file of the folder; may be NULL) is itself a link
 * out, those that lead beside it, to the same name, or from blobs/ to blobs/. */
nib_status base_file_open_beneath(base_heap *heap, const char *root, const char *relative, const char *sibling, bool private_read,
                                  base_file *out, nib_error *err);

nib_status base_dir_create(const char *path, nib_error *err); /* no error if there is one already; its parent must exist */
/* Up to `room` of a regular file's first bytes; false if it is none or cannot be read. */
bool base_file_peek(const char *path, void *out, size_t room, size_t *n);
/* Whether it is a regular file that begins with these bytes; false too if it cannot be read. */
bool base_file_begins(const char *path, const void *bytes, size_t n);
bool base_path_same(const char *a, const char *b); /* both exist and are one file */
bool base_path_is_dir(const char *path);
bool base_path_is_file(const char *path);
/* dir + "/" + name, in the heap; NULL when memory runs out. */
char *base_path_join(base_heap *heap, const char *dir, const char *name);
/* The folder part of a path ("." if none), in the heap. */
char *base_path_dir(base_heap *heap, const char *path);

/* A file that appears under its name only when all of it is written: a temporary file in its folder (without a name where the system
 * has such files, so that even a killed process leaves none), synced, renamed. */
typedef struct base_writer base_writer;
nib_status base_writer_open(base_heap *heap, const char *path, base_writer **out, nib_error *err);
nib_status base_writer_write(base_writer *w, const void *bytes, size_t n, nib_error *err);
nib_status base_writer_rewind(base_writer *w, nib_error *err); /* next write starts at byte 0, to complete a header */
nib_status base_writer_sync(base_writer *w, nib_error *err);   /* what was written is on the disk: commit can hardly fail now */
nib_status base_writer_commit(base_writer *w, nib_error *err); /* IO if a write failed before; frees w, whatever happens */
void base_writer_abort(base_writer *w);                        /* removes the temporary file, frees w; accepts NULL */

#endif
