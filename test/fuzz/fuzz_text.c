/* SPDX-License-Identifier: Apache-2.0
 * Textual syntax -> graph, printed and parsed again; -> level 2 and one run; -> what is written for files: bytes that
 * mutate into graphs more easily than protobuf. */
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    nib_runtime *rt = fuzz_runtime();
    size_t before = atomic_load(&rt->heap.current);
    nib_error err;
    graph *g, *again;
    base_str text;
    if (graph_parse(&rt->heap, (const char *)data, size, &g, &err) == NIB_OK) {
        if (graph_verify(g, &err) == NIB_OK) {
            base_str_init(&text, &rt->heap);
            if (graph_print(g, INT64_MAX, &text) == NIB_OK && text.data &&
                graph_parse(&rt->heap, text.data, text.length, &again, &err) == NIB_OK)
                graph_free(again);
            base_str_free(&text);
            fuzz_graph(g, 2, PASS_MODE_EXACT);
            fuzz_graph(g, 2, PASS_MODE_FILE);
            fuzz_graph(g, 2, PASS_MODE_FILE_ONNXRUNTIME);
        }
        graph_free(g);
    }
    fuzz_no_leak(before);
    return 0;
}
