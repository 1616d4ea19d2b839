/* SPDX-License-Identifier: Apache-2.0
 *
 * Inputs with a preset: what a caller may leave out. In: constants that are inputs, too. Out: inputs, behind those that must be given; or
 * constants again, for who is never called by the names of inputs.
 */
#include "graph.h"

int graph_required_inputs(const graph *g) {
    int n = 0;
    while (n < g->n_inputs && !g->inputs[n]->preset) n++;
    return n;
}

/* Whether the tensor may be called a value of that type: what a file declares may leave sizes open, and may be wrong. */
static bool tensor_fits(const graph_tensor *t, const graph_type *type) {
    int64_t size;
    if (type->kind != GRAPH_KIND_TENSOR || type->dtype != t->dtype || (type->rank >= 0 && type->rank != t->rank)) return false;
    for (int i = 0; i < type->rank; i++)
        if (type->dims[i] && graph_dim_is_const(type->dims[i], &size) && size != t->dims[i]) return false;
    return true;
}

bool graph_preset_fits(const graph_value *v) { return !v->preset || tensor_fits(v->preset, &v->type); }

nib_status graph_make_preset(graph *g, graph_value *v, const graph_type *declared) {
    v->preset = v->constant;
    v->constant = NULL;
    v->data = NULL;
    v->data_count = 0;
    if (tensor_fits(v->preset, declared)) v->type = *declared;
    return graph_add_input(g, v);
}

void graph_drop_presets(graph *g) {
    int kept = 0;
    for (int i = 0; i < g->n_constants; i++)
        if (!g->constants[i]->preset) g->constants[kept++] = g->constants[i];
    g->n_constants = kept;
}

nib_status graph_fix_presets(graph *g, nib_error *err) {
    int required = graph_required_inputs(g);
    for (int i = required; i < g->n_inputs; i++) {
        graph_value *v = g->inputs[i];
        graph_tensor *t = v->preset;
        v->is_input = false;
        v->preset = NULL;
        if (graph_make_constant(g, v, t) != NIB_OK) return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for a graph");
    }
    g->n_inputs = required;
    return NIB_OK;
}
