/* SPDX-License-Identifier: Apache-2.0
 *
 * nib.h's promise about errors: after success they are clear, after a failure complete, whatever they held before. Every call that takes
 * one is made both ways; the header itself says which those are.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <nib/nib.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "hub/hub_cache.h"

#define HEADERS NIB_TEST_DATA "/../../include/nib/"
#define TINY NIB_TEST_DATA "/nib/tiny"
#define LABELS NIB_TEST_DATA "/classify/labels"
#define LINEAR NIB_TEST_DATA "/onnx/linear.onnx"
#define MOST 96

static const char *called[2][MOST]; /* [succeeded, failed] */
static int calls[2];
static char folder[] = "/tmp/nib-error-XXXXXX";
static nib_error e;
static nib_model *m;

/* What a call before this one may have left, or nobody ever filled. */
static bool stale(void) {
    memset(&e, 0x41, sizeof e);
    e.status = NIB_IO;
    e.offset = 7;
    return true;
}

static void seen(const char *name, int failed) {
    for (int i = 0; i < calls[failed]; i++)
        if (strcmp(called[failed][i], name) == 0) return;
    assert_true(calls[failed] < MOST);
    called[failed][calls[failed]++] = name;
}

static void check_ok(const char *name, nib_status status) {
    if (status != NIB_OK) fail_msg("%s: %s", name, e.message);
    if (e.status != NIB_OK || e.message[0] || e.node[0] || e.offset != -1)
        fail_msg("%s succeeded and left an error: %d '%.20s' '%.20s' %lld", name, (int)e.status, e.message, e.node, (long long)e.offset);
    seen(name, 0);
}

static void check_fails(const char *name, nib_status status) {
    if (status == NIB_OK) fail_msg("%s did not fail", name);
    if (e.status != status || !e.message[0] || !memchr(e.message, 0, sizeof e.message) || !memchr(e.node, 0, sizeof e.node))
        fail_msg("%s: the error is not complete: %d for %d", name, (int)e.status, (int)status);
    if (e.message[0] == 0x41 || e.node[0] == 0x41 || e.offset == 7) fail_msg("%s: the error is the last one's", name);
    seen(name, 1);
}

#define OK(name, ...) (stale(), check_ok(#name, name(__VA_ARGS__, &e)))
#define FAILS(name, ...) (stale(), check_fails(#name, name(__VA_ARGS__, &e)))

static const char *in_folder(const char *name) {
    static char path[4][100];
    static int at;
    at = (at + 1) % 4;
    snprintf(path[at], sizeof path[at], "%s/%s", folder, name);
    return path[at];
}

static int begin(void **state) {
    if (!mkdtemp(folder)) return 1;
    if (hub_cache_make(folder, TINY) != 0) return 1;
    return nib_model_open(TINY, NULL, &m, &e);
}

static int end(void **state) {
    char command[100];
    nib_model_free(m);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

static void models_and_embeddings(void **state) {
    nib_runtime *rt;
    nib_model *other;
    nib_machine machine;
    nib_profile *profile;
    const char *prompt, *text = "a nib writes";
    static const int32_t ids[3] = {2, 5, 3};
    const int32_t *row = ids;
    int64_t length = 3, none = 0;
    int32_t got[16];
    size_t n, count;
    float out[32];
    int64_t offsets[2];
    nib_tensor *rows;
    OK(nib_runtime_create, NULL, &rt);
    FAILS(nib_runtime_create, NULL, NULL);
    OK(nib_model_open, TINY, NULL, &other);
    nib_model_free(other);
    FAILS(nib_model_open, "/no/such/model", NULL, &other);
    FILE *f = fopen(LINEAR, "rb");
    assert_non_null(f);
    char *bytes = aligned_alloc(64, 65536);
    const size_t size = fread(bytes, 1, 65536, f);
    fclose(f);
    OK(nib_model_open_memory, bytes, size, NULL, NULL, &other);
    nib_model_free(other);
    FAILS(nib_model_open_memory, bytes, 3, NULL, NULL, &other);
    free(bytes);
    OK(nib_model_explain, m, NULL, 0, &n);
    FAILS(nib_model_explain, NULL, NULL, 0, &n);
    OK(nib_model_warm, m, 0, 1);
    FAILS(nib_model_warm, m, 0, 0);
    OK(nib_embed, m, &text, 1, NULL, out);
    FAILS(nib_embed, NULL, &text, 1, NULL, out);
    OK(nib_embed_ids, m, &row, &length, 1, NULL, out);
    const nib_vectors some = {.type = NIB_VECTOR_F32, .data = out, .n = 2, .width = 4};
    nib_recipe recipe;
    nib_hit hit;
    float ranges[8];
    OK(nib_vectors_convert, out, 2, 4, NULL, ranges);
    FAILS(nib_vectors_convert, out, 2, 0, NULL, ranges);
    OK(nib_vectors_ranges, out, 2, 4, NULL, ranges);
    FAILS(nib_vectors_ranges, out, 0, 4, NULL, ranges);
    OK(nib_vectors_pool, out, (const int64_t[]){0, 2}, 1, 4, NIB_POOLING_MEAN, NULL, ranges);
    FAILS(nib_vectors_pool, out, (const int64_t[]){0, 2}, 1, 4, NIB_POOLING_NONE, NULL, ranges);
    OK(nib_search, &some, &some, 1, NULL, (nib_hit[2]){0}, NULL);
    FAILS(nib_search, &some, &some, 0, NULL, &hit, NULL);
    OK(nib_recipe_find, "auto", 0, 0, &recipe, sizeof recipe);
    FAILS(nib_recipe_find, "none", 0, 0, &recipe, sizeof recipe);
    OK(nib_embed_tokens, m, &text, 1, NULL, offsets, &rows);
    nib_tensor_free(rows);
    FAILS(nib_embed_tokens, m, NULL, 1, NULL, offsets, &rows);
    FAILS(nib_classify, m, &text, NULL, 1, NULL, out);
    OK(nib_model_open, LABELS, NULL, &other);
    OK(nib_classify, other, &text, &text, 1, NULL, out);
    nib_model_free(other);
    OK(nib_model_choose_prompt, m, NULL, &prompt);
    FAILS(nib_model_choose_prompt, m, "no such prompt", &prompt);
    FAILS(nib_embed_ids, m, &row, &none, 1, NULL, out);
    OK(nib_tokenize, m, text, 4, 0, got, NULL, NULL, 16, &count);
    FAILS(nib_tokenize, m, NULL, 4, 0, got, NULL, NULL, 16, &count);
    nib_tokenizer *alone, *own;
    nib_encode_options none_left;
    nib_encode_defaults(&none_left, sizeof none_left);
    none_left.max_tokens = 1;
    OK(nib_tokenizer_open, TINY "/tokenizer.json", rt, &alone);
    FAILS(nib_tokenizer_open, "/no/such/tokenizer.json", rt, &own);
    OK(nib_model_tokenizer, m, &own);
    OK(nib_encode, own, text, strlen(text), NULL, got, 16, &count);
    FAILS(nib_encode, own, text, strlen(text), &none_left, got, 16, &count);
    OK(nib_decode, alone, got, count, 1, (char *)out, sizeof out, &n);
    FAILS(nib_decode, alone, NULL, count, 1, (char *)out, sizeof out, &n);
    nib_tokenizer_free(alone);
    nib_tokenizer_free(own);
    FAILS(nib_model_tokenizer, NULL, &own);
    OK(nib_machine_measure, rt, &machine, sizeof machine);
    FAILS(nib_machine_measure, rt, NULL, 0);
    nib_device_info device;
    OK(nib_devices_get, rt, "cpu", &device, sizeof device, 1, &n);
    FAILS(nib_devices_get, rt, "no-such-device", &device, sizeof device, 1, &n);
    OK(nib_profile_create, m, &profile);
    nib_profile_free(profile);
    FAILS(nib_profile_create, NULL, &profile);
    nib_runtime_free(rt);
}

static void sessions(void **state) {
    nib_session *s;
    nib_profile *profile;
    nib_tensor t, ids = {.dtype = NIB_DTYPE_I64, .rank = 2, .dims = {1, 3}, .data = (int64_t[]){2, 5, 3}, .bytes = 24};
    nib_tensor ones = {.dtype = NIB_DTYPE_I64, .rank = 2, .dims = {1, 3}, .data = (int64_t[]){1, 1, 1}, .bytes = 24};
    FAILS(nib_session_create, NULL, &s);
    OK(nib_session_create, m, &s);
    FAILS(nib_session_run, s);
    for (size_t i = 0; i < nib_session_input_count(s); i++)
        OK(nib_session_set_input, s, nib_session_input_name(s, i), i == 0 ? &ids : &ones);
    FAILS(nib_session_set_input, s, "no such input", &ids);
    const char *name = nib_session_output_name(s, 0);
    FAILS(nib_session_get_output, s, name, &t);
    OK(nib_session_bind_output, s, name, NULL);
    FAILS(nib_session_bind_output, s, "no such output", NULL);
    OK(nib_session_output_shape, s, name, &t);
    FAILS(nib_session_output_shape, s, "no such output", &t);
    OK(nib_session_profile, s, &profile);
    OK(nib_session_run, s);
    OK(nib_session_get_output, s, name, &t);
    nib_session_free(s);
    nib_profile_free(profile);
    FAILS(nib_session_profile, NULL, &profile);
}

static void models_by_name(void **state) {
    nib_hub *hub;
    nib_hub_model found;
    char path[400];
    size_t length;
    OK(nib_pull, "org/tiny", NULL);
    FAILS(nib_pull, "org/other", NULL);
    FAILS(nib_pull, "../other", NULL);
    OK(nib_hub_find, "org/tiny", path, sizeof path, &length);
    assert_int_equal(strlen(path), length);
    assert_non_null(strstr(path, "models--org--tiny/snapshots/" HUB_CACHE_COMMIT));
    OK(nib_hub_find, "org/tiny:config.json", path, 5, NULL);
    assert_int_equal(strlen(path), 4);
    OK(nib_hub_find, TINY, path, sizeof path, NULL);
    assert_string_equal(path, TINY);
    FAILS(nib_hub_find, "org/other", path, sizeof path, NULL);
    FAILS(nib_hub_find, "no such file", path, sizeof path, NULL);
    OK(nib_check, "org/tiny", NULL, path, sizeof path, &length);
    FAILS(nib_check, "org/other", NULL, path, sizeof path, &length);
    FAILS(nib_check, NULL, NULL, path, sizeof path, &length);
    FAILS(nib_hub_open, NULL, NULL);
    OK(nib_hub_open, NULL, &hub);
    assert_int_equal(nib_hub_count(hub), 1);
    assert_int_equal(nib_hub_model_get(hub, 1, &found, sizeof found), NIB_INVALID_ARGUMENT);
    assert_int_equal(nib_hub_model_get(hub, 0, &found, sizeof found), NIB_OK);
    assert_string_equal(found.name, "org/tiny");
    assert_string_equal(found.refs, "main");
    assert_string_equal(found.commit, HUB_CACHE_COMMIT);
    assert_string_equal(found.file, "model.safetensors");
    assert_string_equal(found.kind, "bert");
    assert_string_equal(found.why, "");
    assert_int_equal(found.runs, 1);
    assert_int_equal(found.task, NIB_TASK_EMBED);
    assert_int_equal(found.dim, 32);
    assert_true(found.bytes > 40000 && found.bytes < 42000);
    nib_hub_free(hub);
    nib_hub_free(NULL);
}

/* Every call that takes a model's path takes its name. */
static void names_for_paths(void **state) {
    nib_model *model;
    nib_tokenizer *tokenizer;
    nib_report *report;
    OK(nib_model_open, "org/tiny", NULL, &model);
    nib_model_free(model);
    FAILS(nib_model_open, "org/other", NULL, &model);
    assert_non_null(strstr(e.message, "nib pull org/other"));
    OK(nib_tokenizer_open, "org/tiny", NULL, &tokenizer);
    nib_tokenizer_free(tokenizer);
    OK(nib_tokenizer_open, "org/tiny:tokenizer.json", NULL, &tokenizer);
    nib_tokenizer_free(tokenizer);
    OK(nib_optimize_file, "org/tiny", in_folder("named"), NULL, NULL);
    OK(nib_diff_files, "org/tiny", "org/tiny@" HUB_CACHE_COMMIT, NULL, NULL);
    OK(nib_graph_of_file, "org/tiny", NULL, NIB_GRAPH_TEXT, &report);
    nib_report_free(report);
    OK(nib_quantize_file, "org/tiny", in_folder("named-int8"), NULL, NULL);
    OK(nib_export_folder, "org/tiny", in_folder("named-onnx"), NULL);
    OK(nib_compile_file, "org/tiny", in_folder("named.nib"), NULL);
}

static void model_files(void **state) {
    nib_report *report;
    OK(nib_optimize_file, LINEAR, in_folder("a.onnx"), NULL, NULL);
    FAILS(nib_optimize_file, "/no/such/model", in_folder("b.onnx"), NULL, NULL);
    OK(nib_diff_files, LINEAR, in_folder("a.onnx"), NULL, NULL);
    FAILS(nib_diff_files, LINEAR, "/no/such/model", NULL, NULL);
    OK(nib_graph_of_file, LINEAR, NULL, NIB_GRAPH_TEXT, &report);
    nib_report_free(report);
    FAILS(nib_graph_of_file, NULL, NULL, NIB_GRAPH_TEXT, &report);
    OK(nib_quantize_file, TINY, in_folder("a-int8"), NULL, NULL);
    FAILS(nib_quantize_file, TINY, "", NULL, NULL);
    OK(nib_export_folder, NIB_TEST_DATA "/hf/bert-tiny", in_folder("exported"), NULL);
    FAILS(nib_export_folder, "/no/such/model", in_folder("b"), NULL);
    OK(nib_compile_file, TINY, in_folder("a.nib"), NULL);
    FAILS(nib_compile_file, TINY, "", NULL);
    OK(nib_compiled_verify, in_folder("a.nib"));
    FAILS(nib_compiled_verify, LINEAR);
}

static void tensor_files(void **state) {
    nib_file *file;
    nib_npy *npy;
    nib_tensor *read, t = {.dtype = NIB_DTYPE_F32, .rank = 1, .dims = {2}, .data = (float[]){1, 2}, .bytes = 8};
    FAILS(nib_file_create, folder, &file);
    OK(nib_file_create, in_folder("f"), &file);
    OK(nib_file_write, file, "x", 1);
    FAILS(nib_file_write, NULL, "x", 1);
    OK(nib_file_commit, file);
    FAILS(nib_file_commit, NULL);
    OK(nib_npy_create, in_folder("n.npy"), 2, &npy);
    OK(nib_npy_append, npy, t.data, 1);
    OK(nib_npy_commit, npy);
    FAILS(nib_npy_create, NULL, 2, &npy);
    OK(nib_npy_create_for, in_folder("n.npy"), NIB_VECTOR_UBINARY, 9, &npy);
    nib_npy_abort(npy);
    FAILS(nib_npy_create_for, in_folder("n.npy"), NIB_VECTOR_UBINARY, 0, &npy);
    FAILS(nib_npy_append, NULL, NULL, 0);
    FAILS(nib_npy_commit, NULL);
    OK(nib_tensor_write, in_folder("t.npy"), &t, NULL, NIB_TENSOR_FORMAT_AUTO);
    FAILS(nib_tensor_write, folder, &t, NULL, NIB_TENSOR_FORMAT_AUTO);
    OK(nib_tensor_read, in_folder("t.npy"), NIB_DTYPE_UNDEFINED, &read);
    nib_tensor_free(read);
    FAILS(nib_tensor_read, in_folder("missing"), NIB_DTYPE_UNDEFINED, &read);
}

static long left = -1; /* requests until one is refused */

static void *allocate(void *user, size_t bytes) { return left >= 0 && left-- == 0 ? NULL : aligned_alloc(64, (bytes + 63) / 64 * 64); }
static void release(void *user, void *pointer, size_t bytes) { free(pointer); }

static nib_model *open_refusing(void) {
    nib_runtime_options r;
    nib_model_options o;
    nib_model *made;
    nib_runtime_defaults(&r, sizeof r);
    r.threads = 4;
    r.allocate = allocate;
    r.release = release;
    nib_model_defaults(&o, sizeof o);
    assert_int_equal(nib_runtime_create(&r, &o.runtime, NULL), NIB_OK);
    assert_int_equal(nib_model_open(TINY, &o, &made, NULL), NIB_OK);
    nib_runtime_free(o.runtime);
    return made;
}

/* A group that finds no memory is halved, and the call succeeds: of what went before, the error says nothing. */
static void a_second_try_leaves_no_error(void **state) {
    static const int32_t ids[8] = {2, 5, 6, 7, 8, 9, 10, 3};
    const int32_t *const rows[] = {ids, ids, ids};
    const int64_t lengths[] = {8, 8, 8};
    int refused = 0, halved = 0;
    bool all = false;
    for (long n = 0; !all; n++) {
        float out[3 * 32];
        nib_model *tried = open_refusing();
        stale();
        left = n;
        nib_status status = nib_embed_ids(tried, rows, lengths, 3, NULL, out, &e);
        all = left >= 0;
        left = -1;
        if (status == NIB_OK) check_ok("nib_embed_ids", status), halved += !all;
        else check_fails("nib_embed_ids", status), refused++;
        nib_model_free(tried);
    }
    assert_true(refused > 0 && halved > 0);
}

/* Text that outgrows memory while it is put together. */
static void a_failure_without_words_gets_some(void **state) {
    nib_model *tried = open_refusing();
    size_t n;
    int refused = 0;
    bool all = false;
    OK(nib_model_explain, tried, NULL, 0, &n);
    for (long k = 0; !all; k++) {
        stale();
        e.status = NIB_OUT_OF_MEMORY; /* as if this call had put the rest there */
        left = k;
        nib_status status = nib_model_explain(tried, NULL, 0, &n, &e);
        all = left >= 0;
        left = -1;
        if (status != NIB_OK) check_fails("nib_model_explain", status), refused++;
        else check_ok("nib_model_explain", status);
    }
    assert_true(refused > 0);
    nib_model_free(tried);
}

#define NPZ "/tmp/nib-test-error.npz"

static void tasks(void **state) {
    const char *texts[2] = {"a nib writes", "ink"};
    nib_ranked ranked[2];
    nib_model *labels, *tagger;
    size_t count;
    OK(nib_model_open, NIB_TEST_DATA "/classify/relevance", NULL, &labels);
    nib_tags *tags;
    OK(nib_model_open, NIB_TEST_DATA "/tasks/ner-bert", NULL, &tagger);
    OK(nib_tag, tagger, texts, 2, NULL, &tags);
    nib_tags_free(tags);
    FAILS(nib_tag, m, texts, 2, NULL, &tags);
    nib_model_free(tagger);
    nib_fills *fills;
    const char *masked = "a [MASK] writes";
    OK(nib_model_open, NIB_TEST_DATA "/tasks/fill-bert", NULL, &tagger);
    OK(nib_fill, tagger, &masked, 1, NULL, &fills);
    nib_fills_free(fills);
    FAILS(nib_fill, m, &masked, 1, NULL, &fills);
    FAILS(nib_fill, tagger, texts, 2, NULL, &fills);
    nib_model_free(tagger);
    nib_answers *answers;
    OK(nib_model_open, NIB_TEST_DATA "/tasks/answer-bert", NULL, &tagger);
    OK(nib_answer, tagger, texts, texts, 2, NULL, &answers);
    nib_answers_free(answers);
    FAILS(nib_answer, m, texts, texts, 2, NULL, &answers);
    nib_model_free(tagger);
    nib_ranked fits[4];
    OK(nib_model_open, NIB_TEST_DATA "/tasks/zero-bert", NULL, &tagger);
    OK(nib_zero_shot, tagger, texts, 2, texts, 2, NULL, fits);
    FAILS(nib_zero_shot, tagger, texts, 2, texts, 0, NULL, fits);
    nib_model_free(tagger);
    nib_tensor *rows;
    int64_t offsets[3];
    float score;
    OK(nib_model_open, NIB_TEST_DATA "/tasks/colbert-bert", NULL, &tagger);
    OK(nib_colbert, tagger, NIB_COLBERT_QUERY, texts, 2, NULL, offsets, &rows);
    nib_vectors some = {.data = rows->data, .n = (size_t)rows->dims[0], .width = rows->dims[1]};
    OK(nib_maxsim, NULL, &some, &some, offsets, 1, &score);
    some.type = NIB_VECTOR_F16;
    FAILS(nib_maxsim, NULL, &some, &some, offsets, 1, &score);
    nib_tensor_free(rows);
    FAILS(nib_colbert, m, NIB_COLBERT_QUERY, texts, 2, NULL, offsets, &rows);
    nib_model_free(tagger);
    nib_sparse *words, *again;
    nib_hit hits[4];
    size_t counts[2];
    OK(nib_model_open, NIB_TEST_DATA "/tasks/sparse-bert", NULL, &tagger);
    OK(nib_embed_sparse, tagger, texts, 2, NULL, &words);
    OK(nib_sparse_search, words, words, 2, NULL, hits, counts);
    FAILS(nib_sparse_search, words, words, 0, NULL, hits, counts);
    OK(nib_sparse_write, NPZ, words);
    OK(nib_sparse_read, NPZ, &again);
    nib_sparse_free(again);
    unlink(NPZ);
    FAILS(nib_sparse_read, NPZ, &again);
    words->width = 1;
    FAILS(nib_sparse_write, NPZ, words);
    nib_sparse_free(words);
    FAILS(nib_embed_sparse, m, texts, 2, NULL, &words);
    nib_model_free(tagger);
    OK(nib_model_open, NIB_TEST_DATA "/tasks/m3-xlmr", NULL, &tagger);
    OK(nib_embed_hybrid, tagger, texts, 2, NULL, NULL, &words, offsets, &rows);
    nib_sparse_free(words);
    nib_tensor_free(rows);
    FAILS(nib_embed_hybrid, tagger, texts, 2, NULL, NULL, NULL, NULL, NULL);
    nib_model_free(tagger);
    OK(nib_rank, labels, "a pen", texts, 2, NULL, ranked, &count);
    FAILS(nib_rank, labels, NULL, texts, 2, NULL, ranked, &count);
    FAILS(nib_rank, m, "a pen", texts, 2, NULL, ranked, &count);
    nib_model_free(labels);
}

/* With a ticket in the options they go, without any they do not. */
#define SUBMITS(name, defaults, options, ...)                                                                          \
    do {                                                                                                               \
        options o;                                                                                                     \
        defaults(&o, sizeof o);                                                                                        \
        FAILS(name, __VA_ARGS__, &r);                                                                                  \
        o.ticket = &ticket;                                                                                            \
        OK(name, __VA_ARGS__, &r);                                                                                     \
        OK(nib_request_wait, r, -1);                                                                                   \
        nib_request_free(r);                                                                                           \
    } while (0)

static nib_model *open_on(nib_runtime *rt, const char *path) {
    nib_model_options o;
    nib_model *model;
    nib_model_defaults(&o, sizeof o);
    o.runtime = rt;
    OK(nib_model_open, path, &o, &model);
    return model;
}

static void tasks_submitted(void **state) {
    static const char *const folders[] = {NIB_TEST_DATA "/tasks/rank-bert",   NIB_TEST_DATA "/tasks/zero-bert",
                                          NIB_TEST_DATA "/tasks/ner-bert",    NIB_TEST_DATA "/tasks/fill-bert",
                                          NIB_TEST_DATA "/tasks/answer-bert", NIB_TEST_DATA "/tasks/colbert-bert",
                                          NIB_TEST_DATA "/tasks/sparse-bert", TINY};
    const char *const texts[2] = {"[MASK] a nib writes", "ink [MASK]"};
    nib_model *on[8];
    nib_runtime *rt;
    nib_queue *queue;
    nib_request *r;
    nib_ticket ticket;
    nib_ranked ranked[4];
    size_t count;
    nib_tags *tags;
    nib_fills *fills;
    nib_answers *answers;
    nib_tensor *rows;
    nib_sparse *words;
    int64_t offsets[3];
    nib_chunk_options c;
    OK(nib_runtime_create, NULL, &rt);
    for (size_t i = 0; i < 8; i++) on[i] = open_on(rt, folders[i]);
    OK(nib_queue_create, rt, NULL, &queue);
    nib_ticket_defaults(&ticket, sizeof ticket);
    ticket.queue = queue;
    SUBMITS(nib_submit_rank, nib_rank_defaults, nib_rank_options, on[0], "a pen", texts, 2, &o, ranked, &count);
    SUBMITS(nib_submit_zero_shot, nib_zero_shot_defaults, nib_zero_shot_options, on[1], texts, 2, texts, 2, &o, ranked);
    SUBMITS(nib_submit_tag, nib_tag_defaults, nib_tag_options, on[2], texts, 2, &o, &tags);
    SUBMITS(nib_submit_fill, nib_fill_defaults, nib_fill_options, on[3], texts, 2, &o, &fills);
    SUBMITS(nib_submit_answer, nib_answer_defaults, nib_answer_options, on[4], texts, texts, 2, &o, &answers);
    SUBMITS(nib_submit_colbert, nib_colbert_defaults, nib_colbert_options, on[5], NIB_COLBERT_QUERY, texts, 2, &o, offsets,
            &rows);
    nib_tensor_free(rows);
    SUBMITS(nib_submit_embed_sparse, nib_sparse_defaults, nib_sparse_options, on[6], texts, 2, &o, &words);
    nib_chunk_options_defaults(&c, sizeof c);
    c.overflow = NIB_OVERFLOW_CHUNK;
    c.aggregate = NIB_AGGREGATE_EACH;
    SUBMITS(nib_submit_embed_chunks, nib_embed_defaults, nib_embed_options, on[7], texts, 2, (o.chunks = &c, &o), offsets, NULL,
            &rows);
    nib_tags_free(tags);
    nib_fills_free(fills);
    nib_answers_free(answers);
    nib_sparse_free(words);
    nib_tensor_free(rows);
    nib_queue_free(queue);
    for (size_t i = 0; i < 8; i++) nib_model_free(on[i]);
    nib_runtime_free(rt);
}

static void long_texts(void **state) {
    const char *texts[] = {"a nib is the tip of a pen", "ink"};
    nib_chunk_options c;
    nib_embed_options o;
    nib_tensor *rows;
    int64_t offsets[3];
    nib_chunk_options_defaults(&c, sizeof c);
    nib_embed_defaults(&o, sizeof o);
    o.chunks = &c;
    FAILS(nib_embed_chunks, m, texts, 2, &o, offsets, NULL, &rows);
    c.overflow = NIB_OVERFLOW_CHUNK;
    c.aggregate = NIB_AGGREGATE_EACH;
    c.tokens = 6;
    OK(nib_embed_chunks, m, texts, 2, &o, offsets, NULL, &rows);
    nib_tensor_free(rows);
    nib_stream_options so;
    nib_stream *stream;
    nib_stream_chunk chunk;
    size_t taken;
    float row[32];
    nib_stream_defaults(&so, sizeof so);
    FAILS(nib_stream_open, m, &so, &stream);
    so.embed = &o;
    OK(nib_stream_open, m, &so, &stream);
    OK(nib_stream_feed, stream, texts[0], 26, &taken);
    FAILS(nib_stream_feed, stream, NULL, 1, &taken);
    OK(nib_stream_end, stream);
    FAILS(nib_stream_end, NULL);
    OK(nib_stream_next, stream, -1, &chunk, row);
    FAILS(nib_stream_next, stream, 0, NULL, row);
    nib_stream_free(stream);
}

static _Atomic int answers;
static void count_answers(void *user, size_t i, nib_status status, const float *row, int64_t rows, int64_t width) {
    answers += status == NIB_OK && rows > 1 && width == 32;
}

static void queues(void **state) {
    nib_runtime *rt;
    nib_model *own, *labels;
    nib_queue_options options;
    nib_ticket ticket;
    nib_embed_options embed;
    nib_classify_options classify;
    nib_model_options open;
    nib_queue *queue;
    nib_request *r;
    const char *text = "a nib writes";
    float out[32];
    nib_queue_defaults(&options, sizeof options);
    nib_ticket_defaults(&ticket, sizeof ticket);
    nib_embed_defaults(&embed, sizeof embed);
    nib_classify_defaults(&classify, sizeof classify);
    nib_model_defaults(&open, sizeof open);
    OK(nib_runtime_create, NULL, &rt);
    open.runtime = rt;
    OK(nib_model_open, TINY, &open, &own);
    OK(nib_model_open, LABELS, &open, &labels);
    FAILS(nib_queue_create, NULL, NULL, &queue);
    OK(nib_queue_create, rt, &options, &queue);
    embed.ticket = classify.ticket = &ticket;
    FAILS(nib_submit_embed, own, &text, 1, &embed, out, &r);
    FAILS(nib_submit_embed_tokens, own, &text, 1, &embed, &r);
    FAILS(nib_submit_classify, labels, &text, NULL, 1, &classify, out, &r);
    ticket.queue = queue;
    OK(nib_submit_embed, own, &text, 1, &embed, out, &r);
    OK(nib_request_wait, r, -1);
    nib_request_free(r);
    OK(nib_submit_classify, labels, &text, NULL, 1, &classify, out, &r);
    nib_request_free(r);
    ticket.answer = count_answers;
    OK(nib_submit_embed_tokens, own, &text, 1, &embed, &r);
    OK(nib_request_wait, r, -1);
    nib_request_free(r);
    FAILS(nib_request_wait, NULL, 0);
    assert_int_equal(answers, 1);
    nib_queue_free(queue);
    nib_model_free(labels);
    nib_model_free(own);
    nib_runtime_free(rt);
}

/* The calls of nib.h that take an error, and those that were made here, are the same. */
static void no_call_is_left_out(void **state) {
    static const char *const headers[] = {HEADERS "nib.h", HEADERS "hub.h", HEADERS "quantize.h", HEADERS "queue.h",
                                           HEADERS "tasks.h", HEADERS "sparse.h", HEADERS "vectors.h",
                                           HEADERS "chunks.h"};
    char *text = calloc(1, 1 << 20), *at = text;
    int wanted = 0;
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        FILE *f = fopen(headers[i], "rb");
        assert_non_null(f);
        const size_t n = fread(at, 1, (1 << 18) - 1, f);
        assert_true(n > 2000);
        at += n;
        fclose(f);
    }
    for (at = text; (at = strstr(at, "NIB_API nib_status ")) != NULL;) {
        char name[64];
        at += 19;
        char *stop = strstr(at, ");");
        assert_non_null(stop);
        *stop = 0;
        bool takes = strstr(at, "nib_error *error") != NULL;
        assert_int_equal(sscanf(at, "%63[a-z_]", name), 1);
        at = stop + 1;
        if (!takes) continue;
        wanted++;
        for (int failed = 0; failed < 2; failed++) {
            bool made = false;
            for (int i = 0; i < calls[failed]; i++) made |= strcmp(called[failed][i], name) == 0;
            if (!made) fail_msg("%s is not called to %s", name, failed ? "fail" : "succeed");
        }
    }
    assert_int_equal(calls[0], wanted);
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(models_and_embeddings),
        cmocka_unit_test(sessions),
        cmocka_unit_test(models_by_name),
        cmocka_unit_test(names_for_paths),
        cmocka_unit_test(model_files),
        cmocka_unit_test(tensor_files),
        cmocka_unit_test(tasks_submitted), cmocka_unit_test(long_texts), cmocka_unit_test(queues),
        cmocka_unit_test(tasks),
        cmocka_unit_test(a_second_try_leaves_no_error),
        cmocka_unit_test(a_failure_without_words_gets_some),
        cmocka_unit_test(no_call_is_left_out),
    };
    return cmocka_run_group_tests_name("error", tests, begin, end);
}
