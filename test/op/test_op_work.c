/* SPDX-License-Identifier: Apache-2.0
 *
 * Work that no size bounds: a few nodes of a few bytes that compute for minutes or for ever. Opening leaves them undone when the work that
 * folding may do is spent; running them ends soon after it is cancelled, in the middle of a node.
 */
#include "../pass/pass_test.h"
#include "../../src/op/op_local.h"
#include "cpu/cpu.h"
#include "run/run.h"
#include <signal.h>
#include <sys/time.h>
#include <time.h>

#define SECONDS 20 /* of one opening or one cancelled run, under sanitizers too */

#define TEXT(opset, head, nodes) "<ir_version: 8, opset_import: [\"\" : " #opset "]> g (bool c) => (y) " head " { " nodes " }"
#define FILLED(name, dims)                                                                                                                 \
    "s_" name " = Constant <value = int64" dims "> () " name " = ConstantOfShape <value = double[1] {0.5}> (s_" name ") "

static const struct {
    const char *name, *text;
} rows[] = {
    {"one element of a product of four matrices",
     TEXT(17, "", FILLED("m", "[2] {64, 64}") "y = Einsum <equation = \"ab,cd,ef,gh->\"> (m, m, m, m)")},
    {"a product of doubles", TEXT(17, "", FILLED("m", "[2] {2800, 2800}") "y = MatMul (m, m)")},
    {"Gemm of doubles", TEXT(17, "", FILLED("m", "[2] {2800, 2800}") "y = Gemm <transB = 1> (m, m, m)")},
    {"Conv", TEXT(17, "", FILLED("x", "[4] {1, 64, 128, 128}") FILLED("w", "[4] {64, 64, 31, 31}") "y = Conv (x, w)")},
    {"ConvTranspose", TEXT(17, "", FILLED("x", "[4] {1, 64, 128, 128}") FILLED("w", "[4] {64, 64, 31, 31}") "y = ConvTranspose (x, w)")},
    {"MaxPool", TEXT(17, "", FILLED("x", "[4] {1, 8, 600, 600}") "y = MaxPool <kernel_shape = [300, 300]> (x)")},
    {"RoiAlign",
     TEXT(17, "<int64[1] b = {0}, double[1,4] r = {0, 0, 9, 9}>",
          FILLED("x", "[4] {1, 1, 9, 9}") "y = RoiAlign <sampling_ratio = 65536, output_height = 9, output_width = 9> (x, r, b)")},
    {"GRU", TEXT(17, "",
                 FILLED("x", "[3] {20000, 1, 1}") FILLED("w", "[3] {1, 1536, 1}")
                     FILLED("r", "[3] {1, 1536, 512}") "y = GRU <hidden_size = 512> (x, w, r)")},
    {"NonMaxSuppression",
     TEXT(17, "<int64 n = {200000}>",
          FILLED("b", "[3] {1, 200000, 4}")
              FILLED("s", "[3] {1, 1, 200000}") "f = Cast <to = 1> (b) t = Cast <to = 1> (s) y = NonMaxSuppression (f, t, n)")},
    {"Det", TEXT(17, "<int64 n = {0}>", FILLED("m", "[2] {3000, 3000}") "e = EyeLike (m) z = Add (e, m) y = Det (z)")},
    {"Attention", TEXT(23, "", FILLED("q", "[4] {1, 1, 8000, 64}") "y = Attention (q, q, q)")},
    {"LRN", TEXT(17, "", FILLED("x", "[2] {1, 300000}") "y = LRN <size = 300000> (x)")},
    {"an endless loop", TEXT(17, "<int64 n = {9223372036854775807}, float[1] a = {1}>",
                             "y = Loop <body = b (t, k, x) => (k2, z) { k2 = Identity (k) z = Neg (x) }> (n, c, a)")},
    {"loops of loops", TEXT(17, "<int64 n = {60000}, float[1] a = {1}>",
                            "y = Loop <body = b (t, k, x) => (k2, z) { k2 = Identity (k) z = Loop <body = d (u, l, v) => (l2, w) "
                            "{ l2 = Identity (l) w = Neg (v) }> (n, k, x) }> (n, c, a)")},
    {"a pattern with 10,000 states on 100,000 letters",
     TEXT(20,
          "<string[1] s = {\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}, "
          "int64 n = {10}>",
          "l = Loop <body = b (t, k, x) => (k2, z) { k2 = Identity (k) z = StringConcat (x, x) }> (n, c, s) "
          "y = RegexFullMatch <pattern = \"(a?){900}{10}\"> (l)")},
};

/* What these need, a run is cancelled in a moment; what compiles for ever never comes to be run. */
static const struct {
    const char *pattern;
    nib_status status;
} patterns[] = {
    {"(){1000}{1000}{1000}{1000}", NIB_OK},
    {"(|){1000}{1000}", NIB_LIMIT},
    {"(a{0}){1000}{1000}{1000}", NIB_OK},
    {"((){1000}a){1000}{1000}", NIB_LIMIT},
    {"(^){1000}{1000}{1000}", NIB_LIMIT},
    {"(()()()()()()()()a){1000}{10}", NIB_OK},
    {"((()*)*)*", NIB_OK},
    {"((){0,1000}){1000}", NIB_LIMIT},
};

static run_session *running;
static void time_is_up(int number) {
    if (running) run_cancel(running);
}

static void clock_for(run_session *s) {
    running = s;
    signal(SIGALRM, time_is_up);
    setitimer(ITIMER_REAL, &(struct itimerval){.it_value = {.tv_usec = s ? 300000 : 0}, .it_interval = {.tv_usec = s ? 300000 : 0}}, NULL);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Opens at a level, with so much work for folding, runs if asked to, and says how long each took. */
static nib_status go(const char *text, int level, int64_t work, bool run, double took[2], nib_error *err) {
    nib_status status = NIB_OK;
    uint8_t yes = 1;
    nib_tensor c = {.dtype = NIB_DTYPE_BOOL, .data = &yes, .bytes = 1};
    graph *source = NULL, *g = NULL;
    plan *p = NULL;
    run_session *s = NULL;
    struct device *cpu = NULL;
    double begin = now();
    memset(err, 0, sizeof *err);
    NIB_TRY(graph_parse(&test_runtime->heap, text, strlen(text), &source, err));
    op_resolve(source);
    NIB_TRY(op_infer_graph(source, err));
    NIB_TRY(graph_clone(source, &g, err));
    NIB_TRY(cpu_open(test_runtime, &cpu, err));
    pass_context ctx = {.g = g, .runtime = test_runtime, .kernels = &test_kernels, .level = level, .work_limit = work, .err = err};
    NIB_TRY(pass_run_all(&ctx));
    NIB_TRY(plan_build(test_runtime, g, &cpu, 1, NULL, &p, err));
    NIB_TRY(run_session_create(p, &s, err));
    took[0] = now() - begin;
    clock_for(s);
    begin = now();
    if (run) status = run_tensors(s, (const nib_tensor *const[]){&c}, err);
    clock_for(NULL);
    took[1] = now() - begin;
fail:
    run_session_free(s);
    plan_free(p);
    graph_free(g);
    graph_free(source);
    if (cpu) cpu->table->close(cpu);
    return status;
}

static void opening_and_cancelling_take_no_time(void **state) {
    (void)state;
    for (size_t i = 0; i < BASE_COUNT(rows); i++)
        for (int level = 0; level <= 2; level += 2) {
            double took[2] = {0, 0};
            nib_error err;
            nib_status status = go(rows[i].text, level, (int64_t)1 << 25, true, took, &err);
            if (status != NIB_CANCELLED || took[0] > SECONDS || took[1] > SECONDS)
                fail_msg("%s, level %d: %d, %s (%s), %.1f s to open, %.1f s to run", rows[i].name, level, (int)status, err.message,
                         err.node, took[0], took[1]);
        }
}

/* One budget for a whole model: of nodes that each stay below it, those beyond it are left. */
static void folding_shares_its_work(void **state) {
    char text[40000] = "<ir_version: 8, opset_import: [\"\" : 17]> g (bool c) => (y) { " FILLED("m", "[2] {64, 64}");
    double took[2];
    nib_error err;
    (void)state;
    for (int i = 0; i < 200; i++)
        sprintf(text + strlen(text), "e%d = Einsum <equation = \"ab,bc,cd,de,ef->%s\"> (m, m, m, m, m) ", i, i % 2 ? "a" : "f");
    strcat(text, "y = Concat <axis = 0> (e0");
    for (int i = 1; i < 200; i++) sprintf(text + strlen(text), ", e%d", i);
    strcat(text, ") }");
    /* 64^6 products each; one is more than the budget, and so that all together are not 200 budgets */
    if (go(text, 2, (int64_t)1 << 28, false, took, &err) != NIB_OK) fail_msg("%s", err.message);
    assert_true(took[0] < SECONDS);
}

static void patterns_are_compiled_in_time(void **state) {
    (void)state;
    for (size_t i = 0; i < BASE_COUNT(patterns); i++) {
        char text[400];
        double took[2];
        nib_error err;
        snprintf(text, sizeof text, TEXT(20, "<string[1] s = {\"a\"}>", "y = RegexFullMatch <pattern = \"%s\"> (s)"), patterns[i].pattern);
        nib_status status = go(text, 0, 0, true, took, &err);
        if (status != patterns[i].status || took[0] + took[1] > SECONDS)
            fail_msg("%s: %d, %s, %.1f s", patterns[i].pattern, (int)status, err.message, took[0] + took[1]);
    }
    char deep[21000] = "", text[22000]; /* repetitions in each other */
    for (int i = 0; i < 6000; i++) strcat(deep, "{1}");
    double took[2];
    nib_error err;
    snprintf(text, sizeof text, TEXT(20, "<string[1] s = {\"a\"}>", "y = RegexFullMatch <pattern = \"a%s\"> (s)"), deep);
    assert_int_equal(go(text, 0, 0, true, took, &err), NIB_LIMIT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opening_and_cancelling_take_no_time),
        cmocka_unit_test(folding_shares_its_work),
        cmocka_unit_test(patterns_are_compiled_in_time),
    };
    return cmocka_run_group_tests(tests, pass_setup, pass_teardown);
}
