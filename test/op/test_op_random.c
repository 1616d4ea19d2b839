/* SPDX-License-Identifier: Apache-2.0
 *
 * Random operators: distributions within what so many numbers allow, the same bits from the same seed, others from another.
 */
#include "../../src/op/op_local.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#define N 100000

typedef struct drawn {
    base_heap heap;
    graph *g;
    const graph_tensor *t;
} drawn;

/* The first output of one node of that operator; `in` may be NULL. Freed with end(). */
static void draw(drawn *d, const char *name, float seed, const graph_tensor *in, const char *attr, float value) {
    nib_error err = {0};
    kernels table;
    memset(&table, 0, sizeof table);
    base_heap_init(&d->heap, NULL);
    assert_int_equal(graph_create(&d->heap, &d->g, &err), NIB_OK);
    assert_int_equal(graph_set_opset(d->g, "", 22, &err), NIB_OK);
    graph_value *x = graph_add_value(d->g, "x"), *y = graph_add_value(d->g, "y");
    graph_node *n = graph_add_node(d->g, NULL, "", name, "", &x, in != NULL, &y, 1);
    if (!in) graph_set_ints(n, "shape", (const int64_t[]){N}, 1);
    graph_set_float(n, "seed", seed);
    if (attr) graph_set_float(n, attr, value);
    if (strcmp(name, "Multinomial") == 0) graph_set_int(n, "sample_size", N);
    op_resolve(d->g);
    op_env *env = op_env_create(d->g, d->g->arena, 1 << 24, &table);
    if (in) assert_int_equal(op_env_set(env, x, in), NIB_OK);
    assert_int_equal(op_env_get(env, y, &d->t, &err), NIB_OK);
}

static void end(drawn *d) {
    graph_free(d->g);
    assert_int_equal(d->heap.current, 0);
}

static void moments(const graph_tensor *t, double *mean, double *variance, double *least, double *most) {
    int64_t n = graph_tensor_elements(t);
    double sum = 0, square = 0;
    *least = INFINITY, *most = -INFINITY;
    for (int64_t i = 0; i < n; i++) {
        double v = op_number(t, i);
        sum += v;
        square += v * v;
        *least = fmin(*least, v);
        *most = fmax(*most, v);
    }
    *mean = sum / (double)n;
    *variance = square / (double)n - *mean * *mean;
}

static void distributions(void **state) {
    (void)state;
    double mean, variance, least, most;
    drawn d;
    draw(&d, "RandomUniform", 1, NULL, "high", 3);
    moments(d.t, &mean, &variance, &least, &most);
    assert_true(fabs(mean - 1.5) < 0.02 && fabs(variance - 0.75) < 0.02 && least >= 0 && most < 3 && most > 2.99);
    end(&d);
    draw(&d, "RandomNormal", 2, NULL, "scale", 2);
    moments(d.t, &mean, &variance, &least, &most);
    assert_true(fabs(mean) < 0.04 && fabs(variance - 4) < 0.1 && most > 6 && least < -6);
    end(&d);
    static float p[N];
    for (int i = 0; i < N; i++) p[i] = 0.3f;
    graph_tensor in = {.dtype = NIB_DTYPE_F32, .rank = 1, .dims = {N}, .data = p, .bytes = sizeof p};
    draw(&d, "Bernoulli", 3, &in, NULL, 0);
    moments(d.t, &mean, &variance, &least, &most);
    assert_true(fabs(mean - 0.3) < 0.01 && least == 0 && most == 1);
    end(&d);
    float logits[3] = {0, 0.6931472f, -INFINITY}; /* 1/3, 2/3, never */
    graph_tensor row = {.dtype = NIB_DTYPE_F32, .rank = 2, .dims = {1, 3}, .data = logits, .bytes = sizeof logits};
    draw(&d, "Multinomial", 4, &row, NULL, 0);
    assert_int_equal(d.t->dtype, NIB_DTYPE_I32);
    moments(d.t, &mean, &variance, &least, &most);
    assert_true(fabs(mean - 2.0 / 3) < 0.01 && least == 0 && most == 1);
    end(&d);
}

static void seeds(void **state) {
    (void)state;
    drawn a, b, other;
    draw(&a, "RandomNormal", 7, NULL, NULL, 0);
    draw(&b, "RandomNormal", 7, NULL, NULL, 0);
    draw(&other, "RandomNormal", 8, NULL, NULL, 0);
    assert_int_equal(a.t->bytes, N * 4);
    assert_memory_equal(a.t->data, b.t->data, N * 4);
    assert_memory_not_equal(a.t->data, other.t->data, N * 4);
    end(&a);
    end(&b);
    end(&other);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(distributions), cmocka_unit_test(seeds)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
