/* SPDX-License-Identifier: Apache-2.0
 *
 * Late interaction, against sentence-transformers' MultiVectorEncoder. In: test/data/tasks/colbert-*, in the layouts of
 * PyLate, Stanford and sentence-transformers. Out: rows, their number, bits, refusals.
 */
#include "task_golden.h"

static const char *const models[] = {"colbert-stanford", "colbert-bert", "colbert-modernbert", "colbert-deberta", "colbert-native"};
#define MODELS (sizeof models / sizeof *models)
#define WIDTH 12

static nib_tensor *encode(nib_model *m, nib_colbert_role role, const char *const *texts, size_t n, double factor,
                          int64_t *offsets) {
    nib_colbert_options o;
    nib_error e;
    nib_tensor *rows;
    nib_colbert_defaults(&o, sizeof o);
    o.pool_factor = factor;
    if (nib_colbert(m, role, texts, n, &o, offsets, &rows, &e) != NIB_OK) fail_msg("%s", e.message);
    assert_int_equal(rows->dims[0], offsets[n]);
    assert_int_equal(rows->dims[1], WIDTH);
    return rows;
}

/* The largest difference of two lists of rows, which have as many each. */
static double farthest(const char *what, const nib_tensor *got, const int64_t *offsets, yyjson_val *want) {
    size_t i, j, k, n, rows, width;
    yyjson_val *text, *row, *x;
    double most = 0;
    yyjson_arr_foreach(want, i, n, text) {
        if (offsets[i + 1] - offsets[i] != (int64_t)yyjson_arr_size(text))
            fail_msg("%s: text %zu has %lld rows, want %zu", what, i, (long long)(offsets[i + 1] - offsets[i]),
                     yyjson_arr_size(text));
        yyjson_arr_foreach(text, j, rows, row) yyjson_arr_foreach(row, k, width, x) {
            const double d =
                fabs((double)((const float *)got->data)[((size_t)offsets[i] + j) * WIDTH + k] - yyjson_get_num(x));
            if (!(d <= most)) most = d;
        }
    }
    return most;
}

static void rows_are_those_of_multi_vector_encoders(void **state) {
    static const struct {
        const char *key;
        nib_colbert_role role;
        double factor;
    } kinds[] = {{"query", NIB_COLBERT_QUERY, 1},     {"document", NIB_COLBERT_DOCUMENT, 1},
                 {"query", NIB_COLBERT_QUERY, 2},     {"pool 2", NIB_COLBERT_DOCUMENT, 2},
                 {"pool 3", NIB_COLBERT_DOCUMENT, 3}, {"pool 1.5", NIB_COLBERT_DOCUMENT, 1.5}};
    for (size_t k = 0; k < MODELS; k++) {
        const char *texts[MOST_TEXTS];
        char what[100];
        int64_t offsets[MOST_TEXTS + 1];
        yyjson_doc *doc = golden_open(models[k]);
        yyjson_val *golden = yyjson_doc_get_root(doc);
        const size_t n = golden_texts(yyjson_obj_get(golden, "texts"), texts);
        nib_model *m = golden_model(models[k], NIB_PRECISION_FILE, 2);
        assert_int_equal(nib_model_task(m), NIB_TASK_COLBERT);
        for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
            nib_tensor *got = encode(m, kinds[i].role, texts, n, kinds[i].factor, offsets);
            snprintf(what, sizeof what, "%s, %s", models[k], kinds[i].key);
            const double d = farthest(what, got, offsets, yyjson_obj_get(golden, kinds[i].key));
            if (!(d <= 1e-4)) fail_msg("%s: rows differ by %g", what, d);
            nib_tensor_free(got);
        }
        nib_model_free(m);
        yyjson_doc_free(doc);
    }
}

static void the_same_bits_in_any_company(void **state) {
    static const nib_precision precisions[] = {NIB_PRECISION_F32, NIB_PRECISION_BF16, NIB_PRECISION_Q8};
    const char *texts[] = {"a nib", "", "the river Elbe, and a long text of it, in Dresden", "?", "Clara"};
    for (size_t k = 0; k < MODELS; k++)
        for (size_t p = 0; p < 6; p++) {
            const nib_colbert_role role = p % 2 ? NIB_COLBERT_QUERY : NIB_COLBERT_DOCUMENT;
            int64_t offsets[6], own[2];
            nib_model *m = golden_model(models[k], precisions[p / 2], 2);
            nib_model *alone = golden_model(models[k], precisions[p / 2], 1);
            nib_tensor *all = encode(m, role, texts, 5, 1.5, offsets);
            for (size_t i = 0; i < 5; i++) {
                nib_tensor *one = encode(alone, role, texts + i, 1, 1.5, own);
                assert_int_equal(own[1], offsets[i + 1] - offsets[i]);
                assert_memory_equal(one->data, (const float *)all->data + offsets[i] * WIDTH, one->bytes);
                nib_tensor_free(one);
            }
            nib_tensor_free(all);
            nib_model_free(m);
            nib_model_free(alone);
        }
}

static void through_a_queue_and_many(void **state) {
    enum { MANY = 2500 };
    nib_error e;
    nib_queue *queue;
    nib_queue_options q;
    nib_ticket ticket;
    nib_model_options open;
    nib_model *m;
    nib_tensor *waited;
    nib_colbert_options o;
    const char **texts = malloc(MANY * sizeof *texts);
    int64_t *plain_offsets = calloc(MANY + 1, 8), *offsets = calloc(MANY + 1, 8);
    for (size_t i = 0; i < MANY; i++) texts[i] = i % 3 ? "Ada, of Paris" : i % 2 ? "" : "Clara";
    nib_model_defaults(&open, sizeof open);
    nib_queue_defaults(&q, sizeof q);
    nib_ticket_defaults(&ticket, sizeof ticket);
    nib_colbert_defaults(&o, sizeof o);
    assert_int_equal(nib_runtime_create(NULL, &open.runtime, &e), NIB_OK);
    assert_int_equal(nib_model_open(TASKS "colbert-stanford", &open, &m, &e), NIB_OK);
    assert_int_equal(nib_queue_create(open.runtime, &q, &queue, &e), NIB_OK);
    ticket.queue = queue;
    o.ticket = &ticket;
    for (int role = NIB_COLBERT_QUERY; role <= NIB_COLBERT_DOCUMENT; role++) {
        nib_tensor *plain = encode(m, (nib_colbert_role)role, texts, MANY, 1, plain_offsets);
        assert_int_equal(nib_colbert(m, (nib_colbert_role)role, texts, MANY, &o, offsets, &waited, &e), NIB_OK);
        assert_memory_equal(plain_offsets, offsets, (MANY + 1) * sizeof *offsets);
        assert_memory_equal(plain->data, waited->data, plain->bytes);
        nib_tensor_free(plain);
        nib_tensor_free(waited);
    }
    nib_queue_free(queue);
    nib_model_free(m);
    nib_runtime_free(open.runtime);
    free(texts);
    free(plain_offsets);
    free(offsets);
}

/* The same keys in the file that exports of PyLate have. */
static void settings_of_an_export_are_read(void **state) {
    const char *text = "of ink, in Dresden";
    char command[200];
    int64_t offsets[2], others[2];
    size_t size;
    char *said = golden_file("colbert-bert", "config_sentence_transformers.json", &size);
    const char *path = golden_variant("colbert-bert", "onnx_config.json", said, size);
    snprintf(command, sizeof command, "rm %s/config_sentence_transformers.json", path);
    assert_int_equal(system(command), 0);
    nib_model *m = golden_model("colbert-bert", NIB_PRECISION_FILE, 1),
              *other = golden_model(path, NIB_PRECISION_FILE, 1);
    for (int role = NIB_COLBERT_QUERY; role <= NIB_COLBERT_DOCUMENT; role++) {
        nib_tensor *a = encode(m, (nib_colbert_role)role, &text, 1, 1, offsets);
        nib_tensor *b = encode(other, (nib_colbert_role)role, &text, 1, 1, others);
        assert_int_equal(offsets[1], others[1]);
        assert_memory_equal(a->data, b->data, a->bytes);
        nib_tensor_free(a);
        nib_tensor_free(b);
    }
    nib_model_free(m);
    nib_model_free(other);
    golden_remove(path);
    free(said);
}

static void what_a_file_says_wrongly_is_refused(void **state) {
    static const struct {
        const char *said, *message;
    } rows[] = {{"{\"query_prefix\": 3}", "query_prefix is no text"},
                {"{\"query_prefix\": \"\", \"query_length\": 0}", "query_length is no number of tokens"},
                {"{\"query_prefix\": \"\", \"skiplist_words\": [1]}", "skiplist_words has something that is no text"},
                {"{\"query_prefix\": \"\", \"attend_to_expansion_tokens\": 1}", "neither true nor false"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        nib_error e;
        nib_model *m;
        const char *path =
            golden_variant("colbert-bert", "config_sentence_transformers.json", rows[i].said, strlen(rows[i].said));
        assert_int_equal(nib_model_open(path, NULL, &m, &e), NIB_BAD_MODEL);
        if (!strstr(e.message, rows[i].message)) fail_msg("%s", e.message);
        golden_remove(path);
    }
}

/* sentence-transformers' own layout: what of it nib does not do is refused by name. */
static void what_a_mask_says_is_obeyed_or_refused(void **state) {
    static const char mask[] = "2_MultiVectorMask/config.json", sentence[] = "sentence_bert_config.json";
    static const struct {
        const char *file, *said;
        nib_status want;
        const char *message;
    } rows[] = {
        {mask, "{\"skiplist_words\": [\"of\"], \"skiplist_tasks\": [\"query\", \"document\"]}", NIB_UNSUPPORTED, "skiplist_tasks"},
        {mask, "{\"skiplist_words\": [], \"skiplist_tasks\": [\"query\"]}", NIB_OK, ""},
        {mask, "{\"skiplist_words\": [\"of\"], \"skiplist_tasks\": \"document\"}", NIB_OK, ""},
        {mask, "{\"keep_only_token_ids\": [7]}", NIB_UNSUPPORTED, "keep_only_token_ids"},
        {sentence, "{\"query_expansion\": {\"strategy\": \"min\", \"length\": 20}}", NIB_UNSUPPORTED, "another strategy than fixed"},
        {sentence, "{\"query_expansion\": {\"strategy\": \"fixed\"}}", NIB_BAD_MODEL, "no length"},
        {sentence, "{\"query_length\": 9, \"query_expansion\": {\"strategy\": \"fixed\", \"length\": 20}}", NIB_BAD_MODEL,
         "query_length is less"},
        {sentence, "{\"processing_kwargs\": {\"text\": {\"max_length\": 9}}}", NIB_UNSUPPORTED, "max_length of a model for late"},
        {"modules.json",
         "[{\"path\": \"\", \"type\": \"Transformer\"}, {\"path\": \"1_Dense\", \"type\": \"Dense\"},"
         " {\"path\": \"2_MultiVectorMask\", \"type\": \"MultiVectorMask\"}]",
         NIB_UNSUPPORTED, "no Normalize"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        nib_error e = {.message = ""};
        nib_model *m;
        char path[64];
        snprintf(path, sizeof path, "%s", golden_variant("colbert-native", rows[i].file, rows[i].said, strlen(rows[i].said)));
        const nib_status got = nib_model_open(path, NULL, &m, &e);
        if (got != rows[i].want || !strstr(e.message, rows[i].message)) fail_msg("%s: %s", rows[i].said, e.message);
        nib_model_free(m);
        golden_remove(path);
    }
}

/* No skip list and no expansion, where nothing is said: every token has its row. */
static void a_mask_that_says_nothing(void **state) {
    const char *text = "a nib of Dresden, of";
    int64_t counts[2], with[2];
    char path[64];
    snprintf(path, sizeof path, "%s", golden_variant("colbert-native", "2_MultiVectorMask/config.json", "{}", 2));
    nib_model *m = golden_model(path, NIB_PRECISION_FILE, 1), *said = golden_model("colbert-native", NIB_PRECISION_FILE, 1);
    nib_tensor_free(encode(m, NIB_COLBERT_DOCUMENT, &text, 1, 1, counts));
    nib_tensor_free(encode(said, NIB_COLBERT_DOCUMENT, &text, 1, 1, with));
    assert_int_equal(counts[1], with[1] + 3);
    nib_model_free(m);
    nib_model_free(said);
    golden_remove(path);
}

static void what_cannot_be_encoded_is_refused(void **state) {
    const char *texts[] = {"a nib", NULL};
    int64_t offsets[3];
    nib_error e;
    nib_tensor *rows;
    nib_colbert_options o;
    nib_colbert_defaults(&o, sizeof o);
    nib_model *m = golden_model("colbert-bert", NIB_PRECISION_FILE, 1),
              *other = golden_model("rank-bert", NIB_PRECISION_FILE, 1);
    assert_int_equal(nib_colbert(m, (nib_colbert_role)0, texts, 1, NULL, offsets, &rows, &e), NIB_INVALID_ARGUMENT);
    assert_int_equal(nib_colbert(m, NIB_COLBERT_QUERY, texts, 2, NULL, offsets, &rows, &e), NIB_INVALID_ARGUMENT);
    o.pool_factor = NAN;
    assert_int_equal(nib_colbert(m, NIB_COLBERT_QUERY, texts, 1, &o, offsets, &rows, &e), NIB_INVALID_ARGUMENT);
    assert_null(rows);
    assert_int_equal(nib_colbert(other, NIB_COLBERT_QUERY, texts, 1, NULL, offsets, &rows, &e), NIB_UNSUPPORTED);
    assert_non_null(strstr(e.message, "says nothing of late interaction"));
    rows = encode(m, NIB_COLBERT_DOCUMENT, texts, 0, 1, offsets);
    assert_int_equal(rows->dims[0], 0);
    nib_tensor_free(rows);
    nib_model_free(m);
    nib_model_free(other);
}

/* ---- MaxSim */

static double reference(nib_vector_type type, const void *a, const void *b, int64_t i, int64_t j, int64_t width) {
    double sum = 0;
    const int64_t bytes = (width + 7) / 8;
    for (int64_t k = 0; k < width; k++) {
        const uint8_t *p = a, *q = b;
        if (type == NIB_VECTOR_F32)
            sum += (double)((const float *)a)[i * width + k] * (double)((const float *)b)[j * width + k];
        else if (type == NIB_VECTOR_I8)
            sum += ((const int8_t *)a)[i * width + k] * ((const int8_t *)b)[j * width + k];
        else sum += (p[i * bytes + k / 8] >> (7 - k % 8) & 1) == (q[j * bytes + k / 8] >> (7 - k % 8) & 1) ? 1 : -1;
    }
    return sum;
}

enum { QUERY = 37, ROWS = 311, MOST = 200 }; /* more than a tile has, of both */
static float query_floats[QUERY * MOST], document_floats[ROWS * MOST];

/* Random rows, as the type has them; of bits, those behind the last are what the type has for 0. */
static void fill(nib_vector_type type, int64_t width, size_t n, float *rows, uint32_t *random) {
    const size_t bytes = nib_vector_bytes(type, width);
    for (size_t k = 0; k < n * (size_t)width; k++)
        rows[k] = (float)((*random = *random * 1664525u + 1013904223u) >> 8) / 1e7f - 0.8f;
    if (type == NIB_VECTOR_F32) return;
    for (size_t k = 0; k < n * bytes; k++) ((uint8_t *)rows)[k] = (uint8_t)((*random = *random * 1664525u + 1013904223u) >> 24);
    if (type == NIB_VECTOR_I8) ((int8_t *)rows)[0] = -128;
    for (size_t i = 0; i < n && type != NIB_VECTOR_I8 && width % 8; i++) {
        uint8_t *last = (uint8_t *)rows + (i + 1) * bytes - 1;
        *last = (uint8_t)(*last & ~((1 << (8 - width % 8)) - 1));
    }
}

static void scores_are_maxsims(void **state) {
    static const int64_t offsets[] = {0, 4, 4, 293, ROWS}, widths[] = {1, 7, 15, 16, 17, 64, 96, 127, 128, 200};
    static const nib_vector_type types[] = {NIB_VECTOR_F32, NIB_VECTOR_I8, NIB_VECTOR_BINARY, NIB_VECTOR_UBINARY};
    float scores[4], alone, threaded[4];
    nib_error e;
    nib_runtime *runtime;
    nib_runtime_options o;
    uint32_t random = 7;
    nib_runtime_defaults(&o, sizeof o);
    o.threads = 3;
    assert_int_equal(nib_runtime_create(&o, &runtime, &e), NIB_OK);
    for (size_t w = 0; w < sizeof widths / sizeof *widths; w++)
        for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
            nib_vectors a = {.type = types[t], .data = query_floats, .n = QUERY, .width = widths[w]}, b = a;
            b.data = document_floats;
            b.n = ROWS;
            fill(a.type, a.width, a.n, query_floats, &random);
            fill(b.type, b.width, b.n, document_floats, &random);
            assert_int_equal(nib_maxsim(NULL, &a, &b, offsets, 4, scores, &e), NIB_OK);
            assert_int_equal(nib_maxsim(runtime, &a, &b, offsets, 4, threaded, &e), NIB_OK);
            assert_memory_equal(scores, threaded, sizeof scores);
            assert_true(isinf(scores[1]) && scores[1] < 0);
            for (int d = 0; d < 4; d++) {
                double want = 0;
                for (int64_t i = 0; i < QUERY; i++) {
                    double most = -INFINITY;
                    for (int64_t j = offsets[d]; j < offsets[d + 1]; j++)
                        most = fmax(most, reference(a.type, a.data, b.data, i, j, a.width));
                    want += most;
                }
                const double allowed = a.type == NIB_VECTOR_F32 ? 1e-4 * (1 + fabs(want)) : 0;
                if (d != 1 && !(fabs((double)scores[d] - want) <= allowed))
                    fail_msg("%s, width %d: %g, want %g", nib_vector_type_name(a.type), (int)a.width, (double)scores[d],
                             want);
                assert_int_equal(nib_maxsim(NULL, &a, &b, offsets + d, 1, &alone, &e), NIB_OK);
                assert_memory_equal(&alone, &scores[d], sizeof alone);
            }
        }
    nib_runtime_free(runtime);
}

static void what_has_no_maxsim_is_refused(void **state) {
    static const int64_t offsets[] = {0, 4, 13};
    float scores[2];
    nib_error e;
    uint32_t random = 3;
    nib_vectors a = {.data = query_floats, .n = 5, .width = 16}, b = {.data = document_floats, .n = 13, .width = 16};
    fill(NIB_VECTOR_F32, 16, a.n, query_floats, &random);
    fill(NIB_VECTOR_F32, 16, b.n, document_floats, &random);
    document_floats[2 * 16] = NAN;
    assert_int_equal(nib_maxsim(NULL, &a, &b, offsets, 2, scores, &e), NIB_OK);
    assert_true(isnan(scores[0]) && !isnan(scores[1]));
    a.n = 0;
    assert_int_equal(nib_maxsim(NULL, &a, &b, offsets, 2, scores, &e), NIB_OK);
    assert_true(scores[0] == 0 && scores[1] == 0);
    a.n = 5;
    assert_int_equal(nib_maxsim(NULL, &a, &b, (const int64_t[]){2, 1}, 1, scores, &e), NIB_INVALID_ARGUMENT);
    assert_int_equal(nib_maxsim(NULL, &a, &b, (const int64_t[]){2, 14}, 1, scores, &e), NIB_INVALID_ARGUMENT);
    assert_int_equal(nib_maxsim(NULL, &a, NULL, offsets, 2, scores, &e), NIB_INVALID_ARGUMENT);
    b.type = NIB_VECTOR_I8;
    assert_int_equal(nib_maxsim(NULL, &a, &b, offsets, 2, scores, &e), NIB_INVALID_ARGUMENT);
    a.type = b.type = NIB_VECTOR_U8;
    assert_int_equal(nib_maxsim(NULL, &a, &b, offsets, 2, scores, &e), NIB_INVALID_ARGUMENT);
    a.type = b.type = NIB_VECTOR_I8;
    a.width = b.width = (1 << 16) + 1;
    assert_int_equal(nib_maxsim(NULL, &a, &b, offsets, 0, scores, &e), NIB_INVALID_ARGUMENT);
    a.width = b.width = 0;
    assert_int_equal(nib_maxsim(NULL, &a, &b, offsets, 2, scores, &e), NIB_INVALID_ARGUMENT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_bits_in_any_company),
        cmocka_unit_test(through_a_queue_and_many),
        cmocka_unit_test(settings_of_an_export_are_read),
        cmocka_unit_test(what_a_file_says_wrongly_is_refused),
        cmocka_unit_test(what_a_mask_says_is_obeyed_or_refused),
        cmocka_unit_test(a_mask_that_says_nothing),
        cmocka_unit_test(what_cannot_be_encoded_is_refused),
        cmocka_unit_test(scores_are_maxsims),
        cmocka_unit_test(what_has_no_maxsim_is_refused),
        cmocka_unit_test(rows_are_those_of_multi_vector_encoders),
    };
    return cmocka_run_group_tests_name("colbert", tests, NULL, NULL);
}
