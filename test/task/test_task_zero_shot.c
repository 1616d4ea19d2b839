/* SPDX-License-Identifier: Apache-2.0
 *
 * Labels of the caller's, against transformers' pipeline. In: test/data/tasks/zero-*. Out: order, scores, bits, refusals.
 */
#include "task_golden.h"

static const char *const models[] = {"zero-bert", "zero-deberta", "zero-roberta", "zero-bart"};
#define MODELS (sizeof models / sizeof *models)
#define MOST_LABELS 8

static nib_zero_shot_options options_of(void) {
    nib_zero_shot_options o;
    nib_zero_shot_defaults(&o, sizeof o);
    return o;
}

static void check_way(const char *model, const char *way, nib_model *m, const nib_zero_shot_options *o, size_t n_labels,
                      yyjson_val *golden) {
    const char *texts[MOST_TEXTS], *labels[MOST_LABELS];
    nib_ranked got[MOST_TEXTS * MOST_LABELS];
    nib_error e;
    const size_t n = golden_texts(yyjson_obj_get(golden, "texts"), texts);
    const size_t all = golden_texts(yyjson_obj_get(golden, "labels"), labels), L = n_labels ? n_labels : all;
    if (nib_zero_shot(m, texts, n, labels, L, o, got, &e) != NIB_OK) fail_msg("%s", e.message);
    for (size_t i = 0; i < n; i++) {
        yyjson_val *want = yyjson_arr_get(yyjson_obj_get(golden, way), i);
        for (size_t k = 0; k < L; k++) {
            const nib_ranked *g = &got[i * L + k];
            const char *label = yyjson_get_str(yyjson_arr_get(yyjson_obj_get(want, "labels"), k));
            const double score = yyjson_get_num(yyjson_arr_get(yyjson_obj_get(want, "scores"), k));
            if (strcmp(labels[g->index], label) != 0 || !(fabs((double)g->score - score) <= 1e-5))
                fail_msg("%s, %s, text %zu, place %zu: %s %g, want %s %g", model, way, i, k, labels[g->index], (double)g->score,
                         label, score);
        }
    }
}

static void labels_are_the_pipelines(void **state) {
    for (size_t k = 0; k < MODELS; k++) {
        yyjson_doc *doc = golden_open(models[k]);
        yyjson_val *golden = yyjson_doc_get_root(doc);
        nib_model *m = golden_model(models[k], NIB_PRECISION_FILE, 2);
        nib_zero_shot_options o = options_of();
        check_way(models[k], "plain", m, NULL, 0, golden);
        check_way(models[k], "alone", m, &o, 1, golden);
        o.multi_label = 1;
        check_way(models[k], "multi", m, &o, 0, golden);
        o = options_of();
        o.hypothesis = "{} is what it says";
        check_way(models[k], "template", m, &o, 0, golden);
        nib_model_free(m);
        yyjson_doc_free(doc);
    }
}

/* Labels by themselves do not see each other: ten thousand give one what it has alone. */
static void many_labels(void **state) {
    enum { MANY = 10000 };
    nib_error e;
    const char *texts[2] = {"A nib writes.", ""}, **labels = malloc(MANY * sizeof *labels);
    nib_ranked *got = malloc(2 * MANY * sizeof *got), alone;
    nib_model *m = golden_model("zero-bert", NIB_PRECISION_FILE, 2);
    nib_zero_shot_options o = options_of();
    for (size_t i = 0; i < MANY; i++) labels[i] = i == 77 ? "ink" : "a pen";
    o.multi_label = 1;
    assert_int_equal(nib_zero_shot(m, texts, 2, labels, MANY, &o, got, &e), NIB_OK);
    for (size_t i = 0; i < 2; i++) {
        size_t at = 0;
        assert_int_equal(nib_zero_shot(m, texts + i, 1, labels + 77, 1, &o, &alone, &e), NIB_OK);
        while (got[i * MANY + at].index != 77) at++;
        assert_memory_equal(&got[i * MANY + at].score, &alone.score, sizeof alone.score);
    }
    nib_model_free(m);
    free(labels);
    free(got);
}

static void refused(nib_model *m, const nib_zero_shot_options *o, const char *label, size_t n, nib_status want, const char *why) {
    nib_error e;
    nib_ranked got;
    const char *text = "A nib writes.";
    assert_int_equal(nib_zero_shot(m, &text, 1, &label, n, o, &got, &e), want);
    if (!strstr(e.message, why)) fail_msg("%s, want '%s'", e.message, why);
}

static void what_is_refused(void **state) {
    char long_label[600] = "", long_text[3000] = "";
    const char *text = long_text, *label = "ink";
    nib_ranked got;
    nib_error e;
    nib_model *m = golden_model("zero-bert", NIB_PRECISION_FILE, 1), *one = golden_model("rank-bert", NIB_PRECISION_FILE, 1),
              *other = golden_model("ner-bert", NIB_PRECISION_FILE, 1);
    nib_zero_shot_options o = options_of();
    refused(m, NULL, "ink", 0, NIB_INVALID_ARGUMENT, "there are no labels");
    o.hypothesis = "no place";
    refused(m, &o, "ink", 1, NIB_INVALID_ARGUMENT, "{} once");
    o.hypothesis = "{} and {}";
    refused(m, &o, "ink", 1, NIB_INVALID_ARGUMENT, "{} once");
    for (int i = 0; i < 60; i++) strcat(long_label, "a nib ");
    refused(m, NULL, long_label, 1, NIB_INVALID_ARGUMENT, "too short");
    refused(one, NULL, "ink", 1, NIB_UNSUPPORTED, "one label");
    refused(other, NULL, "ink", 1, NIB_UNSUPPORTED, "cannot classify texts");
    for (int i = 0; i < 300; i++) strcat(long_text, "the nib ");
    assert_int_equal(nib_zero_shot(m, &text, 1, &label, 1, NULL, &got, &e), NIB_OK); /* the text is cut, not the label */
    assert_int_equal(nib_zero_shot(m, NULL, 0, &label, 1, NULL, NULL, &e), NIB_OK);
    nib_model_free(m);
    nib_model_free(one);
    nib_model_free(other);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(labels_are_the_pipelines),
        cmocka_unit_test(many_labels),
        cmocka_unit_test(what_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
