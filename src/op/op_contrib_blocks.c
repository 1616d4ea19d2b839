/* SPDX-License-Identifier: Apache-2.0
 *
 * Weights of few bits with a scale for each block, of domain com.microsoft: MatMulNBits GatherBlockQuantized.
 */
#include "op_contrib.h"

/* ---- MatMulNBits: A [.., K], B [N, blocks, bytes of a block], scales [N, blocks], zero_points?, g_idx [K]?, bias [N]? */

typedef struct weights {
    int64_t K, N, block, blocks, row; /* row: bytes of a row of packed zero points */
    int bits;
    const uint8_t *w, *zero; /* zero: packed, or NULL */
    const double *scale, *real_zero;
    const graph_tensor *group;
} weights;

static int code_at(const uint8_t *p, int64_t i, int bits) { return p[i * bits / 8] >> (i * bits % 8) & ((1 << bits) - 1); }

/* Row n of the weight, as numbers. */
static void expand_row(const weights *b, int64_t n, double *out) {
    const uint8_t *w = b->w + n * b->blocks * (b->block * b->bits / 8);
    for (int64_t k = 0; k < b->K; k++) {
        int64_t g = b->group ? op_index(b->group, k) : k / b->block;
        double zero = b->real_zero ? b->real_zero[n * b->blocks + g]
                      : b->zero    ? code_at(b->zero + n * b->row, g, b->bits)
                                   : (double)(1 << (b->bits - 1));
        out[k] = (code_at(w, k, b->bits) - zero) * b->scale[n * b->blocks + g];
    }
}

static nib_status bits_of(op_eval *c, weights *b) {
    const graph_tensor *w = op_arg(c, 1), *scales = op_arg(c, 2), *zero = op_arg(c, 3);
    int64_t width = graph_attr_int(c->node, "bits", 4), bytes, rows, cells;
    b->K = graph_attr_int(c->node, "K", 0);
    b->N = graph_attr_int(c->node, "N", 0);
    b->block = graph_attr_int(c->node, "block_size", 0);
    if (width != 2 && width != 4 && width != 8) return op_bad(c, NIB_UNSUPPORTED, "weights of %lld bits", (long long)width);
    if (b->K < 1 || b->N < 1 || b->block < 16 || b->block > 65536 || (b->block & (b->block - 1)) || b->K > INT64_MAX / 2)
        return op_bad(c, NIB_BAD_MODEL, "blocks of %lld of a weight %lld x %lld", (long long)b->block, (long long)b->N, (long long)b->K);
    if (graph_attr_int(c->node, "weight_prepacked", 0)) return op_bad(c, NIB_UNSUPPORTED, "weight_prepacked");
    b->bits = (int)width;
    b->blocks = (b->K + b->block - 1) / b->block;
    b->row = (b->blocks * width + 7) / 8;
    bool fits = w->dtype == NIB_DTYPE_U8 && base_mul_i64(b->blocks * (b->block * width / 8), b->N, &bytes) &&
                op_count(w->rank, w->dims) == bytes && base_mul_i64(b->row, b->N, &rows) && base_mul_i64(b->blocks, b->N, &cells) &&
                op_count(scales->rank, scales->dims) == cells;
    if (!fits) return op_bad(c, NIB_SHAPE, "weight or scales do not fit N, K and block_size");
    b->w = w->data;
    b->group = op_arg(c, 4);
    if (zero && zero->dtype == NIB_DTYPE_U8) {
        if (op_count(zero->rank, zero->dims) != rows) return op_bad(c, NIB_SHAPE, "zero points do not fit");
        b->zero = zero->data;
    } else {
        OP_TRY(op_float_row(c, 3, cells, &b->real_zero));
    }
    if (b->group) {
        if (b->group->dtype != NIB_DTYPE_I32 || op_count(b->group->rank, b->group->dims) < b->K)
            return op_bad(c, NIB_SHAPE, "g_idx does not fit");
        for (int64_t k = 0; k < b->K; k++)
            if (op_index(b->group, k) < 0 || op_index(b->group, k) >= b->blocks) return op_bad(c, NIB_SHAPE, "g_idx is out of range");
    }
    return op_float_input(c, 2, &b->scale);
}

static nib_status eval_nbits(op_eval *c) {
    const graph_tensor *x = op_arg(c, 0);
    weights b = {0};
    const double *v, *bias;
    double *row;
    op_dims dims = op_dims_of(x);
    void *y;
    OP_TRY(bits_of(c, &b));
    if (x->rank < 1 || x->dims[x->rank - 1] != b.K) return op_bad(c, NIB_SHAPE, "input rows do not have %lld columns", (long long)b.K);
    OP_TRY(op_float_input(c, 0, &v));
    OP_TRY(op_float_row(c, 5, b.N, &bias));
    dims.d[x->rank - 1] = b.N;
    int64_t M = op_count(x->rank - 1, x->dims);
    OP_TRY(op_out(c, 0, x->dtype, &dims, &y));
    OP_TRY(op_scratch(c, b.K, sizeof *row, &row));
    for (int64_t n = 0; y && M > 0 && n < b.N; n++) {
        expand_row(&b, n, row);
        OP_TRY(op_spend(c, M, b.K));
        for (int64_t m = 0; m < M; m++) {
            double sum = bias ? bias[n] : 0;
            for (int64_t k = 0; k < b.K; k++) sum += v[m * b.K + k] * row[k];
            op_put(x->dtype, y, m * b.N + n, sum);
        }
    }
    return NIB_OK;
}

static nib_status infer_nbits(op_infer *c) {
    graph_type t = *op_in_type(c, 0);
    OP_TRY(op_check_float(c, 0));
    if (t.rank == 0) return op_fail(c, NIB_SHAPE, "a scalar");
    if (t.rank > 0) t.dims[t.rank - 1] = op_const(c, graph_attr_int(c->node, "N", 0));
    return op_set_like(c, 0, t.dtype, &t);
}

/* ---- GatherBlockQuantized: data (4 or 8 bits; or bytes that hold `bits` each, along the last axis), indices, scales, zeros? */

typedef struct blocks {
    int gather, axis, rank; /* axis: that of the blocks */
    int64_t block, d[GRAPH_MAX_RANK], scale_d[GRAPH_MAX_RANK];
    int per; /* numbers a byte; 1 where every number has an element of its own */
} blocks;

static nib_status blocks_of(op_eval *c, blocks *b) {
    const graph_tensor *x = op_arg(c, 0), *scales = op_arg(c, 2), *zero = op_arg(c, 3);
    int64_t width = graph_attr_int(c->node, "bits", 4), n;
    b->rank = x->rank;
    b->block = graph_attr_int(c->node, "block_size", 128);
    b->gather = op_axis(graph_attr_int(c->node, "gather_axis", 0), x->rank);
    b->axis = op_axis(graph_attr_int(c->node, "quantize_axis", 1), x->rank);
    bool nibbles = x->dtype == NIB_DTYPE_I4 || x->dtype == NIB_DTYPE_U4;
    if (!nibbles && x->dtype != NIB_DTYPE_U8) return op_bad(c, NIB_TYPE, "data of type %s", nib_dtype_name(x->dtype));
    if (!nibbles && width != 2 && width != 4 && width != 8) return op_bad(c, NIB_UNSUPPORTED, "data of %lld bits", (long long)width);
    b->per = nibbles ? 1 : (int)(8 / width);
    if (b->gather < 0 || b->axis < 0 || b->block < 16 || (b->block & (b->block - 1)) || (b->per > 1 && b->gather == x->rank - 1))
        return op_bad(c, NIB_BAD_MODEL, "axes or blocks of %lld", (long long)b->block);
    for (int i = 0; i < x->rank; i++) {
        b->d[i] = x->dims[i];
        if (i == x->rank - 1 && !base_mul_i64(b->d[i], b->per, &b->d[i])) return op_bad(c, NIB_LIMIT, "too many numbers");
        b->scale_d[i] = i == b->axis ? b->d[i] / b->block + (b->d[i] % b->block != 0) : b->d[i];
    }
    if (scales->rank != x->rank || memcmp(scales->dims, b->scale_d, sizeof(int64_t) * (size_t)x->rank) != 0)
        return op_bad(c, NIB_SHAPE, "scales do not fit");
    if (!zero) return NIB_OK;
    n = op_count(zero->rank, zero->dims);
    int64_t last = b->scale_d[x->rank - 1], rows = op_count(x->rank - 1, b->scale_d), want;
    if (zero->dtype != x->dtype || rows < 0 || !base_mul_i64(rows, (last + b->per - 1) / b->per, &want) || n != want)
        return op_bad(c, NIB_SHAPE, "zero points do not fit");
    return NIB_OK;
}

/* Number i of rows of `last` numbers, each row beginning with a byte of its own. */
static double packed_at(const graph_tensor *t, int per, int64_t last, int64_t i) {
    if (per == 1) return op_number(t, i);
    return code_at((const uint8_t *)t->data + i / last * ((last + per - 1) / per), i % last, 8 / per);
}

static nib_status eval_gather(op_eval *c) {
    const graph_tensor *x = op_arg(c, 0), *indices = op_arg(c, 1), *scales = op_arg(c, 2), *zero = op_arg(c, 3);
    blocks b = {0};
    op_dims dims = {0};
    const double *scale;
    void *y;
    OP_TRY(blocks_of(c, &b));
    if (indices->dtype != NIB_DTYPE_I32 && indices->dtype != NIB_DTYPE_I64)
        return op_bad(c, NIB_TYPE, "indices of type %s", nib_dtype_name(indices->dtype));
    if (b.rank + indices->rank - 1 > GRAPH_MAX_RANK) return op_bad(c, NIB_LIMIT, "too many axes");
    for (int i = 0; i < b.gather; i++) dims.d[dims.rank++] = b.d[i];
    for (int i = 0; i < indices->rank; i++) dims.d[dims.rank++] = indices->dims[i];
    for (int i = b.gather + 1; i < b.rank; i++) dims.d[dims.rank++] = b.d[i];
    OP_TRY(op_float_input(c, 2, &scale));
    OP_TRY(op_out(c, 0, scales->dtype, &dims, &y));
    int64_t n = op_count(dims.rank, dims.d), many = op_count(indices->rank, indices->dims), size = b.d[b.gather];
    if (!y || n == 0) return NIB_OK;
    int64_t inner = op_count(b.rank - b.gather - 1, b.d + b.gather + 1), strides[GRAPH_MAX_RANK], scale_strides[GRAPH_MAX_RANK];
    op_strides(b.rank, b.d, strides);
    op_strides(b.rank, b.scale_d, scale_strides);
    for (int64_t o = 0; o < n; o++) {
        int64_t at = op_index(indices, o / inner % many), from, s = 0;
        if (at < -size || at >= size) return op_bad(c, NIB_SHAPE, "index %lld of %lld", (long long)at, (long long)size);
        from = (o / inner / many * size + (at < 0 ? at + size : at)) * inner + o % inner;
        for (int k = 0; k < b.rank; k++) s += (from / strides[k] % b.d[k]) / (k == b.axis ? b.block : 1) * scale_strides[k];
        double v = packed_at(x, b.per, b.d[b.rank - 1], from);
        double z = zero                       ? packed_at(zero, b.per, b.scale_d[b.rank - 1], s)
                   : x->dtype == NIB_DTYPE_U8 ? (double)(128 >> (8 - 8 / b.per))
                                              : 0;
        op_put(scales->dtype, y, o, (v - z) * scale[s]);
    }
    return NIB_OK;
}

static nib_status infer_gather(op_infer *c) {
    const graph_type *x = op_in_type(c, 0), *indices = op_in_type(c, 1);
    graph_dim dims[GRAPH_MAX_RANK];
    int rank = 0, axis = x->rank > 0 ? op_axis(graph_attr_int(c->node, "gather_axis", 0), x->rank) : -1;
    int64_t width = graph_attr_int(c->node, "bits", 4);
    nib_dtype dtype = op_in_type(c, 2)->dtype;
    if (x->rank < 1 || indices->rank < 0 || axis < 0 || x->rank + indices->rank - 1 > GRAPH_MAX_RANK) return op_set(c, 0, dtype, -1, NULL);
    for (int i = 0; i < axis; i++) dims[rank++] = x->dims[i];
    for (int i = 0; i < indices->rank; i++) dims[rank++] = indices->dims[i];
    for (int i = axis + 1; i < x->rank; i++) dims[rank++] = x->dims[i];
    if (axis < x->rank - 1 && x->dtype == NIB_DTYPE_U8)
        dims[rank - 1] =
            width > 0 && width <= 8 && dims[rank - 1] ? graph_dim_mul(OP_SYMS(c), dims[rank - 1], op_const(c, 8 / width)) : NULL;
    if (x->dtype == NIB_DTYPE_UNDEFINED && rank > 0) dims[rank - 1] = NULL;
    return op_set(c, 0, dtype, rank, dims);
}

const op op_family_contrib_blocks[] = {
    {"GatherBlockQuantized", OP_MS, 1, 3, 4, 1, OP_ROWS_MIXED, infer_gather, eval_gather, NULL},
    {"MatMulNBits", OP_MS, 1, 3, 6, 1, OP_ROWS_LAST, infer_nbits, eval_nbits, NULL},
    {0},
};
