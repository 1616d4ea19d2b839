/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of base_regex share: a pattern on its way, and what is left of it.
 *
 *     pattern --base_regex_parse.c (classes: base_regex_class.c)--> a tree
 *             --base_regex.c--> a program for a machine that is in many places at once
 *             --base_regex_dfa.c--> a table of its states, where there are few
 */
#ifndef BASE_REGEX_INTERNAL_H
#define BASE_REGEX_INTERNAL_H

#include "base_regex.h"
#include "base_unicode.h"

#define BASE_REGEX_MOST_PLACES 20000
#define BASE_REGEX_MOST_NODES 20000
#define BASE_REGEX_MOST_STEPS 1000000
#define BASE_REGEX_MOST_DEPTH 100
#define BASE_REGEX_MOST_LOOK 32 /* characters of a look ahead or behind */

typedef base_range base_regex_span;

typedef enum base_regex_kind {
    REGEX_EMPTY,
    REGEX_CLASS,
    REGEX_CAT,
    REGEX_ALT,
    REGEX_REPEAT,
    REGEX_ASSERT
} base_regex_kind;

/* What an ASSERT asks. */
typedef enum base_regex_assertion {
    REGEX_TEXT_BEGIN,
    REGEX_TEXT_END,
    REGEX_LINE_BEGIN,
    REGEX_LINE_END,
    REGEX_EDGE,
    REGEX_NO_EDGE,
    REGEX_AHEAD,
    REGEX_NOT_AHEAD,
    REGEX_BEHIND,
    REGEX_NOT_BEHIND
} base_regex_assertion;

typedef struct base_regex_tree {
    base_regex_kind kind;
    int a, b;         /* children; ASSERT: a is which; b: of a look where in `looks` its lines are, of an edge the CLASS
                         of words */
    int least, most;  /* REPEAT; most < 0: no end */
    int first, count; /* CLASS: spans, in order and apart */
    bool negated;
    bool lazy;         /* REPEAT: fewer are preferred */
    bool empty;        /* it may match nothing */
    bool empty_first;  /* and that before it has tried everything else */
    uint32_t ascii[4]; /* CLASS: a bit for each of the first 128 points */
} base_regex_tree;

typedef enum base_regex_code { REGEX_SET, REGEX_SPLIT, REGEX_JUMP, REGEX_CHECK, REGEX_MATCH } base_regex_code;

typedef struct base_regex_place {
    base_regex_code code;
    int a, b; /* SET: the node of a class; SPLIT, JUMP: places; CHECK: as an ASSERT */
} base_regex_place;

/* States of the machine that were worked out beforehand. One is reached by what was read so far; whether a match ends
 * before the next character is known once that is. */
typedef struct base_regex_dfa {
    const uint16_t *index; /* [0x110000 / 128] the block of a code point */
    const uint8_t *cells;  /* [blocks * 128] its class; classes are what no set of the program tells apart */
    const int32_t *next;   /* [states * width] by class, and in the last column the end of the text:
                              (row of the next state) << 1 | whether a match ends here; row 0: none goes on */
    int32_t width;
    bool looks_back;       /* the first state depends on what lies before */
    const int32_t *starts; /* [width] the first row, by the class before; the last one: at the beginning */
} base_regex_dfa;

struct base_regex {
    const base_regex_host *host; /* while the pattern is made */
    nib_error *err;
    base_regex_syntax syntax;
    const char *p, *begin, *end;
    bool fold, dot_all;
    int word;        /* the CLASS of \w + 1; 0: not made yet */
    uint32_t folded; /* the letter that was read last, in lower case, if that was under (?i); else 0 */
    int depth, steps;
    base_regex_tree *nodes;
    int n_nodes, cap_nodes;
    base_regex_span *spans;
    int n_spans, cap_spans;
    int *looks; /* for each look: lines, and for each of these: length, nodes of classes */
    int n_looks, cap_looks;
    base_regex_place *program;
    int n_program, cap_program;
    base_regex_dfa *dfa; /* NULL: it has too many states */
};

#define REGEX_TRY(call)                                                                                                \
    do {                                                                                                               \
        nib_status try_status = (call);                                                                                \
        if (try_status != NIB_OK) return try_status;                                                                   \
    } while (0)

/* ---- while it is made */

nib_status base_regex_take_array(base_regex *r, int count, size_t size, void *out);
/* Room for one element more in *array. LIMIT beyond `most`. */
nib_status base_regex_grow(base_regex *r, void *array, int count, int *capacity, int most, size_t size);
nib_status base_regex_bad(const base_regex *r, const char *what);    /* BAD_MODEL, with the place */
nib_status base_regex_refuse(const base_regex *r, const char *what); /* UNSUPPORTED, with the place */
nib_status base_regex_node(base_regex *r, base_regex_tree t, int *out);

/* r->p at the pattern; the root of the tree. */
nib_status base_regex_parse(base_regex *r, int *out);

/* A set behind [ up to its ]. */
nib_status base_regex_parse_class(base_regex *r, int *out);
/* An escape that is a set: added to the spans, and *done. */
nib_status base_regex_class_escape(base_regex *r, bool in_class, bool *done);
nib_status base_regex_word(base_regex *r, int *out);             /* the CLASS that \b asks for */
nib_status base_regex_class_point(base_regex *r, uint32_t *out); /* one character, perhaps escaped */
nib_status base_regex_add(base_regex *r, uint32_t lo, uint32_t hi);
nib_status base_regex_add_folded(base_regex *r, uint32_t lo, uint32_t hi); /* under (?i) with the other case */
/* A CLASS of the spans from `first` on. */
nib_status base_regex_class_of(base_regex *r, int first, bool negated, int *out);
bool base_regex_is_escape(const base_regex *r, const char *letters); /* r->p at a backslash and one of them */

/* The table of states; r->dfa stays NULL where it would be large. */
nib_status base_regex_make_dfa(base_regex *r);

/* ---- afterwards */

/* A character of UTF-8; a byte that is none stands for itself. */
static inline uint32_t base_regex_take(const char **p, const char *end) {
    unsigned char b = (unsigned char)*(*p)++;
    if (b < 0x80) return b;
    int more = b >= 0xf0 && b < 0xf5 ? 3 : b >= 0xe0 ? 2 : b >= 0xc2 ? 1 : 0;
    if (b < 0xc2 || b >= 0xf5 || end - *p < more) return b;
    uint32_t u = b & (0x3fu >> more);
    for (int i = 0; i < more; i++) {
        if (((unsigned char)(*p)[i] & 0xc0) != 0x80) return b;
        u = u << 6 | ((unsigned char)(*p)[i] & 0x3f);
    }
    *p += more;
    return u & 0x1fffff;
}

bool base_regex_in_class(const base_regex *r, const base_regex_tree *t, uint32_t u);
/* Where the character begins that ends at p, p > begin. */
const char *base_regex_back(const char *begin, const char *p);

typedef enum base_regex_found { REGEX_FOUND, REGEX_NONE, REGEX_GIVE_UP } base_regex_found;
/* As base_regex_find, with the table. GIVE_UP: the text was read too often; nothing was found before *from. */
base_regex_found base_regex_dfa_find(const base_regex *r, const char *s, size_t n, size_t *from, size_t *begin,
                                     size_t *end, int64_t *steps);

#endif
