/* SPDX-License-Identifier: Apache-2.0
 *
 * Goldens of vectors: test/data/vectors, which tools/make_vector_goldens.py writes, as tensors.
 */
#ifndef TEST_VECTORS_H
#define TEST_VECTORS_H

#include <nib/nib.h>
#include <stdio.h>

enum { N = 40, QUERIES = 3, WIDTH = 100, CUT = 52, TOP = 5, TIMES = 4 };

#define GOLDENS 24
static nib_tensor *golden_kept[GOLDENS];

/* Its data; freed at the end by free_goldens. */
static inline const void *golden(const char *name) {
    static int count;
    char path[600];
    nib_error e;
    snprintf(path, sizeof path, NIB_TEST_DATA "/vectors/%s.npy", name);
    if (count == GOLDENS) count = 0; /* the first are freed with the last */
    nib_tensor_free(golden_kept[count]);
    golden_kept[count] = NULL;
    if (nib_tensor_read(path, NIB_DTYPE_UNDEFINED, &golden_kept[count], &e) != NIB_OK) fail_msg("%s", e.message);
    return golden_kept[count++]->data;
}

static inline int free_goldens(void **state) {
    (void)state;
    for (int i = 0; i < GOLDENS; i++) nib_tensor_free(golden_kept[i]), golden_kept[i] = NULL;
    return 0;
}

#endif
