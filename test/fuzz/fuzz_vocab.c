/* SPDX-License-Identifier: Apache-2.0
 * Bytes -> a class by the first one, vocab.txt or vocab.json, tokenizer_config.json, added_tokens.json and merges.txt,
 * with "\n\1\n" between them -> the tokenizer.json of all -> a tokenizer, a text, and back. */
#include "fuzz_build.h"

static const char *const models[] = {"bert", "mpnet", "roberta", "gpt2", "deberta", "qwen2"};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char between[] = "\n\1\n";
    const char *names[] = {NULL, "tokenizer_config.json", "added_tokens.json", "merges.txt"};
    char config[40];
    nib_runtime *rt = fuzz_runtime();
    size_t before = atomic_load(&rt->heap.current);
    if (!size) return 0;
    const uint8_t *at = data + 1, *end = data + size;
    const size_t which = data[0] % BASE_COUNT(models);
    names[0] = which < 2 ? "vocab.txt" : "vocab.json";
    snprintf(config, sizeof config, "{\"model_type\": \"%s\"}", models[which]);
    fuzz_file("config.json", (const uint8_t *)config, strlen(config));
    for (size_t i = 0; i < BASE_COUNT(names); i++) {
        const uint8_t *cut = memmem(at, (size_t)(end - at), between, 3);
        const size_t n = cut ? (size_t)(cut - at) : (size_t)(end - at);
        if (n || i == 0) fuzz_file(names[i], at, n);
        else unlink(fuzz_name(names[i]));
        at = cut ? cut + 3 : end;
    }
    fuzz_build(rt);
    fuzz_no_leak(before);
    return 0;
}
