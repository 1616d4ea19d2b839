/* SPDX-License-Identifier: Apache-2.0
 *
 * Tokenizer files and texts that mean harm: what is refused and how it is said, files cut and mutated, memory that runs
 * out at any point, random bytes, and texts that are long in every direction.
 */
#include "text_test.h"
#include <time.h>

#define HEAD "{\"normalizer\":{\"type\":\"BertNormalizer\"},\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"},"
#define MODEL(vocab) "\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"u\",\"continuing_subword_prefix\":\"##\",\"vocab\":" vocab "}"
#define SMALL "{\"u\":0,\"a\":1,\"##a\":2,\"b\":3,\"##b\":4,\"[S]\":5,\"hello\":6,\"##lo\":7}"
#define SPECIALS "\"special_tokens\":{\"[S]\":{\"id\":\"[S]\",\"ids\":[5],\"tokens\":[\"[S]\"]}}"
#define ONE "{\"SpecialToken\":{\"id\":\"[S]\",\"type_id\":0}}"
#define TEXT_A "{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}"
#define TEXT_B "{\"Sequence\":{\"id\":\"B\",\"type_id\":1}}"
#define POST(single)                                                                                                                       \
    "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[" single "],\"pair\":[" ONE "," TEXT_A "," TEXT_B "]," SPECIALS "}"
#define ADDED "\"added_tokens\":[{\"id\":5,\"content\":\"[S]\",\"special\":true},{\"id\":9,\"content\":\"<x>\",\"lstrip\":true}]"
#define TRUNCATE(rest) "\"truncation\":{\"strategy\":\"LongestFirst\",\"direction\":\"Right\"," rest "}"
#define WHOLE HEAD MODEL(SMALL) "," ADDED "," POST(ONE "," TEXT_A) "," TRUNCATE("\"max_length\":8,\"stride\":0") "}"

/* Smaller ones that have the other kinds between them. */
#define BPE(options)                                                                                                                       \
    "\"model\":{\"type\":\"BPE\",\"vocab\":{\"u\":0,\"a\":1,\"b\":2,\"ab\":3,\"\xc4\xa0\":4,\"[S]\":5,\"<0xC3>\":6,\"<0xA9>\":7,\"\xc4\xa0\x61\":8},"     \
    "\"merges\":[\"a b\",[\"\xc4\xa0\",\"a\"]],\"unk_token\":\"u\"" options "}"
#define GPT2 "'s|'t|'re|'ve|'m|'ll|'d| ?\\\\p{L}+| ?\\\\p{N}+| ?[^\\\\s\\\\p{L}\\\\p{N}]+|\\\\s+(?!\\\\S)|\\\\s+"
#define SPLIT(pattern, behavior) "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"" pattern "\"},\"behavior\":\"" behavior "\",\"invert\":false}"
#define BYTES "{\"type\":\"ByteLevel\",\"add_prefix_space\":true,\"trim_offsets\":true,\"use_regex\":true}"

static const char *const wholes[] = {
    WHOLE,
    "{\"normalizer\":{\"type\":\"NFC\"},\"pre_tokenizer\":" BYTES ",\"decoder\":" BYTES "," ADDED
    ",\"post_processor\":{\"type\":\"RobertaProcessing\",\"cls\":[\"[S]\",5],\"sep\":[\"u\",0],\"trim_offsets\":true,\"add_prefix_space\":true},"
    BPE(",\"ignore_merges\":true") "}",
    "{\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Prepend\",\"prepend\":\"_\"},{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"l+?|e*\"},"
    "\"content\":\"ab\"},{\"type\":\"NFKD\"},{\"type\":\"Strip\",\"strip_left\":true,\"strip_right\":true}]},\"pre_tokenizer\":{\"type\":\"Sequence\","
    "\"pretokenizers\":[" SPLIT(GPT2, "Isolated") "," SPLIT("(?i:b)[^a]?(?=[ x])", "MergedWithNext") ",{\"type\":\"Digits\",\"individual_digits\":true}]},"
    "\"decoder\":{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"},{\"type\":\"Strip\",\"content\":\"u\",\"start\":1,\"stop\":1}]},"
    BPE(",\"byte_fallback\":true,\"fuse_unk\":true") "}",
    "{\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFKC\"},{\"type\":\"StripAccents\"},{\"type\":\"Nmt\"},{\"type\":\"Lowercase\"}]},"
    "\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"\xe2\x96\x81\",\"prepend_scheme\":\"first\",\"split\":true},"
    "\"decoder\":{\"type\":\"BPEDecoder\",\"suffix\":\"b\"},\"post_processor\":{\"type\":\"Sequence\",\"processors\":[" BYTES "]},"
    BPE(",\"continuing_subword_prefix\":\"\",\"end_of_word_suffix\":\"b\"") "}",
    "{\"model\":{\"type\":\"Unigram\",\"vocab\":[[\"u\",0],[\"a\",-1.5],[\"ab\",-2],[\"<0xC3>\",0],[\"<0xA9>\",0],[\"l\",-3],[\"lo\",-1e2]],\"unk_id\":0,"
    "\"byte_fallback\":true}}",
    "{\"pre_tokenizer\":{\"type\":\"Whitespace\"},\"model\":{\"type\":\"WordLevel\",\"vocab\":{\"Hello\":0,\"u\":1},\"unk_token\":\"u\"}}",
};

static base_heap heap;
static uint64_t seed = 0x9e3779b97f4a7c15u;

static uint32_t next_random(void) {
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return (uint32_t)(seed >> 32);
}

static void refused(const char *json, nib_status want, const char *says) {
    text_tokenizer *t;
    nib_error err = {0};
    nib_status status = text_tokenizer_load(&heap, json, strlen(json), &t, &err);
    if (status != want || !strstr(err.message, says))
        fail_msg("%s\ngave %d \"%s\", not %d \"%s\"", json, (int)status, err.message, (int)want, says);
    assert_null(t);
    assert_int_equal(heap.current, 0);
}

/* With a part in the place of %s. */
static void refused_part(const char *whole, const char *part, nib_status want, const char *says) {
    char json[2048];
    snprintf(json, sizeof json, whole, part);
    refused(json, want, says);
}

static void test_refusals(void **state) {
    const nib_status bad = NIB_BAD_TOKENIZER, no = NIB_UNSUPPORTED;
    text_tokenizer *t;
    assert_int_equal(text_tokenizer_load(&heap, WHOLE, strlen(WHOLE), &t, NULL), NIB_OK);
    text_tokenizer_free(t);
    refused("", bad, "empty");
    refused("[]", bad, "not an object");
    refused("{}", bad, "model");
    refused("{\"normalizer\":{\"type\":\"Other\"}," MODEL(SMALL) "}", no, "normalizer: Other");
    refused("{\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFD\"},{\"type\":\"XYZ\"}]}," MODEL(SMALL) "}", no, "XYZ");
    refused("{\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[null]}," MODEL(SMALL) "}", bad, "null");
    refused("{\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":3}," MODEL(SMALL) "}", bad, "normalizers");
    refused("{\"normalizer\":7," MODEL(SMALL) "}", bad, "normalizer");
    refused("{\"normalizer\":{\"type\":\"BertNormalizer\",\"lowercase\":1}," MODEL(SMALL) "}", bad, "lowercase");
    refused("{\"pre_tokenizer\":{\"type\":\"CharDelimiterSplit\"}," MODEL(SMALL) "}", no, "pre_tokenizer: CharDelimiterSplit");
    refused("{\"pre_tokenizer\":{}," MODEL(SMALL) "}", bad, "type");
    refused("{\"model\":{\"type\":\"Trigram\"}}", no, "model: Trigram");
    refused("{\"model\":{\"type\":\"Unigram\"}}", bad, "vocab");
    refused("{\"model\":{\"type\":\"Unigram\",\"vocab\":[[\"a\"]]}}", bad, "model.vocab[0]: no score");
    refused("{\"model\":{\"type\":\"Unigram\",\"vocab\":[[\"a\",0],[1,0]]}}", bad, "model.vocab[1]: not a token");
    refused("{\"model\":{\"type\":\"Unigram\",\"vocab\":[[\"a\",0],[\"a\",0]]}}", bad, "twice");
    refused("{\"model\":{\"type\":\"Unigram\",\"vocab\":[[\"a\",0]],\"unk_id\":1}}", bad, "unk_id");
    refused("{\"model\":{\"type\":\"WordLevel\",\"vocab\":{\"a\":0}}}", bad, "unk_token");
    refused("{\"model\":{\"type\":\"WordLevel\",\"vocab\":[[\"a\",0]]}}", bad, "not an object");
    refused("{\"model\":{\"type\":4}}", bad, "type");
    refused(HEAD MODEL("[]") "}", bad, "vocab");
    refused(HEAD MODEL("{\"a\":1}") "}", bad, "unk_token \"u\"");
    refused(HEAD MODEL("{\"u\":0,\"a\":0}") "}", bad, "same id 0");
    refused(HEAD MODEL("{\"u\":0,\"a\":1,\"a\":2}") "}", bad, "twice");
    refused(HEAD MODEL("{\"u\":0,\"a\":-1}") "}", bad, "id");
    refused(HEAD MODEL("{\"u\":0,\"a\":1.5}") "}", bad, "id");
    refused(HEAD MODEL("{\"u\":0,\"a\":\"1\"}") "}", bad, "id");
    refused(HEAD MODEL("{\"u\":0,\"a\":2147483648}") "}", bad, "below");
    refused(HEAD MODEL("{\"u\":0,\"a\":18446744073709551615}") "}", bad, "below");
    refused(HEAD MODEL("{\"u\":0,\"a\":100000000}") "}", bad, "below");
    refused(HEAD MODEL(SMALL) ",\"added_tokens\":{}}", bad, "added_tokens");
    refused(HEAD MODEL(SMALL) ",\"added_tokens\":[3]}", bad, "added_tokens[0]");
    refused(HEAD MODEL(SMALL) ",\"added_tokens\":[{\"id\":9}]}", bad, "content");
    refused(HEAD MODEL(SMALL) ",\"added_tokens\":[{\"id\":3,\"content\":\"x\"}]}", bad, "same id 3");
    refused(HEAD MODEL(SMALL) ",\"added_tokens\":[{\"id\":9,\"content\":\"a\"}]}", bad, "id 9 here and 1");
    refused(HEAD MODEL(SMALL) ",\"added_tokens\":[{\"id\":4000000000,\"content\":\"x\"}]}", bad, "below");
    refused(HEAD MODEL(SMALL) ",\"added_tokens\":[{\"id\":9,\"content\":\"\xcc\x81\"}]}", no, "nothing is left");
    refused(HEAD MODEL(SMALL) "," POST("{\"SpecialToken\":{\"id\":\"[T]\",\"type_id\":0}}") "}", bad, "[T]");
    refused(HEAD MODEL(SMALL) "," POST(ONE) "}", bad, "once");
    refused(HEAD MODEL(SMALL) "," POST(TEXT_A "," TEXT_A) "}", bad, "once");
    refused(HEAD MODEL(SMALL) "," POST(TEXT_A ",{\"Sequence\":{\"id\":\"C\",\"type_id\":0}}") "}", bad, "\"C\"");
    refused(HEAD MODEL(SMALL) ",\"post_processor\":{\"type\":\"RobertaProcessing\"}}", bad, "cls");
    refused(HEAD MODEL(SMALL) ",\"post_processor\":{\"type\":\"BertProcessing\",\"cls\":[\"x\",99],\"sep\":[\"x\",1]}}", bad, "id");
    refused(HEAD MODEL(SMALL) ",\"post_processor\":{\"type\":\"BertProcessing\",\"cls\":5}}", bad, "cls");
    refused(HEAD MODEL(SMALL) "," TRUNCATE("\"max_length\":0,\"stride\":0") "}", bad, "max_length 0");
    refused(HEAD MODEL(SMALL) "," TRUNCATE("\"max_length\":-3") "}", bad, "max_length");
    refused(HEAD MODEL(SMALL) "," TRUNCATE("\"max_length\":4,\"stride\":4") "}", bad, "stride 4");
    refused(HEAD MODEL(SMALL) "," POST(ONE "," ONE "," TEXT_A) "," TRUNCATE("\"max_length\":1") "}", bad, "2 special tokens");
    refused(HEAD MODEL(SMALL) ",\"truncation\":{\"max_length\":4,\"strategy\":\"x\"}}", bad, "strategy");
    const char *const norm = "{\"normalizer\":%s," MODEL(SMALL) "}", *const pre = "{\"pre_tokenizer\":%s," MODEL(SMALL) "}";
    refused_part(norm, "{\"type\":\"Replace\",\"content\":\"\"}", bad, "pattern");
    refused_part(norm, "{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"(\"},\"content\":\"\"}", bad, "a group without end");
    refused_part(norm, "{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"a\"}}", bad, "content");
    refused_part(norm, "{\"type\":\"Prepend\"}", bad, "prepend");
    refused_part(norm, "{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"AAA\"}", bad, "base64");
    refused_part(norm, "{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"AAAAAA==\"}", bad, "a trie of 0 bytes");
    refused_part(norm, "{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"BAAAAAAAAAD/\"}", bad, "not UTF-8");
    refused_part(norm, "{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"/////wAAAAA=\"}", bad, "a trie of 4294967295 bytes");
    refused_part(pre, SPLIT("(?:ab)++", "Isolated"), no, "possessive");
    refused_part(pre, SPLIT("(?<=a*)b", "Isolated"), no, "look ahead or behind");
    refused_part(pre, SPLIT("(?!a+)", "Isolated"), no, "fixed number");
    refused_part(pre, SPLIT("\\\\p{Klingon}", "Isolated"), no, "\\p{Klingon}");
    refused_part(pre, SPLIT("(?i:\xc3\xa9)", "Isolated"), no, "beyond ASCII");
    refused_part(pre, SPLIT("(a{1000}){1000}", "Isolated"), NIB_LIMIT, "too large");
    refused_part(pre, SPLIT("a", "Apart"), bad, "behavior");
    refused_part(pre, "{\"type\":\"Metaspace\",\"replacement\":\"ab\"}", bad, "one character");
    refused_part(pre, "{\"type\":\"Metaspace\",\"replacement\":\"_\",\"prepend_scheme\":\"last\"}", bad, "prepend_scheme");
    refused_part(pre, "{\"type\":\"Metaspace\",\"replacement\":\"_\",\"add_prefix_space\":false}", bad, "differ");
    refused("{" BPE(",\"dropout\":0.1") "}", no, "dropout");
    refused("{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0}}}", bad, "merges");
    refused("{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[\"aa\"]}}", bad, "merges[0]: not two");
    refused("{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[[\"a\",1]]}}", bad, "merges[0]: not two");
    refused("{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[\"a a\"]}}", bad, "what comes of it");
    refused("{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[\"a b\"]}}", bad, "\"b\" is not in");
    refused("{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"a\":1},\"merges\":[]}}", bad, "twice");
    refused("{\"added_tokens\":[{\"id\":1,\"content\":\"aa\"}],\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[\"a a\"]}}", bad,
            "what comes of it");
    refused("{\"decoder\":7," MODEL(SMALL) "}", bad, "decoder");
    refused("{\"decoder\":{\"type\":\"Strip\",\"content\":\"\"}," MODEL(SMALL) "}", bad, "one character");
    refused(HEAD MODEL(SMALL) ",\"post_processor\":{\"type\":\"Sequence\",\"processors\":[{\"type\":\"BertProcessing\",\"cls\":[\"x\",1],\"sep\":[\"x\",1]},"
            "{\"type\":\"BertProcessing\",\"cls\":[\"x\",1],\"sep\":[\"x\",1]}]}}", no, "two templates");
    char deep[2048];
    memset(deep, '[', sizeof deep - 1);
    deep[sizeof deep - 1] = 0;
    refused(deep, NIB_LIMIT, "nested");
    char *long_key = malloc(8192);
    snprintf(long_key, 8192, HEAD MODEL("{\"u\":0,\"%04000d\":1}") "}", 1);
    refused(long_key, NIB_LIMIT, "4000 bytes");
    free(long_key);
}

/* A template of so many items that give no token, or that look one up among so many. */
static void test_long_templates(void **state) {
    enum { MANY = 100000, ROOM = 60 * MANY };
    char *json = malloc(ROOM);
    for (int many_items = 0; many_items < 2; many_items++) {
        char *p = json + sprintf(json, HEAD MODEL(SMALL) ",\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[" TEXT_A);
        for (int i = 0; many_items && i < MANY; i++) p += sprintf(p, ",{\"SpecialToken\":{\"id\":\"[S]\",\"type_id\":0}}");
        p += sprintf(p, "],\"pair\":[" TEXT_A "," TEXT_B "],\"special_tokens\":{");
        for (int i = 0; !many_items && i < MANY; i++) p += sprintf(p, "\"%d\":{\"ids\":[]},", i);
        sprintf(p, "\"[S]\":{\"ids\":[]}}}}");
        refused(json, NIB_LIMIT, many_items ? "a template of more than 1024 items" : "more than 1024 special tokens");
    }
    free(json);
}

/* Loads whatever it is; what loads must also encode. */
static void try_file(const char *json, size_t length) {
    text_tokenizer *t;
    nib_error err;
    static const char text[] = "Hello <x> [S] ab\xc3\xa9\xff\xe4\xb8\xad hello";
    char *exact = malloc(length + !length); /* so that a read past the end is seen */
    memcpy(exact, json, length);
    nib_status status = text_tokenizer_load(&heap, exact, length, &t, &err);
    free(exact);
    if (status == NIB_OK) {
        text_encoding e;
        text_encoding_init(&e, &heap);
        text_encode(t, text, sizeof text - 1, text, 3, -1, true, &e, &err);
        base_str out;
        base_str_init(&out, &heap);
        text_decode(t, e.ids, e.count, true, &out, &err);
        base_str_free(&out);
        for (size_t i = 0; i < e.count; i++) {
            size_t n;
            assert_non_null(text_token(t, e.ids[i], &n));
            assert_true(e.spans[i].begin <= e.spans[i].end && e.spans[i].end <= sizeof text - 1);
        }
        text_encoding_free(&e);
    }
    text_tokenizer_free(t);
    assert_int_equal(heap.current, 0);
}

static void test_cut_files(void **state) {
    size_t length;
    for (size_t i = 0; i < BASE_COUNT(wholes); i++) {
        text_tokenizer *t;
        nib_error err;
        if (text_tokenizer_load(&heap, wholes[i], strlen(wholes[i]), &t, &err) != NIB_OK) fail_msg("whole %zu: %s", i, err.message);
        text_tokenizer_free(t);
        for (size_t n = 0; n <= strlen(wholes[i]); n++) try_file(wholes[i], n);
    }
    char *real = read_file(DATA "minilm-tokenizer.json", &length);
    for (size_t n = 0; n < length; n += n < 4096 ? 61 : 20011) try_file(real, n);
    free(real);
}

/* Values of every kind in the place of every value, and bytes of the file changed at random. */
static void mutate(const char *whole) {
    static const char *const values[] = {
        "null",  "true",        "-1", "0",    "1e300", "99999999999999999999", "2147483647", "\"\"",
        "\"a\"", "\"\\u0000\"", "[]", "[[]]", "{}",    "{\"type\":\"x\"}",     "[5,5]",      "\"Sequence\"",
        "\"B\"", "\"[S]\""};
    char text[4096];
    size_t length = strlen(whole);
    for (size_t at = 1; at < length; at++) {
        if (whole[at - 1] != ':' && whole[at - 1] != '[' && whole[at - 1] != ',') continue;
        size_t end = at;
        int depth = 0;
        bool quoted = false;
        for (; end < length; end++) {
            char c = whole[end];
            if (c == '"') quoted = !quoted;
            if (quoted) continue;
            if (c == '{' || c == '[') depth++;
            if ((c == '}' || c == ']') && depth-- == 0) break;
            if (c == ',' && depth == 0) break;
        }
        for (size_t v = 0; v < BASE_COUNT(values); v++) {
            int n = snprintf(text, sizeof text, "%.*s%s%s", (int)at, whole, values[v], whole + end);
            try_file(text, (size_t)n);
        }
    }
    for (int i = 0; i < 3000; i++) {
        memcpy(text, whole, length);
        for (uint32_t k = 0; k <= next_random() % 4; k++) {
            uint32_t r = next_random();
            text[next_random() % length] = (char)(r & 3 ? 32 + (r >> 8) % 95 : r >> 8);
        }
        try_file(text, length);
    }
}

static void test_mutated_files(void **state) {
    for (size_t i = 0; i < BASE_COUNT(wholes); i++) mutate(wholes[i]);
}

static void test_out_of_memory(void **state) {
    static const char text[] = "hello \xc3\xa9 [S] ab <x> hello";
    /* The ceiling rises by steps: every request is refused at some of them. */
    for (size_t limit = 1; limit < 4u << 20; limit += limit / 50 + 64) {
        text_tokenizer *t;
        nib_error err;
        text_encoding e;
        heap.limit = limit;
        nib_status status = text_tokenizer_load(&heap, WHOLE, strlen(WHOLE), &t, &err);
        assert_true(status == NIB_OK || status == NIB_OUT_OF_MEMORY);
        if (status == NIB_OK) {
            for (size_t more = 0; more < 1u << 20; more += more / 20 + 64) {
                heap.limit = heap.current + more + 1;
                text_encoding_init(&e, &heap);
                status = text_encode(t, text, sizeof text - 1, text, sizeof text - 1, 0, true, &e, &err);
                assert_true(status == NIB_OK || status == NIB_OUT_OF_MEMORY);
                assert_true(status == NIB_OK || e.count == 0);
                text_encoding_free(&e);
            }
            limit = 4u << 20;
        }
        text_tokenizer_free(t);
        heap.limit = 0;
        assert_int_equal(heap.current, 0);
    }
}

static void test_random_texts(void **state) {
    size_t length, n;
    text_tokenizer *t;
    text_encoding e;
    nib_error err;
    char *json = read_file(DATA "minilm-tokenizer.json", &length);
    assert_int_equal(text_tokenizer_load(&heap, json, length, &t, &err), NIB_OK);
    free(json);
    text_encoding_init(&e, &heap);
    for (int i = 0; i < 2000; i++) {
        size_t size = next_random() % (i % 100 ? 200 : 40000);
        uint8_t *bytes = malloc(size + !size);
        for (size_t k = 0; k < size; k++) {
            uint32_t r = next_random();
            bytes[k] = (uint8_t)r;
            if (i % 3 == 1) bytes[k] |= 0x80;
            if (i % 3 == 2) bytes[k] = (uint8_t) "[MASK] a\xcc\x81"[r % 10];
        }
        assert_int_equal(text_encode(t, (char *)bytes, size, NULL, 0, i % 5 ? 0 : 16, true, &e, &err), NIB_OK);
        uint32_t at = 0;
        for (size_t k = 1; k + 1 < e.count; k++) {
            assert_true(e.spans[k].begin <= e.spans[k].end && e.spans[k].end <= size && e.spans[k].begin >= at);
            at = e.spans[k].begin;
            assert_non_null(text_token(t, e.ids[k], &n));
        }
        free(bytes);
    }
    text_encoding_free(&e);
    text_tokenizer_free(t);
    assert_int_equal(heap.current, 0);
}

/* A quadratic step would take minutes here; the bound is wide enough for any sanitizer. */
static void test_long_texts(void **state) {
    static const char *const units[] = {"a",
                                        "ab",
                                        "\xe4\xb8\xad",
                                        "\xcc\x81",
                                        "\xff",
                                        "[",
                                        "[MASK",
                                        "##",
                                        " ",
                                        "\xe3\x80\xae\xe3\x80\xaf",
                                        ".",
                                        "\xed\x95\x9c",
                                        "[MASK]",
                                        "\xf0\x9d\x85\xa5\xe3\x80\xaf",
                                        "\xe2\x82",
                                        "\x01"};
    size_t length, size = 1 << 20;
    text_tokenizer *t;
    text_encoding e;
    nib_error err;
    char *json = read_file(DATA "minilm-tokenizer.json", &length), *text = malloc(size);
    assert_int_equal(text_tokenizer_load(&heap, json, length, &t, &err), NIB_OK);
    free(json);
    text_encoding_init(&e, &heap);
    for (size_t u = 0; u < BASE_COUNT(units); u++) {
        size_t n = strlen(units[u]);
        for (size_t i = 0; i < size; i++) text[i] = units[u][i % n];
        clock_t begin = clock();
        assert_int_equal(text_encode(t, text, size, NULL, 0, u % 2 ? 128 : 0, true, &e, &err), NIB_OK);
        double took = (double)(clock() - begin) / CLOCKS_PER_SEC;
        if (took > 20) fail_msg("1 MiB of \"%s\" took %.1f s", units[u], took);
        if (u == 0) assert_int_equal(e.ids[1], 100);
        if (u == 0) assert_int_equal(e.full_count, 3);
    }
    free(text);
    text_encoding_free(&e);
    text_tokenizer_free(t);
}

/* Added tokens that are white space in white space that they take in: as the library does it, and in linear time. */
static void test_long_spaces(void **state) {
    static const char *const flags[] = {"", ",\"rstrip\":true", ",\"lstrip\":true", ",\"lstrip\":true,\"rstrip\":true"};
    enum { SIZE = 1 << 18 };
    char *text = malloc(SIZE);
    for (size_t i = 0; i < SIZE; i++) text[i] = i % 2 ? '\t' : ' ';
    for (size_t i = 0; i < 32; i++) {
        char json[1000];
        text_tokenizer *t;
        text_encoding e;
        nib_error err;
        const char *normalized = i / 16 ? ",\"normalized\":true" : "";
        sprintf(json, "{" MODEL(SMALL) ",\"added_tokens\":[{\"id\":8,\"content\":\" \"%s%s},{\"id\":9,\"content\":\"\\t\"%s%s}]}",
                flags[i % 4], normalized, flags[i / 4 % 4], normalized);
        if (text_tokenizer_load(&heap, json, strlen(json), &t, &err) != NIB_OK) fail_msg("%s", err.message);
        text_encoding_init(&e, &heap);
        clock_t begin = clock();
        assert_int_equal(text_encode(t, text, SIZE, NULL, 0, 0, true, &e, &err), NIB_OK);
        double took = (double)(clock() - begin) / CLOCKS_PER_SEC;
        if (took > 20) fail_msg("%s took %.1f s", json, took);
        for (size_t k = 0; k < e.count; k++) assert_true(e.spans[k].begin < e.spans[k].end && e.spans[k].end <= SIZE);
        text_encoding_free(&e);
        text_tokenizer_free(t);
    }
    free(text);
}

static int setup(void **state) {
    base_heap_init(&heap, NULL);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_refusals),       cmocka_unit_test(test_cut_files),
                                       cmocka_unit_test(test_mutated_files),  cmocka_unit_test(test_out_of_memory),
                                       cmocka_unit_test(test_random_texts),   cmocka_unit_test(test_long_texts),
                                       cmocka_unit_test(test_long_templates), cmocka_unit_test(test_long_spaces)};
    return cmocka_run_group_tests(tests, setup, NULL);
}
