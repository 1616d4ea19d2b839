/* SPDX-License-Identifier: Apache-2.0
 *
 * nib.Pick: what it means.
 *
 *   Pick(x, places, offsets?) -> [N, C]
 *       the rows of some tokens. places, i64 [N, 2]: the text of each, and which of its tokens. packed = 0: x [B, S, C],
 *       row places[i][1] of text places[i][0], as GatherND has it; 1: x [T, C], offsets [B + 1], text b being rows
 *       offsets[b] .. offsets[b + 1]. A place that is none of the text's is INVALID_ARGUMENT: nothing counts from the end.
 */
#include "op_nib.h"
#include "op_local.h"

static nib_status infer_pick(op_infer *c) {
    const graph_type *x = op_in_type(c, 0), *places = op_in_type(c, 1);
    const int want = graph_attr_int(c->node, "packed", 0) ? 2 : 3;
    int64_t pair;
    if (x->rank >= 0 && x->rank != want) return op_fail(c, NIB_SHAPE, "the input has rank %d, not %d", x->rank, want);
    if (places->rank >= 0 && (places->rank != 2 || (graph_dim_is_const(places->dims[1], &pair) && pair != 2)))
        return op_fail(c, NIB_SHAPE, "the places are no pairs of a text and a token");
    graph_dim dims[2] = {places->rank == 2 ? places->dims[0] : NULL, x->rank > 0 ? x->dims[x->rank - 1] : NULL};
    return op_set(c, 0, x->dtype, 2, dims);
}

static nib_status eval_pick(op_eval *c) {
    const graph_tensor *x = c->in[0], *places = c->in[1], *offsets = op_arg(c, 2);
    const bool packed = graph_attr_int(c->node, "packed", 0) != 0;
    if (x->rank != (packed ? 2 : 3) || x->dtype == NIB_DTYPE_STRING || op_is_container(x->dtype))
        return op_bad(c, NIB_SHAPE, "the input is not rows of numbers");
    if (places->dtype != NIB_DTYPE_I64 || places->rank != 2 || places->dims[1] != 2)
        return op_bad(c, NIB_SHAPE, "the places are no i64 [N, 2]");
    if (packed && (!offsets || offsets->dtype != NIB_DTYPE_I64 || offsets->rank != 1 || offsets->dims[0] < 1))
        return op_bad(c, NIB_SHAPE, "the offsets are no i64 [B + 1]");
    const op_dims dims = {.rank = 2, .d = {places->dims[0], x->dims[x->rank - 1]}};
    const int64_t texts = packed ? offsets->dims[0] - 1 : x->dims[0], rows = packed ? x->dims[0] : x->dims[1];
    const int64_t *pair = places->data, *first = packed ? offsets->data : NULL;
    const size_t bytes = (size_t)dims.d[1] * op_size(x->dtype);
    char *y;
    OP_TRY(op_out(c, 0, x->dtype, &dims, &y));
    for (int64_t i = 0; y && i < dims.d[0]; i++, pair += 2) {
        const int64_t b = pair[0], s = pair[1];
        if (b < 0 || b >= texts || s < 0)
            return op_bad(c, NIB_INVALID_ARGUMENT, "place %lld is none of the texts'", (long long)i);
        /* Offsets are data, too: the row is checked against those that there are. */
        const int64_t from = packed ? first[b] : 0, end = packed ? first[b + 1] : rows;
        if (from < 0 || end > rows || from > end || s >= end - from)
            return op_bad(c, NIB_INVALID_ARGUMENT, "place %lld is none of its text's tokens", (long long)i);
        const int64_t row = packed ? from + s : b * rows + s;
        if (bytes) memcpy(y + (size_t)i * bytes, (const char *)x->data + (size_t)row * bytes, bytes);
    }
    return NIB_OK;
}

const op op_family_nib_pick[] = {
    {"Pick", "nib", 1, 2, 3, 1, OP_ROWS_MIXED, infer_pick, eval_pick, op_expand_pick},
    {0},
};
