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

static uint32_t add_word(const text_work *w, size_t from, size_t to, uint32_t crc) {
    uint8_t row[8];
    put32(row, text_part_place(w, from));
    put32(row + 4, text_work_end(w, w->buf.from[to - 1]));
    return crc32_more(crc32_more(crc, row, 8), w->buf.bytes + from, to - from);
}

/* The sum over the words of "a?b " for 64 code points, the fused way or stage by stage. */
static uint32_t sum_words(const text_tokenizer *t, text_work *w, uint32_t first, uint32_t crc, bool staged) {
    uint8_t text[64 * 7];
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
    if (staged) {
        text_prepare(t, w, 0, length);
        assert_int_equal(w->status, NIB_OK);
        for (size_t i = 0; i < w->parts.count; i++) crc = add_word(w, w->parts.items[i].begin, w->parts.items[i].end, crc);
        return crc;
    }
    assert_true(text_buffer_reserve(w, &w->buf, length * TEXT_GROWTH));
    size_t n = t->fused.norm->run(t->fused.norm, text, 0, length, w->buf.bytes, w->buf.from);
    assert_true(n <= 3 * length);
    for (size_t at = 0; t->fused.split->next(t->fused.split, w->buf.bytes, n, at, &from, &to); at = to) crc = add_word(w, from, to, crc);
    return crc;
}

static void test_every_code_point(void **state) {
    size_t length, i, n, k, count;
    char *text = read_file(DATA "unicode.json", &length);
    yyjson_doc *doc = yyjson_read(text, length, 0);
    yyjson_val *setting, *want;
    int wrong = 0;
    free(text);
    assert_non_null(doc);
    yyjson_arr_foreach(yyjson_doc_get_root(doc), i, n, setting) {
        text_tokenizer *t;
        text_work w = {.heap = &heap};
        char *normalizer = yyjson_val_write(yyjson_obj_get(setting, "normalizer"), 0, NULL), json[1000];
        snprintf(json, sizeof json, "{\"normalizer\":%s,\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"},\"model\":{\"type\":\"WordPiece\","
                 "\"unk_token\":\"u\",\"continuing_subword_prefix\":\"##\",\"vocab\":{\"u\":0}}}", normalizer);
        free(normalizer);
        assert_int_equal(text_tokenizer_load(&heap, json, strlen(json), &t, NULL), NIB_OK);
        assert_non_null(t->fused.norm);
        yyjson_arr_foreach(yyjson_obj_get(setting, "crc"), k, count, want) {
            uint32_t crc = 0;
            uint32_t staged = 0;
            for (uint32_t part = 0; part < 64; part++) {
                crc = sum_words(t, &w, (uint32_t)k * 4096 + part * 64, crc, false);
                staged = sum_words(t, &w, (uint32_t)k * 4096 + part * 64, staged, true);
            }
            if (crc == yyjson_get_uint(want) && staged == crc) continue;
            print_error("setting %zu: U+%04X..U+%04X differ\n", i, (unsigned)k * 4096, (unsigned)k * 4096 + 4095);
            wrong++;
        }
        assert_int_equal(count, 0x110000 / 4096);
        text_tokenizer_free(t);
        text_work_free(&w);
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
