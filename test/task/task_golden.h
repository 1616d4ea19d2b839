/* SPDX-License-Identifier: Apache-2.0
 *
 * test/data/tasks: small models in folders, and what sentence-transformers and transformers make of texts, as
 * tools/make_task_goldens.py writes them.
 */
#ifndef TASK_GOLDEN_H
#define TASK_GOLDEN_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <nib/nib.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yyjson.h>

#define TASKS NIB_TEST_DATA "/tasks/"
#define MOST_TEXTS 32

static inline yyjson_doc *golden_open(const char *name) {
    char path[400];
    snprintf(path, sizeof path, TASKS "%s/golden.json", name);
    yyjson_doc *doc = yyjson_read_file(path, 0, NULL, NULL);
    if (!doc) fail_msg("%s cannot be read", path);
    return doc;
}

static inline nib_model *golden_model(const char *name, nib_precision precision, int threads) {
    char path[400];
    nib_runtime_options r;
    nib_model_options o;
    nib_error e;
    nib_model *m;
    snprintf(path, sizeof path, "%s%s", name[0] == '/' ? "" : TASKS, name);
    nib_runtime_defaults(&r, sizeof r);
    r.threads = threads;
    nib_model_defaults(&o, sizeof o);
    o.precision = precision;
    assert_int_equal(nib_runtime_create(&r, &o.runtime, &e), NIB_OK);
    if (nib_model_open(path, &o, &m, &e) != NIB_OK) fail_msg("%s: %s", path, e.message);
    nib_runtime_free(o.runtime);
    return m;
}

/* The strings of a list; returns how many. */
static inline size_t golden_texts(yyjson_val *list, const char **out) {
    size_t i, n;
    yyjson_val *v;
    assert_true(yyjson_arr_size(list) <= MOST_TEXTS);
    yyjson_arr_foreach(list, i, n, v) out[i] = yyjson_get_str(v);
    return yyjson_arr_size(list);
}

/* The folder of a golden again, with `file` in place of its own of that name; the path lives until the next call. */
static inline const char *golden_variant(const char *name, const char *file, const void *bytes, size_t size) {
    static char path[64];
    char command[900], at[200];
    strcpy(path, "/tmp/nib-task-XXXXXX");
    assert_non_null(mkdtemp(path));
    snprintf(command, sizeof command, "cp -r '" TASKS "%s'/* %s && rm -f %s/%s", name, path, path, file);
    assert_int_equal(system(command), 0);
    snprintf(at, sizeof at, "%s/%s", path, file);
    FILE *f = fopen(at, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, size, f), size);
    fclose(f);
    return path;
}

/* A golden's folder as nib_export_folder writes it, opened. It lies in a folder that `to`, room for 64, names; golden_remove. */
static inline nib_model *golden_exported(const char *name, char *to) {
    char from[300], out[80];
    nib_export_options o;
    nib_error e;
    strcpy(to, "/tmp/nib-task-XXXXXX");
    assert_non_null(mkdtemp(to));
    snprintf(from, sizeof from, TASKS "%s", name);
    snprintf(out, sizeof out, "%s/out", to);
    nib_export_defaults(&o, sizeof o);
    if (nib_export_folder(from, out, &o, &e) != NIB_OK) fail_msg("%s: %s", name, e.message);
    return golden_model(out, NIB_PRECISION_FILE, 2);
}

static inline void golden_remove(const char *path) {
    char command[100];
    snprintf(command, sizeof command, "rm -rf %s", path);
    assert_int_equal(system(command), 0);
}

/* A file of a golden's folder, to be freed. */
static inline char *golden_file(const char *name, const char *file, size_t *size) {
    char path[400];
    snprintf(path, sizeof path, TASKS "%s/%s", name, file);
    FILE *f = fopen(path, "rb");
    char *bytes = malloc(1 << 20);
    assert_non_null(f);
    assert_non_null(bytes);
    *size = fread(bytes, 1, 1 << 20, f);
    assert_true(*size < 1 << 20);
    fclose(f);
    return bytes;
}

#endif
