/* SPDX-License-Identifier: Apache-2.0
 *
 * JSON on standard output: strings, and objects and arrays whose commas are set by themselves.
 */
#ifndef CLI_JSON_H
#define CLI_JSON_H

#include <stddef.h>

/* Prints text as a JSON string, in quotes: control characters escaped, bytes that are not UTF-8 as U+FFFD. */
void cli_json_string(const char *text);
void cli_json_bytes(const char *text, size_t length);
/* The text with U+FFFD for each byte that is not UTF-8; `out` has three times the room. Returns its length. */
size_t cli_json_mend(char *out, const char *text, size_t length);
/* How many characters that prints, but for the escapes' own: as Python counts the string. */
size_t cli_json_characters(const char *text, size_t length);
/* The same into `out`, which has room for six bytes a byte of the text and two; returns the end. */
char *cli_json_quote(char *out, const char *text, size_t length);

typedef struct cli_json {
    int depth;
    char close[8];
    int used[8]; /* something was written at that depth: a comma comes before more */
} cli_json;

/* `key` is NULL in an array, and for the outermost value. */
void cli_json_open(cli_json *j, const char *key, char bracket); /* '{' or '[' */
void cli_json_close(cli_json *j);                               /* a newline follows the outermost one */
void cli_json_text(cli_json *j, const char *key, const char *text);
/* text[0..length), which may hold bytes of 0. */
void cli_json_value(cli_json *j, const char *key, const char *text, size_t length);
void cli_json_whole(cli_json *j, const char *key, long long number);
void cli_json_real(cli_json *j, const char *key, double number);

#endif
