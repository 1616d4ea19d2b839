/* SPDX-License-Identifier: Apache-2.0
 *
 * What a model asks of each number of its mask: `mask == 1`, `bool(mask)`, `mask > 0`. In: a formula that is proven to
 * be key padding for masks of 0 and 1. Out: the one comparison that everything it makes of the mask's numbers comes
 * from, if there is one; and that comparison anew, on the mask itself, as com.microsoft's operators want it: i32
 * [B, S], 1 for keys that count.
 *
 * Those operators ask `mask > 0` of the whole number, so the mask itself would be read otherwise where it holds 2, -1 or
 * 0.5. What a model computes with such numbers, as (1 - mask) * -10000 does, no mask can say: there the bias stays.
 */
#include "pass_formula_terms.h"
#include <math.h>
#include <string.h>

/* ---------------------------------------------------------------- which one it is */

static bool compares(const term *t) { return t->kind == TERM_LESS || t->kind == TERM_EQUAL || t->kind == TERM_BOOL; }

const graph_value *pass_formula_test(const pass_formula *f, bool *hides) {
    /* Of the mask's numbers as they are; of nothing but those and constants; read by the root. */
    bool raw[MAX_TERMS] = {false}, own[MAX_TERMS] = {false}, used[MAX_TERMS] = {false};
    pass_interval of[MAX_TERMS];
    const term *test = NULL;
    used[f->root] = true;
    for (int i = f->n - 1; i >= 0; i--)
        for (int k = 0; used[i] && k < 3; k++)
            if (f->terms[i].in[k] >= 0) used[f->terms[i].in[k]] = true;
    for (int i = 0; i < f->n; i++) {
        const term *t = &f->terms[i];
        raw[i] = t->kind == TERM_TOKEN || t->kind == TERM_QUERY;
        own[i] = t->kind == TERM_TOKEN || t->kind == TERM_CONSTANT || t->kind >= TERM_ADD;
        for (int k = 0; k < 3; k++) {
            if (t->in[k] < 0) continue;
            raw[i] |= raw[t->in[k]];
            own[i] &= own[t->in[k]];
        }
        of[i] = term_range(t, of, 0, 0, (pass_pair){true, true});
        if (!used[i] || !raw[i] || !compares(t) || !t->made) continue;
        if (test || !own[i] || of[i].least != of[i].most) return NULL;
        test = t;
        raw[i] = false;
        *hides = of[i].least == 0;
    }
    return raw[f->root] || !test ? NULL : test->made;
}

/* ---------------------------------------------------------------- and that anew */

#define MAX_COPIED 32 /* nodes; a test has a few */

typedef struct copying {
    pass_context *ctx;
    graph_value *mask;
    graph_node *before;
    int left; /* of MAX_COPIED */
} copying;

/* Of one number, as the formula has it; NULL too where it is several, of which the formula has read one. */
static graph_value *scalar(const copying *c, const graph_tensor *t) {
    graph_tensor one = {.dtype = t->dtype, .bytes = (size_t)nib_dtype_bits(t->dtype) / 8};
    if (!t->data || !one.bytes || t->bytes < one.bytes) return NULL;
    for (size_t at = one.bytes; at + one.bytes <= t->bytes; at += one.bytes)
        if (memcmp((const char *)t->data + at, t->data, one.bytes) != 0) return NULL;
    one.data = t->data;
    return graph_add_constant(c->ctx->g, "number", &one, true);
}

static bool is_view(const graph_node *n) {
    static const char *const views[] = {"Identity", "Unsqueeze", "Squeeze", "Reshape", "Flatten",
                                        "Expand",   "Transpose", "Slice",   "Gather",  "GatherND"};
    for (size_t i = 0; i < BASE_COUNT(views); i++)
        if (graph_is_op(n, "", views[i])) return true;
    return false;
}

/* Behind operators that only say which element is meant; the formula says that it is the key's. */
static const graph_value *behind_views(const copying *c, const graph_value *v) {
    while (v != c->mask && is_view(v->producer)) v = pass_input(v->producer, 0);
    return v;
}

/* v, for the mask as it lies; NULL: out of memory, or what the formula could read and this cannot. */
static graph_value *copy(copying *c, const graph_value *v) {
    graph_value *in[3] = {NULL};
    v = behind_views(c, v);
    if (v == c->mask) return c->mask;
    if (v->constant) return scalar(c, v->constant);
    const graph_node *n = v->producer;
    if (graph_is_op(n, "", "ConstantOfShape")) {
        const graph_attr *a = graph_find_attr(n, "value");
        return a && a->kind == GRAPH_ATTR_TENSOR ? scalar(c, a->u.tensor) : graph_const_f32(c->ctx->g, "number", 0);
    }
    if (!n || n->domain[0] || op_rows_of(n) != OP_ROWS_ELEMENT || n->n_inputs > 3 || --c->left < 0) return NULL;
    for (int i = 0; i < n->n_inputs; i++)
        if (!n->inputs[i].value || !(in[i] = copy(c, n->inputs[i].value))) return NULL;
    graph_value *y = pass_emit(c->ctx, c->before, "", n->op, in, n->n_inputs, v->name);
    for (int i = 0; y && i < n->n_attrs; i++)
        if (graph_set_attr(y->producer, &n->attrs[i]) != NIB_OK) return NULL;
    return y && op_infer_node(c->ctx->g, y->producer, c->ctx->err) == NIB_OK ? y : NULL;
}

static graph_value *cast(const copying *c, graph_value *v, nib_dtype to) {
    graph_value *y = v ? pass_emit(c->ctx, c->before, "", "Cast", &v, 1, c->mask->name) : NULL;
    if (!y || graph_set_int(y->producer, "to", to) != NIB_OK) return NULL;
    return op_infer_node(c->ctx->g, y->producer, c->ctx->err) == NIB_OK ? y : NULL;
}

/* bool(x - number) is false where x is the number: what torch writes as masked_fill(1 - mask, bool(1 - mask), lowest).
 * Of a whole number that only a Cast makes real, the mask itself. NULL where it is not that. */
static graph_value *equal_to_number(copying *c, const graph_value *test) {
    double number;
    const graph_value *y = graph_is_op(test->producer, "", "Cast") ? behind_views(c, test->producer->inputs[0].value) : NULL;
    if (!y || !graph_is_op(y->producer, "", "Sub")) return NULL;
    const bool first = graph_scalar(y->producer->inputs[0].value, &number);
    if (!first && !graph_scalar(y->producer->inputs[1].value, &number)) return NULL;
    const graph_value *x = behind_views(c, y->producer->inputs[first].value);
    const nib_dtype whole = c->mask->type.dtype;
    graph_value *in[2] = {NULL};
    const bool real = x->type.dtype == NIB_DTYPE_F32 && graph_is_op(x->producer, "", "Cast");
    if (real && behind_views(c, x->producer->inputs[0].value) == c->mask && (whole == NIB_DTYPE_I64 || whole == NIB_DTYPE_I32) &&
        number == floor(number) && fabs(number) < PASS_LONGEST) {
        const int64_t n64 = (int64_t)number;
        const int32_t n32 = (int32_t)number;
        const graph_tensor t = {.dtype = whole,
                                .bytes = whole == NIB_DTYPE_I64 ? sizeof n64 : sizeof n32,
                                .data = whole == NIB_DTYPE_I64 ? (void *)(uintptr_t)&n64 : (void *)(uintptr_t)&n32};
        in[0] = c->mask;
        in[1] = graph_add_constant(c->ctx->g, "number", &t, true);
    } else if (graph_opset_version(c->ctx->g, "") >= 11) { /* of real numbers since then */
        in[0] = copy(c, x);
        in[1] = copy(c, y->producer->inputs[!first].value);
    }
    return in[0] && in[1] ? pass_emit_inferred(c->ctx, c->before, "Equal", in, 2, c->mask->name) : NULL;
}

/* x == 0 is false where bool(x) is true. NULL where it is not that. */
static graph_value *not_zero(copying *c, const graph_value *test) {
    double number;
    const graph_node *n = graph_is_op(test->producer, "", "Equal") ? test->producer : NULL;
    for (int i = 0; n && i < 2; i++)
        if (graph_scalar(n->inputs[i].value, &number) && number == 0) return cast(c, copy(c, n->inputs[!i].value), NIB_DTYPE_BOOL);
    return NULL;
}

graph_value *pass_mask_test(pass_context *ctx, graph_value *mask, const pass_window *window, graph_node *before) {
    copying c = {.ctx = ctx, .mask = mask, .before = ctx->g->first ? ctx->g->first : before, .left = MAX_COPIED};
    if (mask->type.dtype == NIB_DTYPE_BOOL) return cast(&c, mask, NIB_DTYPE_I32);
    if (!window->test) return NULL;
    graph_value *v = window->test_hides ? equal_to_number(&c, window->test) : NULL;
    if (!v && window->test_hides) v = not_zero(&c, window->test);
    if (!v) {
        v = copy(&c, window->test);
        if (v && window->test_hides) v = pass_emit_inferred(ctx, c.before, "Not", &v, 1, mask->name);
    }
    return v && pass_same_shape(v, mask) ? cast(&c, v, NIB_DTYPE_I32) : NULL;
}
