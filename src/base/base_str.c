/* SPDX-License-Identifier: Apache-2.0
 *
 * In: pieces of text. Out: one NUL-terminated buffer from a heap. And UTF-8, strictly.
 */
#include "base_str.h"
#include "base_number.h"
#include <stdio.h>
#include <string.h>

void base_str_init(base_str *s, base_heap *heap) {
    memset(s, 0, sizeof *s);
    s->heap = heap;
}

void base_str_free(base_str *s) {
    if (s->heap) base_free(s->heap, s->data);
    s->data = NULL;
    s->length = s->capacity = 0;
}

void base_str_clear(base_str *s) {
    s->length = 0;
    s->failed = false;
    if (s->data) s->data[0] = 0;
}

static bool make_room(base_str *s, size_t more) {
    if (s->failed) return false;
    if (more >= SIZE_MAX - s->length || !base_grow(s->heap, (void **)&s->data, &s->capacity, s->length + more + 1, 1)) s->failed = true;
    return !s->failed;
}

void base_str_add_bytes(base_str *s, const void *bytes, size_t length) {
    if (!make_room(s, length)) return;
    if (length) memcpy(s->data + s->length, bytes, length);
    s->length += length;
    s->data[s->length] = 0;
}

void base_str_add(base_str *s, const char *text) { base_str_add_bytes(s, text, strlen(text)); }

void base_str_printf(base_str *s, const char *format, ...) {
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = base_vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (n < 0) {
        s->failed = true;
    } else if (make_room(s, (size_t)n)) {
        base_vsnprintf(s->data + s->length, (size_t)n + 1, format, again);
        s->length += (size_t)n;
    }
    va_end(again);
}

nib_status base_str_export(const base_str *s, char *buffer, size_t capacity, size_t *length) {
    if (s->failed) return NIB_OUT_OF_MEMORY;
    if (length) *length = s->length;
    if (capacity == 0) return NIB_OK;
    size_t n = s->length < capacity - 1 ? s->length : capacity - 1;
    if (n) memcpy(buffer, s->data, n);
    buffer[n] = 0;
    return NIB_OK;
}

bool base_ends_with(const char *text, const char *end) {
    const size_t n = strlen(text), k = strlen(end);
    return n >= k && strcmp(text + n - k, end) == 0;
}

int base_utf8_decode(const char *p, size_t n, uint32_t *cp) {
    const unsigned char *s = (const unsigned char *)p;
    if (n == 0) return 0;
    if (s[0] < 0x80) return *cp = s[0], 1;
    if (s[0] < 0xc2) return 0;
    if (s[0] < 0xe0) {
        if (n < 2 || (s[1] & 0xc0) != 0x80) return 0;
        *cp = ((s[0] & 0x1fu) << 6) | (s[1] & 0x3fu);
        return 2;
    }
    if (s[0] < 0xf0) {
        if (n < 3 || (s[1] & 0xc0) != 0x80 || (s[2] & 0xc0) != 0x80) return 0;
        uint32_t c = ((s[0] & 0xfu) << 12) | ((s[1] & 0x3fu) << 6) | (s[2] & 0x3fu);
        if (c < 0x800 || (c >= 0xd800 && c < 0xe000)) return 0;
        *cp = c;
        return 3;
    }
    if (s[0] > 0xf4 || n < 4 || (s[1] & 0xc0) != 0x80 || (s[2] & 0xc0) != 0x80 || (s[3] & 0xc0) != 0x80) return 0;
    uint32_t c = ((s[0] & 0x7u) << 18) | ((s[1] & 0x3fu) << 12) | ((s[2] & 0x3fu) << 6) | (s[3] & 0x3fu);
    if (c < 0x10000 || c > 0x10ffff) return 0;
    *cp = c;
    return 4;
}

int base_utf8_encode(uint32_t cp, char out[4]) {
    if (cp < 0x80) return out[0] = (char)cp, 1;
    if (cp < 0x800) {
        out[0] = (char)(0xc0 | (cp >> 6));
        out[1] = (char)(0x80 | (cp & 0x3f));
        return 2;
    }
    if (cp < 0x10000) {
        out[0] = (char)(0xe0 | (cp >> 12));
        out[1] = (char)(0x80 | ((cp >> 6) & 0x3f));
        out[2] = (char)(0x80 | (cp & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | (cp >> 18));
    out[1] = (char)(0x80 | ((cp >> 12) & 0x3f));
    out[2] = (char)(0x80 | ((cp >> 6) & 0x3f));
    out[3] = (char)(0x80 | (cp & 0x3f));
    return 4;
}
