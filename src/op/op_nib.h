/* SPDX-License-Identifier: Apache-2.0
 *
 * The table of nib's own operators and what passes and the cpu device share of their meaning; see op_nib.c.
 */
#ifndef OP_NIB_H
#define OP_NIB_H

#include "op.h"

#define OP_TOKENS_SYMBOL GRAPH_TOKENS_SYMBOL
#define OP_EMBED_MAX 8      /* tables of one Embed */
#define OP_HEAD_MAX 512     /* largest head size */
#define OP_LINEAR_WEIGHTS 3 /* weights of one Linear */
#define OP_LINEAR_FACTOR 7  /* input: factors [K] of the columns of x, see op_nib_quant.c */

extern const op op_family_nib[], op_family_nib_linear[], op_family_nib_rotary[], op_family_nib_quant[];

int op_activation(const graph_node *linear); /* kernel_activation, -1 if unknown */
const char *op_activation_name(kernel_activation a);
typedef enum op_gate { OP_GATE_NONE, OP_GATE_FIRST, OP_GATE_SECOND } op_gate;
int op_gate_of(const graph_node *linear); /* op_gate, -1 if unknown */
const char *op_gate_name(op_gate g);
/* Weight i of a Linear is this input; how many there are. */
static inline int op_linear_weight(int i) { return i == 0 ? 1 : 4 + i; }
int op_linear_weights(const graph_node *linear);
bool op_is_linear_weight(const graph_node *n, int input); /* false for any other node */
/* What a weight of a Linear and a table of an Embed may be: f16 and bf16 stand for the f32 that they widen to. */
static inline bool op_is_weight_type(nib_dtype t) { return t == NIB_DTYPE_F32 || t == NIB_DTYPE_F16 || t == NIB_DTYPE_BF16; }

/* The attributes of a Rotary, checked against rows of `width` columns and tables of `table`. SHAPE if they do not fit. */
typedef struct op_rotary {
    int64_t heads, size, first, half, second; /* columns `first` ..; see kernels.rotary_f32 */
    bool interleaved;
} op_rotary;
nib_status op_rotary_read(const graph_node *rotary, int64_t width, int64_t table, op_rotary *out);
int64_t op_norm_groups(const graph_node *norm, int64_t columns); /* 0: they do not divide the columns */
int op_pooling(const graph_node *pool);                          /* nib_pooling, -1 if unknown */

/* Element i of an index, mask or offset tensor as an integer (floats: 0 or 1). */
int64_t op_index_at(const graph_tensor *t, int64_t i);

/* What the eval of a Linear has checked: y [M, N] = x [M, K] w + bias, rows of y y_stride apart; w [K, N], or [N, K] if trans. */
typedef struct op_linear_shape {
    int64_t M, N, K, y_stride;
    const graph_tensor *w;
    bool trans;
    const float *bias;
} op_linear_shape;
nib_status op_eval_linear_q8(op_eval *c, const op_linear_shape *s, float *y); /* op_nib_quant.c */
nib_status op_eval_linear_bf16(op_eval *c, const op_linear_shape *s, float *y);

/* Pools n rows of one text, but for the first `skip`, into y [C]. Without any row it gives zeros, and cls the first of all. */
void op_pool_rows(const kernels *ks, nib_pooling mode, const float *x, int64_t stride, int64_t n, int64_t skip, int64_t C, float *y);

/* The same in standard operators (op_nib_expand.c). */
nib_status op_expand_linear(graph *g, graph_node *n, nib_error *err);
nib_status op_expand_rotary(graph *g, graph_node *n, nib_error *err);
nib_status op_expand_norm(graph *g, graph_node *n, nib_error *err);
nib_status op_expand_embed(graph *g, graph_node *n, nib_error *err);
nib_status op_expand_attention(graph *g, graph_node *n, nib_error *err);
nib_status op_expand_pool(graph *g, graph_node *n, nib_error *err);
nib_status op_expand_offsets(graph *g, graph_node *n, nib_error *err);
nib_status op_expand_pack(graph *g, graph_node *n, nib_error *err);
nib_status op_expand_unpack(graph *g, graph_node *n, nib_error *err);

#endif
