/* SPDX-License-Identifier: Apache-2.0
 *
 * What it gives to store vectors in one pass, and to do it by vectors: `make bench-vectors`. In: nothing. Out: a line a
 * question: nanoseconds a vector of both ways and their ratio, of 384 and 768 numbers; medians of alternating rounds,
 * one thread. The plain code is compiled without vectorizing.
 */
#include <math.h>
#include <nib/nib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define VECTORS 4096
#define TOKENS 8 /* of a text */
#define MOST 768
#define CUT 256
#define ROUNDS 15
#define DOCUMENTS 100000

static float *rows, *tokens, *wide, *narrow, ranges[2 * MOST];
static unsigned char *out;
static int64_t width, offsets[VECTORS + 1];
static nib_error e;

static void must(nib_status status) {
    if (status == NIB_OK) return;
    fprintf(stderr, "bench: %s\n", e.message);
    exit(1);
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

/* Seconds of each way, in the middle of alternating rounds. */
static void race(const char *what, void (*one)(void), void (*other)(void), double each) {
    double a[ROUNDS], b[ROUNDS];
    for (int i = 0; i < ROUNDS; i++) {
        double t = now();
        one();
        a[i] = now() - t;
        t = now();
        other();
        b[i] = now() - t;
    }
    qsort(a, ROUNDS, sizeof *a, by_size);
    qsort(b, ROUNDS, sizeof *b, by_size);
    const double x = a[ROUNDS / 2], y = b[ROUNDS / 2];
    printf("%-44s %4lld  %8.1f ns  %8.1f ns  %5.2fx\n", what, (long long)width, 1e9 * x / each, 1e9 * y / each, y / x);
}

static nib_vector_options stored(nib_vector_type type, int64_t dimensions, int normalize, int64_t of) {
    nib_vector_options o;
    nib_vector_options_defaults(&o, sizeof o);
    o.type = type;
    o.dimensions = dimensions;
    o.normalize = normalize;
    o.ranges = ranges;
    o.ranges_width = dimensions ? dimensions : of;
    return o;
}

static void convert(const float *from, int64_t of, nib_vector_type type, int64_t dimensions, int normalize, void *to) {
    const nib_vector_options o = stored(type, dimensions, normalize, of);
    must(nib_vectors_convert(from, VECTORS, of, &o, to, &e));
}
static void pool(nib_vector_type type, int64_t dimensions, int normalize, void *to) {
    const nib_vector_options o = stored(type, dimensions, normalize, width);
    must(nib_vectors_pool(tokens, offsets, VECTORS, width, NIB_POOLING_MEAN, &o, to, &e));
}

/* ---- one pass, and several */
static void pool_unit(void) { pool(NIB_VECTOR_F32, 0, 1, wide); }
static void pool_then_unit(void) {
    pool(NIB_VECTOR_F32, 0, 0, wide);
    convert(wide, width, NIB_VECTOR_F32, 0, 1, narrow);
}
static void pool_bits(void) { pool(NIB_VECTOR_UBINARY, CUT, 1, out); }
static void pool_then_bits(void) {
    pool(NIB_VECTOR_F32, 0, 0, wide);
    convert(wide, width, NIB_VECTOR_F32, CUT, 1, narrow);
    convert(narrow, CUT, NIB_VECTOR_UBINARY, 0, 0, out);
}
static nib_vector_type type_now;
static void cut_and_store(void) { convert(rows, width, type_now, CUT, 1, out); }
static void cut_then_store(void) {
    convert(rows, width, NIB_VECTOR_F32, CUT, 1, narrow);
    convert(narrow, CUT, type_now, 0, 0, out);
}

/* ---- plain code */
static void plain_store(void) {
    for (int r = 0; r < VECTORS; r++) {
        const float *x = rows + r * width;
        float squares = 0;
        for (int i = 0; i < CUT; i++) squares += x[i] * x[i];
        const float norm = sqrtf(squares) < 1e-12f ? 1e-12f : sqrtf(squares);
        for (int i = 0; i < CUT; i++) {
            const float v = x[i] / norm, lo = ranges[i], step = (ranges[CUT + i] - lo) / 255;
            if (type_now == NIB_VECTOR_F32) wide[r * CUT + i] = v;
            else if (type_now == NIB_VECTOR_UBINARY)
                out[r * CUT / 8 + i / 8] = (unsigned char)(out[r * CUT / 8 + i / 8] << 1 | (v > 0));
            else {
                float t = (v - lo) / (step == 0 ? 1 : step);
                out[r * CUT + i] = (unsigned char)(t > 255 ? 255 : t > 0 ? t : 0);
            }
        }
    }
}

static nib_vectors query, documents;
static nib_runtime *runtime;
static nib_search_options how;
static void found(void) {
    nib_hit hits[10];
    must(nib_search(&query, &documents, 10, &how, hits, NULL, &e));
}
static volatile double sink;
static void plain_scores(void) {
    for (size_t d = 0; d < documents.n; d++) {
        double sum = 0;
        if (documents.type == NIB_VECTOR_F32) {
            const float *q = query.data, *x = (const float *)documents.data + d * (size_t)width;
            float dot = 0;
            for (int i = 0; i < width; i++) dot += q[i] * x[i];
            sum = (double)dot;
        } else if (documents.type == NIB_VECTOR_I8) {
            const signed char *q = query.data, *x = (const signed char *)documents.data + d * (size_t)width;
            int dot = 0;
            for (int i = 0; i < width; i++) dot += q[i] * x[i];
            sum = dot;
        } else {
            const unsigned char *q = query.data, *x = (const unsigned char *)documents.data + d * (size_t)width / 8;
            int differ = 0;
            for (int i = 0; i < width / 8; i++)
                for (unsigned u = (unsigned)(q[i] ^ x[i]); u; u &= u - 1) differ++;
            sum = differ;
        }
        sink = sum;
    }
}

static void race_search(const char *what, nib_vector_type type, nib_similarity similarity) {
    float *all = malloc(DOCUMENTS * (size_t)width * sizeof *all);
    char *bytes = malloc(DOCUMENTS * (size_t)width * sizeof *all);
    for (size_t i = 0; all && i < DOCUMENTS * (size_t)width; i++) all[i] = rows[i % (VECTORS * (size_t)width - 17)];
    if (!all || !bytes) exit(1);
    const nib_vector_options o = stored(type, 0, 1, width);
    must(nib_vectors_convert(all, DOCUMENTS, width, &o, bytes, &e));
    documents = (nib_vectors){.type = type, .data = bytes, .n = DOCUMENTS, .width = width};
    query = documents;
    query.n = 1;
    how.similarity = similarity;
    race(what, found, plain_scores, DOCUMENTS);
    free(all);
    free(bytes);
}

static void race_all(void) {
    race("pool + L2: one pass, two", pool_unit, pool_then_unit, VECTORS);
    race("pool + cut + L2 + bits: one pass, three", pool_bits, pool_then_bits, VECTORS);
    for (int i = 0; i < 3; i++) {
        static const nib_vector_type types[] = {NIB_VECTOR_F16, NIB_VECTOR_U8, NIB_VECTOR_UBINARY};
        char what[64];
        type_now = types[i];
        snprintf(what, sizeof what, "cut + L2 + %s: one pass, two", nib_vector_type_name(type_now));
        race(what, cut_and_store, cut_then_store, VECTORS);
    }
    for (int i = 0; i < 3; i++) {
        static const nib_vector_type types[] = {NIB_VECTOR_F32, NIB_VECTOR_U8, NIB_VECTOR_UBINARY};
        char what[64];
        type_now = types[i];
        snprintf(what, sizeof what, "cut + L2 + %s: nib, plain code", nib_vector_type_name(type_now));
        race(what, cut_and_store, plain_store, VECTORS);
    }
    race_search("search of 100,000, f32 dot: nib, plain code", NIB_VECTOR_F32, NIB_SIMILARITY_DOT);
    race_search("search of 100,000, int8 dot: nib, plain code", NIB_VECTOR_I8, NIB_SIMILARITY_DOT);
    race_search("search of 100,000, bits: nib, plain code", NIB_VECTOR_UBINARY, NIB_SIMILARITY_AUTO);
}

int main(void) {
    nib_runtime_options r;
    unsigned seed = 5;
    nib_runtime_defaults(&r, sizeof r);
    r.threads = 1;
    must(nib_runtime_create(&r, &runtime, &e));
    nib_search_defaults(&how, sizeof how);
    how.runtime = runtime;
    const size_t all = VECTORS * (size_t)MOST;
    rows = malloc(all * sizeof *rows);
    wide = malloc(all * sizeof *wide);
    narrow = malloc(all * sizeof *narrow);
    out = malloc(all);
    tokens = malloc(all * TOKENS * sizeof *tokens);
    if (!rows || !wide || !narrow || !out || !tokens) return 1;
    for (size_t i = 0; i < all; i++) rows[i] = (float)((seed = seed * 1664525u + 1013904223u) >> 8) / 8388608.0f - 1;
    for (size_t i = 0; i < all * TOKENS; i++) tokens[i] = rows[(i * 7) % (all - 3)];
    for (int i = 0; i < 2 * MOST; i++) ranges[i] = 0;
    for (int64_t i = 0; i <= VECTORS; i++) offsets[i] = i * TOKENS;
    printf("%s, one thread\n", nib_cpu_name());
    for (width = 384; width <= MOST; width += 384) {
        for (int64_t i = 0; i < width; i++) ranges[i] = -0.1f, ranges[width + i] = 0.1f;
        for (int64_t i = 0; i < CUT; i++) ranges[CUT + i] = 0.1f;
        for (int64_t i = 0; i < CUT; i++) ranges[i] = -0.1f;
        race_all();
    }
    nib_runtime_free(runtime);
    return 0;
}
