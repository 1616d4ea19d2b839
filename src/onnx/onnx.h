/* SPDX-License-Identifier: Apache-2.0
 *
 * ONNX bytes -> graph. The only room that knows its schema. Schema: onnx.proto of ONNX 1.23 (IR 14).
 *
 * The file is mapped; constants point into it (raw_data at any alignment) and into its external data files, which the graph
 * takes over. Packed numeric fields (float_data, int64_data, ...) are decoded into the arena. Nothing of a hostile file is
 * believed: lengths against the field that holds them, element counts against bytes, external offsets against the file's
 * size, nesting of messages and subgraphs against the heap's limits, groups <= BASE_WIRE_NESTING, rank <= GRAPH_MAX_RANK.
 *
 * And back: graph -> ONNX bytes (onnx_save).
 */
#ifndef ONNX_H
#define ONNX_H

#include "base/base_runtime.h"
#include "graph/graph.h"

#define ONNX_MIN_OPSET 1
#define ONNX_MAX_OPSET 28

/* Loads a model file; the graph is not yet resolved or inferred, but graph_verify holds. Local functions are inlined.
 * Errors: NOT_FOUND, IO, BAD_MODEL (with node and byte offset), LIMIT, UNSUPPORTED, OUT_OF_MEMORY. */
nib_status onnx_load(nib_runtime *runtime, const char *path, graph **out, nib_error *err);

/* The same from memory that outlives the graph; external data lies in `folder`, or is refused where that is NULL. */
nib_status onnx_load_memory(nib_runtime *runtime, const void *bytes, size_t size, const char *folder, graph **out, nib_error *err);

/* A graph inside of a compiled file (compiled.h): operators of nib's own domain are read, and constants lie in `blobs`, which
 * outlives the graph: external data of the location ONNX_BLOBS. One of the location ONNX_PACKED has no bytes (data NULL); the caller
 * finds and checks those. Everything else as onnx_load_memory. */
#define ONNX_BLOBS "blobs"
#define ONNX_PACKED "packed"
typedef struct onnx_blobs {
    const uint8_t *data;
    size_t size;
} onnx_blobs;
nib_status onnx_load_compiled(nib_runtime *runtime, const void *bytes, size_t size, onnx_blobs blobs, graph **out, nib_error *err);

/* The bytes of a TensorProto file (*.pb of the backend suite) as a tensor in the arena. */
nib_status onnx_load_tensor(base_arena *arena, const void *bytes, size_t size, graph_tensor *out, nib_error *err);
/* The same for a file that holds a value of that kind: TensorProto, SequenceProto or OptionalProto. UNSUPPORTED for maps. */
nib_status onnx_load_value(base_arena *arena, graph_kind kind, const void *bytes, size_t size, graph_tensor *out, nib_error *err);

/* The other way: the bytes of such a file, piece by piece, to `put`, whose failure is passed on. `name` may be NULL. */
typedef nib_status (*onnx_sink)(void *user, const void *bytes, size_t size, nib_error *err);
nib_status onnx_write_value(const nib_tensor *tensor, const char *name, onnx_sink put, void *user, nib_error *err);

#define ONNX_FILE_LIMIT INT32_MAX /* bytes: what protobuf's readers take */

typedef struct onnx_save_options {
    int64_t external_over; /* weights go to PATH.data if the model's file would be longer than this; -1: ONNX_FILE_LIMIT */
    bool types;            /* write the types of values inside the graph, too (value_info) */
    const graph *mapped;   /* whose files the weights lie in, if g is a clone: pages that were written leave memory; NULL: g's */
} onnx_save_options;

/* Writes the graph as a model file: both files (PATH, and PATH.data for weights outside of it, each at a multiple of 4096
 * bytes) are written beside their names, synced, and only then renamed; what was there before stays until then. The same graph
 * gives the same bytes. Weights are copied from where they are mapped: memory needed does not grow with them. Nodes of domain
 * "nib" are written as they are. `options` may be NULL. Errors: IO, LIMIT (too long even without weights), UNSUPPORTED (types of
 * maps), OUT_OF_MEMORY. */
nib_status onnx_save(nib_runtime *runtime, const graph *g, const char *path, const onnx_save_options *options, nib_error *err);

/* The other way of onnx_load_compiled: the graph's bytes, to `put`; constants that `places` names by the address of their bytes are
 * external data. places [n] is sorted by address. */
typedef struct onnx_place_of {
    const void *data;     /* of the constant */
    const char *location; /* ONNX_BLOBS or ONNX_PACKED */
    uint64_t offset;      /* in the blobs */
} onnx_place_of;
nib_status onnx_write_compiled(nib_runtime *runtime, const graph *g, const onnx_place_of *places, size_t n, onnx_sink put, void *user,
                               nib_error *err);

#endif
