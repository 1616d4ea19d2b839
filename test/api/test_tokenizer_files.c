/* SPDX-License-Identifier: Apache-2.0
 *
 * Tokenizers of folders without a tokenizer.json: vocabularies of test/data/text/vocab with the small files of each
 * case (tools/make_vocab_goldens.py), against the ids, types and texts of transformers. And files that are cut off,
 * malformed or of a class that is not known: a status with a place, never more.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "base/base_json.h"
#include <nib/nib.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define VOCAB NIB_TEST_DATA "/text/vocab/"
#define MOST 4096
#define MOST_IN_WINDOWS 65536

static nib_error e;
static char folder[] = "/tmp/nib-files-XXXXXX";
static char *cases_text;
static yyjson_doc *cases;
static nib_runtime *runtime;

static char *read_all(const char *path, size_t *n) {
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    char *bytes = malloc(1 << 20);
    *n = fread(bytes, 1, 1 << 20, f);
    assert_true(*n < 1 << 20);
    fclose(f);
    return bytes;
}

static void put(const char *name, const char *bytes, size_t n) {
    char path[200];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    fclose(f);
}

static void put_text(const char *name, const char *text) { put(name, text, strlen(text)); }

static void copy(const char *from, const char *to) {
    char path[300];
    size_t n;
    snprintf(path, sizeof path, VOCAB "%s", from);
    char *bytes = read_all(path, &n);
    put(to, bytes, n);
    free(bytes);
}

static void clear_folder(void) {
    char command[100];
    snprintf(command, sizeof command, "rm -rf %s && mkdir %s", folder, folder);
    assert_int_equal(system(command), 0);
}

static int begin(void **state) {
    nib_runtime_options o;
    size_t n;
    nib_runtime_defaults(&o, sizeof o);
    o.threads = 1;
    if (!mkdtemp(folder) || nib_runtime_create(&o, &runtime, &e) != NIB_OK) return 1;
    cases_text = read_all(VOCAB "cases.json", &n);
    cases = yyjson_read(cases_text, n, 0);
    return cases == NULL;
}

static int end(void **state) {
    char command[100];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    nib_runtime_free(runtime);
    yyjson_doc_free(cases);
    free(cases_text);
    return system(command);
}

/* ---- against transformers */

static void check_numbers(const char *name, const char *text, yyjson_val *want, const int32_t *got, size_t count) {
    size_t i, n;
    yyjson_val *v;
    if (yyjson_arr_size(want) != count)
        fail_msg("%s: \"%s\" has %zu tokens, not %zu", name, text, count, yyjson_arr_size(want));
    yyjson_arr_foreach(want, i, n, v) if (yyjson_get_int(v) != got[i])
        fail_msg("%s: \"%s\": token %zu is %d, not %d", name, text, i, got[i], yyjson_get_int(v));
}

static void check_row(const char *name, const nib_tokenizer *t, yyjson_val *texts, size_t i, yyjson_val *row) {
    int32_t ids[MOST], types[MOST];
    char text[MOST];
    size_t count, n;
    nib_encode_options o;
    yyjson_val *v = yyjson_arr_get(texts, i);
    nib_encode_defaults(&o, sizeof o);
    o.max_tokens = 0;
    assert_int_equal(nib_encode(t, yyjson_get_str(v), yyjson_get_len(v), &o, ids, MOST, &count, &e), NIB_OK);
    check_numbers(name, yyjson_get_str(v), yyjson_arr_get(row, 0), ids, count);
    assert_int_equal(nib_decode(t, ids, count, 0, text, sizeof text, &n, &e), NIB_OK);
    yyjson_val *want = yyjson_arr_get(row, 1);
    if (n != yyjson_get_len(want) || memcmp(text, yyjson_get_str(want), n) != 0)
        fail_msg("%s: text %zu becomes \"%s\" again, not \"%s\"", name, i, text, yyjson_get_str(want));
    if (yyjson_arr_size(row) == 2) return;
    yyjson_val *before = i ? yyjson_arr_get(texts, i - 1) : yyjson_arr_get_last(texts);
    o.pair = yyjson_get_str(before);
    o.pair_length = yyjson_get_len(before);
    o.types = types;
    assert_int_equal(nib_encode(t, yyjson_get_str(v), yyjson_get_len(v), &o, ids, MOST, &count, &e), NIB_OK);
    check_numbers(name, yyjson_get_str(v), yyjson_arr_get(row, 2), ids, count);
    check_numbers(name, yyjson_get_str(v), yyjson_arr_get(row, 3), types, count);
}

/* Windows, of which the golden holds twelve at most. */
static void check_cut(const char *name, const nib_tokenizer *t, yyjson_val *texts, yyjson_val *row) {
    static int32_t ids[MOST_IN_WINDOWS], types[MOST_IN_WINDOWS];
    static size_t begins[MOST_IN_WINDOWS];
    size_t count, windows, i, n;
    nib_encode_options o;
    yyjson_val *first = yyjson_arr_get(texts, (size_t)yyjson_get_int(yyjson_arr_get(row, 0))), *window;
    const int second = yyjson_get_int(yyjson_arr_get(row, 1));
    nib_encode_defaults(&o, sizeof o);
    if (second >= 0) o.pair = yyjson_get_str(yyjson_arr_get(texts, (size_t)second));
    if (second >= 0) o.pair_length = yyjson_get_len(yyjson_arr_get(texts, (size_t)second));
    o.max_tokens = yyjson_get_int(yyjson_arr_get(row, 2));
    o.stride = yyjson_get_int(yyjson_arr_get(row, 3));
    o.cut = (nib_cut)yyjson_get_int(yyjson_arr_get(row, 4));
    o.cut_front = yyjson_get_int(yyjson_arr_get(row, 5));
    o.types = types;
    o.windows = 1;
    o.window_begins = begins;
    o.window_capacity = MOST_IN_WINDOWS;
    o.window_count = &windows;
    const nib_status status =
        nib_encode(t, yyjson_get_str(first), yyjson_get_len(first), &o, ids, MOST_IN_WINDOWS, &count, &e);
    if (status != NIB_OK) fail_msg("%s: %s", name, e.message);
    assert_true(count <= MOST_IN_WINDOWS && windows <= MOST_IN_WINDOWS);
    yyjson_val *want = yyjson_arr_get(row, 6);
    const size_t kept = yyjson_arr_size(want);
    if (windows != kept && !(kept == 12 && windows > 12)) fail_msg("%s: %zu windows, not %zu", name, windows, kept);
    yyjson_arr_foreach(want, i, n, window) {
        const size_t to = i + 1 < windows ? begins[i + 1] : count;
        check_numbers(name, yyjson_get_str(first), yyjson_arr_get(window, 0), ids + begins[i], to - begins[i]);
        check_numbers(name, yyjson_get_str(first), yyjson_arr_get(window, 1), types + begins[i], to - begins[i]);
    }
    /* without windows there is the first */
    o.windows = 0;
    assert_int_equal(nib_encode(t, yyjson_get_str(first), yyjson_get_len(first), &o, ids, MOST_IN_WINDOWS, &count, &e),
                     NIB_OK);
    assert_int_equal(windows, 1);
    check_numbers(name, yyjson_get_str(first), yyjson_arr_get(yyjson_arr_get(want, 0), 0), ids, count);
}

static void folders_are_what_transformers_makes_of_them(void **state) {
    yyjson_val *root = yyjson_doc_get_root(cases), *one, *key, *v;
    yyjson_val *texts = yyjson_obj_get(root, "texts");
    size_t i, n, k, m, cut = 0;
    assert_true(yyjson_arr_size(yyjson_obj_get(root, "cases")) > 30);
    yyjson_arr_foreach(yyjson_obj_get(root, "cases"), i, n, one) {
        const char *name = yyjson_get_str(yyjson_obj_get(one, "name"));
        nib_tokenizer *t;
        clear_folder();
        yyjson_obj_foreach(yyjson_obj_get(one, "files"), k, m, key, v) {
            char *json = yyjson_is_str(v) ? NULL : yyjson_val_write(v, 0, NULL);
            if (json) put_text(yyjson_get_str(key), json);
            else copy(yyjson_get_str(v), yyjson_get_str(key));
            free(json);
        }
        if (nib_tokenizer_open(folder, runtime, &t, &e) != NIB_OK) fail_msg("%s: %s", name, e.message);
        yyjson_arr_foreach(yyjson_obj_get(one, "rows"), k, m, v) check_row(name, t, texts, k, v);
        yyjson_arr_foreach(yyjson_obj_get(one, "cuts"), k, m, v) check_cut(name, t, texts, v);
        cut += m;
        nib_tokenizer_free(t);
    }
    assert_true(cut >= 150);
}

/* A file by itself: SentencePiece's way, and BertTokenizer's. */
static void files_alone(void **state) {
    nib_tokenizer *t;
    int32_t ids[8];
    size_t n;
    assert_int_equal(nib_tokenizer_open(VOCAB "llama.model", runtime, &t, &e), NIB_OK);
    assert_int_equal(nib_encode(t, "<s>", 3, NULL, ids, 8, &n, &e), NIB_OK);
    assert_int_equal(n, 1);
    assert_int_equal(ids[0], 1);
    nib_tokenizer_free(t);
    assert_int_equal(nib_tokenizer_open(VOCAB "vocab.txt", runtime, &t, &e), NIB_OK);
    assert_int_equal(nib_encode(t, "A", 1, NULL, ids, 8, &n, &e), NIB_OK);
    assert_int_equal(n, 3);
    assert_int_equal(ids[0], 2);
    assert_int_equal(ids[2], 3);
    nib_tokenizer_free(t);
}

static void cuts_that_cannot_be(void **state) {
    nib_tokenizer *t;
    nib_encode_options o;
    int32_t ids[64];
    size_t n;
    assert_int_equal(nib_tokenizer_open(VOCAB "vocab.txt", runtime, &t, &e), NIB_OK);
    nib_encode_defaults(&o, sizeof o);
    o.max_tokens = 4;
    o.stride = 2;
    o.windows = 1;
    assert_int_equal(nib_encode(t, "a b c d", 7, &o, ids, 64, &n, &e), NIB_INVALID_ARGUMENT);
    assert_non_null(strstr(e.message, "windows of 2 tokens of a text cannot share 2"));
    o.stride = 1;
    assert_int_equal(nib_encode(t, "a b c d", 7, &o, ids, 64, &n, &e), NIB_OK);
    assert_int_equal(n, 12);
    o.cut = NIB_CUT_ONLY_SECOND;
    assert_int_equal(nib_encode(t, "a b c d", 7, &o, ids, 64, &n, &e), NIB_INVALID_ARGUMENT);
    o.cut = (nib_cut)4;
    assert_int_equal(nib_encode(t, "a", 1, &o, ids, 64, &n, &e), NIB_INVALID_ARGUMENT);
    nib_tokenizer_free(t);
}

/* ---- files that are wrong */

static nib_status open_folder(void) {
    nib_tokenizer *t;
    nib_status status = nib_tokenizer_open(folder, runtime, &t, &e);
    nib_tokenizer_free(t);
    return status;
}

static void expect(nib_status status, const char *words) {
    const nib_status got = open_folder();
    if (got != status || !strstr(e.message, words))
        fail_msg("status %d and \"%s\", not %d with \"%s\"", got, e.message, status, words);
}

/* Cut anywhere, a model lacks pieces, or a field is longer than what is left. */
static void models_that_are_cut_off(void **state) {
    size_t n, opened = 0;
    char *bytes = read_all(VOCAB "t5.model", &n);
    clear_folder();
    put_text("tokenizer_config.json", "{\"tokenizer_class\": \"T5Tokenizer\"}");
    for (size_t i = 0; i < n; i += 7) {
        put("spiece.model", bytes, i);
        const nib_status status = open_folder();
        opened += status == NIB_OK;
        if (status != NIB_OK && status != NIB_BAD_TOKENIZER) fail_msg("%zu bytes: %d, %s", i, status, e.message);
        if (status != NIB_OK && i > 100 && !strstr(e.message, "byte ") && !strstr(e.message, "unknown piece"))
            fail_msg("%zu bytes: %s", i, e.message);
    }
    assert_true(opened > 0 && opened < n / 7);
    put("spiece.model", "\x0a\x05\x0a\x01\xff\x18\x01", 7);
    expect(NIB_BAD_TOKENIZER, "byte 0: a piece that is not UTF-8");
    put("spiece.model", "\x0a\x05\x0a\x01z\x18\x07", 7);
    expect(NIB_BAD_TOKENIZER, "byte 5: a piece of no known type");
    put("spiece.model", "\x0a\x08\x0a\x01z\x15\x00\x00\xc0\x7f", 10);
    expect(NIB_BAD_TOKENIZER, "byte 0: a score that is no number");
    put("spiece.model", "\x0a\x03\x0a\x01z\x12\x02\x18\x04", 9);
    expect(NIB_UNSUPPORTED, "byte 7: it is neither Unigram nor BPE");
    free(bytes);
}

static void pieces_too_long_to_merge(void **state) {
    char model[600] = "\x0a\xaf\x02\x0a\xac\x02";
    memset(model + 6, 'a', 300);
    clear_folder();
    put_text("tokenizer_config.json", "{\"tokenizer_class\": \"LlamaTokenizer\"}");
    put("tokenizer.model", model, 306);
    expect(NIB_LIMIT, "piece 0 of a BPE has more than 256 bytes");
}

static void vocabularies_that_are_wrong(void **state) {
    clear_folder();
    expect(NIB_NOT_FOUND, "no vocabulary file");
    copy("vocab.txt", "vocab.txt");
    expect(NIB_UNSUPPORTED, "no class that is named is no class");
    put_text("tokenizer_config.json", "{\"tokenizer_class\": \"PhobertTokenizer\"}");
    expect(NIB_UNSUPPORTED, "PhobertTokenizer is no class of tokenizers that nib builds");
    put_text("tokenizer_config.json", "{\"tokenizer_class\": \"BertTokenizer\"}");
    put("vocab.txt", "a\n\xff\n", 4);
    expect(NIB_BAD_TOKENIZER, "vocab.txt, byte 2: a line that is not UTF-8");
    put_text("tokenizer_config.json", "{\"tokenizer_class\": \"GPT2Tokenizer\"}");
    put_text("vocab.json", "{\"a\": 0, \"b\": 1}");
    expect(NIB_NOT_FOUND, "without merges.txt");
    put_text("merges.txt", "#version: 0.2\na b c\n");
    expect(NIB_BAD_TOKENIZER, "merges.txt, byte 14: not two tokens");
    put_text("merges.txt", "a b\n");
    expect(NIB_BAD_TOKENIZER, "model.merges[0]");
    put_text("vocab.json", "{\"a\": -1}");
    expect(NIB_BAD_TOKENIZER, "vocab.json: the id of \"a\"");
    put_text("vocab.json", "[1]");
    expect(NIB_BAD_TOKENIZER, "vocab.json");
    put_text("vocab.json", "{\"a\": 0, \"b\": 1, \"ab\": 2}");
    put_text("tokenizer_config.json",
             "{\"tokenizer_class\": \"GPT2Tokenizer\", \"added_tokens_decoder\": {\"x\": {\"content\": \"a\"}}}");
    expect(NIB_BAD_MODEL, "added_tokens_decoder");
}

/* ---- memory that runs out, at every request */

static size_t granted;

static void *allocate(void *user, size_t bytes) {
    (void)user;
    return granted && granted-- ? aligned_alloc(64, (bytes + 63) & ~(size_t)63) : NULL;
}

static void release(void *user, void *pointer, size_t bytes) {
    (void)user, (void)bytes;
    free(pointer);
}

static void check_memory(const char *config, const char *from, const char *to) {
    bool opened = false;
    size_t failed = 0;
    clear_folder();
    put_text("tokenizer_config.json", config);
    copy(from, to);
    for (size_t n = 1; !opened && n < 20000; n++) {
        nib_runtime_options o;
        nib_runtime *rt = NULL;
        nib_tokenizer *t = NULL;
        nib_runtime_defaults(&o, sizeof o);
        o.threads = 1;
        o.allocate = allocate;
        o.release = release;
        granted = n;
        nib_status status = nib_runtime_create(&o, &rt, &e);
        if (status == NIB_OK) status = nib_tokenizer_open(folder, rt, &t, &e);
        opened = status == NIB_OK;
        failed += !opened;
        if (!opened && status != NIB_OUT_OF_MEMORY) fail_msg("%s: %zu requests: %d, %s", from, n, status, e.message);
        nib_tokenizer_free(t);
        nib_runtime_free(rt);
    }
    assert_true(opened && failed > 20);
}

static void memory_that_runs_out(void **state) {
    check_memory("{\"tokenizer_class\": \"GemmaTokenizer\", \"add_bos_token\": true}", "gemma.model",
                 "tokenizer.model");
    check_memory("{\"tokenizer_class\": \"BertTokenizer\", \"added_tokens_decoder\": {\"9\": {\"content\": \"x\"}}}",
                 "vocab.txt", "vocab.txt");
    check_memory("{\"tokenizer_class\": \"TokenizersBackend\"}", "odd.model", "tokenizer.model");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folders_are_what_transformers_makes_of_them),
        cmocka_unit_test(files_alone),
        cmocka_unit_test(cuts_that_cannot_be),
        cmocka_unit_test(models_that_are_cut_off),
        cmocka_unit_test(pieces_too_long_to_merge),
        cmocka_unit_test(vocabularies_that_are_wrong),
        cmocka_unit_test(memory_that_runs_out),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
