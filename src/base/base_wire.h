/* SPDX-License-Identifier: Apache-2.0
 *
 * Protobuf's wire format: bytes -> fields, one at a time, nothing copied.
 *
 *     field = key (varint: number << 3 | type), then
 *             type 0 varint | 1 eight bytes | 2 varint length + bytes | 3 .. 4 group, skipped | 5 four bytes
 *
 * A reader never looks beyond the bytes that it was given, and a field's bytes never reach beyond the reader's end.
 */
#ifndef BASE_WIRE_H
#define BASE_WIRE_H

#include "base/base_error.h"
#include <stdbool.h>

#define BASE_WIRE_NESTING 100 /* of groups */

typedef enum base_wire_type { BASE_WIRE_VARINT = 0, BASE_WIRE_64 = 1, BASE_WIRE_BYTES = 2, BASE_WIRE_32 = 5 } base_wire_type;

typedef struct base_wire {
    const uint8_t *p, *end;
    const char *problem; /* what is wrong, once base_wire_next returned -1 */
} base_wire;

typedef struct base_wire_field {
    uint32_t number;
    base_wire_type type;
    uint64_t value;      /* of the number types, the bits */
    const uint8_t *data; /* of BASE_WIRE_BYTES */
    size_t size;
    const uint8_t *at; /* where the field begins */
} base_wire_field;

/* 1: *token is the next field; 0: the end; -1: malformed. Groups are skipped. */
int base_wire_next(base_wire *w, base_wire_field *token);

/* Reads a varint at *p; false (and *p unchanged) if it does not end before `end` or is longer than ten bytes. */
bool base_wire_varint(const uint8_t **p, const uint8_t *end, uint64_t *out);

#endif
