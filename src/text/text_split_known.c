/* SPDX-License-Identifier: Apache-2.0
 *
 * In: a text, and one of the expressions by which byte-level tokenizers cut it. Out: where the next match ends. All of
 * them are the same list of alternatives with differences that the table says; each is tested to give what base_regex
 * gives for its expression:
 *
 *     's 't 're 've 'm 'll 'd                    alone or behind a word, of any case or not
 *     one character, letters                     a space, or any but a newline, a letter and a number
 *     (or, by case: capitals, small letters)     with one of the latter, else capitals alone
 *     numbers                                    all with a space before them, or up to so many
 *     a space, others, newlines                  what is no space, letter or number
 *     spaces up to the last newline
 *     spaces but the last one, where a character follows; spaces
 */
#include "text_internal.h"
#include <string.h>

/* Classes of a character, bits in the map. */
enum { LETTER = 1, NUMBER = 2, BLANK = 4, NEWLINE = 8, SLASH = 16, CAPITAL = 32, SMALL = 64 };

struct text_known {
    const char *regex;
    bool shortened_first;  /* 's and so on are words of their own */
    bool shortened_behind; /* they belong to the word before them */
    bool any_case;
    bool any_before;    /* before letters: any but a newline, a letter and a number; else a space */
    bool by_case;       /* capitals, then small letters */
    int most_numbers;   /* 0: all, with a space before them */
    uint16_t behind;    /* classes of characters that others take in behind them */
    bool newlines_last; /* spaces up to a newline are a match */
};

#define SHORTENED "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define CAPITALS "\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}"
#define SMALLS "\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}"
#define BEFORE "[^\\r\\n\\p{L}\\p{N}]?"
#define SPACES "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

static const text_known known[] = {
    {.regex = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
     .shortened_first = true},
    {.regex = SHORTENED "|" BEFORE "\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" SPACES,
     .shortened_first = true,
     .any_case = true,
     .any_before = true,
     .most_numbers = 1,
     .behind = NEWLINE,
     .newlines_last = true},
    {.regex = SHORTENED "|" BEFORE "\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" SPACES,
     .shortened_first = true,
     .any_case = true,
     .any_before = true,
     .most_numbers = 3,
     .behind = NEWLINE,
     .newlines_last = true},
    {.regex = BEFORE "[" CAPITALS "]*[" SMALLS "]+" SHORTENED "?|" BEFORE "[" CAPITALS "]+[" SMALLS "]*" SHORTENED
                     "?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|" SPACES,
     .shortened_behind = true,
     .any_case = true,
     .any_before = true,
     .by_case = true,
     .most_numbers = 3,
     .behind = NEWLINE | SLASH,
     .newlines_last = true},
};

const text_known *text_known_find(const char *regex, size_t length) {
    for (size_t i = 0; i < BASE_COUNT(known); i++)
        if (strlen(known[i].regex) == length && memcmp(known[i].regex, regex, length) == 0) return &known[i];
    return NULL;
}

static uint16_t classes_of(base_category c) {
    const uint32_t bit = 1u << c, marks = 1u << BASE_MN | 1u << BASE_MC | 1u << BASE_ME,
                   both = 1u << BASE_LM | 1u << BASE_LO | marks;
    uint16_t classes = 0;
    if (bit & base_category_mask("L", 1)) classes |= LETTER;
    if (bit & base_category_mask("N", 1)) classes |= NUMBER;
    if (bit & (1u << BASE_LU | 1u << BASE_LT | both)) classes |= CAPITAL;
    if (bit & (1u << BASE_LL | both)) classes |= SMALL;
    return classes;
}

bool text_known_classes(text_map *map) {
    bool ok = true;
    for (size_t i = 0; ok && i < base_category_count; i++) {
        uint32_t first = base_category_run[i] & 0xffffffu;
        uint32_t last = i + 1 < base_category_count ? (base_category_run[i + 1] & 0xffffffu) - 1 : BASE_LAST_POINT;
        uint16_t classes = classes_of((base_category)(base_category_run[i] >> 24));
        if (classes) ok = text_map_set(map, first, last, classes);
    }
    for (uint32_t cp = 0; ok && cp <= 0x3000; cp++)
        if (base_is_space(cp))
            ok = text_map_set(map, cp, cp, (uint16_t)(cp == '\n' || cp == '\r' ? BLANK | NEWLINE : BLANK));
    return ok && text_map_set(map, '/', '/', SLASH);
}

typedef struct scanner {
    const text_map *map;
    const uint8_t *s;
    size_t n;
} scanner;

/* The classes of the character at `at`, and where the next one begins; at the end: none. */
static inline uint16_t class_at(const scanner *c, size_t at, size_t *next) {
    uint32_t cp;
    if (at >= c->n) return *next = at, 0;
    if (c->s[at] < 0x80) return *next = at + 1, text_map_get(c->map, c->s[at]);
    *next = at + text_utf8(c->s + at, c->n - at, &cp);
    return text_map_get(c->map, cp);
}

/* Where a run of characters with one of these classes ends. */
static inline size_t run(const scanner *c, size_t at, uint16_t classes) {
    size_t next;
    while (class_at(c, at, &next) & classes) at = next;
    return at;
}

/* The end of 's and so on at `at`, or `at`. */
static size_t shortened(const scanner *c, size_t at, bool any_case) {
    const uint8_t *s = c->s + at;
    const uint8_t fold = any_case ? 0x20 : 0;
    if (c->n - at < 2 || s[0] != '\'') return at;
    const uint8_t a = s[1] | fold, b = c->n - at > 2 ? s[2] | fold : 0;
    if (a == 's' || a == 't' || a == 'm' || a == 'd') return at + 2;
    if ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l')) return at + 3;
    return any_case && c->n - at > 2 && s[1] == 0xc5 && s[2] == 0xbf ? at + 3 : at; /* U+017F is an s */
}

/* A word by case that begins at `at`: capitals and then at least one small letter. What is both goes to the capitals as
 * far as a small one is left. Or `at`. */
static size_t small_word(const scanner *c, size_t at) {
    size_t next, last = at; /* behind the last one of the capitals that is small as well */
    for (uint16_t k; (k = class_at(c, at, &next)) & CAPITAL; at = next)
        if (k & SMALL) last = next;
    if (class_at(c, at, &next) & SMALL) return run(c, next, SMALL);
    return last;
}

static size_t cased_word(const text_known *k, const scanner *c, size_t at) {
    size_t behind, end = at;
    const uint16_t first = class_at(c, at, &behind);
    const bool before = !(first & (LETTER | NUMBER | NEWLINE));
    /* With a character before it or without, first with small letters and then of capitals alone. */
    if (before && small_word(c, behind) > behind) end = small_word(c, behind);
    else if (small_word(c, at) > at) end = small_word(c, at);
    else if (before && run(c, behind, CAPITAL) > behind) end = run(c, behind, CAPITAL);
    else if (first & CAPITAL) end = run(c, at, CAPITAL);
    return end > at ? shortened(c, end, k->any_case) : at;
}

/* Letters, with what may stand before them. Or `at`. */
static size_t word(const text_known *k, const scanner *c, size_t at) {
    size_t next, more;
    const uint16_t first = class_at(c, at, &next);
    if (k->by_case) return cased_word(k, c, at);
    if (first & LETTER) return run(c, next, LETTER);
    const bool before = k->any_before ? !(first & (NUMBER | NEWLINE)) : c->s[at] == ' ';
    if (before && class_at(c, next, &more) & LETTER) return run(c, more, LETTER);
    return at;
}

static size_t numbers(const text_known *k, const scanner *c, size_t at) {
    size_t next;
    if (!k->most_numbers) {
        const size_t digits = at + (c->s[at] == ' '), end = run(c, digits, NUMBER);
        return end > digits ? end : at;
    }
    for (int i = 0; i < k->most_numbers && class_at(c, at, &next) & NUMBER; i++) at = next;
    return at;
}

/* What is no space, letter or number, with a space before and what it takes in behind. Or `at`. */
static size_t others(const text_known *k, const scanner *c, size_t at) {
    size_t begin = at + (c->s[at] == ' '), end = begin, next;
    while (end < c->n && !(class_at(c, end, &next) & (BLANK | LETTER | NUMBER))) end = next;
    return end > begin ? run(c, end, k->behind) : at;
}

static size_t spaces(const text_known *k, const scanner *c, size_t at) {
    size_t next, end = at, before = at, newline = 0; /* behind all, behind all but the last, behind the last newline */
    for (uint16_t class; (class = class_at(c, end, &next)) & BLANK; end = next) {
        before = end;
        if (class & NEWLINE) newline = next;
    }
    if (k->newlines_last && newline) return newline;
    return end < c->n && before > at ? before : end;
}

size_t text_known_next(const text_known *k, const text_map *map, const uint8_t *s, size_t n, size_t at) {
    const scanner c = {map, s, n};
    size_t end = k->shortened_first ? shortened(&c, at, k->any_case) : at;
    if (end == at) end = word(k, &c, at);
    if (end == at) end = numbers(k, &c, at);
    if (end == at) end = others(k, &c, at);
    if (end == at) end = spaces(k, &c, at);
    if (end == at) class_at(&c, at, &end); /* every character is of one of the kinds: never so */
    return end;
}
