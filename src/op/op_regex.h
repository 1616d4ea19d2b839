/* SPDX-License-Identifier: Apache-2.0
 *
 * Regular expressions, as much of RE2's syntax (https://github.com/google/re2/wiki/Syntax) as a full match of one string
 * needs: literals, . [classes] with ranges, \d \w \s \b and their opposites, groups (captured or not), |, * + ? {m,n} with or
 * without `?` behind, ^ $ \A \z, \x{10FFFF}, (?i) (?s) at the beginning. Text is UTF-8. Matching walks all states at once: no input
 * makes it slower than length of text x size of program (a class is found by halving its ranges), and each piece of text asks op_spend.
 */
#ifndef OP_REGEX_H
#define OP_REGEX_H

#include "op_local.h"

typedef struct op_regex op_regex;

/* In the eval's scratch. BAD_MODEL with the place in the pattern, UNSUPPORTED, LIMIT (counted repetitions that grow too large). */
nib_status op_regex_make(op_eval *c, graph_string pattern, op_regex **out);
nib_status op_regex_full_match(op_regex *r, graph_string text, bool *out);

#endif
