/* SPDX-License-Identifier: Apache-2.0
 *
 * Models that are opened from memory: the same bits as from the file, at any address, and nothing but what the bytes hold.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <nib/nib.h>
#include <unistd.h>
#include <cmocka.h>

#define TINY NIB_TEST_DATA "/nib/tiny"
#define ONNX NIB_TEST_DATA "/onnx/bert-tiny.ts.sdpa.onnx"
#define EXTERNAL NIB_TEST_DATA "/onnx/bert-tiny.dynamo.eager.onnx"
#define MOST 1024

static char folder[] = "/tmp/nib-memory-XXXXXX", compiled[100];

static int setup(void **state) {
    nib_error e;
    if (!mkdtemp(folder)) return -1;
    snprintf(compiled, sizeof compiled, "%s/m.nib", folder);
    return nib_compile_file(TINY, compiled, NULL, &e);
}

static int teardown(void **state) {
    unlink(compiled);
    return rmdir(folder);
}

/* The file's bytes, `shift` behind a multiple of 64; *block is to be freed. */
static const void *read_all(const char *path, size_t shift, size_t *size, char **block) {
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    fseek(f, 0, SEEK_END);
    *size = (size_t)ftell(f);
    rewind(f);
    *block = aligned_alloc(64, (*size + shift + 127) / 64 * 64);
    assert_int_equal(fread(*block + shift, 1, *size, f), *size);
    fclose(f);
    return *block + shift;
}

static void embed(nib_model *m, float *out) {
    static const int32_t a[] = {2, 5, 6, 9, 3}, b[] = {2, 7, 3};
    const int32_t *ids[] = {a, b};
    const int64_t lengths[] = {5, 3};
    nib_error e;
    assert_true(nib_model_dim(m) * 2 <= MOST);
    if (nib_embed_ids(m, ids, lengths, 2, NULL, out, &e) != NIB_OK) fail_msg("%s", e.message);
}

static void the_same_bits_as_from_the_file(void **state) {
    const char *paths[] = {ONNX, EXTERNAL, compiled};
    const size_t shifts[] = {0, 1, 8, 63};
    for (size_t i = 0; i < 3; i++)
        for (size_t k = 0; k < 4; k++) {
            static float want[MOST], got[MOST];
            nib_model *m;
            nib_error e;
            char *block;
            size_t size;
            if (nib_model_open(paths[i], NULL, &m, &e) != NIB_OK) fail_msg("%s", e.message);
            embed(m, want);
            const size_t bytes = 2 * (size_t)nib_model_dim(m) * sizeof(float);
            nib_model_free(m);
            const void *model = read_all(paths[i], shifts[k], &size, &block);
            const char *beside = i == 1 ? NIB_TEST_DATA "/onnx" : NULL;
            if (nib_model_open_memory(model, size, beside, NULL, &m, &e) != NIB_OK) fail_msg("%s: %s", paths[i], e.message);
            embed(m, got);
            assert_memory_equal(got, want, bytes);
            nib_model_free(m);
            free(block);
        }
}

static void a_folder_gives_the_tokenizer(void **state) {
    const char *text = "a nib writes";
    static float out[MOST], want[MOST];
    nib_model *m, *from_file;
    nib_error e;
    char *block;
    size_t size;
    const void *model = read_all(ONNX, 0, &size, &block);
    assert_int_equal(nib_model_open_memory(model, size, NULL, NULL, &m, &e), NIB_OK);
    assert_int_equal(nib_embed(m, &text, 1, NULL, out, &e), NIB_NOT_FOUND);
    assert_string_equal(e.message, "memory: it came from memory, without a folder that has a tokenizer.json");
    nib_model_free(m);
    assert_int_equal(nib_model_open_memory(model, size, TINY, NULL, &m, &e), NIB_OK);
    if (nib_embed(m, &text, 1, NULL, out, &e) != NIB_OK) fail_msg("%s", e.message);
    nib_model_free(m);
    free(block);
    model = read_all(compiled, 0, &size, &block); /* has its own */
    assert_int_equal(nib_model_open(TINY, NULL, &from_file, &e), NIB_OK);
    assert_int_equal(nib_embed(from_file, &text, 1, NULL, want, &e), NIB_OK);
    assert_int_equal(nib_model_open_memory(model, size, NULL, NULL, &m, &e), NIB_OK);
    assert_int_equal(nib_embed(m, &text, 1, NULL, out, &e), NIB_OK);
    assert_memory_equal(out, want, (size_t)nib_model_dim(m) * sizeof(float));
    nib_model_free(m);
    nib_model_free(from_file);
    free(block);
}

static void what_is_no_model_is_refused(void **state) {
    nib_model *m = (nib_model *)&m;
    nib_error e;
    char *block;
    size_t size;
    static const char text[] = "this is no model";
    const void *model = read_all(EXTERNAL, 0, &size, &block);
    assert_int_equal(nib_model_open_memory(model, size, NULL, NULL, &m, &e), NIB_UNSUPPORTED); /* external data */
    assert_non_null(strstr(e.message, "external data"));
    assert_null(m);
    free(block);
    assert_int_equal(nib_model_open_memory(text, sizeof text, NULL, NULL, &m, &e), NIB_BAD_MODEL);
    assert_int_equal(nib_model_open_memory(text, 0, NULL, NULL, &m, &e), NIB_BAD_MODEL);
    assert_int_equal(nib_model_open_memory(NULL, 5, NULL, NULL, &m, &e), NIB_INVALID_ARGUMENT);
    assert_int_equal(nib_model_open_memory(NULL, 0, TINY, NULL, &m, &e), NIB_INVALID_ARGUMENT);
    assert_int_equal(nib_model_open_memory(text, sizeof text, NULL, NULL, NULL, &e), NIB_INVALID_ARGUMENT);
    const char *paths[] = {ONNX, compiled}; /* cut anywhere */
    for (size_t i = 0; i < 2; i++) {
        model = read_all(paths[i], 0, &size, &block);
        for (size_t n = 0; n < size; n += n < 4096 ? 37 : 5003) {
            char *exact = malloc(n ? n : 1); /* so that a sanitizer sees a byte too many */
            memcpy(exact, model, n);
            nib_status status = nib_model_open_memory(exact, n, NULL, NULL, &m, &e);
            if (status == NIB_OK || m) fail_msg("%s opens with %zu of %zu bytes", paths[i], n, size);
            free(exact);
        }
        free(block);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_bits_as_from_the_file),
        cmocka_unit_test(a_folder_gives_the_tokenizer),
        cmocka_unit_test(what_is_no_model_is_refused),
    };
    return cmocka_run_group_tests_name("memory_model", tests, setup, teardown);
}
