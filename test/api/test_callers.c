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
#define REQUESTS 10  /* of the first session or call of a task, before it is held up */
#define PATIENCE 200 /* hundredths of a second */

static _Thread_local int until = -1; /* so many requests of this thread's before it is held up; -1: it is not */
static void (*hold_up)(void);

static void *allocate(void *user, size_t bytes) {
    if (until >= 0 && until-- == 0) hold_up();
    return aligned_alloc(64, (bytes + 63) / 64 * 64);
}
static void release(void *user, void *pointer, size_t bytes) { free(pointer); }

#define TINY NIB_TEST_DATA "/nib/tiny"
#define LABELS NIB_TEST_DATA "/classify/labels"

static void open_model(const char *path, nib_task task, nib_runtime **runtime, nib_model **model) {
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
    o.task = task;
    if (nib_model_open(path, &o, model, &e) != NIB_OK) fail_msg("%s", e.message);
}

static void open_tiny(nib_runtime **runtime, nib_model **model) { open_model(TINY, NIB_TASK_AUTO, runtime, model); }

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

/* ---- another thread's first session or call of a task, which makes a program, held up in the middle of that */

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

static nib_status tokens_of_one(nib_model *model) {
    const char *text = "a nib";
    int64_t offsets[2];
    nib_tensor *rows;
    nib_status status = nib_embed_tokens(model, &text, 1, NULL, offsets, &rows, NULL);
    if (status == NIB_OK) nib_tensor_free(rows);
    return status;
}

static void *make_tokens(void *model) {
    until = REQUESTS;
    tokens_of_one(model);
    return NULL;
}

static nib_status classify_one(nib_model *model) {
    const char *text = "a nib";
    float scores[3];
    return nib_classify(model, &text, NULL, 1, NULL, scores, NULL);
}

static void *make_scores(void *model) {
    until = REQUESTS;
    classify_one(model);
    return NULL;
}

static nib_status session_of(nib_model *model) {
    nib_session *s = NULL;
    nib_status status = nib_session_create(model, &s, NULL);
    nib_session_free(s);
    return status;
}

/* Program `making` of the model is being made by another thread: what is made is used meanwhile, and what is not is
 * made. */
static void nobody_waits(const char *path, nib_task task, void *(*making)(void *),
                         nib_status (*const *others)(nib_model *), int n) {
    nib_runtime *rt;
    nib_model *m;
    pthread_t thread;
    char text[4000];
    size_t length;
    open_model(path, task, &rt, &m);
    atomic_store(&inside, false);
    atomic_store(&others_done, false);
    hold_up = wait_for_others;
    assert_int_equal(pthread_create(&thread, NULL, making, m), 0);
    for (int i = 0; i < PATIENCE && !atomic_load(&inside); i++) usleep(10000);
    assert_true(atomic_load(&inside));
    for (int i = 0; i < n; i++) assert_int_equal(others[i](m), NIB_OK);
    assert_int_equal(nib_model_describe(m, text, sizeof text, &length), NIB_OK);
    atomic_store(&others_done, true);
    pthread_join(thread, NULL);
    assert_true(atomic_load(&in_time));
    nib_model_free(m);
    nib_runtime_free(rt);
}

static void nobody_waits_for_a_program_that_another_makes(void **state) {
    nib_status (*const embeds_and_tokens[])(nib_model *) = {embed_one, tokens_of_one, embed_one};
    nib_status (*const embeds_and_sessions[])(nib_model *) = {embed_one, session_of, embed_one};
    nib_status (*const classifies[])(nib_model *) = {classify_one, session_of};
    nobody_waits(TINY, NIB_TASK_AUTO, make_session, embeds_and_tokens, 3);
    nobody_waits(TINY, NIB_TASK_AUTO, make_tokens, embeds_and_sessions, 3);
    nobody_waits(LABELS, NIB_TASK_AUTO, make_session, classifies, 1);
    nobody_waits(LABELS, NIB_TASK_EMBED, make_scores, classifies + 1, 1); /* it cannot embed, which is no matter */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_of_a_burst_is_given_back),
        cmocka_unit_test(what_was_warmed_stays),
        cmocka_unit_test(nobody_waits_for_a_program_that_another_makes),
    };
    return cmocka_run_group_tests_name("callers", tests, NULL, NULL);
}
