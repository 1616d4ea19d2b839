/* SPDX-License-Identifier: Apache-2.0
 *
 * Where ONNX leaves a NaN's meaning to numpy, and ONNX Runtime is of two minds: a NaN wins ArgMax and ArgMin, the first one, or with
 * select_last_index the last.
 */
#include "../../src/op/op_local.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

static void expect(const char *attributes, const float x[4], int64_t largest, int64_t smallest) {
    const int64_t want[2] = {largest, smallest};
    char text[300];
    nib_error err = {0};
    base_heap heap;
    graph *g;
    kernels table;
    memset(&table, 0, sizeof table);
    base_heap_init(&heap, NULL);
    int n = snprintf(text, sizeof text,
                     "<ir_version: 8, opset_import: [\"\" : 18]> g (float[4] x) => (int64[1] a, int64[1] b) "
                     "{ a = ArgMax<axis = 0%s>(x)  b = ArgMin<axis = 0%s>(x) }",
                     attributes, attributes);
    assert_int_equal(graph_parse(&heap, text, (size_t)n, &g, &err), NIB_OK);
    op_resolve(g);
    op_env *env = op_env_create(g, g->arena, 1 << 20, &table);
    graph_tensor in = {.dtype = NIB_DTYPE_F32, .rank = 1, .dims = {4}, .data = (void *)(uintptr_t)x, .bytes = 16};
    assert_int_equal(op_env_set(env, g->inputs[0], &in), NIB_OK);
    for (int i = 0; i < 2; i++) {
        const graph_tensor *y;
        assert_int_equal(op_env_get(env, g->outputs[i], &y, &err), NIB_OK);
        assert_int_equal(*(const int64_t *)y->data, want[i]);
    }
    graph_free(g);
    assert_int_equal(heap.current, 0);
}

static void nan_wins(void **state) {
    (void)state;
    expect("", (const float[]){1, NAN, 0, NAN}, 1, 1);
    expect(", select_last_index = 1", (const float[]){1, NAN, 0, NAN}, 3, 3);
    expect("", (const float[]){NAN, 5, -5, 0}, 0, 0);
    expect("", (const float[]){1, 5, -5, 5}, 1, 2);
    expect(", select_last_index = 1", (const float[]){1, 5, -5, 5}, 3, 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(nan_wins)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
