/* SPDX-License-Identifier: Apache-2.0
 *
 * A child of fork() uses what its parent opened, on threads of its own, and frees it; the parent goes on. In: a tiny model. Out: the same
 * bits in every process, and children that end by themselves.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <nib/nib.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define TINY NIB_TEST_DATA "/nib/tiny"
#define DIM 32
#define TEXTS 64 /* groups for every thread */
#define PATIENCE 60

static nib_runtime *runtime;
static nib_model *model;
static nib_session *session;
static const char *texts[TEXTS];
static float want[TEXTS * DIM];

static void run(nib_session *s) {
    static int64_t some[3] = {2, 5, 3}, one[3] = {1, 1, 1}; /* borrowed by the session for later runs */
    nib_tensor ids = {.dtype = NIB_DTYPE_I64, .rank = 2, .dims = {1, 3}, .data = some, .bytes = 24};
    nib_tensor ones = {.dtype = NIB_DTYPE_I64, .rank = 2, .dims = {1, 3}, .data = one, .bytes = 24};
    for (size_t i = 0; i < nib_session_input_count(s); i++)
        assert_int_equal(nib_session_set_input(s, nib_session_input_name(s, i), i == 0 ? &ids : &ones, NULL), NIB_OK);
    assert_int_equal(nib_session_run(s, NULL), NIB_OK);
}

static int begin(void **state) {
    static const char *const some[] = {"a nib", "", "the tip of a pen", "it writes, and it is dipped in ink again"};
    nib_runtime_options r;
    nib_model_options o;
    for (int i = 0; i < TEXTS; i++) texts[i] = some[i % 4];
    nib_runtime_defaults(&r, sizeof r);
    r.threads = 3;
    nib_model_defaults(&o, sizeof o);
    if (nib_runtime_create(&r, &runtime, NULL)) return 1;
    o.runtime = runtime;
    o.batch_tokens = 8;
    if (nib_model_open(TINY, &o, &model, NULL) || nib_session_create(model, &session, NULL)) return 1;
    run(session);
    return nib_embed(model, texts, TEXTS, NULL, want, NULL);
}

static int end(void **state) {
    nib_session_free(session);
    nib_model_free(model);
    nib_runtime_free(runtime);
    return 0;
}

static bool embeds(void) {
    static _Thread_local float got[TEXTS * DIM];
    memset(got, 0, sizeof got);
    return nib_embed(model, texts, TEXTS, NULL, got, NULL) == NIB_OK && memcmp(got, want, sizeof got) == 0;
}

static void *embed_once(void *failed) {
    if (!embeds()) atomic_store((_Atomic bool *)failed, true);
    return NULL;
}

static pid_t fork_patiently(void) {
    pid_t child = fork();
    if (child == 0) alarm(PATIENCE); /* one that hangs is ended by it */
    return child;
}

static void expect_success(pid_t child) {
    int status;
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFSIGNALED(status)) fail_msg("the child was ended by signal %d", WTERMSIG(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* What a child does: two threads of its own embed at once, a session runs, a new one is made, and everything is freed. */
static int use_and_free(bool grandchild) {
    pthread_t threads[2];
    _Atomic bool failed = false;
    nib_session *fresh;
    nib_model *other;
    for (int i = 0; i < 2; i++)
        if (pthread_create(&threads[i], NULL, embed_once, &failed)) return 2;
    if (!embeds()) return 3;
    for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
    if (failed) return 4;
    if (grandchild) {
        int status;
        pid_t child = fork_patiently();
        if (child == 0) _exit(use_and_free(false));
        if (waitpid(child, &status, 0) != child || status != 0) return 5;
    }
    if (nib_session_run(session, NULL) != NIB_OK || nib_session_create(model, &fresh, NULL) != NIB_OK) return 6;
    run(fresh);
    nib_session_free(fresh);
    if (nib_model_open(TINY, NULL, &other, NULL) != NIB_OK) return 7;
    nib_model_free(other);
    end(NULL);
    return 0;
}

static void a_child_uses_what_its_parent_opened(void **state) {
    for (int i = 0; i < 3; i++) {
        pid_t child = fork_patiently();
        if (child == 0) _exit(use_and_free(i == 2));
        assert_true(embeds());
        expect_success(child);
    }
}

/* Nothing but freeing, and a runtime that no one used before. */
static void a_child_frees_at_once(void **state) {
    nib_runtime *unused;
    assert_int_equal(nib_runtime_create(NULL, &unused, NULL), NIB_OK);
    pid_t child = fork_patiently();
    if (child == 0) {
        nib_runtime_free(unused);
        _exit(end(NULL));
    }
    expect_success(child);
    nib_runtime_free(unused);
    assert_true(embeds());
}

#ifndef __SANITIZE_ADDRESS__ /* whose allocator may be locked by a thread that the child does not have */
static _Atomic bool stop;

static void *embed_on(void *failed) {
    while (!atomic_load(&stop)) embed_once(failed);
    return NULL;
}

static void *make_sessions(void *failed) {
    while (!atomic_load(&stop)) {
        nib_session *s;
        if (nib_session_create(model, &s, NULL) != NIB_OK) atomic_store((_Atomic bool *)failed, true);
        else nib_session_free(s);
    }
    return NULL;
}

static void a_child_of_a_busy_process_does_so_too(void **state) {
    pthread_t threads[4];
    _Atomic bool failed = false;
    atomic_store(&stop, false);
    for (int i = 0; i < 4; i++) assert_int_equal(pthread_create(&threads[i], NULL, i < 3 ? embed_on : make_sessions, &failed), 0);
    for (int i = 0; i < 30; i++) {
        usleep(500);
        pid_t child = fork_patiently();
        if (child == 0) _exit(use_and_free(false));
        expect_success(child);
    }
    atomic_store(&stop, true);
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    assert_false(failed);
    assert_true(embeds());
}
#endif

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_child_uses_what_its_parent_opened),
        cmocka_unit_test(a_child_frees_at_once),
#ifndef __SANITIZE_ADDRESS__
        cmocka_unit_test(a_child_of_a_busy_process_does_so_too),
#endif
    };
    return cmocka_run_group_tests_name("fork", tests, begin, end);
}
