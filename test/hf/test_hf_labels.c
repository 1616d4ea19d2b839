/* SPDX-License-Identifier: Apache-2.0
 *
 * What a folder says of a classifier. In: config.json in many forms, hostile ones too. Out: names, what scores become,
 * what is refused.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "hf/hf_labels.h"

static char folder[] = "/tmp/nib-labels-XXXXXX";
static nib_runtime *rt;

static int begin(void **state) { return mkdtemp(folder) && base_runtime_create(NULL, &rt, NULL) == NIB_OK ? 0 : -1; }

static int end(void **state) {
    char command[100];
    base_runtime_release(rt);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

static void put(const char *name, const char *text) {
    char path[100];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (!text) {
        remove(path);
        return;
    }
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

#define IDENTITY "\"torch.nn.modules.linear.Identity\""

static void scores_are_what_the_folder_says(void **state) {
    static const struct {
        const char *config, *sentence;
        int64_t count;
        nib_scores scores;
    } rows[] = {
        /* as transformers' pipeline: problem_type, else how many labels there are */
        {NULL, NULL, 2, NIB_SCORES_SOFTMAX},
        {"{}", NULL, 2, NIB_SCORES_SOFTMAX},
        {"{}", NULL, 1, NIB_SCORES_SIGMOID},
        {"{\"problem_type\": null}", NULL, 3, NIB_SCORES_SOFTMAX},
        {"{\"problem_type\": \"regression\"}", NULL, 1, NIB_SCORES_RAW},
        {"{\"problem_type\": \"regression\"}", NULL, 4, NIB_SCORES_RAW},
        {"{\"problem_type\": \"multi_label_classification\"}", NULL, 4, NIB_SCORES_SIGMOID},
        {"{\"problem_type\": \"single_label_classification\"}", NULL, 4, NIB_SCORES_SOFTMAX},
        {"{\"problem_type\": \"single_label_classification\"}", NULL, 1, NIB_SCORES_SIGMOID},
        {"{\"function_to_apply\": \"none\"}", NULL, 4, NIB_SCORES_SOFTMAX},
        /* a cross encoder's activation, in all three places, over everything else */
        {"{\"sentence_transformers\": {\"activation_fn\": " IDENTITY "}}", NULL, 1, NIB_SCORES_RAW},
        {"{\"sbert_ce_default_activation_function\": " IDENTITY "}", NULL, 1, NIB_SCORES_RAW},
        {"{\"sbert_ce_default_activation_function\": \"torch.nn.modules.activation.Sigmoid\", "
         "\"problem_type\": \"single_label_classification\"}",
         NULL, 3, NIB_SCORES_SIGMOID},
        {"{}", "{\"activation_fn\": " IDENTITY "}", 1, NIB_SCORES_RAW},
        {"{\"sentence_transformers\": {\"activation_fn\": " IDENTITY "}}", "{\"activation_fn\": \"torch.nn.Softmax\"}",
         1, NIB_SCORES_SOFTMAX},
    };
    for (size_t i = 0; i < BASE_COUNT(rows); i++) {
        hf_labels l;
        nib_error e;
        put("config.json", rows[i].config);
        put("config_sentence_transformers.json", rows[i].sentence);
        if (hf_labels_load(rt, folder, &l, &e) != NIB_OK) fail_msg("row %zu: %s", i, e.message);
        if (hf_scores_of(&l, rows[i].count) != rows[i].scores || l.unknown[0])
            fail_msg("row %zu: %s%s", i, nib_scores_name(hf_scores_of(&l, rows[i].count)), l.unknown);
        hf_labels_free(&rt->heap, &l);
    }
    put("config_sentence_transformers.json", NULL);
}

static void an_activation_that_is_not_there_is_named(void **state) {
    hf_labels l;
    nib_error e;
    put("config.json", "{\"sentence_transformers\": {\"activation_fn\": \"torch.nn.modules.activation.Tanh\"}}");
    assert_int_equal(hf_labels_load(rt, folder, &l, &e), NIB_OK);
    assert_string_equal(l.unknown, "torch.nn.modules.activation.Tanh");
    hf_labels_free(&rt->heap, &l);
}

static void names_are_read_or_refused(void **state) {
    static const struct {
        const char *names, *first, *wrong; /* of label 1; or why there are none */
    } rows[] = {
        {"{\"0\": \"a\", \"1\": \"b\"}", "b", NULL},
        {"{\"1\": \"b\", \"0\": \"a\"}", "b", NULL},
        {"{\"999999999\": \"far\", \"1\": \"b\"}", "b", NULL},
        {"null", NULL, NULL},
        {"{}", NULL, NULL},
        {"[\"a\", \"b\"]", NULL, "no object"},
        {"\"a\"", NULL, "no object"},
        {"{\"0\": \"a\", \"1\": 7}", NULL, "the name of label 1 is no text"},
        {"{\"0\": \"a\", \"1\": \"b\\u0000c\"}", NULL, "the name of label 1 is no text"},
        {"{\"0\": \"a\", \"-1\": \"b\"}", NULL, "'-1' is no number"},
        {"{\"0\": \"a\", \"\": \"b\"}", NULL, "'' is no number"},
        {"{\"0\": \"a\", \"9999999999999999999999\": \"b\"}", NULL, "is no number"},
    };
    for (size_t i = 0; i < BASE_COUNT(rows); i++) {
        char config[200];
        hf_labels l;
        nib_error e;
        const char *first = NULL;
        snprintf(config, sizeof config, "{\"id2label\": %s}", rows[i].names);
        put("config.json", config);
        if (hf_labels_load(rt, folder, &l, &e) != NIB_OK) fail_msg("row %zu: %s", i, e.message);
        for (size_t k = 0; k < l.count; k++)
            if (l.list[k].number == 1) first = l.list[k].name;
        if (rows[i].wrong ? !strstr(l.wrong, rows[i].wrong) || l.count : l.wrong[0] != 0)
            fail_msg("row %zu: '%s'", i, l.wrong);
        if (rows[i].first ? !first || strcmp(first, rows[i].first) != 0 : first != NULL)
            fail_msg("row %zu: %s", i, first ? first : "none");
        hf_labels_free(&rt->heap, &l);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scores_are_what_the_folder_says),
        cmocka_unit_test(an_activation_that_is_not_there_is_named),
        cmocka_unit_test(names_are_read_or_refused),
    };
    return cmocka_run_group_tests_name("labels", tests, begin, end);
}
