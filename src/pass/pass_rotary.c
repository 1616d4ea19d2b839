/* SPDX-License-Identifier: Apache-2.0
 *
 * In: rotary positions as exporters write them, on heads split from rows,
 *
 *     x cos + concat(-second half of x, first half of x) sin,   x [B, H, S, D] or [B, S, H, D]
 *
 * Out: nib.Rotary on the rows, in front of the split, which is made anew behind it. The rows of cos and sin are those of a
 * constant table that the graph gathers by position, or, where the graph computes them, a table of S rows that are taken in order.
 */
#include "pass.h"
#include "pass_match.h"
#include <string.h>

static bool is_last_axis(const graph_value *v, int64_t axis) { return axis == -1 || (v->type.rank > 0 && axis == v->type.rank - 1); }

static bool width_of(const graph_value *v, int64_t *out) {
    return v->type.rank > 0 && graph_dim_is_const(v->type.dims[v->type.rank - 1], out);
}

/* ---- the angles */

typedef struct angles {
    graph_value *values;    /* [.., D] or, if both halves are the same, [.., D / 2] */
    graph_value *table;     /* values are its rows at `positions`; NULL: they are computed */
    graph_value *positions; /* [1 or B, S] */
} angles;

/* What stands behind cos or sin, broadcast to x over heads (and perhaps texts). */
static bool angles_of(graph_value *v, const graph_type *x, int heads_axis, angles *a) {
    int64_t one, width, D;
    int rows_axis = 3 - heads_axis;
    const graph_type *t = &v->type;
    if (t->rank != 4 || t->dtype != NIB_DTYPE_F32 || !graph_dim_is_const(t->dims[heads_axis], &one) || one != 1) return false;
    bool same = graph_dim_is_const(t->dims[0], &one) && one == 1;
    if ((!same && t->dims[0] != x->dims[0]) || !t->dims[rows_axis] || t->dims[3] != x->dims[3] || !graph_dim_is_const(x->dims[3], &D))
        return false;
    *a = (angles){.values = v};
    if (graph_is_op(v->producer, "", "Unsqueeze") && v->producer->inputs[0].value->type.rank == 3 &&
        pass_int_at(v->producer->inputs[1].value, 0, &one) && (one == heads_axis || one == heads_axis - 4))
        a->values = v->producer->inputs[0].value;
    graph_node *twice = a->values->producer;
    if (graph_is_op(twice, "", "Concat") && twice->n_inputs == 2 && twice->inputs[0].value == twice->inputs[1].value &&
        is_last_axis(a->values, graph_attr_int(twice, "axis", 0)))
        a->values = twice->inputs[0].value;
    if (!width_of(a->values, &width) || (width != D && 2 * width != D)) return false;
    const graph_node *g = a->values->producer;
    const graph_value *table = graph_is_op(g, "", "Gather") && graph_attr_int(g, "axis", 0) == 0 ? g->inputs[0].value : NULL;
    if (table && table->constant && table->constant->rank == 2 && table->constant->dtype == NIB_DTYPE_F32 &&
        g->inputs[1].value->type.rank == 2) {
        a->table = g->inputs[0].value;
        a->positions = g->inputs[1].value;
    }
    return a->table || same; /* computed for each text: no table of positions */
}

/* Values computed for [1, S] as a table of S rows, made once. */
static graph_value *as_table(pass_context *ctx, graph_node *before, graph_value *v) {
    int64_t shape[2] = {-1, 0};
    if (!width_of(v, &shape[1])) return NULL;
    for (const graph_use *u = v->uses; u; u = u->next) {
        const graph_value *to = u->node->n_inputs > 1 ? u->node->inputs[1].value : NULL;
        int64_t rows, columns;
        if (graph_is_op(u->node, "", "Reshape") && u->index == 0 && to && to->data_count == 2 && pass_int_at(to, 0, &rows) && rows == -1 &&
            pass_int_at(to, 1, &columns) && columns == shape[1] && u->node->outputs[0]->uses &&
            graph_is_op(u->node->outputs[0]->uses->node, "nib", "Rotary"))
            return u->node->outputs[0]; /* made for an earlier node: this pass goes from first to last */
    }
    graph_value *to = graph_const_i64(ctx->g, "table_shape", shape, 2);
    graph_value *t = to ? pass_emit(ctx, before, "", "Reshape", (graph_value *[]){v, to}, 2, v->name) : NULL;
    return t && op_infer_node(ctx->g, t->producer, ctx->err) == NIB_OK ? t : NULL;
}

/* 0, 1, 2, ... as many as the table has rows: [1, S]. */
static graph_value *in_order(pass_context *ctx, graph_node *before, graph_value *table) {
    int64_t zero = 0, one = 1;
    for (const graph_use *u = table->uses; u; u = u->next)
        if (graph_is_op(u->node, "nib", "Rotary") && u->index == 1) return u->node->inputs[3].value;
    graph_value *z = graph_const_i64(ctx->g, "zero", &zero, -1), *o = graph_const_i64(ctx->g, "one", &one, -1);
    graph_value *axis = graph_const_i64(ctx->g, "axis", &zero, 1);
    graph_value *shape = pass_emit(ctx, before, "", "Shape", &table, 1, "rows");
    graph_value *size = z && shape ? pass_emit(ctx, before, "", "Gather", (graph_value *[]){shape, z}, 2, "rows") : NULL;
    graph_value *range = size && o ? pass_emit(ctx, before, "", "Range", (graph_value *[]){z, size, o}, 3, "positions") : NULL;
    graph_value *v = range && axis ? pass_emit(ctx, before, "", "Unsqueeze", (graph_value *[]){range, axis}, 2, "positions") : NULL;
    for (graph_node *n = v ? shape->producer : NULL; n && n != before; n = n->next)
        if (op_infer_node(ctx->g, n, ctx->err) != NIB_OK) return NULL;
    return v;
}

/* ---- x cos + (-b, a) sin */

typedef struct turned {
    graph_value *rows;             /* [B, S, H D] */
    graph_node *split, *transpose; /* x is Transpose of Reshape of the rows, or (transpose NULL) their Reshape */
    int64_t heads, size;
    angles cos, sin;
} turned;

static bool rows_behind(graph_value *x, turned *t) {
    const int64_t *perm;
    int64_t width;
    graph_value *split = x;
    t->transpose = NULL;
    if (graph_is_op(x->producer, "", "Transpose")) {
        if (graph_attr_ints(x->producer, "perm", &perm) != 4 || perm[0] != 0 || perm[1] != 2 || perm[2] != 1 || perm[3] != 3) return false;
        t->transpose = x->producer;
        split = x->producer->inputs[0].value;
    }
    t->split = split->producer;
    if (!graph_is_op(t->split, "", "Reshape") || split->type.rank != 4) return false;
    t->rows = t->split->inputs[0].value;
    if (t->rows->type.rank != 3 || t->rows->type.dtype != NIB_DTYPE_F32 || !width_of(t->rows, &width)) return false;
    return t->rows->type.dims[0] == split->type.dims[0] && t->rows->type.dims[1] == split->type.dims[1] &&
           graph_dim_is_const(split->type.dims[2], &t->heads) && graph_dim_is_const(split->type.dims[3], &t->size) &&
           t->heads * t->size == width && t->size % 2 == 0;
}

static bool recognise(graph_value *root, turned *t, const char **why) {
    pass_match m;
    int64_t first, second;
    *why = NULL;
    if (root->type.rank != 4 || !pass_match_at("Add(Mul(x, cos), Mul(c:Concat(Neg(b), a), sin))", root, &m)) return false;
    graph_value *x = pass_matched(&m, "x");
    const graph_node *c = pass_matched_node(&m, "c");
    /* Mul matches in either order, and both hold: the one that is cut in halves is x. */
    graph_value *whole = pass_columns_of(pass_matched(&m, "a"), &first), *cos = pass_matched(&m, "cos");
    if (whole == cos) cos = x, x = whole;
    if (!whole || whole != x || pass_columns_of(pass_matched(&m, "b"), &second) != x || x->type.rank != 4) return false;
    if (!is_last_axis(c->outputs[0], graph_attr_int(c, "axis", 0)) || !pass_same_shape(x, root)) return false;
    *why = "it does not turn rows split into heads";
    int64_t a_width, b_width;
    if (!rows_behind(x, t) || !width_of(pass_matched(&m, "a"), &a_width) || !width_of(pass_matched(&m, "b"), &b_width)) return false;
    if (first != 0 || second != t->size / 2 || a_width != second || b_width != second) return false;
    *why = "its angles are neither rows of a table nor the same for all texts";
    int heads_axis = t->transpose ? 1 : 2;
    if (!angles_of(cos, &x->type, heads_axis, &t->cos) || !angles_of(pass_matched(&m, "sin"), &x->type, heads_axis, &t->sin)) return false;
    if (t->cos.positions != t->sin.positions || t->cos.values->type.rank != t->sin.values->type.rank) return false;
    int64_t c_width, s_width;
    return width_of(t->cos.values, &c_width) && width_of(t->sin.values, &s_width) && c_width == s_width;
}

static nib_status make_rotary(pass_context *ctx, graph_value *root, const turned *t) {
    nib_status status = NIB_OK;
    graph_node *before = root->producer;
    const int64_t *perm;
    graph_value *in[4] = {t->rows, t->cos.table, t->sin.table, t->cos.positions}, *v = NULL;
    if (!in[1]) {
        in[1] = as_table(ctx, before, t->cos.values);
        in[2] = as_table(ctx, before, t->sin.values);
        in[3] = in[1] && in[2] ? in_order(ctx, before, in[1]) : NULL;
        if (!in[3]) NIB_FAIL(ctx->err, NIB_OUT_OF_MEMORY, "out of memory");
    }
    v = pass_emit(ctx, before, "nib", "Rotary", in, 4, root->name);
    if (!v) NIB_FAIL(ctx->err, NIB_OUT_OF_MEMORY, "out of memory");
    NIB_TRY(graph_set_int(v->producer, "heads", t->heads));
    NIB_TRY(graph_set_int(v->producer, "head_size", t->size));
    NIB_TRY(op_infer_node(ctx->g, v->producer, ctx->err));
    v = pass_emit(ctx, before, "", "Reshape", (graph_value *[]){v, t->split->inputs[1].value}, 2, root->name);
    if (!v) NIB_FAIL(ctx->err, NIB_OUT_OF_MEMORY, "out of memory");
    NIB_TRY(op_infer_node(ctx->g, v->producer, ctx->err));
    if (t->transpose) {
        v = pass_emit(ctx, before, "", "Transpose", &v, 1, root->name);
        if (!v) NIB_FAIL(ctx->err, NIB_OUT_OF_MEMORY, "out of memory");
        int64_t rank = graph_attr_ints(t->transpose, "perm", &perm);
        NIB_TRY(graph_set_ints(v->producer, "perm", perm, (size_t)rank));
        NIB_TRY(op_infer_node(ctx->g, v->producer, ctx->err));
    }
    NIB_TRY(pass_replace(ctx, root, v));
fail:
    return status;
}

nib_status pass_rotary(pass_context *ctx) {
    nib_status status = NIB_OK;
    int before = ctx->changes;
    for (graph_node *n = ctx->g->first, *next; n; n = next) {
        turned t;
        const char *why;
        next = n->next;
        if (!graph_is_op(n, "", "Add")) continue;
        if (recognise(n->outputs[0], &t, &why)) NIB_TRY(make_rotary(ctx, n->outputs[0], &t));
        else if (why) pass_note(ctx, "rotary positions at %s are not fused: %s", n->name, why);
    }
    if (ctx->changes == before) return NIB_OK;
    NIB_TRY(pass_clean(ctx));
    NIB_TRY(pass_transpose(ctx)); /* keys are turned back to front behind the split */
    NIB_TRY(pass_clean(ctx));
fail:
    return status;
}
