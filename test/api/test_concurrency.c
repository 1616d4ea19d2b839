/* SPDX-License-Identifier: Apache-2.0
 *
 * Many threads in one runtime and one model: what happens to one of them is no other's affair. The allocator of these tests refuses by
 * thread. Most of what this file can find beside that needs the thread sanitizer.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <nib/nib.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TINY NIB_TEST_DATA "/nib/tiny"

/* ---- a thread that is refused everything, and one that must not notice */

static _Thread_local bool refuse, wait_once;
static _Atomic int refusals;

static void *allocate(void *user, size_t bytes) {
    if (refuse) {
        atomic_fetch_add(&refusals, 1);
        return NULL;
    }
    if (wait_once) { /* in the middle of an opening: until another thread was refused */
        int seen = atomic_load(&refusals);
        while (atomic_load(&refusals) < seen + 2) sched_yield();
        wait_once = false;
    }
    return aligned_alloc(64, (bytes + 63) / 64 * 64);
}

static void release(void *user, void *pointer, size_t bytes) { free(pointer); }

typedef struct unlucky {
    const char *path;
    nib_runtime *runtime;
    _Atomic bool stop;
    _Atomic int opened;
} unlucky;

static void *open_in_vain(void *arg) {
    unlucky *u = arg;
    nib_model_options o;
    nib_model_defaults(&o);
    o.runtime = u->runtime;
    refuse = true;
    while (!atomic_load(&u->stop)) {
        nib_model *m;
        if (nib_model_open(u->path, &o, &m, NULL) == NIB_OUT_OF_MEMORY) continue;
        atomic_fetch_add(&u->opened, 1);
        nib_model_free(m);
    }
    return NULL;
}

static nib_runtime *runtime_that_refuses(int threads) {
    nib_runtime_options r;
    nib_runtime *rt;
    nib_runtime_defaults(&r);
    r.threads = threads;
    r.allocate = allocate;
    r.release = release;
    assert_int_equal(nib_runtime_create(&r, &rt, NULL), NIB_OK);
    return rt;
}

static void compile_to(const char *path, const char *out) {
    nib_compile_options o;
    nib_error e;
    nib_compile_defaults(&o);
    o.exact = 1;
    if (nib_compile_file(path, out, &o, &e) != NIB_OK) fail_msg("%s", e.message);
}

/* Through every door: an ONNX file, a folder, a compiled model; and the program of a first session. */
static void others_refusals_are_no_ones_else(void **state) {
    char compiled[] = "/tmp/nib-concurrency-XXXXXX";
    const int fd = mkstemp(compiled);
    assert_true(fd >= 0);
    close(fd);
    compile_to(TINY, compiled);
    const char *const paths[] = {TINY, NIB_TEST_DATA "/hf/bert-tiny", NIB_TEST_DATA "/onnx/bert-tiny.dynamo.eager.onnx", compiled};
    unlucky u = {.path = TINY, .runtime = runtime_that_refuses(2)};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, open_in_vain, &u), 0);
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        for (int again = 0; again < 3; again++) {
            nib_error e;
            nib_model *m;
            nib_session *s;
            nib_model_options o;
            nib_model_defaults(&o);
            o.runtime = u.runtime;
            wait_once = true;
            if (nib_model_open(paths[i], &o, &m, &e) != NIB_OK) fail_msg("%s: %s", paths[i], e.message);
            wait_once = true;
            if (nib_session_create(m, &s, &e) != NIB_OK) fail_msg("%s: a session: %s", paths[i], e.message);
            wait_once = false;
            nib_session_free(s);
            nib_model_free(m);
        }
    atomic_store(&u.stop, true);
    pthread_join(thread, NULL);
    assert_int_equal(u.opened, 0);
    nib_runtime_free(u.runtime);
    remove(compiled);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(others_refusals_are_no_ones_else),
    };
    return cmocka_run_group_tests_name("concurrency", tests, NULL, NULL);
}
