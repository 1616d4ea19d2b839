/* SPDX-License-Identifier: Apache-2.0
 * Bytes -> wire -> graph. */
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    nib_runtime *rt = fuzz_runtime();
    size_t before = atomic_load(&rt->heap.current);
    nib_error err;
    graph *g;
    if (onnx_load_memory(rt, data, size, NULL, &g, &err) == NIB_OK) {
        if (graph_verify(g, &err) != NIB_OK) abort();
        graph_free(g);
    }
    fuzz_no_leak(before);
    return 0;
}
