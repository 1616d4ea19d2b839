/* SPDX-License-Identifier: Apache-2.0
 *
 * Which weights can be made smaller. In: a simplified graph. Out: its products with constant matrices, and its tables.
 */
#include "quantize.h"
#include <string.h>

#define LEAST_ROWS 256  /* of a table: a smaller one is small beside the rest */
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

static bool layer_of(graph_node *n, const nib_quantize_options *o, quantize_layer *l) {
    const bool table = graph_is_op(n, "", "Gather");
    if (!table && !graph_is_op(n, "", "MatMul")) return false;
    const graph_value *w = n->inputs[table ? 0 : 1].value;
    if (!w->constant || !w->constant->data || w->constant->rank != 2 || n->n_inputs != 2) return false;
    const graph_tensor *t = w->constant;
    if (table && graph_attr_int(n, "axis", 0) != 0) return false;
    if (t->dims[0] < (table ? o->preset ? 1 : LEAST_ROWS : LEAST_WIDTH) || t->dims[1] < LEAST_WIDTH || !n->outputs[0]) return false;
    *l = (quantize_layer){.node = n, .x = n->inputs[table ? 1 : 0].value, .w = t, .table = table, .effect = -1};
    l->codes.bits = QUANTIZE_NONE;
    l->one_scale = table ? o->preset != NIB_PRESET_NONE : o->per_tensor != 0;
    l->seven = o->reduce_range && !table;
    l->K = t->dims[table], l->N = t->dims[!table];
    if (t->dtype != NIB_DTYPE_F32) l->why = "its weight is not f32";
    else if ((uintptr_t)t->data % sizeof(float)) l->why = "its weight is not aligned";
    else if (l->K > KERNEL_Q8_MOST_K) l->why = "its rows are too long";
    return true;
}

bool quantize_is_kept(const nib_quantize_options *o, const char *name) {
    for (size_t i = 0; i < o->keep_count; i++)
        if (matches(o->keep[i], name)) return true;
    return false;
}

/* Whether a pattern names a layer, or a product of two values that a preset would have in 8 bits. */
static bool names_any(const graph *g, const quantize_layers *l, const char *pattern, bool products) {
    for (int k = 0; k < l->count; k++)
        if (matches(pattern, quantize_name(&l->items[k])) || matches(pattern, l->items[k].node->name)) return true;
    for (const graph_node *n = g->first; products && n; n = n->next)
        if (graph_is_op(n, "", "MatMul") && matches(pattern, n->name)) return true;
    return false;
}

nib_status quantize_find(base_heap *heap, const graph *g, const nib_quantize_options *o, quantize_layers *out, nib_error *err) {
    int count = 0;
    quantize_layer one;
    *out = (quantize_layers){0};
    for (graph_node *k = g->first; k; k = k->next) count += layer_of(k, o, &one);
    out->items = base_calloc(heap, (size_t)count + 1, sizeof *out->items);
    if (!out->items) return base_error_set(err, NIB_OUT_OF_MEMORY, "out of memory for a list of layers");
    for (graph_node *k = g->first; k; k = k->next)
        if (layer_of(k, o, &one)) out->items[out->count++] = one;
    for (int k = 0; k < out->count; k++) {
        quantize_layer *l = &out->items[k];
        l->kept = quantize_is_kept(o, quantize_name(l)) || quantize_is_kept(o, l->node->name);
    }
    for (size_t i = 0; i < o->keep_count; i++)
        if (!names_any(g, out, o->keep[i], o->preset != NIB_PRESET_NONE))
            return base_error_set(err, NIB_INVALID_ARGUMENT, "keep %.100s: no weight or node that is quantized has such a name", o->keep[i]);
    return NIB_OK;
}

/* ---------------------------------------------------------------- Gemm */

/* The constant W [K, N] that a Gemm multiplies rows with, turned if need be; NULL: it does something else, or memory ran out. */
static graph_value *matrix_of(graph *g, const graph_node *n) {
    graph_value *w = n->inputs[1].value;
    if (graph_attr_float(n, "alpha", 1) != 1 || graph_attr_float(n, "beta", 1) != 1 || graph_attr_int(n, "transA", 0)) return NULL;
    if (!w->constant || w->constant->rank != 2 || w->constant->dtype != NIB_DTYPE_F32 || !w->constant->data) return NULL;
    if (!graph_attr_int(n, "transB", 0)) return w;
    const int64_t N = w->constant->dims[0], K = w->constant->dims[1];
    graph_tensor t = *w->constant;
    t.dims[0] = K, t.dims[1] = N;
    float *to = base_arena_alloc(g->arena, t.bytes + 1);
    t.data = to;
    for (int64_t i = 0; to && i < N; i++)
        for (int64_t k = 0; k < K; k++) memcpy(&to[k * N + i], (const char *)w->constant->data + 4 * (i * K + k), 4);
    return to ? graph_add_constant(g, w->name, &t, false) : NULL;
}

nib_status quantize_open_gemm(pass_context *ctx) {
    nib_status status = NIB_OK;
    for (graph_node *n = ctx->g->first, *next; n; n = next) {
        next = n->next;
        graph_value *bias = n->n_inputs > 2 ? n->inputs[2].value : NULL;
        graph_value *w = graph_is_op(n, "", "Gemm") ? matrix_of(ctx->g, n) : NULL;
        if (!w || n->inputs[0].value->type.rank != 2) continue;
        graph_value *y = pass_emit_inferred(ctx, n, "MatMul", (graph_value *[]){n->inputs[0].value, w}, 2, n->outputs[0]->name);
        if (y && bias) y = pass_emit_inferred(ctx, n, "Add", (graph_value *[]){y, bias}, 2, n->outputs[0]->name);
        if (!y) NIB_FAIL(ctx->err, NIB_OUT_OF_MEMORY, "out of memory for layers");
        NIB_TRY(pass_replace(ctx, n->outputs[0], y));
    }
    NIB_TRY(pass_clean(ctx));
fail:
    return status;
}

/* ---------------------------------------------------------------- what is no layer */

#define LEAST_BYTES 2048 /* of a constant that is worth a word */

static bool is_layers(const quantize_layers *l, const graph_node *n) {
    for (int i = 0; i < l->count; i++)
        if (l->items[i].node == n) return true;
    return false;
}

void quantize_rest(const graph *g, const quantize_layers *l, base_str *out) {
    const char *sep = "";
    for (const graph_node *n = g->first; n; n = n->next) {
        size_t bytes = 0, nodes = 0;
        bool seen = false;
        for (const graph_node *k = g->first; k != n && !seen; k = k->next) seen = k->op == n->op && k->domain == n->domain;
        for (const graph_node *k = seen ? NULL : n; k; k = k->next) {
            size_t own = 0;
            for (int i = 0; k->op == n->op && k->domain == n->domain && !is_layers(l, k) && i < k->n_inputs; i++)
                if (k->inputs[i].value && k->inputs[i].value->constant && k->inputs[i].value->constant->bytes >= LEAST_BYTES)
                    own += k->inputs[i].value->constant->bytes;
            bytes += own;
            nodes += own > 0;
        }
        if (!bytes) continue;
        base_str_printf(out, "%s%.1f MB in %zu %s%s%s", sep, (double)bytes / 1e6, nodes, n->domain, *n->domain ? "." : "", n->op);
        sep = ", ";
    }
}

void quantize_layers_free(base_heap *heap, quantize_layers *l) {
    for (int i = 0; i < l->count; i++) {
        base_free(heap, l->items[i].codes.q);
        base_free(heap, l->items[i].codes.scale);
        base_free(heap, l->items[i].low.q);
        base_free(heap, l->items[i].low.scale);
        base_free(heap, l->items[i].high.q);
        base_free(heap, l->items[i].high.scale);
        base_free(heap, l->items[i].factor);
    }
    base_free(heap, l->items);
    *l = (quantize_layers){0};
}
