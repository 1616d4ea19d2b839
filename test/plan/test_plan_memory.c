/* SPDX-License-Identifier: Apache-2.0
 *
 * Placing values in memory: nothing alive at the same time overlaps, everything is aligned and inside the total, and the
 * total is no worse than it has to be for the chains that transformers are.
 */
#include "base/base_test.h"
#include "plan/plan.h"

static bool both_alive(const plan_item *a, const plan_item *b) { return a->first <= b->last && b->first <= a->last; }

/* The most bytes alive at any one step: no placement can take less. */
static size_t least(const plan_item *items, int n) {
    size_t most = 0;
    for (int i = 0; i < n; i++) {
        size_t alive = 0;
        for (int k = 0; k < n; k++)
            if (items[k].first <= items[i].first && items[i].first <= items[k].last) alive += (items[k].size + 63) / 64 * 64;
        if (alive > most) most = alive;
    }
    return most;
}

static void check(const plan_item *items, int n, size_t total) {
    for (int i = 0; i < n; i++) {
        assert_int_equal(items[i].offset % 64, 0);
        assert_int_equal(items[i].size % 64, 0);
        assert_true(items[i].offset + items[i].size <= total);
        for (int k = 0; k < i; k++)
            if (both_alive(&items[i], &items[k]) && items[i].offset < items[k].offset + items[k].size &&
                items[k].offset < items[i].offset + items[i].size)
                fail_msg("items %d and %d overlap", k, i);
    }
}

static void random_lifetimes_never_overlap(void **state) {
    uint32_t seed = 5;
    for (int round = 0; round < 300; round++) {
        plan_item items[60], before[60];
        int n = round % 60 + 1;
        for (int i = 0; i < n; i++) {
            seed = seed * 1664525u + 1013904223u;
            int first = (int)(seed >> 24) % 40;
            items[i] = before[i] = (plan_item){.first = first, .last = first + (int)(seed >> 16) % 8, .size = (seed >> 8) % 5000};
        }
        size_t total = plan_memory_place(items, n);
        check(items, n, total);
        assert_true(total >= least(before, n));
        for (int i = 0; i < n; i++)
            assert_true(items[i].size >= before[i].size && items[i].first == before[i].first && items[i].last == before[i].last);
    }
}

/* Too many for the careful way: in order of time, and items come back in that order. */
static void many_are_placed_in_order_of_time(void **state) {
    enum { N = 4000 };
    static plan_item items[N], before[N];
    for (int round = 0; round < 4; round++) {
        uint32_t seed = (uint32_t)round;
        static bool seen[N];
        memset(seen, 0, sizeof seen);
        for (int i = 0; i < N; i++) {
            seed = seed * 1664525u + 1013904223u;
            int first = round == 3 ? i : (int)(seed >> 20), size = round == 0   ? (int)(seed >> 8) % 5000
                                                                   : round == 1 ? 1000 * (int)(seed >> 30)
                                                                                : 640;
            items[i] = before[i] =
                (plan_item){.id = i, .first = first, .last = first + (round == 3 ? 1 : (int)(seed >> 16) % 8), .size = (size_t)size};
        }
        size_t total = plan_memory_place(items, N);
        check(items, N, total);
        if (round == 3) assert_int_equal(total, 2 * 640); /* a chain */
        else assert_true(total >= least(before, N) && total <= 4 * least(before, N));
        for (int i = 0; i < N; i++) {
            const plan_item *was = &before[items[i].id];
            assert_false(seen[items[i].id]);
            seen[items[i].id] = true;
            assert_true(items[i].size >= was->size && items[i].first == was->first && items[i].last == was->last);
        }
    }
}

static void a_chain_needs_two(void **state) {
    plan_item items[20];
    for (int i = 0; i < 20; i++) items[i] = (plan_item){.first = i, .last = i + 1, .size = 1000};
    assert_int_equal(plan_memory_place(items, 20), 2 * 1024);
    check(items, 20, 2048);
    for (int i = 0; i < 20; i++) items[i] = (plan_item){.first = i, .last = i, .size = 64};
    assert_int_equal(plan_memory_place(items, 20), 64);
    for (int i = 0; i < 20; i++) items[i] = (plan_item){.first = 0, .last = 19, .size = 1};
    assert_int_equal(plan_memory_place(items, 20), 20 * 64);
}

static void nothing_and_too_much(void **state) {
    plan_item items[3] = {{.first = 0, .last = 1, .size = 0}, {.first = 0, .last = 1, .size = 64}, {.first = 1, .last = 1, .size = 0}};
    assert_int_equal(plan_memory_place(items, 0), 0);
    assert_int_equal(plan_memory_place(items, 3), 64);
    plan_item huge[2] = {{.first = 0, .last = 1, .size = SIZE_MAX / 2 + 100}, {.first = 0, .last = 1, .size = SIZE_MAX / 2 + 100}};
    assert_int_equal(plan_memory_place(huge, 2), SIZE_MAX);
    plan_item larger = {.size = SIZE_MAX - 5};
    assert_int_equal(plan_memory_place(&larger, 1), SIZE_MAX);
    plan_item apart[2] = {{.first = 0, .last = 0, .size = (SIZE_MAX / 2 + 64) / 64 * 64},
                          {.first = 1, .last = 1, .size = (SIZE_MAX / 2 + 64) / 64 * 64}};
    assert_int_equal(plan_memory_place(apart, 2), (SIZE_MAX / 2 + 64) / 64 * 64);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_lifetimes_never_overlap),
        cmocka_unit_test(many_are_placed_in_order_of_time),
        cmocka_unit_test(a_chain_needs_two),
        cmocka_unit_test(nothing_and_too_much),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
