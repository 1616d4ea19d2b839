/* SPDX-License-Identifier: Apache-2.0
 *
 * Encodings against what the tokenizers library made of the same texts (tools/make_text_goldens.py): ids, types, spans and
 * counts, for all variants of the tokenizer; and that encoding again allocates nothing.
 */
#include "text_test.h"

static base_heap heap;
static yyjson_doc *base, *goldens;
static char *lines;
static size_t lines_length;
static int wrong;

static const char *line(size_t which, size_t *length) {
    const char *p = lines;
    for (; which; which--) p = (const char *)memchr(p, '\n', (size_t)(lines + lines_length - p)) + 1;
    *length = (size_t)((const char *)memchr(p, '\n', (size_t)(lines + lines_length - p)) - p);
    return p;
}

static uint64_t hash_of(const text_encoding *e) {
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < e->count; i++) {
        uint32_t row[4] = {(uint32_t)e->ids[i], (uint32_t)e->type_ids[i], e->spans[i].begin, e->spans[i].end};
        for (size_t k = 0; k < 16; k++) h = (h ^ (row[k / 4] >> (k % 4 * 8) & 255)) * 0x100000001b3u;
    }
    return h;
}

static int64_t number(yyjson_val *list, size_t i) { return yyjson_get_sint(yyjson_arr_get(list, i)); }

static void compare(const char *name, size_t run, size_t text, yyjson_val *want, nib_status status, const text_encoding *e) {
    bool same = status == NIB_OK && number(want, 0) == (int64_t)e->count && number(want, 1) == (int64_t)e->full_count;
    if (number(want, 0) < 0) same = status != NIB_OK;
    if (same && yyjson_is_str(yyjson_arr_get(want, 2))) {
        char hash[17];
        snprintf(hash, sizeof hash, "%016llx", (unsigned long long)hash_of(e));
        same = strcmp(hash, yyjson_get_str(yyjson_arr_get(want, 2))) == 0;
    } else if (same && number(want, 0) >= 0) {
        size_t i, n, at = 0;
        yyjson_val *v;
        yyjson_arr_foreach(want, i, n, v) {
            if (i < 2) continue;
            size_t token = at / 4, part = at % 4;
            if (token >= e->count) break;
            const int64_t got[4] = {e->ids[token], e->type_ids[token], e->spans[token].begin, e->spans[token].end};
            if (got[part] != yyjson_get_sint(v)) same = false;
            at++;
        }
        same = same && at == e->count * 4;
    }
    if (same) return;
    wrong++;
    print_error("%s, run %zu, text %zu: status %d, count %zu (wanted %lld), full %zu (wanted %lld)\n", name, run, text, (int)status,
                e->count, (long long)number(want, 0), e->full_count, (long long)number(want, 1));
}

static size_t unhex(const char *hex, char *out) {
    size_t n = strlen(hex) / 2;
    for (size_t i = 0; i < n; i++) {
        unsigned byte;
        sscanf(hex + 2 * i, "%2x", &byte);
        out[i] = (char)byte;
    }
    return n;
}

static void run_golden(const text_tokenizer *t, const char *name, size_t run, yyjson_val *golden, text_encoding *e) {
    yyjson_val *expect = yyjson_obj_get(golden, "expect"), *texts = yyjson_obj_get(golden, "texts"), *want;
    bool pair = yyjson_get_bool(yyjson_obj_get(golden, "pair")), plain = yyjson_get_bool(yyjson_obj_get(golden, "plain"));
    size_t i, n;
    yyjson_arr_foreach(expect, i, n, want) {
        nib_error err;
        size_t length, second_length = 0;
        char *own = NULL;
        const char *text, *second = NULL;
        if (texts) {
            /* Copied to its exact size, so that a read past its end is seen. */
            const char *hex = yyjson_get_str(yyjson_arr_get(texts, i));
            own = malloc(strlen(hex) / 2 + !*hex);
            length = unhex(hex, own);
            text = own;
        } else {
            text = line(i, &length);
            if (pair) second = line((i + 1) % n, &second_length);
        }
        nib_status status =
            text_encode(t, text, length, second, second_length, yyjson_get_sint(yyjson_obj_get(golden, "max")), !plain, e, &err);
        compare(name, run, i, want, status, e);
        free(own);
    }
}

static bool packed;

/* If packed: the tokenizer of its packed form in place of *t; `vocab` must live as long. */
static void pack_again(text_tokenizer **t, const char *json, size_t length, base_str *vocab) {
    base_str rest;
    nib_error err;
    text_settings none;
    text_settings_init(&none);
    base_str_init(vocab, &heap);
    base_str_init(&rest, &heap);
    if (!packed) return;
    if (text_tokenizer_pack(*t, json, length, &rest, vocab, &err) != NIB_OK) fail_msg("%s", err.message);
    assert_true(rest.length < 20000);
    text_tokenizer_free(*t);
    if (text_tokenizer_load_packed(&heap, rest.data, rest.length, vocab->data, vocab->length, &none, t, &err) != NIB_OK)
        fail_msg("%s", err.message);
    base_str_free(&rest);
}

static void all_goldens(void) {
    base_str vocab;
    size_t i, n, k, count;
    yyjson_val *variant, *golden;
    wrong = 0;
    yyjson_arr_foreach(yyjson_doc_get_root(goldens), i, n, variant) {
        const char *name = yyjson_get_str(yyjson_obj_get(variant, "name"));
        size_t length;
        text_tokenizer *t;
        nib_error err;
        text_encoding e;
        char *json = patched(base, yyjson_obj_get(variant, "patch"), &length);
        if (text_tokenizer_load(&heap, json, length, &t, &err) != NIB_OK) fail_msg("%s: %s", name, err.message);
        pack_again(&t, json, length, &vocab);
        free(json);
        text_encoding_init(&e, &heap);
        yyjson_arr_foreach(yyjson_obj_get(variant, "runs"), k, count, golden) run_golden(t, name, k, golden, &e);
        /* All sizes have been seen now. */
        uint64_t before = heap.allocations;
        yyjson_arr_foreach(yyjson_obj_get(variant, "runs"), k, count, golden) run_golden(t, name, k, golden, &e);
        assert_int_equal(heap.allocations, before);
        text_encoding_free(&e);
        text_tokenizer_free(t);
        base_str_free(&vocab);
    }
    assert_int_equal(wrong, 0);
    assert_int_equal(heap.current, 0);
}

static void test_goldens(void **state) {
    packed = false;
    all_goldens();
}

/* The same with the vocabulary as compiled files hold it. */
static void test_packed_goldens(void **state) {
    packed = true;
    all_goldens();
}

/* What stands in an encoding beyond the goldens. */
static void test_contract(void **state) {
    size_t length;
    text_tokenizer *t;
    text_encoding e;
    nib_error err;
    char *json = read_file(DATA "minilm-tokenizer.json", &length), text[256];
    assert_int_equal(text_tokenizer_load(&heap, json, length, &t, &err), NIB_OK);
    free(json);
    assert_int_equal(text_vocab_size(t), 30522);
    assert_int_equal(text_max_tokens(t), 128);
    assert_int_equal(text_token_id(t, "[CLS]", 5), 101);
    assert_int_equal(text_token_id(t, "hello", 5), 7592);
    assert_int_equal(text_token_id(t, "no such token", 13), -1);
    assert_int_equal(text_token_id(t, "", 0), -1);
    assert_memory_equal(text_token(t, 7592, &length), "hello", 6);
    assert_int_equal(length, 5);
    assert_null(text_token(t, 30522, &length));
    assert_null(text_token(t, -1, &length));
    text_describe(t, text, sizeof text);
    assert_string_equal(text, "WordPiece, 30522 tokens, BertNormalizer, BertPreTokenizer, truncation to 128");
    text_describe(t, text, 5);
    assert_string_equal(text, "Word");
    text_encoding_init(&e, &heap);
    assert_int_equal(text_encode(t, NULL, 0, NULL, 0, 0, true, &e, &err), NIB_OK);
    assert_int_equal(e.count, 2);
    assert_int_equal(e.special[0] + e.special[1], 2);
    assert_int_equal(text_encode(t, "hello", 5, "", 0, 0, true, &e, &err), NIB_OK);
    assert_int_equal(e.count, 4);
    assert_int_equal(e.special[1], 0);
    assert_int_equal(text_encode(t, "hello", 5, NULL, 0, 1, true, &e, &err), NIB_INVALID_ARGUMENT);
    assert_int_equal(e.count, 0);
    assert_int_equal(text_encode(t, "hello", (size_t)1 << 31, NULL, 0, 0, true, &e, &err), NIB_LIMIT);
    /* A limit stores no more than it says, however long the text is. */
    char *long_text = malloc(1 << 20);
    for (size_t i = 0; i < 1 << 20; i++) long_text[i] = i % 5 ? 'a' : ' ';
    assert_int_equal(text_encode(t, long_text, 1 << 20, NULL, 0, 8, true, &e, &err), NIB_OK);
    assert_int_equal(e.count, 8);
    assert_true(e.full_count > 200000);
    assert_true(heap.current < 12u << 20);
    free(long_text);
    text_encoding_free(&e);
    text_encoding_free(&e);
    text_tokenizer_free(t);
    text_tokenizer_free(NULL);
    assert_int_equal(heap.current, 0);
}

static int setup(void **state) {
    size_t length;
    char *text = read_file(DATA "minilm-tokenizer.json", &length);
    base_heap_init(&heap, NULL);
    base = yyjson_read(text, length, 0);
    free(text);
    text = read_file(DATA "goldens.json", &length);
    goldens = yyjson_read(text, length, 0);
    free(text);
    lines = read_file(DATA "multilingual.txt", &lines_length);
    return base && goldens ? 0 : -1;
}

static int teardown(void **state) {
    yyjson_doc_free(base);
    yyjson_doc_free(goldens);
    free(lines);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_goldens), cmocka_unit_test(test_packed_goldens),
                                       cmocka_unit_test(test_contract)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
