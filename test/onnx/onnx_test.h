/* SPDX-License-Identifier: Apache-2.0
 *
 * What the tests of the ONNX door share: a runtime as the state, paths of test data, loading with the error shown.
 */
#ifndef ONNX_TEST_H
#define ONNX_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "onnx/onnx.h"

static inline int test_runtime_setup(void **state) {
    nib_runtime_options options = {.size = sizeof options, .threads = 1};
    nib_error err;
    return base_runtime_create(&options, (nib_runtime **)state, &err) == NIB_OK ? 0 : -1;
}

/* Fails if a test left memory behind. */
static inline int test_runtime_teardown(void **state) {
    base_runtime_release(*state);
    return 0;
}

static inline const char *test_path(const char *file) {
    static char path[512];
    snprintf(path, sizeof path, "%s/onnx/%s", NIB_TEST_DATA, file);
    return path;
}

static inline void assert_loads(nib_runtime *runtime, const char *path, graph **out) {
    nib_error err = {0};
    nib_status status = onnx_load(runtime, path, out, &err);
    if (status != NIB_OK) fail_msg("%s: %s (node '%s', offset %lld)", path, err.message, err.node, (long long)err.offset);
    assert_non_null(*out);
}

#endif
