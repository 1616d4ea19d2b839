/* SPDX-License-Identifier: Apache-2.0
 *
 * In: a pattern. Out: a program for a machine that is in many places at once (K. Thompson, Regular Expression Search
 * Algorithm, 1968): one pass over the text, a set of program places for each character.
 *
 *     pattern -> parse: a tree -> emit: SET class | SPLIT a b | JUMP a | CHECK assertion | MATCH
 *
 * Places are kept in the order in which backtracking would try them (R. Cox, Regular Expression Matching: the Virtual
 * Machine Approach, 2009), so the match that it would find is the one found.
 *
 * A counted repetition is written out, so the program is limited to MAX_PROGRAM places, and the walks over the tree
 * that write it to MAX_STEPS. What matches nothing but the empty string, and so writes nothing, is written out once
 * however often it is repeated.
 */
#include "base_regex.h"
#include "base_sort.h"
#include "base_unicode.h"
#include <string.h>

#define MAX_PROGRAM 20000
#define MAX_DEPTH 100
#define MAX_TREE 20000
#define MAX_STEPS 1000000
#define LAST BASE_LAST_POINT

typedef base_range span;

typedef enum kind { EMPTY, CLASS, CAT, ALT, REPEAT, ASSERT } kind;

/* What an ASSERT asks. */
typedef enum assertion { TEXT_BEGIN, TEXT_END, LINE_BEGIN, LINE_END, EDGE, NO_EDGE, AHEAD, NOT_AHEAD } assertion;

typedef struct tree {
    kind kind;
    int a, b;         /* children; ASSERT: a is which, b the class that lies ahead */
    int least, most;  /* REPEAT; most < 0: no end */
    int first, count; /* CLASS: spans */
    bool negated;
    bool lazy;         /* REPEAT: fewer are preferred */
    uint32_t ascii[4]; /* CLASS: a bit for each of the first 128 points */
} tree;

typedef enum code { SET, SPLIT, JUMP, CHECK, MATCH } code;

typedef struct place {
    code code;
    int a, b;
} place;

struct base_regex {
    const base_regex_host *host; /* while the pattern is made */
    nib_error *err;
    base_regex_syntax syntax;
    const char *p, *begin, *end;
    bool fold, dot_all;
    int depth, steps;
    tree *nodes;
    int n_nodes, cap_nodes;
    span *spans;
    int n_spans, cap_spans;
    place *program;
    int n_program, cap_program;
};

#define TRY(call)                                                                                                      \
    do {                                                                                                               \
        nib_status try_status = (call);                                                                                \
        if (try_status != NIB_OK) return try_status;                                                                   \
    } while (0)

static nib_status take_array(base_regex *r, int count, size_t size, void *out) {
    return r->host->take(r->host->user, (size_t)count * size, out);
}

static nib_status grow(base_regex *r, void *array, int count, int *capacity, int most, size_t size) {
    void **at = array, *fresh;
    if (count < *capacity) return NIB_OK;
    if (count >= most) return base_error_set(r->err, NIB_LIMIT, "the pattern is too large");
    int want = *capacity ? 2 * *capacity : 64;
    TRY(take_array(r, want, size, &fresh));
    if (count > 0) memcpy(fresh, *at, (size_t)count * size);
    *at = fresh;
    *capacity = want;
    return NIB_OK;
}

static nib_status bad(const base_regex *r, const char *what) {
    return base_error_set(r->err, NIB_BAD_MODEL, "pattern, at %lld: %s", (long long)(r->p - r->begin), what);
}

static nib_status refuse(const base_regex *r, const char *what) {
    return base_error_set(r->err, NIB_UNSUPPORTED, "pattern, at %lld: %s", (long long)(r->p - r->begin), what);
}

static nib_status node(base_regex *r, tree t, int *out) {
    TRY(grow(r, &r->nodes, r->n_nodes, &r->cap_nodes, MAX_TREE, sizeof *r->nodes));
    *out = r->n_nodes;
    r->nodes[r->n_nodes++] = t;
    return NIB_OK;
}

/* A character of UTF-8; a byte that is none stands for itself. */
static uint32_t take(const char **p, const char *end) {
    unsigned char b = (unsigned char)*(*p)++;
    int more = b >= 0xf0 && b < 0xf5 ? 3 : b >= 0xe0 ? 2 : b >= 0xc2 ? 1 : 0;
    if (b < 0xc2 || b >= 0xf5 || end - *p < more) return b;
    uint32_t u = b & (0x3fu >> more);
    for (int i = 0; i < more; i++) {
        if (((unsigned char)(*p)[i] & 0xc0) != 0x80) return b;
        u = u << 6 | ((unsigned char)(*p)[i] & 0x3f);
    }
    *p += more;
    return u;
}

/* ---- classes */

static nib_status add_one(base_regex *r, uint32_t lo, uint32_t hi) {
    if (lo > hi) return NIB_OK;
    TRY(grow(r, &r->spans, r->n_spans, &r->cap_spans, MAX_TREE, sizeof *r->spans));
    r->spans[r->n_spans++] = (span){lo, hi};
    return NIB_OK;
}

/* What else an ASCII letter is under (?i) in Oniguruma's dialect. */
static const struct {
    char letter;
    uint32_t point;
} alike[] = {{'s', 0x17f}, {'k', 0x212a}};

static nib_status add_span(base_regex *r, uint32_t lo, uint32_t hi) {
    TRY(add_one(r, lo, hi));
    if (!r->fold) return NIB_OK;
    if (r->syntax == BASE_REGEX_ONIG && hi >= 0x80) return refuse(r, "(?i) with characters beyond ASCII");
    for (int up = 0; up < 2; up++) { /* the ASCII letters in it, in the other case */
        uint32_t a = up ? 'a' : 'A', from = lo > a ? lo : a, to = hi < a + 25 ? hi : a + 25;
        if (from > to) continue;
        TRY(up ? add_one(r, from - 32, to - 32) : add_one(r, from + 32, to + 32));
        for (size_t i = 0; r->syntax == BASE_REGEX_ONIG && i < BASE_COUNT(alike); i++) {
            uint32_t letter = (uint32_t)alike[i].letter - (up ? 0 : 32);
            if (from <= letter && letter <= to) TRY(add_one(r, alike[i].point, alike[i].point));
        }
    }
    return NIB_OK;
}

/* Sorted, disjoint ranges, or all but them. */
static nib_status add_ranges(base_regex *r, const span *s, size_t n, bool negated) {
    uint32_t from = 0;
    for (size_t i = 0; i < n; i++) {
        if (!negated) TRY(add_one(r, s[i].first, s[i].last));
        else if (s[i].first > from) TRY(add_one(r, from, s[i].first - 1));
        from = s[i].last + 1;
    }
    return negated ? add_one(r, from, LAST) : NIB_OK;
}

/* The points of all categories in `mask`. */
static nib_status add_categories(base_regex *r, uint32_t mask) {
    for (size_t i = 0; i < base_category_count; i++) {
        uint32_t last = i + 1 < base_category_count ? (base_category_run[i + 1] & 0xffffffu) - 1 : LAST;
        if (mask >> (base_category_run[i] >> 24) & 1) TRY(add_one(r, base_category_run[i] & 0xffffffu, last));
    }
    return NIB_OK;
}

/* Word characters to Oniguruma alone; the joiners are none to it. */
static const span onig_words[] = {{0xb2, 0xb3}, {0xb9, 0xb9}, {0xbc, 0xbe}};

static bool is_joiner(uint32_t u) { return u == 0x200c || u == 0x200d; }

static bool is_onig_word(uint32_t u) {
    return base_in_ranges(onig_words, BASE_COUNT(onig_words), u) || (base_is_word(u) && !is_joiner(u));
}

/* \d \w \s (lower case: the set, upper case: the rest). */
static nib_status add_perl(base_regex *r, char which) {
    static const span digits[] = {{'0', '9'}}, words[] = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}},
                      spaces[] = {{9, 10}, {12, 13}, {32, 32}},
                      unicode_spaces[] = {{9, 13},          {32, 32},         {0x85, 0x85},     {0xa0, 0xa0},
                                          {0x1680, 0x1680}, {0x2000, 0x200a}, {0x2028, 0x2029}, {0x202f, 0x202f},
                                          {0x205f, 0x205f}, {0x3000, 0x3000}};
    const char low = (char)(which | 32);
    const bool negated = which != low;
    if (r->syntax == BASE_REGEX_RE2) {
        const span *s = low == 'd' ? digits : low == 'w' ? words : spaces;
        return add_ranges(r, s, low == 'd' ? 1 : low == 'w' ? 4 : 3, negated);
    }
    if (low == 's') return add_ranges(r, unicode_spaces, BASE_COUNT(unicode_spaces), negated);
    if (low == 'd') return add_categories(r, negated ? ~(1u << BASE_ND) : 1u << BASE_ND);
    if (negated) return refuse(r, "\\W"); /* no tokenizer asks for it */
    TRY(add_ranges(r, onig_words, BASE_COUNT(onig_words), false));
    for (size_t i = 0; i < base_word_count; i++) /* the joiners are a range of their own */
        if (!is_joiner(base_word[i].first)) TRY(add_one(r, base_word[i].first, base_word[i].last));
    return NIB_OK;
}

/* \p{..}, of which r->p is behind the p. */
static nib_status add_property(base_regex *r, bool negated) {
    const char *name, *close = r->p < r->end && *r->p == '{' ? memchr(r->p, '}', (size_t)(r->end - r->p)) : NULL;
    if (!close) return bad(r, "\\p without {..}");
    name = r->p + 1;
    if (name < close && *name == '^') negated = !negated, name++;
    uint32_t mask = base_category_mask(name, (size_t)(close - name));
    if (!mask)
        return base_error_set(r->err, NIB_UNSUPPORTED, "pattern: \\p{%.*s}",
                              (int)(close - name < 40 ? close - name : 40), name);
    r->p = close + 1;
    return add_categories(r, negated ? ~mask : mask);
}

static int hex(char ch) {
    return ch >= '0' && ch <= '9' ? ch - '0' : (ch | 32) >= 'a' && (ch | 32) <= 'f' ? (ch | 32) - 'a' + 10 : -1;
}

/* The character that an escape stands for, the backslash taken. */
static nib_status escaped(base_regex *r, uint32_t *out) {
    if (r->p >= r->end) return bad(r, "a backslash at the end");
    char ch = *r->p++;
    static const char names[] = "nrtfva", values[] = "\n\r\t\f\v\a";
    const char *at = ch ? strchr(names, ch) : NULL;
    if (at) return *out = (uint32_t)values[at - names], NIB_OK;
    if (ch == 'x' || (ch == 'u' && r->syntax == BASE_REGEX_ONIG)) {
        bool braces = ch == 'x' && r->p < r->end && *r->p == '{';
        const int most = braces ? 6 : ch == 'x' ? 2 : 4;
        uint32_t u = 0;
        int n = 0;
        r->p += braces;
        for (; r->p < r->end && hex(*r->p) >= 0 && n < most; n++) u = u * 16 + (uint32_t)hex(*r->p++);
        if (n == 0 || (ch == 'u' && n < 4) || u > LAST || (braces && (r->p >= r->end || *r->p++ != '}')))
            return bad(r, "a bad \\x");
        return *out = u, NIB_OK;
    }
    if ((ch >= '0' && ch <= '9') || (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z'))
        return bad(r, "an escape that is not known");
    r->p--;
    *out = take(&r->p, r->end);
    return NIB_OK;
}

static bool is_escape(const base_regex *r, const char *letters) {
    return r->p + 1 < r->end && r->p[0] == '\\' && r->p[1] && strchr(letters, r->p[1]);
}

/* An escape that is a class: added to it, and *done. */
static nib_status take_class_escape(base_regex *r, bool *done) {
    *done = true;
    if (is_escape(r, "dDwWsS")) return r->p += 2, add_perl(r, r->p[-1]);
    if (r->syntax == BASE_REGEX_ONIG && is_escape(r, "pP")) return r->p += 2, add_property(r, r->p[-1] == 'P');
    *done = false;
    return NIB_OK;
}

static int by_begin(const void *a, const void *b) {
    const span *p = a, *q = b;
    return (p->first > q->first) - (p->first < q->first);
}

static bool in_spans(const base_regex *r, const tree *t, uint32_t u) {
    return base_in_ranges(r->spans + t->first, (size_t)t->count, u) != t->negated;
}

/* A class of the spans from `first` on, in order and apart. */
static nib_status class_of(base_regex *r, int first, bool negated, int *out) {
    int kept = first;
    base_sort(r->spans + first, (size_t)(r->n_spans - first), sizeof *r->spans, by_begin);
    for (int i = first; i < r->n_spans; i++) {
        span s = r->spans[i];
        if (kept == first || s.first > r->spans[kept - 1].last) r->spans[kept++] = s;
        else if (s.last > r->spans[kept - 1].last) r->spans[kept - 1].last = s.last;
    }
    r->n_spans = kept;
    tree t = {.kind = CLASS, .first = first, .count = kept - first, .negated = negated};
    for (uint32_t u = 0; u < 128; u++) t.ascii[u / 32] |= (uint32_t)in_spans(r, &t, u) << u % 32;
    return node(r, t, out);
}

/* One character of a class. */
static nib_status class_point(base_regex *r, uint32_t *out) {
    if (r->p >= r->end) return bad(r, "a class without end");
    if (*r->p != '\\') return *out = take(&r->p, r->end), NIB_OK;
    r->p++;
    return escaped(r, out);
}

static nib_status parse_class(base_regex *r, int *out) {
    const int begin = r->n_spans;
    const bool onig = r->syntax == BASE_REGEX_ONIG;
    bool negated = r->p < r->end && *r->p == '^', done;
    r->p += negated;
    for (bool first = true;; first = false) {
        uint32_t lo, hi;
        if (r->p >= r->end) return bad(r, "a class without end");
        if (*r->p == ']' && !first) break;
        if (*r->p == '[' && (onig || (r->p + 1 < r->end && r->p[1] == ':')))
            return refuse(r, "named classes, or classes in classes");
        if (onig && r->p + 1 < r->end && r->p[0] == '&' && r->p[1] == '&') return refuse(r, "intersections of classes");
        TRY(take_class_escape(r, &done));
        if (done) continue;
        TRY(class_point(r, &lo));
        hi = lo;
        if (r->p + 1 < r->end && *r->p == '-' && r->p[1] != ']') {
            r->p++;
            TRY(class_point(r, &hi));
            if (hi < lo) return bad(r, "a range that ends before it begins");
        }
        TRY(add_span(r, lo, hi));
    }
    r->p++;
    return class_of(r, begin, negated, out);
}

/* ---- the tree */

static nib_status parse_alternatives(base_regex *r, int *out);

static nib_status close_group(base_regex *r) {
    if (r->p >= r->end || *r->p != ')') return bad(r, "a group without end");
    r->p++;
    return NIB_OK;
}

/* (?=x) (?!x), r->p at the sign: x is one class. */
static nib_status parse_ahead(base_regex *r, int *out) {
    const assertion which = *r->p++ == '!' ? NOT_AHEAD : AHEAD;
    int inside;
    TRY(parse_alternatives(r, &inside));
    const tree *t = &r->nodes[inside]; /* a line of one class: (EMPTY, class) */
    if (t->kind != CAT || r->nodes[t->a].kind != EMPTY || r->nodes[t->b].kind != CLASS)
        return refuse(r, "a look ahead at more than one class");
    TRY(node(r, (tree){.kind = ASSERT, .a = which, .b = t->b}, out));
    return close_group(r);
}

static nib_status parse_group(base_regex *r, int *out) {
    const bool fold = r->fold, onig = r->syntax == BASE_REGEX_ONIG;
    if (++r->depth > MAX_DEPTH) return base_error_set(r->err, NIB_LIMIT, "groups of a pattern are nested too deep");
    if (r->p + 1 < r->end && r->p[0] == '?') {
        const char *q = r->p + 1;
        const size_t left = (size_t)(r->end - q);
        if (q[0] == ':') r->p += 2;
        else if (onig && (q[0] == '=' || q[0] == '!')) {
            r->p++;
            r->depth--;
            return parse_ahead(r, out);
        } else if (onig && left >= 2 && memcmp(q, "i:", 2) == 0) {
            r->p += 3;
            r->fold = true;
        } else if (onig && left >= 3 && memcmp(q, "-i:", 3) == 0) {
            r->p += 4;
            r->fold = false;
        } else if (onig) {
            return refuse(r, "a look behind, an atomic group, a name or flags");
        } else if (q[0] == 'P' || q[0] == '<') {
            while (r->p < r->end && *r->p != '>') r->p++;
            if (r->p >= r->end) return bad(r, "a name without end");
            r->p++;
        } else {
            return refuse(r, "flags inside a pattern");
        }
    }
    TRY(parse_alternatives(r, out));
    r->depth--;
    r->fold = fold;
    return close_group(r);
}

static nib_status parse_atom(base_regex *r, int *out) {
    const int begin = r->n_spans;
    const bool onig = r->syntax == BASE_REGEX_ONIG;
    char ch = *r->p;
    uint32_t u;
    bool done;
    if (ch == '(') return r->p++, parse_group(r, out);
    if (ch == '[') return r->p++, parse_class(r, out);
    if (ch == '^') return r->p++, node(r, (tree){.kind = ASSERT, .a = onig ? LINE_BEGIN : TEXT_BEGIN}, out);
    if (ch == '$') return r->p++, node(r, (tree){.kind = ASSERT, .a = onig ? LINE_END : TEXT_END}, out);
    if (ch && strchr("*+?", ch)) return bad(r, "nothing to repeat");
    if (is_escape(r, "bBAz")) {
        r->p += 2;
        char which = r->p[-1];
        return node(r,
                    (tree){.kind = ASSERT,
                           .a = which == 'A'   ? TEXT_BEGIN
                                : which == 'z' ? TEXT_END
                                : which == 'b' ? EDGE
                                               : NO_EDGE},
                    out);
    }
    TRY(take_class_escape(r, &done));
    if (done) return class_of(r, begin, false, out);
    if (ch == '.') {
        r->p++;
        if (r->dot_all) TRY(add_one(r, 0, LAST));
        else {
            TRY(add_one(r, 0, '\n' - 1));
            TRY(add_one(r, '\n' + 1, LAST));
        }
        return class_of(r, begin, false, out);
    }
    TRY(class_point(r, &u));
    TRY(add_span(r, u, u));
    return class_of(r, begin, false, out);
}

/* {m}, {m,}, {m,n}; false, and nothing taken, if it is none of them: then the brace is a character. */
static bool take_counts(base_regex *r, int *least, int *most) {
    const char *p = r->p + 1;
    int v[2] = {-1, -1}, k = 0;
    for (; p < r->end && *p != '}'; p++) {
        if (*p == ',' && k == 0) k = 1;
        else if (*p >= '0' && *p <= '9') {
            v[k] = (v[k] < 0 ? 0 : v[k]) * 10 + (*p - '0');
            if (v[k] > 1000) v[k] = 1001;
        } else {
            return false;
        }
    }
    if (p >= r->end || v[0] < 0) return false;
    *least = v[0];
    *most = k == 0 ? v[0] : v[1];
    r->p = p + 1;
    return true;
}

static nib_status parse_piece(base_regex *r, int *out) {
    TRY(parse_atom(r, out));
    while (r->p < r->end) {
        const bool onig = r->syntax == BASE_REGEX_ONIG;
        bool counted = false;
        int least, most;
        char ch = *r->p;
        if (ch == '*' || ch == '+' || ch == '?') {
            least = ch == '+';
            most = ch == '?' ? 1 : -1;
            r->p++;
        } else if (ch == '{' && take_counts(r, &least, &most)) {
            counted = true;
        } else {
            break;
        }
        if (least > 1000 || most > 1000 || (most >= 0 && most < least)) return bad(r, "a bad count");
        /* x{3}? is "x{3} or nothing" to Oniguruma: the next turn of this loop. */
        const bool lazy = r->p < r->end && *r->p == '?' && !(onig && counted && least == most);
        r->p += lazy;
        if (onig && !counted && !lazy && r->p < r->end && *r->p == '+') return refuse(r, "a possessive repetition");
        TRY(node(r, (tree){.kind = REPEAT, .a = *out, .least = least, .most = most, .lazy = lazy}, out));
    }
    return NIB_OK;
}

static nib_status parse_alternatives(base_regex *r, int *out) {
    int whole = -1;
    for (;;) {
        int line;
        TRY(node(r, (tree){.kind = EMPTY}, &line));
        while (r->p < r->end && *r->p != '|' && *r->p != ')') {
            int piece;
            TRY(parse_piece(r, &piece));
            TRY(node(r, (tree){.kind = CAT, .a = line, .b = piece}, &line));
        }
        if (whole < 0) whole = line;
        else TRY(node(r, (tree){.kind = ALT, .a = whole, .b = line}, &whole));
        if (r->p >= r->end || *r->p != '|') break;
        r->p++;
    }
    *out = whole;
    return NIB_OK;
}

/* ---- the program */

static nib_status emit(base_regex *r, code what, int a, int b, int *at) {
    TRY(grow(r, &r->program, r->n_program, &r->cap_program, MAX_PROGRAM, sizeof *r->program));
    if (at) *at = r->n_program;
    r->program[r->n_program++] = (place){what, a, b};
    return NIB_OK;
}

/* The tree is as deep as the pattern is long where lines are: those are walked, not recursed into. */
static nib_status compile(base_regex *r, int at);

static nib_status compile_line(base_regex *r, int at) {
    int count = 0, *pieces;
    for (int k = at; r->nodes[k].kind == CAT; k = r->nodes[k].a) count++;
    if ((r->steps += count) > MAX_STEPS) return base_error_set(r->err, NIB_LIMIT, "the pattern is too large");
    TRY(take_array(r, count + 1, sizeof *pieces, &pieces));
    for (int k = at, i = count; r->nodes[k].kind == CAT; k = r->nodes[k].a) pieces[--i] = r->nodes[k].b;
    for (int i = 0; i < count; i++) TRY(compile(r, pieces[i]));
    return NIB_OK;
}

static void swap_ways(place *p) {
    int a = p->a;
    p->a = p->b;
    p->b = a;
}

static nib_status compile_repeat(base_regex *r, tree t) {
    int split, begin = r->n_program;
    for (int i = 0; i < t.least; i++) {
        TRY(compile(r, t.a));
        if (r->n_program == begin) return NIB_OK;
    }
    if (t.most < 0) {
        TRY(emit(r, SPLIT, r->n_program + 1, 0, &split));
        TRY(compile(r, t.a));
        TRY(emit(r, JUMP, split, 0, NULL));
        r->program[split].b = r->n_program;
        if (t.lazy) swap_ways(&r->program[split]);
        return NIB_OK;
    }
    for (int i = t.least; i < t.most; i++) {
        TRY(emit(r, SPLIT, r->n_program + 1, 0, &split));
        TRY(compile(r, t.a));
        r->program[split].b = r->n_program;
        if (t.lazy) swap_ways(&r->program[split]);
    }
    return NIB_OK;
}

static nib_status compile_node(base_regex *r, int at) {
    tree t = r->nodes[at];
    int split, jump;
    switch (t.kind) {
    case EMPTY: return NIB_OK;
    case CLASS: return emit(r, SET, at, 0, NULL);
    case ASSERT: return emit(r, CHECK, t.a, t.b, NULL);
    case CAT: return compile_line(r, at);
    case REPEAT: return compile_repeat(r, t);
    case ALT:
        TRY(emit(r, SPLIT, r->n_program + 1, 0, &split));
        TRY(compile(r, t.a));
        TRY(emit(r, JUMP, 0, 0, &jump));
        r->program[split].b = r->n_program;
        TRY(compile(r, t.b));
        r->program[jump].a = r->n_program;
    }
    return NIB_OK;
}

static nib_status
compile(base_regex *r,
        int at) { /* recursion: repetitions of repetitions and alternatives, as many as are counted here */
    if (++r->steps > MAX_STEPS) return base_error_set(r->err, NIB_LIMIT, "the pattern is too large");
    if (++r->depth > MAX_DEPTH * 10)
        return base_error_set(r->err, NIB_LIMIT, "a pattern with too many alternatives or repetitions in each other");
    nib_status status = compile_node(r, at);
    r->depth--;
    return status;
}

nib_status base_regex_make(const base_regex_host *host, base_regex_syntax syntax, const char *pattern, size_t length,
                           base_regex **out, nib_error *err) {
    base_regex *r;
    int root;
    *out = NULL;
    base_error_clear(err);
    TRY(host->take(host->user, sizeof *r, (void **)&r));
    *r = (base_regex){
        .host = host, .err = err, .syntax = syntax, .p = pattern, .begin = pattern, .end = pattern + length};
    while (r->end - r->p >= 4 && memcmp(r->p, "(?", 2) == 0 && r->p[3] == ')' &&
           (r->p[2] == 'i' || (r->p[2] == 's' && syntax == BASE_REGEX_RE2))) {
        if (r->p[2] == 'i') r->fold = true;
        else r->dot_all = true;
        r->p += 4;
    }
    TRY(parse_alternatives(r, &root));
    if (r->p < r->end) return bad(r, "a parenthesis that nothing opens");
    r->depth = 0;
    TRY(compile(r, root));
    TRY(emit(r, MATCH, 0, 0, NULL));
    r->host = NULL;
    r->err = NULL;
    r->begin = r->p = r->end = NULL;
    *out = r;
    return NIB_OK;
}

/* ---- matching */

typedef struct thread {
    int place;
    size_t begin; /* where its match begins */
} thread;

/* What the scratch holds; the arrays lie behind it. */
typedef struct machine {
    const base_regex *of; /* whose marks these are */
    uint64_t mark;
    uint64_t *seen;      /* [program] the mark when a place was last reached */
    thread *now, *next;  /* [program] in the order of preference */
    int *stack;          /* [2 * program + 2] */
    const char *s, *end; /* the text */
    const base_regex *r;
} machine;

size_t base_regex_size(const base_regex *r) { return (size_t)r->n_program; }

size_t base_regex_scratch(const base_regex *r) {
    size_t n = (size_t)r->n_program;
    return sizeof(machine) + n * (sizeof(uint64_t) + 2 * sizeof(thread)) + (2 * n + 2) * sizeof(int);
}

static machine *prepare(const base_regex *r, void *scratch, const char *s, size_t length) {
    machine *m = scratch;
    const size_t n = (size_t)r->n_program;
    m->seen = (uint64_t *)(void *)(m + 1);
    m->now = (thread *)(void *)(m->seen + n);
    m->next = m->now + n;
    m->stack = (int *)(void *)(m->next + n);
    if (m->of != r) memset(m->seen, 0, n * sizeof *m->seen), m->mark = 0;
    m->of = m->r = r;
    m->s = s;
    m->end = s + length;
    return m;
}

static bool in_class(const base_regex *r, const tree *t, uint32_t u) {
    return u < 128 ? t->ascii[u / 32] >> u % 32 & 1 : in_spans(r, t, u);
}

static bool word_at(const machine *m, const char *p) {
    if (p >= m->end) return false;
    uint32_t u = take(&p, m->end);
    if (m->r->syntax == BASE_REGEX_ONIG) return is_onig_word(u);
    return u == '_' || (u >= '0' && u <= '9') || (u < 128 && (u | 32) >= 'a' && (u | 32) <= 'z');
}

static bool word_before(const machine *m, const char *p) {
    if (p == m->s) return false;
    p--;
    for (int i = 0; i < 3 && p > m->s && ((unsigned char)*p & 0xc0) == 0x80; i++) p--;
    return word_at(m, p);
}

static bool holds(const machine *m, const place *check, const char *p) {
    switch ((assertion)check->a) {
    case TEXT_BEGIN: return p == m->s;
    case TEXT_END: return p == m->end;
    case LINE_BEGIN: return p == m->s || (p[-1] == '\n' && p < m->end);
    case LINE_END: return p == m->end || *p == '\n';
    case EDGE: return word_before(m, p) != word_at(m, p);
    case NO_EDGE: return word_before(m, p) == word_at(m, p);
    case AHEAD:
    case NOT_AHEAD: break;
    }
    bool there = p < m->end;
    if (there) there = in_class(m->r, &m->r->nodes[check->b], take(&p, m->end));
    return there == (check->a == AHEAD);
}

/* Adds a place and all that it reaches without a character, the preferred ones first. */
static void add_place(machine *m, int first, size_t begin, const char *p, thread *list, int *count) {
    int depth = 0;
    m->stack[depth++] = first;
    while (depth > 0) {
        int i = m->stack[--depth];
        const place *at = &m->r->program[i];
        if (m->seen[i] == m->mark) continue;
        m->seen[i] = m->mark;
        if (at->code == SPLIT) {
            m->stack[depth++] = at->b;
            m->stack[depth++] = at->a;
        } else if (at->code == JUMP) {
            m->stack[depth++] = at->a;
        } else if (at->code == CHECK) {
            if (holds(m, at, p)) m->stack[depth++] = i + 1;
        } else {
            list[(*count)++] = (thread){i, begin};
        }
    }
}

/* All threads of m->now over the character at *p, which is left behind: those that go on are in m->now then. A match
 * that begins and ends is kept in *begin and *end (NULL: matches are not looked for), and threads that are less
 * preferred end. */
static int step(machine *m, int count, const char **p, size_t *begin, size_t *end, bool *found) {
    const size_t at = (size_t)(*p - m->s);
    const bool last = *p >= m->end;
    const uint32_t u = last ? 0 : take(p, m->end);
    int n = 0;
    m->mark++;
    for (int i = 0; i < count; i++) {
        const thread t = m->now[i];
        const place *pl = &m->r->program[t.place];
        if (pl->code == MATCH) {
            if (!end) continue;
            *begin = t.begin;
            *end = at;
            *found = true;
            break;
        }
        if (!last && in_class(m->r, &m->r->nodes[pl->a], u)) add_place(m, t.place + 1, t.begin, *p, m->next, &n);
    }
    thread *swap = m->now;
    m->now = m->next;
    m->next = swap;
    return n;
}

nib_status base_regex_full_match(const base_regex *r, void *scratch, const base_regex_host *host, const char *s,
                                 size_t n, bool *out) {
    machine *m = prepare(r, scratch, n ? s : "", n);
    const char *p = m->s;
    int count = 0;
    m->mark++;
    add_place(m, 0, 0, p, m->now, &count);
    while (p < m->end && count) {
        if (host->spend) TRY(host->spend(host->user, count + 1));
        count = step(m, count, &p, NULL, NULL, NULL);
    }
    *out = false;
    for (int i = 0; i < count; i++) *out |= r->program[m->now[i].place].code == MATCH;
    return NIB_OK;
}

nib_status base_regex_find(const base_regex *r, void *scratch, const base_regex_host *host, const char *s, size_t n,
                           size_t from, bool *found, size_t *begin, size_t *end) {
    machine *m = prepare(r, scratch, n ? s : "", n);
    const char *p = m->s + from;
    int count = 0;
    *found = false;
    m->mark++;
    for (;;) {
        const bool last = p >= m->end;
        if (!*found) add_place(m, 0, (size_t)(p - m->s), p, m->now, &count);
        if (host->spend) TRY(host->spend(host->user, count + 1));
        count = step(m, count, &p, begin, end, found);
        if (last || (*found && count == 0)) return NIB_OK;
    }
}
