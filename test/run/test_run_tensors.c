/* SPDX-License-Identifier: Apache-2.0
 *
 * Runs on named tensors: which of them call other threads.
 */
#include "../pass/pass_test.h"
#include "cpu/cpu.h"
#include "run/run_internal.h"

#define COLUMNS 32

/* One step in parts on [n, 32], of a runtime with two threads. */
static void a_run_calls_threads_where_there_is_work(void **state) {
    (void)state;
    static const char text[] = "<ir_version: 8, opset_import: [\"\" : 18]> "
                               "g (float[n, 32] x) => (float[n, 32] y) { y = Softmax <axis = -1> (x) }";
    static float x[20000 * COLUMNS];
    const struct {
        int64_t rows;
        bool team;
    } runs[] = {{1, false}, {20, false}, {20000, true}, {4, false}};
    nib_runtime *runtime;
    nib_error err = {0};
    nib_runtime_options o = {.size = sizeof o, .threads = 2};
    struct device *cpu;
    plan *p;
    run_session *s;
    assert_int_equal(base_runtime_create(&o, &runtime, &err), NIB_OK);
    graph *g = parse_graph(text);
    assert_int_equal(cpu_open(runtime, &cpu, &err), NIB_OK);
    pass_context ctx = {.g = g, .runtime = runtime, .kernels = &test_kernels, .level = 2, .err = &err};
    assert_int_equal(pass_run_all(&ctx), NIB_OK);
    if (plan_build(runtime, g, &cpu, 1, NULL, &p, &err) != NIB_OK) fail_msg("%s", err.message);
    assert_int_equal(p->n_steps, 1);
    assert_int_equal(p->steps[0].range, PLAN_RANGE_PARTS);
    for (size_t i = 0; i < BASE_COUNT(runs); i++) {
        nib_tensor in = {.dtype = NIB_DTYPE_F32, .rank = 2, .dims = {runs[i].rows, COLUMNS}, .data = x}, out;
        const nib_tensor *given[] = {&in};
        in.bytes = (size_t)runs[i].rows * COLUMNS * sizeof *x;
        assert_int_equal(run_session_create(p, &s, &err), NIB_OK);
        if (run_tensors(s, given, &err) != NIB_OK) fail_msg("%s", err.message);
        assert_int_equal(run_output(s, 0, &out, &err), NIB_OK);
        for (int64_t k = 0; k < runs[i].rows * COLUMNS; k++) assert_true(((float *)out.data)[k] == 1.0f / COLUMNS);
        if (s->workers[1].ready != runs[i].team) fail_msg("%lld rows: %s", (long long)runs[i].rows, runs[i].team ? "alone" : "a team");
        run_session_free(s);
    }
    plan_free(p);
    graph_free(g);
    cpu->table->close(cpu);
    base_runtime_release(runtime);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_run_calls_threads_where_there_is_work)};
    return cmocka_run_group_tests(tests, pass_setup, pass_teardown);
}
