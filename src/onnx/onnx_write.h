/* SPDX-License-Identifier: Apache-2.0
 *
 * Between the files of the writer: a sink that counts bytes or writes them.
 *
 *     onnx_write.c         the sink, tensors, types, where weights go
 *     onnx_write_graph.c   attributes, nodes, graphs, the model; onnx_save
 *     onnx_value.c         tensors, sequences and optionals of test data; onnx_write_value
 *
 * Protobuf puts a message's length before it. Each message is written by one function, called twice: on a sink that counts,
 * then on the one that writes. So nothing is held: weights go from the mapped file through one small buffer at most.
 */
#ifndef ONNX_WRITE_H
#define ONNX_WRITE_H

#include "base/base_file.h"
#include "onnx.h"

#define ONNX_WRITE_BUFFER (64u << 10)
#define ONNX_EXTERNAL_ALIGN 4096
#define ONNX_EXTERNAL_LEAST 1024 /* bytes; smaller tensors stay in the model's file */

typedef struct onnx_placed { /* a tensor whose bytes are external data */
    const graph_tensor *tensor;
    uint64_t offset;
} onnx_placed;

typedef struct onnx_writing { /* one call of onnx_save or onnx_write_value, shared by its sinks */
    const graph *g, *mapped;  /* mapped: owns the files */
    base_heap *heap;
    bool types;           /* write what is known of values inside */
    const char *location; /* of the external data, relative to the model; NULL: there is none */
    onnx_placed *placed;  /* [n_placed], in the order of the file */
    onnx_placed *found;   /* the same, by address */
    size_t n_placed, cap_placed;
    const onnx_place_of *places; /* [n_places] of a compiled file, by address */
    size_t n_places;
    nib_error *err;
    nib_status status; /* the first failure; nothing is written after it */
} onnx_writing;

typedef struct onnx_out {
    onnx_writing *w;
    onnx_sink put; /* NULL: only counts */
    void *user;
    uint8_t *buffer; /* [ONNX_WRITE_BUFFER]; NULL: each piece goes to `put` at once */
    size_t used;
    uint64_t count;
} onnx_out;

typedef void (*onnx_put_fn)(onnx_out *s, const void *record);

void onnx_put_bytes(onnx_out *s, const void *bytes, size_t n);
void onnx_sink_flush(onnx_out *s);
void onnx_put_int(onnx_out *s, uint32_t field, int64_t value);
void onnx_put_float(onnx_out *s, uint32_t field, float value);
void onnx_put_field(onnx_out *s, uint32_t field, const void *bytes, size_t n); /* string or bytes */
void onnx_put_text(onnx_out *s, uint32_t field, const char *text);             /* nothing for "" */
void onnx_put_message(onnx_out *s, uint32_t field, onnx_put_fn fn, const void *record);
void onnx_put_fail(onnx_out *s, nib_status code, const char *format, ...) BASE_PRINTF(3, 4);

typedef struct onnx_named_tensor {
    const char *name; /* NULL: none */
    const graph_tensor *tensor;
} onnx_named_tensor;
void onnx_put_tensor(onnx_out *s, const void *named_tensor); /* TensorProto of an onnx_named_tensor */
void onnx_put_type(onnx_out *s, const void *type);           /* TypeProto of a graph_type */
void onnx_put_model(onnx_out *s, const void *graph);         /* ModelProto */

/* Gives the initializers of g and its subgraphs their places in the file of external data. */
nib_status onnx_place(onnx_writing *w, const graph *g);

#endif
