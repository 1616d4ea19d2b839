/* SPDX-License-Identifier: Apache-2.0
 *
 * Long texts: chunks and what is made of them, against transformers' windows with torch and numpy
 * (tools/make_chunk_goldens.py), where chunks end, and the same bits in any company. In: the tiny model, test/data/chunks.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "model/model.h"
#include "npy.h"
#include "task/task_chunk_cut.h"

#define TINY NIB_TEST_DATA "/nib/tiny"
#define WIDTH 32
#define TEXTS 3
#define GOLDEN(name) test_npy(NIB_TEST_DATA "/chunks/%s.%s", name, "npy")

static const char *const texts[TEXTS] = {
    "a nib is the tip of a pen. the pen is of ink, a nib of a pen! is the ink of a pen the ink of a nib? a pen is a pen "
    "of ink. the tip is a nib",
    "ink", "a pen is of ink the tip is of a nib a pen a b c a nib pen tip"};

static nib_model *open_tiny(int threads, int normalize) {
    nib_runtime_options r;
    nib_model_options o;
    nib_error e;
    nib_model *m;
    nib_model_defaults(&o, sizeof o);
    nib_runtime_defaults(&r, sizeof r);
    o.normalize = normalize;
    r.threads = threads;
    assert_int_equal(nib_runtime_create(&r, &o.runtime, &e), NIB_OK);
    if (nib_model_open(TINY, &o, &m, &e) != NIB_OK) fail_msg("%s", e.message);
    nib_runtime_free(o.runtime);
    return m;
}

static nib_embed_options options_of(nib_chunk_options *c, nib_aggregate aggregate) {
    nib_embed_options o;
    nib_embed_defaults(&o, sizeof o);
    nib_chunk_options_defaults(c, sizeof *c);
    c->overflow = NIB_OVERFLOW_CHUNK;
    c->aggregate = aggregate;
    c->tokens = 8;
    c->overlap = 2;
    o.chunks = c;
    return o;
}

static void chunks_are_transformers(nib_model *m, nib_aggregate aggregate, const char *name) {
    nib_error e;
    nib_chunk_options c;
    nib_embed_options o = options_of(&c, aggregate);
    nib_vector_options unit;
    nib_vector_options_defaults(&unit, sizeof unit);
    unit.normalize = 1;
    o.vectors = &unit;
    nib_tensor golden = GOLDEN(name), spans = GOLDEN("spans"), offsets = GOLDEN("offsets"), *got, *where;
    int64_t at[TEXTS + 1];
    if (nib_embed_chunks(m, texts, TEXTS, &o, at, &where, &got, &e) != NIB_OK) fail_msg("%s", e.message);
    assert_memory_equal(at, offsets.data, sizeof at);
    assert_int_equal(got->dims[0], golden.dims[0]);
    assert_int_equal(got->dims[1], WIDTH);
    assert_int_equal(where->bytes, spans.bytes);
    assert_memory_equal(where->data, spans.data, spans.bytes);
    double d = test_difference(got->data, golden.data, (size_t)golden.dims[0] * WIDTH);
    if (!(d <= 2e-6)) fail_msg("%s differs by %g", name, d);
    nib_tensor_free(got);
    nib_tensor_free(where);
    free(golden.data);
    free(spans.data);
    free(offsets.data);
}

static void each_and_late_are_torchs(void **state) {
    nib_model *m = open_tiny(2, -1);
    chunks_are_transformers(m, NIB_AGGREGATE_EACH, "each");
    chunks_are_transformers(m, NIB_AGGREGATE_LATE, "late");
    nib_model_free(m);
}

static void combined_are_numpys(void **state) {
    static const char *const names[] = {"mean", "max", "weighted"};
    nib_model *m = open_tiny(2, 1);
    for (int a = 0; a < 3; a++) {
        nib_error e;
        nib_chunk_options c;
        nib_embed_options o = options_of(&c, (nib_aggregate)a);
        nib_tensor golden = GOLDEN(names[a]);
        float got[TEXTS * WIDTH];
        int64_t tokens[TEXTS], full[TEXTS];
        o.tokens = tokens;
        o.full_tokens = full;
        if (nib_embed(m, texts, TEXTS, &o, got, &e) != NIB_OK) fail_msg("%s", e.message);
        assert_memory_equal(tokens, full, sizeof full);
        assert_true(tokens[0] > 40);
        double d = test_difference(got, golden.data, TEXTS * WIDTH);
        if (!(d <= 2e-6)) fail_msg("%s differs by %g", names[a], d);
        free(golden.data);
    }
    nib_model_free(m);
}

/* Alone, in another order, on one thread, or through a queue: the same bits; and each chunk those of its ids. */
static void bits_do_not_know_their_company(void **state) {
    nib_model *m = open_tiny(3, -1), *one = open_tiny(1, -1);
    nib_error e;
    nib_chunk_options c;
    for (int a = 0; a < 3; a++) {
        nib_embed_options o = options_of(&c, (nib_aggregate)a);
        const char *turned[200];
        float *got = malloc(200 * WIDTH * sizeof *got), alone[WIDTH];
        nib_queue *q;
        nib_ticket t;
        for (int i = 0; i < 200; i++) turned[i] = texts[(199 - i) % TEXTS];
        assert_int_equal(nib_embed(m, turned, 200, &o, got, &e), NIB_OK);
        assert_int_equal(nib_queue_create(m->runtime, NULL, &q, &e), NIB_OK);
        nib_ticket_defaults(&t, sizeof t);
        t.queue = q;
        for (int i = 0; i < TEXTS; i++) {
            assert_int_equal(nib_embed(one, &turned[i], 1, &o, alone, &e), NIB_OK);
            for (int k = i; k < 200; k += TEXTS) assert_memory_equal(alone, got + k * WIDTH, sizeof alone);
            nib_embed_options queued = o;
            queued.ticket = &t;
            if (nib_embed(m, &turned[i], 1, &queued, alone, &e) != NIB_OK) fail_msg("%s", e.message);
            assert_memory_equal(alone, got + i * WIDTH, sizeof alone);
        }
        nib_queue_free(q);
        free(got);
    }
    nib_model_free(one);
    nib_model_free(m);
}

/* A prompt stands before each chunk. */
static void prompts_are_before_each_chunk(void **state) {
    nib_model *m = open_tiny(1, -1);
    nib_error e;
    nib_chunk_options c;
    nib_embed_options o = options_of(&c, NIB_AGGREGATE_EACH);
    int64_t at[2];
    nib_tensor *got, *where;
    o.prompt = "ink: ";
    o.chunks = &c;
    const char *text = "a nib is the tip of a pen of ink";
    if (nib_embed_chunks(m, &text, 1, &o, at, &where, &got, &e) != NIB_OK) fail_msg("%s", e.message);
    for (int64_t k = 0; k < at[1]; k++) {
        const int64_t *span = (const int64_t *)where->data + 3 * k;
        const size_t length = (size_t)(span[1] - span[0]);
        const char *own = text + span[0];
        float alone[WIDTH];
        nib_embed_options plain = o;
        plain.chunks = NULL;
        plain.lengths = &length;
        assert_int_equal(nib_embed(m, &own, 1, &plain, alone, &e), NIB_OK);
        assert_memory_equal(alone, (const float *)got->data + k * WIDTH, sizeof alone);
    }
    assert_true(at[1] > 2);
    nib_tensor_free(got);
    nib_tensor_free(where);
    nib_model_free(m);
}

static void too_long_is_an_error_that_says_how_much(void **state) {
    nib_model *m = open_tiny(1, -1);
    nib_error e;
    nib_chunk_options c;
    float got[TEXTS * WIDTH], plain[WIDTH];
    nib_embed_options o = options_of(&c, NIB_AGGREGATE_MEAN);
    c.overflow = NIB_OVERFLOW_ERROR;
    c.overlap = 0;
    assert_int_equal(nib_embed(m, texts + 1, 2, &o, got, &e), NIB_LIMIT);
    assert_non_null(strstr(e.message, "text 1 has 2"));
    assert_non_null(strstr(e.message, "room for 16"));
    assert_int_equal(nib_embed(m, texts + 1, 1, &o, got, &e), NIB_OK);
    assert_int_equal(nib_embed(m, texts + 1, 1, NULL, plain, &e), NIB_OK);
    assert_memory_equal(got, plain, sizeof plain);
    c.overflow = NIB_OVERFLOW_CHUNK;
    c.overlap = 6; /* as many as a chunk of 8 has of its own */
    assert_int_equal(nib_embed(m, texts, 1, &o, got, &e), NIB_INVALID_ARGUMENT);
    c.overlap = 0;
    c.tokens = 2;
    assert_int_equal(nib_embed(m, texts, 1, &o, got, &e), NIB_INVALID_ARGUMENT);
    c.tokens = 8;
    c.aggregate = NIB_AGGREGATE_EACH;
    assert_int_equal(nib_embed(m, texts, 1, &o, got, &e), NIB_INVALID_ARGUMENT);
    nib_model_free(m);
}

static void check_rule(bool sentences, size_t overlap, int64_t shared, const uint8_t *ends, size_t n, const size_t (*want)[2]) {
    const chunk_rule rule = {.most = 6, .overlap = overlap, .sentences = sentences, .overlap_sentences = shared};
    size_t at = 0, k = 0;
    for (size_t next;; at = next, k++) {
        chunk_range r = {.first = at}, coming = {.first = at};
        assert_true(chunk_rule_next(&rule, ends, n, true, &r, &next));
        assert_int_equal(r.first, want[k][0]);
        assert_int_equal(r.end, want[k][1]);
        assert_true(r.end == n || next > at);
        /* With one token more than has room it is certain, and with fewer it is not. */
        size_t same;
        if (n - at > 6) assert_true(chunk_rule_next(&rule, ends, at + 7, false, &coming, &same) && same == next);
        assert_false(chunk_rule_next(&rule, ends, n < at + 6 ? n : at + 6, false, &coming, &same));
        if (r.end == n) break;
    }
}

/* Late or not, spans begin where the shared sentence does; tokens and sentences do not go together. */
static void spans_share_sentences(void **state) {
    nib_model *m = open_tiny(1, -1);
    nib_error e;
    nib_chunk_options c;
    static const char *const begins[] = {"a pen is of ink", "the tip is", "a nib is a pen"};
    const char *text = "a pen is of ink. the tip is of a nib. a nib is a pen. ink";
    for (int late = 0; late < 2; late++) {
        nib_embed_options o = options_of(&c, late ? NIB_AGGREGATE_LATE : NIB_AGGREGATE_EACH);
        int64_t at[2];
        nib_tensor *got, *where;
        c.tokens = 14;
        assert_int_equal(nib_embed_chunks(m, &text, 1, &o, at, &where, &got, &e), NIB_OK);
        nib_tensor_free(got);
        nib_tensor_free(where);
        c.overlap_sentences = 1;
        assert_int_equal(nib_embed_chunks(m, &text, 1, &o, at, &where, &got, &e), NIB_INVALID_ARGUMENT);
        assert_non_null(strstr(e.message, "not both"));
        c.overlap = 0;
        if (nib_embed_chunks(m, &text, 1, &o, at, &where, &got, &e) != NIB_OK) fail_msg("%s", e.message);
        const int64_t(*span)[3] = where->data;
        for (int64_t k = 0; k < at[1]; k++) {
            if (k >= 3 || strncmp(text + span[k][0], begins[k], strlen(begins[k])) != 0)
                fail_msg("chunk %d begins with %s", (int)k, text + span[k][0]);
            if (k) assert_true(span[k][0] < span[k - 1][1]);
        }
        assert_true(at[1] > 1);
        nib_tensor_free(got);
        nib_tensor_free(where);
    }
    nib_model_free(m);
}

static void chunks_end_where_sentences_do(void **state) {
    /*                           0  1  2  3  4  5  6  7  8  9  10 11 12 13 */
    static const uint8_t e[14] = {0, 1, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 1};
    check_rule(false, 2, 0, NULL, 14, (const size_t[][2]){{0, 6}, {4, 10}, {8, 14}});
    check_rule(true, 0, 0, e, 14, (const size_t[][2]){{0, 5}, {5, 11}, {11, 14}});
    check_rule(true, 3, 0, e, 14, (const size_t[][2]){{0, 5}, {2, 7}, {5, 11}, {8, 14}});
    /* of sentences: the one that is cut is one of them, half a chunk is 3 tokens, and a longer sentence is not shared */
    check_rule(false, 0, 1, e, 14, (const size_t[][2]){{0, 6}, {5, 11}, {11, 14}});
    check_rule(false, 0, 2, e, 14, (const size_t[][2]){{0, 6}, {5, 11}, {11, 14}});
    static const uint8_t two[14] = {0, 1, 0, 1, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0};
    check_rule(false, 0, 1, two, 14, (const size_t[][2]){{0, 6}, {5, 11}, {9, 14}});
    check_rule(false, 0, 2, two, 14, (const size_t[][2]){{0, 6}, {4, 10}, {9, 14}});
    check_rule(false, 0, 9, two, 14, (const size_t[][2]){{0, 6}, {4, 10}, {9, 14}});
    check_rule(true, 0, 1, two, 14, (const size_t[][2]){{0, 5}, {4, 9}, {9, 14}});
    assert_true(chunk_sentence_ends("a. b", 4, 2));
    assert_true(chunk_sentence_ends("a!", 2, 2));
    assert_false(chunk_sentence_ends("a.b", 3, 2));
    assert_false(chunk_sentence_ends("a b", 3, 1));
    assert_true(chunk_sentence_ends("a \n b", 5, 1));
    assert_true(chunk_sentence_ends("\xe3\x80\x82z", 4, 3));
    assert_false(chunk_sentence_ends("", 0, 0));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_and_late_are_torchs),
        cmocka_unit_test(combined_are_numpys),
        cmocka_unit_test(bits_do_not_know_their_company),
        cmocka_unit_test(prompts_are_before_each_chunk),
        cmocka_unit_test(too_long_is_an_error_that_says_how_much),
        cmocka_unit_test(spans_share_sentences),
        cmocka_unit_test(chunks_end_where_sentences_do),
    };
    return cmocka_run_group_tests_name("task_chunk_embed", tests, NULL, NULL);
}
