/* SPDX-License-Identifier: Apache-2.0
 *
 * Which weights can be made smaller. In: a simplified graph. Out: its products with constant matrices, and its tables.
 */
#include "quantize.h"
#include <string.h>

#define LEAST_ROWS 1024 /* of a table: a smaller one is small beside the rest */
#define LEAST_WIDTH 32  /* of a weight, each way: a smaller one has more scales than numbers */

const char *quantize_name(const quantize_layer *l) { return l->node->inputs[l->table ? 0 : 1].value->name; }

/* '*' stands for any characters, and any number of them. */
static bool matches(const char *pattern, const char *text) {
    const char *star = NULL, *from = NULL;
    while (*text) {
        if (*pattern == '*') star = pattern++, from = text;
        else if (*pattern == *text) pattern++, text++;
        else if (star) pattern = star + 1, text = ++from;
        else return false;
    }
    while (*pattern == '*') pattern++;
    return !*pattern;
}

static bool layer_of(graph_node *n, quantize_layer *l) {
    const bool table = graph_is_op(n, "", "Gather");
    if (!table && !graph_is_op(n, "", "MatMul")) return false;
    const graph_value *w = n->inputs[table ? 0 : 1].value;
    if (!w->constant || !w->constant->data || w->constant->rank != 2 || n->n_inputs != 2) return false;
    const graph_tensor *t = w->constant;
    if (table && (graph_attr_int(n, "axis", 0) != 0 || t->dims[0] < LEAST_ROWS)) return false;
    if (t->dims[0] < LEAST_WIDTH || t->dims[1] < LEAST_WIDTH || !n->outputs[0]) return false;
    *l = (quantize_layer){.node = n, .x = n->inputs[table ? 1 : 0].value, .w = t, .table = table, .codes.bits = QUANTIZE_NONE};
    l->K = t->dims[table], l->N = t->dims[!table];
    if (t->dtype != NIB_DTYPE_F32) l->why = "its weight is not f32";
    else if ((uintptr_t)t->data % sizeof(float)) l->why = "its weight is not aligned";
    else if (l->K > KERNEL_Q8_MOST_K) l->why = "its rows are too long";
    return true;
}

nib_status quantize_find(base_heap *heap, const graph *g, const char *const *keep, size_t n, quantize_layers *out, nib_error *err) {
    int count = 0;
    quantize_layer one;
    *out = (quantize_layers){0};
    for (graph_node *k = g->first; k; k = k->next) count += layer_of(k, &one);
    out->items = base_calloc(heap, (size_t)count + 1, sizeof *out->items);
    if (!out->items) return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for a list of layers");
    for (graph_node *k = g->first; k; k = k->next) {
        if (!layer_of(k, &one)) continue;
        for (size_t i = 0; i < n; i++) one.kept |= matches(keep[i], quantize_name(&one)) || matches(keep[i], k->name);
        out->items[out->count++] = one;
    }
    return NIB_OK;
}

void quantize_layers_free(base_heap *heap, quantize_layers *l) {
    for (int i = 0; i < l->count; i++) {
        base_free(heap, l->items[i].codes.q);
        base_free(heap, l->items[i].codes.scale);
    }
    base_free(heap, l->items);
    *l = (quantize_layers){0};
}
