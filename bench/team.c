/* SPDX-License-Identifier: Apache-2.0
 *
 * One text on one thread and on several: `make bench-team`, or bench-team MODEL [PRECISION [THREADS]]. In: a model. Out: for texts of 1 to
 * 256 tokens, microseconds of a call on one thread, on several, and their ratio: medians of pairs of turns that alternate.
 */
#include <nib/nib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { TURNS = 31, MOST = 256 };

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_size(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void fail(const nib_error *e) {
    fprintf(stderr, "bench-team: %s\n", e->message);
    exit(1);
}

static nib_model *open_on(const char *path, nib_precision precision, int threads) {
    nib_runtime_options r;
    nib_model_options o;
    nib_runtime *rt;
    nib_model *m;
    nib_error e;
    nib_runtime_defaults(&r, sizeof r);
    r.threads = threads;
    if (nib_runtime_create(&r, &rt, &e) != NIB_OK) fail(&e);
    nib_model_defaults(&o, sizeof o);
    o.runtime = rt;
    o.precision = precision;
    if (nib_model_open(path, &o, &m, &e) != NIB_OK) fail(&e);
    nib_runtime_free(rt);
    return m;
}

/* Seconds of a call, the mean of as many as take two milliseconds. */
static double turn(nib_model *m, const int32_t *ids, int64_t n, float *out) {
    nib_error e;
    const double begun = now();
    double end = begun;
    int calls = 0;
    for (; end - begun < 2e-3; end = now(), calls++)
        if (nib_embed_ids(m, &ids, &n, 1, NULL, out, &e) != NIB_OK) fail(&e);
    return (end - begun) / calls;
}

int main(int argc, char **argv) {
    static const int64_t lengths[] = {1, 2, 4, 8, 16, 24, 32, 48, 64, 128, MOST};
    nib_precision precision = NIB_PRECISION_FILE;
    int32_t ids[MOST];
    if (argc < 2 || (argc > 2 && nib_precision_from_name(argv[2], &precision) != NIB_OK)) {
        fprintf(stderr, "bench-team MODEL [PRECISION [THREADS]]\n");
        return 2;
    }
    const int threads = argc > 3 ? atoi(argv[3]) : 2;
    nib_model *one = open_on(argv[1], precision, 1), *many = open_on(argv[1], precision, threads);
    const size_t bytes = sizeof(float) * (size_t)nib_model_dim(one);
    float *a = malloc(bytes), *b = malloc(bytes);
    for (int i = 0; i < MOST; i++) ids[i] = 1000 + i * 37 % 20000;
    printf("%7s %10s %10s %7s\n", "tokens", "1 thread", "threads", "ratio");
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        double t[2][TURNS], ratio[TURNS];
        for (int k = -2; k < TURNS; k++) {
            const double x = turn(one, ids, lengths[i], a), y = turn(many, ids, lengths[i], b);
            if (k >= 0) t[0][k] = x, t[1][k] = y, ratio[k] = y / x;
        }
        if (memcmp(a, b, bytes) != 0) return fprintf(stderr, "bench-team: other bits\n"), 1;
        for (int k = 0; k < 2; k++) qsort(t[k], TURNS, sizeof **t, by_size);
        qsort(ratio, TURNS, sizeof *ratio, by_size);
        printf("%7d %7.0f us %7.0f us %7.2f\n", (int)lengths[i], 1e6 * t[0][TURNS / 2], 1e6 * t[1][TURNS / 2], ratio[TURNS / 2]);
    }
    nib_model_free(one);
    nib_model_free(many);
    free(a);
    free(b);
    return 0;
}
