/* SPDX-License-Identifier: Apache-2.0
 *
 * The messages of onnx.proto as C records, and the one table that fills them.
 *
 * onnx_decode reads a message and everything inside it into records of an arena. Records point into the bytes they were
 * read from (names, raw data) and are plain data: what they mean is checked later, by whoever uses them. Only what is
 * listed here is kept; other fields are stepped over. Each record begins with an onnx_head: where the message begins in the
 * file, and which of its single fields were there (bit = field number).
 */
#ifndef ONNX_SCHEMA_H
#define ONNX_SCHEMA_H

#include "base/base_mem.h"

typedef struct onnx_bytes {
    const uint8_t *data; /* NULL: the field was not there */
    size_t size;
} onnx_bytes;

typedef struct onnx_head {
    int64_t offset;
    size_t size; /* bytes of the message */
    uint32_t seen;
} onnx_head;
#define ONNX_SEEN(record, number) (((record)->head.seen >> (number)) & 1u)

/* clang-format off */
typedef struct onnx_bytes_list   { const onnx_bytes *items; size_t count; } onnx_bytes_list;
typedef struct onnx_int_list     { const int64_t *items; size_t count; } onnx_int_list;
typedef struct onnx_float_list   { const float *items; size_t count; } onnx_float_list;
typedef struct onnx_double_list  { const double *items; size_t count; } onnx_double_list;
#define ONNX_LIST_OF(name) typedef struct name##_list { const struct name *items; size_t count; } name##_list
/* clang-format on */

typedef struct onnx_entry { /* StringStringEntryProto */
    onnx_head head;
    onnx_bytes key, value;
} onnx_entry;
ONNX_LIST_OF(onnx_entry);

typedef struct onnx_tensor {
    onnx_head head;
    onnx_int_list dims;
    int64_t data_type;
    onnx_float_list float_data;
    onnx_int_list int32_data;
    onnx_bytes_list string_data;
    onnx_int_list int64_data;
    onnx_bytes name;
    onnx_bytes raw_data;
    onnx_double_list double_data;
    onnx_int_list uint64_data; /* the bits */
    onnx_entry_list external_data;
    int64_t data_location;
    onnx_bytes segment;
} onnx_tensor;
ONNX_LIST_OF(onnx_tensor);

struct onnx_sequence;
ONNX_LIST_OF(onnx_sequence);
typedef struct onnx_optional {
    onnx_head head;
    int64_t elem_type;
    const onnx_tensor *tensor;
    const struct onnx_sequence *sequence;
} onnx_optional;
ONNX_LIST_OF(onnx_optional);

typedef struct onnx_sequence {
    onnx_head head;
    int64_t elem_type;
    onnx_tensor_list tensors;
    onnx_sequence_list sequences;
    onnx_optional_list optionals;
} onnx_sequence;

typedef struct onnx_sparse {
    onnx_head head;
    const onnx_tensor *values, *indices;
    onnx_int_list dims;
} onnx_sparse;
ONNX_LIST_OF(onnx_sparse);

typedef struct onnx_dimension {
    onnx_head head;
    int64_t value;
    onnx_bytes param;
} onnx_dimension;
ONNX_LIST_OF(onnx_dimension);

typedef struct onnx_shape {
    onnx_head head;
    onnx_dimension_list dims;
} onnx_shape;

typedef struct onnx_type_tensor { /* TypeProto.Tensor; its elem_type is a number */
    onnx_head head;
    int64_t elem_type;
    const onnx_shape *shape;
} onnx_type_tensor;

typedef struct onnx_type_of { /* TypeProto.Sequence, .Optional, .Map: its element is a type */
    onnx_head head;
    const struct onnx_type *elem_type;
} onnx_type_of;

typedef struct onnx_type {
    onnx_head head;
    const onnx_type_tensor *tensor;
    const onnx_type_of *sequence, *map, *optional;
    onnx_bytes sparse, opaque;
} onnx_type;

typedef struct onnx_value_info {
    onnx_head head;
    onnx_bytes name;
    const onnx_type *type;
} onnx_value_info;
ONNX_LIST_OF(onnx_value_info);

struct onnx_graph;
ONNX_LIST_OF(onnx_graph);

typedef struct onnx_attribute {
    onnx_head head;
    onnx_bytes name, ref_attr_name;
    int64_t type;
    float f;
    int64_t i;
    onnx_bytes s;
    const onnx_tensor *t;
    const struct onnx_graph *g;
    const onnx_type *tp;
    onnx_float_list floats;
    onnx_int_list ints;
    onnx_bytes_list strings;
    onnx_tensor_list tensors;
    onnx_graph_list graphs;
    const onnx_sparse *sparse;
} onnx_attribute;
ONNX_LIST_OF(onnx_attribute);

typedef struct onnx_node {
    onnx_head head;
    onnx_bytes_list input, output;
    onnx_bytes name, op_type, domain, overload;
    onnx_attribute_list attribute;
    onnx_bytes doc_string;
    onnx_entry_list metadata;
} onnx_node;
ONNX_LIST_OF(onnx_node);

typedef struct onnx_graph {
    onnx_head head;
    onnx_node_list node;
    onnx_bytes name;
    onnx_tensor_list initializer;
    onnx_sparse_list sparse_initializer;
    onnx_value_info_list input, output, value_info;
    onnx_bytes doc_string;
    onnx_entry_list metadata;
} onnx_graph;

typedef struct onnx_opset {
    onnx_head head;
    onnx_bytes domain;
    int64_t version;
} onnx_opset;
ONNX_LIST_OF(onnx_opset);

typedef struct onnx_function {
    onnx_head head;
    onnx_bytes name, domain, overload;
    onnx_bytes_list input, output, attribute;
    onnx_attribute_list attribute_proto;
    onnx_node_list node;
    onnx_opset_list opset_import;
} onnx_function;
ONNX_LIST_OF(onnx_function);

typedef struct onnx_model {
    onnx_head head;
    int64_t ir_version;
    onnx_opset_list opset_import;
    onnx_bytes producer_name, producer_version, domain, doc_string;
    int64_t model_version;
    onnx_entry_list metadata;
    const onnx_graph *graph;
    onnx_function_list functions;
} onnx_model;

typedef enum onnx_message {
    ONNX_MODEL,
    ONNX_OPSET,
    ONNX_FUNCTION,
    ONNX_GRAPH,
    ONNX_NODE,
    ONNX_ATTRIBUTE,
    ONNX_TENSOR,
    ONNX_SPARSE,
    ONNX_SEQUENCE,
    ONNX_OPTIONAL,
    ONNX_VALUE_INFO,
    ONNX_TYPE,
    ONNX_TYPE_TENSOR,
    ONNX_TYPE_OF,
    ONNX_TYPE_MAP,
    ONNX_SHAPE,
    ONNX_DIMENSION,
    ONNX_ENTRY,
    ONNX_MESSAGES
} onnx_message;

/* Decodes bytes[0..size), a message of that kind, into `record` (its struct, above). `file` is where offsets count from.
 * Errors: BAD_MODEL with the offset, LIMIT (nesting), OUT_OF_MEMORY. */
nib_status onnx_decode(base_arena *arena, onnx_message message, const uint8_t *file, const uint8_t *bytes, size_t size, void *record,
                       nib_error *err);

#endif
