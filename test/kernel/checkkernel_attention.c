/* SPDX-License-Identifier: Apache-2.0
 *
 * Attention against the reference: sizes around the key tile and the panel of queries, every head size, shared key and
 * value heads, causal, windows, softcap, bias, sinks, given positions, tables by distance, caches in pages; rows alone
 * and in any split; a cache against the same keys given at once; masked keys that are NaN.
 */
#include <float.h>
#include "checkkernel.h"
#include <math.h>
#include <string.h>

typedef struct attention_case {
    kernel_attention_args args;
    int64_t texts, text, first, n, kv_old, rows; /* rows: of the batch */
    bool spoiled;
    kernel_relative relative;
} attention_case;

static int64_t length_near(void) {
    static const int64_t edges[] = {1, 2, 6, 12, 16, 32, 48, 64, 96, 128};
    int64_t n = check_chance(70) ? edges[check_pick(0, (int64_t)BASE_COUNT(edges) - 1)] + check_pick(-1, 1) : check_pick(1, 150);
    return n < 1 ? 1 : n;
}

static void make_cache(attention_case *c) {
    kernel_attention_args *g = &c->args;
    int64_t row = (int64_t)g->kv_heads * g->head_dim;
    g->page = check_chance(50) ? KERNEL_KEY_TILE : check_chance(50) ? 16 : c->kv_old;
    g->cache_key_stride = row + (check_chance(50) ? 0 : 3);
    g->page_stride = g->page * g->cache_key_stride + check_pick(0, 5);
    int64_t pages = (c->kv_old + g->page - 1) / g->page, spare = 2;
    int32_t *table = check_bytes((size_t)pages * sizeof(*table), 0);
    for (int64_t i = 0; i < pages; i++) table[i] = (int32_t)(pages - 1 - i + (i % 2 ? 0 : spare)); /* any order; some twice */
    g->pages = table;
    size_t floats = (size_t)((pages + spare) * g->page_stride);
    g->cache_k = check_random_floats(floats);
    g->cache_v = check_random_floats(floats);
}

static void make_options(attention_case *c) {
    kernel_attention_args *g = &c->args;
    g->scale = check_chance(50) ? 1.0f / sqrtf((float)g->head_dim) : 1.0f;
    g->softcap = check_chance(20) ? 2.0f : 0.0f;
    g->causal = check_chance(35);
    g->window_left = check_chance(30) ? check_pick(0, 70) : -1;
    g->window_right = check_chance(30) ? check_pick(0, 70) : -1;
    if (check_chance(20)) {
        int32_t *positions = check_bytes((size_t)c->rows * sizeof(*positions), 0);
        for (int64_t r = 0; r < c->rows; r++) positions[r] = (int32_t)(c->kv_old + check_pick(0, 2 * c->n));
        g->positions = positions;
    }
    if (check_chance(30)) {
        int64_t keys = c->kv_old + c->n;
        g->bias_row_stride = check_chance(30) ? 0 : keys + check_pick(0, 3);
        g->bias_head_stride = check_chance(30) ? 0 : c->n * (keys + 3);
        g->bias_text_stride = check_chance(50) ? 0 : g->heads * c->n * (keys + 3);
        size_t floats =
            (size_t)(c->text * g->bias_text_stride + (g->heads - 1) * g->bias_head_stride + (c->n - 1) * g->bias_row_stride + keys);
        float *bias = check_random_floats(floats);
        for (size_t i = 0; check_chance(30) && i < floats; i++) {
            if (check_chance(30)) bias[i] = check_chance(5) ? FLT_MAX : check_chance(50) ? -INFINITY : -FLT_MAX;
        }
        g->bias = bias;
    }
    if (check_chance(20)) g->sinks = check_random_floats((size_t)g->heads);
}

static void *packed_table(const kernel_attention_args *g, kernel_relative_table which, bool q8, int64_t count) {
    const float *table = check_random_floats((size_t)(g->heads * count * g->head_dim));
    const size_t bytes = (size_t)g->heads * kernel_relative_bytes(q8, count, g->head_dim);
    void *packed = (void *)(((uintptr_t)check_bytes(bytes + 63, 0) + 63) / 64 * 64);
    kernel_relative_pack(which, q8, table, g->heads, count, g->head_dim, packed);
    return packed;
}

/* Rows one by one near distance 0, as a model's are, or any that are in order; a reach that texts go beyond, or do not.
 */
static void make_relative(attention_case *c, bool q8) {
    kernel_attention_args *g = &c->args;
    const int64_t reach = check_pick(0, check_chance(50) ? 20 : 200), near = check_pick(0, reach),
                  stays = check_pick(0, 90);
    int32_t *rows = check_bytes((size_t)(2 * reach + 1) * sizeof(*rows), 0);
    rows[0] = 0;
    for (int64_t d = 1 - reach; d <= reach; d++) {
        const bool steps = (d > -near && d <= near) || !check_chance(stays);
        rows[d + reach] = rows[d + reach - 1] + steps;
    }
    const int64_t count = rows[2 * reach] + 1;
    c->relative = (kernel_relative){.rows = rows, .reach = reach, .count = count};
    const int which = (int)check_pick(0, 7);
    if (which & 1) c->relative.keys = packed_table(g, KERNEL_RELATIVE_KEYS, q8, count);
    if (which & 2) c->relative.queries = packed_table(g, KERNEL_RELATIVE_QUERIES, q8, count);
    if (which & 4) c->relative.bias = check_random_floats((size_t)(g->heads * count));
    if (which == 0) c->relative = (kernel_relative){0};
    if (which == 0 || check_chance(20)) {
        float *slopes = check_random_floats((size_t)g->heads);
        for (int h = 0; h < g->heads; h++) slopes[h] *= 0.05f;
        c->relative.slopes = slopes;
    }
    g->relative = &c->relative;
    if (check_chance(30)) { /* a text that begins behind padding, and perhaps has a hole */
        int32_t *positions = check_bytes((size_t)c->rows * sizeof(*positions), 0);
        const int64_t from = c->kv_old + check_pick(0, 3), hole = check_chance(50) ? check_pick(0, c->n) : c->n;
        for (int64_t r = 0; r < c->rows; r++)
            positions[r] = (int32_t)(from + r - c->first + (r - c->first >= hole ? 7 : 0));
        g->positions = positions;
    }
}

static void make_case(attention_case *c, bool q8) {
    static const int dims[] = {32, 64, 128, 16, 80, 96, 256};
    memset(c, 0, sizeof(*c));
    kernel_attention_args *g = &c->args;
    c->texts = check_pick(1, 3);
    c->text = check_pick(0, c->texts - 1);
    c->first = check_pick(0, 5);
    c->n = length_near();
    c->kv_old = !q8 && check_chance(30) ? length_near() : 0;
    c->rows = c->first + c->n + check_pick(0, 3);
    g->head_dim = q8 || check_chance(50) ? dims[check_pick(0, 6)] : (int)check_pick(1, check_chance(80) ? 70 : 256);
    g->kv_heads = (int)check_pick(1, 2);
    g->heads = g->kv_heads * (int)check_pick(1, 3);
    int64_t q_row = (int64_t)g->heads * g->head_dim, kv_row = (int64_t)g->kv_heads * g->head_dim;
    g->q_stride = q_row + (check_chance(50) ? 0 : check_pick(1, 40));
    g->k_stride = kv_row + (check_chance(50) ? 0 : check_pick(1, 40));
    g->v_stride = kv_row + (check_chance(50) ? 0 : check_pick(1, 40));
    g->y_stride = q_row + (check_chance(50) ? 0 : check_pick(1, 40));
    float *k = check_random_floats((size_t)((c->rows - 1) * g->k_stride + kv_row)),
          *v = check_random_floats((size_t)((c->rows - 1) * g->v_stride + kv_row));
    g->q = check_random_floats((size_t)((c->rows - 1) * g->q_stride + q_row));
    g->k = k;
    g->v = v;
    if (c->kv_old > 0) make_cache(c);
    make_options(c);
    if (q8) g->causal = false, g->softcap = 0.0f, g->bias = NULL, g->sinks = NULL;
    if (check_chance(40)) make_relative(c, q8);
    if (check_chance(15)) { /* a key that spoils whoever may look at it, and nobody else */
        int64_t r = c->first + check_pick(0, c->n - 1);
        c->spoiled = true;
        if (check_chance(50)) v[r * g->v_stride + check_pick(0, kv_row - 1)] = check_chance(50) ? NAN : INFINITY;
        else k[r * g->k_stride + check_pick(0, kv_row - 1)] = NAN;
    }
}

/* All heads of the text, `step` rows at a time. */
static float *run(const attention_case *c, const kernel_entry *e, int64_t step) {
    kernel_attention_args args = c->args;
    float *y = check_floats((size_t)((c->rows - 1) * args.y_stride + (int64_t)args.heads * args.head_dim));
    size_t bytes = strcmp(e->task, "attention_q8") == 0 ? check_q8_scratch(args.head_dim) : check_scratch(args.head_dim);
    if (args.relative) bytes += KERNEL_RELATIVE_SCRATCH;
    void *scratch = (void *)(((uintptr_t)check_bytes(bytes + 63, 0) + 63) / 64 * 64);
    args.y = y;
    for (int64_t r = c->first; r < c->first + c->n; r += step) {
        int64_t hi = r + step < c->first + c->n ? r + step : c->first + c->n;
        for (int h = 0; h < args.heads; h++) {
            CHECK_CALL(((kernel_fn_attention_f32 *)e->function)(&args, c->text, c->first, c->n, c->kv_old, h, r, hi, scratch));
        }
    }
    return y + c->first * args.y_stride;
}

static void one_case(const check_task *task, bool q8) {
    attention_case c;
    make_case(&c, q8);
    const kernel_attention_args *g = &c.args;
    const int64_t columns = (int64_t)g->heads * g->head_dim;
    /* A logit is off by (D + 4) roundings of its size (numbers are below 1), its weight by a factor of that; a softcap's
     * tanh adds 4e-7 of the cap. Then come one rounding per key, and one shrinking per tile. */
    double logit =
        (double)(g->head_dim + 8) * CHECK_EPSILON * (double)g->head_dim * (g->relative ? 1.5 : 0.5) * (double)g->scale +
        2e-6;
    double keys = (double)(c.kv_old + c.n), bound = 2.0 * logit + (keys + 32.0) * CHECK_EPSILON + 2e-6;
    if (q8) bound += 1e-3; /* a few weights rounded to the other side: 1/4095 each */
    const float *want = NULL, *fused = NULL;
    for (int i = 0; i < task->count; i++) {
        const kernel_entry *e = task->entry[i];
        check_begin(e->name, "n %d old %d head_dim %d heads %d/%d causal %d window %d %d%s%s%s%s%s%s", (int)c.n,
                    (int)c.kv_old, g->head_dim, g->heads, g->kv_heads, g->causal, (int)g->window_left,
                    (int)g->window_right, g->softcap > 0 ? " softcap" : "", g->bias ? " bias" : "",
                    g->sinks ? " sinks" : "", g->positions ? " positions" : "", g->relative ? " relative" : "",
                    c.spoiled ? " NaN" : "");
        float *y = run(&c, e, c.n);
        if (i == 0) want = y;
        check_near(y, g->y_stride, want, g->y_stride, c.n, columns, NULL, bound);
        check_same(run(&c, e, check_pick(1, c.n)), g->y_stride, y, g->y_stride, c.n, columns, "in one piece");
        if (c.n <= 20) check_same(run(&c, e, 1), g->y_stride, y, g->y_stride, c.n, columns, "among more rows");
        if (e->isa == BASE_ISA_GENERIC) continue;
        if (fused) check_same(y, g->y_stride, fused, g->y_stride, c.n, columns, "on a lower rung");
        else check_digest(e->task, y, g->y_stride, c.n, columns);
        fused = y;
    }
    check_release();
}

/* The last rows of a causal text, with the others in a cache, are the same bits as all of it at once. */
static void cache_case(const check_task *task) {
    int64_t n = check_pick(2, 150), old = check_pick(1, n - 1), D = check_pick(1, 70), page = check_chance(50) ? 16 : KERNEL_KEY_TILE;
    float *q = check_random_floats((size_t)(n * D)), *k = check_random_floats((size_t)(n * D)), *v = check_random_floats((size_t)(n * D));
    int32_t pages[16];
    int64_t used = (old + page - 1) / page;
    float *cache_k = check_floats((size_t)(used * page * D)), *cache_v = check_floats((size_t)(used * page * D));
    for (int64_t i = 0; i < used; i++) pages[i] = (int32_t)(used - 1 - i);
    for (int64_t i = 0; i < old; i++) {
        memcpy(cache_k + (pages[i / page] * page + i % page) * D, k + i * D, (size_t)D * sizeof(float));
        memcpy(cache_v + (pages[i / page] * page + i % page) * D, v + i * D, (size_t)D * sizeof(float));
    }
    void *scratch = (void *)(((uintptr_t)check_bytes(check_scratch((int)D) + 63, 0) + 63) / 64 * 64);
    for (int i = 0; i < task->count; i++) {
        kernel_fn_attention_f32 *f = (kernel_fn_attention_f32 *)task->entry[i]->function;
        check_begin(task->entry[i]->name, "n %d of which %d in pages of %d, head_dim %d", (int)n, (int)old, (int)page, (int)D);
        float *whole = check_floats((size_t)(n * D)), *rest = check_floats((size_t)((n - old) * D));
        kernel_attention_args args = {.q = q,
                                      .k = k,
                                      .v = v,
                                      .y = whole,
                                      .q_stride = D,
                                      .k_stride = D,
                                      .v_stride = D,
                                      .y_stride = D,
                                      .heads = 1,
                                      .kv_heads = 1,
                                      .head_dim = (int)D,
                                      .scale = 0.5f,
                                      .causal = true,
                                      .window_left = -1,
                                      .window_right = -1};
        CHECK_CALL(f(&args, 0, 0, n, 0, 0, 0, n, scratch));
        args.q = q + old * D;
        args.k = k + old * D;
        args.v = v + old * D;
        args.y = rest;
        args.cache_k = cache_k;
        args.cache_v = cache_v;
        args.pages = pages;
        args.page = page;
        args.page_stride = page * D;
        args.cache_key_stride = D;
        CHECK_CALL(f(&args, 0, 0, n - old, old, 0, 0, n - old, scratch));
        check_same(rest, D, whole + old * D, D, n - old, D, "without a cache");
    }
    check_release();
}

/* Two keys, the second's score below the first's by `below` in units of log2, and values 0 and 1: what comes out is w / (4095 + w), so the
 * weight w can be read from it. Numbers are such that rounding them to s8 loses nothing. */
static void weight_case(const check_task *task, float below) {
    enum { D = 16 };
    float *q = check_floats(2 * D), *k = check_floats(2 * D), *v = check_floats(2 * D);
    for (int d = 0; d < D; d++) {
        q[d] = q[D + d] = 1.0f;
        k[d] = 0.0f;
        k[D + d] = -below;
        v[d] = 0.0f;
        v[D + d] = 1.0f;
    }
    void *scratch = (void *)(((uintptr_t)check_bytes(check_q8_scratch(D) + 63, 0) + 63) / 64 * 64);
    kernel_attention_args args = {.q = q, .k = k, .v = v, .q_stride = D, .k_stride = D, .v_stride = D, .y_stride = D, .heads = 1};
    args.kv_heads = 1;
    args.head_dim = D;
    args.scale = 0.69314718f / D;
    args.window_left = args.window_right = -1;
    for (int i = 1; i < task->count; i++) { /* the reference's weights are rounded from the formula itself */
        check_begin(task->entry[i]->name, "a score lower by %g", (double)below);
        args.y = check_floats(2 * D);
        CHECK_CALL(((kernel_fn_attention_q8 *)task->entry[i]->function)(&args, 0, 0, 2, 0, 0, 0, 2, scratch));
        double y = (double)args.y[0], w = 4095.0 * y / (1.0 - y), want = 4095.0 * exp2(-(double)below);
        if (!(fabs(w - nearbyint(w)) < 0.01)) check_fail("the weight %g is no integer", w);
        /* half a step of 1/2048 in the exponent, a polynomial off by 1.3e-4, the rounding, and the value's own to 1/8191 */
        if (!(fabs(w - want) < 0.5 + 3.1e-4 * want)) check_fail("the weight is %g, not %g", w, want);
    }
    check_release();
}

void check_attention(void) {
    check_task task = check_find("attention_f32");
    for (int i = 0; i < CHECK_CASES(250); i++) {
        check_case("attention", (uint64_t)i);
        one_case(&task, false);
    }
    task = check_find("attention_q8");
    for (int i = 0; i < CHECK_CASES(250); i++) {
        check_case("attention_q8", (uint64_t)i);
        one_case(&task, true);
    }
    for (int i = 0; i <= 1500; i++) {
        check_case("weight", (uint64_t)i);
        weight_case(&task, i < 1400 ? (float)i / 100.0f : (float)(i - 1390) * 1.5f);
    }
    task = check_find("attention_f32");
    for (int i = 0; i < CHECK_CASES(60); i++) {
        check_case("cache", (uint64_t)i);
        cache_case(&task);
    }
}
