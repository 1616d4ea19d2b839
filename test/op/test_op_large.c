/* SPDX-License-Identifier: Apache-2.0
 *
 * Sizes beyond a block, a tile or a panel, which onnx's own cases do not have: Transpose of every permutation, GatherElements on every
 * axis, MatMul and Gemm in f32 and in half types. Against the definition, element by element; and a row of a product has the same bits
 * alone and among others.
 */
#include "../../src/op/op_local.h"
#include "base/base_cpu.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#define MOST (1 << 16)

static float numbers[2][MOST];
static kernels table;

/* 0.83, -0.2, .. : numbers in [-1, 1). */
static int fill(void **state) {
    uint32_t r = 1;
    (void)state;
    for (int i = 0; i < 2; i++)
        for (int k = 0; k < MOST; k++) numbers[i][k] = (float)((int32_t)(r = r * 1664525u + 1013904223u) >> 8) * 0x1p-23f;
    kernel_table_init(&table, base_cpu_isas());
    return 0;
}

typedef struct run {
    base_heap heap;
    graph *g;
    const float *y;
} run;

static graph_tensor view(nib_dtype dtype, const void *data, int rank, const int64_t *dims) {
    graph_tensor t = {.dtype = dtype, .rank = rank, .data = (void *)(uintptr_t)data};
    for (int i = 0; i < rank; i++) t.dims[i] = dims[i];
    t.bytes = graph_type_bytes(dtype, (size_t)graph_tensor_elements(&t));
    return t;
}

/* Output 0 of `nodes`, which read x, w and, where they do, c or i. */
static void start(run *r, const char *inputs, const char *nodes, const graph_tensor *in) {
    char text[400];
    nib_error err = {0};
    const graph_tensor *y;
    int n = snprintf(text, sizeof text, "<ir_version: 8, opset_import: [\"\" : 18]> g (%s) => (float[] y) { %s }", inputs, nodes);
    base_heap_init(&r->heap, NULL);
    assert_int_equal(graph_parse(&r->heap, text, (size_t)n, &r->g, &err), NIB_OK);
    op_resolve(r->g);
    op_env *env = op_env_create(r->g, r->g->arena, 1 << 24, &table);
    for (int i = 0; i < r->g->n_inputs; i++) assert_int_equal(op_env_set(env, r->g->inputs[i], &in[i]), NIB_OK);
    assert_int_equal(op_env_get(env, r->g->outputs[0], &y, &err), NIB_OK);
    r->y = y->data;
}

static void stop(run *r) {
    graph_free(r->g);
    assert_int_equal(r->heap.current, 0);
}

static void transposes(void **state) {
    enum { A = 3, B = 37, C = 50, D = 2 };
    static const int64_t dims[4] = {A, B, C, D};
    int perm[4];
    (void)state;
    const graph_tensor x = view(NIB_DTYPE_F32, numbers[0], 4, dims);
    for (int all = 0; all < 256; all++) {
        int seen = 0;
        for (int i = 0; i < 4; i++) seen |= 1 << (perm[i] = all >> 2 * i & 3);
        if (seen != 15) continue;
        char nodes[100];
        run r;
        snprintf(nodes, sizeof nodes, "y = Transpose<perm = [%d, %d, %d, %d]>(x)", perm[0], perm[1], perm[2], perm[3]);
        start(&r, "float[3, 37, 50, 2] x", nodes, &x);
        int64_t at[4], o = 0;
        for (at[0] = 0; at[0] < dims[perm[0]]; at[0]++)
            for (at[1] = 0; at[1] < dims[perm[1]]; at[1]++)
                for (at[2] = 0; at[2] < dims[perm[2]]; at[2]++)
                    for (at[3] = 0; at[3] < dims[perm[3]]; at[3]++, o++) {
                        int64_t from[4];
                        for (int i = 0; i < 4; i++) from[perm[i]] = at[i];
                        assert_true(r.y[o] == numbers[0][((from[0] * B + from[1]) * C + from[2]) * D + from[3]]);
                    }
        stop(&r);
    }
}

static void gathers_elements(void **state) {
    enum { N = 7 };
    static int64_t index[N * N * N];
    static const int64_t dims[3] = {N, N, N};
    static const char *const nodes[] = {"y = GatherElements<axis = 0>(x, i)", "y = GatherElements<axis = 1>(x, i)",
                                        "y = GatherElements<axis = -1>(x, i)"};
    (void)state;
    for (int i = 0; i < N * N * N; i++) index[i] = i * 5 % (2 * N) - N;
    const graph_tensor in[2] = {view(NIB_DTYPE_F32, numbers[0], 3, dims), view(NIB_DTYPE_I64, index, 3, dims)};
    for (int axis = 0; axis < 3; axis++) {
        run r;
        start(&r, "float[7, 7, 7] x, int64[7, 7, 7] i", nodes[axis], in);
        for (int64_t o = 0; o < N * N * N; o++) {
            int64_t at[3] = {o / N / N, o / N % N, o % N};
            at[axis] = index[o] < 0 ? index[o] + N : index[o];
            assert_true(r.y[o] == numbers[0][(at[0] * N + at[1]) * N + at[2]]);
        }
        stop(&r);
    }
}

static void matmul_rows_keep_their_bits(void **state) {
    enum { BATCH = 2, M = 13, K = 70, N = 45 };
    (void)state;
    const graph_tensor in[2] = {view(NIB_DTYPE_F32, numbers[0], 3, (const int64_t[]){BATCH, M, K}),
                                view(NIB_DTYPE_F32, numbers[1], 3, (const int64_t[]){BATCH, K, N})};
    run r;
    start(&r, "float[2, 13, 70] x, float[2, 70, 45] w", "y = MatMul(x, w)", in);
    for (int64_t b = 0; b < BATCH; b++)
        for (int64_t m = 0; m < M; m++) {
            const float *row = numbers[0] + (b * M + m) * K, *w = numbers[1] + b * K * N, *y = r.y + (b * M + m) * N;
            const graph_tensor alone[2] = {view(NIB_DTYPE_F32, row, 1, (const int64_t[]){K}),
                                           view(NIB_DTYPE_F32, w, 2, (const int64_t[]){K, N})};
            run one;
            start(&one, "float[70] x, float[70, 45] w", "y = MatMul(x, w)", alone);
            assert_memory_equal(one.y, y, N * sizeof(float));
            stop(&one);
            for (int64_t n = 0; n < N; n++) {
                double sum = 0;
                for (int64_t k = 0; k < K; k++) sum += (double)row[k] * (double)w[k * N + n];
                assert_true(fabs((double)y[n] - sum) < 1e-5);
            }
        }
    stop(&r);
}

/* Half types add in float, in the order of k, and round once: the definition's bits, of one row and of many, for both sides turned. */
static void halves_add_in_order(void **state) {
    enum { M = 13, K = 70, N = 45 };
    static uint16_t half[2][MOST];
    (void)state;
    for (int type = 0; type < 2; type++)
        for (int v = 0; v < 8; v++) {
            const nib_dtype dtype = type ? NIB_DTYPE_BF16 : NIB_DTYPE_F16;
            const int ta = v & 1, tb = v >> 1 & 1, rows = v & 4 ? 1 : M;
            char inputs[200], nodes[200];
            run r;
            for (int i = 0; i < 2; i++)
                for (int k = 0; k < M * K + K * N; k++)
                    half[i][k] = type ? base_f32_to_bf16(numbers[i][k]) : base_f32_to_f16(numbers[i][k]);
            const char *name = type ? "bfloat16" : "float16";
            snprintf(inputs, sizeof inputs, "%s[%d, %d] x, %s[%d, %d] w, %s[45] c", name, ta ? K : rows, ta ? rows : K, name, tb ? N : K,
                     tb ? K : N, name);
            snprintf(nodes, sizeof nodes, "y = Gemm<transA = %d, transB = %d, alpha = 0.5, beta = 2.0>(x, w, c)", ta, tb);
            const graph_tensor in[3] = {view(dtype, half[0], 2, (const int64_t[]){ta ? K : rows, ta ? rows : K}),
                                        view(dtype, half[1], 2, (const int64_t[]){tb ? N : K, tb ? K : N}),
                                        view(dtype, half[0], 1, (const int64_t[]){N})};
            start(&r, inputs, nodes, in);
            float wide[3][M * K + K * N];
            for (int i = 0; i < 3; i++) base_widen(dtype, half[i == 1], M * K + K * N, wide[i]);
            for (int m = 0; m < rows; m++)
                for (int n = 0; n < N; n++) {
                    float sum = 0;
                    for (int k = 0; k < K; k++) sum += wide[0][ta ? k * rows + m : m * K + k] * wide[1][tb ? n * K + k : k * N + n];
                    sum = sum * 0.5f + wide[2][n] * 2.0f;
                    assert_int_equal(((const uint16_t *)(const void *)r.y)[m * N + n], type ? base_f32_to_bf16(sum) : base_f32_to_f16(sum));
                }
            stop(&r);
        }
}

static void gemm_turned_and_scaled(void **state) {
    enum { M = 13, K = 70, N = 45 };
    static const char *const c_types[] = {"float[45]", "float[13, 45]", "float[13, 1]", "float[1]"};
    static const int64_t c_dims[][2] = {{1, N}, {M, N}, {M, 1}, {1, 1}};
    (void)state;
    for (int v = 0; v < 16; v++) {
        const bool ta = v & 1, tb = v & 2;
        const int64_t *cd = c_dims[v / 4];
        char inputs[200], nodes[200];
        run r;
        snprintf(inputs, sizeof inputs, "float[%d, %d] x, float[%d, %d] w, %s c", ta ? K : M, ta ? M : K, tb ? N : K, tb ? K : N,
                 c_types[v / 4]);
        snprintf(nodes, sizeof nodes, "y = Gemm<transA = %d, transB = %d, alpha = 0.5, beta = 2.0>(x, w, c)", ta, tb);
        const graph_tensor in[3] = {
            view(NIB_DTYPE_F32, numbers[0], 2, (const int64_t[]){ta ? K : M, ta ? M : K}),
            view(NIB_DTYPE_F32, numbers[1], 2, (const int64_t[]){tb ? N : K, tb ? K : N}),
            v / 4 == 0   ? view(NIB_DTYPE_F32, numbers[0], 1, (const int64_t[]){N})
            : v / 4 == 3 ? view(NIB_DTYPE_F32, numbers[0], 1, (const int64_t[]){1})
                         : view(NIB_DTYPE_F32, numbers[0], 2, cd),
        };
        start(&r, inputs, nodes, in);
        for (int64_t m = 0; m < M; m++)
            for (int64_t n = 0; n < N; n++) {
                double sum = 0;
                for (int64_t k = 0; k < K; k++)
                    sum += (double)numbers[0][ta ? k * M + m : m * K + k] * (double)numbers[1][tb ? n * K + k : k * N + n];
                sum = 0.5 * sum + 2.0 * (double)numbers[0][(cd[0] > 1 ? m * cd[1] : 0) + (cd[1] > 1 ? n : 0)];
                assert_true(fabs((double)r.y[m * N + n] - sum) < 1e-5);
            }
        stop(&r);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(transposes), cmocka_unit_test(gathers_elements),
                                       cmocka_unit_test(matmul_rows_keep_their_bits), cmocka_unit_test(halves_add_in_order),
                                       cmocka_unit_test(gemm_turned_and_scaled)};
    return cmocka_run_group_tests(tests, fill, NULL);
}
