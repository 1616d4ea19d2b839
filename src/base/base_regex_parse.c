/* SPDX-License-Identifier: Apache-2.0
 *
 * In: a pattern. Out: its tree.
 *
 * What gives nothing back to what follows (x*+, (?>x)) is no matter of a machine that tries all ways at once; of one
 * class it can be said otherwise, and that is all that is taken: C++ is C+(?!C), C?+ is C|(?!C).
 */
#include "base_regex_internal.h"
#include <string.h>

typedef base_regex_tree tree;

nib_status base_regex_take_array(base_regex *r, int count, size_t size, void *out) {
    return r->host->take(r->host->user, (size_t)count * size, out);
}

nib_status base_regex_grow(base_regex *r, void *array, int count, int *capacity, int most, size_t size) {
    void **at = array, *fresh;
    if (count < *capacity) return NIB_OK;
    if (count >= most) return base_error_set(r->err, NIB_LIMIT, "the pattern is too large");
    int want = *capacity ? 2 * *capacity : 64;
    REGEX_TRY(base_regex_take_array(r, want, size, &fresh));
    if (count > 0) memcpy(fresh, *at, (size_t)count * size);
    *at = fresh;
    *capacity = want;
    return NIB_OK;
}

nib_status base_regex_bad(const base_regex *r, const char *what) {
    return base_error_set(r->err, NIB_BAD_MODEL, "pattern, at %lld: %s", (long long)(r->p - r->begin), what);
}

nib_status base_regex_refuse(const base_regex *r, const char *what) {
    return base_error_set(r->err, NIB_UNSUPPORTED, "pattern, at %lld: %s", (long long)(r->p - r->begin), what);
}

/* Whether a tree may match nothing, and with what preference. */
static void find_empty(const base_regex *r, tree *t) {
    const bool one = t->kind == REGEX_REPEAT || t->kind == REGEX_CAT || t->kind == REGEX_ALT;
    const tree a = one ? r->nodes[t->a] : (tree){0}, b = one && t->kind != REGEX_REPEAT ? r->nodes[t->b] : (tree){0};
    switch (t->kind) {
    case REGEX_CLASS: break;
    case REGEX_EMPTY: t->empty = true; break;
    case REGEX_ASSERT:
        t->empty = t->empty_first = true;
        break; /* it may hold before one turn and not before the next */
    case REGEX_CAT:
        t->empty = a.empty && b.empty;
        t->empty_first = t->empty && (a.empty_first || b.empty_first);
        break;
    case REGEX_ALT:
        t->empty = a.empty || b.empty;
        t->empty_first = a.empty || b.empty_first;
        break;
    case REGEX_REPEAT: t->empty = t->least == 0 || a.empty; t->empty_first = t->empty && (t->lazy || a.empty_first);
    }
}

nib_status base_regex_node(base_regex *r, tree t, int *out) {
    find_empty(r, &t);
    REGEX_TRY(base_regex_grow(r, &r->nodes, r->n_nodes, &r->cap_nodes, BASE_REGEX_MOST_NODES, sizeof *r->nodes));
    *out = r->n_nodes;
    r->nodes[r->n_nodes++] = t;
    return NIB_OK;
}

static nib_status pair(base_regex *r, base_regex_kind kind, int a, int b, int *out) {
    return base_regex_node(r, (tree){.kind = kind, .a = a, .b = b}, out);
}

/* A line of two pieces. */
static nib_status both(base_regex *r, int first, int second, int *out) {
    int line;
    REGEX_TRY(base_regex_node(r, (tree){.kind = REGEX_EMPTY}, &line));
    REGEX_TRY(pair(r, REGEX_CAT, line, first, &line));
    return pair(r, REGEX_CAT, line, second, out);
}

static nib_status parse_alternatives(base_regex *r, int *out);

static nib_status close_group(base_regex *r) {
    if (r->p >= r->end || *r->p != ')') return base_regex_bad(r, "a group without end");
    r->p++;
    return NIB_OK;
}

/* ---- looks */

static nib_status put_look(base_regex *r, int value) {
    REGEX_TRY(base_regex_grow(r, &r->looks, r->n_looks, &r->cap_looks, BASE_REGEX_MOST_NODES, sizeof *r->looks));
    r->looks[r->n_looks++] = value;
    return NIB_OK;
}

/* The classes of a piece, in order; *count of them so far. */
static nib_status put_piece(base_regex *r, int at, int *count) {
    const tree t = r->nodes[at];
    const bool repeated = t.kind == REGEX_REPEAT && t.least == t.most && r->nodes[t.a].kind == REGEX_CLASS;
    if (t.kind == REGEX_EMPTY) return NIB_OK;
    if (t.kind != REGEX_CLASS && !repeated)
        return base_regex_refuse(r, "a look ahead or behind at more than characters of fixed number");
    for (int i = 0; i < (repeated ? t.least : 1); i++) {
        if (++*count > BASE_REGEX_MOST_LOOK) return base_regex_refuse(r, "a look ahead or behind that is too long");
        REGEX_TRY(put_look(r, repeated ? t.a : at));
    }
    return NIB_OK;
}

/* One alternative of a look: (((EMPTY, piece), piece), ...), from the last piece to the first. */
static nib_status put_line(base_regex *r, int at) {
    const int length_at = r->n_looks;
    int count = 0, depth = 0, pieces[BASE_REGEX_MOST_LOOK];
    REGEX_TRY(put_look(r, 0));
    for (; r->nodes[at].kind == REGEX_CAT; at = r->nodes[at].a) {
        if (depth == BASE_REGEX_MOST_LOOK) return base_regex_refuse(r, "a look ahead or behind that is too long");
        pieces[depth++] = r->nodes[at].b;
    }
    REGEX_TRY(put_piece(r, at, &count));
    while (depth > 0) REGEX_TRY(put_piece(r, pieces[--depth], &count));
    r->looks[length_at] = count;
    return NIB_OK;
}

static nib_status put_lines(base_regex *r, base_regex_assertion which, int at, int *out) {
    const int begin = r->n_looks;
    int lines = 1, line = at, first;
    REGEX_TRY(put_look(r, 0));
    for (; r->nodes[line].kind == REGEX_ALT; line = r->nodes[line].a, lines++) REGEX_TRY(put_line(r, r->nodes[line].b));
    first = line;
    REGEX_TRY(put_line(r, first));
    r->looks[begin] = lines;
    return pair(r, REGEX_ASSERT, which, begin, out);
}

/* (?=x) (?!x) (?<=x) (?<!x), r->p behind the sign. */
static nib_status parse_look(base_regex *r, base_regex_assertion which, int *out) {
    int inside;
    REGEX_TRY(parse_alternatives(r, &inside));
    REGEX_TRY(put_lines(r, which, inside, out));
    return close_group(r);
}

/* ---- what gives nothing back */

static nib_status not_ahead(base_regex *r, int class, int *out) { return put_lines(r, REGEX_NOT_AHEAD, class, out); }

/* A greedy repetition of one class, without a way back. */
static nib_status possess(base_regex *r, int at, int *out) {
    const tree t = r->nodes[at];
    int not, once, whole;
    if (t.kind != REGEX_REPEAT || t.lazy || r->nodes[t.a].kind != REGEX_CLASS)
        return base_regex_refuse(r, "a possessive repetition or an atomic group of more than one class");
    REGEX_TRY(not_ahead(r, t.a, &not ));
    if (t.most < 0) return both(r, at, not, out);
    REGEX_TRY(pair(r, REGEX_ALT, t.a, not, &once));
    REGEX_TRY(base_regex_node(r, (tree){.kind = REGEX_REPEAT, .a = t.a, .least = t.least, .most = t.least}, &whole));
    REGEX_TRY(base_regex_node(
        r, (tree){.kind = REGEX_REPEAT, .a = once, .least = t.most - t.least, .most = t.most - t.least}, &once));
    return both(r, whole, once, out);
}

/* (?>x), x a line of classes of which the last one may be repeated. */
static nib_status atomic(base_regex *r, int at, int *out) {
    const tree t = r->nodes[at];
    int last;
    *out = at;
    if (t.kind != REGEX_CAT) return t.kind == REGEX_EMPTY ? NIB_OK : possess(r, at, out);
    for (int k = t.a; r->nodes[k].kind != REGEX_EMPTY; k = r->nodes[k].a)
        if (r->nodes[k].kind != REGEX_CAT || r->nodes[r->nodes[k].b].kind != REGEX_CLASS)
            return base_regex_refuse(r, "an atomic group of more than one class");
    if (r->nodes[t.b].kind == REGEX_CLASS || r->nodes[t.b].kind == REGEX_ASSERT) return NIB_OK;
    REGEX_TRY(possess(r, t.b, &last));
    return pair(r, REGEX_CAT, t.a, last, out);
}

/* ---- groups */

/* What may stand behind (? in Oniguruma's dialect. */
typedef enum group { PLAIN, FOLD, NO_FOLD, ATOMIC, LOOK } group;

static const struct {
    const char *sign;
    group what;
    base_regex_assertion look;
} groups[] = {
    {":", PLAIN, 0},
    {"i:", FOLD, 0},
    {"-i:", NO_FOLD, 0},
    {">", ATOMIC, 0},
    {"=", LOOK, REGEX_AHEAD},
    {"!", LOOK, REGEX_NOT_AHEAD},
    {"<=", LOOK, REGEX_BEHIND},
    {"<!", LOOK, REGEX_NOT_BEHIND},
};

/* r->p at the ? of a group: *which of `groups` it is. */
static nib_status take_sign(base_regex *r, size_t *which) {
    const char *q = r->p + 1;
    for (size_t i = 0; i < BASE_COUNT(groups); i++) {
        const size_t n = strlen(groups[i].sign);
        if ((size_t)(r->end - q) < n || memcmp(q, groups[i].sign, n) != 0) continue;
        if (r->syntax == BASE_REGEX_RE2 && groups[i].what != PLAIN) continue;
        r->p = q + n;
        return *which = i, NIB_OK;
    }
    if (r->syntax == BASE_REGEX_ONIG) return base_regex_refuse(r, "a group with a name or flags");
    if (q >= r->end || (*q != 'P' && *q != '<')) return base_regex_refuse(r, "flags inside a pattern");
    while (r->p < r->end && *r->p != '>') r->p++;
    if (r->p >= r->end) return base_regex_bad(r, "a name without end");
    r->p++;
    return *which = 0, NIB_OK;
}

static nib_status parse_group(base_regex *r, int *out) {
    const bool fold = r->fold;
    size_t which = 0;
    if (++r->depth > BASE_REGEX_MOST_DEPTH)
        return base_error_set(r->err, NIB_LIMIT, "groups of a pattern are nested too deep");
    if (r->p + 1 < r->end && r->p[0] == '?') REGEX_TRY(take_sign(r, &which));
    if (groups[which].what == FOLD) r->fold = true;
    if (groups[which].what == NO_FOLD) r->fold = false;
    if (groups[which].what == LOOK) {
        REGEX_TRY(parse_look(r, groups[which].look, out));
    } else {
        REGEX_TRY(parse_alternatives(r, out));
        if (groups[which].what == ATOMIC) REGEX_TRY(atomic(r, *out, out));
        REGEX_TRY(close_group(r));
    }
    r->depth--;
    r->fold = fold;
    return NIB_OK;
}

/* ---- atoms */

/* Oniguruma's (?i) takes ligatures and the sharp s for the letters that they are made of. */
static nib_status check_ligature(base_regex *r, uint32_t u) {
    static const char *const pairs[] = {"ss", "st", "ff", "fi", "fl"};
    const uint32_t last = r->folded, low = u >= 'A' && u <= 'Z' ? u + 32 : u;
    r->folded = r->fold && r->syntax == BASE_REGEX_ONIG ? low : 0;
    for (size_t i = 0; r->folded && i < BASE_COUNT(pairs); i++)
        if (last == (uint32_t)pairs[i][0] && low == (uint32_t)pairs[i][1])
            return base_regex_refuse(r, "(?i) with letters of which there is a ligature");
    return NIB_OK;
}

static nib_status parse_assertion(base_regex *r, bool *done, int *out) {
    static const char escapes[] = "bBAz";
    static const base_regex_assertion asked[] = {REGEX_EDGE, REGEX_NO_EDGE, REGEX_TEXT_BEGIN, REGEX_TEXT_END};
    const bool onig = r->syntax == BASE_REGEX_ONIG;
    base_regex_assertion which;
    int word = 0;
    *done = true;
    if (base_regex_is_escape(r, escapes)) r->p += 2, which = asked[strchr(escapes, r->p[-1]) - escapes];
    else if (*r->p == '^') r->p++, which = onig ? REGEX_LINE_BEGIN : REGEX_TEXT_BEGIN;
    else if (*r->p == '$') r->p++, which = onig ? REGEX_LINE_END : REGEX_TEXT_END;
    else return *done = false, NIB_OK;
    if (which == REGEX_EDGE || which == REGEX_NO_EDGE) REGEX_TRY(base_regex_word(r, &word));
    return pair(r, REGEX_ASSERT, (int)which, word, out);
}

/* A dot, or what an escape says of those; *done: it was one, and its spans are added. */
static nib_status take_any(base_regex *r, bool *done) {
    const bool onig = r->syntax == BASE_REGEX_ONIG, dot = *r->p == '.';
    *done = dot || (onig && base_regex_is_escape(r, "NO"));
    if (!*done) return base_regex_class_escape(r, false, done);
    const bool all = dot ? r->dot_all : r->p[1] == 'O';
    r->p += dot ? 1 : 2;
    if (all) return base_regex_add(r, 0, BASE_LAST_POINT);
    REGEX_TRY(base_regex_add(r, 0, '\n' - 1));
    return base_regex_add(r, '\n' + 1, BASE_LAST_POINT);
}

static nib_status parse_atom(base_regex *r, int *out) {
    const int begin = r->n_spans;
    const char ch = *r->p;
    uint32_t u;
    bool done;
    if (ch == '(') return r->p++, parse_group(r, out);
    if (ch == '[') return r->p++, base_regex_parse_class(r, out);
    if (ch && strchr("*+?", ch)) return base_regex_bad(r, "nothing to repeat");
    REGEX_TRY(parse_assertion(r, &done, out));
    if (done) return NIB_OK;
    REGEX_TRY(take_any(r, &done));
    if (done) return r->folded = 0, base_regex_class_of(r, begin, false, out);
    REGEX_TRY(base_regex_class_point(r, &u));
    REGEX_TRY(check_ligature(r, u));
    REGEX_TRY(base_regex_add_folded(r, u, u));
    return base_regex_class_of(r, begin, false, out);
}

/* ---- repetitions */

/* {m}, {m,}, {m,n}, to Oniguruma {,n}; false, and nothing taken, if it is none of them: then the brace is a character.
 */
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
    if (r->syntax == BASE_REGEX_ONIG && k == 1 && v[0] < 0 && v[1] >= 0) v[0] = 0;
    if (p >= r->end || v[0] < 0) return false;
    *least = v[0];
    *most = k == 0 ? v[0] : v[1];
    r->p = p + 1;
    return true;
}

static nib_status parse_piece(base_regex *r, int *out) {
    const bool onig = r->syntax == BASE_REGEX_ONIG;
    REGEX_TRY(parse_atom(r, out));
    while (r->p < r->end) {
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
        r->folded = 0;
        if (least > 1000 || most > 1000 || (most >= 0 && most < least)) return base_regex_bad(r, "a bad count");
        /* x{3}? is "x{3} or nothing" to Oniguruma: the next turn of this loop. */
        const bool lazy = r->p < r->end && *r->p == '?' && !(onig && counted && least == most);
        r->p += lazy;
        /* A turn that matched nothing ends the repetition there; here the other ways are tried before that. */
        if (onig && most != 0 && most != 1 && r->nodes[*out].empty_first)
            return base_regex_refuse(r, "a repetition of what would rather match nothing");
        REGEX_TRY(base_regex_node(
            r, (tree){.kind = REGEX_REPEAT, .a = *out, .least = least, .most = most, .lazy = lazy}, out));
        if (onig && !counted && !lazy && r->p < r->end && *r->p == '+') { /* x{3}+ is not possessive there */
            r->p++;
            REGEX_TRY(possess(r, *out, out));
        }
    }
    return NIB_OK;
}

static nib_status parse_alternatives(base_regex *r, int *out) {
    int whole = -1;
    for (;;) {
        int line;
        REGEX_TRY(base_regex_node(r, (tree){.kind = REGEX_EMPTY}, &line));
        while (r->p < r->end && *r->p != '|' && *r->p != ')') {
            int piece;
            REGEX_TRY(parse_piece(r, &piece));
            REGEX_TRY(pair(r, REGEX_CAT, line, piece, &line));
        }
        if (whole < 0) whole = line;
        else REGEX_TRY(pair(r, REGEX_ALT, whole, line, &whole));
        if (r->p >= r->end || *r->p != '|') break;
        r->p++;
        r->folded = 0;
    }
    *out = whole;
    return NIB_OK;
}

nib_status base_regex_parse(base_regex *r, int *out) {
    while (r->end - r->p >= 4 && memcmp(r->p, "(?", 2) == 0 && r->p[3] == ')' &&
           (r->p[2] == 'i' || (r->p[2] == 's' && r->syntax == BASE_REGEX_RE2))) {
        if (r->p[2] == 'i') r->fold = true;
        else r->dot_all = true;
        r->p += 4;
    }
    REGEX_TRY(parse_alternatives(r, out));
    return r->p < r->end ? base_regex_bad(r, "a parenthesis that nothing opens") : NIB_OK;
}
