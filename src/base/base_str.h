/* SPDX-License-Identifier: Apache-2.0
 *
 * A growing text buffer. A failed append sets `failed` and later ones do nothing, so that callers check once at the end.
 */
#ifndef BASE_STR_H
#define BASE_STR_H

#include "base_mem.h"
#include <stdarg.h>

typedef struct base_str {
    base_heap *heap;
    char *data; /* NUL-terminated once anything was added; NULL before */
    size_t length, capacity;
    bool failed;
} base_str;

void base_str_init(base_str *s, base_heap *heap);
void base_str_free(base_str *s);
void base_str_clear(base_str *s);
void base_str_add(base_str *s, const char *text);
void base_str_add_bytes(base_str *s, const void *bytes, size_t length);
void base_str_printf(base_str *s, const char *format, ...) BASE_PRINTF(2, 3);

/* Copies s into a caller's buffer as nib_model_describe promises. */
nib_status base_str_export(const base_str *s, char *buffer, size_t capacity, size_t *length);

bool base_ends_with(const char *text, const char *end);

/* Length of the longest valid UTF-8 prefix character at p (1..4), or 0 when p[0..n) does not begin with a valid one;
 * *cp gets the code point. Strict: no surrogates, no overlong forms. */
int base_utf8_decode(const char *p, size_t n, uint32_t *cp);
/* Writes cp as UTF-8 (1..4 bytes) and returns how many. */
int base_utf8_encode(uint32_t cp, char out[4]);

#endif
