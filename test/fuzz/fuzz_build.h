/* SPDX-License-Identifier: Apache-2.0
 *
 * What the targets share that build a tokenizer of a folder's files: the folder of fuzz.h -> tokenizer.json -> a
 * tokenizer, which encodes and decodes.
 */
#ifndef FUZZ_BUILD_H
#define FUZZ_BUILD_H

#include "fuzz.h"
#include "hf/hf_tokenizer_build.h"
#include "text/text.h"

static inline const char *fuzz_name(const char *name) {
    static char path[200];
    snprintf(path, sizeof path, "%s/%s", fuzz_folder(), name);
    return path;
}

static inline void fuzz_encode(nib_runtime *rt, const base_str *json) {
    static const char text[] = " A nib writes\xe2\x96\x81, \xc3\xa9t\xc3\xa9 \xe4\xb8\xad[MASK] \xff <s>ab  unaffable";
    nib_error err;
    text_tokenizer *t;
    text_encoding e;
    base_str out;
    if (text_tokenizer_load(&rt->heap, json->data, json->length, &t, &err) != NIB_OK) return;
    text_encoding_init(&e, &rt->heap);
    base_str_init(&out, &rt->heap);
    if (text_encode(t, text, sizeof text - 1, text, 5, 0, true, &e, &err) == NIB_OK)
        text_decode(t, e.ids, e.count, false, &out, &err);
    base_str_free(&out);
    text_encoding_free(&e);
    text_tokenizer_free(t);
}

static inline void fuzz_build(nib_runtime *rt) {
    nib_error err;
    hf_settings settings;
    base_str built;
    base_str_init(&built, &rt->heap);
    if (hf_settings_load(rt, fuzz_folder(), NULL, &settings, &err) == NIB_OK) {
        if (hf_tokenizer_build(rt, fuzz_folder(), &settings, &built, &err) == NIB_OK) fuzz_encode(rt, &built);
        hf_settings_free(&rt->heap, &settings);
    }
    base_str_free(&built);
}

#endif
