/* SPDX-License-Identifier: Apache-2.0
 *
 * Text buffers, strict UTF-8 against a table-free definition, error messages, JSON's depth limit.
 */
#include "base_test.h"
#include "base/base_json.h"
#include "base/base_str.h"

static base_heap heap;

/* The definition, said another way: a valid encoding is what base_utf8_encode-like arithmetic gives for a scalar value. */
static int encode_by_definition(uint32_t cp, unsigned char out[4]) {
    int n = cp < 0x80 ? 1 : cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
    static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (int i = n - 1; i > 0; i--, cp /= 64) out[i] = (unsigned char)(0x80 + cp % 64);
    out[0] = (unsigned char)(lead[n] + cp);
    return n;
}

static void every_scalar_value_round_trips(void **state) {
    for (uint32_t cp = 0; cp < 0x110000; cp++) {
        unsigned char want[4];
        char got[4];
        uint32_t back = 0xffffffff;
        int n = encode_by_definition(cp, want);
        bool surrogate = cp >= 0xd800 && cp < 0xe000;
        if (base_utf8_decode((char *)want, (size_t)n, &back) != (surrogate ? 0 : n))
            fail_msg("U+%04X is %s", cp, surrogate ? "taken" : "refused");
        if (surrogate) continue;
        assert_int_equal(back, cp);
        assert_int_equal(base_utf8_encode(cp, got), n);
        assert_memory_equal(got, want, (size_t)n);
        if (n > 1 && base_utf8_decode((char *)want, (size_t)n - 1, &back) != 0) fail_msg("U+%04X cut short is taken", cp);
    }
}

/* Every sequence of up to three bytes, and four-byte ones with chosen tails: valid exactly if some scalar value encodes to it. */
static void nothing_else_is_taken(void **state) {
    static const unsigned char tails[] = {0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xff};
    for (unsigned a = 0; a < 256; a++)
        for (unsigned b = 0; b < 256; b++)
            for (size_t k = 0; k < BASE_COUNT(tails) * BASE_COUNT(tails); k++) {
                unsigned char s[4] = {(unsigned char)a, (unsigned char)b, tails[k / BASE_COUNT(tails)], tails[k % BASE_COUNT(tails)]},
                              canonical[4];
                uint32_t cp = 0;
                int n = base_utf8_decode((char *)s, 4, &cp);
                if (n > 0) {
                    assert_int_equal(encode_by_definition(cp, canonical), n);
                    if (memcmp(canonical, s, (size_t)n) != 0 || cp > 0x10ffff || (cp >= 0xd800 && cp < 0xe000))
                        fail_msg("%02x %02x %02x %02x is taken", a, b, s[2], s[3]);
                } else if (a < 0x80) {
                    fail_msg("ASCII %02x is refused", a);
                }
            }
}

static void invalid_forms(void **state) {
    static const char *const bad[] = {
        "\x80",
        "\xbf",
        "\xc0\x80",
        "\xc1\xbf",
        "\xe0\x80\x80",
        "\xe0\x9f\xbf",
        "\xf0\x80\x80\x80",
        "\xf0\x8f\xbf\xbf",
        "\xed\xa0\x80",
        "\xed\xbf\xbf",
        "\xf4\x90\x80\x80",
        "\xf5\x80\x80\x80",
        "\xf8\x88\x80\x80\x80",
        "\xfe",
        "\xff",
        "\xc3",
        "\xc3(",
        "\xe2\x82",
        "\xe2(\xa1",
        "\xf0\x9f\x98",
        "\xf0\x9f(\x80",
    };
    uint32_t cp;
    for (size_t i = 0; i < BASE_COUNT(bad); i++)
        if (base_utf8_decode(bad[i], strlen(bad[i]), &cp) != 0) fail_msg("form %zu is taken", i);
    assert_int_equal(base_utf8_decode("", 0, &cp), 0);
}

static void buffers_grow(void **state) {
    base_str s;
    base_str_init(&s, &heap);
    for (int i = 0; i < 1000; i++) base_str_printf(&s, "%d,", i % 10);
    base_str_add(&s, "end");
    base_str_add_bytes(&s, "\0x", 2);
    assert_false(s.failed);
    assert_int_equal(s.length, 2005);
    assert_int_equal(s.data[2005], 0);
    assert_memory_equal(s.data + 1996, "8,9,end", 7);
    char small[5];
    size_t length = 0;
    assert_int_equal(base_str_export(&s, small, sizeof small, &length), NIB_OK);
    assert_int_equal(length, 2005);
    assert_string_equal(small, "0,1,");
    assert_int_equal(base_str_export(&s, NULL, 0, &length), NIB_OK);
    base_str_clear(&s);
    assert_int_equal(s.length, 0);
    assert_string_equal(s.data, "");
    base_str_free(&s);
    assert_int_equal(atomic_load(&heap.current), 0);
}

static void buffers_remember_failure(void **state) {
    nib_runtime_options options = {.size = sizeof options, .memory_limit = 256};
    base_heap tight;
    base_str s;
    base_heap_init(&tight, &options);
    base_str_init(&s, &tight);
    base_str_add(&s, "short");
    assert_false(s.failed);
    for (int i = 0; i < 100; i++) base_str_add(&s, "too much of it");
    assert_true(s.failed);
    size_t length = s.length;
    base_str_add(&s, "x");
    assert_int_equal(s.length, length); /* once failed, nothing more is added */
    assert_int_equal(base_str_export(&s, NULL, 0, NULL), NIB_OUT_OF_MEMORY);
    base_str_free(&s);
    assert_int_equal(atomic_load(&tight.current), 0);
}

static void assert_clean(const char *text, size_t capacity) {
    size_t n = strlen(text);
    assert_true(n < capacity);
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        int k = base_utf8_decode(text + i, n - i, &cp);
        if (k == 0) fail_msg("byte %zu is no UTF-8", i);
        if (cp < 0x20 || (cp >= 0x7f && cp < 0xa0)) fail_msg("control character U+%04X", cp);
        i += (size_t)k;
    }
}

static void messages_are_one_clean_line(void **state) {
    nib_error err;
    memset(&err, 0xff, sizeof err);
    assert_int_equal(base_error_set(&err, NIB_BAD_MODEL, "node %s", "a\nb\x1b[31m\x7f\xc2\x85\xe2\x80\xa8z"), NIB_BAD_MODEL);
    assert_int_equal(err.status, NIB_BAD_MODEL);
    assert_string_equal(err.message, "node a?b?[31m???z");
    assert_string_equal(err.node, "");
    assert_int_equal(err.offset, -1);
    base_error_set(&err, NIB_IO, "%s", "ok\xff\xc3(zw\xc3\xb6lf");
    assert_string_equal(err.message, "ok\xef\xbf\xbd\xef\xbf\xbd(zw\xc3\xb6lf");
    assert_int_equal(base_error_set(NULL, NIB_LIMIT, "%d", 1), NIB_LIMIT);
    base_error_at_node(NULL, "x");
    base_error_at_offset(NULL, 1);
}

static void long_messages_are_cut_between_characters(void **state) {
    char text[2001];
    for (size_t shift = 0; shift < 4; shift++) {
        memset(text, 'a', shift);
        for (size_t i = shift; i + 3 < sizeof text; i += 3) memcpy(text + i, "\xe2\x82\xac", 4);
        nib_error err;
        base_error_set(&err, NIB_BAD_MODEL, "%s", text);
        assert_clean(err.message, sizeof err.message);
        assert_true(strlen(err.message) > sizeof err.message - 8);
        base_error_at_node(&err, text);
        assert_clean(err.node, sizeof err.node);
        base_error_at_node(&err, "second"); /* the innermost node was first */
        assert_string_not_equal(err.node, "second");
        base_error_at_offset(&err, 12);
        base_error_at_offset(&err, 13);
        assert_int_equal(err.offset, 12);
    }
    memset(text, '\xff', sizeof text - 1); /* each byte becomes three */
    text[sizeof text - 1] = 0;
    nib_error err;
    base_error_set(&err, NIB_BAD_MODEL, "%s", text);
    assert_clean(err.message, sizeof err.message);
}

static nib_status parse_nested(const char *open, const char *close, int depth, nib_error *err) {
    char text[2000] = "";
    size_t n = 0;
    yyjson_doc *doc;
    for (int i = 0; i < depth; i++) n += (size_t)sprintf(text + n, "%s", open);
    n += (size_t)sprintf(text + n, "1");
    for (int i = 0; i < depth; i++) n += (size_t)sprintf(text + n, "%s", close);
    nib_status status = base_json_parse(&heap, text, n, "test.json", NIB_BAD_TOKENIZER, &doc, err);
    base_json_free(&heap, doc);
    return status;
}

static void json_depth_is_limited(void **state) {
    nib_error err = {0};
    assert_int_equal(parse_nested("[", "]", 64, &err), NIB_OK);
    assert_int_equal(parse_nested("{\"a\":", "}", 64, &err), NIB_OK);
    assert_int_equal(parse_nested("[", "]", 64 + 1, &err), NIB_LIMIT);
    assert_int_equal(err.offset, 64);
    assert_int_equal(parse_nested("{\"a\":", "}", 64 + 1, &err), NIB_LIMIT);
    assert_int_equal(parse_nested("[[{\"a\":[", "]}]]", 20, &err), NIB_LIMIT);
}

static void json_brackets_in_strings_do_not_count(void **state) {
    char text[400] = "[\"\\\\\\\"";
    yyjson_doc *doc;
    nib_error err = {0};
    for (int i = 0; i < 100; i++) strcat(text, "[");
    strcat(text, "\"]");
    assert_int_equal(base_json_parse(&heap, text, strlen(text), "t", NIB_BAD_MODEL, &doc, &err), NIB_OK);
    assert_int_equal(yyjson_get_len(yyjson_arr_get_first(yyjson_doc_get_root(doc))), 102);
    base_json_free(&heap, doc);
    assert_int_equal(atomic_load(&heap.current), 0);
}

static void bad_json_is_refused(void **state) {
    static const char *const bad[] = {"", "{", "[1,]", "{\"a\" 1}", "[1] 2", "nul", "\"\xff\"", "[\"\\ud800\"]", "{a:1}", "[1", "]"};
    for (size_t i = 0; i < BASE_COUNT(bad); i++) {
        yyjson_doc *doc = (yyjson_doc *)state;
        nib_error err = {0};
        if (base_json_parse(&heap, bad[i], strlen(bad[i]), "bad.json", NIB_BAD_TOKENIZER, &doc, &err) != NIB_BAD_TOKENIZER)
            fail_msg("text %zu is taken", i);
        assert_null(doc);
        assert_non_null(strstr(err.message, "bad.json"));
        assert_true(err.offset >= 0);
    }
    assert_int_equal(atomic_load(&heap.current), 0);
}

static void json_memory_is_limited(void **state) {
    nib_runtime_options options = {.size = sizeof options, .memory_limit = 200};
    base_heap tight;
    yyjson_doc *doc;
    nib_error err = {0};
    base_heap_init(&tight, &options);
    assert_int_equal(base_json_parse(&tight, "[1,2,3,4,5,6,7,8,9,10,11,12]", 28, "t", NIB_BAD_MODEL, &doc, &err), NIB_OUT_OF_MEMORY);
    assert_int_equal(atomic_load(&tight.current), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_scalar_value_round_trips),
        cmocka_unit_test(nothing_else_is_taken),
        cmocka_unit_test(invalid_forms),
        cmocka_unit_test(buffers_grow),
        cmocka_unit_test(buffers_remember_failure),
        cmocka_unit_test(messages_are_one_clean_line),
        cmocka_unit_test(long_messages_are_cut_between_characters),
        cmocka_unit_test(json_depth_is_limited),
        cmocka_unit_test(json_brackets_in_strings_do_not_count),
        cmocka_unit_test(bad_json_is_refused),
        cmocka_unit_test(json_memory_is_limited),
    };
    base_heap_init(&heap, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
