/* SPDX-License-Identifier: Apache-2.0
 * Bytes -> tokenizer.json -> texts encoded, and decoded again; the last line of the bytes, if there is one, is a text too. */
#include "fuzz.h"
#include "text/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    nib_runtime *rt = fuzz_runtime();
    size_t before = atomic_load(&rt->heap.current);
    nib_error err;
    text_tokenizer *t;
    text_encoding e;
    base_str out;
    size_t json = size;
    while (json && data[json - 1] != '\n') json--;
    const char *last = (const char *)data + json;
    size_t last_size = json ? size - json : 0;
    if (text_tokenizer_load(&rt->heap, (const char *)data, json ? json : size, &t, &err) == NIB_OK) {
        static const char text[] = "A nib writes, \xc3\xa9t\xc3\xa9 \xe4\xb8\xad[MASK] \xff unaffable";
        text_encoding_init(&e, &rt->heap);
        base_str_init(&out, &rt->heap);
        for (int k = -1; k <= 8; k += 3) {
            text_encode(t, text, sizeof text - 1, NULL, 0, k, true, &e, &err);
            text_encode(t, last, last_size, text, sizeof text - 1, k, k & 1, &e, &err);
            base_str_clear(&out);
            text_decode(t, e.ids, e.count, k & 1, &out, &err);
        }
        base_str_free(&out);
        text_encoding_free(&e);
        text_tokenizer_free(t);
    }
    fuzz_no_leak(before);
    return 0;
}
