/* SPDX-License-Identifier: Apache-2.0
 *
 * The simple calls on the real all-MiniLM-L6-v2 (models/, fetched by tools/setup model; skipped without it), against
 * sentence-transformers on 200 varied texts. In: test/data/embed. Out: cosines, equal bits, allocation counts.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdbool.h>
#include "npy.h"

#define MODEL NIB_TEST_MODELS "/all-MiniLM-L6-v2"
#define COUNT 200
#define SHORT_BYTES 120
#define DIM 384

static char *texts[COUNT], *shorts[COUNT];
static int short_count;
static bool slow; /* a sanitizer or the reference kernels: thirty times slower, so the first texts, which are the most varied, must do */
static int embedded, most_shorts;
static float *golden;

static int load_texts(void **state) {
    FILE *f = fopen(NIB_TEST_DATA "/embed/texts.txt", "rb");
    char *line = NULL;
    size_t room = 0;
    assert_non_null(f);
    embedded = slow ? 16 : COUNT;
    most_shorts = slow ? 16 : 120;
    for (int i = 0; i < COUNT; i++) {
        ssize_t n = getline(&line, &room, f);
        assert_true(n > 0);
        if (line[n - 1] == '\n') line[n - 1] = 0;
        texts[i] = strdup(line);
        if (strlen(line) <= SHORT_BYTES && short_count < most_shorts) shorts[short_count++] = texts[i];
    }
    free(line);
    fclose(f);
    nib_tensor t = test_npy(NIB_TEST_DATA "/embed/%s.%s", "minilm", "npy");
    assert_int_equal(t.dims[0], COUNT);
    assert_int_equal(t.dims[1], DIM);
    golden = t.data;
    return 0;
}

static int free_texts(void **state) {
    for (int i = 0; i < COUNT; i++) free(texts[i]);
    free(golden);
    return 0;
}

static nib_model *open_with(int threads, size_t limit, nib_runtime **runtime) {
    nib_runtime_options r;
    nib_model_options o;
    nib_runtime *rt;
    nib_model *m;
    nib_error e;
    nib_runtime_defaults(&r, sizeof r);
    r.threads = threads;
    r.memory_limit = limit;
    assert_int_equal(nib_runtime_create(&r, &rt, &e), NIB_OK);
    nib_model_defaults(&o, sizeof o);
    o.runtime = rt;
    if (nib_model_open(MODEL, &o, &m, &e) != NIB_OK) fail_msg("%s", e.message);
    if (runtime) *runtime = rt;
    else nib_runtime_free(rt);
    return m;
}

static nib_model *open_precision(nib_precision precision) {
    nib_model_options o;
    nib_model *m;
    nib_error e;
    nib_model_defaults(&o, sizeof o);
    o.precision = precision;
    if (nib_model_open(MODEL, &o, &m, &e) != NIB_OK) fail_msg("%s", e.message);
    return m;
}

static float *embed(nib_model *m, char **from, int n) {
    nib_error e;
    float *out = malloc(sizeof(float) * (size_t)n * DIM);
    if (nib_embed(m, (const char *const *)from, (size_t)n, NULL, out, &e) != NIB_OK) fail_msg("%s", e.message);
    return out;
}

static void agrees_with_sentence_transformers(void **state) {
    nib_model *m = open_with(2, 0, NULL);
    assert_int_equal(nib_model_dim(m), DIM);
    assert_int_equal(nib_model_max_tokens(m), 256);
    float *got = embed(m, texts, embedded);
    double worst = 1;
    for (int i = 0; i < embedded; i++) {
        double c = test_cosine(got + i * DIM, golden + i * DIM, DIM);
        if (!(c >= 0.99999)) fail_msg("text %d (\"%.60s\"): cosine %.7f", i, texts[i], c);
        if (c < worst) worst = c;
    }
    print_message("worst cosine of %d texts: %.9f\n", embedded, worst);
    free(got);
    nib_model_free(m);
}

/* Share of the ten nearest neighbours of a text that are also among the ten nearest by `got`. */
static double neighbours_kept(const float *got, const float *want, int n) {
    enum { NEAREST = 10 };
    int kept = 0;
    for (int i = 0; i < n; i++) {
        int nearest[2][NEAREST];
        for (int side = 0; side < 2; side++) {
            const float *v = side ? got : want;
            bool taken[COUNT] = {false};
            for (int k = 0; k < NEAREST; k++) {
                double best = -2;
                for (int j = 0; j < n; j++) {
                    double c = j == i || taken[j] ? -2 : test_cosine(v + i * DIM, v + j * DIM, DIM);
                    if (c > best) best = c, nearest[side][k] = j;
                }
                taken[nearest[side][k]] = true;
            }
        }
        for (int k = 0; k < NEAREST; k++)
            for (int j = 0; j < NEAREST; j++) kept += nearest[0][k] == nearest[1][j];
    }
    return kept / (double)(n * NEAREST);
}

/* Quality is measured on texts of more than 60 bytes: of a text that is one token, half the vector is the separators'. */
static void fewer_bits_stay_close(void **state) {
    static const struct {
        nib_precision precision;
        double mean, worst, overlap;
    } cases[] = {{NIB_PRECISION_BF16, 0.9999, 0.9999, 0.95}, {NIB_PRECISION_Q8, 0.9985, 0.997, 0.95}, {NIB_PRECISION_Q4, 0.96, 0.92, 0.8}};
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        nib_model *m = open_precision(cases[c].precision);
        float *got = embed(m, texts, embedded);
        double sum = 0, worst = 1;
        int n = 0;
        float *kept = malloc(sizeof(float) * COUNT * DIM), *kept_golden = malloc(sizeof(float) * COUNT * DIM);
        for (int i = 0; i < embedded; i++) {
            if (strlen(texts[i]) <= 60) continue;
            memcpy(kept + n * DIM, got + i * DIM, sizeof(float) * DIM);
            memcpy(kept_golden + n * DIM, golden + i * DIM, sizeof(float) * DIM);
            double x = test_cosine(got + i * DIM, golden + i * DIM, DIM);
            sum += x;
            n++;
            if (!(x >= worst)) worst = x;
        }
        double overlap = neighbours_kept(kept, kept_golden, n);
        print_message("%s: cosine to f32 %.6f, worst %.6f, of %d texts; %.4f of their ten nearest neighbours are the same\n",
                      nib_precision_name(cases[c].precision), sum / n, worst, n, overlap);
        assert_true(sum / n >= cases[c].mean && worst >= cases[c].worst && overlap >= cases[c].overlap);
        free(kept);
        free(kept_golden);
        free(got);
        nib_model_free(m);
    }
}

static void same_bits_alone_and_in_any_batch(void **state) {
    float *first = NULL;
    int n = short_count;
    assert_true(n >= 16);
    for (int threads = 1; threads <= 2; threads++) {
        nib_error e;
        nib_model *m = open_with(threads, 0, NULL);
        float *got = embed(m, shorts, n), one[DIM];
        if (!first) first = got;
        else assert_memory_equal(got, first, sizeof(float) * (size_t)n * DIM);
        for (int i = 0; i < n; i += 7) {
            const char *text = shorts[i];
            assert_int_equal(nib_embed(m, &text, 1, NULL, one, &e), NIB_OK);
            assert_memory_equal(one, first + i * DIM, sizeof one);
        }
        char *shuffled[COUNT];
        for (int i = 0; i < n; i++) shuffled[i] = shorts[n - 1 - i];
        float *mixed = embed(m, shuffled, n);
        for (int i = 0; i < n; i++) assert_memory_equal(mixed + i * DIM, first + (n - 1 - i) * DIM, sizeof one);
        free(mixed);
        if (got != first) free(got);
        nib_model_free(m);
    }
    free(first);
}

static void a_second_call_allocates_nothing(void **state) {
    nib_runtime *rt;
    nib_memory before, after;
    nib_model *m = open_with(2, 0, &rt);
    /* Which thread gets which text is chance: a few calls bring every thread's buffers to the size of the largest share. */
    long long grown = -1;
    for (int i = 0; i < (slow ? 20 : 60) && grown != 0; i++) {
        nib_runtime_memory(rt, &before, sizeof before);
        free(embed(m, shorts, short_count < 40 ? short_count : 40));
        nib_runtime_memory(rt, &after, sizeof after);
        grown = (long long)(after.allocations - before.allocations);
    }
    assert_int_equal(grown, 0);
    nib_model_free(m);
    nib_runtime_free(rt);
    m = open_with(1, 0, &rt); /* one thread: no chance, the second call already */
    free(embed(m, shorts, short_count));
    nib_runtime_memory(rt, &before, sizeof before);
    free(embed(m, shorts, short_count));
    nib_runtime_memory(rt, &after, sizeof after);
    assert_int_equal(after.allocations, before.allocations);
    assert_true(after.peak <= (size_t)(1.3 * 90.9e6)); /* the weights' file has 90.9 MB */
    nib_model_free(m);
    nib_runtime_free(rt);
}

typedef struct caller {
    nib_model *model;
    const float *want;
    int begin, failures;
} caller;

static void *call_often(void *arg) {
    caller *c = arg;
    nib_error e;
    int part = short_count / 4;
    float *out = malloc(sizeof(float) * COUNT * DIM);
    for (int round = 0; round < 2; round++)
        for (int i = c->begin; i + part <= short_count; i += part) {
            if (nib_embed(c->model, (const char *const *)shorts + i, (size_t)part, NULL, out, &e) != NIB_OK) c->failures++;
            else if (memcmp(out, c->want + i * DIM, sizeof(float) * (size_t)part * DIM) != 0) c->failures++;
        }
    free(out);
    return NULL;
}

static void eight_threads_get_the_same_bits(void **state) {
    nib_model *m = open_with(2, 0, NULL);
    float *want = embed(m, shorts, short_count);
    pthread_t threads[8];
    caller callers[8];
    for (int i = 0; i < 8; i++) {
        callers[i] = (caller){m, want, i % 4, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, call_often, &callers[i]), 0);
    }
    for (int i = 0; i < 8; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(callers[i].failures, 0);
    }
    free(want);
    nib_model_free(m);
}

static void a_ceiling_shrinks_groups_or_fails_cleanly(void **state) {
    nib_error e;
    nib_runtime *rt;
    nib_memory memory;
    nib_model *m = open_with(1, 0, &rt);
    float *want = embed(m, shorts, short_count);
    nib_runtime_memory(rt, &memory, sizeof memory);
    size_t opened = memory.peak;
    nib_model_free(m);
    nib_runtime_free(rt);
    int worked = 0, refused = 0;
    for (size_t limit = opened; limit > opened - 8000000; limit -= slow ? 2000000 : 500000) {
        nib_runtime_options r;
        nib_model_options o;
        nib_runtime_defaults(&r, sizeof r);
        nib_model_defaults(&o, sizeof o);
        r.threads = 1;
        r.memory_limit = limit;
        assert_int_equal(nib_runtime_create(&r, &rt, &e), NIB_OK);
        o.runtime = rt;
        float *got = malloc(sizeof(float) * COUNT * DIM);
        nib_status status = nib_model_open(MODEL, &o, &m, &e);
        if (status == NIB_OK) status = nib_embed(m, (const char *const *)shorts, (size_t)short_count, NULL, got, &e);
        nib_runtime_memory(rt, &memory, sizeof memory);
        assert_true(memory.peak <= limit);
        if (status == NIB_OK) {
            assert_memory_equal(got, want, sizeof(float) * (size_t)short_count * DIM);
            worked++;
        } else {
            assert_int_equal(status, NIB_OUT_OF_MEMORY);
            refused++;
        }
        free(got);
        nib_model_free(m);
        nib_runtime_free(rt);
    }
    assert_true(worked > 0 && refused > 0);
    free(want);
}

static void texts_of_every_kind(void **state) {
    nib_error e;
    nib_embed_options o;
    nib_model *m = open_with(1, 0, NULL);
    size_t big = 1 << 20;
    char *letters = malloc(big + 1), *words = malloc(big + 1);
    memset(letters, 'a', big);
    letters[big] = 0;
    for (size_t i = 0; i < big; i++) words[i] = i % 4 == 3 ? ' ' : "and"[i % 4];
    words[big] = 0;
    const char *t[] = {"", letters, words, "bad \xff\xfe utf-8 \xc3", "bad \xef\xbf\xbd\xef\xbf\xbd utf-8 \xef\xbf\xbd", "nul"};
    size_t lengths[] = {0, big, big, strlen(t[3]), strlen(t[4]), 3};
    int64_t tokens[6], full[6];
    float out[6][DIM];
    nib_embed_defaults(&o, sizeof o);
    o.lengths = lengths;
    o.tokens = tokens;
    o.full_tokens = full;
    assert_int_equal(nib_embed(m, t, 6, &o, out[0], &e), NIB_OK);
    assert_int_equal(tokens[0], 2); /* [CLS] [SEP] */
    assert_int_equal(tokens[1], 3); /* one unknown word */
    assert_int_equal(tokens[2], 256);
    assert_int_equal(full[2], (int64_t)big / 4 + 2);
    assert_memory_equal(out[3], out[4], sizeof out[3]); /* broken UTF-8 is read as U+FFFD */
    o.max_tokens = 5;
    assert_int_equal(nib_embed(m, t, 6, &o, out[0], &e), NIB_OK);
    assert_int_equal(tokens[2], 5);
    assert_int_equal(nib_embed(m, NULL, 0, NULL, NULL, &e), NIB_OK);
    assert_int_equal(nib_embed(m, (const char *[]){NULL}, 1, NULL, out[0], &e), NIB_INVALID_ARGUMENT);
    free(letters);
    free(words);
    nib_model_free(m);
}

int main(void) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    slow = true;
#endif
    slow = slow || strcmp(nib_cpu_name(), "generic") == 0;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_sentence_transformers),
        cmocka_unit_test(same_bits_alone_and_in_any_batch),
        cmocka_unit_test(a_second_call_allocates_nothing),
        cmocka_unit_test(eight_threads_get_the_same_bits),
        cmocka_unit_test(a_ceiling_shrinks_groups_or_fails_cleanly),
        cmocka_unit_test(texts_of_every_kind),
        cmocka_unit_test(fewer_bits_stay_close), /* last: of all texts, which are too many where it is slow */
    };
    return _cmocka_run_group_tests("embed", tests, sizeof tests / sizeof *tests - (size_t)slow, load_texts, free_texts);
}
