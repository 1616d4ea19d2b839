/* SPDX-License-Identifier: Apache-2.0
 *
 * Calls that are stopped: who is asked, how often, and who sees the answer.
 */
#include "base_test.h"
#include "base/base_mem.h"
#include "base/base_pool.h"
#include "base/base_stop.h"
#include <pthread.h>

typedef struct asked {
    int times, stop_at; /* 0: never */
    pthread_t by;
    bool inside; /* the function was asked while the thread was in a call */
    uint64_t done, total;
} asked;

static int answer(void *user, uint64_t done, uint64_t total) {
    asked *a = user;
    a->times++;
    a->by = pthread_self();
    a->inside |= base_stop_current() != NULL;
    a->done = done;
    a->total = total;
    return a->stop_at && a->times >= a->stop_at;
}

static void nobody_asks_outside_of_a_call(void **state) {
    assert_false(base_stop_wanted());
    base_stop_advance(3);
    assert_int_equal(base_stop_check(NULL), NIB_OK);
}

static void a_call_asks_now_and_then(void **state) {
    asked a = {.stop_at = 3};
    base_stop s;
    nib_error err = {0};
    base_stop_begin(&s, answer, &a, 10);
    base_stop_advance(4);
    double begun = base_clock();
    long calls = 0;
    while (!base_stop_wanted()) calls++;
    double took = base_clock() - begun;
    assert_true(took >= 3 * BASE_STOP_MS * 1e-3);
    assert_true(calls > 100); /* it was not asked each time */
    assert_int_equal(a.times, 3);
    assert_int_equal(a.done, 4);
    assert_int_equal(a.total, 10);
    assert_false(a.inside);
    assert_true(base_stop_wanted()); /* and stays so, without asking */
    assert_int_equal(a.times, 3);
    assert_int_equal(base_stop_check(&err), NIB_CANCELLED);
    base_stop_end(&s);
    assert_false(base_stop_wanted());
}

static void an_inner_call_ends_with_its_outer_one(void **state) {
    asked a = {.stop_at = 1}, b = {0};
    base_stop outer, inner;
    base_stop_begin(&outer, answer, &a, 0);
    base_stop_begin(&inner, answer, &b, 0);
    while (!base_stop_wanted()) {
    }
    assert_int_equal(a.times, 1);
    base_stop_end(&inner);
    assert_true(base_stop_wanted());
    base_stop_end(&outer);
    assert_false(base_stop_wanted());
}

typedef struct shared {
    _Atomic int ended;
    pthread_t caller;
    _Atomic bool by_helper;
} shared;

/* Goes on until it is stopped. */
static void until_stopped(void *arg, size_t i, int slot) {
    shared *s = arg;
    if (i == 0 && slot == 0) return; /* the caller has nothing more to do, and waits */
    while (!base_stop_wanted()) {
    }
    if (!pthread_equal(pthread_self(), s->caller)) atomic_store(&s->by_helper, true);
    atomic_fetch_add(&s->ended, 1);
}

static void helpers_see_it_and_only_the_caller_asks(void **state) {
    nib_error err;
    base_heap heap;
    base_pool *pool;
    base_heap_init(&heap, NULL);
    assert_int_equal(base_pool_create(&heap, 3, &pool, &err), NIB_OK);
    bool by_helper = false; /* in some turn: a machine may be too busy in any one */
    for (int turn = 0; turn < 20; turn++) {
        asked a = {.stop_at = 2};
        shared s = {.caller = pthread_self()};
        base_stop stop;
        base_stop_begin(&stop, answer, &a, 0);
        base_pool_run(pool, 3, until_stopped, &s);
        base_stop_end(&stop);
        assert_int_equal(a.times, 2);
        assert_true(pthread_equal(a.by, pthread_self()));
        by_helper |= atomic_load(&s.by_helper);
    }
    assert_true(by_helper);
    base_pool_free(pool);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_asks_outside_of_a_call),
        cmocka_unit_test(a_call_asks_now_and_then),
        cmocka_unit_test(an_inner_call_ends_with_its_outer_one),
        cmocka_unit_test(helpers_see_it_and_only_the_caller_asks),
    };
    return cmocka_run_group_tests_name("base_stop", tests, NULL, NULL);
}
