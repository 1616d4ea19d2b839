/* SPDX-License-Identifier: Apache-2.0
 *
 * What the tests of text share: files, and tokenizers made of the real tokenizer.json with members replaced.
 */
#ifndef TEXT_TEST_H
#define TEXT_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "text/text.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DATA NIB_TEST_DATA "/text/"

static inline char *read_file(const char *path, size_t *length) {
    FILE *f = fopen(path, "rb");
    if (!f) fail_msg("cannot open %s", path);
    fseek(f, 0, SEEK_END);
    *length = (size_t)ftell(f);
    rewind(f);
    char *data = malloc(*length + 1);
    assert_non_null(data);
    assert_int_equal(fread(data, 1, *length, f), *length);
    data[*length] = 0;
    fclose(f);
    return data;
}

/* The base file with the members of `patch` put in place of its own; those of "model" one by one. Freed by the caller. */
static inline char *patched(yyjson_doc *base, yyjson_val *patch, size_t *length) {
    yyjson_mut_doc *doc = yyjson_doc_mut_copy(base, NULL);
    yyjson_mut_val *root = yyjson_mut_doc_get_root(doc);
    size_t i, n, k, count;
    yyjson_val *key, *value, *name, *v;
    yyjson_obj_foreach(patch, i, n, key, value) {
        if (strcmp(yyjson_get_str(key), "model") != 0) {
            yyjson_mut_obj_put(root, yyjson_val_mut_copy(doc, key), yyjson_val_mut_copy(doc, value));
            continue;
        }
        yyjson_obj_foreach(value, k, count, name, v)
            yyjson_mut_obj_put(yyjson_mut_obj_get(root, "model"), yyjson_val_mut_copy(doc, name), yyjson_val_mut_copy(doc, v));
    }
    char *text = yyjson_mut_write(doc, 0, length);
    assert_non_null(text);
    yyjson_mut_doc_free(doc);
    return text;
}

#endif
