/* SPDX-License-Identifier: Apache-2.0
 *
 * What an operator means: one row per operator (and per since-version where the meaning changed), one file per family.
 *
 *     const op op_family_math[] = {
 *         { "Add", "", 7, 2, 2, 1, OP_ROWS_ELEMENT, infer_broadcast, eval_add, NULL },
 *         ...
 *         { 0 } };
 *
 * infer computes output types from input types (and symbolic contents). eval computes output tensors from input tensors, in
 * plain C; it allocates nothing: it asks its context for output i once it knows the shape, and for scratch memory. Constant
 * folding, the conformance suite and the executor's fallback call the same eval and differ only in that context.
 *
 * Elements below a byte (u4, i4, u2, i2, f4e2m1) lie packed everywhere but inside an eval: op_eval_node unpacks inputs to one
 * element a byte (integers extended to it) and packs outputs, so that an operator that moves bytes moves these too.
 *
 * Sources: https://onnx.ai/onnx/operators/ for domain "", doc/operators.md for domain "nib", doc/contrib.md for the others.
 */
#ifndef OP_H
#define OP_H

#include "graph/graph.h"
#include "kernel/kernel.h"

/* How output rows depend on input rows. A row is the last axis; rows are all axes before it. */
typedef enum op_rows {
    OP_ROWS_MIXED,   /* no promise */
    OP_ROWS_ELEMENT, /* element-wise with broadcasting: an output element depends on the input elements it broadcasts from */
    OP_ROWS_LAST,    /* an output row depends only on the same row of input 0, and on the other inputs as parameters
                        (norms, MatMul with a 2-D right side, Linear, softmax); holds only if op_rows_of says so for the
                        node's attributes (axis = last) */
    OP_ROWS_GATHER,  /* output [indices..., columns]: one row for each element of the index input (Gather axis 0, Embed) */
    /* Beside one of these: inputs, or outputs, may be sequences and optionals. Everywhere else they are refused before eval, so
     * that what moves elements as bytes never meets one. */
    OP_TAKES_LISTS = 8,
    OP_GIVES_LISTS = 16,
    OP_LISTS = OP_TAKES_LISTS | OP_GIVES_LISTS
} op_rows;

typedef struct op_infer {
    graph *g;
    const graph_node *node;
    nib_error *err;
    nib_status status;
} op_infer;

typedef struct op_eval op_eval;
struct op_eval {
    const graph_node *node;
    int n_in;
    const graph_tensor *const *in;  /* [n_in]; NULL: left out. Data aligned for the type */
    const graph_tensor *const *raw; /* the same as they lie outside of evals; set by op_eval_node */
    const kernels *kernels;         /* never NULL */
    /* Gives output i its type and shape and returns where to write it; NULL on failure, with *err filled: return
     * ctx->status then. An output that the node leaves out gets NULL with status OK: skip it. */
    void *(*output)(op_eval *ctx, int i, nib_dtype dtype, int rank, const int64_t *dims);
    /* Memory for the time of this eval, 64-aligned; NULL on failure (status set). */
    void *(*scratch)(op_eval *ctx, size_t bytes);
    /* Memory that lives as long as output i, for what its elements point to (strings, tensors of a sequence); asked for once
     * an output. Evals never call it: what they put into such an output may point to inputs, scratch or a body's outputs, and
     * op_eval_node moves it. NULL on failure. */
    void *(*hold)(op_eval *ctx, int i, size_t bytes);
    /* Runs a graph that is an attribute of the node. inputs [g->n_inputs]; values of outer graphs are the context's to find.
     * outputs [g->n_outputs] are filled; they live until the next call, or the end of this eval, and may alias inputs. */
    nib_status (*body)(op_eval *ctx, const graph *g, const graph_tensor *const *inputs, graph_tensor *outputs);
    /* Answers whether so much more work may be done; asked by op_spend. NULL: nobody counts. */
    nib_status (*spend)(op_eval *ctx, int64_t work);
    void *user; /* the context's own */
    nib_error *err;
    nib_status status;    /* why the last output() or scratch() gave NULL */
    struct op_pending *pending; /* op_eval_node's own: outputs to finish once eval is done */
    int n_pending;
    char *text; /* op_text's own: what is left of its block */
    size_t text_left;
};

typedef struct op {
    const char *name, *domain;
    int since;                 /* first opset version with this meaning */
    int min_in, max_in, n_out; /* max_in INT_MAX, n_out -1: variadic */
    op_rows rows;
    nib_status (*infer)(op_infer *ctx);
    nib_status (*eval)(op_eval *ctx);
    /* Rewrites a nib node as standard operators before it, in place of it; NULL: is standard already. */
    nib_status (*expand)(graph *g, graph_node *node, nib_error *err);
} op;

/* The row for a node's operator in the opset that its root graph imports; NULL if there is none. */
const op *op_find(const char *domain, const char *name, int opset);
/* Sets node->meaning of every node, subgraphs included; nodes that nib does not know keep NULL. */
void op_resolve(graph *g);

#define OP_ENV_BODIES 65536            /* runs of bodies that evaluating at build time may take */
#define OP_ENV_WORK ((int64_t)1 << 32) /* and work, as op_spend counts it: seconds */

/* Infers types and symbolic contents of every value, in order, subgraphs included; merges them with what the file declares.
 * SHAPE, TYPE with the node's name where they contradict. Nodes without meaning leave their outputs unknown. */
nib_status op_infer_graph(graph *g, nib_error *err);
/* The same for a graph as its file has it. Shapes that the file declares and its operators contradict are left out, all of them, and
 * inferred from the inputs alone: why[] says what contradicted, or is "". SHAPE only where the operators contradict each other. */
nib_status op_infer_declared(graph *g, char *why, size_t capacity, nib_error *err);
/* The same for one node that a pass has just made. */
nib_status op_infer_node(graph *g, graph_node *n, nib_error *err);

/* The promise for this very node (attributes and ranks looked at): OP_ROWS_MIXED where its table row's does not hold. */
op_rows op_rows_of(const graph_node *n);

/* Runs a node's eval and reports what it gave. BAD_MODEL if the node has no eval. Checks n_in against the table first. */
nib_status op_eval_node(op_eval *ctx);

/* ---- evaluating whole subgraphs at build time: folding. Values are stored in an arena. */
typedef struct op_env op_env; /* value -> tensor, for one graph */
op_env *op_env_create(const graph *g, base_arena *arena, size_t byte_limit, const kernels *kernels);
/* Counts work in *spent, which other environments share, up to limit; without this in one of its own, up to OP_ENV_WORK. */
void op_env_work(op_env *env, int64_t *spent, int64_t limit);
nib_status op_env_set(op_env *env, const graph_value *v, const graph_tensor *tensor); /* data is borrowed */
/* Computes v and what it needs, recursively; constants count as set. LIMIT beyond byte_limit; NOT_FOUND if it needs an
 * unset graph input. The tensor lives in the arena. */
nib_status op_env_get(op_env *env, graph_value *v, const graph_tensor **out, nib_error *err);
/* Computes one node, all of whose inputs are constants or set; op_env_get then has its outputs. Costs nothing per node of the graph. */
nib_status op_env_run(op_env *env, const graph_node *n, nib_error *err);

/* ---- helpers for family files (op_util.c) */
const graph_value *op_in(const op_infer *c, int i);                                          /* NULL: left out or absent */
const graph_type *op_in_type(const op_infer *c, int i);                                      /* a type of unknowns for NULL */
nib_status op_fail(op_infer *c, nib_status code, const char *format, ...) BASE_PRINTF(3, 4); /* with the node's name */
/* Sets output i; dims NULL: unknown (rank >= 0) dims. Does nothing for an output left out. */
nib_status op_set(op_infer *c, int i, nib_dtype dtype, int rank, const graph_dim *dims);
nib_status op_set_like(op_infer *c, int i, nib_dtype dtype, const graph_type *type); /* its rank and dims */
nib_status op_set_data(op_infer *c, int i, const graph_dim *data, int count);        /* symbolic contents */
/* Symbolic contents of input i: from data, or from a constant integer tensor of at most GRAPH_MAX_DATA elements; false if unknown. */
bool op_in_data(const op_infer *c, int i, graph_dim *out, int *count);
/* A constant integer input's elements (GRAPH_MAX_DATA at most); false if not constant. */
bool op_in_ints(const op_infer *c, int i, int64_t *out, int *count);
/* Broadcast of two types' dims into out; -1 on contradiction, else the rank. */
int op_broadcast(graph_symtab *t, const graph_type *a, const graph_type *b, graph_dim *out);
/* Axis in [-rank, rank) -> [0, rank); -1 if out of range. */
int op_axis(int64_t axis, int rank);
nib_status op_bad(op_eval *c, nib_status code, const char *format, ...) BASE_PRINTF(3, 4); /* eval's op_fail */

/* Element i of any real tensor, aligned for its type; 0 for other types. */
double op_number(const graph_tensor *t, int64_t i);

#endif
