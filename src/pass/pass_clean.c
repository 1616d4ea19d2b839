/* SPDX-License-Identifier: Apache-2.0
 *
 * Nodes without effect, nodes written twice, nodes that nobody reads. In: any graph. Out: the same values with fewer nodes.
 */
#include "pass.h"
#include <string.h>

static bool is_scalar(const graph_value *v, double want) {
    double x;
    return graph_scalar(v, &x) && x == want;
}

/* A constant of nothing but that number: also an f32 tensor (a bias of zeros, a scale of ones), unless a norm or a Linear is
 * still to be found by its scale or bias. */
static bool is_all(const pass_context *ctx, const graph_value *v, double want) {
    double x;
    if (graph_scalar(v, &x)) return x == want;
    if ((ctx->level >= 2 && !ctx->fused) || !v || !v->constant || v->constant->dtype != NIB_DTYPE_F32) return false;
    const graph_tensor *t = v->constant;
    float first = (float)want, other;
    for (size_t i = 0; i + sizeof other <= t->bytes; i += sizeof other) {
        memcpy(&other, (const uint8_t *)t->data + i, sizeof other);
        if (other != first) return false;
    }
    return t->bytes > 0;
}

static bool is_identity_perm(const graph_node *n) {
    const int64_t *perm;
    int64_t count = graph_attr_ints(n, "perm", &perm);
    for (int64_t i = 0; i < count; i++)
        if (perm[i] != i) return false;
    return count >= 0;
}

/* Of an operator whose inputs may change places: the number that leaves the other as it is. */
static bool neutral_of(const graph_node *n, double *number) {
    static const struct {
        const char *op;
        double number;
    } table[] = {{"Add", 0}, {"Mul", 1}, {"And", 1}, {"Or", 0}, {"Xor", 0}};
    for (size_t i = 0; i < BASE_COUNT(table); i++)
        if (strcmp(n->op, table[i].op) == 0) return *number = table[i].number, true;
    return false;
}

/* The input that the node's first output equals, or -1. The shape test keeps a broadcast from being lost. */
static int without_effect(const pass_context *ctx, const graph_node *n) {
    const graph_value *x = n->n_inputs ? n->inputs[0].value : NULL, *y = n->outputs[0],
                      *second = n->n_inputs > 1 ? n->inputs[1].value : NULL;
    if (!x || strcmp(n->domain, "") != 0) return -1;
    bool same = y && pass_same_shape(x, y) && x->type.dtype == y->type.dtype;
    if (strcmp(n->op, "Identity") == 0) return 0;
    if (strcmp(n->op, "Cast") == 0 && y) /* it has the shape, whatever that is */
        return x->type.kind == GRAPH_KIND_TENSOR && x->type.dtype != NIB_DTYPE_UNDEFINED && x->type.dtype == y->type.dtype ? 0 : -1;
    if (strcmp(n->op, "Dropout") == 0)
        return (n->n_outputs < 2 || !n->outputs[1] || !n->outputs[1]->uses) &&
                       (n->n_inputs < 3 || !n->inputs[2].value || is_scalar(n->inputs[2].value, 0))
                   ? 0
                   : -1;
    for (int i = 0; y && strcmp(n->op, "Concat") == 0 && i < n->n_inputs; i++)
        if (pass_same_shape(n->inputs[i].value, y)) return i; /* the others are empty */
    double neutral;
    bool turns = neutral_of(n, &neutral);
    if (turns && second && y && is_all(ctx, x, neutral) && pass_same_shape(second, y) && second->type.dtype == y->type.dtype) return 1;
    if (!same) return -1;
    if (turns && is_all(ctx, second, neutral)) return 0;
    if (strcmp(n->op, "Reshape") == 0 || strcmp(n->op, "Expand") == 0 || strcmp(n->op, "Squeeze") == 0 || strcmp(n->op, "Unsqueeze") == 0 ||
        strcmp(n->op, "Flatten") == 0)
        return 0;
    if (strcmp(n->op, "Transpose") == 0) return is_identity_perm(n) ? 0 : -1;
    if (strcmp(n->op, "Slice") == 0) return n->n_inputs < 5 || !n->inputs[4].value || is_scalar(n->inputs[4].value, 1) ? 0 : -1;
    if (strcmp(n->op, "Sub") == 0 && is_all(ctx, second, 0)) return 0;
    if (strcmp(n->op, "Div") == 0 && is_all(ctx, second, 1)) return 0;
    return -1;
}

static bool same_attr(const graph_attr *a, const graph_attr *b) {
    if (a->name != b->name || a->kind != b->kind || a->count != b->count) return false;
    switch (a->kind) {
    case GRAPH_ATTR_INT: return a->u.i == b->u.i;
    case GRAPH_ATTR_FLOAT: return memcmp(&a->u.f, &b->u.f, sizeof a->u.f) == 0;
    case GRAPH_ATTR_STRING: return a->u.s.length == b->u.s.length && memcmp(a->u.s.data, b->u.s.data, a->u.s.length) == 0;
    case GRAPH_ATTR_INTS: return a->count == 0 || memcmp(a->u.ints, b->u.ints, a->count * sizeof(int64_t)) == 0;
    case GRAPH_ATTR_FLOATS: return a->count == 0 || memcmp(a->u.floats, b->u.floats, a->count * sizeof(float)) == 0;
    default: return false;
    }
}

static bool same_node(const graph_node *a, const graph_node *b) {
    if (a->op != b->op || a->domain != b->domain || a->n_inputs != b->n_inputs || a->n_outputs != b->n_outputs || a->n_attrs != b->n_attrs)
        return false;
    for (int i = 0; i < a->n_inputs; i++)
        if (a->inputs[i].value != b->inputs[i].value) return false;
    for (int i = 0; i < a->n_attrs; i++) {
        const graph_attr *other = graph_find_attr(b, a->attrs[i].name);
        if (!other || !same_attr(&a->attrs[i], other)) return false;
    }
    for (int i = 0; i < a->n_outputs; i++)
        if (!a->outputs[i] != !b->outputs[i]) return false;
    return !pass_is_random(a);
}

/* An earlier node that computes the same: it reads the same first value, so it is in that value's use list. */
static graph_node *find_twin(const graph_node *n) {
    graph_value *v = NULL;
    for (int i = 0; i < n->n_inputs && !v; i++) v = n->inputs[i].value;
    if (!v || v->use_count < 2 || v->use_count > 256) return NULL;
    for (graph_use *u = v->uses; u; u = u->next)
        if (u->node != n && u->node->owner == n->owner && same_node(u->node, n)) return u->node;
    return NULL;
}

static bool is_before(const graph_node *a, const graph_node *b) {
    for (const graph_node *n = b; n; n = n->prev)
        if (n == a) return true;
    return false;
}

static bool is_dead(const graph_node *n) {
    for (int i = 0; i < n->n_outputs; i++)
        if (n->outputs[i] && (n->outputs[i]->uses || n->outputs[i]->is_output)) return false;
    return true;
}

static void drop_unused_constants(graph *g) {
    int kept = 0;
    for (int i = 0; i < g->n_constants; i++)
        if (g->constants[i]->uses || g->constants[i]->is_output) g->constants[kept++] = g->constants[i];
    g->n_constants = kept;
}

/* An output of the graph cannot be an input, another output, or a value of the graph around it. */
static bool keeps_output(const graph *g, const graph_value *y, const graph_value *x) {
    return y->is_output && (x->is_input || x->is_output || x->owner != g);
}

nib_status pass_clean(pass_context *ctx) {
    nib_status status = NIB_OK;
    graph *g = ctx->g;
    for (graph_node *n = g->first; n; n = n->next) {
        int through = n->n_outputs && n->outputs[0] ? without_effect(ctx, n) : -1;
        if (through >= 0 && !keeps_output(g, n->outputs[0], n->inputs[through].value))
            NIB_TRY(pass_replace(ctx, n->outputs[0], n->inputs[through].value));
    }
    for (graph_node *n = g->first; n; n = n->next) {
        graph_node *twin = is_dead(n) ? NULL : find_twin(n);
        bool output = false;
        for (int i = 0; twin && i < n->n_outputs; i++) output |= n->outputs[i] && n->outputs[i]->is_output;
        if (!twin || output || !is_before(twin, n)) continue;
        for (int i = 0; i < n->n_outputs; i++)
            if (n->outputs[i]) NIB_TRY(pass_replace(ctx, n->outputs[i], twin->outputs[i]));
    }
    for (graph_node *n = g->last, *prev; n; n = prev) {
        prev = n->prev;
        if (!is_dead(n)) continue;
        graph_remove_node(g, n);
        ctx->changes++;
    }
    drop_unused_constants(g);
fail:
    return status;
}
