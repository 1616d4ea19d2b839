/* SPDX-License-Identifier: Apache-2.0
 *
 * Folders of sentence-transformers' modules, and of Model2Vec, against these libraries' vectors (test/data/modules,
 * tools/make_st_goldens.py): from the folder, from the same compiled, and in other precisions.
 */
#include "hf/hf_golden.h"
#include "base/base_half.h"
#include "model/model.h"
#include <math.h>

#define MOST 1024 /* numbers of all vectors of a case */

static yyjson_doc *golden;
static nib_runtime *runtime;
static char said[4096];
static const char *route; /* that models are opened with */

static const char *string(yyjson_val *v, const char *key) { return yyjson_get_str(yyjson_obj_get(v, key)); }

/* ---- the folder under test */

static size_t append_number(uint8_t *to, const char *dtype, float x) {
    const uint16_t f16 = base_f32_to_f16(x), bf16 = base_f32_to_bf16(x);
    const double wide = (double)x;
    const int8_t byte = (int8_t)x;
    const int64_t index = (int64_t)x;
    const struct {
        const char *dtype;
        const void *bytes;
        size_t size;
    } forms[] = {{"F32", &x, 4}, {"F16", &f16, 2}, {"BF16", &bf16, 2}, {"F64", &wide, 8}, {"I8", &byte, 1}, {"I64", &index, 8}};
    for (size_t i = 0; i < BASE_COUNT(forms); i++)
        if (strcmp(forms[i].dtype, dtype) == 0) return memcpy(to, forms[i].bytes, forms[i].size), forms[i].size;
    fail_msg("no type %s", dtype);
    return 0;
}

/* Number e of a tensor, as make_st_goldens.py has it. */
static float number_of(yyjson_val *t, const char *source, size_t e) {
    yyjson_val *modulus = yyjson_obj_get(t, "modulus");
    if (modulus) return (float)((int64_t)((e * 7 + 3) % yyjson_get_uint(modulus)) + yyjson_get_sint(yyjson_obj_get(t, "offset")));
    return golden_weight(golden_hash(source), e, yyjson_get_num(yyjson_obj_get(t, "scale")), yyjson_get_num(yyjson_obj_get(t, "shift")));
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
        for (size_t e = 0; e < count; e++) at += append_number(data + at, string(t, "dtype"), number_of(t, source, e));
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
    o.route = route;
    if (nib_model_open(path, &o, &m, &err) != NIB_OK) fail_msg("%s: %s", path, err.message);
    assert_int_equal(nib_model_describe(m, said, sizeof said, NULL), NIB_OK);
    return m;
}

/* The least cosine of a text's vector and the golden's; *apart: the largest difference of two numbers. */
static double compare(nib_model *m, yyjson_val *c, double *apart) {
    static float v[MOST];
    const char *list[8];
    size_t i, n, k, count, width;
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
        if (xx > 0 || yy > 0) least = fmin(least, xy / sqrt(xx * yy)); /* a text without tokens is nothing but zeros */
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

/* StaticEmbedding, Model2Vec and Routers. f16: Model2Vec rounds what it sums. */
static void every_input(void **state) {
    size_t i, n;
    yyjson_val *c;
    yyjson_doc *modules = golden;
    golden = yyjson_read_file(NIB_TEST_DATA "/modules/inputs.json", 0, NULL, NULL);
    assert_non_null(golden);
    yyjson_arr_foreach(yyjson_obj_get(yyjson_doc_get_root(golden), "cases"), i, n, c) {
        char compiled[100];
        nib_error err;
        nib_compile_options o;
        nib_model_options asked;
        const char *name = string(c, "name"); /* both libraries round sums to the type of a table in half precision */
        const double most = strstr(name, "folder") || strstr(name, "f16") || strstr(name, "weighted") ? 2e-3 : 1e-4;
        write_case(c);
        route = string(c, "route");
        check(open_as(hf_dir, NIB_PRECISION_F32, NIB_POOLING_MODEL), c, "f32", 0.99999, most);
        snprintf(compiled, sizeof compiled, "%s/model.nib", hf_dir);
        nib_compile_defaults(&o, sizeof o);
        nib_model_defaults(&asked, sizeof asked);
        asked.route = route;
        o.model = &asked;
        route = NULL;
        if (nib_compile_file(hf_dir, compiled, &o, &err) != NIB_OK) fail_msg("%s", err.message);
        check(open_as(compiled, NIB_PRECISION_FILE, NIB_POOLING_MODEL), c, "compiled", 0.99999, most);
    }
    yyjson_doc_free(golden);
    golden = modules;
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

/* A StaticEmbedding's table, and Model2Vec's lists, that are none. */
static void wrong_tables(void **state) {
    static const struct {
        const char *header, *says;
        size_t data;
        int8_t fill;
    } cases[] = {
        {"{}", "neither embedding.weight nor embeddings", 0, 0},
        {"{\"embedding.weight\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}}", "no table of numbers", 16, 0},
        {"{\"embedding.weight\":{\"dtype\":\"F32\",\"shape\":[0,4],\"data_offsets\":[0,0]}}", "no table of numbers", 0, 0},
        {"{\"embeddings\":{\"dtype\":\"I64\",\"shape\":[2,2],\"data_offsets\":[0,32]}}", "no table of numbers", 32, 0},
        {"{\"embeddings\":{\"dtype\":\"I8\",\"shape\":[2,4],\"data_offsets\":[0,8]},"
         "\"mapping\":{\"dtype\":\"I64\",\"shape\":[2],\"data_offsets\":[8,24]}}",
         "mapping[0] is -1, and the table has 2 rows", 24, -1},
        {"{\"embeddings\":{\"dtype\":\"I8\",\"shape\":[2,4],\"data_offsets\":[0,8]},"
         "\"mapping\":{\"dtype\":\"I32\",\"shape\":[4],\"data_offsets\":[8,24]}}",
         "mapping[0] is 16843009, and the table has 2 rows", 24, 1},
        {"{\"embeddings\":{\"dtype\":\"I8\",\"shape\":[2,4],\"data_offsets\":[0,8]},"
         "\"mapping\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[8,24]}}",
         "mapping is no list", 24, 0},
        {"{\"embeddings\":{\"dtype\":\"I8\",\"shape\":[2,4],\"data_offsets\":[0,8]},"
         "\"weights\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[8,24]}}",
         "weights is no list of 2 numbers", 24, 0},
    };
    nib_model_options o;
    nib_model_defaults(&o, sizeof o);
    o.runtime = runtime;
    for (size_t i = 0; i < BASE_COUNT(cases); i++) {
        uint8_t file[1024];
        nib_model *m = NULL;
        nib_error err;
        const size_t n = strlen(cases[i].header);
        for (int b = 0; b < 8; b++) file[b] = (uint8_t)(n >> (8 * b));
        memcpy(file + 8, cases[i].header, n);
        memset(file + 8 + n, cases[i].fill, cases[i].data);
        hf_fresh();
        hf_text("modules.json", "[{\"path\":\".\",\"type\":\"a.StaticEmbedding\"}]");
        hf_write("model.safetensors", file, 8 + n + cases[i].data);
        assert_int_equal(nib_model_open(hf_dir, &o, &m, &err), NIB_BAD_MODEL);
        if (!strstr(err.message, cases[i].says)) fail_msg("%s", err.message);
    }
}

/* What a Router cannot be asked for: the routes are named. */
static void wrong_routes(void **state) {
    static const char types[] = "{\"types\":{\"a\":\"x.Dense\"},\"structure\":";
    static const struct {
        const char *rest, *route, *says;
        nib_status status;
    } cases[] = {
        {"{\"q\":[\"a\"],\"d\":[\"a\"]},\"parameters\":{}}", "no", "there is no route 'no'; there are: q, d",
         NIB_INVALID_ARGUMENT},
        {"{\"q\":[\"a\"],\"d\":[\"a\"]},\"parameters\":{\"allow_empty_key\":false}}", NULL,
         "no default route; one must be chosen of: q, d", NIB_INVALID_ARGUMENT},
        {"{\"q\":\"a\"},\"parameters\":{}}", "q", "the route 'q' is no list of modules", NIB_BAD_MODEL},
        {"{\"q\":[\"b\"]},\"parameters\":{}}", "q", "a module of the route 'q' without a type", NIB_BAD_MODEL},
        {"{\"q\":[\"a\"]},\"parameters\":{\"default_route\":\"z\"}}", NULL, "the route 'z' is no list", NIB_BAD_MODEL},
        {"{}}", NULL, "structure names no routes", NIB_BAD_MODEL},
        {"[]}", NULL, "structure names no routes", NIB_BAD_MODEL},
    };
    char text[400];
    nib_model_options o;
    nib_error err;
    nib_model *m = NULL;
    nib_model_defaults(&o, sizeof o);
    o.runtime = runtime;
    for (size_t i = 0; i < BASE_COUNT(cases); i++) {
        hf_fresh();
        hf_text("modules.json", "[{\"path\":\"\",\"type\":\"a.Router\"}]");
        snprintf(text, sizeof text, "%s%s", types, cases[i].rest);
        hf_text("router_config.json", text);
        o.route = cases[i].route;
        assert_int_equal(nib_model_open(hf_dir, &o, &m, &err), cases[i].status);
        if (!strstr(err.message, cases[i].says)) fail_msg("%s", err.message);
    }
    hf_text("router_config.json", "{\"types\":{\"../a\":\"x.Dense\"},\"structure\":{\"q\":[\"../a\"]}}");
    o.route = NULL;
    assert_int_equal(nib_model_open(hf_dir, &o, &m, &err), NIB_BAD_MODEL);
    assert_non_null(strstr(err.message, "the path '../a' is no folder's name"));
    hf_text("modules.json", "[{\"path\":\"0_BoW\",\"type\":\"sentence_transformers.models.BoW\"}]");
    assert_int_equal(nib_model_open(hf_dir, &o, &m, &err), NIB_UNSUPPORTED);
    assert_non_null(strstr(err.message, "modules.json begins with a BoW (0_BoW)"));
    write_case(case_of("dense"));
    o.route = "query";
    assert_int_equal(nib_model_open(hf_dir, &o, &m, &err), NIB_INVALID_ARGUMENT);
    assert_non_null(strstr(err.message, "the model has no routes"));
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
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_case),    cmocka_unit_test(every_input),   cmocka_unit_test(precisions),
                                       cmocka_unit_test(descriptions),  cmocka_unit_test(asked_pooling), cmocka_unit_test(tokens),
                                       cmocka_unit_test(wrong_weights), cmocka_unit_test(wrong_tables),  cmocka_unit_test(wrong_routes)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
