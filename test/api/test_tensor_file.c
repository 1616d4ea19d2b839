/* SPDX-License-Identifier: Apache-2.0
 *
 * Tensor files: each type through .npy and .pb and back; NumPy's other byte orders and orders of axes; files that no one should write.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <nib/nib.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[] = "/tmp/nib-tensor-XXXXXX", path[64];

static int set_up(void **state) {
    if (!mkdtemp(folder)) return -1;
    snprintf(path, sizeof path, "%s/t", folder);
    return 0;
}

static int tear_down(void **state) {
    unlink(path);
    return rmdir(folder); /* fails if a temporary file was left */
}

static void write_bytes(const void *bytes, size_t n) {
    FILE *f = fopen(path, "wb");
    assert_true(f && fwrite(bytes, 1, n, f) == n && fclose(f) == 0);
}

/* A .npy file of version 1. */
static size_t npy_file(char *out, const char *dict, const void *data, size_t n) {
    size_t length = strlen(dict);
    memcpy(out, "\x93NUMPY\1\0", 8);
    out[8] = (char)length;
    out[9] = (char)(length >> 8);
    memcpy(out + 10, dict, length);
    memcpy(out + 10 + length, data, n);
    return 10 + length + n;
}

static nib_status read_npy(const char *dict, const void *data, size_t n, nib_tensor **out) {
    char file[4000];
    nib_error err;
    write_bytes(file, npy_file(file, dict, data, n));
    return nib_tensor_read(path, NIB_DTYPE_UNDEFINED, out, &err);
}

static void each_type_round_trips(void **state) {
    nib_error err;
    nib_difference d;
    unsigned char bytes[7 * 16];
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (unsigned char)(i * 37 % 113);
    for (int dtype = 1; dtype <= NIB_DTYPE_I2; dtype++) {
        if (dtype == NIB_DTYPE_STRING) continue;
        nib_tensor t = {.dtype = (nib_dtype)dtype, .rank = 1, .dims = {7}, .data = bytes}, *got;
        t.bytes = (size_t)(7 * nib_dtype_bits(t.dtype) + 7) / 8;
        for (int rank = 0; rank < 4; rank++) { /* a scalar, 7, 7x0, 1x7x1 */
            if (rank == 0) t.rank = 0;
            if (rank == 2) t.rank = 2, t.dims[1] = 0;
            if (rank == 3) t.rank = 3, t.dims[0] = 1, t.dims[1] = 7, t.dims[2] = 1;
            for (int format = NIB_TENSOR_FORMAT_NPY; format <= NIB_TENSOR_FORMAT_PB; format++) {
                nib_status status = nib_tensor_write(path, &t, "t", (nib_tensor_format)format, &err);
                bool npy = dtype <= NIB_DTYPE_C128;
                if (format == NIB_TENSOR_FORMAT_NPY && !npy) {
                    assert_int_equal(status, NIB_UNSUPPORTED);
                    continue;
                }
                if (status != NIB_OK) fail_msg("%s: %s", nib_dtype_name(t.dtype), err.message);
                if (nib_tensor_read(path, NIB_DTYPE_UNDEFINED, &got, &err) != NIB_OK) fail_msg("%s", err.message);
                assert_int_equal(nib_tensor_compare(got, &t, 0, 0, &d, sizeof d), NIB_OK);
                if (!d.same) fail_msg("%s of rank %d: %s", nib_dtype_name(t.dtype), t.rank, d.message);
                if (rank != 2) assert_memory_equal(got->data, bytes, got->bytes - (nib_dtype_bits(t.dtype) < 8));
                nib_tensor_free(got);
            }
            t.rank = 1;
            t.dims[0] = 7;
        }
    }
}

static void containers_and_strings_round_trip(void **state) {
    nib_error err;
    nib_difference d;
    nib_string words[3] = {{"nib", 3}, {"", 0}, {"\xc3\xa9\n", 3}};
    float x[2] = {1, 2};
    nib_tensor inner[2] = {{.dtype = NIB_DTYPE_STRING, .rank = 1, .dims = {3}, .data = words, .bytes = sizeof words},
                           {.dtype = NIB_DTYPE_F32, .rank = 2, .dims = {2, 1}, .data = x, .bytes = sizeof x}};
    nib_tensor sequence = {.dtype = NIB_DTYPE_SEQUENCE, .rank = 1, .dims = {2}, .data = inner, .bytes = sizeof inner};
    nib_tensor none = {.dtype = NIB_DTYPE_OPTIONAL, .rank = 1};
    nib_tensor some = {.dtype = NIB_DTYPE_OPTIONAL, .rank = 1, .dims = {1}, .data = &sequence, .bytes = sizeof sequence};
    const nib_tensor *const all[] = {&inner[0], &sequence, &none, &some};
    for (int i = 0; i < 4; i++) {
        nib_tensor *got;
        if (nib_tensor_write(path, all[i], NULL, NIB_TENSOR_FORMAT_AUTO, &err) != NIB_OK) fail_msg("%s", err.message);
        if (nib_tensor_read(path, all[i]->dtype, &got, &err) != NIB_OK) fail_msg("%d: %s", i, err.message);
        assert_int_equal(nib_tensor_compare(got, all[i], 0, 0, &d, sizeof d), NIB_OK);
        if (!d.same) fail_msg("%d: %s", i, d.message);
        nib_tensor_free(got);
    }
    assert_int_equal(nib_tensor_write(path, &inner[0], NULL, NIB_TENSOR_FORMAT_NPY, &err), NIB_UNSUPPORTED);
    nib_tensor liar = {.dtype = NIB_DTYPE_F32, .rank = 1, .dims = {3}, .data = x, .bytes = sizeof x};
    assert_int_equal(nib_tensor_write(path, &liar, NULL, NIB_TENSOR_FORMAT_PB, &err), NIB_INVALID_ARGUMENT);
    assert_int_equal(nib_tensor_write(path, &liar, NULL, NIB_TENSOR_FORMAT_NPY, &err), NIB_INVALID_ARGUMENT);
}

static void numpys_other_forms_are_read(void **state) {
    nib_tensor *t;
    const unsigned char big[] = {0, 1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6};
    assert_int_equal(read_npy("{'descr': '>i2', 'fortran_order': False, 'shape': (2, 3), }\n", big, 12, &t), NIB_OK);
    for (int i = 0; i < 6; i++) assert_int_equal(((int16_t *)t->data)[i], i + 1);
    nib_tensor_free(t);
    assert_int_equal(read_npy("{\"shape\":(2,3),\"fortran_order\":True,\"descr\":\">i2\"}", big, 12, &t), NIB_OK);
    const int16_t turned[] = {1, 3, 5, 2, 4, 6};
    assert_memory_equal(t->data, turned, 12);
    nib_tensor_free(t);
    assert_int_equal(read_npy("{'descr': '|S3', 'fortran_order': False, 'shape': (2L,), }", "nibab\0", 6, &t), NIB_OK);
    assert_int_equal(((nib_string *)t->data)[1].length, 2);
    nib_tensor_free(t);
    const unsigned char text[] = {0xe9, 0, 0, 0, 'n', 0, 0, 0, 0, 0, 0, 0};
    assert_int_equal(read_npy("{'descr': '<U3', 'fortran_order': False, 'shape': (), }", text, 12, &t), NIB_OK);
    assert_int_equal(t->rank, 0);
    assert_int_equal(((nib_string *)t->data)[0].length, 3);
    assert_memory_equal(((nib_string *)t->data)[0].data, "\xc3\xa9n", 3);
    nib_tensor_free(t);
}

static void malformed_npy_files_are_refused(void **state) {
#define D(descr, order, shape) "{'descr': '" descr "', 'fortran_order': " order ", 'shape': " shape ", }"
    static const struct {
        const char *dict;
        nib_status status;
        size_t bytes;
    } cases[] = {
        {"", NIB_BAD_MODEL, 8},
        {"{}", NIB_BAD_MODEL, 8},
        {D("<f4", "False", "(2,)") " x", NIB_BAD_MODEL, 8},
        {D("<f4", "False", "(2,)"), NIB_BAD_MODEL, 9},
        {D("<f4", "False", "(3,)"), NIB_BAD_MODEL, 8},
        {D("<f4", "False", "(-2,)"), NIB_BAD_MODEL, 8},
        {D("<f4", "False", "(4611686018427387905,)"), NIB_BAD_MODEL, 4},
        {D("<f4", "False", "(4294967296, 4294967296)"), NIB_BAD_MODEL, 0},
        {D("<f4", "False", "(99999999999999999999,)"), NIB_BAD_MODEL, 8},
        {D("<f4", "False", "(1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,2)"), NIB_BAD_MODEL, 8},
        {D("<f4", "Maybe", "(2,)"), NIB_BAD_MODEL, 8},
        {D("<f4", "False", "2"), NIB_BAD_MODEL, 8},
        {"{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", NIB_BAD_MODEL, 8},
        {"{'descr': '<f4', 'shape': (2,)}", NIB_BAD_MODEL, 8},
        {"{'descr': '<f4", NIB_BAD_MODEL, 8},
        {D("|O", "False", "(1,)"), NIB_UNSUPPORTED, 8},
        {D("<f16", "False", "(1,)"), NIB_UNSUPPORTED, 16},
        {D("<M8[ns]", "False", "(1,)"), NIB_UNSUPPORTED, 8},
        {"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,)}", NIB_UNSUPPORTED, 8},
        {D("<U4611686018427387905", "False", "(1,)"), NIB_BAD_MODEL, 4},
        {D("|S0", "False", "(1000000000000,)"), NIB_BAD_MODEL, 0},
        {D("<U1", "False", "(1,)"), NIB_BAD_MODEL, 4}, /* 0xffffffff is no character */
    };
    unsigned char data[16];
    memset(data, 0xff, sizeof data);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        nib_tensor *t;
        nib_status status = read_npy(cases[i].dict, data, cases[i].bytes, &t);
        if (status != cases[i].status) fail_msg("%s: %s", cases[i].dict, nib_status_text(status));
        assert_null(t);
    }
    char file[4000];
    size_t n = npy_file(file, D("<f4", "False", "(2,)"), data, 8);
    for (size_t k = 0; k < n; k++) {
        nib_tensor *t;
        nib_error err;
        write_bytes(file, k);
        assert_int_not_equal(nib_tensor_read(path, NIB_DTYPE_UNDEFINED, &t, &err), NIB_OK);
        nib_tensor_free(t);
    }
    file[6] = 9;
    write_bytes(file, n);
    nib_tensor *t;
    assert_int_equal(nib_tensor_read(path, NIB_DTYPE_UNDEFINED, &t, NULL), NIB_UNSUPPORTED);
    assert_int_equal(nib_tensor_read("/no/such/file.npy", NIB_DTYPE_UNDEFINED, &t, NULL), NIB_NOT_FOUND);
    assert_int_equal(nib_tensor_read(folder, NIB_DTYPE_UNDEFINED, &t, NULL), NIB_IO);
}

static void differences_are_told(void **state) {
    float a[3] = {1, 2, 3}, b[3] = {1, 2.5f, 3};
    int64_t large[1] = {9007199254740993}, other[1] = {9007199254740992};
    nib_tensor x = {.dtype = NIB_DTYPE_F32, .rank = 1, .dims = {3}, .data = a, .bytes = sizeof a}, y = x;
    nib_tensor u = {.dtype = NIB_DTYPE_I64, .rank = 1, .dims = {1}, .data = large, .bytes = 8}, v = u;
    nib_difference d;
    y.data = b;
    assert_int_equal(nib_tensor_compare(&x, &y, 0, 0.1, &d, sizeof d), NIB_OK);
    assert_true(!d.same && d.wrong == 1 && d.first == 1 && d.elements == 3 && d.largest == 0.5);
    assert_non_null(strstr(d.message, "element 1 is 2, not 2.5"));
    assert_int_equal(nib_tensor_compare(&x, &y, 0.2, 0, &d, sizeof d), NIB_OK);
    assert_true(d.same && d.largest_relative == 0.2);
    v.data = other;
    assert_int_equal(nib_tensor_compare(&u, &v, 0, 0, &d, sizeof d), NIB_OK);
    assert_false(d.same); /* equal as doubles */
    assert_int_equal(nib_tensor_compare(&x, &u, 1, 1, &d, sizeof d), NIB_OK);
    assert_true(!d.same && d.wrong == 0 && strstr(d.message, "is f32[3], not i64[1]"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_type_round_trips),       cmocka_unit_test(containers_and_strings_round_trip),
        cmocka_unit_test(numpys_other_forms_are_read), cmocka_unit_test(malformed_npy_files_are_refused),
        cmocka_unit_test(differences_are_told),
    };
    return cmocka_run_group_tests_name("tensor files", tests, set_up, tear_down);
}
