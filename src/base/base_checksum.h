/* SPDX-License-Identifier: Apache-2.0
 *
 * A 64-bit checksum of bytes that come in pieces: finds what a disk or a copy broke, at the speed of memory. No defence against
 * somebody who wants two files to have the same.
 */
#ifndef BASE_CHECKSUM_H
#define BASE_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

typedef struct base_checksum {
    uint64_t lanes[4];
    uint64_t count;
    uint8_t rest[32]; /* count % 32 bytes that do not fill a block yet */
} base_checksum;

void base_checksum_init(base_checksum *c);
void base_checksum_add(base_checksum *c, const void *bytes, size_t n);
uint64_t base_checksum_value(const base_checksum *c); /* more may be added afterwards */
uint64_t base_checksum_of(const void *bytes, size_t n);

#endif
