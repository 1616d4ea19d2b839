/* SPDX-License-Identifier: Apache-2.0
 *
 * Words for the builders of model families, so that they read like the paper.
 *
 * Every helper emits standard ai.onnx operators (opset HF_OPSET) and returns the value it made. The first failure is
 * kept in b->status; from then on helpers return NULL and accept NULL, so that a builder checks once, at its end. Paths
 * name weights
 * ("encoder.layer.0.output.dense") without the model's prefix; nodes are named after them.
 */
#ifndef HF_BUILD_H
#define HF_BUILD_H

#include "hf.h"

#define HF_OPSET 17

typedef struct hf_builder {
    graph *g;
    yyjson_val *config; /* what describes the text model: hf_text_config of root */
    yyjson_val *root;   /* of config.json */
    hf_weights *weights;
    const char *prefix;          /* found in the weights' names: "", "bert.", ... */
    const char *const *prefixes; /* what else may stand before a name */
    nib_status status;           /* the first failure; after it every helper does nothing */
    nib_error *err;
} hf_builder;

/* A path made of pieces; lives in the graph's arena. */
const char *hf_path(hf_builder *b, const char *format, ...) BASE_PRINTF(2, 3);

void hf_refuse(hf_builder *b, nib_status status, const char *format, ...) BASE_PRINTF(3, 4); /* keeps the first one */
void hf_no_memory(hf_builder *b);
/* A member of `object` that is a number: `otherwise` if it is absent or null (NaN: that is an error); BAD_MODEL, and
 * `least`, if it is none, or out of [least, most]. */
double hf_config_real(hf_builder *b, yyjson_val *object, const char *key, double otherwise, double least, double most);
/* The same of config.json's own members. */
int64_t hf_config_int(hf_builder *b, const char *key, int64_t otherwise, int64_t least, int64_t most);
bool hf_config_flag(hf_builder *b, const char *key, bool otherwise);
const char *hf_config_word(hf_builder *b, const char *key, const char *otherwise);

/* ---- weights */
/* The weight as f32: [rows] if columns is 0, else [rows, columns]. NULL and BAD_MODEL, naming it, if it is not there or
 * of another shape. f16, bf16 and f64 weights pass through a Cast. */
graph_value *hf_weight(hf_builder *b, const char *name, int64_t rows, int64_t columns);
/* `count` of its rows, row(i) as number i, copied: what exporters say by an operator on the rows that come out, for
 * which no step is fast. `called`: which rows they are. */
typedef struct hf_pick {
    const char *called;
    int64_t count;
    int64_t (*row)(int64_t i, const void *user);
    const void *user;
} hf_pick;
graph_value *hf_weight_picked(hf_builder *b, const char *name, int64_t rows, int64_t columns, const hf_pick *pick);
bool hf_has_weight(const hf_builder *b, const char *name);
int64_t hf_weight_rows(const hf_builder *b, const char *name); /* 0: it is not there */

/* ---- operators */
/* One operator with one output named `name`. */
graph_value *hf_op(hf_builder *b, const char *op, const char *name, graph_value *const *inputs, int count);
graph_value *hf_op1(hf_builder *b, const char *op, const char *name, graph_value *x);
graph_value *hf_op2(hf_builder *b, const char *op, const char *name, graph_value *x, graph_value *y);
graph_value *hf_scalar(hf_builder *b, float value);                  /* one constant for each value */
graph_value *hf_int(hf_builder *b, const char *name, int64_t value); /* i64 [] */
graph_value *hf_ints(hf_builder *b, const char *name, const int64_t *values, int64_t count); /* i64 [count] */
/* [rows, columns], or [rows] if columns is 0, whose numbers are fill(i, user) in order. */
graph_value *hf_constant(hf_builder *b, const char *name, int64_t rows, int64_t columns,
                         float (*fill)(int64_t i, const void *user), const void *user);
graph_value *hf_cast(hf_builder *b, const char *name, graph_value *x, nib_dtype to);
graph_value *hf_input(hf_builder *b, const char *name); /* i64 [batch, seq] */
/* f32 [batch, seq, width], or [batch, width] if rank is 2 */
void hf_output(hf_builder *b, const char *name, graph_value *x, int rank, int64_t width);
graph_value *hf_reshape(hf_builder *b, const char *name, graph_value *x, const int64_t *shape, int64_t rank);
graph_value *hf_transpose(hf_builder *b, const char *name, graph_value *x, const int64_t *perm, size_t rank);

graph_value *hf_unsqueeze(hf_builder *b, const char *name, graph_value *x, int64_t axis);
graph_value *hf_concat(hf_builder *b, const char *name, graph_value *x, graph_value *y); /* along the last axis */
graph_value *hf_columns(hf_builder *b, const char *name, graph_value *x, int64_t begin,
                        int64_t end); /* of the last axis */
/* `count` parts of so many columns, named name.0, name.1, ...; false: failed. */
bool hf_split(hf_builder *b, const char *name, graph_value *x, const int64_t *widths, int count, graph_value **parts);

/* ---- layers; x is [batch, seq, in] */
graph_value *hf_project(hf_builder *b, const char *path, graph_value *x, int64_t in, int64_t out,
                        bool bias); /* x W^T + bias */
/* x w^T + bias, of values; bias NULL: none. */
graph_value *hf_product(hf_builder *b, const char *path, graph_value *x, graph_value *w, graph_value *bias);
graph_value *hf_layer_norm(hf_builder *b, const char *path, graph_value *x, int64_t width, float epsilon, bool bias);
graph_value *hf_rms_norm(hf_builder *b, const char *path, graph_value *x, int64_t width, float epsilon, bool plus_one);
graph_value *hf_embedding(hf_builder *b, const char *path, graph_value *ids, int64_t rows, int64_t width);
graph_value *hf_activation(hf_builder *b, const char *path, const char *name, graph_value *x); /* "gelu", "relu", ... */
bool hf_knows_activation(const char *name);                                                    /* NULL: no */
/* [batch, 1, 1, seq]: 0 where the mask [batch, seq] is 1, the least float where it is 0; added to scores. */
graph_value *hf_mask_bias(hf_builder *b, graph_value *mask);
/* [1, seq]: first, first + 1, ... as many as ids [batch, seq] has columns; a slice of a constant of `limit`. */
graph_value *hf_positions(hf_builder *b, const char *name, graph_value *ids, int64_t limit, int64_t first);
/* [seq]: 0, 1, 2, ... as many as ids [batch, seq] has columns, without a limit. */
graph_value *hf_range(hf_builder *b, graph_value *ids);
/* Rows [batch, seq, heads D] as [batch, heads, seq, D], or, turned, [batch, heads, D, seq]. */
graph_value *hf_heads(hf_builder *b, const char *path, graph_value *x, int64_t heads, int64_t D, bool turned);

#endif
