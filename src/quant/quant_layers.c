/* SPDX-License-Identifier: Apache-2.0
 *
 * See quant.h. In: a graph that quant_apply has rounded. Out: what of it is rounded, and to what.
 */
#include "quant.h"
#include <string.h>

static quant_layer *find(const quant_layers *l, const char *name) {
    for (int i = 0; i < l->count; i++)
        if (strcmp(l->items[i].name, name) == 0) return &l->items[i];
    return NULL;
}

/* All of a name are one. */
static nib_status add(base_heap *heap, quant_layers *l, const char *name, kernel_weight_format format, double numbers, nib_error *err) {
    quant_layer *same = find(l, name);
    if (same) return same->numbers += numbers, NIB_OK;
    quant_layer *more = base_realloc(heap, l->items, ((size_t)l->count + 1) * sizeof *more);
    if (more) l->items = more;
    char *copy = more ? base_strndup(heap, name, strlen(name)) : NULL;
    if (!copy) return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for a list of layers");
    l->items[l->count++] = (quant_layer){copy, format, numbers};
    return NIB_OK;
}

static double numbers_of(const graph_value *v) { return (double)v->constant->dims[0] * (double)v->constant->dims[1]; }

nib_status quant_layers_find(base_heap *heap, const graph *g, quant_layers *out, nib_error *err) {
    nib_status status = NIB_OK;
    *out = (quant_layers){0};
    for (const graph_node *n = g->first; n; n = n->next) {
        op_linear l;
        op_attention a;
        if (op_attention_get(n, &a) && a.products != OP_PRODUCTS_F32)
            NIB_TRY(add(heap, out, QUANT_ATTENTION, KERNEL_WEIGHT_Q8, 0, err));
        if (op_linear_get(n, &l) && l.weight_format != KERNEL_WEIGHT_F32) {
            double numbers = 0;
            for (int i = 0; i < l.n_weights; i++) numbers += numbers_of(l.weights[i]);
            NIB_TRY(add(heap, out, n->outputs[0]->name, l.weight_format, numbers, err));
        }
        for (int i = 1; graph_is_op(n, "nib", "Embed") && i < n->n_inputs; i += 2) {
            const graph_value *v = n->inputs[i].value;
            if (v->constant && base_is_quantized(&v->type.quant))
                NIB_TRY(add(heap, out, n->outputs[0]->name, KERNEL_WEIGHT_Q8, numbers_of(v), err));
        }
    }
fail:
    return status;
}

void quant_layers_free(base_heap *heap, quant_layers *l) {
    for (int i = 0; i < l->count; i++) base_free(heap, l->items[i].name);
    base_free(heap, l->items);
    *l = (quant_layers){0};
}
