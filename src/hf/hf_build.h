/* SPDX-License-Identifier: Apache-2.0
 *
 * Words for the builders of model families, so that they read like the paper.
 *
 * Every helper emits standard ai.onnx operators (opset HF_OPSET) and returns the value it made. The first failure is kept in
 * b->status; from then on helpers return NULL and accept NULL, so that a builder checks once, at its end. Paths name weights
 * ("encoder.layer.0.output.dense") without the model's prefix; nodes are named after them.
 */
#ifndef HF_BUILD_H
#define HF_BUILD_H

#include "hf.h"

#define HF_OPSET 17

/* A path made of pieces; lives in the graph's arena. */
const char *hf_path(hf_builder *b, const char *format, ...) BASE_PRINTF(2, 3);

/* ---- config.json */
/* Refusing does not return from the builder, which goes on computing until it looks: what is refused is given as a size that nothing
 * can divide by and fail. */
/* A positive integer below 2^31: BAD_MODEL, and 1, if it is absent or anything else. */
int64_t hf_config_size(hf_builder *b, const char *key);
/* hidden / heads: BAD_MODEL, and `multiple`, if that is no whole multiple of `multiple`. */
int64_t hf_head_size(hf_builder *b, int64_t hidden, int64_t heads, int64_t multiple);
void hf_refuse(hf_builder *b, nib_status status, const char *format, ...) BASE_PRINTF(3, 4); /* keeps the first one */

/* ---- weights */
/* The weight as f32: [rows] if columns is 0, else [rows, columns]. NULL and BAD_MODEL, naming it, if it is not there or of
 * another shape. f16, bf16 and f64 weights pass through a Cast. */
graph_value *hf_weight(hf_builder *b, const char *name, int64_t rows, int64_t columns);
bool hf_has_weight(const hf_builder *b, const char *name);

/* ---- operators */
/* One operator with one output named `name`. */
graph_value *hf_op(hf_builder *b, const char *op, const char *name, graph_value *const *inputs, int count);
graph_value *hf_op1(hf_builder *b, const char *op, const char *name, graph_value *x);
graph_value *hf_op2(hf_builder *b, const char *op, const char *name, graph_value *x, graph_value *y);
graph_value *hf_scalar(hf_builder *b, float value);                             /* one constant for each value */
graph_value *hf_input(hf_builder *b, const char *name);                         /* i64 [batch, seq] */
void hf_output(hf_builder *b, const char *name, graph_value *x, int64_t width); /* f32 [batch, seq, width] */
graph_value *hf_reshape(hf_builder *b, const char *name, graph_value *x, const int64_t *shape, int64_t rank);
graph_value *hf_transpose(hf_builder *b, const char *name, graph_value *x, const int64_t *perm, size_t rank);

graph_value *hf_unsqueeze(hf_builder *b, const char *name, graph_value *x, int64_t axis);
graph_value *hf_concat(hf_builder *b, const char *name, graph_value *x, graph_value *y);              /* along the last axis */
graph_value *hf_columns(hf_builder *b, const char *name, graph_value *x, int64_t begin, int64_t end); /* of the last axis */
/* `count` (at most 4) parts of `width` columns each, named name.0, name.1, ...; false: failed. */
bool hf_split(hf_builder *b, const char *name, graph_value *x, int64_t width, int count, graph_value **parts);

/* ---- layers; x is [batch, seq, in] */
graph_value *hf_linear(hf_builder *b, const char *path, graph_value *x, int64_t in, int64_t out); /* x W^T + bias */
graph_value *hf_project(hf_builder *b, const char *path, graph_value *x, int64_t in, int64_t out, bool bias);
graph_value *hf_norm(hf_builder *b, const char *path, graph_value *x, int64_t width, float epsilon, bool bias);
graph_value *hf_layer_norm(hf_builder *b, const char *path, graph_value *x, int64_t width, float epsilon);
graph_value *hf_embedding(hf_builder *b, const char *path, graph_value *ids, int64_t rows, int64_t width);
graph_value *hf_activation(hf_builder *b, const char *path, const char *name, graph_value *x); /* "gelu", "relu", ... */
/* [batch, 1, 1, seq]: 0 where the mask [batch, seq] is 1, the least float where it is 0; added to scores. */
graph_value *hf_mask_bias(hf_builder *b, graph_value *mask);
/* [1, seq]: 0, 1, 2, ... as many as ids [batch, seq] has columns; a slice of a constant of `limit`. */
graph_value *hf_positions(hf_builder *b, graph_value *ids, int64_t limit);
/* softmax(q k^T / sqrt(D) + bias) v over heads; q, k, v and the result are [batch, seq, hidden]. */
graph_value *hf_attention(hf_builder *b, const char *path, graph_value *q, graph_value *k, graph_value *v, graph_value *bias, int64_t heads,
                          int64_t hidden);

/* Its halves: rows [batch, seq, heads D] as [batch, heads, seq, D], and the rest, on q and v so and k [batch, heads, D, seq]. */
graph_value *hf_heads(hf_builder *b, const char *path, graph_value *x, int64_t heads, int64_t D);
graph_value *hf_attend(hf_builder *b, const char *path, graph_value *q, graph_value *k, graph_value *v, graph_value *bias, int64_t D,
                       int64_t hidden);

/* ---- families */
nib_status hf_build_bert(hf_builder *b);
nib_status hf_build_modernbert(hf_builder *b);

#endif
