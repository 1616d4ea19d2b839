/* SPDX-License-Identifier: Apache-2.0
 *
 * Nodes that draw random numbers when they run. In: a graph. Out: Dropout as it is in use, where nothing is dropped; a note of what is
 * left.
 *
 * A model that was exported while it was being trained has its Dropouts set to training. Whoever embeds with it, or writes it for others to
 * run, means the trained model. `nib run` and sessions keep what ONNX says.
 */
#include "pass.h"
#include <stdio.h>
#include <string.h>

bool pass_is_random(const graph_node *n) {
    double training = 0;
    if (n->domain[0]) return false;
    if (strcmp(n->op, "Dropout") == 0) {
        const graph_value *v = n->n_inputs > 2 ? n->inputs[2].value : NULL;
        if (v) return !(graph_scalar(v, &training) && training == 0);
        return n->meaning && n->meaning->since < 7 && graph_attr_int(n, "is_test", 0) == 0;
    }
    return strncmp(n->op, "Random", 6) == 0 || strcmp(n->op, "Bernoulli") == 0 || strcmp(n->op, "Multinomial") == 0;
}

/* Before opset 7 an attribute says so, later an input. */
static nib_status turn_off(pass_context *ctx, graph_node *n) {
    pass_note(ctx, "Dropout at %s is set to training: it is off", n->name[0] || !n->outputs[0] ? n->name : n->outputs[0]->name);
    ctx->changes++;
    ctx->dropouts++;
    if (n->n_inputs > 2) return graph_set_input(n, 2, NULL), NIB_OK;
    return graph_set_int(n, "is_test", 1);
}

nib_status pass_dropout(pass_context *ctx) {
    nib_status status = NIB_OK;
    for (graph_node *n = ctx->g->first; n; n = n->next)
        if (graph_is_op(n, "", "Dropout") && pass_is_random(n)) NIB_TRY(turn_off(ctx, n));
    NIB_TRY(pass_each_body(ctx, pass_dropout));
fail:
    return status;
}

static int count_random(const graph *g, const graph_node **first) {
    int count = 0;
    for (const graph_node *n = g->first; n; n = n->next) {
        if (pass_is_random(n)) count++, *first = *first ? *first : n;
        for (graph_bodies b = {.node = n}; graph_next_body(&b);) count += count_random(b.body, first);
    }
    return count;
}

bool pass_note_random(pass_context *ctx) {
    const graph_node *n = NULL;
    char more[40] = "";
    int count = count_random(ctx->g, &n);
    if (!count) return false;
    if (count > 1) snprintf(more, sizeof more, " and %d more", count - 1);
    pass_note(ctx, "the model draws random numbers when it runs: %s at %s%s", n->op, n->name[0] ? n->name : n->outputs[0]->name, more);
    return true;
}
