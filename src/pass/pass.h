/* SPDX-License-Identifier: Apache-2.0
 *
 * Graph -> graph. Each pass is one file; pass_list.c is their order and the -O levels. A pass leaves a graph on which
 * graph_verify holds (checked after each in debug builds) and whose outputs are the same within rounding.
 *
 * What a pass looks for is a pattern: a tree of operators in one line of text (pass_match.h), not nested ifs. What it
 * refuses it says with pass_note, and `nib explain` prints those very lines.
 */
#ifndef PASS_H
#define PASS_H

#include "base/base_runtime.h"
#include "graph/graph.h"
#include "op/op_nib.h"

typedef struct pass_notes { /* one line each: what was done, what was refused and why */
    base_str text;
} pass_notes;

typedef struct pass_context {
    graph *g;
    nib_runtime *runtime;
    const kernels *kernels;
    int level;                   /* -O level: 0 nothing, 1 simplify, 2 fuse, ... */
    bool file;                   /* the graph is to be written: a weight may be moved at build time, but must not become larger */
    bool keep_contrib;           /* the file may hold com.microsoft's operators: those that are there stay */
    bool pack;                   /* run pass_pack: the caller wants `task` meaning */
    size_t fold_limit;           /* bytes that one folded value may have; 0: the heap's limits.fold_bytes */
    size_t fold_left;            /* bytes that all values still to be folded may have; pass_run_all sets it */
    const char *const *disabled; /* [n_disabled] names of passes that are not run */
    size_t n_disabled;
    pass_notes *notes; /* may be NULL */
    nib_error *err;
    bool fused;  /* the fusing passes have run: what they look for need not be kept any more */
    int changes; /* rewrites made so far */
} pass_context;

#define PASS_FOLD_LIMIT (64u << 20)
/* Bytes that all folded values may have together: many small nodes must not make of a small file more than one large value and what
 * widening its constants takes. */
size_t pass_fold_budget(const pass_context *ctx);

/* Runs the passes of ctx->level in order. */
nib_status pass_run_all(pass_context *ctx);

/* Whether there is a pass of that name (what `disabled` may list). */
bool pass_exists(const char *name);

void pass_note(pass_context *ctx, const char *format, ...) BASE_PRINTF(2, 3);

/* The passes. */
nib_status pass_contrib(pass_context *ctx);    /* com.microsoft's operators -> those that the other passes know */
nib_status pass_fold(pass_context *ctx);       /* constant nodes and shape arithmetic -> constants */
nib_status pass_constants(pass_context *ctx);  /* equal constants -> one */
nib_status pass_reshape(pass_context *ctx);    /* computed shapes, chains of reshapes -> one Reshape to a constant shape */
nib_status pass_shape(pass_context *ctx);      /* every computed size that is an input's size -> read from that input */
nib_status pass_clean(pass_context *ctx);      /* nodes without effect, duplicates, dead code */
nib_status pass_transpose(pass_context *ctx);  /* chains of Transpose, and reshapes around one -> one Transpose */
nib_status pass_linear(pass_context *ctx);     /* MatMul, Gemm, + Add -> nib.Linear */
nib_status pass_activation(pass_context *ctx); /* what follows a Linear -> its activation and residual */
nib_status pass_norm(pass_context *ctx);       /* LayerNormalization and its long forms -> nib.Norm */
nib_status pass_embed(pass_context *ctx);      /* sums of Gathers -> nib.Embed */
nib_status pass_columns(pass_context *ctx);    /* parts of rows folded along an axis -> parts of their columns */
nib_status pass_rotary(pass_context *ctx);     /* x cos + rotate_half(x) sin on split heads -> nib.Rotary on rows */
nib_status pass_qkv(pass_context *ctx);        /* queries, keys and values of one attention -> columns of one Linear */
nib_status pass_attention(pass_context *ctx);  /* split heads, scores, softmax, values, merge heads -> nib.Attention */
nib_status pass_pack(pass_context *ctx);       /* padded batch -> packed rows, where that is proven (pass_pack.c) */

/* ---- for files */
nib_status pass_opset(pass_context *ctx, int opset); /* the same graph in another opset of ai.onnx; UNSUPPORTED names the node */
/* nib's operators -> operators that others know: ai.onnx's of the graph's opset; with `onnxruntime` also com.microsoft's. */
nib_status pass_expand(pass_context *ctx, bool onnxruntime);
nib_status pass_names(pass_context *ctx);      /* names and order of constants that depend only on the graph */
nib_status pass_expand_ort(pass_context *ctx); /* its second part */

/* How many keys before and after itself a query sees, in columns of the mask; -1: all. */
typedef struct pass_window {
    int64_t left, right;
} pass_window;

/* Is `bias`, added to attention scores, nothing but the padding of keys by `mask` [B, S] and a window over i - j? Evaluates the
 * subgraph that computes it on samples of sizes and masks (DESIGN: recognise by what it computes). On a "no", why[] says what was
 * seen. */
bool pass_is_key_padding(pass_context *ctx, graph_value *bias, graph_value *mask, pass_window *window, char *why, size_t capacity);

/* ---- helpers shared by passes (pass_util.c) */
/* Replaces root (an output of a node) by `with` everywhere, and infers with's type first if it is unknown. */
nib_status pass_replace(pass_context *ctx, graph_value *root, graph_value *with);
/* Adds node domain.op before `before`, with one output, inferred. */
graph_value *pass_emit(pass_context *ctx, graph_node *before, const char *domain, const char *type, graph_value *const *in, int n_in,
                       const char *hint);
/* Element i of a constant list of integers; false if v is none. */
bool pass_int_at(const graph_value *v, int i, int64_t *out);
/* v is columns [first, ..) of another value: an output of Split, or a Slice, along the last axis. Returns that value, or NULL. */
graph_value *pass_columns_of(const graph_value *v, int64_t *first);
bool pass_same_shape(const graph_value *a, const graph_value *b);                /* provably: same rank, equal dims, all known */
bool pass_needs(pass_context *ctx, const graph_value *v, const graph_value *of); /* v is computed from `of` (or memory ran out) */

#endif
