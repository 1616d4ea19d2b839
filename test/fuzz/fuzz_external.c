/* SPDX-License-Identifier: Apache-2.0
 * Entries of external data -> a model whose tensor lies in a file of its folder, or an error. The bytes: three strings with a NUL
 * between them, location, offset, length; what follows is the tensor's shape, a byte a dimension. */
#include "fuzz.h"
#include "../onnx/wire_writer.h"

/* Beside the model are data (64 bytes), sub/data, in -> data, and links that lead out: out -> /etc, passwd -> /etc/passwd. */
static void furnish(void) {
    static bool done;
    char path[200];
    uint8_t bytes[64];
    if (done) return;
    done = true;
    memset(bytes, 0x5a, sizeof bytes);
    fuzz_file("data", bytes, sizeof bytes);
    snprintf(path, sizeof path, "%s/sub", fuzz_folder());
    if (mkdir(path, 0700) != 0) abort();
    fuzz_file("sub/data", bytes, sizeof bytes);
    const char *const links[][2] = {{"in", "data"}, {"out", "/etc"}, {"passwd", "/etc/passwd"}, {"loop", "loop"}};
    for (int i = 0; i < 4; i++) {
        snprintf(path, sizeof path, "%s/%s", fuzz_folder(), links[i][0]);
        if (symlink(links[i][1], path) != 0) abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    nib_runtime *rt = fuzz_runtime();
    size_t before = atomic_load(&rt->heap.current);
    static const char *const keys[] = {"location", "offset", "length"};
    nib_error err;
    graph *g;
    furnish();
    wire_msg tensor = {0}, main_graph = {0};
    for (int i = 0; i < 3; i++) {
        const uint8_t *end = size ? memchr(data, 0, size) : NULL;
        size_t n = end ? (size_t)(end - data) : size;
        wire_msg entry = {0};
        wm_text(&entry, 1, keys[i]);
        wm_bytes(&entry, 2, data, n);
        wm_add(&tensor, 13, entry);
        data += n + (end != NULL);
        size -= n + (end != NULL);
    }
    for (size_t i = 0; i < size && i < 20; i++) wm_int(&tensor, 1, (int8_t)data[i]);
    wm_int(&tensor, 2, NIB_DTYPE_U8);
    wm_text(&tensor, 8, "w");
    wm_int(&tensor, 14, 1);
    wm_add(&main_graph, 5, tensor);
    wm_add(&main_graph, 1, wm_node("Identity", "w", "y"));
    wm_text(&main_graph, 2, "g");
    wm_add(&main_graph, 12, wm_value("y"));
    wire_msg model = wm_model(main_graph, 18);
    if (onnx_load(rt, fuzz_file("model.onnx", model.data, model.size), &g, &err) == NIB_OK) {
        for (int i = 0; i < g->n_constants; i++) { /* only bytes of the folder's own files, read to the last one */
            const graph_tensor *t = g->constants[i]->constant;
            for (size_t k = 0; k < t->bytes; k++)
                if (((const uint8_t *)t->data)[k] != 0x5a) abort();
        }
        graph_free(g);
    }
    free(model.data);
    fuzz_no_leak(before);
    return 0;
}
