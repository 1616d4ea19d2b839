/* SPDX-License-Identifier: Apache-2.0
 *
 * Every code point through the normalizer and the splitter, against sums over what the tokenizers library makes of them
 * (tools/make_text_goldens.py, unicode.json); and broken UTF-8, part by part.
 */
#include "text_test.h"
#include "text/text_internal.h"

static base_heap heap;

static uint32_t crc32_more(uint32_t crc, const uint8_t *bytes, size_t n) {
    crc = ~crc;
    for (size_t i = 0; i < n; i++) {
        crc ^= bytes[i];
        for (int k = 0; k < 8; k++) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    return ~crc;
}

static void put32(uint8_t *to, uint32_t v) {
    for (int k = 0; k < 4; k++) to[k] = (uint8_t)(v >> (8 * k));
}

/* The sum over the words of "a?b " for 64 code points. */
static uint32_t sum_words(const text_tokenizer *t, text_work *w, uint32_t first, uint32_t crc) {
    uint8_t text[64 * 7], row[8];
    size_t length = 0, from, to;
    for (uint32_t cp = first; cp < first + 64; cp++) {
        if (cp >= 0xd800 && cp < 0xe000) continue;
        text[length++] = 'a';
        length += (size_t)base_utf8_encode(cp, (char *)text + length);
        text[length++] = 'b';
        text[length++] = ' ';
    }
    w->text = text;
    w->length = length;
    assert_true(text_work_reserve(w, length));
    size_t n = t->normalizer.run(&t->normalizer, text, 0, length, w->norm, w->from);
    assert_true(n <= 3 * length);
    for (size_t at = 0; t->splitter.next(&t->splitter, w->norm, n, at, &from, &to); at = to) {
        put32(row, w->from[from]);
        put32(row + 4, text_work_end(w, w->from[to - 1]));
        crc = crc32_more(crc32_more(crc, row, 8), w->norm + from, to - from);
    }
    return crc;
}

static void test_every_code_point(void **state) {
    size_t length, i, n, k, count;
    char *text = read_file(DATA "unicode.json", &length);
    yyjson_doc *doc = yyjson_read(text, length, 0);
    yyjson_val *setting, *want;
    int wrong = 0;
    text_settings none;
    text_settings_init(&none);
    free(text);
    assert_non_null(doc);
    yyjson_arr_foreach(yyjson_doc_get_root(doc), i, n, setting) {
        text_tokenizer t = {.heap = &heap};
        text_work w = {.heap = &heap};
        yyjson_doc *splitter = yyjson_read("{\"type\":\"BertPreTokenizer\"}", 27, 0);
        assert_int_equal(text_normalizer_load(&t, yyjson_obj_get(setting, "normalizer"), &none, NULL), NIB_OK);
        assert_int_equal(text_splitter_load(&t, yyjson_doc_get_root(splitter), NULL), NIB_OK);
        yyjson_arr_foreach(yyjson_obj_get(setting, "crc"), k, count, want) {
            uint32_t crc = 0;
            for (uint32_t part = 0; part < 64; part++) crc = sum_words(&t, &w, (uint32_t)k * 4096 + part * 64, crc);
            if (crc == yyjson_get_uint(want)) continue;
            print_error("setting %zu: U+%04X..U+%04X differ\n", i, (unsigned)k * 4096, (unsigned)k * 4096 + 4095);
            wrong++;
        }
        assert_int_equal(count, 0x110000 / 4096);
        text_normalizer_free(&t.normalizer);
        text_splitter_free(&t.splitter);
        base_free(&heap, w.norm);
        base_free(&heap, w.from);
        yyjson_doc_free(splitter);
    }
    yyjson_doc_free(doc);
    assert_int_equal(wrong, 0);
    assert_int_equal(heap.current, 0);
}

static void test_broken_parts(void **state) {
    static const struct {
        const char *bytes;
        size_t part;
    } cases[] = {{"\xff", 1},         {"\xc3", 1},         {"\xc3(", 1},        {"\xc0\x80", 1},     {"\xe2\x82", 2},
                 {"\xe2\x82x", 2},    {"\xe0\x9f\xbf", 1}, {"\xed\xa0\x80", 1}, {"\xf0\x9f\x98", 3}, {"\xf0\x8f\x98", 1},
                 {"\xf4\x90\x80", 1}, {"\xf5\x80", 1},     {"\x80\x80", 1},     {"\xf1\x80\xf1", 2}};
    for (size_t i = 0; i < BASE_COUNT(cases); i++) {
        uint32_t cp = 0;
        assert_int_equal(text_utf8((const uint8_t *)cases[i].bytes, strlen(cases[i].bytes), &cp), cases[i].part);
        assert_int_equal(cp, 0xfffd);
    }
}

int main(void) {
    base_heap_init(&heap, NULL);
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_code_point), cmocka_unit_test(test_broken_parts)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
