/* SPDX-License-Identifier: Apache-2.0
 *
 * In: bytes. Out: their SHA-1 or SHA-256, as FIPS 180-4 has them (names of variables and constants are the standard's).
 */
#include "base_sha.h"
#include <stdio.h>
#include <string.h>

#define BLOCK 64

static uint32_t left(uint32_t x, int n) { return x << n | x >> (32 - n); }
static uint32_t right(uint32_t x, int n) { return x >> n | x << (32 - n); }

static uint32_t word_at(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* 6.1.2 */
static void sha1_block(uint32_t h[5], const uint8_t *p) {
    uint32_t w[80], a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
    for (int t = 0; t < 80; t++)
        w[t] = t < 16 ? word_at(p + 4 * t) : left(w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16], 1);
    for (int t = 0; t < 80; t++) {
        const uint32_t f = t < 20 ? (b & c) | (~b & d) : t < 40 || t >= 60 ? b ^ c ^ d : (b & c) | (b & d) | (c & d);
        const uint32_t k = t < 20 ? 0x5a827999u : t < 40 ? 0x6ed9eba1u : t < 60 ? 0x8f1bbcdcu : 0xca62c1d6u;
        const uint32_t next = left(a, 5) + f + e + k + w[t];
        e = d, d = c, c = left(b, 30), b = a, a = next;
    }
    h[0] += a, h[1] += b, h[2] += c, h[3] += d, h[4] += e;
}

/* 4.2.2: the first 32 bits of the fractional parts of the cube roots of the first 64 primes. */
static const uint32_t k256[64] = {
    0x428a2f98u, 0x71374491u, 0xb5c0fbcfu, 0xe9b5dba5u, 0x3956c25bu, 0x59f111f1u, 0x923f82a4u, 0xab1c5ed5u,
    0xd807aa98u, 0x12835b01u, 0x243185beu, 0x550c7dc3u, 0x72be5d74u, 0x80deb1feu, 0x9bdc06a7u, 0xc19bf174u,
    0xe49b69c1u, 0xefbe4786u, 0x0fc19dc6u, 0x240ca1ccu, 0x2de92c6fu, 0x4a7484aau, 0x5cb0a9dcu, 0x76f988dau,
    0x983e5152u, 0xa831c66du, 0xb00327c8u, 0xbf597fc7u, 0xc6e00bf3u, 0xd5a79147u, 0x06ca6351u, 0x14292967u,
    0x27b70a85u, 0x2e1b2138u, 0x4d2c6dfcu, 0x53380d13u, 0x650a7354u, 0x766a0abbu, 0x81c2c92eu, 0x92722c85u,
    0xa2bfe8a1u, 0xa81a664bu, 0xc24b8b70u, 0xc76c51a3u, 0xd192e819u, 0xd6990624u, 0xf40e3585u, 0x106aa070u,
    0x19a4c116u, 0x1e376c08u, 0x2748774cu, 0x34b0bcb5u, 0x391c0cb3u, 0x4ed8aa4au, 0x5b9cca4fu, 0x682e6ff3u,
    0x748f82eeu, 0x78a5636fu, 0x84c87814u, 0x8cc70208u, 0x90befffau, 0xa4506cebu, 0xbef9a3f7u, 0xc67178f2u,
};

/* 6.2.2 */
static void sha256_block(uint32_t state[8], const uint8_t *p) {
    uint32_t w[64], a = state[0], b = state[1], c = state[2], d = state[3], e = state[4], f = state[5], g = state[6],
                    h = state[7];
    for (int t = 0; t < 16; t++) w[t] = word_at(p + 4 * t);
    for (int t = 16; t < 64; t++) {
        const uint32_t x = w[t - 15], y = w[t - 2];
        w[t] = (right(y, 17) ^ right(y, 19) ^ y >> 10) + w[t - 7] + (right(x, 7) ^ right(x, 18) ^ x >> 3) + w[t - 16];
    }
    for (int t = 0; t < 64; t++) {
        const uint32_t t1 = h + (right(e, 6) ^ right(e, 11) ^ right(e, 25)) + (g ^ (e & (f ^ g))) + k256[t] + w[t];
        const uint32_t t2 = (right(a, 2) ^ right(a, 13) ^ right(a, 22)) + ((a & b) | (c & (a | b)));
        h = g, g = f, f = e, e = d + t1, d = c, c = b, b = a, a = t1 + t2;
    }
    state[0] += a, state[1] += b, state[2] += c, state[3] += d, state[4] += e, state[5] += f, state[6] += g,
        state[7] += h;
}

static void add_block(base_sha *s, const uint8_t *p) {
    if (s->kind == BASE_SHA1) sha1_block(s->state, p);
    else sha256_block(s->state, p);
}

void base_sha_init(base_sha *s, base_sha_kind kind) {
    static const uint32_t begin[2][8] = {
        [BASE_SHA1] = {0x67452301u, 0xefcdab89u, 0x98badcfeu, 0x10325476u, 0xc3d2e1f0u},
        [BASE_SHA256] = {0x6a09e667u, 0xbb67ae85u, 0x3c6ef372u, 0xa54ff53au, 0x510e527fu, 0x9b05688cu, 0x1f83d9abu,
                         0x5be0cd19u},
    };
    memset(s, 0, sizeof *s);
    s->kind = kind;
    memcpy(s->state, begin[kind], sizeof s->state);
}

void base_sha_add(base_sha *s, const void *bytes, size_t n) {
    const uint8_t *p = bytes;
    const size_t have = (size_t)(s->count % BLOCK), room = BLOCK - have;
    if (!n) return;
    s->count += n;
    if (have) {
        const size_t take = n < room ? n : room;
        memcpy(s->rest + have, p, take);
        if (take < room) return;
        add_block(s, s->rest);
        p += take;
        n -= take;
    }
    for (; n >= BLOCK; p += BLOCK, n -= BLOCK) add_block(s, p);
    memcpy(s->rest, p, n);
}

/* 5.1.1: a bit of 1, zeros, and the length in bits. */
void base_sha_hex(const base_sha *s, char out[BASE_SHA_HEX]) {
    base_sha end = *s;
    static const uint8_t one = 0x80, zero = 0;
    uint8_t bits[8];
    for (int i = 0; i < 8; i++) bits[i] = (uint8_t)(s->count * 8 >> (56 - 8 * i));
    base_sha_add(&end, &one, 1);
    while (end.count % BLOCK != BLOCK - 8) base_sha_add(&end, &zero, 1);
    base_sha_add(&end, bits, 8);
    for (int i = 0; i < (s->kind == BASE_SHA1 ? 5 : 8); i++) sprintf(out + 8 * i, "%08x", (unsigned)end.state[i]);
}
