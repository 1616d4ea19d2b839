/* SPDX-License-Identifier: Apache-2.0
 *
 * MaxSim (Khattab and Zaharia, 2020). In: rows of a query and of documents, in floats, bytes or bits. Out: a score for
 * each document. Sums have 16 lanes in one order, so that a score's bits are its own; compilers make vectors of them.
 */
#include "task.h"
#include <math.h>
#include <string.h>

#define LANES 16

typedef float similarity_fn(const void *a, const void *b, int64_t width);

static float of_floats(const void *a, const void *b, int64_t width) {
    const float *x = a, *y = b;
    float lanes[LANES] = {0};
    int64_t k = 0;
    for (; k + LANES <= width; k += LANES)
        for (int i = 0; i < LANES; i++) lanes[i] += x[k + i] * y[k + i];
    for (int i = 0; k < width; k++, i++) lanes[i] += x[k] * y[k];
    for (int half = LANES / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++) lanes[i] += lanes[i + half];
    return lanes[0];
}

/* Of up to 2^16 products of at most 2^14: an i32 holds the sum. */
static float of_bytes(const void *a, const void *b, int64_t width) {
    const int8_t *x = a, *y = b;
    int32_t sum = 0;
    for (int64_t k = 0; k < width; k++) sum += (int32_t)x[k] * (int32_t)y[k];
    return (float)sum;
}

static int ones(uint64_t x) {
    x -= (x >> 1) & 0x5555555555555555u;
    x = (x & 0x3333333333333333u) + ((x >> 2) & 0x3333333333333333u);
    x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0fu;
    return (int)((x * 0x0101010101010101u) >> 56);
}

static float of_bits(const void *a, const void *b, int64_t width) {
    const uint8_t *x = a, *y = b;
    const int64_t bytes = (width + 7) / 8;
    int64_t differ = 0, k = 0;
    for (; k + 8 <= bytes; k += 8) {
        uint64_t p, q;
        memcpy(&p, x + k, 8);
        memcpy(&q, y + k, 8);
        differ += ones(p ^ q);
    }
    for (; k < bytes; k++) differ += ones((uint64_t)(x[k] ^ y[k]));
    return (float)(width - 2 * differ);
}

static const struct {
    similarity_fn *similarity;
    int bits; /* of a number */
} types[] = {[NIB_MAXSIM_F32] = {of_floats, 32}, [NIB_MAXSIM_INT8] = {of_bytes, 8}, [NIB_MAXSIM_BINARY] = {of_bits, 1}};

void task_maxsim(nib_maxsim_type type, const void *query, int64_t query_rows, const void *documents,
                 const int64_t *offsets, size_t n, int64_t width, float *scores) {
    const size_t row = ((size_t)width * (size_t)types[type].bits + 7) / 8;
    similarity_fn *similarity = types[type].similarity;
    for (size_t d = 0; d < n; d++) {
        double sum = 0;
        for (int64_t i = 0; i < query_rows; i++) {
            float most = -INFINITY;
            for (int64_t j = offsets[d]; j < offsets[d + 1]; j++) {
                const float s =
                    similarity((const char *)query + (size_t)i * row, (const char *)documents + (size_t)j * row, width);
                if (!(s <= most)) most = s; /* no number stays one, as nothing is above it */
                if (isnan(most)) break;
            }
            sum += (double)most;
        }
        scores[d] = (float)sum;
    }
}
