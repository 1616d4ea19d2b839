/* SPDX-License-Identifier: Apache-2.0
 *
 * What was found. In: a graph as the fusing passes leave it. Out: a line for the report that counts its attentions, rotary
 * embeddings, norms and gated feed-forwards, fused or left in their long form; and one that says what draws random numbers.
 */
#include "pass.h"
#include <stdio.h>
#include <string.h>

bool pass_can_say(const pass_context *ctx, const char *what) {
    static const char *const since_23[] = {"Attention", "Rotary"};
    if (pass_mode_of(ctx)->runs) return true;
    for (size_t i = 0; i < BASE_COUNT(since_23); i++)
        if (strcmp(what, since_23[i]) == 0) return graph_opset_version(ctx->g, "") >= pass_mode_of(ctx)->since;
    return true;
}

static const struct kind {
    const char *domain, *op;
    pass_found what;
} kinds[] = {
    {"nib", "Attention", PASS_FOUND_ATTENTION},
    {"", "Attention", PASS_FOUND_ATTENTION},
    {"com.microsoft", "Attention", PASS_FOUND_ATTENTION},
    {"com.microsoft", "MultiHeadAttention", PASS_FOUND_ATTENTION},
    {"com.microsoft", "GroupQueryAttention", PASS_FOUND_ATTENTION},
    {"nib", "Rotary", PASS_FOUND_ROTARY},
    {"", "RotaryEmbedding", PASS_FOUND_ROTARY},
    {"com.microsoft", "RotaryEmbedding", PASS_FOUND_ROTARY},
    {"nib", "Norm", PASS_FOUND_NORM},
    {"", "LayerNormalization", PASS_FOUND_NORM},
    {"", "RMSNormalization", PASS_FOUND_NORM},
    {"", "SimplifiedLayerNormalization", PASS_FOUND_NORM},
    {"com.microsoft", "SkipLayerNormalization", PASS_FOUND_NORM},
    {"com.microsoft", "SkipSimplifiedLayerNormalization", PASS_FOUND_NORM},
    {"com.microsoft", "EmbedLayerNormalization", PASS_FOUND_NORM},
};

static const graph_node *product_behind(const graph_value *v) {
    for (int step = 0; step < 3 && v->producer; step++) {
        const graph_node *n = v->producer;
        if (graph_is_op(n, "nib", "Linear") || graph_is_op(n, "", "MatMul")) return n;
        int64_t first;
        const graph_value *whole = pass_columns_of(v, &first); /* one half of a Linear for both */
        if (whole) v = whole;
        else if (graph_is_op(n, "", "Add") && n->inputs[1].value->constant) v = n->inputs[0].value;
        else if (graph_is_op(n, "com.microsoft", "QuickGelu") || graph_is_op(n, "com.microsoft", "Gelu") ||
                 graph_is_op(n, "com.microsoft", "BiasGelu") || graph_is_op(n, "com.microsoft", "FastGelu"))
            v = n->inputs[0].value;
        else return NULL;
    }
    return NULL;
}

static bool is_activated(const graph_value *v) {
    const graph_node *n = v->producer;
    op_linear l;
    if (op_linear_get(n, &l)) return l.activation != KERNEL_ACT_NONE;
    return n && strcmp(n->domain, "com.microsoft") == 0 && strstr(n->op, "Gelu") != NULL;
}

/* activation(x W1) * (x W2), or a Linear that says so itself. */
static bool is_gate(const graph_node *n) {
    op_linear l;
    if (op_linear_get(n, &l)) return l.gate > OP_GATE_NONE;
    if (!graph_is_op(n, "", "Mul")) return false;
    for (int side = 0; side < 2; side++) {
        const graph_value *a = n->inputs[side].value, *b = n->inputs[1 - side].value;
        if (!is_activated(a) || is_activated(b)) continue;
        const graph_node *p = product_behind(a), *q = product_behind(b);
        if (p && q && p->inputs[0].value == q->inputs[0].value) return true;
    }
    return false;
}

static void count_in(const graph *g, int count[PASS_FOUND_KINDS]) {
    for (const graph_node *n = g->first; n; n = n->next) {
        count[PASS_FOUND_GATE] += is_gate(n);
        for (size_t i = 0; i < BASE_COUNT(kinds); i++) count[kinds[i].what] += graph_is_op(n, kinds[i].domain, kinds[i].op);
        for (graph_bodies b = {.node = n}; graph_next_body(&b);) count_in(b.body, count);
    }
}

void pass_note_found(pass_context *ctx) {
    static const char *const words[PASS_FOUND_KINDS] = {"attention", "rotary", "norm", "gated feed-forward"};
    int count[PASS_FOUND_KINDS] = {0}, all_kept = 0;
    char line[400];
    size_t used = 0;
    count_in(ctx->g, count);
    for (int i = 0; i < PASS_FOUND_KINDS && used < sizeof line; i++) {
        int kept = ctx->kept[i], all = count[i] + kept;
        if (!all) continue;
        used += (size_t)snprintf(line + used, sizeof line - used, "%s%s %d", used ? ", " : "", words[i], all);
        if (kept && used < sizeof line) used += (size_t)snprintf(line + used, sizeof line - used, " (%d in the long form)", kept);
    }
    if (used) pass_note(ctx, "found: %s", line);
    for (int i = 0; i < PASS_FOUND_KINDS; i++) all_kept += ctx->kept[i];
    if (all_kept > ctx->kept_always && !pass_mode_of(ctx)->runs)
        pass_note(ctx, "opset %d is kept: it cannot say what is in its long form, opset %d can",
                  graph_opset_version(ctx->g, ""), pass_mode_of(ctx)->since);
}
