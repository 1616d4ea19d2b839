/* SPDX-License-Identifier: Apache-2.0
 *
 * What else of a batch reaches a text's result. In: the graph of a task, and which values packing has proven to be rows of tokens. Out:
 * whether texts may go together padded to one length, only where they are of one length, or one at a time.
 *
 * Each value gets a flow, in the order of the nodes: which axis counts texts and which tokens, what stands where a text is padded, and
 * whether its neighbours, or how far it is padded, have reached it. A rule for each operator takes the flows of its inputs to that of its
 * outputs; an operator without a rule lets everything through. So "nothing reaches it" is a proof, and the others may be caution.
 *
 *     x [texts, tokens, C], anything where padded;  mask [texts, tokens], 0 where padded
 *     Mul(x, mask)         0 where padded
 *     ReduceSum, axis 1    padding adds 0: each text's own
 *     ReduceMean, axis 1   divides by the padded length: padding reaches it
 *
 * What a bias lets through counts as proven at -1e4, whose exponential is 0 in f32.
 */
#include "pass_texts.h"

/* Rows of tokens, as packing has proven them, but for what their nodes read from the grid. (It has proven of attention's biases that no
 * text sees padding through them, and that they are not made of rows.) */
static flow flow_of_rows(const flows *f, const graph_node *n) {
    flow y = {.texts = f->one_text ? -1 : 0, .tokens = 1};
    op_attention a;
    const graph_value *bias = op_attention_get(n, &a) ? a.bias : NULL;
    for (int i = 0; i < n->n_inputs; i++) {
        if (bias && n->inputs[i].value == bias) continue;
        const flow x = flow_of(f, n->inputs[i].value);
        inherit(&y, &x);
    }
    if (y.padding) y.tokens = -1;
    if (y.neighbours) y.texts = -1;
    if (op_rows_of(n) == OP_ROWS_ELEMENT) pass_flow_numbers(f, n, &y);
    if (y.pad != PAD_NUMBER || y.number != 0) y.pad = PAD_ANY; /* packed rows are 0 there once they are back on the grid */
    return y;
}

/* One value for all texts of a call, as how many rows a prompt has. */
static bool is_of_fixed_size(const graph_value *v) {
    bool fixed = v->type.rank >= 0;
    for (int k = 0; k < v->type.rank; k++) fixed &= graph_dim_is_const(v->type.dims[k], NULL);
    return fixed;
}

static void follow(flows *f) {
    for (int i = 0; i < f->g->n_inputs; i++) {
        flow *x = flow_at(f, f->g->inputs[i]);
        *x = (flow){.texts = f->one_text ? -1 : 0, .tokens = 1, .pad = PAD_NUMBER, .number = 0}; /* nib fills what is padded with 0 */
        if (f->g->inputs[i] == f->mask) x->known = true, x->token = 1;
        if (f->g->inputs[i]->type.rank != 2) *x = whole;
        if (f->g->inputs[i]->type.rank != 2 && !is_of_fixed_size(f->g->inputs[i])) reach(x, NULL, !f->one_text, true);
    }
    for (const graph_node *n = f->g->first; n; n = n->next) {
        const bool rows = f->rows && n->n_outputs && n->outputs[0] && f->rows[n->outputs[0]->id];
        flow y = rows ? flow_of_rows(f, n) : n->n_outputs ? pass_flow_out(f, n) : whole;
        if (f->one_text) y.neighbours = false, y.texts = -1;
        for (int i = 0; i < n->n_outputs; i++) {
            flow *x = n->outputs[i] ? flow_at(f, n->outputs[i]) : NULL;
            if (!x) continue;
            *x = y;
            if (!n->outputs[i]->data || rows || !is_free(&y)) continue;
            *x = whole; /* inference knows what it is made of */
            pass_flow_sizes(f, n->outputs[i], y.by ? y.by : n, x);
        }
    }
}

/* Sizes of all symbols, of which only one is known: what cannot be computed with it is of others, data-dependent ones among them. NULL:
 * memory ran out. */
static int64_t *sizes_of(base_heap *heap, int count, graph_dim known) {
    int64_t *sizes = base_calloc(heap, (size_t)count + 1, sizeof *sizes);
    const int index = known ? graph_symbol_index(known) : -1;
    for (int i = 0; sizes && i < count; i++) sizes[i] = i == index ? 7 : GRAPH_UNBOUND;
    return sizes;
}

nib_status pass_follow_texts(pass_context *ctx, graph_dim b, graph_dim s, const uint8_t *rows, pass_reach *out, const graph_node **at) {
    nib_status status = NIB_OK;
    base_heap *heap = ctx->g->heap;
    flows f = {.g = ctx->g,
               .limit = ctx->g->value_limit,
               .b = b,
               .s = s,
               .rows = rows,
               .n_symbols = graph_symbol_count(ctx->g->symbols),
               .mask = ctx->mask};
    flow worst = whole;
    f.one_text = graph_dim_is_one(b);
    f.fixed = graph_dim_is_const(s, NULL);
    f.of = base_calloc(heap, (size_t)f.limit + 1, sizeof *f.of);
    int64_t *without_b = sizes_of(heap, f.n_symbols, s), *without_s = sizes_of(heap, f.n_symbols, b);
    f.without_b = without_b;
    f.without_s = without_s;
    if (!f.of || !without_b || !without_s) NIB_FAIL(ctx->err, NIB_OUT_OF_MEMORY, "out of memory while optimizing");
    for (int i = 0; i < f.limit; i++) f.of[i] = whole;
    follow(&f);
    for (int i = 0; i < ctx->g->n_outputs; i++) {
        const flow x = flow_of(&f, ctx->g->outputs[i]);
        inherit(&worst, &x);
    }
    *out = worst.neighbours ? PASS_REACH_NEIGHBOURS : worst.padding ? PASS_REACH_PADDING : PASS_REACH_NOTHING;
    *at = worst.by;
fail:
    base_free(heap, f.of);
    base_free(heap, without_b);
    base_free(heap, without_s);
    return status;
}
