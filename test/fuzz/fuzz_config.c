/* SPDX-License-Identifier: Apache-2.0
 * The small files of a folder: the first byte says which (config.json beside a fixed model.safetensors, modules.json, ...). */
#include "fuzz.h"
#include "hf/hf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    nib_runtime *rt = fuzz_runtime();
    size_t before = atomic_load(&rt->heap.current);
    static const char *const names[] = {"config.json", "modules.json", "sentence_bert_config.json", "tokenizer_config.json",
                                        "model.safetensors.index.json", "chat_template.jinja"};
    static const char messages[] = "{\"modality_config\": {\"message\": {}}}"; /* for which a template is read */
    static const char weights[] = "\x3c\0\0\0\0\0\0\0{\"x\": {\"dtype\": \"F32\", \"shape\": [1], \"data_offsets\": [0,4]}} \0\0\0\0";
    nib_error err;
    graph *g;
    hf_settings settings;
    char path[200];
    if (size == 0) return 0;
    const char *name = names[data[0] % BASE_COUNT(names)];
    bool index = strstr(name, "index"), chat = strstr(name, "chat");
    if (!index) fuzz_file("model.safetensors", (const uint8_t *)weights, sizeof weights - 1);
    fuzz_file(name, data + 1, size - 1);
    if (chat) fuzz_file("sentence_bert_config.json", (const uint8_t *)messages, sizeof messages - 1);
    if (hf_settings_load(rt, fuzz_folder(), NULL, &settings, &err) == NIB_OK) hf_settings_free(&rt->heap, &settings);
    if (hf_load_graph(rt, fuzz_folder(), &g, &err) == NIB_OK) graph_free(g);
    snprintf(path, sizeof path, "%s/%s", fuzz_folder(), name);
    unlink(path);
    if (chat) snprintf(path, sizeof path, "%s/sentence_bert_config.json", fuzz_folder()), unlink(path);
    if (!index) snprintf(path, sizeof path, "%s/model.safetensors", fuzz_folder()), unlink(path);
    fuzz_no_leak(before);
    return 0;
}
