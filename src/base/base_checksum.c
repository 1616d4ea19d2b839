/* SPDX-License-Identifier: Apache-2.0
 *
 * In: bytes. Out: their checksum. Four lanes take 8 bytes each in turn (little endian), so that multiplications overlap; the end is
 * padded with zeros, and the length goes in last.
 */
#include "base_checksum.h"
#include <string.h>

#define FIRST 0x9e3779b97f4a7c15u
#define SECOND 0xd6e8feb86659fd93u

static uint64_t word_at(const uint8_t *p) {
    uint64_t w = 0;
    for (int i = 0; i < 8; i++) w |= (uint64_t)p[i] << 8 * i;
    return w;
}

static uint64_t mix(uint64_t h, uint64_t w) {
    h = (h ^ w) * FIRST;
    return h << 31 | h >> 33;
}

static void add_block(base_checksum *c, const uint8_t *p) {
    for (int i = 0; i < 4; i++) c->lanes[i] = mix(c->lanes[i], word_at(p + 8 * i));
}

void base_checksum_init(base_checksum *c) {
    memset(c, 0, sizeof *c);
    for (int i = 0; i < 4; i++) c->lanes[i] = SECOND * (uint64_t)(i + 1);
}

void base_checksum_add(base_checksum *c, const void *bytes, size_t n) {
    const uint8_t *p = bytes;
    size_t have = (size_t)(c->count % sizeof c->rest), room = sizeof c->rest - have;
    if (!n) return;
    c->count += n;
    if (have) {
        size_t take = n < room ? n : room;
        memcpy(c->rest + have, p, take);
        if (take < room) return;
        add_block(c, c->rest);
        p += take;
        n -= take;
    }
    for (; n >= sizeof c->rest; p += sizeof c->rest, n -= sizeof c->rest) add_block(c, p);
    memcpy(c->rest, p, n);
}

uint64_t base_checksum_value(const base_checksum *c) {
    base_checksum end = *c;
    size_t have = (size_t)(c->count % sizeof c->rest);
    memset(end.rest + have, 0, sizeof end.rest - have);
    if (have) add_block(&end, end.rest);
    uint64_t h = end.count;
    for (int i = 0; i < 4; i++) h = mix(h, end.lanes[i]);
    h ^= h >> 32;
    h *= SECOND;
    return h ^ h >> 29;
}

uint64_t base_checksum_of(const void *bytes, size_t n) {
    base_checksum c;
    base_checksum_init(&c);
    base_checksum_add(&c, bytes, n);
    return base_checksum_value(&c);
}
