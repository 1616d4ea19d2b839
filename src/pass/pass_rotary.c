/* SPDX-License-Identifier: Apache-2.0
 *
 * In: rotary positions as exporters write them, on heads split from rows,
 *
 *     x cos + concat(-second half of x, first half of x) sin,   x [B, H, S, D] or [B, S, H, D]
 *
 * or, where it is not for a file, concat of that of x's first columns and of x's others (GPT-NeoX, Phi).
 *
 * Out: nib.Rotary on the rows, in front of the split, which is made anew behind it. The rows of cos and sin are those of a
 * constant table that the graph gathers by position, or, where the graph computes them, a table of S rows that are taken in order.
 */
#include "pass_heads.h"
#include "pass_match.h"
#include <string.h>

/* ---- the angles */

typedef struct angles {
    graph_value *values;    /* [.., D] or, if both halves are the same, [.., D / 2] */
    graph_node *wave;       /* Cos or Sin of the angles, if `values` are what it is still to be taken of; or NULL */
    graph_value *table;     /* values are its rows at `positions`; NULL: they are computed */
    graph_value *positions; /* [1 or B, S] */
} angles;

/* [.., 1, S, D] or [.., S, 1, D] of [.., S, D]: the latter; or v itself. */
static graph_value *without_axis(graph_value *v, int axis) {
    const graph_node *n = v->producer;
    int64_t at;
    if (!n || !n->inputs || !n->inputs[0].value || n->inputs[0].value->type.rank != 3) return v;
    graph_value *inner = n->inputs[0].value;
    if (graph_is_op(n, "", "Unsqueeze") && pass_int_at(n->inputs[1].value, 0, &at) && (at == axis || at == axis - 4)) return inner;
    if (!graph_is_op(n, "", "Reshape")) return v;
    for (int i = 0, k = 0; i < 4; i++)
        if (i != axis && (!v->type.dims[i] || v->type.dims[i] != inner->type.dims[k++])) return v;
    return inner;
}

static bool is_twice(const graph_value *v) {
    const graph_node *n = v->producer;
    return graph_is_op(n, "", "Concat") && n->n_inputs == 2 && n->inputs[0].value == n->inputs[1].value &&
           pass_is_last_axis(v, graph_attr_int(n, "axis", 0));
}

/* What stands behind cos or sin, broadcast to x over heads (and perhaps texts). */
static bool angles_of(const pass_context *ctx, graph_value *v, const graph_type *x, int heads_axis, angles *a) {
    int64_t one, width, D;
    int rows_axis = 3 - heads_axis;
    const graph_type *t = &v->type;
    if (t->rank != 4 || t->dtype != NIB_DTYPE_F32 || !graph_dim_is_const(t->dims[heads_axis], &one) || one != 1) return false;
    bool same = graph_dim_is_const(t->dims[0], &one) && one == 1;
    if ((!same && t->dims[0] != x->dims[0]) || !t->dims[rows_axis] || t->dims[3] != x->dims[3] || !graph_dim_is_const(x->dims[3], &D))
        return false;
    if (t->dims[rows_axis] != x->dims[rows_axis] && graph_dim_is_const(t->dims[rows_axis], &one)) return false;
    *a = (angles){.values = without_axis(v, heads_axis)};
    graph_node *wave = a->values->producer;
    if (is_twice(a->values)) {
        a->values = a->values->producer->inputs[0].value;
    } else if ((graph_is_op(wave, "", "Cos") || graph_is_op(wave, "", "Sin")) && is_twice(wave->inputs[0].value)) {
        a->wave = wave;
        a->values = wave->inputs[0].value->producer->inputs[0].value;
    }
    if (!pass_width(a->values, &width) || (width != D && 2 * width != D)) return false;
    const graph_node *g = a->values->producer;
    const graph_value *table = !a->wave && graph_is_op(g, "", "Gather") && graph_attr_int(g, "axis", 0) == 0 ? g->inputs[0].value : NULL;
    if (table && pass_behind_widening(ctx, g->inputs[0].value)->constant && table->type.rank == 2 && table->type.dtype == NIB_DTYPE_F32 &&
        g->inputs[1].value->type.rank == 2) {
        a->table = g->inputs[0].value;
        a->positions = g->inputs[1].value;
    }
    return a->table || same; /* computed for each text: no table of positions */
}

/* The values themselves: Cos or Sin of half the angles is made once. */
static graph_value *values_of(pass_context *ctx, graph_node *before, const angles *a) {
    if (!a->wave) return a->values;
    for (const graph_use *u = a->values->uses; u; u = u->next)
        if (graph_is_op(u->node, "", a->wave->op)) return u->node->outputs[0];
    return pass_emit_inferred(ctx, before, a->wave->op, &a->values, 1, a->wave->outputs[0]->name);
}

/* Values computed for [1, S] as a table of S rows, made once. */
static graph_value *as_table(pass_context *ctx, graph_node *before, const angles *a) {
    int64_t shape[2] = {-1, 0};
    graph_value *v = values_of(ctx, before, a);
    if (!v || !pass_width(v, &shape[1])) return NULL;
    for (const graph_use *u = v->uses; u; u = u->next) {
        const graph_value *to = u->node->n_inputs > 1 ? u->node->inputs[1].value : NULL;
        int64_t rows, columns;
        if (graph_is_op(u->node, "", "Reshape") && u->index == 0 && to && to->data_count == 2 && pass_int_at(to, 0, &rows) && rows == -1 &&
            pass_int_at(to, 1, &columns) && columns == shape[1] && u->node->outputs[0]->uses &&
            graph_is_op(u->node->outputs[0]->uses->node, "nib", "Rotary"))
            return u->node->outputs[0]; /* made for an earlier node: this pass goes from first to last */
    }
    return pass_emit_reshape(ctx, before, v, shape, 2);
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
    graph_value *root; /* what all this computes */
    pass_heads x;
    int heads_axis;  /* of x: 1 or 2 */
    int64_t columns; /* of each head that are turned */
    angles cos, sin;
} turned;

/* x is the first columns of heads whose others join the turned ones, t->root, behind them: those heads, and t->root is what is joined;
 * else x itself. */
static graph_value *whole_heads(graph_value *x, turned *t) {
    int64_t first, second, width, rest, whole;
    graph_value *heads = pass_columns_of(x, &first), *root = t->root;
    const graph_node *n = root->use_count == 1 && !root->is_output ? root->uses->node : NULL;
    if (!heads || !n || first != 0 || heads->type.rank != 4 || n->owner != root->owner) return x;
    if (!graph_is_op(n, "", "Concat") || n->n_inputs != 2 || n->inputs[0].value != root) return x;
    if (!pass_is_last_axis(root, graph_attr_int(n, "axis", 0)) || pass_columns_of(n->inputs[1].value, &second) != heads) return x;
    if (!pass_width(x, &width) || !pass_width(n->inputs[1].value, &rest) || !pass_width(heads, &whole)) return x;
    if (second != width || width + rest != whole || !pass_same_shape(n->outputs[0], heads)) return x;
    t->root = n->outputs[0];
    return heads;
}

/* Which axis of x the heads are in: that of one row of angles for all of them. `heads`: x, or those whose first columns x is. */
static bool find_turned(const pass_context *ctx, graph_value *heads, const graph_value *x, graph_value *cos, graph_value *sin, turned *t) {
    for (t->heads_axis = 1; t->heads_axis <= 2; t->heads_axis++) {
        if (t->heads_axis == 1) {
            if (!pass_find_heads(heads, false, &t->x) || t->x.scale != 1 || t->x.times != 1) continue;
            if (!graph_is_op(heads->producer, "", "Transpose") && t->x.form != PASS_HEADS_FIRST) continue;
        } else if (!pass_heads_of_split(heads, &t->x)) {
            continue;
        }
        if (angles_of(ctx, cos, &x->type, t->heads_axis, &t->cos) && angles_of(ctx, sin, &x->type, t->heads_axis, &t->sin)) return true;
    }
    return false;
}

static bool recognise(const pass_context *ctx, graph_value *root, turned *t, const char **why) {
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
    if (!pass_is_last_axis(c->outputs[0], graph_attr_int(c, "axis", 0)) || !pass_same_shape(x, root)) return false;
    *why = "it does not turn rows split into heads";
    int64_t a_width, b_width, size;
    if (!pass_width(x, &size) || !pass_width(pass_matched(&m, "a"), &a_width) || !pass_width(pass_matched(&m, "b"), &b_width)) return false;
    if (first != 0 || second != size / 2 || a_width != second || b_width != second) return false;
    if (!graph_dim_is_const(x->type.dims[1], &a_width) && !graph_dim_is_const(x->type.dims[2], &a_width)) return false;
    *why = "its angles are neither rows of a table nor the same for all texts";
    t->root = root;
    t->columns = size;
    if (!find_turned(ctx, pass_mode_of(ctx)->runs ? whole_heads(x, t) : x, x, cos, pass_matched(&m, "sin"), t))
        return false;
    if (t->cos.positions != t->sin.positions || t->cos.values->type.rank != t->sin.values->type.rank) return false;
    int64_t c_width, s_width;
    return pass_width(t->cos.values, &c_width) && pass_width(t->sin.values, &s_width) && c_width == s_width;
}

static nib_status make_rotary(pass_context *ctx, const turned *t) {
    nib_status status = NIB_OK;
    graph_value *root = t->root;
    graph_node *before = root->producer;
    graph_value *in[4] = {pass_rows_of_heads(ctx, before, &t->x), t->cos.table, t->sin.table, t->cos.positions}, *v = NULL;
    if (!in[1]) {
        in[1] = as_table(ctx, before, &t->cos);
        in[2] = as_table(ctx, before, &t->sin);
        in[3] = in[1] && in[2] ? in_order(ctx, before, in[1]) : NULL;
    }
    if (in[0] && in[3]) v = pass_emit(ctx, before, "nib", "Rotary", in, 4, root->name);
    if (!v) NIB_FAIL(ctx->err, NIB_OUT_OF_MEMORY, "out of memory");
    NIB_TRY(graph_set_int(v->producer, "heads", t->x.count));
    NIB_TRY(graph_set_int(v->producer, "head_size", t->x.size));
    if (t->columns != t->x.size) NIB_TRY(graph_set_int(v->producer, "rotary", t->columns));
    NIB_TRY(op_infer_node(ctx->g, v->producer, ctx->err));
    NIB_TRY(pass_replace(ctx, root, pass_split_rows(ctx, before, v, t->x.count, t->x.size, t->heads_axis == 1)));
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
        bool found = recognise(ctx, n->outputs[0], &t, &why);
        if (found && pass_can_say(ctx, "Rotary")) NIB_TRY(make_rotary(ctx, &t));
        else if (found) ctx->kept[PASS_FOUND_ROTARY]++;
        else if (why) pass_note(ctx, "rotary positions at %s are not fused: %s", n->name, why);
    }
    if (ctx->changes == before) return NIB_OK;
    NIB_TRY(pass_clean(ctx));
    NIB_TRY(pass_transpose(ctx)); /* keys are turned back to front behind the split */
    NIB_TRY(pass_clean(ctx));
fail:
    return status;
}
