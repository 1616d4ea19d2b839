/* SPDX-License-Identifier: Apache-2.0
 *
 * In: a pattern. Out: a program for a machine that is in many places at once (K. Thompson, Regular Expression Search
 * Algorithm, 1968): one pass over the text, a set of program places for each character.
 *
 *     pattern -> parse: a tree -> emit: CLASS set | SPLIT a b | JUMP a | ASSERT kind | MATCH
 *
 * A counted repetition is written out, so the program is limited to MAX_PROGRAM places, and the walks over the tree that write it
 * to MAX_STEPS. What matches nothing but the empty string, and so writes nothing, is written out once however often it is repeated.
 */
#include "op_regex.h"
#include "base/base_sort.h"

#define MAX_PROGRAM 20000
#define MAX_DEPTH 100
#define MAX_TREE 20000
#define MAX_STEPS 1000000
#define LAST 0x10ffffu

typedef struct span {
    uint32_t lo, hi;
} span;

typedef enum kind { EMPTY, CLASS, CAT, ALT, REPEAT, ASSERT } kind;

typedef struct tree {
    kind kind;
    int a, b;         /* children; ASSERT: a is which */
    int least, most;  /* REPEAT; most < 0: no end */
    int first, count; /* CLASS: spans */
    bool negated;
} tree;

typedef enum code { SET, SPLIT, JUMP, CHECK, MATCH } code;

typedef struct place {
    code code;
    int a, b;
} place;

struct op_regex {
    op_eval *c;
    const char *p, *begin, *end;
    bool fold, dot_all;
    int depth, steps;
    tree *nodes;
    int n_nodes, cap_nodes;
    span *spans;
    int n_spans, cap_spans;
    place *program;
    int n_program, cap_program;
    int *now, *next, *stack, n_now, n_next;
    uint64_t *seen, mark;
};

static nib_status grow(op_eval *c, void *array, int count, int *capacity, int most, size_t size) {
    void **at = array, *fresh;
    if (count < *capacity) return NIB_OK;
    if (count >= most) return op_bad(c, NIB_LIMIT, "the pattern is too large");
    int want = *capacity ? 2 * *capacity : 64;
    OP_TRY(op_scratch(c, want, size, &fresh));
    if (count > 0) memcpy(fresh, *at, (size_t)count * size);
    *at = fresh;
    *capacity = want;
    return NIB_OK;
}

static nib_status bad(const op_regex *r, const char *what) {
    return op_bad(r->c, NIB_BAD_MODEL, "pattern, at %lld: %s", (long long)(r->p - r->begin), what);
}

static nib_status node(op_regex *r, tree t, int *out) {
    OP_TRY(grow(r->c, &r->nodes, r->n_nodes, &r->cap_nodes, MAX_TREE, sizeof *r->nodes));
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

static nib_status add_span(op_regex *r, uint32_t lo, uint32_t hi) {
    OP_TRY(grow(r->c, &r->spans, r->n_spans, &r->cap_spans, MAX_TREE, sizeof *r->spans));
    r->spans[r->n_spans++] = (span){lo, hi};
    if (!r->fold) return NIB_OK;
    for (int up = 0; up < 2; up++) { /* the ASCII letters in it, in the other case */
        uint32_t a = up ? 'a' : 'A', from = lo > a ? lo : a, to = hi < a + 25 ? hi : a + 25;
        if (from > to) continue;
        OP_TRY(grow(r->c, &r->spans, r->n_spans, &r->cap_spans, MAX_TREE, sizeof *r->spans));
        r->spans[r->n_spans++] = up ? (span){from - 32, to - 32} : (span){from + 32, to + 32};
    }
    return NIB_OK;
}

/* \d \w \s (lower case: the set, upper case: the rest), by ranges that are sorted. */
static nib_status add_perl(op_regex *r, char which) {
    static const span digits[] = {{'0', '9'}}, words[] = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}},
                      spaces[] = {{9, 10}, {12, 13}, {32, 32}};
    char low = (char)(which | 32);
    const span *s = low == 'd' ? digits : low == 'w' ? words : spaces;
    int n = low == 'd' ? 1 : low == 'w' ? 4 : 3;
    bool fold = r->fold;
    r->fold = false;
    uint32_t from = 0;
    for (int i = 0; i < n; i++) {
        if (which == low) OP_TRY(add_span(r, s[i].lo, s[i].hi));
        else if (s[i].lo > from) OP_TRY(add_span(r, from, s[i].lo - 1));
        from = s[i].hi + 1;
    }
    if (which != low) OP_TRY(add_span(r, from, LAST));
    r->fold = fold;
    return NIB_OK;
}

static int hex(char ch) { return ch >= '0' && ch <= '9' ? ch - '0' : (ch | 32) >= 'a' && (ch | 32) <= 'f' ? (ch | 32) - 'a' + 10 : -1; }

/* The character that an escape stands for, the backslash taken. */
static nib_status escaped(op_regex *r, uint32_t *out) {
    if (r->p >= r->end) return bad(r, "a backslash at the end");
    char ch = *r->p++;
    static const char names[] = "nrtfva", values[] = "\n\r\t\f\v\a";
    const char *at = ch ? strchr(names, ch) : NULL;
    if (at) return *out = (uint32_t)values[at - names], NIB_OK;
    if (ch == 'x') {
        bool braces = r->p < r->end && *r->p == '{';
        uint32_t u = 0;
        int n = 0;
        r->p += braces;
        for (; r->p < r->end && hex(*r->p) >= 0 && n < (braces ? 6 : 2); n++) u = u * 16 + (uint32_t)hex(*r->p++);
        if (n == 0 || u > LAST || (braces && (r->p >= r->end || *r->p++ != '}'))) return bad(r, "a bad \\x");
        return *out = u, NIB_OK;
    }
    if ((ch >= '0' && ch <= '9') || (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z')) return bad(r, "an escape that is not known");
    r->p--;
    *out = take(&r->p, r->end);
    return NIB_OK;
}

static bool is_perl(const op_regex *r) { return r->p + 1 < r->end && r->p[0] == '\\' && r->p[1] && strchr("dDwWsS", r->p[1]); }

static int by_begin(const void *a, const void *b) {
    const span *p = a, *q = b;
    return (p->lo > q->lo) - (p->lo < q->lo);
}

/* A class of the spans from `first` on, in order and apart. */
static nib_status class_of(op_regex *r, int first, bool negated, int *out) {
    int kept = first;
    base_sort(r->spans + first, (size_t)(r->n_spans - first), sizeof *r->spans, by_begin);
    for (int i = first; i < r->n_spans; i++) {
        span s = r->spans[i];
        if (kept == first || s.lo > r->spans[kept - 1].hi) r->spans[kept++] = s;
        else if (s.hi > r->spans[kept - 1].hi) r->spans[kept - 1].hi = s.hi;
    }
    r->n_spans = kept;
    return node(r, (tree){.kind = CLASS, .first = first, .count = kept - first, .negated = negated}, out);
}

static nib_status parse_class(op_regex *r, int *out) {
    const int begin = r->n_spans;
    bool negated = r->p < r->end && *r->p == '^';
    r->p += negated;
    for (bool first = true;; first = false) {
        uint32_t lo, hi;
        if (r->p >= r->end) return bad(r, "a class without end");
        if (*r->p == ']' && !first) break;
        if (*r->p == '[' && r->p + 1 < r->end && r->p[1] == ':') return op_bad(r->c, NIB_UNSUPPORTED, "named classes in a pattern");
        if (is_perl(r)) {
            OP_TRY(add_perl(r, r->p[1]));
            r->p += 2;
            continue;
        }
        if (*r->p == '\\') {
            r->p++;
            OP_TRY(escaped(r, &lo));
        } else {
            lo = take(&r->p, r->end);
        }
        hi = lo;
        if (r->p + 1 < r->end && *r->p == '-' && r->p[1] != ']') {
            r->p++;
            if (*r->p == '\\') {
                r->p++;
                OP_TRY(escaped(r, &hi));
            } else {
                hi = take(&r->p, r->end);
            }
            if (hi < lo) return bad(r, "a range that ends before it begins");
        }
        OP_TRY(add_span(r, lo, hi));
    }
    r->p++;
    return class_of(r, begin, negated, out);
}

/* ---- the tree */

static nib_status parse_alternatives(op_regex *r, int *out);

static nib_status parse_group(op_regex *r, int *out) {
    if (r->p + 1 < r->end && r->p[0] == '?') {
        if (r->p[1] == ':') r->p += 2;
        else if (r->p[1] == 'P' || r->p[1] == '<') {
            while (r->p < r->end && *r->p != '>') r->p++;
            if (r->p >= r->end) return bad(r, "a name without end");
            r->p++;
        } else {
            return op_bad(r->c, NIB_UNSUPPORTED, "flags inside a pattern");
        }
    }
    if (++r->depth > MAX_DEPTH) return op_bad(r->c, NIB_LIMIT, "groups of a pattern are nested too deep");
    OP_TRY(parse_alternatives(r, out));
    r->depth--;
    if (r->p >= r->end || *r->p != ')') return bad(r, "a group without end");
    r->p++;
    return NIB_OK;
}

static nib_status parse_atom(op_regex *r, int *out) {
    const int begin = r->n_spans;
    char ch = *r->p;
    uint32_t u;
    if (ch == '(') return r->p++, parse_group(r, out);
    if (ch == '[') return r->p++, parse_class(r, out);
    if (ch == '^' || ch == '$') return r->p++, node(r, (tree){.kind = ASSERT, .a = ch}, out);
    if (ch && strchr("*+?{", ch) && ch != '{') return bad(r, "nothing to repeat");
    if (ch == '\\' && r->p + 1 < r->end && r->p[1] && strchr("bBAz", r->p[1])) {
        r->p += 2;
        char which = r->p[-1] == 'A' ? '^' : r->p[-1] == 'z' ? '$' : r->p[-1];
        return node(r, (tree){.kind = ASSERT, .a = which}, out);
    }
    if (is_perl(r)) {
        r->p += 2;
        OP_TRY(add_perl(r, r->p[-1]));
    } else if (ch == '.') {
        r->p++;
        if (r->dot_all) OP_TRY(add_span(r, 0, LAST));
        else {
            OP_TRY(add_span(r, 0, '\n' - 1));
            OP_TRY(add_span(r, '\n' + 1, LAST));
        }
    } else {
        if (ch == '\\') {
            r->p++;
            OP_TRY(escaped(r, &u));
        } else {
            u = take(&r->p, r->end);
        }
        OP_TRY(add_span(r, u, u));
    }
    return class_of(r, begin, false, out);
}

/* {m}, {m,}, {m,n}; false, and nothing taken, if it is none of them: then the brace is a character. */
static bool take_counts(op_regex *r, int *least, int *most) {
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

static nib_status parse_piece(op_regex *r, int *out) {
    OP_TRY(parse_atom(r, out));
    while (r->p < r->end) {
        int least, most;
        char ch = *r->p;
        if (ch == '*' || ch == '+' || ch == '?') {
            least = ch == '+';
            most = ch == '?' ? 1 : -1;
            r->p++;
        } else if (ch != '{' || !take_counts(r, &least, &most)) {
            break;
        }
        if (least > 1000 || most > 1000 || (most >= 0 && most < least)) return bad(r, "a bad count");
        if (r->p < r->end && *r->p == '?') r->p++; /* which match is preferred does not matter to whether there is one */
        OP_TRY(node(r, (tree){.kind = REPEAT, .a = *out, .least = least, .most = most}, out));
    }
    return NIB_OK;
}

static nib_status parse_alternatives(op_regex *r, int *out) {
    int whole = -1;
    for (;;) {
        int line;
        OP_TRY(node(r, (tree){.kind = EMPTY}, &line));
        while (r->p < r->end && *r->p != '|' && *r->p != ')') {
            int piece;
            OP_TRY(parse_piece(r, &piece));
            OP_TRY(node(r, (tree){.kind = CAT, .a = line, .b = piece}, &line));
        }
        if (whole < 0) whole = line;
        else OP_TRY(node(r, (tree){.kind = ALT, .a = whole, .b = line}, &whole));
        if (r->p >= r->end || *r->p != '|') break;
        r->p++;
    }
    *out = whole;
    return NIB_OK;
}

/* ---- the program */

static nib_status emit(op_regex *r, code what, int a, int b, int *at) {
    OP_TRY(grow(r->c, &r->program, r->n_program, &r->cap_program, MAX_PROGRAM, sizeof *r->program));
    if (at) *at = r->n_program;
    r->program[r->n_program++] = (place){what, a, b};
    return NIB_OK;
}

/* The tree is as deep as the pattern is long where lines are: those are walked, not recursed into. */
static nib_status compile(op_regex *r, int at);

static nib_status compile_line(op_regex *r, int at) {
    int count = 0, *pieces;
    for (int k = at; r->nodes[k].kind == CAT; k = r->nodes[k].a) count++;
    if ((r->steps += count) > MAX_STEPS) return op_bad(r->c, NIB_LIMIT, "the pattern is too large");
    OP_TRY(op_scratch(r->c, count + 1, sizeof *pieces, &pieces));
    for (int k = at, i = count; r->nodes[k].kind == CAT; k = r->nodes[k].a) pieces[--i] = r->nodes[k].b;
    for (int i = 0; i < count; i++) OP_TRY(compile(r, pieces[i]));
    return NIB_OK;
}

static nib_status compile_repeat(op_regex *r, tree t) {
    int split, end, begin = r->n_program;
    for (int i = 0; i < t.least; i++) {
        OP_TRY(compile(r, t.a));
        if (r->n_program == begin) return NIB_OK;
    }
    if (t.most < 0) {
        OP_TRY(emit(r, SPLIT, r->n_program + 1, 0, &split));
        OP_TRY(compile(r, t.a));
        OP_TRY(emit(r, JUMP, split, 0, NULL));
        r->program[split].b = r->n_program;
        return NIB_OK;
    }
    for (int i = t.least; i < t.most; i++) {
        OP_TRY(emit(r, SPLIT, r->n_program + 1, 0, &split));
        OP_TRY(compile(r, t.a));
        end = r->n_program;
        r->program[split].b = end;
    }
    return NIB_OK;
}

static nib_status compile_node(op_regex *r, int at) {
    tree t = r->nodes[at];
    int split, jump;
    switch (t.kind) {
    case EMPTY: return NIB_OK;
    case CLASS: return emit(r, SET, at, 0, NULL);
    case ASSERT: return emit(r, CHECK, t.a, 0, NULL);
    case CAT: return compile_line(r, at);
    case REPEAT: return compile_repeat(r, t);
    case ALT:
        OP_TRY(emit(r, SPLIT, r->n_program + 1, 0, &split));
        OP_TRY(compile(r, t.a));
        OP_TRY(emit(r, JUMP, 0, 0, &jump));
        r->program[split].b = r->n_program;
        OP_TRY(compile(r, t.b));
        r->program[jump].a = r->n_program;
    }
    return NIB_OK;
}

static nib_status compile(op_regex *r, int at) { /* recursion: repetitions of repetitions and alternatives, as many as are counted here */
    if (++r->steps > MAX_STEPS) return op_bad(r->c, NIB_LIMIT, "the pattern is too large");
    if (++r->depth > MAX_DEPTH * 10) return op_bad(r->c, NIB_LIMIT, "a pattern with too many alternatives or repetitions in each other");
    nib_status status = compile_node(r, at);
    r->depth--;
    return status;
}

nib_status op_regex_make(op_eval *c, graph_string pattern, op_regex **out) {
    op_regex *r;
    int root;
    OP_TRY(op_scratch(c, 1, sizeof *r, &r));
    *r = (op_regex){.c = c, .p = pattern.data, .begin = pattern.data, .end = pattern.data + pattern.length};
    while (r->end - r->p >= 4 && memcmp(r->p, "(?", 2) == 0 && r->p[3] == ')' && (r->p[2] == 'i' || r->p[2] == 's')) {
        if (r->p[2] == 'i') r->fold = true;
        else r->dot_all = true;
        r->p += 4;
    }
    OP_TRY(parse_alternatives(r, &root));
    if (r->p < r->end) return bad(r, "a parenthesis that nothing opens");
    r->depth = 0;
    OP_TRY(compile(r, root));
    OP_TRY(emit(r, MATCH, 0, 0, NULL));
    OP_TRY(op_scratch(c, r->n_program, sizeof(int), &r->now));
    OP_TRY(op_scratch(c, r->n_program, sizeof(int), &r->next));
    OP_TRY(op_scratch(c, 2 * (int64_t)r->n_program + 2, sizeof(int), &r->stack));
    OP_TRY(op_scratch(c, r->n_program, sizeof *r->seen, &r->seen));
    memset(r->seen, 0, sizeof *r->seen * (size_t)r->n_program);
    *out = r;
    return NIB_OK;
}

/* ---- matching */

static bool is_word(graph_string s, size_t i) {
    char ch = i < s.length ? s.data[i] : ' ';
    return ch == '_' || (ch >= '0' && ch <= '9') || ((ch | 32) >= 'a' && (ch | 32) <= 'z' && (unsigned char)ch < 128);
}

static bool holds(int which, graph_string s, size_t at) {
    if (which == '^') return at == 0;
    if (which == '$') return at == s.length;
    bool edge = (at > 0 && is_word(s, at - 1)) != is_word(s, at);
    return which == 'b' ? edge : !edge;
}

/* Adds a place and all that it reaches without a character; true if one of them is MATCH. */
static bool add_place(op_regex *r, int first, graph_string s, size_t at, int *list, int *count) {
    int depth = 0;
    bool matched = false;
    r->stack[depth++] = first;
    while (depth > 0) {
        int i = r->stack[--depth];
        const place *p = &r->program[i];
        if (r->seen[i] == r->mark) continue;
        r->seen[i] = r->mark;
        if (p->code == SPLIT) {
            r->stack[depth++] = p->b;
            r->stack[depth++] = p->a;
        } else if (p->code == JUMP) {
            r->stack[depth++] = p->a;
        } else if (p->code == CHECK) {
            if (holds(p->a, s, at)) r->stack[depth++] = i + 1;
        } else if (p->code == MATCH) {
            matched = true;
        } else {
            list[(*count)++] = i;
        }
    }
    return matched;
}

static bool in_class(const op_regex *r, const tree *t, uint32_t u) {
    const span *s = r->spans + t->first;
    int lo = 0, hi = t->count; /* the first span that does not end before u */
    while (lo < hi) {
        int mid = lo + (hi - lo) / 2;
        if (s[mid].hi < u) lo = mid + 1;
        else hi = mid;
    }
    return (lo < t->count && s[lo].lo <= u) != t->negated;
}

nib_status op_regex_full_match(op_regex *r, graph_string s, bool *out) {
    const char *p = s.data, *end = s.data + s.length;
    bool matched;
    r->n_now = 0;
    r->mark++;
    matched = add_place(r, 0, s, 0, r->now, &r->n_now);
    while (s.length && p < end) {
        uint32_t u = take(&p, end);
        size_t at = (size_t)(p - s.data);
        r->n_next = 0;
        r->mark++;
        matched = false;
        OP_TRY(op_spend(r->c, r->n_now + 1, 16));
        for (int i = 0; i < r->n_now; i++)
            if (in_class(r, &r->nodes[r->program[r->now[i]].a], u)) matched |= add_place(r, r->now[i] + 1, s, at, r->next, &r->n_next);
        int *swap = r->now;
        r->now = r->next;
        r->next = swap;
        r->n_now = r->n_next;
    }
    *out = matched;
    return NIB_OK;
}
