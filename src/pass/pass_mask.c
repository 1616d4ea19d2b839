/* SPDX-License-Identifier: Apache-2.0
 *
 * Recognising a mask by what it computes. In: the value that is added to attention scores, and the [B, S] input that may be the
 * padding mask. The subgraph between them is evaluated on samples: sizes around every integer constant in it, masks padded on
 * the right, on the left, and with holes. Out: yes, if in every sample the bias is 0 where query and key are tokens and the key lies
 * in one window around the query, and lets no other key through (at most -1e4, whose exponential is 0 in f32) for any query
 * that is a token. The window is what the largest sample shows; all samples must show the same.
 *
 * It is no match if the subgraph reads anything but the mask and sizes, or a constant so large that it cannot be sampled.
 */
#include "pass.h"
#include <float.h>
#include <stdio.h>
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
    bool too_large; /* a constant beyond LARGEST */
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

/* Notes c - 1, c, c + 1 of a small integer constant, and c + 2: of keys at most c away, the first that is hidden. */
static bool add_constant(subgraph *s, const graph_value *v) {
    const graph_tensor *t = v->constant;
    double real;
    if ((t->dtype == NIB_DTYPE_F32 || t->dtype == NIB_DTYPE_F64) &&
        graph_scalar(v, &real)) { /* a distance may be counted in floats; what is added for "masked" is larger */
        int64_t c = real >= -LARGEST && real <= LARGEST ? (int64_t)(real < 0 ? -real : real) : 0;
        for (int64_t k = c - 1; k <= c + 2 && c > 1; k++)
            if (!add_size(s, k)) return false;
        return true;
    }
    if (t->dtype != NIB_DTYPE_I64 && t->dtype != NIB_DTYPE_I32) return true;
    for (int i = 0; i < v->data_count; i++) {
        int64_t c;
        if (!graph_dim_is_const(v->data[i], &c) || c <= -BEYOND || c >= BEYOND) continue;
        c = c < 0 ? -c : c;
        if (c > LARGEST - 2) s->too_large = true;
        for (int64_t k = c - 1; k <= c + 2 && c > 1; k++)
            if (!add_size(s, k)) return false;
    }
    return true;
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

/* kind 0: no padding, 1: right, 2: left, 3: holes. Deterministic. */
static int sample_mask(int kind, int64_t b, int64_t j, int64_t S) {
    int64_t pad = (S * (b + 1)) / 3;
    switch (kind) {
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
                        snprintf(why, capacity, "at %lld tokens, query %lld and %s key %lld, it is %g", (long long)v->S, (long long)i,
                                 token ? "unmasked" : "masked", (long long)j, (double)x);
                        return false;
                    }
                }
            }
    return true;
}

/* Evaluates bias for a mask of that kind and size (NULL: sizes alone, of the first input); the view lies in the arena. */
static bool view_sample(pass_context *ctx, const subgraph *s, graph_value *bias, int64_t B, int64_t S, int kind, base_arena *arena, view *v,
                        char *why, size_t capacity) {
    const graph_value *like = s->mask ? s->mask : s->inputs[0];
    nib_error e;
    const graph_tensor *t;
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
    if (op_env_get(env, bias, &t, &e) != NIB_OK) return snprintf(why, capacity, "it cannot be evaluated: %.120s", e.message), false;
    return view_of(t, B, S, v, why, capacity);
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

bool pass_is_key_padding(pass_context *ctx, graph_value *bias, graph_value *mask, pass_window *window, char *why, size_t capacity) {
    subgraph s = {.mask = mask};
    int64_t fixed_b = 0, fixed_s = 0;
    snprintf(why, capacity, "it does not depend on %s", mask->name);
    if (!collect(&s, bias, 0)) return snprintf(why, capacity, "its subgraph is too large"), false;
    if (s.too_large) return snprintf(why, capacity, "a constant in its subgraph is too large to be sampled"), false;
    bool reads_mask = false;
    for (int i = 0; i < s.n_inputs; i++) reads_mask |= s.inputs[i] == mask;
    if (!reads_mask) return false;
    /* No sample can tell which of all ids would matter. */
    if (s.content) return snprintf(why, capacity, "it reads the contents of %s", s.content->name), false;
    graph_dim_is_const(mask->type.dims[0], &fixed_b);
    if (graph_dim_is_const(mask->type.dims[1], &fixed_s)) s.n_sizes = 0;
    static const int64_t basic[] = {1, 2, 7, 16};
    for (size_t i = 0; i < BASE_COUNT(basic) && !fixed_s; i++)
        if (!add_size(&s, basic[i])) return snprintf(why, capacity, "its subgraph has too many constants to sample"), false;
    if (fixed_s && !(s.sizes[s.n_sizes++] = fixed_s)) return false;
    for (int i = 1; i < s.n_sizes; i++)
        if (s.sizes[i] > s.sizes[0]) {
            int64_t larger = s.sizes[i];
            s.sizes[i] = s.sizes[0];
            s.sizes[0] = larger;
        }
    for (int i = 0; i < s.n_sizes; i++)
        for (int kind = 0; kind < (ctx->pack ? 2 : 4); kind++) { /* where nib makes the masks, tokens come first */
            int64_t S = s.sizes[i], B = fixed_b ? fixed_b : S > 64 ? 1 : 2;
            if (!check_sample(ctx, &s, bias, B, S, kind, why, capacity)) return false;
        }
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
                    snprintf(why, capacity, "at %lld tokens, query %lld and key %lld, it is %g", (long long)v->S, (long long)i,
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
    if (!collect(&s, bias, 0)) return snprintf(why, capacity, "its subgraph is too large"), false;
    if (s.content) return snprintf(why, capacity, "it reads the contents of %s", s.content->name), false;
    if (s.too_large) return snprintf(why, capacity, "a constant in its subgraph is too large to be sampled"), false;
    if (s.n_inputs == 0 || s.inputs[0]->type.rank != 2) return snprintf(why, capacity, "it does not depend on sizes"), false;
    if (graph_dim_is_const(s.inputs[0]->type.dims[0], &fixed) || graph_dim_is_const(s.inputs[0]->type.dims[1], &fixed))
        return snprintf(why, capacity, "sizes are fixed"), false;
    for (size_t i = 0; i < BASE_COUNT(basic); i++)
        if (!add_size(&s, basic[i])) return snprintf(why, capacity, "its subgraph has too many constants to sample"), false;
    for (int i = 0; i < s.n_sizes; i++)
        if (!sample_causal(ctx, &s, bias, s.sizes[i] > 64 ? 1 : 2, s.sizes[i], why, capacity)) return false;
    return true;
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
