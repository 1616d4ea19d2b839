/* SPDX-License-Identifier: Apache-2.0
 *
 * config.json of every family of test/data/hf, with one member after the other made absent or something else: each
 * folder opens, and its graph's shapes are inferred, or the answer is a status. Sanitizers see what a builder computes
 * after it has refused a size.
 */
#include "hf_golden.h"
#include "op/op.h"
#include <dirent.h>

static const char *const others[] = {
    "0",    "1",     "2",  "3",  "-1",   "0.5",  "-0.0",  "1e308",       "2147483648",          "9223372036854775807",
    "null", "false", "[]", "{}", "[{}]", "\"\"", "\"x\"", "\"\\u0000\"", "18446744073709551615"};

static char *read_text(const char *path, size_t *size) {
    FILE *f = fopen(path, "rb");
    char *text = f ? calloc(1, 1 << 21) : NULL;
    if (f && text) *size = fread(text, 1, (1 << 21) - 1, f);
    if (f) fclose(f);
    return text;
}

static void open_with(nib_runtime *rt, const char *config, size_t *opened) {
    graph *g;
    nib_error err;
    hf_text("config.json", config);
    nib_status status = hf_load_graph(rt, hf_dir, &g, &err);
    if (status != NIB_OK) {
        assert_true(status < 0 && err.message[0]);
        return;
    }
    op_resolve(g);
    *opened += op_infer_graph(g, &err) == NIB_OK;
    graph_free(g);
}

/* The end of a value that begins at p, on the lines that json.dump(indent) writes: a scalar's line, or a block's last
 * one. */
static const char *end_of(const char *p, size_t indent) {
    const char *end = p + strcspn(p, "\n");
    for (const char *line = end; (*p == '{' || *p == '[') && p[1] == '\n' && *line;) {
        const char *at = line + 1, *text = at + strspn(at, " ");
        line = at + strcspn(at, "\n");
        if ((*text == '}' || *text == ']') && (size_t)(text - at) == indent) {
            end = line;
            break;
        }
    }
    return end[-1] == ',' ? end - 1 : end;
}

static int mutate(nib_runtime *rt, const char *config, size_t *opened) {
    int members = 0;
    char *text = malloc(strlen(config) + 100);
    assert_non_null(text);
    for (const char *line = config; *line; line += strcspn(line, "\n") + 1) {
        const char *key = line + strspn(line, " "), *value = strstr(line, "\": ");
        if (!value || value > line + strcspn(line, "\n")) {
            if (!line[strcspn(line, "\n")]) break;
            continue;
        }
        const char *end = end_of(value + 3, (size_t)(key - line));
        for (size_t i = 0; i < BASE_COUNT(others); i++) {
            sprintf(text, "%.*s%s%s", (int)(value + 3 - config), config, others[i], end);
            open_with(rt, text, opened);
        }
        sprintf(text, "%.*s\"_%s", (int)(key - config), config, key + 1);
        open_with(rt, text, opened);
        members++;
    }
    free(text);
    return members;
}

static void every_member_of_every_family(void **state) {
    int families = 0;
    DIR *d = opendir(NIB_TEST_DATA "/hf");
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        char path[400];
        size_t size = 0, opened = 0;
        snprintf(path, sizeof path, NIB_TEST_DATA "/hf/%.60s/config.json", e->d_name);
        char *config = read_text(path, &size);
        if (!config) continue;
        snprintf(path, sizeof path, NIB_TEST_DATA "/hf/%.60s/model.safetensors", e->d_name);
        char *weights = read_text(path, &size);
        assert_non_null(weights);
        hf_fresh();
        hf_write("model.safetensors", weights, size);
        open_with(*state, config, &opened);
        assert_int_equal(opened, 1); /* as it is */
        assert_true(mutate(*state, config, &opened) > 15);
        assert_true(opened > 100);
        families++;
        free(config);
        free(weights);
    }
    closedir(d);
    assert_true(families >= 3);
}

/* The same of every family that has a golden; those with a '-' are the same families with a head or another setting. */
static void mutate_golden(void *user, const char *name) {
    if (strchr(name, '-')) return;
    yyjson_doc *golden = golden_read(name, "golden.json");
    const golden_spoil none = {{NULL, NULL}, NULL, NULL};
    char path[400];
    size_t size = 0, opened = 0;
    snprintf(path, sizeof path, HF_FAMILIES "/%.60s/config.json", name);
    char *config = read_text(path, &size);
    assert_non_null(config);
    hf_fresh();
    golden_weights(yyjson_doc_get_root(golden), &none);
    open_with(user, config, &opened);
    assert_int_equal(opened, 1);
    assert_true(mutate(user, config, &opened) > 10);
    assert_true(opened > 50);
    free(config);
    yyjson_doc_free(golden);
}

static void every_member_of_every_golden(void **state) { assert_true(golden_each(mutate_golden, *state) >= 15); }

/* ---- memory that runs out while a graph is made: an error, and nothing left behind */

typedef struct failing {
    size_t at, seen, held; /* the request that fails; so many came; bytes */
} failing;

static void *failing_allocate(void *user, size_t bytes) {
    failing *f = user;
    if (f->seen++ == f->at) return NULL;
    void *p = aligned_alloc(64, (bytes + 63) / 64 * 64);
    if (p) f->held += bytes;
    return p;
}

static void failing_release(void *user, void *p, size_t bytes) {
    if (p) ((failing *)user)->held -= bytes;
    free(p);
}

/* The status with request `at` failing, and how many requests there were. */
static nib_status load_failing(size_t at, size_t *requests, const char *name) {
    failing f = {.at = SIZE_MAX};
    nib_runtime_options o;
    nib_runtime *rt;
    nib_error e = {0};
    graph *g = NULL;
    nib_runtime_defaults(&o, sizeof o);
    o.allocate = failing_allocate;
    o.release = failing_release;
    o.alloc_user = &f;
    o.threads = 1;
    assert_int_equal(nib_runtime_create(&o, &rt, &e), NIB_OK);
    const size_t before = f.held;
    f.at = at == SIZE_MAX ? at : f.seen + at;
    const size_t seen = f.seen;
    const nib_status status = hf_load_graph(rt, hf_dir, &g, &e);
    *requests = f.seen - seen;
    assert_true((g != NULL) == (status == NIB_OK));
    graph_free(g);
    if (status != NIB_OK && status != NIB_OUT_OF_MEMORY)
        fail_msg("%s: request %zu: %s: %s", name, at, nib_status_text(status), e.message);
    if (f.held != before) fail_msg("%s: %zu bytes are left when request %zu fails", name, f.held - before, at);
    nib_runtime_free(rt);
    return status;
}

static void fail_each_request(void *user, const char *name) {
    if (strchr(name, '-')) return;
    yyjson_doc *golden = golden_read(name, "golden.json"), *config = golden_read(name, "config.json");
    const golden_spoil none = {{NULL, NULL}, NULL, NULL};
    size_t total, requests;
    hf_fresh();
    golden_weights(yyjson_doc_get_root(golden), &none);
    golden_config(yyjson_doc_get_root(config), NULL);
    assert_int_equal(load_failing(SIZE_MAX, &total, name), NIB_OK);
    size_t passed = 0; /* less was asked for instead */
    for (size_t n = 0; n < total; n++) passed += load_failing(n, &requests, name) == NIB_OK;
    if (passed > total / 4) fail_msg("%s: of %zu requests that failed nobody saw %zu", name, total, passed);
    yyjson_doc_free(golden);
    yyjson_doc_free(config);
}

static void memory_runs_out(void **state) { golden_each(fail_each_request, NULL); }

/* Sizes that do not fit each other: what one refuses, no other divides by. */
static void sizes_beside_each_other(void **state) {
    static const int64_t sizes[] = {1, 2, 3, 4, 64, 2147483647};
    static const char *const types[] = {"bert", "modernbert"};
    hf_fresh();
    hf_safetensors("model.safetensors", 0, "{\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4);
    for (size_t i = 0; i < BASE_COUNT(sizes) * BASE_COUNT(sizes) * BASE_COUNT(sizes) * BASE_COUNT(types); i++) {
        char config[600];
        size_t n = BASE_COUNT(sizes), opened = 0;
        snprintf(config, sizeof config,
                 "{\"model_type\":\"%s\",\"hidden_size\":%lld,\"num_attention_heads\":%lld,\"num_hidden_layers\":1,"
                 "\"intermediate_size\":8,"
                 "\"vocab_size\":5,\"max_position_embeddings\":%lld,\"type_vocab_size\":2}",
                 types[i / (n * n * n)], (long long)sizes[i % n], (long long)sizes[i / n % n],
                 (long long)sizes[i / (n * n) % n]);
        open_with(*state, config, &opened);
        assert_int_equal(opened, 0); /* there are no weights */
    }
}

/* A path is not what stands before its NUL. */
static void paths_with_a_nul(void **state) {
    static const char *const paths[] = {"1_Pooling", "1_Pooling\\u0000/../x"};
    for (int i = 0; i < 2; i++) {
        char modules[300];
        hf_settings settings;
        nib_error err;
        hf_fresh();
        snprintf(modules, sizeof modules,
                 "[{\"type\": \"x.Transformer\", \"path\": \"\"}, {\"type\": \"x.Pooling\", \"path\": \"%s\"}]",
                 paths[i]);
        hf_text("config.json", "{}");
        hf_text("modules.json", modules);
        hf_text("1_Pooling/config.json", "{\"pooling_mode_mean_tokens\": true}");
        nib_status status = hf_settings_load(*state, hf_dir, NULL, &settings, &err);
        assert_true(i == 0 ? status == NIB_OK && settings.pooling == NIB_POOLING_MEAN
                           : status != NIB_OK || (settings.pooling == NIB_POOLING_MODEL && settings.unsupported[0]));
    }
}

static int teardown(void **state) {
    hf_clear();
    return test_runtime_teardown(state);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_member_of_every_family),
        cmocka_unit_test(every_member_of_every_golden),
        cmocka_unit_test(memory_runs_out),
        cmocka_unit_test(sizes_beside_each_other),
        cmocka_unit_test(paths_with_a_nul),
    };
    return cmocka_run_group_tests(tests, test_runtime_setup, teardown);
}
