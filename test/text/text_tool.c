/* SPDX-License-Identifier: Apache-2.0
 *
 * A tool for the scripts that compare nib with the tokenizers library; no test by itself, and built by them:
 *
 *     text_tool encode TOKENIZER.JSON [MAX_TOKENS] [pair] [plain] < records > encodings
 *     text_tool words TOKENIZER.JSON < records > words
 *     text_tool decode TOKENIZER.JSON [skip] < records of ids > records
 *     text_tool bench TOKENIZER.JSON [TEXTS [SECONDS [texts | cold | whole]]]
 *
 * A record is its length (4 bytes, in the machine's order) and its bytes; with "pair" two of them are one input. Out come
 * 32-bit numbers. "encode": for each input count, full count, then id, type, begin and end of every token. "words": for
 * each record the number of words before the model sees them, and for each begin and end in the record, the bytes of its
 * normalised form, and these. "bench" prints MB/s, text by text (those between NULs, or else lines), each with a fresh
 * encoding ("cold"), and as one text; without a text, the time that texts take which make a careless step quadratic.
 */
#include "text/text_internal.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static char *read_all(FILE *f, size_t *length) {
    size_t cap = 1 << 16, n = 0, got;
    char *data = malloc(cap + 1);
    while (data && (got = fread(data + n, 1, cap - n, f)) > 0)
        if ((n += got) == cap) data = realloc(data, (cap *= 2) + 1);
    if (data) data[n] = 0;
    *length = n;
    return data;
}

static char *read_path(const char *path, size_t *length) {
    FILE *f = fopen(path, "rb");
    char *data = f ? read_all(f, length) : NULL;
    if (f) fclose(f);
    return data;
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int encode(const text_tokenizer *t, base_heap *heap, int argc, char **argv) {
    text_encoding e;
    size_t length, at = 0;
    long long most = argc > 3 ? atoll(argv[3]) : -1;
    bool pair = false, special = true;
    for (int i = 4; i < argc; i++) {
        pair |= strcmp(argv[i], "pair") == 0;
        special &= strcmp(argv[i], "plain") != 0;
    }
    char *data = read_all(stdin, &length);
    text_encoding_init(&e, heap);
    while (data && at + 4 <= length) {
        const char *text[2] = {NULL, NULL};
        uint32_t n[2] = {0, 0};
        nib_error err;
        for (int k = 0; k <= (int)pair; k++) {
            memcpy(&n[k], data + at, 4);
            text[k] = data + at + 4;
            at += 4 + n[k];
        }
        int32_t head[2] = {-1, -1};
        if (text_encode(t, text[0], n[0], text[1], n[1], most, special, &e, &err) == NIB_OK) {
            head[0] = (int32_t)e.count;
            head[1] = (int32_t)e.full_count;
        } else {
            fprintf(stderr, "%s\n", err.message);
        }
        fwrite(head, 4, 2, stdout);
        for (size_t i = 0; i < e.count; i++) {
            int32_t row[4] = {e.ids[i], e.type_ids[i], (int32_t)e.spans[i].begin, (int32_t)e.spans[i].end};
            fwrite(row, 4, 4, stdout);
        }
    }
    text_encoding_free(&e);
    free(data);
    return 0;
}

/* Stage by stage, also where texts would go the fused way. */
static int words(const text_tokenizer *t, base_heap *heap) {
    size_t length;
    char *data = read_all(stdin, &length);
    text_work w = {.heap = heap};
    uint32_t n;
    for (size_t at = 0; data && at + 4 <= length; at += 4 + n) {
        memcpy(&n, data + at, 4);
        w.text = (const uint8_t *)data + at + 4;
        w.length = n;
        w.parts.count = 0;
        if (n) text_prepare(t, &w, 0, n);
        if (w.status != NIB_OK) return 1;
        int32_t count = (int32_t)w.parts.count;
        fwrite(&count, 4, 1, stdout);
        for (size_t i = 0; i < w.parts.count; i++) {
            const text_part *p = &w.parts.items[i];
            int32_t row[3] = {(int32_t)text_part_place(&w, p->begin), (int32_t)text_work_end(&w, w.buf.from[p->end - 1]),
                              (int32_t)(p->end - p->begin)};
            fwrite(row, 4, 3, stdout);
            fwrite(w.buf.bytes + p->begin, 1, p->end - p->begin, stdout);
        }
    }
    text_work_free(&w);
    free(data);
    return 0;
}

/* Records of 32-bit ids in, records of text out. */
static int decode(const text_tokenizer *t, base_heap *heap, bool skip) {
    size_t length;
    char *data = read_all(stdin, &length);
    base_str out;
    uint32_t n;
    base_str_init(&out, heap);
    for (size_t at = 0; data && at + 4 <= length; at += 4 + n) {
        memcpy(&n, data + at, 4);
        int32_t *ids = malloc(n + 1);
        nib_error err;
        memcpy(ids, data + at + 4, n);
        base_str_clear(&out);
        if (text_decode(t, ids, n / 4, skip, &out, &err) != NIB_OK) fprintf(stderr, "%s\n", err.message);
        uint32_t bytes = (uint32_t)out.length;
        fwrite(&bytes, 4, 1, stdout);
        fwrite(out.data, 1, out.length, stdout);
        free(ids);
    }
    base_str_free(&out);
    free(data);
    return 0;
}

/* Where the text that begins at `at` ends: texts lie behind each other with a NUL between them, or else are lines. */
static size_t text_end(const char *data, size_t length, size_t at, int separator) {
    const char *end = memchr(data + at, separator, length - at);
    return end ? (size_t)(end - data) : length;
}

static int bench(const text_tokenizer *t, base_heap *heap, int argc, char **argv) {
    static const char *const ways[] = {"texts", "cold", "whole"};
    size_t length;
    char *data = read_path(argv[3], &length);
    double seconds = argc > 4 ? atof(argv[4]) : 1;
    if (!data) return 1;
    const int separator = memchr(data, 0, length) ? 0 : '\n';
    for (int way = 0; way < 3; way++) {
        double begin = now(), best = 1e9;
        size_t tokens = 0;
        text_encoding e;
        if (argc > 5 && strcmp(argv[5], ways[way]) != 0) continue;
        text_encoding_init(&e, heap);
        while (now() - begin < seconds) {
            double start = now();
            tokens = 0;
            for (size_t at = 0; at < length;) {
                size_t next = way == 2 ? length : text_end(data, length, at, separator);
                if (text_encode(t, data + at, next - at, NULL, 0, 0, true, &e, NULL) != NIB_OK) return 1;
                tokens += e.count;
                if (way == 1) text_encoding_free(&e);
                at = next + 1;
            }
            double took = now() - start;
            if (took < best) best = took;
        }
        text_encoding_free(&e);
        printf("%-12s %8.1f MB/s  %8.2f Mtok/s  %zu bytes, %zu tokens\n", ways[way], (double)length / best / 1e6,
               (double)tokens / best / 1e6, length, tokens);
    }
    free(data);
    return 0;
}

/* Texts that make a careless step quadratic, once and twice as long. */
static int bench_extremes(const text_tokenizer *t, base_heap *heap) {
    static const struct {
        const char *name, *unit;
        size_t units;
    } cases[] = {{"dots", ".", 1000000}, {"spaces", " ", 1000000}, {"one word", "ab", 5000000}, {"marks", "\xcc\x81\xcc\xa3", 500000}};
    for (size_t i = 0; i < BASE_COUNT(cases); i++) {
        for (int k = 1; k <= 2; k++) {
            text_encoding e;
            const size_t unit = strlen(cases[i].unit), n = unit * cases[i].units * (size_t)k;
            char *text = malloc(n);
            if (!text) return 1;
            for (size_t b = 0; b < n; b++) text[b] = cases[i].unit[b % unit];
            text_encoding_init(&e, heap);
            const double start = now();
            if (text_encode(t, text, n, NULL, 0, 0, true, &e, NULL) != NIB_OK) return 1;
            printf("%-12s %9zu bytes %8.3f s  %zu tokens\n", cases[i].name, n, now() - start, e.count);
            text_encoding_free(&e);
            free(text);
        }
    }
    return 0;
}

int main(int argc, char **argv) {
    base_heap heap;
    text_tokenizer *t;
    nib_error err;
    size_t length;
    if (argc < 3) return 2;
    base_heap_init(&heap, NULL);
    char *json = read_path(argv[2], &length);
    double begin = now();
    if (!json || text_tokenizer_load(&heap, json, length, &t, &err) != NIB_OK) {
        fprintf(stderr, "%s\n", json ? err.message : "cannot read the tokenizer");
        return 1;
    }
    double took = now() - begin;
    for (int i = 0; i < 20 && strcmp(argv[1], "bench") == 0 && argc < 6; i++) {
        text_tokenizer_free(t);
        begin = now();
        if (text_tokenizer_load(&heap, json, length, &t, &err) != NIB_OK) return 1;
        if (now() - begin < took) took = now() - begin;
    }
    if (strcmp(argv[1], "bench") == 0)
        printf("loaded in %.2f ms, %zu bytes, %zu at the peak\n", took * 1e3, (size_t)heap.current, (size_t)heap.peak);
    int rc = 2;
    if (strcmp(argv[1], "bench") == 0 && argc > 3) rc = bench(t, &heap, argc, argv);
    if (strcmp(argv[1], "bench") == 0 && argc == 3) rc = bench_extremes(t, &heap);
    if (strcmp(argv[1], "words") == 0) rc = words(t, &heap);
    if (strcmp(argv[1], "decode") == 0) rc = decode(t, &heap, argc > 3);
    if (strcmp(argv[1], "encode") == 0) rc = encode(t, &heap, argc, argv);
    text_tokenizer_free(t);
    free(json);
    return rc;
}
