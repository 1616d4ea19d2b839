/* SPDX-License-Identifier: Apache-2.0
 *
 * Calls that their caller stops: CANCELLED, nothing half-written, and all goes on afterwards as if nothing had been.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <nib/nib.h>
#include <pthread.h>
#include <unistd.h>
#include <cmocka.h>

#define TINY NIB_TEST_DATA "/nib/tiny"
#define GRAPH NIB_TEST_DATA "/onnx/bert-tiny.ts.sdpa.onnx"
#define DIM 32
#define TEXTS 3000

typedef struct asked {
    int times, stop_at; /* 0: never */
    uint64_t done, total;
    pthread_t caller;
    bool backwards, elsewhere;
} asked;

static int answer(void *user, uint64_t done, uint64_t total) {
    asked *a = user;
    a->backwards |= done < a->done || total < a->total || done > total;
    a->elsewhere |= !pthread_equal(pthread_self(), a->caller);
    a->done = done;
    a->total = total;
    return ++a->times == a->stop_at;
}

static void check(const asked *a) {
    assert_true(a->times > 0);
    assert_false(a->backwards);
    assert_false(a->elsewhere);
    if (a->stop_at) assert_int_equal(a->times, a->stop_at); /* nobody is asked again */
}

static asked now(void) { return (asked){.stop_at = 1, .caller = pthread_self()}; }
static asked never(void) { return (asked){.caller = pthread_self()}; }

static nib_runtime *runtime;
static nib_model *model;

static int setup(void **state) {
    nib_runtime_options r;
    nib_model_options o;
    nib_runtime_defaults(&r, sizeof r);
    r.threads = 3;
    nib_model_defaults(&o, sizeof o);
    if (nib_runtime_create(&r, &runtime, NULL) != NIB_OK) return -1;
    o.runtime = runtime;
    return nib_model_open(TINY, &o, &model, NULL);
}

static int teardown(void **state) {
    nib_model_free(model);
    nib_runtime_free(runtime);
    return 0;
}

static void opening(void **state) {
    const char *paths[] = {TINY, GRAPH};
    for (size_t i = 0; i < 2; i++) {
        nib_model_options o;
        nib_model *m = NULL;
        nib_error e;
        asked a = now(), b = never();
        nib_model_defaults(&o, sizeof o);
        o.runtime = runtime;
        o.stop = answer;
        o.stop_user = &a;
        assert_int_equal(nib_model_open(paths[i], &o, &m, &e), NIB_CANCELLED);
        assert_null(m);
        check(&a);
        o.stop_user = &b;
        if (nib_model_open(paths[i], &o, &m, &e) != NIB_OK) fail_msg("%s", e.message);
        check(&b);
        nib_model_free(m);
    }
}

/* At each point where it may be asked: the next call gives the same bits. */
static void embedding(void **state) {
    static const char *texts[TEXTS];
    static float want[TEXTS * DIM], got[TEXTS * DIM];
    nib_embed_options o;
    nib_error e;
    for (int i = 0; i < TEXTS; i++) texts[i] = i % 3 ? "a nib writes unaffable" : "a nib, a nib, a nib, a nib, a nib, a nib";
    nib_embed_defaults(&o, sizeof o);
    o.stop = answer;
    asked all = never();
    o.stop_user = &all;
    if (nib_embed(model, texts, TEXTS, &o, want, &e) != NIB_OK) fail_msg("%s", e.message);
    check(&all);
    assert_int_equal(all.total, TEXTS);
    for (int at = 1; at <= 3; at++) {
        asked a = {.stop_at = at, .caller = pthread_self()};
        o.stop_user = &a;
        nib_status status = nib_embed(model, texts, TEXTS, &o, got, &e);
        if (a.times < at) continue;
        if (at == 1) assert_int_equal(status, NIB_CANCELLED); /* before anything was done */
        if (status == NIB_OK) { /* all was done by then */
            assert_memory_equal(got, want, sizeof want);
            continue;
        }
        assert_int_equal(status, NIB_CANCELLED);
        assert_int_equal(e.status, NIB_CANCELLED);
        check(&a);
        assert_int_equal(nib_embed(model, texts, TEXTS, NULL, got, &e), NIB_OK);
        assert_memory_equal(got, want, sizeof want);
    }
}

static void sessions(void **state) {
    nib_session *s;
    nib_error e;
    nib_tensor t[3] = {{0}}, out;
    static int64_t ids[4 * 16];
    asked a = now();
    nib_model *m;
    if (nib_model_open(GRAPH, NULL, &m, &e) != NIB_OK) fail_msg("%s", e.message);
    assert_int_equal(nib_session_create(m, &s, &e), NIB_OK);
    for (size_t i = 0; i < nib_session_input_count(s); i++) {
        t[i] = (nib_tensor){.dtype = NIB_DTYPE_I64, .rank = 2, .dims = {4, 16}, .data = ids, .bytes = sizeof ids};
        assert_int_equal(nib_session_set_input(s, nib_session_input_name(s, i), &t[i], &e), NIB_OK);
    }
    nib_session_stop(s, answer, &a);
    assert_int_equal(nib_session_run(s, &e), NIB_CANCELLED);
    check(&a);
    assert_int_not_equal(nib_session_get_output(s, nib_session_output_name(s, 0), &out, &e), NIB_OK);
    nib_session_stop(s, NULL, NULL);
    if (nib_session_run(s, &e) != NIB_OK) fail_msg("%s", e.message);
    assert_int_equal(nib_session_get_output(s, nib_session_output_name(s, 0), &out, &e), NIB_OK);
    nib_session_free(s);
    nib_model_free(m);
}

/* Stopped wherever it asks; what stands at `out` afterwards is what stood there before. */
static void files(void **state) {
    char folder[] = "/tmp/nib-stop-XXXXXX", out[100], command[200];
    assert_non_null(mkdtemp(folder));
    snprintf(out, sizeof out, "%s/out.onnx", folder);
    for (int verb = 0; verb < 4; verb++) {
        nib_optimize_options o;
        nib_compile_options c;
        nib_error e;
        nib_report *r = NULL;
        nib_optimize_defaults(&o, sizeof o);
        nib_compile_defaults(&c, sizeof c);
        for (int whole = 0; whole < 2; whole++) {
            asked a = whole ? never() : now();
            o.stop = c.stop = answer;
            o.stop_user = c.stop_user = &a;
            o.level = 2;
            nib_status status = verb == 0   ? nib_optimize_file(GRAPH, out, &o, &r, &e)
                                : verb == 1 ? nib_diff_files(GRAPH, GRAPH, &o, &r, &e)
                                : verb == 2 ? nib_graph_of_file(GRAPH, &o, NIB_GRAPH_TEXT, &r, &e)
                                            : nib_compile_file(TINY, out, &c, &e);
            if (status != (whole ? NIB_OK : NIB_CANCELLED)) fail_msg("verb %d: %d %s", verb, status, e.message);
            check(&a);
            nib_report_free(r);
            r = NULL;
            snprintf(command, sizeof command, "test -z \"$(ls -A %s)\"", folder);
            if (!whole) assert_int_equal(system(command), 0);
            remove(out);
        }
    }
    rmdir(folder);
    assert_int_not_equal(access(folder, F_OK), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(opening), cmocka_unit_test(embedding), cmocka_unit_test(sessions),
                                       cmocka_unit_test(files)};
    return cmocka_run_group_tests_name("stop", tests, setup, teardown);
}
