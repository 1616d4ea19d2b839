/* SPDX-License-Identifier: Apache-2.0
 *
 * Code points: a two-stage map from each to 16 bits, and UTF-8 that may be broken.
 */
#ifndef TEXT_UNICODE_H
#define TEXT_UNICODE_H

#include "base/base_mem.h"
#include "base/base_str.h"
#include "text_unicode_tables.h"

#define TEXT_POINTS 0x110000u
#define TEXT_BLOCK 128u

/* cells[index[cp / 128] * 128 + cp % 128]. Block 0 is all zeros; blocks that one value fills are shared. */
typedef struct text_map {
    base_heap *heap;
    uint16_t *cells;
    size_t blocks, cell_cap;
    struct {
        uint16_t value, block;
    } filled[4];
    size_t filled_count;
    uint16_t index[TEXT_POINTS / TEXT_BLOCK];
} text_map;

bool text_map_init(text_map *m, base_heap *heap); /* false: out of memory, as in text_map_set */
void text_map_free(text_map *m);
bool text_map_set(text_map *m, uint32_t first, uint32_t last, uint16_t value);

static inline uint16_t text_map_get(const text_map *m, uint32_t cp) {
    return m->cells[m->index[cp / TEXT_BLOCK] * (size_t)TEXT_BLOCK + cp % TEXT_BLOCK];
}

uint32_t text_combining_class(uint32_t cp);
/* The canonical decomposition of cp (cp itself if it has none), not for Hangul syllables; returns its length. */
size_t text_decompose(uint32_t cp, const uint32_t **out, uint32_t *self);
/* The same with the compatibility decomposition. */
size_t text_decompose_more(uint32_t cp, const uint32_t **out, uint32_t *self);
/* What the two become together under NFC, Hangul included; 0: they stay apart. */
uint32_t text_compose(uint32_t first, uint32_t second);
uint32_t text_to_lower(uint32_t cp); /* U+0130 gives 'i'; the caller adds U+0307 */

/* The character at p, n > 0: its bytes are returned. Where the bytes are not UTF-8, *cp is U+FFFD and the bytes are those
 * of the maximal ill-formed part. */
size_t text_utf8_broken(const uint8_t *p, size_t n);
static inline size_t text_utf8(const uint8_t *p, size_t n, uint32_t *cp) {
    int k = base_utf8_decode((const char *)p, n, cp);
    if (k > 0) return (size_t)k;
    *cp = 0xfffd;
    return text_utf8_broken(p, n);
}

#endif
