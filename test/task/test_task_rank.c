/* SPDX-License-Identifier: Apache-2.0
 *
 * Ranking, against sentence-transformers' CrossEncoder. In: test/data/tasks/rank-*. Out: order, scores, bits, refusals.
 */
#include "task_golden.h"

static const char *const models[] = {"rank-bert", "rank-roberta", "rank-modernbert", "rank-qwen",
                                     "judge-qwen3", "judge-llama", "judge-classifier", "judge-card",
                                     "judge-card-qwen2", "judge-card-gemma"};
#define MODELS (sizeof models / sizeof *models)

static size_t rank(nib_model *m, const char *query, const char *const *documents, size_t n, nib_scores scores,
                   nib_ranked *out) {
    nib_rank_options o;
    nib_error e;
    size_t count;
    nib_rank_defaults(&o, sizeof o);
    o.scores = scores;
    if (nib_rank(m, query, documents, n, &o, out, &count, &e) != NIB_OK) fail_msg("%s", e.message);
    return count;
}

static void by_document(const nib_ranked *ranked, size_t n, double *scores) {
    for (size_t i = 0; i < n; i++) scores[i] = NAN;
    for (size_t i = 0; i < n; i++) scores[ranked[i].index] = (double)ranked[i].score;
}

/* The largest difference over the largest of `want`. */
static double farthest(const double *got, yyjson_val *want) {
    double most = 0, largest = 1e-30;
    for (size_t i = 0; i < yyjson_arr_size(want); i++) {
        const double w = yyjson_get_num(yyjson_arr_get(want, i)), d = fabs(got[i] - w);
        if (!(d <= most)) most = d;
        if (fabs(w) > largest) largest = fabs(w);
    }
    return most / largest;
}

static void documents_are_ranked_as_cross_encoders_rank_them(void **state) {
    for (size_t k = 0; k < MODELS; k++) {
        const char *documents[MOST_TEXTS];
        nib_ranked got[MOST_TEXTS];
        double scores[MOST_TEXTS];
        size_t i, n;
        yyjson_val *want;
        yyjson_doc *doc = golden_open(models[k]);
        yyjson_val *golden = yyjson_doc_get_root(doc), *relevance = yyjson_obj_get(golden, "relevance");
        const char *query = yyjson_get_str(yyjson_obj_get(golden, "query"));
        const size_t count = golden_texts(yyjson_obj_get(golden, "documents"), documents);
        nib_model *m = golden_model(models[k], NIB_PRECISION_FILE, 2);
        assert_int_equal(rank(m, query, documents, count, NIB_SCORES_MODEL, got), count);
        yyjson_arr_foreach(yyjson_obj_get(golden, "ranked"), i, n, want) {
            assert_int_equal(got[i].index, yyjson_get_uint(yyjson_obj_get(want, "corpus_id")));
            const double score = yyjson_get_num(yyjson_obj_get(want, "score"));
            if (!(fabs((double)got[i].score - score) <= 1e-4 * (fabs(score) + 1)))
                fail_msg("%s: %g, want %g", models[k], (double)got[i].score, score);
        }
        rank(m, query, documents, count, NIB_SCORES_RAW, got);
        by_document(got, count, scores);
        const double d = farthest(scores, relevance);
        if (!(d <= 1e-4)) fail_msg("%s: relevance differs by %g", models[k], d);
        for (size_t j = 0; j < count; j++) { /* what must not pass: the document asks, and the query answers */
            rank(m, documents[j], &query, 1, NIB_SCORES_RAW, got);
            scores[j] = (double)got[0].score;
        }
        assert_true(farthest(scores, relevance) > 1e-2);
        nib_model_free(m);
        yyjson_doc_free(doc);
    }
}

static void the_same_bits_in_any_company(void **state) {
    static const nib_precision precisions[] = {NIB_PRECISION_F32, NIB_PRECISION_BF16, NIB_PRECISION_Q8};
    const char *documents[] = {"a nib", "", "the river Elbe, and a long text of it, in Dresden", "?", "a nib"};
    for (size_t k = 0; k < MODELS; k++)
        for (size_t p = 0; p < 3; p++) {
            nib_ranked all[5], one[1];
            nib_model *m = golden_model(models[k], precisions[p], 2),
                      *alone = golden_model(models[k], precisions[p], 1);
            rank(m, "a pen", documents, 5, NIB_SCORES_MODEL, all);
            for (int i = 0; i < 5; i++) {
                rank(alone, "a pen", documents + all[i].index, 1, NIB_SCORES_MODEL, one);
                assert_memory_equal(&one[0].score, &all[i].score, sizeof one[0].score);
                if (i) assert_true(all[i - 1].score >= all[i].score);
                if (i && all[i].score == all[i - 1].score) assert_true(all[i].index > all[i - 1].index);
            }
            nib_model_free(m);
            nib_model_free(alone);
        }
}

static void the_best_alone_and_lengths(void **state) {
    const char *documents[] = {"a nib|", "ink|of", "?|", "a nib|x"};
    const size_t lengths[] = {5, 3, 1, 5};
    const char *plain[] = {"a nib", "ink", "?", "a nib"};
    int64_t tokens[4], full[4];
    nib_ranked all[4], some[4];
    nib_rank_options o;
    nib_error e;
    size_t count;
    nib_model *m = golden_model("rank-bert", NIB_PRECISION_FILE, 1);
    rank(m, "a pen", plain, 4, NIB_SCORES_MODEL, all);
    nib_rank_defaults(&o, sizeof o);
    o.query_length = 5;
    o.lengths = lengths;
    o.tokens = tokens;
    o.full_tokens = full;
    o.top = 2;
    assert_int_equal(nib_rank(m, "a penX", documents, 4, &o, some, &count, &e), NIB_OK);
    assert_int_equal(count, 2);
    for (size_t i = 0; i < count; i++) assert_true(some[i].index == all[i].index && some[i].score == all[i].score);
    assert_true(tokens[0] == tokens[3] && tokens[0] == full[0]);
    o.max_tokens = 6; /* a document longer than that is cut, which the counts say */
    assert_int_equal(nib_rank(m, "a penX", documents, 4, &o, some, &count, &e), NIB_OK);
    assert_true(tokens[0] == 6 && full[0] > 6);
    assert_int_equal(nib_rank(m, "", documents, 0, NULL, some, &count, &e), NIB_OK);
    assert_int_equal(count, 0);
    nib_model_free(m);
}

static void what_is_no_number_comes_last(void **state) {
    const char *documents[] = {"a nib", "ink", "?"};
    nib_ranked got[3];
    size_t size;
    char *weights = golden_file("rank-bert", "model.safetensors", &size);
    memset(weights + size - 4, 0xff, 4); /* of the last tensor: classifier.weight has one row */
    const char *path = golden_variant("rank-bert", "model.safetensors", weights, size);
    nib_model *m = golden_model(path, NIB_PRECISION_FILE, 1);
    assert_int_equal(rank(m, "a pen", documents, 3, NIB_SCORES_MODEL, got), 3);
    for (size_t i = 0; i < 3; i++) assert_true(got[i].index == i && isnan(got[i].score));
    nib_model_free(m);
    golden_remove(path);
    free(weights);
}

static void a_hundred_thousand_documents(void **state) {
    enum { MANY = 100000 };
    const char **documents = malloc(MANY * sizeof *documents);
    nib_ranked *got = malloc(MANY * sizeof *got);
    bool *seen = calloc(MANY, 1);
    nib_model *m = golden_model(NIB_TEST_DATA "/classify/relevance", NIB_PRECISION_Q8, 2);
    for (size_t i = 0; i < MANY; i++) documents[i] = i % 1000 == 7 ? "a nib" : "a";
    assert_int_equal(rank(m, "b", documents, MANY, NIB_SCORES_MODEL, got), MANY);
    for (size_t i = 0; i < MANY; i++) {
        assert_false(seen[got[i].index]);
        seen[got[i].index] = true;
        if (i) assert_true(got[i].score < got[i - 1].score || got[i].index > got[i - 1].index);
    }
    nib_model_free(m);
    free(documents);
    free(got);
    free(seen);
}

static void what_cannot_be_ranked_is_refused(void **state) {
    const char *documents[] = {"a nib", NULL};
    nib_ranked got[2];
    nib_rank_options o;
    nib_error e;
    size_t count = 9;
    nib_rank_defaults(&o, sizeof o);
    o.scores = NIB_SCORES_SOFTMAX;
    nib_model *m = golden_model("rank-bert", NIB_PRECISION_FILE, 1);
    assert_int_equal(nib_rank(m, "a", documents, 1, &o, got, &count, &e), NIB_INVALID_ARGUMENT);
    assert_non_null(strstr(e.message, "softmax of one label"));
    assert_int_equal(count, 0);
    assert_int_equal(nib_rank(m, "a", documents, 2, NULL, got, &count, &e), NIB_INVALID_ARGUMENT);
    assert_int_equal(nib_rank(m, NULL, documents, 1, NULL, got, &count, &e), NIB_INVALID_ARGUMENT);
    nib_model_free(m);
    m = golden_model(NIB_TEST_DATA "/classify/labels", NIB_PRECISION_FILE, 1);
    assert_int_equal(nib_rank(m, "a", documents, 1, NULL, got, &count, &e), NIB_UNSUPPORTED);
    assert_non_null(strstr(e.message, "3 labels"));
    nib_model_free(m);
    m = golden_model(NIB_TEST_DATA "/nib/tiny", NIB_PRECISION_FILE, 1);
    assert_int_equal(nib_rank(m, "a", documents, 1, NULL, got, &count, &e), NIB_UNSUPPORTED);
    nib_model_free(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(documents_are_ranked_as_cross_encoders_rank_them),
        cmocka_unit_test(the_same_bits_in_any_company),
        cmocka_unit_test(the_best_alone_and_lengths),
        cmocka_unit_test(what_is_no_number_comes_last),
        cmocka_unit_test(a_hundred_thousand_documents),
        cmocka_unit_test(what_cannot_be_ranked_is_refused),
    };
    return cmocka_run_group_tests_name("rank", tests, NULL, NULL);
}
