/* SPDX-License-Identifier: Apache-2.0
 *
 * Chat templates against what transformers' Jinja environment makes of them (tools/make_chat_goldens.py), and templates
 * that are refused, each by its reason.
 */
#include "hf_test.h"
#include "hf/hf_jinja.h"

static hf_jinja_value members[3][2], messages[3];

static hf_jinja_value message_list(bool instructed) {
    static const char *const keys[] = {"role", "content"}, *const roles[] = {"system", "query", "document"},
                      *const marks[] = {"\1", "\2", "\3"};
    for (int i = 0; i < 3; i++) {
        members[i][0] = hf_jinja_text(roles[i]);
        members[i][1] = hf_jinja_text(marks[i]);
        messages[i] = (hf_jinja_value){.kind = HF_JINJA_MAP, .items = members[i], .keys = keys, .count = 2};
    }
    const int first = instructed ? 0 : 1;
    return (hf_jinja_value){.kind = HF_JINJA_LIST, .items = messages + first, .count = 3 - first};
}

static nib_status render(base_heap *heap, const char *text, bool prompt, bool instructed, base_str *out, nib_error *e) {
    const hf_jinja_variable variables[] = {{"messages", message_list(instructed)},
                                           {"add_generation_prompt", {.kind = HF_JINJA_BOOL, .number = prompt}},
                                           {"bos_token", hf_jinja_text("<s>")},
                                           {"eos_token", hf_jinja_text("</s>")},
                                           {"tools", {.kind = HF_JINJA_NONE}}};
    base_str_init(out, heap);
    return hf_jinja_render(heap, text, strlen(text), variables, BASE_COUNT(variables), out, e);
}

static yyjson_doc *golden(void) {
    yyjson_doc *doc = yyjson_read_file(NIB_TEST_DATA "/chat/golden.json", 0, NULL, NULL);
    assert_non_null(doc);
    return doc;
}

static void as_jinja_renders(void **state) {
    yyjson_doc *doc = golden();
    size_t i, n;
    yyjson_val *row;
    base_heap heap;
    base_heap_init(&heap, NULL);
    yyjson_arr_foreach(yyjson_obj_get(yyjson_doc_get_root(doc), "rows"), i, n, row) {
        for (int instructed = 0; instructed < 2; instructed++) {
            base_str out;
            nib_error e = {.message = ""};
            const char *want = yyjson_get_str(yyjson_obj_get(row, instructed ? "instructed" : "plain"));
            const nib_status status = render(&heap, yyjson_get_str(yyjson_obj_get(row, "template")),
                                             yyjson_get_bool(yyjson_obj_get(row, "prompt")), instructed, &out, &e);
            if (status != NIB_OK || strcmp(out.data ? out.data : "", want) != 0)
                fail_msg("row %zu, %d: %s\n%s\nwant\n%s", i, instructed, e.message, out.data, want);
            base_str_free(&out);
        }
    }
    assert_true(n >= 20);
    yyjson_doc_free(doc);
}

static void what_is_refused(void **state) {
    yyjson_doc *doc = golden();
    size_t i, n;
    yyjson_val *row;
    base_heap heap;
    base_heap_init(&heap, NULL);
    yyjson_arr_foreach(yyjson_obj_get(yyjson_doc_get_root(doc), "refused"), i, n, row) {
        base_str out;
        nib_error e = {.message = ""};
        const char *why = yyjson_get_str(yyjson_arr_get(row, 1));
        const nib_status status = render(&heap, yyjson_get_str(yyjson_arr_get(row, 0)), true, true, &out, &e);
        if ((status != NIB_UNSUPPORTED && status != NIB_LIMIT) || !strstr(e.message, why))
            fail_msg("row %zu: %s, '%s', want '%s'", i, nib_status_text(status), e.message, why);
        base_str_free(&out);
    }
    assert_true(n >= 20);
    yyjson_doc_free(doc);
}

/* Every template, cut anywhere, has an answer. */
static void cut_anywhere(void **state) {
    yyjson_doc *doc = golden();
    size_t i, n;
    yyjson_val *row;
    base_heap heap;
    base_heap_init(&heap, NULL);
    yyjson_arr_foreach(yyjson_obj_get(yyjson_doc_get_root(doc), "rows"), i, n, row) {
        char *text = strdup(yyjson_get_str(yyjson_obj_get(row, "template")));
        for (size_t k = strlen(text); k-- > 0;) {
            base_str out;
            nib_error e;
            text[k] = 0;
            render(&heap, text, true, true, &out, &e);
            base_str_free(&out);
        }
        free(text);
    }
    yyjson_doc_free(doc);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_jinja_renders),
        cmocka_unit_test(what_is_refused),
        cmocka_unit_test(cut_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
