/* SPDX-License-Identifier: Apache-2.0
 *
 * See quant.h. In: a fused graph. Out: the same graph whose Linears compute in q8 or bf16.
 */
#include "quant.h"
#include <string.h>

nib_precision quant_auto(uint32_t isas, const char **why) {
    const uint32_t integer = 1u << BASE_ISA_AVX512VNNI | 1u << BASE_ISA_AVXVNNI | 1u << BASE_ISA_DOTPROD;
    if (isas & integer) return *why = "this CPU multiplies 8-bit integers", NIB_PRECISION_Q8;
    return *why = "this CPU has no instructions for 8-bit integers", NIB_PRECISION_F32;
}

/* Rows of one format made of v, once, right behind v's producer. */
typedef struct made_rows {
    graph_value *rows, *params, *factor; /* NULL: the format has none */
} made_rows;

/* What is there already. */
static bool find_rows(const graph_value *v, kernel_input input, made_rows *out) {
    for (graph_use *u = v->uses; u; u = u->next) {
        graph_node *n = u->node;
        if (input == KERNEL_INPUT_U8 && graph_is_op(n, "nib", "QuantizeRows")) {
            *out = (made_rows){n->outputs[0], n->outputs[1], n->n_inputs > 1 ? n->inputs[1].value : NULL};
            return true;
        }
        if (input == KERNEL_INPUT_BF16 && graph_is_op(n, "", "Cast") && graph_attr_int(n, "to", 0) == NIB_DTYPE_BF16) {
            *out = (made_rows){.rows = n->outputs[0]};
            return true;
        }
    }
    return false;
}

/* Whether a Linear that reads v has weights on the grid of q4, which a factor for each of their rows would move them off. */
static bool reads_q4(const graph_value *v) {
    op_linear l;
    for (const graph_use *u = v->uses; u; u = u->next)
        if (op_linear_get(u->node, &l) && l.x == v && quant_grid_of(&l) == KERNEL_WEIGHT_Q4) return true;
    return false;
}

static nib_status make_rows(pass_context *ctx, graph_value *v, kernel_input input, made_rows *out) {
    nib_status status = NIB_OK;
    graph *g = ctx->g;
    const bool u8 = input == KERNEL_INPUT_U8;
    *out = (made_rows){.rows = v};
    if (input == KERNEL_INPUT_F32 || find_rows(v, input, out)) return NIB_OK;
    graph_node *before = v->producer ? v->producer->next : g->first;
    graph_value *y[2] = {graph_add_value(g, v->name), u8 ? graph_add_value(g, v->name) : NULL}, *factor = NULL;
    if (!y[0] || (u8 && !y[1])) NIB_FAIL(ctx->err, NIB_OUT_OF_MEMORY, "out of memory while quantizing");
    if (u8 && !(ctx->quantized_q4 && reads_q4(v))) NIB_TRY(quant_smooth(ctx, v, &factor));
    graph_value *in[2] = {v, factor};
    graph_node *n =
        graph_add_node(g, before, u8 ? "nib" : "", u8 ? "QuantizeRows" : "Cast", y[0]->name, in, factor ? 2 : 1, y, u8 ? 2 : 1);
    if (!n || (!u8 && graph_set_int(n, "to", NIB_DTYPE_BF16) != NIB_OK))
        NIB_FAIL(ctx->err, NIB_OUT_OF_MEMORY, "out of memory while quantizing");
    n->meaning = op_find(n->domain, n->op, graph_opset_version(g, n->domain));
    NIB_TRY(op_infer_node(g, n, ctx->err));
    *out = (made_rows){y[0], y[1], factor};
fail:
    return status;
}

/* The weight as a value of that type. Its bytes are the same; a value of its own, because others may read the numbers as they are. One
 * for all Linears that read it, so that a program has its packed form once. */
static graph_value *typed_weight(pass_context *ctx, graph_value *w, bool trans, const base_quant *type) {
    graph *g = ctx->g;
    base_quant quant = *type;
    quant.axis = trans;
    for (int i = 0; i < g->n_constants; i++) {
        graph_value *v = g->constants[i];
        if (v->constant->data == w->constant->data && v->constant->dtype == w->constant->dtype &&
            memcmp(v->constant->dims, w->constant->dims, 2 * sizeof *v->constant->dims) == 0 && base_same_quant(&v->type.quant, &quant) &&
            v->type.quant.axis == quant.axis && v->constant->rank == 2)
            return v;
    }
    graph_value *v = graph_add_constant(g, w->name, w->constant, false);
    if (v) v->type.quant = quant;
    return v;
}

static const char *refusal(const op_linear *l, const kernel_format *weight, const kernel_format *rows) {
    static const char *const multiples[] = {
        [2] = "its rows are no multiple of 2", [4] = "its rows are no multiple of 4", [32] = "its rows are no multiple of 32"};
    const int multiple = weight->multiple > rows->multiple ? weight->multiple : rows->multiple;
    for (int i = 0; i < l->n_weights; i++) {
        const graph_tensor *w = l->weights[i]->constant;
        if (!w || !op_is_weight_type(w->dtype) || w->rank != 2) return "the weight is not a constant of floats";
    }
    const int64_t K = l->weights[0]->constant->dims[l->trans];
    if (K % multiple) return multiples[multiple];
    if (K > weight->most_k || K > rows->most_k) return "its rows are longer than 65536";
    if (!l->x || l->x->constant || l->x->type.dtype != NIB_DTYPE_F32) return "the input is not rows of f32";
    return NULL;
}

static nib_status rewrite(pass_context *ctx, graph_node *n, op_linear *l, const kernel_format *weight, kernel_input input) {
    nib_status status = NIB_OK;
    made_rows made;
    NIB_TRY(make_rows(ctx, l->x, input, &made));
    l->x = made.rows;
    l->params = made.params;
    l->factor = made.factor;
    for (int i = 0; i < l->n_weights; i++)
        if (!(l->weights[i] = typed_weight(ctx, l->weights[i], l->trans, &weight->type)))
            NIB_FAIL(ctx->err, NIB_OUT_OF_MEMORY, "out of memory while quantizing");
    NIB_TRY(op_linear_set(n, l, ctx->err));
    ctx->changes++;
fail:
    return status;
}

/* Rows that a file multiplies by a factor a column before it rounds them: QuantizeRows has a place for it. Weights keep what they are, for
 * they were rounded with the factor in them. */
static nib_status take_factors(pass_context *ctx) {
    graph *g = ctx->g;
    for (graph_node *n = g->first, *next; n; n = next) {
        next = n->next;
        if (!graph_is_op(n, "nib", "QuantizeRows") || n->n_inputs > 1) continue;
        graph_value *v = n->inputs[0].value;
        const graph_node *m = v->producer;
        if (!m || !graph_is_op(m, "", "Mul") || !m->inputs[0].value || !m->inputs[1].value) continue;
        graph_value *in[2] = {m->inputs[0].value, m->inputs[1].value}, *y[2];
        const graph_tensor *c = in[1]->constant;
        int64_t C;
        if (!c || c->dtype != NIB_DTYPE_F32 || c->rank != 1 || !c->data || in[0]->type.rank != v->type.rank ||
            !graph_dim_is_const(in[0]->type.dims[v->type.rank - 1], &C) || c->dims[0] != C)
            continue;
        for (int i = 0; i < 2; i++)
            if (!(y[i] = graph_add_value(g, n->outputs[i]->name)))
                return base_error_set(ctx->err, NIB_OUT_OF_MEMORY, "out of memory while quantizing");
        graph_node *with = graph_add_node(g, n, "nib", "QuantizeRows", n->name, in, 2, y, 2);
        if (!with) return base_error_set(ctx->err, NIB_OUT_OF_MEMORY, "out of memory while quantizing");
        with->meaning = n->meaning;
        nib_status status = op_infer_node(g, with, ctx->err);
        for (int i = 0; i < 2 && status == NIB_OK; i++) status = pass_replace(ctx, n->outputs[i], y[i]);
        if (status != NIB_OK) return status;
        graph_remove_node(g, n);
        if (v->use_count == 0 && !v->is_output) graph_remove_node(g, v->producer);
    }
    return NIB_OK;
}

#define TABLE_ROWS 1024 /* below, a table is small beside the rest */

static double numbers_of(const graph_value *v) { return (double)v->constant->dims[0] * (double)v->constant->dims[1]; }

/* `on_grid`: those alone that lose nothing. */
static nib_status quantize_tables(pass_context *ctx, const kernel_format *format, bool on_grid, const quant_layers *chosen,
                                  quant_layers *made) {
    nib_status status = NIB_OK;
    char name[QUANT_NAME];
    for (graph_node *n = ctx->g->first; n; n = n->next) {
        for (int i = 1; graph_is_op(n, "nib", "Embed") && i < n->n_inputs; i += 2) {
            graph_value *v = n->inputs[i].value;
            if (!v->constant || !op_is_weight_type(v->constant->dtype) || v->constant->rank != 2 ||
                base_is_quantized(&v->type.quant) || v->constant->dims[0] < TABLE_ROWS ||
                v->constant->dims[1] % format->multiple || v->constant->dims[1] > format->most_k ||
                (on_grid && !quant_grid_of_rows(v->constant)))
                continue;
            quant_layer_name(v, name);
            if (quant_layers_format(chosen, name, KERNEL_WEIGHT_Q8) == KERNEL_WEIGHT_F32) continue;
            NIB_TRY(quant_layers_add(&ctx->runtime->heap, made, name, KERNEL_WEIGHT_Q8, numbers_of(v), ctx->err));
            if (!(v = typed_weight(ctx, v, true, &format->type)))
                NIB_FAIL(ctx->err, NIB_OUT_OF_MEMORY, "out of memory while quantizing");
            graph_set_input(n, i, v);
            ctx->changes++;
        }
    }
fail:
    return status;
}

/* Of a graph without any Linear (a static embedding) the table is all there is to round: it takes the weights' type. */
static bool has_linear(const graph *g) {
    op_linear l;
    for (graph_node *n = g->first; n; n = n->next)
        if (op_linear_get(n, &l)) return true;
    return false;
}

static nib_status note_linear(pass_context *ctx, quant_layers *made, const op_linear *l, const char *name, kernel_weight_format format) {
    double numbers = 0;
    for (int i = 0; i < l->n_weights; i++) numbers += numbers_of(l->weights[i]);
    return quant_layers_add(&ctx->runtime->heap, made, name, format, numbers, ctx->err);
}

nib_status quant_apply(pass_context *ctx, nib_precision precision, bool as_file, const quant_layers *chosen, quant_layers *made,
                       const kernel_input *rows) {
    nib_status status = NIB_OK;
    static const struct {
        kernel_weight_format weight, table;
        const char *said;
    } of[] = {
        [NIB_PRECISION_BF16] = {KERNEL_WEIGHT_BF16, KERNEL_WEIGHT_F32, "bf16"},
        [NIB_PRECISION_Q8] = {KERNEL_WEIGHT_Q8, KERNEL_WEIGHT_F32,
                              "q8: u8 rows with a scale and zero point each, s8 weights with a scale a column"},
        [NIB_PRECISION_Q4] = {KERNEL_WEIGHT_Q4, KERNEL_WEIGHT_Q8,
                              "q4: u8 rows with a scale and zero point each, s4 weights in blocks of 32 with a scale each; large tables "
                              "in s8 with a scale a row"},
        [NIB_PRECISION_MIXED] = {KERNEL_WEIGHT_Q4, KERNEL_WEIGHT_Q8, "as few bits each as their cosine allows"},
    };
    if ((size_t)precision >= BASE_COUNT(of) || !of[precision].said)
        return base_error_set(ctx->err, NIB_UNSUPPORTED, "nothing computes in %s", nib_precision_name(precision));
    int done = 0, left = 0;
    const kernel_weight_format bare = precision == NIB_PRECISION_BF16 ? KERNEL_WEIGHT_BF16 : KERNEL_WEIGHT_Q8,
                               table = has_linear(ctx->g) ? of[precision].table : bare;
    if (table != KERNEL_WEIGHT_F32) NIB_TRY(quantize_tables(ctx, &kernel_weight_formats[table], false, chosen, made));
    else if (as_file) NIB_TRY(quantize_tables(ctx, &kernel_weight_formats[KERNEL_WEIGHT_Q8], true, &(quant_layers){0}, made));
    const quant_layers none = {0}, *asked = as_file ? &none : chosen;
    const kernel_weight_format products = quant_layers_format(asked, QUANT_ATTENTION, KERNEL_WEIGHT_Q8);
    for (graph_node *n = ctx->g->first; n; n = n->next) {
        op_attention a;
        op_linear l;
        if (op_attention_get(n, &a) && a.products == OP_PRODUCTS_F32 && products != KERNEL_WEIGHT_F32) {
            a.products = OP_PRODUCTS_Q8;
            NIB_TRY(quant_layers_add(&ctx->runtime->heap, made, QUANT_ATTENTION, products, 0, ctx->err));
            NIB_TRY(op_attention_set(n, &a, ctx->err));
        }
        if (!op_linear_get(n, &l) || l.weight_format != KERNEL_WEIGHT_F32) continue;
        char name[QUANT_NAME];
        quant_layer_name(l.weights[0], name);
        const kernel_weight_format format =
            as_file ? quant_grid_of(&l) : quant_layers_format(asked, name, of[precision].weight);
        if (format == KERNEL_WEIGHT_F32) {
            left++;
            continue;
        }
        const kernel_format *weight = &kernel_weight_formats[format];
        const char *why = refusal(&l, weight, &kernel_input_formats[rows[format]]);
        if (why) {
            pass_note(ctx, "Linear %s stays f32: %s", n->name, why);
            continue;
        }
        NIB_TRY(base_stop_check(ctx->err));
        NIB_TRY(note_linear(ctx, made, &l, name, format));
        NIB_TRY(rewrite(ctx, n, &l, weight, rows[format]));
        done++;
    }
    NIB_TRY(take_factors(ctx));
    if (as_file) pass_note(ctx, "%d Linear layers compute in the bits that the file has of their weights, %d in f32", done, left);
    else pass_note(ctx, "%d Linear layers compute in %s", done, of[precision].said);
fail:
    return status;
}
