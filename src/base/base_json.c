/* SPDX-License-Identifier: Apache-2.0
 *
 * In: bytes that claim to be JSON. Out: yyjson's document, or a status with the byte offset. yyjson itself does not
 * recurse; the depth limit protects every walker behind this door.
 */
#include "base_json.h"

static void *json_malloc(void *ctx, size_t size) { return base_alloc(ctx, size); }
static void *json_realloc(void *ctx, void *p, size_t old, size_t size) { return base_realloc(ctx, p, size); }
static void json_free(void *ctx, void *p) { base_free(ctx, p); }

yyjson_alc base_json_alc(base_heap *heap) { return (yyjson_alc){json_malloc, json_realloc, json_free, heap}; }

/* Nesting of brackets outside strings; stops at the limit. */
static bool too_deep(const char *text, size_t length, int most, size_t *at) {
    int depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        if (in_string) {
            if (c == '\\') i++;
            else if (c == '"') in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            if (++depth > most) return *at = i, true;
        } else if (c == '}' || c == ']') {
            depth--;
        }
    }
    return false;
}

static nib_status parse(base_heap *heap, const char *text, size_t length, yyjson_read_flag flags, const char *what,
                        nib_status status_on_error, yyjson_doc **out, nib_error *err) {
    nib_status status;
    size_t at = 0;
    *out = NULL;
    if (too_deep(text, length, heap->limits.json_depth, &at)) {
        status = base_error_set(err, NIB_LIMIT, "%s: JSON nested deeper than %d", what, heap->limits.json_depth);
        base_error_at_offset(err, (int64_t)at);
        return status;
    }
    yyjson_alc alc = base_json_alc(heap);
    yyjson_read_err e = {0};
    /* Without YYJSON_READ_INSITU the text is copied, never written. */
    yyjson_doc *doc = yyjson_read_opts((char *)(uintptr_t)(length ? text : ""), length, flags, &alc, &e);
    if (!doc) {
        bool memory = e.code == YYJSON_READ_ERROR_MEMORY_ALLOCATION;
        status = base_error_set(err, memory ? NIB_OUT_OF_MEMORY : status_on_error, "%s: %s at byte %zu", what,
                                length == 0 ? "the file is empty" : (e.msg ? e.msg : "not JSON"), e.pos);
        base_error_at_offset(err, (int64_t)e.pos);
        return status;
    }
    *out = doc;
    return NIB_OK;
}

nib_status base_json_parse(base_heap *heap, const char *text, size_t length, const char *what, nib_status status_on_error, yyjson_doc **out,
                           nib_error *err) {
    return parse(heap, text, length, YYJSON_READ_NOFLAG, what, status_on_error, out, err);
}

nib_status base_json_parse_python(base_heap *heap, const char *text, size_t length, const char *what, nib_status status_on_error,
                                  yyjson_doc **out, nib_error *err) {
    return parse(heap, text, length, YYJSON_READ_ALLOW_INF_AND_NAN, what, status_on_error, out, err);
}

void base_json_free(base_heap *heap, yyjson_doc *doc) { yyjson_doc_free(doc); }
