/* SPDX-License-Identifier: Apache-2.0
 *
 * Recognising a mask by what it computes. In: the value that is added to attention scores, and the [B, S] input that
 * may be the padding mask. Out: yes, if the bias is 0 where query and key are tokens and the key lies in one window
 * around the query, and lets no other key through (at most -1e4, whose exponential is 0 in f32) for any query that is a
 * token; in files, whose padded rows show, for any query at all.
 *
 * Proof. Most masks can be read as a formula of how far query and key stand apart (pass_formula.c), whose ranges decide
 * for every length at once: halving the range of distances finds where keys begin and end to be seen. A formula of the
 * places themselves (a first token that all see, blocks, a window that grows) is no window.
 *
 * Where an operator or a table cannot be read nothing is claimed, and the subgraph stays as it is. (Samples at some
 * sizes have no place here: sqrt(|i - j|) <= 8 shows itself at 65 tokens, a table wherever it likes.)
 *
 * It is no match if the subgraph reads anything but the mask and sizes.
 */
#include "pass_formula.h"
#include "base/base_number.h"
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_NODES 512
#define BEYOND (1 << 24) /* constants from here on are "to the end" or "no limit", not sizes */

typedef struct subgraph {
    const graph_node *nodes[MAX_NODES];
    int n_nodes;
    const graph_value *inputs[8];
    int n_inputs;
    const graph_value *mask;
    const graph_value *content; /* an input other than the mask whose elements, not only whose sizes, are read */
} subgraph;

static bool collect(subgraph *s, const graph_value *v, int depth) {
    if (depth > 200) return false;
    if (v->constant) return true;
    const graph_node *n = v->producer;
    if (!n) {
        for (int i = 0; i < s->n_inputs; i++)
            if (s->inputs[i] == v) return true;
        if (s->n_inputs == (int)BASE_COUNT(s->inputs)) return false;
        s->inputs[s->n_inputs++] = v;
        return true;
    }
    for (int i = 0; i < s->n_nodes; i++)
        if (s->nodes[i] == n) return true;
    if (s->n_nodes == MAX_NODES) return false;
    s->nodes[s->n_nodes++] = n;
    bool sizes_only = graph_is_op(n, "", "Shape") || graph_is_op(n, "", "Size");
    for (int i = 0; i < n->n_inputs; i++) {
        const graph_value *in = n->inputs[i].value;
        if (!in) continue;
        if (!sizes_only && !in->producer && !in->constant && in != s->mask) s->content = in;
        if (!collect(s, in, depth + 1)) return false;
    }
    return true;
}

static void *fill(base_arena *arena, const graph_value *v, const graph_value *mask, int64_t B, int64_t S, bool tokens) {
    size_t width = (size_t)nib_dtype_bits(v->type.dtype) / 8;
    char *data = base_arena_calloc(arena, (size_t)(B * S), width ? width : 1);
    for (int64_t i = 0; data && i < B * S; i++) {
        /* Only the sizes of what is not the mask are read. */
        int64_t x = v == mask && tokens;
        int32_t narrow = (int32_t)x;
        float real = (float)x;
        if (v->type.dtype == NIB_DTYPE_I64) memcpy(data + (size_t)i * 8, &x, 8);
        else if (v->type.dtype == NIB_DTYPE_I32) memcpy(data + (size_t)i * 4, &narrow, 4);
        else if (v->type.dtype == NIB_DTYPE_F32) memcpy(data + (size_t)i * 4, &real, 4);
        else if (width == 1) data[i] = (char)x;
        else return NULL;
    }
    return data;
}

/* The dimension a symbolic axis has in a sample where mask is [B, S]. */
static bool bind(const graph_value *v, const graph_value *mask, int64_t B, int64_t S, graph_tensor *t) {
    *t = (graph_tensor){.dtype = v->type.dtype, .rank = 2, .dims = {B, S}};
    return v->type.rank == 2 && v->type.dims[0] == mask->type.dims[0] && v->type.dims[1] == mask->type.dims[1];
}

/* Evaluates v for a mask [B, S] of ones, or of zeros; the tensor lies in the arena. */
static bool sample_value(pass_context *ctx, const subgraph *s, graph_value *v, int64_t B, int64_t S, bool tokens, base_arena *arena,
                         const graph_tensor **out, char *why, size_t capacity) {
    const graph_value *like = s->mask;
    nib_error e;
    op_env *env = op_env_create(ctx->g, arena, 64u << 20, ctx->kernels);
    snprintf(why, capacity, "out of memory");
    if (env) op_env_work(env, &ctx->work_spent, ctx->work_limit ? ctx->work_limit : OP_ENV_WORK);
    for (int i = 0; env && i < s->n_inputs; i++) {
        graph_tensor in;
        if (!bind(s->inputs[i], like, B, S, &in))
            return snprintf(why, capacity, "it reads sizes of %s, whose shape is not that of %s", s->inputs[i]->name, like->name), false;
        in.data = fill(arena, s->inputs[i], s->mask, B, S, tokens);
        in.bytes = graph_type_bytes(in.dtype, (size_t)(B * S));
        if (!in.data || op_env_set(env, s->inputs[i], &in) != NIB_OK) return false;
    }
    if (!env) return false;
    if (op_env_get(env, v, out, &e) != NIB_OK) return snprintf(why, capacity, "it cannot be evaluated: %.120s", e.message), false;
    return true;
}

/* ---------------------------------------------------------------- proof */

#define MAX_RANGES 4096 /* that are looked at before nothing is claimed */

typedef struct deciding {
    const pass_formula *f;
    pass_pair tokens;
    int ranges;
    bool sees, ended;    /* a distance that is seen has come; and one after it that is not */
    int64_t first, last; /* that are seen */
    double *hidden;      /* what hidden keys have: -1, none was met; NaN, several numbers */
    char *why;
    size_t capacity;
} deciding;

/* What the keys at distances [least, most] have: all seen, all hidden, or, at one distance, neither, which is a no. */
static bool decide_range(deciding *d, int64_t least, int64_t most) {
    const pass_interval x = pass_formula_range(d->f, least, most, d->tokens);
    if (d->ranges++ == MAX_RANGES) return snprintf(d->why, d->capacity, "what it does is too involved to be proven"), false;
    if (x.most <= -1e4) {
        d->ended |= d->sees;
        *d->hidden = x.least == x.most && (*d->hidden == -1 || *d->hidden == x.most) ? x.most : NAN;
        return true;
    }
    if (d->tokens.key && x.least == 0 && x.most == 0 && !d->ended) {
        if (!d->sees) d->first = least;
        d->sees = true;
        d->last = most;
        return true;
    }
    if (least == most) {
        base_snprintf(d->why, d->capacity, "for %s key %lld tokens %s its %squery, it is %g%s",
                      d->tokens.key ? "an unmasked" : "a masked", (long long)llabs(least),
                      least > 0 ? "before" : "after", d->tokens.query ? "" : "masked ", x.least,
                      d->tokens.key && x.least == 0 ? ", beyond one that hides" : "");
        return false;
    }
    int64_t middle = least + (most - least) / 2;
    return decide_range(d, least, middle) && decide_range(d, middle + 1, most);
}

/* What padded queries see: what tokens see at the same distances. */
static bool decide_padded(deciding tokens, int64_t reach) {
    deciding d = tokens;
    d.tokens.query = d.sees = d.ended = false;
    if (!decide_range(&d, -reach, reach)) return false;
    if (!d.sees || d.first != tokens.first || d.last != tokens.last)
        return snprintf(d.why, d.capacity, "queries that are padding do not see what tokens see"), false;
    d.tokens.key = false;
    return decide_range(&d, -reach, reach);
}

/* For every distance: hidden where the key is padding; else one window, which holds the query itself. */
static bool decide(const pass_formula *f, const pass_formula_of *of, pass_window *w, char *why, size_t capacity) {
    const int64_t reach = pass_formula_reach(f);
    double hidden = -1;
    deciding tokens = {.f = f, .tokens = {true, true}, .hidden = &hidden, .why = why, .capacity = capacity},
             padding = tokens;
    padding.tokens.key = false;
    if (!decide_range(&tokens, -reach, reach)) return false;
    if (!tokens.sees) return snprintf(why, capacity, "it hides every unmasked key"), false;
    if (tokens.first > 0 || tokens.last < 0) return snprintf(why, capacity, "no query sees itself"), false;
    /* A query that is a token is no padded key to itself; and padding stands behind it where tokens come first. */
    if (of->mask && reach > 0 &&
        !(decide_range(&padding, -reach, -1) && (of->tokens_first || decide_range(&padding, 1, reach))))
        return false;
    if (of->mask && of->queries == PASS_QUERIES_ALL && !decide_padded(tokens, reach)) return false;
    *w = (pass_window){.left = tokens.last >= reach || tokens.last >= BEYOND - 2 ? -1 : tokens.last,
                       .right = -tokens.first >= reach || -tokens.first >= BEYOND - 2 ? -1 : -tokens.first,
                       .longest = reach + 1 < PASS_LONGEST ? reach + 1 : 0,
                       .hidden = hidden};
    w->test = pass_formula_test(f, &w->test_hides);
    return true;
}

static bool prove(pass_context *ctx, const pass_formula_of *of, pass_window *w, char *why, size_t capacity) {
    base_arena arena;
    const pass_formula *f;
    base_arena_init(&arena, ctx->g->heap);
    bool yes = pass_formula_read(&arena, ctx->g, of, &f, why, capacity) && decide(f, of, w, why, capacity);
    base_arena_free(&arena);
    return yes;
}

/* ---------------------------------------------------------------- the padding of keys */

/* Whether rows of a table are looked up by it: then it says which tokens there are, and a mask that the model makes of it may tell any
 * token from any other, where the proof only tells tokens from padding. */
static bool is_looked_up(const graph_value *v, int depth) {
    for (const graph_use *u = v->uses; u && depth < 6; u = u->next) {
        const graph_node *n = u->node;
        static const char *const through[] = {"Cast", "Identity", "Slice", "Unsqueeze", "Squeeze", "Reshape", "Expand"};
        if (graph_is_op(n, "nib", "Embed") || (graph_is_op(n, "", "Gather") && u->index == 1)) return true;
        for (size_t i = 0; i < BASE_COUNT(through); i++)
            if (graph_is_op(n, "", through[i]) && u->index == 0 && is_looked_up(n->outputs[0], depth + 1)) return true;
    }
    return false;
}

bool pass_is_key_padding(pass_context *ctx, graph_value *bias, graph_value *mask, pass_queries queries,
                         pass_window *window, char *why, size_t capacity) {
    const pass_formula_of of = {
        .bias = bias, .mask = mask, .tokens_first = pass_mode_of(ctx)->texts, .queries = queries};
    subgraph s = {.mask = mask};
    bool reads_mask = false;
    snprintf(why, capacity, "it does not depend on %s", mask->name);
    if (!collect(&s, bias, 0)) return snprintf(why, capacity, "its subgraph is too large"), false;
    for (int i = 0; i < s.n_inputs; i++) reads_mask |= s.inputs[i] == mask;
    if (!reads_mask) return false;
    if (is_looked_up(mask, 0)) return snprintf(why, capacity, "%s says which tokens there are, not only where", mask->name), false;
    if (s.content) return snprintf(why, capacity, "it reads the contents of %s", s.content->name), false;
    return prove(ctx, &of, window, why, capacity);
}

/* ---------------------------------------------------------------- causal, and nothing else */

bool pass_is_causal(pass_context *ctx, graph_value *bias, char *why, size_t capacity) {
    subgraph s = {0};
    int64_t fixed;
    pass_window w;
    if (!collect(&s, bias, 0)) return snprintf(why, capacity, "its subgraph is too large"), false;
    if (s.content) return snprintf(why, capacity, "it reads the contents of %s", s.content->name), false;
    if (s.n_inputs == 0 || s.inputs[0]->type.rank != 2) return snprintf(why, capacity, "it does not depend on sizes"), false;
    if (graph_dim_is_const(s.inputs[0]->type.dims[0], &fixed) || graph_dim_is_const(s.inputs[0]->type.dims[1], &fixed))
        return snprintf(why, capacity, "sizes are fixed"), false;
    if (!prove(ctx, &(pass_formula_of){.bias = bias, .tokens_first = pass_mode_of(ctx)->texts}, &w, why, capacity))
        return false;
    return (w.left == -1 && w.right == 0) || (snprintf(why, capacity, "it is another window"), false);
}

/* ---------------------------------------------------------------- which way round */

/* Per value: made of constants and sizes, of the mask and those, or of anything else. */
enum { MADE_OF_SIZES, MADE_OF_MASK, MADE_OF_MORE };

static void note_outer(void *user, graph_value *v) { *(bool *)user = true; }

static void mark_makings(const graph *g, const graph_value *mask, uint8_t *made) {
    for (int i = 0; i < g->n_inputs; i++) made[g->inputs[i]->id] = g->inputs[i] == mask ? MADE_OF_MASK : MADE_OF_MORE;
    for (const graph_node *n = g->first; n; n = n->next) {
        bool body = false;
        uint8_t most = MADE_OF_SIZES;
        graph_each_capture(n, note_outer, &body);
        for (int i = 0; i < n->n_inputs; i++)
            if (n->inputs[i].value && made[n->inputs[i].value->id] > most) most = made[n->inputs[i].value->id];
        if (graph_is_op(n, "", "Shape") || graph_is_op(n, "", "Size")) most = MADE_OF_SIZES;
        for (int i = 0; i < n->n_outputs; i++)
            if (n->outputs[i]) made[n->outputs[i]->id] = body ? MADE_OF_MORE : most;
    }
}

#define MAX_FACTORS 32

double pass_mask_reach(const graph *g) {
    static const char *const ops[] = {"Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Equal", "Min", "Max",
                                      "Mul",  "Div",         "Mod",     "Clip",           "Sub",   "Add", "Pow"};
    double factors[MAX_FACTORS], product = 1, x;
    int count = 0;
    uint8_t *made = base_calloc(g->heap, (size_t)g->value_limit + 1, 1);
    if (!made) return 0;
    mark_makings(g, NULL, made);
    for (const graph_node *n = g->first; n; n = n->next) {
        bool counts = false;
        for (size_t i = 0; i < BASE_COUNT(ops); i++) counts |= graph_is_op(n, "", ops[i]);
        if (!counts || !n->n_outputs || !n->outputs[0] || made[n->outputs[0]->id] != MADE_OF_SIZES) continue;
        for (int i = 0; i < n->n_inputs; i++) {
            const graph_value *v = n->inputs[i].value;
            if (!v || !v->constant || !graph_scalar(v, &x) || x == 0 || !(fabs(x) < 1e4)) continue;
            x = fabs(x) < 1 ? 1 / fabs(x) : fabs(x);
            bool seen = x == 1 || count == MAX_FACTORS;
            for (int k = 0; k < count; k++) seen |= factors[k] == x;
            if (!seen) factors[count++] = x;
        }
    }
    for (int i = 0; i < count; i++) product *= factors[i];
    base_free(g->heap, made);
    return count ? 2 * product + 2 : 0;
}

/* x - x m: what Mul makes of the mask is taken away. */
static bool is_taken_away(const graph_node *n, int input) {
    const graph_value *y = n->outputs[0], *x = n->inputs[!input].value;
    const graph_use *u = y->use_count == 1 ? y->uses : NULL;
    return u && graph_is_op(u->node, "", "Sub") && u->index == 1 && u->node->inputs[0].value == x;
}

/* What a number of the mask's makes does where its node reads it: 1 shows, -1 hides, 0 neither. */
static int effect(const graph_node *n, int input, double x) {
    const bool last = input == 1;
    if (graph_is_op(n, "", "Mul")) return is_taken_away(n, input) ? (x == 1 ? -1 : x == 0) : x == 0 ? -1 : x == 1;
    if (graph_is_op(n, "", "Div") && last) return x >= 1e2 ? -1 : x == 1;
    if (graph_is_op(n, "", "Min") || graph_is_op(n, "", "Max"))
        return x <= -1e2 ? (n->op[1] == 'i' ? -1 : 1) : x >= 1e2 ? (n->op[1] == 'i' ? 1 : -1) : 0;
    /* Where it is true, one of them, and a number fills what is hidden, whichever it is. */
    if (graph_is_op(n, "", "Where") && input == 0 && n->n_inputs == 3 && n->inputs[1].value && n->inputs[2].value) {
        double fill;
        const bool first = graph_scalar(n->inputs[1].value, &fill), second = graph_scalar(n->inputs[2].value, &fill);
        if (first != second) return (x != 0) == first ? -1 : 1;
    }
    return 0;
}

/* 1: the mask's 1 shows and its 0 hides; -1: the other way round; 0: neither. with, without: what it makes of ones, of zeros. */
static int sense_of(const graph_node *n, int input, double with, double without) {
    const double less = without - with;
    const bool adds = graph_is_op(n, "nib", "Attention") || graph_is_op(n, "", "Add") || (graph_is_op(n, "", "Sub") && input == 0);
    if (adds || graph_is_op(n, "", "Sub")) return less <= -1e2 ? (adds ? 1 : -1) : less >= 1e2 ? (adds ? -1 : 1) : 0;
    const int shows = effect(n, input, with), hides = effect(n, input, without);
    return shows == 1 && hides == -1 ? 1 : shows == -1 && hides == 1 ? -1 : 0;
}

/* Adds to counts[0] where a 1 of the mask shows and a 0 hides, to counts[1] where it is the other way round. */
static void count_effects(pass_context *ctx, const graph_value *mask, const graph_node *n, int input, int counts[2]) {
    subgraph s = {.mask = mask};
    base_arena arena;
    const graph_tensor *ones, *zeros;
    char why[200];
    int64_t B = 1, S = 4;
    graph_value *v = n->inputs[input].value;
    graph_dim_is_const(mask->type.dims[0], &B);
    graph_dim_is_const(mask->type.dims[1], &S);
    base_arena_init(&arena, ctx->g->heap);
    if (collect(&s, v, 0) && !s.content && sample_value(ctx, &s, v, B, S, true, &arena, &ones, why, sizeof why) &&
        sample_value(ctx, &s, v, B, S, false, &arena, &zeros, why, sizeof why) && ones->bytes == zeros->bytes) {
        for (int64_t i = 0, count = graph_tensor_elements(ones); i < count; i++) {
            const int sense = sense_of(n, input, op_number(ones, i), op_number(zeros, i));
            counts[0] += sense > 0;
            counts[1] += sense < 0;
        }
    }
    base_arena_free(&arena);
}

/* 1 - mask, in the mask's type, where whatever the model made of it reads it; pooling that nib has appended reads the mask as it is. */
static nib_status turn_mask(pass_context *ctx, graph_value *mask) {
    nib_status status = NIB_OK;
    graph_node *first = ctx->g->first;
    const bool is_bool = mask->type.dtype == NIB_DTYPE_BOOL;
    graph_value *v = mask, *tokens = NULL;
    for (int step = 0; step < 3 && v; step++) {
        if (step != 1 && is_bool) continue;
        v = pass_emit(ctx, first, "", step == 1 ? "Not" : "Cast", &v, 1, mask->name);
        if (!tokens) tokens = v;
        if (!v || (step != 1 && graph_set_int(v->producer, "to", step ? mask->type.dtype : NIB_DTYPE_BOOL) != NIB_OK)) v = NULL;
        if (v) NIB_TRY(op_infer_node(ctx->g, v->producer, ctx->err));
    }
    if (!v) NIB_FAIL(ctx->err, NIB_OUT_OF_MEMORY, "out of memory while optimizing");
    for (graph_use *u = mask->uses, *next; u; u = next) {
        next = u->next;
        if (u->node != tokens->producer && !graph_is_op(u->node, "nib", "Pool")) graph_set_input(u->node, u->index, v);
    }
    ctx->changes++;
fail:
    return status;
}

nib_status pass_mask_sense(pass_context *ctx) {
    nib_status status = NIB_OK;
    graph *g = ctx->g;
    int counts[2] = {0}, readers = 0;
    uint8_t *made = base_calloc(g->heap, (size_t)g->value_limit + 1, 1);
    if (!made) NIB_FAIL(ctx->err, NIB_OUT_OF_MEMORY, "out of memory while optimizing");
    mark_makings(g, ctx->mask, made);
    for (const graph_node *n = g->first; n; n = n->next) {
        if (!n->n_outputs || !n->outputs[0] || made[n->outputs[0]->id] != MADE_OF_MORE || graph_is_op(n, "nib", "Pool")) continue;
        for (int i = 0; i < n->n_inputs; i++)
            if (n->inputs[i].value && made[n->inputs[i].value->id] == MADE_OF_MASK) readers++, count_effects(ctx, ctx->mask, n, i, counts);
    }
    ctx->sense = counts[0] && counts[1]  ? PASS_SENSE_BOTH
                 : counts[1]             ? PASS_SENSE_PADDING
                 : counts[0] || !readers ? PASS_SENSE_TOKENS
                                         : PASS_SENSE_UNKNOWN;
    if (ctx->sense == PASS_SENSE_PADDING) {
        NIB_TRY(turn_mask(ctx, ctx->mask));
        pass_note(ctx, "%s is 1 at padding, 0 at tokens: it is turned round", ctx->mask->name);
    }
fail:
    base_free(g->heap, made);
    return status;
}

typedef struct low_numbers { /* from least on, below the other */
    float least, below;
} low_numbers;

static const low_numbers infinite = {-INFINITY, -FLT_MAX}, lowest = {-FLT_MAX, -3.4e38f},
                         half_of_lowest = {-INFINITY, -FLT_MAX / 2};

/* Whether one of the tensor's is such a number. Of types other than f32 anything may be. */
static bool holds(const graph_tensor *t, low_numbers low) {
    if (t->dtype != NIB_DTYPE_F32)
        return t->dtype == NIB_DTYPE_F16 || t->dtype == NIB_DTYPE_BF16 || t->dtype == NIB_DTYPE_F64;
    for (size_t i = 0; t->data && i < t->bytes / sizeof(float); i++) {
        float x;
        memcpy(&x, (const char *)t->data + i * sizeof x, sizeof x);
        if (x >= low.least && x < low.below) return true;
    }
    return false;
}

/* Whether a constant that v is computed from is so; `otherwise`: of what is computed from too many. */
static bool any_is(const graph_value *v, bool (*is)(const graph_tensor *, low_numbers), low_numbers low, bool otherwise) {
    subgraph s = {0};
    if (v->constant) return is(v->constant, low);
    if (!collect(&s, v, 0)) return otherwise;
    for (int i = 0; i < s.n_nodes; i++) {
        const graph_node *n = s.nodes[i];
        for (int k = 0; k < n->n_inputs; k++)
            if (n->inputs[k].value && n->inputs[k].value->constant && is(n->inputs[k].value->constant, low)) return true;
        for (int k = 0; k < n->n_attrs; k++)
            if (n->attrs[k].kind == GRAPH_ATTR_TENSOR && is(n->attrs[k].u.tensor, low)) return true;
    }
    return false;
}

static bool any_holds(const graph_value *v, low_numbers low) { return any_is(v, holds, low, true); }

/* Whether two masks, of the lowest f32 each, are added to one. */
static bool adds_masks(const graph_value *v) {
    subgraph s = {0};
    if (v->constant || !collect(&s, v, 0)) return false;
    for (int i = 0; i < s.n_nodes; i++) {
        const graph_node *n = s.nodes[i];
        if (graph_is_op(n, "", "Add") && any_holds(n->inputs[0].value, half_of_lowest) &&
            any_holds(n->inputs[1].value, half_of_lowest))
            return true;
    }
    return false;
}

/* Which of a node's inputs hand their numbers on as they are, or added: [*first, *last]. */
static void handed_on(const graph_node *n, int *first, int *last) {
    static const struct {
        const char *op;
        int first, last;
    } table[] = {
        {"Identity", 0, 0}, {"Cast", 0, 0},   {"Unsqueeze", 0, 0}, {"Squeeze", 0, 0},
        {"Reshape", 0, 0},  {"Expand", 0, 0}, {"Slice", 0, 0},     {"Transpose", 0, 0},
        {"Gather", 0, 0},   {"Add", 0, 1},    {"Where", 1, 2},     {"Concat", 0, MAX_NODES},
    };
    *first = 0, *last = -1;
    for (size_t i = 0; i < BASE_COUNT(table); i++)
        if (graph_is_op(n, "", table[i].op)) *first = table[i].first, *last = table[i].last;
}

/* Whether numbers of an input reach v so: a caller's mask has what the caller likes. */
static bool hands_on_input(const graph_value *v) {
    const graph_value *reached[MAX_NODES] = {v};
    int count = 1;
    for (int at = 0; at < count; at++) {
        const graph_value *x = reached[at];
        int first, last;
        if (x->is_input && (x->type.dtype == NIB_DTYPE_F32 || x->type.dtype == NIB_DTYPE_F64 ||
                            x->type.dtype == NIB_DTYPE_F16 || x->type.dtype == NIB_DTYPE_BF16))
            return true;
        handed_on(x->producer, &first, &last);
        for (int k = first; k <= last && k < x->producer->n_inputs; k++) {
            const graph_value *in = x->producer->inputs[k].value;
            bool seen = !in || in->constant;
            for (int i = 0; i < count && !seen; i++) seen = reached[i] == in;
            if (!seen && count == MAX_NODES) return true;
            if (!seen) reached[count++] = in;
        }
    }
    return false;
}

bool pass_may_be_infinite(const graph_value *v) { return any_holds(v, infinite) || adds_masks(v) || hands_on_input(v); }
bool pass_may_be_lowest(const graph_value *v) { return any_holds(v, lowest); }

/* Whether v is within 0 and 1 whatever the inputs hold: made of bools, of 1 minus such numbers, or of their products. */
static bool is_unit(const graph_value *v, int depth) {
    static const char *const views[] = {"Cast", "Identity", "Reshape", "Unsqueeze", "Squeeze", "Expand", "Transpose", "Slice"};
    const graph_node *n = v->producer;
    double x;
    if (v->type.dtype == NIB_DTYPE_BOOL) return true;
    if (graph_scalar(v, &x)) return x >= 0 && x <= 1;
    if (!n || n->domain[0] || depth > 8) return false;
    for (size_t i = 0; i < BASE_COUNT(views); i++)
        if (strcmp(n->op, views[i]) == 0) return is_unit(n->inputs[0].value, depth + 1);
    if (graph_is_op(n, "", "Sub") && (!graph_scalar(n->inputs[0].value, &x) || x != 1)) return false;
    if (!graph_is_op(n, "", "Sub") && !graph_is_op(n, "", "Mul")) return false;
    return is_unit(n->inputs[0].value, depth + 1) && is_unit(n->inputs[1].value, depth + 1);
}

bool pass_may_overflow(const graph_value *v) {
    subgraph s = {0};
    double x;
    if (v->constant) return false;
    if (!collect(&s, v, 0)) return true;
    for (int i = 0; i < s.n_nodes; i++) {
        const graph_node *n = s.nodes[i];
        for (int k = 0; k < 2 && graph_is_op(n, "", "Mul"); k++)
            if (graph_scalar(n->inputs[k].value, &x) && fabs(x) > FLT_MAX / 256 && !is_unit(n->inputs[1 - k].value, 0)) return true;
    }
    return false;
}

/* (mask - 1) * 10000 hides as well. Other types than f32 have been folded to it, or count. */
static bool holds_either_sign(const graph_tensor *t, low_numbers low) {
    if (t->dtype != NIB_DTYPE_F32 || !t->data) return false;
    for (size_t i = 0; i < t->bytes / sizeof(float); i++) {
        float x;
        memcpy(&x, (const char *)t->data + i * sizeof x, sizeof x);
        if (-fabsf(x) >= low.least && -fabsf(x) < low.below) return true;
    }
    return false;
}

static const low_numbers hiding_some = {-9.99e8f, -999}, hiding_all = {-INFINITY, -9.99e8f};

bool pass_may_hide_some(const graph_value *bias) { return any_is(bias, holds_either_sign, hiding_some, false); }
bool pass_may_hide_all(const graph_value *bias) { return any_is(bias, holds_either_sign, hiding_all, false); }
