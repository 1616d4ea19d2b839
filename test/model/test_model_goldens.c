/* SPDX-License-Identifier: Apache-2.0
 *
 * Both doors and every exporter against PyTorch and ONNX Runtime: named tensors with ONNX's exact meaning, and texts through the
 * packed plan. In: test/data. Out: differences, at most 1e-5 of the largest magnitude.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include "model/model.h"
#include "npy.h"

static const char *const batches[] = {"right", "odd", "one", "long"};

typedef struct one_model {
    const char *path, *name; /* name: in the goldens of ONNX Runtime; NULL for the folder */
    bool types;              /* takes token_type_ids */
    bool lengths;            /* of a mask it reads only how many ones there are: tokens come first */
} one_model;

static const one_model models[] = {
    {NIB_TEST_DATA "/hf/bert-tiny", NULL, true, false},
    {NIB_TEST_DATA "/onnx/bert-tiny.ts.eager.onnx", "bert-tiny.ts.eager", true, false},
    {NIB_TEST_DATA "/onnx/bert-tiny.ts.sdpa.onnx", "bert-tiny.ts.sdpa", true, false},
    {NIB_TEST_DATA "/onnx/bert-tiny.dynamo.eager.onnx", "bert-tiny.dynamo.eager", true, false},
    {NIB_TEST_DATA "/onnx/bert-tiny.dynamo.sdpa.onnx", "bert-tiny.dynamo.sdpa", false, false},
    {NIB_TEST_DATA "/onnx/bert-tiny.ort.onnx", "bert-tiny.ort", true, true},
    {NIB_TEST_DATA "/onnx/bert-tiny.pooled.onnx", "bert-tiny.pooled", true, false},
};
#define POOLED (BASE_COUNT(models) - 1)

static nib_model *open_model(const char *path, int threads) {
    nib_model_options o;
    nib_runtime_options r;
    nib_runtime *rt;
    nib_model *m;
    nib_error e;
    nib_runtime_defaults(&r, sizeof r);
    r.threads = threads;
    assert_int_equal(nib_runtime_create(&r, &rt, &e), NIB_OK);
    nib_model_defaults(&o, sizeof o);
    o.runtime = rt;
    if (nib_model_open(path, &o, &m, &e) != NIB_OK) fail_msg("%s: %s (%s)", path, e.message, e.node);
    nib_runtime_free(rt);
    return m;
}

/* Rows where the mask is 1 must agree; the others hold whatever the model makes of padding, which is the same only if computed alike. */
static double masked_difference(const nib_tensor *got, const nib_tensor *want, const nib_tensor *mask) {
    int64_t C = got->dims[2];
    double worst = 0;
    for (int64_t r = 0; r < got->dims[0] * got->dims[1]; r++) {
        if (!((const int64_t *)mask->data)[r]) continue;
        double d = test_difference((const float *)got->data + r * C, (const float *)want->data + r * C, (size_t)C);
        if (!(d <= worst)) worst = d;
    }
    return worst;
}

static void check_session(nib_session *s, const one_model *m, const char *batch) {
    nib_error e;
    nib_tensor ids = test_npy(NIB_TEST_DATA "/onnx/expected/%s.%s.npy", batch, "input_ids"),
               mask = test_npy(NIB_TEST_DATA "/onnx/expected/%s.%s.npy", batch, "attention_mask");
    nib_tensor types = test_npy(NIB_TEST_DATA "/onnx/expected/%s.%s.npy", batch, "token_type_ids");
    assert_int_equal(nib_session_set_input(s, "input_ids", &ids, &e), NIB_OK);
    assert_int_equal(nib_session_set_input(s, "attention_mask", &mask, &e), NIB_OK);
    assert_int_equal(nib_session_set_input(s, "token_type_ids", &types, &e), m->types ? NIB_OK : NIB_NOT_FOUND);
    if (nib_session_run(s, &e) != NIB_OK) fail_msg("%s %s: %s (%s)", m->path, batch, e.message, e.node);
    nib_tensor got, torch = test_npy(NIB_TEST_DATA "/onnx/expected/%s.%slast_hidden_state.npy", batch, m->types ? "" : "no_types.");
    assert_int_equal(nib_session_get_output(s, "last_hidden_state", &got, &e), NIB_OK);
    assert_int_equal(got.rank, 3);
    assert_int_equal(got.bytes, torch.bytes);
    double d = masked_difference(&got, &torch, &mask);
    if (!(d <= 1e-5) && !(m->lengths && strcmp(batch, "odd") == 0)) fail_msg("%s, %s: differs from PyTorch by %g", m->path, batch, d);
    if (m->name) { /* the same file in ONNX Runtime: every row, padding included */
        char name[100];
        snprintf(name, sizeof name, "%s.last_hidden_state", m->name);
        nib_tensor ort = test_npy(NIB_TEST_DATA "/onnx/expected/%s.%s.npy", batch, name);
        d = test_difference(got.data, ort.data, got.bytes / 4);
        if (!(d <= 1e-5)) fail_msg("%s, %s: differs from ONNX Runtime by %g", m->path, batch, d);
        free(ort.data);
    }
    free(ids.data);
    free(mask.data);
    free(types.data);
    free(torch.data);
}

static void sessions_agree(void **state) {
    for (size_t i = 0; i < BASE_COUNT(models); i++)
        for (int threads = 1; threads <= 3; threads += 2) {
            nib_error e;
            nib_session *s;
            nib_model *m = open_model(models[i].path, threads);
            if (nib_session_create(m, &s, &e) != NIB_OK) fail_msg("%s: %s", models[i].path, e.message);
            for (size_t b = 0; b < BASE_COUNT(batches); b++) check_session(s, &models[i], batches[b]);
            for (size_t b = BASE_COUNT(batches); b-- > 0;) check_session(s, &models[i], batches[b]);
            nib_session_free(s);
            nib_model_free(m);
        }
}

static void pooled_output_agrees(void **state) {
    nib_error e;
    nib_session *s;
    nib_model *m = open_model(models[POOLED].path, 1);
    assert_int_equal(nib_session_create(m, &s, &e), NIB_OK);
    for (size_t b = 0; b < BASE_COUNT(batches); b++) {
        nib_tensor got, want = test_npy(NIB_TEST_DATA "/onnx/expected/%s.%s.npy", batches[b], "sentence_embedding");
        check_session(s, &models[POOLED], batches[b]); /* binds and runs; its buffers are freed, the outputs are the session's */
        assert_int_equal(nib_session_get_output(s, "sentence_embedding", &got, &e), NIB_OK);
        assert_int_equal(got.bytes, want.bytes);
        assert_true(test_difference(got.data, want.data, got.bytes / 4) <= 1e-5);
        free(want.data);
    }
    nib_session_free(s);
    nib_model_free(m);
}

/* ---- texts through the packed plan */

#define TEXTS 7

/* Texts of the "long" batch: its tokens, without padding. */
static size_t read_texts(int32_t ids[TEXTS][80], int32_t types[TEXTS][80], int64_t *lengths, float want[TEXTS][64], bool with_types) {
    size_t n = 0;
    for (size_t b = 0; b < BASE_COUNT(batches); b++) {
        nib_tensor t = test_npy(NIB_TEST_DATA "/onnx/expected/%s.%s.npy", batches[b], "input_ids"),
                   mask = test_npy(NIB_TEST_DATA "/onnx/expected/%s.%s.npy", batches[b], "attention_mask");
        nib_tensor ty = test_npy(NIB_TEST_DATA "/onnx/expected/%s.%s.npy", batches[b], "token_type_ids");
        nib_tensor hidden = test_npy(NIB_TEST_DATA "/onnx/expected/%s.%slast_hidden_state.npy", batches[b], with_types ? "" : "no_types.");
        int64_t S = t.dims[1];
        for (int64_t r = 0; r < t.dims[0] && n < TEXTS && strcmp(batches[b], "odd") != 0;
             r++, n++) { /* odd: padding inside moves positions */
            double sum[64] = {0};
            lengths[n] = 0;
            for (int64_t j = 0; j < S; j++) {
                if (!((const int64_t *)mask.data)[r * S + j]) continue;
                ids[n][lengths[n]] = (int32_t)((const int64_t *)t.data)[r * S + j];
                types[n][lengths[n]++] = (int32_t)((const int64_t *)ty.data)[r * S + j];
                for (int c = 0; c < 64; c++) sum[c] += (double)((const float *)hidden.data)[(r * S + j) * 64 + c];
            }
            for (int c = 0; c < 64; c++) want[n][c] = (float)(sum[c] / (double)lengths[n]);
        }
        free(t.data);
        free(mask.data);
        free(ty.data);
        free(hidden.data);
    }
    return n;
}

/* A sink that writes rows of 64 numbers. */
#define TO(rows)                                                                                                       \
    ((run_sink){.width = 64, .give = run_to_matrix, .user = &(run_matrix){.to = (rows), .width = 64}})

static void texts_agree(void **state) {
    static int32_t ids[TEXTS][80], types[TEXTS][80];
    static float want[TEXTS][64], got[TEXTS][64], alone[64];
    int64_t lengths[TEXTS];
    for (size_t i = 0; i + 1 < BASE_COUNT(models); i++)
        for (int threads = 1; threads <= 3; threads++) {
            nib_error e;
            run_session *s;
            run_item items[TEXTS];
            nib_model *m = open_model(models[i].path, threads);
            size_t n = read_texts(ids, types, lengths, want, models[i].types);
            assert_true(n >= 6);
            for (size_t k = 0; k < n; k++) items[k] = (run_item){.ids = ids[k], .types = types[k], .length = lengths[k]};
            assert_non_null(strstr(model_own(m)->notes, "batches are packed"));
            assert_int_equal(run_session_create(model_own(m)->p, &s, &e), NIB_OK);
            run_batch batch = {.n = n, .items = items};
            if (run_texts(s, &model_own(m)->roles, &batch, 0, RUN_TEAM_ALL, &TO(got[0]), &e) != NIB_OK)
                fail_msg("%s: %s (%s)", models[i].path, e.message, e.node);
            for (size_t k = 0; k < n; k++) {
                double d = test_difference(got[k], want[k], 64);
                if (!(d <= 1e-5))
                    fail_msg("%s, %d threads, text %zu of %lld tokens: differs by %g", models[i].path, threads, k, (long long)lengths[k],
                             d);
                run_batch single = {.n = 1, .items = &items[k]};
                assert_int_equal(
                    run_texts(s, &model_own(m)->roles, &single, 0, RUN_TEAM_ALL, &TO(alone), &e), NIB_OK);
                assert_memory_equal(alone, got[k], sizeof alone); /* the same bits alone and in the batch */
            }
            for (int64_t group = 1; group <= 64; group += 21) { /* and however the batch is cut */
                static float again[TEXTS][64];
                assert_int_equal(
                    run_texts(s, &model_own(m)->roles, &batch, group, RUN_TEAM_ALL, &TO(again[0]), &e),
                    NIB_OK);
                assert_memory_equal(again, got, n * sizeof *got);
            }
            run_session_free(s);
            nib_model_free(m);
        }
}

static void a_text_without_tokens_is_zero(void **state) {
    nib_error e;
    run_session *s;
    nib_model *m = open_model(models[0].path, 2);
    const int32_t some[] = {2, 17, 3};
    const run_item items[] = {{.ids = some}, {.ids = some, .length = 3}};
    float got[2][64];
    assert_int_equal(run_session_create(model_own(m)->p, &s, &e), NIB_OK);
    run_batch batch = {.n = 2, .items = items};
    assert_int_equal(run_texts(s, &model_own(m)->roles, &batch, 0, RUN_TEAM_ALL, &TO(got[0]), &e), NIB_OK);
    for (int i = 0; i < 64; i++) assert_true(got[0][i] == 0);
    assert_true(got[1][0] != 0);
    run_session_free(s);
    nib_model_free(m);
}

static void wrong_inputs_are_told(void **state) {
    nib_error e;
    nib_session *s;
    nib_model *m = open_model(models[0].path, 1);
    int64_t ids[8] = {2, 5, 7, 3, 2, 5, 500000, 3}, mask[8] = {1, 1, 1, 1, 1, 1, 1, 1};
    nib_tensor t = {.dtype = NIB_DTYPE_I64, .rank = 2, .dims = {2, 4}, .data = ids, .bytes = sizeof ids};
    nib_tensor k = {.dtype = NIB_DTYPE_I64, .rank = 2, .dims = {2, 4}, .data = mask, .bytes = sizeof mask}, bad;
    assert_int_equal(nib_session_create(m, &s, &e), NIB_OK);
    assert_int_equal(nib_session_run(s, &e), NIB_INVALID_ARGUMENT); /* nothing is bound */
    assert_int_equal(nib_session_set_input(s, "nothing", &t, &e), NIB_NOT_FOUND);
    assert_int_equal(nib_session_get_output(s, "last_hidden_state", &bad, &e), NIB_INVALID_ARGUMENT);
    nib_session_set_input(s, "input_ids", &t, &e);
    nib_session_set_input(s, "attention_mask", &k, &e);
    nib_session_set_input(s, "token_type_ids", &k, &e);
    assert_int_equal(nib_session_run(s, &e), NIB_INVALID_ARGUMENT);
    assert_non_null(strstr(e.message, "500000"));
    ids[6] = 7;
    assert_int_equal(nib_session_run(s, &e), NIB_OK);
    bad = k;
    bad.dims[1] = 3; /* contradicts input_ids */
    bad.bytes = 48;
    nib_session_set_input(s, "attention_mask", &bad, &e);
    assert_int_equal(nib_session_run(s, &e), NIB_SHAPE);
    bad = k;
    bad.bytes = 8; /* fewer than its shape needs */
    nib_session_set_input(s, "attention_mask", &bad, &e);
    assert_int_equal(nib_session_run(s, &e), NIB_SHAPE);
    bad = k;
    bad.dtype = NIB_DTYPE_F64;
    nib_session_set_input(s, "attention_mask", &bad, &e);
    assert_int_equal(nib_session_run(s, &e), NIB_TYPE);
    bad = k;
    bad.dims[0] = bad.dims[1] = INT64_MAX / 2;
    nib_session_set_input(s, "attention_mask", &bad, &e);
    assert_int_equal(nib_session_run(s, &e), NIB_SHAPE);
    nib_session_free(s);
    nib_model_free(m);
}

static void outputs_are_chosen(void **state) {
    nib_model_options o;
    nib_model *m;
    nib_error e;
    m = open_model(models[POOLED].path, 1);
    assert_string_equal(model_own(m)->output_name, "sentence_embedding"); /* already pooled: never pooled twice */
    assert_int_equal(nib_model_dim(m), 64);
    for (graph_node *n = model_own(m)->g->first; n; n = n->next) assert_false(graph_is_op(n, "nib", "Pool"));
    nib_model_free(m);
    nib_model_defaults(&o, sizeof o);
    o.output_name = "last_hidden_state";
    assert_int_equal(nib_model_open(models[POOLED].path, &o, &m, &e), NIB_OK);
    assert_string_equal(model_own(m)->output_name, "last_hidden_state");
    nib_model_free(m);
    o.output_name = "none_such";
    assert_int_equal(nib_model_open(models[POOLED].path, &o, &m, &e), NIB_NOT_FOUND);
    assert_non_null(strstr(e.message, "sentence_embedding"));
    assert_null(m);
}

static void what_is_named_is_obeyed_or_refused(void **state) {
    nib_model_options o;
    nib_model *m;
    nib_error e;
    nib_model_defaults(&o, sizeof o);
    o.device = "cuda";
    assert_int_equal(nib_model_open(models[0].path, &o, &m, &e), NIB_UNSUPPORTED);
    nib_model_defaults(&o, sizeof o);
    o.precision = NIB_PRECISION_F16;
    assert_int_equal(nib_model_open(models[0].path, &o, &m, &e), NIB_UNSUPPORTED);
    o.precision = NIB_PRECISION_F32;
    assert_int_equal(nib_model_open(models[0].path, &o, &m, &e), NIB_OK);
    nib_model_free(m);
}

/* ---- memory that runs out at the n-th request, for every n */

typedef struct failing {
    long left;
    long held;
} failing;

static void *failing_allocate(void *user, size_t bytes) {
    failing *f = user;
    if (f->left-- <= 0) return NULL;
    f->held++;
    return aligned_alloc(64, (bytes + 63) / 64 * 64);
}
static void failing_release(void *user, void *p, size_t bytes) {
    ((failing *)user)->held--;
    free(p);
}

static nib_status try_everything(failing *f, const char *path) {
    nib_status status = NIB_OK;
    nib_runtime_options r;
    nib_model_options o;
    nib_runtime *rt = NULL;
    nib_model *m = NULL;
    nib_session *s = NULL;
    run_session *texts = NULL;
    nib_error e;
    int64_t ids[4] = {2, 5, 7, 3}, mask[4] = {1, 1, 1, 1};
    nib_tensor t = {.dtype = NIB_DTYPE_I64, .rank = 2, .dims = {1, 4}, .data = ids, .bytes = sizeof ids};
    nib_tensor k = {.dtype = NIB_DTYPE_I64, .rank = 2, .dims = {1, 4}, .data = mask, .bytes = sizeof mask};
    const int32_t row[4] = {2, 5, 7, 3}, *rows[] = {row};
    int64_t length = 4;
    float out[64];
    nib_runtime_defaults(&r, sizeof r);
    r.threads = 1;
    r.allocate = failing_allocate;
    r.release = failing_release;
    r.alloc_user = f;
    NIB_TRY(nib_runtime_create(&r, &rt, &e));
    nib_model_defaults(&o, sizeof o);
    o.runtime = rt;
    NIB_TRY(nib_model_open(path, &o, &m, &e));
    NIB_TRY(nib_session_create(m, &s, &e));
    nib_session_set_input(s, "input_ids", &t, &e);
    nib_session_set_input(s, "attention_mask", &k, &e);
    nib_session_set_input(s, "token_type_ids", &k, &e);
    NIB_TRY(nib_session_run(s, &e));
    NIB_TRY(run_session_create(model_own(m)->p, &texts, &e));
    run_batch batch = {.n = 1, .items = &(run_item){.ids = rows[0], .length = length}};
    NIB_TRY(run_texts(texts, &model_own(m)->roles, &batch, 0, RUN_TEAM_ALL, &TO(out), &e));
fail:
    run_session_free(texts);
    nib_session_free(s);
    nib_model_free(m);
    nib_runtime_free(rt);
    return status;
}

static void every_allocation_may_fail(void **state) {
    const char *const paths[] = {models[0].path, models[4].path, NIB_TEST_DATA "/hf/modernbert-tiny"};
    for (size_t i = 0; i < BASE_COUNT(paths); i++) {
        failing f = {.left = 1L << 40};
        assert_int_equal(try_everything(&f, paths[i]), NIB_OK);
        long total = (1L << 40) - f.left;
        assert_int_equal(f.held, 0);
        long step = total > 1500 ? total / 1500 : 1;
        for (long n = 0; n < total; n += n < 300 ? 1 : step) {
            f = (failing){.left = n};
            nib_status status = try_everything(&f, paths[i]);
            if (status != NIB_OUT_OF_MEMORY && status != NIB_OK)
                fail_msg("%s: request %ld of %ld failed, and nib said %s", paths[i], n, total, nib_status_text(status));
            assert_int_equal(f.held, 0);
        }
    }
}

static void sessions_allocate_nothing_again(void **state) {
    nib_error e;
    nib_session *s;
    nib_memory before, after;
    nib_model *m = open_model(models[1].path, 2);
    assert_int_equal(nib_session_create(m, &s, &e), NIB_OK);
    for (size_t b = 0; b < BASE_COUNT(batches); b++) check_session(s, &models[1], batches[b]);
    nib_runtime_memory(m->runtime, &before, sizeof before);
    for (size_t b = 0; b < BASE_COUNT(batches); b++) check_session(s, &models[1], batches[b]);
    nib_runtime_memory(m->runtime, &after, sizeof after);
    assert_int_equal(after.allocations, before.allocations);
    nib_session_free(s);
    nib_model_free(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sessions_agree),
        cmocka_unit_test(pooled_output_agrees),
        cmocka_unit_test(texts_agree),
        cmocka_unit_test(a_text_without_tokens_is_zero),
        cmocka_unit_test(wrong_inputs_are_told),
        cmocka_unit_test(outputs_are_chosen),
        cmocka_unit_test(what_is_named_is_obeyed_or_refused),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(sessions_allocate_nothing_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
