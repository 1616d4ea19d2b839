/* SPDX-License-Identifier: Apache-2.0
 *
 * Search: the scores of sentence-transformers, the order that sorting all scores gives, the same hits on any number of
 * threads, and refusals. Then the recipes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <math.h>
#include "test_vectors.h"

static nib_error e;

static nib_vectors vectors_of(nib_vector_type type, const void *data, size_t n, int64_t width, const float *ranges) {
    return (nib_vectors){.type = type, .data = data, .n = n, .width = width, .ranges = ranges};
}

static nib_search_options with(nib_similarity similarity) {
    nib_search_options o;
    nib_search_defaults(&o, sizeof o);
    o.similarity = similarity;
    return o;
}

static void search(const nib_vectors *q, const nib_vectors *d, size_t k, const nib_search_options *o, nib_hit *hits,
                   size_t *counts) {
    if (nib_search(q, d, k, o, hits, counts, &e) != NIB_OK) fail_msg("%s", e.message);
}

/* Every score, where all documents are hits, and that they come in order. */
static void check_scores(const nib_hit *hits, size_t queries, size_t n, const double *want, double within) {
    for (size_t i = 0; i < queries; i++)
        for (size_t j = 0; j < n; j++) {
            const nib_hit *h = &hits[i * n + j];
            assert_float_equal(h->score, want[i * n + h->index], within);
            if (j == 0) continue;
            assert_true(h->score < h[-1].score || (h->score == h[-1].score && h->index > h[-1].index));
        }
}

/* Rounding takes no cosine out of [-1, 1], and what is no number is no hit. */
static void cosines_are_within_one(void **state) {
    enum { WIDE = 37, ROWS = 400 };
    static float rows[ROWS * WIDE], back[ROWS * WIDE];
    nib_hit hits[2];
    size_t counts[1], beyond = 0;
    const nib_search_options o = with(NIB_SIMILARITY_COSINE);
    uint32_t random = 7;
    for (size_t i = 0; i < ROWS * WIDE; i++) {
        random = random * 1664525u + 1013904223u;
        rows[i] = (float)(random >> 8) / 16777216.f - .3f;
        back[i] = -rows[i];
    }
    for (size_t i = 0; i < ROWS; i++) {
        double dot = 0;
        for (int64_t k = 0; k < WIDE; k++) dot += (double)rows[i * WIDE + (size_t)k] * (double)rows[i * WIDE + (size_t)k];
        beyond += dot / (sqrt(dot) * sqrt(dot)) > 1;
        const nib_vectors q = vectors_of(NIB_VECTOR_F32, rows + i * WIDE, 1, WIDE, NULL);
        const nib_vectors same = q, other = vectors_of(NIB_VECTOR_F32, back + i * WIDE, 1, WIDE, NULL);
        search(&q, &same, 1, &o, hits, counts);
        assert_true(hits[0].score <= 1 && hits[0].score > 1 - 1e-6);
        search(&q, &other, 1, &o, hits, counts);
        assert_true(hits[0].score >= -1 && hits[0].score < -1 + 1e-6);
    }
    assert_true(beyond > 0); /* there is something to see */
    rows[3] = NAN;
    const nib_vectors q = vectors_of(NIB_VECTOR_F32, rows, 1, WIDE, NULL);
    search(&q, &q, 1, &o, hits, counts);
    assert_int_equal(counts[0], 0);
}

static void scores_are_those_of_sentence_transformers(void **state) {
    static const struct {
        const char *name;
        nib_similarity similarity;
    } kinds[] = {{"sim_cos", NIB_SIMILARITY_COSINE},
                 {"sim_dot", NIB_SIMILARITY_DOT},
                 {"sim_euclidean", NIB_SIMILARITY_EUCLIDEAN},
                 {"sim_manhattan", NIB_SIMILARITY_MANHATTAN}};
    const nib_vectors q = vectors_of(NIB_VECTOR_F32, golden("queries"), QUERIES, WIDTH, NULL);
    const nib_vectors d = vectors_of(NIB_VECTOR_F32, golden("rows"), N, WIDTH, NULL);
    const nib_vectors half = vectors_of(NIB_VECTOR_F16, golden("float16"), N, WIDTH, NULL);
    nib_hit hits[QUERIES * N];
    size_t counts[QUERIES];
    double want[QUERIES * N];
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        const float *scores = golden(kinds[i].name);
        const nib_search_options o = with(kinds[i].similarity);
        for (int j = 0; j < QUERIES * N; j++) want[j] = (double)scores[j];
        search(&q, &d, N, &o, hits, counts);
        assert_int_equal(counts[2], N);
        check_scores(hits, QUERIES, N, want, 2e-4); /* of sums of 100 numbers, in f32 */
        search(&q, &half, N, &o, hits, NULL);
        check_scores(hits, QUERIES, N, want, 5e-2);
    }
    const double *best = golden("search");
    search(&q, &d, TOP, NULL, hits, NULL);
    for (int i = 0; i < QUERIES * TOP; i++) assert_float_equal(hits[i].score, best[i], 1e-6);
    for (int i = 0; i < QUERIES * TOP; i++) assert_true(hits[i].index != 7 || hits[i - 1].index == 2); /* of equals */
}

static void bits_and_bytes_are_found(void **state) {
    const float *ranges = golden("ranges"), *rows = golden("queries");
    const int64_t *distance = golden("hamming"), *at = golden("rescored_at");
    const double *rescored = golden("rescored"), *dot = golden("int8_dot");
    const nib_vectors q = vectors_of(NIB_VECTOR_F32, rows, QUERIES, WIDTH, NULL);
    const nib_vectors bits = vectors_of(NIB_VECTOR_UBINARY, golden("ubinary"), N, WIDTH, NULL);
    const nib_vectors less = vectors_of(NIB_VECTOR_BINARY, golden("binary"), N, WIDTH, NULL);
    const nib_vectors bytes = vectors_of(NIB_VECTOR_I8, golden("int8"), N, WIDTH, ranges);
    nib_hit hits[QUERIES * N];
    double want[QUERIES * N];
    for (int i = 0; i < QUERIES * N; i++) want[i] = (double)distance[i];
    search(&q, &bits, N, NULL, hits, NULL);
    check_scores(hits, QUERIES, N, want, 0);
    search(&q, &less, N, NULL, hits, NULL);
    check_scores(hits, QUERIES, N, want, 0);
    nib_search_options o = with(NIB_SIMILARITY_AUTO);
    o.rescore = TIMES;
    search(&q, &bits, TOP, &o, hits, NULL);
    for (int i = 0; i < QUERIES * TOP; i++) {
        assert_int_equal(hits[i].index, at[i]);
        assert_float_equal(hits[i].score, rescored[i], 1e-4);
    }
    const nib_search_options by = with(NIB_SIMILARITY_DOT);
    search(&q, &bytes, N, &by, hits, NULL);
    check_scores(hits, QUERIES, N, dot, 2e-4);
    /* Candidates by bits, scored by bytes: all of them are candidates, so the hits are those of the bytes. */
    nib_hit anew[QUERIES * TOP], best[QUERIES * TOP];
    o = with(NIB_SIMILARITY_DOT);
    o.rescore = N;
    o.better = &bytes;
    search(&q, &bits, TOP, &o, anew, NULL);
    search(&q, &bytes, TOP, &by, best, NULL);
    for (int i = 0; i < QUERIES * TOP; i++) assert_int_equal(anew[i].index, best[i].index);
}

/* Whole numbers, whose sums a float would not hold. */
static void sums_of_bytes_are_exact(void **state) {
    enum { W = 3001 };
    static uint8_t documents[2 * W], query[W];
    nib_hit hits[2];
    uint64_t dot[2] = {0}, squares[2] = {0};
    for (int i = 0; i < W; i++) {
        query[i] = (uint8_t)(255 - i % 3);
        documents[i] = (uint8_t)(i * 7);
        documents[W + i] = (uint8_t)(255 - i % 5);
        for (int d = 0; d < 2; d++) {
            const int64_t x = documents[d * W + i], gap = query[i] - x;
            dot[d] += (uint64_t)(query[i] * x);
            squares[d] += (uint64_t)(gap * gap);
        }
    }
    const nib_vectors q = vectors_of(NIB_VECTOR_U8, query, 1, W, NULL), d = vectors_of(NIB_VECTOR_U8, documents, 2, W, NULL);
    nib_search_options o = with(NIB_SIMILARITY_DOT);
    search(&q, &d, 2, &o, hits, NULL);
    for (int i = 0; i < 2; i++) assert_true(hits[i].score == (double)dot[hits[i].index]);
    o.similarity = NIB_SIMILARITY_EUCLIDEAN;
    search(&q, &d, 2, &o, hits, NULL);
    for (int i = 0; i < 2; i++) assert_true(hits[i].score == -sqrt((double)squares[hits[i].index]));
}

static uint32_t random_number(uint32_t *seed) { return (*seed = *seed * 1664525u + 1013904223u) >> 8; }

/* Against sorting all scores; on one thread and on four, where documents are cut into stretches; with NaN among them. */
static void many_documents_are_searched_exactly(void **state) {
    enum { DOCUMENTS = 100000, W = 8, K = 50, ASKED = 3 };
    float *d = malloc(DOCUMENTS * W * sizeof *d), q[ASKED * W];
    nib_hit hits[2][ASKED * K];
    size_t counts[2][ASKED];
    uint32_t seed = 11;
    for (int i = 0; i < DOCUMENTS * W; i++) d[i] = (float)(random_number(&seed) % 7) - 3; /* many equal scores */
    for (int i = 0; i < ASKED * W; i++) q[i] = (float)(random_number(&seed) % 5) - 2;
    for (int i = 0; i < DOCUMENTS; i += 3) d[i * W + 2] = NAN;
    const nib_vectors asked = vectors_of(NIB_VECTOR_F32, q, ASKED, W, NULL);
    const nib_vectors there = vectors_of(NIB_VECTOR_F32, d, DOCUMENTS, W, NULL);
    for (int t = 0; t < 2; t++) {
        nib_runtime_options r;
        nib_search_options o = with(NIB_SIMILARITY_DOT);
        nib_runtime_defaults(&r, sizeof r);
        r.threads = t ? 4 : 1;
        assert_int_equal(nib_runtime_create(&r, &o.runtime, &e), NIB_OK);
        search(&asked, &there, K, &o, hits[t], counts[t]);
        nib_runtime_free(o.runtime);
    }
    assert_memory_equal(hits[0], hits[1], sizeof hits[0]);
    for (int i = 0; i < ASKED; i++) {
        const nib_hit *last = &hits[0][i * K + K - 1];
        size_t before = 0;
        assert_int_equal(counts[0][i], K);
        for (size_t j = 0; j < DOCUMENTS; j++) {
            double score = 0;
            for (int c = 0; c < W; c++) score += (double)q[i * W + c] * (double)d[j * W + (size_t)c];
            before += score > last->score || (score == last->score && j < last->index);
        }
        assert_int_equal(before, K - 1);
    }
    free(d);
}

static int stop_at_once(void *user, uint64_t done, uint64_t total) {
    (void)user, (void)done, (void)total;
    return 1;
}

static void ends_and_refusals(void **state) {
    static const float rows[3][4] = {{1, 0, 0, 0}, {0, 0, 0, 0}, {NAN, 0, 0, 0}};
    static const uint8_t bits[3] = {0x80, 0, 0xf0};
    nib_hit hits[40];
    size_t count;
    const nib_vectors q = vectors_of(NIB_VECTOR_F32, rows, 1, 4, NULL), d = vectors_of(NIB_VECTOR_F32, rows, 3, 4, NULL);
    const nib_vectors b = vectors_of(NIB_VECTOR_UBINARY, bits, 3, 4, NULL), none = vectors_of(NIB_VECTOR_F32, NULL, 0, 4, NULL);
    search(&q, &d, 40, NULL, hits, &count); /* more than there are, a vector of zeros, and a NaN */
    assert_int_equal(count, 2);
    assert_true(hits[0].score == 1 && hits[1].index == 1 && hits[1].score == 0);
    search(&q, &none, 4, NULL, hits, &count);
    assert_int_equal(count, 0);
    search(&none, &d, 4, NULL, NULL, NULL);
    search(&q, &d, SIZE_MAX, NULL, hits, &count);
    assert_int_equal(count, 2);
    nib_vectors wide = d, of_bytes = vectors_of(NIB_VECTOR_I8, bits, 1, 3, NULL), odd = d, other = q;
    wide.width = 3;
    odd.data = (const char *)rows + 1;
    other.type = NIB_VECTOR_I8;
    nib_vectors u8 = of_bytes;
    u8.type = NIB_VECTOR_U8;
    const struct {
        const nib_vectors *q, *d;
        size_t k;
        nib_similarity similarity;
        int64_t rescore;
        const nib_vectors *better;
    } cases[] = {
        {&q, &d, 0, NIB_SIMILARITY_AUTO, 0, NULL},    {&q, &wide, 1, NIB_SIMILARITY_AUTO, 0, NULL},
        {NULL, &d, 1, NIB_SIMILARITY_AUTO, 0, NULL},  {&q, NULL, 1, NIB_SIMILARITY_AUTO, 0, NULL},
        {&q, &d, 1, NIB_SIMILARITY_HAMMING, 0, NULL}, {&q, &b, 1, NIB_SIMILARITY_COSINE, 0, NULL},
        {&b, &b, 1, NIB_SIMILARITY_AUTO, 2, NULL},    {&q, &odd, 1, NIB_SIMILARITY_AUTO, 0, NULL},
        {&other, &d, 1, NIB_SIMILARITY_AUTO, 0, NULL}, {&u8, &of_bytes, 1, NIB_SIMILARITY_AUTO, 0, NULL},
        {&q, &b, 1, NIB_SIMILARITY_AUTO, 2, &wide},   {&q, &b, 1, NIB_SIMILARITY_AUTO, 0, &d},
        {&q, &d, 1, (nib_similarity)9, 0, NULL},      {&q, &d, 1, NIB_SIMILARITY_AUTO, -1, NULL},
        {&q, &b, 1, NIB_SIMILARITY_HAMMING, 2, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        nib_search_options o = with(cases[i].similarity);
        o.rescore = cases[i].rescore;
        o.better = cases[i].better;
        const nib_status status = nib_search(cases[i].q, cases[i].d, cases[i].k, &o, hits, NULL, &e);
        if (status != NIB_INVALID_ARGUMENT) fail_msg("case %zu: %d, %s", i, status, e.message);
    }
    nib_search_options o = with(NIB_SIMILARITY_AUTO);
    o.stop = stop_at_once;
    assert_int_equal(nib_search(&q, &d, 1, &o, hits, NULL, &e), NIB_CANCELLED);
}

static void a_model_says_its_similarity(void **state) {
    nib_model *m;
    assert_int_equal(nib_model_similarity(NULL), NIB_SIMILARITY_AUTO);
    if (nib_model_open(NIB_TEST_DATA "/nib/tiny", NULL, &m, &e) != NIB_OK) fail_msg("%s", e.message);
    assert_int_equal(nib_model_similarity(m), NIB_SIMILARITY_AUTO);
    nib_model_free(m);
}

static void recipes_are_found(void **state) {
    nib_recipe r;
    size_t n = 0;
    while (nib_recipe_at(n, &r, sizeof r) == NIB_OK) {
        assert_true(r.width > 0 && strchr(r.model, '/') && *r.about);
        n++;
    }
    assert_int_equal(n, 7);
    assert_int_equal(nib_recipe_find("ultra-efficient", 0, 0, &r, sizeof r, &e), NIB_OK);
    assert_true(r.dimensions == 256 && r.precision == NIB_PRECISION_Q4 && r.type == NIB_VECTOR_BINARY);
    assert_int_equal(nib_recipe_find("auto", 0, (uint64_t)256 << 20, &r, sizeof r, &e), NIB_OK);
    assert_true(r.precision == NIB_PRECISION_Q4 && r.width == 384 && r.dimensions == 0);
    assert_int_equal(nib_recipe_find("auto", 700, (uint64_t)8 << 30, &r, sizeof r, &e), NIB_OK);
    assert_true(r.precision != NIB_PRECISION_Q4 && r.width == 768 && r.dimensions == 700);
    assert_int_equal(nib_recipe_find("auto", 5000, 0, &r, sizeof r, &e), NIB_NOT_FOUND);
    assert_int_equal(nib_recipe_find("fast", 0, 0, &r, sizeof r, &e), NIB_NOT_FOUND);
    assert_non_null(strstr(e.message, "efficient, high-quality, "));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cosines_are_within_one),
        cmocka_unit_test(scores_are_those_of_sentence_transformers),
        cmocka_unit_test(bits_and_bytes_are_found),
        cmocka_unit_test(sums_of_bytes_are_exact),
        cmocka_unit_test(many_documents_are_searched_exactly),
        cmocka_unit_test(ends_and_refusals),
        cmocka_unit_test(a_model_says_its_similarity),
        cmocka_unit_test(recipes_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, free_goldens);
}
