/* SPDX-License-Identifier: Apache-2.0
 *
 * Words in the place of masks, against transformers' pipeline. In: test/data/tasks/fill-*. Out: words, scores, texts;
 * rows of masks alone have the bits that they have among all rows; refusals.
 */
#include "task_golden.h"

static const char *const models[] = {"fill-bert",       "fill-roberta", "fill-modernbert", "fill-deberta", "fill-albert",
                                     "fill-distilbert", "fill-electra"};
#define MODELS (sizeof models / sizeof *models)

static nib_fill_options options_of(size_t top) {
    nib_fill_options o;
    nib_fill_defaults(&o, sizeof o);
    assert_int_equal(o.top, 5);
    if (top) o.top = top;
    return o;
}

static nib_fills *fill(nib_model *m, const char *const *texts, size_t n, const nib_fill_options *o) {
    nib_error e;
    nib_fills *fills;
    if (nib_fill(m, texts, n, o, &fills, &e) != NIB_OK) fail_msg("%s", e.message);
    return fills;
}

static void refused(nib_model *m, const char *text, const nib_fill_options *o, nib_status want, const char *why) {
    nib_error e;
    nib_fills *fills = (nib_fills *)&e;
    assert_int_equal(nib_fill(m, &text, 1, o, &fills, &e), want);
    assert_null(fills);
    if (!strstr(e.message, why)) fail_msg("%s, want '%s'", e.message, why);
}

/* ---- the pipeline's */

static void check_mask(const char *what, const nib_fills *fills, size_t text, size_t mask, yyjson_val *want) {
    const nib_fill_entry *got;
    size_t i, n;
    yyjson_val *w;
    const size_t count = nib_fills_get(fills, text, mask, &got);
    if (count != yyjson_arr_size(want)) fail_msg("%s: %zu words, want %zu", what, count, yyjson_arr_size(want));
    yyjson_arr_foreach(want, i, n, w) {
        const double score = yyjson_get_num(yyjson_obj_get(w, "score"));
        yyjson_val *word = yyjson_obj_get(w, "token_str"), *sequence = yyjson_obj_get(w, "sequence");
        if (got[i].token != yyjson_get_int(yyjson_obj_get(w, "token")) || !(fabs((double)got[i].score - score) <= 1e-5))
            fail_msg("%s, text %zu, mask %zu, word %zu: %d %g, want %d %g", what, text, mask, i, (int)got[i].token,
                     (double)got[i].score, (int)yyjson_get_int(yyjson_obj_get(w, "token")), score);
        if (!yyjson_equals_strn(word, got[i].word, got[i].word_length) ||
            !yyjson_equals_strn(sequence, got[i].sequence, got[i].sequence_length))
            fail_msg("%s, text %zu, mask %zu: '%s' '%s', want '%s' '%s'", what, text, mask, got[i].word, got[i].sequence,
                     yyjson_get_str(word), yyjson_get_str(sequence));
    }
}

static void check_all(const char *what, nib_model *m, const char *const *texts, size_t n, const nib_fill_options *o,
                      yyjson_val *want) {
    nib_fills *fills = fill(m, texts, n, o);
    for (size_t i = 0; i < n; i++) {
        yyjson_val *text = yyjson_arr_get(want, i);
        const bool several = yyjson_is_arr(yyjson_arr_get_first(text)); /* a list for each mask */
        const size_t masks = several ? yyjson_arr_size(text) : 1;
        assert_int_equal(nib_fills_masks(fills, i), masks);
        for (size_t k = 0; k < masks; k++) check_mask(what, fills, i, k, several ? yyjson_arr_get(text, k) : text);
        assert_int_equal(nib_fills_get(fills, i, masks, NULL), 0);
    }
    assert_int_equal(nib_fills_masks(fills, n), 0);
    nib_fills_free(fills);
}

static void words_are_the_pipelines(void **state) {
    for (size_t k = 0; k < MODELS; k++) {
        const char *texts[MOST_TEXTS], *targets[MOST_TEXTS];
        yyjson_doc *doc = golden_open(models[k]);
        yyjson_val *golden = yyjson_doc_get_root(doc);
        const size_t n = golden_texts(yyjson_obj_get(golden, "texts"), texts);
        nib_model *m = golden_model(models[k], NIB_PRECISION_FILE, 2);
        nib_fill_options o = options_of(0);
        assert_string_equal(nib_model_mask_token(m), yyjson_get_str(yyjson_obj_get(golden, "mask")));
        check_all(models[k], m, texts, n, NULL, yyjson_obj_get(golden, "all"));
        o.top = 2;
        check_all(models[k], m, texts, n, &o, yyjson_obj_get(golden, "top 2"));
        o.top = 3;
        o.targets = targets;
        o.target_count = golden_texts(yyjson_obj_get(golden, "target_words"), targets);
        check_all(models[k], m, texts, n, &o, yyjson_obj_get(golden, "targets"));
        nib_model_free(m);
        yyjson_doc_free(doc);
    }
}

/* ---- bits */

static nib_model *open_as(const char *name, nib_task task, nib_precision precision, const char *output) {
    char path[300];
    nib_error e;
    nib_model *m;
    nib_model_options o;
    nib_model_defaults(&o, sizeof o);
    o.task = task;
    o.precision = precision;
    o.output_name = output;
    snprintf(path, sizeof path, TASKS "%s", name);
    if (nib_model_open(path, &o, &m, &e) != NIB_OK) fail_msg("%s: %s", name, e.message);
    return m;
}

static float probability(const float *row, int64_t width, int32_t id) {
    double most = -INFINITY, sum = 0;
    for (int64_t i = 0; i < width; i++) most = (double)row[i] > most ? (double)row[i] : most;
    for (int64_t i = 0; i < width; i++) sum += exp((double)row[i] - most);
    return (float)(exp((double)row[id] - most) / sum);
}

/* Every word of the only mask, which is the second token, from the rows of all tokens: no Pick has moved there. */
static void picked_rows_have_the_bits_of_all_rows(void **state) {
    static const nib_precision precisions[] = {NIB_PRECISION_F32, NIB_PRECISION_BF16, NIB_PRECISION_Q8};
    for (size_t k = 0; k < MODELS; k++)
        for (size_t p = 0; p < 3; p++) {
            nib_error e;
            nib_tensor *rows;
            int64_t offsets[4];
            char texts[3][200];
            const char *list[3] = {texts[0], texts[1], texts[2]};
            nib_model *m = open_as(models[k], NIB_TASK_FILL, precisions[p], NULL);
            nib_model *all = open_as(models[k], NIB_TASK_TOKENS, precisions[p], "logits");
            const nib_fill_options o = options_of(1000);
            snprintf(texts[0], sizeof texts[0], "%s", nib_model_mask_token(m));
            snprintf(texts[1], sizeof texts[1], "%s played in Dresden, then moved to Frankfurt", nib_model_mask_token(m));
            snprintf(texts[2], sizeof texts[2], "%s, ink", nib_model_mask_token(m));
            nib_fills *fills = fill(m, list, 3, &o);
            assert_int_equal(nib_embed_tokens(all, list, 3, NULL, offsets, &rows, &e), NIB_OK);
            const int64_t width = rows->dims[1];
            for (size_t i = 0; i < 3; i++) {
                const nib_fill_entry *got;
                const float *row = (const float *)rows->data + (offsets[i] + 1) * width;
                assert_int_equal(nib_fills_get(fills, i, 0, &got), width);
                for (int64_t j = 0; j < width; j++) {
                    const float want = probability(row, width, got[j].token);
                    if (memcmp(&want, &got[j].score, sizeof want) != 0)
                        fail_msg("%s, %s: text %zu, word %d: %.9g, want %.9g", models[k], nib_precision_name(precisions[p]), i,
                                 (int)got[j].token, (double)got[j].score, (double)want);
                }
            }
            nib_fills_free(fills);
            nib_tensor_free(rows);
            nib_model_free(m);
            nib_model_free(all);
        }
}

static void same(const nib_fills *a, size_t i, const nib_fills *b, size_t j) {
    assert_int_equal(nib_fills_masks(a, i), nib_fills_masks(b, j));
    for (size_t mask = 0; mask < nib_fills_masks(a, i); mask++) {
        const nib_fill_entry *x, *y;
        const size_t n = nib_fills_get(a, i, mask, &x);
        assert_int_equal(n, nib_fills_get(b, j, mask, &y));
        for (size_t k = 0; k < n; k++) {
            assert_memory_equal(&x[k].score, &y[k].score, sizeof x[k].score);
            assert_int_equal(x[k].token, y[k].token);
            assert_string_equal(x[k].sequence, y[k].sequence);
        }
    }
}

static void the_same_bits_in_any_company(void **state) {
    static const nib_precision precisions[] = {NIB_PRECISION_F32, NIB_PRECISION_BF16, NIB_PRECISION_Q8};
    for (size_t k = 0; k < MODELS; k++) {
        const char *texts[MOST_TEXTS];
        yyjson_doc *doc = golden_open(models[k]);
        const size_t n = golden_texts(yyjson_obj_get(yyjson_doc_get_root(doc), "texts"), texts);
        for (size_t p = 0; p < 3; p++) {
            nib_model *m = golden_model(models[k], precisions[p], 2), *alone = golden_model(models[k], precisions[p], 1);
            nib_fills *all = fill(m, texts, n, NULL);
            for (size_t i = 0; i < n; i++) {
                nib_fills *one = fill(alone, texts + i, 1, NULL);
                same(all, i, one, 0);
                nib_fills_free(one);
            }
            nib_model_free(m);
            nib_fills_free(all); /* outlives the caller's model */
            nib_model_free(alone);
        }
        yyjson_doc_free(doc);
    }
}

static void through_a_queue_and_many(void **state) {
    enum { MANY = 5000 };
    static const char *texts[MANY];
    nib_error e;
    nib_queue *queue;
    nib_queue_options q;
    nib_runtime *runtime;
    nib_model_options open;
    nib_model *m;
    assert_int_equal(nib_runtime_create(NULL, &runtime, &e), NIB_OK);
    nib_model_defaults(&open, sizeof open);
    open.runtime = runtime;
    assert_int_equal(nib_model_open(TASKS "fill-bert", &open, &m, &e), NIB_OK);
    for (int i = 0; i < MANY; i++) texts[i] = i % 2 ? "A [MASK] writes [MASK]" : "in [MASK] Dresden";
    nib_queue_defaults(&q, sizeof q);
    assert_int_equal(nib_queue_create(runtime, &q, &queue, &e), NIB_OK);
    nib_ticket ticket;
    nib_ticket_defaults(&ticket, sizeof ticket);
    ticket.queue = queue;
    nib_fill_options o = options_of(2);
    nib_fills *now = fill(m, texts, MANY, &o);
    o.ticket = &ticket;
    nib_fills *waited = fill(m, texts, MANY, &o);
    for (size_t i = 0; i < MANY; i++) same(now, i, waited, i);
    nib_fills_free(now);
    nib_fills_free(waited);
    refused(m, "no such thing", &o, NIB_INVALID_ARGUMENT, "no mask");
    nib_queue_free(queue);
    nib_model_free(m);
    nib_runtime_free(runtime);
}

/* ---- refusals */

static void what_cannot_be_filled(void **state) {
    char text[900] = "";
    const char *one = "a nib", *two[2] = {"a [MASK]", ""}, *none[] = {"", ""};
    int64_t tokens, full;
    nib_error e;
    nib_fills *fills;
    nib_model *m = golden_model("fill-bert", NIB_PRECISION_FILE, 1), *other = golden_model("ner-bert", NIB_PRECISION_FILE, 1);
    nib_fill_options o = options_of(1);
    refused(m, one, NULL, NIB_INVALID_ARGUMENT, "text 0 has no mask among its tokens: this model's is [MASK]");
    refused(m, "", NULL, NIB_INVALID_ARGUMENT, "no mask");
    refused(m, "<mask>", NULL, NIB_INVALID_ARGUMENT, "no mask");
    assert_int_equal(nib_fill(m, two, 2, NULL, &fills, &e), NIB_INVALID_ARGUMENT);
    assert_non_null(strstr(e.message, "text 1"));
    for (int i = 0; i < 60; i++) strcat(text, "a nib ");
    strcat(text, "[MASK]");
    o.tokens = &tokens;
    o.full_tokens = &full;
    refused(m, text, &o, NIB_INVALID_ARGUMENT, "no mask");
    o.targets = none;
    o.target_count = 2;
    refused(m, "[MASK]", &o, NIB_INVALID_ARGUMENT, "no target is left");
    o = options_of(0);
    o.top = 0;
    refused(m, "[MASK]", &o, NIB_INVALID_ARGUMENT, "out of range");
    refused(other, "[MASK]", NULL, NIB_UNSUPPORTED, "this model cannot fill masks: its output logits is that of BertForTokenClassification");
    fills = fill(m, NULL, 0, NULL);
    nib_fills_free(fills);
    nib_fills_free(NULL);
    assert_null(nib_model_mask_token(NULL));
    nib_model_free(m);
    nib_model_free(other);
}

/* A model of NaN gives NaN, in the order of ids. */
static void scores_that_are_no_numbers(void **state) {
    char path[400];
    const nib_fill_entry *got;
    nib_error e;
    nib_model *m;
    snprintf(path, sizeof path, TASKS "fill-bert/model.safetensors");
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    static unsigned char bytes[1 << 18];
    const size_t size = fread(bytes, 1, sizeof bytes, f);
    fclose(f);
    uint64_t header;
    memcpy(&header, bytes, 8);
    for (size_t at = 8 + (size_t)header; at + 4 <= size; at += 4) memcpy(bytes + at, &(float){NAN}, 4);
    const char *variant = golden_variant("fill-bert", "model.safetensors", bytes, size), *text = "a [MASK]";
    assert_int_equal(nib_model_open(variant, NULL, &m, &e), NIB_OK);
    nib_fills *fills = fill(m, &text, 1, NULL);
    assert_int_equal(nib_fills_get(fills, 0, 0, &got), 5);
    for (int i = 0; i < 5; i++) assert_true(isnan(got[i].score) && got[i].token == i);
    nib_fills_free(fills);
    nib_model_free(m);
    golden_remove(variant);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_are_the_pipelines),
        cmocka_unit_test(picked_rows_have_the_bits_of_all_rows),
        cmocka_unit_test(the_same_bits_in_any_company),
        cmocka_unit_test(through_a_queue_and_many),
        cmocka_unit_test(what_cannot_be_filled),
        cmocka_unit_test(scores_that_are_no_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
