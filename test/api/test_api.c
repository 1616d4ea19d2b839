/* SPDX-License-Identifier: Apache-2.0
 *
 * nib.h's promises about arguments, files and names; no model needed.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <nib/nib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char folder[] = "/tmp/nib-api-XXXXXX";

static int make_folder(void **state) { return mkdtemp(folder) ? 0 : -1; }
static int drop_folder(void **state) {
    char command[100];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

static const char *in_folder(const char *name) {
    static char path[4][200];
    static int at;
    at = (at + 1) % 4;
    snprintf(path[at], sizeof path[at], "%s/%s", folder, name);
    return path[at];
}

static void names_and_texts(void **state) {
    assert_string_equal(nib_version(), NIB_VERSION);
    assert_string_equal(nib_status_text(NIB_OK), "ok");
    assert_string_equal(nib_status_text((nib_status)-999), "unknown status");
    assert_string_equal(nib_dtype_name(NIB_DTYPE_BF16), "bf16");
    assert_string_equal(nib_dtype_name((nib_dtype)99), "?");
    assert_int_equal(nib_dtype_bits(NIB_DTYPE_I4), 4);
    assert_int_equal(nib_dtype_bits(NIB_DTYPE_STRING), 0);
    assert_true(strlen(nib_cpu_name()) > 1);
}

static void wrong_arguments_are_told(void **state) {
    nib_error e;
    nib_model *m = (nib_model *)1;
    nib_runtime *rt = (nib_runtime *)1;
    nib_model_options o;
    nib_runtime_options r;
    assert_int_equal(nib_model_open(NULL, NULL, &m, &e), NIB_INVALID_ARGUMENT);
    assert_null(m);
    assert_int_equal(nib_model_open("x", NULL, NULL, &e), NIB_INVALID_ARGUMENT);
    assert_int_equal(nib_model_open("/no/such/model", NULL, &m, NULL), NIB_NOT_FOUND);
    nib_model_defaults(&o, sizeof o);
    o.size = 3;
    assert_int_equal(nib_model_open("x", &o, &m, &e), NIB_INVALID_ARGUMENT);
    nib_model_defaults(&o, sizeof o);
    o.pooling = (nib_pooling)77;
    assert_int_equal(nib_model_open("x", &o, &m, &e), NIB_INVALID_ARGUMENT);
    nib_runtime_defaults(&r, sizeof r);
    r.threads = -2;
    assert_int_equal(nib_runtime_create(&r, &rt, &e), NIB_INVALID_ARGUMENT);
    assert_null(rt);
    nib_runtime_defaults(&r, sizeof r);
    r.threads = 1 << 20;
    assert_int_equal(nib_runtime_create(&r, &rt, &e), NIB_INVALID_ARGUMENT);
    nib_model_free(NULL);
    nib_runtime_free(NULL);
    nib_session_free(NULL);
    nib_file_abort(NULL);
    nib_npy_abort(NULL);
}

/* A caller that was compiled against a shorter struct: what it lacks is the default. */
static void older_options_are_taken(void **state) {
    nib_error e;
    nib_runtime *rt;
    nib_runtime_options r;
    nib_runtime_defaults(&r, sizeof r);
    r.threads = 1;
    r.size = offsetof(nib_runtime_options, memory_limit);
    r.memory_limit = 1; /* not seen */
    assert_int_equal(nib_runtime_create(&r, &rt, &e), NIB_OK);
    nib_runtime_free(rt);
}

static void broken_models_are_told(void **state) {
    nib_error e;
    nib_model *m;
    const char *path = in_folder("not-a-model.onnx");
    FILE *f = fopen(path, "wb");
    fputs("this is not a model at all, only some text that goes on for a while", f);
    fclose(f);
    assert_int_equal(nib_model_open(path, NULL, &m, &e), NIB_BAD_MODEL);
    assert_true(strlen(e.message) > 5);
    f = fopen(path, "wb");
    fclose(f);
    assert_int_equal(nib_model_open(path, NULL, &m, &e), NIB_BAD_MODEL);
    assert_int_equal(nib_model_open(folder, NULL, &m, &e), NIB_NOT_FOUND);
    assert_non_null(strstr(e.message, "config.json"));
}

static size_t count_entries(void) {
    char command[120], line[20] = "";
    snprintf(command, sizeof command, "ls -A %s | wc -l", folder);
    FILE *p = popen(command, "r");
    assert_non_null(fgets(line, sizeof line, p));
    pclose(p);
    return (size_t)atoi(line);
}

static void npy_files_are_whole(void **state) {
    nib_error e;
    nib_npy *n;
    float rows[6] = {1, 2, 3, 4, 5, 6};
    unsigned char head[128 + 24];
    size_t before = count_entries();
    const char *path = in_folder("v.npy");
    assert_int_equal(nib_npy_create(path, 3, &n, &e), NIB_OK);
    assert_int_equal(nib_npy_append(n, rows, 1, &e), NIB_OK);
    assert_int_not_equal(access(path, F_OK), 0); /* not there before it is whole */
    assert_int_equal(nib_npy_append(n, rows + 3, 1, &e), NIB_OK);
    assert_int_equal(nib_npy_commit(n, &e), NIB_OK);
    FILE *f = fopen(path, "rb");
    assert_int_equal(fread(head, 1, sizeof head, f), sizeof head);
    fclose(f);
    assert_memory_equal(head, "\x93NUMPY\x01\x00\x76\x00", 10);
    assert_non_null(strstr((char *)head + 10, "'shape': (2, 3)"));
    assert_int_equal(head[127], '\n');
    assert_memory_equal(head + 128, rows, 24);
    assert_int_equal(nib_npy_create(path, 3, &n, &e), NIB_OK); /* given up: the old file stays, nothing else */
    assert_int_equal(nib_npy_append(n, rows, 2, &e), NIB_OK);
    nib_npy_abort(n);
    assert_int_equal(count_entries(), before + 1);
    assert_int_equal(nib_npy_create("/no/such/folder/v.npy", 3, &n, &e), NIB_IO);
    assert_null(n);
    assert_int_equal(nib_npy_create(folder, 3, &n, &e), NIB_IO); /* a folder */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_and_texts),        cmocka_unit_test(wrong_arguments_are_told), cmocka_unit_test(older_options_are_taken),
        cmocka_unit_test(broken_models_are_told), cmocka_unit_test(npy_files_are_whole),
    };
    return cmocka_run_group_tests(tests, make_folder, drop_folder);
}
