/* SPDX-License-Identifier: Apache-2.0
 *
 * A tensor, sequence or optional -> the bytes of a TensorProto, SequenceProto or OptionalProto: what onnx_load_value reads.
 * Nested messages carry their length in front, so that each is measured before it is written; nothing is buffered.
 */
#include "onnx.h"
#include <string.h>

#define MOST_NESTED 16

typedef struct writer {
    onnx_sink put; /* NULL: only measured */
    void *user;
    size_t size;
    nib_status status;
    nib_error *err;
} writer;

static void bytes_of(writer *w, const void *bytes, size_t n) {
    w->size += n;
    if (w->put && w->status == NIB_OK && n) w->status = w->put(w->user, bytes, n, w->err);
}

static void varint(writer *w, uint64_t value) {
    uint8_t out[10];
    size_t n = 0;
    for (; value >= 0x80; value >>= 7) out[n++] = (uint8_t)(value | 0x80);
    out[n++] = (uint8_t)value;
    bytes_of(w, out, n);
}

static void number_field(writer *w, int field, uint64_t value) {
    varint(w, (uint64_t)field << 3);
    varint(w, value);
}

static void bytes_field(writer *w, int field, const void *bytes, size_t n) {
    varint(w, (uint64_t)field << 3 | 2);
    varint(w, n);
    bytes_of(w, bytes, n);
}

static void value(writer *w, const nib_tensor *t, const char *name);

static void message_field(writer *w, int field, const nib_tensor *t) {
    writer measure = {.err = w->err};
    value(&measure, t, NULL);
    varint(w, (uint64_t)field << 3 | 2);
    varint(w, measure.size);
    value(w, t, NULL);
}

/* The numbers of SequenceProto.DataType and OptionalProto.DataType, and of the fields that hold each. */
static int kind_of(const nib_tensor *t) { return t->dtype == NIB_DTYPE_SEQUENCE ? 3 : t->dtype == NIB_DTYPE_OPTIONAL ? 5 : 1; }
static int field_of(const nib_tensor *t) { return t->dtype == NIB_DTYPE_SEQUENCE ? 5 : t->dtype == NIB_DTYPE_OPTIONAL ? 7 : 3; }

static void container(writer *w, const nib_tensor *t, const char *name) {
    const nib_tensor *items = t->data;
    if (name) bytes_field(w, 1, name, strlen(name));
    number_field(w, 2, t->dims[0] > 0 ? (uint64_t)kind_of(&items[0]) : t->dtype == NIB_DTYPE_SEQUENCE ? 1 : 0);
    for (int64_t i = 0; i < t->dims[0]; i++) message_field(w, field_of(&items[i]), &items[i]);
}

static void value(writer *w, const nib_tensor *t, const char *name) {
    if (t->dtype >= NIB_DTYPE_SEQUENCE) {
        container(w, t, name);
        return;
    }
    int64_t count = graph_tensor_elements(t);
    for (int k = 0; k < t->rank; k++) number_field(w, 1, (uint64_t)t->dims[k]);
    number_field(w, 2, (uint64_t)t->dtype);
    const nib_string *strings = t->data;
    for (int64_t i = 0; t->dtype == NIB_DTYPE_STRING && i < count; i++) bytes_field(w, 6, strings[i].data, strings[i].length);
    if (name) bytes_field(w, 8, name, strlen(name));
    if (t->dtype != NIB_DTYPE_STRING) bytes_field(w, 9, t->data, graph_type_bytes(t->dtype, (size_t)count));
}

/* What a caller says of a tensor, and of those inside it. */
static bool is_sound(const nib_tensor *t, int depth) {
    if (t->rank < 0 || t->rank > NIB_MAX_RANK || depth > MOST_NESTED || (t->bytes && !t->data)) return false;
    int64_t count = graph_tensor_elements(t);
    if (count < 0 || graph_type_bytes(t->dtype, (size_t)count) > t->bytes) return false;
    if (t->dtype < NIB_DTYPE_SEQUENCE) return t->dtype == NIB_DTYPE_STRING || nib_dtype_bits(t->dtype) > 0;
    if (t->rank != 1 || (t->dtype == NIB_DTYPE_OPTIONAL && count > 1)) return false;
    for (int64_t i = 0; i < count; i++)
        if (!is_sound((const nib_tensor *)t->data + i, depth + 1)) return false;
    return true;
}

nib_status onnx_write_value(const nib_tensor *t, const char *name, onnx_sink put, void *user, nib_error *err) {
    writer w = {.put = put, .user = user, .err = err};
    if (!is_sound(t, 0)) return base_error_set(err, NIB_INVALID_ARGUMENT, "the tensor has fewer bytes than its shape needs");
    value(&w, t, name);
    return w.status;
}
