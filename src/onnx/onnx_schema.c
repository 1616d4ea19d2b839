/* SPDX-License-Identifier: Apache-2.0
 *
 * The field table and the decoder that it drives: message bytes -> record.
 *
 * Each message is walked twice: once to count the elements of its repeated fields, once to fill arrays of exactly that
 * size. So memory is linear in the file, nothing grows, and nothing that the file claims is allocated before it is seen.
 */
#include "onnx_schema.h"
#include "onnx.h"
#include "base/base_wire.h"
#include <string.h>

typedef enum field_kind {
    INT,      /* varint -> int64_t */
    FLOAT,    /* four bytes -> float */
    BYTES,    /* string or bytes -> onnx_bytes */
    MESSAGE,  /* -> pointer to a record */
    INTS,     /* varints, packed or not -> onnx_int_list */
    FLOATS,   /* onnx_float_list */
    DOUBLES,  /* onnx_double_list */
    STRINGS,  /* onnx_bytes_list */
    MESSAGES, /* NAME_list of records */
} field_kind;

typedef struct field {
    uint8_t number, kind, message; /* message: of MESSAGE and MESSAGES */
    uint16_t offset;               /* of the member */
    const char *name;              /* for messages to people */
} field;

typedef struct message_info {
    const char *name;
    size_t size;
    const field *fields;
    int count;
} message_info;

#define MAX_FIELDS 16

#define F(number, kind, record, member)                                                                                                    \
    { number, kind, 0, offsetof(record, member), #member }
#define M(number, kind, record, member, message)                                                                                           \
    { number, kind, message, offsetof(record, member), #member }

/* clang-format off */
static const field model_fields[] = {
    F(1, INT, onnx_model, ir_version),
    F(2, BYTES, onnx_model, producer_name),
    F(3, BYTES, onnx_model, producer_version),
    F(4, BYTES, onnx_model, domain),
    F(5, INT, onnx_model, model_version),
    F(6, BYTES, onnx_model, doc_string),
    M(7, MESSAGE, onnx_model, graph, ONNX_GRAPH),
    M(8, MESSAGES, onnx_model, opset_import, ONNX_OPSET),
    M(14, MESSAGES, onnx_model, metadata, ONNX_ENTRY),
    M(25, MESSAGES, onnx_model, functions, ONNX_FUNCTION),
};
static const field opset_fields[] = {
    F(1, BYTES, onnx_opset, domain),
    F(2, INT, onnx_opset, version),
};
static const field function_fields[] = {
    F(1, BYTES, onnx_function, name),
    F(4, STRINGS, onnx_function, input),
    F(5, STRINGS, onnx_function, output),
    F(6, STRINGS, onnx_function, attribute),
    M(7, MESSAGES, onnx_function, node, ONNX_NODE),
    M(9, MESSAGES, onnx_function, opset_import, ONNX_OPSET),
    F(10, BYTES, onnx_function, domain),
    M(11, MESSAGES, onnx_function, attribute_proto, ONNX_ATTRIBUTE),
    F(13, BYTES, onnx_function, overload),
};
static const field graph_fields[] = {
    M(1, MESSAGES, onnx_graph, node, ONNX_NODE),
    F(2, BYTES, onnx_graph, name),
    M(5, MESSAGES, onnx_graph, initializer, ONNX_TENSOR),
    F(10, BYTES, onnx_graph, doc_string),
    M(11, MESSAGES, onnx_graph, input, ONNX_VALUE_INFO),
    M(12, MESSAGES, onnx_graph, output, ONNX_VALUE_INFO),
    M(13, MESSAGES, onnx_graph, value_info, ONNX_VALUE_INFO),
    M(15, MESSAGES, onnx_graph, sparse_initializer, ONNX_SPARSE),
    M(16, MESSAGES, onnx_graph, metadata, ONNX_ENTRY),
};
static const field node_fields[] = {
    F(1, STRINGS, onnx_node, input),
    F(2, STRINGS, onnx_node, output),
    F(3, BYTES, onnx_node, name),
    F(4, BYTES, onnx_node, op_type),
    M(5, MESSAGES, onnx_node, attribute, ONNX_ATTRIBUTE),
    F(6, BYTES, onnx_node, doc_string),
    F(7, BYTES, onnx_node, domain),
    F(8, BYTES, onnx_node, overload),
    M(9, MESSAGES, onnx_node, metadata, ONNX_ENTRY),
};
static const field attribute_fields[] = {
    F(1, BYTES, onnx_attribute, name),
    F(2, FLOAT, onnx_attribute, f),
    F(3, INT, onnx_attribute, i),
    F(4, BYTES, onnx_attribute, s),
    M(5, MESSAGE, onnx_attribute, t, ONNX_TENSOR),
    M(6, MESSAGE, onnx_attribute, g, ONNX_GRAPH),
    F(7, FLOATS, onnx_attribute, floats),
    F(8, INTS, onnx_attribute, ints),
    F(9, STRINGS, onnx_attribute, strings),
    M(10, MESSAGES, onnx_attribute, tensors, ONNX_TENSOR),
    M(11, MESSAGES, onnx_attribute, graphs, ONNX_GRAPH),
    M(14, MESSAGE, onnx_attribute, tp, ONNX_TYPE),
    F(20, INT, onnx_attribute, type),
    F(21, BYTES, onnx_attribute, ref_attr_name),
    M(22, MESSAGE, onnx_attribute, sparse, ONNX_SPARSE),
};
static const field tensor_fields[] = {
    F(1, INTS, onnx_tensor, dims),
    F(2, INT, onnx_tensor, data_type),
    F(3, BYTES, onnx_tensor, segment),
    F(4, FLOATS, onnx_tensor, float_data),
    F(5, INTS, onnx_tensor, int32_data),
    F(6, STRINGS, onnx_tensor, string_data),
    F(7, INTS, onnx_tensor, int64_data),
    F(8, BYTES, onnx_tensor, name),
    F(9, BYTES, onnx_tensor, raw_data),
    F(10, DOUBLES, onnx_tensor, double_data),
    F(11, INTS, onnx_tensor, uint64_data),
    M(13, MESSAGES, onnx_tensor, external_data, ONNX_ENTRY),
    F(14, INT, onnx_tensor, data_location),
};
static const field sparse_fields[] = {
    M(1, MESSAGE, onnx_sparse, values, ONNX_TENSOR),
    M(2, MESSAGE, onnx_sparse, indices, ONNX_TENSOR),
    F(3, INTS, onnx_sparse, dims),
};
static const field sequence_fields[] = {
    F(2, INT, onnx_sequence, elem_type),
    M(3, MESSAGES, onnx_sequence, tensors, ONNX_TENSOR),
    M(5, MESSAGES, onnx_sequence, sequences, ONNX_SEQUENCE),
    M(7, MESSAGES, onnx_sequence, optionals, ONNX_OPTIONAL),
};
static const field optional_fields[] = {
    F(2, INT, onnx_optional, elem_type),
    M(3, MESSAGE, onnx_optional, tensor, ONNX_TENSOR),
    M(5, MESSAGE, onnx_optional, sequence, ONNX_SEQUENCE),
};
static const field value_info_fields[] = {
    F(1, BYTES, onnx_value_info, name),
    M(2, MESSAGE, onnx_value_info, type, ONNX_TYPE),
};
static const field type_fields[] = {
    M(1, MESSAGE, onnx_type, tensor, ONNX_TYPE_TENSOR),
    M(4, MESSAGE, onnx_type, sequence, ONNX_TYPE_OF),
    M(5, MESSAGE, onnx_type, map, ONNX_TYPE_MAP),
    F(7, BYTES, onnx_type, opaque),
    F(8, BYTES, onnx_type, sparse),
    M(9, MESSAGE, onnx_type, optional, ONNX_TYPE_OF),
};
static const field type_tensor_fields[] = {
    F(1, INT, onnx_type_tensor, elem_type),
    M(2, MESSAGE, onnx_type_tensor, shape, ONNX_SHAPE),
};
static const field type_of_fields[] = {
    M(1, MESSAGE, onnx_type_of, elem_type, ONNX_TYPE),
};
static const field type_map_fields[] = {
    M(2, MESSAGE, onnx_type_of, elem_type, ONNX_TYPE),
};
static const field shape_fields[] = {
    M(1, MESSAGES, onnx_shape, dims, ONNX_DIMENSION),
};
static const field dimension_fields[] = {
    F(1, INT, onnx_dimension, value),
    F(2, BYTES, onnx_dimension, param),
};
static const field entry_fields[] = {
    F(1, BYTES, onnx_entry, key),
    F(2, BYTES, onnx_entry, value),
};

/* clang-format on */

#define MESSAGE_INFO(name, record, fields)                                                                                                 \
    { name, sizeof(record), fields, BASE_COUNT(fields) }
static const message_info messages[ONNX_MESSAGES] = {
    [ONNX_MODEL] = MESSAGE_INFO("ModelProto", onnx_model, model_fields),
    [ONNX_OPSET] = MESSAGE_INFO("OperatorSetIdProto", onnx_opset, opset_fields),
    [ONNX_FUNCTION] = MESSAGE_INFO("FunctionProto", onnx_function, function_fields),
    [ONNX_GRAPH] = MESSAGE_INFO("GraphProto", onnx_graph, graph_fields),
    [ONNX_NODE] = MESSAGE_INFO("NodeProto", onnx_node, node_fields),
    [ONNX_ATTRIBUTE] = MESSAGE_INFO("AttributeProto", onnx_attribute, attribute_fields),
    [ONNX_TENSOR] = MESSAGE_INFO("TensorProto", onnx_tensor, tensor_fields),
    [ONNX_SPARSE] = MESSAGE_INFO("SparseTensorProto", onnx_sparse, sparse_fields),
    [ONNX_SEQUENCE] = MESSAGE_INFO("SequenceProto", onnx_sequence, sequence_fields),
    [ONNX_OPTIONAL] = MESSAGE_INFO("OptionalProto", onnx_optional, optional_fields),
    [ONNX_VALUE_INFO] = MESSAGE_INFO("ValueInfoProto", onnx_value_info, value_info_fields),
    [ONNX_TYPE] = MESSAGE_INFO("TypeProto", onnx_type, type_fields),
    [ONNX_TYPE_TENSOR] = MESSAGE_INFO("TypeProto.Tensor", onnx_type_tensor, type_tensor_fields),
    [ONNX_TYPE_OF] = MESSAGE_INFO("TypeProto.Sequence", onnx_type_of, type_of_fields),
    [ONNX_TYPE_MAP] = MESSAGE_INFO("TypeProto.Map", onnx_type_of, type_map_fields),
    [ONNX_SHAPE] = MESSAGE_INFO("TensorShapeProto", onnx_shape, shape_fields),
    [ONNX_DIMENSION] = MESSAGE_INFO("TensorShapeProto.Dimension", onnx_dimension, dimension_fields),
    [ONNX_ENTRY] = MESSAGE_INFO("StringStringEntryProto", onnx_entry, entry_fields),
};

typedef struct decoder {
    base_arena *arena;
    const uint8_t *file;
    nib_error *err;
} decoder;

typedef struct list { /* what every ..._list is made of */
    void *items;
    size_t count;
} list;

static size_t element_size(const field *f) {
    switch (f->kind) {
    case INTS: return sizeof(int64_t);
    case FLOATS: return sizeof(float);
    case DOUBLES: return sizeof(double);
    case STRINGS: return sizeof(onnx_bytes);
    default: return messages[f->message].size;
    }
}

static base_wire_type wire_type(const field *f) {
    switch (f->kind) {
    case INT:
    case INTS: return BASE_WIRE_VARINT;
    case FLOAT:
    case FLOATS: return BASE_WIRE_32;
    case DOUBLES: return BASE_WIRE_64;
    default: return BASE_WIRE_BYTES;
    }
}

static bool is_packable(const field *f) { return f->kind == INTS || f->kind == FLOATS || f->kind == DOUBLES; }

static nib_status decode_fail(const decoder *d, const message_info *m, const field *f, const uint8_t *at, const char *problem) {
    nib_status status = base_error_set(d->err, NIB_BAD_MODEL, "%s%s%s: %s", m->name, f ? "." : "", f ? f->name : "", problem);
    base_error_at_offset(d->err, at - d->file);
    return status;
}

static int find_field(const message_info *m, uint32_t number) {
    for (int i = 0; i < m->count; i++) {
        if (m->fields[i].number == number) return i;
    }
    return -1;
}

/* How many elements a field on the wire adds to a repeated one. */
static nib_status count_elements(const decoder *d, const message_info *m, const field *f, const base_wire_field *t, size_t *count) {
    if (!is_packable(f) || t->type != BASE_WIRE_BYTES) {
        *count += 1;
    } else if (f->kind == INTS) {
        for (size_t i = 0; i < t->size; i++) *count += t->data[i] < 0x80; /* the last byte of each number */
    } else {
        size_t width = element_size(f);
        if (t->size % width != 0) return decode_fail(d, m, f, t->at, "its length is no multiple of the element's");
        *count += t->size / width;
    }
    return NIB_OK;
}

/* The first walk: checks every field's type, counts repeated ones, notes single ones. */
static nib_status scan(const decoder *d, const message_info *m, const uint8_t *bytes, size_t size, size_t *counts, uint32_t *seen) {
    nib_status status = NIB_OK;
    base_wire w = {bytes, bytes + size, NULL};
    base_wire_field t;
    int got;
    while ((got = base_wire_next(&w, &t)) > 0) {
        int i = find_field(m, t.number);
        if (i < 0) continue;
        const field *f = &m->fields[i];
        if (t.type != wire_type(f) && !(is_packable(f) && t.type == BASE_WIRE_BYTES)) return decode_fail(d, m, f, t.at, "wrong wire type");
        if (f->kind <= MESSAGE) {
            if ((f->kind == MESSAGE || f->kind == BYTES) && (*seen >> f->number & 1u)) return decode_fail(d, m, f, t.at, "given twice");
            *seen |= 1u << f->number;
        } else {
            NIB_TRY(count_elements(d, m, f, &t, &counts[i]));
        }
    }
    if (got < 0) return decode_fail(d, m, NULL, w.p, w.problem);
    return NIB_OK;
fail:
    return status;
}

static nib_status decode(const decoder *d, onnx_message message, const uint8_t *bytes, size_t size, void *record, int depth);

static void store_number(field_kind kind, uint64_t bits, void *to) {
    uint32_t low = (uint32_t)bits;
    if (kind == INT || kind == INTS || kind == DOUBLES) {
        memcpy(to, &bits, sizeof(bits));
    } else {
        memcpy(to, &low, sizeof(low));
    }
}

/* Appends a packed field's numbers; their count is known to fit. */
static nib_status fill_packed(const decoder *d, const message_info *m, const field *f, const base_wire_field *t, list *to) {
    const uint8_t *p = t->data, *end = t->data + t->size;
    size_t width = element_size(f);
    uint8_t *items = to->items;
    while (p < end) {
        uint64_t bits = 0;
        if (f->kind == INTS) {
            if (!base_wire_varint(&p, end, &bits)) return decode_fail(d, m, f, t->at, "a packed number does not end");
        } else {
            for (size_t i = 0; i < width; i++) bits |= (uint64_t)p[i] << (8 * i);
            p += width;
        }
        store_number((field_kind)f->kind, bits, items + to->count++ * width);
    }
    return NIB_OK;
}

/* Stores one field from the wire in its member, or appends it to the member's list. */
static nib_status fill(const decoder *d, const message_info *m, const field *f, const base_wire_field *t, uint8_t *member, list *to,
                       int depth) {
    onnx_bytes span = {t->data, t->size};
    if (span.data == NULL) span.data = t->at; /* present, and empty */
    uint8_t *item = f->kind > MESSAGE && to->items ? (uint8_t *)to->items + to->count * element_size(f) : member;
    switch (f->kind) {
    case INT:
    case FLOAT: store_number((field_kind)f->kind, t->value, item); return NIB_OK;
    case STRINGS: to->count++; /* fall through */
    case BYTES: memcpy(item, &span, sizeof(span)); return NIB_OK;
    case MESSAGE: {
        void *inner = base_arena_alloc(d->arena, messages[f->message].size);
        if (!inner) return base_error_set(d->err, NIB_OUT_OF_MEMORY, "no memory to read the model");
        memcpy(member, &inner, sizeof(inner));
        return decode(d, (onnx_message)f->message, t->data, t->size, inner, depth + 1);
    }
    case MESSAGES: to->count++; return decode(d, (onnx_message)f->message, t->data, t->size, item, depth + 1);
    default:
        if (t->type == BASE_WIRE_BYTES) return fill_packed(d, m, f, t, to);
        store_number((field_kind)f->kind, t->value, item);
        to->count++;
        return NIB_OK;
    }
}

static nib_status decode(const decoder *d, onnx_message message, const uint8_t *bytes, size_t size, void *record, int depth) {
    nib_status status = NIB_OK;
    const message_info *m = &messages[message];
    size_t counts[MAX_FIELDS] = {0};
    list lists[MAX_FIELDS] = {{NULL, 0}};
    onnx_head head = {bytes - d->file, size, 0};
    int most = d->arena->heap->limits.wire_nesting;
    if (depth > most) {
        status = base_error_set(d->err, NIB_LIMIT, "messages are nested more than %d deep", most);
        base_error_at_offset(d->err, head.offset);
        goto fail;
    }
    NIB_TRY(scan(d, m, bytes, size, counts, &head.seen));
    memset(record, 0, m->size);
    memcpy(record, &head, sizeof(head));
    for (int i = 0; i < m->count; i++) {
        if (counts[i] == 0) continue;
        size_t total;
        lists[i].items = base_mul_size(counts[i], element_size(&m->fields[i]), &total) ? base_arena_alloc(d->arena, total) : NULL;
        if (!lists[i].items) NIB_FAIL(d->err, NIB_OUT_OF_MEMORY, "no memory to read the model");
    }
    base_wire w = {bytes, bytes + size, NULL};
    base_wire_field t;
    while (base_wire_next(&w, &t) > 0) {
        int i = find_field(m, t.number);
        if (i < 0) continue;
        NIB_TRY(fill(d, m, &m->fields[i], &t, (uint8_t *)record + m->fields[i].offset, &lists[i], depth));
    }
    for (int i = 0; i < m->count; i++) {
        if (counts[i] > 0) memcpy((uint8_t *)record + m->fields[i].offset, &lists[i], sizeof(lists[i]));
    }
    return NIB_OK;
fail:
    return status;
}

nib_status onnx_decode(base_arena *arena, onnx_message message, const uint8_t *file, const uint8_t *bytes, size_t size, void *record,
                       nib_error *err) {
    decoder d = {arena, file, err};
    static const uint8_t nothing = 0;
    if (!bytes) bytes = file = d.file = &nothing; /* an empty file has no address */
    return decode(&d, message, bytes, size, record, 1);
}

_Static_assert(BASE_COUNT(attribute_fields) <= MAX_FIELDS && BASE_COUNT(tensor_fields) <= MAX_FIELDS, "MAX_FIELDS is too small");
