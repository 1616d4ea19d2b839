/* SPDX-License-Identifier: Apache-2.0
 *
 * Which nodes of an f32 graph compute in f16. In: the graph, and how large each value became in runs on random inputs. Out: a
 * reason for every node that stays f32.
 *
 *   - The table names every operator that has an f16 form worth having; what is not in it stays f32.
 *   - Sums stay f32, and with them what reads nothing else (a norm that is written out: its variance must not be rounded), and the
 *     squares that they add up.
 *   - What is computed from sizes, positions and masks alone stays f32: positions beyond 2048 have no f16, and it costs nothing.
 *   - What is rounded to 8 bits behind it stays f32: f16's rounding of a thousandth would be a whole step there, and of
 *     a step in each of many layers 5 % of the output (MiniLM, quantized dynamically).
 *   - A node stays f32 if a value or weight of it is beyond half of f16's range, or one of its scalars nearly 0 in f16.
 *
 * The number that exporters add to scores for "masked" (-3.4e38, -1e9) is no such value: it becomes half of f16's lowest, whose
 * exponential is 0 as well, and to which a score can be added without leaving the range.
 */
#include "pass_half.h"
#include "base/base_half.h"
#include <math.h>
#include <string.h>

enum half_kind { MOVES, CHEAP, WORKS, LOSES };

#define ALL 0xffffffffu
#define ROW(op, since, kind)                                                                                                               \
    { "", op, since, kind, ALL, ALL }
#define MS_ROW(op, outputs)                                                                                                                \
    { "com.microsoft", op, 1, WORKS, ALL, outputs }

/* clang-format off */
static const half_form forms[] = {
    ROW("Identity", 1, MOVES), ROW("Reshape", 1, MOVES), ROW("Transpose", 1, MOVES), ROW("Squeeze", 1, MOVES), ROW("Unsqueeze", 1, MOVES),
    ROW("Flatten", 1, MOVES), ROW("Slice", 1, MOVES), ROW("Concat", 1, MOVES), ROW("Split", 1, MOVES), ROW("Expand", 8, MOVES),
    ROW("Gather", 1, MOVES), ROW("GatherElements", 11, MOVES), ROW("GatherND", 11, MOVES), ROW("Tile", 6, MOVES), ROW("Pad", 2, MOVES),
    ROW("Where", 9, MOVES), ROW("Trilu", 14, MOVES), ROW("DepthToSpace", 1, MOVES), ROW("SpaceToDepth", 1, MOVES), ROW("Cast", 6, MOVES),
    ROW("ConstantOfShape", 9, MOVES), ROW("ScatterND", 11, MOVES), ROW("ScatterElements", 11, MOVES),
    ROW("Add", 7, CHEAP), ROW("Sub", 7, CHEAP), ROW("Mul", 7, CHEAP), ROW("Div", 7, CHEAP), ROW("Neg", 6, CHEAP), ROW("Abs", 6, CHEAP),
    ROW("Relu", 6, CHEAP), ROW("LeakyRelu", 6, CHEAP), ROW("Elu", 6, CHEAP), ROW("Selu", 6, CHEAP), ROW("PRelu", 7, CHEAP),
    ROW("Sigmoid", 6, CHEAP), ROW("HardSigmoid", 6, CHEAP), ROW("HardSwish", 14, CHEAP), ROW("Swish", 24, CHEAP), ROW("Tanh", 6, CHEAP),
    ROW("Softplus", 1, CHEAP), ROW("Softsign", 1, CHEAP), ROW("Mish", 18, CHEAP), ROW("Gelu", 20, CHEAP), ROW("Erf", 9, CHEAP),
    ROW("Sqrt", 6, CHEAP), ROW("Exp", 6, CHEAP), ROW("Log", 6, CHEAP), ROW("Reciprocal", 6, CHEAP), ROW("Pow", 7, CHEAP),
    ROW("Min", 8, CHEAP), ROW("Max", 8, CHEAP), ROW("Clip", 6, CHEAP), ROW("ReduceMax", 1, CHEAP), ROW("ReduceMin", 1, CHEAP),
    ROW("MatMul", 1, WORKS), ROW("Gemm", 7, WORKS), ROW("Einsum", 12, WORKS), ROW("Conv", 1, WORKS), ROW("ConvTranspose", 1, WORKS),
    ROW("MaxPool", 1, WORKS), ROW("AveragePool", 1, WORKS), ROW("GlobalAveragePool", 1, WORKS), ROW("GlobalMaxPool", 1, WORKS),
    ROW("Softmax", 1, WORKS), ROW("RMSNormalization", 23, WORKS), ROW("GroupNormalization", 21, WORKS), ROW("Attention", 23, WORKS),
    ROW("RotaryEmbedding", 23, WORKS), ROW("LSTM", 7, WORKS), ROW("GRU", 7, WORKS), ROW("RNN", 7, WORKS),
    ROW("IsNaN", 9, CHEAP), {"", "Dropout", 7, MOVES, 1, 1}, {"", "LayerNormalization", 17, WORKS, ALL, 1}, {"", "BatchNormalization", 7, WORKS, ALL, 1},
    ROW("ReduceSum", 1, LOSES), ROW("ReduceMean", 1, LOSES), ROW("ReduceL1", 1, LOSES), ROW("ReduceL2", 1, LOSES),
    ROW("ReduceProd", 1, LOSES), ROW("ReduceLogSum", 1, LOSES), ROW("ReduceLogSumExp", 1, LOSES), ROW("ReduceSumSquare", 1, LOSES),
    ROW("LogSoftmax", 1, LOSES), ROW("CumSum", 11, LOSES), ROW("LpNormalization", 1, LOSES), ROW("InstanceNormalization", 6, LOSES),
    ROW("MeanVarianceNormalization", 9, LOSES), ROW("GlobalLpPool", 2, LOSES), ROW("Sum", 8, CHEAP),
    MS_ROW("Gelu", ALL), MS_ROW("FastGelu", ALL), MS_ROW("BiasGelu", ALL), MS_ROW("QuickGelu", ALL), MS_ROW("FusedMatMul", ALL),
    MS_ROW("SkipLayerNormalization", 1 | 1 << 3), MS_ROW("SkipSimplifiedLayerNormalization", 1 | 1 << 3),
    MS_ROW("MultiHeadAttention", ALL), MS_ROW("Attention", ALL), MS_ROW("EmbedLayerNormalization", ALL), MS_ROW("RotaryEmbedding", ALL),
    MS_ROW("GroupQueryAttention", ALL),
};
/* clang-format on */

enum { POSITIONAL = 1, MASKED = 2, ROUNDED = 4 }; /* flags of values */

bool pass_half_is_f32(const graph_value *v) { return v && v->type.kind == GRAPH_KIND_TENSOR && v->type.dtype == NIB_DTYPE_F32; }

void pass_range_add(pass_range *r, const void *f32, size_t n) {
    float largest = r->largest > 0 ? r->largest : 0, plain = r->plain > 0 ? r->plain : 0;
    for (size_t i = 0; i < n; i++) {
        float x;
        memcpy(&x, (const uint8_t *)f32 + i * sizeof x, sizeof x);
        x = fabsf(x);
        if (x > largest && x < INFINITY) largest = x; /* an infinity is one in f16, too */
        if (x > plain && x < PASS_MASKED) plain = x;
    }
    *r = (pass_range){largest, plain};
}

static const half_form *form_of(const graph_node *n) {
    int opset = graph_opset_version(n->owner, "");
    for (size_t i = 0; i < BASE_COUNT(forms); i++)
        if (strcmp(forms[i].op, n->op) == 0 && strcmp(forms[i].domain, n->domain) == 0)
            return forms[i].domain[0] || opset >= forms[i].since ? &forms[i] : NULL;
    return NULL;
}

/* How large the value became, masked scores left out; 0 if nobody knows. */
static float reach_of(half_choice *h, const graph_value *v) {
    const pass_range *r = (size_t)v->id < h->n_ranges ? &h->ranges[v->id] : NULL;
    if (v->constant) {
        if (h->own[v->id].largest < 0) pass_range_add(&h->own[v->id], v->constant->data, v->constant->bytes / sizeof(float));
        r = &h->own[v->id];
    }
    if (!r || r->largest < 0) return 0;
    return h->flags[v->id] & MASKED ? r->plain : r->largest;
}

/* ---------------------------------------------------------------- masks */

static bool has_masked(const graph_tensor *t) {
    if (!t || t->dtype != NIB_DTYPE_F32) return false;
    for (size_t i = 0; i < t->bytes / sizeof(float); i++) {
        float x;
        memcpy(&x, (const uint8_t *)t->data + i * sizeof x, sizeof x);
        if (fabsf(x) >= PASS_MASKED && fabsf(x) < INFINITY) return true;
    }
    return false;
}

static nib_status clamp(half_choice *h, graph_tensor *t, const char *name) {
    graph *g = h->ctx->g;
    size_t n = t->bytes / sizeof(float);
    float *to = base_arena_alloc(g->arena, t->bytes), was = 0;
    if (!to) return base_error_set(h->ctx->err, NIB_OUT_OF_MEMORY, "out of memory while optimizing");
    memcpy(to, t->data, t->bytes);
    for (size_t i = 0; i < n; i++) {
        if (!(fabsf(to[i]) >= PASS_MASKED) || isinf(to[i])) continue;
        was = to[i];
        to[i] = copysignf(PASS_HALF_LIMIT, to[i]);
    }
    t->data = to;
    pass_note(h->ctx, "half: %s means masked: %g became %g, whose exponential is 0 as well", name, (double)was,
              (double)copysignf(PASS_HALF_LIMIT, was));
    return NIB_OK;
}

enum { PASSES_ON, ENDS, OTHER };

/* What becomes of a masked value there. */
static int mask_at(const graph_use *u) {
    static const char *const on[] = {"Identity", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Slice",    "Concat",    "Split",
                                     "Expand",   "Gather",  "Tile",      "Where",   "Trilu",     "Cast",     "Add",       "Sub",
                                     "Mul",      "Min",     "Max",       "Neg",     "Pad",       "GatherND", "ScatterND", "GatherElements"};
    const graph_node *n = u->node;
    if (graph_is_op(n, "", "Softmax")) return ENDS;
    if ((strcmp(n->op, "Attention") == 0 || strcmp(n->op, "MultiHeadAttention") == 0) && u->index >= 3) return ENDS;
    for (size_t i = 0; i < BASE_COUNT(on) && !n->domain[0]; i++)
        if (strcmp(n->op, on[i]) == 0) return n->n_outputs && pass_half_is_f32(n->outputs[0]) ? PASSES_ON : OTHER;
    return OTHER;
}

/* Whether the value reaches nothing but softmaxes, through what keeps masked apart from scores; flags the values on the way. */
static bool only_masks(half_choice *h, graph_value *from, graph_value **stack, uint8_t *seen, bool flag) {
    int depth = 0;
    memset(seen, 0, (size_t)h->ctx->g->value_limit + 1);
    stack[depth++] = from;
    seen[from->id] = 1;
    while (depth > 0) {
        graph_value *v = stack[--depth];
        if (flag) h->flags[v->id] |= MASKED;
        if (v->is_output) return false;
        for (graph_use *u = v->uses; u; u = u->next) {
            int what = u->node->owner == h->ctx->g ? mask_at(u) : OTHER;
            if (what == OTHER) return false;
            for (int i = 0; what == PASSES_ON && i < u->node->n_outputs; i++) {
                graph_value *y = u->node->outputs[i];
                if (!y || seen[y->id]) continue;
                seen[y->id] = 1;
                stack[depth++] = y;
            }
        }
    }
    return true;
}

static nib_status find_masks(half_choice *h) {
    nib_status status = NIB_OK;
    graph *g = h->ctx->g;
    size_t limit = (size_t)g->value_limit + 1;
    graph_value **stack = base_calloc(g->heap, limit, sizeof *stack);
    uint8_t *seen = base_calloc(g->heap, limit, 1);
    if (!stack || !seen) NIB_FAIL(h->ctx->err, NIB_OUT_OF_MEMORY, "out of memory while optimizing");
    for (int i = 0; i < g->n_constants; i++) {
        graph_value *v = g->constants[i];
        if (!has_masked(v->constant) || !only_masks(h, v, stack, seen, false)) continue;
        only_masks(h, v, stack, seen, true);
        NIB_TRY(clamp(h, v->constant, v->name));
    }
    for (graph_node *n = g->first; n; n = n->next) {
        const graph_attr *a = graph_is_op(n, "", "ConstantOfShape") ? graph_find_attr(n, "value") : NULL;
        if (!a || a->kind != GRAPH_ATTR_TENSOR || !has_masked(a->u.tensor) || !only_masks(h, n->outputs[0], stack, seen, false)) continue;
        only_masks(h, n->outputs[0], stack, seen, true);
        graph_tensor t = *a->u.tensor, *copy = base_arena_alloc(g->arena, sizeof *copy);
        if (!copy) NIB_FAIL(h->ctx->err, NIB_OUT_OF_MEMORY, "out of memory while optimizing");
        NIB_TRY(clamp(h, &t, n->outputs[0]->name));
        *copy = t;
        if (graph_set_attr(n, &(graph_attr){.name = "value", .kind = GRAPH_ATTR_TENSOR, .u.tensor = copy}) != NIB_OK)
            NIB_FAIL(h->ctx->err, NIB_OUT_OF_MEMORY, "out of memory while optimizing");
    }
fail:
    base_free(g->heap, stack);
    base_free(g->heap, seen);
    return status;
}

/* ---------------------------------------------------------------- ranges */

static const char *name_of(const graph_node *n) { return n->name[0] ? n->name : n->n_outputs && n->outputs[0] ? n->outputs[0]->name : ""; }

static bool too_large(half_choice *h, const graph_node *n, const graph_value *v, const char *what, float limit) {
    float x = pass_half_is_f32(v) ? reach_of(h, v) : 0;
    if (x <= limit) return false;
    pass_note(h->ctx, "half: %s %s stays f32: %s %s reaches %g, beyond %g", n->op, name_of(n), what, v->name, (double)x, (double)limit);
    return true;
}

/* A scalar that f16 rounds by more than a 256th, or to 0: an epsilon. */
static bool too_small(half_choice *h, const graph_node *n, const graph_value *v) {
    double x;
    if (!v || !v->constant || v->constant->dtype != NIB_DTYPE_F32 || !graph_scalar(v, &x) || x == 0 || !isfinite(x)) return false;
    double half = (double)base_f16_to_f32(base_f32_to_f16((float)x));
    if (fabs(half - x) * 256 <= fabs(x) || fabs(x) > 1) return false;
    pass_note(h->ctx, "half: %s %s stays f32: %g would become %g", n->op, name_of(n), x, half);
    return true;
}

static half_why by_values(half_choice *h, const graph_node *n, const half_form *f) {
    bool power = graph_is_op(n, "", "Pow") || (graph_is_op(n, "", "Mul") && n->inputs[0].value == n->inputs[1].value);
    float limit = power ? PASS_HALF_LIMIT / 16 : PASS_HALF_LIMIT; /* twice the input is four times the square */
    for (int i = 0; i < n->n_inputs; i++) {
        const graph_value *v = n->inputs[i].value;
        if (!v || !(f->inputs >> (i & 31) & 1)) continue;
        if (too_large(h, n, v, v->constant ? "weight" : "input", PASS_HALF_LIMIT)) return HALF_RANGE;
        if (too_small(h, n, v)) return HALF_SMALL;
    }
    for (int i = 0; i < n->n_outputs; i++)
        if (n->outputs[i] && too_large(h, n, n->outputs[i], "output", limit)) return HALF_RANGE;
    return HALF_IS;
}

/* ---------------------------------------------------------------- positions */

/* A constant that is more than a row of numbers: a table that is looked up, by whatever operator, or a product's right side. Angles and
 * slopes, which positions are multiplied by, have one axis. */
bool pass_half_is_weight(const graph_value *v) {
    int axes = 0;
    for (int i = 0; v->constant && i < v->constant->rank; i++) axes += v->constant->dims[i] > 1;
    return axes > 1 && nib_dtype_bits(v->type.dtype) <= 32 && v->type.dtype != NIB_DTYPE_I32 && v->type.dtype != NIB_DTYPE_BOOL;
}

/* Whether an output depends on nothing but shapes, integers and scalars: no weight and no f32 input. */
static bool is_positional(const half_choice *h, const graph_node *n) {
    if (graph_has_bodies(n)) return false; /* a body reads what is no input */
    for (int i = 0; i < n->n_inputs; i++) {
        const graph_value *v = n->inputs[i].value;
        if (!v) continue;
        if (v->owner != h->ctx->g) return false;
        bool sizes_only = graph_is_op(n, "", "Shape") || graph_is_op(n, "", "Size");
        if (!sizes_only && pass_half_is_weight(v)) return false;
        if (v->constant || sizes_only) {
            /* rows of a table that are looked up are weights */
            if (graph_is_op(n, "", "Gather") && i == 0 && pass_half_is_f32(v) && n->inputs[1].value && !n->inputs[1].value->constant)
                return false;
            continue;
        }
        if (!v->producer && pass_half_is_f32(v)) return false;
        if (v->producer && !(h->flags[v->id] & POSITIONAL)) return false;
    }
    return true;
}

/* ---------------------------------------------------------------- regions */

static bool reads_only(const half_choice *h, const graph_node *n, half_why a, half_why b) {
    int count = 0;
    for (int i = 0; i < n->n_inputs; i++) {
        const graph_value *v = n->inputs[i].value;
        if (!pass_half_is_f32(v) || v->constant) continue;
        half_why why = v->producer && v->owner == h->ctx->g ? h->why[v->producer->id] : HALF_IS;
        if (why != a && why != b) return false;
        count++;
    }
    return count > 0;
}

static bool is_square(const graph_node *n) {
    double x;
    if (graph_is_op(n, "", "Pow")) return graph_scalar(n->inputs[1].value, &x) && x == 2;
    return graph_is_op(n, "", "Mul") && n->inputs[0].value == n->inputs[1].value;
}

/* What sums read and give. */
static void grow_sums(half_choice *h) {
    for (graph_node *n = h->ctx->g->first; n; n = n->next) {
        const half_form *f = h->forms[n->id];
        graph_node *p = h->why[n->id] == HALF_LOSES && n->n_inputs && n->inputs[0].value ? n->inputs[0].value->producer : NULL;
        if (p && p->owner == h->ctx->g && is_square(p)) {
            if (h->why[p->id] == HALF_IS) h->why[p->id] = HALF_FOLLOWS;
            graph_node *centred = p->inputs[0].value ? p->inputs[0].value->producer : NULL; /* x - mean */
            if (graph_is_op(centred, "", "Sub") && centred->owner == h->ctx->g && h->why[centred->id] == HALF_IS)
                h->why[centred->id] = HALF_FOLLOWS;
        }
        if (f && f->kind <= CHEAP && h->why[n->id] == HALF_IS && reads_only(h, n, HALF_LOSES, HALF_FOLLOWS)) h->why[n->id] = HALF_FOLLOWS;
    }
}

static bool stays(const half_choice *h, const graph_node *n) { return n && n->owner == h->ctx->g && h->why[n->id] != HALF_IS; }

/* Nodes of little work all around which is f32. */
static bool stands_between(const half_choice *h, const graph_node *n) {
    for (int i = 0; i < n->n_inputs; i++) {
        const graph_value *v = n->inputs[i].value;
        if (pass_half_is_f32(v) && !v->constant && v->producer && !stays(h, v->producer)) return false;
    }
    for (int i = 0; i < n->n_outputs; i++)
        for (const graph_use *u = n->outputs[i] ? n->outputs[i]->uses : NULL; u; u = u->next)
            if (u->node->owner == h->ctx->g && !stays(h, u->node)) return false;
    return true;
}

static void fill_gaps(half_choice *h) {
    for (bool again = true; again;) {
        again = false;
        for (graph_node *n = h->ctx->g->last; n; n = n->prev) {
            const half_form *f = h->forms[n->id];
            if (!f || f->kind > CHEAP || h->why[n->id] != HALF_IS || !stands_between(h, n)) continue;
            h->why[n->id] = HALF_BETWEEN;
            again = true;
        }
    }
}

/* ---------------------------------------------------------------- roundings */

static bool has_rounding(const graph_node *n) {
    if (pass_rounds(n)) return true;
    for (graph_bodies b = {.node = n}; graph_next_body(&b);)
        for (const graph_node *k = b.body->first; k; k = k->next)
            if (has_rounding(k)) return true;
    return false;
}

static void flag_rounded(void *user, graph_value *v) {
    half_choice *h = user;
    if (v->owner == h->ctx->g) h->flags[v->id] |= ROUNDED;
}

static void keep_in_front_of_roundings(half_choice *h) {
    int kept = 0;
    for (graph_node *n = h->ctx->g->last; n; n = n->prev) {
        bool reached = has_rounding(n);
        for (int i = 0; i < n->n_outputs; i++) reached |= n->outputs[i] && h->flags[n->outputs[i]->id] & ROUNDED;
        if (!reached) continue;
        for (int i = 0; i < n->n_inputs; i++)
            if (n->inputs[i].value) flag_rounded(h, n->inputs[i].value);
        graph_each_capture(n, flag_rounded, h);
        if (h->why[n->id] != HALF_IS) continue;
        h->why[n->id] = HALF_ROUNDED;
        kept++;
    }
    if (kept) pass_note(h->ctx, "half: %d nodes stay f32: 8 bits are made of what they compute", kept);
}

/* ---------------------------------------------------------------- all of it */

static half_why first_verdict(const half_choice *h, const graph_node *n, const half_form *f) {
    bool any = false;
    for (int i = 0; i < n->n_inputs; i++) any |= pass_half_is_f32(n->inputs[i].value);
    for (int i = 0; i < n->n_outputs; i++) any |= pass_half_is_f32(n->outputs[i]);
    if (!any) return HALF_ALONE;
    bool positional = n->n_outputs && n->outputs[0] && h->flags[n->outputs[0]->id] & POSITIONAL;
    if (positional) return HALF_POSITIONS;
    if (!f || !n->meaning) return HALF_NO_FORM;
    if (graph_is_op(n, "", "Cast") && !pass_half_is_f32(n->outputs[0])) return HALF_ALONE; /* reads f32, gives another type */
    if (f->kind == LOSES) return HALF_LOSES;
    if (strcmp(n->op, "LayerNormalization") == 0 && graph_attr_int(n, "stash_type", 1) != 1) return HALF_NO_FORM;
    if (strcmp(n->op, "BatchNormalization") == 0 && (graph_attr_int(n, "training_mode", 0) || n->n_outputs > 1)) return HALF_NO_FORM;
    return HALF_IS;
}

/* One line for all nodes of an operator that stay f32 for what it is. */
static void note_operators(half_choice *h) {
    const graph *g = h->ctx->g;
    for (const graph_node *n = g->first; n; n = n->next) {
        half_why why = h->why[n->id];
        if (why != HALF_NO_FORM && why != HALF_LOSES) continue;
        bool first = true;
        int count = 0;
        for (const graph_node *k = g->first; k && first; k = k->next) {
            if (k == n) break;
            first = k->op != n->op || k->domain != n->domain || h->why[k->id] != why;
        }
        for (const graph_node *k = n; k && first; k = k->next) count += k->op == n->op && k->domain == n->domain && h->why[k->id] == why;
        if (first)
            pass_note(h->ctx, "half: %d %s stay%s f32: %s (%s%s)", count, n->op, count == 1 ? "s" : "",
                      why == HALF_LOSES ? "sums of many numbers lose digits in f16" : "no f16 form in this opset", name_of(n),
                      count > 1 ? ", ..." : "");
    }
}

nib_status pass_half_choose(half_choice *h) {
    nib_status status = NIB_OK;
    graph *g = h->ctx->g;
    NIB_TRY(find_masks(h));
    for (graph_node *n = g->first; n; n = n->next) {
        if (is_positional(h, n))
            for (int i = 0; i < n->n_outputs; i++)
                if (n->outputs[i]) h->flags[n->outputs[i]->id] |= POSITIONAL;
        h->forms[n->id] = form_of(n);
        h->why[n->id] = first_verdict(h, n, h->forms[n->id]);
    }
    keep_in_front_of_roundings(h);
    grow_sums(h);
    for (graph_node *n = g->first; n; n = n->next)
        if (h->why[n->id] == HALF_IS) h->why[n->id] = by_values(h, n, h->forms[n->id]);
    fill_gaps(h);
    note_operators(h);
fail:
    return status;
}
