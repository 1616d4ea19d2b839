/* SPDX-License-Identifier: Apache-2.0
 *
 * Status and error, the way every fallible function of nib is written:
 *
 *     nib_status thing_make(..., thing **out, nib_error *err) {
 *         nib_status status = NIB_OK;
 *         ...
 *         NIB_TRY(other_call(..., err));                                  // passes a failure on
 *         if (bad) NIB_FAIL(err, NIB_BAD_MODEL, "why, with %s", detail);  // makes one
 *         *out = t;
 *         return NIB_OK;
 *     fail:
 *         thing_free(t);
 *         return status;
 *     }
 */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include <nib/nib.h>

#if defined(__GNUC__)
#define BASE_PRINTF(f, a) __attribute__((format(printf, f, a)))
#define BASE_UNUSED __attribute__((unused))
#else
#define BASE_PRINTF(f, a)
#define BASE_UNUSED
#endif

#define BASE_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Fills *err (may be NULL) and returns `code`. Control characters in the message become '?', broken UTF-8 U+FFFD. */
nib_status base_error_set(nib_error *err, nib_status code, const char *format, ...) BASE_PRINTF(3, 4);

/* OK, no message, no place. NULL is accepted. */
void base_error_clear(nib_error *err);

/* Adds where it happened, if not yet known. */
void base_error_at_node(nib_error *err, const char *node);
void base_error_at_offset(nib_error *err, int64_t offset);
/* Puts "path: " in front of the message, unless it begins so already. */
void base_error_in_file(nib_error *err, const char *path);

#define NIB_TRY(call)                                                                                                                      \
    do {                                                                                                                                   \
        status = (call);                                                                                                                   \
        if (status != NIB_OK) goto fail;                                                                                                   \
    } while (0)

#define NIB_FAIL(err, code, ...)                                                                                                           \
    do {                                                                                                                                   \
        status = base_error_set((err), (code), __VA_ARGS__);                                                                               \
        goto fail;                                                                                                                         \
    } while (0)

/* Copies text as one printable line of valid UTF-8, cut at a character's boundary: for messages that quote a file. */
void base_clean_copy(char *out, size_t capacity, const char *text);

#endif
