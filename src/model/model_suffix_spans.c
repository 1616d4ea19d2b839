/* SPDX-License-Identifier: Apache-2.0
 *
 * The task `answer`. In: outputs start_logits and end_logits [batch, seq], of a folder's head or as exporters write them.
 * Out: both as one [batch, seq, 2], a row a token: the value that they are the columns of, if they are such, so that
 * packed rows stay packed; else they are joined.
 */
#include "model_suffix.h"
#include <stdio.h>
#include <string.h>

static const char *const names[2] = {"start_logits", "end_logits"};

static bool is_span(const graph_value *v) {
    return v && v->type.kind == GRAPH_KIND_TENSOR && v->type.rank == 2 && v->type.dtype == NIB_DTYPE_F32;
}

bool model_has_spans(const graph *g) {
    return is_span(model_named_output(g, names[0])) && is_span(model_named_output(g, names[1]));
}

void model_choose_spans(const nib_model *m, const graph *g, const graph_value *wanted, model_program *p) {
    if (wanted) snprintf(p->cannot, sizeof p->cannot, "it needs two outputs, and one was asked for by name");
    else if (!model_has_spans(g))
        snprintf(p->cannot, sizeof p->cannot, "no outputs start_logits and end_logits of shape [batch, seq]");
    else model_take_output(p, g, model_named_output(g, names[0]), "by its name", "with end_logits, of each token");
}

/* What v [batch, seq] is column *column of: [batch, seq, 2]; NULL: it is none. */
static graph_value *column_of(graph_value *v, int64_t *column) {
    while (graph_is_op(v->producer, "", "Identity")) v = v->producer->inputs[0].value;
    graph_node *n = v->producer;
    graph_value *x = n && n->n_inputs ? n->inputs[0].value : NULL;
    int64_t width;
    if (graph_is_op(n, "", "Squeeze") && x && graph_is_op(x->producer, "", "Split")) {
        *column = x->producer_index;
        n = x->producer;
        x = n->inputs[0].value;
        if (n->n_outputs != 2) return NULL;
    } else if (graph_is_op(n, "", "Gather") && n->inputs[1].value && n->inputs[1].value->constant) {
        const graph_tensor *at = n->inputs[1].value->constant;
        if (at->rank != 0 || at->dtype != NIB_DTYPE_I64) return NULL;
        memcpy(column, at->data, sizeof *column);
    } else {
        return NULL;
    }
    const int64_t axis = graph_attr_int(n, "axis", 0);
    const bool last = x && x->type.rank == 3 && (axis == 2 || axis == -1);
    return last && graph_dim_is_const(x->type.dims[2], &width) && width == 2 ? x : NULL;
}

static graph_value *with_axis(graph *g, graph_value *v, const char *hint) {
    const int64_t axis = 2;
    if (graph_opset_version(g, "") < 13) { /* axes were an attribute */
        v = graph_emit(g, NULL, "", "Unsqueeze", &v, 1, hint);
        return v && graph_set_ints(v->producer, "axes", &axis, 1) == NIB_OK ? v : NULL;
    }
    graph_value *axes = graph_const_i64(g, "axes", &axis, 1);
    return axes ? graph_emit(g, NULL, "", "Unsqueeze", (graph_value *[]){v, axes}, 2, hint) : NULL;
}

graph_value *model_spans_suffix(const nib_model *m, graph *g, graph_value *v, model_program *p) {
    graph_value *end = model_named_output(g, names[1]), *parts[2];
    int64_t columns[2] = {-1, -1};
    graph_value *both = column_of(v, &columns[0]);
    if (both && both == column_of(end, &columns[1]) && columns[0] == 0 && columns[1] == 1) return both;
    parts[0] = with_axis(g, v, "starts");
    parts[1] = with_axis(g, end, "ends");
    v = parts[0] && parts[1] ? graph_emit(g, NULL, "", "Concat", parts, 2, "spans") : NULL;
    return v && graph_set_int(v->producer, "axis", 2) == NIB_OK ? v : NULL;
}
