/* SPDX-License-Identifier: Apache-2.0
 *
 * What the tests of base share: cmocka with its headers, and a temporary folder that tests fill and clear.
 */
#ifndef BASE_TEST_H
#define BASE_TEST_H

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

static char test_dir[64];

static inline int test_remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw) { return remove(path); }

static inline int test_dir_make(void **state) {
    strcpy(test_dir, "/tmp/nib-base-XXXXXX");
    return mkdtemp(test_dir) ? 0 : -1;
}

static inline int test_dir_remove(void **state) { return nftw(test_dir, test_remove_one, 8, FTW_DEPTH | FTW_PHYS); }

/* The path of a name in the folder; the last few results stay valid. */
static inline const char *in_dir(const char *name) {
    static char paths[8][400];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", test_dir, name);
    return path;
}

static inline void write_text(const char *path, const char *text) {
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
    assert_int_equal(fclose(f), 0);
}

#endif
