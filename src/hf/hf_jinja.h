/* SPDX-License-Identifier: Apache-2.0
 *
 * Chat templates, as far as those of rerankers go: a part of Jinja (jinja.palletsprojects.com/templates) in the
 * environment that transformers makes for them (trim_blocks, lstrip_blocks, no trailing newline).
 *
 *     text, {{ expressions }}, {# comments #}, whitespace control by - and +
 *     {% set NAME = .. %}, {% if %} {% elif %} {% else %}, {% for NAME in LIST %} with loop.first, .last, .index,
 * .index0 or, and, not, .. if .. else .., == != < > <= >=, in, is (not) TEST, + ~ -, member access, [i], [a:b] first
 * last list length count map(attribute=) selectattr rejectattr default trim join string upper lower
 *
 * Whatever else a template does on its way is refused by its name; what it leaves unevaluated is not looked at. A
 * template is a program of a stranger's: nesting, steps and what it writes are limited.
 *
 * What a message says may stand for a text that is not known yet: bytes 1, 2, .. (HF_JINJA_MARKS) are marks. A template
 * may put them anywhere, and what would depend on the text itself (whether it is empty, what it contains) is refused.
 */
#ifndef HF_JINJA_H
#define HF_JINJA_H

#include "base/base_str.h"
#include "hf.h"

#define HF_JINJA_MARKS 3 /* bytes from 1 on */

typedef enum hf_jinja_kind {
    HF_JINJA_UNDEFINED,
    HF_JINJA_NONE,
    HF_JINJA_BOOL,
    HF_JINJA_INT,
    HF_JINJA_TEXT,
    HF_JINJA_LIST,
    HF_JINJA_MAP,
} hf_jinja_kind;

typedef struct hf_jinja_value {
    hf_jinja_kind kind;
    int64_t number;   /* BOOL, INT */
    const char *text; /* TEXT: [length], without NUL inside */
    size_t length;
    const struct hf_jinja_value *items; /* [count] of LIST and MAP */
    const char *const *keys;            /* [count] of MAP */
    int count;
} hf_jinja_value;

hf_jinja_value hf_jinja_text(const char *text); /* borrows it */

/* A variable of the template's. */
typedef struct hf_jinja_variable {
    const char *name;
    hf_jinja_value value;
} hf_jinja_variable;

/* Appends what the template makes of its variables. UNSUPPORTED or LIMIT with what it is that nib does not do;
 * OUT_OF_MEMORY. */
nib_status hf_jinja_render(base_heap *heap, const char *text, size_t length, const hf_jinja_variable *variables,
                           int count, base_str *out, nib_error *err);

/* ---- inside: the template's walk (hf_jinja.c) and its expressions (hf_jinja_value.c) */

#define HF_JINJA_VARIABLES 64

typedef struct hf_jinja {
    base_arena arena; /* values and their texts */
    base_str *out;
    const char *at, *end;
    struct {
        const char *name;
        size_t length;
        hf_jinja_value value;
    } variables[HF_JINJA_VARIABLES]; /* the last of a name counts */
    int n_variables;
    int depth, steps;
    int off;            /* expressions are read, and not evaluated */
    bool strips, trims; /* of the text that follows a tag: all space, one newline */
    bool line_begins;   /* what follows is the beginning of a line */
    char word[32];      /* of the tag that ended a block */
    nib_status status;
    nib_error *err;
} hf_jinja;

/* Keeps the first failure; afterwards every function does nothing. Not while expressions are off, unless they cannot be
 * read. */
void hf_jinja_refuse(hf_jinja *j, const char *format, ...) BASE_PRINTF(2, 3);
bool hf_jinja_step(hf_jinja *j); /* false: it has failed, or has gone on for too long */
void hf_jinja_space(hf_jinja *j);
bool hf_jinja_sign(hf_jinja *j, const char *sign); /* takes it, if it is next */
bool hf_jinja_name(hf_jinja *j, const char **name, size_t *length);
hf_jinja_value hf_jinja_expression(hf_jinja *j);
bool hf_jinja_truth(hf_jinja *j, const hf_jinja_value *v);
/* What stands for it in the text; refused for lists. */
hf_jinja_value hf_jinja_print(hf_jinja *j, const hf_jinja_value *v);
void hf_jinja_set(hf_jinja *j, const char *name, size_t length, hf_jinja_value value);

#endif
