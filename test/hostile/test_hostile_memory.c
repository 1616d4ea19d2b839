/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory that runs out: through each door a model is opened and run with an allocator whose n-th request fails, and with one that fails
 * from the n-th on, for every n. Out: an error each time, nothing left behind, and the same result once enough succeeds.
 *
 * Under a sanitizer, the large ones take a prime stride through n, which begins elsewhere with every run of the test (NIB_EVERY=1: all).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <nib/nib.h>
#include <stdatomic.h>
#include <stdbool.h>

#define SEEDS NIB_TEST_DATA "/../fuzz/seeds/onnx/"

typedef struct failing {
    size_t at;    /* request that fails */
    bool forever; /* and all after it */
    size_t seen;
    size_t held; /* bytes */
} failing;

static void *failing_allocate(void *user, size_t bytes) {
    failing *f = user;
    size_t n = f->seen++;
    if (n == f->at || (f->forever && n > f->at)) return NULL;
    void *p = aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (p) f->held += bytes;
    return p;
}

static void failing_release(void *user, void *p, size_t bytes) {
    if (p) ((failing *)user)->held -= bytes;
    free(p);
}

enum { NOTHING, EMBEDS, RANKS };

typedef struct door {
    const char *path;
    nib_precision precision;
    int does; /* what is done with texts */
    bool compiles; /* into a file, which is opened */
    int large;     /* stride under a sanitizer */
} door;

static const door doors[] = {
    {SEEDS "if", NIB_PRECISION_FILE, NOTHING, false, 1},
    {SEEDS "loop", NIB_PRECISION_FILE, NOTHING, false, 1},
    {SEEDS "scan", NIB_PRECISION_FILE, NOTHING, false, 1},
    {SEEDS "string", NIB_PRECISION_FILE, NOTHING, false, 1},
    {SEEDS "sequence", NIB_PRECISION_FILE, NOTHING, false, 1},
    {SEEDS "function_sparse", NIB_PRECISION_FILE, NOTHING, false, 1},
    {NIB_TEST_DATA "/hf/bert-tiny", NIB_PRECISION_F32, EMBEDS, false, 5},
    {NIB_TEST_DATA "/hf/bert-tiny", NIB_PRECISION_Q8, EMBEDS, false, 7},
    {NIB_TEST_DATA "/hf/modernbert-tiny", NIB_PRECISION_F32, EMBEDS, false, 7},
    {NIB_TEST_DATA "/hf/modernbert-tiny", NIB_PRECISION_BF16, EMBEDS, false, 11},
    {NIB_TEST_DATA "/onnx/bert-tiny.dynamo.eager.onnx", NIB_PRECISION_F32, EMBEDS, false, 7}, /* external data */
    {NIB_TEST_DATA "/nib/tiny", NIB_PRECISION_F32, EMBEDS, true, 7},
    {NIB_TEST_DATA "/nib/tiny", NIB_PRECISION_Q8, EMBEDS, true, 11},
    {NIB_TEST_DATA "/nib/tiny", NIB_PRECISION_MIXED, EMBEDS, false, 4001}, /* opened some dozens of times */
    {NIB_TEST_DATA "/tasks/judge-qwen3", NIB_PRECISION_F32, RANKS, false, 11}, /* a chat template */
    {NIB_TEST_DATA "/tasks/zero-bart", NIB_PRECISION_F32, EMBEDS, false, 11},          /* a decoder behind an encoder */
    {SEEDS "if", NIB_PRECISION_FILE, NOTHING, true, 1}, /* a file without packed weights */
};

/* What a call answered; a refusal that it did without is not in its error. */
static nib_status checked(nib_status status, const nib_error *err) {
    if (status == NIB_OK && (err->status != NIB_OK || err->message[0] || err->node[0] || err->offset != -1))
        fail_msg("a call succeeded and left an error: %s", err->message);
    return status;
}

static nib_status embed(nib_model *m, float *out, nib_error *err) {
    static const int32_t a[5] = {1, 5, 6, 7, 2}, b[3] = {1, 9, 2};
    const int32_t *const ids[] = {a, b};
    const int64_t lengths[] = {5, 3};
    return nib_embed_ids(m, ids, lengths, 2, NULL, out, err);
}

/* The first bytes of the first output that is a tensor of numbers. */
static nib_status run_session(nib_model *m, float *out, nib_error *err) {
    static int64_t numbers[8] = {1, 1, 1, 0, 1, 1, 1, 1};
    static float reals[8] = {1, -2, 3, -4, 5, -6, 7, -8};
    static nib_string words[8] = {{"ab", 2}, {"c", 1}, {"", 0}, {"abc", 3}};
    nib_session *s;
    nib_tensor y;
    nib_status status = nib_session_create(m, &s, err);
    if (status != NIB_OK) return status;
    for (size_t i = 0; i < nib_session_input_count(s) && status == NIB_OK; i++) {
        nib_value_info info;
        nib_session_input_info(s, i, &info, sizeof info);
        nib_tensor t = {.dtype = info.dtype, .rank = info.rank < 0 ? 0 : info.rank};
        for (int k = 0; k < t.rank; k++) t.dims[k] = info.dims[k] < 0 ? 2 : info.dims[k];
        t.data = info.dtype == NIB_DTYPE_STRING ? (void *)words : info.dtype == NIB_DTYPE_F32 ? (void *)reals : (void *)numbers;
        t.bytes = info.dtype == NIB_DTYPE_STRING ? sizeof words : info.dtype == NIB_DTYPE_F32 ? sizeof reals : sizeof numbers;
        status = nib_session_set_input(s, nib_session_input_name(s, i), &t, err);
    }
    if (status == NIB_OK) status = nib_session_run(s, err);
    if (status == NIB_OK) status = nib_session_get_output(s, nib_session_output_name(s, 0), &y, err);
    if (status == NIB_OK && y.dtype == NIB_DTYPE_F32) memcpy(out, y.data, y.bytes < 64 ? y.bytes : 64);
    nib_session_free(s);
    return status;
}

static char compiled[] = "/tmp/nib-compiled-XXXXXX";

/* The file is there when this succeeds, and only then. */
static nib_status compile(const char *path, const nib_model_options *model, nib_error *err) {
    nib_compile_options o;
    nib_compile_defaults(&o, sizeof o);
    o.model = model;
    o.exact = 1;
    remove(compiled);
    nib_status status = nib_compile_file(path, compiled, &o, err);
    FILE *f = fopen(compiled, "rb");
    assert_int_equal(f != NULL, status == NIB_OK);
    if (f) fclose(f);
    return status;
}

/* One of the pairs is cut. */
static nib_status rank(nib_model *m, float *out, nib_error *err) {
    static const char *const documents[] = {"a nib", "", "the river Elbe, and past Dresden, and past many a town, the river Oder, the Spree"};
    nib_ranked got[3];
    nib_rank_options o;
    size_t count = 0;
    nib_rank_defaults(&o, sizeof o);
    o.prompt = "name its towns";
    o.max_tokens = 120;
    const nib_status status = nib_rank(m, "who?", documents, 3, &o, got, &count, err);
    for (size_t i = 0; i < count; i++) out[got[i].index] = got[i].score;
    return status;
}

static nib_status once(const door *d, failing *f, float *out, nib_error *err) {
    nib_runtime_options r;
    nib_model_options o;
    nib_runtime *rt = NULL;
    nib_model *m = NULL;
    nib_runtime_defaults(&r, sizeof r);
    r.threads = 1;
    r.allocate = failing_allocate;
    r.release = failing_release;
    r.alloc_user = f;
    f->seen = 0;
    memset(out, 0, 256 * sizeof *out);
    nib_status status = nib_runtime_create(&r, &rt, err);
    nib_model_defaults(&o, sizeof o);
    o.runtime = rt;
    o.precision = d->precision;
    if (status == NIB_OK && d->compiles) status = checked(compile(d->path, &o, err), err);
    if (status == NIB_OK) status = checked(nib_model_open(d->compiles ? compiled : d->path, &o, &m, err), err);
    if (status == NIB_OK && d->does == EMBEDS) status = checked(embed(m, out, err), err);
    if (status == NIB_OK && d->does == RANKS) status = checked(rank(m, out, err), err);
    if (status == NIB_OK) status = checked(run_session(m, out + 128, err), err);
    nib_model_free(m);
    nib_runtime_free(rt);
    return status;
}

static void every_request_fails_once(void **state) {
    float *want = calloc(256, sizeof *want), *got = calloc(256, sizeof *got);
    for (size_t i = 0; i < sizeof doors / sizeof *doors; i++) {
        const door *d = &doors[i];
        nib_error err = {0};
        failing f = {.at = SIZE_MAX};
        size_t tried = 0, passed = 0;
        nib_status status = once(d, &f, want, &err);
        if (status != NIB_OK) fail_msg("%s: %s", d->path, err.message);
        size_t total = f.seen, stride = 1;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
        if (!getenv("NIB_EVERY")) stride = (size_t)d->large;
#endif
        for (int forever = 0; forever < 2; forever++)
            for (size_t n = stride > 1 ? (size_t)(uintptr_t)&f / 64 % stride : 0; n < total; n += stride, tried++) {
                f = (failing){.at = n, .forever = forever};
                status = once(d, &f, got, &err);
                if (f.held) fail_msg("%s: %zu bytes are left when request %zu of %zu fails", d->path, f.held, n, total);
                if (status == NIB_OK) { /* it was asked for less instead, or did without */
                    passed++;
                    if (forever || memcmp(got, want, 256 * sizeof *got) != 0)
                        fail_msg("%s: request %zu of %zu failed and no one saw", d->path, n, total);
                } else if (status != NIB_OUT_OF_MEMORY) {
                    fail_msg("%s: request %zu of %zu failed: %s: %s", d->path, n, total, nib_status_text(status), err.message);
                }
            }
        print_message("%s: %zu requests, %zu failures tried, %zu of them done without\n", strrchr(d->path, '/') + 1, total, tried, passed);
    }
    free(want);
    free(got);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_request_fails_once)};
    if (!mkdtemp(compiled)) return 1; /* a name that is ours */
    remove(compiled);
    int failed = cmocka_run_group_tests_name("hostile memory", tests, NULL, NULL);
    remove(compiled);
    return failed;
}
