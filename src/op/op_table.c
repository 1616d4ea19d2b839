/* SPDX-License-Identifier: Apache-2.0
 *
 * From a node's domain, name and opset to its row. Families list their rows sorted by name, then by opset; the row that
 * holds is the last one that is not newer than the imported opset.
 */
#include "op_local.h"
#include "op_map.h"
#include "op_nib.h"

const op *const op_families[] = {
    op_family_control,
    op_family_space,
    op_family_random,
    op_family_unique,
    op_family_ml,
    op_family_loss,
    op_family_state,
    op_family_sequence,
    op_family_string,
    op_family_binary,
    op_family_unary,
    op_family_logic,
    op_family_cast,
    op_family_shape,
    op_family_constant,
    op_family_move,
    op_family_slice,
    op_family_gather,
    op_family_scatter,
    op_family_reduce,
    op_family_order,
    op_family_matmul,
    op_family_norm,
    op_family_quant,
    op_family_attention,
    op_family_nib,
    op_family_nib_quant,
    op_family_nib_linear,
    op_family_nib_rotary,
    op_family_map,
    op_family_nib_pick,
    op_family_conv,
    op_family_convt,
    op_family_pool,
    op_family_resize,
    op_family_grid,
    op_family_roi,
    op_family_einsum,
    op_family_recurrent,
    op_family_signal,
    op_family_contrib_norm,
    op_family_contrib_attention,
    op_family_contrib_packed,
    op_family_contrib_matmul,
    op_family_contrib_blocks,
    op_family_contrib_qlinear,
    op_family_ml_model,
    op_family_ml_trees,
    NULL,
};

const op *op_find(const char *domain, const char *name, int opset) {
    const op *best = NULL;
    if (strcmp(domain, "ai.onnx") == 0) domain = "";
    for (size_t f = 0; op_families[f]; f++)
        for (const op *o = op_families[f]; o->name; o++)
            if (o->name[0] == name[0] && o->since <= opset && strcmp(o->name, name) == 0 && strcmp(o->domain, domain) == 0 &&
                (!best || best->since < o->since))
                best = o;
    return best;
}

static void resolve(graph *g, const graph *root) {
    g->resolved = true;
    for (graph_node *n = g->first; n; n = n->next) {
        n->meaning = op_find(n->domain, n->op, graph_opset_version(root, n->domain));
        for (graph_bodies b = {.node = n}; graph_next_body(&b);) resolve(b.body, root); /* no deeper than limits.graph_depth */
    }
}

void op_resolve(graph *g) {
    const graph *root = g;
    while (root->parent) root = root->parent;
    resolve(g, root);
}

/* ---- rows */

static int rank_of(const graph_node *n, int input) {
    return input < n->n_inputs && n->inputs[input].value ? n->inputs[input].value->type.rank : -1;
}

/* A parameter does not have rows of its own: rank 0 or 1, or a single row. */
static bool is_parameter(const graph_node *n, int input) {
    int64_t v;
    const graph_value *x = input < n->n_inputs ? n->inputs[input].value : NULL;
    if (!x) return true;
    return x->type.rank == 0 || x->type.rank == 1 || (x->type.rank == 2 && graph_dim_is_const(x->type.dims[0], &v) && v == 1);
}

static bool last_axis(const graph_node *n, int64_t axis) {
    int rank = rank_of(n, 0);
    return rank > 0 && op_axis(axis, rank) == rank - 1;
}

/* Whether the only reduced axis is the last one. */
static bool reduces_last(const graph_node *n) {
    const int64_t *list;
    int64_t count = graph_attr_ints(n, "axes", &list), axis;
    if (count == 1) return last_axis(n, list[0]);
    const graph_value *v = n->n_inputs > 1 ? n->inputs[1].value : NULL;
    if (!v || !v->constant || v->constant->dtype != NIB_DTYPE_I64 || op_count(v->constant->rank, v->constant->dims) != 1 ||
        v->constant->bytes < 8)
        return false;
    memcpy(&axis, v->constant->data, 8);
    return last_axis(n, axis);
}

/* Whether it takes columns alone. */
static bool slices_last(const graph_node *n) {
    const graph_value *axes = n->n_inputs > 3 ? n->inputs[3].value : NULL;
    int64_t axis;
    return axes && axes->constant && axes->data_count == 1 && graph_dim_is_const(axes->data[0], &axis) && last_axis(n, axis);
}

static bool holds_last(const graph_node *n) {
    const char *name = n->op;
    int since = op_since(n);
    if (strcmp(n->domain, "") != 0) return true;
    if (strncmp(name, "Reduce", 6) == 0) return graph_attr_int(n, "keepdims", 1) != 0 && reduces_last(n);
    if (strcmp(name, "MatMul") == 0 || strcmp(name, "MatMulInteger") == 0)
        return rank_of(n, 0) >= 2 && rank_of(n, 1) == 2 && is_parameter(n, 2);
    if (strcmp(name, "Gemm") == 0) return graph_attr_int(n, "transA", 0) == 0 && is_parameter(n, 2);
    if (strcmp(name, "Softmax") == 0 || strcmp(name, "LogSoftmax") == 0)
        return last_axis(n, graph_attr_int(n, "axis", since < 13 ? 1 : -1));
    if (strcmp(name, "LayerNormalization") == 0 || strcmp(name, "RMSNormalization") == 0)
        return last_axis(n, graph_attr_int(n, "axis", -1)) && is_parameter(n, 1) && is_parameter(n, 2);
    if (strcmp(name, "LpNormalization") == 0 || strcmp(name, "CumSum") == 0)
        return strcmp(name, "CumSum") != 0 && last_axis(n, graph_attr_int(n, "axis", -1));
    if (strcmp(name, "Slice") == 0) return slices_last(n);
    if (strcmp(name, "Split") == 0) return last_axis(n, graph_attr_int(n, "axis", 0));
    return false;
}

op_rows op_rows_of(const graph_node *n) {
    const op *o = n->meaning;
    if (!o) return OP_ROWS_MIXED;
    const op_rows rows = (op_rows)(o->rows & ~OP_LISTS);
    if (rows == OP_ROWS_LAST && !holds_last(n)) return OP_ROWS_MIXED;
    if (rows == OP_ROWS_GATHER && strcmp(n->op, "Gather") == 0)
        return op_axis(graph_attr_int(n, "axis", 0), rank_of(n, 0)) == 0 ? OP_ROWS_GATHER : OP_ROWS_MIXED;
    return rows;
}
