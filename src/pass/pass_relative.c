/* SPDX-License-Identifier: Apache-2.0
 *
 * Recognising scores by distance. In: what is added to attention scores. Out: tables and their rows, if it is, for
 * queries i and keys j,
 *
 *     GatherElements(MatMul(Q, T^T), rows)               rows[i, j] = f(i - j)
 *   + Transpose(GatherElements(MatMul(K, U^T), rows))    rows[j, i] = g(i - j)
 *
 * or one of both, each with a scale, where Q and K are the heads of the scores, and T and U [heads, R, D] are computed
 * of constants. f and g are read as formulas (pass_formula.h): that nothing but the distance counts, and that far ones
 * all have the same row, is proven for every length. What they are near by is the value of the formula at each
 * distance, which is computed as the graph's operators compute it.
 *
 * The tables that come out have a row for each run of distances that share one of T and one of U, in the order of
 * distances. So rows go up one by one, and rows that nobody takes are gone.
 */
#include "pass_relative.h"
#include "pass_formula.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

#define MOST_HEADS 256
#define MOST_REACH (1 << 13) /* distances that have rows of their own */

typedef struct part {
    graph_value *table; /* [.., heads, R, D] of constants, before it is turned or repeated */
    bool turned;        /* it is [.., heads, D, R] */
    graph_value *rows;  /* [.., n, m] */
    double scale;
} part;

typedef struct search {
    pass_context *ctx;
    const pass_heads *q, *k;
    part keys, queries; /* of queries by the table of keys, of keys by the table of queries */
    char *why;
    size_t capacity;
} search;

static bool no(const search *s, const char *what) {
    if (!s->why[0]) snprintf(s->why, s->capacity, "%s", what);
    return false;
}

/* ---------------------------------------------------------------- what it looks like */

/* Takes a Transpose of the last two axes off; NULL if it is none. */
static graph_value *turned_back(const graph_value *v) {
    const int64_t *perm;
    const graph_node *n = v->producer;
    const int64_t rank = graph_is_op(n, "", "Transpose") ? graph_attr_ints(n, "perm", &perm) : 0;
    if (rank < 3 || perm[rank - 1] != rank - 2 || perm[rank - 2] != rank - 1) return NULL;
    for (int64_t i = 0; i + 2 < rank; i++)
        if (perm[i] != i) return NULL;
    return n->inputs[0].value;
}

/* Repeats along its first axis alone: the others are known to stay. */
static graph_value *repeated(const graph_value *v) {
    const graph_node *n = v->producer;
    int64_t a, b;
    if (!graph_is_op(n, "", "Tile") && !graph_is_op(n, "", "Expand")) return NULL;
    graph_value *x = n->inputs[0].value;
    if (x->type.rank != v->type.rank) return NULL;
    for (int i = 1; i < x->type.rank; i++)
        if (!graph_dim_is_const(x->type.dims[i], &a) || !graph_dim_is_const(v->type.dims[i], &b) || a != b) return NULL;
    return x;
}

static bool is_of_constants(const graph_value *v, int depth) {
    if (v->constant) return !v->packed && v->constant->data;
    if (!v->producer || depth > 16 || graph_has_bodies(v->producer) || pass_is_random(v->producer)) return false;
    for (int i = 0; i < v->producer->n_inputs; i++)
        if (v->producer->inputs[i].value && !is_of_constants(v->producer->inputs[i].value, depth + 1)) return false;
    return true;
}

static void find_table(graph_value *v, part *p) {
    p->turned = true; /* the second operand of a product */
    for (graph_value *next = v; next;) {
        v = next;
        if ((next = turned_back(v))) p->turned = !p->turned;
        else next = repeated(v);
    }
    p->table = v;
}

static bool same_heads(const pass_heads *a, const pass_heads *b) {
    return a->value == b->value && a->form == b->form && a->count == b->count && a->size == b->size && a->times == 1 &&
           b->times == 1;
}

static bool gathers(search *s, graph_value *v, double scale, bool of_keys) {
    const graph_node *n = v->producer;
    const int64_t axis = graph_attr_int(n, "axis", 0);
    part *p = of_keys ? &s->queries : &s->keys, found = {.scale = scale};
    pass_heads x;
    if (p->table || !pass_is_last_axis(v, axis)) return false;
    const graph_node *product = pass_without_scale(n->inputs[0].value, &found.scale)->producer;
    if (!graph_is_op(product, "", "MatMul") || !pass_find_heads(product->inputs[0].value, false, &x)) return false;
    if (!same_heads(&x, of_keys ? s->k : s->q))
        return no(s, "other rows than the scores' queries and keys are multiplied with its tables");
    found.scale *= x.scale;
    find_table(product->inputs[1].value, &found);
    found.rows = n->inputs[1].value;
    while (graph_is_op(found.rows->producer, "", "Expand")) found.rows = found.rows->producer->inputs[0].value;
    if (!is_of_constants(found.table, 0)) return no(s, "its tables are not made of constants");
    *p = found;
    return true;
}

static bool looks(search *s, graph_value *v, double scale, int depth) {
    v = pass_without_scale(v, &scale);
    graph_value *inner = turned_back(v);
    if (depth > 4) return false;
    if (graph_is_op(v->producer, "", "Add"))
        return looks(s, v->producer->inputs[0].value, scale, depth + 1) &&
               looks(s, v->producer->inputs[1].value, scale, depth + 1);
    if (inner) {
        inner = pass_without_scale(inner, &scale);
        return graph_is_op(inner->producer, "", "GatherElements") && gathers(s, inner, scale, true);
    }
    return graph_is_op(v->producer, "", "GatherElements") && gathers(s, v, scale, false);
}

/* ---------------------------------------------------------------- rows of distances */

static const pass_pair tokens = {true, true};

/* f at distances [least, most], if it is one number there; NAN. */
static double constant_in(const pass_formula *f, int64_t least, int64_t most) {
    const pass_interval x = pass_formula_range(f, least, most, tokens);
    return x.least == x.most && fabs(x.least) < 1e9 ? x.least : NAN;
}

/* The least m in [0, reach] from which on, to the side of `sign`, f is proven to be what it is at the reach; looks at
 * so many ranges. */
static int64_t end_of(const pass_formula *f, int sign, int64_t reach) {
    int64_t least = 0, most = reach;
    const double far = constant_in(f, sign * reach, sign * reach);
    while (least < most) { /* from `most` on it is so */
        const int64_t middle = least + (most - least) / 2;
        const int64_t a = sign > 0 ? middle : -most, b = sign > 0 ? most : -middle;
        if (constant_in(f, a, b) == far) most = middle;
        else least = middle + 1;
    }
    return most;
}

/* The row of each distance from -reach to reach; `turned`: the formula's i and j are keys and queries. False: one is
 * beyond the table. */
static bool rows_of(const pass_formula *f, bool turned, int64_t reach, int64_t count, int32_t *rows) {
    for (int64_t d = -reach; d <= reach; d++) {
        const double x = constant_in(f, turned ? -d : d, turned ? -d : d);
        if (!(x >= 0 && x < (double)count && x == floor(x))) return false;
        rows[d + reach] = (int32_t)x;
    }
    return true;
}

/* ---------------------------------------------------------------- tables */

typedef struct table {
    const graph_tensor *t; /* [.., heads, R, D], or turned; NULL: none */
    const pass_formula *f; /* its rows */
    int64_t count;         /* R */
    bool turned;
    double factor; /* what its numbers are multiplied by */
    int32_t *rows; /* [2 reach + 1] */
} table;

static bool read_table(search *s, const part *p, bool of_keys, double scale, base_arena *arena, op_env *env,
                       table *out) {
    nib_error ignored;
    char why[200];
    if (!p->table) return true;
    if (op_env_get(env, p->table, &out->t, &ignored) != NIB_OK) return no(s, "its tables cannot be computed");
    const graph_tensor *t = out->t;
    const int at = t->rank - 3; /* of the heads */
    if (t->dtype != NIB_DTYPE_F32 || at < 0 || at > 1 || (at && t->dims[0] != 1))
        return no(s, "its tables are not [heads, rows, D] of f32");
    out->turned = p->turned;
    out->count = t->dims[at + (p->turned ? 2 : 1)];
    if (t->dims[at] != s->q->count || t->dims[at + (p->turned ? 1 : 2)] != s->q->size)
        return no(s, "its tables do not fit the heads");
    out->factor = p->scale / scale;
    if (fabs(out->factor - 1) < 1e-6) out->factor = 1; /* f32's roundings of one number */
    const pass_formula_of of = {.bias = p->rows, .queries = PASS_QUERIES_TOKENS, .index = true};
    if (pass_formula_read(arena, s->ctx->g, &of, &out->f, why, sizeof why))
        return isfinite(out->factor) || no(s, "its scale is no number");
    return snprintf(s->why, s->capacity, "which row a %s takes is not proven: %.120s", of_keys ? "key" : "query", why),
           false;
}

static void copy_row(const table *from, int64_t head, int64_t row, int64_t D, float *to) {
    const float *x = from->t->data;
    for (int64_t d = 0; d < D; d++) {
        const int64_t at = from->turned ? (head * D + d) * from->count + row : (head * from->count + row) * D + d;
        to[d] = from->factor == 1 ? x[at] : (float)((double)x[at] * from->factor);
    }
}

/* [heads, count, D]: of each run of distances its row; starts [count]: the first distance of each, from 0 on. */
static graph_value *make_table(search *s, const table *from, const int32_t *starts, int64_t count, const char *name) {
    const int64_t heads = s->q->count, D = s->q->size;
    graph_tensor t = {.dtype = NIB_DTYPE_F32, .rank = 3, .dims = {heads, count, D}};
    const int64_t elements = graph_tensor_elements(&t);
    if (elements < 0 || (uint64_t)elements > s->ctx->fold_left / sizeof(float))
        return no(s, "its tables are too large"), NULL;
    t.bytes = (size_t)elements * sizeof(float);
    s->ctx->fold_left -= t.bytes;
    float *data = base_arena_alloc(s->ctx->g->arena, t.bytes);
    for (int64_t h = 0; data && h < heads; h++)
        for (int64_t r = 0; r < count; r++) copy_row(from, h, from->rows[starts[r]], D, data + (h * count + r) * D);
    t.data = data;
    graph_value *v = data ? graph_add_constant(s->ctx->g, name, &t, false) : NULL;
    return v ? v : (no(s, "out of memory"), NULL);
}

/* Of both tables, what an attention reads. */
static bool make_operands(search *s, table *keys, table *queries, int64_t reach, base_arena *arena,
                          pass_relative *out) {
    const int64_t distances = 2 * reach + 1;
    int32_t *rows = base_arena_alloc(s->ctx->g->arena, (size_t)distances * sizeof *rows);
    int32_t *starts = base_arena_alloc(arena, (size_t)distances * sizeof *starts);
    int64_t count = 0;
    if (!rows || !starts) return no(s, "out of memory");
    table *both[2] = {keys, queries};
    for (int i = 0; i < 2; i++) {
        if (!both[i]->t) continue;
        both[i]->rows = base_arena_alloc(arena, (size_t)distances * sizeof *both[i]->rows);
        if (!both[i]->rows) return no(s, "out of memory");
        if (!rows_of(both[i]->f, i == 1, reach, both[i]->count, both[i]->rows))
            return no(s, "a distance has no row in its tables");
    }
    for (int64_t d = 0; d < distances; d++) {
        bool same = d > 0;
        for (int i = 0; i < 2; i++) same = same && (!both[i]->t || both[i]->rows[d] == both[i]->rows[d - 1]);
        if (!same) starts[count++] = (int32_t)d;
        rows[d] = (int32_t)count - 1;
    }
    const graph_tensor t = {.dtype = NIB_DTYPE_I32,
                            .rank = 1,
                            .dims = {distances},
                            .data = rows,
                            .bytes = (size_t)distances * sizeof *rows};
    *out = (pass_relative){.rows = graph_add_constant(s->ctx->g, "relative_rows", &t, false)};
    if (keys->t && !(out->keys = make_table(s, keys, starts, count, "relative_keys"))) return false;
    if (queries->t && !(out->queries = make_table(s, queries, starts, count, "relative_queries"))) return false;
    return out->rows || no(s, "out of memory");
}

/* How far f differs from distance to distance; -1: that is not proven, or too far. */
static int64_t reach_of(const pass_formula *f, const pass_heads *q, const char **why) {
    const int64_t most = pass_formula_reach(f);
    *why = "a table of positions ends"; /* and beyond it the model fails */
    if (most + 1 < PASS_LONGEST && !graph_dim_is_const(pass_heads_length(q), NULL)) return -1;
    const int64_t before = end_of(f, -1, most), after = end_of(f, 1, most), reach = before > after ? before : after;
    *why = "rows of far distances are not proven to be one";
    return reach <= MOST_REACH ? reach : -1;
}

static int64_t reach_of_tables(search *s, const table *keys, const table *queries) {
    const table *both[2] = {keys, queries};
    const char *why;
    int64_t reach = 0;
    for (int i = 0; i < 2; i++) {
        const int64_t own = both[i]->t ? reach_of(both[i]->f, s->q, &why) : 0;
        if (own < 0) return no(s, why), -1;
        if (own > reach) reach = own;
    }
    return reach;
}

bool pass_read_relative(pass_context *ctx, graph_value *v, double times, const pass_heads *q, const pass_heads *k,
                        double scale, pass_relative *out, char *why, size_t capacity) {
    search s = {.ctx = ctx, .q = q, .k = k, .why = why, .capacity = capacity};
    table keys = {0}, queries = {0};
    why[0] = 0;
    if (!looks(&s, v, times, 0)) return false;
    if (pass_heads_length(q) != pass_heads_length(k)) return no(&s, "queries and keys differ in number");
    base_arena arena;
    base_arena_init(&arena, ctx->g->heap);
    op_env *env = op_env_create(ctx->g, &arena, ctx->fold_limit, ctx->kernels);
    bool yes = env != NULL;
    if (env) op_env_work(env, &ctx->work_spent, ctx->work_limit ? ctx->work_limit : OP_ENV_WORK);
    yes = yes && read_table(&s, &s.keys, false, scale, &arena, env, &keys) &&
          read_table(&s, &s.queries, true, scale, &arena, env, &queries);
    const int64_t reach = yes ? reach_of_tables(&s, &keys, &queries) : -1;
    yes = reach >= 0 && make_operands(&s, &keys, &queries, reach, &arena, out);
    base_arena_free(&arena);
    return yes;
}

/* ---------------------------------------------------------------- a number of head and distance */

#define MOST_BIAS 1000 /* from here on, a bias may be there to hide keys: a mask */

/* Of each head its number at each distance: [heads][2 reach + 1]. */
static float *distance_biases(pass_context *ctx, base_arena *arena, const graph_value *v, double times,
                              const pass_heads *q, int64_t *reach) {
    const pass_formula *f[MOST_HEADS];
    const char *why;
    char ignored[200];
    *reach = 0;
    for (int64_t h = 0; h < q->count; h++) {
        const pass_formula_of of = {.bias = v, .queries = PASS_QUERIES_TOKENS, .head = &h};
        if (!pass_formula_read(arena, ctx->g, &of, &f[h], ignored, sizeof ignored)) return NULL;
        const int64_t own = reach_of(f[h], q, &why);
        if (own < 0) return NULL;
        if (own > *reach) *reach = own;
    }
    const int64_t distances = 2 * *reach + 1;
    float *biases = base_arena_alloc(arena, (size_t)(q->count * distances) * sizeof *biases);
    for (int64_t h = 0; biases && h < q->count; h++)
        for (int64_t d = -*reach; d <= *reach; d++) {
            const double x = constant_in(f[h], d, d) * times;
            if (!(fabs(x) < MOST_BIAS)) return NULL;
            biases[h * distances + d + *reach] = (float)x;
        }
    return biases;
}

static bool same_biases(const float *biases, int64_t heads, int64_t distances, int64_t d) {
    for (int64_t h = 0; h < heads; h++)
        if (biases[h * distances + d] != biases[h * distances + d - 1]) return false;
    return true;
}

/* A number for each run of distances that share those of all heads. */
static bool make_bias(pass_context *ctx, const float *biases, int64_t heads, int64_t distances, pass_relative *out) {
    int32_t *rows = base_arena_alloc(ctx->g->arena, (size_t)distances * sizeof *rows);
    float *numbers = base_arena_alloc(ctx->g->arena, (size_t)(heads * distances) * sizeof *numbers);
    int64_t count = 0;
    if (!rows || !numbers) return false;
    for (int64_t d = 0; d < distances; d++) {
        if (d == 0 || !same_biases(biases, heads, distances, d)) count++;
        rows[d] = (int32_t)count - 1;
    }
    for (int64_t h = 0; h < heads; h++)
        for (int64_t d = 0; d < distances; d++) numbers[h * count + rows[d]] = biases[h * distances + d];
    const graph_tensor of_distances = {.dtype = NIB_DTYPE_I32,
                                       .rank = 1,
                                       .dims = {distances},
                                       .data = rows,
                                       .bytes = (size_t)distances * sizeof *rows};
    const graph_tensor of_heads = {.dtype = NIB_DTYPE_F32,
                                   .rank = 2,
                                   .dims = {heads, count},
                                   .data = numbers,
                                   .bytes = (size_t)(heads * count) * sizeof *numbers};
    *out = (pass_relative){.rows = graph_add_constant(ctx->g, "relative_rows", &of_distances, false),
                           .bias = graph_add_constant(ctx->g, "relative_bias", &of_heads, false)};
    return out->rows && out->bias;
}

/* Whether each head's is a number times the distance. */
static bool make_slopes(pass_context *ctx, base_arena *arena, const graph_value *v, double times, int64_t heads,
                        pass_relative *out) {
    float *slopes = base_arena_alloc(ctx->g->arena, (size_t)heads * sizeof *slopes);
    for (int64_t h = 0; slopes && h < heads; h++) {
        const pass_formula_of of = {.bias = v, .queries = PASS_QUERIES_TOKENS, .head = &h};
        const pass_formula *f;
        char ignored[200];
        if (!pass_formula_read(arena, ctx->g, &of, &f, ignored, sizeof ignored)) return false;
        const double slope = pass_formula_slope(f) * times;
        if (!(fabs(slope) < MOST_BIAS)) return false;
        slopes[h] = (float)slope;
    }
    if (!slopes) return false;
    const graph_tensor t = {
        .dtype = NIB_DTYPE_F32, .rank = 1, .dims = {heads}, .data = slopes, .bytes = (size_t)heads * sizeof *slopes};
    *out = (pass_relative){.slopes = graph_add_constant(ctx->g, "relative_slopes", &t, false)};
    return out->slopes != NULL;
}

bool pass_read_distance_bias(pass_context *ctx, graph_value *v, double times, const pass_heads *q, const pass_heads *k,
                             pass_relative *out) {
    base_arena arena;
    int64_t reach;
    if (q->count > MOST_HEADS || pass_heads_length(q) != pass_heads_length(k)) return false;
    while (graph_is_op(v->producer, "", "Expand")) v = v->producer->inputs[0].value;
    if (v->type.rank < 3 || graph_dim_is_one(v->type.dims[v->type.rank - 3])) return false;
    base_arena_init(&arena, ctx->g->heap);
    bool yes = make_slopes(ctx, &arena, v, times, q->count, out);
    const float *biases = yes ? NULL : distance_biases(ctx, &arena, v, times, q, &reach);
    yes = yes || (biases && make_bias(ctx, biases, q->count, 2 * reach + 1, out));
    base_arena_free(&arena);
    return yes;
}
