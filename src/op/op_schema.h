/* SPDX-License-Identifier: Apache-2.0
 *
 * What ai.onnx's operators take and give in each opset, as onnx's own schemas say: the words of a file, where op_table.c has the meaning.
 * Readers of other make refuse a file with an attribute, an input or a type that its opset does not have.
 */
#ifndef OP_SCHEMA_H
#define OP_SCHEMA_H

#include "graph/graph.h"

#define OP_SCHEMA_ANY 255 /* of a count: as many as there are */

typedef struct op_schema { /* see tools/make_opset_table.py */
    const char *name;
    int since, deprecated;
    int min_in, max_in, min_out, max_out;
    const char *attrs, *types;
} op_schema;

extern const uint64_t op_schema_sets[];
extern const op_schema op_schema_rows[]; /* [op_schema_count] by name, then by opset */
extern const size_t op_schema_count;

/* The operator's row in that opset; NULL: it has none. */
const op_schema *op_schema_find(const char *name, int opset);
/* "NAME=KIND[DEFAULT]" of an attribute; NULL: the operator has none of that name. */
const char *op_schema_attr(const op_schema *s, const char *name);
/* The attribute says no more than its absence would. */
bool op_schema_is_default(const op_schema *s, const graph_attr *a);

/* UNSUPPORTED, with the node and what its operator does not have in the opset that the graph imports; bodies are looked at, too. What is of
 * other domains is not known here. onnxruntime: what only ONNX Runtime has in ai.onnx's domain is allowed. */
nib_status op_schema_check(const graph *g, bool onnxruntime, nib_error *err);

#endif
