/* SPDX-License-Identifier: Apache-2.0
 *
 * Files for the machines that presets are named after, and what the receipt says of this one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "onnx/onnx.h"
#include "quantize/quantize.h"
#include "quantize_test.h"

static nib_status quantized(const char *in, const char *name, const nib_quantize_options *o, char json[20000], nib_error *err) {
    nib_report *r = NULL;
    nib_status status = nib_quantize_file(in, in_dir(name), o, &r, err);
    snprintf(json, 20000, "%s", nib_report_json(r));
    nib_report_free(r);
    return status;
}

static double number_of(const char *json, const char *object, const char *key) {
    char text[100];
    const char *at = strstr(json, object);
    snprintf(text, sizeof text, "\"%s\":", key);
    at = at ? strstr(at, text) : NULL;
    if (!at) fail_msg("no %s of %s in %s", key, object, json);
    return strtod(at + strlen(text), NULL);
}

/* The receipt has what both models cost here, but not the file beside the model: the same model gives the same nib.json. */
static void the_receipt_has_the_cost(void **state) {
    static char json[20000];
    char path[600], file[20000] = "";
    nib_quantize_options o;
    nib_report *r = NULL;
    nib_error e = {0};
    (void)state;
    nib_quantize_defaults(&o, sizeof o);
    o.type = NIB_QUANTIZE_MIXED, o.most_bytes = 1 << 30;
    if (nib_quantize_file(TINY, in_dir("cost"), &o, &r, &e) != NIB_OK) fail_msg("%s", e.message);
    snprintf(json, sizeof json, "%s", nib_report_json(r));
    if (!strstr(nib_report_text(r), "as far as the size allows")) fail_msg("%s", nib_report_text(r));
    if (!strstr(nib_report_text(r), "resident memory")) fail_msg("%s", nib_report_text(r));
    nib_report_free(r);
    assert_true(number_of(json, "\"before\"", "texts_per_second") > 0 && number_of(json, "\"after\"", "texts_per_second") > 0);
    /* The weights as f32 are not all in use, for tables are read where they are. */
    assert_true(number_of(json, "\"before\"", "resident_bytes") > 10000 && number_of(json, "\"before\"", "resident_bytes") < 50e6);
    snprintf(path, sizeof path, "%s/nib.json", in_dir("cost"));
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    assert_true(fread(file, 1, sizeof file - 1, f) > 0);
    fclose(f);
    assert_true(strstr(file, "weight_bytes_after") && !strstr(file, "on_this_machine"));
    o.speed = 0;
    if (quantized(TINY, "cost", &o, json, &e) != NIB_OK) fail_msg("%s", e.message);
    assert_null(strstr(json, "on_this_machine"));
}

static int nodes_of(const graph *g, const char *type) {
    int count = 0;
    for (const graph_node *n = g->first; n; n = n->next) count += strcmp(n->op, type) == 0;
    return count;
}

/* A preset's file has the operators that Optimum's has: of TINY attention's two products and three
 * tables, however small. Only weights differ. */
static void presets_are_optimums(void **state) {
    static char json[20000];
    static const struct {
        nib_preset preset;
        int per_tensor, reduce_range;
        nib_dtype weights;
        int middle, least, most;
    } rows[] = {{NIB_PRESET_AVX2, 0, 0, NIB_DTYPE_U8, 128, 1, 255},      {NIB_PRESET_AVX2, 1, 1, NIB_DTYPE_U8, 64, 1, 127},
                {NIB_PRESET_AVX512_VNNI, 1, 0, NIB_DTYPE_I8, 0, -127, 127}, {NIB_PRESET_ARM64, 0, 1, NIB_DTYPE_I8, 0, -63, 63}};
    (void)state;
    for (size_t i = 0; i < BASE_COUNT(rows); i++) {
        nib_quantize_options o;
        nib_error e = {0};
        graph *g;
        nib_quantize_defaults(&o, sizeof o);
        o.preset = rows[i].preset, o.per_tensor = rows[i].per_tensor, o.reduce_range = rows[i].reduce_range, o.speed = 0;
        if (quantized(TINY, "preset", &o, json, &e) != NIB_OK) fail_msg("%s", e.message);
        if (!(number_of(json, "in_nib", "cosine_mean") > 0.97)) fail_msg("%s", json);
        if (onnx_load(runtime, in_dir("preset/model.onnx"), &g, &e) != NIB_OK) fail_msg("%s", e.message);
        const int products = nodes_of(g, "MatMulInteger"), tables = nodes_of(g, "DequantizeLinear");
        int weights = 0, least = 128, most = 0;
        for (const graph_node *n = g->first; n; n = n->next) {
            if (strcmp(n->op, "MatMulInteger") != 0 || !n->inputs[1].value->constant) continue;
            const graph_tensor *w = n->inputs[1].value->constant, *zero = n->inputs[3].value->constant;
            assert_true(w->dtype == rows[i].weights && zero->dtype == w->dtype);
            assert_int_equal(zero->rank, !rows[i].per_tensor);
            assert_int_equal(*(const uint8_t *)zero->data, rows[i].middle);
            for (size_t k = 0; k < w->bytes; k++) {
                const int x = w->dtype == NIB_DTYPE_U8 ? ((const uint8_t *)w->data)[k] : ((const int8_t *)w->data)[k];
                least = x < least ? x : least, most = x > most ? x : most;
            }
            weights++;
        }
        assert_int_equal(nodes_of(g, "MatMul"), 0);
        assert_int_equal(products - weights, 2);
        assert_int_equal(tables, 3);
        if (least != rows[i].least || most != rows[i].most) fail_msg("row %zu: %d to %d", i, least, most);
        graph_free(g);
    }
}

static void presets_are_of_8_bits(void **state) {
    static char json[20000];
    (void)state;
    for (int i = 0; i < 4; i++) {
        nib_quantize_options o;
        nib_error e = {0};
        nib_quantize_defaults(&o, sizeof o);
        o.type = i ? NIB_QUANTIZE_INT4 : NIB_QUANTIZE_INT8;
        o.preset = i == 0 ? (nib_preset)9 : i == 1 ? NIB_PRESET_AVX2 : NIB_PRESET_NONE;
        o.per_tensor = i == 2, o.reduce_range = i == 3;
        assert_int_equal(quantized(TINY, "refused", &o, json, &e), NIB_INVALID_ARGUMENT);
        if (!strstr(e.message, "preset")) fail_msg("%s", e.message);
    }
}

/* Two numbers of a tensor of f32 in a safetensors file become 50 times what they are. */
static void plant(const char *path, const char *tensor) {
    static char bytes[1 << 20];
    FILE *f = fopen(path, "r+b");
    uint64_t header;
    unsigned long begin;
    assert_non_null(f);
    assert_true(fread(bytes, 1, sizeof bytes - 1, f) > 8);
    memcpy(&header, bytes, 8);
    const char *at = strstr(bytes + 8, tensor);
    assert_non_null(at);
    assert_int_equal(sscanf(strstr(at, "data_offsets\":") + 14, " [%lu", &begin), 1);
    for (int i = 0; i < 2; i++) {
        const long place = (long)(8 + header + begin) + 4 * (3 + 8 * i);
        float x;
        memcpy(&x, bytes + place, 4);
        x *= 50;
        assert_int_equal(fseek(f, place, SEEK_SET), 0);
        assert_int_equal(fwrite(&x, 4, 1, f), 1);
    }
    assert_int_equal(fclose(f), 0);
}

/* What calibrating is for: with two columns of a norm 50 times as large as the others, rows in one scale have few steps left for these,
 * unless that is moved into the weights. */
static void planted_outliers_are_migrated(void **state) {
    static char json[20000];
    static const char *const calibrate[] = {"a pen of ink", "the nib", "the ink of the pen", "a nib of the pen a nib", "ink"};
    char command[600];
    double lost[2];
    (void)state;
    snprintf(command, sizeof command, "cp -r '%s' '%s'", TINY, in_dir("planted"));
    assert_int_equal(system(command), 0);
    plant(in_dir("planted/model.safetensors"), "\"embeddings.LayerNorm.weight\"");
    for (int texts = 0; texts < 2; texts++) {
        nib_quantize_options o;
        nib_error e = {0};
        nib_quantize_defaults(&o, sizeof o);
        o.speed = 0;
        if (texts) o.calibrate = calibrate, o.calibrate_count = sizeof calibrate / sizeof *calibrate;
        if (quantized(in_dir("planted"), "planted8", &o, json, &e) != NIB_OK) fail_msg("%s", e.message);
        lost[texts] = 1 - number_of(json, "as_onnx", "cosine_mean");
    }
    if (!(lost[1] < 2e-3 && lost[1] < lost[0] / 3)) fail_msg("%g is lost, without calibrating %g", lost[1], lost[0]);
}

/* What a model's task gives for a few texts. */
static void rows_of(nib_model *m, quantize_rows *out) {
    static const char *const texts[] = {"A cat is sleeping on the sofa.", "Stocks fell sharply on Friday.", "x"};
    nib_error e;
    if (quantize_rows_of(m, texts, 3, out, &e) != NIB_OK) fail_msg("%s", e.message);
    assert_true(out->width > 0 && out->offsets[3] >= 3);
}

/* A model that falls short of the cosine gets more bits where they gain most, as it is opened and as it is compiled. */
static void loads_are_held_to_a_cosine(void **state) {
    static const struct {
        const char *path;
        nib_precision precision;
        double least;
        nib_status status;
        const char *message; /* or, of OK, what is said of the precision */
    } rows[] = {
        {TINY, NIB_PRECISION_Q8, 0.9, NIB_OK, "in q8 (asked for)"},
        {TINY, NIB_PRECISION_Q8, 0.999999, NIB_OK, "in q8 (held to 0.999999: of "},
        {TINY, NIB_PRECISION_Q8, 1, NIB_OK, "in q8 (held to 1: of "},
        {TINY, NIB_PRECISION_Q4, 0.999, NIB_OK, "in q4 (held to 0.999: of "},
        {TINY, NIB_PRECISION_BF16, 1, NIB_OK, "in bf16 (held to 1: of "},
        {TINY, NIB_PRECISION_MIXED, 0, NIB_OK, "in mixed (held to 0.998: of "},
        {TINY, NIB_PRECISION_MIXED, 0.9999, NIB_OK, "in mixed (held to 0.9999: of "},
        {TINY, NIB_PRECISION_F32, 0.9999999, NIB_OK, "in f32 (asked for)"},
        {NIB_TEST_DATA "/tasks/colbert-bert", NIB_PRECISION_MIXED, 0, NIB_OK, "in mixed (held to 0.998: of "},
        {NIB_TEST_DATA "/tasks/sparse-bert", NIB_PRECISION_MIXED, 0.9, NIB_OK, "in mixed ("},
        {NIB_TEST_DATA "/tasks/ner-bert", NIB_PRECISION_Q8, 0.9999, NIB_OK, "in q8 (held to 0.9999: of "},
        {NIB_TEST_DATA "/tasks/rank-bert", NIB_PRECISION_Q4, 0.999, NIB_OK, "in q4 (held to 0.999: of "},
        {NIB_TEST_DATA "/tasks/judge-classifier", NIB_PRECISION_Q4, 0.999, NIB_OK, "in q4 (held to 0.999: of "},
        {NIB_TEST_DATA "/tasks/answer-bert", NIB_PRECISION_Q8, 0.5, NIB_UNSUPPORTED, "task answer"},
        {TINY, NIB_PRECISION_Q8, 1.5, NIB_INVALID_ARGUMENT, "out of range"},
        {TINY, NIB_PRECISION_Q8, -1, NIB_INVALID_ARGUMENT, "out of range"},
        {NIB_TEST_DATA "/hf/bert-tiny", NIB_PRECISION_Q8, 0.5, NIB_UNSUPPORTED, "tokenizer"},
        {NIB_TEST_DATA "/hf/bert-tiny", NIB_PRECISION_MIXED, 0, NIB_UNSUPPORTED, "tokenizer"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        nib_model_options o;
        nib_compile_options c;
        nib_error e = {0};
        nib_model *m = NULL, *same = NULL;
        nib_model_defaults(&o, sizeof o);
        nib_compile_defaults(&c, sizeof c);
        o.precision = rows[i].precision, o.min_cosine = rows[i].least, c.model = &o;
        nib_status status = nib_model_open(rows[i].path, &o, &m, &e);
        if (status != rows[i].status || (!m && !strstr(e.message, rows[i].message))) fail_msg("row %zu: %d, %s", i, status, e.message);
        assert_true((m != NULL) == (status == NIB_OK));
        status = nib_compile_file(rows[i].path, in_dir("held.nib"), &c, &e);
        if (status != rows[i].status || (!m && !strstr(e.message, rows[i].message)))
            fail_msg("compiled, row %zu: %d, %s", i, status, e.message);
        assert_int_equal(access(in_dir("held.nib"), F_OK) == 0, status == NIB_OK);
        if (status == NIB_OK) {
            char about[8192];
            nib_model_describe(m, about, sizeof about, NULL);
            if (!strstr(about, rows[i].message)) fail_msg("row %zu: %s", i, about);
            o.min_cosine = 0;
            if (nib_model_open(in_dir("held.nib"), &o, &same, &e) != NIB_OK) fail_msg("row %zu: %s", i, e.message);
            nib_model_describe(same, about, sizeof about, NULL);
            if (!strstr(about, rows[i].message)) fail_msg("compiled, row %zu: %s", i, about);
            quantize_rows a, b;
            rows_of(m, &a), rows_of(same, &b);
            assert_int_equal(a.offsets[3], b.offsets[3]);
            assert_memory_equal(a.data, b.data, (size_t)(a.offsets[3] * a.width) * sizeof *a.data);
            quantize_rows_free(&m->runtime->heap, &a), quantize_rows_free(&same->runtime->heap, &b);
            o.min_cosine = 0.5;
            nib_model *none = NULL;
            assert_int_equal(nib_model_open(in_dir("held.nib"), &o, &none, &e), NIB_UNSUPPORTED);
            assert_non_null(strstr(e.message, "compiled"));
        }
        nib_model_free(m);
        nib_model_free(same);
        unlink(in_dir("held.nib"));
    }
}

/* What was found for the task that a model was opened for holds for the others' programs, too. */
static void other_tasks_are_raised_alike(void **state) {
    static const nib_task tasks[] = {NIB_TASK_EMBED, NIB_TASK_TOKENS};
    nib_model_options o;
    nib_error e;
    nib_model *m;
    const model_program *p[2];
    int f32[2] = {0};
    (void)state;
    nib_model_defaults(&o, sizeof o);
    o.precision = NIB_PRECISION_MIXED, o.min_cosine = 0.99999, o.task = NIB_TASK_EMBED;
    if (nib_model_open(TINY, &o, &m, &e) != NIB_OK) fail_msg("%s", e.message);
    for (int i = 0; i < 2; i++) {
        if (model_get_program(m, (int)tasks[i], &p[i], &e) != NIB_OK) fail_msg("%s", e.message);
        for (const graph_node *n = p[i]->g->first; n; n = n->next) {
            op_linear linear;
            f32[i] += op_linear_get(n, &linear) && linear.weight_format == KERNEL_WEIGHT_F32;
        }
    }
    assert_true(p[0]->rounded.count > 0 && f32[0] > 0); /* some of either */
    assert_int_equal(f32[0], f32[1]);
    assert_int_equal(p[0]->rounded.count, p[1]->rounded.count);
    for (int k = 0; k < p[0]->rounded.count; k++) {
        const quant_layer *one = &p[0]->rounded.items[k], *other = &p[1]->rounded.items[k];
        assert_string_equal(one->name, other->name);
        assert_int_equal(one->format, other->format);
    }
    nib_model_free(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_receipt_has_the_cost),
        cmocka_unit_test(presets_are_optimums),
        cmocka_unit_test(presets_are_of_8_bits),
        cmocka_unit_test(planted_outliers_are_migrated),
        cmocka_unit_test(loads_are_held_to_a_cosine),
        cmocka_unit_test(other_tasks_are_raised_alike),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
