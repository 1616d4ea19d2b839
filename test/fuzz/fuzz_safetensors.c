/* SPDX-License-Identifier: Apache-2.0
 * Bytes -> model.safetensors; every byte that a tensor claims is read. */
#include "fuzz.h"
#include "hf/hf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    nib_runtime *rt = fuzz_runtime();
    size_t before = atomic_load(&rt->heap.current);
    static const char *const names[] = {"a", "b", "x", "weight"};
    nib_error err;
    hf_weights *w;
    uint8_t sum = 0;
    fuzz_file("model.safetensors", data, size);
    if (hf_weights_open(rt, fuzz_folder(), &w, &err) == NIB_OK) {
        for (size_t i = 0; i < BASE_COUNT(names); i++) {
            const graph_tensor *t = hf_weights_find(w, names[i]);
            for (size_t k = 0; t && k < t->bytes; k++) sum ^= ((const uint8_t *)t->data)[k];
        }
        hf_weights_close(w);
    }
    __asm__ volatile("" ::"r"(sum));
    fuzz_no_leak(before);
    return 0;
}
