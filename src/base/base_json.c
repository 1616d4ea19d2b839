/* SPDX-License-Identifier: Apache-2.0
 *
 * In: bytes that claim to be JSON. Out: yyjson's document, or a status with the byte offset. yyjson itself does not
 * recurse; the depth limit protects every walker behind this door.
 */
#include "base_json.h"
#include <string.h>

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

/* ---- writing */

static void *draft_malloc(void *ctx, size_t size) {
    base_json_draft *d = ctx;
    void *p = base_alloc(d->heap, size);
    d->failed |= !p;
    return p;
}

static void *draft_realloc(void *ctx, void *old, size_t old_size, size_t size) {
    base_json_draft *d = ctx;
    void *p = base_realloc(d->heap, old, size);
    d->failed |= !p;
    return p;
}

static void draft_free(void *ctx, void *p) { base_free(((base_json_draft *)ctx)->heap, p); }

void base_json_draft_init(base_json_draft *d, base_heap *heap) {
    *d = (base_json_draft){.heap = heap};
    yyjson_alc alc = {draft_malloc, draft_realloc, draft_free, d};
    d->doc = yyjson_mut_doc_new(&alc);
    d->root = yyjson_mut_obj(d->doc);
    yyjson_mut_doc_set_root(d->doc, d->root);
}

void base_json_drop(base_json_draft *d) {
    yyjson_mut_doc_free(d->doc);
    d->doc = NULL;
    d->root = NULL;
}

yyjson_mut_val *base_json_text_n(base_json_draft *d, const char *text, size_t length) {
    base_str clean;
    base_str_init(&clean, d->heap);
    for (size_t i = 0, k; i < length; i += k) {
        uint32_t cp;
        k = (size_t)base_utf8_decode(text + i, length - i, &cp);
        base_str_add_bytes(&clean, k ? text + i : "\xef\xbf\xbd", k ? k : 3);
        k += !k;
    }
    d->failed |= clean.failed;
    yyjson_mut_val *v = yyjson_mut_strncpy(d->doc, clean.length ? clean.data : "", clean.length);
    base_str_free(&clean);
    return v;
}

yyjson_mut_val *base_json_text(base_json_draft *d, const char *text) { return base_json_text_n(d, text, text ? strlen(text) : 0); }

yyjson_mut_val *base_json_put_object(base_json_draft *d, yyjson_mut_val *parent, const char *key) {
    return yyjson_mut_obj_add_obj(d->doc, parent, key);
}

yyjson_mut_val *base_json_put_array(base_json_draft *d, yyjson_mut_val *parent, const char *key) {
    return yyjson_mut_obj_add_arr(d->doc, parent, key);
}

void base_json_put_text(base_json_draft *d, yyjson_mut_val *parent, const char *key, const char *text) {
    yyjson_mut_obj_add_val(d->doc, parent, key, base_json_text(d, text));
}

nib_status base_json_write(base_json_draft *d, base_str *out, nib_error *err) {
    const yyjson_write_flag flags = YYJSON_WRITE_INF_AND_NAN_AS_NULL | YYJSON_WRITE_PRETTY_TWO_SPACES;
    yyjson_alc alc = {draft_malloc, draft_realloc, draft_free, d};
    size_t length = 0;
    char *text = d->failed ? NULL : yyjson_mut_write_opts(d->doc, flags, &alc, &length, NULL);
    if (text) base_str_add_bytes(out, text, length);
    base_str_add(out, "\n");
    base_free(d->heap, text);
    return text && !out->failed ? NIB_OK : base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for JSON");
}

void base_json_quote(base_str *out, const char *text) {
    base_json_draft d;
    size_t length = 0;
    base_json_draft_init(&d, out->heap);
    yyjson_alc alc = {draft_malloc, draft_realloc, draft_free, &d};
    char *quoted = yyjson_mut_val_write_opts(base_json_text(&d, text), YYJSON_WRITE_NOFLAG, &alc, &length, NULL);
    if (quoted) base_str_add_bytes(out, quoted, length);
    out->failed |= !quoted || d.failed;
    base_free(out->heap, quoted);
    base_json_drop(&d);
}
