/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows of tokens through a task's program, packed and padded, against PyTorch's hidden states: every exporter, and the
 * parts of a text that a sink asks for. In: test/data. Out: differences, bits.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "model/model.h"
#include "npy.h"

#define TEXTS 7
#define MOST 80 /* tokens of a text */
#define WIDTH 64

static const struct {
    const char *path;
    bool types; /* takes token_type_ids */
} models[] = {
    {NIB_TEST_DATA "/hf/bert-tiny", true},
    {NIB_TEST_DATA "/onnx/bert-tiny.ts.eager.onnx", true},
    {NIB_TEST_DATA "/onnx/bert-tiny.dynamo.sdpa.onnx", false},
    {NIB_TEST_DATA "/onnx/bert-tiny.ort.onnx", true},
    {NIB_TEST_DATA "/onnx/bert-tiny.pooled.onnx", true},
};

typedef struct some_texts {
    size_t n;
    int32_t ids[TEXTS][MOST], types[TEXTS][MOST];
    float want[TEXTS][MOST * WIDTH];
    int64_t lengths[TEXTS];
    const int32_t *id_rows[TEXTS], *type_rows[TEXTS];
} some_texts;

/* The texts of the batches without their padding, and what PyTorch makes of each token. */
static void read_texts(some_texts *t, bool types) {
    static const char *const batches[] = {"right", "one", "long"};
    t->n = 0;
    for (size_t b = 0; b < BASE_COUNT(batches); b++) {
        nib_tensor ids = test_npy(NIB_TEST_DATA "/onnx/expected/%s.%s.npy", batches[b], "input_ids");
        nib_tensor mask = test_npy(NIB_TEST_DATA "/onnx/expected/%s.%s.npy", batches[b], "attention_mask");
        nib_tensor kinds = test_npy(NIB_TEST_DATA "/onnx/expected/%s.%s.npy", batches[b], "token_type_ids");
        nib_tensor hidden =
            test_npy(NIB_TEST_DATA "/onnx/expected/%s.%slast_hidden_state.npy", batches[b], types ? "" : "no_types.");
        const int64_t S = ids.dims[1];
        for (int64_t r = 0; r < ids.dims[0] && t->n < TEXTS; r++, t->n++) {
            int64_t n = 0;
            for (int64_t j = 0; j < S && ((const int64_t *)mask.data)[r * S + j]; j++, n++) {
                t->ids[t->n][n] = (int32_t)((const int64_t *)ids.data)[r * S + j];
                t->types[t->n][n] = (int32_t)((const int64_t *)kinds.data)[r * S + j];
            }
            memcpy(t->want[t->n], (const float *)hidden.data + r * S * WIDTH, (size_t)n * WIDTH * sizeof(float));
            t->lengths[t->n] = n;
            t->id_rows[t->n] = t->ids[t->n];
            t->type_rows[t->n] = t->types[t->n];
        }
        free(ids.data);
        free(mask.data);
        free(kinds.data);
        free(hidden.data);
    }
}

static nib_model *open_tokens(const char *path, int threads, int pack) {
    nib_model_options o;
    nib_runtime_options r;
    nib_error e;
    nib_model *m;
    nib_runtime_defaults(&r, sizeof r);
    r.threads = threads;
    nib_model_defaults(&o, sizeof o);
    o.task = NIB_TASK_TOKENS;
    o.pack = pack;
    assert_int_equal(nib_runtime_create(&r, &o.runtime, &e), NIB_OK);
    if (nib_model_open(path, &o, &m, &e) != NIB_OK) fail_msg("%s: %s", path, e.message);
    nib_runtime_free(o.runtime);
    return m;
}

static void rows_are_pytorchs(void **state) {
    static some_texts t;
    static float got[TEXTS * MOST * WIDTH], again[TEXTS * MOST * WIDTH];
    for (size_t i = 0; i < BASE_COUNT(models); i++)
        for (int how = 0; how < 6; how++) { /* 1 to 3 threads, packed and not */
            nib_error e;
            run_session *s;
            run_item items[TEXTS];
            int64_t at[TEXTS];
            size_t all = 0;
            nib_model *m = open_tokens(models[i].path, 1 + how / 2, how % 2 ? 0 : -1);
            read_texts(&t, models[i].types);
            assert_int_equal(t.n, TEXTS);
            assert_int_equal(model_own(m)->packed, how % 2 == 0);
            for (size_t k = 0; k < t.n; k++) {
                items[k] = (run_item){.ids = t.id_rows[k], .types = t.type_rows[k], .length = t.lengths[k], .count = t.lengths[k]};
                at[k] = (int64_t)all;
                all += (size_t)t.lengths[k];
            }
            const run_batch batch = {.n = t.n, .items = items};
            run_matrix first = {got, WIDTH, at}, second = {again, WIDTH, at};
            const run_sink sink = {.width = WIDTH, .tokens = true, .give = run_to_matrix, .user = &first},
                           other = {.width = WIDTH, .tokens = true, .give = run_to_matrix, .user = &second};
            assert_int_equal(run_session_create(model_own(m)->p, &s, &e), NIB_OK);
            if (run_texts(s, &model_own(m)->roles, &batch, 0, RUN_TEAM_ALL, &sink, &e) != NIB_OK)
                fail_msg("%s: %s", models[i].path, e.message);
            for (size_t k = 0; k < t.n; k++) {
                double d = test_difference(got + at[k] * WIDTH, t.want[k], (size_t)t.lengths[k] * WIDTH);
                if (!(d <= 1e-5)) fail_msg("%s, text %zu: rows differ by %g", models[i].path, k, d);
            }
            for (int64_t group = 1; group <= 64; group += 21) { /* however the batch is cut */
                memset(again, 0, sizeof again);
                assert_int_equal(run_texts(s, &model_own(m)->roles, &batch, group, RUN_TEAM_ALONE, &other, &e), NIB_OK);
                if (how % 2 == 0) assert_memory_equal(again, got, all * WIDTH * sizeof(float));
                else assert_true(test_difference(again, got, all * WIDTH) <= 1e-5);
            }
            run_session_free(s);
            nib_model_free(m);
        }
}

/* A sink may ask for some rows of each text, or none, and put them anywhere; nothing else is written. */
static void a_sink_takes_the_rows_it_names(void **state) {
    static some_texts t;
    static float whole[MOST * WIDTH], got[4 * MOST * WIDTH];
    nib_error e;
    run_session *s;
    nib_model *m = open_tokens(models[0].path, 2, -1);
    read_texts(&t, true);
    const size_t text = 4; /* the first of the long ones */
    const int64_t n = t.lengths[text];
    assert_true(n > 10);
    assert_int_equal(run_session_create(model_own(m)->p, &s, &e), NIB_OK);
        const int32_t *ids = t.ids[text], *types = t.types[text];
    const run_item all = {.ids = ids, .types = types, .length = n, .count = n},
                   parts[3] = {{.ids = ids, .types = types, .length = n, .first = n - 1, .count = 1},
                               {.ids = ids, .types = types, .length = n},
                               {.ids = ids, .types = types, .length = n, .first = 2, .count = 5}};
    const run_batch one = {.n = 1, .items = &all}, three = {.n = 3, .items = parts};
    run_matrix to_whole = {whole, WIDTH, NULL}, to_got = {got, WIDTH, (const int64_t[]){7, 0, 1}};
    run_sink sink = {.width = WIDTH, .tokens = true, .give = run_to_matrix, .user = &to_whole};
    assert_int_equal(run_texts(s, &model_own(m)->roles, &one, 0, RUN_TEAM_ALL, &sink, &e), NIB_OK);
    for (size_t i = 0; i < BASE_COUNT(got); i++) got[i] = 7;
    sink.user = &to_got;
    assert_int_equal(run_texts(s, &model_own(m)->roles, &three, 0, RUN_TEAM_ALL, &sink, &e), NIB_OK);
    assert_memory_equal(got + 7 * WIDTH, whole + (n - 1) * WIDTH, WIDTH * sizeof *got);
    assert_memory_equal(got + WIDTH, whole + 2 * WIDTH, 5 * WIDTH * sizeof *got);
    for (size_t i = 0; i < BASE_COUNT(got); i++) {
        const size_t row = i / WIDTH;
        if (row == 0 || row == 6 || row > 7) assert_true(got[i] == 7);
    }
    /* a sink of another form than the output */
    sink.tokens = false;
    assert_int_equal(run_texts(s, &model_own(m)->roles, &one, 0, RUN_TEAM_ALL, &sink, &e), NIB_SHAPE);
    sink.tokens = true;
    sink.width++;
    assert_int_equal(run_texts(s, &model_own(m)->roles, &one, 0, RUN_TEAM_ALL, &sink, &e), NIB_SHAPE);
    run_session_free(s);
    nib_model_free(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_pytorchs),
        cmocka_unit_test(a_sink_takes_the_rows_it_names),
    };
    return cmocka_run_group_tests_name("model tokens", tests, NULL, NULL);
}
