/* SPDX-License-Identifier: Apache-2.0
 *
 * In: a pattern at a set: a class in brackets, \d \w \s, \p{..}, or one character. Out: its code points.
 *
 * Oniguruma has two sets that are called \w. Alone it is the word characters of \b, in which U+00B2 U+00B3 U+00B9 and
 * U+00BC to U+00BE are; in a class these are not (test/data/regex has what it says of every code point).
 */
#include "base_regex_internal.h"
#include "base_sort.h"
#include <string.h>

#define LAST BASE_LAST_POINT

typedef base_regex_span span;

nib_status base_regex_add(base_regex *r, uint32_t lo, uint32_t hi) {
    if (lo > hi) return NIB_OK;
    REGEX_TRY(base_regex_grow(r, &r->spans, r->n_spans, &r->cap_spans, BASE_REGEX_MOST_NODES, sizeof *r->spans));
    r->spans[r->n_spans++] = (span){lo, hi};
    return NIB_OK;
}

/* What else an ASCII letter is under (?i) in Oniguruma's dialect. */
static const struct {
    char letter;
    uint32_t point;
} alike[] = {{'s', 0x17f}, {'k', 0x212a}};

nib_status base_regex_add_folded(base_regex *r, uint32_t lo, uint32_t hi) {
    REGEX_TRY(base_regex_add(r, lo, hi));
    if (!r->fold) return NIB_OK;
    if (r->syntax == BASE_REGEX_ONIG && hi >= 0x80) return base_regex_refuse(r, "(?i) with characters beyond ASCII");
    for (int up = 0; up < 2; up++) { /* the ASCII letters in it, in the other case */
        uint32_t a = up ? 'a' : 'A', from = lo > a ? lo : a, to = hi < a + 25 ? hi : a + 25;
        if (from > to) continue;
        REGEX_TRY(up ? base_regex_add(r, from - 32, to - 32) : base_regex_add(r, from + 32, to + 32));
        for (size_t i = 0; r->syntax == BASE_REGEX_ONIG && i < BASE_COUNT(alike); i++) {
            uint32_t letter = (uint32_t)alike[i].letter - (up ? 0 : 32);
            if (from <= letter && letter <= to) REGEX_TRY(base_regex_add(r, alike[i].point, alike[i].point));
        }
    }
    return NIB_OK;
}

/* Sorted, disjoint ranges, or all but them. */
static nib_status add_ranges(base_regex *r, const span *s, size_t n, bool negated) {
    uint32_t from = 0;
    for (size_t i = 0; i < n; i++) {
        if (!negated) REGEX_TRY(base_regex_add(r, s[i].first, s[i].last));
        else if (s[i].first > from) REGEX_TRY(base_regex_add(r, from, s[i].first - 1));
        from = s[i].last + 1;
    }
    return negated ? base_regex_add(r, from, LAST) : NIB_OK;
}

/* The points of all categories in `mask`. */
static nib_status add_categories(base_regex *r, uint32_t mask) {
    for (size_t i = 0; i < base_category_count; i++) {
        uint32_t last = i + 1 < base_category_count ? (base_category_run[i + 1] & 0xffffffu) - 1 : LAST;
        if (mask >> (base_category_run[i] >> 24) & 1)
            REGEX_TRY(base_regex_add(r, base_category_run[i] & 0xffffffu, last));
    }
    return NIB_OK;
}

/* ---- words */

/* Word characters that Oniguruma knows where \w stands alone; the joiners are none to it. */
static const span more_words[] = {{0xb2, 0xb3}, {0xb9, 0xb9}, {0xbc, 0xbe}};

static bool is_joiner(uint32_t u) { return u == 0x200c || u == 0x200d; }

/* The runs of word characters, in order; `from` is where the rest begins. */
static nib_status add_word_run(base_regex *r, span s, bool negated, uint32_t *from) {
    if (!negated) return base_regex_add(r, s.first, s.last);
    if (s.first > *from) REGEX_TRY(base_regex_add(r, *from, s.first - 1));
    *from = s.last + 1;
    return NIB_OK;
}

static nib_status add_words(base_regex *r, bool in_class, bool negated) {
    uint32_t from = 0;
    size_t more = in_class ? BASE_COUNT(more_words) : 0;
    for (size_t i = 0; i < base_word_count; i++) {
        while (more < BASE_COUNT(more_words) && more_words[more].first < base_word[i].first)
            REGEX_TRY(add_word_run(r, more_words[more++], negated, &from));
        if (!is_joiner(base_word[i].first)) /* they are a range of their own */
            REGEX_TRY(add_word_run(r, base_word[i], negated, &from));
    }
    return negated ? base_regex_add(r, from, LAST) : NIB_OK;
}

/* ---- escapes that are sets */

/* \d \w \s (lower case: the set, upper case: the rest). */
static nib_status add_perl(base_regex *r, char which, bool in_class) {
    static const span digits[] = {{'0', '9'}}, words[] = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}},
                      spaces[] = {{9, 10}, {12, 13}, {32, 32}}, hex_digits[] = {{'0', '9'}, {'A', 'F'}, {'a', 'f'}},
                      unicode_spaces[] = {{9, 13},          {32, 32},         {0x85, 0x85},     {0xa0, 0xa0},
                                          {0x1680, 0x1680}, {0x2000, 0x200a}, {0x2028, 0x2029}, {0x202f, 0x202f},
                                          {0x205f, 0x205f}, {0x3000, 0x3000}};
    const char low = (char)(which | 32);
    const bool negated = which != low;
    if (low == 'h') return add_ranges(r, hex_digits, BASE_COUNT(hex_digits), negated);
    if (r->syntax == BASE_REGEX_RE2) {
        const span *s = low == 'd' ? digits : low == 'w' ? words : spaces;
        return add_ranges(r, s, low == 'd' ? 1 : low == 'w' ? 4 : 3, negated);
    }
    if (low == 's') return add_ranges(r, unicode_spaces, BASE_COUNT(unicode_spaces), negated);
    if (low == 'd') return add_categories(r, negated ? ~(1u << BASE_ND) : 1u << BASE_ND);
    return add_words(r, in_class, negated);
}

/* The escape that a name says as well, or 0. */
static char perl_of(const char *name, size_t length) {
    static const struct {
        const char *name;
        char perl;
    } perls[] = {{"space", 's'}, {"word", 'w'}, {"xdigit", 'h'}};
    for (size_t i = 0; i < BASE_COUNT(perls); i++)
        if (base_same_name(perls[i].name, name, length)) return perls[i].perl;
    return 0;
}

/* Under (?i) a class has the other case of what is in it, a property alone has not. Of categories that is all of the
 * cased ones or nothing, but for iota: U+0345 is a mark, and its other forms are letters. */
static nib_status fold_categories(base_regex *r, uint32_t mask) {
    static const span iota[] = {{0x345, 0x345}, {0x399, 0x399}, {0x3b9, 0x3b9}, {0x1fbe, 0x1fbe}};
    const uint32_t cased = 1u << BASE_LU | 1u << BASE_LL | 1u << BASE_LT, mark = 1u << BASE_MN;
    if ((mask & cased) && (mask & cased) != cased) return base_regex_refuse(r, "(?i) with a class of one case");
    if (!(mask & cased) == !(mask & mark)) return NIB_OK;
    return add_ranges(r, iota, BASE_COUNT(iota), false);
}

/* \p{..}, of which r->p is behind the p. */
static nib_status add_property(base_regex *r, bool negated, bool in_class) {
    const char *name, *close = r->p < r->end && *r->p == '{' ? memchr(r->p, '}', (size_t)(r->end - r->p)) : NULL;
    if (!close) return base_regex_bad(r, "\\p without {..}");
    name = r->p + 1;
    if (name < close && *name == '^') negated = !negated, name++;
    const char perl = perl_of(name, (size_t)(close - name));
    if (perl) return r->p = close + 1, add_perl(r, (char)(negated ? perl - 32 : perl), in_class);
    base_property property;
    if (!base_property_find(name, (size_t)(close - name), &property))
        return base_error_set(r->err, NIB_UNSUPPORTED, "pattern: \\p{%.*s}",
                              (int)(close - name < 40 ? close - name : 40), name);
    r->p = close + 1;
    const bool folds = r->fold && in_class;
    if (property.ranges) {
        if (folds) return base_regex_refuse(r, "(?i) with a script in a class");
        return add_ranges(r, property.ranges, property.count, negated);
    }
    const uint32_t mask = negated ? ~property.mask : property.mask;
    if (folds) REGEX_TRY(fold_categories(r, mask));
    return add_categories(r, mask);
}

static int hex(char ch) {
    return ch >= '0' && ch <= '9' ? ch - '0' : (ch | 32) >= 'a' && (ch | 32) <= 'f' ? (ch | 32) - 'a' + 10 : -1;
}

/* The character that an escape stands for, the backslash taken. */
static nib_status escaped(base_regex *r, uint32_t *out) {
    if (r->p >= r->end) return base_regex_bad(r, "a backslash at the end");
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
            return base_regex_bad(r, "a bad \\x");
        return *out = u, NIB_OK;
    }
    if ((ch >= '0' && ch <= '9') || (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z'))
        return base_regex_bad(r, "an escape that is not known");
    r->p--;
    *out = base_regex_take(&r->p, r->end);
    return NIB_OK;
}

bool base_regex_is_escape(const base_regex *r, const char *letters) {
    return r->p + 1 < r->end && r->p[0] == '\\' && r->p[1] && strchr(letters, r->p[1]);
}

nib_status base_regex_class_escape(base_regex *r, bool in_class, bool *done) {
    const bool onig = r->syntax == BASE_REGEX_ONIG;
    *done = true;
    if (base_regex_is_escape(r, onig ? "dDwWsShH" : "dDwWsS")) return r->p += 2, add_perl(r, r->p[-1], in_class);
    if (onig && base_regex_is_escape(r, "pP")) return r->p += 2, add_property(r, r->p[-1] == 'P', in_class);
    *done = false;
    return NIB_OK;
}

/* ---- classes */

static int by_begin(const void *a, const void *b) {
    const span *p = a, *q = b;
    return (p->first > q->first) - (p->first < q->first);
}

static bool in_spans(const base_regex *r, const base_regex_tree *t, uint32_t u) {
    return base_in_ranges(r->spans + t->first, (size_t)t->count, u) != t->negated;
}

bool base_regex_in_class(const base_regex *r, const base_regex_tree *t, uint32_t u) {
    return u < 128 ? t->ascii[u / 32] >> u % 32 & 1 : in_spans(r, t, u);
}

nib_status base_regex_class_of(base_regex *r, int first, bool negated, int *out) {
    int kept = first;
    base_sort(r->spans + first, (size_t)(r->n_spans - first), sizeof *r->spans, by_begin);
    for (int i = first; i < r->n_spans; i++) {
        span s = r->spans[i];
        if (kept == first || s.first > r->spans[kept - 1].last + 1) r->spans[kept++] = s;
        else if (s.last > r->spans[kept - 1].last) r->spans[kept - 1].last = s.last;
    }
    r->n_spans = kept;
    base_regex_tree t = {.kind = REGEX_CLASS, .first = first, .count = kept - first, .negated = negated};
    for (uint32_t u = 0; u < 128; u++) t.ascii[u / 32] |= (uint32_t)in_spans(r, &t, u) << u % 32;
    return base_regex_node(r, t, out);
}

nib_status base_regex_word(base_regex *r, int *out) {
    const int begin = r->n_spans;
    if (!r->word) {
        REGEX_TRY(add_perl(r, 'w', false));
        REGEX_TRY(base_regex_class_of(r, begin, false, out));
        r->word = *out + 1;
    }
    return *out = r->word - 1, NIB_OK;
}

nib_status base_regex_class_point(base_regex *r, uint32_t *out) {
    if (r->p >= r->end) return base_regex_bad(r, "a class without end");
    if (*r->p != '\\') return *out = base_regex_take(&r->p, r->end), NIB_OK;
    r->p++;
    return escaped(r, out);
}

/* [:name:] and [:^name:] in a class, r->p at it; *done: it was one. */
static nib_status add_bracket(base_regex *r, bool *done) {
    /* All that categories give; "and" are points beside them. */
    static const struct {
        const char *name;
        uint32_t mask;
        span more;
    } brackets[] = {
        {"digit", 1u << BASE_ND, {1, 0}},
        {"cntrl", 1u << BASE_CC, {1, 0}},
        {"blank", 1u << BASE_ZS, {9, 9}},
        {"ascii", 0, {0, 127}},
        {"punct",
         1u << BASE_PC | 1u << BASE_PD | 1u << BASE_PS | 1u << BASE_PE | 1u << BASE_PI | 1u << BASE_PF | 1u << BASE_PO |
             1u << BASE_SM | 1u << BASE_SC | 1u << BASE_SK | 1u << BASE_SO,
         {1, 0}},
    };
    const char *name = r->p + 2, *close = name;
    *done = false;
    if (r->end - r->p < 4 || memcmp(r->p, "[:", 2) != 0) return NIB_OK;
    const bool negated = *name == '^';
    name += negated;
    for (close = name; close < r->end && *close >= 'a' && *close <= 'z';) close++;
    if (r->end - close < 2 || memcmp(close, ":]", 2) != 0) return NIB_OK;
    const size_t n = (size_t)(close - name);
    *done = true;
    const char perl = perl_of(name, n);
    if (perl) return r->p = close + 2, add_perl(r, (char)(negated ? perl - 32 : perl), true);
    for (size_t i = 0; i < BASE_COUNT(brackets) && !negated; i++) {
        if (!base_same_name(brackets[i].name, name, n)) continue;
        r->p = close + 2;
        REGEX_TRY(add_categories(r, brackets[i].mask));
        return base_regex_add_folded(r, brackets[i].more.first, brackets[i].more.last);
    }
    base_property property;
    if (!r->fold && base_property_find(name, n, &property) && property.ranges) {
        r->p = close + 2;
        return add_ranges(r, property.ranges, property.count, negated);
    }
    return base_regex_refuse(r, "a named class");
}

nib_status base_regex_parse_class(base_regex *r, int *out) {
    const int begin = r->n_spans;
    const bool onig = r->syntax == BASE_REGEX_ONIG;
    bool negated = r->p < r->end && *r->p == '^';
    r->p += negated;
    r->folded = 0;
    for (bool first = true;; first = false) {
        uint32_t lo, hi;
        bool done = false;
        if (r->p >= r->end) return base_regex_bad(r, "a class without end");
        if (*r->p == ']' && !first) break;
        if (onig) REGEX_TRY(add_bracket(r, &done));
        if (done) continue;
        if (*r->p == '[' && (onig || (r->p + 1 < r->end && r->p[1] == ':')))
            return base_regex_refuse(r, "named classes, or classes in classes");
        if (onig && r->p + 1 < r->end && r->p[0] == '&' && r->p[1] == '&')
            return base_regex_refuse(r, "intersections of classes");
        REGEX_TRY(base_regex_class_escape(r, true, &done));
        if (done) continue;
        REGEX_TRY(base_regex_class_point(r, &lo));
        hi = lo;
        if (r->p + 1 < r->end && *r->p == '-' && r->p[1] != ']') {
            r->p++;
            REGEX_TRY(base_regex_class_point(r, &hi));
            if (hi < lo) return base_regex_bad(r, "a range that ends before it begins");
        }
        REGEX_TRY(base_regex_add_folded(r, lo, hi));
    }
    r->p++;
    return base_regex_class_of(r, begin, negated, out);
}
