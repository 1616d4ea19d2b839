/* SPDX-License-Identifier: Apache-2.0
 *
 * nib.h's measuring, warming up and embedding of ids, on a tiny random BERT (test/data/hf; 2 layers, 64 wide, 4 heads, FFN 128) and, for
 * what needs a tokenizer, on the real all-MiniLM-L6-v2. In: ids. Out: counts that arithmetic foretells, equal bits, allocator calls.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <nib/nib.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TINY NIB_TEST_DATA "/hf/bert-tiny"
#define REAL NIB_TEST_MODELS "/all-MiniLM-L6-v2"
#define DIM 64
#define LAYERS 2
#define FFN 128
#define MOST 40
#define LONGEST 120
#define MANY_TEXTS 5000 /* beyond a window of a call */

static int32_t rows[MOST][LONGEST];
static const int32_t *ids[MOST];
static int64_t lengths[MOST];

/* Lengths from 1 to LONGEST, ids of the tiny model's vocabulary. */
static int make_ids(void **state) {
    for (int i = 0; i < MOST; i++) {
        ids[i] = rows[i];
        lengths[i] = i == 3 ? LONGEST : 1 + i * 7 % 37;
        for (int j = 0; j < LONGEST; j++) rows[i][j] = (i * 131 + j * 17) % 480;
    }
    return 0;
}

static _Atomic long calls; /* of the allocator */

static void *count_alloc(void *user, size_t bytes) {
    atomic_fetch_add(&calls, 1);
    return aligned_alloc(64, (bytes + 63) / 64 * 64);
}

static void count_free(void *user, void *pointer, size_t bytes) { free(pointer); }

static nib_model *open_counted(const char *path, int threads, nib_runtime **runtime) {
    nib_runtime_options r;
    nib_model_options o;
    nib_model *m;
    nib_error e;
    nib_runtime_defaults(&r, sizeof r);
    r.threads = threads;
    r.allocate = count_alloc;
    r.release = count_free;
    assert_int_equal(nib_runtime_create(&r, runtime, &e), NIB_OK);
    assert_int_equal(nib_runtime_threads(*runtime), threads);
    nib_model_defaults(&o, sizeof o);
    o.runtime = *runtime;
    if (nib_model_open(path, &o, &m, &e) != NIB_OK) fail_msg("%s", e.message);
    return m;
}

static void embed(nib_model *m, int from, int n, nib_profile *profile, float *out) {
    nib_embed_options o;
    nib_error e;
    nib_embed_defaults(&o, sizeof o);
    o.profile = profile;
    if (nib_embed_ids(m, ids + from, lengths + from, (size_t)n, &o, out, &e) != NIB_OK) fail_msg("%s", e.message);
}

static void ids_are_checked(void **state) {
    nib_runtime *rt;
    nib_error e;
    float out[2 * DIM];
    nib_model *m = open_counted(TINY, 1, &rt);
    int32_t bad[2] = {1, 480};
    const int32_t *one[1] = {bad}, *none[1] = {NULL};
    int64_t n = 2, zero = 0, many = nib_model_max_tokens(m) + 1;
    assert_int_equal(nib_embed_ids(m, one, &n, 1, NULL, out, &e), NIB_INVALID_ARGUMENT);
    assert_string_equal(e.message, "text 0, token 1: id 480 is outside the table of 480 rows");
    static const int32_t outside[] = {INT32_MAX, -1, -480, -481, INT32_MIN}; /* no row is counted from the table's end */
    for (size_t i = 0; i < sizeof outside / sizeof *outside; i++) {
        bad[1] = outside[i];
        assert_int_equal(nib_embed_ids(m, one, &n, 1, NULL, out, &e), NIB_INVALID_ARGUMENT);
        assert_non_null(strstr(e.message, "text 0, token 1: id "));
    }
    static const int32_t good[1] = {1}; /* and far behind, too */
    static const int32_t *many_texts[MANY_TEXTS];
    static int64_t ones[MANY_TEXTS];
    static float vectors[MANY_TEXTS * DIM];
    for (int i = 0; i < MANY_TEXTS; i++) many_texts[i] = i == MANY_TEXTS - 2 ? bad + 1 : good, ones[i] = 1;
    assert_int_equal(nib_embed_ids(m, many_texts, ones, MANY_TEXTS, NULL, vectors, &e), NIB_INVALID_ARGUMENT);
    assert_non_null(strstr(e.message, "text 4998, token 0: id -2147483648 "));
    assert_int_equal(nib_embed_ids(m, none, &n, 1, NULL, out, &e), NIB_INVALID_ARGUMENT);
    assert_int_equal(nib_embed_ids(m, one, &zero, 1, NULL, out, &e), NIB_INVALID_ARGUMENT);
    assert_int_equal(nib_embed_ids(m, one, &many, 1, NULL, out, &e), NIB_INVALID_ARGUMENT);
    assert_int_equal(nib_embed_ids(m, NULL, NULL, 1, NULL, out, &e), NIB_INVALID_ARGUMENT);
    assert_int_equal(nib_embed_ids(m, NULL, NULL, 0, NULL, NULL, &e), NIB_OK);
    assert_int_equal(nib_embed_ids(NULL, one, &n, 1, NULL, out, &e), NIB_INVALID_ARGUMENT);
    assert_int_equal(nib_model_warm(NULL, 0, 1, &e), NIB_INVALID_ARGUMENT);
    assert_int_equal(nib_model_warm(m, -1, 1, &e), NIB_INVALID_ARGUMENT);
    assert_int_equal(nib_model_warm(m, 0, 0, &e), NIB_INVALID_ARGUMENT);
    bad[1] = 479; /* and after all that it still works */
    assert_int_equal(nib_embed_ids(m, one, &n, 1, NULL, out, &e), NIB_OK);
    nib_model_free(m);
    nib_runtime_free(rt);
}

/* A tokenizer that does not belong to its model: an id, or a type, that no table has. */
static void a_tokenizers_ids_are_checked(void **state) {
    static const char *const edits[][2] = {
        {"s/\"type_id\": 0/\"type_id\": 2/", "text 0, token 0: type 2 is outside the table of 2 rows"},
        {"s/\\[SEP\\]\": 3/[SEP]\": 24/; s/\"id\": 3,/\"id\": 24,/; s/^\\( *\\)3$/\\124/",
         "text 0, token 1: id 24 is outside the table of 24 rows"},
    };
    char folder[] = "/tmp/nib-outgrown-XXXXXX", command[1000];
    const char *text = "", *as_it_is = "{\"tokenizer_class\": \"PreTrainedTokenizerFast\"}";
    assert_non_null(mkdtemp(folder));
    for (size_t i = 0; i < sizeof edits / sizeof *edits; i++) {
        nib_model *m;
        nib_error e;
        float out[64];
        snprintf(command, sizeof command, "cp '%s'/nib/tiny/* %s && sed -i '%s' %s/tokenizer.json && echo '%s' >%s/tokenizer_config.json",
                 NIB_TEST_DATA, folder, edits[i][0], folder, as_it_is, folder);
        assert_int_equal(system(command), 0);
        if (nib_model_open(folder, NULL, &m, &e) != NIB_OK) fail_msg("%s", e.message);
        assert_int_equal(nib_model_dim(m), 32);
        assert_int_equal(nib_embed(m, &text, 1, NULL, out, &e), NIB_BAD_TOKENIZER);
        assert_string_equal(e.message, edits[i][1]);
        nib_model_free(m);
    }
    snprintf(command, sizeof command, "rm -rf %s", folder);
    assert_int_equal(system(command), 0);
}

#ifdef NIB_TEST_MODELS
static void ids_give_the_bits_of_their_text(void **state) {
    nib_model *m;
    nib_error e;
    const char *texts[] = {"A nib is the tip of a pen.", "", "dipped in ink, it writes for a line or two"};
    static float by_text[3 * 384], by_ids[3 * 384];
    static int32_t own[3][64];
    const int32_t *each[3] = {own[0], own[1], own[2]};
    int64_t n[3];
    assert_int_equal(nib_model_open(REAL, NULL, &m, &e), NIB_OK);
    for (int i = 0; i < 3; i++) {
        size_t count;
        assert_int_equal(nib_tokenize(m, texts[i], strlen(texts[i]), 0, own[i], NULL, NULL, 64, &count, &e), NIB_OK);
        n[i] = (int64_t)count;
    }
    assert_int_equal(nib_embed(m, texts, 3, NULL, by_text, &e), NIB_OK);
    assert_int_equal(nib_embed_ids(m, each, n, 3, NULL, by_ids, &e), NIB_OK);
    assert_memory_equal(by_text, by_ids, sizeof by_text);
    nib_model_free(m);
}
#endif

/* After warming up, runs of up to a group of texts a thread find all their memory: from the first one on, whatever the lengths. */
static void a_warm_model_allocates_nothing(void **state) {
    static float out[MOST * DIM];
    for (int threads = 1; threads <= 3; threads++) {
        nib_runtime *rt;
        nib_error e;
        nib_model *m = open_counted(TINY, threads, &rt);
        assert_int_equal(nib_model_warm(m, LONGEST, 1, &e), NIB_OK);
        long before = atomic_load(&calls);
        assert_true(before > 0);
        embed(m, 3, 1, NULL, out); /* the longest alone */
        embed(m, 0, MOST, NULL, out);
        for (int i = 0; i < MOST; i++) embed(m, i, 1 + i % (MOST - i), NULL, out);
        assert_int_equal(atomic_load(&calls), before);
        assert_int_equal(nib_model_warm(m, LONGEST, 1, &e), NIB_OK); /* warming up again only borrows */
        nib_model_free(m);
        nib_runtime_free(rt);
    }
}

#ifdef NIB_TEST_MODELS
static void a_warm_model_tokenizes_without_allocating(void **state) {
    nib_runtime *rt;
    nib_error e;
    static float out[3 * 384];
    const char *texts[] = {"A nib is the tip of a pen.", "", "dipped in ink, it writes for a line or two"};
    nib_model *m = open_counted(REAL, 2, &rt);
    assert_int_equal(nib_model_warm(m, 64, 1, &e), NIB_OK);
    long before = atomic_load(&calls);
    for (int i = 0; i < 5; i++) assert_int_equal(nib_embed(m, texts, 3, NULL, out, &e), NIB_OK);
    assert_int_equal(atomic_load(&calls), before);
    nib_model_free(m);
    nib_runtime_free(rt);
}
#endif

typedef struct sums {
    double operations, linear, attention, ns, bound;
    uint64_t calls;
} sums;

static sums sum_of(const nib_profile *f, const nib_machine *machine) {
    sums s = {0};
    for (size_t i = 0; i < nib_profile_step_count(f); i++) {
        nib_profile_step step;
        assert_int_equal(nib_profile_step_get(f, i, machine, sizeof *machine, &step, sizeof step), NIB_OK);
        assert_non_null(step.op);
        assert_non_null(step.kernel);
        assert_non_null(step.kind);
        s.operations += step.operations;
        if (strncmp(step.kind, "linear", 6) == 0) s.linear += step.operations;
        if (strcmp(step.kind, "attention") == 0) s.attention += step.operations;
        s.ns += (double)step.nanoseconds;
        s.bound += step.bound_nanoseconds;
        s.calls += step.calls;
    }
    return s;
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void a_profile_counts_the_work_that_there_is(void **state) {
    static float out[MOST * DIM], plain[MOST * DIM];
    double tokens = 0, squares = 0;
    for (int i = 0; i < MOST; i++) {
        tokens += (double)lengths[i];
        squares += (double)lengths[i] * (double)lengths[i];
    }
    for (int threads = 1; threads <= 2; threads++) {
        nib_runtime *rt;
        nib_error e;
        nib_profile *f;
        nib_profile_totals totals;
        nib_machine machine = {.threads = 1, .f32 = 1e9, .cache_bytes = 1e9};
        nib_model *m = open_counted(TINY, threads, &rt);
        assert_int_equal(nib_profile_create(m, &f, &e), NIB_OK);
        embed(m, 0, MOST, NULL, plain);
        assert_int_equal(sum_of(f, NULL).calls, 0);
        double begun = now();
        for (int pass = 0; pass < 2; pass++) embed(m, 0, MOST, f, out);
        double seconds = now() - begun;
        assert_memory_equal(out, plain, sizeof out);
        sums s = sum_of(f, &machine);
        assert_true(s.linear == 2 * tokens * LAYERS * 2 * (4 * DIM * DIM + 2 * DIM * FFN));
        assert_true(s.attention == 2 * squares * LAYERS * 4 * DIM);
        assert_true(s.operations == s.linear + s.attention);
        assert_true(s.ns > 0 && s.ns <= 1e9 * seconds * threads);
        assert_true(s.bound >= s.operations); /* 1 GFLOP/s: a nanosecond an operation */
        assert_true(sum_of(f, NULL).bound == 0);
        nib_profile_totals_get(f, &totals, sizeof totals);
        assert_int_equal(totals.texts, 2 * MOST);
        assert_int_equal(totals.tokens, 2 * (uint64_t)tokens);
        embed(m, 0, MOST, NULL, out); /* nothing is counted any more */
        assert_int_equal(sum_of(f, NULL).calls, s.calls);
        nib_profile_reset(f);
        assert_int_equal(sum_of(f, NULL).calls, 0);
        embed(m, 3, 1, f, out); /* one text: on more threads these share its steps */
        s = sum_of(f, NULL);
        assert_true(s.attention == (double)LONGEST * LONGEST * LAYERS * 4 * DIM);
        assert_true(s.linear == (double)LONGEST * LAYERS * 2 * (4 * DIM * DIM + 2 * DIM * FFN));
        nib_model_free(m); /* the profile keeps it */
        assert_int_equal(sum_of(f, NULL).calls, s.calls);
        nib_profile_free(f);
        nib_runtime_free(rt);
    }
}

static void a_profile_is_of_one_model(void **state) {
    nib_runtime *rt;
    nib_error e;
    nib_profile *f, *of_session;
    nib_session *s;
    nib_embed_options o;
    float out[DIM];
    nib_profile_step step;
    nib_model *m = open_counted(TINY, 1, &rt), *other;
    assert_int_equal(nib_model_open(TINY, NULL, &other, &e), NIB_OK);
    assert_int_equal(nib_profile_create(NULL, &f, &e), NIB_INVALID_ARGUMENT);
    assert_null(f);
    assert_int_equal(nib_profile_create(m, &f, &e), NIB_OK);
    nib_embed_defaults(&o, sizeof o);
    o.profile = f;
    assert_int_equal(nib_embed_ids(other, ids, lengths, 1, &o, out, &e), NIB_INVALID_ARGUMENT);
    assert_int_equal(nib_profile_step_get(f, nib_profile_step_count(f), NULL, 0, &step, sizeof step),
                     NIB_INVALID_ARGUMENT);
    assert_int_equal(nib_session_create(m, &s, &e), NIB_OK);
    assert_int_equal(nib_session_profile(s, &of_session, &e), NIB_OK);
    o.profile = of_session;
    assert_int_equal(nib_embed_ids(m, ids, lengths, 1, &o, out, &e), NIB_INVALID_ARGUMENT);
    int64_t id[6] = {1, 2, 3, 4, 5, 6}, ones[6] = {1, 1, 1, 1, 1, 1}, zeros[6] = {0};
    for (size_t i = 0; i < nib_session_input_count(s); i++) {
        const char *name = nib_session_input_name(s, i);
        void *data = strstr(name, "mask") ? ones : strstr(name, "type") ? zeros : id;
        nib_tensor t = {.dtype = NIB_DTYPE_I64, .rank = 2, .dims = {2, 3}, .data = data, .bytes = sizeof id};
        assert_int_equal(nib_session_set_input(s, name, &t, &e), NIB_OK);
    }
    assert_int_equal(nib_session_run(s, &e), NIB_OK);
    sums got = sum_of(of_session, NULL);
    assert_true(got.calls > 0 && got.attention == 2 * 9.0 * LAYERS * 4 * DIM);
    nib_session_free(s);
    nib_profile_free(of_session);
    nib_profile_free(f);
    nib_profile_free(NULL);
    nib_model_free(m);
    nib_model_free(other);
    nib_runtime_free(rt);
}

/* The levers change what is computed, not what comes out. */
static void levers_change_the_plan_not_the_vectors(void **state) {
    static float want[MOST * DIM], got[MOST * DIM];
    uint64_t steps[4];
    for (int i = 0; i < 4; i++) {
        static const int levels[4] = {-1, 2, 1, 0}, packs[4] = {-1, 0, 0, -1};
        nib_model_options o;
        nib_model *m;
        nib_error e;
        nib_profile *f;
        nib_model_defaults(&o, sizeof o);
        o.optimize = levels[i];
        o.pack = packs[i];
        assert_int_equal(nib_model_open(TINY, &o, &m, &e), NIB_OK);
        assert_int_equal(nib_profile_create(m, &f, &e), NIB_OK);
        steps[i] = nib_profile_step_count(f);
        embed(m, 0, MOST, f, i ? got : want);
        for (int k = 0; i && k < MOST * DIM; k++) assert_true(got[k] - want[k] < 1e-5f && want[k] - got[k] < 1e-5f);
        nib_profile_free(f);
        nib_model_free(m);
        o.optimize = 3;
        assert_int_equal(nib_model_open(TINY, &o, &m, &e), NIB_INVALID_ARGUMENT);
    }
    assert_true(steps[1] < steps[2] && steps[2] < steps[3]); /* fused, simplified, as it is */
    assert_true(steps[0] != steps[1]);
}

static void a_machine_is_measured(void **state) {
    nib_runtime *rt;
    nib_runtime_options r;
    nib_error e;
    nib_machine one, two;
    nib_memory memory;
    nib_runtime_defaults(&r, sizeof r);
    r.threads = 2;
    assert_int_equal(nib_machine_measure(NULL, NULL, 0, &e), NIB_INVALID_ARGUMENT);
    assert_int_equal(nib_runtime_create(&r, &rt, &e), NIB_OK);
    assert_int_equal(nib_machine_measure(rt, &two, sizeof two, &e), NIB_OK);
    assert_int_equal(two.threads, 2);
    assert_true(two.f32 > 1e6 && two.q8 > 1e6 && two.cache_bytes > 1e6 && two.memory_bytes > 1e6);
    nib_runtime_memory(rt, &memory, sizeof memory);
    assert_true(memory.peak > (32u << 20)); /* what it read from */
    nib_runtime_free(rt);
    r.threads = 1;
    r.memory_limit = 16 << 20; /* no room for what memory is read from: the rest is measured */
    assert_int_equal(nib_runtime_create(&r, &rt, &e), NIB_OK);
    assert_int_equal(nib_machine_measure(rt, &one, sizeof one, &e), NIB_OK);
    assert_true(one.f32 > 1e6 && one.memory_bytes == 0);
    nib_runtime_free(rt);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_are_checked),
        cmocka_unit_test(a_tokenizers_ids_are_checked),
#ifdef NIB_TEST_MODELS
        cmocka_unit_test(ids_give_the_bits_of_their_text),
#endif
        cmocka_unit_test(a_warm_model_allocates_nothing),
#ifdef NIB_TEST_MODELS
        cmocka_unit_test(a_warm_model_tokenizes_without_allocating),
#endif
        cmocka_unit_test(a_profile_counts_the_work_that_there_is),
        cmocka_unit_test(a_profile_is_of_one_model),
        cmocka_unit_test(levers_change_the_plan_not_the_vectors),
        cmocka_unit_test(a_machine_is_measured),
    };
    return cmocka_run_group_tests(tests, make_ids, NULL);
}
