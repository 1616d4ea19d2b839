/* SPDX-License-Identifier: Apache-2.0
 *
 * ConvInteger, QLinearConv and QLinearMatMul as steps: the very bytes of the operators' evals, whatever the types, zero
 * points, windows and groups, on one thread and on three.
 */
#include "../pass/pass_test.h"
#include "cpu/cpu.h"
#include "plan/plan.h"
#include "run/run.h"

static uint32_t seed = 5;
static int draw(int n) {
    seed = seed * 1664525u + 1013904223u;
    return (int)(seed >> 8) % n;
}
static bool chance(int percent) { return draw(100) < percent; }

static nib_runtime *runtimes[2]; /* of one thread and of three */
static int steps;                /* that were no evals */

static void run_on(nib_runtime *rt, const graph *g, const nib_tensor *in, const graph_tensor *want, const char *what) {
    nib_error err = {0};
    struct device *cpu;
    plan *p;
    run_session *s;
    nib_tensor got;
    assert_int_equal(cpu_open(rt, &cpu, &err), NIB_OK);
    if (plan_build(rt, g, &cpu, 1, NULL, &p, &err) != NIB_OK) fail_msg("%s", err.message);
    for (int i = 0; i < p->n_steps; i++) steps += strcmp(p->steps[i].kernel, "eval") != 0;
    assert_int_equal(run_session_create(p, &s, &err), NIB_OK);
    if (run_tensors(s, (const nib_tensor *const[]){in}, &err) != NIB_OK) fail_msg("%s (%s)\n%s", err.message, err.node, what);
    assert_int_equal(run_output(s, 0, &got, &err), NIB_OK);
    assert_int_equal(got.bytes, want->bytes);
    for (size_t i = 0; i < got.bytes; i++)
        if (((const uint8_t *)got.data)[i] != ((const uint8_t *)want->data)[i])
            fail_msg("byte %zu of %zu is %d, not %d\n%s", i, got.bytes, ((const uint8_t *)got.data)[i], ((const uint8_t *)want->data)[i],
                     what);
    run_session_free(s);
    plan_free(p);
    cpu->table->close(cpu);
}

/* Constants of bytes at random, scales that spread the sums of K products over a byte and a little more. */
static void fill_constants(const graph *g, int K) {
    for (int i = 0; i < g->n_constants; i++) {
        const graph_value *v = g->constants[i];
        const graph_tensor *t = v->constant;
        for (int64_t k = 0; k < graph_tensor_elements(t); k++) {
            if (t->dtype == NIB_DTYPE_I32) ((int32_t *)t->data)[k] = draw(40000) - 20000;
            else if (t->dtype != NIB_DTYPE_F32) ((uint8_t *)t->data)[k] = (uint8_t)draw(256);
            else if (strcmp(v->name, "ys") == 0) ((float *)t->data)[k] = 0.25f * sqrtf((float)K);
            else ((float *)t->data)[k] = 0.01f + (float)draw(1000) * 1e-5f;
        }
    }
}

static void compare_bytes(const char *text, nib_tensor *in, int K) {
    nib_error err = {0};
    base_arena arena;
    const graph_tensor *want;
    static uint8_t x[1 << 16];
    graph *g = parse_graph(text);
    fill_constants(g, K);
    in->data = x;
    in->bytes = 1;
    for (int k = 0; k < in->rank; k++) in->bytes *= (size_t)in->dims[k];
    assert_true(in->bytes <= sizeof x);
    for (size_t i = 0; i < in->bytes; i++) x[i] = (uint8_t)draw(256);
    base_arena_init(&arena, &test_runtime->heap);
    op_env *env = op_env_create(g, &arena, 1u << 28, &test_kernels);
    op_env_set(env, g->inputs[0], in);
    if (op_env_get(env, g->outputs[0], &want, &err) != NIB_OK) fail_msg("%s\n%s", err.message, text);
    for (int r = 0; r < 2; r++) run_on(runtimes[r], g, in, want, text);
    base_arena_free(&arena);
    graph_free(g);
}

static int put_zeros(char *to, size_t size, const char *type, const char *dims, const char *name, int count) {
    int n = snprintf(to, size, ", %s%s %s = {0", type, dims, name);
    for (int i = 1; i < count; i++) n += snprintf(to + n, size - (size_t)n, ",0");
    return n + snprintf(to + n, size - (size_t)n, "}");
}

static void one_convolution(bool scaled) {
    static char constants[200000], text[220000];
    static const char *const types[] = {"uint8", "int8"};
    const int rank = chance(75) ? 4 : 3, groups = chance(60) ? 1 : 1 + draw(6), channels = groups > 1 && chance(60) ? 1 : 1 + draw(9);
    const int each = groups > 1 && channels == 1 && chance(70) ? 1 : 1 + draw(chance(80) ? 7 : 40), M = groups * each,
              C = groups * channels;
    const bool s8_x = chance(40), s8_w = chance(60), s8_y = chance(40), has_zero = chance(80), has_wz = chance(50), bias = chance(60);
    int kernel[2], stride[2], dilation[2], pads[4] = {0}, d[4] = {1 + draw(2), C, 1, 1}, K = channels;
    char w_dims[60], m_dims[20], attributes[300];
    for (int i = 0; i < rank - 2; i++) {
        kernel[i] = chance(30) ? 1 : 1 + draw(4), stride[i] = chance(60) ? 1 : 1 + draw(3), dilation[i] = chance(75) ? 1 : 2;
        pads[i] = draw(kernel[i]), pads[rank - 2 + i] = draw(kernel[i]);
        d[2 + i] = (kernel[i] - 1) * dilation[i] + 1 + draw(chance(30) ? 40 : 14);
        K *= kernel[i];
    }
    snprintf(w_dims, sizeof w_dims, rank == 4 ? "[%d,%d,%d,%d]" : "[%d,%d,%d]", M, channels, kernel[0], rank == 4 ? kernel[1] : 0);
    snprintf(m_dims, sizeof m_dims, "[%d]", M);
    if (rank == 4)
        snprintf(attributes, sizeof attributes, "group = %d, strides = [%d, %d], dilations = [%d, %d], pads = [%d, %d, %d, %d]", groups,
                 stride[0], stride[1], dilation[0], dilation[1], pads[0], pads[1], pads[2], pads[3]);
    else
        snprintf(attributes, sizeof attributes, "group = %d, strides = [%d], dilations = [%d], pads = [%d, %d]", groups, stride[0],
                 dilation[0], pads[0], pads[1]);
    int n = put_zeros(constants, sizeof constants, types[s8_w], w_dims, "w", M * K);
    n += put_zeros(constants + n, sizeof constants - (size_t)n, types[s8_x], "", "xz", 1);
    n +=
        put_zeros(constants + n, sizeof constants - (size_t)n, types[s8_w], has_wz && scaled ? m_dims : "", "wz", has_wz && scaled ? M : 1);
    n += put_zeros(constants + n, sizeof constants - (size_t)n, types[s8_y], "", "yz", 1);
    n += put_zeros(constants + n, sizeof constants - (size_t)n, "float", chance(50) ? m_dims : "", "ws", 1);
    if (strstr(constants, "float[")) { /* one for each filter */
        n = (int)(strstr(constants, ", float[") - constants);
        n += put_zeros(constants + n, sizeof constants - (size_t)n, "float", m_dims, "ws", M);
    }
    n += put_zeros(constants + n, sizeof constants - (size_t)n, "int32", m_dims, "bias", M);
    snprintf(text, sizeof text, HEAD "g (%s[%s,%d,h%s] x) => (%s[?,?,?%s] y) <float xs = {0}, float ys = {0}%s> { y = %s <%s> (%s) }",
             types[s8_x],
             chance(50)  ? "b"
             : d[0] == 1 ? "1"
                         : "2",
             C, rank == 4 ? ",k" : "", scaled ? types[s8_y] : "int32", rank == 4 ? ",?" : "", constants,
             scaled ? "QLinearConv" : "ConvInteger", attributes,
             scaled       ? bias ? "x, xs, xz, w, ws, wz, ys, yz, bias" : "x, xs, xz, w, ws, wz, ys, yz"
             : !has_zero  ? "x, w"
             : chance(50) ? "x, w, xz"
                          : "x, w, xz, wz");
    nib_tensor in = {.dtype = s8_x ? NIB_DTYPE_I8 : NIB_DTYPE_U8, .rank = rank};
    for (int i = 0; i < rank; i++) in.dims[i] = d[i];
    compare_bytes(text, &in, K);
}

static void integer_convolutions(void **state) {
    steps = 0;
    for (int i = 0; i < 150; i++) one_convolution(false);
    assert_int_equal(steps, 300);
}

static void quantized_convolutions(void **state) {
    steps = 0;
    for (int i = 0; i < 250; i++) one_convolution(true);
    assert_int_equal(steps, 500);
}

static void quantized_products(void **state) {
    static char constants[100000], text[120000];
    static const char *const types[] = {"uint8", "int8"};
    steps = 0;
    for (int i = 0; i < 120; i++) {
        const int K = 1 + draw(70), N = 1 + draw(60), column_scales = draw(2), column_zeros = draw(2);
        const bool s8_a = chance(40), s8_b = chance(60), s8_y = chance(40);
        char b_dims[40], n_dims[20];
        snprintf(b_dims, sizeof b_dims, "[%d,%d]", K, N);
        snprintf(n_dims, sizeof n_dims, "[%d]", N);
        int n = put_zeros(constants, sizeof constants, types[s8_b], b_dims, "w", K * N);
        n += put_zeros(constants + n, sizeof constants - (size_t)n, types[s8_b], column_zeros ? n_dims : "", "wz", column_zeros ? N : 1);
        n += put_zeros(constants + n, sizeof constants - (size_t)n, "float", column_scales ? n_dims : "", "ws", column_scales ? N : 1);
        n += put_zeros(constants + n, sizeof constants - (size_t)n, types[s8_a], "", "xz", 1);
        put_zeros(constants + n, sizeof constants - (size_t)n, types[s8_y], "", "yz", 1);
        /* the eval wants as many zero points as scales */
        if (column_scales != column_zeros) continue;
        snprintf(text, sizeof text,
                 HEAD "g (%s[b,s,%d] x) => (%s[b,s,%d] y) <float xs = {0}, float ys = {0}%s> "
                      "{ y = QLinearMatMul (x, xs, xz, w, ws, wz, ys, yz) }",
                 types[s8_a], K, types[s8_y], N, constants);
        nib_tensor in = {.dtype = s8_a ? NIB_DTYPE_I8 : NIB_DTYPE_U8, .rank = 3, .dims = {1 + draw(2), 1 + draw(50), K}};
        compare_bytes(text, &in, K);
    }
    assert_true(steps > 80);
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
    const struct CMUnitTest tests[] = {cmocka_unit_test(integer_convolutions), cmocka_unit_test(quantized_convolutions),
                                       cmocka_unit_test(quantized_products)};
    return cmocka_run_group_tests_name("plan_bytes", tests, setup, teardown);
}
