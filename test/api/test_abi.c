/* SPDX-License-Identifier: Apache-2.0
 *
 * What nib.h promises to programs that were built against another version of it: option structs of every size in,
 * results of every size out, memory that changes hands once, and names. In: the tiny model. Out: statuses, and bytes
 * that were or were not touched.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <nib/nib.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "hub/hub_cache.h"

#define TINY NIB_TEST_DATA "/nib/tiny"
#define RANKER NIB_TEST_DATA "/classify/relevance"
#define LINEAR NIB_TEST_DATA "/onnx/linear.onnx"
#define DIM 32
#define GUARD 24
#define FILLER 0x5a
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static nib_runtime *runtime;
static nib_model *model, *ranker, *tagger, *filler, *answerer, *judge, *late, *words;
static nib_error e;
static char folder[] = "/tmp/nib-abi-XXXXXX";

static const char *in_folder(const char *name) {
    static char path[100];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static nib_hub *hub;

static int begin(void **state) {
    nib_runtime_options r;
    nib_model_options o;
    nib_runtime_defaults(&r, sizeof r);
    r.threads = 1;
    if (!mkdtemp(folder) || hub_cache_make(folder, TINY) != 0 || nib_runtime_create(&r, &runtime, &e) != NIB_OK) return 1;
    nib_model_defaults(&o, sizeof o);
    o.runtime = runtime;
    return nib_model_open(TINY, &o, &model, &e) != NIB_OK || nib_model_open(RANKER, &o, &ranker, &e) != NIB_OK ||
           nib_model_open(NIB_TEST_DATA "/tasks/ner-bert", &o, &tagger, &e) != NIB_OK ||
           nib_model_open(NIB_TEST_DATA "/tasks/fill-bert", &o, &filler, &e) != NIB_OK ||
           nib_model_open(NIB_TEST_DATA "/tasks/answer-bert", &o, &answerer, &e) != NIB_OK ||
           nib_model_open(NIB_TEST_DATA "/tasks/zero-bert", &o, &judge, &e) != NIB_OK ||
           nib_model_open(NIB_TEST_DATA "/tasks/colbert-bert", &o, &late, &e) != NIB_OK ||
           nib_model_open(NIB_TEST_DATA "/tasks/sparse-bert", &o, &words, &e) != NIB_OK;
}

static int end(void **state) {
    char command[100];
    nib_model_free(model);
    nib_model_free(ranker);
    nib_model_free(tagger);
    nib_model_free(filler);
    nib_model_free(answerer);
    nib_model_free(judge);
    nib_model_free(late);
    nib_model_free(words);
    nib_runtime_free(runtime);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

/* ---- option structs */

static nib_status use_runtime(const void *options) {
    nib_runtime *made;
    nib_status status = nib_runtime_create(options, &made, &e);
    nib_runtime_free(made);
    return status;
}

static nib_status use_limits(const void *options) {
    nib_runtime_options o;
    nib_runtime_defaults(&o, sizeof o);
    o.limits = options;
    return use_runtime(&o);
}

static nib_status use_model(const void *options) {
    nib_model *made;
    nib_status status = nib_model_open(TINY, options, &made, &e);
    nib_model_free(made);
    return status;
}

static nib_status use_embed(const void *options) {
    const char *text = "a nib writes";
    float out[DIM];
    return nib_embed(model, &text, 1, options, out, &e);
}

static nib_status use_ids(const void *options) {
    static const int32_t ids[3] = {2, 5, 3};
    const int32_t *row = ids;
    const int64_t length = 3;
    float out[DIM];
    return nib_embed_ids(model, &row, &length, 1, options, out, &e);
}

static nib_status use_queue(const void *options) {
    nib_queue *made;
    const nib_status status = nib_queue_create(runtime, options, &made, &e);
    nib_queue_free(made);
    return status;
}
static nib_status use_ticket(const void *ticket) {
    const char *text = "a nib writes";
    float out[DIM];
    nib_embed_options o;
    nib_embed_defaults(&o, sizeof o);
    o.ticket = ticket;
    return nib_embed(model, &text, 1, &o, out, &e);
}
static nib_status use_chunks(const void *options) {
    const char *text = "ink";
    float out[32];
    nib_embed_options o;
    nib_embed_defaults(&o, sizeof o);
    o.chunks = options;
    return nib_embed(model, &text, 1, &o, out, &e);
}

static nib_status use_vectors(const void *vectors) {
    const char *text = "a nib writes";
    float out[DIM];
    nib_embed_options o;
    nib_embed_defaults(&o, sizeof o);
    o.vectors = vectors;
    return nib_embed(model, &text, 1, &o, out, &e);
}
static nib_status use_convert(const void *options) {
    static const float row[DIM];
    float out[DIM];
    return nib_vectors_convert(row, 1, DIM, options, out, &e);
}
static nib_status use_search(const void *options) {
    static const float row[DIM];
    const nib_vectors v = {.type = NIB_VECTOR_F32, .data = row, .n = 1, .width = DIM};
    nib_hit hit;
    return nib_search(&v, &v, 1, options, &hit, NULL, &e);
}
static nib_status use_encode(const void *options) {
    nib_tokenizer *t;
    size_t count;
    if (nib_model_tokenizer(model, &t, &e) != NIB_OK) return e.status;
    nib_status status = nib_encode(t, "a nib", 5, options, NULL, 0, &count, &e);
    nib_tokenizer_free(t);
    return status;
}

static nib_status use_graph(const void *options) {
    nib_report *report;
    nib_status status = nib_graph_of_file(LINEAR, options, NIB_GRAPH_TEXT, &report, &e);
    nib_report_free(report);
    return status;
}

static nib_status use_optimize(const void *options) {
    return nib_optimize_file(LINEAR, in_folder("linear.onnx"), options, NULL, &e);
}
static nib_status use_diff(const void *options) { return nib_diff_files(LINEAR, LINEAR, options, NULL, &e); }
static nib_status use_quantize(const void *options) {
    return nib_quantize_file(TINY, in_folder("tiny-int8"), options, NULL, &e);
}
static nib_status use_compile(const void *options) {
    return nib_compile_file(TINY, in_folder("tiny.nib"), options, &e);
}

static nib_status use_export(const void *options) {
    return nib_export_folder(NIB_TEST_DATA "/hf/bert-tiny", in_folder("exported"), options, &e);
}

static nib_status use_compile_model(const void *options) {
    nib_compile_options o;
    nib_compile_defaults(&o, sizeof o);
    o.model = options;
    return use_compile(&o);
}

/* Offline, of a cache that has it: nothing is fetched. */
static nib_status use_pull(const void *options) {
    return nib_pull("org/tiny", options, &e);
}

static nib_status use_colbert(const void *options) {
    const char *text = "a nib writes";
    int64_t offsets[2];
    nib_tensor *rows;
    const nib_status status = nib_colbert(late, NIB_COLBERT_QUERY, &text, 1, options, offsets, &rows, &e);
    nib_tensor_free(rows);
    return status;
}
static nib_status use_sparse(const void *options) {
    const char *text = "a nib writes";
    nib_sparse *s;
    const nib_status status = nib_embed_sparse(words, &text, 1, options, &s, &e);
    nib_sparse_free(s);
    return status;
}
static nib_status use_tag(const void *options) {
    const char *text = "a nib writes";
    nib_tags *tags;
    const nib_status status = nib_tag(tagger, &text, 1, options, &tags, &e);
    if (status == NIB_OK) nib_tags_free(tags);
    return status;
}
static nib_status use_fill(const void *options) {
    const char *text = "a [MASK] writes";
    nib_fills *fills;
    const nib_status status = nib_fill(filler, &text, 1, options, &fills, &e);
    if (status == NIB_OK) nib_fills_free(fills);
    return status;
}
static nib_status use_answer(const void *options) {
    const char *text = "a nib writes";
    nib_answers *answers;
    const nib_status status = nib_answer(answerer, &text, &text, 1, options, &answers, &e);
    if (status == NIB_OK) nib_answers_free(answers);
    return status;
}
static nib_status use_zero_shot(const void *options) {
    const char *text = "a nib writes";
    nib_ranked fit;
    return nib_zero_shot(judge, &text, 1, &text, 1, options, &fit, &e);
}
static nib_status use_rank(const void *options) {
    const char *document = "a nib writes";
    nib_ranked ranked;
    size_t count;
    return nib_rank(ranker, "a pen", &document, 1, options, &ranked, &count, &e);
}

static void runtime_defaults(void *o, size_t n) { nib_runtime_defaults(o, n); }
static void limits_defaults(void *o, size_t n) { nib_limits_defaults(o, n); }
static void model_defaults(void *o, size_t n) { nib_model_defaults(o, n); }
static void embed_defaults(void *o, size_t n) { nib_embed_defaults(o, n); }
static void encode_defaults(void *o, size_t n) { nib_encode_defaults(o, n); }
static void queue_defaults(void *o, size_t n) { nib_queue_defaults(o, n); }
static void ticket_defaults(void *o, size_t n) { nib_ticket_defaults(o, n); }
static void vector_defaults(void *o, size_t n) { nib_vector_options_defaults(o, n); }
static void chunk_defaults(void *o, size_t n) { nib_chunk_options_defaults(o, n); }
static void search_defaults(void *o, size_t n) { nib_search_defaults(o, n); }
static void optimize_defaults(void *o, size_t n) { nib_optimize_defaults(o, n); }
static void quantize_defaults(void *o, size_t n) { nib_quantize_defaults(o, n); }
static void compile_defaults(void *o, size_t n) { nib_compile_defaults(o, n); }
static void export_defaults(void *o, size_t n) { nib_export_defaults(o, n); }
static void tag_defaults(void *o, size_t n) { nib_tag_defaults(o, n); }
static void colbert_defaults(void *o, size_t n) { nib_colbert_defaults(o, n); }
static void sparse_defaults(void *o, size_t n) { nib_sparse_defaults(o, n); }
static void fill_defaults(void *o, size_t n) { nib_fill_defaults(o, n); }
static void answer_defaults(void *o, size_t n) { nib_answer_defaults(o, n); }
static void zero_shot_defaults(void *o, size_t n) { nib_zero_shot_defaults(o, n); }
static void rank_defaults(void *o, size_t n) { nib_rank_defaults(o, n); }
static void pull_defaults(void *o, size_t n) { nib_pull_defaults(o, n); }

static const struct door {
    const char *call;
    size_t size;
    void (*defaults)(void *options, size_t size);
    nib_status (*use)(const void *options);
} doors[] = {
    {"nib_runtime_create", sizeof(nib_runtime_options), runtime_defaults, use_runtime},
    {"nib_runtime_create, limits", sizeof(nib_limits), limits_defaults, use_limits},
    {"nib_model_open", sizeof(nib_model_options), model_defaults, use_model},
    {"nib_embed", sizeof(nib_embed_options), embed_defaults, use_embed},
    {"nib_embed_ids", sizeof(nib_embed_options), embed_defaults, use_ids},
    {"nib_queue_create", sizeof(nib_queue_options), queue_defaults, use_queue},
    {"nib_embed, ticket", sizeof(nib_ticket), ticket_defaults, use_ticket},
    {"nib_embed, chunks", sizeof(nib_chunk_options), chunk_defaults, use_chunks},
    {"nib_embed, vectors", sizeof(nib_vector_options), vector_defaults, use_vectors},
    {"nib_vectors_convert", sizeof(nib_vector_options), vector_defaults, use_convert},
    {"nib_search", sizeof(nib_search_options), search_defaults, use_search},
    {"nib_encode", sizeof(nib_encode_options), encode_defaults, use_encode},
    {"nib_graph_of_file", sizeof(nib_optimize_options), optimize_defaults, use_graph},
    {"nib_optimize_file", sizeof(nib_optimize_options), optimize_defaults, use_optimize},
    {"nib_diff_files", sizeof(nib_optimize_options), optimize_defaults, use_diff},
    {"nib_quantize_file", sizeof(nib_quantize_options), quantize_defaults, use_quantize},
    {"nib_compile_file", sizeof(nib_compile_options), compile_defaults, use_compile},
    {"nib_export_folder", sizeof(nib_export_options), export_defaults, use_export},
    {"nib_pull", sizeof(nib_pull_options), pull_defaults, use_pull},
    {"nib_colbert", sizeof(nib_colbert_options), colbert_defaults, use_colbert},
    {"nib_embed_sparse", sizeof(nib_sparse_options), sparse_defaults, use_sparse},
    {"nib_tag", sizeof(nib_tag_options), tag_defaults, use_tag},
    {"nib_fill", sizeof(nib_fill_options), fill_defaults, use_fill},
    {"nib_answer", sizeof(nib_answer_options), answer_defaults, use_answer},
    {"nib_zero_shot", sizeof(nib_zero_shot_options), zero_shot_defaults, use_zero_shot},
    {"nib_rank", sizeof(nib_rank_options), rank_defaults, use_rank},
    {"nib_compile_file, model", sizeof(nib_model_options), model_defaults, use_compile_model},
};

/* A block of exactly n bytes (a sanitizer sees who reads on), filled. */
static unsigned char *block(size_t n) {
    unsigned char *p = malloc(n);
    assert_non_null(p);
    return memset(p, FILLER, n);
}

static void check_filler(const char *what, size_t size, const unsigned char *from, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (from[i] != FILLER) fail_msg("%s of %zu bytes: byte %zu behind it was written", what, size, i);
}

/* A struct of every size that an older header may have had. No compiler cuts a member in two; a caller who does has not
 * set it. */
static void options_of_older_programs_are_taken(void **state) {
    for (const struct door *d = doors; d < doors + COUNT(doors); d++)
        for (size_t n = sizeof(size_t); n <= d->size; n++) {
            unsigned char *guarded = block(n + GUARD), *exact = block(n);
            d->defaults(guarded, n);
            check_filler(d->call, n, guarded + n, GUARD);
            memcpy(exact, guarded, n);
            for (size_t i = n & ~(size_t)3; i < n; i++) exact[i] = 0xff; /* of the member that is cut */
            assert_int_equal(*(const size_t *)(void *)exact, n);
            if (d->use(exact) != NIB_OK) fail_msg("%s with %zu bytes of options: %s", d->call, n, e.message);
            free(guarded);
            free(exact);
        }
}

static void options_of_newer_programs_are_taken_if_they_ask_for_nothing_new(void **state) {
    for (const struct door *d = doors; d < doors + COUNT(doors); d++)
        for (size_t more = 1; more <= 40; more += 13) {
            size_t n = d->size + more;
            unsigned char *o = block(n + GUARD);
            d->defaults(o, n);
            check_filler(d->call, n, o + n, GUARD);
            for (size_t i = d->size; i < n; i++) assert_int_equal(o[i], 0);
            if (d->use(o) != NIB_OK) fail_msg("%s with %zu bytes of options: %s", d->call, n, e.message);
            for (size_t i = d->size; i<n; i += more> 1 ? more - 1 : 1) { /* the first that is not known, and the last */
                o[i] = 1;
                if (d->use(o) != NIB_INVALID_ARGUMENT)
                    fail_msg("%s: byte %zu of %zu is not known, and is taken", d->call, i, n);
                if (!strstr(e.message, NIB_VERSION))
                    fail_msg("%s: the library's version is not said: %s", d->call, e.message);
                o[i] = 0;
            }
            free(o);
        }
}

static void sizes_that_are_none_are_refused(void **state) {
    static const size_t sizes[] = {0, 1, sizeof(size_t) - 1, (size_t)1 << 20, SIZE_MAX};
    unsigned char o[512];
    for (const struct door *d = doors; d < doors + COUNT(doors); d++)
        for (size_t i = 0; i < COUNT(sizes); i++) {
            assert_true(d->size <= sizeof o);
            d->defaults(o, d->size);
            memcpy(o, &sizes[i], sizeof sizes[i]);
            if (d->use(o) != NIB_INVALID_ARGUMENT) fail_msg("%s takes options of %zu bytes", d->call, sizes[i]);
            memset(o, FILLER, sizeof o);
            if (sizes[i] < sizeof(size_t)) d->defaults(o, sizes[i]);
            d->defaults(NULL, d->size);
            check_filler(d->call, sizes[i], o, sizeof o);
        }
}

/* What the shorter struct has is obeyed: its last member, too. */
static void the_members_of_an_older_struct_count(void **state) {
    nib_runtime_options r;
    nib_runtime *made;
    nib_runtime_defaults(&r, offsetof(nib_runtime_options, threads) + sizeof r.threads);
    r.threads = 3;
    assert_int_equal(nib_runtime_create(&r, &made, &e), NIB_OK);
    assert_int_equal(nib_runtime_threads(made), 3);
    nib_runtime_free(made);

    nib_limits limits;
    nib_limits_defaults(&limits, offsetof(nib_limits, wire_nesting));
    limits.graph_depth = 1;
    limits.json_depth = 1; /* not seen: config.json could not be read */
    nib_runtime_defaults(&r, sizeof r);
    r.limits = &limits;
    assert_int_equal(nib_runtime_create(&r, &made, &e), NIB_OK);
    nib_model_options o;
    nib_model *m;
    nib_model_defaults(&o, offsetof(nib_model_options, batch_tokens));
    o.runtime = made;
    o.max_tokens = 7;
    o.optimize = 77; /* not seen */
    assert_int_equal(nib_model_open(TINY, &o, &m, &e), NIB_OK);
    assert_int_equal(nib_model_max_tokens(m), 7);
    nib_model_free(m);
    limits.size = offsetof(nib_limits, json_depth) + sizeof limits.json_depth;
    nib_runtime_free(made);
    assert_int_equal(nib_runtime_create(&r, &made, &e), NIB_OK);
    o.runtime = made;
    assert_int_equal(nib_model_open(TINY, &o, &m, &e), NIB_LIMIT); /* seen */
    nib_runtime_free(made);

    nib_embed_options x;
    const char *text = "a nib writes and writes";
    int64_t tokens = 0, full = 0;
    float out[DIM];
    nib_embed_defaults(&x, offsetof(nib_embed_options, full_tokens));
    x.max_tokens = 4;
    x.tokens = &tokens;
    x.full_tokens = &full;
    assert_int_equal(nib_embed(model, &text, 1, &x, out, &e), NIB_OK);
    assert_int_equal(tokens, 4);
    assert_int_equal(full, 0);

    nib_optimize_options z;
    nib_report *report;
    nib_optimize_defaults(&z, offsetof(nib_optimize_options, external_over));
    z.level = 9;
    assert_int_equal(nib_graph_of_file(LINEAR, &z, NIB_GRAPH_TEXT, &report, &e), NIB_INVALID_ARGUMENT);
    z.level = 0;
    assert_int_equal(nib_graph_of_file(LINEAR, &z, NIB_GRAPH_TEXT, &report, &e), NIB_OK);
    nib_report_free(report);
}

/* ---- structs that calls fill */

static nib_session *session;
static nib_profile *profile;

static void fill_memory(void *out, size_t size) { nib_runtime_memory(runtime, out, size); }
static void fill_input(void *out, size_t size) {
    assert_int_equal(nib_session_input_info(session, 0, out, size), NIB_OK);
}
static void fill_output(void *out, size_t size) {
    assert_int_equal(nib_session_output_info(session, 0, out, size), NIB_OK);
}
static void fill_totals(void *out, size_t size) { nib_profile_totals_get(profile, out, size); }
static void fill_step(void *out, size_t size) {
    assert_int_equal(nib_profile_step_get(profile, 0, NULL, 0, out, size), NIB_OK);
}
static void fill_hub_model(void *out, size_t size) { assert_int_equal(nib_hub_model_get(hub, 0, out, size), NIB_OK); }
static void fill_recipe(void *out, size_t size) { assert_int_equal(nib_recipe_at(2, out, size), NIB_OK); }
static void fill_difference(void *out, size_t size) {
    float a[2] = {1, 2}, b[2] = {1, 3};
    nib_tensor x = {.dtype = NIB_DTYPE_F32, .rank = 1, .dims = {2}, .data = a, .bytes = sizeof a}, y = x;
    y.data = b;
    assert_int_equal(nib_tensor_compare(&x, &y, 0, 0, out, size), NIB_OK);
}

static void results_fit_callers_of_every_size(void **state) {
    static const struct {
        const char *name;
        size_t size;
        void (*fill)(void *out, size_t size);
    } results[] = {
        {"nib_memory", sizeof(nib_memory), fill_memory},
        {"nib_value_info of an input", sizeof(nib_value_info), fill_input},
        {"nib_value_info of an output", sizeof(nib_value_info), fill_output},
        {"nib_profile_totals", sizeof(nib_profile_totals), fill_totals},
        {"nib_profile_step", sizeof(nib_profile_step), fill_step},
        {"nib_difference", sizeof(nib_difference), fill_difference},
        {"nib_recipe", sizeof(nib_recipe), fill_recipe},
        {"nib_hub_model", sizeof(nib_hub_model), fill_hub_model},
    };
    nib_embed_options o;
    assert_int_equal(nib_hub_open(NULL, &hub, &e), NIB_OK);
    assert_int_equal(nib_session_create(model, &session, &e), NIB_OK);
    assert_int_equal(nib_profile_create(model, &profile, &e), NIB_OK);
    nib_embed_defaults(&o, sizeof o);
    o.profile = profile;
    assert_int_equal(use_embed(&o), NIB_OK);
    for (size_t r = 0; r < COUNT(results); r++) {
        unsigned char *whole = calloc(results[r].size, 1);
        results[r].fill(whole, results[r].size);
        bool filled = false; /* with more than zeros, or what follows would show nothing */
        for (size_t i = 0; i < results[r].size; i++) filled |= whole[i] != 0;
        assert_true(filled);
        for (size_t n = 0; n <= results[r].size + GUARD; n++) {
            unsigned char *out = block(n + GUARD);
            size_t both = n < results[r].size ? n : results[r].size;
            results[r].fill(out, n);
            if (memcmp(out, whole, both) != 0)
                fail_msg("%s of %zu bytes is another than a whole one", results[r].name, n);
            for (size_t i = both; i < n; i++) assert_int_equal(out[i], 0);
            check_filler(results[r].name, n, out + n, GUARD);
            free(out);
        }
        free(whole);
    }
    nib_profile_free(profile);
    nib_session_free(session);
    nib_hub_free(hub);
}

/* The figures differ from one measuring to the next; who was asked to measure does not. And they go back in, of any
 * size. */
static void machines_fit_callers_of_every_size(void **state) {
    static const size_t sizes[] = {0, sizeof(int), offsetof(nib_machine, memory_bytes), sizeof(nib_machine),
                                   sizeof(nib_machine) + GUARD};
    nib_profile_step s;
    nib_embed_options o;
    assert_int_equal(nib_profile_create(model, &profile, &e), NIB_OK);
    nib_embed_defaults(&o, sizeof o);
    o.profile = profile;
    assert_int_equal(use_embed(&o), NIB_OK);
    for (size_t i = 0; i < COUNT(sizes); i++) {
        unsigned char *out = block(sizes[i] + GUARD);
        nib_machine m = {0};
        assert_int_equal(nib_machine_measure(runtime, (nib_machine *)(void *)out, sizes[i], &e), NIB_OK);
        check_filler("nib_machine", sizes[i], out + sizes[i], GUARD);
        for (size_t k = sizeof m; k < sizes[i]; k++) assert_int_equal(out[k], 0);
        memcpy(&m, out, sizes[i] < sizeof m ? sizes[i] : sizeof m);
        assert_int_equal(m.threads, sizes[i] ? 1 : 0);
        if (sizes[i] > sizeof(int)) assert_true(m.f32 > 0 && m.cache_bytes > 0);
        if (sizes[i] == offsetof(nib_machine, memory_bytes)) assert_true(m.memory_bytes == 0 && m.cache_size == 0);
        unsigned char *exact = block(sizes[i] ? sizes[i] : 1);
        memcpy(exact, out, sizes[i]);
        for (size_t step = 0; step < nib_profile_step_count(profile); step++) {
            assert_int_equal(nib_profile_step_get(profile, step, (nib_machine *)(void *)exact, sizes[i], &s, sizeof s),
                             NIB_OK);
            if (strstr(s.kind, "linear")) assert_true(sizes[i] > sizeof(int) ? s.peak > 0 : s.peak == 0);
        }
        free(exact);
        free(out);
    }
    nib_profile_free(profile);
}

/* ---- memory that changes hands */

typedef struct hand {
    int released;
    pthread_t thread;
    nib_session *session; /* asked for its outputs from inside the callback */
    nib_status status;
} hand;

static void release(void *owner) {
    hand *h = owner;
    nib_tensor t;
    h->released++;
    h->thread = pthread_self();
    if (h->session) h->status = nib_session_get_output(h->session, nib_session_output_name(h->session, 0), &t, NULL);
}

static int64_t three[3] = {2, 5, 3}, ones[3] = {1, 1, 1};

static nib_tensor tensor_of(int64_t *data) {
    return (nib_tensor){.dtype = NIB_DTYPE_I64, .rank = 2, .dims = {1, 3}, .data = data, .bytes = 24};
}

static nib_tensor given_by(hand *h, int64_t *data) {
    nib_tensor t = tensor_of(data);
    t.release = release;
    t.owner = h;
    return t;
}

static nib_session *ready_session(void) {
    nib_session *s;
    assert_int_equal(nib_session_create(model, &s, &e), NIB_OK);
    for (size_t i = 0; i < nib_session_input_count(s); i++) {
        nib_tensor t = tensor_of(i ? ones : three);
        assert_int_equal(nib_session_set_input(s, nib_session_input_name(s, i), &t, &e), NIB_OK);
    }
    return s;
}

static void inputs_are_released_once(void **state) {
    nib_session *s = ready_session();
    const char *ids = nib_session_input_name(s, 0), *mask = nib_session_input_name(s, 1),
               *y = nib_session_output_name(s, 0);
    hand first = {0}, second = {.session = s}, third = {0}, fourth = {0}, fifth = {0}, refused = {0};
    nib_tensor t = given_by(&first, three), u = given_by(&second, three), v = given_by(&third, ones), got;
    assert_int_equal(nib_session_set_input(s, ids, &t, &e), NIB_OK);
    assert_int_equal(nib_session_run(s, &e), NIB_OK);
    assert_int_equal(first.released, 0);
    assert_int_equal(nib_session_get_output(s, y, &got, &e), NIB_OK);
    assert_int_equal(nib_session_set_input(s, ids, &u, &e), NIB_OK); /* another */
    assert_int_equal(first.released, 1);
    assert_true(pthread_equal(first.thread, pthread_self()));
    assert_int_equal(nib_session_get_output(s, y, &got, &e), NIB_INVALID_ARGUMENT); /* it may have lain there */
    assert_int_equal(nib_session_run(s, &e), NIB_OK);

    nib_tensor bad = given_by(&refused, three);
    assert_int_equal(nib_session_set_input(s, "no such input", &bad, &e), NIB_NOT_FOUND);
    bad.rank = NIB_MAX_RANK + 1;
    assert_int_equal(nib_session_set_input(s, ids, &bad, &e), NIB_INVALID_ARGUMENT);
    bad = given_by(&refused, (int64_t *)(void *)((char *)three + 1));
    assert_int_equal(nib_session_set_input(s, ids, &bad, &e), NIB_INVALID_ARGUMENT);
    bad = given_by(&refused, NULL);
    assert_int_equal(nib_session_set_input(s, ids, &bad, &e), NIB_INVALID_ARGUMENT);
    bad = given_by(&refused, three);
    bad.place.kind = NIB_DEVICE_CUDA;
    assert_int_equal(nib_session_set_input(s, ids, &bad, &e), NIB_UNSUPPORTED);
    assert_int_equal(second.released, 0);
    assert_int_equal(nib_session_run(s, &e), NIB_OK); /* what was bound still is */

    assert_int_equal(nib_session_set_input(s, ids, NULL, &e), NIB_OK); /* nothing */
    assert_int_equal(second.released, 1);
    assert_int_equal(second.status, NIB_INVALID_ARGUMENT); /* the callback found a session without outputs */
    assert_int_equal(nib_session_run(s, &e), NIB_INVALID_ARGUMENT);
    assert_non_null(strstr(e.message, ids));
    assert_int_equal(nib_session_set_input(s, ids, NULL, &e), NIB_OK);
    assert_int_equal(second.released, 1);

    t = tensor_of(three);
    assert_int_equal(nib_session_set_input(s, ids, &t, &e), NIB_OK);
    assert_int_equal(nib_session_set_input(s, mask, &v, &e), NIB_OK);
    v = given_by(&fourth, ones);
    v.dims[1] = 2; /* the run fails, and keeps what it has */
    assert_int_equal(nib_session_set_input(s, mask, &v, &e), NIB_OK);
    assert_int_equal(third.released, 1);
    assert_int_equal(nib_session_run(s, &e), NIB_SHAPE);
    assert_int_equal(fourth.released, 0);
    t = given_by(&fifth, three);
    assert_int_equal(nib_session_set_input(s, ids, &t, &e), NIB_OK);
    nib_session_free(s);
    assert_int_equal(first.released, 1);
    assert_int_equal(second.released, 1);
    assert_int_equal(third.released, 1);
    assert_int_equal(fourth.released, 1);
    assert_int_equal(fifth.released, 1);
    assert_int_equal(refused.released, 0);
}

static void outputs_are_released_once(void **state) {
    nib_session *s = ready_session();
    const char *y = nib_session_output_name(s, 0);
    static float room[3][3 * 64];
    hand hands[3] = {{.session = s}, {0}, {0}}, refused = {0};
    nib_tensor got, to[3], bad;
    for (int i = 0; i < 3; i++)
        to[i] = (nib_tensor){.data = room[i], .bytes = sizeof room[i], .release = release, .owner = &hands[i]};
    assert_int_equal(nib_session_bind_output(s, y, &to[0], &e), NIB_OK);
    assert_int_equal(nib_session_run(s, &e), NIB_OK);
    assert_int_equal(nib_session_get_output(s, y, &got, &e), NIB_OK);
    assert_ptr_equal(got.data, room[0]);
    assert_true(got.release == NULL && got.owner == NULL);

    bad = (nib_tensor){.data = NULL, .release = release, .owner = &refused};
    assert_int_equal(nib_session_bind_output(s, y, &bad, &e), NIB_INVALID_ARGUMENT);
    bad.data = room[1];
    bad.bytes = sizeof room[1];
    assert_int_equal(nib_session_bind_output(s, "no such output", &bad, &e), NIB_NOT_FOUND);
    bad.dtype = NIB_DTYPE_I64;
    assert_int_equal(nib_session_bind_output(s, y, &bad, &e), NIB_TYPE);
    bad.dtype = NIB_DTYPE_F32;
    bad.place = (nib_device){NIB_DEVICE_METAL, 3};
    assert_int_equal(nib_session_bind_output(s, y, &bad, &e), NIB_UNSUPPORTED);
    assert_non_null(strstr(e.message, "metal 3"));
    assert_int_equal(nib_session_get_output(s, y, &got, &e), NIB_OK); /* nothing has changed */

    assert_int_equal(nib_session_bind_output(s, y, &to[1], &e), NIB_OK);
    assert_int_equal(hands[0].released, 1);
    assert_int_equal(hands[0].status, NIB_INVALID_ARGUMENT);
    assert_int_equal(nib_session_get_output(s, y, &got, &e), NIB_INVALID_ARGUMENT);
    assert_int_equal(nib_session_run(s, &e), NIB_OK);
    assert_memory_equal(room[0], room[1], sizeof room[0]);
    assert_int_equal(nib_session_bind_output(s, y, NULL, &e), NIB_OK);
    assert_int_equal(hands[1].released, 1);
    assert_int_equal(nib_session_run(s, &e), NIB_OK);
    assert_int_equal(nib_session_get_output(s, y, &got, &e), NIB_OK);
    assert_memory_equal(got.data, room[0], got.bytes);
    bad = (nib_tensor){.data = room[2], .bytes = sizeof room[2]}; /* borrowed: no run has filled it either */
    assert_int_equal(nib_session_bind_output(s, y, &bad, &e), NIB_OK);
    assert_int_equal(nib_session_get_output(s, y, &got, &e), NIB_INVALID_ARGUMENT);
    assert_int_equal(nib_session_bind_output(s, y, &to[2], &e), NIB_OK);
    assert_int_equal(nib_session_bind_output(s, y, NULL, &e), NIB_OK);
    assert_int_equal(nib_session_bind_output(s, y, NULL, &e), NIB_OK);
    hands[2].released--;
    assert_int_equal(nib_session_bind_output(s, y, &to[2], &e), NIB_OK);
    nib_session_free(s);
    for (int i = 0; i < 3; i++) assert_int_equal(hands[i].released, 1);
    assert_int_equal(refused.released, 0);
}

/* Memory may come from elsewhere, and its place says so; elements of containers as well, whoever is given the
 * container. */
static void memory_elsewhere_is_refused(void **state) {
    static const int32_t kinds[] = {
        NIB_DEVICE_CUDA, NIB_DEVICE_CUDA_HOST, NIB_DEVICE_ROCM, NIB_DEVICE_TRAINIUM, 5, 99, -1};
    nib_session *s = ready_session();
    const char *ids = nib_session_input_name(s, 0);
    nib_tensor element = tensor_of(three),
               list = {.dtype = NIB_DTYPE_SEQUENCE, .rank = 1, .dims = {1}, .data = &element, .bytes = sizeof element},
               outer = list, t = element;
    nib_difference d;
    outer.data = &list;
    for (size_t i = 0; i < COUNT(kinds); i++) {
        nib_device place = {kinds[i], 2};
        t.place = element.place = place;
        const nib_tensor *const all[] = {&t, &list, &outer};
        for (int k = 0; k < 3; k++) {
            assert_int_equal(nib_session_set_input(s, ids, all[k], &e), NIB_UNSUPPORTED);
            if (!strstr(e.message, nib_device_name((nib_device_kind)kinds[i])) || !strstr(e.message, ids))
                fail_msg("%s", e.message);
            assert_int_equal(nib_tensor_write(in_folder("t.pb"), all[k], "t", NIB_TENSOR_FORMAT_AUTO, &e),
                             NIB_UNSUPPORTED);
            assert_int_not_equal(access(in_folder("t.pb"), F_OK), 0);
            assert_int_equal(nib_tensor_compare(all[k], &t, 0, 0, &d, sizeof d), NIB_UNSUPPORTED);
            assert_int_equal(nib_tensor_compare(&list, all[k], 0, 0, &d, sizeof d), NIB_UNSUPPORTED);
        }
    }
    t.place = element.place = (nib_device){NIB_DEVICE_CPU, 0};
    assert_int_equal(nib_session_set_input(s, ids, &t, &e), NIB_OK);
    assert_int_equal(nib_tensor_compare(&list, &list, 0, 0, &d, sizeof d), NIB_OK);
    assert_true(d.same);
    nib_session_free(s);
}

static void tensors_that_nib_gives_are_borrowed_and_on_the_cpu(void **state) {
    nib_session *s = ready_session();
    const char *y = nib_session_output_name(s, 0);
    nib_tensor t, *read, five = tensor_of(three);
    assert_int_equal(nib_session_run(s, &e), NIB_OK);
    for (int i = 0; i < 2; i++) {
        memset(&t, FILLER, sizeof t);
        assert_int_equal(i ? nib_session_output_shape(s, y, &t, &e) : nib_session_get_output(s, y, &t, &e), NIB_OK);
        assert_true(t.place.kind == NIB_DEVICE_CPU && t.place.index == 0 && !t.release && !t.owner);
    }
    assert_int_equal(nib_tensor_write(in_folder("five.npy"), &five, NULL, NIB_TENSOR_FORMAT_AUTO, &e), NIB_OK);
    assert_int_equal(nib_tensor_read(in_folder("five.npy"), NIB_DTYPE_UNDEFINED, &read, &e), NIB_OK);
    assert_true(read->place.kind == NIB_DEVICE_CPU && read->place.index == 0 && !read->release && !read->owner);
    nib_tensor_free(read);
    nib_session_free(s);
}

static void given_away(void *owner) { nib_tensor_free(owner); }

/* What nib_tensor_read gave can be given on: the session frees it. A sanitizer would tell. */
static void a_tensor_that_was_read_can_be_given_away(void **state) {
    nib_session *s = ready_session();
    nib_tensor five = tensor_of(three), *read;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(nib_tensor_write(in_folder("five.pb"), &five, NULL, NIB_TENSOR_FORMAT_AUTO, &e), NIB_OK);
        assert_int_equal(nib_tensor_read(in_folder("five.pb"), NIB_DTYPE_UNDEFINED, &read, &e), NIB_OK);
        read->release = given_away;
        read->owner = read;
        assert_int_equal(nib_session_set_input(s, nib_session_input_name(s, 0), read, &e), NIB_OK);
        assert_int_equal(nib_session_run(s, &e), NIB_OK);
    }
    nib_session_free(s);
}

/* ---- names */

/* Files, scripts and bindings say these: a name that changes is another interface. */
static void names_are_what_they_were(void **state) {
    static const char *const precisions[] = {"file", "auto", "f32", "bf16", "f16", "q8", "q4", "mixed", "?"};
    static const char *const poolings[] = {"model",         "none",          "mean", "cls", "max",
                                           "mean_sqrt_len", "weighted_mean", "last", "?"};
    static const char *const targets[] = {"standard", "onnxruntime", "?"};
    static const char *const roles[] = {"none", "ids", "mask", "types", "positions", "?"};
    static const char *const levels[] = {"error", "warn", "info", "debug", "?"};
    static const char *const devices[] = {
        "?",    "cpu",       "cuda",      "cuda_host",    "opencl", "?",      "?",       "vulkan", "metal",    "vpi",
        "rocm", "rocm_host", "extension", "cuda_managed", "oneapi", "webgpu", "hexagon", "maia",   "trainium", "?"};
    for (int i = 0; i < (int)COUNT(precisions); i++)
        assert_string_equal(nib_precision_name((nib_precision)i), precisions[i]);
    for (int i = 0; i < (int)COUNT(poolings); i++) assert_string_equal(nib_pooling_name((nib_pooling)i), poolings[i]);
    for (int i = 0; i < (int)COUNT(targets); i++) assert_string_equal(nib_target_name((nib_target)i), targets[i]);
    for (int i = 0; i < (int)COUNT(roles); i++) assert_string_equal(nib_role_name((nib_role)i), roles[i]);
    for (int i = 0; i < (int)COUNT(levels); i++) assert_string_equal(nib_log_level_name((nib_log_level)i), levels[i]);
    for (int i = 0; i < (int)COUNT(devices); i++) assert_string_equal(nib_device_name((nib_device_kind)i), devices[i]);
    assert_string_equal(nib_precision_name((nib_precision)-1), "?");
    assert_true(NIB_PRECISION_Q8 == 5 && NIB_POOLING_LAST == 7 && NIB_TARGET_ONNXRUNTIME == 1 &&
                NIB_ROLE_POSITIONS == 4 && NIB_LOG_DEBUG == 3);
}

static void names_lead_back(void **state) {
    nib_precision precision = NIB_PRECISION_Q4;
    nib_pooling pooling;
    nib_target target;
#define BACK(kind, value, number)                                                                                      \
    assert_int_equal(kind##_from_name(kind##_name((kind)(number)), &(value)), NIB_OK), assert_int_equal(value, number);
#define BACK_PRECISION(name, number, text) BACK(nib_precision, precision, number)
#define BACK_POOLING(name, number, text) BACK(nib_pooling, pooling, number)
#define BACK_TARGET(name, number, text) BACK(nib_target, target, number)
    NIB_PRECISION_MAP(BACK_PRECISION)
    NIB_POOLING_MAP(BACK_POOLING)
    NIB_TARGET_MAP(BACK_TARGET)
    precision = NIB_PRECISION_Q4;
    assert_int_equal(nib_precision_from_name("F32", &precision), NIB_NOT_FOUND);
    assert_int_equal(nib_precision_from_name("?", &precision), NIB_NOT_FOUND);
    assert_int_equal(nib_precision_from_name(NULL, &precision), NIB_NOT_FOUND);
    assert_int_equal(precision, NIB_PRECISION_Q4);
    assert_int_equal(nib_precision_from_name("f32", NULL), NIB_INVALID_ARGUMENT);
    assert_int_equal(nib_pooling_from_name("", &pooling), NIB_NOT_FOUND);
    assert_int_equal(nib_target_from_name("ort", &target), NIB_NOT_FOUND);
}

static void the_library_says_its_abi(void **state) {
    assert_int_equal(nib_abi_version(), NIB_ABI_VERSION);
    assert_true(NIB_ABI_VERSION >= 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_of_older_programs_are_taken),
        cmocka_unit_test(options_of_newer_programs_are_taken_if_they_ask_for_nothing_new),
        cmocka_unit_test(sizes_that_are_none_are_refused),
        cmocka_unit_test(the_members_of_an_older_struct_count),
        cmocka_unit_test(results_fit_callers_of_every_size),
        cmocka_unit_test(machines_fit_callers_of_every_size),
        cmocka_unit_test(inputs_are_released_once),
        cmocka_unit_test(outputs_are_released_once),
        cmocka_unit_test(memory_elsewhere_is_refused),
        cmocka_unit_test(tensors_that_nib_gives_are_borrowed_and_on_the_cpu),
        cmocka_unit_test(a_tensor_that_was_read_can_be_given_away),
        cmocka_unit_test(names_are_what_they_were),
        cmocka_unit_test(names_lead_back),
        cmocka_unit_test(the_library_says_its_abi),
    };
    return cmocka_run_group_tests_name("abi", tests, begin, end);
}
