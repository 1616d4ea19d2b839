/* SPDX-License-Identifier: Apache-2.0
 *
 * A tensor, sequence or optional -> the bytes of a TensorProto, SequenceProto or OptionalProto: what onnx_load_value reads.
 * The bytes go through the writer of models (onnx_write.h), without a buffer.
 */
#include "onnx_write.h"

#define MOST_NESTED 16

/* The numbers of SequenceProto.DataType and OptionalProto.DataType, and of the fields that hold each. */
static int kind_of(const nib_tensor *t) { return t->dtype == NIB_DTYPE_SEQUENCE ? 3 : t->dtype == NIB_DTYPE_OPTIONAL ? 5 : 1; }
static int field_of(const nib_tensor *t) { return t->dtype == NIB_DTYPE_SEQUENCE ? 5 : t->dtype == NIB_DTYPE_OPTIONAL ? 7 : 3; }

static void put_value(onnx_out *s, const void *record) {
    const onnx_named_tensor *named = record;
    const nib_tensor *t = named->tensor;
    if (t->dtype < NIB_DTYPE_SEQUENCE) {
        nib_tensor exact = *t;
        exact.bytes = graph_type_bytes(t->dtype, (size_t)graph_tensor_elements(t)); /* a caller's memory may be longer */
        onnx_put_tensor(s, &(onnx_named_tensor){named->name, &exact});
        return;
    }
    const nib_tensor *items = t->data;
    onnx_put_text(s, 1, named->name);
    onnx_put_int(s, 2, t->dims[0] > 0 ? kind_of(&items[0]) : t->dtype == NIB_DTYPE_SEQUENCE ? 1 : 0);
    for (int64_t i = 0; i < t->dims[0]; i++)
        onnx_put_message(s, (uint32_t)field_of(&items[i]), put_value, &(onnx_named_tensor){NULL, &items[i]});
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
    onnx_writing w = {.err = err};
    onnx_out out = {.w = &w, .put = put, .user = user};
    if (!is_sound(t, 0)) return base_error_set(err, NIB_INVALID_ARGUMENT, "the tensor has fewer bytes than its shape needs");
    put_value(&out, &(onnx_named_tensor){name, t});
    return w.status;
}
