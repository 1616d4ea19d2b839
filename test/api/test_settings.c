/* SPDX-License-Identifier: Apache-2.0
 *
 * Every key of every small file of a folder, changed, against sentence-transformers (test/data/settings, tools/make_settings_goldens.py).
 * What moves the reference's vectors moves nib's to the same place, or nib says or refuses it; what does not move them does not move
 * nib's, or nib refuses it. The files as they were give the reference's vectors, and nothing is said of them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <ftw.h>
#include <nib/nib.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yyjson.h>

#define SHOWN 6
#define MOST_TEXTS 16

static yyjson_doc *golden;
static char folder[64], said[2048];

static void note(void *user, nib_log_level level, const char *message) {
    size_t n = strlen(said);
    if (level <= NIB_LOG_WARN) snprintf(said + n, sizeof said - n, "%s\n", message);
}

static char *read_file(const char *name, size_t *length) {
    char path[400];
    snprintf(path, sizeof path, NIB_TEST_DATA "/settings/%s", name);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    fseek(f, 0, SEEK_END);
    *length = (size_t)ftell(f);
    rewind(f);
    char *bytes = malloc(*length + 1);
    assert_int_equal(fread(bytes, 1, *length, f), *length);
    fclose(f);
    return bytes;
}

/* ---- the folder under test */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw) { return remove(path); }

static void write_file(const char *name, const char *bytes, size_t n) {
    char path[400];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    char *slash = strrchr(path + strlen(folder) + 1, '/');
    if (slash) {
        *slash = 0;
        mkdir(path, 0755);
        *slash = '/';
    }
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    fclose(f);
}

static void write_json(const char *name, const yyjson_mut_val *v) {
    size_t n;
    char *text = yyjson_mut_val_write(v, YYJSON_WRITE_ALLOW_INF_AND_NAN, &n);
    assert_non_null(text);
    write_file(name, text, n);
    free(text);
}

static void write_value(const char *name, yyjson_val *v) {
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    write_json(name, yyjson_val_mut_copy(doc, v));
    yyjson_mut_doc_free(doc);
}

static void write_folder(yyjson_val *f) {
    size_t n, i, count;
    yyjson_val *name, *v;
    char *weights = read_file(yyjson_get_str(yyjson_obj_get(f, "weights")), &n);
    strcpy(folder, "/tmp/nib-settings-XXXXXX");
    assert_non_null(mkdtemp(folder));
    write_file("model.safetensors", weights, n);
    free(weights);
    yyjson_obj_foreach(yyjson_obj_get(f, "files"), i, count, name, v) write_value(yyjson_get_str(name), v);
}

static void write_case(yyjson_val *f, yyjson_val *c) {
    const char *name = yyjson_get_str(yyjson_obj_get(c, "file"));
    yyjson_val *was = yyjson_obj_get(yyjson_obj_get(f, "files"), name);
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_patch_err err;
    yyjson_mut_val *now = yyjson_patch(doc, was, yyjson_obj_get(c, "patch"), &err);
    if (!now) fail_msg("%s: a patch does not fit: %s", name, err.msg);
    write_json(name, now);
    yyjson_mut_doc_free(doc);
}

/* ---- what nib makes of it */

typedef struct outcome {
    bool refused;
    int64_t dim;
    float v[MOST_TEXTS][SHOWN];
} outcome;

static nib_runtime *runtime;

static outcome embed(yyjson_val *texts) {
    outcome o = {.refused = true};
    nib_model_options options;
    nib_model *m;
    nib_error err;
    size_t i, n;
    yyjson_val *text;
    said[0] = 0;
    nib_model_defaults(&options, sizeof options);
    options.runtime = runtime;
    if (nib_model_open(folder, &options, &m, &err) != NIB_OK) {
        snprintf(said, sizeof said, "%s", err.message);
        return o;
    }
    o.dim = nib_model_dim(m);
    float *all = calloc((size_t)o.dim + SHOWN, sizeof *all);
    yyjson_arr_foreach(texts, i, n, text) {
        const char *one = yyjson_get_str(text);
        nib_status status = nib_embed(m, &one, 1, NULL, all, &err);
        if (status != NIB_OK) snprintf(said, sizeof said, "%s", err.message);
        if (status != NIB_OK) break;
        memcpy(o.v[i], all, sizeof o.v[i]);
        o.refused = i + 1 < n;
    }
    free(all);
    nib_model_free(m);
    return o;
}

/* The largest difference; 0 for two that are both no numbers. */
static double differs(const outcome *o, yyjson_val *want) {
    double worst = 0;
    size_t i, n, k, count;
    yyjson_val *row, *x;
    yyjson_arr_foreach(want, i, n, row) {
        yyjson_arr_foreach(row, k, count, x) {
            double w = yyjson_get_num(x), got = (double)o->v[i][k], d = fabs(w - got) / fmax(1, fabs(w));
            if (isnan(w) && isnan(got)) continue;
            if (!(d <= worst)) worst = isnan(d) ? INFINITY : d;
        }
    }
    return worst;
}

static void show(yyjson_val *f, yyjson_val *c, const char *what, double by) {
    char *patch = yyjson_val_write(yyjson_obj_get(c, "patch"), YYJSON_WRITE_ALLOW_INF_AND_NAN, NULL);
    printf("%s %s %s: %s (%.2e) %s", yyjson_get_str(yyjson_obj_get(f, "name")), yyjson_get_str(yyjson_obj_get(c, "file")), patch, what, by,
           said[0] ? said : "\n");
    free(patch);
}

/* 1 if the case is wrong. */
static int check_case(yyjson_val *f, yyjson_val *c, yyjson_val *texts, int *loud) {
    yyjson_val *moved = yyjson_obj_get(c, "moved");
    write_case(f, c);
    outcome o = embed(texts);
    write_value(yyjson_get_str(yyjson_obj_get(c, "file")),
                yyjson_obj_get(yyjson_obj_get(f, "files"), yyjson_get_str(yyjson_obj_get(c, "file"))));
    *loud += o.refused || said[0];
    if (yyjson_obj_get(c, "refused") || o.refused) return 0; /* of what the reference refuses nothing is known */
    double by = differs(&o, moved ? moved : yyjson_obj_get(f, "vectors"));
    if (moved && o.dim != yyjson_get_sint(yyjson_obj_get(c, "width"))) by = INFINITY;
    if (by < 1e-4 || (moved && said[0])) return 0;
    show(f, c, moved ? "moves the reference, and nib otherwise" : "moves nib, and not the reference", by);
    return 1;
}

static void every_key(void **state) {
    yyjson_val *root = yyjson_doc_get_root(golden), *texts = yyjson_obj_get(root, "texts"), *f, *c;
    size_t i, n, k, count;
    int wrong = 0;
    assert_true(yyjson_arr_size(texts) <= MOST_TEXTS);
    yyjson_arr_foreach(yyjson_obj_get(root, "folders"), i, n, f) {
        int loud = 0;
        write_folder(f);
        outcome o = embed(texts);
        double by = differs(&o, yyjson_obj_get(f, "vectors"));
        if (o.refused || said[0] || !(by < 1e-4)) fail_msg("%s: %.2e %s", yyjson_get_str(yyjson_obj_get(f, "name")), by, said);
        yyjson_arr_foreach(yyjson_obj_get(f, "cases"), k, count, c) wrong += check_case(f, c, texts, &loud);
        printf("%s: %zu changes, %d said or refused\n", yyjson_get_str(yyjson_obj_get(f, "name")), count, loud);
        nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    }
    assert_int_equal(wrong, 0);
}

/* ---- prompts */

static nib_model *open_path(const char *path, int pack) {
    nib_model_options o;
    nib_model *m;
    nib_error err;
    nib_model_defaults(&o, sizeof o);
    o.runtime = runtime;
    o.pack = pack;
    if (nib_model_open(path, &o, &m, &err) != NIB_OK) fail_msg("%s", err.message);
    return m;
}

/* All texts in one batch behind a prompt; rows of the caller's to free. */
static float *embed_behind(nib_model *m, yyjson_val *texts, const char *name, const char *prompt, int64_t *tokens) {
    const char *all[MOST_TEXTS];
    size_t i, n;
    yyjson_val *text;
    nib_embed_options o;
    nib_error err;
    float *out = calloc(MOST_TEXTS, (size_t)nib_model_dim(m) * sizeof *out);
    nib_embed_defaults(&o, sizeof o);
    o.prompt_name = name;
    o.prompt = prompt;
    o.tokens = tokens;
    yyjson_arr_foreach(texts, i, n, text) all[i] = yyjson_get_str(text);
    if (nib_embed(m, all, n, &o, out, &err) != NIB_OK) fail_msg("%s", err.message);
    return out;
}

static void same_bits(nib_model *m, float *a, float *b) {
    assert_memory_equal(a, b, MOST_TEXTS * (size_t)nib_model_dim(m) * sizeof *a);
    free(b);
}

/* Packed, padded and compiled, by name and as text: the same bits; and each prompt's own. */
static void prompts(void **state) {
    static const char *const names[] = {"query", "document", "long", ""};
    yyjson_val *root = yyjson_doc_get_root(golden), *texts = yyjson_obj_get(root, "texts");
    char compiled[100], text[4000];
    const char *name, *prompt;
    int64_t bare[MOST_TEXTS], tokens[MOST_TEXTS];
    nib_error err;
    float *last = NULL;
    write_folder(yyjson_arr_get(yyjson_obj_get(root, "folders"), 2));
    snprintf(compiled, sizeof compiled, "%s/model.nib", folder);
    if (nib_compile_file(folder, compiled, NULL, &err) != NIB_OK) fail_msg("%s", err.message);
    nib_model *m[3] = {open_path(folder, -1), open_path(folder, 0), open_path(compiled, -1)};
    free(embed_behind(m[0], texts, "", NULL, bare));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        assert_int_equal(nib_model_choose_prompt(m[2], names[i], &prompt, &err), NIB_OK);
        float *one = embed_behind(m[0], texts, names[i], NULL, tokens);
        if (i == 0) assert_true(tokens[0] > bare[0]);
        for (int k = 0; k < 3; k++) same_bits(m[k], one, embed_behind(m[k], texts, names[i], NULL, NULL));
        for (int k = 0; k < 3; k++) same_bits(m[k], one, embed_behind(m[k], texts, NULL, prompt, NULL));
        if (i == 0) same_bits(m[0], one, embed_behind(m[0], texts, NULL, NULL, NULL)); /* the default */
        if (last) assert_memory_not_equal(one, last, (size_t)nib_model_dim(m[0]) * sizeof *one);
        free(last);
        last = one;
    }
    free(last);
    for (int k = 0; k < 3; k++) {
        assert_int_equal(nib_model_choose_prompt(m[k], "none", &prompt, &err), NIB_INVALID_ARGUMENT);
        assert_string_equal(err.message, "the model has no prompt 'none'; it has document, long, query");
        assert_int_equal(nib_model_prompt(m[k], 2, &name, &prompt), NIB_OK);
        assert_string_equal(name, "query");
        assert_int_equal(nib_model_prompt(m[k], 3, &name, &prompt), NIB_NOT_FOUND);
        assert_int_equal(nib_model_describe(m[k], text, sizeof text, NULL), NIB_OK);
        assert_non_null(strstr(text, "query: \"Query: w1 \", put before each text unless another is asked for, not pooled"));
        nib_embed_options o;
        nib_embed_defaults(&o, sizeof o);
        o.prompt = o.prompt_name = "query";
        assert_int_equal(nib_embed(m[k], &name, 1, &o, (float[64]){0}, &err), NIB_INVALID_ARGUMENT);
        nib_model_free(m[k]);
    }
    nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* Warming takes the memory for the default prompt, too. */
static void warm(void **state) {
    const char *text = "w1 w2 w3";
    nib_memory before, after;
    nib_error err;
    float out[64];
    write_folder(yyjson_arr_get(yyjson_obj_get(yyjson_doc_get_root(golden), "folders"), 2));
    nib_model *m = open_path(folder, -1);
    assert_int_equal(nib_model_warm(m, 0, 1, &err), NIB_OK);
    nib_runtime_memory(runtime, &before, sizeof before);
    assert_int_equal(nib_embed(m, &text, 1, NULL, out, &err), NIB_OK);
    nib_runtime_memory(runtime, &after, sizeof after);
    assert_int_equal(before.allocations, after.allocations);
    nib_model_free(m);
    nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* A graph that pools by itself cannot leave a prompt out, which is said. */
static void pooled_by_the_graph(void **state) {
    static const char pooling[] = "{\"pooling_mode\":\"mean\",\"include_prompt\":false}";
    size_t n;
    char *bytes = read_file("../onnx/bert-tiny.pooled.onnx", &n);
    strcpy(folder, "/tmp/nib-settings-XXXXXX");
    assert_non_null(mkdtemp(folder));
    write_file("model.onnx", bytes, n);
    write_file("1_Pooling/config.json", pooling, sizeof pooling - 1);
    free(bytes);
    said[0] = 0;
    nib_model_free(open_path(folder, -1));
    assert_string_equal(said, "1_Pooling/config.json: include_prompt false is not applied: the graph pools by itself\n");
    nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* What was asked for is done or refused: no text of more tokens than there are positions. */
static void too_long(void **state) {
    nib_model_options o;
    nib_model *m;
    nib_error err;
    yyjson_val *f = yyjson_arr_get(yyjson_obj_get(yyjson_doc_get_root(golden), "folders"), 0);
    int64_t positions = yyjson_get_sint(yyjson_ptr_get(f, "/files/config.json/max_position_embeddings"));
    write_folder(f);
    for (int more = 0; more < 2; more++) {
        nib_model_defaults(&o, sizeof o);
        o.runtime = runtime;
        o.max_tokens = positions + more;
        assert_int_equal(nib_model_open(folder, &o, &m, &err), more ? NIB_INVALID_ARGUMENT : NIB_OK);
        if (more) assert_non_null(strstr(err.message, "positions"));
        else assert_int_equal(nib_model_max_tokens(m), positions);
        if (!more) nib_model_free(m);
    }
    for (int level = 0; level <= 2; level += 2) {
        nib_session *s;
        int64_t ids[200] = {0};
        nib_tensor t = {.dtype = NIB_DTYPE_I64, .rank = 2, .dims = {1, positions + 1}, .data = ids, .bytes = (size_t)(positions + 1) * 8};
        nib_model_defaults(&o, sizeof o);
        o.runtime = runtime;
        o.optimize = level;
        if (nib_model_open(folder, &o, &m, &err) != NIB_OK || nib_session_create(m, &s, &err) != NIB_OK) fail_msg("%s", err.message);
        for (size_t i = 0; i < nib_session_input_count(s); i++)
            assert_int_equal(nib_session_set_input(s, nib_session_input_name(s, i), &t, &err), NIB_OK);
        assert_int_equal(nib_session_run(s, &err), NIB_SHAPE);
        snprintf(said, sizeof said, "%lld tokens a text; the model has %lld positions", (long long)positions + 1, (long long)positions);
        assert_non_null(strstr(err.message, said));
        t.dims[1] = positions;
        for (size_t i = 0; i < nib_session_input_count(s); i++)
            assert_int_equal(nib_session_set_input(s, nib_session_input_name(s, i), &t, &err), NIB_OK);
        assert_int_equal(nib_session_run(s, &err), NIB_OK);
        nib_session_free(s);
        nib_model_free(m);
    }
    nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* ---- truncate_dim */

#define WIDTH 16
#define CUT 4

/* The text's vector; its width. */
static int64_t vector_of(const char *path, int normalize, float v[WIDTH], const char *describes) {
    const char *text = "w1 w2 w3";
    nib_model_options o;
    nib_model *m;
    nib_error err;
    nib_model_defaults(&o, sizeof o);
    o.runtime = runtime;
    o.normalize = normalize;
    if (nib_model_open(path, &o, &m, &err) != NIB_OK || nib_embed(m, &text, 1, NULL, v, &err) != NIB_OK)
        fail_msg("%s", err.message);
    const int64_t dim = nib_model_dim(m);
    assert_int_equal(nib_model_describe(m, said, sizeof said, NULL), NIB_OK);
    if (!strstr(said, describes)) fail_msg("\"%s\" is not in\n%s", describes, said);
    nib_model_free(m);
    return dim;
}

static double length_of(const float *v, int n) {
    double sum = 0;
    for (int i = 0; i < n; i++) sum += (double)v[i] * (double)v[i];
    return sqrt(sum);
}

/* A module of the folder normalizes before the cut, the caller's wish behind it: as sentence-transformers' modules and
 * its encode. */
static void a_cut(void **state) {
    float whole[WIDTH], raw[WIDTH], cut[WIDTH], raw_cut[WIDTH], again[WIDTH], wanted[WIDTH];
    char compiled[100];
    nib_error err;
    yyjson_val *f = yyjson_arr_get(yyjson_obj_get(yyjson_doc_get_root(golden), "folders"), 2);
    write_folder(f);
    assert_int_equal(vector_of(folder, -1, whole, "16 numbers, pooling mean (1_Pooling/config.json), normalized\n"),
                     WIDTH);
    assert_int_equal(vector_of(folder, 0, raw, "not normalized"), WIDTH);
    static const char cut_to_4[] =
        "{\"truncate_dim\":4,\"prompts\":{\"query\":\"Query: w1 \"},\"default_prompt_name\":\"query\"}";
    write_file("config_sentence_transformers.json", cut_to_4, sizeof cut_to_4 - 1);
    assert_int_equal(vector_of(folder, -1, cut, "normalized, and then cut to the first 4"), CUT);
    assert_int_equal(vector_of(folder, 0, raw_cut, "not normalized, cut to the first 4"), CUT);
    assert_int_equal(vector_of(folder, 1, wanted, "normalized, cut to the first 4"), CUT);
    for (int i = 0; i < CUT; i++) {
        assert_true(fabsf(cut[i] - whole[i]) < 1e-6f);
        assert_true(fabsf(raw_cut[i] - raw[i]) < 1e-6f);
        assert_true(fabs((double)wanted[i] - (double)raw[i] / length_of(raw, CUT)) < 1e-6);
    }
    assert_true(length_of(cut, CUT) < 0.99);
    snprintf(compiled, sizeof compiled, "%s/model.nib", folder);
    if (nib_compile_file(folder, compiled, NULL, &err) != NIB_OK) fail_msg("%s", err.message);
    assert_int_equal(vector_of(compiled, -1, again, "4 numbers"), CUT);
    assert_memory_equal(again, cut, CUT * sizeof *cut);
    /* It was normalized before the cut: what a caller wishes behind it, or that it be not, is another model. */
    for (int normalize = 0; normalize < 2; normalize++) {
        nib_model_options o;
        nib_model *m = NULL;
        nib_model_defaults(&o, sizeof o);
        o.runtime = runtime;
        o.normalize = normalize;
        assert_int_equal(nib_model_open(compiled, &o, &m, &err), NIB_UNSUPPORTED);
        assert_non_null(strstr(err.message, "another normalize"));
    }
    nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static int setup(void **state) {
    size_t n;
    char *text = read_file("cases.json", &n);
    nib_runtime_options o;
    golden = yyjson_read(text, n, YYJSON_READ_ALLOW_INF_AND_NAN);
    free(text);
    nib_runtime_defaults(&o, sizeof o);
    o.threads = 1;
    o.log = note;
    return golden && nib_runtime_create(&o, &runtime, NULL) == NIB_OK ? 0 : -1;
}

static int teardown(void **state) {
    yyjson_doc_free(golden);
    nib_runtime_free(runtime);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_key), cmocka_unit_test(prompts),
                                       cmocka_unit_test(warm),      cmocka_unit_test(too_long),
                                       cmocka_unit_test(a_cut),     cmocka_unit_test(pooled_by_the_graph)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
