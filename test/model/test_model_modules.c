/* SPDX-License-Identifier: Apache-2.0
 *
 * Folders of sentence-transformers' modules, against its vectors (test/data/modules, tools/make_st_goldens.py): from the folder, from the
 * same compiled, and in other precisions.
 */
#include "hf/hf_golden.h"
#include "base/base_half.h"
#include "model/model.h"
#include <math.h>

#define MOST 1024 /* numbers of all vectors of a case */

static yyjson_doc *golden;
static nib_runtime *runtime;
static char said[4096];

static const char *string(yyjson_val *v, const char *key) { return yyjson_get_str(yyjson_obj_get(v, key)); }

/* ---- the folder under test */

static size_t append_number(uint8_t *to, const char *dtype, float x) {
    const bool whole = strcmp(dtype, "F32") == 0;
    const uint16_t half = strcmp(dtype, "F16") == 0 ? base_f32_to_f16(x) : base_f32_to_bf16(x);
    memcpy(to, whole ? (const void *)&x : &half, whole ? 4 : 2);
    return whole ? 4 : 2;
}

/* The weights of one file. */
static void write_weights(yyjson_val *tensors, const char *file) {
    static char header[1 << 16];
    static uint8_t data[1 << 20], whole[sizeof header + sizeof data];
    size_t i, n, k, rank, used = 0, at = 0;
    yyjson_val *t, *d;
    yyjson_arr_foreach(tensors, i, n, t) {
        char shape[100] = "", source[300];
        size_t count = 1, begin = at;
        if (strcmp(string(t, "file"), file) != 0) continue;
        yyjson_arr_foreach(yyjson_obj_get(t, "shape"), k, rank, d) {
            sprintf(shape + strlen(shape), "%s%llu", k ? "," : "", (unsigned long long)yyjson_get_uint(d));
            count *= yyjson_get_uint(d);
        }
        snprintf(source, sizeof source, "%s:%s", file, string(t, "name"));
        for (size_t e = 0; e < count; e++)
            at += append_number(data + at, string(t, "dtype"),
                                golden_weight(golden_hash(source), e, yyjson_get_num(yyjson_obj_get(t, "scale")),
                                              yyjson_get_num(yyjson_obj_get(t, "shift"))));
        used += (size_t)snprintf(header + used, sizeof header - used,
                                 "%c\"%s\":{\"dtype\":\"%s\",\"shape\":[%s],\"data_offsets\":[%zu,%zu]}", used ? ',' : '{',
                                 string(t, "name"), string(t, "dtype"), shape, begin, at);
    }
    header[used++] = '}';
    for (int b = 0; b < 8; b++) whole[b] = (uint8_t)(used >> (8 * b));
    memcpy(whole + 8, header, used);
    memcpy(whole + 8 + used, data, at);
    hf_write(file, whole, 8 + used + at);
}

static void write_case(yyjson_val *c) {
    size_t i, n;
    yyjson_val *key, *v, *tensors = yyjson_obj_get(c, "tensors");
    hf_fresh();
    yyjson_obj_foreach(yyjson_obj_get(yyjson_doc_get_root(golden), "shared"), i, n, key, v) hf_text(yyjson_get_str(key), yyjson_get_str(v));
    yyjson_obj_foreach(yyjson_obj_get(c, "files"), i, n, key, v) hf_text(yyjson_get_str(key), yyjson_get_str(v));
    yyjson_arr_foreach(tensors, i, n, v) write_weights(tensors, string(v, "file"));
}

static yyjson_val *case_of(const char *name) {
    size_t i, n;
    yyjson_val *c;
    yyjson_arr_foreach(yyjson_obj_get(yyjson_doc_get_root(golden), "cases"), i, n, c) if (strcmp(string(c, "name"), name) == 0) return c;
    fail_msg("no case %s", name);
    return NULL;
}

/* ---- what nib makes of it */

static nib_model *open_as(const char *path, nib_precision precision, nib_pooling pooling) {
    nib_model_options o;
    nib_model *m = NULL;
    nib_error err;
    nib_model_defaults(&o, sizeof o);
    o.runtime = runtime;
    o.precision = precision;
    o.pooling = pooling;
    if (nib_model_open(path, &o, &m, &err) != NIB_OK) fail_msg("%s", err.message);
    assert_int_equal(nib_model_describe(m, said, sizeof said, NULL), NIB_OK);
    return m;
}

/* The least cosine of a text's vector and the golden's; *apart: the largest difference of two numbers. */
static double compare(nib_model *m, yyjson_val *c, double *apart) {
    static float v[MOST];
    const char *list[8];
    size_t n, i, k, count, width;
    yyjson_val *text, *row, *x;
    nib_embed_options o;
    nib_error err;
    double least = 1;
    yyjson_arr_foreach(yyjson_obj_get(yyjson_doc_get_root(golden), "texts"), i, n, text) list[i] = yyjson_get_str(text);
    nib_embed_defaults(&o, sizeof o);
    if (string(c, "prompt")[0]) o.prompt = string(c, "prompt");
    const size_t dim = (size_t)nib_model_dim(m);
    *apart = 0;
    assert_true(dim * n <= MOST);
    if (nib_embed(m, list, n, &o, v, &err) != NIB_OK) fail_msg("%s", err.message);
    yyjson_arr_foreach(yyjson_obj_get(c, "vectors"), i, count, row) {
        double xy = 0, xx = 0, yy = 0;
        assert_int_equal(yyjson_arr_size(row), dim);
        yyjson_arr_foreach(row, k, width, x) {
            const double want = yyjson_get_num(x), got = (double)v[i * dim + k];
            xy += want * got, xx += want * want, yy += got * got;
            *apart = fmax(*apart, fabs(want - got));
        }
        least = fmin(least, xy / sqrt(xx * yy));
    }
    return least;
}

static void check(nib_model *m, yyjson_val *c, const char *as, double least, double most) {
    double apart, cosine = compare(m, c, &apart);
    if (!(cosine >= least) || !(apart <= most)) fail_msg("%s, %s: cosine %.7f, %.2e apart\n%s", string(c, "name"), as, cosine, apart, said);
    nib_model_free(m);
}

static void every_case(void **state) {
    size_t i, n;
    yyjson_val *c;
    yyjson_arr_foreach(yyjson_obj_get(yyjson_doc_get_root(golden), "cases"), i, n, c) {
        char compiled[100];
        nib_error err;
        write_case(c);
        check(open_as(hf_dir, NIB_PRECISION_F32, NIB_POOLING_MODEL), c, "f32", 0.99999, 1e-4);
        snprintf(compiled, sizeof compiled, "%s/model.nib", hf_dir);
        if (nib_compile_file(hf_dir, compiled, NULL, &err) != NIB_OK) fail_msg("%s", err.message);
        check(open_as(compiled, NIB_PRECISION_FILE, NIB_POOLING_MODEL), c, "compiled", 0.99999, 1e-4);
    }
}

/* Behind modules there are layers as inside the model: they compute in what was asked for. */
static void precisions(void **state) {
    write_case(case_of("dense"));
    check(open_as(hf_dir, NIB_PRECISION_BF16, NIB_POOLING_MODEL), case_of("dense"), "bf16", 0.999, 0.05);
    check(open_as(hf_dir, NIB_PRECISION_Q8, NIB_POOLING_MODEL), case_of("dense"), "q8", 0.99, 0.2);
}

static void descriptions(void **state) {
    static const struct {
        const char *name, *line;
    } cases[] = {
        {"dense", "12 numbers, pooling mean (1_Pooling/config.json), Dense 16 to 12, tanh (2_Dense), normalized\n"},
        {"several_old", "6 numbers, pooling max + mean (1_Pooling/config.json), Dense 32 to 6, linear (2_Dense), not normalized\n"},
        {"tokens", "48 numbers, pooling mean + last (2_Pooling/config.json), Dense 16 to 24, tanh, of each token (1_Dense), not"},
        {"layer_norm_old", "pooling mean (1_Pooling/config.json), Normalize (2_Normalize), LayerNorm (3_LayerNorm), not normalized"},
        {"idle", "16 numbers, pooling mean (2_Pooling/config.json), not normalized"},
    };
    for (size_t i = 0; i < BASE_COUNT(cases); i++) {
        char compiled[100];
        nib_error err;
        write_case(case_of(cases[i].name));
        nib_model_free(open_as(hf_dir, NIB_PRECISION_F32, NIB_POOLING_MODEL));
        if (!strstr(said, cases[i].line)) fail_msg("\"%s\" is not in\n%s", cases[i].line, said);
        snprintf(compiled, sizeof compiled, "%s/model.nib", hf_dir);
        if (nib_compile_file(hf_dir, compiled, NULL, &err) != NIB_OK) fail_msg("%s", err.message);
        nib_model_free(open_as(compiled, NIB_PRECISION_FILE, NIB_POOLING_MODEL));
        if (!strstr(said, cases[i].line)) fail_msg("\"%s\" is not in\n%s", cases[i].line, said);
    }
}

/* One way to pool in place of the folder's: the modules behind it stay, if they take what comes. */
static void asked_pooling(void **state) {
    write_case(case_of("dense"));
    nib_model_free(open_as(hf_dir, NIB_PRECISION_F32, NIB_POOLING_CLS));
    assert_non_null(strstr(said, "12 numbers, pooling cls"));
    assert_non_null(strstr(said, "Dense 16 to 12, tanh (2_Dense)"));
    write_case(case_of("several_old"));
    nib_model_free(open_as(hf_dir, NIB_PRECISION_F32, NIB_POOLING_MEAN));
    assert_non_null(strstr(said, "embeddings    no: module 2_Dense takes rows of 32 numbers, and gets rows of 16"));
}

/* A vector of each token goes through the modules that are for tokens, and no others. */
static void tokens(void **state) {
    static const struct {
        const char *name;
        int64_t width;
    } cases[] = {{"tokens", 24}, {"dense", 16}};
    for (size_t i = 0; i < BASE_COUNT(cases); i++) {
        const char *text = "w1 w2";
        int64_t offsets[2], rank = 0;
        nib_tensor *t;
        nib_error err;
        write_case(case_of(cases[i].name));
        nib_model *m = open_as(hf_dir, NIB_PRECISION_F32, NIB_POOLING_MODEL);
        if (nib_embed_tokens(m, &text, 1, NULL, offsets, &t, &err) != NIB_OK) fail_msg("%s", err.message);
        rank = t->rank;
        assert_int_equal(rank, 2);
        assert_int_equal(t->dims[1], cases[i].width);
        nib_tensor_free(t);
        nib_model_free(m);
    }
}

/* Weights that are not there, or not what config.json says: an error that names the file and the weight; no crash. */
static void wrong_weights(void **state) {
    static const struct {
        const char *header, *says;
        nib_status status;
        size_t data;
    } cases[] = {
        {"{}", "2_Dense/model.safetensors: the weight linear.weight is missing", NIB_BAD_MODEL, 0},
        {"{\"linear.weight\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]}}", "linear.weight is of another shape",
         NIB_BAD_MODEL, 16},
        {"{\"linear.weight\":{\"dtype\":\"I8\",\"shape\":[12,16],\"data_offsets\":[0,192]}}", "linear.weight is of type", NIB_UNSUPPORTED,
         192},
        {"{\"linear.weight\":{\"dtype\":\"F16\",\"shape\":[12,16],\"data_offsets\":[0,384]}}", "linear.bias is missing", NIB_BAD_MODEL,
         384},
        {"{", "2_Dense/model.safetensors", NIB_BAD_MODEL, 0},
    };
    nib_model_options o;
    nib_model_defaults(&o, sizeof o);
    o.runtime = runtime;
    for (size_t i = 0; i < BASE_COUNT(cases); i++) {
        nib_model *m = NULL;
        nib_error err;
        write_case(case_of("dense"));
        hf_safetensors("2_Dense/model.safetensors", 0, cases[i].header, cases[i].data);
        assert_int_equal(nib_model_open(hf_dir, &o, &m, &err), cases[i].status);
        if (!strstr(err.message, cases[i].says)) fail_msg("%s", err.message);
    }
    char path[100];
    snprintf(path, sizeof path, "%s/2_Dense/model.safetensors", hf_dir);
    assert_int_equal(unlink(path), 0);
    nib_model_free(open_as(hf_dir, NIB_PRECISION_F32, NIB_POOLING_MODEL));
    assert_non_null(strstr(said, "2_Dense: Dense without a model.safetensors"));
    assert_int_equal(symlink("/etc/passwd", path), 0);
    nib_model *m = NULL;
    nib_error err;
    assert_int_not_equal(nib_model_open(hf_dir, &o, &m, &err), NIB_OK);
}

static int setup(void **state) {
    nib_runtime_options o;
    golden = yyjson_read_file(NIB_TEST_DATA "/modules/golden.json", 0, NULL, NULL);
    nib_runtime_defaults(&o, sizeof o);
    o.threads = 1;
    return golden && nib_runtime_create(&o, &runtime, NULL) == NIB_OK ? 0 : -1;
}

static int teardown(void **state) {
    hf_clear();
    yyjson_doc_free(golden);
    nib_runtime_free(runtime);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_case),    cmocka_unit_test(precisions), cmocka_unit_test(descriptions),
                                       cmocka_unit_test(asked_pooling), cmocka_unit_test(tokens),     cmocka_unit_test(wrong_weights)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
