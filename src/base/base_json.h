/* SPDX-License-Identifier: Apache-2.0
 *
 * JSON, read by yyjson behind this one door: nesting is limited before parsing, memory comes from a heap. Values are
 * yyjson's own (yyjson_val); include this header and use yyjson_obj_get and friends. Objects are lists: iterate large
 * ones, never look keys up in a loop.
 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include "base_mem.h"
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

#endif
