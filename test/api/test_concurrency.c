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
    nib_model_defaults(&o, sizeof o);
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
    nib_runtime_defaults(&r, sizeof r);
    r.threads = threads;
    r.allocate = allocate;
    r.release = release;
    assert_int_equal(nib_runtime_create(&r, &rt, NULL), NIB_OK);
    return rt;
}

static void compile_to(const char *path, const char *out) {
    nib_compile_options o;
    nib_error e;
    nib_compile_defaults(&o, sizeof o);
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
            nib_model_defaults(&o, sizeof o);
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

/* ---- every call at once, on one model and on two runtimes */

#define DIM 32
#define CALLERS 6
#define ROUNDS 4

static const char *const texts[] = {"a nib", "", "the tip of a pen", "it writes, and it is dipped in ink again"};
static float vectors[4 * DIM];

typedef struct caller {
    nib_runtime *runtime;
    nib_model *model;
    int number;
    nib_status worst;
    _Atomic int wrong;
} caller;

static nib_status do_embed(caller *c) {
    float got[4 * DIM];
    nib_status status = nib_embed(c->model, texts, 4, NULL, got, NULL);
    if (status == NIB_OK && memcmp(got, vectors, sizeof got) != 0) atomic_fetch_add(&c->wrong, 1);
    return status;
}

/* Whoever comes first makes the task's program. */
static nib_status do_tokens(caller *c) {
    int64_t offsets[5];
    nib_tensor *rows;
    nib_status status = nib_embed_tokens(c->model, texts, 4, NULL, offsets, &rows, NULL);
    if (status != NIB_OK) return status;
    for (int i = 0; i < 4; i++) /* embed pools by the mean */
        for (int k = 0; k < DIM; k++) {
            double sum = 0, n = (double)(offsets[i + 1] - offsets[i]);
            for (int64_t r = offsets[i]; r < offsets[i + 1]; r++) sum += (double)((const float *)rows->data)[r * DIM + k];
            const double d = sum / n - (double)vectors[i * DIM + k];
            if (!(d < 1e-4 && d > -1e-4)) atomic_fetch_add(&c->wrong, 1);
        }
    nib_tensor_free(rows);
    return NIB_OK;
}

/* And finds that there is none. */
static nib_status do_labels(caller *c) {
    float scores[4 * DIM];
    nib_status status = nib_classify(c->model, texts, NULL, 4, NULL, scores, NULL);
    if (nib_model_label_count(c->model) != 0 || nib_model_label(c->model, 0)) atomic_fetch_add(&c->wrong, 1);
    return status == NIB_UNSUPPORTED ? NIB_OK : status == NIB_OK ? NIB_INTERNAL : status;
}

static nib_status do_profile(caller *c) {
    float got[4 * DIM];
    nib_profile *f;
    nib_embed_options o;
    nib_profile_totals totals;
    nib_status status = nib_profile_create(c->model, &f, NULL);
    if (status != NIB_OK) return status;
    nib_embed_defaults(&o, sizeof o);
    o.profile = f;
    status = nib_embed(c->model, texts, 4, &o, got, NULL);
    nib_profile_totals_get(f, &totals, sizeof totals);
    if (status == NIB_OK && totals.texts != 4) atomic_fetch_add(&c->wrong, 1);
    nib_profile_free(f);
    return status;
}

static nib_status do_session(caller *c) {
    nib_session *s;
    nib_value_info info;
    nib_tensor ids = {.dtype = NIB_DTYPE_I64, .rank = 2, .dims = {1, 3}, .data = (int64_t[]){2, 5, 3}, .bytes = 24};
    nib_tensor ones = {.dtype = NIB_DTYPE_I64, .rank = 2, .dims = {1, 3}, .data = (int64_t[]){1, 1, 1}, .bytes = 24};
    nib_status status = nib_session_create(c->model, &s, NULL);
    if (status != NIB_OK) return status;
    for (size_t i = 0; i < nib_session_input_count(s); i++) {
        nib_session_input_info(s, i, &info, sizeof info);
        nib_session_set_input(s, nib_session_input_name(s, i), info.role == NIB_ROLE_IDS ? &ids : &ones, NULL);
    }
    status = nib_session_run(s, NULL);
    nib_session_free(s);
    return status;
}

static nib_status do_describe(caller *c) {
    static _Thread_local char text[1 << 16];
    size_t n;
    nib_memory memory;
    nib_status status = nib_model_describe(c->model, text, sizeof text, &n);
    nib_runtime_memory(c->runtime, &memory, sizeof memory);
    if (memory.current > memory.peak) atomic_fetch_add(&c->wrong, 1);
    return status;
}

static nib_status do_explain(caller *c) {
    static _Thread_local char text[1 << 16];
    size_t n;
    return nib_model_explain(c->model, text, sizeof text, &n, NULL);
}

static nib_status do_open(caller *c) {
    nib_model_options o;
    nib_model *m;
    nib_model_defaults(&o, sizeof o);
    o.runtime = c->runtime;
    o.precision = c->number % 2 ? NIB_PRECISION_Q8 : NIB_PRECISION_FILE;
    nib_status status = nib_model_open(TINY, &o, &m, NULL);
    if (status == NIB_OK) nib_model_free(m);
    return status;
}

static nib_status do_tokenize(caller *c) {
    int32_t ids[32];
    size_t n;
    return nib_tokenize(c->model, texts[3], strlen(texts[3]), 0, ids, NULL, NULL, 32, &n, NULL);
}

static nib_status do_warm(caller *c) { return nib_model_warm(c->model, 0, 2, NULL); }

static nib_status (*const uses[])(caller *) = {do_session, do_describe, do_embed,    do_tokens, do_explain, do_describe,
                                               do_labels,  do_open,     do_profile,  do_tokenize, do_warm};
#define USES ((int)(sizeof uses / sizeof *uses))

static void *use_all(void *arg) {
    caller *c = arg;
    for (int i = 0; i < ROUNDS * USES; i++) {
        nib_status status = uses[(i + c->number * 2) % USES](c);
        if (status != NIB_OK) c->worst = status;
    }
    return NULL;
}

/* With a ceiling (0: none), OUT_OF_MEMORY is an answer, and nothing else is. */
static void all_at_once(size_t limit) {
    caller callers[2 * CALLERS];
    pthread_t threads[2 * CALLERS];
    nib_runtime *runtimes[2];
    nib_model *models[2];
    nib_memory memory;
    for (int r = 0; r < 2; r++) {
        nib_runtime_options ro;
        nib_model_options o;
        nib_runtime_defaults(&ro, sizeof ro);
        ro.threads = 2 + r;
        ro.memory_limit = limit;
        assert_int_equal(nib_runtime_create(&ro, &runtimes[r], NULL), NIB_OK);
        nib_model_defaults(&o, sizeof o);
        o.runtime = runtimes[r];
        assert_int_equal(nib_model_open(TINY, &o, &models[r], NULL), NIB_OK);
    }
    for (int i = 0; i < 2 * CALLERS; i++) {
        callers[i] = (caller){.runtime = runtimes[i % 2], .model = models[i % 2], .number = i / 2};
        assert_int_equal(pthread_create(&threads[i], NULL, use_all, &callers[i]), 0);
    }
    for (int i = 0; i < 2 * CALLERS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(callers[i].wrong, 0);
        if (callers[i].worst != NIB_OK && (!limit || callers[i].worst != NIB_OUT_OF_MEMORY))
            fail_msg("caller %d: %s", i, nib_status_text(callers[i].worst));
    }
    for (int r = 0; r < 2; r++) {
        nib_model_free(models[r]);
        nib_runtime_memory(runtimes[r], &memory, sizeof memory);
        if (limit) assert_true(memory.peak <= limit);
        nib_runtime_free(runtimes[r]);
    }
}

static void every_call_at_once(void **state) {
    nib_runtime_options r;
    nib_model_options o;
    nib_memory memory;
    nib_model *m;
    nib_runtime_defaults(&r, sizeof r);
    r.threads = 3;
    nib_model_defaults(&o, sizeof o);
    assert_int_equal(nib_runtime_create(&r, &o.runtime, NULL), NIB_OK);
    assert_int_equal(nib_model_open(TINY, &o, &m, NULL), NIB_OK);
    assert_int_equal(nib_embed(m, texts, 4, NULL, vectors, NULL), NIB_OK);
    nib_runtime_memory(o.runtime, &memory, sizeof memory);
    nib_model_free(m);
    nib_runtime_free(o.runtime);
    all_at_once(0);
    all_at_once(memory.peak * 8);
    all_at_once(memory.peak * 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_call_at_once),
        cmocka_unit_test(others_refusals_are_no_ones_else),
    };
    return cmocka_run_group_tests_name("concurrency", tests, NULL, NULL);
}
