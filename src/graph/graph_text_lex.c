/* SPDX-License-Identifier: Apache-2.0
 *
 * The words of ONNX's textual syntax; see graph_text_lex.h. What counts as a word is what onnx.parser takes for one.
 */
#include "graph_text_lex.h"
#include "base/base_number.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

nib_status lex_fail(lexer *l, const char *message) {
    int line = 1;
    for (const char *p = l->begin; p < l->p; p++) line += *p == '\n';
    nib_status status = base_error_set(l->err, NIB_BAD_MODEL, "line %d: %s", line, message);
    base_error_at_offset(l->err, l->p - l->begin);
    return status;
}

static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
static bool is_digit(char c) { return c >= '0' && c <= '9'; }

char lex_peek(lexer *l) {
    while (l->p < l->end) {
        if (*l->p == '#') {
            const char *eol = memchr(l->p, '\n', (size_t)(l->end - l->p));
            l->p = eol ? eol : l->end;
        } else if (*l->p == ' ' || (*l->p >= '\t' && *l->p <= '\r')) {
            l->p++;
        } else {
            return *l->p;
        }
    }
    return 0;
}

bool lex_accept(lexer *l, char c) {
    if (lex_peek(l) != c || l->p >= l->end) return false;
    l->p++;
    return true;
}

nib_status lex_expect(lexer *l, char c) {
    char message[] = "expected ' '";
    message[10] = c;
    return lex_accept(l, c) ? NIB_OK : lex_fail(l, message);
}

size_t lex_peek_word(lexer *l, const char **word) {
    const char *p;
    if (!is_letter(lex_peek(l)) || l->p >= l->end) return 0;
    for (p = l->p; p < l->end && (is_letter(*p) || is_digit(*p)); p++) {
    }
    *word = l->p;
    return (size_t)(p - l->p);
}

bool lex_accept_word(lexer *l, const char *word) {
    const char *next;
    size_t n = lex_peek_word(l, &next);
    if (n == 0 || n != strlen(word) || memcmp(next, word, n) != 0) return false;
    l->p += n;
    return true;
}

static nib_status keep(lexer *l, literal_kind kind, const char *text, size_t length, literal *out) {
    *out = (literal){kind, base_arena_strndup(&l->scratch, text, length), length};
    return out->text ? NIB_OK : base_error_set(l->err, NIB_OUT_OF_MEMORY, "no memory to parse a graph");
}

static nib_status lex_string(lexer *l, literal *out) {
    const char *p = l->p + 1;
    size_t n = 0;
    while (p < l->end && *p != '"') p += *p == '\\' ? 2 : 1;
    if (p >= l->end) return lex_fail(l, "a string does not end");
    char *text = base_arena_alloc(&l->scratch, (size_t)(p - l->p));
    if (!text) return base_error_set(l->err, NIB_OUT_OF_MEMORY, "no memory to parse a graph");
    for (const char *q = l->p + 1; q < p; q++) {
        if (*q == '\\') q++;
        text[n++] = *q;
    }
    text[n] = 0; /* the closing quote left room for it */
    *out = (literal){LITERAL_STRING, text, n};
    l->p = p + 1;
    return NIB_OK;
}

nib_status lex_name(lexer *l, literal *out) {
    nib_status status;
    const char *word;
    if (lex_peek(l) == '"') {
        status = lex_string(l, out);
        if (status == NIB_OK && memchr(out->text, 0, out->length)) status = lex_fail(l, "a name has a NUL inside");
        return status;
    }
    size_t n = lex_peek_word(l, &word);
    if (n == 0) return lex_fail(l, "expected a name");
    l->p += n;
    return keep(l, LITERAL_STRING, word, n, out);
}

nib_status lex_value(lexer *l, literal *out) {
    if (lex_peek(l) == '"') return lex_string(l, out);
    const char *from = l->p, *p = from;
    literal_kind kind = LITERAL_INT;
    if (p < l->end && *p == '-') p++;
    if (p < l->end && is_letter(*p)) {
        kind = LITERAL_FLOAT; /* nan, inf, infinity: lex_f32 and lex_f64 know them */
        while (p < l->end && is_letter(*p)) p++;
    } else {
        if (p >= l->end || !is_digit(*p)) return lex_fail(l, "expected a value");
        while (p < l->end && (is_digit(*p) || *p == '.')) {
            if (*p++ == '.') kind = LITERAL_FLOAT;
        }
        if (p < l->end && (*p == 'e' || *p == 'E')) {
            kind = LITERAL_FLOAT;
            p++;
            if (p < l->end && (*p == '+' || *p == '-')) p++;
            while (p < l->end && is_digit(*p)) p++;
        }
    }
    l->p = p;
    return keep(l, kind, from, (size_t)(p - from), out);
}

/* ---------------------------------------------------------------- numbers */

nib_status lex_int(lexer *l, const literal *v, int64_t *out) {
    char *end;
    errno = 0;
    *out = strtoll(v->text, &end, 10);
    return v->kind == LITERAL_INT && *end == 0 && errno == 0 ? NIB_OK : lex_fail(l, "expected an integer of 64 bits");
}

nib_status lex_uint(lexer *l, const literal *v, uint64_t *out) {
    char *end;
    errno = 0;
    *out = strtoull(v->text, &end, 10);
    return v->kind == LITERAL_INT && *end == 0 && errno == 0 && v->text[0] != '-' ? NIB_OK : lex_fail(l, "expected an integer of 64 bits");
}

nib_status lex_f64(lexer *l, const literal *v, double *out) {
    char *end = NULL;
    if (v->kind != LITERAL_STRING) {
        errno = 0;
        *out = base_strtod(v->text, &end);
        if (errno == ERANGE && fabs(*out) > 1) end = NULL; /* too large; too small is zero */
    }
    return end && end != v->text && *end == 0 ? NIB_OK : lex_fail(l, "expected a number");
}

nib_status lex_f32(lexer *l, const literal *v, float *out) {
    char *end = NULL;
    if (v->kind != LITERAL_STRING) {
        errno = 0;
        *out = base_strtof(v->text, &end);
        if (errno == ERANGE && fabsf(*out) > 1) end = NULL;
    }
    return end && end != v->text && *end == 0 ? NIB_OK : lex_fail(l, "expected a number");
}
