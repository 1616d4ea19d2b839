/* SPDX-License-Identifier: Apache-2.0
 * Bytes -> a model through the public door: roles, shapes, suffix, passes, plan. */
#include "fuzz.h"
#include "mutate.h"

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed) { return mutate_proto(data, size, max, seed); }

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    nib_runtime *rt = fuzz_runtime();
    size_t before = atomic_load(&rt->heap.current);
    nib_error err;
    nib_model *m;
    nib_session *s;
    nib_model_options o;
    nib_model_defaults(&o, sizeof o);
    o.runtime = rt;
    if (nib_model_open(fuzz_file("model.onnx", data, size), &o, &m, &err) == NIB_OK) {
        if (nib_session_create(m, &s, &err) == NIB_OK) nib_session_free(s);
        nib_model_free(m);
    }
    fuzz_no_leak(before);
    return 0;
}
