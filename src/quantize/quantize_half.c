/* SPDX-License-Identifier: Apache-2.0
 *
 * Weights of 16 bits. In: a clone of the graph that the layers were found in. Out: the same graph
 *
 *     fp16  in half precision throughout, where values' ranges allow it: what nib optimize -O4 does (rewrite_halve)
 *     bf16  with the layers' weights in bf16 behind a Cast, and tables whose rows are widened once they are looked up: sums stay f32, for
 *           few runtimes have operators of bf16
 */
#include "quantize.h"
#include "base/base_half.h"

static nib_status no_memory(const pass_context *ctx) {
    return base_error_set(ctx->err, NIB_OUT_OF_MEMORY, "out of memory for weights of 16 bits");
}

static graph_value *rounded(graph *g, const graph_value *v) {
    graph_tensor t = *v->constant;
    const size_t n = t.bytes / sizeof(float);
    uint16_t *to = base_arena_alloc(g->arena, n * sizeof *to + 1);
    if (!to) return NULL;
    for (size_t i = 0; i < n; i++) to[i] = base_f32_to_bf16(((const float *)t.data)[i]);
    t.data = to, t.dtype = NIB_DTYPE_BF16, t.bytes = n * sizeof *to;
    return graph_add_constant(g, v->name, &t, false);
}

static graph_value *widened(pass_context *ctx, graph_node *n, graph_value *v) {
    graph_value *y = v ? pass_emit(ctx, n, "", "Cast", &v, 1, v->name) : NULL;
    return y && graph_set_int(y->producer, "to", NIB_DTYPE_F32) == NIB_OK && op_infer_node(ctx->g, y->producer, ctx->err) == NIB_OK ? y
                                                                                                                                  : NULL;
}

static nib_status write_bf16(pass_context *ctx, quantize_layers *layers) {
    nib_status status = NIB_OK;
    for (int i = 0; i < layers->count; i++) {
        quantize_layer *l = &layers->items[i];
        const graph_value *y = graph_find_value(ctx->g, l->node->outputs[0]->name);
        graph_node *n = y ? y->producer : NULL;
        if (l->kept || l->why || !n) continue;
        graph_value *in[2] = {n->inputs[0].value, n->inputs[1].value};
        graph_value *w = rounded(ctx->g, in[!l->table]);
        if (l->table) in[0] = w;
        else in[1] = widened(ctx, n, w);
        if (!in[!l->table]) NIB_TRY(no_memory(ctx));
        graph_value *made = pass_emit_inferred(ctx, n, n->op, in, 2, n->outputs[0]->name);
        if (l->table) made = widened(ctx, n, made);
        if (!made) NIB_TRY(no_memory(ctx));
        NIB_TRY(pass_replace(ctx, n->outputs[0], made));
        l->codes.bits = QUANTIZE_16;
    }
    NIB_TRY(pass_clean(ctx));
fail:
    return status;
}

/* What became of each weight in fp16, where whoever reads it decides. */
static void note_bits(const graph *g, quantize_layers *layers) {
    for (int i = 0; i < layers->count; i++) {
        const graph_value *v = graph_find_value(g, quantize_name(&layers->items[i]));
        const bool left = v && v->constant && v->constant->dtype == NIB_DTYPE_F32;
        layers->items[i].codes.bits = left ? QUANTIZE_NONE : QUANTIZE_16;
    }
}

nib_status quantize_write_half(nib_runtime *runtime, graph *g, quantize_layers *layers, nib_quantize_type type, pass_notes *notes,
                               nib_error *err) {
    nib_status status = NIB_OK;
    kernels ks;
    kernel_table_init(&ks, runtime->isas);
    pass_context ctx = {.g = g, .runtime = runtime, .kernels = &ks, .level = 1, .mode = PASS_MODE_FILE, .notes = notes, .err = err};
    if (type == NIB_QUANTIZE_FP16) {
        NIB_TRY(rewrite_halve(&ctx));
        note_bits(g, layers);
    }
    if (type == NIB_QUANTIZE_BF16 && graph_opset_version(g, "") < 13) NIB_TRY(pass_opset(&ctx, 13));
    if (type == NIB_QUANTIZE_BF16) NIB_TRY(write_bf16(&ctx, layers));
    NIB_TRY(pass_names(&ctx));
    NIB_TRY(graph_verify(g, err));
fail:
    return status;
}
