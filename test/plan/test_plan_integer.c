/* SPDX-License-Identifier: Apache-2.0
 *
 * MatMulInteger, DynamicQuantizeLinear and the Cast behind them as steps: the very numbers of the operators' evals, whatever the types,
 * zero points and sizes; and what a step does not take is still computed.
 */
#include "../pass/pass_test.h"
#include "cpu/cpu.h"
#include "plan/plan.h"
#include "run/run.h"

static uint32_t seed = 7;
static int draw(int n) {
    seed = seed * 1664525u + 1013904223u;
    return (int)(seed >> 8) % n;
}

/* A graph of these types: the matrix's zero point absent, one, or one a column; that of the rows absent, computed by a node before,
 * or constant. */
static graph *product_of(bool s8_rows, bool s8_matrix, int zero_b, int zero_a, int K, int N) {
    const char *rows = s8_rows ? "int8" : "uint8", *matrix = s8_matrix ? "int8" : "uint8";
    static char text[120000];
    int at = snprintf(text, sizeof text, HEAD "g (%s[b,s,%d] a, %s z) => (int32[b,s,%d] y) <int64[0] none = {}, %s[1] zc = {0}", rows, K, rows, N,
                      rows);
    const struct {
        const char *name;
        int rows, columns;
    } constants[] = {{"w", K, N}, {"zw", 0, N}, {"zs", 0, 1}};
    for (size_t c = 0; c < BASE_COUNT(constants); c++) {
        const int count = (constants[c].rows ? constants[c].rows : 1) * constants[c].columns;
        char dims[40];
        if (constants[c].rows) snprintf(dims, sizeof dims, "%d,%d", constants[c].rows, constants[c].columns);
        else snprintf(dims, sizeof dims, "%d", constants[c].columns);
        at += snprintf(text + at, sizeof text - (size_t)at, ", %s[%s] %s = {0", matrix, dims, constants[c].name);
        for (int i = 1; i < count; i++) at += snprintf(text + at, sizeof text - (size_t)at, ",0");
        at += snprintf(text + at, sizeof text - (size_t)at, "}");
    }
    snprintf(text + at, sizeof text - (size_t)at, "> { za = Reshape (z, none) y = MatMulInteger (a, w, %s, %s) }", zero_a == 0 ? "\"\"" : zero_a == 1 ? "za" : "zc",
             zero_b == 0 ? "\"\"" : zero_b == 1 ? "zs" : "zw");
    return parse_graph(text);
}

static void the_same_integers(void **state) {
    static uint8_t a[3 * 50 * 200], z;
    int steps = 0;
    for (int round = 0; round < 120; round++) {
        nib_error err = {0};
        struct device *cpu;
        plan *p;
        run_session *s;
        base_arena arena;
        const graph_tensor *want;
        const int K = 1 + draw(round % 3 ? 70 : 200), N = 1 + draw(90), B = 1 + draw(3), S = 1 + draw(50), zero_b = draw(3);
        const int zero_a = draw(3);
        const bool s8_rows = draw(2), s8_matrix = draw(2);
        graph *g = product_of(s8_rows, s8_matrix, zero_b, zero_a, K, N);
        for (int i = 0; i < g->n_constants; i++) {
            const graph_tensor *t = g->constants[i]->constant;
            for (size_t k = 0; t->dtype != NIB_DTYPE_I64 && k < t->bytes; k++)
                ((uint8_t *)t->data)[k] = (uint8_t)(round % 5 ? draw(256) : 128);
        }
        for (int i = 0; i < B * S * K; i++) a[i] = (uint8_t)(round % 7 ? draw(256) : 255);
        z = (uint8_t)draw(256);
        const nib_dtype type = s8_rows ? NIB_DTYPE_I8 : NIB_DTYPE_U8;
        nib_tensor in = {.dtype = type, .rank = 3, .dims = {B, S, K}, .data = a, .bytes = (size_t)(B * S * K)}, got;
        nib_tensor zero = {.dtype = type, .rank = 0, .data = &z, .bytes = 1};
        assert_int_equal(cpu_open(test_runtime, &cpu, &err), NIB_OK);
        if (plan_build(test_runtime, g, &cpu, 1, NULL, &p, &err) != NIB_OK) fail_msg("%s", err.message);
        for (int i = 0; i < p->n_steps; i++)
            steps += graph_is_op(p->steps[i].node, "", "MatMulInteger") && strcmp(p->steps[i].kernel, "eval") != 0;
        assert_int_equal(run_session_create(p, &s, &err), NIB_OK);
        if (run_tensors(s, (const nib_tensor *const[]){&in, &zero}, &err) != NIB_OK) fail_msg("%s (%s)", err.message, err.node);
        assert_int_equal(run_output(s, 0, &got, &err), NIB_OK);
        base_arena_init(&arena, &test_runtime->heap);
        op_env *env = op_env_create(g, &arena, 1u << 26, &test_kernels);
        op_env_set(env, g->inputs[0], &in);
        op_env_set(env, g->inputs[1], &zero);
        if (op_env_get(env, g->outputs[0], &want, &err) != NIB_OK) fail_msg("%s", err.message);
        assert_int_equal(got.bytes, want->bytes);
        if (memcmp(got.data, want->data, want->bytes) != 0)
            fail_msg("round %d: %s rows, %s matrix, K %d N %d, zeros %d %d", round, s8_rows ? "s8" : "u8", s8_matrix ? "s8" : "u8", K, N,
                     zero_a, zero_b);
        base_arena_free(&arena);
        run_session_free(s);
        plan_free(p);
        cpu->table->close(cpu);
        graph_free(g);
    }
    assert_int_equal(steps, 120);
}

/* f32 -> u8, scale and zero point, and those as numbers again, of a runtime. */
static void run_dynamic(nib_runtime *rt, const graph *g, const nib_tensor *x, int *steps, nib_tensor out[4], run_session **s, plan **p,
                        struct device **cpu) {
    nib_error err = {0};
    assert_int_equal(cpu_open(rt, cpu, &err), NIB_OK);
    if (plan_build(rt, g, cpu, 1, NULL, p, &err) != NIB_OK) fail_msg("%s", err.message);
    for (int i = 0; i < (*p)->n_steps; i++)
        *steps += (graph_is_op((*p)->steps[i].node, "", "DynamicQuantizeLinear") || strcmp((*p)->steps[i].node->outputs[0]->name, "n") == 0) &&
                  strcmp((*p)->steps[i].kernel, "eval") != 0;
    assert_int_equal(run_session_create(*p, s, &err), NIB_OK);
    if (run_tensors(*s, (const nib_tensor *const[]){x}, &err) != NIB_OK) fail_msg("%s (%s)", err.message, err.node);
    for (int i = 0; i < 4; i++) assert_int_equal(run_output(*s, i, &out[i], &err), NIB_OK);
}

static void the_same_rounding(void **state) {
    static float x[200000];
    int steps = 0;
    nib_runtime_options options = {.size = sizeof options, .threads = 3};
    nib_runtime *runtimes[2] = {test_runtime};
    assert_int_equal(base_runtime_create(&options, &runtimes[1], NULL), NIB_OK);
    graph *g = parse_graph(HEAD "g (float[b,s,40] x) => (uint8[b,s,40] y, float scale, uint8 zero, float[b,s,40] n) "
                                "{ y, scale, zero = DynamicQuantizeLinear (x) i = Cast <to = 6> (y) n = Cast <to = 1> (i) }");
    for (int round = 0; round < 60; round++) {
        const int B = round == 0 ? 0 : 1 + draw(9), S = 1 + draw(round % 4 ? 40 : 550);
        const float size = ldexpf(1.0f, draw(80) - 40), shift = (float)(draw(3) - 1);
        for (int i = 0; i < B * S * 40; i++) x[i] = round % 9 == 3 ? 0 : ((float)draw(2000000) / 1e6f - 1.0f + shift) * size;
        if (round % 7 == 1) x[draw(B * S * 40)] = draw(2) ? NAN : INFINITY;
        const nib_tensor in = {
            .dtype = NIB_DTYPE_F32, .rank = 3, .dims = {B, S, 40}, .data = x, .bytes = (size_t)(B * S * 40) * sizeof *x};
        for (int r = 0; r < 2; r++) {
            nib_error err = {0};
            nib_tensor got[4];
            run_session *s;
            plan *p;
            struct device *cpu;
            base_arena arena;
            run_dynamic(runtimes[r], g, &in, &steps, got, &s, &p, &cpu);
            base_arena_init(&arena, &test_runtime->heap);
            op_env *env = op_env_create(g, &arena, 1u << 26, &test_kernels);
            op_env_set(env, g->inputs[0], &in);
            for (int i = 0; i < 4; i++) {
                const graph_tensor *want;
                if (op_env_get(env, g->outputs[i], &want, &err) != NIB_OK) fail_msg("%s", err.message);
                assert_int_equal(got[i].bytes, want->bytes);
                if (memcmp(got[i].data, want->data, want->bytes) != 0) fail_msg("round %d, output %d", round, i);
            }
            base_arena_free(&arena);
            run_session_free(s);
            plan_free(p);
            cpu->table->close(cpu);
        }
    }
    assert_int_equal(steps, 60 * 2 * 2);
    graph_free(g);
    base_runtime_release(runtimes[1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_same_integers), cmocka_unit_test(the_same_rounding)};
    return cmocka_run_group_tests_name("plan_integer", tests, pass_setup, pass_teardown);
}
