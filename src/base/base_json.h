/* SPDX-License-Identifier: Apache-2.0
 *
 * JSON, read and written by yyjson behind this one door: nesting is limited before parsing, memory comes from a heap, what is
 * written is valid UTF-8. Values are yyjson's own (yyjson_val, yyjson_mut_val); include this header and use yyjson_obj_get,
 * yyjson_mut_obj_add_int and friends. Objects are lists: iterate large ones, never look keys up in a loop.
 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include "base_mem.h"
#include "base_str.h"
#include <yyjson.h>

/* Parses text[0..length); LIMIT if it is nested deeper than the heap's limits.json_depth. The document is freed with base_json_free; its
 * strings live as long as it does. `status_on_error` is what a malformed text means here (NIB_BAD_MODEL, NIB_BAD_TOKENIZER); `what` names
 * the file. */
nib_status base_json_parse(base_heap *heap, const char *text, size_t length, const char *what, nib_status status_on_error, yyjson_doc **out,
                           nib_error *err);
/* The same for files that Python's json wrote and reads: NaN, Infinity and -Infinity are numbers there. */
nib_status base_json_parse_python(base_heap *heap, const char *text, size_t length, const char *what, nib_status status_on_error,
                                  yyjson_doc **out, nib_error *err);
/* yyjson's allocator over the heap, for documents that are made and written. */
yyjson_alc base_json_alc(base_heap *heap);
void base_json_free(base_heap *heap, yyjson_doc *doc); /* NULL is accepted */

/* ---- writing. Make values with yyjson_mut_* of `doc` and put them under `root`. What they answer where memory runs out need not be asked
 * one by one: base_json_write does. */
typedef struct base_json_draft {
    base_heap *heap;
    yyjson_mut_doc *doc;  /* NULL: no memory; yyjson takes that */
    yyjson_mut_val *root; /* an object */
    bool failed;          /* a request of memory was refused: what is in the document is not all of it */
} base_json_draft;

/* An empty object. `d` stays where it is until base_json_drop. */
void base_json_draft_init(base_json_draft *d, base_heap *heap);
void base_json_drop(base_json_draft *d);
/* A copy of text[0..length), of which what is not UTF-8 becomes U+FFFD; of text, which may be NULL ("" then). */
yyjson_mut_val *base_json_text_n(base_json_draft *d, const char *text, size_t length);
yyjson_mut_val *base_json_text(base_json_draft *d, const char *text);
/* A new object or array under a key of `parent`; the key is borrowed. */
yyjson_mut_val *base_json_put_object(base_json_draft *d, yyjson_mut_val *parent, const char *key);
yyjson_mut_val *base_json_put_array(base_json_draft *d, yyjson_mut_val *parent, const char *key);
void base_json_put_text(base_json_draft *d, yyjson_mut_val *parent, const char *key, const char *text);
/* Appends a text in quotes, as JSON writes it. */
void base_json_quote(base_str *out, const char *text);
/* Appends the document as it is now, indented by two, and a newline. Numbers that JSON has no words for are null. It may be added to and
 * written again. OUT_OF_MEMORY if anything of it is missing. */
nib_status base_json_write(base_json_draft *d, base_str *out, nib_error *err);

#endif
