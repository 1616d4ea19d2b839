/* SPDX-License-Identifier: Apache-2.0
 *
 * nib.Attention and nib.Rotary as com.microsoft's Attention, where its rows are the thirds of one product, else
 * MultiHeadAttention, and RotaryEmbedding. In: rows. Out, of MultiHeadAttention: queries as rows, and
 *
 *     keys and values   as rows; where queries share their heads, as heads [B, H, T, D], repeated
 *     bias              nothing but key padding, for padded queries, too: the mask itself; nothing but causal:
 * unidirectional; else attention_bias, whole
 *
 * ONNX Runtime 1.31, one thread, against three products and MultiHeadAttention (six layers of MiniLM's size, four of
 * BERT's, 1 x 16, 1 x 128, 8 x 128): Attention 1.00 to 1.08 times as fast; one product, Split and MultiHeadAttention
 * 0.96 to 1.08, slower for longer texts, which is why what Attention cannot say (rotary positions, shared heads) keeps
 * its three products, as does --target standard.
 *
 * GroupQueryAttention would read shared heads as they are. It is causal, and looks at other keys than the model where a
 * padded query sees none; with causal = 0 and the bias it gives the same bits as the repeated heads, but ONNX
 * Runtime 1.27 does not know that attribute and refuses the file, for 0.95 to 1.05 of the speed (Qwen2, 4 layers of
 * 256).
 *
 * ONNX Runtime's softmax gives NaN where all keys are at -infinity. nib.Attention gives that with masked_nan, else 0:
 * there, where it can be, a Where follows. Behind a mask, whose hidden keys get the lowest f32, only a text without a
 * token has all keys hidden: there the Where asks the mask.
 */
#include "pass_forms.h"
#include "pass_heads.h"
#include <float.h>
#include <math.h>
#include <string.h>

static nib_status no_memory(pass_context *ctx) {
    return base_error_set(ctx->err, NIB_OUT_OF_MEMORY, "out of memory while writing operators");
}

/* ---------------------------------------------------------------- rotary */

nib_status pass_ort_rotary(pass_context *ctx, graph_node *n) {
    nib_status status = NIB_OK;
    pass_turn t;
    int64_t zero = 0;
    if (!pass_read_turn(n, &t)) return NIB_OK;
    graph_value *first = graph_const_i64(ctx->g, "zero", &zero, 1);
    graph_value *in[4] = {t.rows, t.positions ? pass_positions_of(ctx, n, n, &t) : first, t.cos, t.sin};
    graph_node *made =
        first && in[1] ? pass_add_ms(ctx, n, "RotaryEmbedding", in, 4, (const graph_value *const[]){n->outputs[0]}, 1) : NULL;
    if (!made) return no_memory(ctx);
    NIB_TRY(graph_set_int(made, "num_heads", t.heads));
    NIB_TRY(pass_replace(ctx, n->outputs[0], made->outputs[0]));
    graph_remove_node(ctx->g, n);
fail:
    return status;
}

/* ---------------------------------------------------------------- attention */

/* i32 [B, S], 1 for keys that count, if the bias is nothing but that of an input, whatever numbers it holds; NULL if
 * not. *hidden: what the bias adds to others. */
static graph_value *padding_mask(pass_context *ctx, graph_value *bias, graph_node *before, double *hidden) {
    for (int i = 0; i < ctx->g->n_inputs; i++) {
        graph_value *mask = ctx->g->inputs[i];
        pass_window window = {.left = -1, .right = -1};
        char why[200];
        if (mask->type.rank != 2 ||
            !pass_is_key_padding(ctx, bias, mask, pass_mode_of(ctx)->queries, &window, why, sizeof why))
            continue;
        if (window.left >= 0 || window.right >= 0) continue;
        graph_value *keys = pass_mask_test(ctx, mask, &window, before);
        if (!keys) continue;
        *hidden = window.hidden;
        return keys;
    }
    return NULL;
}

/* [B, T, K D] as [B, K times, T, D]: each head as often as queries read it. */
static graph_value *repeated(pass_context *ctx, graph_node *before, graph_value *rows, int64_t heads, int64_t size, int64_t times) {
    int64_t two = 2, shape[5] = {1, 1, times, 1, 1};
    graph_value *v = pass_split_rows(ctx, before, rows, heads, size, true), *axis = graph_const_i64(ctx->g, "axis", &two, 1);
    graph_value *to = graph_const_i64(ctx->g, "times", shape, 5);
    if (v && axis) v = pass_emit_inferred(ctx, before, "Unsqueeze", (graph_value *[]){v, axis}, 2, rows->name);
    if (v && to) v = pass_emit_inferred(ctx, before, "Expand", (graph_value *[]){v, to}, 2, rows->name);
    return v && to && axis ? pass_emit_reshape(ctx, before, v, (int64_t[]){0, heads * times, -1, size}, 4) : NULL;
}

/* bool [B, 1, 1]: whether the text has a token; made once for all layers. NULL: out of memory. */
static graph_value *has_tokens(pass_context *ctx, graph_value *mask) {
    const int64_t one = 1;
    for (const graph_use *u = mask->uses; u; u = u->next) {
        graph_value *v = graph_is_op(u->node, "", "ReduceMax") ? u->node->outputs[0] : NULL;
        static const char *const next[] = {"Cast", "Reshape"};
        for (size_t i = 0; v && i < BASE_COUNT(next); i++)
            v = v->use_count == 1 && graph_is_op(v->uses->node, "", next[i]) ? v->uses->node->outputs[0] : NULL;
        if (v && v->type.dtype == NIB_DTYPE_BOOL && v->type.rank == 3 && v->type.dims[0] == mask->type.dims[0] &&
            graph_dim_is_one(v->type.dims[1]) && graph_dim_is_one(v->type.dims[2]))
            return v; /* one bool a text, of the largest of its mask */
    }
    graph_node *before = mask->producer ? mask->producer->next : ctx->g->first;
    graph_value *axis = graph_const_i64(ctx->g, "axis", &one, 1), *in[2] = {mask, axis};
    const bool is_input = graph_opset_version(ctx->g, "") >= 18;
    graph_value *most = axis ? pass_emit(ctx, before, "", "ReduceMax", in, is_input ? 2 : 1, mask->name) : NULL;
    if (!most || (!is_input && graph_set_ints(most->producer, "axes", &one, 1) != NIB_OK)) return NULL;
    if (op_infer_node(ctx->g, most->producer, ctx->err) != NIB_OK) return NULL;
    graph_value *any = pass_emit(ctx, before, "", "Cast", &most, 1, mask->name);
    if (!any || graph_set_int(any->producer, "to", NIB_DTYPE_BOOL) != NIB_OK) return NULL;
    if (op_infer_node(ctx->g, any->producer, ctx->err) != NIB_OK) return NULL;
    return pass_emit_reshape(ctx, before, any, (int64_t[]){-1, 1, 1}, 3);
}

/* Rows of zeros for texts without a token, whose keys are all hidden by one number: their softmax is uniform, where the model's, of
 * -infinity, was NaN and then 0. */
static graph_value *zeros_without_tokens(pass_context *ctx, graph_node *before, graph_value *y, graph_value *mask) {
    graph_value *has = has_tokens(ctx, mask), *zero = graph_const_f32(ctx->g, "zero", 0);
    return has && zero ? pass_emit_inferred(ctx, before, "Where", (graph_value *[]){has, y, zero}, 3, y->name) : NULL;
}

/* What a mask's hidden keys get: the model's own number, where it is one. */
static float filter_of(double hidden, bool masked_nan) {
    const float x = (float)hidden;
    return isfinite(x) || (masked_nan && x == -INFINITY) ? x : -FLT_MAX;
}

nib_status pass_ort_attention(pass_context *ctx, graph_node *n) {
    nib_status status = NIB_OK;
    char why[200];
    op_attention a;
    op_attention_get(n, &a);
    const int64_t heads = a.heads, kv_heads = a.kv_heads;
    int64_t width;
    graph_value *q = a.q, *k = a.k, *v = a.v, *bias = a.bias, *mask = NULL;
    pass_product p = {0};
    if (!k || !v || a.offsets || a.positions || a.softcap > 0 || kv_heads < 1 || heads % kv_heads) return NIB_OK;
    if (a.left >= 0 || a.right >= 0 || op_attention_by_distance(&a)) return NIB_OK;
    if (q->type.rank != 3 || !graph_dim_is_const(q->type.dims[2], &width)) return NIB_OK;
    double hidden = 0;
    bool dead = bias && !a.masked_nan && pass_may_be_infinite(bias), causal = a.causal;
    if (bias && pass_is_causal(ctx, bias, why, sizeof why)) causal = true, dead = false, bias = NULL;
    if (bias && (mask = padding_mask(ctx, bias, n, &hidden))) bias = NULL;
    bool ok = true, whole = kv_heads == heads && pass_find_product(ctx, n, &p, &ok);
    graph_value *biases = ok && !whole && kv_heads == heads ? pass_take_biases(ctx, n, &ok) : NULL;
    if (!ok) return no_memory(ctx);
    /* Now that nobody asks any more who else reads the rows. */
    if (bias && !(bias = pass_full_bias(ctx, n, bias, whole ? p.x : q, whole ? p.x : k))) return no_memory(ctx);
    if (kv_heads != heads) {
        k = repeated(ctx, n, k, kv_heads, width / heads, heads / kv_heads);
        v = repeated(ctx, n, v, kv_heads, width / heads, heads / kv_heads);
        if (!k || !v) return no_memory(ctx);
    }
    graph_value *rows[6] = {q, k, v, biases, mask, bias}, *product[6] = {p.x, p.w, p.bias, mask, NULL, bias};
    graph_node *made = pass_add_ms(ctx, n, whole ? "Attention" : "MultiHeadAttention", whole ? product : rows, 6,
                                   (const graph_value *const[]){n->outputs[0]}, 1);
    if (!made) return no_memory(ctx);
    NIB_TRY(graph_set_int(made, "num_heads", heads));
    NIB_TRY(graph_set_float(made, "scale", a.scale));
    if (mask) NIB_TRY(graph_set_float(made, "mask_filter_value", filter_of(hidden, a.masked_nan)));
    if (causal) NIB_TRY(graph_set_int(made, "unidirectional", 1));
    graph_value *y = made->outputs[0];
    if (dead && (bias || mask)) y = bias ? pass_emit_without_nan(ctx, n, y) : zeros_without_tokens(ctx, n, y, mask);
    NIB_TRY(pass_replace(ctx, n->outputs[0], y));
    graph_remove_node(ctx->g, n);
fail:
    return status;
}
