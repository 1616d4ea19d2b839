/* SPDX-License-Identifier: Apache-2.0
 *
 * Symbolic sizes: equal sizes are equal pointers, what cannot be known is NULL, and random expressions give what direct
 * arithmetic gives.
 */
#include "base/base_test.h"
#include "graph/graph_sym.h"
#include <math.h>

static base_heap heap;
static base_arena arena;
static graph_symtab *t;
static graph_dim s, b;

static int setup(void **state) {
    base_heap_init(&heap, NULL);
    base_arena_init(&arena, &heap);
    t = graph_symtab_create(&arena);
    b = graph_dim_symbol(t, "batch");
    s = graph_dim_symbol(t, "seq");
    return !b || !s;
}
static int teardown(void **state) {
    base_arena_free(&arena);
    return atomic_load(&heap.current) != 0;
}

static graph_dim k(int64_t x) { return graph_dim_const(t, x); }
static graph_dim add(graph_dim x, graph_dim y) { return graph_dim_add(t, x, y); }
static graph_dim sub(graph_dim x, graph_dim y) { return graph_dim_sub(t, x, y); }
static graph_dim mul(graph_dim x, graph_dim y) { return graph_dim_mul(t, x, y); }
static graph_dim quotient(graph_dim x, graph_dim y) { return graph_dim_div(t, x, y); }
static graph_dim mod(graph_dim x, graph_dim y) { return graph_dim_mod(t, x, y); }

static void equal_sizes_are_equal_pointers(void **state) {
    assert_ptr_equal(sub(mul(add(s, k(1)), k(2)), k(2)), mul(k(2), s));
    assert_ptr_equal(mul(add(s, b), sub(s, b)), sub(mul(s, s), mul(b, b)));
    assert_ptr_equal(add(add(s, b), s), add(add(s, s), b));
    assert_ptr_equal(mul(mul(s, b), k(3)), mul(b, mul(k(3), s)));
    assert_ptr_equal(sub(s, s), k(0));
    assert_ptr_equal(graph_dim_symbol(t, "seq"), s);
    assert_ptr_not_equal(add(s, k(1)), s);
    assert_ptr_not_equal(mul(s, s), s);
    assert_null(add(NULL, s));
    assert_null(mul(s, NULL));
}

static void division_is_exact_where_it_can_be(void **state) {
    assert_ptr_equal(quotient(mul(mul(b, s), k(64)), k(64)), mul(b, s));
    assert_ptr_equal(quotient(mul(b, s), s), b);
    assert_ptr_equal(quotient(add(mul(s, s), s), add(s, k(1))), s);
    assert_ptr_equal(quotient(sub(mul(s, s), mul(b, b)), add(s, b)), sub(s, b));
    assert_ptr_equal(quotient(k(0), s), k(0));
    assert_ptr_equal(quotient(k(-7), k(2)), k(-4));
    assert_ptr_equal(mod(k(-7), k(2)), k(1));
    assert_ptr_equal(mod(mul(s, k(6)), k(3)), k(0));
    assert_ptr_equal(quotient(s, k(2)), quotient(s, k(2)));
    assert_ptr_not_equal(quotient(s, k(2)), s);
    assert_ptr_not_equal(mul(quotient(s, k(2)), k(2)), s); /* seq may be odd */
    assert_null(quotient(s, k(0)));
    assert_null(mod(s, k(0)));
    assert_null(quotient(k(INT64_MIN), k(-1)));
}

static void extremes(void **state) {
    assert_ptr_equal(graph_dim_min(t, s, s), s);
    assert_ptr_equal(graph_dim_min(t, s, b), graph_dim_min(t, b, s));
    assert_ptr_equal(graph_dim_max(t, add(s, k(3)), s), add(s, k(3)));
    assert_ptr_equal(graph_dim_min(t, add(s, k(3)), s), s);
    assert_ptr_equal(graph_dim_max(t, k(4), k(9)), k(9));
    assert_true(graph_dim_is_capped(graph_dim_min(t, s, k(9)), s, 9) && graph_dim_is_capped(graph_dim_min(t, k(9), s), s, 2));
    assert_false(graph_dim_is_capped(graph_dim_min(t, s, k(9)), s, 10));
    assert_false(graph_dim_is_capped(graph_dim_min(t, s, k(9)), b, 2));
    assert_false(graph_dim_is_capped(graph_dim_min(t, s, b), s, 2));
    assert_false(graph_dim_is_capped(graph_dim_max(t, s, k(9)), s, 2));
    assert_true(graph_dim_is_nonnegative(add(mul(s, b), k(3))) && graph_dim_is_nonnegative(k(0)));
    assert_true(graph_dim_is_nonnegative(quotient(add(s, k(1)), k(2))) && graph_dim_is_nonnegative(graph_dim_min(t, s, mod(b, k(4)))));
    assert_false(graph_dim_is_nonnegative(sub(s, k(1))) || graph_dim_is_nonnegative(NULL) || graph_dim_is_nonnegative(k(-1)));
    assert_false(graph_dim_is_nonnegative(graph_dim_max(t, sub(s, b), sub(b, s)))); /* it is not, and that is not proven */
    assert_false(graph_dim_is_nonnegative(quotient(sub(s, k(5)), k(2))));
    assert_false(graph_dim_is_capped(add(graph_dim_min(t, s, k(9)), k(1)), s, 2));
    assert_false(graph_dim_is_capped(s, s, 2) || graph_dim_is_capped(NULL, s, 2) || graph_dim_is_capped(s, NULL, 2));
    assert_null(graph_dim_max(t, s, NULL));
    assert_null(graph_dim_min(t, NULL, s));
}

static void broadcasting(void **state) {
    assert_ptr_equal(graph_dim_broadcast(t, s, s), s);
    assert_ptr_equal(graph_dim_broadcast(t, k(1), s), s);
    assert_ptr_equal(graph_dim_broadcast(t, s, k(1)), s);
    assert_ptr_equal(graph_dim_broadcast(t, s, k(7)), k(7));
    assert_ptr_equal(graph_dim_broadcast(t, k(7), NULL), k(7));
    assert_null(graph_dim_broadcast(t, s, b));
    assert_null(graph_dim_broadcast(t, k(3), k(4)));
    assert_null(graph_dim_broadcast(t, NULL, k(1)));
}

static void overflow_is_unknown(void **state) {
    assert_null(add(k(INT64_MAX), k(1)));
    assert_null(sub(k(INT64_MIN), k(1)));
    assert_null(mul(mul(k(INT64_MAX), s), k(2)));
    assert_null(sub(k(0), k(INT64_MIN)));
    assert_null(add(mul(k(INT64_MAX), s), s));
    int64_t out, big[] = {INT64_MAX, 3};
    assert_false(graph_dim_eval(mul(b, s), big, 2, &out));
    assert_false(graph_dim_eval(add(b, k(1)), big, 2, &out));
    assert_true(graph_dim_eval(b, big, 2, &out) && out == INT64_MAX);
}

static void kinds_and_names(void **state) {
    int64_t x = 5;
    assert_true(graph_dim_is_const(k(-3), &x) && x == -3);
    assert_true(graph_dim_is_const(k(0), NULL));
    assert_false(graph_dim_is_const(s, &x));
    assert_false(graph_dim_is_const(NULL, &x));
    assert_true(graph_dim_is_symbol(s));
    assert_false(graph_dim_is_symbol(mul(k(2), s)));
    assert_false(graph_dim_is_symbol(k(1)));
    assert_int_equal(graph_symbol_index(b), 0);
    assert_int_equal(graph_symbol_index(s), 1);
    assert_int_equal(graph_symbol_index(NULL), -1);
    assert_string_equal(graph_symbol_name(t, 1), "seq");
    assert_null(graph_symbol_name(t, 1000));
    graph_dim f = graph_dim_fresh(t, "seq"), f2 = graph_dim_fresh(t, "seq");
    assert_true(f && f2 && f != s && f2 != f);
    int64_t values[] = {2, GRAPH_UNBOUND};
    assert_false(graph_dim_eval(s, values, 2, &x));
    assert_false(graph_dim_eval(s, values, 1, &x));
    assert_false(graph_dim_eval(quotient(b, s), (int64_t[]){2, 0}, 2, &x));
    base_str text;
    base_str_init(&text, &heap);
    graph_dim_print(sub(mul(k(2), mul(b, s)), k(3)), &text);
    assert_string_equal(text.data, "2 * batch * seq - 3");
    base_str_clear(&text);
    graph_dim_print(NULL, &text);
    assert_string_equal(text.data, "?");
    base_str_free(&text);
}

/* ---- random expressions over four symbols, with their values kept beside them */

static uint32_t seed = 11;
static uint32_t random_below(uint32_t n) {
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 9) % n;
}
static int64_t floor_div(int64_t x, int64_t y) { return (int64_t)floor((double)x / (double)y); } /* the values are small */

static void random_expressions_evaluate(void **state) {
    static const char *const names[] = {"p", "q", "r", "u"};
    int known = 0;
    for (int round = 0; round < 400; round++) {
        graph_dim dims[40];
        int64_t values[40], bound[64];
        for (int i = 0; i < 64; i++) bound[i] = GRAPH_UNBOUND;
        for (int i = 0; i < 4; i++) {
            dims[i] = graph_dim_symbol(t, names[i]);
            values[i] = (int64_t)random_below(9) + 1;
            bound[graph_symbol_index(dims[i])] = values[i];
        }
        for (int i = 4; i < 40; i++) {
            uint32_t x = random_below((uint32_t)i), y = random_below((uint32_t)i);
            int64_t c = (int64_t)random_below(7) - 3, v = values[x], w = values[y], got;
            graph_dim d = dims[x], e = dims[y];
            if (v > 1000000 || v < -1000000) d = k(c), v = c;
            if (w > 1000000 || w < -1000000) e = k(c), w = c;
            switch (random_below(8)) {
            case 0: dims[i] = add(d, e), values[i] = v + w; break;
            case 1: dims[i] = sub(d, e), values[i] = v - w; break;
            case 2: dims[i] = mul(d, e), values[i] = v * w; break;
            case 3: dims[i] = quotient(d, k(c ? c : 1)), values[i] = floor_div(v, c ? c : 1); break;
            case 4: dims[i] = mod(d, k(c ? c : 1)), values[i] = v - floor_div(v, c ? c : 1) * (c ? c : 1); break;
            case 5: dims[i] = graph_dim_min(t, d, e), values[i] = v < w ? v : w; break;
            case 6: dims[i] = graph_dim_max(t, d, e), values[i] = v > w ? v : w; break;
            default: dims[i] = k(c), values[i] = c;
            }
            if (!dims[i]) dims[i] = k(c), values[i] = c; /* too large to keep: unknown is allowed, wrong is not */
            else known++;
            if (!graph_dim_eval(dims[i], bound, 64, &got) || got != values[i])
                fail_msg("round %d: %lld, not %lld", round, (long long)got, (long long)values[i]);
        }
        base_arena other;
        base_arena_init(&other, &heap);
        graph_symtab *to = graph_symtab_create(&other);
        for (int i = 0; i < 4; i++) graph_dim_symbol(to, names[3 - i]);
        for (int i = 0; i < 40; i++) { /* the copy is over the same names, numbered otherwise */
            int64_t theirs[4], got = -1;
            graph_dim copy = graph_dim_copy(to, dims[i]);
            for (int n = 0; n < 4; n++) theirs[n] = values[3 - n];
            assert_true(copy && graph_dim_eval(copy, theirs, 4, &got));
            assert_int_equal(got, values[i]);
        }
        base_arena_free(&other);
    }
    assert_true(known > 400 * 36 / 2);
}

/* Products of nested quotients: a graph of a hundred nodes must not make expressions that take forever to evaluate or copy. */
static void nesting_costs_little(void **state) {
    graph_dim d = s, e;
    for (int i = 0; i < 60 && d; i++) {
        e = add(d, k(1));
        for (int n = 0; n < 5 && e; n++) e = mul(e, d);
        d = e ? quotient(e, k(3 + i)) : NULL;
        int64_t out, values[] = {2, 1};
        graph_dim_eval(d, values, 2, &out);
        base_arena other;
        base_arena_init(&other, &heap);
        graph_dim_copy(graph_symtab_create(&other), d);
        base_arena_free(&other);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_sizes_are_equal_pointers),
        cmocka_unit_test(division_is_exact_where_it_can_be),
        cmocka_unit_test(extremes),
        cmocka_unit_test(broadcasting),
        cmocka_unit_test(overflow_is_unknown),
        cmocka_unit_test(kinds_and_names),
        cmocka_unit_test(random_expressions_evaluate),
        cmocka_unit_test(nesting_costs_little),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
