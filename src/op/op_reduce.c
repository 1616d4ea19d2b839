/* SPDX-License-Identifier: Apache-2.0
 *
 * Reductions, https://onnx.ai/onnx/operators/: ReduceSum Mean Max Min Prod SumSquare L1 L2 LogSum LogSumExp, axes as an
 * attribute or as an input (ReduceSum from opset 13, the others from 18). Floating-point numbers are added in double in
 * the order of the input; integers wrap.
 */
#include "op_local.h"

typedef enum kind { SUM, MEAN, MAX, MIN, PROD, SUM_SQUARE, L1, L2, LOG_SUM, LOG_SUM_EXP } kind;

/* Every input element goes to one output element: its offset there, by strides of 0 along what is reduced. */
typedef struct reduction {
    kind kind;
    op_dims in, out; /* out: with axes kept as 1 */
    int64_t n_in, n_out, per_output;
    int64_t stride[GRAPH_MAX_RANK];
} reduction;

/* Calls for each input element i the statement with `o`, its output's index. */
#define FOR_EACH(r, i, o) for (int64_t i = 0, o = 0, at[GRAPH_MAX_RANK] = {0}; i < (r)->n_in; i++, o = advance(r, at, o))

static int64_t advance(const reduction *r, int64_t *at, int64_t o) {
    for (int k = r->in.rank - 1; k >= 0; k--) {
        o += r->stride[k];
        if (++at[k] < r->in.d[k]) break;
        o -= r->stride[k] * r->in.d[k];
        at[k] = 0;
    }
    return o;
}

static double first_value(kind k) { return k == MAX ? -INFINITY : k == MIN ? INFINITY : k == PROD ? 1 : 0; }

static double step_real(kind k, double sum, double x) {
    switch (k) {
    case MAX: return x > sum || x != x ? x : sum;
    case MIN: return x < sum || x != x ? x : sum;
    case PROD: return sum * x;
    case SUM_SQUARE:
    case L2: return sum + x * x;
    case L1: return sum + fabs(x);
    default: return sum + x;
    }
}

static double last_real(kind k, double sum, int64_t count) {
    return k == MEAN ? sum / (double)count : k == L2 ? sqrt(sum) : k == LOG_SUM ? log(sum) : sum;
}

/* log(sum(exp(x))) around each output's maximum, so that it neither overflows nor loses what is small. */
static void log_sum_exp(const reduction *r, const graph_tensor *x, double *sum, double *most) {
    for (int64_t o = 0; o < r->n_out; o++) most[o] = -INFINITY;
    FOR_EACH(r, i, o) most[o] = step_real(MAX, most[o], op_number(x, i));
    for (int64_t o = 0; o < r->n_out; o++)
        if (!(most[o] > -INFINITY && most[o] < INFINITY) && most[o] == most[o]) most[o] = 0;
    FOR_EACH(r, i, o) sum[o] += exp(op_number(x, i) - most[o]);
    for (int64_t o = 0; o < r->n_out; o++) sum[o] = log(sum[o]) + most[o];
}

static nib_status reduce_real(op_eval *c, const reduction *r, void *y) {
    const graph_tensor *x = op_arg(c, 0);
    double *sum, *most;
    OP_TRY(op_scratch(c, r->n_out, sizeof *sum, &sum));
    for (int64_t o = 0; o < r->n_out; o++) sum[o] = first_value(r->kind);
    if (r->kind == LOG_SUM_EXP) {
        OP_TRY(op_scratch(c, r->n_out, sizeof *most, &most));
        log_sum_exp(r, x, sum, most);
    } else {
        switch (x->dtype) {
#define CASE(N, S, W, LOAD, STORE, C)                                                                                                      \
    case NIB_DTYPE_##N: FOR_EACH(r, i, o) sum[o] = step_real(r->kind, sum[o], (double)LOAD(((const S *)x->data)[i])); break;
            OP_FLOATS(CASE)
#undef CASE
        default: break;
        }
    }
    switch (x->dtype) {
#define CASE(N, S, W, LOAD, STORE, C)                                                                                                      \
    case NIB_DTYPE_##N:                                                                                                                    \
        for (int64_t o = 0; o < r->n_out; o++) ((S *)y)[o] = STORE((W)last_real(r->kind, sum[o], r->per_output));                          \
        break;
        OP_FLOATS(CASE)
#undef CASE
    default: break;
    }
    return NIB_OK;
}

static uint64_t step_whole(kind k, bool is_signed, uint64_t sum, uint64_t x) {
    bool more = is_signed ? (int64_t)x > (int64_t)sum : x > sum;
    switch (k) {
    case MAX: return more ? x : sum;
    case MIN: return more ? sum : x;
    case PROD: return sum * x;
    case SUM_SQUARE:
    case L2: return sum + x * x;
    case L1: return sum + (is_signed && (int64_t)x < 0 ? 0 - x : x);
    default: return sum + x;
    }
}

static uint64_t load_whole(const graph_tensor *x, int64_t i) {
    switch (x->dtype) {
#define CASE(N, S, W, LOAD, STORE, C)                                                                                                      \
    case NIB_DTYPE_##N: return (uint64_t)((const S *)x->data)[i];
        OP_INTS(CASE)
#undef CASE
    default: return ((const uint8_t *)x->data)[i] != 0;
    }
}

static void store_whole(nib_dtype dtype, void *y, int64_t i, uint64_t v) {
    switch (dtype) {
#define CASE(N, S, W, LOAD, STORE, C)                                                                                                      \
    case NIB_DTYPE_##N: ((S *)y)[i] = (S)v; break;
        OP_INTS(CASE)
#undef CASE
    default: ((uint8_t *)y)[i] = v != 0;
    }
}

/* The least and greatest number of a type, as the 64 bits that step_whole compares. */
static uint64_t edge_of(nib_dtype dtype, bool is_signed, bool least) {
    int bits = dtype == NIB_DTYPE_BOOL ? 1 : nib_dtype_bits(dtype);
    if (!is_signed) return least ? 0 : bits == 64 ? UINT64_MAX : (1ull << bits) - 1;
    uint64_t half = 1ull << (bits - 1);
    return least ? 0 - half : half - 1;
}

static nib_status reduce_whole(op_eval *c, const reduction *r, void *y) {
    const graph_tensor *x = op_arg(c, 0);
    uint64_t *sum;
    bool is_signed = x->dtype == NIB_DTYPE_I64 || x->dtype == NIB_DTYPE_I32 || x->dtype == NIB_DTYPE_I16 || x->dtype == NIB_DTYPE_I8;
    OP_TRY(op_scratch(c, r->n_out, sizeof *sum, &sum));
    uint64_t first = r->kind == PROD ? 1 : r->kind == MAX || r->kind == MIN ? edge_of(x->dtype, is_signed, r->kind == MAX) : 0;
    for (int64_t o = 0; o < r->n_out; o++) sum[o] = first;
    FOR_EACH(r, i, o) sum[o] = step_whole(r->kind, is_signed, sum[o], load_whole(x, i));
    for (int64_t o = 0; o < r->n_out; o++) {
        uint64_t v = sum[o];
        double real = is_signed ? (double)(int64_t)v : (double)v;
        if (r->kind == MEAN) v = r->per_output == 0 ? 0 : is_signed ? (uint64_t)((int64_t)v / r->per_output) : v / (uint64_t)r->per_output;
        if (r->kind == L2) v = (uint64_t)sqrt(real < 0 ? 0 : real);
        if (r->kind == LOG_SUM) v = real < 1 ? 0 : (uint64_t)log(real);
        store_whole(x->dtype, y, o, v);
    }
    return NIB_OK;
}

static nib_status eval_reduce(op_eval *c, kind k) {
    const graph_tensor *x = op_arg(c, 0);
    int64_t axes[GRAPH_MAX_RANK];
    int n;
    void *y;
    uint32_t mask;
    bool keep = graph_attr_int(c->node, "keepdims", 1) != 0;
    OP_TRY(op_eval_axes(c, "axes", 1, axes, &n));
    if (n >= 0 && !op_axis_mask(axes, n, x->rank, &mask)) return op_bad(c, NIB_SHAPE, "axes out of range");
    if (n <= 0) mask = graph_attr_int(c->node, "noop_with_empty_axes", 0) ? 0 : UINT32_MAX;
    bool real = op_is_float(x->dtype), whole = op_is_int(x->dtype) || (x->dtype == NIB_DTYPE_BOOL && (k == MAX || k == MIN));
    if (!real && (!whole || k == LOG_SUM_EXP)) return op_bad(c, NIB_TYPE, "input of type %s", nib_dtype_name(x->dtype));
    reduction r = {.kind = k, .in = op_dims_of(x), .out = op_dims_of(x), .n_in = op_count(x->rank, x->dims)};
    op_dims out = {0};
    for (int i = 0; i < x->rank; i++) {
        if (mask >> i & 1) r.out.d[i] = 1;
        if (keep || !(mask >> i & 1)) out.d[out.rank++] = r.out.d[i];
    }
    op_strides(x->rank, r.out.d, r.stride);
    for (int i = 0; i < x->rank; i++)
        if (mask >> i & 1) r.stride[i] = 0;
    r.n_out = op_count(r.out.rank, r.out.d);
    r.per_output = r.n_out > 0 ? r.n_in / r.n_out : 0;
    OP_TRY(op_out(c, 0, x->dtype, &out, &y));
    if (!y) return NIB_OK;
    return real ? reduce_real(c, &r, y) : reduce_whole(c, &r, y);
}

#define EVAL(name, kind)                                                                                                                   \
    static nib_status eval_##name(op_eval *c) { return eval_reduce(c, kind); }
EVAL(sum, SUM)
EVAL(mean, MEAN)
EVAL(max, MAX)
EVAL(min, MIN)
EVAL(prod, PROD)
EVAL(sum_square, SUM_SQUARE)
EVAL(l1, L1)
EVAL(l2, L2)
EVAL(log_sum, LOG_SUM)
EVAL(log_sum_exp, LOG_SUM_EXP)

/* Contents of a list of sizes, reduced to one. */
static nib_status reduce_data(op_infer *c) {
    graph_dim data[GRAPH_MAX_DATA], all;
    int n;
    const char *name = c->node->op;
    if (op_in_type(c, 0)->rank != 1 || !op_in_data(c, 0, data, &n) || n < 2) return NIB_OK;
    all = data[0];
    for (int i = 1; i < n; i++) {
        if (strcmp(name, "ReduceProd") == 0) all = graph_dim_mul(OP_SYMS(c), all, data[i]);
        else if (strcmp(name, "ReduceSum") == 0) all = graph_dim_add(OP_SYMS(c), all, data[i]);
        else if (strcmp(name, "ReduceMax") == 0) all = graph_dim_max(OP_SYMS(c), all, data[i]);
        else if (strcmp(name, "ReduceMin") == 0) all = graph_dim_min(OP_SYMS(c), all, data[i]);
        else return NIB_OK;
    }
    return op_set_data(c, 0, &all, 1);
}

static nib_status infer_reduce(op_infer *c) {
    const graph_type *x = op_in_type(c, 0);
    int64_t axes[GRAPH_MAX_RANK];
    int n, rank = 0;
    uint32_t mask = UINT32_MAX;
    graph_dim dims[GRAPH_MAX_RANK];
    bool keep = graph_attr_int(c->node, "keepdims", 1) != 0, noop = graph_attr_int(c->node, "noop_with_empty_axes", 0) != 0;
    op_infer_axes(c, "axes", 1, axes, &n);
    if (x->rank < 0) return op_set(c, 0, x->dtype, -1, NULL);
    if (n == -2) return op_set(c, 0, x->dtype, keep ? x->rank : -1, NULL);
    if (n > 0 && !op_axis_mask(axes, n, x->rank, &mask)) return op_fail(c, NIB_SHAPE, "axes out of range");
    if (n <= 0 && noop) mask = 0;
    for (int i = 0; i < x->rank; i++) {
        bool reduced = mask >> i & 1;
        if (keep || !reduced) dims[rank++] = reduced ? op_const(c, 1) : x->dims[i];
    }
    OP_TRY(op_set(c, 0, x->dtype, rank, dims));
    return mask ? reduce_data(c) : NIB_OK;
}

#define ROWS(name, split, eval)                                                                                                            \
    {name, "", 1, 1, 1, 1, OP_ROWS_LAST, infer_reduce, eval, NULL}, { name, "", split, 1, 2, 1, OP_ROWS_LAST, infer_reduce, eval, NULL }

const op op_family_reduce[] = {
    ROWS("ReduceL1", 18, eval_l1),
    ROWS("ReduceL2", 18, eval_l2),
    ROWS("ReduceLogSum", 18, eval_log_sum),
    ROWS("ReduceLogSumExp", 18, eval_log_sum_exp),
    ROWS("ReduceMax", 18, eval_max),
    ROWS("ReduceMean", 18, eval_mean),
    ROWS("ReduceMin", 18, eval_min),
    ROWS("ReduceProd", 18, eval_prod),
    ROWS("ReduceSum", 13, eval_sum),
    ROWS("ReduceSumSquare", 18, eval_sum_square),
    {0},
};
