/* SPDX-License-Identifier: Apache-2.0
 *
 * SHA-1 and SHA-256 of bytes that come in pieces (FIPS 180-4): what git and its large files name contents by. Not for
 * secrets: SHA-1 is broken for who may choose both texts, and names files here only because git's hashes are that.
 */
#ifndef BASE_SHA_H
#define BASE_SHA_H

#include <stddef.h>
#include <stdint.h>

typedef enum base_sha_kind { BASE_SHA1, BASE_SHA256 } base_sha_kind;

typedef struct base_sha {
    base_sha_kind kind;
    uint32_t state[8]; /* SHA-1: the first five */
    uint64_t count;    /* bytes so far */
    uint8_t rest[64];  /* count % 64 bytes that do not fill a block yet */
} base_sha;

#define BASE_SHA_HEX 65 /* the longest digest as lower-case hexadecimal, and its NUL */

void base_sha_init(base_sha *s, base_sha_kind kind);
void base_sha_add(base_sha *s, const void *bytes, size_t n);
/* The digest of what was added: 40 or 64 digits. More may be added afterwards. */
void base_sha_hex(const base_sha *s, char out[BASE_SHA_HEX]);

#endif
