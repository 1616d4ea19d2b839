/* SPDX-License-Identifier: Apache-2.0
 *
 * A host program whose locale writes "0,19": every number that the library writes or reads has a point all the same. In: the locale,
 * whose file this test makes; models and graphs. Out: the same bytes as in the "C" locale.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <nib/nib.h>
#include <locale.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/base_number.h"
#include "base/base_runtime.h"
#include "base/base_str.h"
#include "graph/graph_text.h"
#include "onnx/onnx.h"

#define ROOM (1 << 18)

static char folder[] = "/tmp/nib-locale-XXXXXX";

/* LC_NUMERIC of glibc's compiled locales, as localedef writes it: offsets of its fields, then "," and "." and groups of three. */
static const uint32_t head[] = {0x20031114, 6, 0x20, 0x22, 0x24, 0x28, 0x2c, 0x30};
static const char fields[] = ",\0.\0\3\3\0\0,\0\0\0.\0\0\0ANSI_X3.4-1968";

static int make_locale(void **state) {
    char path[100];
    if (!mkdtemp(folder)) return 1;
    snprintf(path, sizeof path, "%s/comma", folder);
    if (mkdir(path, 0777)) return 1;
    strcat(path, "/LC_NUMERIC");
    FILE *f = fopen(path, "wb");
    if (!f) return 1;
    bool ok = fwrite(head, sizeof head, 1, f) == 1 && fwrite(fields, sizeof fields, 1, f) == 1;
    return fclose(f) == 0 && ok ? setenv("LOCPATH", folder, 1) : 1;
}

static int drop_locale(void **state) {
    char command[100];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

/* The locale for all threads; what printf says of it is the proof that it is there. */
static int use_comma(void **state) {
    char text[16];
    if (!setlocale(LC_NUMERIC, "comma")) return -1;
    snprintf(text, sizeof text, "%.2f", 0.19);
    return strcmp(text, "0,19") == 0 ? 0 : -1;
}

static int use_point(void **state) { return setlocale(LC_NUMERIC, "C") ? 0 : -1; }

static void numbers_have_points(void **state) {
    char text[32], *end;
    base_heap heap;
    base_str s;
    nib_error e;
    base_heap_init(&heap, NULL);
    base_snprintf(text, sizeof text, "%.2f %g", 0.19, 1e-7);
    assert_string_equal(text, "0.19 1e-07");
    base_str_init(&s, &heap);
    base_str_printf(&s, "%.3g", 0.5);
    assert_string_equal(s.data, "0.5");
    base_str_free(&s);
    base_error_set(&e, NIB_IO, "%g", 2.5);
    assert_string_equal(e.message, "2.5");
    assert_true(base_strtod("0.75,", &end) == 0.75);
    assert_int_equal(*end, ',');
    assert_true(base_strtof("0.75", NULL) == 0.75f);
    assert_true(strtod("0,75", NULL) == 0.75); /* the caller's own is as it was */
}

static char *graph_of(const char *path, int level) {
    nib_optimize_options o;
    nib_report *r;
    nib_error e;
    nib_optimize_defaults(&o, sizeof o);
    o.level = level;
    if (nib_graph_of_file(path, &o, NIB_GRAPH_TEXT, &r, &e) != NIB_OK) fail_msg("%s: %s", path, e.message);
    char *text = strdup(nib_report_text(r));
    nib_report_free(r);
    return text;
}

/* Patterns hold numbers (GELU's 0.044715, 1.41421): in every locale the same nodes are fused, and the same graph is written. */
static void graphs_are_the_same(void **state) {
    static const char *const paths[] = {NIB_TEST_DATA "/onnx/bert-tiny.ts.eager.onnx", NIB_TEST_DATA "/hf/bert-tiny",
                                        NIB_TEST_DATA "/onnx/qwen3-tiny.ts.onnx"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        for (int level = 0; level < 3; level += 2) {
            assert_int_equal(use_point(NULL), 0);
            char *want = graph_of(paths[i], level);
            assert_int_equal(use_comma(NULL), 0);
            char *got = graph_of(paths[i], level);
            assert_string_equal(got, want);
            free(want);
            free(got);
        }
}

/* The numbers of a graph in text, and those that a Cast makes and reads. */
static void values_have_points(void **state) {
    static const char text[] = "<ir_version: 10, opset_import: [\"\" : 21]> g () => (string[2] s, float[2] r) "
                               "<float[2] x = {0.1875, -2.5e-7}, string[2] w = {\"0.25\", \"1e3\"}> "
                               "{ s = Cast <to = 8> (x) r = Cast <to = 1> (w) }";
    nib_session *s;
    nib_model *m;
    nib_tensor t;
    nib_error e;
    graph *g;
    char path[100];
    snprintf(path, sizeof path, "%s/cast.onnx", folder);
    nib_runtime *rt;
    assert_int_equal(nib_runtime_create(NULL, &rt, NULL), NIB_OK);
    if (graph_parse(&rt->heap, text, strlen(text), &g, &e) != NIB_OK) fail_msg("%s", e.message);
    if (onnx_save(rt, g, path, NULL, &e) != NIB_OK) fail_msg("%s", e.message);
    graph_free(g);
    if (nib_model_open(path, NULL, &m, &e) != NIB_OK) fail_msg("%s", e.message);
    assert_int_equal(nib_session_create(m, &s, &e), NIB_OK);
    assert_int_equal(nib_session_run(s, &e), NIB_OK);
    assert_int_equal(nib_session_get_output(s, "s", &t, &e), NIB_OK);
    const nib_string *words = t.data;
    assert_int_equal(words[0].length, 6);
    assert_memory_equal(words[0].data, "0.1875", 6);
    assert_memory_equal(words[1].data, "-2.5e-07", 8);
    assert_int_equal(nib_session_get_output(s, "r", &t, &e), NIB_OK);
    assert_true(((const float *)t.data)[0] == 0.25f && ((const float *)t.data)[1] == 1000);
    nib_session_free(s);
    nib_model_free(m);
    nib_runtime_free(rt);
}

static void reports_are_json(void **state) {
    nib_report *r;
    nib_error e;
    const char *path = NIB_TEST_DATA "/onnx/linear.onnx";
    if (nib_diff_files(path, path, NULL, &r, &e) != NIB_OK) fail_msg("%s", e.message);
    const char *at = strstr(nib_report_json(r), "\"tolerance\": ");
    assert_non_null(at);
    assert_int_equal(strncmp(at, "\"tolerance\": 0.00001,", 21), 0);
    for (at = nib_report_text(r); (at = strpbrk(at, ",")) != NULL; at++) /* "a, b" is no number */
        assert_false(at[1] >= '0' && at[1] <= '9');
    nib_report_free(r);
}

static void descriptions_have_points(void **state) {
    static char text[ROOM];
    nib_model *m;
    nib_error e;
    size_t n;
    if (nib_model_open(NIB_TEST_DATA "/nib/tiny", NULL, &m, &e) != NIB_OK) fail_msg("%s", e.message);
    assert_int_equal(nib_model_describe(m, text, sizeof text, &n), NIB_OK);
    assert_non_null(strstr(text, "0.0 million numbers"));
    assert_int_equal(nib_model_explain(m, text, sizeof text, &n, &e), NIB_OK);
    for (const char *at = text; (at = strchr(at, ',')) != NULL; at++) /* "[4,8]" has no digit before; 12,5 would have both */
        if (at > text && at[-1] >= '0' && at[-1] <= '9' && at[1] >= '0' && at[1] <= '9') fail_msg("...%.20s", at - 3);
    nib_model_free(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(numbers_have_points, use_comma, use_point),
        cmocka_unit_test_setup_teardown(graphs_are_the_same, use_comma, use_point),
        cmocka_unit_test_setup_teardown(values_have_points, use_comma, use_point),
        cmocka_unit_test_setup_teardown(reports_are_json, use_comma, use_point),
        cmocka_unit_test_setup_teardown(descriptions_have_points, use_comma, use_point),
    };
    return cmocka_run_group_tests_name("locale", tests, make_locale, drop_locale);
}
