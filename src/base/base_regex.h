/* SPDX-License-Identifier: Apache-2.0
 *
 * Regular expressions over UTF-8, in two dialects:
 *
 *     BASE_REGEX_RE2   as much of RE2's syntax (https://github.com/google/re2/wiki/Syntax) as ONNX's RegexFullMatch
 * needs: literals, . [classes] with ranges, \d \w \s \b and their opposites (of ASCII), groups (captured or not), |, *
 * + ? {m,n} with or without `?` behind, ^ $ \A \z (ends of the text), \x{10FFFF}, (?i) (?s) at the beginning
 *     BASE_REGEX_ONIG  as much of Oniguruma's as tokenizer.json needs: the same, but \d \w \s \b are Unicode's (and \w
 * in a class is not quite \w alone, as there), ^ $ are ends of lines, and there are \h \N \O, [:names:] in classes,
 * \p{..} \P{..} \p{^..} of categories and scripts, (?i:..), \uFFFF, {,n}, looks (?=x) (?!x) (?<=x) (?<!x) where x is
 * characters of fixed number or several such with | between, and x*+ x++ x?+ (?>x) where what gives nothing back is one
 * class
 *
 * Of alternatives the first that leads to a match is preferred, of repetitions more (with `?` behind: fewer), as
 * backtracking does. Matching walks all states at once, and takes no more than length of text x size of program,
 * whatever the text is; the searches of Oniguruma's dialect take one step a character where the pattern has few states.
 * (?i) folds ASCII letters, in Oniguruma's dialect with their two look-alikes (U+017F, U+212A); another letter under it
 * is refused there, and so is what stands for a ligature (ss, st, ff, fi, fl), a category of one case in a class, and a
 * repetition of what would rather match nothing, which ends there when it did.
 *
 * A pattern is immutable once made and may be used by any thread; what matching writes is the caller's scratch.
 */
#ifndef BASE_REGEX_H
#define BASE_REGEX_H

#include "base_error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct base_regex base_regex;

typedef enum base_regex_syntax { BASE_REGEX_RE2, BASE_REGEX_ONIG } base_regex_syntax;

/* What a caller lends. A status that is not NIB_OK is passed on as it is, without a message. */
typedef struct base_regex_host {
    void *user;
    /* Memory that outlives the pattern; nothing is given back one by one. Needed to make a pattern. */
    nib_status (*take)(void *user, size_t bytes, void **out);
    /* Asked before so many steps are done; may be NULL. */
    nib_status (*spend)(void *user, int64_t steps);
} base_regex_host;

/* BAD_MODEL with the place in the pattern; UNSUPPORTED, which names what is not taken; LIMIT (counted repetitions or
 * groups that grow too large). The pattern's bytes are not needed afterwards. */
nib_status base_regex_make(const base_regex_host *host, base_regex_syntax syntax, const char *pattern, size_t length,
                           base_regex **out, nib_error *err);
size_t base_regex_size(const base_regex *r); /* of the program, in places */
/* Bytes of scratch, aligned to 8 and zero before it is used first; afterwards it may go from one pattern to another
 * that needs no more. */
size_t base_regex_scratch(const base_regex *r);
/* Whether s[0..n) as a whole matches. */
nib_status base_regex_full_match(const base_regex *r, void *scratch, const base_regex_host *host, const char *s,
                                 size_t n, bool *out);
/* The leftmost match that begins at `from` or later, in s[0..n); it may be empty. Assertions see what lies before
 * `from`. */
nib_status base_regex_find(const base_regex *r, void *scratch, const base_regex_host *host, const char *s, size_t n,
                           size_t from, bool *found, size_t *begin, size_t *end);

#endif
