/* SPDX-License-Identifier: Apache-2.0
 *
 * See cli_record.h.
 */
#include "cli_record.h"
#include "cli_json.h"
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define MOST_DEPTH 64 /* of members that are passed over */

typedef struct reader {
    const char *p, *end;
} reader;

static void blanks(reader *r) {
    while (r->p < r->end && (*r->p == ' ' || *r->p == '\t' || *r->p == '\r')) r->p++;
}

static bool take(reader *r, char c) {
    blanks(r);
    if (r->p == r->end || *r->p != c) return false;
    r->p++;
    return true;
}

static bool hex4(reader *r, uint32_t *out) {
    *out = 0;
    for (int i = 0; i < 4; i++, r->p++) {
        static const char digits[] = "0123456789abcdef";
        const char *d = r->p < r->end && *r->p ? strchr(digits, *r->p >= 'A' && *r->p <= 'F' ? *r->p + 32 : *r->p) : NULL;
        if (!d) return false;
        *out = *out * 16 + (uint32_t)(d - digits);
    }
    return true;
}

static char *put_utf8(char *o, uint32_t c) {
    if (c < 0x80) return *o++ = (char)c, o;
    if (c >= 0x10000) *o++ = (char)(0xf0 | c >> 18), *o++ = (char)(0x80 | (c >> 12 & 0x3f));
    else if (c >= 0x800) *o++ = (char)(0xe0 | c >> 12);
    if (c >= 0x800) *o++ = (char)(0x80 | (c >> 6 & 0x3f));
    else *o++ = (char)(0xc0 | c >> 6);
    *o++ = (char)(0x80 | (c & 0x3f));
    return o;
}

/* \uXXXX, two of them where the first is half a pair; a half alone is U+FFFD. */
static bool unicode(reader *r, char **o) {
    uint32_t c, low;
    if (!hex4(r, &c)) return false;
    if (c >= 0xd800 && c < 0xdc00 && r->end - r->p >= 6 && r->p[0] == '\\' && r->p[1] == 'u') {
        reader ahead = {r->p + 2, r->end};
        if (!hex4(&ahead, &low)) return false;
        if (low >= 0xdc00 && low < 0xe000) c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00), r->p = ahead.p;
    }
    *o = put_utf8(*o, c >= 0xd800 && c < 0xe000 ? 0xfffd : c);
    return true;
}

/* A string behind its opening quote, decoded into `out` (which has room for as many bytes as the line, or is NULL). */
static bool string(reader *r, char *out, size_t *length) {
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    char skipped[4], *o = out ? out : skipped;
    while (r->p < r->end && *r->p != '"') {
        unsigned char c = (unsigned char)*r->p++;
        if (!out) o = skipped;
        if (c < 0x20) return false;
        if (c != '\\') {
            *o++ = (char)c;
            continue;
        }
        if (r->p == r->end) return false;
        c = (unsigned char)*r->p++;
        const char *at = c ? strchr(from, c) : NULL;
        if (at) *o++ = to[at - from];
        else if (c != 'u' || !unicode(r, &o)) return false;
    }
    if (out) *length = (size_t)(o - out);
    return r->p < r->end && *r->p++ == '"';
}

static bool number(reader *r) {
    const char *digits = r->p < r->end && *r->p == '-' ? ++r->p : r->p;
    while (r->p < r->end && *r->p >= '0' && *r->p <= '9') r->p++;
    if (r->p == digits || (*digits == '0' && r->p - digits > 1)) return false;
    if (r->p < r->end && *r->p == '.')
        for (digits = ++r->p; r->p < r->end && *r->p >= '0' && *r->p <= '9';) r->p++;
    if (r->p == digits) return false;
    if (r->p < r->end && (*r->p == 'e' || *r->p == 'E')) {
        if (++r->p < r->end && (*r->p == '+' || *r->p == '-')) r->p++;
        for (digits = r->p; r->p < r->end && *r->p >= '0' && *r->p <= '9';) r->p++;
    }
    return r->p > digits;
}

static bool pass_value(reader *r, int depth) {
    static const char *const words[] = {"true", "false", "null"};
    if (depth > MOST_DEPTH) return false;
    if (take(r, '"')) return string(r, NULL, NULL);
    for (int i = 0; i < 2; i++) {
        if (!take(r, "[{"[i])) continue;
        if (take(r, "]}"[i])) return true;
        do {
            if (i && !(take(r, '"') && string(r, NULL, NULL) && take(r, ':'))) return false;
            if (!pass_value(r, depth + 1)) return false;
        } while (take(r, ','));
        return take(r, "]}"[i]);
    }
    for (size_t i = 0; i < 3; i++) {
        size_t n = strlen(words[i]);
        if ((size_t)(r->end - r->p) >= n && memcmp(r->p, words[i], n) == 0) return r->p += n, true;
    }
    return number(r);
}

typedef struct names {
    const char *id, *title; /* title NULL: it is passed over */
} names;

static bool is_name(const char *name, size_t n, const char *wanted) {
    return wanted && n == strlen(wanted) && memcmp(name, wanted, n) == 0;
}

static const char *member(reader *r, cli_record *record, const names *wanted, char *name, size_t room) {
    size_t n;
    if (!take(r, '"') || !string(r, name, &n) || !take(r, ':')) return "is no JSON object";
    blanks(r);
    if (n == 4 && memcmp(name, "text", 4) == 0) {
        if (record->text) return "has two texts";
        if (!take(r, '"')) return "has a text that is no string";
        if (!(record->text = malloc(room))) return "takes more memory than there is";
        return string(r, record->text, &record->length) ? NULL : "is no JSON object";
    }
    if (is_name(name, n, wanted->title)) {
        if (record->title) return "has two titles";
        if (!take(r, '"')) return "has a title that is no string";
        if (!(record->title = malloc(room))) return "takes more memory than there is";
        return string(r, record->title, &record->title_length) ? NULL : "is no JSON object";
    }
    const char *begin = r->p;
    if (!pass_value(r, 0)) return "is no JSON object";
    if (!is_name(name, n, wanted->id)) return NULL;
    if (record->id) return "has two ids";
    if (*begin != '"' && *begin != '-' && (*begin < '0' || *begin > '9')) return "has an id that is neither a string nor a number";
    const size_t length = (size_t)(r->p - begin);
    if (!(record->id = malloc(3 * length))) return "takes more memory than there is";
    record->id_length = cli_json_mend(record->id, begin, length);
    return NULL;
}

const char *cli_record_read(cli_record *record, const char *line, size_t length) {
    return cli_record_read_as(record, line, length, "id", NULL);
}

const char *cli_record_read_as(cli_record *record, const char *line, size_t length, const char *id, const char *title) {
    const names wanted = {id, title};
    reader r = {line, line + length};
    const char *wrong = NULL;
    char *name = malloc(length + 1);
    *record = (cli_record){0};
    if (!name) return "takes more memory than there is";
    if (!take(&r, '{')) wrong = "is no JSON object";
    else if (!take(&r, '}')) {
        do wrong = member(&r, record, &wanted, name, length + 1);
        while (!wrong && take(&r, ','));
        if (!wrong && !take(&r, '}')) wrong = "is no JSON object";
    }
    free(name);
    blanks(&r);
    if (!wrong && r.p != r.end) wrong = "has something behind its JSON object";
    return wrong ? wrong : record->text ? NULL : "has no \"text\"";
}

void cli_record_free(cli_record *r) {
    free(r->text);
    free(r->id);
    free(r->title);
    *r = (cli_record){0};
}
