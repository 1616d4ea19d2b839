/* SPDX-License-Identifier: Apache-2.0
 *
 * See cli_json.h.
 */
#include "cli_json.h"
#include "cli_number.h"
#include <stdio.h>
#include <string.h>

/* Bytes of the character at p, which has `left` bytes to the end; 0: it is not UTF-8. */
static size_t character(const unsigned char *p, size_t left) {
    size_t n = p[0] < 0x80 ? 1 : (p[0] & 0xe0) == 0xc0 ? 2 : (p[0] & 0xf0) == 0xe0 ? 3 : (p[0] & 0xf8) == 0xf0 ? 4 : 0;
    if (n == 0 || n > left || (n == 2 && p[0] < 0xc2)) return 0;
    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80) return 0;
    if (n == 3 && ((p[0] == 0xe0 && p[1] < 0xa0) || (p[0] == 0xed && p[1] >= 0xa0))) return 0;                /* too long; a surrogate */
    if (n == 4 && ((p[0] == 0xf0 && p[1] < 0x90) || p[0] > 0xf4 || (p[0] == 0xf4 && p[1] >= 0x90))) return 0; /* beyond U+10FFFF */
    return n;
}

/* One character as JSON has it in a string; how many bytes of the text it was. */
static size_t escape(const unsigned char *p, size_t left, char out[8], size_t *length) {
    size_t n = character(p, left);
    if (n == 0) memcpy(out, "\xef\xbf\xbd", *length = 3);
    else if (*p == '"' || *p == '\\') *length = (size_t)sprintf(out, "\\%c", *p);
    else if (*p < 0x20 || *p == 0x7f) *length = (size_t)sprintf(out, "\\u%04x", *p);
    else memcpy(out, p, *length = n);
    return n ? n : 1;
}

char *cli_json_quote(char *out, const char *text, size_t length) {
    char one[8];
    size_t n;
    *out++ = '"';
    for (size_t at = 0; at < length; out += n) {
        at += escape((const unsigned char *)text + at, length - at, one, &n);
        memcpy(out, one, n);
    }
    *out++ = '"';
    return out;
}

void cli_json_bytes(const char *text, size_t length) {
    char one[8];
    size_t n;
    putchar('"');
    for (size_t at = 0; at < length;) {
        at += escape((const unsigned char *)text + at, length - at, one, &n);
        fwrite(one, 1, n, stdout);
    }
    putchar('"');
}

size_t cli_json_mend(char *out, const char *text, size_t length) {
    char *o = out;
    for (size_t at = 0; at < length;) {
        const size_t n = character((const unsigned char *)text + at, length - at);
        memcpy(o, n ? text + at : "\xef\xbf\xbd", n ? n : 3);
        o += n ? n : 3;
        at += n ? n : 1;
    }
    return (size_t)(o - out);
}

size_t cli_json_characters(const char *text, size_t length) {
    size_t count = 0;
    for (size_t at = 0; at < length; count++) {
        const size_t n = character((const unsigned char *)text + at, length - at);
        at += n ? n : 1;
    }
    return count;
}

void cli_json_string(const char *text) { cli_json_bytes(text, strlen(text)); }

static void begin(cli_json *j, const char *key) {
    if (j->used[j->depth]) fputs(", ", stdout);
    j->used[j->depth] = 1;
    if (!key) return;
    cli_json_string(key);
    fputs(": ", stdout);
}

void cli_json_open(cli_json *j, const char *key, char bracket) {
    begin(j, key);
    putchar(bracket);
    j->depth++;
    j->close[j->depth] = bracket == '{' ? '}' : ']';
    j->used[j->depth] = 0;
}

void cli_json_close(cli_json *j) {
    putchar(j->close[j->depth--]);
    if (j->depth == 0) putchar('\n');
}

void cli_json_value(cli_json *j, const char *key, const char *text, size_t length) {
    begin(j, key);
    cli_json_bytes(text, length);
}

void cli_json_text(cli_json *j, const char *key, const char *text) { cli_json_value(j, key, text, strlen(text)); }

void cli_json_whole(cli_json *j, const char *key, long long number) {
    begin(j, key);
    printf("%lld", number);
}

void cli_json_real(cli_json *j, const char *key, double number) {
    char text[32];
    begin(j, key);
    fputs(cli_number_json(text, number), stdout);
}
