/* SPDX-License-Identifier: Apache-2.0
 *
 * See base_zip.h. In: bytes, not trusted; or members. Out: members; or bytes.
 */
#include "base_zip.h"
#include "base_error.h"
#include "base_sort.h"
#include <string.h>

enum {
    LOCAL = 0x04034b50,
    ENTRY = 0x02014b50,
    END = 0x06054b50,
    LOCAL_BYTES = 30,
    ENTRY_BYTES = 46,
    END_BYTES = 22,
    COMMENT_MOST = 65535,
    NAME_MOST = 1024,
};
#define MOST 0xffffffffu /* a size or place that zip64 says */

static uint32_t read2(const uint8_t *p) { return p[0] | (uint32_t)p[1] << 8; }
static uint32_t read4(const uint8_t *p) { return read2(p) | read2(p + 2) << 16; }

static nib_status bad(nib_error *err, nib_status status, size_t at, const char *what) {
    nib_status failed = base_error_set(err, status, "a zip file: %s at byte %zu", what, at);
    base_error_at_offset(err, (int64_t)at);
    return failed;
}

/* CRC-32 of ISO 3309, which zip has, a nibble at a time. */
static uint32_t crc_of(uint32_t crc, const uint8_t *p, size_t n) {
    static const uint32_t table[16] = {0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
                                       0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
                                       0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c};
    crc = ~crc;
    for (size_t i = 0; i < n; i++) {
        crc ^= p[i];
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return ~crc;
}

/* ---- reading */

/* Where the end record stands: the last one whose comment reaches the end of the file. */
static bool find_end(const uint8_t *p, size_t size, size_t *at) {
    if (size < END_BYTES) return false;
    const size_t last = size - END_BYTES, first = last > COMMENT_MOST ? last - COMMENT_MOST : 0;
    for (size_t i = last + 1; i-- > first;)
        if (read4(p + i) == END && read2(p + i + 20) == size - i - END_BYTES) return *at = i, true;
    return false;
}

/* The member whose header in the directory stands at `at`; *next is the one behind it. */
static nib_status read_entry(const uint8_t *p, size_t directory, size_t end, size_t at, base_zip_member *m,
                             size_t *next, nib_error *err) {
    if (end - at < ENTRY_BYTES || read4(p + at) != ENTRY) return bad(err, NIB_BAD_MODEL, at, "no member's header");
    const uint8_t *e = p + at;
    const size_t name = read2(e + 28), extra = read2(e + 30), comment = read2(e + 32), local = read4(e + 42);
    const size_t stored = read4(e + 20), size = read4(e + 24);
    if (end - at - ENTRY_BYTES < name + extra + comment) return bad(err, NIB_BAD_MODEL, at, "a cut off header");
    if (read2(e + 8) & 1) return bad(err, NIB_UNSUPPORTED, at, "an encrypted member");
    if (read2(e + 10) != 0) return bad(err, NIB_UNSUPPORTED, at, "a compressed member, which nib does not read,");
    if (stored == MOST || size == MOST || local == MOST) return bad(err, NIB_UNSUPPORTED, at, "zip64");
    if (stored != size) return bad(err, NIB_BAD_MODEL, at, "a stored member of two sizes");
    if (name == 0 || name > NAME_MOST || memchr(e + ENTRY_BYTES, 0, name))
        return bad(err, NIB_BAD_MODEL, at, "a member without a name");
    if (local > directory || directory - local < LOCAL_BYTES || read4(p + local) != LOCAL)
        return bad(err, NIB_BAD_MODEL, local, "no local header");
    const uint8_t *l = p + local;
    const size_t before = LOCAL_BYTES + read2(l + 26) + read2(l + 28);
    if (read2(l + 26) != name || directory - local < before || directory - local - before < size)
        return bad(err, NIB_BAD_MODEL, local, "a member that does not lie in front of the directory");
    if (memcmp(l + LOCAL_BYTES, e + ENTRY_BYTES, name) != 0)
        return bad(err, NIB_BAD_MODEL, local, "a member of two names");
    *m = (base_zip_member){.name = (const char *)e + ENTRY_BYTES,
                           .name_length = name,
                           .data = l + before,
                           .size = size,
                           .begin = local,
                           .end = local + before + size,
                           .crc = read4(e + 16)};
    *next = at + ENTRY_BYTES + name + extra + comment;
    return NIB_OK;
}

static int by_place(const void *a, const void *b) {
    const base_zip_member *x = a, *y = b;
    return (x->begin > y->begin) - (x->begin < y->begin);
}

static int by_name(const void *a, const void *b) {
    const base_zip_member *x = a, *y = b;
    const size_t n = x->name_length < y->name_length ? x->name_length : y->name_length;
    const int c = memcmp(x->name, y->name, n);
    return c ? c : (x->name_length > y->name_length) - (x->name_length < y->name_length);
}

static nib_status check_members(base_zip *zip, nib_error *err) {
    base_sort(zip->members, zip->count, sizeof *zip->members, by_place);
    for (size_t i = 1; i < zip->count; i++)
        if (zip->members[i].begin < zip->members[i - 1].end)
            return bad(err, NIB_BAD_MODEL, zip->members[i].begin, "two members that overlap");
    base_sort(zip->members, zip->count, sizeof *zip->members, by_name);
    for (size_t i = 1; i < zip->count; i++)
        if (by_name(&zip->members[i - 1], &zip->members[i]) == 0)
            return bad(err, NIB_BAD_MODEL, zip->members[i].begin, "a second member of one name");
    return NIB_OK;
}

nib_status base_zip_open(base_heap *heap, const void *bytes, size_t size, size_t most, base_zip *out, nib_error *err) {
    nib_status status = NIB_OK;
    const uint8_t *p = bytes;
    size_t end = 0;
    *out = (base_zip){0};
    if (!find_end(p, size, &end)) return bad(err, NIB_BAD_MODEL, size, "no end of a directory");
    const uint8_t *e = p + end;
    const size_t count = read2(e + 10), length = read4(e + 12), directory = read4(e + 16);
    if (count == 0xffff || length == MOST || directory == MOST) return bad(err, NIB_UNSUPPORTED, end, "zip64");
    if (read2(e + 4) || read2(e + 6) || read2(e + 8) != count) return bad(err, NIB_UNSUPPORTED, end, "several disks");
    if (directory > end || end - directory < length)
        return bad(err, NIB_BAD_MODEL, end, "a directory that does not fit");
    if (count > most) return base_error_set(err, NIB_LIMIT, "a zip file of %zu members; the limit is %zu", count, most);
    out->members = base_calloc(heap, count + 1, sizeof *out->members);
    if (!out->members) return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for a zip file's members");
    for (size_t at = directory; out->count < count; out->count++)
        NIB_TRY(read_entry(p, directory, directory + length, at, &out->members[out->count], &at, err));
    NIB_TRY(check_members(out, err));
fail:
    if (status != NIB_OK) base_zip_close(heap, out);
    return status;
}

void base_zip_close(base_heap *heap, base_zip *zip) {
    base_free(heap, zip->members);
    *zip = (base_zip){0};
}

const base_zip_member *base_zip_find(const base_zip *zip, const char *name) {
    const base_zip_member wanted = {.name = name, .name_length = strlen(name)};
    size_t lo = 0, hi = zip->count;
    while (lo < hi) {
        const size_t middle = lo + (hi - lo) / 2;
        const int c = by_name(&zip->members[middle], &wanted);
        if (c == 0) return &zip->members[middle];
        if (c < 0) lo = middle + 1;
        else hi = middle;
    }
    return NULL;
}

nib_status base_zip_check(const base_zip_member *m, nib_error *err) {
    if (crc_of(0, m->data, m->size) == m->crc) return NIB_OK;
    return base_error_set(err, NIB_BAD_MODEL, "a zip file: the bytes of %.*s are not those that were written",
                          m->name_length > 100 ? 100 : (int)m->name_length, m->name);
}

/* ---- writing */

static void put2(uint8_t *p, uint32_t x) { p[0] = (uint8_t)x, p[1] = (uint8_t)(x >> 8); }
static void put4(uint8_t *p, uint32_t x) { put2(p, x), put2(p + 2, x >> 16); }

typedef struct placed {
    uint32_t at, size, crc;
} placed;

/* What a member's two headers share, from the version on: 26 bytes. */
static void put_shared(uint8_t *p, const base_zip_entry *e, const placed *at) {
    memset(p, 0, 26);
    put2(p, 20);       /* version 2.0 */
    put2(p + 8, 0x21); /* 1 January 1980: files do not differ by when they were written */
    put4(p + 10, at->crc);
    put4(p + 14, at->size);
    put4(p + 18, at->size);
    put2(p + 22, (uint32_t)strlen(e->name));
}

static nib_status put_member(base_writer *w, const base_zip_entry *e, const placed *at, nib_error *err) {
    nib_status status = NIB_OK;
    uint8_t header[LOCAL_BYTES];
    put4(header, LOCAL);
    put_shared(header + 4, e, at);
    NIB_TRY(base_writer_write(w, header, sizeof header, err));
    NIB_TRY(base_writer_write(w, e->name, strlen(e->name), err));
    for (int k = 0; k < BASE_ZIP_PARTS; k++)
        if (e->sizes[k]) NIB_TRY(base_writer_write(w, e->parts[k], e->sizes[k], err));
fail:
    return status;
}

static nib_status put_directory(base_writer *w, const base_zip_entry *e, const placed *at, nib_error *err) {
    uint8_t header[ENTRY_BYTES] = {0};
    put4(header, ENTRY);
    put2(header + 4, 20);
    put_shared(header + 6, e, at);
    put4(header + 42, at->at);
    nib_status status = base_writer_write(w, header, sizeof header, err);
    return status == NIB_OK ? base_writer_write(w, e->name, strlen(e->name), err) : status;
}

nib_status base_zip_write(base_heap *heap, base_writer *w, const base_zip_entry *entries, size_t count,
                          nib_error *err) {
    nib_status status = NIB_OK;
    uint8_t end[END_BYTES] = {0};
    uint64_t total = 0, directory = 0;
    placed *at = base_calloc(heap, count + 1, sizeof *at);
    if (!at) return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for a zip file");
    for (size_t i = 0; i < count; i++) {
        uint64_t size = 0;
        at[i].at = (uint32_t)total;
        for (int k = 0; k < BASE_ZIP_PARTS; k++) {
            size += entries[i].sizes[k];
            at[i].crc = crc_of(at[i].crc, entries[i].parts[k], entries[i].sizes[k]);
        }
        at[i].size = (uint32_t)size;
        total += LOCAL_BYTES + strlen(entries[i].name) + size;
        directory += ENTRY_BYTES + strlen(entries[i].name);
        if (total >= MOST) NIB_FAIL(err, NIB_LIMIT, "a zip file of 4 GiB or more is not written");
    }
    for (size_t i = 0; i < count; i++) NIB_TRY(put_member(w, &entries[i], &at[i], err));
    for (size_t i = 0; i < count; i++) NIB_TRY(put_directory(w, &entries[i], &at[i], err));
    put4(end, END);
    put2(end + 8, (uint32_t)count);
    put2(end + 10, (uint32_t)count);
    put4(end + 12, (uint32_t)directory);
    put4(end + 16, (uint32_t)total);
    NIB_TRY(base_writer_write(w, end, sizeof end, err));
fail:
    base_free(heap, at);
    return status;
}
