/* SPDX-License-Identifier: Apache-2.0
 *
 * Quantized files. Rounding: what GPTQ says that it loses is what it loses, and less than rounding to the nearest does. Files: of each
 * type and target they open, say what they are, and give the vectors that the receipt says; what cannot be done is refused by its name,
 * and leaves nothing behind.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "base/base_half.h"
#include "quantize/quantize.h"
#include "quantize_test.h"

/* ---------------------------------------------------------------- rounding */

enum { K = 64, N = 12, ROWS = 500 };

static float uniform(uint32_t *seed) { return (float)((*seed = *seed * 1664525u + 1013904223u) >> 8) / 8388608.0f - 1; }

/* Rows whose columns go together, of which one is large and one is always 0. */
static void make_moments(float h[K * K]) {
    uint32_t seed = 11;
    memset(h, 0, sizeof(float) * K * K);
    for (int r = 0; r < ROWS; r++) {
        float x[K], common = uniform(&seed);
        for (int k = 0; k < K; k++) x[k] = (uniform(&seed) + common) * (k == 5 ? 20.0f : k == 9 ? 0.0f : 1.0f);
        for (int i = 0; i < K; i++)
            for (int j = 0; j < K; j++) h[i * K + j] += x[i] * x[j];
    }
}

/* tr((W - W')^T H (W - W')) and the same of W; damping as in quantize_round.c. */
static double loss_of(const quantize_layer *l, const float *w, const float *h, bool damped) {
    double mean = 0, sum = 0, all = 0;
    for (int k = 0; k < K; k++) mean += h[k * K + k] / (double)K;
    for (int n = 0; n < N; n++)
        for (int i = 0; i < K; i++)
            for (int j = 0; j < K; j++) {
                const double m = h[i * K + j] + (damped && i == j ? 0.01 * mean : 0);
                const quantize_codes *c = &l->codes;
                const double a = w[i * N + n] - (double)c->q[i * N + n] * c->scale[i / c->block * N + n];
                const double b = w[j * N + n] - (double)c->q[j * N + n] * c->scale[j / c->block * N + n];
                sum += a * m * b;
                all += (double)w[i * N + n] * m * w[j * N + n];
            }
    return sum / all;
}

static void rounding_makes_up_for_what_it_loses(void **state) {
    static float w[K * N], h[K * K];
    uint32_t seed = 3;
    nib_error err;
    (void)state;
    for (int i = 0; i < K * N; i++) w[i] = uniform(&seed) * 0.1f;
    make_moments(h);
    const graph_tensor t = {.dtype = NIB_DTYPE_F32, .rank = 2, .dims = {K, N}, .bytes = sizeof w, .data = w};
    const quantize_moments m = {.K = K, .sum = h};
    static const struct {
        quantize_bits bits;
        int64_t block;
    } rows[] = {{QUANTIZE_8, 0}, {QUANTIZE_4, 32}, {QUANTIZE_4, 64}};
    for (size_t i = 0; i < BASE_COUNT(rows); i++) {
        quantize_layer l = {.w = &t, .K = K, .N = N};
        assert_int_equal(quantize_round(runtime, &l, rows[i].bits, rows[i].block, NULL, &err), NIB_OK);
        const double nearest = loss_of(&l, w, h, false);
        assert_int_equal(quantize_round(runtime, &l, rows[i].bits, rows[i].block, &m, &err), NIB_OK);
        const double less = loss_of(&l, w, h, false), damped = loss_of(&l, w, h, true);
        if (!(less < 0.7 * nearest)) fail_msg("%d bits: %g with moments, %g without", (int)rows[i].bits, less, nearest);
        assert_true(fabs(l.codes.error / damped - 1) < 1e-3); /* some columns stand for all in the size; here all are looked at */
        for (int k = 0; k < K * N; k++)
            assert_in_range(l.codes.q[k] + 128, rows[i].bits == QUANTIZE_8 ? 1 : 120, rows[i].bits == QUANTIZE_8 ? 255 : 135);
        for (int64_t k = 0; rows[i].bits == QUANTIZE_4 && k < K / rows[i].block * N; k++)
            assert_true(base_f16_to_f32(base_f32_to_f16(l.codes.scale[k])) == l.codes.scale[k]);
        base_free(&runtime->heap, l.codes.q);
        base_free(&runtime->heap, l.codes.scale);
    }
}

/* Zeros, and what is no number: codes of 0, no division by 0, and moments that are none are not used. */
static void weights_without_numbers(void **state) {
    static float w[K * N], h[K * K];
    nib_error err;
    (void)state;
    w[3] = NAN, w[4] = INFINITY;
    const graph_tensor t = {.dtype = NIB_DTYPE_F32, .rank = 2, .dims = {K, N}, .bytes = sizeof w, .data = w};
    const quantize_moments m = {.K = K, .sum = h};
    for (int bits = 4; bits <= 8; bits += 4) {
        quantize_layer l = {.w = &t, .K = K, .N = N};
        assert_int_equal(quantize_round(runtime, &l, (quantize_bits)bits, 32, &m, &err), NIB_OK);
        for (int i = 0; i < K * N; i++) assert_int_equal(l.codes.q[i], 0);
        assert_true(l.codes.error == 0);
        base_free(&runtime->heap, l.codes.q);
        base_free(&runtime->heap, l.codes.scale);
    }
}

/* A column that is much larger than the others gets a factor that makes it less so, its zeros cost nothing; of even columns none. */
static void scales_move_where_columns_are_uneven(void **state) {
    static float w[K * N], h[K * K], least[K], most[K];
    graph_value x = {0}, other = {0};
    uint32_t seed = 5;
    nib_error err;
    (void)state;
    for (int i = 0; i < K * N; i++) w[i] = uniform(&seed) < 0 ? -0.1f : 0.1f;
    const graph_tensor t = {.dtype = NIB_DTYPE_F32, .rank = 2, .dims = {K, N}, .bytes = sizeof w, .data = w};
    for (int uneven = 0; uneven < 2; uneven++) {
        for (int k = 0; k < K; k++) {
            most[k] = k == 5 && uneven ? 20.0f : k == 9 && uneven ? 0.0f : 1.0f, least[k] = -most[k];
            h[k * K + k] = ROWS * most[k] * most[k] / 3;
        }
        const quantize_moments m = {.x = &x, .K = K, .rows = ROWS, .sum = h, .least = least, .most = most};
        quantize_layer items[] = {{.x = &x, .w = &t, .K = K, .N = N}, {.x = &x, .w = &t, .K = K, .N = N, .kept = true},
                                  {.x = &other, .w = &t, .K = K, .N = N}};
        quantize_layers l = {items, 3};
        if (uneven) { /* of 4 bits: the large column's weights err less, by a power of two */
            for (int i = 0; i < K * N; i++) w[i] = uniform(&seed);
            assert_int_equal(quantize_migrate(&runtime->heap, &l, &m, 32, &err), NIB_OK);
            int exponent;
            assert_non_null(items[0].factor);
            assert_true(items[0].factor[5] > items[0].factor[4] && frexpf(items[0].factor[5], &exponent) == 0.5f);
            base_free(&runtime->heap, items[0].factor);
            items[0].factor = NULL;
        }
        assert_int_equal(quantize_migrate(&runtime->heap, &l, &m, 0, &err), NIB_OK);
        assert_null(items[1].factor);
        assert_null(items[2].factor);
        if (!uneven) assert_null(items[0].factor);
        for (int k = 0; uneven && k < K; k++) {
            assert_non_null(items[0].factor);
            assert_true(isfinite(items[0].factor[k]) && items[0].factor[k] > 0);
            if (!(20 / items[0].factor[5] < 8 / items[0].factor[4])) fail_msg("%g", (double)items[0].factor[5]);
        }
        base_free(&runtime->heap, items[0].factor);
    }
}

/* A Mul in front of DynamicQuantizeLinear goes into constants that make what it multiplies, unless others read that. */
static void factors_go_into_constants(void **state) {
    static const char head[] = "<ir_version: 8, opset_import: [\"\" : 17]> g (float[n,2] x, float[n,2] u) => (uint8[n,2] q, float s, uint8 z%s)"
                               " <float[2] g = {1, 2}, float[2] b = {3, 4}, float[2,2] w = {1, 2, 3, 4}, float[2] r = {10, 100}> {";
    static const char tail[] = " m = Mul (%s, r) q, s, z = DynamicQuantizeLinear (m) }";
    static const struct {
        const char *body, *of, *output; /* a third graph output */
        int left;                       /* Muls */
        float want[2];                  /* what the constant that is read instead of the first is */
    } rows[] = {
        {"y = LayerNormalization (x, g, b)", "y", "", 0, {10, 200}},
        {"h = Mul (x, g) y = Add (h, b)", "y", "", 1, {10, 200}},
        {"h = MatMul (x, w) y = Add (h, b)", "y", "", 0, {10, 200}},
        {"h = MatMul (x, w) y = Mul (u, h)", "y", "", 1, {10, 200}},
        {"y = LayerNormalization (x, g, b)", "y", ", float[n,2] y", 1, {0}},
        {"y = Tanh (x)", "y", "", 1, {0}},
        {"h = MatMul (x, w) y = Add (h, x)", "y", "", 1, {0}},
    };
    kernels ks;
    (void)state;
    kernel_table_init(&ks, runtime->isas);
    for (size_t i = 0; i < BASE_COUNT(rows); i++) {
        char text[2000];
        int n = snprintf(text, sizeof text, head, rows[i].output);
        n += snprintf(text + n, sizeof text - (size_t)n, "%s", rows[i].body);
        snprintf(text + n, sizeof text - (size_t)n, tail, rows[i].of);
        graph *g;
        nib_error e = {0};
        if (graph_parse(&runtime->heap, text, strlen(text), &g, &e) != NIB_OK) fail_msg("%s", e.message);
        op_resolve(g);
        assert_int_equal(op_infer_graph(g, &e), NIB_OK);
        pass_context ctx = {.g = g, .runtime = runtime, .kernels = &ks, .level = 1, .mode = PASS_MODE_FILE, .err = &e};
        assert_int_equal(quantize_fold(&ctx), NIB_OK);
        assert_int_equal(pass_clean(&ctx), NIB_OK);
        int muls = 0;
        bool found = rows[i].want[0] == 0;
        for (const graph_node *k = g->first; k; k = k->next) {
            muls += graph_is_op(k, "", "Mul");
            for (int in = 0; in < k->n_inputs; in++) {
                const graph_tensor *c = k->inputs[in].value ? k->inputs[in].value->constant : NULL;
                found |= c && c->dtype == NIB_DTYPE_F32 && memcmp(c->data, rows[i].want, sizeof rows[i].want) == 0;
            }
        }
        if (muls != rows[i].left || !found) fail_msg("row %zu: %d Mul, found %d", i, muls, found);
        graph_free(g);
    }
}

/* One number far out: a percentile leaves it out, and so does the histogram; one clipped number loses more squares than the steps of
 * all others. None leaves out what is usual. */
static void ranges_by_each_rule(void **state) {
    static float rows[ROWS * K], least[K], most[K];
    graph_value x = {0};
    uint32_t seed = 8;
    nib_error err;
    (void)state;
    for (int i = 0; i < ROWS * K; i++) rows[i] = uniform(&seed);
    rows[77] = 30;
    for (int k = 0; k < K; k++) least[k] = -1, most[k] = k == 77 % K ? 30.0f : 1.0f;
    const quantize_moments m = {.x = &x, .K = K, .rows = ROWS, .least = least, .most = most, .sample = rows, .sampled = ROWS};
    static const struct {
        nib_ranges how;
        float least, most; /* of the upper end */
    } want[] = {{NIB_RANGES_MINMAX, 30, 30},
                {NIB_RANGES_PERCENTILE, 0.99f, 1.01f},
                {NIB_RANGES_MSE, 25, 29.99f},
                {NIB_RANGES_ENTROPY, 0.9f, 15}};
    for (size_t i = 0; i < BASE_COUNT(want); i++) {
        quantize_layer item = {.x = &x, .K = K, .N = N};
        quantize_layers l = {&item, 1};
        assert_int_equal(quantize_range(&runtime->heap, &l, &m, want[i].how, &err), NIB_OK);
        if (!(item.range[1] >= want[i].least && item.range[1] <= want[i].most && item.range[0] <= -0.95f && item.range[0] >= -1))
            fail_msg("rule %d: %g to %g", (int)want[i].how, (double)item.range[0], (double)item.range[1]);
    }
}

static void vectors_are_compared(void **state) {
    static float a[40 * 2], b[40 * 2];
    quantize_quality q;
    (void)state;
    for (int i = 0; i < 40; i++) a[2 * i] = b[2 * i] = cosf((float)i * 0.1f), a[2 * i + 1] = b[2 * i + 1] = sinf((float)i * 0.1f);
    quantize_compare(a, b, 40, 2, &q);
    assert_true(q.known && q.mean > 1 - 1e-6 && q.worst > 1 - 1e-6 && q.overlap == 1);
    b[0] = -1, b[1] = 0; /* text 0 is turned round */
    quantize_compare(a, b, 40, 2, &q);
    assert_true(fabs(q.worst + 1) < 1e-6 && fabs(q.mean - 38.0 / 40) < 1e-6 && q.overlap < 1 && q.overlap > 0.8);
    quantize_compare(a, b, 5, 2, &q);
    assert_true(q.overlap == -1);
}

/* ---------------------------------------------------------------- files */

static const char *const calibrate[] = {"a pen of ink", "the nib", "the ink of the pen", "a nib of the pen a nib", "ink"};

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

static void embed(const char *path, float out[32]) {
    const char *text = "the ink of the pen";
    nib_model *m;
    nib_error e = {0};
    if (nib_model_open(path, NULL, &m, &e) != NIB_OK) fail_msg("%s", e.message);
    assert_int_equal(nib_model_dim(m), 32);
    if (!strstr(model_own(m)->notes, "batches are packed")) fail_msg("%s: %s", path, model_own(m)->notes);
    if (nib_embed(m, &text, 1, NULL, out, &e) != NIB_OK) fail_msg("%s", e.message);
    nib_model_free(m);
}

static void every_type_and_target(void **state) {
    char json[20000];
    float before[32], after[32];
    (void)state;
    embed(TINY, before);
    for (int type = NIB_QUANTIZE_INT8; type <= NIB_QUANTIZE_INT4; type++)
        for (int target = 0; target < 2; target++)
            for (int texts = 0; texts < 2; texts++) {
                nib_quantize_options o;
                nib_error e = {0};
                nib_quantize_defaults(&o, sizeof o);
                o.type = (nib_quantize_type)type, o.target = (nib_target)target;
                o.calibrate = texts ? calibrate : NULL, o.calibrate_count = texts ? BASE_COUNT(calibrate) : 0;
                if (quantized(TINY, "model", &o, json, &e) != NIB_OK) fail_msg("%s", e.message);
                const double mean = number_of(json, "in_nib", "cosine_mean"), file = number_of(json, "as_onnx", "cosine_mean");
                if (!(mean > 0.97 && file > 0.97 && fabs(mean - file) < 0.01))
                    fail_msg("type %d: %g in nib, %g in the file", type, mean, file);
                embed(in_dir("model"), after);
                double dot = 0;
                for (int i = 0; i < 32; i++) dot += (double)before[i] * after[i];
                if (!(dot > 0.95)) fail_msg("type %d target %d: cosine %g", type, target, dot);
                assert_non_null(strstr(json, type == NIB_QUANTIZE_INT8 ? "\"bits\": 8" : "\"bits\": 4"));
                if (type == NIB_QUANTIZE_INT4) assert_non_null(strstr(json, "no multiple of the block"));
                assert_true(number_of(json, "{", "weight_bytes_after") < number_of(json, "{", "weight_bytes_before"));
            }
}

/* Factors of a calibrated file are QuantizeRows' own where nib runs it, and no step of theirs. */
static void factors_of_a_file_are_taken(void **state) {
    static char json[20000];
    nib_quantize_options o;
    nib_error e = {0};
    nib_model *m;
    int taken = 0;
    (void)state;
    nib_quantize_defaults(&o, sizeof o);
    o.calibrate = calibrate, o.calibrate_count = BASE_COUNT(calibrate);
    if (quantized(TINY, "factors", &o, json, &e) != NIB_OK) fail_msg("%s", e.message);
    if (nib_model_open(in_dir("factors"), NULL, &m, &e) != NIB_OK) fail_msg("%s", e.message);
    for (const graph_node *n = model_own(m)->g->first; n && model_own(m)->computes == NIB_PRECISION_Q8; n = n->next) {
        if (!graph_is_op(n, "nib", "QuantizeRows")) continue;
        const graph_node *made_by = n->inputs[0].value->producer;
        assert_false(made_by && graph_is_op(made_by, "", "Mul"));
        taken += n->n_inputs > 1 && !graph_is_op(made_by, "nib", "Norm");
    }
    if (model_own(m)->computes == NIB_PRECISION_Q8) assert_true(taken > 0);
    nib_model_free(m);
}

static void int8_with_fixed_ranges(void **state) {
    static char json[20000];
    nib_quantize_options o;
    nib_error e = {0};
    (void)state;
    for (int ranges = 0; ranges <= NIB_RANGES_ENTROPY; ranges++) {
        nib_quantize_defaults(&o, sizeof o);
        o.type = NIB_QUANTIZE_INT8_STATIC, o.ranges = (nib_ranges)ranges;
        o.calibrate = calibrate, o.calibrate_count = BASE_COUNT(calibrate);
        if (quantized(TINY, "static", &o, json, &e) != NIB_OK) fail_msg("%s", e.message);
        const double nib = number_of(json, "in_nib", "cosine_mean"), file = number_of(json, "as_onnx", "cosine_mean");
        if (!(nib > 0.99 && file > (ranges ? 0.8 : 0.98) && file < 1)) fail_msg("ranges %d: %g in nib, %g in the file", ranges, nib, file);
    }
    o.calibrate_count = 0;
    assert_int_equal(quantized(TINY, "static-refused", &o, json, &e), NIB_INVALID_ARGUMENT);
    o.type = NIB_QUANTIZE_INT8, o.ranges = NIB_RANGES_MSE;
    assert_int_equal(quantized(TINY, "static-refused", &o, json, &e), NIB_INVALID_ARGUMENT);
}

/* 16 bits: half the bytes, next to nothing lost; a cosine that cannot be had is refused. */
static void halves(void **state) {
    static char json[20000];
    (void)state;
    for (int type = NIB_QUANTIZE_FP16; type <= NIB_QUANTIZE_BF16; type++) {
        const bool fp16 = type == NIB_QUANTIZE_FP16;
        float before[32], after[32];
        double dot = 0;
        nib_quantize_options o;
        nib_error e = {0};
        nib_quantize_defaults(&o, sizeof o);
        o.type = (nib_quantize_type)type;
        if (quantized(TINY, "half", &o, json, &e) != NIB_OK) fail_msg("%s", e.message);
        if (!(number_of(json, "as_onnx", "cosine_mean") >= (fp16 ? 0.99999 : 0.9999))) fail_msg("%s", json);
        assert_true(number_of(json, "in_nib", "cosine_mean") >= (fp16 ? 0.99999 : 0.9999));
        assert_true(number_of(json, "{", "weight_bytes_after") < (fp16 ? 0.6 : 0.9) * number_of(json, "{", "weight_bytes_before"));
        assert_non_null(strstr(json, "\"bits\": 16"));
        embed(TINY, before);
        embed(in_dir("half"), after);
        for (int i = 0; i < 32; i++) dot += (double)before[i] * after[i];
        assert_true(dot > 0.9999);
        o.min_cosine = 1;
        if (!fp16) assert_int_equal(quantized(TINY, "half-refused", &o, json, &e), NIB_DIFFERENT);
    }
}

static void layers_stay_and_are_raised(void **state) {
    char json[20000];
    nib_quantize_options o;
    nib_error e = {0};
    (void)state;
    nib_quantize_defaults(&o, sizeof o);
    static const char *const keep[] = {"*query*", "*output.dense*"};
    o.keep = keep, o.keep_count = 2;
    if (quantized(TINY, "kept", &o, json, &e) != NIB_OK) fail_msg("%s", e.message);
    assert_non_null(strstr(json, "asked to stay"));
    static const char *const nobody[] = {"*query*", "nobody*"};
    o.keep = nobody;
    assert_int_equal(quantized(TINY, "kept", &o, json, &e), NIB_INVALID_ARGUMENT);
    assert_non_null(strstr(e.message, "nobody*"));
    nib_quantize_defaults(&o, sizeof o);
    o.type = NIB_QUANTIZE_INT4;
    o.min_cosine = 0.9999;
    if (quantized(TINY, "raised", &o, json, &e) != NIB_OK) fail_msg("%s", e.message);
    assert_true(number_of(json, "{", "raised") > 0);
    assert_true(number_of(json, "in_nib", "cosine_mean") >= 0.9999 && number_of(json, "as_onnx", "cosine_mean") >= 0.9999);
}

/* Bits by what layers cost: a cosine that 4 bits do not have is reached with fewer bytes than 8 bits take, and a size is kept. */
static void bits_are_mixed(void **state) {
    static char json[20000];
    nib_quantize_options o;
    nib_error e = {0};
    (void)state;
    nib_quantize_defaults(&o, sizeof o);
    o.type = NIB_QUANTIZE_INT4;
    if (quantized(TINY, "four", &o, json, &e) != NIB_OK) fail_msg("%s", e.message);
    const double four = number_of(json, "{", "weight_bytes_after"), cosine = number_of(json, "as_onnx", "cosine_mean");
    o.type = NIB_QUANTIZE_MIXED, o.min_cosine = cosine + 0.5 * (1 - cosine);
    if (quantized(TINY, "mixed", &o, json, &e) != NIB_OK) fail_msg("%s", e.message);
    const double reached = number_of(json, "{", "weight_bytes_after");
    assert_true(number_of(json, "as_onnx", "cosine_mean") >= o.min_cosine && reached > four);
    assert_true(number_of(json, "{", "raised") >= 1 && strstr(json, "\"effect\"") && strstr(json, "\"bits\": 4") && strstr(json, "\"bits\": 8"));
    o.min_cosine = 0, o.most_bytes = (int64_t)reached + 1000;
    if (quantized(TINY, "sized", &o, json, &e) != NIB_OK) fail_msg("%s", e.message);
    assert_true(number_of(json, "{", "weight_bytes_after") <= (double)o.most_bytes && number_of(json, "{", "weight_bytes_after") > four);
    o.most_bytes = (int64_t)four - 100;
    assert_int_equal(quantized(TINY, "sized-less", &o, json, &e), NIB_UNSUPPORTED);
    assert_non_null(strstr(e.message, "fewest bits"));
    o.most_bytes = 0;
    assert_int_equal(quantized(TINY, "sized-less", &o, json, &e), NIB_INVALID_ARGUMENT);
    o.type = NIB_QUANTIZE_INT4, o.most_bytes = 1000000;
    assert_int_equal(quantized(TINY, "sized-less", &o, json, &e), NIB_INVALID_ARGUMENT);
    assert_int_not_equal(access(in_dir("sized-less"), F_OK), 0);
}

static quantize_layer *copy_of(const quantize_layer *items, size_t n) {
    quantize_layer *copy = base_alloc(&runtime->heap, n * sizeof *copy);
    assert_non_null(copy);
    return memcpy(copy, items, n * sizeof *copy);
}

/* Steps are taken, and taken back, to the very codes that were there. */
static void steps_go_both_ways(void **state) {
    static float w[K * N];
    uint32_t seed = 4;
    nib_error err;
    int n;
    int8_t before[K * N];
    quantize_step *steps;
    (void)state;
    for (int i = 0; i < K * N; i++) w[i] = uniform(&seed);
    const graph_tensor t = {.dtype = NIB_DTYPE_F32, .rank = 2, .dims = {K, N}, .bytes = sizeof w, .data = w};
    quantize_layer items[2] = {{.w = &t, .K = K, .N = N, .effect = 0.5}, {.w = &t, .K = K, .N = N, .effect = 0.001}};
    quantize_layers l = {items, 2};
    for (int i = 0; i < 2; i++) assert_int_equal(quantize_round(runtime, &items[i], QUANTIZE_4, 32, NULL, &err), NIB_OK);
    memcpy(before, items[0].codes.q, sizeof before);
    assert_int_equal(quantize_plan(&runtime->heap, &l, &steps, &n, &err), NIB_OK);
    assert_true(n == 4 && steps[0].layer == &items[0] && steps[0].bits == QUANTIZE_8);
    static const int bits[5][2] = {{4, 4}, {8, 4}, {32, 4}, {32, 8}, {32, 32}};
    for (int i = 0; i < 10; i++) {
        const int k = i < 5 ? i : 9 - i;
        assert_int_equal(quantize_take(runtime, &l, steps, k, &err), NIB_OK);
        for (int j = 0; j < 2; j++) assert_int_equal(items[j].codes.bits, bits[k][j]);
    }
    assert_memory_equal(before, items[0].codes.q, sizeof before);
    n = 4;
    const uint64_t more = K * N / 2; /* than 4 bits: what 8 take without scales */
    quantize_fit(steps, &n, 1000, 1000 + more);
    assert_true(n >= 1 && steps[0].layer == &items[0] && steps[0].bits == QUANTIZE_8);
    base_free(&runtime->heap, steps);
    quantize_layers_free(&runtime->heap, &(quantize_layers){.items = copy_of(items, 2), .count = 2});
}

static void what_cannot_be_done_is_said(void **state) {
    static const char *const same[] = {"a pen of ink"};
    static const struct {
        const char *in, *message;
        nib_status status;
        int block, type;
        double min_cosine;
        const char *const *calibrate, *const *check;
    } rows[] = {
        {TINY, "block 33", NIB_INVALID_ARGUMENT, 33, NIB_QUANTIZE_INT4, 0, NULL, NULL},
        {TINY, "type 7", NIB_INVALID_ARGUMENT, 32, 7, 0, NULL, NULL},
        {TINY, "min_cosine", NIB_INVALID_ARGUMENT, 32, NIB_QUANTIZE_INT8, 1.5, NULL, NULL},
        {NIB_TEST_DATA "/hf/bert-tiny", "min_cosine", NIB_UNSUPPORTED, 32, NIB_QUANTIZE_INT8, 0.5, NULL, NULL},
        {TINY, "flatter", NIB_INVALID_ARGUMENT, 32, NIB_QUANTIZE_INT8, 0, same, same},
        {TINY "/config.json", "", NIB_BAD_MODEL, 32, NIB_QUANTIZE_INT8, 0, NULL, NULL},
        {"/nowhere/at/all", "", NIB_NOT_FOUND, 32, NIB_QUANTIZE_INT8, 0, NULL, NULL},
        {NIB_TEST_DATA "/hf/bert-tiny", "calibrating", NIB_UNSUPPORTED, 32, NIB_QUANTIZE_INT8, 0, same, NULL},
    };
    char json[20000];
    (void)state;
    for (size_t i = 0; i < BASE_COUNT(rows); i++) {
        nib_quantize_options o;
        nib_error e = {0};
        nib_quantize_defaults(&o, sizeof o);
        o.block = rows[i].block, o.type = (nib_quantize_type)rows[i].type, o.min_cosine = rows[i].min_cosine;
        o.calibrate = rows[i].calibrate, o.calibrate_count = rows[i].calibrate != NULL;
        o.check = rows[i].check, o.check_count = rows[i].check != NULL;
        const nib_status status = quantized(rows[i].in, "refused", &o, json, &e);
        if (status != rows[i].status || !strstr(e.message, rows[i].message)) fail_msg("row %zu: status %d, %s", i, status, e.message);
        assert_int_not_equal(access(in_dir("refused"), F_OK), 0);
    }
}

/* A model that gives no vectors of texts is quantized, and the receipt says that nothing was measured. */
static void a_model_without_texts(void **state) {
    char json[20000];
    nib_quantize_options o;
    nib_error e = {0};
    (void)state;
    nib_quantize_defaults(&o, sizeof o);
    if (quantized(NIB_TEST_DATA "/hf/bert-tiny", "untold", &o, json, &e) != NIB_OK) fail_msg("%s", e.message);
    assert_non_null(strstr(json, "not_measured"));
    const double off = number_of(json, "\"proof\"", "largest_difference"), most = number_of(json, "\"proof\"", "largest_value");
    assert_true(off > 0 && off < 0.1 * most);
}

/* Gemm is a product as MatMul is, whichever way its matrix lies; what is there already, or lies elsewhere, is said. */
static void products_of_all_kinds(void **state) {
    static const char text[] = "<ir_version: 8, opset_import: [\"\" : 17]> g (float[n,64] x) => (float[n,48] y, float[n,48] z)"
                               " <float[48,64] w = {%s}, float[64,48] v = {%s}, float[48] b = {%s}> {"
                               " y = Gemm <transB = 1> (x, w, b) z = Gemm (x, v, b) }";
    static char numbers[3][64 * 48 * 12], full[3 * 64 * 48 * 12 + 1000];
    static const int counts[] = {48 * 64, 64 * 48, 48};
    uint32_t seed = 9;
    char json[20000];
    nib_quantize_options o;
    nib_error e = {0};
    graph *g;
    (void)state;
    for (int k = 0; k < 3; k++)
        for (int i = 0, at = 0; i < counts[k]; i++)
            at += snprintf(numbers[k] + at, sizeof numbers[k] - (size_t)at, "%s%.6f", i ? "," : "", (double)uniform(&seed));
    snprintf(full, sizeof full, text, numbers[0], numbers[1], numbers[2]);
    if (graph_parse(&runtime->heap, full, strlen(full), &g, &e) != NIB_OK) fail_msg("%s", e.message);
    assert_int_equal(onnx_save(runtime, g, in_dir("gemm.onnx"), NULL, &e), NIB_OK);
    graph_free(g);
    nib_quantize_defaults(&o, sizeof o);
    if (quantized(in_dir("gemm.onnx"), "gemm8.onnx", &o, json, &e) != NIB_OK) fail_msg("%s", e.message);
    assert_non_null(strstr(json, "\"z\""));
    for (const char *at = strstr(json, "largest_difference"); at; at = strstr(at + 1, "largest_difference"))
        assert_true(strtod(strchr(at, ':') + 1, NULL) < 0.2);
    assert_int_equal(quantized(in_dir("gemm8.onnx"), "again.onnx", &o, json, &e), NIB_UNSUPPORTED);
    if (!strstr(e.message, "nothing to quantize") || !strstr(e.message, "2 MatMulInteger")) fail_msg("%s", e.message);
}

static int stop_at_once(void *user, uint64_t done, uint64_t total) {
    (void)user, (void)total;
    return done >= 1;
}

static void a_stopped_call_leaves_nothing(void **state) {
    char json[20000];
    nib_quantize_options o;
    nib_error e = {0};
    (void)state;
    nib_quantize_defaults(&o, sizeof o);
    o.stop = stop_at_once;
    assert_int_equal(quantized(TINY, "stopped", &o, json, &e), NIB_CANCELLED);
    assert_int_not_equal(access(in_dir("stopped"), F_OK), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rounding_makes_up_for_what_it_loses),
        cmocka_unit_test(weights_without_numbers),
        cmocka_unit_test(scales_move_where_columns_are_uneven),
        cmocka_unit_test(factors_go_into_constants),
        cmocka_unit_test(ranges_by_each_rule),
        cmocka_unit_test(int8_with_fixed_ranges),
        cmocka_unit_test(vectors_are_compared),
        cmocka_unit_test(every_type_and_target),
        cmocka_unit_test(factors_of_a_file_are_taken),
        cmocka_unit_test(halves),
        cmocka_unit_test(layers_stay_and_are_raised),
        cmocka_unit_test(bits_are_mixed),
        cmocka_unit_test(steps_go_both_ways),
        cmocka_unit_test(what_cannot_be_done_is_said),
        cmocka_unit_test(products_of_all_kinds),
        cmocka_unit_test(a_model_without_texts),
        cmocka_unit_test(a_stopped_call_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
