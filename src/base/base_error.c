/* SPDX-License-Identifier: Apache-2.0
 *
 * In: a code and a format. Out: a filled nib_error whose message is one printable line of valid UTF-8, whatever a hostile
 * file put into the arguments. Also the tables of statuses and element types that nib.h names.
 */
#include "base_error.h"
#include "base_number.h"
#include "base_str.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Copies text as one clean line; cuts at a character's boundary. */
void base_clean_copy(char *out, size_t capacity, const char *text) {
    size_t n = strlen(text), o = 0;
    for (size_t i = 0; i < n;) {
        uint32_t cp = 0;
        int len = base_utf8_decode(text + i, n - i, &cp);
        if (o + 4 >= capacity) break;
        if (len == 0) {
            memcpy(out + o, "\xef\xbf\xbd", 3);
            o += 3;
            i++;
        } else if (cp < 0x20 || (cp >= 0x7f && cp < 0xa0) || cp == 0x2028 || cp == 0x2029) {
            out[o++] = '?';
            i += (size_t)len;
        } else {
            memcpy(out + o, text + i, (size_t)len);
            o += (size_t)len;
            i += (size_t)len;
        }
    }
    out[o] = 0;
}

nib_status base_error_set(nib_error *err, nib_status code, const char *format, ...) {
    if (!err) return code;
    char text[sizeof err->message * 2];
    va_list args;
    va_start(args, format);
    base_vsnprintf(text, sizeof text, format, args);
    va_end(args);
    err->status = code;
    base_clean_copy(err->message, sizeof err->message, text);
    err->node[0] = 0;
    err->offset = -1;
    return code;
}

void base_error_clear(nib_error *err) {
    if (!err) return;
    err->status = NIB_OK;
    err->message[0] = err->node[0] = 0;
    err->offset = -1;
}

void base_error_at_node(nib_error *err, const char *node) {
    if (err && node && !err->node[0]) base_clean_copy(err->node, sizeof err->node, node);
}

void base_error_at_offset(nib_error *err, int64_t offset) {
    if (err && err->offset < 0) err->offset = offset;
}

void base_error_in_file(nib_error *err, const char *path) {
    char text[sizeof err->message * 2];
    if (!err || strncmp(err->message, path, strlen(path)) == 0) return;
    snprintf(text, sizeof text, "%.*s: %s", (int)sizeof err->message / 2, path, err->message);
    base_clean_copy(err->message, sizeof err->message, text);
}

const char *nib_status_text(nib_status status) {
    switch (status) {
#define STATUS_CASE(name, code, text)                                                                                                      \
    case NIB_##name: return text;
        NIB_STATUS_MAP(STATUS_CASE)
#undef STATUS_CASE
    }
    return "unknown status";
}

static const struct {
    const char *name;
    int bits;
} dtypes[] = {
    {"undefined", 0}, {"f32", 32},   {"u8", 8},     {"i8", 8},       {"u16", 16},       {"i16", 16},   {"i32", 32},
    {"i64", 64},      {"string", 0}, {"bool", 8},   {"f16", 16},     {"f64", 64},       {"u32", 32},   {"u64", 64},
    {"c64", 64},      {"c128", 128}, {"bf16", 16},  {"f8e4m3fn", 8}, {"f8e4m3fnuz", 8}, {"f8e5m2", 8}, {"f8e5m2fnuz", 8},
    {"u4", 4},        {"i4", 4},     {"f4e2m1", 4}, {"f8e8m0", 8},   {"u2", 2},         {"i2", 2},
};

const char *nib_dtype_name(nib_dtype dtype) {
    if (dtype == NIB_DTYPE_SEQUENCE) return "sequence";
    if (dtype == NIB_DTYPE_OPTIONAL) return "optional";
    return (unsigned)dtype < BASE_COUNT(dtypes) ? dtypes[dtype].name : "?";
}
int nib_dtype_bits(nib_dtype dtype) { return (unsigned)dtype < BASE_COUNT(dtypes) ? dtypes[dtype].bits : 0; }
