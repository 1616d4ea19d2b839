/* SPDX-License-Identifier: Apache-2.0
 *
 * In: the generated range tables. Out: maps that answer in two loads, and the few questions that are asked rarely enough
 * for a binary search.
 */
#include "text_unicode.h"
#include <string.h>

static bool add_block(text_map *m, uint16_t *block) {
    if (m->blocks > UINT16_MAX || !base_grow(m->heap, (void **)&m->cells, &m->cell_cap, (m->blocks + 1) * TEXT_BLOCK, sizeof *m->cells))
        return false;
    memset(m->cells + m->blocks * TEXT_BLOCK, 0, TEXT_BLOCK * sizeof *m->cells);
    *block = (uint16_t)m->blocks++;
    return true;
}

bool text_map_init(text_map *m, base_heap *heap) {
    uint16_t block;
    memset(m, 0, sizeof *m);
    m->heap = heap;
    return add_block(m, &block);
}

void text_map_free(text_map *m) {
    if (m->heap) base_free(m->heap, m->cells);
    m->cells = NULL;
}

static bool is_shared(const text_map *m, uint16_t block) {
    if (block == 0) return true;
    for (size_t i = 0; i < m->filled_count; i++)
        if (m->filled[i].block == block) return true;
    return false;
}

/* A block that `value` fills, shared by all that ask for it; the first four values have one. */
static bool filled_block(text_map *m, uint16_t value, uint16_t *block, bool *done) {
    for (size_t i = 0; i < m->filled_count; i++)
        if (m->filled[i].value == value) return *block = m->filled[i].block, *done = true;
    if (m->filled_count == BASE_COUNT(m->filled)) return *done = false, true;
    if (!add_block(m, block)) return false;
    for (size_t i = 0; i < TEXT_BLOCK; i++) m->cells[*block * (size_t)TEXT_BLOCK + i] = value;
    m->filled[m->filled_count].value = value;
    m->filled[m->filled_count++].block = *block;
    return *done = true;
}

bool text_map_set(text_map *m, uint32_t first, uint32_t last, uint16_t value) {
    for (uint32_t cp = first; cp <= last;) {
        uint16_t *block = &m->index[cp / TEXT_BLOCK];
        uint32_t end = (cp / TEXT_BLOCK + 1) * TEXT_BLOCK;
        bool done = false;
        if (cp % TEXT_BLOCK == 0 && end <= last + 1 && !filled_block(m, value, block, &done)) return false;
        if (!done) {
            uint16_t fresh;
            if (is_shared(m, *block)) {
                /* Growing may move the cells: the source is named by its number until then. */
                size_t from = *block;
                if (!add_block(m, &fresh)) return false;
                memcpy(m->cells + fresh * (size_t)TEXT_BLOCK, m->cells + from * TEXT_BLOCK, TEXT_BLOCK * sizeof *m->cells);
                *block = fresh;
            }
            uint16_t *cells = m->cells + *block * (size_t)TEXT_BLOCK;
            for (uint32_t c = cp; c < end && c <= last; c++) cells[c % TEXT_BLOCK] = value;
        }
        cp = end;
    }
    return true;
}

uint32_t text_combining_class(uint32_t cp) {
    size_t lo = 0, hi = text_class_count;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (cp > text_class[mid].last) lo = mid + 1;
        else hi = mid;
    }
    return lo < text_class_count && cp >= text_class[lo].first ? text_class[lo].value : 0;
}

/* The place of cp among sorted points, or `count`. */
static size_t find_point(const uint32_t *points, size_t count, uint32_t cp) {
    size_t lo = 0, hi = count;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (cp > points[mid]) lo = mid + 1;
        else hi = mid;
    }
    return lo < count && points[lo] == cp ? lo : count;
}

size_t text_decompose(uint32_t cp, const uint32_t **out, uint32_t *self) {
    size_t at = find_point(text_nfd_point, text_nfd_count, cp);
    *self = cp;
    *out = self;
    if (at == text_nfd_count) return 1;
    *out = text_nfd_pool + text_nfd_at[at];
    return (size_t)(text_nfd_at[at + 1] - text_nfd_at[at]);
}

size_t text_decompose_more(uint32_t cp, const uint32_t **out, uint32_t *self) {
    size_t at = find_point(text_nfkd_point, text_nfkd_count, cp);
    if (at == text_nfkd_count) return text_decompose(cp, out, self);
    *out = text_nfkd_pool + text_nfkd_at[at];
    return (size_t)(text_nfkd_at[at + 1] - text_nfkd_at[at]);
}

uint32_t text_compose(uint32_t first, uint32_t second) {
    if (first >= 0x1100 && first < 0x1113 && second >= 0x1161 && second < 0x1176)
        return 0xac00 + ((first - 0x1100) * 21 + (second - 0x1161)) * 28;
    if (first >= 0xac00 && first < 0xd7a4 && (first - 0xac00) % 28 == 0 && second > 0x11a7 && second < 0x11c3)
        return first + (second - 0x11a7);
    size_t lo = 0, hi = text_pairs_count;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        const text_pair *p = &text_pairs[mid];
        if (p->first < first || (p->first == first && p->second < second)) lo = mid + 1;
        else hi = mid;
    }
    const text_pair *p = &text_pairs[lo];
    return lo < text_pairs_count && p->first == first && p->second == second ? p->composed : 0;
}

uint32_t text_to_lower(uint32_t cp) {
    if (cp < 0x80) return cp >= 'A' && cp <= 'Z' ? cp + 32 : cp;
    if (cp == 0x130) return 'i';
    size_t lo = 0, hi = text_lower_count;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (cp > text_lower[mid].last) lo = mid + 1;
        else hi = mid;
    }
    if (lo == text_lower_count || cp < text_lower[lo].first || (cp - text_lower[lo].first) % text_lower[lo].step) return cp;
    return (uint32_t)((int32_t)cp + text_lower[lo].distance);
}

/* Bytes of the longest prefix that could still have become a character, at least 1 (Unicode 3.9, table 3-7). */
size_t text_utf8_broken(const uint8_t *p, size_t n) {
    uint8_t low = 0x80, high = 0xbf;
    size_t more;
    if (p[0] >= 0xc2 && p[0] <= 0xdf) more = 1;
    else if (p[0] >= 0xe0 && p[0] <= 0xef) more = 2;
    else if (p[0] >= 0xf0 && p[0] <= 0xf4) more = 3;
    else return 1;
    if (p[0] == 0xe0) low = 0xa0;
    if (p[0] == 0xed) high = 0x9f;
    if (p[0] == 0xf0) low = 0x90;
    if (p[0] == 0xf4) high = 0x8f;
    size_t k = 1;
    for (; k <= more && k < n && p[k] >= low && p[k] <= high; k++) low = 0x80, high = 0xbf;
    return k;
}
