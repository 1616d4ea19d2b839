/* SPDX-License-Identifier: Apache-2.0
 *
 * In: the generated tables. Out: answers for one code point.
 */
#include "base_unicode.h"
#include "base_unicode_scripts.h"
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

/* The long names of categories, which are in no order. */
static const struct {
    const char *name, *category;
} long_names[] = {
    {"unassigned", "Cn"},
    {"uppercaseletter", "Lu"},
    {"lowercaseletter", "Ll"},
    {"titlecaseletter", "Lt"},
    {"modifierletter", "Lm"},
    {"otherletter", "Lo"},
    {"nonspacingmark", "Mn"},
    {"spacingmark", "Mc"},
    {"enclosingmark", "Me"},
    {"decimalnumber", "Nd"},
    {"digit", "Nd"},
    {"letternumber", "Nl"},
    {"othernumber", "No"},
    {"connectorpunctuation", "Pc"},
    {"dashpunctuation", "Pd"},
    {"openpunctuation", "Ps"},
    {"closepunctuation", "Pe"},
    {"initialpunctuation", "Pi"},
    {"finalpunctuation", "Pf"},
    {"otherpunctuation", "Po"},
    {"mathsymbol", "Sm"},
    {"currencysymbol", "Sc"},
    {"modifiersymbol", "Sk"},
    {"othersymbol", "So"},
    {"spaceseparator", "Zs"},
    {"lineseparator", "Zl"},
    {"paragraphseparator", "Zp"},
    {"control", "Cc"},
    {"cntrl", "Cc"},
    {"format", "Cf"},
    {"surrogate", "Cs"},
    {"privateuse", "Co"},
    {"letter", "L"},
    {"mark", "M"},
    {"combiningmark", "M"},
    {"number", "N"},
    {"punctuation", "P"},
    {"punct", "P"},
    {"symbol", "S"},
    {"separator", "Z"},
    {"other", "C"},
    {"casedletter", "LC"},
};

bool base_same_name(const char *plain, const char *name, size_t length) {
    for (size_t i = 0; i < length; i++) {
        const char ch = name[i];
        if (ch == ' ' || ch == '_' || ch == '-') continue;
        if (!*plain || *plain++ != (ch >= 'A' && ch <= 'Z' ? (char)(ch + 32) : ch)) return false;
    }
    return !*plain;
}

bool base_property_find(const char *name, size_t length, base_property *out) {
    char category[3] = {0};
    *out = (base_property){0};
    for (size_t i = 0; i < sizeof long_names / sizeof long_names[0]; i++)
        if (base_same_name(long_names[i].name, name, length))
            memcpy(category, long_names[i].category, strlen(long_names[i].category));
    if (!category[0] && length && length <= 2) {
        const bool cased = base_same_name("lc", name, length);
        category[0] = (char)(name[0] & ~32);
        if (length == 2) category[1] = cased ? 'C' : (char)(name[1] | 32);
    }
    out->mask = base_category_mask(category, strlen(category));
    for (size_t i = 0; i < base_script_count && !out->mask; i++) {
        if (!base_same_name(base_scripts[i].name, name, length)) continue;
        out->ranges = base_script_ranges + base_scripts[i].first;
        out->count = base_scripts[i].count;
    }
    return out->mask || out->ranges;
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
