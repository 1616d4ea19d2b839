/* SPDX-License-Identifier: Apache-2.0
 *
 * Protobuf's wire format; see base_wire.h. Groups are a dead feature of proto2, but unknown fields may be
 * anything, so they are stepped over: with a stack of their numbers instead of recursion, because nested groups are how
 * other readers were made to overflow theirs.
 */
#include "base_wire.h"

bool base_wire_varint(const uint8_t **p, const uint8_t *end, uint64_t *out) {
    const uint8_t *q = *p;
    uint64_t value = 0;
    for (int shift = 0; shift < 70 && q < end; shift += 7) {
        uint8_t byte = *q++;
        value |= (uint64_t)(byte & 0x7f) << shift; /* the tenth byte holds the top bit; what exceeds 64 bits is dropped, as protobuf does */
        if (byte < 0x80) {
            *p = q;
            *out = value;
            return true;
        }
    }
    return false;
}

static int wire_fail(base_wire *w, const char *problem) {
    w->problem = problem;
    return -1;
}

/* Little-endian, whatever the host is. */
static uint64_t wire_fixed(const uint8_t *p, int bytes) {
    uint64_t value = 0;
    for (int i = bytes - 1; i >= 0; i--) value = value << 8 | p[i];
    return value;
}

/* Reads the value that follows a key. Group markers have none. */
static int wire_value(base_wire *w, int type, base_wire_field *token) {
    size_t left = (size_t)(w->end - w->p);
    switch (type) {
    case BASE_WIRE_VARINT:
        if (!base_wire_varint(&w->p, w->end, &token->value)) return wire_fail(w, "a number does not end");
        return 1;
    case BASE_WIRE_64:
    case BASE_WIRE_32: {
        size_t width = type == BASE_WIRE_64 ? 8 : 4;
        if (left < width) return wire_fail(w, "the file ends inside a number");
        token->value = wire_fixed(w->p, (int)width);
        w->p += width;
        return 1;
    }
    case BASE_WIRE_BYTES: {
        uint64_t length;
        if (!base_wire_varint(&w->p, w->end, &length)) return wire_fail(w, "a length does not end");
        left = (size_t)(w->end - w->p);
        if (length > left) return wire_fail(w, "a field is longer than what holds it");
        token->data = w->p;
        token->size = (size_t)length;
        w->p += length;
        return 1;
    }
    default: return wire_fail(w, "unknown wire type");
    }
}

int base_wire_next(base_wire *w, base_wire_field *token) {
    uint32_t open[BASE_WIRE_NESTING];
    int depth = 0;
    while (w->p < w->end) {
        uint64_t key;
        token->at = w->p;
        token->data = NULL;
        token->size = 0;
        token->value = 0;
        if (!base_wire_varint(&w->p, w->end, &key)) return wire_fail(w, "a field's key does not end");
        if (key >> 3 == 0 || key >> 3 > 0x1fffffff) return wire_fail(w, "a field's number is out of range");
        uint32_t number = (uint32_t)(key >> 3);
        int type = (int)(key & 7);
        if (type == 3) {
            if (depth == BASE_WIRE_NESTING) return wire_fail(w, "groups are nested too deep");
            open[depth++] = number;
            continue;
        }
        if (type == 4) {
            if (depth == 0 || open[--depth] != number) return wire_fail(w, "a group ends that did not begin");
            continue;
        }
        int got = wire_value(w, type, token);
        if (got < 0) {
            w->p = token->at;
            return got;
        }
        if (depth > 0) continue;
        token->number = number;
        token->type = (base_wire_type)type;
        return 1;
    }
    return depth == 0 ? 0 : wire_fail(w, "a group does not end");
}
