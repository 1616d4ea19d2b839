/* SPDX-License-Identifier: Apache-2.0
 *
 * What the operator families share and nobody else sees: sizes that cannot overflow, broadcasting walks, reading small
 * integer inputs, and the element types as a list.
 *
 * eval functions may rely on what op_eval_node has checked: the number of inputs fits the table row, every input's
 * dims multiply without overflow, and its bytes hold that many elements. Everything else is the operator's to check.
 */
#ifndef OP_LOCAL_H
#define OP_LOCAL_H

#include "op.h"
#include "base/base_half.h"
#include "base/base_minifloat.h"
#include <limits.h>
#include <math.h>
#include <string.h>

#define OP_SYMS(c) ((c)->g->symbols)

/* ---- element types. X(NAME, stored type, arithmetic type, load, store, class); class F: floating point, I: signed,
 * U: unsigned. Half types compute in float. */
#define OP_SAME(x) (x)
#define OP_FLOATS(X)                                                                                                                       \
    X(F32, float, float, OP_SAME, OP_SAME, F)                                                                                              \
    X(F64, double, double, OP_SAME, OP_SAME, F)                                                                                            \
    X(F16, uint16_t, float, base_f16_to_f32, base_f32_to_f16, F)                                                                           \
    X(BF16, uint16_t, float, base_bf16_to_f32, base_f32_to_bf16, F)
#define OP_SIGNED(X)                                                                                                                       \
    X(I8, int8_t, int64_t, OP_SAME, (int8_t), I)                                                                                           \
    X(I16, int16_t, int64_t, OP_SAME, (int16_t), I)                                                                                        \
    X(I32, int32_t, int64_t, OP_SAME, (int32_t), I)                                                                                        \
    X(I64, int64_t, int64_t, OP_SAME, OP_SAME, I)
#define OP_UNSIGNED(X)                                                                                                                     \
    X(U8, uint8_t, uint64_t, OP_SAME, (uint8_t), U)                                                                                        \
    X(U16, uint16_t, uint64_t, OP_SAME, (uint16_t), U)                                                                                     \
    X(U32, uint32_t, uint64_t, OP_SAME, (uint32_t), U)                                                                                     \
    X(U64, uint64_t, uint64_t, OP_SAME, OP_SAME, U)
#define OP_INTS(X) OP_SIGNED(X) OP_UNSIGNED(X)
#define OP_NUMBERS(X) OP_FLOATS(X) OP_INTS(X)

size_t op_size(nib_dtype dtype); /* bytes of one element inside an eval: 1 below a byte; 0 for unknown types */
bool op_is_container(nib_dtype dtype);
bool op_is_float(nib_dtype dtype);
bool op_is_int(nib_dtype dtype); /* bool is not one, nor are those below a byte */
/* Floating point of 8 bits and less: a code a byte. mode: as base_e8m0_encode, which alone uses it. */
bool op_is_small(nib_dtype dtype);
double op_small_load(nib_dtype dtype, uint8_t code);
uint8_t op_small_store(nib_dtype dtype, double x, bool saturate, char mode);
/* Integers of any width: bits and sign; false for other types. */
bool op_int_info(nib_dtype dtype, int *bits, bool *is_signed);

/* ---- concrete shapes */
typedef struct op_dims {
    int rank;
    int64_t d[GRAPH_MAX_RANK];
} op_dims;

int64_t op_count(int rank, const int64_t *dims); /* product; -1 where a dim is negative or the product overflows */
op_dims op_dims_of(const graph_tensor *t);
/* The shape that n inputs (NULLs skipped) broadcast to; SHAPE with the node's name if they do not. */
nib_status op_broadcast_dims(op_eval *c, int n, const graph_tensor *const *in, op_dims *out);
/* Row-major strides in elements. */
void op_strides(int rank, const int64_t *dims, int64_t *strides);
/* Asks for output i: LIMIT if the size overflows. *data (a void **) gets NULL if the node leaves the output out. */
nib_status op_out(op_eval *c, int i, nib_dtype dtype, const op_dims *dims, void *data);
nib_status op_out_late(op_eval *c, int i, nib_dtype dtype, const op_dims *dims, size_t bytes, void **out); /* op_out's second half */
nib_status op_scratch(op_eval *c, int64_t count, size_t size, void *data);
/* Before `count` times `each` steps of a loop. LIMIT where that is more than may be done while a model is opened, CANCELLED where the run
 * was ended from outside. op_eval_node asks for what is read and written; a loop that does more than that asks for each outer row, so
 * that no node takes long to stop. */
nib_status op_spend(op_eval *c, int64_t count, int64_t each);
const graph_tensor *op_arg(const op_eval *c, int i); /* input i; NULL if left out or absent */
/* Output i is this tensor, of any type, as it lies outside of evals (an element of a sequence, a body's output). */
nib_status op_give(op_eval *c, int i, const graph_tensor *t);
/* A tensor that lies outside of evals as one lies inside: unpacked into scratch where its elements are below a byte. */
nib_status op_unpack(op_eval *c, const graph_tensor *t, graph_tensor *out);
/* The tensor of an attribute as one lies inside of evals; *out NULL: there is none. Outside, elements may lie two or four to a byte. */
nib_status op_attr_tensor(op_eval *c, const char *name, const graph_tensor **out);
/* A copy with all that its elements point to: the bytes it takes (multiple of 64; SIZE_MAX: too many), and the copy itself,
 * which moves *room. */
size_t op_deep_bytes(const graph_tensor *t);
void op_deep_copy(graph_tensor *to, const graph_tensor *from, char **room);
/* Input i as int64, from i32 or i64, at most `max` elements, rank 0 or 1. */
nib_status op_read_ints(op_eval *c, int i, int max, int64_t *out, int *count);
nib_status op_read_int(op_eval *c, int i, int64_t *out); /* one element */
/* Element i of an i32 or i64 tensor. */
static inline int64_t op_index(const graph_tensor *t, int64_t i) {
    return t->dtype == NIB_DTYPE_I32 ? ((const int32_t *)t->data)[i] : ((const int64_t *)t->data)[i];
}
/* Element i of a tensor of real numbers; integers are rounded half to even and cut to their range (NaN: to its lower end). */
void op_put(nib_dtype dtype, void *y, int64_t i, double v);
nib_status op_reals(op_eval *c, const graph_tensor *t, double **out); /* all elements, in scratch; TYPE if they are no numbers */

/* Strides (in elements) by which t is read for each axis of what it broadcasts to. */
void op_broadcast_strides(const graph_tensor *t, const op_dims *out, int64_t *strides);
/* Scratch for one of many strings: cut from blocks, so that a million short ones are no million requests. */
nib_status op_text(op_eval *c, size_t length, char **out);

/* Runs `loop` over the innermost axis of everything that broadcasts to `out`. x[j] and step[j]: where operand j stands
 * and how many elements it moves per output element (0 or more); y is contiguous. */
#define OP_WALK_MAX 3
typedef void op_loop(void *y, const void *const *x, const int64_t *step, int64_t n, const void *arg);
void op_walk(const op_dims *out, void *y, size_t y_size, int n, const graph_tensor *const *x, op_loop *loop, const void *arg);

/* Copies a strided view; strides in elements, may be 0 or negative. dst_strides NULL: dst is contiguous. */
void op_copy(void *dst, const int64_t *dst_strides, const void *src, const int64_t *src_strides, int rank, const int64_t *dims,
             size_t size);
void op_fill(void *dst, const void *element, int64_t count, size_t size);

/* ---- axes. Attribute `name` where present, else input `index`; -1 elements: neither is there. */
nib_status op_eval_axes(op_eval *c, const char *name, int index, int64_t *axes, int *count);
/* The same when inferring; *count = -2: an input that is not constant. */
void op_infer_axes(const op_infer *c, const char *name, int index, int64_t *axes, int *count);
/* Makes a bit per axis; false if one is out of range or doubled. */
bool op_axis_mask(const int64_t *axes, int count, int rank, uint32_t *mask);
int op_since(const graph_node *n); /* of the node's table row; INT_MAX if it has none */

/* ---- inference */
graph_dim op_const(const op_infer *c, int64_t value);
/* Product of dims[lo, hi); NULL if one is unknown. */
graph_dim op_product(const op_infer *c, const graph_dim *dims, int lo, int hi);
nib_status op_check_float(op_infer *c, int i);                      /* TYPE unless input i is floating point or unknown */
nib_status op_set_type(op_infer *c, int i, const graph_type *type); /* op_set_like, of any kind */
nib_status op_infer_same(op_infer *c);                              /* output 0: type of input 0 */
nib_status op_infer_float_same(op_infer *c);                        /* the same, for a floating-point operator */
nib_status op_infer_broadcast(op_infer *c);                         /* output 0: all inputs broadcast, dtype of input 0 */
/* Two inputs before opset 7: the second is laid on the first from attribute `axis` on (`otherwise` if it is absent; -1: at the
 * end). eval is today's, which sees the second input with ones behind; the output is as the first input, of that type. */
nib_status op_eval_aligned(op_eval *c, nib_status (*eval)(op_eval *), int otherwise);
nib_status op_infer_aligned(op_infer *c);      /* output 0: type of input 0 */
nib_status op_infer_aligned_bool(op_infer *c); /* bool, shaped as input 0 */
#define OP_ALIGNED(name, otherwise)                                                                                                        \
    static nib_status eval_old_##name(op_eval *c) { return op_eval_aligned(c, eval_##name, otherwise); }
nib_status op_infer_broadcast_as(op_infer *c, int first, int n, nib_dtype dtype);

const char *op_name(const graph_node *n); /* the node's name, or its first output's, or its operator */

#define OP_TRY(call)                                                                                                                       \
    do {                                                                                                                                   \
        nib_status op_try_status = (call);                                                                                                 \
        if (op_try_status != NIB_OK) return op_try_status;                                                                                 \
    } while (0)

/* Most inputs of an operator that takes any number and may leave some out (INT_MAX: none may be left out). */
#define OP_ANY_IN (INT_MAX - 1)
void op_infer_bodies(graph_node *n); /* types of the inputs of its bodies */

extern const op *const op_families[]; /* all of them, NULL after the last */
extern const op op_family_control[], op_family_space[], op_family_random[], op_family_unique[], op_family_ml[], op_family_loss[],
    op_family_state[], op_family_sequence[], op_family_string[], op_family_binary[], op_family_unary[], op_family_logic[], op_family_cast[],
    op_family_shape[], op_family_constant[], op_family_move[], op_family_slice[], op_family_gather[], op_family_scatter[],
    op_family_reduce[], op_family_order[], op_family_matmul[], op_family_norm[], op_family_quant[], op_family_attention[], op_family_conv[],
    op_family_convt[], op_family_pool[], op_family_resize[], op_family_grid[], op_family_roi[], op_family_einsum[], op_family_recurrent[],
    op_family_signal[], op_family_contrib_norm[], op_family_contrib_attention[], op_family_contrib_packed[], op_family_contrib_matmul[],
    op_family_contrib_blocks[], op_family_contrib_qlinear[], op_family_ml_model[], op_family_ml_trees[];

#endif
