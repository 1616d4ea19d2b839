/* SPDX-License-Identifier: Apache-2.0
 * Bytes -> a class by the first one, and a SentencePiece model -> the tokenizer.json of both -> a tokenizer, a text,
 * and back. What is built must load, or say why. */
#include "fuzz_build.h"

static const char *const classes[] = {"TokenizersBackend", "GemmaTokenizer",    "XLMRobertaTokenizer", "T5Tokenizer",
                                      "AlbertTokenizer",   "LlamaTokenizer",    "DebertaV2Tokenizer",  "MBartTokenizer",
                                      "BigBirdTokenizer",  "CamembertTokenizer"};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char config[80];
    nib_runtime *rt = fuzz_runtime();
    size_t before = atomic_load(&rt->heap.current);
    nib_error err;
    if (!size) return 0;
    const char *class = classes[data[0] % BASE_COUNT(classes)];
    snprintf(config, sizeof config, "{\"tokenizer_class\": \"%s\"}", class);
    fuzz_file("tokenizer_config.json", (const uint8_t *)config, strlen(config));
    fuzz_file("tokenizer.model", data + 1, size - 1);
    fuzz_build(rt);
    if (data[0] % BASE_COUNT(classes) == 0) {
        base_str built;
        base_str_init(&built, &rt->heap);
        if (hf_tokenizer_build_file(rt, data + 1, size - 1, false, &built, &err) == NIB_OK) fuzz_encode(rt, &built);
        base_str_free(&built);
    }
    fuzz_no_leak(before);
    return 0;
}
