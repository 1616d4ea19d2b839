/* SPDX-License-Identifier: Apache-2.0
 *
 * Goldens in tests: reads a small .npy file into a tensor that the caller frees with free(t.data).
 */
#ifndef TEST_NPY_H
#define TEST_NPY_H

#include <nib/nib.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static inline nib_tensor test_npy(const char *format, const char *a, const char *b) {
    char path[600], header[1024];
    nib_tensor t = {0};
    snprintf(path, sizeof path, format, a, b);
    FILE *f = fopen(path, "rb");
    if (!f) {
        fprintf(stderr, "golden %s is missing\n", path);
        abort();
    }
    unsigned char head[10];
    size_t n = fread(head, 1, 10, f), size = head[8] + 256u * head[9];
    if (n != 10 || size >= sizeof header || fread(header, 1, size, f) != size) abort();
    header[size] = 0;
    t.dtype = strstr(header, "'<i8'") ? NIB_DTYPE_I64 : NIB_DTYPE_F32;
    char *shape = strchr(strstr(header, "'shape'"), '(') + 1;
    for (t.bytes = t.dtype == NIB_DTYPE_I64 ? 8 : 4; *shape && *shape != ')';) {
        char *end;
        long long d = strtoll(shape, &end, 10);
        if (end == shape) break;
        t.dims[t.rank++] = d;
        t.bytes *= (size_t)d;
        shape = end + strspn(end, ", ");
    }
    t.data = malloc(t.bytes + 64);
    if (!t.data || fread(t.data, 1, t.bytes, f) != t.bytes) abort();
    fclose(f);
    return t;
}

/* Largest difference of two vectors, relative to the largest magnitude in the second. */
static inline double test_difference(const float *a, const float *b, size_t n) {
    double most = 0, size = 1e-30;
    for (size_t i = 0; i < n; i++) {
        double d = fabs((double)a[i] - (double)b[i]);
        if (!(d <= most)) most = d; /* NaN counts as the worst */
        if (fabs((double)b[i]) > size) size = fabs((double)b[i]);
    }
    return most / size;
}

static inline double test_cosine(const float *a, const float *b, size_t n) {
    double dot = 0, x = 0, y = 0;
    for (size_t i = 0; i < n; i++) dot += (double)a[i] * (double)b[i], x += (double)a[i] * (double)a[i], y += (double)b[i] * (double)b[i];
    return dot / sqrt(x * y);
}

#endif
