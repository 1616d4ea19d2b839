/* SPDX-License-Identifier: Apache-2.0
 *
 * A set of byte strings with a number each, as a double array: the walk from one byte to the next is one load.
 *
 *     units[base ^ byte].link = base of the child << 9 | byte        (label 256: the unit is free)
 *
 * No two nodes have the same base and none has base 0, so the label alone says whether a unit is a child of the node
 * that was left, and the base 0 of a leaf leads nowhere. The array is a multiple of 256 long: base ^ byte is in it.
 */
#ifndef TEXT_TRIE_H
#define TEXT_TRIE_H

#include "base/base_mem.h"

#define TEXT_TRIE_ROOT 256u
#define TEXT_TRIE_KEY_MAX 1024u /* bytes of a key: bounds what one position of a text can cost */

typedef struct text_unit {
    int32_t value; /* of the key that ends here, or -1 */
    uint32_t link;
} text_unit;

typedef struct text_trie {
    base_heap *heap;
    text_unit *units;
    size_t count; /* of units */
} text_trie;

typedef struct text_key {
    const char *bytes;
    uint32_t length;
    int32_t value; /* >= 0 */
} text_key;

/* Sorts the keys (empty ones are left out). Of equal keys the smallest value stays, and *twice (may be NULL) points at one
 * of them. BAD_TOKENIZER is given for nothing here; LIMIT for a key longer than TEXT_TRIE_KEY_MAX or too many nodes. */
nib_status text_trie_build(base_heap *heap, text_key *keys, size_t count, text_trie *out, const text_key **twice, nib_error *err);
void text_trie_free(text_trie *t);

/* From the node with `*base` along `byte`: the child's base and value, or false. */
static inline bool text_trie_step(const text_trie *t, uint32_t *base, uint8_t byte, int32_t *value) {
    text_unit u = t->units[*base ^ byte];
    if ((u.link & 511u) != byte) return false;
    *base = u.link >> 9;
    *value = u.value;
    return true;
}

/* The longest key at s[0..n): its length, 0 if there is none. */
size_t text_trie_longest(const text_trie *t, const uint8_t *s, size_t n, int32_t *value);
/* The value of the whole of s[0..n), or -1. */
int32_t text_trie_find(const text_trie *t, const char *s, size_t n);
/* The base of the node that s[0..n) leads to; 0 (from which nothing goes on) if there is none. */
uint32_t text_trie_node(const text_trie *t, const char *s, size_t n);

#endif
