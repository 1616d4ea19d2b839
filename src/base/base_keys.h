/* SPDX-License-Identifier: Apache-2.0
 *
 * Which keys of a JSON file nib obeys, and which it knows to change nothing: tables, and one walk that says the others through the log,
 * so that nothing is dropped without a word.
 */
#ifndef BASE_KEYS_H
#define BASE_KEYS_H

#include "base_json.h"
#include "base_runtime.h"

typedef struct base_key {
    const char *path;     /* names of members with '.' between; "*" is any name, or any element of an array */
    const char *harmless; /* NULL: obeyed. Else the values at which it changes nothing, as JSON, '|' between; "*": any */
    const char *why;      /* why it changes nothing */
} base_key;

#define BASE_KEY_OBEYED(path)                                                                                                              \
    { path, NULL, NULL }
#define BASE_KEY_HARMLESS(path, values, why)                                                                                               \
    { path, values, why }
#define BASE_KEYS_END                                                                                                                      \
    { NULL, NULL, NULL }

/* Warns of what `file` says and none of the lists (NULL after the last) has, or has at another value; of eight keys at most. */
void base_keys_check(const nib_runtime *runtime, const char *file, const base_key *const *lists, yyjson_val *root);

/* For files that are refused instead: whether there is such a key; `out` says the first and its value. */
bool base_keys_first_unknown(const base_key *const *lists, yyjson_val *root, char *out, size_t size);

#endif
