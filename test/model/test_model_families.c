/* SPDX-License-Identifier: Apache-2.0
 *
 * Families that enter as Hugging Face folders, and what exporters make of them, against PyTorch: named tensors with exact meaning, padded
 * on any side and with holes; texts through the packed plan, with the same bits in any batch; what fuses; q8 and bf16 beside f32.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <unistd.h>
#include "model/model.h"
#include "npy.h"

#define WIDTH 64
#define TEXTS 12

static const char *const batches[] = {"right", "odd", "one", "long", "window"};

static const struct {
    const char *path, *name; /* name: of the expected values */
    int layers;              /* of a ModernBERT; 0: of another family */
} models[] = {
    {"hf/modernbert-tiny", "modernbert-tiny", 3},           {"hf/modernbert-biased", "modernbert-biased", 2},
    {"onnx/modernbert-tiny.ts.onnx", "modernbert-tiny", 3}, {"onnx/modernbert-tiny.dynamo.onnx", "modernbert-tiny", 3},
    {"onnx/mpnet-tiny.ts.onnx", "mpnet-tiny", 0},           {"onnx/t5-tiny.dynamo.onnx", "t5-tiny", 0},
    {"onnx/qwen3-tiny.ts.onnx", "qwen3-tiny", 0},
};

static nib_model *open_model(const char *name, nib_precision precision, int threads) {
    char path[300];
    nib_model_options o;
    nib_runtime_options r;
    nib_runtime *rt;
    nib_model *m;
    nib_error e;
    snprintf(path, sizeof path, NIB_TEST_DATA "/%s", name);
    nib_runtime_defaults(&r, sizeof r);
    r.threads = threads;
    assert_int_equal(nib_runtime_create(&r, &rt, &e), NIB_OK);
    nib_model_defaults(&o, sizeof o);
    o.runtime = rt;
    o.precision = precision;
    if (nib_model_open(path, &o, &m, &e) != NIB_OK) fail_msg("%s: %s (%s)", path, e.message, e.node);
    nib_runtime_free(rt);
    return m;
}

static nib_tensor input_of(const char *batch, const char *name) { return test_npy(NIB_TEST_DATA "/onnx/expected/%s.%s.npy", batch, name); }

static void sessions_agree(void **state) {
    for (size_t i = 0; i < BASE_COUNT(models); i++) {
        nib_error e;
        nib_session *s;
        nib_model *m = open_model(models[i].path, NIB_PRECISION_FILE, 2);
        if (nib_session_create(m, &s, &e) != NIB_OK) fail_msg("%s: %s", models[i].path, e.message);
        for (size_t b = 0; b < BASE_COUNT(batches); b++) {
            nib_tensor ids = input_of(batches[b], "input_ids"), mask = input_of(batches[b], "attention_mask"), got;
            nib_tensor want = test_npy(NIB_TEST_DATA "/hf/expected/%s.%s.npy", batches[b], models[i].name);
            assert_int_equal(nib_session_set_input(s, "input_ids", &ids, &e), NIB_OK);
            assert_int_equal(nib_session_set_input(s, "attention_mask", &mask, &e), NIB_OK);
            if (nib_session_run(s, &e) != NIB_OK) fail_msg("%s %s: %s (%s)", models[i].path, batches[b], e.message, e.node);
            assert_int_equal(nib_session_get_output(s, "last_hidden_state", &got, &e), NIB_OK);
            assert_int_equal(got.bytes, want.bytes);
            for (int64_t r = 0; r < got.dims[0] * got.dims[1]; r++) { /* padded rows hold whatever the model makes of padding */
                const float *y = (const float *)got.data + r * WIDTH, *t = (const float *)want.data + r * WIDTH;
                if (!((const int64_t *)mask.data)[r]) continue;
                double d = test_difference(y, t, WIDTH);
                if (!(d <= 2e-5)) fail_msg("%s, %s, row %lld: differs from PyTorch by %g", models[i].path, batches[b], (long long)r, d);
            }
            free(ids.data);
            free(mask.data);
            free(want.data);
        }
        nib_session_free(s);
        nib_model_free(m);
    }
}

/* ---- texts through the packed plan: mean pooling, as nothing else is said */

typedef struct texts {
    int32_t ids[TEXTS][80];
    int64_t lengths[TEXTS];
    float want[TEXTS][WIDTH];
    const int32_t *rows[TEXTS];
    size_t n;
} texts;

/* Right-padded texts of all batches: positions of the others are not 0, 1, 2, ... */
static void read_texts(texts *t, const char *model) {
    t->n = 0;
    for (size_t b = 0; b < BASE_COUNT(batches); b++) {
        nib_tensor ids = input_of(batches[b], "input_ids"), mask = input_of(batches[b], "attention_mask");
        nib_tensor hidden = test_npy(NIB_TEST_DATA "/hf/expected/%s.%s.npy", batches[b], model);
        const int64_t S = ids.dims[1], *is_token = mask.data;
        for (int64_t r = 0; r < ids.dims[0] && t->n < TEXTS; r++) {
            double sum[WIDTH] = {0};
            int64_t n = 0;
            while (n < S && is_token[r * S + n]) n++;
            bool right = true;
            for (int64_t j = n; j < S; j++) right &= !is_token[r * S + j];
            if (!right) continue;
            for (int64_t j = 0; j < n; j++) {
                t->ids[t->n][j] = (int32_t)((const int64_t *)ids.data)[r * S + j];
                for (int c = 0; c < WIDTH; c++) sum[c] += (double)((const float *)hidden.data)[(r * S + j) * WIDTH + c];
            }
            for (int c = 0; c < WIDTH; c++) t->want[t->n][c] = (float)(sum[c] / (double)n);
            t->lengths[t->n] = n;
            t->rows[t->n] = t->ids[t->n];
            t->n++;
        }
        free(ids.data);
        free(mask.data);
        free(hidden.data);
    }
    assert_true(t->n >= 10);
}

static double cosine(const float *a, const float *b) {
    double ab = 0, aa = 0, bb = 0;
    for (int i = 0; i < WIDTH; i++) ab += (double)a[i] * (double)b[i], aa += (double)a[i] * (double)a[i], bb += (double)b[i] * (double)b[i];
    return ab / sqrt(aa * bb);
}

/* A sink that writes rows. */
#define TO(rows)                                                                                                       \
    ((run_sink){.width = WIDTH, .give = run_to_matrix, .user = &(run_matrix){.to = (rows), .width = WIDTH}})

static void texts_agree(void **state) {
    static const struct {
        nib_precision precision;
        double cosine;
    } ways[] = {{NIB_PRECISION_FILE, 0.999999}, {NIB_PRECISION_BF16, 0.9998}, {NIB_PRECISION_Q8, 0.998}};
    static texts t;
    static float got[TEXTS][WIDTH], again[TEXTS][WIDTH];
    for (size_t i = 0; i < BASE_COUNT(models); i++)
        for (size_t w = 0; w < BASE_COUNT(ways); w++)
            for (int threads = 1; threads <= 3; threads += 2) {
                nib_error e;
                run_session *s;
                nib_model *m = open_model(models[i].path, ways[w].precision, threads);
                read_texts(&t, models[i].name);
                if (!strstr(model_own(m)->notes, "batches are packed"))
                    fail_msg("%s: %s", models[i].path, model_own(m)->notes);
                assert_int_equal(run_session_create(model_own(m)->p, &s, &e), NIB_OK);
                run_item items[TEXTS];
                for (size_t k = 0; k < t.n; k++) items[k] = (run_item){.ids = t.rows[k], .length = t.lengths[k]};
                run_batch batch = {.n = t.n, .items = items};
                if (run_texts(s, &model_own(m)->roles, &batch, 0, RUN_TEAM_ALL, &TO(got[0]), &e) !=
                    NIB_OK)
                    fail_msg("%s: %s", models[i].path, e.message);
                for (size_t k = 0; k < t.n; k++) {
                    double c = cosine(got[k], t.want[k]);
                    if (!(c >= ways[w].cosine))
                        fail_msg("%s, way %zu, text %zu of %lld tokens: cosine %.7f", models[i].path, w, k, (long long)t.lengths[k], c);
                    run_batch single = {.n = 1, .items = &items[k]};
                    assert_int_equal(
                        run_texts(s, &model_own(m)->roles, &single, 0, RUN_TEAM_ALL, &TO(again[0]), &e),
                        NIB_OK);
                    assert_memory_equal(again[0], got[k], sizeof got[k]); /* the same bits alone and in the batch */
                }
                for (int64_t group = 1; group <= 64; group += 21) { /* and however the batch is cut */
                    assert_int_equal(run_texts(s, &model_own(m)->roles, &batch, group, RUN_TEAM_ALL, &TO(again[0]), &e),
                                     NIB_OK);
                    assert_memory_equal(again, got, t.n * sizeof *got);
                }
                run_session_free(s);
                nib_model_free(m);
            }
}

/* A tokenizer of another kind: token ids are taken, texts are refused with a reason. */
static void other_tokenizers_leave_token_ids(void **state) {
    static const char *const files[] = {"config.json", "model.safetensors"};
    char folder[] = "/tmp/nib-family-XXXXXX", from[400], to[400];
    assert_non_null(mkdtemp(folder));
    for (size_t i = 0; i < BASE_COUNT(files); i++) {
        snprintf(from, sizeof from, NIB_TEST_DATA "/hf/modernbert-tiny/%s", files[i]);
        snprintf(to, sizeof to, "%s/%s", folder, files[i]);
        assert_int_equal(symlink(from, to), 0);
    }
    snprintf(to, sizeof to, "%s/tokenizer.json", folder);
    FILE *f = fopen(to, "w");
    assert_non_null(f);
    fputs("{\"normalizer\": {\"type\": \"NFC\"}, \"pre_tokenizer\": {\"type\": \"ByteLevel\"}, \"model\": {\"type\": \"BPE\", \"dropout\": "
          "0.1, \"vocab\": {}, \"merges\": []}}",
          f);
    fclose(f);
    nib_model *m;
    nib_session *s;
    nib_error e;
    nib_tensor out;
    float vector[WIDTH];
    const char *text = "some words";
    int64_t ids[3] = {2, 5, 3}, mask[3] = {1, 1, 1};
    nib_tensor t = {.dtype = NIB_DTYPE_I64, .rank = 2, .dims = {1, 3}, .data = ids, .bytes = sizeof ids};
    nib_tensor k = {.dtype = NIB_DTYPE_I64, .rank = 2, .dims = {1, 3}, .data = mask, .bytes = sizeof mask};
    if (nib_model_open(folder, NULL, &m, &e) != NIB_OK) fail_msg("%s", e.message);
    assert_int_equal(nib_embed(m, &text, 1, NULL, vector, &e), NIB_UNSUPPORTED);
    if (!strstr(e.message, "tokenizer.json") || !strstr(e.message, "token ids")) fail_msg("%s", e.message);
    size_t count;
    assert_int_equal(nib_tokenize(m, text, strlen(text), 0, NULL, NULL, NULL, 0, &count, &e), NIB_UNSUPPORTED);
    assert_int_equal(nib_session_create(m, &s, &e), NIB_OK);
    assert_int_equal(nib_session_set_input(s, "input_ids", &t, &e), NIB_OK);
    assert_int_equal(nib_session_set_input(s, "attention_mask", &k, &e), NIB_OK);
    assert_int_equal(nib_session_run(s, &e), NIB_OK);
    assert_int_equal(nib_session_get_output(s, "last_hidden_state", &out, &e), NIB_OK);
    assert_int_equal(out.dims[1], 3);
    nib_session_free(s);
    nib_model_free(m);
    f = fopen(to, "w"); /* one that is broken is an error */
    fputs("{\"model\": ", f);
    fclose(f);
    assert_int_equal(nib_model_open(folder, NULL, &m, &e), NIB_BAD_TOKENIZER);
    unlink(to);
    for (size_t i = 0; i < BASE_COUNT(files); i++) {
        snprintf(to, sizeof to, "%s/%s", folder, files[i]);
        unlink(to);
    }
    rmdir(folder);
}

/* Each layer is Linear(qkv), Rotary, Attention, Linear + residual, Norm, gated Linear, Linear + residual, and Norm but for the first. */
static void layers_are_fused(void **state) {
    static const char *const layer[] = {"Linear", "Rotary", "Attention", "Linear", "Norm", "Linear", "Linear", "Norm"};
    for (size_t i = 0; i < BASE_COUNT(models); i++) {
        nib_model *m = open_model(models[i].path, NIB_PRECISION_FILE, 1);
        const graph_node *n = model_own(m)->g->first;
        while (n && !graph_is_op(n, "nib", "Linear")) n = n->next;
        for (int k = 0; k < 8 * models[i].layers; k++, n = n->next) {
            while (n && (strcmp(n->domain, "nib") != 0 || graph_is_op(n, "nib", "Pack"))) n = n->next; /* integers of positions */
            if (!n || strcmp(n->op, layer[k % 8]) != 0)
                fail_msg("%s, node %d is %s, not %s\n%s", models[i].path, k, n ? n->op : "none", layer[k % 8], model_own(m)->notes);
            op_linear l = {0};
            op_linear_get(n, &l);
            if (k % 8 == 5 && !l.gate) fail_msg("node %d is not gated", k);
            if ((k % 8 == 3 || k % 8 == 6) && !l.residual) fail_msg("node %d has no residual", k);
            if (k % 8 == 2) assert_int_equal(graph_attr_int(n, "window_left", -1), k < 8 ? -1 : 8);
            if (k % 8 == 2) assert_int_equal(graph_attr_int(n, "window_right", -1), k < 8 ? -1 : 8);
        }
        for (n = model_own(m)->g->first; n; n = n->next)
            assert_false(graph_is_op(n, "", "Softmax") || graph_is_op(n, "", "Split"));
        nib_model_free(m);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sessions_agree),
        cmocka_unit_test(texts_agree),
        cmocka_unit_test(layers_are_fused),
        cmocka_unit_test(other_tokenizers_leave_token_ids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
