/* SPDX-License-Identifier: Apache-2.0
 *
 * See quant.h. In: what quant_apply meets. Out: a list of what is rounded, and to what; and what such a list says of a layer.
 */
#include "quant.h"
#include <stdio.h>
#include <string.h>

void quant_layer_name(const graph_value *v, char out[QUANT_NAME]) {
    char made[16];
    const size_t n = strlen(v->name), k = (size_t)snprintf(made, sizeof made, "_%d", v->id);
    snprintf(out, QUANT_NAME, "%.*s", (int)(base_ends_with(v->name, made) ? n - k : n), v->name);
}

quant_layer *quant_layers_find(const quant_layers *l, const char *name) {
    for (int i = 0; i < l->count; i++)
        if (strcmp(l->items[i].name, name) == 0) return &l->items[i];
    return NULL;
}

nib_status quant_layers_add(base_heap *heap, quant_layers *l, const char *name, kernel_weight_format format, double numbers,
                            nib_error *err) {
    quant_layer *same = quant_layers_find(l, name);
    if (same) return same->numbers += numbers, NIB_OK;
    quant_layer *more = base_realloc(heap, l->items, ((size_t)l->count + 1) * sizeof *more);
    if (more) l->items = more;
    char *copy = more ? base_strndup(heap, name, strlen(name)) : NULL;
    if (!copy) return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for a list of layers");
    l->items[l->count++] = (quant_layer){copy, format, numbers};
    return NIB_OK;
}

kernel_weight_format quant_layers_format(const quant_layers *chosen, const char *name, kernel_weight_format otherwise) {
    if (!chosen->count) return otherwise;
    const quant_layer *l = quant_layers_find(chosen, name);
    return l ? l->format : KERNEL_WEIGHT_F32;
}

void quant_layers_free(base_heap *heap, quant_layers *l) {
    for (int i = 0; i < l->count; i++) base_free(heap, l->items[i].name);
    base_free(heap, l->items);
    *l = (quant_layers){0};
}
