/* SPDX-License-Identifier: Apache-2.0
 *
 * Steps of networks that are no transformers, convolutions first: random nodes, and random element-wise operators behind
 * them, give what the operators' evals give, whatever is fused, with sizes that are known and that are not, and the same
 * bits on one thread and on three. What the fast steps do not take is still computed.
 */
#include "../pass/pass_test.h"
#include "cpu/cpu.h"
#include "plan/plan.h"
#include "run/run.h"

static uint32_t seed = 11;
static int draw(int n) {
    seed = seed * 1664525u + 1013904223u;
    return (int)(seed >> 8) % n;
}
static bool chance(int percent) { return draw(100) < percent; }

static nib_runtime *runtimes[2]; /* of one thread and of three */
static int fast, fused;
static int64_t spread_least; /* of the last window: the smallest size that a ConvTranspose by it gives */

/* ---- texts of graphs */

typedef struct text {
    char at[200000];
    size_t n;
} text;

static void say(text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void say(text *t, const char *format, ...) {
    va_list list;
    va_start(list, format);
    t->n += (size_t)vsnprintf(t->at + t->n, sizeof t->at - t->n, format, list);
    va_end(list);
    assert_true(t->n < sizeof t->at);
}

typedef struct shape {
    int rank;
    int64_t d[5];
} shape;

static void say_ints(text *t, const char *name, int n, const int *v) {
    say(t, "%s = [", name);
    for (int i = 0; i < n; i++) say(t, "%s%d", i ? ", " : "", v[i]);
    say(t, "]");
}

static int ones_or(int percent, int most) { return chance(percent) ? 1 : 1 + draw(most); }

/* Attributes of a window over n axes whose input has `in` cells; *out: what it gives. False: it does not fit. */
static bool say_window(text *t, int n, const int64_t *in, int *kernel, bool pool, int64_t *out) {
    int stride[3], dilation[3], pads[6], most = 0;
    spread_least = INT64_MAX;
    for (int i = 0; i < n; i++) {
        kernel[i] = ones_or(20, 4);
        stride[i] = ones_or(60, 3);
        dilation[i] = ones_or(75, 2);
        pads[i] = chance(50) ? 0 : draw(kernel[i]);
        pads[n + i] = chance(50) ? 0 : draw(kernel[i]);
        const int64_t room = in[i] + pads[i] + pads[n + i] - ((kernel[i] - 1) * dilation[i] + 1);
        if (room < 0) return false;
        out[i] = room / stride[i] + 1;
        const int64_t spread = stride[i] * (in[i] - 1) + (kernel[i] - 1) * dilation[i] + 1 - pads[i] - pads[n + i];
        if (spread < spread_least) spread_least = spread;
        most |= pads[i] | pads[n + i];
    }
    say_ints(t, "kernel_shape", n, kernel);
    say(t, ", "), say_ints(t, "strides", n, stride);
    say(t, ", "), say_ints(t, "dilations", n, dilation);
    if (most || !pool) say(t, ", "), say_ints(t, "pads", 2 * n, pads);
    return true;
}

static void say_constant(text *t, const char *name, int rank, const int64_t *d) {
    say(t, ", float[");
    for (int i = 0; i < rank; i++) say(t, "%s%d", i ? "," : "", (int)d[i]);
    say(t, "] %s = {@}", name);
}

/* ---- the body of a graph: x of `s` -> v, whose shape *s becomes; constants and nodes are said to `c` and `b` */

/* -> v, and of Conv r, of that shape, by other weights */
static bool say_conv(text *c, text *b, shape *s, bool transposed) {
    const int n = s->rank - 2, groups = chance(60) ? 1 : chance(50) ? (int)s->d[1] : 1 + draw(2);
    int64_t out[3] = {1, 1, 1}, w[5];
    int kernel[3];
    if (s->d[1] % groups) return false;
    const int per = chance(70) ? 1 + draw(6) : 30 + draw(20), M = groups * per;
    const bool bias = chance(60);
    say(b, " v = Conv%s <group = %d, ", transposed ? "Transpose" : "", groups);
    const size_t from = b->n;
    if (!say_window(b, n, s->d + 2, kernel, false, out) || (transposed && spread_least < 1)) return false;
    const int length = (int)(b->n - from);
    say(b, "> (x, w%s)", bias ? ", bias" : "");
    if (!transposed) say(b, " r = Conv <group = %d, %.*s> (x, w2)", groups, length, b->at + from);
    w[0] = transposed ? s->d[1] : M, w[1] = transposed ? per : s->d[1] / groups;
    for (int i = 0; i < n; i++) w[2 + i] = kernel[i];
    say_constant(c, "w", s->rank, w);
    if (!transposed) say_constant(c, "w2", s->rank, w);
    if (bias) say_constant(c, "bias", 1, (const int64_t[]){M});
    s->d[1] = M;
    for (int i = 0; i < n; i++) s->d[2 + i] = out[i]; /* of ConvTranspose not so: nothing that needs it follows */
    return true;
}

static bool say_pool(text *b, shape *s) {
    static const char *const names[] = {"MaxPool", "AveragePool", "GlobalMaxPool", "GlobalAveragePool"};
    const int which = draw(4), n = s->rank - 2;
    int64_t out[3] = {1, 1, 1};
    int kernel[3];
    say(b, " v = %s", names[which]);
    if (which < 2) {
        say(b, " <");
        if (!say_window(b, n, s->d + 2, kernel, true, out)) return false;
        if (which == 1) say(b, ", count_include_pad = %d", draw(2));
        say(b, ">");
    }
    say(b, " (x)");
    for (int i = 0; i < n; i++) s->d[2 + i] = which < 2 ? out[i] : 1;
    return true;
}

static bool say_reduction(text *c, text *b, shape *s) {
    static const char *const names[] = {"ReduceMean", "ReduceSum", "ReduceMax", "Softmax"};
    const int which = draw(4), first = draw(s->rank), end = first + 1 + draw(s->rank - first);
    if (which == 3) {
        say(b, " v = Softmax <axis = %d> (x)", chance(70) ? -1 : draw(s->rank));
        return true;
    }
    int axes[4];
    for (int i = first; i < end; i++) axes[i - first] = chance(50) ? i : i - s->rank;
    if (which == 1) {
        say(c, ", int64[%d] axes = {", end - first);
        for (int i = 0; i < end - first; i++) say(c, "%s%d", i ? ", " : "", axes[i]);
        say(c, "}");
        say(b, " v = ReduceSum <keepdims = 1> (x, axes)");
    } else {
        say(b, " v = %s <keepdims = 1, ", names[which]);
        say_ints(b, "axes", end - first, axes);
        say(b, "> (x)");
    }
    for (int i = first; i < end; i++) s->d[i] = 1;
    return true;
}

/* MatMul, or Gemm of two axes, with a constant matrix, in a body: of x, which is around it. */
static void say_product(text *c, text *b, shape *s) {
    const int64_t K = s->d[s->rank - 1], N = chance(70) ? 1 + draw(40) : 200 + draw(400);
    const bool gemm = s->rank == 2 && chance(70), trans = gemm && chance(50), bias = gemm && chance(60);
    say_constant(c, "w", 2, trans ? (const int64_t[]){N, K} : (const int64_t[]){K, N});
    if (bias) say_constant(c, "bias", 1, &N);
    say(b, " m = ReduceMax <keepdims = 0> (x) on = Less (m, two) v = If (on) <");
    for (int k = 0; k < 2; k++) {
        say(b, "%s_branch = b%d () => (float[?%s] v%d) { ", k ? ", else" : "then", k,
            s->rank == 2   ? ",?"
            : s->rank == 3 ? ",?,?"
                           : ",?,?,?",
            k);
        if (gemm) say(b, "v%d = Gemm <transB = %d> (x, w%s) }", k, trans, bias ? ", bias" : "");
        else say(b, "v%d = MatMul (x, w) }", k);
    }
    say(b, ">");
    s->d[s->rank - 1] = N;
}

/* Element-wise operators on v, one after the other: with numbers, channels, v itself, values of before, and `beside`
 * (NULL: none), which has v's shape. */
static void say_chain(text *c, text *b, const shape *s, int most, bool channels, const char *beside) {
    static const char *const one[] = {"Relu",
                                      "Sigmoid",
                                      "Tanh",
                                      "Erf",
                                      "Abs",
                                      "Neg",
                                      "HardSigmoid <alpha = 0.3, beta = 0.4>",
                                      "HardSwish",
                                      "LeakyRelu <alpha = 0.1>",
                                      "Elu <alpha = 0.7>",
                                      "Exp",
                                      "Sqrt"};
    static const char *const two[] = {"Add", "Sub", "Mul", "Div", "Min", "Max"};
    char names[16][16] = {"v"};
    int count = 1;
    for (int i = 0; i < most; i++) {
        char *y = names[count];
        snprintf(y, sizeof names[0], "e%d", i);
        const char *a = names[chance(80) ? count - 1 : draw(count)];
        const int kind = draw(6);
        if (kind < 2) {
            const int f = draw((int)BASE_COUNT(one));
            char name[60];
            snprintf(name, sizeof name, "%s", one[f]);
            if (f >= 10) { /* of numbers that do not grow, and are not near 0, where a root makes much of a rounding */
                say(b, " t%d = Tanh (%s) s%d = Add (t%d, two) %s = %s (s%d)", i, a, i, i, y, name, i);
            } else {
                say(b, " %s = %s (%s)", y, name, a);
            }
        } else if (kind == 2) {
            say(b, " %s = Clip (%s, least, %s)", y, a, chance(50) ? "most" : "\"\"");
        } else if (kind == 3 && chance(50)) {
            say(b, " %s = Pow (%s, %s)", y, a, chance(50) ? "two" : "three");
        } else if (kind == 3 && chance(50)) { /* a GELU */
            say(b, " p%d = Div (%s, root) q%d = Erf (p%d) r%d = Add (q%d, unit) s%d = Mul (%s, r%d) %s = Mul (s%d, half)", i, a, i, i, i, i,
                i, a, i, y, i);
        } else {
            const char *k = two[draw((int)BASE_COUNT(two))], *other = names[draw(count)];
            const int what = draw(channels ? 3 : 2);
            if (what == 0 || strcmp(k, "Div") == 0) other = "number";
            if (what == 2 && strcmp(k, "Div") != 0) {
                const int64_t d[5] = {1, s->d[1], 1, 1, 1};
                snprintf(names[15], sizeof names[0], "k%d", i);
                say_constant(c, names[15], s->rank, d);
                other = names[15];
            }
            if (what == 1 && beside && strcmp(k, "Div") != 0 && chance(60)) other = beside;
            const bool turn = chance(50) && strcmp(k, "Div") != 0;
            say(b, " %s = %s (%s, %s)", y, k, turn ? other : a, turn ? a : other);
        }
        if (count < 12) count++;
        else memcpy(names[count - 1], y, sizeof names[0]);
    }
    say(b, " y = Identity (%s)", most ? names[count - 1] : "v");
}

/* ---- running */

static void run_on(const graph *source, int which, bool optimized, const nib_tensor *in, base_arena *keep, graph_tensor *out) {
    nib_error err = {0};
    struct device *cpu;
    plan *p;
    run_session *s;
    graph *g = clone_graph(source);
    pass_context ctx = {
        .g = g, .runtime = runtimes[which], .kernels = &test_kernels, .level = optimized ? 2 : 0, .mode = PASS_MODE_EXACT, .err = &err};
    if (pass_run_all(&ctx) != NIB_OK) fail_msg("%s (%s)", err.message, err.node);
    assert_int_equal(cpu_open(runtimes[which], &cpu, &err), NIB_OK);
    if (plan_build(runtimes[which], g, &cpu, 1, NULL, &p, &err) != NIB_OK) fail_msg("%s (%s)", err.message, err.node);
    for (int i = 0; i < p->n_steps; i++) {
        fast += strcmp(p->steps[i].kernel, "eval") != 0;
        fused += graph_is_op(p->steps[i].node, "nib", "Conv");
    }
    for (int i = 0; i < p->n_bodies; i++)
        for (int k = 0; k < p->bodies[i]->n_steps; k++) fast += strcmp(p->bodies[i]->steps[k].kernel, "eval") != 0;
    assert_int_equal(run_session_create(p, &s, &err), NIB_OK);
    for (int again = 0; again < 2; again++) {
        nib_tensor got;
        if (run_tensors(s, (const nib_tensor *const[]){in}, &err) != NIB_OK) fail_msg("%s (%s)", err.message, err.node);
        assert_int_equal(run_output(s, 0, &got, &err), NIB_OK);
        if (again) assert_memory_equal(out->data, got.data, got.bytes);
        *out = got;
        out->data = base_arena_alloc(keep, got.bytes + 1);
        memcpy(out->data, got.data, got.bytes);
    }
    run_session_free(s);
    plan_free(p);
    cpu->table->close(cpu);
    graph_free(g);
}

static void compare_steps(const graph *g, const nib_tensor *in, const char *full) {
    nib_error err = {0};
    base_arena arena, keep;
    const graph_tensor *want;
    graph_tensor got[2], plain;
    base_arena_init(&arena, &test_runtime->heap);
    base_arena_init(&keep, &test_runtime->heap);
    op_env *env = op_env_create(g, &arena, 1u << 28, &test_kernels);
    op_env_set(env, g->inputs[0], in);
    if (op_env_get(env, g->outputs[0], &want, &err) != NIB_OK) fail_msg("%s\n%s", err.message, full);
    for (int i = 0; i < 2; i++) run_on(g, i, true, in, &keep, &got[i]);
    run_on(g, 1, false, in, &keep, &plain);
    const graph_tensor *all[] = {&got[0], &got[1], &plain};
    double most = 0.05; /* where all cancels, what is left are roundings */
    const int64_t n = graph_tensor_elements(want);
    for (int64_t i = 0; i < n; i++) {
        const double w = fabs((double)((const float *)want->data)[i]);
        if (w > most && w < 1e30) most = w;
    }
    for (size_t k = 0; k < BASE_COUNT(all); k++) {
        assert_int_equal(all[k]->rank, want->rank);
        for (int i = 0; i < want->rank; i++) assert_int_equal(all[k]->dims[i], want->dims[i]);
        for (int64_t i = 0; i < n; i++) {
            const double a = (double)((const float *)want->data)[i], b = (double)((const float *)all[k]->data)[i];
            if (!(fabs(a - b) <= 2e-5 * most) && !(a != a && b != b) && a != b)
                fail_msg("%zu: %g becomes %g at %d, of at most %g\n%s", k, a, b, (int)i, most, full);
        }
    }
    if (memcmp(got[0].data, got[1].data, got[0].bytes) != 0) fail_msg("other bits on three threads\n%s", full);
    base_arena_free(&arena);
    base_arena_free(&keep);
}

enum { CONV, TRANSPOSED, POOL, REDUCTION, CHAIN, PRODUCT, KINDS };

static void one(int kind) {
    static text c, b, all;
    static float x[1 << 16];
    shape s = {.rank = kind >= REDUCTION ? 2 + draw(3) : 3 + draw(kind == TRANSPOSED ? 2 : 3)}, first;
    for (;;) {
        c.n = b.n = all.n = 0;
        s.d[0] = 1 + draw(2), s.d[1] = chance(70) ? 1 + draw(9) : 16 + draw(24);
        for (int i = 2; i < s.rank; i++) s.d[i] = chance(20) ? 1 + draw(3) : 4 + draw(s.rank == 3 ? 60 : s.rank == 4 ? 24 : 5);
        if (s.rank == 4 && chance(10)) s.d[3] = 1; /* a signal that stands upright */
        first = s;
        bool ok = true;
        if (kind == CONV || kind == TRANSPOSED) ok = say_conv(&c, &b, &s, kind == TRANSPOSED);
        else if (kind == POOL) ok = say_pool(&b, &s);
        else if (kind == REDUCTION) ok = say_reduction(&c, &b, &s);
        else if (kind == PRODUCT) say_product(&c, &b, &s);
        else say(&b, " v = Identity (x)");
        if (ok) break;
    }
    say_chain(&c, &b, &s, kind == CHAIN ? 1 + draw(30) % 14 : draw(5), kind != TRANSPOSED && s.rank > 2, kind == CONV ? "r" : NULL);
    say(&all, "%s", HEAD "g (float[");
    for (int i = 0; i < first.rank; i++) { /* known, named, or without a name */
        if (chance(40) || i == 1) say(&all, "%s%d", i ? "," : "", (int)first.d[i]);
        else say(&all, chance(60) ? "%s%c" : "%s?", i ? "," : "", 'p' + i);
    }
    say(&all,
        "] x) => (float[%s] y) <float least = {-0.4}, float most = {0.8}, float two = {2}, float three = {3}, float number = {0.7}, "
        "float root = {1.41421354}, float unit = {1}, float half = {0.5}%s> {%s "
        "}",
        s.rank == 2   ? "?,?"
        : s.rank == 3 ? "?,?,?"
        : s.rank == 4 ? "?,?,?,?"
                      : "?,?,?,?,?",
        c.at, b.at);
    graph *g = parse_graph(all.at);
    nib_tensor in = {.dtype = NIB_DTYPE_F32, .rank = first.rank, .data = x};
    memcpy(in.dims, first.d, sizeof first.d);
    const int64_t n = graph_tensor_elements(&in);
    assert_true(n <= (int64_t)BASE_COUNT(x));
    in.bytes = (size_t)n * sizeof(float);
    for (int64_t i = 0; i < n; i++) x[i] = random_float(&seed);
    compare_steps(g, &in, all.at);
    graph_free(g);
}

#define TEST(name, kind, rounds)                                                                                                           \
    static void name(void **state) {                                                                                                       \
        fast = fused = 0;                                                                                                                  \
        for (int i = 0; i < (rounds); i++) one(kind);                                                                                      \
        assert_true(fast >= (rounds));                                                                                                     \
        if ((kind) == CONV) assert_true(fused > (rounds) / 4);                                                                             \
    }
TEST(convolutions, CONV, 400)
TEST(transposed_ones, TRANSPOSED, 150)
TEST(pools, POOL, 200)
TEST(reductions, REDUCTION, 200)
TEST(chains, CHAIN, 300)
TEST(products, PRODUCT, 200)

/* f32 goes by planes, in steps and evals; f64, which does not, is what it must give. */
static void resizes(void **state) {
    static const char *const modes[] = {"nearest", "linear", "cubic"};
    static const char *const maps[] = {"half_pixel",         "align_corners",        "asymmetric",
                                       "pytorch_half_pixel", "half_pixel_symmetric", "tf_crop_and_resize"};
    static const char *const rounds[] = {"floor", "ceil", "round_prefer_floor", "round_prefer_ceil"};
    static float x[1 << 14];
    fast = 0;
    for (int i = 0; i < 200; i++) {
        static text all;
        base_arena keep;
        graph_tensor got[2];
        const int rank = 2 + draw(3), mode = draw(3);
        all.n = 0;
        const char *map = maps[draw((int)BASE_COUNT(maps))];
        nib_tensor in = {.dtype = NIB_DTYPE_F32, .rank = rank, .data = x};
        say(&all, "%s", HEAD "g (float[");
        for (int a = 0; a < rank; a++) {
            in.dims[a] = 1 + draw(a < rank - 2 ? 3 : 24);
            if (chance(50)) say(&all, "%s%d", a ? "," : "", (int)in.dims[a]);
            else say(&all, "%s%c", a ? "," : "", 'p' + a);
        }
        say(&all, "] x) => (float[%s] y) <float[%d] roi = {", rank == 2 ? "?,?" : rank == 3 ? "?,?,?" : "?,?,?,?", 2 * rank);
        for (int a = 0; a < 2 * rank; a++) say(&all, "%s%.2f", a ? ", " : "", a < rank ? 0.1 * draw(4) : 1.2 - 0.1 * draw(4));
        say(&all, "}, float[%d] scales = {", rank);
        for (int a = 0; a < rank; a++) say(&all, "%s%.2f", a ? ", " : "", a < rank - 2 && chance(80) ? 1 : 0.5 + 0.25 * draw(11));
        say(&all, "}> { d = Cast <to = 11> (x)");
        for (int k = 0; k < 2; k++)
            say(&all,
                " %s = Resize <mode = \"%s\", coordinate_transformation_mode = \"%s\", nearest_mode = \"%s\", antialias = %d, "
                "exclude_outside = %d> (%s, roi, scales)",
                k ? "b" : "a", modes[mode], map, rounds[i % 4], mode > 0 && i % 5 == 0, mode == 2 && i % 3 == 0, k ? "d" : "x");
        say(&all, " c = Cast <to = 1> (b) y = Sub (a, c) }");
        graph *g = parse_graph(all.at);
        in.bytes = (size_t)graph_tensor_elements(&in) * sizeof *x;
        for (int64_t k = 0; k < graph_tensor_elements(&in); k++) x[k] = random_float(&seed);
        base_arena_init(&keep, &test_runtime->heap);
        for (int t = 0; t < 2; t++) {
            run_on(g, t, true, &in, &keep, &got[t]);
            for (int64_t k = 0; k < graph_tensor_elements(&got[t]); k++)
                if (!(fabsf(((const float *)got[t].data)[k]) < 1e-6f))
                    fail_msg("%g at %d\n%s", (double)((const float *)got[t].data)[k], (int)k, all.at);
        }
        base_arena_free(&keep);
        graph_free(g);
    }
    assert_true(fast >= 400);
}

/* Windows and strides beyond all sizes, and inputs without elements: what the evals give, in no memory to speak of. */
static void sizes_at_the_edge(void **state) {
    static const struct {
        const char *text;
        int64_t d[4];
    } rows[] = {
        {"(x, w) <float[4,1,3,3] w = {@}> v = Conv <group = 4, strides = [1000000000, 1000000000]>", {1, 4, 8, 8}},
        {"(x, w) <float[4,4,3,3] w = {@}> v = Conv <strides = [1000000000, 1000000000]>", {1, 4, 8, 8}},
        {"(x, w) <float[4,1,3,3] w = {@}> v = Conv <group = 4, pads = [1, 1, 1, 1]>", {0, 4, 8, 8}},
        {"(x, w) <float[4,2,3,3] w = {@}> v = ConvTranspose", {0, 4, 8, 8}},
        {"(x) <float[1] w = {0}> v = MaxPool <kernel_shape = [3, 3], strides = [1000000000, 1]>", {1, 4, 8, 8}},
        {"(x) <float[1] w = {0}> v = AveragePool <kernel_shape = [3, 3], pads = [2, 2, 2, 2]>", {1, 4, 8, 8}},
        {"(x) <float[1] w = {0}> v = ReduceMax <axes = [2, 3]>", {0, 4, 8, 8}},
        {"(x) <float[1] w = {0}> v = GlobalAveragePool", {2, 4, 1, 1}},
    };
    static float x[256];
    for (size_t i = 0; i < BASE_COUNT(rows); i++) {
        char whole[500];
        const char *constants = strchr(rows[i].text, '<'), *node = strstr(rows[i].text, "v =");
        snprintf(whole, sizeof whole, HEAD "g (float[n,4,h,k] x) => (float[?,?,?,?] y) %.*s { %s %.*s y = Relu (v) }",
                 (int)(node - constants), constants, node, (int)(constants - rows[i].text), rows[i].text);
        graph *g = parse_graph(whole);
        nib_tensor in = {.dtype = NIB_DTYPE_F32, .rank = 4, .data = x};
        memcpy(in.dims, rows[i].d, sizeof rows[i].d);
        in.bytes = (size_t)graph_tensor_elements(&in) * sizeof(float);
        for (size_t k = 0; k < BASE_COUNT(x); k++) x[k] = random_float(&seed);
        compare_steps(g, &in, whole);
        graph_free(g);
    }
}

/* A million channels of one pixel, 100,000 steps of an LSTM: the evals' numbers, in a heap of 192 MiB for all of it: a
 * value of rows of one number takes 64 bytes for each. */
static void counts_beyond_use(void **state) {
    static const struct {
        const char *text;
        int64_t d[4];
    } rows[] = {
        {"float[1,c,1,1] x) => (float[?,?,?,?] y) <int64[4] s = {1000000, 1, 1, 1}> { w = ConstantOfShape (s) "
         "v = Conv <group = 1000000> (x, w) y = Relu (v)",
         {1, 1000000, 1, 1}},
        {"float[n,1000000,1,1] x) => (float[?,?,?,?] y) <int64[4] s = {2, 1000000, 1, 1}> { w = ConstantOfShape (s) v = Conv (x, w) "
         "y = Relu (v)",
         {1, 1000000, 1, 1}},
        {"float[1,c,h,k] x) => (float[?,?,?,?] y) { v = MaxPool <kernel_shape = [3, 3], pads = [1, 1, 1, 1]> (x) y = Tanh (v)",
         {1, 1000000, 1, 1}},
        {"float[1,c,h,k] x) => (float[?,?,?,?] y) { v = GlobalAveragePool (x) y = Neg (v)", {1, 1000000, 1, 1}},
        {"float[1,c,h,k] x) => (float[?,?,?,?] y) { y = ReduceMax <axes = [1]> (x)", {1, 1000000, 1, 1}},
        {"float[t,1,1,1] x) => (float[?,?,?,?] y) <int64[3] s = {-1, 1, 1}, float[1,8,1] w = {@}, float[1,8,2] r = {@}> { "
         "a = Reshape (x, s) y = LSTM <hidden_size = 2> (a, w, r)",
         {100000, 1, 1, 1}},
    };
    static float x[1000000];
    nib_runtime *const own[2] = {runtimes[0], runtimes[1]};
    for (size_t k = 0; k < BASE_COUNT(x); k++) x[k] = random_float(&seed);
    for (int i = 0; i < 2; i++) {
        nib_runtime_options options = {.size = sizeof options, .threads = i ? 3 : 1, .memory_limit = (size_t)192 << 20};
        assert_int_equal(base_runtime_create(&options, &runtimes[i], NULL), NIB_OK);
    }
    for (size_t i = 0; i < BASE_COUNT(rows); i++) {
        char whole[600];
        snprintf(whole, sizeof whole, HEAD "g (%s }", rows[i].text);
        graph *g = parse_graph(whole);
        nib_tensor in = {.dtype = NIB_DTYPE_F32, .rank = 4, .data = x};
        memcpy(in.dims, rows[i].d, sizeof rows[i].d);
        in.bytes = (size_t)graph_tensor_elements(&in) * sizeof(float);
        compare_steps(g, &in, whole);
        graph_free(g);
    }
    for (int i = 0; i < 2; i++) {
        base_runtime_release(runtimes[i]);
        runtimes[i] = own[i];
    }
}

static int setup(void **state) {
    nib_error err;
    for (int i = 0; i < 2; i++) {
        nib_runtime_options options = {.size = sizeof options, .threads = i ? 3 : 1};
        if (base_runtime_create(&options, &runtimes[i], &err) != NIB_OK) return -1;
    }
    return pass_setup(state);
}

static int teardown(void **state) {
    for (int i = 0; i < 2; i++) base_runtime_release(runtimes[i]);
    return pass_teardown(state);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(convolutions),
                                       cmocka_unit_test(transposed_ones),
                                       cmocka_unit_test(pools),
                                       cmocka_unit_test(reductions),
                                       cmocka_unit_test(chains),
                                       cmocka_unit_test(products),
                                       cmocka_unit_test(resizes),
                                       cmocka_unit_test(sizes_at_the_edge),
                                       cmocka_unit_test(counts_beyond_use)};
    return cmocka_run_group_tests_name("plan_steps", tests, setup, teardown);
}
