/* SPDX-License-Identifier: Apache-2.0
 *
 * Zip files whose members are stored, not compressed: .npz of NumPy, .pt of PyTorch.
 *
 *     [local header, name, extra | bytes] of each member | directory: a header, name, extra, comment of each | end
 *     PKWARE's APPNOTE.TXT 6.3.10, sections 4.3.7 (local), 4.3.12 (directory), 4.3.16 (end)
 *
 * The directory is what counts, as for Python's zipfile. A file is checked whole before a member is given: every member
 * is stored and lies in front of the directory, none overlaps another, no name comes twice. Zip64 is refused by name:
 * nothing that nib reads so has 4 GiB.
 */
#ifndef BASE_ZIP_H
#define BASE_ZIP_H

#include "base_file.h"

typedef struct base_zip_member {
    const char *name; /* in the file, not ended by NUL */
    size_t name_length;
    const uint8_t *data; /* in the file */
    size_t size;
    size_t begin, end; /* from its local header to its last byte */
    uint32_t crc;      /* of the bytes, as the directory says */
} base_zip_member;

typedef struct base_zip {
    base_zip_member *members; /* [count], in the order of their names */
    size_t count;
} base_zip;

/* The members of `size` bytes, which outlive the zip. BAD_MODEL, with the byte offset: it is no zip, or a broken one.
 * UNSUPPORTED: compressed or encrypted members, several disks, zip64. LIMIT: more than `most` members. */
nib_status base_zip_open(base_heap *heap, const void *bytes, size_t size, size_t most, base_zip *out, nib_error *err);
void base_zip_close(base_heap *heap, base_zip *zip); /* a zeroed one is accepted */
/* NULL: there is no member of that name. */
const base_zip_member *base_zip_find(const base_zip *zip, const char *name);
/* BAD_MODEL: the member's bytes are not those that were written. */
nib_status base_zip_check(const base_zip_member *member, nib_error *err);

#define BASE_ZIP_PARTS 2

/* A member to write: its bytes are those of its parts, one behind the other. */
typedef struct base_zip_entry {
    const char *name;
    const void *parts[BASE_ZIP_PARTS];
    size_t sizes[BASE_ZIP_PARTS];
} base_zip_entry;

/* Writes all of a zip with these members. LIMIT: 4 GiB or more. */
nib_status base_zip_write(base_heap *heap, base_writer *w, const base_zip_entry *entries, size_t count, nib_error *err);

#endif
