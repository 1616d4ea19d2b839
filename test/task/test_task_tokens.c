/* SPDX-License-Identifier: Apache-2.0
 *
 * Vectors of tokens: the rows of the exact program's hidden states, what embed pools, and the same bits in any company.
 * In: the tiny model with texts. Out: differences and bits.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "model/model.h"
#include "npy.h"

#define TINY NIB_TEST_DATA "/nib/tiny"
#define WIDTH 32
#define TEXTS 6
#define MOST 16 /* tokens of a text */

static const char *const texts[TEXTS] = {
    "a nib is a tip of a pen", "ink", "", "the pen is of ink , the ink is of a nib . a b c ab nib pen tip", "a , b",
    "pen pen pen pen pen"};

static nib_model *open_with(const char *path, int threads, nib_model_options *o) {
    nib_runtime_options r;
    nib_error e;
    nib_model *m;
    nib_runtime_defaults(&r, sizeof r);
    r.threads = threads;
    assert_int_equal(nib_runtime_create(&r, &o->runtime, &e), NIB_OK);
    if (nib_model_open(path, o, &m, &e) != NIB_OK) fail_msg("%s: %s", path, e.message);
    nib_runtime_free(o->runtime);
    return m;
}

static nib_model *open_tokens(int threads, nib_precision precision, int normalize) {
    nib_model_options o;
    nib_model_defaults(&o, sizeof o);
    o.task = NIB_TASK_TOKENS;
    o.precision = precision;
    o.normalize = normalize;
    return open_with(TINY, threads, &o);
}

static nib_tensor *tokens_of(nib_model *m, const char *const *from, size_t n, int64_t *offsets) {
    nib_error e;
    nib_tensor *t;
    if (nib_embed_tokens(m, from, n, NULL, offsets, &t, &e) != NIB_OK) fail_msg("%s", e.message);
    assert_int_equal(t->rank, 2);
    assert_int_equal(t->dtype, NIB_DTYPE_F32);
    assert_int_equal(t->dims[0], offsets[n]);
    assert_int_equal(t->dims[1], WIDTH);
    assert_int_equal(t->bytes, (size_t)offsets[n] * WIDTH * sizeof(float));
    return t;
}

/* What a session computes of one text's ids, without padding. */
static void rows_are_the_sessions(nib_model *m, const char *text, const float *rows, int64_t n) {
    nib_error e;
    nib_session *s;
    int32_t ids[MOST];
    int64_t wide[MOST], ones[MOST], zeros[MOST] = {0};
    size_t count;
    nib_tensor got;
    assert_int_equal(nib_tokenize(m, text, strlen(text), MOST, ids, NULL, NULL, MOST, &count, &e), NIB_OK);
    assert_int_equal(count, n);
    for (size_t i = 0; i < count; i++) wide[i] = ids[i], ones[i] = 1;
    nib_tensor in = {.dtype = NIB_DTYPE_I64, .rank = 2, .dims = {1, n}, .bytes = (size_t)n * 8};
    assert_int_equal(nib_session_create(m, &s, &e), NIB_OK);
    in.data = wide;
    assert_int_equal(nib_session_set_input(s, "input_ids", &in, &e), NIB_OK);
    in.data = ones;
    assert_int_equal(nib_session_set_input(s, "attention_mask", &in, &e), NIB_OK);
    in.data = zeros;
    assert_int_equal(nib_session_set_input(s, "token_type_ids", &in, &e), NIB_OK);
    assert_int_equal(nib_session_run(s, &e), NIB_OK);
    assert_int_equal(nib_session_get_output(s, "last_hidden_state", &got, &e), NIB_OK);
    assert_int_equal(got.bytes, (size_t)n * WIDTH * sizeof(float));
    double d = test_difference(rows, got.data, (size_t)n * WIDTH);
    if (!(d <= 1e-5)) fail_msg("'%s': rows differ by %g", text, d);
    nib_session_free(s);
}

static void rows_are_those_of_the_exact_program(void **state) {
    nib_model *m = open_tokens(1, NIB_PRECISION_FILE, -1);
    int64_t offsets[TEXTS + 1];
    nib_tensor *t = tokens_of(m, texts, TEXTS, offsets);
    for (int i = 0; i < TEXTS; i++)
        rows_are_the_sessions(m, texts[i], (const float *)t->data + offsets[i] * WIDTH, offsets[i + 1] - offsets[i]);
    assert_int_equal(offsets[4] - offsets[3], MOST); /* one was cut */
    nib_tensor_free(t);
    nib_model_free(m);
}

static void their_mean_is_the_embedding(void **state) {
    nib_model_options o;
    nib_error e;
    int64_t offsets[TEXTS + 1];
    float vectors[TEXTS][WIDTH];
    nib_model_defaults(&o, sizeof o);
    o.normalize = 0;
    nib_model *m = open_with(TINY, 1, &o); /* opened to embed: tokens come by demand */
    assert_int_equal(nib_model_task(m), NIB_TASK_EMBED);
    assert_int_equal(nib_embed(m, texts, TEXTS, NULL, vectors[0], &e), NIB_OK);
    nib_tensor *t = tokens_of(m, texts, TEXTS, offsets);
    for (int i = 0; i < TEXTS; i++) {
        float mean[WIDTH];
        for (int c = 0; c < WIDTH; c++) {
            double sum = 0;
            for (int64_t r = offsets[i]; r < offsets[i + 1]; r++)
                sum += (double)((const float *)t->data)[r * WIDTH + c];
            mean[c] = (float)(sum / (double)(offsets[i + 1] - offsets[i]));
        }
        double d = test_difference(mean, vectors[i], WIDTH);
        if (!(d <= 1e-5)) fail_msg("text %d: the mean differs by %g", i, d);
    }
    nib_model_free(m); /* the rows outlive it */
    assert_true(((const float *)t->data)[0] == ((const float *)t->data)[0]);
    nib_tensor_free(t);
}

static void the_same_bits_in_any_company(void **state) {
    static const nib_precision precisions[] = {NIB_PRECISION_F32, NIB_PRECISION_BF16, NIB_PRECISION_Q8};
    for (size_t p = 0; p < BASE_COUNT(precisions); p++) {
        int64_t offsets[TEXTS + 1], again[TEXTS + 1];
        nib_model *one = open_tokens(1, precisions[p], -1), *two = open_tokens(2, precisions[p], -1);
        nib_tensor *t = tokens_of(one, texts, TEXTS, offsets), *u = tokens_of(two, texts, TEXTS, again);
        assert_memory_equal(offsets, again, sizeof offsets);
        assert_memory_equal(t->data, u->data, t->bytes);
        for (int i = 0; i < TEXTS; i++) {
            nib_tensor *alone = tokens_of(i % 2 ? one : two, &texts[i], 1, again);
            assert_int_equal(again[1], offsets[i + 1] - offsets[i]);
            assert_memory_equal(alone->data, (const float *)t->data + offsets[i] * WIDTH, alone->bytes);
            nib_tensor_free(alone);
        }
        nib_tensor_free(t);
        nib_tensor_free(u);
        nib_model_free(one);
        nib_model_free(two);
    }
}

static void they_have_length_1_only_if_asked(void **state) {
    nib_model *m = open_tokens(1, NIB_PRECISION_FILE, 1), *plain = open_tokens(1, NIB_PRECISION_FILE, -1);
    int64_t offsets[TEXTS + 1];
    nib_tensor *t = tokens_of(m, texts, TEXTS, offsets), *u = tokens_of(plain, texts, TEXTS, offsets);
    for (int64_t r = 0; r < offsets[TEXTS]; r++) {
        const float *a = (const float *)t->data + r * WIDTH, *b = (const float *)u->data + r * WIDTH;
        double length = 0;
        for (int c = 0; c < WIDTH; c++) length += (double)a[c] * (double)a[c];
        assert_true(fabs(length - 1) < 1e-5);
        assert_true(test_cosine(a, b, WIDTH) > 0.99999);
        assert_true(test_difference(a, b, WIDTH) > 0.1);
    }
    nib_tensor_free(t);
    nib_tensor_free(u);
    nib_model_free(m);
    nib_model_free(plain);
}

static void what_is_wrong_is_said(void **state) {
    nib_model *m = open_tokens(1, NIB_PRECISION_FILE, -1);
    nib_error e;
    nib_embed_options o;
    int64_t offsets[TEXTS + 1] = {7}, tokens[TEXTS], full[TEXTS];
    nib_tensor *t = (nib_tensor *)&e;
    nib_profile *profile;
    assert_int_equal(nib_embed_tokens(m, NULL, 0, NULL, offsets, &t, &e), NIB_OK); /* no texts: no rows */
    assert_int_equal(offsets[0], 0);
    assert_int_equal(t->dims[0], 0);
    nib_tensor_free(t);
    assert_int_equal(nib_embed_tokens(m, texts, 1, NULL, NULL, &t, &e), NIB_INVALID_ARGUMENT);
    assert_null(t);
    assert_int_equal(nib_embed_tokens(m, texts, 1, NULL, offsets, NULL, &e), NIB_INVALID_ARGUMENT);
    assert_int_equal(nib_embed_tokens(m, (const char *const[]){NULL}, 1, NULL, offsets, &t, &e), NIB_INVALID_ARGUMENT);
    nib_embed_defaults(&o, sizeof o);
    o.tokens = tokens;
    o.full_tokens = full;
    o.max_tokens = 5;
    assert_int_equal(nib_profile_create(m, &profile, &e), NIB_OK);
    o.profile = profile;
    assert_int_equal(nib_embed_tokens(m, texts, TEXTS, &o, offsets, &t, &e), NIB_OK);
    for (int i = 0; i < TEXTS; i++)
        assert_true(tokens[i] == offsets[i + 1] - offsets[i] && tokens[i] <= 5 && full[i] >= tokens[i]);
    assert_true(full[3] > 16);
    nib_tensor_free(t);
    float out[WIDTH]; /* a profile of one task's steps is none of another's */
    assert_int_equal(nib_embed(m, texts, 1, &o, out, &e), NIB_INVALID_ARGUMENT);
    nib_profile_free(profile);
    nib_model_free(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_those_of_the_exact_program),
        cmocka_unit_test(their_mean_is_the_embedding),
        cmocka_unit_test(the_same_bits_in_any_company),
        cmocka_unit_test(they_have_length_1_only_if_asked),
        cmocka_unit_test(what_is_wrong_is_said),
    };
    return cmocka_run_group_tests_name("tokens", tests, NULL, NULL);
}
