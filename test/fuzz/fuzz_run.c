/* SPDX-License-Identifier: Apache-2.0
 * Bytes -> graph -> shapes, level 2, plan, one run, and the same without passes. */
#include "fuzz.h"
#include "mutate.h"

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed) { return mutate_proto(data, size, max, seed); }

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    nib_runtime *rt = fuzz_runtime();
    size_t before = atomic_load(&rt->heap.current);
    nib_error err;
    for (int level = 0; level <= 2; level += 2) {
        graph *g;
        if (onnx_load_memory(rt, data, size, NULL, &g, &err) != NIB_OK) break;
        fuzz_graph(g, level, PASS_MODE_EXACT);
        graph_free(g);
    }
    fuzz_no_leak(before);
    return 0;
}
