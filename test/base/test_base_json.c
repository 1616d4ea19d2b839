/* SPDX-License-Identifier: Apache-2.0
 *
 * JSON that is written: what comes out is JSON for any text and number, whole or an error.
 */
#include "base_test.h"
#include "base/base_json.h"
#include <math.h>

static int until_refused = -1; /* so many requests are granted, the next is not, and all after it are; -1: all are */

static void *grant(void *user, size_t bytes) {
    void *p = NULL;
    if (until_refused >= 0 && until_refused-- == 0) return NULL;
    return posix_memalign(&p, 64, bytes) ? NULL : p;
}
static void release(void *user, void *p, size_t bytes) { free(p); }

static base_heap heap;

static int heap_make(void **state) {
    base_heap_init(&heap, &(nib_runtime_options){.size = sizeof(nib_runtime_options), .allocate = grant, .release = release});
    return 0;
}

/* Everything that the writer has, in one document. */
static nib_status write_all(base_str *out, nib_error *err) {
    base_json_draft d;
    base_json_draft_init(&d, &heap);
    base_json_put_text(&d, d.root, "text", "a \"quoted\" \\ back\tslash \xff\xc3 \xe2\x80\xa8 \x01");
    base_json_put_text(&d, d.root, "none", NULL);
    yyjson_mut_val *list = base_json_put_array(&d, d.root, "numbers");
    const double numbers[] = {0.1, 1e-300, NAN, INFINITY, -INFINITY};
    for (size_t i = 0; i < BASE_COUNT(numbers); i++) yyjson_mut_arr_add_real(d.doc, list, numbers[i]);
    yyjson_mut_val *many = base_json_put_object(&d, d.root, "many");
    for (int i = 0; i < 500; i++) { /* beyond yyjson's first pool of values */
        char name[20];
        snprintf(name, sizeof name, "key %d", i);
        yyjson_mut_obj_add(many, base_json_text(&d, name), yyjson_mut_sint(d.doc, -i));
    }
    nib_status status = base_json_write(&d, out, err);
    base_json_drop(&d);
    return status;
}

static void what_is_written_reads_back(void **state) {
    base_str out;
    nib_error err;
    yyjson_doc *doc;
    base_str_init(&out, &heap);
    if (write_all(&out, &err) != NIB_OK) fail_msg("%s", err.message);
    assert_int_equal(base_json_parse(&heap, out.data, out.length, "written", NIB_BAD_MODEL, &doc, &err), NIB_OK);
    yyjson_val *root = yyjson_doc_get_root(doc), *numbers = yyjson_obj_get(root, "numbers");
    assert_string_equal(yyjson_get_str(yyjson_obj_get(root, "text")),
                        "a \"quoted\" \\ back\tslash \xef\xbf\xbd\xef\xbf\xbd \xe2\x80\xa8 \x01");
    assert_string_equal(yyjson_get_str(yyjson_obj_get(root, "none")), "");
    assert_true(yyjson_get_real(yyjson_arr_get(numbers, 0)) == 0.1);
    assert_true(yyjson_get_real(yyjson_arr_get(numbers, 1)) == 1e-300);
    for (size_t i = 2; i < 5; i++) assert_true(yyjson_is_null(yyjson_arr_get(numbers, i)));
    assert_int_equal(yyjson_get_sint(yyjson_obj_get(yyjson_obj_get(root, "many"), "key 499")), -499);
    assert_int_equal(out.data[out.length - 1], '\n');
    base_json_free(&heap, doc);
    base_str_free(&out);
}

/* Wherever memory ends, nothing is left out in silence. */
static void every_refusal_is_an_error(void **state) {
    bool whole = false;
    for (int n = 0; n < 5000 && !whole; n++) {
        base_str out;
        nib_error err = {0};
        base_str_init(&out, &heap);
        until_refused = n;
        nib_status status = write_all(&out, &err);
        whole = until_refused >= 0;
        until_refused = -1;
        if ((status == NIB_OK) != whole) fail_msg("request %d was refused, and the answer is %d", n, status);
        if (status != NIB_OK) assert_int_equal(status, NIB_OUT_OF_MEMORY);
        base_str_free(&out);
    }
    assert_true(whole);
    assert_int_equal(heap.current, 0);
}

static void a_quoted_text_is_json(void **state) {
    base_str out;
    base_str_init(&out, &heap);
    base_json_quote(&out, "query: \"\n");
    assert_string_equal(out.data, "\"query: \\\"\\n\"");
    base_str_free(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_reads_back),
        cmocka_unit_test(every_refusal_is_an_error),
        cmocka_unit_test(a_quoted_text_is_json),
    };
    return cmocka_run_group_tests_name("base_json", tests, heap_make, NULL);
}
