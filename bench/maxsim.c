/* SPDX-License-Identifier: Apache-2.0
 *
 * MaxSim by nib and by plain C in 16 lanes, which compilers make vectors of: `make bench-maxsim`. In: nothing. Out: a
 * line a type: microseconds a document of both ways and their ratio; a query of 32 rows, documents of 300, 128 numbers
 * a row; medians of alternating rounds, one thread.
 */
#include <nib/nib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { WIDTH = 128, QUERY = 32, ROWS = 300, DOCUMENTS = 64, ROUNDS = 15, LANES = 16 };

typedef float similarity_fn(const void *a, const void *b);

static float of_floats(const void *a, const void *b) {
    const float *x = a, *y = b;
    float lanes[LANES] = {0};
    for (int k = 0; k < WIDTH; k += LANES)
        for (int i = 0; i < LANES; i++) lanes[i] += x[k + i] * y[k + i];
    for (int half = LANES / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++) lanes[i] += lanes[i + half];
    return lanes[0];
}

static float of_bytes(const void *a, const void *b) {
    const int8_t *x = a, *y = b;
    int32_t sum = 0;
    for (int k = 0; k < WIDTH; k++) sum += (int32_t)x[k] * (int32_t)y[k];
    return (float)sum;
}

static float of_bits(const void *a, const void *b) {
    int differ = 0;
    for (int k = 0; k < WIDTH / 8; k += 8) {
        uint64_t p, q;
        memcpy(&p, (const char *)a + k, 8);
        memcpy(&q, (const char *)b + k, 8);
        differ += __builtin_popcountll(p ^ q);
    }
    return (float)(WIDTH - 2 * differ);
}

static float query_rows[QUERY * WIDTH], *document_rows, scores[DOCUMENTS], plain_scores[DOCUMENTS];
static int64_t offsets[DOCUMENTS + 1];

static void plain(similarity_fn *similarity, size_t row) {
    for (int d = 0; d < DOCUMENTS; d++) {
        double sum = 0;
        for (size_t i = 0; i < QUERY; i++) {
            float most = -1e30f;
            for (int64_t j = offsets[d]; j < offsets[d + 1]; j++) {
                const float s = similarity((char *)query_rows + i * row, (char *)document_rows + (size_t)j * row);
                if (!(s <= most)) most = s;
            }
            sum += (double)most;
        }
        plain_scores[d] = (float)sum;
    }
}

static double now(void) {
    struct timespec t;
    timespec_get(&t, TIME_UTC);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_size(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(void) {
    static const struct {
        nib_vector_type type;
        similarity_fn *similarity;
    } ways[] = {{NIB_VECTOR_F32, of_floats}, {NIB_VECTOR_I8, of_bytes}, {NIB_VECTOR_UBINARY, of_bits}};
    unsigned seed = 5;
    document_rows = malloc(sizeof *document_rows * DOCUMENTS * ROWS * WIDTH);
    if (!document_rows) return 1;
    for (int d = 0; d <= DOCUMENTS; d++) offsets[d] = (int64_t)d * ROWS;
    for (size_t i = 0; i < QUERY * WIDTH; i++) query_rows[i] = (float)((seed = seed * 1664525u + 1013904223u) >> 8);
    for (size_t i = 0; i < (size_t)DOCUMENTS * ROWS * WIDTH; i++)
        document_rows[i] = (float)((seed = seed * 1664525u + 1013904223u) >> 8);
    printf("%s, one thread: a query of %d rows, documents of %d, %d numbers\n", nib_cpu_name(), QUERY, ROWS, WIDTH);
    for (int w = 0; w < 3; w++) {
        nib_error e;
        double a[ROUNDS], b[ROUNDS];
        const nib_vectors q = {.type = ways[w].type, .data = query_rows, .n = QUERY, .width = WIDTH};
        const nib_vectors d = {.type = q.type, .data = document_rows, .n = DOCUMENTS * ROWS, .width = WIDTH};
        for (int i = 0; i < ROUNDS; i++) {
            double t = now();
            if (nib_maxsim(NULL, &q, &d, offsets, DOCUMENTS, scores, &e) != NIB_OK) return 1;
            a[i] = now() - t;
            t = now();
            plain(ways[w].similarity, nib_vector_bytes(q.type, WIDTH));
            b[i] = now() - t;
        }
        if (q.type != NIB_VECTOR_F32 && memcmp(scores, plain_scores, sizeof scores) != 0) return 1;
        qsort(a, ROUNDS, sizeof *a, by_size);
        qsort(b, ROUNDS, sizeof *b, by_size);
        const double x = 1e6 * a[ROUNDS / 2] / DOCUMENTS, y = 1e6 * b[ROUNDS / 2] / DOCUMENTS;
        printf("%-8s %8.1f us %8.1f us  %5.2fx\n", nib_vector_type_name(q.type), x, y, y / x);
    }
    free(document_rows);
    return 0;
}
