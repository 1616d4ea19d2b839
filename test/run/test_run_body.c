/* SPDX-License-Identifier: Apache-2.0
 *
 * If, Loop and Scan through passes, plan and session: bodies that read the graphs around them, states that change places,
 * sizes that change from turn to turn, sequences that grow; and op_env's limits, which a hostile graph must meet.
 */
#include "../pass/pass_test.h"
#include "cpu/cpu.h"
#include "run/run.h"

#define TEXT "<ir_version: 8, opset_import: [\"\" : 18]> "

static graph *source;

/* Runs the graph, optimized, on inputs of the shapes that `given` has; twice, so that kept buffers are met again. */
static run_session *run_text(const char *text, const nib_tensor *const *given, graph **g, plan **p, struct device **cpu, nib_tensor *out) {
    nib_error err = {0};
    run_session *s;
    source = parse_graph(text); /* has the constants' bytes */
    assert_int_equal(graph_verify(source, &err), NIB_OK);
    assert_int_equal(graph_clone(source, g, &err), NIB_OK);
    assert_int_equal(cpu_open(test_runtime, cpu, &err), NIB_OK);
    pass_context ctx = {.g = *g, .runtime = test_runtime, .kernels = &test_kernels, .level = 2, .err = &err};
    assert_int_equal(pass_run_all(&ctx), NIB_OK);
    assert_int_equal(graph_verify(*g, &err), NIB_OK);
    if (plan_build(test_runtime, *g, cpu, 1, NULL, p, &err) != NIB_OK) fail_msg("%s", err.message);
    assert_int_equal(run_session_create(*p, &s, &err), NIB_OK);
    for (int i = 0; i < 2; i++)
        if (run_tensors(s, given, &err) != NIB_OK) fail_msg("%s (%s)", err.message, err.node);
    assert_int_equal(run_output(s, 0, out, &err), NIB_OK);
    return s;
}

static void end(run_session *s, graph *g, plan *p, struct device *cpu) {
    run_session_free(s);
    plan_free(p);
    graph_free(g);
    graph_free(source);
    cpu->table->close(cpu);
}

static nib_tensor floats(float *data, int64_t n) {
    return (nib_tensor){.dtype = NIB_DTYPE_F32, .rank = 1, .dims = {n}, .data = data, .bytes = (size_t)n * 4};
}
static nib_tensor number(int64_t *v) { return (nib_tensor){.dtype = NIB_DTYPE_I64, .data = v, .bytes = 8}; }
static nib_tensor truth(uint8_t *v) { return (nib_tensor){.dtype = NIB_DTYPE_BOOL, .data = v, .bytes = 1}; }

/* `h` is used in a branch only, `unused` nowhere; the inner If reads values of two graphs around it. */
static void branches_read_what_is_around_them(void **state) {
    (void)state;
    static const char text[] = TEXT
        "g (bool c, float[n] x) => (float[n] y) {"
        " h = Mul (x, x) unused = Neg (x)"
        " y = If <then_branch = a () => (float[n] r) {"
        "     k = Add (h, x)"
        "     r = If <then_branch = b () => (float[n] q) { q = Sub (k, h) }, else_branch = d () => (float[n] q2) { q2 = Mul (h, k) }> (c)"
        "   }, else_branch = e () => (float[n] s) { s = Identity (h) }> (c) }";
    for (uint8_t c = 0; c < 2; c++) {
        float x[3] = {1, -2, 3};
        nib_tensor in[2] = {truth(&c), floats(x, 3)}, out;
        graph *g;
        plan *p;
        struct device *cpu;
        run_session *s = run_text(text, (const nib_tensor *const[]){&in[0], &in[1]}, &g, &p, &cpu, &out);
        assert_int_equal(g->node_count, 2); /* Mul is kept, Neg is not */
        for (int i = 0; i < 3; i++) assert_true(((float *)out.data)[i] == (c ? x[i] : x[i] * x[i]));
        end(s, g, p, cpu);
    }
}

/* Fibonacci by two states that change places, the turns on a pile, a captured step. */
static void states_change_places(void **state) {
    (void)state;
    static const char text[] =
        TEXT "g (int64 n, float[1] step) => (float[t, 1] pile) {"
             " yes = Constant <value = bool {1}> () zero = Constant <value = float[1] {0.0}> ()"
             " a, b, pile = Loop <body = l (int64 i, bool on, float[1] u, float[1] v) => (bool on2, float[1] v2, float[1] w, float[1] w2) {"
             "     on2 = Identity (on) v2 = Identity (v) w = Add (u, v) w2 = Identity (w) }> (n, yes, zero, step) }";
    int64_t n = 10;
    float step[1] = {2}, want[10] = {2, 4, 6, 10, 16, 26, 42, 68, 110, 178};
    nib_tensor in[2] = {number(&n), floats(step, 1)}, out;
    graph *g;
    plan *p;
    struct device *cpu;
    run_session *s = run_text(text, (const nib_tensor *const[]){&in[0], &in[1]}, &g, &p, &cpu, &out);
    assert_int_equal(out.rank, 2);
    assert_int_equal(out.dims[0], 10);
    for (int i = 0; i < 10; i++) assert_true(((float *)out.data)[i] == want[i]);
    end(s, g, p, cpu);
}

/* A state that grows, and the condition that ends the loop. */
static void sizes_change(void **state) {
    (void)state;
    static const char text[] = TEXT "g (float[2] x) => (float[m] y) {"
                                    " yes = Constant <value = bool {1}> () limit = Constant <value = int64 {9}> ()"
                                    " y = Loop <body = l (int64 i, bool on, float[k] u) => (bool more, float[j] v) {"
                                    "     v = Concat <axis = 0> (u, x) size = Size (v) more = Less (size, limit) }> (, yes, x) }";
    float x[2] = {1, 2};
    nib_tensor in = floats(x, 2), out;
    graph *g;
    plan *p;
    struct device *cpu;
    run_session *s = run_text(text, (const nib_tensor *const[]){&in}, &g, &p, &cpu, &out);
    assert_int_equal(out.dims[0], 10);
    for (int i = 0; i < 10; i++) assert_true(((float *)out.data)[i] == x[i % 2]);
    end(s, g, p, cpu);
}

/* A sequence as a state: its elements outlive the runs of the body that made them. */
/* A product with a constant matrix in a body: on the kernel, for another number of rows in every turn. */
static void products_in_bodies(void **state) {
    static const char text[] =
        TEXT "g (float[2,3] x) => (float[m,3] y) <float[3,3] w = {1, 2, 0, 0, 1, 0, 0, 0, 0.5}, float[3] b = {1, 0, 0}, "
             "int64 turns = {70}, bool on = {1}> {"
             " y = Loop (turns, on, x) <body = l (int64 i, bool c, float[n,3] v) => (bool d, float[k,3] z) {"
             " d = Identity (c) a = Gemm (v, w, b) s = Tanh (a) z = Concat <axis = 0> (s, x) }> }";
    float x[6] = {0.1f, 0.2f, -0.3f, 1, 2, 3}, want[(2 + 140) * 3];
    const nib_tensor given = {.dtype = NIB_DTYPE_F32, .rank = 2, .dims = {2, 3}, .data = x, .bytes = sizeof x};
    nib_tensor y;
    graph *g;
    plan *p;
    struct device *cpu;
    run_session *s = run_text(text, (const nib_tensor *const[]){&given}, &g, &p, &cpu, &y);
    int64_t rows = 2;
    memcpy(want, x, sizeof x);
    for (int turn = 0; turn < 70; turn++) {
        for (int64_t r = 0; r < rows; r++) {
            float *v = want + 3 * r;
            const float a = v[0] + 1, b = 2 * v[0] + v[1], c = v[2] / 2;
            v[0] = tanhf(a), v[1] = tanhf(b), v[2] = tanhf(c);
        }
        memcpy(want + 3 * rows, x, sizeof x);
        rows += 2;
    }
    assert_int_equal(y.dims[0], rows);
    for (int64_t i = 0; i < 3 * rows; i++) assert_true(fabsf(((const float *)y.data)[i] - want[i]) < 1e-5f);
    int kernels_used = 0;
    for (int i = 0; i < p->n_bodies; i++)
        for (int k = 0; k < p->bodies[i]->n_steps; k++)
            kernels_used += graph_is_op(p->bodies[i]->steps[k].node, "", "Gemm") && strcmp(p->bodies[i]->steps[k].kernel, "eval") != 0;
    assert_int_equal(kernels_used, 1);
    end(s, g, p, cpu);
}

static void sequences_grow(void **state) {
    (void)state;
    static const char text[] =
        TEXT "g (int64 n, float[2] x) => (float[m] y) {"
             " yes = Constant <value = bool {1}> () none = SequenceEmpty <dtype = 1> ()"
             " all = Loop <body = l (int64 i, bool on, seq(float[2]) s) => (bool on2, seq(float[2]) t) {"
             "     on2 = Identity (on) f = Cast <to = 1> (i) e = Mul (x, f) t = SequenceInsert (s, e) }> (n, yes, none)"
             " y = ConcatFromSequence <axis = 0> (all) }";
    int64_t n = 50;
    float x[2] = {1, 10};
    nib_tensor in[2] = {number(&n), floats(x, 2)}, out;
    graph *g;
    plan *p;
    struct device *cpu;
    run_session *s = run_text(text, (const nib_tensor *const[]){&in[0], &in[1]}, &g, &p, &cpu, &out);
    assert_int_equal(out.dims[0], 100);
    for (int i = 0; i < 100; i++) assert_true(((float *)out.data)[i] == x[i % 2] * (float)(i / 2));
    end(s, g, p, cpu);
}

/* A sequence of constants is computed when the graph runs: a constant cannot hold what it points to. */
static void sequences_of_constants(void **state) {
    (void)state;
    static const char text[] = TEXT "g (int64 at) => (float[m] y) {"
                                    " a = Constant <value = float[2] {1.0, 2.0}> () b = Constant <value = float[3] {3.0, 4.0, 5.0}> ()"
                                    " s = SequenceConstruct (a, b) y = SequenceAt (s, at) }";
    int64_t at = -1;
    nib_tensor in = number(&at), out;
    graph *g;
    plan *p;
    struct device *cpu;
    run_session *s = run_text(text, (const nib_tensor *const[]){&in}, &g, &p, &cpu, &out);
    assert_int_equal(out.dims[0], 3);
    assert_true(((float *)out.data)[2] == 5);
    end(s, g, p, cpu);
}

/* A size that only data gives, although the file has a name for it. */
static void named_sizes_may_depend_on_data(void **state) {
    (void)state;
    static const char text[] =
        TEXT "g (float[2, 3] x) => (float[nz, 2] y) <float[nz, 2] c, float[nz, 2] d> {"
             " i = NonZero (x) t = Transpose <perm = [1, 0]> (i) c = Cast <to = 1> (t) d = Mul (c, c) e = Abs (d) y = Neg (e) }";
    float x[6] = {1, 0, 0, 0, 1, 1};
    nib_tensor in = {.dtype = NIB_DTYPE_F32, .rank = 2, .dims = {2, 3}, .data = x, .bytes = sizeof x}, out;
    const float want[6] = {-0.0f, -0.0f, -1, -1, -1, -4};
    graph *g;
    plan *p;
    struct device *cpu;
    run_session *s = run_text(text, (const nib_tensor *const[]){&in}, &g, &p, &cpu, &out);
    assert_int_equal(out.dims[0], 3);
    for (int i = 0; i < 6; i++) assert_true(((float *)out.data)[i] == want[i]);
    end(s, g, p, cpu);
}

/* At build time a loop that would never end meets a limit, alone, in another loop, and by what it piles up. */
static void endless_loops_meet_a_limit(void **state) {
    (void)state;
#define ENDLESS(inner)                                                                                                                     \
    TEXT "g (float[4] x) => (float[t, 4] y) {"                                                                                             \
         " most = Constant <value = int64 {4611686018427387904}> () yes = Constant <value = bool {1}> ()"                                  \
         " z, y = Loop <body = l (int64 i, bool on, float[4] u) => (bool on2, float[4] v, float[4] w) {" inner                             \
         "     on2 = Identity (on) w = Identity (v) }> (most, yes, x) }"
    static const char *const texts[] = {
        ENDLESS("v = Add (u, x)"),
        ENDLESS("v = Loop <body = m (int64 j, bool go, float[4] p) => (bool go2, float[4] q) { go2 = Identity (go) q = Add (p, x) }> "
                "(most, yes, u)"),
    };
    for (int i = 0; i < 2; i++) {
        float x[4] = {0};
        nib_tensor in = floats(x, 4);
        nib_error err = {0};
        base_arena arena;
        const graph_tensor *out;
        graph *g = parse_graph(texts[i]);
        base_arena_init(&arena, &test_runtime->heap);
        op_env *env = op_env_create(g, &arena, 1 << 24, &test_kernels);
        assert_int_equal(op_env_set(env, g->inputs[0], &in), NIB_OK);
        assert_int_equal(op_env_get(env, g->outputs[0], &out, &err), NIB_LIMIT);
        base_arena_free(&arena);
        graph_free(g);
    }
}

/* ---- memory */

static size_t allocations_left;

static void *failing_allocate(void *user, size_t bytes) {
    (void)user;
    if (allocations_left == 0) return NULL;
    allocations_left--;
    return aligned_alloc(64, (bytes + 63) / 64 * 64 + 64);
}
static void failing_release(void *user, void *pointer, size_t bytes) {
    (void)user, (void)bytes;
    free(pointer);
}

/* Everything from the plan to the outputs, on a graph that is there already. */
static nib_status plan_and_run(nib_runtime *r, const graph *g, const nib_tensor *const *given, nib_error *err) {
    struct device *cpu = NULL;
    plan *p = NULL;
    run_session *s = NULL;
    nib_status status = cpu_open(r, &cpu, err);
    if (status == NIB_OK) status = plan_build(r, g, &cpu, 1, NULL, &p, err);
    if (status == NIB_OK) status = run_session_create(p, &s, err);
    if (status == NIB_OK) status = run_tensors(s, given, err);
    run_session_free(s);
    plan_free(p);
    if (cpu) cpu->table->close(cpu);
    return status;
}

static void every_allocation_fails_once(void **state) {
    (void)state;
    static const char text[] =
        TEXT "g (int64 n, float[2] x) => (float[m] y) {"
             " yes = Constant <value = bool {1}> () none = SequenceEmpty <dtype = 1> ()"
             " all = Loop <body = l (int64 i, bool on, seq(float[2]) s) => (bool on2, seq(float[2]) t) {"
             "     on2 = Identity (on) f = Cast <to = 1> (i) e = Mul (x, f)"
             "     h = If <then_branch = b () => (float[2] q) { q = Neg (e) }, else_branch = d () => (float[2] q2) { q2 = Abs (e) }> (on)"
             "     t = SequenceInsert (s, h) }> (n, yes, none)"
             " y = ConcatFromSequence <axis = 0> (all) }";
    nib_runtime_options options = {.size = sizeof options, .threads = 1, .allocate = failing_allocate, .release = failing_release};
    nib_runtime *r;
    nib_error err;
    int64_t n = 3;
    float x[2] = {1, 10};
    nib_tensor in[2] = {number(&n), floats(x, 2)};
    allocations_left = 1000;
    assert_int_equal(base_runtime_create(&options, &r, &err), NIB_OK);
    graph *g = parse_graph(text);
    nib_status status = NIB_OUT_OF_MEMORY;
    for (size_t k = 0; status == NIB_OUT_OF_MEMORY && k < 10000; k++) {
        size_t before = r->heap.current;
        allocations_left = k;
        status = plan_and_run(r, g, (const nib_tensor *const[]){&in[0], &in[1]}, &err);
        assert_int_equal(r->heap.current, before);
    }
    if (status != NIB_OK) fail_msg("%d %s", status, err.message);
    allocations_left = 1000;
    graph_free(g);
    base_runtime_release(r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(branches_read_what_is_around_them),
        cmocka_unit_test(states_change_places),
        cmocka_unit_test(sizes_change),
        cmocka_unit_test(products_in_bodies),
        cmocka_unit_test(sequences_grow),
        cmocka_unit_test(endless_loops_meet_a_limit),
        cmocka_unit_test(named_sizes_may_depend_on_data),
        cmocka_unit_test(sequences_of_constants),
        cmocka_unit_test(every_allocation_fails_once),
    };
    return cmocka_run_group_tests(tests, pass_setup, pass_teardown);
}
