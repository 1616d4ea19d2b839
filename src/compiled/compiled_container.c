/* SPDX-License-Identifier: Apache-2.0
 *
 * The container. In: the bytes of a compiled file. Out: its sections, or what does not fit.
 */
#include "compiled.h"
#include "base/base_checksum.h"
#include <string.h>

static const char *const names[COMPILED_KINDS] = {"", "settings", "tokenizer", "vocabulary", "task", "exact", "blobs"};

bool compiled_is(const void *bytes, size_t size) { return size >= 8 && bytes && memcmp(bytes, MODEL_COMPILED_MAGIC, 8) == 0; }

static nib_status check_head(const compiled_head *h, size_t size, nib_error *err) {
    const uint32_t swapped = 0x04030201u;
    char library[sizeof h->library + 1] = "", cpu[sizeof h->cpu + 1] = "";
    memcpy(library, h->library, sizeof h->library);
    memcpy(cpu, h->cpu, sizeof h->cpu);
    if (h->order == swapped) return base_error_set(err, NIB_UNSUPPORTED, "compiled on a machine of the other byte order: compile it here");
    if (h->order != COMPILED_ORDER) return base_error_set(err, NIB_BAD_MODEL, "the head of the compiled file is broken");
    if (h->version != COMPILED_VERSION)
        return base_error_set(err, NIB_UNSUPPORTED,
                              "compiled in version %u of the format, by nib %s; this nib (" NIB_VERSION
                              ") reads version %d: compile it again",
                              h->version, library, COMPILED_VERSION);
    if (h->length != size)
        return base_error_set(err, NIB_BAD_MODEL, "the file has %zu bytes, and was written with %llu", size, (unsigned long long)h->length);
    compiled_head blank = *h;
    blank.checksum = 0;
    if (base_checksum_of(&blank, sizeof blank) != h->checksum)
        return base_error_set(err, NIB_BAD_MODEL, "the head of the compiled file is broken: its checksum differs");
    return NIB_OK;
}

nib_status compiled_read(const void *bytes, size_t size, bool all, compiled_section *sections, nib_error *err) {
    nib_status status = NIB_OK;
    compiled_head h;
    uint64_t end = sizeof h;
    memset(sections, 0, sizeof *sections * COMPILED_KINDS);
    if (!compiled_is(bytes, size)) NIB_FAIL(err, NIB_BAD_MODEL, "this is no compiled file");
    if (size < sizeof h) NIB_FAIL(err, NIB_BAD_MODEL, "the compiled file ends within its head");
    memcpy(&h, bytes, sizeof h);
    NIB_TRY(check_head(&h, size, err));
    for (int k = 1; k < COMPILED_KINDS; k++) {
        const compiled_entry *e = &h.table[k];
        if (!e->length) continue;
        if (e->offset < end || e->offset > size || e->length > size - e->offset || e->offset % COMPILED_ALIGN)
            NIB_FAIL(err, NIB_BAD_MODEL, "section %s lies at %llu, %llu bytes long, where it cannot", names[k],
                     (unsigned long long)e->offset, (unsigned long long)e->length);
        end = e->offset + e->length;
        sections[k] = (compiled_section){(const uint8_t *)bytes + e->offset, (size_t)e->length};
        if ((k != COMPILED_BLOBS || all) && base_checksum_of(sections[k].data, sections[k].size) != e->checksum)
            NIB_FAIL(err, NIB_BAD_MODEL, "section %s is broken: its checksum differs", names[k]);
    }
fail:
    return status;
}

nib_status compiled_verify(nib_runtime *runtime, const char *path, nib_error *err) {
    nib_status status = NIB_OK;
    base_file file = {0};
    compiled_section sections[COMPILED_KINDS];
    NIB_TRY(base_file_open(&runtime->heap, path, runtime->private_reads, &file, err));
    status = compiled_read(file.data, file.size, true, sections, err);
    if (status != NIB_OK) base_error_in_file(err, path);
fail:
    base_file_close(&file);
    return status;
}
