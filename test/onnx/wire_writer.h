/* SPDX-License-Identifier: Apache-2.0
 *
 * Protobuf messages written field by field, so that tests can make models that no library would write.
 */
#ifndef WIRE_WRITER_H
#define WIRE_WRITER_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct wire_msg {
    uint8_t *data;
    size_t size, capacity;
} wire_msg;

static inline void wm_raw(wire_msg *m, const void *bytes, size_t n) {
    if (m->size + n > m->capacity) {
        m->capacity = (m->size + n) * 2 + 64;
        m->data = realloc(m->data, m->capacity);
        if (!m->data) abort();
    }
    if (n) memcpy(m->data + m->size, bytes, n);
    m->size += n;
}

static inline void wm_varint(wire_msg *m, uint64_t v) {
    do {
        uint8_t byte = (uint8_t)((v & 0x7f) | (v > 0x7f ? 0x80 : 0));
        wm_raw(m, &byte, 1);
        v >>= 7;
    } while (v);
}

static inline void wm_int(wire_msg *m, uint32_t field, int64_t v) {
    wm_varint(m, (uint64_t)field << 3);
    wm_varint(m, (uint64_t)v);
}

static inline void wm_bytes(wire_msg *m, uint32_t field, const void *bytes, size_t n) {
    wm_varint(m, (uint64_t)field << 3 | 2);
    wm_varint(m, n);
    wm_raw(m, bytes, n);
}

static inline void wm_text(wire_msg *m, uint32_t field, const char *text) { wm_bytes(m, field, text, strlen(text)); }

/* Appends `inner` as a field of m and frees it. */
static inline void wm_add(wire_msg *m, uint32_t field, wire_msg inner) {
    wm_bytes(m, field, inner.data, inner.size);
    free(inner.data);
}

static inline wire_msg wm_entry(const char *key, const char *value) {
    wire_msg m = {0};
    wm_text(&m, 1, key);
    wm_text(&m, 2, value);
    return m;
}

/* NodeProto: inputs and outputs are names with spaces between them; "-" is a name left out. */
static inline wire_msg wm_node(const char *type, const char *inputs, const char *outputs) {
    wire_msg m = {0};
    const char *lists[] = {inputs, outputs};
    for (uint32_t i = 0; i < 2; i++) {
        for (const char *p = lists[i]; *p;) {
            size_t n = strcspn(p, " ");
            wm_bytes(&m, i + 1, p, n == 1 && *p == '-' ? 0 : n);
            p += n + (p[n] == ' ');
        }
    }
    wm_text(&m, 3, outputs); /* its name */
    wm_text(&m, 4, type);
    return m;
}

static inline wire_msg wm_value(const char *name) { /* ValueInfoProto of float[n] */
    wire_msg dim = {0}, shape = {0}, tensor = {0}, type = {0}, m = {0};
    wm_text(&dim, 2, "n");
    wm_add(&shape, 1, dim);
    wm_int(&tensor, 1, 1);
    wm_add(&tensor, 2, shape);
    wm_add(&type, 1, tensor);
    wm_text(&m, 1, name);
    wm_add(&m, 2, type);
    return m;
}

static inline wire_msg wm_tensor(const char *name, int64_t dtype, int64_t rows, int64_t columns) { /* without data; columns < 0: rank 1 */
    wire_msg m = {0};
    wm_int(&m, 1, rows);
    if (columns >= 0) wm_int(&m, 1, columns);
    wm_int(&m, 2, dtype);
    wm_text(&m, 8, name);
    return m;
}

/* ModelProto around a graph. */
static inline wire_msg wm_model(wire_msg main_graph, int64_t opset) {
    wire_msg m = {0}, import = {0};
    wm_int(&m, 1, 8);
    wm_text(&import, 1, "");
    wm_int(&import, 2, opset);
    wm_add(&m, 8, import);
    wm_add(&m, 7, main_graph);
    return m;
}

#endif
