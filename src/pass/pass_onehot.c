/* SPDX-License-Identifier: Apache-2.0
 *
 * Products of one-hot rows. In: MatMul of rows that are 1 in one column and 0 elsewhere by a constant table [D, N]; the
 * rows are OneHot(ids, D, [0, 1]), or a Cast of Equal(ids, 0 .. D - 1). Out: Gather of the table's rows. Ids that stand for no
 * column make rows of zeros, as before: behind the table is a row of zeros, and ids are clipped to it.
 *
 * The sum of a row and of zeros is that row, so outputs are the same bits. A table that holds an infinity or a NaN is
 * left alone: 0 times it is NaN.
 */
#include "pass.h"
#include "pass_match.h"
#include <math.h>
#include <string.h>

#define MOST_BYTES ((size_t)64 << 20) /* of a table that a copy is made of */

/* What a one-hot row is made of. */
typedef struct one_hot {
    graph_value *ids; /* with the axes of the rows, but the last */
    bool one_behind;  /* ids have one more axis, of 1 */
    bool wraps;       /* ids of -D to -1 count from the end (OneHot) */
} one_hot;

static bool is_whole(const graph_value *v) { return v && (v->type.dtype == NIB_DTYPE_I32 || v->type.dtype == NIB_DTYPE_I64); }

/* Whether v is the numbers 0 .. D - 1 along its last axis. */
static bool counts_up(const graph_value *v, int64_t D) {
    const graph_tensor *t = v ? v->constant : NULL;
    if (!t || t->rank < 1 || t->dims[t->rank - 1] != D || graph_tensor_elements(t) != D) return false;
    for (int64_t i = 0; i < D; i++)
        if (op_number(t, i) != (double)i) return false;
    return true;
}

static bool from_equal(graph_value *rows, int64_t D, one_hot *out) {
    pass_match m;
    if (!pass_match_at("Cast(e:Equal(_, ...))", rows, &m)) return false;
    const graph_node *equal = pass_matched_node(&m, "e");
    for (int i = 0; i < 2; i++) {
        graph_value *ids = pass_input(equal, i);
        const graph_value *columns = pass_input(equal, 1 - i);
        int64_t one;
        if (!is_whole(ids) || ids->constant || !counts_up(columns, D) || columns->constant->rank > ids->type.rank) continue;
        if (ids->type.rank != rows->type.rank || !pass_width(ids, &one) || one != 1) continue;
        *out = (one_hot){.ids = ids, .one_behind = true};
        return true;
    }
    return false;
}

static bool from_one_hot(const graph_value *rows, int64_t D, one_hot *out) {
    const graph_node *n = rows->producer;
    if (!graph_is_op(n, "", "OneHot") || !n->meaning) return false;
    graph_value *ids = pass_input(n, 0);
    const graph_value *depth = pass_input(n, 1), *values = pass_input(n, 2);
    const int64_t axis = graph_attr_int(n, "axis", -1);
    if (!is_whole(ids) || ids->constant || (axis != -1 && axis != rows->type.rank - 1)) return false;
    if (!depth || !depth->constant || op_number(depth->constant, 0) != (double)D) return false;
    if (!values || !values->constant || graph_tensor_elements(values->constant) != 2) return false;
    if (op_number(values->constant, 0) != 0 || op_number(values->constant, 1) != 1) return false;
    *out = (one_hot){.ids = ids, .wraps = true};
    return true;
}

/* The table, a row of zeros, and the table again if ids count from its end; NULL: it is not made (*status says whether memory ran
 * out). */
static graph_value *table_of(pass_context *ctx, const graph_value *w, bool wraps, nib_status *status) {
    const graph_tensor *t = w->constant;
    const int64_t D = t->dims[0], N = t->dims[1];
    const size_t part = (size_t)D * (size_t)N;
    graph_tensor all = {.dtype = NIB_DTYPE_F32, .rank = 2, .dims = {wraps ? 2 * D + 1 : D + 1, N}};
    if (!t->data || t->bytes > MOST_BYTES || graph_tensor_elements(t) < 1) return NULL;
    all.bytes = (size_t)(all.dims[0] * N) * sizeof(float);
    float *to = base_arena_calloc(ctx->g->arena, (size_t)(all.dims[0] * N), sizeof *to);
    if (!to) return *status = base_error_set(ctx->err, NIB_OUT_OF_MEMORY, "out of memory while optimizing"), NULL;
    memcpy(to, t->data, t->bytes);
    for (size_t i = 0; i < part; i++) {
        if (!isfinite(to[i])) return NULL;
        to[i] += 0.0f; /* a sum with zeros has no -0 */
    }
    if (wraps) memcpy(to + part + N, to, t->bytes);
    all.data = to;
    graph_value *v = graph_add_constant(ctx->g, w->name, &all, false);
    if (!v) *status = base_error_set(ctx->err, NIB_OUT_OF_MEMORY, "out of memory while optimizing");
    return v;
}

static graph_value *limit_of(pass_context *ctx, int64_t at, nib_dtype dtype) {
    int32_t narrow = (int32_t)at;
    graph_tensor t = {.dtype = dtype, .data = dtype == NIB_DTYPE_I64 ? (void *)&at : (void *)&narrow};
    t.bytes = dtype == NIB_DTYPE_I64 ? sizeof at : sizeof narrow;
    return graph_add_constant(ctx->g, "limit", &t, true);
}

static nib_status look_up(pass_context *ctx, graph_node *n) {
    nib_status status = NIB_OK;
    graph_value *rows = pass_input(n, 0);
    const graph_value *w = pass_input(n, 1);
    one_hot found;
    if (!graph_is_op(n, "", "MatMul") || !n->meaning || !rows || rows->constant || rows->type.dtype != NIB_DTYPE_F32) return NIB_OK;
    if (!w || !w->constant || w->constant->dtype != NIB_DTYPE_F32 || w->constant->rank != 2 || rows->type.rank < 2) return NIB_OK;
    const int64_t D = w->constant->dims[0];
    const bool runs = pass_mode_of(ctx)->runs; /* a file's weights are not doubled */
    if (D > INT32_MAX / 2 || (!from_equal(rows, D, &found) && !from_one_hot(rows, D, &found))) return NIB_OK;
    if (!runs && (found.wraps || w->use_count > 1)) return NIB_OK;
    graph_value *table = table_of(ctx, w, found.wraps, &status), *ids = found.ids;
    if (!table) return status;
    if (found.one_behind) {
        graph_value *axis = graph_const_i64(ctx->g, "axes", (int64_t[]){-1}, 1);
        ids = axis ? pass_emit_inferred(ctx, n, "Squeeze", (graph_value *[]){ids, axis}, 2, ids->name) : NULL;
    }
    const nib_dtype type = found.ids->type.dtype;
    graph_value *lo = limit_of(ctx, found.wraps ? -D - 1 : -1, type), *hi = limit_of(ctx, D, type);
    if (ids && lo && hi) ids = pass_emit_inferred(ctx, n, "Clip", (graph_value *[]){ids, lo, hi}, 3, "ids");
    graph_value *y = ids && lo && hi ? pass_emit_inferred(ctx, n, "Gather", (graph_value *[]){table, ids}, 2, n->outputs[0]->name) : NULL;
    if (!y) return base_error_set(ctx->err, NIB_OUT_OF_MEMORY, "out of memory while optimizing");
    NIB_TRY(pass_replace(ctx, n->outputs[0], y));
    graph_remove_node(ctx->g, n);
    ctx->changes++;
    pass_note(ctx, "%s: a product of one-hot rows is a look-up in %lld rows", y->name, (long long)D);
fail:
    return status;
}

nib_status pass_onehot(pass_context *ctx) {
    nib_status status = NIB_OK;
    if (graph_opset_version(ctx->g, "") < 13) return NIB_OK; /* Squeeze by an input, Clip of integers */
    for (graph_node *n = ctx->g->first, *next; n; n = next) {
        next = n->next;
        NIB_TRY(look_up(ctx, n));
    }
fail:
    return status;
}
