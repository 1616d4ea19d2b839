/* SPDX-License-Identifier: Apache-2.0
 * Bytes -> a tensor file: .npy if they begin as one, else, by the first byte, a TensorProto, SequenceProto or OptionalProto; what is
 * read is written and compared with itself. */
#include "base/base_npy.h"
#include "fuzz.h"

static nib_status discard(void *user, const void *bytes, size_t size, nib_error *err) {
    (void)bytes, (void)err;
    *(size_t *)user += size;
    return NIB_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    nib_runtime *rt = fuzz_runtime();
    size_t before = atomic_load(&rt->heap.current), written = 0;
    nib_error err;
    nib_tensor t;
    nib_difference d;
    base_arena arena;
    base_arena_init(&arena, &rt->heap);
    nib_status status;
    if (base_npy_is(data, size)) {
        uint8_t *copy = base_arena_alloc(&arena, size);
        if (copy) memcpy(copy, data, size);
        status = copy ? base_npy_read(&arena, copy, size, &t, &err) : NIB_OUT_OF_MEMORY;
    } else {
        status = size ? onnx_load_value(&arena, (graph_kind)(data[0] % 3), data + 1, size - 1, &t, &err) : NIB_IO;
    }
    if (status == NIB_OK) {
        if (nib_tensor_compare(&t, &t, 0, 0, &d, sizeof d) != NIB_OK || (!d.same && d.message[0] == 0)) abort();
        onnx_write_value(&t, "t", discard, &written, &err);
    }
    base_arena_free(&arena);
    fuzz_no_leak(before);
    return 0;
}
