/* SPDX-License-Identifier: Apache-2.0
 *
 * Files of torch.save. In: those of test/data/tasks/m3-xlmr, broken in every way, and pickles made to do harm. Out:
 * tensors, or a status; never anything else.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/base_zip.h"
#include "hf/hf_torch.h"

#define FILE_OF(name) NIB_TEST_DATA "/tasks/m3-xlmr/" name

static base_heap heap;

static uint8_t *read_file(const char *path, size_t *size) {
    FILE *f = fopen(path, "rb");
    uint8_t *bytes = malloc(1 << 20);
    assert_non_null(f);
    assert_non_null(bytes);
    *size = fread(bytes, 1, 1 << 20, f);
    fclose(f);
    return bytes;
}

/* The status of these bytes, in a block of their own, so that a sanitizer sees who reads on. */
static nib_status read_bytes(const uint8_t *bytes, size_t size, size_t *count, nib_error *e) {
    base_arena arena;
    hf_torch_tensor *tensors;
    uint8_t *copy = malloc(size ? size : 1);
    assert_non_null(copy);
    if (size) memcpy(copy, bytes, size);
    base_arena_init(&arena, &heap);
    const nib_status status = hf_torch_read(&arena, copy, size, &tensors, count, e);
    volatile float sum = 0;
    for (size_t i = 0; status == NIB_OK && i < *count; i++) /* what it points to is there */
        for (size_t k = 0; k < tensors[i].tensor.bytes; k++) sum += ((const uint8_t *)tensors[i].tensor.data)[k];
    if (status != NIB_OK) assert_true(e->message[0]);
    base_arena_free(&arena);
    free(copy);
    return status;
}

static void a_state_dict_is_read(void **state) {
    static const struct {
        const char *path;
        int64_t rows;
    } files[] = {{FILE_OF("sparse_linear.pt"), 1}, {FILE_OF("colbert_linear.pt"), 32}};
    for (size_t i = 0; i < 2; i++) {
        base_arena arena;
        hf_torch_tensor *t;
        size_t size, count;
        nib_error e;
        uint8_t *bytes = read_file(files[i].path, &size);
        base_arena_init(&arena, &heap);
        if (hf_torch_read(&arena, bytes, size, &t, &count, &e) != NIB_OK) fail_msg("%s", e.message);
        assert_int_equal(count, 2);
        assert_string_equal(t[0].name, "weight");
        assert_string_equal(t[1].name, "bias");
        assert_int_equal(t[0].tensor.rank, 2);
        assert_int_equal(t[0].tensor.dims[0], files[i].rows);
        assert_int_equal(t[0].tensor.dims[1], 32);
        assert_int_equal(t[1].tensor.rank, 1);
        base_arena_free(&arena);
        free(bytes);
    }
}

static void a_broken_file_is_a_status(void **state) {
    size_t size, count, read = 0;
    nib_error e;
    uint8_t *bytes = read_file(FILE_OF("sparse_linear.pt"), &size);
    static const uint8_t flips[] = {0x01, 0x80, 0xff, 0x10};
    for (size_t i = 0; i < size; i++) {
        assert_int_not_equal(read_bytes(bytes, i, &count, &e), NIB_OK);
        for (size_t k = 0; k < sizeof flips; k++) {
            bytes[i] ^= flips[k];
            read += read_bytes(bytes, size, &count, &e) == NIB_OK;
            bytes[i] ^= flips[k];
        }
    }
    assert_true(read < size * sizeof flips);
    free(bytes);
}

/* ---- pickles of the test's own, in a zip that is sound */

static nib_status read_pickle(const void *pickle, size_t length, size_t storage, size_t *count, nib_error *e) {
    char path[] = "/tmp/nib-torch-XXXXXX";
    static const uint8_t zeros[256];
    base_writer *w;
    size_t size;
    const base_zip_entry entries[] = {{.name = "x/data.pkl", .parts = {pickle}, .sizes = {length}},
                                      {.name = "x/data/0", .parts = {zeros}, .sizes = {storage}}};
    close(mkstemp(path));
    assert_int_equal(base_writer_open(&heap, path, &w, e), NIB_OK);
    assert_int_equal(base_zip_write(&heap, w, entries, 2, e), NIB_OK);
    assert_int_equal(base_writer_commit(w, e), NIB_OK);
    uint8_t *bytes = read_file(path, &size);
    unlink(path);
    const nib_status status = read_bytes(bytes, size, count, e);
    free(bytes);
    return status;
}

#define OD "ccollections\nOrderedDict\n)R"
#define STORE(n)                                                                                                       \
    "(X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0"                                                                 \
    "0X\3\0\0\0cpuK" n "tQ"
#define TENSOR(store, rest) "\x80\2" OD "(X\1\0\0\0wctorch._utils\n_rebuild_tensor_v2\n(" store rest "tRu."
#define END_OF "\x89" OD

static void what_does_harm_is_refused(void **state) {
    static const struct {
        const char *pickle;
        size_t length;
        nib_status status;
        const char *said;
    } rows[] = {
#define ROW(pickle, status, said) {pickle, sizeof(pickle) - 1, status, said}
        ROW(TENSOR(STORE("\4"), "K\0K\2K\2\x86K\2K\1\x86" END_OF), NIB_OK, ""),
        ROW("\x80\2cos\nsystem\n(X\2\0\0\0lstR.", NIB_UNSUPPORTED, "system of os"),
        ROW("\x80\2cbuiltins\neval\n(X\1\0\0\0"
            "1tR.",
            NIB_UNSUPPORTED, "eval of builtins"),
        ROW("\x80\2ctorch\nload\n.", NIB_UNSUPPORTED, "load of torch"),
        ROW("\x80\2ctorch\nFloatStorage\n)R.", NIB_UNSUPPORTED, "no function"),
        ROW("\x80\2i", NIB_UNSUPPORTED, "step 0x69"),
        ROW("\x80\2]N\x61.", NIB_UNSUPPORTED, "step 0x5d"),
        ROW("\x80\2\x8c\2os\x8c\6system\x93.", NIB_UNSUPPORTED, "step 0x93"),
        ROW("\x80\2N.", NIB_UNSUPPORTED, "no dict of tensors"),
        ROW("\x80\2.", NIB_UNSUPPORTED, "no dict of tensors"),
        ROW("\x80\2(.", NIB_UNSUPPORTED, "no dict of tensors"),
        ROW("\x80\2h\7.", NIB_BAD_MODEL, "nobody has kept"),
        ROW("\x80\2r\xff\xff\xff\xff.", NIB_BAD_MODEL, "too few values"),
        ROW("\x80\2Nr\xff\xff\xff\xff.", NIB_LIMIT, "memo"),
        ROW("\x80\2X\xff\xff\xff\xff"
            "a.",
            NIB_BAD_MODEL, "cut off"),
        ROW("\x80\2X\xff\xff\xff\x7f"
            "a.",
            NIB_BAD_MODEL, "cut off"),
        ROW("\x80\2\x8a\xff.", NIB_UNSUPPORTED, "64 bits"),
        ROW("\x80\2t.", NIB_BAD_MODEL, "too few values"),
        ROW("\x80\2u.", NIB_BAD_MODEL, "too few values"),
        ROW("\x80\2s.", NIB_BAD_MODEL, "too few values"),
        ROW("\x80\2R.", NIB_BAD_MODEL, "too few values"),
        ROW("\x80\2Q.", NIB_UNSUPPORTED, "no storage"),
        ROW("\x80\2" OD "K\1K\1s.", NIB_UNSUPPORTED, "no text"),
        ROW("\x80\2" OD "(X\1\0\0\0wu.", NIB_BAD_MODEL, "too few values"),
        ROW(TENSOR(STORE("\x41"), "K\0K\1\x85K\1\x85" END_OF), NIB_BAD_MODEL, "larger than its bytes"),
        ROW(TENSOR("(X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0"
                   "0X\3\0\0\0cpuJ\xff\xff\xff\x7ftQ",
                   "K\0K\1\x85K\1\x85" END_OF),
            NIB_BAD_MODEL, "larger than its bytes"),
        ROW(TENSOR("(X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0"
                   "0X\3\0\0\0cpu\x8a\10\0\0\0\0\0\0\0\x40tQ",
                   "K\0K\1\x85K\1\x85" END_OF),
            NIB_BAD_MODEL, "larger than its bytes"),
        ROW(TENSOR("(X\7\0\0\0storagectorch\nFloatStorage\nX\4\0\0\0../0X\3\0\0\0cpuK\1tQ", "K\0K\1\x85K\1\x85" END_OF),
            NIB_BAD_MODEL, "does not have"),
        ROW(TENSOR(STORE("\4"), "K\1K\2K\2\x86K\2K\1\x86" END_OF), NIB_BAD_MODEL, "leaves its storage"),
        ROW(TENSOR(STORE("\4"), "\x8a\10\xff\xff\xff\xff\xff\xff\xff\x7fK\2K\2\x86K\2K\1\x86" END_OF), NIB_BAD_MODEL,
            "leaves its storage"),
        ROW(TENSOR(STORE("\4"), "J\xff\xff\xff\xffK\2K\2\x86K\2K\1\x86" END_OF), NIB_BAD_MODEL, "leaves its storage"),
        ROW(TENSOR(STORE("\4"), "K\0K\2K\2\x86K\1K\2\x86" END_OF), NIB_UNSUPPORTED, "C order"),
        ROW(TENSOR(STORE("\4"), "K\0J\xff\xff\xff\xff\x85K\1\x85" END_OF), NIB_BAD_MODEL, "below 0"),
        ROW(TENSOR(STORE("\4"), "K\0\x8a\10\0\0\0\0\0\0\0\x40K\4\x86K\4K\1\x86" END_OF), NIB_BAD_MODEL,
            "more elements"),
        ROW(TENSOR(STORE("\4"), "K\0K\2\x85K\2K\1\x86" END_OF), NIB_BAD_MODEL, "do not fit"),
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        nib_error e = {0};
        size_t count;
        const nib_status status = read_pickle(rows[i].pickle, rows[i].length, 64, &count, &e);
        if (status != rows[i].status || (status != NIB_OK && !strstr(e.message, rows[i].said)))
            fail_msg("row %zu: %d, %s", i, (int)status, status == NIB_OK ? "read" : e.message);
        if (status == NIB_OK) assert_int_equal(count, 1);
    }
}

/* What would grow: a stack of marks, tuples within tuples, a value that is kept and taken again and again. */
static void what_grows_has_a_limit(void **state) {
    static char text[300 << 10];
    nib_error e;
    size_t count;
    memset(text, '(', sizeof text);
    assert_int_equal(read_pickle(text, 100000, 64, &count, &e), NIB_LIMIT);
    assert_int_equal(read_pickle(text, sizeof text, 64, &count, &e), NIB_LIMIT);
    memset(text, 'N', 2);
    memset(text + 1, '\x85', 100000); /* ((((None,),),),) */
    text[100000] = '.';
    assert_int_equal(read_pickle(text, 100001, 64, &count, &e), NIB_UNSUPPORTED);
    for (size_t i = 0; i < 30000; i++) memcpy(text + i * 3, i ? "\x86q\1" : "Nq\1", 3); /* too few for a pair */
    assert_int_equal(read_pickle(text, 90000, 64, &count, &e), NIB_BAD_MODEL);
    for (size_t i = 0; i < 20000; i++) memcpy(text + i * 5, "h\1\x86q\1", 5); /* x = (x, x), 2^20000 Nones by copies */
    memcpy(text, "Nq\1Nq", 5);
    text[5] = 1;
    text[100000] = '.';
    assert_int_not_equal(read_pickle(text, 100001, 64, &count, &e), NIB_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_state_dict_is_read),
        cmocka_unit_test(a_broken_file_is_a_status),
        cmocka_unit_test(what_does_harm_is_refused),
        cmocka_unit_test(what_grows_has_a_limit),
    };
    base_heap_init(&heap, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
