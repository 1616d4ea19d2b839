/* SPDX-License-Identifier: Apache-2.0
 *
 * Many callers of one model: what they took is given back when they are gone, and nobody waits for what another has made for itself.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <nib/nib.h>
#include <pthread.h>
#include <sched.h>
#include <unistd.h>
#include <cmocka.h>

#define DIM 32
#define CALLERS 16
#define CALLS_AFTER 200
#define REQUESTS 10  /* of the first session, before it is held up */
#define PATIENCE 200 /* hundredths of a second */

static _Thread_local int until = -1; /* so many requests of this thread's before it is held up; -1: it is not */
static void (*hold_up)(void);

static void *allocate(void *user, size_t bytes) {
    if (until >= 0 && until-- == 0) hold_up();
    return aligned_alloc(64, (bytes + 63) / 64 * 64);
}
static void release(void *user, void *pointer, size_t bytes) { free(pointer); }

static void open_tiny(nib_runtime **runtime, nib_model **model) {
    nib_runtime_options r;
    nib_model_options o;
    nib_error e;
    nib_runtime_defaults(&r, sizeof r);
    r.threads = 1;
    r.allocate = allocate;
    r.release = release;
    assert_int_equal(nib_runtime_create(&r, runtime, &e), NIB_OK);
    nib_model_defaults(&o, sizeof o);
    o.runtime = *runtime;
    if (nib_model_open(NIB_TEST_DATA "/nib/tiny", &o, model, &e) != NIB_OK) fail_msg("%s", e.message);
}

static nib_status embed_one(nib_model *model) {
    static const int32_t ids[3] = {2, 5, 3};
    const int32_t *row = ids;
    const int64_t length = 3;
    float out[DIM];
    return nib_embed_ids(model, &row, &length, 1, NULL, out, NULL);
}

/* ---- what a burst of callers took */

static _Atomic int here;

/* At a caller's first request, which is for a session: nobody goes on before all are there, so each needs its own. */
static void wait_for_all(void) {
    atomic_fetch_add(&here, 1);
    while (atomic_load(&here) < CALLERS) sched_yield();
}

static void *call_once(void *model) {
    until = 0;
    return embed_one(model) == NIB_OK && until < 0 ? model : NULL;
}

static nib_memory memory_of(const nib_runtime *runtime) {
    nib_memory m;
    nib_runtime_memory(runtime, &m, sizeof m);
    return m;
}

/* All at once; what they held at most. */
static size_t burst(nib_runtime *runtime, nib_model *model) {
    pthread_t threads[CALLERS];
    atomic_store(&here, 0);
    hold_up = wait_for_all;
    for (int i = 0; i < CALLERS; i++) assert_int_equal(pthread_create(&threads[i], NULL, call_once, model), 0);
    for (int i = 0; i < CALLERS; i++) {
        void *result;
        pthread_join(threads[i], &result);
        assert_non_null(result);
    }
    return memory_of(runtime).current;
}

static void memory_of_a_burst_is_given_back(void **state) {
    nib_runtime *rt;
    nib_model *m;
    open_tiny(&rt, &m);
    const size_t opened = memory_of(rt).current;
    assert_int_equal(embed_one(m), NIB_OK);
    const size_t one = memory_of(rt).current - opened;
    nib_model_free(m);
    nib_runtime_free(rt);
    open_tiny(&rt, &m);
    const size_t all = burst(rt, m) - opened;
    assert_true(all > (CALLERS - 1) * one);
    for (int i = 0; i < CALLS_AFTER; i++) assert_int_equal(embed_one(m), NIB_OK);
    if (memory_of(rt).current - opened > one + one / 2)
        fail_msg("%zu bytes were taken by %d callers at once, and %zu stay with one, who needs %zu", all, CALLERS,
                 memory_of(rt).current - opened, one);
    nib_model_free(m);
    nib_runtime_free(rt);
}

static void what_was_warmed_stays(void **state) {
    nib_runtime *rt;
    nib_model *m;
    open_tiny(&rt, &m);
    assert_int_equal(nib_model_warm(m, 8, 4, NULL), NIB_OK);
    const nib_memory warm = memory_of(rt);
    for (int i = 0; i < CALLS_AFTER; i++) assert_int_equal(embed_one(m), NIB_OK);
    assert_int_equal(memory_of(rt).current, warm.current);
    assert_int_equal(memory_of(rt).allocations, warm.allocations);
    nib_model_free(m);
    nib_runtime_free(rt);
}

/* ---- another thread's first session, which packs weights, held up in the middle of that */

static _Atomic bool inside, others_done, in_time;

static void wait_for_others(void) {
    atomic_store(&inside, true);
    for (int i = 0; i < PATIENCE && !atomic_load(&others_done); i++) usleep(10000);
    atomic_store(&in_time, atomic_load(&others_done));
}

static void *make_session(void *model) {
    nib_session *s = NULL;
    until = REQUESTS;
    nib_session_create(model, &s, NULL);
    nib_session_free(s);
    return NULL;
}

static void nobody_waits_for_a_session_that_another_makes(void **state) {
    nib_runtime *rt;
    nib_model *m;
    pthread_t thread;
    char text[4000];
    size_t length;
    open_tiny(&rt, &m);
    assert_int_equal(embed_one(m), NIB_OK);
    hold_up = wait_for_others;
    assert_int_equal(pthread_create(&thread, NULL, make_session, m), 0);
    for (int i = 0; i < PATIENCE && !atomic_load(&inside); i++) usleep(10000);
    assert_true(atomic_load(&inside));
    assert_int_equal(embed_one(m), NIB_OK);
    assert_int_equal(nib_model_describe(m, text, sizeof text, &length), NIB_OK);
    atomic_store(&others_done, true);
    pthread_join(thread, NULL);
    assert_true(atomic_load(&in_time));
    nib_model_free(m);
    nib_runtime_free(rt);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_of_a_burst_is_given_back),
        cmocka_unit_test(what_was_warmed_stays),
        cmocka_unit_test(nobody_waits_for_a_session_that_another_makes),
    };
    return cmocka_run_group_tests_name("callers", tests, NULL, NULL);
}
