/* SPDX-License-Identifier: Apache-2.0
 *
 * The graph: what both doors (onnx/, hf/) make, what passes rewrite, what plans are made of.
 *
 * SSA: each value has one producer (a node, an input of the graph, or a constant). The order of the node list is a
 * topological order. Names are interned in the graph's string table, so equal names are equal pointers, and are unique
 * per graph (subgraphs may read outer values). Every node input is a graph_use, linked into its value's use list; only the
 * functions here change that.
 *
 * A constant's bytes usually point into a mapped file: no alignment is promised. Typed access goes through
 * graph_tensor_aligned, which copies a misaligned one; kernels that pack or gather may read unaligned.
 *
 * Everything lives in the graph's arena (also what passes create) until graph_free. Built and rewritten by one thread;
 * immutable and shared once planned.
 */
#ifndef GRAPH_H
#define GRAPH_H

#include "graph_sym.h"
#include "base/base_file.h"
#include "base/base_quant.h"

#define GRAPH_MAX_RANK NIB_MAX_RANK

typedef struct graph graph;
typedef struct graph_node graph_node;
typedef struct graph_value graph_value;
typedef struct graph_use graph_use;

/* Concrete tensor: constants, and what op's eval reads and writes. For strings, data is an array of graph_string; for a
 * container (NIB_DTYPE_SEQUENCE, NIB_DTYPE_OPTIONAL), an array of graph_tensor. */
typedef nib_tensor graph_tensor;
typedef nib_string graph_string;

typedef enum graph_kind { GRAPH_KIND_TENSOR, GRAPH_KIND_SEQUENCE, GRAPH_KIND_OPTIONAL, GRAPH_KIND_MAP } graph_kind;

typedef struct graph_type {
    graph_kind kind;                /* of a container, what follows is the element's */
    graph_kind of;                  /* a container's elements: GRAPH_KIND_TENSOR, or a sequence in an optional */
    nib_dtype dtype;                /* NIB_DTYPE_UNDEFINED: unknown */
    int rank;                       /* -1: unknown */
    graph_dim dims[GRAPH_MAX_RANK]; /* NULL: unknown */
    /* Where dtype is its element, elements lie so, beside their scales. Where dtype is floating point, the numbers are to be rounded to it
     * by whoever packs them: a weight says so of itself, and holds what the file has. */
    base_quant quant;
} graph_type;

/* A weight whose values exist only as kernels read them, in a compiled file: the constant says type and shape, and has no bytes. */
#define GRAPH_PACKED_PARTS 2
typedef struct graph_packed {
    const char *layout;                   /* kernel_layout_name of the kernels that read it */
    int parts;                            /* 2: the halves of a gated pair, each packed by itself */
    const void *data[GRAPH_PACKED_PARTS]; /* aligned to 64; mapped, or the arena's */
    size_t bytes[GRAPH_PACKED_PARTS];
} graph_packed;

struct graph_use {      /* one input of one node */
    graph_value *value; /* NULL: an optional input left out */
    graph_node *node;
    int index;
    graph_use *next, *prev; /* in the value's list */
};

struct graph_value {
    const char *name; /* interned, never NULL */
    graph_type type;
    /* What is known of an integer (or bool) tensor of rank 0 or 1 with at most GRAPH_MAX_DATA elements: its elements as
     * expressions, NULL where unknown. NULL if nothing is known. data_count elements. */
    graph_dim *data;
    int data_count;
    graph_tensor *constant;     /* not NULL: an initializer or folded value; its bytes are borrowed from file or arena */
    const graph_packed *packed; /* of a constant without bytes: only the weights of a nib.Linear are such */
    graph_tensor *preset;       /* of an input of the root graph: what it holds where a caller gives nothing; NULL: it must be given */
    graph_node *producer;       /* NULL: an input of this graph, a constant */
    int producer_index;
    graph_use *uses;
    int use_count;
    bool is_input, is_output;
    graph *owner;
    int id; /* unique in the graph, < graph_value_limit */
};
#define GRAPH_MAX_DATA 64

typedef enum graph_attr_kind {
    GRAPH_ATTR_FLOAT = 1,
    GRAPH_ATTR_INT = 2,
    GRAPH_ATTR_STRING = 3,
    GRAPH_ATTR_TENSOR = 4,
    GRAPH_ATTR_GRAPH = 5,
    GRAPH_ATTR_FLOATS = 6,
    GRAPH_ATTR_INTS = 7,
    GRAPH_ATTR_STRINGS = 8,
    GRAPH_ATTR_TENSORS = 9,
    GRAPH_ATTR_GRAPHS = 10,
    GRAPH_ATTR_TYPE = 13
} graph_attr_kind; /* the numbers are ONNX's AttributeProto.AttributeType */

typedef struct graph_attr {
    const char *name;
    graph_attr_kind kind;
    const char *ref; /* not NULL: stands for the attribute of that name of the enclosing function (until it is inlined) */
    size_t count;    /* of the list kinds */
    union {
        float f;
        int64_t i;
        graph_string s;
        graph_tensor *tensor;
        graph *graph;
        const float *floats;
        const int64_t *ints;
        const graph_string *strings;
        graph_tensor *const *tensors;
        graph *const *graphs;
        graph_type *type;
    } u;
} graph_attr;

/* What people and tools wrote beside a graph, a node, a model: nib reads none of it, and writes it again. Bytes are borrowed from the
 * file, as those of constants. */
typedef struct graph_metadata {
    graph_string doc;
    const graph_string (*props)[2]; /* [n_props] key, value */
    size_t n_props;
} graph_metadata;

struct op; /* op/op.h: what the node means */

struct graph_node {
    const char *op;           /* operator type, interned: "MatMul" */
    const char *domain;       /* "" for ai.onnx, "nib", "com.microsoft", ... interned */
    const char *name;         /* interned; "" if none */
    const struct op *meaning; /* set by op_resolve; NULL: unknown operator */
    int n_inputs, n_outputs, n_attrs;
    graph_use *inputs;     /* [n_inputs] */
    graph_value **outputs; /* [n_outputs], NULL: an optional output left out */
    graph_attr *attrs;
    const graph_metadata *metadata; /* NULL: none */
    graph *owner;
    graph_node *next, *prev;
    int id; /* unique in the graph, < graph_node_limit; ids do not follow the order */
};

typedef struct graph_opset {
    const char *domain;
    int version;
} graph_opset;

struct graph {
    const char *name;
    graph *parent; /* of a subgraph */
    int depth;
    base_heap *heap;
    base_arena *arena;     /* shared with subgraphs */
    graph_symtab *symbols; /* shared with subgraphs */
    struct graph_names *names;
    graph_node *first, *last;
    int node_count, node_limit, value_limit;
    graph_value **inputs; /* those that must be given stand before those with a preset */
    int n_inputs;
    int cap_inputs;
    graph_value **outputs;
    int n_outputs;
    int cap_outputs;
    graph_value **constants;
    int n_constants;
    int cap_constants; /* initializers in file order; may include unused ones */
    graph_opset *opsets;
    int n_opsets;
    bool resolved; /* op_resolve gave its nodes their meanings */
    int64_t ir_version;
    const char *producer;                   /* "pytorch 2.15", or "" */
    const graph_metadata *metadata, *model_metadata; /* NULL: none; the model's belong to the root graph, as what follows */
    graph_string producer_name, producer_version, model_domain;
    int64_t model_version; /* 0: not said */
    /* Files that constants point into; closed by graph_free. */
    base_file *files;
    int n_files;
};

/* The bodies that a node has as attributes (If, Loop, Scan, ..), in their order:
 *     for (graph_bodies b = {.node = n}; graph_next_body(&b);) .. b.body ..
 * The node's attributes may not change meanwhile; the body may. */
typedef struct graph_bodies {
    const graph_node *node;
    graph *body; /* the one at hand */
    int attr;
    size_t at;
} graph_bodies;
bool graph_next_body(graph_bodies *b); /* false: there are no more */
bool graph_has_bodies(const graph_node *n);

/* ---- making */
nib_status graph_create(base_heap *heap, graph **out, nib_error *err);
/* LIMIT beyond the heap's limits.graph_depth; owned by the parent's arena. */
nib_status graph_create_sub(graph *parent, graph **out, nib_error *err);
/* A copy that passes may rewrite, with its own arena and symbols. Constants' bytes stay the original's, which must live longer. */
nib_status graph_clone(const graph *g, graph **out, nib_error *err);
/* The nodes n of root graph g for which inside[n->id] holds, as a graph of its own, under the same rules. Its inputs are
 * what they and their bodies read and others give, g's inputs first; its outputs what they make and others, or g's callers,
 * read; its constants are those that they read. Values keep their names and symbols their numbers; a preset stays behind:
 * whoever runs it gives all inputs. The nodes must be a convex set: no path from one to another leads through a node outside. */
nib_status graph_extract(const graph *g, const bool *inside, graph **out, nib_error *err);
bool graph_uses_domain(const graph *g, const char *domain); /* whether a node, bodies' too, is of it */
void graph_free(graph *g);                                  /* a root graph; NULL is accepted */

const char *graph_intern(graph *g, const char *text, size_t length); /* NULL when memory runs out */
nib_status graph_set_opset(graph *g, const char *domain, int version, nib_error *err);
int graph_opset_version(const graph *g, const char *domain);           /* 0 if the graph does not import it; "nib" is always 1 */
nib_status graph_take_file(graph *g, base_file *file, nib_error *err); /* takes *file (zeroes it), on failure too */

/* A value of that name; `name` NULL or already taken: a fresh name derived from it (only for values that passes make).
 * The value has no producer yet. */
graph_value *graph_add_value(graph *g, const char *name);
/* One of that very name, which no other value of g has: graphs around g may, and do, where an If is called as what its branches give. */
graph_value *graph_add_named(graph *g, const char *name);
graph_value *graph_find_value(const graph *g, const char *name); /* in g only, not in its parents; NULL if none */
nib_status graph_add_input(graph *g, graph_value *v);
nib_status graph_add_output(graph *g, graph_value *v);
int graph_required_inputs(const graph *g); /* how many of the inputs have no preset */
/* The value gets a constant's type and bytes; t lives as long as the graph. */
nib_status graph_make_constant(graph *g, graph_value *v, graph_tensor *t);
/* Makes an input of a constant, which leaves its value as a preset; graph_drop_presets drops it from the list of constants. */
nib_status graph_make_preset(graph *g, graph_value *constant, const graph_type *declared);
void graph_drop_presets(graph *g);
bool graph_preset_fits(const graph_value *v); /* v's type allows its preset, or it has none */
/* Every input with a preset becomes a constant: of a graph that nobody calls by the names of its inputs. */
nib_status graph_fix_presets(graph *g, nib_error *err);
/* A constant with a copy of `tensor`'s header; its bytes are borrowed (file, arena), or copied into the arena if `copy`. */
graph_value *graph_add_constant(graph *g, const char *name, const graph_tensor *tensor, bool copy);
graph_value *graph_const_i64(graph *g, const char *name, const int64_t *values, int64_t count); /* rank 1; count < 0: a scalar, rank 0 */
graph_value *graph_const_f32(graph *g, const char *name, float value);                          /* scalar */

/* Appends a node (before `before`, if not NULL). Inputs may be NULL (left out). `outputs` are made by the caller with
 * graph_add_value, each without a producer. Returns NULL when memory runs out. */
graph_node *graph_add_node(graph *g, graph_node *before, const char *domain, const char *op, const char *name, graph_value *const *inputs,
                           int n_inputs, graph_value *const *outputs, int n_outputs);
/* The same with one fresh output, returned. */
graph_value *graph_emit(graph *g, graph_node *before, const char *domain, const char *op, graph_value *const *inputs, int n_inputs,
                        const char *output_name);

/* Attributes; setting one that exists replaces it. Lists and strings are copied. */
nib_status graph_set_attr(graph_node *n, const graph_attr *attr);
nib_status graph_set_int(graph_node *n, const char *name, int64_t value);
nib_status graph_set_float(graph_node *n, const char *name, float value);
nib_status graph_set_string(graph_node *n, const char *name, const char *value);
nib_status graph_set_ints(graph_node *n, const char *name, const int64_t *values, size_t count);
const graph_attr *graph_find_attr(const graph_node *n, const char *name); /* NULL if absent */
int64_t graph_attr_int(const graph_node *n, const char *name, int64_t otherwise);
float graph_attr_float(const graph_node *n, const char *name, float otherwise);
const char *graph_attr_string(const graph_node *n, const char *name, const char *otherwise); /* NUL-terminated */
/* Number of elements (-1: absent), *values points to them. */
int64_t graph_attr_ints(const graph_node *n, const char *name, const int64_t **values);

/* ---- changing */
void graph_set_input(graph_node *n, int index, graph_value *v); /* v may be NULL */
nib_status graph_append_input(graph_node *n, graph_value *v, nib_error *err);
void graph_replace_uses(graph *g, graph_value *old, graph_value *with); /* node inputs in g and its subgraphs, and g's outputs;
                                                                           an output keeps its name: `with` takes it over, or, if it is an
                                                                           input or an output itself, the output stays `old` */
/* The same; and a fresh value, made by a pass to stand for `old`, gets old's name, so that a graph which is rewritten twice keeps
 * its names. */
void graph_take_over(graph *g, graph_value *old, graph_value *with);
/* Gives every input, constant and node output the name names[id] (interned, unique); values that are none of these lose theirs.
 * False when memory runs out. */
bool graph_rename(graph *g, const char *const *names);
void graph_remove_node(graph *g, graph_node *n); /* its outputs must be unused; they lose their producer */
void graph_move_before(graph_node *n, graph_node *before);
/* Calls fn for each value that the node's subgraphs (theirs too) read from the node's graph or one around it; several times
 * for a value that is read several times. */
void graph_each_capture(const graph_node *n, void (*fn)(void *user, graph_value *v), void *user);
/* NULL n: false. In a graph that op_resolve has seen, a node without a meaning is no operator that anyone knows, whatever it calls itself:
 * its inputs were never counted (an opset that is not imported, or a version that does not have the operator). */
bool graph_is_op(const graph_node *n, const char *domain, const char *op);

/* The constant's scalar as double; false if v is no constant with one numeric element. */
bool graph_scalar(const graph_value *v, double *out);
size_t graph_type_bytes(nib_dtype dtype, size_t elements); /* packed; SIZE_MAX on overflow; strings: sizeof(graph_string) each */
int64_t graph_tensor_elements(const graph_tensor *t);      /* product of dims, -1 on overflow or a negative dim */
/* The bytes of a tensor aligned for its type (and to 16 at least if it had to be copied into `arena`); NULL when memory runs out. */
const void *graph_tensor_aligned(base_arena *arena, const graph_tensor *t);
/* Moves what is not aligned, in bodies too, to g's arena, once for all the plans that will be made of g and its copies. False when memory
 * runs out: some are where they were. */
bool graph_align_constants(graph *g);

/* ---- checking (graph_verify.c): SSA, order, names, use lists, ids, subgraph depth; INTERNAL or BAD_MODEL with the node's name. */
nib_status graph_verify(const graph *g, nib_error *err);

/* ---- ONNX's textual syntax (graph_text.c), https://onnx.ai/onnx/repo-docs/Syntax.html: the whole model, `<ir_version: 8,
 * opset_import: [...]>` then `name (float[batch,seq] x) => (float[batch] y) <initializers> { y = Op <attr = v> (x) }`.
 * Values of constants longer than `max_elements` print as `...` (a form the parser refuses). */
nib_status graph_print(const graph *g, int64_t max_elements, base_str *out);
nib_status graph_parse(base_heap *heap, const char *text, size_t length, graph **out, nib_error *err);

#endif
