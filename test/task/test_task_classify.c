/* SPDX-License-Identifier: Apache-2.0
 *
 * Classifying texts and pairs, against PyTorch's scores and transformers' pipeline (tools/make_classify_goldens.py).
 * In: test/data/classify. Out: differences, bits, names, refusals.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <unistd.h>
#include "model/model.h"
#include "npy.h"

#define DATA NIB_TEST_DATA "/classify"
#define TEXTS 7
#define MOST_LABELS 3

static char *firsts[TEXTS], *seconds[TEXTS];

static int read_pairs(void **state) {
    char line[400];
    FILE *f = fopen(DATA "/pairs.txt", "rb");
    if (!f) return -1;
    for (int i = 0; i < TEXTS; i++) {
        if (!fgets(line, sizeof line, f)) return -1;
        line[strcspn(line, "\n")] = 0;
        char *tab = strchr(line, '\t');
        firsts[i] = strndup(line, (size_t)(tab - line));
        seconds[i] = strdup(tab + 1);
    }
    fclose(f);
    return 0;
}

static int free_pairs(void **state) {
    for (int i = 0; i < TEXTS; i++) free(firsts[i]), free(seconds[i]);
    return 0;
}

static nib_model *open_as(const char *path, nib_task task, nib_precision precision, int threads) {
    nib_runtime_options r;
    nib_model_options o;
    nib_error e;
    nib_model *m;
    nib_runtime_defaults(&r, sizeof r);
    r.threads = threads;
    nib_model_defaults(&o, sizeof o);
    o.task = task;
    o.precision = precision;
    assert_int_equal(nib_runtime_create(&r, &o.runtime, &e), NIB_OK);
    if (nib_model_open(path, &o, &m, &e) != NIB_OK) fail_msg("%s: %s", path, e.message);
    nib_runtime_free(o.runtime);
    return m;
}

static void classify(nib_model *m, bool pairs, int first, size_t n, nib_scores scores, float *out) {
    nib_classify_options o;
    nib_error e;
    nib_classify_defaults(&o, sizeof o);
    o.scores = scores;
    if (nib_classify(m, (const char *const *)firsts + first, pairs ? (const char *const *)seconds + first : NULL, n, &o,
                     out, &e) != NIB_OK)
        fail_msg("%s", e.message);
}

static const struct {
    const char *name;
    int labels;
} models[] = {{"labels", 3}, {"relevance", 1}};

static void raw_scores_are_pytorchs(void **state) {
    for (size_t i = 0; i < BASE_COUNT(models); i++)
        for (int pairs = 0; pairs < 2; pairs++) {
            char path[300];
            float got[TEXTS * MOST_LABELS];
            snprintf(path, sizeof path, DATA "/%s", models[i].name);
            nib_model *m = open_as(path, NIB_TASK_AUTO, NIB_PRECISION_FILE, 2);
            assert_int_equal(nib_model_task(m), NIB_TASK_CLASSIFY);
            assert_int_equal(nib_model_label_count(m), models[i].labels);
            nib_tensor want = test_npy(DATA "/%s.%s.npy", models[i].name, pairs ? "pair" : "single");
            classify(m, pairs, 0, TEXTS, NIB_SCORES_RAW, got);
            double d = test_difference(got, want.data, TEXTS * (size_t)models[i].labels);
            if (!(d <= 1e-5))
                fail_msg("%s, %s: scores differ by %g", models[i].name, pairs ? "pairs" : "single texts", d);
            free(want.data);
            nib_model_free(m);
        }
}

/* The best label and its score, as a line of the pipeline's golden has them. */
static void check_best(FILE *f, nib_model *m, const float *scores, int labels, const char *what) {
    char line[300], name[40];
    double score;
    int best = 0;
    assert_non_null(fgets(line, sizeof line, f));
    assert_int_equal(sscanf(line, "{\"label\": \"%39[^\"]\", \"score\": %lf}", name, &score), 2);
    for (int i = 1; i < labels; i++)
        if (scores[i] > scores[best]) best = i;
    if (strcmp(nib_model_label(m, best), name) != 0 || fabs((double)scores[best] - score) > 1e-6)
        fail_msg("%s: %s %.8f, want %s %.8f", what, nib_model_label(m, best), (double)scores[best], name, score);
}

static void probabilities_are_the_pipelines(void **state) {
    for (size_t i = 0; i < BASE_COUNT(models); i++)
        for (int pairs = 0; pairs < 2; pairs++) {
            char path[300];
            float got[TEXTS * MOST_LABELS];
            snprintf(path, sizeof path, DATA "/%s", models[i].name);
            nib_model *m = open_as(path, NIB_TASK_AUTO, NIB_PRECISION_FILE, 1);
            snprintf(path, sizeof path, DATA "/%s.%s.jsonl", models[i].name, pairs ? "pair" : "single");
            FILE *f = fopen(path, "rb");
            assert_non_null(f);
            /* `relevance` names Identity, which the pipeline does not read: it takes sigmoid for one label */
            classify(m, pairs, 0, TEXTS, i ? NIB_SCORES_SIGMOID : NIB_SCORES_MODEL, got);
            for (int k = 0; k < TEXTS; k++) check_best(f, m, got + k * models[i].labels, models[i].labels, path);
            fclose(f);
            nib_model_free(m);
        }
}

static void a_cross_encoder_names_its_activation(void **state) {
    float raw[TEXTS], said[TEXTS];
    nib_model *m = open_as(DATA "/relevance", NIB_TASK_AUTO, NIB_PRECISION_FILE, 1);
    classify(m, true, 0, TEXTS, NIB_SCORES_RAW, raw);
    classify(m, true, 0, TEXTS, NIB_SCORES_MODEL, said);
    assert_memory_equal(raw, said, sizeof raw);
    nib_model_free(m);
}

static void the_same_bits_in_any_company(void **state) {
    static const nib_precision precisions[] = {NIB_PRECISION_F32, NIB_PRECISION_BF16, NIB_PRECISION_Q8};
    for (size_t p = 0; p < BASE_COUNT(precisions); p++)
        for (int pairs = 0; pairs < 2; pairs++) {
            float all[TEXTS][3], again[TEXTS][3], alone[3];
            nib_model *one = open_as(DATA "/labels", NIB_TASK_CLASSIFY, precisions[p], 1);
            nib_model *two = open_as(DATA "/labels", NIB_TASK_CLASSIFY, precisions[p], 2);
            classify(one, pairs, 0, TEXTS, NIB_SCORES_MODEL, all[0]);
            classify(two, pairs, 0, TEXTS, NIB_SCORES_MODEL, again[0]);
            assert_memory_equal(all, again, sizeof all);
            for (int i = 0; i < TEXTS; i++) {
                classify(i % 2 ? one : two, pairs, i, 1, NIB_SCORES_MODEL, alone);
                assert_memory_equal(alone, all[i], sizeof alone);
            }
            nib_model_free(one);
            nib_model_free(two);
        }
}

static void labels_have_names(void **state) {
    nib_model *m = open_as(DATA "/labels", NIB_TASK_AUTO, NIB_PRECISION_FILE, 1);
    nib_model *bare = open_as(DATA "/labels/model.onnx", NIB_TASK_AUTO, NIB_PRECISION_FILE, 1);
    assert_string_equal(nib_model_label(m, 0), "no");
    assert_string_equal(nib_model_label(m, 2), "yes");
    assert_null(nib_model_label(m, 3));
    assert_null(nib_model_label(m, -1));
    assert_null(nib_model_label(NULL, 0));
    assert_int_equal(nib_model_label_count(NULL), 0);
    assert_int_equal(nib_model_label_count(bare), 3);
    nib_model_free(m);
    nib_model_free(bare);
}

static void tokens_are_counted_and_cut(void **state) {
    nib_classify_options o;
    nib_error e;
    float scores[TEXTS * 3];
    int64_t tokens[TEXTS], full[TEXTS];
    nib_model *m = open_as(DATA "/labels", NIB_TASK_AUTO, NIB_PRECISION_FILE, 1);
    nib_classify_defaults(&o, sizeof o);
    o.tokens = tokens;
    o.full_tokens = full;
    o.max_tokens = 8;
    assert_int_equal(nib_classify(m, (const char *const *)firsts, (const char *const *)seconds, TEXTS, &o, scores, &e),
                     NIB_OK);
    assert_int_equal(tokens[1], 8);
    assert_true(full[1] > 16);
    assert_int_equal(tokens[2], full[2]);
    o.max_tokens = 2; /* not even the three special tokens of a pair */
    assert_int_equal(nib_classify(m, (const char *const *)firsts, (const char *const *)seconds, TEXTS, &o, scores, &e),
                     NIB_INVALID_ARGUMENT);
    nib_model_free(m);
}

/* Whose tokenizer gives no segments gets zeros, of pairs, too. */
static void segments_that_are_left_out_are_0(void **state) {
    char command[800], folder[64];
    float got[TEXTS * 3];
    nib_tensor want = test_npy(DATA "/%s.%s.npy", "labels", "untyped"),
               typed = test_npy(DATA "/%s.%s.npy", "labels", "pair");
    snprintf(folder, sizeof folder, "/tmp/nib-untyped-%d", (int)getpid());
    snprintf(command, sizeof command,
             "rm -rf %s && cp -r '" DATA "/labels' %s && "
             "echo '{\"model_input_names\": [\"input_ids\", \"attention_mask\"]}' >%s/tokenizer_config.json",
             folder, folder, folder);
    assert_int_equal(system(command), 0);
    nib_model *m = open_as(folder, NIB_TASK_AUTO, NIB_PRECISION_FILE, 1);
    classify(m, true, 0, TEXTS, NIB_SCORES_RAW, got);
    double d = test_difference(got, want.data, TEXTS * 3);
    if (!(d <= 1e-5)) fail_msg("scores differ by %g", d);
    assert_true(test_difference(typed.data, want.data, TEXTS * 3) > 0.01);
    nib_model_free(m);
    free(want.data);
    free(typed.data);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    assert_int_equal(system(command), 0);
}

/* A model that cannot says so at every call, and looks no second time. */
static void a_failure_is_remembered(void **state) {
    nib_error e;
    nib_memory before, after;
    float scores[8];
    nib_runtime_options r;
    nib_model_options o;
    nib_model *m;
    nib_runtime_defaults(&r, sizeof r);
    r.threads = 1;
    nib_model_defaults(&o, sizeof o);
    assert_int_equal(nib_runtime_create(&r, &o.runtime, &e), NIB_OK);
    assert_int_equal(nib_model_open(NIB_TEST_DATA "/nib/tiny", &o, &m, &e), NIB_OK);
    assert_int_equal(nib_classify(m, (const char *const *)firsts, NULL, 1, NULL, scores, &e), NIB_UNSUPPORTED);
    assert_non_null(strstr(e.message, "this model cannot classify texts: no output logits"));
    nib_runtime_memory(o.runtime, &before, sizeof before);
    assert_int_equal(nib_classify(m, (const char *const *)firsts, NULL, 1, NULL, scores, &e), NIB_UNSUPPORTED);
    assert_non_null(strstr(e.message, "this model cannot classify texts: no output logits"));
    assert_int_equal(nib_model_label_count(m), 0);
    assert_null(nib_model_label(m, 0));
    nib_runtime_memory(o.runtime, &after, sizeof after);
    assert_int_equal(before.allocations, after.allocations);
    assert_int_equal(nib_model_dim(m), 32);
    nib_model_free(m);
    nib_runtime_free(o.runtime);
    m = open_as(DATA "/labels", NIB_TASK_AUTO, NIB_PRECISION_FILE, 1); /* and the other way round */
    assert_int_equal(nib_embed(m, (const char *const *)firsts, 1, NULL, scores, &e), NIB_UNSUPPORTED);
    assert_non_null(strstr(e.message, "scores, not vectors"));
    assert_int_equal(nib_model_dim(m), 0);
    nib_model_free(m);
}

static void what_is_wrong_is_said(void **state) {
    nib_classify_options o;
    nib_error e;
    float scores[TEXTS * 3];
    nib_model *m = open_as(DATA "/labels", NIB_TASK_AUTO, NIB_PRECISION_FILE, 1);
    const char *const none[] = {NULL}, *const *texts = (const char *const *)firsts;
    nib_classify_defaults(&o, sizeof o);
    assert_int_equal(nib_classify(m, NULL, NULL, 0, NULL, NULL, &e), NIB_OK);
    assert_int_equal(nib_classify(NULL, texts, NULL, 1, NULL, scores, &e), NIB_INVALID_ARGUMENT);
    assert_int_equal(nib_classify(m, texts, none, 1, NULL, scores, &e), NIB_INVALID_ARGUMENT);
    assert_string_equal(e.message, "second text 0 is NULL");
    assert_int_equal(nib_classify(m, texts, NULL, 1, NULL, NULL, &e), NIB_INVALID_ARGUMENT);
    o.scores = (nib_scores)4;
    assert_int_equal(nib_classify(m, texts, NULL, 1, &o, scores, &e), NIB_INVALID_ARGUMENT);
    o.scores = NIB_SCORES_MODEL;
    o.max_tokens = -1;
    assert_int_equal(nib_classify(m, texts, NULL, 1, &o, scores, &e), NIB_INVALID_ARGUMENT);
    assert_int_equal(nib_model_warm(m, 0, 2, &e), NIB_OK);
    nib_model_free(m);
}

/* ---- memory that runs out at the n-th request, for every n */

static _Atomic long left;

static void *allocate(void *user, size_t bytes) {
    if (atomic_fetch_sub(&left, 1) <= 0) return NULL;
    return aligned_alloc(64, (bytes + 63) / 64 * 64);
}
static void release(void *user, void *pointer, size_t bytes) { free(pointer); }

#define PLENTY 1000000000L

static nib_status classify_first(nib_model *m, nib_error *e) {
    float scores[3];
    return nib_classify(m, (const char *const *)firsts, (const char *const *)seconds, 1, NULL, scores, e);
}

static nib_status tokens_first(nib_model *m, nib_error *e) {
    int64_t offsets[2];
    nib_tensor *rows;
    nib_status status = nib_embed_tokens(m, (const char *const *)firsts, 1, NULL, offsets, &rows, e);
    if (status == NIB_OK) nib_tensor_free(rows);
    return status;
}

/* The program of a task that the model was not opened for is made by the call, and so is the caller's session: whatever
 * is refused, the call says so, and the same call with memory goes on from there. */
static void a_lack_of_memory_is_not_remembered(void **state) {
    static const struct {
        const char *path;
        nib_task opened;
        nib_status (*call)(nib_model *m, nib_error *e);
    } rows[] = {{DATA "/labels", NIB_TASK_EMBED, classify_first},
                {NIB_TEST_DATA "/nib/tiny", NIB_TASK_EMBED, tokens_first}};
    for (size_t i = 0; i < BASE_COUNT(rows); i++) {
        long most = 0;
        nib_status status = NIB_OUT_OF_MEMORY;
        for (long n = 0; status != NIB_OK; n++) {
            nib_runtime_options r;
            nib_model_options o;
            nib_error e;
            nib_memory memory;
            nib_model *m;
            nib_runtime_defaults(&r, sizeof r);
            r.threads = 1;
            r.allocate = allocate;
            r.release = release;
            nib_model_defaults(&o, sizeof o);
            o.task = rows[i].opened;
            atomic_store(&left, PLENTY);
            assert_int_equal(nib_runtime_create(&r, &o.runtime, &e), NIB_OK);
            assert_int_equal(nib_model_open(rows[i].path, &o, &m, &e), NIB_OK);
            atomic_store(&left, n);
            status = rows[i].call(m, &e);
            if (status != NIB_OK && (status != NIB_OUT_OF_MEMORY || !e.message[0]))
                fail_msg("row %zu, request %ld: %s (%s)", i, n, nib_status_text(status), e.message);
            atomic_store(&left, PLENTY);
            if (rows[i].call(m, &e) != NIB_OK) fail_msg("row %zu, request %ld: and then %s", i, n, e.message);
            nib_model_free(m);
            nib_runtime_memory(o.runtime, &memory, sizeof memory);
            nib_runtime_free(o.runtime);
            most = n;
        }
        assert_true(most > 50);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(raw_scores_are_pytorchs),
        cmocka_unit_test(probabilities_are_the_pipelines),
        cmocka_unit_test(a_cross_encoder_names_its_activation),
        cmocka_unit_test(the_same_bits_in_any_company),
        cmocka_unit_test(segments_that_are_left_out_are_0),
        cmocka_unit_test(labels_have_names),
        cmocka_unit_test(tokens_are_counted_and_cut),
        cmocka_unit_test(a_failure_is_remembered),
        cmocka_unit_test(what_is_wrong_is_said),
        cmocka_unit_test(a_lack_of_memory_is_not_remembered),
    };
    return cmocka_run_group_tests_name("classify", tests, read_pairs, free_pairs);
}
