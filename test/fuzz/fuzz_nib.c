/* SPDX-License-Identifier: Apache-2.0
 * Bytes -> a compiled model, with checksums made to agree, and vectors of a few texts and ids from whatever opens.
 */
#include "fuzz.h"
#include "mutate.h"
#include "nib_sign.h"

/* One section is mutated, as what it is, and the others stay whole behind it: else what is found is that lengths do not fit. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed) {
    compiled_head h;
    uint32_t kind = seed % 8 < 5 ? COMPILED_TASK : 1 + seed / 8 % (COMPILED_KINDS - 1);
    if (size < sizeof h || seed % 16 == 15) return LLVMFuzzerMutate(data, size, max);
    memcpy(&h, data, sizeof h);
    compiled_entry *e = &h.table[kind];
    size_t most = max - sizeof h, room = 0, end;
    if (e->offset < sizeof h || e->offset > size || e->length > size - e->offset || !e->length) return LLVMFuzzerMutate(data, size, max);
    uint8_t *section = malloc(2 * max), *made = calloc(1, 2 * max + COMPILED_PAGE);
    if (!section || !made) abort();
    end = (size_t)(e->offset + e->length);
    memcpy(section, data + e->offset, (size_t)e->length);
    bool proto = kind == COMPILED_TASK || kind == COMPILED_EXACT;
    room = proto ? mutate_proto(section, (size_t)e->length, most, seed) : LLVMFuzzerMutate(section, (size_t)e->length, most);
    /* what follows moves by whole pages, so that nothing of it loses its place's alignment */
    size_t used = (size_t)e->offset + room, after = end;
    while (after < used) after += COMPILED_PAGE;
    size_t by = after - end, total = room && by + size <= 2 * max ? by + size : size;
    if (total != size || room) {
        memcpy(made, data, (size_t)e->offset);
        memcpy(made + e->offset, section, room);
        memcpy(made + after, data + end, size - end);
        for (int k = 1; k < COMPILED_KINDS; k++)
            if (h.table[k].offset >= end) h.table[k].offset += by;
        e->length = room;
        memcpy(made, &h, sizeof h);
    }
    size = total <= max ? total : size;
    if (total <= max && room) memcpy(data, made, total);
    free(section);
    free(made);
    return size;
}

static void embed(nib_model *m) {
    static const char *const texts[] = {"nibs of the pen", "", "a b c ab \xc3\xa9t\xc3\xa9 zz [MASK]"};
    static const int32_t row[] = {2, 5, 6, 7, 3};
    const int32_t *ids[] = {row, row};
    const int64_t lengths[] = {5, 2};
    nib_error err;
    size_t dim = (size_t)nib_model_dim(m);
    float *out = dim && dim < 1 << 16 ? calloc(3 * dim, sizeof *out) : NULL;
    if (out) nib_embed(m, texts, 3, NULL, out, &err);
    if (out && nib_model_max_tokens(m) >= 5) nib_embed_ids(m, ids, lengths, 2, NULL, out, &err);
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    nib_runtime *rt = fuzz_runtime();
    size_t before = atomic_load(&rt->heap.current);
    nib_error err;
    nib_model *m;
    nib_session *s;
    nib_model_options o;
    uint8_t *copy = malloc(size + 1);
    if (!copy) abort();
    if (size) memcpy(copy, data, size);
    nib_sign(copy, size);
    nib_model_defaults(&o, sizeof o);
    o.runtime = rt;
    rt->private_reads = true; /* so that a sanitizer sees what is read beyond the file */
    if (nib_model_open(fuzz_file("model.nib", copy, size), &o, &m, &err) == NIB_OK) {
        embed(m);
        nib_model_describe(m, NULL, 0, &size);
        if (nib_session_create(m, &s, &err) == NIB_OK) nib_session_free(s);
        nib_model_free(m);
    }
    free(copy);
    fuzz_no_leak(before);
    return 0;
}
