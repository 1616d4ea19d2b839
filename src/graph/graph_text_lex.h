/* SPDX-License-Identifier: Apache-2.0
 *
 * The words of ONNX's textual syntax: characters -> names, numbers, strings. `#` comments to the end of the line.
 */
#ifndef GRAPH_TEXT_LEX_H
#define GRAPH_TEXT_LEX_H

#include "graph_text.h"

typedef struct lexer {
    const char *begin, *p, *end;
    base_arena scratch; /* strings */
    nib_error *err;
} lexer;

typedef enum literal_kind { LITERAL_NONE, LITERAL_INT, LITERAL_FLOAT, LITERAL_STRING } literal_kind;

typedef struct literal {
    literal_kind kind;
    const char *text; /* NUL-terminated: the digits as they stand, or the string without quotes and escapes */
    size_t length;
} literal;

nib_status lex_fail(lexer *l, const char *message); /* BAD_MODEL with line and offset */
char lex_peek(lexer *l);                            /* the next character that is no space; 0 at the end */
bool lex_accept(lexer *l, char c);
nib_status lex_expect(lexer *l, char c);
size_t lex_peek_word(lexer *l, const char **word); /* length of the identifier that is next; 0: none */
bool lex_accept_word(lexer *l, const char *word);
nib_status lex_name(lexer *l, literal *out);  /* an identifier or a string */
nib_status lex_value(lexer *l, literal *out); /* a number or a string */

nib_status lex_int(lexer *l, const literal *v, int64_t *out); /* the number that the digits stand for */
nib_status lex_uint(lexer *l, const literal *v, uint64_t *out);
nib_status lex_f32(lexer *l, const literal *v, float *out);
nib_status lex_f64(lexer *l, const literal *v, double *out);

#endif
