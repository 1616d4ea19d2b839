/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files beside tokenizer.json say in its place; the ids are those of the `tokenizers` library with a tokenizer built so.
 */
#include "text_test.h"

static base_heap heap;

static const char json[] =
    "{\"normalizer\":{\"type\":\"BertNormalizer\",\"clean_text\":false,\"handle_chinese_chars\":false,\"strip_accents\":null,\"lowercase\":"
    "false},"
    "\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"},\"post_processor\":{\"type\":\"BertProcessing\",\"cls\":[\"<s>\",3],\"sep\":[\"</"
    "s>\",4]},"
    "\"truncation\":{\"direction\":\"Left\",\"max_length\":5,\"strategy\":\"LongestFirst\",\"stride\":0},"
    "\"added_tokens\":[{\"id\":0,\"content\":\"[CLS]\",\"special\":true},{\"id\":5,\"content\":\"<plus>\",\"special\":false}],"
    "\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"[UNK]\",\"continuing_subword_prefix\":\"@@\",\"max_input_chars_per_word\":4,"
    "\"vocab\":{"
    "\"[CLS]\":0,\"[SEP]\":1,\"[UNK]\":2,\"<s>\":3,\"</s>\":4,\"<plus>\":5,\"a\":6,\"A\":7,\"\u00e1\":8,\"##b\":9,\"@@b\":10,\"\u4e2d\":11,"
    "\"aaaaa\":12,\"c\":13,\"d\":14}}}";

static void check(const text_settings *s, int64_t max_tokens, const char *text, const char *want) {
    text_tokenizer *t;
    text_encoding e;
    nib_error err;
    char got[200] = "";
    size_t n = 0;
    if (text_tokenizer_load_with(&heap, json, sizeof json - 1, s, &t, &err) != NIB_OK) fail_msg("%s", err.message);
    text_encoding_init(&e, &heap);
    if (text_encode(t, text, strlen(text), NULL, 0, max_tokens, true, &e, &err) != NIB_OK) fail_msg("%s", err.message);
    for (size_t i = 0; i < e.count; i++) n += (size_t)snprintf(got + n, sizeof got - n, i ? " %d" : "%d", e.ids[i]);
    if (strcmp(got, want) != 0) fail_msg("%s: %s, not %s", text, got, want);
    text_encoding_free(&e);
    text_tokenizer_free(t);
}

static text_settings nothing(void) {
    text_settings s;
    text_settings_init(&s);
    return s;
}

static text_settings rebuilt(bool lowercase, bool chinese, int strip) {
    text_settings s = nothing();
    s.rebuilt = true;
    s.lowercase = lowercase;
    s.chinese = chinese;
    s.strip_accents = strip;
    return s;
}

static void the_file_alone(void **state) {
    text_settings s = nothing();
    check(&s, 0, "A ab \u00e1", "3 7 6 10 8 4");
    check(&s, 0, "aaaaa \u4e2da", "3 2 2 4"); /* longer than 4; Chinese characters are no words of their own */
}

/* Each flag tells two normalizers apart; the file's cleans nothing. */
static void what_it_normalizes_as(void **state) {
    static const struct {
        bool lowercase, chinese;
        int strip;
    } rows[] = {{true, true, -1}, {false, true, -1}, {true, false, -1}, {true, true, 0}, {false, false, 1}};
    for (size_t i = 0; i <= BASE_COUNT(rows); i++) {
        text_settings s = i < BASE_COUNT(rows) ? rebuilt(rows[i].lowercase, rows[i].chinese, rows[i].strip) : nothing();
        text_tokenizer *t;
        nib_error err;
        if (text_tokenizer_load_with(&heap, json, sizeof json - 1, &s, &t, &err) != NIB_OK) fail_msg("%s", err.message);
        for (size_t k = 0; k < BASE_COUNT(rows); k++)
            assert_int_equal(text_normalizes_as(t, rows[k].lowercase, rows[k].chinese, rows[k].strip), i == k);
        assert_int_equal(text_normalizes_as(t, true, true, 1), i == 0); /* as case is */
        text_tokenizer_free(t);
    }
}

static void lower_case_first(void **state) {
    text_settings s = nothing();
    s.lower_first = true;
    check(&s, 0, "A \u00c1", "3 6 8 4"); /* the accent stays: only case is lost */
}

static void built_anew(void **state) {
    text_settings s = rebuilt(true, true, -1);
    check(&s, 0, "A ab \u00c1 aaaaa", "0 6 6 9 6 12 1");
    check(&s, 0, "a\x01 \u4e2da", "0 6 11 6 1");
    s = rebuilt(true, true, 0);
    check(&s, 0, "\u00c1", "0 8 1");
    s = rebuilt(false, false, -1);
    check(&s, 0, "A \u00e1 \u4e2da", "0 7 8 2 1");
    s = rebuilt(false, true, 1);
    check(&s, 0, "A \u00e1", "0 7 6 1");
    s.cls = "<s>";
    s.sep = "c";
    s.unknown = "d";
    check(&s, 0, "zz", "3 14 13");
}

/* The side is tokenizer.json's, or what is said in its place; special tokens stay. */
static void sides(void **state) {
    static const struct {
        int left;
        const char *cut; /* "a c d A a" to 4 tokens */
    } cases[] = {{-1, "3 7 6 4"}, {1, "3 7 6 4"}, {0, "3 6 13 4"}};
    for (size_t i = 0; i < BASE_COUNT(cases); i++) {
        text_settings s = nothing();
        s.truncation_left = cases[i].left;
        check(&s, 4, "a c d A a", cases[i].cut);
        check(&s, -1, "a c d A a", cases[i].left ? "3 14 7 6 4" : "3 6 13 14 4"); /* to 5, as the file says */
        check(&s, 0, "a c d A a", "3 6 13 14 7 6 4");
    }
}

static void a_token_that_is_not_there(void **state) {
    text_settings s = rebuilt(true, true, -1);
    text_tokenizer *t;
    nib_error err;
    s.cls = "<none>";
    assert_int_equal(text_tokenizer_load_with(&heap, json, sizeof json - 1, &s, &t, &err), NIB_BAD_TOKENIZER);
    assert_non_null(strstr(err.message, "<none>"));
}

/* Parts that are built anew need not be of a kind that nib knows. */
static void unknown_parts(void **state) {
    static const char parts[] =
        "{\"normalizer\":{\"type\":\"Other\"},\"pre_tokenizer\":{\"type\":\"UnicodeScripts\"},\"post_processor\":{\"type\":\"RobertaProcessing\"},"
        "\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"[UNK]\",\"continuing_subword_prefix\":\"##\",\"vocab\":{\"[CLS]\":0,"
        "\"[SEP]\":1,\"[UNK]\":2,\"a\":3}}}";
    text_settings s = nothing();
    text_tokenizer *t;
    nib_error err;
    assert_int_equal(text_tokenizer_load_with(&heap, parts, sizeof parts - 1, &s, &t, &err), NIB_UNSUPPORTED);
    s = rebuilt(true, true, -1);
    if (text_tokenizer_load_with(&heap, parts, sizeof parts - 1, &s, &t, &err) != NIB_OK) fail_msg("%s", err.message);
    text_tokenizer_free(t);
}

/* What is said of ByteLevel takes the place of what the file says, wherever the ByteLevel stands. */
static void prefix_space(void **state) {
    static const char *const parts[] = {"null", "{\"type\":\"ByteLevel\",\"add_prefix_space\":false}",
                                        "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Digits\"},{\"type\":\"ByteLevel\"}]}"};
    static const int expected[3][3] = {{0, 0, 0}, {0, 0, 1}, {1, 0, 1}}; /* tokens before "a", by part and by what is said */
    for (int i = 0; i < 3; i++)
        for (int said = 0; said < 3; said++) {
            text_tokenizer *t;
            text_encoding e;
            char file[400];
            text_settings settings = nothing();
            settings.prefix_space = said;
            snprintf(file, sizeof file,
                     "{\"pre_tokenizer\":%s,\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"\u0120\":1},\"merges\":[]}}", parts[i]);
            assert_int_equal(text_tokenizer_load_with(&heap, file, strlen(file), &settings, &t, NULL), NIB_OK);
            text_encoding_init(&e, &heap);
            assert_int_equal(text_encode(t, "a", 1, NULL, 0, 0, true, &e, NULL), NIB_OK);
            assert_int_equal(e.count, 1 + expected[i][said]);
            text_encoding_free(&e);
            text_tokenizer_free(t);
        }
}

static void special_tokens(void **state) {
    text_tokenizer *t;
    text_added a;
    nib_error err;
    assert_int_equal(text_tokenizer_load(&heap, json, sizeof json - 1, &t, &err), NIB_OK);
    assert_true(text_is_special(t, 0));
    assert_false(text_is_special(t, 5));
    assert_false(text_is_special(t, 6));
    assert_true(text_added_at(t, 1, &a));
    assert_int_equal(a.id, 5);
    assert_true(a.normalized && !a.special);
    assert_false(text_added_at(t, 2, &a));
    text_tokenizer_free(t);
}

static char said[400];

static void note(void *user, nib_log_level level, const char *message) {
    size_t n = strlen(said);
    snprintf(said + n, sizeof said - n, "%s\n", message);
}

/* What stands in tokenizer.json and is not applied. */
static void unknown_keys(void **state) {
    char more[sizeof json + 100];
    nib_runtime_options o = {.size = sizeof o, .threads = 1, .log = note};
    nib_runtime *r;
    nib_error err;
    text_settings s = nothing();
    text_tokenizer *t;
    assert_int_equal(base_runtime_create(&o, &r, &err), NIB_OK);
    s.runtime = r;
    assert_int_equal(text_tokenizer_load_with(&heap, json, sizeof json - 1, &s, &t, &err), NIB_OK);
    assert_string_equal(said, "");
    text_tokenizer_free(t);
    size_t n = (size_t)snprintf(more, sizeof more, "%.*s,\"dropout\":0.5},\"version\":\"1.0\",\"future\":[1]}", (int)sizeof json - 3, json);
    if (text_tokenizer_load_with(&heap, more, n, &s, &t, &err) != NIB_OK) fail_msg("%s", err.message);
    assert_string_equal(said, "tokenizer.json: model.dropout 0.5 is not applied\ntokenizer.json: future [...] is not applied\n");
    text_tokenizer_free(t);
    base_runtime_release(r);
}

static int setup(void **state) {
    base_heap_init(&heap, NULL);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_file_alone),
        cmocka_unit_test(what_it_normalizes_as),
        cmocka_unit_test(lower_case_first),
        cmocka_unit_test(built_anew),
        cmocka_unit_test(sides),
        cmocka_unit_test(a_token_that_is_not_there),
        cmocka_unit_test(special_tokens),
        cmocka_unit_test(unknown_parts),
        cmocka_unit_test(prefix_space),
        cmocka_unit_test(unknown_keys),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
