/* SPDX-License-Identifier: Apache-2.0
 *
 * nib.Rotary: what it means.
 *
 *   Rotary(x [.., W], cos [P, R / 2] or [P, R], sin like cos, positions) -> like x
 *       heads, head_size, first_column, rotary (R; head_size if absent), interleaved.
 *       Turns pairs of columns (Su et al., 2021): in each of `heads` heads of head_size columns, counted from first_column, column i of
 *       the first R / 2 and column R / 2 + i become a cos[p, i] - b sin[p, i] and b cos[p, R / 2 + i] + a sin[p, R / 2 + i], p being the
 *       row's position; a table of R / 2 columns stands for one that has them twice. interleaved = 1: the pairs are columns
 *       2 i, 2 i + 1, and tables have R / 2 columns. All other columns stay as they are.
 *       positions: i64 or i32, one for each row, or for each row of the last axis but one ([S] or [1, S] for x [B, S, W]).
 */
#include "op_nib.h"
#include "op_local.h"

nib_status op_rotary_read(const graph_node *n, int64_t width, int64_t table, op_rotary *out) {
    int64_t size = graph_attr_int(n, "head_size", -1);
    *out = (op_rotary){.heads = graph_attr_int(n, "heads", 1), .size = size, .first = graph_attr_int(n, "first_column", 0)};
    int64_t turned = graph_attr_int(n, "rotary", size);
    out->half = turned / 2;
    out->interleaved = graph_attr_int(n, "interleaved", 0) != 0;
    out->second = table == turned ? out->half : 0;
    if (size < 1 || out->heads < 1 || out->first < 0 || turned < 2 || turned % 2 || turned > size || width < size) return NIB_SHAPE;
    if (out->first > width || out->heads > (width - out->first) / size) return NIB_SHAPE;
    return table == out->half || (table == turned && !out->interleaved) ? NIB_OK : NIB_SHAPE;
}

static nib_status infer_rotary(op_infer *c) {
    const graph_type *x = op_in_type(c, 0), *t = op_in_type(c, 1);
    int64_t width, table;
    op_rotary r;
    if (x->rank == 0 || (t->rank >= 0 && t->rank != 2)) return op_fail(c, NIB_SHAPE, "rows or tables have the wrong rank");
    if (x->rank > 0 && t->rank == 2 && graph_dim_is_const(x->dims[x->rank - 1], &width) && graph_dim_is_const(t->dims[1], &table) &&
        op_rotary_read(c->node, width, table, &r) != NIB_OK)
        return op_fail(c, NIB_SHAPE, "heads, rows and tables do not fit");
    return op_set_like(c, 0, x->dtype, x);
}

static nib_status eval_rotary(op_eval *c) {
    const graph_tensor *x = c->in[0], *cosines = c->in[1], *sines = c->in[2], *positions = c->in[3];
    op_dims dims = op_dims_of(x);
    op_rotary r;
    float *y;
    for (int i = 0; i < 3; i++)
        if (c->in[i]->dtype != NIB_DTYPE_F32) return op_bad(c, NIB_TYPE, "input %d is %s, not f32", i, nib_dtype_name(c->in[i]->dtype));
    if (positions->dtype != NIB_DTYPE_I64 && positions->dtype != NIB_DTYPE_I32) return op_bad(c, NIB_TYPE, "positions are not integers");
    if (x->rank < 1 || cosines->rank != 2 || sines->rank != 2 || sines->dims[0] != cosines->dims[0] || sines->dims[1] != cosines->dims[1])
        return op_bad(c, NIB_SHAPE, "rows or tables have the wrong shape");
    int64_t W = x->dims[x->rank - 1], rows = op_count(x->rank - 1, x->dims), P = cosines->dims[0], table = cosines->dims[1];
    int64_t count = graph_tensor_elements(positions);
    if (op_rotary_read(c->node, W, table, &r) != NIB_OK) return op_bad(c, NIB_SHAPE, "heads, rows and tables do not fit");
    if (count != rows && (x->rank < 2 || count != x->dims[x->rank - 2])) return op_bad(c, NIB_SHAPE, "positions do not fit the rows");
    OP_TRY(op_out(c, 0, NIB_DTYPE_F32, &dims, &y));
    if (!y) return NIB_OK;
    for (int64_t i = 0; i < rows; i++) {
        int64_t p = op_index(positions, i % count);
        if (p < 0 || p >= P)
            return op_bad(c, NIB_INVALID_ARGUMENT, "position %lld is outside the rotary table of %lld rows", (long long)p, (long long)P);
        const float *from = (const float *)x->data + i * W;
        memcpy(y + i * W, from, (size_t)W * sizeof *y);
        c->kernels->rotary_f32(from + r.first, r.heads, r.size, r.half, r.interleaved, (const float *)cosines->data + p * table,
                               (const float *)sines->data + p * table, r.second, y + i * W + r.first);
    }
    return NIB_OK;
}

const op op_family_nib_rotary[] = {
    {"Rotary", "nib", 1, 4, 4, 1, OP_ROWS_LAST, infer_rotary, eval_rotary, op_expand_rotary},
    {0},
};
