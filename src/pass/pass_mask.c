/* SPDX-License-Identifier: Apache-2.0
 *
 * Recognising a mask by what it computes. In: the value that is added to attention scores, and the [B, S] input that may be the
 * padding mask. Out: yes, if the bias is 0 where query and key are tokens and the key lies in one window around the query, and lets no
 * other key through (at most -1e4, whose exponential is 0 in f32) for any query that is a token.
 *
 * Proof. Most masks can be read as a formula of how far query and key stand apart (pass_formula.c), whose ranges decide for every length
 * at once: halving the range of distances finds where keys begin and end to be seen. A formula of the places themselves (a first token
 * that all see, blocks, a window that grows) is no window.
 *
 * Samples, where an operator cannot be read (ScatterND, ..): the subgraph is evaluated at sizes around every constant in it, with masks
 * padded on the right, on the left, and with holes, and at twice what all constants make if they are multiplied, or divided: a mask that
 * shows what it is only beyond that has more constants. Where that is too long to be sampled, nothing is claimed.
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
#define MAX_SIZES 32
#define LARGEST 1100     /* tokens of a sample */
#define BEYOND (1 << 24) /* constants from here on are "to the end" or "no limit", not sizes */

typedef struct subgraph {
    const graph_node *nodes[MAX_NODES];
    int n_nodes;
    const graph_value *inputs[8];
    int n_inputs;
    int64_t sizes[MAX_SIZES];
    int n_sizes;
    double factors[MAX_SIZES]; /* the different constants beyond 1, and what the others divide by */
    int n_factors;
    bool too_large; /* a constant, or a table, beyond LARGEST */
    const graph_value *mask;
    pass_window window;
    bool knows_window;
    const graph_value *content; /* an input other than the mask whose elements, not only whose sizes, are read */
} subgraph;

static bool add_size(subgraph *s, int64_t n) {
    if (n < 1 || n > LARGEST) return true;
    for (int i = 0; i < s->n_sizes; i++)
        if (s->sizes[i] == n) return true;
    if (s->n_sizes == MAX_SIZES) return false;
    s->sizes[s->n_sizes++] = n;
    return true;
}

/* A constant that distances may be compared with, multiplied or divided by. */
static bool add_factor(subgraph *s, double c) {
    c = fabs(c);
    if (c == 0) return true;
    if (c < 1) c = 1 / c;
    if (c == 1) return true;
    for (int i = 0; i < s->n_factors; i++)
        if (s->factors[i] == c) return true;
    if (s->n_factors == MAX_SIZES) return false;
    s->factors[s->n_factors++] = c;
    if (c > LARGEST - 2) s->too_large = true;
    const int64_t near = c > LARGEST - 2 ? 0 : (int64_t)c;
    for (int64_t k = near - 1; k <= near + 2 && near > 1; k++) /* + 2: of keys at most c away, the first that is hidden */
        if (!add_size(s, k)) return false;
    return true;
}

static bool add_constant(subgraph *s, const graph_value *v) {
    const graph_tensor *t = v->constant;
    double real;
    if ((t->dtype == NIB_DTYPE_F32 || t->dtype == NIB_DTYPE_F64) && graph_scalar(v, &real))
        return fabs(real) >= 1e4 || isnan(real) || add_factor(s, real); /* what is added for "masked" is no distance */
    for (int k = 0; k < t->rank; k++)
        if (t->dims[k] > LARGEST) s->too_large = true;
    if (t->dtype != NIB_DTYPE_I64 && t->dtype != NIB_DTYPE_I32) return true;
    for (int i = 0; i < v->data_count; i++) {
        int64_t c;
        if (!graph_dim_is_const(v->data[i], &c) || c <= -BEYOND || c >= BEYOND) continue;
        if (!add_factor(s, (double)c)) return false;
    }
    return true;
}

/* Beyond all that the constants make together. */
static bool add_last_size(subgraph *s) {
    double product = 1;
    for (int i = 0; i < s->n_factors; i++) product *= s->factors[i];
    if (s->too_large || 2 * product + 2 > LARGEST) return false;
    return add_size(s, (int64_t)(2 * product) + 2);
}

static bool collect(subgraph *s, const graph_value *v, int depth) {
    if (depth > 200) return false;
    if (v->constant) return add_constant(s, v);
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

#define SAMPLE_NO_TOKENS 4

/* kind 0: no padding, 1: right, 2: left, 3: holes, 4: nothing else. Deterministic. */
static int sample_mask(int kind, int64_t b, int64_t j, int64_t S) {
    int64_t pad = (S * (b + 1)) / 3;
    switch (kind) {
    case SAMPLE_NO_TOKENS: return 0;
    case 1: return j < S - pad;
    case 2: return j >= pad;
    case 3: return j == 0 || (j * 7 + b * 3) % 5 != 2;
    default: return 1;
    }
}

static void *fill(base_arena *arena, const graph_value *v, const graph_value *mask, int64_t B, int64_t S, int kind) {
    size_t width = (size_t)nib_dtype_bits(v->type.dtype) / 8;
    char *data = base_arena_calloc(arena, (size_t)(B * S), width ? width : 1);
    for (int64_t i = 0; data && i < B * S; i++) {
        /* Only the sizes of what is not the mask are read. */
        int64_t x = v == mask ? sample_mask(kind, i / S, i % S, S) : 0;
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

/* A bias [B|1, H|1, S|1, S|1] of rank <= 4 as it is seen from the scores. */
typedef struct view {
    const float *data;
    int64_t dims[4], B, S;
} view;

static bool view_of(const graph_tensor *t, int64_t B, int64_t S, view *v, char *why, size_t capacity) {
    const int64_t full[4] = {B, 0, S, S};
    *v = (view){.data = t->data, .dims = {1, 1, 1, 1}, .B = B, .S = S};
    if (t->dtype != NIB_DTYPE_F32 || t->rank > 4) return snprintf(why, capacity, "it is not f32 of rank 4"), false;
    for (int i = 0; i < t->rank; i++) v->dims[4 - t->rank + i] = t->dims[i];
    for (int i = 0; i < 4; i++)
        if (v->dims[i] != 1 && i != 1 && v->dims[i] != full[i])
            return snprintf(why, capacity, "its shape does not broadcast to the scores"), false;
    return true;
}

static float seen(const view *v, int64_t b, int64_t h, int64_t i, int64_t j) {
    const int64_t *d = v->dims, at[4] = {d[0] == 1 ? 0 : b, h, d[2] == 1 ? 0 : i, d[3] == 1 ? 0 : j};
    return v->data[((at[0] * d[1] + at[1]) * d[2] + at[2]) * d[3] + at[3]];
}

/* The farthest keys that are seen on each side in a sample without padding; -1 where none is hidden. */
static pass_window window_in(const view *v) {
    pass_window w = {0, 0};
    bool hidden[2] = {false, false};
    for (int64_t i = 0; i < v->S; i++)
        for (int64_t j = 0; j < v->S; j++) {
            int64_t *most = j < i ? &w.left : &w.right, away = j < i ? i - j : j - i;
            if (seen(v, 0, 0, i, j) != 0) hidden[j > i] = hidden[j > i] || j != i;
            else if (away > *most) *most = away;
        }
    return (pass_window){hidden[0] ? w.left : -1, hidden[1] ? w.right : -1};
}

static bool in_window(const pass_window *w, int64_t i, int64_t j) {
    return (w->left < 0 || i - j <= w->left) && (w->right < 0 || j - i <= w->right);
}

static bool check_bias(const view *v, const pass_window *w, int kind, char *why, size_t capacity) {
    for (int64_t b = 0; b < v->B; b++)
        for (int64_t h = 0; h < v->dims[1]; h++)
            for (int64_t i = 0; i < v->S; i++) {
                if (!sample_mask(kind, b, i, v->S)) continue; /* a padded query: its row is never read */
                for (int64_t j = 0; j < v->S; j++) {
                    float x = seen(v, b, h, i, j);
                    bool token = sample_mask(kind, b, j, v->S) != 0, open = token && in_window(w, i, j);
                    if (open ? x != 0 : !(x <= -1e4f)) {
                        base_snprintf(why, capacity, "at %lld tokens, query %lld and %s key %lld, it is %g", (long long)v->S, (long long)i,
                                      token ? "unmasked" : "masked", (long long)j, (double)x);
                        return false;
                    }
                }
            }
    return true;
}

/* Evaluates v for a mask of that kind and size (NULL: sizes alone, of the first input); the tensor lies in the arena. */
static bool sample_value(pass_context *ctx, const subgraph *s, graph_value *v, int64_t B, int64_t S, int kind, base_arena *arena,
                         const graph_tensor **out, char *why, size_t capacity) {
    const graph_value *like = s->mask ? s->mask : s->inputs[0];
    nib_error e;
    op_env *env = op_env_create(ctx->g, arena, 64u << 20, ctx->kernels);
    snprintf(why, capacity, "out of memory");
    if (env) op_env_work(env, &ctx->work_spent, ctx->work_limit ? ctx->work_limit : OP_ENV_WORK);
    for (int i = 0; env && i < s->n_inputs; i++) {
        graph_tensor in;
        if (!bind(s->inputs[i], like, B, S, &in))
            return snprintf(why, capacity, "it reads sizes of %s, whose shape is not that of %s", s->inputs[i]->name, like->name), false;
        in.data = fill(arena, s->inputs[i], s->mask, B, S, kind);
        in.bytes = graph_type_bytes(in.dtype, (size_t)(B * S));
        if (!in.data || op_env_set(env, s->inputs[i], &in) != NIB_OK) return false;
    }
    if (!env) return false;
    if (op_env_get(env, v, out, &e) != NIB_OK) return snprintf(why, capacity, "it cannot be evaluated: %.120s", e.message), false;
    return true;
}

/* The same of a bias, as it is seen from the scores. */
static bool view_sample(pass_context *ctx, const subgraph *s, graph_value *bias, int64_t B, int64_t S, int kind, base_arena *arena, view *v,
                        char *why, size_t capacity) {
    const graph_tensor *t;
    return sample_value(ctx, s, bias, B, S, kind, arena, &t, why, capacity) && view_of(t, B, S, v, why, capacity);
}

static bool check_sample(pass_context *ctx, subgraph *s, graph_value *bias, int64_t B, int64_t S, int kind, char *why, size_t capacity) {
    base_arena arena;
    view v;
    base_arena_init(&arena, ctx->g->heap);
    bool ok = view_sample(ctx, s, bias, B, S, kind, &arena, &v, why, capacity);
    if (ok && !s->knows_window) s->window = window_in(&v); /* the first sample: the largest, without padding */
    s->knows_window |= ok;
    ok = ok && check_bias(&v, &s->window, kind, why, capacity);
    base_arena_free(&arena);
    return ok;
}

/* ---------------------------------------------------------------- proof */

#define MAX_RANGES 4096 /* that are looked at before nothing is claimed */

typedef struct deciding {
    const pass_formula *f;
    bool token; /* the key is one */
    int ranges;
    bool sees, ended;    /* a distance that is seen has come; and one after it that is not */
    int64_t first, last; /* that are seen */
    char *why;
    size_t capacity;
} deciding;

/* What the keys at distances [least, most] have: all seen, all hidden, or, at one distance, neither, which is a no. */
static bool decide_range(deciding *d, int64_t least, int64_t most) {
    const pass_interval x = pass_formula_range(d->f, least, most, d->token);
    if (d->ranges++ == MAX_RANGES) return snprintf(d->why, d->capacity, "what it does is too involved to be proven"), false;
    if (x.most <= -1e4) {
        d->ended |= d->sees;
        return true;
    }
    if (d->token && x.least == 0 && x.most == 0 && !d->ended) {
        if (!d->sees) d->first = least;
        d->sees = true;
        d->last = most;
        return true;
    }
    if (least == most) {
        base_snprintf(d->why, d->capacity, "for %s key %lld tokens %s its query, it is %g%s", d->token ? "an unmasked" : "a masked",
                      (long long)llabs(least), least > 0 ? "before" : "after", x.least,
                      d->token && x.least == 0 ? ", beyond one that hides" : "");
        return false;
    }
    int64_t middle = least + (most - least) / 2;
    return decide_range(d, least, middle) && decide_range(d, middle + 1, most);
}

/* For every distance: hidden where the key is padding; else one window, which holds the query itself. tokens_first: nib makes the masks. */
static bool decide(const pass_formula *f, bool has_mask, bool tokens_first, pass_window *w, char *why, size_t capacity) {
    const int64_t reach = pass_formula_reach(f);
    deciding tokens = {.f = f, .token = true, .why = why, .capacity = capacity}, padding = tokens;
    padding.token = false;
    if (!decide_range(&tokens, -reach, reach)) return false;
    if (!tokens.sees) return snprintf(why, capacity, "it hides every unmasked key"), false;
    if (tokens.first > 0 || tokens.last < 0) return snprintf(why, capacity, "no query sees itself"), false;
    /* A query that is a token is no padded key to itself; and padding stands behind it where tokens come first. */
    if (has_mask && reach > 0 && !(decide_range(&padding, -reach, -1) && (tokens_first || decide_range(&padding, 1, reach)))) return false;
    *w = (pass_window){tokens.last >= reach || tokens.last >= BEYOND - 2 ? -1 : tokens.last,
                       -tokens.first >= reach || -tokens.first >= BEYOND - 2 ? -1 : -tokens.first};
    return true;
}

/* PASS_READ: *yes says whether it is a window, by proof; otherwise nothing is decided, or it is none. */
static pass_reading prove(pass_context *ctx, const graph_value *bias, const graph_value *mask, bool *yes, pass_window *w, char *why,
                          size_t capacity) {
    base_arena arena;
    const pass_formula *f;
    base_arena_init(&arena, ctx->g->heap);
    pass_reading reading = pass_formula_read(&arena, ctx->g, bias, mask, &f, why, capacity);
    *yes = reading == PASS_READ && decide(f, mask != NULL, ctx->pack, w, why, capacity);
    base_arena_free(&arena);
    return reading;
}

/* ---------------------------------------------------------------- the padding of keys */

/* By samples at every size of s, and kinds of masks. */
static bool sample_all(pass_context *ctx, subgraph *s, graph_value *bias, const graph_value *mask, char *why, size_t capacity) {
    int64_t fixed_b = 0, fixed_s = 0;
    static const int64_t basic[] = {1, 2, 7, 16};
    graph_dim_is_const(mask->type.dims[0], &fixed_b);
    if (graph_dim_is_const(mask->type.dims[1], &fixed_s)) s->n_sizes = 0;
    for (size_t i = 0; i < BASE_COUNT(basic) && !fixed_s; i++)
        if (!add_size(s, basic[i])) return snprintf(why, capacity, "its subgraph has too many constants to sample"), false;
    if (fixed_s && !(s->sizes[s->n_sizes++] = fixed_s)) return false;
    if (!fixed_s && !add_last_size(s)) return snprintf(why, capacity, "a constant in its subgraph is too large to be sampled"), false;
    for (int i = 1; i < s->n_sizes; i++)
        if (s->sizes[i] > s->sizes[0]) {
            int64_t larger = s->sizes[i];
            s->sizes[i] = s->sizes[0];
            s->sizes[0] = larger;
        }
    for (int i = 0; i < s->n_sizes; i++)
        for (int kind = 0; kind < (ctx->pack ? 2 : 4); kind++) { /* where nib makes the masks, tokens come first */
            int64_t S = s->sizes[i], B = fixed_b ? fixed_b : S > 64 ? 1 : 2;
            if (!check_sample(ctx, s, bias, B, S, kind, why, capacity)) return false;
        }
    return true;
}

/* Why there is no proof, and what samples say. */
static bool add_reason(char *why, size_t capacity, const char *sampled) {
    size_t n = strlen(why);
    snprintf(why + n, capacity - n, "; %s", sampled);
    return false;
}

bool pass_is_key_padding(pass_context *ctx, graph_value *bias, graph_value *mask, pass_window *window, char *why, size_t capacity) {
    subgraph s = {.mask = mask};
    bool reads_mask = false, yes;
    snprintf(why, capacity, "it does not depend on %s", mask->name);
    if (!collect(&s, bias, 0)) return snprintf(why, capacity, "its subgraph is too large"), false;
    for (int i = 0; i < s.n_inputs; i++) reads_mask |= s.inputs[i] == mask;
    if (!reads_mask) return false;
    /* No sample can tell which of all ids would matter. */
    if (s.content) return snprintf(why, capacity, "it reads the contents of %s", s.content->name), false;
    if (prove(ctx, bias, mask, &yes, window, why, capacity) != PASS_UNREAD) return yes;
    char sampled[200];
    if (!sample_all(ctx, &s, bias, mask, sampled, sizeof sampled)) return add_reason(why, capacity, sampled);
    *window = s.window;
    return true;
}

/* ---------------------------------------------------------------- causal, and nothing else */

static bool check_causal(const view *v, char *why, size_t capacity) {
    for (int64_t b = 0; b < v->dims[0]; b++)
        for (int64_t h = 0; h < v->dims[1]; h++)
            for (int64_t i = 0; i < v->S; i++)
                for (int64_t j = 0; j < v->S; j++) {
                    float x = seen(v, b, h, i, j);
                    if (j <= i ? x == 0 : x <= -1e4f) continue;
                    base_snprintf(why, capacity, "at %lld tokens, query %lld and key %lld, it is %g", (long long)v->S, (long long)i,
                                  (long long)j, (double)x);
                    return false;
                }
    return true;
}

static bool sample_causal(pass_context *ctx, const subgraph *s, graph_value *bias, int64_t B, int64_t S, char *why, size_t capacity) {
    base_arena arena;
    view v;
    base_arena_init(&arena, ctx->g->heap);
    bool ok = view_sample(ctx, s, bias, B, S, 0, &arena, &v, why, capacity) && check_causal(&v, why, capacity);
    base_arena_free(&arena);
    return ok;
}

bool pass_is_causal(pass_context *ctx, graph_value *bias, char *why, size_t capacity) {
    static const int64_t basic[] = {2, 1, 3, 7, 16, 33};
    subgraph s = {0};
    int64_t fixed;
    pass_window w;
    bool yes;
    if (!collect(&s, bias, 0)) return snprintf(why, capacity, "its subgraph is too large"), false;
    if (s.content) return snprintf(why, capacity, "it reads the contents of %s", s.content->name), false;
    if (s.n_inputs == 0 || s.inputs[0]->type.rank != 2) return snprintf(why, capacity, "it does not depend on sizes"), false;
    if (graph_dim_is_const(s.inputs[0]->type.dims[0], &fixed) || graph_dim_is_const(s.inputs[0]->type.dims[1], &fixed))
        return snprintf(why, capacity, "sizes are fixed"), false;
    if (prove(ctx, bias, NULL, &yes, &w, why, capacity) != PASS_UNREAD) {
        if (yes && (w.left != -1 || w.right != 0)) snprintf(why, capacity, "it is another window");
        return yes && w.left == -1 && w.right == 0;
    }
    for (size_t i = 0; i < BASE_COUNT(basic); i++)
        if (!add_size(&s, basic[i])) return add_reason(why, capacity, "its subgraph has too many constants to sample");
    if (!add_last_size(&s)) return add_reason(why, capacity, "a constant in its subgraph is too large to be sampled");
    for (int i = 0; i < s.n_sizes; i++)
        if (!sample_causal(ctx, &s, bias, s.sizes[i] > 64 ? 1 : 2, s.sizes[i], why, capacity)) return false;
    return true;
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

double pass_mask_reach(const graph *g) {
    static const char *const ops[] = {"Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Equal", "Min", "Max",
                                      "Mul",  "Div",         "Mod",     "Clip",           "Sub",   "Add"};
    subgraph s = {0};
    double product = 1, x;
    uint8_t *made = base_calloc(g->heap, (size_t)g->value_limit + 1, 1);
    if (!made) return 0;
    mark_makings(g, NULL, made);
    for (const graph_node *n = g->first; n; n = n->next) {
        bool counts = false;
        for (size_t i = 0; i < BASE_COUNT(ops); i++) counts |= graph_is_op(n, "", ops[i]);
        if (!counts || !n->n_outputs || !n->outputs[0] || made[n->outputs[0]->id] != MADE_OF_SIZES) continue;
        for (int i = 0; i < n->n_inputs; i++)
            if (n->inputs[i].value && n->inputs[i].value->constant && graph_scalar(n->inputs[i].value, &x) && fabs(x) < 1e4)
                add_factor(&s, x);
    }
    for (int i = 0; i < s.n_factors; i++) product *= s.factors[i];
    base_free(g->heap, made);
    return s.n_factors ? 2 * product + 2 : 0;
}

static bool is_masking(const graph_value *v) {
    double x;
    return v && graph_scalar(v, &x) && x <= -1e4;
}

/* What a number of the mask's makes does where its node reads it: 1 shows, -1 hides, 0 neither. */
static int effect(const graph_node *n, int input, double x) {
    if (graph_is_op(n, "nib", "Attention") || graph_is_op(n, "", "Add")) return x <= -1e4 ? -1 : x == 0;
    if (graph_is_op(n, "", "Mul")) return x == 0 ? -1 : x == 1;
    if (graph_is_op(n, "", "Where") && input == 0 && n->n_inputs == 3) {
        if (is_masking(n->inputs[1].value)) return x != 0 ? -1 : 1;
        if (is_masking(n->inputs[2].value)) return x != 0 ? 1 : -1;
    }
    return 0;
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
    if (collect(&s, v, 0) && !s.content && sample_value(ctx, &s, v, B, S, 0, &arena, &ones, why, sizeof why) &&
        sample_value(ctx, &s, v, B, S, SAMPLE_NO_TOKENS, &arena, &zeros, why, sizeof why) && ones->bytes == zeros->bytes) {
        for (int64_t i = 0, count = graph_tensor_elements(ones); i < count; i++) {
            int with = effect(n, input, op_number(ones, i)), without = effect(n, input, op_number(zeros, i));
            if (with == 1 && without == -1) counts[0]++;
            if (with == -1 && without == 1) counts[1]++;
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
    int counts[2] = {0};
    uint8_t *made = base_calloc(g->heap, (size_t)g->value_limit + 1, 1);
    if (!made) NIB_FAIL(ctx->err, NIB_OUT_OF_MEMORY, "out of memory while optimizing");
    mark_makings(g, ctx->mask, made);
    for (const graph_node *n = g->first; n; n = n->next) {
        if (!n->n_outputs || !n->outputs[0] || made[n->outputs[0]->id] != MADE_OF_MORE || graph_is_op(n, "nib", "Pool")) continue;
        for (int i = 0; i < n->n_inputs; i++)
            if (n->inputs[i].value && made[n->inputs[i].value->id] == MADE_OF_MASK) count_effects(ctx, ctx->mask, n, i, counts);
    }
    ctx->sense = counts[0] && counts[1] ? PASS_SENSE_BOTH : counts[1] ? PASS_SENSE_PADDING : PASS_SENSE_TOKENS;
    if (ctx->sense == PASS_SENSE_PADDING) {
        NIB_TRY(turn_mask(ctx, ctx->mask));
        pass_note(ctx, "%s is 1 at padding, 0 at tokens: it is turned round", ctx->mask->name);
    }
fail:
    base_free(g->heap, made);
    return status;
}

/* What counts as -infinity: anything beyond the lowest f32, or that, too, if `lowest`. Of other types anything may. */
static bool holds(const graph_tensor *t, bool lowest) {
    if (t->dtype != NIB_DTYPE_F32) return t->dtype == NIB_DTYPE_F16 || t->dtype == NIB_DTYPE_BF16 || t->dtype == NIB_DTYPE_F64;
    for (size_t i = 0; t->data && i < t->bytes / sizeof(float); i++) {
        float x;
        memcpy(&x, (const char *)t->data + i * sizeof x, sizeof x);
        if (lowest ? x < -3.4e38f && x >= -FLT_MAX : x < -FLT_MAX) return true;
    }
    return false;
}

static bool any_holds(const graph_value *v, bool lowest) {
    subgraph s = {0};
    if (v->constant) return holds(v->constant, lowest);
    if (!collect(&s, v, 0)) return true;
    for (int i = 0; i < s.n_nodes; i++) {
        const graph_node *n = s.nodes[i];
        for (int k = 0; k < n->n_inputs; k++)
            if (n->inputs[k].value && n->inputs[k].value->constant && holds(n->inputs[k].value->constant, lowest)) return true;
        for (int k = 0; k < n->n_attrs; k++)
            if (n->attrs[k].kind == GRAPH_ATTR_TENSOR && holds(n->attrs[k].u.tensor, lowest)) return true;
    }
    return false;
}

bool pass_may_be_infinite(const graph_value *v) { return any_holds(v, false); }
bool pass_may_be_lowest(const graph_value *v) { return any_holds(v, true); }
