/* SPDX-License-Identifier: Apache-2.0
 *
 * Tokenizers of many kinds against what the tokenizers library made of the same texts (tools/make_text_goldens.py,
 * kinds.json): ids, types, spans, decoded text. And what holds for all of them: warm encoding allocates nothing, memory
 * may run out at any point, no text takes more than linear time.
 */
#include "text_test.h"
#include "text/text_internal.h"
#include <time.h>

static base_heap heap;
static yyjson_doc *doc;

static uint32_t crc32_more(uint32_t crc, const uint8_t *bytes, size_t n) {
    crc = ~crc;
    for (size_t i = 0; i < n; i++) {
        crc ^= bytes[i];
        for (int k = 0; k < 8; k++) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    return ~crc;
}

static uint32_t crc_number(uint32_t crc, size_t v) {
    const uint8_t bytes[4] = {(uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16), (uint8_t)(v >> 24)};
    return crc32_more(crc, bytes, 4);
}

static uint32_t crc_encoding(uint32_t crc, const text_encoding *e) {
    crc = crc_number(crc_number(crc, e->count), e->full_count);
    for (size_t i = 0; i < e->count; i++) {
        const size_t row[4] = {(size_t)e->ids[i], (size_t)e->type_ids[i], e->spans[i].begin, e->spans[i].end};
        for (int k = 0; k < 4; k++) crc = crc_number(crc, row[k]);
    }
    return crc;
}

/* The whole tokenizer.json: the rest with the words in its model. */
static char *whole_json(yyjson_val *tokenizer, size_t *length) {
    yyjson_val *words = yyjson_arr_get(yyjson_obj_get(yyjson_doc_get_root(doc), "words"),
                                       yyjson_get_uint(yyjson_obj_get(tokenizer, "words")));
    yyjson_mut_doc *d = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *root = yyjson_val_mut_copy(d, yyjson_obj_get(tokenizer, "rest"));
    size_t i, n;
    yyjson_val *key, *v;
    yyjson_mut_doc_set_root(d, root);
    yyjson_obj_foreach(words, i, n, key, v)
        yyjson_mut_obj_put(yyjson_mut_obj_get(root, "model"), yyjson_val_mut_copy(d, key), yyjson_val_mut_copy(d, v));
    char *text = yyjson_mut_write(d, 0, length);
    assert_non_null(text);
    yyjson_mut_doc_free(d);
    return text;
}

typedef struct line {
    char *bytes; /* of its exact size, so that a read past its end is seen */
    size_t length;
} line;

static line *lines;
static size_t line_count;

static void read_lines(void) {
    yyjson_val *list = yyjson_obj_get(yyjson_doc_get_root(doc), "lines"), *v;
    size_t i, n;
    line_count = yyjson_arr_size(list);
    lines = calloc(line_count, sizeof *lines);
    yyjson_arr_foreach(list, i, n, v) {
        const char *hex = yyjson_get_str(v);
        lines[i].length = strlen(hex) / 2;
        lines[i].bytes = malloc(lines[i].length + !lines[i].length);
        for (size_t k = 0; k < lines[i].length; k++) {
            unsigned byte;
            sscanf(hex + 2 * k, "%2x", &byte);
            lines[i].bytes[k] = (char)byte;
        }
    }
}

static int wrong;

static void check_line(const text_tokenizer *t, const char *name, size_t i, yyjson_val *want, text_encoding *e,
                       base_str *out) {
    nib_error err;
    const line *a = &lines[i], *b = &lines[i ? i - 1 : line_count - 1];
    uint32_t crc = 0, decoded = 0;
    if (text_encode(t, a->bytes, a->length, NULL, 0, 0, true, e, &err) != NIB_OK) fail_msg("%s: %s", name, err.message);
    crc = crc_encoding(crc, e);
    for (int skip = 0; skip < 2; skip++) {
        base_str_clear(out);
        if (e->count && text_decode(t, e->ids, e->count, skip, out, &err) != NIB_OK)
            fail_msg("%s: %s", name, err.message);
        decoded = crc32_more(decoded, (const uint8_t *)out->data, out->length);
        if (!skip) decoded = crc32_more(decoded, (const uint8_t *)"", 1);
    }
    if (text_encode(t, a->bytes, a->length, b->bytes, b->length, 0, true, e, &err) != NIB_OK)
        fail_msg("%s: %s", name, err.message);
    crc = crc_encoding(crc, e);
    if (crc == yyjson_get_uint(yyjson_arr_get(want, 0)) && decoded == yyjson_get_uint(yyjson_arr_get(want, 1))) return;
    print_error("%s, line %zu: %s\n", name, i,
                crc == yyjson_get_uint(yyjson_arr_get(want, 0)) ? "decoded otherwise" : "encoded otherwise");
    wrong++;
}

static text_tokenizer *load(yyjson_val *tokenizer) {
    size_t length;
    text_tokenizer *t;
    nib_error err;
    char *json = whole_json(tokenizer, &length);
    if (text_tokenizer_load(&heap, json, length, &t, &err) != NIB_OK)
        fail_msg("%s: %s", yyjson_get_str(yyjson_obj_get(tokenizer, "name")), err.message);
    free(json);
    return t;
}

static yyjson_val *all(void) { return yyjson_obj_get(yyjson_doc_get_root(doc), "tokenizers"); }

static void test_goldens(void **state) {
    size_t i, n, k, count;
    yyjson_val *tokenizer, *row;
    text_encoding e; /* one for all: what one tokenizer leaves there means nothing to the next */
    base_str out;
    wrong = 0;
    text_encoding_init(&e, &heap);
    base_str_init(&out, &heap);
    assert_true(yyjson_arr_size(all()) > 40);
    yyjson_arr_foreach(all(), i, n, tokenizer) {
        text_tokenizer *t = load(tokenizer);
        assert_int_equal(yyjson_arr_size(yyjson_obj_get(tokenizer, "rows")), line_count);
        yyjson_arr_foreach(yyjson_obj_get(tokenizer, "rows"), k, count, row)
            check_line(t, yyjson_get_str(yyjson_obj_get(tokenizer, "name")), k, row, &e, &out);
        text_tokenizer_free(t);
    }
    base_str_free(&out);
    text_encoding_free(&e);
    assert_int_equal(wrong, 0);
    assert_int_equal(heap.current, 0);
}

static void encode_all(const text_tokenizer *t, text_encoding *e) {
    for (size_t i = 0; i < line_count; i++) {
        nib_error err;
        const line *b = &lines[i / 2];
        assert_int_equal(
            text_encode(t, lines[i].bytes, lines[i].length, b->bytes, b->length, i % 3 ? 0 : 9, true, e, &err), NIB_OK);
        for (size_t k = 0; k < e->count; k++) assert_true(e->spans[k].begin <= e->spans[k].end);
    }
}

static void test_warm(void **state) {
    size_t i, n;
    yyjson_val *tokenizer;
    yyjson_arr_foreach(all(), i, n, tokenizer) {
        text_tokenizer *t = load(tokenizer);
        text_encoding e;
        text_encoding_init(&e, &heap);
        encode_all(t, &e);
        const uint64_t before = heap.allocations;
        encode_all(t, &e);
        assert_int_equal(heap.allocations, before);
        text_encoding_free(&e);
        text_tokenizer_free(t);
    }
    assert_int_equal(heap.current, 0);
}

/* Every request is refused at some ceiling: of loading, of encoding, of decoding. */
static void test_out_of_memory(void **state) {
    static const char text[] =
        "the HTTPServer's \xc3\xa9t\xc3\xa9  e\xcc\x81\xcc\xa3 12345 \xe4\xbd\xa0\xe5\xa5\xbd <mask> Ab";
    size_t i, n;
    yyjson_val *tokenizer;
    yyjson_arr_foreach(all(), i, n, tokenizer) {
        size_t length;
        char *json = whole_json(tokenizer, &length);
        text_tokenizer *t = NULL;
        nib_error err;
        size_t refused = 0;
        for (size_t limit = 1;; limit += limit / 12 + 64) {
            heap.limit = limit;
            nib_status status = text_tokenizer_load(&heap, json, length, &t, &err);
            assert_true(status == NIB_OK || status == NIB_OUT_OF_MEMORY);
            if (status == NIB_OK) break;
            assert_int_equal(heap.current, 0);
            refused++;
        }
        for (size_t more = 0, done = 0; !done; more += more / 20 + 64) {
            text_encoding e;
            base_str out;
            heap.limit = heap.current + more + 1;
            text_encoding_init(&e, &heap);
            base_str_init(&out, &heap);
            nib_status status = text_encode(t, text, sizeof text - 1, text, sizeof text - 1, 0, true, &e, &err);
            assert_true(status == NIB_OK || (status == NIB_OUT_OF_MEMORY && e.count == 0));
            if (status == NIB_OK) {
                status = text_decode(t, e.ids, e.count, false, &out, &err);
                assert_true(status == NIB_OK || status == NIB_OUT_OF_MEMORY);
                done = status == NIB_OK;
            }
            refused += status != NIB_OK;
            base_str_free(&out);
            text_encoding_free(&e);
        }
        assert_true(refused > 50);
        text_tokenizer_free(t);
        free(json);
        heap.limit = 0;
        assert_int_equal(heap.current, 0);
    }
}

/* A quadratic step would take minutes here; the bound is wide enough for any sanitizer. */
static void test_long_texts(void **state) {
    static const char *const units[] = {
        ".",    " ",  "a",     "ab",          "A", "\n", " \n", "1", "\xe4\xbd\xa0", "\xcc\x81", "\xcc\xa3\xcc\x81",
        "\xff", "'s", "<mask", "\xef\xb7\xba"};
    enum { SIZE = 1 << 17 };
    char *text = malloc(SIZE);
    size_t i, n;
    yyjson_val *tokenizer;
    text_encoding e;
    text_encoding_init(&e, &heap);
    yyjson_arr_foreach(all(), i, n, tokenizer) {
        text_tokenizer *t = load(tokenizer);
        const char *name = yyjson_get_str(yyjson_obj_get(tokenizer, "name"));
        for (size_t u = 0; u < BASE_COUNT(units); u++) {
            nib_error err;
            size_t unit = strlen(units[u]);
            for (size_t k = 0; k < SIZE; k++) text[k] = units[u][k % unit];
            clock_t begin = clock();
            nib_status status = text_encode(t, text, SIZE, NULL, 0, u % 2 ? 64 : 0, true, &e, &err);
            double took = (double)(clock() - begin) / CLOCKS_PER_SEC;
            if (status != NIB_OK) fail_msg("%s, \"%s\": %s", name, units[u], err.message);
            if (took > 20) fail_msg("%s: 128 KiB of \"%s\" took %.1f s", name, units[u], took);
        }
        text_tokenizer_free(t);
    }
    text_encoding_free(&e);
    free(text);
    assert_int_equal(heap.current, 0);
}

/* The unknown token is an added one: where the model gives it, its span is no added token's (the library's spans). */
static void test_unknown_is_added(void **state) {
    static const char json[] =
        "{\"added_tokens\":[{\"id\":0,\"content\":\"<unk>\",\"special\":true}],"
        "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false},"
        "\"post_processor\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true},"
        "\"model\":{\"type\":\"BPE\",\"unk_token\":\"<unk>\",\"vocab\":{\"<unk>\":0,\"a\":1},\"merges\":[]}}";
    static const char text[] = "a\xe1\x9a\x80<unk>"; /* U+1680 is white space */
    static const text_span want[] = {{0, 1}, {1, 4}, {1, 4}, {1, 4}, {4, 9}};
    text_tokenizer *t;
    text_encoding e;
    nib_error err;
    if (text_tokenizer_load(&heap, json, sizeof json - 1, &t, &err) != NIB_OK) fail_msg("%s", err.message);
    text_encoding_init(&e, &heap);
    assert_int_equal(text_encode(t, text, sizeof text - 1, NULL, 0, 0, true, &e, &err), NIB_OK);
    assert_int_equal(e.count, BASE_COUNT(want));
    for (size_t i = 0; i < e.count; i++) {
        assert_int_equal(e.spans[i].begin, want[i].begin);
        assert_int_equal(e.spans[i].end, want[i].end);
    }
    text_encoding_free(&e);
    text_tokenizer_free(t);
}

static int setup(void **state) {
    size_t length;
    char *text = read_file(DATA "kinds.json", &length);
    base_heap_init(&heap, NULL);
    doc = yyjson_read(text, length, 0);
    free(text);
    if (doc) read_lines();
    return doc ? 0 : -1;
}

static int teardown(void **state) {
    for (size_t i = 0; i < line_count; i++) free(lines[i].bytes);
    free(lines);
    yyjson_doc_free(doc);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_goldens), cmocka_unit_test(test_warm),
                                       cmocka_unit_test(test_out_of_memory), cmocka_unit_test(test_long_texts),
                                       cmocka_unit_test(test_unknown_is_added)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
