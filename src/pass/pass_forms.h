/* SPDX-License-Identifier: Apache-2.0
 *
 * What the forms of attention and of rotary positions in files have in common, ai.onnx's and com.microsoft's. All make nodes in front
 * of `before` and return NULL when memory runs out, unless they say otherwise.
 */
#ifndef PASS_FORMS_H
#define PASS_FORMS_H

#include "pass.h"

/* The bias of attention as [1 or B, 1 or H, S, T], whole in its last two axes, as ONNX Runtime wants it. */
graph_value *pass_full_bias(pass_context *ctx, graph_node *before, graph_value *bias, graph_value *q, graph_value *k);
/* The same bias without the lowest f32, which ONNX Runtime's ai.onnx Attention takes for -infinity: it is 0 where all keys of a query
 * have it, where softmax gives them equal weights. -infinity stays. */
graph_value *pass_finite_bias(pass_context *ctx, graph_node *before, graph_value *bias);
/* A nib.Rotary whose heads are all turned, by pairs of halves, from tables of half a head: NULL (with *refused) if it is another. */
typedef struct pass_turn {
    graph_value *rows, *cos, *sin; /* [B, S, H D], [P, D / 2] */
    graph_value *positions;        /* NULL: row i of a text has the angles i */
    int64_t heads, size;
} pass_turn;
bool pass_read_turn(const graph_node *rotary, pass_turn *out);
/* Its positions as i64 [B, S]. */
graph_value *pass_positions_of(pass_context *ctx, graph_node *before, const graph_node *rotary, const pass_turn *t);

/* Queries, keys and values of a nib.Attention as one product of its own: x [B, S, K], w [K, 3 N], bias [3 N]. *ok false: out of memory.
 * --disable qkv finds none. */
typedef struct pass_product {
    graph_value *x, *w, *bias;
} pass_product;
bool pass_find_product(pass_context *ctx, graph_node *attention, pass_product *out, bool *ok);
/* The biases of its three products, [3 N], which lose them; NULL where they are not three of a kind. */
graph_value *pass_take_biases(pass_context *ctx, graph_node *attention, bool *ok);

#define PASS_MS "com.microsoft"
/* One node of com.microsoft with outputs like those; where `like` is NULL there is none. */
graph_node *pass_add_ms(pass_context *ctx, graph_node *before, const char *type, graph_value *const *in, int n_in,
                        const graph_value *const *like, int n_out);
/* The rows of pass_expand_ort's table that have files of their own: OK also where the node stays. */
nib_status pass_ort_rotary(pass_context *ctx, graph_node *rotary);
nib_status pass_ort_attention(pass_context *ctx, graph_node *attention);
nib_status pass_ort_embed(pass_context *ctx, graph_node *norm);
/* Products of two computed values; last, when nib's operators are gone. */
nib_status pass_ort_matmul(pass_context *ctx);

/* nib.Attention and nib.Rotary as ai.onnx's of opset 23 and later. What they cannot say is left to the operators' own expand. */
nib_status pass_expand_rows(pass_context *ctx);

#endif
