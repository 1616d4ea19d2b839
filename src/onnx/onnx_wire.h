/* SPDX-License-Identifier: Apache-2.0
 *
 * Protobuf's wire format: bytes -> fields, one at a time, nothing copied.
 *
 *     field = key (varint: number << 3 | type), then
 *             type 0 varint | 1 eight bytes | 2 varint length + bytes | 3 .. 4 group, skipped | 5 four bytes
 *
 * A reader never looks beyond the bytes that it was given, and a field's bytes never reach beyond the reader's end.
 */
#ifndef ONNX_WIRE_H
#define ONNX_WIRE_H

#include "base/base_error.h"
#include <stdbool.h>

typedef enum onnx_wire_type { ONNX_WIRE_VARINT = 0, ONNX_WIRE_64 = 1, ONNX_WIRE_BYTES = 2, ONNX_WIRE_32 = 5 } onnx_wire_type;

typedef struct onnx_wire {
    const uint8_t *p, *end;
    const char *problem; /* what is wrong, once onnx_wire_next returned -1 */
} onnx_wire;

typedef struct onnx_token {
    uint32_t number;
    onnx_wire_type type;
    uint64_t value;      /* of the number types, the bits */
    const uint8_t *data; /* of ONNX_WIRE_BYTES */
    size_t size;
    const uint8_t *at; /* where the field begins */
} onnx_token;

/* 1: *token is the next field; 0: the end; -1: malformed. Groups are skipped. */
int onnx_wire_next(onnx_wire *w, onnx_token *token);

/* Reads a varint at *p; false (and *p unchanged) if it does not end before `end` or is longer than ten bytes. */
bool onnx_wire_varint(const uint8_t **p, const uint8_t *end, uint64_t *out);

#endif
