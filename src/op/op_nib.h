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

extern const op op_family_nib[], op_family_nib_linear[], op_family_nib_rotary[], op_family_nib_quant[],
    op_family_nib_pick[];

const char *op_activation_name(kernel_activation a);
typedef enum op_gate { OP_GATE_NONE, OP_GATE_FIRST, OP_GATE_SECOND } op_gate;

/* ---- views (op_nib_view.c). What nib.Linear and nib.Attention read and say, by name: nobody else knows the order of their operands. */

typedef struct op_linear {
    graph_value *x, *bias, *residual;        /* rows [.., K]; NULL: none */
    graph_value *weights[OP_LINEAR_WEIGHTS]; /* [n_weights] of the same rows */
    graph_value *params;                     /* of rows in u8: scale and zero point of each [.., 2] */
    graph_value *factor;                     /* [K] that x was multiplied by, so the weights are divided by it */
    int n_weights;
    bool trans;          /* weights are [N, K] */
    int activation;      /* kernel_activation; -1: the node names one that nobody knows */
    int gate;            /* op_gate; -1: the same */
    int weight_format;   /* kernel_weight_format of all weights; -1: they differ, or no kernel has it. op_linear_set leaves it */
} op_linear;
/* False if n is NULL or no Linear; *out is left as it is then. */
bool op_linear_get(const graph_node *n, op_linear *out);
/* Gives the node, a Linear, these operands and attributes. */
nib_status op_linear_set(graph_node *n, const op_linear *l, nib_error *err);
/* The operands in the node's order; how many up to the last that is there. */
#define OP_LINEAR_INPUTS (5 + OP_LINEAR_WEIGHTS)
int op_linear_operands(const op_linear *l, graph_value *in[OP_LINEAR_INPUTS]);
/* A Linear's operand that its step has packed: it is not read as its type. False for any other node. */
bool op_is_linear_weight(const graph_node *n, int input);
bool op_is_linear_constant(const graph_node *n, int input); /* weights and factors: never read as they lie */
/* Inputs that may be packed as kernels read them: weights of Linear, tables of Embed. */
bool op_reads_packed(const graph_node *n, int input);
/* Nothing but x w + bias with f32 rows, of any number of weights: no activation, gate, residual, quantized type. */
bool op_linear_is_plain(const op_linear *l);

/* What an attention's products are computed in. */
typedef enum op_products { OP_PRODUCTS_F32, OP_PRODUCTS_Q8 } op_products;
typedef struct op_attention {
    graph_value *q, *k, *v; /* k, v NULL: q has the columns of all three */
    graph_value *bias, *offsets, *positions;
    graph_value *relative_keys, *relative_queries; /* by distance, [heads, R, D], or NULL */
    graph_value *relative_rows;                    /* of distances, i32 [2 reach + 1]; NULL: there are no tables */
    graph_value *relative_bias;                    /* [heads, R], or NULL */
    graph_value *relative_slopes;                  /* [heads], or NULL */
    int64_t heads, kv_heads;
    int64_t left, right; /* window; -1: none */
    float scale, softcap;
    bool causal, masked_nan;
    int products; /* op_products; -1: the node names one that nobody knows */
} op_attention;
#define OP_ATTENTION_INPUTS 11
/* Whether scores depend on how far apart query and key stand. */
static inline bool op_attention_by_distance(const op_attention *a) { return a->relative_rows || a->relative_slopes; }
/* As those of Linear. */
bool op_attention_get(const graph_node *n, op_attention *out);
nib_status op_attention_set(graph_node *n, const op_attention *a, nib_error *err);
int op_attention_operands(const op_attention *a, graph_value *in[OP_ATTENTION_INPUTS]);

/* What kernels call rows of this type; -1: there is no name for them. */
int op_rows_input(const graph_type *x);
/* The same of a weight. Not quantized, it is f32, or half precision that stands for f32. */
int op_weight_format(const graph_type *w);

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
nib_status op_eval_linear_q4(op_eval *c, const op_linear_shape *s, float *y);
nib_status op_eval_linear_bf16(op_eval *c, const op_linear_shape *s, float *y);

/* A row of a table [K] as the kernel_weight_format holds it; scratch [K], of q8. False: there is no such format. */
bool op_round_row(int format, float *row, int64_t K, int8_t *scratch);

/* Pools n rows of one text, but for the first `skip`, into y [C]. Without any row it gives zeros, and cls the first of all. */
void op_pool_rows(const kernels *ks, nib_pooling mode, const float *x, int64_t stride, int64_t n, int64_t skip, int64_t C, float *y);
#define OP_POOL_UNIT "normalize" /* attribute of nib.Pool: 1: its rows are made of length 1, as LpNormalization does it */

/* The same in standard operators (op_nib_expand.c). */
nib_status op_expand_linear(graph *g, graph_node *n, nib_error *err);
nib_status op_expand_rotary(graph *g, graph_node *n, nib_error *err);
nib_status op_expand_norm(graph *g, graph_node *n, nib_error *err);
nib_status op_expand_embed(graph *g, graph_node *n, nib_error *err);
nib_status op_expand_attention(graph *g, graph_node *n, nib_error *err);
nib_status op_expand_pool(graph *g, graph_node *n, nib_error *err);
nib_status op_expand_pick(graph *g, graph_node *n, nib_error *err);
nib_status op_expand_offsets(graph *g, graph_node *n, nib_error *err);
nib_status op_expand_pack(graph *g, graph_node *n, nib_error *err);
nib_status op_expand_unpack(graph *g, graph_node *n, nib_error *err);

#endif
