/* SPDX-License-Identifier: Apache-2.0
 *
 * In: the generated tables. Out: answers for one code point.
 */
#include "base_unicode.h"
#include <string.h>

base_category base_category_of(uint32_t cp) {
    size_t lo = 0, hi = base_category_count; /* the last run that begins at or before cp */
    while (hi - lo > 1) {
        size_t mid = (lo + hi) / 2;
        if ((base_category_run[mid] & 0xffffffu) <= cp) lo = mid;
        else hi = mid;
    }
    return (base_category)(base_category_run[lo] >> 24);
}

uint32_t base_category_mask(const char *name, size_t length) {
    static const char names[] = "CnLuLlLtLmLoMnMcMeNdNlNoPcPdPsPePiPfPoSmScSkSoZsZlZpCcCfCsCo";
    uint32_t mask = 0;
    if (length == 2 && memcmp(name, "LC", 2) == 0) return 1u << BASE_LU | 1u << BASE_LL | 1u << BASE_LT;
    for (unsigned i = 0; i < BASE_CATEGORIES && (length == 1 || length == 2); i++)
        if (memcmp(names + 2 * i, name, length) == 0) mask |= 1u << i;
    return mask;
}

bool base_in_ranges(const base_range *ranges, size_t count, uint32_t cp) {
    size_t lo = 0, hi = count;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (cp > ranges[mid].last) lo = mid + 1;
        else hi = mid;
    }
    return lo < count && cp >= ranges[lo].first;
}

bool base_is_space(uint32_t cp) {
    if (cp < 0x80) return cp == ' ' || (cp >= 9 && cp <= 13);
    return cp == 0x85 || cp == 0xa0 || cp == 0x1680 || (cp >= 0x2000 && cp <= 0x200a) || cp == 0x2028 || cp == 0x2029 ||
           cp == 0x202f || cp == 0x205f || cp == 0x3000;
}

bool base_is_word(uint32_t cp) { return base_in_ranges(base_word, base_word_count, cp); }
