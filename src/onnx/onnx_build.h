/* SPDX-License-Identifier: Apache-2.0
 *
 * Between the files of this room: decoded records -> graph.
 *
 *     onnx_load.c      the model: file, opsets, inputs, outputs, verification
 *     onnx_node.c      nodes, attributes, subgraphs, name scopes
 *     onnx_function.c  calls of local functions, inlined
 *     onnx_map.c       names
 *     onnx_tensor.c    tensors of every kind, external data, sparse tensors
 *     onnx_type.c      types and symbolic dimensions
 */
#ifndef ONNX_BUILD_H
#define ONNX_BUILD_H

#include "onnx.h"
#include "onnx_schema.h"

#define ONNX_MAX_CALL_DEPTH 32 /* local functions that call each other */

/* A map from names to pointers; the names are borrowed. */
typedef struct onnx_map_entry {
    onnx_bytes name;
    uint64_t hash;
    const void *item; /* NULL: an empty slot */
} onnx_map_entry;

typedef struct onnx_map {
    onnx_map_entry *slots;
    size_t capacity, count;
} onnx_map;

/* The names that a node's inputs may mean: those of a graph or of a function's body, then those around it. */
typedef struct onnx_scope {
    const struct onnx_scope *outer; /* NULL: the main graph, or a function's body, which sees nothing outside */
    graph *g;
    const struct onnx_call *call; /* the function that is being inlined, NULL: none */
    onnx_map values;              /* name -> graph_value */
    const onnx_map *declared;     /* every name that the graph's own nodes define, now or later; name -> onnx_node */
    bool is_body;                 /* of a function: its formal outputs are the call's outputs */
} onnx_scope;

typedef struct onnx_argument { /* an attribute given to a function */
    onnx_bytes name;
    const onnx_attribute *attribute;
    const onnx_scope *scope; /* where it was written: what its subgraphs see */
} onnx_argument;

typedef struct onnx_call {
    const struct onnx_call *outer;
    const onnx_function *function;
    const char *path;           /* names of the calling nodes, "a/b": prefix of the names inside */
    onnx_map arguments;         /* name -> onnx_argument, of those that the call gives */
    const onnx_map *parameters; /* the function's: name -> its default */
    struct onnx_scope *caller;  /* where the call stands */
    const onnx_node *node;      /* the call */
    int depth;
} onnx_call;

typedef struct onnx_external { /* a file of external data, already open */
    const uint8_t *data;
    size_t size;
} onnx_external;

typedef struct onnx_loader {
    nib_runtime *runtime;
    graph *g;           /* the main graph; owns what the tensors point into */
    base_arena *into;   /* where typed data is decoded to */
    base_arena scratch; /* records and maps */
    const char *dir;    /* of external data; NULL: there is none */
    const char *model_path;
    const uint8_t *file; /* what offsets count from */
    const onnx_model *model;
    onnx_map functions;      /* "domain:name:overload" -> onnx_function */
    onnx_map *parameters;    /* of each function: name -> onnx_attribute */
    onnx_map files;          /* location -> onnx_external */
    bool copy_raw;           /* raw data does not outlive the load */
    const onnx_blobs *blobs; /* of a compiled file; NULL: the graph is a file of its own */
    bool may_be_packed;      /* the tensor at hand is an initializer of a compiled file's graph */
    size_t inlined;
    size_t fresh; /* counts names made for the insides of functions */
    int depth;    /* calls and subgraphs open now */
    nib_error *err;
} onnx_loader;

/* ---- names */
nib_status onnx_map_put(onnx_loader *l, onnx_map *map, onnx_bytes name, const void *item, const void **old); /* *old: what was there */
const void *onnx_map_get(const onnx_map *map, onnx_bytes name);
bool onnx_bytes_are(onnx_bytes a, const char *text);
bool onnx_bytes_equal(onnx_bytes a, onnx_bytes b);
/* Interned, or NULL: with a NUL inside (BAD_MODEL) or when memory runs out; *status says which. */
const char *onnx_intern(onnx_loader *l, onnx_bytes name, nib_status *status);
const char *onnx_domain(onnx_loader *l, onnx_bytes domain, nib_status *status); /* "ai.onnx" is "" */
/* For messages: the bytes as a string that lives in the scratch arena; "?" when memory runs out. */
const char *onnx_show(onnx_loader *l, onnx_bytes name);

/* ---- scopes and nodes */
graph_value *onnx_find(const onnx_scope *s, onnx_bytes name); /* NULL: not (yet) defined, or left out of a call */
/* The value that the node reads as input i, NULL if it is left out; BAD_MODEL if it is not defined before. */
nib_status onnx_find_input(onnx_loader *l, const onnx_scope *s, const onnx_node *node, size_t i, graph_value **out);
/* Makes a value of that name in the scope: under its own name in a graph, under a fresh one in a function's body. */
nib_status onnx_define(onnx_loader *l, onnx_scope *s, onnx_bytes name, graph_value **out);
nib_status onnx_define_constant(onnx_loader *l, onnx_scope *s, onnx_bytes name, const graph_tensor *tensor);
/* Gives a value that exists a name in the scope; NULL: an input that a call leaves out. BAD_MODEL if the name is taken. */
nib_status onnx_bind(onnx_loader *l, onnx_scope *s, onnx_bytes name, graph_value *v);
/* *out NULL: there is nothing. */
nib_status onnx_build_metadata(onnx_loader *l, onnx_bytes doc, const onnx_entry_list *metadata, const graph_metadata **out);
nib_status onnx_build_nodes(onnx_loader *l, onnx_scope *s, const onnx_node_list *nodes);
/* Fills s->g from the record: inputs, initializers, nodes, outputs, types. */
nib_status onnx_build_graph(onnx_loader *l, onnx_scope *s, const onnx_graph *record);

/* ---- functions */
nib_status onnx_function_index(onnx_loader *l);
const onnx_function *onnx_function_of(onnx_loader *l, const onnx_node *node, nib_status *status);
nib_status onnx_function_inline(onnx_loader *l, onnx_scope *s, const onnx_node *node, const onnx_function *function);
/* What `a` stands for in this scope: itself, or the argument that it refers to; NULL: an argument that was not given. */
nib_status onnx_attribute_resolve(onnx_loader *l, const onnx_scope *s, const onnx_attribute *a, onnx_argument *out);

/* ---- tensors and types */
nib_status onnx_tensor_build(onnx_loader *l, const onnx_tensor *record, graph_tensor *out);
nib_status onnx_sparse_build(onnx_loader *l, const onnx_sparse *record, graph_tensor *out);
nib_status onnx_type_build(onnx_loader *l, graph_symtab *symbols, const onnx_type *record, graph_type *out);

#endif
